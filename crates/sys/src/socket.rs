//! Messages between parent and child, with a descriptor where one is passed: sendmsg(2), recvmsg(2), unix(7).

use core::mem::size_of;

use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::raw::{fd, number, owned, syscall};
use crate::{Errno, Result};

/// The two ends of a connection that keeps messages apart and ends when either side is closed.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// <linux/socket.h> `struct user_msghdr`.
#[repr(C)]
struct MessageHeader {
    name: usize,
    name_length: usize,
    vectors: usize,
    vector_count: usize,
    control: usize,
    control_length: usize,
    flags: u64,
}

/// One descriptor as ancillary data: `struct cmsghdr` with an int behind it, padded to a word.
#[repr(C)]
#[derive(Clone, Copy)]
struct Control {
    length: usize,
    level: i32,
    kind: i32,
    descriptor: i32,
    padding: i32,
}

impl Control {
    const LENGTH: usize = size_of::<usize>() + 3 * size_of::<i32>();
    const SOL_SOCKET: i32 = 1;
    const SCM_RIGHTS: i32 = 1;
}

/// Sends one message, and a copy of `pass` with it.
///
/// # Errors
/// `EPIPE` where the other side is closed (no signal is raised); as sendmsg(2).
pub fn send(socket: BorrowedFd<'_>, message: &[u8], pass: Option<BorrowedFd<'_>>) -> Result<()> {
    const MSG_NOSIGNAL: usize = 0x4000;
    let vector = [message.as_ptr() as usize, message.len()];
    let control = Control {
        length: Control::LENGTH,
        level: Control::SOL_SOCKET,
        kind: Control::SCM_RIGHTS,
        descriptor: pass.map_or(-1, |pass| pass.as_raw_fd()),
        padding: 0,
    };
    let (address, length) = match pass {
        Some(_) => ((&raw const control) as usize, size_of::<Control>()),
        None => (0, 0),
    };
    let header = MessageHeader {
        name: 0,
        name_length: 0,
        vectors: vector.as_ptr() as usize,
        vector_count: 1,
        control: address,
        control_length: length,
        flags: 0,
    };
    // SAFETY: the header, the vector, what it points to, and the control data live across the call.
    unsafe { syscall(number::SENDMSG, [fd(socket), (&raw const header) as usize, MSG_NOSIGNAL, 0, 0]) }.map(drop)
}

/// Waits for one message; gives its length (zero where the other side is closed) and the descriptor that came with it.
///
/// # Errors
/// As recvmsg(2); `EINTR` is tried again, and so is `ECONNRESET`: what the other side said is there although it has left
/// without hearing all.
pub fn receive(socket: BorrowedFd<'_>, message: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
    loop {
        let vector = [message.as_mut_ptr() as usize, message.len()];
        let mut control = Control { length: 0, level: 0, kind: 0, descriptor: -1, padding: 0 };
        let mut header = MessageHeader {
            name: 0,
            name_length: 0,
            vectors: vector.as_ptr() as usize,
            vector_count: 1,
            control: (&raw mut control) as usize,
            control_length: size_of::<Control>(),
            flags: 0,
        };
        let words = [fd(socket), (&raw mut header) as usize, MSG_CMSG_CLOEXEC, 0, 0];
        // SAFETY: the header, the vector, the buffer it points to, and the control data live across the call.
        let length = match unsafe { syscall(number::RECVMSG, words) } {
            Err(Errno::INTR | Errno::CONNRESET) => continue,
            result => result?,
        };
        let passed = header.control_length >= Control::LENGTH && control.kind == Control::SCM_RIGHTS;
        let passed = match usize::try_from(control.descriptor) {
            // SAFETY: the kernel has just made this descriptor for us (SCM_RIGHTS).
            Ok(raw) if passed => Some(unsafe { owned(raw) }?),
            _ => None,
        };
        return Ok((length, passed));
    }
}
