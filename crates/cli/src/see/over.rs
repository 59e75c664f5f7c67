//! `why` of one that has ended: its exit as its engine wrote it down, and who was killed in it as the kernel logged, each as
//! what it is, with what nobody knows.

use std::path::{Path, PathBuf};

use engine::containers::{self, Status};
use engine::journal::Entry;
use engine::record::{Exit, Record};
use inspect::ended::{self, Ended};
use inspect::find::What;
use inspect::log::{Kill, Log, Reach, Short};
use inspect::snapshot::VERSION;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::see::list;
use crate::see::page::{Page, Style};
use crate::see::story;
use crate::see::why::{path, row};
use crate::{report, zone};

/// What is known of one that has ended.
#[derive(Debug)]
pub(crate) struct Over {
    /// What was asked for.
    word: String,
    /// carboy's own record.
    record: Option<Record>,
    /// What has happened to it, as far as its diary reaches back.
    diary: Vec<Entry>,
    /// What another engine wrote down.
    written: Option<Ended>,
    /// Who was killed, as the kernel logged.
    kills: Vec<Kill>,
    /// How far its log reaches back.
    reach: Reach,
}

/// Fewer digits of an id may be a word.
const FEWEST_DIGITS: usize = 12;
/// The kernel's log and the record are by different clocks, in microseconds.
const CLOCKS_DIFFER: u32 = 50_000;
/// How many kills are told one by one.
const TOLD: usize = 5;

/// Looks for one that has ended; `None` where nothing at all is known of it. `places` are folders of carboy's state, each
/// with that of its runtime state.
pub(crate) fn find(word: &str, what: &What, places: &[(PathBuf, PathBuf)]) -> Option<Over> {
    let mut log = Log::read();
    let is_name = matches!(what, What::Name(_) | What::Pid(_));
    let record = || places.iter().find_map(|(root, run)| recorded(word, root, run));
    let (record, diary) = if is_name { record() } else { None }.unzip();
    let diary = diary.unwrap_or_default();
    let written = || ended::find(word);
    let written = if is_name && record.is_none() { written() } else { None };
    let id = record.as_ref().map(|record| record.id.as_str()).or(written.as_ref().map(|one| one.id.as_str()));
    let is_digits = word.len() >= FEWEST_DIGITS && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let kills: Vec<Kill> = match (what, id) {
        (_, Some(id)) => {
            let group = record.as_ref().map(|record| Path::new(&record.group));
            let by_group = log.kills.iter().filter(|kill| group.is_some_and(|group| is_victim(kill, group)));
            let mut kills: Vec<Kill> = log.of_id(id).chain(by_group).cloned().collect();
            kills.sort_by_key(|kill| std::cmp::Reverse(kill.ago_usec));
            kills.dedup();
            kills
        }
        (What::Path(path), None) => log.of_group(path).cloned().collect(),
        (What::Pid(pid), None) if !is_digits => log.of_pid(pid.0).cloned().collect(),
        _ if is_digits => log.of_id(word).cloned().collect(),
        _ => Vec::new(),
    };
    log.kills.clear();
    let is_known = record.is_some() || written.is_some() || !kills.is_empty();
    is_known.then(|| Over { word: word.to_owned(), record, diary, written, kills, reach: log.reach })
}

fn is_victim(kill: &Kill, group: &Path) -> bool {
    kill.victim.as_ref().is_some_and(|victim| victim.starts_with(group))
}

/// carboy's record and diary of a container that does not run.
fn recorded(word: &str, root: &Path, run: &Path) -> Option<(Record, Vec<Entry>)> {
    let engine = containers::Engine::at(root.to_owned(), run.to_owned());
    let found = engine.find(word).ok()?;
    let diary = engine.diary(&found.record).unwrap_or_default();
    (!matches!(found.status, Status::Running(_))).then_some((found.record, diary))
}

impl Over {
    fn exit(&self) -> Option<&Exit> {
        self.record.as_ref()?.exit.as_ref()
    }

    fn code(&self) -> Option<i64> {
        let own = self.exit().and_then(|exit| exit.code).map(i64::from);
        own.or_else(|| self.written.as_ref()?.code)
    }

    fn name(&self) -> &str {
        let written = || self.written.as_ref().map(|written| written.name.as_str());
        self.record.as_ref().map(|record| record.name.as_str()).or_else(written).unwrap_or(&self.word)
    }

