//! A terminal inside and a terminal outside: what is typed and shown, the size of the window, the keys that leave, and
//! that the person's terminal gets its settings back whatever happens. pty(7), termios(3), credentials(7).
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use carboy_e2e::{AtTerminal, Carboy, Person, ended, eventually};
use rustix::process::{Signal, kill_process};

/// Says that it is there, in a way that what is typed does not, and then gives back what it reads.
const ECHO: &str = "echo i''s up; exec cat";

fn root(carboy: &Carboy) -> String {
    carboy.busybox().display().to_string()
}

/// Starts a shell script in a container called `it`, removed at its end, with a terminal.
fn script<'p>(carboy: &Carboy, person: &'p Person, flags: &[&str], script: &str) -> AtTerminal<'p> {
    let root = root(carboy);
    let words = ["run", "--rm", "--name", "it", "-it"].into_iter().chain(flags.iter().copied());
    person.start(&carboy.command(words.chain([root.as_str(), "sh", "-c", script])))
}

/// The container ends by a signal and nothing of it stays.
fn is_killed(carboy: &Carboy) {
    let killed = carboy.run(["kill", "it"]);
    assert_eq!((killed.code, killed.stderr.as_str()), (0, ""));
    eventually("the container is gone", || carboy.left_behind().is_empty());
}

#[test]
fn a_shell_at_a_terminal_has_a_prompt_job_control_and_the_window_s_size() {
    let carboy = Carboy::new();
    let person = Person::new(33, 111);
    let before = person.settings();
    let mut shell = person.start(&carboy.command(["run", "--rm", "--name", "it", "-it", "host", "bash"]));
    let prompt = shell.sees(":/# ");
    assert!(!prompt.contains("no job control"), "{prompt}");
    let id = carboy.inspect("it")["Id"].as_str().unwrap()[..12].to_owned();
    assert!(prompt.contains(&format!("root@{id}:/# ")), "{prompt}");
    assert!(person.is_raw());

    shell.types("echo pid=$$. tty=$(tty). size=$(stty size). owner=$(stat -c %u:%t:%T $(tty)).\n");
    let shown = shell.sees("owner=0:88:0.");
    assert!(shown.contains("pid=1. tty=/dev/pts/0. size=33 111."), "{shown}");
    shell.types("stat -c 'console=%F,%t:%T.' /dev/console; test -t 0 && test -t 1 && test -t 2 && echo a''ll\n");
    shell.sees("console=character special file,88:0.");
    shell.sees("all\r\n");

    person.resize(44, 122);
    shell.types("until [ \"$(stty size)\" = '44 122' ]; do sleep 0.05; done; echo re''sized\n");
    shell.sees("resized\r\n");

    shell.types("sh -c 'echo be''gun; exec sleep 1000'\n");
    shell.sees("begun\r\n");
    shell.types("\x1a");
    shell.sees("Stopped");
    shell.types("bg; jobs\n");
    shell.sees("Running");
    shell.types("fg\n");
    shell.sees("sleep 1000'\r\n");
    shell.types("\x03");
    shell.sees(":/# ");
    shell.types("echo status=$?.\n");
    shell.sees("status=130.");

    shell.types("exit 42\n");
    let ended = shell.end();
    assert_eq!(ended.code, 42, "{}", ended.stdout);
    assert_eq!(person.settings(), before);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_process_in_the_foreground_hears_that_the_window_has_another_size() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let wait = "trap 'stty size; exit 7' WINCH; stty size; while :; do sleep 0.05; done";
    let mut container = script(&carboy, &person, &[], wait);
    container.sees("24 80\r\n");
    person.resize(50, 132);
    container.sees("50 132\r\n");
    let ended = container.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (7, ""));
}

#[test]
fn what_is_typed_is_echoed_once_and_the_end_of_input_ends_it() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let before = person.settings();
    let mut container = script(&carboy, &person, &[], ECHO);
    assert_eq!(container.sees("is up\r\n"), "is up\r\n");
    container.types("hello\n");
    assert_eq!(container.sees("hello\r\nhello\r\n"), "hello\r\nhello\r\n");
    assert!(person.is_raw());
    container.types("\x04");
    let ended = container.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    assert_eq!(person.settings(), before);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn much_can_be_typed_at_once_while_much_is_shown() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let mut container = script(&carboy, &person, &[], &format!("stty -echo -icanon min 1; {ECHO}"));
    container.sees("is up\r\n");
    let text = "0123456789".repeat(60_000);
    container.types(&text);
    container.types("!\n");
    let shown = container.sees("!\r\n");
    assert!(shown.strip_suffix("!\r\n") == Some(&text), "{} characters of {}", shown.len(), text.len());
    is_killed(&carboy);
    assert_eq!(container.end().code, 137);
}

