//! Every text of a message, asked or answered, in its order, with its origin and its place.

use serde_json::Value;
use tappass_model::{Answer, Origin, Segment, ToolCall, Usage};

use super::check::is_known;
use crate::dialects::{place, walk::Walk};

/// Collects the texts of a request.
pub fn request(body: &Value) -> Vec<Segment> {
    let mut walk = Walk::default();
    let Some(body) = body.as_object() else { return walk.segments };
    walk.members(
        body,
        |walk, key, value| match (key, value) {
            ("model", _) => {}
            ("messages", Value::Array(messages)) => walk.items(messages, message),
            ("system", Value::Array(list)) => walk.items(list, |walk, one| block(walk, one, Origin::System)),
            ("system", _) => walk.value(key, value, Origin::System),
            ("tools", _) => walk.value(key, value, Origin::ToolDefinition),
            _ => walk.value(key, value, Origin::Parameter),
        },
        Origin::Parameter,
    );
    walk.segments
}

fn message(walk: &mut Walk, message: &Value) {
    let Some(object) = message.as_object() else { return walk.value("", message, Origin::Parameter) };
    let author = match message["role"].as_str() {
        Some("assistant") => Origin::Assistant,
        Some("system") => Origin::System,
        _ => Origin::User,
    };
    walk.members(
        object,
        |walk, key, value| match (key, value) {
            ("content", Value::Array(list)) => walk.items(list, |walk, one| block(walk, one, author)),
            ("content", _) => walk.value(key, value, author),
            _ => walk.value(key, value, Origin::Parameter),
        },
        Origin::Parameter,
    );
}

/// One content block. A tool's input is one text, its JSON: what the model writes in a stream, too.
fn block(walk: &mut Walk, value: &Value, author: Origin) {
    let Some(object) = value.as_object() else { return walk.value("", value, author) };
    let kind = value["type"].as_str().unwrap_or_default();
    let beside = if author == Origin::Answer { author } else { Origin::Parameter };
    walk.members(
        object,
        |walk, key, value| match (kind, key, value) {
            (_, "input", Value::Object(input)) if kind.ends_with("tool_use") => {
                if !input.is_empty() {
                    walk.push(Origin::ToolArguments, value.to_string());
                }
            }
            // Names and ids of the model's calls are read as calls, not as texts.
            ("tool_use", "id" | "name", _) if author == Origin::Answer => {}
            (_, "id" | "name" | "tool_use_id", _) => walk.value(key, value, beside),
            ("thinking", "thinking", _) => walk.value(key, value, Origin::Reasoning),
            _ if kind.ends_with("tool_result") && author != Origin::Answer => {
                walk.value(key, value, Origin::ToolResult);
            }
            ("search_result", ..) if author == Origin::User => walk.value(key, value, Origin::ToolResult),
            _ => walk.value(key, value, author),
        },
        author,
    );
}

/// Reads a whole answer.
pub fn answer(body: &Value) -> Answer {
    let mut walk = Walk::default();
    let blocks = body["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(object) = body.as_object() {
        walk.members(
            object,
            |walk, key, value| match (key, value) {
                ("content", Value::Array(list)) => {
                    walk.items(list, |walk, one| block(walk, one, Origin::Answer));
                }
                ("id" | "type" | "role" | "model" | "stop_reason" | "usage" | "container", _) => {
                    walk.names(value, Origin::Answer);
                }
                _ => walk.value(key, value, Origin::Answer),
            },
            Origin::Answer,
        );
    }
    if body.is_string() || body.is_array() {
        walk.value("", body, Origin::Answer);
    }
    walk.forget_own_keys();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let called = |block: &&Value| block["type"].as_str().is_some_and(|kind| kind.ends_with("tool_use"));
    Answer {
        body: body.clone(),
        segments: walk.segments,
        tool_calls: blocks
            .iter()
            .filter(called)
            .map(|block| ToolCall {
                id: text(&block["id"]),
                name: text(&block["name"]),
                arguments: block["input"].to_string(),
            })
            .collect(),
        usage: usage(&body["usage"]),
        model: text(&body["model"]),
        unknown: blocks.iter().position(|block| !is_known(block)).map(|i| format!("content[{i}]")),
        ..Answer::default()
    }
}

