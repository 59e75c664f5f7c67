//! `why`: what held something back while it was watched, or ended it, with the level that led to it, on v1, v2 and both.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::Command;

use carboy_e2e::disk::Disk;
use carboy_e2e::group::{Team, Version, hierarchy, limit};
use carboy_e2e::looked_at::{self, asked, finding, removed, started, unique};
use carboy_e2e::user::User;
use carboy_e2e::{Attended, Carboy, Ended, Person, ended, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn why(carboy: &Carboy, words: &[&str]) -> Ended {
    asked(carboy, &[&["why"], words].concat())
}

fn told(carboy: &Carboy, words: &[&str]) -> String {
    looked_at::told(carboy, &[&["why"], words].concat())
}

fn document(carboy: &Carboy, words: &[&str]) -> Value {
    let mut document: Value = serde_json::from_str(&told(carboy, &[&["--json"], words].concat())).unwrap();
    assert_eq!(document["version"], 1);
    document["found"][0].take()
}

/// A loop that uses all it gets, after something that takes more memory than there is was killed.
const GREEDY: &str = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; echo ready; while :; do :; done";

#[test]
fn a_container_below_a_smaller_group_is_held_back_and_killed_by_that_one() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let team = Team::new(&format!("{name}-team"), &[limit::MEMORY_32_MIB, limit::CPU_0_2]);
    let container = started(&carboy, &name, &["--cgroup-parent", &team.name, "-m", "512m"], GREEDY);
    let found = document(&carboy, &[&name]);
    let level = format!("/{}", team.name);
    let seen = &found["why"];
    assert_eq!((&seen["cpu"]["limit"]["at"], &seen["memory"]["limit"]["at"]), (&200_000.into(), &(32 << 20).into()));
    assert_eq!(seen["memory"]["set_at"], level.as_str());
    let held_back = finding(&found, "held_back");
    let elapsed = seen["elapsed_usec"].as_u64().unwrap();
    let share = held_back["usec"].as_u64().unwrap() * 100 / elapsed;
    assert!((15..=100).contains(&share), "{found:#}");
    let used = seen["cpu"]["used_usec"].as_u64().unwrap() * 100 / elapsed;
    assert!((5..=25).contains(&used), "{found:#}");
    let cause = &held_back["causes"][0];
    assert_eq!((&cause["level"], &cause["limit"]["at"]), (&level.as_str().into(), &200_000.into()));
    let [hits, periods] = ["hits", "periods"].map(|key| cause[key].as_u64().unwrap());
    assert!(hits > 5 && hits <= periods && periods <= 30, "{found:#}");
    let victim = held_back["victims"][0].as_str().unwrap();
    assert!(victim.starts_with(&format!("{level}/")), "{victim}");
    let killed = finding(&found, "killed");
    assert_eq!((&killed["count"], &seen["memory"]["since_start"]["at"]), (&0.into(), &1.into()));
    assert_eq!(killed["causes"][0]["level"], level.as_str(), "{found:#}");
    assert_eq!(killed["victims"][0].as_str().unwrap(), victim);
    let text = told(&carboy, &["--for", "500ms", &name]);
    for part in [
        &format!("{name}: 0.") as &str,
        " s watched\n",
        "of 0.2 cpus, held back ",
        &format!("          cause  {level}  quota 0.2 cpu  hit in "),
        "of 32 MiB",
        "; oom kills here since start: 1\n",
        &format!("          cause  {level}  limit 32 MiB  "),
        "  stall   cpu avg10=",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    removed(&carboy, container, &name);
}

#[test]
fn what_is_no_question_is_2_and_what_is_not_there_is_1() {
    let carboy = Carboy::new();
    let missing = why(&carboy, &["nobody-of-this-name"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (1, ""));
    assert!(missing.stderr.starts_with("error: cannot use why nobody-of-this-name: "), "{}", missing.stderr);
    for words in [&[][..], &["--for", "soon", "x"], &["--for", "0", "x"], &["x", "y"], &["--no", "x"], &["net:[1]"]] {
        let wrong = why(&carboy, words);
        assert_eq!((wrong.code, wrong.stdout.as_str()), (2, ""), "{words:?}");
        assert!(wrong.stderr.starts_with("error: cannot use "), "{}", wrong.stderr);
    }
    for words in
        [&["--from", "a"][..], &["--from", "a", "--from", "b", "--watch"], &["--from=a", "--from=b", "--from=c"]]
    {
        let wrong = why(&carboy, &[words, &["x"]].concat());
        assert_eq!((wrong.code, wrong.stdout.as_str()), (2, ""), "{words:?}");
    }
    assert!(why(&carboy, &["--help"]).stdout.contains("--for TIME"));
}

#[test]
fn one_that_has_ended_is_told_by_its_record_and_by_the_kernels_log() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let team = Team::new(&format!("{name}-team"), &[limit::MEMORY_32_MIB]);
    let level = format!("/{}", team.name);
    let flags = ["--cgroup-manager", "cgroupfs", "--cgroup-parent", &team.name, "-m", "512m", "--name", &name];
    let root = carboy.busybox();
    let dd = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"];
    let words = [&["run"][..], &flags, &[root.to_str().unwrap()], &dd].concat();
    assert_eq!(carboy.run(words).code, 137);
    let id = carboy.inspect(&name)["Id"].as_str().unwrap().to_owned();
    let text = told(&carboy, &[&name]);
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("{name}: ended ")) && first.ends_with(" ago, killed: memory was short"),
        "{text}"
    );
    for part in [
        "  exit    137\n",
        "  memory  oom kills here: 1; its own limit 512 MiB\n",
        &format!("          cause  {level}  limit 32 MiB\n") as &str,
        " dd was killed of ",
        &format!("          cause  {level}  its limit, says the kernel\n"),
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let found = document(&carboy, &[&name]);
    let kill = &found["kills"][0];
    assert_eq!((&found["kind"], &found["code"]), (&"ended".into(), &137.into()));
    assert_eq!((&kill["cause"]["group"], &kill["name"]), (&level.as_str().into(), &"dd".into()));
    assert_eq!(kill["victim"], format!("{level}/{id}"));
    // Once no record is left, the kernel still knows the id, the group and the number.
    assert_eq!(carboy.run(["rm", &name]).code, 0);
    assert_eq!(why(&carboy, &[&name]).code, 1);
    let pid = kill["pid"].to_string();
    for word in [&id, &id[..12], &format!("{level}/{id}"), &pid] {
        let text = told(&carboy, &[word]);
        assert!(
            text.contains("something in it was killed: memory was short") && text.contains("unknown its exit code"),
            "{text}"
        );
    }
    // One that ended without having been short of anything.
    let root = root.to_str().unwrap();
    assert_eq!(carboy.run(["run", "--name", &name, root, "sh", "-c", "kill -TERM $$; exit 143"]).code, 143);
    let text = told(&carboy, &[&name]);
    assert!(text.contains("by signal 15 (TERM)") && text.contains("unknown who sent a signal"), "{text}");
    assert_eq!(carboy.run(["rm", &name]).code, 0);
}

