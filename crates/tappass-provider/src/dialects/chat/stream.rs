//! The chunks of a stream: the texts in each, and writing them back.

use serde_json::{Map, Value, json};

use crate::dialects::{Channel, ChannelKind, walk::is_phrase};

/// The field of a `delta` that holds a text, for the three that are plain strings there.
pub(super) const fn field(kind: &ChannelKind) -> Option<&'static str> {
    match kind {
        ChannelKind::Reasoning => Some("reasoning_content"),
        ChannelKind::Content => Some("content"),
        ChannelKind::Refusal => Some("refusal"),
        ChannelKind::ToolArguments(_) | ChannelKind::Other(_) => None,
    }
}

const PLAIN: [ChannelKind; 3] = [ChannelKind::Reasoning, ChannelKind::Content, ChannelKind::Refusal];

/// Members of a chunk that name and count things.
const OF_CHUNK: [&str; 9] = [
    "id",
    "object",
    "created",
    "model",
    "system_fingerprint",
    "service_tier",
    "usage",
    "obfuscation",
    "prompt_filter_results",
];
/// Members of a choice that do.
const OF_CHOICE: [&str; 5] =
    ["index", "finish_reason", "logprobs", "content_filter_results", "content_filter_offsets"];

/// Every text of a chunk that is not empty, in a fixed order. Left out is what is no text of the answer: the names
/// and numbers of the call, padding (`obfuscation`), and the verdicts of the provider's own content filter, as long as
/// they hold single words.
pub fn deltas(chunk: &Value) -> impl Iterator<Item = (Channel, &str)> {
    let mut found = Vec::new();
    for (position, choice) in array(&chunk["choices"]).iter().enumerate() {
        let (index, delta) = (index_of(choice, position), &choice["delta"]);
        for kind in PLAIN {
            if let Some(text) = field(&kind).and_then(|field| delta[field].as_str()) {
                found.push((Channel { choice: index, kind }, text));
            }
        }
        for (i, call) in array(&delta["tool_calls"]).iter().enumerate() {
            if let Some(text) = arguments(call) {
                found.push((
                    Channel { choice: index, kind: ChannelKind::ToolArguments(index_of(call, i)) },
                    text,
                ));
            }
        }
    }
    others(chunk, &mut Vec::with_capacity(8), chunk, false, &mut found);
    found.into_iter().filter(|(_, text)| !text.is_empty())
}

/// A part of the way from a chunk to a string in it.
#[derive(Clone, Copy, PartialEq)]
enum Part<'a> {
    Key(&'a str),
    Item(usize),
}

