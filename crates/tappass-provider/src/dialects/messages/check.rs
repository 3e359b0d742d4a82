//! What a messages request must have before anything looks at its content.

use serde_json::Value;
use tappass_model::Unread;

use crate::dialects::{
    check::{Object, RequestError, messages, model, optional, required_text, wrong},
    tools::tools_of_servers,
};

/// The kinds of content block that this version can read, in requests and answers.
const KNOWN: &[&str] = &[
    "bash_code_execution_tool_result",
    "code_execution_tool_result",
    "container_upload",
    "document",
    "image",
    "mcp_tool_result",
    "mcp_tool_use",
    "redacted_thinking",
    "search_result",
    "server_tool_use",
    "text",
    "text_editor_code_execution_tool_result",
    "thinking",
    "tool_result",
    "tool_use",
    "web_fetch_tool_result",
    "web_search_tool_result",
];

/// What the check found out.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// The model.
    pub model: String,
    /// How many messages.
    pub messages: usize,
    /// The first block of a kind that this version cannot read.
    pub unknown: Option<Unread>,
}

/// Whether a block's kind can be read.
pub fn is_known(block: &Value) -> bool {
    block["type"].as_str().is_some_and(|kind| KNOWN.binary_search(&kind).is_ok())
}

/// Checks a request. `generates`: an answer is wanted, not a count.
pub fn request(body: &Value, generates: bool) -> Result<Checked, RequestError> {
    let Some(body) = body.as_object() else {
        return wrong("", "a JSON object with `model`, `max_tokens` and `messages`");
    };
    let model = model(body)?;
    let messages = messages(body)?;
    let whole = |n: &Value| n.as_u64().is_some_and(|n| n > 0);
    if generates {
        match body.get("max_tokens") {
            Some(n) if whole(n) => {}
            Some(_) => return wrong("max_tokens", "a whole number above 0"),
            None => return wrong("max_tokens", "given: most tokens of the answer"),
        }
    }
    let mut unknown = None;
    for (i, one) in messages.iter().enumerate() {
        message(&format!("messages[{i}]"), one, &mut unknown)?;
    }
    match body.get("system") {
        None | Some(Value::Null | Value::String(_)) => {}
        Some(Value::Array(list)) => {
            blocks("system", list, &mut unknown)?;
            // A system prompt is text; nobody looks for pictures there.
            if let Some(i) = list.iter().position(|block| block["type"] != "text") {
                unknown.get_or_insert(format!("system[{i}]"));
            }
        }
        Some(_) => return wrong("system", "a string or a list of text blocks"),
    }
    optional(body, "", "stream", Value::is_boolean, "true or false")?;
    for key in ["temperature", "top_p"] {
        optional(body, "", key, Value::is_number, "a number")?;
    }
    optional(body, "", "metadata", Value::is_object, "an object")?;
    optional(body, "", "tool_choice", |v| v["type"].is_string(), "an object with a `type`")?;
    optional(body, "", "stop_sequences", Value::is_array, "a list of strings")?;
    match body.get("tools") {
        None | Some(Value::Null) => {}
        Some(Value::Array(tools)) => {
            for (i, tool) in tools.iter().enumerate() {
                let at = format!("tools[{i}]");
                match tool.as_object() {
                    // A toolset of an MCP server is named by its server.
                    Some(tool) if tool.contains_key("mcp_server_name") => {}
                    Some(tool) => required_text(tool, &at, "name")?,
                    None => return wrong(at, "an object with a `name`"),
                }
            }
        }
        Some(_) => return wrong("tools", "a list of tools"),
    }
    let mut unknown = unknown.map(Unread::kind);
    if body.get("mcp_servers").and_then(Value::as_array).is_some_and(|servers| !servers.is_empty()) {
        unknown.get_or_insert_with(|| tools_of_servers("mcp_servers"));
    }
    Ok(Checked { model, messages: messages.len(), unknown })
}

fn message(at: &str, value: &Value, unknown: &mut Option<String>) -> Result<(), RequestError> {
    let Some(message) = value.as_object() else {
        return wrong(at, "an object with `role` and `content`");
    };
    match message.get("role").and_then(Value::as_str) {
        Some("user" | "assistant") => {}
        // Instructions in the middle of a conversation, as newer models take them.
        Some("system") => {
            let blocks = message.get("content").and_then(Value::as_array).into_iter().flatten();
            if blocks.into_iter().any(|block| block["type"] != "text") {
                unknown.get_or_insert(format!("{at}.content"));
            }
        }
        _ => return wrong(format!("{at}.role"), "user, assistant or system"),
    }
    match message.get("content") {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Array(list)) => blocks(&format!("{at}.content"), list, unknown),
        _ => wrong(format!("{at}.content"), "a string or a list of content blocks"),
    }
}

