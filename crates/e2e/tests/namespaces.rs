//! All eight namespaces, each of a container's own, the host's, or joined; and what belongs to them: maps of ids, clocks,
//! the kernel's own file systems, and where mounts reach. namespaces(7), user_namespaces(7), time_namespaces(7),
//! mount_namespaces(7).
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use carboy_e2e::waiting::{WAIT, ends_well, waiting};
use carboy_e2e::{Attended, Carboy, Ended};

/// Each kind with the flag that chooses it. What a mount namespace of its own holds is a container.
const KINDS: [(&str, &str); 7] = [
    ("pid", "--pid"),
    ("net", "--net"),
    ("ipc", "--ipc"),
    ("uts", "--uts"),
    ("user", "--userns"),
    ("cgroup", "--cgroupns"),
    ("time", "--timens"),
];

/// Prints the links of all namespaces in the order of `ALL`.
const LINKS: &str = "for kind in mnt pid net ipc uts user cgroup time; do readlink /proc/self/ns/$kind; done";
const ALL: [&str; 8] = ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"];

fn link(pid: &str, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string()
}

/// Runs a shell script in a container with these flags.
fn script(carboy: &Carboy, flags: &[&str], script: &str) -> Ended {
    let root = carboy.busybox();
    let words = ["run", "--rm"].into_iter().chain(flags.iter().copied());
    carboy.run(words.chain([root.to_str().unwrap(), "sh", "-c", script]))
}

/// What the script says; it says it well.
fn says(carboy: &Carboy, flags: &[&str], words: &str) -> String {
    let ended = script(carboy, flags, words);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{flags:?} {words}: {}", ended.stdout);
    ended.stdout
}

/// The namespaces that a container with these flags sees itself in, by `ALL`.
fn namespaces(carboy: &Carboy, flags: &[&str]) -> Vec<String> {
    let links: Vec<String> = says(carboy, flags, LINKS).lines().map(str::to_owned).collect();
    assert_eq!(links.len(), ALL.len());
    links
}

fn first_pid(carboy: &Carboy) -> String {
    carboy.inspect("it")["State"]["Pid"].to_string()
}

