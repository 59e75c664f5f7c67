//! Many containers one after the other and side by side: nothing adds up, in the file system or in the kernel.

use super::*;
use crate::change::{self, Now, Wishes};

const CYCLES: usize = 1000;
const THREADS: usize = 8;
/// What the other tests, and whatever else runs, may have made meanwhile: far less than what would be left.
const OTHERS: u64 = 200;
/// A removed group stays in the kernel until its memory's last page is given back, some RCU grace periods later.
const DYING: Duration = Duration::from_secs(30);

const FORMER: &str = r#"{"memory":{"limit":67108864},"cpu":{"quota":50000,"period":100000},"pids":{"limit":20}}"#;
const ASKED: &str = r#"{"memory":{"limit":134217728},"cpu":{"quota":20000,"period":100000},"pids":{"limit":30}}"#;

/// How many groups the kernel has for each controller, those that are removed and not gone counted.
fn kernel_groups() -> Vec<u64> {
    procfs::cgroup::read_subsystems().unwrap().iter().map(|one| one.groups).collect()
}

fn cycle(hierarchies: &Hierarchies, path: &GroupPath, number: usize) {
    let resources = |json| serde_json::from_str::<oci::Resources>(json).unwrap();
    let (former, asked) = (resources(FORMER), resources(ASKED));
    let facts = HostFacts::read(hierarchies, path).unwrap();
    let plan = plan(hierarchies, &facts, path, &Asked { resources: &former, defaulted: &[] }).unwrap();
    let mut groups = Groups::prepare(hierarchies, &plan).unwrap();
    plan.steps.iter().for_each(|step| groups.apply(step).unwrap());
    let sleeper = number.is_multiple_of(THREADS).then(Sleeper::start);
    if let Some(sleeper) = &sleeper {
        plan.attach.iter().for_each(|index| groups.attach(*index, sleeper.pid()).unwrap());
    }
    let now = Now::read(hierarchies, &groups).unwrap();
    let wishes = Wishes { former: &former, asked: &asked, merged: &asked, unasked: &[] };
    groups.change(&change::plan(hierarchies, path, &now, &wishes).unwrap()).unwrap();
    assert_eq!(groups.pids().unwrap().limit, Some(Limit::At(30)));
    groups.kill().unwrap();
    assert_eq!(groups.remove(&plan.parents), []);
}

#[test]
fn a_thousand_containers_eight_at_a_time_are_made_changed_and_removed_and_the_kernel_keeps_none() {
    let (above, groups) = made(&name(), "{}");
    let before = kernel_groups();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let above = &above;
            scope.spawn(move || {
                for number in (thread..CYCLES).step_by(THREADS) {
                    let path = above.path.child("", &number.to_string()).unwrap();
                    cycle(&above.hierarchies, &path, number / THREADS);
                }
            });
        }
    });
    for (index, hierarchy) in groups.present().collect::<Vec<_>>() {
        assert!(tree::children(groups.group(index).unwrap()).unwrap().is_empty(), "{hierarchy}");
    }
    let dying = || {
        let unified = groups.hierarchies.unified().and_then(|index| groups.group(index).ok());
        unified.and_then(|group| file::number_at(&file::read(group, "cgroup.stat").unwrap(), "nr_dying_descendants"))
    };
    let back = || kernel_groups().iter().zip(&before).all(|(now, before)| *now <= before + OTHERS);
    let start = Instant::now();
    while !back() || dying().unwrap_or(0) > 0 {
        assert!(start.elapsed() < DYING, "{before:?} before, {:?} now, {:?} dying", kernel_groups(), dying());
        std::thread::sleep(Duration::from_millis(100));
    }
}
