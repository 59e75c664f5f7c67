//! Which system calls a container may make. OCI runtime specification, config-linux.md "Seccomp"; seccomp(2).

use serde::{Deserialize, Serialize};

use crate::absent;

/// A seccomp profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Seccomp {
    /// What happens to a call that no rule matches.
    pub default_action: SeccompAction,
    /// The errno of the default action, where it gives one; absent it is EPERM.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub default_errno_ret: Option<u32>,
    /// The architectures besides the kernel's own whose calls are looked at.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub architectures: Vec<SeccompArch>,
    /// Flags of seccomp(2).
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub flags: Vec<SeccompFlag>,
    /// The Unix socket to which the descriptor for `SCMP_ACT_NOTIFY` is sent.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub listener_path: Option<String>,
    /// Text that is sent along.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub listener_metadata: Option<String>,
    /// The rules.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub syscalls: Vec<SeccompRule>,
}

/// What happens to some calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct SeccompRule {
    /// The calls' names.
    pub names: Vec<String>,
    /// What happens to them.
    pub action: SeccompAction,
    /// The errno of the action, where it gives one; absent it is EPERM.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub errno_ret: Option<u32>,
    /// Conditions on the arguments, all of which must hold.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub args: Vec<SeccompArg>,
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct SeccompArg {
    /// Which argument, from 0.
    pub index: u32,
    /// What it is compared with; the mask for [`SeccompOp::MaskedEqual`].
    pub value: u64,
    /// What the masked argument is compared with.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub value_two: u64,
    /// How.
    pub op: SeccompOp,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompAction {
    /// The thread ends; the older name of `KillThread`.
    #[serde(rename = "SCMP_ACT_KILL")]
    Kill,
    /// The process ends.
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    /// The thread ends.
    #[serde(rename = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    /// It gets SIGSYS.
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    /// The call fails with an errno.
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    /// A tracer is asked; without one the call fails with ENOSYS.
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    /// The call is made.
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    /// The call is made and logged.
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    /// A listener is asked.
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

impl SeccompAction {
    /// Every action.
    pub const ALL: [Self; 9] = [
        Self::Kill,
        Self::KillProcess,
        Self::KillThread,
        Self::Trap,
        Self::Errno,
        Self::Trace,
        Self::Allow,
        Self::Log,
        Self::Notify,
    ];
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompOp {
    /// It is not the value.
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    /// It is less than the value, both without sign.
    #[serde(rename = "SCMP_CMP_LT")]
    LessThan,
    /// It is not greater than the value.
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    /// It is the value.
    #[serde(rename = "SCMP_CMP_EQ")]
    EqualTo,
    /// It is not less than the value.
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterEqual,
    /// It is greater than the value.
    #[serde(rename = "SCMP_CMP_GT")]
    GreaterThan,
    /// Its bits under the mask `value` are those of `value_two`.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

impl SeccompOp {
    /// Every operator.
    pub const ALL: [Self; 7] = [
        Self::NotEqual,
        Self::LessThan,
        Self::LessOrEqual,
        Self::EqualTo,
        Self::GreaterEqual,
        Self::GreaterThan,
        Self::MaskedEqual,
    ];
}

/// An architecture, by libseccomp's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompArch {
    /// `SCMP_ARCH_X86`.
    #[serde(rename = "SCMP_ARCH_X86")]
    X86,
    /// `SCMP_ARCH_X86_64`.
    #[serde(rename = "SCMP_ARCH_X86_64")]
    X86_64,
    /// `SCMP_ARCH_X32`.
    #[serde(rename = "SCMP_ARCH_X32")]
    X32,
    /// `SCMP_ARCH_ARM`.
    #[serde(rename = "SCMP_ARCH_ARM")]
    Arm,
    /// `SCMP_ARCH_AARCH64`.
    #[serde(rename = "SCMP_ARCH_AARCH64")]
    Aarch64,
    /// `SCMP_ARCH_MIPS`.
    #[serde(rename = "SCMP_ARCH_MIPS")]
    Mips,
    /// `SCMP_ARCH_MIPS64`.
    #[serde(rename = "SCMP_ARCH_MIPS64")]
    Mips64,
    /// `SCMP_ARCH_MIPS64N32`.
    #[serde(rename = "SCMP_ARCH_MIPS64N32")]
    Mips64n32,
    /// `SCMP_ARCH_MIPSEL`.
    #[serde(rename = "SCMP_ARCH_MIPSEL")]
    Mipsel,
    /// `SCMP_ARCH_MIPSEL64`.
    #[serde(rename = "SCMP_ARCH_MIPSEL64")]
    Mipsel64,
    /// `SCMP_ARCH_MIPSEL64N32`.
    #[serde(rename = "SCMP_ARCH_MIPSEL64N32")]
    Mipsel64n32,
    /// `SCMP_ARCH_PPC`.
    #[serde(rename = "SCMP_ARCH_PPC")]
    Ppc,
    /// `SCMP_ARCH_PPC64`.
    #[serde(rename = "SCMP_ARCH_PPC64")]
    Ppc64,
    /// `SCMP_ARCH_PPC64LE`.
    #[serde(rename = "SCMP_ARCH_PPC64LE")]
    Ppc64le,
    /// `SCMP_ARCH_S390`.
    #[serde(rename = "SCMP_ARCH_S390")]
    S390,
    /// `SCMP_ARCH_S390X`.
    #[serde(rename = "SCMP_ARCH_S390X")]
    S390x,
    /// `SCMP_ARCH_PARISC`.
    #[serde(rename = "SCMP_ARCH_PARISC")]
    Parisc,
    /// `SCMP_ARCH_PARISC64`.
    #[serde(rename = "SCMP_ARCH_PARISC64")]
    Parisc64,
    /// `SCMP_ARCH_RISCV64`.
    #[serde(rename = "SCMP_ARCH_RISCV64")]
    Riscv64,
    /// `SCMP_ARCH_LOONGARCH64`.
    #[serde(rename = "SCMP_ARCH_LOONGARCH64")]
    Loongarch64,
    /// `SCMP_ARCH_M68K`.
    #[serde(rename = "SCMP_ARCH_M68K")]
    M68k,
    /// `SCMP_ARCH_SH`.
    #[serde(rename = "SCMP_ARCH_SH")]
    Sh,
    /// `SCMP_ARCH_SHEB`.
    #[serde(rename = "SCMP_ARCH_SHEB")]
    Sheb,
}

impl SeccompArch {
    /// Every architecture.
    pub const ALL: [Self; 23] = [
        Self::X86,
        Self::X86_64,
        Self::X32,
        Self::Arm,
        Self::Aarch64,
        Self::Mips,
        Self::Mips64,
        Self::Mips64n32,
        Self::Mipsel,
        Self::Mipsel64,
        Self::Mipsel64n32,
        Self::Ppc,
        Self::Ppc64,
        Self::Ppc64le,
        Self::S390,
        Self::S390x,
        Self::Parisc,
        Self::Parisc64,
        Self::Riscv64,
        Self::Loongarch64,
        Self::M68k,
        Self::Sh,
        Self::Sheb,
    ];
}

/// A flag of seccomp(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompFlag {
    /// All threads get the filter.
    #[serde(rename = "SECCOMP_FILTER_FLAG_TSYNC")]
    Tsync,
    /// Everything but allowed calls is logged.
    #[serde(rename = "SECCOMP_FILTER_FLAG_LOG")]
    Log,
    /// The mitigation of speculative store bypass stays off.
    #[serde(rename = "SECCOMP_FILTER_FLAG_SPEC_ALLOW")]
    SpecAllow,
    /// A call that waits for the listener is interrupted by fatal signals only.
    #[serde(rename = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")]
    WaitKillableRecv,
}

impl SeccompFlag {
    /// Every flag.
    pub const ALL: [Self; 4] = [Self::Tsync, Self::Log, Self::SpecAllow, Self::WaitKillableRecv];
}
