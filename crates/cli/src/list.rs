//! `ps`, `inspect`, `kill`, `rm`: what there is, and what can be done with it by name.

use std::process::ExitCode;

use cgroup::Hierarchies;
use engine::containers::{Container, Engine, Removal, Status};
use engine::record::{LiveProcess, Record, short};
use engine::stop::{Patience, Stop};
use error::{Error, RefusedKind, Result};
use procfs::HostPid;
use serde_json::{Value, json};

use crate::report;
use crate::value::signal;

/// Which containers `ps` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that run.
    Running,
    /// All.
    All,
}

/// How `ps` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A table.
    Table,
    /// An id a line.
    Ids,
}

/// `carboy ps`.
pub(crate) fn ps(engine: &Engine, which: Which, form: Form) -> Result<ExitCode> {
    let hierarchies = Hierarchies::read()?;
    let mut rows = vec![["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PID", "NAMES"].map(str::to_owned)];
    for container in engine.list()? {
        let running = matches!(container.status, Status::Running(_));
        if which == Which::Running && !running {
            continue;
        }
        if form == Form::Ids {
            report::line(short(&container.record.id));
            continue;
        }
        let paused = container.is_paused(&hierarchies)?;
        rows.push(row(&container, if paused { " (Paused)" } else { "" }));
    }
    if form == Form::Table {
        table(&rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(container: &Container, paused: &str) -> [String; 7] {
    let Container { record, status } = container;
    let command = command(record).join(" ");
    let shown: String = command.chars().take(20).collect();
    let shown = if shown.len() < command.len() { format!("\"{shown}…\"") } else { format!("\"{shown}\"") };
    let pid = if let Status::Running(process) = status { process.pid.to_string() } else { String::new() };
    let created = format!("{} ago", report::span(age(record.created)));
    let status = format!("{}{paused}", describe(status));
    [short(&record.id).to_owned(), record.image.clone(), shown, created, status, pid, record.name.clone()]
}

fn command(record: &Record) -> &[String] {
    record.config.process.as_ref().map_or(&[], |process| process.args.as_slice())
}

fn age(since: jiff::Timestamp) -> i64 {
    jiff::Timestamp::now().as_second() - since.as_second()
}

fn describe(status: &Status) -> String {
    match status {
        Status::Created => "Created".to_owned(),
        Status::Running(process) => format!("Up {}", report::span(process.started.map_or(0, age))),
        Status::Exited(exit) => {
            let code = exit.code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
            format!("Exited ({code}) {} ago", report::span(age(exit.finished)))
        }
        Status::Gone => "Exited (unknown)".to_owned(),
    }
}

fn table(rows: &[[String; 7]]) {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    for row in rows {
        let cells =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column).unwrap_or(0)));
        report::line(cells.collect::<Vec<_>>().join("   ").trim_end());
    }
}

/// `carboy inspect`: Docker's document, with what the kernel says of the namespaces beside it.
pub(crate) fn inspect(engine: &Engine, words: &[String]) -> Result<ExitCode> {
    let hierarchies = Hierarchies::read()?;
    let mut documents = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for word in words {
        let found = engine.find(word).and_then(|container| document(&container, &hierarchies));
        match found {
            Ok(document) => documents.push(document),
            Err(error) => {
                report::error(&error);
                code = ExitCode::FAILURE;
            }
        }
    }
    report::line(&serde_json::to_string_pretty(&documents).unwrap_or_default());
    Ok(code)
}

fn document(container: &Container, hierarchies: &Hierarchies) -> Result<Value> {
    let Container { record, status } = container;
    let process = record.config.process.as_ref();
    let args = command(record);
    Ok(json!({
        "Id": record.id,
        "Created": record.created.to_string(),
        "Path": args.first(),
        "Args": args.get(1..).unwrap_or_default(),
        "State": state(container, hierarchies)?,
        "Image": record.image,
        "Name": format!("/{}", record.name),
        "Config": {
            "Hostname": record.config.hostname,
            "Domainname": record.config.domainname,
            "User": record.user,
            "Tty": process.is_some_and(|process| process.terminal),
            "Env": process.map(|process| process.env.clone()),
            "Cmd": args,
            "WorkingDir": process.map(|process| process.cwd.clone()),
            "StopSignal": record.stop.signal.map(signal::name),
            "StopTimeout": record.stop.patience.map(|patience| match patience {
                Patience::Seconds(seconds) => i64::from(seconds),
                Patience::Endless => -1,
            }),
        },
        "HostConfig": {
            "AutoRemove": record.remove,
            "CgroupParent": record.group.rsplit_once('/').map(|(parent, _)| parent),
            "Resources": record.config.linux.as_ref().and_then(|linux| linux.resources.clone()),
        },
        "CgroupPath": record.group,
        "Namespaces": if let Status::Running(process) = status { namespaces(process) } else { Value::Null },
        "OCIConfig": record.config,
    }))
}

