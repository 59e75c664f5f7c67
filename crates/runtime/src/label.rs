//! What the kernel's security modules are told of a process: its AppArmor profile, its SELinux label. Runtime
//! specification, config.md "Linux Process"; Documentation/admin-guide/LSM/, proc_pid_attr(5).
//!
//! Both take effect when the program is executed, so they are written first of all, while /proc is still the caller's.

use child::Step;
use error::{Refused, Result};
use namespace::steps::Steps;
use oci::Config;
use procfs::Process;

/// The security modules that are at work on this host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modules {
    /// AppArmor, which confines by profiles.
    pub apparmor: Module,
    /// SELinux, which confines by labels of processes and files.
    pub selinux: Module,
}

/// Whether a security module is at work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Module {
    /// The kernel does not have it, was started without it, or it has no policy.
    #[default]
    Off,
    /// It is.
    On,
}

impl Modules {
    /// Looks at the host.
    ///
    /// # Errors
    /// A kernel error where /proc is not there.
    pub fn read() -> Result<Self> {
        let this = Process::this()?;
        let module = |works| if works { Module::On } else { Module::Off };
        let apparmor = this.attribute("apparmor/current").is_ok_and(|profile| !profile.is_empty());
        let registered = procfs::filesystems::read()?.iter().any(|known| known.name == "selinuxfs");
        // Before it has a policy, everything is the kernel's.
        let labelled = this.attribute("current").is_ok_and(|label| !matches!(label.as_str(), "" | "kernel"));
        Ok(Self { apparmor: module(apparmor), selinux: module(registered && labelled) })
    }
}

/// Plans what is told of a process.
///
/// # Errors
/// Refused for a profile or a label where its module is not at work.
pub(crate) fn plan(process: &oci::Process, modules: Modules, steps: &mut Steps<'_>) -> Result<()> {
    const APPARMOR: &str = "process.apparmorProfile";
    const SELINUX: &str = "process.selinuxLabel";
    match (process.apparmor_profile.as_deref(), modules.apparmor) {
        (None, _) | (Some("unconfined"), Module::Off) => {}
        (Some(profile), Module::Off) => return absent(APPARMOR, profile, "AppArmor is not enabled on this host"),
        (Some(profile), Module::On) => {
            let value = steps.text(APPARMOR, &format!("exec {profile}"))?.to_bytes();
            steps.push(Step::Attribute { path: c"apparmor/exec", value });
        }
    }
    match (process.selinux_label.as_deref(), modules.selinux) {
        (None, _) => {}
        (Some(label), Module::Off) => return absent(SELINUX, label, "SELinux is not enabled on this host"),
        (Some(label), Module::On) => {
            let value = steps.text(SELINUX, label)?.to_bytes();
            // The kernel forgets the label of new keys when the program is executed.
            for path in [c"exec", c"keycreate"] {
                steps.push(Step::Attribute { path, value });
            }
        }
    }
    Ok(())
}

/// Adds the label of `linux.mountLabel` to the mounts that take one: file systems of the container's own whose files have
/// no label of their own. selinux(8) "context=".
///
/// # Errors
/// Refused where SELinux is not at work.
pub fn label_mounts(config: &mut Config, modules: Modules) -> Result<()> {
    let Some(label) = config.linux.as_ref().and_then(|linux| linux.mount_label.clone()) else { return Ok(()) };
    if modules.selinux == Module::Off {
        return absent("linux.mountLabel", &label, "SELinux is not enabled on this host");
    }
    for mount in &mut config.mounts {
        let takes_one = matches!(mount.kind.as_deref(), Some("tmpfs" | "devpts" | "overlay" | "ramfs"));
        let is_bind = mount.options.iter().any(|word| matches!(word.as_str(), "bind" | "rbind"));
        let has_one = mount.options.iter().any(|word| word.contains("context="));
        if takes_one && !is_bind && !has_one {
            mount.options.push(format!("context={label}"));
        }
    }
    Ok(())
}

fn absent(field: &str, value: &str, reason: &str) -> Result<()> {
    Err(Refused::new(field, value, format!("cannot be applied: {reason}")).hint("leave it out").into())
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;

    use super::*;

    fn planned(profile: Option<&str>, label: Option<&str>, modules: Modules) -> Result<Vec<String>> {
        let arena = Bump::new();
        let mut steps = Steps::new(&arena);
        let (apparmor_profile, selinux_label) = (profile.map(str::to_owned), label.map(str::to_owned));
        plan(&oci::Process { apparmor_profile, selinux_label, ..oci::Process::default() }, modules, &mut steps)?;
        let written = steps.finish().into_iter().map(|step| match step {
            Step::Attribute { path, value } => {
                format!("{} {}", path.to_string_lossy(), String::from_utf8_lossy(value))
            }
            other => panic!("{other:?}"),
        });
        Ok(written.collect())
    }

    #[test]
    fn a_profile_and_a_label_go_to_the_module_that_is_at_work_and_are_refused_without_it() {
        let apparmor = Modules { apparmor: Module::On, ..Modules::default() };
        let selinux = Modules { selinux: Module::On, ..Modules::default() };
        let none = Modules::default();
        assert_eq!(planned(Some("docker-default"), None, apparmor).unwrap(), ["apparmor/exec exec docker-default"]);
        assert_eq!(planned(Some("unconfined"), None, none).unwrap(), [""; 0]);
        assert_eq!(planned(None, Some("u:r:t"), selinux).unwrap(), ["exec u:r:t", "keycreate u:r:t"]);
        let said = planned(Some("docker-default"), None, none).unwrap_err().to_string();
        assert!(said.contains("process.apparmorProfile docker-default"), "{said}");
        let said = planned(None, Some("u:r:t"), apparmor).unwrap_err().to_string();
        assert!(said.contains("process.selinuxLabel u:r:t"), "{said}");
    }

    #[test]
    fn the_label_of_the_mounts_goes_to_file_systems_of_the_containers_own() {
        let text = r#"{"ociVersion":"1.3.0","root":{"path":"r"},"linux":{"mountLabel":"u:r:t"},"mounts":[
            {"destination":"/proc","type":"proc"},{"destination":"/tmp","type":"tmpfs","options":["size=1m"]},
            {"destination":"/dev","type":"tmpfs","options":["rootcontext=u:r:x"]},
            {"destination":"/b","type":"bind","source":"/","options":["bind"]}]}"#;
        let mut config = Config::parse(text.as_bytes()).unwrap();
        let said = label_mounts(&mut config, Modules::default()).unwrap_err().to_string();
        assert!(said.contains("linux.mountLabel u:r:t"), "{said}");
        label_mounts(&mut config, Modules { selinux: Module::On, ..Modules::default() }).unwrap();
        let options: Vec<_> = config.mounts.iter().map(|mount| mount.options.join(",")).collect();
        assert_eq!(options, ["", "size=1m,context=u:r:t", "rootcontext=u:r:x", "bind"]);
    }
}
