//! The namespaces of all processes by one walk within the kernel: a BPF program over its tasks, assembled here for the
//! structures of this very kernel. It is quick where processes are many, and needs CAP_BPF and CAP_PERFMON; whatever
//! hinders it, /proc tells the same. Documentation/bpf/bpf_iterators.rst.
//!
//! The kernel walks over the tasks of the viewer's pid namespace. Each gives one record; a process that changes its
//! namespaces during that moment gives one that says so.

use std::fs;
use std::os::fd::AsFd as _;

use procfs::{HostPid, Kind, NamespaceId, Process, Sight};
use sys::bpf::{self, Insn};

use crate::btf::Btf;
use crate::snapshot::place;

/// From how many tasks on the walk is cheaper than /proc: reading the kernel's layout costs as much as so many.
const WORTH_IT: u16 = 1000;
/// The levels of pid namespaces that a record tells of.
const LEVELS: usize = 8;
/// The longest record that is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// What the walk tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Its number as the viewer's /proc has it.
    pub(crate) pid: HostPid,
    /// When it began, in clock ticks since boot.
    pub(crate) start_ticks: u64,
    /// Its namespaces; `None` where they changed meanwhile.
    pub(crate) namespaces: Option<[Sight; 8]>,
}

/// Walks where that is worth its while; `None` where it is not, or cannot be done here.
pub(crate) fn walk(device: u64) -> Option<Vec<Sighting>> {
    (rustix::system::sysinfo().procs >= WORTH_IT).then(|| walk_anyway(device)).flatten()
}

/// Walks; `device` is that of every namespace's file.
pub(crate) fn walk_anyway(device: u64) -> Option<Vec<Sighting>> {
    let viewer = Viewer::read()?;
    let iterator = {
        let layout = fs::read("/sys/kernel/btf/vmlinux").ok()?;
        let layout = Btf::parse(&layout, STRUCTURES, &[FUNCTION])?;
        let program = bpf::prog_load_iterator(&program(&layout)?, layout.function(FUNCTION)?).ok()?;
        bpf::iterator(program.as_fd()).ok()?
    };
    let mut bytes = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&iterator, &mut *buffer)).ok()?;
        match buffer.get(..length).filter(|part| !part.is_empty()) {
            Some(part) => bytes.extend_from_slice(part),
            None => break,
        }
    }
    sightings(&bytes, &viewer, device)
}

/// The viewer as /proc shows it, by which its own record is known.
#[derive(Debug)]
struct Viewer {
    pid: HostPid,
    start_ticks: u64,
    pid_namespace: u64,
}

impl Viewer {
    /// `None` where /proc is that of another pid namespace.
    fn read() -> Option<Self> {
        let process = Process::this().ok()?;
        let (stat, status) = (process.stat().ok()?, process.status().ok()?);
        let pid_namespace = process.namespace(Kind::Pid).ok()?.id()?.ino;
        let is_own = status.inside.is_empty();
        is_own.then_some(Self { pid: stat.pid, start_ticks: stat.start_ticks, pid_namespace })
    }
}

/// A record as the program writes it.
#[derive(Debug, Clone, Copy)]
struct Record {
    level: u32,
    is_stable: bool,
    start_ticks: u64,
    namespaces: [u32; 8],
    numbers: [u32; LEVELS],
}

/// Where the parts of a record are, in bytes.
const LEVEL_AT: i16 = 0;
const STABLE_AT: i16 = 4;
const START_AT: i16 = 8;
const NAMESPACES_AT: i16 = 16;
const NUMBERS_AT: i16 = 48;
const RECORD_BYTES: usize = 80;
/// /proc counts in hundredths of a second.
const TICK_NSEC: u64 = 10_000_000;

