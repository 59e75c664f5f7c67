//! D-Bus messages as bytes: the header, and the few types that systemd's manager is asked with and answers in.
//!
//! D-Bus specification, "Message Protocol" and "Type System". Every value stands at a multiple of its alignment, counted
//! from the start of the message; body and header are apart by a padding to 8, so a body may be made by itself. Written is
//! little-endian, read both.

use super::{Property, Value};

/// The longest message that is taken: far above what systemd sends, far below the specification's 128 MiB.
pub(super) const LONGEST: usize = 1 << 20;
/// The part of the header that tells how long the rest is.
pub(super) const FIXED: usize = 16;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Values one after the other.
#[derive(Debug, Default)]
pub(super) struct Body {
    bytes: Vec<u8>,
}

impl Body {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn byte(mut self, byte: u8) -> Self {
        self.bytes.push(byte);
        self
    }

    /// `b`, true.
    pub(super) fn yes(self) -> Self {
        self.u32(1)
    }

    pub(super) fn u32(mut self, number: u32) -> Self {
        self.align(4);
        self.bytes.extend(number.to_le_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.align(8);
        self.bytes.extend(number.to_le_bytes());
        self
    }

    /// `s` and `o`.
    pub(super) fn text(self, text: &str) -> Self {
        let mut body = self.u32(length(text.len()));
        body.bytes.extend(text.bytes());
        body.byte(0)
    }

    /// `g`. Signatures here are constants of a few letters.
    fn signature(mut self, signature: &str) -> Self {
        self.bytes.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
        self.bytes.extend(signature.bytes());
        self.byte(0)
    }

    /// An array: its length in bytes stands before it, without the padding in front of the first element.
    pub(super) fn array<T>(
        self,
        alignment: usize,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(Self, T) -> Self,
    ) -> Self {
        let mut body = self.u32(0);
        let at = body.bytes.len();
        body.align(alignment);
        let start = body.bytes.len();
        for one in items {
            body.align(alignment);
            body = item(body, one);
        }
        let written = length(body.bytes.len() - start).to_le_bytes();
        if let Some(place) = at.checked_sub(4).and_then(|from| body.bytes.get_mut(from..at)) {
            place.copy_from_slice(&written);
        }
        body
    }

    /// `(sv)`
    pub(super) fn property(self, property: &Property) -> Self {
        self.text(property.name).variant(&property.value)
    }

    /// `v`
    pub(super) fn variant(self, value: &Value) -> Self {
        let body = self.signature(signature(value));
        match value {
            Value::Bool(value) => body.u32(u32::from(*value)),
            Value::Number(number) => body.u64(*number),
            Value::Text(text) => body.text(text),
            Value::Processes(numbers) => body.array(4, numbers, |body, number| body.u32(*number)),
            Value::Bits(bytes) => body.array(1, bytes, |body, byte| body.byte(*byte)),
            Value::OfDevices(pairs) => body.array(8, pairs, |body, (node, number)| body.text(node).u64(*number)),
            Value::Nodes(pairs) => body.array(8, pairs, |body, (node, access)| body.text(node).text(access)),
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

const fn signature(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "b",
        Value::Number(_) => "t",
        Value::Text(_) => "s",
        Value::Processes(_) => "au",
        Value::Bits(_) => "ay",
        Value::OfDevices(_) => "a(st)",
        Value::Nodes(_) => "a(ss)",
    }
}

/// A method call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// Whom it is for, on a bus.
    pub(super) destination: &'a str,
    /// The object.
    pub(super) path: &'a str,
    /// The interface that has the method.
    pub(super) interface: &'a str,
    /// The method.
    pub(super) member: &'a str,
    /// The types of the arguments.
    pub(super) signature: &'a str,
    /// The arguments.
    pub(super) body: Body,
}

/// The numbers of the header's fields.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR_NAME: u8 = 4;
    pub(super) const REPLY_SERIAL: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SENDER: u8 = 7;
    pub(super) const SIGNATURE: u8 = 8;
}

impl Call<'_> {
    /// The whole message.
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        let fields = [
            (field::PATH, "o", self.path),
            (field::INTERFACE, "s", self.interface),
            (field::MEMBER, "s", self.member),
            (field::DESTINATION, "s", self.destination),
            (field::SIGNATURE, "g", self.signature),
        ];
        encode(METHOD_CALL, serial, &fields, &self.body)
    }
}

