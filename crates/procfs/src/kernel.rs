//! The readers on this kernel.

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command};

use error::{Errno, Error};

use crate::{HostId, HostPid, InsideId, Kind, Process, Sight, boot, cgroup, filesystems};

fn sleeper() -> (Child, HostPid) {
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = HostPid(i32::try_from(child.id()).unwrap());
    (child, pid)
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn this_process_is_what_it_knows_of_itself() {
    let process = Process::this().unwrap();
    let (stat, status) = (process.stat().unwrap(), process.status().unwrap());
    assert_eq!(stat.pid, HostPid(i32::try_from(std::process::id()).unwrap()));
    assert_eq!((stat.pid, stat.parent, stat.name.as_str()), (status.pid, status.parent, status.name.as_str()));
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(status.uid.effective, HostId(uid));
    assert!(process.uid_map().unwrap().to_host(InsideId(uid)).is_some());
    assert!(process.gid_map().unwrap().ranges.iter().all(|range| range.count > 0));
}

#[test]
fn a_childs_start_time_tells_it_from_its_parent() {
    let (child, pid) = sleeper();
    let (ours, its) = (Process::this().unwrap().stat().unwrap(), crate::stat(pid).unwrap());
    end(child);
    assert_eq!(its.parent, Some(ours.pid));
    assert!(its.start_ticks >= ours.start_ticks);
}

#[test]
fn namespaces_are_those_that_stat_shows() {
    for (kind, sight) in Process::this().unwrap().namespaces().unwrap() {
        let file = std::fs::metadata(format!("/proc/self/ns/{}", kind.name())).unwrap();
        let id = sight.id().unwrap();
        assert_eq!((id.dev, id.ino), (file.dev(), file.ino()), "{kind:?}");
    }
}

#[test]
fn a_child_shares_its_parents_namespaces() {
    let (child, pid) = sleeper();
    let its = Process::open(pid).unwrap().namespaces();
    end(child);
    assert_eq!(its.unwrap(), Process::this().unwrap().namespaces().unwrap());
}

#[test]
fn a_namespace_can_be_opened() {
    let process = Process::this().unwrap();
    let file = process.open_namespace(Kind::Uts).unwrap();
    let seen = process.namespaces().unwrap().into_iter().find(|(kind, _)| *kind == Kind::Uts).unwrap();
    assert_eq!(Some(rustix::fs::fstat(&file).unwrap().st_ino), seen.1.id().map(|id| id.ino));
}

#[test]
fn a_zombie_is_still_there_but_in_no_namespace() {
    let (mut child, pid) = sleeper();
    let process = Process::open(pid).unwrap();
    child.kill().unwrap();
    let id = rustix::process::Pid::from_raw(pid.0).unwrap();
    let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
    rustix::process::waitid(rustix::process::WaitId::Pid(id), options).unwrap();
    let (state, namespaces) = (process.stat().unwrap().state, process.namespaces().unwrap());
    child.wait().unwrap();
    assert_eq!(state, 'Z');
    assert_eq!(namespaces.iter().find(|(kind, _)| *kind == Kind::Net).unwrap().1, Sight::Absent);
}

#[test]
fn a_process_that_is_gone_is_an_error_everywhere() {
    let (child, pid) = sleeper();
    let process = Process::open(pid).unwrap();
    end(child);
    let gone = |error: &Error| matches!(error.errno(), Some(Errno::SRCH | Errno::NOENT));
    assert!(gone(&process.stat().unwrap_err()));
    assert!(gone(&process.status().unwrap_err()));
    assert!(gone(&process.cgroup().unwrap_err()));
    assert!(gone(&process.namespaces().unwrap_err()));
    assert!(gone(&process.write("oom_score_adj", "0").unwrap_err()));
    assert!(gone(&Process::open(pid).unwrap_err()));
}

#[test]
fn a_file_of_a_process_can_be_written() {
    let (child, pid) = sleeper();
    let written = Process::open(pid).unwrap().write("oom_score_adj", "500");
    let read = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj"));
    end(child);
    written.unwrap();
    assert_eq!(read.unwrap(), "500\n");
    let error = Process::this().unwrap().write("oom_score_adj", "5000").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::INVAL));
    assert_eq!(error.to_string(), "cannot write 5000 to /proc/self/oom_score_adj");
}

#[test]
fn a_path_does_not_lead_out_of_the_process() {
    let error = Process::this().unwrap().write("root/tmp/x", "").unwrap_err();
    assert!(matches!(error.errno(), Some(Errno::LOOP | Errno::XDEV)), "{error:?}");
    let error = Process::this().unwrap().write("../uptime", "").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::XDEV));
}

#[test]
fn the_root_is_mounted() {
    let mounts = Process::this().unwrap().mountinfo().unwrap();
    let root = std::fs::metadata("/").unwrap().dev();
    let on_root = |mount: &&crate::MountInfo| mount.mount_point.as_os_str() == "/";
    let (major, minor) = mounts.iter().rfind(on_root).unwrap().device;
    assert_eq!(rustix::fs::makedev(major, minor), root);
}

#[test]
fn every_hierarchy_has_a_group_for_this_process() {
    let groups = Process::this().unwrap().cgroup().unwrap();
    assert!(!groups.is_empty());
    let bound: Vec<_> = cgroup::read_subsystems().unwrap().into_iter().filter(|found| found.hierarchy != 0).collect();
    for subsystem in bound {
        let line = groups.iter().find(|line| line.hierarchy == subsystem.hierarchy).unwrap();
        assert!(line.controllers.contains(&subsystem.name), "{subsystem:?}");
    }
}

#[test]
fn proc_knows_its_own_file_system_and_boot() {
    assert!(filesystems::read().unwrap().iter().any(|kind| kind.name == "proc" && !kind.on_device));
    assert_eq!(boot::read_id().unwrap(), boot::read_id().unwrap());
}
