//! A container as one document: Docker's keys, and those of carboy's own for what Docker does not tell.

use std::time::Duration;

use engine::containers::Status;
use engine::driver::Driver;
use engine::health::{HealthWish, Test};
use engine::log::{LogWish, Mentions, Rotation};
use engine::options::{Access, Asked, Bind, Mount, VolumeMount, VolumeName};
use engine::receipt::Receipt;
use engine::record::{LiveProcess, Record};
use engine::restart::Policy;
use engine::size::Size;
use engine::stop::Patience;
use engine::store::Store;
use oci::NamespaceKind;
use procfs::HostPid;
use serde_json::{Map, Value, json};

use crate::connected;
use crate::ps::Seen;
use crate::value::signal;

/// Docker's moment for what has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The document of a container.
pub(super) fn document(seen: &Seen, store: &Store, size: Option<Size>) -> Value {
    let record = &seen.container.record;
    let (process, linux) = (record.config.process.as_ref(), record.config.linux.as_ref());
    let args = process.map_or(&[][..], |process| process.args.as_slice());
    let folder = store.container(&record.id);
    let log = record.options.log.path(&folder);
    let running = if let Status::Running(process) = &seen.container.status { Some(process) } else { None };
    let mut document = json!({
        "Id": record.id,
        "Created": record.created.to_string(),
        "Path": args.first(),
        "Args": args.get(1..).unwrap_or_default(),
        "State": state(seen),
        "Image": record.image,
        "LogPath": log.map_or_else(String::new, |path| path.display().to_string()),
        "Name": format!("/{}", record.name),
        "RestartCount": record.restarts,
        "Driver": record.driver,
        "Platform": "linux",
        "AppArmorProfile": process.and_then(|process| process.apparmor_profile.as_deref()).unwrap_or_default(),
        "ProcessLabel": process.and_then(|process| process.selinux_label.as_deref()).unwrap_or_default(),
        "MountLabel": linux.and_then(|linux| linux.mount_label.as_deref()).unwrap_or_default(),
        "GraphDriver": match record.driver {
            Driver::Overlay => json!({
                "Name": "overlay",
                "Data": {"UpperDir": folder.join("upper"), "WorkDir": folder.join("work")},
            }),
            Driver::Vfs => json!({"Name": "vfs", "Data": null}),
        },
        "Mounts": record.options.mounts.iter().filter_map(|mount| mounted(record, mount)).collect::<Vec<_>>(),
        "Config": config(record),
        "HostConfig": host_config(record),
        "NetworkSettings": connected::settings(record, &seen.endpoints),
        "CgroupPath": record.group,
        "Namespaces": running.map_or(Value::Null, namespaces),
        "OCIConfig": record.config,
    });
    if let Some((size, fields)) = size.zip(document.as_object_mut()) {
        fields.insert("SizeRw".to_owned(), size.own_bytes.into());
        fields.insert("SizeRootFs".to_owned(), size.all_bytes.into());
    }
    document
}

fn state(seen: &Seen) -> Value {
    let record = &seen.container.record;
    let process = if let Status::Running(process) = &seen.container.status { Some(process) } else { None };
    let exit = record.exit.as_ref();
    let cause = exit.and_then(|exit| exit.shortage.oom.as_ref()).and_then(|oom| oom.cause.as_ref());
    let refused = exit.and_then(|exit| exit.shortage.forks_refused.as_ref());
    let started = process.and_then(|process| process.started).or_else(|| exit.and_then(|exit| exit.started));
    json!({
        "Status": seen.state(),
        "Running": seen.runs(),
        "Paused": seen.is_paused(),
        "Restarting": matches!(seen.container.status, Status::Restarting(_)),
        "OOMKilled": exit.is_some_and(|exit| exit.shortage.oom.is_some()),
        "Dead": false,
        "OOMCause": cause.map(|cause| json!({"Path": cause.path, "LimitBytes": cause.limit})),
        "ForksRefused": refused.map_or(0, |refused| refused.count),
        "ForksRefusedCause": refused.and_then(|refused| refused.cause.as_ref()).map(
            |cause| json!({"Path": cause.path, "Limit": cause.limit})
        ),
        "Pid": process.map_or(0, |process| process.pid),
        "ExitCode": exit.map_or(Some(0), |exit| exit.code),
        "Error": exit.and_then(|exit| exit.error.as_deref()).unwrap_or_default(),
        "StartedAt": started.map_or_else(|| NEVER.to_owned(), |time| time.to_string()),
        "FinishedAt": exit.map_or_else(|| NEVER.to_owned(), |exit| exit.finished.to_string()),
    "Receipt": exit.and_then(|exit| exit.receipt.as_ref()).map(receipt),
        "Health": seen.container.health,
    })
}

