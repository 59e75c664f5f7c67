//! One more process in a running container: where it is, what it may do, and how it ends. setns(2), namespaces(7),
//! cgroups(7), capabilities(7).
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::Command;

use carboy_e2e::waiting::{WAIT, ends_well, waiting};
use carboy_e2e::{Attended, Carboy, Ended, Person, eventually};
use rustix::process::Signal;

/// All kinds of namespaces.
const KINDS: [&str; 8] = ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"];

/// Runs a shell script in the container with these flags.
fn script(carboy: &Carboy, flags: &[&str], script: &str) -> Ended {
    carboy.run(["exec"].into_iter().chain(flags.iter().copied()).chain(["it", "sh", "-c", script]))
}

fn says(carboy: &Carboy, flags: &[&str], words: &str) -> String {
    let ended = script(carboy, flags, words);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{flags:?} {words}");
    ended.stdout
}

fn host_pid(carboy: &Carboy) -> String {
    carboy.inspect("it")["State"]["Pid"].to_string()
}

/// Starts a process in the container that says its PID there and waits; gives it with its PID on the host.
fn entered(carboy: &Carboy, flags: &[&str]) -> (Attended, String) {
    let words = ["exec", "-i"].into_iter().chain(flags.iter().copied());
    let words = words.chain(["it", "sh", "-c", "echo $$; read -r go; exit 6"]);
    let mut process = Attended::start(&mut carboy.command(words));
    let inside = process.line();
    let namespace = fs::read_link(format!("/proc/{}/ns/pid", host_pid(carboy))).unwrap();
    let of_container = |pid: &String| {
        let in_it = fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|link| link == namespace);
        in_it && status(pid, "NSpid").split_whitespace().next_back() == Some(&inside)
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let pid = all.filter(|name| name.parse::<u32>().is_ok()).find(of_container);
    let pid = pid.unwrap_or_else(|| panic!("the host does not see process {inside} of the container"));
    (process, pid)
}

/// A field of /proc/PID/status.
fn status(pid: &str, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    found.unwrap_or_default().trim().to_owned()
}

fn is_in_the_same_place(carboy: &Carboy, flags: &[&str]) {
    let first = host_pid(carboy);
    let (mut process, pid) = entered(carboy, flags);
    for kind in KINDS {
        let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(link(&pid), link(&first), "{kind}");
    }
    let groups = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups(&pid), groups(&first));
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/root")).unwrap(),
        fs::read_link(format!("/proc/{first}/root")).unwrap()
    );
    for field in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Uid"] {
        assert_eq!(status(&pid, field), status(&first, field), "{field}");
    }
    assert_eq!(status(&pid, "Seccomp"), "2");
    let seen = says(carboy, &[], "ps -o pid,args");
    assert!(seen.contains("exit 6") && seen.contains(WAIT), "{seen}");
    process.tell("go");
    let ended = process.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (6, ""));
}

