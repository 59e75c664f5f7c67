//! Volumes: made, filled from the root, shared, kept while they are used, and gone when they should be.

#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carboy_e2e::user::User;
use carboy_e2e::waiting::Repeating;
use carboy_e2e::{Attended, Carboy, Ended};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value;

/// A root with something at /data.
fn root_with_data(carboy: &Carboy) -> String {
    let root = carboy.busybox();
    let data = root.join("data");
    fs::create_dir_all(data.join("sub")).unwrap();
    fs::write(data.join("file"), "from the root\n").unwrap();
    fs::hard_link(data.join("file"), data.join("twin")).unwrap();
    symlink("file", data.join("link")).unwrap();
    chown(data.join("file"), Some(5), Some(6)).unwrap();
    fs::set_permissions(data.join("file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o1770)).unwrap();
    chown(&data, Some(7), Some(8)).unwrap();
    root.to_str().unwrap().to_owned()
}

fn ok(ended: Ended) -> String {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout
}

fn volumes(carboy: &Carboy) -> Vec<String> {
    ok(carboy.run(["volume", "ls", "-q"])).lines().map(str::to_owned).collect()
}

fn data_of(carboy: &Carboy, volume: &str) -> PathBuf {
    carboy.folder().join("root/volumes").join(volume).join("_data")
}

/// What is left beside volumes that are whole.
fn halves(carboy: &Carboy) -> Vec<PathBuf> {
    let folder = carboy.folder().join("root/volumes/.halves");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn mounts_of(carboy: &Carboy, container: &str) -> Vec<Value> {
    carboy.inspect(container)["Mounts"].as_array().unwrap().clone()
}

#[test]
fn a_volume_begins_as_the_root_has_its_place_and_outlives_the_container() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    let script = "cat /data/file; ls /data | xargs; stat -c '%a %u %g' /data /data/file; readlink /data/link; \
                  stat -c %i /data/file /data/twin | uniq | wc -l; echo mine > /data/file; rm /data/link";
    let said = ok(carboy.run(["run", "--rm", "-v", "shared:/data", &root, "sh", "-c", script]));
    assert_eq!(said, "from the root\nfile link sub twin\n1770 7 8\n4751 5 6\nfile\n1\n");
    let again =
        ["run", "--rm", "-v", "shared:/data:ro", &root, "sh", "-c", "cat /data/file; ls /data | xargs; touch /data/x"];
    let ended = carboy.run(again);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, "mine\nfile sub twin\n"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(Path::new(&root).join("data/file")).unwrap(), "from the root\n");
    assert_eq!(volumes(&carboy), ["shared"]);
    assert_eq!(ok(carboy.run(["volume", "rm", "shared"])), "shared\n");
    assert!(!data_of(&carboy, "shared").exists());
    assert!(halves(&carboy).is_empty() && carboy.left_behind().is_empty());
}

#[test]
fn nothing_is_copied_where_that_was_not_wanted_or_something_is_there() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    let list = |flag: &[&str]| {
        let words =
            [&["run", "--rm"], flag, &[root.as_str(), "sh", "-c", "ls /data | xargs; stat -c %a /data"]].concat();
        ok(carboy.run(words))
    };
    assert_eq!(list(&["-v", "a1:/data:nocopy"]), "\n755\n");
    assert_eq!(list(&["--mount", "src=a2,dst=/data,volume-nocopy"]), "\n755\n");
    ok(carboy.run(["volume", "create", "a3"]));
    fs::write(data_of(&carboy, "a3").join("own"), "").unwrap();
    assert_eq!(list(&["--mount", "type=volume,source=a3,target=/data"]), "own\n755\n");
    assert_eq!(list(&["-v", "a4:/nowhere"]), "file link sub twin\n1770\n");
    assert_eq!(fs::read_dir(data_of(&carboy, "a4")).unwrap().count(), 0);
}

