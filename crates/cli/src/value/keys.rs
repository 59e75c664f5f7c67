//! Keys that detach from a terminal, as the bytes that they send. ascii(7).

use error::Result;

use crate::flags::Given;

/// `ctrl-p,ctrl-q` or `a,b`; nothing for no keys.
pub(crate) fn detach_keys(given: Given<'_>) -> Result<Vec<u8>> {
    if given.value.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Option<Vec<u8>> = given.value.split(',').map(key).collect();
    keys.ok_or_else(|| {
        let hint = "use single characters or ctrl- with a letter or one of @ [ \\ ] ^ _, such as ctrl-p,ctrl-q";
        given.refused("are no keys").hint(hint).into()
    })
}

fn key(word: &str) -> Option<u8> {
    let single = |word: &str| match word.as_bytes() {
        [byte] if byte.is_ascii() => Some(*byte),
        _ => None,
    };
    match word.strip_prefix("ctrl-") {
        None if word == "DEL" => Some(127),
        None => single(word),
        // The control key takes the bits above the lowest five away.
        Some(with) => single(with)
            .map(|byte| byte.to_ascii_uppercase())
            .filter(|byte| (64..96).contains(byte))
            .map(|byte| byte & 31),
    }
}
