//! Docker's checks of what cannot be told from one word alone: options against each other and against the host.

use std::collections::BTreeSet;

use error::{Refused, Result};

use super::{Limit, Limits, Mount, Namespace, RunOptions};
use crate::restart::Policy;
use crate::spec::HostFacts;

/// The longest host name, in bytes: the kernel's `__NEW_UTS_LEN`.
const LONGEST_NAME: usize = namespace::uts::LONGEST_NAME;
const SMALLEST_MEMORY: u64 = cgroup::memory::MINIMUM_BYTES;
const NANO: u64 = 1_000_000_000;

/// All of them.
pub(super) fn all(options: &RunOptions, host: &HostFacts) -> Result<()> {
    let limits = &options.resources.limits;
    self::limits(limits, host.cpus)?;
    swap_needs_memory(limits)?;
    names(options)?;
    removal(options)?;
    sysctls(options)?;
    namespaces(options)?;
    mounts(options)?;
    if options.init && options.namespaces.pid == Namespace::Private && host.init.is_none() {
        return Err(Refused::new("--init", "", "the program for it was not found").hint("leave --init out").into());
    }
    Ok(())
}

/// What goes when it ends cannot be started again.
fn removal(options: &RunOptions) -> Result<()> {
    if options.remove && options.restart != Policy::No {
        let refused = Refused::new("--restart", options.restart.to_string(), "contradicts --rm");
        return Err(refused.hint("leave one of them out").into());
    }
    Ok(())
}

/// Those of limits that may be a part of what holds; `host_cpus` is how many CPUs are online.
pub(super) fn limits(limits: &Limits, host_cpus: u32) -> Result<()> {
    memory(limits)?;
    cpus_alone(limits, host_cpus)?;
    bandwidth(limits)
}

/// A refusal of a field of the configuration as one of the flag and the value that it came from.
pub(super) fn in_flags(limits: &Limits, mut refused: Refused) -> Refused {
    if let Some(file) = refused.field.strip_prefix("linux.resources.unified.") {
        (refused.field, refused.value) = ("--cgroup-conf".to_owned(), format!("{file}={}", refused.value));
        return refused;
    }
    let mut flags =
        cgroup::setting::all().filter(|setting| setting.field == Some(&refused.field)).filter_map(|one| one.flag);
    let Some(flag) = flags.next() else { return refused };
    match (flag, limits.nano_cpus) {
        ("--cpus" | "--cpu-quota" | "--cpu-period", Some(nano)) => {
            (refused.field, refused.value) = ("--cpus".to_owned(), cpus(nano));
        }
        // Several flags set the same: what another than the first would have set was asked for by it.
        ("--cpus", None) => flags.next().unwrap_or(flag).clone_into(&mut refused.field),
        ("--device", _) if !limits.device_rules.is_empty() => {
            flags.next().unwrap_or(flag).clone_into(&mut refused.field);
        }
        _ => flag.clone_into(&mut refused.field),
    }
    refused
}

fn memory(limits: &Limits) -> Result<()> {
    let limit = memory_limit(limits);
    for (flag, bytes) in [("--memory", limit), ("--memory-reservation", limits.memory_reservation)] {
        if let Some(bytes) = bytes.filter(|bytes| *bytes < SMALLEST_MEMORY) {
            let refused =
                Refused::new(flag, size(bytes), "is below the minimum of 6 MiB that a container needs to start");
            return Err(refused.hint("use 6m or more").into());
        }
    }
    if let (Some(Limit::At(total)), Some(limit)) = (limits.memory_swap, limit)
        && total < limit
    {
        let reason = format!("is below --memory {}, and counts memory and swap together", size(limit));
        let refused = Refused::new("--memory-swap", size(total), reason);
        return Err(refused.hint(format!("use {} for no swap, or more", size(limit))).into());
    }
    if let (Some(limit), Some(kept)) = (limit, limits.memory_reservation)
        && kept > limit
    {
        let reason = format!("is above --memory {}", size(limit));
        let refused = Refused::new("--memory-reservation", size(kept), reason);
        return Err(refused.hint(format!("use {} or less", size(limit))).into());
    }
    Ok(())
}

fn swap_needs_memory(limits: &Limits) -> Result<()> {
    let (Some(Limit::At(total)), None) = (limits.memory_swap, memory_limit(limits)) else { return Ok(()) };
    let refused = Refused::new("--memory-swap", size(total), "counts memory and swap, and memory has no limit");
    Err(refused.hint("give --memory too").into())
}

const fn memory_limit(limits: &Limits) -> Option<u64> {
    match limits.memory {
        Some(Limit::At(bytes)) => Some(bytes),
        Some(Limit::Unlimited) | None => None,
    }
}

fn cpus_alone(limits: &Limits, host_cpus: u32) -> Result<()> {
    let Some(nano) = limits.nano_cpus else { return Ok(()) };
    if nano < NANO / 100 || nano > u64::from(host_cpus) * NANO {
        let reason = format!("is not within 0.01 and {host_cpus}, the CPUs of this host");
        return Err(Refused::new("--cpus", cpus(nano), reason).hint("leave --cpus out for no limit").into());
    }
    let others = [("--cpu-period", limits.cpu_period_usec.is_some()), ("--cpu-quota", limits.cpu_quota_usec.is_some())];
    match others.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => {
            let refused = Refused::new("--cpus", cpus(nano), format!("already sets what {flag} sets"));
            Err(refused.hint(format!("give either --cpus or {flag}")).into())
        }
    }
}

