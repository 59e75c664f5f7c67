//! Signatures of images, by openssl, in Debian's docker-registry: what comes with them and what does not.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carboy_e2e::layout::{Layer, Layout};
use carboy_e2e::registry::{Manner, Registry};
use carboy_e2e::{Carboy, Ended, ended};
use image::registry::{Access, Endpoint, Registry as Client, Wanted};
use image::sha256;
use oci::image::{Descriptor, media};
use serde_json::{Value, json};

/// A bundle of sigstore's, and cosign's payload as what refers to an image.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A registry with images, and who signs them.
struct Shelf {
    carboy: Carboy,
    registry: Registry,
    client: Client,
    layout: Layout,
    base: Layer,
}

impl Shelf {
    fn new() -> Self {
        let (carboy, registry) = (Carboy::new(), Registry::start(Manner::Open));
        let layout = Layout::new(&carboy.folder().join("layout"));
        let base = layout.layer(&carboy.busybox());
        let client = Client::open(Endpoint::of(&registry.host()), Access::default()).unwrap();
        let shelf = Self { carboy, registry, client, layout, base };
        shelf.key("anna");
        shelf
    }

    fn path(&self, name: &str) -> PathBuf {
        self.carboy.folder().join(name)
    }

    /// Makes a key pair: `NAME.key`, `NAME.pub`.
    fn key(&self, name: &str) {
        let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
        self.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key]);
        self.openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]);
    }

    fn openssl(&self, words: &[&str]) {
        let ended = ended(Command::new("openssl").args(words).current_dir(self.carboy.folder()));
        assert_eq!(ended.code, 0, "{ended:?}");
    }

    /// In base64.
    fn signed(&self, by: &str, bytes: &[u8]) -> String {
        fs::write(self.path("message"), bytes).unwrap();
        self.openssl(&["dgst", "-sha256", "-sign", &format!("{by}.key"), "-out", "signature", "message"]);
        STANDARD.encode(fs::read(self.path("signature")).unwrap())
    }

    /// Pushes an image that says a word, and gives its name and digest.
    fn offer(&mut self, name: &str, word: &str) -> (String, String) {
        let base = self.base.clone();
        let digest = self.layout.image(name, &[base], &json!({"Cmd": ["echo", word]}));
        let whole = format!("{}/{name}", self.registry.host());
        self.layout.push(name, &whole);
        (whole, digest)
    }

    fn blob(&self, repository: &str, kind: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::new(kind, sha256(bytes), bytes.len() as u64);
        let owned = bytes.to_vec();
        self.client.upload(repository, &descriptor, &|| Ok(Box::new(std::io::Cursor::new(owned.clone())))).unwrap();
        descriptor
    }

    /// Puts a signature where cosign puts that of what has this digest.
    fn attach(&self, repository: &str, digest: &str, payload: &str, signature: &str) {
        let mut layer = self.blob(repository, SIMPLE, payload.as_bytes());
        layer.annotations.insert("dev.cosignproject.cosign/signature".into(), signature.into());
        let config = json!({
            "architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        });
        let config = self.blob(repository, media::OCI_CONFIG, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "config": config, "layers": [layer],
        });
        self.put(repository, &format!("{}.sig", digest.replace(':', "-")), media::OCI_MANIFEST, &manifest);
    }

    /// Stores what refers to an image, and lists it where a registry without that request has its list: an index whose tag is
    /// made of the image's digest.
    fn refer(&self, repository: &str, (subject, bytes): (&str, u64), (kind, layer): (&str, &Descriptor)) {
        let config = self.blob(repository, "application/vnd.oci.empty.v1+json", b"{}");
        let subject = Descriptor::new(media::OCI_MANIFEST, subject.parse().unwrap(), bytes);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "artifactType": kind, "config": config,
            "layers": [layer], "subject": subject,
        });
        let tag = subject.digest.as_str().replace(':', "-");
        let digest = sha256(manifest.to_string().as_bytes());
        let text = manifest.to_string();
        self.client.put_manifest(repository, Wanted::Digest(&digest), (media::OCI_MANIFEST, text.as_bytes())).unwrap();
        let listed = Descriptor {
            artifact_type: Some(kind.into()),
            ..Descriptor::new(media::OCI_MANIFEST, digest, text.len() as u64)
        };
        let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [listed]});
        self.put(repository, &tag, media::OCI_INDEX, &index);
    }

    /// A bundle with an in-toto statement that an image is signed.
    fn enveloped(&self, by: &str, digest: &str, predicate: &str) -> Value {
        let kind = "application/vnd.in-toto+json";
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": {},
            "subject": [{"digest": {"sha256": digest.trim_start_matches("sha256:")}}],
        })
        .to_string();
        let message = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": STANDARD.encode(&statement), "payloadType": kind,
                "signatures": [{"sig": self.signed(by, message.as_bytes()), "keyid": ""}],
            },
        })
    }

    fn put(&self, repository: &str, tag: &str, kind: &str, document: &Value) -> Descriptor {
        let text = document.to_string();
        let digest = self.client.put_manifest(repository, Wanted::Tag(tag), (kind, text.as_bytes())).unwrap();
        Descriptor::new(kind, digest, text.len() as u64)
    }

    fn sign(&self, by: &str, repository: &str, digest: &str) {
        let payload = payload(&format!("{}/{repository}", self.registry.host()), digest);
        self.attach(repository, digest, &payload, &self.signed(by, payload.as_bytes()));
    }

    /// carboy with a folder of its own for settings.
    fn run(&self, words: &[&str]) -> Ended {
        let mut command = self.carboy.command(words);
        ended(command.env("XDG_CONFIG_HOME", self.path("config")).current_dir(self.carboy.folder()))
    }

    fn says(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}: {ended:?}");
        ended.stdout
    }

    /// What keeps a command from being done; nothing of an image is there after it.
    fn refused(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert!(ended.code == 1 || ended.code == 125, "{words:?}: {ended:?}");
        assert_eq!(self.says(&["images", "-aq"]), "", "{words:?}");
        let left = |folder: &str| fs::read_dir(self.path("root").join(folder)).map_or(0, Iterator::count);
        assert_eq!((left("content/sha256"), left("layers"), left("tags")), (0, 0, 0), "{words:?}");
        ended.stderr
    }

    fn policy(&self, policy: &Value) {
        fs::create_dir_all(self.path("config/containers")).unwrap();
        fs::write(self.path("config/containers/policy.json"), policy.to_string()).unwrap();
    }

    fn verified(&self, name: &str) -> Value {
        let document: Value = serde_json::from_str(&self.says(&["image", "inspect", name])).unwrap();
        document[0]["Verified"].clone()
    }

    fn fingerprint(&self, name: &str) -> String {
        let pem = fs::read(self.path(name)).unwrap();
        image::signature::PublicKey::parse(name, &pem).unwrap().fingerprint().to_string()
    }
}

