//! `why` and the containers of other engines: the level that holds one back and that killed in it, while it runs and when it
//! has ended, also where its engine says that nothing was killed.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::group::{Team, limit};
use carboy_e2e::looked_at::{finding, told};
use carboy_e2e::{Carboy, eventually};
use serde_json::Value;

fn document(carboy: &Carboy, word: &str) -> Value {
    let mut document: Value = serde_json::from_str(&told(carboy, &["why", "--json", word])).unwrap();
    document["found"][0].take()
}

const GREEDY: &str = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; while :; do :; done";
const EATER: [&str; 5] = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"];

#[test]
fn dockers_containers_are_held_back_and_killed_by_the_group_above_them() {
    let docker = Docker::configured(NO_NETWORKS);
    let group = docker.engine.group();
    let level = format!("{group}-team");
    let team = Team::new(&level[1..], &[limit::MEMORY_32_MIB, limit::CPU_0_2]);
    let flags = ["--network", "none", "-m", "512m", "--cgroup-parent", &level];
    let id = docker.detach("lie", &flags, &["sh", "-c", GREEDY]);
    let carboy = Carboy::new();
    eventually("something is killed", || {
        document(&carboy, &id)["why"]["memory"]["since_start"]["at"].as_u64() == Some(1)
    });
    let found = document(&carboy, &id);
    let seen = &found["why"];
    assert_eq!((&seen["cpu"]["limit"]["at"], &seen["memory"]["limit"]["at"]), (&200_000.into(), &(32 << 20).into()));
    let held_back = finding(&found, "held_back");
    let share = held_back["usec"].as_u64().unwrap() * 100 / seen["elapsed_usec"].as_u64().unwrap();
    assert!((15..=100).contains(&share), "{found:#}");
    let victim = format!("{level}/{id}");
    for finding in [held_back, finding(&found, "killed")] {
        assert_eq!(
            (&finding["causes"][0]["level"], &finding["victims"][0]),
            (&level.as_str().into(), &victim.as_str().into())
        );
    }
    assert_eq!(found["logged"][0]["cause"]["group"], level.as_str());
    // Docker's word for the same container.
    assert_eq!(docker.told(&["inspect", "--format", "{{.State.OOMKilled}}", "lie"]), "false");
    docker.told(&["rm", "--force", "lie"]);
    // The host's own engines may know others of a common name.
    let name = &format!("eater-{}", &group[1..]);
    let eater = ["run", "--name", name];
    let ran = docker.run(&[&eater, &flags[..], &["probe"], &EATER].concat());
    assert_eq!(ran.code, 137, "{}", ran.stderr);
    let text = told(&carboy, &["why", name]);
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("{name}: ended ")) && first.ends_with(" ago, killed: memory was short"),
        "{text}"
    );
    assert!(text.contains(&format!("cause  {level}  its limit, says the kernel")), "{text}");
    assert!(text.contains("says    docker: OOMKilled "), "{text}");
    docker.told(&["rm", "--force", name]);
    drop(team);
}
