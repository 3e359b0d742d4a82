//! What a request of this dialect must have before anything looks at its content.

use serde_json::Value;
use tappass_model::Unread;

use super::items;
use crate::dialects::{
    check::{Object, RequestError, model, optional, required_text, wrong},
    tools::tools_of_servers,
};

/// The kinds of tool whose definitions this version can read.
const TOOLS: &[&str] = &[
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "custom",
    "file_search",
    "function",
    "image_generation",
    "local_shell",
    "shell",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
];

/// What the check found out.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// The model.
    pub model: String,
    /// How many items.
    pub items: usize,
    /// The first part that cannot be read for certain.
    pub unknown: Option<Unread>,
}

/// Checks a request.
pub fn request(body: &Value) -> Result<Checked, RequestError> {
    let Some(body) = body.as_object() else {
        return wrong("", "a JSON object with `model` and `input`");
    };
    let model = model(body)?;
    let mut unknown = None;
    let items = match body.get("input") {
        Some(Value::String(_)) => 1,
        Some(Value::Array(list)) => {
            for (i, one) in list.iter().enumerate() {
                item(&format!("input[{i}]"), one)?;
                if !items::is_known(one) {
                    unknown.get_or_insert_with(|| Unread::kind(format!("input[{i}]")));
                }
            }
            list.len()
        }
        Some(Value::Null) | None if continues(body) => 0,
        Some(_) => return wrong("input", "a string or a list of items"),
        None => return wrong("input", "given: a string or a list of items"),
    };
    stays_here(body)?;
    optional(body, "", "instructions", Value::is_string, "a string")?;
    optional(body, "", "previous_response_id", Value::is_string, "the id of a response")?;
    for key in ["stream", "store", "parallel_tool_calls"] {
        optional(body, "", key, Value::is_boolean, "true or false")?;
    }
    optional(body, "", "max_output_tokens", |n| n.as_u64().is_some_and(|n| n > 0), "a whole number above 0")?;
    for key in ["temperature", "top_p"] {
        optional(body, "", key, Value::is_number, "a number")?;
    }
    for key in ["metadata", "reasoning", "text"] {
        optional(body, "", key, Value::is_object, "an object")?;
    }
    optional(
        body,
        "",
        "tool_choice",
        |v| v.is_string() || v["type"].is_string(),
        "a string, or an object with a `type`",
    )?;
    tools(body, &mut unknown)?;
    if body.get("prompt").is_some_and(|prompt| !prompt.is_null()) {
        unknown.get_or_insert(Unread {
            place: "prompt".to_owned(),
            why: "is a text that the provider keeps, so nothing in it can be scanned",
            remedy: "the text itself, in `instructions` and `input`",
        });
    }
    Ok(Checked { model, items, unknown })
}

fn continues(body: &Object) -> bool {
    ["previous_response_id", "prompt"].iter().any(|key| body.get(*key).is_some_and(|value| !value.is_null()))
}

/// What would be answered elsewhere, or kept for whoever names it.
fn stays_here(body: &Object) -> Result<(), RequestError> {
    let no = |v: &Value| *v == Value::Bool(false);
    optional(
        body,
        "",
        "background",
        no,
        "left out: an answer that is fetched later would come back ungoverned",
    )?;
    let never = |_: &Value| false;
    let instead = "left out: a conversation that the provider keeps belongs to no agent; use `previous_response_id`, \
                   or send it in `input`";
    optional(body, "", "conversation", never, instead)
}

fn item(at: &str, value: &Value) -> Result<(), RequestError> {
    let Some(item) = value.as_object() else {
        return wrong(at, "an item, such as {\"role\": \"user\", \"content\": \"…\"}");
    };
    match items::kind(value) {
        "" => wrong(format!("{at}.type"), "given: message, function_call, function_call_output, reasoning …"),
        "message" => {
            match item.get("role").and_then(Value::as_str) {
                Some("user" | "assistant" | "system" | "developer") => {}
                _ => return wrong(format!("{at}.role"), "user, assistant, system or developer"),
            }
            match item.get("content") {
                Some(Value::String(_)) => Ok(()),
                Some(Value::Array(parts)) => {
                    parts.iter().enumerate().try_for_each(|(i, one)| part(&format!("{at}.content[{i}]"), one))
                }
                _ => wrong(format!("{at}.content"), "a string or a list of parts"),
            }
        }
        "function_call" => {
            ["call_id", "name", "arguments"].iter().try_for_each(|key| required_text(item, at, key))
        }
        "custom_tool_call" => {
            ["call_id", "name", "input"].iter().try_for_each(|key| required_text(item, at, key))
        }
        "function_call_output" | "custom_tool_call_output" => {
            required_text(item, at, "call_id")?;
            match item.get("output") {
                Some(Value::String(_)) => Ok(()),
                Some(Value::Array(parts)) => {
                    parts.iter().enumerate().try_for_each(|(i, one)| part(&format!("{at}.output[{i}]"), one))
                }
                _ => wrong(format!("{at}.output"), "a string or a list of parts"),
            }
        }
        "item_reference" => required_text(item, at, "id"),
        _ => Ok(()),
    }
}

