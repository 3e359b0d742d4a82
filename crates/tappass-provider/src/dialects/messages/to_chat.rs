//! A messages request as a chat request.
//!
//! What the chat dialect cannot do is refused by name, not left out. Lost are: `cache_control` (a hint), `is_error` of
//! a tool's result, and earlier reasoning (no provider takes another's back).

use serde_json::{Value, json};

/// Translates a request, all but its model. The error names what the chat dialect cannot do.
pub fn request(body: &Value) -> Result<Value, String> {
    let mut chat = json!({"messages": conversation(body)?});
    for (key, value) in body.as_object().into_iter().flatten() {
        if value.is_null() {
            continue;
        }
        match key.as_str() {
            "model" | "messages" | "system" | "service_tier" | "cache_control" => {}
            // Newer models take this name only.
            "max_tokens" => chat["max_completion_tokens"] = value.clone(),
            "temperature" | "top_p" | "stream" => chat[key.as_str()] = value.clone(),
            "stop_sequences" => chat["stop"] = value.clone(),
            "metadata" => {
                if value["user_id"].is_string() {
                    chat["user"] = value["user_id"].clone();
                }
            }
            "tools" => {
                let tools = value.as_array().map(Vec::as_slice).unwrap_or_default();
                if !tools.is_empty() {
                    chat["tools"] = tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?.into();
                }
            }
            "tool_choice" => choice(value, &mut chat)?,
            "thinking" if value["type"] == "disabled" => {}
            "thinking" => return Err("thinking".to_owned()),
            "mcp_servers" | "container" if value.as_array().is_some_and(Vec::is_empty) => {}
            "mcp_servers" => return Err("MCP servers (`mcp_servers`)".to_owned()),
            other => return Err(format!("`{}`", short(other))),
        }
    }
    if chat.get("tools").is_none()
        && let Some(chat) = chat.as_object_mut()
    {
        chat.shift_remove("tool_choice");
        chat.shift_remove("parallel_tool_calls");
    }
    Ok(chat)
}

fn conversation(body: &Value) -> Result<Vec<Value>, String> {
    let mut messages = Vec::new();
    match &body["system"] {
        Value::String(text) if !text.is_empty() => messages.push(json!({"role": "system", "content": text})),
        Value::Array(list) if !list.is_empty() => {
            messages.push(json!({"role": "system", "content": content(list)?}));
        }
        _ => {}
    }
    for message in body["messages"].as_array().into_iter().flatten() {
        let assistant = message["role"] == "assistant";
        match &message["content"] {
            Value::Array(blocks) if assistant => messages.push(answer(blocks)?),
            Value::Array(blocks) if message["role"] == "system" => {
                messages.push(json!({"role": "system", "content": content(blocks)?}));
            }
            Value::Array(blocks) => said(blocks, &mut messages)?,
            text => messages.push(json!({"role": message["role"], "content": text})),
        }
    }
    Ok(messages)
}

/// Results of tools are messages of their own, right after the calls; then what the user says.
fn said(blocks: &[Value], messages: &mut Vec<Value>) -> Result<(), String> {
    let (results, rest): (Vec<&Value>, Vec<&Value>) =
        blocks.iter().partition(|block| block["type"] == "tool_result");
    for result in results {
        let text = match &result["content"] {
            Value::Array(parts) if parts.iter().all(|part| part["type"] == "text") => {
                parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
            }
            Value::Array(_) => return Err("results of tools that are not text".to_owned()),
            text => text.as_str().unwrap_or_default().to_owned(),
        };
        messages.push(json!({"role": "tool", "tool_call_id": result["tool_use_id"], "content": text}));
    }
    if !rest.is_empty() {
        messages.push(json!({"role": "user", "content": content(rest)?}));
    }
    Ok(())
}

/// Blocks as the parts of a message; one text as a string, which every server of the dialect takes.
fn content<'a>(blocks: impl IntoIterator<Item = &'a Value>) -> Result<Value, String> {
    let parts: Vec<Value> = blocks.into_iter().map(part).collect::<Result<_, _>>()?;
    Ok(match parts.as_slice() {
        [one] if one["type"] == "text" => one["text"].clone(),
        _ => parts.into(),
    })
}

