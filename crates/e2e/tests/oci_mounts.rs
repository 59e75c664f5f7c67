//! The mounts of an OCI container, its root and its devices, as the container sees them: every option of the runtime
//! specification and of crun, id-mapped mounts, copies of what is covered, links, places that lead out, propagation.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use carboy_e2e::bundle::Bundle;
use carboy_e2e::{Ended, ended};
use procfs::MountInfo;
use serde_json::{Value, json};

fn bind(source: &Path, destination: &str, words: &[&str]) -> Value {
    json!({"destination": destination, "source": source, "options": words})
}

fn tmpfs(destination: &str, words: &[&str]) -> Value {
    json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": words})
}

/// A bundle with these mounts behind the usual ones, and a shell that runs `script`.
fn bundle(mounts: &[Value], script: &str) -> Bundle {
    let bundle = Bundle::new();
    add(&bundle, mounts, script);
    bundle
}

fn add(bundle: &Bundle, mounts: &[Value], script: &str) {
    bundle.args(&["sh", "-c", script]);
    bundle.change(|config| config["mounts"].as_array_mut().unwrap().extend_from_slice(mounts));
}

fn run(bundle: &Bundle) -> Ended {
    bundle.run(&["run", "--bundle", bundle.path(), &bundle.id])
}

/// The output of a run that goes well, after which nothing is left.
fn output(bundle: &Bundle) -> String {
    let ended = run(bundle);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    bundle.gone();
    ended.stdout
}

/// The complaint of a run that is refused, after which nothing is left.
fn refusal(bundle: &Bundle) -> String {
    let ended = run(bundle);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{}", ended.stderr);
    bundle.gone();
    ended.stderr
}

/// The same under a peer.
fn under_runc(bundle: &Bundle) -> Ended {
    let mut command = Command::new("runc");
    command.arg("--root").arg(bundle.carboy.folder().join("runc")).args(["run", "--bundle", bundle.path(), &bundle.id]);
    ended(&mut command)
}

/// Runs in a mount namespace that is made for it, in which `script` mounts things first.
fn with_mounts(script: &str, bundle: &Bundle) -> Ended {
    let runtime = bundle.command(&["run", "--bundle", bundle.path(), &bundle.id]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", &format!("{script}\nexec \"$@\""), "sh"]);
    command.arg(runtime.get_program()).args(runtime.get_args());
    ended(&mut command)
}

fn folder(bundle: &Bundle, name: &str) -> PathBuf {
    let folder = bundle.carboy.folder().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn parsed(mountinfo: &str) -> BTreeMap<String, MountInfo> {
    let mounts = procfs::mountinfo::parse(mountinfo.as_bytes()).unwrap();
    mounts.into_iter().map(|mount| (mount.mount_point.display().to_string(), mount)).collect()
}

/// The words for attributes that every runtime knows, each with what it makes of a mount that is `rw,relatime`.
const ATTRIBUTES: [(&str, &str); 20] = [
    ("ro", "ro,relatime"),
    ("rw", "rw,relatime"),
    ("nosuid", "rw,nosuid,relatime"),
    ("suid", "rw,relatime"),
    ("nodev", "rw,nodev,relatime"),
    ("dev", "rw,relatime"),
    ("noexec", "rw,noexec,relatime"),
    ("exec", "rw,relatime"),
    ("noatime", "rw,noatime"),
    ("atime", "rw,relatime"),
    ("nodiratime", "rw,nodiratime,relatime"),
    ("diratime", "rw,relatime"),
    ("strictatime", "rw"),
    ("nostrictatime", "rw,relatime"),
    ("relatime", "rw,relatime"),
    ("norelatime", "rw,relatime"),
    ("defaults", "rw,relatime"),
    ("async", "rw,relatime"),
    ("noiversion", "rw,relatime"),
    ("nolazytime", "rw,relatime"),
];

#[test]
fn every_word_for_an_attribute_is_seen_inside_as_runc_has_it() {
    let bundle = Bundle::new();
    let source = folder(&bundle, "source");
    let mounts: Vec<Value> =
        ATTRIBUTES.iter().map(|(word, _)| bind(&source, &format!("/m/{word}"), &["rbind", word])).collect();
    add(&bundle, &mounts, "cat /proc/self/mountinfo");
    let (ours, runc) = (parsed(&output(&bundle)), under_runc(&bundle));
    assert_eq!(runc.code, 0, "{}", runc.stderr);
    let theirs = parsed(&runc.stdout);
    for (word, options) in ATTRIBUTES {
        let place = format!("/m/{word}");
        assert_eq!(ours[&place].options, options, "{word}");
        assert_eq!(ours[&place].options, theirs[&place].options, "{word} under runc");
    }
    for place in ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"] {
        let seen =
            |mounts: &BTreeMap<String, MountInfo>| (mounts[place].fs_type.clone(), mounts[place].options.clone());
        assert_eq!(seen(&ours), seen(&theirs), "{place} under runc");
    }
}

