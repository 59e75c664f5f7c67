//! The system call instruction, for calls that rustix lacks or wraps in more than the child may use. syscalls(2).

use core::arch::asm;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Errno, Result};

/// System call numbers: <asm/unistd.h>. Those above 423 are the same on every architecture.
#[cfg(target_arch = "x86_64")]
pub(crate) mod number {
    pub(crate) const CAPGET: usize = 125;
    pub(crate) const CAPSET: usize = 126;
    pub(crate) const CHDIR: usize = 80;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const DUP3: usize = 292;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const EXECVEAT: usize = 322;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const FCHDIR: usize = 81;
    pub(crate) const FCHMODAT: usize = 268;
    pub(crate) const FCHOWNAT: usize = 260;
    pub(crate) const FCNTL: usize = 72;
    pub(crate) const FSTATFS: usize = 138;
    pub(crate) const GETCWD: usize = 79;
    pub(crate) const GETDENTS64: usize = 217;
    pub(crate) const IOCTL: usize = 16;
    pub(crate) const IOPRIO_SET: usize = 251;
    pub(crate) const KEYCTL: usize = 250;
    pub(crate) const KILL: usize = 62;
    pub(crate) const MKDIRAT: usize = 258;
    pub(crate) const MKNODAT: usize = 259;
    pub(crate) const PERSONALITY: usize = 135;
    pub(crate) const PIVOT_ROOT: usize = 155;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const PRLIMIT64: usize = 302;
    pub(crate) const READ: usize = 0;
    pub(crate) const RECVMSG: usize = 47;
    pub(crate) const RT_SIGACTION: usize = 13;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const SCHED_SETAFFINITY: usize = 203;
    pub(crate) const SCHED_SETATTR: usize = 314;
    pub(crate) const SECCOMP: usize = 317;
    pub(crate) const SENDMSG: usize = 46;
    pub(crate) const SETDOMAINNAME: usize = 171;
    pub(crate) const SETFSGID: usize = 123;
    pub(crate) const SETFSUID: usize = 122;
    pub(crate) const SETGROUPS: usize = 116;
    pub(crate) const SETHOSTNAME: usize = 170;
    pub(crate) const SETNS: usize = 308;
    pub(crate) const SETRESGID: usize = 119;
    pub(crate) const SETRESUID: usize = 117;
    pub(crate) const SETSID: usize = 112;
    pub(crate) const SET_MEMPOLICY: usize = 238;
    pub(crate) const SIGNALFD4: usize = 289;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const SYMLINKAT: usize = 266;
    pub(crate) const UMASK: usize = 95;
    pub(crate) const UMOUNT2: usize = 166;
    pub(crate) const UNSHARE: usize = 272;
    pub(crate) const WRITE: usize = 1;
}

/// System call numbers: <asm-generic/unistd.h>.
#[cfg(target_arch = "aarch64")]
pub(crate) mod number {
    pub(crate) const CAPGET: usize = 90;
    pub(crate) const CAPSET: usize = 91;
    pub(crate) const CHDIR: usize = 49;
    pub(crate) const CLONE: usize = 220;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const DUP3: usize = 24;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const EXECVEAT: usize = 281;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const FCHDIR: usize = 50;
    pub(crate) const FCHMODAT: usize = 53;
    pub(crate) const FCHOWNAT: usize = 54;
    pub(crate) const FCNTL: usize = 25;
    pub(crate) const FSTATFS: usize = 44;
    pub(crate) const GETCWD: usize = 17;
    pub(crate) const GETDENTS64: usize = 61;
    pub(crate) const IOCTL: usize = 29;
    pub(crate) const IOPRIO_SET: usize = 30;
    pub(crate) const KEYCTL: usize = 219;
    pub(crate) const KILL: usize = 129;
    pub(crate) const MKDIRAT: usize = 34;
    pub(crate) const MKNODAT: usize = 33;
    pub(crate) const PERSONALITY: usize = 92;
    pub(crate) const PIVOT_ROOT: usize = 41;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const PRLIMIT64: usize = 261;
    pub(crate) const READ: usize = 63;
    pub(crate) const RECVMSG: usize = 212;
    pub(crate) const RT_SIGACTION: usize = 134;
    pub(crate) const RT_SIGPROCMASK: usize = 135;
    pub(crate) const SCHED_SETAFFINITY: usize = 122;
    pub(crate) const SCHED_SETATTR: usize = 274;
    pub(crate) const SECCOMP: usize = 277;
    pub(crate) const SENDMSG: usize = 211;
    pub(crate) const SETDOMAINNAME: usize = 162;
    pub(crate) const SETFSGID: usize = 152;
    pub(crate) const SETFSUID: usize = 151;
    pub(crate) const SETGROUPS: usize = 159;
    pub(crate) const SETHOSTNAME: usize = 161;
    pub(crate) const SETNS: usize = 268;
    pub(crate) const SETRESGID: usize = 149;
    pub(crate) const SETRESUID: usize = 147;
    pub(crate) const SETSID: usize = 157;
    pub(crate) const SET_MEMPOLICY: usize = 237;
    pub(crate) const SIGNALFD4: usize = 74;
    pub(crate) const SOCKET: usize = 198;
    pub(crate) const SYMLINKAT: usize = 36;
    pub(crate) const UMASK: usize = 166;
    pub(crate) const UMOUNT2: usize = 39;
    pub(crate) const UNSHARE: usize = 97;
    pub(crate) const WRITE: usize = 64;
}

