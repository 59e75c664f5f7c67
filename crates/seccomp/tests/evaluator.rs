//! The compiled program against the plainest reading of a profile, rule by rule and with 64-bit arithmetic.
#![expect(clippy::expect_used, reason = "what fails here fails the test")]

use carboy_seccomp::{Arch, allowed_count, call_number, compile};
use oci::{Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompOp, SeccompRule};
use proptest::prelude::*;

use bpf::Data;
use profiles::NAMES;

mod bpf;
mod profiles;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL_THREAD: u32 = 0;
const X32_BIT: u32 = 1 << 30;
const AUDIT_X86_64: u32 = 0xc000_003e;
const AUDIT_X86: u32 = 0x4000_0003;

fn holds(argument: &SeccompArg, arguments: [u64; 6]) -> bool {
    let given = arguments[argument.index as usize];
    let value = argument.value;
    match argument.op {
        SeccompOp::NotEqual => given != value,
        SeccompOp::LessThan => given < value,
        SeccompOp::LessOrEqual => given <= value,
        SeccompOp::EqualTo => given == value,
        SeccompOp::GreaterEqual => given >= value,
        SeccompOp::GreaterThan => given > value,
        SeccompOp::MaskedEqual => given & value == argument.value_two & value,
    }
}

/// Whether a rule applies; conditions that share an argument are alternatives.
fn applies(rule: &SeccompRule, arguments: [u64; 6]) -> bool {
    let mut indices: Vec<u32> = rule.args.iter().map(|argument| argument.index).collect();
    indices.sort_unstable();
    let repeats = indices.windows(2).any(|pair| pair[0] == pair[1]);
    let mut conditions = rule.args.iter().map(|argument| holds(argument, arguments));
    if repeats { conditions.any(|holds| holds) } else { conditions.all(|holds| holds) }
}

fn profile(rules: Vec<SeccompRule>) -> Seccomp {
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: None,
        architectures: vec![SeccompArch::X86_64],
        flags: Vec::new(),
        listener_path: Some("/run/agent".to_owned()),
        listener_metadata: None,
        syscalls: rules,
    }
}

fn rule(names: &[&str], args: Vec<SeccompArg>) -> SeccompRule {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    SeccompRule { names, action: SeccompAction::Allow, errno_ret: None, args }
}

fn equals(index: u32, value: u64) -> SeccompArg {
    SeccompArg { index, value, value_two: 0, op: SeccompOp::EqualTo }
}

fn decide(profile: &Seccomp, data: Data) -> u32 {
    bpf::run(&compile(profile, Arch::X86_64).expect("the profile is valid").instructions, &data)
}

fn call(name: &str, arguments: [u64; 6]) -> Data {
    Data { number: call_number(name, Arch::X86_64).expect("it exists"), audit: AUDIT_X86_64, arguments }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_call_is_allowed_exactly_when_a_rule_for_it_applies(
        rules in prop::collection::vec(profiles::a_rule(&NAMES, prop::collection::vec(profiles::an_argument(), 0..=4)), 0..=12)
    ) {
        let rules = rules.into_iter().map(|rule| SeccompRule { action: SeccompAction::Allow, errno_ret: None, ..rule });
        let profile = profile(rules.collect());
        let program = compile(&profile, Arch::X86_64).expect("the profile is valid").instructions;
        let newest = profile.syscalls.iter().flat_map(|rule| &rule.names)
            .filter_map(|name| call_number(name, Arch::X86_64)).max().unwrap_or(0);
        let values = profiles::interesting(&profile);
        for name in NAMES {
            for turn in 0..values.len() {
                let arguments = std::array::from_fn(|index| values[(turn * 7 + index * 3) % values.len()]);
                let data = call(name, arguments);
                let named = |rule: &&SeccompRule| rule.names.iter().any(|known| known == name);
                let allowed = profile.syscalls.iter().filter(named).any(|rule| applies(rule, arguments));
                let denied = if newest != 0 && data.number > newest { ENOSYS } else { EPERM };
                prop_assert_eq!(bpf::run(&program, &data), if allowed { ALLOW } else { denied }, "{} {:x?}", name, data);
            }
        }
    }
}

