//! The groups that a real systemd makes, and what it does with them. Runs where systemd is PID 1, on cgroup v2.

#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use carboy_e2e::eventually;
use cgroup::systemd::{Instance, Manager, Property, Scope, Unit, Value, devices, settings};
use cgroup::{Version, Write, cpu, cpuset, io, memory, pids, unified};
use child::{Scene, Step, Turn};
use error::{Error, RefusedKind};
use rustix::process::Pid;

/// The slice of these tests' units.
const SLICE: &str = "carboytest-driver.slice";

fn connect() -> Manager {
    Manager::connect(Instance::System).unwrap()
}

/// A unit of a new name.
fn unit() -> Unit {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Unit::parse(&format!("{SLICE}:carboy:{name}"), Instance::System).unwrap()
}

/// Takes a unit, and the slices of the tests, away at the end of a test, however it ends.
struct Cleared(Unit);

impl Drop for Cleared {
    fn drop(&mut self) {
        let mut manager = connect();
        let _ = manager.stop(&self.0);
        for slice in [SLICE, "carboytest.slice"] {
            if let Ok(slice) = Unit::parse(&format!("::{slice}"), Instance::System) {
                let _ = manager.stop(&slice);
            }
        }
    }
}

fn folder(group: impl ToString) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(group.to_string().trim_start_matches('/'))
}

fn file(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap().trim_end().to_owned()
}

fn processes(folder: &Path) -> Vec<u32> {
    file(folder, "cgroup.procs").lines().map(|line| line.parse().unwrap()).collect()
}

/// What `systemctl show` says of a property.
fn shown(unit: &Unit, property: &str) -> String {
    let output = Command::new("systemctl").args(["show", "--value", "-p", property, unit.name()]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A process that waits until its input ends.
fn waiting() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

fn limits() -> Vec<Write> {
    let json = r#"{"cpu":{"shares":512,"quota":33333,"period":100000,"cpus":"0","mems":"0"},
                   "memory":{"limit":67108864,"swap":134217728,"reservation":33554432},"pids":{"limit":20}}"#;
    let asked: oci::Resources = serde_json::from_str(json).unwrap();
    let cpu = asked.cpu.unwrap();
    let mut writes = cpu::plan_v2(&cpu).unwrap();
    writes.extend(cpuset::plan_v2(&cpu, None).unwrap());
    writes.extend(memory::plan_v2(&asked.memory.unwrap()).unwrap());
    writes.extend(pids::plan_v2(&asked.pids.unwrap()).unwrap());
    writes.push(unified::plan_v2("memory.high", "62914560").unwrap());
    writes
}

fn properties(unit: &Unit, manager: &Manager, writes: &[Write]) -> Vec<Property> {
    let mut properties = unit.plan("a test of carboy", manager.version());
    properties.extend(settings(writes.iter().map(|write| (Version::V2, write)), manager.version()));
    properties
}

fn started(manager: &mut Manager, unit: &Unit, writes: &[Write]) -> Scope {
    let properties = properties(unit, manager, writes);
    manager.start_scope(unit, &properties).unwrap()
}

/// What is in every file that a limit was asked for, as carboy or systemd wrote it.
fn written(folder: &Path, writes: &[Write]) -> Vec<String> {
    writes.iter().map(|write| format!("{} = {}", write.file, file(folder, &write.file))).collect()
}

#[test]
fn a_scope_has_its_limits_before_its_process_and_goes_with_it() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let writes = limits();
    let scope = started(&mut manager, &unit, &writes);
    assert_eq!(scope.group(), unit.path());
    let folder = folder(scope.group());
    let mut expected: Vec<String> = writes.iter().map(ToString::to_string).collect();
    // A quota of whole percents.
    expected
        .iter_mut()
        .filter(|line| line.starts_with("cpu.max"))
        .for_each(|line| *line = "cpu.max = 34000 100000".into());
    assert_eq!(written(&folder, &writes), expected);
    for (property, value) in [
        ("Description", "a test of carboy"),
        ("Slice", SLICE),
        ("Delegate", "yes"),
        ("CPUWeight", "59"),
        ("CPUQuotaPerSecUSec", "340ms"),
        ("CPUQuotaPeriodUSec", "100ms"),
        ("AllowedCPUs", "0"),
        ("AllowedMemoryNodes", "0"),
        ("MemoryMax", "67108864"),
        ("MemoryHigh", "62914560"),
        ("MemoryLow", "33554432"),
        ("MemorySwapMax", "67108864"),
        ("TasksMax", "20"),
        ("CollectMode", "inactive-or-failed"),
    ] {
        assert_eq!(shown(&unit, property), value, "{property}");
    }

    let placeholder = processes(&folder);
    assert_eq!(placeholder.len(), 1);
    let mut child = waiting();
    fs::write(folder.join("cgroup.procs"), child.id().to_string()).unwrap();
    scope.release();
    assert_eq!(processes(&folder), [child.id()]);
    assert!(!Path::new(&format!("/proc/{}", placeholder[0])).exists());
    assert_eq!(shown(&unit, "ActiveState"), "active");

    drop(child.stdin.take());
    child.wait().unwrap();
    eventually("the scope goes with its last process", || !folder.exists());
    eventually("systemd forgets it", || shown(&unit, "LoadState") == "not-found");
    manager.stop(&unit).unwrap();
}