fn part(at: &str, value: &Value) -> Result<(), RequestError> {
    let Some(part) = value.as_object() else {
        return wrong(at, "an object with a `type`, such as {\"type\": \"input_text\", \"text\": \"…\"}");
    };
    match part.get("type").and_then(Value::as_str) {
        None => wrong(format!("{at}.type"), "given: input_text, input_image, input_file or output_text"),
        Some("input_text" | "output_text") => required_text(part, at, "text"),
        Some("refusal") => required_text(part, at, "refusal"),
        Some(_) => Ok(()),
    }
}

fn tools(body: &Object, unknown: &mut Option<Unread>) -> Result<(), RequestError> {
    let list = match body.get("tools") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(list)) => list,
        Some(_) => return wrong("tools", "a list of tools"),
    };
    for (i, tool) in list.iter().enumerate() {
        let at = format!("tools[{i}]");
        let Some(object) = tool.as_object() else { return wrong(at, "an object with a `type`") };
        match tool["type"].as_str() {
            None => return wrong(format!("{at}.type"), "given: function, custom, web_search …"),
            Some("function" | "custom") => required_text(object, &at, "name")?,
            // What another agent's code has left in a container would be read by this one's.
            Some("code_interpreter") if tool["container"].is_string() => {
                return wrong(
                    format!("{at}.container"),
                    "{\"type\": \"auto\"}: a container by its id belongs to no agent",
                );
            }
            Some("mcp") => {
                unknown.get_or_insert_with(|| tools_of_servers(at));
            }
            Some(kind) if TOOLS.binary_search(&kind).is_err() => {
                unknown.get_or_insert_with(|| Unread::kind(at));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(key: &str, value: Value) -> Value {
        let mut body = json!({"model": "m", "input": "x"});
        body[key] = value;
        body
    }

    #[test]
    fn the_kinds_are_sorted() {
        assert!(TOOLS.is_sorted());
    }

    #[test]
    fn says_what_and_where() {
        let item = |item: Value| with("input", json!([item]));
        for (body, param) in [
            (json!([]), ""),
            (json!({"input": "x"}), "model"),
            (json!({"model": "m"}), "input"),
            (with("input", json!(3)), "input"),
            (item(json!("x")), "input[0]"),
            (item(json!({"content": "x"})), "input[0].type"),
            (item(json!({"role": "robot", "content": "x"})), "input[0].role"),
            (item(json!({"role": "user"})), "input[0].content"),
            (item(json!({"role": "user", "content": ["x"]})), "input[0].content[0]"),
            (item(json!({"role": "user", "content": [{"text": "x"}]})), "input[0].content[0].type"),
            (item(json!({"role": "user", "content": [{"type": "input_text"}]})), "input[0].content[0].text"),
            (item(json!({"type": "function_call", "call_id": "c", "name": "f"})), "input[0].arguments"),
            (item(json!({"type": "function_call_output", "output": "x"})), "input[0].call_id"),
            (item(json!({"type": "function_call_output", "call_id": "c"})), "input[0].output"),
            (item(json!({"type": "item_reference"})), "input[0].id"),
            (with("tools", json!({})), "tools"),
            (with("tools", json!([{}])), "tools[0].type"),
            (with("tools", json!([{"type": "function"}])), "tools[0].name"),
            (
                with("tools", json!([{"type": "code_interpreter", "container": "cntr_1"}])),
                "tools[0].container",
            ),
            (with("background", json!(true)), "background"),
            (with("conversation", json!("conv_1")), "conversation"),
            (with("stream", json!("yes")), "stream"),
            (with("instructions", json!([])), "instructions"),
            (with("previous_response_id", json!(3)), "previous_response_id"),
            (with("max_output_tokens", json!(0)), "max_output_tokens"),
            (with("text", json!("json")), "text"),
            (with("tool_choice", json!(1)), "tool_choice"),
        ] {
            let error = request(&body).expect_err(param);
            assert_eq!(error.param, param, "{body}");
            assert!(error.message.contains("must be"), "{}", error.message);
        }
        for good in [
            json!({"model": "m", "previous_response_id": "resp_1"}),
            with("background", json!(false)),
            with("conversation", Value::Null),
            with("tools", json!([{"type": "code_interpreter", "container": {"type": "auto"}}])),
            with("of_tomorrow", json!({"x": 1})),
        ] {
            assert_eq!(request(&good).map(|c| c.unknown), Ok(None), "{good}");
        }
    }

    #[test]
    fn what_it_cannot_read_is_named() {
        for (body, place) in [
            (with("input", json!([{"role": "user", "content": "x"}, {"type": "hologram"}])), "input[1]"),
            (with("input", json!([{"role": "user", "content": [{"type": "hologram"}]}])), "input[0]"),
            (with("tools", json!([{"type": "web_search"}, {"type": "teleport"}])), "tools[1]"),
            (
                with("tools", json!([{"type": "mcp", "server_label": "s", "server_url": "https://x"}])),
                "tools[0]",
            ),
            (with("prompt", json!({"id": "pmpt_1"})), "prompt"),
        ] {
            let unread = request(&body).expect("goes on in observe").unknown.expect("not read");
            assert_eq!(unread.place, place, "{body}");
        }
    }
}
