//! A whole plan in words, for people and as JSON, with nothing done: it is the value that is applied otherwise, so that it
//! cannot lie.

use std::collections::BTreeSet;

use cgroup::plan::Step as GroupStep;
use cgroup::{Hierarchies, HierarchyIndex, Version};
use namespace::{KINDS, Relation, relation};
use oci::Config;
use serde_json::{Map, Value, json};

use crate::describe::{Line, child_step, host_step};
use crate::lesson;
use crate::plan::Plan;
use crate::process::Filter;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// What is done.
    Steps,
    /// What the kernel does in each step, too.
    Lessons,
}

/// What is explained.
#[derive(Debug, Clone, Copy)]
pub struct Explained<'p> {
    /// What was asked for.
    pub config: &'p Config,
    /// The host's hierarchies.
    pub hierarchies: &'p Hierarchies,
    /// The plan.
    pub plan: &'p Plan<'p>,
    /// What the root is made of.
    pub root: &'p str,
    /// The compiled seccomp filter.
    pub filter: Option<&'p Filter>,
    /// How many system calls the filter allows, where that is known.
    pub calls_allowed: Option<usize>,
}

impl Explained<'_> {
    /// For people.
    #[must_use]
    pub fn text(&self, told: Told) -> String {
        let plan = self.plan;
        let mut rows = vec!["NAMESPACES".to_owned()];
        for kind in KINDS {
            rows.push(format!("  {:<7} {}", kind.name(), words(relation(self.config, kind))));
            if told == Told::Lessons {
                rows.push(format!("{:10}{}", "", lesson::namespace(kind)));
            }
        }
        rows.push("CGROUPS".to_owned());
        rows.push(format!("  {} in {}", plan.groups.path, self.hierarchies().join(", ")));
        rows.extend(self.limits().into_iter().map(|row| format!("  {row}")));
        let dropped = plan.groups.dropped.iter();
        rows.extend(
            dropped.map(|dropped| format!("  left out: {} = {}: {}", dropped.field, dropped.value, dropped.reason)),
        );
        rows.push("ROOT".to_owned());
        rows.push(format!("  {}", self.root));
        rows.push("PROCESS".to_owned());
        rows.extend(self.process().into_iter().map(|row| format!("  {row}")));
        rows.push("STEPS OF THE HOST'S SIDE".to_owned());
        let host = plan.host.iter().map(|step| (host_step(step, plan), lesson::host(step, plan)));
        rows.extend(lines(host, told));
        rows.push("STEPS OF THE CHILD".to_owned());
        rows.extend(lines(plan.child.iter().map(|step| (child_step(step), lesson::child(step))), told));
        rows.join("\n")
    }

    fn hierarchies(&self) -> Vec<String> {
        let name = |index: &HierarchyIndex| self.hierarchies.at(*index).map(ToString::to_string).ok();
        self.plan.groups.attach.iter().filter_map(name).collect()
    }

    /// Each value of a group, with the file and the value on this host first, and those of the other version beside it.
    fn limits(&self) -> Vec<String> {
        let version = |index| self.hierarchies.at(index).map(|hierarchy| hierarchy.version).ok();
        let mut rows = Vec::new();
        for step in &self.plan.groups.steps {
            match step {
                GroupStep::Write(place, write) => {
                    let (here, there) =
                        if version(place.hierarchy) == Some(Version::V2) { ("v2", "v1") } else { ("v1", "v2") };
                    let set = format!("{here}: {} = {}", write.file, write.value);
                    let beside = write
                        .other
                        .as_ref()
                        .map_or_else(String::new, |(file, value)| format!("{there}: {file} = {value}"));
                    rows.push(format!("{:<7} {set:<46} {beside}", place.name).trim_end().to_owned());
                }
                GroupStep::Devices(..) | GroupStep::Mount(..) | GroupStep::Evacuate(..) => rows.push(step.to_string()),
                _ => {}
            }
        }
        rows
    }

    fn process(&self) -> Vec<String> {
        let Some(process) = &self.config.process else { return Vec::new() };
        let user = &process.user;
        let bounding = process.capabilities.as_ref().and_then(|sets| sets.bounding.clone()).unwrap_or_default();
        let filter = self.filter.map_or_else(
            || "none".to_owned(),
            |filter| {
                let allowed = self.calls_allowed.map(|count| format!("{count} system calls allowed, "));
                format!("{}{} instructions", allowed.unwrap_or_default(), filter.instructions.len())
            },
        );
        vec![
            format!("command       {}", process.args.join(" ")),
            format!("user          {}:{} groups {:?}", user.uid, user.gid, user.additional_gids),
            format!("directory     {}", process.cwd),
            format!("capabilities  {} {}", bounding.len(), bounding.join(" ").replace("CAP_", "").to_lowercase()),
            format!("seccomp       {filter}"),
            format!("no_new_privs  {}", process.no_new_privileges),
        ]
    }

    /// For programs.
    #[must_use]
    pub fn document(&self) -> Value {
        let (config, plan) = (self.config, self.plan);
        let namespaces: Map<_, _> = KINDS
            .into_iter()
            .map(|kind| {
                let value = match relation(config, kind) {
                    Relation::Own => json!({ "relation": "new" }),
                    Relation::Joined(path) => json!({ "relation": "joined", "path": path }),
                    Relation::Host => json!({ "relation": "host" }),
                };
                (kind.name().to_owned(), value)
            })
            .collect();
        json!({
            "namespaces": namespaces,
            "cgroups": {
                "path": plan.groups.path.to_string(),
                "hierarchies": self.hierarchies(),
                "writes": plan.groups.writes().map(|(place, write)| json!({
                    "hierarchy": place.name,
                    "path": place.path.to_string(),
                    "file": write.file,
                    "value": write.value,
                    "field": write.field,
                    "other": write.other.as_ref().map(|(file, value)| json!({ "file": file, "value": value })),
                })).collect::<Vec<_>>(),
                "dropped": plan.groups.dropped.iter().map(|dropped| json!({
                    "field": dropped.field, "value": dropped.value, "reason": dropped.reason,
                })).collect::<Vec<_>>(),
            },
            "root": self.root,
            "process": config.process,
            "mounts": config.mounts,
            "seccomp": self.filter.map(|filter| json!({
                "allowed": self.calls_allowed,
                "instructions": filter.instructions.len(),
            })),
            "host": plan.host.iter().map(|step| described(&host_step(step, plan), lesson::host(step, plan))).collect::<Vec<_>>(),
            "child": plan.child.iter().map(|step| described(&child_step(step), lesson::child(step))).collect::<Vec<_>>(),
        })
    }
}

fn words(relation: Relation<'_>) -> String {
    match relation {
        Relation::Own => "new".to_owned(),
        Relation::Joined(path) => format!("joined: {path}"),
        Relation::Host => "the host's".to_owned(),
    }
}

/// The steps, numbered; each lesson stands once, below the first step that it is about.
fn lines(steps: impl Iterator<Item = (Line, &'static str)>, told: Told) -> Vec<String> {
    let mut rows = Vec::new();
    let mut learned = BTreeSet::new();
    for (number, (line, lesson)) in steps.enumerate() {
        rows.push(format!("  {:>3}  {}", number + 1, line.what));
        if told == Told::Lessons && learned.insert(lesson) {
            rows.push(format!("{:10}{lesson}", ""));
        }
    }
    rows
}

fn described(line: &Line, lesson: &str) -> Value {
    json!({ "what": line.what, "calls": line.calls, "lesson": lesson })
}