#[test]
fn a_volume_without_a_name_goes_with_its_container_or_by_rm_with_v_alone() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    assert_eq!(ok(carboy.run(["run", "--rm", "-v", "/data", &root, "cat", "/data/file"])), "from the root\n");
    assert!(volumes(&carboy).is_empty());
    // Also where the container could not be started.
    assert_eq!(carboy.run(["run", "--name", "never", "-v", "/data", &root, "/nothing"]).code, 127);
    assert!(volumes(&carboy).is_empty() && carboy.left_behind().is_empty());
    ok(carboy.run(["run", "--name", "one", "-v", "/data", "-v", "named:/n", &root, "true"]));
    ok(carboy.run(["run", "--name", "two", "-v", "/data", &root, "true"]));
    ok(carboy.run(["run", "--name", "three", "--volumes-from", "two", &root, "true"]));
    assert_eq!(volumes(&carboy).len(), 3);
    ok(carboy.run(["rm", "one"]));
    assert_eq!(volumes(&carboy).len(), 3, "it stays without -v");
    ok(carboy.run(["rm", "-v", "two"]));
    assert_eq!(volumes(&carboy).len(), 3, "the third container has it too");
    ok(carboy.run(["rm", "-v", "three"]));
    assert_eq!(volumes(&carboy).len(), 2);
    let pruned = ok(carboy.run(["volume", "prune", "-f"]));
    assert!(pruned.starts_with("Deleted Volumes:\n") && pruned.ends_with("Total reclaimed space: 14B\n"), "{pruned}");
    assert_eq!(volumes(&carboy), ["named"]);
    let kept = carboy.run(["volume", "prune", "-a"]);
    assert!(kept.stdout.contains("[y/N]") && volumes(&carboy) == ["named"], "nobody has agreed");
    ok(carboy.run(["volume", "prune", "-a", "-f"]));
    assert!(volumes(&carboy).is_empty() && halves(&carboy).is_empty());
}

#[test]
fn a_volume_that_a_container_uses_cannot_be_removed() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    ok(carboy.run(["run", "--name", "user", "-v", "used:/data", &root, "true"]));
    let id = carboy.inspect("user")["Id"].as_str().unwrap().to_owned();
    let refused = carboy.run(["volume", "rm", "used", "other"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains(&format!("used: volume is in use - [{id}]")), "{}", refused.stderr);
    assert!(refused.stderr.contains("other: no such volume"), "{}", refused.stderr);
    assert_eq!(carboy.run(["volume", "rm", "-f", "used", "other"]).stdout, "other\n");
    assert_eq!(ok(carboy.run(["volume", "ls", "-q", "-f", "dangling=true"])), "");
    assert_eq!(ok(carboy.run(["volume", "ls", "-f", "dangling=false"])), "DRIVER    VOLUME NAME\nlocal     used\n");
    let mut running = Attended::start(&mut carboy.command([
        "run",
        "--rm",
        "-i",
        "-v",
        "live:/data",
        &root,
        "sh",
        "-c",
        "echo ready; read -r _",
    ]));
    assert_eq!(running.line(), "ready");
    assert_eq!(carboy.run(["volume", "rm", "live"]).code, 1);
    running.end();
    ok(carboy.run(["volume", "rm", "live"]));
    ok(carboy.run(["rm", "user"]));
    ok(carboy.run(["volume", "rm", "used"]));
}

