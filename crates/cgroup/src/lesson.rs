//! What each controller counts, when it acts, what is felt of it inside and where it tells so: for somebody who learns it.
//! The kernel's admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1.

use crate::hierarchy::Controller;

/// What a controller does, in sentences.
#[must_use]
pub const fn of(controller: Controller) -> &'static [&'static str] {
    match controller {
        Controller::Cpu => &[
            "A quota is time that all processes of the group may run in each period, on all CPUs together. When it is used up they wait for the next period, also on a machine that is idle otherwise.",
            "Felt inside: everything takes longer, in steps of the period; nothing fails.",
            "Told by cpu.stat: nr_periods, nr_throttled, and the time held back. It counts at the group whose quota was used up: an ancestor's quota leaves the container's own numbers at 0.",
            "A weight is a share among groups beside each other, and means nothing as long as a CPU is idle.",
        ],
        Controller::Cpuacct => &[
            "It counts the CPU time of a group and limits nothing. v2 counts it in every group's cpu.stat without any controller.",
        ],
        Controller::Cpuset => &[
            "Which CPUs a group may run on, and from which memory nodes its pages come. A group never has more than the group above.",
            "Felt inside: sched_setaffinity cannot reach other CPUs, and nproc shows fewer; /proc/cpuinfo still shows all.",
        ],
        Controller::Memory => &[
            "Pages are counted to the group that touches them first: anonymous memory, the cache of files, and the kernel's own memory for it. They stay there when the process moves.",
            "At the limit the kernel first takes back what can be dropped or written out, and the process waits for that; when nothing is left it kills a process below the group whose limit was reached (v2: all of the group with memory.oom.group).",
            "Felt inside: slow, then a process ends by SIGKILL. malloc seldom fails: memory is taken when it is touched.",
            "Told by memory.events and memory.stat (v1: memory.failcnt and memory.oom_control): the level whose limit was reached is the cause, the group of the killed process the victim, and they need not be the same.",
        ],
        Controller::Io => &[
            "Bytes and operations a second for each block device. Who is over waits before the next is handed to the device; what goes to the cache of files is held back on v2 only, where the kernel knows whose pages it writes out.",
            "Felt inside: reads and fsync take longer. No counter tells how often it acted; io.pressure tells that something waited.",
        ],
        Controller::Pids => &[
            "Tasks are processes and threads. fork and clone fail with EAGAIN where one more would exceed the limit of any level; what is there already is left alone, also where the limit is set below it.",
            "Told by pids.events: on v1 and older kernels at the group of the one who was refused, whichever level's limit it was.",
        ],
        Controller::Devices => &[
            "Which device nodes may be opened and made, by type and number. Whatever file modes and capabilities allow, EPERM is what is felt.",
            "v1 keeps a list that a group below cannot widen. v2 asks a BPF program attached to the group, and every program of the groups above it.",
        ],
        Controller::Freezer => &[
            "Every process stands still where it is, without a signal: it cannot notice, catch or refuse it. Memory, locks and sockets stay as they are; peers run into their timeouts. On v1 not even SIGKILL ends it before it is thawed.",
        ],
        Controller::NetCls => &[
            "A number on each packet that the group's sockets send, which tc and iptables can match. v1 only; on v2 rules match the group itself.",
        ],
        Controller::NetPrio => &["The priority of the group's packets for each interface of the host. v1 only."],
        Controller::Hugetlb => &[
            "Huge pages of each size, taken at the first touch. Over the limit that touch is answered by SIGBUS, not by waiting; a reservation is refused by mmap already.",
        ],
        Controller::PerfEvent => &["It limits nothing: perf record -G counts the events of one group's processes."],
        Controller::Rdma => {
            &["Handles and objects of each RDMA device; over the limit the verbs call fails with EAGAIN."]
        }
        Controller::Misc => &[
            "Scalar resources that a machine has few of, as ids of encrypted guests; over the limit the call that wants one fails with EBUSY.",
        ],
    }
}
