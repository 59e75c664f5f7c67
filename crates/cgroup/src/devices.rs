//! Which device nodes a group may read, write and make.
//!
//! Documentation/admin-guide/cgroup-v1/devices.rst; cgroup-v2.rst "Device controller": on v2 a BPF program decides,
//! <linux/bpf.h> `struct bpf_cgroup_dev_ctx`, Documentation/bpf/standardization/instruction-set.rst. OCI
//! config-linux.md "Allowed Device list": rules count in their order, the last one that matches decides.

use std::fmt;

use error::{Errno, Refused, Result};
use sys::bpf::Insn;

use crate::hierarchy::Controller;
use crate::setting::{Setting, SettingFile};
use crate::write::{Reads, Write};

const ALLOW_V1: &str = "devices.allow";
const DENY_V1: &str = "devices.deny";
/// What a group lets be used, a rule a line; `a *:* rwm` where that is everything.
pub(crate) const LIST_V1: &str = "devices.list";

pub(crate) const FIELD: &str = "linux.resources.devices";

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting {
        controller: Controller::Devices,
        flag: Some("--device"),
        field: Some(FIELD),
        v1: Some(SettingFile { name: ALLOW_V1, value: "TYPE MAJOR:MINOR ACCESS" }),
        v2: None,
        unit: "HOST[:CONTAINER[:ACCESS]], access of the letters r, w and m",
        effect: "the container can use the device; on v2 a BPF program of the group allows it",
    },
    Setting {
        controller: Controller::Devices,
        flag: Some("--device-cgroup-rule"),
        field: Some(FIELD),
        v1: Some(SettingFile { name: ALLOW_V1, value: "TYPE MAJOR:MINOR ACCESS, * for any number" }),
        v2: None,
        unit: "TYPE MAJOR:MINOR ACCESS: type a, b or c, * for any number",
        effect: "open and mknod of a matching node succeed; on v2 a BPF program of the group allows it",
    },
    Setting {
        controller: Controller::Devices,
        flag: None,
        field: Some(FIELD),
        v1: Some(SettingFile { name: DENY_V1, value: "TYPE MAJOR:MINOR ACCESS, a for all" }),
        v2: None,
        unit: "type, major, minor and access of a rule with allow: false",
        effect: "open and mknod of a matching node fail with EPERM, open files stay; on v2 a BPF program refuses it",
    },
];

/// The kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Block,
    Char,
}

/// A set of `r`, `w` and `m`, with the bits of `BPF_DEVCG_ACC_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Access(u8);

impl Access {
    const MKNOD: u8 = 1;
    const READ: u8 = 2;
    const WRITE: u8 = 4;
    const ALL: Self = Self(Self::MKNOD | Self::READ | Self::WRITE);

    fn parse(text: &str) -> Option<Self> {
        let bit = |letter| match letter {
            'r' => Some(Self::READ),
            'w' => Some(Self::WRITE),
            'm' => Some(Self::MKNOD),
            _ => None,
        };
        text.chars().try_fold(0, |bits, letter| Some(bits | bit(letter)?)).filter(|bits| *bits != 0).map(Self)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MKNOD, "m")] {
            if self.0 & bit != 0 {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// The nodes that a rule is about: all of a kind, of a major number, or one. `None` is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Nodes {
    kind: Kind,
    major: Option<u32>,
    minor: Option<u32>,
}

impl Nodes {
    fn meets(self, other: Self) -> bool {
        let number = |one: Option<u32>, other: Option<u32>| one.is_none() || other.is_none() || one == other;
        self.kind == other.kind && number(self.major, other.major) && number(self.minor, other.minor)
    }
}

/// One rule that matches less than everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    allow: bool,
    nodes: Nodes,
    access: Access,
}

/// As v1's files take it: `c 1:3 rwm`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.nodes.kind {
            Kind::Block => 'b',
            Kind::Char => 'c',
        };
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        write!(f, "{kind} {}:{} {}", number(self.nodes.major), number(self.nodes.minor), self.access)
    }
}

/// What is decided where no rule matches, and the rules, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Policy {
    otherwise: bool,
    rules: Vec<Rule>,
}

