//! Which command the command line asks for, with everything it was given.

use std::ffi::OsString;

use engine::options::{ExecOptions, RunOptions, Signal};
use engine::stop::Stop;
use error::{Refused, Result};
use lexopt::{Arg, Parser};

use crate::container::{self, CONTAINER};
use crate::cp::{self, CP, Cp, DIFF, EXPORT, Export};
use crate::disk_usage::{DISK_USAGE, DiskUsage};
use crate::events::{self, EVENTS, Events};
use crate::explain::Form;
use crate::flags::{End, Flag, Given, Read, Usage, nearest, text, wrong_words};
use crate::help;
use crate::images::{self, IMAGE, Image};
use crate::inspect::{self, INSPECT, Inspect};
use crate::limits;
use crate::login::{self, LOGIN, LOGOUT, Login};
use crate::logs::Logs;
use crate::manifest::{self, MANIFEST};
use crate::network_flags::{self, NETWORK, Network};
use crate::port::{self, PORT, Port};
use crate::prune::{self, Prune};
use crate::ps::{self, PS, Ps};
use crate::run::{Attach, Start};
use crate::run_flags::{self, CREATE, Draft, EXPLAIN_RUN, RUN, Run};
use crate::search::{self, SEARCH, Search, TAGS, Tags};
use crate::see::compare::Compare;
use crate::see::why::Asked as Why;
use crate::see::{self, See};
use crate::stats::Stats;
use crate::system::{self, CHECK, Check, SYSTEM};
use crate::top::{self, TOP, Top};
use crate::update::{UPDATE, Update};
use crate::value::environment::{self, Lookup};
use crate::value::{keys, moment, name, quantity, signal};
use crate::volume_flags::{self, VOLUME, Volume};

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Run a container.
    Run(Box<RunOptions>),
    /// Make a container.
    Create(Box<RunOptions>),
    /// Start these.
    Start(Start),
    /// Stop these and start them.
    Restart(Stop, Vec<String>),
    /// Be attached to one.
    Attach(Attach),
    /// Start what is to run when the host has begun anew.
    Boot,
    /// Print the plan of one.
    Explain(Box<RunOptions>, Form),
    /// Print every limit.
    Limits(limits::Form),
    /// Run a command in one that runs.
    Exec(ExecOptions),
    /// List containers.
    Ps(Ps),
    /// Show what these use.
    Stats(Stats),
    /// Show what is isolated from what.
    See(See),
    /// Show what two have in common.
    Compare(Compare),
    /// Show what holds one back.
    Why(Why),
    /// Print everything about these.
    Inspect(Inspect),
    /// Send a signal to these.
    Kill(Signal, Vec<String>),
    /// Show what one has said.
    Logs(Logs),
    /// Ask these to end.
    Stop(Stop, Vec<String>),
    /// Wait for the end of these.
    Wait(Vec<String>),
    /// Remove these.
    Rm(Rm),
    /// Call one something else.
    Rename(String, String),
    /// Show the processes of one.
    Top(Top),
    /// Hold these to other limits.
    Update(Box<Update>),
    /// Stop every process of these.
    Pause(Vec<String>),
    /// Let the processes of these go on.
    Unpause(Vec<String>),
    /// Copy files out of one or into it.
    Cp(Cp),
    /// Write all files of one as an archive.
    Export(Export),
    /// Show what this one has changed.
    Diff(String),
    /// Find what is not as it should be.
    Check(Check),
    /// Show what happens.
    Events(Events),
    /// Show what takes room on the disk.
    DiskUsage(DiskUsage),
    /// Remove the containers that do not run.
    PruneContainers(Prune),
    /// Remove what nobody uses.
    Prune(Prune),
    /// Do something with volumes.
    Volume(Volume),
    /// Do something with networks.
    Network(Network),
    /// Show the ports of the host that lead to one.
    Port(Port),
    /// Do something with images.
    Image(Image),
    /// Log in to a registry.
    Login(Login),
    /// Log out from one.
    Logout(Option<String>),
    /// Find images in one.
    Search(Search),
    /// List the tags of an image.
    Tags(Tags),
    /// Print what a name stands for at its registry.
    Manifest(manifest::Inspect),
    /// Print this text.
    Help(String),
    /// Print the version.
    Version,
}

impl Command {
    /// Whether a process that it starts, or the monitor that it makes, runs this program in a container.
    pub(crate) const fn enters(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Start(_) | Self::Restart(..) | Self::Boot | Self::Exec(_) | Self::Check(_))
    }

    /// Whether it mounts something where whoever calls it is to see it.
    pub(crate) const fn mounts_on_host(&self) -> bool {
        matches!(self, Self::Image(Image::Mount(_) | Image::Unmount(_)))
    }
}

/// What `rm` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rm {
    /// Whether those that run are killed first.
    pub(crate) force: bool,
    /// Whether the volumes that they alone have go with them.
    pub(crate) volumes: bool,
    /// The containers.
    pub(crate) containers: Vec<String>,
}

