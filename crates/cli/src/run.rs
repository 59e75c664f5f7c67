//! `run` and `exec`: start, stay, end as the command did.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::launch::{Names, check_new_file};
use engine::options::{ExecOptions, RunOptions};
use engine::record::Oom;
use error::{Doing, Refused, Result};

use crate::attend::{self, Outcome, Wishes};
use crate::relay;
use crate::report;

/// `carboy run`.
pub(crate) fn run(engine: &Engine, options: &RunOptions) -> Result<ExitCode> {
    let settings = terminal(&Streams { tty: options.tty, interactive: options.interactive })?;
    for (flag, path) in [("--cidfile", &options.cidfile), ("--pidfile", &options.pidfile)] {
        path.as_ref().map_or(Ok(()), |path| check_new_file(flag, path))?;
    }
    let names = Names::new(options)?;
    let (mut launch, claim, live) = engine.prepare(options, &names)?;
    if let Some(process) = &mut launch.record.config.process {
        process.console_size = Some(console_size());
    }
    let arena = bumpalo::Bump::new();
    let plan = launch.plan(&arena)?;
    if let Some(path) = &options.cidfile {
        std::fs::write(path, &names.id).doing(|| format!("write {}", path.display()))?;
    }
    let signals = attend::take_signals()?;
    let watch = engine.start(&launch, &plan, (claim, live), attend::lend(settings)?)?;
    let wishes = Wishes {
        terminal: settings,
        interactive: options.interactive,
        detach_keys: options.detach_keys.clone(),
        pidfile: options.pidfile.as_deref(),
    };
    let outcome = attend::attend(watch, &signals, wishes)?;
    if let (Outcome::Failed(_), Some(path)) = (&outcome, &options.cidfile) {
        let _ = std::fs::remove_file(path);
    }
    Ok(end(&outcome, &names.name))
}

/// `carboy exec`.
pub(crate) fn exec(engine: &Engine, options: &ExecOptions) -> Result<ExitCode> {
    let settings = terminal(&Streams { tty: options.tty, interactive: options.interactive })?;
    let signals = attend::take_signals()?;
    let watch = engine.exec(options, relay::size(), attend::lend(settings)?)?;
    let wishes = Wishes {
        terminal: settings,
        interactive: options.interactive,
        detach_keys: options.detach_keys.clone(),
        pidfile: None,
    };
    let outcome = attend::attend(watch, &signals, wishes)?;
    Ok(end(&outcome, &options.container))
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
        Outcome::Exited { code, oom, left } => {
            if let Some(oom) = oom {
                report::warning(&out_of_memory(name, *code, oom));
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
