//! What must be known of the host before a container can be configured: read once.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cgroup::Hierarchies;
use error::{Doing, Refused, Result};

use crate::containers::Engine;
use crate::options::RunOptions;
use crate::record::Record;
use crate::spec::{self, HostFacts};

/// Reads what the configuration of a container depends on, one that is there already where there is a record of it.
///
/// # Errors
/// A kernel error that names what could not be read; refused for a device that is not there.
pub(crate) fn read(options: &RunOptions, former: Option<&Record>) -> Result<HostFacts> {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let cpus = online_cpus()?;
    let thermal = |cpu: &u32| Path::new(&format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle")).exists();
    Ok(HostFacts {
        cpus: u32::try_from(cpus.len()).unwrap_or(u32::MAX),
        hostname,
        last_capability: read_number("/proc/sys/kernel/cap_last_cap")?,
        withheld_capabilities: withheld_capabilities()?,
        thermal_throttle: cpus.iter().copied().filter(thermal).collect(),
        init: if options.init { Some(own_program(former)?) } else { None },
        devices: crate::device::read(options)?,
        ids: crate::rootless::Ids::read()?,
        disks: crate::disk::read(&options.resources.limits)?,
        network_files: Vec::new(),
        volumes: BTreeMap::new(),
    })
}

impl Engine {
    /// The host's hierarchies, with those that carboy would mount for a container that has every limit.
    ///
    /// # Errors
    /// A kernel error.
    pub fn hierarchies_of_every_limit(&self) -> Result<Hierarchies> {
        let priorities = vec![oci::InterfacePriority::default()];
        let network = Some(oci::Network { class_id: Some(1), priorities });
        Hierarchies::read()?.for_container(&oci::Resources { network, ..Default::default() }, &self.store.mounts())
    }
}

/// Where carboy's own program is, which is also its `--init`. It runs from a view of its file that is mounted nowhere
/// ([`sys::entry`]), of which the kernel tells no path: the one that it was called by leads to the same file, or the one that
/// a container has had before.
///
/// # Errors
/// A kernel error; refused where no such path is known.
fn own_program(former: Option<&Record>) -> Result<PathBuf> {
    let this = procfs::Process::this()?;
    let told = this.program()?;
    let file = fs::File::from(this.open_program()?);
    let identity = |file: &fs::Metadata| (file.dev(), file.ino());
    let own = identity(&file.metadata().doing(|| "look at carboy's own program")?);
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = [called.file_name().unwrap_or_default(), OsStr::new("carboy")];
    let found = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    let is_own = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| identity(&file) == own);
    let mut candidates = [told].into_iter().chain(fs::canonicalize(&called)).chain(found);
    let former = || former.and_then(|record| spec::init_of(&record.config)).filter(|path| path.is_file());
    candidates.find(is_own).or_else(former).ok_or_else(|| {
        let refused = Refused::new("--init", called.display().to_string(), "is not where carboy's program is");
        refused.hint("call carboy by its path, as /usr/bin/carboy").into()
    })
}

/// The capabilities that this process does not have, a bit each by number: capget(2).
///
/// # Errors
/// A kernel error.
pub fn withheld_capabilities() -> Result<u64> {
    let held = rustix::thread::capabilities(None).doing(|| "read carboy's own capabilities")?;
    Ok(!held.permitted.bits())
}

/// The kernel's version, major and minor.
#[must_use]
pub fn kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|digit: char| !digit.is_ascii_digit()).filter_map(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn read_number(path: &str) -> Result<u32> {
    let text = fs::read_to_string(path).doing(|| format!("read {path}"))?;
    text.trim().parse().map_err(|_| error::Corrupt::new(path, "holds no number").into())
}

/// The CPUs that are online.
///
/// # Errors
/// A kernel error.
pub(crate) fn online_cpus() -> Result<Vec<u32>> {
    let path = "/sys/devices/system/cpu/online";
    let text = fs::read_to_string(path).doing(|| format!("read {path}"))?;
    let mut cpus = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend(first..=last);
        }
    }
    Ok(cpus)
}
