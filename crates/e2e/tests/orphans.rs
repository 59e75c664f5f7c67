//! What is left on the host when somebody has deleted the folders of containers that run, or that nobody cleaned up behind:
//! `system check` finds it and removes it, and touches nothing that another carboy's folders tell of.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use carboy_e2e::group::mount_points;
use carboy_e2e::layout::Layout;
use carboy_e2e::network::{address, alone, done, pid, start, tables};
use carboy_e2e::{Carboy, ended, eventually, groups, made, says};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// Deletes a folder of carboy's as its owner would: what is mounted below it stays.
fn delete(carboy: &Carboy, folder: &str) {
    let _ = Command::new("rm").arg("-rf").arg(carboy.folder().join(folder)).output().unwrap();
}

/// The groups that have this in their paths.
fn groups_of(name: &str) -> usize {
    let places = groups().into_iter().chain(parents());
    places.filter(|path| path.to_string_lossy().contains(name)).count()
}

/// The groups at the top of every hierarchy that are made for tests.
fn parents() -> Vec<PathBuf> {
    let tops = mount_points().into_iter().flat_map(|point| fs::read_dir(point).into_iter().flatten().flatten());
    tops.map(|entry| entry.path()).collect()
}

fn is_there(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn number(pid: &str) -> Pid {
    Pid::from_raw(pid.parse().unwrap())
}

fn monitor(carboy: &Carboy, id: &str) -> String {
    let live = fs::read(carboy.folder().join("run").join(id).join("live.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&live).unwrap()["monitor"]["pid"].to_string()
}

/// What a check finds that is not of `others`, which other tests may just be making.
fn found(carboy: &Carboy) -> Vec<String> {
    let own = carboy.folder().display().to_string();
    let ended = carboy.run(["system", "check"]);
    assert_eq!(ended.stderr, "");
    ended.stdout.lines().filter(|line| line.contains(&own) || line.contains("no record")).map(str::to_owned).collect()
}

fn links() -> Vec<String> {
    let listed = Command::new("ip").args(["-o", "link"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names = listed.lines().filter_map(|line| line.split(": ").nth(1));
    names.filter(|name| name.starts_with('c')).map(|name| name.split('@').next().unwrap().to_owned()).collect()
}

#[test]
fn a_container_whose_folders_were_deleted_is_named_and_left_alone_until_it_is_to_be_removed() {
    let (carboy, other) = (Carboy::new(), Carboy::new());
    made(&other, &["run", "-d", "--name", "stays"], "sleep 1000");
    for asleep in [false, true] {
        let id = made(&carboy, &["run", "-d", "--restart", "always", "--name", "box"], "sleep 1000 & sleep 1000");
        let (process, monitor) = (pid(&carboy, "box"), monitor(&carboy, id.trim()));
        if asleep {
            let sleeps = || fs::read_to_string(format!("/proc/{monitor}/cmdline")).unwrap().contains("asleep");
            eventually("its monitor sleeps", sleeps);
        }
        ["root/containers", "root/names", "run"].iter().for_each(|folder| delete(&carboy, folder));
        let told = found(&carboy);
        let [line] = told.as_slice() else { panic!("{told:?}") };
        let short = &id[..12];
        assert!(line.starts_with(&format!("container {short} runs, process ")) && line.contains(&process), "{line}");
        assert!(line.ends_with("is gone") && is_there(&process) && is_there(&monitor), "{line}");
        let repaired = other.run(["system", "check", "--repair"]);
        assert!(repaired.stdout.contains(&format!("{line}: removed")), "{repaired:?}");
        assert_eq!((is_there(&process), is_there(&monitor)), (false, false));
        assert_eq!(groups_of(id.trim()), 0);
        assert_eq!(found(&carboy), [""; 0]);
    }
    assert_eq!(says(&other, &["ps", "--format", "{{.Names}} {{.State}}"]), "stays running\n");
    assert_eq!(says(&other, &["rm", "-f", "stays"]), "stays\n");
    assert_eq!((carboy.left_behind(), other.left_behind()), (Vec::new(), Vec::new()));
}

#[test]
fn the_groups_of_one_that_nobody_cleaned_up_behind_are_found_and_those_above_that_were_made_for_it() {
    let carboy = Carboy::new();
    let top = format!("carboy-orphans-{}", std::process::id());
    let parent = format!("/{top}/team");
    let id = made(&carboy, &["run", "-d", "--cgroup-parent", &parent, "--name", "box"], "sleep 1000");
    let process = pid(&carboy, "box");
    kill(number(&monitor(&carboy, id.trim())), Signal::SIGKILL).unwrap();
    kill(number(&process), Signal::SIGKILL).unwrap();
    eventually("it is gone", || !is_there(&process));
    ["root", "run"].iter().for_each(|folder| delete(&carboy, folder));
    let told = found(&carboy);
    let [line] = told.as_slice() else { panic!("{told:?}") };
    assert!(line.contains(&format!("the cgroup {parent}/{} is of container", id.trim())), "{line}");
    let repaired = carboy.run(["system", "check", "--repair"]);
    assert!(repaired.stdout.contains(&format!("{line}: removed")), "{repaired:?}");
    assert_eq!((groups_of(&top), carboy.left_behind()), (0, Vec::new()));
}

#[test]
fn one_that_has_a_run_folder_and_no_record_is_ended() {
    let carboy = Carboy::new();
    for is_attended in [true, false] {
        let id = made(&carboy, &["run", "-d", "--restart", "always", "--name", "box"], "sleep 1000");
        let (process, monitor) = (pid(&carboy, "box"), monitor(&carboy, id.trim()));
        if !is_attended {
            kill(number(&monitor), Signal::SIGKILL).unwrap();
        }
        delete(&carboy, "root");
        assert_eq!(found(&carboy), [format!("container {} runs and has no record", &id[..12])]);
        assert!(is_there(&process));
        let repaired = carboy.run(["system", "check", "--repair"]);
        assert!(repaired.stdout.contains("has no record: removed"), "{repaired:?}");
        assert_eq!((is_there(&process), is_there(&monitor)), (false, false));
        assert_eq!((groups_of(id.trim()), carboy.left_behind()), (0, Vec::new()));
    }
}

#[test]
fn links_bridges_resolvers_and_tables_of_networks_that_nothing_tells_of_are_removed() {
    alone(|carboy| {
        let other = Carboy::new();
        done(other.run(["network", "create", "theirs"]));
        start(&other, "stays", "--network theirs --network-rate out=8mbit -p 127.0.0.1:8081:80", "exec sleep 300");
        let (of_other, table_of_other) = (links(), tables());
        done(carboy.run(["network", "create", "one"]));
        start(carboy, "box", "--network one --network-rate in=8mbit,out=8mbit -p 127.0.0.1:8080:80", "exec sleep 300");
        start(carboy, "two", "--network bridge", "exec sleep 300");
        let made: Vec<String> = links().into_iter().filter(|link| !of_other.contains(link)).collect();
        assert_eq!(made.len(), 5, "two bridges, two links, a detour: {made:?}");
        ["root", "run"].iter().for_each(|folder| delete(carboy, folder));
        let told = found(carboy);
        let has = |part: &str| told.iter().filter(|line| line.contains(part)).count();
        assert_eq!([has("container "), has("the bridge "), has("the nftables table ")], [2, 2, 1], "{told:?}");
        let repaired = other.run(["system", "check", "--repair"]);
        assert!(told.iter().all(|line| repaired.stdout.contains(&format!("{line}: removed"))), "{repaired:?} {told:?}");
        assert_eq!((links(), tables()), (of_other, table_of_other));
        assert_eq!(found(carboy), [""; 0]);
        let listed = Command::new("pgrep").args(["-f", &carboy.folder().display().to_string()]).output().unwrap();
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), "", "nobody answers for them any more");
        done(other.run(["exec", "stays", "true"]));
        done(other.run(["rm", "-f", "stays"]));
        done(other.run(["network", "rm", "theirs"]));
        assert_eq!((carboy.left_behind(), other.left_behind(), tables()), (vec![], vec![], String::new()));
    });
}

#[test]
fn ports_that_lead_to_one_whose_run_folder_was_deleted_lead_nowhere() {
    alone(|carboy| {
        start(carboy, "box", "--network bridge -p 127.0.0.1:8080:80", "exec sleep 300");
        let target = address(carboy, "box", "bridge");
        delete(carboy, "run");
        assert!(tables().contains(&format!("127.0.0.1 . tcp . 8080 : {target} . 80")), "{}", tables());
        let repaired = carboy.run(["system", "check", "--repair"]);
        let lines = [" runs, process ".to_owned(), format!("published ports lead to {target}, which no container has")];
        assert!(lines.iter().all(|line| repaired.stdout.contains(line)), "{repaired:?}");
        assert!(!tables().contains("8080"), "{}", tables());
        let status = done(carboy.run(["ps", "-a", "--format", "{{.Names}} {{.State}}"]));
        assert_eq!(status, "box exited", "what tells of it is still there");
        done(carboy.run(["start", "box"]));
        done(carboy.run(["rm", "-f", "box"]));
        done(carboy.run(["network", "prune", "-f"]));
        assert_eq!((carboy.left_behind(), tables()), (vec![], String::new()));
    });
}

#[test]
fn the_detour_of_a_link_that_is_gone_is_removed_and_others_are_not() {
    alone(|carboy| {
        for (name, kind) in
            [("ci0123456789ab", "ifb"), ("ci0123456789ac", "ifb"), ("cvx", "ifb"), ("cb-none", "bridge")]
        {
            assert!(Command::new("ip").args(["link", "add", name, "type", kind]).status().unwrap().success());
        }
        assert!(
            Command::new("ip").args(["link", "add", "cv0123456789ac", "type", "bridge"]).status().unwrap().success()
        );
        let checked = carboy.run(["system", "check", "--repair"]).stdout;
        assert!(checked.contains("the link ci0123456789ab is of a container's that is gone: removed"), "{checked}");
        let mut left = links();
        left.sort();
        assert_eq!(left, ["cb-none", "ci0123456789ac", "cv0123456789ac", "cvx"]);
    });
}

#[test]
fn an_image_that_is_mounted_and_counted_nowhere_is_unmounted() {
    let (carboy, other) = (Carboy::new(), Carboy::new());
    let mount = |carboy: &Carboy| {
        let mut layout = Layout::new(&carboy.folder().join("layout"));
        let layer = layout.file("etc/motd", b"hello\n");
        layout.image("example.test/small:1", &[layer], &json!({}));
        let archive = carboy.folder().join("layout.tar");
        let packed = ended(Command::new("tar").arg("-C").arg(layout.folder()).arg("-cf").arg(&archive).arg("."));
        assert_eq!(packed.code, 0, "{packed:?}");
        says(carboy, &["load", "-i", archive.to_str().unwrap()]);
        says(carboy, &["image", "mount", "example.test/small:1"]).trim().to_owned()
    };
    let (point, stays) = (mount(&carboy), mount(&other));
    ["root", "run"].iter().for_each(|folder| delete(&carboy, folder));
    assert_eq!(found(&carboy), [format!("{point} shows an image that there is not")]);
    let repaired = other.run(["system", "check", "--repair"]);
    assert!(repaired.stdout.contains(&format!("{point}, and nothing tells of it: removed")), "{repaired:?}");
    assert!(Path::new(&stays).join("etc/motd").exists());
    says(&other, &["image", "unmount", "example.test/small:1"]);
    assert_eq!((carboy.left_behind(), other.left_behind()), (vec![], vec![]));
}
