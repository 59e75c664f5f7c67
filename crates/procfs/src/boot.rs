//! Which boot this is, and how the kernel was started: proc_sys_kernel(5), `random/boot_id`. A PID and a start time name a process only within one boot.

use error::{Errno, Result};

use crate::lines::text;
use crate::process;

/// The boot's id, a UUID as text. Containers see the same one.
///
/// # Errors
/// A kernel error where /proc/sys is not there.
pub fn read_id() -> Result<String> {
    process::read("sys/kernel/random/boot_id", parse_id)
}

/// The words that the kernel was started with: /proc/cmdline, bootparam(7).
///
/// # Errors
/// A kernel error where /proc is not there.
pub fn read_command_line() -> Result<String> {
    process::read("cmdline", |file| Some(text(file)))
}

/// Whether modules can be loaded into the kernel: it was built for them, and nobody has turned that off since.
/// Documentation/admin-guide/sysctl/kernel.rst "modules_disabled".
///
/// # Errors
/// A kernel error where /proc/sys is not there.
pub fn takes_modules() -> Result<bool> {
    match process::read("sys/kernel/modules_disabled", |file| Some(file.trim_ascii() == b"0")) {
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(false),
        taken => taken,
    }
}

fn parse_id(file: &[u8]) -> Option<String> {
    let id = file.trim_ascii();
    let of_uuid = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    (id.len() == 36 && id.iter().all(of_uuid)).then(|| text(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_is_an_id() {
        let id = "0d1b1a3e-6f0c-4f5e-9b1e-3a7c5d9e8f01";
        assert_eq!(parse_id(format!("{id}\n").as_bytes()).as_deref(), Some(id));
        assert_eq!(parse_id(b"\n"), None);
        assert_eq!(parse_id(&[0xff; 36]), None);
    }
}
