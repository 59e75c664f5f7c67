//! What systemd is asked: to start a unit with its properties, to change them, to take it away.
//!
//! org.freedesktop.systemd1(5), "The Manager Object". root speaks with systemd itself, as systemctl does, and with the bus
//! where that is not possible; a user with the user's own manager.

use std::path::{Path, PathBuf};

use error::{Error, Kernel, Refused, RefusedKind, Result};
use rustix::io::Errno;
use rustix::process::Pid;

use super::connection::{Connection, Failure};
use super::scope::{Placeholder, Scope};
use super::unit::Unit;
use super::wire::{Body, Call, Message};
use super::{Property, Value};
use crate::path::GroupPath;

/// There is a folder here where systemd is PID 1: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";
const SYSTEM_PRIVATE: &str = "/run/systemd/private";
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
/// Below a user's runtime folder.
const USER_PRIVATE: &str = "systemd/private";
const USER_BUS: &str = "bus";

const NAME: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BUS: &str = "org.freedesktop.DBus";
const BUS_OBJECT: &str = "/org/freedesktop/DBus";

const MATCH: &str = "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
                     interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// Whether systemd is PID 1 here.
#[must_use]
pub fn runs() -> bool {
    Path::new(BOOTED).is_dir()
}

/// Which systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instance<'a> {
    /// The system's, PID 1; for root.
    System,
    /// A user's.
    User {
        /// The user's runtime folder, `XDG_RUNTIME_DIR`.
        runtime_dir: &'a Path,
    },
}

impl Instance<'_> {
    pub(super) const fn default_slice(self) -> &'static str {
        match self {
            Self::System => "system.slice",
            Self::User { .. } => "user.slice",
        }
    }

    /// Where it listens: by itself, and on a bus.
    fn sockets(self) -> [(PathBuf, Way); 2] {
        match self {
            Self::System => [(SYSTEM_PRIVATE.into(), Way::Direct), (SYSTEM_BUS.into(), Way::Bus)],
            Self::User { runtime_dir } => {
                [(runtime_dir.join(USER_PRIVATE), Way::Direct), (runtime_dir.join(USER_BUS), Way::Bus)]
            }
        }
    }
}

/// Who is at the other end of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// systemd itself, which tells the ends of jobs unasked.
    Direct,
    /// A bus that systemd is on.
    Bus,
}

/// A connection with systemd.
#[derive(Debug)]
pub struct Manager {
    connection: Connection,
    socket: String,
    version: u32,
}

impl Manager {
    /// Connects with systemd.
    ///
    /// # Errors
    /// Refused where systemd is not PID 1, or has no manager for this user; a kernel error where it does not answer.
    pub fn connect(instance: Instance<'_>) -> Result<Self> {
        let refused =
            |reason: &str, hint: &str| Error::from(Refused::new("--cgroup-manager", "systemd", reason).hint(hint));
        if !runs() {
            return Err(refused("systemd does not run this host", "use --cgroup-manager cgroupfs"));
        }
        let mut last = None;
        for (path, way) in instance.sockets() {
            let socket = path.display().to_string();
            match Connection::open(&path) {
                Ok(connection) => return Self::over(connection, way, socket),
                Err(errno) => last = Some(Kernel::new(format!("connect with systemd at {socket}"), errno)),
            }
        }
        match (last, instance) {
            (Some(kernel), Instance::User { .. }) if matches!(kernel.errno, Errno::NOENT | Errno::CONNREFUSED) => {
                Err(refused("this user has no systemd of its own", "log in, or run: loginctl enable-linger"))
            }
            (Some(kernel), _) => Err(kernel.into()),
            (None, _) => Err(refused("systemd does not listen", "use --cgroup-manager cgroupfs")),
        }
    }

