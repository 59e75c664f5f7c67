//! Documents of images as registries, Docker and others write them, and those that must be refused.

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn blob(media_type: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{DIGEST}","size":7}}"#)
}

fn manifest() -> String {
    let (config, layer) = (blob(media::OCI_CONFIG), blob(media::OCI_LAYER_GZIP));
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],"annotations":null,"new":1}}"#)
}

#[track_caller]
fn refuses(media_type: Option<&str>, document: &str, says: &str) {
    let error = Document::parse(media_type, document.as_bytes()).unwrap_err();
    let line = format!("{error} {}", error.hint().unwrap_or_default());
    assert!(line.contains(says), "{line}");
}

#[test]
fn a_digest_is_64_lower_case_digits_of_sha256() {
    let digest: Digest = DIGEST.parse().unwrap();
    assert_eq!(digest.to_string(), DIGEST);
    assert_eq!(Digest::of_hex(digest.hex()), Some(digest));
    assert_eq!(Digest::of_bytes([0xa5; 32]).hex(), "a5".repeat(32));
    for bad in
        ["", "sha256:", "sha256:E3B0", &DIGEST.to_uppercase(), &DIGEST[7..], &format!("{DIGEST}0"), "sha256:../x"]
    {
        assert!(bad.parse::<Digest>().is_err(), "{bad}");
    }
    let error = format!("sha512:{}", "0".repeat(128)).parse::<Digest>().unwrap_err();
    assert!(error.to_string().ends_with("not supported"), "{error}");
}

#[test]
fn a_manifest_is_read_whatever_it_is_served_as_unless_that_is_something_else() {
    for told in [None, Some(media::OCI_MANIFEST), Some(media::DOCKER_MANIFEST), Some("application/json; charset=utf-8")]
    {
        let Document::Manifest(read) = Document::parse(told, manifest().as_bytes()).unwrap() else {
            panic!("an index")
        };
        assert_eq!(read.layers.len(), 1);
        assert_eq!(read.config.size, 7);
    }
    refuses(Some(media::OCI_INDEX), &manifest(), "is not what its fields make of it");
    refuses(Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), &manifest(), "push the image again");
}

#[test]
fn a_document_that_could_be_read_in_two_ways_is_refused() {
    let both = manifest().replacen('{', r#"{"manifests":[],"#, 1);
    refuses(None, &both, "has fields of an index and of an image's manifest");
    let lies = manifest().replacen('{', &format!(r#"{{"mediaType":"{}","#, media::OCI_INDEX), 1);
    refuses(None, &lies, "is not what its fields make of it");
    refuses(None, r#"{"schemaVersion":1,"fsLayers":[]}"#, "push the image again");
    refuses(None, r#"{"schemaVersion":2}"#, "has neither");
    refuses(None, &manifest().replace("\"size\":7", "\"size\":-1"), "config.size");
    refuses(None, &manifest().replace(DIGEST, "sha512:00"), "not supported");
    refuses(None, &manifest().replace(DIGEST, "sha256:00"), "64 digits");
}

#[test]
fn the_manifest_that_suits_a_platform_best_is_chosen_from_an_index() {
    let item = |platform: &str, kind: &str| {
        let blob = blob(media::OCI_MANIFEST);
        let platform: Platform = platform.parse().unwrap();
        let platform = serde_json::to_string(&platform).unwrap();
        blob.replacen('{', &format!(r#"{{"platform":{platform},{kind}"#), 1)
    };
    let about = r#""annotations":{"vnd.docker.reference.type":"attestation-manifest"},"#;
    let platforms =
        [("linux/amd64", about), ("linux/386", ""), ("linux/amd64", ""), ("linux/arm/v6", ""), ("linux/arm64/v8", "")];
    let list: Vec<String> = platforms.iter().map(|(platform, kind)| item(platform, kind)).collect();
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, list.join(","));
    let Document::Index(index) = Document::parse(Some(media::DOCKER_LIST), text.as_bytes()).unwrap() else { panic!() };
    let chosen = |wanted: &str| {
        let wanted: Platform = wanted.parse().unwrap();
        index.choose(&wanted).and_then(|item| item.platform.as_ref()).map(Platform::to_string)
    };
    assert_eq!(chosen("linux/amd64").as_deref(), Some("linux/amd64"));
    assert_eq!(chosen("linux/x86_64").as_deref(), Some("linux/amd64"));
    assert_eq!(chosen("linux/arm64").as_deref(), Some("linux/arm64"));
    assert_eq!(chosen("linux/arm/v7").as_deref(), Some("linux/arm/v6"));
    assert_eq!(chosen("linux/arm/v5"), None);
    assert_eq!(chosen("linux/s390x"), None);
    assert!(index.choose(&Platform::host()).is_some());
}

#[test]
fn a_platform_is_read_as_docker_writes_it() {
    let normal = [("linux/aarch64", "linux/arm64"), ("linux/arm", "linux/arm/v7"), ("linux/arm64/v8", "linux/arm64")];
    for (text, whole) in normal {
        assert_eq!(text.parse::<Platform>().unwrap().to_string(), whole);
    }
    for bad in ["", "/", "linux/", "linux/amd64/", "a/b/c/d", "linux/am d64"] {
        assert!(bad.parse::<Platform>().is_err(), "{bad}");
    }
}

#[test]
fn a_configuration_of_docker_is_read_and_written_again() {
    let text = format!(
        r#"{{"architecture":"amd64","os":"linux","docker_version":"20","container_config":{{"Cmd":[7]}},
        "config":{{"User":"","ExposedPorts":{{"80/tcp":{{}}}},"Env":["A=1"],"Cmd":"sh","Entrypoint":null,"Volumes":null,
        "Labels":{{"a":"b"}},"Healthcheck":{{"Test":["NONE"]}},"ArgsEscaped":true,"OnBuild":[],"StopSignal":"SIGINT"}},
        "rootfs":{{"type":"layers","diff_ids":["{DIGEST}"]}},"history":[{{"created_by":"x","empty_layer":true}}]}}"#
    );
    let config = ImageConfig::parse(text.as_bytes()).unwrap();
    assert_eq!(config.config.cmd, ["sh"]);
    assert_eq!(config.config.user, None);
    assert!(config.config.exposed_ports.contains("80/tcp"));
    assert_eq!(config.platform().to_string(), "linux/amd64");
    let written = serde_json::to_vec(&config).unwrap();
    assert!(String::from_utf8_lossy(&written).contains(r#""ExposedPorts":{"80/tcp":{}}"#));
    assert_eq!(ImageConfig::parse(&written).unwrap(), config);
    assert!(ImageConfig::parse(br#"{"config":null,"rootfs":{"type":"layers","diff_ids":null}}"#).is_ok());
    assert!(ImageConfig::parse(br#"{"rootfs":{"type":"layers+base"}}"#).is_err());
}
