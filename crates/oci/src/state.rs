//! What a runtime tells of a container. OCI runtime specification, runtime.md "State".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::absent;

/// The state of a container, as `state` prints it and hooks read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct State {
    /// The version of the specification that it follows.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Where it is in its life.
    pub status: Status,
    /// The host's PID of its process, while there is one.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub pid: Option<i32>,
    /// The absolute path of its bundle.
    pub bundle: String,
    /// The annotations of its configuration.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub annotations: BTreeMap<String, String>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made.
    Creating,
    /// It is made, and its process waits to run the program.
    Created,
    /// Its process runs the program.
    Running,
    /// Its process has ended.
    Stopped,
}

/// What a seccomp listener is told of a process, beside the descriptor by which it is asked. OCI runtime specification,
/// config-linux.md "The Container Process State".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct ContainerProcessState {
    /// The version of the specification that it follows.
    pub oci_version: String,
    /// What the descriptors that come with it are, in their order.
    pub fds: Vec<String>,
    /// The host's PID of the process.
    pub pid: i32,
    /// What the configuration has for the listener.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub metadata: Option<String>,
    /// Its container's state.
    pub state: State,
}

impl ContainerProcessState {
    /// The name of the descriptor that is a seccomp listener.
    pub const SECCOMP_FD: &str = "seccompFd";
}
