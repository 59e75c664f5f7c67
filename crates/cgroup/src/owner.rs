//! Whose a container's groups are, written on one of them as an extended attribute: cgroupfs keeps it as long as the group,
//! whatever becomes of the folders that tell of the container. xattr(7), fs/kernfs/inode.c.

use error::Result;
use procfs::descriptor::path_below;
use rustix::buffer::spare_capacity;
use rustix::fs::{XattrFlags, getxattr, setxattr};

use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::path::GroupPath;
use crate::tree;

/// Nobody in a container can write it: it takes `CAP_SYS_ADMIN` on the host.
const OF_ROOT: &str = "trusted.carboy";
/// Whoever has the group can.
const OF_USERS: &str = "user.carboy";
/// Groups that are nested deeper are nobody's whom carboy knows.
const DEEPEST: usize = 16;
/// The most that is read.
const LONGEST: usize = 16 << 10;

/// Writes on a container's groups whose they are: on the one of v2, or where there is none on the first. Where a kernel keeps no
/// such attribute, or not for this user, nothing is written: the groups are found as long as the container's folder is there.
///
/// # Errors
/// A kernel error where the hierarchy cannot be opened.
pub fn write(hierarchies: &Hierarchies, path: &GroupPath, owner: &str) -> Result<()> {
    let usable = || hierarchies.iter().map(|(_, one)| one).filter(|one| one.obstacle.is_none());
    let unified = hierarchies.unified().and_then(|index| hierarchies.at(index).ok());
    let Some(hierarchy) = unified.filter(|one| one.obstacle.is_none()).or_else(|| usable().next()) else {
        return Ok(());
    };
    let root = hierarchy.open()?;
    let _ = setxattr(path_below(&root, path.relative()), name(hierarchies), owner.as_bytes(), XattrFlags::empty());
    Ok(())
}

fn name(hierarchies: &Hierarchies) -> &'static str {
    if hierarchies.are_a_users() { OF_USERS } else { OF_ROOT }
}

/// The groups on which it is written whose they are, with that, each once. What lies below such a group is not looked at.
///
/// # Errors
/// A kernel error where a hierarchy cannot be opened.
pub fn find(hierarchies: &Hierarchies) -> Result<Vec<(GroupPath, String)>> {
    let mut found: Vec<(GroupPath, String)> = Vec::new();
    for (_, hierarchy) in hierarchies.iter().filter(|(_, one)| one.obstacle.is_none()) {
        for (path, owner) in find_in(hierarchy, name(hierarchies))? {
            if !found.iter().any(|(known, _)| *known == path) {
                found.push((path, owner));
            }
        }
    }
    Ok(found)
}

fn find_in(hierarchy: &Hierarchy, name: &str) -> Result<Vec<(GroupPath, String)>> {
    let root = hierarchy.open()?;
    let mut found = Vec::new();
    let mut left = vec![hierarchy.top.clone().unwrap_or_else(GroupPath::root)];
    while let Some(path) = left.pop() {
        let mut text = Vec::with_capacity(LONGEST);
        if let Ok(1..) = getxattr(path_below(&root, path.relative()), name, spare_capacity(&mut text)) {
            found.push((path, String::from_utf8_lossy(&text).into_owned()));
            continue;
        }
        if path.ancestors().len() >= DEEPEST {
            continue;
        }
        // One that is removed meanwhile has none.
        let Ok(names) = tree::open(&root, path.relative()).and_then(tree::children) else { continue };
        left.extend(names.iter().filter_map(|name| path.child("a cgroup", name.to_str().ok()?).ok()));
    }
    Ok(found)
}

#[cfg(test)]
mod kernel {
    use super::*;

    #[test]
    fn what_is_written_on_a_group_is_found_and_nothing_below_it() {
        let hierarchies = Hierarchies::read().unwrap();
        let path = GroupPath::parse("a test", &format!("/carboy-owner-{}", std::process::id())).unwrap();
        let below = path.child("a test", "below").unwrap();
        let unified = hierarchies.unified().map_or(crate::HierarchyIndex(0), |index| index);
        let point = &hierarchies.at(unified).unwrap().mount_point;
        let folders = [&path, &below].map(|path| point.join(path.relative()));
        folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
        write(&hierarchies, &path, "mine").unwrap();
        write(&hierarchies, &below, "not told").unwrap();
        let found = find(&hierarchies).unwrap();
        folders.iter().rev().for_each(|folder| std::fs::remove_dir(folder).unwrap());
        assert!(found.contains(&(path.clone(), "mine".to_owned())), "{found:?}");
        assert!(!found.iter().any(|(found, _)| *found == below), "{found:?}");
        write(&hierarchies, &path, "nobody's").unwrap();
        assert!(!find(&hierarchies).unwrap().iter().any(|(found, _)| *found == path));
    }
}
