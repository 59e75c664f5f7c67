//! What is written to a group's files, as properties: so that systemd, whenever it writes those files anew, writes the
//! same. The files are written all the same, since a property may be coarser: CPU time is in whole percents. What systemd
//! sets anew without knowing a value for it is memory.oom.group: at `systemctl daemon-reload`, and whenever a property of
//! the unit changes, it becomes 0.
//!
//! systemd.resource-control(5), with the version that each property came with.

use super::{INFINITY, Property, Value};
use crate::cpuset::Set;
use crate::hierarchy::Version;
use crate::write::Write;
use crate::{cpu, cpuset, io, memory, pids};

mod since {
    pub(super) const MEMORY_MIN: u32 = 240;
    /// Device numbers in DeviceAllow= without a node or an entry of /proc/devices.
    pub(super) const DEVICE_NUMBERS: u32 = 241;
    pub(super) const QUOTA_PERIOD: u32 = 242;
    pub(super) const CPUSET: u32 = 244;
    pub(super) const IDLE: u32 = 252;
}

/// The properties for what is written to a fresh or a running group, each with the version of its hierarchy; `systemd` is
/// the manager's version. What systemd has no property for is left out.
#[must_use]
pub fn settings<'a>(writes: impl IntoIterator<Item = (Version, &'a Write)>, systemd: u32) -> Vec<Property> {
    let files = Files(writes.into_iter().collect());
    let mut properties = cpu(&files, systemd);
    properties.extend(cpuset(&files, systemd));
    properties.extend(memory(&files, systemd));
    properties.extend(pids(&files));
    properties.extend(io(&files));
    properties
}

/// What is written, by file.
struct Files<'a>(Vec<(Version, &'a Write)>);

impl Files<'_> {
    /// All values for a file, in their order.
    fn all(&self, version: Version, file: &str) -> impl Iterator<Item = &str> {
        let of_file = move |(of, write): &&(Version, &Write)| *of == version && write.file == file;
        self.0.iter().filter(of_file).map(|(_, write)| write.value.trim())
    }

    /// The value that a file has in the end.
    fn last(&self, version: Version, file: &str) -> Option<&str> {
        self.all(version, file).last()
    }
}

