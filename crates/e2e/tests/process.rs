//! What a container's process is, has and may do: Docker's flags with Docker's meaning. credentials(7), capabilities(7),
//! seccomp(2), mount(8).
#![expect(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use carboy_e2e::{Attended, Carboy, Ended};

/// Docker's fourteen.
const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;

/// Runs a shell script in a container of the small root with these flags.
fn script(carboy: &Carboy, flags: &[&str], script: &str) -> Ended {
    let root = carboy.busybox();
    let words = ["run", "--rm"].into_iter().chain(flags.iter().copied());
    carboy.run(words.chain([root.to_str().unwrap(), "sh", "-c", script]))
}

/// The same for a script that ends well and says nothing on standard error: what it prints.
fn printed(carboy: &Carboy, flags: &[&str], script: &str) -> String {
    let ended = self::script(carboy, flags, script);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{flags:?} {script}\n{}", ended.stdout);
    ended.stdout
}

/// A field of /proc/self/status inside.
fn status(carboy: &Carboy, flags: &[&str], field: &str) -> String {
    let root = carboy.busybox();
    let words = ["run", "--rm"].into_iter().chain(flags.iter().copied());
    let ended = carboy.run(words.chain([root.to_str().unwrap(), "cat", "/proc/self/status"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{flags:?}");
    let line = ended.stdout.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {}", ended.stdout)).trim().to_owned()
}

fn mask(carboy: &Carboy, flags: &[&str], field: &str) -> u64 {
    u64::from_str_radix(&status(carboy, flags, field), 16).unwrap()
}

fn fails(ended: &Ended, words: &str) {
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains(words), "{ended:?}");
}

#[test]
fn the_environment_is_dockers_and_what_was_asked() {
    let carboy = Carboy::new();
    let lines = |flags: &[&str]| {
        let text = printed(&carboy, flags, "env");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // These are the shell's own.
        lines.retain(|line| !["SHLVL=", "PWD=", "_="].iter().any(|own| line.starts_with(own)));
        lines.sort();
        lines
    };
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines(&["-h", "box"]), ["HOME=/root", "HOSTNAME=box", path]);
    let file = carboy.folder().join("vars");
    fs::write(&file, "# comment\n\nA=from the file\nB=two=parts\n").unwrap();
    let file = file.to_str().unwrap();
    let flags =
        ["-h", "box", "--env-file", file, "-e", "A=1", "--env", "C=", "-e", "PATH=/bin", "-e", "CARBOY_NOT_SET"];
    assert_eq!(lines(&flags), ["A=1", "B=two=parts", "C=", "HOME=/root", "HOSTNAME=box", "PATH=/bin"]);
    let root = carboy.busybox();
    let mut command = carboy.command(["run", "--rm", "-e", "MINE", root.to_str().unwrap(), "sh", "-c", "echo $MINE"]);
    assert_eq!(carboy_e2e::ended(command.env("MINE", "of the caller")).stdout, "of the caller\n");
    let mut command = carboy.command(["run", "--rm", root.to_str().unwrap(), "sh", "-c", "echo $MINE"]);
    assert_eq!(carboy_e2e::ended(command.env("MINE", "of the caller")).stdout, "\n");
}

#[test]
fn the_folder_that_a_command_starts_in_is_made_where_it_is_missing() {
    let carboy = Carboy::new();
    assert_eq!(printed(&carboy, &[], "pwd"), "/\n");
    assert_eq!(printed(&carboy, &["-w", "/etc"], "pwd"), "/etc\n");
    assert_eq!(printed(&carboy, &["--workdir", "/new/deep"], "pwd"), "/new/deep\n");
}

#[test]
fn user_groups_and_home_are_those_of_the_containers_passwd() {
    let carboy = Carboy::new();
    let who = |flags: &[&str]| printed(&carboy, flags, "echo $(id -u):$(id -g) $(id -G) $HOME");
    assert_eq!(who(&[]), "0:0 0 /root\n");
    assert_eq!(who(&["-u", "anna"]), "1000:1000 1000 29 /home/anna\n");
    assert_eq!(who(&["-u", "1000"]), "1000:1000 1000 29 /home/anna\n");
    assert_eq!(who(&["-u", "anna:video"]), "1000:44 44 /home/anna\n");
    assert_eq!(who(&["--user", "4242:77"]), "4242:77 77 /\n");
    assert_eq!(who(&["-u", "4242"]), "4242:0 0 /\n");
    assert_eq!(who(&["-u", "anna", "--group-add", "video", "--group-add", "7"]), "1000:1000 1000 7 29 44 /home/anna\n");
    // The root has no user of the host's but root: a name of the host is none of the container.
    for user in ["daemon", "nobody"] {
        fails(&script(&carboy, &["-u", user], "id"), &format!("--user {user}"));
    }
    assert_eq!(mask(&carboy, &["-u", "anna"], "CapEff"), 0, "a user that is not root has no capability");
    assert_eq!(mask(&carboy, &["-u", "anna"], "CapBnd"), DEFAULT_CAPABILITIES);
}

#[test]
fn names_are_what_was_asked_or_the_short_id() {
    let carboy = Carboy::new();
    let text = printed(&carboy, &["--name", "web-1"], "hostname; cat /proc/sys/kernel/domainname");
    let (host, domain) = text.trim_end().split_once('\n').unwrap();
    assert!(host.len() == 12 && host.bytes().all(|digit| digit.is_ascii_hexdigit()), "{host}");
    assert_eq!(domain, "(none)");
    let flags = ["--hostname", "box.example", "--domainname", "example"];
    assert_eq!(printed(&carboy, &flags, "hostname; cat /proc/sys/kernel/domainname"), "box.example\nexample\n");
    let root = carboy.busybox();
    assert_eq!(carboy.run(["run", "--name", "web-1", root.to_str().unwrap(), "true"]).code, 0);
    assert_eq!(carboy.inspect("web-1")["Name"], "/web-1");
    assert_eq!(carboy.run(["rm", "web-1"]).code, 0);
}

#[test]
fn a_read_only_root_is_read_only_and_its_file_systems_in_memory_are_not() {
    let carboy = Carboy::new();
    let ended = script(&carboy, &["--read-only"], "echo x > /file");
    fails(&ended, "Read-only file system");
    let ended = script(&carboy, &["--read-only"], "mkdir /etc/x");
    fails(&ended, "Read-only file system");
    let write = "echo x > /tmp/file && echo y > /dev/shm/file && cat /tmp/file /dev/shm/file";
    assert_eq!(printed(&carboy, &["--read-only", "--tmpfs", "/tmp"], write), "x\ny\n");
    assert_eq!(printed(&carboy, &[], "echo x > /file; cat /file"), "x\n");
}

#[test]
fn file_systems_in_memory_have_their_size_mode_and_options() {
    let carboy = Carboy::new();
    let options = |flags: &[&str], place: &str| {
        printed(&carboy, flags, &format!("grep ' {place} ' /proc/mounts | cut -d ' ' -f 3,4; stat -c %a {place}"))
    };
    let text = options(&["--tmpfs", "/cache"], "/cache");
    assert!(text.starts_with("tmpfs rw,nosuid,nodev,noexec") && text.ends_with("\n1777\n"), "{text}");
    let text = options(&["--tmpfs", "/cache:size=1m,mode=700,exec"], "/cache");
    assert!(text.contains("size=1024k") && !text.contains("noexec") && text.ends_with("\n700\n"), "{text}");
    let text = options(&["--mount", "type=tmpfs,target=/cache,tmpfs-size=2m,tmpfs-mode=750"], "/cache");
    assert!(text.contains("size=2048k") && text.ends_with("\n750\n"), "{text}");
    let text = options(&[], "/dev/shm");
    assert!(text.contains("size=65536k") && text.ends_with("\n1777\n"), "{text}");
    let text = options(&["--shm-size", "1m"], "/dev/shm");
    assert!(text.contains("size=1024k"), "{text}");
    let ended = script(&carboy, &["--shm-size", "1m"], "dd if=/dev/zero of=/dev/shm/x bs=1M count=2");
    fails(&ended, "No space left on device");
}

#[test]
fn what_is_bound_from_the_host_is_the_hosts_own() {
    let carboy = Carboy::new();
    let shared = carboy.folder().join("shared");
    fs::create_dir_all(shared.join("below")).unwrap();
    fs::write(shared.join("file"), "of the host\n").unwrap();
    let source = shared.display();
    let bound = format!("{source}:/data");
    let script_of = "cat /data/file; echo new > /data/new; test -d /data/below";
    assert_eq!(printed(&carboy, &["-v", &bound], script_of), "of the host\n");
    assert_eq!(fs::read_to_string(shared.join("new")).unwrap(), "new\n");

    for flag in
        [["-v", &format!("{source}:/data:ro")], ["--mount", &format!("type=bind,src={source},dst=/data,readonly")]]
    {
        fails(&script(&carboy, &flag, "cat /data/file; echo x > /data/other"), "Read-only file system");
        fails(&script(&carboy, &flag, "mount -o remount,rw,bind /data"), "");
    }
    assert!(!shared.join("other").exists());

    let one = format!("{source}/file:/etc/motd:ro");
    assert_eq!(printed(&carboy, &["-v", &one], "cat /etc/motd; test -f /etc/motd"), "of the host\n");
    let long = format!("type=bind,source={source}/file,target=/made/here");
    assert_eq!(printed(&carboy, &["--mount", &long], "echo changed > /made/here"), "");
    assert_eq!(fs::read_to_string(shared.join("file")).unwrap(), "changed\n");

    // One mount within another, in whichever order they are given.
    let nested = [format!("{source}/file:/data/below/file"), bound, format!("{source}/below:/data/deep/er:ro")];
    let flags: Vec<&str> = nested.iter().flat_map(|bind| ["-v", bind.as_str()]).collect();
    fs::write(shared.join("below/one"), "").unwrap();
    assert_eq!(printed(&carboy, &flags, "cat /data/below/file; ls /data/deep/er"), "changed\nfile\none\n");
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
    assert!(!carboy.busybox().join("data").exists() && !carboy.busybox().join("made").exists());
}

#[test]
fn a_link_in_the_root_does_not_lead_a_mount_out_of_it() {
    let carboy = Carboy::new();
    let (root, outside) = (carboy.busybox(), carboy.folder().join("outside"));
    fs::create_dir_all(root.join("inside")).unwrap();
    fs::create_dir(&outside).unwrap();
    for (link, target) in [("one", "/inside"), ("two", "../../../../../../inside")] {
        symlink(target, root.join(link)).unwrap();
        let flag = format!("/etc:/{link}/{link}");
        assert_eq!(
            printed(&carboy, &["-v", &flag], &format!("ls /inside; test -e /{link}/{link}/passwd")),
            format!("{link}\n")
        );
    }
    // What is on the host is not there in the root, so that there is no folder that the link leads to.
    symlink(&outside, root.join("gone")).unwrap();
    let _ = script(&carboy, &["-v", "/etc:/gone/etc"], "true");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing was made outside of the root");
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn resource_limits_of_processes_are_what_was_asked() {
    let carboy = Carboy::new();
    let flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=64"];
    let text = printed(&carboy, &flags, "cat /proc/self/limits");
    let limit = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max open files"), ["100", "200"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max processes"), ["64", "64"]);
}

