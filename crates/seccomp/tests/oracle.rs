//! Decision by decision against libseccomp, with runc's ENOSYS rule laid over it as runc lays it.
#![expect(clippy::expect_used, clippy::panic, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use carboy_seccomp::{Arch, call_name, call_number, compile, docker_default};
use oci::{Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompOp, SeccompRule};
use proptest::prelude::*;
use sys::seccomp::Instruction;

use bpf::Data;
use profiles::NAMES;

mod bpf;
mod profiles;

const X32_BIT: u32 = 1 << 30;
const ENOSYS: u32 = 0x0005_0026;
/// libseccomp's numbers below this are of calls that an architecture does not have; -1 is of names that it never heard of.
const PSEUDO: i32 = -10_000;
const AUDIT_X86_64: u32 = 0xc000_003e;
const AUDIT_X86: u32 = 0x4000_0003;
const AUDIT_AARCH64: u32 = 0xc000_00b7;
const AUDIT_ARM: u32 = 0x4000_0028;
const AUDITS: [u32; 4] = [AUDIT_X86_64, AUDIT_X86, AUDIT_AARCH64, AUDIT_ARM];

const DOCKER_CAPABILITIES: &str = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP \
                                   NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE";
const ALL_CAPABILITIES: &str = "DAC_READ_SEARCH SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_PACCT SYS_PTRACE \
                                SYS_RAWIO SYS_TIME SYS_TTY_CONFIG SYS_NICE SYSLOG BPF PERFMON";

/// The oracle program, built once.
static ORACLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    // Another test may be building it or run it: each finds it whole.
    let program = folder.join(format!("seccomp-oracle.{}", std::process::id()));
    let built = Command::new("cc")
        .args(["-O1", "-Wall", "-o"])
        .arg(&program)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/oracle.c"))
        .arg("-lseccomp")
        .output()
        .expect("cannot run cc: install gcc and libseccomp-dev");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "cannot build the oracle: install gcc and libseccomp-dev\n{said}");
    std::fs::rename(&program, folder.join("seccomp-oracle")).expect("the folder is ours");
    folder.join("seccomp-oracle")
});

/// Gives the oracle `input`; its exit code and what it wrote.
fn ask(mode: &str, input: &str) -> (i32, Vec<u8>) {
    let mut oracle = Command::new(&*ORACLE)
        .arg(mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the oracle starts");
    let mut stdin = oracle.stdin.take().expect("it has an input");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = oracle.wait_with_output().expect("the oracle ends");
    // A refusal ends the oracle before it has read everything.
    let _ = writer.join().expect("the writer ends");
    (output.status.code().expect("it exits"), output.stdout)
}

/// libseccomp's numbers of each name, in the order of [`Arch::ALL`]; negative where it has none.
fn libseccomp_numbers<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, [i32; 5]> {
    let (code, text) = ask("numbers", &names.fold(String::new(), |text, name| text + name + "\n"));
    assert_eq!(code, 0);
    String::from_utf8(text)
        .expect("it is text")
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().expect("a name").to_owned();
            let numbers: Vec<i32> = words.map(|word| word.parse().expect("a number")).collect();
            (name, numbers.try_into().expect("five numbers"))
        })
        .collect()
}

fn action(action: SeccompAction, errno: Option<u32>) -> u32 {
    match action {
        SeccompAction::Kill | SeccompAction::KillThread => 0,
        SeccompAction::KillProcess => 0x8000_0000,
        SeccompAction::Trap => 0x0003_0000,
        SeccompAction::Errno => 0x0005_0000 | errno.unwrap_or(1),
        SeccompAction::Notify => 0x7fc0_0000,
        SeccompAction::Trace => 0x7ff0_0000 | errno.unwrap_or(1),
        SeccompAction::Log => 0x7ffc_0000,
        SeccompAction::Allow => 0x7fff_0000,
    }
}

fn operator(op: SeccompOp) -> u32 {
    match op {
        SeccompOp::NotEqual => 1,
        SeccompOp::LessThan => 2,
        SeccompOp::LessOrEqual => 3,
        SeccompOp::EqualTo => 4,
        SeccompOp::GreaterEqual => 5,
        SeccompOp::GreaterThan => 6,
        SeccompOp::MaskedEqual => 7,
    }
}

