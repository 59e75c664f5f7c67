//! New limits over those that a container has.

use crate::{BlockIo, Cpu, Memory, Resources, ThrottleDevice};

impl Resources {
    /// What a container is to have that has these and is asked to have `asked`: field by field, a device's value in place
    /// of its former one, a rule about device nodes after those that there are.
    #[must_use]
    pub fn merged(&self, asked: &Self) -> Self {
        let mut merged = self.clone();
        merged.devices.extend(asked.devices.iter().cloned());
        if let Some(asked) = &asked.memory {
            merge_memory(merged.memory.get_or_insert_default(), asked);
        }
        if let Some(asked) = &asked.cpu {
            merge_cpu(merged.cpu.get_or_insert_default(), asked);
        }
        if let Some(asked) = &asked.pids {
            replace(&mut merged.pids.get_or_insert_default().limit, asked.limit.as_ref());
        }
        if let Some(asked) = &asked.block_io {
            merge_block_io(merged.block_io.get_or_insert_default(), asked);
        }
        put(&mut merged.hugepage_limits, &asked.hugepage_limits, |limit| limit.page_size.clone());
        if let Some(asked) = &asked.network {
            let network = merged.network.get_or_insert_default();
            replace(&mut network.class_id, asked.class_id.as_ref());
            put(&mut network.priorities, &asked.priorities, |priority| priority.name.clone());
        }
        for (device, asked) in &asked.rdma {
            let limits = merged.rdma.entry(device.clone()).or_default();
            replace(&mut limits.hca_handles, asked.hca_handles.as_ref());
            replace(&mut limits.hca_objects, asked.hca_objects.as_ref());
        }
        merged.unified.extend(asked.unified.clone());
        merged
    }
}

fn replace<T: Clone>(place: &mut Option<T>, asked: Option<&T>) {
    if let Some(asked) = asked {
        *place = Some(asked.clone());
    }
}

/// Puts each element in the place of the one with its key, or behind all.
fn put<T: Clone, K: PartialEq>(list: &mut Vec<T>, asked: &[T], key: impl Fn(&T) -> K) {
    for new in asked {
        match list.iter_mut().find(|known| key(known) == key(new)) {
            Some(known) => *known = new.clone(),
            None => list.push(new.clone()),
        }
    }
}

fn merge_memory(memory: &mut Memory, asked: &Memory) {
    let Memory { limit, reservation, swap, kernel, kernel_tcp, swappiness, disable_oom_killer, .. } = asked;
    replace(&mut memory.limit, limit.as_ref());
    replace(&mut memory.reservation, reservation.as_ref());
    replace(&mut memory.swap, swap.as_ref());
    replace(&mut memory.kernel, kernel.as_ref());
    replace(&mut memory.kernel_tcp, kernel_tcp.as_ref());
    replace(&mut memory.swappiness, swappiness.as_ref());
    replace(&mut memory.disable_oom_killer, disable_oom_killer.as_ref());
}

fn merge_cpu(cpu: &mut Cpu, asked: &Cpu) {
    let Cpu { shares, quota, burst, period, realtime_runtime, realtime_period, cpus, mems, idle } = asked;
    replace(&mut cpu.shares, shares.as_ref());
    replace(&mut cpu.quota, quota.as_ref());
    replace(&mut cpu.burst, burst.as_ref());
    replace(&mut cpu.period, period.as_ref());
    replace(&mut cpu.realtime_runtime, realtime_runtime.as_ref());
    replace(&mut cpu.realtime_period, realtime_period.as_ref());
    replace(&mut cpu.cpus, cpus.as_ref());
    replace(&mut cpu.mems, mems.as_ref());
    replace(&mut cpu.idle, idle.as_ref());
}

fn merge_block_io(io: &mut BlockIo, asked: &BlockIo) {
    replace(&mut io.weight, asked.weight.as_ref());
    put(&mut io.weight_device, &asked.weight_device, |device| (device.major, device.minor));
    let numbers = |device: &ThrottleDevice| (device.major, device.minor);
    put(&mut io.throttle_read_bps_device, &asked.throttle_read_bps_device, numbers);
    put(&mut io.throttle_write_bps_device, &asked.throttle_write_bps_device, numbers);
    put(&mut io.throttle_read_iops_device, &asked.throttle_read_iops_device, numbers);
    put(&mut io.throttle_write_iops_device, &asked.throttle_write_iops_device, numbers);
}
