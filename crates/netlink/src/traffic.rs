//! How fast a link sends, and what comes by one sent by another: the queues of <linux/pkt_sched.h>, the filters of
//! <linux/pkt_cls.h>, rtnetlink(7), tc-tbf(8), tc-u32(8), tc-mirred(8).

use crate::{Errno, Socket, attribute, flag, message, nested, text};

const NEW_QUEUE: u16 = 36;
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
/// `TC_H_ROOT`: what a link sends goes through it first.
const ROOT: u32 = u32::MAX;

/// A token bucket: what is sent at once, how fast it goes on, and what waits; the rest is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Bytes a second, with the headers of the link.
    pub bytes_a_second: u64,
    /// What may be sent at once after a pause, in bytes. A packet that is larger is never sent.
    pub burst_bytes: u32,
    /// What waits at most, in bytes.
    pub queue_bytes: u32,
}

/// Lets a link send no faster than this: `sch_tbf` as its root queue, in place of the one that it has.
///
/// # Errors
/// `ENOENT` where the kernel has no such queue, `EOPNOTSUPP` where it has none at all; `ENODEV`.
pub fn limit(socket: &Socket, link: u32, bucket: &Bucket) -> Result<(), Errno> {
    add_queue(socket, (link, ROOT, 0), "tbf", &options(bucket))
}

/// Has what comes by a link go through another, which is an `ifb`, before anybody sees it.
///
/// # Errors
/// `ENOENT` where the kernel lacks `sch_ingress`, `cls_u32` or `act_mirred`; `ENODEV`.
pub fn detour(socket: &Socket, link: u32, by: u32) -> Result<(), Errno> {
    const NEW_FILTER: u16 = 44;
    const INGRESS: u32 = 0xffff_fff1;
    const HANDLE: u32 = 0xffff_0000;
    /// The first of its filters, for `ETH_P_ALL` in the order of the network.
    const FIRST_FOR_ALL: u32 = 1 << 16 | 0x0300;
    const SELECTOR: u16 = 5;
    const ACTIONS: u16 = 7;
    const PARAMETERS: u16 = 2;
    /// `TC_ACT_STOLEN` and `TCA_EGRESS_REDIR`.
    const STOLEN: u32 = 4;
    const REDIRECT: u32 = 1;
    add_queue(socket, (link, INGRESS, HANDLE), "ingress", &[])?;
    // `struct tc_u32_sel` with `TC_U32_TERMINAL` and one key, of which no bit is looked at.
    let mut selector = [0; 32];
    selector[0] = 1;
    selector[2] = 1;
    // `struct tc_mirred`: index, capabilities, action, two counts, what it does, and to which link.
    let parameters = [0, 0, STOLEN, 0, 0, REDIRECT, by].map(u32::to_ne_bytes).concat();
    let action = [text(KIND, "mirred"), nested(OPTIONS, &attribute(PARAMETERS, &parameters))].concat();
    let options = [attribute(SELECTOR, &selector), nested(ACTIONS, &nested(1, &action))].concat();
    let header = [0, link, 0, HANDLE, FIRST_FOR_ALL].map(u32::to_ne_bytes).concat();
    let said = [text(KIND, "u32"), nested(OPTIONS, &options)].concat();
    let flags = flag::REQUEST | flag::ACK | flag::CREATE | flag::EXCLUSIVE;
    socket.request(&message(NEW_FILTER, flags, &header, &said), |_, _| {})
}

fn add_queue(
    socket: &Socket,
    (link, parent, handle): (u32, u32, u32),
    kind: &str,
    options: &[u8],
) -> Result<(), Errno> {
    const REPLACE: u16 = 0x100;
    // `struct tcmsg`: family, link, handle, parent, info.
    let header = [0, link, handle, parent, 0].map(u32::to_ne_bytes).concat();
    let said = [text(KIND, kind), nested(OPTIONS, options)].concat();
    let flags = flag::REQUEST | flag::ACK | flag::CREATE | REPLACE;
    socket.request(&message(NEW_QUEUE, flags, &header, &said), |_, _| {})
}

