//! Attacks that other runtimes fell for, made against carboy-runtime: each fails, and says what it tried. The classes, the
//! defences and these tests stand side by side in docs/threats.md.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use carboy_e2e::bundle::Bundle;
use carboy_e2e::trace::Traced;
use carboy_e2e::{Ended, Person, ended, eventually};
use serde_json::{Value, json};

/// A container with a writable root and these capabilities besides.
fn bundle(capabilities: &[&str]) -> Bundle {
    let bundle = Bundle::new();
    bundle.change(|config| {
        config["root"]["readonly"] = json!(false);
        config["process"]["noNewPrivileges"] = json!(false);
        for set in ["bounding", "effective", "permitted"] {
            let set = config["process"]["capabilities"][set].as_array_mut().unwrap();
            set.extend(capabilities.iter().map(|name| json!(name)));
        }
    });
    bundle
}

/// One that runs until it is deleted.
fn running(capabilities: &[&str]) -> Bundle {
    let bundle = bundle(capabilities);
    bundle.args(&["sleep", "1000"]);
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    bundle
}

fn exec(bundle: &Bundle, script: &str) -> Ended {
    bundle.run(&["exec", &bundle.id, "sh", "-c", script])
}

fn run(bundle: &Bundle) -> Ended {
    let ended = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    bundle.gone();
    ended
}

fn root(bundle: &Bundle) -> std::path::PathBuf {
    bundle.carboy.folder().join("busybox")
}

#[test]
fn the_runtimes_own_program_cannot_be_written_to_by_who_finds_it_through_proc() {
    let bundle = running(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]);
    let before = fs::read(&bundle.runtime).unwrap();
    assert_eq!(exec(&bundle, "mkfifo /tmp/log; printf '#!/proc/self/exe\\n' > /tmp/trap; chmod +x /tmp/trap").code, 0);
    for command in ["/proc/self/exe", "/tmp/trap"] {
        // The runtime's program waits for somebody who reads its log.
        let words = ["exec", &bundle.id, command, "--log", "/tmp/log", "state", "x"];
        let mut trapped = bundle.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let attack = "for turn in 1 2 3 4 5 6 7 8 9; do for process in /proc/[0-9]*; do
                case \"$(readlink $process/exe)\" in /bin/busybox|'') continue;; esac
                exec 7< $process/exe && kill -9 ${process#/proc/} && sleep 0.2
                ( echo overwritten > /proc/self/fd/7 ) || exit 3
                exit 0
            done; sleep 0.2; done; exit 4";
        let attacked = exec(&bundle, attack);
        let _ = (trapped.kill(), trapped.wait());
        assert_eq!(attacked.code, 3, "{command}: {}", attacked.stderr);
        assert!(attacked.stderr.contains("Read-only file system"), "{}", attacked.stderr);
    }
    assert!(fs::read(&bundle.runtime).unwrap() == before, "the program was changed");
}

#[test]
fn the_read_only_view_of_the_program_is_made_before_its_c_library_begins_and_only_to_enter_a_container() {
    let bundle = running(&[]);
    let names = |words: &[&str]| -> Vec<String> {
        let traced = Traced::run(&bundle.command(words), bundle.carboy.folder());
        assert_eq!(traced.ended.code, 0, "{}", traced.ended.stderr);
        traced.command.into_iter().map(|call| call.name).collect()
    };
    let entering = names(&["exec", &bundle.id, "true"]);
    let executed = entering.iter().position(|name| name == "execveat").unwrap();
    let before: Vec<&str> = entering.iter().take(executed).map(String::as_str).collect();
    let expected = ["execve", "openat", "fstatfs", "openat2", "openat", "fstatfs", "open_tree", "mount_setattr"];
    assert_eq!(before, expected);
    assert!(entering.iter().skip(executed + 1).all(|name| name != "execveat"), "{entering:?}");
    for words in [["state", &bundle.id].as_slice(), &["ps", &bundle.id], &["list"], &["kill", &bundle.id, "WINCH"]] {
        assert!(!names(words).iter().any(|name| name == "execveat"), "{words:?}");
    }
}