#[test]
fn it_is_in_all_namespaces_and_groups_with_the_same_rights() {
    let carboy = Carboy::new();
    for flags in [
        &["-m", "64m", "--pids-limit", "50"][..],
        &["--userns", "private"],
        &["--timens", "private", "--time-offset", "monotonic=86400"],
        &["--userns", "private", "--timens", "private", "--cap-drop", "CHOWN", "--security-opt", "no-new-privileges"],
        &["--pid", "host", "--net", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host"],
    ] {
        let container = waiting(&carboy, flags);
        is_in_the_same_place(&carboy, &[]);
        ends_well(&carboy, container);
    }
}

#[test]
fn its_limits_are_the_container_s() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["-m", "32m", "--memory-swap", "32m", "--pids-limit", "10"]);
    let ended = script(&carboy, &[], "exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    assert_eq!((ended.code, ended.stdout.as_str()), (137, ""), "{}", ended.stderr);
    let ended = script(&carboy, &[], "i=0; while [ $i -lt 30 ]; do sleep 60 >&- 2>&- & i=$((i+1)); done");
    assert!(ended.stderr.contains("can't fork"), "{}", ended.stderr);
    let ended = carboy.run(["rm", "-f", "it"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    drop(container);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn environment_folder_and_user_are_the_container_s_or_as_asked() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["-e", "COLOUR=blue", "-w", "/tmp", "--hostname", "inside"]);
    assert_eq!(says(&carboy, &[], "pwd; echo $COLOUR $HOME $(hostname)"), "/tmp\nblue /root inside\n");
    assert_eq!(says(&carboy, &["-e", "COLOUR=red", "-e", "SIZE=7"], "echo $COLOUR$SIZE"), "red7\n");
    assert_eq!(says(&carboy, &["-w", "/etc"], "pwd"), "/etc\n");
    assert_eq!(says(&carboy, &["-u", "anna"], "id -u; id -g; id -G; echo $HOME"), "1000\n1000\n1000 29\n/home/anna\n");
    assert_eq!(says(&carboy, &["-u", "1000:44"], "id -u; id -g; id -G"), "1000\n44\n44\n");
    assert_eq!(says(&carboy, &["-u", "4321"], "id -u; id -g"), "4321\n0\n");
    let mut from_caller = carboy.command(["exec", "-e", "CALLER", "it", "sh", "-c", "echo $CALLER"]);
    assert_eq!(carboy_e2e::ended(from_caller.env("CALLER", "me")).stdout, "me\n");
    let file = carboy.folder().join("env");
    fs::write(&file, "# comment\nONE=1\nTWO=2 3\n").unwrap();
    assert_eq!(says(&carboy, &["--env-file", file.to_str().unwrap()], "echo $ONE,$TWO"), "1,2 3\n");
    ends_well(&carboy, container);
}

#[test]
fn a_container_of_a_user_is_entered_as_that_user() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["-u", "anna", "--group-add", "video"]);
    assert_eq!(says(&carboy, &[], "id -u; id -G; echo $HOME"), "1000\n1000 29 44\n/home/anna\n");
    assert_eq!(
        says(&carboy, &["-u", "root"], "id -u; echo $HOME; grep CapEff /proc/self/status"),
        as_root(0xa804_25fb)
    );
    assert_eq!(says(&carboy, &[], "grep CapEff /proc/self/status"), "CapEff:\t0000000000000000\n");
    ends_well(&carboy, container);
}

fn as_root(capabilities: u64) -> String {
    format!("0\n/root\nCapEff:\t{capabilities:016x}\n")
}

#[test]
fn privileged_is_every_capability_and_no_filter_and_the_same_groups() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let all = status("self", "CapBnd");
    let (mut process, pid) = entered(&carboy, &["--privileged"]);
    // All that carboy has to give.
    assert_eq!((status(&pid, "CapEff"), status(&pid, "CapBnd")), (all.clone(), all));
    assert_eq!(status(&pid, "Seccomp"), "0");
    let groups = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups(&pid), groups(&host_pid(&carboy)));
    assert_eq!(script(&carboy, &[], "mount -t tmpfs x /tmp").code, 1);
    assert_eq!(says(&carboy, &["--privileged"], "mount -t tmpfs x /tmp && grep -c ' /tmp ' /proc/mounts"), "1\n");
    process.tell("go");
    assert_eq!(process.end().code, 6);
    ends_well(&carboy, container);
}

