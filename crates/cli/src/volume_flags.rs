//! The words of `volume`: Docker's subcommands and flags.

use engine::options::Traits;
use error::Result;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::help;
use crate::value;
use crate::value::label::Labelled;

/// What `volume` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Volume {
    /// Make one.
    Create(Option<String>, Traits),
    /// List them.
    List(List),
    /// Print everything about these, by a template where there is one.
    Inspect(Inspect),
    /// Remove these.
    Remove(Remove),
    /// Remove those that no container uses.
    Prune(Prune),
}

/// What `volume ls` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Whether names alone are shown.
    pub(crate) quiet: bool,
    /// How they are written.
    pub(crate) format: String,
    /// Which of them.
    pub(crate) filters: Vec<Filter>,
}

/// What `volume inspect` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inspect {
    /// A template, `json`, or nothing.
    pub(crate) format: String,
    /// The volumes.
    pub(crate) names: Vec<String>,
}

/// What `volume rm` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Remove {
    /// Whether one that is not there is removed already.
    pub(crate) force: bool,
    /// The volumes.
    pub(crate) names: Vec<String>,
}

/// What `volume prune` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Prune {
    /// Whether those go too that have been given a name.
    pub(crate) all: bool,
    /// Whether nobody is asked.
    pub(crate) force: bool,
    /// Which of them.
    pub(crate) filters: Vec<Filter>,
}

/// What a volume must be to be meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Used by no container, or by one.
    Dangling(bool),
    /// Of this driver.
    Driver(String),
    /// With a label or without it.
    Label(Labelled),
    /// With this in its name.
    Name(String),
}

/// `carboy volume`, which has commands of its own.
pub(crate) const VOLUME: Usage<()> = Usage {
    command: "volume",
    words: "create|ls|inspect|rm|prune [WORDS]",
    doc: "Make, list and remove volumes\n\n\
          create   make a volume\n\
          ls       list volumes\n\
          inspect  print everything about volumes, as JSON\n\
          rm       remove volumes\n\
          prune    remove the volumes that no container uses\n\n\
          carboy volume COMMAND --help tells of its flags.",
    flags: &[],
    end: End::FirstWord,
};

pub(crate) const CREATE: Usage<Traits> = Usage {
    command: "volume create",
    words: "[NAME]",
    doc: "Make a volume, and print its name",
    flags: &[&[
        Flag::value("driver", "DRIVER", driver, "who keeps it: local (local)").short('d'),
        Flag::values("label", "NAME[=VALUE]", label, "write something on it"),
        Flag::values("opt", "NAME=VALUE", option, "type, o and device of what is mounted in its place, as in mount(8)")
            .short('o'),
    ]],
    end: End::Never,
};

pub(crate) const LIST: Usage<List> = Usage {
    command: "volume ls",
    words: "",
    doc: "List volumes",
    flags: &[&[
        Flag::switch("quiet", |list: &mut List, on| list.quiet = on, "show names alone").short('q'),
        Flag::value("format", "FORMAT", list_format, "show them by a Go template, table TEMPLATE, json or raw"),
        Flag::values(
            "filter",
            "NAME=VALUE",
            |list: &mut List, given| filter(&mut list.filters, given),
            "show those alone with dangling=true or false, driver=, label= or name=",
        )
        .short('f'),
    ]],
    end: End::Never,
};

pub(crate) const INSPECT: Usage<Inspect> = Usage {
    command: "volume inspect",
    words: "VOLUME...",
    doc: "Print everything about volumes, as JSON",
    flags: &[&[Flag::value(
        "format",
        "FORMAT",
        inspect_format,
        "show them by a Go template, or json: {{.Mountpoint}}",
    )
    .short('f')]],
    end: End::Never,
};

fn list_format(list: &mut List, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut list.format);
    Ok(())
}

fn inspect_format(inspect: &mut Inspect, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut inspect.format);
    Ok(())
}

pub(crate) const REMOVE: Usage<Remove> = Usage {
    command: "volume rm",
    words: "VOLUME...",
    doc: "Remove volumes that no container uses",
    flags: &[&[
        Flag::switch("force", |rm: &mut Remove, on| rm.force = on, "pass over those that are not there").short('f')
    ]],
    end: End::Never,
};

