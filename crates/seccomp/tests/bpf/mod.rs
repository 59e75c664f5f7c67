//! Runs a classic BPF program as the kernel does for seccomp: net/core/filter.c, kernel/seccomp.c `seccomp_check_filter`.
#![expect(clippy::expect_used, clippy::panic, reason = "a program that the kernel would refuse fails the test")]

use sys::seccomp::Instruction;

/// `struct seccomp_data` of <linux/seccomp.h>, without the instruction pointer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    pub(crate) number: u32,
    pub(crate) audit: u32,
    pub(crate) arguments: [u64; 6],
}

impl Data {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            _ => {
                let bytes = self.arguments[(offset as usize - 16) / 8].to_le_bytes();
                let (low, high) = bytes.split_at(4);
                let word = if offset.is_multiple_of(8) { low } else { high };
                u32::from_le_bytes(word.try_into().expect("four bytes"))
            }
        }
    }
}

/// What `program` returns for one system call.
///
/// # Panics
/// Where the kernel would not have taken the program.
pub(crate) fn run(program: &[Instruction], data: &Data) -> u32 {
    let mut accumulator = 0_u32;
    let mut at = 0;
    loop {
        let Instruction { code, jump_true, jump_false, k } = program[at];
        let jump = |holds: bool| usize::from(if holds { jump_true } else { jump_false });
        at += 1;
        match code {
            0x20 => accumulator = data.word(k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x45 => at += jump(accumulator & k != 0),
            0x06 => return k,
            _ => panic!("no program here has the code {code:#x}"),
        }
    }
}
