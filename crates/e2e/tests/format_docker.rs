//! The same `ps` and `inspect` asked of Debian's docker.io and of carboy: what they say is the same, but for differences that
//! are wanted, each with its reason.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::{Carboy, Ended, ended};
use serde_json::Value;

/// The same containers, by the same names, in both.
struct Both {
    docker: Docker,
    carboy: Carboy,
    image: String,
    /// The ids of `web` and `job`, and the PID of `web`.
    of_docker: [String; 3],
    of_carboy: [String; 3],
}

const FLAGS: [&str; 12] = [
    "--network",
    "none",
    "--label",
    "team=blue",
    "-l",
    "com.example.tier=front",
    "-e",
    "GREETING=hello world",
    "-w",
    "/tmp",
    "-v",
    "/usr/share:/shared:ro",
];

/// Debian's, where another stands before it.
const DOCKER: &str = "/usr/bin/docker";

/// A command of Docker's client to its end.
fn ask_docker(docker: &Docker, words: &[&str]) -> Ended {
    let command = docker.command(words);
    ended(Command::new("timeout").args(["60", DOCKER]).args(command.get_args()).stdin(Stdio::null()))
}

impl Both {
    fn new() -> Self {
        let (docker, carboy) = (Docker::configured(NO_NETWORKS), Carboy::new());
        let image = carboy.busybox().to_str().unwrap().to_owned();
        let start = |run: &dyn Fn(&[&str]) -> Ended, image: &str, state: &dyn Fn(&str) -> Ended| {
            let told = |ended: Ended| {
                assert_eq!(ended.code, 0, "{}", ended.stderr);
                ended.stdout.trim_end().to_owned()
            };
            let words =
                ["run", "-d", "--name", "job", "-l", "team=red", "--network", "none", image, "sh", "-c", "exit 3"];
            let job = told(run(&words));
            assert_eq!(told(run(&["wait", "job"])), "3");
            let web = [&["run", "-d", "--name", "web"], &FLAGS[..], &[image, "sh", "-c", "exec sleep 1000"]].concat();
            let web = told(run(&web));
            let pid = told(state("web"));
            [web, job, pid]
        };
        let pid = ["inspect", "-f", "{{.State.Pid}}"];
        let of_docker = start(&|words| ask_docker(&docker, words), "probe", &|name| {
            ask_docker(&docker, &[&pid[..], &[name]].concat())
        });
        let of_carboy = start(&|words| carboy.run(words), &image, &|name| carboy.run([&pid[..], &[name]].concat()));
        Self { docker, carboy, image, of_docker, of_carboy }
    }

    /// What both say, with the same words for what cannot be the same.
    fn ask(&self, words: &[&str]) -> [String; 2] {
        let said = |ended: Ended, ids: &[String; 3], image: &str| {
            let mut text = ended.stdout;
            for (id, shown) in ids[..2].iter().zip(["<WEB>", "<JOB>"]) {
                text = text.replace(id.as_str(), shown).replace(&id[..12], shown);
            }
            text = text.replace(image, "<IMAGE>").replace(&ids[2], "<PID>");
            if ended.code != 0 {
                let _ = write!(text, "exit code {}", ended.code);
            }
            text
        };
        let of_carboy: Vec<String> = words.iter().map(|word| word.replace("probe", &self.image)).collect();
        [
            said(ask_docker(&self.docker, words), &self.of_docker, "probe"),
            said(self.carboy.run(of_carboy), &self.of_carboy, &self.image),
        ]
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = self.docker.run(&["rm", "-f", "web", "job"]);
    }
}

/// Where they say different things.
struct Wanted {
    words: &'static [&'static str],
    docker: &'static str,
    carboy: &'static str,
    reason: &'static str,
}