#[test]
fn a_command_that_reads_nothing_of_what_is_typed_is_still_seen_and_heard() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let before = person.settings();
    let wait = "stty raw -echo; trap 'exit 8' TERM; echo i''s up; while :; do sleep 0.05; echo and on; done";
    let mut container = script(&carboy, &person, &[], wait);
    container.sees("is up\n");
    container.types_all_it_takes();
    for _ in 0..100 {
        container.sees("and on\n");
    }
    kill_process(container.pid(), Signal::TERM).unwrap();
    assert_eq!(container.end().code, 8);
    assert_eq!(person.settings(), before);
}

#[test]
fn the_interrupt_key_reaches_the_container_and_not_carboy() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let before = person.settings();
    let wait = "trap 'echo inter''rupted; exit 9' INT; echo i''s up; while :; do sleep 0.05; done";
    let mut container = script(&carboy, &person, &[], wait);
    container.sees("is up\r\n");
    container.types("\x03");
    assert_eq!(container.sees("interrupted\r\n"), "^Cinterrupted\r\n");
    assert_eq!(container.end().code, 9);
    assert_eq!(person.settings(), before);
}

#[test]
fn a_container_that_cannot_start_leaves_the_terminal_as_it_was() {
    let carboy = Carboy::new();
    let root = root(&carboy);
    let person = Person::new(24, 80);
    let before = person.settings();
    for (command, code) in [("no-such-command", 127), ("/etc/passwd", 126)] {
        let ended = person.start(&carboy.command(["run", "--rm", "-it", &root, command])).end();
        assert_eq!(ended.code, code, "{}", ended.stdout);
        // Carriage returns: the line is written after the settings are back.
        assert!(ended.stdout.starts_with("error: ") && ended.stdout.ends_with("\r\n"), "{}", ended.stdout);
        assert_eq!(person.settings(), before);
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_container_that_is_killed_gives_the_terminal_back() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let before = person.settings();
    let mut container = script(&carboy, &person, &[], ECHO);
    container.sees("is up\r\n");
    assert!(person.is_raw());
    is_killed(&carboy);
    assert_eq!(container.end().code, 137);
    assert_eq!(person.settings(), before);
}

/// Waits for a file, writes more than any pipe or terminal holds, says so with another file, and stays.
const WRITE_MUCH: &str = "echo i''s up; while [ ! -e /go ]; do sleep 0.05; done
    head -c 1000000 /dev/zero | tr '\\0' x; : > /done; exec sleep 1000";

/// A container whose person has left goes on, does not wait for anybody to read, and can be entered.
fn goes_on(carboy: &Carboy) {
    let listed = carboy.run(["ps"]);
    assert!(listed.stdout.contains(" it\n") && listed.stdout.contains("Up "), "{}", listed.stdout);
    let entered = carboy.run(["exec", "it", "touch", "/go"]);
    assert_eq!((entered.code, entered.stderr.as_str()), (0, ""));
    eventually("what it writes does not block it", || carboy.run(["exec", "it", "test", "-e", "/done"]).code == 0);
    is_killed(carboy);
}

#[test]
fn the_detach_keys_leave_a_container_that_goes_on() {
    let carboy = Carboy::new();
    for (flags, keys) in [
        (&[][..], "\x10\x11"),
        (&["--detach-keys", "ctrl-a,ctrl-b,c"], "\x01\x02c"),
        (&["--detach-keys=@"], "@"),
        (&["--detach-keys", "ctrl-@,ctrl-["], "\0\x1b"),
    ] {
        let person = Person::new(24, 80);
        let before = person.settings();
        let mut container = script(&carboy, &person, flags, WRITE_MUCH);
        container.sees("is up\r\n");
        assert!(person.is_raw());
        container.types(keys);
        let ended = container.end();
        assert_eq!(ended.code, 0, "{flags:?}: {}", ended.stdout);
        assert_eq!(person.settings(), before, "{flags:?}");
        goes_on(&carboy);
    }
}

#[test]
fn keys_that_only_begin_as_the_detach_keys_are_typed() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let mut container = script(&carboy, &person, &["--detach-keys", "a,b"], &format!("stty -echo; {ECHO}"));
    container.sees("is up\r\n");
    container.types("aac");
    container.types("\x10\x02a");
    container.types("\n");
    container.sees("aac\x10\x02a\r\n");
    container.types("\x04");
    assert_eq!(container.end().code, 0);
}

