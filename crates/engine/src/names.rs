//! New ids and names.

use error::{Doing, Result};
use rustix::rand::{GetRandomFlags, getrandom};

/// A new id: 64 hexadecimal digits, as Docker's.
///
/// # Errors
/// getrandom(2).
pub fn new_id() -> Result<String> {
    let bytes: [u8; 32] = random()?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect())
}

/// A new name that a person can say: an adjective and a vessel.
///
/// # Errors
/// getrandom(2).
pub fn new_name() -> Result<String> {
    let [first, second, third]: [u8; 3] = random()?;
    let pick = |words: &'static [&'static str], byte: u8| words.get(usize::from(byte) % words.len()).copied();
    let (adjective, vessel) = (pick(&ADJECTIVES, first).unwrap_or("plain"), pick(&VESSELS, second).unwrap_or("jar"));
    Ok(format!("{adjective}_{vessel}{}", third % 100))
}

/// Bytes made by chance.
///
/// # Errors
/// getrandom(2).
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom(&mut bytes, GetRandomFlags::empty()).doing(|| "read random bytes")?;
    Ok(bytes)
}

/// A number made by chance, at most `most`.
///
/// # Errors
/// getrandom(2).
pub(crate) fn chance(most: u16) -> Result<u16> {
    let number = u32::from_ne_bytes(random()?);
    Ok(u16::try_from(number % (u32::from(most) + 1)).unwrap_or(most))
}

const ADJECTIVES: [&str; 32] = [
    "amber", "ample", "bold", "brisk", "calm", "clear", "cool", "crisp", "deep", "eager", "fair", "fine", "fleet",
    "fresh", "glad", "grand", "keen", "kind", "light", "lucid", "mild", "neat", "noble", "plain", "proud", "quick",
    "quiet", "sharp", "solid", "still", "swift", "warm",
];

const VESSELS: [&str; 32] = [
    "alembic", "amphora", "barrel", "basin", "beaker", "bottle", "bowl", "bucket", "canteen", "carafe", "cask",
    "chalice", "crucible", "cruet", "cup", "decanter", "demijohn", "ewer", "flagon", "flask", "goblet", "growler",
    "jar", "jug", "keg", "kettle", "mug", "phial", "pitcher", "retort", "tankard", "urn",
];