/// The profile in the oracle's format, its rules as runc hands them to libseccomp.
fn describe(profile: &Seccomp) -> String {
    let default = action(profile.default_action, profile.default_errno_ret);
    let mut text = format!("default {default:x}\n");
    for arch in &profile.architectures {
        let name = match arch {
            SeccompArch::X86_64 => "x86_64",
            SeccompArch::X86 => "x86",
            SeccompArch::X32 => "x32",
            SeccompArch::Aarch64 => "aarch64",
            SeccompArch::Arm => "arm",
            other => panic!("{other:?} is in no test"),
        };
        writeln!(text, "arch {name}").expect("it is a string");
    }
    if !profile.architectures.contains(&SeccompArch::X86_64) {
        text.push_str("foreign\n");
    }
    for rule in &profile.syscalls {
        let code = action(rule.action, rule.errno_ret);
        if code == default {
            continue;
        }
        let indices: BTreeSet<u32> = rule.args.iter().map(|argument| argument.index).collect();
        let together = if indices.len() == rule.args.len() { rule.args.len().max(1) } else { 1 };
        let sets: Vec<&[SeccompArg]> =
            if rule.args.is_empty() { vec![&[]] } else { rule.args.chunks(together).collect() };
        for name in &rule.names {
            for set in &sets {
                write!(text, "rule {code:x} {name} {}", set.len()).expect("it is a string");
                for SeccompArg { index, value, value_two, op } in *set {
                    write!(text, " {index} {} {value} {value_two}", operator(*op)).expect("it is a string");
                }
                text.push('\n');
            }
        }
    }
    text
}

/// libseccomp's program and, as in runc, the largest number of each architecture that the profile names.
struct Expected {
    program: Vec<Instruction>,
    newest: Option<[i32; 5]>,
    listed: Vec<SeccompArch>,
}

impl Expected {
    /// `None` where libseccomp refuses the profile because two rules contradict each other.
    fn of(profile: &Seccomp) -> Option<Self> {
        let (code, bytes) = ask("filter", &describe(profile));
        if code == 3 {
            return None;
        }
        assert_eq!(code, 0, "the oracle understands {profile:?}");
        let program = bytes
            .chunks_exact(8)
            .map(|bytes| Instruction {
                code: u16::from_le_bytes([bytes[0], bytes[1]]),
                jump_true: bytes[2],
                jump_false: bytes[3],
                k: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            })
            .collect();
        let names = profile.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str);
        let denies =
            ![SeccompAction::Allow, SeccompAction::Log, SeccompAction::Trace].contains(&profile.default_action);
        let newest = denies.then(|| {
            libseccomp_numbers(names).into_values().fold([0; 5], |mut newest, numbers| {
                newest.iter_mut().zip(numbers).for_each(|(newest, number)| *newest = number.max(*newest));
                newest
            })
        });
        Some(Self { program, newest, listed: profile.architectures.clone() })
    }

    fn decide(&self, data: &Data) -> u32 {
        let lists = |arch| self.listed.contains(&arch);
        let column = match data.audit {
            AUDIT_X86_64 if lists(SeccompArch::X86_64) && data.number & X32_BIT == 0 => Some(0),
            AUDIT_X86_64 if lists(SeccompArch::X32) => Some(1),
            AUDIT_X86 if lists(SeccompArch::X86) => Some(2),
            AUDIT_AARCH64 if lists(SeccompArch::Aarch64) => Some(3),
            AUDIT_ARM if lists(SeccompArch::Arm) => Some(4),
            _ => None,
        };
        let newest = self.newest.zip(column).map_or(0, |(newest, column)| newest[column].cast_unsigned());
        if newest != 0 && data.number > newest { ENOSYS } else { bpf::run(&self.program, data) }
    }
}

/// Every number that any architecture may see, the edges of x32 and ARM's private calls among them.
fn all_numbers() -> Vec<u32> {
    let edges = [X32_BIT - 1, X32_BIT | 0xffff, u32::MAX - 1, u32::MAX];
    (0..=600).chain((0..=600).map(|number| number | X32_BIT)).chain(0xf_0000..0xf_0010).chain(edges).collect()
}

