//! The mnt namespace: a private copy of the host's mounts, in which the container's root is put together and becomes the
//! only one. mount_namespaces(7), pivot_root(2); runtime specification, "Mounts" and "Default Filesystems".
//!
//! What has its source on the host is opened and copied by the parent, as a detached mount: the child only puts it in its
//! place. What belongs to the container's namespaces (proc, mqueue, devpts …) is made by the child, so that its
//! namespaces own it.

pub mod devices;
pub mod id_map;
pub mod options;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use child::{Begins, Existing, Step, Turn};
use error::{Refused, Result};
use oci::{Config, Mount, NamespaceKind};
use sys::mount::{Attributes, Propagation, Reach};
use sys::path::Missing;

use crate::steps::Steps;
use crate::{Relation, relation};
use id_map::Ids;
use options::{Manner, Options};

/// A detached mount that the parent prepares; a step names it by its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// A view of a path of the host.
    Bind {
        /// The path.
        source: String,
        /// One mount, or all below it too.
        reach: Reach,
        /// Attributes, propagation, and whether a symbolic link is followed.
        options: Box<Options>,
        /// Whose ids the files have, there and, with a reach, below.
        ids: Option<(Ids, Reach)>,
    },
    /// The host's node of a device.
    Node {
        /// Its path.
        source: String,
        /// Its type, as mknod(2) takes it.
        mode: u32,
        /// The kernel's encoding of the device number.
        number: u32,
    },
    /// A view of the container's own group in one hierarchy.
    Group {
        /// Its place in [`Facts::groups`].
        index: usize,
        /// Attributes to set.
        set: Attributes,
    },
}

/// Whether device nodes can be made, or must be taken from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// They can be made.
    #[default]
    MakesNodes,
    /// They are the host's.
    BindsHostNodes,
}

impl View {
    /// What holds for a container where this holds for its maker.
    fn inside(self, user: Relation<'_>) -> Self {
        if user == Relation::Host { self } else { Self::BindsHostNodes }
    }
}

/// What a path of the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A folder.
    Folder,
    /// Anything else that is there.
    File,
    /// Nothing.
    Absent,
}

/// What must be known of the host before the mounts can be planned.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What the sources of bind mounts are, by their paths.
    pub sources: BTreeMap<String, Source>,
    /// What those of them that are symbolic links point to.
    pub links: BTreeMap<String, String>,
    /// Those that lie on a procfs.
    pub on_procfs: BTreeSet<String>,
    /// The folder names below the container's cgroup mount, one for each hierarchy in which it has a group; one empty name
    /// where the only hierarchy is v2, which then is the mount itself.
    pub groups: Vec<String>,
    /// Whether device nodes can be made here.
    pub view: View,
    /// Whether the kernel shows its memory as /proc/kcore, which /dev/core stands for.
    pub has_kcore: bool,
    /// How the container's root becomes its process's.
    pub jail: Jail,
}

/// Plans the container's root: its mounts, nodes and links, up to the point where all is there but nothing hidden yet.
///
/// # Errors
/// Refused for a mount that cannot be had.
pub fn plan(config: &Config, facts: &Facts, steps: &mut Steps<'_>) -> Result<Vec<Prepared>> {
    let mut prepared = Vec::new();
    // Folders and nodes get the permissions that they are made with, whatever the caller's umask.
    steps.push(Step::Umask(0));
    if keeps_its_mounts(config) {
        let propagation = host_propagation(config)?;
        steps.push(Step::RootPropagation(propagation));
        steps.push(Step::Await(Turn::Root));
        steps.push(Step::AttachRoot(propagation));
    } else {
        plan_cover(config, steps)?;
    }
    plan_mounts(config, &config.mounts, facts, (steps, &mut prepared))?;
    let binds_dev = |mount: &Mount| is_bind(mount) && place::inside(&mount.destination) == "dev";
    if !config.mounts.iter().any(binds_dev) {
        devices::plan(config, facts, steps, &mut prepared)?;
    }
    Ok(prepared)
}

