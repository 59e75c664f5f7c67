//! Images: pulled from Debian's docker-registry, run, counted and removed.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::layout::Layer;
use carboy_e2e::shelf::Shelf;
use carboy_e2e::{ended, says};
use serde_json::{Value, json};

fn bytes_below(folder: &Path) -> u64 {
    let listed = ended(Command::new("find").arg(folder).args(["-type", "f", "-printf", "%s\n"]));
    listed.stdout.lines().map(|line| line.parse::<u64>().unwrap()).sum()
}

#[test]
fn an_image_is_pulled_run_by_its_own_configuration_and_removed() {
    let mut shelf = Shelf::new();
    let note = shelf.layout.file("srv/note", b"from the second layer\n");
    let config = json!({
        "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["cat note; echo $GREETING; id -u; cat /data/seed"], "User": "anna",
        "Env": ["GREETING=hello"], "WorkingDir": "/srv", "Labels": {"a": "b"},
    });
    let seed = shelf.layout.file("data/seed", b"sown\n");
    let name = shelf.offer("app:1", &[note, seed], &config);
    let Shelf { carboy, .. } = &shelf;
    let pulled = says(carboy, &["pull", &name]);
    let lines: Vec<&str> = pulled.lines().collect();
    assert_eq!(lines[0], format!("1: Pulling from {}", name.trim_end_matches(":1")));
    assert_eq!(lines.iter().filter(|line| line.ends_with(": Pull complete")).count(), 3, "{pulled}");
    assert!(lines[lines.len() - 3].starts_with("Digest: sha256:"), "{pulled}");
    assert_eq!(lines[lines.len() - 2..], [&format!("Status: Downloaded newer image for {name}"), name.as_str()]);
    assert_eq!(says(carboy, &["run", "--rm", &name]), "from the second layer\nhello\n1000\nsown\n");
    assert_eq!(
        says(carboy, &["run", "--rm", "-e", "GREETING=hi", "-u", "0", &name, "echo $GREETING; id -u"]),
        "hi\n0\n"
    );
    let again = says(carboy, &["pull", &name]);
    assert!(again.contains(&format!("Status: Image is up to date for {name}")), "{again}");
    // A container that was made from it keeps it.
    says(carboy, &["create", "--name", "made", &name]);
    let refused = carboy.run(["rmi", &name]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("is what container") && refused.stderr.contains("carboy rm made"), "{refused:?}");
    let forced = says(carboy, &["rmi", "-f", &name]);
    assert!(forced.starts_with(&format!("Untagged: {name}\n")), "{forced}");
    assert_eq!(says(carboy, &["start", "-a", "made"]), "from the second layer\nhello\n1000\nsown\n");
    says(carboy, &["rm", "made"]);
    says(carboy, &["image", "prune", "-f"]);
    assert_eq!((bytes_below(&shelf.root().join("content")), bytes_below(&shelf.root().join("layers"))), (0, 0));
    assert!(carboy.left_behind().is_empty());
    let missing = carboy.run(["run", "--pull", "never", &name]);
    assert_eq!(missing.code, 125, "{missing:?}");
    assert!(missing.stderr.contains("is not on this host"), "{missing:?}");
    let pulling = carboy.run(["run", "--rm", &name]);
    assert_eq!((pulling.code, pulling.stdout.as_str()), (0, "from the second layer\nhello\n1000\nsown\n"));
    assert!(pulling.stderr.starts_with(&format!("Unable to find image '{name}' locally\n")), "{pulling:?}");
    let nowhere = carboy.run(["run", &format!("{}/nothing", shelf.registry.host())]);
    assert_eq!(nowhere.code, 125, "{nowhere:?}");
    assert!(nowhere.stderr.contains("has none of that name"), "{nowhere:?}");
}