/// Reads the words after the program's own name; `caller` looks up the caller's environment.
///
/// # Errors
/// Refused, naming the command or the flag, with what to do.
pub(crate) fn read(words: impl IntoIterator<Item = OsString>, caller: Lookup<'_>) -> Result<Command> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut parser = Parser::from_args(words);
    let word = match parser.next() {
        Ok(None) => return Ok(carboy_help()),
        Ok(Some(Arg::Long("help") | Arg::Short('h'))) => return Ok(carboy_help()),
        Ok(Some(Arg::Long("version") | Arg::Short('v'))) => return Ok(Command::Version),
        Ok(Some(Arg::Value(word))) => text(word)?,
        Ok(Some(Arg::Long(name))) => return Err(before_command(&format!("--{name}"))),
        Ok(Some(Arg::Short(letter))) => return Err(before_command(&format!("-{letter}"))),
        Err(error) => return Err(before_command(&error.to_string())),
    };
    named(&word, &mut parser, caller)
}

/// The command of this name, and the words behind it.
fn named(word: &str, parser: &mut Parser, caller: Lookup<'_>) -> Result<Command> {
    match word {
        "run" => run(&RUN, parser, caller),
        "create" => create(parser, caller),
        "start" => start(parser),
        "restart" => restart(parser),
        "attach" => attach(parser),
        "boot" => boot(parser),
        "explain" => explain(parser, caller),
        "exec" => exec(parser, caller),
        "ps" => ps::read(parser),
        "stats" => stats(parser),
        "see" => see_what(parser),
        "compare" => compare(parser),
        "why" => why(parser),
        "inspect" => inspect::read(parser),
        "kill" => kill(parser),
        "logs" => logs(parser),
        "stop" => stop(parser),
        "wait" => Ok(containers(&WAIT, parser, &mut ())?.map_or_else(|help| help, Command::Wait)),
        "rm" => rm(parser),
        "rename" => rename(parser),
        "top" => top::read(parser),
        "update" => update(parser),
        "pause" => Ok(containers(&PAUSE, parser, &mut ())?.map_or_else(|help| help, Command::Pause)),
        "unpause" => Ok(containers(&UNPAUSE, parser, &mut ())?.map_or_else(|help| help, Command::Unpause)),
        "cp" => cp::read_cp(parser),
        "export" => cp::read_export(parser),
        "diff" => cp::read_diff(parser),
        "events" => events::read(parser),
        "port" => port::read(parser),
        "volume" => volume_flags::read(parser),
        "network" => network_flags::read(parser),
        "image" => images::read(parser),
        "images" => images::list::read(parser),
        "history" => images::history::read(parser),
        "pull" => images::pull::read(parser),
        "push" => images::push::read(parser),
        "load" => images::load::read(parser),
        "commit" => images::commit::read(parser),
        "import" => images::commit::read_import(parser),
        "save" => images::save::read(parser),
        "rmi" => images::rm::read(parser),
        "tag" => images::tag::read(parser),
        "container" => container::read(parser, |word, parser| named(word, parser, caller)),
        "login" => login::read_login(parser),
        "logout" => login::read_logout(parser),
        "search" => search::read_search(parser),
        "tags" => search::read_tags(parser),
        "manifest" => manifest::read(parser),
        "system" => system::read(parser),
        "help" => help(parser),
        "version" => Ok(Command::Version),
        _ => Err(unknown(word)),
    }
}

fn before_command(written: &str) -> error::Error {
    let refused = Refused::new(written, "", "stands before the command");
    refused.hint("name the command first, for example: carboy run -it host bash").into()
}

const COMMANDS: [(&str, &str); 49] = [
    (RUN.command, RUN.doc),
    (CREATE.command, CREATE.doc),
    (START.command, START.doc),
    (RESTART.command, RESTART.doc),
    (ATTACH.command, ATTACH.doc),
    (BOOT.command, BOOT.doc),
    (EXPLAIN.command, EXPLAIN.doc),
    (EXEC.command, EXEC.doc),
    (PS.command, PS.doc),
    (STATS.command, STATS.doc),
    (SEE.command, SEE.doc),
    (WHY.command, WHY.doc),
    (COMPARE.command, COMPARE.doc),
    (INSPECT.command, INSPECT.doc),
    (KILL.command, KILL.doc),
    (LOGS.command, LOGS.doc),
    (PORT.command, PORT.doc),
    (EVENTS.command, EVENTS.doc),
    (STOP.command, STOP.doc),
    (WAIT.command, WAIT.doc),
    (RM.command, RM.doc),
    (RENAME.command, RENAME.doc),
    (TOP.command, TOP.doc),
    (UPDATE.command, UPDATE.doc),
    (PAUSE.command, PAUSE.doc),
    (UNPAUSE.command, UNPAUSE.doc),
    (CP.command, CP.doc),
    (EXPORT.command, EXPORT.doc),
    (DIFF.command, DIFF.doc),
    (images::list::LIST.command, images::list::LIST.doc),
    (images::history::HISTORY.command, images::history::HISTORY.doc),
    (images::pull::PULL.command, images::pull::PULL.doc),
    (images::push::PUSH.command, images::push::PUSH.doc),
    (images::load::LOAD.command, images::load::LOAD.doc),
    (images::commit::COMMIT.command, images::commit::COMMIT.doc),
    (images::commit::IMPORT.command, images::commit::IMPORT.doc),
    (images::save::SAVE.command, images::save::SAVE.doc),
    (images::rm::REMOVE.command, images::rm::REMOVE.doc),
    (images::tag::TAG.command, images::tag::TAG.doc),
    (IMAGE.command, IMAGE.doc),
    (VOLUME.command, VOLUME.doc),
    (NETWORK.command, NETWORK.doc),
    (LOGIN.command, LOGIN.doc),
    (LOGOUT.command, LOGOUT.doc),
    (SEARCH.command, SEARCH.doc),
    (TAGS.command, TAGS.doc),
    (MANIFEST.command, MANIFEST.doc),
    (CONTAINER.command, CONTAINER.doc),
    (SYSTEM.command, SYSTEM.doc),
];

