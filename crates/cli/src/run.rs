//! `run`, `create`, `start`, `restart`, `attach` and `exec`: start, stay, end as the command did.

use std::path::PathBuf;
use std::process::ExitCode;

use engine::attach::Attachment;
use engine::containers::Engine;
use engine::event::Failure;
use engine::launch::{Launch, Names, NewFile};
use engine::log::Stream;
use engine::options::{ExecOptions, Platform, Root, RunOptions};
use engine::record::{Live, Wanted};
use engine::shortage::{ForksRefused, Oom, Shortage};
use engine::stop::Stop;
use engine::store::Claim;
use engine::told::Deed;
use error::{Error, Refused, RefusedKind, Result};
use runtime::apply::NO_FORMAT;

use crate::attend::{self, Done, Outcome, SignalWish, Wishes};
use crate::images;
use crate::network;
use crate::relay;
use crate::report;

/// `carboy run`.
pub(crate) fn run(engine: &Engine, options: &RunOptions) -> Result<ExitCode> {
    let settings = match options.detach {
        true => Ok(None),
        false => terminal(&Typing { tty: options.tty, interactive: options.interactive }),
    };
    let settings = match settings {
        Err(error) => return Ok(declined(&error)),
        settings => settings?,
    };
    let options = &*images::pull::ensured(engine, options)?;
    let mut new = New::make(options)?;
    let (launch, claim, live) = prepared(engine, options, &mut new)?;
    let id = launch.record.id.clone();
    let attachment = match options.detach {
        true => Attachment::default(),
        false => Attachment { streams: ALL.to_vec(), types: options.interactive, lent: attend::lend(settings)? },
    };
    let start = || {
        let signals = attend::take_signals()?;
        Ok((signals, engine.start(launch, (claim, live), attachment)?))
    };
    let (signals, attached) = match start() {
        Err(error) => {
            new.cidfile.into_iter().for_each(NewFile::remove);
            return Err(error);
        }
        started => started?,
    };
    let wishes = Wishes {
        terminal: settings,
        types: options.interactive,
        detach_keys: options.detach_keys.clone(),
        leaves: options.detach,
        pidfile: new.pidfile,
        told: Some(&|done| tell(engine, &id, done)),
        ..Wishes::default()
    };
    let outcome = attend::attend(attached, &signals, wishes)?;
    let outcome = match outcome {
        Outcome::Failed(failure) => Outcome::Failed(for_other_machine(engine, options, failure)),
        outcome => outcome,
    };
    if let (Outcome::Failed(_), Some(cidfile)) = (&outcome, new.cidfile) {
        cidfile.remove();
    }
    if let (Outcome::Detached, true) = (&outcome, options.detach) {
        report::line(&new.names.id);
    }
    Ok(end(&outcome, &new.names.name))
}

/// A command that this machine does not understand may be one of an image for another.
fn for_other_machine(engine: &Engine, options: &RunOptions, failure: Failure) -> Failure {
    let made_for = || {
        let Root::Image(root) = &options.root else { return None };
        let known = engine.known_image(&root.name).ok()??;
        Some(engine.store.image_config(&known.image.id).ok()?.platform())
    };
    match failure.message.ends_with(NO_FORMAT).then(made_for).flatten() {
        Some(platform) if !Platform::host().matches(&platform) => {
            let hint = format!("its image is made for {platform}, and this machine is {}", Platform::host());
            Failure { hint: Some(hint), ..failure }
        }
        _ => failure,
    }
}

/// `carboy create`.
pub(crate) fn create(engine: &Engine, options: &RunOptions) -> Result<ExitCode> {
    let options = &*images::pull::ensured(engine, options)?;
    let mut new = New::make(options)?;
    let (launch, claim, live) = prepared(engine, options, &mut new)?;
    let created = engine.create(&launch, claim, &live);
    if let (Err(_), Some(cidfile)) = (&created, new.cidfile) {
        cidfile.remove();
    }
    created?;
    report::line(&new.names.id);
    Ok(ExitCode::SUCCESS)
}

/// A container that is to be made, with the files that tell of it.
struct New<'o> {
    names: Names,
    cidfile: Option<NewFile<'o>>,
    pidfile: Option<NewFile<'o>>,
}

impl<'o> New<'o> {
    fn make(options: &'o RunOptions) -> Result<Self> {
        let new_file =
            |flag, path: &'o Option<PathBuf>| path.as_deref().map(|path| NewFile::create(flag, path)).transpose();
        let cidfile = new_file("--cidfile", &options.cidfile)?;
        let pidfile = new_file("--pidfile", &options.pidfile)?;
        Ok(Self { names: Names::new(options)?, cidfile, pidfile })
    }
}

