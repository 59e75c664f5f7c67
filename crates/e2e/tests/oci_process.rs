//! What carboy-runtime sets of a container's process, as a probe inside sees it, and how it is refused where it cannot be
//! had. Runtime specification, config.md "Process" and "Linux Process", config-linux.md "Memory policy", "Personality".
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use carboy_e2e::bundle::Bundle;
use carboy_e2e::{Ended, ended};
use serde_json::{Value, json};

/// Runs the bundle to its end.
fn ran(bundle: &Bundle) -> Ended {
    bundle.run(&["run", "--bundle", bundle.path(), &bundle.id])
}

/// A container that sleeps.
fn sleeping(bundle: &Bundle) {
    bundle.args(&["sleep", "1000"]);
    let ended = bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!(ended, 0);
}

/// Runs a script in the container.
fn exec(bundle: &Bundle, options: &[&str], script: &str) -> Ended {
    bundle.run(&[&["exec"], options, &[bundle.id.as_str(), "sh", "-c", script]].concat())
}

/// What the kernel tells of how the calling shell is scheduled, where its memory comes from, and what it takes the machine
/// for.
const SETTINGS: &str = "uname -m; awk '/^(policy|prio) /{print $1, $3}' /proc/$$/sched; ionice -p $$;
    awk '{print $2; exit}' /proc/$$/numa_maps; grep Cpus_allowed_list /proc/$$/status | cut -f2";