#[test]
fn inspect_tells_of_volumes_and_mounts_as_docker_does() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    let options = ["--label", "team=web", "--opt", "type=none", "--opt", "o=bind", "-o", &format!("device={root}/tmp")];
    ok(carboy.run([&["volume", "create", "elsewhere"], &options[..]].concat()));
    let told: Value = serde_json::from_str(&ok(carboy.run(["volume", "inspect", "elsewhere"]))).unwrap();
    let (name, driver, scope) = (&told[0]["Name"], &told[0]["Driver"], &told[0]["Scope"]);
    assert_eq!((name, driver, scope), (&"elsewhere".into(), &"local".into(), &"local".into()));
    assert_eq!(told[0]["Labels"], serde_json::json!({"team": "web"}));
    assert_eq!(told[0]["Options"]["o"], "bind");
    assert_eq!(told[0]["Mountpoint"], data_of(&carboy, "elsewhere").to_str().unwrap());
    let missing = carboy.run(["volume", "inspect", "nowhere"]);
    assert_eq!((missing.code, missing.stdout.trim()), (1, "[]"));
    let flags =
        ["-v", "elsewhere:/e:ro", "-v", "/own", "-v", "/etc:/host", "--mount", "type=tmpfs,dst=/t", "--tmpfs", "/u"];
    ok(carboy.run([&["run", "--name", "many"], &flags[..], &[root.as_str(), "true"]].concat()));
    let mounts = mounts_of(&carboy, "many");
    let of = |key: &str| mounts.iter().map(|mount| mount[key].to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(of("Type"), r#""volume" "volume" "bind" "tmpfs""#);
    assert_eq!(of("Destination"), r#""/e" "/own" "/host" "/t""#);
    assert_eq!((of("RW"), of("Mode")), ("false true true true".into(), r#""ro" "" "" """#.into()));
    assert_eq!((&mounts[0]["Name"], &mounts[0]["Source"]), (&"elsewhere".into(), &format!("{root}/tmp").into()));
    assert_eq!((&mounts[2]["Source"], &mounts[2]["Propagation"]), (&"/etc".into(), &"rprivate".into()));
    assert_eq!(ok(carboy.run(["volume", "ls", "-q", "--filter", "label=team=web"])), "elsewhere\n");
    assert_eq!(ok(carboy.run(["volume", "ls", "-q", "--filter", "name=where", "-f", "driver=local"])), "elsewhere\n");
    let template = ["volume", "ls", "--format", "{{.Name}} {{.Label \"team\"}} {{.Scope}}"];
    assert!(ok(carboy.run(template)).contains("elsewhere web local\n"));
    let labels =
        ok(carboy.run(["volume", "inspect", "-f", "{{range $k, $v := .Labels}}{{$k}}:{{$v}}{{end}}", "elsewhere"]));
    assert_eq!(labels, "team:web\n");
    assert_eq!(carboy.run(["volume", "inspect", "-f", "{{.Name", "elsewhere"]).code, 64);
    assert!(ok(carboy.run(["ps", "-a", "--format", "{{.Mounts}} {{.LocalVolumes}}"])).ends_with("/etc 2\n"));
    let other = carboy.run(["volume", "create", "elsewhere", "-o", "type=tmpfs", "-o", "device=tmpfs"]);
    assert!(other.code == 1 && other.stderr.contains("made with other options"), "{}", other.stderr);
    assert_eq!(ok(carboy.run(["volume", "create", "elsewhere"])), "elsewhere\n");
}

#[test]
fn another_containers_mounts_come_along_and_may_be_read_only() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    let words = ["run", "--name", "first", "-v", "named:/data", "-v", "/own", &root, "sh", "-c", "echo 1 > /own/x"];
    ok(carboy.run(words));
    let script = "cat /own/x /data/file; touch /own/y && echo wrote";
    let said = ok(carboy.run(["run", "--rm", "--volumes-from", "first", &root, "sh", "-c", script]));
    assert_eq!(said, "1\nfrom the root\nwrote\n");
    let said = carboy.run(["run", "--rm", "--volumes-from", "first:ro", &root, "sh", "-c", script]);
    assert_eq!((said.code, said.stdout.as_str()), (1, "1\nfrom the root\n"));
    let own = ["run", "--rm", "--tmpfs", "/own", "--volumes-from", "first", &root, "sh", "-c", "ls /own | wc -l"];
    assert_eq!(ok(carboy.run(own)), "0\n", "the container's own mount holds");
    assert_eq!(volumes(&carboy).len(), 2, "what another container has is not removed with --rm");
    let none = carboy.run(["run", "--rm", "--volumes-from", "nobody", &root, "true"]);
    assert!(none.code == 125 && none.stderr.contains("no such container"), "{}", none.stderr);
}

#[test]
fn a_link_in_the_root_leads_to_nothing_of_the_host() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    let secret = carboy.folder().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "of the host").unwrap();
    symlink(&secret, Path::new(&root).join("out")).unwrap();
    symlink("../../../..".to_owned() + secret.to_str().unwrap(), Path::new(&root).join("up")).unwrap();
    symlink("/data", Path::new(&root).join("in")).unwrap();
    for (place, holds) in [("/out", ""), ("/up", ""), ("/in", "file link sub twin")] {
        let volume = format!("v{}", place.trim_start_matches('/'));
        let flag = format!("{volume}:{place}");
        let script = format!("ls {place}/ | xargs");
        let said = ok(carboy.run(["run", "--rm", "-v", &flag, &root, "sh", "-c", &script]));
        assert_eq!(said.trim(), holds, "{place}");
        assert!(!data_of(&carboy, &volume).join("key").exists());
    }
    assert_eq!(fs::read_dir(&secret).unwrap().count(), 1);
}

#[test]
fn a_subpath_is_a_folder_of_the_volume_and_never_one_that_a_link_leads_to() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    ok(carboy.run(["run", "--rm", "-v", "whole:/data", &root, "ln", "-s", "/etc", "/data/sub/host"]));
    let at = |path: &str, script: &str| {
        let mount = format!("src=whole,dst=/s,volume-subpath={path}");
        carboy.run(["run", "--rm", "--mount", &mount, &root, "sh", "-c", script])
    };
    ok(at("sub", "echo new > /s/x"));
    assert_eq!(fs::read_to_string(data_of(&carboy, "whole").join("sub/x")).unwrap(), "new\n");
    for path in ["nothing", "sub/host", "sub/host/ssh"] {
        let refused = at(path, "ls /s");
        assert_eq!(refused.code, 125);
        assert!(refused.stderr.contains("cannot use volume-subpath"), "{}", refused.stderr);
    }
    assert!(carboy.left_behind().is_empty());
}

