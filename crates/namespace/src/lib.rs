//! A room for each kind of namespace: what a configuration asks of it (`plan`), what its parent must write (`host`), and
//! what can be seen of it from outside (`facts`). namespaces(7).
#![forbid(unsafe_code)]

pub mod cgroup;
pub mod entrance;
pub mod ipc;
pub mod mnt;
pub mod net;
pub mod pid;
pub mod steps;
pub mod time;
pub mod user;
pub mod uts;

use oci::{Config, NamespaceKind};
use sys::namespace::Kinds;

/// A container's relation to a kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation<'c> {
    /// It has its own.
    Own,
    /// It enters the one that a namespace file stands for: another container's, a process's.
    Joined(&'c str),
    /// It stays in its caller's.
    Host,
}

/// The relation that `config` asks for.
#[must_use]
pub fn relation(config: &Config, kind: NamespaceKind) -> Relation<'_> {
    let namespaces = config.linux.as_ref().map_or(&[][..], |linux| &linux.namespaces);
    match namespaces.iter().find(|namespace| namespace.kind == kind) {
        None => Relation::Host,
        Some(namespace) => namespace.path.as_deref().map_or(Relation::Own, Relation::Joined),
    }
}

/// Every kind, in the order in which /proc/PID/ns is usually read.
pub const KINDS: [NamespaceKind; 8] = [
    NamespaceKind::Mnt,
    NamespaceKind::Pid,
    NamespaceKind::Net,
    NamespaceKind::Ipc,
    NamespaceKind::Uts,
    NamespaceKind::User,
    NamespaceKind::Cgroup,
    NamespaceKind::Time,
];

/// The kernel's bit for a kind.
#[must_use]
pub const fn bit(kind: NamespaceKind) -> Kinds {
    match kind {
        NamespaceKind::Mnt => Kinds::MNT,
        NamespaceKind::Pid => Kinds::PID,
        NamespaceKind::Net => Kinds::NET,
        NamespaceKind::Ipc => Kinds::IPC,
        NamespaceKind::Uts => Kinds::UTS,
        NamespaceKind::User => Kinds::USER,
        NamespaceKind::Cgroup => Kinds::CGROUP,
        NamespaceKind::Time => Kinds::TIME,
    }
}
