//! The command line as runc's and crun's callers write it: options before or after the command and the id, long ones with
//! one or two dashes, values behind `=` or in the next word.

use std::collections::BTreeMap;
use std::ffi::OsString;

use error::{Refused, Result};

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// The command; empty where none is named.
    pub(crate) command: String,
    /// The options by their long names, each with its values in their order; one without a value has an empty one.
    options: BTreeMap<&'static str, Vec<String>>,
    /// The words that are no options: the id, and what follows it.
    pub(crate) words: Vec<String>,
}

/// An option: its long name, the letter for it, and whether it has a value.
struct Flag(&'static str, Option<char>, Takes);

#[derive(PartialEq, Eq, Clone, Copy)]
enum Takes {
    Nothing,
    Value,
}

use Takes::{Nothing, Value};

/// Those that may stand before the command. Some are for other runtimes' sake: what they choose there is always so here.
const GLOBAL: &[Flag] = &[
    Flag("root", None, Value),
    Flag("log", None, Value),
    Flag("log-format", None, Value),
    Flag("log-level", None, Value),
    Flag("debug", None, Nothing),
    Flag("systemd-cgroup", None, Nothing),
    Flag("cgroup-manager", None, Value),
    Flag("rootless", None, Value),
    Flag("criu", None, Value),
    Flag("help", Some('h'), Nothing),
    Flag("version", Some('v'), Nothing),
];

const CREATE: &[Flag] = &[
    Flag("bundle", Some('b'), Value),
    Flag("config", Some('f'), Value),
    Flag("console-socket", None, Value),
    Flag("pidfd-socket", None, Value),
    Flag("pid-file", None, Value),
    Flag("preserve-fds", None, Value),
    Flag("no-pivot", None, Nothing),
    Flag("no-new-keyring", None, Nothing),
    Flag("no-subreaper", None, Nothing),
    Flag("detach", Some('d'), Nothing),
    Flag("keep", None, Nothing),
];

const EXEC: &[Flag] = &[
    Flag("process", Some('p'), Value),
    Flag("console-socket", None, Value),
    Flag("pidfd-socket", None, Value),
    Flag("pid-file", None, Value),
    Flag("cwd", None, Value),
    Flag("env", Some('e'), Value),
    Flag("tty", Some('t'), Nothing),
    Flag("user", Some('u'), Value),
    Flag("additional-gids", Some('g'), Value),
    Flag("detach", Some('d'), Nothing),
    Flag("cap", Some('c'), Value),
    Flag("no-new-privs", None, Nothing),
    Flag("apparmor", None, Value),
    Flag("process-label", None, Value),
    Flag("preserve-fds", None, Value),
    Flag("ignore-paused", None, Nothing),
    Flag("no-subreaper", None, Nothing),
];

/// The limits that `update` takes one by one, with the place of each in OCI's `linux.resources`.
pub(crate) const LIMITS: &[(&str, [&str; 2])] = &[
    ("blkio-weight", ["blockIO", "weight"]),
    ("cpu-period", ["cpu", "period"]),
    ("cpu-quota", ["cpu", "quota"]),
    ("cpu-burst", ["cpu", "burst"]),
    ("cpu-share", ["cpu", "shares"]),
    ("cpu-rt-period", ["cpu", "realtimePeriod"]),
    ("cpu-rt-runtime", ["cpu", "realtimeRuntime"]),
    ("cpuset-cpus", ["cpu", "cpus"]),
    ("cpuset-mems", ["cpu", "mems"]),
    ("cpu-idle", ["cpu", "idle"]),
    ("memory", ["memory", "limit"]),
    ("memory-reservation", ["memory", "reservation"]),
    ("memory-swap", ["memory", "swap"]),
    ("kernel-memory", ["memory", "kernel"]),
    ("kernel-memory-tcp", ["memory", "kernelTCP"]),
    ("pids-limit", ["pids", "limit"]),
];

const DELETE: &[Flag] = &[Flag("force", Some('f'), Nothing)];
const KILL: &[Flag] = &[Flag("all", Some('a'), Nothing), Flag("regex", Some('r'), Nothing)];
const LIST: &[Flag] = &[Flag("format", Some('f'), Value), Flag("quiet", Some('q'), Nothing)];
const EVENTS: &[Flag] = &[Flag("interval", None, Value), Flag("stats", None, Nothing)];
const SPEC: &[Flag] = &[Flag("bundle", Some('b'), Value), Flag("rootless", None, Nothing)];
const RESOURCES: &[Flag] = &[Flag("resources", Some('r'), Value)];

pub(crate) const HELP: &str = "\
Usage: carboy-runtime [OPTIONS] COMMAND [OPTIONS] ID [WORDS]

An OCI runtime.

Commands:
  create    Make a container from a bundle, up to where its program is to be started
  start     Start the program of a container that was made
  run       Make a container and start its program
  exec      Run one more process in a container
  state     Print the state of a container, as JSON
  list      List containers
  kill      Send a signal to a container's first process, or to all
  delete    Remove what there is of a container
  pause     Stop every process of a container where it stands
  resume    Let them go on
  ps        List the processes of a container
  events    Print what a container uses
  update    Change the limits of a container
  features  Print what this runtime can do
  spec      Write a configuration to begin with

Options before the command:
  --root DIR              where the states of containers are kept
  --log FILE              where errors are written too
  --log-format FORMAT     text or json
  --systemd-cgroup        have systemd make the groups; linux.cgroupsPath is slice:prefix:name
  --cgroup-manager NAME   the same as a word: cgroupfs or systemd";

fn flags_of(command: &str) -> Vec<&'static Flag> {
    let own: &[Flag] = match command {
        "create" | "run" => CREATE,
        "exec" => EXEC,
        "delete" => DELETE,
        "kill" => KILL,
        "list" | "ps" => LIST,
        "events" => EVENTS,
        "update" => RESOURCES,
        "spec" => SPEC,
        _ => &[],
    };
    own.iter().chain(GLOBAL).collect()
}

