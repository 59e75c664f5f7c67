//! Limits of disks, felt on a loop device: one of the test's own on a sparse file, with a partition.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::*;
use crate::plan::Step;
use crate::{change, io};

const MIB: u64 = 1 << 20;

/// A loop device, detached when the test ends.
struct Loop {
    folder: PathBuf,
    device: String,
}

impl Loop {
    fn attach() -> Self {
        let folder = std::env::temp_dir().join(name());
        std::fs::create_dir(&folder).unwrap();
        let image = folder.join("image");
        File::create(&image).unwrap().set_len(64 * MIB).unwrap();
        if !Path::new("/dev/loop-control").exists() {
            assert!(Command::new("modprobe").arg("loop").status().unwrap().success());
        }
        let output = Command::new("losetup").args(["-P", "-f", "--show"]).arg(&image).output().unwrap();
        assert!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr));
        let attached = Self { folder, device: String::from_utf8(output.stdout).unwrap().trim().to_owned() };
        let partition = Command::new("addpart").args([&attached.device, "1", "2048", "4096"]).status();
        assert!(partition.unwrap().success());
        attached
    }

    fn name(&self) -> &str {
        self.device.strip_prefix("/dev/").unwrap()
    }

    fn sys(&self, file: &str) -> PathBuf {
        Path::new("/sys/block").join(self.name()).join(file)
    }

    fn number(&self, file: &str) -> (u32, u32) {
        let text = std::fs::read_to_string(self.sys(file)).unwrap();
        let (major, minor) = text.trim().split_once(':').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    }

    /// A limit of each kind on this disk.
    fn limits(&self, rates: [u64; 4]) -> oci::Resources {
        let (major, minor) = self.number("dev");
        limits((major, minor), rates)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = std::fs::write(self.sys("queue/scheduler"), "none");
        let detached = Command::new("losetup").args(["-d", &self.device]).status();
        let removed = std::fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            assert!(detached.unwrap().success());
            removed.unwrap();
        }
    }
}

fn limits((major, minor): (u32, u32), rates: [u64; 4]) -> oci::Resources {
    let [read_bps, write_bps, read_iops, write_iops] = rates.map(|rate| {
        let limit = oci::ThrottleDevice { major: major.into(), minor: minor.into(), rate };
        if rate == 0 { Vec::new() } else { vec![limit] }
    });
    let block_io = oci::BlockIo {
        throttle_read_bps_device: read_bps,
        throttle_write_bps_device: write_bps,
        throttle_read_iops_device: read_iops,
        throttle_write_iops_device: write_iops,
        ..Default::default()
    };
    oci::Resources { block_io: Some(block_io), ..Default::default() }
}

fn changed(guard: &Guard, groups: &mut Groups, asked: &oci::Resources) -> error::Result<()> {
    let nothing = oci::Resources::default();
    let now = change::Now::read(&guard.hierarchies, groups).unwrap();
    let wishes = change::Wishes { former: &nothing, asked, merged: asked, unasked: &[] };
    groups.change(&change::plan(&guard.hierarchies, &guard.path, &now, &wishes)?)
}

/// The loop device is none of those that every container can open.
const ANY_DEVICE: &str = r#"{"devices":[{"allow":true,"access":"rwm"}]}"#;

const DISK: &str = "CARBOY_TEST_DISK";
const BLOCK: &str = "CARBOY_TEST_BLOCK";
const COUNT: usize = 40;

