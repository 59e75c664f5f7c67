//! `carboy explain run`: what it tells, to people and to programs, and that it does nothing.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;

use carboy_e2e::trace::{Traced, most_options};
use carboy_e2e::{Attended, Carboy};
use serde_json::{Value, json};

/// What is explained of these options, for people.
fn text(carboy: &Carboy, options: &[&str], command: &[&str]) -> String {
    let root = carboy.busybox().display().to_string();
    let words = ["explain", "run"].iter().chain(options).copied().chain([root.as_str()]).chain(command.iter().copied());
    let ended = carboy.run(words);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    ended.stdout
}

/// What is explained of these options, for programs.
fn document(carboy: &Carboy, options: &[&str], command: &[&str]) -> Value {
    serde_json::from_str(&text(carboy, &[&["--json"], options].concat(), command)).unwrap()
}

/// The line of a text that begins with these words, its spaces made single.
fn line(text: &str, words: &str) -> String {
    let single = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = text.lines().map(single).find(|line| line.starts_with(words));
    found.unwrap_or_else(|| format!("no line begins with {words:?} in:\n{text}"))
}

/// The value that is planned for a file of a group, with the file and value of the other version.
fn write(document: &Value, file: &str) -> (String, Option<(String, String)>) {
    let writes = document["cgroups"]["writes"].as_array().unwrap();
    let found = writes.iter().find(|write| write["file"] == file).unwrap_or(&Value::Null);
    let string = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
    let other = found["other"].as_object().map(|other| (string(&other["file"]), string(&other["value"])));
    (string(&found["value"]), other)
}

/// Whether a controller of this host is one of v1.
fn is_v1(controller: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let options = mounts.lines().filter_map(|line| line.split_once(" - cgroup ")?.1.rsplit(' ').next());
    options.flat_map(|options| options.split(',')).any(|option| option == controller)
}

#[test]
fn a_learner_is_told_of_every_step_what_the_kernel_does() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    let told = |words: &[&str]| {
        let ended = carboy.run(["explain"].iter().chain(words).copied().chain([root.as_str(), "true"]));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        ended.stdout
    };
    let (plain, lessons) = (told(&["run"]), told(&["-v", "run"]));
    assert_eq!(lessons.lines().count(), told(&["run", "--verbose"]).lines().count());
    let is_lesson = |line: &&str| line.starts_with("          ");
    assert_eq!(plain.lines().filter(is_lesson).count(), 0, "{plain}");
    assert!(lessons.lines().all(|line| line.chars().count() <= 120 || !is_lesson(&line)), "{lessons}");
    for words in
        ["execve replaces the program and keeps everything else", "the kernel runs this program at each system call"]
    {
        assert!(lessons.contains(words), "{lessons}");
    }
    let options = most_options(&carboy);
    let document = document(&carboy, &options.iter().map(String::as_str).collect::<Vec<_>>(), &["true"]);
    for step in ["host", "child"].iter().flat_map(|side| document[side].as_array().unwrap()) {
        assert!(!step["lesson"].as_str().unwrap().is_empty(), "{step}");
    }
    let limits = carboy.run(["explain", "limits", "-v"]).stdout;
    assert!(limits.contains("an ancestor's quota leaves the container's own numbers at 0"), "{limits}");
}

#[test]
fn each_namespace_is_new_or_the_hosts() {
    let carboy = Carboy::new();
    let told = text(&carboy, &[], &["true"]);
    for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        assert_eq!(line(&told, &format!("{kind} ")), format!("{kind} new"));
    }
    for kind in ["user", "time"] {
        assert_eq!(line(&told, &format!("{kind} ")), format!("{kind} the host's"));
    }
    let options = ["--net", "host", "--pid", "host", "--uidmap", "0:100000:1000", "--gidmap", "0:100000:1000"];
    let namespaces = &document(&carboy, &options, &["true"])["namespaces"];
    assert_eq!(namespaces["net"], json!({ "relation": "host" }));
    assert_eq!(namespaces["pid"], json!({ "relation": "host" }));
    assert_eq!(namespaces["user"], json!({ "relation": "new" }));
    assert_eq!(namespaces["ipc"], json!({ "relation": "new" }));
    assert_eq!(namespaces.as_object().unwrap().len(), 8);
}

