//! The plan is what happens: a run under strace(1), held against what `carboy explain run --json` says of the same
//! options, step by step, on the host's side (the monitor) and on the child's (all between clone3 and execve).
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at what goes wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use carboy_e2e::trace::{Call, Traced, most_options};
use carboy_e2e::{Attended, Carboy};
use serde_json::Value;

/// A step as it was explained.
#[derive(Debug, Clone)]
struct Step {
    what: String,
    calls: Vec<Pattern>,
}

/// One or more calls of some names.
#[derive(Debug, Clone)]
struct Pattern {
    names: Vec<String>,
    least: usize,
    most: usize,
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let (names, least, most) = match text.char_indices().last() {
            Some((end, '?')) => (&text[..end], 0, 1),
            Some((end, '*')) => (&text[..end], 0, usize::MAX),
            Some((end, '+')) => (&text[..end], 1, usize::MAX),
            _ => (text, 1, 1),
        };
        Self { names: names.split('|').map(str::to_owned).collect(), least, most }
    }
}

/// Whose calls are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Host,
    Child,
}

impl Side {
    /// What may stand between the calls of the plan: descriptors are closed; the host's side also reads, and puts the
    /// child on record in carboy's own run folder, and whose its group is on that.
    fn passes_over(self, call: &Call) -> bool {
        let record = || call.says("/live.json") || call.says("/.live.json");
        match call.name.as_str() {
            "close" => true,
            // On record is also who takes care of the child.
            "getpid" => self == Side::Host,
            // Where the kernel's clock cannot be read from user space (vdso(7)).
            "clock_gettime" => true,
            _ if self == Side::Child => false,
            "openat" | "openat2" => call.says("O_RDONLY") || call.says("O_PATH") || record(),
            "write" | "rename" => record(),
            "setxattr" => call.says("trusted.carboy"),
            "read" | "lseek" | "statx" | "fstat" | "newfstatat" | "fstatfs" => true,
            _ => false,
        }
    }
}

/// The matching of calls to steps: every call belongs to a step or may be passed over, every step has its calls, in order.
struct Matching<'m> {
    side: Side,
    steps: &'m [Step],
    calls: &'m [Call],
    hopeless: BTreeSet<(usize, usize)>,
    /// The same within a step: the step, how many of its patterns are left, how many calls the first of these has, the call to
    /// go on with, and the calls that the step has. There are thousands of ways to each, by what is passed over when.
    lost: BTreeSet<(usize, usize, usize, usize, Vec<usize>)>,
    furthest: (usize, usize, String),
}

fn matches(side: Side, steps: &[Step], calls: &[Call]) -> Result<(), String> {
    let furthest = (0, 0, String::new());
    let mut matching = Matching { side, steps, calls, hopeless: BTreeSet::new(), lost: BTreeSet::new(), furthest };
    if matching.from(0, 0) {
        return Ok(());
    }
    let (step, call, why) = matching.furthest;
    let what = steps.get(step).map_or("the end", |step| step.what.as_str());
    let next: Vec<String> = calls
        .iter()
        .skip(call)
        .take(6)
        .map(|call| format!("  {}({}) = {}", call.name, call.arguments, call.result))
        .collect();
    Err(format!("step {} is not what happens: {what}\n{why}\n{}", step + 1, next.join("\n")))
}

