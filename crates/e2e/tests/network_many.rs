//! Many containers that publish ports, started and removed by many commands at once.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use carboy_e2e::network::{alone, done, served, tables, words};
use carboy_e2e::{Carboy, groups};

const CONTAINERS: u16 = 300;
const AT_ONCE: u16 = 20;
/// Each has a port of the host in each of these thousands.
const PORTS: [(u16, u16); 3] = [(10_000, 80), (20_000, 81), (30_000, 82)];

/// Starts a container that answers each of its ports by its name and that port.
fn start(carboy: &Carboy, root: &Path, number: u16) {
    let name = format!("c{number}");
    let mut line = words("run -d --network many --stop-timeout 0 --name")
        .iter()
        .map(|word| (*word).to_owned())
        .collect::<Vec<_>>();
    line.push(name.clone());
    line.extend(PORTS.iter().flat_map(|(host, own)| ["-p".to_owned(), format!("{}:{own}", host + number)]));
    let serve =
        |own: u16| format!("mkdir -p /w/{own}; echo {name} {own} > /w/{own}/index.html; httpd -p {own} -h /w/{own}");
    let script = format!("{}; exec sleep 1000", PORTS.map(|(_, own)| serve(own)).join("; "));
    line.extend([root.display().to_string(), "sh".to_owned(), "-c".to_owned(), script]);
    done(carboy.run(line));
}

/// Does something for each number, so many at once.
fn each(numbers: Range<u16>, what: impl Fn(u16) + Sync) {
    let next = AtomicU16::new(numbers.start);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(number) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| numbers.contains(number))
                {
                    what(number);
                }
            });
        }
    });
}

/// What running containers have of the host: a network namespace, a group, addresses and links.
struct Traces {
    namespaces: BTreeSet<PathBuf>,
    groups: BTreeSet<String>,
}

impl Traces {
    fn read(carboy: &Carboy) -> Self {
        let listed = done(carboy.run(["ps", "-q", "--no-trunc"]));
        let form = "{{.State.Pid}} {{.CgroupPath}}";
        let told = done(carboy.run([vec!["inspect", "--format", form], listed.lines().collect()].concat()));
        let both: Vec<(&str, &str)> = told.lines().map(|line| line.split_once(' ').unwrap()).collect();
        Self {
            namespaces: both.iter().map(|(pid, _)| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap()).collect(),
            groups: both.iter().map(|(_, group)| group.trim_start_matches('/').to_owned()).collect(),
        }
    }

    /// The processes and groups that are still there.
    fn left(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let is_within =
            |path: &PathBuf| fs::read_link(path.join("ns/net")).is_ok_and(|own| self.namespaces.contains(&own));
        let processes = processes.filter(is_within).map(|path| path.display().to_string());
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let groups = groups().into_iter().filter(|path| self.groups.contains(&name(path)));
        processes.chain(groups.map(|path| path.display().to_string())).collect()
    }
}

/// The links and addresses of the host.
fn links() -> Vec<String> {
    let listed = Command::new("ip").args(["-o", "address"]).output().unwrap();
    let all = Command::new("ip").args(["-o", "link"]).output().unwrap();
    [listed, all]
        .iter()
        .flat_map(|told| String::from_utf8_lossy(&told.stdout).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The processes of carboy itself: monitors and resolvers.
fn own_processes(carboy: &Carboy) -> Vec<String> {
    let folder = carboy.folder().display().to_string();
    let lines =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&folder)).collect()
}

#[test]
fn every_port_of_many_containers_answers_and_nothing_is_left_of_them() {
    alone(|carboy| {
        let root = carboy.busybox();
        let before = links();
        done(carboy.run(words("network create many")));
        each(0..CONTAINERS, |number| start(carboy, &root, number));
        each(0..CONTAINERS, |number| {
            for (host, own) in PORTS {
                let told = served(&format!("127.0.0.1:{}", host + number));
                assert_eq!(told, Some(format!("c{number} {own}")));
            }
        });
        let traces = Traces::read(carboy);
        assert_eq!(traces.namespaces.len(), usize::from(CONTAINERS));
        assert_eq!(
            own_processes(carboy).len(),
            usize::from(CONTAINERS) + 1,
            "monitors and a resolver: {:#?}",
            own_processes(carboy)
        );
        assert!(traces.left().len() >= 2 * usize::from(CONTAINERS), "each has processes and groups");
        each(0..CONTAINERS, |number| drop(done(carboy.run(["rm", "-f", &format!("c{number}")]))));
        assert!(!tables().contains("elements = { tcp"), "{}", tables());
        done(carboy.run(words("network rm many")));
        assert_eq!(traces.left(), Vec::<String>::new());
        assert_eq!((own_processes(carboy), carboy.left_behind()), (Vec::new(), Vec::new()));
        assert_eq!((links(), tables()), (before, String::new()));
    });
}
