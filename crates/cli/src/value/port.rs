//! Ports: `--publish` in Docker's short and long form, `--expose`.

use std::net::IpAddr;

use engine::options::PortWish;
use error::{Refused, Result};
use network::port::Protocol;

use crate::flags::Given;

const PUBLISH: &str = "use [ADDRESS:][HOST:]CONTAINER, such as 8080:80, 127.0.0.1:53:53/udp or 9000-9010:9000-9010";

/// `[[ADDRESS:][HOST[-HOST]]:]CONTAINER[-CONTAINER][/PROTOCOL]`, or `target=…,published=…,protocol=…`. Ranges of the same
/// length are pairs; a range of the host for one port of the container leaves the choice.
pub(crate) fn published(given: Given<'_>) -> Result<Vec<PortWish>> {
    let short = if given.value.contains('=') { short(given)? } else { given.value.to_owned() };
    let refused = |reason: String| given.refused(reason).hint(PUBLISH);
    let mut parts = short.rsplitn(3, ':');
    let (ports, host, address) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let (ports, protocol) = protocol(given, ports, PUBLISH)?;
    let address = match address {
        None | Some("") => None,
        Some(word) => Some(self::address(word).ok_or_else(|| refused(format!("{word:?} is no address of the host")))?),
    };
    if ports.is_empty() {
        return Err(refused("has no port of the container".to_owned()).into());
    }
    let container = range(ports).filter(|(first, _)| *first > 0);
    let container = container.ok_or_else(|| refused(format!("{ports:?} is no port of a container")))?;
    let host = match host {
        None | Some("" | "0") => None,
        Some(word) => Some(range(word).ok_or_else(|| refused(format!("{word:?} is no port of the host")))?),
    };
    let (first, last) = container;
    let wish = |container, host| PortWish { address, host, container, protocol };
    match host {
        None => Ok((first..=last).map(|port| wish(port, None)).collect()),
        Some((from, to)) if to - from == last - first => {
            Ok((first..=last).zip(from..=to).map(|(port, host)| wish(port, Some((host, host)))).collect())
        }
        Some(_) if first == last => Ok(vec![wish(first, host)]),
        Some((from, to)) => {
            let (of_host, of_container) = (u32::from(to - from) + 1, u32::from(last - first) + 1);
            let reason = format!("has {of_container} ports of the container and {of_host} of the host");
            Err(refused(reason).into())
        }
    }
}

