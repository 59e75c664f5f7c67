//! The first thing that anybody does with carboy: a shell in a container, what it sees of itself, and what the host sees
//! of it. namespaces(7), pid_namespaces(7).
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at what goes wrong")]

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use carboy_e2e::{Attended, Carboy};
use rustix::fs::{FlockOperation, flock};

/// The kinds that a container has of its own if nothing is asked, and those that it shares with the host.
const OWN: [&str; 6] = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];
const SHARED: [&str; 2] = ["user", "time"];

/// Prints the shell's PID and its namespaces, starts a process beside it and lists all; stays until it is told to go.
const LOOK_AROUND: &str = "echo $$
for kind in mnt pid net ipc uts cgroup user time; do echo $(readlink /proc/self/ns/$kind); done
sleep 10000 &
echo $!
until read -r name < /proc/$!/comm && [ $name = sleep ]; do :; done
echo begin; ps -ef; echo end
read -r code; exit $code
";

/// A Debian made by mmdebstrap as a tar file; made once and kept, since it comes from a mirror.
fn debian() -> PathBuf {
    let cache = Path::new("/var/tmp/carboy-e2e-roots");
    fs::create_dir_all(cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    flock(lock.as_fd(), FlockOperation::LockExclusive).unwrap();
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite =
        suite.expect("/etc/os-release names no VERSION_CODENAME: run this on Debian or Ubuntu").trim_matches('"');
    let made = cache.join(format!("{suite}.tar"));
    if !made.exists() {
        let part = cache.join(format!("{suite}.part.tar"));
        let mut command = Command::new("mmdebstrap");
        command.args(["--variant=minbase", "--include=procps", suite]).arg(&part).args(sources(suite));
        let output = command.stdin(Stdio::null()).output().expect("install mmdebstrap");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mmdebstrap could not make a root from this machine's apt sources: {said}");
        fs::rename(&part, &made).unwrap();
    }
    made
}

/// This machine's apt sources of its own release, without those of others.
fn sources(suite: &str) -> Vec<PathBuf> {
    let listed = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let all = listed.chain([PathBuf::from("/etc/apt/sources.list")]);
    let of_suite =
        |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|word| word == suite));
    all.filter(of_suite).collect()
}

/// The Debian tar file after a program has compressed it, kept beside it.
fn compressed(extension: &str, program: &[&str]) -> PathBuf {
    let tar = debian();
    let made = tar.with_extension(extension);
    let lock = File::create(tar.with_extension(format!("{extension}.lock"))).unwrap();
    flock(lock.as_fd(), FlockOperation::LockExclusive).unwrap();
    if !made.exists() {
        let part = tar.with_extension(format!("{extension}.part"));
        let (first, rest) = program.split_first().unwrap();
        let (input, output) = (File::open(&tar).unwrap(), File::create(&part).unwrap());
        let status = Command::new(first).args(rest).stdin(input).stdout(output).status();
        assert!(status.is_ok_and(|status| status.success()), "install {first}");
        fs::rename(&part, &made).unwrap();
    }
    made
}

/// The same as a folder.
fn debian_folder(at: &Path) -> PathBuf {
    let folder = at.join("debian");
    fs::create_dir(&folder).unwrap();
    let status = Command::new("tar").arg("-xf").arg(debian()).arg("-C").arg(&folder).status();
    assert!(status.is_ok_and(|status| status.success()), "install tar");
    folder
}

fn host_namespace(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string()
}

/// The scenario with one root: inside, from the host, and afterwards.
fn looks_around(carboy: &Carboy, root: &str) {
    let mut shell = Attended::start(&mut carboy.command(["run", "--rm", "-i", "--name", "shell", root, "bash"]));
    // The shell reads its commands from its standard input, as it does when a person types them.
    LOOK_AROUND.lines().for_each(|line| shell.tell(line));
    let first = shell.line();
    assert_eq!(first, "1", "the shell is PID 1: {}", if first.is_empty() { shell.end().stderr } else { first.clone() });
    for kind in OWN {
        let id = shell.line();
        assert!(id.starts_with(&format!("{kind}:[")), "{id}");
        assert_ne!(id, host_namespace(kind));
    }
    for kind in SHARED {
        assert_eq!(shell.line(), host_namespace(kind));
    }
    let sleeper = shell.line();
    assert_eq!(shell.line(), "begin");
    let listed: Vec<String> = std::iter::from_fn(|| Some(shell.line()).filter(|line| line != "end")).take(9).collect();
    assert_eq!(
        listed.len(),
        4,
        "ps shows its heading and three processes: install procps if there is none\n{listed:#?}"
    );
    for (line, (pid, command)) in
        listed.iter().skip(1).zip([("1", "bash"), (sleeper.as_str(), "sleep 10000"), ("", "ps -ef")])
    {
        assert!(line.ends_with(command), "{line}");
        let shown = line.split_whitespace().nth(1).unwrap();
        assert!(pid.is_empty() || shown == pid, "{line}");
    }

    let first = carboy.inspect("shell")["State"]["Pid"].as_i64().unwrap();
    let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
    let seen =
        children.split_whitespace().find(|child| cmdline(child) == "sleep 10000").expect("the host sees the sleep");
    assert_ne!(seen, sleeper);
    let status = fs::read_to_string(format!("/proc/{seen}/status")).unwrap();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    assert_eq!(numbers.split_whitespace().collect::<Vec<_>>(), [seen, sleeper.as_str()]);

    shell.tell("7");
    let ended = shell.end();
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (7, "", ""));
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
    assert!(!Path::new(&format!("/proc/{seen}")).exists(), "the sleep ended with its container");
}

