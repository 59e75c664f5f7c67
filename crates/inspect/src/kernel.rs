//! The two sources on this kernel.

use std::collections::BTreeMap;

use procfs::{HostPid, Sight, Walk};

use crate::tasks;

type Seen = BTreeMap<(HostPid, u64), [Sight; 8]>;

fn by_proc(walk: &mut Walk) -> Seen {
    let mut seen = Seen::new();
    for pid in walk.pids().unwrap() {
        let Ok(Some(mut visit)) = walk.visit(pid) else { continue };
        let namespaces = visit.namespaces;
        let Ok(stat) = visit.stat() else { continue };
        seen.insert((pid, stat.start_ticks), namespaces);
    }
    seen
}

#[test]
fn the_kernels_walk_and_proc_tell_the_same() {
    let mut walk = Walk::open().unwrap();
    let before = by_proc(&mut walk);
    let walked = tasks::walk_anyway(walk.device()).expect("needs a kernel with BTF, CAP_BPF and CAP_PERFMON");
    let after = by_proc(&mut walk);
    let walked: Seen =
        walked.into_iter().filter_map(|one| Some(((one.pid, one.start_ticks), one.namespaces?))).collect();
    // A process that security modules keep from the viewer may be missing in one of the two: the walk is an addition.
    let is_open = |namespaces: &[Sight; 8]| !namespaces.iter().any(|sight| matches!(sight, Sight::Blind(_)));
    let stayed = before.iter().filter(|(process, namespaces)| after.get(process) == Some(namespaces));
    let stayed: Seen = stayed.filter(|(_, seen)| is_open(seen)).map(|(process, seen)| (*process, *seen)).collect();
    assert!(stayed.len() > 1, "{before:?}");
    for (process, namespaces) in &stayed {
        assert_eq!(walked.get(process), Some(namespaces), "{process:?}");
    }
}
