//! How a container ended, as its engine wrote down. The engine's word is told as that and decides nothing: Docker's
//! `OOMKilled` and Podman's are false where a limit above the container's own killed.
//!
//! Docker: `containers/ID/config.v2.json` in its data root. Podman: `events.log` in its folder below /run, where it logs
//! events to a file. carboy's own records are read by carboy's engine.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use procfs::{HostPid, Walk};
use serde::{Deserialize, Serialize};

use crate::snapshot::Engine;

/// What an engine wrote down of a container that it once ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// Whose it was.
    pub engine: Engine,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its exit code, which is 128 and the signal's number where one ended it.
    pub code: Option<i64>,
    /// Whether the engine says that it was killed because memory was short.
    pub oom_killed: Option<bool>,
    /// When it ended, as the engine writes times: RFC 3339.
    pub finished: Option<String>,
    /// What went wrong, in the engine's words.
    pub error: Option<String>,
    /// Whether the engine takes it for running.
    pub is_said_to_run: bool,
    /// The file that tells.
    pub file: PathBuf,
}

#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "State", default)]
    state: DockerState,
}

#[derive(Deserialize, Default)]
struct DockerState {
    #[serde(rename = "Running", default)]
    running: bool,
    #[serde(rename = "OOMKilled", default)]
    oom_killed: bool,
    #[serde(rename = "ExitCode", default)]
    code: i64,
    #[serde(rename = "Error", default)]
    error: String,
    #[serde(rename = "FinishedAt", default)]
    finished: String,
}

#[derive(Deserialize)]
struct PodmanEvent {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Status")]
    status: String,
    #[serde(rename = "Time")]
    time: String,
    #[serde(rename = "ContainerExitCode")]
    code: Option<i64>,
}

/// No state file of one container is longer.
const LONGEST: u64 = 16 << 20;
const DOCKER: &str = "var/lib/docker";
/// Go's zero time, which Docker writes for never.
const NEVER: &str = "0001-01-01";

/// Looks for a container that does not run by its name, its id or the beginning of its id. Engines that run now may keep
/// their files elsewhere.
#[must_use]
pub fn find(word: &str) -> Option<Ended> {
    find_below(Path::new("/"), word, &daemons())
}

fn find_below(host: &Path, word: &str, daemons: &[Vec<String>]) -> Option<Ended> {
    let is_meant = |id: &str, name: &str| {
        name.trim_start_matches('/') == word || id == word || word.len() >= 2 && id.starts_with(word)
    };
    let roots = std::iter::once(host.join(DOCKER)).chain(daemons.iter().filter_map(|words| docker_root(words)));
    let docker = { roots }.find_map(|root| docker(&root, is_meant));
    docker.or_else(|| podman(host, is_meant))
}

/// The arguments of Docker's daemons.
fn daemons() -> Vec<Vec<String>> {
    let Ok(mut walk) = Walk::open() else { return Vec::new() };
    let is_daemon = |pid: &HostPid| procfs::stat(*pid).is_ok_and(|stat| stat.name == "dockerd");
    let pids = walk.pids().unwrap_or_default().into_iter().filter(is_daemon);
    pids.filter_map(|pid| walk.visit(pid).ok()??.arguments().ok()).collect()
}

/// The data root that a daemon was given.
fn docker_root(words: &[String]) -> Option<PathBuf> {
    let root = words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--data-root") {
        Some("") => words.get(at + 1).map(String::as_str),
        Some(rest) => rest.strip_prefix('='),
        None => None,
    });
    root.map(PathBuf::from)
}

fn docker(root: &Path, is_meant: impl Fn(&str, &str) -> bool) -> Option<Ended> {
    let folders = std::fs::read_dir(root.join("containers")).ok()?.flatten();
    folders.map(|folder| folder.path().join("config.v2.json")).find_map(|file| {
        let mut text = Vec::new();
        File::open(&file).ok()?.take(LONGEST).read_to_end(&mut text).ok()?;
        let one: Docker = serde_json::from_slice(&text).ok()?;
        if !is_meant(&one.id, &one.name) {
            return None;
        }
        let state = one.state;
        let has_ended = !state.running && !state.finished.is_empty() && !state.finished.starts_with(NEVER);
        Some(Ended {
            engine: Engine::Docker,
            id: one.id,
            name: one.name.trim_start_matches('/').to_owned(),
            code: has_ended.then_some(state.code),
            oom_killed: Some(state.oom_killed),
            finished: has_ended.then_some(state.finished),
            error: Some(state.error).filter(|error| !error.is_empty()),
            is_said_to_run: state.running,
            file,
        })
    })
}

