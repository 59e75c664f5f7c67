//! `carboy-runtime features` tells the truth: each claim is tried. Runtime specification, features.md, features-linux.md.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::net::UnixListener;

use carboy_e2e::Ended;
use carboy_e2e::bundle::Bundle;
use serde_json::{Value, json};

fn features(bundle: &Bundle) -> Value {
    let ended = bundle.run(&["features"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    serde_json::from_str(&ended.stdout).unwrap()
}

/// The words of a list.
fn words(features: &Value, pointer: &str) -> Vec<String> {
    let list = features.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn run(bundle: &Bundle, script: &str) -> Ended {
    bundle.args(&["sh", "-c", script]);
    bundle.run(&["run", "--bundle", bundle.path(), &bundle.id])
}

#[test]
fn every_version_between_the_claimed_ones_is_taken() {
    let bundle = Bundle::new();
    let features = features(&bundle);
    let explains = |version: &str| {
        bundle.change(|config| config["ociVersion"] = json!(version));
        bundle.run(&["explain", "--bundle", bundle.path(), &bundle.id]).code == 0
    };
    for bound in ["ociVersionMin", "ociVersionMax"] {
        assert!(explains(features[bound].as_str().unwrap()), "{bound}");
    }
    assert!(explains("1.0.2") && explains("1.2.1"));
    assert!(!explains("0.9.0") && !explains("2.0.0"));
}

#[test]
fn every_hook_that_is_claimed_runs() {
    let bundle = Bundle::new();
    let hooks = words(&features(&bundle), "/hooks");
    assert_eq!(hooks.len(), 6);
    bundle.change(|config| {
        for name in &hooks {
            // The root's folder is in reach of the host and of the container.
            let log = bundle.carboy.folder().join("busybox/tmp/hooks");
            let log = if name == "startContainer" { "/tmp/hooks".into() } else { log };
            let script = format!("echo {name} >> {}", log.display());
            config["hooks"][name] = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
        }
        config["root"]["readonly"] = json!(false);
    });
    let ended = run(&bundle, "true");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let mut ran: Vec<String> = fs::read_to_string(bundle.carboy.folder().join("busybox/tmp/hooks"))
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let mut claimed = hooks;
    ran.sort_unstable();
    claimed.sort_unstable();
    assert_eq!(ran, claimed);
}

#[test]
fn every_namespace_that_is_claimed_is_made() {
    let bundle = Bundle::new();
    let kinds = words(&features(&bundle), "/linux/namespaces");
    assert_eq!(kinds.len(), 8);
    bundle.change(|config| {
        config["linux"]["namespaces"] = kinds.iter().map(|kind| json!({"type": kind})).collect();
        for map in ["uidMappings", "gidMappings"] {
            config["linux"][map] = json!([{"containerID": 0, "hostID": 0, "size": 100_000}]);
        }
    });
    let files = kinds.iter().map(|kind| match kind.as_str() {
        "mount" => "mnt",
        "network" => "net",
        kind => kind,
    });
    let files: Vec<&str> = files.collect();
    let ended = run(&bundle, &format!("cd /proc/self/ns && for kind in {}; do readlink $kind; done", files.join(" ")));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let inside: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(inside.len(), files.len());
    for (kind, inside) in files.iter().zip(inside) {
        let host = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(host.to_str(), Some(inside), "{kind}");
    }
}

/// This host may have fewer than there are; what it has is kept.
#[test]
fn every_capability_that_is_claimed_is_known() {
    let bundle = Bundle::new();
    let all = words(&features(&bundle), "/linux/capabilities");
    assert_eq!(all.len(), 41);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("CapBnd")).unwrap();
    let held = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
    let explain = |names: &[String]| {
        bundle.change(|config| {
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set] = json!(names);
            }
        });
        bundle.run(&["explain", "--bundle", bundle.path(), &bundle.id])
    };
    let explained = explain(&all);
    assert_eq!(explained.code, 0, "{}", explained.stderr);
    assert!(!explained.stderr.contains("no kernel has it"), "{}", explained.stderr);
    assert!(explain(&["CAP_NOSUCH".to_owned()]).stderr.contains("CAP_NOSUCH"));
    let mut kept = all.clone();
    // The kernel's numbers, <linux/capability.h>, by one capability at a time.
    kept.retain(|name| {
        let _ = explain(std::slice::from_ref(name));
        let ended = run(&bundle, "grep CapEff /proc/self/status | cut -f2");
        u64::from_str_radix(ended.stdout.trim(), 16).is_ok_and(|set| set.count_ones() == 1 && set & held == set)
    });
    assert_eq!(kept.len(), usize::try_from(held.count_ones()).unwrap(), "{kept:?}");
}

