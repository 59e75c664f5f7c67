//! `commit` and `import`: an image is made of what a container has changed, or of an archive of a root file system.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use error::{Doing, Refused, RefusedKind, Result};
use image::Reference;
use image::archive::Packing;
use image::content::{Content, Staged};
use image::layer::{Changes, Compression, pack_copy, pack_layer};
use jiff::Timestamp;
use oci::image::{ContainerConfig, Descriptor, Digest, History, ImageConfig, Manifest, Platform, RootFs, media};

use super::bring::Progress;
use super::{Image, Instruction, Lease, Order, Source, Step, open_folder};
use crate::containers::{Container, Engine, Status};
use crate::driver::Driver;
use crate::options::{Root, RunOptions};
use crate::roots::remembers;

/// What is written on a new image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imprint {
    /// Who has made it.
    pub author: Option<String>,
    /// What it is.
    pub comment: Option<String>,
    /// What its containers are, other than it would be.
    pub changes: Vec<Instruction>,
}

/// Whether a container stands still while its changes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stillness {
    /// It does.
    Paused,
    /// It runs on.
    Running,
}

/// A new layer, whose blob is not visible yet.
struct NewLayer {
    blob: Descriptor,
    diff_id: Digest,
}

/// The blobs that are here.
struct Here(Content);

impl Source for Here {
    fn blob(&self, wanted: &Descriptor, _: u64) -> Result<(u64, Box<dyn Read + '_>)> {
        let missing = || Refused::new("the blob", wanted.digest.to_string(), "is not on this host");
        Ok((0, Box::new(self.0.open(&wanted.digest)?.ok_or_else(missing)?)))
    }
}

/// What is here needs no telling.
struct Nobody;

impl Progress for Nobody {
    fn tell(&self, _: &Digest, _: Step) {}
}

/// Where a layer is written to.
struct Into<'s>(&'s mut Staged);

