//! Hosts for tests of what is pure.

use std::path::PathBuf;

use procfs::{HostId, HostPid, Kind};

use crate::snapshot::{
    Capabilities, CgroupMode, Container, Engine, Facts, Group, Host, HostNamespace, Known, Limited, Namespace, Process,
    Reading, Related, Seccomp, Snapshot, Spot, Stalls, VERSION,
};

/// A host whose namespaces are the first eight, with nothing on it.
pub(crate) fn empty() -> Snapshot {
    let host = |kind: Kind| Some(HostNamespace { ino: crate::source::fixed(kind), known: Known::Fixed });
    let namespaces = Kind::ALL.map(|kind| namespace(kind, crate::source::fixed(kind)));
    Snapshot {
        version: VERSION,
        at_msec: 0,
        up_usec: 0,
        host: Host {
            kernel: "6.18".to_owned(),
            cpus: 2,
            memory_bytes: 1 << 30,
            cgroups: CgroupMode::V2,
            namespaces: Kind::ALL.map(host),
            viewer: HostId(0),
            stalls: Stalls::default(),
            available_bytes: Reading::Absent,
            modules: Some(true),
            root_device: Some((8, 1)),
            disks: vec![(8, 0), (8, 1)],
            kernel_files: ["/proc/keys", "/proc/sysrq-trigger", "/proc/kcore"].map(PathBuf::from).into(),
        },
        processes: Vec::new(),
        namespaces: namespaces.into(),
        groups: Vec::new(),
        containers: Vec::new(),
        links: Vec::new(),
        networks: Vec::new(),
        blind: Vec::new(),
    }
}

pub(crate) fn namespace(kind: Kind, ino: u64) -> Namespace {
    Namespace {
        kind,
        ino,
        processes: 0,
        owner: Related::Unknown,
        parent: Related::Unknown,
        creator: None,
        holders: Vec::new(),
        listening: None,
    }
}

pub(crate) fn group(path: &str, parent: Option<usize>) -> Group {
    Group {
        hierarchy: String::new(),
        path: PathBuf::from(path),
        parent,
        memory: Limited::default(),
        cpu: Limited::default(),
        pids: Limited::default(),
        oom_kills: Reading::Absent,
        throttled_usec: Reading::Absent,
        reasons: None,
    }
}

/// Adds a container of one process, with new namespaces of these kinds and the host's of the others.
pub(crate) fn container(snapshot: &mut Snapshot, name: &str, own: &[Kind]) -> usize {
    let number = snapshot.processes.len();
    let pid = i32::try_from(number).unwrap() + 100;
    let mut spots = [Spot::Absent; 8];
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        spots[at] = Spot::In(at);
        if own.contains(&kind) {
            spots[at] = Spot::In(snapshot.namespaces.len());
            snapshot.namespaces.push(namespace(kind, 4_026_532_000 + snapshot.namespaces.len() as u64));
        }
    }
    let container = snapshot.containers.len();
    snapshot.processes.push(Process {
        pid: HostPid(pid),
        namespaces: spots,
        facts: Some(Box::new(facts())),
        container: Some(container),
    });
    snapshot.containers.push(Container {
        engine: Engine::Docker,
        id: format!("c{number:011x}").repeat(6)[..64].to_owned(),
        name: Some(name.to_owned()),
        pod: None,
        first: number,
        processes: vec![number],
        groups: Vec::new(),
        uid_map: None,
        mounts: None,
        reach: None,
    });
    container
}

/// A process as Docker starts it by default.
pub(crate) fn facts() -> Facts {
    Facts {
        start_ticks: 1,
        name: "sh".to_owned(),
        arguments: vec!["sh".to_owned()],
        state: 'S',
        parent: None,
        inside: Vec::new(),
        uids: [HostId(0); 4],
        gids: [HostId(0); 4],
        capabilities: Capabilities { effective: 0xa804_25fb, permitted: 0xa804_25fb, bounding: 0xa804_25fb },
        seccomp: Seccomp::Filter,
        no_new_privs: false,
        threads: 1,
        groups: Vec::new(),
        work: None,
    }
}
