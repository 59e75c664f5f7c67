//! `ps`: the containers that there are, as Docker shows them, with the PID of the first process besides.

pub(crate) mod filter;

use std::borrow::Cow;
use std::process::ExitCode;

use cgroup::{Freezer, Hierarchies};
use engine::containers::{Care, Container, Engine, Status};
use engine::health::{Condition, Health};
use engine::network::{Endpoint, LiveNetworks};
use engine::options::Mount;
use engine::record::{Exit, Record, short};
use engine::size::Size;
use error::{Refused, Result};
use jiff::tz::TimeZone;
use lexopt::Parser;
use serde_json::{Value, json};

use self::filter::{Filters, Wish};
use crate::command::Command;
use crate::connected;
use crate::flags::{End, Flag, Given, Read, Usage};
use crate::format::{Format, Rows};
use crate::help;
use crate::port;
use crate::report;
use crate::template::{Data, quoted};
use crate::zone;

/// What `ps` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ps {
    /// Whether those that do not run are shown too.
    all: bool,
    /// Whether ids alone are shown.
    quiet: bool,
    /// How many of the newest are shown, whether they run or not; all where none is given.
    last: Option<u64>,
    /// Whether the newest alone is shown.
    latest: bool,
    /// Whether it is shown how much each has written; where it was not said, if the format has it.
    size: Option<bool>,
    /// Whether nothing is cut short.
    whole: bool,
    /// Which are shown.
    filters: Vec<Wish>,
    /// How they are shown.
    format: String,
}

/// The table of `ps`.
pub(crate) const PS: Usage<Ps> = Usage {
    command: "ps",
    words: "",
    doc: "List containers",
    flags: &[&[
        Flag::switch("all", |ps: &mut Ps, on| ps.all = on, "show those too that do not run").short('a'),
        Flag::values("filter", "KEY=VALUE", filter_by, filter::DOC).short('f'),
        Flag::value(
            "format",
            "FORMAT",
            format,
            "show them by a Go template, 'table TEMPLATE', table, json or raw: {{.Names}} {{.Status}}",
        ),
        Flag::value("last", "COUNT", last, "show so many of the newest, whether they run or not").short('n'),
        Flag::switch("latest", |ps: &mut Ps, on| ps.latest = on, "show the newest, whether it runs or not").short('l'),
        Flag::switch("no-trunc", |ps: &mut Ps, on| ps.whole = on, "cut nothing short"),
        Flag::switch("quiet", |ps: &mut Ps, on| ps.quiet = on, "show ids alone").short('q'),
        Flag::switch("size", |ps: &mut Ps, on| ps.size = Some(on), "show how much each has written").short('s'),
    ]],
    end: End::Never,
};

fn filter_by(ps: &mut Ps, given: Given<'_>) -> Result<()> {
    ps.filters.push(filter::wish(given)?);
    Ok(())
}

fn format(ps: &mut Ps, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut ps.format);
    Ok(())
}

fn last(ps: &mut Ps, given: Given<'_>) -> Result<()> {
    let count: i64 = given.value.parse().map_err(|_| given.refused("is no whole number"))?;
    ps.last = u64::try_from(count).ok().filter(|count| *count > 0);
    Ok(())
}

/// Reads the words after `ps`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut ps = Ps::default();
    match PS.read(parser, &mut ps)? {
        Read::Help => Ok(Command::Help(help::of_command(&PS))),
        Read::Words(words) => match words.first() {
            None => Ok(Command::Ps(ps)),
            Some(word) => {
                let refused = Refused::new("ps", word, "it takes no words");
                Err(refused.hint("carboy inspect shows one container").into())
            }
        },
    }
}

const ROWS: Rows = Rows {
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Pid}}\t{{.Names}}",
    raw: "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n\
          state: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\n\
          labels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n",
    fields: &[
        ("ID", "CONTAINER ID"),
        ("Names", "NAMES"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Size", "SIZE"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
        ("Pid", "PID"),
    ],
};