#[test]
fn a_working_directory_or_a_command_behind_a_descriptor_leads_nowhere() {
    let bundle = running(&[]);
    for number in 3..24 {
        let cwd = bundle.run(&["exec", "--cwd", &format!("/proc/self/fd/{number}"), &bundle.id, "pwd"]);
        assert_eq!((cwd.code, cwd.stdout.as_str()), (255, ""), "{number}");
        let command = format!("/proc/self/fd/{number}/../../../../../bin/true");
        assert_eq!(bundle.run(&["exec", &bundle.id, &command]).code, 255, "{number}");
    }
    // A folder that the caller itself gave away can be entered, and is found to be outside.
    let script = "exec 3< /usr; exec \"$0\" --root \"$1\" exec --preserve-fds 1 --cwd /proc/self/fd/3 \"$2\" pwd";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(&bundle.runtime).arg(bundle.carboy.folder().join("states")).arg(&bundle.id);
    let given = ended(shell.stdin(Stdio::null()));
    assert_eq!(given.code, 255);
    assert!(given.stderr.contains("process.cwd leads outside the container's root"), "{}", given.stderr);
    let other = self::bundle(&[]);
    other.args(&["pwd"]);
    for number in 3..12 {
        symlink(format!("/proc/self/fd/{number}"), root(&other).join("work")).unwrap();
        other.change(|config| config["process"]["cwd"] = json!("/work"));
        assert_eq!(run(&other).code, 1, "{number}");
        fs::remove_file(root(&other).join("work")).unwrap();
    }
}

/// The runtime by a shell that hands down what it can.
fn run_by_a_generous_shell(bundle: &Bundle, args: &[&str]) -> Vec<String> {
    bundle.args(args);
    let script =
        "umask 077; trap '' USR1 TERM; cd /; exec 9< /etc; exec \"$0\" --root \"$1\" run --bundle \"$2\" \"$3\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(&bundle.runtime).arg(bundle.carboy.folder().join("states"));
    shell.args([bundle.path(), &bundle.id]).env("SECRET", "of the caller").stdin(Stdio::null());
    let ran = ended(&mut shell);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    bundle.gone();
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn nothing_of_the_callers_is_inherited() {
    let bundle = bundle(&[]);
    bundle.change(|config| config["process"]["env"] = json!(["PATH=/bin"]));
    let seen = run_by_a_generous_shell(&bundle, &["sh", "-c", "ls /proc/self/fd; env | sort; umask"]);
    assert_eq!(seen, ["0", "1", "2", "3", "HOME=/root", "PATH=/bin", "PWD=/", "SHLVL=1", "0022"], "3 is what ls reads");
    let seen = run_by_a_generous_shell(&bundle, &["grep", "Sig[BI]", "/proc/self/status"]);
    assert_eq!(seen, ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"]);
}

#[test]
fn links_in_the_root_lead_no_mount_folder_or_file_out_of_it() {
    let bundle = bundle(&[]);
    let outside = bundle.carboy.folder().join("outside");
    let file = bundle.carboy.folder().join("file");
    let inside = root(&bundle).join(outside.strip_prefix("/").unwrap());
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(&inside).unwrap();
    fs::write(&file, "bound").unwrap();
    symlink(&outside, root(&bundle).join("absolute")).unwrap();
    symlink("../../../../../../../..".to_owned() + outside.to_str().unwrap(), root(&bundle).join("relative")).unwrap();
    bundle.change(|config| {
        config["process"]["cwd"] = json!("/relative/cwd");
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/absolute/tmpfs", "type": "tmpfs", "source": "tmpfs"}));
        mounts.push(json!({"destination": "/relative/bind", "source": file, "options": ["bind"]}));
    });
    bundle.args(&["sh", "-c", "pwd; cat /relative/bind; grep -c ' /var/tmp/.*/outside/tmpfs ' /proc/self/mountinfo"]);
    let ran = run(&bundle);
    assert_eq!(ran.stdout, format!("{}/cwd\nbound1\n", outside.display()), "{}", ran.stderr);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "something was made on the host");
    assert!(inside.join("cwd").is_dir() && inside.join("tmpfs").is_dir() && inside.join("bind").is_file());
}

#[test]
fn a_folder_that_becomes_a_link_while_it_is_mounted_on_leads_nowhere() {
    let bundle = bundle(&[]);
    let outside = bundle.carboy.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    let shared = root(&bundle).join("shared");
    fs::create_dir(&shared).unwrap();
    symlink(&outside, root(&bundle).join("link")).unwrap();
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/shared/a/b", "type": "tmpfs", "source": "tmpfs"}));
        mounts.push(json!({"destination": "/shared/c/d", "source": "/etc/hostname", "options": ["bind"]}));
    });
    bundle.args(&["true"]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let link = root(&bundle).join("link");
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            while !stop.load(Ordering::Relaxed) {
                let _ = rustix::fs::renameat_with(rustix::fs::CWD, &link, rustix::fs::CWD, &shared, exchange);
            }
        });
        for _ in 0..25 {
            // It may lose the race and say so; it may not win it for the attacker.
            let _ = run(&bundle);
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "something was made on the host");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(outside.to_str().unwrap()), "something was mounted on the host");
}

