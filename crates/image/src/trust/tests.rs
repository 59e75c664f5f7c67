//! Demands and policies, with one key and its signature of an index.

use std::path::Path;

use oci::image::Digest;

use super::*;

const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgNG/2avRsgZtlRrPaiw/8FpVlgPC
oln+pg4vUWE6lF0TcIX18AXXWlxx6/ooNjR5u5HhZWXvS2Z6FrbhXi1tVw==
-----END PUBLIC KEY-----
";
const INDEX: &str = "sha256:3e8701d1b74a4c18e1f7c802bcc20725d3c5ea187e4f944ac757433835ece8b7";

fn name(text: &str) -> Reference {
    Reference::parse_bare(text).unwrap()
}

fn policy(text: &str) -> Result<Policy> {
    Policy::parse(Path::new("/p.json"), text.as_bytes())
}

#[test]
fn a_name_in_a_signature_is_compared_as_podman_does() {
    let exact = |text| Identity::ExactReference(name(text));
    let remapped = |prefix: &str, signed: &str| Identity::Remapped { prefix: prefix.into(), signed: signed.into() };
    let by_digest = format!("r.example/a@{INDEX}");
    for (identity, signed, asked, is_right) in [
        (Identity::Exact, "r.example/a:1", "r.example/a:1", true),
        (Identity::Exact, "r.example/a:2", "r.example/a:1", false),
        (Identity::Exact, "r.example/a", "r.example/a:1", false),
        (Identity::Exact, "r.example/a", "r.example/a", false),
        (Identity::Exact, &by_digest, &by_digest, true),
        (Identity::Exact, "r.example/a:1", &by_digest, false),
        (Identity::ExactOrDigest, "r.example/a:1", "r.example/a:1", true),
        (Identity::ExactOrDigest, "r.example/a", "r.example/a:1", false),
        (Identity::ExactOrDigest, "r.example/a:1", &by_digest, true),
        (Identity::ExactOrDigest, "r.example/b:1", &by_digest, false),
        (Identity::Repository, "r.example/a", "r.example/a:1", true),
        (Identity::Repository, "debian:12", "docker.io/library/debian:13", true),
        (Identity::Repository, "r.example/a:1", "r.example/b:1", false),
        (exact("up.example/a:1"), "up.example/a:1", "r.example/a:7", true),
        (exact("up.example/a:1"), "up.example/a:2", "r.example/a:1", false),
        (Identity::ExactRepository(name("up.example/a")), "up.example/a:2", "r.example/a:1", true),
        (Identity::ExactRepository(name("up.example/a")), "up.example/b:2", "r.example/a:1", false),
        (remapped("r.example/mirror", "up.example"), "up.example/a:1", "r.example/mirror/a:1", true),
        (remapped("r.example/mirror", "up.example"), "up.example/a:2", "r.example/mirror/a:1", false),
        (remapped("r.example/mirr", "up.example"), "up.example/a:1", "r.example/mirror/a:1", false),
        (remapped("r.example/mirr", "up.example"), "r.example/mirror/a:1", "r.example/mirror/a:1", true),
        (Identity::Any, "elsewhere/b", "r.example/a:1", true),
    ] {
        let checked = identity.check(Some(&name(signed)), &name(asked));
        assert_eq!(checked.is_ok(), is_right, "{identity:?} {signed} {asked}");
        assert_eq!(identity.check(None, &name(asked)).is_ok(), identity == Identity::Any);
    }
}

