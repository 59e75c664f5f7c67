//! Namespaces and id maps: `--pid`, `--net` and their like, `--uidmap`, `--gidmap`.

use std::path::PathBuf;

use engine::options::{IdMapping, Join, Namespace};
use error::Result;

use crate::flags::Given;

/// `private`, `host`, `container:NAME`, `pid:N` or `path:/FILE`; an empty word is the default.
pub(crate) fn namespace(given: Given<'_>, default: Namespace) -> Result<Namespace> {
    let hint = "use private, host, container:NAME, pid:N or path:/FILE";
    let joined = |join| Ok(Namespace::Joined(join));
    match given.value {
        "" => return Ok(default),
        "private" => return Ok(Namespace::Private),
        "host" => return Ok(Namespace::Host),
        _ => {}
    }
    match given.value.split_once(':') {
        Some(("container", name)) if !name.is_empty() => joined(Join::Container(name.to_owned())),
        Some(("pid", number)) => match number.parse::<i32>().ok().and_then(|pid| u32::try_from(pid).ok()) {
            Some(process) if process > 0 => joined(Join::Process(process)),
            _ => Err(given.refused("names no process").hint("use pid: and a number from 1 up").into()),
        },
        Some(("path", path)) if path.starts_with('/') => joined(Join::Path(PathBuf::from(path))),
        Some(("path", _)) => Err(given.refused("is no absolute path").hint("use path:/FILE").into()),
        _ => Err(given.refused("names no namespace").hint(hint).into()),
    }
}

/// As [`namespace`], with Docker's `shareable`, which every ipc namespace is here.
pub(crate) fn ipc(given: Given<'_>) -> Result<Namespace> {
    match given.value {
        "shareable" => Ok(Namespace::Private),
        _ => namespace(given, Namespace::Private),
    }
}

/// `INSIDE:HOST:SIZE`.
pub(crate) fn mapping(given: Given<'_>) -> Result<IdMapping> {
    let numbers: Option<Vec<u32>> = given.value.split(':').map(|number| number.parse().ok()).collect();
    let mapping = match numbers.as_deref() {
        Some(&[container_id, host_id, size]) => Some(IdMapping { container_id, host_id, size }),
        _ => None,
    };
    let whole = |mapping: &IdMapping| {
        let IdMapping { container_id, host_id, size } = *mapping;
        size > 0 && container_id.checked_add(size).is_some() && host_id.checked_add(size).is_some()
    };
    mapping.filter(whole).ok_or_else(|| {
        let hint = "use the first id inside, the first on the host and how many: 0:100000:65536";
        given.refused("is no range of ids").hint(hint).into()
    })
}
