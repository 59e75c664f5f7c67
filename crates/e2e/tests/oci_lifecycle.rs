//! The life of a container as the runtime specification's own suites look at it: which operation is allowed in which
//! state, what hooks are told and when, what must not be applied too early. Runtime specification, runtime.md.

use carboy_e2e::bundle::Bundle;
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

#[test]
fn a_container_without_a_mount_namespace_of_its_own_is_refused() {
    let bundle = Bundle::new();
    bundle.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "mount");
    });
    let refused = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("linux.namespaces"), "{}", refused.stderr);
    bundle.gone();
}
