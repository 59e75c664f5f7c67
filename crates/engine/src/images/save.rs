//! `save`: images go into an archive or a folder, in the forms that docker load, podman load, skopeo and carboy load read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use error::{Doing, Refused, Result};
use image::Reference;
use image::archive::Writer;
use oci::image::{Descriptor, Digest, Document, Index, Manifest, media};
use serde::Serialize;

use super::{Lease, Named};
use crate::containers::Engine;

/// The form in which images are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An OCI layout with the `manifest.json` of `docker save` beside it: everybody reads one of both.
    Both,
    /// An OCI layout: image-layout.md of the OCI image specification.
    Layout,
    /// One image's manifest with its blobs beside it: skopeo's `dir:`.
    Folder,
}

/// Where images are saved to.
pub enum Target<'a> {
    /// A tar.
    Archive(&'a mut dyn Write),
    /// A folder, which may have images already.
    Folder(&'a Path),
}

/// An image to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name or its id.
    pub word: String,
    /// What it is called there.
    pub called: Called,
}

/// What an image is called where it is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// As on this host, if it was asked for by a name, and by nothing if by its id.
    AsHere,
    /// So, or by nothing.
    By(Option<String>),
}

/// An image that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedImage {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The size of its manifest in bytes.
    pub bytes: u64,
}

/// One image in `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// What `skopeo copy` to `dir:` writes beside the manifest.
const VERSION: &[u8] = b"Directory Transport Version: 1.1\n";
const INDEX: &str = "index.json";

/// The names of an image in what is written.
struct Names {
    /// By the specification of images: any text, mostly a tag.
    text: String,
    /// The whole name.
    whole: Option<Reference>,
}

impl Names {
    fn of(wanted: &Wanted, named: &Named) -> Option<Self> {
        match &wanted.called {
            Called::AsHere => {
                let asked = Reference::parse(&wanted.word).ok()?;
                let whole = named.names.iter().find(|name| **name == asked)?.clone();
                Some(Self { text: whole.tag.clone().unwrap_or_default(), whole: Some(whole) })
            }
            Called::By(text) => {
                let text = text.clone()?;
                // A tag alone is no name on any host.
                let whole = text.contains([':', '/']).then(|| Reference::parse(&text).ok()).flatten();
                Some(Self { whole, text })
            }
        }
    }
}

impl Engine {
    /// Saves images.
    ///
    /// # Errors
    /// Refused where there is no such image, and for several where the form holds one; a kernel error.
    pub fn save_images(&self, wanted: &[Wanted], form: Form, target: Target<'_>) -> Result<Vec<SavedImage>> {
        if form == Form::Folder && wanted.len() != 1 {
            let refused = Refused::new("save", format!("{} images", wanted.len()), "are more than such a folder holds");
            return Err(refused.hint("save one image, or use --format oci-dir").into());
        }
        let mut lease = Lease::new(&self.store)?;
        let (mut documents, mut blobs): (Documents, BTreeSet<Digest>) = (Documents::default(), BTreeSet::new());
        for one in wanted {
            let named = self.find_image(&one.word)?;
            lease.add(&self.store, self.kept_by(&named.image)?)?;
            let Some(digest) = named.image.manifests.first() else { continue };
            let manifest = self.store.manifest(digest)?;
            blobs.extend(manifest.layers.iter().chain([&manifest.config]).map(|blob| blob.digest.clone()));
            if form != Form::Folder {
                blobs.insert(digest.clone());
            }
            let names = Names::of(one, &named);
            let entry = self.entry(digest, &manifest, names.as_ref())?;
            documents.images.push(SavedImage { digest: digest.clone(), bytes: entry.size });
            documents.index.push(entry);
            documents.add(&named, &manifest, names);
            self.store.tell_of_image((named.image.id.as_str(), named.image.id.as_str()), "save");
        }
        let mut sink = match target {
            Target::Archive(out) => Sink::Archive(Box::new(Writer::new(out))),
            Target::Folder(path) => Sink::Folder(path.to_path_buf()),
        };
        for digest in &blobs {
            let missing = || Refused::new("the blob", digest.to_string(), "is gone");
            let file = self.store.content().open(digest)?.ok_or_else(missing)?;
            let size = file.metadata().doing(|| format!("look at {digest}"))?.len();
            let name = if form == Form::Folder { digest.hex().to_owned() } else { path(digest) };
            sink.blob(&name, size, file)?;
        }
        if form == Form::Folder {
            sink.document("version", VERSION)?;
            for one in &documents.images {
                sink.document("manifest.json", &self.store.document(&one.digest)?)?;
            }
        } else {
            documents.write(form, &mut sink)?;
        }
        sink.end()?;
        Ok(documents.images)
    }

