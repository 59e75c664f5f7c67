//! What layers hold and what it costs: which file comes from which layer, and what of it a later one hides.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;

use error::Result;

use super::Remembers;
use crate::tar::Kind;
use crate::unpack::split;
use crate::walk::{Mounts, Rights, Tree, Walk};

/// An entry of an unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its path from the root on, without a leading slash.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: HeldKind,
}

/// What an entry is, as far as it matters to other layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldKind {
    /// A file of so many bytes; another name of a file has none, and so have links and nodes.
    File {
        /// Its bytes.
        bytes: u64,
    },
    /// A directory, which is merged with those below.
    Directory,
    /// A directory that hides all that is below it.
    Opaque,
    /// The removal of a name.
    Whiteout,
}

/// What a layer costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    /// Files that it has, links and nodes among them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that later layers hide, which nobody sees.
    pub hidden_files: u64,
    /// The bytes of these.
    pub hidden_bytes: u64,
    /// Names that it removes from the layers below.
    pub removals: u64,
}

/// What an unpacked layer has, in the order of paths.
///
/// # Errors
/// `Kernel` for what cannot be read.
pub fn read_layer(files: BorrowedFd<'_>, remembers: Remembers) -> Result<Vec<Held>> {
    let tree = Tree { top: files, name: b"", mounts: Mounts::LeftOut, owners: &|owners| owners, rights: Rights::Kept };
    let mut walk = Walk::new(&tree)?.with_attributes_of(remembers.prefix());
    let mut held = Vec::new();
    while let Some(entry) = walk.next()? {
        let is_opaque = || entry.xattrs.iter().any(|(name, _)| name == remembers.opaque().as_bytes());
        let kind = match entry.kind {
            Kind::CharacterDevice { major: 0, minor: 0 } => HeldKind::Whiteout,
            Kind::Directory if is_opaque() => HeldKind::Opaque,
            Kind::Directory => HeldKind::Directory,
            Kind::File { size, .. } => HeldKind::File { bytes: size },
            _ => HeldKind::File { bytes: 0 },
        };
        held.push(Held { path: entry.name, kind });
    }
    Ok(held)
}

/// What each of the layers costs, and which of its entries later layers hide. The lowest layer stands first.
#[must_use]
pub fn costs(layers: &[Vec<Held>]) -> Vec<(Cost, BTreeSet<&[u8]>)> {
    let mut above = Above::default();
    let mut costs: Vec<_> = layers
        .iter()
        .rev()
        .map(|layer| {
            let cost = above.cost(layer);
            above.add(layer);
            cost
        })
        .collect();
    costs.reverse();
    costs
}

/// What the layers looked at so far have.
#[derive(Default)]
struct Above<'l> {
    /// Whether it is a directory that is merged with those below.
    entries: BTreeMap<&'l [u8], bool>,
}

impl<'l> Above<'l> {
    fn add(&mut self, layer: &'l [Held]) {
        for Held { path, kind } in layer {
            let merges = *kind == HeldKind::Directory;
            self.entries.entry(path).and_modify(|all| *all &= merges).or_insert(merges);
        }
    }

    fn cost(&self, layer: &'l [Held]) -> (Cost, BTreeSet<&'l [u8]>) {
        let (mut cost, mut hidden) = (Cost::default(), BTreeSet::new());
        for Held { path, kind } in layer {
            match kind {
                HeldKind::Directory => {}
                HeldKind::Opaque | HeldKind::Whiteout => cost.removals += 1,
                HeldKind::File { bytes } => {
                    cost.files += 1;
                    cost.bytes += bytes;
                    if self.hides(path) {
                        cost.hidden_files += 1;
                        cost.hidden_bytes += bytes;
                        hidden.insert(path.as_slice());
                    }
                }
            }
        }
        (cost, hidden)
    }

    /// Whether a file is not seen: another entry has its name, or a directory of it is no longer the one that it is in.
    fn hides(&self, path: &[u8]) -> bool {
        // The root itself is opaque where a layer has all that those below it show.
        if self.entries.get(&b""[..]) == Some(&false) {
            return true;
        }
        let mut directory = split(path).0;
        while !directory.is_empty() {
            if self.entries.get(directory) == Some(&false) {
                return true;
            }
            directory = split(directory).0;
        }
        self.entries.contains_key(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_layer_that_has_all_is_hidden() {
        const FILE: HeldKind = HeldKind::File { bytes: 10 };
        let layers = [layer(&[("a", FILE), ("b", FILE)]), layer(&[("", HeldKind::Opaque), ("a", FILE)])];
        let [(below, _), (above, _)] = costs(&layers).try_into().unwrap();
        assert_eq!((below.hidden_files, below.hidden_bytes), (2, 20));
        assert_eq!((above.files, above.hidden_files, above.removals), (1, 0, 1));
    }

    fn layer(entries: &[(&str, HeldKind)]) -> Vec<Held> {
        entries.iter().map(|(path, kind)| Held { path: path.as_bytes().to_vec(), kind: *kind }).collect()
    }

    #[test]
    fn what_later_layers_hide_is_counted_where_it_is() {
        const FILE: HeldKind = HeldKind::File { bytes: 10 };
        let layers = [
            layer(&[
                ("a", HeldKind::Directory),
                ("a/b", FILE),
                ("a/c", FILE),
                ("d", HeldKind::Directory),
                ("d/e", FILE),
            ]),
            layer(&[("a", HeldKind::Directory), ("a/b", HeldKind::File { bytes: 3 }), ("f", FILE)]),
            layer(&[("a", HeldKind::Directory), ("a/c", HeldKind::Whiteout), ("d", HeldKind::Opaque), ("d/g", FILE)]),
        ];
        let costs = costs(&layers);
        let hidden: Vec<Vec<&[u8]>> = costs.iter().map(|(_, hidden)| hidden.iter().copied().collect()).collect();
        assert_eq!(hidden, [vec![&b"a/b"[..], b"a/c", b"d/e"], vec![], vec![]]);
        let of = |number: usize| costs.get(number).map(|(cost, _)| cost.clone()).unwrap_or_default();
        assert_eq!(of(0), Cost { files: 3, bytes: 30, hidden_files: 3, hidden_bytes: 30, removals: 0 });
        assert_eq!(of(1), Cost { files: 2, bytes: 13, ..Cost::default() });
        assert_eq!(of(2), Cost { files: 1, bytes: 10, removals: 2, ..Cost::default() });
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_hides_what_was_in_it() {
        let layers = [
            layer(&[("a", HeldKind::Directory), ("a/b", HeldKind::File { bytes: 5 })]),
            layer(&[("a", HeldKind::File { bytes: 1 })]),
        ];
        assert_eq!(costs(&layers).first().map(|(cost, _)| cost.hidden_bytes), Some(5));
    }
}