/// How many blocks a second a process in the group reads, and another one writes, past the page cache.
fn rates(guard: &Guard, groups: &Groups, disk: &Loop, block: usize) -> [f64; 2] {
    let workers = ["reads", "writes"].map(|what| {
        let mut worker = Command::new(std::env::current_exe().unwrap());
        worker.args(["--exact", "--nocapture", &format!("kernel::io::{what}")]);
        worker.env(DISK, &disk.device).env(BLOCK, block.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let worker = worker.stderr(Stdio::piped()).spawn().unwrap();
        attach(guard, groups, Pid::from_child(&worker));
        worker
    });
    // Their standard input ends when the groups are theirs.
    workers.map(|mut worker| worker.stdin.take().map(|_| worker).unwrap()).map(|worker| {
        let output = worker.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let seconds = text.lines().find_map(|line| line.split_once("seconds ")?.1.parse::<f64>().ok());
        f64::from(u32::try_from(COUNT).unwrap()) / seconds.unwrap_or_else(|| panic!("{output:?}"))
    })
}

fn transfer(how: impl Fn(&File, &mut [u8], u64)) {
    let Some(disk) = std::env::var_os(DISK) else { return };
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    let block: usize = std::env::var(BLOCK).unwrap().parse().unwrap();
    let mut options = File::options();
    let options = options.read(true).write(true).custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed());
    let disk = options.open(disk).unwrap();
    let mut buffer = vec![0; block + 4096];
    let start = buffer.as_ptr().align_offset(4096);
    let buffer = &mut buffer[start..start + block];
    let transfer = |number: usize, buffer: &mut [u8]| how(&disk, buffer, u64::try_from(number * block).unwrap());
    // The first one is what the kernel lets through to begin with.
    transfer(0, buffer);
    let start = Instant::now();
    (1..=COUNT).for_each(|number| transfer(number, buffer));
    println!("seconds {}", start.elapsed().as_secs_f64());
}

/// Runs in the groups of the test that starts it, and is nothing without.
#[test]
fn reads() {
    transfer(|disk, buffer, at| disk.read_exact_at(buffer, at).unwrap());
}

/// As [`reads`].
#[test]
fn writes() {
    transfer(|disk, buffer, at| disk.write_all_at(buffer, at).unwrap());
}

#[test]
fn bytes_and_operations_of_a_disk_keep_their_rates_and_are_counted() {
    let disk = Loop::attach();
    let (guard, mut groups) = made(&name(), ANY_DEVICE);
    let block = 1 << 16;
    changed(&guard, &mut groups, &disk.limits([2 * MIB, MIB, 0, 0])).unwrap();
    assert_near("bytes", rates(&guard, &groups, &disk, block), [32.0, 16.0]);
    // What is not named stays, and 0 is no limit.
    let (mut asked, off) = (disk.limits([1, 1, 40, 20]), disk.limits([1, 1, 1, 1]));
    let io = asked.block_io.as_mut().unwrap();
    io.throttle_read_bps_device[0].rate = 0;
    io.throttle_write_bps_device[0].rate = 0;
    changed(&guard, &mut groups, &asked).unwrap();
    assert_near("operations", rates(&guard, &groups, &disk, block), [40.0, 20.0]);
    let stats = stats(&groups);
    let (major, minor) = disk.number("dev");
    let of_disk = stats.devices.iter().find(|device| (device.major, device.minor) == (major, minor)).unwrap();
    let (count, bytes) = (2 * (u64::try_from(COUNT).unwrap() + 1), u64::try_from(block).unwrap());
    assert_eq!((of_disk.read_ops, of_disk.read_bytes), (Some(count), Some(count * bytes)));
    assert_eq!((of_disk.write_ops, of_disk.write_bytes), (Some(count), Some(count * bytes)));
    assert!(stats.read_bytes >= of_disk.read_bytes && stats.write_ops >= of_disk.write_ops);
    assert_eq!(off.block_io.map(|io| io.throttle_read_bps_device.len()), Some(1));
}

/// Reading and writing, within 15 %.
fn assert_near(what: &str, measured: [f64; 2], expected: [f64; 2]) {
    for (measured, expected) in measured.into_iter().zip(expected) {
        assert!((measured / expected - 1.0).abs() < 0.15, "{what}: {measured} blocks a second, not {expected}");
    }
}

fn stats(groups: &Groups) -> io::Stats {
    let (version, group) = groups.controlled(Controller::Io).unwrap();
    let read = |name: &str| file::read(group, name).ok();
    match version {
        Version::V1 => io::stats_v1(read),
        Version::V2 => io::stats_v2(read),
    }
}

