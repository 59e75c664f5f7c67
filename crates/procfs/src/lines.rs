//! What the files of /proc have in common: lines, fields between white space, numbers, octal escapes.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::str::FromStr;

/// The lines, without their ends; the end of the last may be missing.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The fields between any amount of white space.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// The two sides of the first `separator`.
pub(crate) fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// A number, or anything else that is plain ASCII and nothing more.
pub(crate) fn number<T: FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Text for people and for comparing; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// A path, with any bytes.
pub(crate) fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(field.to_vec()))
}

/// Undoes `\040`, with which the kernel writes characters that would break a line or a field. A backslash that begins no
/// such escape stands for itself.
pub(crate) fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        match octal(rest) {
            Some((byte, behind)) => {
                plain.push(byte);
                rest = behind;
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    Cow::Owned(plain)
}

fn octal(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'\\', high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', behind @ ..] = text else { return None };
    Some(((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_escapes_become_their_bytes() {
        assert_eq!(unescape(br"/a\040b\011c\012d\134e").as_ref(), b"/a b\tc\nd\\e");
        assert_eq!(unescape(br"\377\303\244").as_ref(), b"\xff\xc3\xa4");
    }

    #[test]
    fn a_backslash_that_begins_no_escape_stays() {
        assert_eq!(unescape(br"\4\04\400\089\").as_ref(), br"\4\04\400\089\");
    }

    #[test]
    fn empty_text_has_no_lines() {
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(lines(b"a\nb").count(), 2);
        assert_eq!(lines(b"a\nb\n").count(), 2);
    }
}
