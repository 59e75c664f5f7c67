//! systemd's messages: a private parser, compiled in here with what it needs beside it.

#[path = "../../crates/cgroup/src/systemd/wire.rs"]
#[expect(dead_code, reason = "messages are only read here, and not written")]
mod wire;

pub(crate) use cgroup::systemd::{Property, Value};

pub(crate) fn read(bytes: &[u8]) {
    if let Some(start) = bytes.first_chunk() {
        let _ = wire::message_length(start);
    }
    if let Some(message) = wire::Message::parse(bytes) {
        let _ = (message.text(), message.variant(), message.removed_job());
    }
}
