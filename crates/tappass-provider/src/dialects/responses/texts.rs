//! Every text of a response, asked or answered, in its order, with its origin and its place.

use serde_json::Value;
use tappass_model::{Answer, Origin, Segment, Usage};

use super::items::{self, arguments_at, is_agents, kind};
use crate::dialects::walk::Walk;

/// Collects the texts of a request.
pub fn request(body: &Value) -> Vec<Segment> {
    let mut walk = Walk::default();
    let Some(body) = body.as_object() else { return walk.segments };
    walk.members(
        body,
        |walk, key, value| match (key, value) {
            ("model", _) => {}
            ("instructions", _) => walk.value(key, value, Origin::System),
            // A text for the model from end to end, whatever it looks like.
            ("input", Value::String(text)) => walk.push(Origin::User, text.clone()),
            ("input", Value::Array(list)) => walk.items(list, |walk, one| item(walk, one, true)),
            ("tools", _) => walk.value(key, value, Origin::ToolDefinition),
            _ => walk.value(key, value, Origin::Parameter),
        },
        Origin::Parameter,
    );
    walk.segments
}

/// One item, of a request (`asked`) or of an answer.
pub fn item(walk: &mut Walk, value: &Value, asked: bool) {
    let other = if asked { Origin::User } else { Origin::Answer };
    let Some(object) = value.as_object() else { return walk.value("", value, other) };
    let kind = kind(value);
    let beside = if asked { Origin::Parameter } else { Origin::Answer };
    let returned = if asked { Origin::ToolResult } else { Origin::Answer };
    let author = match value["role"].as_str() {
        _ if !asked => Origin::Answer,
        Some("system" | "developer") => Origin::System,
        Some("assistant") => Origin::Assistant,
        _ => Origin::User,
    };
    let arguments = arguments_at(value);
    walk.members(
        object,
        |walk, key, member| match (kind, key) {
            // Names and ids of the model's calls are read as calls, not as texts.
            (
                _,
                "id"
                | "type"
                | "role"
                | "status"
                | "phase"
                | "call_id"
                | "name"
                | "server_label"
                | "container_id"
                | "approval_request_id",
            ) if !asked => walk.names(member, other),
            ("message", "content") => match member.as_array() {
                Some(parts) => walk.items(parts, |walk, one| part(walk, one, author)),
                None => walk.value(key, member, author),
            },
            ("reasoning", "summary" | "content") => walk.value(key, member, Origin::Reasoning),
            (_, key) if Some(key) == arguments => match member {
                // What the agent would run is one text, its JSON, as the call's arguments are.
                Value::Object(members) if is_agents(value) => {
                    if !members.is_empty() {
                        walk.push(Origin::ToolArguments, member.to_string());
                    }
                }
                _ => walk.value(key, member, Origin::ToolArguments),
            },
            ("image_generation_call", "result") => walk.value("data", member, returned),
            ("mcp_list_tools", "tools") if asked => walk.value(key, member, Origin::ToolDefinition),
            (_, "output" | "outputs" | "result" | "results" | "error" | "reason") => {
                walk.value(key, member, returned);
            }
            ("", _) => walk.value(key, member, other),
            _ => walk.value(key, member, beside),
        },
        other,
    );
}

/// Log probabilities repeat the text; they go where it changes.
fn part(walk: &mut Walk, value: &Value, author: Origin) {
    let Some(object) = value.as_object() else { return walk.value("", value, author) };
    let visit = |walk: &mut Walk, key: &str, member: &Value| match key {
        "logprobs" if author == Origin::Answer && spells(member) => {}
        _ => walk.value(key, member, author),
    };
    walk.members(object, visit, author);
}

/// Whether log probabilities are what they should be: tokens, and nothing beside them.
fn spells(logprobs: &Value) -> bool {
    let token = |one: &Value| {
        one.as_object().is_some_and(|members| {
            members.iter().all(|(key, value)| match key.as_str() {
                "token" => value.is_string(),
                "logprob" => value.is_number(),
                "bytes" => value.as_array().is_none_or(|bytes| bytes.iter().all(Value::is_number)),
                _ => false,
            })
        })
    };
    let members = |list: &[Value]| {
        list.iter().all(|one| {
            let mut alone = one.clone();
            let top = alone.as_object_mut().and_then(|one| one.shift_remove("top_logprobs"));
            token(&alone) && top.is_none_or(|top| top.as_array().is_some_and(|top| top.iter().all(token)))
        })
    };
    logprobs.as_array().is_some_and(|list| members(list))
}

/// The texts of one item of an answer. Pointers begin at the item.
pub fn of_item(value: &Value) -> Vec<Segment> {
    let mut walk = Walk::default();
    item(&mut walk, value, false);
    walk.segments
}

/// The texts of one part of an item. Pointers begin at the part.
pub fn of_part(value: &Value) -> Vec<Segment> {
    let mut walk = Walk::default();
    part(&mut walk, value, Origin::Answer);
    walk.segments
}

