//! What a name stands for at a registry, told without a pull, as Docker tells it.

use std::process::Command;

use carboy_e2e::layout::Layout;
use carboy_e2e::registry::{Manner, Registry};
use carboy_e2e::{Carboy, ended, says};
use serde_json::{Value, json};

/// Docker's client asks registries itself, without a daemon.
fn docker(words: &[&str]) -> String {
    let told = ended(Command::new("docker").args(["manifest", "inspect", "--insecure"]).args(words));
    assert_eq!(told.code, 0, "{told:?}");
    told.stdout
}

#[test]
fn a_manifest_and_an_index_are_told_as_docker_tells_them() {
    let (carboy, registry) = (Carboy::new(), Registry::start(Manner::Open));
    let mut layout = Layout::new(&carboy.folder().join("layout"));
    let layer = layout.file("note", b"a note\n");
    let digest = layout.image("app:1", &[layer], &json!({"Cmd": ["true"]}));
    let name = format!("{}/app:1", registry.host());
    layout.push("app:1", &name);
    assert_eq!(says(&carboy, &["manifest", "inspect", &name]), docker(&[&name]));
    assert_eq!(says(&carboy, &["manifest", "inspect", "-v", &name]), docker(&["-v", &name]));
    let by_digest = format!("{}/app@{digest}", registry.host());
    assert_eq!(says(&carboy, &["manifest", "inspect", &by_digest]), docker(&[&by_digest]));
    let size = says(&carboy, &["manifest", "inspect", "-v", &name]);
    let size: Value = serde_json::from_str(&size).unwrap();
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size["Descriptor"]["size"],
        "platform": {"architecture": "amd64", "os": "linux"}, "annotations": {"kept": "as it is"},
    }]});
    registry.put("/v2/app/manifests/all", &index);
    let name = format!("{}/app:all", registry.host());
    // Docker leaves out what it does not know.
    let told: Value = serde_json::from_str(&says(&carboy, &["manifest", "inspect", &name])).unwrap();
    assert_eq!(told, index);
    assert_eq!(says(&carboy, &["manifest", "inspect", "--verbose", &name]), docker(&["--verbose", &name]));
    assert_eq!(says(&carboy, &["images", "-q"]), "");
    let missing = carboy.run(["manifest", "inspect", &format!("{name}s")]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.stderr.contains("has none of that name"), "{missing:?}");
}
