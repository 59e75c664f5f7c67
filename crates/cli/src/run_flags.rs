//! The flags of `run`, which are also those of `explain run`: Docker's names and meanings, and carboy's own for the
//! namespaces that Docker has none for.

mod health;
pub(crate) mod network;
mod output;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::options::{Limits, Manager, Namespace, Platform, Pull, Root, RunOptions};
use error::{Refused, Result};
use image::signature::PublicKey;
use lexopt::Parser;

use crate::explain::Form;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::limit_flags::{LimitFlags, Limited};
use crate::value::environment::Lookup;
use crate::value::quantity::Clock;
use crate::value::{
    device, environment, keys, label, limit, mount, name, namespace, policy, quantity, root, security, signal,
};

/// What is collected from the flags of `run` before the words after them are known.
pub(crate) struct Draft {
    options: RunOptions,
    env: Vec<String>,
    env_files: Vec<String>,
    /// Those of the command line; what it says of one holds against a file.
    labels: BTreeMap<String, String>,
    user_namespace: Option<Namespace>,
    time_namespace: Option<Namespace>,
    health: health::Said,
    network: network::Said,
    log: output::Said,
    platform: Option<Platform>,
    form: Form,
}

/// What `run` or `explain run` was given.
#[derive(Debug)]
pub(crate) enum Run {
    /// A container.
    Container(Box<RunOptions>, Form),
    /// The wish for help.
    Help,
}

/// Reads the words after `run`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(usage: &Usage<Draft>, parser: &mut Parser, form: Form, caller: Lookup<'_>) -> Result<Run> {
    let mut draft = Draft {
        options: RunOptions::new(Root::Host, Vec::new()),
        env: Vec::new(),
        env_files: Vec::new(),
        labels: BTreeMap::new(),
        user_namespace: None,
        time_namespace: None,
        health: health::Said::default(),
        network: network::Said::default(),
        log: output::Said::default(),
        platform: None,
        form,
    };
    let mut words = match usage.read(parser, &mut draft)? {
        Read::Help => return Ok(Run::Help),
        Read::Words(words) => words.into_iter(),
    };
    let Some(word) = words.next() else {
        let refused = wrong_words("the root", "", "there is none");
        return Err(refused.hint("name one, for example: carboy run -it host bash").into());
    };
    draft.finish(root::root(&word)?, words.collect(), caller)
}

impl Limited for Draft {
    fn limits(&mut self) -> &mut Limits {
        &mut self.options.resources.limits
    }
}

impl Draft {
    fn finish(self, root: Root, command: Vec<String>, caller: Lookup<'_>) -> Result<Run> {
        let mut options = self.options;
        (options.root, options.command) = (root, command);
        match (&mut options.root, self.platform) {
            (Root::Image(image), platform) => image.platform = platform,
            (root, Some(platform)) if !Platform::host().matches(&platform) => {
                let refused = Refused::new("--platform", platform.to_string(), format!("cannot be chosen for {root}"));
                return Err(refused.hint("leave it out: it chooses among the images of a name").into());
            }
            _ => {}
        }
        if let (Some(key), false) = (&options.verify, matches!(options.root, Root::Image(_))) {
            let reason = format!("cannot be asked to vouch for {}, which is no image", options.root);
            return Err(Refused::new("--verify", key.fingerprint().as_str(), reason).hint("leave it out").into());
        }
        options.labels.extend(self.labels);
        options.health = self.health.wish()?;
        self.network.settle(&mut options)?;
        (options.log, options.mentions) = self.log.wish()?;
        options.env = environment::variables(&self.env_files, &self.env, caller)?;
        let namespaces = &mut options.namespaces;
        let mapped = !namespaces.uid_mappings.is_empty() || !namespaces.gid_mappings.is_empty();
        let shifted = namespaces.monotonic.is_some() || namespaces.boottime.is_some();
        let own_if = |needed| if needed { Namespace::Private } else { Namespace::Host };
        namespaces.user = self.user_namespace.unwrap_or_else(|| own_if(mapped));
        namespaces.time = self.time_namespace.unwrap_or_else(|| own_if(shifted));
        Ok(Run::Container(Box::new(options), self.form))
    }
}

/// `carboy run`.
pub(crate) const RUN: Usage<Draft> = Usage {
    command: "run",
    words: WORDS,
    doc: "Run a command in a new container\n\nROOT is an image (debian:12), host (a private view of this machine's own root), a folder (./rootfs) or a\n\
        tar file (./rootfs.tar, .gz, .zst). What is written in it reaches none of them.",
    flags: &[STARTED, FLAGS, network::FLAGS, health::FLAGS, LimitFlags::ALL],
    end: End::FirstWord,
};