#[test]
fn a_process_is_made_right_in_the_scope() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let scope = started(&mut manager, &unit, &limits());
    let folder = folder(scope.group());
    let (parent, sync) = pair();
    let group = fs::File::open(&folder).unwrap();
    let scene = Scene {
        sync: sync.as_fd(),
        parent: parent.as_fd(),
        namespaces: &[],
        groups: &[],
        mounts: &[],
        standard: [sync.as_fd(); 3],
        gate: None,
    };
    let spawned =
        child::spawn(sys::namespace::Kinds::NONE, Some(group.as_fd()), &[Step::Await(Turn::Ready)], &scene).unwrap();
    scope.release();
    assert_eq!(processes(&folder), [spawned.pid.unsigned_abs()]);
    drop((parent, sync));
    sys::process::wait(spawned.pidfd.as_fd()).unwrap();
    eventually("the scope goes with its last process", || !folder.exists());
}

fn pair() -> (OwnedFd, OwnedFd) {
    sys::socket::pair().unwrap()
}

#[test]
fn a_scope_that_no_process_joined_goes_with_its_placeholder() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let folder = {
        let scope = started(&mut manager, &unit, &[]);
        let folder = folder(scope.group());
        assert!(folder.exists());
        folder
    };
    eventually("the scope goes", || !folder.exists() && shown(&unit, "LoadState") == "not-found");
}

#[test]
fn limits_change_while_it_runs_and_stopping_kills_what_is_in_it() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let scope = started(&mut manager, &unit, &limits());
    let folder = folder(scope.group());
    let mut child = waiting();
    fs::write(folder.join("cgroup.procs"), child.id().to_string()).unwrap();
    scope.release();
    let changes = [
        Property { name: "MemoryMax", value: Value::Number(128 << 20) },
        Property { name: "MemoryHigh", value: Value::Number(cgroup::systemd::INFINITY) },
        Property { name: "TasksMax", value: Value::Number(33) },
        Property { name: "CPUWeight", value: Value::Number(200) },
        Property { name: "AllowedCPUs", value: Value::Bits(vec![0b10]) },
    ];
    manager.set_properties(&unit, &changes).unwrap();
    for (name, value) in [
        ("memory.max", "134217728"),
        ("memory.high", "max"),
        ("pids.max", "33"),
        ("cpu.weight", "200"),
        ("cpuset.cpus", "1"),
        ("memory.low", "33554432"),
    ] {
        assert_eq!(file(&folder, name), value, "{name}");
    }
    assert_eq!(manager.unit_property(&unit, "MemoryMax").unwrap(), Value::Number(128 << 20));
    manager.stop(&unit).unwrap();
    child.wait().unwrap();
    assert!(!folder.exists());
    eventually("systemd forgets it", || shown(&unit, "LoadState") == "not-found");
}

#[test]
fn what_systemd_reads_anew_stays_as_it_is() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let mut writes = limits();
    writes.retain(|write| write.file != "cpu.weight");
    writes.extend(
        [("cpu.idle", "1"), ("cpu.max.burst", "1000")].map(|(file, value)| unified::plan_v2(file, value).unwrap()),
    );
    let scope = started(&mut manager, &unit, &writes);
    let folder = folder(scope.group());
    for write in &writes {
        fs::write(folder.join(&*write.file), &write.value).unwrap();
    }
    assert_eq!(file(&folder, "cpu.max"), "33333 100000");
    writes.retain(|write| write.file != "cpu.max");
    let before = written(&folder, &writes);
    run("systemctl", &["daemon-reload"]);
    assert_eq!(written(&folder, &writes), before);
    manager.set_properties(&unit, &[Property { name: "TasksMax", value: Value::Number(20) }]).unwrap();
    assert_eq!(written(&folder, &writes), before);
    // The only one that is coarser: never less than what was asked for.
    assert_eq!(file(&folder, "cpu.max"), "34000 100000");
    drop(scope);
}