impl Matching<'_> {
    fn from(&mut self, step: usize, call: usize) -> bool {
        let Some(planned) = self.steps.get(step) else {
            let rest = self.calls.get(call..).unwrap_or_default();
            return rest.iter().all(|call| self.side.passes_over(call));
        };
        if self.hopeless.contains(&(step, call)) {
            return false;
        }
        let patterns = planned.calls.clone();
        let matched = self.pattern(step, &patterns, (0, call), &mut Vec::new());
        if !matched {
            self.hopeless.insert((step, call));
        }
        matched
    }

    /// Takes calls from `call` on for `patterns`, of whose first `taken_of_it` are taken already.
    fn pattern(
        &mut self,
        step: usize,
        patterns: &[Pattern],
        (taken_of_it, call): (usize, usize),
        taken: &mut Vec<usize>,
    ) -> bool {
        let here = (step, patterns.len(), taken_of_it, call, taken.clone());
        if self.lost.contains(&here) {
            return false;
        }
        let matched = self.first_of(step, patterns, (taken_of_it, call), taken);
        if !matched {
            self.lost.insert(here);
        }
        matched
    }

    /// The same, where it is not known yet that it leads nowhere: the first of `patterns` takes the call, or passes it over, or
    /// has all its calls.
    fn first_of(
        &mut self,
        step: usize,
        patterns: &[Pattern],
        (taken_of_it, call): (usize, usize),
        taken: &mut Vec<usize>,
    ) -> bool {
        let Some(pattern) = patterns.first() else {
            let calls: Vec<&Call> = taken.iter().map(|place| &self.calls[*place]).collect();
            return match tells_of(&self.steps[step].what, &calls) {
                Ok(()) => self.from(step + 1, call),
                Err(why) => self.note(step, call, &why),
            };
        };
        if let Some(next) = self.calls.get(call) {
            if taken_of_it < pattern.most && pattern.names.contains(&next.name) {
                taken.push(call);
                if self.pattern(step, patterns, (taken_of_it + 1, call + 1), taken) {
                    return true;
                }
                taken.pop();
            }
            if self.side.passes_over(next) && self.pattern(step, patterns, (taken_of_it, call + 1), taken) {
                return true;
            }
        }
        if taken_of_it >= pattern.least {
            return self.pattern(step, &patterns[1..], (0, call), taken);
        }
        self.note(step, call, &format!("awaited {}", pattern.names.join(" or ")))
    }

    fn note(&mut self, step: usize, call: usize, why: &str) -> bool {
        if (step, call) >= (self.furthest.0, self.furthest.1) {
            self.furthest = (step, call, why.to_owned());
        }
        false
    }
}

fn demand(holds: impl FnOnce() -> bool, what: &str) -> Result<(), String> {
    if holds() { Ok(()) } else { Err(format!("the arguments are others: {what}")) }
}