/// Puts a link in the place of a folder of the root.
fn replace_by_link(bundle: &Bundle, name: &str, target: &str) {
    let path = root(bundle).join(name);
    let removed = if path.is_symlink() { fs::remove_file(&path) } else { fs::remove_dir_all(&path) };
    removed.unwrap();
    symlink(target, path).unwrap();
}

#[test]
fn a_proc_or_a_sys_of_the_root_that_is_a_link_is_not_followed() {
    let bundle = bundle(&[]);
    let outside = bundle.carboy.folder().join("outside");
    let volume = bundle.carboy.folder().join("volume");
    for folder in [&outside, &volume.join("proc"), &volume.join("sys")] {
        fs::create_dir_all(folder).unwrap();
    }
    // What would be hidden is hidden in here, and the kernel's own is elsewhere.
    fs::write(volume.join("proc/kcore"), "bait").unwrap();
    bundle.change(|config| {
        let volume = json!({"destination": "/volume", "source": volume, "options": ["rbind"]});
        config["mounts"].as_array_mut().unwrap().insert(0, volume);
    });
    bundle.args(&["sh", "-c", "echo ran; cat /proc/1/root/etc/hostname /proc/kcore"]);
    let absolute = outside.to_str().unwrap();
    let relative = format!("../../../../../../../../..{absolute}");
    for name in ["proc", "sys"] {
        let inside = format!("/volume/{name}");
        for target in [absolute, &relative, "/", "/proc/1/root", &inside] {
            replace_by_link(&bundle, name, target);
            let refused = run(&bundle);
            assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{name} to {target}");
            assert!(refused.stderr.contains("must be mounted on ordinary directory"), "{target}: {}", refused.stderr);
        }
        fs::remove_file(root(&bundle).join(name)).unwrap();
        fs::create_dir(root(&bundle).join(name)).unwrap();
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "something was made on the host");
    assert_eq!(fs::read_to_string(volume.join("proc/kcore")).unwrap(), "bait");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(absolute), "something was mounted on the host");
}

#[test]
fn a_dev_of_the_root_that_is_a_link_leads_no_node_link_or_terminal_out_of_it() {
    let bundle = bundle(&[]);
    let outside = bundle.carboy.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    let inside = root(&bundle).join(outside.strip_prefix("/").unwrap());
    fs::create_dir_all(&inside).unwrap();
    bundle.args(&["sh", "-c", "echo > /dev/null && readlink /dev/fd /dev/ptmx; ls -d /dev/shm"]);
    let absolute = outside.to_str().unwrap().to_owned();
    let usual = bundle.config()["mounts"].clone();
    for mounts_below in [false, true] {
        bundle.change(|config| {
            config["mounts"] = usual.clone();
            config["mounts"].as_array_mut().unwrap().retain(|mount| {
                let destination = mount["destination"].as_str().unwrap();
                !destination.starts_with("/dev") || mounts_below && destination != "/dev"
            });
        });
        for target in [absolute.clone(), format!("../../../../../../../../..{absolute}")] {
            replace_by_link(&bundle, "dev", &target);
            let ran = run(&bundle);
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "made on the host: {target}: {}", ran.stderr);
            assert!(ran.code == 1 || inside.join("null").exists(), "{target}: {}", ran.stderr);
        }
    }
}

