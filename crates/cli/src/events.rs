//! `events`: what has happened, and happens, to containers, images, volumes and networks, whoever does it. Docker's words and forms.

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;

use engine::containers::Engine;
use engine::journal::{Entry, From, Kind};
use error::{Doing, Errno, Refused, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lexopt::Parser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use serde_json::{Value, json};

use crate::command::Command;
use crate::documents::NO_TEMPLATE;
use crate::flags::{End, Flag, Given, Read, Usage, nearest};
use crate::logs::watch;
use crate::template::{Data, FaultKind, Purpose, Template};
use crate::value::moment;
use crate::{format, help, report, zone};

/// What `events` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// From this moment on; from now on if there is none.
    since: Option<Timestamp>,
    /// Up to this moment; for ever if there is none.
    until: Option<Timestamp>,
    filters: Vec<(Key, String)>,
    /// A template, `json`, or nothing.
    format: String,
}

/// What an event is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Container,
    Event,
    Image,
    Label,
    Network,
    Scope,
    Type,
    Volume,
}

const KEYS: [(&str, Key); 8] = [
    ("container", Key::Container),
    ("event", Key::Event),
    ("image", Key::Image),
    ("label", Key::Label),
    ("network", Key::Network),
    ("scope", Key::Scope),
    ("type", Key::Type),
    ("volume", Key::Volume),
];

/// Docker's word for what happens on one host.
const SCOPE: &str = "local";

/// `carboy events`.
pub(crate) const EVENTS: Usage<Events> = Usage {
    command: "events",
    words: "",
    doc: "Show what happens to containers, images, volumes and networks, whoever does it",
    flags: &[&[
        Flag::values(
            "filter",
            "KEY=VALUE",
            filter,
            "show those for which it holds: container, event, image, label, network, scope, type or volume",
        )
        .short('f'),
        Flag::value(
            "format",
            "FORMAT",
            format_by,
            "show them by a Go template, or json: {{.Action}} {{.Actor.Attributes.name}}",
        ),
        Flag::value(
            "since",
            "MOMENT",
            since,
            "begin with what has happened then: 2026-11-26T14:05:54Z, 1790000000, 10m",
        ),
        Flag::value("until", "MOMENT", until, "end with what happens then"),
    ]],
    end: End::Never,
};

fn filter(events: &mut Events, given: Given<'_>) -> Result<()> {
    let Some((name, value)) = given.value.split_once('=') else {
        return Err(given.refused("is not KEY=VALUE").hint("for example: --filter event=die").into());
    };
    let name = name.trim().to_lowercase();
    let Some((_, key)) = KEYS.into_iter().find(|(known, _)| *known == name) else {
        let refused = given.refused("has no key by which events are found");
        let hint = match nearest(&name, KEYS.iter().map(|(known, _)| *known)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the keys are {}", KEYS.map(|(known, _)| known).join(", ")),
        };
        return Err(refused.hint(hint).into());
    };
    events.filters.push((key, value.trim().to_owned()));
    Ok(())
}

fn format_by(events: &mut Events, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut events.format);
    Ok(())
}

fn since(events: &mut Events, given: Given<'_>) -> Result<()> {
    events.since = Some(moment::moment(given)?);
    Ok(())
}

fn until(events: &mut Events, given: Given<'_>) -> Result<()> {
    events.until = Some(moment::moment(given)?);
    Ok(())
}

/// Reads the words after `events`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut events = Events::default();
    let words = match EVENTS.read(parser, &mut events)? {
        Read::Help => return Ok(Command::Help(help::of_command(&EVENTS))),
        Read::Words(words) => words,
    };
    if let Some(word) = words.first() {
        let hint = format!("for one container alone: --filter container={word}");
        return Err(Refused::new("events", word, "it takes no words").hint(hint).into());
    }
    match (events.since, events.until) {
        (Some(since), Some(until)) if since > until => {
            Err(Refused::new("--until", until.to_string(), format!("is before --since {since}")).into())
        }
        _ => Ok(Command::Events(events)),
    }
}