#[test]
fn forks_beyond_the_limit_of_pids_are_refused_and_a_paused_container_stands_still() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let bomb =
        "echo ready; (sleep 0.5; i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done) 2>/dev/null & read go";
    let container = started(&carboy, &name, &["--pids-limit", "10"], bomb);
    let found = document(&carboy, &["--for", "1500ms", &name]);
    let refused = finding(&found, "refused");
    assert!(refused["count"].as_u64().unwrap() >= 1, "{found:#}");
    let group = carboy.inspect(&name)["CgroupPath"].as_str().unwrap().to_owned();
    assert_eq!(
        (&refused["causes"][0]["level"], &refused["victims"][0]),
        (&group.as_str().into(), &group.as_str().into())
    );
    assert_eq!((&found["why"]["pids"]["limit"]["at"], &refused["causes"][0]["limit"]["at"]), (&10.into(), &10.into()));
    assert_eq!(carboy.run(["pause", &name]).code, 0);
    let text = told(&carboy, &["--for", "100ms", &name]);
    for part in ["; forks refused since start: ", "  frozen  its processes stand still\n", "was told to freeze"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("waits"), "{text}");
    assert_eq!(carboy.run(["unpause", &name]).code, 0);
    removed(&carboy, container, &name);
}

#[test]
fn memory_that_is_read_in_again_and_again_is_a_stall_with_the_limit_that_was_reached() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let reads =
        "dd if=/dev/zero of=/big bs=1M count=48 2>/dev/null; echo ready; while :; do cat /big > /dev/null; done";
    let container = started(&carboy, &name, &["-m", "16m", "--cpus", "1"], reads);
    let found = document(&carboy, &["--for", "1s", &name]);
    let reclaiming = finding(&found, "reclaiming");
    let cause = &reclaiming["causes"][0];
    let group = carboy.inspect(&name)["CgroupPath"].as_str().unwrap().to_owned();
    assert_eq!((&cause["level"], &cause["known"]), (&group.as_str().into(), &"moved".into()), "{found:#}");
    assert!(cause["hits"].as_u64().unwrap() > 0);
    let text = told(&carboy, &["--for", "500ms", &name]);
    assert!(text.contains("limit 16 MiB  reached ") && text.contains(" now"), "{text}");
    removed(&carboy, container, &name);
}

