//! Files of /proc about the whole machine: /proc/pressure (psi.rst), /proc/meminfo (proc_meminfo(5)).

use error::Result;

use crate::lines::{fields, lines, number, text};
use crate::process;

/// The text of /proc/pressure/RESOURCE: how long the machine's processes waited for `cpu`, `memory` or `io`.
///
/// # Errors
/// A kernel error: `ENOENT` where the kernel was built without it, `EOPNOTSUPP` where it was started with `psi=0`.
pub fn read_pressure(resource: &str) -> Result<String> {
    process::read(&format!("pressure/{resource}"), |file| Some(text(file)))
}

/// The memory that could be used at once, in bytes.
///
/// # Errors
/// A kernel error where /proc is not there; corrupt where it does not tell (before Linux 3.14).
pub fn read_available_bytes() -> Result<u64> {
    process::read("meminfo", parse_available_bytes)
}

/// Parses /proc/meminfo.
#[must_use]
pub fn parse_available_bytes(file: &[u8]) -> Option<u64> {
    let line = lines(file).find_map(|line| line.strip_prefix(b"MemAvailable:"))?;
    let mut fields = fields(line);
    let kibibytes: u64 = number(fields.next()?)?;
    fields.next().filter(|unit| *unit == b"kB")?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_in_kibibytes() {
        let file = b"MemTotal:  2048 kB\nMemFree:  100 kB\nMemAvailable:     1500 kB\n";
        assert_eq!(parse_available_bytes(file), Some(1500 << 10));
        for file in
            [&b""[..], b"MemAvailable: x kB\n", b"MemAvailable: 5\n", b"MemAvailable: 99999999999999999999 kB\n"]
        {
            assert_eq!(parse_available_bytes(file), None);
        }
    }
}
