//! Huge pages of 2 MiB on the running kernel: a few are added for the test, and taken away again.

use std::fs::File;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::mount::{MountFlags, mount};

use super::*;
use crate::hugetlb;

const PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const PAGE: u64 = 2 << 20;

/// Four pages more than the host has; tests that add some wait for each other.
struct Pages {
    before: String,
    _lock: File,
}

impl Pages {
    fn add() -> Self {
        let lock = File::open(PAGES).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let before = std::fs::read_to_string(PAGES).unwrap();
        let wanted = before.trim().parse::<u32>().unwrap() + 4;
        std::fs::write(PAGES, wanted.to_string()).unwrap();
        let pages = Self { before, _lock: lock };
        let there = std::fs::read_to_string(PAGES).unwrap();
        assert_eq!(there.trim(), wanted.to_string(), "this machine has no room for huge pages");
        pages
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = std::fs::write(PAGES, &self.before);
    }
}

#[test]
fn pages_beyond_the_limit_are_refused_and_counted() {
    let pages = Pages::add();
    let (guard, groups) = made(&name(), r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#);
    let stats = || {
        let (version, group) = groups.controlled(Controller::Hugetlb).unwrap();
        let (sizes, read) = (["2MB".to_owned()], |name: &str| file::read(group, name).ok());
        match version {
            Version::V1 => hugetlb::stats_v1(&sizes, read).pop().unwrap(),
            Version::V2 => hugetlb::stats_v2(&sizes, read).pop().unwrap(),
        }
    };
    let before = stats();
    assert_eq!((before.limit, before.usage_bytes, before.limit_hits), (Some(Limit::At(2 * PAGE)), Some(0), Some(0)));
    for (place, write) in guard.plan.writes().filter(|(_, write)| write.controller == Controller::Hugetlb) {
        assert_eq!(file::read(groups.group(place.hierarchy).unwrap(), &write.file).unwrap().trim(), "4194304");
    }
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount").arg(std::env::current_exe().unwrap()).stdin(Stdio::piped()).stdout(Stdio::piped());
    unshare.args(["--exact", "--nocapture", "kernel::hugetlb::takes_pages"]).env(STARTED, "1");
    let mut child = unshare.stderr(Stdio::piped()).spawn().unwrap();
    attach(&guard, &groups, Pid::from_child(&child));
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("taken 2"), "{output:?}");
    assert_eq!(stats().limit_hits.filter(|hits| *hits > 0), stats().limit_hits, "{:?}", stats());
    drop(pages);
}

const STARTED: &str = "CARBOY_TEST_PAGES";

/// Runs in the groups of the test that starts it, in a mount namespace of its own, and is nothing without.
#[test]
fn takes_pages() {
    if std::env::var_os(STARTED).is_none() {
        return;
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    let folder = std::env::temp_dir();
    mount("none", &folder, "hugetlbfs", MountFlags::empty(), None).unwrap();
    let file = File::create(folder.join("pages")).unwrap();
    let take = |page: &u64| fallocate(&file, FallocateFlags::empty(), page * PAGE, PAGE).is_ok();
    println!("taken {}", (0..3).take_while(take).count());
}

#[test]
fn a_size_that_the_host_has_not_is_refused_with_those_that_it_has() {
    let hierarchies = Hierarchies::read().unwrap();
    let path = GroupPath::parse("", &name()).unwrap();
    let facts = HostFacts::read(&hierarchies, &path).unwrap();
    let resources: oci::Resources =
        serde_json::from_str(r#"{"hugepageLimits":[{"pageSize":"3MB","limit":4194304}]}"#).unwrap();
    let error = plan(&hierarchies, &facts, &path, &Asked { resources: &resources, defaulted: &[] }).unwrap_err();
    assert!(error.hint().unwrap().starts_with("use one of ") && error.hint().unwrap().contains("2MB"), "{error}");
}
