//! The groups of a container made by systemd, as units of its own: names, properties, and the conversation with it.
//!
//! systemd owns the tree on most hosts, and what it does not know of it may undo: so a container becomes a scope (or a
//! slice), and every limit that systemd has a property for is given to it, besides being written to the group's files.
//!
//! systemd.scope(5), systemd.slice(5), systemd.resource-control(5), org.freedesktop.systemd1(5); "The New Control Group
//! Interfaces", <https://systemd.io/CONTROL_GROUP_INTERFACE>. Sizes are bytes, times microseconds; no limit is the
//! largest number.

mod calls;
mod connection;
mod scope;
mod settings;
mod unit;
mod wire;

use std::fmt;

pub use calls::{Instance, Manager, runs};
pub use scope::Scope;
pub use settings::{devices, settings};
pub use unit::{Slice, Unit, UnitKind};

/// What systemd calls no limit: `infinity` in its own files.
pub const INFINITY: u64 = u64::MAX;

/// A property of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name on D-Bus: `MemoryMax`.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
}

/// A property's value, in the D-Bus types that the properties used here have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `t`: bytes, microseconds, a weight or a number of tasks; [`INFINITY`] for no limit.
    Number(u64),
    /// `s`
    Text(String),
    /// `au`: process numbers.
    Processes(Vec<u32>),
    /// `ay`: a set of CPUs or memory nodes, the lowest bit of the first byte for number 0.
    Bits(Vec<u8>),
    /// `a(st)`: numbers for block devices.
    OfDevices(Vec<(String, u64)>),
    /// `a(ss)`: device nodes and what may be done with them.
    Nodes(Vec<(String, String)>),
}

impl Property {
    pub(crate) const fn new(name: &'static str, value: Value) -> Self {
        Self { name, value }
    }

    pub(crate) const fn number(name: &'static str, number: u64) -> Self {
        Self::new(name, Value::Number(number))
    }

    pub(crate) fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Value::Text(text.into()))
    }
}

/// `MemoryMax = 536870912`.
impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.name, self.value)
    }
}

/// As `systemctl show` has it, bits as a list of numbers.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = |number: &u64| if *number == INFINITY { "infinity".to_owned() } else { number.to_string() };
        match self {
            Self::Bool(true) => f.write_str("yes"),
            Self::Bool(false) => f.write_str("no"),
            Self::Number(number) => f.write_str(&limit(number)),
            Self::Text(text) => f.write_str(text),
            Self::Processes(processes) => {
                let numbers: Vec<String> = processes.iter().map(ToString::to_string).collect();
                f.write_str(&numbers.join(" "))
            }
            Self::Bits(bytes) => settings::set_of_bits(bytes).unwrap_or_default().fmt(f),
            Self::OfDevices(devices) => {
                let entries: Vec<String> =
                    devices.iter().map(|(node, value)| format!("{node} {}", limit(value))).collect();
                f.write_str(&entries.join(" "))
            }
            Self::Nodes(nodes) => {
                let entries: Vec<String> = nodes.iter().map(|(node, access)| format!("{node} {access}")).collect();
                f.write_str(&entries.join(" "))
            }
        }
    }
}