#[test]
fn words_of_every_file_system_are_for_a_new_one_and_mean_nothing_for_a_view() {
    let words = ["sync", "dirsync", "lazytime"];
    let mounts: Vec<Value> = words.iter().map(|word| tmpfs(&format!("/m/{word}"), &[word])).collect();
    let more =
        [tmpfs("/m/all", &["sync", "async", "silent", "iversion", "loud", "nosymfollow", "mand", "nomand", "rro"])];
    let bundle = bundle(&[&mounts[..], &more].concat(), "cat /proc/self/mountinfo");
    let seen = parsed(&output(&bundle));
    for word in words {
        assert!(seen[&format!("/m/{word}")].super_options.contains(word), "{:?}", seen[&format!("/m/{word}")]);
    }
    assert_eq!(seen["/m/all"].options, "ro,relatime,nosymfollow");
    assert!(!seen["/m/all"].super_options.contains("sync"), "{:?}", seen["/m/all"]);
    let source = folder(&bundle, "source");
    for word in ["sync", "size=1m", "mode=755", "nosuchword"] {
        bundle.change(|config| config["mounts"] = json!([bind(&source, "/m", &["bind", word, "ro"])]));
        bundle.args(&["touch", "/m/x"]);
        let said = run(&bundle).stderr;
        let warned = said.contains(&format!("ignoring mounts[/m].options {word}"));
        assert!(warned && said.contains("Read-only file system"), "{said}");
    }
}

#[test]
fn mounts_are_listed_in_the_order_of_the_configuration_as_under_runc() {
    let bundle = Bundle::new();
    let source = folder(&bundle, "source");
    let mounts = [
        tmpfs("/m", &[]),
        bind(&source, "/m/below", &["rbind", "rslave"]),
        tmpfs("/m/below", &[]),
        bind(&source, "/m/below", &["bind", "ro"]),
        tmpfs("/m/last", &[]),
    ];
    add(&bundle, &mounts, "grep -o ' /m[^ ]* rw\\| /m[^ ]* ro' /proc/self/mountinfo");
    let order = " /m rw\n /m/below rw\n /m/below rw\n /m/below ro\n /m/last rw\n";
    assert_eq!(output(&bundle), order);
    assert_eq!(under_runc(&bundle).stdout, order);
}

/// The copy that puts them in order would lose it.
#[test]
fn mounts_that_are_unbindable_are_listed_in_order_too() {
    let bundle = Bundle::new();
    let source = folder(&bundle, "source");
    let mounts = [
        tmpfs("/m", &[]),
        bind(&source, "/m/bind", &["bind", "unbindable"]),
        tmpfs("/m/new", &["unbindable"]),
        bind(&source, "/m/tree", &["rbind", "runbindable"]),
        bind(&source, "/m/last", &["bind"]),
    ];
    add(&bundle, &mounts, "grep ' /m' /proc/self/mountinfo | grep -o ' /m[^ ]* \\| unbindable' | tr -d '\\n'");
    let order = " /m  /m/bind  unbindable /m/new  unbindable /m/tree  unbindable /m/last ";
    assert_eq!(output(&bundle), order);
    assert_eq!(under_runc(&bundle).stdout, order);
}

#[test]
fn comments_for_others_are_left_out_and_unknown_words_are_the_file_systems() {
    let source = std::env::temp_dir();
    let mounts = [
        bind(&source, "/m/bind", &["bind", "x-gvfs-show", "x-systemd.device-timeout=1", "noauto", "_netdev"]),
        tmpfs("/m/tmpfs", &["x-mine", "comment=yours", "size=1m", "nr_inodes=100"]),
    ];
    let bundle = bundle(&mounts, "cat /proc/self/mountinfo");
    let seen = parsed(&output(&bundle));
    assert!(seen["/m/tmpfs"].super_options.contains("size=1024k,nr_inodes=100"), "{:?}", seen["/m/tmpfs"]);
    assert!(seen.contains_key("/m/bind"));
    bundle.change(|config| config["mounts"] = json!([tmpfs("/m", &["nosuchword"])]));
    assert!(refusal(&bundle).contains("what it covers at /m"));
    for kind in [json!(null), json!("")] {
        bundle.change(|config| config["mounts"] = json!([{"destination": "/m", "source": "x", "type": kind}]));
        assert!(refusal(&bundle).contains("has neither a type nor a bind option"));
        assert_ne!(under_runc(&bundle).code, 0, "nor does runc know what to mount");
    }
}

/// The recursive words, with what they make of `rw,nosuid,nodev,noexec,noatime` and of `rw,relatime`.
const RECURSIVE: [(&str, &str, &str); 12] = [
    ("rro", "ro,nosuid,nodev,noexec,noatime", "ro,relatime"),
    ("rnosuid", "rw,nosuid,nodev,noexec,noatime", "rw,nosuid,relatime"),
    ("rsuid", "rw,nodev,noexec,noatime", "rw,relatime"),
    ("rnodev", "rw,nosuid,nodev,noexec,noatime", "rw,nodev,relatime"),
    ("rdev", "rw,nosuid,noexec,noatime", "rw,relatime"),
    ("rnoexec", "rw,nosuid,nodev,noexec,noatime", "rw,noexec,relatime"),
    ("rexec", "rw,nosuid,nodev,noatime", "rw,relatime"),
    ("rnoatime", "rw,nosuid,nodev,noexec,noatime", "rw,noatime"),
    ("ratime", "rw,nosuid,nodev,noexec,relatime", "rw,relatime"),
    ("rstrictatime", "rw,nosuid,nodev,noexec", "rw"),
    ("rnodiratime", "rw,nosuid,nodev,noexec,noatime,nodiratime", "rw,nodiratime,relatime"),
    ("rnosymfollow", "rw,nosuid,nodev,noexec,noatime,nosymfollow", "rw,relatime,nosymfollow"),
];

