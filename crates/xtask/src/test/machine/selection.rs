//! Which tests run in a machine: those that ask the kernel, and of these what is different there.
//!
//! Tests are named `BINARY::TEST`, where the binary is a file of a tests folder, or a library without `carboy_`.

use std::path::{Path, PathBuf};
use std::process::Command;

use error::{Refused, Result};

use super::Flavour;
use crate::program::{self, Executable};
use crate::test::{E2E, SYSTEMD_FILES, TEST, WORKSPACE, end_to_end_folder, targets};

/// Cargo's option for one package alone.
const PACKAGE: &str = "--package";

/// The packages whose tests ask the kernel. The others' results are the same on every host.
const PACKAGES: &[&str] = &[
    "carboy-cgroup",
    "carboy-child",
    "carboy-engine",
    "carboy-inspect",
    "carboy-namespace",
    "carboy-procfs",
    "carboy-runtime",
    "carboy-sys",
    E2E,
];

/// Tests that do not run in the machine, each with the reason.
const NOT_IN_THERE: &[(&str, &str)] = &[
    ("scenario::a_debian_tar_may_be_compressed_with_gzip_or_zstd", MIRROR),
    ("scenario::a_shell_in_a_debian_folder_is_pid_1_and_the_host_sees_its_children", MIRROR),
    ("scenario::a_shell_in_a_debian_tar_is_pid_1_and_the_host_sees_its_children", MIRROR),
    ("see_doors::a_user_namespace_that_maps_root_to_root_leaves_it_the_hosts_files", ID_MAPPED),
    ("see_doors::a_container_of_a_user_who_runs_podman_opens_nothing_of_the_host_either", PODMAN),
    ("see_doors::dockers_containers_have_the_doors_that_were_opened_and_its_socket_leads_to_the_host", LONG),
    ("see_engines::podmans_containers_are_named", PODMAN),
    ("plan::what_is_explained_of_a_run_with_most_options_is_what_happens", ID_MAPPED),
    ("cp::files_of_a_user_namespace_have_the_owners_that_they_have_inside", ID_MAPPED),
    ("volumes::in_a_user_namespace_files_of_a_volume_belong_to_whom_they_belong_in_the_root", ID_MAPPED),
    ("plan::what_is_explained_of_a_run_in_namespaces_of_another_container_is_what_happens", ID_MAPPED),
];

const MIRROR: &str = "it gets a Debian from a mirror, and the machine has no network";
const PODMAN: &str = "it runs Podman, and the machine has none";
const LONG: &str = "it takes two minutes there, and see_engines asks for doors of Docker's containers too";
const ID_MAPPED: &str = "it puts an overlay on id-mapped layers, and the machine's kernel is older than 6.13";

/// The module of the tests that ask the kernel.
const KERNEL: &str = "kernel";

/// The kind of cargo's targets that are end-to-end files: of [`PACKAGES`], only [`E2E`] has a tests folder.
const END_TO_END: &str = "test";

/// End-to-end files with this prefix are about cgroups and run everywhere.
const CGROUP_FILES: &str = "cgroup_";

/// The end-to-end files besides those that are run on another version of cgroups, each for what differs there. Files about
/// command lines, templates, logs, names, files, images and networks show there what they show on any host: minutes of
/// emulation for nothing.
const FILES: &[&str] = &[
    // The kernel tells of the end of a group, of pressure and of killing for want of memory by other files.
    "asleep",
    "health",
    "limits",
    "oci_events",
    "why",
    "why_engines",
    // What is planned for the groups is another list, and so is what a container sees of them.
    "compare",
    "oci_linux",
    "oci_runtime",
    "plan",
    "scenario",
    "see_things",
    "smoke",
    // Groups are handed over to users, and found from /proc in one hierarchy.
    "oci_rootless",
    "see_engines",
    "see_namespaces",
    "see_robust",
    // The machine has what the host of the other tests may lack: AppArmor, CRIU that works, a clock to set, an older kernel's
    // calls for mounts, SCTP, and nftables as a module.
    "clock",
    "network_iptables",
    "network_sctp",
    "oci_apparmor",
    "oci_checkpoint",
    "oci_mounts_later",
    "see_doors",
];

/// A program of tests, and those of its tests that are to run.
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) tests: Vec<String>,
    /// Whether these tests run carboy.
    pub(super) end_to_end: bool,
}

