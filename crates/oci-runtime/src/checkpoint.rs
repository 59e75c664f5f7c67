//! `checkpoint`: the processes of a container written to files, from which `restore` brings them back.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use error::{Doing, Refused, Result};
use procfs::{Descriptor, HostPid, Process};

use crate::arguments::Invocation;
use crate::container::{self, refused};
use crate::criu::{Action, Criu, Folders, Message, News, joined_namespaces, option};
use crate::report::Log;
use crate::store::Store;

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
    let first = record.process.ok_or_else(|| refused(&record, "container not running"))?;
    let pre = invocation.has("pre-dump");
    let mut ready = invocation.number::<u32>("status-fd")?.map(take).transpose()?;
    let mut criu =
        Criu::new(if pre { Action::PreDump } else { Action::Dump }, Folders::New, invocation, &record.config)?;
    let streams = streams(first.pid)?;
    let text = serde_json::to_vec(&streams.iter().map(|(name, _)| name).collect::<Vec<_>>()).unwrap_or_default();
    let path = criu.images.join(STREAMS);
    fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    criu.options.number(option::PID, u64::from(first.pid.unsigned_abs())).text(option::ROOT, &record.rootfs);
    let mut named: Vec<&str> = streams.iter().filter_map(|(_, external)| external.as_deref()).collect();
    named.dedup();
    for external in named {
        criu.options.text(option::EXTERNAL, external);
    }
    for (kind, name, path) in joined_namespaces(&record.config) {
        let inode = fs::metadata(path).doing(|| format!("look at the {kind} namespace {path}"))?.ino();
        criu.options.text(option::EXTERNAL, &format!("{kind}[{inode}]:{name}"));
    }
    options(&mut criu, invocation)?;
    criu.run(&mut |news| {
        if let Some(mut ready) = ready.take_if(|_| matches!(news, News::PagesReady)) {
            // Who reads it may not care any more.
            let _ = ready.write_all(&[0]);
        }
        Ok(())
    })?;
    if pre || invocation.has("leave-running") {
        return Ok(());
    }
    container::kill_first(&record);
    container::undo(held, &record, log)
}

/// The caller's descriptor that is told when pages can be fetched.
fn take(number: u32) -> Result<File> {
    let taken = sys::process::take_inherited(number).map(File::from);
    taken.map_err(|_| Refused::new("--status-fd", number.to_string(), "is not open").into())
}

fn options(criu: &mut Criu, invocation: &Invocation) -> Result<()> {
    if invocation.has("pre-dump") {
        criu.options.flag(option::TRACK_MEMORY);
    } else if invocation.has("leave-running") {
        criu.options.flag(option::LEAVE_RUNNING);
    }
    if let Some(parent) = invocation.value("parent-path").filter(|path| !path.is_empty()) {
        let refused = |reason: &str| {
            let refused = Refused::new("--parent-path", parent, reason);
            Err(refused.hint("write it as it is seen from the folder of the images").into())
        };
        if parent.starts_with('/') {
            return refused("is a path from the root");
        }
        if !criu.images.join(parent).is_dir() {
            return refused("is no folder");
        }
        criu.options.text(option::PARENT_IMAGES, parent).flag(option::TRACK_MEMORY);
    }
    if let Some(server) = invocation.value("page-server") {
        let place = server.rsplit_once(':').and_then(|(address, port)| Some((address, port.parse::<u16>().ok()?)));
        let Some((address, port)) = place else {
            return Err(Refused::new("--page-server", server, "has no port").hint("write ADDRESS:PORT").into());
        };
        let mut place = Message::default();
        place.text(1, address).number(2, u64::from(port));
        criu.options.message(option::PAGE_SERVER, &place);
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