const fn device(kind: Kind, major: Option<u32>, minor: Option<u32>, access: Access) -> Rule {
    Rule { allow: true, nodes: Nodes { kind, major, minor }, access }
}

/// What every container can use, OCI config-linux.md "Default Devices": any node can be made, and null, zero, full,
/// random, urandom, tty, console, ptmx and the terminals of devpts can be used.
const DEFAULTS: [Rule; 11] = [
    device(Kind::Char, None, None, Access(Access::MKNOD)),
    device(Kind::Block, None, None, Access(Access::MKNOD)),
    device(Kind::Char, Some(1), Some(3), Access::ALL),
    device(Kind::Char, Some(1), Some(5), Access::ALL),
    device(Kind::Char, Some(1), Some(7), Access::ALL),
    device(Kind::Char, Some(1), Some(8), Access::ALL),
    device(Kind::Char, Some(1), Some(9), Access::ALL),
    device(Kind::Char, Some(5), Some(0), Access::ALL),
    device(Kind::Char, Some(5), Some(1), Access::ALL),
    device(Kind::Char, Some(5), Some(2), Access::ALL),
    device(Kind::Char, Some(136), None, Access::ALL),
];

impl Policy {
    /// Nothing is allowed but what the rules say. The default devices come last, since the specification has them in
    /// every container; one that allows everything and then denies some means what it says.
    fn of(rules: &[oci::DeviceRule]) -> Result<Self> {
        let mut policy = Self { otherwise: false, rules: Vec::new() };
        for (index, rule) in rules.iter().enumerate() {
            policy.add(&format!("{FIELD}[{index}]"), rule)?;
        }
        if !policy.otherwise {
            DEFAULTS.into_iter().for_each(|default| policy.push(default));
        }
        Ok(policy)
    }

    fn add(&mut self, field: &str, rule: &oci::DeviceRule) -> Result<()> {
        let access = rule.access.as_deref().unwrap_or("rwm");
        let Some(access) = Access::parse(access) else {
            let field = format!("{field}.access");
            return Err(Refused::new(field, access, "is not an access of the letters r, w and m").into());
        };
        let kinds: &[Kind] = match rule.kind.as_deref().unwrap_or("a") {
            "a" => &[Kind::Char, Kind::Block],
            "c" | "u" => &[Kind::Char],
            "b" => &[Kind::Block],
            other => {
                let refused = Refused::new(format!("{field}.type"), other, "is not a type of device");
                return Err(refused.hint("use a, b or c").into());
            }
        };
        let (major, minor) = (number(field, "major", rule.major)?, number(field, "minor", rule.minor)?);
        if kinds.len() == 2 && (major, minor, access) == (None, None, Access::ALL) {
            *self = Self { otherwise: rule.allow, rules: Vec::new() };
            return Ok(());
        }
        for kind in kinds {
            self.push(Rule { allow: rule.allow, nodes: Nodes { kind: *kind, major, minor }, access });
        }
        Ok(())
    }

    /// Adds a rule, and drops those before it that it leaves nothing to decide.
    fn push(&mut self, rule: Rule) {
        self.rules.retain(|known| known.nodes != rule.nodes || known.access.without(rule.access).0 != 0);
        self.rules.push(rule);
    }
}

/// OCI's number: absent and -1 are any.
fn number(field: &str, name: &str, value: Option<i64>) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(number) if i32::try_from(number).is_ok() => Ok(Some(number)),
            _ => Err(Refused::new(format!("{field}.{name}"), value.to_string(), "is not a device number").into()),
        },
    }
}

/// A v1 group's list: a default, and exceptions to it without an order, of which no two are about the same nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List {
    otherwise: bool,
    exceptions: Vec<Rule>,
}

