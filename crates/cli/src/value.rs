//! Flag values: one file for each kind, from a word to a typed value or a refusal that names the flag.

pub(crate) mod connection;
pub(crate) mod device;
pub(crate) mod disk;
pub(crate) mod duration;
pub(crate) mod environment;
pub(crate) mod keys;
pub(crate) mod label;
pub(crate) mod limit;
pub(crate) mod moment;
pub(crate) mod mount;
pub(crate) mod name;
pub(crate) mod names;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod policy;
pub(crate) mod port;
pub(crate) mod quantity;
pub(crate) mod rate;
pub(crate) mod root;
pub(crate) mod security;
pub(crate) mod signal;
