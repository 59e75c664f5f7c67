//! The same `images`, `history` and `inspect` asked of Debian's docker.io and of carboy about the same images: what they say
//! is the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::{Carboy, Ended, says};
use serde_json::Value;

const DOCKERFILE: &str = r#"FROM probe
LABEL team=blue com.example.tier="front end"
ENV GREETING="hello world"
COPY file /data/file
WORKDIR /data
USER 65534
VOLUME /data
EXPOSE 80
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD test -e /data/file
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat file; echo $GREETING; id -u; pwd"]
"#;

const SAME: &[&[&str]] = &[
    &["images", "-q"],
    &["images", "-q", "--no-trunc"],
    &["images", "-aq", "web"],
    &["images", "--format", "{{.Repository}}|{{.Tag}}|{{.ID}}|{{.Digest}}|{{.Containers}}"],
    &["images", "--format", "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}"],
    &["images", "web", "--format", "{{.Repository}}:{{.Tag}}"],
    &["images", "web:1", "--format", "{{.Repository}}:{{.Tag}}"],
    &["images", "w*:2", "--format", "{{.Repository}}:{{.Tag}}"],
    &["images", "nothing", "--format", "{{.Repository}}:{{.Tag}}"],
    &["images", "-q", "-f", "label=team=blue"],
    &["images", "-q", "-f", "label=team=red"],
    &["images", "-q", "-f", "before=web:1"],
    &["images", "-q", "-f", "since=probe"],
    &["images", "-q", "-f", "dangling=true"],
    &["images", "-q", "-f", "dangling=false"],
    &["images", "--filter", "reference=*:latest", "--format", "{{.Repository}}:{{.Tag}}"],
    &["images", "-f", "before=nothing"],
    &["images", "-f", "nothing=x"],
    &["images", "--format", "{{.Nothing}}"],
    &["image", "ls", "-q"],
    // What Docker has built itself has ids in between.
    &["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "web:1"],
    &["history", "--format", "{{.CreatedBy}}", "web:1"],
    &["history", "--no-trunc", "--format", "{{.ID}}", "probe"],
    &["image", "history", "-q", "probe"],
    &["history", "nothing"],
    &["inspect", "-f", "{{.Id}} {{.RepoTags}} {{.Architecture}} {{.Os}} {{.Created}}", "web:1"],
    &["inspect", "-f", "{{json .Config.Env}} {{json .Config.Cmd}} {{json .Config.Entrypoint}}", "web:1"],
    &["inspect", "-f", "{{json .Config.Labels}} {{.Config.User}} {{.Config.WorkingDir}}", "web:2"],
    &["inspect", "-f", "{{json .Config.Volumes}} {{json .Config.ExposedPorts}} {{.Config.StopSignal}}", "web:1"],
    &[
        "inspect",
        "-f",
        "{{.Config.Healthcheck.Test}} {{json .Config.Healthcheck.Interval}} {{.RootFS.Type}} {{.RootFS.Layers}}",
        "web:1",
    ],
    &["inspect", "--type", "image", "-f", "{{.Id}} {{.Comment}}", "probe"],
    // What this image does not say.
    &["inspect", "-f", "{{.Os}}/{{.Architecture}}{{if .Variant}}/{{.Variant}}{{end}} [{{.OsVersion}}]", "probe"],
    &[
        "inspect",
        "-f",
        "{{.Config.Labels}} {{.Config.Labels.team}} {{.Config.Volumes}} {{.Config.ExposedPorts}}",
        "probe",
    ],
    &["inspect", "-f", "{{.Config.Env}} {{.Config.Cmd}} {{len .Config.Entrypoint}} {{.Config.OnBuild}}", "probe"],
    &["inspect", "-f", "{{.Config.Healthcheck}} [{{.Config.StopSignal}}] {{.Config.Shell}}", "probe"],
    &["inspect", "-f", "{{if .Config.Healthcheck}}checked{{else}}unchecked{{end}}", "probe"],
    &["image", "inspect", "-f", "{{.Id}}", "web:1", "nothing", "probe"],
    &["inspect", "nothing"],
    &["inspect", "--type", "container", "web:1"],
    // Names that are none.
    &["pull", "UPPER"],
    &["pull", "web@sha256:abc"],
    &["tag", "web:1", "x:y:z"],
    &["tag", "web:1", "a b"],
    &["rmi", "--no-prune", "nothing"],
];

/// The keys of a document, those of documents in it too.
fn keys(document: &Value, before: &str, found: &mut BTreeSet<String>) {
    for (key, value) in document.as_object().into_iter().flatten() {
        let key = format!("{before}{key}");
        keys(value, &format!("{key}."), found);
        found.insert(key);
    }
}

fn said(ended: &Ended) -> String {
    let mut text = ended.stdout.clone();
    if ended.code != 0 {
        let _ = write!(text, "exit code {}", ended.code);
    }
    text
}

#[test]
fn of_images_and_of_a_container_s_beginning_the_same_is_said_as_by_docker() {
    let (docker, carboy) = (Docker::configured(NO_NETWORKS), Carboy::new());
    let context = carboy.folder().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), DOCKERFILE).unwrap();
    fs::write(context.join("file"), "0123456789\n").unwrap();
    // Docker lists the newest image first, and those of one second in any order.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    docker.told(&["build", "-q", "-t", "web:1", "-t", "web:2", context.to_str().unwrap()]);
    let archive = context.join("images.tar");
    docker.told(&["save", "-o", archive.to_str().unwrap(), "web:1", "web:2", "probe"]);
    says(&carboy, &["load", "-q", "-i", archive.to_str().unwrap()]);

    let mut different = String::new();
    for words in SAME {
        let [docker, carboy] = [docker.run(words), carboy.run(*words)].map(|ended| said(&ended));
        if docker != carboy {
            let _ = writeln!(different, "{words:?}\n  docker {docker:?}\n  carboy {carboy:?}");
        }
    }
    assert!(different.is_empty(), "\n{different}");

    let [of_docker, of_carboy] = [docker.run(&["inspect", "web:1"]), carboy.run(["inspect", "web:1"])].map(|ended| {
        let document: Value = serde_json::from_str(&ended.stdout).unwrap();
        let mut found = BTreeSet::new();
        keys(&document[0], "", &mut found);
        found
    });
    let missing: Vec<&String> = of_docker.difference(&of_carboy).filter(|key| !key.starts_with("Container")).collect();
    // The one is where Docker mounts it, the other where it works on it; carboy does neither.
    assert_eq!(missing, ["GraphDriver.Data.MergedDir", "GraphDriver.Data.WorkDir"]);

    for words in [&["web:1"][..], &["web:1", "echo given"], &["-e", "GREETING=x", "-w", "/", "-u", "0", "web:2"]] {
        let words = [&["run", "--rm", "--network", "none"], words].concat();
        let [of_docker, of_carboy] = [docker.run(&words), carboy.run(&words)];
        assert_eq!(said(&of_carboy), said(&of_docker), "{words:?}: {} {}", of_carboy.stderr, of_docker.stderr);
    }
    says(&carboy, &["rmi", "web:1", "web:2", "probe"]);
    assert_eq!(says(&carboy, &["images", "-q"]), "");
}