#[test]
fn when_carboy_is_killed_the_terminal_gets_its_settings_back_and_the_container_goes_on() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let before = person.settings();
    let mut container = script(&carboy, &person, &[], WRITE_MUCH);
    container.sees("is up\r\n");
    eventually("the terminal is raw", || person.is_raw());
    kill_process(container.pid(), Signal::KILL).unwrap();
    assert_eq!(container.end().code, 137);
    eventually("the settings are back", || person.settings() == before);
    goes_on(&carboy);
}

#[test]
fn signals_for_carboy_reach_a_container_with_a_terminal() {
    let carboy = Carboy::new();
    for (signal, number) in [(Signal::HUP, 1), (Signal::INT, 2), (Signal::TERM, 15), (Signal::USR1, 10)] {
        let person = Person::new(24, 80);
        let before = person.settings();
        let wait = format!("trap 'exit 5{number}' {number}; echo i''s up; while :; do sleep 0.05; done");
        let mut container = script(&carboy, &person, &[], &wait);
        container.sees("is up\r\n");
        kill_process(container.pid(), signal).unwrap();
        assert_eq!(container.end().code, format!("5{number}").parse::<i32>().unwrap() % 256);
        assert_eq!(person.settings(), before);
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_terminal_that_is_asked_for_without_having_one_is_an_error() {
    let carboy = Carboy::new();
    let root = root(&carboy);
    let ended = carboy.run(["run", "--rm", "-it", &root, "true"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("the input device is not a TTY"), "{}", ended.stderr);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// Ten million characters, and how many of them are something else.
const TEN_MILLION: &str = "head -c 10000000 /dev/zero | tr '\\0' x; echo end";

#[test]
fn the_output_of_a_terminal_without_input_is_complete() {
    let carboy = Carboy::new();
    let root = root(&carboy);
    for command in ["echo short", TEN_MILLION] {
        let ended = carboy.run(["run", "--rm", "-t", &root, "sh", "-c", command]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        let end = if command == TEN_MILLION { "end\r\n" } else { "short\r\n" };
        let before = ended.stdout.strip_suffix(end).unwrap_or_else(|| panic!("{} bytes", ended.stdout.len()));
        assert_eq!(before.len(), if command == TEN_MILLION { 10_000_000 } else { 0 });
        assert!(before.bytes().all(|byte| byte == b'x'));
    }
    for _ in 0..20 {
        let ended = carboy.run(["run", "--rm", "-t", &root, "echo", "the last line"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "the last line\r\n"));
    }
}

#[test]
fn ten_million_characters_through_two_terminals_are_complete() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let ended = script(&carboy, &person, &[], TEN_MILLION).end();
    let before = ended.stdout.strip_suffix("end\r\n").unwrap_or_else(|| panic!("{} bytes", ended.stdout.len()));
    assert_eq!((ended.code, before.len()), (0, 10_000_000));
    assert!(before.bytes().all(|byte| byte == b'x'));
}

/// Runs a command with this for standard input; its output, byte for byte.
fn with_input(command: &mut Command, input: Vec<u8>) -> (Option<i32>, Vec<u8>, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Nobody may read it.
    let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_pipe_passes_every_byte_in_and_out_and_its_end() {
    let carboy = Carboy::new();
    let root = root(&carboy);
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_001).collect();
    let (code, out, err) = with_input(&mut carboy.command(["run", "--rm", "-i", &root, "cat"]), bytes.clone());
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out == bytes, "{} bytes of {}", out.len(), bytes.len());
    let (code, out, err) = with_input(&mut carboy.command(["run", "--rm", "-i", &root, "cat"]), Vec::new());
    assert_eq!((code, out.len(), err.as_str()), (Some(0), 0, ""));
}

#[test]
fn without_being_asked_for_input_is_empty() {
    let carboy = Carboy::new();
    let root = root(&carboy);
    let words = ["run", "--rm", &root, "sh", "-c", "read -r line; echo \"$? <$line>\""];
    let (code, out, err) = with_input(&mut carboy.command(words), b"secret\n".to_vec());
    assert_eq!((code, String::from_utf8_lossy(&out).as_ref(), err.as_str()), (Some(0), "1 <>\n", ""));
}

#[test]
fn both_outputs_stay_apart_without_a_terminal_and_are_one_with_it() {
    let carboy = Carboy::new();
    let root = root(&carboy);
    let both = "echo out; echo err >&2";
    let apart = ended(&mut carboy.command(["run", "--rm", &root, "sh", "-c", both]));
    assert_eq!((apart.stdout.as_str(), apart.stderr.as_str()), ("out\n", "err\n"));
    let one = ended(&mut carboy.command(["run", "--rm", "-t", &root, "sh", "-c", both]));
    assert_eq!((one.stdout.as_str(), one.stderr.as_str()), ("out\r\nerr\r\n", ""));
}
