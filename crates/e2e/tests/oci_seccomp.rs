//! linux.seccomp on this kernel: listeners that decide about system calls, flags, errnos, what is refused, and that
//! `features` claims nothing that cannot be had. Runtime specification, config-linux.md "Seccomp".
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use carboy_e2e::bundle::Bundle;
use rustix::io::Errno;
use seccomp::{Arch, call_name};
use serde_json::{Value, json};
use sys::seccomp::Answer;

/// Somebody who decides about system calls: mkdir fails with EXIST, all others are made.
struct Agent {
    path: PathBuf,
    /// What came with each descriptor.
    states: Receiver<Value>,
    /// The calls that were asked about.
    calls: Receiver<&'static str>,
}

impl Agent {
    fn new(bundle: &Bundle) -> Self {
        let path = bundle.carboy.folder().join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        let ((to_states, states), (to_calls, calls)) = (channel(), channel());
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                let mut message = [0; 8192];
                let (length, passed) = sys::socket::receive(connection.as_fd(), &mut message).unwrap();
                assert_eq!(sys::socket::receive(connection.as_fd(), &mut [0; 1]).unwrap().0, 0, "it is closed");
                to_states.send(serde_json::from_slice(&message[..length]).unwrap()).unwrap();
                let to_calls = to_calls.clone();
                thread::spawn(move || {
                    let listener: OwnedFd = passed.unwrap();
                    while let Ok(asked) = sys::seccomp::asked(listener.as_fd()) {
                        let name = call_name(asked.number.cast_unsigned(), Arch::NATIVE).unwrap();
                        let is_mkdir = matches!(name, "mkdir" | "mkdirat");
                        let answer = if is_mkdir { Answer::Fail(Errno::EXIST) } else { Answer::Continue };
                        let _ = (to_calls.send(name), sys::seccomp::answer(listener.as_fd(), asked.id, answer));
                    }
                });
            }
        });
        Self { path, states, calls }
    }

    fn state(&self) -> Value {
        self.states.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn profile(&self, names: &[&str]) -> Value {
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": self.path,
            "listenerMetadata": "for the agent",
            "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}],
        })
    }
}

/// What a runtime itself does between the filter and the program, as far as anybody can be asked about it.
const OWN_CALLS: [&str; 12] = [
    "mkdir",
    "mkdirat",
    "sendmsg",
    "read",
    "close",
    "close_range",
    "execve",
    "chdir",
    "getcwd",
    "prctl",
    "capset",
    "setresuid",
];

#[test]
fn a_listener_decides_about_the_calls_of_the_first_process_and_of_those_that_enter() {
    let bundle = Bundle::new();
    let agent = Agent::new(&bundle);
    for no_new_privileges in [false, true] {
        bundle.args(&["sh", "-c", "mkdir /tmp/x 2> /tmp/said; sleep 1000"]);
        bundle.change(|config| {
            config["root"]["readonly"] = json!(false);
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
            config["annotations"] = json!({"a": "b"});
            config["linux"]["seccomp"] = agent.profile(&OWN_CALLS);
        });
        bundle.create();
        let state = agent.state();
        let pid = bundle.state()["pid"].clone();
        assert_eq!((&state["fds"], &state["metadata"]), (&json!(["seccompFd"]), &json!("for the agent")));
        assert_eq!((&state["ociVersion"], &state["pid"]), (&json!("1.3.0"), &pid));
        let told = &state["state"];
        assert_eq!((&told["id"], &told["status"], &told["pid"]), (&json!(bundle.id), &json!("creating"), &pid));
        assert_eq!((&told["bundle"], &told["annotations"]), (&json!(bundle.path()), &json!({"a": "b"})));
        assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
        let said = bundle.carboy.folder().join("busybox/tmp/said");
        carboy_e2e::eventually("mkdir has failed", || {
            std::fs::read_to_string(&said).is_ok_and(|said| said.contains("File exists"))
        });
        let exec = bundle.run(&["exec", &bundle.id, "mkdir", "/tmp/y"]);
        assert!(exec.stderr.contains("File exists"), "{}", exec.stderr);
        let state = agent.state();
        assert_eq!((&state["state"]["status"], &state["state"]["pid"]), (&json!("running"), &pid));
        assert_ne!(state["pid"], pid, "it is another process of the same container");
        assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
        std::fs::remove_file(said).unwrap();
        bundle.gone();
    }
    let calls: Vec<_> = agent.calls.try_iter().collect();
    assert!(calls.contains(&"mkdir") || calls.contains(&"mkdirat"), "{calls:?}");
    assert!(calls.contains(&"execve") && calls.contains(&"read"), "the runtime's own calls too: {calls:?}");
}

