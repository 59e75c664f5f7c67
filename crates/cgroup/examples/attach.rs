//! What attaching a process to the groups of every hierarchy costs on this host, in microseconds of wall time: one
//! hierarchy after another, side by side, and right after another attach. Run as root; leaves nothing behind.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::io::Error as IoError;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use carboy_cgroup::{Asked, GroupPath, Groups, Hierarchies, HierarchyIndex, HostFacts, Plan, plan};
use rustix::process::Pid;

const ROUNDS: usize = 15;

fn main() -> error::Result<()> {
    let hierarchies = Hierarchies::read()?;
    let path = GroupPath::parse("path", &format!("/carboy-attach-{}", std::process::id()))?;
    let facts = HostFacts::read(&hierarchies, &path)?;
    let resources = oci::Resources::default();
    let plan = plan(&hierarchies, &facts, &path, &Asked { resources: &resources, defaulted: &[] })?;
    let mut groups = Groups::prepare(&hierarchies, &plan)?;
    let start = Instant::now();
    let result = plan.steps.iter().try_for_each(|step| groups.apply(step));
    println!("{} steps of the plan: {} µs", plan.steps.len(), start.elapsed().as_micros());
    let result = result.and_then(|()| measure(&groups, &plan));
    let start = Instant::now();
    groups.kill()?;
    println!("kill: {} µs", start.elapsed().as_micros());
    let start = Instant::now();
    for left in groups.remove(&plan.parents) {
        println!("left behind: {}", left.group);
    }
    println!("remove: {} µs", start.elapsed().as_micros());
    result
}

fn measure(groups: &Groups, plan: &Plan) -> error::Result<()> {
    let mut table = vec![Vec::new(); plan.attach.len()];
    let (mut sequence, mut side, mut after, mut itself) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let sleeper = Sleeper::start()?;
        pause();
        let all = Instant::now();
        for (hierarchy, times) in plan.attach.iter().zip(&mut table) {
            times.push(timed(groups, *hierarchy, &sleeper)?);
        }
        sequence.push(all.elapsed());
        let second = Sleeper::start()?;
        let all = Instant::now();
        for hierarchy in &plan.attach {
            timed(groups, *hierarchy, &second)?;
        }
        after.push(all.elapsed());
        let third = Sleeper::start()?;
        pause();
        let all = Instant::now();
        std::thread::scope(|scope| {
            for hierarchy in &plan.attach {
                scope.spawn(|| timed(groups, *hierarchy, &third));
            }
        });
        side.push(all.elapsed());
        pause();
        itself
            .push(std::thread::scope(|scope| scope.spawn(|| join(groups, plan)).join().unwrap_or(Ok(Duration::MAX)))?);
    }
    for (place, times) in plan.attach.iter().zip(&mut table) {
        println!("attach {:>2}, after those before: {}", place.0, median(times));
    }
    println!("all, one after another:           {}", median(&mut sequence));
    println!("all, right after another process: {}", median(&mut after));
    println!("all, side by side:                {}", median(&mut side));
    println!("all v1, by the thread itself:     {}", median(&mut itself));
    Ok(())
}

fn timed(groups: &Groups, hierarchy: HierarchyIndex, sleeper: &Sleeper) -> error::Result<Duration> {
    let start = Instant::now();
    groups.attach(hierarchy, Pid::from_child(&sleeper.0))?;
    Ok(start.elapsed())
}

/// The calling thread joins every v1 hierarchy; it has to end afterwards.
fn join(groups: &Groups, plan: &Plan) -> error::Result<Duration> {
    let v2 = groups.into_cgroup().map(|(index, _)| index);
    let start = Instant::now();
    for hierarchy in plan.attach.iter().filter(|index| Some(**index) != v2) {
        let file = groups.join_file(*hierarchy)?;
        rustix::io::write(&file, b"0").map_err(|errno| error::Kernel::new("join a hierarchy", errno))?;
    }
    Ok(start.elapsed())
}

/// Long enough for the kernel to leave the state in which attaching is cheap.
fn pause() {
    std::thread::sleep(Duration::from_millis(200));
}

fn median(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| times.get(part).map_or(0, Duration::as_micros);
    format!("{:>6} µs (least {}, most {})", at(times.len() / 2), at(0), at(times.len().saturating_sub(1)))
}

struct Sleeper(Child);

impl Sleeper {
    fn start() -> error::Result<Self> {
        let started = Command::new("sleep").arg("100").spawn();
        let errno = |error: IoError| error::Errno::from_io_error(&error).unwrap_or(error::Errno::IO);
        Ok(Self(started.map_err(|error| error::Kernel::new("start sleep", errno(error)))?))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
