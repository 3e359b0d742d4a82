//! Every text that leaves with a body, in its order, with its origin and its place.
//!
//! One walk over the whole value, so that a field nobody thought of is no hole. No segment is made of: words of
//! the dialect (`KEYS`, and those words as a `type` or a `role`), the model's name (held to model-name letters by
//! the check), numbers of up to six characters, and the payload of base64 media (a picture is no text; the media
//! type before it stays a segment). Keys that are not the dialect's own are texts like any other.

use serde_json::{Map, Value};
use tappass_model::{Origin, Segment};

use super::place;

/// Numbers this long or longer may be a card, a phone, an account: they are scanned as text.
const LONG_NUMBER: usize = 7;
/// Base64 shorter than this is scanned as the text it may well be.
const MIN_PAYLOAD: usize = 128;

/// Collects the texts of a request.
pub fn request(body: &Value) -> Vec<Segment> {
    let mut walk = Walk::default();
    let Some(body) = body.as_object() else { return walk.segments };
    walk.members(
        body,
        |walk, key, value| match (key, value) {
            ("model", _) => {}
            ("messages", Value::Array(messages)) => walk.items(messages, Walk::message),
            ("tools" | "functions", _) => walk.value(key, value, Origin::ToolDefinition),
            _ => walk.value(key, value, Origin::Parameter),
        },
        Origin::Parameter,
    );
    walk.segments
}

/// A walk in progress: where it stands and what it found.
#[derive(Default)]
pub struct Walk {
    /// The texts so far.
    pub segments: Vec<Segment>,
    /// The pointer of the value under the walk.
    pub pointer: String,
}

impl Walk {
    fn message(&mut self, message: &Value) {
        let Some(message) = message.as_object() else { return self.value("", message, Origin::Parameter) };
        let author = match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => Origin::System,
            Some("assistant") => Origin::Assistant,
            Some("tool" | "function") => Origin::ToolResult,
            _ => Origin::User,
        };
        self.members(
            message,
            |walk, key, value| match key {
                "tool_calls" | "function_call" => walk.value(key, value, Origin::Parameter),
                "content" | "refusal" | "reasoning_content" | "reasoning" => walk.value(key, value, author),
                _ => walk.value(key, value, Origin::Parameter),
            },
            Origin::Parameter,
        );
    }

    /// A value of any shape under `key`.
    pub fn value(&mut self, key: &str, value: &Value, origin: Origin) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let text = number.to_string();
                if text.len() >= LONG_NUMBER {
                    self.push(origin, text);
                }
            }
            Value::String(text) if matches!(key, "type" | "role") && is_word(text) => {}
            Value::String(text) => {
                let origin = match (key, origin) {
                    ("arguments" | "input", Origin::Parameter | Origin::Answer) => Origin::ToolArguments,
                    _ => origin,
                };
                match payload_start(key, text) {
                    Some(0) => {}
                    Some(start) => self.push(origin, text[..start].to_owned()),
                    None => self.push(origin, text.clone()),
                }
            }
            Value::Array(items) => self.items(items, |walk, item| walk.value(key, item, origin)),
            Value::Object(object) => {
                self.members(object, |walk, key, value| walk.value(key, value, origin), origin);
            }
        }
    }

    /// Adds a text, unless it is empty, at the place where the walk stands.
    pub fn push(&mut self, origin: Origin, text: String) {
        if text.is_empty() {
            return;
        }
        self.segments.push(Segment { origin, pointer: self.pointer.clone(), text });
    }

    /// Visits the items of an array.
    pub fn items(&mut self, items: &[Value], mut visit: impl FnMut(&mut Self, &Value)) {
        let length = self.pointer.len();
        for (i, item) in items.iter().enumerate() {
            place::push_index(&mut self.pointer, i);
            visit(self, item);
            self.pointer.truncate(length);
        }
    }

    /// Visits the members of an object. A key that is no word of the dialect is a text of its own.
    pub fn members(
        &mut self,
        object: &Map<String, Value>,
        mut visit: impl FnMut(&mut Self, &str, &Value),
        origin: Origin,
    ) {
        let length = self.pointer.len();
        for (i, (key, value)) in object.iter().enumerate() {
            if is_word(key) {
                place::push_word(&mut self.pointer, key);
            } else {
                place::push_key(&mut self.pointer, i);
                self.push(origin, key.clone());
                self.pointer.truncate(length);
                place::push_member(&mut self.pointer, i);
            }
            visit(self, key, value);
            self.pointer.truncate(length);
        }
    }
}

