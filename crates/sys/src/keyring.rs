//! The session keyring: keyctl(2), session-keyring(7).

use core::ffi::CStr;

use crate::Result;
use crate::raw::{number, syscall};

/// Joins the session keyring of this name, which is made where the caller can find none.
///
/// # Errors
/// `ENOSYS` on kernels without keys, `EDQUOT` at the user's limit of keys.
pub fn join_session(name: &CStr) -> Result<Key> {
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: the string lives across the call.
    let key = unsafe { syscall(number::KEYCTL, [KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr() as usize, 0, 0, 0]) }?;
    Ok(Key(key))
}

/// A key by its serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(usize);

impl Key {
    /// Sets what its possessor, its user, its group and others may do with it: a byte each, the possessor's highest.
    ///
    /// # Errors
    /// `EACCES` where the caller may not change it.
    pub fn set_permissions(self, permissions: u32) -> Result<()> {
        const KEYCTL_SETPERM: usize = 5;
        // SAFETY: no pointers.
        unsafe { syscall(number::KEYCTL, [KEYCTL_SETPERM, self.0, permissions as usize, 0, 0]) }.map(drop)
    }
}
