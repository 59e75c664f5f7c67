//! The files of `--log-driver local`: entries one behind the other, each between its length and its length, so that what a
//! crash has cut off is found from the end. Bytes are kept as they are.
//!
//! ```text
//! length  time, nanoseconds since 1970  stream    what was written  length
//! u32 LE  i64 LE                        1 or 2                      u32 LE
//! ```

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use jiff::Timestamp;

use super::{Entry, LONGEST_LINE, Line, Stream};

/// What stands between the lengths besides what was written.
const HEAD: usize = 9;
/// A length.
const LENGTH: usize = 4;
const LONGEST: usize = HEAD + 2 * LONGEST_LINE;

pub(super) fn write(text: &mut Vec<u8>, line: &Line<'_>) {
    let length = u32::try_from(HEAD + line.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let nanos = i64::try_from(line.time.as_nanosecond()).unwrap_or(i64::MAX);
    text.extend_from_slice(&length);
    text.extend_from_slice(&nanos.to_le_bytes());
    text.push(match line.stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    });
    text.extend_from_slice(line.bytes);
    text.extend_from_slice(&length);
}

/// What the beginning of a file that is read holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// So many bytes more are needed.
    More(usize),
    /// An entry.
    Entry(Entry),
    /// What is none.
    Damaged,
}

pub(super) fn parse(bytes: &[u8]) -> Found {
    let Some(first) = number(bytes, 0) else { return Found::More(LENGTH - bytes.len()) };
    if !(HEAD..=LONGEST).contains(&first) {
        return Found::Damaged;
    }
    let whole = LENGTH + first + LENGTH;
    if bytes.len() < whole {
        return Found::More(whole - bytes.len());
    }
    let entry = || {
        let nanos = i64::from_le_bytes(bytes.get(LENGTH..LENGTH + 8)?.try_into().ok()?);
        let stream = match bytes.get(LENGTH + 8)? {
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            _ => return None,
        };
        let log = bytes.get(LENGTH + HEAD..LENGTH + first)?.to_vec();
        let time = Timestamp::from_nanosecond(nanos.into()).ok()?;
        Some(Entry { log, stream, time, attributes: Vec::new() })
    };
    entry().filter(|_| number(bytes, LENGTH + first) == Some(first)).map_or(Found::Damaged, Found::Entry)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + LENGTH)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

/// How long a file is without what was cut off at its end. A whole file is told by its last entry alone.
pub(super) fn whole_length(file: &mut File) -> std::io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut at = |from: u64, count: usize| -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let ends = |at: &mut dyn FnMut(u64, usize) -> std::io::Result<Vec<u8>>| -> std::io::Result<bool> {
        let Some(last) = length.checked_sub(4) else { return Ok(length == 0) };
        let Some(bytes) = number(&at(last, LENGTH)?, 0).filter(|bytes| (HEAD..=LONGEST).contains(bytes)) else {
            return Ok(false);
        };
        let Some(first) = last.checked_sub(u64::try_from(bytes + LENGTH).unwrap_or(u64::MAX)) else { return Ok(false) };
        Ok(number(&at(first, LENGTH)?, 0) == Some(bytes))
    };
    if ends(&mut at)? {
        return Ok(length);
    }
    let mut whole = 0;
    while let Ok(head) = at(whole, LENGTH) {
        let Some(bytes) = number(&head, 0).filter(|bytes| (HEAD..=LONGEST).contains(bytes)) else { break };
        let next = whole + u64::try_from(bytes + 2 * LENGTH).unwrap_or(u64::MAX);
        if next > length {
            break;
        }
        whole = next;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn entry(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let line = Line { bytes, stream: Stream::Stderr, time: Timestamp::new(5, 7).unwrap(), part: None };
        write(&mut text, &line);
        text
    }

    #[test]
    fn bytes_are_kept_as_they_are_and_what_is_damaged_is_found() {
        let text = entry(b"\xff\0\n");
        let Found::Entry(found) = parse(&text) else { panic!("{text:?}") };
        assert_eq!((found.log.as_slice(), found.stream), (&b"\xff\0\n"[..], Stream::Stderr));
        assert_eq!(found.time, Timestamp::new(5, 7).unwrap());
        for end in 0..text.len() {
            assert!(matches!(parse(&text[..end]), Found::More(_)), "{end}");
        }
        assert_eq!(parse(&[0xff; 40]), Found::Damaged);
        let mut other = text;
        let last = other.len() - 1;
        other[last] = 9;
        assert_eq!(parse(&other), Found::Damaged);
    }

    #[test]
    fn what_a_crash_has_cut_off_is_not_a_part_of_a_file() {
        let (one, two) = (entry(b"one\n"), entry(b"two\n"));
        let all = [one.clone(), two].concat();
        let mut file = tempfile::tempfile().unwrap();
        for end in 0..=all.len() {
            file.set_len(0).unwrap();
            file.rewind().unwrap();
            file.write_all(&all[..end]).unwrap();
            let expected = if end == all.len() {
                end
            } else if end >= one.len() {
                one.len()
            } else {
                0
            };
            assert_eq!(whole_length(&mut file).unwrap(), u64::try_from(expected).unwrap(), "{end}");
        }
    }
}
