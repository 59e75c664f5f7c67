//! What a configuration's types cannot express, as far as it can be known without looking at the host. What concerns one
//! room alone (the kernel's minimum of a limit, the names of system calls) is refused there.

use std::collections::BTreeSet;

use error::{Refused, Result};
use serde_json::Value;

use crate::{
    Config, Device, Hooks, IdMapping, Linux, Mount, NamespaceKind, Process, RLIMITS, Rlimit, Root, Seccomp, User,
};

impl Config {
    /// Checks the document on its own.
    ///
    /// Names of capabilities are left alone: config.md "Linux Process" has a runtime warn of those that it does not know.
    ///
    /// # Errors
    /// Refused for the first field that contradicts the specification or another field.
    pub fn check(&self) -> Result<()> {
        version(&self.oci_version)?;
        no_nul(self)?;
        root(self.root.as_ref())?;
        names(self)?;
        if let Some(process) = &self.process {
            process.check()?;
        }
        for (index, mount) in self.mounts.iter().enumerate() {
            check_mount(index, mount)?;
        }
        if let Some(hooks) = &self.hooks {
            check_hooks(hooks)?;
        }
        if self.annotations.contains_key("") {
            return Err(Refused::new("annotations", "", "has an empty key").into());
        }
        self.linux.as_ref().map_or(Ok(()), check_linux)
    }

    fn has_namespace(&self, kind: NamespaceKind) -> bool {
        self.linux.as_ref().is_some_and(|linux| linux.has_namespace(kind))
    }
}

impl Process {
    /// Checks the document on its own.
    ///
    /// # Errors
    /// As [`Config::check`].
    pub fn check(&self) -> Result<()> {
        absolute("process.cwd", &self.cwd)?;
        if self.args.first().is_none_or(String::is_empty) {
            return Err(Refused::new("process.args", "", "names no command").into());
        }
        user(&self.user)?;
        if let Some(umask) = self.user.umask.filter(|umask| *umask > 0o777) {
            return Err(Refused::new("process.user.umask", format!("{umask:#o}"), "is more than 0o777").into());
        }
        if let Some(score) = self.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
            return Err(Refused::new("process.oomScoreAdj", score.to_string(), "is not between -1000 and 1000").into());
        }
        if let Some(io) = self.io_priority.filter(|io| !(0..=7).contains(&io.priority)) {
            let value = io.priority.to_string();
            return Err(Refused::new("process.ioPriority.priority", value, "is not between 0 and 7").into());
        }
        rlimits(&self.rlimits)
    }
}

impl Linux {
    fn has_namespace(&self, kind: NamespaceKind) -> bool {
        self.namespaces.iter().any(|namespace| namespace.kind == kind)
    }
}

/// `MAJOR.MINOR.PATCH`, with `-PRERELEASE` or `+BUILD` behind it. semver.org.
fn version(text: &str) -> Result<()> {
    let numbers = text.split_once(['-', '+']).map_or(text, |(numbers, _)| numbers);
    let numbers: Option<Vec<u32>> = numbers.split('.').map(|number| number.parse().ok()).collect();
    let refused = |reason: &str| Refused::new("ociVersion", text, reason).hint("use 1.3.0").into();
    match numbers.as_deref() {
        Some([1, _, _]) => Ok(()),
        Some([_, _, _]) => Err(refused("is not a version 1 of the runtime specification")),
        _ => Err(refused("is not a version like 1.3.0")),
    }
}

/// The kernel would take what stands before a NUL for the whole text.
fn no_nul(config: &Config) -> Result<()> {
    // JSON escapes a NUL with a backslash, and few documents have any: only then it is worth to look at every text.
    let written = serde_json::to_vec(config).unwrap_or_default();
    if !written.contains(&b'\\') {
        return Ok(());
    }
    let document = serde_json::to_value(config).unwrap_or_default();
    match nul_below(&document, "") {
        Some((field, text)) => {
            Err(Refused::new(field, text.escape_debug().to_string(), "holds a NUL character").into())
        }
        None => Ok(()),
    }
}

/// The path of the first text with a NUL, and the text.
fn nul_below<'v>(value: &'v Value, path: &str) -> Option<(String, &'v str)> {
    match value {
        Value::String(text) if text.contains('\0') => Some((path.to_owned(), text)),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| nul_below(item, &format!("{path}[{index}]")))
        }
        Value::Object(fields) => fields.iter().find_map(|(key, item)| {
            if key.contains('\0') {
                return Some((path.to_owned(), key.as_str()));
            }
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            nul_below(item, &path)
        }),
        _ => None,
    }
}

fn root(root: Option<&Root>) -> Result<()> {
    match root {
        None => Err(Refused::new("root", "", "is missing").into()),
        Some(root) if root.path.is_empty() => Err(Refused::new("root.path", "", "is empty").into()),
        Some(_) => Ok(()),
    }
}

