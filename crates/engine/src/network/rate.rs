//! How fast a container receives and sends on a network: `--network-rate`. What comes to it waits at the end of its link that the host has,
//! what it sends at its own, which it cannot change without `CAP_NET_ADMIN`; the queues go with the link.
//!
//! Its own end and not the host's, because a sender whose packets wait slows down, and one whose packets are dropped behind
//! its back sends them again.

use error::{Errno, Error, Kernel, Refused, Result};
use netlink::traffic::{self, Bucket};
use netlink::{Socket, route};

use super::{Driver, Endpoint, Network};
use crate::options::Rate;

const FLAG: &str = "--network-rate";

/// Refuses what this network cannot do.
///
/// # Errors
/// Refused for what comes to a link that is not at the end of one of the host's.
pub(super) fn check(rate: Rate, network: &Network) -> Result<()> {
    match rate.into_bits {
        Some(bits) if network.driver != Driver::Bridge => {
            let reason =
                format!("nothing of the host limits what comes by the {} {}", network.driver.word(), network.name);
            Err(Refused::new(FLAG, format!("in={bits}bit"), reason).hint("use out= alone, or a bridge").into())
        }
        _ => Ok(()),
    }
}

/// Limits both ends of a link.
///
/// # Errors
/// Refused where the kernel cannot; a kernel error.
pub(super) fn limit(
    rate: Rate,
    network: &Network,
    endpoint: &Endpoint,
    (here, there): (&Socket, &Socket),
) -> Result<()> {
    let ends = [("in", rate.into_bits, here, &endpoint.link), ("out", rate.out_bits, there, &endpoint.interface)];
    for (way, bits, socket, name) in ends {
        let Some(bits) = bits else { continue };
        let bucket = bucket(bits, network.mtu);
        let limited = route::link(socket, name).and_then(|link| traffic::limit(socket, link, &bucket));
        limited.map_err(|errno| match errno {
            Errno::NOENT | Errno::OPNOTSUPP => {
                let refused = Refused::new(FLAG, format!("{way}={bits}bit"), "this kernel has no token bucket filter");
                Error::from(refused.hint("it needs CONFIG_NET_SCH_TBF, the module sch_tbf; or leave it out"))
            }
            errno => Kernel::new(format!("limit what the link {name} carries"), errno).into(),
        })?;
    }
    Ok(())
}

/// What goes in a fiftieth of a second at once, yet two packets at least; what waits a tenth of a second, yet 64 KiB at least.
fn bucket(bits: u64, mtu: Option<u32>) -> Bucket {
    /// The header of Ethernet with that of a VLAN.
    const HEADER: u32 = 18;
    const USUAL_MTU: u32 = 1500;
    let bytes_a_second = bits / 8;
    let packet = mtu.unwrap_or(USUAL_MTU) + HEADER;
    let part = |of: u64, least: u32| u32::try_from(bytes_a_second / of).unwrap_or(u32::MAX).max(least);
    let burst_bytes = part(50, packet * 2);
    Bucket { bytes_a_second, burst_bytes, queue_bytes: part(10, 64 << 10).saturating_add(burst_bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_packet_through_however_slow_and_counts_no_further_than_the_kernel() {
        let of = |bits, mtu| {
            let Bucket { bytes_a_second, burst_bytes, queue_bytes } = bucket(bits, mtu);
            (bytes_a_second, burst_bytes, queue_bytes)
        };
        assert_eq!(of(8_000_000, None), (1_000_000, 20_000, 120_000));
        assert_eq!(of(8, None), (1, 3_036, 68_572));
        assert_eq!(of(8_000, Some(9000)).1, 18_036);
        assert_eq!(of(1_000_000_000_000_000, None), (125_000_000_000_000, u32::MAX, u32::MAX));
    }
}