/// `carboy create`.
pub(crate) const CREATE: Usage<Draft> = Usage {
    command: "create",
    words: WORDS,
    doc: "Make a container as carboy run would, to be started later",
    flags: &[FLAGS, network::FLAGS, health::FLAGS, LimitFlags::ALL],
    end: End::FirstWord,
};

/// `carboy explain run`.
pub(crate) const EXPLAIN_RUN: Usage<Draft> = Usage {
    command: "explain run",
    words: WORDS,
    doc: "Print what carboy run would do with the same words, without doing it",
    flags: &[
        STARTED,
        FLAGS,
        network::FLAGS,
        health::FLAGS,
        LimitFlags::ALL,
        &[
            Flag::switch("json", |draft, on| draft.form = if on { Form::Json } else { Form::Text }, "print JSON"),
            Flag::switch(
                "verbose",
                |draft, on| draft.form = if on { Form::Lessons } else { Form::Text },
                "tell what the kernel does in each step",
            ),
        ],
    ],
    end: End::FirstWord,
};

const WORDS: &str = "ROOT [COMMAND] [ARG...]";

const NAMESPACE: &str = "NAMESPACE";

/// What only matters for a container that is started at once.
const STARTED: &[Flag<Draft>] = &[
    Flag::switch(
        "detach",
        |draft: &mut Draft, on| draft.options.detach = on,
        "print its id and leave it to run by itself",
    )
    .short('d'),
    Flag::value("pidfile", "FILE", pidfile, "write its first process's PID on the host to a new file"),
];

