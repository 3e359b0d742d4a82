//! The tools of a chat request: the calls that its history holds, and taking some away.

use serde_json::Value;
use tappass_model::ToolCall;

use crate::dialects::tools::{History, PastCall, name, result_text};

/// What a request tells of the conversation before it.
pub fn history(body: &Value) -> History {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut calls: Vec<PastCall> = Vec::new();
    for (index, message) in body["messages"].as_array().into_iter().flatten().enumerate() {
        let asked = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        for call in asked {
            let (body, field) = match call.get("custom") {
                Some(custom) => (custom, "input"),
                None => (&call["function"], "arguments"),
            };
            let call =
                ToolCall { id: text(&call["id"]), name: text(&body["name"]), arguments: text(&body[field]) };
            calls.push(PastCall { message: index, call, result: None });
        }
        if let Some(name) = message["function_call"]["name"].as_str() {
            let arguments = text(&message["function_call"]["arguments"]);
            let call = ToolCall { id: String::new(), name: name.to_owned(), arguments };
            calls.push(PastCall { message: index, call, result: None });
        }
        if matches!(message["role"].as_str(), Some("tool" | "function")) {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let waits = |past: &&mut PastCall| {
                past.result.is_none() && (past.call.id == id || message["name"] == past.call.name.as_str())
            };
            if let Some(past) = calls.iter_mut().rev().find(waits) {
                past.result = Some(result_text(&message["content"]));
            }
        }
    }
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    History {
        calls,
        user_spoke: messages.iter().rposition(|message| message["role"] == "user"),
        answered: messages.last().is_some_and(|m| matches!(m["role"].as_str(), Some("tool" | "function"))),
        ..History::default()
    }
}

/// Takes tools away from a request. A `tool_choice` that asks for one of them is left to the model; where no tool
/// remains, what speaks of tools goes too (providers refuse it otherwise).
pub fn remove_tools(body: &mut Value, removed: &dyn Fn(&str) -> bool) {
    let goes = |tool: &Value| name(tool).is_some_and(removed);
    let mut left = 0;
    for key in ["tools", "functions"] {
        if let Some(tools) = body.get_mut(key).and_then(Value::as_array_mut) {
            tools.retain(|tool| !goes(tool));
            left += tools.len();
        }
    }
    let Some(object) = body.as_object_mut() else { return };
    for key in ["tools", "functions"] {
        if object.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            object.shift_remove(key);
        }
    }
    if left == 0 {
        for key in ["tool_choice", "function_call", "parallel_tool_calls"] {
            object.shift_remove(key);
        }
        return;
    }
    for key in ["tool_choice", "function_call"] {
        let Some(choice) = object.get_mut(key) else { continue };
        let among = choice.pointer_mut("/allowed_tools/tools").and_then(Value::as_array_mut);
        let none_left = among.map(|tools| {
            tools.retain(|tool| !goes(tool));
            tools.is_empty()
        });
        if none_left.unwrap_or_else(|| goes(choice)) {
            *choice = "auto".into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::tools::{definition_at, definitions};
    use serde_json::json;

    fn offering(choice: &Value) -> Value {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        json!({"tools": [tool("read"), tool("pay"), {"type": "custom", "custom": {"name": "sql"}}],
            "tool_choice": choice, "parallel_tool_calls": true})
    }

    #[test]
    fn what_is_removed_leaves_no_trace_and_the_rest_stays() {
        let named = json!({"type": "function", "function": {"name": "pay"}});
        let mut body = offering(&named);
        remove_tools(&mut body, &|name| name != "read");
        assert_eq!(definitions(&body).map(|(name, _)| name).collect::<Vec<_>>(), ["read"]);
        assert_eq!(body["tool_choice"], "auto");
        let body = offering(&named);
        assert_eq!(definition_at(&body, "/tools/1/function/description"), Some("pay"));
        assert_eq!(definition_at(&body, "/messages/1/content"), None);
        for (choice, after) in [
            (json!("required"), json!("required")),
            (
                json!({"type": "function", "function": {"name": "read"}}),
                json!({"type": "function", "function": {"name": "read"}}),
            ),
            (
                json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}),
                json!("auto"),
            ),
        ] {
            let mut body = offering(&choice);
            remove_tools(&mut body, &|name| name == "pay");
            assert_eq!(body["tool_choice"], after);
        }
    }

    #[test]
    fn where_none_remains_nothing_speaks_of_tools() {
        let mut body = offering(&json!("required"));
        body["functions"] = json!([{"name": "old"}]);
        body["function_call"] = json!({"name": "old"});
        remove_tools(&mut body, &|_| true);
        assert_eq!(body, json!({}));
    }

    #[test]
    fn past_calls_have_their_results() {
        let body = json!({"messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "read", "arguments": "{\"p\":1}"}},
                {"id": "b", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}]},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "one"}]},
            {"role": "assistant", "function_call": {"name": "old", "arguments": "{}"}},
            {"role": "function", "name": "old", "content": "done"}]});
        let calls = history(&body).calls;
        let shown: Vec<_> =
            calls.iter().map(|c| (c.message, c.call.name.as_str(), c.result.as_deref())).collect();
        assert_eq!(shown, [(1, "read", None), (1, "sql", Some("one")), (3, "old", Some("done"))]);
        assert_eq!(calls[1].call.arguments, "SELECT 1");
    }
}
