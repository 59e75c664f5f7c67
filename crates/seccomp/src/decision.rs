//! What a profile decides for each system call of one architecture, before any instruction is written.
//!
//! The decisions are those of runc with libseccomp: a rule whose action is the default one is left out; conditions of
//! one rule must all hold, unless two name the same argument, when each becomes a rule of its own; a rule without
//! conditions wins over those with, the first of several; among rules with conditions the more specific comes first
//! (the higher argument, equality before `<` before `>`, the narrower bound). On 32-bit architectures only the low
//! half of an argument and of a value counts.

use std::cmp::{Ordering, Reverse};

use error::{Refused, Result};
use oci::{Seccomp, SeccompAction, SeccompArg, SeccompOp, SeccompRule};

use crate::multiplex::multiplexed;
use crate::table::{Arch, Call, find};

/// Return values of a filter: <linux/seccomp.h>.
pub(crate) const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;
/// `ERRNO` with ENOSYS.
pub(crate) const NO_SUCH_CALL: u32 = ERRNO | 38;

const EPERM: u32 = 1;
/// The kernel cuts an errno at `MAX_ERRNO`.
const MAX_ERRNO: u32 = 4095;
/// What fits beside an action (`SECCOMP_RET_DATA`).
const MAX_DATA: u32 = 0xffff;

/// One comparison of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Which argument, 0 to 5.
    pub(crate) argument: u32,
    pub(crate) operator: SeccompOp,
    /// What it is compared with, already masked.
    pub(crate) value: u64,
    /// The bits that count; all of them unless the operator is `MASKED_EQ`.
    pub(crate) mask: u64,
}

/// An action that is taken when all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: u32,
}

/// What is decided for one system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The same whatever its arguments.
    Always(u32),
    /// The first rule that holds, else the default action.
    ByArguments(Vec<Rule>),
}

impl Decision {
    /// Whether the call can go through, at least with some arguments.
    pub(crate) fn may_allow(&self) -> bool {
        let passes = |action: u32| action == ALLOW || action == LOG;
        match self {
            Self::Always(action) => passes(*action),
            Self::ByArguments(rules) => rules.iter().any(|rule| passes(rule.action)),
        }
    }
}

/// A system call of the profile and the rule that names it.
#[derive(Debug, Clone, Copy)]
struct Mention {
    call: &'static Call,
    /// Index into [`Decisions::rules`].
    rule: usize,
}

/// Every rule of a profile, checked, with its names looked up.
#[derive(Debug)]
pub(crate) struct Decisions {
    /// The action where no rule says otherwise.
    pub(crate) default: u32,
    /// Names that no architecture here knows.
    pub(crate) unknown: Vec<String>,
    /// Whether any rule hands calls to a listener.
    pub(crate) notifies: bool,
    /// Whether a call newer than every call of the profile is told that it does not exist.
    pub(crate) hides_newer: bool,
    rules: Vec<Rule>,
    mentions: Vec<Mention>,
}

/// One rule for one number of an architecture; `selector` is the multiplexer's argument 0.
#[derive(Debug, Clone, Copy)]
struct Match {
    number: u32,
    rule: usize,
    selector: Option<u32>,
}

impl Decisions {
    /// Checks a profile and looks its names up.
    ///
    /// # Errors
    /// Refused, with the field, where the profile is not valid.
    pub(crate) fn new(profile: &Seccomp) -> Result<Self> {
        let default =
            action(profile.default_action, profile.default_errno_ret, || "linux.seccomp.defaultErrnoRet".into())?;
        if profile.default_action == SeccompAction::Notify {
            let reason = "cannot be the default: the call that hands over the listener would wait for it";
            return Err(Refused::new("linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY", reason).into());
        }
        let permissive = [SeccompAction::Allow, SeccompAction::Log, SeccompAction::Trace];
        let mut decisions = Self {
            default,
            unknown: Vec::new(),
            notifies: false,
            hides_newer: !permissive.contains(&profile.default_action),
            rules: Vec::with_capacity(profile.syscalls.len()),
            mentions: Vec::with_capacity(512),
        };
        for (index, rule) in profile.syscalls.iter().enumerate() {
            decisions.add(rule, index)?;
        }
        Ok(decisions)
    }