    fn over(connection: Connection, way: Way, socket: String) -> Result<Self> {
        let mut manager = Self { connection, socket, version: 0 };
        if way == Way::Bus {
            manager.ask_bus("Hello", "", Body::default())?;
            manager.ask_bus("AddMatch", "s", Body::default().text(MATCH))?;
            manager.ask("Subscribe", "", Body::default()).map_err(|failure| manager.failed("listen", failure))?;
        }
        let version =
            manager.property(OBJECT, MANAGER, "Version").map_err(|failure| manager.failed("read Version", failure))?;
        manager.version = match &version {
            Value::Text(text) => parse_version(text),
            _ => None,
        }
        .ok_or_else(|| manager.failed("read Version", Errno::PROTO.into()))?;
        Ok(manager)
    }

    /// systemd's version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Starts a scope with a placeholder in it. Where this fails, nothing is left of it.
    ///
    /// # Errors
    /// Refused when systemd refuses a property, and (a conflict) when the unit exists; a kernel error when systemd does
    /// not answer in time.
    pub fn start_scope(&mut self, unit: &Unit, properties: &[Property]) -> Result<Scope> {
        let placeholder = Placeholder::start()?;
        let processes = Property::new("PIDs", Value::Processes(vec![placeholder.pid()]));
        let properties: Vec<&Property> = std::iter::once(&processes).chain(properties).collect();
        let group = self.start(unit, &properties)?;
        Ok(Scope { group, placeholder })
    }

    /// Moves the caller into a scope of its own. A user's process in a session may not put others into the groups of the
    /// user's systemd, since the groups above both are not the user's; from a scope it may.
    ///
    /// # Errors
    /// As [`Manager::start_scope`].
    pub fn enter_scope(&mut self, unit: &Unit, properties: &[Property]) -> Result<()> {
        let processes = Property::new("PIDs", Value::Processes(vec![std::process::id()]));
        let properties: Vec<&Property> = std::iter::once(&processes).chain(properties).collect();
        self.start(unit, &properties).map(drop)
    }

    /// The manager's own group, below which all of its units are.
    ///
    /// # Errors
    /// A kernel error when systemd does not answer.
    pub fn own_group(&mut self) -> Result<GroupPath> {
        let read = self.property(OBJECT, MANAGER, "ControlGroup");
        match read.map_err(|failure| self.failed("read ControlGroup", failure))? {
            Value::Text(path) => GroupPath::parse("the group of systemd", &path),
            _ => Err(self.failed("read ControlGroup", Errno::PROTO.into())),
        }
    }

    /// Starts a slice, and gives its group. Where this fails, nothing is left of it.
    ///
    /// # Errors
    /// As [`Manager::start_scope`].
    pub fn start_slice(&mut self, unit: &Unit, properties: &[Property]) -> Result<GroupPath> {
        self.start(unit, &properties.iter().collect::<Vec<_>>())
    }

    fn start(&mut self, unit: &Unit, properties: &[&Property]) -> Result<GroupPath> {
        let no_others: [(); 0] = [];
        let body = Body::default()
            .text(unit.name())
            .text("fail")
            .array(8, properties, |body, property| body.property(property))
            .array(8, no_others, |body, ()| body);
        let job = match self.ask("StartTransientUnit", "ssa(sv)a(sa(sv))", body) {
            Err(Failure::Answer { name, .. }) if name == UNIT_EXISTS => {
                let reason = "a systemd unit of this name exists already";
                let hint = format!("run: systemctl stop {unit}, or choose another name");
                let refused = Refused::new("linux.cgroupsPath", unit.name(), reason).hint(hint);
                return Err(refused.kind(RefusedKind::Conflict).into());
            }
            answer => answer.map_err(|failure| self.failed(&format!("start {unit}"), failure))?,
        };
        let started = self.finish(&job, unit, "start").and_then(|()| self.control_group(unit));
        if started.is_err() {
            // What went wrong is the news; what could not be taken back then shows when the container is removed.
            let _ = self.stop(unit);
        }
        started
    }

    /// The unit's group, from the root of every hierarchy in which systemd makes groups.
    ///
    /// # Errors
    /// Refused when systemd does not know the unit or it is not active; a kernel error when systemd does not answer.
    pub fn control_group(&mut self, unit: &Unit) -> Result<GroupPath> {
        let group = self.unit_property(unit, "ControlGroup")?;
        match group {
            Value::Text(path) if !path.is_empty() => GroupPath::parse("linux.cgroupsPath", &path),
            _ => Err(Refused::new("the systemd unit", unit.name(), "it has no cgroup: it is not active").into()),
        }
    }