fn encode(kind: u8, serial: u32, fields: &[(u8, &str, &str)], body: &Body) -> Vec<u8> {
    let header = Body::default().byte(b'l').byte(kind).byte(0).byte(1).u32(length(body.bytes.len())).u32(serial);
    let present = fields.iter().filter(|(_, kind, text)| *kind != "g" || !text.is_empty());
    let mut header = header.array(8, present, |header, (code, kind, text)| {
        let header = header.byte(*code).signature(kind);
        match *kind {
            "g" => header.signature(text),
            "u" => header.u32(text.parse().unwrap_or_default()),
            _ => header.text(text),
        }
    });
    header.align(8);
    header.bytes.extend(&body.bytes);
    header.bytes
}

/// How long the message is that starts with these bytes; `None` where no message starts like that, or one that is too
/// long.
pub(super) fn message_length(start: &[u8; FIXED]) -> Option<usize> {
    let mut reader = Reader { bytes: start, at: 4, order: Order::of(start[0])? };
    let body = usize::try_from(reader.u32()?).ok()?;
    reader.u32()?;
    let fields = usize::try_from(reader.u32()?).ok()?;
    if body > LONGEST || fields > LONGEST {
        return None;
    }
    Some((FIXED + fields).next_multiple_of(8) + body).filter(|length| *length <= LONGEST)
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Return,
    Error,
    Signal,
    /// A call, or a kind of later versions.
    Other,
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The serial number of the call that it answers.
    pub(super) answers: Option<u32>,
    pub(super) interface: String,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) sender: String,
    signature: String,
    body: Vec<u8>,
    order: Order,
}

impl Message {
    /// Reads a whole message; `None` where it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let start: &[u8; FIXED] = bytes.first_chunk()?;
        if message_length(start)? != bytes.len() || start[3] != 1 {
            return None;
        }
        let order = Order::of(start[0])?;
        let kind = match start[1] {
            METHOD_RETURN => Kind::Return,
            ERROR => Kind::Error,
            SIGNAL => Kind::Signal,
            0 => return None,
            _ => Kind::Other,
        };
        let mut reader = Reader { bytes, at: 12, order };
        let fields = usize::try_from(reader.u32()?).ok()?;
        let text = String::new;
        let (interface, member, error, sender, signature) = (text(), text(), text(), text(), text());
        let body = bytes.get((FIXED + fields).next_multiple_of(8)..)?.to_vec();
        let mut message = Self { kind, answers: None, interface, member, error, sender, signature, body, order };
        let mut reader = Reader { bytes: bytes.get(..FIXED + fields)?, at: FIXED, order };
        while reader.at < FIXED + fields {
            reader.align(8)?;
            let code = reader.byte()?;
            match (code, reader.basic()?) {
                (field::REPLY_SERIAL, Basic::Number(serial)) => message.answers = u32::try_from(serial).ok(),
                (field::INTERFACE, Basic::Text(text)) => message.interface = text.to_owned(),
                (field::MEMBER, Basic::Text(text)) => message.member = text.to_owned(),
                (field::ERROR_NAME, Basic::Text(text)) => message.error = text.to_owned(),
                (field::SENDER, Basic::Text(text)) => message.sender = text.to_owned(),
                (field::SIGNATURE, Basic::Text(text)) => message.signature = text.to_owned(),
                // Fields of no use here, and those of later versions, which are to be ignored.
                _ => {}
            }
        }
        Some(message)
    }

    fn reader(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0, order: self.order }
    }

    /// The first value of the body, where that is text.
    pub(super) fn text(&self) -> Option<&str> {
        self.signature.starts_with(['s', 'o']).then(|| self.reader().text())?
    }

    /// The body, where it is a variant of a known type.
    pub(super) fn variant(&self) -> Option<Value> {
        (self.signature == "v").then(|| self.reader().variant())?
    }

    /// The job's object and its result, of the manager's signal `JobRemoved`.
    pub(super) fn removed_job(&self) -> Option<(&str, &str)> {
        if self.kind != Kind::Signal || self.member != "JobRemoved" || self.signature != "uoss" {
            return None;
        }
        let mut reader = self.reader();
        reader.u32()?;
        let job = reader.text()?;
        reader.text()?;
        Some((job, reader.text()?))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'l' => Some(Self::Little),
            b'B' => Some(Self::Big),
            _ => None,
        }
    }
}