/// The ids of the host that stand for a private user namespace's.
fn first_of_map(map: &str) -> u32 {
    map.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn each_is_new_or_the_host_s_as_asked() {
    let carboy = Carboy::new();
    for (kind, flag) in KINDS {
        for (choice, is_host) in [("private", false), ("host", true)] {
            let links = namespaces(&carboy, &[flag, choice]);
            for (found, of) in links.iter().zip(ALL) {
                let host = if of == kind { is_host } else { ["user", "time"].contains(&of) };
                assert!(found.starts_with(&format!("{of}:[")), "{found}");
                assert_eq!(*found == link("self", of), host, "{flag} {choice}: {found}");
            }
        }
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn all_are_the_host_s_but_for_the_mounts_if_asked() {
    let carboy = Carboy::new();
    let flags: Vec<&str> = KINDS.iter().flat_map(|(_, flag)| [*flag, "host"]).collect();
    let links = namespaces(&carboy, &flags);
    for (found, of) in links.iter().zip(ALL) {
        assert_eq!(*found == link("self", of), of != "mnt", "{found}");
    }
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(says(&carboy, &flags, "hostname"), hostname);
    let own = std::process::id();
    assert_eq!(says(&carboy, &flags, &format!("test -d /proc/{own} && echo seen")), "seen\n");
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// The three ways to name the namespaces of a running container.
fn ways(kind: &str, pid: &str) -> [String; 3] {
    ["container:it".to_owned(), format!("pid:{pid}"), format!("path:/proc/{pid}/ns/{kind}")]
}

#[test]
fn each_can_be_joined_by_container_by_process_and_by_path() {
    let carboy = Carboy::new();
    // The other has all of its own, without a user namespace, and with one.
    for with in [&["--timens", "private"][..], &["--timens", "private", "--userns", "private"]] {
        let container = waiting(&carboy, with);
        let pid = first_pid(&carboy);
        let has_user = link(&pid, "user") != link("self", "user");
        for (kind, flag) in KINDS {
            for way in ways(kind, &pid) {
                let links = namespaces(&carboy, &[flag, &way]);
                for (found, of) in links.iter().zip(ALL) {
                    assert_eq!(
                        *found == link(&pid, of),
                        of == kind || !has_user && of == "user",
                        "{flag} {way}: {found}"
                    );
                }
            }
        }
        ends_well(&carboy, container);
    }
}

#[test]
fn a_user_namespace_is_joined_with_all_the_others() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["--timens", "private", "--userns", "private", "--hostname", "theirs"]);
    let pid = first_pid(&carboy);
    let user = link(&pid, "user");
    for way in 0..3 {
        let all: Vec<(&str, String)> =
            KINDS.iter().map(|(kind, flag)| (*flag, ways(kind, &pid)[way].clone())).collect();
        let flags: Vec<&str> = all.iter().flat_map(|(flag, way)| [*flag, way.as_str()]).collect();
        let links = namespaces(&carboy, &flags);
        for (found, of) in links.iter().zip(ALL) {
            assert_eq!(*found == link(&pid, of), of != "mnt", "{found}");
        }
        let seen = says(
            &carboy,
            &flags,
            "id -u; hostname; cat /proc/1/cmdline | tr '\\0' ' '; echo; echo x > /y; stat -c %u /y",
        );
        assert_eq!(seen, format!("0\ntheirs\nsh -c {WAIT} \n0\n"));
    }
    // With a new pid namespace: its own init, seen by nobody else.
    let flags = ["--userns", "container:it", "--net", "container:it", "--uts", "container:it", "--pid", "private"];
    let links = namespaces(&carboy, &flags);
    assert_eq!((&links[5], &links[2]), (&user, &link(&pid, "net")));
    assert!(links[1] != link(&pid, "pid") && links[1] != link("self", "pid"));
    assert_eq!(says(&carboy, &flags, "echo $$; hostname"), "1\ntheirs\n");
    let ended = script(&carboy, &flags, "exit 12");
    assert_eq!((ended.code, ended.stderr.as_str()), (12, ""));
    let ended = script(&carboy, &flags, "kill -9 $$; sleep 5");
    // The init of a pid namespace cannot end itself so.
    assert_eq!(ended.code, 0, "{ended:?}");
    ends_well(&carboy, container);
}

#[test]
fn a_new_user_namespace_goes_with_joined_ones_of_the_host_s() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["--hostname", "theirs"]);
    let pid = first_pid(&carboy);
    let flags = ["--userns", "private", "--net", "container:it", "--uts", "container:it"];
    let links = namespaces(&carboy, &flags);
    assert_eq!((&links[2], &links[4]), (&link(&pid, "net"), &link(&pid, "uts")));
    assert_ne!(links[5], link("self", "user"));
    assert_eq!(says(&carboy, &flags, "id -u; hostname; echo $$"), "0\ntheirs\n1\n");
    ends_well(&carboy, container);
}

