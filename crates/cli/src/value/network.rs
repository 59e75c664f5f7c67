//! What marks a container's packets: a class for tc(8), priorities of interfaces.

use error::Result;

use crate::flags::Given;

/// A class: `0x100001`, `1048577`, or `10:1`, which is how tc writes both halves, in hexadecimal.
pub(crate) fn class(given: Given<'_>) -> Result<u32> {
    let hexadecimal = |word: &str| {
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(word, 16).ok().filter(|_| digits)
    };
    let half = |word: &str| hexadecimal(word).filter(|half| *half <= 0xffff);
    let class = match (given.value.split_once(':'), given.value.strip_prefix("0x")) {
        (Some((major, minor)), _) => half(major).zip(half(minor)).map(|(major, minor)| major << 16 | minor),
        (None, Some(digits)) => hexadecimal(digits),
        (None, None) => {
            given.value.bytes().all(|byte| byte.is_ascii_digit()).then(|| given.value.parse().ok()).flatten()
        }
    };
    let hint = "use a number such as 0x100001, or major and minor as tc writes them: 10:1";
    class.ok_or_else(|| given.refused("is no class of packets").hint(hint).into())
}

/// `INTERFACE=PRIORITY`.
pub(crate) fn priority(given: Given<'_>) -> Result<(String, u32)> {
    let hint = "use the name of an interface of the host and a number, such as eth0=5";
    let Some((name, number)) = given.value.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        return Err(given.refused("is not INTERFACE=NUMBER").hint(hint).into());
    };
    match number.parse() {
        Ok(number) => Ok((name.to_owned(), number)),
        Err(_) => Err(given.refused("has no whole number after the interface").hint(hint).into()),
    }
}