#[test]
fn kernel_settings_are_those_of_the_containers_namespaces() {
    let carboy = Carboy::new();
    let forward = "/proc/sys/net/ipv4/conf/all/forwarding";
    let before = fs::read_to_string(forward).unwrap();
    let flags = ["--sysctl", "net.ipv4.conf.all.forwarding=1", "--sysctl", "kernel.shmmni=77"];
    let text = printed(&carboy, &flags, &format!("cat {forward} /proc/sys/kernel/shmmni"));
    assert_eq!(text, "1\n77\n");
    assert_eq!(fs::read_to_string(forward).unwrap(), before);
    fails(&script(&carboy, &[], "echo 1 > /proc/sys/kernel/shmmni"), "Read-only file system");
}

#[test]
fn capabilities_are_dockers_fourteen_and_can_be_added_and_dropped() {
    let carboy = Carboy::new();
    const CHOWN: u64 = 1;
    const NET_ADMIN: u64 = 1 << 12;
    for field in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(mask(&carboy, &[], field), DEFAULT_CAPABILITIES, "{field}");
    }
    for field in ["CapInh", "CapAmb"] {
        assert_eq!(mask(&carboy, &[], field), 0, "{field}");
    }
    let effective = |flags: &[&str]| mask(&carboy, flags, "CapEff");
    assert_eq!(effective(&["--cap-add", "NET_ADMIN"]), DEFAULT_CAPABILITIES | NET_ADMIN);
    assert_eq!(effective(&["--cap-add", "cap_net_admin"]), DEFAULT_CAPABILITIES | NET_ADMIN);
    assert_eq!(effective(&["--cap-drop", "CHOWN"]), DEFAULT_CAPABILITIES & !CHOWN);
    assert_eq!(effective(&["--cap-drop", "ALL"]), 0);
    assert_eq!(effective(&["--cap-drop", "ALL", "--cap-add", "CHOWN"]), CHOWN);
    let all = effective(&["--cap-add", "ALL"]);
    assert_eq!(all, effective(&["--privileged"]));
    assert_eq!(all & DEFAULT_CAPABILITIES, DEFAULT_CAPABILITIES);
    assert_eq!(effective(&["--cap-add", "ALL", "--cap-drop", "NET_ADMIN"]), all & !NET_ADMIN);
}