    /// One of the unit's properties for its kind: of org.freedesktop.systemd1.Scope or .Slice.
    ///
    /// # Errors
    /// As [`Manager::control_group`].
    pub fn unit_property(&mut self, unit: &Unit, name: &str) -> Result<Value> {
        self.property(&object(unit.name()), unit.interface(), name)
            .map_err(|failure| self.failed(&format!("read {name} of {unit}"), failure))
    }

    /// Changes properties of a running unit, all or none, until the next boot.
    ///
    /// # Errors
    /// Refused when systemd does not know the unit, or refuses a property; a kernel error when it does not answer.
    pub fn set_properties(&mut self, unit: &Unit, properties: &[Property]) -> Result<()> {
        let body =
            Body::default().text(unit.name()).yes().array(8, properties, |body, property| body.property(property));
        let answer = self.ask("SetUnitProperties", "sba(sv)", body);
        answer.map(drop).map_err(|failure| {
            let names: Vec<&str> = properties.iter().map(|property| property.name).collect();
            self.failed(&format!("set {} of {unit}", names.join(", ")), failure)
        })
    }

    /// Has systemd move a process into the unit: where the caller may not write to the groups above both, as a user
    /// between a session and a unit of the user's own systemd. Since version 238.
    ///
    /// # Errors
    /// Refused when systemd does not know the unit, or the process is not the caller's; a kernel error when it does not
    /// answer.
    pub fn attach(&mut self, unit: &Unit, process: Pid) -> Result<()> {
        let number = process.as_raw_nonzero().get().unsigned_abs();
        let body = Body::default().text(unit.name()).text("").array(4, [number], Body::u32);
        let answer = self.ask("AttachProcessesToUnit", "ssau", body);
        answer.map(drop).map_err(|failure| self.failed(&format!("attach process {number} to {unit}"), failure))
    }

    /// Stops a unit: what is still in it is killed. One that is gone already is no error, and one that failed is
    /// forgotten.
    ///
    /// # Errors
    /// A kernel error when systemd does not answer in time; refused when it does not stop the unit.
    pub fn stop(&mut self, unit: &Unit) -> Result<()> {
        let body = Body::default().text(unit.name()).text("replace");
        match self.ask("StopUnit", "ss", body) {
            Ok(job) => self.finish(&job, unit, "stop")?,
            Err(Failure::Answer { name, .. }) if name == NO_SUCH_UNIT => return Ok(()),
            Err(failure) => return Err(self.failed(&format!("stop {unit}"), failure)),
        }
        self.reset_failed(unit)
    }

    /// Has systemd forget that a unit failed. One that it does not know is no error.
    ///
    /// # Errors
    /// A kernel error when systemd does not answer in time.
    pub fn reset_failed(&mut self, unit: &Unit) -> Result<()> {
        match self.ask("ResetFailedUnit", "s", Body::default().text(unit.name())) {
            Ok(_) => Ok(()),
            Err(Failure::Answer { name, .. }) if name == NO_SUCH_UNIT => Ok(()),
            Err(failure) => Err(self.failed(&format!("reset {unit}"), failure)),
        }
    }

    /// Waits for the end of the job that an answer names.
    fn finish(&mut self, answer: &Message, unit: &Unit, verb: &str) -> Result<()> {
        let Some(job) = answer.text() else {
            return Err(self.failed(&format!("{verb} {unit}"), Errno::PROTO.into()));
        };
        match self.connection.job(job, &answer.sender) {
            Ok(result) if result == "done" => Ok(()),
            Ok(result) => {
                let reason = format!("systemd did not {verb} it: the job's result is {result:?}");
                let hint = format!("run: systemctl status {unit}");
                Err(Refused::new("the systemd unit", unit.name(), reason).hint(hint).into())
            }
            Err(errno) => Err(self.failed(&format!("{verb} {unit}"), errno.into())),
        }
    }