#[test]
fn what_removing_an_image_frees_is_said_before_and_is_what_nobody_shares() {
    let mut shelf = Shelf::new();
    let (one, other) = (shelf.layout.file("one", &[1; 70_000]), shelf.layout.file("other", &[2; 50_000]));
    let first = shelf.offer("first:1", &[one], &json!({"Cmd": ["wc", "-c", "/one"]}));
    let second = shelf.offer("second:1", &[other], &json!({"Cmd": ["wc", "-c", "/other"]}));
    let Shelf { carboy, .. } = &shelf;
    for name in [&first, &second] {
        says(carboy, &["pull", "-q", name]);
    }
    let parts = || (bytes_below(&shelf.root().join("content")), bytes_below(&shelf.root().join("layers")));
    let told = says(carboy, &["system", "df", "-v"]);
    let row = told.lines().find(|line| line.contains("/first ")).unwrap().split_whitespace().collect::<Vec<_>>();
    let (unique, containers) = (row[5], row[6]);
    assert_eq!(containers, "0", "{told}");
    let before = parts();
    let removed = says(carboy, &["rmi", &first]);
    assert_eq!(
        removed.lines().filter(|line| line.starts_with("Deleted: ")).count(),
        2,
        "the image and one layer: {removed}"
    );
    let after = parts();
    // The record of a layer is not part of what it takes.
    let freed = before.0 - after.0 + 70_000;
    assert!((before.1 - after.1).abs_diff(70_000) < 300, "{before:?} {after:?}");
    assert_eq!(unique, format!("{:.1}kB", freed as f64 / 1000.0), "{told}");
    assert_eq!(says(carboy, &["run", "--rm", &second]), "50000 /other\n");
    assert_eq!(carboy.run(["system", "check"]).stdout, "");
}

#[test]
fn a_hundred_and_forty_layers_are_one_root() {
    let mut shelf = Shelf::new();
    let layers: Vec<Layer> =
        (0..139).map(|at| shelf.layout.file(&format!("steps/{at}"), format!("{at}\n").as_bytes())).collect();
    let layers = [vec![shelf.base.clone()], layers].concat();
    shelf.layout.image("example.com/many:1", &layers, &json!({}));
    let Shelf { carboy, .. } = &shelf;
    let archive = carboy.folder().join("many.tar");
    let packed = ended(Command::new("tar").arg("-C").arg(shelf.layout.folder()).arg("-cf").arg(&archive).arg("."));
    assert_eq!(packed.code, 0, "{packed:?}");
    let name = "example.com/many:1".to_owned();
    assert_eq!(says(carboy, &["load", "-i", archive.to_str().unwrap()]), format!("Loaded image: {name}\n"));
    assert_eq!(
        says(carboy, &["run", "--rm", &name, "sh", "-c", "ls /steps | wc -l; cat /steps/0 /steps/138"]),
        "139\n0\n138\n"
    );
    says(carboy, &["run", "--name", "changed", &name, "rm", "/steps/7"]);
    assert_eq!(says(carboy, &["diff", "changed"]), "C /steps\nD /steps/7\n");
    says(carboy, &["rm", "changed"]);
}

