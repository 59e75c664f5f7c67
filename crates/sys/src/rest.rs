//! The rest of a process that has nothing to do until something happens: it executes its own program with the word
//! `asleep`, and all that is left of it is a few instructions that wait on an epoll descriptor, a page of stack and the
//! page that the program's data begin with. Then it executes the program once more, with the word `awake` in its place.
//!
//! As in [`crate::entry`] nothing has been set up where these instructions run, and nothing need be. What was open and is
//! not close-on-exec goes through both: descriptor 0 is the epoll descriptor, 1 the program.
//!
//! Linked with `--entry=carboy_rest_entry`; who is not asleep goes on at `carboy_entry`. On other architectures the program
//! sees the word `asleep` itself, and waits with all that it has set up by then.

/// The word, behind the program's name, of a process that waits.
pub const ASLEEP: &str = "asleep";
/// What takes its place when something has happened.
pub const AWAKE: &str = "awake";

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .rodata.carboy_rest_entry, \"a\", @progbits",
    "91: .asciz \"asleep\"",
    "92: .asciz \"awake\"",
    "93: .asciz \"carboy-monitor\"",
    "94: .byte 0",
    ".popsection",
    ".pushsection .text.carboy_rest_entry, \"ax\", @progbits",
    ".globl carboy_rest_entry",
    ".type carboy_rest_entry, @function",
    "carboy_rest_entry:",
    // rsp leads to argc, the arguments, null, the environment, null. rdx is for _start.
    "cmp qword ptr [rsp], 2",
    "jl carboy_entry",
    "mov rsi, [rsp + 16]",
    "lea rdi, [rip + 91b]",
    "xor ecx, ecx",
    "2: mov al, [rdi + rcx]",
    "cmp al, [rsi + rcx]",
    "jne carboy_entry",
    "inc rcx",
    "test al, al",
    "jnz 2b",
    "mov r12, rdx",
    "mov r13, rsp",
    // prctl(PR_SET_DUMPABLE, 0), prctl(PR_SET_NAME, …): execve(2) has set both anew.
    "mov eax, 157",
    "mov edi, 4",
    "xor esi, esi",
    "syscall",
    "mov eax, 157",
    "mov edi, 15",
    "lea rsi, [rip + 93b]",
    "syscall",
    // epoll_wait(0, one event, 1, for ever), again after a signal (EINTR).
    "sub rsp, 32",
    "3: mov eax, 232",
    "xor edi, edi",
    "mov rsi, rsp",
    "mov edx, 1",
    "mov r10, -1",
    "syscall",
    "cmp rax, -4",
    "je 3b",
    "mov rsp, r13",
    // The program says what is wrong with a descriptor 0 that is none of epoll.
    "mov rdx, r12",
    "test rax, rax",
    "js _start",
    "lea rax, [rip + 92b]",
    "mov [r13 + 16], rax",
    // execveat(1, "", the arguments, the environment, AT_EMPTY_PATH)
    "4: mov eax, 322",
    "mov edi, 1",
    "lea rsi, [rip + 94b]",
    "lea rdx, [r13 + 8]",
    "mov rcx, [r13]",
    "lea r10, [r13 + 8 * rcx + 16]",
    "mov r8d, 0x1000",
    "syscall",
    // There is no memory for it just now: poll(nothing, for a second), and again.
    "mov eax, 7",
    "xor edi, edi",
    "xor esi, esi",
    "mov edx, 1000",
    "syscall",
    "jmp 4b",
    ".size carboy_rest_entry, . - carboy_rest_entry",
    ".popsection",
);
