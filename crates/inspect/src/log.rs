//! Who was killed because memory was short, from the kernel's log: the level whose limit led to it is its cause, the group
//! that the process was in its victim. Parsing is pure.
//!
//! ```text
//! oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/team,task_memcg=/team/it,task=dd,pid=7,uid=0
//! Memory cgroup out of memory: Killed process 7 (dd) total-vm:207068kB, anon-rss:32384kB, …
//! ```
//!
//! mm/oom_kill.c `dump_oom_victim`, `__oom_kill_process`, `oom_kill_memcg_member`. The first line is left out where many
//! are killed at once; names of groups and of programs are whatever they chose.

use std::path::{Path, PathBuf};

use error::Errno;
use procfs::kmsg::Record;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::snapshot::Blind;

/// What the log tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Log {
    /// Everyone who was killed, the earliest first.
    pub kills: Vec<Kill>,
    /// How far it reaches back.
    pub reach: Reach,
}

/// How far a log reaches back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It is empty.
    #[default]
    Empty,
    /// To the kernel's start.
    SinceStart,
    /// To so many microseconds ago: what was before is overwritten.
    Ago(u64),
    /// It may not be read.
    Unreadable(i32),
}

/// A process that was killed because memory was short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kill {
    /// How long ago, in microseconds.
    pub ago_usec: u64,
    /// Its number on the host.
    pub pid: i32,
    /// The name of its program.
    pub name: String,
    /// What ran short.
    pub cause: Short,
    /// The group that it was in, where the log tells.
    pub victim: Option<PathBuf>,
}

/// What ran short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Short {
    /// The limit of this group.
    Group(PathBuf),
    /// A group's limit; the log does not tell whose.
    SomeGroup,
    /// The host's memory.
    Host,
}

/// What one message says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    /// Who was chosen, where, because of what.
    Chosen { pid: i32, name: String, cause: Short, victim: PathBuf },
    /// A whole group is killed with the one that was chosen.
    Together { group: PathBuf },
    /// Who was killed.
    Killed { pid: i32, name: String, of_group: Level },
}

/// Whose memory was short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Group,
    Host,
}

impl Reach {
    /// Why nothing can be read; `None` where something can.
    #[must_use]
    pub fn blind(self) -> Option<Blind> {
        let Self::Unreadable(errno) = self else { return None };
        let why = std::io::Error::from_raw_os_error(errno).to_string();
        let why = why.split(" (os error").next().unwrap_or_default().to_owned();
        Some(Blind { what: "the kernel's log".to_owned(), why })
    }
}

impl Log {
    /// Reads the kernel's log.
    #[must_use]
    pub fn read() -> Self {
        let mut records = Vec::new();
        let mut first = None;
        let read = procfs::kmsg::read(|record| {
            first.get_or_insert((record.sequence, record.at_usec));
            if parse(&record.text).is_some() {
                records.push(record);
            }
        });
        let now = std::time::Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let reach = match (read, first) {
            (Err(error), _) => Reach::Unreadable(error.errno().unwrap_or(Errno::IO).raw_os_error()),
            (Ok(()), None) => Reach::Empty,
            (Ok(()), Some((0, _))) => Reach::SinceStart,
            (Ok(()), Some((_, at_usec))) => Reach::Ago(now.saturating_sub(at_usec)),
        };
        Self { kills: kills(&records, now), reach }
    }

    /// Those that were killed in a group or below it, or because of its limit.
    pub fn of_group<'l>(&'l self, path: &'l Path) -> impl Iterator<Item = &'l Kill> + 'l {
        self.kills.iter().filter(move |kill| {
            let is_cause = matches!(&kill.cause, Short::Group(cause) if cause == path);
            is_cause || kill.victim.as_ref().is_some_and(|victim| victim.starts_with(path))
        })
    }

    /// Those that were killed in a container, by its id.
    pub fn of_id<'l>(&'l self, id: &'l str) -> impl Iterator<Item = &'l Kill> + 'l {
        self.kills.iter().filter(move |kill| kill.victim.as_ref().is_some_and(|victim| has_id(victim, id)))
    }

    /// Those with this number.
    pub fn of_pid(&self, pid: i32) -> impl Iterator<Item = &Kill> {
        self.kills.iter().filter(move |kill| kill.pid == pid)
    }
}

