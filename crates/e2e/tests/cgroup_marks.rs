//! The class of a container's packets, as nft(8) sees it: `net_cls` where the host has it or carboy can mount it,
//! else a mark by nftables with a count of the packets. Documentation/admin-guide/cgroup-v1/net_cls.rst, nft(8) "SOCKET
//! EXPRESSION".
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at what goes wrong")]

use std::fs;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;

use carboy_e2e::fault::{self, Fault, Place, Role};
use carboy_e2e::{Attended, Carboy, Ended, ended};
use nix::errno::Errno;
use sys::namespace::Kinds;

/// `CLASS` as nft writes it.
const CLASS: (&str, &str) = ("10:1", "0x00100001");
/// Three packets of 84 bytes: the replies are the kernel's own.
const PING: &str = "ping -q -c 3 127.0.0.1";

/// A container that pings whenever it is told to.
struct Pinging<'c> {
    carboy: &'c Carboy,
    name: &'static str,
    run: Attended,
}

impl<'c> Pinging<'c> {
    fn start(carboy: &'c Carboy, name: &'static str, mut command: Command) -> Self {
        let script = format!("echo ready; while read -r go; do {PING} > /dev/null; echo pinged; done");
        command.args(["--rm", "-i", "--name", name, "--net-cls-classid", CLASS.0]);
        command.arg(carboy.busybox()).args(["sh", "-c", &script]);
        let mut run = Attended::start(&mut command);
        let said = run.line();
        if said != "ready" {
            panic!("{}", run.end().stderr);
        }
        Self { carboy, name, run }
    }

    fn ping(&mut self) {
        self.run.tell("go");
        assert_eq!(self.run.line(), "pinged");
    }

    fn pid(&self) -> String {
        self.carboy.inspect(self.name)["State"]["Pid"].to_string()
    }

    /// The table is called after the group: `carboy-ID`, or `carboy-system.slice/carboy-ID.scope`.
    fn table(&self) -> String {
        let document = self.carboy.inspect(self.name);
        let group = document["CgroupPath"].as_str().unwrap().trim_start_matches('/');
        if group.starts_with("carboy-") { group.to_owned() } else { format!("carboy-{group}") }
    }

    fn end(self) {
        let ended = self.run.end();
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    }
}

/// Runs a test on a host without v1 hierarchies, where packets are marked, and without anybody else's tables: in a mount and
/// a net namespace of its own.
fn without_v1(test: fn()) {
    let hidden = move || {
        sys::namespace::unshare(Kinds::MNT.with(Kinds::NET)).unwrap();
        sys::namespace::loopback_up().unwrap();
        let done = |words: &[&str]| Command::new(words[0]).args(&words[1..]).status().unwrap().success();
        assert!(done(&["mount", "--make-rprivate", "/"]));
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        if mounts.contains(" - cgroup ") {
            assert!(done(&["umount", "-a", "-t", "cgroup"]));
        }
        if !mounts.contains(" - cgroup2 ") {
            assert!(done(&["mount", "-t", "cgroup2", "cgroup2", "/mnt"]));
        }
        test();
    };
    if let Err(panicked) = thread::spawn(hidden).join() {
        resume_unwind(panicked);
    }
}

/// Runs a program in the net namespace of a process.
fn within(pid: &str, words: &[&str]) -> Ended {
    let ended = ended(Command::new("nsenter").args(["-t", pid, "-n"]).args(words).stdin(Stdio::null()));
    assert_eq!(ended.code, 0, "{words:?}: {} (install nftables)", ended.stderr);
    ended
}

/// What the rule of a container has counted, in the namespace of this process: packets, bytes, the mark.
fn counted(pid: &str, table: &str) -> (u64, u64, String) {
    let listed = within(pid, &["nft", "list", "table", "inet", table]).stdout;
    let rule = listed.lines().find(|line| line.contains("socket cgroupv2")).unwrap_or_else(|| panic!("{listed}"));
    let behind = |word: &str| {
        let mut words = rule.split_whitespace().skip_while(|found| *found != word);
        words.nth(1).unwrap_or_default().to_owned()
    };
    (behind("packets").parse().unwrap(), behind("bytes").parse().unwrap(), behind("set"))
}

