//! Pausing, on the freezer that the host has.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use error::Errno;
use procfs::HostPid;
use rustix::fs::Mode;
use rustix::mount::{MountFlags, UnmountFlags};

use super::*;
use crate::freezer::State;

/// A shell that runs a loop for as long as it lives.
fn busy(script: &str) -> Sleeper {
    let script = format!("while :; do {script}; done");
    Sleeper(Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap())
}

fn ticks(process: &Sleeper) -> u64 {
    let stat = procfs::stat(HostPid(process.pid().as_raw_nonzero().get())).unwrap();
    stat.user_ticks + stat.system_ticks
}

#[test]
fn a_paused_container_makes_no_progress_in_nested_groups_either_and_reads_as_paused() {
    let (one, other) = (busy(":"), busy(":"));
    let (guard, groups) = made(&name(), "{}");
    attach(&guard, &groups, one.pid());
    attach(&guard, &groups, other.pid());
    let (_, freezer) = groups.controlled(Controller::Freezer).unwrap();
    rustix::fs::mkdirat(freezer, "nested", Mode::from_raw_mode(0o755)).unwrap();
    file::write(tree::open(freezer, "nested").unwrap(), file::PROCS, &other.0.id().to_string()).unwrap();
    assert_eq!(groups.freezer().state, Some(State::Running));
    groups.freeze(PATIENCE).unwrap();
    assert_eq!((groups.freezer().state, groups.freezer().own), (Some(State::Paused), Some(true)));
    // On v2 a process counts as frozen before it lets go of its CPU, and its last moments are accounted for then.
    std::thread::sleep(Duration::from_millis(100));
    let before = (ticks(&one), ticks(&other));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((ticks(&one), ticks(&other)), before);
    groups.thaw().unwrap();
    assert_eq!((groups.freezer().state, groups.frozen()), (Some(State::Running), Some(false)));
    let start = Instant::now();
    while ticks(&one) == before.0 || ticks(&other) == before.1 {
        assert!(start.elapsed() < PATIENCE, "they do not go on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_container_whose_processes_come_and_go_can_be_paused() {
    let churning: Vec<Sleeper> = (0..4).map(|_| busy("/bin/true & /bin/true")).collect();
    let (guard, groups) = made(&name(), r#"{"pids":{"limit":64}}"#);
    for process in &churning {
        attach(&guard, &groups, process.pid());
    }
    for _ in 0..10 {
        groups.freeze(PATIENCE).unwrap();
        groups.thaw().unwrap();
    }
}

/// A FUSE file system that never answers. Who makes something in its folder waits for it, and holds the folder's lock; who
/// makes something there after that waits for the lock, which no freezer interrupts.
struct Silent {
    device: Option<OwnedFd>,
    folder: PathBuf,
}

impl Silent {
    fn new() -> Self {
        // Where it is built in, or loaded, or there is no such command, there is nothing to do.
        let _ = Command::new("modprobe").arg("fuse").status();
        let device =
            rustix::fs::open("/dev/fuse", rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC, Mode::empty());
        let device = device.expect("this test needs FUSE: load the kernel module fuse");
        let folder = std::env::temp_dir().join(name());
        std::fs::create_dir(&folder).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&device);
        let options = format!("fd={number},rootmode=40000,user_id=0,group_id=0");
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount("silent", &folder, "fuse", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        Self { device: Some(device), folder }
    }
}

impl Silent {
    /// A process that waits in the kernel to make a folder in it: in one of these functions, by a part of their names. It
    /// may have waited before that, for a page of its program.
    fn visitor(&self, folder: &str, functions: &[&str]) -> Sleeper {
        let mut mkdir = Command::new("mkdir");
        let visitor = mkdir.arg(self.folder.join(folder)).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let visitor = Sleeper(visitor.unwrap());
        let number = HostPid(visitor.pid().as_raw_nonzero().get());
        let start = Instant::now();
        let channel = format!("/proc/{}/wchan", visitor.0.id());
        let place = || std::fs::read_to_string(&channel).unwrap_or_default();
        let waits = || functions.iter().any(|function| place().contains(function));
        while procfs::stat(number).unwrap().state != 'D' || !waits() {
            assert!(start.elapsed() < PATIENCE, "it does not wait in {functions:?} but in {}", place());
            std::thread::sleep(Duration::from_millis(5));
        }
        visitor
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Those who wait are told that nobody answers any more.
        drop(self.device.take());
        let _ = rustix::mount::unmount(&self.folder, UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.folder);
    }
}

#[test]
fn what_cannot_be_stopped_is_named_with_its_state_and_everything_runs_again() {
    let silent = Silent::new();
    let _outside = silent.visitor("one", &["fuse"]);
    let (waiting, other) = (silent.visitor("other", &["filename_create", "rwsem", "mkdir"]), Sleeper::start());
    let (guard, groups) = made(&name(), "{}");
    attach(&guard, &groups, waiting.pid());
    attach(&guard, &groups, other.pid());
    let error = groups.freeze(Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::TIME));
    let text = error.to_string();
    assert!(text.contains(&format!("within 300ms: {} mkdir D", waiting.0.id())), "{text}");
    assert!(!text.contains("sleep"), "{text}");
    assert_eq!(groups.freezer().own, Some(false));
    assert_ne!(groups.freezer().state, Some(State::Paused));
    drop(silent);
}

#[test]
fn a_container_that_is_frozen_from_above_is_told_by_whom() {
    let parent = name();
    let sleeper = Sleeper::start();
    let (above, parent_groups) = made(&parent, "{}");
    let (guard, groups) = made(&format!("/{parent}/web"), "{}");
    attach(&guard, &groups, sleeper.pid());
    parent_groups.freeze(PATIENCE).unwrap();
    let start = Instant::now();
    while groups.frozen() != Some(true) {
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(groups.freezer().own, Some(false));
    let error = groups.thaw().unwrap_err();
    assert!(error.to_string().contains(&format!("the group above it, {}, is frozen", above.path)), "{error}");
    groups.freeze(PATIENCE).unwrap();
    assert!(groups.thaw().is_err());
    match groups.controlled(Controller::Freezer).unwrap().0 {
        Version::V1 => assert_eq!(groups.kill().unwrap_err().to_string(), error.to_string()),
        Version::V2 => groups.kill().unwrap(),
    }
    parent_groups.thaw().unwrap();
    groups.kill().unwrap();
}

#[test]
fn a_group_that_another_tool_removed_can_be_neither_paused_nor_is_it_in_the_way() {
    let (guard, groups) = made(&name(), "{}");
    for (_, hierarchy) in guard.hierarchies.iter() {
        std::fs::remove_dir(hierarchy.mount_point.join(guard.path.relative())).unwrap();
    }
    assert_eq!((groups.frozen(), groups.processes()), (None, Ok(Vec::new())));
    assert_eq!(groups.freeze(PATIENCE).unwrap_err().errno(), Some(Errno::NOENT));
    assert_eq!(groups.thaw().unwrap_err().errno(), Some(Errno::NOENT));
    groups.kill().unwrap();
    assert_eq!(groups.remove(&guard.plan.parents), []);
}