impl List {
    /// Refused for a rule that makes sense only in an order.
    fn of(rules: &[oci::DeviceRule]) -> Result<Self> {
        let Policy { otherwise, rules } = Policy::of(rules)?;
        let mut exceptions: Vec<Rule> = Vec::new();
        for rule in rules {
            for exception in exceptions.iter_mut().filter(|exception| exception.allow != rule.allow) {
                if exception.nodes == rule.nodes {
                    exception.access = exception.access.without(rule.access);
                } else if exception.nodes.meets(rule.nodes) && exception.access.meets(rule.access) {
                    let reason =
                        format!("takes back a part of the earlier rule {exception}, which cgroup v1 cannot express");
                    return Err(Refused::new(FIELD, rule.to_string(), reason).hint("leave one of the two out").into());
                }
            }
            exceptions.retain(|exception| exception.access.0 != 0);
            if rule.allow != otherwise {
                match exceptions.iter_mut().find(|exception| exception.nodes == rule.nodes) {
                    Some(known) => known.access.0 |= rule.access.0,
                    None => exceptions.push(rule),
                }
            }
        }
        Ok(Self { otherwise, exceptions })
    }

    /// What of the exceptions another list has not.
    fn missing_in(&self, other: &Self) -> Vec<Rule> {
        let rest = |rule: &Rule| {
            let known = other.exceptions.iter().find(|known| known.nodes == rule.nodes);
            Rule { access: known.map_or(rule.access, |known| rule.access.without(known.access)), ..*rule }
        };
        self.exceptions.iter().map(rest).filter(|rule| rule.access.0 != 0).collect()
    }

    /// The file that adds an exception, and the one that takes it away.
    const fn files(&self) -> (&'static str, &'static str) {
        if self.otherwise { (DENY_V1, ALLOW_V1) } else { (ALLOW_V1, DENY_V1) }
    }

    /// The writes that give a group this list, whatever it has.
    fn whole(&self) -> Vec<(&'static str, String)> {
        let (add, _) = self.files();
        let default = if self.otherwise { ALLOW_V1 } else { DENY_V1 };
        let exceptions = self.exceptions.iter().map(|exception| (add, exception.to_string()));
        std::iter::once((default, "a".to_owned())).chain(exceptions).collect()
    }
}

/// A write to a list that is never read back, and what undoes it.
fn write(file: &'static str, value: String, undo: Vec<(&'static str, String)>) -> Write {
    Write::new(Controller::Devices, FIELD, file, value).reads(Reads::Never).undo(undo)
}

/// What a fresh v1 group is given. v1 keeps a default and a list of exceptions to it, without an order; a group that
/// allows everything is left as it is, since it starts with what its parent has.
///
/// # Errors
/// Refused for a rule that makes sense only in an order: one that takes back a part of an earlier, wider one.
pub fn plan_v1(rules: &[oci::DeviceRule]) -> Result<Vec<Write>> {
    let list = List::of(rules)?;
    let writes = list.whole().into_iter().skip(usize::from(list.otherwise));
    Ok(writes.map(|(file, value)| write(file, value, Vec::new())).collect())
}

/// What turns a v1 group's list into another, with the fewest writes, none where both say the same.
///
/// What is new in the list is added before what is no longer in it is taken away, so that at no moment something is
/// refused that both allow, or allowed that both refuse. That cannot be had where a group that has everything is to have
/// only some devices: the kernel forgets the list when the default changes, and until the new one is written, open and
/// mknod are refused; files that are open stay so. The kernel changes the default only of a group without groups below it
/// (`EINVAL`), which keep what they have when their parent is given more, and lose what it loses.
///
/// # Errors
/// As [`plan_v1`].
pub(crate) fn change_v1(former: &[oci::DeviceRule], asked: &[oci::DeviceRule]) -> Result<Vec<Write>> {
    let (former, asked) = (List::of(former)?, List::of(asked)?);
    if former.otherwise != asked.otherwise {
        // The first write sets the default, and what undoes it brings back the former list too.
        let mut undo = Some(former.whole());
        let (_, take) = asked.files();
        let writes = asked.whole().into_iter().map(|(file, value)| {
            let undo = undo.take().unwrap_or_else(|| vec![(take, value.clone())]);
            write(file, value, undo)
        });
        return Ok(writes.collect());
    }
    let (add, take) = asked.files();
    let one = |file, inverse, rule: Rule| write(file, rule.to_string(), vec![(inverse, rule.to_string())]);
    let added = asked.missing_in(&former).into_iter().map(|rule| one(add, take, rule));
    let taken = former.missing_in(&asked).into_iter().map(|rule| one(take, add, rule));
    Ok(added.chain(taken).collect())
}

