//! `why`: what held a container, a process or a group back while it was watched, because of what, and to whom it happened.
//!
//! Exit codes are those of `see`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use error::{Error, Refused, RefusedKind, Result};
use inspect::Snapshot;
use inspect::find::{self, Found, What};
use inspect::ladder::Resource;
use inspect::log::{Kill, Log};
use inspect::snapshot::{Reading, VERSION};
use inspect::source::{self, Scope};
use inspect::watch::{self, Kind, Subject, Watch};
use inspect::why::{Cause, Evidence, Finding, Held, Rival, Trouble, Wait, Weights, Why, share, why};
use serde_json::{Value, json};

use crate::report;
use crate::see::list::{self, quantity};
use crate::see::over::{self, Over};
use crate::see::page::{Page, Style};

/// What `why` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// How long it is watched; `None` where nobody has said.
    pub(crate) time: Option<Duration>,
    /// Whether it goes on until it is interrupted.
    pub(crate) watch: bool,
    /// Whether JSON is printed.
    pub(crate) json: bool,
    /// The snapshots to look at in place of this host: one before and one after.
    pub(crate) from: Vec<PathBuf>,
    /// Whom.
    pub(crate) what: String,
}

/// How long it is watched where nobody has said.
const TIME: Duration = Duration::from_secs(2);

/// `carboy why`; `roots` are the folders of carboy's state.
///
/// `run` is the folder of its runtime state, where that is known.
pub(crate) fn run(asked: &Asked, roots: &[PathBuf], run: Option<PathBuf>) -> ExitCode {
    super::ended(shown(asked, roots, run).map_err(of_why))
}

/// What it is asked in is said of what was asked.
fn of_why(error: Error) -> Error {
    match error {
        Error::Refused(refused) if refused.field == "see" => Refused { field: "why".to_owned(), ..*refused }.into(),
        other => other,
    }
}

fn shown(asked: &Asked, roots: &[PathBuf], run: Option<PathBuf>) -> Result<()> {
    let what = find::parse(&asked.what)?;
    if let What::Namespace(..) | What::NamespaceOf(..) = what {
        let refused = Refused::new("why", &asked.what, "is a namespace: it has no limits and uses nothing");
        return Err(refused.hint(format!("carboy see {} shows who is in it", asked.what)).into());
    }
    if !asked.from.is_empty() {
        return looked_back(asked);
    }
    let watch = Watch::open()?;
    let places: Vec<_> = roots.iter().map(|root| (root.clone(), run.clone().unwrap_or_default())).collect();
    let over = || over::find(&asked.what, &what, &places);
    let (whole, subjects) = subjects(asked, &what, &watch, (roots, &over))?;
    let ended = |error: Error| {
        let over = over().ok_or(error)?;
        if asked.json {
            let document = over.document(whole.at_msec);
            report::line(&serde_json::to_string_pretty(&document).unwrap_or_default());
        } else {
            let mut page = Page::new();
            over.text(&mut page);
            list::blind(&mut page, &whole);
            page.print();
        }
        Ok(())
    };
    match subjects {
        Ok(subjects) => watched(asked, &watch, &whole, &subjects),
        Err(error) => ended(error),
    }
}

/// What held somebody back between two moments that were written down.
fn looked_back(asked: &Asked) -> Result<()> {
    let refused = |field: &str, reason: &str| Refused::new(field, "", reason);
    if asked.watch || asked.time.is_some() {
        let field = if asked.watch { "--watch" } else { "--for" };
        return Err(refused(field, "is for what runs, and two snapshots are over")
            .hint("leave it out, or --from")
            .into());
    }
    let [before, after] = asked.from.as_slice() else {
        let refused = refused("--from", "needs two snapshots: what moved between them is told");
        return Err(refused.hint("carboy why --from before.json --from after.json WHAT").into());
    };
    let (before, after) = (super::load(before)?, super::load(after)?);
    let found = find::find(&before, &asked.what)?;
    let subjects: Vec<Subject> = found.iter().filter_map(|found| Subject::of(&before, *found)).collect();
    if subjects.is_empty() {
        return Err(nobodys(asked).into());
    }
    let part = |subject: &Subject| (watch::part(&before, subject), watch::part(&after, subject));
    let parts: Vec<(Snapshot, Snapshot)> = subjects.iter().map(part).collect();
    let told = subjects.iter().zip(&parts).map(|(subject, (first, last))| Told {
        why: why(first, last, subject),
        subject,
        how: "between the two",
        whole: &after,
        after: last,
        kills: Vec::new(),
    });
    let told: Vec<Told<'_>> = told.collect();
    if asked.json {
        print_json(asked, &told);
    } else {
        print(asked, &told);
    }
    Ok(())
}