/// Reads the words behind the program's name.
///
/// # Errors
/// Refused for an option that the command does not have, and for one without its value.
pub(crate) fn read(words: Vec<OsString>) -> Result<Invocation> {
    let mut invocation = Invocation::default();
    let mut words = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    // What is run in a container begins behind its id, and its options are its own.
    while let Some(word) = words.next() {
        let rest_is_words = invocation.command == "exec" && !invocation.words.is_empty();
        if word == "--" {
            invocation.words.extend(words.by_ref());
        } else if !word.starts_with('-') || word == "-" {
            if invocation.command.is_empty() {
                invocation.command = word;
                continue;
            }
            invocation.words.push(word);
            if rest_is_words {
                invocation.words.extend(words.by_ref());
            }
        } else {
            invocation.option(&word, &mut words)?;
        }
    }
    if invocation.has("version") {
        invocation.command = "version".to_owned();
    } else if invocation.has("help") {
        invocation.command = "help".to_owned();
    }
    Ok(invocation)
}

impl Invocation {
    fn option(&mut self, word: &str, words: &mut impl Iterator<Item = String>) -> Result<()> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let bare = name.trim_start_matches('-');
        let limits = LIMITS.iter().filter(|_| self.command == "update");
        if let Some((limit, _)) = { limits }.find(|(limit, _)| *limit == bare) {
            return self.put(limit, Value, value, words);
        }
        let flags = flags_of(&self.command);
        let found = flags.iter().find(|Flag(long, short, _)| {
            *long == bare || (!name.starts_with("--") && bare.chars().eq(short.iter().copied()))
        });
        match found {
            Some(Flag(long, _, takes)) => self.put(long, *takes, value, words),
            None => {
                let of = if self.command.is_empty() { "carboy-runtime" } else { &self.command };
                Err(Refused::new("the option", word, format!("is none of {of}")).into())
            }
        }
    }

    fn put(
        &mut self,
        name: &'static str,
        takes: Takes,
        value: Option<String>,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<()> {
        let value = match (takes, value) {
            (Nothing, value) => value.unwrap_or_default(),
            (Value, Some(value)) => value,
            (Value, None) => match words.next() {
                Some(value) => value,
                None => return Err(Refused::new(format!("--{name}"), "", "requires an argument").into()),
            },
        };
        self.options.entry(name).or_default().push(value);
        Ok(())
    }

    /// Whether an option was given, and not as `=false`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// The last value of an option.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.options.get(name)?.last().map(String::as_str)
    }

    /// All values of an option.
    pub(crate) fn values(&self, name: &str) -> &[String] {
        self.options.get(name).map_or(&[], Vec::as_slice)
    }

    /// The value of an option as a number.
    ///
    /// # Errors
    /// Refused for what is none.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let refused = |_| Refused::new(format!("--{name}"), value, "is not a number that fits").into();
        value.parse().map(Some).map_err(refused)
    }

    /// The container's id, the first word.
    ///
    /// # Errors
    /// Refused where there is none.
    pub(crate) fn id(&self) -> Result<&str> {
        let missing = || Refused::new(&self.command, "", "needs the id of a container").into();
        self.words.first().map(String::as_str).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Invocation> {
        super::read(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn options_stand_before_and_behind_the_command_and_the_id() {
        let line = "--root /r --log /l --log-format json --systemd-cgroup create --bundle=/b -d web --pid-file /p";
        let invocation = read(line).unwrap();
        assert_eq!((invocation.command.as_str(), invocation.id().unwrap()), ("create", "web"));
        let value = |name| invocation.value(name);
        assert_eq!((value("root"), value("bundle"), value("pid-file")), (Some("/r"), Some("/b"), Some("/p")));
        assert!(invocation.has("systemd-cgroup") && invocation.has("detach") && !invocation.has("no-pivot"));
    }

    #[test]
    fn what_is_run_in_a_container_keeps_its_options() {
        let invocation = read("exec --env A=b -e C=d -t web ls -l --all -- x").unwrap();
        assert_eq!(invocation.words, ["web", "ls", "-l", "--all", "--", "x"]);
        assert_eq!(invocation.values("env"), ["A=b", "C=d"]);
        assert_eq!(read("exec -d -p /f web").unwrap().value("process"), Some("/f"));
    }

    #[test]
    fn the_same_letter_means_what_its_command_has_it_for() {
        assert!(read("delete -f web").unwrap().has("force"));
        assert_eq!(read("list -f json").unwrap().value("format"), Some("json"));
        assert_eq!(read("create -f c.json web").unwrap().value("config"), Some("c.json"));
        assert_eq!(read("update --memory 1 --pids-limit=-1 web").unwrap().value("pids-limit"), Some("-1"));
        assert_eq!(read("update -r - web").unwrap().value("resources"), Some("-"));
        assert!(!read("--rootless=false state web").unwrap().has("rootless"));
    }

    #[test]
    fn what_is_no_option_or_lacks_its_value_is_refused_by_its_name() {
        let said = |line| read(line).unwrap_err().to_string();
        assert_eq!(said("create --bundel /b web"), "cannot use the option --bundel: is none of create");
        assert_eq!(said("create --bundle"), "cannot use --bundle: requires an argument");
        assert_eq!(read("--version").unwrap().command, "version");
        assert_eq!(read("checkpoint --help").unwrap().command, "help");
    }
}