    fn ask(&mut self, member: &str, signature: &str, body: Body) -> std::result::Result<Message, Failure> {
        let call = Call { destination: NAME, path: OBJECT, interface: MANAGER, member, signature, body };
        self.connection.call(&call)
    }

    fn ask_bus(&mut self, member: &str, signature: &str, body: Body) -> Result<()> {
        let call = Call { destination: BUS, path: BUS_OBJECT, interface: BUS, member, signature, body };
        self.connection.call(&call).map(drop).map_err(|failure| self.failed("register on the bus", failure))
    }

    fn property(&mut self, path: &str, interface: &str, name: &str) -> std::result::Result<Value, Failure> {
        let body = Body::default().text(interface).text(name);
        let call = Call { destination: NAME, path, interface: PROPERTIES, member: "Get", signature: "ss", body };
        let answer = self.connection.call(&call)?;
        Ok(answer.variant().ok_or(Errno::PROTO)?)
    }

    fn failed(&self, action: &str, failure: Failure) -> Error {
        match failure {
            Failure::Connection(errno) => {
                let error = Kernel::new(format!("{action} through systemd at {}", self.socket), errno);
                match errno {
                    Errno::TIMEDOUT => error.hint("systemd does not answer: see systemctl list-jobs").into(),
                    _ => error.into(),
                }
            }
            Failure::Answer { name, text } => {
                let reason = format!("it refuses to {action}: {text} ({name})");
                Refused::new("--cgroup-manager", "systemd", reason).into()
            }
        }
    }
}