#[test]
fn a_joined_namespace_is_named_by_its_file() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    let command = ["run", "--rm", "--name", "other", &root, "sh", "-c", "echo ready; exec sleep 1000"];
    let mut other = Attended::start(&mut carboy.command(command));
    assert_eq!(other.line(), "ready");
    let pid = carboy.inspect("other")["State"]["Pid"].to_string();
    let path = format!("/proc/{pid}/ns/net");
    let told = document(&carboy, &["--net", "container:other"], &["true"]);
    assert_eq!(told["namespaces"]["net"], json!({ "relation": "joined", "path": path }));
    let told = text(&carboy, &["--net", "container:other"], &["true"]);
    assert_eq!(line(&told, "net "), format!("net joined: {path}"));
    assert_eq!(carboy.run(["rm", "-f", "other"]).code, 0);
}

#[test]
fn each_limit_is_told_by_the_names_that_it_has_in_both_versions() {
    let carboy = Carboy::new();
    let options = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "--cpuset-cpus", "0"];
    let told = document(&carboy, &options, &["true"]);
    let pair = |file: &str, value: &str| (file.to_owned(), value.to_owned());
    let check = |controller: &str, (v1, v1_value): (&str, &str), (v2, v2_value): (&str, &str)| {
        let (file, value, other) =
            if is_v1(controller) { (v1, v1_value, pair(v2, v2_value)) } else { (v2, v2_value, pair(v1, v1_value)) };
        assert_eq!(write(&told, file), (value.to_owned(), Some(other)), "{file}");
    };
    check("memory", ("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864"));
    if is_v1("cpu") {
        let quota = pair("cpu.max", "50000 100000");
        assert_eq!(write(&told, "cpu.cfs_quota_us"), ("50000".to_owned(), Some(quota)));
    } else {
        assert_eq!(write(&told, "cpu.max").0, "50000 100000");
    }
    assert_eq!(write(&told, "pids.max").0, "50");
    assert_eq!(write(&told, "cpuset.cpus").0, "0");
    let told = text(&carboy, &options, &["true"]);
    let limit = told.lines().find(|line| line.contains("memory.limit_in_bytes") && line.contains("memory.max"));
    assert!(limit.is_some_and(|line| line.matches("67108864").count() == 2), "{told}");
    let quota = told.lines().find(|line| line.contains("cpu.cfs_quota_us") || line.contains("cpu.max"));
    assert!(quota.is_some_and(|line| line.contains("cpu.max = 50000 100000")), "{told}");
}

#[test]
fn mounts_user_command_capabilities_and_the_filter_are_told() {
    let carboy = Carboy::new();
    let options = ["--tmpfs", "/scratch:size=1m", "-v", "/usr:/data:ro", "-u", "anna", "--group-add", "audio"];
    let more = ["--cap-drop", "MKNOD", "-w", "/work", "--security-opt", "no-new-privileges"];
    let told = document(&carboy, &[options.as_slice(), &more].concat(), &["sh", "-c", "exit 3"]);
    let mounts = told["mounts"].as_array().unwrap();
    let mount = |at: &str| mounts.iter().find(|mount| mount["destination"] == at).unwrap_or(&Value::Null);
    assert_eq!(mount("/scratch")["type"], "tmpfs");
    assert_eq!(mount("/data")["source"], "/usr");
    let options_of_data = mount("/data")["options"].as_array().unwrap();
    assert!(options_of_data.iter().any(|option| ["ro", "rro"].contains(&option.as_str().unwrap())));
    assert_eq!(mount("/proc")["type"], "proc");
    let process = &told["process"];
    assert_eq!((&process["user"]["uid"], &process["user"]["gid"]), (&json!(1000), &json!(1000)));
    assert!(process["user"]["additionalGids"].as_array().unwrap().contains(&json!(29)));
    assert_eq!(process["args"], json!(["sh", "-c", "exit 3"]));
    assert_eq!((&process["cwd"], &process["noNewPrivileges"]), (&json!("/work"), &json!(true)));
    let bounding = process["capabilities"]["bounding"].as_array().unwrap();
    assert_eq!(bounding.len(), 13, "{bounding:?}");
    assert!(!bounding.contains(&json!("CAP_MKNOD")) && bounding.contains(&json!("CAP_CHOWN")));
    let told = text(&carboy, &[options.as_slice(), &more].concat(), &["sh", "-c", "exit 3"]);
    assert_eq!(line(&told, "command "), "command sh -c exit 3");
    assert!(line(&told, "user 1000").starts_with("user 1000:1000 "), "{told}");
    assert!(line(&told, "capabilities ").starts_with("capabilities 13 "), "{told}");
    assert!(line(&told, "capabilities ").contains(" chown "), "{told}");
    assert_eq!(line(&told, "directory "), "directory /work");
    assert!(told.contains("mount tmpfs ") && told.contains(" at /scratch,") && told.contains("/data"), "{told}");
}