/// What the kernel's answer to a write means, where that is known: security/device_cgroup.c `devcgroup_update_access`.
pub(crate) fn refusal(write: &Write, errno: Errno) -> Option<Refused> {
    let whole = write.value == "a" && errno == Errno::INVAL;
    let reason =
        "changes what the container can use besides its list, which cgroup v1 refuses while it has groups of its own";
    whole.then(|| Refused::new(FIELD, "a", reason).hint("remove the groups below the container's, or start it anew"))
}

/// A BPF program, and what it decides in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The instructions.
    pub instructions: Vec<Insn>,
    /// The decisions in the order in which they are looked at, as `allow c 1:3 rwm`, the last one for all the rest.
    pub decisions: Vec<String>,
}

/// What a fresh v2 group is given: a program; none where everything is allowed.
///
/// # Errors
/// Refused for a rule that cannot be understood.
pub fn plan_v2(rules: &[oci::DeviceRule]) -> Result<Option<Program>> {
    let policy = Policy::of(rules)?;
    let everything = policy.otherwise && policy.rules.iter().all(|rule| rule.allow);
    Ok((!everything).then(|| describe(&policy)))
}

/// What takes the place of a v2 group's program: always a program, since one that refuses may have to be replaced.
///
/// # Errors
/// As [`plan_v2`].
pub(crate) fn change_v2(rules: &[oci::DeviceRule]) -> Result<Program> {
    Ok(describe(&Policy::of(rules)?))
}

fn describe(policy: &Policy) -> Program {
    let word = |allow| if allow { "allow" } else { "deny" };
    let mut decisions: Vec<String> =
        policy.rules.iter().rev().map(|rule| format!("{} {rule}", word(rule.allow))).collect();
    decisions.push(format!("{} a", word(policy.otherwise)));
    Program { instructions: program(policy), decisions }
}

/// R0: the decision. R1: the context. R2: the kind. R3: the accesses asked for that no rule has allowed yet.
const DECISION: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const OPEN: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const SET: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const JUMP: u8 = 0x05; // BPF_JMP | BPF_JA
const JUMP_UNLESS_EQUAL: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const JUMP_IF_BITS: u8 = 0x46; // BPF_JMP32 | BPF_JSET | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

const fn insn(code: u8, register: u8, offset: i16, immediate: i32) -> Insn {
    Insn { code, registers: register, offset, immediate }
}

const fn load(register: u8, offset: i16) -> Insn {
    insn(LOAD_WORD, CONTEXT << 4 | register, offset, 0)
}

/// The rules from the last to the first: the first that settles all accesses asked for, or denies one, decides.
fn program(policy: &Policy) -> Vec<Insn> {
    // The context's first word has the kind in its low half and the accesses in its high half.
    let mut program = vec![load(KIND, 0), insn(AND, KIND, 0, 0xffff), load(OPEN, 0), insn(SHIFT_RIGHT, OPEN, 0, 16)];
    program.extend([load(MAJOR, 4), load(MINOR, 8)]);
    for rule in policy.rules.iter().rev() {
        block(&mut program, rule);
    }
    program.extend([insn(SET, DECISION, 0, i32::from(policy.otherwise)), insn(EXIT, 0, 0, 0)]);
    program
}

