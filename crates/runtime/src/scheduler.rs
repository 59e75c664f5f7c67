//! How the process is scheduled: its policy, the priority of its input and output, the processors it runs on. Runtime
//! specification, config.md "Linux Process"; sched(7), ioprio_set(2), sched_setaffinity(2).

use cgroup::cpuset::Set;
use child::Step;
use error::{Refused, Result};
use namespace::steps::Steps;
use oci::{IoPriorityClass, Process, Scheduler, SchedulerFlag, SchedulerPolicy};
use sys::scheduler::Scheduling;

/// The policies by their numbers, <linux/sched.h>.
pub(crate) const POLICIES: [(SchedulerPolicy, u32, &str); 7] = [
    (SchedulerPolicy::Other, 0, "SCHED_OTHER"),
    (SchedulerPolicy::Fifo, 1, "SCHED_FIFO"),
    (SchedulerPolicy::Rr, 2, "SCHED_RR"),
    (SchedulerPolicy::Batch, 3, "SCHED_BATCH"),
    (SchedulerPolicy::Iso, 4, "SCHED_ISO"),
    (SchedulerPolicy::Idle, 5, "SCHED_IDLE"),
    (SchedulerPolicy::Deadline, 6, "SCHED_DEADLINE"),
];

/// Every processor that a kernel can have: it leaves out those that are not there.
const EVERY_PROCESSOR: [u64; 128] = [u64::MAX; 128];

/// Plans the policy and the priority of input and output.
///
/// # Errors
/// Refused for a value that its policy does not have.
pub(crate) fn plan(process: &Process, steps: &mut Steps<'_>) -> Result<()> {
    if let Some(scheduler) = &process.scheduler {
        steps.push(Step::Scheduling(scheduling(scheduler)?));
    }
    if let Some(io) = process.io_priority {
        let class: u16 = match io.class {
            IoPriorityClass::Rt => 1,
            IoPriorityClass::Be => 2,
            IoPriorityClass::Idle => 3,
        };
        let outside = || Refused::new("process.ioPriority.priority", io.priority.to_string(), "is not between 0 and 7");
        let level = u16::try_from(io.priority).ok().filter(|level| *level <= 7).ok_or_else(outside)?;
        steps.push(Step::IoPriority(class << 13 | level));
    }
    Ok(())
}

fn scheduling(scheduler: &Scheduler) -> Result<Scheduling> {
    let Scheduler { policy, nice, priority, flags, runtime, deadline, period } = scheduler;
    let refused = |name: &str, value: String, reason: &str| -> Result<Scheduling> {
        Err(Refused::new(format!("process.scheduler.{name}"), value, reason).into())
    };
    let is_real_time = matches!(policy, SchedulerPolicy::Fifo | SchedulerPolicy::Rr);
    let is_nice = matches!(policy, SchedulerPolicy::Other | SchedulerPolicy::Batch);
    if *policy == SchedulerPolicy::Iso {
        return refused("policy", "SCHED_ISO".to_owned(), "is reserved: no kernel has it");
    }
    if is_nice && !(-20..=19).contains(nice) {
        return refused("nice", nice.to_string(), "is not between -20 and 19");
    }
    if *priority != 0 && !is_real_time {
        return refused("priority", priority.to_string(), "is only for SCHED_FIFO and SCHED_RR");
    }
    if is_real_time && !(1..=99).contains(priority) {
        return refused("priority", priority.to_string(), "is not between 1 and 99");
    }
    for (name, value) in [("runtime", runtime), ("deadline", deadline), ("period", period)] {
        if *value != 0 && *policy != SchedulerPolicy::Deadline {
            return refused(name, value.to_string(), "is only for SCHED_DEADLINE");
        }
    }
    let number = POLICIES.iter().find(|(known, ..)| known == policy).map_or(0, |(_, number, _)| *number);
    Ok(Scheduling {
        policy: number,
        flags: flags.iter().fold(0, |bits, flag| bits | bit(*flag)),
        nice: *nice,
        priority: priority.unsigned_abs(),
        runtime: *runtime,
        deadline: *deadline,
        period: *period,
    })
}

