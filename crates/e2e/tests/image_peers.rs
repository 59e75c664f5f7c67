//! Images go from carboy to skopeo, podman and Docker through a registry, and back, and are the same to all of them.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::process::{Command, Stdio};

use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::shelf::Shelf;
use carboy_e2e::{Carboy, ended, eventually, says};
use serde_json::{Value, json};

/// An image that carboy made and pushed: its name, its digest at the registry and its id.
fn pushed(shelf: &mut Shelf) -> (String, String, String) {
    let note = shelf.layout.file("note", b"from carboy\n");
    let base = shelf.offer("base:1", &[note], &json!({"Env": ["KEPT=yes"], "Cmd": ["cat", "/note", "/more"]}));
    let carboy = &shelf.carboy;
    let name = base.replace("base", "team/app");
    says(carboy, &["pull", "-q", &base]);
    says(carboy, &["run", "--name", "made", &base, "sh", "-c", "echo more > /more; rm /etc/group"]);
    let id = says(
        carboy,
        &["commit", "-a", "Anna", "-c", "LABEL of=carboy", "-c", "CMD [\"cat\", \"/note\", \"/more\"]", "made", &name],
    );
    says(carboy, &["rm", "made"]);
    let told = says(carboy, &["push", &name]);
    let digest = told.lines().last().unwrap().split_whitespace().nth(2).unwrap().to_owned();
    (name, digest, id.trim_end().to_owned())
}

fn skopeo(words: &[&str], name: &str) -> Value {
    let mut command = Command::new("skopeo");
    command.args(["inspect", "--tls-verify=false"]).args(words).arg(format!("docker://{name}"));
    let told = ended(&mut command);
    assert_eq!(told.code, 0, "{told:?}");
    serde_json::from_str(&told.stdout).unwrap()
}

/// podman with storage in the folder of a carboy.
fn podman(carboy: &Carboy, words: &[&str]) -> String {
    // Its mount of its own storage goes with the namespace.
    let mut command = Command::new("unshare");
    command.args(["--mount", "podman"]);
    let at = |name: &str| carboy.folder().join(name);
    command
        .arg("--root")
        .arg(at("podman"))
        .arg("--runroot")
        .arg(at("podman-run"))
        .args(["--storage-driver", "overlay"]);
    let ended = ended(command.args(["--cgroup-manager", "cgroupfs"]).args(words).stdin(Stdio::null()));
    assert_eq!(ended.code, 0, "{words:?}: {}", ended.stderr);
    ended.stdout
}

#[test]
fn skopeo_and_podman_read_and_run_what_carboy_pushed() {
    let mut shelf = Shelf::new();
    let (name, digest, id) = pushed(&mut shelf);
    let carboy = &shelf.carboy;
    let seen = skopeo(&[], &name);
    assert_eq!(seen["Digest"], json!(digest));
    assert_eq!((&seen["Labels"], &seen["RepoTags"]), (&json!({"of": "carboy"}), &json!(["1"])));
    assert_eq!(seen["Layers"].as_array().map(Vec::len), Some(3));
    let config = skopeo(&["--config"], &name);
    assert_eq!((&config["author"], &config["config"]["Env"][0]), (&json!("Anna"), &json!("KEPT=yes")));
    let raw = skopeo(&["--raw"], &name);
    assert_eq!(raw["config"]["digest"], json!(id));
    podman(carboy, &["pull", "-q", "--tls-verify=false", &name]);
    let known = podman(carboy, &["image", "inspect", "--format", "{{.Digest}} sha256:{{.Id}}", &name]);
    assert_eq!(known.trim_end(), format!("{digest} {id}"));
    let look = "cat /note /more; ls /etc/group 2>/dev/null; echo $KEPT";
    // Its usual limits may be above this host's.
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let run = ["--runtime", "runc", "run", "--rm", "--network", "none"];
    let run = [&run[..], &limits, &[&name, "sh", "-c", look]].concat();
    assert_eq!(podman(carboy, &run), "from carboy\nmore\nyes\n");
    // And back, from podman's storage under another name.
    let back = name.replace(":1", ":2");
    podman(carboy, &["push", "-q", "--tls-verify=false", &name, &back]);
    says(carboy, &["rmi", &name]);
    let pulled = says(carboy, &["pull", &back]);
    assert!(pulled.contains(&format!("Digest: {}\n", skopeo(&[], &back)["Digest"].as_str().unwrap())), "{pulled}");
    assert_eq!(says(carboy, &["run", "--rm", &back]), "from carboy\nmore\n");
    assert_eq!(says(carboy, &["image", "inspect", "--format", "{{.Id}}", &back]).trim_end(), id);
    podman(carboy, &["rmi", "--all", "--force"]);
}

#[test]
fn what_docker_pushes_is_pulled_and_the_reverse_with_the_same_digests() {
    let mut shelf = Shelf::new();
    let (name, digest, id) = pushed(&mut shelf);
    let carboy = &shelf.carboy;
    let docker = Docker::configured(NO_NETWORKS);
    // Docker's network is its own: there the same folder is served at the same port.
    let config = shelf.registry.path("config.json");
    let _served = docker.engine.daemon(["docker-registry".as_ref(), "serve".as_ref(), config.as_os_str()]);
    let knocks = format!(": < /dev/tcp/127.0.0.1/{}", shelf.registry.port());
    let answers = || docker.engine.run(["bash", "-c", &knocks]).code == 0;
    eventually("docker-registry answers", answers);
    let pulled = docker.told(&["pull", &name]);
    assert!(pulled.contains(&format!("Digest: {digest}")), "{pulled}");
    assert_eq!(docker.told(&["run", "--rm", "--network", "none", &name]), "from carboy\nmore");
    assert_eq!(docker.told(&["image", "inspect", "--format", "{{.Id}}", &name]), id);
    let own = name.replace("team/app:1", "by/docker:1");
    docker.told(&["create", "--name", "made", "--network", "none", &name, "true"]);
    docker.told(&["commit", "-c", "CMD [\"cat\", \"/note\"]", "-c", "LABEL of=docker", "made", &own]);
    docker.told(&["rm", "made"]);
    let pushed = docker.told(&["push", &own]);
    let line = pushed.lines().find(|line| line.contains("digest: sha256:")).unwrap_or_else(|| panic!("{pushed}"));
    let digest = line.split_whitespace().nth(2).unwrap();
    let pulled = says(carboy, &["pull", &own]);
    assert!(pulled.contains(&format!("Digest: {digest}\n")), "{pulled}");
    assert_eq!(skopeo(&[], &own)["Digest"], json!(digest));
    let id = docker.told(&["image", "inspect", "--format", "{{.Id}}", &own]);
    assert_eq!(says(carboy, &["image", "inspect", "--format", "{{.Id}}", &own]).trim_end(), id);
    assert_eq!(says(carboy, &["run", "--rm", &own]), "from carboy\n");
    // Pushed by carboy under another name, it has docker's digest.
    let again = own.replace(":1", ":2");
    says(carboy, &["tag", &own, &again]);
    let told = says(carboy, &["push", &again]);
    assert!(told.contains(digest), "{told}");
}