#[test]
fn the_process_and_one_more_are_scheduled_and_placed_as_the_configuration_says() {
    let bundle = Bundle::new();
    bundle.change(|config| {
        config["process"]["scheduler"] =
            json!({"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
        config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
        config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
        config["linux"]["personality"] = json!({"domain": "LINUX32"});
    });
    bundle.args(&["sh", "-c", SETTINGS]);
    let all = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let expected = format!("i686\npolicy 3\nprio 125\nbest-effort: prio 6\nbind=static:0\n{}", all);
    let mut bound = Command::new("taskset");
    let command = bundle.command(&["run", "--bundle", bundle.path(), &bundle.id]);
    bound.args(["--cpu-list", "0"]).arg(command.get_program()).args(command.get_args());
    let run = ended(bound.stdin(Stdio::null()));
    assert_eq!((run.stdout, run.code), (expected.clone(), 0), "{}", run.stderr);
    sleeping(&bundle);
    let entered = exec(&bundle, &[], SETTINGS);
    assert_eq!((entered.stdout, entered.code), (expected, 0), "{}", entered.stderr);
}

#[test]
fn a_real_time_policy_holds_where_the_group_has_real_time_to_give() {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", "awk '/^(policy|prio) /{print $1, $3}' /proc/$$/sched"]);
    bundle.change(|config| {
        config["process"]["scheduler"] = json!({"policy": "SCHED_FIFO", "priority": 10});
        config["linux"]["resources"]["cpu"] = json!({"realtimeRuntime": 10000, "realtimePeriod": 1_000_000});
    });
    let run = ran(&bundle);
    assert_eq!((run.stdout.as_str(), run.code), ("policy 1\nprio 89\n", 0), "{}", run.stderr);
    bundle.change(|config| config["linux"]["resources"]["cpu"] = Value::Null);
    let refused = ran(&bundle);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("process.scheduler: SCHED_FIFO, priority 10"), "{}", refused.stderr);
    assert!(refused.stderr.contains("realtimeRuntime"), "{}", refused.stderr);
    bundle.gone();
}

#[test]
fn an_execution_domain_is_the_same_as_under_crun() {
    let bundle = Bundle::new();
    bundle.args(&["uname", "-m"]);
    for domain in ["LINUX", "LINUX32"] {
        bundle.change(|config| config["linux"]["personality"] = json!({"domain": domain}));
        bundle.change(|config| config["ociVersion"] = json!("1.0.2"));
        // It refuses a host with a v2 hierarchy beside those of v1.
        let hidden = "mount -t tmpfs none /sys/fs/cgroup/unified; exec crun \"$@\"";
        let mut crun = Command::new("unshare");
        crun.args(["--mount", "sh", "-c", hidden, "sh", "--root"]).arg(bundle.carboy.folder().join("crun"));
        crun.args(["--cgroup-manager", "disabled", "run", "--bundle", bundle.path(), &bundle.id]);
        let theirs = ended(crun.stdin(Stdio::null()));
        let ours = ran(&bundle);
        assert_eq!((ours.stdout, ours.code), (theirs.stdout, theirs.code), "{} {}", ours.stderr, theirs.stderr);
    }
}

#[test]
fn what_a_process_cannot_have_is_refused_by_its_field() {
    let bundle = Bundle::new();
    bundle.args(&["true"]);
    let good = fs::read(bundle.carboy.folder().join("config.json")).unwrap();
    let cases: [(&str, Value); 13] = [
        ("process.scheduler.nice 20", json!({"process": {"scheduler": {"policy": "SCHED_OTHER", "nice": 20}}})),
        ("process.scheduler.policy SCHED_ISO", json!({"process": {"scheduler": {"policy": "SCHED_ISO"}}})),
        (
            "process.scheduler: SCHED_OTHER, flags 0x20",
            json!({"process": {"scheduler": {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN"]}}}),
        ),
        (
            "process.ioPriority.priority 8",
            json!({"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}}),
        ),
        (
            "linux.memoryPolicy to mode 0x2, nodes 63",
            json!({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "63"}}}),
        ),
        ("linux.memoryPolicy.nodes", json!({"linux": {"memoryPolicy": {"mode": "MPOL_INTERLEAVE"}}})),
        ("linux.personality.flags X", json!({"linux": {"personality": {"domain": "LINUX", "flags": ["X"]}}})),
        ("process.apparmorProfile docker-default", json!({"process": {"apparmorProfile": "docker-default"}})),
        ("process.selinuxLabel system_u:", json!({"process": {"selinuxLabel": "system_u:system_r:container_t:s0"}})),
        ("linux.mountLabel system_u:", json!({"linux": {"mountLabel": "system_u:object_r:container_file_t:s0"}})),
        ("linux.intelRdt", json!({"linux": {"intelRdt": {"closID": "x", "schemata": ["MB:0=20"]}}})),
        ("process.oomScoreAdj to -1000", json!({"process": {"oomScoreAdj": -1000}})),
        (
            "process.rlimits[RLIMIT_NOFILE] to 2000000:2000000",
            json!({"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 2_000_000, "hard": 2_000_000}]}}),
        ),
    ];
    for (said, change) in cases {
        fs::write(bundle.carboy.folder().join("config.json"), &good).unwrap();
        bundle.change(|config| {
            for (part, fields) in change.as_object().unwrap() {
                for (name, value) in fields.as_object().unwrap() {
                    config[part.as_str()][name.as_str()] = value.clone();
                }
            }
        });
        let refused = ran(&bundle);
        assert!(refused.code == 1 && refused.stderr.contains(said), "{said}: {} {}", refused.code, refused.stderr);
        bundle.gone();
    }
}

#[test]
fn capabilities_that_cannot_be_granted_are_left_out_with_a_warning() {
    let bundle = Bundle::new();
    bundle.args(&["grep", "-E", "^Cap(Prm|Eff|Amb)", "/proc/self/status"]);
    bundle.change(|config| {
        let sets = ["bounding", "effective", "permitted", "inheritable", "ambient"];
        let asked = json!(["CAP_KILL", "CAP_SYS_RESOURCE", "CAP_OF_TOMORROW"]);
        config["process"]["capabilities"] =
            Value::Object(sets.iter().map(|set| ((*set).to_owned(), asked.clone())).collect());
        config["process"]["capabilities"]["ambient"] = json!(["CAP_KILL", "CAP_CHOWN"]);
    });
    let run = ran(&bundle);
    let held = |set: &str| format!("Cap{set}:\t0000000000000020\n");
    assert_eq!((run.stdout, run.code), (held("Prm") + &held("Eff") + &held("Amb"), 0), "{}", run.stderr);
    for (name, reason) in [
        ("CAP_OF_TOMORROW", "no kernel has it"),
        ("CAP_SYS_RESOURCE", "this process does not have it itself"),
        ("CAP_CHOWN", "as an ambient one it must be permitted and inheritable too"),
    ] {
        assert!(
            run.stderr.contains(&format!("ignoring unknown or unavailable capabilities: [{name}]: {reason}")),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn the_session_keyring_is_the_containers_own_unless_that_is_not_wanted() {
    let bundle = Bundle::new();
    bundle.change(|config| config["linux"]["maskedPaths"] = json!([]));
    let named = |id: &str| format!("awk '$9 == \"_ses.{id}:\" {{print $1}}' /proc/keys");
    sleeping(&bundle);
    let seen = exec(&bundle, &[], &named(&bundle.id)).stdout;
    assert_eq!(seen.lines().count(), 1, "one more process finds it by its name: {seen}");
    assert_eq!(exec(&bundle, &[], &named(&bundle.id)).stdout, seen);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    let other = format!("{}-kept", bundle.id);
    bundle.args(&["sh", "-c", &named(&other)]);
    let kept = bundle.run(&["run", "--no-new-keyring", "--bundle", bundle.path(), &other]);
    assert_eq!((kept.stdout.as_str(), kept.code), ("", 0), "{}", kept.stderr);
}

#[test]
fn one_more_process_runs_on_the_processors_that_are_for_it() {
    let bundle = Bundle::new();
    sleeping(&bundle);
    let process = bundle.carboy.folder().join("process.json");
    let allowed = |affinity: Value| {
        let args = ["sh", "-c", "grep Cpus_allowed_list /proc/self/status | cut -f2"];
        let document = json!({"args": args, "cwd": "/", "user": {"uid": 0, "gid": 0}, "execCPUAffinity": affinity});
        fs::write(&process, document.to_string()).unwrap();
        bundle.run(&["exec", "--process", process.to_str().unwrap(), &bundle.id])
    };
    let all = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    assert_eq!(allowed(json!({"initial": "0", "final": "1"})).stdout, "1\n");
    assert_eq!(allowed(json!({"final": "0"})).stdout, "0\n");
    assert_eq!(allowed(json!({"initial": "1"})).stdout, "1\n", "nothing changes it after");
    assert_eq!(allowed(json!({})).stdout, all);
    let told = bundle.run(&["--debug", "exec", "--process", process.to_str().unwrap(), &bundle.id]).stderr;
    assert!(!told.contains("affinity"), "{told}");
    allowed(json!({"initial": "0-1", "final": "1"}));
    let told = bundle.run(&["--debug", "exec", "--process", process.to_str().unwrap(), &bundle.id]).stderr;
    assert!(told.contains("debug: affinity: 0x3\n"), "{told}");
    for (affinity, said) in [
        (json!({"initial": "0-"}), "process.execCPUAffinity.initial 0-"),
        (json!({"final": "4000"}), "process.execCPUAffinity.final to 4000"),
    ] {
        let refused = allowed(affinity);
        assert!(refused.code == 255 && refused.stderr.contains(said), "{} {}", refused.code, refused.stderr);
    }
}

/// Runs the runtime from a shell that has made descriptors and variables for it.
fn within(bundle: &Bundle, before: &str, words: &[&str]) -> Ended {
    let command = bundle.command(words);
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("{before} exec \"$@\""), "bash"]).arg(command.get_program()).args(command.get_args());
    ended(shell.stdin(Stdio::null()))
}

#[test]
fn descriptors_of_the_caller_are_passed_on_as_it_says_and_no_others() {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; env | grep LISTEN | sort; cat <&3; cat <&4"]);
    let run = ["run", "--preserve-fds", "1", "--bundle", bundle.path(), &bundle.id];
    let opened = "exec 3<<<three 4<<<four 5<<<five;";
    let sockets = format!("{opened} export LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web;");
    let passed = within(&bundle, &sockets, &run);
    let expected = "0 1 2 3 4 5 LISTEN_FDNAMES=web\nLISTEN_FDS=1\nLISTEN_PID=1\nthree\nfour\n";
    assert_eq!((passed.stdout.as_str(), passed.code), (expected, 0), "{}", passed.stderr);
    let foreign = format!("{opened} export LISTEN_FDS=2 LISTEN_PID=1;");
    bundle.args(&["sh", "-c", "env | grep LISTEN; cat <&3; ls /proc/self/fd | wc -l"]);
    assert_eq!(within(&bundle, &foreign, &run).stdout, "three\n5\n", "sockets of another process are not ours");
    bundle.args(&["sh", "-c", "for each in /proc/self/fd/*; do readlink $each; done; cat <&3"]);
    let more =
        within(&bundle, "exec 3<<<three 4<&-;", &["run", "--preserve-fds", "60", "--bundle", bundle.path(), "x"]);
    assert!(more.stdout.ends_with("three\n"), "{more:?}");
    let host = |line: &str| line == "/" || line.starts_with("socket:") || line.starts_with("/sys");
    let of_the_runtime = |line: &&str| host(line) || line.contains(bundle.id.as_str());
    assert_eq!(more.stdout.lines().find(of_the_runtime), None, "{more:?}");
    let refused = bundle.run(&["run", "--preserve-fds", "2000000000", "--bundle", bundle.path(), "x"]);
    assert!(refused.stderr.contains("cannot pass on 2000000000 descriptors"), "{}", refused.stderr);
    sleeping(&bundle);
    let exec = within(
        &bundle,
        &sockets,
        &["exec", "--preserve-fds", "2", &bundle.id, "sh", "-c", "env | grep LISTEN; cat <&4"],
    );
    assert_eq!(exec.stdout, "four\n", "{}", exec.stderr);
}

#[test]
fn exec_takes_what_its_options_say_in_place_of_the_containers_own() {
    let bundle = Bundle::new();
    bundle.change(|config| {
        config["process"]["env"] = json!(["PATH=/bin", "A=container", "B=container"]);
        config["process"]["user"] = json!({"uid": 0, "gid": 7, "additionalGids": [8]});
        config["process"]["noNewPrivileges"] = json!(false);
    });
    sleeping(&bundle);
    let told = |options: &[&str], script: &str| {
        let ended = exec(&bundle, options, script);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout.trim_end().replace('\n', " ")
    };
    assert_eq!(told(&["--env", "A=exec", "-e", "C=exec"], "echo $A $B $C $HOME"), "exec container exec /root");
    assert_eq!(told(&["--user", "1000"], "id -u; id -g; id -G; echo $HOME"), "1000 7 7 8 /home/anna");
    assert_eq!(told(&["--user", "1000:1000", "-g", "29", "-g", "44"], "id -g; id -G"), "1000 1000 8 29 44");
    assert_eq!(told(&["--cwd", "/tmp"], "pwd"), "/tmp");
    let status = "awk '/^(NoNewPrivs|CapEff)/{print $2}' /proc/self/status";
    let ours = told(&[], status);
    let with = told(&["--cap", "CAP_SYS_PTRACE"], status);
    let mask = |text: &str| u64::from_str_radix(text.split(' ').next().unwrap(), 16).unwrap();
    assert_eq!(mask(&with), mask(&ours) | 1 << 19);
    assert!(ours.ends_with(" 0") && told(&["--no-new-privs"], status).ends_with(" 1"));
    for (options, said) in [
        (["--user", "anna"], "--user anna: is no id"),
        (["--cwd", "relative"], "process.cwd relative"),
        (["--apparmor", "docker-default"], "process.apparmorProfile docker-default"),
        (["--process-label", "system_u:r:t"], "process.selinuxLabel system_u:r:t"),
        (["--additional-gids", "x"], "--additional-gids x"),
    ] {
        let refused = exec(&bundle, &options, "true");
        assert!(refused.code == 255 && refused.stderr.contains(said), "{} {}", refused.code, refused.stderr);
    }
}

#[test]
fn one_more_process_is_beside_the_first_only_where_the_containers_own_group_can_hold_none() {
    let bundle = Bundle::new();
    bundle.change(|config| {
        config["linux"]["resources"]["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": 0}]);
    });
    sleeping(&bundle);
    let state: Value = serde_json::from_str(&bundle.run(&["state", &bundle.id]).stdout).unwrap();
    let group = Path::new("/sys/fs/cgroup/unified").join(&bundle.id);
    fs::create_dir(group.join("below")).unwrap();
    fs::write(group.join("below/cgroup.procs"), state["pid"].to_string()).unwrap();
    let own = || exec(&bundle, &[], "grep ^0:: /proc/self/cgroup").stdout;
    assert_eq!(own(), "0::/\n");
    fs::write(group.join("cgroup.subtree_control"), "+hugetlb").unwrap();
    assert_eq!(own(), "0::/below\n");
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.gone();
}

#[test]
fn one_more_process_enters_a_group_within_the_containers_where_that_is_asked() {
    let bundle = Bundle::new();
    sleeping(&bundle);
    let group = |hierarchy: &str, name: &str| {
        let path = Path::new("/sys/fs/cgroup").join(hierarchy).join(&bundle.id).join(name);
        fs::create_dir(&path).unwrap();
        if hierarchy == "cpuset" {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                fs::write(path.join(file), fs::read(path.join("..").join(file)).unwrap()).unwrap();
            }
        }
    };
    let hierarchies = ["memory", "pids", "cpuset"];
    hierarchies.iter().for_each(|hierarchy| group(hierarchy, "below"));
    group("memory", "other");
    let own = |options: &[&str]| {
        let entered =
            exec(&bundle, options, "grep -E ':(memory|pids|cpuset):' /proc/self/cgroup | cut -d: -f2,3 | sort");
        assert_eq!(entered.code, 0, "{}", entered.stderr);
        entered.stdout.replace('\n', " ")
    };
    assert_eq!(own(&[]), "cpuset:/ memory:/ pids:/ ");
    assert_eq!(own(&["--cgroup", "memory,pids:below"]), "cpuset:/ memory:/below pids:/below ");
    assert_eq!(own(&["--cgroup", "memory:/other", "--cgroup", "cpuset:/below"]), "cpuset:/below memory:/other pids:/ ");
    for (options, said) in [
        (&["--cgroup", "memory:../x"][..], "leads out of the hierarchy"),
        (&["--cgroup", "memory:nosuch"], "nosuch: No such file or directory"),
        (&["--cgroup", "nosuch:below"], "--cgroup nosuch: is no controller"),
        (&["--cgroup", "below", "--cgroup", "memory:below"], "--cgroup below: names no controller"),
        (&["--cgroup", "memory:below", "--cgroup", "memory:other"], "a second time"),
        (&["--cgroup", ":below"], "has an empty controller"),
    ] {
        let refused = exec(&bundle, options, "true");
        assert!(refused.code == 255 && refused.stderr.contains(said), "{} {}", refused.code, refused.stderr);
    }
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.gone();
}

#[test]
fn a_paused_container_is_entered_only_by_who_insists() {
    let bundle = Bundle::new();
    sleeping(&bundle);
    assert_eq!(bundle.run(&["pause", &bundle.id]).code, 0);
    let refused = exec(&bundle, &[], "true");
    let words = "cannot exec in a paused container (use --ignore-paused to override)";
    assert!(refused.code == 255 && refused.stderr.contains(words), "{}", refused.stderr);
}

/// Says to who listens that it is ready, by sd_notify(3), and stays.
const READY: &str = r#"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, getenv("NOTIFY_SOCKET"), sizeof address.sun_path - 1);
    int socket_ = socket(AF_UNIX, SOCK_DGRAM, 0);
    const char *said[] = {"STATUS=warm", "READY=1\nMAINPID=1"};
    for (int i = 0; i < 2; i++)
        if (sendto(socket_, said[i], strlen(said[i]), 0, (void *)&address, sizeof address) < 0) return 1;
    return sleep(1000);
}
"#;

/// Who waits for a service to be ready, as systemd does.
struct Waiting {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Waiting {
    fn new(bundle: &Bundle) -> Self {
        let path = bundle.carboy.folder().join("host.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, path }
    }

    /// The next message; what comes with it is closed, as for a barrier.
    fn hears(&self) -> String {
        let mut message = [0; 256];
        let (length, _) = sys::socket::receive(self.socket.as_fd(), &mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    }
}

/// A bundle whose program says that it is ready.
fn ready() -> Bundle {
    let bundle = Bundle::new();
    let folder = bundle.carboy.folder();
    let source = folder.join("ready.c");
    fs::write(&source, READY).unwrap();
    let compiled = ended(Command::new("cc").args(["-static", "-o"]).arg(folder.join("busybox/bin/ready")).arg(&source));
    assert_eq!(compiled.code, 0, "install gcc and libc6-dev: {}", compiled.stderr);
    bundle.args(&["ready"]);
    bundle
}

#[test]
fn a_program_that_is_ready_says_so_to_who_waits_outside() {
    let bundle = ready();
    let waiting = Waiting::new(&bundle);
    let start = |words: &[&str]| {
        let mut command = bundle.command(words);
        command.env("NOTIFY_SOCKET", &waiting.path).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let create = ["create", "--bundle", bundle.path(), &bundle.id];
    let steps: [&[&[&str]]; 2] =
        [&[&["run", "--detach", "--bundle", bundle.path(), &bundle.id]], &[&create, &["start", &bundle.id]]];
    for commands in steps {
        let mut last = None;
        for words in commands {
            if let Some(Ok(ended)) = last.map(|mut child: Child| child.wait()) {
                assert!(ended.success());
            }
            last = Some(start(words));
        }
        assert_eq!(waiting.hears(), "STATUS=warm");
        let ready = waiting.hears();
        assert_eq!(ready, format!("READY=1\nMAINPID={}", bundle.state()["pid"]));
        assert_eq!(waiting.hears(), "BARRIER=1");
        assert!(last.unwrap().wait().unwrap().success());
        assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
        bundle.gone();
    }
    let mut attends = start(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!(waiting.hears(), "STATUS=warm");
    assert_eq!(waiting.hears(), format!("READY=1\nMAINPID={}", attends.id()), "the one that systemd watches");
    assert_eq!(bundle.run(&["kill", &bundle.id, "KILL"]).code, 0);
    assert_eq!(attends.wait().unwrap().code(), Some(137));
    bundle.gone();
}

#[test]
fn a_program_that_ends_before_it_is_ready_keeps_nobody_waiting() {
    let bundle = Bundle::new();
    let waiting = Waiting::new(&bundle);
    bundle.args(&["sh", "-c", "test -S $NOTIFY_SOCKET && touch /tmp/socket"]);
    let mut command = bundle.command(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]);
    command.env("NOTIFY_SOCKET", &waiting.path).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    assert!(bundle.carboy.folder().join("busybox/tmp/socket").exists());
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.gone();
}
