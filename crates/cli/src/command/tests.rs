//! The commands, and what is said where there is none.

use super::*;

fn shown(words: &[&str]) -> String {
    match read(words.iter().map(OsString::from), &|_| None) {
        Ok(Command::Help(text)) => format!("help: {}", text.lines().next().unwrap_or_default()),
        Ok(Command::Run(options)) => format!("run {:?}", options.command),
        Ok(Command::Explain(options, form)) => format!("explain {form:?} {:?}", options.command),
        Ok(command) => format!("{command:?}"),
        Err(error) => format!("{error}\n  {}", error.hint().unwrap_or("-")),
    }
}

#[test]
fn a_command_is_read_with_its_flags() {
    for (words, expected) in [
        (&[][..], "help: Usage: carboy COMMAND [FLAGS] [WORDS]"),
        (&["--help"], "help: Usage: carboy COMMAND [FLAGS] [WORDS]"),
        (&["--version"], "Version"),
        (&["run", "--help"], "help: Usage: carboy run [FLAGS] ROOT [COMMAND] [ARG...]"),
        (&["run", "host", "ls", "--help"], "run [\"ls\", \"--help\"]"),
        (&["explain", "run", "--json", "host", "ls"], "explain Json [\"ls\"]"),
        (&["explain", "--json", "run", "host", "ls"], "explain Json [\"ls\"]"),
        (&["explain", "run", "-m", "64m", "host", "ls"], "explain Text [\"ls\"]"),
        (&["explain", "limits"], "Limits(Text)"),
        (&["explain", "limits", "--markdown"], "Limits(Markdown)"),
        (&["explain", "--json", "limits"], "Limits(Json)"),
        (&["explain", "--help"], "help: Usage: carboy explain [FLAGS] run ROOT [COMMAND] [ARG...] | limits"),
        (&["pause", "a", "b"], "Pause([\"a\", \"b\"])"),
        (&["unpause", "a"], "Unpause([\"a\"])"),
        (&["explain", "run", "--help"], "help: Usage: carboy explain run [FLAGS] ROOT [COMMAND] [ARG...]"),
        (&["ps", "-h"], "help: Usage: carboy ps [FLAGS]"),
        (&["see"], "See(See { all: false, namespaces: false, form: Text, watch: false, from: None, what: None })"),
        (
            &["see", "-a", "--from", "x.json"],
            "See(See { all: true, namespaces: false, form: Text, watch: false, from: Some(\"x.json\"), what: None })",
        ),
        (
            &["see", "net:[1]", "--json"],
            "See(See { all: false, namespaces: false, form: Json, watch: false, from: None, what: Some(\"net:[1]\") })",
        ),
        (
            &["see", "web", "--svg"],
            "See(See { all: false, namespaces: false, form: Svg, watch: false, from: None, what: Some(\"web\") })",
        ),
        (
            &["see", "--namespaces"],
            "See(See { all: false, namespaces: true, form: Text, watch: false, from: None, what: None })",
        ),
        (&["see", "--help"], "help: Usage: carboy see [FLAGS] [WHAT]"),
        (&["compare", "a"], "Compare(Compare { verbose: false, form: Text, from: [], a: \"a\", b: None })"),
        (
            &["compare", "a", "b", "-v", "--json", "--from", "x", "--from", "y"],
            "Compare(Compare { verbose: true, form: Json, from: [\"x\", \"y\"], a: \"a\", b: Some(\"b\") })",
        ),
        (&["compare", "--help"], "help: Usage: carboy compare [FLAGS] A [B]"),
        (
            &["inspect", "-s", "a", "b", "-f", "{{.Id}}", "--type", "container"],
            "Inspect(Inspect { format: \"{{.Id}}\", size: true, kind: Some(Container), names: [\"a\", \"b\"] })",
        ),
        (&["inspect", "--help"], "help: Usage: carboy inspect [FLAGS] NAME..."),
        (&["kill", "web"], "Kill(Signal(9), [\"web\"])"),
        (&["kill", "web", "-s", "HUP", "db"], "Kill(Signal(1), [\"web\", \"db\"])"),
        (&["rm", "-f", "web"], "Rm(Rm { force: true, volumes: false, containers: [\"web\"] })"),
    ] {
        assert_eq!(shown(words), expected, "{words:?}");
    }
}

