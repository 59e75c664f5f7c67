//! Places of images that are no registries, as the user's environment has them.

use std::path::{Path, PathBuf};

use engine::containers::Engine;
use engine::images::{Loaded, SavedImage};
use engine::options::Platform;
use error::{Refused, Result};
use image::daemon::Daemon;
use image::transport::Transport;

use crate::images::progress::{self, Teller};
use crate::images::registries;

/// Where Docker's daemon listens unless it is said otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// Brings an image from such a place.
///
/// # Errors
/// Refused where it is not there, or where the policy does not accept it; a kernel error.
pub(crate) fn load(engine: &Engine, place: &Transport, platform: &Platform, out: Teller) -> Result<Loaded> {
    let policy = registries::policy()?;
    engine.load_from((place, &daemon(place)?), (platform, policy.as_ref()), &*progress::of(out))
}

/// Writes an image to such a place.
///
/// # Errors
/// Refused where there is no such image; a kernel error.
pub(crate) fn save(engine: &Engine, word: &str, place: &Transport) -> Result<SavedImage> {
    engine.save_to(word, (place, &daemon(place)?))
}

/// The name that an image got, or its id.
pub(crate) fn title(loaded: &Loaded) -> String {
    loaded.names.first().map_or_else(|| loaded.image.id.to_string(), ToString::to_string)
}

fn daemon(place: &Transport) -> Result<Daemon> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = match host.strip_prefix("unix://") {
        Some(path) => PathBuf::from(path),
        None if host.is_empty() || !matches!(place, Transport::Daemon(_)) => SOCKET.into(),
        None => {
            let refused = Refused::new("DOCKER_HOST", host, "is no socket of this host");
            return Err(refused.hint("use unix:///PATH").into());
        }
    };
    Ok(Daemon::at(Path::new(&socket)))
}