#[test]
fn a_namespace_that_is_not_there_is_an_error_that_names_the_flag() {
    let carboy = Carboy::new();
    let of_net = "path:/proc/self/ns/net";
    for (flag, way) in [
        ("--net", "container:nobody"),
        ("--pid", "pid:4194305"),
        ("--ipc", "path:/no/such/file"),
        ("--uts", "path:/etc/passwd"),
        ("--userns", of_net),
        ("--cgroupns", "somewhere"),
        ("--timens", "container:"),
    ] {
        let ended = script(&carboy, &[flag, way], "echo ran");
        assert_eq!((ended.code, ended.stdout.as_str()), (125, ""), "{flag} {way}");
        assert!(
            ended.stderr.starts_with("error: ") && ended.stderr.contains("hint: "),
            "{flag} {way}: {}",
            ended.stderr
        );
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn joined_namespaces_are_shared_and_own_ones_are_not() {
    let carboy = Carboy::new();
    let container =
        waiting(&carboy, &["--hostname", "theirs", "--pidfile", carboy.folder().join("pid").to_str().unwrap()]);
    // A server on the loopback of one is reached from the other.
    let serve = "mkdir -p /www && hostname > /www/who && httpd -p 8080 -h /www";
    assert_eq!(carboy.run(["exec", "it", "sh", "-c", serve]).code, 0);
    let ask = "wget -q -O - http://127.0.0.1:8080/who";
    assert_eq!(says(&carboy, &["--net", "container:it"], ask), "theirs\n");
    assert_ne!(script(&carboy, &[], ask).code, 0);
    // Processes.
    let kill = "ps -o args | grep -c '[r]ead -r go'; test $$ -gt 1 && echo more";
    assert_eq!(says(&carboy, &["--pid", "container:it"], kill), "1\nmore\n");
    // Names.
    let rename = says(&carboy, &["--uts", "container:it", "--cap-add", "SYS_ADMIN"], "hostname changed; hostname");
    assert_eq!(rename, "changed\n");
    assert_eq!(carboy.run(["exec", "it", "hostname"]).stdout, "changed\n");
    // Message queues.
    let made = carboy.run(["exec", "it", "touch", "/dev/mqueue/queue"]);
    assert_eq!((made.code, made.stderr.as_str()), (0, ""));
    assert_eq!(says(&carboy, &["--ipc", "container:it"], "ls /dev/mqueue"), "queue\n");
    assert_eq!(says(&carboy, &[], "ls /dev/mqueue"), "");
    ends_well(&carboy, container);
}

#[test]
fn a_container_in_another_s_pid_namespace_ends_with_it_and_leaves_it_alone() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let ended = script(&carboy, &["--pid", "container:it"], "sleep 1000 & sleep 1000 & exit 8");
    assert_eq!((ended.code, ended.stderr.as_str()), (8, ""));
    let seen = carboy.run(["exec", "it", "ps", "-o", "args"]);
    assert!(!seen.stdout.contains("sleep 1000"), "what it started ended with it: {}", seen.stdout);
    let root = carboy.busybox();
    let words =
        ["run", "--rm", "--pid", "container:it", root.to_str().unwrap(), "sh", "-c", "echo up; exec sleep 1000"];
    let mut other = Attended::start(&mut carboy.command(words));
    assert_eq!(other.line(), "up");
    let mut container = container;
    container.tell("go");
    assert_eq!(container.end().code, 0);
    assert_eq!(other.end().code, 137);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn root_in_a_user_namespace_is_somebody_else_outside() {
    let carboy = Carboy::new();
    for flags in [&["--userns", "private"][..], &["--uidmap", "0:300000:2000"], &["--gidmap", "0:300000:2000"]] {
        let container = waiting(&carboy, flags);
        let pid = first_pid(&carboy);
        let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
        let first = first_of_map(&map);
        assert!(first > 0 && map.split_whitespace().next() == Some("0"), "{map}");
        let outside = fs::metadata(format!("/proc/{pid}")).unwrap();
        assert_eq!((outside.uid(), outside.gid()), (first, first));
        assert_eq!(carboy.run(["exec", "it", "id", "-u"]).stdout, "0\n");
        let user = carboy.run([
            "exec",
            "-u",
            "anna",
            "it",
            "sh",
            "-c",
            "id -u; : > /dev/shm/hers && stat -c %u:%g /dev/shm/hers",
        ]);
        assert_eq!((user.stdout.as_str(), user.stderr.as_str()), ("1000\n1000:1000\n", ""));
        ends_well(&carboy, container);
    }
    let both = ["--uidmap", "0:300000:2000", "--gidmap", "0:400000:2000", "--uidmap", "5000:500000:1"];
    let maps = says(&carboy, &both, "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '");
    assert_eq!(maps, " 0 300000 2000\n 5000 500000 1\n 0 400000 2000\n");
}

#[test]
fn files_in_a_user_namespace_belong_to_the_same_inside_as_on_disk() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let tmp = root.join("tmp");
    std::os::unix::fs::chown(root.join("etc/group"), Some(1000), Some(29)).unwrap();
    fs::set_permissions(&tmp, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let look =
        "stat -c %u:%g / /bin/busybox /etc/passwd /etc/group; echo x > /new; mkdir /folder; chown anna:audio /folder
        echo more >> /etc/passwd; chmod 600 /etc/group; rm /bin/yes; stat -c %u:%g /new /folder /etc/passwd /etc/group";
    let seen = "0:0\n0:0\n0:0\n1000:29\n0:0\n1000:29\n0:0\n1000:29\n";
    let run = |name: &str, flags: &[&str]| {
        let words = ["run", "--name", name].into_iter().chain(flags.iter().copied());
        let ended = carboy.run(words.chain([root.to_str().unwrap(), "sh", "-c", look]));
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, seen, ""), "{flags:?}");
        let id = carboy.inspect(name)["Id"].as_str().unwrap().to_owned();
        let upper = carboy.folder().join("root/containers").join(id).join("upper");
        let owner = |path: &str| {
            let file = fs::metadata(upper.join(path)).unwrap();
            (file.uid(), file.gid())
        };
        ["new", "folder", "etc/passwd", "etc/group"].map(owner)
    };
    let on_disk = [(0, 0), (1000, 29), (0, 0), (1000, 29)];
    assert_eq!(run("without", &[]), on_disk);
    assert_eq!(run("private", &["--userns", "private"]), on_disk);
    assert_eq!(run("mapped", &["--uidmap", "0:300000:2000"]), on_disk);
    assert_eq!(carboy.run(["rm", "without", "private", "mapped"]).code, 0);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_user_namespace_has_devices_terminals_and_the_kernel_s_file_systems() {
    let carboy = Carboy::new();
    for root in [carboy.busybox().to_str().unwrap(), "host"] {
        let look = "dd if=/dev/zero of=/dev/null bs=1000 count=3 2>/dev/null && echo copied
            head -c 4 /dev/urandom | wc -c; : > /dev/full; echo x 2>/dev/null > /dev/full || echo full
            : > /dev/shm/file && echo shared; touch /dev/mqueue/queue && echo queued; ls /dev/pts; test -c /dev/ptmx && echo ptmx
            cat /proc/self/comm; cat /sys/class/net/lo/operstate; touch /proc/sys/kernel/x 2>/dev/null || echo no
            ls /sys/fs/cgroup | head -n 1 | wc -l; cat /proc/self/cgroup | grep -v ':/$' | wc -l";
        let ended = carboy.run(["run", "--rm", "--userns", "private", root, "sh", "-c", look]);
        let expected = "copied\n4\nfull\nshared\nqueued\nptmx\nptmx\ncat\nunknown\nno\n1\n0\n";
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, expected, ""), "{root}");
        let ended =
            carboy.run(["run", "--rm", "-t", "--userns", "private", root, "sh", "-c", "tty; stat -c %u $(tty)"]);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "/dev/pts/0\r\n0\r\n", ""));
        let ended = carboy.run([
            "run",
            "--rm",
            "--userns",
            "private",
            "-u",
            "1000",
            root,
            "sh",
            "-c",
            "id -u; echo x > /dev/shm/x; echo x > /dev/null",
        ]);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "1000\n"), "{}", ended.stderr);
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// The seconds that /proc/uptime says.
fn uptime(text: &str) -> f64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn clocks_are_shifted_as_asked() {
    let carboy = Carboy::new();
    for (offset, seconds) in [
        ("monotonic=86400,boottime=604800", 604_800.0),
        ("boottime=-10", -10.0),
        ("boottime=86400.5", 86_400.5),
        ("boottime=-7.25", -7.25),
        ("monotonic=100", 0.0),
    ] {
        let before = uptime(&fs::read_to_string("/proc/uptime").unwrap());
        let inside = uptime(&says(&carboy, &["--time-offset", offset], "cat /proc/uptime"));
        let after = uptime(&fs::read_to_string("/proc/uptime").unwrap());
        let range = before + seconds - 0.011..=after + seconds + 0.011;
        assert!(range.contains(&inside), "{offset}: {inside} is not in {range:?}");
    }
    let offsets = ["--timens", "private", "--time-offset", "monotonic=-3.5,boottime=7"];
    let shown = says(&carboy, &offsets, "cat /proc/self/timens_offsets | tr -s ' '");
    assert_eq!(shown, "monotonic -4 500000000\nboottime 7 0\n");
    // One that joins has the same clock.
    let container = waiting(&carboy, &["--time-offset", "boottime=86400"]);
    let inside = uptime(&says(&carboy, &["--timens", "container:it"], "cat /proc/uptime"));
    assert!(inside >= 86_400.0 + uptime("0"), "{inside}");
    let entered = carboy.run(["exec", "it", "cat", "/proc/uptime"]);
    assert!(uptime(&entered.stdout) >= 86_400.0, "{entered:?}");
    ends_well(&carboy, container);
    for offset in ["monotonic=-99999999999", "boottime=9999999999999"] {
        let ended = script(&carboy, &["--time-offset", offset], "echo ran");
        assert_eq!((ended.code, ended.stdout.as_str()), (125, ""), "{offset}");
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn the_caller_s_umask_is_not_the_container_s() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let look = "umask; stat -c '%a' / /dev /dev/null /dev/shm; touch /dev/shm/x; stat -c %a /dev/shm/x";
    let mut command = Command::new("sh");
    let carboys = carboy.command(["run", "--rm", "-u", "anna", root.to_str().unwrap(), "sh", "-c", look]);
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(carboys.get_program()).args(carboys.get_args());
    let ended = carboy_e2e::ended(&mut command);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("0022\n755\n755\n666\n1777\n644\n", ""));
}