const SAME: &[&[&str]] = &[
    &["ps", "-q"],
    &["ps", "-aq"],
    &["ps", "-aq", "--no-trunc"],
    &["ps", "-lq"],
    &["ps", "-qn", "1"],
    &["ps", "-qn", "5"],
    &["ps", "-qn", "-1"],
    &["ps", "-a", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.State}}"],
    &["ps", "-a", "--format", "{{.ID}} {{.Command}}", "--no-trunc"],
    &["ps", "-a", "-f", "name=job", "--format", "{{.Labels}}|{{.Ports}}|{{.LocalVolumes}}"],
    &["ps", "-a", "--format", "{{.Label \"team\"}}|{{.Label \"com.example.tier\"}}|{{.Label \"none\"}}"],
    &["ps", "-f", "id"],
    &["ps", "-a", "--format", "{{.Mounts}}", "--no-trunc"],
    &["ps", "-a", "--format", "{{.Networks}}"],
    &["ps", "-a", "--format", "table {{.Names}}\t{{.Label \"com.example.tier\"}}\t{{.Image}}"],
    &["ps", "-a", "--format", "table {{.Names}}\\t{{.State}}\\t{{upper .Names}}\\t{{.Ports}}"],
    &["ps", "-a", "--format", "{{len .Names}} {{printf \"%-6s|\" .Names}}"],
    &["ps", "-q", "-f", "name=e"],
    &["ps", "-qa", "-f", "name=^web$"],
    &["ps", "-qa", "-f", "name=^/job$"],
    &["ps", "-qa", "-f", "label=team"],
    &["ps", "-qa", "-f", "label=team=blue"],
    &["ps", "-qa", "-f", "label=team=blue", "-f", "label=none"],
    &["ps", "-q", "-f", "status=exited"],
    &["ps", "-q", "-f", "status=running", "-f", "status=exited"],
    &["ps", "-qa", "-f", "exited=3"],
    &["ps", "-q", "-f", "exited=3"],
    &["ps", "-qa", "-f", "exited=0"],
    &["ps", "-qa", "-f", "before=web"],
    &["ps", "-qa", "-f", "since=job"],
    &["ps", "-qa", "-f", "ancestor=probe"],
    &["ps", "-qa", "-f", "ancestor=other"],
    &["ps", "-qa", "-f", "volume=/shared"],
    &["ps", "-qa", "-f", "network=none"],
    &["ps", "-qa", "-f", "network=host"],
    &["ps", "-qa", "-f", "health=none"],
    &["ps", "-qa", "-f", "health=healthy"],
    &["ps", "-qa", "-f", "publish=80"],
    &["ps", "-qa", "-f", "expose=80"],
    &["ps", "-f", "status=up"],
    &["ps", "-f", "nothing=x"],
    &["ps", "-f", "before=nothing"],
    &["ps", "--format", "{{.ID"],
    &["ps", "--format", "{{.Nothing}}"],
    &["ps", "--format", "{{nothing}}"],
    &["rename", "web", "job"],
    &["rename", "web", "web"],
    &["rename", "nothing", "other"],
    &["rename", "web", "no/name"],
    &["top", "job"],
    &["top", "nothing"],
    &["top", "web", "--nonsense"],
    &["top", "web", "-o", "args"],
    &["inspect", "-f", "{{.ID", "web"],
    &["inspect", "-f", "{{.Nothing}}", "web"],
    &["inspect", "-f", "{{.State.Nothing}}", "web"],
    &["inspect", "nothing"],
    &["inspect", "-f", "{{.Id}}", "nothing", "web"],
    &["inspect", "-f", "{{.Id}} {{.Name}} {{.Path}} {{.Args}} {{.RestartCount}} {{.Platform}}", "web", "job"],
    &[
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.ExitCode}} {{.State.Pid}}",
        "web",
        "job",
    ],
    &["inspect", "-f", "{{.State.OOMKilled}} {{.State.Restarting}} {{.State.Dead}} {{.State.Error}}", "web", "job"],
    &["inspect", "-f", "{{.State.FinishedAt}} {{.State.Health}}", "web"],
    &["inspect", "-f", "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "web"],
    &[
        "inspect",
        "-f",
        "{{.Config.Labels}} {{index .Config.Labels \"team\"}} [{{index .Config.Labels \"none\"}}]",
        "web",
    ],
    &["inspect", "-f", "{{json .Config.Labels}} {{json .Args}} {{json .Name}} {{json .State.Health}}", "web"],
    &["inspect", "-f", "{{.Config.Labels.team}} {{.Config.Labels.none}}", "web"],
    &[
        "inspect",
        "-f",
        "{{.Config.WorkingDir}} {{.Config.Tty}} {{.Config.User}}|{{.Config.Domainname}}|{{.Config.Image}}",
        "web",
    ],
    &["inspect", "-f", "{{.Config.Cmd}} {{json .Config.Cmd}} {{json .Config.Entrypoint}} {{.Config.Hostname}}", "web"],
    &["inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", "web"],
    &[
        "inspect",
        "-f",
        "{{range .Mounts}}{{.Type}} {{.Source}} {{.Destination}} {{.Mode}} {{.RW}} {{.Propagation}}{{end}}",
        "web",
    ],
    &["inspect", "-f", "{{.HostConfig.Binds}} {{.HostConfig.NetworkMode}} {{.HostConfig.AutoRemove}}", "web"],
    &["inspect", "-f", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", "web"],
    &["inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.ReadonlyRootfs}}", "web"],
    &["inspect", "-f", "{{.HostConfig.LogConfig.Type}} {{.HostConfig.CpuShares}}", "web"],
    &["inspect", "-f", "{{range $name, $network := .NetworkSettings.Networks}}{{$name}}={{.IPAddress}}{{end}}", "web"],
    &[
        "inspect",
        "-f",
        "{{.NetworkSettings.IPAddress}}|{{.NetworkSettings.Ports}}|{{json .NetworkSettings.Ports}}",
        "web",
    ],
    &["inspect", "--type", "container", "-f", "{{.Name}}", "web"],
    &["inspect", "--type", "container", "nothing"],
    &["inspect", "-s", "-f", "{{.SizeRw}}", "web"],
];

/// What templates make of the same text, asked with `inspect -f`.
const TEMPLATES: &[&str] = &[
    "{{- /* a comment */ -}} a {{- .Name -}} b",
    "{{.Name | printf \"%s:%q\" \"a\" | upper}}",
    "{{with .State}}{{.Status}} {{$.Name}}{{end}}{{with .State.Error}}x{{else}}y{{end}}",
    "{{range $i, $x := .Args}}{{if $i}}, {{end}}{{$i}}={{$x}}{{else}}none{{end}}",
    "{{range .Args}}{{if eq . \"-c\"}}{{continue}}{{end}}{{.}}{{break}}{{end}}",
    "{{if and .State.Running (not .State.Paused)}}1{{else if .State.Dead}}2{{else}}3{{end}}",
    "{{or .State.Error \"none\"}} {{and 1 0}} {{not .State.Running}}",
    "{{eq 1 1}} {{eq \"a\" \"b\" \"a\"}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt \"b\" \"a\"}} {{ge 1.5 2.5}}",
    "{{len .Args}} {{index .Args 0}} {{slice .Name 1 3}} {{slice .Args 1}}",
    "{{join .Args \";\"}} {{split \"a:b:c\" \":\"}} {{index (split \"a:b\" \":\") 1}}",
    "{{upper \"aé\"}} {{lower \"AÉ\"}} {{title \"one two-three o'four\"}} [{{pad \"x\" 2 3}}] [{{pad \"\" 2 3}}]",
    "{{truncate \"abcdef\" 3}} {{truncate \"ab\" 3}} {{json \"a<b>&\\\"\\n\\u00e9\"}}",
    "{{print 1 2 \"a\" \"b\" 3}}|{{println 1 \"a\" true}}|{{print nil}}",
    "{{printf \"%d|%5d|%-5d|%05d|%+d|%x|%X|%#x|%o|%b|%c|%q|%U\" 42 42 42 42 42 255 255 255 8 5 65 65 65}}",
    "{{printf \"%s|%10s|%-10s|%.2s|%q|%v|%x|%#v\" \"text\" \"text\" \"text\" \"text\" \"te\\\"xt\" \"text\" \"text\" \"text\"}}",
    "{{printf \"%f|%.2f|%8.3f|%-8.1f|%08.2f|%e|%.1e|%g|%v|%G\" 3.14159 3.14159 3.14159 2.5 2.5 1500.5 1500.5 0.00001 1e21 1e-7}}",
    "{{printf \"%t|%v|%%|%5t\" true false true}} {{printf \"%v %s\" .Args .Args}} {{printf \"%*d\" 5 42}}",
    "{{printf \"%d\" \"x\"}} {{printf \"%s\" 5}} {{printf \"%s %s\" \"a\"}} {{printf \"a\" 1 \"b\"}} {{printf \"%z\" 1}} {{printf \"%\"}} {{printf \"%!\"}}",
    "{{printf \"%T %T %T\" 1 \"a\" true}} {{printf \"% d|% d\" 5 -5}} {{printf \"%6.2f%%\" 12.345}} {{printf \"%x\" -255}}",
    "{{printf \"%q\" .Args}} {{printf \"%5v|%-5v|%05v\" 1 2 3}} {{printf \"%3c|%-3c|\" 65 66}} {{printf \"%08b\" 5}} {{printf \"%.3d\" 7}}",
    "{{html \"<a href='x'>&\\\"\"}} {{urlquery \"a b&c=d/é\"}} {{\"q\" | html}}",
    "{{0x1F}} {{0b11}} {{0o17}} {{017}} {{1_000}} {{-3}} {{1.5e3}} {{1e30}} {{'a'}} {{'\\n'}} {{.5}} {{1.0}}",
    "{{`raw \\n`}} {{\"\\t\\x41\\u00e9\\U0001F600\\101\"}} {{true}} {{false}}",
    "{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{$x}}{{end}}{{$x}}",
    "{{with $x := .State.Status}}{{$x}}{{.}}{{end}}{{if $y := .Name}}{{$y}}{{end}}",
    "{{(index .Args 1) | len}} {{(.State).Status}} {{((print \"a\"))}}",
    "{{range .Mounts}}{{.Destination}}{{$.Name}}{{end}}",
    "a\\tb\\n{{\"c\\td\"}}",
    "{{",
    "{{}}",
    "{{.Name",
    "{{end}}",
    "{{else}}",
    "{{if}}x{{end}}",
    "{{if 1}}",
    "{{break}}",
    "{{$x}}",
    "{{\"a}}",
    "{{'ab'}}",
    "{{(.Name}}",
    "{{.Name)}}",
    "{{.Name | \"x\"}}",
    "{{1a}}",
    "{{index .Args 5}}",
    "{{eq 1 \"a\"}}",
    "{{join .Name \",\"}}",
    "{{upper}}",
    "{{.Name \"x\"}}",
    "{{range .Name}}{{end}}",
    "{{.Name ~}}",
    "{{.State.Status.Code}}",
    "{{nothing 1}}",
    "{{slice .Name 5 2}}",
    "{{slice .Name 1 99}}",
    "{{lt 1 \"a\"}}",
    "{{len 5}}",
    "{{upper 5}}",
    "{{split \"a\"}}",
    "{{/* no end }}",
    "{{if 1}}{{else}}{{else}}{{end}}",
    "{{if $x := 1}}{{end}}{{$x}}",
    "{{template \"x\"}}",
];

const WANTED: &[Wanted] = &[
    Wanted {
        words: &["inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", "web"],
        docker: "GREETING=hello world\n\n",
        carboy: "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOSTNAME=<WEB>\n\
                 GREETING=hello world\nHOME=/root\n\n",
        reason: "carboy tells all variables that the command is given, not only those that were asked for",
    },
    Wanted {
        words: &["inspect", "-f", "{{template \"x\"}}", "web"],
        docker: "\nexit code 1",
        carboy: "exit code 64",
        reason: "there are no templates to call: it is refused before any container is looked at",
    },
];

/// The keys that Docker's document has and carboy's has not.
const MISSING: &[(&str, &[&str])] = &[
    (
        "files of its networks are in its folder, and one without networks has none",
        &["HostnamePath", "HostsPath", "ResolvConfPath"],
    ),
    (
        "what it comes to stands in OCIConfig, and what was asked for is not kept",
        &[
            "HostConfig.CapAdd",
            "HostConfig.CapDrop",
            "HostConfig.Device",
            "HostConfig.GroupAdd",
            "HostConfig.Privileged",
            "HostConfig.SecurityOpt",
            "HostConfig.ShmSize",
            "HostConfig.BlkioDevice",
            "HostConfig.BlkioWeightDevice",
            "HostConfig.ContainerIDFile",
            "HostConfig.VolumesFrom",
            "HostConfig.VolumeDriver",
            "HostConfig.ConsoleSize",
            "Config.Attach",
            "Config.OnBuild",
        ],
    ),
    (
        "they are Windows' or the kernel has them no longer",
        &[
            "HostConfig.Cgroup",
            "HostConfig.CpuCount",
            "HostConfig.CpuPercent",
            "HostConfig.IOMaximum",
            "HostConfig.Isolation",
            "HostConfig.KernelMemory",
        ],
    ),
    ("carboy's root is in no mount of the host", &["GraphDriver.Data."]),
    ("a command that was executed in it has no id", &["ExecIDs"]),
];

#[test]
fn what_is_said_is_what_docker_says() {
    let both = Both::new();
    let asked: Vec<Vec<&str>> = SAME.iter().map(|words| words.to_vec()).collect();
    let templates = TEMPLATES.iter().map(|template| vec!["inspect", "-f", template, "web"]);
    let wanted = WANTED.iter().map(|wanted| wanted.words.to_vec());
    let asked: BTreeSet<Vec<&str>> = asked.into_iter().chain(templates).chain(wanted).collect();
    let mut different = String::new();
    for words in asked {
        let [docker, carboy] = both.ask(&words);
        let wanted = WANTED.iter().find(|wanted| wanted.words == words);
        let is_as_wanted = match wanted {
            Some(wanted) => (docker.as_str(), carboy.as_str()) == (wanted.docker, wanted.carboy),
            None => docker == carboy,
        };
        if !is_as_wanted {
            let reason = wanted.map_or("", |wanted| wanted.reason);
            let _ = writeln!(different, "{words:?} {reason}\n  docker {docker:?}\n  carboy {carboy:?}");
        }
    }
    assert!(different.is_empty(), "\n{different}");
}

/// The keys of a document, those of documents in it too.
fn keys(document: &Value, before: &str, found: &mut BTreeSet<String>) {
    for (key, value) in document.as_object().into_iter().flatten() {
        let key = format!("{before}{key}");
        keys(value, &format!("{key}."), found);
        found.insert(key);
    }
}

#[test]
fn tables_and_documents_have_docker_s_columns_and_keys() {
    let both = Both::new();
    for words in [&["ps"][..], &["ps", "-a", "-s"], &["top", "web"], &["top", "web", "-o", "pid,args"]] {
        let [docker, carboy] = both.ask(words).map(|text| {
            let heading = text.lines().next().unwrap().split("  ").map(str::trim).filter(|cell| !cell.is_empty());
            heading.map(str::to_owned).collect::<Vec<_>>()
        });
        // Docker's ps does not tell the first process.
        let without = |column: &&String| words[0] != "ps" || *column != "PID";
        assert_eq!(carboy.iter().filter(without).collect::<Vec<_>>(), docker.iter().collect::<Vec<_>>(), "{words:?}");
    }
    let missing = |words: &[&str]| -> Vec<String> {
        let [docker, carboy] = [ask_docker(&both.docker, words), both.carboy.run(words)].map(|ended| {
            let document: Value = serde_json::from_str(&ended.stdout).unwrap();
            let mut found = BTreeSet::new();
            keys(document.get(0).unwrap_or(&document), "", &mut found);
            found
        });
        docker.difference(&carboy).cloned().collect()
    };
    assert_eq!(missing(&["ps", "--format", "{{json .}}"]), Vec::<String>::new());
    let missing = missing(&["inspect", "-s", "web"]);
    let is_wanted = |key: &&String| MISSING.iter().flat_map(|(_, begins)| *begins).any(|begin| key.starts_with(begin));
    let unwanted: Vec<&String> = missing.iter().filter(|key| !is_wanted(key)).collect();
    assert!(unwanted.is_empty(), "{unwanted:?}");
    let begins = MISSING.iter().flat_map(|(_, begins)| *begins);
    let there: Vec<_> = begins.filter(|begin| !missing.iter().any(|key| key.starts_with(**begin))).collect();
    assert!(there.is_empty(), "no longer missing: {there:?}");
}