/// What its last run has cost; `null` where that could not be read.
fn receipt(receipt: &Receipt) -> Value {
    json!({
        "RanUsec": receipt.ran_usec,
        "CPUUsec": receipt.cpu_usec,
        "ThrottledUsec": receipt.throttled_usec,
        "MemoryPeakBytes": receipt.memory_peak_bytes,
        "ReadBytes": receipt.read_bytes,
        "WrittenBytes": receipt.written_bytes,
        "ReceivedBytes": receipt.received_bytes,
        "SentBytes": receipt.sent_bytes,
    })
}

/// What was asked for that would hold on any host.
fn config(record: &Record) -> Value {
    let (process, options) = (record.config.process.as_ref(), &record.options);
    let is_new = |mount: &&Mount| matches!(mount, Mount::Volume(volume) if matches!(volume.name, VolumeName::New | VolumeName::Own(_)));
    let volumes = options.mounts.iter().filter(is_new).map(|mount| mount.destination().as_str());
    json!({
        "Hostname": record.config.hostname.as_deref().unwrap_or_default(),
        "Domainname": record.config.domainname.as_deref().unwrap_or_default(),
        "User": record.options.user.as_deref().unwrap_or_default(),
        "Tty": process.is_some_and(|process| process.terminal),
        "OpenStdin": record.options.interactive,
        "StdinOnce": record.options.interactive && !record.options.detach,
        "Env": process.map(|process| process.env.clone()),
        "Cmd": Some(&options.command).filter(|words| !words.is_empty()),
        "Image": record.image,
        "WorkingDir": process.map(|process| process.cwd.clone()),
        "Volumes": set(volumes),
        "ExposedPorts": set(options.exposed_ports.iter().map(String::as_str)),
        "Entrypoint": options.entrypoint.as_ref().filter(|words| !words.is_empty()),
        "Labels": record.options.labels,
        "Healthcheck": healthcheck(&record.options.health),
        "StopSignal": record.options.stop.signal.map(signal::name),
        "StopTimeout": record.options.stop.patience.map(|patience| match patience {
            Patience::Seconds(seconds) => i64::from(seconds),
            Patience::Endless => -1,
        }),
    })
}

/// A set in the form of Docker's documents; `null` if it is empty.
fn set<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    let set: Map<String, Value> = names.map(|name| (name.to_owned(), json!({}))).collect();
    if set.is_empty() { Value::Null } else { set.into() }
}

/// Docker's words; what was not given stands there as well, as 0.
fn healthcheck(wish: &HealthWish) -> Value {
    let nanos = |time: Option<Duration>| time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    match wish {
        HealthWish::Unsaid => Value::Null,
        HealthWish::Unchecked => json!({"Test": ["NONE"]}),
        HealthWish::Checked(check) => json!({
            "Test": check.command.as_ref().map(test),
            "Interval": nanos(check.interval),
            "Timeout": nanos(check.timeout),
            "StartPeriod": nanos(check.start_period),
            "StartInterval": nanos(check.start_interval),
            "Retries": check.retries.unwrap_or(0),
        }),
    }
}

fn test(test: &Test) -> Value {
    match test {
        Test::Line(line) => json!(["CMD-SHELL", line]),
        Test::Words(words) => std::iter::once("CMD").chain(words.iter().map(String::as_str)).collect(),
    }
}

