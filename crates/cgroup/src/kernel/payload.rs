//! A group that a container's processes manage themselves.

use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::payload;

#[test]
fn a_group_is_made_for_its_owner_and_has_the_controllers_of_the_one_above() {
    let (_container, mut groups) = made(&name(), "{}");
    let hierarchies = groups.hierarchies.clone();
    let steps = payload::plan(&hierarchies, &groups.path.clone(), ("field", "/payload"), (33, 44)).unwrap();
    steps.iter().for_each(|step| groups.apply(step).unwrap());
    let index = hierarchies.unified().unwrap();
    let folder = hierarchies.at(index).unwrap().mount_point.join(groups.path.child("", "payload").unwrap().relative());
    for name in ["", file::PROCS, "cgroup.subtree_control"] {
        let found = std::fs::metadata(folder.join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (33, 44), "{name}");
    }
    let available = |folder: &std::path::Path| std::fs::read_to_string(folder.join("cgroup.controllers")).unwrap();
    assert_eq!(available(&folder), available(folder.parent().unwrap()));
    assert_eq!(groups.remove(&[]), []);
}
