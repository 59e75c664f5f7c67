//! Every command of carboy but the monitors is killed at random moments during a load of all kinds: no container is hurt, no
//! command hangs, and after the next command nothing is left.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use carboy_e2e::{Carboy, eventually};

/// How often a command is killed.
const KILLS: u64 = 300;

/// The steps of a linear congruential generator, so that a failure can be made again: Knuth, MMIX.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// The words of a command of one kind; `root` is what containers are made of.
fn words(kind: u64, name: &str, root: &str) -> Vec<String> {
    let text = match kind {
        0 => format!("run -d --name {name} {root} sleep 1000"),
        1 => format!("run --rm {root} true"),
        2 => format!("run -d --rm --restart no {root} sleep 0.05"),
        3 => "exec steady true".to_owned(),
        4 => "logs -f steady".to_owned(),
        5 => format!("stop -t 0 {name}"),
        6 => format!("rm -f {name}"),
        7 => format!("restart -t 0 {name}"),
        8 => format!("create --name {name} {root} sleep 1000"),
        9 => format!("start {name}"),
        10 => "ps -a".to_owned(),
        _ => format!("rename {name} other-{name}"),
    };
    text.split(' ').map(str::to_owned).collect()
}

fn ends(mut child: Child, what: &[String]) {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what:?} hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn commands_that_are_killed_at_random_hurt_no_container_hang_nobody_and_leave_nothing() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    let script = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done";
    assert_eq!(carboy.run(["run", "-d", "--name", "steady", &root, "sh", "-c", script]).code, 0);
    let pid = carboy.inspect("steady")["State"]["Pid"].clone();
    let mut dice = Dice(20_261_126);
    for round in 0..KILLS {
        let name = format!("box{}", dice.roll(4));
        let words = words(dice.roll(12), &name, &root);
        let mut command = carboy.command(&words);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(dice.roll(20_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        if round % 10 == 0 {
            let listed: Vec<String> = ["ps", "-a"].map(str::to_owned).to_vec();
            ends(carboy.command(&listed).stdout(Stdio::null()).spawn().unwrap(), &listed);
        }
    }
    assert_eq!(carboy.inspect("steady")["State"]["Pid"], pid, "it runs on");
    let said = carboy.run(["logs", "steady"]).stdout;
    let numbers: Vec<u64> = said.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.iter().zip(1..).all(|(said, expected)| *said == expected), "nothing of what it says is lost");
    eventually("those that go when they end have gone", || {
        let listed = carboy.run(["ps", "-a", "--format", "{{.Names}}"]);
        assert_eq!((listed.code, listed.stderr.as_str()), (0, ""));
        listed.stdout.lines().all(|name| name == "steady" || name.contains("box"))
    });
    let names = carboy.run(["ps", "-aq"]).stdout;
    let removed = carboy.run(["rm", "-f"].into_iter().chain(names.lines()));
    assert_eq!((removed.code, removed.stderr.as_str()), (0, ""));
    assert_eq!(carboy.left_behind(), [""; 0]);
}
