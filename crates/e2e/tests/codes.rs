//! How carboy ends: the command's own exit code, Docker's codes for what could not be run, signals on their way in, and
//! one clear line for every wish that cannot be had. signal(7).
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use carboy_e2e::{Attended, Carboy, Ended, ended, program};
use rustix::process::Signal;

/// Runs a command in the small root with these flags.
fn run(carboy: &Carboy, flags: &[&str], command: &[&str]) -> Ended {
    let root = carboy.busybox();
    let words = ["run", "--rm"].into_iter().chain(flags.iter().copied());
    carboy.run(words.chain([root.to_str().unwrap()]).chain(command.iter().copied()))
}

/// One line that says what cannot be had, at most one that says what to do, and carboy's own code; where words or a terminal
/// are missing Docker's for that.
fn refused(ended: &Ended, parts: &[&str]) {
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let is_dockers = ["the root: there is none", "not a TTY"].iter().any(|words| ended.stderr.contains(words));
    let code = if is_dockers { 1 } else { 125 };
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{ended:?}");
    assert!(lines.first().is_some_and(|line| line.starts_with("error: cannot ")), "{ended:?}");
    assert!(lines.len() == 1 || lines.len() == 2 && lines[1].starts_with("hint: "), "{ended:?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} is not in {:?}", ended.stderr);
    }
}

