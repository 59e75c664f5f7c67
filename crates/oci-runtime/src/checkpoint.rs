//! `checkpoint`: the processes of a container written to files, from which `restore` brings them back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use error::{Doing, Refused, Result};
use procfs::{Descriptor, HostPid, Process};

use crate::arguments::Invocation;
use crate::container::{self, refused};
use crate::criu::{Criu, Folders, joined_namespaces};
use crate::report::Log;
use crate::store::{Record, Store};

/// What the standard streams were, for who gives them again: runc's name for it.
pub(crate) const STREAMS: &str = "descriptors.json";

/// `checkpoint`. Without `--leave-running` and `--pre-dump` the container is gone then.
///
/// # Errors
/// Refused where it does not run, for what is not supported, and where CRIU cannot; a kernel error.
pub(crate) fn checkpoint(store: &Store, invocation: &Invocation, log: &Log) -> Result<()> {
    let (held, record) = store.hold(invocation.id()?)?;
    container::running(store, &record)?;
    if store.waits(&record.id) {
        return Err(refused(&record, "has not been started: there is nothing to write down").into());
    }
    check(&record)?;
    let first = record.process.ok_or_else(|| refused(&record, "container not running"))?;
    let pre = invocation.has("pre-dump");
    let mut criu = Criu::new(if pre { "pre-dump" } else { "dump" }, Folders::New, invocation)?;
    let streams = streams(first.pid)?;
    let text = serde_json::to_vec(&streams.iter().map(|(name, _)| name).collect::<Vec<_>>()).unwrap_or_default();
    let path = criu.images.join(STREAMS);
    fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    criu.command.args(["--tree", &first.pid.to_string(), "--root", &record.rootfs]);
    let mut named: Vec<&str> = streams.iter().filter_map(|(_, external)| external.as_deref()).collect();
    named.dedup();
    criu.command.args(named.into_iter().flat_map(|external| ["--external", external]));
    for (kind, name, path) in joined_namespaces(&record.config) {
        let inode = fs::metadata(path).doing(|| format!("look at the {kind} namespace {path}"))?.ino();
        criu.command.args(["--external", &format!("{kind}[{inode}]:{name}")]);
    }
    options(&mut criu, invocation)?;
    criu.run()?;
    if pre || invocation.has("leave-running") {
        return Ok(());
    }
    container::kill_first(&record);
    container::undo(held, &record, log)
}

/// What CRIU's command line cannot write down or bring back.
fn check(record: &Record) -> Result<()> {
    if record.config.process.as_ref().is_some_and(|process| process.terminal) {
        let refused =
            Refused::new("process.terminal", "true", "cannot be written down: its other side is somebody else's");
        return Err(refused.hint("checkpoints are for containers without a terminal").into());
    }
    Ok(())
}

fn options(criu: &mut Criu, invocation: &Invocation) -> Result<()> {
    if invocation.has("pre-dump") {
        criu.command.arg("--track-mem");
    } else if invocation.has("leave-running") {
        criu.command.arg("--leave-running");
    }
    if let Some(parent) = invocation.value("parent-path").filter(|path| !path.is_empty()) {
        if parent.starts_with('/') {
            let refused = Refused::new("--parent-path", parent, "is a path from the root");
            return Err(refused.hint("write it as it is seen from the folder of the images").into());
        }
        criu.command.args(["--prev-images-dir", parent, "--track-mem"]);
    }
    if let Some(server) = invocation.value("page-server") {
        let Some((address, port)) = server.rsplit_once(':') else {
            return Err(Refused::new("--page-server", server, "has no port").hint("write ADDRESS:PORT").into());
        };
        criu.command.args(["--page-server", "--address", address, "--port", port]);
    }
    if let Some(descriptor) = invocation.number::<u32>("status-fd")? {
        criu.command.args(["--status-fd", &descriptor.to_string()]);
    }
    Ok(())
}

/// Each standard stream of a process by the name that it is given back by, and what CRIU has to be told of it: a file that
/// is not within the container is no part of the images.
fn streams(pid: i32) -> Result<Vec<(String, Option<String>)>> {
    let process = Process::open(HostPid(pid))?;
    let mounts = process.mountinfo()?;
    let stream = |number| {
        let Descriptor { target, inode, mount } = process.descriptor(number)?;
        if !target.is_absolute() {
            return Ok((target.display().to_string(), None));
        }
        if mounts.iter().any(|inside| inside.id == mount) {
            return Ok((String::new(), None));
        }
        let name = format!("file[{mount:x}:{inode:x}]");
        Ok((name.clone(), Some(name)))
    };
    (0..3).map(stream).collect()
}