/// v2's number or `max`, with memparse's suffixes; `None` for what the kernel will not take either.
fn limit(text: &str) -> Option<u64> {
    if text == "max" || text == "-1" {
        return Some(INFINITY);
    }
    let (digits, shift) = match text.char_indices().last()? {
        (at, unit) if !unit.is_ascii_digit() => {
            let power = "KMGTPE".find(unit.to_ascii_uppercase())?;
            (text.get(..at)?, 10 * (power + 1))
        }
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn cpu(files: &Files<'_>, systemd: u32) -> Vec<Property> {
    let number = |name, file, version| Some(Property::number(name, files.last(version, file)?.parse().ok()?));
    let mut properties: Vec<Property> = number("CPUShares", cpu::SHARES_V1, Version::V1).into_iter().collect();
    match files.last(Version::V2, cpu::IDLE) {
        // An idle group has no weight. systemd knows that as the weight 0, and before it knew it, it let the file be.
        Some("1") if systemd >= since::IDLE => properties.push(Property::number("CPUWeight", 0)),
        _ => properties.extend(number("CPUWeight", cpu::WEIGHT_V2, Version::V2)),
    }
    let max = files.last(Version::V2, cpu::MAX_V2).map(|max| max.split_once(' ').unwrap_or((max, "")));
    let (quota, period) = max.unwrap_or_else(|| {
        let last = |file| files.last(Version::V1, file).unwrap_or_default();
        (last(cpu::QUOTA_V1), last(cpu::PERIOD_V1))
    });
    properties.extend(bandwidth(limit(quota), period.trim().parse().ok().filter(|period| *period > 0), systemd));
    properties
}

/// systemd keeps a quota as CPU time in each second, and a file that it writes is of whole percents: so up to the next
/// one, as runc has it, lest groups inside that have the exact value had more than this one.
fn bandwidth(quota: Option<u64>, period_usec: Option<u64>, systemd: u32) -> Vec<Property> {
    const SECOND_USEC: u128 = 1_000_000;
    const PERCENT_USEC: u128 = SECOND_USEC / 100;
    if quota.is_none() && period_usec.is_none() {
        return Vec::new();
    }
    let per_second = match quota {
        None | Some(INFINITY) => INFINITY,
        Some(quota) => {
            let period = u128::from(period_usec.unwrap_or(cpu::DEFAULT_PERIOD_USEC));
            let percents = (u128::from(quota) * SECOND_USEC).div_ceil(period * PERCENT_USEC);
            u64::try_from(percents * PERCENT_USEC).unwrap_or(INFINITY)
        }
    };
    let mut properties = vec![Property::number("CPUQuotaPerSecUSec", per_second)];
    let period = period_usec.filter(|_| systemd >= since::QUOTA_PERIOD);
    properties.extend(period.map(|period| Property::number("CPUQuotaPeriodUSec", period)));
    properties
}

/// systemd leaves v1's cpuset alone.
fn cpuset(files: &Files<'_>, systemd: u32) -> Vec<Property> {
    let set =
        |name, file| Some(Property::new(name, Value::Bits(bits_of_set(&Set::parse(files.last(Version::V2, file)?)?))));
    if systemd < since::CPUSET {
        return Vec::new();
    }
    [set("AllowedCPUs", cpuset::CPUS), set("AllowedMemoryNodes", cpuset::MEMS)].into_iter().flatten().collect()
}

/// More CPUs or memory nodes than any kernel is built for.
const MOST_NUMBERS: u32 = 1 << 13;

fn bits_of_set(set: &Set) -> Vec<u8> {
    let byte = |at: u32| (0..8).filter(|bit| set.contains(at + bit)).fold(0_u8, |byte, bit| byte | 1 << bit);
    let mut bytes: Vec<u8> = (0..MOST_NUMBERS).step_by(8).map(byte).collect();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    bytes
}

/// The set that bits stand for; `None` where there are more than there can be CPUs.
pub(super) fn set_of_bits(bytes: &[u8]) -> Option<Set> {
    let mut numbers = Vec::new();
    for (byte, at) in bytes.iter().zip((0_u32..MOST_NUMBERS).step_by(8)) {
        numbers.extend((0..8).filter(|bit| byte >> bit & 1 == 1).map(|bit| (at + bit).to_string()));
    }
    Set::parse(&numbers.join(","))
}

/// v1's other limits, and swappiness, have no properties.
fn memory(files: &Files<'_>, systemd: u32) -> Vec<Property> {
    const V2: [(&str, &str, u32); 5] = [
        ("MemoryMax", memory::LIMIT_V2, 0),
        ("MemorySwapMax", memory::SWAP_V2, 0),
        ("MemoryHigh", memory::HIGH_V2, 0),
        ("MemoryLow", memory::RESERVATION_V2, 0),
        ("MemoryMin", memory::MIN_V2, since::MEMORY_MIN),
    ];
    let number = |name, version, file| Some(Property::number(name, limit(files.last(version, file)?)?));
    let v2 = V2.into_iter().filter(|(_, _, since)| systemd >= *since);
    let v2 = v2.filter_map(|(name, file, _)| number(name, Version::V2, file));
    number("MemoryLimit", Version::V1, memory::LIMIT_V1).into_iter().chain(v2).collect()
}

fn pids(files: &Files<'_>) -> Option<Property> {
    let max = files.last(Version::V2, pids::MAX).or_else(|| files.last(Version::V1, pids::MAX))?;
    Some(Property::number("TasksMax", limit(max)?))
}

/// The node of a block device, which systemd takes by its number where there is no such node.
fn block_node(device: &str) -> String {
    format!("/dev/block/{device}")
}

/// The properties for io's four limits of a device, in the order of [`io::THROTTLES`]: v1's and v2's.
const THROTTLES: [(Option<&str>, &str); 4] = [
    (Some("BlockIOReadBandwidth"), "IOReadBandwidthMax"),
    (Some("BlockIOWriteBandwidth"), "IOWriteBandwidthMax"),
    (None, "IOReadIOPSMax"),
    (None, "IOWriteIOPSMax"),
];

fn io(files: &Files<'_>) -> Vec<Property> {
    let lines = |version, file| files.all(version, file).map(|line| line.split_once(' ').unwrap_or(("default", line)));
    let mut properties = Vec::new();
    // BFQ's weight and that of the scheduler before it are the same number.
    let weights = || lines(Version::V1, io::WEIGHT_V1).chain(lines(Version::V1, io::BFQ_WEIGHT_V1));
    properties.extend(weight("BlockIOWeight", weights()));
    let weights = || lines(Version::V1, io::WEIGHT_DEVICE_V1).chain(lines(Version::V1, io::BFQ_WEIGHT_DEVICE_V1));
    properties.extend(of_devices("BlockIODeviceWeight", weights()));
    // systemd writes io.cost's weight and BFQ's from one number: where both are asked for, BFQ's is the one to hold.
    let bfq: Vec<(&str, String)> = lines(Version::V2, io::BFQ_WEIGHT_V2)
        .filter_map(|(device, text)| Some((device, weight_of_bfq(text)?)))
        .collect();
    let weights = || lines(Version::V2, io::WEIGHT_V2).chain(bfq.iter().map(|(device, text)| (*device, text.as_str())));
    properties.extend(weight("IOWeight", weights()));
    properties.extend(of_devices("IODeviceWeight", weights().filter(|(device, _)| *device != "default")));
    for ((v1, v2), (_, _, file, key, _)) in THROTTLES.into_iter().zip(io::THROTTLES) {
        // v1's word for no limit is 0.
        let rates = lines(Version::V1, file).map(|(device, rate)| (device, if rate == "0" { "max" } else { rate }));
        properties.extend(v1.and_then(|name| of_devices(name, rates)));
        let rates = lines(Version::V2, io::MAX_V2).filter_map(|(device, pairs)| Some((device, value_of(pairs, key)?)));
        properties.extend(of_devices(v2, rates));
    }
    properties
}

/// The weight that is of no one device, the last one where there are several.
fn weight<'a>(name: &'static str, weights: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Property> {
    let (_, text) = weights.filter(|(device, _)| *device == "default").last()?;
    Some(Property::number(name, text.parse().ok()?))
}

/// The number from which systemd makes this one for BFQ: src/basic/cgroup-util.h `BFQ_WEIGHT`.
fn weight_of_bfq(text: &str) -> Option<String> {
    let weight: u64 = text.parse().ok()?;
    let above = weight.saturating_sub(100);
    Some((weight.min(100) + 11 * above.min(900)).to_string())
}

/// The value of a key in `rbps=1 wbps=max`.
fn value_of<'a>(pairs: &'a str, key: &str) -> Option<&'a str> {
    pairs.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// One property for all devices that have a value.
fn of_devices<'a>(name: &'static str, values: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Property> {
    let entries: Vec<_> = values.filter_map(|(device, value)| Some((block_node(device), limit(value)?))).collect();
    (!entries.is_empty()).then_some(Property::new(name, Value::OfDevices(entries)))
}

/// The properties for a container's device rules. systemd has a list of what is allowed, without an order and without
/// denials; rules that such a list cannot hold are left to what carboy itself puts in force: on v1 the group's own list,
/// on v2 a program beside systemd's.
#[must_use]
pub fn devices(rules: &[oci::DeviceRule], systemd: u32) -> Vec<Property> {
    let list = allowed(rules).filter(|_| systemd >= since::DEVICE_NUMBERS);
    let policy = if list.is_some() { "strict" } else { "auto" };
    let nodes = |list| Property::new("DeviceAllow", Value::Nodes(list));
    // A list is added to the one that there is, but for an empty one, which clears it.
    let mut properties = vec![Property::text("DevicePolicy", policy), nodes(Vec::new())];
    properties.extend(list.map(nodes));
    properties
}

/// What is allowed where nothing else is; `None` where that is not what the rules say.
fn allowed(rules: &[oci::DeviceRule]) -> Option<Vec<(String, String)>> {
    // v1 has the same kind of list.
    let writes = crate::devices::plan_v1(rules).ok()?;
    let (first, rest) = writes.split_first().filter(|(first, _)| first.value == "a")?;
    rest.iter().map(|write| if write.file == first.file { None } else { node(&write.value) }).collect()
}

/// `c 1:3 rwm` as `/dev/char/1:3` and `rwm`, `c 136:* rw` as `char-136`, `b *:* m` as `block-*`. What is of no one major
/// number but of one minor number is nothing that systemd can be told.
fn node(rule: &str) -> Option<(String, String)> {
    let mut words = rule.split(' ');
    let kind = match words.next()? {
        "b" => "block",
        "c" => "char",
        _ => return None,
    };
    let node = match words.next()?.split_once(':')? {
        ("*", "*") => format!("{kind}-*"),
        ("*", _) => return None,
        (major, "*") => format!("{kind}-{major}"),
        (major, minor) => format!("/dev/{kind}/{major}:{minor}"),
    };
    Some((node, words.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hierarchy::Controller;
    use crate::unified;

    const DEBIAN_12: u32 = 252;

    fn shown(version: Version, writes: &[Write], systemd: u32) -> Vec<String> {
        settings(writes.iter().map(|write| (version, write)), systemd).iter().map(ToString::to_string).collect()
    }

    fn cpu(json: &str) -> oci::Cpu {
        serde_json::from_str(json).unwrap()
    }

    fn unified(pairs: &[(&str, &str)]) -> Vec<Write> {
        pairs.iter().map(|(file, value)| unified::plan_v2(file, value).unwrap()).collect()
    }

    #[test]
    fn half_a_cpu_is_shares_on_v1_and_a_weight_on_v2() {
        let asked = cpu(r#"{"shares":512,"quota":50000,"period":100000}"#);
        let bandwidth = ["CPUQuotaPerSecUSec = 500000", "CPUQuotaPeriodUSec = 100000"];
        assert_eq!(
            shown(Version::V1, &cpu::plan_v1(&asked, None).unwrap(), DEBIAN_12),
            ["CPUShares = 512", bandwidth[0], bandwidth[1]]
        );
        assert_eq!(
            shown(Version::V2, &cpu::plan_v2(&asked).unwrap(), DEBIAN_12),
            ["CPUWeight = 59", bandwidth[0], bandwidth[1]]
        );
    }

    #[test]
    fn a_quota_goes_up_to_a_whole_percent_and_its_period_needs_a_version() {
        for (max, quota) in [
            ("33333 100000", "340000"),
            ("1000 1000000", "10000"),
            ("340000 100000", "3400000"),
            ("max 50000", "infinity"),
            ("20000", "200000"),
        ] {
            let files = unified(&[("cpu.max", max)]);
            assert_eq!(shown(Version::V2, &files, 241), [format!("CPUQuotaPerSecUSec = {quota}")], "{max}");
        }
        assert_eq!(shown(Version::V2, &unified(&[("cpu.max", "max 50000")]), 242)[1], "CPUQuotaPeriodUSec = 50000");
        let unlimited = cpu::plan_v1(&cpu(r#"{"quota":-1}"#), None).unwrap();
        assert_eq!(shown(Version::V1, &unlimited, DEBIAN_12), ["CPUQuotaPerSecUSec = infinity"]);
    }

    #[test]
    fn an_idle_group_has_the_weight_0_since_systemd_knows_that() {
        let files = unified(&[("cpu.weight", "100"), ("cpu.idle", "1")]);
        assert_eq!(shown(Version::V2, &files, 252), ["CPUWeight = 0"]);
        assert_eq!(shown(Version::V2, &files, 251), ["CPUWeight = 100"]);
    }

    #[test]
    fn cpus_are_bits_and_v1_has_no_property_for_them() {
        let asked = cpu(r#"{"cpus":"0-2,9","mems":"0"}"#);
        let writes = cpuset::plan_v2(&asked, None).unwrap();
        assert_eq!(shown(Version::V2, &writes, 244), ["AllowedCPUs = 0-2,9", "AllowedMemoryNodes = 0"]);
        let properties = settings(writes.iter().map(|write| (Version::V2, write)), 244);
        assert_eq!(properties[0].value, Value::Bits(vec![0b111, 0b10]));
        assert!(shown(Version::V2, &writes, 243).is_empty());
        assert!(shown(Version::V1, &writes, 244).is_empty());
    }

    #[test]
    fn memory_has_one_property_on_v1_and_one_for_each_file_on_v2() {
        let asked: oci::Memory =
            serde_json::from_str(r#"{"limit":67108864,"swap":134217728,"reservation":33554432}"#).unwrap();
        assert_eq!(shown(Version::V1, &memory::plan_v1(&asked).unwrap(), DEBIAN_12), ["MemoryLimit = 67108864"]);
        assert_eq!(
            shown(Version::V2, &memory::plan_v2(&asked).unwrap(), DEBIAN_12),
            ["MemoryMax = 67108864", "MemorySwapMax = 67108864", "MemoryLow = 33554432"]
        );
        let files = unified(&[("memory.high", "1G"), ("memory.min", "4096"), ("memory.max", "max")]);
        assert_eq!(
            shown(Version::V2, &files, DEBIAN_12),
            ["MemoryMax = infinity", "MemoryHigh = 1073741824", "MemoryMin = 4096"]
        );
        assert_eq!(
            shown(Version::V2, &unified(&[("memory.max", "lots"), ("memory.oom.group", "1")]), DEBIAN_12),
            [""; 0]
        );
    }

    #[test]
    fn the_last_value_of_a_file_counts() {
        let files = unified(&[("memory.max", "4096"), ("memory.max", "8192")]);
        assert_eq!(shown(Version::V2, &files, DEBIAN_12), ["MemoryMax = 8192"]);
    }

    #[test]
    fn tasks_have_the_same_property_on_both() {
        for (asked, value) in [(Some(20), "20"), (Some(-1), "infinity")] {
            let writes = pids::plan_v1(&oci::Pids { limit: asked }).unwrap();
            for version in [Version::V1, Version::V2] {
                assert_eq!(shown(version, &writes, DEBIAN_12), [format!("TasksMax = {value}")]);
            }
        }
    }

    #[test]
    fn block_devices_are_gathered_in_one_property_for_each_limit() {
        let files = unified(&[
            ("io.weight", "default 200"),
            ("io.weight", "8:16 50"),
            ("io.max", "8:0 rbps=1048576 wiops=max"),
            ("io.max", "8:16 rbps=2097152"),
        ]);
        assert_eq!(
            shown(Version::V2, &files, DEBIAN_12),
            [
                "IOWeight = 200",
                "IODeviceWeight = /dev/block/8:16 50",
                "IOReadBandwidthMax = /dev/block/8:0 1048576 /dev/block/8:16 2097152",
                "IOWriteIOPSMax = /dev/block/8:0 infinity"
            ]
        );
    }

    #[test]
    fn v1_has_properties_for_bytes_and_none_for_operations() {
        let write = |file: &'static str, value: &str| Write::new(Controller::Io, "field", file, value);
        let writes = [
            write("blkio.throttle.read_bps_device", "8:0 1048576"),
            write("blkio.throttle.write_bps_device", "8:0 0"),
            write("blkio.throttle.read_iops_device", "8:0 5"),
        ];
        assert_eq!(
            shown(Version::V1, &writes, DEBIAN_12),
            ["BlockIOReadBandwidth = /dev/block/8:0 1048576", "BlockIOWriteBandwidth = /dev/block/8:0 infinity"]
        );
    }

    #[test]
    fn a_weight_is_the_number_from_which_systemd_makes_the_one_that_was_asked_for() {
        let asked: oci::BlockIo = serde_json::from_str(r#"{"weight":300}"#).unwrap();
        assert_eq!(shown(Version::V1, &io::plan_v1(&asked, None).unwrap(), DEBIAN_12), ["BlockIOWeight = 300"]);
        for (bfq, weight) in [("1", "1"), ("100", "100"), ("101", "111"), ("1000", "10000")] {
            let files = unified(&[("io.weight", "default 7"), ("io.bfq.weight", bfq)]);
            assert_eq!(shown(Version::V2, &files, DEBIAN_12), [format!("IOWeight = {weight}")]);
        }
        let files = unified(&[("io.bfq.weight", "default 200"), ("io.bfq.weight", "8:0 50")]);
        assert_eq!(shown(Version::V2, &files, DEBIAN_12), ["IOWeight = 1200", "IODeviceWeight = /dev/block/8:0 50"]);
    }

    fn rule(json: &str) -> oci::DeviceRule {
        serde_json::from_str(json).unwrap()
    }

    fn devices_shown(rules: &[oci::DeviceRule], systemd: u32) -> Vec<String> {
        devices(rules, systemd).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn device_rules_are_a_list_of_nodes_and_the_default_devices() {
        let rules = [
            rule(r#"{"allow":false,"access":"rwm"}"#),
            rule(r#"{"allow":true,"type":"b","major":8,"access":"r"}"#),
            rule(r#"{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}"#),
        ];
        let shown = devices_shown(&rules, DEBIAN_12);
        assert_eq!(shown[..2], ["DevicePolicy = strict", "DeviceAllow = "]);
        assert!(
            shown[2].starts_with("DeviceAllow = block-8 r /dev/char/10:229 rw char-* m block-* m /dev/char/1:3 rwm ")
        );
        assert!(shown[2].ends_with(" char-136 rwm"));
    }

    #[test]
    fn what_a_list_without_order_cannot_hold_is_left_to_the_group_itself() {
        let none = ["DevicePolicy = auto", "DeviceAllow = "];
        let deny_all = || rule(r#"{"allow":false,"access":"rwm"}"#);
        for rules in [
            vec![rule(r#"{"allow":true,"access":"rwm"}"#)],
            vec![
                rule(r#"{"allow":true,"access":"rwm"}"#),
                rule(r#"{"allow":false,"type":"b","major":8,"access":"rwm"}"#),
            ],
            vec![deny_all(), rule(r#"{"allow":true,"type":"c","minor":3,"access":"r"}"#)],
            vec![
                deny_all(),
                rule(r#"{"allow":true,"type":"b","major":8,"access":"rwm"}"#),
                rule(r#"{"allow":false,"type":"b","major":8,"minor":1,"access":"w"}"#),
            ],
        ] {
            assert_eq!(devices_shown(&rules, DEBIAN_12), none, "{rules:?}");
        }
        assert_eq!(devices_shown(&[deny_all()], 240), none);
    }

    proptest! {
        #[test]
        fn a_set_comes_back_from_its_bits(numbers in prop::collection::vec(0_u32..300, 0..10)) {
            let text: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            let set = Set::parse(&text.join(",")).unwrap();
            prop_assert_eq!(set_of_bits(&bits_of_set(&set)), Some(set));
        }

        #[test]
        fn random_values_make_properties_or_none(value in "[ -~]{0,20}") {
            let files = ["cpu.max", "cpu.weight", "cpuset.cpus", "memory.max", "pids.max", "io.max", "io.weight"];
            let writes: Vec<Write> = files.iter().map(|file| unified::plan_v2(file, &value).unwrap()).collect();
            for property in settings(writes.iter().map(|write| (Version::V2, write)), DEBIAN_12) {
                prop_assert!(!property.to_string().is_empty());
            }
        }

        #[test]
        fn a_quota_is_never_less_than_what_was_asked(quota in 1_u64.., period in 1_000_u64..=1_000_000) {
            let properties = bandwidth(Some(quota), Some(period), DEBIAN_12);
            let Value::Number(per_second) = properties[0].value else { panic!() };
            let enough = u128::from(per_second) * u128::from(period) >= u128::from(quota) * 1_000_000;
            prop_assert!(per_second == INFINITY || (enough && per_second % 10_000 == 0));
        }
    }
}