/// Whether the calls do what the words say, as far as their arguments tell.
fn tells_of(what: &str, calls: &[&Call]) -> Result<(), String> {
    let first = *calls.first().ok_or("no call")?;
    let last = *calls.last().ok_or("no call")?;
    if let Some(place) = what.strip_prefix("create the cgroup ") {
        let (point, path) = group(place);
        return demand(|| first.descriptor() == point && first.quotes(path.trim_start_matches('/')), place);
    }
    if let Some((setting, place)) = what.strip_prefix("set ").and_then(|rest| rest.rsplit_once(" on ")) {
        let ((file, value), (point, path)) = (setting.split_once(" = ").unwrap(), group(place));
        return demand(|| last.descriptor() == format!("{point}{path}/{file}") && last.quotes(value), setting);
    }
    if let Some((controllers, place)) = what.strip_prefix("enable ").and_then(|rest| rest.split_once(" below ")) {
        let (point, path) = group(place.split(' ').next().unwrap());
        let words: Vec<String> = controllers.split(", ").map(|name| format!("+{name}")).collect();
        let file = format!("{}/cgroup.subtree_control", format!("{point}{path}").trim_end_matches('/'));
        return demand(|| last.descriptor() == file && last.quotes(&words.join(" ")), controllers);
    }
    let program = what.strip_prefix("attach a device program of ");
    if let Some((count, _)) = program.and_then(|rest| rest.split_once(" instructions to ")) {
        let loads = first.says("BPF_PROG_LOAD") && first.says(&format!("insn_cnt={count},"));
        return demand(|| loads && last.says("BPF_PROG_ATTACH"), count);
    }
    if let Some(rest) = what.strip_prefix("prepare mount ") {
        let (_, source) = rest.split_once(": ").unwrap();
        let opened = source.strip_prefix("the container's group for ").map_or_else(
            || first.quotes(source),
            |at| {
                at == "/sys/fs/cgroup" || first.descriptor().contains(&format!("/{}/", at.rsplit('/').next().unwrap()))
            },
        );
        return demand(|| opened, rest);
    }
    if let Some(hierarchy) = of(what, "open the ", " group for the child to join") {
        let point = point(hierarchy);
        return demand(|| first.descriptor().starts_with(&point) && first.quotes("tasks"), hierarchy);
    }
    if let Some(hierarchy) = of(what, "join its ", " group") {
        let file = last.descriptor();
        return demand(
            || file.starts_with(&point(hierarchy)) && file.ends_with("/tasks") && last.quotes("0"),
            hierarchy,
        );
    }
    if let Some((_, path)) = what.strip_prefix("open the ").and_then(|rest| rest.split_once(" namespace ")) {
        return demand(|| first.quotes(path), path);
    }
    if let Some(path) = what.strip_prefix("join the pid namespace /") {
        return demand(|| first.quotes(&format!("/{path}")) && last.says("CLONE_NEWPID"), path);
    }
    if let Some(kind) = of(what, "join the ", " namespace") {
        return demand(|| flags(last) == BTreeSet::from([flag(kind)]), kind);
    }
    let clones = what.strip_prefix("clone the child with new namespaces: ");
    if let Some(kinds) = clones.or_else(|| what.strip_prefix("make new namespaces: ")) {
        let planned: BTreeSet<_> = kinds.split(", ").filter(|kind| *kind != "no").map(flag).collect();
        return demand(|| flags(first) == planned, kinds);
    }
    if let Some(offsets) = what.strip_prefix("make a time namespace: ") {
        let written = format!("{}\\n", offsets.replace(", ", "\\n"));
        return demand(|| first.says("CLONE_NEWTIME") && (offsets.is_empty() || last.quotes(&written)), offsets);
    }
    if let Some(value) = what.strip_prefix("set oom_score_adj to ") {
        return demand(|| last.descriptor().ends_with("/oom_score_adj") && last.quotes(value), value);
    }
    if let Some(at) = what.strip_prefix("make sure that ").and_then(|rest| rest.strip_suffix(" exists")) {
        return reaches(at, calls);
    }
    tells_of_mounts(what, calls).unwrap_or_else(|| tells_of_process(what, calls))
}

