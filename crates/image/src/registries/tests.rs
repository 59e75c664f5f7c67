//! Where names lead to, by files as administrators write them.

use super::*;

fn of(texts: &[&str]) -> Result<Registries> {
    let named = |(number, text): (usize, &&str)| Settings {
        path: PathBuf::from(format!("/r/{number}.conf")),
        text: (*text).to_owned(),
    };
    Registries::parse(&texts.iter().enumerate().map(named).collect::<Vec<Settings>>())
}

/// The places of a name, each with `!` behind it where no proof is needed.
#[track_caller]
fn leads(texts: &[&str], name: &str, places: &[&str]) {
    let reference = Reference::parse(name).unwrap();
    let found = of(texts).unwrap().locations(&reference).unwrap();
    let shown =
        |place: &Location| format!("{}/{}{}", place.registry, place.repository, if place.insecure { "!" } else { "" });
    assert_eq!(found.iter().map(shown).collect::<Vec<String>>(), places);
}

#[track_caller]
fn refuses(texts: &[&str], says: &str) {
    let error = of(texts).unwrap_err();
    let line = format!("{error} {}", error.hint().unwrap_or_default());
    assert!(line.contains(says), "{line}");
}

#[test]
fn without_files_a_name_leads_to_its_own_registry_and_a_short_one_to_dockers() {
    leads(&[], "debian", &["docker.io/library/debian"]);
    leads(&[], "quay.io/a/b", &["quay.io/a/b"]);
    let meanings = of(&[]).unwrap().meanings("debian:13").unwrap();
    assert_eq!(meanings.iter().map(ToString::to_string).collect::<Vec<_>>(), ["docker.io/library/debian:13"]);
}

#[test]
fn mirrors_are_asked_first_each_for_what_it_serves() {
    let file = r#"
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.local:5000/hub/"
        insecure = true
        [[registry.mirror]]
        location = "digests.local"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.local"
        pull-from-mirror = "tag-only"
    "#;
    let (own, first) = ("docker.io/library/debian", "mirror.local:5000/hub/library/debian!");
    leads(&[file], "debian", &[first, "tags.local/library/debian", own]);
    let digest = format!("debian@sha256:{}", "0".repeat(64));
    leads(&[file], &digest, &[first, "digests.local/library/debian", own]);
    leads(&[file], "quay.io/a", &["quay.io/a"]);
}

#[test]
fn the_longest_prefix_holds_and_ends_where_a_part_ends() {
    let file = r#"
        [[registry]]
        prefix = "x.y/a"
        location = "z.y/moved"
        [[registry]]
        prefix = "x.y"
        insecure = true
        [[registry]]
        prefix = "*.z.y"
        location = "all.local/z"
        [[registry]]
        prefix = "*.only.y"
        insecure = true
    "#;
    leads(&[file], "x.y/a/b", &["z.y/moved/b"]);
    leads(&[file], "x.y/a:1", &["z.y/moved"]);
    leads(&[file], "x.y/ab", &["x.y/ab!"]);
    leads(&[file], "x.y:5000/a", &["x.y:5000/a!"]);
    leads(&[file], "xx.y/a", &["xx.y/a"]);
    leads(&[file], "deep.below.z.y/c/d", &["all.local/z/c/d"]);
    leads(&[file], "z.y/c", &["z.y/c"]);
    leads(&[file], "a.only.y:80/c", &["a.only.y:80/c!"]);
    leads(&[file], "evil.com/a.only.y/c", &["evil.com/a.only.y/c"]);
}

#[test]
fn nothing_is_had_from_a_blocked_registry() {
    let file = "[[registry]]\nprefix = \"x.y/secret\"\nblocked = true\n";
    let error = of(&[file]).unwrap().locations(&Reference::parse("x.y/secret/a:1").unwrap()).unwrap_err();
    assert!(error.to_string().contains("x.y/secret/a:1: is of x.y/secret, which /r/0.conf blocks"), "{error}");
    // A later file takes the same prefix's place.
    leads(&[file, "[[registry]]\nprefix = \"x.y/secret\"\n"], "x.y/secret/a", &["x.y/secret/a"]);
}

#[test]
fn a_short_name_is_an_alias_or_looked_for_where_the_files_say() {
    let file =
        "unqualified-search-registries = [\"quay.io\", \"docker.io\"]\n[aliases]\n\"sh\" = \"x.y/shells/busybox\"\n";
    let means = |texts: &[&str], name: &str| {
        let meanings = of(texts).unwrap().meanings(name).unwrap();
        meanings.iter().map(ToString::to_string).collect::<Vec<String>>()
    };
    assert_eq!(means(&[file], "a/b:1"), ["quay.io/a/b:1", "docker.io/a/b:1"]);
    assert_eq!(means(&[file], "a"), ["quay.io/a:latest", "docker.io/library/a:latest"]);
    assert_eq!(means(&[file], "sh:2"), ["x.y/shells/busybox:2"]);
    assert_eq!(means(&[file], "z.y/sh"), ["z.y/sh:latest"]);
    assert_eq!(means(&[file, "[aliases]\nsh = \"\"\n"], "sh").len(), 2);
    assert_eq!(means(&[file, "unqualified-search-registries = [\"quay.io\"]"], "a"), ["quay.io/a:latest"]);
    let strict = of(&[file, "short-name-mode = \"enforcing\""]).unwrap();
    let error = strict.meanings("a").unwrap_err();
    assert_eq!(error.hint(), Some("say which: quay.io/a:latest"), "{error}");
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_place() {
    refuses(&["", "a = \n"], "/r/1.conf, line 1");
    refuses(&["[registries.search]\nregistries = []"], "version 1");
    refuses(&["[[registry]]\n"], "prefix: is missing");
    refuses(&["[[registry]]\nlocation = \"https://x.y\""], "https://x.y: is not HOST");
    refuses(&["[[registry]]\nprefix = \"a*.y\""], "'*' elsewhere");
    refuses(&["[[registry]]\nprefix = \"x.y\"\n[[registry.mirror]]\n"], "mirror.location");
    refuses(&["unqualified-search-registries = [\"x.y/z\"]"], "x.y/z: is no registry's host");
    refuses(&["short-name-mode = \"maybe\""], "maybe");
    refuses(&["[aliases]\na = \"b\""], "is not REGISTRY/REPOSITORY");
    refuses(&["[aliases]\na = \"x.y/b:1\""], "is not REGISTRY/REPOSITORY");
}

#[test]
fn a_file_is_read_with_its_drop_ins_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registries.conf");
    assert_eq!(Registries::read(&file).unwrap(), Registries::default());
    let drop_ins = folder.path().join("registries.conf.d");
    std::fs::create_dir(&drop_ins).unwrap();
    for (name, registry) in [("b.conf", "b.y"), ("a.conf", "a.y"), ("c.toml", "c.y")] {
        std::fs::write(drop_ins.join(name), format!("unqualified-search-registries = [\"{registry}\"]")).unwrap();
    }
    std::fs::write(&file, "unqualified-search-registries = [\"x.y\"]").unwrap();
    assert_eq!(Registries::read(&file).unwrap().search, ["b.y"]);
}