/// Sets a filter that does something to mkdir(2) alone.
fn filter(bundle: &Bundle, action: &str) {
    bundle.change(|config| {
        config["root"]["readonly"] = json!(false);
        let rule = json!({"names": ["mkdir", "mkdirat"], "action": action});
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    });
}

#[test]
fn every_action_of_a_filter_that_is_claimed_is_done() {
    let bundle = Bundle::new();
    let actions = words(&features(&bundle), "/linux/seccomp/actions");
    let socket = bundle.carboy.folder().join("listener");
    let _listener = UnixListener::bind(&socket).unwrap();
    for action in &actions {
        filter(&bundle, action);
        // A signal's number and 128 from one that was killed; 1 where the call has failed.
        let (code, said) = match action.as_str() {
            "SCMP_ACT_ALLOW" | "SCMP_ACT_LOG" => (0, ""),
            "SCMP_ACT_ERRNO" => (1, "Operation not permitted"),
            "SCMP_ACT_TRACE" => (1, "Function not implemented"),
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_PROCESS" | "SCMP_ACT_KILL_THREAD" | "SCMP_ACT_TRAP" => (159, ""),
            "SCMP_ACT_NOTIFY" => {
                bundle.change(|config| config["linux"]["seccomp"]["listenerPath"] = json!(socket));
                let explained = bundle.run(&["explain", "--bundle", bundle.path(), &bundle.id]);
                assert_eq!(explained.code, 0, "{}", explained.stderr);
                continue;
            }
            _ => (-1, "there is no proof for it"),
        };
        let ended = run(&bundle, "mkdir /tmp/made; code=$?; rmdir /tmp/made 2> /dev/null; exit $code");
        assert!(ended.code == code && ended.stderr.contains(said), "{action}: {ended:?}");
    }
    assert!(actions.len() >= 8, "{actions:?}");
    filter(&bundle, "SCMP_ACT_NOSUCH");
    assert!(run(&bundle, "true").stderr.contains("SCMP_ACT_NOSUCH"));
}

#[test]
fn every_comparison_of_a_filter_that_is_claimed_is_made() {
    let bundle = Bundle::new();
    let operators = words(&features(&bundle), "/linux/seccomp/operators");
    assert_eq!(operators.len(), 7);
    for operator in operators {
        // Which of the modes 0400, 0600 and 0700 cannot be set, where the value is 0600; for the last, where the bits 0300
        // are 0200.
        let refused = match operator.as_str() {
            "SCMP_CMP_NE" => "400 700",
            "SCMP_CMP_LT" => "400",
            "SCMP_CMP_LE" => "400 600",
            "SCMP_CMP_EQ" | "SCMP_CMP_MASKED_EQ" => "600",
            "SCMP_CMP_GE" => "600 700",
            "SCMP_CMP_GT" => "700",
            _ => "there is no proof for it",
        };
        let (value, two) = if operator == "SCMP_CMP_MASKED_EQ" { (0o300, 0o200) } else { (0o600, 0) };
        let rule = |name: &str, index: u32| {
            let arg = json!({"index": index, "value": value, "valueTwo": two, "op": operator});
            json!({"names": [name], "action": "SCMP_ACT_ERRNO", "args": [arg]})
        };
        bundle.change(|config| {
            config["root"]["readonly"] = json!(false);
            let rules = json!([rule("chmod", 1), rule("fchmodat", 2), rule("fchmodat2", 2)]);
            config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
        });
        let script = "touch /tmp/f; for mode in 400 600 700; do chmod $mode /tmp/f 2> /dev/null || echo $mode; done";
        let ended = run(&bundle, script);
        assert_eq!(
            ended.stdout.split_whitespace().collect::<Vec<_>>().join(" "),
            refused,
            "{operator}: {}",
            ended.stderr
        );
    }
}

