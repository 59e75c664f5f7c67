//! The work: a busybox root and, for the peers, an OCI bundle on it with what carboy does by default
//! (OCI runtime specification 1.2, config.md and config-linux.md).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use error::{Corrupt, Doing, Refused, Result};
use seccomp::DOCKER_CAPABILITIES as CAPABILITIES;
use serde_json::{Value, json};

use super::write;
use crate::program;

/// A folder with `config.json`, `rootfs` and the peers' state, removed at the end.
pub(super) struct Bundle {
    folder: PathBuf,
    root: PathBuf,
}

/// Of what every container is refused, by Docker's defaults.
const MASKED: [&str; 9] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What a bundle's configuration asks for besides namespaces and mounts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// What carboy does by default, and a memory limit: Docker's capabilities, paths and profile.
    Limited,
    /// The same without the limit.
    Docker,
    /// Nothing.
    Bare,
    /// Nothing, and a program that stays.
    Staying,
}

/// 64 MiB.
const MEMORY_BYTES: u64 = 64 << 20;

impl Bundle {
    pub(super) fn make(content: Content) -> Result<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("carboy-bench-{}-{number}", std::process::id()));
        let bundle = Self { root: folder.join("rootfs"), folder };
        for below in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            let path = bundle.root.join(below);
            fs::create_dir_all(&path).doing(|| format!("make {}", path.display()))?;
        }
        let busybox = program::find("busybox")
            .ok_or_else(|| Refused::new("busybox", "", "is not installed").hint("apt-get install busybox-static"))?;
        let copy = bundle.root.join("bin/busybox");
        fs::copy(&busybox, &copy).doing(|| format!("copy {}", busybox.display()))?;
        for name in ["true", "sleep"] {
            symlink("busybox", bundle.root.join("bin").join(name)).doing(|| format!("link /bin/{name} to busybox"))?;
        }
        let config = config(content, &seccomp_profile()?);
        write(&bundle.folder.join("config.json"), config.to_string().as_bytes())?;
        Ok(bundle)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A command of an OCI runtime on the bundle: `words`, in which `BUNDLE` and `ID` stand for those.
    pub(super) fn command(&self, name: &str, program: &Path, words: &[&str]) -> Vec<String> {
        let state = self.folder.join(name).display().to_string();
        let word = |word: &&str| match *word {
            "BUNDLE" => self.folder.display().to_string(),
            "ID" => format!("carboy-bench-{name}"),
            word => word.to_owned(),
        };
        [program.display().to_string(), "--root".to_owned(), state].into_iter().chain(words.iter().map(word)).collect()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays behind: {error}", self.folder.display());
        }
    }
}

/// The peers' configuration.
fn config(content: Content, seccomp: &Value) -> Value {
    let namespaces = ["mount", "pid", "network", "ipc", "uts", "cgroup"].map(|kind| json!({"type": kind}));
    let args = if content == Content::Staying { json!(["/bin/sleep", "1000"]) } else { json!(["/bin/true"]) };
    let mut config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "hostname": "bench",
        "mounts": mounts(),
        "linux": {"namespaces": namespaces},
    });
    if matches!(content, Content::Limited | Content::Docker) {
        config["process"]["capabilities"] =
            json!({"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES});
        config["linux"]["maskedPaths"] = json!(MASKED);
        config["linux"]["readonlyPaths"] = json!(READ_ONLY);
        config["linux"]["seccomp"] = seccomp.clone();
    }
    if content == Content::Limited {
        config["linux"]["resources"] = json!({"memory": {"limit": MEMORY_BYTES}});
    }
    config
}

/// Docker's default mounts.
fn mounts() -> Value {
    let mount = |target: &str, kind: &str, source: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({"destination": target, "type": kind, "source": source, "options": options})
    };
    json!([
        mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro,nosuid,noexec,nodev"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=67108864"),
    ])
}

/// Docker's default profile for this kernel, as config.json has it.
fn seccomp_profile() -> Result<Value> {
    let path = "/proc/sys/kernel/osrelease";
    let release = fs::read_to_string(path).doing(|| format!("read {path}"))?;
    let kernel = version(&release).ok_or_else(|| Corrupt::new(path, format!("{release:?} is no version")))?;
    let profile = seccomp::docker_default(&CAPABILITIES.map(str::to_owned), seccomp::Arch::NATIVE, kernel);
    Ok(serde_json::to_value(profile).map_err(|error| Corrupt::new("the default profile", error.to_string()))?)
}

/// The major and minor version: "6.18.2-amd64" is 6 and 18.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim_end().split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_its_version_in_front() {
        assert_eq!(version("6.18.2-amd64\n"), Some((6, 18)));
        assert_eq!(version("6.18-rc1"), Some((6, 18)));
        assert_eq!(version("linux"), None);
    }

    #[test]
    fn the_peers_have_the_default_profile() {
        let config = config(Content::Docker, &seccomp_profile().unwrap());
        assert_eq!(config.pointer("/linux/seccomp/defaultAction"), Some(&json!("SCMP_ACT_ERRNO")));
    }
}
