//! The commands of a container's life beside Debian's docker.io and Podman, on the same busybox, in namespaces of their own
//! that end with the measurement: dockerd is started there.
//!
//! Each work is done by all in turn, round by round; a ratio is the median of the ratios of the rounds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use error::{Doing, Refused, Result};

use super::table::median;

/// The task's name on the command line: the release of this program measures itself.
pub(crate) const WORD: &str = "bench-life";

/// How often what takes moments is done, and what takes seconds.
const ROUNDS: usize = 11;
const FEW_ROUNDS: usize = 3;
/// How many containers are started at the same time, and how many are listed.
const AT_ONCE: usize = 20;
/// How many run when the memory of those who take care of them is read, and are removed.
const CROWD: usize = 50;
/// After so long nothing happens any more in whoever takes care of an idle container.
const QUIET: Duration = Duration::from_secs(4);
/// What a container writes, a hundred times ten megabytes in lines of a hundred bytes: it costs who writes as good as nothing.
const OUTPUT: &str = "i=0; while [ $i -lt 100 ]; do cat /lines; i=$((i + 1)); done";
/// PSS for each container.
const PSS_BUDGET_KB: f64 = 80.0;

/// Begins in new namespaces. `$1` is a folder, `$2` the group above Docker's containers; the rest is the command that
/// measures.
const SCRIPT: &str = r#"
set -e
ip link set lo up
mount -t tmpfs run /run; mkdir /run/lock /run/cgroup
mount --move /sys/fs/cgroup /run/cgroup; mount -t sysfs sysfs /sys; mount --move /run/cgroup /sys/fs/cgroup
folder=$1; group=$2; shift 2
cd "$folder"
mkdir -p image/bin image/proc image/sys image/dev; cp /bin/busybox image/bin/
for applet in sh true sleep cat; do ln -s busybox image/bin/$applet; done
yes "$(seq -s '' 55)" | head -c 10000000 > image/lines
tar -C image -cf image.tar .
echo '{"bridge": "none", "iptables": false}' > daemon.json
if command -v dockerd >/dev/null; then
    dockerd --data-root "$folder/data" --exec-root /run/docker --pidfile "$folder/pid" \
        --config-file "$folder/daemon.json" -H "unix://$folder/socket" --cgroup-parent "$group" >"$folder/log" 2>&1 &
