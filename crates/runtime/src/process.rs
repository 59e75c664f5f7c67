//! The container's process: who it is, what it may do, what it runs. Runtime specification, "Process";
//! capabilities(7), seccomp(2), execve(2).

use std::ffi::CStr;

use child::{Console, Step};
use error::{Refused, Result};
use namespace::steps::Steps;
use oci::{Config, Linux, NamespaceKind, Personality, PersonalityDomain, Process, Seccomp};
use seccomp::Arch;
use sys::credentials::{CapabilitySets, ResourceLimit};
use sys::process::{Argument, Arguments};
use sys::seccomp::{Flags, Instruction};
use sys::terminal::Size;

use crate::facts::FurtherGroups;
use crate::label::Modules;
use crate::landlock::Domain;
use crate::{memory_policy, resctrl, scheduler};

/// What new files of a container do not get if nothing is asked, as in every peer: not the caller's umask.
const DEFAULT_UMASK: u32 = 0o022;

/// The seccomp filter of a process, compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The program.
    pub instructions: Vec<Instruction>,
    /// Its flags.
    pub flags: Flags,
    /// Who is asked about calls.
    pub listener: Option<Listener>,
}

/// Who decides about the system calls for which a profile has no answer of its own (`SCMP_ACT_NOTIFY`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The Unix socket to which the descriptor is sent.
    pub path: String,
    /// What is sent along.
    pub metadata: Option<String>,
}

impl Filter {
    /// The filter of a profile, on this kernel.
    ///
    /// # Errors
    /// Refused for a profile that says what no program can do, or asks for a flag that this kernel lacks.
    pub fn of(profile: &Seccomp) -> Result<Self> {
        let program = seccomp::compile(profile, Arch::NATIVE)?;
        let flags = Flags(program.flags);
        if flags.contains(Flags::WAIT_KILLABLE_RECV) && !sys::seccomp::knows(flags) {
            let flag = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
            return Err(Refused::new("linux.seccomp.flags", flag, "is not known to this kernel")
                .hint("it needs Linux 5.19 or newer: leave it out")
                .into());
        }
        let listener = profile.listener_path.clone().filter(|_| flags.contains(Flags::NEW_LISTENER));
        let listener = listener.map(|path| Listener { path, metadata: profile.listener_metadata.clone() });
        Ok(Self { instructions: program.instructions, flags, listener })
    }
}

/// What a plan is made with besides the documents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'f> {
    /// The seccomp filter, compiled.
    pub filter: Option<&'f Filter>,
    /// The Landlock domain, with the words as the kernel's bits.
    pub landlock: Option<&'f Domain>,
    /// When the program is started.
    pub start: Start,
    /// The path of the program, where the first argument is only what it is called.
    pub program: Option<&'f str>,
    /// How many descriptors behind standard error the program gets from the caller.
    pub inherited: u32,
    /// What holds for every process of the container, for one that enters it.
    pub linux: Option<&'f Linux>,
    /// The name of the container's session keyring; without one, the process has its caller's.
    pub keyring: Option<&'f str>,
    /// The security modules that can be told of the process.
    pub modules: Modules,
    /// Where the container's group of resctrl is, if it has one.
    pub resctrl: Option<&'f resctrl::Place>,
    /// Whether the processors that the caller is bound to bind the process too.
    pub affinity: Affinity,
    /// Whose children those become that one more process leaves behind.
    pub orphans: Orphans,
    /// What the caller connects the network namespace to, in words; nothing where that is not the caller's to do.
    pub connections: &'f [String],
}

/// Whose children those become that lose their parent below a process. prctl(2) `PR_SET_CHILD_SUBREAPER`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Orphans {
    /// Those of PID 1.
    #[default]
    Left,
    /// The process's own, while it lives.
    Kept,
}

/// The processors of a process besides what its groups allow. sched_setaffinity(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Those of its caller.
    #[default]
    Inherited,
    /// All.
    Reset,
}

/// When the program of a new container is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// As soon as everything is ready.
    #[default]
    AtOnce,
    /// By somebody else, through a [`child::Gate`].
    Later,
}

/// The terminal of a process or its standard streams.
pub(crate) fn plan_streams(process: &Process, console: Console, steps: &mut Steps<'_>) {
    if !process.terminal {
        return steps.push(Step::Standard);
    }
    let side = |length: u32| u16::try_from(length).unwrap_or(u16::MAX);
    let size = process
        .console_size
        .as_ref()
        .map_or_else(Size::default, |size| Size { rows: side(size.height), columns: side(size.width) });
    steps.push(Step::Terminal { size, owner: process.user.uid, console });
}

