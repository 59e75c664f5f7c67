//! `mounts`: a container gets more mounts while it runs, all of the list or none, or loses some. crun(1).

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};

use bumpalo::Bump;
use cgroup::{GroupPath, Groups, Hierarchies};
use error::{Doing, Error, Refused, Result};
use oci::{Config, Mount};
use procfs::HostPid;
use runtime::mounts::{self, Change};
use runtime::plan::{PidBy, RootOf, Target};
use runtime::root::Root;

use crate::arguments::Invocation;
use crate::container::{self, refused};
use crate::process;
use crate::store::{Record, Store};

/// `mounts`.
///
/// # Errors
/// Refused where the container does not run, for what is no list of mounts, and for what cannot be had; a kernel error.
/// Of mounts that are to be added none is there then.
pub(crate) fn mounts(store: &Store, invocation: &Invocation) -> Result<()> {
    let [action, id, file] = invocation.words.as_slice() else {
        return Err(Refused::new("mounts", "", "needs add or remove, the id of a container, and a file").into());
    };
    let change = match action.as_str() {
        "add" => Change::Add,
        "remove" => Change::Remove,
        other => return Err(Refused::new("mounts", other, "is neither add nor remove").into()),
    };
    let (_held, record) = store.hold(id)?;
    container::running(store, &record)?;
    let config = config(&record, file)?;
    let site = Site::of(&record)?;
    match change {
        Change::Add => add(&site, &config),
        Change::Remove => site.change(&config, Change::Remove, &config.mounts),
    }
}

/// The container's configuration with the mounts of a file in place of its own.
fn config(record: &Record, file: &str) -> Result<Config> {
    let mut text = Vec::new();
    let read = match file {
        "-" => std::io::stdin().read_to_end(&mut text),
        file => fs::File::open(file).and_then(|mut file| file.read_to_end(&mut text)),
    };
    read.doing(|| format!("read the mounts {file}"))?;
    let mut config = Config { mounts: oci::document::parse("mounts", &text)?, ..record.config.clone() };
    config.check()?;
    for mount in &mut config.mounts {
        if !mount.destination.starts_with('/') {
            mount.destination.insert(0, '/');
        }
    }
    runtime::label::label_mounts(&mut config, process::modules(None, record.config.linux.as_ref())?)?;
    Ok(config)
}

/// Each mount has a plan of its own, so that those before one that fails can be taken away again. All are planned before
/// the first is made.
fn add(site: &Site, config: &Config) -> Result<()> {
    site.check(config, Change::Add, &config.mounts)?;
    for (number, mount) in config.mounts.iter().enumerate() {
        if let Err(error) = site.change(config, Change::Add, std::slice::from_ref(mount)) {
            for made in config.mounts.iter().take(number).rev().filter(|mount| is_new(mount)) {
                let _ = site.change(config, Change::Remove, std::slice::from_ref(made));
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Whether it makes a mount, and does not change one or make a link.
fn is_new(mount: &Mount) -> bool {
    !mount.options.iter().any(|word| matches!(word.as_str(), "remount" | "copy-symlink"))
}

/// A container whose mounts are changed.
struct Site {
    target: Target,
    first: HostPid,
    handle: OwnedFd,
}

impl Site {
    fn of(record: &Record) -> Result<Self> {
        let gone = || Error::from(refused(record, "container not running"));
        let first = record.process.ok_or_else(gone)?;
        let path = GroupPath::parse("the recorded group", &record.group)?;
        let groups = Groups::open(&Hierarchies::default(), &path)?;
        let mut target = runtime::entry::target(HostPid(first.pid), &groups);
        // The namespace files were found by number: that the process still lives says that they are its own.
        let handle = first.open().ok_or_else(gone)?;
        if let Ok(target) = &mut target {
            target.pid = PidBy::Child;
            if !namespace::mnt::keeps_its_mounts(&record.config) {
                target.root = RootOf::FirstProcess;
            }
        }
        Ok(Self { target: target?, first: HostPid(first.pid), handle })
    }

    /// Whether all can be had, as far as that can be known before anything is done.
    fn check(&self, config: &Config, change: Change, list: &[Mount]) -> Result<()> {
        let facts = mounts::read(list)?;
        mounts::plan(&self.target, config, (change, list, &facts), &Bump::new()).map(drop)
    }

    fn change(&self, config: &Config, change: Change, list: &[Mount]) -> Result<()> {
        let facts = mounts::read(list)?;
        let arena = Bump::new();
        let plan = mounts::plan(&self.target, config, (change, list, &facts), &arena)?;
        mounts::apply(&plan, self.handle.as_fd(), &Root::OfProcess(self.first))
    }
}
