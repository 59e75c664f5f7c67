//! The kernel's log, record by record: /dev/kmsg, Documentation/ABI/testing/dev-kmsg. It is a ring: what is older than its
//! first record was overwritten.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use error::{Doing, Errno, Result};
use rustix::fs::OFlags;

use crate::lines::{number, split_once};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in all that was logged since the kernel started.
    pub sequence: u64,
    /// When, in microseconds of the monotonic clock.
    pub at_usec: u64,
    /// The text, without what programs may read beside it.
    pub text: String,
}

/// No record is longer: `PRINTK_MESSAGE_MAX` of the kernel is 2 KiB and each byte may be escaped.
const LONGEST: usize = 16 << 10;
/// No log has more records than this: the largest ring is 32 MiB.
const MOST: usize = 1 << 20;

/// Shows every record that there is now, the oldest first, and waits for none.
///
/// # Errors
/// A kernel error: `EPERM` where the log is kept from ordinary users (`dmesg_restrict`), `ENOENT` without the device.
pub fn read(mut show: impl FnMut(Record)) -> Result<()> {
    let action = || "read /dev/kmsg";
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut log = File::options().read(true).custom_flags(flags).open("/dev/kmsg").doing(action)?;
    let mut buffer = vec![0; LONGEST];
    for _ in 0..MOST {
        let length = match log.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::AGAIN) => break,
                // Overwritten meanwhile, or longer than any: the next one follows.
                Some(Errno::PIPE | Errno::INTR | Errno::INVAL) => continue,
                _ => return Err(error).doing(action),
            },
        };
        if let Some(record) = buffer.get(..length).and_then(parse) {
            show(record);
        }
    }
    Ok(())
}

/// Parses a record: `6,1234,5678901,-;text`, then lines that begin with a space. `None` for what is none.
#[must_use]
pub fn parse(record: &[u8]) -> Option<Record> {
    let (head, rest) = split_once(record, b';')?;
    let mut fields = head.split(|byte| *byte == b',');
    let (_priority, sequence, at_usec): (u64, _, _) =
        (number(fields.next()?)?, number(fields.next()?)?, number(fields.next()?)?);
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Some(Record { sequence, at_usec, text: unescape(line) })
}

/// Undoes `\x5b`, with which the kernel writes what is not printable.
fn unescape(line: &[u8]) -> String {
    let mut plain = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.strip_prefix(b"x").and_then(|digits| digits.get(..2)).filter(|_| *first == b'\\');
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { behind.get(3..).unwrap_or_default() } else { behind };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_a_place_a_time_and_a_text() {
        let record = parse(b"4,28036,21762132674,-,caller=T7;dd\\x0ainvoked; oom\n SUBSYSTEM=x\n").unwrap();
        assert_eq!(
            (record.sequence, record.at_usec, record.text.as_str()),
            (28_036, 21_762_132_674, "dd\ninvoked; oom")
        );
    }

    #[test]
    fn what_is_no_record_is_none_and_half_an_escape_stays() {
        for text in [&b""[..], b";", b"4,5;x", b"a,1,2,-;x", b"4,-1,2,-;x", b"4,1,99999999999999999999,-;x", b"4,1,2"] {
            assert_eq!(parse(text), None);
        }
        assert_eq!(parse(b"4,1,2,-;a\\x5").unwrap().text, "a\\x5");
        assert_eq!(parse(b"4,1,2,-;\xff").unwrap().text, "\u{fffd}");
    }
}
