//! One address and port of a network namespace where nobody needs to listen: what is sent there is received at other ports,
//! and what comes back is as from there. So the port stays free for a server of the container's own at every address.
//!
//! nftables does it without the kernel's connections, which cost every packet of a namespace something once they are followed
//! there. Both of its rules leave the address and the port in sight of all others: what is sent is changed behind them, and
//! what comes back before them. iptables' legacy form has `DNAT` alone.
//!
//! ```text
//! table inet carboy-names {
//!     chain answers { type filter hook output priority -300; ip saddr ADDRESS udp sport UDP udp sport set PORT … }
//!     chain queries { type filter hook output priority 300; ip daddr ADDRESS udp dport PORT udp dport set UDP … }
//! }
//! ```

use std::net::Ipv4Addr;

use error::{Errno, Kernel, Result};
use netlink::nftables::{
    self as nft, Base, Comparison, Hook, Layer, Meta, Register, compare, immediate, meta, payload, set_payload,
};
use netlink::{Protocol, Socket};
use serde::{Deserialize, Serialize};
use xtables::{Family, Programs, Saved};

/// An address and a port, and the ports of the same address where what is sent there is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The address.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
    /// Where what is sent by UDP is received.
    pub udp: u16,
    /// Where what is sent by TCP is received.
    pub tcp: u16,
}

/// Whether there is anything that can do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirected {
    /// It is done.
    Done,
    /// The kernel has no nftables that can, and iptables is not installed.
    Never,
}

const TABLE: &str = "carboy-names";
const CHAIN: &str = "CARBOY-NAMES";
const ANSWERS: &str = "answers";
const QUERIES: &str = "queries";
/// Before and behind everything that has a name in nft(8), `raw` and the priority of the kernel's own connections among them.
const FIRST: i32 = -300;
const LAST: i32 = 300;

const IPV4: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The offset and the length of the addresses in the header of IPv4, and of the ports in those of TCP and UDP.
const SOURCE: (u32, u32) = (12, 4);
const DESTINATION: (u32, u32) = (16, 4);
const SOURCE_PORT: (u32, u32) = (0, 2);
const DESTINATION_PORT: (u32, u32) = (2, 2);
/// How far behind the begin of their headers the checksums are.
const CHECKSUM_OF_TCP: u32 = 16;
const CHECKSUM_OF_UDP: u32 = 6;

impl Redirect {
    /// Does it in the caller's network namespace, in place of what was done there before.
    ///
    /// # Errors
    /// A kernel error; refused, with what a program of iptables says.
    pub fn apply(&self) -> Result<Redirected> {
        match self.by_nftables() {
            Ok(()) => return Ok(Redirected::Done),
            // Of nftables this kernel has nothing, or not what this takes.
            Err(Errno::PROTONOSUPPORT | Errno::OPNOTSUPP | Errno::NOENT | Errno::INVAL) => {}
            Err(errno) => {
                let action = format!("redirect what is sent to {} by nftables", self.address);
                return Err(Kernel::new(action, errno).into());
            }
        }
        let Some(programs) = Programs::find(Family::Ipv4) else { return Ok(Redirected::Never) };
        programs.change(|saved| self.by_iptables(saved)).map(|()| Redirected::Done)
    }

    fn by_nftables(&self) -> std::result::Result<(), Errno> {
        let socket = match Socket::open(Protocol::Netfilter) {
            Err(error) => return Err(error.errno().unwrap_or(Errno::PROTONOSUPPORT)),
            Ok(socket) => socket,
        };
        let base = |priority| Some(Base { kind: "filter", hook: Hook::Output, priority });
        let mut said = vec![
            nft::add_table(TABLE),
            nft::delete_table(TABLE),
            nft::new_table(TABLE),
            nft::chain(TABLE, ANSWERS, base(FIRST)),
            nft::chain(TABLE, QUERIES, base(LAST)),
        ];
        for (protocol, own, checksum) in [(UDP, self.udp, CHECKSUM_OF_UDP), (TCP, self.tcp, CHECKSUM_OF_TCP)] {
            let rule = |address: (u32, u32), ports: (u32, u32), (from, to): (u16, u16)| {
                [
                    meta(Meta::Family, Register::FIRST),
                    compare(Register::FIRST, Comparison::Equal, &[IPV4]),
                    payload(Layer::Network, address, Register::FIRST),
                    compare(Register::FIRST, Comparison::Equal, &self.address.octets()),
                    meta(Meta::Protocol, Register::FIRST),
                    compare(Register::FIRST, Comparison::Equal, &[protocol]),
                    payload(Layer::Transport, ports, Register::FIRST),
                    compare(Register::FIRST, Comparison::Equal, &from.to_be_bytes()),
                    immediate(&to.to_be_bytes(), Register::FIRST),
                    set_payload(Layer::Transport, ports, checksum, Register::FIRST),
                ]
            };
            said.push(nft::rule(TABLE, ANSWERS, &rule(SOURCE, SOURCE_PORT, (own, self.port))));
            said.push(nft::rule(TABLE, QUERIES, &rule(DESTINATION, DESTINATION_PORT, (self.port, own))));
        }
        socket.request(&nft::batch(&said), |_, _| {})
    }