#[test]
fn a_network_of_its_own_has_lo_alone_and_it_is_up() {
    let carboy = Carboy::new();
    for flags in [&[][..], &["--net", "none"], &["--userns", "private"]] {
        let look = "ls /sys/class/net; ip -o link show lo | grep -c 'LOOPBACK,UP'; ping -c 1 -W 5 127.0.0.1 > /dev/null && echo pong";
        assert_eq!(says(&carboy, flags, look), "lo\n1\npong\n", "{flags:?}");
    }
}

#[test]
fn what_shows_or_changes_the_host_is_masked_or_read_only() {
    let carboy = Carboy::new();
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"] {
        if Path::new(path).exists() {
            assert_eq!(says(&carboy, &[], &format!("wc -c < {path}")), "0\n", "{path}");
        }
    }
    for path in ["/proc/acpi", "/proc/scsi", "/sys/firmware"] {
        if Path::new(path).exists() {
            assert_eq!(says(&carboy, &[], &format!("ls -A {path} | wc -l")), "0\n", "{path}");
        }
    }
    for path in ["/proc/sys/kernel/panic", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches", "/sys/kernel/mm/x"] {
        if !Path::new(path).parent().is_some_and(Path::exists) || path.starts_with("/proc") && !Path::new(path).exists()
        {
            continue;
        }
        let ended = script(&carboy, &["--cap-add", "SYS_ADMIN"], &format!(": > {path}"));
        assert!(ended.code != 0 && ended.stderr.contains("Read-only file system"), "{path}: {}", ended.stderr);
    }
    let kinds = says(
        &carboy,
        &[],
        "grep -E ' (/proc|/sys|/dev|/dev/pts|/dev/shm|/dev/mqueue) ' /proc/mounts | cut -d ' ' -f 2-3 | sort",
    );
    let expected = "/dev tmpfs\n/dev/mqueue mqueue\n/dev/pts devpts\n/dev/shm tmpfs\n/proc proc\n/sys sysfs\n";
    assert_eq!(kinds, expected);
    let privileged =
        says(&carboy, &["--privileged"], "test -w /sys/kernel && : >> /proc/sys/kernel/panic && echo open");
    assert_eq!(privileged, "open\n");
}

