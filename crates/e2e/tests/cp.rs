//! `cp`, `export` and `diff`: files into containers and out of them, whatever is done to links meanwhile.

#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use carboy_e2e::user::User;
use carboy_e2e::waiting::Repeating;
use carboy_e2e::{Carboy, Ended, Person, ended};
use rustix::fs::{CWD, RenameFlags, renameat_with};

fn ok(ended: Ended) -> String {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout
}

fn refused(ended: &Ended, reason: &str) {
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
}

/// What a container is made to hold.
const MAKE: &str = "mkdir -p /srv/a/b; echo one > /srv/a/f; echo two > /srv/a/b/g; ln -s f /srv/a/l; ln /srv/a/f /srv/a/twin; \
                    ln -s /srv/a /srv/link; ln -s /nowhere /srv/dangling; chown 5:6 /srv/a/f; chmod 4750 /srv/a/f; mkfifo /srv/a/p";

/// A container called `it` that holds that, and runs or not.
fn container(carboy: &Carboy, flags: &[&str], script: &str) {
    let root = carboy.busybox();
    let words = ["run", "-d", "--name", "it"].iter().chain(flags).copied();
    ok(carboy.run(words.chain([root.to_str().unwrap(), "sh", "-c", &format!("{MAKE}; {script}")])));
}

fn running(carboy: &Carboy, flags: &[&str]) {
    container(carboy, flags, "touch /ready; sleep 1000");
    while carboy.run(["exec", "it", "test", "-e", "/ready"]).code != 0 {}
}

fn stopped(carboy: &Carboy, flags: &[&str]) {
    container(carboy, flags, "true");
    ok(carboy.run(["wait", "it"]));
}

/// The paths below a folder.
fn below(folder: &Path) -> BTreeSet<String> {
    let found = ended(Command::new("find").arg(folder).args(["-mindepth", "1", "-printf", "%P\n"]));
    found.stdout.lines().map(str::to_owned).collect()
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn out(carboy: &Carboy) -> PathBuf {
    let out = carboy.folder().join("out");
    fs::create_dir(&out).unwrap();
    out
}

/// Copies out of the container `it` to a path in `out`.
fn get(carboy: &Carboy, flags: &[&str], from: &str, to: &Path) -> Ended {
    let from = format!("it:{from}");
    carboy.run(["cp"].iter().chain(flags).copied().chain([from.as_str(), to.to_str().unwrap()]))
}

fn put(carboy: &Carboy, flags: &[&str], from: &Path, to: &str) -> Ended {
    let to = format!("it:{to}");
    carboy.run(["cp"].iter().chain(flags).copied().chain([from.to_str().unwrap(), to.as_str()]))
}

fn copies_out_by_dockers_rules(carboy: &Carboy) {
    let out = out(carboy);
    let whole = ["b", "b/g", "f", "l", "p", "twin"];
    ok(get(carboy, &[], "/srv/a", &out));
    assert_eq!(below(&out.join("a")), set(&whole));
    ok(get(carboy, &[], "srv/a", &out.join("new")));
    assert_eq!(below(&out.join("new")), set(&whole));
    ok(get(carboy, &[], "/srv/a/.", &out.join("a/b")));
    assert!(out.join("a/b/f").exists() && out.join("a/b/b/g").exists());
    ok(get(carboy, &[], "/srv/link", &out));
    assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("/srv/a"));
    ok(get(carboy, &["-L"], "/srv/link", &out.join("followed")));
    ok(get(carboy, &[], "/srv/link/", &out.join("slash")));
    assert_eq!((below(&out.join("followed")), below(&out.join("slash"))), (set(&whole), set(&whole)));
    ok(get(carboy, &[], "/srv/a/b/g", &out.join("file")));
    ok(get(carboy, &[], "/srv/a/f", &out.join("file")));
    assert_eq!(fs::read_to_string(out.join("file")).unwrap(), "one\n");
    let own = fs::metadata(out.join("a/f")).unwrap();
    assert_eq!((own.uid(), own.gid(), own.mode() & 0o7777), (0, 0, 0o750), "no rights of root are handed out");
    assert_eq!(own.ino(), fs::metadata(out.join("a/twin")).unwrap().ino());
    ok(get(carboy, &["-a"], "/srv/a/f", &out.join("kept")));
    let kept = fs::metadata(out.join("kept")).unwrap();
    assert_eq!((kept.uid(), kept.gid(), kept.mode() & 0o7777), (5, 6, 0o4750));
    refused(&get(carboy, &[], "/srv/a", &out.join("file")), "is no folder, and one is copied to it");
    refused(&get(carboy, &[], "/srv/a/f", &out.join("none/")), "destination directory must exist");
    refused(&get(carboy, &[], "/srv/a/f", &out.join("none/x")), "no such file or directory");
    refused(&get(carboy, &[], "/srv/none", &out), "no such file or directory");
    refused(&get(carboy, &[], "/srv/a/f/", &out), "Not a directory");
    fs::create_dir_all(out.join("way/g")).unwrap();
    refused(&get(carboy, &[], "/srv/a/b/g", &out.join("way")), "cannot overwrite directory with non-directory");
}

