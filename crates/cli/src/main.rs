//! The carboy command.
#![forbid(unsafe_code)]

mod attend;
mod columns;
mod command;
mod connected;
mod container;
mod cp;
mod disk_usage;
mod documents;
mod events;
mod explain;
mod flags;
mod format;
mod help;
mod images;
mod init;
mod inspect;
mod limit_flags;
mod limits;
mod list;
mod login;
mod logs;
mod manifest;
mod network;
mod network_flags;
mod port;
mod prune;
mod ps;
mod registry;
mod relay;
mod report;
mod rootless;
mod run;
mod run_flags;
mod search;
mod see;
mod stats;
mod system;
mod template;
mod top;
mod update;
mod value;
mod volume;
mod volume_flags;
mod zone;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use engine::containers::{Engine, Removal};
use engine::driver::ELSEWHERE;
use engine::volume::OwnVolumes;
use error::{Refused, Result};

use crate::command::Command;

/// Docker's exit code for an error of its own.
const OWN_ERROR: u8 = 125;

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let program = if words.is_empty() { OsString::new() } else { words.remove(0) };
    let ended = match Path::new(&program).file_name() {
        Some(name) if name == init::NAME => init::run(&words),
        Some(name) if name == engine::asleep::PROGRAM => engine::asleep::resume(&words).map(|()| ExitCode::SUCCESS),
        Some(name) if name == engine::network::resolver::PROGRAM => {
            engine::network::resolver::run(&words).map(|()| ExitCode::SUCCESS)
        }
        _ => carboy(&program, words),
    };
    ended.unwrap_or_else(|error| {
        report::error(&error);
        ExitCode::from(engine::event::Failure::of(&error).code)
    })
}

/// Where carboy keeps its files.
struct Places {
    root: PathBuf,
    run: PathBuf,
}

