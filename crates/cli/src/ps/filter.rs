//! `ps --filter`: Docker's keys. Of one key any value may hold, but every label must; what is asked of different keys must all
//! hold.

use engine::containers::{Container, Engine, Status};
use error::{Refused, Result};
use jiff::Timestamp;
use regex_lite::Regex;

use super::{Seen, mounts};
use crate::connected;
use crate::flags::{Given, nearest};
use crate::port;

/// A line for `--help`.
pub(super) const DOC: &str = "show those for which it holds: id, name, label, status, exited, ancestor, before, since, \
                              volume, network, publish, expose or health";

/// What a container is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Id,
    Name,
    Label,
    Status,
    Exited,
    Ancestor,
    Before,
    Since,
    Volume,
    Network,
    Health,
    /// A port of the host that leads to it.
    Publish,
    /// A port that it listens at.
    Expose,
}

const KEYS: [(&str, Key); 13] = [
    ("id", Key::Id),
    ("name", Key::Name),
    ("label", Key::Label),
    ("status", Key::Status),
    ("exited", Key::Exited),
    ("ancestor", Key::Ancestor),
    ("before", Key::Before),
    ("since", Key::Since),
    ("volume", Key::Volume),
    ("network", Key::Network),
    ("health", Key::Health),
    ("publish", Key::Publish),
    ("expose", Key::Expose),
];

const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// `KEY=VALUE` as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    key: String,
    value: String,
}

/// Reads a filter.
///
/// # Errors
/// Refused for what is not `KEY=VALUE`.
pub(crate) fn wish(given: Given<'_>) -> Result<Wish> {
    match given.value.split_once('=') {
        Some((key, value)) => Ok(Wish { key: key.trim().to_lowercase(), value: value.trim().to_owned() }),
        None => Err(given.refused("is not KEY=VALUE").hint("for example: --filter status=exited").into()),
    }
}

impl Wish {
    /// The key, with a value that it can have.
    fn known(&self) -> Result<Key> {
        let Self { key: name, value } = self;
        let refused = |reason: &str| Refused::new("--filter", format!("{name}={value}"), reason);
        let Some((_, key)) = KEYS.into_iter().find(|(known, _)| known == name) else {
            let hint = match nearest(name, KEYS.iter().map(|(known, _)| *known)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the keys are {}", KEYS.map(|(known, _)| known).join(", ")),
            };
            return Err(refused("has no key by which containers are found").hint(hint).into());
        };
        let words: &[&str] = match key {
            Key::Status => &STATES,
            Key::Health => &HEALTH,
            _ => &[],
        };
        if !words.is_empty() && !words.contains(&value.as_str()) {
            return Err(refused(&format!("is no {name}")).hint(format!("use {}", words.join(", "))).into());
        }
        if key == Key::Exited && value.parse::<i32>().is_err() {
            return Err(refused("is no exit code").hint("use a number, such as exited=0").into());
        }
        Ok(key)
    }
}

/// What was asked for, ready to be asked of containers.
#[derive(Debug)]
pub(crate) struct Filters<'w> {
    wishes: Vec<(Key, &'w str)>,
    patterns: Vec<(Key, Regex)>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    /// The names of networks that were asked for, maybe by their ids.
    networks: Vec<String>,
}

impl<'w> Filters<'w> {
    /// # Errors
    /// Refused for an unknown key, a value that the key cannot have, and where there is no such container.
    pub(crate) fn new(engine: &Engine, wishes: &'w [Wish]) -> Result<Self> {
        let mut filters =
            Self { wishes: Vec::new(), patterns: Vec::new(), before: None, since: None, networks: Vec::new() };
        for wish in wishes {
            let (key, value) = (wish.known()?, wish.value.as_str());
            filters.wishes.push((key, value));
            match key {
                Key::Id | Key::Name => filters.patterns.push((key, pattern(value)?)),
                // Of several the one that leaves fewest.
                Key::Before => {
                    let created = engine.find(value)?.record.created;
                    filters.before = Some(filters.before.map_or(created, |before| before.min(created)));
                }
                Key::Since => {
                    let created = engine.find(value)?.record.created;
                    filters.since = Some(filters.since.map_or(created, |since| since.max(created)));
                }
                Key::Network => {
                    let named = engine.find_network(value).map(|network| network.name);
                    filters.networks.push(named.unwrap_or_else(|_| value.to_owned()));
                }
                _ => {}
            }
        }
        Ok(filters)
    }

