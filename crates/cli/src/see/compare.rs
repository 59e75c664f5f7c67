//! `compare`: what two containers or processes have in common, one of them and the host, or one at two moments.

use std::path::PathBuf;
use std::process::ExitCode;

use error::{Error, Refused, RefusedKind, Result};
use inspect::Snapshot;
use inspect::compare::{
    Comparison, FromHost, Held, Limits, Namespaces, Pair, Place, Side, Standing, User, Whom, compare, words,
};
use inspect::find::{self, Found, What};
use inspect::snapshot::{Container, Seccomp, VERSION, place};
use inspect::source::{self, Scope};
use oci::CAPABILITIES;
use procfs::Kind;
use serde_json::json;

use crate::report;
use crate::see::Form;
use crate::see::list::{self, ORDER, quantity};
use crate::see::page::{Page, Style};
use crate::see::picture::matrix;

/// What `compare` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compare {
    /// Whether what is the same is shown too.
    pub(crate) verbose: bool,
    /// How it is shown.
    pub(crate) form: Form,
    /// The snapshot to look at in place of this host, or two: the first of the two is in one, the second in the other.
    pub(crate) from: Vec<PathBuf>,
    /// The first.
    pub(crate) a: String,
    /// The second; `None` for the host, and with two snapshots for the first again.
    pub(crate) b: Option<String>,
}

/// `carboy compare`; `roots` are the folders of carboy's state.
pub(crate) fn run(asked: &Compare, roots: &[PathBuf]) -> ExitCode {
    super::ended(shown(asked, roots))
}

fn shown(asked: &Compare, roots: &[PathBuf]) -> Result<()> {
    for word in [Some(&asked.a), asked.b.as_ref()].into_iter().flatten() {
        // What is no question is told before anything is read.
        check(word)?;
    }
    let mut snapshots = Vec::new();
    for path in &asked.from {
        snapshots.push(super::load(path)?);
    }
    if snapshots.is_empty() {
        let words: Vec<&str> = [Some(&asked.a), asked.b.as_ref()].into_iter().flatten().map(String::as_str).collect();
        snapshots.push(source::take(Scope::About(&words), roots)?);
    }
    let (Some(first), Some(last)) = (snapshots.first(), snapshots.last()) else { return Ok(()) };
    let again = Some(&asked.a).filter(|_| snapshots.len() > 1);
    let a = Side { snapshot: first, whom: whom(first, &asked.a)? };
    let b = match asked.b.as_ref().or(again) {
        Some(word) => Side { snapshot: last, whom: whom(last, word)? },
        None => Side { snapshot: last, whom: Whom::Host },
    };
    let found = compare(a, b);
    match asked.form {
        Form::Text => {}
        Form::Json => return print_json(&found, [a, b]),
        Form::Svg => {
            report::line(&drawn([a, b])?);
            return Ok(());
        }
    }
    let told = Told::new(&found, [a, b], asked);
    let mut page = Page::new();
    told.text(&mut page);
    list::blind(&mut page, first);
    if snapshots.len() > 1 && last.blind != first.blind {
        list::blind(&mut page, last);
    }
    page.print();
    Ok(())
}

