//! Attacks on carboy's own program by what runs in its containers: the classes, the defences and these tests stand side by
//! side in docs/threats.md.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::Stdio;

use carboy_e2e::trace::Traced;
use carboy_e2e::{Carboy, eventually};

fn running(carboy: &Carboy, flags: &[&str]) {
    let root = carboy.busybox();
    let words = ["run", "-d", "--name", "box"].iter().chain(flags).copied();
    let words: Vec<&str> = words.chain([root.to_str().unwrap(), "sleep", "1000"]).collect();
    let ended = carboy.run(&words);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn carboys_own_program_cannot_be_written_to_by_who_finds_it_through_proc() {
    let carboy = Carboy::new();
    running(&carboy, &["--cap-add", "SYS_PTRACE", "--cap-add", "SYS_ADMIN"]);
    let before = fs::read(carboy_e2e::program()).unwrap();
    assert_eq!(carboy.run(["exec", "box", "mkfifo", "/pipe"]).code, 0);
    // carboy's program waits for somebody who writes the file of labels.
    let words = ["exec", "box", "/proc/self/exe", "run", "--label-file", "/pipe", "host", "true"];
    let mut trapped = carboy.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let attack = "for turn in 1 2 3 4 5 6 7 8 9; do for process in /proc/[0-9]*; do
            case \"$(readlink $process/exe)\" in /bin/busybox|'') continue;; esac
            exec 7< $process/exe && kill -9 ${process#/proc/} && sleep 0.2
            ( echo overwritten > /proc/self/fd/7 ) || exit 3
            exit 0
        done; sleep 0.2; done; exit 4";
    let attacked = carboy.run(["exec", "box", "sh", "-c", attack]);
    let _ = (trapped.kill(), trapped.wait());
    assert_eq!(attacked.code, 3, "{}", attacked.stderr);
    assert!(attacked.stderr.contains("Read-only file system"), "{}", attacked.stderr);
    assert!(fs::read(carboy_e2e::program()).unwrap() == before, "the program was changed");
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
}

#[test]
fn the_read_only_view_of_carboys_program_is_made_where_a_container_is_entered_and_outlasts_a_monitors_sleep() {
    let carboy = Carboy::new();
    running(&carboy, &["--init", "--restart", "always"]);
    let is_executed_again = |words: &[&str]| {
        let traced = Traced::run(&carboy.command(words), carboy.folder());
        assert_eq!(traced.ended.code, 0, "{}", traced.ended.stderr);
        traced.command.iter().any(|call| call.name == "execveat")
    };
    assert!(is_executed_again(&["exec", "box", "true"]));
    for words in [["ps"].as_slice(), &["inspect", "box"], &["logs", "box"], &["kill", "--signal", "WINCH", "box"]] {
        assert!(!is_executed_again(words), "{words:?}");
    }
    let first = carboy.inspect("box")["State"]["Pid"].as_i64().unwrap();
    let stat = fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
    let monitor = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
    let words = || fs::read_to_string(format!("/proc/{monitor}/cmdline")).unwrap_or_default();
    eventually("its monitor sleeps", || words().starts_with("carboy-monitor\0asleep"));
    let program = fs::File::open(format!("/proc/{monitor}/exe")).unwrap();
    let mounted = rustix::fs::fstatvfs(program).unwrap();
    assert!(mounted.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    // Its next start needs the program by its path, for --init.
    carboy.run(["exec", "box", "kill", "-KILL", "-1"]);
    carboy.run(["exec", "box", "kill", "-TERM", "1"]);
    eventually("it runs again", || {
        let again = carboy.inspect("box");
        again["RestartCount"] == 1 && again["State"]["Running"] == true
    });
    assert_eq!(carboy.run(["exec", "box", "readlink", "/proc/1/exe"]).stdout, "/sbin/carboy-init\n");
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}