#[test]
fn a_recursive_word_holds_for_every_mount_below_and_a_plain_one_for_the_first() {
    let bundle = Bundle::new();
    let source = folder(&bundle, "source");
    let mounts: Vec<Value> =
        RECURSIVE.iter().map(|(word, ..)| bind(&source, &format!("/m/{word}"), &["rbind", word])).collect();
    let plain = bind(&source, "/m/ro", &["rbind", "ro"]);
    let refused = "for place in /m/rro /m/rro/a /m/rro/b; do ! touch $place/x 2>/dev/null || exit 1; done; ";
    let script = format!("{refused} touch /m/ro/b/x && ! touch /m/ro/x 2>/dev/null && cat /proc/self/mountinfo");
    add(&bundle, &[&mounts[..], &[plain]].concat(), &script);
    let at = source.display();
    let script =
        format!("mkdir {at}/a {at}/b; mount -t tmpfs -o nosuid,nodev,noexec,noatime a {at}/a; mount -t tmpfs b {at}/b");
    let ended = with_mounts(&script, &bundle);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let seen = parsed(&ended.stdout);
    for (word, strict, loose) in RECURSIVE {
        assert_eq!(seen[&format!("/m/{word}/a")].options, strict, "{word}");
        assert_eq!(seen[&format!("/m/{word}/b")].options, loose, "{word}");
        assert_eq!(seen[&format!("/m/{word}")].options, loose, "{word}");
    }
    assert_eq!(seen["/m/ro/b"].options, "rw,relatime");
}

#[test]
fn what_is_mounted_already_is_changed_by_a_remount() {
    let mounts = [
        tmpfs("/m", &["size=1m"]),
        json!({"destination": "/m", "type": "tmpfs", "options": ["remount", "size=2m", "nosuid", "ro"]}),
    ];
    let bundle = bundle(&mounts, "grep -c ' /m ' /proc/self/mountinfo; cat /proc/self/mountinfo");
    let (count, mountinfo) = {
        let output = output(&bundle);
        let (count, rest) = output.split_once('\n').unwrap();
        (count.to_owned(), rest.to_owned())
    };
    let seen = parsed(&mountinfo);
    assert_eq!(count, "1");
    assert_eq!(seen["/m"].options, "ro,nosuid,relatime");
    assert!(seen["/m"].super_options.contains("size=2048k"), "{:?}", seen["/m"]);
    bundle.change(|config| config["mounts"] = json!([{"destination": "/tmp", "options": ["remount", "ro"]}]));
    assert!(refusal(&bundle).contains("change what is mounted at /tmp"));
}

#[test]
fn a_mount_has_the_ids_of_its_own_maps_and_below_it_only_where_that_is_asked() {
    let bundle = Bundle::new();
    let source = folder(&bundle, "source");
    fs::write(source.join("file"), "").unwrap();
    chown(source.join("file"), Some(1000), Some(2000)).unwrap();
    chown(&source, Some(1000), Some(2000)).unwrap();
    let maps = |words: &[&str], destination: &str| {
        let mut mount = bind(&source, destination, words);
        mount["uidMappings"] = json!([{"containerID": 1000, "hostID": 0, "size": 1}]);
        mount["gidMappings"] = json!([{"containerID": 2000, "hostID": 0, "size": 1}]);
        mount
    };
    let mounts = [
        maps(&["rbind", "idmap"], "/m/top"),
        maps(&["rbind", "ridmap"], "/m/all"),
        maps(&["bind"], "/m/silent"),
        bind(&source, "/m/ranges", &["bind", "idmap=uids=1000-5-1;gids=2000-6-1"]),
    ];
    let stat = "for place in top all silent ranges; do stat -c %u:%g /m/$place/file; done; stat -c %u:%g /m/top/sub/file \
                /m/all/sub/file; touch /m/all/new && ! touch /m/ranges/new 2>/dev/null";
    add(&bundle, &mounts, stat);
    let at = source.display();
    let script =
        format!("mkdir {at}/sub; mount -t tmpfs sub {at}/sub; touch {at}/sub/file; chown 1000:2000 {at}/sub/file");
    let ended = with_mounts(&script, &bundle);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stdout, "0:0\n0:0\n0:0\n5:6\n1000:2000\n0:0\n");
    let made = fs::metadata(source.join("new")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1000, 2000), "what is root inside is the owner on disk");
}