/// Where the base64 payload of a medium begins in `text`: after the comma of a `data:` URL, or at 0 where the
/// whole is payload (`input_audio.data`, `file_data`). `None` where the text is to be scanned whole: no medium,
/// a text type, or something that only looks like base64.
fn payload_start(key: &str, text: &str) -> Option<usize> {
    let start = match text.get(..5) {
        Some(scheme) if scheme.eq_ignore_ascii_case("data:") => {
            let comma = text.find(',')?;
            let media = text[5..comma].to_ascii_lowercase();
            let binary = ["image/", "audio/", "video/", "application/pdf", "application/octet-stream"];
            if !media.ends_with(";base64") || !binary.iter().any(|kind| media.starts_with(kind)) {
                return None;
            }
            comma + 1
        }
        _ if matches!(key, "data" | "file_data") => 0,
        _ => return None,
    };
    let payload = text[start..].trim_end_matches('=').as_bytes();
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    // Digits alone are base64 too, and no picture.
    let letters = payload.iter().take(MIN_PAYLOAD).filter(|b| b.is_ascii_alphabetic()).count();
    (payload.len() >= MIN_PAYLOAD && letters > MIN_PAYLOAD / 2 && payload.iter().all(base64)).then_some(start)
}

/// Whether a key, or the value of a `type` or `role`, is a word of the dialect or of JSON Schema. Such a word
/// carries nothing of the caller's.
fn is_word(word: &str) -> bool {
    KEYS.binary_search(&word).is_ok()
}

