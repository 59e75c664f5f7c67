//! `system df`: what takes room on the disk, and what of it nobody uses. Rows and columns as Docker's, and one for logs.

use std::process::ExitCode;

use engine::containers::{Container, Engine, Status};
use engine::images::Used;
use engine::record::short;
use engine::volume::Volume;
use error::{Refused, Result};
use image::Reference;
use lexopt::Parser;
use serde_json::{Value, json};

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::format::{Format, Rows};
use crate::help;
use crate::report::{self, decimal_size};
use crate::template::Data;

/// What `system df` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DiskUsage {
    /// Whether each container and each volume is shown.
    each: bool,
    /// How the rows are written.
    format: String,
}

/// `carboy system df`.
pub(crate) const DISK_USAGE: Usage<DiskUsage> = Usage {
    command: "system df",
    words: "",
    doc: "Show what takes room on the disk",
    flags: &[&[
        Flag::switch("verbose", |asked: &mut DiskUsage, on| asked.each = on, "show each container and each volume")
            .short('v'),
        Flag::value("format", "FORMAT", format, "show the rows by a Go template, table TEMPLATE or json"),
    ]],
    end: End::Never,
};

fn format(asked: &mut DiskUsage, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut asked.format);
    Ok(())
}

/// Reads the words after `system df`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut asked = DiskUsage::default();
    match DISK_USAGE.read(parser, &mut asked)? {
        Read::Help => Ok(Command::Help(help::of_command(&DISK_USAGE))),
        Read::Words(words) => match words.first() {
            None if asked.each && !asked.format.is_empty() => {
                let refused =
                    Refused::new("--format", asked.format, "writes rows, and --verbose has tables of its own");
                Err(refused.hint("use one of them").into())
            }
            None => Ok(Command::DiskUsage(asked)),
            Some(word) => Err(wrong_words("system df", word, "it takes no words").into()),
        },
    }
}

const TOTALS: Rows = Rows {
    table: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    raw: "",
    fields: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
};

const CONTAINERS: Rows = Rows {
    table: "{{.ID}}\t{{.Image}}\t{{.Size}}\t{{.Log}}\t{{.State}}\t{{.Names}}",
    raw: "",
    fields: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Size", "SIZE"),
        ("Log", "LOG"),
        ("State", "STATE"),
        ("Names", "NAMES"),
    ],
};

