//! Turns an OCI seccomp profile into the program that the kernel runs: seccomp(2), OCI config-linux.md "Seccomp".
//!
//! The program first looks at the architecture, then finds the interval of system call numbers with the same decision
//! by binary search, then compares arguments where the decision depends on them. What runc and libseccomp decide, it
//! decides: an architecture that the profile does not list kills the thread, and a call newer than every call of the
//! profile gets ENOSYS where the default would deny it, so that a C library falls back to an older call.

use error::{Refused, Result};
use oci::{Seccomp, SeccompArch, SeccompFlag, SeccompOp};
use sys::seccomp::Instruction;

use crate::decision::{Condition, Decision, Decisions, KILL_THREAD, NO_SUCH_CALL, Rule};
use crate::program::{Assembler, Label, Test};
use crate::table::{Arch, X32_BIT};

/// The kernel takes no longer program (`BPF_MAXINSNS`).
const MAX_INSTRUCTIONS: usize = 4096;

// Offsets in `struct seccomp_data`, <linux/seccomp.h>.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// A filter ready for seccomp(2) `SECCOMP_SET_MODE_FILTER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The filter, at most 4096 instructions.
    pub instructions: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*` of the call; has [`Program::NEW_LISTENER`] where a rule notifies.
    pub flags: u32,
    /// Names in the profile that no known architecture has; they decide nothing.
    pub unknown: Vec<String>,
}

impl Program {
    /// `SECCOMP_FILTER_FLAG_LOG`.
    pub const LOG: u32 = 1 << 1;
    /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
    pub const SPEC_ALLOW: u32 = 1 << 2;
    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: seccomp(2) returns the listener's descriptor.
    pub const NEW_LISTENER: u32 = 1 << 3;
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
    pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;
}

/// Compiles `profile` for a kernel of architecture `native`, which is always covered, listed or not.
///
/// Architectures of the profile that such a kernel cannot run leave no trace: their calls never occur.
///
/// # Errors
/// Refused, naming the field under `linux.seccomp`, where the profile is not valid, contradicts itself or needs more
/// than the kernel's 4096 instructions.
pub fn compile(profile: &Seccomp, native: Arch) -> Result<Program> {
    let decisions = Decisions::new(profile)?;
    if decisions.notifies && profile.listener_path.is_none() {
        let reason = "is missing, and nobody else can be asked where a rule has SCMP_ACT_NOTIFY";
        return Err(Refused::new("linux.seccomp.listenerPath", "", reason).into());
    }
    let flags = flags(&profile.flags, &decisions)?;
    let mut assembler = Assembler::default();
    let mut next = assembler.ret(KILL_THREAD);
    for arch in covered(profile, native).into_iter().rev() {
        let Intervals(intervals) = Intervals::of(&decisions, arch, &profile.architectures)?;
        let search = search(&intervals, &mut assembler, decisions.default);
        let section = assembler.load(NUMBER, search);
        next = assembler.branch(Test::Equal, arch.audit(), section, next);
    }
    assembler.load(ARCH, next);
    let instructions = assembler.finish();
    if instructions.len() > MAX_INSTRUCTIONS {
        let reason = format!("become {} instructions, the kernel takes {MAX_INSTRUCTIONS}", instructions.len());
        let rules = format!("of {} rules", profile.syscalls.len());
        let hint = "use fewer conditions on arguments";
        return Err(Refused::new("linux.seccomp.syscalls", rules, reason).hint(hint).into());
    }
    Ok(Program { instructions, flags, unknown: decisions.unknown })
}

/// How many system calls of `native` the profile lets through, at least with some arguments.
///
/// # Errors
/// As [`compile`], where the profile is not valid.
pub fn allowed_count(profile: &Seccomp, native: Arch) -> Result<usize> {
    let decisions = Decisions::new(profile)?;
    let decided = decisions.of(native)?;
    let default = Decision::Always(decisions.default);
    let allowed = |number: u32| {
        let found = decided.binary_search_by_key(&number, |(number, _)| *number).ok().and_then(|at| decided.get(at));
        found.map_or(&default, |(_, decision)| decision).may_allow()
    };
    Ok(crate::table::numbers(native).filter(|number| allowed(*number)).count())
}

/// The architectures of the profile that a kernel of architecture `native` runs, `native` first.
fn covered(profile: &Seccomp, native: Arch) -> Vec<Arch> {
    let runs = match native {
        Arch::X86_64 | Arch::X32 => vec![(Arch::X86_64, SeccompArch::X86_64), (Arch::X86, SeccompArch::X86)],
        Arch::Aarch64 => vec![(Arch::Aarch64, SeccompArch::Aarch64), (Arch::Arm, SeccompArch::Arm)],
        Arch::X86 => vec![(Arch::X86, SeccompArch::X86)],
        Arch::Arm => vec![(Arch::Arm, SeccompArch::Arm)],
    };
    let first = runs.first().map(|(arch, _)| *arch);
    runs.into_iter()
        .filter(|(arch, listed)| Some(*arch) == first || profile.architectures.contains(listed))
        .map(|(arch, _)| arch)
        .collect()
}

fn flags(asked: &[SeccompFlag], decisions: &Decisions) -> Result<u32> {
    let mut flags = if decisions.notifies { Program::NEW_LISTENER } else { 0 };
    for flag in asked {
        flags |= match flag {
            // The filter is loaded by a process of one thread: there is none to synchronise with.
            SeccompFlag::Tsync => 0,
            SeccompFlag::Log => Program::LOG,
            SeccompFlag::SpecAllow => Program::SPEC_ALLOW,
            SeccompFlag::WaitKillableRecv if decisions.notifies => Program::WAIT_KILLABLE_RECV,
            SeccompFlag::WaitKillableRecv => {
                let value = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
                return Err(Refused::new("linux.seccomp.flags", value, "needs a rule with SCMP_ACT_NOTIFY").into());
            }
        };
    }
    Ok(flags)
}

/// Adjoining intervals of system call numbers with their decisions: the first number of each, the next one's ends it.
#[derive(Debug, Default)]
struct Intervals(Vec<(u32, Decision)>);

impl Intervals {
    /// The intervals of all numbers that come with `arch`'s audit value; those of x32 come with x86_64's.
    fn of(decisions: &Decisions, arch: Arch, listed: &[SeccompArch]) -> Result<Self> {
        let default = || Decision::Always(decisions.default);
        let mut intervals = Self::default();
        intervals.begin(0, default());
        intervals.add(decisions, arch)?;
        if arch == Arch::X86_64 && listed.contains(&SeccompArch::X32) {
            intervals.begin(X32_BIT, default());
            intervals.add(decisions, Arch::X32)?;
        } else if arch == Arch::X86_64 {
            intervals.begin(X32_BIT, Decision::Always(KILL_THREAD));
            // A tracer skips a call by making its number -1: that is no x32 call.
            intervals.begin(u32::MAX, default());
        }
        Ok(intervals)
    }

    fn add(&mut self, decisions: &Decisions, arch: Arch) -> Result<()> {
        let newest = decisions.newest(arch).filter(|_| decisions.hides_newer);
        for (number, decision) in decisions.of(arch)? {
            if newest.is_none_or(|newest| number <= newest) {
                self.begin(number, decision);
                self.begin(number + 1, Decision::Always(decisions.default));
            }
        }
        if let Some(newest) = newest {
            self.begin(newest + 1, Decision::Always(NO_SUCH_CALL));
        }
        Ok(())
    }

    /// From `first` on `decision` holds; `first` is never below the last interval's.
    fn begin(&mut self, first: u32, decision: Decision) {
        let Self(intervals) = self;
        if intervals.last().is_some_and(|(last, _)| *last == first) {
            intervals.pop();
        }
        if intervals.last().is_none_or(|(_, last)| *last != decision) {
            intervals.push((first, decision));
        }
    }
}

/// Writes the search for the interval of the number in the accumulator.
fn search(intervals: &[(u32, Decision)], assembler: &mut Assembler, default: u32) -> Label {
    match intervals.split_at(intervals.len() / 2) {
        ([], []) => assembler.ret(default),
        ([], [(_, decision), ..]) => decide(decision, assembler, default),
        (below, above) => {
            let first = above.first().map_or(0, |(first, _)| *first);
            let above = search(above, assembler, default);
            let below = search(below, assembler, default);
            assembler.branch(Test::GreaterOrEqual, first, above, below)
        }
    }
}

fn decide(decision: &Decision, assembler: &mut Assembler, default: u32) -> Label {
    match decision {
        Decision::Always(action) => assembler.ret(*action),
        Decision::ByArguments(rules) => {
            let default = assembler.ret(default);
            rules.iter().rev().fold(default, |otherwise, rule| try_rule(rule, assembler, otherwise))
        }
    }
}

fn try_rule(rule: &Rule, assembler: &mut Assembler, otherwise: Label) -> Label {
    let action = assembler.ret(rule.action);
    rule.conditions.iter().rev().fold(action, |holds, condition| compare(condition, assembler, holds, otherwise))
}

/// Compares a 64-bit argument in halves of 32 bits; halves whose bits do not count are not loaded.
fn compare(condition: &Condition, assembler: &mut Assembler, yes: Label, no: Label) -> Label {
    let (high, low) = (Half::high(condition), Half::low(condition));
    match condition.operator {
        SeccompOp::EqualTo | SeccompOp::MaskedEqual => {
            let low = low.equals(assembler, yes, no);
            high.equals(assembler, low, no)
        }
        SeccompOp::NotEqual => {
            let low = low.equals(assembler, no, yes);
            high.equals(assembler, low, yes)
        }
        SeccompOp::GreaterEqual => above(high, low, Test::GreaterOrEqual, assembler, (yes, no)),
        SeccompOp::GreaterThan => above(high, low, Test::Greater, assembler, (yes, no)),
        SeccompOp::LessThan => above(high, low, Test::GreaterOrEqual, assembler, (no, yes)),
        SeccompOp::LessOrEqual => above(high, low, Test::Greater, assembler, (no, yes)),
    }
}

/// Writes `argument > value` or `argument >= value`, as `test` says of the low half.
fn above(high: Half, low: Half, test: Test, assembler: &mut Assembler, (yes, no): (Label, Label)) -> Label {
    let decide_low = assembler.branch(test, low.value, yes, no);
    let decide_low = assembler.load(low.offset, decide_low);
    if high.mask == 0 {
        return decide_low;
    }
    let equal = assembler.branch(Test::Equal, high.value, decide_low, no);
    let greater = assembler.branch(Test::Greater, high.value, yes, equal);
    assembler.load(high.offset, greater)
}

/// One half of an argument: where it is, what it is compared with and which of its bits count.
#[derive(Debug, Clone, Copy)]
struct Half {
    offset: u32,
    value: u32,
    mask: u32,
}

impl Half {
    /// Bits 0 to 31; every architecture here is little-endian.
    fn low(condition: &Condition) -> Self {
        Self { offset: ARGUMENTS + 8 * condition.argument, value: low(condition.value), mask: low(condition.mask) }
    }

    /// Bits 32 to 63.
    fn high(condition: &Condition) -> Self {
        let Condition { argument, value, mask, .. } = *condition;
        Self { offset: ARGUMENTS + 8 * argument + 4, value: low(value >> 32), mask: low(mask >> 32) }
    }

    fn equals(self, assembler: &mut Assembler, yes: Label, no: Label) -> Label {
        let Self { offset, value, mask } = self;
        if mask == 0 {
            return yes;
        }
        let test = if mask == u32::MAX {
            assembler.branch(Test::Equal, value, yes, no)
        } else if value == 0 {
            assembler.branch(Test::AnyBit, mask, no, yes)
        } else {
            let equal = assembler.branch(Test::Equal, value, yes, no);
            assembler.and(mask, equal)
        };
        assembler.load(offset, test)
    }
}

/// The low 32 bits.
fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