/// Sorted.
const KEYS: &[&str] = &[
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "annotations",
    "anyOf",
    "approximate",
    "arguments",
    "array",
    "assistant",
    "audio",
    "boolean",
    "cache_control",
    "choices",
    "const",
    "content",
    "created",
    "custom",
    "data",
    "default",
    "definitions",
    "delta",
    "description",
    "detail",
    "developer",
    "effort",
    "encoding",
    "enum",
    "ephemeral",
    "examples",
    "file",
    "file_data",
    "file_id",
    "filename",
    "finish_reason",
    "format",
    "frequency_penalty",
    "function",
    "function_call",
    "functions",
    "grammar",
    "id",
    "image_url",
    "include_usage",
    "index",
    "input",
    "input_audio",
    "integer",
    "items",
    "json_object",
    "json_schema",
    "logit_bias",
    "logprobs",
    "maxItems",
    "maxLength",
    "max_completion_tokens",
    "max_tokens",
    "maximum",
    "message",
    "messages",
    "metadata",
    "minItems",
    "minLength",
    "minimum",
    "modalities",
    "model",
    "n",
    "name",
    "null",
    "number",
    "object",
    "oneOf",
    "parallel_tool_calls",
    "parameters",
    "pattern",
    "patternProperties",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "properties",
    "reasoning",
    "reasoning_content",
    "reasoning_effort",
    "refusal",
    "required",
    "response_format",
    "role",
    "safety_identifier",
    "schema",
    "search_context_size",
    "seed",
    "service_tier",
    "session_id",
    "stop",
    "store",
    "stream",
    "stream_options",
    "strict",
    "string",
    "system",
    "temperature",
    "text",
    "timezone",
    "title",
    "tool",
    "tool_call_id",
    "tool_calls",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "ttl",
    "type",
    "uniqueItems",
    "url",
    "usage",
    "user",
    "user_location",
    "verbosity",
    "web_search_options",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(body: &Value) -> Vec<(Origin, String, String)> {
        request(body).into_iter().map(|s| (s.origin, s.pointer, s.text)).collect()
    }

    #[test]
    fn the_words_are_sorted() {
        assert!(KEYS.is_sorted());
    }

    #[test]
    fn every_origin() {
        let body = json!({"model": "m", "messages": [
            {"role": "developer", "content": "be kind"},
            {"role": "user", "name": "bob", "content": [{"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}]},
            {"role": "assistant", "content": null, "refusal": "no", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"}],
            "tools": [{"type": "function", "function": {"name": "f", "description": "finds",
                "parameters": {"type": "object", "properties": {"who": {"enum": ["x", "y"]}}}}}],
            "user": "u-1", "stop": ["END"]});
        use Origin::*;
        let expected = [
            (System, "/messages/0/content", "be kind"),
            (Parameter, "/messages/1/name", "bob"),
            (User, "/messages/1/content/0/text", "look"),
            (User, "/messages/1/content/1/image_url/url", "https://x/y.png"),
            (User, "/messages/1/content/1/image_url/detail", "low"),
            (Assistant, "/messages/2/refusal", "no"),
            (Parameter, "/messages/2/tool_calls/0/id", "c1"),
            (Parameter, "/messages/2/tool_calls/0/function/name", "f"),
            (ToolArguments, "/messages/2/tool_calls/0/function/arguments", "{\"a\":1}"),
            (Parameter, "/messages/3/tool_call_id", "c1"),
            (ToolResult, "/messages/3/content", "found"),
            (ToolDefinition, "/tools/0/function/name", "f"),
            (ToolDefinition, "/tools/0/function/description", "finds"),
            (ToolDefinition, "/tools/0/function/parameters/properties/~@0#", "who"),
            (ToolDefinition, "/tools/0/function/parameters/properties/~@0/enum/0", "x"),
            (ToolDefinition, "/tools/0/function/parameters/properties/~@0/enum/1", "y"),
            (Parameter, "/user", "u-1"),
            (Parameter, "/stop/0", "END"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(o, p, t)| (*o, (*p).to_owned(), (*t).to_owned())).collect();
        assert_eq!(texts(&body), expected);
    }

    #[test]
    fn no_place_is_a_hole() {
        let canary = "canary-7f3a";
        let message = |m: Value| json!({"model": "m", "messages": [m]});
        for body in [
            message(json!({"role": "user", "content": "x", "novel": {"deep": [[canary]]}})),
            message(json!({"role": "user", "content": "x", "novel": {canary: 1}})),
            message(json!({"role": "user", "content": [{"type": canary}]})),
            message(json!({"role": "user", "content": [{"type": "x", "y": canary}]})),
            message(json!({"role": "assistant", "tool_calls": [{"custom": {"input": canary}}]})),
            json!({"metadata": {"a": canary}}),
            json!({"metadata": {canary: "a"}}),
            json!({"prediction": {"type": "content", "content": canary}}),
            json!({"response_format": {"json_schema": {"schema": {"required": [canary]}}}}),
            json!({"tools": [{"function": {"parameters": {"type": canary}}}]}),
            json!({"logit_bias": {canary: 1}}),
            json!({canary: null}),
            json!({"user": canary}),
            json!({"messages": canary}),
            json!({"messages": [canary]}),
        ] {
            assert!(texts(&body).iter().any(|(_, _, text)| text == canary), "{body}");
        }
        assert!(texts(&json!({"seed": 4_111_111_111_111_111_u64})).iter().any(|t| t.2 == "4111111111111111"));
    }

    #[test]
    fn pointers_hold_no_content() {
        let found = texts(&json!({"metadata": {"alice@example.com": {"type": "secret-key"}}}));
        assert!(found.iter().all(|(_, pointer, _)| !pointer.contains("alice")), "{found:?}");
    }

    #[test]
    fn media_payload_is_left_out_and_nothing_else() {
        let payload = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ".repeat(8);
        let url = |url: String| {
            texts(&json!({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": url}}]}]}))
            .remove(0)
            .2
        };
        assert_eq!(url(format!("data:image/png;base64,{payload}==")), "data:image/png;base64,");
        for whole in [
            "data:text/plain,my card is 4111".to_owned(),
            format!("data:text/plain;base64,{payload}"),
            format!("data:image/png;base64,{payload} and my card is 4111"),
            format!("data:image/png;base64,{}", "4111111111111111".repeat(20)),
            "data:image/png;base64,c2hvcnQ=".to_owned(),
            "data:image/png;base64".to_owned(),
        ] {
            assert_eq!(url(whole.clone()), whole);
        }
        let audio = json!({"messages": [{"role": "user", "content": [
            {"type": "input_audio", "input_audio": {"data": payload, "format": "wav"}}]}]});
        assert_eq!(texts(&audio).len(), 1);
    }
}