#[test]
fn files_of_a_container_that_runs_come_out_by_dockers_rules() {
    let carboy = Carboy::new();
    running(&carboy, &[]);
    copies_out_by_dockers_rules(&carboy);
}

#[test]
fn files_of_a_container_that_has_ended_come_out_by_the_same_rules() {
    let carboy = Carboy::new();
    stopped(&carboy, &[]);
    copies_out_by_dockers_rules(&carboy);
    assert_eq!(carboy.inspect("it")["State"]["Status"], "exited");
    ok(carboy.run(["rm", "it"]));
    assert_eq!(carboy.left_behind(), [""; 0]);
}

/// Copies into the container; gives what `ls` and `cat` say of it in the end.
fn copies_in(carboy: &Carboy) {
    let source = carboy.folder().join("in");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("sub/x"), "new").unwrap();
    fs::write(source.join("f"), "other").unwrap();
    chown(source.join("f"), Some(1234), Some(55)).unwrap();
    fs::set_permissions(source.join("f"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("f", source.join("l")).unwrap();
    ok(put(carboy, &[], &source, "/srv"));
    ok(put(carboy, &[], &source.join("."), "/srv/a"));
    ok(put(carboy, &["-a"], &source.join("f"), "/srv/owned"));
    ok(put(carboy, &[], &source.join("sub"), "/srv/made"));
    ok(put(carboy, &[], &source.join("f"), "/srv/link/through"));
    ok(put(carboy, &["--follow-link"], &source.join("l"), "/srv/a/b"));
    ok(put(carboy, &[], &source.join("f"), "/vol/in"));
    refused(&put(carboy, &[], &source, "/srv/owned"), "is no folder");
    refused(&put(carboy, &[], &source.join("f"), "/none/x"), "no such file or directory");
    refused(&put(carboy, &[], &source.join("f"), "/ro/x"), "Read-only file system");
    refused(&put(carboy, &[], &source.join("none"), "/srv"), "no such file or directory");
    fs::remove_file(source.join("f")).unwrap();
    fs::create_dir(source.join("f")).unwrap();
    refused(&put(carboy, &[], &source.join("f"), "/srv/in"), "cannot overwrite non-directory with directory");
}

const LOOK: &str = "cd /srv; cat in/sub/x a/f made/x a/b/l link/through; stat -c ' %u:%g %a' in/f owned a/sub; readlink in/l; cat /vol/in";
const SEEN: &str = "newothernewotherother 0:0 755\n 1234:55 4755\n 0:0 755\nf\nother";

#[test]
fn files_come_into_a_container_that_runs() {
    let carboy = Carboy::new();
    running(&carboy, &["-v", "vol:/vol", "-v", "/etc:/ro:ro"]);
    copies_in(&carboy);
    assert_eq!(ok(carboy.run(["exec", "it", "sh", "-c", LOOK])), SEEN);
}

#[test]
fn files_come_into_a_container_that_has_ended_and_into_its_volumes() {
    let carboy = Carboy::new();
    stopped(&carboy, &["-v", "vol:/vol", "-v", "/etc:/ro:ro"]);
    copies_in(&carboy);
    assert_eq!(fs::read_to_string(carboy.folder().join("root/volumes/vol/_data/in")).unwrap(), "other");
    let out = out(&carboy);
    ok(get(&carboy, &["-a"], "/srv", &out));
    ok(get(&carboy, &[], "/vol/in", &out));
    let owned = fs::metadata(out.join("srv/owned")).unwrap();
    assert_eq!((owned.uid(), owned.gid(), owned.mode() & 0o7777), (1234, 55, 0o4755));
    assert_eq!(fs::read_to_string(out.join("srv/a/b/l")).unwrap(), "other");
    assert!(ok(carboy.run(["diff", "it"])).contains("A /srv/owned\n"));
}

#[test]
fn an_archive_goes_through_a_pipe_in_both_directions() {
    let carboy = Carboy::new();
    running(&carboy, &[]);
    let long = format!("/srv/{}", ["component"; 14].join("/"));
    ok(carboy.run(["exec", "it", "sh", "-c", &format!("mkdir -p {long}; echo deep > {long}/f")]));
    let packed = carboy.command(["cp", "it:/srv", "-"]).output().unwrap();
    assert!(packed.status.success());
    let out = out(&carboy);
    let mut tar = Command::new("tar").args(["-x", "-p", "-C"]).arg(&out).stdin(Stdio::piped()).spawn().unwrap();
    tar.stdin.take().unwrap().write_all(&packed.stdout).unwrap();
    assert!(tar.wait().unwrap().success());
    assert_eq!(fs::read_to_string(out.join(&long[1..]).join("f")).unwrap(), "deep\n");
    let file = fs::metadata(out.join("srv/a/f")).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o7777, file.nlink()), (5, 0o4750, 2));
    let unpack = |archive: &[u8], to: &str| {
        let command = &mut carboy.command(["cp", "-", to]);
        let mut cp = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = cp.stdin.take().unwrap().write_all(archive);
        let output = cp.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ended { code: output.status.code().unwrap(), stdout: String::new(), stderr }
    };
    ok(carboy.run(["exec", "it", "mkdir", "/again"]));
    ok(unpack(&packed.stdout, "it:/again"));
    let seen = ok(carboy.run(["exec", "it", "sh", "-c", "cat /again/srv/a/f; stat -c '%u %a' /again/srv/a/twin"]));
    assert_eq!(seen, "one\n5 4750\n");
    refused(&unpack(&packed.stdout, "it:/again/srv/a/f"), "is no folder, and an archive is unpacked into one");
    refused(&unpack(b"no archive at all", "it:/again"), "cannot use the archive");
    refused(&unpack(&packed.stdout[..1000], "it:/again"), "is cut off");
}

