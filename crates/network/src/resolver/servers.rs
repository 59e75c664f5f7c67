//! Whom the host asks for names: resolv.conf(5).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// The link that it is behind, where the address alone does not say so: `fe80::1%eth0`.
    pub scope: Option<String>,
}

/// The name servers of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// In the order in which they are asked. Without any it is the host itself.
    pub servers: Vec<Server>,
    /// How long each is waited for.
    pub timeout: Duration,
    /// How often all of them are asked.
    pub attempts: u32,
}

/// How many are asked, as the C library has it: `MAXNS`, `RES_TIMEOUT`, `RES_DFLRETRY`, `RES_MAXRETRANS`, `RES_MAXRETRY`.
const MOST: usize = 3;
const TIMEOUT: u64 = 5;
const ATTEMPTS: u32 = 2;
const LONGEST_TIMEOUT: u64 = 30;
const MOST_ATTEMPTS: u32 = 5;

/// A resolv.conf is some lines. What is more is not read.
const LARGEST: usize = 64 << 10;

/// <https://www.iana.org/assignments/service-names-port-numbers> `domain`.
pub(super) const PORT: u16 = 53;

impl Servers {
    /// Of the text of a resolv.conf. A line that says nothing to a resolver is passed over, as all of them do.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (mut servers, mut timeout, mut attempts) = (Vec::new(), TIMEOUT, ATTEMPTS);
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if servers.len() < MOST => servers.extend(words.next().and_then(Server::parse)),
                Some("options") => {
                    for word in words {
                        timeout = number(word, "timeout:").unwrap_or(timeout).clamp(1, LONGEST_TIMEOUT);
                        let wanted = number(word, "attempts:").and_then(|wanted| wanted.try_into().ok());
                        attempts = wanted.unwrap_or(attempts).clamp(1, MOST_ATTEMPTS);
                    }
                }
                _ => {}
            }
        }
        if servers.is_empty() {
            servers.push(Server { address: Ipv4Addr::LOCALHOST.into(), scope: None });
        }
        Self { servers, timeout: Duration::from_secs(timeout), attempts }
    }
}

impl Server {
    fn parse(word: &str) -> Option<Self> {
        let (address, scope) = word.split_once('%').map_or((word, None), |(address, scope)| (address, Some(scope)));
        let scope = scope.map(str::to_owned);
        address.parse().ok().map(|address| Self { address, scope })
    }

    /// Where it listens; `None` for one behind a link that the caller's network namespace does not have.
    pub(super) fn socket_address(&self) -> Option<SocketAddr> {
        let numbered = |scope: &str| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            rustix::net::netdevice::name_to_index(socket, scope).ok()
        };
        match (self.address, &self.scope) {
            (IpAddr::V6(address), Some(scope)) => {
                let number = scope.parse().ok().or_else(|| numbered(scope))?;
                Some(SocketAddrV6::new(address, PORT, 0, number).into())
            }
            (address, _) => Some(SocketAddr::new(address, PORT)),
        }
    }
}

/// A number as the C library reads it: what cannot be read is none.
fn number(word: &str, key: &str) -> Option<u64> {
    word.strip_prefix(key)?.parse().ok()
}

/// A resolv.conf, as it is at the moment.
#[derive(Debug)]
pub(super) struct Conf {
    path: PathBuf,
    /// By which a file is known that has not changed; `None` where there is none.
    seen: Option<[i64; 5]>,
    servers: Servers,
}

impl Conf {
    pub(super) fn new(path: &Path) -> Self {
        let mut conf = Self { path: path.to_owned(), seen: None, servers: Servers::parse("") };
        conf.read();
        conf
    }

    /// The servers; they are read again where the file has been changed or is another one.
    pub(super) fn servers(&mut self) -> &Servers {
        if self.look() != self.seen {
            self.read();
        }
        &self.servers
    }

    fn look(&self) -> Option<[i64; 5]> {
        let file = fs::metadata(&self.path).ok()?;
        let [dev, ino] = [file.dev(), file.ino()].map(u64::cast_signed);
        Some([dev, ino, file.mtime(), file.mtime_nsec(), file.size().cast_signed()])
    }

    fn read(&mut self) {
        // Looked at first: what is written in between is read the next time.
        self.seen = self.look();
        let bytes = fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes.get(..LARGEST).unwrap_or(&bytes));
        self.servers = Servers::parse(&text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(text: &str) -> Vec<String> {
        Servers::parse(text).servers.iter().map(|server| server.address.to_string()).collect()
    }

    #[test]
    fn the_first_three_servers_are_asked_and_without_any_the_host_itself() {
        assert_eq!(addresses("nameserver 192.0.2.1\nnameserver\t2001:db8::1 \n"), ["192.0.2.1", "2001:db8::1"]);
        let many: String = (1..9).map(|number| format!("nameserver 192.0.2.{number}\n")).collect();
        assert_eq!(addresses(&many), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        for text in
            ["", "# nameserver 192.0.2.1\n", ";nameserver 192.0.2.1", "nameserver\n", "nameserver here\n", "search a.b"]
        {
            assert_eq!(addresses(text), ["127.0.0.1"], "{text}");
        }
    }

    #[test]
    fn a_server_can_be_behind_a_link() {
        let servers = Servers::parse("nameserver fe80::1%eth0\nnameserver fe80::2%7").servers;
        assert_eq!(servers.iter().map(|server| server.scope.as_deref()).collect::<Vec<_>>(), [Some("eth0"), Some("7")]);
        let [nowhere, numbered] = servers.try_into().unwrap();
        assert_eq!(numbered.socket_address(), Some("[fe80::2%7]:53".parse().unwrap()));
        let nowhere = Server { scope: Some("nosuchlink".to_owned()), ..nowhere };
        assert_eq!(nowhere.socket_address(), None);
    }

    #[test]
    fn options_say_how_long_and_how_often_within_bounds() {
        let told = |text: &str| {
            let servers = Servers::parse(text);
            (servers.timeout.as_secs(), servers.attempts)
        };
        assert_eq!(told(""), (5, 2));
        assert_eq!(told("options edns0 timeout:1 attempts:3\n"), (1, 3));
        assert_eq!(told("options timeout:0 attempts:0\n"), (1, 1));
        assert_eq!(told("options timeout:99999999999 attempts:77\noptions rotate"), (30, 5));
        assert_eq!(told("options timeout: attempts:x timeout"), (5, 2));
    }

    #[test]
    fn what_is_written_is_read_at_once() {
        let path = std::env::temp_dir().join(format!("carboy-resolv-{}", std::process::id()));
        let mut conf = Conf::new(&path);
        let first = |conf: &mut Conf| conf.servers().servers[0].address.to_string();
        assert_eq!(first(&mut conf), "127.0.0.1");
        fs::write(&path, "nameserver 192.0.2.1").unwrap();
        assert_eq!(first(&mut conf), "192.0.2.1");
        let other = path.with_extension("new");
        fs::write(&other, "nameserver 192.0.2.2").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(first(&mut conf), "192.0.2.2");
        fs::remove_file(&path).unwrap();
        assert_eq!(first(&mut conf), "127.0.0.1");
    }

    proptest! {
        #[test]
        fn any_text_has_servers_and_bounds(text in "(nameserver |options |timeout:|attempts:|[0-9.:%a-f]{0,9}|\n| ){0,40}") {
            let servers = Servers::parse(&text);
            prop_assert!((1..=3).contains(&servers.servers.len()));
            prop_assert!((1..=30).contains(&servers.timeout.as_secs()) && (1..=5).contains(&servers.attempts));
        }
    }
}