fn tables(pid: &str) -> String {
    within(pid, &["nft", "list", "tables"]).stdout
}

#[test]
fn the_packets_of_a_container_are_marked_and_counted_and_nobody_elses() {
    without_v1(|| {
        let carboy = Carboy::new();
        let mut pinging = Pinging::start(&carboy, "marked", carboy.command(["run"]));
        let (pid, table) = (pinging.pid(), pinging.table());
        assert_eq!(counted(&pid, &table), (0, 0, CLASS.1.to_owned()));
        pinging.ping();
        assert_eq!(counted(&pid, &table), (3, 252, CLASS.1.to_owned()));
        // In its namespace, not in its group.
        within(&pid, &["busybox", "sh", "-c", PING]);
        assert_eq!(counted(&pid, &table).0, 3);
        let executed = carboy.run(["exec", "marked", "sh", "-c", PING]);
        assert_eq!(executed.code, 0, "{}", executed.stderr);
        assert_eq!(counted(&pid, &table).0, 6);
        pinging.end();
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    });
}

#[test]
fn a_firewall_sees_the_mark() {
    without_v1(|| {
        let carboy = Carboy::new();
        let mut pinging = Pinging::start(&carboy, "seen", carboy.command(["run"]));
        let pid = pinging.pid();
        let chain = "type filter hook output priority filter; meta mark 0x100001 counter;";
        within(&pid, &["nft", &format!("table inet firewall {{ chain out {{ {chain} }}; }}")]);
        pinging.ping();
        let listed = within(&pid, &["nft", "list", "table", "inet", "firewall"]).stdout;
        assert!(listed.contains("packets 3 bytes 252"), "{listed}");
        pinging.end();
    });
}

#[test]
fn a_namespace_that_outlives_the_container_keeps_nothing_of_it() {
    without_v1(|| {
        let carboy = Carboy::new();
        let own = nix::unistd::gettid().to_string();
        for (name, network) in [("hosted", "host".to_owned()), ("joined", format!("pid:{}", sleeper(&carboy)))] {
            let pid = network.strip_prefix("pid:").unwrap_or(&own).to_owned();
            let command = carboy.command(["run", "--network", &network]);
            let mut pinging = Pinging::start(&carboy, name, command);
            let table = pinging.table();
            pinging.ping();
            assert_eq!(counted(&pid, &table), (3, 252, CLASS.1.to_owned()), "{name}");
            pinging.end();
            assert!(!tables(&pid).contains(&table), "{name}");
        }
        assert_eq!(carboy.run(["rm", "-f", "keeper"]).code, 0);
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    });
}

#[test]
fn what_a_killed_monitor_leaves_in_the_hosts_namespace_goes_with_the_next_command() {
    without_v1(|| {
        let carboy = Carboy::new();
        let command = carboy.command(["run", "--network", "host"]);
        let pinging = Pinging::start(&carboy, "orphan", command);
        let (pid, table) = (pinging.pid(), pinging.table());
        let own = nix::unistd::gettid().to_string();
        assert!(tables(&own).contains(&table));
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let monitor = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
        for process in [&monitor, &pid] {
            assert!(Command::new("kill").args(["-KILL", process]).status().unwrap().success());
        }
        let _ = pinging.run.end();
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
        assert!(!tables(&own).contains(&table));
    });
}

