//! `carboy stats` tells what the kernel tells: the limit that binds, memory without the cache that can be dropped, what
//! was held back, and for how long.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::thread::sleep;
use std::time::Duration;

use carboy_e2e::group::Parent;
use carboy_e2e::{Attended, Carboy};
use serde_json::Value;

fn started(carboy: &Carboy, flags: &[&str], script: &str) -> Attended {
    let root = carboy.busybox();
    let words = ["run", "--name", "it"].into_iter().chain(flags.iter().copied());
    let script = format!("echo ready; {script}");
    let mut container =
        Attended::start(&mut carboy.command(words.chain([root.to_str().unwrap(), "sh", "-c", &script])));
    assert_eq!(container.line(), "ready");
    container
}

fn removed(carboy: &Carboy, container: Attended) {
    assert_eq!(carboy.run(["rm", "-f", "it"]).code, 0);
    container.end();
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// One sample of the container as JSON.
fn sample(carboy: &Carboy) -> Value {
    let ended = carboy.run(["stats", "--no-stream", "--json", "it"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    serde_json::from_str(&ended.stdout).unwrap()
}

fn number(sample: &Value, name: &str) -> u64 {
    sample[name].as_u64().unwrap_or_else(|| panic!("{name} in {sample}"))
}

#[test]
fn the_table_has_dockers_columns_and_what_carboy_adds() {
    let carboy = Carboy::new();
    let container = started(&carboy, &["-m", "64m", "--memory-swap", "64m", "--pids-limit", "20"], "exec sleep 1000");
    let ended = carboy.run(["stats", "--no-stream"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = ended
        .stdout
        .lines()
        .map(|line| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let headings = [
        "CONTAINER ID",
        "NAME",
        "CPU %",
        "MEM USAGE / LIMIT",
        "MEM %",
        "NET I/O",
        "BLOCK I/O",
        "PIDS",
        "THROTTLED",
        "PSI CPU/MEM/IO %",
    ];
    assert_eq!(lines[0], headings);
    let [line] = &lines[1..] else { panic!("{}", ended.stdout) };
    assert_eq!((line.len(), line[1], line[7]), (10, "it", "1"), "{}", ended.stdout);
    assert!(line[2].ends_with('%') && line[3].ends_with("/ 64MiB") && line[4].ends_with('%'), "{}", ended.stdout);
    assert_eq!(line[5], "0B / 0B", "it has a network namespace of its own, with nothing but lo");
    removed(&carboy, container);
}

#[test]
fn the_limit_that_is_shown_is_the_smallest_of_all_levels() {
    let carboy = Carboy::new();
    let name = carboy.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let parent = Parent::limited(&name, 32 << 20);
    let container =
        started(&carboy, &["--cgroup-manager", "cgroupfs", "--cgroup-parent", &name, "-m", "512m"], "exec sleep 1000");
    let shown = sample(&carboy);
    assert_eq!(number(&shown, "memory_limit_bytes"), 32 << 20);
    assert_eq!(shown["memory_limit_path"], format!("/{name}"));
    let table = carboy.run(["stats", "--no-stream", "it"]).stdout;
    assert!(table.contains("/ 32MiB"), "{table}");
    removed(&carboy, container);
    drop(parent);
}

#[test]
fn memory_that_runs_out_above_a_container_is_told_with_the_level() {
    let carboy = Carboy::new();
    let name = carboy.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let parent = Parent::limited(&name, 32 << 20);
    let flags = ["run", "--name", "it", "--cgroup-manager", "cgroupfs", "--cgroup-parent", &name, "-m", "512m"];
    let eat = ["host", "dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"];
    let ended = carboy.run(flags.into_iter().chain(eat));
    assert_eq!(ended.code, 137, "{}", ended.stderr);
    let told = format!("out of memory at the limit of 32 MiB of /{name}, not its own of 512 MiB");
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
    let state = carboy.inspect("it")["State"].clone();
    assert_eq!(state["OOMKilled"], true);
    assert_eq!(state["OOMCause"], serde_json::json!({"Path": format!("/{name}"), "LimitBytes": 32 << 20}));
    assert_eq!(carboy.run(["rm", "it"]).code, 0);
    drop(parent);
}

#[test]
fn page_cache_that_can_be_dropped_is_not_counted_as_used() {
    let carboy = Carboy::new();
    let write = "echo ready; read -r go; dd if=/dev/zero of=/file bs=1M count=24 2>/dev/null; sync; echo written; exec sleep 1000";
    let root = carboy.busybox();
    let words = ["run", "-i", "--name", "it", "-m", "200m", root.to_str().unwrap(), "sh", "-c", write];
    let mut container = Attended::start(&mut carboy.command(words));
    assert_eq!(container.line(), "ready");
    let before = sample(&carboy);
    container.tell("go");
    assert_eq!(container.line(), "written");
    let after = sample(&carboy);
    let grown = |name: &str| number(&after, name).saturating_sub(number(&before, name));
    assert!(grown("memory_cache_bytes") >= 20 << 20, "{before}\n{after}");
    assert!(grown("memory_usage_bytes") >= 20 << 20, "{before}\n{after}");
    assert!(grown("memory_used_bytes") < 12 << 20, "{before}\n{after}");
    removed(&carboy, container);
}

#[test]
fn throttled_time_and_pressure_are_told() {
    let carboy = Carboy::new();
    let container = started(&carboy, &["--cpus", "0.2"], "while :; do :; done");
    sleep(Duration::from_secs(3));
    let shown = sample(&carboy);
    assert!(number(&shown, "cpu_throttled_usec") > 500_000, "{shown}");
    assert!(number(&shown, "cpu_throttled_periods") > 5, "{shown}");
    assert!(number(&shown, "cpu_usage_usec") > 200_000, "{shown}");
    assert!(shown["cpu_percent"].as_f64().is_some_and(|share| (10.0..40.0).contains(&share)), "{shown}");
    let waited = shown["pressure_cpu"]["some"]["total_usec"].as_u64();
    assert!(waited.is_some_and(|waited| waited > 200_000), "a container has a group in the v2 tree: {shown}");
    removed(&carboy, container);
}

#[test]
fn a_paused_container_is_shown_and_one_that_has_ended_only_when_all_are_asked_for() {
    let carboy = Carboy::new();
    let container = started(&carboy, &[], "exec sleep 1000");
    assert_eq!(sample(&carboy)["paused"], false);
    assert_eq!(carboy.run(["pause", "it"]).code, 0);
    assert_eq!(sample(&carboy)["paused"], true);
    assert_eq!(carboy.run(["kill", "it"]).code, 0);
    container.end();
    let rows = |words: &[&str]| carboy.run([&["stats", "--no-stream"], words].concat()).stdout.lines().count() - 1;
    assert_eq!((rows(&[]), rows(&["-a"]), rows(&["-a", "it"])), (0, 1, 1));
    assert!(carboy.run(["stats", "--no-stream", "-a"]).stdout.contains("it"), "its name");
    assert_eq!(carboy.run(["rm", "it"]).code, 0);
}

#[test]
fn a_container_that_is_not_there_is_refused() {
    let carboy = Carboy::new();
    let ended = carboy.run(["stats", "--no-stream", "nobody"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(
        ended.stderr.starts_with("error: cannot use the container nobody: no such container\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_stream_follows_containers_that_begin_and_end() {
    let carboy = Carboy::new();
    let mut stream = Attended::start(&mut carboy.command(["stats", "--json"]));
    sleep(Duration::from_millis(300));
    let container = started(&carboy, &[], "exec sleep 1000");
    let first: Value = serde_json::from_str(&stream.line()).unwrap();
    assert_eq!(first["name"], "it");
    assert!(first.get("cpu_percent").is_none(), "there is nothing yet to compare with: {first}");
    let second: Value = serde_json::from_str(&stream.line()).unwrap();
    assert!(second["cpu_percent"].is_f64(), "{second}");
    removed(&carboy, container);
    stream.signal(rustix::process::Signal::INT);
    assert_eq!(stream.end().code, 130);
}

#[test]
fn memory_that_ran_out_is_told_with_its_level_while_the_container_runs_on() {
    let carboy = Carboy::new();
    let name = carboy.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let parent = Parent::limited(&name, 32 << 20);
    let flags = ["--cgroup-manager", "cgroupfs", "--cgroup-parent", &name, "-m", "512m"];
    let eat = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; echo $?; exec sleep 1000";
    let mut container = started(&carboy, &flags, eat);
    assert_eq!(container.line(), "137");
    let shown = sample(&carboy);
    assert_eq!(number(&shown, "oom_kills"), 1);
    assert_eq!(shown["oom_cause_path"], format!("/{name}"), "{shown}");
    assert_eq!(number(&shown, "oom_cause_limit_bytes"), 32 << 20);
    removed(&carboy, container);
    drop(parent);
}

#[test]
fn forks_that_were_refused_are_told_with_the_level_while_it_runs_and_when_it_has_ended() {
    let carboy = Carboy::new();
    let storm = "read -r go; for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo never";
    let mut container = started(&carboy, &["-i", "--pids-limit", "5"], &format!("(sh -c '{storm}'); exec sleep 1000"));
    let before = sample(&carboy);
    assert_eq!((number(&before, "pids_refused_forks"), &before["pids_refused_cause_path"]), (0, &Value::Null));
    container.tell("go");
    let shown = loop {
        let shown = sample(&carboy);
        if number(&shown, "pids_refused_forks") > 0 {
            break shown;
        }
    };
    assert_eq!(number(&shown, "pids_refused_cause_limit"), 5, "{shown}");
    assert!(shown["pids_refused_cause_path"].as_str().is_some_and(|path| path.contains("carboy-")), "{shown}");
    assert_eq!(carboy.run(["kill", "it"]).code, 0);
    let ended = container.end();
    assert!(ended.stderr.contains("it was refused a fork"), "{}", ended.stderr);
    assert!(ended.stderr.contains("at the limit of 5 of /"), "{}", ended.stderr);
    let state = carboy.inspect("it")["State"].clone();
    assert!(state["ForksRefused"].as_u64().unwrap() > 0, "{state}");
    assert_eq!(state["ForksRefusedCause"]["Limit"], 5, "{state}");
    assert_eq!(carboy.run(["rm", "it"]).code, 0);
}