#[test]
fn what_is_no_copy_is_refused_in_one_line() {
    let carboy = Carboy::new();
    for (words, reason) in [
        (&["cp", "a:/x", "b:/y"][..], "copying between containers is not supported"),
        (&["cp", "/x", "./y:z"], "one of the two must be in a container"),
        (&["cp", "a:/x"], "it needs what is copied and where it goes"),
        (&["cp", ":/x", "-"], "names no container"),
    ] {
        let ended = carboy.run(words);
        assert_eq!(ended.code, 1, "{words:?}");
        assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    }
    refused(&carboy.run(["cp", "nobody:/x", "-"]), "no such container");
    refused(&carboy.run(["export", "nobody"]), "no such container");
    refused(&carboy.run(["diff", "nobody"]), "no such container");
}

#[test]
fn a_person_is_told_what_was_copied_unless_quiet_was_asked_for() {
    let carboy = Carboy::new();
    stopped(&carboy, &[]);
    let out = out(&carboy);
    let person = Person::new(24, 80);
    let to = out.to_str().unwrap();
    let mut shown = person.start(&carboy.command(["cp", "it:/srv/a/b/g", to]));
    shown.sees(&format!("Successfully copied 2.05kB to {to}"));
    let mut export = person.start(&carboy.command(["export", "it"]));
    export.sees("is a terminal");
    assert_eq!(carboy.run(["cp", "it:/srv/a/b/g", to]).stderr, "");
}

/// A folder of the host that nobody in a container must reach.
fn secret(carboy: &Carboy) -> PathBuf {
    let secret = carboy.folder().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "of the host").unwrap();
    secret
}