/// What holds for the process and everything it starts, and the program.
///
/// The filter is loaded while the process may still load one without no_new_privs, and at the very end where it has
/// no_new_privs: so the steps before it need nothing of the filter.
///
/// # Errors
/// Refused for a field that cannot be had.
pub(crate) fn plan(process: &Process, terms: &Terms<'_>, further: FurtherGroups, steps: &mut Steps<'_>) -> Result<()> {
    for limit in &process.rlimits {
        steps.push(Step::Limit(resource_limit(limit)?));
    }
    steps.push(Step::Umask(process.user.umask.unwrap_or(DEFAULT_UMASK)));
    scheduler::plan(process, steps)?;
    if let Some(policy) = terms.linux.and_then(|linux| linux.memory_policy.as_ref()) {
        memory_policy::plan(policy, steps)?;
    }
    if let Some(personality) = terms.linux.and_then(|linux| linux.personality.as_ref()) {
        plan_personality(personality, steps)?;
    }
    let load = |steps: &mut Steps<'_>| {
        if let Some(filter) = terms.filter {
            let program = steps.slice(&filter.instructions);
            steps.push(Step::Seccomp { program, flags: filter.flags });
        }
    };
    let sets = Sets::of(process)?;
    let dropped = all_capabilities() & !sets.bounding;
    if dropped != 0 {
        steps.push(Step::DropBounding(dropped));
    }
    if process.user.uid != 0 {
        steps.push(Step::KeepCapabilities);
    }
    if let Some(domain) = terms.landlock {
        steps.push(domain.plan(steps)?);
    }
    steps.push(Step::LetGo { inherited: terms.inherited });
    if !process.no_new_privileges {
        load(steps);
    }
    steps.push(Step::Identity {
        user: process.user.uid,
        group: process.user.gid,
        groups: (further == FurtherGroups::Set).then(|| steps.slice(&process.user.additional_gids)),
    });
    steps.push(Step::Capabilities { sets: sets.thread, ambient: sets.ambient });
    steps.push(Step::WorkingDirectory(steps.text("process.cwd", &process.cwd)?));
    let program = match terms.program {
        Some(path) => plan_program_at(path, process, steps)?,
        None => plan_program(process, steps)?,
    };
    let last = |steps: &mut Steps<'_>| {
        if process.no_new_privileges {
            steps.push(Step::NoNewPrivs);
            load(steps);
        }
    };
    if terms.start == Start::AtOnce {
        last(steps);
    } else {
        if let Step::Execute { candidates, .. } = program {
            steps.push(Step::Find { candidates });
        }
        // Behind the gate there is no parent any more to whom a listener could be given.
        let listens = terms.filter.is_some_and(|filter| filter.listener.is_some());
        if listens {
            last(steps);
        }
        steps.push(Step::Gate);
        if !listens {
            last(steps);
        }
    }
    steps.push(program);
    Ok(())
}

/// personality(2); the specification names flags, and none that it knows.
fn plan_personality(personality: &Personality, steps: &mut Steps<'_>) -> Result<()> {
    if let Some(flag) = personality.flags.first() {
        let refused = Refused::new("linux.personality.flags", flag, "is no flag that the specification knows");
        return Err(refused.hint("leave it out").into());
    }
    steps.push(Step::Personality(match personality.domain {
        PersonalityDomain::Linux => 0,
        PersonalityDomain::Linux32 => 8,
    }));
    Ok(())
}

/// Takes the container's own session keyring, so that the process does not possess the keys of its caller.
///
/// # Errors
/// Refused for a name that holds a NUL.
pub(crate) fn plan_keyring(terms: &Terms<'_>, permissions: Option<u32>, steps: &mut Steps<'_>) -> Result<()> {
    let Some(name) = terms.keyring else { return Ok(()) };
    let name = steps.text("the session keyring", name)?;
    steps.push(Step::Keyring { name, permissions });
    Ok(())
}

/// What a new session keyring may be used for, keyrings(7): as the kernel makes it, and found by its name by the processes
/// that enter the container. In a user namespace of its own, these belong to another user than the one who made it.
pub(crate) fn keyring_permissions(config: &Config) -> u32 {
    const AS_MADE: u32 = 0x3f13_0000;
    const USER_SEARCH: u32 = 0x0008_0000;
    const OTHER_SEARCH: u32 = 0x0000_0008;
    let host = namespace::relation(config, NamespaceKind::User) == namespace::Relation::Host;
    AS_MADE | if host { USER_SEARCH } else { OTHER_SEARCH }
}

/// The step that becomes the program: where it may be, its arguments, its environment.
///
/// # Errors
/// Refused for a process without a command, or a NUL in a string.
pub fn plan_program<'a>(process: &Process, steps: &Steps<'a>) -> Result<Step<'a>> {
    let Some(command) = process.args.first().filter(|command| !command.is_empty()) else {
        return Err(Refused::new("process.args", "", "names no command").into());
    };
    let mut candidates = Vec::new();
    if command.contains('/') {
        candidates.push(steps.text("process.args", command)?);
    } else {
        let path = process.env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        for folder in path.split(':') {
            let folder = if folder.is_empty() { "." } else { folder };
            candidates.push(steps.text("process.args", &format!("{folder}/{command}"))?);
        }
    }
    execute(&candidates, process, steps)
}