impl Record {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let words = |from: i16| {
            let mut words = [0; 8];
            for (number, value) in words.iter_mut().enumerate() {
                *value = word(usize::try_from(from).ok()? + number * 4)?;
            }
            Some(words)
        };
        let start = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
        Some(Self {
            level: word(0)?,
            is_stable: word(4)? == 1,
            start_ticks: start / TICK_NSEC,
            namespaces: words(NAMESPACES_AT)?,
            numbers: words(NUMBERS_AT)?,
        })
    }

    fn number(&self, level: usize) -> Option<HostPid> {
        let number = self.numbers.get(level).filter(|_| usize::try_from(self.level).is_ok_and(|own| level <= own))?;
        i32::try_from(*number).ok().filter(|number| *number > 0).map(HostPid)
    }
}

/// The records in the viewer's terms; `None` where its own is not among them as /proc has it.
fn sightings(bytes: &[u8], viewer: &Viewer, device: u64) -> Option<Vec<Sighting>> {
    let records: Vec<Record> = bytes.chunks_exact(RECORD_BYTES).filter_map(Record::parse).collect();
    let level = records.iter().find_map(|record| {
        let level = usize::try_from(record.level).ok()?;
        let is_there = record.namespaces.get(place(Kind::Pid)).copied().map(u64::from) == Some(viewer.pid_namespace);
        // In a time namespace /proc counts from another moment: then the two could not be compared.
        let is_viewer = is_there && record.number(level) == Some(viewer.pid);
        (is_viewer && record.start_ticks == viewer.start_ticks).then_some(level)
    })?;
    let sight = |ino: u32| match ino {
        0 => Sight::Absent,
        ino => Sight::Id(NamespaceId { dev: device, ino: ino.into() }),
    };
    let sighting = |record: &Record| {
        Some(Sighting {
            pid: record.number(level)?,
            start_ticks: record.start_ticks,
            namespaces: record.is_stable.then(|| record.namespaces.map(sight)),
        })
    };
    Some(records.iter().filter_map(sighting).collect())
}

const FUNCTION: &str = "bpf_iter_task";
const STRUCTURES: &[&str] = &[
    "bpf_iter__task",
    "bpf_iter_meta",
    "task_struct",
    "nsproxy",
    "cred",
    "pid",
    "upid",
    "ns_common",
    "mnt_namespace",
    "pid_namespace",
    "net",
    "ipc_namespace",
    "uts_namespace",
    "user_namespace",
    "cgroup_namespace",
    "time_namespace",
];

/// The namespaces that a task has in its `nsproxy`: kind, member, structure.
const OF_PROXY: [(Kind, &str, &str); 6] = [
    (Kind::Mnt, "mnt_ns", "mnt_namespace"),
    (Kind::Net, "net_ns", "net"),
    (Kind::Ipc, "ipc_ns", "ipc_namespace"),
    (Kind::Uts, "uts_ns", "uts_namespace"),
    (Kind::Cgroup, "cgroup_ns", "cgroup_namespace"),
    (Kind::Time, "time_ns", "time_namespace"),
];

const PROBE_READ_KERNEL: i32 = 113;
const SEQ_WRITE: i32 = 127;

/// The registers: R1 to R5 are arguments, which calls use up; R6 to R9 stay; R10 is the end of the stack.
const RESULT: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const TASK: u8 = 6;
const OUT: u8 = 7;
const PROXY: u8 = 8;
const PID: u8 = 9;
const STACK: u8 = 10;

/// Where on the stack the record is, the task's numbers as the kernel keeps them, and a pointer.
const RECORD: i16 = -80;
const NUMBERS: i16 = RECORD - 16 * 8;
const POINTER: i16 = NUMBERS - 8;
/// `struct upid` has a number and a pointer.
const UPID_SHIFT: i32 = 4;

const WORD: u8 = 0x00;
const DOUBLE: u8 = 0x18;
const JUMP_EQUAL: u8 = 0x1d;
const JUMP_NOT_EQUAL: u8 = 0x5d;

/// A program in the making. Jumps lead forward to places that are not known yet.
#[derive(Debug, Default)]
struct Assembler {
    program: Vec<Insn>,
    /// Jumps that lead to the end.
    to_end: Vec<usize>,
}

impl Assembler {
    fn push(&mut self, code: u8, (to, from): (u8, u8), offset: i16, immediate: i32) {
        self.program.push(Insn { code, registers: from << 4 | to, offset, immediate });
    }