#[test]
fn a_controller_that_systemd_does_not_know_can_be_enabled_beside_it() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let scope = started(&mut manager, &unit, &[]);
    let group = scope.group().clone();
    let has = |controller: &str| file(&folder(&group), "cgroup.controllers").split(' ').any(|one| one == controller);
    for controller in ["cpu", "cpuset", "io", "memory", "pids"] {
        assert!(has(controller), "a delegated unit has {controller}");
    }
    assert!(!has("hugetlb"));
    for above in group.ancestors() {
        fs::write(folder(&above).join("cgroup.subtree_control"), "+hugetlb").unwrap();
    }
    let limit = folder(&group).join("hugetlb.2MB.max");
    fs::write(&limit, "4194304").unwrap();
    run("systemctl", &["daemon-reload"]);
    manager.set_properties(&unit, &[Property { name: "TasksMax", value: Value::Number(20) }]).unwrap();
    assert_eq!(fs::read_to_string(&limit).unwrap().trim(), "4194304");
    drop(scope);
    for above in group.ancestors().iter().rev() {
        let _ = fs::write(folder(above).join("cgroup.subtree_control"), "-hugetlb");
    }
}

#[test]
fn block_devices_are_held_back_by_their_numbers() {
    let device = fs::read_to_string("/sys/block/vda/dev").unwrap();
    let device = device.trim();
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let writes = [
        unified::plan_v2("io.max", &format!("{device} rbps=1048576 wiops=max")).unwrap(),
        unified::plan_v2("io.max", &format!("{device} wbps=2097152 riops=120")).unwrap(),
        unified::plan_v2("io.weight", "default 200").unwrap(),
        unified::plan_v2("io.weight", &format!("{device} 50")).unwrap(),
    ];
    let scope = started(&mut manager, &unit, &writes);
    assert_eq!(
        file(&folder(scope.group()), "io.max"),
        format!("{device} rbps=1048576 wbps=2097152 riops=120 wiops=max")
    );
    assert_eq!(shown(&unit, "IOWeight"), "200");
    assert_eq!(shown(&unit, "IODeviceWeight"), format!("/dev/block/{device} 50"));
    drop(scope);
}

#[test]
fn the_properties_for_v1_are_known_to_it() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let asked: oci::Resources = serde_json::from_str(
        r#"{"cpu":{"shares":512,"quota":50000},"memory":{"limit":67108864},
            "blockIO":{"weight":300,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}]}}"#,
    )
    .unwrap();
    let mut writes = cpu::plan_v1(&asked.cpu.unwrap(), None).unwrap();
    writes.extend(memory::plan_v1(&asked.memory.unwrap()).unwrap());
    writes.extend(io::plan_v1(&asked.block_io.unwrap(), None).unwrap());
    let mut properties = unit.plan("a test of carboy", manager.version());
    properties.extend(settings(writes.iter().map(|write| (Version::V1, write)), manager.version()));
    let scope = manager.start_scope(&unit, &properties).unwrap();
    for (property, value) in [
        ("CPUShares", "512"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("MemoryLimit", "67108864"),
        ("BlockIOWeight", "300"),
        ("BlockIOReadBandwidth", "/dev/block/8:0 1048576"),
    ] {
        assert_eq!(shown(&unit, property), value, "{property}");
    }
    drop(scope);
}

/// systemd's own socket out of the way, so that only the bus is left.
struct BusOnly;

impl BusOnly {
    const SOCKET: &str = "/run/systemd/private";
    const ASIDE: &str = "/run/systemd/private.aside";

    fn new() -> Self {
        fs::rename(Self::SOCKET, Self::ASIDE).unwrap();
        Self
    }
}

impl Drop for BusOnly {
    fn drop(&mut self) {
        let _ = fs::rename(Self::ASIDE, Self::SOCKET);
    }
}

#[test]
fn the_bus_does_as_well_as_systemds_own_socket() {
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let _bus_only = BusOnly::new();
    let mut manager = connect();
    let scope = started(&mut manager, &unit, &limits());
    assert_eq!(file(&folder(scope.group()), "memory.max"), "67108864");
    manager.stop(&unit).unwrap();
    assert!(!folder(scope.group()).exists());
}