#[test]
fn a_listener_that_nobody_has_is_an_error_and_nothing_is_left() {
    let bundle = Bundle::new();
    let refused = |profile: Value| {
        bundle.change(|config| config["linux"]["seccomp"] = profile);
        let ended = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
        bundle.gone();
        ended.stderr
    };
    let path = bundle.carboy.folder().join("nobody");
    let profile = |default: &str, name: &str| json!({"defaultAction": default, "listenerPath": path, "syscalls": [{"names": [name], "action": "SCMP_ACT_NOTIFY"}]});
    let said = refused(profile("SCMP_ACT_ALLOW", "mkdir"));
    assert!(said.contains("linux.seccomp.listenerPath") && said.contains("No such file or directory"), "{said}");
    let said = refused(profile("SCMP_ACT_ALLOW", "write"));
    assert!(said.contains("linux.seccomp.syscalls[0].names write: cannot be SCMP_ACT_NOTIFY"), "{said}");
    let said = refused(profile("SCMP_ACT_NOTIFY", "mkdir"));
    assert!(said.contains("linux.seccomp.defaultAction SCMP_ACT_NOTIFY"), "{said}");
    let mut without = profile("SCMP_ACT_ALLOW", "mkdir");
    without.as_object_mut().unwrap().remove("listenerPath");
    let said = refused(without);
    assert!(said.contains("linux.seccomp.listenerPath: is missing"), "{said}");
}

/// A profile that allows everything but what `rules` say.
fn run_under(bundle: &Bundle, profile: Value, args: &[&str]) -> carboy_e2e::Ended {
    bundle.args(args);
    bundle.change(|config| config["linux"]["seccomp"] = profile);
    let ended = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    bundle.gone();
    ended
}

#[test]
fn errnos_arguments_and_unknown_names_are_as_the_profile_has_them() {
    let bundle = Bundle::new();
    let rules = json!([
        {"names": ["getppid", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 33},
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95, "args": [{"index": 1, "value": 12, "op": "SCMP_CMP_EQ"}]},
        {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"},
    ]);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
    let script = "kill -12 1; kill -0 1 && echo allowed; hostname x; echo $?";
    let ended = run_under(&bundle, profile, &["sh", "-c", script]);
    assert_eq!(ended.stdout, "allowed\n159\n", "{}", ended.stderr);
    assert!(ended.stderr.contains("Not supported") || ended.stderr.contains("not supported"), "{}", ended.stderr);
}

#[test]
fn a_filter_without_the_runtimes_own_calls_lets_the_program_run() {
    let bundle = Bundle::new();
    let names = [
        "execve",
        "exit_group",
        "write",
        "read",
        "brk",
        "arch_prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "mprotect",
        "getuid",
        "geteuid",
        "getpid",
        "prlimit64",
        "readlinkat",
        "readlink",
        "getrandom",
        "rt_sigaction",
        "rt_sigprocmask",
        "mmap",
        "munmap",
        "newfstatat",
        "close",
        "prctl",
        "writev",
        // Without no_new_privs the filter comes before the user, as it does in runc.
        "setgroups",
        "setresgid",
        "setresuid",
        "capset",
        "chdir",
        "getcwd",
        "faccessat",
        "faccessat2",
    ];
    for no_new_privileges in [false, true] {
        bundle.change(|config| config["process"]["noNewPrivileges"] = json!(no_new_privileges));
        let profile =
            json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": names[..], "action": "SCMP_ACT_ALLOW"}]});
        let ended = run_under(&bundle, profile, &["echo", "it runs"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "it runs\n"), "{}", ended.stderr);
    }
}

#[test]
fn a_filter_that_forbids_to_ask_for_the_working_directory_lets_it_be_set_and_nothing_lead_out() {
    let bundle = Bundle::new();
    let profile = || {
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"}],
        })
    };
    for (cwd, leads_there) in [("/tmp", true), ("/proc/self/root", false)] {
        bundle.change(|config| config["process"]["cwd"] = json!(cwd));
        let ended = run_under(&bundle, profile(), &["readlink", "/proc/self/cwd"]);
        assert_eq!((ended.code == 0, ended.stdout == "/tmp\n"), (leads_there, leads_there), "{}", ended.stderr);
        assert!(leads_there || ended.stderr.contains("/proc/self/root"), "{}", ended.stderr);
    }
}