    /// `to = *(from + offset)`.
    fn load(&mut self, size: u8, to: u8, (from, offset): (u8, i16)) {
        self.push(0x61 | size, (to, from), offset, 0);
    }

    /// `*(to + offset) = from`.
    fn store(&mut self, size: u8, (to, offset): (u8, i16), from: u8) {
        self.push(0x63 | size, (to, from), offset, 0);
    }

    fn copy(&mut self, to: u8, from: u8) {
        self.push(0xbf, (to, from), 0, 0);
    }

    fn set(&mut self, to: u8, value: i32) {
        self.push(0xb7, (to, 0), 0, value);
    }

    fn add(&mut self, to: u8, value: i32) {
        self.push(0x07, (to, 0), 0, value);
    }

    fn shift(&mut self, to: u8, bits: i32) {
        self.push(0x67, (to, 0), 0, bits);
    }

    fn call(&mut self, helper: i32) {
        self.push(0x85, (0, 0), 0, helper);
    }

    /// `bpf_probe_read_kernel(STACK + to, length, R3)`.
    fn probe(&mut self, to: i16, length: i32) {
        self.copy(R1, STACK);
        self.add(R1, to.into());
        self.set(R2, length);
        self.call(PROBE_READ_KERNEL);
    }

    /// Goes to the end where a register is zero.
    fn end_if_zero(&mut self, register: u8) {
        self.to_end.push(self.program.len());
        self.push(0x15, (register, 0), 0, 0);
    }

    /// Skips what `then` adds, where a register is zero.
    fn unless_zero(&mut self, register: u8, then: impl FnOnce(&mut Self)) {
        let jump = self.program.len();
        self.push(0x15, (register, 0), 0, 0);
        then(self);
        self.lead_here(jump);
    }

    fn lead_here(&mut self, jump: usize) {
        let length = i16::try_from(self.program.len() - jump - 1).unwrap_or(0);
        if let Some(jump) = self.program.get_mut(jump) {
            jump.offset = length;
        }
    }

    fn end(mut self) -> Vec<Insn> {
        for jump in std::mem::take(&mut self.to_end) {
            self.lead_here(jump);
        }
        self.set(RESULT, 0);
        self.push(0x95, (0, 0), 0, 0);
        self.program
    }
}

/// The place of a kind's number in the record, from the end of the stack.
fn slot(kind: Kind) -> i16 {
    RECORD + NAMESPACES_AT + i16::try_from(place(kind)).unwrap_or(0) * 4
}

/// The program for this kernel's structures; `None` where one of them has not the expected members.
fn program(layout: &Btf<'_>) -> Option<Vec<Insn>> {
    let mut made = Assembler::default();
    let task = |member| layout.offset("task_struct", member);
    // Its context: where to write, and the task, which is none at the end of the walk.
    made.load(DOUBLE, OUT, (R1, layout.offset("bpf_iter__task", "meta")?));
    made.load(DOUBLE, OUT, (OUT, layout.offset("bpf_iter_meta", "seq")?));
    made.load(DOUBLE, TASK, (R1, layout.offset("bpf_iter__task", "task")?));
    made.end_if_zero(TASK);
    // Of a process, the first thread alone.
    made.load(WORD, R1, (TASK, task("pid")?));
    made.load(WORD, R2, (TASK, task("tgid")?));
    made.to_end.push(made.program.len());
    made.push(JUMP_NOT_EQUAL, (R1, R2), 0, 0);
    made.set(R1, 0);
    for at in (POINTER..0).step_by(8) {
        made.store(DOUBLE, (STACK, at), R1);
    }
    made.load(DOUBLE, R1, (TASK, task("start_boottime")?));
    made.store(DOUBLE, (STACK, RECORD + START_AT), R1);
    of_proxy(&mut made, layout)?;
    numbers(&mut made, layout)?;
    // What a process that has left its nsproxy had there may be another's by now.
    made.load(DOUBLE, R1, (TASK, task("nsproxy")?));
    made.set(R2, 1);
    made.push(JUMP_EQUAL, (R1, PROXY), 1, 0);
    made.set(R2, 0);
    made.store(WORD, (STACK, RECORD + STABLE_AT), R2);
    made.copy(R1, OUT);
    made.copy(R2, STACK);
    made.add(R2, RECORD.into());
    made.set(R3, i32::try_from(RECORD_BYTES).ok()?);
    made.call(SEQ_WRITE);
    Some(made.end())
}

