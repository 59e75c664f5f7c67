//! One probe in a container of carboy-runtime and in one of runc: what a process can see of itself and of where it is is
//! the same, for configurations as engines write them and for bare ones.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::bundle::Bundle;
use carboy_e2e::{Person, ended};
use serde_json::{Value, json};

/// Everything that two runtimes can make differently, a line each, with what it is about before it.
const PROBE: &str = r#"
rm -f /tmp/n /tmp/x /x /dev/x 2> /dev/null
say() { while read -r line; do echo "$1: $line"; done; }
grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Umask|SigBlk|SigIgn|NSpid|NSsid|Threads|Speculation_Store_Bypass):' /proc/self/status | say status
id | say id; pwd | say cwd; env | sort | say environment; hostname | say hostname; umask | say umask
cat /proc/self/limits | say limit
sed 's/^[0-9]* [0-9]* [^ ]* [^ ]* \([^ ]* [^ ]*\)\( [^-].*\)* - \([^ ]*\) .*/\1 \3/' /proc/self/mountinfo | sort | say mount
stat -c '%A %u %g %n' / /bin /etc/passwd | say file
stat -c '%A %u %g %t:%T %n' /dev/* /dev/pts/ptmx | sort | say device
ls /proc/self/fd | say descriptor
for kind in pid net ipc uts mnt cgroup user time; do
  [ "$(readlink /proc/self/ns/$kind)" = "$(eval echo \$HOST_$kind)" ] && echo "namespace: $kind is the host's"
done
for file in oom_score_adj uid_map gid_map setgroups timens_offsets coredump_filter personality loginuid; do cat /proc/self/$file 2>&1 | say $file; done
cut -d' ' -f5-7 /proc/1/stat | say session
grep -v '^0::' /proc/self/cgroup | sed 's/^[0-9]*://' | sort | say group
for setting in net/ipv4/ip_forward net/ipv4/ping_group_range net/core/somaxconn kernel/shmmax kernel/msgmax kernel/hostname kernel/domainname; do
  cat /proc/sys/$setting 2>&1 | say $setting
done
for path in /proc/kcore /proc/keys /proc/timer_list /proc/scsi /sys/firmware; do ls -A $path 2>&1 | wc -l | say "$path"; head -c 1 $path 2>/dev/null | wc -c | say "$path"; done
for path in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/x /x /dev/x /tmp/x; do ( : > $path ) 2>&1 | say "writes"; done
tty | say terminal; stty size 2>&1 | say terminal; ls -l /dev/console 2>/dev/null | cut -c1 | say console
for call in 'unshare -m true' 'unshare -U true' 'mount -t tmpfs none /tmp' 'chroot / true' 'mknod /tmp/n c 1 3' 'hostname x' 'date -s 1' 'renice -n -5 1' 'chown 5 /tmp' 'kill -0 1'; do
  sh -c "$call" > /dev/null 2>&1; echo "call: $call gives $?"
done
"#;

/// The environment by which the probe knows the host's namespaces.
fn hosts() -> Vec<String> {
    let kinds = ["pid", "net", "ipc", "uts", "mnt", "cgroup", "user", "time"];
    let link = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    kinds.iter().map(|kind| format!("HOST_{kind}='{}'", link(kind))).collect()
}

/// The same bundle under both; the lines that differ would be the answer.
fn agree(bundle: &Bundle) {
    let script = format!("{}\n{PROBE}", hosts().join("\n"));
    bundle.args(&["sh", "-c", &script]);
    let terminal = bundle.config()["process"]["terminal"] == true;
    let run = |mut command: Command| {
        if terminal {
            let seen = Person::new(24, 80).start(&command).end();
            return seen.stdout;
        }
        let ended = ended(command.stdin(Stdio::null()));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    let ours = run(bundle.command(&["run", "--bundle", bundle.path(), &bundle.id]));
    let mut runc = Command::new("runc");
    runc.arg("--root").arg(bundle.carboy.folder().join("runc")).args(["run", "--bundle", bundle.path(), &bundle.id]);
    let theirs = run(runc);
    // runc's process has another number and what Go leaves ignored. It covers files with the container's own /dev/null, leaves
    // v2 out beside v1 and the folder of the groups writable, and makes the ipc namespace after the user namespace.
    let own =
        ["status: NSpid", "status: SigIgn", "mount: /proc/keys", "mount: /proc/timer_list", "mount: /sys/fs/cgroup"];
    let shown = |line: &&str| !own.iter().any(|prefix| line.starts_with(prefix)) && !line.ends_with(" /dev/mqueue");
    let lines = |text: &str| text.lines().map(str::trim_end).filter(shown).map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (lines(&ours), lines(&theirs));
    assert!(ours.len() > 100, "the probe has run: {ours:?}");
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    assert_eq!(only(&ours, &theirs), only(&theirs, &ours));
    bundle.gone();
}

/// As Docker writes it, its seccomp profile included.
fn as_docker_writes_it(config: &mut Value) {
    let names: Vec<String> = seccomp::DOCKER_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
    let profile = seccomp::docker_default(&names, seccomp::Arch::NATIVE, (6, 1));
    config["process"]["capabilities"] = json!({"bounding": names, "effective": names, "permitted": names});
    config["process"]["noNewPrivileges"] = json!(false);
    config["process"]["oomScoreAdj"] = json!(500);
    config["root"]["readonly"] = json!(false);
    config["linux"]["seccomp"] = serde_json::to_value(profile).unwrap();
    config["linux"]["sysctl"] =
        json!({"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"});
}

#[test]
fn what_is_seen_is_the_same_as_docker_writes_it() {
    let bundle = Bundle::new();
    bundle.change(as_docker_writes_it);
    agree(&bundle);
}

#[test]
fn what_is_seen_is_the_same_for_a_user_who_is_not_root_in_a_root_that_is_read_only() {
    let bundle = Bundle::new();
    bundle.change(|config| {
        config["process"]["user"] = json!({"uid": 1000, "gid": 1000, "additionalGids": [29, 44], "umask": 63});
        config["process"]["cwd"] = json!("/tmp");
        config["process"]["rlimits"] =
            json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    });
    agree(&bundle);
}

#[test]
fn what_is_seen_is_the_same_in_a_user_namespace() {
    let bundle = Bundle::new();
    let shifted = Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.carboy.busybox()).status();
    assert!(shifted.unwrap().success());
    assert!(Command::new("chmod").arg("755").arg(bundle.path()).status().unwrap().success());
    bundle.change(|config| {
        as_docker_writes_it(config);
        config["linux"].as_object_mut().unwrap().remove("sysctl");
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    agree(&bundle);
}

#[test]
fn what_is_seen_is_the_same_at_a_terminal() {
    let bundle = Bundle::new();
    bundle.change(|config| {
        config["process"]["terminal"] = json!(true);
        config["process"]["consoleSize"] = json!({"height": 24, "width": 80});
    });
    agree(&bundle);
}

#[test]
fn what_is_seen_is_the_same_for_a_configuration_with_next_to_nothing_in_it() {
    let bundle = Bundle::new();
    let kinds = |kinds: &[&str]| kinds.iter().map(|kind| json!({"type": kind})).collect::<Vec<_>>();
    let all = ["mount", "pid", "network", "ipc", "uts", "cgroup"];
    for namespaces in [kinds(&["mount", "pid"]), kinds(&all)] {
        bundle.change(|config| {
            let group = config["linux"]["cgroupsPath"].clone();
            *config = json!({
                "ociVersion": "1.0.0",
                "root": {"path": "busybox"},
                "process": {"cwd": "/", "args": ["true"], "env": ["PATH=/bin"]},
                "mounts": [{"destination": "/proc", "type": "proc"}],
                "linux": {"cgroupsPath": group, "namespaces": namespaces},
            });
        });
        agree(&bundle);
    }
}
