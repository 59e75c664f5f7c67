//! What engines that call an OCI runtime are given in a test: namespaces in which their daemons can do what they do to a
//! host, a group above all containers, and an image. Everything goes with the test.
//!
//! ```text
//! test ──▶ keeper: new net, mnt and pid namespaces, /run is empty ──▶ PID 1 in them, which reaps
//!     └──▶ nsenter ──▶ daemons and their clients ──▶ shims, containers
//! ```
//!
//! Bridges, addresses, firewall rules, mounts and processes are those of the namespaces, and end with PID 1 there.
//! Only cgroups are the host's.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::group::mount_points;
use crate::{Carboy, Ended, Person, ended, eventually};

/// The namespaces, the group and the folder of one engine.
#[derive(Debug)]
pub struct Engine {
    carboy: Carboy,
    keeper: Child,
    first: i32,
}

/// What PID 1 does: its shell reaps whatever ends. The sockets of the host's daemons are hidden, since some have fixed
/// names; /sys shows the new net namespace, and the cgroups as before.
const FIRST: &str = "ip link set lo up && mount -t tmpfs run /run && mkdir /run/lock /run/cgroup && \
    mount --move /sys/fs/cgroup /run/cgroup && mount -t sysfs sysfs /sys && \
    mount --move /run/cgroup /sys/fs/cgroup && echo ready && while :; do sleep 1000; done";

impl Engine {
    /// Namespaces with a loopback interface.
    ///
    /// # Panics
    /// Without unshare of util-linux, and ip of iproute2.
    #[must_use]
    pub fn new() -> Self {
        let carboy = Carboy::new();
        let mut command = Command::new("setpriv");
        // Whatever ends the test ends the namespaces too.
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]);
        command.args(["--mount-proc", "sh", "-c", FIRST]);
        let mut keeper = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "install util-linux and iproute2");
        let first = only_child(keeper.id());
        Self { carboy, keeper, first }
    }

    /// The folder for everything that the engine keeps.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.carboy.folder()
    }

    /// A path below the folder.
    ///
    /// # Panics
    /// Never: the folder's name is ASCII.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder().join(name).to_str().unwrap().to_owned()
    }

    /// The group above those of all containers, by its path in every hierarchy.
    #[must_use]
    pub fn group(&self) -> String {
        format!("/{}", self.folder().file_name().unwrap_or_default().display())
    }

    /// The folders of the groups of a container, by the last part of their path.
    #[must_use]
    pub fn groups_of(&self, container: &str) -> Vec<PathBuf> {
        let group = self.group();
        let paths = mount_points().into_iter().map(|point| point.join(&group[1..]).join(container));
        paths.filter(|path| path.is_dir()).collect()
    }

    /// The folder of a container's group for a controller.
    #[must_use]
    pub fn group_of(&self, controller: &str, container: &str) -> PathBuf {
        let hierarchy = crate::group::hierarchy(controller);
        hierarchy.point().join(&self.group()[1..]).join(container)
    }

    /// Moves a container's processes into a group below its own, and freezes that one.
    ///
    /// # Panics
    /// Where there is no freezer, or the container has no group.
    pub fn freeze_below(&self, container: &str) {
        let group = self.group_of("freezer", container);
        let below = group.join("below");
        fs::create_dir(&below).unwrap();
        for process in fs::read_to_string(group.join("cgroup.procs")).unwrap().lines() {
            fs::write(below.join("cgroup.procs"), process).unwrap();
        }
        let v1 = fs::write(below.join("freezer.state"), "FROZEN");
        v1.or_else(|_| fs::write(below.join("cgroup.freeze"), "1")).unwrap();
    }

    /// A command line within the namespaces.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--pid", "--target", &self.first.to_string(), "--"]).args(words);
        command.stdin(Stdio::null());
        command
    }

    /// The first process of the namespaces.
    #[must_use]
    pub fn first(&self) -> String {
        self.first.to_string()
    }

    /// Runs a command within the namespaces to its end.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ended {
        ended(&mut self.command(words))
    }

    /// Starts a daemon within the namespaces. What it says is added to a file.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn daemon<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Daemon {
        let log = self.folder().join(LOG);
        let file = File::options().append(true).create(true).open(log).unwrap();
        let mut command = self.command(words);
        Daemon { entrance: command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap() }
    }

    /// The whole root of busybox as one tar archive.
    ///
    /// # Panics
    /// Without tar.
    #[must_use]
    pub fn archive(&self) -> String {
        let (root, archive) = (self.carboy.busybox(), self.path("root.tar"));
        let packed = ended(Command::new("tar").arg("-C").arg(root).args(["-cf", &archive, "."]));
        assert_eq!(packed.code, 0, "{}", packed.stderr);
        archive
    }

    /// The same root as an image `docker.io/library/probe:latest` that sleeps, as `docker save` writes one.
    ///
    /// # Panics
    /// Without tar and sha256sum.
    #[must_use]
    pub fn image(&self) -> String {
        let layer = self.archive();
        let hash = ended(Command::new("sha256sum").arg(&layer)).stdout;
        let layers = json!({"type": "layers", "diff_ids": [format!("sha256:{}", &hash[..64])]});
        let command = json!({"Entrypoint": ["sleep", "100000"], "Env": ["PATH=/bin"]});
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({"architecture": architecture, "os": "linux", "config": command, "rootfs": layers});
        let name = "docker.io/library/probe:latest";
        let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["root.tar"]}]);
        fs::write(self.folder().join("config.json"), config.to_string()).unwrap();
        fs::write(self.folder().join("manifest.json"), manifest.to_string()).unwrap();
        let image = self.path("image.tar");
        let mut packs = Command::new("tar");
        packs.arg("-C").arg(self.folder()).args(["-cf", &image, "manifest.json", "config.json", "root.tar"]);
        let packed = ended(&mut packs);
        assert_eq!(packed.code, 0, "{}", packed.stderr);
        image
    }

    /// Everything in the engine's group in any hierarchy, the deepest first.
    #[must_use]
    pub fn groups(&self) -> Vec<PathBuf> {
        let group = self.group();
        let mut found = Vec::new();
        for point in mount_points() {
            add_groups(&point.join(&group[1..]), &mut found);
        }
        found
    }

    /// No group of a container is left. The one above them goes with the last, unless two went at once.
    ///
    /// # Panics
    /// Where one is.
    pub fn has_no_groups(&self) {
        let above = self.group();
        let of_container = |group: &PathBuf| !group.ends_with(&above[1..]);
        eventually("no group is left", || !self.groups().iter().any(of_container));
    }
}