#[test]
fn limits_read_back_and_a_refused_one_takes_the_others_with_it() {
    let disk = Loop::attach();
    let (guard, mut groups) = made(&name(), ANY_DEVICE);
    let texts = |groups: &Groups, asked: &oci::Resources| -> Vec<String> {
        let io = asked.block_io.as_ref().unwrap();
        let (version, group) = groups.controlled(Controller::Io).unwrap();
        let writes = match version {
            Version::V1 => io::plan_v1(io, None).unwrap(),
            Version::V2 => io::plan_v2(io, None).unwrap(),
        };
        writes.iter().map(|write| file::read(group, &write.file).unwrap()).collect()
    };
    let asked = disk.limits([MIB, 2 * MIB, 100, 200]);
    changed(&guard, &mut groups, &asked).unwrap();
    let before = texts(&groups, &asked);
    let (major, minor) = disk.number("dev");
    assert!(before.iter().all(|text| text.starts_with(&format!("{major}:{minor} "))), "{before:?}");
    assert!(before[0].contains("1048576") && before[3].contains("200"), "{before:?}");
    let partition = disk.number(&format!("{}p1/dev", disk.name()));
    for bad in [partition, (4095, 7)] {
        let mut both = disk.limits([5 * MIB, 0, 0, 0]);
        both.block_io.as_mut().unwrap().throttle_write_iops_device =
            limits(bad, [0, 0, 0, 9]).block_io.unwrap().throttle_write_iops_device;
        let error = changed(&guard, &mut groups, &both).unwrap_err();
        let (major, minor) = bad;
        let text = format!(
            "cannot use linux.resources.blockIO.throttleWriteIOPSDevice {major}:{minor}: is not a whole disk of this host"
        );
        assert_eq!(error.to_string(), text);
        assert_eq!(texts(&groups, &asked), before);
    }
}

#[test]
fn a_weight_is_set_where_the_kernel_has_one_and_refused_with_the_reason_where_not() {
    let disk = Loop::attach();
    let (guard, mut groups) = made(&name(), ANY_DEVICE);
    let (major, minor) = disk.number("dev");
    let weighted = |weight, of_disk| {
        let weight_device =
            vec![oci::WeightDevice { major: major.into(), minor: minor.into(), weight: of_disk, ..Default::default() }];
        let block_io = oci::BlockIo { weight, weight_device, ..Default::default() };
        oci::Resources { block_io: Some(block_io), ..Default::default() }
    };
    let facts = HostFacts::read(&guard.hierarchies, &guard.path).unwrap();
    let files = facts.weights.unwrap();
    if !files.bfq && !files.plain {
        let error = changed(&guard, &mut groups, &weighted(Some(300), None)).unwrap_err();
        assert!(error.hint().unwrap().contains("modprobe bfq"), "{error}");
        return;
    }
    changed(&guard, &mut groups, &weighted(Some(300), None)).unwrap();
    let asked = weighted(Some(300), Some(700));
    std::fs::write(disk.sys("queue/scheduler"), "none").unwrap();
    let error = changed(&guard, &mut groups, &asked).unwrap_err();
    let expected = format!("cannot use linux.resources.blockIO.weightDevice {major}:{minor}: is a disk ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    if files.bfq {
        std::fs::write(disk.sys("queue/scheduler"), "bfq").unwrap();
        changed(&guard, &mut groups, &asked).unwrap();
    }
    let steps = change::plan(
        &guard.hierarchies,
        &guard.path,
        &change::Now::read(&guard.hierarchies, &groups).unwrap(),
        &change::Wishes { former: &asked, asked: &asked, merged: &asked, unasked: &[] },
    );
    for step in steps.unwrap() {
        let Step::Write(place, write) = step else { panic!("{step}") };
        let text = file::read(groups.group(place.hierarchy).unwrap(), &write.file).unwrap();
        let of_disk = write.value.contains(':');
        let shown = text.lines().any(|line| line == write.value || line == format!("default {}", write.value));
        assert_eq!(shown, files.bfq || !of_disk, "{write}: {text}");
    }
}