fn state(container: &Container, hierarchies: &Hierarchies) -> Result<Value> {
    let Container { record, status } = container;
    let paused = container.is_paused(hierarchies)?;
    let word = match status {
        Status::Created => "created",
        Status::Running(_) if paused => "paused",
        Status::Running(_) => "running",
        Status::Exited(_) | Status::Gone => "exited",
    };
    let process = if let Status::Running(process) = status { Some(process) } else { None };
    let exit = record.exit.as_ref();
    let cause = exit.and_then(|exit| exit.shortage.oom.as_ref()).and_then(|oom| oom.cause.as_ref());
    let refused = exit.and_then(|exit| exit.shortage.forks_refused.as_ref());
    let started = process.and_then(|process| process.started).or_else(|| exit.and_then(|exit| exit.started));
    Ok(json!({
        "Status": word,
        "Running": process.is_some(),
        "Paused": paused,
        "OOMKilled": exit.is_some_and(|exit| exit.shortage.oom.is_some()),
        "OOMCause": cause.map(|cause| json!({"Path": cause.path, "LimitBytes": cause.limit})),
        "ForksRefused": refused.map_or(0, |refused| refused.count),
        "ForksRefusedCause": refused.and_then(|refused| refused.cause.as_ref()).map(
            |cause| json!({"Path": cause.path, "Limit": cause.limit})
        ),
        "Pid": process.map_or(0, |process| process.pid),
        "ExitCode": exit.map_or(Some(0), |exit| exit.code),
        "StartedAt": started.map(|time| time.to_string()),
        "FinishedAt": exit.map(|exit| exit.finished.to_string()),
    }))
}

/// Each namespace's identity as the kernel shows it, and whether it is this command's own too.
fn namespaces(process: &LiveProcess) -> Value {
    let look = |opened: error::Result<procfs::Process>| opened.and_then(|process| process.namespaces());
    let (Ok(theirs), Ok(ours)) = (look(procfs::Process::open(HostPid(process.pid))), look(procfs::Process::this()))
    else {
        return Value::Null;
    };
    let documents = theirs.iter().zip(&ours).map(|((kind, theirs), (_, ours))| {
        let shared = theirs.id().is_some() && theirs.id() == ours.id();
        let id = theirs.id().map(|id| format!("{}:[{}]", kind.name(), id.ino));
        (kind.name().to_owned(), json!({ "Id": id, "Host": shared }))
    });
    documents.collect::<serde_json::Map<_, _>>().into()
}

/// `carboy kill`.
pub(crate) fn kill(engine: &Engine, words: &[String], signal: u32) -> ExitCode {
    each(words, |word| engine.kill(word, i32::try_from(signal).unwrap_or(0)), |_| false)
}

/// `carboy rm`. What is not there is told, and by force is no failure.
pub(crate) fn rm(engine: &Engine, words: &[String], removal: Removal) -> ExitCode {
    let is_gone = |error: &Error| matches!(error, Error::Refused(refused) if refused.kind == RefusedKind::NoSuchObject);
    each(words, |word| engine.remove(word, removal), |error| removal == Removal::Forced && is_gone(error))
}

/// `carboy stop`: all are asked before one is waited for, so that the patience with one is that with all.
pub(crate) fn stop(engine: &Engine, words: &[String], asked: Stop) -> ExitCode {
    let stopping: Vec<_> = words.iter().map(|word| engine.stop(word, asked)).collect();
    let mut code = ExitCode::SUCCESS;
    for (word, stopping) in words.iter().zip(stopping) {
        match stopping.and_then(|stopping| stopping.finish(engine)) {
            Ok(()) => report::line(word),
            Err(error) => {
                report::error(&error);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// `carboy wait`: prints the exit codes, each when it is known.
pub(crate) fn wait(engine: &Engine, words: &[String]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for word in words {
        match engine.wait(word) {
            Ok(ended) => report::line(&ended.to_string()),
            Err(error) => {
                report::error(&error);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// `carboy pause`.
pub(crate) fn pause(engine: &Engine, words: &[String]) -> ExitCode {
    each(words, |word| engine.pause(word), |_| false)
}

/// `carboy unpause`.
pub(crate) fn unpause(engine: &Engine, words: &[String]) -> ExitCode {
    each(words, |word| engine.unpause(word), |_| false)
}

/// Does something with each container, says which it was done with, and what failed for each of the others.
pub(crate) fn each(
    words: &[String],
    operation: impl Fn(&str) -> Result<()>,
    forgives: impl Fn(&Error) -> bool,
) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for word in words {
        match operation(word) {
            Ok(()) => report::line(word),
            Err(error) => {
                report::error(&error);
                if !forgives(&error) {
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    code
}