/// The long form in the words of the short one.
fn short(given: Given<'_>) -> Result<String> {
    let (mut target, mut published, mut protocol) = ("", "", "tcp");
    for field in given.value.split(',') {
        match field.split_once('=') {
            Some(("target", value)) => target = value,
            Some(("published", value)) => published = value,
            Some(("protocol", value)) => protocol = value,
            Some(("mode", "host" | "ingress")) => {}
            _ => {
                let refused = given.refused(format!("{field:?} is no field of a published port"));
                return Err(refused.hint("use target=80,published=8080,protocol=tcp").into());
            }
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

/// `PORT[-PORT][/PROTOCOL]`, as it is written in an image: `80/tcp`.
pub(crate) fn exposed(given: Given<'_>) -> Result<Vec<String>> {
    const HINT: &str = "use PORT or PORT-PORT, with /udp or /sctp behind it if it is not of TCP";
    let (ports, protocol) = protocol(given, given.value, HINT)?;
    let Some((first, last)) = range(ports).filter(|(first, _)| *first > 0) else {
        return Err(given.refused("is no port of a container").hint(HINT).into());
    };
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// What stands before the protocol, and the protocol; TCP if there is none.
fn protocol<'w>(given: Given<'_>, word: &'w str, hint: &str) -> Result<(&'w str, Protocol)> {
    match word.split_once('/') {
        None | Some((_, "")) => Ok((word.trim_end_matches('/'), Protocol::Tcp)),
        Some((ports, protocol)) => {
            let unknown =
                |()| -> Refused { given.refused(format!("{protocol:?} is no protocol with ports")).hint(hint) };
            Ok((ports, protocol.parse().map_err(unknown)?))
        }
    }
}

/// `PORT` or `PORT-PORT`, the smaller one first.
pub(crate) fn range(word: &str) -> Option<(u16, u16)> {
    let number = |word: &str| word.parse().ok().filter(|_: &u16| word.bytes().all(|byte| byte.is_ascii_digit()));
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
}

/// An address; one of IPv6 may stand in brackets.
pub(crate) fn address(word: &str) -> Option<IpAddr> {
    let inner = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> String {
        match published(Given { flag: "publish", value }) {
            Err(error) => error.to_string(),
            Ok(wishes) => {
                let shown = wishes.iter().map(|PortWish { address, host, container, protocol }| {
                    let address = address.map_or_else(|| "*".to_owned(), |address| address.to_string());
                    let host = host.map_or_else(|| "any".to_owned(), |(first, last)| format!("{first}-{last}"));
                    format!("{address} {host} {container}/{protocol}")
                });
                shown.collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn a_port_is_published_in_docker_s_words() {
        for (value, expected) in [
            ("80", "* any 80/tcp"),
            ("80/", "* any 80/tcp"),
            ("8080:80", "* 8080-8080 80/tcp"),
            (":80", "* any 80/tcp"),
            ("0:80", "* any 80/tcp"),
            ("53:53/UDP", "* 53-53 53/udp"),
            ("38412:38412/sctp", "* 38412-38412 38412/sctp"),
            ("127.0.0.1:8080:80", "127.0.0.1 8080-8080 80/tcp"),
            ("127.0.0.1::80", "127.0.0.1 any 80/tcp"),
            ("0.0.0.0:80:80", "0.0.0.0 80-80 80/tcp"),
            ("[::1]:80:81", "::1 80-80 81/tcp"),
            ("::1:80:81", "::1 80-80 81/tcp"),
            ("80-82", "* any 80/tcp, * any 81/tcp, * any 82/tcp"),
            ("8080-8081:80-81", "* 8080-8080 80/tcp, * 8081-8081 81/tcp"),
            ("8080-8090:80", "* 8080-8090 80/tcp"),
            ("65535:65535", "* 65535-65535 65535/tcp"),
            ("target=80,published=8080,protocol=udp,mode=host", "* 8080-8080 80/udp"),
            ("target=80", "* any 80/tcp"),
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_port_says_which_part_is_wrong() {
        for (value, reason) in [
            ("", "has no port of the container"),
            ("8080:", "has no port of the container"),
            ("65536", "\"65536\" is no port of a container"),
            ("0", "\"0\" is no port of a container"),
            ("-1", "\"-1\" is no port of a container"),
            ("+80", "\"+80\" is no port of a container"),
            ("81-80", "\"81-80\" is no port of a container"),
            ("70000:80", "\"70000\" is no port of the host"),
            ("web:80", "\"web\" is no port of the host"),
            ("80:80/icmp", "\"icmp\" is no protocol with ports"),
            ("localhost:80:80", "\"localhost\" is no address of the host"),
            ("300.0.0.1:80:80", "\"300.0.0.1\" is no address of the host"),
            ("[127.0.0.1]:80:80", "\"[127.0.0.1]\" is no address of the host"),
            ("80-90:80-81", "has 2 ports of the container and 11 of the host"),
            ("target=80,host=1", "\"host=1\" is no field of a published port"),
            ("published=80", "has no port of the container"),
        ] {
            let said = read(value);
            assert!(said.ends_with(&format!(": {reason}")), "{value}: {said}");
        }
    }

    #[test]
    fn a_port_is_exposed_as_images_write_it() {
        let read = |value| exposed(Given { flag: "expose", value }).map(|ports| ports.join(" "));
        assert_eq!(read("80").unwrap(), "80/tcp");
        assert_eq!(read("53-54/udp").unwrap(), "53/udp 54/udp");
        for value in ["", "0", "80:80", "65536", "9-8", "80/http"] {
            assert!(read(value).is_err(), "{value}");
        }
    }
}
