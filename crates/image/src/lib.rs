//! Root file systems: tar archives unpacked safely, trees packed, copied and removed, all by descriptors.

mod compression;
mod pack;
mod pax;
mod remove;
mod tar;
mod unpack;
mod walk;

pub use pack::{copy, pack};
pub use remove::remove_tree;
pub use unpack::{Owners, Replaces, Skipped, SkippedWhat, Unpacked, Unpacking, unpack, unpack_file, unpack_over};
pub use walk::{Mounts, Rights, Tree, tree_bytes};
