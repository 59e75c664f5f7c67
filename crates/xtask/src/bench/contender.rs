//! Who is compared: carboy, the installed peers, the floor.

use std::path::{Path, PathBuf};

use crate::program;

/// Somebody who does the work.
pub(super) struct Contender {
    pub(super) name: &'static str,
    /// The commands that are the work, one after the other.
    pub(super) commands: Vec<Vec<String>>,
    /// What is done before the first round, and is not measured.
    pub(super) before: Vec<String>,
    /// What is done after the last.
    pub(super) after: Vec<String>,
    /// A mount that is taken away, in a mount namespace of the worker's own, before the first run.
    pub(super) hidden: Option<&'static str>,
    /// Without it there is nothing to compare.
    pub(super) required: bool,
    /// The most that carboy's wall time may be of this one's.
    pub(super) budget: Option<f64>,
}

impl Contender {
    /// One whose work is a single command.
    pub(super) fn once(name: &'static str, command: Vec<String>) -> Self {
        let none = Vec::new;
        Self {
            name,
            commands: vec![command],
            before: none(),
            after: none(),
            hidden: None,
            required: false,
            budget: None,
        }
    }

    /// What the table says of the circumstances.
    pub(super) fn note(&self) -> Option<String> {
        let hidden = self.hidden?;
        Some(format!("{} runs in a mount namespace without {hidden}: it refuses v2 beside v1 controllers", self.name))
    }
}

/// A peer that is installed.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) hidden: Option<&'static str>,
}

/// Where a hybrid host has its v2 hierarchy.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// The peers that are here.
pub(super) fn peers() -> Vec<Peer> {
    let mut peers = Vec::new();
    for (name, hidden) in [("runc", None), ("crun", hybrid())] {
        match program::find(name) {
            Some(program) => peers.push(Peer { name, program, hidden }),
            None => println!("{name} is not installed and is left out"),
        }
    }
    peers
}

fn hybrid() -> Option<&'static str> {
    Path::new(UNIFIED).join("cgroup.procs").exists().then_some(UNIFIED)
}
