//! What the tests need of the machine, how it is found, and how it is got.

use std::path::Path;
use std::process::Command;

use error::{Refused, Result};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::program;

/// A Debian package that tests use.
struct Need {
    package: &'static str,
    /// What for.
    why: &'static str,
    found_by: FoundBy,
}

enum FoundBy {
    /// A program of this name in PATH.
    Program(&'static str),
    /// A program of this name that is linked statically, so that it runs alone in an empty root.
    StaticProgram(&'static str),
    File(&'static str),
}

const NEEDS: &[Need] = &[
    Need { package: "runc", why: "a peer to compare with", found_by: FoundBy::Program("runc") },
    Need { package: "crun", why: "a peer to compare with", found_by: FoundBy::Program("crun") },
    Need { package: "strace", why: "to see that the plan is what happens", found_by: FoundBy::Program("strace") },
    Need { package: "busybox-static", why: "the smallest root", found_by: FoundBy::StaticProgram("busybox") },
    Need { package: "mmdebstrap", why: "to make a Debian root", found_by: FoundBy::Program("mmdebstrap") },
    Need { package: "gcc", why: "to build the libseccomp oracle", found_by: FoundBy::Program("gcc") },
    Need { package: "libseccomp-dev", why: "the seccomp oracle", found_by: FoundBy::File("/usr/include/seccomp.h") },
    Need { package: "nftables", why: "to see marks as nft(8) does", found_by: FoundBy::Program("nft") },
    Need { package: "linux-perf", why: "to see that perf -G takes our groups", found_by: FoundBy::Program("perf") },
    Need { package: "docker.io", why: "an engine that calls carboy-runtime", found_by: FoundBy::Program("dockerd") },
    Need {
        package: "containerd",
        why: "an engine that calls carboy-runtime",
        found_by: FoundBy::Program("containerd"),
    },
    Need { package: "iptables", why: "dockerd's networks", found_by: FoundBy::Program("iptables") },
    Need {
        package: "containernetworking-plugins",
        why: "the networks of pods",
        found_by: FoundBy::File("/usr/lib/cni/bridge"),
    },
    Need { package: "procps", why: "what a person types beside carboy", found_by: FoundBy::Program("pgrep") },
    Need { package: "iproute2", why: "engines in a network of their own", found_by: FoundBy::Program("ip") },
    Need { package: "podman", why: "an engine that calls carboy-runtime", found_by: FoundBy::Program("podman") },
    Need { package: "lxc", why: "an engine that see knows", found_by: FoundBy::Program("lxc-start") },
    Need {
        package: "systemd-container",
        why: "an engine that see knows",
        found_by: FoundBy::Program("systemd-nspawn"),
    },
    Need { package: "tmux", why: "a terminal to test -it in", found_by: FoundBy::Program("tmux") },
    Need {
        package: "uidmap",
        why: "to give a user's containers more than one id",
        found_by: FoundBy::Program("newuidmap"),
    },
    Need {
        package: "qemu-system-x86",
        why: "hosts with other cgroups",
        found_by: FoundBy::Program("qemu-system-x86_64"),
    },
    Need { package: "umoci", why: "another that unpacks images", found_by: FoundBy::Program("umoci") },
    Need { package: "zstd", why: "layers that are compressed by it", found_by: FoundBy::Program("zstd") },
    Need {
        package: "docker-registry",
        why: "a registry to pull from and to push to",
        found_by: FoundBy::Program("docker-registry"),
    },
    Need { package: "openssl", why: "certificates for that registry", found_by: FoundBy::Program("openssl") },
    Need { package: "skopeo", why: "another client of registries", found_by: FoundBy::Program("skopeo") },
    Need { package: "buildah", why: "another that makes images", found_by: FoundBy::Program("buildah") },
    Need { package: "e2fsprogs", why: "to make such a host's disks", found_by: FoundBy::Program("mke2fs") },
    Need { package: "xfsprogs", why: "a file system that shares blocks", found_by: FoundBy::Program("mkfs.xfs") },
];

/// Installs what is missing.
///
/// # Errors
/// When this is not root, or something is missing and cannot be installed; the packages are named.
pub(super) fn meet() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Refused::new("tests", "", "they make namespaces, mounts and cgroups, which needs root")
            .hint("run sudo cargo xtask test, on a machine where a mistake does not matter")
            .into());
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("missing: {} ({})", need.package, need.why);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let names = packages.join(" ");
    if program::find("apt-get").is_none() {
        return Err(Refused::new(
            "tests",
            "",
            format!("this machine lacks {names} (Debian's names), and has no apt-get"),
        )
        .hint("install them with this machine's package manager")
        .into());
    }
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(words);
        program::run(&mut command)
    };
    apt(&["update", "--quiet"])?;
    apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"], packages.as_slice()].concat())?;
    let still: Vec<&str> = self::missing().iter().map(|need| need.package).collect();
    if still.is_empty() {
        return Ok(());
    }
    Err(Refused::new("tests", "", format!("apt-get installed them, but these are not found: {}", still.join(" ")))
        .into())
}

fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !need.found_by.is_here()).collect()
}

impl FoundBy {
    fn is_here(&self) -> bool {
        match self {
            Self::Program(name) => program::find(name).is_some(),
            Self::StaticProgram(name) => program::find(name).is_some_and(|path| is_static(&path)),
            Self::File(path) => Path::new(path).is_file(),
        }
    }
}

/// Whether the ELF program names no interpreter (elf(5), PT_INTERP).
fn is_static(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    let bytes = bytes.as_slice();
    let Ok(header) = object::elf::FileHeader64::<object::Endianness>::parse(bytes) else { return false };
    let Ok(endian) = header.endian() else { return false };
    let Ok(segments) = header.program_headers(endian, bytes) else { return false };
    segments.iter().all(|segment| segment.p_type(endian) != object::elf::PT_INTERP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_missed() {
        assert!(!FoundBy::Program("no-such-program-7").is_here());
        assert!(!FoundBy::File("/no/such/file").is_here());
        assert!(FoundBy::Program("sh").is_here());
    }

    #[test]
    fn a_dynamic_program_and_a_text_are_not_static() {
        let shell = std::fs::canonicalize("/bin/sh").unwrap();
        assert!(!is_static(&shell));
        assert!(!is_static(Path::new("/etc/passwd")));
        assert!(is_static(&std::env::current_exe().unwrap()), "the workspace links statically");
    }
}
