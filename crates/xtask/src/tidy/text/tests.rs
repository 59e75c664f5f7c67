//! For each rule on tokens a sample that breaks it and one that does not.

use super::*;

/// What `rule` finds in these files, as "file:line what".
fn found(rule: fn(&Tree) -> Result<Vec<Finding>>, files: &[(&str, &str)]) -> Vec<String> {
    let findings = rule(&Tree::sample(files)).unwrap();
    findings.iter().map(|finding| format!("{}:{} {}", finding.path, finding.line, finding.what)).collect()
}

/// What `rule` finds in one file, as "line what".
fn found_in(rule: fn(&Tree) -> Result<Vec<Finding>>, path: &str, text: &str) -> Vec<String> {
    let prefix = format!("{path}:");
    found(rule, &[(path, text)]).iter().map(|found| found.trim_start_matches(&prefix).to_owned()).collect()
}

#[test]
fn unsafe_outside_sys_is_found_in_tests_too() {
    let text = "fn a() {\n    // SAFETY: none.\n    unsafe { b() }\n}";
    assert_eq!(found_in(unsafe_stays_in_sys, "crates/runtime/src/a.rs", text), ["3 unsafe outside crates/sys"]);
    assert_eq!(found_in(unsafe_stays_in_sys, "crates/runtime/tests/a.rs", text), ["3 unsafe outside crates/sys"]);
    assert!(found_in(unsafe_stays_in_sys, "crates/sys/src/a.rs", text).is_empty());
}

#[test]
fn a_second_unsafe_block_of_child_is_found() {
    let text = "fn a() {\n    // SAFETY: one.\n    unsafe { b() };\n    // SAFETY: two.\n    unsafe { b() }\n}";
    assert_eq!(found_in(unsafe_stays_in_sys, "crates/child/src/lib.rs", text), ["5 a second unsafe block in child"]);
    assert_eq!(
        found_in(unsafe_stays_in_sys, "crates/child/src/a.rs", "unsafe fn a() {}"),
        ["1 unsafe outside crates/sys"]
    );
}

#[test]
fn an_unsafe_block_without_its_comment_is_found() {
    let bare = "fn a() {\n    // SAFETY: of another.\n    c();\n    let x =\n        unsafe { b() };\n}";
    assert_eq!(found_in(unsafe_stays_in_sys, "crates/sys/src/a.rs", bare), ["5 no SAFETY comment above"]);
    let spoken = "fn a() {\n    // SAFETY: it holds\n    // here.\n    let x =\n        unsafe { b() };\n}";
    assert!(found_in(unsafe_stays_in_sys, "crates/sys/src/a.rs", spoken).is_empty());
}

#[test]
fn a_plan_that_reaches_the_kernel_is_found() {
    let path = "crates/cgroup/src/memory.rs";
    for call in
        ["rustix::fs::open(p)", "std::fs::read(p)", "std::env::var(p)", "File::open(p)", "sys::mount::fsopen(p)"]
    {
        let text = format!("fn plan_v1() {{ let x = {call}; }}");
        assert_eq!(found_in(plans_are_pure, path, &text).len(), 1, "{call}");
    }
    let imported = "use rustix::{fs::{self, Mode, open as look}, io};\nfn plan() { look(p); fs::stat(p); procfs::status::read(p) }";
    let expected =
        ["2 a plan calls rustix::fs::open", "2 a plan calls rustix::fs::stat", "2 a plan calls procfs::status::read"];
    assert_eq!(found_in(plans_are_pure, path, imported), expected);
}

#[test]
fn a_plan_may_use_types_and_compute() {
    let text = "use rustix::fs::{Mode, makedev};\nfn plan() { Mode::from_bits(7); makedev(1, 3); sys::Step(1); helper(p) }\n\
                fn apply() { rustix::fs::open(p) }\n#[cfg(test)]\nmod tests { fn plan() { std::fs::read(p) } }";
    assert!(found_in(plans_are_pure, "crates/cgroup/src/memory.rs", text).is_empty());
    assert_eq!(found_in(plans_are_pure, "crates/runtime/src/plan.rs", text), ["3 a plan calls rustix::fs::open"]);
}

#[test]
fn a_cgroup_file_name_in_two_files_is_found() {
    let home = ("crates/cgroup/src/memory.rs", "const MAX: &str = \"memory.max\"; const AGAIN: &str = \"memory.max\";");
    let path = "crates/runtime/src/a.rs";
    for text in ["fn a() { \"memory.max\" }", "fn a() { b(c\"memory.max\") }", "fn a() { format!(\"{x}/memory.max\") }"]
    {
        let expected = ["crates/runtime/src/a.rs:1 \"memory.max\" stands in crates/cgroup/src/memory.rs too"];
        assert_eq!(found(cgroup_file_names_stand_once, &[home, (path, text)]), expected);
    }
    let prose =
        "fn a() { \"cannot set memory.max here\" }\n#[cfg(test)]\nmod tests { const A: &str = \"memory.max\"; }";
    assert!(found(cgroup_file_names_stand_once, &[home, (path, prose)]).is_empty());
}

