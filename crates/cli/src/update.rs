//! `update`: hold containers to other limits from now on.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::options::Limits;

use crate::flags::{End, Usage};
use crate::limit_flags::{LimitFlags, Limited};
use crate::list;

/// What `update` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Update {
    /// What is to hold.
    pub(crate) limits: Limits,
    /// The containers.
    pub(crate) containers: Vec<String>,
}

impl Limited for Update {
    fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }
}

/// `carboy update`.
pub(crate) const UPDATE: Usage<Update> = Usage {
    command: "update",
    words: "CONTAINER...",
    doc: "Change the limits of containers while they run\n\nAll of what is asked for a container, or nothing. What is not asked for stays.",
    flags: &[LimitFlags::ALL],
    end: End::Never,
};

/// Updates each container by itself.
pub(crate) fn run(engine: &Engine, update: &Update) -> ExitCode {
    list::each(&update.containers, |word| engine.update(word, &update.limits), |_| false)
}
