//! i386 makes socket and System V IPC calls through socketcall(2) and ipc(2) too, the call's number in argument 0.
//!
//! A rule for `socket` that left `socketcall` out would decide nothing for most 32-bit programs, so a rule for such a
//! name also becomes one for its multiplexer, as libseccomp has it. Source: <linux/net.h> (SYS_*), <linux/ipc.h>.

/// A multiplexer's own number on i386, and the value of its argument 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Multiplexed {
    pub(crate) number: u32,
    pub(crate) selector: u32,
}

const SOCKETCALL: u32 = 102;
const IPC: u32 = 117;

/// How i386 reaches the call `name` through a multiplexer, where it does.
pub(crate) fn multiplexed(name: &str) -> Option<Multiplexed> {
    let (number, selector) = match name {
        "socket" => (SOCKETCALL, 1),
        "bind" => (SOCKETCALL, 2),
        "connect" => (SOCKETCALL, 3),
        "listen" => (SOCKETCALL, 4),
        "accept" => (SOCKETCALL, 5),
        "getsockname" => (SOCKETCALL, 6),
        "getpeername" => (SOCKETCALL, 7),
        "socketpair" => (SOCKETCALL, 8),
        "send" => (SOCKETCALL, 9),
        "recv" => (SOCKETCALL, 10),
        "sendto" => (SOCKETCALL, 11),
        "recvfrom" => (SOCKETCALL, 12),
        "shutdown" => (SOCKETCALL, 13),
        "setsockopt" => (SOCKETCALL, 14),
        "getsockopt" => (SOCKETCALL, 15),
        "sendmsg" => (SOCKETCALL, 16),
        "recvmsg" => (SOCKETCALL, 17),
        "accept4" => (SOCKETCALL, 18),
        "recvmmsg" => (SOCKETCALL, 19),
        "sendmmsg" => (SOCKETCALL, 20),
        "semop" => (IPC, 1),
        "semget" => (IPC, 2),
        "semctl" => (IPC, 3),
        "semtimedop" => (IPC, 4),
        "msgsnd" => (IPC, 11),
        "msgrcv" => (IPC, 12),
        "msgget" => (IPC, 13),
        "msgctl" => (IPC, 14),
        "shmat" => (IPC, 21),
        "shmdt" => (IPC, 22),
        "shmget" => (IPC, 23),
        "shmctl" => (IPC, 24),
        _ => return None,
    };
    Some(Multiplexed { number, selector })
}
