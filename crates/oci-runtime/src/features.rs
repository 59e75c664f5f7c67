//! `features`: what this runtime can do, for engines that ask before they try. Runtime specification, features.md and
//! features-linux.md.

use error::Result;
use oci::{MemoryPolicyFlag, MemoryPolicyMode, NamespaceKind, SeccompAction, SeccompArch, SeccompFlag, SeccompOp};
use serde_json::{Value, json};
use sys::seccomp::Flags;

use crate::container::pretty;
use crate::create::OCI_VERSION;
use crate::criu;
use crate::report;

/// runc's word for a runtime that has `checkpoint` and `restore`, whether the host has CRIU or not.
const CHECKPOINTS: &str = "org.opencontainers.runc.checkpoint.enabled";

/// The annotations that change what is done: who takes configurations from others looks for them.
const ANNOTATIONS: [&str; 3] = [criu::OPTIONS, oci::LANDLOCK_ANNOTATION, runtime::delegate::ANNOTATION];

/// `features`.
///
/// # Errors
/// A kernel error where it cannot be written.
pub(crate) fn print() -> Result<()> {
    report::line(&pretty(&document()))
}

fn document() -> Value {
    let capabilities: Vec<&str> = oci::CAPABILITIES.iter().map(|(name, _)| *name).collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": oci::Hooks::default().iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "mountOptions": namespace::mnt::options::words(),
        "linux": {
            "namespaces": NamespaceKind::ALL,
            "capabilities": capabilities,
            "cgroup": {"v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": SeccompAction::ALL,
                "operators": SeccompOp::ALL,
                "archs": SeccompArch::ALL,
                "knownFlags": SeccompFlag::ALL,
                "supportedFlags": supported_flags(),
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "memoryPolicy": {"modes": MemoryPolicyMode::ALL, "flags": MemoryPolicyFlag::ALL},
            "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
        },
        "annotations": {CHECKPOINTS: "true"},
        "potentiallyUnsafeConfigAnnotations": ANNOTATIONS,
    })
}

/// The flags that this kernel knows too. TSYNC is always so: the process that loads a filter has one thread.
fn supported_flags() -> Vec<SeccompFlag> {
    let knows = |flag: &SeccompFlag| match flag {
        SeccompFlag::Tsync => true,
        SeccompFlag::Log => sys::seccomp::knows(Flags::LOG),
        SeccompFlag::SpecAllow => sys::seccomp::knows(Flags::SPEC_ALLOW),
        SeccompFlag::WaitKillableRecv => sys::seccomp::knows(Flags::NEW_LISTENER.with(Flags::WAIT_KILLABLE_RECV)),
    };
    SeccompFlag::ALL.into_iter().filter(knows).collect()
}