fn blocks(at: &str, list: &[Value], unknown: &mut Option<String>) -> Result<(), RequestError> {
    for (i, value) in list.iter().enumerate() {
        let at = format!("{at}[{i}]");
        let Some(block) = value.as_object() else {
            return wrong(at, "an object with a `type`, such as {\"type\": \"text\", \"text\": \"…\"}");
        };
        one(&at, block, unknown)?;
        if !is_known(value) {
            unknown.get_or_insert(at);
        }
    }
    Ok(())
}

fn one(at: &str, block: &Object, unknown: &mut Option<String>) -> Result<(), RequestError> {
    match block.get("type").and_then(Value::as_str) {
        None => {
            wrong(format!("{at}.type"), "given: text, image, document, tool_use, tool_result or thinking")
        }
        Some("text") => required_text(block, at, "text"),
        Some("thinking") => required_text(block, at, "thinking"),
        Some("image") if !block.get("source").is_some_and(|source| source["type"].is_string()) => {
            wrong(format!("{at}.source"), "an object with a `type`: base64, url or file")
        }
        Some("tool_use") => {
            required_text(block, at, "id")?;
            required_text(block, at, "name")?;
            match block.get("input") {
                Some(Value::Object(_)) => Ok(()),
                _ => wrong(format!("{at}.input"), "an object"),
            }
        }
        Some("tool_result") => {
            required_text(block, at, "tool_use_id")?;
            match block.get("content") {
                None | Some(Value::Null | Value::String(_)) => Ok(()),
                Some(Value::Array(list)) => blocks(&format!("{at}.content"), list, unknown),
                Some(_) => wrong(format!("{at}.content"), "a string or a list of content blocks"),
            }
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(content: &Value) -> Value {
        json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": content}]})
    }

    #[test]
    fn the_kinds_are_sorted() {
        assert!(KNOWN.is_sorted());
    }

    #[test]
    fn says_what_and_where() {
        let message = |message: Value| json!({"model": "m", "max_tokens": 1, "messages": [message]});
        for (body, param) in [
            (json!([]), ""),
            (json!({"messages": []}), "model"),
            (json!({"model": "m"}), "messages"),
            (json!({"model": "m", "messages": []}), "messages"),
            (json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}), "max_tokens"),
            (message(json!("hi")), "messages[0]"),
            (message(json!({"role": "tool", "content": "x"})), "messages[0].role"),
            (message(json!({"role": "user"})), "messages[0].content"),
            (with(&json!(["x"])), "messages[0].content[0]"),
            (with(&json!([{"text": "x"}])), "messages[0].content[0].type"),
            (with(&json!([{"type": "text"}])), "messages[0].content[0].text"),
            (with(&json!([{"type": "image"}])), "messages[0].content[0].source"),
            (
                with(&json!([{"type": "tool_use", "id": "t", "name": "f", "input": "{}"}])),
                "messages[0].content[0].input",
            ),
            (with(&json!([{"type": "tool_result"}])), "messages[0].content[0].tool_use_id"),
            (
                with(&json!([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}])),
                "messages[0].content[0].content[0].text",
            ),
        ] {
            let error = request(&body, true).expect_err(param);
            assert_eq!(error.param, param, "{body}");
        }
        for (key, bad) in [
            ("stream", json!("yes")),
            ("max_tokens", json!(0)),
            ("system", json!(3)),
            ("tools", json!({})),
            ("tool_choice", json!("auto")),
            ("metadata", json!("x")),
        ] {
            let mut body = with(&json!("x"));
            body[key] = bad;
            assert_eq!(request(&body, true).expect_err(key).param, key);
        }
    }

    #[test]
    fn what_it_cannot_read_is_named() {
        let nested = json!([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "novel"}]}]);
        let checked = request(&with(&nested), true).expect("goes on in observe");
        assert_eq!(checked.unknown, Some(Unread::kind("messages[0].content[0].content[0]")));
        let mut pictured = with(&json!("x"));
        pictured["system"] =
            json!([{"type": "text", "text": "x"}, {"type": "image", "source": {"type": "base64"}}]);
        let checked = request(&pictured, true).expect("goes on in observe");
        assert_eq!(checked.unknown, Some(Unread::kind("system[1]")));
        let mut count = with(&json!([{"type": "document", "source": {}}]));
        count.as_object_mut().expect("an object").shift_remove("max_tokens");
        assert_eq!(request(&count, false), Ok(Checked { model: "m".into(), messages: 1, unknown: None }));
    }
}
