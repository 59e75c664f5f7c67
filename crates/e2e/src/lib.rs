//! What the end-to-end tests share: a carboy with folders of its own, a small root, and the question whether anything is
//! left behind. The tests run the release program (`CARBOY_BIN`, or the one that `cargo build --release` made), as root.
#![forbid(unsafe_code)]
#![expect(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "tests stop at what goes wrong")]

pub mod bundle;
pub mod disk;
pub mod docker;
pub mod engine;
pub mod fault;
pub mod group;
pub mod layout;
pub mod looked_at;
pub mod names;
pub mod network;
pub mod registry;
pub mod shelf;
pub mod trace;
pub mod user;
pub mod waiting;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, OutputModes, Winsize, tcgetattr, tcsetwinsize};
use tempfile::TempDir;

/// A carboy with folders of its own, removed with everything in it at the end of the test.
#[derive(Debug)]
pub struct Carboy {
    folder: TempDir,
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit code; 128 and the signal where carboy itself was killed.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The program under test.
///
/// # Panics
/// Where it was not built.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("CARBOY_BIN") {
        return path.into();
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let built = fs::read_dir(&target).into_iter().flatten().flatten();
    let mut programs = built.map(|entry| entry.path().join("release/carboy")).filter(|path| path.is_file());
    programs.next().unwrap_or_else(|| panic!("carboy is not built: run cargo build --release, or cargo xtask test"))
}

impl Default for Carboy {
    fn default() -> Self {
        Self::new()
    }
}

impl Carboy {
    /// A carboy whose folders are empty.
    ///
    /// # Panics
    /// Without root rights.
    #[must_use]
    pub fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "the end-to-end tests must be run as root");
        Self { folder: tempfile::Builder::new().prefix("carboy-e2e-").tempdir_in("/var/tmp").unwrap() }
    }

    /// The folder for what a test needs besides.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command line of carboy with this carboy's folders. A container whose network is not named is on none: most tests
    /// are about something else, and change nothing of the host's network.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program());
        command.arg("--root").arg(self.folder().join("root")).arg("--runroot").arg(self.folder().join("run"));
        let words: Vec<OsString> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let is_network = |word: &OsString| {
            let word = word.to_string_lossy();
            ["--net", "--network"].contains(&word.split('=').next().unwrap_or_default())
        };
        let is_made = |word: &OsString| word == "run" || word == "create";
        let explains = words.first().is_some_and(|first| first == "explain");
        let at = if explains { words.iter().position(is_made).unwrap_or(0) } else { 0 };
        let makes = words.get(at).is_some_and(is_made);
        let (first, rest) = words.split_at(words.len().min(at + 1));
        command.args(first);
        if makes && !words.iter().any(is_network) {
            command.args(["--network", "none"]);
        }
        command.args(rest).stdin(Stdio::null());
        command
    }

    /// Runs carboy to its end.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ended {
        ended(&mut self.command(words))
    }

    /// A root with busybox and its applets in /bin, a passwd and a group file.
    ///
    /// # Panics
    /// Without Debian's busybox-static.
    #[must_use]
    pub fn busybox(&self) -> PathBuf {
        let root = self.folder().join("busybox");
        if root.exists() {
            return root;
        }
        for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "root"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        // Not by this process: a child that another thread forks meanwhile would have the program open for writing.
        let copied = Command::new("cp").arg("/bin/busybox").arg(root.join("bin/busybox")).status();
        assert!(copied.is_ok_and(|status| status.success()), "install busybox-static");
        let install = Command::new("chroot").arg(&root).args(["/bin/busybox", "--install", "-s", "/bin"]).status();
        assert!(install.is_ok_and(|status| status.success()), "busybox --install");
        let passwd = "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000:Anna:/home/anna:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd).unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nanna:x:1000:\naudio:x:29:anna\nvideo:x:44:\n").unwrap();
        root
    }

    /// Volumes that are half made, half removed or half filled, and those that nobody has given a name.
    fn volumes_left(&self) -> Vec<PathBuf> {
        let volumes = self.folder().join("root/volumes");
        let list = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_left = |path: &PathBuf| {
            let record = fs::read_to_string(path.join("volume.json")).unwrap_or_default();
            record.contains("\"anonymous\":true") || (record.contains("moving") && !record.contains("\"moving\":null"))
        };
        list(&volumes).filter(is_left).chain(list(&volumes.join(".halves"))).collect()
    }

    /// What is left of this carboy's containers after its next command: groups, mounts, processes and files.
    ///
    /// # Panics
    /// Where the host cannot be looked at.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let listed = self.run(["ps", "-a", "-q"]);
        let mut left: Vec<String> = listed.stderr.lines().map(str::to_owned).collect();
        left.extend(listed.stdout.lines().map(|id| format!("container {id}")));
        for folder in ["root/containers", "root/names", "run"] {
            let entries = fs::read_dir(self.folder().join(folder)).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        left.extend(self.volumes_left().iter().map(|path| path.display().to_string()));
        let own = self.folder().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(&own)).map(str::to_owned));
        left
    }
}