/// Who of the two shares what.
fn drawn([a, b]: [Side<'_>; 2]) -> Result<String> {
    if !std::ptr::eq(a.snapshot, b.snapshot) {
        let refused = Refused::new("--svg", "", "it draws one moment, and two snapshots are two");
        return Err(refused.hint("leave it out, or give --from once").into());
    }
    let two: Vec<Container> = [a, b].into_iter().filter_map(container).collect();
    Ok(matrix::draw(a.snapshot, two.iter().collect()))
}

/// What it is asked in is said of what was asked.
fn of_compare(error: Error) -> Error {
    match error {
        Error::Refused(refused) => Refused { field: "compare".to_owned(), ..*refused }.into(),
        other => other,
    }
}

fn no_such_side(word: &str) -> Error {
    let refused = Refused::new("compare", word, "is neither a container nor a process");
    refused.hint("for example: carboy compare web db, carboy compare web 2503").into()
}

fn check(word: &str) -> Result<()> {
    match find::parse(word).map_err(of_compare)? {
        What::Namespace(..) | What::NamespaceOf(..) => Err(no_such_side(word)),
        _ => Ok(()),
    }
}

fn whom(snapshot: &Snapshot, word: &str) -> Result<Whom> {
    let found = find::find(snapshot, word).map_err(of_compare)?;
    match found.as_slice() {
        [Found::Container(index)] => Ok(Whom::Container(*index)),
        [Found::Process(index) | Found::Member(index)] => Ok(Whom::Process(*index)),
        [Found::Namespace(_) | Found::Group(_)] | [] => Err(no_such_side(word)),
        _ => {
            let refused = Refused::new("compare", word, "is several things");
            let hint = format!("carboy see {word} shows them");
            Err(refused.kind(RefusedKind::Conflict).hint(hint).into())
        }
    }
}

fn container(side: Side<'_>) -> Option<Container> {
    match side.whom {
        Whom::Container(index) => side.snapshot.containers.get(index).cloned(),
        Whom::Process(index) => side.snapshot.alone(index),
        Whom::Host => None,
    }
}

fn title(side: Side<'_>) -> String {
    match (side.whom, container(side)) {
        (Whom::Process(_), Some(process)) => format!("{} {}", list::name(&process), process.id),
        (_, Some(container)) => list::name(&container),
        (_, None) => "the host".to_owned(),
    }
}

fn print_json(found: &Comparison, sides: [Side<'_>; 2]) -> Result<()> {
    let side = |side: Side<'_>| {
        let container = container(side);
        json!({
            "kind": match side.whom {
                Whom::Container(_) => "container",
                Whom::Process(_) => "process",
                Whom::Host => "host",
            },
            "id": container.as_ref().map(|one| &one.id), "name": container.as_ref().and_then(|one| one.name.as_ref()),
            "at_msec": side.snapshot.at_msec, "blind": side.snapshot.blind,
        })
    };
    let found =
        serde_json::to_value(found).map_err(|error| error::Corrupt::new("the comparison", error.to_string()))?;
    let [a, b] = sides.map(side);
    let document = json!({"version": VERSION, "a": a, "b": b, "comparison": found});
    report::line(&serde_json::to_string_pretty(&document).unwrap_or_default());
    Ok(())
}

/// What is told, and how.
struct Told<'f> {
    found: &'f Comparison,
    titles: [String; 2],
    /// What stands above their columns.
    headings: [String; 2],
    /// Whether what is the same is told too.
    is_whole: bool,
    /// Whether the two were seen at two moments.
    is_over_time: bool,
}

/// A row of the table: what, of the first, how they stand to each other, of the second, what that means.
type Row = [String; 5];