fn block(program: &mut Vec<Insn>, rule: &Rule) {
    let kind = match rule.nodes.kind {
        Kind::Block => 1,
        Kind::Char => 2,
    };
    let immediate = |number: u32| number.cast_signed();
    let access = i32::from(rule.access.0);
    // Each test jumps over what is left of the block: offsets count from the next instruction.
    let mut tests = vec![(KIND, kind)];
    tests.extend(rule.nodes.major.map(|major| (MAJOR, immediate(major))));
    tests.extend(rule.nodes.minor.map(|minor| (MINOR, immediate(minor))));
    let body = if rule.allow {
        vec![insn(AND, OPEN, 0, !access), insn(JUMP_UNLESS_EQUAL, OPEN, 2, 0)]
    } else {
        vec![insn(JUMP_IF_BITS, OPEN, 1, access), insn(JUMP, 0, 2, 0)]
    };
    // Body and end are two instructions each; a test is followed by the tests after it, then by both.
    let mut rest: i16 = 4;
    let tests = tests.into_iter().rev().map(|(register, immediate)| {
        let test = insn(JUMP_UNLESS_EQUAL, register, rest, immediate);
        rest += 1;
        test
    });
    let tests: Vec<Insn> = tests.collect();
    program.extend(tests.into_iter().rev());
    program.extend(body);
    program.extend([insn(SET, DECISION, 0, i32::from(rule.allow)), insn(EXIT, 0, 0, 0)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allow(kind: &str, major: i64, minor: i64, access: &str) -> oci::DeviceRule {
        oci::DeviceRule { allow: true, ..deny(kind, major, minor, access) }
    }

    fn deny(kind: &str, major: i64, minor: i64, access: &str) -> oci::DeviceRule {
        oci::DeviceRule {
            allow: false,
            kind: Some(kind.into()),
            major: Some(major),
            minor: Some(minor),
            access: Some(access.into()),
        }
    }

    fn allow_all() -> oci::DeviceRule {
        allow("a", -1, -1, "rwm")
    }

    fn deny_all() -> oci::DeviceRule {
        deny("a", -1, -1, "rwm")
    }

    fn shown(rules: &[oci::DeviceRule]) -> Vec<String> {
        plan_v1(rules).unwrap().iter().map(ToString::to_string).collect()
    }

    /// What the kernel would make of the program.
    fn run(program: &[Insn], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_u32; 11];
        let mut at = 0_usize;
        loop {
            let Insn { code, registers: names, offset, immediate } = program[at];
            let register = usize::from(names & 15);
            let immediate = immediate.cast_unsigned();
            let jump = usize::try_from(offset).unwrap();
            at += 1;
            match code {
                LOAD_WORD => registers[register] = context[jump / 4],
                AND => registers[register] &= immediate,
                SHIFT_RIGHT => registers[register] >>= immediate,
                SET => registers[register] = immediate,
                JUMP => at += jump,
                JUMP_UNLESS_EQUAL if registers[register] != immediate => at += jump,
                JUMP_IF_BITS if registers[register] & immediate != 0 => at += jump,
                JUMP_UNLESS_EQUAL | JUMP_IF_BITS => {}
                EXIT => return registers[0] == 1,
                _ => unreachable!("{code}"),
            }
        }
    }

    /// The rules as the specification has them: for each access apart, the last one that matches decides.
    fn decide(policy: &Policy, kind: Kind, access: u8, major: u32, minor: u32) -> bool {
        let node = Nodes { kind, major: Some(major), minor: Some(minor) };
        [1, 2, 4].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let matching = policy.rules.iter().rev().find(|rule| rule.nodes.meets(node) && rule.access.0 & bit != 0);
            matching.map_or(policy.otherwise, |rule| rule.allow)
        })
    }

    fn any_rule() -> impl Strategy<Value = oci::DeviceRule> {
        let access = prop::sample::select(vec!["r", "w", "m", "rw", "rwm", "wm"]);
        (any::<bool>(), prop::sample::select(vec!["a", "b", "c"]), -1_i64..3, -1_i64..3, access).prop_map(
            |(allow, kind, major, minor, access)| oci::DeviceRule { allow, ..deny(kind, major, minor, access) },
        )
    }

    proptest! {
        #[test]
        fn the_program_decides_as_the_rules_do(rules in prop::collection::vec(any_rule(), 0..8),
                                               access in 1_u8..8, block: bool, major in 0_u32..4, minor in 0_u32..4) {
            let policy = Policy::of(&rules).unwrap();
            let (kind, number) = if block { (Kind::Block, 1) } else { (Kind::Char, 2) };
            prop_assert_eq!(
                run(&program(&policy), number, u32::from(access), major, minor),
                decide(&policy, kind, access, major, minor)
            );
        }
    }

    /// A group's list as the kernel keeps it (security/device_cgroup.c): a write by its file and value.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    struct Kept {
        otherwise: bool,
        exceptions: std::collections::BTreeMap<String, u8>,
    }

    impl Kept {
        fn of(writes: &[(&'static str, String)]) -> Self {
            let mut kept = Self { otherwise: true, ..Self::default() };
            writes.iter().for_each(|(file, value)| kept.write(file, value));
            kept
        }

        fn write(&mut self, file: &str, value: &str) {
            let allow = file == ALLOW_V1;
            let Some((nodes, access)) = value.rsplit_once(' ') else {
                *self = Self { otherwise: allow, ..Self::default() };
                return;
            };
            let Access(bits) = Access::parse(access).unwrap();
            let known = self.exceptions.entry(nodes.to_owned()).or_default();
            *known = if allow == self.otherwise { *known & !bits } else { *known | bits };
            self.exceptions.retain(|_, bits| *bits != 0);
        }

        fn allows(&self, nodes: &str, bit: u8) -> bool {
            let excepted = self.exceptions.iter().any(|(known, bits)| {
                let same = |(one, other): (&str, &str)| one == "*" || one == other;
                let parts = |text: &str| text.replace(':', " ").split(' ').map(str::to_owned).collect::<Vec<_>>();
                let pairs: Vec<_> = parts(known).into_iter().zip(parts(nodes)).collect();
                bits & bit != 0 && pairs.iter().all(|(one, other)| same((one, other)))
            });
            excepted != self.otherwise
        }
    }

    fn nodes() -> impl Iterator<Item = (String, u8)> {
        let numbers = (0..4).flat_map(|major| (0..4).map(move |minor| (major, minor)));
        let nodes = numbers.flat_map(|(major, minor)| ["b", "c"].map(|kind| format!("{kind} {major}:{minor}")));
        nodes.flat_map(|nodes| [1, 2, 4].map(|bit| (nodes.clone(), bit)))
    }

    proptest! {
        #[test]
        fn a_change_ends_where_a_fresh_group_begins_and_its_undo_where_it_began(
            former in prop::collection::vec(any_rule(), 0..5), asked in prop::collection::vec(any_rule(), 0..5)) {
            let (Ok(before), Ok(after)) = (List::of(&former), List::of(&asked)) else { return Ok(()) };
            let (before, after) = (Kept::of(&before.whole()), Kept::of(&after.whole()));
            let writes = change_v1(&former, &asked).unwrap();
            let mut kept = before.clone();
            for write in &writes {
                kept.write(&write.file, &write.value);
                for (node, bit) in nodes().filter(|_| before.otherwise == after.otherwise) {
                    let both = [before.allows(&node, bit), after.allows(&node, bit)];
                    prop_assert!(both[0] != both[1] || kept.allows(&node, bit) == both[0], "{write} for {node}");
                }
            }
            prop_assert_eq!(&kept, &after);
            for (file, value) in writes.iter().rev().flat_map(|write| &write.undo) {
                kept.write(file, value);
            }
            prop_assert_eq!(&kept, &before);
            prop_assert_eq!(change_v1(&asked, &asked).unwrap(), []);
        }

        #[test]
        fn both_versions_decide_the_same(rules in prop::collection::vec(any_rule(), 0..6)) {
            let Ok(list) = List::of(&rules) else { return Ok(()) };
            let (kept, program) = (Kept::of(&list.whole()), change_v2(&rules).unwrap());
            for (node, bit) in nodes() {
                let (kind, numbers) = node.split_once(' ').unwrap();
                let (major, minor) = numbers.split_once(':').unwrap();
                let kind = if kind == "b" { 1 } else { 2 };
                let (major, minor) = (major.parse().unwrap(), minor.parse().unwrap());
                prop_assert_eq!(run(&program.instructions, kind, u32::from(bit), major, minor), kept.allows(&node, bit));
            }
        }
    }

    #[test]
    fn a_change_writes_what_is_new_before_it_takes_away_what_is_not_asked_any_more() {
        let former = [deny_all(), allow("c", 10, 229, "rwm"), allow("b", 7, 0, "r")];
        let asked = [deny_all(), allow("c", 10, 229, "r"), allow("b", 7, 0, "rw"), allow("c", 10, 200, "rw")];
        let writes = change_v1(&former, &asked).unwrap();
        let shown: Vec<String> = writes.iter().map(ToString::to_string).collect();
        let expected =
            ["devices.allow = b 7:0 w", "devices.allow = c 10:200 rw", "devices.deny = c 10:229 wm"].map(str::to_owned);
        assert_eq!(shown, expected);
        assert_eq!(writes[2].undo, [(ALLOW_V1, "c 10:229 wm".to_owned())]);
        assert_eq!(writes[0].former("a *:* rwm\n"), None);
    }

    #[test]
    fn a_change_of_what_is_otherwise_is_undone_with_the_whole_former_list() {
        let former = [allow_all(), deny("b", 8, 0, "rwm")];
        let writes = change_v1(&former, &[deny_all()]).unwrap();
        assert_eq!(writes[0].to_string(), "devices.deny = a");
        assert_eq!(writes[0].undo, [(ALLOW_V1, "a".to_owned()), (DENY_V1, "b 8:0 rwm".to_owned())]);
        assert_eq!(writes.len(), 12);
    }

    #[test]
    fn what_is_written_stands_in_the_table() {
        for write in plan_v1(&[]).unwrap() {
            assert!(SETTINGS.iter().any(|setting| setting.v1.unwrap().name == write.file));
        }
    }

    #[test]
    fn a_program_takes_the_place_of_another_even_where_everything_is_allowed() {
        let program = change_v2(&[allow_all()]).unwrap();
        assert_eq!(program.decisions, ["allow a"]);
        assert!(run(&program.instructions, 1, 7, 8, 0));
    }

    #[test]
    fn nothing_asked_is_everything_denied_but_the_default_devices() {
        let writes = shown(&[deny_all()]);
        assert_eq!(writes, shown(&[]));
        assert_eq!(
            writes[..4],
            ["devices.deny = a", "devices.allow = c *:* m", "devices.allow = b *:* m", "devices.allow = c 1:3 rwm"]
        );
        assert_eq!(writes.last().unwrap(), "devices.allow = c 136:* rwm");
        assert_eq!(writes.len(), 12);
    }

    #[test]
    fn a_device_that_was_asked_for_comes_before_the_default_ones() {
        assert_eq!(shown(&[deny_all(), allow("c", 10, 229, "rwm")])[1], "devices.allow = c 10:229 rwm");
    }

    #[test]
    fn where_everything_is_allowed_nothing_is_written() {
        assert_eq!(plan_v1(&[allow_all()]).unwrap(), []);
        assert_eq!(plan_v2(&[deny_all(), allow_all()]).unwrap(), None);
        assert_eq!(shown(&[allow_all(), deny("b", 8, -1, "rwm")]), ["devices.deny = b 8:* rwm"]);
    }

    #[test]
    fn a_denial_of_what_was_just_allowed_takes_it_away() {
        let denied = [deny_all(), allow("b", 8, 0, "rwm"), deny("b", 8, 0, "w")];
        assert_eq!(shown(&denied)[1], "devices.allow = b 8:0 rm");
    }

    #[test]
    fn a_part_taken_back_from_a_wider_rule_is_refused_on_v1_and_decided_on_v2() {
        let part = [deny_all(), allow("b", 8, -1, "rwm"), deny("b", 8, 1, "w")];
        assert!(plan_v1(&part).is_err());
        let program = plan_v2(&part).unwrap().unwrap();
        assert!(run(&program.instructions, 1, 2, 8, 1));
        assert!(!run(&program.instructions, 1, 6, 8, 1));
        assert!(run(&program.instructions, 1, 6, 8, 0));
        assert_eq!(program.decisions.last().unwrap(), "deny a");
    }

    #[test]
    fn rules_that_cannot_be_understood_are_refused() {
        for bad in [allow("x", 1, 1, "r"), allow("c", 1, 1, "x"), allow("c", 1, 1, ""), allow("c", -2, 1, "r")] {
            assert!(plan_v1(std::slice::from_ref(&bad)).is_err(), "{bad:?}");
            assert!(plan_v2(std::slice::from_ref(&bad)).is_err(), "{bad:?}");
        }
        assert!(plan_v1(&[allow("c", 1 << 40, 1, "r")]).is_err());
    }
}
