//! Changing what a container is held to: in the kernel while it runs, and in its record for as long as it is there.

use cgroup::change::{self, Now, Wishes};
use cgroup::mark::{self, Place};
use cgroup::{Asked, GroupPath, Groups, Hierarchies, HostFacts};
use error::{Refused, RefusedKind, Result};
use oci::Resources;
use procfs::NamespaceId;

use crate::containers::{Engine, Status, no_such, not_running};
use crate::options::Limits;
use crate::record::{LiveTable, Record};
use crate::{disk, host, place, spec};

/// Limits from before and after.
struct Change {
    former: Resources,
    asked: Resources,
    merged: Resources,
}

impl Change {
    fn of(record: &Record, asked: Resources) -> Self {
        let former = record.config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
        Self { merged: spec::merged(&former, &asked), former, asked }
    }

    /// The fields that are as they were, which a host that cannot have them went without.
    fn unasked(&self) -> Vec<&'static str> {
        let swap = self.asked.memory.as_ref().is_none_or(|memory| memory.swap.is_none());
        let fields =
            [(swap, "linux.resources.memory.swap"), (self.asked.devices.is_empty(), "linux.resources.devices")];
        fields.into_iter().filter(|(unasked, _)| *unasked).map(|(_, field)| field).collect()
    }
}

impl Engine {
    /// Holds a container to `limits` from now on; what they do not name stays. All of it, or nothing.
    ///
    /// # Errors
    /// Refused, naming the flag, for limits that cannot be had and for what the container is already beyond; a kernel
    /// error, after which everything is as before.
    pub fn update(&self, word: &str, limits: &Limits) -> Result<()> {
        let changed = self.update_in_fields(word, limits);
        changed.map_err(|error| limits.in_flags(error))
    }

    fn update_in_fields(&self, word: &str, limits: &Limits) -> Result<()> {
        let cpus = u32::try_from(host::online_cpus()?.len()).unwrap_or(u32::MAX);
        limits.check(cpus)?;
        refuse_nothing(limits)?;
        let asked = spec::asked(limits, &disk::read(limits)?)?;
        let id = self.find(word)?.record.id;
        // Whoever else changes the record, as its monitor when it ends, comes before or after all of this.
        let _held = self.store.hold(&id)?.ok_or_else(|| no_such(word))?;
        let container = self.find(&id)?;
        let mut record = container.record.clone();
        let change = Change::of(&record, asked);
        match &container.status {
            Status::Running(_) => {
                let done = self.change(&record, &change);
                // What fails in groups that are being removed is that they are.
                if done.is_err() && !matches!(self.find(&id)?.status, Status::Running(_)) {
                    return Err(not_running(&container).into());
                }
                done?;
            }
            Status::Exited(_) | Status::Restarting(_) | Status::Gone => self.check(&record, &change)?,
            Status::Created => {
                let refused = Refused::new("the container", &record.name, "is just being started");
                return Err(refused.kind(RefusedKind::Conflict).hint("try again when it runs").into());
            }
        }
        record.config.linux.get_or_insert_default().resources = Some(change.merged);
        self.store.write_record(&record)?;
        self.store.tell(&record, "update", &[]);
        Ok(())
    }

    /// Changes a running container.
    fn change(&self, record: &Record, change: &Change) -> Result<()> {
        let path = GroupPath::parse("the recorded group", &record.group)?;
        let hierarchies = place::hierarchies_around(&path)?.of_container(&path)?;
        let mut groups = Groups::open(&hierarchies, &path)?;
        let mut now = Now::read(&hierarchies, &groups)?;
        now.facts.systemd = place::recorded(record)?;
        let Change { former, asked, merged } = change;
        let unasked = change.unasked();
        let wishes = Wishes { former, asked, merged, unasked: &unasked };
        let steps = change::plan(&hierarchies, &path, &now, &wishes)?;
        let marked = asked.network.as_ref().is_some_and(|network| network.class_id.is_some());
        if !marked {
            return groups.change(&steps);
        }
        self.mark(record, (&hierarchies, &groups), merged)?;
        groups.change(&steps).inspect_err(|_| {
            // The group's own error is the one to tell.
            let _ = self.mark(record, (&hierarchies, &groups), former);
        })
    }

    /// Marks a running container's packets with the class that `resources` have, where nftables does that.
    fn mark(
        &self,
        record: &Record,
        (hierarchies, groups): (&Hierarchies, &Groups),
        resources: &Resources,
    ) -> Result<()> {
        let Some(mark) = mark::plan(hierarchies, groups.path(), resources.network.as_ref())? else { return Ok(()) };
        let table = self.store.live(&record.id)?.and_then(|live| live.table);
        let Some(LiveTable { dev, ino, file }) = table else {
            let reason = "the container was started without a class, and this host has no net_cls to give it one now";
            let refused = Refused::new("linux.resources.network.classID", format!("{:#x}", mark.class), reason);
            return Err(refused.hint("start it with --net-cls-classid").into());
        };
        mark::change(&Place { namespace: NamespaceId { dev, ino }, file }, groups, &mark)
    }
    /// Whether a container that does not run could be started with what it is to have.
    fn check(&self, record: &Record, change: &Change) -> Result<()> {
        let path = GroupPath::parse("the recorded group", &record.group)?;
        let hierarchies = place::hierarchies_around(&path)?.for_container(&change.merged, &self.store.mounts())?;
        let facts = HostFacts::read(&hierarchies, &path)?;
        let unasked = change.unasked();
        let asked = Asked { resources: &change.merged, defaulted: &unasked };
        cgroup::plan(&hierarchies, &facts, &path, &asked).map(drop)
    }
}

/// Refuses what a new container has anyway and one that exists cannot be brought back to.
fn refuse_nothing(limits: &Limits) -> Result<()> {
    if limits.net_cls_classid == Some(0) {
        let refused = Refused::new("--net-cls-classid", "0", "a class can be changed, but not taken away");
        return Err(refused.hint("give another class").into());
    }
    match limits.blkio_weight_device.iter().find(|device| device.weight == 0) {
        None => Ok(()),
        Some(device) => {
            let shown = format!("{}:0", device.disk.display());
            let refused = Refused::new("--blkio-weight-device", shown, "a weight can be changed, but not taken away");
            Err(refused.hint("give the weight that the container has at other disks").into())
        }
    }
}