fn help(parser: &mut Parser) -> Result<Command> {
    match parser.next() {
        Ok(Some(Arg::Long("json"))) => Ok(Command::Help(help::document(&tables()).to_string())),
        _ => Ok(carboy_help()),
    }
}

/// Every command with its flags, for those who make man pages and completions of them.
fn tables() -> Vec<serde_json::Value> {
    let mut tables = vec![
        help::table(&RUN),
        help::table(&CREATE),
        help::table(&START),
        help::table(&RESTART),
        help::table(&ATTACH),
        help::table(&BOOT),
        help::table(&EXPLAIN),
        help::table(&EXPLAIN_RUN),
        help::table(&EXPLAIN_LIMITS),
        help::table(&EXEC),
        help::table(&PS),
        help::table(&STATS),
        help::table(&SEE),
        help::table(&WHY),
        help::table(&COMPARE),
        help::table(&INSPECT),
        help::table(&inspect::INSPECT_IMAGE),
        help::table(&KILL),
        help::table(&LOGS),
        help::table(&PORT),
        help::table(&EVENTS),
        help::table(&STOP),
        help::table(&WAIT),
        help::table(&RM),
        help::table(&RENAME),
        help::table(&TOP),
        help::table(&UPDATE),
        help::table(&PAUSE),
        help::table(&UNPAUSE),
        help::table(&CP),
        help::table(&EXPORT),
        help::table(&DIFF),
        help::table(&images::list::LIST),
        help::table(&images::history::HISTORY),
        help::table(&images::pull::PULL),
        help::table(&images::push::PUSH),
        help::table(&images::load::LOAD),
        help::table(&images::commit::COMMIT),
        help::table(&images::commit::IMPORT),
        help::table(&images::save::SAVE),
        help::table(&images::rm::REMOVE),
        help::table(&images::tag::TAG),
        help::table(&IMAGE),
        help::table(&images::prune::PRUNE),
        help::table(&images::tree::TREE),
        help::table(&images::mount::MOUNT),
        help::table(&images::mount::UNMOUNT),
        help::table(&VOLUME),
        help::table(&volume_flags::CREATE),
        help::table(&volume_flags::LIST),
        help::table(&volume_flags::INSPECT),
        help::table(&volume_flags::REMOVE),
        help::table(&volume_flags::PRUNE),
        help::table(&LOGIN),
        help::table(&LOGOUT),
        help::table(&SEARCH),
        help::table(&TAGS),
        help::table(&MANIFEST),
        help::table(&manifest::INSPECT),
        help::table(&CONTAINER),
        help::table(&prune::OF_CONTAINERS),
        help::table(&SYSTEM),
        help::table(&CHECK),
        help::table(&DISK_USAGE),
        help::table(&prune::OF_ALL),
    ];
    tables.extend(network_flags::tables());
    tables
}

fn carboy_help() -> Command {
    Command::Help(help::of_carboy(&COMMANDS))
}

fn unknown(word: &str) -> error::Error {
    let refused = wrong_words(word, "", "carboy has no such command");
    let hint = match nearest(word, COMMANDS.iter().map(|(name, _)| *name)) {
        Some(name) => format!("did you mean carboy {name}?"),
        None => "carboy --help lists them".to_owned(),
    };
    refused.hint(hint).into()
}

fn run(usage: &Usage<Draft>, parser: &mut Parser, caller: Lookup<'_>) -> Result<Command> {
    Ok(match run_flags::read(usage, parser, Form::Text, caller)? {
        Run::Container(options, _) => Command::Run(options),
        Run::Help => Command::Help(help::of_command(usage)),
    })
}

fn create(parser: &mut Parser, caller: Lookup<'_>) -> Result<Command> {
    Ok(match run_flags::read(&CREATE, parser, Form::Text, caller)? {
        Run::Container(options, _) => Command::Create(options),
        Run::Help => Command::Help(help::of_command(&CREATE)),
    })
}