    /// How long ago it ended, in seconds.
    fn ago(&self) -> Option<i64> {
        let written = || self.written.as_ref()?.finished.as_ref()?.parse().ok();
        let finished: jiff::Timestamp = self.exit().map(|exit| exit.finished).or_else(written)?;
        Some(jiff::Timestamp::now().as_second().saturating_sub(finished.as_second()).max(0))
    }

    /// Whether anything says that memory was short.
    fn was_short_of_memory(&self) -> bool {
        let recorded = self.exit().is_some_and(|exit| exit.shortage.oom.is_some());
        let written = self.written.as_ref().is_some_and(|written| written.oom_killed == Some(true));
        let since = self.exit().and_then(|exit| exit.started);
        let since = since.map(|since| Timestamp::now().duration_since(since).as_micros() + i128::from(CLOCKS_DIFFER));
        let in_this_run = |kill: &Kill| since.is_none_or(|since| i128::from(kill.ago_usec) <= since);
        recorded || written || self.kills.iter().any(in_this_run)
    }

    /// What is to be thought of it, from the strongest evidence that there is.
    fn verdict(&self) -> String {
        let signal = self.code().and_then(|code| u32::try_from(code.checked_sub(128)?).ok());
        let signal = signal.filter(|signal| (1..=sys::signal::LAST).contains(signal));
        match (self.code(), self.was_short_of_memory(), signal) {
            (Some(137), true, _) => "killed: memory was short".to_owned(),
            (None, true, _) => "something in it was killed: memory was short".to_owned(),
            (Some(code), true, _) => format!("a process of it was killed: memory was short; it ended with code {code}"),
            (None, false, _) => "nobody saw how".to_owned(),
            (Some(0), false, _) => "by itself, without an error".to_owned(),
            (Some(_), false, Some(number)) if self.was_sent(number) => {
                let name = sys::signal::name(number).map_or_else(String::new, |name| format!(" ({name})"));
                format!("by signal {number}{name}, which was sent by carboy")
            }
            (Some(_), false, Some(number)) => {
                let name = sys::signal::name(number).map_or_else(String::new, |name| format!(" ({name})"));
                format!("by signal {number}{name}, or by itself with a code that looks so")
            }
            (Some(125..=127), false, None) => "its command could not be run, or says so itself".to_owned(),
            (Some(_), false, None) => "by itself, with an error of its own".to_owned(),
        }
    }

    /// Whether carboy has sent this signal to it since it was started last.
    fn was_sent(&self, signal: u32) -> bool {
        let last = self.diary.iter().rposition(|entry| entry.action == "start").unwrap_or_default();
        let sent = |entry: &Entry| entry.attributes.get("signal").is_some_and(|sent| *sent == signal.to_string());
        self.diary.get(last..).unwrap_or_default().iter().any(sent)
    }

    /// What nobody knows, and why.
    fn unknown(&self) -> Vec<String> {
        let mut unknown = Vec::new();
        if self.record.is_none() && self.written.is_none() {
            unknown.push("its exit code: no engine's files on this host tell of it".to_owned());
        }
        let signal =
            self.code().filter(|code| (129..=192).contains(code)).and_then(|code| u32::try_from(code - 128).ok());
        if signal.is_some_and(|signal| !self.was_sent(signal)) && !self.was_short_of_memory() {
            unknown.push("who sent a signal: it was not carboy, and nobody else writes that down".to_owned());
        }
        match self.reach {
            Reach::Unreadable(_) => {
                let why = self.reach.blind().map(|blind| blind.why).unwrap_or_default();
                unknown.push(format!("what the kernel logged of it: {why}"));
            }
            Reach::Ago(usec) if self.ago().is_none_or(|ago| ago.unsigned_abs() > usec / 1_000_000) => {
                unknown.push(format!("what the kernel logged more than {} ago: it is overwritten", span(usec)));
            }
            Reach::Empty => unknown.push("what the kernel logged: its log is empty".to_owned()),
            Reach::Ago(_) | Reach::SinceStart => {}
        }
        unknown
    }

