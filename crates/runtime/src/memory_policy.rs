//! From which memory nodes the process takes its memory. Runtime specification, config-linux.md "Memory policy";
//! set_mempolicy(2).

use cgroup::cpuset::Set;
use child::Step;
use error::{Refused, Result};
use namespace::steps::Steps;
use oci::{MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode};

/// Whether a mode takes nodes.
#[derive(PartialEq, Eq)]
enum Nodes {
    Needed,
    Possible,
    Forbidden,
}

/// Plans the policy.
///
/// # Errors
/// Refused for nodes that the mode does not take or that are no list, and for flags that exclude each other.
pub(crate) fn plan(policy: &MemoryPolicy, steps: &mut Steps<'_>) -> Result<()> {
    let list = policy.nodes.as_deref().unwrap_or_default();
    let set = Set::parse(list);
    let Some(mask) = set.as_ref().and_then(Set::mask) else {
        return refused("nodes", list, "is not a list of memory nodes such as 0-3,7");
    };
    let named = set.is_some_and(|set| !set.is_empty());
    let (number, nodes) = mode(policy.mode);
    match nodes {
        Nodes::Needed if !named => return refused("nodes", list, "is empty, and the mode needs a node"),
        Nodes::Forbidden if named => return refused("nodes", list, "is not empty, and the mode takes no node"),
        _ => {}
    }
    let has = |flag| policy.flags.contains(&flag);
    if has(MemoryPolicyFlag::RelativeNodes) && has(MemoryPolicyFlag::StaticNodes) {
        let reason = "has MPOL_F_RELATIVE_NODES and MPOL_F_STATIC_NODES, which exclude each other";
        return refused("flags", "", reason);
    }
    let mode = policy.flags.iter().fold(number, |mode, flag| mode | bit(*flag));
    let nodes = if named { steps.slice(&mask) } else { &[] };
    steps.push(Step::MemoryPolicy { mode, nodes });
    Ok(())
}

fn refused(name: &str, value: &str, reason: &str) -> Result<()> {
    Err(Refused::new(format!("linux.memoryPolicy.{name}"), value, reason).into())
}

/// <linux/mempolicy.h> `MPOL_*`.
const fn mode(mode: MemoryPolicyMode) -> (u32, Nodes) {
    match mode {
        MemoryPolicyMode::Default => (0, Nodes::Forbidden),
        MemoryPolicyMode::Preferred => (1, Nodes::Possible),
        MemoryPolicyMode::Bind => (2, Nodes::Needed),
        MemoryPolicyMode::Interleave => (3, Nodes::Needed),
        MemoryPolicyMode::Local => (4, Nodes::Forbidden),
        MemoryPolicyMode::PreferredMany => (5, Nodes::Needed),
        MemoryPolicyMode::WeightedInterleave => (6, Nodes::Needed),
    }
}

const fn bit(flag: MemoryPolicyFlag) -> u32 {
    match flag {
        MemoryPolicyFlag::NumaBalancing => 1 << 13,
        MemoryPolicyFlag::RelativeNodes => 1 << 14,
        MemoryPolicyFlag::StaticNodes => 1 << 15,
    }
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;

    use super::*;

    fn planned(json: &str) -> Result<(u32, Vec<u64>)> {
        let arena = Bump::new();
        let mut steps = Steps::new(&arena);
        plan(&oci::document::parse("memoryPolicy", json.as_bytes()).unwrap(), &mut steps)?;
        match steps.finish().as_slice() {
            [Step::MemoryPolicy { mode, nodes }] => Ok((*mode, nodes.to_vec())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_mode_has_the_nodes_that_it_takes() {
        let bound = planned(r#"{"mode":"MPOL_BIND","nodes":"0,2","flags":["MPOL_F_STATIC_NODES"]}"#).unwrap();
        assert_eq!(bound, (2 | 1 << 15, vec![0b101]));
        assert_eq!(planned(r#"{"mode":"MPOL_LOCAL"}"#).unwrap(), (4, vec![]));
        assert_eq!(planned(r#"{"mode":"MPOL_PREFERRED"}"#).unwrap(), (1, vec![]));
        for (json, field) in [
            (r#"{"mode":"MPOL_INTERLEAVE"}"#, "linux.memoryPolicy.nodes"),
            (r#"{"mode":"MPOL_DEFAULT","nodes":"0"}"#, "linux.memoryPolicy.nodes 0"),
            (r#"{"mode":"MPOL_BIND","nodes":"a"}"#, "linux.memoryPolicy.nodes a"),
            (
                r#"{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_STATIC_NODES","MPOL_F_RELATIVE_NODES"]}"#,
                "linux.memoryPolicy.flags",
            ),
        ] {
            let said = planned(json).unwrap_err().to_string();
            assert!(said.contains(field), "{said}");
        }
    }
}