/// A program that does with system calls what the small root has no command for: `personality`, `keyctl`, `ptrace`,
/// `unshare`, `mount` in the words of its argument; it prints the errno.
const PROBE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static long call(const char *name) {
    if (!strcmp(name, "unshare")) return unshare(CLONE_NEWUSER);
    if (!strcmp(name, "mount")) return mount("none", "/tmp", "tmpfs", 0, 0);
    if (!strcmp(name, "keyctl")) return syscall(SYS_keyctl, 0, -3, 0);
    if (!strcmp(name, "add_key")) return syscall(SYS_add_key, "user", "k", "v", 1, -2);
    if (!strcmp(name, "personality-linux32")) return personality(PER_LINUX32) < 0 ? -1 : 0;
    if (!strcmp(name, "personality-norandom")) return personality(ADDR_NO_RANDOMIZE) < 0 ? -1 : 0;
    if (!strcmp(name, "ptrace")) return ptrace(PTRACE_TRACEME, 0, 0, 0);
    if (!strcmp(name, "clone-user")) return syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0) == 0 ? (_exit(0), 0) : -(errno != 0);
    if (!strcmp(name, "clone3")) return syscall(SYS_clone3, 0, 0);
    if (!strcmp(name, "bpf")) return syscall(SYS_bpf, 0, 0, 0);
    if (!strcmp(name, "open_by_handle_at")) return syscall(SYS_open_by_handle_at, -1, 0, 0);
    if (!strcmp(name, "reboot")) return syscall(SYS_reboot, 0, 0, 0, 0);
    if (!strcmp(name, "kexec_load")) return syscall(SYS_kexec_load, 0, 0, 0, ~0ul);
    if (!strcmp(name, "swapon")) return syscall(SYS_swapon, "/", 0);
    if (!strcmp(name, "userfaultfd")) return syscall(SYS_userfaultfd, 1 << 20);
    if (!strcmp(name, "io_uring_setup")) return syscall(SYS_io_uring_setup, 0, 0);
    if (!strcmp(name, "chmod")) return chmod("/made", 0600);
    if (!strcmp(name, "euid")) { printf("%d", geteuid()); return 0; }
    return -2;
}
int main(int count, char **words) {
    for (int at = 1; at < count; at++) {
        errno = 0;
        long got = call(words[at]);
        printf("%s=%s\n", words[at], got == -2 ? "unknown" : got < 0 ? strerrorname_np(errno) : "ok");
    }
}
"#;

