//! Images and root file systems: names, digests, registries and signatures; tar archives unpacked safely, trees packed, copied and removed, all
//! by descriptors.

pub mod archive;
mod compression;
pub mod content;
pub mod credentials;
pub mod daemon;
mod digest;
pub mod layer;
mod pack;
mod pax;
pub mod reference;
pub mod registries;
pub mod registry;
mod remove;
pub mod signature;
mod tar;
pub mod transport;
pub mod trust;
mod unpack;
mod walk;

pub use digest::{Hasher, Hashing, chain_ids, sha256};
pub use pack::{copy, copy_shown, pack};
pub use reference::Reference;
pub use registries::Registries;
pub use remove::remove_tree;
pub use unpack::{Owners, Replaces, Skipped, SkippedWhat, Unpacked, Unpacking, unpack, unpack_file, unpack_over};
pub use walk::{Layers, Mounts, Rights, Tree, tree_bytes};
