//! The documents of images: indexes, manifests and configurations, of OCI and of Docker.
//!
//! Source: OCI image specification 1.1, descriptor.md, manifest.md, image-index.md, config.md; Docker image manifest
//! version 2, schema 2. The two families differ in the names of their media types only. What a document says of its
//! own type, or is given in its parameters, is never used to choose how its bytes are read where its shape says
//! otherwise: such a document is refused.

mod config;
mod descriptor;
mod digest;
mod document;
pub mod media;
mod platform;
mod set;
#[cfg(test)]
mod tests;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use digest::Digest;
pub use document::{Document, Index, Manifest};
pub use platform::Platform;