const START: Usage<Start> = Usage {
    command: "start",
    words: "CONTAINER...",
    doc: "Start containers that do not run",
    flags: &[&[
        Flag::switch("attach", |start: &mut Start, on| start.attach = on, "stay until it ends, and end as it does")
            .short('a'),
        Flag::switch("interactive", |start: &mut Start, on| start.interactive = on, "stay, and pass standard input on")
            .short('i'),
        Flag::value("detach-keys", "KEYS", start_detach_keys, "leave the terminal with these keys (those of run)"),
    ]],
    end: End::Never,
};

fn start_detach_keys(start: &mut Start, given: Given<'_>) -> Result<()> {
    start.detach_keys = Some(keys::detach_keys(given)?);
    Ok(())
}

fn start(parser: &mut Parser) -> Result<Command> {
    let mut start = Start::default();
    let read = containers(&START, parser, &mut start)?;
    Ok(read.map_or_else(|help| help, |containers| Command::Start(Start { containers, ..start })))
}

const RESTART: Usage<Stop> = Usage {
    command: "restart",
    words: "CONTAINER...",
    doc: "Stop containers and start them again",
    flags: STOP.flags,
    end: End::Never,
};

fn restart(parser: &mut Parser) -> Result<Command> {
    let mut stop = Stop::default();
    let read = containers(&RESTART, parser, &mut stop)?;
    Ok(read.map_or_else(|help| help, |containers| Command::Restart(stop, containers)))
}

const ATTACH: Usage<Attach> = Usage {
    command: "attach",
    words: "CONTAINER",
    doc: "See what a running container writes, and type to it",
    flags: &[&[
        Flag::switch("no-stdin", |attach: &mut Attach, on| attach.input = !on, "do not pass standard input on"),
        Flag::switch("sig-proxy", |attach: &mut Attach, on| attach.passes_signals = on, "pass signals on (true)"),
        Flag::value("detach-keys", "KEYS", attach_detach_keys, "leave with these keys (those of run)"),
    ]],
    end: End::Never,
};

fn attach_detach_keys(attach: &mut Attach, given: Given<'_>) -> Result<()> {
    attach.detach_keys = Some(keys::detach_keys(given)?);
    Ok(())
}

fn attach(parser: &mut Parser) -> Result<Command> {
    let mut attach = Attach::to("");
    let mut words = match containers(&ATTACH, parser, &mut attach)? {
        Err(help) => return Ok(help),
        Ok(words) => words.into_iter(),
    };
    attach.container = words.next().unwrap_or_default();
    match words.next() {
        None => Ok(Command::Attach(attach)),
        Some(word) => Err(wrong_words("attach", word, "it attaches to one container at a time").into()),
    }
}

const BOOT: Usage<()> = Usage {
    command: "boot",
    words: "",
    doc: "Start the containers that are to run when the host has begun anew

Those of --restart always, and those of unless-stopped that were not stopped. For a unit of systemd.",
    flags: &[],
    end: End::Never,
};

fn boot(parser: &mut Parser) -> Result<Command> {
    match BOOT.read(parser, &mut ())? {
        Read::Help => Ok(Command::Help(help::of_command(&BOOT))),
        Read::Words(words) => match words.first() {
            None => Ok(Command::Boot),
            Some(word) => {
                let refused = wrong_words("boot", word, "it takes no words");
                Err(refused.hint("carboy start starts one container").into())
            }
        },
    }
}

/// `explain [--json] run …`, `explain [--json] limits …`
fn explain(parser: &mut Parser, caller: Lookup<'_>) -> Result<Command> {
    let mut form = Form::Text;
    let words = match EXPLAIN.read(parser, &mut form)? {
        Read::Help => return Ok(Command::Help(help::of_command(&EXPLAIN))),
        Read::Words(words) => words,
    };
    let (what, words) = words.split_first().map_or(("", &[][..]), |(what, rest)| (what.as_str(), rest));
    let mut parser = Parser::from_args(words);
    match what {
        "run" => Ok(match run_flags::read(&EXPLAIN_RUN, &mut parser, form, caller)? {
            Run::Container(options, form) => Command::Explain(options, form),
            Run::Help => Command::Help(help::of_command(&EXPLAIN_RUN)),
        }),
        "limits" => explain_limits(&mut parser, form),
        _ => {
            let refused = Refused::new("explain", what, "it explains run and limits");
            Err(refused.hint("for example: carboy explain run host bash").into())
        }
    }
}

fn explain_limits(parser: &mut Parser, form: Form) -> Result<Command> {
    let mut form = match form {
        Form::Text => limits::Form::Text,
        Form::Lessons => limits::Form::Lessons,
        Form::Json => limits::Form::Json,
    };
    match EXPLAIN_LIMITS.read(parser, &mut form)? {
        Read::Help => Ok(Command::Help(help::of_command(&EXPLAIN_LIMITS))),
        Read::Words(words) => match words.first() {
            None => Ok(Command::Limits(form)),
            Some(word) => Err(wrong_words("explain limits", word, "it takes no words").into()),
        },
    }
}

