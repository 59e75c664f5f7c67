//! What a container has changed, packed as a layer that does the same to the layers below.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use carboy_image::layer::{Changes, Compression, Packed, Remembers, pack_layer};
use carboy_image::sha256;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::archive::Archive;
use crate::shown::shown;
use crate::stack::Stack;

fn packed(upper: &Path, compression: Compression) -> (Packed, Vec<u8>) {
    packed_over(upper, None, compression)
}

fn packed_over(upper: &Path, below: Option<&Path>, compression: Compression) -> (Packed, Vec<u8>) {
    let opened = File::open(upper).unwrap();
    let below = below.map(|below| File::open(below).unwrap());
    let below = below.as_ref().map(AsFd::as_fd);
    let changes = Changes { upper: opened.as_fd(), remembers: Remembers::AsTrusted, below, owners: &|owners| owners };
    let mut layer = Vec::new();
    let packed = pack_layer(&changes, compression, &mut layer).unwrap();
    assert_eq!((packed.size, &packed.digest), (layer.len() as u64, &sha256(&layer)));
    (packed, layer)
}

/// A layer of changes has no entry for the root itself.
fn without_the_root(shown: &str) -> String {
    shown.split_once('\n').unwrap().1.to_owned()
}

/// Does to a root what containers do.
fn change(root: &Path) {
    let at = |path: &str| root.join(path);
    fs::remove_file(at("etc/passwd")).unwrap();
    fs::remove_dir_all(at("usr")).unwrap();
    fs::create_dir(at("usr")).unwrap();
    fs::write(at("usr/new"), vec![7; 100_000]).unwrap();
    fs::hard_link(at("usr/new"), at("usr/twin")).unwrap();
    fs::set_permissions(at("usr/new"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::rename(at("etc/deep/file"), at("moved")).unwrap();
    fs::remove_dir_all(at("etc/deep")).unwrap();
    symlink("new", at("usr/link")).unwrap();
    chown(at("moved"), Some(70_000), Some(3)).unwrap();
    setxattr(at("moved"), "user.note", b"kept", XattrFlags::empty()).unwrap();
    mknodat(CWD, at("disk"), FileType::BlockDevice, Mode::RUSR, makedev(8, 1)).unwrap();
    File::create(at("sparse")).unwrap().set_len(300 << 10).unwrap();
    // An archive has whole seconds.
    let mut touched = Command::new("find");
    touched.arg(root).args(["-newermt", "2026-01-01", "-exec", "touch", "-h", "-d", "@1700000001", "{}", "+"]);
    assert!(touched.status().unwrap().success());
}

#[test]
fn the_changes_of_a_container_are_the_next_layer() {
    let base = crate::base().finish();
    let stack = Stack::of_archives(vec![base.clone()]);
    let room = tempfile::tempdir_in("/var/tmp").unwrap();
    let at = |name: &str| room.path().join(name);
    ["upper", "work", "root"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
    let lower = stack.mounted().display();
    let options = format!("lowerdir={lower},upperdir={},workdir={}", at("upper").display(), at("work").display());
    let options = std::ffi::CString::new(options).unwrap();
    mount("overlay", at("root"), "overlay", MountFlags::empty(), Some(&*options)).unwrap();
    change(&at("root"));
    let expected = without_the_root(&shown(&at("root")));
    unmount(at("root"), UnmountFlags::empty()).unwrap();
    let (plain, archive) = packed(&at("upper"), Compression::Plain);
    assert_eq!((plain.diff_id.clone(), plain.bytes), (plain.digest.clone(), plain.size));
    for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        let (packed, layer) = packed(&at("upper"), compression);
        assert_eq!((&packed.diff_id, packed.bytes, packed.entries), (&plain.diff_id, plain.bytes, plain.entries));
        let again = Stack::of_archives(vec![base.clone(), layer.clone()]);
        assert_eq!(again.unpacked[1].diff_id, packed.diff_id);
        assert_eq!(without_the_root(&shown(again.mounted())), expected);
        let program = match compression {
            Compression::Plain => continue,
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        };
        fs::write(at("layer"), &layer).unwrap();
        let mut command = Command::new(program);
        let output = command.args(["-d", "-c"]).stdin(File::open(at("layer")).unwrap()).output().unwrap();
        assert!(output.stdout == archive, "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn names_that_a_layer_takes_for_removals_are_refused() {
    let room = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::create_dir(room.path().join("a")).unwrap();
    fs::write(room.path().join("a/.wh.b"), "").unwrap();
    let opened = File::open(room.path()).unwrap();
    let changes =
        Changes { upper: opened.as_fd(), remembers: Remembers::AsTrusted, below: None, owners: &|owners| owners };
    let error = pack_layer(&changes, Compression::Gzip, &mut std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("has \"a/.wh.b\", which a layer takes for the removal"), "{error}");
}

#[test]
fn a_layer_that_cannot_be_written_is_an_error() {
    let room = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut noise = vec![0; 1 << 20];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    fs::write(room.path().join("noise"), noise).unwrap();
    let opened = File::open(room.path()).unwrap();
    let changes =
        Changes { upper: opened.as_fd(), remembers: Remembers::AsTrusted, below: None, owners: &|owners| owners };
    for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        let error = pack_layer(&changes, compression, &mut full).unwrap_err();
        assert_eq!(error.errno(), Some(error::Errno::NOSPC), "{error}");
    }
}

#[test]
fn nothing_that_was_changed_is_an_empty_layer() {
    let room = tempfile::tempdir_in("/var/tmp").unwrap();
    let (packed, layer) = packed(room.path(), Compression::Gzip);
    assert_eq!((packed.entries, packed.bytes), (0, 1024));
    assert!(shown(Stack::of_archives(vec![Archive::new().file("a", "").finish(), layer]).mounted()).contains("a f"));
}

#[test]
fn the_root_itself_is_changed_where_its_mode_or_owner_is() {
    let base = Stack::of_archives(vec![Archive::new().directory("./").file("a", "").finish()]);
    let room = tempfile::tempdir_in("/var/tmp").unwrap();
    let upper = room.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o755)).unwrap();
    let (same, _) = packed_over(&upper, Some(base.mounted()), Compression::Plain);
    assert_eq!((same.entries, same.bytes), (0, 1024));
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o1711)).unwrap();
    chown(&upper, Some(70_000), Some(3)).unwrap();
    setxattr(&upper, "user.note", b"kept", XattrFlags::empty()).unwrap();
    let (packed, layer) = packed_over(&upper, Some(base.mounted()), Compression::Plain);
    assert_eq!(packed.entries, 1);
    fs::write(room.path().join("layer.tar"), &layer).unwrap();
    let listed =
        Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(room.path().join("layer.tar")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.starts_with("drwx--x--t 70000/3 ") && listed.ends_with(" ./\n"), "{listed}");
    let again = Stack::of_archives(vec![Archive::new().directory("./").file("a", "").finish(), layer]);
    let root = fs::metadata(again.mounted()).unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o1711, 70_000, 3));
    let mut note = [0_u8; 8];
    let length = rustix::fs::getxattr(again.mounted(), "user.note", &mut note[..]).unwrap();
    assert_eq!(&note[..length], b"kept");
}

#[test]
fn a_symlink_that_leads_elsewhere_by_as_many_letters_is_a_change_of_a_copy() {
    let stack = Stack::of(&["/a/b", "/a/a"].map(|target| Archive::new().symlink("l", target)));
    let [copy, changed] = stack.copied();
    assert_eq!(changed, copy);
}