/// The strings that have no place of their own, wherever they stand; of `names`, those of more than a word.
fn others<'a>(
    value: &'a Value,
    way: &mut Vec<Part<'a>>,
    chunk: &Value,
    names: bool,
    found: &mut Vec<(Channel, &'a str)>,
) {
    let names = names || is_name(way);
    match value {
        Value::String(text) => {
            if !text.is_empty() && (!names || is_phrase(text)) && !has_place(way, chunk) {
                let choice = match way[..] {
                    [Part::Key("choices"), Part::Item(i), ..] => index_of(&chunk["choices"][i], i),
                    _ => 0,
                };
                found.push((Channel { choice, kind: ChannelKind::Other(pointer(way)) }, text));
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                way.push(Part::Item(i));
                others(item, way, chunk, names, found);
                way.pop();
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                way.push(Part::Key(key));
                others(value, way, chunk, names, found);
                way.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether what stands there names or counts something.
fn is_name(way: &[Part<'_>]) -> bool {
    use Part::{Item, Key};
    match way {
        [Key(key)] => OF_CHUNK.contains(key),
        [Key("choices"), Item(_), Key(key)] => OF_CHOICE.contains(key),
        [Key("choices"), Item(_), Key("delta"), Key("role")] => true,
        [Key("choices"), Item(_), Key("delta"), Key("tool_calls"), Item(_), rest @ ..] => {
            matches!(rest, [Key("id" | "type" | "index")] | [Key("function" | "custom"), Key("name")])
        }
        _ => false,
    }
}

/// Whether a string there is a text that has been found already.
fn has_place(way: &[Part<'_>], chunk: &Value) -> bool {
    use Part::{Item, Key};
    match way {
        [Key("choices"), Item(_), Key("delta"), Key(key)] => {
            PLAIN.iter().any(|kind| field(kind) == Some(*key))
        }
        [Key("choices"), Item(c), Key("delta"), Key("tool_calls"), Item(i), kind, member] => {
            match (kind, member) {
                (Key("function"), Key("arguments")) => true,
                (Key("custom"), Key("input")) => {
                    let call = &chunk["choices"][*c]["delta"]["tool_calls"][*i];
                    !call["function"]["arguments"].is_string()
                }
                _ => false,
            }
        }
        _ => false,
    }
}

fn pointer(way: &[Part<'_>]) -> String {
    way.iter().fold(String::new(), |at, part| match part {
        Part::Key(key) => at + "/" + &escape(key),
        Part::Item(i) => format!("{at}/{i}"),
    })
}

/// RFC 6901 §3.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Writes a channel's text into a chunk, in place of what is there. Where the choice, the tool call or the field is
/// missing it is added: text held back goes out with a later chunk ([`ChannelKind::Other`] is only replaced where it
/// stands: such a text cannot be held back). When the text changes, the choice's log
/// probabilities go, since they spell it out.
pub fn set_delta(chunk: &mut Value, channel: &Channel, text: String) {
    if let ChannelKind::Other(pointer) = &channel.kind {
        if let Some(place) = chunk.pointer_mut(pointer) {
            *place = Value::String(text);
        }
        return;
    }
    let Some(choice) =
        entry(chunk, "choices", channel.choice, || json!({"delta": {}, "finish_reason": null}))
    else {
        return;
    };
    let delta = object(choice).entry("delta").or_insert_with(|| json!({}));
    let place = match channel.kind {
        ChannelKind::ToolArguments(index) => {
            let Some(call) = entry(delta, "tool_calls", index, || json!({"function": {}})) else { return };
            let (kind, field) =
                if call.get("custom").is_some() { ("custom", "input") } else { ("function", "arguments") };
            let body = object(call).entry(kind).or_insert_with(|| json!({}));
            object(body).entry(field).or_insert(Value::Null)
        }
        _ => object(delta).entry(field(&channel.kind).unwrap_or("content")).or_insert(Value::Null),
    };
    let changed = place.as_str().unwrap_or_default() != text;
    *place = Value::String(text);
    if changed && let Some(logprobs) = choice.get_mut("logprobs") {
        *logprobs = Value::Null;
    }
}

/// Whether a chunk carries usage and nothing else: the last one, sent since the gateway always asks for usage.
/// A client that did not ask ([`super::wants_usage`]) should not get it.
#[must_use]
pub fn is_usage_only(chunk: &Value) -> bool {
    chunk["usage"].is_object() && array(&chunk["choices"]).is_empty()
}

/// The item with this `index` in the list under `key`, made where there is none.
fn entry<'a>(parent: &'a mut Value, key: &str, index: u64, new: impl Fn() -> Value) -> Option<&'a mut Value> {
    let list = object(parent).entry(key).or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    let list = list.as_array_mut()?;
    let at = list.iter().enumerate().position(|(i, item)| index_of(item, i) == index).unwrap_or_else(|| {
        let mut item = new();
        item["index"] = index.into();
        list.push(item);
        list.len() - 1
    });
    list.get_mut(at)
}

/// The value as an object; whatever else it was is replaced by an empty one.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object above")
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// An item's `index`; its position where it has none.
pub(super) fn index_of(value: &Value, position: usize) -> u64 {
    value["index"].as_u64().unwrap_or(position as u64)
}

fn arguments(call: &Value) -> Option<&str> {
    call["function"]["arguments"].as_str().or_else(|| call["custom"]["input"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunk: &Value) -> Vec<(u64, ChannelKind, String)> {
        deltas(chunk).map(|(c, text)| (c.choice, c.kind, text.to_owned())).collect()
    }

    #[test]
    fn finds_every_text() {
        let chunk = json!({"id": "x", "model": "m", "obfuscation": "zzz", "citations": ["https://c"], "choices": [
            {"index": 1, "finish_reason": null, "delta": {"role": "assistant", "content": "a", "reasoning_content": "r",
                "audio": {"transcript": "t"}, "tool_calls": [
                    {"index": 3, "id": "c", "function": {"name": "f", "arguments": "{"}}]}},
            {"delta": {"content": ""}}]});
        assert_eq!(
            all(&chunk),
            [
                (1, ChannelKind::Reasoning, "r".to_owned()),
                (1, ChannelKind::Content, "a".to_owned()),
                (1, ChannelKind::ToolArguments(3), "{".to_owned()),
                (0, ChannelKind::Other("/citations/0".into()), "https://c".to_owned()),
                (1, ChannelKind::Other("/choices/0/delta/audio/transcript".into()), "t".to_owned()),
            ]
        );
        assert!(
            all(&json!({"choices": [{"delta": {"content": [{"type": "x", "text": "part"}]}}]})).len() == 2
        );
        for odd in [
            json!({"id": {"note": "two words"}}),
            json!({"model": "two words"}),
            json!({"choices": "two words"}),
            json!({"choices": [{"finish_reason": "two words"}]}),
            json!({"choices": [{"delta": {"tool_calls": [{"function": {"name": "two words"}}]}}]}),
            json!({"choices": [{"delta": {"tool_calls": {"note": "one"}}}]}),
            json!({"choices": [{"delta": {"tool_calls": [{"note": "one", "function": {"arguments": ""}}]}}]}),
        ] {
            assert_eq!(all(&odd).len(), 1, "{odd}");
        }
    }

    #[test]
    fn writes_where_it_read() {
        let mut chunk = json!({"citations": ["c"], "choices": [{"index": 1, "logprobs": {"content": [{"token": "a"}]},
            "delta": {"content": "a", "tool_calls": [{"index": 2, "custom": {"input": "i"}}]}}]});
        let channels: Vec<Channel> = deltas(&chunk).map(|(c, _)| c).collect();
        set_delta(&mut chunk, &channels[0], "a".into());
        assert!(chunk["choices"][0]["logprobs"].is_object(), "nothing changed");
        for channel in &channels {
            set_delta(&mut chunk, channel, "X".into());
        }
        assert!(deltas(&chunk).count() == 3 && deltas(&chunk).all(|(_, text)| text == "X"));
        assert!(chunk["choices"][0]["logprobs"].is_null());
    }

    #[test]
    fn adds_what_is_missing() {
        let mut chunk = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        set_delta(&mut chunk, &Channel { choice: 0, kind: ChannelKind::Content }, "held".into());
        set_delta(&mut chunk, &Channel { choice: 2, kind: ChannelKind::ToolArguments(1) }, "{}".into());
        assert_eq!(
            chunk,
            json!({"choices": [{"index": 0, "delta": {"content": "held"}, "finish_reason": "stop"},
                {"delta": {"tool_calls": [{"function": {"arguments": "{}"}, "index": 1}]}, "finish_reason": null, "index": 2}]})
        );
    }

    #[test]
    fn tells_the_usage_chunk() {
        assert!(is_usage_only(&json!({"choices": [], "usage": {"prompt_tokens": 1}})));
        assert!(!is_usage_only(&json!({"choices": [{"delta": {}}], "usage": {"prompt_tokens": 1}})));
        assert!(!is_usage_only(&json!({"choices": [], "usage": null})));
    }
}