    /// Whether it is asked how a container is: then those too that do not run.
    pub(crate) fn name_states(&self) -> bool {
        self.wishes.iter().any(|(key, _)| *key == Key::Status)
    }

    /// Whether all of it holds for a container.
    pub(crate) fn hold_for(&self, seen: &Seen) -> bool {
        let created = seen.container.record.created;
        self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && self.labels_hold(&seen.container)
            && KEYS.iter().all(|(_, key)| self.any_holds(*key, seen))
    }

    fn labels_hold(&self, container: &Container) -> bool {
        let labels = &container.record.options.labels;
        let mut asked = self.wishes.iter().filter(|(key, _)| *key == Key::Label);
        asked.all(|(_, label)| match label.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|known| known == value),
            None => labels.contains_key(*label),
        })
    }

    /// Whether any value of a key holds, if there is one.
    fn any_holds(&self, key: Key, seen: &Seen) -> bool {
        let record = &seen.container.record;
        let values = self.wishes.iter().filter(|(known, _)| *known == key);
        let mut values = values.map(|(_, value)| *value).peekable();
        if values.peek().is_none() {
            return true;
        }
        let fits = |text: &str| self.patterns.iter().any(|(known, pattern)| *known == key && pattern.is_match(text));
        match key {
            Key::Id => fits(&record.id),
            Key::Name => fits(&record.name) || fits(&format!("/{}", record.name)),
            Key::Status => values.any(|value| value == seen.state()),
            Key::Exited => values.any(|value| exit_code(&seen.container).is_some_and(|code| value.parse() == Ok(code))),
            Key::Ancestor => values.any(|value| value == record.image),
            Key::Volume => {
                values.any(|value| mounts(record).any(|mount| mount.source == value || mount.destination == value))
            }
            Key::Network => {
                connected::networks(record, &seen.endpoints).iter().any(|name| self.networks.contains(name))
            }
            Key::Health => {
                let health =
                    seen.container.health.as_ref().map_or_else(|| "none".to_owned(), |of| of.status.to_string());
                values.any(|value| value == health)
            }
            Key::Publish => {
                let published = port::published(&seen.endpoints);
                values.any(|value| port::is_meant(value, port::public(&published)))
            }
            Key::Expose => {
                let published = port::published(&seen.endpoints);
                values.any(|value| port::is_meant(value, port::private(&record.options.exposed_ports, &published)))
            }
            Key::Label | Key::Before | Key::Since => true,
        }
    }
}

fn exit_code(container: &Container) -> Option<i32> {
    match &container.status {
        Status::Exited(exit) => exit.code,
        _ => None,
    }
}

/// A pattern that may be found anywhere, as Docker finds names.
fn pattern(value: &str) -> Result<Regex> {
    Regex::new(value).map_err(|error| {
        let refused = Refused::new("--filter", value, format!("is no pattern: {error}"));
        refused.hint("it is a regular expression, such as name=^web$").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_is_said() {
        let said = |value: &str| {
            let wish = wish(Given { flag: "filter", value }).unwrap();
            wish.known().map_or_else(|error| format!("{error} ({})", error.hint().unwrap()), |key| format!("{key:?}"))
        };
        for (value, expected) in [
            ("Status = paused", "Status"),
            ("label=a=b", "Label"),
            (
                "status=up",
                "cannot use --filter status=up: is no status (use created, running, paused, restarting, removing, \
              exited, dead)",
            ),
            ("health=good", "cannot use --filter health=good: is no health (use none, starting, healthy, unhealthy)"),
            ("nmae=web", "cannot use --filter nmae=web: has no key by which containers are found (did you mean name?)"),
            ("exited=zero", "cannot use --filter exited=zero: is no exit code (use a number, such as exited=0)"),
        ] {
            assert_eq!(said(value), expected);
        }
    }
}