pub(crate) const PRUNE: Usage<Prune> = Usage {
    command: "volume prune",
    words: "",
    doc: "Remove the volumes that nobody has given a name and no container uses",
    flags: &[&[
        Flag::switch("all", |prune: &mut Prune, on| prune.all = on, "remove those with a name too").short('a'),
        Flag::switch("force", |prune: &mut Prune, on| prune.force = on, "do not ask").short('f'),
        Flag::values(
            "filter",
            "NAME=VALUE",
            |prune: &mut Prune, given| filter(&mut prune.filters, given),
            "remove those alone with label= or label!=",
        ),
    ]],
    end: End::Never,
};

fn driver(_: &mut Traits, given: Given<'_>) -> Result<()> {
    match given.value {
        "local" => Ok(()),
        _ => Err(given.refused("is no driver of volumes here").hint("use local").into()),
    }
}

fn label(traits: &mut Traits, given: Given<'_>) -> Result<()> {
    traits.labels.extend([value::label::label(given)?]);
    Ok(())
}

fn option(traits: &mut Traits, given: Given<'_>) -> Result<()> {
    let Some((name, value)) = given.value.split_once('=') else {
        return Err(given.refused("is not NAME=VALUE").hint("use type=, o= or device=").into());
    };
    traits.options.insert(name.to_owned(), value.to_owned());
    Ok(())
}

fn filter(filters: &mut Vec<Filter>, given: Given<'_>) -> Result<()> {
    let hint = "use dangling=true, driver=local, label=NAME=VALUE, label!=NAME or name=PART";
    let Some((name, value)) = given.value.split_once('=') else {
        return Err(given.refused("is not NAME=VALUE").hint(hint).into());
    };
    filters.push(match (name, value) {
        ("dangling", "true" | "1") => Filter::Dangling(true),
        ("dangling", "false" | "0") => Filter::Dangling(false),
        ("driver", driver) => Filter::Driver(driver.to_owned()),
        ("name", part) => Filter::Name(part.to_owned()),
        _ => {
            let labelled = Labelled::of_filter(name, value);
            Filter::Label(labelled.ok_or_else(|| given.declined("is no filter of volumes").hint(hint))?)
        }
    });
    Ok(())
}

/// Reads the words after `volume`.
///
/// # Errors
/// Refused, naming the command or the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let words = match VOLUME.read(parser, &mut ())? {
        Read::Help => return Ok(Command::Help(help::of_command(&VOLUME))),
        Read::Words(words) => words,
    };
    let (word, words) = words.split_first().map_or(("", &[][..]), |(word, rest)| (word.as_str(), rest));
    let mut parser = Parser::from_args(words);
    match word {
        "create" => create(&mut parser),
        "ls" | "list" => words_of(&LIST, &mut parser, Words::None, |list, _| Volume::List(list)),
        "inspect" => {
            words_of(&INSPECT, &mut parser, Words::Some, |inspect, names| Volume::Inspect(Inspect { names, ..inspect }))
        }
        "rm" | "remove" => {
            words_of(&REMOVE, &mut parser, Words::Some, |rm, names| Volume::Remove(Remove { names, ..rm }))
        }
        "prune" => words_of(&PRUNE, &mut parser, Words::None, |prune, _| Volume::Prune(prune)),
        "" => Ok(Command::Help(help::of_command(&VOLUME))),
        _ => {
            let refused = wrong_words("volume", word, "it has no such command");
            Err(refused.hint("use create, ls, inspect, rm or prune").into())
        }
    }
}

/// How many words a command takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    None,
    Some,
}

fn words_of<T: Default>(
    usage: &Usage<T>,
    parser: &mut Parser,
    wanted: Words,
    volume: impl FnOnce(T, Vec<String>) -> Volume,
) -> Result<Command> {
    let mut target = T::default();
    let words = match usage.read(parser, &mut target)? {
        Read::Help => return Ok(Command::Help(help::of_command(usage))),
        Read::Words(words) => words,
    };
    match (wanted, words.first()) {
        (Words::None, Some(word)) => Err(wrong_words(usage.command, word, "it takes no words").into()),
        (Words::Some, None) => {
            let refused = wrong_words(usage.command, "", "it needs the name of a volume");
            Err(refused.hint("carboy volume ls lists them").into())
        }
        _ => Ok(Command::Volume(volume(target, words))),
    }
}

