//! The client of registries, and the commands that speak with them, with Debian's docker-registry.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use carboy_e2e::registry::{Manner, NAME, PASSWORD, Registry, USER};
use carboy_e2e::{Carboy, Ended, Person, ended};
use error::RefusedKind;
use image::registry::{Access, Certificates, Credentials, Endpoint, Registry as Client, Secret, Trust, Wanted};
use image::sha256;
use oci::image::{Descriptor, media};
use serde_json::{Value, json};

fn anna() -> Access {
    let secret = Secret::Password(PASSWORD.into());
    Access { credentials: Some(Credentials { user: USER.into(), secret }), ..Access::default() }
}

/// One that must prove its name.
fn certified(registry: &Registry, certificates: Certificates) -> Client {
    let endpoint = Endpoint { host: registry.host(), trust: Trust::Certified };
    Client::open(endpoint, Access { certificates, ..Access::default() }).unwrap()
}

fn open(registry: &Registry, access: Access) -> Client {
    Client::open(Endpoint::of(&registry.host()), access).unwrap()
}

/// Stores an image of one layer, which is no archive, and gives its manifest.
fn push(client: &Client, repository: &str, tag: &str, subject: Option<&Descriptor>) -> Descriptor {
    push_layers(client, (repository, tag), &[vec![7; 300_000]], subject)
}

fn push_layers(
    client: &Client,
    (repository, tag): (&str, &str),
    layers: &[Vec<u8>],
    subject: Option<&Descriptor>,
) -> Descriptor {
    let store = |kind: &str, bytes: &[u8]| {
        let descriptor = Descriptor::new(kind, sha256(bytes), bytes.len() as u64);
        let owned = bytes.to_vec();
        client.upload(repository, &descriptor, &|| Ok(Box::new(std::io::Cursor::new(owned.clone())))).unwrap();
        descriptor
    };
    let layers: Vec<Descriptor> = layers.iter().map(|layer| store(media::OCI_LAYER, layer)).collect();
    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.digest).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = store(media::OCI_CONFIG, config.to_string().as_bytes());
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "config": config, "layers": layers,
    });
    if let Some(subject) = subject {
        manifest["subject"] = serde_json::to_value(subject).unwrap();
        manifest["artifactType"] = json!("application/x.signature");
    }
    let manifest = manifest.to_string();
    let digest = sha256(manifest.as_bytes());
    let wanted = if tag.is_empty() { Wanted::Digest(&digest) } else { Wanted::Tag(tag) };
    let put = client.put_manifest(repository, wanted, (media::OCI_MANIFEST, manifest.as_bytes())).unwrap();
    assert_eq!(put, digest);
    Descriptor::new(media::OCI_MANIFEST, digest, manifest.len() as u64)
}

fn read(client: &Client, repository: &str, manifest: &Descriptor) {
    let fetched = client.manifest(repository, Wanted::Digest(&manifest.digest), &[]).unwrap();
    assert_eq!(fetched.media_type, media::OCI_MANIFEST);
    let document: Value = serde_json::from_slice(&fetched.bytes).unwrap();
    let layer: Descriptor = serde_json::from_value(document["layers"][0].clone()).unwrap();
    for from in [0, 299_000] {
        let mut blob = client.blob(repository, &layer, from).unwrap();
        let mut bytes = Vec::new();
        blob.read_to_end(&mut bytes).unwrap();
        assert_eq!((blob.start(), bytes.len() as u64), (from, 300_000 - from), "docker-registry gives parts");
    }
}

#[test]
fn what_is_stored_is_there_for_this_client_and_for_skopeo() {
    let registry = Registry::start(Manner::Open);
    let client = open(&registry, Access::default());
    let manifest = push(&client, "team/app", "one", None);
    push(&client, "team/app", "two", None);
    read(&client, "team/app", &manifest);
    assert_eq!(client.tags("team/app").unwrap(), ["one", "two"]);
    assert_eq!(client.digest("team/app", Wanted::Tag("one")).unwrap(), Some(manifest.digest.clone()));
    assert_eq!(client.digest("team/app", Wanted::Tag("three")).unwrap(), None);
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"]);
    let seen = ended(skopeo.arg(format!("docker://{}/team/app:one", registry.host())));
    assert_eq!((seen.stdout.trim(), seen.stderr.as_str()), (manifest.digest.as_str(), ""));
    let layer = sha256(&vec![7; 300_000]);
    assert!(!client.has_blob("other", &layer).unwrap());
    assert!(client.mount("other", &layer, "team/app").unwrap());
    assert!(client.has_blob("other", &layer).unwrap());
    assert!(!client.mount("other", &sha256(b"nothing"), "team/app").unwrap());
    client.delete_manifest("team/app", &manifest.digest).unwrap();
    let error = client.manifest("team/app", Wanted::Tag("one"), &[]).unwrap_err();
    assert!(matches!(error, error::Error::Refused(refused) if refused.kind == RefusedKind::NoSuchObject));
}