/// The small root with the probe in /bin.
fn probe(carboy: &Carboy) -> String {
    let root = carboy.busybox();
    let source = carboy.folder().join("probe.c");
    fs::write(&source, PROBE).unwrap();
    let output = Command::new("cc").args(["-static", "-o"]).arg(root.join("bin/probe")).arg(&source).output();
    let output = output.expect("install gcc and libc6-dev");
    assert!(output.status.success(), "install gcc and libc6-dev: {}", String::from_utf8_lossy(&output.stderr));
    root.to_str().unwrap().to_owned()
}

fn probed(carboy: &Carboy, root: &str, flags: &[&str], calls: &[&str]) -> Vec<String> {
    let words = ["run", "--rm"].into_iter().chain(flags.iter().copied()).chain([root, "probe"]);
    let ended = carboy.run(words.chain(calls.iter().copied()));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{flags:?}");
    ended.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn the_default_seccomp_profile_refuses_what_dockers_does() {
    let carboy = Carboy::new();
    let root = probe(&carboy);
    assert_eq!(status(&carboy, &[], "Seccomp"), "2");
    let refused = [
        "unshare",
        "mount",
        "keyctl",
        "add_key",
        "personality-norandom",
        "bpf",
        "open_by_handle_at",
        "reboot",
        "kexec_load",
        "swapon",
        "userfaultfd",
        "io_uring_setup",
        "clone-user",
    ];
    for line in probed(&carboy, &root, &[], &refused) {
        assert!(line.ends_with("=EPERM"), "{line}");
    }
    let allowed = ["personality-linux32", "ptrace"];
    assert_eq!(probed(&carboy, &root, &[], &allowed), ["personality-linux32=ok", "ptrace=ok"]);
    // A C library falls back to clone only where clone3 is not there at all.
    assert_eq!(probed(&carboy, &root, &[], &["clone3"]), ["clone3=ENOSYS"]);
}

#[test]
fn seccomp_follows_the_capabilities_that_were_added() {
    let carboy = Carboy::new();
    let root = probe(&carboy);
    let flags = ["--cap-add", "SYS_ADMIN"];
    assert_eq!(
        probed(&carboy, &root, &flags, &["mount", "unshare", "keyctl"]),
        ["mount=ok", "unshare=ok", "keyctl=EPERM"]
    );
}

#[test]
fn seccomp_can_be_left_out_or_given_as_a_file() {
    let carboy = Carboy::new();
    let root = probe(&carboy);
    for flags in [["--security-opt", "seccomp=unconfined"].as_slice(), &["--privileged"]] {
        assert_eq!(status(&carboy, flags, "Seccomp"), "0");
        let got = probed(&carboy, &root, flags, &["personality-norandom", "keyctl", "unshare"]);
        assert_eq!(got, ["personality-norandom=ok", "keyctl=ok", "unshare=ok"]);
    }
    let file = carboy.folder().join("profile.json");
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
        {"names": ["keyctl"], "action": "SCMP_ACT_ERRNO"}]}"#;
    fs::write(&file, profile).unwrap();
    let option = format!("seccomp={}", file.display());
    let flags = ["--security-opt", &option];
    let got = probed(&carboy, &root, &flags, &["chmod", "keyctl", "personality-norandom"]);
    assert_eq!(got, ["chmod=EOPNOTSUPP", "keyctl=EPERM", "personality-norandom=ok"]);
}

