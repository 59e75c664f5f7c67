//! A registry of images as a client sees it: OCI distribution specification 1.1, and Docker's registry before it.
//!
//! Everything blocks, nothing is written to disk, and one client may be used by several threads at once. A registry is let
//! in on nothing that belongs to another: neither what proves who the user is nor a certificate leaves its host.

mod access;
mod answer;
mod blob;
mod certificates;
mod challenge;
mod exchange;
mod lists;
mod manifest;
mod proxy;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod transport;
mod upload;
mod url;

pub use access::{Access, Certificates, Credentials, Endpoint, Patience, Secret, Trust};
pub use blob::Blob;
pub use challenge::{Bearer, Challenge};
pub use exchange::Source;
pub use lists::Found;
pub use manifest::{Fetched, Wanted};
pub use proxy::Proxies;

use std::sync::Mutex;

use error::Result;

use exchange::Known;
use transport::Transport;

/// One registry, by its host.
pub struct Registry {
    endpoint: Endpoint,
    access: Access,
    transport: Transport,
    /// What was learned of it meanwhile.
    known: Mutex<Known>,
}

impl Registry {
    /// A client of a registry; nothing is sent yet.
    ///
    /// # Errors
    /// Refused for a host, a certificate or a proxy that cannot be used.
    pub fn open(endpoint: Endpoint, access: Access) -> Result<Self> {
        let transport = Transport::new(&endpoint, &access)?;
        let known = Mutex::new(Known::of(&endpoint));
        Ok(Self { endpoint, access, transport, known })
    }

    /// Its name, with its port where it has one.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.endpoint.host
    }
}
