//! What a configuration may ask for and this runtime does not do: refused with the field's name, so that nothing is
//! accepted and then not applied.

use error::{Refused, Result};
use oci::{Config, Process};

/// Looks at every field of a configuration that is not applied.
///
/// # Errors
/// Refused for the first that asks for something.
pub(crate) fn check(config: &Config) -> Result<()> {
    if let Some(process) = &config.process {
        check_process(process)?;
    }
    for mount in &config.mounts {
        let field = format!("mounts[{}]", mount.destination);
        let unsupported = ["idmap", "ridmap", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow"];
        if let Some(word) = mount.options.iter().find(|word| unsupported.contains(&word.as_str())) {
            return refused(&field, word);
        }
        if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
            return refused(&field, "uidMappings");
        }
    }
    let Some(linux) = &config.linux else { return Ok(()) };
    let asked = [
        ("linux.netDevices", !linux.net_devices.is_empty()),
        ("linux.intelRdt", linux.intel_rdt.is_some()),
        ("linux.memoryPolicy", linux.memory_policy.is_some()),
        ("linux.personality", linux.personality.is_some()),
        ("linux.mountLabel", linux.mount_label.is_some()),
    ];
    if let Some((field, _)) = asked.into_iter().find(|(_, asked)| *asked) {
        return refused(field, "");
    }
    Ok(())
}

/// The same for a process, the first or one more.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_process(process: &Process) -> Result<()> {
    let apparmor = process.apparmor_profile.as_deref().filter(|profile| *profile != "unconfined");
    let asked = [
        ("process.apparmorProfile", apparmor.is_some()),
        ("process.selinuxLabel", process.selinux_label.is_some()),
        ("process.scheduler", process.scheduler.is_some()),
        ("process.ioPriority", process.io_priority.is_some()),
        ("process.execCPUAffinity", process.exec_cpu_affinity.is_some()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((field, _)) => refused(field, ""),
        None => Ok(()),
    }
}

fn refused(field: &str, value: &str) -> Result<()> {
    Err(Refused::new(field, value, "is not supported by this runtime").hint("leave it out").into())
}