impl<'f> Told<'f> {
    fn new(found: &'f Comparison, sides: [Side<'_>; 2], asked: &Compare) -> Self {
        let mut titles = sides.map(title);
        let mut headings = titles.clone();
        let is_over_time = asked.from.len() > 1;
        let each = titles.iter_mut().zip(&mut headings).zip(&asked.from).filter(|_| is_over_time);
        for ((title, heading), file) in each {
            *heading = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            *title = format!("{title} in {heading}");
        }
        Self { found, titles, headings, is_whole: asked.verbose, is_over_time }
    }

    fn heading(&self, what: &str) -> Row {
        let [a, b] = self.headings.clone();
        [what.to_owned(), a, String::new(), b, String::new()]
    }

    fn text(&self, page: &mut Page) {
        let [a, b] = &self.titles;
        let (same, all) = self.found.shared();
        let shared = ORDER.map(|kind| self.found.namespaces.get(place(kind)));
        let shared = shared.into_iter().flatten().filter(|one| one.standing == Standing::Same);
        let shared: Vec<&str> = shared.map(|one| one.kind.name()).collect();
        let colon = if shared.is_empty() { "" } else { ": " };
        page.styled(Style::Bold, &format!("{a} and {b} share {same} of {all} namespaces{colon}{}", shared.join(", ")));
        if self.is_over_time {
            page.line(match self.found.first.standing() {
                Standing::Same => "the first process is the same one",
                Standing::Unknown => "whether the first process is the same one could not be read",
                _ => "the first process is another one: it was started again",
            });
        }
        page.gap();
        let mut rows = vec![self.heading("NAMESPACES")];
        rows.extend(
            ORDER
                .iter()
                .filter_map(|kind| self.found.namespaces.get(place(*kind)))
                .map(|one| self.namespace(page, one)),
        );
        page.table(&rows);
        let mut same = Vec::new();
        let mut rows = vec![self.heading("LIMITS, RIGHTS, USERS")];
        for (standing, row) in self.rest(page) {
            if standing == Standing::Same && !self.is_whole {
                let [name, both, ..] = row;
                same.push(format!("{} {both}", name.trim()));
            } else {
                rows.push(row);
            }
        }
        if rows.len() > 1 {
            page.gap();
            page.table(&rows);
        }
        self.capabilities(page);
        self.mounts(page);
        self.network(page);
        if !same.is_empty() {
            page.gap();
            page.styled(Style::Dim, &format!("the same in both: {}", same.join(", ")));
        }
    }

    fn namespace(&self, page: &Page, one: &Namespaces) -> Row {
        let [a, b] = &self.titles;
        let said = match (self.is_over_time, one.standing) {
            (true, Standing::Same) => "the same one".to_owned(),
            (true, Standing::Unknown) if one.inodes.a.is_some() && one.inodes.a == one.inodes.b => {
                "the same number, which may have gone to another".to_owned()
            }
            (true, Standing::Apart) => "another one".to_owned(),
            _ => words(one.kind, one.standing, a, b),
        };
        let [a, b] = [one.inodes.a, one.inodes.b].map(|ino| ino.map_or_else(|| "-".to_owned(), |ino| ino.to_string()));
        [format!("  {}", one.kind.name()), a, page.sign(one.standing).to_owned(), b, said]
    }

    /// Their networks, where they are two and at least one leads anywhere.
    fn network(&self, page: &mut Page) {
        let (Some(a), Some(b)) = (&self.found.network.a, &self.found.network.b) else { return };
        let is_same = self.found.namespaces.get(place(Kind::Net)).is_some_and(|one| one.standing == Standing::Same);
        if is_same || (a.addresses.is_empty() && b.addresses.is_empty()) {
            return;
        }
        let listed = |all: &[String]| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        let row = |name: &str, [a, b]: [&[String]; 2], said: &str| {
            let sign = page.sign(if a == b { Standing::Same } else { Standing::Apart });
            [format!("  {name}"), listed(a), sign.to_owned(), listed(b), said.to_owned()]
        };
        let addresses = [a, b].map(|one| one.addresses.iter().map(ToString::to_string).collect::<Vec<_>>());
        let common = a.bridges.iter().any(|bridge| b.bridges.contains(bridge));
        let said = if common { "they are on one bridge" } else { "neither is on a bridge of the other" };
        let [of_a, of_b] = &addresses;
        let rows = [
            self.heading("NETWORK"),
            row("addresses", [of_a, of_b], ""),
            row("bridges", [&a.bridges, &b.bridges], said),
            row("published at", [&a.published, &b.published], ""),
        ];
        page.gap();
        page.table(&rows);
    }

    /// Limits, rights and users, a row each.
    fn rest(&self, page: &Page) -> Vec<(Standing, Row)> {
        let found = self.found;
        let row = |name: &str, standing, a: String, b: String, said: String| {
            (standing, [format!("  {name}"), a, page.sign(standing).to_owned(), b, said])
        };
        let mut rows = Vec::new();
        for one in &found.limits {
            let [a, b] = [&one.held.a, &one.held.b].map(|held| limit(page, one, held));
            rows.push(row(one.resource.name(), one.standing, a, b, String::new()));
        }
        let capabilities = &found.capabilities;
        let count = |capabilities: Option<inspect::snapshot::Capabilities>| {
            capabilities.map_or_else(unreadable, |one| format!("{} effective", one.effective.count_ones()))
        };
        let (a, b) = (count(capabilities.a), count(capabilities.b));
        rows.push(row("capabilities", capabilities.standing(), a, b, String::new()));
        let seccomp = &found.seccomp;
        let [a, b] = [seccomp.a, seccomp.b].map(|one| one.map_or_else(unreadable, |one| seccomp_word(one).to_owned()));
        // Two filters need not be the same filter.
        let said = if (seccomp.a, seccomp.b) == (Some(Seccomp::Filter), Some(Seccomp::Filter)) {
            "which filters is not read"
        } else {
            ""
        };
        rows.push(row("seccomp", seccomp.standing(), a, b, said.to_owned()));
        let no_new_privs = &found.no_new_privs;
        let [a, b] =
            [no_new_privs.a, no_new_privs.b].map(|one| one.map_or_else(unreadable, |one| u8::from(one).to_string()));
        rows.push(row("no_new_privs", no_new_privs.standing(), a, b, String::new()));
        let users = &found.users;
        let said = match found.common_uids {
            None => String::new(),
            Some(0) => "no user of the host in both".to_owned(),
            Some(1) => "1 user of the host in both".to_owned(),
            Some(count) if count >= u32::MAX.into() => "every user of the host in both".to_owned(),
            Some(count) => format!("{count} users of the host in both"),
        };
        let [a, b] = [&users.a, &users.b].map(user);
        rows.push(row("uid", users.standing(), a, b, said));
        rows
    }

    /// The names of those that one has; with `-v`, of those that both have.
    fn capabilities(&self, page: &mut Page) {
        let Pair { a: Some(a), b: Some(b) } = self.found.capabilities else { return };
        let mut rows = vec![["CAPABILITIES".to_owned(), String::new()]];
        let [first, second] = &self.headings;
        let both = a.effective & b.effective;
        let both = ("in both", if self.is_whole { both } else { 0 });
        let (only_a, only_b) = (format!("only {first}"), format!("only {second}"));
        for (who, set) in [(only_a.as_str(), a.effective & !b.effective), (&only_b, b.effective & !a.effective), both] {
            for (number, line) in names(set).chunks(4).enumerate() {
                let who = if number == 0 { format!("  {who}") } else { String::new() };
                rows.push([who, line.join(" ")]);
            }
        }
        if rows.len() > 1 {
            page.gap();
            page.table(&rows);
        }
    }

    fn mounts(&self, page: &mut Page) {
        let Some(mounts) = &self.found.mounts else { return };
        let mut rows = vec![self.heading("MOUNTS FROM THE HOST")];
        let is_shown = |one: &&FromHost| self.is_whole || !self.is_over_time || one.places.a != one.places.b;
        for one in mounts.iter().filter(is_shown) {
            let standing = match (one.places.a.as_slice(), one.places.b.as_slice()) {
                ([], _) | (_, []) => Standing::Apart,
                _ => Standing::Same,
            };
            let [a, b] = [&one.places.a, &one.places.b].map(|places| where_it_is(places));
            rows.push([format!("  {}", one.host.display()), a, page.sign(standing).to_owned(), b, String::new()]);
        }
        if rows.len() > 1 {
            page.gap();
            page.table(&rows);
        }
    }
}

