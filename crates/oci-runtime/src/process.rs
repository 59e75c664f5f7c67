//! What a process gets besides what its configuration says, and what of that it cannot get: descriptors of the caller,
//! its environment, capabilities, security modules.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};

use error::{Doing, Refused, Result};
use oci::{Capabilities, Linux, NamespaceKind, Process};
use runtime::label::Modules;
use runtime::resctrl;

use crate::arguments::Invocation;
use crate::report::Log;

/// The descriptors behind standard error that the process gets from the caller: sockets of systemd's first, sd_listen_fds(3),
/// then those of `--preserve-fds`.
pub(crate) struct Passed {
    listening: u32,
    names: Option<String>,
    preserved: u32,
}

impl Passed {
    /// Those for a container's first process.
    ///
    /// # Errors
    /// Refused where one of systemd's is not open. Of the others those are passed on that are open.
    pub(crate) fn to_first(invocation: &Invocation) -> Result<Self> {
        let text = |name: &str| std::env::var(name).ok();
        let number = |name: &str| text(name).and_then(|value| value.parse::<u32>().ok());
        let ours = number("LISTEN_PID") == Some(std::process::id());
        let listening = number("LISTEN_FDS").filter(|_| ours).unwrap_or(0);
        let names = text("LISTEN_FDNAMES").filter(|_| listening > 0);
        Self { listening, names, preserved: 0 }.checked(invocation)
    }

    /// Those for one more process.
    ///
    /// # Errors
    /// As [`Passed::to_first`].
    pub(crate) fn to_another(invocation: &Invocation) -> Result<Self> {
        Self { listening: 0, names: None, preserved: 0 }.checked(invocation)
    }

    fn checked(self, invocation: &Invocation) -> Result<Self> {
        let preserved = invocation.number("preserve-fds")?.unwrap_or(0);
        let passed = Self { preserved, ..self };
        match (3..3_u32.saturating_add(passed.listening)).find(|number| !sys::process::is_inherited(*number)) {
            None => Ok(passed),
            Some(number) => {
                let reason = format!("is not possible: descriptor {number} is not open");
                Err(Refused::new("LISTEN_FDS", passed.listening.to_string(), reason).into())
            }
        }
    }

    /// How many they are.
    pub(crate) fn count(&self) -> u32 {
        self.listening.saturating_add(self.preserved)
    }

    /// What tells the process of systemd's sockets.
    pub(crate) fn environment(&self) -> Vec<String> {
        if self.listening == 0 {
            return Vec::new();
        }
        let mut variables = vec![format!("LISTEN_FDS={}", self.listening), "LISTEN_PID=1".to_owned()];
        variables.extend(self.names.iter().map(|names| format!("LISTEN_FDNAMES={names}")));
        variables
    }
}

/// Holds the numbers of what the process gets from the caller, where the caller has left them free: a descriptor of this
/// program that got one would stay open in the process that waits to be started. execve closes what holds them.
///
/// # Errors
/// As [`Passed::to_first`]; a kernel error where there cannot be as many descriptors.
pub(crate) fn hold_free_numbers(invocation: &Invocation) -> Result<Vec<File>> {
    let passed = match invocation.command.as_str() {
        "create" | "run" => Passed::to_first(invocation)?,
        "exec" => Passed::to_another(invocation)?,
        _ => return Ok(Vec::new()),
    };
    let end = i32::try_from(passed.count().saturating_add(3)).unwrap_or(i32::MAX);
    let mut held = Vec::new();
    if passed.count() == 0 {
        return Ok(held);
    }
    loop {
        let file = File::open("/dev/null").doing(|| format!("pass on {} descriptors", passed.count()))?;
        if file.as_raw_fd() >= end {
            return Ok(held);
        }
        held.push(file);
    }
}