/// `carboy events`.
///
/// # Errors
/// A kernel error.
pub(crate) fn run(engine: &Engine, events: &Events) -> Result<ExitCode> {
    let form = match Form::new(&events.format) {
        Ok(form) => form,
        Err(error) => {
            report::error(&error);
            return Ok(ExitCode::from(NO_TEMPLATE));
        }
    };
    // Watched before it is read: nothing comes in between unnoticed.
    let watched = watch(&engine.store.root)?;
    let from = if events.since.or(events.until).is_some() { From::Beginning } else { From::Now };
    let mut reader = engine.events(from)?;
    let end = events.until.map(alarm).transpose()?;
    loop {
        // What happens later than this has not been read yet.
        let now = Timestamp::now();
        let mut text = String::new();
        for entry in reader.read()?.iter().filter(|entry| events.are_for(entry)) {
            text.push_str(&form.shown(entry)?);
        }
        if !text.is_empty() && !report::written(|out| out.write_all(text.as_bytes())) {
            return Ok(ExitCode::SUCCESS);
        }
        if events.until.is_some_and(|until| until < now) {
            return Ok(ExitCode::SUCCESS);
        }
        wait(&watched, end.as_ref())?;
    }
}

/// What can be read when the clock says so, also when it is set meanwhile.
///
/// # Errors
/// A kernel error.
pub(crate) fn alarm(at: Timestamp) -> Result<OwnedFd> {
    let action = || "wait for a moment";
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC).doing(action)?;
    // Once it is over: the moment itself still counts, and 0 would be no moment.
    let it_value = Timespec { tv_sec: at.as_second().max(0), tv_nsec: i64::from(at.subsec_nanosecond().max(0)) + 1 };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &once).doing(action)?;
    Ok(timer)
}

/// Waits until there may be more to read, or the time is over.
fn wait(watched: &OwnedFd, end: Option<&OwnedFd>) -> Result<()> {
    let mut waits = vec![PollFd::new(watched, PollFlags::IN)];
    waits.extend(end.map(|end| PollFd::new(end, PollFlags::IN)));
    match poll(&mut waits, None) {
        Err(Errno::INTR) => return Ok(()),
        waited => waited.doing(|| "wait for events")?,
    };
    let _ = rustix::io::read(watched.as_fd(), &mut [0_u8; 4096]);
    Ok(())
}

impl Events {
    /// Whether an event is one of those that were asked for: any value of a key may hold, but every label must.
    fn are_for(&self, entry: &Entry) -> bool {
        let in_time =
            self.since.is_none_or(|since| entry.time >= since) && self.until.is_none_or(|until| entry.time <= until);
        let holds = |key: Key| {
            let mut asked = self.filters.iter().filter(|(known, _)| *known == key).map(|(_, value)| value.as_str());
            match key {
                Key::Label => asked.all(|value| is_labelled(entry, value)),
                _ => asked.clone().next().is_none() || asked.any(|value| key.is_in(entry, value)),
            }
        };
        in_time && KEYS.iter().all(|(_, key)| holds(*key))
    }
}

fn is_labelled(entry: &Entry, label: &str) -> bool {
    match label.split_once('=') {
        Some((name, value)) => entry.attributes.get(name).is_some_and(|known| known == value),
        None => entry.attributes.contains_key(label),
    }
}

impl Key {
    /// Whether an event has this value, as Docker compares it.
    fn is_in(self, entry: &Entry, value: &str) -> bool {
        let attribute = |name: &str| entry.attributes.get(name).map(String::as_str);
        match self {
            Self::Container => {
                let begins =
                    entry.id.starts_with(value) || attribute("name").is_some_and(|name| name.starts_with(value));
                entry.kind == Kind::Container && begins
            }
            // Who asks for exec_create means every command.
            Self::Event => {
                let word = entry.action.split(": ").next().unwrap_or_default();
                entry.action == value || word == value
            }
            Self::Image => {
                let names = match entry.kind {
                    Kind::Image => [Some(entry.id.as_str()), attribute("name")],
                    Kind::Container | Kind::Volume | Kind::Network => [attribute("image"), None],
                };
                names.into_iter().flatten().any(|name| name == value || without_tag(name) == value)
            }
            Self::Label => is_labelled(entry, value),
            Self::Network => {
                let begins =
                    entry.id.starts_with(value) || attribute("name").is_some_and(|name| name.starts_with(value));
                entry.kind == Kind::Network && begins
            }
            Self::Scope => value == SCOPE,
            Self::Type => entry.kind.word() == value,
            Self::Volume => entry.kind == Kind::Volume && entry.id.starts_with(value),
        }
    }
}