fn names(config: &Config) -> Result<()> {
    for (field, name) in [("hostname", &config.hostname), ("domainname", &config.domainname)] {
        if let Some(name) = name.as_deref().filter(|_| !config.has_namespace(NamespaceKind::Uts)) {
            return Err(Refused::new(field, name, "would rename the host")
                .hint("give the container a uts namespace of its own")
                .into());
        }
    }
    Ok(())
}

fn absolute(field: &str, path: &str) -> Result<()> {
    match path {
        "" => Err(Refused::new(field, "", "is empty").into()),
        path if !path.starts_with('/') => Err(Refused::new(field, path, "is not an absolute path").into()),
        _ => Ok(()),
    }
}

/// The last number is no id: to setresuid(2) and chown(2) it means that nothing changes.
fn user(user: &User) -> Result<()> {
    let refused = |field: String| Refused::new(field, u32::MAX.to_string(), "is no id").into();
    if let Some((name, _)) = [("uid", user.uid), ("gid", user.gid)].iter().find(|(_, id)| *id == u32::MAX) {
        return Err(refused(format!("process.user.{name}")));
    }
    match user.additional_gids.iter().position(|id| *id == u32::MAX) {
        Some(index) => Err(refused(format!("process.user.additionalGids[{index}]"))),
        None => Ok(()),
    }
}

fn rlimits(rlimits: &[Rlimit]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (index, Rlimit { kind, soft, hard }) in rlimits.iter().enumerate() {
        let field = format!("process.rlimits[{index}]");
        if !RLIMITS.iter().any(|(name, _)| name == kind) {
            return Err(Refused::new(format!("{field}.type"), kind, "is no resource that Linux limits").into());
        }
        if !seen.insert(kind) {
            return Err(Refused::new(format!("{field}.type"), kind, "is limited a second time").into());
        }
        if soft > hard {
            let reason = format!("is more than the hard limit of {hard}");
            return Err(Refused::new(format!("{field}.soft"), soft.to_string(), reason).into());
        }
    }
    Ok(())
}

fn check_mount(index: usize, mount: &Mount) -> Result<()> {
    let field = format!("mounts[{index}]");
    if mount.destination.is_empty() {
        return Err(Refused::new(format!("{field}.destination"), "", "is empty").into());
    }
    let (users, groups) = (&mount.uid_mappings, &mount.gid_mappings);
    if users.is_empty() != groups.is_empty() {
        let missing = if users.is_empty() { "uidMappings" } else { "gidMappings" };
        let reason = "is missing, and users and groups can only be mapped together";
        return Err(Refused::new(format!("{field}.{missing}"), "", reason).into());
    }
    mappings(&format!("{field}.uidMappings"), users)?;
    mappings(&format!("{field}.gidMappings"), groups)
}

fn check_hooks(hooks: &Hooks) -> Result<()> {
    for (name, list) in hooks.iter() {
        for (index, hook) in list.iter().enumerate() {
            let field = format!("hooks.{name}[{index}]");
            absolute(&format!("{field}.path"), &hook.path)?;
            if let Some(seconds) = hook.timeout.filter(|seconds| *seconds <= 0) {
                return Err(Refused::new(format!("{field}.timeout"), seconds.to_string(), "is not above 0").into());
            }
        }
    }
    Ok(())
}

fn check_linux(linux: &Linux) -> Result<()> {
    namespaces(linux)?;
    for (field, list) in [("linux.uidMappings", &linux.uid_mappings), ("linux.gidMappings", &linux.gid_mappings)] {
        if !list.is_empty() && !linux.has_namespace(NamespaceKind::User) {
            return Err(Refused::new(field, "", "needs a user namespace")
                .hint("add {\"type\": \"user\"} to linux.namespaces")
                .into());
        }
        mappings(field, list)?;
    }
    time_offsets(linux)?;
    for (field, list) in [("linux.maskedPaths", &linux.masked_paths), ("linux.readonlyPaths", &linux.readonly_paths)] {
        for (index, path) in list.iter().enumerate() {
            absolute(&format!("{field}[{index}]"), path)?;
        }
    }
    net_devices(linux)?;
    for (index, device) in linux.devices.iter().enumerate() {
        check_device(&format!("linux.devices[{index}]"), device)?;
    }
    linux.seccomp.as_ref().map_or(Ok(()), check_seccomp)
}

fn namespaces(linux: &Linux) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let field = format!("linux.namespaces[{index}]");
        if !seen.insert(namespace.kind) {
            return Err(Refused::new(format!("{field}.type"), namespace.kind.name(), "is there a second time").into());
        }
        if let Some(path) = &namespace.path {
            absolute(&format!("{field}.path"), path)?;
        }
    }
    Ok(())
}

