//! `--log-driver` and `--log-opt`: Docker's names; what an option means is known when the driver is.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use engine::log::{Buffer, FACILITIES, Format, LogWish, Mentions, Rotation, Syslog, TAG_FIELDS, Target};
use error::{Refused, Result};

use super::Draft;
use crate::flags::{Given, nearest};
use crate::value::quantity;

/// What was said of its log.
#[derive(Debug, Default)]
pub(super) struct Said {
    driver: Option<LogWish>,
    /// In their order: the last one holds.
    options: Vec<String>,
}

const DRIVERS: [&str; 5] = ["json-file", "local", "journald", "syslog", "none"];

pub(super) fn driver(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.log.driver = Some(match given.value {
        "json-file" | "" => LogWish::USUAL,
        "local" => LogWish::LOCAL,
        "journald" => LogWish::Journald(Buffer::USUAL),
        "syslog" => LogWish::Syslog(Syslog::default(), Buffer::USUAL),
        "none" => LogWish::Nothing,
        word => {
            let hint = match nearest(word, DRIVERS.into_iter()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("use one of {}", DRIVERS.join(", ")),
            };
            return Err(given.refused("is no log driver here").hint(hint).into());
        }
    });
    Ok(())
}

pub(super) fn option(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    match given.value.split_once('=') {
        Some(_) => draft.log.options.push(given.value.to_owned()),
        None => return Err(given.refused("is not NAME=VALUE").hint("for example: max-size=10m").into()),
    }
    Ok(())
}

impl Said {
    /// # Errors
    /// Refused for an option that the driver does not have, or not with this value.
    pub(super) fn wish(self) -> Result<(LogWish, Mentions)> {
        let mut wish = self.driver.unwrap_or(LogWish::USUAL);
        let mut mentions = Mentions::default();
        for option in &self.options {
            let Some((name, value)) = option.split_once('=') else { continue };
            let given = Given { flag: "log-opt", value: option };
            if !names(&wish).contains(&name) {
                return Err(unknown(given, &wish, name).into());
            }
            match name {
                "tag" => mentions.tag = Some(tag(given, value)?),
                "labels" => mentions.labels = words(value),
                "env" => mentions.env = words(value),
                _ => match &mut wish {
                    LogWish::Nothing => {}
                    LogWish::JsonFile(rotation) | LogWish::Local(rotation) => rotate(rotation, given, (name, value))?,
                    LogWish::Journald(buffer) => buffered(buffer, given, (name, value))?,
                    LogWish::Syslog(syslog, buffer) => match name {
                        "syslog-address" => syslog.target = target(given, value)?,
                        "syslog-facility" => syslog.facility = facility(given, value)?,
                        "syslog-format" => syslog.format = format(given, value)?,
                        _ => buffered(buffer, given, (name, value))?,
                    },
                },
            }
        }
        if let LogWish::JsonFile(Rotation { compress: true, max_files: 1, .. }) = wish {
            let refused =
                Refused::new("--log-opt", "compress=true", "compresses older files, of which max-file=1 leaves none");
            return Err(refused.hint("use max-file=2 or more").into());
        }
        if let LogWish::Local(rotation) = &mut wish {
            rotation.compress &= rotation.max_files > 1;
        }
        Ok((wish, mentions))
    }
}

/// The options that a driver has.
const fn names(wish: &LogWish) -> &'static [&'static str] {
    match wish {
        LogWish::Nothing => &[],
        LogWish::JsonFile(_) => &["max-size", "max-file", "compress", "labels", "env", "tag"],
        LogWish::Local(_) => &["max-size", "max-file", "compress"],
        LogWish::Journald(_) => &["labels", "env", "tag", "mode", "max-buffer-size"],
        LogWish::Syslog(..) => {
            &["syslog-address", "syslog-facility", "syslog-format", "labels", "env", "tag", "mode", "max-buffer-size"]
        }
    }
}