#[test]
fn the_filter_is_told_by_the_number_of_calls_that_it_allows() {
    let carboy = Carboy::new();
    let allowed = document(&carboy, &[], &["true"])["seccomp"]["allowed"].as_u64().unwrap();
    assert!((280..420).contains(&allowed), "{allowed}");
    let with_more = document(&carboy, &["--cap-add", "SYS_ADMIN"], &["true"])["seccomp"]["allowed"].as_u64().unwrap();
    assert!(with_more > allowed, "{with_more}, {allowed}");
    let told = text(&carboy, &[], &["true"]);
    assert!(line(&told, "seccomp ").starts_with(&format!("seccomp {allowed} system calls allowed")), "{told}");
    assert_eq!(document(&carboy, &["--security-opt", "seccomp=unconfined"], &["true"])["seccomp"], Value::Null);
    let profile = carboy.folder().join("three.json");
    let three = json!({ "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{ "names": ["read", "write", "exit_group"], "action": "SCMP_ACT_ALLOW" }] });
    fs::write(&profile, three.to_string()).unwrap();
    let option = format!("seccomp={}", profile.display());
    assert_eq!(document(&carboy, &["--security-opt", &option], &["true"])["seccomp"]["allowed"], 3);
}

#[test]
fn the_plan_of_privileged_has_no_filter_and_every_capability() {
    let carboy = Carboy::new();
    let told = document(&carboy, &["--privileged"], &["true"]);
    assert_eq!(told["seccomp"], Value::Null);
    assert!(told["process"]["capabilities"]["bounding"].as_array().unwrap().len() > 30);
    let steps = told["child"].as_array().unwrap();
    let hidden = steps.iter().filter(|step| step["what"].as_str().unwrap().starts_with("hide "));
    assert_eq!(hidden.count(), 0);
}

/// Calls that change something outside the caller, but for files, which are looked at apart.
const CHANGING: [&str; 34] = [
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "mknod",
    "mknodat",
    "chmod",
    "fchmodat",
    "chown",
    "fchownat",
    "setxattr",
    "mount",
    "umount2",
    "fsopen",
    "fsmount",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "clone",
    "clone3",
    "fork",
    "vfork",
    "unshare",
    "setns",
    "bpf",
    "flock",
];

#[test]
fn to_explain_does_nothing() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    let mut words = vec!["explain".to_owned(), "run".to_owned()];
    words.extend(most_options(&carboy));
    words.extend([root, "true".to_owned()]);
    let traced = Traced::run(&carboy.command(&words), carboy.folder());
    assert_eq!(traced.ended.code, 0, "{}", traced.ended.stderr);
    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT"];
    // By the word `run` the program executes itself once more from a view of its file, before it reads what it is to do.
    let own = traced.command.iter().position(|call| call.name == "execveat").map_or(0, |executed| executed + 1);
    for call in traced.command.iter().skip(own) {
        assert!(!CHANGING.contains(&call.name.as_str()), "{call:?}");
        let opens = matches!(call.name.as_str(), "open" | "openat" | "openat2" | "creat");
        assert!(!opens || writes.iter().all(|flag| !call.says(flag)), "{call:?}");
        assert!(call.name != "write" || call.arguments.starts_with('1'), "{call:?}");
    }
    assert!(traced.command.len() > 50);
    for folder in ["root", "run"] {
        assert!(!carboy.folder().join(folder).exists(), "{folder} was made");
    }
}

#[test]
fn what_cannot_be_had_is_refused_as_run_refuses_it() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    for options in [["--cpus", "0"], ["-m", "1k"], ["-u", "nobody-there"], ["--net", "container:gone"]] {
        let words = |first: &[&'static str]| {
            let all = first.iter().copied().chain(options).map(str::to_owned);
            all.chain([root.clone(), "true".to_owned()]).collect::<Vec<_>>()
        };
        let (explained, run) = (carboy.run(words(&["explain", "run"])), carboy.run(words(&["run", "--rm"])));
        assert_eq!((explained.code, run.code), (125, 125), "{options:?}");
        assert_eq!(explained.stderr, run.stderr, "{options:?}");
        assert_eq!(explained.stdout, "", "{options:?}");
    }
}