const IMAGES: Rows = Rows {
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
    raw: "",
    fields: &[
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("ID", "IMAGE ID"),
        ("Size", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("Containers", "CONTAINERS"),
    ],
};

const VOLUMES: Rows = Rows {
    table: "{{.Name}}\t{{.Links}}\t{{.Size}}",
    raw: "",
    fields: &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
};

/// One thing that takes room.
struct Taker {
    bytes: u64,
    active: bool,
}

/// `carboy system df`.
pub(crate) fn run(engine: &Engine, asked: &DiskUsage) -> Result<ExitCode> {
    let format = match Format::new(&asked.format, &TOTALS) {
        Err(error) => {
            report::error(&error);
            return Ok(ExitCode::FAILURE);
        }
        format => format?,
    };
    let (listing, volumes) = (engine.list()?, engine.volumes()?);
    listing.damaged.iter().chain(&volumes.damaged).for_each(report::error);
    let containers: Vec<Measured> =
        listing.containers.into_iter().map(|container| Measured::of(engine, container)).collect();
    let volumes: Vec<(Volume, usize, u64)> = volumes.whole.into_iter().map(|volume| measured(engine, volume)).collect();
    let images = engine.image_usage()?;
    if asked.each {
        report::line("Images space usage:\n");
        table(&IMAGES, images.each.iter().map(image))?;
        report::line("\nContainers space usage:\n");
        table(&CONTAINERS, containers.iter().map(Measured::row))?;
        report::line("\nLocal Volumes space usage:\n");
        table(
            &VOLUMES,
            volumes.iter().map(
                |(volume, links, bytes)| json!({"Name": volume.name, "Links": links, "Size": decimal_size(*bytes)}),
            ),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let own = |bytes: fn(&Measured) -> u64| {
        containers.iter().map(move |measured| Taker { bytes: bytes(measured), active: measured.runs })
    };
    let used = volumes.iter().map(|(_, links, bytes)| Taker { bytes: *bytes, active: *links > 0 });
    let mut rows = String::new();
    let in_use = images.each.iter().filter(|used| used.containers > 0).count();
    for row in [
        totals("Images", (images.each.len(), in_use), (images.bytes, images.free_bytes)),
        total("Containers", own(|measured| measured.own_bytes)),
        total("Container Logs", own(|measured| measured.log_bytes)),
        total("Local Volumes", used),
    ] {
        rows.push_str(&format.row(Data { value: &row, methods: &[] })?);
    }
    report::text(&format.whole(&rows));
    Ok(ExitCode::SUCCESS)
}

/// A container, and what it takes.
struct Measured {
    container: Container,
    own_bytes: u64,
    log_bytes: u64,
    runs: bool,
}

impl Measured {
    fn of(engine: &Engine, container: Container) -> Self {
        let (own_bytes, log_bytes) = (engine.size(&container).freed_bytes, engine.log_bytes(&container));
        let runs = matches!(container.status, Status::Running(_) | Status::Restarting(_));
        Self { container, own_bytes, log_bytes, runs }
    }

    fn row(&self) -> Value {
        let record = &self.container.record;
        json!({
            "ID": short(&record.id),
            "Image": record.image,
            "Size": decimal_size(self.own_bytes),
            "Log": decimal_size(self.log_bytes),
            "State": if self.runs { "running" } else { "stopped" },
            "Names": record.name,
        })
    }
}

fn image(used: &Used) -> Value {
    let name = used.named.names.first();
    let none = || "<none>".to_owned();
    json!({
        "Repository": name.map_or_else(none, Reference::familiar_name),
        "Tag": name.and_then(|name| name.tag.clone()).unwrap_or_else(none),
        "ID": used.named.image.short(),
        "Size": decimal_size(used.bytes),
        "SharedSize": decimal_size(used.bytes - used.unique_bytes),
        "UniqueSize": decimal_size(used.unique_bytes),
        "Containers": used.containers,
    })
}

/// A volume, how many containers use it, and what it takes as far as that can be read.
fn measured(engine: &Engine, volume: Volume) -> (Volume, usize, u64) {
    let told = |error: &error::Error| report::error(error);
    let users = engine.volume_users(&volume).inspect_err(told).unwrap_or_default();
    let bytes = engine.volume_bytes(&volume).inspect_err(told).unwrap_or_default();
    (volume, users.len(), bytes)
}

fn total(kind: &str, takers: impl Iterator<Item = Taker>) -> Value {
    let (mut count, mut active, mut bytes, mut free) = (0, 0, 0_u64, 0_u64);
    for taker in takers {
        count += 1;
        active += usize::from(taker.active);
        bytes += taker.bytes;
        free += if taker.active { 0 } else { taker.bytes };
    }
    totals(kind, (count, active), (bytes, free))
}

fn totals(kind: &str, (count, active): (usize, usize), (bytes, free): (u64, u64)) -> Value {
    let share = (free * 100).checked_div(bytes).map(|share| format!(" ({share}%)")).unwrap_or_default();
    json!({
        "Type": kind,
        "TotalCount": count.to_string(),
        "Active": active.to_string(),
        "Size": decimal_size(bytes),
        "Reclaimable": format!("{}{share}", decimal_size(free)),
    })
}

fn table(rows: &Rows, values: impl Iterator<Item = Value>) -> Result<()> {
    let format = Format::new("", rows)?;
    let mut text = String::new();
    for value in values {
        text.push_str(&format.row(Data { value: &value, methods: &[] })?);
    }
    report::text(&format.whole(&text));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_not_to_be_had_back() {
        let takers = [(100, true), (250, false), (50, false)].map(|(bytes, active)| Taker { bytes, active });
        let row = total("Containers", takers.into_iter());
        assert_eq!((&row["TotalCount"], &row["Active"], &row["Size"]), (&json!("3"), &json!("1"), &json!("400B")));
        assert_eq!(row["Reclaimable"], "300B (75%)");
        assert_eq!(total("Local Volumes", std::iter::empty())["Reclaimable"], "0B");
    }
}