/// The last that Podman's file of events says of it.
fn podman(host: &Path, is_meant: impl Fn(&str, &str) -> bool) -> Option<Ended> {
    let users = std::fs::read_dir(host.join("run/user")).into_iter().flatten().flatten();
    let users = users.map(|user| user.path().join("libpod/tmp/events/events.log"));
    let files = std::iter::once(host.join("run/libpod/events/events.log")).chain(users);
    { files }.find_map(|path| {
        let mut file = File::open(&path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LONGEST))).ok()?;
        let lines = BufReader::new(file.take(LONGEST)).split(b'\n').map_while(std::io::Result::ok);
        let events = lines.filter_map(|line| serde_json::from_slice::<PodmanEvent>(&line).ok());
        let last = events.filter(|event| event.status == "died" && is_meant(&event.id, &event.name)).last()?;
        Some(Ended {
            engine: Engine::Podman,
            id: last.id,
            name: last.name,
            code: last.code,
            oom_killed: None,
            finished: Some(last.time),
            error: None,
            is_said_to_run: false,
            file: path,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const STATE: &str =
        r#"{"Running": false, "OOMKilled": true, "ExitCode": 137, "FinishedAt": "2026-11-26T14:22:48Z"}"#;

    fn write(host: &Path, path: &str, text: &str) {
        let path = host.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn docker_tells_code_and_time_by_name_and_id() {
        let host = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"ID": "{ID}", "Name": "/web", "State": {STATE}}}"#);
        write(host.path(), &format!("var/lib/docker/containers/{ID}/config.v2.json"), &text);
        for word in ["web", ID, &ID[..12]] {
            let found = find_below(host.path(), word, &[]).unwrap();
            assert_eq!((found.engine, found.name.as_str(), found.code), (Engine::Docker, "web", Some(137)));
            assert_eq!((found.oom_killed, found.is_said_to_run), (Some(true), false));
        }
        for word in ["we", "f", "1234"] {
            assert_eq!(find_below(host.path(), word, &[]), None);
        }
    }

    #[test]
    fn a_daemon_that_runs_tells_where_its_files_are() {
        let host = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"ID": "{ID}", "Name": "/far", "State": {STATE}}}"#);
        write(host.path(), &format!("srv/containers/{ID}/config.v2.json"), &text);
        let srv = host.path().join("srv").display().to_string();
        for arguments in [vec!["dockerd".into(), "--data-root".into(), srv.clone()], vec![format!("--data-root={srv}")]]
        {
            assert_eq!(find_below(host.path(), "far", &[arguments]).unwrap().name, "far");
        }
    }

    #[test]
    fn podmans_last_event_of_an_end_counts() {
        let host = tempfile::tempdir().unwrap();
        let event = |code: i64| {
            format!(
                r#"{{"ID":"{ID}","Name":"db","Status":"died","Time":"2026-11-26T14:22:48Z","ContainerExitCode":{code}}}"#
            )
        };
        let text = format!(
            "{}\n{}\nbroken\n{{\"ID\":\"{ID}\",\"Name\":\"db\",\"Status\":\"remove\",\"Time\":\"x\"}}\n",
            event(1),
            event(137)
        );
        write(host.path(), "run/libpod/events/events.log", &text);
        let found = find_below(host.path(), "db", &[]).unwrap();
        assert_eq!((found.engine, found.code, found.oom_killed), (Engine::Podman, Some(137), None));
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_tells_nothing() {
        let host = tempfile::tempdir().unwrap();
        for text in ["", "{", "[]", r#"{"Name": 7}"#] {
            write(host.path(), &format!("var/lib/docker/containers/{ID}/config.v2.json"), text);
            assert_eq!(find_below(host.path(), ID, &[]), None);
        }
    }
}