/// `debian` of `debian:13`: a colon before a slash is a port's.
fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

/// How events are written.
enum Form {
    /// For people, with times in this zone.
    Text(TimeZone),
    /// Docker's document.
    Json,
    /// Each by a template.
    Template(String, Template),
}

impl Form {
    fn new(source: &str) -> Result<Self> {
        match source {
            "" => return Ok(Self::Text(zone::local(&|name| std::env::var_os(name)))),
            // With names that begin with a capital letter it would be another document.
            "json" | "{{json .}}" => return Ok(Self::Json),
            _ => {}
        }
        let source = source.replace("\\t", "\t").replace("\\n", "\n");
        let template = Template::parse(&source).map_err(|fault| format::refused(&source, &fault))?;
        // What no event has is said before one comes.
        let (time, attributes) = (Timestamp::UNIX_EPOCH, std::collections::BTreeMap::new());
        let none = Entry { time, kind: Kind::Container, action: String::new(), id: String::new(), attributes };
        match template.run(Data { value: &fields(&none), methods: &[] }, Purpose::Rows) {
            Err(fault) if fault.kind == FaultKind::Field => {
                let refused = format::refused(&source, &fault);
                Err(refused.hint(format!("the fields are {}", FIELDS.join(", "))).into())
            }
            _ => Ok(Self::Template(source, template)),
        }
    }

    /// An event with the end of its line.
    fn shown(&self, entry: &Entry) -> Result<String> {
        Ok(match self {
            Self::Text(zone) => text(entry, zone),
            Self::Json => format!("{}\n", document(entry)),
            Self::Template(source, template) => {
                let made = template.run(Data { value: &fields(entry), methods: &[] }, Purpose::Rows);
                format!("{}\n", made.map_err(|fault| format::refused(source, &fault))?)
            }
        })
    }
}

/// `2026-11-26T14:05:54.123456789Z container start 83661396fd06… (image=host, name=count)`
fn text(entry: &Entry, zone: &TimeZone) -> String {
    let Entry { time, kind, action, id, attributes } = entry;
    let time = time.to_zoned(zone.clone());
    let offset = if time.offset().is_zero() { "Z".to_owned() } else { time.strftime("%:z").to_string() };
    let told: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let line = format!("{}{offset} {} {action} {id}", time.strftime("%Y-%m-%dT%H:%M:%S.%9f"), kind.word());
    let told = if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) };
    format!("{}\n", report::harmless(&format!("{line}{told}")))
}

/// Docker's document; of containers and images it has the old names beside the new ones.
fn document(entry: &Entry) -> Value {
    let Entry { time, kind, action, id, attributes } = entry;
    let mut document = json!({
        "Type": kind.word(),
        "Action": action,
        "Actor": {"ID": id, "Attributes": attributes},
        "scope": SCOPE,
        "time": time.as_second(),
        "timeNano": nanoseconds(*time),
    });
    if let (Kind::Container | Kind::Image, Some(fields)) = (kind, document.as_object_mut()) {
        fields.insert("status".to_owned(), action.as_str().into());
        fields.insert("id".to_owned(), id.as_str().into());
        if *kind == Kind::Container {
            fields.insert("from".to_owned(), attributes.get("image").map_or("", String::as_str).into());
        }
    }
    document
}

const FIELDS: [&str; 9] = ["Status", "ID", "From", "Type", "Action", "Actor", "Scope", "Time", "TimeNano"];

