//! From options to a container that is ready to start.

use std::fs;
use std::path::Path;

use bumpalo::Bump;
use cgroup::GroupPath;
use error::{Doing, Refused, RefusedKind, Result};
use jiff::Timestamp;
use oci::NamespaceKind;
use runtime::facts::Facts;
use runtime::plan::Plan;
use runtime::process::Filter;
use runtime::root::Keep;
use seccomp::Arch;
use sys::seccomp::Flags;

use crate::containers::{Engine, Status, not_running};
use crate::monitor::Input;
use crate::options::{Join, Namespace, Root, RunOptions, SeccompChoice};
use crate::record::{Confinement, Live, Record};
use crate::spec::{self, Identity};
use crate::store::Claim;
use crate::user::{self, ResolvedUser};

/// A container that is ready to be planned and started.
#[derive(Debug)]
pub struct Launch {
    /// What is remembered of it.
    pub record: Record,
    /// What its root is made of.
    pub root: runtime::root::Root,
    /// What the plan is computed from.
    pub facts: Facts,
    /// Its seccomp filter.
    pub filter: Option<Filter>,
    /// How many system calls its filter lets through; `None` without one.
    pub calls_allowed: Option<usize>,
    /// Where its standard input comes from.
    pub input: Input,
}

impl Launch {
    /// The plan.
    ///
    /// # Errors
    /// As [`runtime::plan::plan`].
    pub fn plan<'a>(&self, arena: &'a Bump) -> Result<Plan<'a>> {
        runtime::plan::plan(&self.record.config, &self.facts, self.filter.as_ref(), arena)
    }
}

/// A new container's names.
#[derive(Debug, Clone)]
pub struct Names {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What it is called.
    pub name: String,
}

impl Names {
    /// A new id, with the name that was asked for or a new one.
    ///
    /// # Errors
    /// A kernel error.
    pub fn new(options: &RunOptions) -> Result<Self> {
        let name = options.name.clone().map_or_else(crate::names::new_name, Ok)?;
        Ok(Self { id: crate::names::new_id()?, name })
    }
}

impl Engine {
    /// Makes what a container needs on disk, and everything that its plan is computed from. When it fails nothing is
    /// left.
    ///
    /// # Errors
    /// Refused, naming the flag; a kernel error.
    pub fn prepare(&self, options: &RunOptions, names: &Names) -> Result<(Launch, Claim, Live)> {
        options.root.check()?;
        let mut live = Live {
            name: names.name.clone(),
            group: group_path(options, &names.id)?.to_string(),
            parents: Vec::new(),
            remove: options.remove,
            process: None,
        };
        let claim = self.claim(&names.id, &live)?;
        let made = options
            .root
            .prepare(&self.store.container(&names.id), &self.store.root)
            .and_then(|()| self.launch(options, names))
            .and_then(|launch| self.record_undo(&launch, &claim, &mut live).map(|()| launch));
        match made {
            Ok(launch) => Ok((launch, claim, live)),
            Err(error) => {
                self.abandon(claim, &live);
                Err(error)
            }
        }
    }

    /// Plans once for what must be undone, and writes that down before any of it is made.
    fn record_undo(&self, launch: &Launch, claim: &Claim, live: &mut Live) -> Result<()> {
        let arena = Bump::new();
        let plan = launch.plan(&arena)?;
        if !plan.groups.parents.is_empty() {
            let parents = plan.groups.parents.iter();
            live.parents = parents.map(|parent| (parent.hierarchy.clone(), parent.path.to_string())).collect();
            self.store.write_live(claim, live)?;
        }
        self.store.write_record(&launch.record)
    }

    /// Reads and computes what a container's plan is made from, without making anything.
    ///
    /// # Errors
    /// Refused, naming the flag; a kernel error.
    pub fn launch(&self, options: &RunOptions, names: &Names) -> Result<Launch> {
        let container = self.store.container(&names.id);
        let host = crate::host::read(options)?;
        options.check(&host)?;
        let user = resolve_user(options, &container)?;
        let identity = Identity {
            id: names.id.clone(),
            root: container.join("upper").display().to_string(),
            joined: self.joined(options)?,
        };
        let mut spec = spec::config(options, &host, &user, &identity)?;
        spec.config.check()?;
        let confinement = confine(&spec.seccomp, &mut spec.config)?;
        let profile = profile(confinement, &spec.config);
        let (filter, calls_allowed) = match &profile {
            None => (None, None),
            Some(profile) => (Some(compile(profile)?), Some(seccomp::allowed_count(profile, Arch::NATIVE)?)),
        };
        let group = group_path(options, &names.id)?;
        let facts = Facts::read(&spec.config, group.clone(), spec.defaulted)?;
        let record = Record {
            version: Record::VERSION,
            id: names.id.clone(),
            name: names.name.clone(),
            image: options.root.to_string(),
            created: Timestamp::now(),
            remove: options.remove,
            user: options.user.clone().unwrap_or_default(),
            confinement,
            config: spec.config,
            group: group.to_string(),
            exit: None,
        };
        let input = if options.interactive { Input::Caller } else { Input::Null };
        let keep = if options.remove { Keep::Volatile } else { Keep::Durable };
        Ok(Launch { record, root: options.root.layers(&container, keep), facts, filter, calls_allowed, input })
    }