#[test]
fn two_that_want_one_cpu_are_crowded_and_not_held_back() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let loops = "echo ready; while :; do :; done & while :; do :; done";
    let container = started(&carboy, &name, &["--cpuset-cpus", "0"], loops);
    let found = document(&carboy, &["--for", "1s", &name]);
    let crowded = finding(&found, "crowded");
    assert_eq!((&found["why"]["cpu"]["cpus"], &crowded["causes"][0]["level"]), (&1.into(), &Value::Null), "{found:#}");
    assert!(crowded["usec"].as_u64().unwrap() > 100_000, "{found:#}");
    let findings = found["why"]["findings"].as_array().unwrap();
    assert!(findings.iter().all(|one| one["trouble"] != "held_back"), "{found:#}");
    removed(&carboy, container, &name);
}

#[test]
fn a_bound_beyond_which_v2_slows_down_is_told_apart_from_a_limit() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let reads =
        "dd if=/dev/zero of=/big bs=1M count=48 2>/dev/null; echo ready; while :; do cat /big > /dev/null; done";
    let high = ["--cgroup-conf", "memory.high=16m"];
    if let Version::V1(_) = hierarchy("memory") {
        let root = carboy.busybox();
        let refused = carboy.run([&["run"], &high[..], &[root.to_str().unwrap(), "true"]].concat());
        assert!(refused.code == 125 && refused.stderr.contains("memory.high"), "{}", refused.stderr);
        return;
    }
    let container = started(&carboy, &name, &[&high[..], &["-m", "256m"]].concat(), reads);
    let found = document(&carboy, &["--for", "1s", &name]);
    let cause = &finding(&found, "reclaiming")["causes"][0];
    let group = carboy.inspect(&name)["CgroupPath"].as_str().unwrap().to_owned();
    assert_eq!((&cause["level"], &cause["is_brake"]), (&group.as_str().into(), &true.into()), "{found:#}");
    assert_eq!(cause["limit"]["at"], 16 << 20);
    assert!(cause["hits"].as_u64().unwrap() > 0, "{found:#}");
    assert_eq!(found["why"]["memory"]["limit"]["at"], 256 << 20);
    let text = told(&carboy, &["--for", "500ms", &name]);
    assert!(text.contains("slowed down beyond 16 MiB  reached ") && text.contains(" of 256 MiB"), "{text}");
    removed(&carboy, container, &name);
}