/// The same under the names that templates have for it.
fn fields(entry: &Entry) -> Value {
    let Entry { time, kind, action, id, attributes } = entry;
    let has_old_names = matches!(kind, Kind::Container | Kind::Image);
    let of_these = |value: &str| if has_old_names { value.to_owned() } else { String::new() };
    json!({
        "Status": of_these(action),
        "ID": of_these(id),
        "From": attributes.get("image").map_or("", String::as_str),
        "Type": kind.word(),
        "Action": action,
        "Actor": {"ID": id, "Attributes": attributes},
        "Scope": SCOPE,
        "Time": time.as_second(),
        "TimeNano": nanoseconds(*time),
    })
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn entry(kind: Kind, action: &str, attributes: &[(&str, &str)]) -> Entry {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let time: Timestamp = "2026-11-26T14:05:54.000000789Z".parse().unwrap();
        Entry { time, kind, action: action.to_owned(), id: "836613".to_owned(), attributes: attributes.collect() }
    }

    fn start() -> Entry {
        entry(Kind::Container, "start", &[("name", "web"), ("image", "host"), ("team", "a")])
    }

    fn form(source: &str) -> std::result::Result<Form, String> {
        Form::new(source).map_err(|error| error.to_string())
    }

    #[test]
    fn an_event_is_written_as_docker_writes_it() {
        let zone = |rules: &str| TimeZone::posix(rules).unwrap();
        let rest = "container start 836613 (image=host, name=web, team=a)\n";
        assert_eq!(text(&start(), &TimeZone::UTC), format!("2026-11-26T14:05:54.000000789Z {rest}"));
        assert_eq!(text(&start(), &zone("EST5")), format!("2026-11-26T09:05:54.000000789-05:00 {rest}"));
        let odd = entry(Kind::Volume, "create", &[("driver", "a\x1b[31m\nb")]);
        assert_eq!(
            text(&odd, &TimeZone::UTC),
            "2026-11-26T14:05:54.000000789Z volume create 836613 (driver=a\\u{1b}[31m\\nb)\n"
        );
        assert_eq!(
            form("json").unwrap().shown(&start()).unwrap(),
            "{\"Action\":\"start\",\"Actor\":{\"Attributes\":{\"image\":\"host\",\"name\":\"web\",\"team\":\"a\"},\
             \"ID\":\"836613\"},\"Type\":\"container\",\"from\":\"host\",\"id\":\"836613\",\"scope\":\"local\",\
             \"status\":\"start\",\"time\":1795701954,\"timeNano\":1795701954000000789}\n"
        );
        let by = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.TimeNano}} {{.From}}";
        assert_eq!(form(by).unwrap().shown(&start()).unwrap(), "container start web 1795701954000000789 host\n");
        assert_eq!(
            form("{{.Actin}}").err().unwrap(),
            "cannot use --format {{.Actin}}: at 1:3 <.Actin>: there is no field Actin"
        );
    }

    #[test]
    fn any_value_of_a_key_holds_but_every_label_must() {
        let holds = |filters: &[&str], entry: &Entry| {
            let mut events = Events::default();
            for value in filters {
                filter(&mut events, Given { flag: "filter", value }).unwrap();
            }
            events.are_for(entry)
        };
        let exec = entry(Kind::Container, "exec_create: sh -c true", &[]);
        let volume =
            entry(Kind::Volume, "create", &BTreeMap::from([("driver", "local")]).into_iter().collect::<Vec<_>>());
        for filters in [
            &["event=die", "event=start"][..],
            &["type=container", "container=we"],
            &["container=8366", "image=host"],
            &["label=team", "label=team=a"],
            &["scope=local"],
            &[],
        ] {
            assert!(holds(filters, &start()), "{filters:?}");
        }
        for filters in
            [&["event=die"][..], &["event=start", "type=volume"], &["label=team", "label=team=b"], &["container=eb"]]
        {
            assert!(!holds(filters, &start()), "{filters:?}");
        }
        assert!(holds(&["event=exec_create"], &exec) && holds(&["event=exec_create: sh -c true"], &exec));
        assert!(holds(&["volume=8366"], &volume) && !holds(&["container=8366"], &volume));
        let network = entry(Kind::Network, "connect", &[("name", "back"), ("container", "25ae")]);
        assert!(holds(&["network=back", "type=network"], &network) && holds(&["network=8366"], &network));
        assert!(!holds(&["network=front"], &network) && !holds(&["network=back"], &start()));
        let mut events = Events::default();
        let error = filter(&mut events, Given { flag: "filter", value: "evnt=die" }).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean event?"));
    }
}
