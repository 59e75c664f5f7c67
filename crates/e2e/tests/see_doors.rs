//! The doors that `see` names: for each kind of container exactly those that are open, and each that is said to lead to the
//! host is gone through from inside, while the same attempt fails in a container that lacks it.
//!
//! Nothing is done to the host that stays: what is written is a file of the test's own, or the value that was there.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use carboy_e2e::bundle::Bundle;
use carboy_e2e::disk::Disk;
use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::group::{Version, hierarchy, mount_points};
use carboy_e2e::user::{Account, Handed, User};
use carboy_e2e::waiting::ends_well;
use carboy_e2e::{Attended, Carboy, Ended, apparmor_is_in_force, ended};
use serde_json::{Value, json};

/// The width of a door and what it is.
type Door = (String, String);

const ROOT: &str = "root here is root on the host (no user namespace)";
const SETUID: &str = "setuid programs can raise privilege";
const ADMIN: &str = "it can mount what it likes: a new /proc, the host's disks";
const SETTINGS: &str = "the kernel's settings can be written: core_pattern names a program that the host runs";
const SEES: &str = "it sees the host's processes, and signals those of its users";
const WATCH: &str = "it can watch the kernel and every process of the host";
const LOAD: &str = "it can load programs into the kernel that read its memory";
const CALLS: &str = "every system call is open to it";

fn door(width: &str, what: &str) -> Door {
    (width.to_owned(), what.to_owned())
}

/// What a container has besides the two doors of each whose root is the host's.
fn with_usual(doors: &[(&str, &str)]) -> Vec<Door> {
    let usual = [("narrow", ROOT), ("narrow", SETUID)];
    doors.iter().chain(&usual).map(|(width, what)| door(width, what)).chain(unconfined()).collect()
}

/// What every container has on a host with AppArmor, as long as nobody has made a profile for it.
fn unconfined() -> Option<Door> {
    apparmor_is_in_force().then(|| door("narrow", "no profile of the host's security module holds it"))
}

/// Those of a container without the host's root.
fn without_root(doors: &[(&str, &str)]) -> Vec<Door> {
    sorted(doors.iter().map(|(width, what)| door(width, what)).chain(unconfined()).collect())
}