/// Prepares a new container, and says which limits this host cannot keep.
fn prepared(engine: &Engine, options: &RunOptions, new: &mut New<'_>) -> Result<(Launch, Claim, Live)> {
    let (mut launch, claim, live) = engine.prepare(options, &new.names)?;
    if let Some(process) = &mut launch.record.config.process {
        process.console_size = Some(console_size());
    }
    let told = tell_left_out(&launch, options).and_then(|()| match &mut new.cidfile {
        Some(cidfile) => cidfile.write(&new.names.id),
        None => Ok(()),
    });
    for connection in &options.network.networks {
        network::warn_of_shut(engine, &connection.network);
    }
    match told {
        Ok(()) => Ok((launch, claim, live)),
        Err(error) => {
            engine.abandon(claim, &live);
            Err(error)
        }
    }
}

fn tell_left_out(launch: &Launch, options: &RunOptions) -> Result<()> {
    let arena = bumpalo::Bump::new();
    let plan = launch.plan(&arena)?;
    let asked = |field: &str| !launch.facts.defaulted.contains(&field);
    for left_out in plan.groups.dropped.iter().filter(|dropped| asked(&dropped.field)) {
        let (field, value, reason) = (&left_out.field, &left_out.value, &left_out.reason);
        if let Error::Refused(refused) = options.in_flags(Refused::new(field, value, reason).into()) {
            report::warning(&format!("{} {} is left out: {reason}", refused.field, refused.value));
        }
    }
    Ok(())
}

/// What `start` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    /// Whether it stays until the container ends.
    pub(crate) attach: bool,
    /// Whether it types.
    pub(crate) interactive: bool,
    /// The bytes that detach; as when it was made if none are given.
    pub(crate) detach_keys: Option<Vec<u8>>,
    /// The containers.
    pub(crate) containers: Vec<String>,
}

/// `carboy start`.
pub(crate) fn start(engine: &Engine, start: &Start) -> Result<ExitCode> {
    if !start.attach && !start.interactive {
        return Ok(each(&start.containers, |word| begin(engine, word, &Start::default())));
    }
    match start.containers.as_slice() {
        [one] => match begin(engine, one, start) {
            Ok(Some(outcome)) => Ok(end(&outcome, one)),
            Ok(None) => {
                let Start { interactive, detach_keys, .. } = start;
                let to = Attach { input: *interactive, detach_keys: detach_keys.clone(), ..Attach::to(one) };
                attach(engine, &to)
            }
            Err(error) => Ok(declined(&error)),
        },
        _ => {
            let refused = Refused::new("start -a", start.containers.join(" "), "can stay with one container alone");
            Ok(declined(&refused.hint("start several without -a and -i").into()))
        }
    }
}

/// Starts a container that is there, and stays with it if that is asked for; `None` where it runs already.
fn begin(engine: &Engine, word: &str, start: &Start) -> Result<Option<Outcome>> {
    let Some((mut launch, claim, live)) = engine.prepare_again(word)? else { return Ok(None) };
    let options = launch.record.options.clone();
    let stays = start.attach || start.interactive;
    let types = start.interactive && options.interactive;
    let settings = match stays.then(|| terminal(&Typing { tty: options.tty, interactive: types })).transpose() {
        Ok(settings) => settings.flatten(),
        Err(error) => {
            engine.abandon(claim, &live);
            return Err(error);
        }
    };
    if let Some(process) = &mut launch.record.config.process {
        process.console_size = Some(console_size());
    }
    let streams = if stays { ALL.to_vec() } else { Vec::new() };
    let signals = attend::take_signals()?;
    let attached = engine.start(launch, (claim, live), Attachment { streams, types, lent: attend::lend(settings)? })?;
    let detach_keys = start.detach_keys.clone().unwrap_or(options.detach_keys);
    let told = |done| tell(engine, word, done);
    let leaves = !stays;
    let wishes = Wishes { terminal: settings, types, detach_keys, leaves, told: Some(&told), ..Wishes::default() };
    attend::attend(attached, &signals, wishes).map(Some)
}

/// `carboy restart`: all are asked to end before one is waited for.
pub(crate) fn restart(engine: &Engine, words: &[String], asked: Stop) -> ExitCode {
    let stopping: Vec<_> = words.iter().map(|word| engine.stop(word, asked, Wanted::Again)).collect();
    let mut stopping = stopping.into_iter();
    let again = |word: &str| {
        stopping.next().transpose()?.map_or(Ok(()), |stopping| stopping.finish(engine))?;
        let begun = begin(engine, word, &Start::default())?;
        if let None | Some(Outcome::Detached) = begun {
            engine.has_restarted(word)?;
        }
        Ok(begun)
    };
    each(words, again)
}