fn watched(asked: &Asked, watch: &Watch, whole: &Snapshot, subjects: &[Subject]) -> Result<()> {
    let look = |subject: &Subject| watch.look(&whole.host, subject);
    let mut before: Vec<Snapshot> = subjects.iter().map(look).collect();
    let mut log = Some(Log::read());
    loop {
        std::thread::sleep(asked.time.unwrap_or(TIME));
        let mut after: Vec<Snapshot> = subjects.iter().map(look).collect();
        let unread = log.as_ref().and_then(|log| log.reach.blind());
        if let Some((first, blind)) = after.first_mut().zip(unread) {
            first.blind.push(blind);
        }
        let found = |(subject, (before, after))| (subject, after, why(before, after, subject));
        let found: Vec<(&Subject, &Snapshot, Why)> =
            subjects.iter().zip(before.iter().zip(&after)).map(found).collect();
        let has_killed = |why: &Why| why.findings.iter().any(|finding| finding.trouble == Trouble::Killed);
        // A long log is read again only where there is something to be found in it.
        if found.iter().any(|(_, _, why)| has_killed(why)) {
            log = None;
        }
        let log = log.get_or_insert_with(Log::read);
        let tell = |(subject, after, why)| {
            let kills = kills(log, subject);
            Told { why, subject, how: "watched", whole, after, kills }
        };
        let told: Vec<Told<'_>> = found.into_iter().map(tell).collect();
        let is_read = if asked.json { print_json(asked, &told) } else { print(asked, &told) };
        if !asked.watch || !is_read || told.iter().all(|one| !one.why.is_there) {
            return Ok(());
        }
        before = after;
    }
}

/// Who of the subject was killed, as the kernel logged.
fn kills(log: &Log, subject: &Subject) -> Vec<Kill> {
    let own = subject.groups.iter().map(|(_, path)| path).filter(|path| path.parent().is_some());
    let deepest = own.max_by_key(|path| path.components().count());
    deepest.map_or_else(Vec::new, |path| log.of_group(path).cloned().collect())
}

/// What is known of one that has ended.
type Past<'p> = &'p dyn Fn() -> Option<Over>;

/// What the word means, or why it means nobody who is there. A snapshot of the containers is enough for most words, and
/// costs little on a crowded host.
fn subjects(
    asked: &Asked,
    what: &What,
    watch: &Watch,
    (roots, over): (&[PathBuf], Past<'_>),
) -> Result<(Snapshot, Result<Vec<Subject>>)> {
    let of = |snapshot: &Snapshot| -> Result<Vec<Subject>> {
        let found = find::find(snapshot, &asked.what)?;
        let subject = |found: &Found| match found {
            Found::Group(index) => watch.group(&snapshot.groups.get(*index)?.path),
            found => Subject::of(snapshot, *found),
        };
        let subjects: Vec<Subject> = found.iter().filter_map(subject).collect();
        if subjects.is_empty() {
            return Err(nobodys(asked).into());
        }
        Ok(subjects)
    };
    if let What::Name(_) | What::Inside(..) = what {
        let snapshot = source::take(Scope::Containers, roots)?;
        match of(&snapshot) {
            Err(error) if over().is_none() => drop(error),
            subjects => return Ok((snapshot, subjects)),
        }
    }
    if let What::Path(path) = what
        && let Some(subject) = watch.group(path)
    {
        return Ok((source::take(Scope::Containers, roots)?, Ok(vec![subject])));
    }
    let snapshot = source::take(Scope::Everything, roots)?;
    let subjects = of(&snapshot);
    Ok((snapshot, subjects))
}

fn nobodys(asked: &Asked) -> Refused {
    let refused = Refused::new("why", &asked.what, "is nobody's but the host's");
    let hint = format!("carboy see {} shows it; carboy why / looks at the host", asked.what);
    refused.kind(RefusedKind::NoSuchObject).hint(hint)
}

/// What is told of one subject.
struct Told<'s> {
    why: Why,
    subject: &'s Subject,
    /// What the time is: watched.
    how: &'static str,
    /// The containers of the host, for their names.
    whole: &'s Snapshot,
    after: &'s Snapshot,
    /// Who of it was killed, as the kernel logged.
    kills: Vec<Kill>,
}