/// Whether the container's mount namespace is its own, and goes with it. In one that is others' too nothing but its root's
/// folder may change: the mounts are made on a mount of that folder, and what is to be undone is that one.
#[must_use]
pub fn keeps_its_mounts(config: &Config) -> bool {
    relation(config, NamespaceKind::Mnt) == Relation::Own
}

fn plan_cover(config: &Config, steps: &mut Steps<'_>) -> Result<()> {
    let here = relation(config, NamespaceKind::Mnt) == Relation::Host;
    if here && relation(config, NamespaceKind::User) != Relation::Host {
        let reason = "has a user namespace and no mount namespace: its root may mount nothing in the host's";
        return Err(Refused::new("linux.namespaces", "", reason).hint("add {\"type\": \"mount\"}").into());
    }
    let root = config.root.as_ref().map_or("", |root| root.path.as_str());
    steps.push(Step::Await(Turn::Root));
    steps.push(Step::CoverFolder(steps.text("root.path", root)?));
    Ok(())
}

/// Plans mounts in a container's root.
///
/// # Errors
/// Refused for a mount that cannot be had.
pub fn plan_mounts(
    config: &Config,
    mounts: &[Mount],
    facts: &Facts,
    (steps, prepared): (&mut Steps<'_>, &mut Vec<Prepared>),
) -> Result<()> {
    for mount in mounts {
        let options = options::parse(&mount.options);
        let ids = id_map::plan(config, mount, &options)?;
        if is_bind(mount) {
            plan_bind((config, mount), (options, ids), facts, (steps, prepared))?;
        } else if options.has(Manner::Remount) {
            plan_remount(mount, &options, steps)?;
        } else if mount.kind.as_deref() == Some("cgroup") {
            plan_groups((config, mount), &options, facts, (steps, prepared))?;
        } else {
            plan_mount((config, mount), &options, facts, steps)?;
        }
    }
    Ok(())
}

/// Plans that what is mounted at the destinations of mounts is taken away.
///
/// # Errors
/// Refused for the root itself.
pub fn plan_removal(mounts: &[Mount], steps: &mut Steps<'_>) -> Result<()> {
    for Mount { destination, .. } in mounts {
        let inside = place::inside(destination);
        if inside.is_empty() {
            return Err(Refused::new("mounts.destination", destination, "is the container's root").into());
        }
        let (folder, name) = inside.rsplit_once('/').unwrap_or(("", &inside));
        let (folder, name) = (steps.inside("mounts.destination", folder)?, steps.text("mounts.destination", name)?);
        steps.push(Step::Detach { at: steps.text("mounts.destination", &inside)?, folder, name });
    }
    Ok(())
}

fn is_bind(mount: &Mount) -> bool {
    let bind = |word: &String| matches!(word.as_str(), "bind" | "rbind");
    mount.kind.as_deref() == Some("bind") || mount.options.iter().any(bind)
}

/// How the container's root becomes the process's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Jail {
    /// It becomes the only one: pivot_root(2).
    #[default]
    Pivot,
    /// It covers the host's, which stays below it: where that is an initramfs, which cannot be let go of. What shows the
    /// host's kernel to who finds the way there, at these paths, is taken away.
    ChangeRoot(Vec<String>),
}

