//! What limits cost carboy itself: the groups of one container made, filled and removed, and one look at what many
//! containers use, by the command and with held descriptors.
//!
//! It is CPU time alone, user and system apart, because the kernel's share is much of it: what waits for the kernel or for
//! other processes is not in it. getrusage(2).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cgroup::sample::{Depth, Hold, Meter, Roots};
use cgroup::{Asked, GroupPath, Groups, Hierarchies, HostFacts};
use error::{Doing, Refused, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::docker_stats;
use super::table::median;

/// How often a container's groups are made.
const ROUNDS: usize = 200;
/// How many containers are looked at, and how often.
const CONTAINERS: usize = 500;
const LOOKS: usize = 10;
/// How many containers are started at the same time.
const AT_ONCE: usize = 8;
/// For how long all containers may take to be there.
const PATIENCE: Duration = Duration::from_secs(120);

/// Milliseconds of CPU time.
const GROUPS_BUDGET: f64 = 1.0;
const COMMAND_BUDGET: f64 = 60.0;
const SEE_BUDGET: f64 = 100.0;
const HELD_BUDGET: f64 = 25.0;
/// Of what `docker stats` takes for a container.
const LIVE_BUDGET: f64 = 1.0 / 50.0;

/// The limits that a container usually has.
const LIMITS: &str = r#"{"cpu":{"quota":50000,"period":100000,"shares":512,"cpus":"0","mems":"0"},
    "memory":{"limit":134217728},"pids":{"limit":100},
    "devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}]}"#;

/// The task's name on the command line: the release of this program measures itself.
pub(crate) const WORD: &str = "bench-limits";

/// Measures, and prints a line for each budget.
///
/// # Errors
/// When groups or containers cannot be made.
pub(crate) fn run(carboy: &Path) -> Result<()> {
    let fleet = format!("{CONTAINERS} containers");
    line("one container's groups made, filled and removed", &groups()?, GROUPS_BUDGET);
    let containers = Fleet::start(carboy)?;
    let stats = Shown { words: &["stats", "--no-stream"], lines: CONTAINERS + 1 };
    line(&format!("carboy stats --no-stream of {fleet}"), &containers.command(&stats)?, COMMAND_BUDGET);
    let see = Shown { words: &["see"], lines: CONTAINERS + 3 };
    line(&format!("carboy see of {fleet}"), &containers.command(&see)?, SEE_BUDGET);
    let held = containers.held()?;
    line(&format!("a look at {fleet} with held descriptors"), &held, HELD_BUDGET);
    drop(containers);
    match docker_stats::one_look_msec()? {
        None => println!("docker stats is left out: Docker is not installed"),
        Some(docker) => {
            let ours = median(held.iter().map(|cost| cost.user + cost.system)) / CONTAINERS as f64;
            let ratio = ours / docker;
            let verdict = if ratio <= LIVE_BUDGET { "within" } else { "ABOVE" };
            println!(
                "one live look at one container: {ours:.3} ms CPU, docker stats {docker:.3} ms; ratio {ratio:.4}, {verdict} \
                 the budget of {LIVE_BUDGET:.3}"
            );
        }
    }
    Ok(())
}

/// CPU time in milliseconds.
pub(super) struct Cost {
    pub(super) user: f64,
    pub(super) system: f64,
}

impl Cost {
    /// What has been used until now.
    pub(super) fn until_now(who: UsageWho) -> Result<Self> {
        let usage = getrusage(who).map_err(std::io::Error::from).doing(|| "read the CPU time used")?;
        Ok(Self { user: milliseconds(usage.user_time()), system: milliseconds(usage.system_time()) })
    }

    /// What has been used since then.
    pub(super) fn since(who: UsageWho, before: &Self) -> Result<Self> {
        let now = Self::until_now(who)?;
        Ok(Self { user: now.user - before.user, system: now.system - before.system })
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of one benchmark")]
fn milliseconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 * 1000.0 + time.tv_usec() as f64 / 1000.0
}

fn line(work: &str, costs: &[Cost], budget: f64) {
    let (user, system) = (median(costs.iter().map(|cost| cost.user)), median(costs.iter().map(|cost| cost.system)));
    let both = median(costs.iter().map(|cost| cost.user + cost.system));
    let verdict = if both <= budget { "within" } else { "ABOVE" };
    println!("{work}: {both:.2} ms CPU ({user:.2} user, {system:.2} system), {verdict} the budget of {budget:.0} ms");
}

/// The accounting of single rounds is coarse: ten of them are one sample.
fn groups() -> Result<Vec<Cost>> {
    const TOGETHER: usize = 10;
    let resources: oci::Resources = oci::document::parse("resources", LIMITS.as_bytes())?;
    let mut costs = Vec::new();
    for sample in 0..ROUNDS / TOGETHER {
        let before = Cost::until_now(UsageWho::RUSAGE_SELF)?;
        for round in 0..TOGETHER {
            one_container(&resources, &format!("/carboy-bench-{}-{sample}-{round}", std::process::id()))?;
        }
        let Cost { user, system } = Cost::since(UsageWho::RUSAGE_SELF, &before)?;
        costs.push(Cost { user: user / 10.0, system: system / 10.0 });
    }
    Ok(costs)
}

fn one_container(resources: &oci::Resources, path: &str) -> Result<()> {
    let path = GroupPath::parse("bench", path)?;
    let hierarchies = Hierarchies::read()?;
    let facts = HostFacts::read(&hierarchies, &path)?;
    let plan = cgroup::plan(&hierarchies, &facts, &path, &Asked { resources, defaulted: &[] })?;
    let mut groups = Groups::prepare(&hierarchies, &plan)?;
    let made = plan.steps.iter().try_for_each(|step| groups.apply(step));
    let left = groups.remove(&plan.parents).into_iter().next();
    made.and(left.map_or(Ok(()), |left| Err(left.error)))
}

/// A command of carboy, and how many lines it shows at least.
struct Shown {
    words: &'static [&'static str],
    lines: usize,
}

/// Many containers that do nothing.
struct Fleet {
    carboy: PathBuf,
    folder: PathBuf,
    clients: Vec<Child>,
}

impl Fleet {
    fn start(carboy: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("carboy-bench-{}", std::process::id()));
        let mut fleet = Self { carboy: carboy.to_owned(), folder, clients: Vec::new() };
        let begun = Instant::now();
        for number in 0..CONTAINERS {
            let mut run = fleet.ours(&[
                "run",
                "--rm",
                "--network",
                "none",
                "--cgroup-manager",
                "cgroupfs",
                "--name",
                &format!("b{number}"),
            ]);
            run.args(["host", "sleep", "1000"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            fleet.clients.push(run.spawn().doing(|| "start a container")?);
            while fleet.clients.len() >= fleet.running()? + AT_ONCE {
                if begun.elapsed() > PATIENCE {
                    return Err(Refused::new("bench", "", "the containers do not start").into());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        while fleet.running()? < CONTAINERS && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(fleet)
    }

    fn ours(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.carboy);
        command.arg("--root").arg(self.folder.join("root")).arg("--runroot").arg(self.folder.join("run")).args(words);
        command
    }

    /// How many there are that run, by what their monitors have put on record.
    fn running(&self) -> Result<usize> {
        let listed = match std::fs::read_dir(self.folder.join("run")) {
            Err(_) => return Ok(0),
            listed => listed.doing(|| "list the containers")?,
        };
        let started = |path: PathBuf| {
            let live = std::fs::read_to_string(path.join("live.json")).unwrap_or_default();
            live.contains("\"started\":\"")
        };
        Ok(listed.flatten().filter(|entry| started(entry.path())).count())
    }

    fn command(&self, shown: &Shown) -> Result<Vec<Cost>> {
        let mut costs = Vec::new();
        for _ in 0..LOOKS {
            let before = Cost::until_now(UsageWho::RUSAGE_CHILDREN)?;
            let output = self.ours(shown.words).output().doing(|| "run carboy")?;
            let lines = String::from_utf8_lossy(&output.stdout).lines().count();
            if lines < shown.lines {
                let reason = format!("it shows {lines} lines for {CONTAINERS} containers");
                return Err(Refused::new("carboy", shown.words.join(" "), reason).into());
            }
            costs.push(Cost::since(UsageWho::RUSAGE_CHILDREN, &before)?);
        }
        Ok(costs)
    }

    fn held(&self) -> Result<Vec<Cost>> {
        more_files();
        let ids = std::fs::read_dir(self.folder.join("run")).doing(|| "list the containers")?.flatten();
        let ids = ids.filter_map(|entry| entry.file_name().into_string().ok()).filter(|id| id.len() == 64);
        let paths = ids.map(|id| GroupPath::parse("bench", &format!("/carboy-{id}")));
        let meters = paths.map(|path| Ok(Meter::new(path?, Hold::Files))).collect::<Result<Vec<_>>>()?;
        let roots = Roots::open(Hierarchies::read()?)?;
        let look = || meters.iter().filter(|meter| !meter.sample(&roots, Depth::Line).is_absent()).count();
        if look() != CONTAINERS {
            return Err(Refused::new("bench", "", "not every container could be read").into());
        }
        let mut costs = Vec::new();
        for _ in 0..LOOKS {
            let before = Cost::until_now(UsageWho::RUSAGE_SELF)?;
            look();
            costs.push(Cost::since(UsageWho::RUSAGE_SELF, &before)?);
        }
        Ok(costs)
    }
}

/// A dozen files are held for each container.
fn more_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Nothing is left, whatever went wrong.
impl Drop for Fleet {
    fn drop(&mut self) {
        let names: Vec<String> = (0..self.clients.len()).map(|number| format!("b{number}")).collect();
        let words = ["rm", "-f"].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>();
        let _ = self.ours(&words).stdout(Stdio::null()).stderr(Stdio::null()).status();
        for client in &mut self.clients {
            let _ = client.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
