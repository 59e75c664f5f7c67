//! Docker's seccomp profile files (`--security-opt seccomp=FILE`): an OCI profile whose rules may depend on the
//! container's capabilities, the architecture and the kernel. docs.docker.com/engine/security/seccomp; a plain OCI
//! profile is one without such dependencies.

use error::{Refused, Result};
use oci::{Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompFlag, SeccompRule};
use serde::{Deserialize, Deserializer};

use crate::table::Arch;

/// A profile file, parsed and checked, before it is resolved for one container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerProfile {
    default_action: SeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_empty")]
    arch_map: Vec<ArchMap>,
    #[serde(default, deserialize_with = "null_is_empty")]
    architectures: Vec<SeccompArch>,
    #[serde(default, deserialize_with = "null_is_empty")]
    flags: Vec<SeccompFlag>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    listener_metadata: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    syscalls: Vec<Syscall>,
}

/// An architecture and those that its kernel runs besides.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: SeccompArch,
    #[serde(default, deserialize_with = "null_is_empty")]
    sub_architectures: Vec<SeccompArch>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Syscall {
    #[serde(default, deserialize_with = "null_is_empty")]
    names: Vec<String>,
    /// The form of old files: one name a rule.
    #[serde(default)]
    name: Option<String>,
    action: SeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_empty")]
    args: Vec<SeccompArg>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

/// On what a rule depends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default, deserialize_with = "null_is_empty")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    arches: Vec<String>,
    #[serde(default)]
    min_kernel: Option<KernelVersion>,
}

/// A kernel's major and minor version, "4.8" in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct KernelVersion(u32, u32);

impl TryFrom<String> for KernelVersion {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let version =
            text.split_once('.').and_then(|(major, minor)| Some(Self(major.parse().ok()?, minor.parse().ok()?)));
        version
            .filter(|version| *version != Self(0, 0))
            .ok_or_else(|| format!("minKernel {text:?} is not like \"4.8\""))
    }
}

/// Go programs write an empty list as null.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> std::result::Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(from).map(Option::unwrap_or_default)
}

/// Parses a profile file in Docker's format or a plain OCI profile; `field` is how the user named it.
///
/// # Errors
/// Refused, with the line where the file is not valid JSON or a value is not valid, or with the field that is wrong.
pub fn parse_profile(bytes: &[u8], field: &str) -> Result<DockerProfile> {
    let profile: DockerProfile = serde_json::from_slice(bytes)
        .map_err(|error| Refused::new(field, "", format!("is no seccomp profile: {error}")))?;
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        return Err(Refused::new(field, "", "has both architectures and archMap: use one of them").into());
    }
    for (index, syscall) in profile.syscalls.iter().enumerate() {
        let reason = match (&syscall.name, syscall.names.is_empty()) {
            (Some(_), false) => "has both name and names: use one of them",
            (None, true) => "names no system call",
            (Some(_), true) | (None, false) => continue,
        };
        return Err(Refused::new(field, "", format!("syscalls[{index}] {reason}")).into());
    }
    Ok(profile)
}

impl DockerProfile {
    /// The profile for a container with these capabilities in its bounding set ("CAP_SYS_ADMIN"), on a kernel of
    /// architecture `native` and version `kernel` (major, minor).
    #[must_use]
    pub fn resolve(&self, capabilities: &[String], native: Arch, kernel: (u32, u32)) -> Seccomp {
        let host = Host { capabilities, arch: docker_name(native), kernel };
        let mut architectures = self.architectures.clone();
        if let Some(map) = self.arch_map.iter().find(|map| map.architecture == oci_name(native)) {
            architectures.push(map.architecture);
            architectures.extend(&map.sub_architectures);
        }
        Seccomp {
            default_action: self.default_action,
            default_errno_ret: self.default_errno_ret,
            architectures,
            flags: self.flags.clone(),
            listener_path: self.listener_path.clone(),
            listener_metadata: self.listener_metadata.clone(),
            syscalls: self.syscalls.iter().filter(|syscall| host.takes(syscall)).map(Syscall::rule).collect(),
        }
    }
}

impl Syscall {
    fn rule(&self) -> SeccompRule {
        let names = self.name.iter().chain(&self.names).cloned().collect();
        SeccompRule { names, action: self.action, errno_ret: self.errno_ret, args: self.args.clone() }
    }
}

/// What rules are filtered by.
struct Host<'a> {
    capabilities: &'a [String],
    arch: &'static str,
    kernel: (u32, u32),
}

impl Host<'_> {
    /// A rule stands when everything in `includes` holds and nothing in `excludes` does.
    fn takes(&self, syscall: &Syscall) -> bool {
        let new_enough = |KernelVersion(major, minor): KernelVersion| self.kernel >= (major, minor);
        let on_arch = |arches: &[String]| arches.iter().any(|arch| arch == self.arch);
        let included = syscall.includes.as_ref().is_none_or(|filter| {
            (filter.arches.is_empty() || on_arch(&filter.arches))
                && filter.caps.iter().all(|name| self.capabilities.contains(name))
                && filter.min_kernel.is_none_or(new_enough)
        });
        let excluded = syscall.excludes.as_ref().is_some_and(|filter| {
            on_arch(&filter.arches)
                || filter.caps.iter().any(|name| self.capabilities.contains(name))
                || filter.min_kernel.is_some_and(new_enough)
        });
        included && !excluded
    }
}

/// The architecture's name in `includes.arches` and `excludes.arches`.
const fn docker_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 | Arch::X32 => "amd64",
        Arch::X86 => "x86",
        Arch::Aarch64 => "arm64",
        Arch::Arm => "arm",
    }
}

const fn oci_name(arch: Arch) -> SeccompArch {
    match arch {
        Arch::X86_64 | Arch::X32 => SeccompArch::X86_64,
        Arch::X86 => SeccompArch::X86,
        Arch::Aarch64 => SeccompArch::Aarch64,
        Arch::Arm => SeccompArch::Arm,
    }
}
