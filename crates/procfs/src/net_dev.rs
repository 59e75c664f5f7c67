//! /proc/PID/net/dev: what went through the interfaces of a process's network namespace. proc_pid_net(5).

use crate::lines::{fields, lines, number};

/// What all interfaces together have received and sent, without the loopback's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}

/// The loopback interface's name, which is the same in every namespace unless root has changed it.
const LOOPBACK: &[u8] = b"lo";

impl Traffic {
    /// Parses the file.
    #[must_use]
    pub fn parse(file: &[u8]) -> Option<Self> {
        let mut traffic = Self::default();
        // Two lines of headings.
        for line in lines(file).skip(2) {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, numbers) = (line.get(..colon)?.trim_ascii(), line.get(colon + 1..)?);
            let mut numbers = fields(numbers);
            let received: u64 = number(numbers.next()?)?;
            let sent: u64 = number(numbers.nth(7)?)?;
            if name != LOOPBACK {
                traffic.received_bytes = traffic.received_bytes.saturating_add(received);
                traffic.sent_bytes = traffic.sent_bytes.saturating_add(sent);
            }
        }
        Some(traffic)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    2240      26    0    0    0     0          0         0     2240      26    0    0    0     0       0          0
  eth0: 1000001       9    0    0    0     0          0         0      700       5    0    0    0     0       0          0
  eth1:       2       9    0    0    0     0          0         0       70       5    0    0    0     0       0          0
";

    #[test]
    fn all_interfaces_but_the_loopback_count() {
        assert_eq!(Traffic::parse(TEXT), Some(Traffic { received_bytes: 1_000_003, sent_bytes: 770 }));
        assert_eq!(Traffic::parse(b"a\nb\neth0: 1 2\n"), None);
        assert_eq!(Traffic::parse(b""), Some(Traffic::default()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Traffic::parse(&bytes);
        }
    }
}