#[test]
fn every_architecture_and_flag_of_a_filter_that_is_claimed_is_taken() {
    let bundle = Bundle::new();
    let features = features(&bundle);
    let archs = words(&features, "/linux/seccomp/archs");
    filter(&bundle, "SCMP_ACT_ERRNO");
    bundle.change(|config| config["linux"]["seccomp"]["architectures"] = json!(archs));
    assert_eq!(run(&bundle, "mkdir /tmp/made 2> /dev/null || echo refused").stdout, "refused\n");
    for flag in words(&features, "/linux/seccomp/supportedFlags") {
        bundle.change(|config| {
            config["linux"]["seccomp"]["flags"] = json!([flag]);
            // It says how an agent is waited for, so there has to be one.
            if flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" {
                config["linux"]["seccomp"]["listenerPath"] = json!("/run/agent");
                config["linux"]["seccomp"]["syscalls"] = json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]);
            }
        });
        let explained = bundle.run(&["explain", "--bundle", bundle.path(), &bundle.id]);
        assert_eq!(explained.code, 0, "{flag}: {}", explained.stderr);
    }
    filter(&bundle, "SCMP_ACT_ERRNO");
    bundle.change(|config| config["linux"]["seccomp"]["flags"] = json!(["SECCOMP_FILTER_FLAG_NOSUCH"]));
    assert_eq!(run(&bundle, "true").code, 1);
}

