//! Real keys and signatures: `openssl ecparam`, `openssl genpkey`, `openssl dgst -sign`, `openssl pkeyutl -sign -rawin`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::sha256;

const DIGEST: &str = "sha256:3e8701d1b74a4c18e1f7c802bcc20725d3c5ea187e4f944ac757433835ece8b7";
/// What was signed.
const PAYLOAD: &str = r#"{"critical":{"identity":{"docker-reference":"registry.example/team/app:1"},"image":{"docker-manifest-digest":"sha256:3e8701d1b74a4c18e1f7c802bcc20725d3c5ea187e4f944ac757433835ece8b7"},"type":"cosign container image signature"},"optional":{"by":"anna"}}"#;
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgNG/2avRsgZtlRrPaiw/8FpVlgPC
oln+pg4vUWE6lF0TcIX18AXXWlxx6/ooNjR5u5HhZWXvS2Z6FrbhXi1tVw==
-----END PUBLIC KEY-----
";
const P384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEmmH4lsN4vBKu+Gpaal2Kk1ImQH6Iea9b
6mYfh0p2kWgrCWG25p6yrFqrMh0MxWI/uR35lSnCXwMIhLNd820ewAbXn8uM9t6a
zi6DWSNO4ji6TQY0pbCTy1uZEhY8gDgm
-----END PUBLIC KEY-----
";
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAdExrHqSTgVVbRtPTd32yw1oiYESwlfvtyvLuB2gqyCA=
-----END PUBLIC KEY-----
";
const RSA: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvsTKzy7bK8UzWUxCfU2x
P0uolQh9F1RqFvxxj7oCjxnzDyZmoM5WA36lPiuCSHsI+4mP2PODcwCw2ALQn+pA
xvMrbKPkEurxJ6eq543Wn2U8pdQP9I6qG1ykKFZiH0VD/hPaKhIJz0Gk0Mptx4Cy
SeHicQ+WtKU/8O9Vcyz9J2VBTha1Uka96Kb/9ycA+OrrB+myP2qUFi9uvKSQ79Kr
3cix4sHR7xukvy7eg/MdoQj3P6L6p//P9aDlbb6/S5WfNmwkojFuHkDZovZiaeLi
l1Qx7Vnbg1jbfKG6WRl/gw6Szlh/CdPOicpFEe0Q1Ag/HVRIB7VE4Qgjn6QZbQo2
SQIDAQAB
-----END PUBLIC KEY-----
";
const P521: &str = "-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBA+7970II2UkHAmyvHXKpylnXBTsP
XIoY97te8UAidzdl1iAFjtf482qgCuZ1HazOjPt/dbxO+mEPwsIkDjmznnIArkbK
O93Cisw2TsXnyNDqgx+oHhuI/j4IJLRyIURTsichtaP84e+AuONkRAVnX88liq9W
Ci2tv+tPC+c63Sy1CW4=
-----END PUBLIC KEY-----
";
const BY_P256: &str =
    "MEUCIQCC+c8bbOzlL4RPmlYG74DdFze20Uh9sJQfGuVdbefcJAIgcqx1T6/XrwITdkETnLjk46Sy2pvU72c/fnkUGVswOeQ=";
const BY_P384: &str = "MGUCMQCeBJG0g6291bjif47HzYSSrfkPn7JfHz3Yy3+1fKglXstNNwctR07dJSOrbhxWC20CMFoTRn92PYFqZpJa9InqTRybblWW\
     h9R3qVBM3NQwkW7tTIYTOYv7u7Hi68HKWBJZjA==";
const BY_P384_SHA384: &str = "MGYCMQDu5++pg3OGuqNljHdpiC9C4A/DAw2s/OZhZwpr0ilrHTkZ6YiNEUnTkCzyZ8tikaECMQClTr3VBv1Ni3Lh8iPbgZXiAz3c\
     duVAIbjjoycMzkvZnvt5TueFaM2wpR0L2zUor2M=";
