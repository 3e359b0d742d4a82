//! The tools of a request: the calls that its items hold, and taking some away.

use serde_json::Value;

use super::items::{call, is_result, kind};
use crate::dialects::tools::{History, PastCall, name, result_text};

/// What a request tells of the conversation before it. Calls that follow each other are one round.
pub fn history(body: &Value) -> History {
    let list = body["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut history = History { user_spoke: body["input"].is_string().then_some(0), ..History::default() };
    let mut round = None;
    for (index, item) in list.iter().enumerate() {
        history.answered = is_result(item);
        if kind(item) == "message" && item["role"] == "user" {
            history.user_spoke = Some(index);
        }
        if let Some(call) = call(item) {
            let message = *round.get_or_insert(index);
            history.calls.push(PastCall { message, call, result: None });
        } else if kind(item) != "reasoning" {
            round = None;
        }
        if is_result(item) {
            let waits =
                |past: &&mut PastCall| past.result.is_none() && item["call_id"] == past.call.id.as_str();
            if let Some(past) = history.calls.iter_mut().rev().find(waits) {
                past.result = Some(result_text(&item["output"]));
            }
        }
    }
    history
}

/// See [`crate::dialects::Shape::remove_tools`].
pub fn remove_tools(body: &mut Value, removed: &dyn Fn(&str) -> bool) {
    let goes = |tool: &Value| name(tool).is_some_and(removed);
    let Some(tools) = body.get_mut("tools").and_then(Value::as_array_mut) else { return };
    tools.retain(|tool| !goes(tool));
    let none_left = tools.is_empty();
    let Some(object) = body.as_object_mut() else { return };
    if none_left {
        for key in ["tools", "tool_choice", "parallel_tool_calls"] {
            object.shift_remove(key);
        }
        return;
    }
    let Some(choice) = object.get_mut("tool_choice").filter(|choice| choice.is_object()) else { return };
    let among = choice.get_mut("tools").and_then(Value::as_array_mut);
    let no_choice = among.map(|tools| {
        tools.retain(|tool| !goes(tool));
        tools.is_empty()
    });
    if no_choice.unwrap_or_else(|| goes(choice)) {
        *choice = "auto".into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_removed_leaves_no_trace() {
        let read = json!({"type": "function", "name": "read"});
        let body = json!({"tools": [read, {"type": "web_search_preview"}], "parallel_tool_calls": true});
        for (choice, after) in [
            (json!({"type": "web_search_preview"}), json!("auto")),
            (read.clone(), read.clone()),
            (json!("required"), json!("required")),
            (
                json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search_preview"}, read]}),
                json!({"type": "allowed_tools", "mode": "auto", "tools": [read]}),
            ),
            (
                json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}),
                json!("auto"),
            ),
        ] {
            let mut body = body.clone();
            body["tool_choice"] = choice;
            remove_tools(&mut body, &|name| name == "web_search");
            assert_eq!((&body["tools"], &body["tool_choice"]), (&json!([read]), &after));
        }
        let mut none = body;
        none["tool_choice"] = json!("required");
        remove_tools(&mut none, &|_| true);
        assert_eq!(none, json!({}));
    }

    #[test]
    fn past_calls_have_their_results_and_their_round() {
        let body = json!({"input": [
            {"role": "user", "content": "go"},
            {"type": "function_call", "call_id": "a", "name": "read", "arguments": "{}"},
            {"type": "reasoning", "summary": []},
            {"type": "custom_tool_call", "call_id": "b", "name": "sql", "input": "SELECT 1"},
            {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "one"}]},
            {"type": "function_call_output", "call_id": "a", "output": "two"},
            {"type": "function_call", "call_id": "c", "name": "pay", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "paid"}]});
        let seen = history(&body);
        let shown: Vec<_> =
            seen.calls.iter().map(|c| (c.message, c.call.name.as_str(), c.result.as_deref())).collect();
        assert_eq!(shown, [(1, "read", Some("two")), (1, "sql", Some("one")), (6, "pay", Some("paid"))]);
        assert_eq!((seen.user_spoke, seen.answered), (Some(0), true));
        assert_eq!(history(&json!({"input": "hi"})).user_spoke, Some(0));
    }
}
