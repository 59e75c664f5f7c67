//! SHA-256 of bytes, at once or while they pass, and the names of stacked layers.

use std::io::{self, Read, Write};

use oci::image::Digest;
use sha2::{Digest as _, Sha256};

/// The digest of bytes that are at hand.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::of_bytes(Sha256::digest(bytes).into())
}

/// Takes bytes as they pass; it is a sink to write to, too.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    state: Sha256,
    bytes: u64,
}

impl Hasher {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    /// How many bytes it took.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of all that it took.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest::of_bytes(self.state.finalize().into())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader whose bytes are hashed as they are read.
pub struct Hashing<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Hashing<R> {
    /// Reads from `from`.
    pub fn new(from: R) -> Self {
        Self { from, hasher: Hasher::new() }
    }

    /// The reader, and what has been seen of its bytes.
    pub fn into_parts(self) -> (R, Hasher) {
        (self.from, self.hasher)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// The chain ids of layers from the lowest up, given their uncompressed digests: each names its layer together with all
/// below it. OCI image specification, config.md "Layer ChainID".
#[must_use]
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut ids: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let id = match ids.last() {
            Some(below) => sha256(format!("{below} {diff_id}").as_bytes()),
            None => diff_id.clone(),
        };
        ids.push(id);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(sha256(b"").as_str(), EMPTY);
        assert_eq!(sha256(b"abc").as_str(), ABC);
    }

    #[test]
    fn a_stream_has_the_digest_and_the_size_of_its_whole() {
        let mut hashing = Hashing::new(&b"abc"[..]);
        let mut sink = Hasher::new();
        io::copy(&mut hashing, &mut sink).unwrap();
        assert_eq!(sink.bytes(), 3);
        assert_eq!(sink.finish().as_str(), ABC);
        assert_eq!(hashing.into_parts().1.finish().as_str(), ABC);
    }

    #[test]
    fn the_chain_id_of_the_lowest_layer_is_its_own_digest() {
        let (lowest, next) = (sha256(b""), sha256(b"abc"));
        let chain = chain_ids(&[lowest.clone(), next]);
        assert_eq!(chain.first(), Some(&lowest));
        // printf 'sha256:e3b0… sha256:ba78…' | sha256sum
        assert_eq!(chain.get(1), Some(&sha256(format!("{EMPTY} {ABC}").as_bytes())));
        assert!(chain_ids(&[]).is_empty());
    }
}
