//! Seccomp filters: seccomp(2), <linux/filter.h>.

use crate::raw::{number, syscall};
use crate::{Errno, Result};

/// One classic BPF instruction, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation: class, size, mode or condition (`BPF_LD | BPF_W | BPF_ABS` …).
    pub code: u16,
    /// Instructions to skip when the condition holds.
    pub jump_true: u8,
    /// Instructions to skip when it does not.
    pub jump_false: u8,
    /// The constant.
    pub k: u32,
}

/// What seccomp(2) is told about a filter, besides its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// `SECCOMP_FILTER_FLAG_LOG`.
    pub const LOG: Self = Self(1 << 1);
    /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
    pub const SPEC_ALLOW: Self = Self(1 << 2);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// <linux/filter.h> `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Puts the caller under the filter, for ever.
///
/// # Errors
/// `EACCES` with neither CAP_SYS_ADMIN nor no_new_privs; `EINVAL` for a program that the kernel does not accept, or one
/// over 4096 instructions; `ENOMEM`.
pub fn load(program: &[Instruction], flags: Flags) -> Result<()> {
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { length, instructions: program.as_ptr() };
    let words = [SECCOMP_SET_MODE_FILTER, flags.0 as usize, (&raw const program) as usize, 0, 0];
    // SAFETY: the program and its instructions are laid out as the kernel has them and live across the call.
    unsafe { syscall(number::SECCOMP, words) }.map(drop)
}