/// The namespaces of the task's `nsproxy`, which a zombie has none of, and of its credentials.
fn of_proxy(made: &mut Assembler, layout: &Btf<'_>) -> Option<()> {
    let inum = |structure| layout.offset(structure, "ns")?.checked_add(layout.offset("ns_common", "inum")?);
    let mut found = Vec::new();
    for (kind, member, structure) in OF_PROXY {
        found.push((kind, layout.offset("nsproxy", member)?, inum(structure)?));
    }
    made.load(DOUBLE, PROXY, (TASK, layout.offset("task_struct", "nsproxy")?));
    made.unless_zero(PROXY, |made| {
        for (kind, member, inum) in found {
            made.load(DOUBLE, R1, (PROXY, member));
            made.unless_zero(R1, |made| {
                made.load(WORD, R1, (R1, inum));
                made.store(WORD, (STACK, slot(kind)), R1);
            });
        }
    });
    let (user, inum) = (layout.offset("cred", "user_ns")?, inum("user_namespace")?);
    made.load(DOUBLE, R1, (TASK, layout.offset("task_struct", "real_cred")?));
    made.unless_zero(R1, |made| {
        made.load(DOUBLE, R1, (R1, user));
        made.unless_zero(R1, |made| {
            made.load(WORD, R1, (R1, inum));
            made.store(WORD, (STACK, slot(Kind::User)), R1);
        });
    });
    Some(())
}

/// The task's numbers, one for each level, and the pid namespace of the last. They are an array of any length, of which
/// older kernels' layouts tell one element: it is read as memory.
fn numbers(made: &mut Assembler, layout: &Btf<'_>) -> Option<()> {
    let (level, array) = (layout.offset("pid", "level")?, layout.offset("pid", "numbers")?);
    let (number, namespace) = (layout.offset("upid", "nr")?, layout.offset("upid", "ns")?);
    let inum = layout.offset("pid_namespace", "ns")?.checked_add(layout.offset("ns_common", "inum")?)?;
    made.copy(R3, TASK);
    made.add(R3, layout.offset("task_struct", "thread_pid")?.into());
    made.probe(POINTER, 8);
    made.load(DOUBLE, PID, (STACK, POINTER));
    // Nobody waits for it any more.
    made.end_if_zero(PID);
    made.copy(R3, PID);
    made.add(R3, level.into());
    made.probe(RECORD + LEVEL_AT, 4);
    made.load(WORD, R3, (STACK, RECORD + LEVEL_AT));
    made.shift(R3, UPID_SHIFT);
    made.push(0x0f, (R3, PID), 0, 0);
    made.add(R3, i32::from(array) + i32::from(namespace));
    made.probe(POINTER, 8);
    made.load(DOUBLE, R3, (STACK, POINTER));
    made.add(R3, inum.into());
    made.probe(slot(Kind::Pid), 4);
    made.load(WORD, R2, (STACK, RECORD + LEVEL_AT));
    // Not more than a record has room for: jump over the next where it is at most 7.
    made.push(0xb5, (R2, 0), 1, 7);
    made.set(R2, 7);
    made.add(R2, 1);
    made.shift(R2, UPID_SHIFT);
    made.copy(R1, STACK);
    made.add(R1, NUMBERS.into());
    made.copy(R3, PID);
    made.add(R3, array.into());
    made.call(PROBE_READ_KERNEL);
    for at in 0..8 {
        made.load(WORD, R1, (STACK, NUMBERS + at * 16 + number));
        made.store(WORD, (STACK, RECORD + NUMBERS_AT + at * 4), R1);
    }
    Some(())
}