const EXPLAIN: Usage<Form> = Usage {
    command: "explain",
    words: "run ROOT [COMMAND] [ARG...] | limits",
    doc: "Print what carboy would do, without doing it\n\nrun     the plan of a container: what carboy run would do with the same words\n\
          limits  every limit: its flag, its files in cgroup v1 and v2, what the kernel does, what this host has",
    flags: &[&[
        Flag::switch("json", |form, on| *form = if on { Form::Json } else { Form::Text }, "print JSON"),
        Flag::switch(
            "verbose",
            |form, on| *form = if on { Form::Lessons } else { Form::Text },
            "tell what the kernel does, too",
        )
        .short('v'),
    ]],
    end: End::FirstWord,
};

const EXPLAIN_LIMITS: Usage<limits::Form> = Usage {
    command: "explain limits",
    words: "",
    doc: "Print every limit: its flag, its files in cgroup v1 and v2, what the kernel does, what this host has",
    flags: &[&[
        Flag::switch("json", |form, on| *form = if on { limits::Form::Json } else { limits::Form::Text }, "print JSON"),
        Flag::switch(
            "verbose",
            |form, on| *form = if on { limits::Form::Lessons } else { limits::Form::Text },
            "tell what each controller does, too",
        )
        .short('v'),
        Flag::switch(
            "markdown",
            |form, on| *form = if on { limits::Form::Markdown } else { limits::Form::Text },
            "print Markdown, without what depends on this host",
        ),
    ]],
    end: End::Never,
};

/// What is collected for `exec` before its words are known.
struct ExecDraft {
    options: ExecOptions,
    env: Vec<String>,
    env_files: Vec<String>,
}

const EXEC: Usage<ExecDraft> = Usage {
    command: "exec",
    words: "CONTAINER COMMAND [ARG...]",
    doc: "Run a command in a running container",
    flags: &[&[
        Flag::switch("tty", |draft: &mut ExecDraft, on| draft.options.tty = on, "give it a terminal").short('t'),
        Flag::switch(
            "interactive",
            |draft: &mut ExecDraft, on| draft.options.interactive = on,
            "pass standard input on",
        )
        .short('i'),
        Flag::switch("detach", |draft: &mut ExecDraft, on| draft.options.detach = on, "leave it to run by itself")
            .short('d'),
        Flag::switch("privileged", |draft, on| draft.options.privileged = on, "give it every capability"),
        Flag::values("env", "NAME[=VALUE]", exec_env, "set a variable, or pass yours on").short('e'),
        Flag::values("env-file", "FILE", exec_env_file, "set the variables of a file, one a line"),
        Flag::value("workdir", "DIR", exec_workdir, "start in this folder").short('w'),
        Flag::value("user", "USER[:GROUP]", exec_user, "run as this user").short('u'),
        Flag::value("detach-keys", "KEYS", exec_detach_keys, "leave the terminal with these keys (ctrl-p,ctrl-q)"),
    ]],
    end: End::FirstWord,
};

fn exec_env(draft: &mut ExecDraft, given: Given<'_>) -> Result<()> {
    draft.env.push(given.value.to_owned());
    Ok(())
}

fn exec_env_file(draft: &mut ExecDraft, given: Given<'_>) -> Result<()> {
    draft.env_files.push(given.value.to_owned());
    Ok(())
}

fn exec_workdir(draft: &mut ExecDraft, given: Given<'_>) -> Result<()> {
    draft.options.workdir = Some(name::absolute(given)?);
    Ok(())
}

fn exec_user(draft: &mut ExecDraft, given: Given<'_>) -> Result<()> {
    draft.options.user = Some(given.value.to_owned());
    Ok(())
}

fn exec_detach_keys(draft: &mut ExecDraft, given: Given<'_>) -> Result<()> {
    draft.options.detach_keys = keys::detach_keys(given)?;
    Ok(())
}

fn exec(parser: &mut Parser, caller: Lookup<'_>) -> Result<Command> {
    let options = ExecOptions {
        container: String::new(),
        command: Vec::new(),
        tty: false,
        interactive: false,
        env: Vec::new(),
        workdir: None,
        user: None,
        privileged: false,
        detach: false,
        detach_keys: RunOptions::DETACH_KEYS.to_vec(),
    };
    let mut draft = ExecDraft { options, env: Vec::new(), env_files: Vec::new() };
    let mut words = match containers(&EXEC, parser, &mut draft)? {
        Err(help) => return Ok(help),
        Ok(words) => words.into_iter(),
    };
    let mut options = draft.options;
    options.container = words.next().unwrap_or_default();
    options.command = words.collect();
    if options.command.is_empty() {
        let refused = wrong_words("exec", &options.container, "there is no command");
        return Err(refused.hint(format!("name one, for example: carboy exec {} ps", options.container)).into());
    }
    options.env = environment::variables(&draft.env_files, &draft.env, caller)?;
    Ok(Command::Exec(options))
}

