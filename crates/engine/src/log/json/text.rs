//! Lines as entries of a log. A container that writes as fast as it can waits for nothing but this.

const HEAD: &[u8] = b"{\"log\":\"";

/// What stands behind the lines that are read at once.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// With a line end before it.
    text: Vec<u8>,
}

/// A line end as JSON has it.
const LINE_END: &[u8] = b"\\n";

impl Tail {
    /// From what else an entry has, members of a JSON object: `"stream":"stdout"`.
    pub(super) fn new(members: &str) -> Self {
        Self { text: [LINE_END, b"\",", members.as_bytes(), b"}\n"].concat() }
    }

    fn without_line_end(&self) -> &[u8] {
        self.text.get(LINE_END.len()..).unwrap_or_default()
    }
}

/// What [`push_lines`] has taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct Taken {
    /// So much of the bytes.
    pub(in crate::log) bytes: usize,
    /// So many lines.
    pub(in crate::log) lines: u64,
}

/// Adds an entry for a line, or a part of one, whatever bytes it has.
pub(super) fn push(text: &mut Vec<u8>, line: &[u8], tail: &Tail) {
    text.reserve(HEAD.len() + line.len() + tail.text.len());
    text.extend_from_slice(HEAD);
    match line.split_last() {
        Some((b'\n', line)) => {
            push_escaped(text, line);
            text.extend_from_slice(&tail.text);
        }
        _ => {
            push_escaped(text, line);
            text.extend_from_slice(tail.without_line_end());
        }
    }
}

/// Adds an entry for each line at the beginning of `bytes` that has its end there, up to one of more than `longest` bytes.
pub(super) fn push_lines(text: &mut Vec<u8>, bytes: &[u8], longest: usize, tail: &Tail) -> Taken {
    let mut taken = Taken::default();
    let mut rest = bytes;
    while let Some(end) = memchr::memchr(b'\n', rest)
        && let Some((line, after)) = rest.split_at_checked(end + 1)
        && line.len() <= longest
    {
        push(text, line, tail);
        rest = after;
        taken.lines += 1;
    }
    taken.bytes = bytes.len() - rest.len();
    taken
}

/// RFC 8259, 7: what must be escaped is.
fn push_escaped(text: &mut Vec<u8>, bytes: &[u8]) {
    let Some(at) = bytes_until_odd(bytes) else { return text.extend_from_slice(bytes) };
    let (plain, rest) = bytes.split_at(at);
    text.extend_from_slice(plain);
    match std::str::from_utf8(rest) {
        Ok(_) => escape(text, rest),
        Err(_) => escape(text, String::from_utf8_lossy(rest).as_bytes()),
    }
}

/// Whether a byte is not ASCII that stands for itself in a JSON string.
const fn is_odd(byte: u8) -> bool {
    !matches!(byte, b' '..=0x7f) | matches!(byte, b'"' | b'\\')
}

/// Where the first such byte is.
fn bytes_until_odd(bytes: &[u8]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<32>();
    match blocks.iter().position(|block| !is_plain(block)) {
        Some(number) => {
            let before = number * 32;
            let block = bytes.get(before..).unwrap_or_default();
            block.iter().position(|byte| is_odd(*byte)).map(|at| before + at)
        }
        None => rest.iter().position(|byte| is_odd(*byte)).map(|at| blocks.len() * 32 + at),
    }
}

/// Whether no byte of a block is odd. Eight are looked at together: where none has its high bit set, no sum has a carry, and
/// in each the high bits tell which bytes are no control characters, no quotes, and no backslashes.
fn is_plain(block: &[u8; 32]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let is_other = |word: u64, byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_add(HIGH - ONES);
    let plain = |word: u64| {
        let is_printed = word.wrapping_add(HIGH - ONES * u64::from(b' '));
        is_printed & is_other(word, b'"') & is_other(word, b'\\') & !word
    };
    let (words, _) = block.as_chunks();
    words.iter().fold(HIGH, |all, word| all & plain(u64::from_ne_bytes(*word))) == HIGH
}

/// The same of text that is UTF-8.
fn escape(text: &mut Vec<u8>, mut bytes: &[u8]) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let is_special = |byte: &u8| is_odd(*byte) && byte.is_ascii();
    while let Some(at) = bytes.iter().position(is_special) {
        let (plain, rest) = bytes.split_at(at);
        text.extend_from_slice(plain);
        let Some((special, rest)) = rest.split_first() else { return };
        bytes = rest;
        match special {
            b'"' => text.extend_from_slice(b"\\\""),
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'\n' => text.extend_from_slice(LINE_END),
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(text: &[u8]) -> Vec<Value> {
        text.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn the_first_odd_byte_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for place in 0..80 {
                let mut bytes = [b'x'; 80];
                bytes[place] = byte;
                let is_odd = byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= 0x80;
                assert_eq!(bytes_until_odd(&bytes), is_odd.then_some(place), "{byte} at {place}");
            }
        }
    }

    #[test]
    fn lines_are_taken_up_to_one_that_has_no_end_or_is_too_long() {
        let tail = Tail::new("\"stream\":\"stdout\"");
        let lines = |bytes: &[u8]| {
            let mut text = b"{}\n".to_vec();
            let taken = push_lines(&mut text, bytes, 5, &tail);
            let logs: Vec<String> =
                read(&text).iter().skip(1).map(|entry| entry["log"].as_str().unwrap().to_owned()).collect();
            assert_eq!(logs.len() as u64, taken.lines);
            assert_eq!(logs.concat().as_bytes(), &bytes[..taken.bytes]);
            logs
        };
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"begun"), [""; 0]);
        assert_eq!(lines(b"one\n\ntwo\nbegun"), ["one\n", "\n", "two\n"]);
        assert_eq!(lines(b"four\nfive5\nsix\n"), ["four\n"]);
    }
}