/// Of several values of a variable the last holds; and a process is told where its user is at home where nobody has said
/// so, by the container's own /etc/passwd.
///
/// # Errors
/// A kernel error where that cannot be read.
pub(crate) fn settle_environment(process: &mut Process, root: &OwnedFd) -> Result<()> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut seen = HashSet::new();
    let mut kept: Vec<String> = process.env.drain(..).rev().filter(|variable| seen.insert(name(variable))).collect();
    kept.reverse();
    process.env = kept;
    if process.env.iter().any(|variable| variable.starts_with("HOME=") && variable != "HOME=") {
        return Ok(());
    }
    process.env.retain(|variable| variable != "HOME=");
    let users = runtime::root::read_within(root, c"etc/passwd")?;
    let users = String::from_utf8_lossy(&users);
    let id = process.user.uid.to_string();
    let of_user = |line: &&str| line.split(':').nth(2) == Some(&id);
    let home = users.lines().find(of_user).and_then(|line| line.split(':').nth(5)).filter(|home| !home.is_empty());
    process.env.push(format!("HOME={}", home.unwrap_or("/")));
    Ok(())
}

/// The capabilities that a process can get, by bit: those of this process, and all of them in another user namespace.
///
/// # Errors
/// A kernel error.
pub(crate) fn grantable(linux: Option<&Linux>) -> Result<u64> {
    let namespaces = linux.map_or(&[][..], |linux| &linux.namespaces);
    if namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::User) {
        return Ok(u64::MAX);
    }
    Ok(sys::credentials::capabilities().doing(|| "look at the capabilities of this process")?.permitted)
}

/// Leaves out the capabilities that no kernel has and those that cannot be granted, with a warning. config.md "Linux
/// Process" has a runtime not fail for them.
pub(crate) fn possible_capabilities(process: &mut Process, grantable: u64, log: &Log) {
    let Some(capabilities) = &mut process.capabilities else { return };
    let Capabilities { bounding, effective, inheritable, permitted, ambient } = capabilities;
    let mut warned: Vec<(String, &str)> = Vec::new();
    let mut leave_out = |set: &mut Option<Vec<String>>, reason: &'static str, possible: &dyn Fn(&str) -> bool| {
        set.iter_mut().for_each(|set| {
            set.retain(|name| {
                let keep = possible(name);
                if !keep && !warned.iter().any(|(warned, _)| warned == name) {
                    warned.push((name.clone(), reason));
                }
                keep
            });
        });
    };
    let number = |name: &str| oci::CAPABILITIES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    for set in [bounding, &mut *effective, &mut *inheritable, &mut *permitted, &mut *ambient] {
        leave_out(set, "no kernel has it", &|name| number(name).is_some());
    }
    for set in [&mut *effective, &mut *inheritable, &mut *permitted, &mut *ambient] {
        let granted = |name: &str| number(name).is_some_and(|number| grantable & (1 << number) != 0);
        leave_out(set, "this process does not have it itself", &granted);
    }
    let has = |set: &Option<Vec<String>>, name: &str| set.iter().flatten().any(|held| held == name);
    let (inheritable, permitted) = (inheritable.clone(), permitted.clone());
    let reason = "as an ambient one it must be permitted and inheritable too";
    leave_out(ambient, reason, &|name| has(&inheritable, name) && has(&permitted, name));
    for (name, reason) in warned {
        log.warning(&format!("ignoring unknown or unavailable capabilities: [{name}]: {reason}"));
    }
}

/// The security modules of this host, looked for where the configuration has something for them.
///
/// # Errors
/// A kernel error.
pub(crate) fn modules(process: Option<&Process>, linux: Option<&Linux>) -> Result<Modules> {
    let process = process.is_some_and(|process| process.apparmor_profile.is_some() || process.selinux_label.is_some());
    let mounts = linux.is_some_and(|linux| linux.mount_label.is_some());
    if process || mounts { Modules::read() } else { Ok(Modules::default()) }
}

/// Where the container's group of resctrl is, if it is to have one.
///
/// # Errors
/// Refused where this host has no resctrl; a kernel error.
pub(crate) fn resctrl(id: &str, linux: Option<&Linux>) -> Result<Option<resctrl::Place>> {
    linux.and_then(|linux| linux.intel_rdt.as_ref()).map(|_| resctrl::Place::find(id)).transpose()
}