const STATS: Usage<Stats> = Usage {
    command: "stats",
    words: "[CONTAINER...]",
    doc: "Show what running containers use",
    flags: &[&[
        Flag::switch("no-stream", |stats: &mut Stats, on| stats.once = on, "show one sample, taken over half a second"),
        Flag::value(
            "format",
            "FORMAT",
            stats_format,
            "show them by a Go template, 'table TEMPLATE', table or json: {{.Name}} {{.MemUsage}}",
        ),
        Flag::switch("json", |stats: &mut Stats, on| stats.json = on, "print a line of raw numbers for each container"),
        Flag::switch("no-trunc", |stats: &mut Stats, on| stats.whole = on, "show ids whole"),
        Flag::switch("all", |stats: &mut Stats, on| stats.all = on, "show those too that do not run").short('a'),
    ]],
    end: End::Never,
};

fn stats_format(stats: &mut Stats, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut stats.format);
    Ok(())
}

fn stats(parser: &mut Parser) -> Result<Command> {
    let mut stats = Stats::default();
    Ok(match STATS.read(parser, &mut stats)? {
        Read::Help => Command::Help(help::of_command(&STATS)),
        Read::Words(containers) => Command::Stats(Stats { containers, ..stats }),
    })
}

const SEE: Usage<See> = Usage {
    command: "see",
    words: "[WHAT]",
    doc: "Show what is isolated from what, and which limits hold, whoever runs it\n\n\
          Without WHAT: a line for each container on the host. WHAT is one of\n  \
          web               a container, by its name or the beginning of its id\n  \
          web:10  2503      a process, by its pid inside a container or on the host\n  \
          net:web  net:[N]  a namespace, by who is in it or by its number\n  \
          /team             a cgroup, with those below it\n  \
          :8080             who listens at a port\n  \
          veth96d89c0       who has the other end of an interface of the host\n  \
          /srv/x            who has a file or folder of the host mounted, or as a layer\n  \
          uid:100999        who has a user of the host\n\n\
          The exit code is 0, 1 where nothing is found, 2 where the command line cannot be.",
    flags: &[&[
        Flag::switch(
            "all",
            |see: &mut See, on| see.all = on,
            "show every process apart from the host, and namespaces without a process",
        )
        .short('a'),
        Flag::switch(
            "namespaces",
            |see: &mut See, on| see.namespaces = on,
            "show every namespace that has a process, with the first one",
        ),
        Flag::switch(
            "json",
            |see: &mut See, on| see.form = if on { see::Form::Json } else { see::Form::Text },
            "print JSON: without WHAT a snapshot of the host",
        ),
        Flag::switch(
            "svg",
            |see: &mut See, on| see.form = if on { see::Form::Svg } else { see::Form::Text },
            "draw it: without WHAT who shares what",
        ),
        Flag::switch(
            "watch",
            |see: &mut See, on| see.watch = on,
            "look again every two seconds, until it is interrupted or what is watched has ended",
        ),
        Flag::value("from", "FILE", see_from, "look at a snapshot that --json has printed"),
    ]],
    end: End::Never,
};

fn see_from(see: &mut See, given: Given<'_>) -> Result<()> {
    see.from = Some(given.value.into());
    Ok(())
}

fn see_what(parser: &mut Parser) -> Result<Command> {
    let mut see = See::default();
    let words = match SEE.read(parser, &mut see)? {
        Read::Help => return Ok(Command::Help(help::of_command(&SEE))),
        Read::Words(words) => words,
    };
    let mut words = words.into_iter();
    see.what = words.next();
    match (words.next(), &see.what) {
        (Some(word), _) => Err(Refused::new("see", word, "it shows one thing at a time").into()),
        (None, Some(what)) if see.namespaces => {
            let refused = Refused::new("--namespaces", what, "it lists the namespaces of all");
            Err(refused.hint(format!("carboy see {what} shows its namespaces")).into())
        }
        (None, _) => Ok(Command::See(see)),
    }
}

const COMPARE: Usage<Compare> = Usage {
    command: "compare",
    words: "A [B]",
    doc: "Show what two have in common: namespaces, limits, rights, users, mounts\n\n\
          A and B are containers or processes, in any form that carboy see knows: web, web:10, 2503.\n\
          Without B, A is compared with the host; of two snapshots, with itself later.\n\n\
          The exit code is 0, 1 where one of them is not found, 2 where the command line cannot be.",
    flags: &[&[
        Flag::switch("verbose", |compare: &mut Compare, on| compare.verbose = on, "show what is the same too")
            .short('v'),
        Flag::switch(
            "json",
            |compare: &mut Compare, on| compare.form = if on { see::Form::Json } else { see::Form::Text },
            "print JSON",
        ),
        Flag::switch(
            "svg",
            |compare: &mut Compare, on| compare.form = if on { see::Form::Svg } else { see::Form::Text },
            "draw which namespaces they share",
        ),
        Flag::values(
            "from",
            "FILE",
            compare_from,
            "look at a snapshot that see --json has printed; twice: A in one, B later",
        ),
    ]],
    end: End::Never,
};