fn create(parser: &mut Parser) -> Result<Command> {
    let mut traits = Traits::default();
    let mut words = match CREATE.read(parser, &mut traits)? {
        Read::Help => return Ok(Command::Help(help::of_command(&CREATE))),
        Read::Words(words) => words.into_iter(),
    };
    let name = words.next();
    match words.next() {
        None => Ok(Command::Volume(Volume::Create(name, traits))),
        Some(word) => Err(wrong_words("volume create", word, "it makes one volume at a time").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str]) -> String {
        match read(&mut Parser::from_args(words)) {
            Ok(Command::Help(text)) => format!("help: {}", text.lines().next().unwrap_or_default()),
            Ok(command) => format!("{command:?}"),
            Err(error) => format!("{error}\n  {}", error.hint().unwrap_or("-")),
        }
    }

    #[test]
    fn a_command_of_volumes_is_read_with_its_flags() {
        for (words, expected) in [
            (&[][..], "help: Usage: carboy volume create|ls|inspect|rm|prune [WORDS]"),
            (&["--help"], "help: Usage: carboy volume create|ls|inspect|rm|prune [WORDS]"),
            (&["ls", "--help"], "help: Usage: carboy volume ls [FLAGS]"),
            (
                &["create", "-d", "local", "--label", "a=b", "-o", "o=x,y=z", "data"],
                "Volume(Create(Some(\"data\"), Traits { labels: {\"a\": \"b\"}, options: {\"o\": \"x,y=z\"} }))",
            ),
            (
                &["list", "-q", "-f", "dangling=true", "--filter", "label!=a=b"],
                "Volume(List(List { quiet: true, format: \"\", filters: [Dangling(true), Label(Labelled { there: false, name: \"a\", value: Some(\"b\") })] }))",
            ),
            (
                &["inspect", "-f", "json", "a", "b"],
                "Volume(Inspect(Inspect { format: \"json\", names: [\"a\", \"b\"] }))",
            ),
            (&["rm", "--force", "a"], "Volume(Remove(Remove { force: true, names: [\"a\"] }))"),
            (&["prune", "-af"], "Volume(Prune(Prune { all: true, force: true, filters: [] }))"),
        ] {
            assert_eq!(shown(words), expected, "{words:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_command_of_volumes_is_one_clear_line() {
        let lines = [
            &["mount"][..],
            &["create", "a", "b"],
            &["create", "-d", "nfs"],
            &["create", "--label", "=b"],
            &["create", "-o", "ro"],
            &["ls", "a"],
            &["ls", "-f", "size=1"],
            &["ls", "-f", "dangling"],
            &["rm"],
            &["inspect"],
            &["prune", "data"],
        ];
        insta::assert_snapshot!(lines.map(shown).join("\n"), @r#"
        cannot use volume mount: it has no such command
          use create, ls, inspect, rm or prune
        cannot use volume create b: it makes one volume at a time
          -
        cannot use --driver nfs: is no driver of volumes here
          use local
        cannot use --label =b: has no key
          use KEY=VALUE or KEY
        cannot use --opt ro: is not NAME=VALUE
          use type=, o= or device=
        cannot use volume ls a: it takes no words
          -
        cannot use --filter size=1: is no filter of volumes
          use dangling=true, driver=local, label=NAME=VALUE, label!=NAME or name=PART
        cannot use --filter dangling: is not NAME=VALUE
          use dangling=true, driver=local, label=NAME=VALUE, label!=NAME or name=PART
        cannot use volume rm: it needs the name of a volume
          carboy volume ls lists them
        cannot use volume inspect: it needs the name of a volume
          carboy volume ls lists them
        cannot use volume prune data: it takes no words
          -
        "#);
    }
}
