//! Docker's profile files: what they may say, what stands for which container, and how a wrong one is refused.
#![expect(clippy::expect_used, reason = "what fails here fails the test")]

use carboy_seccomp::{Arch, allowed_count, docker_default, parse_profile};
use oci::{Seccomp, SeccompAction, SeccompArch};

const PROFILE: &str = r#"{
  "defaultAction": "SCMP_ACT_ERRNO",
  "defaultErrnoRet": 1,
  "archMap": [
    { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
    { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null }
  ],
  "syscalls": [
    { "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "always" },
    { "name": "write", "action": "SCMP_ACT_ALLOW" },
    { "names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] }, "excludes": {} },
    { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": { "caps": ["CAP_SYS_ADMIN"] } },
    { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
    { "names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["amd64", "x32"] } },
    { "names": ["personality"], "action": "SCMP_ACT_ALLOW",
      "args": [{ "index": 0, "value": 4294967295, "op": "SCMP_CMP_EQ" }] }
  ]
}"#;

fn names(profile: &Seccomp) -> Vec<&str> {
    profile.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str).collect()
}

fn refusal(text: &str) -> String {
    parse_profile(text.as_bytes(), "--security-opt seccomp=p.json").expect_err("it is wrong").to_string()
}

#[test]
fn rules_stand_where_their_conditions_hold() {
    let profile = parse_profile(PROFILE.as_bytes(), "profile").expect("it is valid");
    let plain = profile.resolve(&[], Arch::X86_64, (6, 18));
    assert_eq!(names(&plain), ["read", "write", "clone3", "ptrace", "arch_prctl", "personality"]);
    assert_eq!(plain.architectures, [SeccompArch::X86_64, SeccompArch::X86]);
    assert_eq!((plain.default_action, plain.default_errno_ret), (SeccompAction::Errno, Some(1)));
    let admin = profile.resolve(&["CAP_SYS_ADMIN".to_owned()], Arch::Aarch64, (4, 7));
    assert_eq!(names(&admin), ["read", "write", "mount", "personality"]);
    assert_eq!(admin.architectures, [SeccompArch::Aarch64]);
}

#[test]
fn a_plain_oci_profile_is_a_profile() {
    let text = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                    "syscalls": [{ "names": ["chmod"], "action": "SCMP_ACT_KILL_PROCESS" }] }"#;
    let profile = parse_profile(text.as_bytes(), "profile").expect("it is valid").resolve(&[], Arch::X86_64, (6, 1));
    assert_eq!(profile.architectures, [SeccompArch::X86_64]);
    assert_eq!(names(&profile), ["chmod"]);
}

#[test]
fn a_malformed_file_is_refused_in_one_line_that_names_the_place() {
    for (text, place) in [
        ("", "line 1 column 0"),
        ("{\n  \"defaultAction\": \"SCMP_ACT_SHOOT\"\n}", "line 2 column"),
        ("{ \"syscalls\": [] }", "defaultAction"),
        (
            "{ \"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [{ \"action\": \"SCMP_ACT_ALLOW\" }] }",
            "syscalls[0]",
        ),
        (&PROFILE.replace("\"name\": \"write\"", "\"name\": \"write\", \"names\": [\"writev\"]"), "syscalls[1]"),
        (&PROFILE.replace("\"4.8\"", "\"four\""), "line 13 column"),
        (&PROFILE.replace("\"syscalls\"", "\"architectures\": [\"SCMP_ARCH_ARM\"], \"syscalls\""), "archMap"),
    ] {
        let refused = refusal(text);
        assert!(refused.starts_with("cannot use --security-opt seccomp=p.json: "), "{refused}");
        assert!(refused.contains(place) && !refused.contains('\n'), "{refused}");
    }
}

#[test]
fn capabilities_open_calls_of_dockers_default() {
    let count = |capabilities: &[&str], arch| {
        let capabilities: Vec<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
        allowed_count(&docker_default(&capabilities, arch, (6, 18)), arch).expect("it is valid")
    };
    let none = count(&[], Arch::X86_64);
    assert_eq!(count(&["CAP_SYS_CHROOT"], Arch::X86_64), none + 1);
    assert_eq!(count(&["CAP_SYS_BOOT", "CAP_SYS_CHROOT"], Arch::Aarch64), count(&[], Arch::Aarch64) + 2);
    // clone is allowed already, with some flags.
    assert_eq!(count(&["CAP_SYS_ADMIN"], Arch::X86_64), none + 24);
}