fn unknown(given: Given<'_>, wish: &LogWish, name: &str) -> Refused {
    let names = names(wish);
    let refused = given.refused(format!("is nothing for the log driver {}", wish.driver()));
    match nearest(name, names.iter().copied()) {
        Some(near) => refused.hint(format!("did you mean {near}?")),
        None if names.is_empty() => refused.hint("leave it out"),
        None => refused.hint(format!("it has {}", names.join(", "))),
    }
}

fn words(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn rotate(rotation: &mut Rotation, given: Given<'_>, (name, value): (&str, &str)) -> Result<()> {
    match name {
        "max-size" => rotation.max_bytes = quantity::bytes(given.part(value))?.max(1),
        "max-file" => match value.parse() {
            Ok(files) if files > 0 => rotation.max_files = files,
            _ => return Err(given.refused("is not a number of files above 0").into()),
        },
        _ => match value {
            "true" => rotation.compress = true,
            "false" => rotation.compress = false,
            _ => return Err(given.refused("is neither true nor false").into()),
        },
    }
    Ok(())
}

fn buffered(buffer: &mut Buffer, given: Given<'_>, (name, value): (&str, &str)) -> Result<()> {
    match (name, value) {
        ("mode", "non-blocking") => {}
        ("mode", "blocking") => {
            let refused = given.refused("would let a log that is slow hold the container up, which none does here");
            return Err(refused.hint("use mode=non-blocking, and max-buffer-size for how much may wait").into());
        }
        ("mode", _) => return Err(given.refused("is no mode").hint("use mode=non-blocking").into()),
        _ => {
            let bytes = quantity::bytes(given.part(value))?;
            buffer.max_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
    }
    Ok(())
}

fn tag(given: Given<'_>, value: &str) -> Result<String> {
    // Go's templates may have blanks in their braces.
    let tag = value.replace("{{ ", "{{").replace(" }}", "}}");
    let rest = TAG_FIELDS.iter().fold(tag.clone(), |tag, field| tag.replace(field, ""));
    if rest.contains("{{") {
        let hint = format!("it can have {}", TAG_FIELDS.join(", "));
        return Err(given.refused("has something in it that a tag cannot have").hint(hint).into());
    }
    Ok(tag)
}

fn facility(given: Given<'_>, value: &str) -> Result<u8> {
    let by_name = FACILITIES.iter().position(|name| !name.is_empty() && *name == value);
    let number = by_name.or_else(|| value.parse().ok().filter(|number| *number < FACILITIES.len()));
    let number = number.and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| given.refused("is no facility").hint("for example: daemon, user, local0").into())
}

fn format(given: Given<'_>, value: &str) -> Result<Format> {
    Ok(match value {
        "" => Format::Unix,
        "rfc3164" => Format::Rfc3164,
        "rfc5424" => Format::Rfc5424,
        "rfc5424micro" => Format::Rfc5424Micro,
        _ => return Err(given.refused("is no format").hint("use rfc3164, rfc5424 or rfc5424micro").into()),
    })
}

/// `unixgram:///dev/log`, `unix:///PATH`, `udp://ADDRESS[:PORT]`, `tcp://ADDRESS[:PORT]`.
fn target(given: Given<'_>, value: &str) -> Result<Target> {
    const PORT: u16 = 514;
    let port = |text: &str| {
        let with = text.parse::<SocketAddr>().ok();
        let without =
            || text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, PORT));
        with.or_else(without)
    };
    let path = |text: &str| Some(PathBuf::from(text)).filter(|path| path.is_absolute());
    let target = value.split_once("://").and_then(|(kind, rest)| match kind {
        // Such sockets mostly take datagrams, which Docker finds out by trying.
        "unixgram" => path(rest).map(Target::Datagrams),
        "unix" if rest == "/dev/log" => path(rest).map(Target::Datagrams),
        "unix" => path(rest).map(Target::Stream),
        "udp" => port(rest).map(Target::Udp),
        "tcp" => port(rest).map(Target::Tcp),
        _ => None,
    });
    let hint = "use unixgram:///dev/log, unix:///PATH, or udp:// or tcp:// with an address in numbers and a port";
    target.ok_or_else(|| given.refused("is no address of a syslog daemon here").hint(hint).into())
}