fn part(block: &Value) -> Result<Value, String> {
    let source = &block["source"];
    match (block["type"].as_str().unwrap_or_default(), source["type"].as_str().unwrap_or_default()) {
        ("text", _) => Ok(json!({"type": "text", "text": block["text"]})),
        ("image", "base64") => {
            let text = |key: &str| source[key].as_str().unwrap_or_default();
            let url = format!("data:{};base64,{}", text("media_type"), text("data"));
            Ok(json!({"type": "image_url", "image_url": {"url": url}}))
        }
        ("image", "url") => Ok(json!({"type": "image_url", "image_url": {"url": source["url"]}})),
        ("image", _) => Err("images by the id of a file".to_owned()),
        ("document", _) => Err("documents".to_owned()),
        (other, _) => Err(format!("content of the type `{}`", short(other))),
    }
}

fn answer(blocks: &[Value]) -> Result<Value, String> {
    let (mut text, mut calls) = (Vec::new(), Vec::new());
    for block in blocks {
        match block["type"].as_str().unwrap_or_default() {
            "text" => text.extend(block["text"].as_str()),
            "thinking" | "redacted_thinking" => {}
            "tool_use" => calls.push(json!({"id": block["id"], "type": "function",
                "function": {"name": block["name"], "arguments": block["input"].to_string()}})),
            other => return Err(format!("content of the type `{}`", short(other))),
        }
    }
    let mut message = json!({"role": "assistant", "content": text.concat()});
    if !calls.is_empty() {
        if text.is_empty() {
            message["content"] = Value::Null;
        }
        message["tool_calls"] = calls.into();
    }
    Ok(message)
}

fn tool(tool: &Value) -> Result<Value, String> {
    match tool["type"].as_str() {
        None | Some("custom") => {}
        Some(other) => return Err(format!("the server tool `{}`", short(other))),
    }
    let mut function = json!({"name": tool["name"], "parameters": tool["input_schema"]});
    for key in ["description", "strict"] {
        if !tool[key].is_null() {
            function[key] = tool[key].clone();
        }
    }
    Ok(json!({"type": "function", "function": function}))
}

fn choice(choice: &Value, chat: &mut Value) -> Result<(), String> {
    chat["tool_choice"] = match choice["type"].as_str().unwrap_or_default() {
        "auto" => json!("auto"),
        "any" => json!("required"),
        "none" => json!("none"),
        "tool" => json!({"type": "function", "function": {"name": choice["name"]}}),
        _ => return Err("this `tool_choice`".to_owned()),
    };
    if choice["disable_parallel_tool_use"] == true {
        chat["parallel_tool_calls"] = false.into();
    }
    Ok(())
}

/// A word of the caller's, as far as an error shows it.
fn short(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_with_everything() {
        let body = json!({"model": "m", "max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"],
            "stream": true, "system": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
            "metadata": {"user_id": "u1", "session_id": "s"}, "thinking": {"type": "disabled"},
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "one"}]},
                    {"type": "text", "text": "and?"}]},
                {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
                {"role": "assistant", "content": "well"}],
            "tools": [{"name": "f", "description": "does f", "input_schema": {"type": "object"}}]});
        assert_eq!(
            request(&body).expect("supported"),
            json!({"messages": [
                    {"role": "system", "content": "be kind"},
                    {"role": "user", "content": [{"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                        {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
                    {"role": "assistant", "content": null, "tool_calls": [
                        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
                    {"role": "tool", "tool_call_id": "t1", "content": "one"},
                    {"role": "user", "content": "and?"},
                    {"role": "system", "content": "be brief"},
                    {"role": "assistant", "content": "well"}],
                "max_completion_tokens": 50, "temperature": 0.5, "top_p": 0.9, "stop": ["END"], "stream": true,
                "user": "u1", "tool_choice": "required", "parallel_tool_calls": false,
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"},
                    "description": "does f"}}]})
        );
    }

    #[test]
    fn names_what_it_cannot_do() {
        let block = |block: Value| json!({"messages": [{"role": "user", "content": [block]}]});
        for (body, named) in [
            (json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), "thinking"),
            (json!({"top_k": 5}), "top_k"),
            (json!({"mcp_servers": [{"url": "x"}]}), "MCP"),
            (json!({"of_tomorrow": 1}), "of_tomorrow"),
            (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), "web_search"),
            (block(json!({"type": "document", "source": {"type": "base64"}})), "documents"),
            (block(json!({"type": "image", "source": {"type": "file", "file_id": "f"}})), "id of a file"),
            (block(json!({"type": "search_result"})), "search_result"),
            (block(json!({"type": "tool_result", "content": [{"type": "image"}]})), "results of tools"),
        ] {
            let error = request(&body).expect_err(named);
            assert!(error.contains(named), "{error}");
        }
    }
}
