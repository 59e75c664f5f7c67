//! Giving memory back that a process has needed and will not need again for long: malloc_trim(3), madvise(2).

use core::ffi::c_void;

use rustix::mm::{Advice, madvise};

unsafe extern "C" {
    fn malloc_trim(pad: usize) -> i32;
    /// Where the program's file begins in memory, and where its instructions end: ld(1).
    static __executable_start: u8;
    static etext: u8;
}

/// As far below the stack's present end it is given back: it grows by 128 KiB at first, execve(2).
const STACK: usize = 1 << 20;
/// What a function that calls none keeps below its frame, in the x86-64 ABI.
const RED_ZONE: usize = 128;
const PAGE: usize = 4096;

/// Gives back what is free on the heap, the stack below, and the program's own pages, which the kernel reads from the
/// page cache again where they are needed. Only ever costs time; what cannot be given back stays.
pub fn give_back() {
    // SAFETY: it takes any number, and touches what malloc itself has free.
    unsafe { malloc_trim(0) };
    let here = 0_u8;
    let stack = ((&raw const here) as usize).saturating_sub(RED_ZONE) & !(PAGE - 1);
    // SAFETY: nothing of this process's is stored below its stack's end; with gaps the rest is given back all the same.
    let _ = unsafe { madvise((stack - STACK) as *mut c_void, STACK, Advice::LinuxDontNeed) };
    let text = (&raw const __executable_start) as usize & !(PAGE - 1);
    let end = (&raw const etext) as usize & !(PAGE - 1);
    // SAFETY: up to its instructions' end a program's file is mapped to be read alone: the pages come again unchanged.
    let _ = unsafe { madvise(text as *mut c_void, end.saturating_sub(text), Advice::LinuxDontNeed) };
}