#[test]
fn devices_are_a_few_of_its_own() {
    let carboy = Carboy::new();
    let nodes = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    let listed = says(&carboy, &[], "cd /dev; echo *");
    let shown: Vec<&str> = listed.split_whitespace().filter(|name| *name != "core").collect();
    assert_eq!(shown.join(" "), nodes);
    let numbers = says(&carboy, &[], "cd /dev; stat -c '%n %F %a %t:%T' full null random tty urandom zero");
    let expected = ["full 1:7", "null 1:3", "random 1:8", "tty 5:0", "urandom 1:9", "zero 1:5"];
    let expected = expected.map(|node| node.replace(' ', " character special file 666 "));
    assert_eq!(numbers.lines().collect::<Vec<_>>(), expected);
    let work = "dd if=/dev/zero of=/dev/null bs=1M count=2 2>/dev/null && head -c 9 /dev/random | wc -c; echo x > /dev/null; ls /dev/pts";
    assert_eq!(says(&carboy, &[], work), "9\nptmx\n");
    let made = carboy.folder().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(says(&carboy, &[], &format!(": > /dev/{made}; : > /dev/shm/{made}")), "");
    assert!(!Path::new("/dev").join(&made).exists() && !Path::new("/dev/shm").join(&made).exists());
    for (flags, kib) in [(&[][..], 65_536), (&["--shm-size", "8m"], 8_192)] {
        let shown = says(&carboy, flags, "df -k /dev/shm | tail -n 1");
        assert_eq!(shown.split_whitespace().nth(1).unwrap(), kib.to_string(), "{shown}");
    }
    assert_ne!(script(&carboy, &["--shm-size", "1m"], "dd if=/dev/zero of=/dev/shm/x bs=1M count=2").code, 0);
}