#[test]
fn a_disk_that_is_limited_is_told_with_who_waits_for_it() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let disk = Disk::new(&carboy);
    let (device, limit) = (format!("{}:/dev/disk", disk.node()), format!("{}:8kb", disk.node()));
    let reads = "echo ready; while :; do dd if=/dev/disk of=/dev/null bs=16k iflag=direct 2>/dev/null; done";
    let container = started(&carboy, &name, &["--device", &device, "--device-read-bps", &limit], reads);
    let mut found = Value::Null;
    // The first piece is read at once; what follows has waited at both looks.
    eventually("it waits all the time", || {
        found = document(&carboy, &["--for", "500ms", &name]);
        found["why"]["still"].as_array().unwrap().iter().any(|one| one["is_lasting"] == true)
    });
    let group = carboy.inspect(&name)["CgroupPath"].as_str().unwrap().to_owned();
    let (still, disks) = (&found["why"]["still"][0], &found["why"]["disks"][0]);
    assert_eq!((&still["state"], &still["name"]), (&"D".into(), &"dd".into()), "{found:#}");
    assert_eq!(finding(&found, "stuck")["count"], 1);
    let expected = json!({"path": group, "limits": [{"disk": disk.numbers(), "kind": "rbps", "limit": 8192}]});
    assert_eq!(*disks, expected);
    let stalled = finding(&found, "io");
    assert_eq!((&stalled["causes"][0]["level"], &stalled["causes"][0]["known"]), (&disks["path"], &"limited".into()));
    assert!(stalled["usec"].as_u64().unwrap() > 250_000, "{found:#}");
    let text = told(&carboy, &["--for", "100ms", &name]);
    let limited = format!("{} rbps 8 KiB/s  (no counter tells whether it was hit)\n", disk.numbers());
    for part in [&limited as &str, " dd  cannot be interrupted (D)", "stalled on io "] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    removed(&carboy, container, &name);
}