    fn add(&mut self, rule: &SeccompRule, index: usize) -> Result<()> {
        let field = |name: &str| format!("linux.seccomp.syscalls[{index}].{name}");
        if rule.names.is_empty() {
            return Err(Refused::new(field("names"), "[]", "must name at least one system call").into());
        }
        let action = action(rule.action, rule.errno_ret, || field("errnoRet"))?;
        let first = self.rules.len();
        if let Some(argument) = rule.args.iter().position(|argument| argument.index > 5) {
            let value = rule.args.get(argument).map_or(0, |argument| argument.index);
            let reason = "is not an argument of a system call, they are 0 to 5";
            return Err(Refused::new(field(&format!("args[{argument}].index")), value.to_string(), reason).into());
        }
        self.rules.extend(alternatives(&rule.args).map(|conditions| Rule { conditions, action }));
        for name in &rule.names {
            if name.is_empty() {
                return Err(Refused::new(field("names"), "\"\"", "is not the name of a system call").into());
            }
            if rule.action == SeccompAction::Notify {
                self.notifies = true;
                if name == "write" {
                    let reason = "cannot be SCMP_ACT_NOTIFY: the container's start would wait for its own listener";
                    return Err(Refused::new(field("names"), name, reason).into());
                }
            }
            match find(name) {
                Some(call) => self.mentions.extend((first..self.rules.len()).map(|rule| Mention { call, rule })),
                None => self.unknown.push(name.clone()),
            }
        }
        Ok(())
    }

    /// The decision for each number of `arch` that has one, by number; other numbers get the default.
    ///
    /// # Errors
    /// Refused where two rules give the same call different actions under the same conditions.
    pub(crate) fn of(&self, arch: Arch) -> Result<Vec<(u32, Decision)>> {
        let mut matches = Vec::with_capacity(self.mentions.len());
        for Mention { call, rule } in self.mentions.iter().copied() {
            if self.rules.get(rule).is_none_or(|rule| rule.action == self.default) {
                continue;
            }
            if let Some(number) = call.number(arch) {
                matches.push(Match { number, rule, selector: None });
            }
            if arch == Arch::X86
                && let Some(through) = multiplexed(call.name)
            {
                matches.push(Match { number: through.number, rule, selector: Some(through.selector) });
            }
        }
        matches.sort_by_key(|found| found.number);
        let mut decided = Vec::with_capacity(matches.len());
        for group in matches.chunk_by(|a, b| a.number == b.number) {
            if let Some(first) = group.first() {
                decided.push((first.number, self.decide(group, arch)?));
            }
        }
        Ok(decided)
    }

    fn decide(&self, group: &[Match], arch: Arch) -> Result<Decision> {
        let mut rules = Vec::new();
        for found in group {
            let Some(rule) = self.rules.get(found.rule) else { continue };
            let rule = rule.on(arch, found.selector);
            if rule.conditions.is_empty() {
                return Ok(Decision::Always(rule.action));
            }
            rules.push(rule);
        }
        rules.sort_by(precedence);
        rules.dedup();
        if let Some([rule, _]) = rules.array_windows().find(|[a, b]| a.conditions == b.conditions) {
            let number = group.first().map_or(0, |found| found.number);
            let name = crate::table::call_name(number, arch).unwrap_or_default();
            let arguments: Vec<String> =
                rule.conditions.iter().map(|condition| condition.argument.to_string()).collect();
            let reason = format!("has two actions for one condition on argument {}", arguments.join(" and "));
            return Err(Refused::new("linux.seccomp.syscalls", name, reason)
                .hint("remove one of the two rules")
                .into());
        }
        Ok(Decision::ByArguments(rules))
    }

    /// The largest number of `arch` that the profile names, in any rule; `None` where it names none above 0.
    ///
    /// As in runc, i386 calls that have a multiplexer do not count.
    pub(crate) fn newest(&self, arch: Arch) -> Option<u32> {
        let counts = |call: &Call| arch != Arch::X86 || multiplexed(call.name).is_none();
        self.mentions
            .iter()
            .filter(|mention| counts(mention.call))
            .filter_map(|mention| mention.call.number(arch))
            .max()
            .filter(|number| *number != 0)
    }
}