/// The doors that `see` names for a container or process, in their order.
fn doors(carboy: &Carboy, what: &str) -> Vec<Door> {
    let ended = carboy.run(["see", "--json", what]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{what}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let doors = document["found"][0]["doors"].as_array().unwrap().iter();
    doors.map(|one| (text(&one["width"]), text(&one["what"]))).collect()
}

/// The root of busybox, with perl: it can make every system call.
fn root_with_perl(carboy: &Carboy) -> PathBuf {
    let root = carboy.busybox();
    let needed = ended(Command::new("ldd").arg("/usr/bin/perl")).stdout;
    let libraries = needed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/usr/bin/perl"]) {
        let copy = root.join(&file[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        assert!(Command::new("cp").args(["--dereference", file]).arg(&copy).status().unwrap().success());
    }
    fs::create_dir_all(root.join("mnt")).unwrap();
    root
}

/// A carboy whose container `it` waits, of a root that has perl.
struct Room {
    carboy: Carboy,
    container: Option<Attended>,
}

impl Room {
    fn new(flags: &[&str]) -> Self {
        let carboy = Carboy::new();
        root_with_perl(&carboy);
        let container = carboy_e2e::waiting::waiting(&carboy, flags);
        Self { carboy, container: Some(container) }
    }

    fn doors(&self) -> Vec<Door> {
        let id = self.carboy.inspect("it")["Id"].as_str().unwrap().to_owned();
        doors(&self.carboy, &id)
    }

    /// Runs a command in the container.
    fn tries(&self, words: &[&str]) -> Ended {
        self.carboy.run([&["exec", "it"], words].concat())
    }

    /// The same of a script of the shell.
    fn tries_shell(&self, script: &str) -> Ended {
        self.tries(&["sh", "-c", script])
    }

    fn ends(mut self) {
        ends_well(&self.carboy, self.container.take().unwrap());
    }
}

/// A script succeeds in a container with these flags, which has the door, and fails in a default one, which has not.
fn goes_through(flags: &[&str], what: &str, script: &str) {
    let open = Room::new(flags);
    assert!(open.doors().contains(&door("host", what)), "{what}: {:?}", open.doors());
    let tried = open.tries_shell(script);
    assert_eq!(tried.code, 0, "{what}: {}{}", tried.stdout, tried.stderr);
    open.ends();
    stays_shut(&[], what, script);
}

fn stays_shut(flags: &[&str], what: &str, script: &str) {
    let shut = Room::new(flags);
    assert!(!shut.doors().contains(&door("host", what)));
    let tried = shut.tries_shell(script);
    assert_ne!(tried.code, 0, "{what}: {}{}", tried.stdout, tried.stderr);
    shut.ends();
}

/// A process of the host that lasts as long as the test.
struct Helper(Child);

impl Helper {
    fn start(words: &[&str]) -> Self {
        let lasting = [&["setpriv", "--pdeathsig", "KILL"], words, &["sleep", "1000"]].concat();
        let mut command = Command::new(lasting[0]);
        let helper = Self(command.args(&lasting[1..]).stdin(Stdio::null()).spawn().unwrap());
        let status = format!("/proc/{}/status", helper.0.id());
        carboy_e2e::eventually("it sleeps", || fs::read_to_string(&status).is_ok_and(|text| text.contains("sleep")));
        helper
    }

    /// A user who has no rights.
    fn weak() -> Self {
        Self::start(&["--reuid=4321", "--regid=4321", "--clear-groups"])
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file of the host that only its root may write.
fn secret(carboy: &Carboy) -> PathBuf {
    let file = carboy.folder().join("secret");
    fs::write(&file, "untouched").unwrap();
    assert!(Command::new("chmod").arg("600").arg(&file).status().unwrap().success());
    file
}

fn is_v1() -> bool {
    matches!(hierarchy("devices"), Version::V1(_))
}

fn has_modules() -> bool {
    Path::new("/proc/modules").exists()
}

/// Everything that `--privileged` opens on this host.
fn privileged() -> Vec<Door> {
    let has = |path: &str| Path::new(path).exists();
    let held = |capability: u32| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap() >> capability & 1 == 1
    };
    let uncovered = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"];
    let told = [
        (true, "host", SETTINGS),
        (
            has("/sys/kernel/uevent_helper"),
            "host",
            "a program can be named that the host runs for each change of a device: uevent_helper",
        ),
        (is_v1(), "host", "it can make a node of any device: the host's disks"),
        (true, "host", "it can write the disk of the host's root"),
        (true, "host", ADMIN),
        (has_modules(), "host", "it can load code into the kernel"),
        (true, "wide", "the kernel's devices and drivers can be changed"),
        (has("/proc/sysrq-trigger"), "wide", "it can restart or crash the host: sysrq-trigger"),
        (has("/proc/kcore"), "wide", "it can read the kernel's memory: kcore"),
        (has("/dev/mem") || has("/dev/port"), "wide", "it can reach the machine's memory"),
        (has("/dev/kmsg"), "wide", "it can read and write the kernel's log"),
        (held(17), "wide", "it can reach the hardware's ports"),
        (held(38), "wide", WATCH),
        (held(34), "wide", "it can read the kernel's messages"),
        (held(25), "wide", "it can set the host's clock"),
        (held(39), "wide", LOAD),
        (true, "wide", CALLS),
        (uncovered.iter().any(|file| has(file)), "narrow", "what tells of the whole kernel can be read"),
        (true, "narrow", "it can change its own limits"),
        (
            ["/dev/fuse", "/dev/kvm", "/dev/vhost-net", "/dev/vhost-vsock"].iter().any(|node| has(node)),
            "narrow",
            "devices with much of the kernel behind them",
        ),
    ];
    with_usual(&told.iter().filter(|one| one.0).map(|one| (one.1, one.2)).collect::<Vec<_>>())
}

/// The device that the host's root lies on.
fn root_disk() -> (u64, u64) {
    let device = fs::metadata("/").unwrap().dev();
    (rustix::fs::major(device).into(), rustix::fs::minor(device).into())
}

fn sorted(mut doors: Vec<Door>) -> Vec<Door> {
    doors.sort();
    doors
}

#[test]
fn each_container_has_the_doors_that_were_opened_and_no_others() {
    let folder = Carboy::new();
    let socket = folder.folder().join("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let volume = format!("{}:/run/docker.sock", socket.display());
    let below = format!("{}:/all", folder.folder().display());
    let weak = Helper::weak();
    let engine = "an engine's socket: whoever speaks with it starts what they like on the host";
    let admin = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    let host = ["--net", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host"];
    let enters = "it can enter processes of the host that have no more rights: their root is the host's";
    let shared = [
        ("wide", "it can read and forge the host's packets"),
        ("wide", "it has the host's ports and abstract sockets"),
        ("wide", "it has the host's shared memory and queues"),
        ("narrow", "it has the host's name"),
        ("narrow", "it sees the names of the groups that it is in"),
    ];
    for (flags, opened) in [
        (&[][..], with_usual(&[])),
        (&["--privileged"], privileged()),
        (&["-v", &volume], with_usual(&[("host", engine)])),
        (&["-v", &below], with_usual(&[("host", engine)])),
        (&["--pid", "host"], with_usual(&[("host", enters), ("wide", SEES)])),
        (&admin, with_usual(&[("host", ADMIN), ("wide", CALLS)])),
        (&["--cap-add", "SYS_ADMIN"], with_usual(&[("host", ADMIN)])),
        (&host, with_usual(&shared)),
        (&["-v", "/etc:/e:ro"], with_usual(&[("wide", "the host's /etc can be read")])),
        (&["--user", "1000", "--security-opt", "no-new-privileges"], without_root(&[])),
    ] {
        let room = Room::new(flags);
        // Other tests make disks meanwhile.
        let mut seen = room.doors();
        seen.retain(|(_, what)| what != "it has disks of the host");
        assert_eq!(sorted(seen), sorted(opened), "{flags:?}");
        room.ends();
    }
    drop((listener, weak));
}

#[test]
fn a_user_namespace_that_maps_root_to_root_leaves_it_the_hosts_files() {
    let room = Room::new(&["--uidmap", "0:0:1000", "--gidmap", "0:0:1000"]);
    let maps = "root here has the host's root's files (its user namespace maps 0 to 0)";
    assert_eq!(sorted(room.doors()), without_root(&[("narrow", maps), ("narrow", SETUID)]));
    room.ends();
}

#[test]
fn the_hosts_root_has_what_is_mounted_in_it_and_can_be_written() {
    let place = Carboy::new();
    let file = place.folder().join("reached");
    let room = Room::new(&["-v", "/:/host"]);
    let seen = room.doors();
    assert!(seen.contains(&door("host", "the host's / can be written")), "{seen:?}");
    let folders = seen.iter().filter(|(_, what)| what.contains("the host's /")).count();
    assert_eq!(folders, 1, "what is below is told of once: {seen:?}");
    let tried = room.tries_shell(&format!("echo inside > /host{}", file.display()));
    assert_eq!((tried.code, fs::read_to_string(&file).unwrap().as_str()), (0, "inside\n"), "{}", tried.stderr);
    room.ends();
    stays_shut(&[], "the host's / can be written", &format!("echo inside > /host{}", file.display()));
}

#[test]
fn a_rootless_container_opens_nothing_of_the_host() {
    let mut user = User::new(427_301);
    user.session = Handed::over(user.uid);
    assert!(user.session.is_some(), "no cgroup v2 is mounted on this host");
    let mut container = user.waiting("box", &["--net", "none"]);
    let id = user.run(&["ps", "-q"]).stdout;
    assert_eq!(sorted(doors(&user.place, id.trim())), without_root(&[("narrow", SETUID)]));
    container.tell("go");
    assert_eq!(container.end().code, 0);
}

/// Ends the process that Podman leaves behind to hold a user's namespaces.
fn end_podman(user: &User) {
    let held = fs::read_to_string(user.place.folder().join("runtime/libpod/tmp/pause.pid")).unwrap_or_default();
    if !held.is_empty() {
        assert!(Command::new("kill").args(["-KILL", held.trim()]).status().unwrap().success());
        let gone = || !Path::new("/proc").join(held.trim()).exists();
        carboy_e2e::eventually("it has ended", gone);
    }
}

#[test]
fn a_container_of_a_user_who_runs_podman_opens_nothing_of_the_host_either() {
    const UID: u32 = 64_141;
    /// Debian's nogroup: newgidmap wants the group that passwd(5) has.
    const GID: u32 = 65_534;
    let account = Account::new("carboypodman", UID, GID, "1410500000-1410565535");
    let mut user = User { gid: GID, ..User::new(UID) };
    user.session = Handed::over(UID);
    let path = |name: &str| user.place.folder().join(name).display().to_string();
    fs::write(path("containers.conf"), "[containers]\ndefault_ulimits = []\n").unwrap();
    assert!(Command::new("tar").args(["-C", user.root(), "-cf", &path("root.tar"), "."]).status().unwrap().success());
    let runtime = path("carboy-runtime");
    let (root, run) = (path("home/storage"), path("runtime/podman"));
    let global = ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--root", &root, "--runroot", &run];
    let podman = |words: &[&str]| {
        let mut command = user.command_of("/usr/bin/podman", &[&global[..], &["--runtime", &runtime], words].concat());
        let ended = ended(command.env("CONTAINERS_CONF", path("containers.conf")));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout.trim().to_owned()
    };
    podman(&["import", "--quiet", &path("root.tar"), "probe"]);
    let id = podman(&["run", "--detach", "--network", "none", "--cgroupns", "private", "probe", "sleep", "1000"]);
    assert_eq!(sorted(doors(&user.place, &id)), without_root(&[("narrow", SETUID)]));
    let shared = ["run", "--detach", "--network", "none", "--privileged", "-v", "/etc:/e", "probe", "sleep", "1000"];
    let privileged = doors(&user.place, &podman(&shared));
    assert!(privileged.contains(&door("wide", "the host's /etc can be read")), "{privileged:?}");
    assert!(privileged.iter().all(|(width, _)| width != "host"), "{privileged:?}");
    podman(&["rm", "--force", "--time", "0", "--all"]);
    end_podman(&user);
    drop(account);
}

#[test]
fn settings_of_the_kernel_are_written_as_they_were() {
    let script = "f=/proc/sys/kernel/core_pattern; v=$(cat $f) && echo \"$v\" > $f";
    goes_through(&["--privileged"], SETTINGS, script);
    if Path::new("/sys/kernel/uevent_helper").exists() {
        let what = "a program can be named that the host runs for each change of a device: uevent_helper";
        let script = "f=/sys/kernel/uevent_helper; v=$(cat $f) && echo \"$v\" > $f";
        goes_through(&["--privileged"], what, script);
    }
}

#[test]
fn with_sys_admin_a_new_proc_is_mounted_with_and_without_the_engines_filter() {
    let script = "mount -t proc proc /mnt && f=/mnt/sys/kernel/core_pattern && v=$(cat $f) && echo \"$v\" > $f";
    goes_through(&["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"], ADMIN, script);
    goes_through(&["--cap-add", "SYS_ADMIN"], ADMIN, script);
}

#[test]
fn with_sys_ptrace_a_process_of_the_host_leads_to_its_files() {
    let place = Carboy::new();
    let (file, helper) = (secret(&place), Helper::start(&[]));
    let script = format!("echo inside > /proc/{}/root{}", helper.pid(), file.display());
    let what = "it can take over any process of the host";
    goes_through(&["--pid", "host", "--cap-add", "SYS_PTRACE"], what, &script);
    assert_eq!(fs::read_to_string(&file).unwrap(), "inside\n");
    fs::write(&file, "untouched").unwrap();
    stays_shut(&["--pid", "host"], what, &script);
    stays_shut(&["--cap-add", "SYS_PTRACE"], what, &script);
    assert_eq!(fs::read_to_string(&file).unwrap(), "untouched");
}

/// As the user of a process of the host a handle on its root is taken, and used as root again. x86_64 and aarch64:
/// setresgid, setresuid, openat.
fn through_a_weaker_process(pid: u32, file: &Path) -> String {
    let (gid, uid, open) = if cfg!(target_arch = "aarch64") { (149, 147, 56) } else { (119, 117, 257) };
    format!(
        "perl -e 'my ($root, $file) = (\"/proc/{pid}/root\", \".{}\"); \
         syscall({gid}, -1, 4321, -1) == 0 or exit 2; syscall({uid}, -1, 4321, -1) == 0 or exit 3; \
         my $fd = syscall({open}, -100, $root, 0x200000, 0); $fd >= 0 or exit 4; \
         syscall({uid}, -1, 0, -1) == 0 or exit 5; syscall({gid}, -1, 0, -1) == 0 or exit 6; \
         my $to = syscall({open}, $fd, $file, 1, 0); $to >= 0 or exit 7; \
         open(my $out, \">&=\", $to) or exit 8; print $out \"reached\"; close $out or exit 9'",
        file.display()
    )
}

#[test]
fn among_the_hosts_processes_one_without_rights_leads_to_its_files() {
    let place = Carboy::new();
    let (file, helper) = (secret(&place), Helper::weak());
    let what = "it can enter processes of the host that have no more rights: their root is the host's";
    let script = through_a_weaker_process(helper.pid(), &file);
    goes_through(&["--pid", "host"], what, &script);
    assert_eq!(fs::read_to_string(&file).unwrap(), "reacheded");
}

/// What init_module says of something that is no module: the errno of a kernel that looked at it.
#[test]
fn with_sys_module_the_kernel_looks_at_what_is_to_be_loaded() {
    let number = if cfg!(target_arch = "aarch64") { 105 } else { 175 };
    let script = format!(
        "perl -e 'my ($image, $words) = (\"none\", \"none\"); syscall({number}, $image, 4, $words); printf \"%d\", $!'"
    );
    let (with, without) = (Room::new(&["--cap-add", "SYS_MODULE"]), Room::new(&[]));
    let open = with.doors().contains(&door("host", "it can load code into the kernel"));
    assert_eq!(open, has_modules());
    // ENOEXEC, ENOSYS, EPERM.
    let errno = with.tries_shell(&script).stdout;
    assert_eq!(errno, if has_modules() { "8" } else { "38" });
    assert_eq!(without.tries_shell(&script).stdout, "1");
    with.ends();
    without.ends();
}

/// Opens a block device to write, and writes nothing.
fn opens(node: &str) -> String {
    format!("perl -e 'open(my $disk, \"+<\", \"{node}\") or exit 1; read($disk, my $some, 4096) == 4096 or exit 2'")
}

#[test]
fn the_disk_of_the_hosts_root_is_opened_by_its_node() {
    let (major, minor) = root_disk();
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).unwrap();
    let node = format!("/dev/{}", link.file_name().unwrap().display());
    let what = "it can write the disk of the host's root";
    // A machine may keep its disk from everybody, its own root too.
    if File::open(&node).is_ok() {
        goes_through(&["--device", &node], what, &opens(&node));
    } else {
        let room = Room::new(&["--device", &node]);
        assert!(room.doors().contains(&door("host", what)));
        assert_eq!(room.tries_shell(&opens(&node)).code, 1);
        room.ends();
    }
}

#[test]
fn a_disk_is_opened_by_a_node_that_was_given_or_made() {
    let place = Carboy::new();
    let disk = Disk::new(&place);
    let given = Room::new(&["--device", disk.node()]);
    assert_eq!(sorted(given.doors()), sorted(with_usual(&[("wide", "it has disks of the host")])));
    assert_eq!(given.tries_shell(&opens(disk.node())).code, 0);
    given.ends();
    let numbers = disk.numbers().replace(':', " ");
    let made = format!("mknod /tmp/disk b {numbers} && {}", opens("/tmp/disk"));
    let what = "it can make a node of any device: the host's disks";
    if is_v1() {
        goes_through(&["--privileged"], what, &made);
    } else {
        stays_shut(&[], what, &made);
    }
}

#[test]
fn with_a_hierarchy_of_v1_a_release_agent_is_written_as_it_was() {
    let Version::V1(point) = hierarchy("pids") else {
        return assert_eq!(hierarchy("pids"), hierarchy("memory"), "all of v2, which runs no programs");
    };
    let volume = format!("{}:/mnt", point.display());
    let what = "a program can be named that the host runs when a group of v1 is empty: release_agent";
    let script = "f=/mnt/release_agent; v=$(cat $f) && echo \"$v\" > $f";
    goes_through(&["--cap-add", "SYS_ADMIN", "-v", &volume], what, script);
    stays_shut(&["-v", &volume], what, script);
}

/// name_to_handle_at and open_by_handle_at: the handle of a file outside, and the file by that inside.
#[test]
fn with_dac_read_search_a_file_beside_the_mounted_folder_is_written() {
    let place = Carboy::new();
    let file = secret(&place);
    let (name, open) = if cfg!(target_arch = "aarch64") { (264, 265) } else { (303, 304) };
    let handle = "my $handle = pack(\"Ii\", 128, 0) . (\"\\0\" x 128);";
    let told = format!(
        "{handle} my ($path, $mount) = (\"{}\", pack(\"i\", 0)); \
         syscall({name}, -100, $path, $handle, $mount, 0) == 0 or exit 1; print unpack(\"H*\", $handle)",
        file.display()
    );
    let told = ended(Command::new("perl").args(["-e", &told]));
    assert_eq!(told.code, 0, "the file system of {} has no handles", file.display());
    fs::create_dir(place.folder().join("shared")).unwrap();
    let volume = format!("{}:/mnt", place.folder().join("shared").display());
    let script = format!(
        "perl -e 'my $handle = pack(\"H*\", \"{}\"); open(my $at, \"<\", \"/mnt\") or exit 2; my $fd = syscall({open}, fileno($at), $handle, 1); $fd >= 0 or exit 3; \
         open(my $out, \">&=\", $fd) or exit 4; print $out \"reached\"; close $out or exit 5'",
        told.stdout
    );
    let what = "it can write any file of the host's root by its number";
    goes_through(&["--cap-add", "DAC_READ_SEARCH", "-v", &volume], what, &script);
    assert_eq!(fs::read_to_string(&file).unwrap(), "reacheded");
    stays_shut(&["-v", &volume], what, &script);
}

#[test]
fn a_folder_that_was_left_open_leads_to_the_hosts_root() {
    let place = Carboy::new();
    let file = secret(&place);
    let bundle = Bundle::new();
    let group = format!("/{}/{:064x}", bundle.id, 7);
    bundle.change(|config| config["linux"]["cgroupsPath"] = json!(group));
    bundle.args(&["sh", "-c", &format!("echo inside > /proc/self/fd/3/../..{}; exec sleep 1000", file.display())]);
    let words = format!(
        "exec 3</sys/kernel; exec \"$0\" --root \"$1/states\" run --detach --preserve-fds 1 --bundle \"$1\" {}",
        bundle.id
    );
    let mut command = Command::new("sh");
    command.args(["-c", &words]).arg(&bundle.runtime).arg(bundle.path());
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(started.success());
    carboy_e2e::eventually("it has written", || fs::read_to_string(&file).is_ok_and(|text| text == "inside\n"));
    let seen = doors(&place, &bundle.state()["pid"].to_string());
    let what = "a folder of the host is open to it, and all that is above: its files can be written";
    assert!(seen.contains(&door("host", what)), "{seen:?}");
}

/// Starts a container of Docker, and gives the doors that `see` names for it.
fn doors_with(docker: &Docker, carboy: &Carboy, flags: &[&str]) -> Vec<Door> {
    let id = docker.told(&[&["run", "--detach", "--network", "none"], flags, &["probe", "sleep", "1000"]].concat());
    let mut seen = doors(carboy, &id);
    seen.retain(|(_, what)| what != "it has disks of the host");
    docker.told(&["rm", "--force", &id]);
    sorted(seen)
}

/// What Docker's API is told by whoever has its socket: a container with a folder of the host, whose command writes there.
fn through_the_socket(folder: &Path) -> String {
    let body = json!({
        "Image": "probe", "Cmd": ["touch", "/host/reached"],
        "HostConfig": {"Binds": [format!("{}:/host", folder.display())], "NetworkMode": "none"},
    });
    format!(
        "perl -e '
            sub asks {{
                my ($path, $body) = @_;
                socket(my $to, 1, 1, 0) or exit 2;
                connect($to, pack(\"Sa108\", 1, \"/run/docker.sock\")) or exit 3;
                my $head = \"Host: d\\r\\nConnection: close\\r\\nContent-Type: application/json\\r\\n\";
                syswrite($to, \"POST $path HTTP/1.1\\r\\n${{head}}Content-Length: \" . length($body) . \"\\r\\n\\r\\n$body\");
                local $/; return scalar <$to>;
            }}
            asks(\"/containers/create\", q({body})) =~ /\"Id\":\"([0-9a-f]+)\"/ or exit 4;
            asks(\"/containers/$1/start\", \"\") =~ / 204 / or exit 5'"
    )
}

#[test]
fn dockers_containers_have_the_doors_that_were_opened_and_its_socket_leads_to_the_host() {
    let (docker, place) = (Docker::configured(NO_NETWORKS), Carboy::new());
    let hosts_groups = if is_v1() { &[("narrow", "it sees the names of the groups that it is in")][..] } else { &[] };
    let with = |opened: &[(&str, &str)]| sorted(with_usual(&[opened, hosts_groups].concat()));
    let socket = docker.socket();
    let volume = format!("{socket}:/run/docker.sock");
    let engine = "an engine's socket: whoever speaks with it starts what they like on the host";
    assert_eq!(doors_with(&docker, &place, &[]), with(&[]));
    assert_eq!(doors_with(&docker, &place, &["-v", &volume]), with(&[("host", engine)]));
    let admin = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    assert_eq!(doors_with(&docker, &place, &admin), with(&[("host", ADMIN), ("wide", CALLS)]));
    let bare = ["--user", "1000", "--security-opt", "no-new-privileges", "-v", "/etc:/e"];
    let read = [&[("wide", "the host's /etc can be read")], hosts_groups].concat();
    let read: Vec<Door> = read.iter().map(|(width, what)| door(width, what)).collect();
    let read = read.into_iter().chain(unconfined()).collect();
    assert_eq!(doors_with(&docker, &place, &bare), sorted(read));
    let seen = doors_with(&docker, &place, &["-v", "/:/host"]);
    assert!(seen.contains(&door("host", "the host's / can be written")), "{seen:?}");
    // Docker mounts files of the host in each container, so that one may be opened by its number.
    let mut all = privileged();
    all.push(door("host", "it can write any file of the host's root by its number"));
    all.extend(hosts_groups.iter().map(|(width, what)| door(width, what)));
    // Debian's Docker is older than CAP_PERFMON and CAP_BPF.
    all.retain(|(_, what)| what != WATCH && what != LOAD);
    assert_eq!(doors_with(&docker, &place, &["--privileged"]), sorted(all));

    let folder = place.folder().join("host");
    fs::create_dir(&folder).unwrap();
    goes_through(&["-v", &volume], engine, &through_the_socket(&folder));
    carboy_e2e::eventually("the host's folder was written", || folder.join("reached").exists());
    for id in docker.told(&["ps", "--all", "--quiet"]).lines() {
        docker.told(&["rm", "--force", id]);
    }
}

/// In the host's mount namespace a root is a folder, which one who may change it leaves. chroot(2).
#[test]
fn in_the_hosts_mount_namespace_a_root_is_left() {
    let place = Carboy::new();
    let (root, file) = (root_with_perl(&place), secret(&place));
    let leave = format!(
        "chdir \"/\"; mkdir \"/tmp/in\"; chroot \"/tmp/in\" or exit 1; chdir \"..\" for 1 .. 64; chroot \".\" or exit 2; \
         open(my $out, \">\", \"{}\") or exit 3; print $out \"reached\"; close $out or exit 4; exec \"/bin/sleep\", \"1000\"",
        file.display()
    );
    fs::write(root.join("leave"), &leave).unwrap();
    let group = mount_points()[0].join(place.folder().file_name().unwrap()).join(format!("{:064x}", 0xabc));
    fs::create_dir_all(&group).unwrap();
    let mut inside = Command::new("unshare");
    inside.args([
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        "echo 0 > \"$0\"; exec chroot \"$1\" /usr/bin/perl /leave",
    ]);
    inside.arg(group.join("cgroup.procs")).arg(&root);
    let inside = Helper(inside.stdin(Stdio::null()).spawn().unwrap());
    carboy_e2e::eventually("it has written", || fs::read_to_string(&file).is_ok_and(|text| text == "reached"));
    let what = "it has the host's mounts, and can leave its root: the host's files can be written";
    let seen = doors(&place, &format!("{:064x}", 0xabc));
    assert!(seen.contains(&door("host", what)), "{seen:?}");
    drop(inside);
    carboy_e2e::eventually("its group is empty", || fs::remove_dir(&group).is_ok());
    fs::remove_dir(group.parent().unwrap()).unwrap();
    let script = format!("perl -e '{leave}'");
    let shut = Room::new(&[]);
    assert_eq!(shut.tries_shell(&script).code, 3, "in a default container the root that it comes to is its own");
    shut.ends();
}

/// A mount that is shared with the host: what is mounted below it inside is there on the host too.
#[test]
fn what_is_mounted_below_a_shared_mount_appears_on_the_host() {
    let bundle = Bundle::new();
    let shared = bundle.carboy.folder().join("shared");
    fs::create_dir(&shared).unwrap();
    let mounted = |words: &[&str]| assert!(Command::new("mount").args(words).arg(&shared).status().unwrap().success());
    mounted(&["-t", "tmpfs", "tmpfs"]);
    mounted(&["--make-shared"]);
    let unmounted = || ended(Command::new("umount").args(["--recursive", "--lazy"]).arg(&shared)).code;
    fs::create_dir(shared.join("new")).unwrap();
    bundle.change(|config| {
        config["linux"]["cgroupsPath"] = json!(format!("/{}/{:064x}", bundle.id, 11));
        let mount = json!({"destination": "/mnt", "source": shared, "options": ["rbind", "rshared"]});
        config["mounts"].as_array_mut().unwrap().push(mount);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_ADMIN"));
        }
    });
    bundle.args(&["sh", "-c", "mount -t tmpfs tmpfs /mnt/new && touch /mnt/new/inside; exec sleep 1000"]);
    let ran = bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]);
    let inside = shared.join("new/inside");
    let began = std::time::Instant::now();
    while ran == 0 && !inside.exists() && began.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (appeared, seen) = (inside.exists(), doors(&bundle.carboy, &bundle.state()["pid"].to_string()));
    assert_eq!(unmounted(), 0);
    assert!(ran == 0 && appeared);
    assert!(seen.contains(&door("wide", "what it mounts appears on the host")), "{seen:?}");
}