#[test]
fn a_folder_that_becomes_a_link_again_and_again_never_leads_to_the_host() {
    let carboy = Carboy::new();
    let secret = secret(&carboy);
    let work = carboy.folder().join("work");
    fs::create_dir_all(work.join("a/deep")).unwrap();
    fs::write(work.join("a/key"), "inside").unwrap();
    symlink(&secret, work.join("b")).unwrap();
    running(&carboy, &["-v", &format!("{}:/work", work.display())]);
    let (a, b) = (work.join("a"), work.join("b"));
    let swapping = Repeating::start(move || renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap());
    let (out, new) = (out(&carboy), carboy.folder().join("planted"));
    fs::write(&new, "planted").unwrap();
    let mut done = [0; 4];
    for round in 0..15 {
        let to = out.join(round.to_string());
        fs::create_dir(&to).unwrap();
        done[0] += usize::from(get(&carboy, &[], "/work/a/key", &to).code == 0);
        done[1] += usize::from(get(&carboy, &[], "/work", &to).code == 0);
        done[2] += usize::from(put(&carboy, &[], &new, &format!("/work/a/{round}")).code == 0);
        done[3] += usize::from(put(&carboy, &[], &new, "/work/a/../a/deep/").code == 0);
    }
    assert!(swapping.stop() > 1000);
    assert!(done.iter().all(|done| *done > 0), "some of each came through: {done:?}");
    let read = ended(Command::new("grep").args(["-rl", "of the host"]).arg(&out));
    assert_eq!(read.stdout, "", "the host's file was read");
    assert_eq!(below(&secret), set(&["key"]), "something was written to the host");
}

#[test]
fn a_link_of_a_container_that_has_ended_leads_to_nothing_of_the_host() {
    let carboy = Carboy::new();
    let secret = secret(&carboy);
    let links = format!(
        "ln -s {0} /abs; ln -s ../../../../../..{0} /rel; ln -s {0}/key /srv/key; ln -s {0}/new /srv/new",
        secret.display()
    );
    container(&carboy, &[], &links);
    ok(carboy.run(["wait", "it"]));
    let out = out(&carboy);
    fs::write(carboy.folder().join("x"), "x").unwrap();
    for path in ["/abs/key", "/rel/key", "/abs/", "/rel/../key"] {
        refused(&get(&carboy, &["-L"], path, &out), "no such file or directory");
        refused(&put(&carboy, &[], &carboy.folder().join("x"), &format!("{path}/in/it")), "no such file or directory");
    }
    refused(&get(&carboy, &["-L"], "/srv/key", &out), "no such file or directory");
    // The folder that the link would lead to is not there inside.
    refused(&put(&carboy, &[], &carboy.folder().join("x"), "/srv/new"), "no such file or directory");
    assert_eq!((below(&secret), below(&out)), (set(&["key"]), set(&[])));
}