#[test]
fn what_features_claims_of_seccomp_is_accepted_and_nothing_else_is() {
    let bundle = Bundle::new();
    let features: Value = serde_json::from_str(&bundle.run(&["features"]).stdout).unwrap();
    let claims = features["linux"]["seccomp"].clone();
    let words = |name: &str| -> Vec<String> { serde_json::from_value(claims[name].clone()).unwrap() };
    assert_eq!(claims["enabled"], true);
    let agent = Agent::new(&bundle);
    let accepted = |change: &dyn Fn(&mut Value)| {
        let mut profile = agent.profile(&["mkdir"]);
        profile["syscalls"][0]["action"] = json!("SCMP_ACT_LOG");
        profile["flags"] = json!([]);
        change(&mut profile);
        let ended = run_under(&bundle, profile, &["true"]);
        (ended.code == 0, ended.stderr)
    };
    for action in words("actions") {
        let (works, said) = accepted(&|profile| profile["syscalls"][0]["action"] = json!(action));
        assert!(works, "{action}: {said}");
    }
    for operator in words("operators") {
        let argument = json!([{"index": 0, "value": 1, "valueTwo": 1, "op": operator}]);
        let (works, said) = accepted(&|profile| profile["syscalls"][0]["args"] = argument.clone());
        assert!(works, "{operator}: {said}");
    }
    let (works, said) = accepted(&|profile| profile["architectures"] = json!(words("archs")));
    assert!(works, "{said}");
    for flag in words("supportedFlags") {
        let (works, said) = accepted(&|profile| {
            profile["flags"] = json!([flag]);
            profile["syscalls"][0]["action"] = json!("SCMP_ACT_NOTIFY");
        });
        assert!(works, "{flag}: {said}");
    }
    assert!(words("supportedFlags").iter().all(|flag| words("knownFlags").contains(flag)));
    type Case = (&'static str, fn(&mut Value));
    let cases: [Case; 4] = [
        ("linux.seccomp.syscalls[0].action", |profile| profile["syscalls"][0]["action"] = json!("SCMP_ACT_NEW")),
        ("linux.seccomp.architectures[0]", |profile| profile["architectures"] = json!(["SCMP_ARCH_NEW"])),
        ("linux.seccomp.flags[0]", |profile| profile["flags"] = json!(["SECCOMP_FILTER_FLAG_NEW"])),
        ("linux.seccomp.syscalls[0].args[0].op", |profile| {
            profile["syscalls"][0]["args"] = json!([{"index": 0, "value": 1, "op": "SCMP_CMP_NEW"}]);
        }),
    ];
    for (field, change) in cases {
        let (works, said) = accepted(&change);
        assert!(!works && said.contains(field), "{field}: {said}");
    }
}