    /// Prints it.
    pub(crate) fn text(&self, page: &mut Page) {
        let ago = self.ago().map_or_else(String::new, |ago| format!(" {} ago", report::span(ago).to_lowercase()));
        let is_said_to_run = self.written.as_ref().is_some_and(|written| written.is_said_to_run);
        let ended = if is_said_to_run { "nothing of it is there".to_owned() } else { format!("ended{ago}") };
        page.styled(Style::Bold, &format!("{}: {ended}, {}", self.name(), self.verdict()));
        if let Some(code) = self.code() {
            row(page, "exit", &code.to_string(), Style::Plain);
        }
        self.shortages(page);
        self.logged(page);
        story::tell(page, &self.diary, &zone::local(&|name| std::env::var_os(name)));
        if let Some(record) = &self.record {
            story::cost(page, record);
        }
        if let Some(written) = &self.written {
            let engine = list::engine(written.engine);
            if let Some(oom) = written.oom_killed {
                row(page, "says", &format!("{engine}: OOMKilled {oom}"), Style::Plain);
            }
            if let Some(error) = &written.error {
                row(page, "", &format!("{engine}: {error}"), Style::Plain);
            }
            if is_said_to_run {
                row(page, "", &format!("{engine}: it runs"), Style::Plain);
            }
        }
        for unknown in self.unknown() {
            row(page, "unknown", &unknown, Style::Dim);
        }
    }

    /// What carboy's monitor counted before the groups were gone.
    fn shortages(&self, page: &mut Page) {
        let Some(exit) = self.exit() else { return };
        if let Some(oom) = &exit.shortage.oom {
            let own = oom.limit_bytes.map(|limit| format!("; its own limit {}", report::size(limit)));
            let kills = format!("oom kills here: {}{}", oom.kills, own.unwrap_or_default());
            row(page, "memory", &kills, Style::Alarm);
            let own = || self.record.as_ref().map(|record| record.group.clone());
            let cause = oom.cause.as_ref().map(|cause| (cause.path.clone(), cause.limit));
            if let Some((level, limit)) = cause.or_else(|| own().zip(oom.limit_bytes)) {
                let level = path(Path::new(&level));
                row(page, "", &format!("cause  {level}  limit {}", report::size(limit)), Style::Plain);
            }
        }
        if let Some(refused) = &exit.shortage.forks_refused {
            row(page, "pids", &format!("forks refused: {}", refused.count), Style::Alarm);
            if let Some(cause) = &refused.cause {
                let level = path(Path::new(&cause.path));
                row(page, "", &format!("cause  {level}  limit {}", cause.limit), Style::Plain);
            }
        }
    }

    fn logged(&self, page: &mut Page) {
        logged(page, &self.kills);
    }

    /// The same as a document.
    pub(crate) fn document(&self, at_msec: u64) -> Value {
        let exit = self.exit();
        json!({"version": VERSION, "at_msec": at_msec, "found": [{
            "kind": "ended", "name": self.name(), "verdict": self.verdict(), "code": self.code(),
            "id": self.record.as_ref().map(|one| &one.id).or(self.written.as_ref().map(|one| &one.id)),
            "finished": exit.map(|exit| exit.finished.to_string()).or_else(|| self.written.as_ref()?.finished.clone()),
            "shortage": exit.map(|exit| &exit.shortage), "receipt": exit.map(|exit| &exit.receipt),
            "diary": self.diary, "written": self.written, "kills": self.kills,
            "log": self.reach, "unknown": self.unknown(),
        }]})
    }
}

/// Who was killed, as the kernel logged: the last ones.
pub(crate) fn logged(page: &mut Page, kills: &[Kill]) {
    for (number, kill) in kills.iter().rev().take(TOLD).enumerate() {
        let label = if number == 0 { "logged" } else { "" };
        let victim = kill.victim.as_ref().map_or_else(String::new, |victim| format!(" of {}", path(victim)));
        let text = format!("{} ago  {} {} was killed{victim}", span(kill.ago_usec), kill.pid, kill.name);
        row(page, label, &text, Style::Plain);
        let cause = match &kill.cause {
            Short::Group(group) => format!("cause  {}  its limit, says the kernel", path(group)),
            Short::SomeGroup => "cause  a group's limit; the kernel did not log whose".to_owned(),
            Short::Host => "cause  the host's memory was short".to_owned(),
        };
        row(page, "", &cause, Style::Plain);
    }
    if kills.len() > TOLD {
        row(page, "", &format!("and {} more before", kills.len() - TOLD), Style::Dim);
    }
}

fn span(usec: u64) -> String {
    report::span(i64::try_from(usec / 1_000_000).unwrap_or(i64::MAX)).to_lowercase()
}