/// The numbers of the calls that the property tests use, their neighbours and the edges.
fn tested_numbers() -> Vec<u32> {
    let calls = NAMES.into_iter().chain(["socketcall", "ipc"]);
    let numbers = calls.flat_map(|name| Arch::ALL.into_iter().filter_map(move |arch| call_number(name, arch)));
    let around = numbers.flat_map(|number| [number.saturating_sub(1), number, number + 1]);
    around
        .chain([600, X32_BIT - 1, X32_BIT | 0xffff, u32::MAX - 1, u32::MAX])
        .collect::<BTreeSet<u32>>()
        .into_iter()
        .collect()
}

/// Asks both for every number with every value, as all arguments at once and mixed with the others.
fn compare(profile: &Seccomp, expected: &Expected, native: Arch, (audits, numbers): (&[u32], &[u32])) {
    let program = compile(profile, native).expect("the profile is valid");
    let values = profiles::interesting(profile);
    for (audit, number) in audits.iter().flat_map(|audit| numbers.iter().map(|number| (*audit, *number))) {
        for (turn, value) in values.iter().enumerate() {
            let mixed = std::array::from_fn(|index| values[(turn * 7 + index * 3) % values.len()]);
            for arguments in [[*value; 6], mixed] {
                let data = Data { number, audit, arguments };
                let (ours, theirs) = (bpf::run(&program.instructions, &data), expected.decide(&data));
                assert_eq!(ours, theirs, "{data:x?}: ours {ours:#x}, libseccomp's {theirs:#x}\n{profile:?}");
            }
        }
    }
}

/// Without the names that the installed libseccomp is too old to know.
fn known_to_libseccomp(mut profile: Seccomp) -> Seccomp {
    let names = profile.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str);
    let numbers = libseccomp_numbers(names);
    for rule in &mut profile.syscalls {
        rule.names.retain(|name| {
            let known = |(arch, theirs): (&Arch, &i32)| {
                call_number(name, *arch).is_none() || (*theirs > PSEUDO && *theirs != -1)
            };
            Arch::ALL.iter().zip(&numbers[name]).all(known)
        });
    }
    profile.syscalls.retain(|rule| !rule.names.is_empty());
    profile
}

fn dockers_default_agrees(native: Arch) {
    for capabilities in ["", DOCKER_CAPABILITIES, ALL_CAPABILITIES] {
        let capabilities: Vec<String> = capabilities.split_whitespace().map(|name| format!("CAP_{name}")).collect();
        for kernel in [(4, 7), (6, 18)] {
            let profile = known_to_libseccomp(docker_default(&capabilities, native, kernel));
            let expected = Expected::of(&profile).expect("it does not contradict itself");
            compare(&profile, &expected, native, (&AUDITS, &all_numbers()));
        }
    }
}

#[test]
fn dockers_default_profile_decides_as_with_libseccomp_and_runc_on_x86_64() {
    dockers_default_agrees(Arch::X86_64);
}

#[test]
fn dockers_default_profile_decides_as_with_libseccomp_and_runc_on_aarch64() {
    dockers_default_agrees(Arch::Aarch64);
}

/// Another profile of its size, with rules of its own: Debian's golang-github-containers-common, which podman needs.
#[test]
fn podmans_default_profile_decides_as_with_libseccomp_and_runc() {
    let text = std::fs::read("/usr/share/containers/seccomp.json").expect("install podman");
    let parsed = carboy_seccomp::parse_profile(&text, "podman's profile").expect("it is one");
    for native in [Arch::X86_64, Arch::Aarch64] {
        for capabilities in [DOCKER_CAPABILITIES, ALL_CAPABILITIES] {
            let capabilities: Vec<String> = capabilities.split_whitespace().map(|name| format!("CAP_{name}")).collect();
            let profile = known_to_libseccomp(parsed.resolve(&capabilities, native, (6, 18)));
            let expected = Expected::of(&profile).expect("it does not contradict itself");
            compare(&profile, &expected, native, (&AUDITS, &all_numbers()));
        }
    }
}

