//! How a container gets into its eight namespaces, in the order that the kernel needs. clone(2), setns(2), user_namespaces(7).
//!
//! The simple way is one clone3 with every new kind: the kernel makes the user namespace first, and the others belong to
//! it. It is not open where a user namespace is joined, or where one is made and others are joined: once in it, the
//! process has no right over namespaces that belong to the host. Then the child joins the others first, the user
//! namespace after them, and makes the new ones last, so that they belong to the user namespace; a new pid namespace then
//! needs one more fork.

use child::{Step, Turn};
use oci::{Config, NamespaceKind};
use sys::namespace::Kinds;

use crate::steps::Steps;
use crate::{KINDS, Relation, bit, relation};

/// The way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// What clone3 makes.
    pub clone: Kinds,
    /// What the parent enters for the sake of its child before the clone: a pid namespace, if one is joined.
    pub parent_joins: Option<String>,
    /// The namespace files that the child joins, by kind; a step names them by their place here.
    pub child_joins: Vec<(NamespaceKind, String)>,
    /// Whether the process that goes on is a child of the one that was cloned.
    pub forks: Forks,
    /// Whether the parent must write id maps before the child goes on.
    pub maps: Maps,
}

impl Entrance {
    /// That of a process that stays in its parent's namespaces.
    #[must_use]
    pub const fn staying() -> Self {
        Self { clone: Kinds::NONE, parent_joins: None, child_joins: Vec::new(), forks: Forks::No, maps: Maps::None }
    }
}

/// Whether the cloned process hands over to a child of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forks {
    /// It goes on itself.
    No,
    /// It forks into the pid namespace.
    Once,
}

/// Whether a user namespace is made, whose id maps are empty at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maps {
    /// None is made.
    None,
    /// The parent writes them.
    Written,
}

/// Plans the way in and adds the child's part of it to `steps`. The cgroup namespace is not among it: its root is the
/// cgroup that its maker is in, so it is made after the cgroups are joined ([`crate::cgroup::plan`]).
pub fn plan(config: &Config, steps: &mut Steps<'_>) -> Entrance {
    let mut own = Kinds::NONE;
    let mut joins = Vec::new();
    let mut parent_joins = None;
    for kind in KINDS {
        match relation(config, kind) {
            Relation::Own if matches!(kind, NamespaceKind::Cgroup | NamespaceKind::Time) => {}
            Relation::Own => own = own.with(bit(kind)),
            Relation::Joined(path) if kind == NamespaceKind::Pid => parent_joins = Some(path.to_owned()),
            Relation::Joined(path) => joins.push((kind, path.to_owned())),
            Relation::Host => {}
        }
    }
    joins.sort_by_key(|(kind, _)| *kind == NamespaceKind::User);
    let makes_user = own.contains(Kinds::USER);
    let joins_user = joins.iter().any(|(kind, _)| *kind == NamespaceKind::User);
    let maps = if makes_user { Maps::Written } else { Maps::None };
    let join_all = |steps: &mut Steps<'_>| {
        for (handle, (kind, _)) in joins.iter().enumerate() {
            steps.push(Step::Join { handle, kinds: bit(*kind) });
        }
    };
    if joins_user || (makes_user && !joins.is_empty()) {
        join_all(steps);
        if makes_user {
            steps.push(Step::Unshare(Kinds::USER));
            steps.push(Step::Await(Turn::Mapped));
        }
        steps.push(Step::BecomeRoot);
        let rest = own.without(Kinds::USER);
        if rest != Kinds::NONE {
            steps.push(Step::Unshare(rest.without(Kinds::PID)));
        }
        let forks = if own.contains(Kinds::PID) { Forks::Once } else { Forks::No };
        if forks == Forks::Once {
            steps.push(Step::Fork(Kinds::PID));
        }
        return Entrance { clone: Kinds::NONE, parent_joins, child_joins: joins, forks, maps };
    }
    if makes_user {
        steps.push(Step::Await(Turn::Mapped));
        steps.push(Step::BecomeRoot);
    }
    join_all(steps);
    Entrance { clone: own, parent_joins, child_joins: joins, forks: Forks::No, maps }
}
