//! The servers on the way to a registry, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name them.

use std::net::IpAddr;

use error::{Refused, Result};
use ureq::Proxy;
use ureq::http::Uri;

use super::access::without_port;

/// The values of the variables; empty where they are not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The proxy for plain HTTP: `http://[USER:PASSWORD@]HOST:PORT`, or `socks5://…`.
    pub http: String,
    /// The proxy for HTTPS.
    pub https: String,
    /// Hosts that are reached without one, with commas: `example.com` and all below it, `.example.com` only what is below,
    /// an address, a network in CIDR, `*`; each may have a port.
    pub none: String,
}

impl Proxies {
    /// The proxies of both schemes, plain HTTP's first.
    pub(super) fn parse(&self) -> Result<(Option<Proxy>, Option<Proxy>)> {
        Ok((proxy("HTTP_PROXY", &self.http)?, proxy("HTTPS_PROXY", &self.https)?))
    }

    /// Whether a URL's host is reached without a proxy. Loopback always is, as in Go's programs.
    pub(super) fn leaves_out(&self, url: &Uri) -> bool {
        let host = url.host().unwrap_or_default().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address: Option<IpAddr> = bare.parse().ok();
        let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
        let is_loopback = bare == "localhost" || address.is_some_and(|address| address.is_loopback());
        is_loopback || self.none.split([',', ' ']).any(|entry| names(entry.trim(), bare, address, port))
    }
}

fn proxy(variable: &str, value: &str) -> Result<Option<Proxy>> {
    if value.is_empty() {
        return Ok(None);
    }
    let written = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    // A proxy's password is not shown.
    let shown = written.rsplit_once('@').map_or(written.as_str(), |(_, host)| host);
    let refused = |_| Refused::new(variable, shown, "is no proxy").hint("for example: http://proxy.example:3128");
    Ok(Some(Proxy::new(&written).map_err(refused)?))
}

/// Whether an entry of `NO_PROXY` is about this host.
fn names(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    let entry = entry.to_ascii_lowercase();
    if entry.is_empty() {
        return false;
    }
    if entry == "*" {
        return true;
    }
    if let (Some((network, bits)), Some(address)) = (entry.split_once('/'), address) {
        return is_within(network, bits, address);
    }
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').to_owned();
    if let (Ok(written), Some(address)) = (bare(&entry).parse::<IpAddr>(), address) {
        return written == address;
    }
    let name = without_port(&entry);
    if name.len() < entry.len() && entry.get(name.len() + 1..).and_then(|port| port.parse().ok()) != Some(port) {
        return false;
    }
    let name = bare(name);
    let name = name.strip_prefix('*').unwrap_or(&name);
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => host == name || host.strip_suffix(name).is_some_and(|before| before.ends_with('.')),
    }
}

fn is_within(network: &str, bits: &str, address: IpAddr) -> bool {
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<usize>()) else { return false };
    let (network, address) = (bytes(network), bytes(address));
    let bit = |bytes: &[u8], at: usize| bytes.get(at / 8).map(|byte| byte >> (7 - at % 8) & 1);
    network.len() == address.len()
        && bits <= 8 * network.len()
        && (0..bits).all(|at| bit(&network, at) == bit(&address, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_left_out_as_in_other_programs() {
        let left_out = |none: &str, url: &str| {
            Proxies { none: none.into(), ..Proxies::default() }.leaves_out(&url.parse().unwrap())
        };
        for (none, url) in [
            ("*", "https://a.example/"),
            ("a.example", "https://a.example/"),
            ("example", "https://a.example/"),
            (".example", "https://a.example/"),
            ("*.example", "https://a.example/"),
            ("b, A.Example:443", "https://a.example/"),
            ("10.0.0.0/8", "https://10.9.8.7:5000/"),
            ("10.9.8.7", "https://10.9.8.7:5000/"),
            ("[fd00::1]:5000", "http://[fd00::1]:5000/"),
            ("fd00::/8", "http://[fd00::1]:5000/"),
            ("", "http://localhost:5000/"),
            ("", "http://127.0.0.1:5000/"),
        ] {
            assert!(left_out(none, url), "{none} {url}");
        }
        for (none, url) in [
            ("", "https://a.example/"),
            ("a.example", "https://ba.example/"),
            (".a.example", "https://a.example/"),
            ("a.example:80", "https://a.example/"),
            ("10.0.0.0/8", "https://11.0.0.1/"),
            ("10.0.0.0/80", "https://10.0.0.1/"),
        ] {
            assert!(!left_out(none, url), "{none} {url}");
        }
    }

    #[test]
    fn a_proxy_that_is_none_is_refused_without_its_password() {
        let proxies = Proxies { https: "gopher://anna:hush@x:1".into(), ..Proxies::default() };
        let error = proxies.parse().unwrap_err().to_string();
        assert_eq!(error, "cannot use HTTPS_PROXY x:1: is no proxy");
    }
}
