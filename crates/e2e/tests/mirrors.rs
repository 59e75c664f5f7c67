//! Mirrors and blocked registries, as registries.conf names them, with Debian's docker-registry.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use carboy_e2e::registry::{Manner, Registry};
use carboy_e2e::shelf::Shelf;
use carboy_e2e::{Ended, ended};
use serde_json::json;

/// A port at which nothing listens.
fn dead() -> String {
    format!("localhost:{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
}

/// A registry with images, and another one.
struct Two {
    shelf: Shelf,
    other: Registry,
}

impl Two {
    fn new() -> Self {
        Self { shelf: Shelf::new(), other: Registry::start(Manner::Open) }
    }

    fn run(&self, words: &[&str]) -> Ended {
        ended(self.shelf.carboy.command(words).env("CONTAINERS_REGISTRIES_CONF", self.conf()))
    }

    fn says(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
        ended.stdout
    }

    fn conf(&self) -> std::path::PathBuf {
        self.shelf.carboy.folder().join("registries.conf")
    }

    /// What an image that was just pulled says; it is gone then.
    fn comes(&self, name: &str) -> String {
        self.says(&["pull", "-q", name]);
        let said = self.says(&["run", "--rm", "--pull", "never", name]);
        self.says(&["rmi", name]);
        said
    }
}

/// Takes from a registry what it has of a blob; its links to it stay.
fn lose(registry: &Registry, digest: &str) {
    let hex = digest.trim_start_matches("sha256:");
    let blobs = registry.path("data").join("docker/registry/v2/blobs/sha256");
    fs::remove_dir_all(blobs.join(&hex[..2]).join(hex)).unwrap();
}

fn largest_layer(layout: &Path, manifest: &str) -> String {
    let blobs = layout.join("blobs/sha256");
    let manifest = fs::read(blobs.join(manifest.trim_start_matches("sha256:"))).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    let largest = layers.max_by_key(|layer| layer["size"].as_u64()).unwrap();
    largest["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_comes_from_the_first_mirror_that_can_give_it() {
    let mut two = Two::new();
    let name = two.shelf.offer("team/app:1", &[], &json!({"Cmd": ["echo", "the registry"]}));
    let base = two.shelf.base.clone();
    let manifest = two.shelf.layout.image("mirrored", &[base], &json!({"Cmd": ["echo", "a mirror"]}));
    two.shelf.layout.push("mirrored", &format!("{}/copies/app:1", two.other.host()));
    let (own, other, dead) = (two.shelf.registry.host(), two.other.host(), dead());
    let text = format!(
        "[[registry]]\nprefix = \"{own}/team\"\nlocation = \"{own}/team\"\n\
         [[registry.mirror]]\nlocation = \"{dead}/copies\"\n\
         [[registry.mirror]]\nlocation = \"{own}/nothing/there\"\n\
         [[registry.mirror]]\nlocation = \"{other}/copies\"\n"
    );
    fs::write(two.conf(), text).unwrap();
    assert_eq!(two.comes(&name), "a mirror\n");
    let listed = two.says(&["tags", &name]);
    assert_eq!(listed, "1\n");
    // By its digest it is the same wherever it comes from.
    assert_eq!(two.comes(&format!("{own}/team/app@{manifest}")), "a mirror\n");
    // One that has the manifest and cannot give a layer.
    lose(&two.other, &largest_layer(two.shelf.layout.folder(), &manifest));
    assert_eq!(two.comes(&name), "the registry\n");
    two.other.kill();
    assert_eq!(two.comes(&name), "the registry\n");
    assert_eq!(two.says(&["system", "check"]), "");
    // What is told at the end is what the registry itself says.
    two.shelf.registry.kill();
    let refused = two.run(&["pull", "-q", &name]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(
        refused.stderr,
        format!(
            "error: cannot reach the registry {own}: Connection refused\n\
             hint: nothing listens there: check the host and its port\n"
        )
    );
    two.shelf.registry.begin();
    two.other.begin();
}

#[test]
fn a_short_name_is_run_as_what_the_files_make_of_it() {
    let mut two = Two::new();
    two.shelf.offer("team/app:1", &[], &json!({"Cmd": ["echo", "found"]}));
    let own = two.shelf.registry.host();
    let text = format!(
        "unqualified-search-registries = [\"{}\", \"{own}\"]\n[aliases]\n\"tool\" = \"{own}/team/app\"\n",
        two.other.host()
    );
    fs::write(two.conf(), text).unwrap();
    for word in ["team/app:1", "tool:1"] {
        let never = ["run", "--rm", "--pull", "never", word];
        assert_eq!(two.run(&never).code, 125, "{word}");
        let came = two.run(&["run", "--rm", word]);
        assert_eq!((came.code, came.stdout.as_str()), (0, "found\n"), "{word}: {came:?}");
        assert!(came.stderr.contains(&format!("Downloaded newer image for {own}/team/app:1\n")), "{word}: {came:?}");
        // Then it is here.
        assert_eq!(two.says(&["run", "--rm", word]), "found\n", "{word}");
        assert_eq!(two.says(&never), "found\n", "{word}");
        two.says(&["create", "--name", "made", word]);
        assert_eq!(two.says(&["ps", "-a", "--format", "{{.Image}}"]), format!("{own}/team/app:1\n"));
        two.says(&["rm", "made"]);
        two.says(&["rmi", &format!("{own}/team/app:1")]);
    }
}

#[test]
fn nothing_is_had_from_a_blocked_registry_and_nothing_is_brought_there() {
    let mut two = Two::new();
    let (name, open) = {
        let mut offer = |name: &str| two.shelf.offer(name, &[], &json!({"Cmd": ["echo", name]}));
        (offer("secret/app:1"), offer("open/app:1"))
    };
    let own = two.shelf.registry.host();
    let text = format!("[[registry]]\nprefix = \"{own}/secret\"\nblocked = true\n");
    fs::write(two.conf(), text).unwrap();
    two.says(&["pull", "-q", &open]);
    two.says(&["tag", &open, &name]);
    let file = two.conf().display().to_string();
    let line = |name: &str| format!("cannot use the image's name {name}: is of {own}/secret, which {file} blocks\n");
    let bare = name.trim_end_matches(":1");
    for (words, shown) in [
        (&["pull", &name][..], name.as_str()),
        (&["push", &name], &name),
        (&["run", "--pull", "always", &name], &name),
        (&["create", "--pull", "always", &name], &name),
        (&["tags", bare], &name.replace(":1", ":latest")),
        (&["manifest", "inspect", &name], &name),
    ] {
        let refused = two.run(words);
        assert!(refused.code == 1 || refused.code == 125, "{words:?}: {refused:?}");
        assert!(refused.stderr.ends_with(&line(shown)), "{words:?}: {refused:?}");
    }
    // What is here already is nobody's.
    assert_eq!(two.says(&["run", "--rm", &name]), "open/app:1\n");
}