#[test]
fn a_pull_that_is_killed_at_any_moment_is_gone_on_with() {
    let mut shelf = Shelf::new();
    let noise = |seed: u64| -> Vec<u8> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..3_000_000).map(next).collect()
    };
    let layers: Vec<Layer> = (0..4).map(|at| shelf.layout.file(&format!("noise/{at}"), &noise(at))).collect();
    let name = shelf.offer("noise:1", &layers, &json!({"Cmd": ["sh", "-c", "cat /noise/* | wc -c"]}));
    let Shelf { carboy, .. } = &shelf;
    let mut whole = Vec::new();
    for moment in 0..20 {
        let mut command = carboy.command(["pull", "-q", &name]);
        let mut pull = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(5 + moment * 8));
        let _ = pull.kill();
        pull.wait().unwrap();
        let checked = carboy.run(["system", "check"]);
        assert_eq!((checked.code, checked.stdout.as_str()), (0, ""), "{moment}: {checked:?}");
        // What was whole stays as it is.
        let now = shelf.blobs();
        assert!(whole.iter().all(|blob| now.contains(blob)), "{moment}: {whole:?} {now:?}");
        whole = now;
    }
    assert_eq!(says(carboy, &["pull", "-q", &name]), format!("{name}\n"));
    assert_eq!(says(carboy, &["run", "--rm", &name]), "12000000\n");
    let layers = fs::read_dir(shelf.root().join("layers")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(layers.filter(|name| name.as_encoded_bytes().starts_with(b".")).count(), 0, "nothing half done is left");
    assert_eq!(fs::read_dir(shelf.root().join("content/partial")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(shelf.root().join("leases")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_one_clear_line_and_the_rest_comes_when_there_is_room() {
    let mut shelf = Shelf::new();
    let big = shelf.layout.file("big", &[7; 6_000_000]);
    let name = shelf.offer("big:1", &[big], &json!({"Cmd": ["wc", "-c", "/big"]}));
    let Shelf { carboy, .. } = &shelf;
    let root = shelf.root();
    fs::create_dir_all(&root).unwrap();
    let mounted = ended(Command::new("mount").args(["-t", "tmpfs", "-o", "size=5m", "tmpfs"]).arg(&root));
    assert_eq!(mounted.code, 0, "{mounted:?}");
    let full = carboy.run(["pull", "-q", &name]);
    let remounted = ended(Command::new("mount").args(["-o", "remount,size=64m"]).arg(&root));
    let whole = (full, remounted, carboy.run(["system", "check"]), carboy.run(["pull", "-q", &name]));
    let ran = carboy.run(["run", "--rm", &name]);
    let unmounted = ended(Command::new("umount").arg(&root));
    let (full, remounted, checked, pulled) = whole;
    assert_eq!((full.code, full.stdout.as_str()), (1, ""), "{full:?}");
    assert!(full.stderr.starts_with("error: cannot ") && full.stderr.contains("No space left on device"), "{full:?}");
    assert_eq!((remounted.code, unmounted.code), (0, 0), "{remounted:?} {unmounted:?}");
    assert_eq!((checked.code, checked.stdout.as_str()), (0, ""));
    assert_eq!((pulled.code, ran.stdout.as_str()), (0, "6000000 /big\n"), "{pulled:?} {ran:?}");
}

#[test]
fn two_pulls_at_once_download_a_layer_once() {
    let mut shelf = Shelf::new();
    let big = shelf.layout.file("big", &[7; 20_000_000]);
    let name = shelf.offer("big:1", &[big], &json!({}));
    let Shelf { carboy, .. } = &shelf;
    let pull = || carboy.command(["pull", &name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pulls: Vec<_> = (0..4).map(|_| pull()).collect();
    for pull in pulls {
        let pulled = pull.wait_with_output().unwrap();
        assert!(pulled.status.success(), "{pulled:?}");
    }
    let log = fs::read_to_string(shelf.registry.path("log")).unwrap();
    for (digest, ..) in shelf.blobs() {
        let fetched =
            log.lines().filter(|line| line.contains("GET /v2/") && line.contains(&format!("blobs/sha256:{digest}")));
        assert!(fetched.count() <= 1, "{digest} was downloaded twice: {log}");
    }
    assert_eq!(says(carboy, &["run", "--rm", &name, "wc", "-c", "/big"]), "20000000 /big\n");
}

#[test]
fn archives_of_other_engines_are_loaded_and_a_damaged_store_is_told_of() {
    let mut shelf = Shelf::new();
    let note = shelf.layout.file("note", b"kept\n");
    let name = shelf.offer("app:1", &[note], &json!({"Cmd": ["cat", "/note"]}));
    let Shelf { carboy, .. } = &shelf;
    for kind in ["docker-archive", "oci-archive"] {
        let archive = carboy.folder().join(kind);
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["copy", "--quiet", "--src-tls-verify=false", &format!("docker://{name}")]);
        let copied = ended(skopeo.arg(format!("{kind}:{}:example.com/app:{kind}", archive.display())));
        assert_eq!(copied.code, 0, "{copied:?}");
        let loaded = says(carboy, &["load", "-i", archive.to_str().unwrap()]);
        assert_eq!(loaded, format!("Loaded image: example.com/app:{kind}\n"));
        assert_eq!(says(carboy, &["run", "--rm", &format!("example.com/app:{kind}")]), "kept\n");
    }
    let bad = carboy.run(["load", "-i", "/etc/passwd"]);
    assert!(bad.code == 1 && bad.stderr.starts_with("error: cannot use the archive"), "{bad:?}");
    let (digest, ..) = shelf.blobs().into_iter().max_by_key(|(_, _, size)| *size).unwrap();
    fs::write(shelf.root().join("content/sha256").join(&digest), "something else").unwrap();
    let checked = carboy.run(["system", "check"]);
    assert_eq!((checked.code, checked.stdout), (1, format!("the blob sha256:{digest} is not what its name says\n")));
}

#[test]
fn a_container_becomes_an_image_and_goes_to_other_engines_and_back() {
    let mut shelf = Shelf::new();
    let name = shelf.offer("base:1", &[], &json!({"Env": ["KEPT=yes"], "Cmd": ["sh"]}));
    let Shelf { carboy, .. } = &shelf;
    let change = "echo new > /new; rm /etc/group; mkdir /bin/further; chown 1000:1000 /new; chmod 600 /new";
    says(carboy, &["pull", "-q", &name]);
    says(carboy, &["run", "--name", "made", &name, "sh", "-c", change]);
    let asked = ["commit", "-a", "Anna", "-m", "changed", "-c", "CMD [\"cat\", \"/new\"]", "-c", "ENV MORE=also"];
    let id = says(carboy, &[&asked[..], &["made", "example.com/made:2"]].concat());
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(says(carboy, &["run", "--rm", "example.com/made:2"]), "new\n");
    let look = "stat -c '%u %a' /new; ls /etc/group 2>/dev/null; ls -d /bin/further; echo $KEPT $MORE";
    let expected = "1000 600\n/bin/further\nyes also\n";
    assert_eq!(says(carboy, &["run", "--rm", "example.com/made:2", "sh", "-c", look]), expected);
    // Written to an archive, it is the same for skopeo, and the same image when it comes back.
    let archive = carboy.folder().join("saved.tar");
    says(carboy, &["save", "-o", archive.to_str().unwrap(), "example.com/made:2"]);
    for kind in ["docker-archive", "oci-archive"] {
        let inspected =
            ended(Command::new("skopeo").args(["inspect", "--config", &format!("{kind}:{}", archive.display())]));
        let config: Value = serde_json::from_str(&inspected.stdout).unwrap_or_else(|_| panic!("{kind}: {inspected:?}"));
        assert_eq!((&config["author"], &config["config"]["Cmd"]), (&json!("Anna"), &json!(["cat", "/new"])), "{kind}");
        assert_eq!(config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(2));
    }
    says(carboy, &["rm", "made"]);
    says(carboy, &["rmi", "example.com/made:2"]);
    assert_eq!(says(carboy, &["load", "-i", archive.to_str().unwrap()]), "Loaded image: example.com/made:2\n");
    assert_eq!(
        says(carboy, &["rmi", "example.com/made:2"]).lines().nth(1),
        Some(format!("Deleted: {}", id.trim_end()).as_str())
    );
    let events = says(
        carboy,
        &["events", "--since", "1m", "--until", "0s", "--format", "{{.Type}} {{.Action}}", "-f", "type=image"],
    );
    let expected =
        ["pull", "save", "untag", "delete", "load", "untag", "delete"].map(|action| format!("image {action}\n"));
    assert_eq!(events, expected.concat());
    let committed =
        says(carboy, &["events", "--since", "1m", "--until", "0s", "-f", "event=commit", "--format", "{{json .}}"]);
    assert!(committed.contains(id.trim_end()) && committed.contains("example.com/made:2"), "{committed}");
    // A root without an image becomes one as an archive.
    says(carboy, &["create", "--name", "plain", carboy.busybox().to_str().unwrap(), "true"]);
    let refused = carboy.run(["commit", "plain"]);
    assert!(refused.code == 1 && refused.stderr.contains("carboy export plain | carboy import"), "{refused:?}");
    let root = carboy.folder().join("root.tar");
    says(carboy, &["export", "-o", root.to_str().unwrap(), "plain"]);
    says(
        carboy,
        &["import", "-c", "CMD [\"id\", \"-un\"]", "-c", "USER anna", root.to_str().unwrap(), "example.com/plain"],
    );
    assert_eq!(says(carboy, &["run", "--rm", "example.com/plain"]), "anna\n");
    says(carboy, &["rm", "plain"]);
}

#[test]
fn images_go_to_docker_and_come_back_the_same() {
    let mut shelf = Shelf::new();
    let note = shelf.layout.file("note", b"the same\n");
    let name = shelf.offer("app:1", &[note], &json!({"Cmd": ["cat", "/note"]}));
    let Shelf { carboy, .. } = &shelf;
    let docker = Docker::configured(NO_NETWORKS);
    says(carboy, &["pull", "-q", &name]);
    let (there, back) = (carboy.folder().join("there.tar"), carboy.folder().join("back.tar"));
    says(carboy, &["save", "-o", there.to_str().unwrap(), &name]);
    assert_eq!(docker.told(&["load", "-i", there.to_str().unwrap()]), format!("Loaded image: {name}"));
    assert_eq!(docker.told(&["run", "--rm", "--network", "none", &name]), "the same");
    let id = docker.told(&["images", "-q", "--no-trunc", &name]);
    docker.told(&["tag", &name, "example.com/docker:2"]);
    docker.told(&["save", "-o", back.to_str().unwrap(), "example.com/docker:2"]);
    assert_eq!(says(carboy, &["load", "-i", back.to_str().unwrap()]), "Loaded image: example.com/docker:2\n");
    assert_eq!(says(carboy, &["run", "--rm", "example.com/docker:2"]), "the same\n");
    // It is the image that was there, with one more name.
    assert_eq!(says(carboy, &["rmi", "example.com/docker:2"]), "Untagged: example.com/docker:2\n");
    assert!(says(carboy, &["rmi", &name]).contains(&format!("Deleted: {id}\n")));
}

#[test]
fn what_a_container_made_of_its_root_itself_comes_along() {
    let mut shelf = Shelf::new();
    let name = shelf.offer("base:1", &[], &json!({}));
    let Shelf { carboy, .. } = &shelf;
    says(carboy, &["pull", "-q", &name]);
    says(carboy, &["run", "--name", "made", &name, "sh", "-c", "chmod 1711 /; chown 12:34 /"]);
    says(carboy, &["commit", "made", "made:2"]);
    assert_eq!(says(carboy, &["run", "--rm", "made:2", "stat", "-c", "%a %u %g", "/"]), "1711 12 34\n");
    says(carboy, &["rm", "made"]);
    // A change below it is none of it.
    says(carboy, &["run", "--name", "made", &name, "touch", "/new"]);
    says(carboy, &["commit", "made", "made:3"]);
    let archive = carboy.folder().join("made.tar");
    says(carboy, &["save", "--format", "docker-dir", "-o", archive.to_str().unwrap(), "made:3"]);
    let manifest: Value = serde_json::from_slice(&fs::read(archive.join("manifest.json")).unwrap()).unwrap();
    let layer = manifest["layers"][1]["digest"].as_str().unwrap().trim_start_matches("sha256:");
    assert_eq!(ended(Command::new("tar").arg("-tzf").arg(archive.join(layer))).stdout, "new\n");
    says(carboy, &["rm", "made"]);
}

#[test]
fn what_was_brought_for_an_image_that_did_not_come_to_be_is_gone() {
    let mut shelf = Shelf::new();
    let name = shelf.offer("base:1", &[], &json!({}));
    let Shelf { carboy, .. } = &shelf;
    says(carboy, &["pull", "-q", &name]);
    says(carboy, &["create", "--name", "kept", &name, "true"]);
    let blobs = || shelf.blobs().into_iter().map(|(name, ..)| name).collect::<std::collections::BTreeSet<_>>();
    let before = blobs();
    let bytes: Vec<u8> = (0_u32..500_000).flat_map(u32::to_le_bytes).collect();
    let noise = carboy.folder().join("noise");
    fs::write(&noise, &bytes).unwrap();
    let tar = carboy.folder().join("no-image.tar");
    let packed = ended(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(carboy.folder()).arg("noise"));
    assert_eq!(packed.code, 0, "{packed:?}");
    let cut = carboy.folder().join("cut.tar.gz");
    let zipped = Command::new("gzip").arg("-c").arg(&tar).output().unwrap().stdout;
    fs::write(&cut, &zipped[..zipped.len() / 2]).unwrap();
    for words in [
        &["import", noise.to_str().unwrap(), "x:1"][..],
        &["import", cut.to_str().unwrap(), "x:1"],
        &["load", "-i", tar.to_str().unwrap()],
    ] {
        let refused = carboy.run(words);
        assert_eq!(refused.code, 1, "{words:?}: {refused:?}");
        assert_eq!(blobs(), before, "{words:?}");
    }
    assert_eq!(says(carboy, &["system", "check"]), "");
    says(carboy, &["import", tar.to_str().unwrap(), "x:1"]);
    assert!(blobs().len() > before.len());
    says(carboy, &["rm", "kept"]);
}