#[test]
fn the_narrowest_scope_holds() {
    let accept = r#"[{"type":"insecureAcceptAnything"}]"#;
    let reject = r#"[{"type":"reject"}]"#;
    let text = format!(
        r#"{{"default": {reject}, "transports": {{"docker-daemon": {{"": {accept}}}, "docker": {{
            "r.example:5000/team/app:1": {accept}, "r.example:5000/team/app": {reject}, "r.example:5000/team": {accept},
            "*.example": {accept}, "docker.io/library": {accept}, "r.example:5000/x@{INDEX}": {accept}}}}}}}"#
    );
    let policy = policy(&text).unwrap();
    for (asked, is_taken) in [
        ("r.example:5000/team/app:1", true),
        ("r.example:5000/team/app:2", false),
        ("r.example:5000/team/other:2", true),
        ("r.example:5000/teams/other:2", true),
        ("debian:12", true),
        ("someone/debian:12", false),
        ("example/app:1", false),
        ("localhost:5000/app", false),
        (&format!("r.example:5000/x@{INDEX}"), true),
        (&format!("localhost:5000/x@{INDEX}"), false),
    ] {
        let demands = policy.demands(&Reference::parse(asked).unwrap());
        assert_eq!(demands.map(|demands| demands.len()).ok(), is_taken.then_some(0), "{asked}");
    }
    let error = policy.demands(&name("localhost:5000/app:1")).unwrap_err().to_string();
    assert_eq!(error, "cannot use the image localhost:5000/app:1: /p.json: default rejects it");
}