#[test]
fn referrers_are_found_by_the_tag_where_the_registry_does_not_list_them() {
    let registry = Registry::start(Manner::Open);
    let client = open(&registry, Access::default());
    let image = push(&client, "app", "one", None);
    assert_eq!(client.referrers("app", &image.digest, None).unwrap(), []);
    let signature = push(&client, "app", "", Some(&image));
    let kind = "application/x.signature";
    let listed = Descriptor { artifact_type: Some(kind.into()), ..signature };
    let index = json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [listed] }).to_string();
    let tag = image.digest.as_str().replace(':', "-");
    client.put_manifest("app", Wanted::Tag(&tag), (media::OCI_INDEX, index.as_bytes())).unwrap();
    assert_eq!(client.referrers("app", &image.digest, Some(kind)).unwrap(), [listed]);
    assert_eq!(client.referrers("app", &image.digest, Some("application/other")).unwrap(), []);
}

#[test]
fn a_registry_proves_its_name_and_a_client_who_it_is() {
    let registry = Registry::start(Manner::ClientCertificate);
    let folder = tempfile::tempdir().unwrap();
    let of_host = folder.path().join(registry.host());
    fs::create_dir(&of_host).unwrap();
    let certificates = || Certificates { folders: vec![folder.path().to_owned()], ..Certificates::default() };
    let error = certified(&registry, certificates()).greet().unwrap_err();
    assert!(error.to_string().ends_with("signed by nobody whom this host trusts"), "{error}");
    fs::copy(registry.path("ca.crt"), of_host.join("ca.crt")).unwrap();
    let error = certified(&registry, certificates()).greet().unwrap_err();
    assert!(error.to_string().contains("it asks for another certificate"), "{error}");
    fs::copy(registry.path("client.cert"), of_host.join("me.cert")).unwrap();
    fs::copy(registry.path("server.key"), of_host.join("me.key")).unwrap();
    let endpoint = Endpoint { host: registry.host(), trust: Trust::Certified };
    let error = Client::open(endpoint, Access { certificates: certificates(), ..Access::default() }).err().unwrap();
    assert!(error.to_string().ends_with("does not belong to the certificate beside it"), "{error}");
    fs::copy(registry.path("client.key"), of_host.join("me.key")).unwrap();
    let client = certified(&registry, certificates());
    client.greet().unwrap();
    let manifest = push(&client, "app", "one", None);
    read(&client, "app", &manifest);
}

#[test]
fn tokens_are_had_for_what_is_done() {
    let registry = Registry::start(Manner::Token);
    let client = open(&registry, anna());
    client.greet().unwrap();
    let manifest = push(&client, "public/app", "one", None);
    push(&client, "secret/app", "one", None);
    assert!(client.mount("secret/other", &sha256(&vec![7; 300_000]), "public/app").unwrap());
    let nobody = open(&registry, Access::default());
    read(&nobody, "public/app", &manifest);
    let error = nobody.manifest("secret/app", Wanted::Tag("one"), &[]).unwrap_err();
    assert!(error.to_string().contains("asks for a login"), "{error}");
    assert_eq!(error.hint(), Some(format!("carboy login {}", registry.host()).as_str()));
    assert_eq!(client.catalog().unwrap(), ["public/app", "secret/app", "secret/other"]);
}

/// A command with a `config.json` of its own.
fn with_config(carboy: &Carboy, words: &[&str]) -> Ended {
    ended(carboy.command(words).env("DOCKER_CONFIG", carboy.folder().join("docker")))
}

