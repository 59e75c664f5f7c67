//! An ordinary user who runs carboy, and what is handed over to one.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::bundle::carboy_runtime;
use crate::waiting::WAIT;
use crate::{Attended, Carboy, Ended, ended, program};

/// A user with a home, a root file system and a program that they may execute.
#[derive(Debug)]
pub struct User {
    /// Its folders.
    pub place: Carboy,
    /// The user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The root file system.
    pub root: PathBuf,
    /// The v2 group that the user's commands start in, and which is the user's.
    pub session: Option<Handed>,
}

impl User {
    /// Without a line in /etc/subuid: each test takes a number of its own, so that no two share a namespace.
    #[must_use]
    pub fn new(uid: u32) -> Self {
        let place = Carboy::new();
        let root = place.busybox();
        fs::set_permissions(place.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        for program in [program(), carboy_runtime()] {
            let copied = Command::new("cp").arg(program).arg(place.folder()).status();
            assert!(copied.unwrap().success());
        }
        for folder in ["home", "runtime"] {
            fs::create_dir(place.folder().join(folder)).unwrap();
            chown(place.folder().join(folder), Some(uid), Some(uid)).unwrap();
        }
        let owned = Command::new("chown").args(["-R", "-h", &format!("{uid}:{uid}")]).arg(&root).status();
        assert!(owned.unwrap().success());
        Self { place, uid, gid: uid, root, session: None }
    }

    /// The root file system.
    #[must_use]
    pub fn root(&self) -> &str {
        self.root.to_str().unwrap()
    }

    /// A command line of carboy as this user types it, in the user's group where there is one.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        self.command_of("carboy", words)
    }

    /// The same of a program in the user's folder.
    #[must_use]
    pub fn command_of(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        let script = "test -z \"$1\" || echo 0 > \"$1\"; shift; exec \"$@\"";
        let procs = self.session.as_ref().map(|handed| handed.session().join("cgroup.procs")).unwrap_or_default();
        command.args(["-c", script, "sh"]).arg(procs);
        let ids = [format!("--reuid={}", self.uid), format!("--regid={}", self.gid)];
        command.arg("setpriv").args(ids).arg("--clear-groups").arg(self.place.folder().join(program)).args(words);
        command.env("HOME", self.place.folder().join("home"));
        command.env("XDG_RUNTIME_DIR", self.place.folder().join("runtime"));
        command.env_remove("XDG_DATA_HOME").stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Ended {
        ended(&mut self.command(words))
    }

    /// A container that waits for a line.
    #[must_use]
    pub fn waiting(&self, name: &str, flags: &[&str]) -> Attended {
        let words = [&["run", "--rm", "-i", "--name", name], flags, &[self.root(), "sh", "-c", WAIT]].concat();
        let mut container = Attended::start(&mut self.command(&words));
        let line = container.line();
        assert_eq!(line, "ready", "{}", if line.is_empty() { container.end().stderr } else { line.clone() });
        container
    }

    /// What is left of the user's containers.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = self.run(&["ps", "-a", "-q"]).stdout.lines().map(str::to_owned).collect();
        let home = self.place.folder().join("home/.local/share/carboy");
        for folder in [home.join("containers"), home.join("names"), self.place.folder().join("runtime/carboy")] {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            left.extend(names.filter(|name| !name.starts_with('.')));
        }
        left
    }
}

/// A part of the v2 tree that was handed over: a group, and one in it for the user's own processes.
#[derive(Debug)]
pub struct Handed(pub PathBuf);

impl Handed {
    /// `None` on a host without v2.
    #[must_use]
    pub fn over(uid: u32) -> Option<Self> {
        let point = unified()?;
        let controllers = fs::read_to_string(point.join("cgroup.controllers")).unwrap();
        for controller in controllers.split_whitespace().filter(|one| ["memory", "pids", "cpu"].contains(one)) {
            fs::write(point.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
        }
        let handed = Self(point.join(format!("carboy-test-rootless-{}-{uid}", std::process::id())));
        for group in [handed.0.clone(), handed.session()] {
            fs::create_dir(&group).unwrap();
            for name in [".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
                chown(group.join(name), Some(uid), Some(uid)).unwrap();
            }
        }
        Some(handed)
    }

    /// The group that the user's commands start in.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        self.0.join("session")
    }

    /// The containers' groups in it.
    #[must_use]
    pub fn groups(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir() && *path != self.session()).collect()
    }

    /// Whether it has a controller.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        let listed = fs::read_to_string(self.0.join("cgroup.controllers")).unwrap();
        listed.split_whitespace().any(|one| one == controller)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        for group in [self.session(), self.0.clone()] {
            let _ = fs::remove_dir(group);
        }
    }
}

fn unified() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

/// A user of passwd(5) with subordinate ids, removed in the end.
#[derive(Debug)]
pub struct Account(&'static str);

impl Account {
    /// Makes it, with `range` as its subordinate users and groups.
    #[must_use]
    pub fn new(name: &'static str, uid: u32, gid: u32, range: &str) -> Self {
        let _ = Command::new("userdel").arg(name).stderr(Stdio::null()).status();
        let added = ["--uid", &uid.to_string(), "--gid", &gid.to_string(), "--no-create-home", name];
        assert!(Command::new("useradd").args(added).stderr(Stdio::null()).status().unwrap().success());
        let account = Self(name);
        assert!(Path::new("/usr/bin/newuidmap").exists(), "install uidmap");
        let range = ["--add-subuids", range, "--add-subgids", range, name];
        assert!(Command::new("usermod").args(range).status().unwrap().success());
        account
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(self.0).status();
    }
}
