//! Messages to and from CRIU, in the encoding of protocol buffers: CRIU's images/rpc.proto,
//! <https://protobuf.dev/programming-guides/encoding/>. They are few, and flat.

/// How a value is written: as a number of seven bits a byte, or as bytes behind their length.
const NUMBER: u64 = 0;
const BYTES: u64 = 2;
/// Numbers of eight and four bytes, which CRIU does not send.
const FIXED: [(u64, usize); 2] = [(1, 8), (5, 4)];

/// A message that is put together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// Adds a number.
    pub(crate) fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3 | NUMBER);
        self.varint(value);
        self
    }

    /// Adds a flag that is set.
    pub(crate) fn flag(&mut self, field: u64) -> &mut Self {
        self.number(field, 1)
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, field: u64, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    /// Adds a message.
    pub(crate) fn message(&mut self, field: u64, value: &Self) -> &mut Self {
        self.bytes(field, &value.0)
    }

    /// The message as it is sent.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.0
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | BYTES);
        self.varint(u64::try_from(value.len()).unwrap_or(u64::MAX));
        self.0.extend(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// What CRIU says, `criu_resp`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    /// Whether all went well so far.
    pub(crate) success: bool,
    /// What has come to pass, where CRIU waits for an answer before it goes on.
    pub(crate) script: Option<String>,
    /// The first process of what is restored, where that is told.
    pub(crate) process: Option<i32>,
    /// Its first error.
    pub(crate) error: Option<String>,
}

impl Response {
    /// Reads a message; `None` for one that is not whole. What is not known in it is passed over.
    pub(crate) fn parse(mut message: &[u8]) -> Option<Self> {
        let mut response = Self::default();
        while !message.is_empty() {
            match field(&mut message)? {
                (2, Value::Number(success)) => response.success = success != 0,
                (4, Value::Bytes(restored)) => response.process = number(restored, 1)?,
                (5, Value::Bytes(notify)) => {
                    response.script = Some(text(notify, 1)?.unwrap_or_default());
                    response.process = number(notify, 2)?;
                }
                (9, Value::Bytes(error)) => response.error = Some(String::from_utf8_lossy(error).trim().to_owned()),
                _ => {}
            }
        }
        Some(response)
    }
}

enum Value<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

/// The next field: its number and its value.
fn field<'m>(message: &mut &'m [u8]) -> Option<(u64, Value<'m>)> {
    let tag = varint(message)?;
    let value = match tag & 7 {
        NUMBER => Value::Number(varint(message)?),
        BYTES => {
            let length = usize::try_from(varint(message)?).ok()?;
            Value::Bytes(message.split_off(..length)?)
        }
        kind => Value::Bytes(message.split_off(..FIXED.iter().find(|(known, _)| *known == kind)?.1)?),
    };
    Some((tag >> 3, value))
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let byte = *message.split_off_first()?;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The number with this field in a message, if it has one.
#[expect(clippy::option_option, reason = "a message that is not whole is not one without the field")]
fn number(mut message: &[u8], wanted: u64) -> Option<Option<i32>> {
    let mut found = None;
    while !message.is_empty() {
        if let (known, Value::Number(value)) = field(&mut message)?
            && known == wanted
        {
            found = i32::try_from(value).ok();
        }
    }
    Some(found)
}

/// The text with this field in a message, if it has one.
#[expect(clippy::option_option, reason = "a message that is not whole is not one without the field")]
fn text(mut message: &[u8], wanted: u64) -> Option<Option<String>> {
    let mut found = None;
    while !message.is_empty() {
        if let (known, Value::Bytes(value)) = field(&mut message)?
            && known == wanted
        {
            found = Some(String::from_utf8_lossy(value).into_owned());
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_as_protocol_buffers_have_it() {
        let mut inner = Message::default();
        inner.text(1, "fd").number(2, 300);
        let mut message = Message::default();
        message.number(1, 2).flag(3).message(27, &inner);
        assert_eq!(
            message.encoded(),
            [0x08, 2, 0x18, 1, 0xda, 0x01, 7, 0x0a, 2, b'f', b'd', 0x10, 0xac, 0x02],
            "the example of 300 is that of the documentation"
        );
    }

    #[test]
    fn an_answer_is_read_with_what_is_not_known_in_it() {
        let mut notify = Message::default();
        notify.text(1, "setup-namespaces").number(2, 4711).text(77, "new");
        let mut message = Message::default();
        message.number(1, 6).flag(2).message(5, &notify).number(1000, u64::MAX).text(9, "why\n");
        let script = Some("setup-namespaces".to_owned());
        let response = Response { success: true, script, process: Some(4711), error: Some("why".to_owned()) };
        assert_eq!(Response::parse(message.encoded()), Some(response));
        let mut fixed = vec![0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4];
        assert_eq!(Response::parse(&fixed), Some(Response::default()));
        fixed.pop();
        assert_eq!(Response::parse(&fixed), None);
    }

    #[test]
    fn a_message_that_is_cut_off_is_none() {
        let mut restored = Message::default();
        restored.number(1, 300);
        let mut message = Message::default();
        message.flag(2).message(4, &restored);
        let whole = message.encoded();
        assert_eq!(Response::parse(whole).and_then(|response| response.process), Some(300));
        for length in 3..whole.len() {
            assert_eq!(Response::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(Response::parse(&[0x80; 11]), None);
    }
}
