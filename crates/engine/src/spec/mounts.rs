//! What is mounted in a container: the defaults, and what was asked for. Runtime specification, "Mounts".

use std::path::PathBuf;

use namespace::mnt::options::BELOW;
use oci::{IdMapping, Mount};

use super::{HostFacts, linux};
use crate::options::{Access, Bind, Mount as Asked, Namespace, Recursion, RunOptions, Tmpfs, VolumeMount};
use crate::volume::Located;

/// Where `--init`'s program is in a container.
pub const INIT: &str = "/sbin/carboy-init";

/// The size of /dev/shm if none is asked for: 64 MiB.
const SHM_SIZE_BYTES: u64 = 64 << 20;

/// Everything that is mounted, in the order in which it is.
pub(super) fn mounts(options: &RunOptions, host: &HostFacts) -> Vec<Mount> {
    let mut asked: Vec<&Asked> = options.mounts.iter().collect();
    asked.sort_by_key(|mount| mount.destination().as_str().matches('/').count());
    let replaced = |mount: &Mount| {
        asked.iter().any(|asked| {
            let destination = asked.destination().as_str();
            destination == mount.destination || (destination == "/dev" && mount.destination.starts_with("/dev/"))
        })
    };
    let mut mounts = defaults(options, host);
    mounts.extend(of_networks(options, host));
    mounts.retain(|mount| !replaced(mount));
    mounts.extend(asked.into_iter().map(|asked| match asked {
        Asked::Bind(bind) => bound(bind),
        Asked::Volume(volume) => in_volume(volume, (options, host)),
        Asked::Tmpfs(tmpfs) => in_memory(tmpfs),
    }));
    if let Some(init) = host.init.as_ref().filter(|_| options.init && options.namespaces.pid == Namespace::Private) {
        mounts.push(mount("bind", &init.to_string_lossy(), INIT, &["bind", "ro"]));
    }
    mounts
}

/// Where the program is that a container has for `--init`, if it has.
pub(crate) fn init_of(config: &oci::Config) -> Option<PathBuf> {
    config.mounts.iter().find(|mount| mount.destination == INIT)?.source.as_ref().map(PathBuf::from)
}

fn mount(kind: &str, source: &str, destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn defaults(options: &RunOptions, host: &HostFacts) -> Vec<Mount> {
    let size = format!("size={}", options.shm_size_bytes.unwrap_or(SHM_SIZE_BYTES));
    let namespaces = &options.namespaces;
    let shm = match namespaces.ipc {
        Namespace::Host => mount("bind", "/dev/shm", "/dev/shm", &["rbind", "nosuid", "noexec", "nodev", "rprivate"]),
        _ => mount("tmpfs", "shm", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]),
    };
    vec![
        of_namespace((options, host), &namespaces.pid, ("proc", "/proc"), &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        terminals(options, host),
        of_namespace((options, host), &namespaces.net, ("sysfs", "/sys"), &read_only(options)),
        mount("cgroup", "cgroup", cgroup::hierarchy::CONTAINER_CGROUP_MOUNT, &read_only(options)),
        of_namespace((options, host), &namespaces.ipc, ("mqueue", "/dev/mqueue"), &["nosuid", "noexec", "nodev"]),
        shm,
    ]
}

/// What tells a container of its networks.
fn of_networks(options: &RunOptions, host: &HostFacts) -> Vec<Mount> {
    let mut words = vec!["bind", "rprivate"];
    words.extend((options.namespaces.user != Namespace::Host).then_some("idmap"));
    host.network_files.iter().map(|(file, place)| mount("bind", &file.to_string_lossy(), place, &words)).collect()
}

/// The file system of terminals. They belong to the group tty, unless a user namespace does not map it: then the kernel
/// would refuse the option.
fn terminals(options: &RunOptions, host: &HostFacts) -> Mount {
    const TTY: u32 = 5;
    let (_, groups) = linux::mappings(options);
    let has_tty = |map: &IdMapping| (map.container_id..map.container_id.saturating_add(map.size)).contains(&TTY);
    let has_here = host.ids.as_ref().is_none_or(|ids| ids.groups.first_ids() > TTY);
    let mapped = has_here && (groups.is_empty() || groups.iter().any(has_tty));
    let words = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    let count = if mapped { words.len() } else { words.len() - 1 };
    mount("devpts", "devpts", "/dev/pts", words.get(..count).unwrap_or_default())
}

/// The options of what shows the kernel's own state: only a privileged container can write to it.
fn read_only(options: &RunOptions) -> Vec<&'static str> {
    let mut words = vec!["nosuid", "noexec", "nodev"];
    if !options.security.privileged {
        words.push("ro");
    }
    words
}

