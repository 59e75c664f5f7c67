//! The mnt namespace: a private copy of the host's mounts, in which the container's root is put together and becomes the
//! only one. mount_namespaces(7), pivot_root(2); runtime specification, "Mounts" and "Default Filesystems".
//!
//! What has its source on the host is opened and copied by the parent, as a detached mount: the child only puts it in its
//! place. What belongs to the container's namespaces (proc, mqueue, devpts …) is made by the child, so that its
//! namespaces own it.

pub mod devices;
pub mod options;

use std::collections::BTreeMap;

use child::{Step, Turn};
use error::{Refused, Result};
use oci::{Config, Mount, NamespaceKind};
use sys::mount::{Attributes, Propagation, Reach};
use sys::path::Missing;

use crate::steps::Steps;
use crate::{Relation, relation};
use options::Options;

/// A detached mount that the parent prepares; a step names it by its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// A view of a path of the host.
    Bind {
        /// The path.
        source: String,
        /// One mount, or all below it too.
        reach: Reach,
        /// Attributes and propagation.
        options: Box<Options>,
    },
    /// A view of the container's own group in one hierarchy, by its place in [`Facts::groups`].
    Group(usize),
}

impl Prepared {
    fn node(path: &str) -> Self {
        Self::Bind { source: path.to_owned(), reach: Reach::One, options: Box::default() }
    }
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
    /// The folder names below the container's cgroup mount, one for each hierarchy in which it has a group; one empty name
    /// where the only hierarchy is v2, which then is the mount itself.
    pub groups: Vec<String>,
    /// Whether device nodes can be made here.
    pub view: View,
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
    let mut own_dev = false;
    for mount in &config.mounts {
        let options = options::parse(&mount.options);
        let bind = options.bind.is_some() || mount.kind.as_deref() == Some("bind");
        if inside(&mount.destination) == "dev" {
            own_dev = !bind;
        }
        if bind {
            plan_bind(mount, options, facts, (steps, &mut prepared))?;
        } else if mount.kind.as_deref() == Some("cgroup") {
            plan_groups(mount, &options, facts, (steps, &mut prepared))?;
        } else {
            plan_mount(mount, &options, steps)?;
        }
    }
    if own_dev {
        devices::plan(config, facts.view, steps, &mut prepared)?;
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

/// Hides what the configuration wants hidden, makes the root the only one, and sets its attributes.
///
/// # Errors
/// Refused for a path with a NUL in it or an unknown propagation.
pub fn plan_pivot(config: &Config, steps: &mut Steps<'_>) -> Result<()> {
    if let Some(linux) = &config.linux {
        for path in &linux.masked_paths {
            steps.push(Step::Mask(steps.inside("linux.maskedPaths", path)?));
        }
        for path in &linux.readonly_paths {
            steps.push(Step::ReadOnly(steps.inside("linux.readonlyPaths", path)?));
        }
    }
    steps.push(if keeps_its_mounts(config) { Step::PivotRoot } else { Step::ChangeRoot });
    let read_only = config.root.as_ref().is_some_and(|root| root.readonly);
    let set = if read_only { Attributes::READ_ONLY } else { Attributes::NONE };
    let propagation = root_propagation(config)?.map(|(propagation, _)| propagation);
    let propagation = propagation.filter(|propagation| *propagation != Propagation::Private);
    if read_only || propagation.is_some() {
        steps.push(Step::Root { set, propagation });
    }
    Ok(())
}

fn inside(path: &str) -> &str {
    path.trim_matches('/')
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
        Some((Propagation::Slave | Propagation::Shared, _)) => Propagation::Slave,
        _ => Propagation::Private,
    })
}

fn plan_bind(
    mount: &Mount,
    options: Options,
    facts: &Facts,
    (steps, prepared): (&mut Steps<'_>, &mut Vec<Prepared>),
) -> Result<()> {
    let source = mount.source.clone().unwrap_or_default();
    let missing = match facts.sources.get(&source) {
        Some(Source::Folder) => Missing::Folder,
        Some(Source::File) => Missing::File,
        Some(Source::Absent) | None => {
            let refused = Refused::new(format!("the bind source for {}", mount.destination), source, "does not exist");
            return Err(refused.hint("create it first").into());
        }
    };
    if let Some((key, _)) = options.data.first() {
        let field = format!("the mount option of {}", mount.destination);
        return Err(Refused::new(field, key, "means nothing for a bind mount").into());
    }
    let reach = options.bind.unwrap_or(Reach::One);
    let at = steps.inside("mounts", &mount.destination)?;
    steps.push(Step::Place { handle: prepared.len(), at, missing });
    prepared.push(Prepared::Bind { source, reach, options: Box::new(options) });
    Ok(())
}

fn plan_mount(mount: &Mount, options: &Options, steps: &mut Steps<'_>) -> Result<()> {
    let kind = mount.kind.as_deref().unwrap_or("");
    let field = format!("mounts[{}]", mount.destination);
    if kind.is_empty() {
        return Err(Refused::new(field, "", "has neither a type nor a bind option").into());
    }
    let mut data = Vec::with_capacity(options.data.len() + 1);
    for (key, value) in &options.data {
        let value = value.as_deref().map(|value| steps.text(&field, value)).transpose()?;
        data.push((steps.text(&field, key)?, value));
    }
    if let Some(source) = mount.source.as_deref().filter(|source| !source.is_empty()) {
        data.push((c"source", Some(steps.text(&field, source)?)));
    }
    steps.push(Step::Mount {
        kind: steps.text(&field, kind)?,
        options: steps.slice(&data),
        attributes: options.set,
        at: steps.inside(&field, &mount.destination)?,
        propagation: options.propagation.map(|(propagation, _)| propagation),
    });
    Ok(())
}

/// The container's own groups, a folder for each hierarchy, on a small file system of their own. They are views of the
/// groups' folders, which costs a tenth of mounting every hierarchy anew and shows the same.
fn plan_groups(
    mount: &Mount,
    options: &Options,
    facts: &Facts,
    (steps, prepared): (&mut Steps<'_>, &mut Vec<Prepared>),
) -> Result<()> {
    let at = steps.inside("mounts", &mount.destination)?;
    let alone = facts.groups.first().is_some_and(String::is_empty);
    if !alone {
        let data = [(c"mode", Some(c"755")), (c"size", Some(c"64k"))];
        let attributes = Attributes::NOSUID.with(Attributes::NODEV).with(Attributes::NOEXEC);
        steps.push(Step::Mount { kind: c"tmpfs", options: steps.slice(&data), attributes, at, propagation: None });
    }
    for (index, name) in facts.groups.iter().enumerate() {
        let place = steps.inside("mounts", &format!("{}/{name}", inside(&mount.destination)))?;
        steps.push(Step::Place { handle: prepared.len(), at: place, missing: Missing::Folder });
        prepared.push(Prepared::Group(index));
    }
    let links = ["cpu,cpuacct", "cpuacct,cpu", "net_cls,net_prio", "net_prio,net_cls"];
    for name in links.iter().filter(|name| facts.groups.iter().any(|group| group == *name)) {
        for controller in name.split(',') {
            let (target, link) = (steps.text("mounts", name)?, steps.text("mounts", controller)?);
            steps.push(Step::Link { target, folder: at, name: link });
        }
    }
    if options.set.0 & Attributes::READ_ONLY.0 != 0 {
        steps.push(Step::Remount { at, set: Attributes::READ_ONLY, reach: Reach::Recursive });
    }
    Ok(())
}
