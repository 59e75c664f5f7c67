//! `run` and `exec`: start, stay, end as the command did.

use std::path::PathBuf;
use std::process::ExitCode;

use engine::containers::Engine;
use engine::launch::{Names, NewFile};
use engine::options::{ExecOptions, RunOptions};
use engine::shortage::{ForksRefused, Oom, Shortage};
use error::{Error, Refused, RefusedKind, Result};

use crate::attend::{self, Outcome, Wishes};
use crate::relay;
use crate::report;

/// `carboy run`.
pub(crate) fn run<'o>(engine: &Engine, options: &'o RunOptions) -> Result<ExitCode> {
    let settings = match options.detach {
        true => None,
        false => terminal(&Streams { tty: options.tty, interactive: options.interactive })?,
    };
    let new_file =
        |flag, path: &'o Option<PathBuf>| path.as_deref().map(|path| NewFile::create(flag, path)).transpose();
    let mut cidfile = new_file("--cidfile", &options.cidfile)?;
    let pidfile = new_file("--pidfile", &options.pidfile)?;
    let names = Names::new(options)?;
    let (mut launch, claim, live) = engine.prepare(options, &names)?;
    if let Some(process) = &mut launch.record.config.process {
        process.console_size = Some(console_size());
    }
    let arena = bumpalo::Bump::new();
    let plan = launch.plan(&arena)?;
    let asked = |field: &str| !launch.facts.defaulted.contains(&field);
    for left_out in plan.groups.dropped.iter().filter(|dropped| asked(&dropped.field)) {
        let (field, value, reason) = (&left_out.field, &left_out.value, &left_out.reason);
        if let Error::Refused(refused) = options.in_flags(Refused::new(field, value, reason).into()) {
            report::warning(&format!("{} {} is left out: {reason}", refused.field, refused.value));
        }
    }
    if let Some(cidfile) = &mut cidfile {
        cidfile.write(&names.id)?;
    }
    let start = || {
        let signals = attend::take_signals()?;
        let watch = engine.start(&launch, &plan, (claim, live), attend::lend(settings)?)?;
        Ok((signals, watch))
    };
    let (signals, watch) = match start() {
        Err(error) => {
            cidfile.into_iter().for_each(NewFile::remove);
            return Err(error);
        }
        started => started?,
    };
    let wishes = Wishes {
        terminal: settings,
        interactive: options.interactive,
        detach_keys: options.detach_keys.clone(),
        leaves: options.detach,
        pidfile,
    };
    let outcome = attend::attend(watch, &signals, wishes)?;
    if let (Outcome::Failed(_), Some(cidfile)) = (&outcome, cidfile) {
        cidfile.remove();
    }
    if let (Outcome::Detached, true) = (&outcome, options.detach) {
        report::line(&names.id);
    }
    Ok(end(&outcome, &names.name))
}

/// `carboy exec`.
pub(crate) fn exec(engine: &Engine, options: &ExecOptions) -> Result<ExitCode> {
    let streams = Streams { tty: options.tty, interactive: options.interactive };
    let settings = match engine.find(&options.container).and_then(|_| terminal(&streams)) {
        Ok(settings) => settings,
        Err(error) => return Ok(declined(&error)),
    };
    let signals = attend::take_signals()?;
    let watch = match engine.exec(options, relay::size(), attend::lend(settings)?) {
        Err(Error::Refused(refused)) if matches!(refused.kind, RefusedKind::Conflict | RefusedKind::NoSuchObject) => {
            return Ok(declined(&Error::Refused(refused)));
        }
        watch => watch?,
    };
    let wishes = Wishes {
        terminal: settings,
        interactive: options.interactive,
        detach_keys: options.detach_keys.clone(),
        leaves: false,
        pidfile: None,
    };
    let outcome = attend::attend(watch, &signals, wishes)?;
    Ok(end(&outcome, &options.container))
}

/// A container that is not there or does not run, and no terminal to give to one that does: where Docker's exec ends
/// with 1, and not with the code for what it could not start.
fn declined(error: &Error) -> ExitCode {
    report::error(error);
    ExitCode::FAILURE
}

fn console_size() -> oci::ConsoleSize {
    let size = relay::size();
    oci::ConsoleSize { height: size.rows.into(), width: size.columns.into() }
}

/// What a process gets as its standard streams.
struct Streams {
    tty: bool,
    interactive: bool,
}

/// The settings of the person's terminal, where the container gets one. What is typed can only be passed on from a
/// terminal.
fn terminal(streams: &Streams) -> Result<Option<sys::terminal::Settings>> {
    let settings = relay::settings().filter(|_| streams.tty);
    if streams.tty && streams.interactive && settings.is_none() {
        return Err(Refused::new("-it", "", "the input device is not a TTY")
            .hint("leave -t out, or run it from a terminal")
            .into());
    }
    Ok(settings)
}

fn end(outcome: &Outcome, name: &str) -> ExitCode {
    match outcome {
        Outcome::Failed(failure) => {
            report::failure(failure);
            ExitCode::from(failure.code)
        }
        Outcome::Exited { code, shortage: Shortage { oom, forks_refused }, left } => {
            if let Some(oom) = oom {
                report::warning(&out_of_memory(name, *code, oom));
            }
            if let Some(refused) = forks_refused {
                report::warning(&out_of_pids(name, refused));
            }
            for left in left {
                report::warning(left);
            }
            ExitCode::from(u8::try_from(*code).unwrap_or(u8::MAX))
        }
        Outcome::Detached => ExitCode::SUCCESS,
        Outcome::Unattended(code) => {
            report::warning(&format!(
                "the monitor of {name} was killed; what it should clean up, the next command will"
            ));
            ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125))
        }
    }
}

fn out_of_memory(name: &str, code: i32, oom: &Oom) -> String {
    let what = if code == 137 { "was killed" } else { "had a process killed" };
    let times = if oom.kills > 1 { format!(" ({} processes)", oom.kills) } else { String::new() };
    if let Some(cause) = &oom.cause {
        let (limit, path) = (report::size(cause.limit), &cause.path);
        let own = oom.limit_bytes.map_or_else(String::new, |bytes| format!(", not its own of {}", report::size(bytes)));
        return format!("{name} {what}{times}: out of memory at the limit of {limit} of {path}{own}; raise that one");
    }
    match oom.limit_bytes {
        Some(bytes) => {
            let limit = report::size(bytes);
            format!(
                "{name} {what}{times}: out of memory at its limit of {limit} (--memory); give it more with --memory"
            )
        }
        None => format!("{name} {what}{times}: out of memory, at a limit above it or the host's own"),
    }
}

fn out_of_pids(name: &str, refused: &ForksRefused) -> String {
    let times = if refused.count == 1 { "once".to_owned() } else { format!("{} times", refused.count) };
    match &refused.cause {
        Some(cause) => format!(
            "{name} was refused a fork {times}: out of pids at the limit of {} of {}; raise it with --pids-limit",
            cause.limit, cause.path
        ),
        None => format!("{name} was refused a fork {times}: out of pids, at a limit above it or the host's own"),
    }
}
