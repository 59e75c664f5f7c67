//! The life of a container as the runtime specification's own suites look at it: which operation is allowed in which
//! state, what hooks are told and when, what must not be applied too early. Runtime specification, runtime.md.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::Command;

use carboy_e2e::bundle::Bundle;
use carboy_e2e::{ended, eventually};
use serde_json::json;

/// What a program of busybox calls, as a profile has it that was written before faccessat2 and close_range.
const OLD_CALLS: [&str; 45] = [
    "access",
    "arch_prctl",
    "brk",
    "capset",
    "chdir",
    "clone",
    "close",
    "dup",
    "dup2",
    "execve",
    "exit",
    "exit_group",
    "faccessat",
    "fcntl",
    "fstat",
    "getcwd",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "getuid",
    "ioctl",
    "lseek",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "open",
    "openat",
    "prctl",
    "read",
    "readlink",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "set_tid_address",
    "setgid",
    "setgroups",
    "setresgid",
    "setresuid",
    "stat",
    "uname",
    "write",
];

#[test]
fn a_filter_that_is_older_than_the_runtimes_own_calls_does_not_keep_a_program_from_running() {
    let bundle = Bundle::new();
    bundle.args(&["echo", "it runs"]);
    bundle.change(|config| {
        let rule = json!({"names": OLD_CALLS.to_vec(), "action": "SCMP_ACT_ALLOW"});
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]});
    });
    for no_new_privileges in [false, true] {
        bundle.change(|config| config["process"]["noNewPrivileges"] = json!(no_new_privileges));
        let ran = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "it runs\n"), "{}", ran.stderr);
    }
    bundle.gone();
}

/// The mounts of a process's namespace, as mountinfo tells them but for their ids.
fn mounts(pid: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap().to_owned()).collect()
}

/// Gives the container no new mount namespace, but none or that of a file.
fn share_mounts(bundle: &Bundle, path: Option<&str>) {
    bundle.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "mount");
        namespaces.extend(path.map(|path| json!({"type": "mount", "path": path})));
    });
}

#[test]
fn a_container_in_the_hosts_mount_namespace_changes_no_mount_outside_its_roots_folder_and_leaves_none() {
    let bundle = Bundle::new();
    share_mounts(&bundle, None);
    bundle.args(&["sleep", "1000"]);
    // This process may share a namespace with tests beside it, which mount for themselves.
    let own = |pid: &str| mounts(pid).into_iter().filter(|line| line.contains(bundle.path())).count();
    let root = || mounts("self").into_iter().find(|line| line.split(' ').nth(2) == Some("/")).unwrap();
    let before = root();
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap();
    let pid = bundle.state()["pid"].to_string();
    assert_eq!(namespace(&pid), namespace("self"));
    assert!(own("self") > 1, "the root and what is mounted below it");
    assert_eq!(root(), before, "what the host's root takes part in");
    let folder = bundle.carboy.folder().join("busybox");
    assert_eq!(fs::read_link(format!("/proc/{pid}/root")).unwrap(), folder);
    let exec = bundle.run(&["exec", &bundle.id, "ls", "/proc/self/exe", "/etc/passwd", "/usr"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (1, "/etc/passwd\n/proc/self/exe\n"), "{}", exec.stderr);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert_eq!(own("self"), 0);
    bundle.gone();
}

#[test]
fn what_covers_the_roots_folder_and_is_not_the_containers_stays_when_it_is_deleted() {
    let bundle = Bundle::new();
    share_mounts(&bundle, None);
    bundle.args(&["sleep", "1000"]);
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    let folder = bundle.carboy.folder().join("busybox");
    let mount = |words: &[&str]| assert_eq!(ended(Command::new("mount").args(words).arg(&folder)).code, 0);
    mount(&["-t", "tmpfs", "another"]);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    let covers = |line: &String| line.contains(" - tmpfs another ") && line.contains(bundle.path());
    assert!(mounts("self").iter().any(covers));
    for _ in 0..2 {
        assert_eq!(ended(Command::new("umount").arg("--lazy").arg(&folder)).code, 0);
    }
    bundle.gone();
}

#[test]
fn a_container_in_a_joined_mount_namespace_leaves_the_others_in_it_their_root() {
    let bundle = Bundle::new();
    let mut other = Command::new("unshare").args(["--mount", "sleep", "1000"]).spawn().unwrap();
    let pid = other.id().to_string();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap();
    eventually("it sleeps", || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "sleep\n");
    let before = mounts(&pid);
    share_mounts(&bundle, Some(&format!("/proc/{pid}/ns/mnt")));
    bundle.args(&["sleep", "1000"]);
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    assert_eq!(namespace(&bundle.state()["pid"].to_string()), namespace(&pid));
    assert!(mounts(&pid).len() > before.len());
    assert!(fs::exists(format!("/proc/{pid}/root/usr/bin/unshare")).unwrap());
    let exec = bundle.run(&["exec", &bundle.id, "ls", "/etc/passwd", "/usr"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (1, "/etc/passwd\n"), "{}", exec.stderr);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert_eq!(mounts(&pid), before);
    bundle.gone();
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn the_root_of_a_user_namespace_may_mount_nothing_in_the_hosts_mount_namespace() {
    let bundle = Bundle::new();
    share_mounts(&bundle, None);
    bundle.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
        let map = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    let refused = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("linux.namespaces"), "{}", refused.stderr);
    bundle.gone();
}
