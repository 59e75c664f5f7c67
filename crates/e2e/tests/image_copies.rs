//! Images where no overlay can be had: each container has a copy of the layers as its root, and nothing of it stays behind.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carboy_e2e::disk::{Disk, Mounted, free};
use carboy_e2e::layout::Layout;
use carboy_e2e::user::User;
use carboy_e2e::{Carboy, Ended, ended, eventually, says};
use serde_json::{Value, json};

/// An overlay at a place, which cannot be the upper layer of another one.
struct Nested(PathBuf);

impl Nested {
    /// Over folders in `on`.
    fn new(on: &Path, at: &Path) -> Self {
        let folders = ["lower", "upper", "work"].map(|name| on.join(name));
        folders.iter().map(PathBuf::as_path).chain([at]).for_each(|folder| fs::create_dir_all(folder).unwrap());
        let [lower, upper, work] = folders.map(|folder| folder.display().to_string());
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        let mounted = ended(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(at));
        assert_eq!(mounted.code, 0, "{mounted:?}");
        Self(at.to_owned())
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A carboy with its state on an overlay.
struct Copying {
    _nested: Nested,
    _disk: Option<Mounted>,
    carboy: Carboy,
}

impl Copying {
    fn new() -> Self {
        Self::on(Carboy::new(), None)
    }

    /// The overlay is on a disk, if there is one.
    fn on(carboy: Carboy, disk: Option<Mounted>) -> Self {
        let nested = Nested::new(&carboy.folder().join("below"), &carboy.folder().join("root"));
        Self { _nested: nested, _disk: disk, carboy }
    }

    /// What there is of containers, half layers and copies for mounts.
    fn left(&self) -> Vec<PathBuf> {
        let root = self.carboy.folder().join("root");
        let list = |name: &str| fs::read_dir(root.join(name)).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_hidden = |path: &PathBuf| path.file_name().unwrap().as_bytes().starts_with(b".");
        let halves = list("layers").filter(is_hidden).chain(list("").filter(is_hidden));
        list("containers").chain(list("names")).chain(list("mounted")).chain(halves).collect()
    }
}

/// The containers go before the mounts.
impl Drop for Copying {
    fn drop(&mut self) {
        let _ = self.carboy.run(["image", "unmount", "--all"]);
        for id in self.carboy.run(["ps", "-aq"]).stdout.lines() {
            let _ = self.carboy.run(["rm", "-f", id]);
        }
    }
}

fn shell(folder: &Path, script: &str) {
    let ran = ended(Command::new("sh").args(["-ec", script]).current_dir(folder));
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// An archive to load: an image of busybox and three layers with everything that a layer can have.
fn archive(carboy: &Carboy) -> PathBuf {
    let from = carboy.folder().join("from");
    let folder = |name: &str| {
        let folder = from.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let mut layout = Layout::new(&carboy.folder().join("layout"));
    let base = layout.layer(&carboy.busybox());
    let (one, two, three) = (folder("1"), folder("2"), folder("3"));
    shell(
        &one,
        "mkdir -p a/gone b/opaque c/kept d; echo old > a/gone/x; echo 1 > b/opaque/1; echo 2 > b/opaque/2; echo k > c/kept/k
         echo hard > d/one; ln d/one d/two; mkfifo d/fifo; ln -s ../a/none d/link; mknod d/null c 1 3; mknod d/disk b 7 99
         echo suid > d/suid; chown 1000:29 d/suid; chmod 6755 d/suid; chmod 1777 c; chown 12:34 c/kept; : > d/empty
         printf begin > d/sparse; truncate -s 5M d/sparse; printf end >> d/sparse; echo f > file-to-folder; mkdir folder-to-file
         echo x > folder-to-file/x; cp /bin/busybox d/able; setcap cap_net_raw+ep d/able
         touch -h -d '2001-02-03 04:05:06.789 UTC' d/link d/one d/null a b c/kept; touch -d 2002-02-02 d
         printf aa > c/same; touch -d @1012608000 c/same",
    );
    rustix::fs::setxattr(one.join("d/empty"), c"user.test", b"a value", rustix::fs::XattrFlags::empty()).unwrap();
    shell(
        &two,
        "mkdir -p a b/opaque c d file-to-folder; : > a/.wh.gone; : > b/opaque/.wh..wh..opq; echo 3 > b/opaque/3
         chmod 700 b/opaque; : > d/.wh.empty; echo in > file-to-folder/in; echo now > folder-to-file; : > d/.wh.nothing
         touch -d 2003-03-03 b/opaque d a",
    );
    shell(
        &three,
        "mkdir -p b/opaque a/gone etc; echo 4 > b/opaque/4; echo again > a/gone/y; : > etc/.wh.group; chmod 751 .",
    );
    // A hard link to a file of a layer below, which only an archive can have.
    shell(&three, "mkdir d; echo hard > d/one; ln d/one d/zzz");
    let pack = "tar --sort=name --numeric-owner --sparse --xattrs --xattrs-include='*' -C";
    shell(
        &from,
        &format!("{pack} 1 -cf 1.tar .; {pack} 2 -cf 2.tar .; {pack} 3 -cf 3.tar .; tar --delete -f 3.tar ./d/one"),
    );
    let archive = |name: &str| fs::read(from.join(name)).unwrap();
    let [one, two, three] = ["1.tar", "2.tar", "3.tar"].map(|name| layout.layer_of(&archive(name)));
    let layers = [base, one, two, three];
    layout.image("example.test/all:1", &layers, &json!({"Cmd": ["sh"]}));
    let archive = carboy.folder().join("layout.tar");
    let packed = ended(Command::new("tar").arg("-C").arg(layout.folder()).arg("-cf").arg(&archive).arg("."));
    assert_eq!(packed.code, 0, "{packed:?}");
    archive
}

const IMAGE: &str = "example.test/all:1";

fn load(carboy: &Carboy, archive: &Path) -> Ended {
    let loaded = carboy.run(["load", "-q", "-i", archive.to_str().unwrap()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    loaded
}

/// Each file of a tree by its path: kind, mode, owner, times, size, blocks, other names, content and attributes.
fn shown(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut linked: BTreeMap<(u64, u64), String> = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    let mut entries = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            entries.push(entry.path());
        }
    }
    entries.sort();
    for path in entries {
        let found = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let kind = found.file_type();
        let (mode, owner) = (found.permissions().mode(), (found.uid(), found.gid()));
        let mut line = format!("{mode:o} {owner:?} {}.{}", found.mtime(), found.mtime_nsec());
        if kind.is_file() {
            let content = fs::read(&path).unwrap();
            let sum = content.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            let is_sparse = found.blocks() * 512 < found.len();
            let first = linked.entry((found.dev(), found.ino())).or_insert_with(|| name.clone());
            line += &format!(" {} {sum:x} sparse {is_sparse} file {first}", found.len());
        } else if kind.is_symlink() {
            line += &format!(" -> {}", fs::read_link(&path).unwrap().display());
        } else if kind.is_block_device() || kind.is_char_device() {
            line += &format!(" device {:x}", found.rdev());
        }
        for attribute in ["user.test", "security.capability"] {
            let mut value = [0; 64];
            if let Ok(length) = rustix::fs::lgetxattr(&path, attribute, &mut value) {
                line += &format!(" {attribute}={:?}", &value[..length]);
            }
        }
        all.insert(name, line);
    }
    all
}

/// What two trees show of a path, where that is not the same.
fn differing(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differing = paths.into_iter().filter(|path| one.get(*path) != other.get(*path));
    differing.map(|path| format!("{path}: {:?} {:?}", one.get(path), other.get(path))).collect()
}

#[test]
fn a_copied_root_has_file_by_file_what_an_overlay_of_the_same_image_shows() {
    let (usual, copying) = (Carboy::new(), Copying::new());
    let archive = archive(&usual);
    assert_eq!(load(&usual, &archive).stderr, "");
    let told = load(&copying.carboy, &archive).stderr;
    let root = copying.carboy.folder().join("root").display().to_string();
    assert!(told.starts_with(&format!("carboy: overlay cannot be had in {root}: its file system cannot")), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    let point = |carboy: &Carboy| PathBuf::from(says(carboy, &["image", "mount", IMAGE]).trim_end());
    let mut expected = shown(&point(&usual));
    says(&usual, &["image", "unmount", IMAGE]);
    for (path, part) in [("d/zzz", "file d/one"), ("d/sparse", "sparse true"), ("d/able", "security.capability")] {
        assert!(expected[path].contains(part), "{path} {}", expected[path]);
    }
    for gone in ["a/gone/x", "b/opaque/1", "d/empty", "folder-to-file/x", "etc/group"] {
        assert!(!expected.contains_key(gone), "{gone}");
    }
    // An overlay takes a file up alone when a layer has another link to it; in a copy it keeps its other names.
    let two = expected.get_mut("d/two").unwrap();
    assert!(two.ends_with("file d/two"), "{two}");
    *two = two.replace("file d/two", "file d/one");
    let carboy = &copying.carboy;
    // Nobody is told twice.
    let mounted = carboy.run(["image", "mount", IMAGE]);
    assert_eq!((mounted.code, mounted.stderr.as_str()), (0, ""), "{mounted:?}");
    let mounted = PathBuf::from(mounted.stdout.trim_end());
    assert_eq!(differing(&shown(&mounted), &expected), Vec::<String>::new(), "a mounted image");
    assert!(fs::write(mounted.join("new"), "").is_err());
    let id = says(carboy, &["create", IMAGE]);
    let copy = carboy.folder().join("root/containers").join(id.trim_end()).join("upper");
    assert_eq!(differing(&shown(&copy), &expected), Vec::<String>::new(), "the root of a container");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o7777, 0o751);
    assert_eq!(says(carboy, &["diff", id.trim_end()]), "");
    says(carboy, &["rm", id.trim_end()]);
    says(carboy, &["image", "unmount", IMAGE]);
    assert!(!mounted.exists());
    assert_eq!(copying.left(), Vec::<PathBuf>::new());
    assert_eq!(says(carboy, &["system", "check"]), "");
}

#[test]
fn a_container_with_a_copied_root_lives_as_every_other_and_leaves_nothing() {
    let (usual, copying) = (Carboy::new(), Copying::new());
    let archive = archive(&usual);
    let carboy = &copying.carboy;
    load(&usual, &archive);
    load(carboy, &archive);
    let script = "rm -r /b; echo more >> /d/one; mkdir /new; echo n > /new/file; chmod 700 /c; printf bb > /c/same; touch -d @1012608000 /c/same; ln -s x /new/link; rm /bin/ash";
    for one in [&usual, carboy] {
        assert_eq!(says(one, &["run", "--rm", IMAGE, "cat", "/a/gone/y"]), "again\n");
        says(
            one,
            &["create", "--name", "box", IMAGE, "sh", "-c", &format!("test -d /new || {{ {script}; }}; cat /new/file")],
        );
        assert_eq!(says(one, &["start", "-a", "box"]), "n\n");
        // What it wrote is there when it starts again.
        assert_eq!(says(one, &["start", "-a", "box"]), "n\n");
    }
    // An overlay's own notes tell of the other names of a file where nothing has changed.
    let changes = |carboy: &Carboy| -> Vec<String> {
        says(carboy, &["diff", "box"]).lines().map(str::to_owned).filter(|line| !line.contains("/d/")).collect()
    };
    assert_eq!(changes(carboy), changes(&usual));
    assert!(says(carboy, &["diff", "box"]).contains("C /d/one\n"));
    let found = carboy.inspect("box");
    assert_eq!(found["Driver"], "vfs");
    assert_eq!(found["GraphDriver"], json!({"Name": "vfs", "Data": null}));
    assert_eq!(usual.inspect("box")["Driver"], "overlay");
    let image: Value = serde_json::from_str(&says(carboy, &["image", "inspect", IMAGE])).unwrap();
    assert_eq!(image[0]["GraphDriver"]["Name"], "vfs");
    let size = says(carboy, &["ps", "-as", "--format", "{{.Size}}"]);
    assert!(size.starts_with("14B (virtual "), "{size}");
    // Whatever the names of one file are, what is packed is read as the same.
    says(carboy, &["commit", "box", "example.test/more:1"]);
    let script = "cat /d/one /new/file /c/same; echo; readlink /new/link; ls -d /b /bin/ash 2>&1; stat -c %a /c";
    let read = says(carboy, &["run", "--rm", "example.test/more:1", "sh", "-c", script]);
    assert!(read.starts_with("hard\nmore\nn\nbb\nx\nls: ") && read.ends_with("\n700\n"), "{read}");
    assert_eq!(read.lines().filter(|line| line.contains("No such file")).count(), 2, "{read}");
    let file = carboy.folder().join("file");
    fs::write(&file, "from the host").unwrap();
    says(carboy, &["cp", file.to_str().unwrap(), "box:/new/copied"]);
    says(carboy, &["cp", "box:/new/copied", carboy.folder().join("back").to_str().unwrap()]);
    assert_eq!(fs::read_to_string(carboy.folder().join("back")).unwrap(), "from the host");
    let names = |carboy: &Carboy| -> Vec<String> {
        let exported = carboy.folder().join("exported.tar");
        says(carboy, &["export", "-o", exported.to_str().unwrap(), "box"]);
        let listed = ended(Command::new("tar").arg("-tf").arg(&exported));
        listed.stdout.lines().filter(|name| *name != "new/copied").map(str::to_owned).collect()
    };
    assert_eq!(names(carboy), names(&usual));
    says(carboy, &["run", "--rm", "-v", "filled:/d", IMAGE, "test", "-s", "/d/sparse"]);
    says(carboy, &["rm", "box"]);
    assert_eq!(copying.left(), Vec::<PathBuf>::new());
    let host = carboy.run(["run", "--rm", "host", "true"]);
    assert_eq!(host.code, 125, "{host:?}");
    assert!(
        host.stderr.contains("cannot use the root host: would be copied whole: overlay cannot be had in"),
        "{host:?}"
    );
    assert!(host.stderr.ends_with("hint: keep carboy's data on ext4, XFS, btrfs or tmpfs by --root\n"), "{host:?}");
    assert_eq!(copying.left(), Vec::<PathBuf>::new());
}

/// An image with so many bytes that no file system makes less of.
fn load_large(carboy: &Carboy, bytes: u32) {
    let noise: Vec<u8> = (0..bytes / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut layout = Layout::new(&carboy.folder().join("large"));
    let layers = [layout.layer(&carboy.busybox()), layout.file("srv/noise", &noise)];
    layout.image("example.test/large:1", &layers, &json!({}));
    let archive = carboy.folder().join("large.tar");
    let packed = ended(Command::new("tar").arg("-C").arg(layout.folder()).arg("-cf").arg(&archive).arg("."));
    assert_eq!(packed.code, 0, "{packed:?}");
    load(carboy, &archive);
}

const LARGE: &str = "example.test/large:1";

#[test]
fn who_is_killed_while_layers_are_copied_leaves_nothing_after_the_next_command() {
    let copying = Copying::new();
    let carboy = &copying.carboy;
    load_large(carboy, 60_000_000);
    let half = |copying: &Copying| -> bool {
        copying.left().iter().any(|path| path.join("half").exists() || path.join("files/srv/noise").exists())
    };
    for words in [["create", "--name=box", LARGE], ["image", "mount", LARGE]] {
        let mut killed = 0;
        for _ in 0..20 {
            let mut child = carboy.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let began = Instant::now();
            while !half(&copying) && child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(20) {}
            child.kill().unwrap();
            killed += i32::from(!child.wait().unwrap().success());
            if words[0] == "create" {
                says(carboy, &["ps", "-a"]);
            } else {
                says(carboy, &["image", "unmount", "--all"]);
                says(carboy, &["image", "prune", "-f"]);
            }
            let _ = carboy.run(["rm", "box"]);
            eventually("nothing is left", || copying.left().is_empty());
        }
        assert!(killed > 0, "{words:?} is killed in the middle");
    }
    assert_eq!(says(carboy, &["system", "check"]), "");
    assert_eq!(says(carboy, &["run", "--rm", LARGE, "wc", "-c", "/srv/noise"]), "60000000 /srv/noise\n");
}

#[test]
fn a_copy_that_the_disk_has_no_room_for_is_refused_and_leaves_nothing() {
    let carboy = Carboy::new();
    let disk = Disk::formatted(&carboy, "ext4", 128 << 20).mount(&carboy.folder().join("below"));
    let copying = Copying::on(carboy, Some(disk));
    let carboy = &copying.carboy;
    load_large(carboy, 40_000_000);
    for words in [&["run", "--rm", LARGE, "true"][..], &["create", LARGE], &["image", "mount", LARGE]] {
        let refused = carboy.run(words);
        assert!(refused.code == 125 || refused.code == 1, "{refused:?}");
        assert!(refused.stderr.contains("No space left on device"), "{refused:?}");
        assert!(refused.stderr.contains("hint: free space"), "{refused:?}");
        assert_eq!(copying.left(), Vec::<PathBuf>::new(), "{words:?}");
    }
}

#[test]
fn a_commit_that_the_disk_has_no_room_for_is_refused_and_leaves_nothing() {
    let carboy = Carboy::new();
    let root = carboy.folder().join("root");
    let mounted = Disk::formatted(&carboy, "ext4", 96 << 20).mount(&root);
    load_large(&carboy, 4_000_000);
    // What gzip cannot make less of.
    says(&carboy, &["run", "--name", "box", LARGE, "sh", "-c", "head -c 50000000 /dev/urandom > /big"]);
    let before = shown(&root.join("content"));
    let refused = carboy.run(["commit", "box", "example.test/big:1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("No space left on device"), "{refused:?}");
    let names = |all: BTreeMap<String, String>| -> Vec<String> { all.into_keys().collect() };
    assert_eq!(names(shown(&root.join("content"))), names(before));
    assert_eq!(says(&carboy, &["images", "-q", "example.test/big:1"]), "");
    assert_eq!(says(&carboy, &["system", "check"]), "");
    says(&carboy, &["rm", "box"]);
    drop(mounted);
}

#[test]
fn a_copied_root_shares_its_blocks_with_the_layers_where_the_file_system_can_do_so() {
    for (kind, shares) in [("xfs", true), ("ext4", false)] {
        let carboy = Carboy::new();
        let root = carboy.folder().join("root");
        let mounted = Disk::formatted(&carboy, kind, 320 << 20).mount(&root);
        // As a kernel without overlay has left it.
        symlink("vfs: this kernel has no overlay file system", root.join("driver")).unwrap();
        load_large(&carboy, 32_000_000);
        let before = free(&root);
        let script = "echo changed >> /srv/noise; wc -c < /srv/noise";
        assert_eq!(says(&carboy, &["run", "--name", "box", LARGE, "sh", "-c", script]), "32000008\n");
        let taken = before.saturating_sub(free(&root));
        assert_eq!(taken < 8 << 20, shares, "{kind}: {taken} bytes were taken");
        assert_eq!(says(&carboy, &["run", "--rm", LARGE, "sh", "-c", "wc -c < /srv/noise"]), "32000000\n");
        assert_eq!(carboy.inspect("box")["Driver"], "vfs");
        says(&carboy, &["rm", "box"]);
        drop(mounted);
    }
}

/// A file system in memory that knows no extended attributes.
struct Ramfs(PathBuf);

impl Drop for Ramfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_file_system_without_attributes_has_copies_in_which_what_layers_remove_is_gone() {
    let carboy = Carboy::new();
    let root = carboy.folder().join("root");
    fs::create_dir(&root).unwrap();
    let mounted = ended(Command::new("mount").args(["-t", "ramfs", "ramfs"]).arg(&root));
    assert_eq!(mounted.code, 0, "{mounted:?}");
    let _mounted = Ramfs(root.clone());
    let archive = archive(&carboy);
    let told = load(&carboy, &archive).stderr;
    assert!(told.contains("its file system holds no extended attributes. Each container gets a copy"), "{told}");
    let script = "ls /b/opaque /a/gone; test -e /d/empty || echo gone; rm -r /b; mkdir /b; echo new > /b/new";
    let said = says(&carboy, &["run", "--name", "box", IMAGE, "sh", "-c", script]);
    assert_eq!(said, "/a/gone:\ny\n\n/b/opaque:\n3\n4\ngone\n");
    assert_eq!(says(&carboy, &["diff", "box"]), "C /b\nA /b/new\nD /b/opaque\n");
    says(&carboy, &["rm", "box"]);
    assert_eq!(says(&carboy, &["system", "check"]), "");
}

#[test]
fn data_that_was_moved_to_where_no_overlay_can_be_had_is_told_of_and_repaired() {
    let copying = Copying::new();
    let carboy = &copying.carboy;
    let (busybox, root) = (carboy.busybox().display().to_string(), carboy.folder().join("root"));
    symlink("overlay", root.join("driver")).unwrap();
    let refused = carboy.run(["run", "--rm", &busybox, "true"]);
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.stderr.contains("carboy system check --repair"), "{refused:?}");
    let checked = carboy.run(["system", "check"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.stdout.starts_with("no root can be an overlay here: its file system cannot take"), "{checked:?}");
    let repaired = says(carboy, &["system", "check", "--repair"]);
    assert!(repaired.ends_with("NFS cannot: new containers get copies of their images\n"), "{repaired}");
    assert_eq!(says(carboy, &["system", "check"]), "");
    assert_eq!(says(carboy, &["run", "--rm", &busybox, "echo", "runs"]), "runs\n");
    assert_eq!(copying.left(), Vec::<PathBuf>::new());
}

#[test]
fn a_user_whose_home_takes_no_overlay_has_copies_too() {
    let user = User::new(61_517);
    let home = user.place.folder().join("home");
    let _nested = Nested::new(&user.place.folder().join("below"), &home);
    chown(&home, Some(user.uid), Some(user.gid)).unwrap();
    let script = "id -u; echo changed >> /etc/group; tail -n 1 /etc/group; rm /etc/passwd";
    let words = ["run", "--network", "none", "--name", "box", user.root(), "sh", "-c", script];
    let ran = user.run(&words);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "0\nchanged\n"), "{ran:?}");
    assert!(ran.stderr.contains("Each container gets a copy of its image there"), "{ran:?}");
    let changed = user.run(&["diff", "box"]);
    assert_eq!((changed.code, changed.stderr.as_str()), (0, ""), "{changed:?}");
    assert_eq!(changed.stdout, "C /etc\nC /etc/group\nD /etc/passwd\n");
    assert_eq!(user.run(&["rm", "box"]).code, 0);
}
