//! Stopping all tasks of a group and letting them go on.
//!
//! Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst "Core Interface Files". OCI has no field for
//! it: pause and resume, and a kill that nothing can fork away from, use it.

use crate::file::EVENTS_V2;
use crate::file::number_at;
use crate::hierarchy::Controller;
use crate::setting::Setting;
use crate::write::Write;

/// What can be set.
pub const SETTINGS: &[Setting] = &[];

const STATE_V1: &str = "freezer.state";
const FREEZE_V2: &str = "cgroup.freeze";

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

/// Whether a group stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// All tasks are stopped; `None` where that could not be read.
    pub frozen: Option<bool>,
}

/// Reads a v1 group; `read` gives a file's text. Reading is what makes the kernel look again.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Stats {
    Stats { frozen: read(STATE_V1).map(|state| state.trim() == "FROZEN") }
}

/// Reads a v2 group; `read` gives a file's text.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    Stats { frozen: read(EVENTS_V2).and_then(|text| number_at(&text, "frozen")).map(|frozen| frozen == 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_told_and_read() {
        assert_eq!(plan_v1(Wish::Freeze).to_string(), "freezer.state = FROZEN");
        assert_eq!(plan_v2(Wish::Thaw).to_string(), "cgroup.freeze = 0");
        assert_eq!(stats_v1(|_| Some("FREEZING\n".into())).frozen, Some(false));
        assert_eq!(stats_v1(|_| Some("FROZEN\n".into())), stats_v2(|_| Some("populated 1\nfrozen 1\n".into())));
        assert_eq!(stats_v2(|_| None).frozen, None);
    }
}