fn compare_from(compare: &mut Compare, given: Given<'_>) -> Result<()> {
    if compare.from.len() == 2 {
        return Err(given.refused("is a third snapshot, and two are compared").into());
    }
    compare.from.push(given.value.into());
    Ok(())
}

fn compare(parser: &mut Parser) -> Result<Command> {
    let mut compare = Compare::default();
    let words = match COMPARE.read(parser, &mut compare)? {
        Read::Help => return Ok(Command::Help(help::of_command(&COMPARE))),
        Read::Words(words) => words,
    };
    let mut words = words.into_iter();
    let Some(a) = words.next() else {
        let refused = Refused::new("compare", "", "it needs a container or a process");
        return Err(refused.hint("for example: carboy compare web db, carboy compare web").into());
    };
    let b = words.next();
    match words.next() {
        None => Ok(Command::Compare(Compare { a, b, ..compare })),
        Some(word) => Err(Refused::new("compare", word, "it compares two").into()),
    }
}

const WHY: Usage<Why> = Usage {
    command: "why",
    words: "WHAT",
    doc: "Show what holds a container or a process back, and what killed it\n\n\
          WHAT is a container, a process or a cgroup, in any form that carboy see knows: web, web:10, 2503, /team.\n\
          It is watched for a while. Shown is what was held back (cpu), stalled (cpu, memory, io), killed (memory),\n\
          refused (forks), frozen or stopped, with the level whose limit was hit. Of one that has ended, what is known.\n\n\
          The exit code is 0, 1 where nothing is found, 2 where the command line cannot be.",
    flags: &[&[
        Flag::value("for", "TIME", why_time, "watch for so long: 500ms, 2s, 1m (2s)"),
        Flag::switch("watch", |why: &mut Why, on| why.watch = on, "go on until it is interrupted"),
        Flag::switch("json", |why: &mut Why, on| why.json = on, "print JSON; with --watch a line each time"),
        Flag::values(
            "from",
            "FILE",
            why_from,
            "look at a snapshot that see --json has printed, and not at this host; twice: before, after",
        ),
    ]],
    end: End::Never,
};

fn why_time(why: &mut Why, given: Given<'_>) -> Result<()> {
    why.time = Some(quantity::time(given)?);
    Ok(())
}

fn why_from(why: &mut Why, given: Given<'_>) -> Result<()> {
    if why.from.len() == 2 {
        return Err(given.refused("is a third snapshot, and it is told what moved between two").into());
    }
    why.from.push(given.value.into());
    Ok(())
}

fn why(parser: &mut Parser) -> Result<Command> {
    let mut why = Why::default();
    let words = match WHY.read(parser, &mut why)? {
        Read::Help => return Ok(Command::Help(help::of_command(&WHY))),
        Read::Words(words) => words,
    };
    let mut words = words.into_iter();
    let Some(what) = words.next() else {
        let refused = Refused::new("why", "", "it needs a container, a process or a cgroup");
        return Err(refused.hint("for example: carboy why web, carboy why 2503").into());
    };
    match words.next() {
        None => Ok(Command::Why(Why { what, ..why })),
        Some(word) => Err(Refused::new("why", word, "it looks at one thing at a time").into()),
    }
}

const KILL: Usage<Signal> = Usage {
    command: "kill",
    words: "CONTAINER...",
    doc: "Send a signal to the first process of containers",
    flags: &[&[Flag::value("signal", "SIGNAL", kill_signal, "the signal (KILL)").short('s')]],
    end: End::Never,
};

fn kill_signal(signal: &mut Signal, given: Given<'_>) -> Result<()> {
    *signal = signal::signal(given)?;
    Ok(())
}

fn kill(parser: &mut Parser) -> Result<Command> {
    let mut signal = Signal::KILL;
    let read = containers(&KILL, parser, &mut signal)?;
    Ok(read.map_or_else(|help| help, |containers| Command::Kill(signal, containers)))
}

const LOGS: Usage<Logs> = Usage {
    command: "logs",
    words: "CONTAINER",
    doc: "Show what a container has said",
    flags: &[&[
        Flag::switch("follow", |logs: &mut Logs, on| logs.follow = on, "go on until it has ended").short('f'),
        Flag::switch("details", |logs: &mut Logs, on| logs.details = on, "show what each line says of its container"),
        Flag::value("tail", "LINES", logs_tail, "show only so many of the last lines (all)").short('n'),
        Flag::switch("timestamps", |logs: &mut Logs, on| logs.timestamps = on, "show when each line came").short('t'),
        Flag::value(
            "since",
            "MOMENT",
            logs_since,
            "show nothing older: a date, seconds since 1970, or 10m for so long ago",
        ),
        Flag::value("until", "MOMENT", logs_until, "show nothing younger"),
    ]],
    end: End::Never,
};

fn logs_tail(logs: &mut Logs, given: Given<'_>) -> Result<()> {
    let count = || quantity::whole(given).map(|count| usize::try_from(count).ok());
    logs.tail = if given.value == "all" { None } else { count()? };
    Ok(())
}

fn logs_since(logs: &mut Logs, given: Given<'_>) -> Result<()> {
    logs.since = Some(moment::moment(given)?);
    Ok(())
}