/// Hides what the configuration wants hidden, makes the root the process's, and sets its attributes.
///
/// # Errors
/// Refused for a path with a NUL in it or an unknown propagation.
pub fn plan_jail(config: &Config, facts: &Facts, steps: &mut Steps<'_>) -> Result<()> {
    if let Some(linux) = &config.linux {
        let label = linux.mount_label.as_deref().map(|label| steps.text("linux.mountLabel", label)).transpose()?;
        for path in &linux.masked_paths {
            steps.push(Step::Mask { at: steps.inside("linux.maskedPaths", path)?, label });
        }
        for path in &linux.readonly_paths {
            steps.push(Step::ReadOnly(steps.inside("linux.readonlyPaths", path)?));
        }
    }
    match &facts.jail {
        Jail::Pivot if keeps_its_mounts(config) => steps.push(Step::PivotRoot),
        Jail::Pivot => steps.push(Step::ChangeRoot),
        Jail::ChangeRoot(shown) => {
            for path in shown {
                steps.push(Step::Uncover(steps.text("--no-pivot", path)?));
            }
            steps.push(Step::ChangeRoot);
        }
    }
    // pivot_root(2) wants no root that is shared, and a root that is unbindable could not have been bound.
    if let Some((propagation @ (Propagation::Shared | Propagation::Unbindable), reach)) = root_propagation(config)? {
        steps.push(Step::Propagation { propagation, reach });
    }
    if config.root.as_ref().is_some_and(|root| root.readonly) {
        steps.push(Step::RootReadOnly);
    }
    let can_copy = facts.jail == Jail::Pivot && keeps_its_mounts(config) && config.mounts.iter().any(is_bind);
    if let Some(unbindable) = unbindable(config)?.filter(|_| can_copy) {
        steps.push(Step::CopyMounts);
        for (place, reach) in unbindable {
            steps.push(Step::Unbindable { at: steps.inside("mounts.destination", &place)?, reach });
        }
    }
    Ok(())
}

/// The places of the mounts that are to be unbindable, which a copy of them would not be. None where such a mount cannot be
/// told from another that lies at its place, above or below it.
fn unbindable(config: &Config) -> Result<Option<Vec<(String, Reach)>>> {
    let mut places = Vec::new();
    if let Some((Propagation::Unbindable, reach)) = root_propagation(config)? {
        places.push((String::new(), reach));
    }
    let is_asked = |mount: &Mount| mount.options.iter().any(|word| word.ends_with("unbindable"));
    for (number, mount) in config.mounts.iter().enumerate().filter(|(_, mount)| is_asked(mount)) {
        let options = options::parse(&mount.options);
        let Some((Propagation::Unbindable, reach)) = options.propagation else { continue };
        let at = place::inside(&mount.destination);
        let meets = |later: &Mount| {
            let other = place::inside(&later.destination);
            Path::new(&other).starts_with(&at) || Path::new(&at).starts_with(&other)
        };
        if config.mounts.iter().skip(number + 1).any(meets) || !options.manners.is_empty() {
            return Ok(None);
        }
        places.push((at, reach));
    }
    Ok(Some(places))
}

fn root_propagation(config: &Config) -> Result<Option<(Propagation, Reach)>> {
    let word = config.linux.as_ref().and_then(|linux| linux.rootfs_propagation.as_deref()).unwrap_or("");
    if word.is_empty() {
        return Ok(None);
    }
    options::propagation(word).map(Some).ok_or_else(|| {
        Refused::new("linux.rootfsPropagation", word, "is no propagation")
            .hint("use private, slave, shared or unbindable, with r before it for all mounts below")
            .into()
    })
}

/// The copies of the host's mounts take part in nothing, unless the container's root is to receive from the host.
fn host_propagation(config: &Config) -> Result<Propagation> {
    Ok(match root_propagation(config)? {
        Some((Propagation::Slave, _)) => Propagation::Slave,
        _ => Propagation::Private,
    })
}

/// What a view of the host takes part in that does not say it: as little as can be, or what holds for all mounts.
fn default_propagation(config: &Config) -> Result<(Propagation, Reach)> {
    Ok(match root_propagation(config)? {
        Some((propagation @ (Propagation::Slave | Propagation::Shared), Reach::Recursive)) => {
            (propagation, Reach::Recursive)
        }
        _ => (Propagation::Private, Reach::Recursive),
    })
}

