//! What only Linux has: namespaces, what is hidden, kernel settings, device nodes, limits. Runtime specification,
//! config-linux.md.

use std::collections::BTreeMap;

use error::{Refused, Result};
use oci::{DeviceRule, IdMapping, Linux, NamespaceKind, Resources, TimeOffset};

use super::resources::usual_swap;
use super::{HostFacts, Identity};
use crate::options::{Mount, Namespace, Propagation, RunOptions};

/// The ids of the host that stand for those of a user namespace, if none are asked for: from a range that neither
/// useradd(8) nor systemd gives to anybody.
const PRIVATE_IDS: IdMapping = IdMapping { container_id: 0, host_id: 0x7000_0000, size: 65_536 };

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The Linux part of a configuration.
pub(super) fn linux(
    options: &RunOptions,
    host: &HostFacts,
    identity: &Identity,
    resources: Resources,
) -> Result<Linux> {
    let (uid_mappings, gid_mappings) = mappings(options);
    let hidden = !options.security.privileged;
    let thermal = host.thermal_throttle.iter();
    let thermal = thermal.map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    let masked = MASKED.into_iter().map(str::to_owned).chain(thermal);
    Ok(Linux {
        uid_mappings,
        gid_mappings,
        sysctl: sysctls(options, host),
        resources: Some(resources),
        cgroups_path: Some(identity.group.clone()),
        namespaces: namespaces(options, identity)?,
        devices: host.devices.iter().map(|found| found.device.clone()).collect(),
        rootfs_propagation: root_propagation(options).map(str::to_owned),
        masked_paths: masked.filter(|_| hidden).collect(),
        readonly_paths: READ_ONLY.into_iter().filter(|_| hidden).map(str::to_owned).collect(),
        time_offsets: time_offsets(options),
        ..Linux::default()
    })
}

fn namespaces(options: &RunOptions, identity: &Identity) -> Result<Vec<oci::Namespace>> {
    let mut namespaces = vec![oci::Namespace { kind: NamespaceKind::Mnt, path: None }];
    for (kind, choice) in options.namespaces.choices() {
        let path = match choice {
            Namespace::Host => continue,
            Namespace::Private => None,
            Namespace::Joined(join) => {
                let found = identity.joined.iter().find(|(known, _)| *known == kind);
                let refused = || Refused::new(format!("--{}", kind.name()), join.to_string(), "was not found");
                Some(found.ok_or_else(refused)?.1.clone())
            }
        };
        namespaces.push(oci::Namespace { kind, path });
    }
    Ok(namespaces)
}

/// The maps of users and groups. Without a map of its own, one kind of id is mapped as the other.
pub(super) fn mappings(options: &RunOptions) -> (Vec<IdMapping>, Vec<IdMapping>) {
    let namespaces = &options.namespaces;
    if namespaces.user != Namespace::Private {
        return (Vec::new(), Vec::new());
    }
    let first = |candidates: [&Vec<IdMapping>; 2]| {
        candidates.into_iter().find(|map| !map.is_empty()).cloned().unwrap_or_else(|| vec![PRIVATE_IDS])
    };
    let (uid, gid) = (&namespaces.uid_mappings, &namespaces.gid_mappings);
    (first([uid, gid]), first([gid, uid]))
}

/// In a net namespace of its own a container may send pings and use every port without a capability.
fn sysctls(options: &RunOptions, host: &HostFacts) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let mut default = |name: &str, value: &str| settings.insert(name.to_owned(), value.to_owned());
    if options.namespaces.net == Namespace::Private {
        default("net.ipv4.ip_unprivileged_port_start", "0");
        // The range has groups that a user namespace does not map, which the kernel refuses.
        if options.namespaces.user == Namespace::Host {
            let last = host.ids.as_ref().map_or(2_147_483_647, |ids| ids.groups.first_ids().saturating_sub(1));
            default("net.ipv4.ping_group_range", &format!("0 {last}"));
        }
    }
    settings.extend(options.sysctls.clone());
    settings
}

/// A mount that shall reach over needs a root that does.
fn root_propagation(options: &RunOptions) -> Option<&'static str> {
    let asked = |wanted: [Propagation; 2]| {
        options.mounts.iter().any(|mount| match mount {
            Mount::Bind(bind) => wanted.contains(&bind.propagation),
            Mount::Volume(_) | Mount::Tmpfs(_) => false,
        })
    };
    if asked([Propagation::Shared, Propagation::RShared]) {
        Some("shared")
    } else {
        asked([Propagation::Slave, Propagation::RSlave]).then_some("rslave")
    }
}

fn time_offsets(options: &RunOptions) -> Option<BTreeMap<String, TimeOffset>> {
    let namespaces = &options.namespaces;
    let clocks = [("boottime", &namespaces.boottime), ("monotonic", &namespaces.monotonic)];
    let offsets: BTreeMap<_, _> =
        clocks.into_iter().filter_map(|(clock, offset)| Some((clock.to_owned(), (*offset)?))).collect();
    (!offsets.is_empty()).then_some(offsets)
}

/// The limits, and the fields that nobody asked for.
pub(super) fn resources(options: &RunOptions, host: &HostFacts) -> Result<(Resources, Vec<&'static str>)> {
    let limits = &options.resources.limits;
    let mut resources = super::resources::asked(limits, &host.disks)?;
    let mut defaulted = Vec::new();
    // A user's container has the nodes that are bound into it, and no rules beside the nodes' own permissions.
    if (options.resources.devices.is_empty() || host.ids.is_some()) && limits.device_rules.is_empty() {
        defaulted.push("linux.resources.devices");
    }
    if let Some(memory) = resources.memory.as_mut().filter(|memory| memory.swap.is_none()) {
        memory.swap = usual_swap(memory.limit);
        defaulted.extend(memory.swap.map(|_| "linux.resources.memory.swap"));
    }
    resources.devices = device_rules(options, host);
    Ok((resources, defaulted))
}

/// Nothing but what was asked for; what the specification has in every container is added by who reads the rules.
fn device_rules(options: &RunOptions, host: &HostFacts) -> Vec<DeviceRule> {
    let any = |allow| DeviceRule { allow, access: Some("rwm".to_owned()), ..DeviceRule::default() };
    if options.security.privileged {
        return vec![any(true)];
    }
    let of_node = host.devices.iter().map(|found| DeviceRule {
        allow: true,
        kind: Some(found.device.kind.clone()),
        major: found.device.major,
        minor: found.device.minor,
        access: Some(found.access.clone()),
    });
    [any(false)].into_iter().chain(of_node).chain(options.resources.limits.device_rules.iter().cloned()).collect()
}
