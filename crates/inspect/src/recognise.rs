//! Whose a group is, from its path alone: every engine names its groups in its own way. Pure.
//!
//! Sources: the names that the engines' own code gives, as seen on hosts with cgroupfs and with systemd as manager.

use std::path::Path;

use crate::snapshot::Engine;

/// What a group's path says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recognised {
    /// Who runs what is in it; [`Engine::Unknown`] where only the id tells that it is a container.
    pub engine: Engine,
    /// The engine's id or name for it.
    pub id: String,
    /// How many names of the path lead to the container's group.
    pub depth: usize,
}

/// Looks at a path, as /proc/PID/cgroup shows it. Of containers in containers it is the innermost.
#[must_use]
pub fn recognise(path: &Path) -> Option<Recognised> {
    let names: Vec<&str> = path.to_str()?.split('/').filter(|name| !name.is_empty()).collect();
    let at = |depth: usize| depth.checked_sub(1).and_then(|index| names.get(index)).copied().unwrap_or_default();
    (1..=names.len()).rev().find_map(|depth| {
        let (engine, id) = of_name(at(depth), at(depth - 1), |name| {
            names.get(..depth)?.iter().find(|one| one.starts_with(name)).copied()
        })?;
        Some(Recognised { engine, id, depth })
    })
}

/// What begins the name of a group or a scope that stands for one container, by its engine.
const PREFIXES: [(&str, Engine); 7] = [
    ("docker-", Engine::Docker),
    ("libpod-", Engine::Podman),
    ("cri-containerd-", Engine::Containerd),
    ("nerdctl-", Engine::Containerd),
    ("crio-", Engine::Crio),
    ("carboy-", Engine::Carboy),
    ("lxc.payload.", Engine::Lxc),
];

fn of_name<'n>(name: &str, above: &str, any: impl Fn(&str) -> Option<&'n str>) -> Option<(Engine, String)> {
    let bare = name.strip_suffix(".scope").unwrap_or(name);
    for (prefix, engine) in PREFIXES {
        let Some(id) = bare.strip_prefix(prefix) else { continue };
        if engine == Engine::Lxc || is_id(id) {
            return Some((engine, id.to_owned()));
        }
    }
    // libvirt's virtual machines are registered as machines too.
    let machine =
        bare.strip_prefix("machine-").filter(|machine| name.ends_with(".scope") && !machine.starts_with("qemu"));
    if let Some(machine) = machine {
        return Some((Engine::Nspawn, unescape(machine)));
    }
    let service = name.strip_prefix("systemd-nspawn@").and_then(|name| name.strip_suffix(".service"));
    if let Some(machine) = service {
        return Some((Engine::Nspawn, unescape(machine)));
    }
    // The engine's own monitor is in a group of that name too.
    if above == "lxc" && !name.is_empty() {
        return Some((Engine::Lxc, name.to_owned()));
    }
    if !is_id(bare) {
        return None;
    }
    let engine = match above {
        "docker" => Engine::Docker,
        "libpod_parent" => Engine::Podman,
        _ if any("kubepods").is_some() => Engine::Containerd,
        _ => Engine::Unknown,
    };
    Some((engine, bare.to_owned()))
}

/// Whether it is an id as all engines of OCI make them.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// systemd writes characters that cannot be in a unit's name as `\x2d`. systemd.unit(5).
fn unescape(name: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.strip_prefix(b"x").and_then(|digits| digits.get(..2)).filter(|_| *first == b'\\');
        let byte = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { behind.get(3..).unwrap_or_default() } else { behind };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn seen(path: &str) -> Option<(Engine, String, usize)> {
        recognise(Path::new(&path.replace("ID", ID))).map(|one| (one.engine, one.id.replace(ID, "ID"), one.depth))
    }

    #[test]
    fn each_engines_groups_are_known_with_both_managers() {
        for (path, engine, id, depth) in [
            ("/docker/ID", Engine::Docker, "ID", 2),
            ("/system.slice/docker-ID.scope", Engine::Docker, "ID", 2),
            ("/docker/ID/init.scope", Engine::Docker, "ID", 2),
            ("/libpod_parent/libpod-ID", Engine::Podman, "ID", 2),
            ("/machine.slice/libpod-ID.scope/container", Engine::Podman, "ID", 2),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", Engine::Podman, "ID", 5),
            ("/kubepods/burstable/pod8f/ID", Engine::Containerd, "ID", 4),
            ("/kubepods.slice/kubepods-pod8f.slice/cri-containerd-ID.scope", Engine::Containerd, "ID", 3),
            ("/kubepods.slice/kubepods-pod8f.slice/crio-ID.scope", Engine::Crio, "ID", 3),
            ("/carboy-ID", Engine::Carboy, "ID", 1),
            ("/system.slice/carboy-ID.scope", Engine::Carboy, "ID", 2),
            ("/team/ID", Engine::Unknown, "ID", 2),
            ("/lxc.payload.web/system.slice/ssh.service", Engine::Lxc, "web", 1),
            ("/lxc/web", Engine::Lxc, "web", 2),
            ("/machine.slice/machine-my\\x2dweb.scope", Engine::Nspawn, "my-web", 2),
            ("/machine.slice/systemd-nspawn@web.service/payload", Engine::Nspawn, "web", 2),
        ] {
            assert_eq!(seen(path), Some((engine, id.to_owned(), depth)), "{path}");
        }
    }

    #[test]
    fn the_innermost_of_containers_in_containers_counts() {
        let other = ID.replace('0', "f");
        let path = format!("/docker/{ID}/libpod_parent/libpod-{other}");
        assert_eq!(recognise(Path::new(&path)).unwrap().id, other);
    }

    #[test]
    fn monitors_services_and_short_names_are_no_containers() {
        for path in [
            "/",
            "/docker",
            "/libpod_parent/conmon",
            "/machine.slice/libpod-conmon-ID.scope",
            "/system.slice/docker.service",
            "/lxc.monitor.web",
            "/team/0123456789ab",
            "/system.slice/docker-0123.scope",
        ] {
            assert_eq!(seen(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_can_be_looked_at(path: String) {
            if let Some(found) = recognise(Path::new(&path)) {
                prop_assert!(!found.id.is_empty() || found.engine == Engine::Nspawn || found.engine == Engine::Lxc);
                prop_assert!(found.depth <= path.split('/').count());
            }
        }
    }
}
