//! `top`: the processes of a container, with the host's numbers for them: as `ps -ef` of the host would show them, or as the
//! host's ps shows them by its own options.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command as Program, ExitCode};

use engine::containers::Engine;
use engine::told::Deed;
use error::{Doing, Refused, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lexopt::Parser;
use procfs::{HostPid, Stat, Walk};
use rustix::time::{ClockId, clock_gettime};

use crate::columns;
use crate::command::{Command, containers};
use crate::flags::{End, Usage};
use crate::report;
use crate::zone;

/// What `top` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Top {
    container: String,
    /// Those of ps(1); none for a table of carboy's own.
    options: Vec<String>,
}

/// The table of `top`.
pub(crate) const TOP: Usage<()> = Usage {
    command: "top",
    words: "CONTAINER [OPTIONS OF PS]",
    doc: "Show the processes of a container\n\nThe PIDs are the host's. With options it is the host's ps that shows them: carboy top web -o pid,rss,cmd",
    flags: &[],
    end: End::FirstWord,
};

/// Reads the words after `top`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut words = match containers(&TOP, parser, &mut ())? {
        Err(help) => return Ok(help),
        Ok(words) => words.into_iter(),
    };
    Ok(Command::Top(Top { container: words.next().unwrap_or_default(), options: words.collect() }))
}

/// The narrowest column.
const NARROWEST: usize = 20;

/// `carboy top`.
pub(crate) fn run(engine: &Engine, top: &Top) -> ExitCode {
    let shown = engine
        .processes(&top.container)
        .and_then(|pids| if top.options.is_empty() { listed(&pids) } else { by_ps(&pids, &top.options) });
    match shown {
        Ok(text) => {
            engine.has_done(&top.container, &Deed::Top);
            report::text(&columns::aligned(&text, NARROWEST));
            ExitCode::SUCCESS
        }
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// The host, as far as the processes' times and owners need it.
struct Host {
    users: BTreeMap<u32, String>,
    zone: TimeZone,
    now: Timestamp,
    /// Since boot, sleep counted.
    up_seconds: i64,
}

/// A second in /proc's times: sysconf(3) `_SC_CLK_TCK` is 100 for every program.
const TICKS: u64 = 100;

/// The columns of `ps -ef`.
fn listed(pids: &[HostPid]) -> Result<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let host = Host {
        users: users(&passwd),
        zone: zone::local(&|name| std::env::var_os(name)),
        now: Timestamp::now(),
        up_seconds: clock_gettime(ClockId::Boottime).tv_sec,
    };
    let mut text = String::from("UID\tPID\tPPID\tC\tSTIME\tTTY\tTIME\tCMD\n");
    let mut walk = Walk::open()?;
    for pid in pids {
        let Some(mut process) = walk.visit(*pid)? else { continue };
        // One that ends meanwhile is left out.
        let (Ok(stat), Ok(status), Ok(words)) = (process.stat(), process.status(), process.arguments()) else {
            continue;
        };
        text.push_str(&host.row(&stat, status.uid.effective.0, &command(&words, &stat)));
    }
    Ok(text)
}

impl Host {
    fn row(&self, stat: &Stat, uid: u32, command: &str) -> String {
        let began = i64::try_from(stat.start_ticks / TICKS).unwrap_or(0);
        let elapsed = u64::try_from(self.up_seconds.saturating_sub(began)).unwrap_or(0);
        let ran = (stat.user_ticks + stat.system_ticks) / TICKS;
        let share = (ran * 100).checked_div(elapsed).unwrap_or(0);
        let user = self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string());
        let parent = stat.parent.map_or(0, |parent| parent.0);
        let began = self.began(elapsed);
        let time = format!("{:02}:{:02}:{:02}", ran / 3600, ran / 60 % 60, ran % 60);
        let terminal = stat.terminal.map_or_else(|| "?".to_owned(), terminal);
        format!("{user}\t{}\t{parent}\t{share}\t{began}\t{terminal}\t{time}\t{command}\n", stat.pid.0)
    }

    /// The time of today, the day of this year, or the year.
    fn began(&self, seconds_ago: u64) -> String {
        let ago = jiff::SignedDuration::from_secs(i64::try_from(seconds_ago).unwrap_or(0));
        let began = self.now.checked_sub(ago).unwrap_or(self.now).to_zoned(self.zone.clone());
        let now = self.now.to_zoned(self.zone.clone());
        let format = match (began.date() == now.date(), began.year() == now.year()) {
            (true, _) => "%H:%M",
            (false, true) => "%b%d",
            (false, false) => "%Y",
        };
        began.strftime(format).to_string()
    }
}