/// The flags, by subject.
const FLAGS: &[Flag<Draft>] = &[
    // The process.
    Flag::switch("tty", |draft: &mut Draft, on| draft.options.tty = on, "give it a terminal").short('t'),
    Flag::switch("interactive", |draft: &mut Draft, on| draft.options.interactive = on, "pass standard input on")
        .short('i'),
    Flag::value("entrypoint", "COMMAND", entrypoint, "put this before the words after ROOT"),
    Flag::values("env", "NAME[=VALUE]", env, "set a variable, or pass yours on").short('e'),
    Flag::values("env-file", "FILE", env_file, "set the variables of a file, one a line"),
    Flag::value("workdir", "DIR", workdir, "start in this folder").short('w'),
    Flag::value("user", "USER[:GROUP]", user, "run as this user: a name of the container's passwd, or a number")
        .short('u'),
    Flag::values("group-add", "GROUP", group_add, "be in this group too"),
    Flag::switch("init", |draft, on| draft.options.init = on, "run an init as PID 1 that forwards signals and reaps"),
    Flag::value("detach-keys", "KEYS", detach_keys, "leave the terminal with these keys (ctrl-p,ctrl-q)"),
    Flag::value("stop-signal", "SIGNAL", stop_signal, "the signal that asks it to end (TERM)"),
    Flag::value(
        "stop-timeout",
        "SECONDS",
        stop_timeout,
        "how long it has to end before it is killed (10), -1 for ever",
    ),
    Flag::value("oom-score-adj", "SCORE", oom_score_adj, "how readily it is killed without memory, -1000 to 1000"),
    Flag::values("ulimit", "NAME=SOFT[:HARD]", ulimit, "limit a resource of each process; -1 is no limit"),
    // The container.
    Flag::value("name", "NAME", container_name, "call it this"),
    Flag::value("hostname", "NAME", hostname, "its host name (its short id)").short('h'),
    Flag::value("domainname", "NAME", domainname, "its NIS domain name"),
    Flag::value(
        "log-driver",
        "DRIVER",
        output::driver,
        "where its output is kept: json-file, local, journald, syslog or none (json-file)",
    ),
    Flag::values(
        "log-opt",
        "NAME=VALUE",
        output::option,
        "say how: max-size=10m, max-file=3, compress=true, tag, labels, env, …",
    ),
    Flag::value(
        "restart",
        "POLICY",
        restart_policy,
        "when it is started again: no, on-failure[:MOST], always, unless-stopped (no)",
    ),
    Flag::switch("rm", |draft, on| draft.options.remove = on, "remove it when it ends"),
    Flag::values("label", "KEY[=VALUE]", label, "write this on it; ps --filter finds it by that").short('l'),
    Flag::values("label-file", "FILE", label_file, "write the lines of a file on it"),
    Flag::value("pull", "WHEN", pull, "when its image is brought: always, missing or never (missing)"),
    Flag::value("platform", "OS/ARCH[/VARIANT]", platform, "bring the image for this kind of machine (this one)"),
    Flag::value("verify", "KEY", verify, "take its image only with a signature by this public key, a PEM file"),
    Flag::values("annotation", "KEY=VALUE", annotation, "add to the configuration's annotations"),
    Flag::value("cidfile", "FILE", cidfile, "write its id to a new file"),
    // What it sees of files.
    Flag::values(
        "volume",
        "[SOURCE:]DEST[:ro]",
        volume,
        "mount a path of the host, or a volume by its name or a new one",
    )
    .short('v'),
    Flag::values("mount", "FIELDS", mounted, "mount, in long form: type=volume,source=NAME,target=/D,readonly"),
    Flag::values("volumes-from", "CONTAINER[:ro]", volumes_from, "mount what another container has mounted"),
    Flag::values("tmpfs", "DEST[:OPTIONS]", tmpfs, "mount an empty file system in memory"),
    Flag::switch("read-only", |draft, on| draft.options.read_only = on, "let nothing be written to its root"),
    Flag::value("shm-size", "BYTES", shm_size, "the size of /dev/shm (64m)"),
    Flag::values("device", "NODE[:INSIDE][:rwm]", devices, "give it a device node of the host"),
    // What it may do.
    Flag::switch("privileged", |draft, on| draft.options.security.privileged = on, "keep almost nothing from it"),
    Flag::values("cap-add", "CAPABILITY", cap_add, "give it a capability, or ALL"),
    Flag::values("cap-drop", "CAPABILITY", cap_drop, "take a capability away, or ALL"),
    Flag::values("security-opt", "OPTION", security_opt, "seccomp=FILE|unconfined|builtin, no-new-privileges"),
    Flag::values("sysctl", "NAME=VALUE", sysctl, "set a kernel setting of its namespaces"),
    // Its namespaces.
    Flag::value("pid", NAMESPACE, pid, "be in this pid namespace: private, host, container:NAME, pid:N or path:/FILE"),
    Flag::value("ipc", NAMESPACE, ipc, "as --pid, for ipc"),
    Flag::value("uts", NAMESPACE, uts, "as --pid, for uts"),
    Flag::value("userns", NAMESPACE, userns, "as --pid, for user (host)"),
    Flag::value("cgroupns", NAMESPACE, cgroupns, "as --pid, for cgroup"),
    Flag::value("timens", NAMESPACE, timens, "as --pid, for time (host)"),
    Flag::values("uidmap", "INSIDE:HOST:SIZE", uidmap, "map users in a user namespace of its own"),
    Flag::values("gidmap", "INSIDE:HOST:SIZE", gidmap, "map groups in a user namespace of its own"),
    Flag::value("time-offset", "OFFSETS", time_offset, "shift its clocks: monotonic=SECONDS,boottime=SECONDS"),
    // Its cgroups.
    Flag::value("cgroup-parent", "GROUP", cgroup_parent, "put its cgroup below this one"),
    Flag::value("cgroup-manager", "MANAGER", cgroup_manager, "who makes its cgroup: cgroupfs or systemd (as the host)"),
];

fn pull(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.pull = match given.value {
        "always" => Pull::Always,
        "missing" => Pull::Missing,
        "never" => Pull::Never,
        _ => {
            return Err(given
                .refused("is no time at which an image is brought")
                .hint("use always, missing or never")
                .into());
        }
    };
    Ok(())
}

fn verify(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.verify = Some(PublicKey::read(Path::new(given.value))?);
    Ok(())
}

fn platform(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.platform = Some(given.value.parse()?);
    Ok(())
}

fn entrypoint(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    let word = Some(given.value.to_owned()).filter(|word| !word.is_empty());
    draft.options.entrypoint = Some(word.into_iter().collect());
    Ok(())
}

fn env(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.env.push(given.value.to_owned());
    Ok(())
}

fn env_file(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.env_files.push(given.value.to_owned());
    Ok(())
}

fn workdir(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.workdir = Some(name::absolute(given)?);
    Ok(())
}

fn user(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.user = Some(given.value.to_owned());
    Ok(())
}

fn group_add(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.group_add.push(given.value.to_owned());
    Ok(())
}

