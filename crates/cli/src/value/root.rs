//! What a container's root is made of.

use std::fs;
use std::path::Path;

use engine::options::Root;
use error::{Doing, Refused, RefusedKind, Result};

/// `host`; or a folder or tar file, by a path that exists.
pub(crate) fn root(word: &str) -> Result<Root> {
    if word == "host" {
        return Ok(Root::Host);
    }
    let refused = |reason: &str| Refused::new("the root", word, reason).kind(RefusedKind::NoSuchObject);
    let hint = "use host, a folder such as ./rootfs, or a tar file such as ./rootfs.tar";
    if word.is_empty() {
        return Err(refused("its name is empty").hint(hint).into());
    }
    match fs::metadata(word) {
        Ok(found) => {
            let path = std::path::absolute(Path::new(word)).doing(|| format!("look at {word}"))?;
            Ok(if found.is_dir() { Root::Folder(path) } else { Root::Archive(path) })
        }
        Err(error) if !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Err(error).doing(|| format!("look at the root {word}"))
        }
        Err(_) if word.contains('/') => Err(refused("does not exist").hint(hint).into()),
        Err(_) => Err(refused("is neither host nor a file here").hint(hint).into()),
    }
}