#[test]
fn devices_are_those_that_were_asked_for() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let asked: Vec<oci::DeviceRule> = serde_json::from_str(
        r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]"#,
    )
    .unwrap();
    let mut properties = unit.plan("a test of carboy", manager.version());
    properties.extend(devices(&asked, manager.version()));
    let scope = manager.start_scope(&unit, &properties).unwrap();
    let procs = folder(scope.group()).join("cgroup.procs");
    let within = |command: &str| {
        let script = format!("echo $$ >{} && {command}", procs.display());
        Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(within(": </dev/null && : >/dev/null && : </dev/urandom && : </dev/kmsg && : </dev/ptmx"));
    assert!(!within(": >/dev/kmsg"));
    assert!(!within(": </dev/mem"));
    assert!(within("cd /tmp && mknod carboy-driver c 1 1 && rm carboy-driver"));
    let other: Vec<oci::DeviceRule> =
        serde_json::from_str(r#"[{"allow":true,"type":"c","major":1,"minor":1,"access":"r"}]"#).unwrap();
    manager.set_properties(&unit, &devices(&other, manager.version())).unwrap();
    assert!(within(": </dev/mem && : >/dev/null") && !within(": </dev/kmsg"));
    drop(scope);
}

#[test]
fn a_slice_needs_no_process_and_has_the_controllers() {
    let mut manager = connect();
    let unit = Unit::parse(&format!("{SLICE}:carboy:carboytest-driver-{}.slice", std::process::id()), Instance::System);
    let unit = unit.unwrap();
    let _cleared = Cleared(unit.clone());
    let properties = properties(&unit, &manager, &limits());
    let group = manager.start_slice(&unit, &properties).unwrap();
    assert_eq!(&group, unit.path());
    let folder = folder(&group);
    assert_eq!(file(&folder, "memory.max"), "67108864");
    assert_eq!(file(&folder, "pids.max"), "20");
    for controller in ["cpu", "cpuset", "io", "memory", "pids"] {
        assert!(file(&folder, "cgroup.controllers").split(' ').any(|one| one == controller), "{controller}");
    }
    manager.stop(&unit).unwrap();
    assert!(!folder.exists());
}

#[test]
fn a_name_is_taken_once_and_a_value_that_is_none_is_refused() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let bad = [Property { name: "MemoryMax", value: Value::Text("lots".into()) }];
    let refused = manager.start_scope(&unit, &bad).unwrap_err();
    assert!(refused.to_string().contains(unit.name()), "{refused}");
    assert!(manager.set_properties(&unit, &bad).is_err());
    assert!(manager.control_group(&unit).is_err());
    let scope = started(&mut manager, &unit, &[]);
    let Err(Error::Refused(taken)) = manager.start_scope(&unit, &[]) else {
        panic!("a unit of the same name was made")
    };
    assert_eq!(taken.kind, RefusedKind::Conflict);
    assert!(folder(scope.group()).exists());
    drop(scope);
}

#[test]
fn systemd_moves_a_process_where_it_is_asked_to() {
    let mut manager = connect();
    let unit = unit();
    let _cleared = Cleared(unit.clone());
    let scope = started(&mut manager, &unit, &[]);
    let folder = folder(scope.group());
    let mut child = waiting();
    manager.attach(&unit, Pid::from_child(&child)).unwrap();
    scope.release();
    assert_eq!(processes(&folder), [child.id()]);
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// The user of the test below, who has a systemd of their own while it runs.
const USER: u32 = 4_711;
/// Set where this program runs as that user.
const AS_USER: &str = "CARBOY_TEST_RUNTIME_DIR";

#[test]
fn a_user_has_scopes_by_their_own_systemd() {
    if let Some(runtime) = std::env::var_os(AS_USER) {
        return as_that_user(Path::new(&runtime));
    }
    let name = "carboytest";
    run("useradd", &["--uid", &USER.to_string(), "--no-create-home", name]);
    run("systemctl", &["start", &format!("user@{USER}.service")]);
    let runtime = format!("/run/user/{USER}");
    // A copy that the user may execute.
    let program = PathBuf::from("/tmp/carboy-systemd-driver");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let numbers = [format!("--reuid={USER}"), format!("--regid={USER}")];
    let mut command = Command::new("setpriv");
    command.args(numbers).arg("--clear-groups").arg(&program).args([
        "--exact",
        "--nocapture",
        "a_user_has_scopes_by_their_own_systemd",
    ]);
    let ended = command.env(AS_USER, &runtime).output().unwrap();
    fs::remove_file(&program).unwrap();
    run("systemctl", &["stop", &format!("user@{USER}.service"), &format!("user-runtime-dir@{USER}.service")]);
    run("userdel", &[name]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

fn as_that_user(runtime_dir: &Path) {
    let instance = Instance::User { runtime_dir };
    let mut manager = Manager::connect(instance).unwrap();
    let unit = Unit::parse(":carboy:user", instance).unwrap();
    let properties = properties(&unit, &manager, &limits());
    let scope = manager.start_scope(&unit, &properties).unwrap();
    let group = scope.group().to_string();
    assert_eq!(group, format!("/user.slice/user-{USER}.slice/user@{USER}.service/user.slice/carboy-user.scope"));
    let folder = folder(&group);
    assert_eq!(file(&folder, "memory.max"), "67108864");
    let mut child = waiting();
    // Between two groups below one that is not the user's, only systemd can move a process.
    fs::write(folder.join("cgroup.procs"), child.id().to_string()).unwrap_err();
    manager.attach(&unit, Pid::from_child(&child)).unwrap();
    scope.release();
    assert_eq!(processes(&folder), [child.id()]);
    manager.stop(&unit).unwrap();
    child.wait().unwrap();
    assert!(!folder.exists());
}