/// The same for the child's mounts and files; `None` where the words are about something else.
fn tells_of_mounts(what: &str, calls: &[&Call]) -> Option<Result<(), String>> {
    let (first, last) = (calls[0], calls[calls.len() - 1]);
    if let Some((kind, rest)) = what.strip_prefix("mount ").and_then(|rest| rest.split_once(" at ")) {
        // Where the kernel refuses it, as it does not here, there is something else instead.
        let rest = rest.split(", or ").next().unwrap_or(rest);
        let (at, attributes) = rest.split_once(',').unwrap_or((rest, ""));
        let made = calls.iter().find(|call| call.name == "fsmount").unwrap();
        let set = words_of(made, "MOUNT_ATTR_");
        let planned: BTreeSet<_> = attributes.split(',').filter(|word| !word.is_empty()).map(attribute).collect();
        let reached: Vec<&Call> = calls.iter().copied().filter(|call| call.name != "fsconfig").collect();
        // Behind the kind may stand what it begins with.
        let kind = kind.split(' ').next().unwrap_or(kind);
        return Some(demand(|| first.quotes(kind) && set == planned, rest).and_then(|()| reaches(at, &reached)));
    }
    if let Some((_, at)) = what.strip_prefix("put prepared mount ").and_then(|rest| rest.split_once(" at ")) {
        return Some(reaches(at, calls));
    }
    if let Some((path, below)) = what.strip_prefix("make the device ").map(|path| (path, "")) {
        let (folder, name) = path.rsplit_once('/').unwrap_or((path, below));
        let made = calls.iter().find(|call| call.name == "mknodat").unwrap();
        return Some(demand(|| made.quotes(name), path).and_then(|()| reopens(folder, calls)));
    }
    if let Some((path, target)) = what.strip_prefix("link ").and_then(|rest| rest.split_once(" to ")) {
        let (folder, name) = path.rsplit_once('/').unwrap();
        return Some(demand(|| last.quotes(name) && last.quotes(target), path).and_then(|()| reopens(folder, calls)));
    }
    if let Some(at) = what.strip_prefix("hide ") {
        let exists = !first.failed();
        let covered = calls.iter().any(|call| call.name == "move_mount");
        return Some(demand(|| exists == covered, at).and_then(|()| reaches(at, calls)));
    }
    if let Some(at) = of(what, "make ", " read-only") {
        let set = calls.iter().any(|call| call.name == "mount_setattr" && call.says("attr_set=MOUNT_ATTR_RDONLY,"));
        return Some(demand(|| set != first.failed(), at).and_then(|()| reaches(at, calls)));
    }
    if let Some((at, attributes)) = what.strip_prefix("set /").and_then(|rest| rest.split_once(" to ")) {
        let (at, recursive) = at.strip_suffix(" and all below").map_or((at, false), |at| (at, true));
        let planned: BTreeSet<_> = attributes.split(',').map(attribute).collect();
        let holds = words_of(last, "MOUNT_ATTR_") == planned && last.says("AT_RECURSIVE") == recursive;
        return Some(demand(|| holds, at).and_then(|()| reaches(&format!("/{at}"), calls)));
    }
    if let Some(attributes) = what.strip_prefix("set the root to ") {
        let planned: BTreeSet<_> = attributes.split(',').map(attribute).collect();
        return Some(demand(|| words_of(last, "MOUNT_ATTR_") == planned, attributes));
    }
    if let Some((value, path)) = what.strip_prefix("write ").and_then(|rest| rest.split_once(" to /proc/sys/")) {
        return Some(demand(|| calls[2].quotes(path) && last.quotes(value), path));
    }
    Some(match what {
        "make the copies of the host's mounts private" => {
            demand(|| first.quotes("/") && first.says("AT_RECURSIVE") && first.says("propagation=MS_PRIVATE"), what)
        }
        "attach the root mount" => demand(
            || first.quotes("") && first.says("AT_RECURSIVE") && calls[1].name == "move_mount" && calls[1].quotes("/"),
            what,
        ),
        "list the mounts in their order" => demand(|| first.arguments == "CLONE_NEWNS", what),
        "make it the only root" => demand(|| calls[1].says("\".\", \".\"") && calls[2].says("MNT_DETACH"), what),
        "make the root mount" => {
            let made: Vec<_> = calls.iter().filter(|call| call.name == "fsconfig").collect();
            let layers = ["lowerdir", "upperdir", "workdir"];
            let set = |key: &&str| made.iter().any(|call| call.quotes(key) || call.quotes(&format!("{key}+")));
            demand(|| calls.iter().any(|call| call.quotes("overlay")) && layers.iter().all(set), what)
        }
        "take standard input, output and error" => {
            let places = |(number, call): (usize, &&Call)| match call.name.as_str() {
                "dup3" => call.says(&format!(", {number}")),
                _ => call.arguments.starts_with(&number.to_string()) && call.says("F_SETFD, 0"),
            };
            demand(|| calls.iter().enumerate().all(places), what)
        }
        _ => return None,
    })
}