#[test]
fn a_folder_that_becomes_a_link_never_shows_the_host_as_a_subpath() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    let secret = carboy.folder().join("secret");
    fs::create_dir_all(secret.join("in")).unwrap();
    fs::write(secret.join("in/key"), "of the host").unwrap();
    ok(carboy.run(["volume", "create", "torn"]));
    let data = data_of(&carboy, "torn");
    fs::create_dir_all(data.join("a/in")).unwrap();
    symlink(&secret, data.join("b")).unwrap();
    let (a, b) = (data.join("a"), data.join("b"));
    let swapping = Repeating::start(move || renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap());
    let mount = "src=torn,dst=/s,volume-subpath=a/in";
    let shown: Vec<Ended> = (0..40).map(|_| carboy.run(["run", "--rm", "--mount", mount, &root, "ls", "/s"])).collect();
    assert!(swapping.stop() > 1000);
    assert!(shown.iter().all(|ended| !ended.stdout.contains("key")));
    assert!(shown.iter().any(|ended| ended.code == 0), "{}", shown[0].stderr);
}

#[test]
fn many_containers_at_once_find_a_new_volume_whole() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    for number in 0..300 {
        fs::write(Path::new(&root).join(format!("data/{number}")), number.to_string()).unwrap();
    }
    let start = || {
        let words = ["run", "--rm", "-v", "hot:/data", &root, "sh", "-c", "ls /data | wc -l"];
        carboy.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let started: Vec<_> = (0..8).map(|_| start()).collect();
    for child in started {
        let output = child.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(out, "304\n", "{err}");
    }
    assert!(halves(&carboy).is_empty());
}

/// A small file system, unmounted with the test.
struct Small(PathBuf);

