//! The same commands in the same order on Debian's docker.io and on carboy: exit codes and what they print are the same, but
//! for differences that are wanted, each with its reason. Errors have other words; they come where Docker's come.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::{Carboy, Ended, ended};

/// Debian's, where another stands before it.
const DOCKER: &str = "/usr/bin/docker";

/// The commands, in their order. `IMAGE` is the root, `FOLDER` a folder of the test's own; a tilde stands for a space in a word.
/// Of what begins with `?` only the exit code is compared, and whether something is printed.
const STEPS: &str = "
    ?create --name one --network none IMAGE sh -c echo~out;sleep~0.2;echo~err>&2;exit~3
    ?create --name one --network none IMAGE true
    run --name one --network none IMAGE true
    create --name bad/name --network none IMAGE true
    run --network none IMAGE /no/such
    run --network none IMAGE /etc/passwd
    run --rm --network none IMAGE sh -c exit~7
    run --rm --network none IMAGE sh -c kill~-9~$$
    run --rm --network none -w /made/here IMAGE pwd
    run --rm --network none -u anna IMAGE id
    run --rm --network none -u nobody-here IMAGE id
    run --rm --network none -e A=b -e HOME IMAGE sh -c echo~$A
    run --rm --network none -i IMAGE cat
    run --rm --network none -it IMAGE true
    run --rm --network none --restart always IMAGE true
    run --rm --network none --nonsense IMAGE true
    run --rm --network none -m nonsense IMAGE true
    run --rm --network none -v relative/path:/data IMAGE true
    run --rm --network none -v /nothing IMAGE ls -d /nothing
    run --rm --network none --entrypoint echo IMAGE said
    run
    create
    ?run -d --name two --network none -v named:/data IMAGE sleep 1000
    ?run -d --network none IMAGE /no/such
    start one
    wait one
    start -a one
    logs one
    logs --tail 1 one
    logs -n 0 one
    logs nothing
    logs
    start nothing
    start nothing one
    wait one
    start two
    start
    inspect -f {{.State.Status}}~{{.State.ExitCode}} one two nothing
    ps -q -f name=nothing
    ps -a --format {{.Names}} -f name=^/?(one|two)$
    ps -a --format {{.Names}}~{{.State}} -f status=running
    ps -f nonsense=1
    ps --nonsense
    ps -a -f exited=3 --format {{.Names}}
    stop nothing
    stop one
    stop
    stop -t x two
    kill nothing
    kill one
    kill -s NONSENSE two
    kill
    pause one
    pause nothing
    unpause two
    pause two
    pause two
    exec two true
    inspect -f {{.State.Status}}~{{.State.Paused}}~{{.State.Running}} two
    unpause two
    exec two true
    exec two sh -c exit~4
    exec two /no/such
    exec two /etc/passwd
    exec one true
    exec nothing true
    exec -d two true
    exec -d two /no/such
    exec -w /no/such two true
    exec -u nobody-here two true
    exec -u 1000:29 two id
    exec -e A=b two sh -c echo~$A
    exec -i two cat
    exec -it two true
    exec two
    exec
    exec --nonsense two true
    rename one six
    rename six two
    rename six six
    rename nothing ten
    rename six bad/name
    rename six
    rename six one
    ?top two
    top one
    top nothing
    ?top two -o pid,args
    ?top two --nonsense
    cp two:/no/such FOLDER/x
    cp FOLDER/no/such two:/
    cp nothing:/x FOLDER/x
    cp one:/x two:/x
    cp FOLDER/x FOLDER/y
    cp two:/etc/passwd FOLDER/passwd
    cp FOLDER/passwd two:/root/copy
    cp FOLDER/passwd two:/no/such/folder/copy
    cp two:/etc FOLDER/etc
    ?cp two:/etc -
    cp two
    exec two cat /root/copy
    diff two
    diff one
    diff nothing
    diff
    ?export two
    export nothing
    export -o FOLDER/two.tar two
    export -o FOLDER/no/such.tar two
    export
    attach nothing
    attach one
    restart nothing
    restart -t 0 two
    restart -t 0 one two
    wait one
    update nothing
    update -m 64m nothing
    update --restart no two
    update --restart nonsense two
    update
    wait nothing
    wait
    inspect nothing
    inspect -f {{.Nothing}} two
    inspect
    stats --no-stream nothing
    volume create made
    volume create made
    volume ls -q
    volume ls -q -f name=made
    volume inspect -f {{.Name}}~{{.Driver}}~{{.Scope}} made
    volume inspect nothing
    volume rm nothing
    volume rm -f nothing
    volume rm named
    volume rm made
    volume rm
    volume create bad/name
    volume nonsense
    rm nothing
    rm -f nothing
    rm two
    rm nothing one
    kill two
    wait two
    inspect -f {{.State.ExitCode}}~{{.State.OOMKilled}} two
    kill two
    rm -v two
    ?run -d --rm --name gone --network none IMAGE sleep 1000
    stop -t 0 gone
    inspect -f {{.Name}} gone
    volume rm named
    nonsense
    rm
";

/// A difference that is wanted.
struct Wanted {
    step: &'static str,
    docker: &'static str,
    carboy: &'static str,
    reason: &'static str,
}

