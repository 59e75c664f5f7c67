//! `rmi` and `image prune`: an image goes when nothing calls it by a name and no container was made from it.

use std::fs;

use error::{Doing, Refused, RefusedKind, Result};
use image::Reference;
use oci::image::Digest;
use rustix::fs::FlockOperation;

use super::garbage::Partial;
use super::half::Half;
use super::{Freed, Named, Unmount, file_name};
use crate::containers::{Container, Engine, Status};
use crate::options::Root;
use crate::record::short;

/// What the removal of an image took away.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The names that it lost, as people write them.
    pub untagged: Vec<String>,
    /// The image itself, if it is gone.
    pub image: Option<RemovedImage>,
}

/// An image that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedImage {
    /// Its id.
    pub id: Digest,
    /// The layers that nobody else needed, the topmost first, and what went with them.
    pub freed: Freed,
}

/// Whether an image goes although a container was made from it, it is mounted, or it has several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// It stays.
    No,
    /// It goes, unless such a container runs.
    Yes,
}

impl Engine {
    /// Takes a name from an image, or all if it is called by its id; the image goes with the last one.
    ///
    /// # Errors
    /// Refused where there is none, where a container was made from it, where it is mounted, or where an id stands for several
    /// names; a kernel error.
    pub fn remove_image(&self, word: &str, force: Force) -> Result<Removed> {
        let held = self.store.hold_images(FlockOperation::LockExclusive)?;
        let found = self.find_image(word)?;
        let names = self.names_meant(word, &found, force)?;
        let users = self.containers_of(&found.image.id)?;
        let is_last = names.len() == found.names.len();
        if is_last {
            check_use(word, &users, force)?;
            self.leave_mount(word, &found, force)?;
        }
        let mut removed = Removed::default();
        for name in &names {
            self.store.remove_tag(name)?;
            self.store.tell_of_image((found.image.id.as_str(), found.image.id.as_str()), "untag");
            removed.untagged.push(name.familiar());
        }
        let runs = users.iter().any(|user| matches!(user.status, Status::Running(_)));
        if !is_last || runs {
            return Ok(removed);
        }
        removed.untagged.extend(found.image.digests.iter().map(|digest| familiar(digest)));
        let (image, halves) = self.forget(&found)?;
        removed.image = Some(image);
        drop(held);
        halves.into_iter().try_for_each(Half::remove)?;
        Ok(removed)
    }

    /// Sees to it that an image which goes is not mounted.
    fn leave_mount(&self, word: &str, found: &Named, force: Force) -> Result<()> {
        let id = &found.image.id;
        if !self.store.is_mounted(id) {
            return Ok(());
        }
        if force == Force::Yes {
            return self.store.unmount(id, Unmount::Wholly);
        }
        let reason = format!("is mounted at {}", self.store.mount_point(id).display());
        let refused = Refused::new("the image", word, reason).kind(RefusedKind::Conflict);
        Err(refused.hint(format!("unmount it first: carboy image unmount {word}; or use --force")).into())
    }

    /// The names that go.
    fn names_meant(&self, word: &str, found: &Named, force: Force) -> Result<Vec<Reference>> {
        if let Ok(name) = Reference::parse(word)
            && found.names.contains(&name)
        {
            return Ok(vec![name]);
        }
        if found.names.len() > 1 && force == Force::No {
            let names: Vec<String> = found.names.iter().map(Reference::familiar).collect();
            let refused = Refused::new("the image", word, "has several names").kind(RefusedKind::Conflict);
            return Err(refused.hint(format!("name one of {}, or use --force for all", names.join(", "))).into());
        }
        Ok(found.names.clone())
    }

    /// Removes an image's record, and what nothing else leads to. The caller holds the images alone.
    fn forget(&self, found: &Named) -> Result<(RemovedImage, Vec<Half>)> {
        let path = self.store.images_folder().join(file_name(&found.image.id));
        fs::remove_file(&path).doing(|| format!("remove {}", path.display()))?;
        self.store.tell_of_image((found.image.id.as_str(), found.image.id.as_str()), "delete");
        let (mut freed, halves) = self.part_with_garbage(Partial::Kept)?;
        let place = |chain: &Digest| found.image.layers.iter().rposition(|layer| layer == chain);
        freed.layers.retain(|chain| place(chain).is_some());
        freed.layers.sort_by_key(|chain| std::cmp::Reverse(place(chain)));
        Ok((RemovedImage { id: found.image.id.clone(), freed }, halves))
    }

    /// The containers that were made from an image.
    ///
    /// # Errors
    /// A kernel error.
    pub fn containers_of(&self, id: &Digest) -> Result<Vec<Container>> {
        let mut containers = self.list()?.containers;
        containers.retain(|container| match &container.record.options.root {
            Root::Image(root) => root.id.as_ref() == Some(id),
            Root::Host | Root::Folder(_) | Root::Archive(_) => false,
        });
        Ok(containers)
    }

    /// Removes the images that `goes` says, but not those from which a container was made or that are mounted. Gives what
    /// was removed, one after the other.
    ///
    /// # Errors
    /// A kernel error.
    pub fn prune_images(&self, goes: impl Fn(&Named) -> bool) -> Result<Vec<Removed>> {
        let mut all = Vec::new();
        for named in self.images()?.whole {
            let is_used = self.store.is_mounted(&named.image.id) || !self.containers_of(&named.image.id)?.is_empty();
            if goes(&named) && !is_used {
                match self.remove_image(&named.image.id.to_string(), Force::Yes) {
                    // Somebody else was faster.
                    Err(error::Error::Refused(refused)) if refused.kind == RefusedKind::NoSuchObject => {}
                    removed => all.push(removed?),
                }
            }
        }
        Ok(all)
    }
}

fn check_use(word: &str, users: &[Container], force: Force) -> Result<()> {
    let runs = |user: &&Container| matches!(user.status, Status::Running(_));
    let refused = |user: &Container, reason: String, hint: String| {
        let refused = Refused::new("the image", word, reason).kind(RefusedKind::Conflict);
        Err(refused.hint(hint.replace("NAME", &user.record.name)).into())
    };
    match (users.iter().find(runs), users.first(), force) {
        (Some(user), _, Force::No) => {
            let reason = format!("is what container {} runs from", short(&user.record.id));
            refused(user, reason, "stop and remove it first: carboy rm -f NAME".to_owned())
        }
        (None, Some(user), Force::No) => {
            let reason = format!("is what container {} was made from", short(&user.record.id));
            refused(user, reason, "remove it first: carboy rm NAME; or use --force".to_owned())
        }
        _ => Ok(()),
    }
}

/// `docker.io/library/debian@sha256:…` as people write it.
fn familiar(digest: &str) -> String {
    Reference::parse(digest).map_or_else(|_| digest.to_owned(), |name| name.familiar())
}
