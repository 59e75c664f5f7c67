//! The command line as runc's and crun's callers write it: options before or after the command and the id, long ones with
//! one or two dashes, values behind `=` or in the next word.

use std::collections::BTreeMap;
use std::ffi::OsString;

use error::{Error, Refused, Result};

use crate::commands::{self, Command, End, Flag};
use crate::help::Name;
use crate::rootless::Around;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// The user namespace that the program runs in.
    pub(crate) around: Around,
    /// The command; empty where none is named.
    pub(crate) command: String,
    /// The options by their long names, each with its values in their order; one without a value has an empty one.
    options: BTreeMap<&'static str, Vec<String>>,
    /// The words that are no options: the id, and what follows it.
    pub(crate) words: Vec<String>,
}

/// Reads the words behind the program's name. What was read before an error is there, so that it can be told where it was
/// asked to be.
///
/// # Errors
/// Refused for an option that the command does not have, for one without its value, and for words too few or too many.
pub(crate) fn read(words: Vec<OsString>, invocation: &mut Invocation) -> Result<()> {
    let mut words = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let command = Command::named(&invocation.command);
        let end = command.map_or(End::Never, |command| command.end);
        if word == "--" || (end == End::BehindId && !invocation.words.is_empty()) {
            invocation.words.extend(Some(word).filter(|word| word != "--"));
            invocation.words.extend(words.by_ref());
        } else if word.starts_with('-') && word != "-" {
            invocation.option(command, &word, &mut words)?;
        } else if invocation.command.is_empty() {
            invocation.command = word;
        } else {
            let is_command = end == End::AtCommand && !invocation.words.is_empty();
            invocation.words.push(word);
            if is_command {
                invocation.words.extend(words.by_ref());
            }
        }
    }
    if invocation.has("version") {
        invocation.command = "version".to_owned();
    } else if invocation.has("help") || invocation.has("usage") {
        invocation.words =
            Some(std::mem::take(&mut invocation.command)).into_iter().filter(|of| !of.is_empty()).collect();
        invocation.command = "help".to_owned();
    }
    invocation.count()
}

impl Invocation {
    /// One of which nothing was read yet.
    pub(crate) fn new(around: Around) -> Self {
        Self { around, ..Self::default() }
    }

    fn option(
        &mut self,
        command: Option<&'static Command>,
        word: &str,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<()> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let bare = name.trim_start_matches('-');
        if let Some(flag) = commands::flag(command, |flag| flag.long == bare) {
            return self.put(flag, value, words);
        }
        if name.starts_with("--") {
            return Err(unknown(command, word));
        }
        let mut letters = bare.chars();
        while let Some(letter) = letters.next() {
            let found = commands::flag(command, |flag| flag.short.contains(&letter));
            let flag = found.ok_or_else(|| unknown(command, word))?;
            let rest = letters.as_str();
            let last = rest.is_empty();
            if flag.value.is_some() && !last {
                let rest = value.map_or_else(|| rest.to_owned(), |value| format!("{rest}={value}"));
                return self.put(flag, Some(rest), words);
            }
            self.put(flag, value.clone().filter(|_| last), words)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        flag: &'static Flag,
        value: Option<String>,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<()> {
        let value = match (flag.value, value) {
            (None, value) => value.unwrap_or_default(),
            (Some(_), Some(value)) => value,
            (Some(_), None) => match words.next() {
                Some(value) => value,
                None => return Err(Refused::new(format!("--{}", flag.long), "", "requires an argument").into()),
            },
        };
        self.options.entry(flag.long).or_default().push(value);
        Ok(())
    }

    /// Whether there are as many words as the command takes.
    fn count(&self) -> Result<()> {
        let Some(command) = Command::named(&self.command) else { return Ok(()) };
        let [least, most] = command.count;
        let reason = match self.words.len() {
            count if count < least => "needs the id of a container",
            count if count > most && most == 0 => "takes no words",
            count if count > most => "takes fewer words",
            _ => return Ok(()),
        };
        let hint = format!("write {}", format!("{} {}", command.name, command.words).trim_end());
        Err(Refused::new(command.name, self.words.join(" "), reason).hint(hint).into())
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
        let words = Command::named(&self.command).map_or("", |command| command.words);
        let place = words.split(' ').position(|word| word == "ID").unwrap_or(0);
        self.words.get(place).map(String::as_str).ok_or_else(missing)
    }
}

fn unknown(command: Option<&Command>, word: &str) -> Error {
    let of = command.map_or("", |command| command.name);
    let called = Name::called().word();
    let refused = Refused::new("the option", word, format!("is none of {}", if of.is_empty() { called } else { of }));
    refused.hint(format!("{} --help lists them", format!("{called} {of}").trim_end())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Invocation> {
        let mut invocation = Invocation::default();
        super::read(line.split(' ').map(OsString::from).collect(), &mut invocation)?;
        Ok(invocation)
    }

    #[test]
    fn options_stand_before_and_behind_the_command_and_the_id() {
        let line = "--root /r --log /l --log-format json --systemd-cgroup run --bundle=/b -d web --pid-file /p";
        let invocation = read(line).unwrap();
        assert_eq!((invocation.command.as_str(), invocation.id().unwrap()), ("run", "web"));
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
        assert_eq!(said("create"), "cannot use create: needs the id of a container");
        assert_eq!(said("state web db"), "cannot use state web db: takes fewer words");
        assert_eq!(said("list web"), "cannot use list web: takes no words");
        assert_eq!(read("--version").unwrap().command, "version");
        let help = read("create --help").unwrap();
        assert_eq!((help.command.as_str(), help.words), ("help", vec!["create".to_owned()]));
    }

    #[test]
    fn letters_stand_together_and_with_their_values() {
        let exec = read("exec -dt -e=A=b -eC=d -u 7 web -i").unwrap_err().to_string();
        assert_eq!(exec, "cannot use the option -i: is none of exec");
        let exec = read("exec -dt -e=A=b -eC=d -u7 web true -i").unwrap();
        assert!(exec.has("detach") && exec.has("tty"));
        assert_eq!((exec.values("env"), exec.value("user")), (&["A=b".to_owned(), "C=d".to_owned()][..], Some("7")));
        assert_eq!(exec.words, ["web", "true", "-i"]);
        assert_eq!(read("ps -f json web").unwrap().value("format"), Some("json"));
        assert_eq!(read("ps web -f --sort pid").unwrap().words, ["web", "-f", "--sort", "pid"]);
    }
}
