//! What an image is made of: its layers, what each of them costs, and what of it is shared or hidden.

use std::os::fd::AsFd as _;

use error::Result;
use image::layer::{Cost, Held, HeldKind, Remembers, costs, read_layer};
use oci::image::Digest;

use super::{Named, open_folder};
use crate::containers::Engine;
use crate::rootless;

/// A layer of an image.
#[derive(Debug)]
pub struct TreeLayer {
    /// Its chain id.
    pub chain: Digest,
    /// The command that made it, where the image tells.
    pub made_by: Option<String>,
    /// What it costs.
    pub cost: Cost,
    /// How many other images of this host have it.
    pub sharers: usize,
    /// Its entries, and whether a later layer hides them.
    pub entries: Vec<(Held, Seen)>,
}

/// Whether an entry is part of what a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is.
    Yes,
    /// A later layer hides it.
    Hidden,
}

impl Engine {
    /// The layers of an image, the lowest first.
    ///
    /// # Errors
    /// A kernel error; corrupt where the image cannot be read.
    pub fn image_tree(&self, named: &Named) -> Result<Vec<TreeLayer>> {
        let remembers = if rootless::is_in_user_namespace()? { Remembers::AsUser } else { Remembers::AsTrusted };
        let chains = &named.image.layers;
        let mut layers = Vec::with_capacity(chains.len());
        for chain in chains {
            let files = open_folder(&self.store.layer_files(chain))?;
            let mut held = read_layer(files.as_fd(), remembers)?;
            if self.store.layer_record(chain)?.is_some_and(|layer| layer.merged) {
                held.insert(0, Held { path: Vec::new(), kind: HeldKind::Opaque });
            }
            layers.push(held);
        }
        let others: Vec<Named> =
            self.images()?.whole.into_iter().filter(|other| other.image.id != named.image.id).collect();
        let config = self.store.image_config(&named.image.id)?;
        let made = config.history.into_iter().filter(|step| !step.empty_layer).map(|step| step.created_by);
        let made = made.chain(std::iter::repeat(None));
        let tree = chains.iter().zip(made).zip(layers.iter().zip(costs(&layers)));
        Ok(tree
            .map(|((chain, made_by), (held, (cost, hidden)))| {
                let seen = |held: &Held| if hidden.contains(&held.path[..]) { Seen::Hidden } else { Seen::Yes };
                TreeLayer {
                    chain: chain.clone(),
                    made_by,
                    cost,
                    sharers: others.iter().filter(|other| other.image.layers.contains(chain)).count(),
                    entries: held.iter().map(|held| (held.clone(), seen(held))).collect(),
                }
            })
            .collect())
    }
}