/// A file system that shows a namespace. The kernel lets it be mounted only by who has rights over that namespace, and a
/// container in a user namespace has none over the host's: it gets a view of the host's own mount.
fn of_namespace(
    (options, host): (&RunOptions, &HostFacts),
    namespace: &Namespace,
    (kind, destination): (&str, &str),
    words: &[&str],
) -> Mount {
    let rights = match (&options.namespaces.user, namespace) {
        (_, Namespace::Private) => true,
        // Nor has a user any over the host's.
        (Namespace::Host, Namespace::Host) => host.ids.is_none(),
        (Namespace::Host, Namespace::Joined(_)) => true,
        (Namespace::Joined(_), Namespace::Joined(_)) => true,
        (_, Namespace::Host | Namespace::Joined(_)) => false,
    };
    if rights {
        return mount(kind, kind, destination, words);
    }
    let words = words.iter().map(|word| if *word == "ro" { "rro" } else { word });
    let words: Vec<&str> = ["rbind"].into_iter().chain(words).collect();
    mount("bind", destination, destination, &words)
}

fn bound(bind: &Bind) -> Mount {
    let reach = match bind.recursion {
        Recursion::Recursive => "rbind",
        Recursion::One => "bind",
    };
    let access = match (bind.access, bind.recursion) {
        (Access::ReadWrite, _) => None,
        (Access::ReadOnly, Recursion::Recursive) => Some("rro"),
        (Access::ReadOnly, Recursion::One) | (Access::ReadOnlyTop, _) => Some("ro"),
    };
    let words: Vec<&str> = [reach].into_iter().chain(access).chain([bind.propagation.word()]).collect();
    mount("bind", &bind.source.to_string_lossy(), bind.destination.as_str(), &words)
}

/// A view of a volume's folder, or what its options say in its place. In a user namespace its files belong to whom they
/// belong on disk, as those of the root.
fn in_volume(volume: &VolumeMount, (options, host): (&RunOptions, &HostFacts)) -> Mount {
    let Located { folder, options: device } = host.volumes.get(volume.name.as_str()).cloned().unwrap_or_default();
    let destination = volume.destination.as_str();
    if let (Some(kind), Some(source)) = (device.get("type"), device.get("device")) {
        let mut words: Vec<&str> = device.get("o").map(|words| words.split(',').collect()).unwrap_or_default();
        let is_bind = words.iter().any(|word| matches!(*word, "bind" | "rbind"));
        words.extend((volume.access != Access::ReadWrite).then_some("ro"));
        return mount(if is_bind { "bind" } else { kind }, source, destination, &words);
    }
    let source = volume.subpath.as_ref().map_or_else(|| folder.clone(), |subpath| folder.join(subpath));
    let mut words = vec!["rbind".to_owned()];
    words.extend((volume.access != Access::ReadWrite).then(|| "rro".to_owned()));
    words.push("rprivate".to_owned());
    words.extend((options.namespaces.user != Namespace::Host).then(|| "idmap".to_owned()));
    words.extend(volume.subpath.is_some().then(|| format!("{BELOW}{}", folder.display())));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    mount("bind", &source.to_string_lossy(), destination, &words)
}

fn in_memory(tmpfs: &Tmpfs) -> Mount {
    let asked = |word: &str| tmpfs.options.iter().any(|option| option == word);
    let defaults = [("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")];
    let defaults = defaults.into_iter().filter(|(word, opposite)| !asked(word) && !asked(opposite));
    let words: Vec<&str> = defaults.map(|(word, _)| word).chain(tmpfs.options.iter().map(String::as_str)).collect();
    mount("tmpfs", "tmpfs", tmpfs.destination.as_str(), &words)
}
