//! `explain run`: the plan, printed, with nothing done. It is computed by the code that `run` applies, so it cannot lie.

use std::process::ExitCode;

use cgroup::Version;
use cgroup::plan::Step as GroupStep;
use engine::containers::Engine;
use engine::launch::{Launch, Names};
use engine::options::RunOptions;
use engine::record::short;
use error::Result;
use namespace::{KINDS, Relation, relation};
use runtime::describe::{Line, child_step, host_step};
use runtime::plan::Plan;
use serde_json::{Value, json};

use crate::report;

/// How the plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `carboy explain run`.
pub(crate) fn run(engine: &Engine, options: &RunOptions, form: Form) -> Result<ExitCode> {
    options.root.check()?;
    let launch = engine.launch(options, &Names::new(options)?)?;
    let arena = bumpalo::Bump::new();
    let plan = launch.plan(&arena)?;
    match form {
        Form::Text => text(&launch, &plan),
        Form::Json => report::line(&serde_json::to_string_pretty(&document(&launch, &plan)).unwrap_or_default()),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(launch: &Launch, plan: &Plan<'_>) {
    let config = &launch.record.config;
    let mut rows = vec!["NAMESPACES".to_owned()];
    rows.extend(KINDS.map(|kind| format!("  {:<7} {}", kind.name(), words(relation(config, kind)))));
    rows.push("CGROUPS".to_owned());
    rows.push(format!("  {} in {}", plan.groups.path, hierarchies(launch, plan).join(", ")));
    rows.extend(limits(launch, plan).into_iter().map(|row| format!("  {row}")));
    let dropped = plan.groups.dropped.iter();
    rows.extend(
        dropped.map(|dropped| format!("  left out: {} = {}: {}", dropped.field, dropped.value, dropped.reason)),
    );
    rows.push("ROOT".to_owned());
    rows.push(format!("  {}", launch.root.describe()));
    rows.push("PROCESS".to_owned());
    rows.extend(process(launch).into_iter().map(|row| format!("  {row}")));
    rows.push("STEPS OF THE HOST'S SIDE".to_owned());
    rows.extend(lines(plan.host.iter().map(|step| host_step(step, plan))));
    rows.push("STEPS OF THE CHILD".to_owned());
    rows.extend(lines(plan.child.iter().map(child_step)));
    let id = &launch.record.id;
    report::line(&rows.join("\n").replace(id.as_str(), &format!("{}…", short(id))));
}

fn lines(lines: impl Iterator<Item = Line>) -> impl Iterator<Item = String> {
    lines.enumerate().map(|(number, line)| format!("  {:>3}  {}", number + 1, line.what))
}

fn words(relation: Relation<'_>) -> String {
    match relation {
        Relation::Own => "new".to_owned(),
        Relation::Joined(path) => format!("joined: {path}"),
        Relation::Host => "the host's".to_owned(),
    }
}

fn hierarchies(launch: &Launch, plan: &Plan<'_>) -> Vec<String> {
    let name = |index: &cgroup::HierarchyIndex| launch.facts.hierarchies.at(*index).map(ToString::to_string).ok();
    plan.groups.attach.iter().filter_map(name).collect()
}

/// Each value of a group, with the file and the value on this host first, and those of the other version beside it.
fn limits(launch: &Launch, plan: &Plan<'_>) -> Vec<String> {
    let version = |index| launch.facts.hierarchies.at(index).map(|hierarchy| hierarchy.version).ok();
    let mut rows = Vec::new();
    for step in &plan.groups.steps {
        match step {
            GroupStep::Write(place, write) => {
                let (here, there) =
                    if version(place.hierarchy) == Some(Version::V2) { ("v2", "v1") } else { ("v1", "v2") };
                let set = format!("{here}: {} = {}", write.file, write.value);
                let beside =
                    write.other.as_ref().map_or_else(String::new, |(file, value)| format!("{there}: {file} = {value}"));
                rows.push(format!("{:<7} {set:<46} {beside}", place.name).trim_end().to_owned());
            }
            GroupStep::Devices(..) | GroupStep::Mount(..) | GroupStep::Evacuate(..) => rows.push(step.to_string()),
            _ => {}
        }
    }
    rows
}

fn process(launch: &Launch) -> Vec<String> {
    let Some(process) = &launch.record.config.process else { return Vec::new() };
    let user = &process.user;
    let bounding = process.capabilities.as_ref().and_then(|sets| sets.bounding.clone()).unwrap_or_default();
    let filter = launch.calls_allowed.map_or_else(
        || "none".to_owned(),
        |count| {
            let length = launch.filter.as_ref().map_or(0, |filter| filter.instructions.len());
            format!("{count} system calls allowed, {length} instructions")
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

fn document(launch: &Launch, plan: &Plan<'_>) -> Value {
    let config = &launch.record.config;
    let namespaces: serde_json::Map<_, _> = KINDS
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
            "hierarchies": hierarchies(launch, plan),
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
        "root": launch.root.describe(),
        "process": config.process,
        "mounts": config.mounts,
        "seccomp": launch.calls_allowed.map(|count| json!({
            "allowed": count,
            "instructions": launch.filter.as_ref().map_or(0, |filter| filter.instructions.len()),
        })),
        "host": plan.host.iter().map(|step| described(&host_step(step, plan))).collect::<Vec<_>>(),
        "child": plan.child.iter().map(|step| described(&child_step(step))).collect::<Vec<_>>(),
    })
}

fn described(line: &Line) -> Value {
    json!({ "what": line.what, "calls": line.calls })
}