#[test]
fn what_a_policy_demands_and_is_not_known_refuses_the_images_that_it_is_about() {
    let fields = |more: &str| format!(r#"{{"type":"sigstoreSigned","keyData":"",{more}}}"#);
    for (requirement, field) in [
        (r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}"#.to_owned(), "signedBy (GPG)"),
        (r#"{"type":"sigstoreSigned","fulcio":{"caPath":"/c"}}"#.to_owned(), "fulcio"),
        (r#"{"type":"sigstoreSigned","pki":{}}"#.to_owned(), "pki"),
        (fields(r#""rekorPublicKeyPath":"/r""#), "rekorPublicKeyPath"),
        (fields(r#""rekorPublicKeyDatas":[]"#), "rekorPublicKeyDatas"),
    ] {
        let text = format!(
            r#"{{"default":[{{"type":"insecureAcceptAnything"}}],"transports":{{"docker":{{"r.example":[{requirement}]}}}}}}"#
        );
        let policy = policy(&text).unwrap();
        assert!(policy.demands(&name("debian:12")).unwrap().is_empty());
        let error = policy.demands(&name("r.example/a:1")).unwrap_err().to_string();
        let reason = format!("docker r.example demands {field}, which carboy does not verify");
        assert_eq!(error, format!("cannot use the image r.example/a:1: /p.json: {reason}"));
    }
}

#[test]
fn a_policy_that_cannot_be_understood_is_refused_whole() {
    let accept = r#"{"type":"insecureAcceptAnything"}"#;
    for text in [
        String::new(),
        "{}".into(),
        r#"{"default":[]}"#.into(),
        format!(r#"{{"default":[{accept}],"defaults":[]}}"#),
        format!(r#"{{"default":[{accept}],"default":[{accept}]}}"#),
        format!(r#"{{"default":[{accept}],"transports":{{"docker":{{"a":[{accept}],"a":[{accept}]}}}}}}"#),
        format!(r#"{{"default":[{accept}],"transports":{{"docker":{{"a":[]}}}}}}"#),
        r#"{"default":[{"type":"trustMe"}]}"#.into(),
        r#"{"default":[{"type":"reject","keyPath":"/k"}]}"#.into(),
        r#"{"default":[{"type":"signedBy"}]}"#.into(),
        r#"{"default":[{"type":"sigstoreSigned"}]}"#.into(),
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","keyData":""}]}"#.into(),
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","signedIdentity":{"type":"any"}}]}"#.into(),
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","signedIdentity":{"type":"matchExact","x":1}}]}"#.into(),
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","signedIdentity":
            {"type":"exactReference","dockerReference":"a"}}]}"#
            .into(),
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","signedIdentity":
            {"type":"remapIdentity","prefix":"a/","signedPrefix":"b"}}]}"#
            .into(),
    ] {
        let error = policy(&text).expect_err(&text).to_string();
        assert!(error.starts_with("cannot use /p.json"), "{error}");
    }
}

#[test]
fn a_policy_has_keys_in_files_and_in_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pub");
    std::fs::write(&file, KEY).unwrap();
    let data = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(KEY)
    };
    let file = file.display();
    for keys in [
        format!(r#""keyPath":"{file}""#),
        format!(r#""keyPaths":["{file}"]"#),
        format!(r#""keyData":"{data}""#),
        format!(r#""keyDatas":["{data}"],"signedIdentity":{{"type":"matchRepoDigestOrExact"}}"#),
    ] {
        let policy = policy(&format!(r#"{{"default":[{{"type":"sigstoreSigned",{keys}}}]}}"#)).unwrap();
        let demands = policy.demands(&name("debian:12")).unwrap();
        assert_eq!(demands[0].keys, [PublicKey::parse("", KEY.as_bytes()).unwrap()], "{keys}");
        assert_eq!(demands[0].identity, Identity::ExactOrDigest);
    }
    let absent = policy(r#"{"default":[{"type":"sigstoreSigned","keyPath":"/nothing"}]}"#).unwrap();
    let error = absent.demands(&name("debian:12")).unwrap_err().to_string();
    assert_eq!(error, "cannot read the public key /nothing");
}

#[test]
fn the_reason_that_says_most_is_told() {
    let digest: Digest = INDEX.parse().unwrap();
    let image = name("r.example/a:1");
    let candidate = Candidate { name: &image, documents: vec![Signable { digest: &digest, bytes: b"{}" }] };
    let demand = Demand::of_key(PublicKey::parse("", KEY.as_bytes()).unwrap(), "--verify");
    let told = |why| unmet(&demand, why, &candidate, "r.example/a").to_string();
    assert_eq!(told(None), "cannot use the image r.example/a:1: it has no signature, and --verify demands one");
    assert_eq!(
        told(Some(Fault::OtherKey)),
        "cannot use the image r.example/a:1: its signature is not by the key that --verify demands, or was changed"
    );
    assert!(told(Some(Fault::NeedsAuthority)).contains("Fulcio"));
    assert!(Fault::OtherName("x".into()) > Fault::OfAnother(digest.clone()));
    assert!(Fault::OfAnother(digest.clone()) > Fault::Unread(String::new()));
    assert!(Fault::Unread(String::new()) > Fault::NeedsAuthority && Fault::NeedsAuthority > Fault::OtherKey);
}

#[test]
fn places_that_are_no_registries_have_scopes_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(at("a")).unwrap();
    std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
    let (accept, reject) = (r#"[{"type":"insecureAcceptAnything"}]"#, r#"[{"type":"reject"}]"#);
    let text = format!(
        r#"{{"default": {reject}, "transports": {{"dir": {{"{}": {accept}}}, "oci": {{"{}:app:1": {accept}, "{}": {reject}}},
            "docker-archive": {{"": {accept}, "{}": {reject}}}, "docker-daemon": {{"docker.io/library": {accept}}}}}}}"#,
        at(""),
        at("a"),
        at("a"),
        at("a")
    )
    .replace("/\":", "\":");
    let policy = policy(&text).unwrap();
    for (word, is_taken) in [
        (format!("dir:{}", at("a")), true),
        (format!("dir:{}", at("link")), true),
        ("dir:/".to_owned(), false),
        (format!("dir:{}", at("nothing")), false),
        (format!("oci:{}:app:1", at("a")), true),
        (format!("oci:{}:app:1", at("link")), true),
        (format!("oci:{}:app:2", at("a")), false),
        (format!("oci:{}", at("a")), false),
        (format!("oci-archive:{}", at("a")), false),
        (format!("docker-archive:{}", at("a")), true),
        ("docker-daemon:debian:12".to_owned(), true),
        ("docker-daemon:x.y/debian:12".to_owned(), false),
        ("docker-daemon:sha256:0123".to_owned(), false),
    ] {
        let place = crate::transport::Transport::of(&word).unwrap().unwrap();
        assert_eq!(policy.accepts(&place).is_ok(), is_taken, "{word}");
    }
    assert!(policy.accepts_root("-").is_err());
}
