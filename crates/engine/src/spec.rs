//! From options to a configuration: Docker's default container, and what was asked for on top. Pure: what must be known of
//! the host comes in as [`HostFacts`].
//!
//! OCI runtime specification, config.md and config-linux.md; the defaults are those of Docker's engine.

mod linux;
mod mounts;
mod process;
mod resources;

pub use self::mounts::INIT;
pub(crate) use self::mounts::init_of;

use std::collections::BTreeMap;
use std::path::PathBuf;

use error::Result;
use oci::{Config, NamespaceKind, Process};

use crate::device::HostDevice;
use crate::disk::Disk;
use crate::options::{ExecOptions, Namespace, RunOptions, SeccompChoice};
use crate::record::short;
use crate::rootless::Ids;
use crate::user::ResolvedUser;
use crate::volume::Located;

pub use resources::{asked, merged};

/// The version of the specification that configurations follow.
const OCI_VERSION: &str = "1.3.0";

/// What must be known of the host.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    /// How many CPUs are online.
    pub cpus: u32,
    /// The host's name.
    pub hostname: String,
    /// The number of the last capability that the kernel knows (/proc/sys/kernel/cap_last_cap).
    pub last_capability: u32,
    /// The capabilities that carboy itself does not have here, a bit each by number, and cannot give to others.
    pub withheld_capabilities: u64,
    /// The CPUs with a folder thermal_throttle in /sys, which tells what others do.
    pub thermal_throttle: Vec<u32>,
    /// Where the program for `--init` is.
    pub init: Option<PathBuf>,
    /// The device nodes that were asked for, read by [`crate::device::read`].
    pub devices: Vec<HostDevice>,
    /// The ids that there are; `None` in the first user namespace, which has all of them.
    pub ids: Option<Ids>,
    /// The block devices that limits name, read by [`crate::disk::read`].
    pub disks: Vec<Disk>,
    /// The volumes that are mounted, by name.
    pub volumes: BTreeMap<String, Located>,
    /// The files that tell the container of its networks, or of those of the container whose network namespace it has, and
    /// their places in it.
    pub network_files: Vec<(PathBuf, &'static str)>,
}

/// Which container it is.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// 64 hexadecimal digits.
    pub id: String,
    /// OCI's `linux.cgroupsPath`.
    pub group: String,
    /// Where its root will be, on the host.
    pub root: String,
    /// For each kind of namespace that is joined, its file.
    pub joined: Vec<(NamespaceKind, String)>,
}

/// A configuration, and what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The configuration, without a seccomp profile.
    pub config: Config,
    /// The profile to put into it.
    pub seccomp: SeccompChoice,
    /// The fields of `linux.resources` that nobody asked for: where the host cannot have them they are dropped.
    pub defaulted: Vec<&'static str>,
}

/// The configuration of a container.
///
/// # Errors
/// Refused, naming the flag, for options that cannot be had here or do not go together.
pub fn config(options: &RunOptions, host: &HostFacts, user: &ResolvedUser, identity: &Identity) -> Result<Spec> {
    options.check(host)?;
    let security = &options.security;
    let hostname = hostname(options, host, identity);
    let (resources, defaulted) = linux::resources(options, host)?;
    let config = Config {
        oci_version: OCI_VERSION.to_owned(),
        process: Some(process::process(options, host, user, &hostname)?),
        root: Some(oci::Root { path: identity.root.clone(), readonly: options.read_only }),
        hostname: (options.namespaces.uts == Namespace::Private).then_some(hostname),
        domainname: options.domainname.clone(),
        mounts: mounts::mounts(options, host),
        annotations: options.annotations.clone(),
        linux: Some(linux::linux(options, host, identity, resources)?),
        ..Config::default()
    };
    let default = if security.privileged { SeccompChoice::Unconfined } else { SeccompChoice::Default };
    Ok(Spec { config, seccomp: security.seccomp.clone().unwrap_or(default), defaulted })
}

/// The process that `exec` starts in a container of `config`; `user` counts where `options` name one.
///
/// # Errors
/// Refused for a container without a process, and for a command without words.
pub fn exec_process(config: &Config, options: &ExecOptions, user: &ResolvedUser) -> Result<Process> {
    process::exec(config, options, user)
}

/// What the container calls itself: as asked, the host's name in the host's net or uts namespace, or its short id. Empty
/// where it is another container's to say.
fn hostname(options: &RunOptions, host: &HostFacts, identity: &Identity) -> String {
    match (&options.namespaces.uts, &options.hostname) {
        (Namespace::Private, Some(name)) => name.clone(),
        (Namespace::Private, None) if options.namespaces.net != Namespace::Host => short(&identity.id).to_owned(),
        (Namespace::Private, None) | (Namespace::Host, _) => host.hostname.clone(),
        (Namespace::Joined(_), _) => String::new(),
    }
}

#[cfg(test)]
mod tests;