const BY_ED25519: &str = "CRDkfQ0tVpJjH4df4Qzoy2JzyAHtZYFY81/eU2PVXw+ym8wRLnAdW/7EQhkaHWl7Iae3XqI2CJD4dzkwR9FZDw==";
const BY_RSA: &str = "NsKXcvUftYQoZWjEdXWvvtS4PY01dTqpK2bPmacbQ6xsjXvW47iQihC3BqLvv+aBG6rqPOKo3wGjXXq3rVo3D5KFJPpenwGiKnxf\
     aU/neCsyh6ccEO35Y/DttDxeZgaScBCcUz3bKLZ50akNBdEHEMbh+LxSt7w5/KQJdU1AOxynfLdG3C2Zd19jC0m7jLbSzXU/Ivpj\
     ctezDBw0gWouK3OEuMsZ4S0UoS6YIY5XQc4fbWpLhDa+6f6vIfSYl0eRj7qTobrI+ZUCu5dVTIWeFXEOVd9Pe/NFpFbueFG/RC6B\
     3ov2PjykGUb5HQJPVP9g2jhhgRIOu9uvnFa5C9pIiQ==";
/// Of [`STATEMENT`] in an envelope, by [`P256`].
const ENVELOPE: &str =
    "MEQCIBnW6+hQ4xLhsiof7HLNJYaqKfvHVI8ofkDcAt5BrHcLAiAlh/ANWjlWlWTfSbXMrqYcO2xLyG3AAUQtmCHDrn5asg==";
const STATEMENT: &str = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"3e8701d1b74a4c18e1f7c802bcc20725d3c5ea187e4f944ac757433835ece8b7"},"annotations":{}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}"#;

fn key(pem: &str) -> PublicKey {
    PublicKey::parse("key.pub", pem.as_bytes()).unwrap()
}

fn simple(payload: &str, signature: &str) -> Signature {
    let signatures = vec![STANDARD.decode(signature).unwrap()];
    Signature { form: Form::Simple(payload.as_bytes().to_vec()), signatures, maker: Maker::Key }
}

fn bundled(statement: &str, signature: &str) -> serde_json::Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": { "publicKey": { "hint": "x" }, "tlogEntries": [] },
        "dsseEnvelope": {
            "payload": STANDARD.encode(statement), "payloadType": "application/vnd.in-toto+json",
            "signatures": [{ "sig": signature, "keyid": "" }],
        },
    })
}

#[test]
fn every_kind_of_key_verifies_what_openssl_signs_with_it() {
    for (pem, signature) in
        [(P256, BY_P256), (P384, BY_P384), (P384, BY_P384_SHA384), (ED25519, BY_ED25519), (RSA, BY_RSA)]
    {
        let claim = simple(PAYLOAD, signature).claim(&key(pem), &[]).unwrap();
        assert_eq!(claim.digests, [DIGEST.parse().unwrap()]);
        assert_eq!(claim.name.unwrap().to_string(), "registry.example/team/app:1");
        let changed = PAYLOAD.replace("anna", "Anna");
        assert_eq!(simple(&changed, signature).claim(&key(pem), &[]), Err(Fault::OtherKey));
        for other in [P256, P384, ED25519, RSA].into_iter().filter(|other| *other != pem) {
            assert_eq!(simple(PAYLOAD, signature).claim(&key(other), &[]), Err(Fault::OtherKey));
        }
    }
}

#[test]
fn a_key_is_known_by_the_digest_of_its_der() {
    let fingerprint = "sha256:f50431816cbd49e51b84fa828be48095861d87fd47ffe3f3ff307de3f99c91d4";
    assert_eq!(key(P256).fingerprint().as_str(), fingerprint);
    let kept = serde_json::to_string(&key(P256)).unwrap();
    assert_eq!(serde_json::from_str::<PublicKey>(&kept).unwrap(), key(P256));
    assert!(serde_json::from_str::<PublicKey>("\"AAAA\"").is_err());
}