impl Drop for Carboy {
    fn drop(&mut self) {
        let listed = self.run(["ps", "-a", "-q"]);
        for id in listed.stdout.lines() {
            let _ = self.run(["rm", "-f", id]);
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// Where it cannot be started.
pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal));
    Ended {
        code: code.unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The cgroups of carboy's containers, in every hierarchy, by their paths on the host.
#[must_use]
pub fn groups() -> BTreeSet<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let entries = points.flat_map(|point| fs::read_dir(point).into_iter().flatten().flatten());
    let paths = entries.map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("carboy-"));
    paths.filter(named).collect()
}

/// Whether the kernel holds processes by AppArmor's profiles.
#[must_use]
pub fn apparmor_is_in_force() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text == "Y\n")
}

/// A carboy command that runs while the test looks on; killed with the test if it still runs then.
#[derive(Debug)]
pub struct Attended {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Attended {
    /// Starts a command with pipes for its standard streams.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    /// The next line of its output, without the line's end; at the end of its output an empty one.
    ///
    /// # Panics
    /// Where its output is no text.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// Gives it a line to read.
    ///
    /// # Panics
    /// Where it does not read any more.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Sends a signal to the carboy command itself.
    ///
    /// # Panics
    /// Where it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; the output is what was not yet read.
    ///
    /// # Panics
    /// Where its output is no text.
    pub fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Ended { code: code.unwrap_or(-1), stdout, stderr }
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Carboy {
    /// What `inspect` says of one container.
    ///
    /// # Panics
    /// Where there is none of that name.
    pub fn inspect(&self, container: &str) -> serde_json::Value {
        let ended = self.run(["inspect", container]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let mut documents: Vec<serde_json::Value> = serde_json::from_str(&ended.stdout).unwrap();
        documents.remove(0)
    }
}

/// A terminal with a person before it: what carboy is given as its standard streams, as its controlling terminal.
#[derive(Debug)]
pub struct Person {
    master: OwnedFd,
    terminal: OwnedFd,
}

/// How long a person waits for something to appear, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(30);

impl Person {
    /// A new terminal of this size.
    ///
    /// # Panics
    /// Without pseudo-terminals.
    #[must_use]
    pub fn new(rows: u16, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        let person = Self { master, terminal };
        person.resize(rows, columns);
        person
    }

    /// Makes the window another size; who is in the foreground hears of it.
    ///
    /// # Panics
    /// Never, as long as the terminal is open.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).unwrap();
    }

    /// The settings of the terminal, termios(3).
    ///
    /// # Panics
    /// Never, as long as the terminal is open.
    #[must_use]
    pub fn settings(&self) -> String {
        format!("{:?}", tcgetattr(&self.terminal).unwrap())
    }

    /// Whether the terminal passes on every byte as it comes.
    ///
    /// # Panics
    /// Never, as long as the terminal is open.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        let settings = tcgetattr(&self.terminal).unwrap();
        let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        !settings.local_modes.intersects(cooked) && !settings.output_modes.contains(OutputModes::OPOST)
    }

    /// Starts a command of carboy at this terminal.
    ///
    /// # Panics
    /// Without setsid of util-linux.
    #[must_use]
    pub fn start(&self, command: &Command) -> AtTerminal<'_> {
        let stream = || Stdio::from(self.terminal.try_clone().unwrap());
        let mut within = Command::new("setsid");
        within.arg("--ctty").arg(command.get_program()).args(command.get_args());
        within.stdin(stream()).stdout(stream()).stderr(stream());
        AtTerminal { person: self, child: within.spawn().expect("install util-linux"), seen: Vec::new() }
    }
}