#[test]
fn wherever_the_marking_fails_or_its_monitor_is_killed_no_table_is_left() {
    const CALLS: [&str; 4] = ["socket", "connect", "sendto", "recvfrom"];
    without_v1(|| {
        let carboy = Carboy::new();
        let own = nix::unistd::gettid().to_string();
        let mut command = carboy.command(["run", "--rm", "--network", "host", "--net-cls-classid", CLASS.0]);
        command.arg(carboy.busybox()).arg("true");
        let sound = fault::run(&command, carboy.folder(), None);
        assert_eq!(sound.code, 0, "{}", sound.stderr);
        // From the birth of the container's first process on: what is said to systemd before that is not of marks.
        let of_monitor = sound.calls.into_iter().map(|(place, _)| place).filter(|place| place.role == Role::Monitor);
        let of_monitor: Vec<Place> = of_monitor.collect();
        let born = of_monitor.iter().rposition(|place| place.name == "clone3").unwrap();
        let places: Vec<&Place> = of_monitor[born..].iter().filter(|place| CALLS.contains(&place.name)).collect();
        for call in CALLS {
            assert!(places.iter().any(|place| place.name == call), "{call} is not among {places:?}");
        }
        for place in places {
            // Before anything was sent, there is nothing that a monitor could leave.
            let killed = matches!(place.name, "sendto" | "recvfrom").then_some(Fault::Kill);
            for fault in [Fault::Error(Errno::EPERM)].into_iter().chain(killed) {
                let watched = fault::run(&command, carboy.folder(), Some((place.clone(), fault)));
                assert!(watched.struck && !watched.hung, "{place:?}: {watched:?}");
                assert_eq!(carboy.left_behind(), Vec::<String>::new(), "{place:?}");
                assert_eq!(tables(&own), "", "{place:?}");
            }
        }
    });
}

#[test]
fn the_mark_is_a_step_of_the_plan() {
    without_v1(|| {
        let carboy = Carboy::new();
        let mut explain = carboy.command(["explain", "run", "--net-cls-classid", CLASS.0]);
        let told = ended(explain.arg(carboy.busybox()).arg("true"));
        assert_eq!(told.code, 0, "{}", told.stderr);
        assert!(told.stdout.contains("mark its packets with 0x100001 in its own net namespace"), "{}", told.stdout);
    });
}

/// A container with a net namespace of its own, whose loopback is up: its first process.
fn sleeper(carboy: &Carboy) -> String {
    let root = carboy.busybox();
    let mut run = Command::new("setsid");
    let command = carboy.command(["run", "--name", "keeper"]);
    run.arg(command.get_program()).args(command.get_args()).arg(root).args(["sh", "-c", "echo up; sleep 1000"]);
    let mut attended = Attended::start(&mut run);
    assert_eq!(attended.line(), "up");
    carboy.inspect("keeper")["State"]["Pid"].to_string()
}

/// Whether this host has `net_cls`, mounted or not, and v1 to mount it beside.
fn has_net_cls() -> bool {
    let subsystems = fs::read_to_string("/proc/cgroups").unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    subsystems.lines().any(|line| line.starts_with("net_cls\t")) && mounts.contains(" - cgroup ")
}

#[test]
fn the_class_is_one_of_net_cls_where_v1_has_it_and_else_a_mark() {
    let carboy = Carboy::new();
    let mut pinging = Pinging::start(&carboy, "classed", carboy.command(["run"]));
    let (pid, table) = (pinging.pid(), pinging.table());
    assert_eq!(tables(&pid).contains(&table), !has_net_cls());
    let matched = if has_net_cls() { "meta cgroup 0x100001" } else { "meta mark 0x100001" };
    let rules = format!(
        "table inet firewall {{ chain out {{ type filter hook output priority filter; {matched} counter; counter; }}; }}"
    );
    within(&pid, &["nft", &rules]);
    pinging.ping();
    within(&pid, &["busybox", "sh", "-c", PING]);
    let listed = within(&pid, &["nft", "list", "table", "inet", "firewall"]).stdout;
    let counts: Vec<&str> = listed.split("packets ").skip(1).filter_map(|rest| rest.split(' ').next()).collect();
    // Of six requests and six replies three are the container's.
    assert_eq!(counts, ["3", "12"], "{listed}");
    pinging.end();
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}