/// Whether one of a path's names is that of the container: `ID`, `docker-ID.scope`.
fn has_id(path: &Path, id: &str) -> bool {
    let names = path.components().filter_map(|name| name.as_os_str().to_str());
    { names }.any(|name| {
        let name = name.strip_suffix(".scope").unwrap_or(name);
        let name = name.rsplit('-').next().unwrap_or(name);
        name.len() == 64 && id.len() >= 2 && name.starts_with(id)
    })
}

/// Puts the messages together.
fn kills(records: &[Record], now_usec: u64) -> Vec<Kill> {
    let mut kills: Vec<Kill> = Vec::new();
    let mut chosen: Option<(Short, PathBuf)> = None;
    let mut open: Option<i32> = None;
    for record in records {
        let ago_usec = now_usec.saturating_sub(record.at_usec);
        match parse(&record.text) {
            Some(Message::Chosen { pid, name, cause, victim }) => {
                chosen = Some((cause.clone(), victim.clone()));
                open = Some(pid);
                kills.push(Kill { ago_usec, pid, name, cause, victim: Some(victim) });
            }
            Some(Message::Together { group }) => {
                let cause = chosen.take().map_or(Short::SomeGroup, |(cause, _)| cause);
                chosen = Some((cause, group));
            }
            // The same one that was said to be chosen.
            Some(Message::Killed { pid, .. }) if open.take() == Some(pid) => {}
            Some(Message::Killed { pid, name, of_group }) => {
                let (cause, victim) = match (of_group, &chosen) {
                    (Level::Host, _) => (Short::Host, None),
                    // Of a group that is killed together, each is told of by itself.
                    (Level::Group, Some((cause, group)))
                        if open.is_none()
                            && kills.last().is_some_and(|last| last.ago_usec.saturating_sub(ago_usec) < 1_000_000) =>
                    {
                        (cause.clone(), Some(group.clone()))
                    }
                    (Level::Group, _) => (Short::SomeGroup, None),
                };
                kills.push(Kill { ago_usec, pid, name, cause, victim });
            }
            None => {}
        }
    }
    kills
}

fn parse(text: &str) -> Option<Message> {
    if let Some(fields) = text.strip_prefix("oom-kill:") {
        return chosen(fields);
    }
    if let Some(group) = text.strip_prefix("Tasks in ") {
        let group = group.strip_suffix(" are going to be killed due to memory.oom.group set")?;
        return Some(Message::Together { group: group.into() });
    }
    let (reason, killed) = text.split_once(": Killed process ")?;
    let (pid, rest) = killed.split_once(" (")?;
    let (name, _) =
        rest.rsplit_once(") total-vm:").or_else(|| rest.split_once("),")).or_else(|| rest.rsplit_once(')'))?;
    let of_group = match reason {
        "Memory cgroup out of memory" => Level::Group,
        _ if reason.starts_with("Out of memory") => Level::Host,
        _ => return None,
    };
    Some(Message::Killed { pid: pid.parse().ok()?, name: name.to_owned(), of_group })
}