/// Builds and lists the tests, and chooses: by `filters` (parts of their names) where there are any, else those which
/// the flavour is for.
///
/// # Errors
/// When they do not build, or nothing is chosen.
pub(super) fn choose(root: &Path, flavour: Flavour, filters: &[&str]) -> Result<Vec<Binary>> {
    let mut chosen = Vec::new();
    for executable in program::executables(&mut build(root, filters)?)? {
        if !asks_the_kernel(&executable) {
            continue;
        }
        let name = name(&executable).to_owned();
        let listed = program::read(Command::new(&executable.path).args(["--list", "--format=terse"]))?;
        let listed = String::from_utf8_lossy(&listed.stdout);
        let all = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        let is_chosen = |test: &&str| {
            let full = format!("{name}::{test}");
            let wanted = match filters {
                [] => by_flavour(flavour, &executable, test),
                _ => filters.iter().any(|filter| full.contains(filter)),
            };
            let cannot = NOT_IN_THERE.iter().find(|(test, _)| wanted && *test == full);
            if let Some((test, reason)) = cannot {
                println!("not here: {test} ({reason})");
            }
            wanted && cannot.is_none()
        };
        let tests: Vec<String> = all.filter(is_chosen).map(str::to_owned).collect();
        if !tests.is_empty() {
            chosen.push(Binary { name, path: executable.path, tests, end_to_end: executable.kind == END_TO_END });
        }
    }
    // What is quick and low comes first.
    chosen.sort_by(|one, other| (one.end_to_end, &one.name).cmp(&(other.end_to_end, &other.name)));
    if chosen.is_empty() {
        return Err(Refused::new(
            "TEST",
            filters.join(" "),
            "no test that can run there has this in its name, BINARY::TEST",
        )
        .into());
    }
    Ok(chosen)
}

/// What builds the tests that can be chosen: where each filter begins with `BINARY::` its package alone, else of the whole
/// workspace, as for this host, so that nothing is built twice.
fn build(root: &Path, filters: &[&str]) -> Result<Command> {
    let mut build = program::cargo(root);
    build.args(["test", "--no-run"]);
    if let Some(packages) = packages(root, filters) {
        build.args(packages.iter().flat_map(|package| [PACKAGE, package]));
        return Ok(build);
    }
    build.args([WORKSPACE, "--lib"]);
    for name in targets(&end_to_end_folder(root))? {
        build.args([TEST, &name]);
    }
    Ok(build)
}

/// Whether a program is an end-to-end file, or of one of [`PACKAGES`].
fn asks_the_kernel(executable: &Executable) -> bool {
    executable.kind == END_TO_END || PACKAGES.contains(&executable.name.replace('_', "-").as_str())
}

/// The packages whose tests `filters` mean, if each begins with `BINARY::`.
fn packages(root: &Path, filters: &[&str]) -> Option<Vec<&'static str>> {
    let package = |filter: &&str| {
        let (binary, _) = filter.split_once("::")?;
        let library = PACKAGES.iter().copied().find(|package| package.strip_prefix("carboy-") == Some(binary));
        let is_file = end_to_end_folder(root).join(binary).with_extension("rs").is_file();
        library.or(is_file.then_some(E2E))
    };
    let named: Option<Vec<&str>> = filters.iter().map(package).collect();
    named.filter(|named| !named.is_empty())
}

/// The program's name in the names of its tests.
fn name(executable: &Executable) -> &str {
    executable.name.trim_start_matches("carboy_")
}

/// Whether a test is one that the flavour is for.
fn by_flavour(flavour: Flavour, executable: &Executable, test: &str) -> bool {
    let (name, end_to_end) = (name(executable), executable.kind == END_TO_END);
    let asks_the_kernel = !end_to_end && test.split("::").any(|module| module == KERNEL);
    match flavour {
        Flavour::V1 | Flavour::V2 => {
            asks_the_kernel || end_to_end && (name.starts_with(CGROUP_FILES) || FILES.contains(&name))
        }
        Flavour::Systemd => {
            asks_the_kernel && name == "cgroup"
                || end_to_end && (name.starts_with(CGROUP_FILES) || name.starts_with(SYSTEMD_FILES))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flavour_has_the_tests_that_differ_there() {
        let of = |flavour, kind: &str, full: &str| {
            let (binary, test) = full.split_once("::").unwrap();
            let executable = Executable { name: binary.to_owned(), kind: kind.to_owned(), path: PathBuf::new() };
            by_flavour(flavour, &executable, test)
        };
        let (library, file) = ("lib", "test");
        for flavour in [Flavour::V1, Flavour::V2, Flavour::Systemd] {
            assert!(of(flavour, library, "carboy_cgroup::kernel::a"));
            assert!(of(flavour, library, "cgroup::memory::tests::kernel::a"));
            assert!(!of(flavour, library, "cgroup::memory::tests::a"));
            assert!(of(flavour, file, "cgroup_memory::a"));
            assert!(!of(flavour, file, "terminal::a"));
        }
        assert!(of(Flavour::V2, library, "procfs::kernel::a") && !of(Flavour::Systemd, library, "procfs::kernel::a"));
        assert!(of(Flavour::V2, file, "limits::a") && !of(Flavour::Systemd, file, "limits::a"));
        assert!(!of(Flavour::V2, file, "systemd_driver::a") && of(Flavour::Systemd, file, "systemd_driver::a"));
    }
}
