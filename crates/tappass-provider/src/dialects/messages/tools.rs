//! The tools of a messages request: the calls that its history holds, and taking some away.

use serde_json::{Value, json};
use tappass_model::ToolCall;

use crate::dialects::tools::{History, PastCall, name, result_text};

/// What a request tells of the conversation before it. Results come in messages of the user's role.
pub fn history(body: &Value) -> History {
    let mut history = History::default();
    for (index, message) in body["messages"].as_array().into_iter().flatten().enumerate() {
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        // What the system says after it does not take an answer back.
        if message["role"] != "system" {
            history.answered = blocks.iter().any(|block| block["type"] == "tool_result");
        }
        if message["role"] == "user"
            && (message["content"].is_string() || blocks.iter().any(|block| block["type"] != "tool_result"))
        {
            history.user_spoke = Some(index);
        }
        for block in blocks {
            let text = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
            let kind = block["type"].as_str().unwrap_or_default();
            if kind.ends_with("tool_use") {
                let arguments = block["input"].to_string();
                let call = ToolCall { id: text("id"), name: text("name"), arguments };
                history.calls.push(PastCall { message: index, call, result: None });
            } else if kind.ends_with("tool_result") {
                let id = text("tool_use_id");
                let waits = |past: &&mut PastCall| past.result.is_none() && past.call.id == id;
                if let Some(past) = history.calls.iter_mut().rev().find(waits) {
                    past.result = Some(result_text(&block["content"]));
                }
            }
        }
    }
    history
}

/// See [`crate::dialects::Shape::remove_tools`].
pub fn remove_tools(body: &mut Value, removed: &dyn Fn(&str) -> bool) {
    let Some(tools) = body.get_mut("tools").and_then(Value::as_array_mut) else { return };
    tools.retain(|tool| !name(tool).is_some_and(removed));
    let none_left = tools.is_empty();
    if none_left && let Some(object) = body.as_object_mut() {
        object.shift_remove("tools");
        object.shift_remove("tool_choice");
    } else if let Some(choice) = body.get_mut("tool_choice")
        && choice["name"].as_str().is_some_and(removed)
    {
        *choice = json!({"type": "auto"});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_leaves_no_trace() {
        let body = json!({"tools": [{"name": "read"}, {"name": "pay"}], "tool_choice": {"type": "tool", "name": "pay"}});
        let mut some = body.clone();
        remove_tools(&mut some, &|name| name == "pay");
        assert_eq!(some, json!({"tools": [{"name": "read"}], "tool_choice": {"type": "auto"}}));
        let mut none = body;
        remove_tools(&mut none, &|_| true);
        assert_eq!(none, json!({}));
    }

    #[test]
    fn results_are_not_the_user_speaking() {
        let body = json!({"messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "read", "input": {"p": 1}},
                {"type": "tool_use", "id": "b", "name": "sql", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "b",
                "content": [{"type": "text", "text": "one"}]}]}]});
        let seen = history(&body);
        assert_eq!((seen.user_spoke, seen.answered), (Some(0), true));
        let shown: Vec<_> = seen.calls.iter().map(|c| (c.call.name.as_str(), c.result.as_deref())).collect();
        assert_eq!(shown, [("read", None), ("sql", Some("one"))]);
        assert_eq!(seen.calls[0].call.arguments, "{\"p\":1}");
    }
}
