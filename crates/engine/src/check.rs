//! What is not as it should be after the next command has undone what there was to undo: containers that nobody takes care
//! of, records that cannot be read, folders and names that belong to nobody.

use std::fmt;
use std::path::PathBuf;

use error::{Error, Result};

use crate::containers::{Care, Container, Engine, Removal, Status};
use crate::images::ImageFinding;
use crate::orphans::Orphan;
use crate::record::short;
use crate::store::Lock;
use crate::volume::OwnVolumes;

/// Something that is not as it should be.
#[derive(Debug)]
pub enum Finding {
    /// A container runs without a monitor.
    Unattended(Box<Container>),
    /// A record cannot be read: what it tells of is not touched.
    Damaged(Error),
    /// A folder of a container of which there is no record.
    Folder {
        /// The id it is called by.
        id: String,
        /// Where it is.
        path: PathBuf,
    },
    /// A name of no container.
    Name {
        /// The name.
        name: String,
        /// Whose it was.
        id: String,
    },
    /// Roots are said to be overlays, and no overlay can be had, because of this.
    Driver(String),
    /// Something of the images.
    Image(ImageFinding),
    /// What no folder tells of any more.
    Orphan(Orphan),
    /// Somebody else's firewall drops what the host forwards for containers.
    Shut {
        /// Their network's name.
        network: String,
        /// Its chains, as nft names them.
        by: Vec<String>,
    },
}

/// What it is, in one line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unattended(container) => {
                write!(f, "container {} runs without a monitor, which was killed", container.record.name)
            }
            Self::Damaged(error) => write!(f, "{error}"),
            Self::Folder { path, .. } => write!(f, "{} is the folder of no container", path.display()),
            Self::Driver(reason) => write!(f, "no root can be an overlay here: {reason}"),
            Self::Image(finding) => finding.fmt(f),
            Self::Orphan(orphan) => orphan.fmt(f),
            Self::Shut { network, by } => f.write_str(&shut(network, by)),
            Self::Name { name, id } => write!(f, "the name {name} points to {}, which there is not", short(id)),
        }
    }
}

/// That a network's packets are dropped, by which chains, and what opens it.
#[must_use]
pub fn shut(network: &str, by: &[String]) -> String {
    let by = by.join(", ");
    format!(
        "what is forwarded for the network {network} is dropped by {by}: carboy network open {network} lets it through"
    )
}

impl Engine {
    /// Everything that is not as it should be.
    ///
    /// # Errors
    /// A kernel error where carboy's own folders, or the host, cannot be read.
    pub fn findings(&self) -> Result<Vec<Finding>> {
        let mut found = self.own_findings()?;
        found.extend(self.orphans()?.into_iter().map(Finding::Orphan));
        Ok(found)
    }

    /// The same of carboy's own folders alone.
    fn own_findings(&self) -> Result<Vec<Finding>> {
        let listing = self.list()?;
        let mut found: Vec<Finding> = listing.damaged.into_iter().map(Finding::Damaged).collect();
        let unattended =
            |container: &Container| matches!(container.status, Status::Running(_)) && container.care == Care::Nobody;
        found.extend(listing.containers.into_iter().filter(unattended).map(Box::new).map(Finding::Unattended));
        for id in self.store.ids()? {
            if matches!(self.store.record(&id), Ok(None)) && self.is_nobodys(&id) {
                found.push(Finding::Folder { path: self.store.container(&id), id });
            }
        }
        for (name, id) in self.store.claimed_names()? {
            if matches!(self.store.record(&id), Ok(None)) && self.is_nobodys(&id) {
                found.push(Finding::Name { name, id });
            }
        }
        // Where nothing can be written nothing is found out.
        found.extend(self.store.lost_overlay().ok().flatten().map(Finding::Driver));
        found.extend(self.image_findings()?.into_iter().map(Finding::Image));
        let shut = self.shut_networks()?.into_iter();
        found.extend(shut.map(|(network, by)| Finding::Shut { network: network.name, by }));
        Ok(found)
    }

    /// Removes what a host that was cut off has left half made, and the containers that were to go when they end. Gives what
    /// could not be removed.
    ///
    /// # Errors
    /// A kernel error where carboy's own folders cannot be read.
    pub fn clear_after_reset(&self) -> Result<Vec<Error>> {
        let mut left = Vec::new();
        for finding in self.own_findings()? {
            if let Finding::Folder { .. } | Finding::Name { .. } = finding {
                left.extend(self.repair(&finding).err());
            }
        }
        for Container { record, status, .. } in self.list()?.containers {
            let has_ended = matches!(status, Status::Exited(_) | Status::Gone);
            if record.options.remove && record.begun.is_some() && has_ended && self.is_nobodys(&record.id) {
                left.extend(self.remove(&record.id, Removal::Unforced, OwnVolumes::Removed).err());
            }
        }
        Ok(left)
    }

    /// Whether nobody is making or removing what is called by this id, nor the next command will.
    fn is_nobodys(&self, id: &str) -> bool {
        matches!(self.store.lock(id), Ok(Lock::Absent))
    }

    /// Makes it as it should be, and says what was done; `None` where nothing is to be done by a program.
    ///
    /// # Errors
    /// A kernel error.
    pub fn repair(&self, finding: &Finding) -> Result<Option<String>> {
        match finding {
            Finding::Unattended(container) => {
                let adopted = self.adopt(container)?;
                Ok(adopted.then(|| "it has a monitor again".to_owned()))
            }
            // A firewall is opened for those who ask for it.
            Finding::Damaged(_) | Finding::Shut { .. } => Ok(None),
            Finding::Folder { id, .. } => {
                self.store.remove_own_volumes(id)?;
                self.store.remove_container_folder(id).map(|()| Some("removed".to_owned()))
            }
            Finding::Driver(reason) => {
                self.store.give_overlay_up(reason)?;
                Ok(Some("new containers get copies of their images".to_owned()))
            }
            Finding::Orphan(orphan) => self.remove_orphan(orphan).map(|()| Some("removed".to_owned())),
            Finding::Image(finding) => self.repair_image(finding),
            Finding::Name { name, id } => self.store.release_name(name, id).map(|()| Some("removed".to_owned())),
        }
    }
}
