//! Assembles a classic BPF program from its last instruction to its first: <linux/filter.h>, seccomp(2).
//!
//! BPF jumps go forwards only. Written backwards, the target of every jump is known when the jump is written, and a
//! target beyond the 255 instructions of a conditional jump gets an unconditional one in between.

use sys::seccomp::Instruction;

// <linux/bpf_common.h>, <linux/filter.h>: class | size or operation | mode or source.
const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// A return further away is written anew: that costs one instruction, as a jump to it would.
const REUSE_WITHIN: u32 = 200;

/// What a conditional jump asks of the accumulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// It equals the constant.
    Equal,
    /// It is greater, unsigned.
    Greater,
    /// It is greater or equal, unsigned.
    GreaterOrEqual,
    /// It has a bit of the constant set.
    AnyBit,
}

impl Test {
    const fn code(self) -> u16 {
        match self {
            Self::Equal => 0x15,          // BPF_JMP | BPF_JEQ | BPF_K
            Self::Greater => 0x25,        // BPF_JMP | BPF_JGT | BPF_K
            Self::GreaterOrEqual => 0x35, // BPF_JMP | BPF_JGE | BPF_K
            Self::AnyBit => 0x45,         // BPF_JMP | BPF_JSET | BPF_K
        }
    }
}

/// A place in the program, counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(u32);

/// The program so far, last instruction first.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    reversed: Vec<Instruction>,
    length: u32,
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    /// A place that ends the program with `value`; one nearby is used again.
    pub(crate) fn ret(&mut self, value: u32) -> Label {
        if let Some((_, label)) = self.returns.iter().rev().find(|(known, _)| *known == value)
            && self.distance(*label) < REUSE_WITHIN
        {
            return *label;
        }
        let label = self.push(RETURN, value, (0, 0));
        self.returns.push((value, label));
        label
    }

    /// Loads the 32-bit word at `offset` of `struct seccomp_data`, then goes to `next`.
    pub(crate) fn load(&mut self, offset: u32, next: Label) -> Label {
        self.fall_into(next);
        self.push(LOAD_WORD, offset, (0, 0))
    }

    /// Keeps the bits of `mask` in the accumulator, then goes to `next`.
    pub(crate) fn and(&mut self, mask: u32, next: Label) -> Label {
        self.fall_into(next);
        self.push(AND, mask, (0, 0))
    }

    /// Goes to `yes` where the accumulator passes `test` against `constant`, else to `no`.
    pub(crate) fn branch(&mut self, test: Test, constant: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        match (u8::try_from(self.distance(yes)), u8::try_from(self.distance(no))) {
            (Ok(jump_true), Ok(jump_false)) => self.push(test.code(), constant, (jump_true, jump_false)),
            (Err(_), _) => {
                let yes = self.hop(yes);
                self.branch(test, constant, yes, no)
            }
            (Ok(_), Err(_)) => {
                let no = self.hop(no);
                self.branch(test, constant, yes, no)
            }
        }
    }

    /// The program that starts with the instruction written last.
    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    /// The instructions that the next one written would have to skip to reach `label`.
    const fn distance(&self, label: Label) -> u32 {
        self.length - label.0 - 1
    }

    fn fall_into(&mut self, next: Label) {
        if self.distance(next) != 0 {
            self.hop(next);
        }
    }

    fn hop(&mut self, to: Label) -> Label {
        self.push(JUMP, self.distance(to), (0, 0))
    }

    fn push(&mut self, code: u16, k: u32, (jump_true, jump_false): (u8, u8)) -> Label {
        let label = Label(self.length);
        self.reversed.push(Instruction { code, jump_true, jump_false, k });
        self.length += 1;
        label
    }
}
