//! Docker's json-file: a JSON document a line, in which what is not UTF-8 becomes U+FFFD.
//!
//! `{"log":"hello\n","stream":"stdout","time":"2026-11-26T14:05:54.123456789Z"}`, with `attrs` before the time where there
//! are any.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Entry, Line, Origin, Stream};

/// The longest entry there can be: each byte of the longest line as an escape, and what stands around that.
const LONGEST: u64 = 256 * 1024;

/// How long a file is that ends at `end` without what a crash has cut off of its last entry.
///
/// # Errors
/// What reading gives.
pub(super) fn whole_length(file: &File, end: u64) -> std::io::Result<u64> {
    let mut last = [b'\n'];
    if end > 0 {
        file.read_exact_at(&mut last, end - 1)?;
    }
    if last == [b'\n'] {
        return Ok(end);
    }
    let start = end.saturating_sub(LONGEST);
    let mut tail = vec![0; usize::try_from(end - start).unwrap_or_default()];
    file.read_exact_at(&mut tail, start)?;
    let line = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    Ok(start + u64::try_from(line).unwrap_or_default())
}

/// Writes entries: what stands behind the line is the same for all that was read of a stream at once, and made but once.
#[derive(Debug)]
pub(super) struct Writer {
    /// From the stream's name to the time.
    attributes: String,
    tail: String,
    tail_of: Option<(Stream, Timestamp)>,
}

impl Writer {
    pub(super) fn new(origin: &Origin) -> Self {
        let attributes = match serde_json::to_string(&origin.attributes) {
            Ok(text) if !origin.attributes.is_empty() => format!("\"attrs\":{text},"),
            _ => String::new(),
        };
        Self { attributes, tail: String::new(), tail_of: None }
    }

    pub(super) fn write(&mut self, text: &mut Vec<u8>, line: &Line<'_>) {
        let of = Some((line.stream, line.time));
        if self.tail_of != of {
            let stream = match line.stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            let (attributes, time) = (&self.attributes, line.time);
            self.tail = format!("\",\"stream\":\"{stream}\",{attributes}\"time\":\"{time}\"}}\n");
            self.tail_of = of;
        }
        text.extend_from_slice(b"{\"log\":\"");
        match std::str::from_utf8(line.bytes) {
            Ok(_) => escape(text, line.bytes),
            Err(_) => escape(text, String::from_utf8_lossy(line.bytes).as_bytes()),
        }
        text.extend_from_slice(self.tail.as_bytes());
    }
}

/// RFC 8259, 7: what must be escaped is.
fn escape(text: &mut Vec<u8>, mut bytes: &[u8]) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    while let Some(at) = find_special(bytes) {
        let (plain, rest) = bytes.split_at(at);
        text.extend_from_slice(plain);
        let Some((special, rest)) = rest.split_first() else { return };
        bytes = rest;
        match special {
            b'"' => text.extend_from_slice(b"\\\""),
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            b'\t' => text.extend_from_slice(b"\\t"),
            other => {
                let digit = |number: u8| DIGITS.get(usize::from(number)).copied().unwrap_or_default();
                text.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(other >> 4), digit(other & 15)]);
            }
        }
    }
    text.extend_from_slice(bytes);
}

/// Where the first byte is that must be escaped. Eight are looked at together: in each step's result the lowest byte with
/// its high bit set is the first one that is less than a space, a quote or a backslash.
fn find_special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word;
    let (words, rest) = bytes.as_chunks();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let found = (below(word, b' ') | equal(b'"') | equal(b'\\')) & HIGH;
        if found != 0 {
            return Some(number * 8 + usize::try_from(found.trailing_zeros() / 8).unwrap_or_default());
        }
    }
    let place = rest.iter().position(|byte| is_special(*byte))?;
    Some(words.len() * 8 + place)
}

#[derive(Deserialize)]
struct Document {
    log: String,
    stream: Stream,
    time: Timestamp,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

/// An entry, from a line; why it is none.
pub(super) fn parse(line: &[u8]) -> Result<Entry, String> {
    let Document { log, stream, time, attrs } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    Ok(Entry { log: log.into_bytes(), stream, time, attributes: attrs.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_to_escape_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                let mut bytes = *b"plain \xff\x80\x7f text, long";
                bytes[place] = byte;
                let is_special = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(find_special(&bytes), is_special.then_some(place), "{byte} at {place}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again_whatever_bytes_it_has() {
        let origin = Origin {
            id: String::new(),
            name: String::new(),
            image: String::new(),
            tag: String::new(),
            attributes: [("colour \"x\"".to_owned(), "blue\n".to_owned())].into(),
        };
        let mut writer = Writer::new(&origin);
        let all: Vec<u8> = (0..=127).collect();
        let time = Timestamp::new(1, 5).unwrap();
        for bytes in [&b""[..], b"plain\n", "ü€\u{1f600}\n".as_bytes(), &all, b"\xff\xfe", b"\"\\\"\\"] {
            let mut text = Vec::new();
            writer.write(&mut text, &Line { bytes, stream: Stream::Stderr, time, part: None });
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
            let entry = parse(&text).unwrap();
            assert_eq!(String::from_utf8(entry.log).unwrap(), String::from_utf8_lossy(bytes));
            assert_eq!((entry.stream, entry.time, entry.attributes.len()), (Stream::Stderr, time, 1));
        }
        assert!(parse(b"{\"log\":1}\n").is_err());
    }
}
