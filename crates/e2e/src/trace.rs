//! A run of carboy under strace(1): the system calls of the command, of its monitor, and of the container's first process
//! up to its program.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Carboy, Ended, ended};

/// A system call, as strace writes it with the paths of descriptors.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: String,
    /// What it gave.
    pub result: String,
}

impl Call {
    /// A line of strace's output; `None` for a signal or an end.
    fn parse(line: &str) -> Option<Self> {
        let (call, result) = line.rsplit_once(" = ")?;
        let (name, arguments) = call.trim_end().strip_suffix(')')?.split_once('(')?;
        let plain = name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
        let (arguments, result) = (arguments.to_owned(), result.to_owned());
        plain.then(|| Self { name: name.to_owned(), arguments, result })
    }

    /// Whether it failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.result.starts_with("-1 ")
    }

    /// The path of the descriptor that is its first argument.
    #[must_use]
    pub fn descriptor(&self) -> &str {
        let first = self.arguments.split(", ").next().unwrap_or_default();
        first.split_once('<').map_or("", |(_, path)| path.trim_end_matches('>'))
    }

    /// Whether these words stand in its arguments.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        self.arguments.contains(words)
    }

    /// Whether this string is one of its arguments.
    #[must_use]
    pub fn quotes(&self, text: &str) -> bool {
        self.says(&format!("\"{text}\""))
    }
}

/// A traced run.
#[derive(Debug)]
pub struct Traced {
    /// How it ended.
    pub ended: Ended,
    /// The calls of the command itself.
    pub command: Vec<Call>,
    processes: BTreeMap<String, Vec<Call>>,
}

impl Traced {
    /// Runs a command under strace; what it writes goes to a new folder below `folder`.
    ///
    /// # Panics
    /// Without strace.
    pub fn run(command: &Command, folder: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("trace-").tempdir_in(folder).unwrap();
        let mut strace = Command::new("strace");
        strace.args(["-ff", "-y", "-s", "4096", "-o"]).arg(folder.path().join("of"));
        strace.arg(command.get_program()).args(command.get_args()).stdin(std::process::Stdio::null());
        assert!(Command::new("strace").arg("-V").output().is_ok(), "install strace");
        let ended = ended(&mut strace);
        let mut processes = BTreeMap::new();
        let mut first = None;
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let calls: Vec<Call> = text.lines().filter_map(Call::parse).collect();
            let pid = path.extension().unwrap().to_string_lossy().into_owned();
            if calls.first().is_some_and(|call| call.name == "execve") {
                first = Some(pid.clone());
            }
            processes.insert(pid, calls);
        }
        let command = first.and_then(|pid| processes.remove(&pid)).unwrap_or_default();
        Self { ended, command, processes }
    }

    /// The calls of the monitor.
    ///
    /// # Panics
    /// Where the command made none.
    #[must_use]
    pub fn monitor(&self) -> &[Call] {
        self.cloned_by(&self.command).expect("the command forks a monitor")
    }

    /// The calls of the container's first process until it executes its program; where that is a child of the process
    /// that the monitor cloned, of both.
    ///
    /// # Panics
    /// Where the monitor made none.
    #[must_use]
    pub fn child(&self) -> Vec<Call> {
        let mut calls = self.cloned_by(self.monitor()).expect("the monitor clones a child").to_vec();
        if let Some(next) = self.cloned_by(&calls).filter(|_| calls.iter().all(|call| call.name != "execve")) {
            let next = next.to_vec();
            calls.extend(next);
        }
        let executed = calls.iter().position(|call| call.name == "execve" && !call.failed());
        calls.truncate(executed.map_or(calls.len(), |place| place + 1));
        calls
    }

    fn cloned_by(&self, calls: &[Call]) -> Option<&[Call]> {
        let clone = calls.iter().find(|call| call.name == "clone3")?;
        self.processes.get(clone.result.split('<').next()?).map(Vec::as_slice)
    }
}

/// Options that give a plan most of the steps that there are.
///
/// # Panics
/// Where the folder to mount cannot be made.
#[must_use]
pub fn most_options(carboy: &Carboy) -> Vec<String> {
    let source = carboy.folder().join("source");
    fs::create_dir_all(&source).unwrap();
    let (source, parent) = (source.display(), parent_group(carboy));
    let line = "--rm --hostname vessel --domainname cellar --uidmap 0:100000:65536 --gidmap 0:100000:65536 \
        --time-offset monotonic=100,boottime=200 -m 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 \
        --cpuset-cpus 0 --pids-limit 50 --tmpfs /scratch:size=1m --sysctl net.ipv4.ip_forward=1 \
        --ulimit nofile=100:200 --read-only --security-opt no-new-privileges -u anna --group-add audio -w /work/here \
        --oom-score-adj 100 --shm-size 1m --cap-drop MKNOD";
    let mut options: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let mount = format!("type=bind,source={source},target=/deep/er/data");
    let volume = format!("{source}:/data:ro");
    let more = ["--cgroup-parent", &parent, "-v", &volume, "--mount", &mount, "--device-cgroup-rule", "c 1:3 rwm"];
    options.extend(more.map(str::to_owned));
    options
}

/// A cgroup that nobody else uses, for the containers of this carboy alone.
///
/// # Panics
/// Never: the folder has a name.
#[must_use]
pub fn parent_group(carboy: &Carboy) -> String {
    format!("/{}", carboy.folder().file_name().unwrap().to_string_lossy())
}
