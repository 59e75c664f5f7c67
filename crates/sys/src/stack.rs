//! Where the main thread's stack ends: the standard library asks for it at each start, and is left without an answer.
//!
//! It asks so that it can name an overflow before the program dies of it. To answer, glibc opens and parses
//! /proc/self/maps, which is a fortieth of what an `exec` takes of the processor, and code that nothing else needs. Without
//! an answer an overflow ends the program all the same: by SIGSEGV, at the guard that the kernel keeps below the stack.

use core::ffi::{c_int, c_ulong, c_void};

use crate::Errno;

/// In place of the C library's, of which a static program takes only what nobody else has: pthread_getattr_np(3).
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(_thread: c_ulong, _attributes: *mut c_void) -> c_int {
    Errno::NOSYS.raw_os_error()
}
