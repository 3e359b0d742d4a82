//! What the gateway adds to the events of a stream.

use bytes::Bytes;
use serde_json::{Map, Value};

/// The ids of a call, written once and copied into events.
#[derive(Debug, Clone)]
pub struct Ids {
    /// The members' names.
    names: Vec<String>,
    /// The members as the end of an object: `,"session_id":…}`.
    json: String,
}

impl Ids {
    /// From the members.
    #[must_use]
    pub fn new(ids: Map<String, Value>) -> Self {
        let names = ids.keys().cloned().collect();
        Self { names, json: format!(",{}", &Value::Object(ids).to_string()[1..]) }
    }

    /// Writes an object with one more member and the ids at its end, each key once: a provider that is a gateway
    /// like this one has them too; ours are the ones that count.
    pub(super) fn write(&self, out: &mut Vec<u8>, object: &mut Map<String, Value>, more: (&str, &Value)) {
        for name in self.names.iter().map(String::as_str).chain([more.0]) {
            object.shift_remove(name);
        }
        // Writing a value into a Vec cannot fail.
        let _ = serde_json::to_writer(&mut *out, object);
        out.pop();
        if !object.is_empty() {
            out.push(b',');
        }
        let _ = serde_json::to_writer(&mut *out, more.0);
        out.push(b':');
        let _ = serde_json::to_writer(&mut *out, more.1);
        out.extend_from_slice(self.json.as_bytes());
    }
}

/// `data:` and the end of an event around what `write` writes.
pub(super) fn event(name: Option<&str>, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(768);
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    write(&mut out);
    out.extend_from_slice(b"\n\n");
    out.into()
}
