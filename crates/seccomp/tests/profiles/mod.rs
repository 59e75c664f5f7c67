//! Profiles of every shape, for property tests.

use std::collections::BTreeSet;

use oci::{Seccomp, SeccompAction, SeccompArg, SeccompOp, SeccompRule};
use proptest::prelude::*;

/// Calls of every kind: plain, renumbered on x32, and the last four on i386 behind a multiplexer.
pub(crate) static NAMES: [&str; 12] = [
    "read",
    "write",
    "openat",
    "clone",
    "clone3",
    "personality",
    "setns",
    "rt_sigaction",
    "accept",
    "semop",
    "socket",
    "semctl",
];

fn an_operator() -> impl Strategy<Value = SeccompOp> {
    prop::sample::select(vec![
        SeccompOp::NotEqual,
        SeccompOp::LessThan,
        SeccompOp::LessOrEqual,
        SeccompOp::EqualTo,
        SeccompOp::GreaterEqual,
        SeccompOp::GreaterThan,
        SeccompOp::MaskedEqual,
    ])
}

fn a_value() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, Just(0xffff_ffff), Just(0x1_0000_0000), Just(0x1_0000_0002), Just(u64::MAX), any::<u64>()]
}

pub(crate) fn an_argument() -> impl Strategy<Value = SeccompArg> {
    (0..6_u32, a_value(), a_value(), an_operator()).prop_map(|(index, value, value_two, op)| SeccompArg {
        index,
        value,
        value_two,
        op,
    })
}

pub(crate) fn an_action() -> impl Strategy<Value = (SeccompAction, Option<u32>)> {
    prop::sample::select(vec![
        (SeccompAction::KillProcess, None),
        (SeccompAction::Kill, None),
        (SeccompAction::Trap, None),
        (SeccompAction::Errno, None),
        (SeccompAction::Errno, Some(38)),
        (SeccompAction::Trace, Some(7)),
        (SeccompAction::Allow, None),
        (SeccompAction::Log, None),
    ])
}

/// An action of a rule: about all calls but write(2) somebody else can be asked.
pub(crate) fn a_rules_action(names: &[&str]) -> BoxedStrategy<(SeccompAction, Option<u32>)> {
    if names.contains(&"write") {
        return an_action().boxed();
    }
    prop_oneof![6 => an_action(), 1 => Just((SeccompAction::Notify, None))].boxed()
}

pub(crate) fn a_rule(
    names: &'static [&'static str],
    arguments: impl Strategy<Value = Vec<SeccompArg>>,
) -> impl Strategy<Value = SeccompRule> {
    let names = prop::sample::subsequence(names, 1..=3);
    let names = names.prop_flat_map(|names| (a_rules_action(&names), Just(names)));
    (names, arguments).prop_map(|(((action, errno_ret), names), args)| SeccompRule {
        names: names.into_iter().map(str::to_owned).collect(),
        action,
        errno_ret,
        args,
    })
}

/// Values around every value that the profile compares with, in both halves.
pub(crate) fn interesting(profile: &Seccomp) -> Vec<u64> {
    let arguments = profile.syscalls.iter().flat_map(|rule| &rule.args);
    let values = arguments.flat_map(|argument| [argument.value, argument.value_two]).chain([0, u64::MAX]);
    let around = values.flat_map(|value| {
        let high = 1 << 32;
        [
            value,
            value.wrapping_sub(1),
            value.wrapping_add(1),
            value ^ high,
            value & 0xffff_ffff,
            value.wrapping_add(high),
            !value,
        ]
    });
    around.collect::<BTreeSet<u64>>().into_iter().collect()
}