/// What was asked for that is this host's.
fn host_config(record: &Record) -> Value {
    let (process, linux) = (record.config.process.as_ref(), record.config.linux.as_ref());
    let binds: Vec<String> = record.options.mounts.iter().filter_map(bound).collect();
    let mut document = json!({
        "Binds": if binds.is_empty() { Value::Null } else { binds.into() },
        "LogConfig": {"Type": record.options.log.driver(), "Config": log_options(record)},
        "RestartPolicy": restart_policy(record.options.restart),
        "AutoRemove": record.options.remove,
        "Annotations": record.config.annotations,
        "CgroupnsMode": mode(record, NamespaceKind::Cgroup),
        "IpcMode": mode(record, NamespaceKind::Ipc),
        "PidMode": mode(record, NamespaceKind::Pid),
        "UTSMode": mode(record, NamespaceKind::Uts),
        "UsernsMode": mode(record, NamespaceKind::User),
        "OomScoreAdj": process.and_then(|process| process.oom_score_adj).unwrap_or(0),
        "ReadonlyRootfs": record.config.root.as_ref().is_some_and(|root| root.readonly),
        "MaskedPaths": linux.map(|linux| &linux.masked_paths),
        "ReadonlyPaths": linux.map(|linux| &linux.readonly_paths),
        "Sysctls": linux.map(|linux| &linux.sysctl),
        "Ulimits": process.map(|process| process.rlimits.iter().map(ulimit).collect::<Vec<_>>()),
        "Runtime": "carboy",
        "CgroupParent": record.group.rsplit_once('/').map(|(parent, _)| parent),
        "Resources": linux.and_then(|linux| linux.resources.as_ref()),
    });
    if let Some(fields) = document.as_object_mut() {
        fields.extend(limits(record));
        fields.extend(connected::wished(record));
    }
    document
}

/// The options of its log, as they would be given.
fn log_options(record: &Record) -> Map<String, Value> {
    let rotation = |rotation: &Rotation| {
        json!({
            "max-size": rotation.max_bytes.to_string(),
            "max-file": rotation.max_files.to_string(),
            "compress": rotation.compress.to_string(),
        })
    };
    let options = match &record.options.log {
        LogWish::Nothing => json!({}),
        LogWish::JsonFile(files) | LogWish::Local(files) => rotation(files),
        LogWish::Journald(buffer) => json!({"max-buffer-size": buffer.max_bytes.to_string()}),
        LogWish::Syslog(syslog, buffer) => json!({
            "syslog-address": syslog.target.to_string(),
            "syslog-facility": syslog.facility.to_string(),
            "syslog-format": syslog.format.word(),
            "max-buffer-size": buffer.max_bytes.to_string(),
        }),
    };
    let mut options = if let Value::Object(options) = options { options } else { Map::new() };
    let Mentions { tag, labels, env } = &record.options.mentions;
    options.extend(tag.iter().map(|tag| ("tag".to_owned(), tag.as_str().into())));
    for (name, words) in [("labels", labels), ("env", env)] {
        if !words.is_empty() {
            options.insert(name.to_owned(), words.join(",").into());
        }
    }
    options
}

/// What it is held to, where Docker has it; `Resources` has all.
fn limits(record: &Record) -> Map<String, Value> {
    let resources = record.config.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let memory = resources.and_then(|resources| resources.memory.as_ref());
    let cpu = resources.and_then(|resources| resources.cpu.as_ref());
    let limits = json!({
        "Memory": memory.and_then(|memory| memory.limit).unwrap_or(0),
        "MemoryReservation": memory.and_then(|memory| memory.reservation).unwrap_or(0),
        "MemorySwap": memory.and_then(|memory| memory.swap).unwrap_or(0),
        "MemorySwappiness": memory.and_then(|memory| memory.swappiness),
        "OomKillDisable": memory.and_then(|memory| memory.disable_oom_killer).unwrap_or(false),
        "NanoCpus": cpu.and_then(nano_cpus).unwrap_or(0),
        "CpuShares": cpu.and_then(|cpu| cpu.shares).unwrap_or(0),
        "CpuPeriod": cpu.and_then(|cpu| cpu.period).unwrap_or(0),
        "CpuQuota": cpu.and_then(|cpu| cpu.quota).unwrap_or(0),
        "CpuRealtimePeriod": cpu.and_then(|cpu| cpu.realtime_period).unwrap_or(0),
        "CpuRealtimeRuntime": cpu.and_then(|cpu| cpu.realtime_runtime).unwrap_or(0),
        "CpusetCpus": cpu.and_then(|cpu| cpu.cpus.clone()).unwrap_or_default(),
        "CpusetMems": cpu.and_then(|cpu| cpu.mems.clone()).unwrap_or_default(),
        "PidsLimit": resources.and_then(|resources| resources.pids.as_ref()).and_then(|pids| pids.limit),
        "BlkioWeight": resources.and_then(|resources| resources.block_io.as_ref()).and_then(|io| io.weight).unwrap_or(0),
    });
    if let Value::Object(limits) = limits { limits } else { Map::new() }
}

