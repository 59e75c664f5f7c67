//! Images in places that are no registries, in and out, beside skopeo and Docker's daemon.

use std::fs;
use std::path::Path;
use std::process::Command;

use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::layout::Layout;
use carboy_e2e::{Carboy, ended, says};
use serde_json::{Value, json};

/// A layout with two images: `app:1` of busybox and a note, and another.
fn layout(carboy: &Carboy) -> (Layout, String) {
    let mut layout = Layout::new(&carboy.folder().join("layout"));
    let base = layout.layer(&carboy.busybox());
    let note = layout.file("srv/note", b"a note\n");
    layout.image("other", std::slice::from_ref(&base), &json!({}));
    let digest = layout.image("app:1", &[base, note], &json!({"Cmd": ["cat", "/srv/note"]}));
    (layout, digest)
}

fn copied(from: &str, to: &str) {
    let copied = ended(Command::new("skopeo").args(["copy", "--quiet", from, to]));
    assert_eq!(copied.code, 0, "{copied:?}");
}

fn digest(of: &str) -> String {
    let told = ended(Command::new("skopeo").args(["inspect", "--no-tags", "--format", "{{.Digest}}", of]));
    assert_eq!(told.code, 0, "{told:?}");
    told.stdout.trim_end().to_owned()
}

/// The names and the bytes of all files below a folder.
fn files(folder: &Path) -> String {
    let listed = ended(Command::new("sh").args(["-c", "find . -type f | sort | xargs sha256sum"]).current_dir(folder));
    listed.stdout
}

#[test]
fn what_skopeo_writes_is_read_and_the_reverse_with_the_same_digests() {
    let carboy = Carboy::new();
    let (layout, manifest) = layout(&carboy);
    let place = |kind: &str, name: &str| format!("{kind}:{}/{name}", carboy.folder().display());
    let source = format!("oci:{}:app:1", layout.folder().display());
    for kind in ["dir", "oci-archive", "docker-archive"] {
        copied(&source, &place(kind, &format!("by-skopeo-{kind}")));
    }
    let id = says(&carboy, &["pull", "-q", &place("dir", "by-skopeo-dir")]);
    assert!(id.starts_with("sha256:"), "{id}");
    for from in [
        source.clone(),
        place("oci-archive", "by-skopeo-oci-archive"),
        place("docker-archive", "by-skopeo-docker-archive"),
    ] {
        says(&carboy, &["pull", "-q", &from]);
        assert_eq!(carboy.run(["run", "--rm", &from]).stdout, "a note\n", "{from}");
        assert_eq!(format!("{}\n", says(&carboy, &["images", "-q", "--no-trunc"]).trim_end()), id);
    }
    // And back.
    for to in ["oci:by-carboy-oci:app:1", "oci-archive:by-carboy-oci.tar:app:1", "dir:by-carboy-dir"] {
        let to = to.replacen(':', &format!(":{}/", carboy.folder().display()), 1);
        let sent = says(&carboy, &["push", id.trim_end(), &to]);
        assert!(sent.contains(&manifest), "{sent}");
        assert_eq!(digest(&to), manifest, "{to}");
    }
    assert_eq!(files(&carboy.folder().join("by-carboy-dir")), files(&carboy.folder().join("by-skopeo-dir")));
    says(&carboy, &["push", "-q", id.trim_end(), &place("docker-archive", "by-carboy.tar:app:2")]);
    copied(&place("docker-archive", "by-carboy.tar:app:2"), &place("dir", "again"));
}

#[test]
fn save_writes_podmans_forms_and_load_reads_folders() {
    let carboy = Carboy::new();
    let (layout, manifest) = layout(&carboy);
    let loaded = says(&carboy, &["load", "-i", layout.folder().to_str().unwrap()]);
    assert!(loaded.contains("Loaded image: app:1\n") && loaded.contains("Loaded image ID: sha256:"), "{loaded}");
    for (form, read_as) in [("oci-dir", "oci"), ("docker-dir", "dir"), ("oci-archive", "oci-archive")] {
        let path = carboy.folder().join(form);
        let path = path.to_str().unwrap();
        says(&carboy, &["save", "--format", form, "-o", path, "app:1"]);
        assert_eq!(digest(&format!("{read_as}:{path}")), manifest, "{form}");
        says(&carboy, &["rmi", "app:1"]);
        let loaded = says(&carboy, &["load", "-i", path]);
        if form == "docker-dir" {
            says(&carboy, &["tag", loaded.trim_end().trim_start_matches("Loaded image ID: "), "app:1"]);
        } else {
            assert_eq!(loaded, "Loaded image: app:1\n");
        }
    }
    // A layout that is there gets one more.
    says(&carboy, &["tag", "app:1", "app:2"]);
    let folder = carboy.folder().join("oci-dir");
    for _ in 0..2 {
        says(&carboy, &["save", "--format", "oci-dir", "-o", folder.to_str().unwrap(), "app:2"]);
    }
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2, "{index}");
    let unclear = carboy.run(["pull", &format!("oci:{}", folder.display())]);
    assert!(unclear.code == 1 && unclear.stderr.contains("holds 2 images"), "{unclear:?}");
}

#[test]
fn a_damaged_blob_in_a_folder_is_refused_and_leaves_nothing() {
    let carboy = Carboy::new();
    let (layout, _) = layout(&carboy);
    let blobs = layout.folder().join("blobs/sha256");
    let largest = fs::read_dir(&blobs).unwrap().map(|blob| blob.unwrap().path());
    let largest = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let refused = carboy.run(["pull", &format!("oci:{}:app:1", layout.folder().display())]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("is not what was sent for it"), "{refused:?}");
    assert_eq!(says(&carboy, &["images", "-q"]), "");
    assert_eq!(says(&carboy, &["system", "check"]), "");
    let missing = carboy.run(["pull", &format!("oci:{}:nothing", layout.folder().display())]);
    assert!(missing.stderr.contains("its images are called app:1, other"), "{missing:?}");
}

#[test]
fn images_go_to_dockers_daemon_and_come_from_it() {
    let carboy = Carboy::new();
    let (layout, _) = layout(&carboy);
    let docker = Docker::configured(NO_NETWORKS);
    let run = |words: &[&str]| {
        let ended = ended(carboy.command(words).env("DOCKER_HOST", format!("unix://{}", docker.socket())));
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout
    };
    let id = run(&["pull", "-q", &format!("oci:{}:app:1", layout.folder().display())]);
    assert_eq!(id, "docker.io/library/app:1\n");
    run(&["push", "app:1", "docker-daemon:example.com/app:2"]);
    assert_eq!(docker.told(&["run", "--rm", "--network", "none", "example.com/app:2"]), "a note");
    docker.told(&["tag", "example.com/app:2", "example.com/app:3"]);
    assert_eq!(run(&["pull", "-q", "docker-daemon:example.com/app:3"]), "example.com/app:3\n");
    assert_eq!(run(&["run", "--rm", "docker-daemon:example.com/app:3"]), "a note\n");
    let missing = ended(
        carboy.command(["pull", "docker-daemon:nothing"]).env("DOCKER_HOST", format!("unix://{}", docker.socket())),
    );
    assert!(missing.code == 1 && missing.stderr.contains("nothing"), "{missing:?}");
}
