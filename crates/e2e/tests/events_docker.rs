//! The same commands given to Debian's docker.io and to carboy: the events that come of them have the same names and
//! attributes, but for differences that are wanted.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::{Carboy, Ended, eventually};
use serde_json::Value;

/// What is done, a command a line; IMAGE is the image, HOST a file of the host.
const COMMANDS: &str = "volume create data
run -d --name one --network none -l team=a -v data:/data IMAGE sleep 1000
top one
exec one true
exec -d one true
pause one
unpause one
export -o HOST.tar one
cp HOST one:/file
cp one:/file HOST.copy
rename one uno
kill -s USR1 uno
stop -t 0 uno
start uno
restart -t 0 uno
rm -f uno
run --name two --network none -v data:/data:ro IMAGE true
container prune -f
volume rm data
volume prune -f
network prune -f
image prune -f";

/// An event in one line: its kind, its name without a command, and its attributes, with the values of some.
fn line(event: &Value) -> String {
    let word = |name: &str| event[name].as_str().unwrap_or_default();
    let action = word("Action").split(": ").next().unwrap();
    let mut line = format!("{} {action}", word("Type"));
    // Docker tells no pid, and before its version 25 no duration.
    for (name, value) in event["Actor"]["Attributes"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !["pid", "execDuration"].contains(&name.as_str()))
    {
        let telling =
            ["destination", "driver", "exitCode", "name", "oldName", "propagation", "read/write", "signal", "team"];
        let value = value.as_str().filter(|_| telling.contains(&name.as_str())).unwrap_or("_");
        line.push_str(&format!(" {name}={value}"));
    }
    line
}

/// What happens, but for networks, which Docker has where there are none.
fn told(run: impl Fn(&[&str]) -> Ended, image: &str, carboy: &Carboy) -> Vec<String> {
    let host = carboy.folder().join("host").display().to_string();
    std::fs::write(&host, "hello").unwrap();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let since = format!("{}.{:09}", since.as_secs(), since.subsec_nanos());
    for command in COMMANDS.lines() {
        let words: Vec<String> =
            command.split(' ').map(|word| word.replace("IMAGE", image).replace("HOST", &host)).collect();
        let ended = run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ended.code, 0, "{command}: {}", ended.stderr);
    }
    let events = || {
        let words = ["events", "--since", &since, "--until", "0s", "--format", "json"];
        let listed = run(&words).stdout;
        let events: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        events
            .iter()
            .map(line)
            .filter(|line| !line.starts_with("network c") && !line.starts_with("network d"))
            .collect::<Vec<_>>()
    };
    eventually("all is told", || events().last().is_some_and(|last| last.starts_with("image prune")));
    events()
}

#[test]
fn events_have_docker_s_names_and_attributes() {
    let (docker, carboy) = (Docker::configured(NO_NETWORKS), Carboy::new());
    let root = carboy.busybox().display().to_string();
    let mut of_docker = told(|words| docker.run(words), "probe", &carboy);
    let mut of_carboy = told(|words| carboy.run(words), &root, &carboy);
    // What ends, and whoever ends it, tell of it side by side.
    of_docker.sort();
    of_carboy.sort();
    // dockerd makes a volume that is there once more, and mounts it for each look at a container's files.
    of_docker.dedup_by(|one, other| one == other && one.starts_with("volume "));
    of_carboy.dedup_by(|one, other| one == other && one.starts_with("volume "));
    let only = |these: &[String], those: &[String]| {
        let mut left = those.to_vec();
        let is_new = |line: &&String| match left.iter().position(|other| other == *line) {
            Some(place) => {
                left.remove(place);
                false
            }
            None => true,
        };
        these.iter().filter(is_new).cloned().collect::<Vec<_>>()
    };
    let differences = (only(&of_docker, &of_carboy), only(&of_carboy, &of_docker));
    assert_eq!(differences, (Vec::new(), Vec::new()));
}
