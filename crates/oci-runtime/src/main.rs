//! The carboy-runtime command: an OCI runtime with runc's and crun's commands and options, for engines that call one.
#![forbid(unsafe_code)]

mod arguments;
mod checkpoint;
mod commands;
mod container;
mod create;
mod criu;
mod enter;
mod events;
mod explain;
mod features;
mod foreground;
mod gate;
mod help;
mod list;
mod mounts;
mod notify;
mod place;
mod points;
mod process;
mod ps;
mod report;
mod restore;
mod rootless;
mod signal;
mod spec;
mod stats;
mod store;
mod update;

use std::ffi::OsString;
use std::process::ExitCode;

use error::{Refused, Result};

use crate::arguments::Invocation;
use crate::help::Name;
use crate::report::Log;
use crate::rootless::Around;

/// What every caller takes for an error of the runtime.
const FAILED: u8 = 1;
/// The same for `exec`, whose other codes are the process's.
const EXEC_FAILED: u8 = 255;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (around, words) = Around::read(words);
    let mut invocation = Invocation::new(around);
    let read = arguments::read(words.clone(), &mut invocation);
    let log = match Log::open(&invocation) {
        Ok(log) => log,
        Err(error) => {
            Log::default().error(&error);
            return ExitCode::from(FAILED);
        }
    };
    // Before the memory is closed to others: the kernel lets nobody map the ids of such a process.
    let read = read.and_then(|()| rootless::enter(&invocation, &words));
    // A process of a container that is joined must not reach this program or what it holds open through /proc.
    let _ = sys::credentials::set_not_dumpable();
    let sealed = if sys::entry::ENTERING.contains(&invocation.command.as_str()) {
        runtime::seal::own_program(std::env::args_os().collect(), std::env::vars_os())
    } else {
        Ok(())
    };
    log.debug(&format!("{} {}", invocation.command, invocation.words.join(" ")));
    sealed.and(read).and_then(|()| run(&invocation, &log)).unwrap_or_else(|error| {
        log.error(&error);
        ExitCode::from(if invocation.command == "exec" { EXEC_FAILED } else { FAILED })
    })
}

fn run(invocation: &Invocation, log: &Log) -> Result<ExitCode> {
    let done = |result: Result<()>| result.map(|()| ExitCode::SUCCESS);
    match invocation.command.as_str() {
        "" | "help" => return done(help::print(invocation)),
        "version" => return done(help::version(invocation)),
        "features" => return done(features::print()),
        "spec" => return done(spec::write(invocation)),
        _ => {}
    }
    let _held = process::hold_free_numbers(invocation)?;
    let store = store::Store::of(invocation)?;
    match invocation.command.as_str() {
        "create" => done(create::create(&store, invocation, log)),
        "start" => done(container::start(&store, invocation, log)),
        "run" => create::run(&store, invocation, log),
        "exec" => enter::exec(&store, invocation, log),
        "explain" => done(explain::explain(&store, invocation, log)),
        "state" => done(list::state(&store, invocation)),
        "list" => done(list::list(&store, invocation, log)),
        "kill" => done(container::kill(&store, invocation, log)),
        "delete" => done(container::delete(&store, invocation, log)),
        "checkpoint" => done(checkpoint::checkpoint(&store, invocation, log)),
        "restore" => restore::restore(&store, invocation, log),
        "mounts" => done(mounts::mounts(&store, invocation)),
        "pause" => done(container::pause(&store, invocation)),
        "resume" => done(container::resume(&store, invocation)),
        "ps" => done(ps::ps(&store, invocation)),
        "events" => done(events::events(&store, invocation)),
        "update" => done(update::update(&store, invocation)),
        other => {
            let refused = Refused::new("the command", other, "is none that this runtime has");
            Err(refused.hint(format!("{} --help lists them", Name::called().word())).into())
        }
    }
}