enum Basic<'a> {
    Text(&'a str),
    Number(u64),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    order: Order,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.take(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A whole number of 2, 4 or 8 bytes.
    fn number(&mut self, width: usize) -> Option<u64> {
        self.align(width)?;
        let bytes = self.take(width)?;
        let shift = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.order {
            Order::Little => bytes.iter().rev().fold(0, shift),
            Order::Big => bytes.iter().fold(0, shift),
        })
    }

    fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.number(4)?).ok()
    }

    fn counted(&mut self, length: usize) -> Option<&'a str> {
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.counted(length)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let length = usize::from(self.byte()?);
        self.counted(length)
    }

    /// A variant of one basic type.
    fn basic(&mut self) -> Option<Basic<'a>> {
        Some(match self.signature()? {
            "s" | "o" => Basic::Text(self.text()?),
            "g" => Basic::Text(self.signature()?),
            "y" => Basic::Number(u64::from(self.byte()?)),
            "n" | "q" => Basic::Number(self.number(2)?),
            "b" | "i" | "u" | "h" => Basic::Number(self.number(4)?),
            "x" | "t" | "d" => Basic::Number(self.number(8)?),
            _ => return None,
        })
    }

    fn array<T>(&mut self, alignment: usize, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.align(alignment)?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let mut items = Vec::new();
        while self.at < end {
            self.align(alignment)?;
            items.push(item(self)?);
        }
        (self.at == end).then_some(items)
    }

    fn variant(&mut self) -> Option<Value> {
        let owned = str::to_owned;
        Some(match self.signature()? {
            "b" => Value::Bool(match self.u32()? {
                0 => false,
                1 => true,
                _ => return None,
            }),
            "t" => Value::Number(self.number(8)?),
            "s" => Value::Text(owned(self.text()?)),
            "au" => Value::Processes(self.array(4, Self::u32)?),
            "ay" => Value::Bits(self.array(1, Self::byte)?),
            "a(st)" => Value::OfDevices(self.array(8, |reader| Some((owned(reader.text()?), reader.number(8)?)))?),
            "a(ss)" => Value::Nodes(self.array(8, |reader| Some((owned(reader.text()?), owned(reader.text()?))))?),
            _ => return None,
        })
    }
}

/// What a server sends, for the tests of the conversation.
#[cfg(test)]
pub(super) mod sent {
    use super::*;

    /// The answer to a call.
    pub(in crate::systemd) fn answer(to: u32, signature: &str, body: &Body) -> Vec<u8> {
        let serial = to.to_string();
        encode(METHOD_RETURN, 1, &[(field::REPLY_SERIAL, "u", &serial), (field::SIGNATURE, "g", signature)], body)
    }

    /// The refusal of a call.
    pub(in crate::systemd) fn error(to: u32, name: &str, text: &str) -> Vec<u8> {
        let serial = to.to_string();
        let fields =
            [(field::ERROR_NAME, "s", name), (field::REPLY_SERIAL, "u", serial.as_str()), (field::SIGNATURE, "g", "s")];
        encode(ERROR, 1, &fields, &Body::default().text(text))
    }

    /// The end of a job.
    pub(in crate::systemd) fn job_removed(job: &str, unit: &str, result: &str) -> Vec<u8> {
        let fields = [
            (field::PATH, "o", "/org/freedesktop/systemd1"),
            (field::INTERFACE, "s", "org.freedesktop.systemd1.Manager"),
            (field::MEMBER, "s", "JobRemoved"),
            (field::SIGNATURE, "g", "uoss"),
        ];
        encode(SIGNAL, 1, &fields, &Body::default().u32(7).text(job).text(unit).text(result))
    }