    /// The files of the namespaces that are joined.
    fn joined(&self, options: &RunOptions) -> Result<Vec<(NamespaceKind, String)>> {
        let mut joined = Vec::new();
        for (kind, namespace) in options.namespaces.choices() {
            if let Namespace::Joined(join) = namespace {
                joined.push((kind, self.namespace_file(kind, join)?));
            }
        }
        Ok(joined)
    }

    fn namespace_file(&self, kind: NamespaceKind, join: &Join) -> Result<String> {
        let path = match join {
            Join::Path(path) => path.display().to_string(),
            Join::Process(process) => format!("/proc/{process}/ns/{}", kind.name()),
            Join::Container(word) => {
                let container = self.find(word)?;
                let Status::Running(process) = &container.status else {
                    return Err(not_running(&container).hint("its namespaces are gone with it: start it first").into());
                };
                format!("/proc/{}/ns/{}", process.pid, kind.name())
            }
        };
        if let Err(error) = fs::metadata(&path) {
            let field = format!("the {} namespace", kind.name());
            let reason = format!("is gone or was never there: {path}: {}", crate::event::words(&error));
            return Err(Refused::new(field, join.to_string(), reason).kind(RefusedKind::NoSuchObject).into());
        }
        Ok(path)
    }
}

/// The container's groups: beside those of other containers, or below the parent that was asked for.
fn group_path(options: &RunOptions, id: &str) -> Result<GroupPath> {
    match &options.resources.cgroup_parent {
        None => GroupPath::parse("--cgroup-parent", &format!("carboy-{id}")),
        Some(parent) => GroupPath::parse("--cgroup-parent", parent)?.child("--cgroup-parent", id),
    }
}

fn resolve_user(options: &RunOptions, container: &Path) -> Result<ResolvedUser> {
    let word = options.user.as_deref().unwrap_or_default();
    let unpacked = !matches!(options.root, Root::Archive(_)) || container.join("root").is_dir();
    let (passwd, group) = if unpacked {
        (options.root.read(c"etc/passwd", container)?, options.root.read(c"etc/group", container)?)
    } else {
        (Vec::new(), Vec::new())
    };
    user::resolve(word, &options.group_add, &passwd, &group)
}

/// Takes the choice over; a profile from a file goes into the configuration, resolved for the process's capabilities.
fn confine(choice: &SeccompChoice, config: &mut oci::Config) -> Result<Confinement> {
    match choice {
        SeccompChoice::Unconfined => Ok(Confinement::Unconfined),
        SeccompChoice::Default => Ok(Confinement::Default),
        SeccompChoice::File(path) => {
            let field = format!("--security-opt seccomp={}", path.display());
            let text = fs::read(path).doing(|| format!("read the seccomp profile {}", path.display()))?;
            let parsed = seccomp::parse_profile(&text, &field)?;
            let profile = parsed.resolve(bounding(config), Arch::NATIVE, crate::host::kernel());
            config.linux.get_or_insert_default().seccomp = Some(profile);
            Ok(Confinement::Profile)
        }
    }
}

fn bounding(config: &oci::Config) -> &[String] {
    let capabilities = config.process.as_ref().and_then(|process| process.capabilities.as_ref());
    capabilities.and_then(|capabilities| capabilities.bounding.as_deref()).unwrap_or_default()
}

/// The profile that holds for the processes of a container.
pub(crate) fn profile(confinement: Confinement, config: &oci::Config) -> Option<oci::Seccomp> {
    match confinement {
        Confinement::Unconfined => None,
        Confinement::Default => Some(seccomp::docker_default(bounding(config), Arch::NATIVE, crate::host::kernel())),
        Confinement::Profile => config.linux.as_ref().and_then(|linux| linux.seccomp.clone()),
    }
}

/// A profile as a program.
pub(crate) fn compile(profile: &oci::Seccomp) -> Result<Filter> {
    let program = seccomp::compile(profile, Arch::NATIVE)?;
    Ok(Filter { instructions: program.instructions, flags: Flags(program.flags) })
}

/// Where a file that the container's process is told of goes (`--cidfile`, `--pidfile`): it must not exist yet.
///
/// # Errors
/// Refused where it exists.
pub fn check_new_file(flag: &str, path: &Path) -> Result<()> {
    if path.exists() {
        return Err(Refused::new(flag, path.display().to_string(), "exists already")
            .kind(RefusedKind::Conflict)
            .hint("delete it, or use another path")
            .into());
    }
    Ok(())
}