/// The number in `252.39-1~deb12u1` or `v245`.
fn parse_version(text: &str) -> Option<u32> {
    let digits = text.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

/// A unit's object: sd_bus_path_encode(3).
fn object(unit: &str) -> String {
    let mut path = format!("{OBJECT}/unit/");
    for (at, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && at > 0) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::thread::{JoinHandle, spawn};
    use std::time::Duration;

    use super::super::wire::sent;
    use super::super::wire::{FIXED, message_length};
    use super::*;

    const JOB: &str = "/org/freedesktop/systemd1/job/7";
    const SCOPE: &str = "carboy-3f.scope";

    fn unit() -> Unit {
        Unit::parse("foo.slice:carboy:3f", Instance::System).unwrap()
    }

    /// The server's side of a connection.
    struct Server(UnixStream);

    impl Server {
        fn authenticate(&mut self) {
            let expected = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
            let mut said = [0; 29];
            self.0.read_exact(&mut said).unwrap();
            assert_eq!(&said, expected);
            self.0.write_all(b"DATA\r\nOK 1f\r\n").unwrap();
        }

        /// The next call: the serial number, and the whole message.
        fn expect(&mut self, member: &str) -> (u32, Vec<u8>) {
            let mut start = [0; FIXED];
            self.0.read_exact(&mut start).unwrap();
            let mut message = start.to_vec();
            message.resize(message_length(&start).unwrap(), 0);
            self.0.read_exact(&mut message[FIXED..]).unwrap();
            let (serial, called) = sent::of_call(&message);
            assert_eq!(called, member);
            (serial, message)
        }

        fn send(&mut self, messages: &[Vec<u8>]) {
            self.0.write_all(&messages.concat()).unwrap();
        }

        fn answer_text(&mut self, member: &str, signature: &str, text: &str) {
            let (serial, _) = self.expect(member);
            self.send(&[sent::answer(serial, signature, &Body::default().text(text))]);
        }

        fn answer_property(&mut self, text: &str) {
            let (serial, _) = self.expect("Get");
            self.send(&[sent::answer(serial, "v", &Body::default().variant(&Value::Text(text.to_owned())))]);
        }
    }

    /// A manager, and what plays systemd for it.
    fn played(way: Way, play: impl FnOnce(&mut Server) + Send + 'static) -> (Result<Manager>, JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let server = spawn(move || {
            let mut server = Server(theirs);
            server.authenticate();
            if way == Way::Bus {
                for member in ["Hello", "AddMatch", "Subscribe"] {
                    let (serial, _) = server.expect(member);
                    server.send(&[sent::answer(serial, "", &Body::default())]);
                }
            }
            server.answer_property("252.39-1~deb12u1");
            play(&mut server);
        });
        let connection = Connection::over(OwnedFd::from(ours), Duration::from_millis(300)).unwrap();
        (Manager::over(connection, way, "a socket".to_owned()), server)
    }

    fn start_scope(play: impl FnOnce(&mut Server) + Send + 'static) -> Result<Scope> {
        let (manager, server) = played(Way::Direct, play);
        let scope = manager.unwrap().start_scope(&unit(), &[Property::number("MemoryMax", 4096)]);
        server.join().unwrap();
        scope
    }

    fn contains(message: &[u8], part: &[u8]) -> bool {
        message.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_scope_starts_with_its_placeholder_and_tells_its_group() {
        let scope = start_scope(|systemd| {
            let (serial, message) = systemd.expect("StartTransientUnit");
            assert!(contains(&message, b"\x02au\0") && contains(&message, b"MemoryMax\0\x01t\0"));
            systemd.send(&[
                sent::job_removed("/org/freedesktop/systemd1/job/6", "other.service", "failed"),
                sent::answer(serial, "o", &Body::default().text(JOB)),
                sent::job_removed(JOB, SCOPE, "done"),
            ]);
            systemd.answer_property("/foo.slice/carboy-3f.scope");
        });
        let scope = scope.unwrap();
        assert_eq!(scope.group().to_string(), "/foo.slice/carboy-3f.scope");
        let placeholder = format!("/proc/{}", scope.placeholder.pid());
        assert!(Path::new(&placeholder).exists());
        scope.release();
        assert!(!Path::new(&placeholder).exists());
    }

    #[test]
    fn a_job_that_ends_before_the_answer_is_not_missed() {
        let scope = start_scope(|systemd| {
            let (serial, _) = systemd.expect("StartTransientUnit");
            let answer = sent::answer(serial, "o", &Body::default().text(JOB));
            systemd.send(&[sent::job_removed(JOB, SCOPE, "done"), answer]);
            systemd.answer_property("/foo.slice/carboy-3f.scope");
        });
        assert!(scope.is_ok());
    }

    #[test]
    fn a_job_that_failed_is_refused_and_the_unit_taken_away() {
        let scope = start_scope(|systemd| {
            let (serial, _) = systemd.expect("StartTransientUnit");
            let answer = sent::answer(serial, "o", &Body::default().text(JOB));
            systemd.send(&[answer, sent::job_removed(JOB, SCOPE, "failed")]);
            let (serial, _) = systemd.expect("StopUnit");
            systemd.send(&[sent::error(serial, NO_SUCH_UNIT, "Unit carboy-3f.scope not loaded.")]);
        });
        assert_eq!(
            scope.unwrap_err().to_string(),
            "cannot use the systemd unit carboy-3f.scope: systemd did not start it: the job's result is \"failed\""
        );
    }

    #[test]
    fn a_property_that_systemd_refuses_is_told_in_its_words() {
        let scope = start_scope(|systemd| {
            let (serial, _) = systemd.expect("StartTransientUnit");
            let name = "org.freedesktop.DBus.Error.InvalidArgs";
            systemd.send(&[sent::error(serial, name, "MemoryMax= is out of range")]);
        });
        assert_eq!(
            scope.unwrap_err().to_string(),
            "cannot use --cgroup-manager systemd: it refuses to start carboy-3f.scope: \
             MemoryMax= is out of range (org.freedesktop.DBus.Error.InvalidArgs)"
        );
    }

    #[test]
    fn a_unit_that_exists_is_a_conflict() {
        let scope = start_scope(|systemd| {
            let (serial, _) = systemd.expect("StartTransientUnit");
            systemd.send(&[sent::error(serial, UNIT_EXISTS, "Unit carboy-3f.scope already exists.")]);
        });
        let Err(Error::Refused(refused)) = scope else { panic!("{scope:?}") };
        assert_eq!(refused.kind, RefusedKind::Conflict);
    }

    #[test]
    fn silence_and_a_closed_connection_are_kernel_errors() {
        let silent = start_scope(|systemd| {
            let (serial, _) = systemd.expect("StartTransientUnit");
            systemd.send(&[sent::answer(serial, "o", &Body::default().text(JOB))]);
            systemd.expect("StopUnit");
            let _ = systemd.0.read(&mut [0]);
        });
        let silent = silent.unwrap_err();
        assert_eq!(silent.to_string(), "cannot start carboy-3f.scope through systemd at a socket");
        assert_eq!(silent.errno(), Some(Errno::TIMEDOUT));
        let cut = start_scope(|systemd| {
            let (serial, _) = systemd.expect("StartTransientUnit");
            let answer = sent::answer(serial, "o", &Body::default().text(JOB));
            systemd.send(&[answer[..20].to_vec()]);
            // The placeholder, a copy of this process, has this end too: closing ours would not be the end.
            systemd.0.shutdown(std::net::Shutdown::Both).unwrap();
        });
        assert_eq!(cut.unwrap_err().errno(), Some(Errno::CONNRESET));
        let nonsense = start_scope(|systemd| {
            systemd.expect("StartTransientUnit");
            systemd.send(&[b"HTTP/1.1 400 Bad Request\r\n".to_vec()]);
        });
        assert_eq!(nonsense.unwrap_err().errno(), Some(Errno::PROTO));
    }

    #[test]
    fn stopping_waits_for_the_job_and_forgets_a_failure() {
        let (manager, server) = played(Way::Bus, |systemd| {
            let (serial, _) = systemd.expect("StopUnit");
            let answer = sent::answer(serial, "o", &Body::default().text(JOB));
            systemd.send(&[answer, sent::job_removed(JOB, SCOPE, "done")]);
            let (serial, _) = systemd.expect("ResetFailedUnit");
            systemd.send(&[sent::error(serial, NO_SUCH_UNIT, "Unit carboy-3f.scope not loaded.")]);
            let (serial, _) = systemd.expect("StopUnit");
            systemd.send(&[sent::error(serial, NO_SUCH_UNIT, "Unit carboy-3f.scope not loaded.")]);
        });
        let mut manager = manager.unwrap();
        assert_eq!(manager.version(), 252);
        manager.stop(&unit()).unwrap();
        manager.stop(&unit()).unwrap();
        server.join().unwrap();
    }

    #[test]
    fn a_change_names_its_properties_where_it_is_refused() {
        let (manager, server) = played(Way::Direct, |systemd| {
            let (serial, _) = systemd.expect("SetUnitProperties");
            systemd.send(&[sent::answer(serial, "", &Body::default())]);
            let (serial, _) = systemd.expect("SetUnitProperties");
            systemd.send(&[sent::error(serial, "org.freedesktop.DBus.Error.PropertyReadOnly", "Cannot set property")]);
            systemd.answer_text("AttachProcessesToUnit", "", "");
        });
        let mut manager = manager.unwrap();
        let properties = [Property::number("MemoryMax", 4096), Property::number("TasksMax", 5)];
        manager.set_properties(&unit(), &properties).unwrap();
        assert_eq!(
            manager.set_properties(&unit(), &properties).unwrap_err().to_string(),
            "cannot use --cgroup-manager systemd: it refuses to set MemoryMax, TasksMax of carboy-3f.scope: \
             Cannot set property (org.freedesktop.DBus.Error.PropertyReadOnly)"
        );
        manager.attach(&unit(), rustix::process::getpid()).unwrap();
        server.join().unwrap();
    }

    #[test]
    fn a_version_is_its_first_number() {
        for (text, version) in [("252.39-1~deb12u1", Some(252)), ("v245", Some(245)), ("257", Some(257)), ("x", None)] {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn a_units_object_is_its_name_escaped() {
        assert_eq!(object("carboy-3f.scope"), "/org/freedesktop/systemd1/unit/carboy_2d3f_2escope");
        assert_eq!(object("3f.scope"), "/org/freedesktop/systemd1/unit/_33f_2escope");
    }
}