#[test]
fn other_names_with_a_dot_are_no_cgroup_files() {
    for text in ["memory.rs", "io.containerd.runc", "linux.resources", "cpu.", "config.json", "devices.slice"] {
        assert_eq!(cgroup_file(text), None, "{text}");
    }
    for text in ["cpu.cfs_quota_us", "io.bfq.weight", "cgroup.procs", "/a/b/hugetlb.2MB.max", "hugetlb.{size}.max"] {
        assert!(cgroup_file(text).is_some(), "{text}");
    }
}

#[test]
fn the_cgroup_mount_point_is_found_outside_its_two_places() {
    let constant = "/// Inside.\npub const CONTAINER_CGROUP_MOUNT: &str = \"/sys/fs/cgroup\";";
    let right =
        [("crates/cgroup/src/hierarchy.rs", "fn a() { \"/sys/fs/cgroup\" }"), ("crates/oci/src/a.rs", constant)];
    assert!(found(cgroup_mount_point_is_discovered, &right).is_empty());
    let used = "fn a() { let x = CONTAINER_CGROUP_MOUNT; b(\"/sys/fs/cgroup/memory\") }";
    let path = "crates/engine/src/a.rs";
    assert_eq!(found_in(cgroup_mount_point_is_discovered, path, used), ["1 the path \"/sys/fs/cgroup/memory\""]);
    let twice = [("crates/oci/src/a.rs", constant), (path, constant)];
    assert_eq!(
        found(cgroup_mount_point_is_discovered, &twice),
        ["crates/engine/src/a.rs:2 a second CONTAINER_CGROUP_MOUNT"]
    );
}

#[test]
fn an_id_as_a_bare_integer_is_found() {
    let path = "crates/runtime/src/a.rs";
    assert_eq!(found_in(ids_are_types, path, "pub fn kill(pid: u32) {}"), ["1 kill takes `pid: u32`"]);
    let two = "pub fn map(&self, host_uid: Option<u32>, gid: &i32) {}";
    assert_eq!(found_in(ids_are_types, path, two), ["1 map takes `host_uid: u32`", "1 map takes `gid: i32`"]);
}

#[test]
fn id_types_and_private_functions_may_take_integers() {
    let text =
        "impl HostPid { pub fn new(pid: u32) {} }\nfn a(pid: u32) {}\npub fn b(pid: HostPid, grid: u32, rapid: u8) {}";
    assert!(found_in(ids_are_types, "crates/procfs/src/a.rs", text).is_empty());
    assert!(found_in(ids_are_types, "crates/sys/src/a.rs", "pub fn kill(pid: u32) {}").is_empty());
}

#[test]
fn a_library_that_prints_or_logs_is_found() {
    let text = "fn a() { println!(\"x\"); log::warn!(\"x\"); tracing::info!(\"x\"); std::io::stdout().lock();\n\
                write!(io::stderr(), \"x\") }";
    let expected = ["1 `println` prints", "1 `log` logs", "1 `tracing` logs", "1 `stdout` prints", "2 `stderr` prints"];
    assert_eq!(found_in(libraries_are_silent, "crates/engine/src/a.rs", text), expected);
    assert_eq!(found_in(libraries_are_silent, "crates/cli/src/a.rs", text).len(), 2);
    let right =
        "fn a() { self.log.push(print); fs::log::b(); io::stdout().as_fd() }\n#[test]\nfn b() { println!(\"x\") }";
    assert!(found_in(libraries_are_silent, "crates/engine/src/a.rs", right).is_empty());
}

#[test]
fn a_path_under_proc_that_is_opened_is_found() {
    let path = "crates/namespace/src/a.rs";
    let opened = "fn a() { File::open(\"/proc/self/ns/net\"); }";
    assert_eq!(found_in(kernel_files_through_handles, path, opened), ["1 open by the path \"/proc/self/ns/net\""]);
    let built = "fn a() { let p = format!(\"/proc/{pid}/ns/net\"); }";
    assert_eq!(
        found_in(kernel_files_through_handles, path, built),
        ["1 the path \"/proc/{pid}/ns/net\" is put together"]
    );
    assert!(found_in(kernel_files_through_handles, "crates/procfs/src/a.rs", built).is_empty());
    let right = "const MASKED: [&str; 1] = [\"/proc/kcore\"];\nfn a() { mount(\"proc\", \"/proc\"); b(format!(\"open /proc/{pid}\")) }";
    assert!(found_in(kernel_files_through_handles, path, right).is_empty());
}

#[test]
fn an_allowed_lint_is_found() {
    let text = "#![allow(dead_code)]\n#[allow(unused)]\nfn a() {}\n#[expect(unused, reason = \"x\")]\nfn allow() {}";
    let expected = ["1 a lint is allowed", "2 a lint is allowed"];
    assert_eq!(found_in(lints_are_expected_not_allowed, "crates/e2e/src/a.rs", text), expected);
}