/// Ranges that are empty, end beyond the last id or overlap; the kernel would answer each with a bare EINVAL.
fn mappings(field: &str, mappings: &[IdMapping]) -> Result<()> {
    let shown = |mapping: &IdMapping| format!("{}:{}:{}", mapping.container_id, mapping.host_id, mapping.size);
    let overlap = |one: u32, other: u32, sizes: (u32, u32)| {
        if one < other { other - one < sizes.0 } else { one - other < sizes.1 }
    };
    for (index, mapping) in mappings.iter().enumerate() {
        let IdMapping { container_id, host_id, size } = *mapping;
        let refused = |reason: String| Refused::new(format!("{field}[{index}]"), shown(mapping), reason);
        if size == 0 {
            return Err(refused("maps no id".to_owned()).into());
        }
        if container_id.checked_add(size).is_none() || host_id.checked_add(size).is_none() {
            return Err(refused("ends beyond the last id".to_owned()).into());
        }
        let earlier = mappings.iter().take(index).find(|earlier| {
            let sizes = (earlier.size, size);
            overlap(earlier.container_id, container_id, sizes) || overlap(earlier.host_id, host_id, sizes)
        });
        if let Some(earlier) = earlier {
            return Err(refused(format!("overlaps with {}", shown(earlier))).into());
        }
    }
    Ok(())
}

fn time_offsets(linux: &Linux) -> Result<()> {
    for (clock, offset) in linux.time_offsets.iter().flatten() {
        let field = format!("linux.timeOffsets.{clock}");
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            let refused = Refused::new(field, "", "is a clock that the kernel cannot shift");
            return Err(refused.hint("use monotonic or boottime").into());
        }
        if !linux.has_namespace(NamespaceKind::Time) {
            let refused = Refused::new(field, offset.secs.to_string(), "needs a time namespace");
            return Err(refused.hint("add {\"type\": \"time\"} to linux.namespaces").into());
        }
        if offset.nanosecs >= 1_000_000_000 {
            let value = offset.nanosecs.to_string();
            return Err(Refused::new(format!("{field}.nanosecs"), value, "is a second or more").into());
        }
    }
    Ok(())
}

/// Names as the kernel takes them (`dev_valid_name`), each used once, and a namespace to move them to.
fn net_devices(linux: &Linux) -> Result<()> {
    let mut names = BTreeSet::new();
    for (host, device) in &linux.net_devices {
        let field = format!("linux.netDevices.{host}");
        if !linux.has_namespace(NamespaceKind::Net) {
            let refused = Refused::new(field, "", "needs a network namespace to be moved to");
            return Err(refused.hint("add {\"type\": \"network\"} to linux.namespaces").into());
        }
        let name = device.name.as_deref().filter(|name| !name.is_empty());
        net_name("linux.netDevices", host)?;
        let (field, name) = name.map_or((field.clone(), host.as_str()), |name| (format!("{field}.name"), name));
        net_name(&field, name)?;
        if name.contains('%') && (name.matches('%').count() != 1 || !name.contains("%d")) {
            let refused = Refused::new(field, name, "is not the name of a network device");
            return Err(refused.hint("% can only stand once and in %d, which is a number that is free").into());
        }
        if !name.contains('%') && !names.insert(name) {
            return Err(Refused::new(field, name, "is the name of another of its devices too").into());
        }
    }
    Ok(())
}

fn net_name(field: &str, name: &str) -> Result<()> {
    let odd = |c: char| matches!(c, '/' | ':') || c.is_ascii_whitespace() || c == '\u{b}';
    if matches!(name, "" | "." | "..") || name.len() > 15 || name.contains(odd) {
        let refused = Refused::new(field, name.escape_debug().to_string(), "is not the name of a network device");
        return Err(refused.hint("it has 1 to 15 bytes without spaces, / and :").into());
    }
    Ok(())
}

fn check_device(field: &str, device: &Device) -> Result<()> {
    absolute(&format!("{field}.path"), &device.path)?;
    if !matches!(device.kind.as_str(), "c" | "u" | "b" | "p") {
        let refused = Refused::new(format!("{field}.type"), &device.kind, "is no type of device node");
        return Err(refused.hint("use c, u, b or p").into());
    }
    for (name, number) in [("major", device.major), ("minor", device.minor)] {
        match number {
            None if device.kind == "p" => {}
            None => return Err(Refused::new(format!("{field}.{name}"), "", "is missing").into()),
            Some(number) if u32::try_from(number).is_err() => {
                let value = number.to_string();
                return Err(Refused::new(format!("{field}.{name}"), value, "is no device number").into());
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_seccomp(seccomp: &Seccomp) -> Result<()> {
    if let Some(metadata) = seccomp.listener_metadata.as_deref().filter(|_| seccomp.listener_path.is_none()) {
        return Err(Refused::new("linux.seccomp.listenerMetadata", metadata, "needs a listenerPath").into());
    }
    match seccomp.syscalls.iter().position(|rule| rule.names.is_empty()) {
        Some(index) => Err(Refused::new(format!("linux.seccomp.syscalls[{index}].names"), "", "is empty").into()),
        None => Ok(()),
    }
}