#[test]
fn who_shares_a_cpu_is_told_with_the_weights_also_of_two_snapshots() {
    let carboy = Carboy::new();
    let light = unique(&carboy);
    let heavy = format!("{light}-heavy");
    let busy = "echo ready; while :; do :; done";
    let share =
        |name: &str, shares: &str| started(&carboy, name, &["--cpuset-cpus", "0", "--cpu-shares", shares], busy);
    let containers = [(share(&light, "512"), &light), (share(&heavy, "2048"), &heavy)];
    let save = |name: &str| {
        let file = carboy.folder().join(name);
        fs::write(&file, looked_at::told(&carboy, &["see", "--json"])).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let before = save("before.json");
    let now = document(&carboy, &["--for", "1s", &light]);
    let then = document(&carboy, &["--from", &before, "--from", &save("after.json"), &light]);
    let group = carboy.inspect(&heavy)["CgroupPath"].as_str().unwrap().to_owned();
    for found in [&now, &then] {
        let rivals = finding(found, "crowded")["rivals"].as_array().unwrap();
        let rival = rivals.iter().find(|rival| rival["path"] == group.as_str()).unwrap();
        let weights = ["its", "own"].map(|whose| rival["weights"][whose]["at"].as_u64().unwrap());
        assert!(weights[0] > weights[1] && weights[1] > 0, "{found:#}");
        assert_eq!(found["why"]["cpu"]["weight"]["at"].as_u64(), Some(weights[1]));
        let used = found["why"]["cpu"]["used_usec"].as_u64().unwrap();
        assert!(rival["usage"].as_u64().unwrap() > used, "{found:#}");
    }
    let text = told(&carboy, &["--from", &before, "--from", &save("later.json"), &light]);
    assert!(text.lines().next().unwrap().ends_with(" s between the two"), "{text}");
    assert!(text.contains(" cpus, weight "), "{text}");
    let passport = looked_at::told(&carboy, &["see", &light]);
    assert!(passport.contains("  cpu shares  512 ") || passport.contains("  cpu weight  "), "{passport}");
    for (container, name) in containers {
        removed(&carboy, container, name);
    }
    let gone = document(&carboy, &["--from", &before, "--from", &save("gone.json"), &light]);
    assert_eq!((&gone["why"]["is_there"], &gone["why"]["findings"]), (&false.into(), &json!([])), "{gone:#}");
}

#[test]
fn a_process_of_the_host_and_a_group_are_watched_like_containers() {
    let carboy = Carboy::new();
    let mut process = Command::new("sleep").arg("987607").spawn().unwrap();
    let pid = process.id().to_string();
    kill_process(Pid::from_child(&process), Signal::STOP).unwrap();
    eventually("it is stopped", || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T "));
    let text = told(&carboy, &["--for", "100ms", &pid]);
    assert!(text.starts_with(&format!("sleep {pid}: 0.")), "{text}");
    assert!(text.contains(&format!("  stopped {pid} sleep  by a signal, all the time\n")), "{text}");
    process.kill().unwrap();
    process.wait().unwrap();
    let gone = why(&carboy, &[&pid]);
    assert_eq!((gone.code, gone.stdout.as_str()), (1, ""));
    let name = unique(&carboy);
    let team = Team::new(&name, &[limit::MEMORY_32_MIB]);
    let text = told(&carboy, &["--for", "100ms", &format!("/{}", team.name)]);
    assert!(text.starts_with(&format!("/{name}: 0.")) && text.contains(" of 32 MiB, "), "{text}");
    assert!(
        text.contains(&format!("  nothing held it back: no quota, limit or freezer was hit of /{name}, /\n")),
        "{text}"
    );
}

#[test]
fn watching_goes_on_until_it_is_interrupted_and_says_so_again_each_time() {
    let carboy = Carboy::new();
    let pid = std::process::id().to_string();
    let mut blocks = Attended::start(&mut carboy.command(["why", "--watch", "--for", "100ms", &pid]));
    let first = blocks.line();
    assert!(first.ends_with("watched"), "{first}");
    while !blocks.line().ends_with("watched") {}
    blocks.signal(Signal::INT);
    assert_eq!(blocks.end().code, 128 + 2);
    let mut lines = Attended::start(&mut carboy.command(["why", "--json", "--watch", "--for", "50ms", &pid]));
    for _ in 0..2 {
        let document: Value = serde_json::from_str(&lines.line()).unwrap();
        assert_eq!(document["found"][0]["kind"], "process");
    }
    lines.signal(Signal::INT);
    assert_eq!(lines.end().code, 128 + 2);
    let person = Person::new(24, 100);
    let mut screen = person.start(&carboy.command(["why", "--watch", "--for", "100ms", &pid]));
    screen.sees("\x1b[H");
    screen.sees("\x1b[J");
    screen.sees("\x1b[H");
    kill_process(screen.pid(), Signal::INT).unwrap();
    assert_eq!(screen.end().code, 128 + 2);
}

#[test]
fn an_ordinary_user_is_told_what_can_be_had_and_what_cannot() {
    let user = User::new(427_011);
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let container = started(&carboy, &name, &["-m", "64m"], "echo ready; read go");
    let pid = carboy.inspect(&name)["State"]["Pid"].to_string();
    let seen = ended(&mut user.command(&["why", "--for", "100ms", &pid]));
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    assert!(seen.stdout.contains(" of 64 MiB, "), "{}", seen.stdout);
    let restricted = fs::read_to_string("/proc/sys/kernel/dmesg_restrict").unwrap().trim() == "1";
    let is_blind =
        seen.stdout.contains("\nBLIND\n") && seen.stdout.contains("the kernel's log: Operation not permitted");
    assert!(is_blind || !restricted, "{}", seen.stdout);
    removed(&carboy, container, &name);
}
