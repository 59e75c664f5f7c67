//! `explain limits`: every setting of every controller, with what this host has of it. The table is made from the code
//! that writes the files, so it cannot lie.

use std::process::ExitCode;

use cgroup::presence::{Presence, Present};
use cgroup::{Controller, Hierarchies, Setting, Version};
use engine::containers::Engine;
use error::Result;
use serde_json::{Value, json};

use crate::report::{self, wrapped};

/// How the table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people, with what this host has.
    Text,
    /// The same with what each controller does.
    Lessons,
    /// The same for programs.
    Json,
    /// As a document, without the host.
    Markdown,
}

/// `carboy explain limits`.
pub(crate) fn run(engine: &Engine, form: Form) -> Result<ExitCode> {
    if form == Form::Markdown {
        report::line(cgroup::setting::markdown().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let hierarchies = engine.hierarchies_of_every_limit()?;
    let present = Present::read(&hierarchies)?;
    match form {
        Form::Json => {
            let documents: Vec<Value> = cgroup::setting::all().map(|setting| document(setting, &present)).collect();
            report::line(&serde_json::to_string_pretty(&documents).unwrap_or_default());
        }
        Form::Text | Form::Lessons | Form::Markdown => report::line(&text(&hierarchies, &present, form)),
    }
    Ok(ExitCode::SUCCESS)
}

fn document(setting: &Setting, present: &Present<'_>) -> Value {
    let file = |version| setting.file(version).map(|file| json!({ "file": file.name, "value": file.value }));
    let presence = present.of(setting);
    let (version, reason) = match &presence {
        Presence::Here(version) | Presence::Unseen(version) => (Some(version.to_string()), None),
        Presence::Absent(reason) => (None, Some(reason)),
    };
    json!({
        "controller": setting.controller.to_string(),
        "flag": setting.flag,
        "field": setting.field,
        "unit": setting.unit,
        "v1": file(Version::V1),
        "v2": file(Version::V2),
        "effect": setting.effect,
        "here": version,
        "seen": matches!(presence, Presence::Here(_)),
        "absent": reason,
    })
}

const LEGEND: &str = "* is what this host has, ? what it may have: no group was there to see it in. Flags are those of \
                      carboy run\nand carboy update.";

/// The settings by controller; `*` stands before the file that this host has.
fn text(hierarchies: &Hierarchies, present: &Present<'_>, form: Form) -> String {
    let mut rows = vec![LEGEND.to_owned()];
    for controller in Controller::ALL {
        let settings: Vec<&Setting> = cgroup::setting::all().filter(|one| one.controller == controller).collect();
        if settings.is_empty() && form != Form::Lessons {
            continue;
        }
        rows.push(String::new());
        rows.push(heading(controller, hierarchies));
        if form == Form::Lessons {
            rows.extend(cgroup::lesson::of(controller).iter().flat_map(|lesson| wrapped(lesson, "  ")));
        }
        for setting in settings {
            rows.push(String::new());
            rows.extend(paragraph(setting, present));
        }
    }
    rows.push(String::new());
    rows.push("NS".to_owned());
    rows.extend(wrapped(cgroup::ns::NOTE, "  "));
    rows.join("\n")
}

/// `MEMORY: v1 at /sys/fs/cgroup/memory`.
fn heading(controller: Controller, hierarchies: &Hierarchies) -> String {
    let name = controller.to_string().to_uppercase();
    match hierarchies.of(controller) {
        Some(hierarchy) => {
            let (version, point) = (hierarchy.version, hierarchy.mount_point.display());
            match hierarchy.mounted {
                cgroup::Mounted::NotYet => {
                    format!("{name}: {version}, mounted by carboy for a container that needs it")
                }
                cgroup::Mounted::ByHost | cgroup::Mounted::ByCarboy => format!("{name}: {version} at {point}"),
            }
        }
        None => name,
    }
}

fn paragraph(setting: &Setting, present: &Present<'_>) -> Vec<String> {
    let presence = present.of(setting);
    let (asked, field) = (setting.asked(), setting.field.unwrap_or_default());
    let asked = if asked.is_empty() { field } else { &asked };
    let mut rows = wrapped(&format!("{asked}: {}", setting.unit), "  ");
    rows.extend(wrapped(setting.effect, "      "));
    let width = [Version::V1, Version::V2].into_iter().filter_map(|version| setting.file(version));
    let width = width.map(|file| file.name.len()).max().unwrap_or_default();
    for version in [Version::V1, Version::V2] {
        let marker = match presence {
            Presence::Here(here) if here == version => '*',
            Presence::Unseen(here) if here == version => '?',
            _ => ' ',
        };
        match setting.file(version) {
            Some(file) => rows.push(format!("    {marker} {version}  {:width$}  {}", file.name, file.value)),
            None if setting.is_program(version) => rows.push(format!("    {marker} {version}  a BPF program")),
            None if marker == '*' => rows.push(format!("    {marker} {version}  by nftables")),
            None => {}
        }
    }
    if asked != field {
        rows.extend(setting.field.map(|field| format!("      oci {field}")));
    }
    if let Presence::Absent(reason) = presence {
        rows.push(format!("      not here: {reason}"));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_paragraph_on_this_host() {
        let hierarchies = Hierarchies::read().unwrap();
        let shown = text(&hierarchies, &Present::read(&hierarchies).unwrap(), Form::Text);
        for setting in cgroup::setting::all() {
            for file in [setting.v1, setting.v2].into_iter().flatten() {
                assert!(shown.contains(file.name), "{}", file.name);
            }
        }
        assert!(shown.contains("\nNS\n"), "{shown}");
    }
}
