//! Whom a container asks for names, and those that it knows by itself: `--dns`, `--dns-search`, `--dns-option`, `--add-host`.

use std::net::IpAddr;

use engine::options::{HostAddress, HostEntry};
use error::Result;

use super::{name, port};
use crate::flags::Given;

/// A name server's address.
pub(crate) fn server(given: Given<'_>) -> Result<IpAddr> {
    given
        .value
        .parse()
        .map_err(|_| given.refused("is no address").hint("use one such as 9.9.9.9 or 2620:fe::fe").into())
}

/// A domain; `.` for none.
pub(crate) fn search(given: Given<'_>) -> Result<String> {
    match given.value {
        "." => Ok(".".to_owned()),
        _ => name::host(given).map_err(|error| error.with_hint("use a domain such as example.org, or . for none")),
    }
}

/// An option of resolv.conf(5).
pub(crate) fn option(given: Given<'_>) -> Result<String> {
    let is_word = |byte: u8| byte.is_ascii_graphic() && byte != b'#' && byte != b';';
    if given.value.is_empty() || !given.value.bytes().all(is_word) {
        return Err(given.refused("is no option of resolv.conf(5)").hint("for example: ndots:2").into());
    }
    Ok(given.value.to_owned())
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; an address of IPv6 may stand in brackets.
pub(crate) fn entry(given: Given<'_>) -> Result<HostEntry> {
    let hint = "use NAME:ADDRESS, or NAME:host-gateway for the host";
    let Some((name, word)) = given.value.split_once('=').or_else(|| given.value.split_once(':')) else {
        return Err(given.refused("is no name and address").hint(hint).into());
    };
    let Ok(name) = name::host(given.part(name)) else {
        return Err(given.refused(format!("{name:?} is no host name")).hint(hint).into());
    };
    let address = match word {
        "host-gateway" => Some(HostAddress::Gateway),
        _ => port::address(word).map(HostAddress::Address),
    };
    let address = address.ok_or_else(|| given.refused(format!("{word:?} is no address")).hint(hint))?;
    Ok(HostEntry { name, address })
}