fn carboy(program: &OsStr, mut words: Vec<OsString>) -> Result<ExitCode> {
    let asked = asked_places(&mut words)?;
    let mut command = match command::read(words.iter().cloned(), &|name| std::env::var_os(name)) {
        Err(error) if words.first().is_some_and(|word| word == "see" || word == "compare" || word == "why") => {
            report::error(&error);
            return Ok(ExitCode::from(see::USAGE));
        }
        command => command?,
    };
    match command {
        Command::Help(text) => {
            report::line(text.trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        Command::Version => {
            report::line(&format!("carboy {}", env!("CARGO_PKG_VERSION")));
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    if let Some(code) = looked(&command, &asked) {
        return Ok(code);
    }
    if let Some(code) = reached(&command) {
        return Ok(code);
    }
    let places = asked.or_usual()?;
    if let Command::Limits(form) = command {
        return limits::run(&Engine::at(places.root, places.run), form);
    }
    if !rustix::process::geteuid().is_root() {
        if command.mounts_on_host() {
            let refused = Refused::new("the image", "", "only root mounts where others see it");
            return Err(refused.hint("use sudo carboy image …; carboy image tree --files lists what is in it").into());
        }
        return Err(rootless::begin_again(program, &places, &words));
    }
    if let Command::Explain(options, form) = &mut command {
        run_flags::network::settle_usual(options)?;
        let engine = Engine::at(places.root, places.run);
        return explain::run(&engine, options, *form).map_err(|error| options.in_flags(error));
    }
    if let Command::Stats(stats) = &command {
        return Ok(declined(stats::run(&Engine::at(places.root, places.run), stats)));
    }
    if command.enters() {
        runtime::seal::own_program(std::env::args_os().collect(), std::env::vars_os())?;
    }
    // What it says is said once: up to here this program may have been executed anew.
    if let Command::Run(options) | Command::Create(options) = &mut command {
        run_flags::network::settle_usual(options)?;
    }
    let engine = Engine::open(places.root, places.run)?;
    for error in engine.sweep() {
        report::error(&error);
    }
    if let Some(reason) = engine.store.news_of_driver() {
        let root = engine.store.root.display();
        report::warning(&format!(
            "overlay cannot be had in {root}: {reason}. Each container gets a copy of its image there: {ELSEWHERE} for less"
        ));
    }
    with_engine(&engine, command)
}

/// The commands that work on what there is.
fn with_engine(engine: &Engine, command: Command) -> Result<ExitCode> {
    Ok(match command {
        Command::Run(options) => run::run(engine, &options).map_err(|error| options.in_flags(error))?,
        Command::Create(options) => declined(run::create(engine, &options).map_err(|error| options.in_flags(error))),
        Command::Start(start) => run::start(engine, &start)?,
        Command::Restart(stop, containers) => run::restart(engine, &containers, stop),
        Command::Attach(attach) => run::attach(engine, &attach)?,
        Command::Boot => run::boot(engine)?,
        Command::Check(check) => system::check(engine, &check)?,
        Command::Events(events) => events::run(engine, &events)?,
        Command::DiskUsage(asked) => disk_usage::run(engine, &asked)?,
        Command::PruneContainers(asked) => prune::containers(engine, &asked)?,
        Command::Prune(asked) => prune::all(engine, &asked)?,
        Command::Exec(options) => run::exec(engine, &options)?,
        Command::Ps(ps) => ps::run(engine, &ps),
        Command::Inspect(inspect) => inspect::run(engine, &inspect)?,
        Command::Kill(signal, containers) => list::kill(engine, &containers, signal.number()),
        Command::Logs(logs) => logs::run(engine, &logs),
        Command::Stop(stop, containers) => list::stop(engine, &containers, stop),
        Command::Wait(containers) => list::wait(engine, &containers),
        Command::Rm(rm) => {
            let removal = if rm.force { Removal::Forced } else { Removal::Unforced };
            let volumes = if rm.volumes { OwnVolumes::Removed } else { OwnVolumes::Kept };
            list::rm(engine, &rm.containers, (removal, volumes))
        }
        Command::Rename(word, name) => list::rename(engine, &word, &name),
        Command::Top(top) => top::run(engine, &top),
        Command::Update(update) => update::run(engine, &update),
        Command::Pause(containers) => list::pause(engine, &containers),
        Command::Unpause(containers) => list::unpause(engine, &containers),
        Command::Cp(cp) => cp::run(engine, &cp),
        Command::Export(export) => cp::export(engine, &export),
        Command::Diff(container) => cp::diff(engine, &container),
        Command::Volume(volume) => volume::run(engine, &volume)?,
        Command::Network(asked) => network::run(engine, &asked),
        Command::Port(asked) => port::run(engine, &asked),
        Command::Image(asked) => images::run(engine, &asked)?,
        Command::Explain(..)
        | Command::Limits(_)
        | Command::Stats(_)
        | Command::See(_)
        | Command::Compare(_)
        | Command::Why(_)
        | Command::Login(_)
        | Command::Logout(_)
        | Command::Search(_)
        | Command::Tags(_)
        | Command::Manifest(_)
        | Command::Help(_)
        | Command::Version => ExitCode::from(OWN_ERROR),
    })
}

/// Where Docker's client passes on what its daemon refuses, it ends with 1.
fn declined(ended: Result<ExitCode>) -> ExitCode {
    ended.unwrap_or_else(|error| {
        report::error(&error);
        ExitCode::FAILURE
    })
}

/// The commands that speak with registries and need nothing of this host; any user may. Docker's exit code is 1.
fn reached(command: &Command) -> Option<ExitCode> {
    let ways = registry::Ways::of_caller;
    let ended = match command {
        Command::Login(asked) => ways().and_then(|ways| login::run(&ways, asked)),
        Command::Logout(asked) => ways().and_then(|ways| login::logout(&ways, asked.as_deref())),
        Command::Search(asked) => ways().and_then(|ways| search::run(&ways, asked)),
        Command::Tags(asked) => ways().and_then(|ways| search::tags(&ways, asked)),
        Command::Manifest(asked) => ways().and_then(|ways| manifest::run(ways, asked)),
        _ => return None,
    };
    Some(declined(ended))
}

/// The commands that look at the host and change nothing, whoever calls them.
fn looked(command: &Command, asked: &Asked) -> Option<ExitCode> {
    match command {
        Command::See(see) => Some(see::run(see, &asked.all_roots())),
        Command::Compare(compare) => Some(see::compare::run(compare, &asked.all_roots())),
        Command::Why(why) => Some(see::why::run(why, &asked.all_roots(), asked.run_place())),
        _ => None,
    }
}

/// The places that the command line names.
#[derive(Default)]
struct Asked {
    root: Option<PathBuf>,
    run: Option<PathBuf>,
}

impl Asked {
    /// Every folder in which the names of containers may stand: the one that was named, root's, the user's own. None is made.
    fn all_roots(&self) -> Vec<PathBuf> {
        let user = rootless::data(&|name| std::env::var_os(name)).map(|data| data.join("carboy"));
        self.root.clone().into_iter().chain([ROOT.into()]).chain(user).collect()
    }

    /// The folder of runtime state, without making one.
    fn run_place(&self) -> Option<PathBuf> {
        let usual = || rustix::process::geteuid().is_root().then(|| PathBuf::from(RUN));
        self.run.clone().or_else(usual)
    }

    fn or_usual(self) -> Result<Places> {
        if let Self { root: Some(root), run: Some(run) } = self {
            return Ok(Places { root, run });
        }
        let usual = if rustix::process::geteuid().is_root() {
            Places { root: ROOT.into(), run: RUN.into() }
        } else {
            rootless::places(&|name| std::env::var_os(name))?
        };
        Ok(Places { root: self.root.unwrap_or(usual.root), run: self.run.unwrap_or(usual.run) })
    }
}

/// Where carboy keeps root's containers.
const ROOT: &str = "/var/lib/carboy";
/// Where their runtime state is.
const RUN: &str = "/run/carboy";

/// Takes `--root` and `--runroot`, which stand before the command, as Podman has them.
fn asked_places(words: &mut Vec<OsString>) -> Result<Asked> {
    let mut asked = Asked::default();
    while let Some(word) = words.first().and_then(|word| word.to_str()) {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(OsString::from(value))),
            None => (word.to_owned(), None),
        };
        let place = match flag.as_str() {
            "--root" => &mut asked.root,
            "--runroot" => &mut asked.run,
            _ => break,
        };
        words.remove(0);
        let value = match value {
            Some(value) => value,
            None if words.is_empty() => return Err(Refused::new(flag, "", "needs a folder behind it").into()),
            None => words.remove(0),
        };
        if !Path::new(&value).is_absolute() {
            let value = Path::new(&value).display().to_string();
            return Err(Refused::new(flag, value, "is no absolute path").into());
        }
        *place = Some(value.into());
    }
    Ok(asked)
}
