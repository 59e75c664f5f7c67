//! Stopping every process of a container where it stands, and letting them go on. What stands still is the kernel's to
//! tell: a container's record says nothing of it.

use std::time::Duration;

use cgroup::{Controller, Freezer, GroupPath, Groups, Hierarchies};
use error::{Errno, Refused, RefusedKind, Result};

use crate::containers::{Container, Engine, Status, not_running};
use crate::health::HealthWish;
use crate::record::Record;

/// How long a pause waits for the processes to stand still.
const PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Stops every process of a running container, and waits until all stand still.
    ///
    /// # Errors
    /// Refused (a conflict) where it does not run or is paused already; a kernel error that names the processes that do
    /// not stand still, after which all of them go on.
    pub fn pause(&self, word: &str) -> Result<()> {
        let container = self.find(word)?;
        let groups = running_groups(&container)?;
        if groups.frozen() == Some(true) {
            return Err(conflict(&container.record, "is already paused").into());
        }
        groups.freeze(PATIENCE)?;
        self.store.tell(&container.record, "pause", &[]);
        self.tell_checks(&container);
        Ok(())
    }

    /// Lets the processes of a paused container go on.
    ///
    /// # Errors
    /// Refused (a conflict) where it does not run or is not paused; a kernel error.
    pub fn unpause(&self, word: &str) -> Result<()> {
        let container = self.find(word)?;
        let groups = running_groups(&container)?;
        if groups.frozen() != Some(true) {
            return Err(conflict(&container.record, "is not paused").into());
        }
        groups.thaw()?;
        self.store.tell(&container.record, "unpause", &[]);
        self.tell_checks(&container);
        Ok(())
    }

    /// Its health is not checked while it stands still: its monitor looks whether it does.
    fn tell_checks(&self, container: &Container) {
        if let HealthWish::Checked(_) = &container.record.options.health {
            self.settle(&container.record);
        }
    }
}

/// The groups of a container that runs.
fn running_groups(container: &Container) -> Result<Groups> {
    let Status::Running(_) = &container.status else { return Err(not_running(container).into()) };
    let groups = groups(&container.record, &Hierarchies::read()?)?;
    if groups.present().next().is_none() {
        let refused = conflict(&container.record, "has no cgroup by which it could be stopped");
        return Err(refused.hint("start it where a cgroup was handed over to you, or with sudo carboy …").into());
    }
    Ok(groups)
}

fn groups(record: &Record, hierarchies: &Hierarchies) -> Result<Groups> {
    Groups::open(hierarchies, &GroupPath::parse("the recorded group", &record.group)?)
}

/// Whether every process in a container's groups is stopped.
///
/// # Errors
/// A kernel error.
pub(crate) fn stands_still(hierarchies: &Hierarchies, group: &GroupPath) -> Result<bool> {
    Ok(Freezer::open(hierarchies)?.is_frozen(group) == Some(true))
}

/// The groups of a container that is paused: what is killed there dies only when they go on.
pub(crate) struct Paused(Groups);

impl Paused {
    /// Looks whether a container is paused.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn look(record: &Record) -> Result<Option<Self>> {
        let groups = groups(record, &Hierarchies::read()?.alone(Controller::Freezer))?;
        Ok((groups.frozen() == Some(true)).then_some(Self(groups)))
    }

    /// Lets it go on; one that is gone meanwhile did.
    ///
    /// # Errors
    /// As [`Groups::thaw`].
    pub(crate) fn release(self) -> Result<()> {
        match self.0.thaw() {
            Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV)) => Ok(()),
            thawed => thawed,
        }
    }
}

fn conflict(record: &Record, reason: &str) -> Refused {
    Refused::new("the container", &record.name, reason).kind(RefusedKind::Conflict)
}

/// The refusal of one more process in a container that stands still.
pub(crate) fn is_paused(record: &Record) -> Refused {
    conflict(record, "is paused").hint(format!("let it go on first with carboy unpause {}", record.name))
}

impl Container {
    /// Whether it runs and every process of it is stopped, now, in the kernel.
    ///
    /// # Errors
    /// Corrupt: its group's path.
    pub fn is_paused(&self, freezer: &Freezer) -> Result<bool> {
        let Status::Running(_) = &self.status else { return Ok(false) };
        let path = GroupPath::parse("the recorded group", &self.record.group)?;
        Ok(freezer.is_frozen(&path) == Some(true))
    }
}