fn plan_bind(
    (config, mount): (&Config, &Mount),
    (mut options, ids): (Options, Option<(Ids, Reach)>),
    facts: &Facts,
    (steps, prepared): (&mut Steps<'_>, &mut Vec<Prepared>),
) -> Result<()> {
    let field = format!("mounts[{}]", mount.destination);
    let source = mount.source.clone().unwrap_or_default();
    let link = facts.links.get(&source);
    let refused = |value: &str, reason: &str| Err(Refused::new(format!("{field}.options"), value, reason).into());
    if options.has(Manner::CopyUp) {
        return refused("tmpcopyup", "is for a tmpfs");
    }
    if let Some((key, _)) = options.data.first() {
        return refused(key, "means nothing for a bind mount: the file system is the host's");
    }
    if options.has(Manner::CopyLink) {
        if options.has(Manner::SourceItself) || options.has(Manner::DestinationItself) {
            return refused("copy-symlink", "cannot be had together with src-nofollow or dest-nofollow");
        }
        if let Some(target) = link {
            return plan_link(mount, target, steps);
        }
    }
    let missing = match facts.sources.get(&source) {
        _ if link.is_some() && options.has(Manner::SourceItself) => Missing::File,
        Some(Source::Folder) => Missing::Folder,
        Some(Source::File) => Missing::File,
        Some(Source::Absent) | None => {
            let refused = Refused::new(format!("the bind source for {}", mount.destination), source, "does not exist");
            return Err(refused.hint("create it first").into());
        }
    };
    let covers = place::covers(mount, (&options, facts))?;
    let at = place::at(mount, steps)?;
    options.propagation = Some(options.propagation.map_or_else(|| default_propagation(config), Ok)?);
    let reach = options.bind.unwrap_or(Reach::One);
    steps.push(Step::Place { handle: prepared.len(), at, missing, covers });
    prepared.push(Prepared::Bind { source, reach, options: Box::new(options), ids });
    Ok(())
}

/// A link like the one on the host.
fn plan_link(mount: &Mount, target: &str, steps: &mut Steps<'_>) -> Result<()> {
    let inside = place::inside(&mount.destination);
    let (folder, name) = inside.rsplit_once('/').unwrap_or(("", &inside));
    let (folder, name) = (steps.inside("mounts", folder)?, steps.text("mounts", name)?);
    let target = steps.text("mounts.source", target)?;
    steps.push(Step::Link { existing: Existing::MustBeSame, target, folder, name });
    Ok(())
}

fn plan_remount(mount: &Mount, options: &Options, steps: &mut Steps<'_>) -> Result<()> {
    let field = format!("mounts[{}]", mount.destination);
    steps.push(Step::Reconfigure {
        options: data(&field, options, steps)?,
        set: options.attributes(),
        clear: Attributes(options.clear.0 | options.clear_below.0),
        at: steps.inside(&field, &place::inside(&mount.destination))?,
    });
    Ok(())
}

/// The options for the file system itself.
fn data<'a>(field: &str, options: &Options, steps: &Steps<'a>) -> Result<child::Options<'a>> {
    let mut data = Vec::with_capacity(options.data.len());
    for (key, value) in &options.data {
        let value = value.as_deref().map(|value| steps.text(field, value)).transpose()?;
        data.push((steps.text(field, key)?, value));
    }
    Ok(steps.slice(&data))
}

