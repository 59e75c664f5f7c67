//! What `ps` and `inspect` show by a template, and which containers are found by a filter.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs::{self, File};
use std::time::{Duration, Instant};

use carboy_e2e::{Carboy, Ended, eventually, says};
use rustix::fs::{FlockOperation, flock};

/// Leaves a container to run by itself.
fn run(carboy: &Carboy, flags: &[&str], script: &str) -> String {
    let root = carboy.busybox();
    let words = [&["run", "-d"], flags, &[root.to_str().unwrap(), "sh", "-c", script]].concat();
    says(carboy, &words).trim_end().to_owned()
}

fn declines(ended: &Ended, code: i32, lines: &[&str]) {
    assert_eq!((ended.code, ended.stderr.lines().collect::<Vec<_>>()), (code, lines.to_vec()), "{}", ended.stdout);
}

fn names(carboy: &Carboy, flags: &[&str]) -> Vec<String> {
    let words = [&["ps", "--format", "{{.Names}}"], flags].concat();
    says(carboy, &words).lines().map(str::to_owned).collect()
}

fn remove(carboy: &Carboy, names: &[&str]) {
    says(carboy, &[&["rm", "-f"], names].concat());
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn containers_are_shown_by_templates() {
    let carboy = Carboy::new();
    let labels = carboy.folder().join("labels");
    fs::write(&labels, "# whose\nteam=blue\nbare\n").unwrap();
    let flags = ["--name", "web", "--label", "com.x.tier=front", "-l", "team=red", "--label-file"];
    let id = run(
        &carboy,
        &[&flags[..], &[labels.to_str().unwrap()]].concat(),
        "echo 0123456789 > /written; exec sleep 1000",
    );
    let shows = |template: &str| says(&carboy, &["ps", "--format", template]);
    let short = &id[..12];
    assert_eq!(shows("{{.ID}} {{.Names}} {{.State}}"), format!("{short} web running\n"));
    assert_eq!(shows("{{.Labels}}|{{.Label \"team\"}}|{{.Label \"none\"}}"), "bare=,com.x.tier=front,team=red|red|\n");
    assert_eq!(shows("table {{.Names}}\\t{{.Label \"com.x.tier\"}}"), "NAMES     tier\nweb       front\n");
    assert_eq!(
        shows("{{printf \"%-6s|\" .Names}}{{if .Ports}}x{{end}}{{.Networks}} {{.LocalVolumes}}"),
        "web   |none 0\n"
    );
    assert!(shows("{{.Status}} {{.RunningFor}}").starts_with("Up "));
    assert!(shows("{{.Command}}").starts_with("\"sh -c 'echo 0123456…"), "{}", shows("{{.Command}}"));
    eventually("it has written", || shows("{{.Size}}") == "11B\n");
    let document: serde_json::Value = serde_json::from_str(&shows("json")).unwrap();
    assert_eq!((&document["ID"], &document["Size"]), (&short.into(), &"11B".into()));
    assert_eq!(says(&carboy, &["ps", "-q", "--no-trunc"]), format!("{id}\n"));
    assert!(says(&carboy, &["ps", "--no-trunc"]).contains("echo 0123456789 > /written; exec sleep 1000'\""));
    assert!(says(&carboy, &["ps", "-s"]).lines().all(|line| line.ends_with("SIZE") || line.ends_with("11B")));
    let created = shows("{{.CreatedAt}}");
    assert!(created.len() == "2026-11-26 15:33:49 +0000 UTC\n".len() && created.ends_with(" UTC\n"), "{created}");

    let shows = |template: &str| says(&carboy, &["inspect", "-f", template, "web"]);
    assert_eq!(
        shows("{{.Name}} {{.State.Status}} {{json .Config.Labels}}"),
        "/web running {\"bare\":\"\",\"com.x.tier\":\"front\",\"team\":\"red\"}\n"
    );
    assert_eq!(shows("{{index .Config.Labels \"team\"}} {{.HostConfig.RestartPolicy.Name}}"), "red no\n");
    assert_eq!(
        shows("{{range .NetworkSettings.Networks}}[{{.IPAddress}}]{{end}}{{with .State.Health}}x{{end}}"),
        "[]\n"
    );
    assert_eq!(shows("{{len .Args}} {{join .Args \";\"}}").split(' ').next(), Some("2"));
    let compact: serde_json::Value = serde_json::from_str(&shows("json")).unwrap();
    assert_eq!((&compact[0]["Id"], compact[0].get("SizeRw")), (&id.as_str().into(), None));
    assert_eq!(says(&carboy, &["inspect", "--size", "-f", "{{.SizeRw}}", "web"]), "11\n");
    assert_eq!(
        says(&carboy, &["inspect", "--type", "container", "-f", "{{.Id}}", "web", short]),
        format!("{id}\n{id}\n")
    );
    let stats =
        says(&carboy, &["stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.NetIO}} {{.PIDs}}"]);
    assert_eq!(stats, format!("{id} web 0B / 0B 1\n"));
    remove(&carboy, &["web"]);
}

#[test]
fn it_is_told_how_often_a_container_was_begun_again() {
    let carboy = Carboy::new();
    run(&carboy, &["--name", "web", "--restart", "on-failure:2"], "exit 3");
    let shows = || says(&carboy, &["inspect", "-f", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}", "web"]);
    eventually("it is begun no more", || shows() == "2 exited 3\n");
    remove(&carboy, &["web"]);
}

#[test]
fn a_template_that_cannot_be_had_is_told_of_with_its_place() {
    let carboy = Carboy::new();
    let fields = "ID, Names, Image, Command, CreatedAt, RunningFor, Ports, State, Status, Size, Labels, Mounts, \
                  LocalVolumes, Networks, Platform, Pid";
    declines(
        &carboy.run(["ps", "--format", "{{.ID}} {{.Nmae}}"]),
        1,
        &[
            "error: cannot use --format {{.ID}} {{.Nmae}}: at 1:11 <.Nmae>: there is no field Nmae",
            &format!("hint: the fields are {fields}"),
        ],
    );
    let unfinished = "error: cannot use --format {{.ID: at 1:1 <{{.ID>: this action has no end";
    declines(&carboy.run(["ps", "--format", "{{.ID"]), 1, &[unfinished]);
    declines(&carboy.run(["inspect", "--format", "{{.ID", "web"]), 64, &[unfinished]);
    let unknown = "error: cannot use --format {{nothing}}: at 1:3 <nothing>: there is no function nothing";
    declines(&carboy.run(["stats", "--no-stream", "--format", "{{nothing}}"]), 1, &[unknown]);
    run(&carboy, &["--name", "web"], "exec sleep 1000");
    declines(
        &carboy.run(["inspect", "--format", "{{.State.Sttus}}", "web"]),
        1,
        &[
            "error: cannot use --format {{.State.Sttus}}: at 1:3 <.State.Sttus>: there is no field Sttus",
            "hint: without --format all fields are shown",
        ],
    );
    let both = carboy.run(["inspect", "--format", "{{.Name}}", "nothing", "web"]);
    assert_eq!((both.code, both.stdout.as_str()), (1, "/web\n"));
    remove(&carboy, &["web"]);
}

#[test]
fn containers_are_found_by_filters() {
    let carboy = Carboy::new();
    run(&carboy, &["--name", "one", "-l", "team=red"], "exit 3");
    says(&carboy, &["wait", "one"]);
    run(&carboy, &["--name", "two", "-l", "team=red", "-l", "tier=front"], "exec sleep 1000");
    let id = run(&carboy, &["--name", "three", "-v", "/usr:/host:ro", "--network", "host"], "exec sleep 1000");
    says(&carboy, &["pause", "two"]);
    let found = |filters: &[&str]| {
        let flags: Vec<&str> = filters.iter().flat_map(|filter| ["-f", filter]).collect();
        names(&carboy, &[&["-a"], &flags[..]].concat())
    };
    assert_eq!(found(&[]), ["three", "two", "one"]);
    assert_eq!(found(&["name=o"]), ["two", "one"]);
    assert_eq!(found(&["name=^two$"]), ["two"]);
    assert_eq!(found(&["name=^/one$", "name=thr"]), ["three", "one"]);
    assert_eq!(found(&[&format!("id={}", &id[..6])]), ["three"]);
    assert_eq!(found(&["label=team"]), ["two", "one"]);
    assert_eq!(found(&["label=team=red", "label=tier"]), ["two"]);
    assert_eq!(found(&["label=team=blue"]), [""; 0]);
    assert_eq!(found(&["status=paused"]), ["two"]);
    assert_eq!(found(&["status=exited", "status=running"]), ["three", "one"]);
    assert_eq!(found(&["exited=3"]), ["one"]);
    assert_eq!(found(&["exited=0"]), [""; 0]);
    assert_eq!(found(&["before=two"]), ["one"]);
    assert_eq!(found(&["since=one", "before=three"]), ["two"]);
    assert_eq!(found(&["volume=/host"]), ["three"]);
    assert_eq!(found(&["network=host"]), ["three"]);
    assert_eq!(found(&["network=none"]), ["two", "one"]);
    assert_eq!(found(&["health=none"]).len(), 3);
    assert_eq!(found(&["health=healthy"]), [""; 0]);
    let root = carboy.busybox();
    assert_eq!(found(&[&format!("ancestor={}", root.display())]).len(), 3);
    assert_eq!(found(&["ancestor=other"]), [""; 0]);
    // To ask for a state shows those too that do not run, and so does asking for the newest.
    assert_eq!(names(&carboy, &["-f", "status=exited"]), ["one"]);
    assert_eq!(names(&carboy, &["-f", "exited=3"]), [""; 0]);
    assert_eq!(names(&carboy, &["-n", "2", "-f", "label=team"]), ["two", "one"]);
    assert_eq!(names(&carboy, &["--latest"]), ["three"]);
    assert_eq!(names(&carboy, &[]), ["three", "two"]);
    declines(
        &carboy.run(["ps", "-f", "before=nothing"]),
        1,
        &["error: cannot use the container nothing: no such container", "hint: carboy ps -a lists all containers"],
    );
    declines(
        &carboy.run(["ps", "-f", "nothing=x"]),
        1,
        &[
            "error: cannot use --filter nothing=x: has no key by which containers are found",
            "hint: the keys are id, name, label, status, exited, ancestor, before, since, volume, network, health, \
             publish, expose",
        ],
    );
    remove(&carboy, &["one", "two", "three"]);
}

#[test]
fn a_damaged_record_and_a_lock_that_is_held_hide_nothing() {
    let carboy = Carboy::new();
    let whole = run(&carboy, &["--name", "whole"], "exec sleep 1000");
    let broken = run(&carboy, &["--name", "broken"], "exit 0");
    says(&carboy, &["wait", "broken"]);
    let record = carboy.folder().join("root/containers").join(&broken).join("container.json");
    let text = fs::read(&record).unwrap();
    fs::write(&record, "{").unwrap();
    let shown = carboy.run(["ps", "-a", "-q"]);
    assert_eq!((shown.code, shown.stdout), (0, format!("{}\n", &whole[..12])));
    assert!(shown.stderr.contains(&broken) && shown.stderr.lines().count() == 1, "{}", shown.stderr);
    fs::write(&record, text).unwrap();

    // Whoever changes the record of a container holds its folder; one that hangs there is no reason to wait.
    let folder = File::open(carboy.folder().join("root/containers").join(&whole)).unwrap();
    flock(&folder, FlockOperation::LockExclusive).unwrap();
    let before = Instant::now();
    assert_eq!(names(&carboy, &["-a"]), ["broken", "whole"]);
    assert!(before.elapsed() < Duration::from_secs(5));
    drop(folder);
    remove(&carboy, &["whole", "broken"]);
}