/// A claim is about this runtime: what is claimed may be refused by what the host lacks, but not as unsupported.
#[test]
fn what_is_said_not_to_be_supported_is_refused_so_and_nothing_else_is() {
    let bundle = Bundle::new();
    let features = features(&bundle);
    let good = fs::read(bundle.carboy.folder().join("config.json")).unwrap();
    type Case = (&'static str, fn(&mut Value));
    let cases: [Case; 10] = [
        ("/linux/cgroup/rdma", |config| {
            config["linux"]["resources"]["rdma"] = json!({"mlx5_1": {"hcaHandles": 3}});
        }),
        ("/linux/seccomp/enabled", |config| {
            config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW"});
        }),
        ("/linux/apparmor/enabled", |config| config["process"]["apparmorProfile"] = json!("docker-default")),
        ("/linux/selinux/enabled", |config| config["process"]["selinuxLabel"] = json!("system_u:system_r:a:s0")),
        ("/linux/memoryPolicy/modes/0", |config| config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_DEFAULT"})),
        ("/linux/intelRdt/enabled", |config| config["linux"]["intelRdt"] = json!({"closID": "a"})),
        ("/linux/intelRdt/schemata", |config| config["linux"]["intelRdt"] = json!({"schemata": ["L3:0=f"]})),
        ("/linux/intelRdt/monitoring", |config| config["linux"]["intelRdt"] = json!({"enableMonitoring": true})),
        ("/linux/netDevices/enabled", |config| config["linux"]["netDevices"] = json!({"nosuch0": {}})),
        ("/linux/mountExtensions/idmap/enabled", |config| {
            let maps = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
            let mount = json!({"destination": "/mnt", "type": "bind", "source": "/tmp", "options": ["bind"],
                "uidMappings": maps, "gidMappings": maps});
            config["mounts"].as_array_mut().unwrap().push(mount);
        }),
    ];
    for (claim, change) in cases {
        fs::write(bundle.carboy.folder().join("config.json"), &good).unwrap();
        bundle.change(change);
        let claimed = features.pointer(claim).is_some_and(|claim| *claim != json!(false));
        let said = bundle.run(&["explain", "--bundle", bundle.path(), &bundle.id]).stderr;
        assert_eq!(!said.contains("is not supported by this runtime"), claimed, "{claim}: {said}");
    }
}

/// Where a mount of the test comes from: a mount of this name in the test's folder, and one below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// With nothing set.
    Plain,
    /// With everything set that can be.
    Full,
    /// With strictatime.
    Strict,
    /// A new tmpfs.
    New,
}

/// What /proc/self/mountinfo says of a mount that an option was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// This word is there.
    Shown(&'static str),
    /// This word is not.
    Hidden(&'static str),
    /// Neither relatime nor noatime.
    Strict,
    /// It is as if nothing was asked.
    Nothing,
    /// Another test shows it.
    Elsewhere,
}

/// How an option without its `r` acts on a mount, and from which mount that can be seen.
fn proof(word: &str) -> Option<(From, Proof)> {
    let attributes = ["ro", "nosuid", "nodev", "noexec", "nodiratime", "nosymfollow", "noatime"];
    let cleared = [
        ("rw", "ro"),
        ("suid", "nosuid"),
        ("dev", "nodev"),
        ("exec", "noexec"),
        ("diratime", "nodiratime"),
        ("symfollow", "nosymfollow"),
        ("atime", "noatime"),
    ];
    let propagations = [
        ("shared", Proof::Shown("shared")),
        ("slave", Proof::Shown("master")),
        ("private", Proof::Hidden("master")),
        ("unbindable", Proof::Shown("unbindable")),
    ];
    let of_file_systems = ["sync", "dirsync", "lazytime", "mand"];
    let set = |word| attributes.into_iter().find(|known| *known == word).map(|word| (From::Plain, Proof::Shown(word)));
    let clear =
        |word| cleared.iter().find(|(known, _)| *known == word).map(|(_, gone)| (From::Full, Proof::Hidden(gone)));
    let propagation =
        |word| propagations.iter().find(|(known, _)| *known == word).map(|(_, proof)| (From::Plain, *proof));
    let whole =
        |word| of_file_systems.into_iter().find(|known| *known == word).map(|word| (From::New, Proof::Shown(word)));
    let found = set(word).or_else(|| clear(word)).or_else(|| propagation(word)).or_else(|| whole(word));
    found.or(match word {
        "strictatime" => Some((From::Full, Proof::Strict)),
        "nostrictatime" | "relatime" => Some((From::Strict, Proof::Shown("relatime"))),
        "bind" | "rbind" | "defaults" | "async" | "loud" | "silent" | "nomand" | "nolazytime" | "iversion"
        | "noiversion" | "norelatime" => Some((From::Plain, Proof::Nothing)),
        "idmap" | "ridmap" | "tmpcopyup" | "copy-symlink" | "src-nofollow" | "dest-nofollow" | "remount" => {
            Some((From::Plain, Proof::Elsewhere))
        }
        _ => None,
    })
}

/// An option, and whether it is for the mounts below too.
fn reach(word: &str) -> Option<(From, Proof, bool)> {
    let below = word.strip_prefix('r').and_then(proof).filter(|(from, _)| *from != From::New);
    match proof(word) {
        Some((from, proof)) => Some((from, proof, false)),
        None => below.map(|(from, proof)| (from, proof, true)),
    }
}

#[test]
fn every_mount_option_that_is_claimed_is_taken_and_acts() {
    let bundle = Bundle::new();
    let options = words(&features(&bundle), "/mountOptions");
    let unknown: Vec<&String> = options.iter().filter(|option| reach(option).is_none()).collect();
    assert!(unknown.is_empty(), "there is no proof for {unknown:?}");
    let tried = || options.iter().filter(|option| reach(option).is_some_and(|(_, proof, _)| proof != Proof::Elsewhere));
    let source = |from: From| bundle.carboy.folder().join(format!("{from:?}"));
    for from in [From::Plain, From::Full, From::Strict] {
        fs::create_dir(source(from)).unwrap();
    }
    bundle.change(|config| {
        config["linux"]["rootfsPropagation"] = json!("rslave");
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs"}));
        for option in tried() {
            let at = format!("/m/{option}");
            mounts.push(match reach(option) {
                Some((From::New, ..)) => {
                    json!({"destination": at, "type": "tmpfs", "source": "t", "options": [option]})
                }
                Some((from, ..)) if option == "bind" => {
                    json!({"destination": at, "type": "none", "source": source(from), "options": ["bind"]})
                }
                Some((from, ..)) => {
                    json!({"destination": at, "type": "none", "source": source(from), "options": ["rbind", option]})
                }
                None => Value::Null,
            });
        }
    });
    bundle.args(&["cat", "/proc/self/mountinfo"]);
    // The sources are mounts that the host does not see.
    let script = format!(
        "mount --make-rshared / && cd {} && for way in Plain: Full:ro,nosuid,nodev,noexec,nodiratime,nosymfollow,noatime \
         Strict:strictatime; do name=${{way%%:*}}; mount -t tmpfs t $name && mkdir $name/sub && mount -t tmpfs t $name/sub &&
         for at in $name/sub $name; do mount -o \"remount,bind,${{way#*:}}\" $at || exit 9; done; done && exec \"$0\" \"$@\"",
        bundle.path()
    );
    let runtime = bundle.command(&["run", "--bundle", bundle.path(), &bundle.id]);
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).arg(runtime.get_program()).args(runtime.get_args());
    let ended = carboy_e2e::ended(command.stdin(std::process::Stdio::null()));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let line = |at: &str| ended.stdout.lines().find(|line| line.split(' ').nth(4) == Some(at)).map(str::to_owned);
    for option in tried() {
        let (from, proof, below) = reach(option).unwrap();
        let at = format!("/m/{option}");
        let sub = line(&format!("{at}/sub"));
        assert_eq!(sub.is_some(), option != "bind" && from != From::New, "{option}");
        let mut seen = vec![(line(&at).unwrap(), proof)];
        seen.extend(sub.filter(|_| below || proof == Proof::Nothing).map(|sub| (sub, proof)));
        for (line, proof) in seen {
            let has = |word: &str| line.split([' ', ',', ':']).any(|found| found == word);
            let holds = match proof {
                Proof::Shown(word) => has(word),
                Proof::Hidden(word) => !has(word) || (word == "ro" && line.contains(" rw,")),
                Proof::Strict => !has("relatime") && !has("noatime"),
                Proof::Nothing | Proof::Elsewhere => has("relatime"),
            };
            assert!(holds, "{option} is to be {proof:?}: {line}");
        }
    }
}

/// What is listed changes what is done, so that a value that means nothing is refused; what others act on changes nothing.
#[test]
fn every_annotation_that_is_claimed_to_be_unsafe_is_acted_on_and_no_other() {
    let bundle = Bundle::new();
    let listed = words(&features(&bundle), "/potentiallyUnsafeConfigAnnotations");
    assert_eq!(listed, ["org.criu.config", "run.carboy.landlock", "run.oci.delegate-cgroup"]);
    let explain = || bundle.run(&["explain", "--bundle", bundle.path(), &bundle.id]);
    let plain = explain();
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    for annotation in listed {
        bundle.change(|config| config["annotations"] = json!({&annotation: "../x"}));
        let restore = || bundle.run(&["restore", "--bundle", bundle.path(), "--image-path", bundle.path(), &bundle.id]);
        let refused = if annotation == "org.criu.config" { restore() } else { explain() };
        assert!(refused.code == 1 && refused.stderr.contains(&annotation), "{annotation}: {}", refused.stderr);
    }
    let others = ["bundle", "org.systemd.property.TimeoutStopUSec", "run.oci.handler", "run.oci.hooks.stdout"];
    let all: serde_json::Map<_, _> = others.into_iter().map(|name| (name.to_owned(), json!("../x"))).collect();
    bundle.change(|config| config["annotations"] = json!(all));
    assert_eq!(explain().stdout, plain.stdout);
}

#[test]
fn checkpoint_and_restore_are_there_as_is_claimed() {
    let bundle = Bundle::new();
    assert_eq!(features(&bundle)["annotations"]["org.opencontainers.runc.checkpoint.enabled"], json!("true"));
    for command in ["checkpoint", "restore"] {
        assert_eq!(bundle.run(&[command, "--help"]).code, 0, "{command}");
    }
}
