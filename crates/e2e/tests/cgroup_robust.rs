//! Groups go away whatever is done in them: groups nested in them, forks while they are killed, frozen processes, another
//! tool's hand, containers that begin and end side by side, and carboy in a container of its own. cgroup-v1 and cgroup-v2
//! documents of the kernel.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use carboy_e2e::group::{Version, either, hierarchy, mount_points, setting};
use carboy_e2e::{Attended, Carboy, Ended, eventually, program};

/// A container called `it`, its groups, and the word in the environment of all its processes.
struct Container<'c> {
    carboy: &'c Carboy,
    command: Attended,
    groups: Vec<PathBuf>,
}

impl<'c> Container<'c> {
    /// Starts it with these flags; the script says when it is ready.
    fn start(carboy: &'c Carboy, flags: &[&str], script: &str) -> Self {
        let root = carboy.busybox();
        let mark = format!("CARBOY_TEST_MARK={}", top(carboy));
        let words = ["run", "-i", "--name", "it", "--env", &mark].into_iter().chain(flags.iter().copied());
        let words = words.chain([root.to_str().unwrap(), "sh", "-c", script]);
        let mut command = Attended::start(&mut carboy.command(words));
        let line = command.line();
        assert_eq!(line, "ready", "{}", if line.is_empty() { command.end().stderr } else { line.clone() });
        let groups = folders(carboy.inspect("it")["CgroupPath"].as_str().unwrap());
        assert!(!groups.is_empty(), "{flags:?}");
        Self { carboy, command, groups }
    }

    fn removed_by_force(self) {
        self.succeeds(&["rm", "-f", "it"]);
        self.leaves_nothing(137);
    }

    fn succeeds(&self, words: &[&str]) {
        let ended = self.carboy.run(words);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "it\n", ""), "{words:?}");
    }

    /// It ends with this code and no complaint, and nothing is left of it.
    fn leaves_nothing(self, code: i32) {
        let ended = self.ends();
        assert_eq!((ended.code, ended.stderr.as_str()), (code, ""));
    }

    /// How it ends; nothing is left of it.
    fn ends(self) -> Ended {
        let ended = self.command.end();
        assert_eq!(marked(self.carboy), Vec::<PathBuf>::new(), "processes");
        let left: Vec<&PathBuf> = self.groups.iter().filter(|group| group.exists()).collect();
        assert_eq!(left, Vec::<&PathBuf>::new());
        assert_eq!(self.carboy.left_behind(), Vec::<String>::new());
        ended
    }
}

/// A name that only this carboy's test uses.
fn top(carboy: &Carboy) -> &str {
    carboy.folder().file_name().unwrap().to_str().unwrap()
}

/// The folders of a group in all hierarchies.
fn folders(group: &str) -> Vec<PathBuf> {
    let paths = mount_points().into_iter().map(|point| point.join(group.trim_start_matches('/')));
    paths.filter(|path| path.is_dir()).collect()
}