#[test]
fn exec_takes_flags_before_the_container_alone() {
    let words = ["exec", "-it", "-e", "A=1", "-u", "ann", "-w", "/srv", "--detach-keys=", "web", "ls", "-l"];
    let Ok(Command::Exec(options)) = read(words.map(OsString::from), &|_| None) else { panic!() };
    assert_eq!((options.container.as_str(), options.tty, options.interactive), ("web", true, true));
    assert_eq!(options.command, ["ls", "-l"]);
    assert_eq!(options.user.as_deref(), Some("ann"));
    assert_eq!(options.workdir.unwrap().as_str(), "/srv");
    assert!(options.detach_keys.is_empty());
    assert_eq!(options.env.len(), 1);
}

#[test]
fn what_containers_cannot_be_found_or_shown_by_is_said() {
    let lines = [&["ps", "--filter", "status"][..], &["ps", "--last", "many"], &["inspect", "web", "--type", "pod"]];
    insta::assert_snapshot!(lines.map(shown).join("\n"), @r"
    cannot use --filter status: is not KEY=VALUE
      for example: --filter status=exited
    cannot use --last many: is no whole number
      -
    cannot use --type pod: is nothing that can be inspected here
      use container or image
    ");
}

#[test]
fn what_is_wrong_with_a_command_is_one_clear_line() {
    let lines = [
        &["rnu", "host"][..],
        &["frobnicate"],
        &["-m", "64m", "run"],
        &["--rm", "run"],
        &["ps", "web"],
        &["ps", "--al"],
        &["rm"],
        &["kill", "-s", "BOO", "web"],
        &["kill", "web", "--signal"],
        &["exec", "web"],
        &["exec"],
        &["explain"],
        &["explain", "ps"],
        &["explain", "limits", "cpu"],
        &["pause"],
        &["update", "web"],
        &["update", "web", "--memori", "1g"],
        &["update", "-m", "1g"],
        &["compare"],
        &["compare", "a", "b", "c"],
        &["compare", "a", "--from", "x", "--from", "y", "--from", "z"],
    ];
    insta::assert_snapshot!(lines.map(shown).join("\n"), @r"
    cannot use rnu: carboy has no such command
      did you mean carboy run?
    cannot use frobnicate: carboy has no such command
      carboy --help lists them
    cannot use -m: stands before the command
      name the command first, for example: carboy run -it host bash
    cannot use --rm: stands before the command
      name the command first, for example: carboy run -it host bash
    cannot use ps web: it takes no words
      carboy inspect shows one container
    cannot use --al: carboy ps has no such flag
      did you mean --all?
    cannot use rm: it needs the name of a container
      carboy ps -a lists them
    cannot use --signal BOO: is no signal
      use a name such as TERM or a number from 1 to 64
    cannot use --signal: needs a value
      --signal SIGNAL
    cannot use exec web: there is no command
      name one, for example: carboy exec web ps
    cannot use exec: it needs the name of a container
      carboy ps -a lists them
    cannot use explain: it explains run and limits
      for example: carboy explain run host bash
    cannot use explain ps: it explains run and limits
      for example: carboy explain run host bash
    cannot use explain limits cpu: it takes no words
      -
    cannot use pause: it needs the name of a container
      carboy ps -a lists them
    cannot use update web: there is nothing to change
      give one or more flags, for example: carboy update -m 512m web
    cannot use --memori: carboy update has no such flag
      did you mean --memory?
    cannot use update: it needs the name of a container
      carboy ps -a lists them
    cannot use compare: it needs a container or a process
      for example: carboy compare web db, carboy compare web
    cannot use compare c: it compares two
      -
    cannot use --from z: is a third snapshot, and two are compared
      -
    ");
}
