//! `features`: what this runtime can do, for engines that ask before they try. Runtime specification, features.md and
//! features-linux.md.

use error::Result;
use serde_json::{Value, json};

use crate::container::pretty;
use crate::create::OCI_VERSION;
use crate::report;

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
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": {"v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
                    "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
                    "SCMP_CMP_NE",
                ],
                "archs": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
            },
            "apparmor": {"enabled": false},
            "selinux": {"enabled": false},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": false}},
            "netDevices": {"enabled": false},
        },
        "annotations": {},
        "potentiallyUnsafeConfigAnnotations": [],
    })
}