/// The runtime in a mount namespace where something was put in the place of a host's file.
fn run_where(bundle: &Bundle, preparation: &str) -> Ended {
    let mut shell = Command::new("unshare");
    let script = format!("{preparation} && exec \"$0\" --root \"$1\" run --bundle \"$2\" \"$3\"");
    shell.args(["--mount", "--propagation", "private", "sh", "-c", &script]).arg(&bundle.runtime);
    shell.arg(bundle.carboy.folder().join("states")).args([bundle.path(), &bundle.id]).stdin(Stdio::null());
    let ended = ended(&mut shell);
    bundle.gone();
    ended
}

#[test]
fn what_hides_files_is_the_null_device_and_nothing_else() {
    let bundle = bundle(&[]);
    let bait = bundle.carboy.folder().join("bait");
    fs::write(&bait, "bait").unwrap();
    bundle.args(&["cat", "/proc/kcore"]);
    let refused = run_where(&bundle, &format!("mount --bind {} /dev/null", bait.display()));
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("cannot hide /proc/"), "{}", refused.stderr);
    // A link in the root is not taken for the device.
    fs::write(root(&bundle).join("secret"), "secret").unwrap();
    symlink("/secret", root(&bundle).join("dev/null")).unwrap();
    bundle.args(&["cat", "/etc/passwd"]);
    bundle.change(|config| {
        config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        config["linux"]["maskedPaths"] = json!(["/etc/passwd", "/proc/kcore"]);
    });
    let refused = run(&bundle);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("cannot make the device /dev/null"), "{}", refused.stderr);
}

#[test]
fn what_is_written_to_proc_reaches_the_kernel_or_nothing() {
    let bundle = bundle(&[]);
    let bait = bundle.carboy.folder().join("bait");
    fs::write(&bait, "bait").unwrap();
    bundle.args(&["cat", "/proc/sys/net/ipv4/ip_forward"]);
    bundle.change(|config| config["linux"]["sysctl"] = json!({"kernel.domainname": "attacked"}));
    let tmpfs = "mount -t tmpfs tmpfs /proc/sys && mkdir /proc/sys/kernel && : > /proc/sys/kernel/domainname";
    for preparation in [&*format!("mount --bind {} /proc/sys/kernel/domainname", bait.display()), tmpfs] {
        let refused = run_where(&bundle, preparation);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{preparation}");
        assert!(refused.stderr.contains("cannot write attacked to /proc/sys/kernel/domainname"), "{}", refused.stderr);
    }
    assert_eq!(fs::read_to_string(&bait).unwrap(), "bait");
    bundle.change(|config| config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"}));
    // What the root has at this place is not the kernel's.
    let fake = root(&bundle).join("proc/sys/net/ipv4");
    fs::create_dir_all(&fake).unwrap();
    fs::write(fake.join("ip_forward"), "fake").unwrap();
    let ran = run(&bundle);
    assert_eq!(ran.stdout, "1\n", "{}", ran.stderr);
    assert_eq!(fs::read_to_string(fake.join("ip_forward")).unwrap(), "fake");
}

#[test]
fn a_terminal_comes_from_a_devpts_and_from_nothing_that_looks_like_one() {
    let bundle = bundle(&[]);
    fs::create_dir(root(&bundle).join("dev/pts")).unwrap();
    fs::write(root(&bundle).join("dev/pts/ptmx"), "").unwrap();
    symlink("/etc/passwd", root(&bundle).join("dev/console")).unwrap();
    bundle.args(&["true"]);
    bundle.change(|config| {
        config["process"]["terminal"] = json!(true);
        config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    });
    let refused = run(&bundle);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("cannot open a terminal"), "{}", refused.stderr);
}

