//! A request of this dialect as a chat request.
//!
//! What the chat dialect cannot do is refused by name, not left out. Lost are hints (`service_tier`, `prompt_cache_key`,
//! `include`, `client_metadata`, the wish for a summary of the reasoning) and earlier reasoning (no provider takes another's
//! back).

use serde_json::{Value, json};

use super::items::kind;

/// Translates a request, all but its model. The error names what the chat dialect cannot do.
pub fn request(body: &Value) -> Result<Value, String> {
    let mut chat = json!({"messages": conversation(body)?});
    for (key, value) in body.as_object().into_iter().flatten() {
        if value.is_null() {
            continue;
        }
        match key.as_str() {
            "model"
            | "input"
            | "instructions"
            | "include"
            | "store"
            | "background"
            | "metadata"
            | "client_metadata"
            | "service_tier"
            | "prompt_cache_key"
            | "prompt_cache_retention"
            | "stream_options" => {}
            "max_output_tokens" => chat["max_completion_tokens"] = value.clone(),
            "temperature" | "top_p" | "stream" | "parallel_tool_calls" | "user" | "safety_identifier" => {
                chat[key.as_str()] = value.clone();
            }
            "top_logprobs" if *value == 0 => {}
            "top_logprobs" => {
                chat["logprobs"] = true.into();
                chat["top_logprobs"] = value.clone();
            }
            "tools" => {
                let tools = value.as_array().map(Vec::as_slice).unwrap_or_default();
                if !tools.is_empty() {
                    chat["tools"] = tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?.into();
                }
            }
            "tool_choice" => chat["tool_choice"] = choice(value)?,
            "text" => format(value, &mut chat)?,
            "reasoning" => {
                if value["effort"].is_string() {
                    chat["reasoning_effort"] = value["effort"].clone();
                }
            }
            "truncation" if value == "disabled" => {}
            "previous_response_id" => {
                return Err(
                    "`previous_response_id`: it keeps no answers, so send the conversation in `input`"
                        .to_owned(),
                );
            }
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
    if let Some(text) = body["instructions"].as_str().filter(|text| !text.is_empty()) {
        messages.push(json!({"role": "system", "content": text}));
    }
    match &body["input"] {
        Value::String(text) => messages.push(json!({"role": "user", "content": text})),
        items => items.as_array().into_iter().flatten().try_for_each(|item| add(item, &mut messages))?,
    }
    Ok(messages)
}

fn add(item: &Value, messages: &mut Vec<Value>) -> Result<(), String> {
    match kind(item) {
        "message" if item["role"] == "assistant" => {
            let mut message = json!({"role": "assistant", "content": ""});
            match &item["content"] {
                Value::Array(parts) => {
                    let said =
                        |key: &str| parts.iter().filter_map(|part| part[key].as_str()).collect::<String>();
                    message["content"] = said("text").into();
                    let refusal = said("refusal");
                    if !refusal.is_empty() {
                        message["refusal"] = refusal.into();
                    }
                }
                text => message["content"] = text.clone(),
            }
            messages.push(message);
        }
        "message" => {
            let role = if item["role"] == "user" { "user" } else { "system" };
            messages.push(json!({"role": role, "content": content(&item["content"])?}));
        }
        "function_call" => ask(
            messages,
            &json!({"id": item["call_id"], "type": "function",
            "function": {"name": item["name"], "arguments": item["arguments"]}}),
        ),
        "custom_tool_call" => ask(
            messages,
            &json!({"id": item["call_id"], "type": "custom",
            "custom": {"name": item["name"], "input": item["input"]}}),
        ),
        "function_call_output" | "custom_tool_call_output" => {
            let text = match &item["output"] {
                Value::Array(parts) if parts.iter().all(|part| part["text"].is_string()) => {
                    parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
                }
                Value::Array(_) => return Err("results of tools that are not text".to_owned()),
                text => text.as_str().unwrap_or_default().to_owned(),
            };
            messages.push(json!({"role": "tool", "tool_call_id": item["call_id"], "content": text}));
        }
        "reasoning" => {}
        "item_reference" => {
            return Err("references to items: it keeps none, so send the items themselves".to_owned());
        }
        other => return Err(format!("items of the type `{}`", short(other))),
    }
    Ok(())
}

/// Calls belong to the answer that asked for them: what was said before them, or the call before.
fn ask(messages: &mut Vec<Value>, call: &Value) {
    if messages.last().is_none_or(|last| last["role"] != "assistant") {
        messages.push(json!({"role": "assistant", "content": null}));
    }
    if let Some(last) = messages.last_mut() {
        match last.get_mut("tool_calls").and_then(Value::as_array_mut) {
            Some(calls) => calls.push(call.clone()),
            None => last["tool_calls"] = json!([call]),
        }
    }
}

/// Parts of a message; one text as a string, which every server of the dialect takes.
fn content(content: &Value) -> Result<Value, String> {
    let Some(parts) = content.as_array() else { return Ok(content.clone()) };
    let parts: Vec<Value> = parts.iter().map(part).collect::<Result<_, _>>()?;
    Ok(match parts.as_slice() {
        [one] if one["type"] == "text" => one["text"].clone(),
        _ => parts.into(),
    })
}

fn part(part: &Value) -> Result<Value, String> {
    match part["type"].as_str().unwrap_or_default() {
        "input_text" | "output_text" | "text" => Ok(json!({"type": "text", "text": part["text"]})),
        "input_image" if part["image_url"].is_string() => {
            let mut image = json!({"url": part["image_url"]});
            if part["detail"].is_string() {
                image["detail"] = part["detail"].clone();
            }
            Ok(json!({"type": "image_url", "image_url": image}))
        }
        "input_image" => Err("images by the id of a file".to_owned()),
        "input_file" if part["file_data"].is_string() => {
            let mut file = json!({"file_data": part["file_data"]});
            if part["filename"].is_string() {
                file["filename"] = part["filename"].clone();
            }
            Ok(json!({"type": "file", "file": file}))
        }
        "input_file" => Err("files by an address or an id".to_owned()),
        "input_audio" => Ok(json!({"type": "input_audio", "input_audio": part["input_audio"]})),
        other => Err(format!("content of the type `{}`", short(other))),
    }
}

fn tool(tool: &Value) -> Result<Value, String> {
    let keys: &[&str] = match tool["type"].as_str().unwrap_or_default() {
        "function" => &["name", "description", "parameters", "strict"],
        "custom" => &["name", "description", "format"],
        other => return Err(format!("the tool `{}`, which is none of the agent's", short(other))),
    };
    let mut told = json!({});
    for key in keys {
        if !tool[*key].is_null() {
            told[*key] = tool[*key].clone();
        }
    }
    let kind = tool["type"].as_str().unwrap_or_default();
    Ok(json!({"type": kind, kind: told}))
}

fn choice(choice: &Value) -> Result<Value, String> {
    let named = |tool: &Value| match tool["type"].as_str() {
        Some(kind @ ("function" | "custom")) => Ok(json!({"type": kind, kind: {"name": tool["name"]}})),
        _ => Err("this `tool_choice`".to_owned()),
    };
    match choice {
        Value::String(_) => Ok(choice.clone()),
        _ if choice["type"] == "allowed_tools" => {
            let tools =
                choice["tools"].as_array().into_iter().flatten().map(named).collect::<Result<Vec<_>, _>>()?;
            Ok(json!({"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": tools}}))
        }
        one => named(one),
    }
}

fn format(text: &Value, chat: &mut Value) -> Result<(), String> {
    let format = &text["format"];
    match format["type"].as_str() {
        None | Some("text") => {}
        Some("json_object") => chat["response_format"] = json!({"type": "json_object"}),
        Some("json_schema") => {
            let mut schema = format.clone();
            if let Some(schema) = schema.as_object_mut() {
                schema.shift_remove("type");
            }
            chat["response_format"] = json!({"type": "json_schema", "json_schema": schema});
        }
        Some(other) => return Err(format!("the format `{}`", short(other))),
    }
    if text["verbosity"].is_string() {
        chat["verbosity"] = text["verbosity"].clone();
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
        let body = json!({"model": "m", "instructions": "be kind", "max_output_tokens": 50, "temperature": 0.5,
            "stream": true, "store": true, "user": "u1", "metadata": {"a": "b"}, "client_metadata": {"a": "b"}, "include": ["reasoning.encrypted_content"],
            "parallel_tool_calls": false, "reasoning": {"effort": "low", "summary": "auto"}, "truncation": "disabled",
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
            "tool_choice": {"type": "function", "name": "f"},
            "input": [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": [{"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}]},
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I "}, {"type": "output_text", "text": "look."}]},
                {"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{\"a\":1}"},
                {"type": "custom_tool_call", "call_id": "t2", "name": "sql", "input": "SELECT 1"},
                {"type": "function_call_output", "call_id": "t1", "output": [{"type": "input_text", "text": "one"}]},
                {"type": "custom_tool_call_output", "call_id": "t2", "output": "two"},
                {"role": "user", "content": [{"type": "input_text", "text": "and?"}]}],
            "tools": [{"type": "function", "name": "f", "description": "does f", "parameters": {"type": "object"}, "strict": false},
                {"type": "custom", "name": "sql"}]});
        assert_eq!(
            request(&body).expect("supported"),
            json!({"messages": [
                    {"role": "system", "content": "be kind"},
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": [{"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}]},
                    {"role": "assistant", "content": "I look.", "tool_calls": [
                        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                        {"id": "t2", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}]},
                    {"role": "tool", "tool_call_id": "t1", "content": "one"},
                    {"role": "tool", "tool_call_id": "t2", "content": "two"},
                    {"role": "user", "content": "and?"}],
                "max_completion_tokens": 50, "temperature": 0.5, "stream": true, "user": "u1",
                "parallel_tool_calls": false, "reasoning_effort": "low",
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
                "verbosity": "low", "tool_choice": {"type": "function", "function": {"name": "f"}},
                "tools": [{"type": "function", "function": {"name": "f", "description": "does f",
                    "parameters": {"type": "object"}, "strict": false}}, {"type": "custom", "custom": {"name": "sql"}}]})
        );
    }

    #[test]
    fn names_what_it_cannot_do() {
        let item = |item: Value| json!({"input": [item]});
        let part = |part: Value| json!({"input": [{"role": "user", "content": [part]}]});
        for (body, named) in [
            (json!({"input": "x", "previous_response_id": "resp_1"}), "previous_response_id"),
            (json!({"input": "x", "max_tool_calls": 2}), "max_tool_calls"),
            (json!({"input": "x", "truncation": "auto"}), "truncation"),
            (json!({"input": "x", "prompt": {"id": "p"}}), "prompt"),
            (json!({"input": "x", "of_tomorrow": 1}), "of_tomorrow"),
            (json!({"input": "x", "tools": [{"type": "web_search"}]}), "web_search"),
            (
                json!({"input": "x", "tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "mcp"}}),
                "tool_choice",
            ),
            (json!({"input": "x", "text": {"format": {"type": "grammar"}}}), "grammar"),
            (item(json!({"type": "item_reference", "id": "m"})), "references"),
            (item(json!({"type": "computer_call"})), "computer_call"),
            (
                item(
                    json!({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}),
                ),
                "results of tools",
            ),
            (part(json!({"type": "input_image", "file_id": "f"})), "id of a file"),
            (part(json!({"type": "input_file", "file_url": "https://x"})), "by an address"),
        ] {
            let error = request(&body).expect_err(named);
            assert!(error.contains(named), "{error}");
        }
    }
}
