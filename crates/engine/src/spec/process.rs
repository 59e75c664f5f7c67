//! The process: its words, its environment, who it is and what it may do. Runtime specification, "Process"; execve(2),
//! environ(7), capabilities(7).

use error::{Refused, Result};
use oci::{Capabilities as Sets, Config, Process, Rlimit, User};

use super::HostFacts;
use super::mounts::INIT;
use crate::options::{Capabilities, ExecOptions, Limit, Namespace, RunOptions, Security, Variable};
use crate::user::ResolvedUser;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The process of a new container.
pub(super) fn process(options: &RunOptions, host: &HostFacts, user: &ResolvedUser, hostname: &str) -> Result<Process> {
    Ok(Process {
        terminal: options.tty,
        user: ids(user),
        args: arguments(options)?,
        env: environment(options, user, hostname),
        cwd: options.workdir.as_ref().map_or("/", |path| path.as_str()).to_owned(),
        capabilities: Some(sets(capabilities(options, host)?, user.uid.0)),
        rlimits: options.ulimits.iter().map(rlimit).collect(),
        no_new_privileges: options.security.no_new_privileges,
        oom_score_adj: options.oom_score_adj,
        ..Process::default()
    })
}

/// A further process of a container: what was not asked for is as the container's own.
pub(super) fn exec(config: &Config, options: &ExecOptions, user: &ResolvedUser) -> Result<Process> {
    let Some(own) = &config.process else {
        return Err(Refused::new("the container", "", "was made without a process").into());
    };
    if options.command.first().is_none_or(String::is_empty) {
        return Err(no_command());
    }
    let (mut env, mut who) = (own.env.clone(), own.user.clone());
    if options.user.is_some() {
        set(&mut env, "HOME", Some(&user.home));
        who = ids(user);
    }
    if options.tty && !env.iter().any(|variable| variable.starts_with("TERM=")) {
        set(&mut env, "TERM", Some("xterm"));
    }
    apply(&mut env, &options.env);
    let bounding = if options.privileged {
        oci::CAPABILITIES.iter().map(|(name, _)| (*name).to_owned()).collect()
    } else {
        own.capabilities.as_ref().and_then(|own| own.bounding.clone()).unwrap_or_default()
    };
    Ok(Process {
        terminal: options.tty,
        console_size: None,
        args: options.command.clone(),
        env,
        cwd: options.workdir.as_ref().map_or(own.cwd.as_str(), |path| path.as_str()).to_owned(),
        capabilities: Some(sets(bounding, who.uid)),
        user: who,
        ..own.clone()
    })
}

fn ids(user: &ResolvedUser) -> User {
    User {
        uid: user.uid.0,
        gid: user.gid.0,
        additional_gids: user.additional_gids.iter().map(|gid| gid.0).collect(),
        ..User::default()
    }
}

fn no_command() -> error::Error {
    Refused::new("the command", "", "there is none").hint("name one after the container, for example: bash").into()
}

fn arguments(options: &RunOptions) -> Result<Vec<String>> {
    let words: Vec<String> = options.entrypoint.iter().flatten().chain(&options.command).cloned().collect();
    if words.first().is_none_or(String::is_empty) {
        return Err(no_command());
    }
    // In another's pid namespace there is an init already.
    if !options.init || options.namespaces.pid != Namespace::Private {
        return Ok(words);
    }
    Ok([INIT, "--"].into_iter().map(str::to_owned).chain(words).collect())
}

fn environment(options: &RunOptions, user: &ResolvedUser, hostname: &str) -> Vec<String> {
    let mut env = vec![format!("PATH={PATH}")];
    if !hostname.is_empty() {
        env.push(format!("HOSTNAME={hostname}"));
    }
    if options.tty {
        env.push("TERM=xterm".to_owned());
    }
    apply(&mut env, &options.env);
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    env
}

fn apply(env: &mut Vec<String>, variables: &[Variable]) {
    for Variable { name, value } in variables {
        set(env, name, value.as_deref());
    }
}

/// Gives a variable its value where it stands, or at the end, or takes it away.
fn set(env: &mut Vec<String>, name: &str, value: Option<&str>) {
    let has_name = |variable: &String| variable.split_once('=').is_some_and(|(known, _)| known == name);
    let text = value.map(|value| format!("{name}={value}"));
    match (env.iter_mut().find(|variable| has_name(variable)), text) {
        (Some(known), Some(text)) => *known = text,
        (None, Some(text)) => env.push(text),
        (_, None) => env.retain(|variable| !has_name(variable)),
    }
}

fn rlimit(ulimit: &crate::options::Ulimit) -> Rlimit {
    let number = |limit| match limit {
        Limit::At(number) => number,
        Limit::Unlimited => u64::MAX,
    };
    Rlimit { kind: ulimit.resource.to_owned(), soft: number(ulimit.soft), hard: number(ulimit.hard) }
}

/// Every capability that the kernel knows.
fn known(host: &HostFacts) -> impl Iterator<Item = (&'static str, u32)> {
    let last = host.last_capability;
    oci::CAPABILITIES.iter().copied().filter(move |(_, number)| *number <= last)
}

/// What root may do: nothing that carboy itself may not. `ALL` among the added ones means all that are not dropped; among the dropped ones, none but the
/// added.
fn capabilities(options: &RunOptions, host: &HostFacts) -> Result<Vec<String>> {
    let Security { cap_add, cap_drop, privileged, .. } = &options.security;
    // Another user namespace has every capability of its own.
    let withheld = if options.namespaces.user == Namespace::Host { host.withheld_capabilities } else { 0 };
    for (flag, words) in [("--cap-add", cap_add), ("--cap-drop", cap_drop)] {
        for word in words {
            let Capabilities::One(name) = word else { continue };
            let Some((_, number)) = known(host).find(|(known, _)| known == name) else {
                return Err(Refused::new(flag, *name, "is not known to this host's kernel").into());
            };
            if flag == "--cap-add" && withheld >> number & 1 == 1 {
                let refused = Refused::new(flag, *name, "is no capability of carboy's own here");
                return Err(refused.hint("start carboy with it, or leave it out").into());
            }
        }
    }
    let all = || known(host).filter(|(_, number)| withheld >> number & 1 == 0).map(|(name, _)| name);
    if *privileged {
        return Ok(all().map(str::to_owned).collect());
    }
    let dropped = |name: &&'static str| !cap_drop.contains(&Capabilities::One(name));
    let added = cap_add.iter().filter_map(|word| match word {
        Capabilities::One(name) => Some(*name),
        Capabilities::All => None,
    });
    let mut names: Vec<&str> = if cap_add.contains(&Capabilities::All) {
        all().filter(dropped).collect()
    } else if cap_drop.contains(&Capabilities::All) {
        added.collect()
    } else {
        seccomp::DOCKER_CAPABILITIES.into_iter().filter(dropped).chain(added).collect()
    };
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Root has its capabilities at once; anyone else has none, and can get them from a set-user-ID program.
fn sets(bounding: Vec<String>, user: u32) -> Sets {
    let held = if user == 0 { bounding.clone() } else { Vec::new() };
    Sets {
        bounding: Some(bounding),
        effective: Some(held.clone()),
        permitted: Some(held),
        inheritable: Some(Vec::new()),
        ambient: Some(Vec::new()),
    }
}