/// The same for what the child sets of itself, and for the words between both sides.
fn tells_of_process(what: &str, calls: &[&Call]) -> Result<(), String> {
    let (first, last) = (calls[0], calls[calls.len() - 1]);
    let named = |prefix: &str| what.strip_prefix(prefix);
    if let Some(name) = named("set the host name ").or_else(|| named("set the domain name ")) {
        return demand(|| first.quotes(name), name);
    }
    if let Some((limit, values)) = named("set RLIMIT_").and_then(|rest| rest.split_once(" to ")) {
        let (soft, hard) = values.split_once(':').unwrap();
        let written = format!("rlim_cur={soft}, rlim_max={hard}");
        return demand(|| first.says(&format!("RLIMIT_{limit}")) && first.says(&written), limit);
    }
    if let Some(count) = of(what, "drop ", " capabilities from the bounding set") {
        let all = calls.iter().all(|call| call.says("PR_CAPBSET_DROP"));
        return demand(|| all && count.parse() == Ok(calls.len()), count);
    }
    if let Some(identity) = named("become user ") {
        let (user, rest) = identity.split_once(", group ").unwrap();
        let (group, groups) = rest.split_once(", groups ").unwrap();
        let triple = |id: &str| format!("{id}, {id}, {id}");
        let holds = calls[0].says(groups) && calls[1].says(&triple(group)) && calls[2].says(&triple(user));
        return demand(|| holds, identity);
    }
    if let Some(count) = named("keep ").and_then(|rest| rest.split_once(" capabilities, ")).map(|(count, _)| count) {
        let permitted = first.arguments.split("permitted=").nth(1).and_then(|rest| rest.split(", inheritable").next());
        let held = permitted.map_or(0, |sets| sets.matches("CAP_").count());
        return demand(|| first.name == "capset" && count.parse() == Ok(held), count);
    }
    if let Some(length) = of(what, "load the seccomp filter of ", " instructions") {
        return demand(|| first.says(&format!("{{len={length},")), length);
    }
    if let Some(mask) = named("set the umask ") {
        return demand(|| u32::from_str_radix(&first.arguments, 8) == u32::from_str_radix(mask, 8), mask);
    }
    if let Some(path) = named("change to ") {
        return demand(|| first.quotes(path), path);
    }
    if let Some(paths) = named("execute ") {
        let tried: Vec<_> = calls.iter().filter(|call| call.name == "execve").collect();
        let in_order = tried.iter().zip(paths.split(" or ")).all(|(call, path)| call.quotes(path));
        return demand(|| in_order && !last.failed(), paths);
    }
    if let Some(turn) = named("tell the child of ").or_else(|| named("wait for ")) {
        let byte = ["its id maps", "its root mount", "the word to go on"].iter().position(|known| *known == turn);
        return demand(|| first.says(&format!("iov_base=\"\\{}\"", byte.unwrap() + 1)), turn);
    }
    match what {
        "write the id maps" => {
            demand(|| calls[4].descriptor().ends_with("/uid_map") && last.descriptor().ends_with("/gid_map"), what)
        }
        "become root of the user namespace" => {
            let closed = last.says("PR_SET_DUMPABLE, SUID_DUMP_DISABLE");
            demand(|| first.says("0, 0, 0") && calls[1].says("0, 0, 0") && closed, what)
        }
        "set the loopback interface up" => demand(|| last.says("\"lo\"") && last.says("IFF_UP"), what),
        "keep capabilities while the user changes" => demand(|| first.says("PR_SET_KEEPCAPS, 1"), what),
        "set no_new_privs" => demand(|| first.says("PR_SET_NO_NEW_PRIVS, 1"), what),
        "wait until the command runs" => demand(|| last.result == "0", what),
        "begin a session" | "fork into the pid namespace" | "learn which process goes on" => Ok(()),
        "open a terminal and send its master" => demand(|| first.quotes("dev/pts"), what),
        "let go of what others opened" => demand(|| first.arguments.starts_with("3, "), what),
        _ => Err(format!("this test knows nothing of {what:?}")),
    }
}

fn of<'w>(what: &'w str, before: &str, behind: &str) -> Option<&'w str> {
    what.strip_prefix(before)?.strip_suffix(behind)
}

/// Whether the place is opened below the root: the first opening from there names it whole, and so does the last, or it
/// opens what was missing of it in the folder that it was made in.
fn reaches(at: &str, calls: &[&Call]) -> Result<(), String> {
    let place = if at == "/" || at.is_empty() { "." } else { at.trim_start_matches('/') };
    let opened: Vec<_> = calls.iter().filter(|call| call.name == "openat2").collect();
    let (first, last) = (opened.first(), opened.last());
    let whole = |call: Option<&&&Call>| call.is_some_and(|call| call.quotes(place) && call.says("RESOLVE_IN_ROOT"));
    let name = place.rsplit('/').next().unwrap_or(place);
    let below = |call: Option<&&&Call>| call.is_some_and(|call| call.quotes(name) && call.says("RESOLVE_BENEATH"));
    demand(|| whole(first) && (whole(last) || below(last)) && opened.len() != 2, at)
}