    fn entry(&self, digest: &Digest, manifest: &Manifest, names: Option<&Names>) -> Result<Descriptor> {
        let path = self.store.content().path(digest);
        let size = fs::metadata(&path).doing(|| format!("look at {}", path.display()))?.len();
        let kind = manifest.media_type.as_deref().unwrap_or(media::OCI_MANIFEST);
        let mut entry = Descriptor::new(kind, digest.clone(), size);
        if let Some(Names { text, whole }) = names {
            entry.annotations.insert(REFERENCE.to_owned(), text.clone());
            entry.annotations.extend(whole.as_ref().map(|whole| (CONTAINERD.to_owned(), whole.to_string())));
        }
        Ok(entry)
    }
}

/// What an image is called in an index, by the specification and by containerd.
const REFERENCE: &str = "org.opencontainers.image.ref.name";
const CONTAINERD: &str = "io.containerd.image.name";

/// What is written beside the blobs.
#[derive(Default)]
struct Documents {
    index: Vec<Descriptor>,
    saved: Vec<(Digest, Saved)>,
    images: Vec<SavedImage>,
}

impl Documents {
    /// An image that is named twice is there once, with both of its names.
    fn add(&mut self, named: &Named, manifest: &Manifest, names: Option<Names>) {
        let tags = names.and_then(|names| names.whole).map(|whole| whole.familiar());
        match self.saved.iter_mut().find(|(id, _)| *id == named.image.id) {
            Some((_, known)) => known.repo_tags.extend(tags),
            None => {
                let layers = manifest.layers.iter().map(|layer| path(&layer.digest)).collect();
                let config = path(&manifest.config.digest);
                let one = Saved { config, repo_tags: tags.into_iter().collect(), layers };
                self.saved.push((named.image.id.clone(), one));
            }
        }
    }

    fn write(&mut self, form: Form, sink: &mut Sink<'_>) -> Result<()> {
        let mut manifests = sink.indexed()?;
        // What had a name there loses it.
        let is_called_so = |known: &Descriptor, new: &Descriptor| {
            let [one, other] = [known, new].map(|item| [REFERENCE, CONTAINERD].map(|key| item.annotations.get(key)));
            one == other && (one != [None, None] || known.digest == new.digest)
        };
        manifests.retain(|known| !self.index.iter().any(|new| is_called_so(known, new)));
        manifests.append(&mut self.index);
        let index = Index {
            schema_version: 2,
            media_type: Some(media::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        };
        sink.document("oci-layout", &json("oci-layout", &serde_json::json!({"imageLayoutVersion": "1.0.0"}))?)?;
        if form == Form::Both {
            let saved: Vec<&Saved> = self.saved.iter().map(|(_, saved)| saved).collect();
            sink.document("manifest.json", &json("manifest.json", &saved)?)?;
        }
        sink.document(INDEX, &json(INDEX, &index)?)
    }
}

fn json(name: &str, document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|error| Refused::new("the archive", name, error.to_string()).into())
}

/// Where files go.
enum Sink<'a> {
    Archive(Box<Writer<'a>>),
    Folder(PathBuf),
}

impl Sink<'_> {
    fn document(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Archive(archive) => archive.file(name, bytes.len() as u64, bytes),
            Self::Folder(folder) => place(&folder.join(name), bytes),
        }
    }

    /// A file that is called by what it is: one of this name that is there is the same.
    fn blob(&mut self, name: &str, size: u64, file: File) -> Result<()> {
        match self {
            Self::Archive(archive) => archive.file(name, size, file),
            Self::Folder(folder) => {
                let path = folder.join(name);
                if fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() == size) {
                    return Ok(());
                }
                place(&path, file)
            }
        }
    }

    /// What the index of a folder names already.
    fn indexed(&self) -> Result<Vec<Descriptor>> {
        let Self::Folder(folder) = self else { return Ok(Vec::new()) };
        let path = folder.join(INDEX);
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            read => match Document::parse(None, &read.doing(|| format!("read {}", path.display()))?)? {
                Document::Index(index) => Ok(index.manifests),
                Document::Manifest(_) => {
                    Err(Refused::new("the folder", path.display().to_string(), "is no index of an OCI layout").into())
                }
            },
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Archive(archive) => archive.end(),
            Self::Folder(_) => Ok(()),
        }
    }
}

/// Who reads the file finds all of it or none: it is written beside its name.
fn place(path: &Path, mut from: impl Read) -> Result<()> {
    let action = || format!("write {}", path.display());
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).doing(|| format!("create {}", folder.display()))?;
    let beside = path.with_extension("part");
    let written = File::create(&beside)
        .and_then(|mut file| std::io::copy(&mut from, &mut file))
        .and_then(|_| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.doing(action)
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
