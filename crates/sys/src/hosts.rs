//! Where the names of hosts are looked up: nsswitch.conf(5).

use core::ffi::{CStr, c_char, c_int};

use crate::{Errno, Result};

unsafe extern "C" {
    fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
}

const HOSTS: &CStr = c"hosts";
const SERVICES: &CStr = c"files dns";

/// From now on this process looks names of hosts up in /etc/hosts and by DNS, whatever nsswitch.conf says. What else stands
/// there is loaded from the host's libraries, and those of another glibc in a program that is linked statically end it.
///
/// # Errors
/// `ENOMEM`.
pub fn by_files_and_dns() -> Result<()> {
    // SAFETY: both are strings with an end, and are only read. glibc puts one pointer in another's place, both of lists that
    // it never frees: a look-up in another thread meanwhile sees either.
    match unsafe { __nss_configure_lookup(HOSTS.as_ptr(), SERVICES.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Errno::NOMEM),
    }
}