/// The names of the host's users, by their numbers: passwd(5). The first of a number holds.
fn users(passwd: &str) -> BTreeMap<u32, String> {
    let mut users = BTreeMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

/// The name of a terminal, by the device's numbers: Documentation/admin-guide/devices.txt.
fn terminal((major, minor): (u32, u32)) -> String {
    match major {
        // Each major number has 256 pseudo-terminals, but the minor ones go on where there are more.
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        5 if minor == 1 => "console".to_owned(),
        _ => "?".to_owned(),
    }
}

/// The words of a process, without what a terminal obeys; of one that has none, its name.
fn command(words: &[String], stat: &Stat) -> String {
    let dead = if stat.state == 'Z' { " <defunct>" } else { "" };
    if words.is_empty() {
        format!("[{}]{dead}", report::harmless(&stat.name))
    } else {
        report::harmless(&words.join(" "))
    }
}

/// The lines that the host's ps has for these processes.
fn by_ps(pids: &[HostPid], options: &[String]) -> Result<String> {
    let numbers: Vec<String> = pids.iter().map(|pid| pid.0.to_string()).collect();
    let ps = |options: Vec<OsString>| Program::new("ps").args(options).output();
    let missing = "install procps, or leave the options out";
    let asked: Vec<OsString> = options.iter().map(OsString::from).collect();
    let these = asked.iter().cloned().chain(["-q".into(), numbers.join(",").into()]).collect();
    // Options that choose processes cannot be had beside -q.
    let mut output = ps(these).doing(|| "run the host's ps").map_err(|error| error.with_hint(missing))?;
    if !output.status.success() {
        output = ps(asked).doing(|| "run the host's ps")?;
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| !line.is_empty()).unwrap_or_default().to_owned();
        return Err(Refused::new("top", options.join(" "), format!("is not what the host's ps takes: {said}")).into());
    }
    chosen(&String::from_utf8_lossy(&output.stdout), &numbers).ok_or_else(|| {
        Refused::new("top", options.join(" "), "shows no column PID").hint("add pid to the columns").into()
    })
}

/// The lines of a table of ps for these processes; `None` without their numbers. The last column may have blanks in it.
fn chosen(table: &str, pids: &[String]) -> Option<String> {
    let mut lines = table.lines();
    let names: Vec<&str> = lines.next()?.split_whitespace().collect();
    let column = names.iter().position(|name| *name == "PID")?;
    let mut text = names.join("\t") + "\n";
    for line in lines {
        let cells: Vec<&str> = line.split_whitespace().collect();
        if cells.get(column).is_some_and(|cell| pids.iter().any(|pid| pid == cell)) {
            let (first, last) = cells.split_at_checked(names.len() - 1).unwrap_or((&cells, &[]));
            text.push_str(&first.join("\t"));
            text.push('\t');
            text.push_str(&report::harmless(&last.join(" ")));
            text.push('\n');
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ps_are_chosen_by_their_pids() {
        let table = "  PID %CPU COMMAND\n    1  0.0 init a b\n   12  0.5 sleep  100\n  120  0.5 other\n";
        let chosen = |table: &str| chosen(table, &["12".to_owned(), "7".to_owned()]);
        assert_eq!(chosen(table).as_deref(), Some("PID\t%CPU\tCOMMAND\n12\t0.5\tsleep 100\n"));
        assert_eq!(chosen("PPID COMMAND\n12 x\n"), None);
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn times_terminals_and_users_are_said_as_ps_says_them() {
        let now: Timestamp = "2026-11-26T14:05:54Z".parse().unwrap();
        let host = Host {
            users: users("root:x:0:0::/:\nbad\ntoor:x:0:0::/:\nann:x:7:"),
            zone: TimeZone::UTC,
            now,
            up_seconds: 0,
        };
        assert_eq!(host.users.values().collect::<Vec<_>>(), ["root", "ann"]);
        assert_eq!([0, 86_400, 400 * 86_400].map(|ago| host.began(ago)), ["14:05", "Nov25", "2025"]);
        assert_eq!(
            [(136, 3), (137, 1), (4, 2), (4, 65), (5, 1), (9, 9)].map(terminal),
            ["pts/3", "pts/257", "tty2", "ttyS1", "console", "?"]
        );
    }
}