fi
"$@" || echo "failed: $?"
test -e "$folder/pid" && kill "$(cat "$folder/pid")" && wait
for point in /sys/fs/cgroup/*; do rmdir "$point$group" "$point/libpod_parent/conmon" "$point/libpod_parent" 2>/dev/null || true; done
"#;

/// Starts the measurement in namespaces of its own.
///
/// # Errors
/// When they cannot be had, or carboy cannot do the work.
pub(crate) fn run(carboy: &Path) -> Result<()> {
    in_namespaces((WORD, SCRIPT), carboy)
}

/// Runs a script of shell in new namespaces, with a folder and the name of a group, which it removes, before the task of this
/// name.
pub(super) fn in_namespaces((task, script): (&str, &str), carboy: &Path) -> Result<()> {
    let own = std::env::current_exe().doing(|| "find this program")?;
    let name = format!("carboy-{task}-{}", std::process::id());
    let folder = Path::new("/var/tmp").join(&name);
    std::fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh"]);
    command.arg(&folder).arg(format!("/{name}")).arg(own).arg(task).arg(carboy).arg(&folder).stdin(Stdio::null());
    let ran = crate::program::run(&mut command);
    let _ = std::fs::remove_dir_all(&folder);
    ran
}

/// Who does the work.
pub(super) struct Engine {
    pub(super) name: &'static str,
    /// The program and what stands before each command.
    head: Vec<String>,
    image: String,
    /// Words of `run` that keep all output, and of every `run`.
    log: &'static [&'static str],
    group: &'static [&'static str],
    /// What the processes that take care of a container are called.
    own: &'static str,
}

/// What the others may be taken for: carboy's part of docker's time, and of podman's.
struct Work {
    title: &'static str,
    budgets: [Option<f64>; 2],
    rounds: usize,
    /// What is taken away after each round, and not measured.
    leaves: Option<&'static str>,
}

impl Engine {
    /// carboy, with a folder of its own in this one, where the image is one, too. What ends with the boot is in memory, as usual.
    pub(super) fn carboy(program: &Path, folder: &Path) -> Self {
        let at = |name: &str| folder.join(name).display().to_string();
        let head = [&program.display().to_string(), "--root", &at("root"), "--runroot", "/run/carboy"];
        Self {
            name: "carboy",
            head: head.map(str::to_owned).to_vec(),
            image: at("image"),
            log: &["--log-opt", "max-size=4g"],
            group: &[],
            own: "carboy",
        }
    }

    /// The docker whose daemon's socket is in this folder.
    pub(super) fn docker(folder: &Path) -> Self {
        let socket = format!("unix://{}", folder.join("socket").display());
        Self {
            name: "docker",
            head: ["/usr/bin/docker", "-H", &socket].map(str::to_owned).to_vec(),
            image: "probe".to_owned(),
            log: &[],
            group: &[],
            own: "containerd-shim",
        }
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let (program, rest) = self.head.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let mut command = Command::new(program);
        command.args(rest).args(words.iter().map(|word| if *word == IMAGE { self.image.as_str() } else { *word }));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    pub(super) fn run(&self, words: &[&str]) -> Result<()> {
        let output = self.command(words).output().doing(|| format!("run {}", self.name))?;
        if output.status.success() {
            return Ok(());
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(Refused::new(self.name, words.join(" "), errors.lines().last().unwrap_or("failed").to_owned()).into())
    }

    /// The words of `run` with these behind it.
    fn words<'w>(&self, flags: &[&'w str], command: &[&'w str]) -> Vec<&'w str>
    where
        'static: 'w,
    {
        [&["run", "--network", "none"], self.group, flags, &[IMAGE], command].concat()
    }

    fn start(&self, number: usize) -> Result<()> {
        self.run(&self.words(&["-d", "--name", &name(number)], &["sleep", "100000"]))
    }

    /// Many commands side by side.
    fn at_once(&self) -> Result<()> {
        let words = self.words(&["--rm"], &["true"]);
        let mut children = Vec::new();
        for _ in 0..AT_ONCE {
            children.push(self.command(&words).spawn().doing(|| format!("run {}", self.name))?);
        }
        for mut child in children {
            if !child.wait().doing(|| format!("wait for {}", self.name))?.success() {
                return Err(Refused::new(self.name, "run", "failed beside others").into());
            }
        }
        Ok(())
    }

    fn write_much(&self) -> Result<()> {
        self.run(&self.words(&[&["-d", "--name", "loud"], self.log].concat(), &["sh", "-c", OUTPUT]))?;
        self.run(&["wait", "loud"])
    }
}

/// What stands for the image's name.
pub(super) const IMAGE: &str = "IMAGE";

fn name(number: usize) -> String {
    format!("one-of-{number}")
}

/// Measures, within the namespaces.
///
/// # Errors
/// When carboy cannot do the work.
pub(crate) fn measure(carboy: &Path, folder: &Path) -> Result<()> {
    let engines = engines(carboy, folder)?;
    let once = |engine: &Engine| engine.run(&engine.words(&["--rm"], &["true"]));
    let work = |title, docker: f64, podman: Option<f64>| Work {
        title,
        budgets: [Some(docker), podman],
        rounds: ROUNDS,
        leaves: None,
    };
    compare(&engines, &work("run --rm IMAGE true, no network", 1.0 / 15.0, Some(1.0 / 15.0)), once)?;
    let at_once =
        Work { title: "20 of them at once", budgets: [None, Some(1.0 / 8.0)], rounds: FEW_ROUNDS, leaves: None };
    compare(&engines, &at_once, Engine::at_once)?;
    for engine in &engines {
        (0..AT_ONCE).try_for_each(|number| engine.start(number))?;
    }
    compare(&engines, &work("exec C true", 0.1, None), |engine| engine.run(&["exec", &name(0), "true"]))?;
    compare(&engines, &work("ps of 20 containers", 1.0 / 6.0, None), |engine| engine.run(&["ps"]))?;
    for engine in &engines {
        (AT_ONCE..CROWD).try_for_each(|number| engine.start(number))?;
    }
    std::thread::sleep(QUIET);
    for engine in &engines {
        let of_each = pss_kb(engine.own)? / f64::from(u32::try_from(CROWD).unwrap_or(u32::MAX));
        let told = if engine.name == "carboy" { verdict(of_each, PSS_BUDGET_KB) } else { String::new() };
        println!("an idle container's own processes, PSS at {CROWD}: {} {of_each:.0} KB{told}", engine.name);
    }
    let names: Vec<String> = (0..CROWD).map(name).collect();
    let remove: Vec<&str> = ["rm", "-f"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let removal = Work { title: "rm -f of 50 running containers", budgets: [Some(0.2), None], rounds: 1, leaves: None };
    compare(&engines, &removal, |engine| engine.run(&remove))?;
    let title = "1 GB to stdout, kept as json-file";
    let much = Work { title, budgets: [Some(0.5), Some(0.5)], rounds: FEW_ROUNDS, leaves: Some("loud") };
    compare(&engines, &much, Engine::write_much)?;
    super::pull::measure(&engines, folder)
}

/// Has all do a work in turn, and prints a line.
fn compare(engines: &[Engine], work: &Work, does: impl Fn(&Engine) -> Result<()>) -> Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..work.rounds {
        let mut round = Vec::new();
        for engine in engines {
            let began = Instant::now();
            does(engine)?;
            round.push(began.elapsed().as_secs_f64() * 1000.0);
            // A disk may take as long to give a gigabyte back as to take it.
            work.leaves.map_or(Ok(()), |name| engine.run(&["rm", name]))?;
        }
        rounds.push(round);
    }
    let of = |index: usize| rounds.iter().filter_map(move |round| round.get(index).copied());
    print!("{}; {} rounds: carboy {:.1} ms", work.title, work.rounds, median(of(0)));
    for (index, engine) in engines.iter().enumerate().skip(1) {
        let ratio = median(of(0).zip(of(index)).map(|(ours, theirs)| ours / theirs));
        let [docker, podman] = work.budgets;
        let budget = if engine.name == "docker" { docker } else { podman };
        let told = budget.map_or(String::new(), |budget| verdict(ratio, budget));
        print!("; {} {:.0} ms, ratio {ratio:.3}{told}", engine.name, median(of(index)));
    }
    println!();
    Ok(())
}

pub(super) fn verdict(is: f64, budget: f64) -> String {
    format!(", {} the budget of {budget:.3}", if is <= budget { "within" } else { "ABOVE" })
}

/// carboy, and those that can run a container here; the others are named, with why.
fn engines(carboy: &Path, folder: &Path) -> Result<Vec<Engine>> {
    let at = |name: &str| folder.join(name).display().to_string();
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let ours = Engine::carboy(carboy, folder);
    ours.run(&ours.words(&["--rm"], &["true"]))?;
    let docker = Engine::docker(folder);
    // Debian's crun refuses v2 beside v1 controllers.
    let runtime = if Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists() { "runc" } else { "crun" };
    let storage = ["--root", &at("storage"), "--runroot", "/run/containers", "--cgroup-manager", "cgroupfs"];
    let podman = Engine {
        name: "podman",
        head: text(&[&["podman"], &storage[..], &["--storage-driver", "overlay", "--runtime", runtime]].concat()),
        image: "probe".to_owned(),
        log: &["--log-driver", "k8s-file", "--log-opt", "max-size=4gb"],
        group: &[],
        own: "conmon",
    };
    let mut engines = vec![ours];
    for engine in [docker, podman] {
        match ready(&engine, &folder.join("image.tar")) {
            Ok(()) => engines.push(engine),
            Err(error) => println!("{} cannot run here and is left out: {error}", engine.name),
        }
    }
    Ok(engines)
}

/// Waits until an engine answers, and gives it the image.
pub(super) fn ready(engine: &Engine, image: &Path) -> Result<()> {
    let began = Instant::now();
    while let Err(error) = engine.run(&["version"]) {
        if began.elapsed() > Duration::from_secs(20) {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    engine.run(&["import", &image.display().to_string(), "probe"])?;
    engine.run(&engine.words(&["--rm"], &["true"]))
}

/// The memory of all processes of this name, each shared page in parts.
fn pss_kb(name: &str) -> Result<f64> {
    let mut sum = 0.0;
    for entry in std::fs::read_dir("/proc").doing(|| "list /proc")?.flatten() {
        let process: PathBuf = entry.path();
        let command = std::fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        let program = command.split('\0').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        if !program.starts_with(name) {
            continue;
        }
        let text = std::fs::read_to_string(process.join("smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        sum += number.unwrap_or_default();
    }
    Ok(sum)
}
