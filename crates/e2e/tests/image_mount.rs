//! Images that are mounted on the host to be looked at: what is there, how often, and what removes them meanwhile.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use carboy_e2e::layout::Layout;
use carboy_e2e::{Carboy, ended, says};
use serde_json::{Value, json};

/// Images of one layer and of three.
fn images() -> Carboy {
    let carboy = Carboy::new();
    let mut layout = Layout::new(&carboy.folder().join("layout"));
    let one = layout.file("etc/motd", b"first\n");
    let two = layout.file("srv/note", b"second\n");
    let removal = layout.file("etc/.wh.motd", b"");
    layout.image("example.test/small:1", std::slice::from_ref(&one), &json!({}));
    layout.image("example.test/large:1", &[one, two, removal], &json!({}));
    let archive = carboy.folder().join("layout.tar");
    let packed = ended(Command::new("tar").arg("-C").arg(layout.folder()).arg("-cf").arg(&archive).arg("."));
    assert_eq!(packed.code, 0, "{packed:?}");
    says(&carboy, &["load", "-i", archive.to_str().unwrap()]);
    carboy
}

fn mounted(carboy: &Carboy, image: &str) -> PathBuf {
    PathBuf::from(says(carboy, &["image", "mount", image]).trim_end())
}

fn refused(carboy: &Carboy, words: &[&str], why: &str) {
    let ended = carboy.run(words);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains(why), "{ended:?}");
}

#[test]
fn a_mounted_image_shows_its_files_and_takes_no_changes() {
    let carboy = images();
    let (small, large) = (mounted(&carboy, "example.test/small:1"), mounted(&carboy, "example.test/large:1"));
    assert_eq!(fs::read_to_string(small.join("etc/motd")).unwrap(), "first\n");
    assert!(fs::write(small.join("new"), "").is_err());
    assert!(!large.join("etc/motd").exists(), "the third layer removes it");
    assert_eq!(fs::read_to_string(large.join("srv/note")).unwrap(), "second\n");
    let listed = says(&carboy, &["image", "mount"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let listed: Value = serde_json::from_str(&says(&carboy, &["image", "mount", "--format", "json"])).unwrap();
    let points: Vec<&str> = listed.as_array().unwrap().iter().map(|one| one["mountpoint"].as_str().unwrap()).collect();
    assert!(points.contains(&small.to_str().unwrap()) && points.contains(&large.to_str().unwrap()), "{listed}");
    // Twice mounted is twice unmounted.
    assert_eq!(mounted(&carboy, "example.test/small:1"), small);
    says(&carboy, &["image", "unmount", "example.test/small:1"]);
    assert!(small.join("etc/motd").exists());
    says(&carboy, &["image", "unmount", "example.test/small:1"]);
    assert!(!small.exists());
    refused(&carboy, &["image", "unmount", "example.test/small:1"], "is not mounted");
    says(&carboy, &["image", "umount", "--all"]);
    assert_eq!(says(&carboy, &["image", "mount"]), "");
    assert!(carboy.left_behind().is_empty(), "{:?}", carboy.left_behind());
}

#[test]
fn a_mounted_image_is_removed_by_force_alone_and_forgotten_with_its_mount() {
    let carboy = images();
    let small = mounted(&carboy, "example.test/small:1");
    refused(&carboy, &["rmi", "example.test/small:1"], "is mounted at");
    assert!(says(&carboy, &["image", "prune", "-a", "-f"]).contains("example.test/large:1"));
    assert_eq!(says(&carboy, &["images", "--format", "{{.Repository}}"]), "example.test/small\n");
    assert_eq!(fs::read_to_string(small.join("etc/motd")).unwrap(), "first\n");
    assert_eq!(says(&carboy, &["system", "check"]), "");
    // What a restart of the host leaves of a mount: its folders.
    let gone = |path: &Path| ended(Command::new("umount").arg(path)).code == 0;
    assert!(gone(&small));
    assert_eq!(says(&carboy, &["image", "mount"]), "");
    assert!(!small.exists());
    assert_eq!(mounted(&carboy, "example.test/small:1"), small);
    let removed = says(&carboy, &["rmi", "-f", "example.test/small:1"]);
    assert!(removed.contains("Deleted: sha256:"), "{removed}");
    assert!(!small.exists() && carboy.left_behind().is_empty(), "{:?}", carboy.left_behind());
}