fn plan_mount(
    (config, mount): (&Config, &Mount),
    options: &Options,
    facts: &Facts,
    steps: &mut Steps<'_>,
) -> Result<()> {
    let kind = mount.kind.as_deref().unwrap_or("");
    let field = format!("mounts[{}]", mount.destination);
    if kind.is_empty() {
        return Err(Refused::new(field, "", "has neither a type nor a bind option").into());
    }
    let of_binds = ["copy-symlink", "src-nofollow", "dest-nofollow"];
    if let Some(word) = mount.options.iter().find(|word| of_binds.contains(&word.as_str())) {
        return Err(Refused::new(format!("{field}.options"), word, "is for bind mounts").into());
    }
    let covers = place::covers(mount, (options, facts))?;
    let at = place::at(mount, steps)?;
    let (attributes, propagation) = (options.attributes(), options.propagation.map(|(propagation, _)| propagation));
    let mut data = data(&field, options, steps)?;
    if kind == "tmpfs"
        && let Some(begins) = begins(options)
    {
        steps.push(Step::Tmpfs { options: data, attributes, at, propagation, begins });
        return Ok(());
    }
    if options.has(Manner::CopyUp) {
        return Err(Refused::new(format!("{field}.options"), "tmpcopyup", "is for a tmpfs").into());
    }
    let instead = if options.data.is_empty() { view_instead(config, kind, facts) } else { None };
    if let Some(source) = mount.source.as_deref().filter(|source| !source.is_empty()) {
        data = steps.slice(&[data, &[(c"source", Some(steps.text(&field, source)?))]].concat());
    }
    let kind = steps.text(&field, kind)?;
    steps.push(Step::Mount { kind, options: data, attributes, at, propagation, covers, instead });
    Ok(())
}

/// With what a tmpfs begins; `None` where its options say all.
fn begins(options: &Options) -> Option<Begins> {
    let says = |keys: &[&str]| options.data.iter().any(|(key, _)| keys.contains(&key.as_str()));
    match options.has(Manner::CopyUp) {
        true if says(&["mode", "uid", "gid"]) => Some(Begins::Contents),
        true => Some(Begins::Copy),
        false if says(&["mode"]) => None,
        false => Some(Begins::Permissions),
    }
}

/// The host's mount of a file system that shows a namespace which the container does not own: who is in another user
/// namespace may not mount it.
fn view_instead(config: &Config, kind: &str, facts: &Facts) -> Option<&'static std::ffi::CStr> {
    let (path, namespace) = match kind {
        "sysfs" => (c"/sys", NamespaceKind::Net),
        "mqueue" => (c"/dev/mqueue", NamespaceKind::Ipc),
        "proc" => (c"/proc", NamespaceKind::Pid),
        _ => return None,
    };
    let foreign = relation(config, NamespaceKind::User) != Relation::Host || facts.view == View::BindsHostNodes;
    (foreign && relation(config, namespace) != Relation::Own).then_some(path)
}