#[test]
fn a_login_is_verified_and_kept_until_the_logout() {
    let registry = Registry::start(Manner::Password);
    let (carboy, host) = (Carboy::new(), registry.host());
    let file = carboy.folder().join("docker/config.json");
    let wrong = with_config(&carboy, &["login", "-u", USER, "-p", "wrong", &host]);
    assert_eq!(wrong.code, 1, "{}", wrong.stderr);
    assert!(wrong.stderr.contains(&format!("{host} does not accept the login of anna")), "{}", wrong.stderr);
    assert!(!file.exists());
    let login = with_config(&carboy, &["login", "-u", USER, "-p", PASSWORD, &host]);
    assert_eq!((login.code, login.stdout.as_str()), (0, "Login Succeeded\n"), "{}", login.stderr);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let again = with_config(&carboy, &["login", &host]);
    assert_eq!((again.code, again.stdout.as_str()), (0, "Login Succeeded\n"), "{}", again.stderr);
    push(&open(&registry, anna()), "team/app", "one", None);
    let tags = with_config(&carboy, &["tags", "--json", &format!("{host}/team/app")]);
    assert_eq!(tags.stdout, format!("{{\"name\":\"{host}/team/app\",\"tags\":[\"one\"]}}\n"), "{}", tags.stderr);
    let found = with_config(&carboy, &["search", "--format", "{{.Name}}", &format!("{host}/app")]);
    assert_eq!(found.stdout, format!("{host}/team/app\n"), "{}", found.stderr);
    // skopeo reads what carboy keeps.
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["list-tags", "--tls-verify=false", "--authfile"]).arg(&file);
    let listed = ended(skopeo.arg(format!("docker://{host}/team/app")));
    assert!(listed.stdout.contains("\"one\""), "{}", listed.stderr);
    let logout = with_config(&carboy, &["logout", &host]);
    assert_eq!(logout.stdout, format!("Removing login credentials for {host}\n"), "{}", logout.stderr);
    let logout = with_config(&carboy, &["logout", &host]);
    assert_eq!(logout.stdout, format!("Not logged in to {host}\n"), "{}", logout.stderr);
    let tags = with_config(&carboy, &["tags", &format!("{host}/team/app")]);
    assert_eq!(tags.code, 1);
    assert!(tags.stderr.ends_with(&format!("hint: carboy login {host}\n")), "{}", tags.stderr);
}

#[test]
fn a_login_is_asked_for_and_the_password_is_not_seen() {
    let registry = Registry::start(Manner::Password);
    let (carboy, person) = (Carboy::new(), Person::new(24, 80));
    let mut within = Command::new("env");
    within.arg(format!("DOCKER_CONFIG={}", carboy.folder().join("docker").display()));
    let command = carboy.command(["login", &registry.host()]);
    within.arg(command.get_program()).args(command.get_args());
    let before = person.settings();
    let mut login = person.start(&within);
    login.sees("Username: ");
    login.types("anna\r");
    login.sees("Password: ");
    login.types("wrong\x15huss\x7fh\r");
    let seen = login.sees("Login Succeeded");
    assert!(!seen.contains("hu"), "{seen}");
    assert_eq!(login.end().code, 0);
    assert_eq!(person.settings(), before);
    let mut login = person.start(&carboy.command(["login", "-u", "nobody", &registry.host()]));
    login.sees("Password: ");
    login.types("\x03");
    assert_ne!(login.end().code, 0);
    assert_eq!(person.settings(), before);
}

/// Keeps logins in files, one for each server.
const HELPER: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit
case $1 in
store) cat >kept ;;
get) cat kept 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
erase) rm kept ;;
esac
"#;