#[test]
fn the_exit_code_is_the_commands_own() {
    let carboy = Carboy::new();
    for code in [0, 1, 3, 42, 125, 126, 127, 200, 255] {
        let ended = run(&carboy, &[], &["sh", "-c", &format!("exit {code}")]);
        assert_eq!((ended.code, ended.stderr.as_str()), (code, ""));
        let ended = run(&carboy, &["--init"], &["sh", "-c", &format!("exit {code}")]);
        assert_eq!((ended.code, ended.stderr.as_str()), (code, ""), "--init");
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_cannot_be_executed_126() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    fs::write(root.join("bin/plain"), "no program").unwrap();
    fs::write(root.join("bin/broken"), "no program").unwrap();
    fs::set_permissions(root.join("bin/broken"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("bin/lost"), "#!/bin/no-such-shell\n").unwrap();
    fs::set_permissions(root.join("bin/lost"), fs::Permissions::from_mode(0o755)).unwrap();
    for (command, code) in [
        ("nowhere", 127),
        ("/bin/nowhere", 127),
        ("./nowhere", 127),
        ("/bin/lost", 127),
        ("/etc/passwd", 126),
        ("/bin/plain", 126),
        ("/bin/broken", 126),
        ("/etc", 126),
    ] {
        let ended = run(&carboy, &[], &[command, "argument"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{command}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(command), "{}", ended.stderr);
        assert!(ended.stderr.lines().count() <= 2, "{}", ended.stderr);
        let ended = run(&carboy, &["--init"], &[command, "argument"]);
        assert_eq!(ended.code, code, "--init {command}: {}", ended.stderr);
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_command_that_a_signal_ends_is_128_and_the_signal() {
    let carboy = Carboy::new();
    // The first process of a pid namespace gets no signal of its own that it has no handler for, so its child dies.
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139), ("USR1", 138), ("INT", 130)] {
        let ended = run(&carboy, &["--init"], &["sh", "-c", &format!("kill -{signal} $$; sleep 10")]);
        assert_eq!((ended.code, ended.stderr.as_str()), (code, ""), "{signal}");
    }
    let root = carboy.busybox();
    let words = ["run", "--rm", "-i", "--name", "it", root.to_str().unwrap(), "sh", "-c", "echo ready; read -r go"];
    let mut container = Attended::start(&mut carboy.command(words));
    assert_eq!(container.line(), "ready");
    assert_eq!(carboy.run(["kill", "it"]).code, 0);
    assert_eq!(container.end().code, 137);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// Says which signal came; the loop is there because a shell's handler runs between commands.
const SAY_SIGNALS: &str = "for name in INT TERM HUP USR1 USR2 QUIT; do trap \"echo $name\" $name; done
trap 'exit 9' WINCH; echo ready; while :; do sleep 0.02; done";

#[test]
fn signals_sent_to_carboy_reach_the_command() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    for flags in [&["run", "--rm"][..], &["run", "--rm", "--init"]] {
        let words = flags.iter().copied().chain([root.to_str().unwrap(), "sh", "-c", SAY_SIGNALS]);
        let mut container = Attended::start(&mut carboy.command(words));
        assert_eq!(container.line(), "ready");
        for (signal, name) in [
            (Signal::INT, "INT"),
            (Signal::TERM, "TERM"),
            (Signal::HUP, "HUP"),
            (Signal::USR1, "USR1"),
            (Signal::USR2, "USR2"),
            (Signal::QUIT, "QUIT"),
        ] {
            container.signal(signal);
            assert_eq!(container.line(), name, "{flags:?}");
        }
        container.signal(Signal::WINCH);
        let ended = container.end();
        assert_eq!((ended.code, ended.stderr.as_str()), (9, ""), "{flags:?}");
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn under_init_a_signal_without_a_handler_ends_the_command() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let words = ["run", "--rm", "--init", root.to_str().unwrap(), "sh", "-c", "echo ready; exec sleep 1000"];
        let mut container = Attended::start(&mut carboy.command(words));
        assert_eq!(container.line(), "ready");
        container.signal(signal);
        assert_eq!(container.end().code, code);
    }
}

#[test]
fn init_takes_away_the_zombies_that_others_leave() {
    let carboy = Carboy::new();
    // Ten processes whose parent is gone before they end; the shell waits until they have ended.
    let script = "i=0; while [ $i -lt 10 ]; do sh -c 'sleep 0.05 & exit'; i=$((i+1)); done
        sleep 0.4; echo $(cat /proc/1/comm) $(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ')";
    let ended = run(&carboy, &["--init"], &["sh", "-c", script]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "carboy-init 0\n", ""));
    let ended =
        run(&carboy, &[], &["sh", "-c", &format!("exec 2>&1; sh -c '{}'; exit 0", script.replace('\'', "'\\''"))]);
    assert_eq!(ended.code, 0, "without an init the same ends too: {}", ended.stdout);
}

/// What cannot be had, with what the error must name.
const BAD_WORDS: [(&[&str], &[&str]); 38] = [
    (&["--memroy", "1g", "ROOT", "true"], &["--memroy", "--memory"]),
    (&["-m", "1m", "ROOT", "true"], &["--memory 1m", "6m"]),
    (&["-m", "lots", "ROOT", "true"], &["--memory lots"]),
    (&["-m"], &["--memory", "value"]),
    (&["-m", "64m", "--memory-swap", "32m", "ROOT", "true"], &["--memory-swap 32m", "64m"]),
    (&["--memory-swap", "1g", "ROOT", "true"], &["--memory-swap 1g", "--memory"]),
    (&["--cpus", "0", "ROOT", "true"], &["--cpus 0"]),
    (&["--cpus", "100000", "ROOT", "true"], &["--cpus 100000", "CPUs of this host"]),
    (&["--cpu-quota", "5", "ROOT", "true"], &["--cpu-quota 5", "1000"]),
    (&["--cpuset-cpus", "4000", "ROOT", "true"], &["--cpuset-cpus 4000", "use some of"]),
    (&["--cpuset-mems", "900", "ROOT", "true"], &["--cpuset-mems 900", "use some of"]),
    (&["--cpuset-cpus", "x", "ROOT", "true"], &["--cpuset-cpus x"]),
    (&["--pids-limit", "few", "ROOT", "true"], &["--pids-limit few"]),
    (&["./no/such/root", "true"], &["./no/such/root", "does not exist"]),
    (&["--pull", "never", "nosuchroot", "true"], &["nosuchroot", "is not on this host"]),
    (&["NoSuchRoot", "true"], &["NoSuchRoot", "upper-case letters"]),
    (&["/etc/passwd", "true"], &["the archive /etc/passwd", "no tar archive"]),
    (&["ROOT"], &["the command"]),
    (&[], &["the root", "carboy run -it host bash"]),
    (&["-u", "nobodyknows", "ROOT", "true"], &["--user nobodyknows", "/etc/passwd"]),
    (&["-u", "0:nogroup", "ROOT", "true"], &["--user nogroup", "/etc/group"]),
    (&["--group-add", "nogroup", "ROOT", "true"], &["--group-add nogroup"]),
    (
        &["--mount", "type=bind,src=/no/such/source,dst=/data", "ROOT", "true"],
        &["/no/such/source", "does not exist", "create it first"],
    ),
    (&["--security-opt", "seccomp=/no/such/profile", "ROOT", "true"], &["/no/such/profile", "No such file"]),
    (&["--net", "container:gone", "ROOT", "true"], &["container gone", "carboy ps -a"]),
    (&["--pid", "pid:4194303", "ROOT", "true"], &["--pid pid:4194303", "gone"]),
    (&["--ipc", "path:/no/such/ns", "ROOT", "true"], &["--ipc path:/no/such/ns", "gone"]),
    (&["--net", "path:/etc/passwd", "ROOT", "true"], &["--net path:/etc/passwd", "no net namespace"]),
    (&["--net", "path:/proc/self/ns/uts", "ROOT", "true"], &["--net path:/proc/self/ns/uts", "no net namespace"]),
    (&["--device", "/dev/nosuch", "ROOT", "true"], &["--device /dev/nosuch", "does not exist"]),
    (&["--env-file", "/no/such/file", "ROOT", "true"], &["--env-file /no/such/file"]),
    (&["--cap-add", "SYS_ADMINN", "ROOT", "true"], &["--cap-add SYS_ADMINN", "SYS_ADMIN?"]),
    (&["--sysctl", "kernel.panic=1", "ROOT", "true"], &["--sysctl kernel.panic=1", "host"]),
    (&["--ulimit", "files=1", "ROOT", "true"], &["--ulimit files=1"]),
    (&["--name", "a b", "ROOT", "true"], &["--name a b"]),
    (&["--tmpfs", "/", "ROOT", "true"], &["--tmpfs /"]),
    (&["--privileged", "--userns", "private", "ROOT", "true"], &["--privileged", "--userns"]),
    (&["-it", "ROOT", "true"], &["-it", "TTY"]),
];

#[test]
fn a_wish_that_cannot_be_had_is_one_clear_line_and_leaves_nothing() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    for (words, parts) in BAD_WORDS {
        let words = words.iter().map(|word| if *word == "ROOT" { root.to_str().unwrap() } else { word });
        refused(&carboy.run(["run"].into_iter().chain(words)), parts);
        assert_eq!(carboy.left_behind(), Vec::<String>::new(), "{parts:?}");
    }
}

#[test]
fn explain_refuses_what_run_refuses() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    // What only the content of a tar file tells cannot be known without unpacking it.
    for (words, parts) in
        BAD_WORDS.iter().filter(|(words, _)| !words.contains(&"-it") && !words.contains(&"/etc/passwd"))
    {
        let words = words.iter().map(|word| if *word == "ROOT" { root.to_str().unwrap() } else { word });
        refused(&carboy.run(["explain", "run"].into_iter().chain(words)), parts);
    }
}

#[test]
fn a_malformed_seccomp_file_is_refused_by_its_name_and_place() {
    let carboy = Carboy::new();
    let file = carboy.folder().join("profile.json");
    let option = format!("seccomp={}", file.display());
    for (text, part) in [
        ("", "EOF"),
        ("{", "line 1"),
        ("{}", "defaultAction"),
        (r#"{"defaultAction": "SCMP_ACT_MAYBE"}"#, "SCMP_ACT_MAYBE"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod"], "action": "NO"}]}"#, "`NO`"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 5}"#, "line 1"),
    ] {
        fs::write(&file, text).unwrap();
        let ended = run(&carboy, &["--security-opt", &option], &["true"]);
        refused(&ended, &["--security-opt", file.to_str().unwrap()]);
        assert!(ended.stderr.contains(part), "{text}: {}", ended.stderr);
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn a_name_that_is_taken_is_refused_and_stays_whose_it_is() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let root = root.to_str().unwrap();
    assert_eq!(carboy.run(["run", "--name", "taken", root, "true"]).code, 0);
    let id = carboy.inspect("taken")["Id"].clone();
    refused(&carboy.run(["run", "--name", "taken", root, "true"]), &["--name taken", "carboy rm taken"]);
    assert_eq!(carboy.inspect("taken")["Id"], id);
    assert_eq!(carboy.run(["ps", "-a", "-q"]).stdout.lines().count(), 1);
    assert_eq!(carboy.run(["rm", "taken"]).code, 0);
    assert_eq!(carboy.run(["run", "--rm", "--name", "taken", root, "true"]).code, 0);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn the_namespaces_of_a_container_that_has_ended_cannot_be_joined() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let root = root.to_str().unwrap();
    assert_eq!(carboy.run(["run", "--name", "ended", root, "true"]).code, 0);
    for flag in ["--net", "--pid", "--ipc", "--uts", "--cgroupns", "--userns", "--timens"] {
        refused(&carboy.run(["run", flag, "container:ended", root, "true"]), &["ended", "not running"]);
    }
    assert_eq!(carboy.run(["rm", "ended"]).code, 0);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_user_who_cannot_write_where_carboy_keeps_its_files_is_told() {
    let carboy = Carboy::new();
    // The program and the folders must be reachable for another user, or it is the shell that fails.
    let copy = carboy.folder().join("carboy");
    fs::copy(program(), &copy).unwrap();
    fs::set_permissions(carboy.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let root = carboy.busybox();
    let root = root.to_str().unwrap();
    for words in [&["run", root, "true"][..], &["ps"], &["explain", "run", root, "true"], &["rm", "-f", "x"]] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
        command.arg("--root").arg(carboy.folder().join("root")).arg("--runroot").arg(carboy.folder().join("run"));
        refused(&ended(command.args(words)), &["Permission denied", "use --root and --runroot"]);
    }
    let help = ended(Command::new("setpriv").args(["--reuid", "65534", "--clear-groups"]).arg(&copy).arg("--help"));
    assert_eq!(help.code, 0, "help needs no rights");
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// Runs carboy in a mount namespace in which `place` is a full file system in memory, and says what is left in it.
fn on_a_full_disk(carboy: &Carboy, place: &str, fill: &str) -> Ended {
    let root = carboy.busybox();
    let at = carboy.folder().join(place);
    fs::create_dir_all(&at).unwrap();
    let script = r#"mount -t tmpfs -o size=64k,nr_inodes=INODES none "$1" || exit 99
        COMMAND run --rm --network none --name it "$2" true; code=$?
        COMMAND ps -a
        find "$1" -mindepth 1 -type d -name '????????????????????????????????????????????????????????????????' >&2
        find "$1" -name it >&2
        exit $code"#;
    let command = format!(
        "{} --root {folder}/root --runroot {folder}/run",
        program().display(),
        folder = carboy.folder().display()
    );
    let script = script.replace("COMMAND", &command).replace("INODES", fill);
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", &script, "sh"]).arg(&at).arg(&root);
    ended(&mut unshare)
}

#[test]
fn a_full_disk_is_one_clear_line_and_leaves_nothing() {
    let carboy = Carboy::new();
    for place in ["root", "run"] {
        let mut refusals = 0;
        // From no room for the first folder to room for all: each run stops at a later file.
        for inodes in 1..=16 {
            let ended = on_a_full_disk(&carboy, place, &inodes.to_string());
            let errors: Vec<&str> = ended.stderr.lines().collect();
            if ended.code == 0 {
                assert_eq!(errors, Vec::<&str>::new(), "{place} with {inodes}");
                continue;
            }
            refusals += 1;
            assert_eq!(ended.code, 125, "{place} with {inodes}: {ended:?}");
            let full =
                errors.iter().filter(|line| line.starts_with("error: cannot ") && line.contains("No space left"));
            assert_eq!(full.count(), errors.len(), "{place} with {inodes}: {}", ended.stderr);
            assert!((1..=2).contains(&errors.len()), "{place} with {inodes}: {}", ended.stderr);
        }
        assert!(refusals > 0, "{place} was never full");
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    }
}
