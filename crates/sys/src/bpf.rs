//! Programs that decide about devices for a cgroup v2 group: bpf(2), <linux/bpf.h> `BPF_PROG_TYPE_CGROUP_DEVICE`,
//! Documentation/admin-guide/cgroup-v2.rst "Device controller".

use core::mem::size_of;

use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::raw::{owned, syscall};
use crate::{Errno, Result};

#[cfg(target_arch = "x86_64")]
const BPF: usize = 321;
#[cfg(target_arch = "aarch64")]
const BPF: usize = 280;

const BPF_PROG_LOAD: usize = 5;
const BPF_PROG_ATTACH: usize = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;

/// One eBPF instruction, laid out as the kernel's `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// Operation: class, source and code.
    pub code: u8,
    /// The destination register in the low half, the source register in the high half.
    pub registers: u8,
    /// Offset into memory, or instructions to skip.
    pub offset: i16,
    /// The constant.
    pub immediate: i32,
}

/// What an attach is told besides the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachFlags(pub u32);

impl AttachFlags {
    /// `BPF_F_ALLOW_MULTI`: the group may have several programs, and all must allow.
    pub const ALLOW_MULTI: Self = Self(1 << 1);
}

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` reads; the kernel takes what is left out as zero.
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// The part of `union bpf_attr` that `BPF_PROG_ATTACH` reads.
#[repr(C)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// Gives a program to the kernel's verifier and a descriptor for it back.
///
/// # Errors
/// `EPERM` without CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN; `EINVAL` or `EACCES` for a program that the verifier
/// does not accept; `E2BIG` for one that is too long.
pub fn prog_load_cgroup_device(program: &[Insn]) -> Result<OwnedFd> {
    let attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        insns: program.as_ptr() as usize as u64,
        license: c"MIT".as_ptr() as usize as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: *b"carboy_device\0\0\0",
    };
    let arguments = [BPF_PROG_LOAD, (&raw const attr) as usize, size_of::<LoadAttr>(), 0, 0];
    // SAFETY: the structure is laid out as the kernel reads it, its size is passed, the instructions (as many as said)
    // and the licence live across the call, and the kernel only reads them: no log buffer is given.
    let raw = unsafe { syscall(BPF, arguments) }?;
    // SAFETY: BPF_PROG_LOAD gives a new descriptor (close-on-exec) that nobody else knows.
    unsafe { owned(raw) }
}

/// Puts `program` in force for `cgroup` and all below it. It stays until the group is removed.
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN, or where a group above forbids it; `EBADF` when `cgroup` is not a cgroup v2 directory
/// (a handle with `O_PATH` will do).
pub fn prog_attach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>, flags: AttachFlags) -> Result<()> {
    let attr = AttachAttr {
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: flags.0,
        replace_bpf_fd: 0,
    };
    let arguments = [BPF_PROG_ATTACH, (&raw const attr) as usize, size_of::<AttachAttr>(), 0, 0];
    // SAFETY: the structure is laid out as the kernel reads it, lives across the call, and its size is passed; it holds
    // no pointers, and both descriptors stay the caller's.
    unsafe { syscall(BPF, arguments) }.map(drop)
}