/// Starts each container, says which run, and what keeps each of the others from it.
fn each(words: &[String], mut begin: impl FnMut(&str) -> Result<Option<Outcome>>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for word in words {
        match begin(word) {
            Ok(None | Some(Outcome::Detached)) => {
                report::line(word);
                continue;
            }
            Ok(Some(outcome)) => drop(end(&outcome, word)),
            Err(error) => report::error(&error),
        }
        code = ExitCode::FAILURE;
    }
    code
}

/// `carboy boot`: starts what is to run when the host has begun anew. No process of its own remains.
pub(crate) fn boot(engine: &Engine) -> Result<ExitCode> {
    for error in engine.clear_after_reset()? {
        report::error(&error);
    }
    let names: Vec<String> = engine.to_boot()?.into_iter().map(|container| container.record.name).collect();
    Ok(each(&names, |word| begin(engine, word, &Start::default())))
}

/// What `attach` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attach {
    /// Whether what is typed goes to the container.
    pub(crate) input: bool,
    /// Whether signals do.
    pub(crate) passes_signals: bool,
    /// The bytes that detach; as when the container was made if none are given.
    pub(crate) detach_keys: Option<Vec<u8>>,
    /// The container.
    pub(crate) container: String,
}

impl Attach {
    /// To this one, as Docker does.
    pub(crate) fn to(container: &str) -> Self {
        Self { input: true, passes_signals: true, detach_keys: None, container: container.to_owned() }
    }
}

/// `carboy attach`.
pub(crate) fn attach(engine: &Engine, asked: &Attach) -> Result<ExitCode> {
    let Attach { input, passes_signals, detach_keys, container: word } = asked;
    let attached = || {
        let options = engine.find(word)?.record.options;
        let types = *input && options.interactive;
        let settings = terminal(&Typing { tty: options.tty, interactive: types })?;
        let signals = attend::take_signals()?;
        let attachment = Attachment { streams: ALL.to_vec(), types, lent: None };
        Ok((engine.attach(word, attachment)?, signals, settings, types, options))
    };
    let (attached, signals, settings, types, options) = match attached() {
        Err(error) => return Ok(declined(&error)),
        attached => attached?,
    };
    let wishes = Wishes {
        terminal: settings,
        types,
        detach_keys: detach_keys.clone().unwrap_or(options.detach_keys),
        signals: if *passes_signals { SignalWish::PassedOn } else { SignalWish::Own },
        told: Some(&|done| tell(engine, word, done)),
        ..Wishes::default()
    };
    let outcome = attend::attend(attached, &signals, wishes)?;
    Ok(end(&outcome, word))
}

/// `carboy exec`.
pub(crate) fn exec(engine: &Engine, options: &ExecOptions) -> Result<ExitCode> {
    let typing = Typing { tty: options.tty && !options.detach, interactive: options.interactive && !options.detach };
    let settings = match engine.find(&options.container).and_then(|_| terminal(&typing)) {
        Ok(settings) => settings,
        Err(error) => return Ok(declined(&error)),
    };
    let signals = attend::take_signals()?;
    let attachment = match options.detach {
        true => Attachment::default(),
        false => Attachment { streams: ALL.to_vec(), types: options.interactive, lent: attend::lend(settings)? },
    };
    let (attached, id) = match engine.exec(options, relay::size(), attachment) {
        Err(Error::Refused(refused)) if matches!(refused.kind, RefusedKind::Conflict | RefusedKind::NoSuchObject) => {
            return Ok(declined(&Error::Refused(refused)));
        }
        attached => attached?,
    };
    // Of the sizes of its terminal Docker tells nothing.
    let told = |done| {
        if let Done::Left = done {
            engine.has_done(&options.container, &Deed::ExecDetach(id.clone()));
        }
    };
    let wishes = Wishes {
        terminal: settings,
        types: typing.interactive,
        detach_keys: options.detach_keys.clone(),
        leaves: options.detach,
        told: Some(&told),
        ..Wishes::default()
    };
    let outcome = attend::attend(attached, &signals, wishes)?;
    Ok(end(&outcome, &options.container))
}

/// Tells what a person who is attached to a container has done.
fn tell(engine: &Engine, word: &str, done: Done) {
    engine.has_done(
        word,
        &match done {
            Done::Left => Deed::Detach,
            Done::Resized(size) => Deed::Resize(size),
        },
    );
}

const ALL: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

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

/// What is typed for a process.
struct Typing {
    tty: bool,
    interactive: bool,
}

/// The settings of the person's terminal, where the container gets one. What is typed can only be passed on from a
/// terminal.
fn terminal(typing: &Typing) -> Result<Option<sys::terminal::Settings>> {
    let settings = relay::settings().filter(|_| typing.tty);
    if typing.tty && typing.interactive && settings.is_none() {
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