#[test]
fn a_setuid_program_works_unless_new_privileges_are_refused() {
    let carboy = Carboy::new();
    let root = probe(&carboy);
    let program = carboy.busybox().join("bin/probe");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    assert_eq!((fs::metadata(&program).unwrap().uid(), status(&carboy, &[], "NoNewPrivs").as_str()), (0, "0"));
    assert_eq!(probed(&carboy, &root, &["-u", "anna"], &["euid"]), ["0euid=ok"]);
    for option in ["no-new-privileges", "no-new-privileges=true"] {
        let flags = ["--security-opt", option, "-u", "anna"];
        assert_eq!(status(&carboy, &flags, "NoNewPrivs"), "1");
        assert_eq!(probed(&carboy, &root, &flags, &["euid"]), ["1000euid=ok"]);
    }
}

#[test]
fn a_privileged_container_has_the_hosts_devices_and_writes_kernel_settings() {
    let carboy = Carboy::new();
    let text = printed(&carboy, &["--privileged"], "test -e /dev/kmsg && echo node; : > /dev/kmsg && echo opened");
    assert_eq!(text, "node\nopened\n");
    let text = printed(&carboy, &["--privileged"], "echo 78 > /proc/sys/kernel/shmmni; cat /proc/sys/kernel/shmmni");
    assert_eq!(text, "78\n");
    assert_ne!(fs::read_to_string("/proc/sys/kernel/shmmni").unwrap(), "78\n");
    let read_only = "grep -c -E '^(proc|sysfs) .* ro[, ]' /proc/mounts";
    assert_eq!(script(&carboy, &["--privileged"], read_only).stdout, "0\n");
    assert_ne!(script(&carboy, &[], read_only).stdout, "0\n");
}

#[test]
fn what_the_kernel_tells_of_the_whole_host_is_hidden() {
    let carboy = Carboy::new();
    let hidden = "for path in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do
            test ! -e $path || head -c 1 $path; done
        for path in /proc/acpi /proc/scsi /sys/firmware; do ls -A $path 2>/dev/null; done; true";
    assert_eq!(printed(&carboy, &[], hidden), "");
    for path in ["/proc/sys/vm/swappiness", "/proc/sysrq-trigger"].into_iter().filter(|path| Path::new(path).exists()) {
        fails(&script(&carboy, &[], &format!("echo 1 > {path}")), "Read-only file system");
    }
    fails(&script(&carboy, &[], "mkdir /sys/fs/cgroup/x"), "Read-only file system");
    fails(&script(&carboy, &[], "echo 1 > /sys/kernel/profiling"), "Read-only file system");
}

