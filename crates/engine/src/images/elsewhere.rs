//! Images in places that are no registries: layouts, archives, folders, Docker's daemon.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write as _};
use std::path::Path;

use error::{Doing, Refused, Result};
use image::Reference;
use image::daemon::Daemon;
use image::transport::Transport;
use image::trust::Policy;
use oci::image::Platform;

use super::{Called, Choice, Form, Loaded, Progress, SavedImage, Shelf, Target, Wanted, Which};
use crate::containers::Engine;

impl Engine {
    /// Brings an image from such a place; of an index what suits the platform.
    ///
    /// # Errors
    /// Refused where it is not there, or there are several and it is not said which, or where the policy does not accept it;
    /// a kernel error.
    pub fn load_from(
        &self,
        (place, daemon): (&Transport, &Daemon),
        (platform, policy): (&Platform, Option<&Policy>),
        progress: &dyn Progress,
    ) -> Result<Loaded> {
        policy.map_or(Ok(()), |policy| policy.accepts(place))?;
        let which = place.name().map_or(Which::Only, Which::Named);
        // The word says what the place is, whatever more it may be.
        let choice = |which| Choice { which, platform, policy: None };
        let mut loaded = match place {
            Transport::Layout(folder, _) | Transport::Folder(folder) => {
                // A folder that cannot be read would be one without an image.
                fs::read_dir(folder).doing(|| format!("open {}", folder.display()))?;
                self.load_images(Shelf::Folder(folder), choice(which), progress)?
            }
            Transport::LayoutArchive(file, _) | Transport::DockerArchive(file, _) => {
                let mut archive = File::open(file).doing(|| format!("open {}", file.display()))?;
                self.load_images(Shelf::Archive { tar: &mut archive, path: None }, choice(which), progress)?
            }
            Transport::Daemon(name) => {
                let mut archive: Box<dyn Read> = Box::new(daemon.save(&with_tag(name))?);
                self.load_images(Shelf::Archive { tar: &mut archive, path: None }, choice(Which::Only), progress)?
            }
        };
        loaded.pop().ok_or_else(|| Refused::new("the image", place.kind(), "is not there").into())
    }

    /// Writes an image to such a place.
    ///
    /// # Errors
    /// Refused where there is no such image; a kernel error.
    pub fn save_to(&self, word: &str, (place, daemon): (&Transport, &Daemon)) -> Result<SavedImage> {
        let called = match place {
            Transport::DockerArchive(_, None) => Called::AsHere,
            Transport::Daemon(name) | Transport::DockerArchive(_, Some(name)) => Called::By(Some(with_tag(name))),
            _ => Called::By(place.name().map(str::to_owned)),
        };
        let wanted = [Wanted { word: word.to_owned(), called }];
        let mut saved = match place {
            Transport::Layout(folder, _) => self.save_images(&wanted, Form::Layout, Target::Folder(folder))?,
            Transport::Folder(folder) => self.save_images(&wanted, Form::Folder, Target::Folder(folder))?,
            Transport::LayoutArchive(file, _) => self.save_to_file(&wanted, Form::Layout, file)?,
            Transport::DockerArchive(file, _) => self.save_to_file(&wanted, Form::Both, file)?,
            Transport::Daemon(_) => {
                let mut saved = Vec::new();
                daemon.load(|out| {
                    saved = self.save_images(&wanted, Form::Both, Target::Archive(out))?;
                    Ok(())
                })?;
                saved
            }
        };
        saved.pop().ok_or_else(|| Refused::new("the image", word, "has lost a part of what came with it").into())
    }

    /// Writes images to an archive. Who reads the file finds all of it or none: it is written beside its name.
    ///
    /// # Errors
    /// Refused where there is no such image; a kernel error.
    pub fn save_to_file(&self, wanted: &[Wanted], form: Form, path: &Path) -> Result<Vec<SavedImage>> {
        let action = || format!("write {}", path.display());
        let mut beside = path.to_path_buf().into_os_string();
        beside.push(".part");
        let mut file = BufWriter::new(File::create(&beside).doing(action)?);
        let saved = self.save_images(wanted, form, Target::Archive(&mut file)).and_then(|saved| {
            file.flush().and_then(|()| fs::rename(&beside, path)).doing(action)?;
            Ok(saved)
        });
        if saved.is_err() {
            let _ = fs::remove_file(&beside);
        }
        saved
    }
}

/// The name as Docker has it: an id as it is, another one with its tag.
fn with_tag(name: &str) -> String {
    let is_id = name.starts_with("sha256:");
    let named = Reference::parse(name).ok().filter(|_| !is_id);
    named.map_or_else(|| name.to_owned(), |named| named.familiar())
}
