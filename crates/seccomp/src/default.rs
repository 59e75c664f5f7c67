//! The decisions of Docker's default seccomp profile, as a table: what is allowed always, and what a capability opens.
//!
//! Everything else gets EPERM. Facts as of moby's profile of June 2026 (docs.docker.com/engine/security/seccomp).

use oci::{Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompOp, SeccompRule};

use crate::table::Arch;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Allowed for every container.
const ALWAYS: &str = "\
    _llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown \
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 \
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 \
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old \
    eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate \
    fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr \
    flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate \
    ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list \
    get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 \
    getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid \
    getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday \
    getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel \
    io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set \
    ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link \
    linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise \
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 \
    mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 \
    mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall \
    munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe \
    pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 \
    process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv \
    recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat \
    renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn \
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max \
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile \
    sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 \
    setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 \
    setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 \
    setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn \
    socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync \
    sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime \
    timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 \
    timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat \
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed since Linux 4.8, where seccomp runs again after a tracer changed the call.
const TRACING: &str = "process_vm_readv process_vm_writev ptrace";

/// Allowed with a capability in the bounding set.
const WITH_CAPABILITY: &[(&str, &str)] = &[
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// Allowed on 64-bit x86 kernels.
const ON_X86_64: &str = "arch_prctl modify_ldt";
/// Allowed on 32-bit x86 kernels.
const ON_X86: &str = "modify_ldt";
/// Allowed on ARM kernels.
const ON_ARM: &str = "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";

/// What personality(2) may be given: PER_LINUX, PER_LINUX32, each also with UNAME26, and the query.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;

/// The namespaces that clone(2) must not make without CAP_SYS_ADMIN: mnt, cgroup, uts, ipc, user, pid, net.
const CLONE_NAMESPACES: u64 =
    0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;

/// What Docker leaves root of a container, where nothing else is asked.
pub const DOCKER_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Docker's default profile for a container with these capabilities in its bounding set ("CAP_SYS_ADMIN"), on a kernel
/// of architecture `native` and version `kernel` (major, minor).
#[must_use]
pub fn docker_default(capabilities: &[String], native: Arch, kernel: (u32, u32)) -> Seccomp {
    let has = |name: &str| capabilities.iter().any(|capability| capability == name);
    let mut syscalls = vec![allow(ALWAYS)];
    if kernel >= (4, 8) {
        syscalls.push(allow(TRACING));
    }
    syscalls.extend(WITH_CAPABILITY.iter().filter(|(name, _)| has(name)).map(|(_, names)| allow(names)));
    let (architectures, here) = match native {
        Arch::X86_64 | Arch::X32 => (vec![SeccompArch::X86_64, SeccompArch::X86, SeccompArch::X32], ON_X86_64),
        Arch::X86 => (Vec::new(), ON_X86),
        Arch::Aarch64 => (vec![SeccompArch::Aarch64, SeccompArch::Arm], ON_ARM),
        Arch::Arm => (Vec::new(), ON_ARM),
    };
    syscalls.push(allow(here));
    let families =
        [(SeccompOp::LessThan, AF_ALG), (SeccompOp::EqualTo, AF_ALG + 1), (SeccompOp::GreaterThan, AF_VSOCK)];
    syscalls.extend(families.map(|(op, value)| allow_first("socket", op, value)));
    syscalls.extend(PERSONALITIES.map(|value| allow_first("personality", SeccompOp::EqualTo, value)));
    if !has("CAP_SYS_ADMIN") {
        syscalls.push(allow_first("clone", SeccompOp::MaskedEqual, CLONE_NAMESPACES));
        // The flags of clone3 are behind a pointer; told that it does not exist, a C library uses clone.
        syscalls.push(SeccompRule { errno_ret: Some(ENOSYS), action: SeccompAction::Errno, ..allow("clone3") });
    }
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(EPERM),
        architectures,
        flags: Vec::new(),
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

/// Allows the calls of a list of names.
fn allow(names: &str) -> SeccompRule {
    let names = names.split_ascii_whitespace().map(str::to_owned).collect();
    SeccompRule { names, action: SeccompAction::Allow, errno_ret: None, args: Vec::new() }
}

/// Allows a call where its argument 0 compares with `value`; a masked comparison is with 0.
fn allow_first(name: &str, op: SeccompOp, value: u64) -> SeccompRule {
    SeccompRule { args: vec![SeccompArg { index: 0, value, value_two: 0, op }], ..allow(name) }
}