/// <linux/sched.h> `SCHED_FLAG_*`.
const fn bit(flag: SchedulerFlag) -> u64 {
    match flag {
        SchedulerFlag::ResetOnFork => 0x01,
        SchedulerFlag::Reclaim => 0x02,
        SchedulerFlag::DlOverrun => 0x04,
        SchedulerFlag::KeepPolicy => 0x08,
        SchedulerFlag::KeepParams => 0x10,
        SchedulerFlag::UtilClampMin => 0x20,
        SchedulerFlag::UtilClampMax => 0x40,
    }
}

/// A list of processors as the kernel's mask.
///
/// # Errors
/// Refused for what is no list, or an empty one.
pub(crate) fn processors(field: &str, list: &str) -> Result<Vec<u64>> {
    let mask = Set::parse(list).filter(|set| !set.is_empty()).and_then(|set| set.mask());
    mask.ok_or_else(|| Refused::new(field, list, "is not a list of processors such as 0-3,7").into())
}

/// Looks at the processors of those that enter later, since whoever starts a container is the one who can mend its
/// configuration.
///
/// # Errors
/// As [`processors`].
pub(crate) fn check_affinity(process: &oci::Process) -> Result<()> {
    let Some(oci::CpuAffinity { initial, last }) = &process.exec_cpu_affinity else { return Ok(()) };
    let lists = [("process.execCPUAffinity.initial", initial), ("process.execCPUAffinity.final", last)];
    lists
        .iter()
        .filter_map(|(field, list)| list.as_ref().map(|list| (field, list)))
        .try_for_each(|(field, list)| processors(field, list).map(drop))
}

/// Lets the process run on every processor of its groups, whatever its caller was bound to.
pub(crate) fn plan_every_processor(steps: &mut Steps<'_>) {
    let every = steps.slice(&EVERY_PROCESSOR);
    steps.push(Step::Affinity(every));
}

/// A mask as a list, for people.
pub(crate) fn describe(mask: &[u64]) -> String {
    if mask == EVERY_PROCESSOR {
        return "every processor".to_owned();
    }
    let numbers = (0_u32..).zip(mask).flat_map(|(word, bits)| {
        let set = (0..u64::BITS).filter(move |bit| bits & (1 << bit) != 0);
        set.map(move |bit| (word * u64::BITS + bit).to_string())
    });
    let list = numbers.collect::<Vec<_>>().join(",");
    Set::parse(&list).map_or(list, |set| set.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str) -> Result<Scheduling> {
        scheduling(&oci::document::parse("scheduler", json.as_bytes()).unwrap())
    }

    #[test]
    fn a_policy_has_only_the_values_that_are_its_own() {
        let fifo = asked(r#"{"policy":"SCHED_FIFO","priority":10,"flags":["SCHED_FLAG_RESET_ON_FORK"]}"#).unwrap();
        assert_eq!((fifo.policy, fifo.priority, fifo.flags), (1, 10, 1));
        for (json, field) in [
            (r#"{"policy":"SCHED_OTHER","nice":20}"#, "process.scheduler.nice 20"),
            (r#"{"policy":"SCHED_BATCH","priority":1}"#, "process.scheduler.priority 1"),
            (r#"{"policy":"SCHED_RR"}"#, "process.scheduler.priority 0"),
            (r#"{"policy":"SCHED_IDLE","runtime":1}"#, "process.scheduler.runtime 1"),
            (r#"{"policy":"SCHED_ISO"}"#, "process.scheduler.policy SCHED_ISO"),
        ] {
            let said = asked(json).unwrap_err().to_string();
            assert!(said.contains(field), "{said}");
        }
    }

    #[test]
    fn processors_are_a_list_and_shown_as_one() {
        let mask = processors("process.execCPUAffinity.final", "7,0-2").unwrap();
        assert_eq!((mask.as_slice(), describe(&mask).as_str()), ([0b1000_0111].as_slice(), "0-2,7"));
        assert_eq!(describe(&EVERY_PROCESSOR), "every processor");
        for list in ["", "x", "3-1", "0-4294967295"] {
            let said = processors("process.execCPUAffinity.final", list).unwrap_err().to_string();
            assert!(said.contains("process.execCPUAffinity.final"), "{said}");
        }
    }
}