    /// What has iptables do it; nothing where it does.
    fn by_iptables(&self, saved: &Saved) -> Option<String> {
        let address = self.address;
        let rule = |(word, own): (&str, u16)| {
            format!("-p {word} -m {word} --dport {} -j DNAT --to-destination {address}:{own}", self.port)
        };
        let rules = [("udp", self.udp), ("tcp", self.tcp)].map(rule);
        let jump = format!("-d {address}/32 -j {CHAIN}");
        let table = saved.table("nat");
        let is_led = table.is_some_and(|table| table.rules("OUTPUT").any(|rule| rule == jump));
        if is_led && table.is_some_and(|table| table.rules(CHAIN).eq(rules.iter().map(String::as_str))) {
            return None;
        }
        let jump = if is_led { String::new() } else { format!("-A OUTPUT {jump}\n") };
        let rules: String = rules.iter().map(|rule| format!("-A {CHAIN} {rule}\n")).collect();
        Some(format!("*nat\n:{CHAIN} - [0:0]\n{jump}{rules}COMMIT\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iptables_is_told_what_is_not_there() {
        let redirect = Redirect { address: Ipv4Addr::new(127, 0, 0, 11), port: 53, udp: 4711, tcp: 4712 };
        let rules = "-A CARBOY-NAMES -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:4711\n\
                     -A CARBOY-NAMES -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:4712\n";
        let jump = "-A OUTPUT -d 127.0.0.11/32 -j CARBOY-NAMES\n";
        let whole = format!("*nat\n:CARBOY-NAMES - [0:0]\n{jump}{rules}COMMIT\n");
        assert_eq!(redirect.by_iptables(&Saved::parse("")), Some(whole.clone()));
        assert_eq!(redirect.by_iptables(&Saved::parse(&whole)), None);
        let other = Redirect { udp: 4713, ..redirect };
        let changed = other.by_iptables(&Saved::parse(&whole)).unwrap();
        assert!(changed.contains("--to-destination 127.0.0.11:4713") && !changed.contains(jump), "{changed}");
    }
}

#[cfg(test)]
mod kernel {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::process::Command;
    use std::time::Duration;

    use sys::namespace::Kinds;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

    /// Answers one packet and one connection by what was said and a word.
    fn serve(word: &'static str) -> Redirect {
        let udp = UdpSocket::bind((ADDRESS, 0)).unwrap();
        let tcp = TcpListener::bind((ADDRESS, 0)).unwrap();
        let port = |address: std::io::Result<std::net::SocketAddr>| address.unwrap().port();
        let redirect =
            Redirect { address: ADDRESS, port: 53, udp: port(udp.local_addr()), tcp: port(tcp.local_addr()) };
        std::thread::spawn(move || {
            let mut said = [0; 64];
            let (length, from) = udp.recv_from(&mut said).unwrap();
            udp.send_to(&[&said[..length], word.as_bytes()].concat(), from).unwrap();
            let (mut stream, _) = tcp.accept().unwrap();
            let length = stream.read(&mut said).unwrap();
            stream.write_all(&[&said[..length], word.as_bytes()].concat()).unwrap();
        });
        redirect
    }

    fn asked() -> [String; 2] {
        let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
        udp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        udp.connect((ADDRESS, 53)).unwrap();
        udp.send(b"over ").unwrap();
        let mut told = [0; 64];
        let length = udp.recv(&mut told).unwrap();
        let mut stream = TcpStream::connect((ADDRESS, 53)).unwrap();
        stream.write_all(b"over ").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        [String::from_utf8_lossy(&told[..length]).into_owned(), text]
    }

    #[test]
    fn what_is_sent_to_the_port_is_received_elsewhere_and_the_port_is_free_for_others_whatever_connections_are_dropped()
    {
        let test = || {
            sys::namespace::unshare(Kinds::NET).unwrap();
            sys::namespace::loopback_up().unwrap();
            let strict = "table inet own { chain output { type filter hook output priority 0; policy drop; \
                          ct state invalid drop; th dport 53 accept; th sport 53 accept; }; }";
            assert!(Command::new("nft").arg(strict).status().unwrap().success());
            let _others = (UdpSocket::bind("0.0.0.0:53").unwrap(), TcpListener::bind("0.0.0.0:53").unwrap());
            for word in ["first", "second"] {
                assert_eq!(serve(word).apply().unwrap(), Redirected::Done);
                assert_eq!(asked(), [format!("over {word}"), format!("over {word}")]);
            }
            let listed = Command::new("nft").args(["list", "table", "inet", TABLE]).output().unwrap();
            let listed = String::from_utf8(listed.stdout).unwrap();
            assert_eq!(listed.matches("127.0.0.11").count(), 4, "{listed}");
        };
        std::thread::spawn(test).join().unwrap();
    }
}