#[test]
fn who_is_killed_while_it_copies_leaves_a_container_that_can_be_copied_to_and_removed() {
    let carboy = Carboy::new();
    stopped(&carboy, &["-v", "vol:/vol"]);
    let archive = ended(Command::new("tar").args(["-c", "-C", "/etc", "-f"]).arg(carboy.folder().join("t")).arg("."));
    assert_eq!(archive.code, 0);
    let bytes = fs::read(carboy.folder().join("t")).unwrap();
    let mut cp = carboy.command(["cp", "-", "it:/srv"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = cp.stdin.take().unwrap();
    pipe.write_all(&bytes[..bytes.len() / 2]).unwrap();
    // Nobody can remove it meanwhile.
    let mut removal = carboy.command(["rm", "it"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(removal.try_wait().unwrap().is_none(), "its files are in use");
    cp.kill().unwrap();
    cp.wait().unwrap();
    drop(pipe);
    assert!(removal.wait().unwrap().success());
    ok(carboy.run(["volume", "rm", "vol"]));
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn a_full_disk_is_told_of_with_the_file() {
    let carboy = Carboy::new();
    let place = carboy.folder().join("root");
    fs::create_dir(&place).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "small"]).arg(&place).status();
    assert!(mounted.unwrap().success());
    stopped(&carboy, &[]);
    fs::write(carboy.folder().join("large"), vec![1; 4 << 20]).unwrap();
    let full = put(&carboy, &[], &carboy.folder().join("large"), "/srv/large");
    let export = carboy.run(["export", "-o", place.join("archive").to_str().unwrap(), "it"]);
    let left = below(&place).iter().any(|path| path.contains("archive"));
    ok(carboy.run(["rm", "it"]));
    assert!(Command::new("umount").args(["-l"]).arg(&place).status().unwrap().success());
    refused(&full, "cannot write \"large\" of what is copied: No space left on device");
    refused(&export, "No space left on device");
    assert!(!left, "half an archive is left");
}

#[test]
fn export_is_the_root_without_what_is_mounted_in_it() {
    let carboy = Carboy::new();
    running(&carboy, &["-v", "vol:/vol", "--tmpfs", "/t"]);
    ok(carboy.run(["exec", "it", "touch", "/vol/of-volume", "/t/of-tmpfs"]));
    let archive = carboy.folder().join("root.tar");
    let list = || {
        ok(carboy.run(["export", "--output", archive.to_str().unwrap(), "it"]));
        let listed = ended(Command::new("tar").args(["-t", "-f"]).arg(&archive));
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        listed.stdout.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let runs = list();
    for path in ["bin/busybox", "srv/a/b/g", "srv/link", "vol/", "t/", "proc/", "dev/"] {
        assert!(runs.contains(path), "{path} is not in {runs:?}");
    }
    assert!(!runs.iter().any(|path| path.contains("of-") || path.starts_with("proc/1") || path.starts_with("dev/n")));
    ok(carboy.run(["stop", "-t", "0", "it"]));
    assert_eq!(list(), runs, "of one that has ended it is the same");
    // It is a root file system.
    let said = ok(carboy.run(["run", "--rm", archive.to_str().unwrap(), "cat", "/srv/a/b/g"]));
    assert_eq!(said, "two\n");
    refused(&carboy.run(["export", "-o", "/nowhere/x.tar", "it"]), "is in no folder that exists");
}

#[test]
fn diff_tells_what_was_added_changed_and_deleted() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    for folder in ["old/sub", "gone/in", "same"] {
        fs::create_dir_all(root.join(folder)).unwrap();
        fs::write(root.join(folder).join("f"), "").unwrap();
    }
    let script = "echo x >> /old/sub/f; rm -r /gone; rm /same/f; mkdir /new; touch /new/f; chmod 700 /root; \
                  rm -r /tmp; mkdir -m 1777 /tmp; touch /tmp/t";
    ok(carboy.run(["run", "--name", "it", root.to_str().unwrap(), "sh", "-c", script]));
    let told =
        "D /gone\nA /new\nA /new/f\nC /old\nC /old/sub\nC /old/sub/f\nC /root\nC /same\nD /same/f\nC /tmp\nA /tmp/t\n";
    assert_eq!(ok(carboy.run(["diff", "it"])), told);
    ok(carboy.run(["rm", "it"]));
    // Folders that stand in the way of a folder that is made anew, and a folder in place of a file.
    let script = "rm -r /old; mkdir -p /old/other; rm /same/f; mkdir /same/f";
    ok(carboy.run(["run", "--name", "it", root.to_str().unwrap(), "sh", "-c", script]));
    assert_eq!(ok(carboy.run(["diff", "it"])), "C /old\nA /old/other\nD /old/sub\nC /same\nC /same/f\n");
}

#[test]
fn diff_of_a_container_on_the_hosts_root_tells_nothing_that_carboy_itself_hides() {
    let carboy = Carboy::new();
    ok(carboy.run(["run", "--name", "it", "host", "sh", "-c", "true"]));
    assert_eq!(ok(carboy.run(["diff", "it"])), "");
    ok(carboy.run(["rm", "it"]));
    ok(carboy.run(["run", "--name", "it", "host", "sh", "-c", "touch /tmp/mine /carboy-test-new"]));
    assert_eq!(ok(carboy.run(["diff", "it"])), "A /carboy-test-new\nC /tmp\nA /tmp/mine\n");
}

#[test]
fn holes_stay_holes_and_pipes_are_not_waited_for() {
    let carboy = Carboy::new();
    stopped(&carboy, &[]);
    let sparse = carboy.folder().join("sparse");
    let file = File::create(&sparse).unwrap();
    file.set_len(1 << 30).unwrap();
    rustix::io::pwrite(&file, b"middle", 1 << 29).unwrap();
    ok(put(&carboy, &[], &sparse, "/srv/sparse"));
    let out = out(&carboy);
    ok(get(&carboy, &[], "/srv/sparse", &out));
    let copy = fs::metadata(out.join("sparse")).unwrap();
    assert_eq!(copy.len(), 1 << 30);
    assert!(copy.blocks() * 512 < 1 << 20, "{} blocks", copy.blocks());
    let mut middle = [0; 6];
    rustix::io::pread(File::open(out.join("sparse")).unwrap(), &mut middle, 1 << 29).unwrap();
    assert_eq!(&middle, b"middle");
    ok(get(&carboy, &[], "/srv/a/p", &out));
    assert!(fs::symlink_metadata(out.join("p")).unwrap().mode() & 0o170_000 == 0o010_000);
}

#[test]
fn an_ordinary_user_copies_too() {
    let user = User::new(61_412);
    let words = ["run", "--name", "it", user.root(), "sh", "-c", "mkdir /made; echo hi > /made/f; rm /etc/group"];
    let ran = user.run(&words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let home = user.place.folder().join("home");
    let to = home.join("copied");
    let ended = user.run(&["cp", "it:/made", to.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(fs::metadata(to.join("f")).unwrap().uid(), user.uid);
    let ended = user.run(&["cp", to.to_str().unwrap(), "it:/back"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let diff = user.run(&["diff", "it"]);
    assert_eq!(diff.stdout, "A /back\nA /back/f\nC /etc\nD /etc/group\nA /made\nA /made/f\n", "{}", diff.stderr);
    assert_eq!(user.run(&["rm", "it"]).code, 0);
    assert!(user.left().is_empty());
}

#[test]
fn files_of_a_user_namespace_have_the_owners_that_they_have_inside() {
    let carboy = Carboy::new();
    running(&carboy, &["--userns", "private", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"]);
    let out = out(&carboy);
    ok(get(&carboy, &["-a"], "/srv/a/f", &out));
    let file = fs::metadata(out.join("f")).unwrap();
    assert_eq!((file.uid(), file.gid()), (5, 6));
    fs::write(carboy.folder().join("x"), "x").unwrap();
    chown(carboy.folder().join("x"), Some(7), Some(8)).unwrap();
    ok(put(&carboy, &["-a"], &carboy.folder().join("x"), "/srv/live"));
    ok(put(&carboy, &[], &carboy.folder().join("x"), "/srv/roots"));
    let listed = ok(carboy.run(["exec", "it", "stat", "-c", "%u:%g", "/srv/live", "/srv/roots"]));
    assert_eq!(listed, "7:8\n0:0\n");
    refused(&put(&carboy, &[], &out, "/srv/live"), "is no folder");
    refused(&put(&carboy, &[], &carboy.folder().join("x"), "/proc/sys/x"), "cannot make \"x\"");
    let mut packed = carboy.command(["cp", "it:/srv", "-"]).stdout(Stdio::piped()).spawn().unwrap();
    ok(carboy.run(["exec", "it", "mkdir", "/again"]));
    let unpacked = ended(carboy.command(["cp", "-", "it:/again"]).stdin(packed.stdout.take().unwrap()));
    assert_eq!((unpacked.code, packed.wait().unwrap().success()), (0, true), "{}", unpacked.stderr);
    assert_eq!(ok(carboy.run(["exec", "it", "stat", "-c", "%u:%g", "/again/srv/live"])), "7:8\n");
    ok(carboy.run(["stop", "-t", "0", "it"]));
    ok(put(&carboy, &["-a"], &carboy.folder().join("x"), "/srv/x"));
    ok(get(&carboy, &["-a"], "/srv/x", &out));
    let file = fs::metadata(out.join("x")).unwrap();
    assert_eq!((file.uid(), file.gid()), (7, 8));
}