#[test]
fn without_maps_of_its_own_a_mount_has_those_of_the_containers_user_namespace() {
    let bundle = Bundle::new();
    let source = folder(&bundle, "source");
    fs::write(source.join("file"), "").unwrap();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.change(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    fs::set_permissions(bundle.carboy.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    // The root is the container's, as engines prepare it.
    let owned = Command::new("chown").args(["-R", "-h", "100000:100000"]).arg(bundle.carboy.busybox()).status();
    assert!(owned.unwrap().success());
    let mounts = [bind(&source, "/m/as-is", &["bind"]), bind(&source, "/m/mapped", &["bind", "idmap"])];
    add(&bundle, &mounts, "stat -c %u /m/as-is/file /m/mapped/file; echo inside > /m/mapped/new");
    assert_eq!(output(&bundle), "65534\n0\n");
    assert_eq!(fs::metadata(source.join("new")).unwrap().uid(), 0, "the container's root is root on disk");
}

#[test]
fn ids_that_nobody_has_said_or_that_cannot_be_mapped_are_refused_by_their_field() {
    let bundle = bundle(&[], "true");
    let source = folder(&bundle, "source");
    let mapped = |host: u64, size: u64| json!([{"containerID": 0, "hostID": host, "size": size}]);
    let maps = |words: &[&str], map: Value| {
        let mut mount = bind(&source, "/m", words);
        mount["uidMappings"] = map.clone();
        mount["gidMappings"] = map;
        mount
    };
    let mut half = bind(&source, "/m", &["bind", "idmap"]);
    half["uidMappings"] = mapped(0, 1);
    let mut of_tmpfs = tmpfs("/m", &["idmap"]);
    of_tmpfs["uidMappings"] = mapped(0, 1);
    of_tmpfs["gidMappings"] = mapped(0, 1);
    for (mount, reason) in [
        (bind(&source, "/m", &["bind", "idmap"]), "has no maps to take"),
        (bind(&source, "/m", &["bind", "idmap=uids=a-b-c;gids=0-0-1"]), "is no range of three numbers"),
        (maps(&["bind", "idmap"], mapped(u64::from(u32::MAX), 2)), "ends beyond the last id"),
        (maps(&["bind", "idmap"], mapped(0, 0)), "maps no id"),
        (half, "gidMappings"),
        (of_tmpfs, "is for bind mounts"),
        (maps(&["bind", "idmap", "rro"], mapped(u64::from(u32::MAX), 1)), "mounts"),
    ] {
        bundle.change(|config| config["mounts"] = json!([mount]));
        let said = refusal(&bundle);
        assert!(said.contains(reason), "{mount}: {said}");
    }
    bundle.change(|config| {
        config["mounts"] = json!([bind(Path::new("/proc"), "/m", &["bind", "idmap=uids=0-1-1;gids=0-1-1"])])
    });
    let said = refusal(&bundle);
    assert!(said.contains("map the ids of /proc") && said.contains("no id-mapped mounts"), "{said}");
}

/// Everything below a folder of the container, as the host sees it: type and permissions, owner, size, target, number.
fn listing(folder: &Path) -> Vec<String> {
    let find = ["-printf", "%P %M %U:%G %s %l %T@ %n\n"];
    let mut lines: Vec<String> = ended(Command::new("find").arg(folder).args(["-mindepth", "1"]).args(find))
        .stdout
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    // A folder's size is its file system's.
    lines
        .iter()
        .map(|line| if line.contains(" d") { line.rsplit_once(' ').unwrap().0.to_owned() } else { line.clone() })
        .collect()
}

/// A folder with everything that a folder can hold.
fn fill(folder: &Path) {
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    fs::write(folder.join("deep/er/file"), vec![b'x'; 300_000]).unwrap();
    fs::write(folder.join("suid"), "program").unwrap();
    chown(folder.join("suid"), Some(1000), Some(2000)).unwrap();
    fs::set_permissions(folder.join("suid"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(folder.join("deep"), fs::Permissions::from_mode(0o1770)).unwrap();
    chown(folder.join("deep"), Some(7), Some(8)).unwrap();
    symlink("/nowhere", folder.join("link")).unwrap();
    let made = Command::new("mkfifo").arg("-m").arg("640").arg(folder.join("pipe")).status();
    assert!(made.unwrap().success());
    let made = Command::new("mknod").args(["-m", "604"]).arg(folder.join("null")).args(["c", "1", "3"]).status();
    assert!(made.unwrap().success());
    drop(std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap());
    let none = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(folder.join("suid"), "user.mine", b"value", none).unwrap();
    rustix::fs::setxattr(folder.join("deep"), "trusted.mine", b"", none).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o2751)).unwrap();
}

#[test]
fn a_tmpfs_can_begin_with_a_copy_of_what_it_covers() {
    let bundle = bundle(&[tmpfs("/full", &["tmpcopyup", "nosuid"])], "exec sleep 1000");
    let covered = bundle.carboy.busybox().join("full");
    fs::create_dir(&covered).unwrap();
    fill(&covered);
    bundle.create();
    let inside = PathBuf::from(format!("/proc/{}/root/full", bundle.state()["pid"]));
    let sizes = |lines: Vec<String>| lines.into_iter().filter(|line| !line.contains(" drwx")).collect::<Vec<_>>();
    assert_eq!(sizes(listing(&inside)), sizes(listing(&covered)));
    let of = |path: PathBuf| {
        let found = fs::metadata(path).unwrap();
        (found.mode(), found.uid(), found.gid(), found.mtime(), found.mtime_nsec())
    };
    for name in ["", "deep", "deep/er"] {
        assert_eq!(of(inside.join(name)), of(covered.join(name)), "{name}");
    }
    assert_eq!(fs::read(inside.join("deep/er/file")).unwrap(), vec![b'x'; 300_000]);
    for (name, attribute, value) in [("suid", "user.mine", "value"), ("deep", "trusted.mine", "")] {
        let mut buffer = [0; 64];
        let length = rustix::fs::getxattr(inside.join(name), attribute, &mut buffer[..]).unwrap();
        assert_eq!(&buffer[..length], value.as_bytes(), "{name}");
    }
    fs::write(inside.join("suid"), "changed").unwrap();
    assert_eq!(fs::read_to_string(covered.join("suid")).unwrap(), "program", "what is covered stays as it was");
}

#[test]
fn a_copy_is_made_of_a_folder_only_and_into_a_tmpfs_and_what_the_options_say_holds() {
    let bundle = bundle(
        &[tmpfs("/etc/passwd", &["tmpcopyup"])],
        "stat -c %a:%u /etc; cat /etc/passwd | head -c 5; touch /etc/x",
    );
    let said = refusal(&bundle);
    assert!(said.contains("what it covers at /etc/passwd") && said.contains("Not a directory"), "{said}");
    for (mount, reason) in [
        (json!({"destination": "/etc", "type": "ramfs", "options": ["tmpcopyup"]}), "is for a tmpfs"),
        (bind(Path::new("/tmp"), "/etc", &["bind", "tmpcopyup"]), "is for a tmpfs"),
        (tmpfs("/", &["tmpcopyup"]), "would cover the container's root"),
        (tmpfs("/bin", &["tmpcopyup", "size=4k"]), "No space left on device"),
    ] {
        bundle.change(|config| config["mounts"] = json!([mount]));
        let said = refusal(&bundle);
        assert!(said.contains(reason), "{said}");
    }
    let usual = json!([tmpfs("/etc", &["tmpcopyup", "mode=715", "uid=9", "ro"])]);
    bundle.change(|config| config["mounts"] = usual);
    let ended = run(&bundle);
    assert_eq!(ended.stdout, "715:9\nroot:", "{}", ended.stderr);
    assert!(ended.code != 0 && ended.stderr.contains("Read-only file system"), "{}", ended.stderr);
}

#[test]
fn a_tmpfs_has_the_permissions_of_what_it_covers_unless_they_are_said_as_under_runc() {
    let mounts = [tmpfs("/odd", &[]), tmpfs("/said", &["mode=711"]), tmpfs("/new", &[]), tmpfs("/fixed", &["ro"])];
    let bundle = bundle(&mounts, "for place in odd said new fixed; do stat -c %n:%a /$place; done");
    for (name, mode) in [("odd", 0o1753), ("said", 0o700), ("fixed", 0o500)] {
        let folder = bundle.carboy.busybox().join(name);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    let runc = under_runc(&bundle);
    fs::remove_dir(bundle.carboy.busybox().join("new")).unwrap();
    assert_eq!(output(&bundle), "/odd:1753\n/said:711\n/new:1777\n/fixed:500\n");
    for line in ["/odd:1753", "/new:1777", "/fixed:500"] {
        assert!(runc.stdout.lines().any(|other| other == line), "{line}: {}{}", runc.stdout, runc.stderr);
    }
}

#[test]
fn a_destination_may_be_relative_or_lead_through_links_and_never_out_of_the_root() {
    let bundle = Bundle::new();
    let source = folder(&bundle, "bundle-relative");
    fs::write(source.join("here"), "").unwrap();
    let root = bundle.carboy.busybox();
    symlink("/real", root.join("absolute")).unwrap();
    symlink("../../../../real2", root.join("upwards")).unwrap();
    symlink("missing/folder", root.join("dangling")).unwrap();
    symlink("/gone/file", root.join("dangling-file")).unwrap();
    let file = source.join("here");
    let relative =
        |destination: &str| json!({"destination": destination, "source": "bundle-relative", "options": ["bind"]});
    let mounts = [
        relative("relative/place"),
        relative("/absolute/below"),
        relative("/upwards/below"),
        relative("/dangling"),
        relative("/../../dots/../dotted"),
        bind(&file, "/dangling-file", &["bind"]),
        bind(&file, "/a/new/file", &["bind"]),
    ];
    add(&bundle, &mounts, "cut -d ' ' -f 5 /proc/self/mountinfo");
    let seen = output(&bundle);
    let expected =
        ["/relative/place", "/real/below", "/real2/below", "/missing/folder", "/dotted", "/gone/file", "/a/new/file"];
    for place in expected {
        assert!(seen.lines().any(|line| line == place), "{place}: {seen}");
    }
    for place in ["/real", "/real2", "/missing", "/gone", "/dotted"] {
        assert!(!Path::new(place).exists(), "{place} was made on the host");
    }
    let runc = under_runc(&bundle);
    assert_eq!(runc.code, 0, "{}", runc.stderr);
    for place in expected {
        assert!(runc.stdout.lines().any(|line| line == place), "{place} under runc: {}", runc.stdout);
    }
}

#[test]
fn a_destination_that_leads_nowhere_and_a_source_that_is_not_there_are_refused() {
    let bundle = bundle(&[], "true");
    let root = bundle.carboy.busybox();
    symlink("loop2", root.join("loop1")).unwrap();
    symlink("loop1", root.join("loop2")).unwrap();
    fs::write(root.join("file"), "").unwrap();
    let folder = folder(&bundle, "source");
    let long = format!("/{}", "x".repeat(300));
    for (mount, reason) in [
        (bind(&folder, "/loop1/x", &["bind"]), "Too many levels of symbolic links"),
        (bind(&folder, "/file/x", &["bind"]), "Not a directory"),
        (bind(&folder, "/file", &["bind"]), "only a folder can cover a folder"),
        (bind(&folder, &long, &["bind"]), "File name too long"),
        (bind(&folder, "/../..", &["bind"]), "would cover the container's root"),
        (bind(&folder.join("absent"), "/x", &["bind"]), "does not exist"),
        (json!({"destination": "/x", "options": ["bind"]}), "does not exist"),
        (json!({"destination": "/x", "type": "nosuchfs"}), "mount nosuchfs at /x"),
    ] {
        bundle.change(|config| config["mounts"] = json!([mount]));
        let said = refusal(&bundle);
        assert!(said.contains(reason), "{mount}: {said}");
    }
}

#[test]
fn nothing_covers_what_is_in_proc_but_a_few_files_however_the_path_leads_there() {
    let bundle = bundle(&[], "cat /proc/meminfo; cut -d ' ' -f 5 /proc/self/mountinfo");
    let root = bundle.carboy.busybox();
    symlink("/proc/sys", root.join("way")).unwrap();
    symlink("proc/self/attr", root.join("way2")).unwrap();
    let file = folder(&bundle, "source").join("meminfo");
    fs::write(&file, "mine\n").unwrap();
    let usual: Value = {
        let text = fs::read(bundle.carboy.folder().join("config.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["mounts"].clone()
    };
    let with = |mount: Value| {
        bundle.change(|config| {
            config["mounts"] = usual.clone();
            config["mounts"].as_array_mut().unwrap().push(mount);
        });
    };
    let directory = Path::new("/tmp");
    for (mount, reason) in [
        (tmpfs("/proc", &[]), "can only be a procfs"),
        (bind(directory, "/proc", &["rbind"]), "can only be a procfs"),
        (tmpfs("/proc/sys/kernel", &[]), "inside /proc"),
        (tmpfs("/x/../proc/self/attr", &[]), "inside /proc"),
        (tmpfs("/way/kernel", &[]), "the path leads into the container's /proc"),
        (bind(directory, "/way/kernel", &["bind"]), "the path leads into the container's /proc"),
        (bind(&file, "/way2/exec", &["bind"]), "the path leads into the container's /proc"),
    ] {
        with(mount.clone());
        let said = refusal(&bundle);
        assert!(said.contains(reason), "{mount}: {said}");
        // The one of Debian looks at views only.
        assert!(mount["type"] == "tmpfs" || under_runc(&bundle).code != 0, "runc takes {mount}");
    }
    with(bind(&file, "/proc/meminfo", &["bind"]));
    assert!(output(&bundle).starts_with("mine\n"));
    with(bind(Path::new("/proc"), "/proc", &["rbind"]));
    assert!(output(&bundle).contains("MemTotal"));
}

#[test]
fn proc_and_sysfs_are_mounted_on_folders_and_not_through_a_link() {
    for (kind, destination) in [("proc", "/proc"), ("sysfs", "/sys")] {
        let bundle = bundle(&[], "true");
        let root = bundle.carboy.busybox();
        fs::remove_dir(root.join(&destination[1..])).unwrap();
        symlink("tmp", root.join(&destination[1..])).unwrap();
        bundle.change(|config| config["mounts"] = json!([{"destination": destination, "type": kind, "source": kind}]));
        let said = refusal(&bundle);
        assert!(said.contains(&format!("mount {kind} at {destination}")) && said.contains("Not a directory"), "{said}");
        assert!(said.contains("must be mounted on ordinary directory"), "{said}");
        assert_ne!(under_runc(&bundle).code, 0, "runc follows the link to {kind}");
    }
}

#[test]
fn links_files_and_sockets_can_be_bound_and_links_copied() {
    let bundle = Bundle::new();
    let source = folder(&bundle, "source");
    fs::write(source.join("file"), "content\n").unwrap();
    symlink("file", source.join("link")).unwrap();
    symlink("/nowhere/at/all", source.join("broken")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    let root = bundle.carboy.busybox();
    symlink("elsewhere", root.join("placed")).unwrap();
    symlink("file", root.join("same")).unwrap();
    let at = |name: &str| source.join(name);
    let mounts = [
        bind(&at("link"), "/m/followed", &["bind"]),
        bind(&at("socket"), "/m/socket", &["bind"]),
        bind(&at("broken"), "/m/itself", &["bind", "src-nofollow"]),
        bind(&at("broken"), "/placed", &["bind", "src-nofollow", "dest-nofollow"]),
        bind(&at("link"), "/m/copied", &["bind", "copy-symlink"]),
        bind(&at("broken"), "/copied", &["bind", "copy-symlink"]),
        bind(&at("link"), "/same", &["bind", "copy-symlink"]),
        bind(&at("file"), "/m/no-link", &["bind", "copy-symlink"]),
        bind(Path::new(&format!("/proc/{}/root/var/tmp", std::process::id())), "/m/magic", &["bind"]),
    ];
    let script = "cat /m/followed /m/no-link; for place in /m/itself /placed /m/copied /copied /same; do readlink $place; \
                  done; test -S /m/socket && test -d /m/magic && ! test -e /elsewhere && grep -c copied /proc/self/mountinfo";
    add(&bundle, &mounts, script);
    let ended = run(&bundle);
    let links = "/nowhere/at/all\n/nowhere/at/all\nfile\n/nowhere/at/all\nfile\n";
    assert_eq!(ended.stdout, format!("content\ncontent\n{links}0\n"), "{}", ended.stderr);
    for (mount, reason) in [
        (bind(&at("broken"), "/same", &["bind", "copy-symlink"]), "File exists"),
        (bind(&at("broken"), "/bin", &["bind", "copy-symlink"]), "File exists"),
        (bind(&at("broken"), "/x", &["bind"]), "does not exist"),
        (bind(&at("broken"), "/nowhere", &["bind", "src-nofollow", "dest-nofollow"]), "No such file"),
        (bind(&at("link"), "/x", &["bind", "copy-symlink", "src-nofollow"]), "cannot be had together"),
        (tmpfs("/x", &["dest-nofollow"]), "is for bind mounts"),
    ] {
        bundle.change(|config| config["mounts"] = json!([mount]));
        let said = refusal(&bundle);
        assert!(said.contains(reason), "{mount}: {said}");
    }
}

/// Root inside with every right over mounts.
fn privileged(bundle: &Bundle) {
    let capabilities = json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_CHOWN"]);
    bundle.change(|config| {
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = capabilities.clone();
        }
    });
}

/// A root of its own mount, whose mounts travel, with the folder `outside` to mount something on later.
fn shared_root(bundle: &Bundle, then: &str) -> Ended {
    let root = bundle.carboy.busybox();
    fs::create_dir_all(root.join("outside")).unwrap();
    let runtime = bundle.command(&["run", "--bundle", bundle.path(), &bundle.id]);
    let words: Vec<&str> = runtime.get_args().map(|word| word.to_str().unwrap()).collect();
    let root = root.display();
    let script = format!(
        "mount --bind {root} {root}; mount --make-shared {root}; mkfifo {0}/go; ({1} {2} < {0}/go) & exec 3> {0}/go\n\
         for try in $(seq 500); do test -e {root}/ready && break; sleep 0.01; done\n{then}\necho go >&3; wait",
        bundle.path(),
        runtime.get_program().to_str().unwrap(),
        words.join(" "),
    );
    ended(Command::new("unshare").args(["--mount", "--propagation", "private", "sh", "-ec", &script]))
}

#[test]
fn mounts_of_the_host_come_into_a_slave_root_and_into_no_other() {
    for (word, comes) in [
        (json!("slave"), true),
        (json!("rslave"), true),
        (json!("private"), false),
        (json!("rprivate"), false),
        (json!("shared"), false),
        (json!("rshared"), false),
        (json!("unbindable"), false),
        (json!("runbindable"), false),
        (json!(null), false),
    ] {
        let bundle = bundle(&[], "touch /ready; read go; grep -c ' /outside ' /proc/self/mountinfo");
        bundle.change(|config| config["linux"]["rootfsPropagation"] = word.clone());
        let root = bundle.carboy.busybox();
        let ended = shared_root(&bundle, &format!("mount -t tmpfs late {}/outside", root.display()));
        assert_eq!(ended.stdout, if comes { "1\n" } else { "0\n" }, "{word}: {}", ended.stderr);
    }
}

#[test]
fn what_is_mounted_in_a_container_does_not_reach_the_host() {
    for word in ["slave", "shared", "rshared", "private"] {
        let bundle = bundle(&[], "mount -t tmpfs inner /outside; touch /ready; read go; echo end");
        privileged(&bundle);
        bundle.change(|config| config["linux"]["rootfsPropagation"] = json!(word));
        let root = bundle.carboy.busybox();
        let ended = shared_root(&bundle, &format!("grep -c '{}/outside' /proc/self/mountinfo || true", root.display()));
        assert_eq!(ended.stdout, "0\nend\n", "{word}: {}", ended.stderr);
    }
}

#[test]
fn a_roots_propagation_is_seen_inside() {
    for (word, group, below) in [
        ("private", "", ""),
        ("slave", "", ""),
        ("shared", "shared", ""),
        ("rshared", "shared", "shared"),
        ("unbindable", "unbindable", ""),
        ("runbindable", "unbindable", "unbindable"),
    ] {
        let bundle = bundle(&[], "cat /proc/self/mountinfo");
        bundle.change(|config| {
            config["linux"]["rootfsPropagation"] = json!(word);
            config["linux"]["maskedPaths"] = json!([]);
            config["linux"]["readonlyPaths"] = json!([]);
        });
        let seen = |output: &str| {
            let mounts = parsed(output);
            let kind = |place: &str| match mounts[place].propagation {
                procfs::mountinfo::Propagation { shared: Some(_), .. } => "shared",
                procfs::mountinfo::Propagation { unbindable: true, .. } => "unbindable",
                _ => "",
            };
            (kind("/"), kind("/proc"))
        };
        let ours = output(&bundle);
        assert_eq!(seen(&ours), (group, below), "{word}");
        bundle.change(|config| config["linux"]["rootfsPropagation"] = json!("sideways"));
        assert!(refusal(&bundle).contains("linux.rootfsPropagation"));
    }
}

#[test]
fn a_view_takes_part_in_nothing_unless_that_is_asked() {
    let words: [(&[&str], bool); 6] = [
        (&["rbind"], false),
        (&["rbind", "rprivate"], false),
        (&["bind", "unbindable"], false),
        (&["rbind", "rslave"], true),
        (&["bind", "slave"], true),
        (&["rbind", "rshared"], true),
    ];
    let script = "touch /ready; read go; for n in 0 1 2 3 4 5; do grep -c \" /m/$n/late \" /proc/self/mountinfo; done; \
                  mount -t tmpfs back /m/5/back";
    let bundle = Bundle::new();
    let source = folder(&bundle, "source");
    folder(&bundle, "source/late");
    folder(&bundle, "source/back");
    let mounts: Vec<Value> =
        words.iter().enumerate().map(|(n, (words, _))| bind(&source, &format!("/m/{n}"), words)).collect();
    add(&bundle, &mounts, script);
    privileged(&bundle);
    let at = source.display();
    let runtime = bundle.command(&["run", "--bundle", bundle.path(), &bundle.id]);
    let words_of: Vec<&str> = runtime.get_args().map(|word| word.to_str().unwrap()).collect();
    let script = format!(
        "mount --bind {at} {at}; mount --make-shared {at}; mkfifo {0}/go; ({1} {2} < {0}/go) & exec 3> {0}/go\n\
         for try in $(seq 500); do test -e {3}/ready && break; sleep 0.01; done\n\
         mount -t tmpfs late {at}/late; echo go >&3; wait; grep -c '{at}/back' /proc/self/mountinfo",
        bundle.path(),
        runtime.get_program().to_str().unwrap(),
        words_of.join(" "),
        bundle.carboy.busybox().display(),
    );
    let ended = ended(Command::new("unshare").args(["--mount", "--propagation", "private", "sh", "-ec", &script]));
    let expected: String = words.iter().map(|(_, comes)| if *comes { "1\n" } else { "0\n" }).collect();
    assert_eq!(ended.stdout, format!("{expected}1\n"), "{}", ended.stderr);
}

#[test]
fn a_read_only_root_lies_on_any_file_system_and_its_mounts_can_be_written() {
    let bundle = bundle(
        &[tmpfs("/m", &[])],
        "! touch /x 2>/dev/null && touch /m/x && grep ' / / ' /proc/self/mountinfo | cut -d ' ' -f 6",
    );
    bundle.change(|config| config["root"]["readonly"] = json!(true));
    fs::create_dir(bundle.carboy.busybox().join("m")).unwrap();
    let ended = run(&bundle);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let root = bundle.carboy.busybox();
    let copy = format!(
        "mkdir {0}/copy; mount -t tmpfs -o mode=755 copy {0}/copy; cp -a {1}/. {0}/copy",
        bundle.path(),
        root.display()
    );
    bundle.change(|config| {
        config["root"] = json!({"path": "copy", "readonly": true});
        config["process"]["args"][2] =
            json!("! touch /x 2>/dev/null && touch /m/x && grep ' / / ' /proc/self/mountinfo");
    });
    let ended = with_mounts(&copy, &bundle);
    assert!(
        ended.code == 0 && ended.stdout.contains(" / / ro,relatime - tmpfs copy rw"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
}

#[test]
fn without_pivot_the_root_is_as_closed_and_the_hosts_kernel_files_are_not_behind_it() {
    let script =
        "ls /; grep -c ' - proc ' /proc/self/mountinfo; grep -c ' - sysfs ' /proc/self/mountinfo; exec sleep 1000";
    let bundle = bundle(&[], script);
    let log = bundle.carboy.folder().join("out");
    let mut command = bundle.command(&["create", "--no-pivot", "--bundle", bundle.path(), &bundle.id]);
    assert!(
        command.stdout(fs::File::create(&log).unwrap()).stderr(std::process::Stdio::null()).status().unwrap().success()
    );
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    let said = || fs::read_to_string(&log).unwrap();
    carboy_e2e::eventually("it has looked", || said().lines().count() > 8);
    assert!(said().contains("bin\n") && !said().contains("boot"), "{}", said());
    let pid = bundle.state()["pid"].to_string();
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let own = |kind: &str| {
        parsed(&mounts).values().filter(|mount| mount.fs_type == kind && mount.root == Path::new("/")).count()
    };
    assert_eq!((own("proc"), own("sysfs")), (1, 1), "{mounts}");
    let exec = bundle.run(&["exec", &bundle.id, "ls", "/"]);
    assert!(exec.stdout.contains("bin\n") && !exec.stdout.contains("boot"), "{}", exec.stdout);
}

#[test]
fn the_states_may_lie_on_a_tmpfs_and_the_root_on_a_mount_of_its_own() {
    let bundle = bundle(&[], "echo ran");
    let at = bundle.path();
    let script =
        format!("mkdir {at}/states; mount -t tmpfs states {at}/states; mount --bind {at}/busybox {at}/busybox");
    assert_eq!(with_mounts(&script, &bundle).stdout, "ran\n");
}