/// A folder that is mounted on itself, shared, and unmounted at the end of the test.
struct Shared(PathBuf);

impl Shared {
    fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("below")).unwrap();
        for words in [["--bind", folder.to_str().unwrap()], ["--make-shared", ""]] {
            let mut command = Command::new("mount");
            command.arg(words[0]).args(Some(words[1]).filter(|word| !word.is_empty())).arg(&folder);
            assert!(command.status().is_ok_and(|status| status.success()), "install mount");
        }
        Self(folder)
    }

    /// Mounts an empty file system with one file below it.
    fn mount_below(&self) {
        let below = self.0.join("below");
        let status = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&below).status();
        assert!(status.is_ok_and(|status| status.success()), "install mount");
        fs::write(below.join("new"), "").unwrap();
    }

    fn unmount_below(&self) {
        assert!(Command::new("umount").arg(self.0.join("below")).status().is_ok_and(|status| status.success()));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-R").arg(&self.0).status();
    }
}

#[test]
fn a_mount_of_the_host_s_appears_inside_only_where_it_was_asked_for() {
    let carboy = Carboy::new();
    let shared = Shared::new(carboy.folder().join("shared"));
    let folder = shared.0.to_str().unwrap().to_owned();
    let look = "ls /data/below; mount -t tmpfs tmpfs /data 2>/dev/null; echo end";
    for (flag, appears) in [
        (format!("{folder}:/data"), false),
        (format!("{folder}:/data:rprivate"), false),
        (format!("{folder}:/data:rslave"), true),
        (format!("{folder}:/data:rshared"), true),
    ] {
        let container = waiting(&carboy, &["-v", &flag]);
        shared.mount_below();
        let seen = carboy.run(["exec", "it", "sh", "-c", look]);
        shared.unmount_below();
        let after = carboy.run(["exec", "it", "ls", "/data/below"]);
        assert_eq!(seen.stdout, if appears { "new\nend\n" } else { "end\n" }, "{flag}");
        assert_eq!((after.stdout.as_str(), after.stderr.as_str()), ("", ""), "{flag}");
        ends_well_but_for(&carboy, container, &folder);
    }
}

/// Ends a container; of carboy nothing is left, but the test's own mount.
fn ends_well_but_for(carboy: &Carboy, mut container: Attended, folder: &str) {
    container.tell("go");
    let ended = container.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let left: Vec<String> = carboy.left_behind().into_iter().filter(|line| !line.contains(folder)).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_mount_from_inside_reaches_the_host_only_if_it_is_shared() {
    let carboy = Carboy::new();
    let shared = Shared::new(carboy.folder().join("shared"));
    let folder = shared.0.to_str().unwrap().to_owned();
    let words =
        "mount -t tmpfs tmpfs /data/below && : > /data/below/inside && echo ready; read -r go; umount /data/below";
    for (option, reaches) in [("rprivate", false), ("rslave", false), ("rshared", true)] {
        let root = carboy.busybox();
        let flag = format!("{folder}:/data:{option}");
        let flags = ["run", "--rm", "-i", "--privileged", "--name", "it", "-v", &flag, root.to_str().unwrap()];
        let mut container = Attended::start(&mut carboy.command(flags.into_iter().chain(["sh", "-c", words])));
        let line = container.line();
        assert_eq!(line, "ready", "{}", if line.is_empty() { container.end().stderr } else { line.clone() });
        assert_eq!(shared.0.join("below/inside").exists(), reaches, "{option}");
        ends_well_but_for(&carboy, container, &folder);
        assert!(!shared.0.join("below/inside").exists());
    }
}
