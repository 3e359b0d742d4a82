//! The texts of a chat request.

use serde_json::Value;
use tappass_model::{Origin, Segment};

use crate::dialects::walk::Walk;

/// Collects the texts of a request.
pub fn request(body: &Value) -> Vec<Segment> {
    let mut walk = Walk::default();
    let Some(body) = body.as_object() else { return walk.segments };
    walk.members(
        body,
        |walk, key, value| match (key, value) {
            ("model", _) => {}
            ("messages", Value::Array(messages)) => walk.items(messages, message),
            ("tools" | "functions", _) => walk.value(key, value, Origin::ToolDefinition),
            _ => walk.value(key, value, Origin::Parameter),
        },
        Origin::Parameter,
    );
    walk.segments
}

fn message(walk: &mut Walk, message: &Value) {
    let Some(message) = message.as_object() else { return walk.value("", message, Origin::Parameter) };
    let author = match message.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => Origin::System,
        Some("assistant") => Origin::Assistant,
        Some("tool" | "function") => Origin::ToolResult,
        _ => Origin::User,
    };
    walk.members(
        message,
        |walk, key, value| match key {
            "tool_calls" | "function_call" => walk.value(key, value, Origin::Parameter),
            "content" | "refusal" | "reasoning_content" | "reasoning" => walk.value(key, value, author),
            _ => walk.value(key, value, Origin::Parameter),
        },
        Origin::Parameter,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(body: &Value) -> Vec<(Origin, String, String)> {
        request(body).into_iter().map(|s| (s.origin, s.pointer, s.text)).collect()
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