#[test]
fn each_operator_compares_all_64_bits() {
    let bound = 0x7_0000_0005;
    let around = [0, 5, bound - 1, bound, bound + 1, 0x6_0000_0005, 0x6_0000_0006, 0x8_0000_0000, u64::MAX];
    let operators = [
        SeccompOp::NotEqual,
        SeccompOp::LessThan,
        SeccompOp::LessOrEqual,
        SeccompOp::EqualTo,
        SeccompOp::GreaterEqual,
        SeccompOp::GreaterThan,
        SeccompOp::MaskedEqual,
    ];
    for op in operators {
        for index in 0..6 {
            let argument = SeccompArg { index, value: bound, value_two: 0x4_0000_0001, op };
            let profile = profile(vec![rule(&["read", "write"], vec![argument])]);
            for given in around {
                let mut arguments = [0x55; 6];
                arguments[index as usize] = given;
                let expected = if holds(&argument, arguments) { ALLOW } else { EPERM };
                assert_eq!(decide(&profile, call("read", arguments)), expected, "{argument:?} {given:#x}");
            }
        }
    }
}

#[test]
fn another_architecture_and_x32_kill_the_thread_unless_listed() {
    let mut profile = profile(vec![rule(&["read", "openat"], Vec::new())]);
    let x86 = Data { number: 3, audit: AUDIT_X86, arguments: [0; 6] };
    let x32 = Data { number: X32_BIT, audit: AUDIT_X86_64, arguments: [0; 6] };
    assert_eq!([decide(&profile, x86), decide(&profile, x32)], [KILL_THREAD; 2]);
    profile.architectures.extend([SeccompArch::X86, SeccompArch::X32]);
    assert_eq!([decide(&profile, x86), decide(&profile, x32)], [ALLOW; 2]);
}

#[test]
fn a_call_that_a_tracer_skips_gets_the_default() {
    let profile = profile(vec![rule(&["read", "openat"], Vec::new())]);
    assert_eq!(decide(&profile, Data { number: u32::MAX, audit: AUDIT_X86_64, arguments: [0; 6] }), EPERM);
}

#[test]
fn a_call_newer_than_the_profile_does_not_exist_unless_the_default_lets_it_through() {
    let mut profile = profile(vec![rule(&["read", "openat2"], Vec::new())]);
    assert_eq!(decide(&profile, call("mseal", [0; 6])), ENOSYS);
    assert_eq!(decide(&profile, call("openat", [0; 6])), EPERM);
    for action in [SeccompAction::Log, SeccompAction::Trace] {
        profile.default_action = action;
        assert_ne!(decide(&profile, call("mseal", [0; 6])), ENOSYS);
    }
}

#[test]
fn a_rule_without_conditions_wins_over_those_with() {
    let narrow = SeccompRule { action: SeccompAction::Trap, ..rule(&["read"], vec![equals(0, 1)]) };
    for rules in [vec![narrow.clone(), rule(&["read"], Vec::new())], vec![rule(&["read"], Vec::new()), narrow]] {
        assert_eq!(decide(&profile(rules), call("read", [1; 6])), ALLOW);
    }
}

#[test]
fn every_action_is_the_kernels() {
    let actions = [
        (SeccompAction::Kill, 0),
        (SeccompAction::KillThread, 0),
        (SeccompAction::KillProcess, 0x8000_0000),
        (SeccompAction::Trap, 0x0003_0000),
        (SeccompAction::Errno, 0x0005_0001),
        (SeccompAction::Trace, 0x7ff0_0001),
        (SeccompAction::Log, 0x7ffc_0000),
        (SeccompAction::Allow, 0x7fff_0000),
        (SeccompAction::Notify, 0x7fc0_0000),
    ];
    for (action, expected) in actions {
        let mut profile = profile(vec![SeccompRule { action, ..rule(&["read", "openat"], Vec::new()) }]);
        profile.default_errno_ret = Some(13);
        assert_eq!(decide(&profile, call("read", [0; 6])), expected, "{action:?}");
    }
}

#[test]
fn four_thousand_rules_without_conditions_compile_and_as_many_with_are_refused() {
    let rules = |conditions: fn(u64) -> Vec<SeccompArg>| {
        profile((0..4000).zip(NAMES.iter().cycle()).map(|(turn, name)| rule(&[name], conditions(turn))).collect())
    };
    let program = compile(&rules(|_| Vec::new()), Arch::X86_64).expect("they are few decisions");
    assert!(program.instructions.len() < 60, "{}", program.instructions.len());
    let refused = compile(&rules(|turn| vec![equals(0, turn)]), Arch::X86_64).expect_err("they are too many");
    assert!(refused.to_string().starts_with("cannot use linux.seccomp.syscalls of 4000 rules: become "), "{refused}");
}