fn bandwidth(limits: &Limits) -> Result<()> {
    if let Some(period) = limits.cpu_period_usec.filter(|period| !(1_000..=1_000_000).contains(period)) {
        let refused = Refused::new("--cpu-period", period.to_string(), "is not within 1000 and 1000000 microseconds");
        return Err(refused.hint("100000 is usual").into());
    }
    match limits.cpu_quota_usec {
        Some(Limit::At(quota)) if quota < 1_000 => {
            let refused = Refused::new("--cpu-quota", quota.to_string(), "is below the minimum of 1000 microseconds");
            Err(refused.hint("use 1000 or more, or -1 for no limit").into())
        }
        _ => Ok(()),
    }
}

fn names(options: &RunOptions) -> Result<()> {
    let own = options.namespaces.uts == Namespace::Private;
    for (flag, name) in [("--hostname", &options.hostname), ("--domainname", &options.domainname)] {
        let Some(name) = name else { continue };
        if name.len() > LONGEST_NAME {
            let refused = Refused::new(flag, name, format!("is {} bytes long", name.len()));
            return Err(refused.hint(format!("use at most {LONGEST_NAME} bytes")).into());
        }
        if !own {
            let refused = Refused::new(flag, name, "needs a uts namespace of the container's own");
            return Err(refused.hint("leave --uts out").into());
        }
    }
    Ok(())
}

fn sysctls(options: &RunOptions) -> Result<()> {
    for (name, value) in &options.sysctls {
        let shown = format!("{name}={value}");
        let (kind, flag, choice) = if name.starts_with("net.") {
            ("net", "--net", &options.namespaces.net)
        } else if namespace::ipc::owns(name) {
            ("ipc", "--ipc", &options.namespaces.ipc)
        } else {
            let hint = match name.as_str() {
                "kernel.hostname" => "use --hostname",
                "kernel.domainname" => "use --domainname",
                _ => "use names below net. and fs.mqueue., kernel.msg*, kernel.sem and kernel.shm*",
            };
            let refused = Refused::new("--sysctl", shown, "belongs to no namespace: it would change the host");
            return Err(refused.hint(hint).into());
        };
        if *choice == Namespace::Host {
            let reason = format!("would change the host, whose {kind} namespace the container shares");
            return Err(Refused::new("--sysctl", shown, reason).hint(format!("leave {flag} host out")).into());
        }
    }
    Ok(())
}

fn namespaces(options: &RunOptions) -> Result<()> {
    let namespaces = &options.namespaces;
    let own_user = namespaces.user == Namespace::Private;
    for (flag, mappings) in [("--uidmap", &namespaces.uid_mappings), ("--gidmap", &namespaces.gid_mappings)] {
        if let Some(first) = mappings.first().filter(|_| !own_user) {
            let shown = format!("{}:{}:{}", first.container_id, first.host_id, first.size);
            let refused = Refused::new(flag, shown, "needs a user namespace of the container's own");
            return Err(refused.hint("use it with --userns private").into());
        }
    }
    if options.security.privileged && namespaces.user != Namespace::Host {
        let refused = Refused::new("--privileged", "", "a user namespace would take back what it gives");
        return Err(refused.hint("leave --userns out, or use --cap-add").into());
    }
    for (clock, offset) in [("monotonic", namespaces.monotonic.as_ref()), ("boottime", namespaces.boottime.as_ref())] {
        if let Some(offset) = offset.filter(|_| namespaces.time != Namespace::Private) {
            let shown = format!("{clock}={}", offset.secs);
            let refused = Refused::new("--time-offset", shown, "needs a time namespace of the container's own");
            return Err(refused.hint("use it with --timens private").into());
        }
    }
    Ok(())
}

fn mounts(options: &RunOptions) -> Result<()> {
    let mut seen = BTreeSet::new();
    for mount in &options.mounts {
        let flag = match mount {
            Mount::Bind(_) | Mount::Volume(_) => "--volume",
            Mount::Tmpfs(_) => "--tmpfs",
        };
        let destination = mount.destination();
        if destination.is_root() {
            let refused = Refused::new(flag, "/", "is the container's root itself");
            return Err(refused.hint("name a folder below it").into());
        }
        if !seen.insert(destination) {
            let refused = Refused::new(flag, destination.as_str(), "is mounted twice");
            return Err(refused.hint("give each destination once").into());
        }
    }
    Ok(())
}

/// A size as one would give it: in the largest unit that leaves no rest.
fn size(bytes: u64) -> String {
    let units = [(40, 't'), (30, 'g'), (20, 'm'), (10, 'k')];
    let unit = units.iter().find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| format!("{bytes}b"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// A number of CPUs as one would give it.
fn cpus(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / NANO, nano % NANO);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
