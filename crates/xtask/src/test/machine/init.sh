#!/bin/sh
# PID 1 of the machine without systemd: mounts what every host has, and the cgroup hierarchies of the host that HOST
# names, runs the job, and switches the machine off. dash as PID 1 also waits for the orphans.
export PATH=/carboy:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc -o nosuid,noexec,nodev proc /proc
mount -t sysfs -o nosuid,noexec,nodev sysfs /sys
mount -t securityfs -o nosuid,noexec,nodev securityfs /sys/kernel/security
mount -t devtmpfs -o mode=0755,nosuid dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o nosuid,noexec,gid=5,mode=0620,ptmxmode=0666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev shm /dev/shm
mount -t tmpfs -o mode=0755,nosuid,nodev run /run
mount -t tmpfs -o mode=1777,nosuid,nodev tmp /tmp
ln -s /proc/self/fd /dev/fd
mount --make-rshared /
hostname machine
ip link set lo up
case $HOST in
v2)
    # As systemd mounts it. A group with controllers for its children holds no process: PID 1 leaves the root.
    mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
    mkdir /sys/fs/cgroup/init
    echo $$ >/sys/fs/cgroup/init/cgroup.procs
    ;;
v1)
    # As distributions had it: two pairs of controllers share a hierarchy, and one without a controller has a name.
    mount -t tmpfs -o mode=0755,nosuid,nodev,noexec cgroup /sys/fs/cgroup
    for controllers in cpuset cpu,cpuacct blkio memory devices freezer net_cls,net_prio perf_event hugetlb pids rdma misc; do
        mkdir "/sys/fs/cgroup/$controllers"
        mount -t cgroup -o "nosuid,nodev,noexec,$controllers" cgroup "/sys/fs/cgroup/$controllers"
    done
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o nosuid,nodev,noexec,none,name=systemd cgroup /sys/fs/cgroup/systemd
    ;;
esac
setsid --wait /carboy/job
busybox poweroff -f