#[test]
fn a_program_keeps_logins_where_the_file_says_so() {
    let registry = Registry::start(Manner::Password);
    let (carboy, host) = (Carboy::new(), registry.host());
    let docker = carboy.folder().join("docker");
    fs::create_dir(&docker).unwrap();
    fs::write(docker.join("config.json"), r#"{"credsStore":"folder","psFormat":"x"}"#).unwrap();
    let helper = docker.join("docker-credential-folder");
    fs::write(&helper, HELPER).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", docker.display(), std::env::var("PATH").unwrap());
    let run = |words: &[&str]| ended(carboy.command(words).env("DOCKER_CONFIG", &docker).env("PATH", &path));
    let login = run(&["login", "-u", USER, "-p", PASSWORD, &host]);
    assert_eq!((login.code, login.stdout.as_str()), (0, "Login Succeeded\n"), "{}", login.stderr);
    let kept: Value = serde_json::from_slice(&fs::read(docker.join("kept")).unwrap()).unwrap();
    assert_eq!(kept, json!({ "ServerURL": host, "Username": USER, "Secret": PASSWORD }));
    assert!(!fs::read_to_string(docker.join("config.json")).unwrap().contains("YW5uYTpodXNo"));
    assert_eq!(run(&["search", &format!("{host}/")]).code, 0, "it is asked for the login");
    let logout = run(&["logout", &host]);
    assert_eq!(logout.stdout, format!("Removing login credentials for {host}\n"), "{}", logout.stderr);
    assert!(!docker.join("kept").exists());
}

/// Runs carboy where these files stand in the places of /etc/hosts and /etc/nsswitch.conf.
fn elsewhere(carboy: &Carboy, (hosts, switch): (&Path, &Path), words: &[&str], variables: &[(&str, &Path)]) -> Ended {
    let command = carboy.command(words);
    let script = "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/nsswitch.conf && shift 2 && exec \"$@\"";
    let mut within = Command::new("unshare");
    within.args(["--mount", "sh", "-c", script, "sh"]).arg(hosts).arg(switch);
    within.arg(command.get_program()).args(command.get_args()).envs(variables.iter().copied());
    ended(&mut within)
}

#[test]
fn a_name_of_the_hosts_file_is_found_whatever_the_hosts_libraries_are() {
    let registry = Registry::start(Manner::Tls);
    let carboy = Carboy::new();
    let (hosts, switch) = (carboy.folder().join("hosts"), carboy.folder().join("nsswitch.conf"));
    fs::write(&hosts, format!("127.0.0.1 localhost\n127.0.0.1 {NAME}\n")).unwrap();
    fs::write(&switch, "hosts: mymachines mdns4_minimal [NOTFOUND=return] resolve myhostname files dns\n").unwrap();
    let certificates = Certificates { system_file: Some(registry.path("ca.crt")), ..Certificates::default() };
    push(&certified(&registry, certificates), "app", "one", None);
    let authority = registry.path("ca.crt");
    let docker = carboy.folder().join("docker");
    let trusting = [("SSL_CERT_FILE", authority.as_path()), ("DOCKER_CONFIG", docker.as_path())];
    for host in [NAME, "localhost"] {
        let image = format!("{host}:{}/app", registry.port());
        let tags = elsewhere(&carboy, (&hosts, &switch), &["tags", &image], &trusting);
        assert_eq!((tags.stdout.as_str(), tags.stderr.as_str()), ("one\n", ""), "{host}");
    }
    let image = format!("{NAME}:{}/app", registry.port());
    let tags = elsewhere(&carboy, (&hosts, &switch), &["tags", &image], &trusting[1..]);
    assert_eq!(tags.code, 1);
    assert!(tags.stderr.contains("its certificate is signed by nobody whom this host trusts"), "{}", tags.stderr);
}

#[test]
fn an_authoritys_certificate_that_a_registry_shows_itself_is_believed_where_this_host_trusts_that_one() {
    let (registry, other) = (Registry::start(Manner::SelfSigned), Registry::start(Manner::Tls));
    let trusting = |file| Certificates { system_file: Some(file), ..Certificates::default() };
    push(&certified(&registry, trusting(registry.path("ca.crt"))), "app", "one", None);
    let folder = tempfile::tempdir().unwrap();
    let of_host = folder.path().join(registry.host());
    fs::create_dir(&of_host).unwrap();
    fs::copy(registry.path("ca.crt"), of_host.join("ca.crt")).unwrap();
    let own = Certificates { folders: vec![folder.path().to_owned()], ..trusting(other.path("ca.crt")) };
    assert_eq!(certified(&registry, own).tags("app").unwrap(), ["one"]);

    let strange = certified(&registry, trusting(other.path("ca.crt"))).tags("app").unwrap_err();
    assert!(strange.to_string().contains("is an authority's, and this host does not trust that one"), "{strange}");
    let hint = format!("put it into /etc/docker/certs.d/{}/ca.crt", registry.host());
    assert_eq!(strange.hint(), Some(hint.as_str()));
    let endpoint = Endpoint { host: format!("127.0.0.1:{}", registry.port()), trust: Trust::Certified };
    let access = Access { certificates: trusting(registry.path("ca.crt")), ..Access::default() };
    let unnamed = Client::open(endpoint, access).unwrap().tags("app").unwrap_err();
    assert!(unnamed.to_string().contains("its certificate is another host's"), "{unnamed}");
}

/// A layer with one file of this name.
fn layer(folder: &Path, name: &str) -> Vec<u8> {
    fs::write(folder.join(name), name).unwrap();
    let packed = Command::new("tar").arg("-C").arg(folder).args(["-c", name]).output().unwrap();
    assert!(packed.status.success());
    packed.stdout
}

#[test]
fn what_was_pulled_is_pushed_with_the_same_digest_and_nothing_is_sent_twice() {
    let (registry, other) = (Registry::start(Manner::Open), Registry::start(Manner::Password));
    let carboy = Carboy::new();
    let layers: Vec<Vec<u8>> = ["one", "two", "three"].iter().map(|name| layer(carboy.folder(), name)).collect();
    let manifest = push_layers(&open(&registry, Access::default()), ("base", "1"), &layers, None);
    let (base, app) = (format!("{}/base:1", registry.host()), format!("{}/team/app:2", registry.host()));
    let run = |words: &[&str]| with_config(&carboy, words);
    let good = |words: &[&str]| {
        let ended = run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
        ended.stdout
    };
    good(&["pull", &base]);
    good(&["tag", &base, &app]);
    let pushed = good(&["push", &app]);
    let last = format!("2: digest: {} size: {}", manifest.digest, manifest.size);
    assert_eq!(
        pushed.lines().next(),
        Some(format!("The push refers to repository [{}/team/app]", registry.host()).as_str())
    );
    assert_eq!(pushed.matches(": Mounted from base\n").count(), 3, "{pushed}");
    assert_eq!(pushed.lines().last(), Some(last.as_str()));
    let pushed = good(&["push", &app]);
    assert_eq!(pushed.matches(": Layer already exists\n").count(), 3, "{pushed}");
    let elsewhere = format!("{}/app:2", other.host());
    good(&["tag", &base, &elsewhere]);
    let refused = run(&["push", &elsewhere]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.ends_with(&format!("hint: carboy login {}\n", other.host())), "{}", refused.stderr);
    assert_eq!(run(&["login", "-u", USER, "-p", PASSWORD, &other.host()]).code, 0);
    let pushed = good(&["push", &elsewhere]);
    assert_eq!(pushed.matches(": Pushed\n").count(), 3, "{pushed}");
    assert_eq!(pushed.lines().last(), Some(last.as_str()));
    assert_eq!(good(&["push", "-q", &elsewhere]), format!("{elsewhere}\n"));
    let unknown = run(&["push", &format!("{}/none", other.host())]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("is not on this host"), "{}", unknown.stderr);
}

#[test]
fn whoever_asks_wrongly_is_told_how_to_ask() {
    let carboy = Carboy::new();
    let short = format!("debian@sha256:{}", "0".repeat(63));
    let large = format!("debian@sha256:{}", "A".repeat(64));
    for (words, hint) in [
        (&["tags"][..], "for example: carboy tags debian"),
        (&["tags", "a", "b"], "for example: carboy tags debian"),
        (&["search"], "for example: carboy search debian"),
        (&["search", ""], "for example: carboy search debian"),
        (&["search", "a", "b"], "for example: carboy search debian"),
        (&["search", "--filter", "stars=many", "a"], "for example: stars=3"),
        (&["logout", "x.y", "z.y"], "for example: carboy logout x.y"),
        (&["logout", "http://"], "for example: registry.example:5000; none is Docker Hub"),
        (&["login", "-u", "anna", "-p", "x", "a b"], "for example: registry.example:5000; none is Docker Hub"),
        (&["pull", &short], "give the whole of it, as registries and image lists show it"),
        (&["pull", &large], &format!("say sha256:{}", "a".repeat(64))),
    ] {
        let refused = with_config(&carboy, words);
        assert!(refused.code == 1 || refused.code == 125, "{words:?}: {refused:?}");
        assert!(refused.stderr.ends_with(&format!("\nhint: {hint}\n")), "{words:?}: {refused:?}");
    }
}
