//! Who the user of a registry is, as Docker and podman keep it: `config.json`, `auth.json`, and the programs
//! `docker-credential-NAME`.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use error::{Corrupt, Doing as _, Errno, Kernel, Refused, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::registry::{Credentials, Secret};

/// How Docker calls Docker Hub in its file.
const HUB: &str = "https://index.docker.io/v1/";
/// How long a program may take: it may ask its user something.
const PATIENCE: Duration = Duration::from_secs(120);
/// The largest file, and the longest answer of a program, in bytes.
const LARGEST: u64 = 1 << 20;
/// What a program calls a user who is known by a token alone.
const TOKEN: &str = "<token>";

/// The files in which logins are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logins {
    /// Docker's `config.json`, which is written too.
    pub file: PathBuf,
    /// Other files of the same form, which are looked at behind it.
    pub others: Vec<PathBuf>,
}

/// Where a login is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In this file, where everybody reads it who may read the file.
    File(PathBuf),
    /// By this program.
    Program(String),
}

/// What a program says of a login.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    username: String,
    secret: String,
}

impl Logins {
    /// Who the user is for a repository of a registry; `None` where there was no login.
    ///
    /// # Errors
    /// Corrupt for a file that is none; Refused where a program fails.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credentials>> {
        for file in std::iter::once(&self.file).chain(&self.others) {
            let config = read(file)?;
            let config = Config { file, config: &config };
            if let Some(found) = config.find(registry, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Keeps a login, in the file or by the program that the file names. Everything else in the file stays.
    ///
    /// # Errors
    /// Corrupt for a file that is none; Refused where a program fails; a kernel error.
    pub fn keep(&self, registry: &str, credentials: &Credentials) -> Result<Kept> {
        let mut config = read(&self.file)?;
        let key = key(registry);
        if let Some(name) = (Config { file: &self.file, config: &config }).program(registry)? {
            let (user, secret) = match &credentials.secret {
                Secret::Password(password) => (credentials.user.as_str(), password),
                Secret::Identity(token) | Secret::Registry(token) => (TOKEN, token),
            };
            let told = json!({ "ServerURL": key, "Username": user, "Secret": secret });
            ask(&name, "store", &told.to_string())?;
            // The file tells that there is one: Docker's programs look there.
            auths(&mut config, &self.file)?.insert(key.to_owned(), json!({}));
            write(&self.file, &config)?;
            return Ok(Kept::Program(name));
        }
        let password = if let Secret::Password(password) = &credentials.secret { password } else { "" };
        let mut entry = json!({ "auth": STANDARD.encode(format!("{}:{password}", credentials.user)) });
        match &credentials.secret {
            Secret::Password(_) => {}
            Secret::Identity(token) => entry["identitytoken"] = json!(token),
            Secret::Registry(token) => entry["registrytoken"] = json!(token),
        }
        let auths = auths(&mut config, &self.file)?;
        auths.retain(|other, _| !is_same(other, key));
        auths.insert(key.to_owned(), entry);
        write(&self.file, &config)?;
        Ok(Kept::File(self.file.clone()))
    }

    /// Forgets a login. Gives whether there was one.
    ///
    /// # Errors
    /// Corrupt for a file that is none; Refused where a program fails; a kernel error.
    pub fn forget(&self, registry: &str) -> Result<bool> {
        let mut config = read(&self.file)?;
        let key = key(registry);
        let mut was = false;
        if let Some(name) = (Config { file: &self.file, config: &config }).program(registry)? {
            was = ask(&name, "get", key)?.is_some();
            ask(&name, "erase", key)?;
        }
        let Some(auths) = config.get_mut("auths").and_then(Value::as_object_mut) else { return Ok(was) };
        let before = auths.len();
        auths.retain(|other, _| !is_same(other, key));
        if auths.len() < before {
            write(&self.file, &config)?;
            was = true;
        }
        Ok(was)
    }
}

/// The name under which a registry's login is kept.
#[must_use]
pub fn key(registry: &str) -> &str {
    match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB,
        other => other,
    }
}

/// A key without its scheme and path: old ones are URLs.
fn host(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    match bare.split('/').next().unwrap_or_default() {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        host => host,
    }
}

/// Whether a key is another spelling of this one, and not of a part of the registry.
fn is_same(other: &str, key: &str) -> bool {
    host(other) == host(key) && (other.contains("://") || !other.contains('/'))
}

/// The logins that a file has, to be changed.
fn auths<'c>(config: &'c mut Map<String, Value>, file: &Path) -> Result<&'c mut Map<String, Value>> {
    let auths = config.entry("auths").or_insert_with(|| json!({}));
    auths.as_object_mut().ok_or_else(|| damaged(file, "its auths are no object"))
}

struct Config<'a> {
    file: &'a Path,
    config: &'a Map<String, Value>,
}

