//! Docker's json-file: a JSON document a line, in which what is not UTF-8 becomes U+FFFD.
//!
//! `{"log":"hello\n","stream":"stdout","time":"2026-11-26T14:05:54.123456789Z"}`, with `attrs` before the time where there
//! are any.

mod text;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use jiff::Timestamp;
use serde::Deserialize;

use self::text::{Tail, Taken};
use super::{Entry, LONGEST_LINE, Line, Origin, Stream};

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
    tail: Tail,
    tail_of: Option<(Stream, Timestamp)>,
}

impl Writer {
    pub(super) fn new(origin: &Origin) -> Self {
        let attributes = match serde_json::to_string(&origin.attributes) {
            Ok(text) if !origin.attributes.is_empty() => format!("\"attrs\":{text},"),
            _ => String::new(),
        };
        Self { attributes, tail: Tail::default(), tail_of: None }
    }

    pub(super) fn write(&mut self, text: &mut Vec<u8>, line: &Line<'_>) {
        text::push(text, line.bytes, self.tail(line));
    }

    /// Writes the lines that `read` begins with, as far as they are whole in it.
    pub(super) fn write_lines(&mut self, text: &mut Vec<u8>, read: &Line<'_>) -> Taken {
        text::push_lines(text, read.bytes, LONGEST_LINE, self.tail(read))
    }

    fn tail(&mut self, line: &Line<'_>) -> &Tail {
        let of = Some((line.stream, line.time));
        if self.tail_of != of {
            let stream = match line.stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            let (attributes, time) = (&self.attributes, line.time);
            self.tail = Tail::new(&format!("\"stream\":\"{stream}\",{attributes}\"time\":\"{time}\""));
            self.tail_of = of;
        }
        &self.tail
    }
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
        let long = ["plain ".repeat(30).as_bytes(), &all, "ü".repeat(40).as_bytes(), b"\n"].concat();
        let time = Timestamp::new(1, 5).unwrap();
        for bytes in [&b""[..], b"plain\n", "ü€\u{1f600}\n".as_bytes(), &all, b"\xff\xfe", b"\"\\\"\\", &long] {
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
