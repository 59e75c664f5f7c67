//! `images --filter`: Docker's keys.

use error::Result;
use jiff::Timestamp;
use regex_lite::Regex;

use super::list::Seen;
use crate::flags::{Given, nearest};
use crate::value::label::Labelled;
use crate::value::moment;

/// A line for `--help`.
pub(super) const DOC: &str = "show those for which it holds: reference, dangling, label, before, since or until";

const KEYS: [&str; 6] = ["reference", "dangling", "label", "before", "since", "until"];

/// What an image must be to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Called like this; names that are not are not shown.
    Reference(String),
    /// Without a name, or with one.
    Dangling(bool),
    /// With a label, or without it.
    Label(Labelled),
    /// Made before another one.
    Before(String),
    /// Made after another one.
    Since(String),
    /// Made before a moment.
    Until(Timestamp),
}

/// Reads a filter `KEY=VALUE`.
///
/// # Errors
/// Refused for a key that there is not, and for a value that it cannot have.
pub(super) fn filter(given: Given<'_>) -> Result<Filter> {
    let (key, value) = given.value.split_once('=').unwrap_or((given.value, ""));
    match (key.trim(), value.trim()) {
        ("reference", pattern) => Filter::reference(given.part(pattern)),
        ("dangling", "true" | "1") => Ok(Filter::Dangling(true)),
        ("dangling", "false" | "0") => Ok(Filter::Dangling(false)),
        ("dangling", _) => Err(given.refused("is neither true nor false").into()),
        ("before", word) => Ok(Filter::Before(word.to_owned())),
        ("since", word) => Ok(Filter::Since(word.to_owned())),
        ("until", text) => match moment::read(text) {
            Some(until) => Ok(Filter::Until(until)),
            None => Err(given.refused("holds no moment").hint(moment::HINT).into()),
        },
        (key, value) => Labelled::of_filter(key, value).map(Filter::Label).ok_or_else(|| {
            let hint = match nearest(key, KEYS.into_iter()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the keys are {}", KEYS.join(", ")),
            };
            given.refused("is no filter of images").hint(hint).into()
        }),
    }
}

impl Filter {
    /// Names like this: `debian`, `debian:1*`, `registry.example/*/web`.
    ///
    /// # Errors
    /// Refused for a pattern that is none.
    fn reference(given: Given<'_>) -> Result<Self> {
        match Regex::new(&expression(given.value)) {
            Ok(_) => Ok(Self::Reference(given.value.to_owned())),
            Err(_) => {
                let hint = "use *, ? and [a-z]; * does not go over a slash";
                Err(given.refused("is no pattern").hint(hint).into())
            }
        }
    }

    /// Leaves those that are meant; `moment` gives when an image that is named was made.
    ///
    /// # Errors
    /// Refused where there is no such image.
    pub(super) fn keep(&self, shown: &mut Vec<Seen>, moment: impl Fn(&str) -> Result<Option<Timestamp>>) -> Result<()> {
        match self {
            Self::Reference(pattern) => {
                let Ok(expression) = Regex::new(&expression(pattern)) else { return Ok(()) };
                let is_like = |name: &image::Reference| {
                    expression.is_match(&name.familiar()) || expression.is_match(&name.familiar_name())
                };
                for seen in &mut *shown {
                    seen.named.names.retain(is_like);
                    seen.named
                        .image
                        .digests
                        .retain(|text| image::Reference::parse(text).is_ok_and(|name| is_like(&name)));
                }
                shown.retain(|seen| !seen.named.names.is_empty() || !seen.named.image.digests.is_empty());
            }
            Self::Dangling(true) => shown.retain(|seen| seen.named.names.is_empty()),
            Self::Dangling(false) => {
                shown.retain(|seen| !seen.named.names.is_empty() || !seen.named.image.digests.is_empty());
            }
            Self::Label(labelled) => shown.retain(|seen| labelled.holds_for(&seen.config.config.labels)),
            Self::Before(word) => {
                let other = moment(word)?;
                shown.retain(|seen| seen.created < other);
            }
            Self::Since(word) => {
                let other = moment(word)?;
                shown.retain(|seen| seen.created > other);
            }
            Self::Until(until) => shown.retain(|seen| seen.created.is_some_and(|created| created < *until)),
        }
        Ok(())
    }
}

/// A pattern of Go's path.Match as a regular expression.
fn expression(pattern: &str) -> String {
    let mut expression = "^".to_owned();
    let mut letters = pattern.chars();
    let mut in_set = false;
    while let Some(letter) = letters.next() {
        match letter {
            '*' if !in_set => expression.push_str("[^/]*"),
            '?' if !in_set => expression.push_str("[^/]"),
            '[' if !in_set => (in_set, _) = (true, expression.push('[')),
            ']' if in_set => (in_set, _) = (false, expression.push(']')),
            '-' | '^' if in_set => expression.push(letter),
            letter => {
                let letter = if letter == '\\' { letters.next().unwrap_or(letter) } else { letter };
                expression.push_str(&regex_lite::escape(letter.encode_utf8(&mut [0; 4])));
            }
        }
    }
    expression.push('$');
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Result<Filter> {
        filter(Given { flag: "filter", value })
    }

    #[test]
    fn a_pattern_is_gos() {
        let holds = |pattern: &str, name: &str| Regex::new(&expression(pattern)).unwrap().is_match(name);
        assert!(holds("debian", "debian") && !holds("debian", "debian:12") && !holds("debian", "mydebian"));
        assert!(holds("debian:1?", "debian:12") && holds("deb*", "debian") && !holds("*", "x.y/a"));
        assert!(holds("*/a", "x.y/a") && holds("[a-c]:[^1]", "b:2") && !holds("[a-c]:[^1]", "b:1"));
        assert!(holds("a.b", "a.b") && !holds("a.b", "axb") && holds(r"\*", "*"));
        assert!(Filter::reference(Given { flag: "filter", value: "[a" }).is_err());
    }

    #[test]
    fn keys_are_dockers() {
        for good in
            ["dangling=true", "dangling=0", "label=a", "label!=a=b", "before=x", "since=x", "until=1h", "reference=a*"]
        {
            assert!(of(good).is_ok(), "{good}");
        }
        assert_eq!(of("dangling=false").unwrap(), Filter::Dangling(false));
        for (bad, says) in [
            ("dangling=maybe", "neither true nor false"),
            ("until=x", "holds no moment"),
            ("danglin=1", "did you mean dangling?"),
            ("x=1", "the keys are"),
        ] {
            let error = of(bad).unwrap_err();
            let line = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(line.contains(says), "{line}");
        }
    }
}