impl Config<'_> {
    fn find(&self, registry: &str, repository: &str) -> Result<Option<Credentials>> {
        if let Some(name) = self.program(registry)?
            && let Some(told) = ask(&name, "get", key(registry))?
        {
            let told: Told = serde_json::from_str(&told).map_err(|_| failed(&name, "what it says is no login"))?;
            let is_token = told.username == TOKEN;
            let user = if is_token { String::new() } else { told.username };
            let secret = if is_token { Secret::Identity(told.secret) } else { Secret::Password(told.secret) };
            return Ok(Some(Credentials { user, secret }));
        }
        let Some(auths) = self.config.get("auths").and_then(Value::as_object) else { return Ok(None) };
        // podman has logins of parts of a registry: the longest one that fits holds.
        let mut name = format!("{registry}/{repository}");
        while let Some((shorter, _)) = name.rsplit_once('/') {
            if let Some(found) = auths.get(&name).map(|entry| self.entry(entry)).transpose()?.flatten() {
                return Ok(Some(found));
            }
            name.truncate(shorter.len());
        }
        let key = key(registry);
        let other = || auths.iter().find(|(other, _)| is_same(other, key)).map(|(_, entry)| entry);
        auths.get(key).or_else(other).map_or(Ok(None), |entry| self.entry(entry))
    }

    fn entry(&self, entry: &Value) -> Result<Option<Credentials>> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (mut user, mut password) = (text("username"), text("password"));
        let auth = text("auth");
        if !auth.is_empty() {
            let wrong = || damaged(self.file, "an auth in it is not base64 of USER:PASSWORD");
            let decoded = STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
            let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
            let (one, other) = decoded.split_once(':').ok_or_else(wrong)?;
            (user, password) = (one.to_owned(), other.trim_end_matches('\0').to_owned());
        }
        let secret = match (text("identitytoken"), text("registrytoken")) {
            (token, _) if !token.is_empty() => Secret::Identity(token),
            (_, token) if !token.is_empty() => Secret::Registry(token),
            _ if user.is_empty() => return Ok(None),
            _ => Secret::Password(password),
        };
        Ok(Some(Credentials { user, secret }))
    }

    /// The program that keeps a registry's logins: `credHelpers`, `credsStore`.
    fn program(&self, registry: &str) -> Result<Option<String>> {
        let helpers = self.config.get("credHelpers").and_then(Value::as_object);
        let helper = helpers.and_then(|helpers| helpers.get(key(registry)).or_else(|| helpers.get(registry)));
        let name = helper.or_else(|| self.config.get("credsStore")).and_then(Value::as_str).unwrap_or_default();
        if name.contains('/') {
            let file = self.file.display().to_string();
            return Err(Refused::new(file, name, "is no name of a docker-credential program").into());
        }
        Ok((!name.is_empty()).then(|| name.to_owned()))
    }
}

fn damaged(file: &Path, reason: &str) -> error::Error {
    Corrupt::new(file.display().to_string(), reason).into()
}

/// What a file says; one that is not there, or is empty, says nothing.
fn read(file: &Path) -> Result<Map<String, Value>> {
    let mut bytes = Vec::new();
    match File::open(file) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {}
        opened => {
            let opened = opened.doing(|| format!("open {}", file.display()))?;
            opened.take(LARGEST).read_to_end(&mut bytes).doing(|| format!("read {}", file.display()))?;
        }
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&bytes).map_err(|error| damaged(file, &format!("it is not the JSON of an object: {error}")))
}

/// Puts a file into the place of another, which nobody but its owner may read.
fn write(file: &Path, config: &Map<String, Value>) -> Result<()> {
    // A symbolic link stays one.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let doing = || format!("write {}", file.display());
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).doing(|| format!("make the folder {}", folder.display()))?;
    let beside = folder.join(format!(".carboy-{}.json", std::process::id()));
    let mut open = OpenOptions::new();
    let written = open.write(true).create(true).truncate(true).mode(0o600).open(&beside).and_then(|mut new| {
        new.set_permissions(fs::Permissions::from_mode(0o600))?;
        if let Ok(old) = fs::metadata(&file) {
            // Root writes a user's file, whose it stays where that can be.
            let _ = fchown(&new, Some(old.uid()), Some(old.gid()));
        }
        let mut text = serde_json::to_vec_pretty(config)?;
        text.push(b'\n');
        new.write_all(&text)?;
        new.sync_all()?;
        fs::rename(&beside, &file)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.doing(doing)
}

fn failed(name: &str, reason: impl Into<String>) -> error::Error {
    Refused::new("the program", format!("docker-credential-{name}"), reason).into()
}

/// Asks a program, and gives what it says; `None` where it knows no such login.
fn ask(name: &str, verb: &str, input: &str) -> Result<Option<String>> {
    let mut command = Command::new(format!("docker-credential-{name}"));
    let mut child = match command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let refused = Refused::new("the program", format!("docker-credential-{name}"), "is not installed");
            return Err(refused.hint("install it, or take it out of credsStore and credHelpers in config.json").into());
        }
        child => child.doing(|| format!("start docker-credential-{name}"))?,
    };
    let until = Instant::now() + PATIENCE;
    let said = converse(&mut child, input, until).and_then(|said| ends(&child, until).map(|()| said));
    if said.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().doing(|| format!("wait for docker-credential-{name}"))?;
    let said = said.map_err(|errno| Kernel::new(format!("speak with docker-credential-{name}"), errno))?;
    if status.success() {
        return Ok(Some(said));
    }
    let is_unknown = said.contains("credentials not found") || said.contains("no credentials server URL");
    if is_unknown { Ok(None) } else { Err(failed(name, format!("it fails: {}", said.trim()))) }
}