/// Prints it; gives whether there is still a reader.
fn print_json(asked: &Asked, told: &[Told<'_>]) -> bool {
    let document = |one: &Told<'_>| {
        json!({
            "kind": match one.subject.kind {
                Kind::Container => "container",
                Kind::Process => "process",
                Kind::Group => "group",
            },
            "name": one.subject.name, "why": one.why, "logged": one.kills, "blind": one.after.blind,
        })
    };
    let found: Vec<Value> = told.iter().map(document).collect();
    let at_msec = told.first().map_or(0, |one| one.after.at_msec);
    let document = json!({"version": VERSION, "at_msec": at_msec, "found": found});
    // Of several, each is one line.
    let text = if asked.watch { Ok(document.to_string()) } else { serde_json::to_string_pretty(&document) };
    report::written(|out| writeln!(out, "{}", text.unwrap_or_default()))
}

/// The same for people.
fn print(asked: &Asked, told: &[Told<'_>]) -> bool {
    let mut page = Page::new();
    for one in told {
        page.gap();
        one.text(&mut page);
    }
    for one in told {
        list::blind(&mut page, one.after);
    }
    if asked.watch {
        return page.print_anew();
    }
    page.print();
    true
}

impl Told<'_> {
    fn text(&self, page: &mut Page) {
        let why = &self.why;
        let seconds = why.elapsed_usec;
        page.styled(Style::Bold, &format!("{}: {} s {}", self.subject.name, tenths(seconds), self.how));
        if !why.is_there {
            page.line("  it ended meanwhile");
        }
        self.place(page);
        self.cpu(page);
        self.memory(page);
        self.pids(page);
        self.io(page);
        self.stalls(page);
        self.standing(page);
        if why.findings.is_empty() && why.is_there {
            self.nothing(page);
        }
    }

    /// Whose the numbers of a process's group are.
    fn place(&self, page: &mut Page) {
        if self.subject.kind == Kind::Process {
            let deepest = self.subject.groups.iter().map(|(_, path)| path).max_by_key(|path| path.components().count());
            let deepest = deepest.map_or_else(|| "no group".to_owned(), |path| self.called(path));
            row(page, "in", &format!("{deepest}: memory, pids and stalls are all of that group"), Style::Dim);
        }
    }

    fn finding(&self, trouble: Trouble) -> Option<&Finding> {
        self.why.findings.iter().find(|finding| finding.trouble == trouble)
    }

    /// How long something lasted: `73% of the time`.
    fn lasted(&self, finding: &Finding) -> String {
        match finding.usec {
            Some(usec) => format!("{} of the time", percent(share(usec, self.why.elapsed_usec))),
            None => "(nothing counts for how long)".to_owned(),
        }
    }

    fn cpu(&self, page: &mut Page) {
        let cpu = &self.why.cpu;
        let used = cpu.used_usec.map_or_else(|| "use unknown".to_owned(), |used| format!("used {}", self.cpus(used)));
        let of = match cpu.limit {
            Reading::At(_) => format!("of {} cpus", quantity(Resource::Cpu, cpu.limit)),
            Reading::Unlimited | Reading::Absent => format!("of {}, no quota", plural(cpu.cpus, "cpu")),
            Reading::Unreadable => "of a quota that cannot be read".to_owned(),
        };
        let mut text = format!("{used} {of}");
        let (held_back, crowded) = (self.finding(Trouble::HeldBack), self.finding(Trouble::Crowded));
        text.extend(held_back.map(|finding| format!(", held back {}", self.lasted(finding))));
        text.extend(crowded.map(|finding| format!(", waited for a cpu {}", self.lasted(finding))));
        row(page, "cpu", &text, held_back.or(crowded).map_or(Style::Plain, |_| Style::Alarm));
        for cause in held_back.into_iter().flat_map(|finding| &finding.causes) {
            let periods = match (cause.hits, cause.periods) {
                (Some(hits), Some(periods)) => format!("  hit in {} of {periods}", plural(hits, "period")),
                _ => String::new(),
            };
            self.cause(page, cause, &format!("quota {} cpu{periods}", quantity(Resource::Cpu, cause.limit)));
        }
        if let Some(finding) = held_back {
            self.others(page, &finding.rivals, |usec| format!("{} cpus", self.cpus(usec)));
        }
        if let Some(finding) = crowded {
            let cpus = plural(cpu.cpus, "CPU");
            let all = cpu.cpus.saturating_mul(self.why.elapsed_usec);
            let is_itself = cpu.used_usec.is_some_and(|used| share(used, all) >= 9000);
            let words = if is_itself {
                format!("it uses the {cpus} that it may run on")
            } else {
                format!("more wants to run than the {cpus} that it may run on")
            };
            row(page, "", &format!("cause  {}", words), Style::Plain);
            self.others(page, &finding.rivals, |usec| format!("{} cpus", self.cpus(usec)));
        }
    }

    /// CPU time as a number of CPUs.
    fn cpus(&self, usec: u64) -> String {
        let hundredths = usec.saturating_mul(100).saturating_add(self.why.elapsed_usec / 2);
        let hundredths = hundredths.checked_div(self.why.elapsed_usec).unwrap_or(0);
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    }

    fn memory(&self, page: &mut Page) {
        let (killed, reclaiming) = (self.finding(Trouble::Killed), self.finding(Trouble::Reclaiming));
        let mut text = held(Resource::Memory, &self.why.memory);
        if let Some(finding) = killed {
            text.push_str(&format!("; oom kills here since start: {}", since(finding, self.why.memory.since_start)));
        }
        text.extend(reclaiming.map(|finding| format!("; waited for memory {}", self.lasted(finding))));
        let is_now = killed.is_some_and(|finding| finding.count > Some(0)) || reclaiming.is_some();
        row(page, "memory", &text, if is_now { Style::Alarm } else { Style::Plain });
        let causes = killed.into_iter().chain(reclaiming).flat_map(|finding| &finding.causes);
        let mut told: Vec<&Cause> = Vec::new();
        for cause in causes {
            if told.iter().any(|other| other.level == cause.level && other.is_brake == cause.is_brake) {
                continue;
            }
            told.push(cause);
            match cause.level {
                Some(_) => self.cause(page, cause, &memory_cause(cause)),
                None => {
                    let available = quantity(Resource::Memory, self.why.host.available_bytes);
                    let text = format!(
                        "cause  the host  {available} of its {} available",
                        report::size(self.why.host.memory_bytes)
                    );
                    row(page, "", &text, Style::Plain);
                }
            }
        }
        if let Some(finding) = killed.or(reclaiming) {
            self.others(page, &finding.rivals, report::size);
        }
        over::logged(page, &self.kills);
    }

    fn pids(&self, page: &mut Page) {
        let refused = self.finding(Trouble::Refused);
        let mut text = held(Resource::Pids, &self.why.pids);
        if let Some(finding) = refused {
            text.push_str(&format!("; forks refused since start: {}", since(finding, self.why.pids.since_start)));
        }
        let is_now = refused.is_some_and(|finding| finding.count > Some(0));
        row(page, "pids", &text, if is_now { Style::Alarm } else { Style::Plain });
        if let Some(finding) = refused {
            for cause in &finding.causes {
                let hits = hits(cause, "hit").unwrap_or_else(|| certainty(cause).to_owned());
                self.cause(page, cause, &format!("limit {}  {hits}", quantity(Resource::Pids, cause.limit)));
            }
            self.others(page, &finding.rivals, |tasks| tasks.to_string());
        }
    }

    fn io(&self, page: &mut Page) {
        let stalled = self.finding(Trouble::Io);
        if let Some(finding) = stalled {
            row(page, "io", &format!("stalled on io {}", self.lasted(finding)), Style::Alarm);
            if self.why.disks.is_empty() {
                row(
                    page,
                    "",
                    "cause  no level limits io: the disk itself, or what waits for it elsewhere",
                    Style::Plain,
                );
            }
        }
        for disks in &self.why.disks {
            let limits = disks.limits.iter().map(|one| {
                let limit = if one.kind.ends_with("bps") { report::size(one.limit) } else { one.limit.to_string() };
                format!("{} {} {limit}/s", one.disk, one.kind)
            });
            let text = format!("{}  {}", self.called(&disks.path), limits.collect::<Vec<_>>().join(", "));
            if stalled.is_some() {
                row(page, "", &format!("limit  {text}  (no counter tells whether it was hit)"), Style::Plain);
            } else {
                row(page, "io", &format!("limited at {text}"), Style::Plain);
            }
        }
    }

    fn stalls(&self, page: &mut Page) {
        let stalls = &self.why.stalls;
        let all = [("cpu", stalls.cpu), ("memory", stalls.memory), ("io", stalls.io)];
        if all.iter().all(|(_, wait)| wait.avg10 == Reading::Absent) {
            return row(page, "stall", "not told here: no v2 group of its own, or a kernel without PSI", Style::Dim);
        }
        let average = |wait: &Wait| match wait.avg10 {
            Reading::At(hundredths) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
            _ => "-".to_owned(),
        };
        let text = all.iter().enumerate().map(|(number, (name, wait))| {
            let avg10 = if number == 0 { "avg10=" } else { "" };
            format!("{name} {avg10}{}", average(wait))
        });
        row(page, "stall", &text.collect::<Vec<_>>().join("   "), Style::Plain);
    }

    /// What does not run at all.
    fn standing(&self, page: &mut Page) {
        if let Some(finding) = self.finding(Trouble::Frozen) {
            row(page, "frozen", "its processes stand still", Style::Alarm);
            match finding.causes.first() {
                Some(cause) => self.cause(page, cause, "was told to freeze"),
                None => row(page, "", "cause  a group above what can be seen was told to freeze", Style::Plain),
            }
        }
        let still = &self.why.still;
        for (state, word) in [("Tt", "stopped"), ("D", "waits")] {
            let is_frozen = self.finding(Trouble::Frozen).is_some() && state == "D";
            let these: Vec<_> = still.iter().filter(|one| state.contains(one.state) && !is_frozen).collect();
            for (number, one) in these.iter().take(NAMED).enumerate() {
                let place = one.waits_in.as_ref().map_or_else(String::new, |place| format!(" in {place}"));
                let lasting = if one.is_lasting { "all the time" } else { "now" };
                let how = match one.state {
                    'T' => "by a signal".to_owned(),
                    't' => "by a debugger".to_owned(),
                    _ => format!("cannot be interrupted (D){place}"),
                };
                let style = if one.is_lasting { Style::Alarm } else { Style::Plain };
                let label = if number == 0 { word } else { "" };
                row(page, label, &format!("{} {}  {how}, {lasting}", one.pid, one.name), style);
            }
            if these.len() > NAMED {
                row(page, "", &format!("and {} more", these.len() - NAMED), Style::Dim);
            }
        }
    }

    fn nothing(&self, page: &mut Page) {
        let levels: Vec<String> = self.levels();
        page.line(&format!("  nothing held it back: no quota, limit or freezer was hit of {}", levels.join(", ")));
        let processes = plural(u64::try_from(self.why.processes).unwrap_or(u64::MAX), "process");
        let were = if self.why.processes == 1 { "was" } else { "were" };
        let waited = match self.why.stalls.cpu.some_usec {
            Some(_) => "none waited long for cpu, memory or io",
            None => "none stands still; how long they waited is not told",
        };
        page.line(&format!("  {processes} {were} looked at: {waited}"));
    }

    /// The levels that were looked at, the subject's own first.
    fn levels(&self) -> Vec<String> {
        let mut levels: Vec<&Path> = Vec::new();
        for (_, path) in &self.subject.groups {
            levels.extend(path.ancestors());
        }
        levels.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        levels.dedup();
        levels.iter().map(|path| self.called(path)).collect()
    }

    /// `cause  /team  quota 0.2 cpu`.
    fn cause(&self, page: &mut Page, cause: &Cause, text: &str) {
        let level = cause.level.as_ref().map_or_else(|| "the host".to_owned(), |level| self.called(level));
        row(page, "", &format!("cause  {level}  {text}"), Style::Plain);
    }

    fn others(&self, page: &mut Page, rivals: &[Rival], quantity: impl Fn(u64) -> String) {
        if rivals.is_empty() {
            return;
        }
        let weights = |weights: Weights| match (weights.its, weights.own) {
            (Reading::At(its), Reading::At(own)) => format!(", weight {its} to {own}"),
            _ => String::new(),
        };
        let named = |rival: &Rival| {
            let weights = rival.weights.map(weights).unwrap_or_default();
            format!("{} {}{weights}", self.called(&rival.path), quantity(rival.usage))
        };
        let mut lines: Vec<String> = rivals.iter().map(named).collect();
        if rivals.iter().all(|rival| rival.weights.is_none()) {
            lines = vec![lines.join(", ")];
        }
        for (number, line) in lines.iter().enumerate() {
            let head = if number == 0 { "beside it" } else { "" };
            row(page, "", &format!("{head:<9}  {line}"), Style::Plain);
        }
    }

    /// A group by its path, long ids cut, with the name of the container whose it is.
    fn called(&self, path: &Path) -> String {
        let shown = self::path(path);
        let is_its = |group: &usize| self.whole.groups.get(*group).is_some_and(|group| group.path == path);
        let own = path.parent().and(self.whole.containers.iter().find(|one| one.groups.iter().any(is_its)));
        match own.filter(|container| container.title() != self.subject.name) {
            Some(container) => format!("{shown} ({})", list::name(container)),
            None => shown,
        }
    }
}

