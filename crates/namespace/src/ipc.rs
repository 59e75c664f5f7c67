//! The ipc namespace: System V IPC objects and POSIX message queues, with the kernel settings that limit them.
//! ipc_namespaces(7).

/// Whether a kernel setting (`kernel.shmmax`) belongs to the ipc namespace.
#[must_use]
pub fn owns(sysctl: &str) -> bool {
    const SYSTEM_V: [&str; 11] = [
        "kernel.auto_msgmni",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.msg_next_id",
        "kernel.sem",
        "kernel.sem_next_id",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    SYSTEM_V.contains(&sysctl) || sysctl.starts_with("fs.mqueue.")
}