/// Gives a program its input, and reads what it says up to its end.
fn converse(child: &mut Child, input: &str, until: Instant) -> std::result::Result<String, Errno> {
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing has ended, and says why. The input is shorter than a pipe.
        let _ = stdin.write_all(input.as_bytes());
    }
    let mut said = Vec::new();
    let Some(mut stdout) = child.stdout.take() else { return Err(Errno::PIPE) };
    let mut piece = [0; 4096];
    while (said.len() as u64) < LARGEST {
        readable(stdout.as_fd(), until)?;
        match stdout.read(&mut piece).map_err(errno)? {
            0 => return Ok(String::from_utf8_lossy(&said).into_owned()),
            count => said.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
    Err(Errno::FBIG)
}

/// Waits for the end of a program that has said everything.
fn ends(child: &Child, until: Instant) -> std::result::Result<(), Errno> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    readable(pidfd.as_fd(), until)
}

fn readable(file: BorrowedFd<'_>, until: Instant) -> std::result::Result<(), Errno> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match poll(&mut [PollFd::from_borrowed_fd(file, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(0) => return Err(Errno::TIMEDOUT),
            Ok(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins(text: &str) -> (tempfile::TempDir, Logins) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("docker/config.json");
        if !text.is_empty() {
            fs::create_dir(folder.path().join("docker")).unwrap();
            fs::write(&file, text).unwrap();
        }
        (folder, Logins { file, others: Vec::new() })
    }

    fn password(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), secret: Secret::Password(password.into()) }
    }

    #[test]
    fn a_login_is_kept_and_forgotten_and_the_rest_of_the_file_stays() {
        let (_folder, logins) =
            logins(r#"{"psFormat":"{{.ID}}","auths":{"https://x.example/v1/":{"auth":"b2xkOm9sZA=="},"y":{}}}"#);
        assert_eq!(logins.find("x.example", "a").unwrap(), Some(password("old", "old")), "an old spelling is known");
        assert_eq!(logins.keep("x.example", &password("anna", "hu:sh")).unwrap(), Kept::File(logins.file.clone()));
        assert_eq!(logins.find("x.example", "a").unwrap(), Some(password("anna", "hu:sh")));
        assert_eq!(fs::metadata(&logins.file).unwrap().mode() & 0o777, 0o600);
        let text: Value = serde_json::from_slice(&fs::read(&logins.file).unwrap()).unwrap();
        assert_eq!(text, json!({"psFormat": "{{.ID}}", "auths": {"x.example": {"auth": "YW5uYTpodTpzaA=="}, "y": {}}}));
        assert!(logins.forget("x.example").unwrap());
        assert!(!logins.forget("x.example").unwrap());
        assert_eq!(logins.find("x.example", "a").unwrap(), None);
    }

    #[test]
    fn a_first_login_makes_the_file() {
        let (_folder, logins) = logins("");
        assert_eq!(logins.find("docker.io", "library/a").unwrap(), None);
        logins.keep("docker.io", &password("anna", "hush")).unwrap();
        assert!(fs::read_to_string(&logins.file).unwrap().contains(HUB));
        assert_eq!(logins.find("docker.io", "library/a").unwrap(), Some(password("anna", "hush")));
    }

    #[test]
    fn the_login_of_the_longest_part_of_a_name_holds() {
        let (_folder, logins) = logins(
            r#"{"auths":{"q/team":{"auth":"dDp0"},"q":{"auth":"cTpx"},"t":{"identitytoken":"id","auth":"YTo="}}}"#,
        );
        assert_eq!(logins.find("q", "team/a").unwrap(), Some(password("t", "t")));
        assert_eq!(logins.find("q", "teams/a").unwrap(), Some(password("q", "q")));
        let token = Credentials { user: "a".into(), secret: Secret::Identity("id".into()) };
        assert_eq!(logins.find("t", "a").unwrap(), Some(token));
    }

    #[test]
    fn a_file_that_is_damaged_is_told_of_and_not_overwritten() {
        for text in ["{", "[]", r#"{"auths":7}"#] {
            let (_folder, logins) = logins(text);
            assert!(logins.keep("x", &password("a", "b")).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&logins.file).unwrap(), text);
        }
        let (_folder, logins) = logins(r#"{"auths":{"x":{"auth":"?"}}}"#);
        assert!(logins.find("x", "a").unwrap_err().to_string().ends_with("is not base64 of USER:PASSWORD"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let (_folder, logins) = logins(r#"{"credsStore":"no-such-7"}"#);
        let error = logins.find("x", "a").unwrap_err();
        assert_eq!(error.to_string(), "cannot use the program docker-credential-no-such-7: is not installed");
        let (_folder, logins) = self::logins(r#"{"credHelpers":{"x":"../evil"}}"#);
        assert!(logins.find("x", "a").unwrap_err().to_string().contains("is no name"));
    }
}