const WANTED: &[Wanted] = &[
    Wanted {
        step: "create --name bad/name --network none IMAGE true",
        docker: "|1, with an error",
        carboy: "|125, with an error",
        reason: VALUE,
    },
    Wanted {
        step: "?run -d --network none IMAGE /no/such",
        docker: "printed: true|127, with an error",
        carboy: "printed: false|127, with an error",
        reason: NEVER,
    },
    Wanted { step: "kill -s NONSENSE two", docker: "|1, with an error", carboy: "|125, with an error", reason: VALUE },
    Wanted {
        step: "exec two /no/such",
        docker: "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/no/such\": stat /no/such: no such file or directory: unknown\r\n|126",
        carboy: "|127, with an error",
        reason: EXEC,
    },
    Wanted {
        step: "exec two /etc/passwd",
        docker: "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/etc/passwd\": permission denied: unknown\r\n|126",
        carboy: "|126, with an error",
        reason: EXEC,
    },
    Wanted { step: "exec -d two /no/such", docker: "|1, with an error", carboy: "|127, with an error", reason: EXEC },
    Wanted {
        step: "exec -w /no/such two true",
        docker: "OCI runtime exec failed: exec failed: unable to start container process: chdir to cwd (\"/no/such\") set in config.json failed: no such file or directory: unknown\r\n|126",
        carboy: "|125, with an error",
        reason: EXEC,
    },
    Wanted {
        step: "exec -u nobody-here two true",
        docker: "unable to find user nobody-here: no matching entries in passwd file\r\n|126",
        carboy: "|125, with an error",
        reason: EXEC,
    },
    Wanted {
        step: "update --restart nonsense two",
        docker: "|1, with an error",
        carboy: "|125, with an error",
        reason: VALUE,
    },
];

const VALUE: &str = "a flag's value that cannot be is a mistake of the command line, whichever flag it is";
const NEVER: &str = "a container that could not be started never was, and has no id";
const EXEC: &str = "exec ends as run does: with 127 for a command that is not there, 126 for one that cannot be executed and 125 \
                    for all else, and what it says of that is no output of the command";

/// The same commands on both.
struct Both {
    docker: Docker,
    carboy: Carboy,
    image: String,
}

impl Both {
    fn new() -> Self {
        let (docker, carboy) = (Docker::configured(NO_NETWORKS), Carboy::new());
        let image = carboy.busybox().to_str().unwrap().to_owned();
        for folder in [docker.engine.folder(), carboy.folder()] {
            fs::create_dir(folder.join("own")).unwrap();
        }
        Self { docker, carboy, image }
    }

    /// What a step comes to in both.
    fn take(&self, step: &str) -> [String; 2] {
        let (is_shown, line) = step.strip_prefix('?').map_or((true, step), |line| (false, line));
        let words = |image: &str, folder: String| -> Vec<String> {
            let word = |word: &str| word.replace("IMAGE", image).replace("FOLDER", &folder).replace('~', " ");
            line.split(' ').map(word).collect()
        };
        let own = self.docker.engine.path("own");
        let docker = self.docker.command(&[]);
        let mut asked = words("probe", own.clone());
        // With the runtime that it has for everybody.
        if asked.len() > 1 && ["run", "create"].contains(&asked[0].as_str()) {
            asked.splice(1..1, ["--runtime".to_owned(), "runc".to_owned()]);
        }
        let bounded = |program: &str, head: Vec<String>, words: &[String]| -> Ended {
            let mut command = Command::new("timeout");
            // An attached client passes signals on.
            command.args(["-s", "KILL", "30", program]).args(head).args(words);
            ended(command.stdin(Stdio::null()))
        };
        let texts = |command: &Command| command.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
        let of_docker = bounded(DOCKER, texts(&docker), &asked);
        let folder = self.carboy.folder().join("own").display().to_string();
        let asked = words(&self.image, folder.clone());
        let carboy = self.carboy.command::<&str>([]);
        let of_carboy = bounded(carboy.get_program().to_str().unwrap(), texts(&carboy), &asked);
        let said = |ended: Ended, folder: &str, image: &str| {
            let printed = if is_shown { ended.stdout } else { format!("printed: {}", !ended.stdout.is_empty()) };
            let mut printed = printed.replace(folder, "FOLDER").replace(image, "IMAGE");
            if line.starts_with("diff") {
                // In whatever order the folders give them.
                let mut lines: Vec<&str> = printed.lines().collect();
                lines.sort_unstable();
                printed = lines.join("\n");
            }
            let erred = if ended.stderr.trim().is_empty() { "" } else { ", with an error" };
            format!("{printed}|{}{erred}", ended.code)
        };
        [said(of_docker, &own, "probe"), said(of_carboy, &folder, &self.image)]
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let all = self.docker.run(&["ps", "-aq"]).stdout;
        let _ = self.docker.run(&["rm", "-f"].into_iter().chain(all.lines()).collect::<Vec<_>>());
    }
}

#[test]
fn commands_end_and_print_as_docker_s_do() {
    let both = Both::new();
    let wanted: BTreeMap<&str, &Wanted> = WANTED.iter().map(|wanted| (wanted.step, wanted)).collect();
    let (mut different, mut met) = (String::new(), 0);
    for step in STEPS.lines().map(str::trim).filter(|step| !step.is_empty()) {
        let [docker, carboy] = both.take(step);
        let wanted = wanted.get(step);
        met += usize::from(wanted.is_some());
        let is_as_wanted = match wanted {
            Some(wanted) => (docker.as_str(), carboy.as_str()) == (wanted.docker, wanted.carboy),
            None => docker == carboy,
        };
        if !is_as_wanted {
            let reason = wanted.map_or("", |wanted| wanted.reason);
            let _ = writeln!(different, "{step} {reason}\n  docker {docker:?}\n  carboy {carboy:?}");
        }
    }
    assert!(different.is_empty(), "\n{different}");
    assert_eq!(met, WANTED.len(), "each wanted difference is of a step");
}
