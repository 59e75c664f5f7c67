//! What a network of containers is made of in the kernel: links and addresses, rules of the firewall, the names that
//! containers have for each other. It says and does; which networks there are, and who is on them, the engine knows.
#![forbid(unsafe_code)]

pub mod firewall;
pub mod forward;
pub mod iptables;
pub mod legacy;
pub mod port;
pub mod redirect;
pub mod resolver;
pub mod subnet;

pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