/// The container's own groups, a folder for each hierarchy, on a small file system of their own. They are views of the
/// groups' folders, which costs a tenth of mounting every hierarchy anew and shows the same. Where v2 is alone and the
/// container has the host's cgroup namespace, it is the host's tree, by whose names /proc/self/cgroup speaks.
fn plan_groups(
    (config, mount): (&Config, &Mount),
    options: &Options,
    facts: &Facts,
    (steps, prepared): (&mut Steps<'_>, &mut Vec<Prepared>),
) -> Result<()> {
    let covers = place::covers(mount, (options, facts))?;
    let at = place::at(mount, steps)?;
    let safe = Attributes::NOSUID.with(Attributes::NODEV).with(Attributes::NOEXEC);
    let read_only = options.attributes().0 & Attributes::READ_ONLY.0 != 0;
    let alone = facts.groups.first().is_some_and(String::is_empty);
    let of_host = [NamespaceKind::Cgroup, NamespaceKind::User].map(|kind| relation(config, kind));
    if alone && of_host == [Relation::Host; 2] && facts.view == View::MakesNodes {
        let attributes = options.attributes().with(safe);
        let (kind, options) = (c"cgroup2", steps.slice(&[]));
        steps.push(Step::Mount { kind, options, attributes, at, propagation: None, covers, instead: None });
        return Ok(());
    }
    if !alone {
        let options = steps.slice(&[(c"mode", Some(c"755")), (c"size", Some(c"64k"))]);
        let (kind, attributes) = (c"tmpfs", safe);
        steps.push(Step::Mount { kind, options, attributes, at, propagation: None, covers, instead: None });
    }
    for (index, name) in facts.groups.iter().enumerate() {
        let at = steps.inside("mounts", &format!("{}/{name}", place::inside(&mount.destination)))?;
        steps.push(Step::Place { handle: prepared.len(), at, missing: Missing::Folder, covers });
        prepared.push(Prepared::Group { index, set: safe });
    }
    let links = ["cpu,cpuacct", "cpuacct,cpu", "net_cls,net_prio", "net_prio,net_cls"];
    for name in links.iter().filter(|name| facts.groups.iter().any(|group| group == *name)) {
        for controller in name.split(',') {
            let (target, name) = (steps.text("mounts", name)?, steps.text("mounts", controller)?);
            steps.push(Step::Link { existing: Existing::Stays, target, folder: at, name });
        }
    }
    if read_only {
        steps.push(Step::Remount { at, set: Attributes::READ_ONLY, reach: Reach::Recursive });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;

    use super::*;

    #[test]
    fn what_hides_a_folder_bears_the_label_of_the_mounts() {
        for (label, expected) in [("", None), (r#""mountLabel":"u:r:t","#, Some(c"u:r:t"))] {
            let text = format!(
                r#"{{"ociVersion":"1.3.0","root":{{"path":"r"}},"linux":{{{label}"maskedPaths":["/proc/acpi"]}}}}"#
            );
            let config = Config::parse(text.as_bytes()).unwrap();
            let arena = Bump::new();
            let mut steps = Steps::new(&arena);
            plan_jail(&config, &Facts::default(), &mut steps).unwrap();
            let first = steps.finish().into_iter().next();
            assert!(
                matches!(first, Some(Step::Mask { at, label }) if at == c"proc/acpi" && label == expected),
                "{first:?}"
            );
        }
    }

    #[test]
    fn dev_core_is_a_link_where_there_is_something_to_point_to() {
        for has_kcore in [false, true] {
            let facts = Facts { has_kcore, ..Facts::default() };
            let config = Config::parse(br#"{"ociVersion":"1.3.0","root":{"path":"r"}}"#).unwrap();
            let arena = Bump::new();
            let mut steps = Steps::new(&arena);
            devices::plan(&config, &facts, &mut steps, &mut Vec::new()).unwrap();
            let core = |step: &Step<'_>| matches!(step, Step::Link { name, target, .. } if *name == c"core" && *target == c"/proc/kcore");
            assert_eq!(steps.finish().iter().any(core), has_kcore);
        }
    }

    fn config(linux: &str) -> Config {
        let text = format!(r#"{{"ociVersion":"1.3.0","root":{{"path":"/srv/root"}},"linux":{linux}}}"#);
        Config::parse(text.as_bytes()).unwrap()
    }

    /// The steps for the root and for the jail, by their names.
    fn planned(config: &Config, jail: Jail) -> Result<Vec<String>> {
        let arena = Bump::new();
        let mut steps = Steps::new(&arena);
        let facts = Facts { jail, ..Facts::default() };
        plan(config, &facts, &mut steps)?;
        plan_jail(config, &facts, &mut steps)?;
        Ok(steps.finish().iter().map(|step| format!("{step:?}")).collect())
    }

    fn position(steps: &[String], name: &str) -> Option<usize> {
        steps.iter().position(|step| step.starts_with(name))
    }

    #[test]
    fn in_a_mount_namespace_of_its_own_the_root_becomes_the_only_one() {
        let steps = planned(&config(r#"{"namespaces":[{"type":"mount"}]}"#), Jail::Pivot).unwrap();
        assert!(position(&steps, "AttachRoot") < position(&steps, "PivotRoot"));
        assert_eq!((position(&steps, "CoverFolder"), position(&steps, "ChangeRoot")), (None, None));
    }

    #[test]
    fn in_one_that_is_others_too_the_root_covers_its_folder_and_nothing_else_changes() {
        for linux in ["{}", r#"{"namespaces":[{"type":"mount","path":"/proc/7/ns/mnt"}]}"#] {
            let steps = planned(&config(linux), Jail::Pivot).unwrap();
            let cover = position(&steps, r#"CoverFolder("/srv/root")"#);
            assert!(cover.is_some() && cover < position(&steps, "ChangeRoot"), "{steps:?}");
            assert_eq!(position(&steps, "Await(Root)").map(|at| at + 1), cover);
            for other in ["AttachRoot", "RootPropagation", "PivotRoot"] {
                assert_eq!(position(&steps, other), None, "{linux}");
            }
        }
        let refused = planned(&config(r#"{"namespaces":[{"type":"user"}]}"#), Jail::Pivot).unwrap_err();
        assert!(refused.to_string().contains("linux.namespaces"), "{refused}");
    }

    #[test]
    fn without_pivot_what_shows_the_hosts_kernel_is_taken_away_before_the_root_changes() {
        let shown = Jail::ChangeRoot(vec!["/proc".to_owned(), "/sys".to_owned()]);
        let steps = planned(&config(r#"{"namespaces":[{"type":"mount"}]}"#), shown).unwrap();
        let places = [r#"Uncover("/proc")"#, r#"Uncover("/sys")"#, "ChangeRoot"].map(|name| position(&steps, name));
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{steps:?}");
        assert_eq!(position(&steps, "PivotRoot"), None);
    }

    /// What follows the copy of the mounts, of a container with these mounts at places with these words.
    fn after_the_copy(propagation: &str, mounts: &[(&str, &str)]) -> Option<Vec<String>> {
        let linux = format!(r#"{{"namespaces":[{{"type":"mount"}}],"rootfsPropagation":"{propagation}"}}"#);
        let mounts = mounts.iter().map(|(place, word)| {
            format!(r#"{{"destination":"{place}","source":"/srv/data","options":["rbind","{word}"]}}"#)
        });
        let mounts: Vec<String> = mounts.collect();
        let mounts = oci::document::parse("mounts", format!("[{}]", mounts.join(",")).as_bytes()).unwrap();
        let (arena, config) = (Bump::new(), Config { mounts, ..config(&linux) });
        let mut steps = Steps::new(&arena);
        plan_jail(&config, &Facts::default(), &mut steps).unwrap();
        let steps: Vec<String> = steps.finish().iter().map(|step| format!("{step:?}")).collect();
        Some(steps.get(position(&steps, "CopyMounts")? + 1..)?.to_vec())
    }

    #[test]
    fn what_a_copy_would_lose_is_given_to_it_once_more() {
        assert_eq!(after_the_copy("", &[("/a", "ro")]), Some(Vec::new()));
        assert_eq!(after_the_copy("", &[]), None);
        let steps = after_the_copy("unbindable", &[("/a", "rw"), ("/b/../c", "runbindable"), ("/d", "unbindable")]);
        let expected = [
            r#"Unbindable { at: ".", reach: One }"#,
            r#"Unbindable { at: "c", reach: Recursive }"#,
            r#"Unbindable { at: "d", reach: One }"#,
        ];
        assert_eq!(steps.unwrap(), expected);
    }

    #[test]
    fn there_is_no_copy_where_what_is_found_at_a_place_may_be_another_mount() {
        for later in ["/a/b", "/a", "/a/b/c"] {
            assert_eq!(after_the_copy("", &[("/a/b", "unbindable"), (later, "rw")]), None, "{later}");
            assert!(after_the_copy("", &[(later, "rw"), ("/a/b", "unbindable")]).is_some(), "{later}");
        }
        assert!(after_the_copy("", &[("/a/b", "unbindable"), ("/a/bc", "rw")]).is_some());
    }
}