/// How many processes are named.
const NAMED: usize = 5;

/// A group's path, long ids cut.
pub(crate) fn path(path: &Path) -> String {
    let cut = |name: std::borrow::Cow<'_, str>| {
        let bare = name.strip_suffix(".scope").unwrap_or(&name);
        let is_id = bare.len() >= 64 && bare.bytes().rev().take(64).all(|byte| byte.is_ascii_hexdigit());
        if is_id { bare.chars().take(bare.len() - 52).collect() } else { name.into_owned() }
    };
    let parts = path.components().skip(1).map(|part| cut(part.as_os_str().to_string_lossy()));
    format!("/{}", parts.collect::<Vec<_>>().join("/"))
}

/// A line of the answer: what it is about, and what is told.
pub(crate) fn row(page: &mut Page, label: &str, text: &str, style: Style) {
    page.styled(style, &format!("  {label:<7} {text}"));
}

/// `296 KiB of 32 MiB, 3 MiB left`.
fn held(resource: Resource, held: &Held) -> String {
    let usage = match held.usage {
        Reading::Absent => "use not counted".to_owned(),
        usage => quantity(resource, usage),
    };
    match held.limit {
        Reading::At(_) => {
            let left = held.headroom.map(|left| format!(", {} left", quantity(resource, Reading::At(left))));
            format!("{usage} of {}{}", quantity(resource, held.limit), left.unwrap_or_default())
        }
        Reading::Unlimited | Reading::Absent => format!("{usage}, no limit"),
        Reading::Unreadable => format!("{usage} of a limit that cannot be read"),
    }
}

