//! Programs that decide about devices for a cgroup v2 group, and programs that walk over the kernel's tasks: bpf(2),
//! <linux/bpf.h> `BPF_PROG_TYPE_CGROUP_DEVICE` and `BPF_TRACE_ITER`, Documentation/admin-guide/cgroup-v2.rst "Device
//! controller", Documentation/bpf/bpf_iterators.rst.

use core::ffi::CStr;
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
const BPF_PROG_DETACH: usize = 9;
const BPF_PROG_GET_FD_BY_ID: usize = 13;
const BPF_OBJ_GET_INFO_BY_FD: usize = 15;
const BPF_PROG_QUERY: usize = 16;
const BPF_LINK_CREATE: usize = 28;
const BPF_ITER_CREATE: usize = 33;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_ITER: u32 = 28;
const BPF_CGROUP_DEVICE: u32 = 6;

/// The name under which [`prog_load_cgroup_device`] loads programs, by which they are told from those of others.
pub const NAME: [u8; 16] = *b"carboy_device\0\0\0";

/// How many programs a group can have: `BPF_CGROUP_MAX_PROGS` of the kernel.
pub const MOST_PROGRAMS: usize = 64;

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
    /// `BPF_F_REPLACE`, with that: the program takes the place of another one. Linux 5.6.
    const REPLACE_ONE_OF_MANY: Self = Self(1 << 1 | 1 << 2);
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
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads.
#[repr(C)]
struct LinkAttr {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that `BPF_ITER_CREATE` reads.
#[repr(C)]
struct IterAttr {
    link_fd: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that `BPF_PROG_ATTACH` and `BPF_PROG_DETACH` read.
#[repr(C)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// The part of `union bpf_attr` that belongs to `BPF_PROG_QUERY`. It is whole: kernels that know the later fields write the
/// last one without a look at the size.
#[repr(C)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// The part of `union bpf_attr` that `BPF_PROG_GET_FD_BY_ID` reads.
#[repr(C)]
struct IdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The part of `union bpf_attr` that belongs to `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`, up to the name.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    instructions: [u64; 2],
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    name: [u8; 16],
}

/// Gives a program to the kernel's verifier and a descriptor for it back.
///
/// # Errors
/// `EPERM` without CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN; `EINVAL` or `EACCES` for a program that the verifier
/// does not accept; `E2BIG` for one that is too long.
pub fn prog_load_cgroup_device(program: &[Insn]) -> Result<OwnedFd> {
    let kind = Kind { prog_type: BPF_PROG_TYPE_CGROUP_DEVICE, expected_attach_type: 0, attach_btf_id: 0 };
    load(program, NAME, c"MIT", &kind)
}

/// Gives a program that walks over what the function of this number in the kernel's BTF is for (`bpf_iter_task`) to the
/// kernel's verifier and a descriptor for it back. The program may call what the kernel keeps for programs under the GPL:
/// it is one under either licence.
///
/// # Errors
/// `EPERM` without CAP_BPF and CAP_PERFMON, or where the kernel is locked down; `EINVAL` or `EACCES` for a program that
/// the verifier does not accept.
pub fn prog_load_iterator(program: &[Insn], function: u32) -> Result<OwnedFd> {
    let kind = Kind { prog_type: BPF_PROG_TYPE_TRACING, expected_attach_type: BPF_TRACE_ITER, attach_btf_id: function };
    load(program, *b"carboy_tasks\0\0\0\0", c"Dual MIT/GPL", &kind)
}

/// A descriptor by which a walk of such a program begins: each read gives what the program wrote.
///
/// # Errors
/// `EINVAL` for a program of another kind.
pub fn iterator(program: BorrowedFd<'_>) -> Result<OwnedFd> {
    let program = program.as_raw_fd().cast_unsigned();
    let attr = LinkAttr { prog_fd: program, target_fd: 0, attach_type: BPF_TRACE_ITER, flags: 0 };
    let arguments = [BPF_LINK_CREATE, (&raw const attr) as usize, size_of::<LinkAttr>(), 0, 0];
    // SAFETY: the structure is laid out as the kernel reads it, lives across the call, and its size is passed; it holds
    // no pointers, and the descriptor stays the caller's.
    let raw = unsafe { syscall(BPF, arguments) }?;
    // SAFETY: BPF_LINK_CREATE gives a new descriptor (close-on-exec) that nobody else knows.
    let link = unsafe { owned(raw) }?;
    let attr = IterAttr { link_fd: link.as_raw_fd().cast_unsigned(), flags: 0 };
    let arguments = [BPF_ITER_CREATE, (&raw const attr) as usize, size_of::<IterAttr>(), 0, 0];
    // SAFETY: the structure is laid out as the kernel reads it, lives across the call, and its size is passed; it holds
    // no pointers, and the link's descriptor is open until the end of the call: the iterator holds the link itself.
    let raw = unsafe { syscall(BPF, arguments) }?;
    // SAFETY: BPF_ITER_CREATE gives a new descriptor (close-on-exec) that nobody else knows.
    unsafe { owned(raw) }
}

/// What a program is loaded as.
struct Kind {
    prog_type: u32,
    expected_attach_type: u32,
    attach_btf_id: u32,
}

fn load(program: &[Insn], name: [u8; 16], license: &CStr, kind: &Kind) -> Result<OwnedFd> {
    let attr = LoadAttr {
        prog_type: kind.prog_type,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        insns: program.as_ptr() as usize as u64,
        license: license.as_ptr() as usize as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: name,
        prog_ifindex: 0,
        expected_attach_type: kind.expected_attach_type,
        prog_btf_fd: 0,
        func_info_rec_size: 0,
        func_info: 0,
        func_info_cnt: 0,
        line_info_rec_size: 0,
        line_info: 0,
        line_info_cnt: 0,
        attach_btf_id: kind.attach_btf_id,
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
    attach(BPF_PROG_ATTACH, cgroup, program, (flags, None))
}

/// Puts `program` in force in the place of `former`, in one step: between the two there is no moment with neither or both.
///
/// # Errors
/// As [`prog_attach`]; `ENOENT` when `former` is not attached to this very group; `EINVAL` before Linux 5.6.
pub fn prog_replace(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>, former: BorrowedFd<'_>) -> Result<()> {
    attach(BPF_PROG_ATTACH, cgroup, program, (AttachFlags::REPLACE_ONE_OF_MANY, Some(former)))
}

/// Takes `program` out of force for `cgroup`.
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN; `ENOENT` when it is not attached to this very group.
pub fn prog_detach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    attach(BPF_PROG_DETACH, cgroup, program, (AttachFlags::default(), None))
}

fn attach(
    command: usize,
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    (flags, replaced): (AttachFlags, Option<BorrowedFd<'_>>),
) -> Result<()> {
    let attr = AttachAttr {
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: flags.0,
        replace_bpf_fd: replaced.map_or(0, |former| former.as_raw_fd().cast_unsigned()),
    };
    let arguments = [command, (&raw const attr) as usize, size_of::<AttachAttr>(), 0, 0];
    // SAFETY: the structure is laid out as the kernel reads it, lives across the call, and its size is passed; it holds
    // no pointers, and all descriptors stay the caller's.
    unsafe { syscall(BPF, arguments) }.map(drop)
}

/// The numbers of the device programs that are attached to `cgroup` itself, those of the groups above left out. Gives how
/// many of `ids` it has filled.
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN; `ENOSPC` when there are more than fit: [`MOST_PROGRAMS`] always do.
pub fn prog_query(cgroup: BorrowedFd<'_>, ids: &mut [u32]) -> Result<usize> {
    let mut attr = QueryAttr {
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as usize as u64,
        prog_cnt: u32::try_from(ids.len()).map_err(|_| Errno::TOOBIG)?,
        padding: 0,
        prog_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    let arguments = [BPF_PROG_QUERY, (&raw mut attr) as usize, size_of::<QueryAttr>(), 0, 0];
    // SAFETY: the structure is laid out as the kernel has it, up to the last field that it writes, and its size is passed;
    // it and the numbers, of which no more than said are written, are exclusively borrowed across the call.
    unsafe { syscall(BPF, arguments) }?;
    usize::try_from(attr.prog_cnt).map_err(|_| Errno::OVERFLOW)
}

/// A descriptor for a program that is loaded.
///
/// # Errors
/// `ENOENT` when there is none of this number any more; `EPERM` without CAP_SYS_ADMIN.
pub fn prog_fd_by_id(id: u32) -> Result<OwnedFd> {
    let attr = IdAttr { prog_id: id, next_id: 0, open_flags: 0 };
    let arguments = [BPF_PROG_GET_FD_BY_ID, (&raw const attr) as usize, size_of::<IdAttr>(), 0, 0];
    // SAFETY: the structure is laid out as the kernel reads it, lives across the call, and its size is passed; it holds
    // no pointers.
    let raw = unsafe { syscall(BPF, arguments) }?;
    // SAFETY: BPF_PROG_GET_FD_BY_ID gives a new descriptor (close-on-exec) that nobody else knows.
    unsafe { owned(raw) }
}

/// The name under which a program was loaded, filled up with zeros: [`NAME`] for ours.
///
/// # Errors
/// `EINVAL` when the descriptor is not that of a program.
pub fn prog_name(program: BorrowedFd<'_>) -> Result<[u8; 16]> {
    let mut info = ProgInfo::default();
    let mut attr = InfoAttr {
        bpf_fd: program.as_raw_fd().cast_unsigned(),
        info_len: u32::try_from(size_of::<ProgInfo>()).map_err(|_| Errno::TOOBIG)?,
        info: (&raw mut info) as usize as u64,
    };
    let arguments = [BPF_OBJ_GET_INFO_BY_FD, (&raw mut attr) as usize, size_of::<InfoAttr>(), 0, 0];
    // SAFETY: both structures are laid out as the kernel has them, with their sizes, beyond which it writes nothing, and
    // are exclusively borrowed across the call; the lengths of the lists that it could fill besides are zero.
    unsafe { syscall(BPF, arguments) }?;
    Ok(info.name)
}