/// `carboy ps`. What cannot be told of is said, and hides nothing else.
pub(crate) fn run(engine: &Engine, ps: &Ps) -> ExitCode {
    match show(engine, ps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn show(engine: &Engine, ps: &Ps) -> Result<()> {
    let format = Format::new(&source(ps), &ROWS)?;
    let view = View::open(engine)?;
    let filters = Filters::new(engine, &ps.filters)?;
    let listing = engine.list()?;
    for error in &listing.damaged {
        report::error(error);
    }
    let count = if ps.latest && ps.last.is_none() { Some(1) } else { ps.last };
    let all = ps.all || count.is_some() || filters.name_states();
    let shown = listing.containers.into_iter().map(|container| Seen::of(&view, container));
    let shown = shown.filter(|seen| (all || seen.runs()) && filters.hold_for(seen));
    let zone = zone::local(&|name| std::env::var_os(name));
    let mut rows = String::new();
    for seen in shown.take(count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX)) {
        let measured = ps.size.unwrap_or_else(|| format.asks_for("Size"));
        let size = measured.then(|| engine.size(&seen.container));
        let label = |key: &str| seen.container.record.options.labels.get(key).cloned().unwrap_or_default();
        let value = row(&seen, size, &zone, ps);
        rows.push_str(&format.row(Data { value: &value, methods: &[("Label", &label)] })?);
    }
    report::text(&format.whole(&rows));
    Ok(())
}

/// The format that was asked for, with what `--quiet` and `--size` make of it.
fn source(ps: &Ps) -> String {
    let size = |text: &str| if ps.size == Some(true) { text.to_owned() } else { String::new() };
    match (ps.format.as_str(), ps.quiet) {
        ("raw", true) => "container_id: {{.ID}}".to_owned(),
        ("", true) => "{{.ID}}".to_owned(),
        ("table", true) => "{{.ID}}".to_owned(),
        (_, true) => {
            report::warning("--format is not looked at beside --quiet");
            "{{.ID}}".to_owned()
        }
        ("" | "table", false) => format!("table {}{}", ROWS.table, size("\t{{.Size}}")),
        ("raw", false) => format!("{}{}", ROWS.raw, size("size: {{.Size}}\n")),
        (format, false) => format.to_owned(),
    }
}

/// What is needed to look at containers, opened once for all.
pub(crate) struct View<'e> {
    pub(crate) engine: &'e Engine,
    freezer: Freezer,
    networks: LiveNetworks,
}

impl<'e> View<'e> {
    /// # Errors
    /// A kernel error where the host's cgroups cannot be read. Where it is its networks, that is said.
    pub(crate) fn open(engine: &'e Engine) -> Result<Self> {
        let freezer = Freezer::open(&Hierarchies::read()?)?;
        let networks = engine.live_networks().unwrap_or_else(|error| {
            report::error(&error);
            LiveNetworks::default()
        });
        Ok(Self { engine, freezer, networks })
    }
}

/// A container with what the kernel says of it now.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) container: Container,
    paused: bool,
    /// Its places in networks, while they exist.
    pub(crate) endpoints: Vec<Endpoint>,
}

impl Seen {
    /// Where it cannot be told whether it is paused, or where it is connected, that is said.
    pub(crate) fn of(view: &View<'_>, container: Container) -> Self {
        let paused = container.is_paused(&view.freezer).unwrap_or_else(|error| {
            report::error(&error);
            false
        });
        let endpoints = match &container.status {
            Status::Running(_) => {
                view.engine.endpoints_among(&view.networks, &container.record.id).unwrap_or_else(|error| {
                    report::error(&error);
                    Vec::new()
                })
            }
            _ => Vec::new(),
        };
        Self { container, paused, endpoints }
    }

    /// Its ports as Docker shows them.
    fn ports(&self) -> String {
        if self.endpoints.is_empty() {
            return String::new();
        }
        port::shown(&self.container.record.options.exposed_ports, &port::published(&self.endpoints))
    }

    pub(crate) const fn runs(&self) -> bool {
        matches!(self.container.status, Status::Running(_) | Status::Restarting(_))
    }

    /// Docker's word for how it is.
    pub(crate) const fn state(&self) -> &'static str {
        match self.container.status {
            Status::Created => "created",
            Status::Running(_) if self.paused => "paused",
            Status::Running(_) => "running",
            Status::Restarting(_) => "restarting",
            Status::Exited(_) | Status::Gone => "exited",
        }
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    fn status(&self) -> String {
        match &self.container.status {
            Status::Created => "Created".to_owned(),
            Status::Running(process) => {
                let told = match (self.paused, &self.container.health) {
                    (true, _) => " (Paused)".to_owned(),
                    (false, Some(Health { status: Condition::Starting, .. })) => " (health: starting)".to_owned(),
                    (false, Some(health)) => format!(" ({})", health.status),
                    (false, None) => String::new(),
                };
                let care = if self.container.care == Care::Nobody { " (no monitor)" } else { "" };
                format!("Up {}{told}{care}", report::span(process.age().as_secs().try_into().unwrap_or(0)))
            }
            Status::Restarting(exit) => format!("Restarting {}", ended(exit)),
            Status::Exited(exit) => format!("Exited {}", ended(exit)),
            Status::Gone => "Exited (unknown)".to_owned(),
        }
    }
}