/// A command of carboy at a person's terminal; killed with the test if it still runs then.
#[derive(Debug)]
pub struct AtTerminal<'p> {
    person: &'p Person,
    child: Child,
    seen: Vec<u8>,
}

impl AtTerminal<'_> {
    /// Types these characters, and watches the screen meanwhile.
    ///
    /// # Panics
    /// Where the terminal does not take them.
    pub fn types(&mut self, text: &str) {
        let (began, mut rest) = (Instant::now(), text.as_bytes());
        while !rest.is_empty() {
            match rustix::io::write(&self.person.master, rest) {
                Ok(length) => rest = &rest[length..],
                Err(Errno::AGAIN) => {
                    self.read(Duration::from_millis(1));
                }
                Err(errno) => panic!("write to the terminal: {errno}"),
            }
            assert!(began.elapsed() < PATIENCE, "nobody reads what is typed, {} bytes of it", rest.len());
        }
    }

    /// Types as long as anybody takes it.
    ///
    /// # Panics
    /// Where the terminal says anything but that it is full.
    pub fn types_all_it_takes(&mut self) {
        let mut taken = Instant::now();
        while taken.elapsed() < Duration::from_millis(300) {
            match rustix::io::write(&self.person.master, &[b'x'; 512]) {
                Ok(_) => taken = Instant::now(),
                Err(Errno::AGAIN) => {
                    self.read(Duration::from_millis(20));
                }
                Err(errno) => panic!("write to the terminal: {errno}"),
            }
        }
    }

    /// Waits until this text is on the screen; gives what came up to its end, and forgets it.
    ///
    /// # Panics
    /// Where it does not come.
    pub fn sees(&mut self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let found = self.seen.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(start) = found {
                let shown: Vec<u8> = self.seen.drain(..start + text.len()).collect();
                return String::from_utf8_lossy(&shown).into_owned();
            }
            let ended = self.child.try_wait().unwrap();
            let came = self.read(Duration::from_millis(50));
            let shown = String::from_utf8_lossy(&self.seen);
            assert!(came || ended.is_none(), "it ended with {ended:?}; in place of {text:?} came {shown:?}");
            assert!(began.elapsed() < PATIENCE, "in place of {text:?} came {shown:?}");
        }
    }

    /// Reads what comes within a time; whether anything came.
    fn read(&mut self, wait: Duration) -> bool {
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        let master = &self.person.master;
        if rustix::event::poll(&mut [PollFd::new(master, PollFlags::IN)], Some(&wait)).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 65536];
        let length = rustix::io::read(master, &mut buffer).unwrap();
        self.seen.extend_from_slice(&buffer[..length]);
        true
    }

    /// The PID of the carboy command.
    #[must_use]
    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Waits for its end; the output is what was not yet seen.
    ///
    /// # Panics
    /// Where it does not end.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.read(Duration::from_millis(20));
            let shown = String::from_utf8_lossy(&self.seen);
            assert!(began.elapsed() < PATIENCE, "it does not end; the screen shows {shown:?}");
        };
        while self.read(Duration::ZERO) {}
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        let stdout = String::from_utf8_lossy(&self.seen).into_owned();
        Ended { code: code.unwrap_or(-1), stdout, stderr: String::new() }
    }
}

impl Drop for AtTerminal<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is true.
///
/// # Panics
/// Where it does not become true.
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < PATIENCE, "it did not come about: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a command of carboy says that goes well and complains of nothing.
///
/// # Panics
/// Where it does not.
pub fn says(carboy: &Carboy, words: &[&str]) -> String {
    let ended = carboy.run(words);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
    ended.stdout
}

/// What `command` says that makes a container of busybox with this script.
///
/// # Panics
/// Where it does not.
pub fn made(carboy: &Carboy, command: &[&str], script: &str) -> String {
    let root = carboy.busybox().display().to_string();
    says(carboy, &[command, &[root.as_str(), "sh", "-c", script]].concat())
}