#[test]
fn exit_codes_are_docker_s() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let exec = |words: &[&str]| carboy.run(["exec", "it"].iter().chain(words));
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        let ended = exec(&["sh", "-c", script]);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (code, "", ""), "{script}");
    }
    for (command, code) in [("no-such-command", 127), ("/no/such/command", 127), ("/etc/passwd", 126), ("/etc", 126)] {
        let ended = exec(&[command]);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{command}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(command), "{}", ended.stderr);
    }
    for flags in [&["-u", "nobody-here"][..], &["--no-such-flag"], &["-w", "relative"]] {
        let ended = script(&carboy, flags, "true");
        assert_eq!((ended.code, ended.stdout.as_str()), (125, ""), "{flags:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", ended.stderr);
    }
    assert_eq!(carboy.run(["exec", "it"]).code, 1);
    ends_well(&carboy, container);

    // As of a command to a daemon that says no.
    let unknown = carboy.run(["exec", "it", "true"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""));
    assert!(unknown.stderr.contains("no such container"), "{}", unknown.stderr);
    assert_eq!(carboy.run(["exec", "-it", "it", "true"]).code, 1);
    let root = carboy.busybox();
    assert_eq!(carboy.run(["run", "--name", "it", root.to_str().unwrap(), "true"]).code, 0);
    let stopped = carboy.run(["exec", "it", "true"]);
    assert_eq!((stopped.code, stopped.stdout.as_str()), (1, ""));
    assert!(stopped.stderr.contains("is not running"), "{}", stopped.stderr);
    assert_eq!(carboy.run(["rm", "it"]).code, 0);
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_it() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let ended = script(&carboy, &["-w", "/not/there"], "pwd");
    assert!(ended.code != 0 && ended.stdout.is_empty() && ended.stderr.contains("/not/there"), "{ended:?}");
    ends_well(&carboy, container);
}

#[test]
fn a_terminal_can_be_had_in_a_running_container() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let person = Person::new(31, 99);
    let before = person.settings();
    let mut shell = person.start(&carboy.command(["exec", "-it", "-e", "PS1=ask> ", "it", "sh"]));
    let prompt = shell.sees("ask> ");
    assert!(!prompt.contains("job control"), "{prompt}");
    assert!(person.is_raw());
    shell.types("echo at=$(tty). size=$(stty size). term=$TERM. one=$(cat /proc/1/cmdline | tr '\\0' ' ').\n");
    shell.sees("at=/dev/pts/0. size=31 99. term=xterm. one=sh -c echo ready; read -r go .");
    person.resize(40, 100);
    shell.types("until [ \"$(stty size)\" = '40 100' ]; do sleep 0.05; done; echo re''sized\n");
    shell.sees("resized\r\n");
    shell.types("sh -c 'echo be''gun; exec sleep 1000'\n");
    shell.sees("begun\r\n");
    shell.types("\x03");
    shell.sees("ask> ");
    shell.types("echo status=$?.\n");
    shell.sees("status=130.");
    shell.types("exit 21\n");
    assert_eq!(shell.end().code, 21);
    assert_eq!(person.settings(), before);

    let terminal = carboy.run(["exec", "-it", "it", "true"]);
    assert_eq!((terminal.code, terminal.stdout.as_str()), (1, ""));
    assert!(terminal.stderr.contains("the input device is not a TTY"), "{}", terminal.stderr);
    let output = carboy.run(["exec", "-t", "it", "sh", "-c", "tty; head -c 1000000 /dev/zero | tr '\\0' x"]);
    assert_eq!((output.code, output.stdout.len()), (0, "/dev/pts/0\r\n".len() + 1_000_000), "{}", output.stderr);
    ends_well(&carboy, container);
}

#[test]
fn the_detach_keys_leave_a_process_that_goes_on() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let person = Person::new(24, 80);
    let before = person.settings();
    let wait = "echo i''s up; while [ ! -e /go ]; do sleep 0.05; done; head -c 300000 /dev/zero; : > /done";
    for (flags, keys) in [(&[][..], "\x10\x11"), (&["--detach-keys", "ctrl-x,q"], "\x18q")] {
        let words = ["exec", "-it"].into_iter().chain(flags.iter().copied()).chain(["it", "sh", "-c", wait]);
        let mut process = person.start(&carboy.command(words));
        process.sees("is up\r\n");
        process.types(keys);
        assert_eq!(process.end().code, 0);
        assert_eq!(person.settings(), before);
        says(&carboy, &[], ": > /go; until [ -e /done ]; do sleep 0.05; done; rm /go /done");
    }
    ends_well(&carboy, container);
}

