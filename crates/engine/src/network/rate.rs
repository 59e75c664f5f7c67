//! How fast a container receives and sends on a network: `--network-rate`. What comes to it waits at the end of its link that the
//! host has; what it sends comes by that end and takes a detour by a link of the host's, where it waits.
//!
//! Not at the container's own end, although its senders would be held back there more gently: with `CAP_NET_ADMIN` it could
//! take the queue away, and with `CAP_NET_RAW`, which is usual, send past it (`PACKET_QDISC_BYPASS`).

use error::{Errno, Error, Kernel, Refused, Result};
use netlink::link::{self, Traits};
use netlink::traffic::{self, Bucket};
use netlink::{Socket, route};

use super::{Driver, Endpoint, Network, detour_of};
use crate::options::Rate;

const FLAG: &str = "--network-rate";

/// Refuses what this network cannot do.
///
/// # Errors
/// Refused where the container's link has no end that is the host's.
pub(super) fn check(rate: Rate, network: &Network) -> Result<()> {
    if rate == Rate::default() || network.driver == Driver::Bridge {
        return Ok(());
    }
    let reason = format!("nothing of the host limits what goes by the {} {}", network.driver.word(), network.name);
    Err(Refused::new(FLAG, told(rate), reason).hint("leave it out, or use a network whose driver is bridge").into())
}

fn told(rate: Rate) -> String {
    let ways = [("in", rate.into_bits), ("out", rate.out_bits)];
    let told: Vec<String> = ways.iter().filter_map(|(way, bits)| Some(format!("{way}={}bit", (*bits)?))).collect();
    told.join(",")
}

/// Limits what goes by a link. What was made when it fails is for whoever takes the endpoint away.
///
/// # Errors
/// Refused where the kernel cannot, by what it lacks; a kernel error.
pub(super) fn limit(rate: Rate, network: &Network, endpoint: &Endpoint, here: &Socket) -> Result<()> {
    let failed = |needs: &'static str| {
        move |errno| match errno {
            Errno::NOENT | Errno::OPNOTSUPP => {
                let refused = Refused::new(FLAG, told(rate), format!("this kernel lacks {needs}"));
                Error::from(refused.hint("load these modules of the kernel, or leave it out"))
            }
            errno => Kernel::new(format!("limit what goes by the link {}", endpoint.link), errno).into(),
        }
    };
    let port = route::link(here, &endpoint.link).map_err(failed("the link"))?;
    if let Some(bits) = rate.into_bits {
        traffic::limit(here, port, &bucket(bits, network.mtu)).map_err(failed("sch_tbf"))?;
    }
    if let Some(bits) = rate.out_bits {
        let detour = detour_of(&endpoint.link);
        link::make_detour(here, &Traits { name: &detour, mac: None, mtu: network.mtu }).map_err(failed("ifb"))?;
        let detour = route::link(here, &detour).map_err(failed("ifb"))?;
        traffic::limit(here, detour, &bucket(bits, network.mtu)).map_err(failed("sch_tbf"))?;
        traffic::detour(here, port, detour).map_err(failed("sch_ingress, cls_u32 or act_mirred"))?;
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