fn detach_keys(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.detach_keys = keys::detach_keys(given)?;
    Ok(())
}

fn restart_policy(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.restart = policy::policy(given)?;
    Ok(())
}

fn stop_timeout(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.stop.patience = Some(quantity::patience(given)?);
    Ok(())
}

fn stop_signal(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.stop.signal = Some(signal::signal(given)?);
    Ok(())
}

fn oom_score_adj(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.oom_score_adj = Some(quantity::oom_score_adj(given)?);
    Ok(())
}

fn ulimit(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    let ulimit = limit::ulimit(given)?;
    draft.options.ulimits.retain(|known| known.resource != ulimit.resource);
    draft.options.ulimits.push(ulimit);
    Ok(())
}

fn container_name(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.name = Some(name::container(given)?);
    Ok(())
}

fn hostname(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.hostname = Some(name::host(given)?);
    Ok(())
}

fn domainname(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.domainname = Some(name::host(given)?);
    Ok(())
}

fn label(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.labels.extend([label::label(given)?]);
    Ok(())
}

fn label_file(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.labels.extend(label::file(given)?);
    Ok(())
}

fn annotation(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.annotations.extend([name::pair(given)?]);
    Ok(())
}

/// A path of the host.
fn path(given: Given<'_>) -> Result<PathBuf> {
    match given.value {
        "" => Err(given.refused("needs the name of a file").into()),
        path => Ok(PathBuf::from(path)),
    }
}

fn cidfile(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.cidfile = Some(path(given)?);
    Ok(())
}

fn pidfile(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.pidfile = Some(path(given)?);
    Ok(())
}

fn volume(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.mounts.push(mount::volume(given)?);
    Ok(())
}

fn mounted(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.mounts.push(mount::mount(given)?);
    Ok(())
}

fn volumes_from(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.volumes_from.push(mount::volumes_from(given)?);
    Ok(())
}

fn tmpfs(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.mounts.push(mount::tmpfs(given)?);
    Ok(())
}

fn shm_size(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.shm_size_bytes = Some(quantity::bytes(given)?).filter(|bytes| *bytes != 0);
    Ok(())
}

fn devices(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.resources.devices.push(device::device(given)?);
    Ok(())
}

fn cap_add(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.security.cap_add.push(security::capability(given)?);
    Ok(())
}

fn cap_drop(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.security.cap_drop.push(security::capability(given)?);
    Ok(())
}

fn security_opt(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    security::option(&mut draft.options.security, given)
}

fn sysctl(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.sysctls.extend([name::sysctl(given)?]);
    Ok(())
}

fn pid(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.namespaces.pid = namespace::namespace(given, Namespace::Private)?;
    Ok(())
}

fn ipc(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.namespaces.ipc = namespace::ipc(given)?;
    Ok(())
}

fn uts(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.namespaces.uts = namespace::namespace(given, Namespace::Private)?;
    Ok(())
}

fn userns(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.user_namespace = Some(namespace::namespace(given, Namespace::Host)?);
    Ok(())
}

fn cgroupns(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.namespaces.cgroup = namespace::namespace(given, Namespace::Private)?;
    Ok(())
}

fn timens(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.time_namespace = Some(namespace::namespace(given, Namespace::Host)?);
    Ok(())
}

fn uidmap(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.namespaces.uid_mappings.push(namespace::mapping(given)?);
    Ok(())
}

fn gidmap(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.options.namespaces.gid_mappings.push(namespace::mapping(given)?);
    Ok(())
}

fn time_offset(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    for (clock, offset) in quantity::time_offsets(given)? {
        match clock {
            Clock::Monotonic => draft.options.namespaces.monotonic = Some(offset),
            Clock::Boottime => draft.options.namespaces.boottime = Some(offset),
        }
    }
    Ok(())
}

fn cgroup_parent(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    if given.value.split('/').any(|part| part == "..") {
        return Err(given.refused("leads upwards").hint("name a group from the root of the hierarchies").into());
    }
    draft.options.resources.cgroup_parent = Some(given.value.to_owned()).filter(|parent| !parent.is_empty());
    Ok(())
}

fn cgroup_manager(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    let manager = match given.value {
        "cgroupfs" => Manager::Cgroupfs,
        "systemd" => Manager::Systemd,
        _ => return Err(given.refused("is no manager of cgroups").hint("use cgroupfs or systemd").into()),
    };
    draft.options.resources.cgroup_manager = Some(manager);
    Ok(())
}

#[cfg(test)]
mod tests;