impl Small {
    fn at(path: &Path, options: &str) -> Self {
        fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "small"]).arg(path).status();
        assert!(mounted.unwrap().success());
        Self(path.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_no_volume_that_is_half_full() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    fs::write(Path::new(&root).join("data/large"), vec![1; 6 << 20]).unwrap();
    let _small = Small::at(&carboy.folder().join("root"), "size=4m");
    let full = carboy.run(["run", "--rm", "-v", "big:/data", &root, "true"]);
    assert_eq!(full.code, 125);
    assert!(full.stderr.contains("No space left on device"), "{}", full.stderr);
    assert!(full.stderr.contains("hint: free space"), "{}", full.stderr);
    assert_eq!(fs::read_dir(data_of(&carboy, "big")).unwrap().count(), 0);
    assert!(halves(&carboy).is_empty() && carboy.run(["ps", "-aq"]).stdout.is_empty());
    fs::remove_file(Path::new(&root).join("data/large")).unwrap();
    let said = ok(carboy.run(["run", "--rm", "-v", "big:/data", &root, "sh", "-c", "ls /data | xargs"]));
    assert_eq!(said, "file link sub twin\n");
}

#[test]
fn where_nothing_can_be_written_that_is_said() {
    let carboy = Carboy::new();
    ok(carboy.run(["volume", "create", "before"]));
    let place = carboy.folder().join("root");
    let bound = |words: &[&str]| assert!(Command::new("mount").args(words).arg(&place).status().unwrap().success());
    bound(&["--bind", place.to_str().unwrap()]);
    let small = Small(place.clone());
    bound(&["-o", "remount,bind,ro"]);
    let refused = carboy.run(["volume", "create", "after"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("Read-only file system"), "{}", refused.stderr);
    let refused = carboy.run(["volume", "rm", "before"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("Read-only file system"), "{}", refused.stderr);
    assert_eq!(volumes(&carboy), ["before"]);
    drop(small);
    ok(carboy.run(["volume", "rm", "before"]));
}

#[test]
fn who_is_killed_while_a_volume_is_filled_leaves_it_to_the_next() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    for number in 0..1500 {
        fs::write(Path::new(&root).join(format!("data/{number}")), number.to_string()).unwrap();
    }
    ok(carboy.run(["volume", "create", "torn"]));
    let mut run = carboy.command(["run", "--rm", "-v", "torn:/data", &root, "true"]).spawn().unwrap();
    let began = Instant::now();
    let copied = |half: PathBuf| fs::read_dir(half.join("copy")).map_or(0, Iterator::count);
    while halves(&carboy).into_iter().map(copied).max().unwrap_or(0) < 50 {
        assert!(began.elapsed() < Duration::from_secs(20) && run.try_wait().unwrap().is_none(), "it was too fast");
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(fs::read_dir(data_of(&carboy, "torn")).unwrap().count(), 0);
    assert!(carboy.left_behind().is_empty());
    let said = ok(carboy.run(["run", "--rm", "-v", "torn:/data", &root, "sh", "-c", "ls /data | wc -l"]));
    assert_eq!(said, "1504\n");
    assert!(halves(&carboy).is_empty());
}

#[test]
fn what_is_whole_and_half_moved_is_moved_by_the_next_command() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    ok(carboy.run(["volume", "create", "torn"]));
    let folder = carboy.folder().join("root/volumes/torn");
    let half = carboy.folder().join("root/volumes/.halves/0123");
    fs::create_dir_all(half.join("copy")).unwrap();
    fs::set_permissions(half.join("copy"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(half.join("copy/second"), "2").unwrap();
    symlink("torn", half.join("volume")).unwrap();
    fs::write(folder.join("_data/first"), "1").unwrap();
    let record = fs::read_to_string(folder.join("volume.json")).unwrap();
    fs::write(folder.join("volume.json"), record.replace("\"moving\":null", "\"moving\":\"0123\"")).unwrap();
    assert_eq!(volumes(&carboy), ["torn"]);
    assert_eq!(fs::read_to_string(folder.join("_data/second")).unwrap(), "2");
    assert!(halves(&carboy).is_empty());
    let words = ["run", "--rm", "-v", "torn:/data:ro", &root, "sh", "-c", "ls /data | xargs; stat -c %a /data"];
    assert_eq!(ok(carboy.run(words)), "first second\n750\n");
    assert!(fs::read_to_string(folder.join("volume.json")).unwrap().contains("\"moving\":null"));
}

#[test]
fn a_half_that_a_killed_command_has_left_goes_with_the_next() {
    let carboy = Carboy::new();
    ok(carboy.run(["volume", "create", "whole"]));
    let half = carboy.folder().join("root/volumes/.halves/0123");
    fs::create_dir_all(half.join("_data/x")).unwrap();
    assert_eq!(volumes(&carboy), ["whole"]);
    assert!(!half.exists());
}

#[test]
fn the_record_of_a_newer_carboy_is_not_guessed_at_and_hides_no_other() {
    let carboy = Carboy::new();
    ok(carboy.run(["volume", "create", "whole"]));
    ok(carboy.run(["volume", "create", "future"]));
    let path = carboy.folder().join("root/volumes/future/volume.json");
    let record = fs::read_to_string(&path).unwrap();
    fs::write(&path, record.replace("\"version\":1", "\"version\":9")).unwrap();
    let refused = carboy.run(["volume", "inspect", "future"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("is of version 9, which a newer carboy wrote"), "{}", refused.stderr);
    let listed = carboy.run(["volume", "ls", "-q"]);
    assert_eq!((listed.code, listed.stdout.as_str()), (0, "whole\n"));
    assert!(listed.stderr.contains("is of version 9"), "{}", listed.stderr);
    ok(carboy.run(["volume", "prune", "-a", "-f"]));
    assert!(path.exists(), "it is not removed unread");
    ok(carboy.run(["volume", "rm", "future"]));
}

#[test]
fn an_ordinary_user_has_volumes_too() {
    let user = User::new(61_411);
    let data = user.root.join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "from the root\n").unwrap();
    for path in [&data, &data.join("file")] {
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
    let said = user.run(&[
        "run",
        "--rm",
        "-v",
        "mine:/data",
        "-v",
        "/own",
        user.root(),
        "sh",
        "-c",
        "cat /data/file; touch /data/x /own/y",
    ]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "from the root\n"), "{}", said.stderr);
    assert_eq!(user.run(&["volume", "ls", "-q"]).stdout, "mine\n");
    let made = user.place.folder().join("home/.local/share/carboy/volumes/mine/_data/x");
    assert_eq!(fs::metadata(made).unwrap().uid(), user.uid);
    let removed = user.run(&["volume", "rm", "mine"]);
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert!(user.left().is_empty());
}

#[test]
fn in_a_user_namespace_files_of_a_volume_belong_to_whom_they_belong_in_the_root() {
    let carboy = Carboy::new();
    let root = root_with_data(&carboy);
    let maps = ["--userns", "private", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
    let script = "stat -c '%u %g' /data /data/file; touch /data/new; stat -c %u /data/new";
    let words = [&["run", "--rm", "-v", "mapped:/data"], &maps[..], &[root.as_str(), "sh", "-c", script]].concat();
    assert_eq!(ok(carboy.run(words)), "7 8\n5 6\n0\n");
    let plain = ok(carboy.run(["run", "--rm", "-v", "mapped:/data", &root, "stat", "-c", "%u", "/data/new"]));
    assert_eq!(plain, "0\n");
}

#[test]
fn a_folder_is_made_for_v_where_its_source_is_not_there_and_stays() {
    let carboy = Carboy::new();
    let source = carboy.folder().join("not/yet");
    let root = carboy.busybox();
    let asked = format!("{}:/data", source.display());
    let words = ["create", "--name", "box", "-v", &asked, root.to_str().unwrap(), "sh", "-c", "echo in >> /data/file"];
    let explained = ["explain"].iter().chain(&["run"]).chain(&words[3..]).copied();
    assert_eq!(carboy.run(explained).code, 0);
    assert!(!source.exists(), "nothing is made by who explains");
    assert_eq!(carboy.run(words).code, 0);
    assert_eq!(fs::metadata(&source).unwrap().permissions().mode() & 0o7777, 0o755);
    for _ in 0..2 {
        assert_eq!(carboy.run(["start", "-a", "box"]).code, 0);
        assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "in\n");
        fs::remove_dir_all(&source).unwrap();
    }
    assert_eq!(carboy.run(["rm", "box"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}
