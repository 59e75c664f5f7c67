//! The layer table, and the two rules about it. The same table stands in ARCHITECTURE.md.

use error::Result;

use super::{Finding, Tree};

/// A crate uses only lower layers, never a neighbour.
const LAYERS: &[&[&str]] = &[
    &["sys", "error"],
    &["child", "oci", "procfs", "netlink"],
    &["namespace", "cgroup", "seccomp", "xtables"],
    &["runtime", "image", "network", "inspect"],
    &["engine"],
    &["api", "tui", "web"],
    &["cli", "oci-runtime"],
];

/// Crates that are no part of carboy and may use every layer; no layer uses them.
const OUTSIDE: &[&str] = &["e2e", "xtask"];

/// The layer of the crate in the folder `krate`, counted from 0.
pub(super) fn of(krate: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&krate))
}

/// A crate depends on lower layers only, in tests too.
pub(super) fn layers_go_down(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let Some(layer) = of(&package.krate) else { continue };
        for used in &package.uses {
            let what = match of(used) {
                Some(lower) if lower < layer => continue,
                Some(same) if same == layer => format!("{} uses its neighbour {used} (layer {layer})", package.krate),
                Some(above) => format!("{} (layer {layer}) uses {used} above it (layer {above})", package.krate),
                None => format!("{} uses {used}, which is outside the layers", package.krate),
            };
            findings.push(Finding::new(&package.manifest, 1, what));
        }
    }
    Ok(findings)
}

/// Every crate has one place in the table.
pub(super) fn every_crate_has_a_layer(tree: &Tree) -> Result<Vec<Finding>> {
    let unknown = tree.packages.iter().filter(|package| {
        let krate = package.krate.as_str();
        of(krate).is_none() && !OUTSIDE.contains(&krate)
    });
    Ok(unknown.map(|package| Finding::new(&package.manifest, 1, format!("{} has no layer", package.krate))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::graph::Package;

    fn check(krate: &str, uses: &[&str]) -> Vec<String> {
        let tree = Tree { packages: vec![Package::sample(krate, uses, &[])], ..Tree::default() };
        let findings = layers_go_down(&tree).unwrap().into_iter().chain(every_crate_has_a_layer(&tree).unwrap());
        findings.map(|finding| finding.what).collect()
    }

    #[test]
    fn lower_layers_may_be_used() {
        assert!(check("runtime", &["sys", "child", "cgroup"]).is_empty());
        assert!(check("xtask", &["cli", "error"]).is_empty());
    }

    #[test]
    fn neighbours_upper_layers_and_outsiders_may_not() {
        assert_eq!(check("runtime", &["image"]), ["runtime uses its neighbour image (layer 3)"]);
        assert_eq!(check("procfs", &["cgroup"]), ["procfs (layer 1) uses cgroup above it (layer 2)"]);
        assert_eq!(check("cli", &["e2e"]), ["cli uses e2e, which is outside the layers"]);
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        assert_eq!(check("drawer", &[]), ["drawer has no layer"]);
    }

    #[test]
    fn architecture_shows_the_table() {
        let text = std::fs::read_to_string(crate::root().join("ARCHITECTURE.md")).unwrap();
        for (layer, crates) in LAYERS.iter().enumerate() {
            let starts = format!("{layer}  ");
            let line = text.lines().find(|line| line.starts_with(&starts)).unwrap_or_default();
            assert!(crates.iter().all(|krate| line.contains(krate)), "layer {layer} is not {crates:?} in: {line}");
        }
    }
}