/// `3, 2 now`.
fn since(finding: &Finding, since_start: Reading) -> String {
    let all = match since_start {
        Reading::At(all) => all.to_string(),
        _ => "not counted".to_owned(),
    };
    match finding.count {
        Some(count) if count > 0 => format!("{all}, {count} now"),
        _ => all,
    }
}

/// `limit 32 MiB  reached 141 times, high-water 32 MiB`.
fn memory_cause(cause: &Cause) -> String {
    let word = if cause.is_brake { "slowed down beyond" } else { "limit" };
    let mut text = format!("{word} {}", quantity(Resource::Memory, cause.limit));
    let told = hits(cause, "reached").unwrap_or_else(|| certainty(cause).to_owned());
    text.push_str(&format!("  {told}"));
    if let Reading::At(peak) = cause.peak {
        text.push_str(&format!(", high-water {}", report::size(peak)));
    }
    text
}

/// `reached 141 times, 12 now`; `None` where nothing was counted.
fn hits(cause: &Cause, verb: &str) -> Option<String> {
    let Reading::At(all @ 1..) = cause.hits_since_start else { return None };
    let meanwhile = cause.hits.filter(|hits| *hits > 0).map(|hits| format!(", {hits} now"));
    Some(format!("{verb} {}{}", plural(all, "time"), meanwhile.unwrap_or_default()))
}

/// How sure it is, where no counter tells.
const fn certainty(cause: &Cause) -> &'static str {
    match cause.known {
        Evidence::Moved | Evidence::Counted => "was hit",
        Evidence::Full => "is or was full",
        Evidence::Binds => "the smallest; no counter tells whether it was hit",
        Evidence::Limited => "no counter tells whether it was hit",
    }
}

fn plural(count: u64, word: &str) -> String {
    let ending = if word.ends_with('s') { "es" } else { "s" };
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}{ending}") }
}

/// `73%`, from hundredths of a percent.
fn percent(share: u64) -> String {
    format!("{}%", share.saturating_add(50) / 100)
}

/// Seconds with one decimal.
fn tenths(usec: u64) -> String {
    let tenths = usec.saturating_add(50_000) / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}