#[test]
fn dev_has_its_nodes_and_links_and_nothing_of_the_host() {
    let carboy = Carboy::new();
    let listed =
        printed(&carboy, &[], "ls /dev | tr '\\n' ' '; for link in fd stdin ptmx; do readlink /dev/$link; done");
    let core = if Path::new("/proc/kcore").exists() { "core " } else { "" };
    let expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero \
                    /proc/self/fd\n/proc/self/fd/0\npts/ptmx\n";
    assert_eq!(listed, format!("{core}{expected}"));
}

#[test]
fn the_oom_score_is_what_was_asked_and_lowering_it_needs_a_right() {
    let carboy = Carboy::new();
    assert_eq!(printed(&carboy, &["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500\n");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    let may_lower = u64::from_str_radix(own, 16).unwrap() & (1 << 24) != 0;
    let ended = script(&carboy, &["--oom-score-adj", "-500"], "cat /proc/self/oom_score_adj");
    if may_lower {
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "-500\n"), "{}", ended.stderr);
    } else {
        assert_eq!((ended.code, ended.stdout.as_str()), (125, ""));
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{}", ended.stderr);
        assert!(lines[0].starts_with("error: ") && lines[0].contains("-500"), "{}", ended.stderr);
        assert!(lines[1].starts_with("hint: ") && lines[1].contains("CAP_SYS_RESOURCE"), "{}", ended.stderr);
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn annotations_entrypoint_and_command_are_on_record() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let flags =
        ["run", "--name", "it", "--annotation", "org.example.a=1", "--annotation", "b=x=y", "--entrypoint", "echo"];
    let ended = carboy.run(flags.into_iter().chain([root.to_str().unwrap(), "-n", "said"]));
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "said", ""));
    let document = carboy.inspect("it");
    assert_eq!(document["Config"]["Entrypoint"], serde_json::json!(["echo"]));
    assert_eq!(document["Config"]["Cmd"], serde_json::json!(["-n", "said"]));
    assert_eq!(document["OCIConfig"]["annotations"], serde_json::json!({"org.example.a": "1", "b": "x=y"}));
    assert_eq!(document["State"]["Status"], "exited");
    assert_eq!(carboy.run(["rm", "it"]).code, 0);
}

#[test]
fn files_tell_of_the_container_and_an_old_one_is_never_overwritten() {
    let carboy = Carboy::new();
    let (cid, pid) = (carboy.folder().join("cid"), carboy.folder().join("pid"));
    let root = carboy.busybox();
    let flags =
        ["run", "--rm", "-i", "--name", "it", "--cidfile", cid.to_str().unwrap(), "--pidfile", pid.to_str().unwrap()];
    let words = flags.into_iter().chain([root.to_str().unwrap(), "sh", "-c", "echo ready; read -r go"]);
    let mut container = Attended::start(&mut carboy.command(words));
    assert_eq!(container.line(), "ready");
    let document = carboy.inspect("it");
    assert_eq!(fs::read_to_string(&cid).unwrap(), document["Id"].as_str().unwrap());
    // The PID is written when the command tells of the start, which the container's own output does not wait for.
    let written = || fs::read_to_string(&pid).unwrap_or_default();
    while written().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(written().trim(), document["State"]["Pid"].to_string());
    container.tell("go");
    assert_eq!(container.end().code, 0);
    for flag in ["--cidfile", "--pidfile"] {
        let ended = script(&carboy, &[flag, cid.to_str().unwrap()], "echo ran");
        assert_eq!((ended.code, ended.stdout.as_str()), (125, ""));
        fails(&ended, "exists already");
    }
    let kept = fs::read_to_string(&cid).unwrap();
    assert_eq!(kept, document["Id"].as_str().unwrap());
}

#[test]
fn a_container_whose_file_cannot_be_had_does_not_run() {
    let carboy = Carboy::new();
    for flag in ["--cidfile", "--pidfile"] {
        let ended = script(&carboy, &[flag, "/nowhere/file"], "echo ran; sleep 1000");
        assert_eq!((ended.code, ended.stdout.as_str()), (125, ""));
        fails(&ended, flag);
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    }
    let file = carboy.folder().join("file");
    for flag in ["--cidfile", "--pidfile"] {
        let ended = script(&carboy, &[flag, file.to_str().unwrap(), "-u", "nobody"], "echo ran");
        assert_eq!((ended.code, file.exists()), (125, false), "the file of a container that is not is gone");
    }
}