/// cosign's payload.
fn payload(name: &str, digest: &str) -> String {
    json!({
        "critical": {
            "identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
}

#[test]
fn an_image_comes_with_a_signature_by_the_key_that_is_asked_for_and_with_no_other() {
    let mut shelf = Shelf::new();
    shelf.key("otto");
    let (name, digest) = shelf.offer("app:1", "one");
    let (_, other) = shelf.offer("other:1", "other");
    let pull = ["pull", "--verify", "anna.pub", &name];
    let unsigned = shelf.refused(&pull);
    let reason = format!("error: cannot use the image {name}: it has no signature, and --verify demands one\n");
    assert!(unsigned.starts_with(&reason), "{unsigned}");
    let tag = format!("{}.sig", digest.replace(':', "-"));
    assert!(unsigned.contains(&format!("hint: looked in {}/app for {tag}", shelf.registry.host())), "{unsigned}");
    shelf.sign("otto", "app", &digest);
    let stderr = shelf.refused(&pull);
    assert!(stderr.contains("its signature is not by the key that --verify demands, or was changed"), "{stderr}");
    assert!(stderr.contains(&format!("is {}", shelf.fingerprint("anna.pub"))), "{stderr}");
    // A signature of another image, moved here.
    let of_other = payload("app", &other);
    shelf.attach("app", &digest, &of_other, &shelf.signed("anna", of_other.as_bytes()));
    let stderr = shelf.refused(&pull);
    assert!(stderr.contains(&format!("is of {other}, which is something else")), "{stderr}");
    // A payload that was changed after it was signed.
    shelf.attach("app", &digest, &payload("app", &digest), &shelf.signed("anna", of_other.as_bytes()));
    let stderr = shelf.refused(&["run", "--verify", "anna.pub", &name]);
    assert!(stderr.contains("or was changed"), "{stderr}");
    shelf.sign("anna", "app", &digest);
    let pulled = shelf.says(&pull);
    let key = shelf.fingerprint("anna.pub");
    assert!(pulled.contains(&format!("\nVerified: {digest} by {key}\n")), "{pulled}");
    assert_eq!(shelf.verified(&name), json!([{"Key": key, "Digest": digest}]));
    let stderr = shelf.run(&["run", "--verify", "otto.pub", &name]).stderr;
    assert!(stderr.contains("is not by the key that --verify demands"), "{stderr}");
    // What was verified once is verified without the registry.
    shelf.registry.kill();
    assert_eq!(shelf.says(&["run", "--rm", "--verify", "anna.pub", &name]), "one\n");
    let stderr = shelf.run(&["run", "--pull", "never", "--verify", "otto.pub", &name]).stderr;
    assert!(stderr.contains("is here, and was not verified with the key"), "{stderr}");
    let host = shelf.run(&["run", "--verify", "anna.pub", "host", "true"]);
    assert_eq!(host.code, 125, "{host:?}");
    assert!(host.stderr.contains("cannot be asked to vouch for host"), "{host:?}");
}

#[test]
fn an_image_that_is_here_is_verified_by_its_digest_whatever_its_tag_stands_for_by_now() {
    let mut shelf = Shelf::new();
    let (name, digest) = shelf.offer("app:1", "one");
    shelf.says(&["pull", "-q", &name]);
    assert_eq!(shelf.verified(&name), json!([]));
    let (_, newer) = shelf.offer("newer:1", "two");
    shelf.layout.push("newer:1", &name);
    shelf.sign("anna", "app", &newer);
    let create = ["create", "--verify", "anna.pub", "--name", "made", &name];
    let refused = shelf.run(&create);
    assert!(refused.stderr.contains("it has no signature"), "the newer one's counts for nothing: {refused:?}");
    assert_eq!(shelf.says(&["ps", "-aq"]), "");
    shelf.sign("anna", "app", &digest);
    shelf.says(&create);
    assert_eq!(shelf.says(&["start", "-a", "made"]), "one\n", "the name stands for what it stood for");
    assert_eq!(shelf.verified(&name)[0]["Digest"], json!(digest));
    let again = ["run", "--rm", "--pull", "always", "--verify", "anna.pub", &name];
    assert_eq!(shelf.run(&again).stdout, "two\n");
    let archive = shelf.path("saved.tar");
    shelf.says(&["save", "-o", archive.to_str().unwrap(), &name]);
    shelf.says(&["rm", "made"]);
    shelf.says(&["rmi", "-f", &name]);
    shelf.run(&["load", "-i", archive.to_str().unwrap()]);
    let loaded = shelf.run(&["run", "--verify", "anna.pub", &name]);
    assert!(loaded.stderr.contains("has come from no registry that has its signature"), "{loaded:?}");
}

#[test]
fn who_signs_an_index_vouches_for_what_it_names_and_a_manifest_may_be_signed_alone() {
    let mut shelf = Shelf::new();
    let index = |shelf: &Shelf, repository: &str, digest: &str| {
        let fetched = shelf.client.manifest(repository, Wanted::Digest(&digest.parse().unwrap()), &[]).unwrap();
        let manifest = Descriptor::new(media::OCI_MANIFEST, fetched.digest, fetched.bytes.len() as u64);
        let mut manifest = serde_json::to_value(manifest).unwrap();
        manifest["platform"] =
            json!({"os": "linux", "architecture": std::env::consts::ARCH.replace("x86_64", "amd64")});
        let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [manifest]});
        shelf.put(repository, "all", media::OCI_INDEX, &index).digest.to_string()
    };
    for (repository, signs_index) in [("whole", true), ("part", false)] {
        let (name, manifest) = shelf.offer(&format!("{repository}:1"), repository);
        let index = index(&shelf, repository, &manifest);
        let name = name.replace(":1", ":all");
        let signed = if signs_index { &index } else { &manifest };
        shelf.sign("anna", repository, signed);
        assert_eq!(shelf.run(&["run", "--rm", "--verify", "anna.pub", &name]).stdout, format!("{repository}\n"));
        assert_eq!(shelf.verified(&name)[0]["Digest"], json!(signed));
    }
}

#[test]
fn a_policy_says_which_names_a_signature_may_have() {
    let mut shelf = Shelf::new();
    shelf.key("otto");
    let (name, digest) = shelf.offer("app:1", "one");
    let host = shelf.registry.host();
    let repository = format!("{host}/app");
    let right = payload(&name, &digest);
    let untagged = payload(&repository, &digest);
    let elsewhere = payload("up.example/team/app:1", &digest);
    let same = json!({"type": "matchRepository"});
    let exact = json!({"type": "exactReference", "dockerReference": "up.example/team/app:1"});
    let remapped = json!({"type": "remapIdentity", "prefix": host, "signedPrefix": "up.example/team"});
    let critical = right.replace("\"critical\":{", "\"critical\":{\"until\":\"2020\",");
    for (by, payload, identity, is_taken) in [
        ("anna", right.clone(), Value::Null, true),
        ("otto", right.clone(), Value::Null, false),
        ("anna", untagged.clone(), Value::Null, false),
        ("anna", untagged, same.clone(), true),
        ("anna", elsewhere.clone(), same.clone(), false),
        ("anna", elsewhere.clone(), exact, true),
        ("anna", elsewhere, remapped, true),
        ("anna", payload("", &digest), same.clone(), false),
        ("anna", right.replace("cosign", "atomic"), same.clone(), false),
        ("anna", critical, same, false),
    ] {
        shelf.attach("app", &digest, &payload, &shelf.signed(by, payload.as_bytes()));
        let mut requirement = json!({"type": "sigstoreSigned", "keyPath": shelf.path("anna.pub")});
        if !identity.is_null() {
            requirement["signedIdentity"] = identity;
        }
        shelf.policy(&json!({"default": [requirement]}));
        if is_taken {
            shelf.says(&["pull", &name]);
            assert_eq!(shelf.verified(&name)[0]["Key"], json!(shelf.fingerprint("anna.pub")));
            shelf.says(&["rmi", &name]);
        } else {
            let stderr = shelf.refused(&["pull", &name]);
            assert!(stderr.contains("policy.json demands"), "{stderr}");
        }
    }
}

#[test]
fn a_policy_of_podmans_holds_for_what_comes() {
    let mut shelf = Shelf::new();
    let (name, digest) = shelf.offer("team/app:1", "one");
    let (other, _) = shelf.offer("other:1", "other");
    let accept = json!([{"type": "insecureAcceptAnything"}]);
    let team = format!("{}/team", shelf.registry.host());
    let rule = |requirement: Value| json!({"default": accept, "transports": {"docker": {&team: [requirement]}}});
    let key = shelf.path("anna.pub");
    let signed = rule(json!({
        "type": "sigstoreSigned", "keyPath": key, "signedIdentity": {"type": "matchRepository"},
    }));
    let file = shelf.path("config/containers/policy.json").display().to_string();
    for (policy, reason) in [
        (rule(json!({"type": "reject"})), format!("{file}: docker {team} rejects it")),
        (
            rule(json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"})),
            format!("{file}: docker {team} demands signedBy (GPG), which carboy does not verify"),
        ),
        (
            rule(json!({"type": "sigstoreSigned", "fulcio": {}})),
            format!("{file}: docker {team} demands fulcio, which carboy does not verify"),
        ),
        (signed.clone(), format!("it has no signature, and {file} demands one")),
        (json!({"default": []}), format!("{file}: default: demands nothing, not even that anything is accepted")),
        (json!("accept"), format!("{file} \"accept\": is not an object")),
    ] {
        shelf.policy(&policy);
        for command in [&["pull", &name][..], &["run", &name], &["create", &name]] {
            let stderr = shelf.refused(command);
            assert!(stderr.contains(&reason), "{command:?}: {stderr}");
        }
    }
    shelf.policy(&signed);
    shelf.sign("anna", "team/app", &digest);
    assert_eq!(shelf.run(&["run", "--rm", &name]).stdout, "one\n");
    assert_eq!(shelf.run(&["run", "--rm", &other]).stdout, "other\n");
    assert_eq!(shelf.verified(&name)[0]["Digest"], json!(digest));
    assert_eq!(shelf.verified(&other), json!([]));
}

/// cosign's statement that an image is signed, and one that lists what is in it.
const IS_SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
const HAS: &str = "https://spdx.dev/Document";

#[test]
fn what_refers_to_an_image_vouches_for_it_as_a_payload_and_as_a_bundle() {
    let mut shelf = Shelf::new();
    shelf.key("otto");
    let key = shelf.fingerprint("anna.pub");
    let simple = |shelf: &Shelf, by: &str, repository: &str, digest: &str| {
        let payload = payload(&format!("{}/{repository}", shelf.registry.host()), digest);
        let mut layer = shelf.blob(repository, SIMPLE, payload.as_bytes());
        let signature = shelf.signed(by, payload.as_bytes());
        layer.annotations.insert("dev.cosignproject.cosign/signature".into(), signature);
        (SIMPLE_ARTIFACT, layer)
    };
    let bundle = |shelf: &Shelf, repository: &str, bundle: &Value| {
        (BUNDLE, shelf.blob(repository, BUNDLE, bundle.to_string().as_bytes()))
    };
    for (repository, form) in [("payload", 0), ("envelope", 1), ("message", 2)] {
        let (name, digest) = shelf.offer(&format!("{repository}:1"), repository);
        let manifest = shelf.client.manifest(repository, Wanted::Digest(&digest.parse().unwrap()), &[]).unwrap().bytes;
        let made = |by: &str| match form {
            0 => simple(&shelf, by, repository, &digest),
            1 => bundle(&shelf, repository, &shelf.enveloped(by, &digest, IS_SIGNED)),
            _ => bundle(
                &shelf,
                repository,
                &json!({
                    "verificationMaterial": {"publicKey": {"hint": ""}},
                    "messageSignature": {"signature": shelf.signed(by, &manifest)},
                }),
            ),
        };
        let subject = (digest.as_str(), manifest.len() as u64);
        let pull = ["pull", "--verify", "anna.pub", &name];
        let unsigned = shelf.refused(&pull);
        assert!(unsigned.contains(&format!("and for referrers of {digest}")), "{unsigned}");
        let (kind, layer) = made("otto");
        shelf.refer(repository, subject, (kind, &layer));
        let stderr = shelf.refused(&pull);
        assert!(stderr.contains("is not by the key that --verify demands, or was changed"), "{repository}: {stderr}");
        if form == 1 {
            let (kind, layer) = bundle(&shelf, repository, &shelf.enveloped("anna", &digest, HAS));
            shelf.refer(repository, subject, (kind, &layer));
            let stderr = shelf.refused(&pull);
            assert!(stderr.contains("which is no signature"), "{stderr}");
        }
        let (kind, layer) = made("anna");
        shelf.refer(repository, subject, (kind, &layer));
        let pulled = shelf.says(&pull);
        assert!(pulled.contains(&format!("\nVerified: {digest} by {key}\n")), "{pulled}");
        assert_eq!(shelf.says(&["run", "--rm", "--pull", "never", &name]), format!("{repository}\n"));
        shelf.says(&["rmi", &name]);
    }
}

#[test]
fn a_policy_holds_for_archives_and_folders_too() {
    let mut shelf = Shelf::new();
    let (name, _) = shelf.offer("app:1", "one");
    let at = |path: &str| shelf.path(path).display().to_string();
    shelf.says(&["pull", "-q", &name]);
    let kinds = [("oci-archive", "a.tar"), ("docker-archive", "b.tar"), ("oci", "c"), ("dir", "d")];
    for (kind, file) in kinds {
        let place = format!("{kind}:{}", at(file));
        let place = if kind == "docker-archive" { format!("{place}:app:1") } else { place };
        shelf.says(&["push", "-q", &name, &place]);
    }
    let root = at("root.tar");
    let packed = ended(Command::new("tar").args(["-cf", &root, "-C"]).arg(shelf.carboy.busybox()).arg("."));
    assert_eq!(packed.code, 0, "{packed:?}");
    shelf.says(&["rmi", &name]);
    let file = at("config/containers/policy.json");
    let accept = json!([{"type": "insecureAcceptAnything"}]);
    let signed = json!([{"type": "sigstoreSigned", "keyPath": at("anna.pub")}]);
    let by_gpg = json!([{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]);
    for (requirement, reason) in [
        (json!([{"type": "reject"}]), "rejects it"),
        (signed, "demands a signature, and only registries are asked for one"),
        (by_gpg, "demands signedBy (GPG), which carboy does not verify"),
    ] {
        shelf.policy(&json!({"default": requirement, "transports": {"docker": {"": accept}}}));
        for (kind, path) in kinds {
            let path = at(path);
            let place = format!("{kind}:{path}");
            for words in [&["pull", &place][..], &["run", &place], &["load", "-i", &place]] {
                let stderr = shelf.refused(words);
                let expected = format!("cannot use the image {place}: {file}: default {reason}\n");
                assert!(stderr.contains(&expected), "{words:?}: {stderr}");
            }
            // What docker save writes today is a layout, too.
            let found = if kind == "docker-archive" { place.replace("docker", "oci") } else { place };
            let stderr = shelf.refused(&["load", "-i", &path]);
            assert!(stderr.contains(&format!("cannot use the image {found}: {file}: default {reason}\n")), "{stderr}");
        }
        let stderr = shelf.refused(&["import", &root, "root:1"]);
        assert!(
            stderr.contains(&format!("cannot use the image tarball:{root}: {file}: default {reason}\n")),
            "{stderr}"
        );
    }
    let folder = at("").trim_end_matches('/').to_owned();
    shelf.policy(&json!({"default": [{"type": "reject"}], "transports": {
        "oci-archive": {format!("{}:", at("a.tar")): accept}, "docker-archive": {"": accept}, "oci": {&folder: accept},
        "dir": {at("d"): accept, &folder: [{"type": "reject"}]}, "tarball": {"": accept},
    }}));
    for (kind, path) in kinds {
        shelf.says(&["pull", "-q", &format!("{kind}:{}", at(path))]);
    }
    shelf.says(&["import", &root, "root:1"]);
    assert!(shelf.run(&["pull", &name]).stderr.contains("default rejects it"));
}