fn unreadable() -> String {
    "unreadable".to_owned()
}

fn limit(page: &Page, one: &Limits, held: &Held) -> String {
    let setter = held.set_at.as_ref().filter(|_| held.is_set_above);
    let setter = setter.map_or_else(String::new, |group| format!(" {}{}", page.above(), group.display()));
    format!("{}{setter}", quantity(one.resource, held.effective))
}

const fn seccomp_word(seccomp: Seccomp) -> &'static str {
    match seccomp {
        Seccomp::Absent => "none",
        Seccomp::Off => "off",
        Seccomp::Strict => "strict",
        Seccomp::Filter => "filter",
    }
}

/// `100000 (0 inside)`.
fn user(user: &Option<User>) -> String {
    let Some(user) = user else { return unreadable() };
    match user.inside {
        Some(inside) if inside.0 == user.host.0 => user.host.to_string(),
        Some(inside) => format!("{} ({inside} inside)", user.host),
        None if user.map.is_some() => format!("{} (nobody inside)", user.host),
        None => user.host.to_string(),
    }
}

/// The capabilities of a set, by name, those without one by number.
fn names(set: u64) -> Vec<String> {
    let name = |number: u32| {
        let known = CAPABILITIES.iter().find(|(_, known)| *known == number);
        known.map_or_else(|| number.to_string(), |(name, _)| name.trim_start_matches("CAP_").to_owned())
    };
    (0..u64::BITS).filter(|number| set >> number & 1 == 1).map(name).collect()
}

fn where_it_is(places: &[Place]) -> String {
    let place = |one: &Place| match one.read_only {
        None => "itself".to_owned(),
        Some(true) => format!("{} ro", one.inside.display()),
        Some(false) => format!("{} rw", one.inside.display()),
    };
    let places: Vec<String> = places.iter().map(place).collect();
    if places.is_empty() { "-".to_owned() } else { places.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_their_names_and_later_ones_their_numbers() {
        assert_eq!(names(1 << 21 | 1 | 1 << 60), ["CHOWN", "SYS_ADMIN", "60"]);
        assert!(names(0).is_empty());
    }

    #[test]
    fn what_is_no_side_of_a_comparison_is_told_before_anything_is_read() {
        for word in ["net:web", "net:[1]", ":http", "uid:anna"] {
            let error = check(word).unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot use compare {word}: ")), "{error}");
        }
    }
}
