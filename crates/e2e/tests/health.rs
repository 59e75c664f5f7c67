//! Health checks: `--health-*`, what they make of a container, and that nothing of them is left.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::time::{Duration, Instant};

use carboy_e2e::{Carboy, eventually};
use serde_json::Value;

/// Starts a container that is checked by this every tenth of a second.
fn checked(carboy: &Carboy, name: &str, check: &str, flags: &[&str]) {
    let root = carboy.busybox();
    let words = ["run", "-d", "--name", name, "--health-interval", "100ms", "--health-cmd", check];
    let words = words.into_iter().chain(flags.iter().copied());
    let ended = carboy.run(words.chain([root.to_str().unwrap(), "sleep", "60"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

fn health(carboy: &Carboy, name: &str) -> Value {
    carboy.inspect(name)["State"]["Health"].clone()
}

fn status(carboy: &Carboy, name: &str) -> String {
    health(carboy, name)["Status"].as_str().unwrap().to_owned()
}

/// What `ps` shows of those for which this holds.
fn shown(carboy: &Carboy, filter: &str) -> String {
    carboy.run(["ps", "-a", "--filter", filter, "--format", "{{.Names}}: {{.Status}}"]).stdout
}

#[test]
fn a_container_is_starting_then_healthy_then_unhealthy_and_healthy_again() {
    let carboy = Carboy::new();
    let check = "echo \"$WHOSE in $PWD\"; echo told >&2; test -e /up";
    checked(&carboy, "box", check, &["--health-retries", "2", "--env", "WHOSE=mine", "--workdir", "/tmp"]);
    carboy.run(["run", "-d", "--name", "unchecked", carboy.busybox().to_str().unwrap(), "sleep", "60"]);
    eventually("two checks fail", || status(&carboy, "box") == "unhealthy");
    assert!(shown(&carboy, "health=unhealthy").starts_with("box: Up ") && shown(&carboy, "health=healthy").is_empty());
    assert!(shown(&carboy, "health=unhealthy").contains(" (unhealthy)"));
    assert!(shown(&carboy, "health=none").starts_with("unchecked: Up "));
    carboy.run(["exec", "box", "touch", "/up"]);
    eventually("a check passes", || status(&carboy, "box") == "healthy");
    assert!(shown(&carboy, "name=box").contains(" (healthy)"));
    eventually("five are remembered", || health(&carboy, "box")["Log"].as_array().unwrap().len() == 5);
    let now = health(&carboy, "box");
    let last = &now["Log"][4];
    assert_eq!((&now["FailingStreak"], &last["ExitCode"]), (&0.into(), &0.into()));
    let output = last["Output"].as_str().unwrap();
    assert!(output.contains("mine in /tmp\n") && output.contains("told\n"), "{output}");
    let (start, end) = (last["Start"].as_str().unwrap(), last["End"].as_str().unwrap());
    assert!(start.starts_with("20") && start.get(..19) <= end.get(..19), "{start} {end}");
    let config = carboy.inspect("box")["Config"]["Healthcheck"].clone();
    assert_eq!(config["Test"], serde_json::json!(["CMD-SHELL", check]));
    assert_eq!((&config["Interval"], &config["Retries"]), (&100_000_000.into(), &2.into()));
    carboy.run(["stop", "-t", "0", "box"]);
    assert_eq!(status(&carboy, "box"), "unhealthy", "as Docker's, which checks it no more");
    assert_eq!(carboy.run(["rm", "-f", "box", "unchecked"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn failures_are_not_counted_in_the_start_period_and_it_is_checked_more_often_then() {
    let carboy = Carboy::new();
    let flags = ["--health-interval", "10s", "--health-start-period", "1m", "--health-start-interval", "50ms"];
    checked(&carboy, "box", "exit 7", &[&flags[..], &["--health-retries", "1"]].concat());
    eventually("it was checked", || health(&carboy, "box")["Log"].as_array().is_some_and(|log| log.len() > 2));
    let now = health(&carboy, "box");
    assert_eq!((&now["Status"], &now["FailingStreak"]), (&"starting".into(), &0.into()));
    assert_eq!(now["Log"][0]["ExitCode"], 7);
    assert!(shown(&carboy, "health=starting").contains(" (health: starting)"));
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
}

#[test]
fn a_check_that_takes_too_long_is_killed_with_all_that_came_from_it_and_holds_nothing_up() {
    let carboy = Carboy::new();
    let left = "ps | grep ' [s]leep 4711$' | grep -vc begun >> /left; ";
    let check = "echo begun; printf '%05000d' 0 >&2; (setsid sleep 4711 & sleep 4711 &); sleep 4711";
    let check = format!("{left}{check}");
    checked(&carboy, "box", &check, &["--health-timeout", "300ms", "--health-retries", "1"]);
    let asked = Instant::now();
    assert_eq!(carboy.run(["exec", "box", "true"]).code, 0);
    assert!(asked.elapsed() < Duration::from_secs(5));
    eventually("the check has failed", || status(&carboy, "box") == "unhealthy");
    let last = health(&carboy, "box")["Log"][0].clone();
    let output = last["Output"].as_str().unwrap();
    assert_eq!(last["ExitCode"], -1);
    assert!(output.starts_with("Health check exceeded timeout (300ms): ") && output.ends_with("..."), "{output}");
    assert!((4096..4200).contains(&output.len()) && output.contains("begun\n"));
    // Each check has looked for what the one before it has left.
    let found = || carboy.run(["exec", "box", "cat", "/left"]).stdout;
    eventually("it was checked again", || found().lines().count() > 2);
    assert!(found().lines().all(|line| line == "0"), "{}", found());
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0, "one that ends while it is checked");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn one_that_is_paused_is_not_checked() {
    let carboy = Carboy::new();
    checked(&carboy, "box", "sleep 0.1", &["--health-timeout", "1s"]);
    eventually("a check passes", || status(&carboy, "box") == "healthy");
    assert_eq!(carboy.run(["pause", "box"]).code, 0);
    let log = || health(&carboy, "box")["Log"].clone();
    eventually("its monitor knows", || status(&carboy, "box") == "unhealthy");
    let before = log();
    std::thread::sleep(Duration::from_millis(1300));
    assert_eq!(log(), before, "neither is it checked, nor does a check that was stopped with it count");
    assert!(shown(&carboy, "name=box").contains(" (Paused)"));
    assert_eq!(carboy.run(["unpause", "box"]).code, 0);
    eventually("it is checked again", || status(&carboy, "box") == "healthy");
    assert!(log().as_array().unwrap().iter().all(|result| result["ExitCode"] == 0));
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
}

#[test]
fn a_check_that_cannot_be_run_has_failed_and_says_why() {
    let carboy = Carboy::new();
    checked(&carboy, "box", "true", &["--health-retries", "1", "--user", "65534"]);
    eventually("a check passes", || status(&carboy, "box") == "healthy");
    carboy.run(["exec", "--user", "0", "box", "rm", "/bin/sh"]);
    eventually("there is no shell", || status(&carboy, "box") == "unhealthy");
    let log = health(&carboy, "box")["Log"].clone();
    let last = log.as_array().unwrap().last().unwrap();
    assert_eq!(last["ExitCode"], -1);
    assert!(last["Output"].as_str().unwrap().contains("/bin/sh"), "{last}");
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
}