#[test]
fn jumps_beyond_255_instructions_reach_their_targets() {
    let conditions =
        (0..90).flat_map(|value| [rule(&["read"], vec![equals(1, value)]), rule(&["openat"], vec![equals(2, value)])]);
    let profile = profile(conditions.chain([rule(&["write", "close", "clone3"], Vec::new())]).collect());
    let program = compile(&profile, Arch::X86_64).expect("it fits").instructions;
    assert!(program.len() > 600);
    for value in 0..100 {
        let expected = if value < 90 { ALLOW } else { EPERM };
        assert_eq!(bpf::run(&program, &call("read", [9, value, 0, 0, 0, 0])), expected);
        assert_eq!(bpf::run(&program, &call("openat", [9, 9999, value, 0, 0, 0])), expected);
    }
    assert_eq!(bpf::run(&program, &call("clone3", [0; 6])), ALLOW);
    assert_eq!(bpf::run(&program, &call("mseal", [0; 6])), ENOSYS);
}

#[test]
fn unknown_names_are_collected_and_decide_nothing() {
    let program =
        compile(&profile(vec![rule(&["read", "frobnicate"], Vec::new())]), Arch::X86_64).expect("it is valid");
    assert_eq!(program.unknown, ["frobnicate"]);
}

#[test]
fn an_invalid_profile_is_refused_with_its_field() {
    let refusal = |change: fn(&mut Seccomp)| {
        let mut profile = profile(vec![rule(&["read", "openat"], vec![equals(0, 1)])]);
        change(&mut profile);
        compile(&profile, Arch::X86_64).expect_err("it is invalid").to_string()
    };
    assert_eq!(
        refusal(|profile| profile.syscalls[0].args[0].index = 6),
        "cannot use linux.seccomp.syscalls[0].args[0].index 6: is not an argument of a system call, they are 0 to 5"
    );
    assert_eq!(
        refusal(|profile| profile.syscalls[0].errno_ret = Some(1)),
        "cannot use linux.seccomp.syscalls[0].errnoRet 1: goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only"
    );
    assert_eq!(
        refusal(|profile| profile.default_errno_ret = Some(4096)),
        "cannot use linux.seccomp.defaultErrnoRet 4096: is larger than 4095"
    );
    assert_eq!(
        refusal(|profile| profile
            .syscalls
            .push(SeccompRule { action: SeccompAction::Trap, ..profile.syscalls[0].clone() })),
        "cannot use linux.seccomp.syscalls read: has two actions for one condition on argument 0"
    );
    assert!(
        refusal(|profile| profile.syscalls[0].names.clear())
            .starts_with("cannot use linux.seccomp.syscalls[0].names []")
    );
    assert!(
        refusal(|profile| profile.default_action = SeccompAction::Notify)
            .starts_with("cannot use linux.seccomp.defaultAction")
    );
    assert_eq!(
        refusal(|profile| {
            profile.syscalls[0].action = SeccompAction::Notify;
            profile.listener_path = None;
        }),
        "cannot use linux.seccomp.listenerPath: is missing, and nobody else can be asked where a rule has SCMP_ACT_NOTIFY"
    );
    assert_eq!(
        refusal(|profile| {
            profile.syscalls[0] = SeccompRule { action: SeccompAction::Notify, ..rule(&["write"], Vec::new()) };
        }),
        "cannot use linux.seccomp.syscalls[0].names write: cannot be SCMP_ACT_NOTIFY: the container's start would wait \
         for its own listener"
    );
}

#[test]
fn the_count_of_allowed_calls_includes_those_allowed_with_some_arguments() {
    let mut profile =
        profile(vec![rule(&["read", "openat", "chown32"], Vec::new()), rule(&["clone"], vec![equals(0, 1)])]);
    assert_eq!(allowed_count(&profile, Arch::X86_64), Ok(3));
    assert_eq!(allowed_count(&profile, Arch::X86), Ok(4));
    profile.syscalls.clear();
    assert_eq!(allowed_count(&profile, Arch::X86_64), Ok(0));
}
