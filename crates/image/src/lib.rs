//! Root file systems: tar archives unpacked safely, and trees removed, both by descriptors.

mod compression;
mod pax;
mod remove;
mod tar;
mod unpack;

pub use remove::remove_tree;
pub use unpack::{Skipped, SkippedWhat, Unpacked, unpack, unpack_file};