#[test]
fn a_process_cannot_type_into_the_terminal_of_whoever_started_it() {
    let bundle = bundle(&[]);
    // Field 7 of stat is the controlling terminal, without which TIOCSTI is nobody's right.
    bundle.args(&["sh", "-c", "test -t 0 && cut -d' ' -f7 /proc/self/stat; echo > /dev/tty || echo none"]);
    let person = Person::new(24, 80);
    let seen = person.start(&bundle.command(&["run", "--bundle", bundle.path(), &bundle.id])).end();
    assert!(seen.stdout.contains("0\r\n") && seen.stdout.contains("none\r\n"), "{}", seen.stdout);
    bundle.gone();
}

#[test]
fn no_release_agent_and_no_other_group_is_in_reach() {
    let bundle = running(&["CAP_DAC_OVERRIDE"]);
    let found = exec(&bundle, "find /sys/fs -name release_agent; find /sys/fs -name cgroup.procs | while read -r file; do
        echo 0 2>/dev/null > $file && echo wrote $file; done; mount -t cgroup -o memory none /tmp 2>/dev/null && echo mounted");
    assert_eq!(found.stdout, "", "{}", found.stderr);
}

#[test]
fn a_capability_for_one_more_process_is_not_inheritable() {
    let bundle = running(&[]);
    let words = [
        "exec",
        "--cap",
        "CAP_NET_ADMIN",
        "--cap",
        "CAP_SYS_ADMIN",
        &bundle.id,
        "grep",
        "Cap[IA]",
        "/proc/self/status",
    ];
    let ran = bundle.run(&words);
    assert_eq!(ran.stdout, "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n", "{}", ran.stderr);
}

#[test]
fn nobody_enters_a_container_that_is_only_half_there() {
    let bundle = bundle(&[]);
    bundle.args(&["sleep", "1000"]);
    let (there, go) = (bundle.carboy.folder().join("there"), bundle.carboy.folder().join("go"));
    let script =
        format!("cat > /dev/null; : > {}; while ! test -e {}; do sleep 0.05; done", there.display(), go.display());
    bundle.change(|config| {
        config["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]});
    });
    let mut creating = bundle.command(&["create", "--bundle", bundle.path(), &bundle.id]);
    let mut creating = creating.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("its hook runs", || there.exists());
    assert_eq!(bundle.status(), "creating");
    let entered = bundle.run(&["exec", &bundle.id, "ls", "/"]);
    assert_eq!((entered.code, entered.stdout.as_str()), (255, ""));
    assert!(entered.stderr.contains("container not running"), "{}", entered.stderr);
    fs::write(go, "").unwrap();
    assert!(creating.wait().unwrap().success());
    assert_eq!(bundle.status(), "created");
    assert_eq!(bundle.run(&["exec", &bundle.id, "true"]).code, 0);
}

#[test]
fn a_number_that_now_is_another_process_is_neither_entered_nor_signalled() {
    let bundle = running(&[]);
    // A number is given again only in another tick of the clock.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    let path = bundle.carboy.folder().join("states").join(&bundle.id).join("state.json");
    let good = fs::read(&path).unwrap();
    let mut record: Value = serde_json::from_slice(&good).unwrap();
    record["process"]["pid"] = json!(stranger.id());
    fs::write(&path, record.to_string()).unwrap();
    assert_eq!(bundle.status(), "stopped");
    assert_eq!(bundle.run(&["kill", &bundle.id, "KILL"]).code, 1);
    assert_eq!(bundle.run(&["exec", &bundle.id, "true"]).code, 255);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert!(stranger.try_wait().unwrap().is_none(), "a stranger was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    bundle.gone();
}

#[test]
fn a_file_of_the_root_that_has_no_end_is_not_read() {
    let bundle = bundle(&[]);
    bundle.args(&["true"]);
    let passwd = root(&bundle).join("etc/passwd");
    let refuses = |make: &dyn Fn(&Path)| {
        fs::remove_file(&passwd).unwrap();
        make(&passwd);
        let refused = run(&bundle);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("etc/passwd: is no file"), "{}", refused.stderr);
    };
    refuses(&|path| assert_eq!(ended(Command::new("mkfifo").arg(path)).code, 0));
    refuses(&|path| assert_eq!(ended(Command::new("mknod").arg(path).args(["c", "1", "5"])).code, 0));
    refuses(&|path| fs::File::create(path).unwrap().set_len(1 << 30).unwrap());
}

#[test]
fn a_process_that_waits_or_enters_belongs_to_root_in_proc_whoever_it_will_be() {
    let bundle = bundle(&[]);
    bundle.args(&["sleep", "1000"]);
    bundle.change(|config| config["process"]["user"] = json!({"uid": 1000, "gid": 1000}));
    bundle.create();
    let folder = |pid: &Value| fs::metadata(format!("/proc/{pid}/fd")).unwrap().uid();
    let pid = bundle.state()["pid"].clone();
    assert_eq!(folder(&pid), 0, "what is dumpable belongs to its user, who may then trace it");
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    eventually("the program runs", || folder(&pid) == 1000);
}

#[test]
fn a_node_of_the_hosts_disk_can_be_made_and_not_be_opened() {
    let bundle = running(&["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYS_RAWIO"]);
    let disk = fs::read_dir("/sys/class/block")
        .unwrap()
        .flatten()
        .map(|entry| entry.path().join("dev"))
        .find(|dev| dev.exists());
    let numbers = fs::read_to_string(disk.unwrap()).unwrap().trim().replace(':', " ");
    let script = format!("mknod /tmp/disk b {numbers}; head -c 1 /tmp/disk");
    let tried = exec(&bundle, &script);
    assert!(tried.code != 0 && tried.stderr.contains("Operation not permitted"), "{}", tried.stderr);
    let other = self::bundle(&["CAP_MKNOD", "CAP_DAC_OVERRIDE"]);
    other.args(&["sh", "-c", &script]);
    let tried = run(&other);
    assert!(tried.code != 0 && tried.stderr.contains("Operation not permitted"), "{}", tried.stderr);
}

#[test]
fn a_hook_of_the_image_may_do_what_the_container_may_and_no_more() {
    let look = "grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
        for kind in pid mnt net ipc uts cgroup user; do readlink /proc/self/ns/$kind; done
        cat /proc/self/cgroup; ulimit -n; umask; pwd; ls /proc/self/fd
        mknod /tmp/disk b 8 0 2> /dev/null && echo made
        chown 5 /tmp 2> /dev/null && echo given
        hostname other 2> /dev/null && echo renamed";
    let bundle = bundle(&[]);
    let there = root(&bundle).join("tmp");
    bundle.args(&["sh", "-c", &format!("exec < /dev/null > /tmp/program\n{look}\nexec sleep 1000")]);
    bundle.change(|config| {
        let script = format!("cat > /tmp/state; exec < /dev/null > /tmp/hook; {look}\ntrue");
        config["hooks"]["startContainer"] = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
        config["hooks"]["poststart"] = json!([{"path": "/bin/sh", "args":
            ["sh", "-c", format!("/bin/readlink /proc/self/ns/pid > {}", there.join("after").display())]}]);
        config["process"]["user"] = json!({"uid": 77, "gid": 88});
        config["process"]["noNewPrivileges"] = json!(true);
        config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 333, "hard": 333}]);
        let names = json!(["sethostname"]);
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO"}]});
    });
    fs::create_dir_all(&there).unwrap();
    std::os::unix::fs::chown(&there, Some(77), None).unwrap();
    bundle.create();
    assert_eq!(bundle.run(&["start", &bundle.id]).stderr, "");
    let read = |name: &str| fs::read_to_string(there.join(name)).unwrap_or_default();
    let lines = || read("program").lines().count();
    eventually("the program has looked", || lines() > 0 && lines() == read("hook").lines().count());
    assert_eq!(read("hook"), read("program"));
    let hook = read("hook");
    for line in ["Uid:\t77\t77\t77\t77", "NoNewPrivs:\t1", "Seccomp:\t2", "333"] {
        assert!(hook.lines().any(|found| found == line), "{line}: {hook}");
    }
    assert!(!["made", "given", "renamed"].iter().any(|word| hook.contains(word)), "{hook}");
    assert!(read("state").contains("\"created\""), "{}", read("state"));
    let host = fs::read_link("/proc/self/ns/pid").unwrap().display().to_string();
    assert_eq!(read("after").trim_end(), host, "who starts it stays outside");
}