    /// The serial number and the method of a call.
    pub(in crate::systemd) fn of_call(bytes: &[u8]) -> (u32, String) {
        let message = Message::parse(bytes).unwrap();
        (u32::from_le_bytes(bytes[8..12].try_into().unwrap()), message.member)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello() -> Call<'static> {
        Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            signature: "",
            body: Body::default(),
        }
    }

    #[test]
    fn hello_is_the_bytes_that_every_client_sends() {
        let mut expected = b"l\x01\0\x01\0\0\0\0\x01\0\0\0\x6d\0\0\0".to_vec();
        expected.extend(b"\x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0");
        expected.extend(b"\x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0");
        expected.extend(b"\x03\x01s\0\x05\0\0\0Hello\0\0\0");
        expected.extend(b"\x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0");
        assert_eq!(hello().encode(1), expected);
    }

    #[test]
    fn properties_stand_at_their_alignment() {
        let properties = [
            Property::new("PIDs", Value::Processes(vec![7])),
            Property::number("A", 1),
            Property::new("D", Value::Bool(true)),
        ];
        let body = Body::default().text("a.scope").text("fail");
        let body = body.array(8, &properties, |body, property| body.property(property)).array(8, [(); 0], |b, ()| b);
        let mut expected = b"\x07\0\0\0a.scope\0\x04\0\0\0fail\0\0\0\0\x40\0\0\0\0\0\0\0".to_vec();
        expected.extend(b"\x04\0\0\0PIDs\0\x02au\0\0\0\0\x04\0\0\0\x07\0\0\0");
        expected.extend(b"\x01\0\0\0A\0\x01t\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0");
        expected.extend(b"\x01\0\0\0D\0\x01b\0\0\0\0\x01\0\0\0");
        // An array without elements is padded up to where they would stand.
        expected.extend(b"\0\0\0\0\0\0\0\0");
        assert_eq!(body.bytes, expected);
    }

    #[test]
    fn an_answer_in_the_other_byte_order_is_read() {
        let mut bytes = b"B\x02\x01\x01\0\0\0\x08\0\0\0\x09\0\0\0\x0f".to_vec();
        bytes.extend(b"\x05\x01u\0\0\0\0\x03\x08\x01g\0\x01s\0\0");
        bytes.extend(b"\0\0\0\x03252\0");
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.kind, message.answers, message.text()), (Kind::Return, Some(3), Some("252")));
    }

    #[test]
    fn the_end_of_a_job_tells_job_and_result() {
        let message = Message::parse(&sent::job_removed("/org/freedesktop/systemd1/job/5", "a.scope", "done")).unwrap();
        assert_eq!(message.removed_job(), Some(("/org/freedesktop/systemd1/job/5", "done")));
    }

    #[test]
    fn a_message_that_is_too_long_or_cut_is_none() {
        let whole = hello().encode(1);
        assert!(Message::parse(&whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(Message::parse(&whole[..end]), None);
        }
        let mut start: [u8; FIXED] = whole[..FIXED].try_into().unwrap();
        start[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(message_length(&start), None);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = || "[ -~é]{0,12}";
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<u64>().prop_map(Value::Number),
            text().prop_map(Value::Text),
            prop::collection::vec(any::<u32>(), 0..5).prop_map(Value::Processes),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bits),
            prop::collection::vec((text(), any::<u64>()), 0..4).prop_map(Value::OfDevices),
            prop::collection::vec((text(), text()), 0..4).prop_map(Value::Nodes),
        ]
    }

    proptest! {
        #[test]
        fn a_value_comes_back_as_it_was_sent(value in any_value()) {
            let message = Message::parse(&sent::answer(3, "v", &Body::default().variant(&value))).unwrap();
            prop_assert_eq!(message.variant(), Some(value));
        }

        #[test]
        fn random_bytes_are_read_without_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..200), valid: bool) {
            if valid && bytes.len() >= FIXED {
                bytes[0] = b'l';
                bytes[3] = 1;
                let rest = u32::try_from(bytes.len() - FIXED).unwrap();
                let fields = rest / 8 * 8;
                bytes[4..8].copy_from_slice(&(rest - fields).to_le_bytes());
                bytes[12..16].copy_from_slice(&fields.to_le_bytes());
            }
            if let Some(message) = Message::parse(&bytes) {
                let _ = (message.text(), message.variant(), message.removed_job());
            }
        }
    }
}