#[test]
fn what_is_no_public_key_is_refused_with_why() {
    let two = format!("{P256}{P384}");
    let private = P256.replace("PUBLIC", "ENCRYPTED SIGSTORE PRIVATE");
    for (pem, reason) in [
        ("", "holds no PUBLIC KEY in PEM"),
        (&private, "holds no PUBLIC KEY in PEM"),
        (&two, "holds more than one key"),
        (P521, "is of an algorithm that is not known"),
        (&P256[..100], "is damaged: it is no whole PEM"),
    ] {
        let error = PublicKey::parse("key.pub", pem.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot use the public key key.pub: {reason}"));
    }
}

#[test]
fn a_payload_is_cosigns_and_says_nothing_critical_that_is_not_known() {
    let critical = |kind: &str, more: &str| {
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":""}},"image":{{"docker-manifest-digest":"{DIGEST}"}},"type":"{kind}"{more}}},"optional":null}}"#
        )
    };
    let right = "cosign container image signature";
    assert_eq!(super::simple::parse(critical(right, "").as_bytes()).unwrap().name, None);
    for wrong in [
        critical("atomic container signature", ""),
        critical(right, r#","until":"2020""#),
        critical(right, r#","type":"cosign container image signature""#),
        critical(right, "").replace("sha256:", "md5:"),
        critical(right, "").replace(r#"docker-reference":""#, r#"docker-reference":"A B"#),
        "{}".into(),
        "[]".into(),
        String::new(),
    ] {
        assert!(matches!(super::simple::parse(wrong.as_bytes()), Err(Fault::Unread(_))), "{wrong}");
    }
}

#[test]
fn an_envelope_counts_where_its_statement_says_that_the_image_is_signed() {
    let claim = |bundle: &serde_json::Value, pem| {
        super::bundle::parse(bundle.to_string().as_bytes()).and_then(|signature| signature.claim(&key(pem), &[]))
    };
    let bundle = bundled(STATEMENT, ENVELOPE);
    assert_eq!(claim(&bundle, P256), Ok(Claim { digests: vec![DIGEST.parse().unwrap()], name: None }));
    assert_eq!(claim(&bundle, P384), Err(Fault::OtherKey));
    assert_eq!(claim(&bundled(&STATEMENT.replace("3e87", "3e88"), ENVELOPE), P256), Err(Fault::OtherKey));
    let mut keyless = bundle.clone();
    keyless["verificationMaterial"] = json!({ "certificate": { "rawBytes": "" }, "tlogEntries": [] });
    assert_eq!(claim(&keyless, P384), Err(Fault::NeedsAuthority));
    let mut empty = bundle.clone();
    empty["dsseEnvelope"]["signatures"] = json!([]);
    assert_eq!(claim(&empty, P256), Err(Fault::OtherKey));
    for field in ["verificationMaterial", "dsseEnvelope"] {
        let mut wrong = bundle.clone();
        wrong.as_object_mut().unwrap().remove(field);
        assert!(matches!(claim(&wrong, P256), Err(Fault::Unread(_))), "{wrong}");
    }
    // An approval is told from a list of what is in an image, by whoever that is signed.
    for other in [
        STATEMENT.replace("https://sigstore.dev/cosign/sign/v1", "https://spdx.dev/Document"),
        STATEMENT.replace("Statement/v1", "Statement/v9"),
        STATEMENT.replace("sha256", "sha512"),
    ] {
        assert!(matches!(
            super::bundle::statement("application/vnd.in-toto+json", other.as_bytes()),
            Err(Fault::Unread(_))
        ));
    }
}

#[test]
fn a_bundle_may_sign_the_manifest_itself() {
    // What was signed stands in for a manifest: to this form of signature it is bytes.
    let document = PAYLOAD.as_bytes();
    let digest = sha256(document);
    let bundle = json!({
        "verificationMaterial": { "publicKey": { "hint": "" } },
        "messageSignature": { "messageDigest": { "algorithm": "SHA2_256", "digest": "" }, "signature": BY_P256 },
    });
    let signature = super::bundle::parse(bundle.to_string().as_bytes()).unwrap();
    let claim = signature.claim(&key(P256), &[Signable { digest: &digest, bytes: document }]).unwrap();
    assert_eq!(claim.digests, std::slice::from_ref(&digest));
    let other = Signable { digest: &digest, bytes: b"{}" };
    assert_eq!(signature.claim(&key(P256), &[other]), Err(Fault::OtherKey));
}
