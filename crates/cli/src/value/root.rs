//! What a container's root is made of.

use std::fs;
use std::path::Path;

use engine::options::{ImageRoot, Root};
use error::{Doing, Refused, RefusedKind, Result};
use image::Reference;
use image::transport::{Transport, in_registry};

/// `host`; a folder or tar file by a path that begins with `/` or `.`; else an image, by its name or id.
pub(crate) fn root(word: &str) -> Result<Root> {
    if word == "host" {
        return Ok(Root::Host);
    }
    if word.starts_with(['/', '.']) {
        return path(word);
    }
    let hint = "use host, an image such as debian:12, a folder such as ./rootfs, or a tar file such as ./rootfs.tar";
    if word.is_empty() {
        let refused = Refused::new("the root", word, "its name is empty").kind(RefusedKind::NoSuchObject);
        return Err(refused.hint(hint).into());
    }
    if Transport::of(word)?.is_some() {
        return Ok(Root::Image(Box::new(ImageRoot::named(word))));
    }
    let word = in_registry(word);
    let is_id = word.strip_prefix("sha256:").unwrap_or(word).bytes().all(|byte| byte.is_ascii_hexdigit());
    match Reference::parse(word) {
        Err(_) if Path::new(word).exists() => {
            let refused = Refused::new("the root", word, "is no image's name").kind(RefusedKind::NoSuchObject);
            Err(refused.hint(format!("use ./{word} for the file that is here")).into())
        }
        Err(error) if !is_id => Err(error),
        _ => Ok(Root::Image(Box::new(ImageRoot::named(word)))),
    }
}

fn path(word: &str) -> Result<Root> {
    match fs::metadata(word) {
        Ok(found) => {
            let path = std::path::absolute(Path::new(word)).doing(|| format!("look at {word}"))?;
            Ok(if found.is_dir() { Root::Folder(path) } else { Root::Archive(path) })
        }
        Err(error) if !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Err(error).doing(|| format!("look at the root {word}"))
        }
        Err(_) => {
            let refused = Refused::new("the root", word, "does not exist").kind(RefusedKind::NoSuchObject);
            Err(refused.hint("use a folder such as ./rootfs, or a tar file such as ./rootfs.tar").into())
        }
    }
}