/// The same for a program that is called something else than its path.
///
/// # Errors
/// Refused for a NUL in a string.
pub(crate) fn plan_program_at<'a>(path: &str, process: &Process, steps: &Steps<'a>) -> Result<Step<'a>> {
    execute(&[steps.text("the program", path)?], process, steps)
}

fn execute<'a>(candidates: &[&'a CStr], process: &Process, steps: &Steps<'a>) -> Result<Step<'a>> {
    let arguments = vector("process.args", &process.args, steps)?;
    let environment = vector("process.env", &process.env, steps)?;
    Ok(Step::Execute { candidates: steps.slice(candidates), arguments, environment })
}

/// What a command is called in messages.
pub(crate) fn command(process: &Process, terms: &Terms<'_>) -> String {
    let called = terms.program.or_else(|| process.args.first().map(String::as_str));
    called.unwrap_or_default().to_owned()
}

/// Where a command is looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn vector<'a>(field: &str, strings: &[String], steps: &Steps<'a>) -> Result<Arguments<'a>> {
    let mut arguments = Vec::with_capacity(strings.len() + 1);
    for string in strings {
        arguments.push(Argument::new(steps.text(field, string)?));
    }
    arguments.push(Argument::END);
    Arguments::new(steps.slice(&arguments)).ok_or_else(|| Refused::new(field, "", "has no end").into())
}

fn resource_limit(limit: &oci::Rlimit) -> Result<ResourceLimit> {
    let found = oci::RLIMITS.iter().find(|(name, _)| *name == limit.kind);
    let Some((_, resource)) = found else {
        return Err(Refused::new("process.rlimits", &limit.kind, "is no resource limit of the kernel").into());
    };
    if limit.soft > limit.hard {
        let value = format!("{}={}:{}", limit.kind, limit.soft, limit.hard);
        return Err(Refused::new("process.rlimits", value, "has a soft limit above the hard one").into());
    }
    Ok(ResourceLimit { resource: *resource, soft: limit.soft, hard: limit.hard })
}

/// The five sets of a process, bit N for capability N.
#[derive(Debug, Clone, Copy)]
struct Sets {
    bounding: u64,
    ambient: u64,
    thread: CapabilitySets,
}

impl Sets {
    /// A set that is absent is empty, as in every peer.
    fn of(process: &Process) -> Result<Self> {
        let none = oci::Capabilities::default();
        let capabilities = process.capabilities.as_ref().unwrap_or(&none);
        let bits = |names: &Option<Vec<String>>| mask(names.as_deref().unwrap_or_default());
        Ok(Self {
            bounding: bits(&capabilities.bounding)?,
            ambient: bits(&capabilities.ambient)?,
            thread: CapabilitySets {
                effective: bits(&capabilities.effective)?,
                permitted: bits(&capabilities.permitted)?,
                inheritable: bits(&capabilities.inheritable)?,
            },
        })
    }
}

fn all_capabilities() -> u64 {
    oci::CAPABILITIES.iter().fold(0, |mask, (_, number)| mask | 1 << number)
}

fn mask(names: &[String]) -> Result<u64> {
    names.iter().try_fold(0, |mask, name| {
        let found = oci::CAPABILITIES.iter().find(|(known, _)| known == name);
        found
            .map(|(_, number)| mask | 1 << number)
            .ok_or_else(|| Refused::new("process.capabilities", name, "is no capability of the kernel").into())
    })
}

/// The kernel settings of the container's namespaces.
///
/// # Errors
/// Refused for a setting of a namespace that the container shares with the host.
pub(crate) fn plan_sysctls(config: &Config, steps: &mut Steps<'_>) -> Result<()> {
    for (name, value) in config.linux.iter().flat_map(|linux| &linux.sysctl) {
        let owner = match name.as_str() {
            "kernel.domainname" | "kernel.hostname" => NamespaceKind::Uts,
            name if namespace::ipc::owns(name) => NamespaceKind::Ipc,
            name if name.starts_with("net.") => NamespaceKind::Net,
            _ => {
                return Err(
                    Refused::new("linux.sysctl", name, "belongs to no namespace: it would change the host").into()
                );
            }
        };
        if namespace::relation(config, owner) == namespace::Relation::Host {
            let reason = format!("would change the host, whose {} namespace the container shares", owner.name());
            return Err(Refused::new("linux.sysctl", name, reason).into());
        }
        let path = steps.text("linux.sysctl", &name.replace('.', "/"))?;
        let value = steps.text("linux.sysctl", value)?;
        steps.push(Step::Sysctl { path, value: value.to_bytes() });
    }
    Ok(())
}
