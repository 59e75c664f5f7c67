#!/bin/busybox sh
# PID 1 of the initial RAM file system: finds the two disks and hands over to the init of the first.
# FIRST_INIT and HOST come from the kernel's command line, which gives unknown words to PID 1 as its environment.
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do
    /bin/busybox insmod "/modules/$module"
done
/bin/busybox mount -t ext4 -o noatime /dev/vda /root
/bin/busybox mount -t ext4 -o noatime /dev/vdb /root/carboy
if [ "$HOST" = systemd ]; then
    # systemd keeps a /run that is already mounted, with the units in it.
    /bin/busybox mount -t tmpfs -o mode=0755,nosuid,nodev run /root/run
    /bin/busybox mkdir -p /root/run/systemd/system
    /bin/busybox cp /root/carboy/job.service /root/run/systemd/system/
fi
/bin/busybox umount /dev
exec /bin/busybox switch_root /root "$FIRST_INIT"
