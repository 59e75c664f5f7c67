//! `save`: images go into an archive that docker load, podman load, skopeo and carboy load read: an OCI layout, with the
//! `manifest.json` of `docker save` beside it.

use std::collections::BTreeSet;
use std::io::Write;

use error::{Doing, Refused, Result};
use image::archive::Writer;
use oci::image::{Descriptor, Digest, Index, Manifest, media};
use serde::Serialize;

use super::{Lease, Named};
use crate::containers::Engine;

/// One image in `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Engine {
    /// Writes the images that these words stand for. One that is called by a name has that name in the archive, one that is
    /// called by its id has none.
    ///
    /// # Errors
    /// Refused where there is no such image; a kernel error.
    pub fn save_images(&self, words: &[String], out: &mut dyn Write) -> Result<()> {
        let mut lease = Lease::new(&self.store)?;
        let mut index = Index {
            schema_version: 2,
            media_type: Some(media::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests: Vec::new(),
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        };
        let (mut saved, mut blobs): (Vec<(Digest, Saved)>, BTreeSet<Digest>) = (Vec::new(), BTreeSet::new());
        for word in words {
            let named = self.find_image(word)?;
            lease.add(&self.store, self.kept_by(&named.image)?)?;
            let Some(digest) = named.image.manifests.first() else { continue };
            let manifest = self.store.manifest(digest)?;
            blobs.extend(manifest.layers.iter().chain([&manifest.config]).map(|blob| blob.digest.clone()));
            blobs.insert(digest.clone());
            let name = named.names.iter().find(|name| image::Reference::parse(word).is_ok_and(|asked| asked == **name));
            index.manifests.push(self.entry(digest, &manifest, name)?);
            add(&mut saved, &named, &manifest, name);
            self.store.tell_of_image((named.image.id.as_str(), named.image.id.as_str()), "save");
        }
        let mut archive = Writer::new(out);
        for digest in &blobs {
            let missing = || Refused::new("the blob", digest.to_string(), "is gone");
            let file = self.store.content().open(digest)?.ok_or_else(missing)?;
            let size = file.metadata().doing(|| format!("look at {digest}"))?.len();
            archive.file(&path(digest), size, file)?;
        }
        let saved: Vec<Saved> = saved.into_iter().map(|(_, saved)| saved).collect();
        let layout = serde_json::json!({"imageLayoutVersion": "1.0.0"});
        for (name, document) in
            [("index.json", serde_json::to_vec(&index)), ("manifest.json", serde_json::to_vec(&saved))]
                .into_iter()
                .chain([("oci-layout", serde_json::to_vec(&layout))])
        {
            let bytes = document.map_err(|error| Refused::new("the archive", name, error.to_string()))?;
            archive.file(name, bytes.len() as u64, bytes.as_slice())?;
        }
        archive.end()
    }

    fn entry(&self, digest: &Digest, manifest: &Manifest, name: Option<&image::Reference>) -> Result<Descriptor> {
        let path = self.store.content().path(digest);
        let size = std::fs::metadata(&path).doing(|| format!("look at {}", path.display()))?.len();
        let kind = manifest.media_type.as_deref().unwrap_or(media::OCI_MANIFEST);
        let mut entry = Descriptor::new(kind, digest.clone(), size);
        if let Some(name) = name {
            let tag = name.tag.clone().unwrap_or_default();
            entry.annotations.insert("io.containerd.image.name".to_owned(), name.to_string());
            entry.annotations.insert("org.opencontainers.image.ref.name".to_owned(), tag);
        }
        Ok(entry)
    }
}

/// An image that is named twice is there once, with both of its names.
fn add(saved: &mut Vec<(Digest, Saved)>, named: &Named, manifest: &Manifest, name: Option<&image::Reference>) {
    let tags = name.map(image::Reference::familiar);
    match saved.iter_mut().find(|(id, _)| *id == named.image.id) {
        Some((_, known)) => known.repo_tags.extend(tags),
        None => {
            let layers = manifest.layers.iter().map(|layer| path(&layer.digest)).collect();
            let one = Saved { config: path(&manifest.config.digest), repo_tags: tags.into_iter().collect(), layers };
            saved.push((named.image.id.clone(), one));
        }
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