/// What only names and counts in an answer.
const NAMES: &[&str] = &[
    "background",
    "completed_at",
    "created_at",
    "id",
    "incomplete_details",
    "max_output_tokens",
    "max_tool_calls",
    "model",
    "object",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_retention",
    "reasoning",
    "service_tier",
    "status",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "top_logprobs",
    "top_p",
    "truncation",
    "usage",
];

/// Reads a whole answer.
pub fn answer(body: &Value) -> Answer {
    let mut walk = Walk::default();
    let output = body["output"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(object) = body.as_object() {
        walk.members(
            object,
            |walk, key, value| match (key, value) {
                ("output", Value::Array(list)) => walk.items(list, |walk, one| item(walk, one, false)),
                (key, _) if NAMES.contains(&key) => walk.names(value, Origin::Answer),
                _ => walk.value(key, value, Origin::Answer),
            },
            Origin::Answer,
        );
    }
    if body.is_string() || body.is_array() {
        walk.value("", body, Origin::Answer);
    }
    walk.forget_own_keys();
    let count = |key: &str| body["usage"][key].as_u64().unwrap_or(0);
    Answer {
        body: body.clone(),
        segments: walk.segments,
        tool_calls: output.iter().filter_map(items::call).collect(),
        usage: Usage { prompt_tokens: count("input_tokens"), completion_tokens: count("output_tokens") },
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        unknown: output.iter().position(|one| !items::is_known(one)).map(|i| format!("output[{i}]")),
        ..Answer::default()
    }
}

/// The strings of a value that no part of the dialect reads piece by piece, each with its pointer.
pub fn strings(value: &Value) -> Vec<Segment> {
    let mut walk = Walk::default();
    walk.value("", value, Origin::Answer);
    walk.segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::place;
    use proptest::prelude::*;
    use serde_json::json;

    fn found(body: &Value) -> Vec<(Origin, String, String)> {
        request(body).into_iter().map(|s| (s.origin, s.pointer, s.text)).collect()
    }

    #[test]
    fn every_origin() {
        let body = json!({"model": "m", "instructions": "be kind", "input": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}]},
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "well", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"},
            {"type": "function_call_output", "call_id": "c1", "output": "r"},
            {"type": "shell_call", "call_id": "c2", "action": {"commands": ["ls"]}},
            {"type": "mcp_call", "server_label": "s", "name": "g", "arguments": "{}", "output": "o"}],
            "tools": [{"type": "function", "name": "f", "description": "finds", "parameters": {"type": "object"}}],
            "metadata": {"ticket": "t"}, "user": "u"});
        use Origin::*;
        let expected = [
            (System, "/instructions", "be kind"),
            (System, "/input/0/content", "be brief"),
            (User, "/input/1/content/0/text", "look"),
            (User, "/input/1/content/1/image_url", "https://x/y.png"),
            (User, "/input/1/content/1/detail", "low"),
            (Parameter, "/input/2/id", "rs"),
            (Reasoning, "/input/2/summary/0/text", "hm"),
            (Parameter, "/input/2/encrypted_content", "x"),
            (Assistant, "/input/3/content/0/text", "well"),
            (Parameter, "/input/4/call_id", "c1"),
            (Parameter, "/input/4/name", "f"),
            (ToolArguments, "/input/4/arguments", "{\"a\":1}"),
            (Parameter, "/input/5/call_id", "c1"),
            (ToolResult, "/input/5/output", "r"),
            (Parameter, "/input/6/call_id", "c2"),
            (ToolArguments, "/input/6/action", "{\"commands\":[\"ls\"]}"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(o, p, t)| (*o, (*p).to_owned(), (*t).to_owned())).collect();
        let all = found(&body);
        assert_eq!(all[..expected.len()], expected);
        let rest: Vec<_> = all[expected.len()..].iter().map(|(o, _, t)| (*o, t.as_str())).collect();
        for one in [(ToolResult, "o"), (ToolDefinition, "finds"), (Parameter, "t"), (Parameter, "u")] {
            assert!(rest.contains(&one), "{one:?}: {rest:?}");
        }
    }

    #[test]
    fn no_place_is_a_hole() {
        let canary = "Q".repeat(150) + "canary7f3a";
        let item = |item: Value| json!({"input": [item]});
        let part = |part: Value| json!({"input": [{"role": "user", "content": [part]}]});
        for body in [
            json!({"instructions": canary}),
            json!({"input": canary}),
            json!({"input": format!("data:image/png;base64,{canary}")}),
            json!({"metadata": {canary.as_str(): 1}}),
            json!({"prompt": {"variables": {"x": canary}}}),
            json!({"previous_response_id": canary}),
            json!({"tools": [{"type": "mcp", "headers": {"x": canary}}]}),
            json!({"tools": [{"type": "function", "name": "f", "parameters": {"default": {"data": canary}}}]}),
            json!({"text": {"format": {"schema": {"description": canary}}}}),
            item(json!({"role": "user", "content": canary})),
            item(json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": canary}]})),
            item(json!({"type": "reasoning", "content": [{"type": "reasoning_text", "text": canary}]})),
            item(json!({"type": "function_call", "arguments": canary})),
            item(json!({"type": "function_call", "name": canary})),
            item(json!({"type": "function_call_output", "output": canary})),
            item(json!({"type": "function_call_output", "output": [{"type": "input_text", "text": canary}]})),
            item(json!({"type": "custom_tool_call", "input": canary})),
            item(
                json!({"type": "local_shell_call", "action": {"command": [canary], "env": {"data": canary}}}),
            ),
            item(json!({"type": "local_shell_call_output", "output": canary})),
            item(json!({"type": "apply_patch_call", "operation": {"diff": canary}})),
            item(json!({"type": "shell_call_output", "output": [{"stdout": canary}]})),
            item(json!({"type": "computer_call", "action": {"type": "type", "text": canary}})),
            item(json!({"type": "mcp_call", "output": canary})),
            item(json!({"type": "mcp_list_tools", "tools": [{"description": canary}]})),
            item(json!({"type": "file_search_call", "results": [{"text": canary}]})),
            item(json!({"type": "code_interpreter_call", "code": canary})),
            item(json!({"type": "code_interpreter_call", "outputs": [{"logs": canary}]})),
            item(json!({"type": "web_search_call", "action": {"query": canary}})),
            item(json!({"type": "item_reference", "id": canary})),
            item(json!({"type": canary})),
            item(json!({"type": "novel", "x": {"y": [canary]}})),
            item(json!(canary)),
            part(json!({"type": "input_text", "text": canary})),
            part(json!({"type": "input_file", "filename": canary})),
            part(json!({"type": "refusal", "refusal": canary})),
            part(json!({"type": "output_text", "text": "x", "annotations": [{"title": canary}]})),
            part(json!({"type": "output_text", "text": "x", "logprobs": [{"token": canary}]})),
        ] {
            assert!(found(&body).iter().any(|(_, _, text)| text.contains(&canary)), "{body}");
        }
        for body in [
            part(json!({"type": "input_image", "image_url": format!("data:image/png;base64,{canary}")})),
            part(json!({"type": "input_file", "file_data": canary})),
            item(json!({"type": "reasoning", "summary": [], "encrypted_content": canary})),
            item(json!({"type": "image_generation_call", "result": canary})),
        ] {
            assert!(!found(&body).iter().any(|(_, _, text)| text.contains(&canary)), "{body}");
        }
    }

    #[test]
    fn an_answer_with_everything() {
        let body = json!({"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": "completed",
            "model": "gpt-x", "instructions": null, "tools": [], "metadata": {}, "error": null, "incomplete_details": null, "output": [
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                    {"type": "output_text", "text": "I look.", "annotations": [{"type": "url_citation", "url": "https://a"}],
                        "logprobs": [{"token": "I"}]},
                    {"type": "refusal", "refusal": "no"}]},
                {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}", "status": "completed"},
                {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}],
            "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}});
        let read = answer(&body);
        let texts: Vec<_> = read.segments.iter().map(|s| (s.origin, s.text.as_str())).collect();
        use Origin::{Answer, Reasoning, ToolArguments};
        assert_eq!(
            texts,
            [
                (Reasoning, "hm"),
                (Answer, "I look."),
                (Answer, "url_citation"),
                (Answer, "https://a"),
                (Answer, "no"),
                (ToolArguments, "{\"a\":1}"),
                (ToolArguments, "search"),
                (ToolArguments, "q"),
            ]
        );
        let calls: Vec<_> = read.tool_calls.iter().map(|c| c.name.as_str()).collect();
        assert_eq!((calls, read.unknown), (vec!["f", "web_search"], None));
        assert_eq!((read.usage.prompt_tokens, read.usage.completion_tokens), (5, 3));
        assert_eq!(answer(&json!({"output": [{"type": "hologram"}]})).unknown.as_deref(), Some("output[0]"));
        let said = answer(&json!({"output": [], "error": {"code": "x", "message": "psst"}})).segments;
        assert!(said.iter().any(|s| s.text == "psst"));
        for odd in [json!(null), json!({"output": 3}), json!({"output": [null, "x", {"type": []}]})] {
            let _ = answer(&odd);
        }
    }

    proptest! {
        #[test]
        fn what_is_masked_is_masked(key in "[a-z]{1,6}", text in "\\PC{1,20}") {
            let mut body = json!({"instructions": text.clone(), "input": [
                {"role": "user", "content": [{"type": "input_text", "text": text.clone()}]},
                {"type": "shell_call", "call_id": "c", "action": {key: text.clone()}},
                {"type": "function_call_output", "call_id": "c", "output": text}]});
            for segment in request(&body) {
                let there = place::get_text(&body, &segment.pointer).expect("a text").into_owned();
                prop_assert_eq!(&there, &segment.text);
                let mask = if segment.pointer.ends_with("/action") { "{\"m\":1}" } else { "MASK" };
                prop_assert!(place::set_text(&mut body, &segment.pointer, mask.into()));
            }
            prop_assert_eq!(&body["instructions"], "MASK");
            prop_assert_eq!(&body["input"][0]["content"][0]["text"], "MASK");
            prop_assert_eq!(&body["input"][1]["action"], &json!({"m": 1}));
            prop_assert_eq!(&body["input"][2]["output"], "MASK");
        }
    }
}
