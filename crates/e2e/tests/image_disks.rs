//! Images on disks of their own: what there is after a power cut, and what shares blocks.

use std::fs;
use std::path::Path;
use std::process::Command;

use carboy_e2e::disk::{Disk, free};
use carboy_e2e::shelf::Shelf;
use carboy_e2e::{ended, says};
use serde_json::json;

/// What the disk has when the power goes, and nothing of what the kernel was still to write.
fn cut(disk: &Disk, to: &Path) {
    let copied = ended(Command::new("cp").args(["--sparse=always"]).arg(disk.file()).arg(to));
    assert_eq!(copied.code, 0, "{copied:?}");
}

#[test]
fn a_power_cut_right_after_a_pull_leaves_an_image_that_is_whole() {
    let mut shelf = Shelf::new();
    let noise: Vec<u8> = (0..2_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let files: Vec<_> = (0..3).map(|at| shelf.layout.file(&format!("srv/{at}"), &noise)).collect();
    let name = shelf.offer("noise:1", &files, &json!({"Cmd": ["sh", "-c", "cat /srv/* | wc -c"]}));
    let (carboy, root) = (&shelf.carboy, shelf.root());
    let mounted = Disk::formatted(carboy, "ext4", 128 << 20).mount(&root);
    says(carboy, &["pull", "-q", &name]);
    let after = carboy.folder().join("after");
    cut(mounted.disk(), &after);
    drop(mounted);
    let mounted = Disk::over(after).mount(&root);
    assert_eq!(says(carboy, &["system", "check"]), "");
    assert_eq!(says(carboy, &["run", "--rm", "--pull", "never", &name]), "24000000\n");
    // A layer that lost its end is told of, taken away, and comes again.
    let layers = fs::read_dir(root.join("layers")).unwrap().map(|layer| layer.unwrap().path().join("files/srv/1"));
    let file = layers.into_iter().find(|file| file.exists()).unwrap();
    fs::write(&file, "").unwrap();
    let checked = carboy.run(["system", "check"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.stdout.ends_with(" does not hold what was unpacked into it\n"), "{checked:?}");
    let repaired = says(carboy, &["system", "check", "--repair"]);
    assert!(repaired.ends_with("unpacked into it: removed, the next pull brings it again\n"), "{repaired}");
    says(carboy, &["pull", "-q", &name]);
    assert_eq!(says(carboy, &["system", "check"]), "");
    assert_eq!(says(carboy, &["run", "--rm", &name]), "24000000\n");
    drop(mounted);
}

#[test]
fn a_volume_that_is_filled_from_an_image_shares_its_blocks_where_the_file_system_can_do_so() {
    let mut shelf = Shelf::new();
    let noise: Vec<u8> = (0..4_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let files = [shelf.layout.file("srv/data/lower", &noise), shelf.layout.file("srv/data/upper", &noise)];
    let command = ["sh", "-c", "cat /srv/data/* | md5sum; echo changed > /srv/data/lower"];
    let name = shelf.offer("noise:1", &files, &json!({"Cmd": command}));
    let (carboy, root) = (&shelf.carboy, shelf.root());
    let expected = ended(Command::new("sh").args(["-c", "cat \"$0\" \"$0\" | md5sum"]).arg({
        let file = carboy.folder().join("noise");
        fs::write(&file, &noise).unwrap();
        file
    }));
    for (kind, shares) in [("xfs", true), ("ext4", false)] {
        let mounted = Disk::formatted(carboy, kind, 320 << 20).mount(&root);
        says(carboy, &["pull", "-q", &name]);
        let before = free(&root);
        says(carboy, &["create", "--name", "made", "-v", "data:/srv/data", &name]);
        assert_eq!(says(carboy, &["start", "-a", "made"]), expected.stdout, "{kind}");
        let taken = before.saturating_sub(free(&root));
        assert_eq!(taken < 8 << 20, shares, "{kind}: {taken} bytes were taken");
        // What was changed in the volume is the volume's alone.
        let read = says(carboy, &["run", "--rm", &name, "sh", "-c", "cat /srv/data/* | md5sum"]);
        assert_eq!(read, expected.stdout, "{kind}");
        says(carboy, &["rm", "-v", "made"]);
        says(carboy, &["volume", "rm", "data"]);
        drop(mounted);
        fs::remove_file(carboy.folder().join(format!("disk.{kind}"))).unwrap();
    }
}

#[test]
fn a_file_system_that_cannot_hold_changes_is_named_with_what_to_do() {
    let shelf = Shelf::new();
    let carboy = &shelf.carboy;
    let at = |name: &str| carboy.folder().join(name).display().to_string();
    let busybox = carboy.busybox().display().to_string();
    ["lower", "upper", "work", "root"].iter().for_each(|name| fs::create_dir_all(at(name)).unwrap());
    // What carboy keeps was moved there from a file system that could.
    std::os::unix::fs::symlink("overlay", format!("{}/driver", at("lower"))).unwrap();
    let options = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    let script = "mount -t overlay overlay -o \"$1\" \"$2\" && shift 2 && exec \"$@\"";
    let command = carboy.command(["run", "--rm", &busybox, "true"]);
    let mut within = Command::new("unshare");
    within.args(["--mount", "sh", "-c", script, "sh", &options, &at("root")]);
    let refused = ended(within.arg(command.get_program()).args(command.get_args()));
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.stderr.contains("as the overlay's upperdir"), "{refused:?}");
    assert!(refused.stderr.ends_with("keep carboy's data on ext4, XFS, btrfs or tmpfs by --root\n"), "{refused:?}");
}