fn options(bucket: &Bucket) -> Vec<u8> {
    const PARAMETERS: u16 = 1;
    const RATE: u16 = 4;
    const BURST: u16 = 6;
    let rate = u32::try_from(bucket.bytes_a_second).unwrap_or(u32::MAX);
    // `struct tc_tbf_qopt`: two of `struct tc_ratespec`, each with `TC_LINKLAYER_ETHERNET` in its second byte and the rate at its
    // end, of which the second is that of peaks and is not used; the limit of the queue, and two that `BURST` stands for.
    let peak = [0; 12];
    let bytes = [&[0, 1, 0, 0, 0, 0, 0, 0][..], &rate.to_ne_bytes(), &peak, &bucket.queue_bytes.to_ne_bytes(), &[0; 8]];
    [
        attribute(PARAMETERS, &bytes.concat()),
        attribute(RATE, &bucket.bytes_a_second.to_ne_bytes()),
        attribute(BURST, &bucket.burst_bytes.to_ne_bytes()),
    ]
    .concat()
}

#[cfg(test)]
mod kernel {
    use std::process::Command;

    use sys::namespace::Kinds;

    use super::*;
    use crate::Protocol::Route;
    use crate::link::{Traits, make_bridge, make_detour};
    use crate::route::link;

    /// What tc(8) shows of a bridge that was limited.
    fn shown(bucket: Bucket) -> (Result<(), Errno>, String) {
        let run = move || {
            sys::namespace::unshare(Kinds::NET).unwrap();
            let socket = Socket::open(Route).unwrap();
            make_bridge(&socket, &Traits { name: "br9", ..Traits::default() }).unwrap();
            let limited = limit(&socket, link(&socket, "br9").unwrap(), &bucket);
            let shown = Command::new("tc").args(["qdisc", "show", "dev", "br9"]).output().unwrap();
            (limited, String::from_utf8(shown.stdout).unwrap())
        };
        std::thread::spawn(run).join().unwrap()
    }

    #[test]
    fn tc_reads_a_bucket_as_it_is_meant() {
        let (limited, shown) =
            self::shown(Bucket { bytes_a_second: 1_000_000, burst_bytes: 20_000, queue_bytes: 120_000 });
        assert_eq!(limited, Ok(()));
        assert!(shown.contains("qdisc tbf") && shown.contains("root"), "{shown}");
        assert!(shown.contains("rate 8Mbit burst 20000b lat 100ms") || shown.contains("burst 19.5"), "{shown}");
        let bucket = Bucket { bytes_a_second: 125_000_000_000, burst_bytes: u32::MAX, queue_bytes: u32::MAX };
        let (limited, shown) = self::shown(bucket);
        assert_eq!(limited, Ok(()));
        assert!(shown.contains("rate 1Tbit"), "{shown}");
        let (limited, shown) = self::shown(Bucket { bytes_a_second: 1, burst_bytes: 3_000, queue_bytes: 60_000 });
        assert_eq!(limited, Ok(()));
        assert!(shown.contains("rate 8bit"), "{shown}");
    }

    #[test]
    fn tc_reads_a_detour_as_it_is_meant() {
        let run = || {
            sys::namespace::unshare(Kinds::NET).unwrap();
            let socket = Socket::open(Route).unwrap();
            let named = |name| Traits { name, ..Traits::default() };
            make_bridge(&socket, &named("br9")).unwrap();
            make_detour(&socket, &named("ifb9")).unwrap();
            let [from, by] = ["br9", "ifb9"].map(|name| link(&socket, name).unwrap());
            detour(&socket, from, by).unwrap();
            let shown = Command::new("tc").args(["filter", "show", "dev", "br9", "ingress"]).output().unwrap();
            let shown = String::from_utf8(shown.stdout).unwrap();
            for expected in ["protocol all pref 1 u32", "mirred (Egress Redirect to device ifb9) stolen"] {
                assert!(shown.contains(expected), "{shown}");
            }
        };
        std::thread::spawn(run).join().unwrap();
    }

    #[test]
    fn a_queue_that_the_kernel_does_not_have_is_said_to_be_none() {
        let run = || {
            sys::namespace::unshare(Kinds::NET).unwrap();
            let socket = Socket::open(Route).unwrap();
            assert_eq!(add_queue(&socket, (1, ROOT, 0), "nosuch", &[]), Err(Errno::NOENT));
            assert_eq!(add_queue(&socket, (99, ROOT, 0), "tbf", &[]), Err(Errno::NODEV));
        };
        std::thread::spawn(run).join().unwrap();
    }
}
