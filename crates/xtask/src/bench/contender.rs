//! Who is compared: carboy, the installed peers, the floor.

use std::path::Path;

use super::bundle::Bundle;
use super::floor;
use crate::program;

/// One command that does the work.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) command: Vec<String>,
    /// A mount that is taken away, in a mount namespace of the worker's own, before the first run.
    pub(super) hidden: Option<&'static str>,
    /// Without it there is nothing to compare.
    pub(super) required: bool,
    /// The most that carboy's wall time may be of this one's.
    pub(super) budget: Option<f64>,
}

impl Contender {
    /// What the table says of the circumstances.
    pub(super) fn note(&self) -> Option<String> {
        let hidden = self.hidden?;
        Some(format!("{} runs in a mount namespace without {hidden}: it refuses v2 beside v1 controllers", self.name))
    }
}

/// Where a hybrid host has its v2 hierarchy.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Everybody who is here; carboy first.
pub(super) fn all(carboy: &Path, floor: &Path, bundle: &Bundle) -> Vec<Contender> {
    let mut run = vec![carboy.display().to_string()];
    run.extend(["run", "--rm", "-m", "64m"].map(str::to_owned));
    run.extend([bundle.root().display().to_string(), "/bin/true".to_owned()]);
    let mut all = vec![Contender { name: "carboy", command: run, hidden: None, required: true, budget: None }];
    for (name, hidden, budget) in [("runc", None, Some(0.2)), ("crun", hybrid(), None)] {
        if let Some(program) = program::find(name) {
            let command = bundle.command(name, &program);
            all.push(Contender { name, command, hidden, required: false, budget });
        } else {
            println!("{name} is not installed and is left out");
        }
    }
    all.push(floor::contender(floor, bundle.root()));
    all
}

fn hybrid() -> Option<&'static str> {
    Path::new(UNIFIED).join("cgroup.procs").exists().then_some(UNIFIED)
}