/// The same for a folder that the step before may have opened.
fn reopens(folder: &str, calls: &[&Call]) -> Result<(), String> {
    let is_open = calls.iter().all(|call| !call.quotes(folder.trim_start_matches('/')));
    if is_open { Ok(()) } else { reaches(folder, calls) }
}

fn flag(kind: &str) -> String {
    if kind == "mnt" { "CLONE_NEWNS".to_owned() } else { format!("CLONE_NEW{}", kind.to_uppercase()) }
}

fn attribute(word: &str) -> String {
    if word == "ro" { "MOUNT_ATTR_RDONLY".to_owned() } else { format!("MOUNT_ATTR_{}", word.to_uppercase()) }
}

fn flags(call: &Call) -> BTreeSet<String> {
    words_of(call, "CLONE_NEW")
}

/// The words of the arguments that begin so.
fn words_of(call: &Call, prefix: &str) -> BTreeSet<String> {
    let words = call.arguments.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}

/// The mount point and the path of a group that is written as `HIERARCHY:PATH`.
fn group(place: &str) -> (String, &str) {
    let (hierarchy, path) = place.rsplit_once(':').unwrap();
    (point(hierarchy), path)
}

/// Where a hierarchy is mounted.
fn point(hierarchy: &str) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_it = |line: &&str| match line.split_once(" - ") {
        Some((_, kind)) if hierarchy == "unified" => kind.starts_with("cgroup2 "),
        Some((_, kind)) => {
            let options: Vec<&str> = kind.rsplit(' ').next().unwrap_or_default().split(',').collect();
            kind.starts_with("cgroup ") && hierarchy.split(',').all(|controller| options.contains(&controller))
        }
        None => false,
    };
    let line = mounts.lines().find(is_it).unwrap_or_else(|| panic!("no mount of {hierarchy}"));
    line.split(' ').nth(4).unwrap().to_owned()
}

/// A run, traced and explained.
struct Shown {
    host: (Vec<Step>, Vec<Call>),
    child: (Vec<Step>, Vec<Call>),
}

impl Shown {
    fn of(carboy: &Carboy, options: &[&str], command: &[&str]) -> Self {
        let root = carboy.busybox().display().to_string();
        let words = |first: &[&'static str]| {
            let all = first.iter().copied().chain(options.iter().copied());
            all.chain([root.as_str()]).chain(command.iter().copied()).map(str::to_owned).collect::<Vec<_>>()
        };
        let explained = carboy.run(words(&["explain", "run", "--json"]));
        assert_eq!(explained.code, 0, "{}", explained.stderr);
        let explained: Value = serde_json::from_str(&explained.stdout).unwrap();
        let traced = Traced::run(&carboy.command(words(&["run"])), carboy.folder());
        assert_eq!(traced.ended.code, 0, "{}", traced.ended.stderr);
        let names = BTreeMap::from([(id_explained(&explained), id_run(&traced))]);
        let host = (steps(&explained["host"], &names), of_the_plan(traced.monitor()));
        Self { host, child: (steps(&explained["child"], &names), traced.child()) }
    }

    fn is_what_happens(&self) {
        let Self { host, child } = self;
        assert!(host.0.len() > 5 && child.0.len() > 20, "{} and {} steps", host.0.len(), child.0.len());
        matches(Side::Host, &host.0, &host.1).unwrap_or_else(|why| panic!("the host's side: {why}"));
        matches(Side::Child, &child.0, &child.1).unwrap_or_else(|why| panic!("the child: {why}"));
    }
}

/// The monitor's calls while it applies the plan: after it is a process of its own, until the child's end of the
/// connection closes as the program starts.
fn of_the_plan(calls: &[Call]) -> Vec<Call> {
    let begins = calls.iter().position(|call| call.name == "socketpair").unwrap() + 1;
    let ends = calls.iter().position(|call| call.name == "recvmsg" && call.result == "0").unwrap();
    calls[begins..=ends].to_vec()
}

/// The id that was made up for the plan.
fn id_explained(explained: &Value) -> String {
    let path = explained["cgroups"]["path"].as_str().unwrap();
    let name = path.rsplit('/').next().unwrap();
    name.strip_prefix("carboy-").unwrap_or(name).to_owned()
}