/// The processes that a container of this carboy has started.
fn marked(carboy: &Carboy) -> Vec<PathBuf> {
    let mark = format!("CARBOY_TEST_MARK={}", top(carboy));
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let is_marked = |process: &PathBuf| {
        let variables = fs::read(process.join("environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    processes.filter(is_marked).collect()
}

/// Makes groups three deep in every hierarchy that the container sees, moves its shell into the deepest ones, and puts
/// another process into a threaded group of v2.
const NEST: &str = "
for procs in $(find /sys/fs/cgroup -name cgroup.procs); do
    group=${procs%/cgroup.procs}
    mkdir $group/beside || exit 1
    for name in a b c; do
        mkdir $group/$name || exit 2
        for file in cpuset.cpus cpuset.mems; do
            if test -e $group/$file && ! test -e $group/cgroup.type && test -e $group/cpuset.memory_migrate; then
                cat $group/$file > $group/$name/$file || exit 3
            fi
        done
        group=$group/$name
    done
    echo $$ > $group/cgroup.procs || exit 4
    grep -q \"^$$\\$\" $group/cgroup.procs || exit 5
    if test -e $group/cgroup.type; then
        mkdir -p $group/domain/threaded/deeper || exit 6
        sleep 1000 & echo $! > $group/domain/cgroup.procs || exit 7
        echo threaded > $group/domain/threaded/cgroup.type || exit 8
        echo threaded > $group/domain/threaded/deeper/cgroup.type || exit 9
        echo $! > $group/domain/threaded/deeper/cgroup.threads || exit 10
        grep -q '/deeper$' /proc/$!/cgroup || exit 11
    fi
done
";

#[test]
fn nested_and_threaded_groups_go_with_the_container() {
    let carboy = Carboy::new();
    for flags in [&["--privileged", "--rm"][..], &["--privileged", "--rm", "--pid", "host"]] {
        let mut ending = Container::start(&carboy, flags, &format!("{NEST} echo ready; read -r go; exit 3"));
        ending.command.tell("go");
        ending.leaves_nothing(3);
        Container::start(&carboy, flags, &format!("{NEST} echo ready; exec sleep 1000")).removed_by_force();
    }
}

/// Processes that each begin the next one and end: none is there for long, and none is on a list for long.
const HOP: &str = "sh -c \"$HOP\" &";
const HOPS: &str = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sh -c \"$HOP\" & done; echo ready; while :; do wait; done";
/// Processes that fork as fast as they can; that they cannot while they are killed is no news.
const FORKS: &str = "
exec 2>/dev/null
i=0; while [ $i -lt 25 ]; do (while :; do (:); done) & i=$((i + 1)); done
echo ready; while :; do sleep 1000; done";

#[test]
fn processes_that_fork_while_they_are_killed_do_not_get_away() {
    let carboy = Carboy::new();
    let hop = format!("HOP={HOP}");
    // Whoever cannot begin the next one is the last of its line: the limit must leave room for those that wait to be reaped.
    let hops = ["--init", "--env", &hop, "--pids-limit", "600", "--rm"];
    let forks = ["--pids-limit", "60", "--rm"];
    let beside = ["--pids-limit", "60", "--rm", "--pid", "host"];
    let storms: [(&[&str], &str); 3] = [(&hops, HOPS), (&forks, FORKS), (&beside, FORKS)];
    for (flags, storm) in storms {
        for words in [&["rm", "-f", "it"][..], &["kill", "it"]] {
            let container = Container::start(&carboy, flags, storm);
            eventually("there is a storm", || {
                setting(&carboy, "it", "pids", ("current", "current")).parse::<u32>().unwrap() > 10
            });
            container.succeeds(words);
            let ended = container.ends();
            assert_eq!(ended.code, 137, "{}", ended.stderr);
            // Those that hop may reach the limit while they wait for their init to reap them.
            assert!(ended.stderr.is_empty() || storm == HOPS, "{}", ended.stderr);
        }
    }
}

/// Freezes a group of its own with a process in it.
const FREEZE: &str = "
sleep 1000 & sleeper=$!
if test -e /sys/fs/cgroup/freezer; then
    group=/sys/fs/cgroup/freezer/cold state=freezer.state; frozen=FROZEN
else
    group=/sys/fs/cgroup/cold state=cgroup.freeze; frozen=1
fi
mkdir $group && echo $sleeper > $group/cgroup.procs && echo $frozen > $group/$state || exit 1
echo ready; exec sleep 1000";

#[test]
fn frozen_processes_of_the_hosts_pid_namespace_are_removed_too() {
    let carboy = Carboy::new();
    let flags = ["--privileged", "--pid", "host"];
    let idle = "sleep 1000 & echo ready; exec sleep 1000";
    for script in [FREEZE, idle, &format!("{NEST} {idle}")] {
        for paused in [false, true] {
            let container = Container::start(&carboy, &flags, script);
            assert!(marked(&carboy).len() >= 2, "{:?}", marked(&carboy));
            if paused {
                container.succeeds(&["pause", "it"]);
            }
            container.removed_by_force();
        }
    }
}

#[test]
fn a_container_that_is_killed_while_it_is_paused_stays_on_record_without_a_group() {
    let carboy = Carboy::new();
    for flags in [&[][..], &["--pid", "host"]] {
        let container = Container::start(&carboy, flags, "sleep 1000 & echo ready; exec sleep 1000");
        container.succeeds(&["pause", "it"]);
        container.succeeds(&["kill", "it"]);
        assert_eq!(container.command.end().code, 137);
        assert_eq!(marked(&carboy), Vec::<PathBuf>::new());
        assert_eq!(container.groups.iter().find(|group| group.exists()), None);
        let state = carboy.inspect("it")["State"].clone();
        assert_eq!((&state["Status"], &state["Paused"]), (&"exited".into(), &false.into()));
        assert_eq!(carboy.run(["rm", "it"]).code, 0);
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    }
}

/// Runs a container with limits in a container: what it is told, and what it leaves.
const INNER: &str = "
inner='carboy --root /inner/root --runroot /inner/run'
look='for name in pids.max memory.limit_in_bytes memory.max; do find /sys/fs/cgroup -name $name | xargs -r grep -H \"\"; done'
$inner run --name in --pids-limit 21 --memory 32m /inner-root sh -c \"$look; cat /proc/self/cgroup\" || exit 1
$inner inspect in > /inner/told && $inner rm in || exit 2
echo left: $($inner ps -a -q) $(find /sys/fs/cgroup -name 'carboy-*' ! -name carboy-init ! -name carboy-kept)
";

#[test]
fn carboy_limits_a_container_in_a_container() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let program = format!("{}:/bin/carboy:ro", program().display());
    let inner_root = format!("{}:/inner-root", root.display());
    let flags = ["--privileged", "--cgroupns", "private", "--tmpfs", "/inner", "-v", &program, "-v", &inner_root];
    let script = format!("echo ready; read -r go; {INNER}");
    let mut container = Container::start(&carboy, &[&flags[..], &["--rm", "--pids-limit", "100"]].concat(), &script);
    container.command.tell("go");
    let mut lines = Vec::new();
    let left = loop {
        match container.command.line() {
            line if line.is_empty() => panic!("{lines:#?}: {}", container.command.end().stderr),
            line if line.starts_with("left:") => break line,
            line => lines.push(line),
        }
    };
    let shown = |name: &str, value: &str| {
        let end = format!("/{name}:{value}");
        lines.iter().any(|line| line.starts_with("/sys/fs/cgroup") && line.ends_with(&end))
    };
    assert!(shown("pids.max", "21"), "{lines:#?}");
    assert!(shown(&either("memory", "memory.limit_in_bytes", "memory.max"), &(32_u64 << 20).to_string()), "{lines:#?}");
    assert!(lines.iter().any(|line| line == "0::/" || line.ends_with("pids:/")), "{lines:#?}");
    assert_eq!(left, "left:");
    container.leaves_nothing(0);
}

/// A group that a test makes in one hierarchy, with a process in it if it wants one; gone with the test.
struct Own {
    group: PathBuf,
    process: Option<Child>,
}

impl Own {
    fn new(point: &Path, name: &str) -> Self {
        let group = point.join(name);
        fs::create_dir(&group).unwrap();
        Self { group, process: None }
    }

    fn inhabited(point: &Path, name: &str) -> Self {
        let mut own = Self::new(point, name);
        let process = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let id = process.id().to_string();
        own.process = Some(process);
        fs::write(own.group.join("cgroup.procs"), id).unwrap();
        own
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir(&self.group);
    }
}

#[test]
fn a_group_that_another_tool_has_removed_is_missed_by_nobody() {
    let carboy = Carboy::new();
    for controller in ["pids", "memory", "cpu", "freezer"] {
        let container =
            Container::start(&carboy, &["--rm", "--cgroup-manager", "cgroupfs"], "echo ready; exec sleep 1000");
        let place = hierarchy(controller);
        let group = container.groups.iter().find(|group| group.starts_with(place.point())).unwrap();
        let elsewhere = Own::new(place.point(), top(&carboy));
        for process in fs::read_to_string(group.join("cgroup.procs")).unwrap().lines() {
            fs::write(elsewhere.group.join("cgroup.procs"), process).unwrap();
        }
        eventually("it can be removed by hand", || fs::remove_dir(group).is_ok());
        for words in [&["ps", "-a"][..], &["inspect", "it"], &["stats", "--no-stream", "it"]] {
            let ended = carboy.run(words);
            assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{controller}: {words:?}");
            assert!(ended.stdout.contains("it"), "{controller}: {words:?}: {}", ended.stdout);
        }
        container.removed_by_force();
    }
}

#[test]
fn a_parent_with_processes_of_its_own_cannot_limit_groups_below_it_on_v2() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    // On a hybrid host v2 has what v1 has left to it.
    let limits = [("pids", ["--pids-limit", "20"]), ("hugetlb", ["--hugetlb-limit", "2MB=4m"])];
    let on_v2 = |controller: &str| match hierarchy(controller) {
        Version::V1(_) => None,
        Version::V2(point) => {
            let has = fs::read_to_string(point.join("cgroup.controllers")).unwrap();
            has.split_whitespace().any(|one| one == controller).then_some(point)
        }
    };
    let found = limits.iter().find_map(|(controller, limit)| on_v2(controller).map(|point| (point, limit)));
    let Some((point, limit)) = found else {
        // v1 has no such rule.
        let parent = Own::inhabited(hierarchy("pids").point(), top(&carboy));
        let flags = ["run", "--rm", "--cgroup-parent", top(&carboy), "--pids-limit", "20"];
        let ended = carboy.run(flags.into_iter().chain([root.to_str().unwrap(), "true"]));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        assert!(parent.group.exists());
        return;
    };
    let parent = Own::inhabited(&point, top(&carboy));
    let flags = ["run", "--cgroup-manager", "cgroupfs", "--cgroup-parent", top(&carboy)];
    // Without a limit there is nothing to hand down.
    let unlimited = carboy.run(flags.into_iter().chain(["--rm", root.to_str().unwrap(), "echo", "ran"]));
    assert_eq!((unlimited.code, unlimited.stdout.as_str(), unlimited.stderr.as_str()), (0, "ran\n", ""));
    let flags = flags.into_iter().chain(*limit);
    let refused = carboy.run(flags.chain([root.to_str().unwrap(), "echo", "ran"]));
    assert_eq!((refused.code, refused.stdout.as_str()), (125, ""));
    assert!(refused.stderr.contains(top(&carboy)), "{}", refused.stderr);
    let hint = "hint: the group has processes of its own: choose a parent without any\n";
    assert!(refused.stderr.ends_with(hint), "{}", refused.stderr);
    assert_eq!(folders(top(&carboy)), std::slice::from_ref(&parent.group));
    assert_eq!(fs::read_dir(&parent.group).unwrap().flatten().filter(|entry| entry.path().is_dir()).count(), 0);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_threaded_parent_is_told_of_and_left_alone() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let Some(point) = mount_points().into_iter().find(|point| point.join("cgroup.controllers").exists()) else {
        return;
    };
    let above = Own::new(&point, top(&carboy));
    let threaded = Own::new(&above.group, "threaded");
    fs::write(threaded.group.join("cgroup.type"), "threaded").unwrap();
    // What is beside a threaded group is as invalid as what is below it.
    for parent in [format!("{}/threaded", top(&carboy)), top(&carboy).to_owned()] {
        let flags = ["run", "--cgroup-manager", "cgroupfs", "--cgroup-parent", &parent];
        let refused = carboy.run(flags.into_iter().chain([root.to_str().unwrap(), "echo", "ran"]));
        assert_eq!((refused.code, refused.stdout.as_str()), (125, ""));
        let hint = "hint: the cgroup above the container's is threaded: choose another parent\n";
        assert!(refused.stderr.ends_with(hint), "{parent}: {}", refused.stderr);
        assert_eq!(folders(top(&carboy)), std::slice::from_ref(&above.group));
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn forty_containers_eight_at_a_time_come_and_go_below_one_new_parent() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let parent = format!("{}/team", top(&carboy));
    let cycle = |name: &str| {
        let words = ["run", "--name", name, "--cgroup-manager", "cgroupfs", "--cgroup-parent", &parent];
        let words = words.into_iter().chain(["--memory", "64m", "--pids-limit", "20", root.to_str().unwrap()]);
        let mut container =
            Attended::start(&mut carboy.command(words.chain(["sh", "-c", "echo ready; exec sleep 1000"])));
        let line = container.line();
        assert_eq!(line, "ready", "{name}: {}", if line.is_empty() { container.end().stderr } else { line.clone() });
        let update = ["update", "--memory", "96m", "--pids-limit", "30", name];
        for words in [&update[..], &["rm", "-f", name]] {
            let ended = carboy.run(words);
            assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
        }
        let ended = container.end();
        assert_eq!((ended.code, ended.stderr.as_str()), (137, ""), "{name}");
    };
    thread::scope(|scope| {
        let cycle = &cycle;
        let cycles = |thread: u32| (0..5).for_each(|round| cycle(&format!("it-{thread}-{round}")));
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || cycles(thread))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(folders(top(&carboy)), Vec::<PathBuf>::new(), "the last one takes the parents away");
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}
