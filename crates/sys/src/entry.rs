//! The first instructions of a program that is to be out of reach of what runs in containers, before the C library's.
//!
//! A program that executes itself once more from a read-only view of its file starts twice, and what the C library does
//! at each start (it asks the processor for its caches, for which a virtual machine stops every time) is a tenth of a
//! container's start. So the view is made here, where nothing has been set up yet: no stack but the kernel's, no memory,
//! no relocated address, no thread pointer. Nothing depends on it. Where a call fails the program goes on to `_start` as it
//! is, and whoever relies on the view makes sure of it later, by every means there is.
//!
//! Linked with `--entry=carboy_entry`; the C library's `_start` gets the stack and registers as the kernel made them: System
//! V ABI, AMD64, 3.4.1. On other architectures programs start at `_start`.

/// Says after which words the program executes itself once more, and how.
macro_rules! entering {
    ($($word:literal),* $(,)?) => {
        /// The words that say that a process of this program will enter a container. One that means something else costs
        /// an execve(2) too many.
        pub const ENTERING: &[&str] = &[$($word),*];

        #[cfg(target_arch = "x86_64")]
        core::arch::global_asm!(
            ".pushsection .rodata.carboy_entry, \"a\", @progbits",
            "91: .asciz \"/proc\"",
            "92: .asciz \"self\"",
            "93: .asciz \"exe\"",
            // The words, then an empty one, which is the empty path too.
            "94:",
            $(concat!(".asciz \"", $word, "\""),)*
            "95: .byte 0",
            // struct open_how: flags (O_PATH, O_DIRECTORY, O_CLOEXEC), mode, resolve (NO_XDEV, NO_MAGICLINKS, BENEATH).
            ".balign 8",
            "96: .quad 0x290000, 0, 0x0b",
            // struct mount_attr: set (RDONLY, NOSUID, NODEV), clear, propagation, userns_fd.
            "97: .quad 0x07, 0, 0, 0",
            ".popsection",
            ".pushsection .text.carboy_entry, \"ax\", @progbits",
            ".globl carboy_entry",
            ".type carboy_entry, @function",
            "carboy_entry:",
            // rsp leads to argc, the arguments, null, the environment, null. rdx is for _start.
            "cmp qword ptr [rsp], 2",
            "jl _start",
            "mov r12, rdx",
            "mov r13, rsp",
            // Is one of the arguments one of the words?
            "lea r14, [r13 + 16]",
            "2: mov rdx, r12",
            "mov rsi, [r14]",
            "test rsi, rsi",
            "jz _start",
            "add r14, 8",
            "lea rdi, [rip + 94b]",
            "3: xor ecx, ecx",
            "4: mov al, [rdi + rcx]",
            "cmp al, [rsi + rcx]",
            "jne 5f",
            "inc rcx",
            "test al, al",
            "jnz 4b",
            "jmp 6f",
            "5: mov al, [rdi]",
            "inc rdi",
            "test al, al",
            "jnz 5b",
            "cmp byte ptr [rdi], 0",
            "jne 3b",
            "jmp 2b",
            // The descriptors of /proc, of its folder of this process, of the program and of the view of it.
            "6: mov rbx, -1",
            "mov rbp, -1",
            "mov r14, -1",
            "mov r15, -1",
            "sub rsp, 128",
            // openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC)
            "mov eax, 257",
            "mov rdi, -100",
            "lea rsi, [rip + 91b]",
            "mov edx, 0x290000",
            "syscall",
            "test rax, rax",
            "js 9f",
            "mov rbx, rax",
            // fstatfs: f_type is PROC_SUPER_MAGIC.
            "mov eax, 138",
            "mov rdi, rbx",
            "mov rsi, rsp",
            "syscall",
            "test rax, rax",
            "jnz 9f",
            "cmp qword ptr [rsp], 0x9fa0",
            "jne 9f",
            // openat2(proc, "self")
            "mov eax, 437",
            "mov rdi, rbx",
            "lea rsi, [rip + 92b]",
            "lea rdx, [rip + 96b]",
            "mov r10d, 24",
            "syscall",
            "test rax, rax",
            "js 9f",
            "mov rbp, rax",
            // openat(self, "exe", O_CLOEXEC)
            "mov eax, 257",
            "mov rdi, rbp",
            "lea rsi, [rip + 93b]",
            "mov edx, 0x80000",
            "syscall",
            "test rax, rax",
            "js 9f",
            "mov r15, rax",
            // fstatfs: f_flags has ST_RDONLY where this is the view already.
            "mov eax, 138",
            "mov rdi, r15",
            "mov rsi, rsp",
            "syscall",
            "test rax, rax",
            "jnz 9f",
            "test byte ptr [rsp + 80], 1",
            "jnz 9f",
            // open_tree(exe, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
            "mov eax, 428",
            "mov rdi, r15",
            "lea rsi, [rip + 95b]",
            "mov edx, 0x81001",
            "syscall",
            "test rax, rax",
            "js 9f",
            "mov r14, rax",
            // mount_setattr(view, "", AT_EMPTY_PATH, …)
            "mov eax, 442",
            "mov rdi, r14",
            "lea rsi, [rip + 95b]",
            "mov edx, 0x1000",
            "lea r10, [rip + 97b]",
            "mov r8d, 32",
            "syscall",
            "test rax, rax",
            "jnz 9f",
            // execveat(view, "", the arguments, the environment, AT_EMPTY_PATH)
            "mov eax, 322",
            "mov rdi, r14",
            "lea rsi, [rip + 95b]",
            "lea rdx, [r13 + 8]",
            "mov rcx, [r13]",
            "lea r10, [r13 + 8 * rcx + 16]",
            "mov r8d, 0x1000",
            "syscall",
            // On as it is, with nothing open.
            "9: mov eax, 3",
            "mov rdi, rbx",
            "syscall",
            "mov eax, 3",
            "mov rdi, rbp",
            "syscall",
            "mov eax, 3",
            "mov rdi, r15",
            "syscall",
            "mov eax, 3",
            "mov rdi, r14",
            "syscall",
            "mov rsp, r13",
            "mov rdx, r12",
            "jmp _start",
            ".size carboy_entry, . - carboy_entry",
            ".popsection",
        );
    };
}

// Commands of carboy-runtime and of carboy. What carries a container's monitor may start it again.
entering!("create", "run", "start", "exec", "restore", "mounts", "restart", "boot", "system");