const LOG: &str = "log";
/// How much of the daemons' log a failed test shows, in lines.
const SHOWN: usize = 40;

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Engine {
    #[expect(clippy::print_stderr, reason = "a test that failed tells what the daemons said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder().join(LOG)).unwrap_or_default();
            let skipped = log.lines().count().saturating_sub(SHOWN);
            log.lines().skip(skipped).for_each(|line| eprintln!("{line}"));
        }
        // What a freezer of v1 holds does not die.
        for group in self.groups() {
            let _ = fs::write(group.join("freezer.state"), "THAWED");
        }
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        let first = PathBuf::from(format!("/proc/{}", self.first));
        for _ in 0..500 {
            let left = self.groups().into_iter().filter(|group| fs::remove_dir(group).is_err()).count();
            if left == 0 && !first.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

fn add_groups(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        add_groups(&entry.path(), found);
    }
    found.push(folder.to_owned());
}

/// The process that another one has started, by its PID on the host.
fn only_child(parent: u32) -> i32 {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let mut child = None;
    eventually("it has started its child", || {
        child = fs::read_to_string(&path).ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
        child.is_some()
    });
    child.unwrap()
}

/// Two people at terminals of their own: `shell` is one in a container, `exec` tells of its terminal in the same one and
/// ends with 7. Both have what they were promised, and the first hears that the window has another size.
///
/// # Panics
/// Where they do not.
pub fn two_at_terminals(shell: &Command, exec: &Command) {
    let (person, other) = (Person::new(33, 77), Person::new(24, 80));
    let mut shell = person.start(shell);
    shell.types("tty; sleep 0.5; stty size\n");
    shell.sees("/dev/pts/0");
    shell.sees("33 77");
    let ended = other.start(exec).end();
    assert_eq!((ended.code, ended.stdout.trim()), (7, "/dev/pts/1"));
    person.resize(44, 99);
    std::thread::sleep(std::time::Duration::from_millis(300));
    shell.types("stty size; exit 5\n");
    shell.sees("44 99");
    assert_eq!(shell.end().code, 5);
}

/// A daemon within the namespaces; it ends with them at the latest.
#[derive(Debug)]
pub struct Daemon {
    entrance: Child,
}

impl Daemon {
    /// Sends it a signal and waits for its end.
    ///
    /// # Panics
    /// Where it is gone already.
    pub fn end(mut self, signal: Signal) {
        let daemon = only_child(self.entrance.id());
        kill_process(Pid::from_raw(daemon).unwrap(), signal).unwrap();
        self.entrance.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.entrance.kill();
        let _ = self.entrance.wait();
    }
}