/// The id of the container that ran: the name of its run folder.
fn id_run(traced: &Traced) -> String {
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let made = traced.command.iter().filter(|call| call.name == "mkdir");
    let id = made.flat_map(|call| call.arguments.split(['"', '/'])).find(is_id);
    id.expect("a run folder is made").to_owned()
}

fn steps(explained: &Value, names: &BTreeMap<String, String>) -> Vec<Step> {
    let step = |step: &Value| {
        let mut what = step["what"].as_str().unwrap().to_owned();
        for (explained, run) in names {
            what = what.replace(explained, run).replace(&explained[..12], &run[..12]);
        }
        let calls = step["calls"].as_array().unwrap().iter();
        Step { what, calls: calls.map(|call| Pattern::parse(call.as_str().unwrap())).collect() }
    };
    explained.as_array().unwrap().iter().map(step).collect()
}

#[test]
fn what_is_explained_of_a_run_without_options_is_what_happens() {
    let carboy = Carboy::new();
    Shown::of(&carboy, &["--rm"], &["true"]).is_what_happens();
}

#[test]
fn what_is_explained_of_a_run_with_most_options_is_what_happens() {
    let carboy = Carboy::new();
    let options = most_options(&carboy);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Shown::of(&carboy, &options, &["true"]).is_what_happens();
}

#[test]
fn what_is_explained_of_a_privileged_run_is_what_happens() {
    let carboy = Carboy::new();
    Shown::of(&carboy, &["--rm", "--privileged", "--device", "/dev/null:/dev/other/nothing"], &["/bin/true"])
        .is_what_happens();
}

#[test]
fn what_is_explained_of_a_run_with_a_terminal_and_an_init_is_what_happens() {
    let carboy = Carboy::new();
    Shown::of(&carboy, &["--rm", "-t", "--init", "-u", "anna"], &["true"]).is_what_happens();
}

#[test]
fn what_is_explained_of_a_run_in_namespaces_of_the_host_is_what_happens() {
    let carboy = Carboy::new();
    let options = ["--rm", "--net", "host", "--pid", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host"];
    Shown::of(&carboy, &options, &["true"]).is_what_happens();
}

#[test]
fn what_is_explained_of_a_run_in_namespaces_of_another_container_is_what_happens() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    let other = ["run", "--rm", "--name", "other", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
    let command = ["sh", "-c", "echo ready; exec sleep 1000"];
    let mut first = Attended::start(&mut carboy.command(other.iter().chain([&root.as_str()]).chain(&command)));
    assert_eq!(first.line(), "ready");
    let of_other = "container:other";
    let joined = ["--rm", "--net", of_other, "--ipc", of_other, "--userns", of_other];
    Shown::of(&carboy, &joined, &["true"]).is_what_happens();
    let more = ["--pid", of_other, "--uts", of_other];
    Shown::of(&carboy, &[joined.as_slice(), &more].concat(), &["true"]).is_what_happens();
    assert_eq!(carboy.run(["rm", "-f", "other"]).code, 0);
}

#[test]
fn a_step_that_is_left_out_added_or_in_another_place_is_noticed() {
    let carboy = Carboy::new();
    let Shown { host, child } = Shown::of(&carboy, &["--rm", "-w", "/work", "-m", "64m"], &["true"]);
    for (side, (steps, calls)) in [(Side::Host, host), (Side::Child, child)] {
        assert_eq!(matches(side, &steps, &calls), Ok(()));
        for place in 0..steps.len() {
            let what = &steps[place].what;
            let mut changed = steps.clone();
            changed.remove(place);
            assert!(matches(side, &changed, &calls).is_err(), "left out: {what}");
            changed.insert(place, steps[place].clone());
            changed.insert(place, steps[place].clone());
            assert!(matches(side, &changed, &calls).is_err(), "twice: {what}");
            changed.remove(place);
            if place > 0 && changed[place - 1].what != *what {
                changed.swap(place - 1, place);
                assert!(matches(side, &changed, &calls).is_err(), "earlier: {what}");
            }
        }
    }
}