/// The numbers stand at the end, where no name can be taken for one.
fn chosen(fields: &str) -> Option<Message> {
    let (fields, uid) = fields.rsplit_once(",uid=")?;
    uid.trim_end().parse::<u32>().ok()?;
    let (fields, pid) = fields.rsplit_once(",pid=")?;
    let (head, task) = fields.split_once(",task_memcg=")?;
    let (victim, name) = task.split_once(",task=")?;
    let cause = match head.split_once(",oom_memcg=") {
        Some((_, group)) => Short::Group(group.into()),
        None if head.ends_with(",global_oom") => Short::Host,
        None => return None,
    };
    Some(Message::Chosen { pid: pid.parse().ok()?, name: name.to_owned(), cause, victim: victim.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHOSEN: &str = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/team,\
                          task_memcg=/team/it,task=dd,pid=7,uid=0";
    const KILLED: &str = "Memory cgroup out of memory: Killed process 7 (dd) total-vm:207068kB, anon-rss:32384kB, \
                          file-rss:892kB, shmem-rss:0kB, UID:0 pgtables:104kB oom_score_adj:0";

    fn of(texts: &[&str]) -> Vec<Kill> {
        let record = |(number, text): (usize, &&str)| Record {
            sequence: number as u64,
            at_usec: 1000 + number as u64,
            text: (*text).to_owned(),
        };
        kills(&texts.iter().enumerate().map(record).collect::<Vec<_>>(), 2000)
    }

    #[test]
    fn the_level_that_ran_short_is_the_cause_and_the_group_of_the_process_the_victim() {
        let kill = Kill {
            ago_usec: 1000,
            pid: 7,
            name: "dd".to_owned(),
            cause: Short::Group("/team".into()),
            victim: Some("/team/it".into()),
        };
        assert_eq!(of(&[CHOSEN, KILLED]), std::slice::from_ref(&kill));
        assert_eq!(of(&[CHOSEN]), [kill]);
        let log = Log { kills: of(&[CHOSEN, KILLED]), reach: Reach::SinceStart };
        for (path, count) in [("/team", 1), ("/team/it", 1), ("/", 1), ("/tea", 0), ("/team/other", 0)] {
            assert_eq!(log.of_group(Path::new(path)).count(), count, "{path}");
        }
        assert_eq!((log.of_pid(7).count(), log.of_pid(8).count()), (1, 0));
    }

    #[test]
    fn a_kill_alone_says_no_more_than_it_knows() {
        let kill = &of(&[KILLED])[0];
        assert_eq!((kill.pid, &kill.cause, &kill.victim), (7, &Short::SomeGroup, &None));
        let host = "Out of memory: Killed process 9 (a) b) total-vm:1kB, anon-rss:1kB";
        let kill = &of(&[host])[0];
        assert_eq!((kill.name.as_str(), &kill.cause), ("a) b", &Short::Host));
        let global = CHOSEN.replace("oom_memcg=/team", "global_oom");
        assert_eq!(of(&[&global])[0].cause, Short::Host);
    }

    #[test]
    fn a_group_that_is_killed_together_is_told_one_by_one() {
        let together = "Tasks in /team/it are going to be killed due to memory.oom.group set";
        let kills = of(&[CHOSEN, KILLED, together, &KILLED.replace(" 7 ", " 8 ")]);
        assert_eq!(kills.iter().map(|kill| kill.pid).collect::<Vec<_>>(), [7, 8]);
        assert!(kills.iter().all(|kill| kill.cause == Short::Group("/team".into())));
    }

    #[test]
    fn a_container_is_known_by_its_id_however_its_group_is_named() {
        let id = "0123456789abcdef".repeat(4);
        for name in [format!("/docker/{id}"), format!("/system.slice/docker-{id}.scope/x"), format!("/carboy-{id}")] {
            assert!(has_id(Path::new(&name), &id) && has_id(Path::new(&name), &id[..12]), "{name}");
        }
        assert!(!has_id(Path::new("/team/0123"), "0123") && !has_id(Path::new(&format!("/{id}")), "1234"));
    }

    proptest! {
        #[test]
        fn garbage_and_what_is_cut_off_never_fail_hard(any: String, cut in 0..400_usize, name in "[ -~]{0,15}") {
            let _ = of(&[&any, &format!("oom-kill:{any}"), &format!("x: Killed process {any}")]);
            for text in [CHOSEN, KILLED] {
                let cut: String = text.chars().take(cut).collect();
                for kill in of(&[&cut]) {
                    prop_assert!(kill.pid == 7 && kill.name == "dd", "{cut}");
                }
            }
            // A program's name cannot make another one guilty.
            let text = CHOSEN.replace("task=dd", &format!("task={name}"));
            let kills = of(&[&text]);
            prop_assert_eq!(&kills[0].cause, &Short::Group("/team".into()));
            prop_assert_eq!((kills[0].pid, kills[0].name.as_str()), (7, name.as_str()));
        }
    }
}