impl Rule {
    /// The rule as `arch` can check it.
    fn on(&self, arch: Arch, selector: Option<u32>) -> Self {
        let narrow = matches!(arch, Arch::X32 | Arch::X86 | Arch::Arm);
        let mut conditions = Vec::new();
        if let Some(selector) = selector {
            let value = u64::from(selector);
            conditions.push(Condition { argument: 0, operator: SeccompOp::EqualTo, value, mask: u64::from(u32::MAX) });
        }
        for mut condition in self.conditions.iter().copied() {
            if selector.is_some() && condition.argument == 0 {
                continue;
            }
            if narrow {
                condition.value &= u64::from(u32::MAX);
                condition.mask &= u64::from(u32::MAX);
            }
            if condition.mask != 0 {
                conditions.push(condition);
            }
        }
        Self { conditions, action: self.action }
    }
}

/// The conditions under which a rule holds: all of them at once, or any one where two name the same argument.
fn alternatives(arguments: &[SeccompArg]) -> impl Iterator<Item = Vec<Condition>> {
    let mut conditions: Vec<Condition> = arguments.iter().map(condition).collect();
    conditions.sort_by_key(|condition| condition.argument);
    let repeats = conditions.array_windows().any(|[a, b]| a.argument == b.argument);
    let size = if repeats { 1 } else { conditions.len().max(1) };
    let alternatives: Vec<Vec<Condition>> =
        if conditions.is_empty() { vec![conditions] } else { conditions.chunks(size).map(<[_]>::to_vec).collect() };
    alternatives.into_iter()
}

fn condition(argument: &SeccompArg) -> Condition {
    let SeccompArg { index, value, value_two, op } = *argument;
    let (value, mask) = if op == SeccompOp::MaskedEqual { (value_two & value, value) } else { (value, u64::MAX) };
    Condition { argument: index, operator: op, value, mask }
}

/// Which of two rules is asked first.
fn precedence(a: &Rule, b: &Rule) -> Ordering {
    let key = |condition: &Condition| {
        let (class, value) = match condition.operator {
            SeccompOp::EqualTo | SeccompOp::NotEqual | SeccompOp::MaskedEqual => (0, !condition.value),
            SeccompOp::LessThan | SeccompOp::LessOrEqual => (1, condition.value),
            SeccompOp::GreaterEqual | SeccompOp::GreaterThan => (2, !condition.value),
        };
        (Reverse(condition.argument), class, value)
    };
    std::iter::zip(&a.conditions, &b.conditions)
        .map(|(a, b)| key(a).cmp(&key(b)))
        .find(|ordering| ordering.is_ne())
        .unwrap_or_else(|| b.conditions.len().cmp(&a.conditions.len()))
}

/// The filter's return value for an action.
fn action(action: SeccompAction, errno: Option<u32>, field: impl Fn() -> String) -> Result<u32> {
    let data = |largest: u32| match errno {
        None => Ok(EPERM),
        Some(errno) if errno <= largest => Ok(errno),
        Some(errno) => Err(Refused::new(field(), errno.to_string(), format!("is larger than {largest}"))),
    };
    let plain = match action {
        SeccompAction::Errno => return Ok(ERRNO | data(MAX_ERRNO)?),
        SeccompAction::Trace => return Ok(TRACE | data(MAX_DATA)?),
        SeccompAction::Kill | SeccompAction::KillThread => KILL_THREAD,
        SeccompAction::KillProcess => KILL_PROCESS,
        SeccompAction::Trap => TRAP,
        SeccompAction::Allow => ALLOW,
        SeccompAction::Log => LOG,
        SeccompAction::Notify => NOTIFY,
    };
    match errno {
        None => Ok(plain),
        Some(errno) => {
            let reason = "goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only";
            Err(Refused::new(field(), errno.to_string(), reason).into())
        }
    }
}
