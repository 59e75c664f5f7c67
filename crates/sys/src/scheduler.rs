//! How a process is scheduled: sched_setattr(2), sched_setaffinity(2), ioprio_set(2); and where its memory comes from:
//! set_mempolicy(2).

use core::mem::{size_of, size_of_val};

use crate::raw::{number, signed, syscall};
use crate::{Errno, Result};

/// How a process is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// The nice value of the policies that have one.
    pub nice: i32,
    /// The static priority of the real-time policies.
    pub priority: u32,
    /// For the deadline policy: the time it may run in each period, in nanoseconds.
    pub runtime: u64,
    /// For the deadline policy: by when it has to be done, in nanoseconds.
    pub deadline: u64,
    /// For the deadline policy: the period, in nanoseconds.
    pub period: u64,
}

/// <linux/sched/types.h> `struct sched_attr` in its second version.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    utilization: [u32; 2],
}

/// `SCHED_ATTR_SIZE_VER1`.
const SIZE: u32 = 56;

const _: () = assert!(size_of::<SchedAttr>() == SIZE as usize, "struct sched_attr");

/// Sets how the caller is scheduled.
///
/// # Errors
/// sched_setattr(2): `EPERM` without CAP_SYS_NICE, or for the deadline policy within a cpuset; `EINVAL`, `EBUSY`;
/// `EOPNOTSUPP` for clamps on a kernel without them.
pub fn set_scheduling(scheduling: &Scheduling) -> Result<()> {
    let Scheduling { policy, flags, nice, priority, runtime, deadline, period } = *scheduling;
    let attr = SchedAttr { size: SIZE, policy, flags, nice, priority, runtime, deadline, period, utilization: [0; 2] };
    // SAFETY: the structure, whose size it tells itself, lives across the call.
    unsafe { syscall(number::SCHED_SETATTR, [0, (&raw const attr) as usize, 0, 0, 0]) }.map(drop)
}

/// Sets the processors on which the caller may run, bit N for processor N; those that the kernel does not know are left
/// out.
///
/// # Errors
/// `EINVAL` where its cpuset has none of them.
pub fn set_affinity(processors: &[u64]) -> Result<()> {
    let words = [0, size_of_val(processors), processors.as_ptr() as usize, 0, 0];
    // SAFETY: the kernel reads as many bytes as the slice has.
    unsafe { syscall(number::SCHED_SETAFFINITY, words) }.map(drop)
}

/// Sets the priority of the input and output of the caller's process group: the class in bits 13 to 15, the level below.
///
/// # Errors
/// `EPERM` for the real-time class without CAP_SYS_ADMIN or CAP_SYS_NICE.
pub fn set_io_priority(priority: u16) -> Result<()> {
    const IOPRIO_WHO_PGRP: usize = 2;
    // SAFETY: no pointers.
    unsafe { syscall(number::IOPRIO_SET, [IOPRIO_WHO_PGRP, 0, usize::from(priority), 0, 0]) }.map(drop)
}

/// Sets the nodes from which the caller's memory comes: `MPOL_*` with its flags, and bit N for node N.
///
/// # Errors
/// `EINVAL` for a mode, a flag or nodes that the kernel does not have; `ENOSYS` on kernels without NUMA.
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> Result<()> {
    // The kernel takes one bit less than it is told.
    let count = nodes.len().checked_mul(64).and_then(|bits| bits.checked_add(1)).ok_or(Errno::INVAL)?;
    let (address, count) = if nodes.is_empty() { (0, 0) } else { (nodes.as_ptr() as usize, count) };
    // SAFETY: the kernel reads the bits of the slice, a multiple of its word.
    unsafe { syscall(number::SET_MEMPOLICY, [signed(mode.cast_signed()), address, count, 0, 0]) }.map(drop)
}
