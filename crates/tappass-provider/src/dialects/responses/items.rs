//! The items of this dialect, asked and answered: which kinds there are, and which of them are calls of tools.

use serde_json::Value;
use tappass_model::ToolCall;

/// The kinds of item that this version can read.
const KNOWN: &[&str] = &[
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "function_call",
    "function_call_output",
    "image_generation_call",
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "message",
    "reasoning",
    "shell_call",
    "shell_call_output",
    "web_search_call",
];

/// The kinds of part that a message, a tool's output or a reasoning can have.
const PARTS: &[&str] = &[
    "computer_screenshot",
    "input_audio",
    "input_file",
    "input_image",
    "input_text",
    "output_text",
    "reasoning_text",
    "refusal",
    "summary_text",
    "text",
];

/// Calls that the agent makes itself, so that it must not get them before they are judged. The others the provider has
/// made already when it tells of them.
const AGENTS: &[&str] = &[
    "apply_patch_call",
    "computer_call",
    "custom_tool_call",
    "function_call",
    "local_shell_call",
    "mcp_approval_request",
    "shell_call",
];

/// An item's kind. A message may leave its out.
pub fn kind(item: &Value) -> &str {
    match item["type"].as_str() {
        Some(kind) => kind,
        None if item["role"].is_string() => "message",
        None => "",
    }
}

/// Whether an item can be read, with its parts.
pub fn is_known(item: &Value) -> bool {
    KNOWN.binary_search(&kind(item)).is_ok()
        && ["content", "summary", "output"]
            .iter()
            .filter(|key| **key != "output" || kind(item).ends_with("_output"))
            .filter_map(|key| item[*key].as_array())
            .flatten()
            // What a shell has printed has no kind.
            .all(|part| is_known_part(part) || kind(item) == "shell_call_output")
}

/// Whether a part can be read.
pub fn is_known_part(part: &Value) -> bool {
    part["type"].as_str().is_some_and(|kind| PARTS.binary_search(&kind).is_ok())
}

/// Whether the agent would run it.
pub fn is_agents(item: &Value) -> bool {
    AGENTS.contains(&kind(item))
}

/// Whether an item is what a tool has returned.
pub fn is_result(item: &Value) -> bool {
    kind(item).ends_with("_output")
}

/// Where the arguments of a call stand, in an item of a kind that has them in one place.
pub fn arguments_at(item: &Value) -> Option<&'static str> {
    match kind(item) {
        "function_call" | "mcp_call" | "mcp_approval_request" => Some("arguments"),
        "custom_tool_call" => Some("input"),
        "code_interpreter_call" => Some("code"),
        "web_search_call" | "local_shell_call" | "shell_call" | "computer_call" => Some("action"),
        "apply_patch_call" => Some("operation"),
        "file_search_call" => Some("queries"),
        _ => None,
    }
}

/// The call that an item is. Tools without a name of their own are called by their kind, as where they are offered.
pub fn call(item: &Value) -> Option<ToolCall> {
    let kind = kind(item);
    let unnamed = kind.strip_suffix("_call").filter(|_| KNOWN.contains(&kind));
    let name = match (item["name"].as_str(), unnamed) {
        (Some(name), Some(_)) => name,
        (Some(name), None) if kind == "mcp_approval_request" => name,
        (None, Some(unnamed)) => unnamed,
        _ => return None,
    };
    let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let id = if item["call_id"].is_string() { text("call_id") } else { text("id") };
    let arguments = match arguments_at(item).map(|key| &item[key]) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    Some(ToolCall { id, name: name.to_owned(), arguments })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_kinds_are_sorted() {
        assert!(KNOWN.is_sorted() && PARTS.is_sorted());
    }

    #[test]
    fn what_is_a_call() {
        for (item, expected) in [
            (
                json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"}),
                Some(("c", "f", "{}")),
            ),
            (
                json!({"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT 1"}),
                Some(("c", "sql", "SELECT 1")),
            ),
            (
                json!({"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}),
                Some(("c", "shell", r#"{"commands":["ls"]}"#)),
            ),
            (
                json!({"type": "web_search_call", "id": "ws", "action": {"query": "x"}}),
                Some(("ws", "web_search", r#"{"query":"x"}"#)),
            ),
            (
                json!({"type": "mcp_approval_request", "id": "m", "name": "pay", "arguments": "{}"}),
                Some(("m", "pay", "{}")),
            ),
            (
                json!({"type": "image_generation_call", "id": "i", "result": "AAAA"}),
                Some(("i", "image_generation", "")),
            ),
            (json!({"type": "message", "role": "assistant", "content": []}), None),
            (json!({"type": "function_call_output", "output": "x"}), None),
            (json!({"type": "hologram_call"}), None),
        ] {
            let found = call(&item);
            let shown = found.as_ref().map(|c| (c.id.as_str(), c.name.as_str(), c.arguments.as_str()));
            assert_eq!(shown, expected, "{item}");
        }
    }

    #[test]
    fn parts_are_read_with_their_item() {
        assert!(is_known(&json!({"role": "user", "content": [{"type": "input_text", "text": "x"}]})));
        assert!(!is_known(&json!({"role": "user", "content": [{"type": "hologram"}]})));
        assert!(!is_known(&json!({"type": "function_call_output", "output": [{"type": "hologram"}]})));
        assert!(is_known(&json!({"type": "shell_call_output", "output": [{"stdout": "x"}]})));
        assert!(!is_known(&json!({"type": "hologram"})) && !is_known(&json!("x")));
    }
}
