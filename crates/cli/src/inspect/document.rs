//! A container as one document: Docker's keys, and those of carboy's own for what Docker does not tell.

use engine::containers::Status;
use engine::log::LogWish;
use engine::record::{LiveProcess, Record};
use engine::size::Size;
use engine::stop::Patience;
use engine::store::Store;
use oci::NamespaceKind;
use procfs::HostPid;
use serde_json::{Map, Value, json};

use crate::ps::{Mounted, Seen, mounts, network};
use crate::value::signal;

/// Docker's moment for what has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The document of a container.
pub(super) fn document(seen: &Seen, store: &Store, size: Option<Size>) -> Value {
    let record = &seen.container.record;
    let args = record.config.process.as_ref().map_or(&[][..], |process| process.args.as_slice());
    let folder = store.container(&record.id);
    let log = matches!(record.log, Some(LogWish::JsonFile { .. })).then(|| engine::log::path(&folder));
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
        "RestartCount": 0,
        "Driver": "overlay",
        "Platform": "linux",
        "GraphDriver": {
            "Name": "overlay",
            "Data": {"UpperDir": folder.join("upper"), "WorkDir": folder.join("work")},
        },
        "Mounts": mounts(record).map(|mount| mounted(&mount)).collect::<Vec<_>>(),
        "Config": config(record),
        "HostConfig": host_config(record),
        "NetworkSettings": network_settings(record),
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
        "Running": process.is_some(),
        "Paused": seen.is_paused(),
        "Restarting": false,
        "OOMKilled": exit.is_some_and(|exit| exit.shortage.oom.is_some()),
        "Dead": false,
        "OOMCause": cause.map(|cause| json!({"Path": cause.path, "LimitBytes": cause.limit})),
        "ForksRefused": refused.map_or(0, |refused| refused.count),
        "ForksRefusedCause": refused.and_then(|refused| refused.cause.as_ref()).map(
            |cause| json!({"Path": cause.path, "Limit": cause.limit})
        ),
        "Pid": process.map_or(0, |process| process.pid),
        "ExitCode": exit.map_or(Some(0), |exit| exit.code),
        "Error": "",
        "StartedAt": started.map_or_else(|| NEVER.to_owned(), |time| time.to_string()),
        "FinishedAt": exit.map_or_else(|| NEVER.to_owned(), |exit| exit.finished.to_string()),
        "Health": null,
    })
}

/// What was asked for that would hold on any host.
fn config(record: &Record) -> Value {
    let process = record.config.process.as_ref();
    json!({
        "Hostname": record.config.hostname.as_deref().unwrap_or_default(),
        "Domainname": record.config.domainname.as_deref().unwrap_or_default(),
        "User": record.user,
        "Tty": process.is_some_and(|process| process.terminal),
        "Env": process.map(|process| process.env.clone()),
        "Cmd": process.map(|process| process.args.clone()),
        "Image": record.image,
        "WorkingDir": process.map(|process| process.cwd.clone()),
        "Entrypoint": null,
        "Labels": record.labels,
        "StopSignal": record.stop.signal.map(signal::name),
        "StopTimeout": record.stop.patience.map(|patience| match patience {
            Patience::Seconds(seconds) => i64::from(seconds),
            Patience::Endless => -1,
        }),
    })
}

/// What was asked for that is this host's.
fn host_config(record: &Record) -> Value {
    let resources = record.config.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let memory = resources.and_then(|resources| resources.memory.as_ref());
    let cpu = resources.and_then(|resources| resources.cpu.as_ref());
    let process = record.config.process.as_ref();
    let binds: Vec<String> = mounts(record)
        .map(|mount| {
            let access = if is_read_only(&mount) { ":ro" } else { "" };
            format!("{}:{}{access}", mount.source, mount.destination)
        })
        .collect();
    let log = match record.log {
        Some(LogWish::JsonFile { max_bytes, max_files }) => json!({
            "Type": "json-file",
            "Config": {"max-size": max_bytes.to_string(), "max-file": max_files.to_string()},
        }),
        Some(LogWish::Nothing) | None => json!({"Type": "none", "Config": {}}),
    };
    json!({
        "Binds": if binds.is_empty() { Value::Null } else { binds.into() },
        "LogConfig": log,
        "NetworkMode": network(record),
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": record.remove,
        "Annotations": record.config.annotations,
        "CgroupnsMode": mode(record, NamespaceKind::Cgroup),
        "IpcMode": mode(record, NamespaceKind::Ipc),
        "PidMode": mode(record, NamespaceKind::Pid),
        "UTSMode": mode(record, NamespaceKind::Uts),
        "UsernsMode": mode(record, NamespaceKind::User),
        "OomScoreAdj": process.and_then(|process| process.oom_score_adj).unwrap_or(0),
        "ReadonlyRootfs": record.config.root.as_ref().is_some_and(|root| root.readonly),
        "Memory": memory.and_then(|memory| memory.limit).unwrap_or(0),
        "MemoryReservation": memory.and_then(|memory| memory.reservation).unwrap_or(0),
        "MemorySwap": memory.and_then(|memory| memory.swap).unwrap_or(0),
        "NanoCpus": cpu.and_then(nano_cpus).unwrap_or(0),
        "CpuShares": cpu.and_then(|cpu| cpu.shares).unwrap_or(0),
        "CpuPeriod": cpu.and_then(|cpu| cpu.period).unwrap_or(0),
        "CpuQuota": cpu.and_then(|cpu| cpu.quota).unwrap_or(0),
        "CpusetCpus": cpu.and_then(|cpu| cpu.cpus.clone()).unwrap_or_default(),
        "CpusetMems": cpu.and_then(|cpu| cpu.mems.clone()).unwrap_or_default(),
        "PidsLimit": resources.and_then(|resources| resources.pids.as_ref()).and_then(|pids| pids.limit),
        "CgroupParent": record.group.rsplit_once('/').map(|(parent, _)| parent),
        "Resources": resources,
    })
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

fn is_read_only(mount: &Mounted<'_>) -> bool {
    mount.options.iter().any(|option| option == "ro" || option == "rro")
}

fn mounted(mount: &Mounted<'_>) -> Value {
    let propagation = mount.options.iter().find(|option| {
        ["private", "shared", "slave"].iter().any(|word| option.strip_prefix('r').unwrap_or(option) == *word)
    });
    json!({
        "Type": "bind",
        "Source": mount.source,
        "Destination": mount.destination,
        "Mode": if is_read_only(mount) { "ro" } else { "" },
        "RW": !is_read_only(mount),
        "Propagation": propagation.map_or("", String::as_str),
    })
}

/// There are no addresses yet.
fn network_settings(record: &Record) -> Value {
    let address = json!({"IPAddress": "", "IPPrefixLen": 0, "Gateway": "", "MacAddress": ""});
    let mut networks = Map::new();
    if !network(record).is_empty() {
        networks.insert(network(record).to_owned(), address.clone());
    }
    let mut settings = address;
    if let Some(fields) = settings.as_object_mut() {
        fields.insert("Ports".to_owned(), json!({}));
        fields.insert("Networks".to_owned(), networks.into());
    }
    settings
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