impl Write for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).map_err(|error| match error.errno() {
            Some(errno) => std::io::Error::from_raw_os_error(errno.raw_os_error()),
            None => std::io::Error::other(error.to_string()),
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Engine {
    /// Makes an image of what a container has changed of its own.
    ///
    /// # Errors
    /// Refused where the container was not made from an image; a kernel error.
    pub fn commit(
        &self,
        word: &str,
        name: Option<&Reference>,
        imprint: &Imprint,
        stillness: Stillness,
    ) -> Result<Image> {
        let container = self.find(word)?;
        let options = &container.record.options;
        let Root::Image(root) = &options.root else {
            let refused =
                Refused::new("the container", word, format!("was made from {} and from no image", options.root));
            return Err(refused.hint(format!("use carboy export {word} | carboy import - NAME")).into());
        };
        let gone = || Refused::new("the image", &root.name, "is gone").kind(RefusedKind::NoSuchObject);
        let id = root.id.as_ref().ok_or_else(gone)?;
        let mut lease = Lease::new(&self.store)?;
        let image = self.store.image(id)?.ok_or_else(gone)?;
        lease.add(&self.store, self.kept_by(&image)?)?;
        let pauses = stillness == Stillness::Paused && matches!(container.status, Status::Running(_));
        let paused = pauses && self.pause(word).is_ok();
        let mut own = Lease::new(&self.store)?;
        let layer = self.changes_of(&container, &mut own);
        if paused {
            self.unpause(word)?;
        }
        let command = container.record.config.process.as_ref().map(|process| process.args.join(" "));
        let made = layer.and_then(|layer| {
            let mut config = self.store.image_config(id)?;
            config.config = as_it_runs(options, config.config);
            let parent = image.manifests.first().ok_or_else(gone)?;
            let layers = self.store.manifest(parent)?.layers;
            self.make_image((config, layers), (layer, &mut own), (command.unwrap_or_default(), imprint), name)
        });
        let made = self.kept_or_discarded(made, own)?;
        let told = [
            ("comment", imprint.comment.clone().unwrap_or_default()),
            ("imageID", made.id.to_string()),
            ("imageRef", name.map(Reference::familiar).unwrap_or_default()),
        ];
        self.store.tell(&container.record, "commit", &told);
        Ok(made)
    }

    /// An image that was made, or else why not: then nothing of it stays.
    fn kept_or_discarded(&self, made: Result<Image>, lease: Lease) -> Result<Image> {
        if made.is_err() {
            // Why it was not made says more than what could not be removed, which the next prune removes.
            let _ = self.discard(lease);
        }
        made
    }

    /// The upper folder of a container as a layer.
    fn changes_of(&self, container: &Container, lease: &mut Lease) -> Result<NewLayer> {
        let id = container.record.id.as_str();
        let mut staged = self.store.content().stage()?;
        let packed = match container.record.driver {
            Driver::Overlay => {
                let (upper, remembers) = (open_folder(&self.store.container(id).join("upper"))?, remembers()?);
                let root = &container.record.options.root;
                let below = root.lower((&self.store, id)).first().map(|layer| open_folder(layer)).transpose()?;
                let below = below.as_ref().map(AsFd::as_fd);
                let changes = Changes { upper: upper.as_fd(), remembers, below, owners: &|owners| owners };
                pack_layer(&changes, Compression::Gzip, &mut Into(&mut staged))?
            }
            Driver::Vfs => self
                .with_copy(&container.record, |copied| pack_copy(copied, Compression::Gzip, &mut Into(&mut staged)))?,
        };
        lease.add(&self.store, [packed.digest.clone()])?;
        staged.keep()?;
        Ok(NewLayer {
            blob: Descriptor::new(media::OCI_LAYER_GZIP, packed.digest, packed.size),
            diff_id: packed.diff_id,
        })
    }

    /// Makes an image of an archive of a root file system.
    ///
    /// # Errors
    /// Refused for what is no such archive; a kernel error.
    pub fn import(
        &self,
        mut archive: impl Read,
        name: Option<&Reference>,
        imprint: &Imprint,
        platform: &Platform,
    ) -> Result<Image> {
        self.store.make_image_folders()?;
        let mut lease = Lease::new(&self.store)?;
        let made = self.import_archive(&mut archive, &mut lease).and_then(|layer| {
            let config = ImageConfig {
                architecture: platform.architecture.clone(),
                os: platform.os.clone(),
                variant: platform.variant.clone(),
                rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
                ..ImageConfig::default()
            };
            self.make_image((config, Vec::new()), (layer, &mut lease), (String::new(), imprint), name)
        });
        let made = self.kept_or_discarded(made, lease)?;
        self.store.tell_of_image((made.id.as_str(), made.id.as_str()), "import");
        Ok(made)
    }

    /// An archive as a layer.
    fn import_archive(&self, archive: &mut dyn Read, lease: &mut Lease) -> Result<NewLayer> {
        let content = self.store.content();
        let mut staged = content.stage()?;
        let size = std::io::copy(archive, &mut Into(&mut staged)).doing(|| "read the archive")?;
        let digest = staged.digest();
        lease.add(&self.store, [digest.clone()])?;
        staged.keep()?;
        let file: Option<File> = content.open(&digest)?;
        let (diff_id, packing) =
            image::archive::diff_id(file.ok_or_else(|| Refused::new("the archive", "", "is gone"))?)?;
        let kind = match packing {
            Packing::Plain => media::OCI_LAYER,
            Packing::Gzip => media::OCI_LAYER_GZIP,
            Packing::Zstd => media::OCI_LAYER_ZSTD,
        };
        Ok(NewLayer { blob: Descriptor::new(kind, digest, size), diff_id })
    }

    /// An image of these layers with one more.
    fn make_image(
        &self,
        (mut config, mut layers): (ImageConfig, Vec<Descriptor>),
        (layer, lease): (NewLayer, &mut Lease),
        (made_by, imprint): (String, &Imprint),
        name: Option<&Reference>,
    ) -> Result<Image> {
        imprint.changes.iter().try_for_each(|change| change.apply(&mut config.config))?;
        let created = Some(Timestamp::now().to_string());
        config.created.clone_from(&created);
        config.author = imprint.author.clone().or(config.author);
        config.rootfs.diff_ids.push(layer.diff_id);
        config.history.push(History {
            created,
            created_by: Some(made_by).filter(|by| !by.is_empty()),
            author: imprint.author.clone(),
            comment: imprint.comment.clone(),
            ..History::default()
        });
        layers.push(layer.blob);
        let content = self.store.content();
        let bytes = document(&config)?;
        lease.add(&self.store, [image::sha256(&bytes)])?;
        let id = content.put(&bytes)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: Descriptor::new(media::OCI_CONFIG, id, bytes.len() as u64),
            layers,
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        };
        let order = Order { manifest: &document(&manifest)?, parsed: &manifest, digests: Vec::new() };
        let (image, brought) = self.bring_image(order, &Here(content), &Nobody)?;
        let image = self.keep_image(image, name.map_or(&[], std::slice::from_ref))?;
        drop(brought);
        Ok(image)
    }
}

fn document(of: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(of).map_err(|error| Refused::new("the image", "", error.to_string()).into())
}

/// What a container's image says, as the container was asked for.
fn as_it_runs(options: &RunOptions, below: ContainerConfig) -> ContainerConfig {
    let variable =
        |variable: &crate::options::Variable| variable.value.as_ref().map(|value| format!("{}={value}", variable.name));
    ContainerConfig {
        user: options.user.clone(),
        env: options.env.iter().filter_map(variable).collect(),
        entrypoint: options.entrypoint.clone().unwrap_or_default(),
        cmd: options.command.clone(),
        working_dir: options.workdir.as_ref().map(ToString::to_string),
        labels: options.labels.clone(),
        exposed_ports: options.exposed_ports.clone(),
        ..below
    }
}
