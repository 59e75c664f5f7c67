//! The container's process: who it is, what it may do, what it runs. OCI runtime specification, config.md "Process".

use serde::{Deserialize, Serialize};

use crate::{Capabilities, absent};

/// The process to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Process {
    /// Whether it gets a terminal of its own.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub terminal: bool,
    /// The terminal's size at first.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub console_size: Option<ConsoleSize>,
    /// Who it runs as.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub user: User,
    /// The program and its arguments, as for execvp(3).
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub args: Vec<String>,
    /// Its whole environment, as `NAME=value`.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub env: Vec<String>,
    /// Its working directory, an absolute path inside.
    pub cwd: String,
    /// Its capabilities; absent, it keeps those of its runtime.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub capabilities: Option<Capabilities>,
    /// Its resource limits.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub rlimits: Vec<Rlimit>,
    /// Whether execve is kept from giving it more rights, prctl(2) `PR_SET_NO_NEW_PRIVS`.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub no_new_privileges: bool,
    /// Its AppArmor profile.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub apparmor_profile: Option<String>,
    /// How readily it is killed when memory runs out, -1000 (never) to 1000. proc_pid_oom_score_adj(5).
    #[serde(default, skip_serializing_if = "absent::is")]
    pub oom_score_adj: Option<i32>,
    /// How it is scheduled.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub scheduler: Option<Scheduler>,
    /// Its SELinux label.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub selinux_label: Option<String>,
    /// The priority of its input and output.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub io_priority: Option<IoPriority>,
    /// The processors for processes that enter the container later.
    #[serde(rename = "execCPUAffinity")]
    #[serde(default, skip_serializing_if = "absent::is")]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct ConsoleSize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

/// User and groups, as ids inside the container's user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct User {
    /// The user.
    #[serde(default)]
    pub uid: u32,
    /// The primary group.
    #[serde(default)]
    pub gid: u32,
    /// Permission bits that new files do not get; absent, it keeps its runtime's.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub umask: Option<u32>,
    /// The other groups.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub additional_gids: Vec<u32>,
}

/// One resource limit. getrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Rlimit {
    /// The resource, a name of [`RLIMITS`].
    #[serde(rename = "type")]
    pub kind: String,
    /// What the kernel enforces, in the resource's own unit.
    pub soft: u64,
    /// Up to where the process itself may raise it.
    pub hard: u64,
}

/// The resources that can be limited with their numbers, the same on x86_64 and aarch64. <asm-generic/resource.h>.
pub const RLIMITS: [(&str, u32); 16] = [
    ("RLIMIT_CPU", 0),
    ("RLIMIT_FSIZE", 1),
    ("RLIMIT_DATA", 2),
    ("RLIMIT_STACK", 3),
    ("RLIMIT_CORE", 4),
    ("RLIMIT_RSS", 5),
    ("RLIMIT_NPROC", 6),
    ("RLIMIT_NOFILE", 7),
    ("RLIMIT_MEMLOCK", 8),
    ("RLIMIT_AS", 9),
    ("RLIMIT_LOCKS", 10),
    ("RLIMIT_SIGPENDING", 11),
    ("RLIMIT_MSGQUEUE", 12),
    ("RLIMIT_NICE", 13),
    ("RLIMIT_RTPRIO", 14),
    ("RLIMIT_RTTIME", 15),
];

/// What sched_setattr(2) is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Scheduler {
    /// The policy.
    pub policy: SchedulerPolicy,
    /// The nice value, -20 to 19.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub nice: i32,
    /// The static priority of the real-time policies.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub priority: i32,
    /// Flags.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub flags: Vec<SchedulerFlag>,
    /// For the deadline policy: the time it may run in each period, in nanoseconds.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub runtime: u64,
    /// For the deadline policy: by when it has to be done, in nanoseconds from the period's beginning.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub deadline: u64,
    /// For the deadline policy: the period, in nanoseconds.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub period: u64,
}

/// A scheduling policy. sched(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulerPolicy {
    /// `SCHED_OTHER`.
    #[serde(rename = "SCHED_OTHER")]
    Other,
    /// `SCHED_FIFO`.
    #[serde(rename = "SCHED_FIFO")]
    Fifo,
    /// `SCHED_RR`.
    #[serde(rename = "SCHED_RR")]
    Rr,
    /// `SCHED_BATCH`.
    #[serde(rename = "SCHED_BATCH")]
    Batch,
    /// `SCHED_ISO`, which Linux reserves and does not have.
    #[serde(rename = "SCHED_ISO")]
    Iso,
    /// `SCHED_IDLE`.
    #[serde(rename = "SCHED_IDLE")]
    Idle,
    /// `SCHED_DEADLINE`.
    #[serde(rename = "SCHED_DEADLINE")]
    Deadline,
}

/// A flag of sched_setattr(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulerFlag {
    /// `SCHED_FLAG_RESET_ON_FORK`.
    #[serde(rename = "SCHED_FLAG_RESET_ON_FORK")]
    ResetOnFork,
    /// `SCHED_FLAG_RECLAIM`.
    #[serde(rename = "SCHED_FLAG_RECLAIM")]
    Reclaim,
    /// `SCHED_FLAG_DL_OVERRUN`.
    #[serde(rename = "SCHED_FLAG_DL_OVERRUN")]
    DlOverrun,
    /// `SCHED_FLAG_KEEP_POLICY`.
    #[serde(rename = "SCHED_FLAG_KEEP_POLICY")]
    KeepPolicy,
    /// `SCHED_FLAG_KEEP_PARAMS`.
    #[serde(rename = "SCHED_FLAG_KEEP_PARAMS")]
    KeepParams,
    /// `SCHED_FLAG_UTIL_CLAMP_MIN`.
    #[serde(rename = "SCHED_FLAG_UTIL_CLAMP_MIN")]
    UtilClampMin,
    /// `SCHED_FLAG_UTIL_CLAMP_MAX`.
    #[serde(rename = "SCHED_FLAG_UTIL_CLAMP_MAX")]
    UtilClampMax,
}

/// The priority of input and output. ioprio_set(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct IoPriority {
    /// The class.
    pub class: IoPriorityClass,
    /// The level within the class, 0 (first served) to 7.
    #[serde(default)]
    pub priority: i32,
}

/// A class of priorities of input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IoPriorityClass {
    /// Always served first.
    #[serde(rename = "IOPRIO_CLASS_RT")]
    Rt,
    /// Served by level.
    #[serde(rename = "IOPRIO_CLASS_BE")]
    Be,
    /// Served when nobody else asks.
    #[serde(rename = "IOPRIO_CLASS_IDLE")]
    Idle,
}

/// Processors, as lists like `0-3,7`. sched_setaffinity(2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct CpuAffinity {
    /// Those of the process before it enters the container's cgroup.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub initial: Option<String>,
    /// Those of the process after it.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    #[serde(rename = "final")]
    pub last: Option<String>,
}
