//! The group that a container's processes manage themselves, where the annotation asks for one.

use cgroup::payload;
use cgroup::plan::Step;
use error::{Refused, Result};
use namespace::Relation;
use oci::{Config, IdMapping, NamespaceKind};

use crate::facts::Facts;

/// crun's annotation: the name of a group within the container's, in which its first process is.
pub const ANNOTATION: &str = "run.oci.delegate-cgroup";

/// The steps that make the group, and in the end enable controllers for it; `None` where none is asked for.
///
/// # Errors
/// Refused, naming the annotation, for what is no name, on a host without v2, and for a user who has no id outside.
pub(crate) fn plan(config: &Config, facts: &Facts) -> Result<Option<[Step; 2]>> {
    let Some(name) = config.annotations.get(ANNOTATION) else { return Ok(None) };
    payload::plan(&facts.hierarchies, &facts.group, (ANNOTATION, name), owner(config)?).map(Some)
}

/// The container's user and group as ids of the host.
fn owner(config: &Config) -> Result<(u32, u32)> {
    let user = config.process.as_ref().map(|process| process.user.clone()).unwrap_or_default();
    let linux = config.linux.clone().unwrap_or_default();
    match namespace::relation(config, NamespaceKind::User) {
        Relation::Host => Ok((user.uid, user.gid)),
        Relation::Own => Ok((outside(&linux.uid_mappings, user.uid)?, outside(&linux.gid_mappings, user.gid)?)),
        Relation::Joined(path) => {
            let reason = "needs a user namespace of the container's own or the host's, to know whose the group is";
            Err(Refused::new(ANNOTATION, path, reason).into())
        }
    }
}

fn outside(mappings: &[IdMapping], id: u32) -> Result<u32> {
    let within = |line: &&IdMapping| id.checked_sub(line.container_id).is_some_and(|above| above < line.size);
    let found = mappings.iter().find(within);
    found
        .and_then(|line| line.host_id.checked_add(id - line.container_id))
        .ok_or_else(|| Refused::new(ANNOTATION, id.to_string(), "belongs to a user who is not mapped").into())
}
