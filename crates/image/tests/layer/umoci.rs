//! Layers as umoci unpacks them, entry by entry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use carboy_image::sha256;

use crate::archive::{Archive, Raw, raw};
use crate::shown::shown;
use crate::stack::{Stack, gzip};

/// Writes an OCI layout of one image with these layers.
fn layout(folder: &Path, archives: &[Vec<u8>]) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let digest = sha256(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        let (kind, size) = (format!("application/vnd.oci.image.{kind}"), bytes.len());
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
    };
    let layers: Vec<String> = archives.iter().map(|archive| put("layer.v1.tar+gzip", &gzip(archive))).collect();
    let ids: Vec<String> = archives.iter().map(|archive| format!(r#""{}""#, sha256(archive))).collect();
    let ids = ids.join(",");
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#
    );
    let config = put("config.v1+json", config.as_bytes());
    let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","));
    let manifest = put("manifest.v1+json", manifest.as_bytes());
    let named =
        manifest.replace(r#","digest""#, r#","annotations":{"org.opencontainers.image.ref.name":"it"},"digest""#);
    fs::write(folder.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{named}]}}"#)).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn unpacked(folder: &Path, archives: &[Vec<u8>]) -> PathBuf {
    layout(&folder.join("layout"), archives);
    let mut umoci = Command::new("umoci");
    umoci
        .arg("unpack")
        .arg("--image")
        .arg(format!("{}:it", folder.join("layout").display()))
        .arg(folder.join("bundle"));
    let output = umoci.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("bundle/rootfs")
}

/// One of everything that a layer can have.
fn base() -> Archive {
    let long = format!("long/{}", "n".repeat(180));
    Archive::new()
        .add(Raw { mode: 0o755, mtime: 1_650_000_000, ..raw(b'5', "./") })
        .add(Raw { mode: 0o1777, mtime: 1_600_000_000, ..raw(b'5', "tmp") })
        .add(Raw { mode: 0o2775, uid: 5, gid: 60_000, ..raw(b'5', "srv") })
        .add(Raw { mode: 0o6755, content: b"program", ..raw(b'0', "srv/setuid") })
        .pax(&[("mtime", b"1500000000.987654321"), ("SCHILY.xattr.user.note", b"line\none")])
        .file("srv/exact", "x")
        .pax(&[("SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0")])
        .file("srv/ping", "ping")
        .pax(&[("uid", b"3000000000"), ("gid", b"70000"), ("path", long.as_bytes())])
        .file("short", "long")
        .hard_link("srv/twin", "srv/exact")
        .symlink("link", "../../etc/passwd")
        .device(b'3', "null", (1, 3))
        .device(b'4', "disk", (8, 17))
        .device(b'6', "pipe", (0, 0))
        .directory("gone")
        .file("gone/in", "x")
        .directory("emptied")
        .file("emptied/in", "x")
        .file("srv/removed", "x")
        .directory("lib64")
        .symlink("lib", "lib64")
        .file("lib64/so", "so")
}

#[test]
fn umoci_unpacks_the_same_tree() {
    let layers = [
        base(),
        Archive::new()
            .file(".wh.gone", "")
            .directory("emptied")
            .file("emptied/.wh..wh..opq", "")
            .file("emptied/new", "new")
            .file("srv/.wh.removed", "")
            .file("srv/new", "new")
            // An overlay copies a file up without its other names, so this one has none.
            .hard_link("srv/second", "srv/ping"),
        Archive::new().file("lib/through", "a link of a layer below").file("implied/dir/file", "x"),
        Archive::new()
            .add(Raw { mode: 0o700, uid: 9, ..raw(b'5', "srv") })
            .file("srv/new", "newer")
            .symlink("implied/link", "dir")
            .file("lib/.wh.so", ""),
    ];
    let archives: Vec<_> = layers.into_iter().map(Archive::finish).collect();
    let room = tempfile::tempdir_in("/var/tmp").unwrap();
    let theirs = shown(&unpacked(room.path(), &archives));
    let stack = Stack::of_archives(archives);
    // Its root has the time of its last change.
    let ours = shown(stack.mounted()).replacen(" 1650000000.000000000", "", 1);
    assert_eq!(ours, theirs, "{:?}", stack.settled);
}