/// Tokens; what was read from and written to the cache is part of the prompt.
pub fn usage(usage: &Value) -> Usage {
    let count = |key: &str| usage[key].as_u64().unwrap_or(0);
    Usage {
        prompt_tokens: count("input_tokens")
            + count("cache_read_input_tokens")
            + count("cache_creation_input_tokens"),
        completion_tokens: count("output_tokens"),
    }
}

/// The strings of a value that no part of the dialect reads piece by piece, each with its pointer.
pub fn strings(value: &Value) -> Vec<Segment> {
    let mut walk = Walk::default();
    walk.value("", value, Origin::Answer);
    walk.segments
}

/// Writes a text back to where [`strings`] found it.
pub fn set(value: &mut Value, pointer: &str, text: String) {
    place::set_text(value, pointer, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn found(body: &Value) -> Vec<(Origin, String, String)> {
        request(body).into_iter().map(|s| (s.origin, s.pointer, s.text)).collect()
    }

    #[test]
    fn every_origin() {
        let body = json!({"model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "be kind"}], "messages": [
            {"role": "user", "content": [{"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "document", "title": "T", "context": "C", "source": {"type": "text", "media_type": "text/plain", "data": "D"}},
                {"type": "search_result", "source": "https://s", "title": "S", "content": [{"type": "text", "text": "hit"}]}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": {"b": "c"}}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "r"}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "s"}]},
            {"role": "system", "content": "and brief"}],
            "tools": [{"name": "f", "description": "finds", "input_schema": {"type": "object",
                "properties": {"who": {"description": "whom"}}}}],
            "metadata": {"user_id": "u"}, "stop_sequences": ["END"]});
        use Origin::*;
        let expected = [
            (System, "/system/0/text", "be kind"),
            (User, "/messages/0/content/0/text", "look"),
            (User, "/messages/0/content/1/source/url", "https://x/y.png"),
            (User, "/messages/0/content/2/title", "T"),
            (User, "/messages/0/content/2/context", "C"),
            (User, "/messages/0/content/2/source/media_type", "text/plain"),
            (User, "/messages/0/content/2/source/data", "D"),
            (ToolResult, "/messages/0/content/3/source", "https://s"),
            (ToolResult, "/messages/0/content/3/title", "S"),
            (ToolResult, "/messages/0/content/3/content/0/text", "hit"),
            (Reasoning, "/messages/1/content/0/thinking", "hm"),
            (Assistant, "/messages/1/content/0/signature", "c2ln"),
            (Parameter, "/messages/1/content/1/id", "t1"),
            (Parameter, "/messages/1/content/1/name", "f"),
            (ToolArguments, "/messages/1/content/1/input", "{\"a\":{\"b\":\"c\"}}"),
            (Parameter, "/messages/2/content/0/tool_use_id", "t1"),
            (ToolResult, "/messages/2/content/0/content/0/text", "r"),
            (Parameter, "/messages/2/content/1/tool_use_id", "t2"),
            (ToolResult, "/messages/2/content/1/content", "s"),
            (System, "/messages/3/content", "and brief"),
            (ToolDefinition, "/tools/0/name", "f"),
            (ToolDefinition, "/tools/0/description", "finds"),
            (ToolDefinition, "/tools/0/input_schema/properties/~@0#", "who"),
            (ToolDefinition, "/tools/0/input_schema/properties/~@0/description", "whom"),
            (Parameter, "/metadata/user_id", "u"),
            (Parameter, "/stop_sequences/0", "END"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(o, p, t)| (*o, (*p).to_owned(), (*t).to_owned())).collect();
        assert_eq!(found(&body), expected);
    }

    #[test]
    fn no_place_is_a_hole() {
        let canary = "Q".repeat(150) + "canary7f3a";
        let block = |b: Value| json!({"messages": [{"role": "user", "content": [b]}]});
        for body in [
            json!({"system": canary}),
            json!({"system": [{"type": "text", "text": canary}]}),
            json!({"messages": [{"role": "user", "content": canary}]}),
            json!({"messages": canary}),
            json!({"metadata": {canary.as_str(): 1}}),
            json!({"mcp_servers": [{"url": canary}]}),
            block(json!({"type": "text", "text": canary})),
            block(json!({"type": canary})),
            block(json!({"type": "novel", "x": {"y": [canary]}})),
            block(
                json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": canary}}),
            ),
            block(
                json!({"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": canary}}),
            ),
            block(
                json!({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": canary}]}}),
            ),
            block(json!({"type": "tool_use", "input": {"data": canary}})),
            block(json!({"type": "tool_use", "input": {"signature": canary}})),
            block(json!({"type": "tool_use", "input": {canary.as_str(): 1}})),
            block(json!({"type": "tool_result", "content": canary})),
            block(json!({"type": "tool_result", "content": [{"type": "text", "text": canary}]})),
            block(json!({"type": "thinking", "thinking": canary})),
            block(json!({"type": "text", "text": "x", "citations": [{"cited_text": canary}]})),
            json!({"tools": [{"name": "f", "input_schema": {"properties": {"x": {"description": canary}}}}]}),
            json!({"tools": [{"name": "f", "input_schema": {"default": {"data": canary}}}]}),
        ] {
            assert!(found(&body).iter().any(|(_, _, text)| text.contains(&canary)), "{body}");
        }
        // A picture's payload and what the provider signed are no text.
        for body in [
            block(
                json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": canary}}),
            ),
            block(json!({"type": "thinking", "thinking": "x", "signature": canary})),
            block(json!({"type": "redacted_thinking", "data": canary})),
        ] {
            assert!(!found(&body).iter().any(|(_, _, text)| text.contains(&canary)), "{body}");
        }
    }

    #[test]
    fn an_answer_with_everything() {
        let body = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "I look.", "citations": [{"type": "char_location", "cited_text": "q"}]},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            {"type": "tool_use", "id": "t2", "name": "g", "input": {}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 3}});
        let answer = answer(&body);
        let texts: Vec<_> = answer.segments.iter().map(|s| (s.origin, s.text.as_str())).collect();
        assert_eq!(
            texts,
            [
                (Origin::Reasoning, "hm"),
                (Origin::Answer, "x"),
                (Origin::Answer, "I look."),
                (Origin::Answer, "char_location"),
                (Origin::Answer, "q"),
                (Origin::ToolArguments, "{\"a\":1}"),
            ]
        );
        assert_eq!(answer.tool_calls.len(), 2);
        assert_eq!((answer.usage.prompt_tokens, answer.usage.completion_tokens), (12, 3));
        assert_eq!(answer.unknown, None);
        let odd = json!({"content": [{"type": "text", "text": "x"}, {"type": "hologram", "beam": "y"}]});
        assert_eq!(super::answer(&odd).unknown.as_deref(), Some("content[1]"));
        for body in [json!(null), json!({"content": 3}), json!({"content": [null, "x", {"type": []}]})] {
            let _ = super::answer(&body);
        }
    }

    proptest! {
        #[test]
        fn what_is_masked_is_masked(key in "[a-z]{1,6}", text in "\\PC{1,20}") {
            let mut body = json!({"messages": [{"role": "assistant", "content": [
                {"type": "text", "text": text.clone()},
                {"type": "tool_use", "id": "t", "name": "f", "input": {key.clone(): text.clone()}},
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": text}]}]}]});
            for segment in request(&body) {
                let found = place::get_text(&body, &segment.pointer).expect("a text").into_owned();
                prop_assert_eq!(&found, &segment.text);
                let mask = if segment.text.starts_with('{') && segment.pointer.ends_with("/input") { "{\"m\":1}" } else { "MASK" };
                prop_assert!(place::set_text(&mut body, &segment.pointer, mask.into()));
            }
            let blocks = &body["messages"][0]["content"];
            prop_assert_eq!(&blocks[0]["text"], "MASK");
            prop_assert_eq!(&blocks[1]["input"], &json!({"m": 1}));
            prop_assert_eq!(&blocks[2]["content"][0]["text"], "MASK");
        }
    }
}