fn ended(exit: &Exit) -> String {
    let code = exit.code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
    format!("({code}) {} ago", report::span(age(exit.finished)))
}

fn age(since: jiff::Timestamp) -> i64 {
    jiff::Timestamp::now().as_second() - since.as_second()
}

/// The widest command and the widest mount of a table, in characters.
const COMMAND: usize = 20;
const MOUNT: usize = 15;

fn row(seen: &Seen, size: Option<Size>, zone: &TimeZone, ps: &Ps) -> Value {
    let record = &seen.container.record;
    let cut = |text: &str, width| if ps.whole { text.to_owned() } else { cut(text, width) };
    let labels: Vec<String> = record.options.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mounts: Vec<String> = mounts(record).map(|mount| cut(&mount.source, MOUNT)).collect();
    let volumes = record.options.mounts.iter().filter(|mount| matches!(mount, Mount::Volume(_))).count();
    let pid =
        if let Status::Running(process) = &seen.container.status { process.pid.to_string() } else { String::new() };
    json!({
        "ID": if ps.whole { &record.id } else { short(&record.id) },
        "Names": record.name,
        "Image": record.image,
        "Command": quoted(&cut(&command(record), COMMAND)),
        "CreatedAt": record.created.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string(),
        "RunningFor": format!("{} ago", report::span(age(record.created))),
        "Ports": seen.ports(),
        "State": seen.state(),
        "Status": seen.status(),
        "Size": size.map_or_else(|| report::decimal_size(0), size_shown),
        "Labels": labels.join(","),
        "Mounts": mounts.join(","),
        "LocalVolumes": volumes.to_string(),
        "Networks": connected::networks(record, &seen.endpoints).join(","),
        "Platform": null,
        "Pid": pid,
    })
}

fn size_shown(size: Size) -> String {
    let own = report::decimal_size(size.own_bytes);
    let all = size.all_bytes.map(|bytes| format!(" (virtual {})", report::decimal_size(bytes)));
    format!("{own}{}", all.unwrap_or_default())
}

/// The words of the command, those with a blank in quotes.
fn command(record: &Record) -> String {
    let words = record.config.process.as_ref().map_or(&[][..], |process| process.args.as_slice());
    let shown = words
        .iter()
        .enumerate()
        .map(|(place, word)| if place > 0 && word.contains(' ') { format!("'{word}'") } else { word.clone() });
    shown.collect::<Vec<_>>().join(" ")
}

/// So many characters at most, the last of them a sign that there are more.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// What a container has mounted.
pub(crate) struct Mounted<'r> {
    /// The path on the host, or the name of the volume.
    pub(crate) source: Cow<'r, str>,
    /// The path in the container.
    pub(crate) destination: &'r str,
}

/// The volumes, and the folders and files of the host, that were asked for.
pub(crate) fn mounts(record: &Record) -> impl Iterator<Item = Mounted<'_>> {
    record.options.mounts.iter().filter_map(|mount| {
        let source = match mount {
            Mount::Bind(bind) => bind.source.to_string_lossy(),
            Mount::Volume(volume) => Cow::Borrowed(volume.name.as_str()),
            Mount::Tmpfs(_) => return None,
        };
        Some(Mounted { source, destination: mount.destination().as_str() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Ps {
        let mut parser = Parser::from_args(words);
        match read(&mut parser) {
            Ok(Command::Ps(ps)) => ps,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn flags_are_docker_s() {
        let all = Ps { all: true, quiet: true, ..Ps::default() };
        assert_eq!(asked(&["-aq"]), all);
        assert_eq!(asked(&["--all", "--quiet"]), all);
        let last = |last| Ps { last, ..Ps::default() };
        assert_eq!(asked(&["-n", "3"]), last(Some(3)));
        assert_eq!(asked(&["--last=-1"]), last(None));
        let shown = Ps { latest: true, whole: true, size: Some(false), format: "table".to_owned(), ..Ps::default() };
        assert_eq!(asked(&["-l", "--no-trunc", "--size=false", "--format", "table"]), shown);
        let filters = ["name=^web$", "label=a=b", "Status=paused"]
            .map(|value| filter::wish(Given { flag: "filter", value }).unwrap());
        let asked = asked(&["-f", "name=^web$", "--filter", "label=a=b", "-f", "Status=paused"]);
        assert_eq!(asked, Ps { filters: filters.to_vec(), ..Ps::default() });
    }

    #[test]
    fn what_is_too_wide_is_cut_and_says_so() {
        assert_eq!(cut("0123456789", 10), "0123456789");
        assert_eq!(cut("0123456789a", 10), "012345678…");
        assert_eq!(cut("üüü", 2), "ü…");
    }
}
