//! Stopping all tasks of a group and letting them go on.
//!
//! Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst "Core Interface Files". OCI has no field for
//! it: pause and resume, and a kill that nothing can fork away from, use it.

use crate::file::{EVENTS_V2, number_at};
use crate::hierarchy::Controller;
use crate::setting::{Setting, SettingFile};
use crate::write::Write;

const STATE_V1: &str = "freezer.state";
const OWN_V1: &str = "freezer.self_freezing";
const ABOVE_V1: &str = "freezer.parent_freezing";
pub(crate) const FREEZE_V2: &str = "cgroup.freeze";

/// What can be set.
pub const SETTINGS: &[Setting] = &[Setting {
    controller: Controller::Freezer,
    flag: None,
    field: None,
    v1: Some(SettingFile { name: STATE_V1, value: "FROZEN or THAWED" }),
    v2: Some(SettingFile { name: FREEZE_V2, value: "1 or 0" }),
    unit: "frozen or not, by carboy pause and unpause",
    effect: "every task stops where it is, as do those in the groups below, until the group is thawed; it gets no CPU time",
}];

/// What a group is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Stop.
    Freeze,
    /// Go on.
    Thaw,
}

/// What makes a v1 group do it.
#[must_use]
pub fn plan_v1(wish: Wish) -> Write {
    let value = match wish {
        Wish::Freeze => "FROZEN",
        Wish::Thaw => "THAWED",
    };
    Write::new(Controller::Freezer, "", STATE_V1, value)
}

/// What makes a v2 group do it.
#[must_use]
pub fn plan_v2(wish: Wish) -> Write {
    let value = match wish {
        Wish::Freeze => "1",
        Wish::Thaw => "0",
    };
    Write::new(Controller::Freezer, "", FREEZE_V2, value)
}

/// What the tasks of a group do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They run.
    Running,
    /// They were told to stop, and not all have.
    Freezing,
    /// All stand still.
    Paused,
}

/// How a group stands. What could not be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// What its tasks do.
    pub state: Option<State>,
    /// Whether the group itself was told to stop.
    pub own: Option<bool>,
    /// Whether a group above was. v2 does not tell.
    pub above: Option<bool>,
}

/// Reads a v1 group; `read` gives a file's text.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Stats {
    let told = |file| read(file).map(|text| text.trim() == "1");
    Stats { state: state_v1(&read), own: told(OWN_V1), above: told(ABOVE_V1) }
}

/// Reads what the tasks of a v1 group do. Reading is what makes the kernel look whether all have stopped.
pub fn state_v1(read: impl Fn(&str) -> Option<String>) -> Option<State> {
    match read(STATE_V1)?.trim() {
        "THAWED" => Some(State::Running),
        "FREEZING" => Some(State::Freezing),
        "FROZEN" => Some(State::Paused),
        _ => None,
    }
}

/// Reads a v2 group; `read` gives a file's text.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    let own = read(FREEZE_V2).map(|text| text.trim() == "1");
    let frozen = read(EVENTS_V2).and_then(|text| number_at(&text, "frozen"));
    let state = frozen.map(|frozen| match (frozen, own) {
        (1, _) => State::Paused,
        (_, Some(true)) => State::Freezing,
        _ => State::Running,
    });
    Stats { state, own, above: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_told() {
        assert_eq!(plan_v1(Wish::Freeze).to_string(), "freezer.state = FROZEN");
        assert_eq!(plan_v2(Wish::Thaw).to_string(), "cgroup.freeze = 0");
    }

    #[test]
    fn both_versions_read_the_same() {
        let v1 = |state: &'static str, own: &'static str| {
            stats_v1(move |file| {
                Some(
                    if file == STATE_V1 {
                        state
                    } else if file == OWN_V1 {
                        own
                    } else {
                        "0\n"
                    }
                    .into(),
                )
            })
        };
        let v2 = |frozen: &'static str, own: &'static str| {
            stats_v2(move |file| Some(if file == EVENTS_V2 { frozen } else { own }.into()))
        };
        for (state, one, other) in [
            (State::Running, v1("THAWED\n", "0\n"), v2("populated 1\nfrozen 0\n", "0\n")),
            (State::Freezing, v1("FREEZING\n", "1\n"), v2("populated 1\nfrozen 0\n", "1\n")),
            (State::Paused, v1("FROZEN\n", "1\n"), v2("populated 1\nfrozen 1\n", "1\n")),
        ] {
            assert_eq!((one.state, one.own, one.above), (Some(state), Some(state != State::Running), Some(false)));
            assert_eq!((other.state, other.own, other.above), (Some(state), one.own, None));
        }
        assert_eq!(stats_v1(|_| None), stats_v2(|_| None));
    }

    #[test]
    fn a_group_that_is_held_from_above_was_not_told_itself() {
        let v1 = stats_v1(|file| {
            Some(
                if file == STATE_V1 {
                    "FROZEN"
                } else if file == ABOVE_V1 {
                    "1"
                } else {
                    "0"
                }
                .into(),
            )
        });
        assert_eq!(v1, Stats { state: Some(State::Paused), own: Some(false), above: Some(true) });
        let v2 = stats_v2(|file| Some(if file == EVENTS_V2 { "frozen 1" } else { "0" }.into()));
        assert_eq!((v2.state, v2.own), (Some(State::Paused), Some(false)));
    }
}