#[test]
fn the_table_has_the_numbers_that_libseccomp_has() {
    let names: BTreeSet<&str> = Arch::ALL
        .iter()
        .flat_map(|arch| (0..=600).chain(0xf_0000..0xf_0010).map(|number| (number, *arch)))
        .flat_map(|(number, arch)| [call_name(number, arch), call_name(number | X32_BIT, arch)])
        .flatten()
        .collect();
    assert!(names.len() > 480, "{} names", names.len());
    for (name, numbers) in libseccomp_numbers(names.iter().copied()) {
        for (arch, theirs) in Arch::ALL.into_iter().zip(numbers) {
            // Negative: not on this architecture, or (i386) reached through a multiplexer as well.
            if theirs >= 0 {
                assert_eq!(call_number(&name, arch), Some(theirs.cast_unsigned()), "{name} on {arch:?}");
            }
        }
    }
}

/// One rule for each call, any conditions on different arguments.
fn rules_for_different_calls() -> impl Strategy<Value = Vec<SeccompRule>> {
    let arguments = || prop::sample::subsequence((0..6).collect::<Vec<u32>>(), 0..=3);
    let rule = |action| (arguments(), prop::collection::vec(profiles::an_argument(), 3), action);
    let rules: Vec<_> = NAMES.iter().map(|name| rule(profiles::a_rules_action(&[name]))).collect();
    (rules, 0..=NAMES.len()).prop_map(|(rules, count)| {
        let rules = NAMES.iter().zip(rules).take(count);
        rules
            .map(|(name, (indices, arguments, (action, errno_ret)))| SeccompRule {
                names: vec![(*name).to_owned()],
                action,
                errno_ret,
                args: indices
                    .into_iter()
                    .zip(arguments)
                    .map(|(index, argument)| SeccompArg { index, ..argument })
                    .collect(),
            })
            .collect()
    })
}

/// Rules with actions of their own, each with at most one condition on argument 0; none with `>` or `>=`, since
/// libseccomp makes `< 2` and `>= 2` one comparison, and which of the two comes before `< 9` then depends on chance.
fn rules_that_disagree() -> impl Strategy<Value = Vec<SeccompRule>> {
    let argument = profiles::an_argument().prop_map(|argument| SeccompArg { index: 0, ..argument });
    let argument = argument.prop_filter("below or equal", |argument| {
        ![SeccompOp::GreaterThan, SeccompOp::GreaterEqual].contains(&argument.op)
    });
    let (names, _multiplexed) = NAMES.split_at(NAMES.len() - 4);
    prop::collection::vec(profiles::a_rule(names, prop::collection::vec(argument, 0..=1)), 0..=8)
}

fn a_profile(arch: SeccompArch, rules: impl Strategy<Value = Vec<SeccompRule>>) -> impl Strategy<Value = Seccomp> {
    (profiles::an_action(), rules).prop_map(move |((default_action, default_errno_ret), syscalls)| Seccomp {
        default_action,
        default_errno_ret,
        architectures: vec![arch],
        flags: Vec::new(),
        listener_path: Some("/run/agent".to_owned()),
        listener_metadata: None,
        syscalls,
    })
}

// libseccomp 2.5 and 2.6 forget to load the number, or the right half of an argument, where calls share conditions or
// where several rules of a call compare 64 bits with `<` or `>`. So each test has one architecture: x86_64 with one rule
// a call, i386 (whose arguments have one half) with rules that overlap.
proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_rule_a_call_decides_as_with_libseccomp(profile in a_profile(SeccompArch::X86_64, rules_for_different_calls())) {
        let expected = Expected::of(&profile).expect("rules for different calls do not contradict each other");
        compare(&profile, &expected, Arch::X86_64, (&AUDITS, &tested_numbers()));
    }

    #[test]
    fn rules_that_disagree_decide_as_with_libseccomp(profile in a_profile(SeccompArch::X86, rules_that_disagree())) {
        if let Some(expected) = Expected::of(&profile) {
            compare(&profile, &expected, Arch::X86, (&[AUDIT_X86], &tested_numbers()));
        }
    }
}
