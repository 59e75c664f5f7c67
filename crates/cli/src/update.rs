//! `update`: hold containers to other limits, and another restart policy, from now on.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::options::Limits;
use engine::restart::Policy;
use error::Result;

use crate::flags::{End, Flag, Given, Usage};
use crate::limit_flags::{LimitFlags, Limited};
use crate::list;
use crate::value::policy;

/// What `update` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Update {
    /// What is to hold.
    pub(crate) limits: Limits,
    /// When they are to be started again by themselves; as before if none.
    pub(crate) restart: Option<Policy>,
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
    flags: &[
        &[Flag::value(
            "restart",
            "POLICY",
            restart,
            "when they are started again: no, on-failure[:MOST], always, unless-stopped",
        )],
        LimitFlags::ALL,
    ],
    end: End::Never,
};

fn restart(update: &mut Update, given: Given<'_>) -> Result<()> {
    update.restart = Some(policy::policy(given)?);
    Ok(())
}

/// Updates each container by itself.
pub(crate) fn run(engine: &Engine, update: &Update) -> ExitCode {
    let changed = |word: &str| {
        if let Some(policy) = update.restart {
            engine.set_restart(word, policy)?;
        }
        if update.limits == Limits::default() { Ok(()) } else { engine.update(word, &update.limits) }
    };
    list::each(&update.containers, changed, |_| false)
}
