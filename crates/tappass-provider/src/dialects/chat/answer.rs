//! A whole answer: its texts, the tools it wants called, its tokens.

use serde_json::Value;
use tappass_model::{Answer, Origin, ToolCall, Usage};

use super::check::unknown_call;
use crate::dialects::{place, walk::Walk};

/// Fields of a message that have a place of their own in the order of segments. The order is the one in which a
/// model writes them, so that a stream folded together gives the same segments as the whole answer.
pub const FIRST: [(&str, Origin); 4] = [
    ("reasoning_content", Origin::Reasoning),
    ("content", Origin::Answer),
    ("refusal", Origin::Answer),
    ("tool_calls", Origin::Answer),
];

/// Reads a whole answer. `provider` and `matches` are left for the caller to fill.
#[must_use]
pub fn read_answer(body: &Value) -> Answer {
    let mut walk = Walk::default();
    let mut tool_calls = Vec::new();
    if let Some(object) = body.as_object() {
        walk.members(
            object,
            |walk, key, value| match (key, value) {
                ("choices", Value::Array(choices)) => walk.items(choices, |walk, choice| {
                    read_choice(walk, choice);
                    read_tool_calls(&choice["message"], &mut tool_calls);
                }),
                (
                    "id"
                    | "object"
                    | "created"
                    | "model"
                    | "usage"
                    | "system_fingerprint"
                    | "service_tier"
                    | "prompt_filter_results",
                    _,
                ) => walk.names(value, Origin::Answer),
                _ => walk.value(key, value, Origin::Answer),
            },
            Origin::Answer,
        );
    }
    if body.is_string() || body.is_array() {
        walk.value("", body, Origin::Answer);
    }
    walk.forget_own_keys();
    Answer {
        body: body.clone(),
        segments: walk.segments,
        tool_calls,
        usage: read_usage(&body["usage"]),
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        unknown: unknown(body),
        ..Answer::default()
    }
}

/// The first call of a kind that this version cannot read.
fn unknown(body: &Value) -> Option<String> {
    let choices = body["choices"].as_array()?.iter().enumerate();
    let mut calls = choices.flat_map(|(i, choice)| {
        let calls = choice["message"]["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        calls.iter().map(move |call| (i, call))
    });
    calls.find(|(_, call)| unknown_call(call)).map(|(i, _)| format!("choices[{i}].message.tool_calls"))
}

fn read_choice(walk: &mut Walk, choice: &Value) {
    let Some(object) = choice.as_object() else { return walk.value("", choice, Origin::Answer) };
    walk.members(
        object,
        |walk, key, value| match (key, value) {
            ("message", Value::Object(message)) => {
                for (key, origin) in FIRST {
                    let length = walk.pointer.len();
                    place::push_word(&mut walk.pointer, key);
                    walk_known(walk, key, message.get(key).unwrap_or(&Value::Null), origin);
                    walk.pointer.truncate(length);
                }
                walk.members(
                    message,
                    |walk, key, value| {
                        if key == "role" {
                            walk.names(value, Origin::Answer);
                        } else if !FIRST.iter().any(|(first, _)| *first == key) {
                            let origin = if key == "reasoning" { Origin::Reasoning } else { Origin::Answer };
                            walk.value(key, value, origin);
                        }
                    },
                    Origin::Answer,
                );
            }
            // Log probabilities repeat the content; `set_text` drops them when it changes.
            (
                "index" | "finish_reason" | "logprobs" | "content_filter_results" | "content_filter_offsets",
                _,
            ) => walk.names(value, Origin::Answer),
            _ => walk.value(key, value, Origin::Answer),
        },
        Origin::Answer,
    );
}

/// Of tool calls the arguments are the text; names and ids are read by [`read_tool_calls`].
fn walk_known(walk: &mut Walk, key: &str, value: &Value, origin: Origin) {
    let Some(calls) = value.as_array().filter(|_| key == "tool_calls") else {
        return walk.value(key, value, origin);
    };
    walk.items(calls, |walk, call| {
        let Some(call) = call.as_object() else { return walk.value("", call, origin) };
        walk.members(
            call,
            |walk, key, value| match (key, value) {
                ("function" | "custom", Value::Object(body)) => walk.members(
                    body,
                    |walk, key, value| match key {
                        "name" => walk.names(value, origin),
                        _ => walk.value(key, value, origin),
                    },
                    origin,
                ),
                ("id" | "type" | "index", _) => walk.names(value, origin),
                _ => walk.value(key, value, origin),
            },
            origin,
        );
    });
}

fn read_tool_calls(message: &Value, into: &mut Vec<ToolCall>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for call in message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let (body, field) = match call.get("custom") {
            Some(custom) => (custom, "input"),
            None => (&call["function"], "arguments"),
        };
        into.push(ToolCall {
            id: text(&call["id"]),
            name: text(&body["name"]),
            arguments: text(&body[field]),
        });
    }
    // The older form of the same, which a request with `functions` gets.
    let old = &message["function_call"];
    if old["name"].is_string() {
        let (name, arguments) = (text(&old["name"]), text(&old["arguments"]));
        into.push(ToolCall { id: String::new(), name, arguments });
    }
}

/// Reads a `usage` object; zeros where there is none.
pub fn read_usage(usage: &Value) -> Usage {
    Usage {
        prompt_tokens: usage["prompt_tokens"].as_u64().unwrap_or(0),
        completion_tokens: usage["completion_tokens"].as_u64().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_every_text_of_every_choice() {
        let body = json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-x", "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello", "refusal": null,
                "reasoning_content": "hm", "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a"}}]},
                "logprobs": {"content": [{"token": "hello"}]}},
            {"index": 1, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"q\":1}"}}]}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, "citations": ["https://b"]});
        let answer = read_answer(&body);
        let found: Vec<_> =
            answer.segments.iter().map(|s| (s.origin, s.pointer.as_str(), s.text.as_str())).collect();
        assert_eq!(
            found,
            [
                (Origin::Reasoning, "/choices/0/message/reasoning_content", "hm"),
                (Origin::Answer, "/choices/0/message/content", "hello"),
                (Origin::Answer, "/choices/0/message/annotations/0/type", "url_citation"),
                (Origin::Answer, "/choices/0/message/annotations/0/~@1#", "url_citation"),
                (Origin::Answer, "/choices/0/message/annotations/0/~@1/url", "https://a"),
                (Origin::ToolArguments, "/choices/1/message/tool_calls/0/function/arguments", "{\"q\":1}"),
                (Origin::Answer, "/citations/0", "https://b"),
            ]
        );
        assert_eq!(
            answer.tool_calls,
            [ToolCall { id: "c".into(), name: "f".into(), arguments: "{\"q\":1}".into() }]
        );
        assert_eq!((answer.usage.total(), answer.model.as_str()), (7, "gpt-x"));
        for segment in &answer.segments {
            assert_eq!(place::get_text(&body, &segment.pointer), Some(segment.text.as_str().into()));
        }
    }

    #[test]
    fn takes_any_shape() {
        for body in [json!(null), json!({"choices": 3}), json!({"choices": [null, "x", {"message": []}]})] {
            let _ = read_answer(&body);
        }
    }
}