fn ulimit(limit: &oci::Rlimit) -> Value {
    let name = limit.kind.strip_prefix("RLIMIT_").unwrap_or(&limit.kind).to_lowercase();
    json!({"Name": name, "Hard": limit.hard, "Soft": limit.soft})
}

fn restart_policy(policy: Policy) -> Value {
    let most = if let Policy::OnFailure { most } = policy { most } else { 0 };
    let text = policy.to_string();
    json!({ "Name": text.split(':').next(), "MaximumRetryCount": most })
}

/// How many CPUs' time it may use, in thousand millionths.
fn nano_cpus(cpu: &oci::Cpu) -> Option<i64> {
    let period = i64::try_from(cpu.period?).ok()?;
    cpu.quota.filter(|quota| *quota > 0)?.checked_mul(1_000_000_000)?.checked_div(period)
}

/// How it stands to a namespace: of its own, the host's, or joined by a file.
fn mode(record: &Record, kind: NamespaceKind) -> String {
    let namespaces = record.config.linux.as_ref().map_or(&[][..], |linux| linux.namespaces.as_slice());
    match namespaces.iter().find(|namespace| namespace.kind == kind) {
        None => "host".to_owned(),
        Some(namespace) => namespace.path.as_ref().map_or_else(|| "private".to_owned(), |path| format!("path:{path}")),
    }
}

/// A mount as Docker tells of it; a file system that `--tmpfs` asked for is none there.
fn mounted(record: &Record, mount: &Mount) -> Option<Value> {
    let destination = mount.destination().as_str();
    Some(match mount {
        Mount::Bind(Bind { source, access, propagation, mode, .. }) => json!({
            "Type": "bind",
            "Source": source,
            "Destination": destination,
            "Mode": mode,
            "RW": *access == Access::ReadWrite,
            "Propagation": propagation.word(),
        }),
        Mount::Volume(volume) => json!({
            "Type": "volume",
            "Name": volume.name.as_str(),
            "Source": record.config.mounts.iter().find(|known| known.destination == destination)?.source,
            "Destination": destination,
            "Driver": crate::volume::DRIVER,
            "Mode": volume.mode,
            "RW": volume.access == Access::ReadWrite,
            "Propagation": "",
        }),
        Mount::Tmpfs(tmpfs) if tmpfs.asked == Asked::AsMount => json!({
            "Type": "tmpfs",
            "Source": "",
            "Destination": destination,
            "Mode": "",
            "RW": !tmpfs.options.iter().any(|option| option == "ro"),
            "Propagation": "",
        }),
        Mount::Tmpfs(_) => return None,
    })
}

/// A mount in the words of `--volume`, which a volume without a name has none for here.
fn bound(mount: &Mount) -> Option<String> {
    let (source, mode) = match mount {
        Mount::Bind(bind) => (bind.source.to_string_lossy(), &bind.mode),
        Mount::Volume(VolumeMount { name: VolumeName::Given(name), mode, .. }) => (name.into(), mode),
        Mount::Volume(_) | Mount::Tmpfs(_) => return None,
    };
    let mode = if mode.is_empty() { String::new() } else { format!(":{mode}") };
    Some(format!("{source}:{}{mode}", mount.destination()))
}

/// Each namespace's identity as the kernel shows it, and whether it is this command's own too.
fn namespaces(process: &LiveProcess) -> Value {
    let look = |opened: error::Result<procfs::Process>| opened.and_then(|process| process.namespaces());
    let (Ok(theirs), Ok(ours)) = (look(procfs::Process::open(HostPid(process.pid))), look(procfs::Process::this()))
    else {
        return Value::Null;
    };
    let documents = theirs.iter().zip(&ours).map(|((kind, theirs), (_, ours))| {
        let shared = theirs.id().is_some() && theirs.id() == ours.id();
        let id = theirs.id().map(|id| format!("{}:[{}]", kind.name(), id.ino));
        (kind.name().to_owned(), json!({ "Id": id, "Host": shared }))
    });
    documents.collect::<Map<_, _>>().into()
}