#[test]
fn when_the_container_ends_what_was_started_in_it_ends_too() {
    let carboy = Carboy::new();
    for with_terminal in [false, true] {
        let container = waiting(&carboy, &[]);
        let person = Person::new(24, 80);
        let before = person.settings();
        let wait = "echo i''s up; exec sleep 1000";
        if with_terminal {
            let mut process = person.start(&carboy.command(["exec", "-it", "it", "sh", "-c", wait]));
            process.sees("is up\r\n");
            ends_well(&carboy, container);
            assert_eq!(process.end().code, 137);
        } else {
            let mut process = Attended::start(&mut carboy.command(["exec", "it", "sh", "-c", wait]));
            assert_eq!(process.line(), "is up");
            ends_well(&carboy, container);
            assert_eq!(process.end().code, 137);
        }
        assert_eq!(person.settings(), before);
    }
}

#[test]
fn processes_can_be_started_while_the_container_ends() {
    let carboy = Carboy::new();
    for _ in 0..10 {
        let container = waiting(&carboy, &[]);
        let processes: Vec<_> =
            (0..6).map(|_| Attended::start(&mut carboy.command(["exec", "it", "sh", "-c", "exit 4"]))).collect();
        let mut container = container;
        container.tell("go");
        assert_eq!(container.end().code, 0);
        for process in processes {
            let ended = process.end();
            // It was in time, or was ended with the others, or came too late and was told so.
            let too_late = [1, 125].contains(&ended.code) && ended.stderr.starts_with("error: ");
            assert!([4, 137].contains(&ended.code) || too_late, "{ended:?}");
        }
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn signals_for_carboy_reach_the_process() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    for (signal, number) in [(Signal::HUP, 1), (Signal::INT, 2), (Signal::TERM, 15), (Signal::USR1, 10)] {
        let wait = format!("trap 'exit 9' {number}; echo up; while :; do sleep 0.05; done");
        let mut process = Attended::start(&mut carboy.command(["exec", "it", "sh", "-c", &wait]));
        assert_eq!(process.line(), "up");
        process.signal(signal);
        assert_eq!(process.end().code, 9, "{number}");
    }
    ends_well(&carboy, container);
}

#[test]
fn a_process_whose_carboy_is_killed_goes_on_and_ends_alone() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let mut process = Attended::start(&mut carboy.command(["exec", "it", "sh", "-c", "echo up; exec sleep 1234"]));
    assert_eq!(process.line(), "up");
    process.signal(Signal::KILL);
    drop(process);
    let pid = says(&carboy, &[], "ps -o pid,args | grep 's[l]eep 1234'");
    let pid = pid.split_whitespace().next().unwrap();
    says(&carboy, &[], &format!("kill {pid}"));
    eventually("it is gone", || !says(&carboy, &[], "ps -o args").contains("sleep 1234\n"));
    ends_well(&carboy, container);
}

#[test]
fn what_is_piped_in_comes_out_and_input_is_empty_if_not_asked_for() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let piped = carboy.folder().join("piped");
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_001).collect();
    fs::write(&piped, &bytes).unwrap();
    let output = |flags: &[&str]| {
        let mut command: Command = carboy.command(["exec"].iter().chain(flags).chain(&["it", "cat"]));
        command.stdin(fs::File::open(&piped).unwrap()).output().unwrap()
    };
    let passed = output(&["-i"]);
    assert!(passed.status.success() && passed.stdout == bytes, "{} bytes", passed.stdout.len());
    let empty = output(&[]);
    assert!(empty.status.success() && empty.stdout.is_empty());
    ends_well(&carboy, container);
}

#[test]
fn nothing_of_the_host_is_open_in_it() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let listed = says(&carboy, &[], "ls /proc/self/fd");
    // ls itself has the folder open.
    assert_eq!(listed, "0\n1\n2\n3\n");
    ends_well(&carboy, container);
}