fn logs_until(logs: &mut Logs, given: Given<'_>) -> Result<()> {
    logs.until = Some(moment::moment(given)?);
    Ok(())
}

fn logs(parser: &mut Parser) -> Result<Command> {
    let mut logs = Logs::default();
    let mut words = match containers(&LOGS, parser, &mut logs)? {
        Err(help) => return Ok(help),
        Ok(words) => words.into_iter(),
    };
    let container = words.next().unwrap_or_default();
    match words.next() {
        None => Ok(Command::Logs(Logs { container, ..logs })),
        Some(word) => Err(wrong_words("logs", word, "it shows one container's at a time").into()),
    }
}

const STOP: Usage<Stop> = Usage {
    command: "stop",
    words: "CONTAINER...",
    doc: "Ask containers to end, and kill those that do not in time",
    flags: &[&[
        Flag::value("signal", "SIGNAL", stop_signal, "the signal that asks (that of the container, or TERM)")
            .short('s'),
        Flag::value(
            "timeout",
            "SECONDS",
            stop_timeout,
            "how long they have (that of the container, or 10), -1 for ever",
        )
        .short('t'),
    ]],
    end: End::Never,
};

fn stop_signal(stop: &mut Stop, given: Given<'_>) -> Result<()> {
    stop.signal = Some(signal::signal(given)?);
    Ok(())
}

fn stop_timeout(stop: &mut Stop, given: Given<'_>) -> Result<()> {
    stop.patience = Some(quantity::patience(given)?);
    Ok(())
}

fn stop(parser: &mut Parser) -> Result<Command> {
    let mut stop = Stop::default();
    let read = containers(&STOP, parser, &mut stop)?;
    Ok(read.map_or_else(|help| help, |containers| Command::Stop(stop, containers)))
}

const WAIT: Usage<()> = Usage {
    command: "wait",
    words: "CONTAINER...",
    doc: "Wait for the end of containers, and print their exit codes",
    flags: &[],
    end: End::Never,
};

const RM: Usage<Rm> = Usage {
    command: "rm",
    words: "CONTAINER...",
    doc: "Remove containers",
    flags: &[&[
        Flag::switch("force", |rm: &mut Rm, on| rm.force = on, "kill those that run first").short('f'),
        Flag::switch(
            "volumes",
            |rm: &mut Rm, on| rm.volumes = on,
            "remove the volumes too that nobody has given a name",
        )
        .short('v'),
    ]],
    end: End::Never,
};

fn rm(parser: &mut Parser) -> Result<Command> {
    let mut rm = Rm::default();
    Ok(match containers(&RM, parser, &mut rm)? {
        Err(help) => help,
        Ok(containers) => Command::Rm(Rm { containers, ..rm }),
    })
}

const RENAME: Usage<()> = Usage {
    command: "rename",
    words: "CONTAINER NAME",
    doc: "Give a container another name",
    flags: &[],
    end: End::Never,
};

fn rename(parser: &mut Parser) -> Result<Command> {
    let words = match containers(&RENAME, parser, &mut ())? {
        Err(help) => return Ok(help),
        Ok(words) => words,
    };
    match <[String; 2]>::try_from(words) {
        Ok([word, name]) => Ok(Command::Rename(word, name)),
        Err(words) => {
            let refused = wrong_words("rename", words.join(" "), "it needs a container and its new name");
            Err(refused.hint("for example: carboy rename web web-old").into())
        }
    }
}

const PAUSE: Usage<()> = Usage {
    command: "pause",
    words: "CONTAINER...",
    doc: "Stop every process of containers where it stands",
    flags: &[],
    end: End::Never,
};

const UNPAUSE: Usage<()> = Usage {
    command: "unpause",
    words: "CONTAINER...",
    doc: "Let the processes of paused containers go on",
    flags: &[],
    end: End::Never,
};

fn update(parser: &mut Parser) -> Result<Command> {
    let mut update = Update::default();
    let containers = match containers(&UPDATE, parser, &mut update)? {
        Err(help) => return Ok(help),
        Ok(containers) => containers,
    };
    if update == Update::default() {
        let refused = wrong_words("update", containers.join(" "), "there is nothing to change");
        return Err(refused.hint("give one or more flags, for example: carboy update -m 512m web").into());
    }
    Ok(Command::Update(Box::new(Update { containers, ..update })))
}

/// Reads the words of a command that names at least one container; or gives its help.
pub(crate) fn containers<T>(
    usage: &Usage<T>,
    parser: &mut Parser,
    target: &mut T,
) -> Result<std::result::Result<Vec<String>, Command>> {
    match usage.read(parser, target)? {
        Read::Help => Ok(Err(Command::Help(help::of_command(usage)))),
        Read::Words(words) if words.is_empty() => {
            let refused = wrong_words(usage.command, "", "it needs the name of a container");
            Err(refused.hint("carboy ps -a lists them").into())
        }
        Read::Words(words) => Ok(Ok(words)),
    }
}

#[cfg(test)]
mod tests;