fn cmdline(pid: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.trim_end_matches('\0').replace('\0', " ")
}

#[test]
fn a_shell_in_the_host_root_is_pid_1_and_the_host_sees_its_children() {
    looks_around(&Carboy::new(), "host");
}

#[test]
fn a_shell_in_a_debian_folder_is_pid_1_and_the_host_sees_its_children() {
    let carboy = Carboy::new();
    let root = debian_folder(carboy.folder());
    looks_around(&carboy, root.to_str().unwrap());
}

#[test]
fn a_shell_in_a_debian_tar_is_pid_1_and_the_host_sees_its_children() {
    looks_around(&Carboy::new(), debian().to_str().unwrap());
}

#[test]
fn a_debian_tar_may_be_compressed_with_gzip_or_zstd() {
    let carboy = Carboy::new();
    for (extension, program) in [("tar.gz", &["gzip", "-1"][..]), ("tar.zst", &["zstd", "-q", "-1"])] {
        let root = compressed(extension, program);
        let words = ["run", "--rm", root.to_str().unwrap(), "sh", "-c", ". /etc/os-release; echo $ID; dpkg --audit"];
        let ended = carboy.run(words);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "debian\n", ""), "{extension}");
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// A web server of one page on port 80 of its own network; it says its namespaces and waits.
const SERVE: &str = "mkdir /www; hostname > /www/who; httpd -p 80 -h /www || exit 1
for kind in mnt pid net ipc uts cgroup user time; do readlink /proc/self/ns/$kind; done
read -r go; wget -q -O - http://127.0.0.1/who";

#[test]
fn two_containers_side_by_side_share_nothing_but_user_and_time_and_both_have_port_80() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let root = root.to_str().unwrap();
    let names = ["left", "right"];
    let mut both = names.map(|name| {
        let words = ["run", "--rm", "-i", "--name", name, "--hostname", name, root, "sh", "-c", SERVE];
        Attended::start(&mut carboy.command(words))
    });
    for kind in OWN {
        let [left, right] = both.each_mut().map(Attended::line);
        assert!(left.starts_with(&format!("{kind}:[")), "{left}");
        assert_ne!(left, right);
        assert_ne!(left, host_namespace(kind));
        assert_ne!(right, host_namespace(kind));
    }
    for kind in SHARED {
        assert_eq!(both.each_mut().map(Attended::line), [host_namespace(kind), host_namespace(kind)]);
    }
    // Both servers listen from here on.
    for (mut container, name) in both.into_iter().zip(names) {
        container.tell("go");
        let ended = container.end();
        assert_eq!((ended.code, ended.stdout.trim_end(), ended.stderr.as_str()), (0, name, ""));
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn what_is_written_and_deleted_in_host_does_not_reach_the_host() {
    let carboy = Carboy::new();
    let mark = carboy.folder().file_name().unwrap().to_str().unwrap();
    let passwd = fs::read("/etc/passwd").unwrap();
    let script = format!(
        "for folder in /etc /usr /var /opt /tmp /root /home /run /; do echo x > $folder/{mark} || exit 1; done
        echo added >> /etc/passwd; rm /etc/os-release /usr/bin/env; rm -r /usr/lib/os-release /var/log; chmod 777 /etc"
    );
    let ended = carboy.run(["run", "--rm", "host", "sh", "-c", &script]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""));
    for folder in ["/etc", "/usr", "/var", "/opt", "/tmp", "/root", "/home", "/run", "/"] {
        assert!(!Path::new(folder).join(mark).exists(), "{folder}");
    }
    assert_eq!(fs::read("/etc/passwd").unwrap(), passwd);
    for path in ["/etc/os-release", "/usr/lib/os-release", "/usr/bin/env", "/var/log"] {
        assert!(Path::new(path).exists(), "{path}");
    }
    assert_ne!(fs::metadata("/etc").unwrap().permissions().mode() & 0o777, 0o777);
}

#[test]
fn what_is_the_hosts_alone_is_empty_in_host() {
    let carboy = Carboy::new();
    let own = ["/home", "/root", "/tmp", "/run"].map(|folder| {
        let marked = tempfile::Builder::new().prefix("carboy-e2e-").tempdir_in(folder).unwrap();
        fs::write(marked.path().join("secret"), "secret").unwrap();
        marked
    });
    let folder = carboy.folder().display().to_string();
    let script =
        format!("for path in /home /root /tmp /run {folder}/root {folder}/run; do echo $path: $(ls -A $path); done");
    let ended = carboy.run(["run", "--rm", "host", "sh", "-c", &script]);
    let expected = format!("/home:\n/root:\n/tmp:\n/run:\n{folder}/root:\n{folder}/run:\n");
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), (expected.as_str(), ""));
    drop(own);
    let modes = carboy.run(["run", "--rm", "host", "stat", "-c", "%a %u %g", "/tmp", "/root", "/run", "/home"]);
    assert_eq!(modes.stdout, "1777 0 0\n700 0 0\n755 0 0\n755 0 0\n");
}