/// The calls that have one number everywhere.
pub(crate) mod everywhere {
    pub(crate) const PIDFD_SEND_SIGNAL: usize = 424;
    pub(crate) const OPEN_TREE: usize = 428;
    pub(crate) const MOVE_MOUNT: usize = 429;
    pub(crate) const FSOPEN: usize = 430;
    pub(crate) const FSCONFIG: usize = 431;
    pub(crate) const FSMOUNT: usize = 432;
    pub(crate) const FSPICK: usize = 433;
    pub(crate) const CLONE3: usize = 435;
    pub(crate) const CLOSE_RANGE: usize = 436;
    pub(crate) const OPENAT2: usize = 437;
    pub(crate) const PIDFD_GETFD: usize = 438;
    pub(crate) const MOUNT_SETATTR: usize = 442;
    pub(crate) const LANDLOCK_CREATE_RULESET: usize = 444;
    pub(crate) const LANDLOCK_ADD_RULE: usize = 445;
    pub(crate) const LANDLOCK_RESTRICT_SELF: usize = 446;
}

/// The five arguments most calls have room for; unused ones are zero.
pub(crate) type Arguments = [usize; 5];

/// Makes the system call `number`.
///
/// # Safety
/// Every argument that the kernel takes as a pointer for this call must be valid for what the kernel does with it, and
/// the call must not take away memory, descriptors or control flow that other code relies on.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn syscall(number: usize, arguments: Arguments) -> Result<usize> {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: the caller vouches for the arguments; the instruction clobbers rcx and r11 only, and no stack.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number.cast_signed() => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    checked(result)
}

/// Makes the system call `number`.
///
/// # Safety
/// Every argument that the kernel takes as a pointer for this call must be valid for what the kernel does with it, and
/// the call must not take away memory, descriptors or control flow that other code relies on.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn syscall(number: usize, arguments: Arguments) -> Result<usize> {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: the caller vouches for the arguments; the instruction clobbers x0 only, and no stack.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a.cast_signed() => result,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") e,
            options(nostack),
        );
    }
    checked(result)
}

fn checked(result: isize) -> Result<usize> {
    match usize::try_from(result) {
        Ok(value) => Ok(value),
        Err(_) => Err(errno(result)),
    }
}

/// The kernel's errors are -4095 to -1. The number is checked here, in the one place that makes an errno of it, so that no
/// panic can come of it.
#[inline(never)]
fn errno(result: isize) -> Errno {
    const LARGEST: i32 = 4095;
    match i32::try_from(result.wrapping_neg()) {
        Ok(number) if (1..=LARGEST).contains(&number) => Errno::from_raw_os_error(number),
        _ => Errno::IO,
    }
}

/// A descriptor as a system call argument.
pub(crate) fn fd(fd: BorrowedFd<'_>) -> usize {
    signed(fd.as_raw_fd())
}

/// A C int as a system call argument: the kernel takes the low 32 bits.
pub(crate) const fn signed(value: i32) -> usize {
    value.cast_unsigned() as usize
}

/// The working directory in place of a directory descriptor.
pub(crate) const AT_FDCWD: usize = signed(-100);

/// Takes the descriptor that a call has just given.
///
/// # Safety
/// `value` must be a descriptor that the kernel made for the caller and that nobody else owns.
pub(crate) unsafe fn owned(value: usize) -> Result<OwnedFd> {
    match i32::try_from(value) {
        // SAFETY: the caller vouches that the descriptor is new and unowned.
        Ok(raw) => Ok(unsafe { OwnedFd::from_raw_fd(raw) }),
        Err(_) => Err(Errno::BADF),
    }
}
