//! A chat request as a messages request.

use serde_json::{Map, Value, json};

/// The API wants a limit; the chat dialect has none by default. Every model of the API can do this many.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// Fields of the chat dialect that change nothing an answer says, or are translated below.
const HANDLED: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "user",
    "safety_identifier",
    "metadata",
    "seed",
    "store",
    "n",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "response_format",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "frequency_penalty",
    "presence_penalty",
    "modalities",
    "audio",
    "prediction",
    "functions",
    "function_call",
    "reasoning_effort",
    "web_search_options",
    "verbosity",
];

/// Translates a request. The error names what the API cannot do.
pub fn translate(chat: &Value, model: &str, stream: bool) -> Result<Value, String> {
    refuse_unsupported(chat)?;
    let (system, messages) = conversation(chat)?;
    let max_tokens = ["max_completion_tokens", "max_tokens"].iter().find_map(|key| chat[*key].as_u64());
    let mut body =
        json!({"model": model, "max_tokens": max_tokens.unwrap_or(DEFAULT_MAX_TOKENS), "messages": messages});
    if !system.is_empty() {
        body["system"] = system.into();
    }
    if stream {
        body["stream"] = true.into();
    }
    // The chat dialect goes up to 2, this API to 1.
    if let Some(temperature) = chat["temperature"].as_f64() {
        body["temperature"] = temperature.min(1.0).into();
    }
    match &chat["stop"] {
        Value::String(one) => body["stop_sequences"] = json!([one]),
        Value::Array(list) if !list.is_empty() => body["stop_sequences"] = list.clone().into(),
        _ => {}
    }
    if let Some(user) = chat["user"].as_str().or_else(|| chat["safety_identifier"].as_str()) {
        body["metadata"] = json!({"user_id": user});
    }
    if let Some(tools) = chat["tools"].as_array().filter(|list| !list.is_empty()) {
        body["tools"] = tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?.into();
        if let Some(choice) = tool_choice(chat)? {
            body["tool_choice"] = choice;
        }
    }
    // `top_p`, `thinking`, `top_k` and what this version does not know: the API takes them or says why not.
    for (key, value) in chat.as_object().into_iter().flatten() {
        if !HANDLED.contains(&key.as_str()) && !value.is_null() {
            body[key.as_str()] = value.clone();
        }
    }
    Ok(body)
}

fn refuse_unsupported(chat: &Value) -> Result<(), String> {
    if chat["n"].as_u64().is_some_and(|n| n > 1) {
        return Err("n above 1 (several choices)".to_owned());
    }
    if chat["modalities"].as_array().is_some_and(|list| list.iter().any(|kind| kind != "text")) {
        return Err("modalities other than text".to_owned());
    }
    if chat["response_format"]["type"].as_str().is_some_and(|kind| kind != "text") {
        return Err(
            "response_format (ask for JSON in the prompt, or offer a tool with the schema)".to_owned()
        );
    }
    if chat["reasoning_effort"].as_str().is_some_and(|effort| effort != "none") {
        return Err("reasoning_effort (use `thinking`)".to_owned());
    }
    let nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Object(object) => object.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let never = [
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "frequency_penalty",
        "presence_penalty",
        "audio",
        "prediction",
        "functions",
        "function_call",
        "web_search_options",
    ];
    match never.iter().find(|key| !nothing(&chat[**key])) {
        Some(key) => Err((*key).to_owned()),
        None => Ok(()),
    }
}

/// The system prompt and the turns. Neighbours of one role become one message, since results of parallel tool
/// calls must stand in the one message after the calls.
fn conversation(chat: &Value) -> Result<(Vec<Value>, Vec<Value>), String> {
    let mut system = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in chat["messages"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let (role, blocks) = match message["role"].as_str().unwrap_or_default() {
            "system" | "developer" => {
                system.extend(content(&message["content"])?);
                continue;
            }
            "assistant" => ("assistant", assistant(message)?),
            "tool" => {
                let result = json!({"type": "tool_result", "tool_use_id": message["tool_call_id"],
                    "content": content(&message["content"])?});
                ("user", vec![result])
            }
            "function" => return Err("the function role (use tool)".to_owned()),
            _ => ("user", content(&message["content"])?),
        };
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some((last, before)) if *last == role => before.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    let messages = turns.into_iter().map(|(role, blocks)| json!({"role": role, "content": blocks}));
    Ok((system, messages.collect()))
}

/// Content, a string or parts, as blocks. The API takes no empty text.
fn content(content: &Value) -> Result<Vec<Value>, String> {
    match content {
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => Ok(vec![json!({"type": "text", "text": text})]),
        Value::Array(parts) => parts.iter().filter(|part| part["text"] != "").map(block).collect(),
        _ => Ok(Vec::new()),
    }
}

fn block(part: &Value) -> Result<Value, String> {
    let mut block = match part["type"].as_str().unwrap_or_default() {
        "text" => json!({"type": "text", "text": part["text"]}),
        "refusal" => json!({"type": "text", "text": part["refusal"]}),
        "image_url" => {
            json!({"type": "image", "source": source(part["image_url"]["url"].as_str().unwrap_or_default())?})
        }
        "file" => match part["file"]["file_data"].as_str() {
            Some(data) if data.starts_with("data:application/pdf;") => {
                json!({"type": "document", "source": source(data)?})
            }
            _ => return Err("files other than PDF in `file_data`".to_owned()),
        },
        "input_audio" => return Err("audio input".to_owned()),
        other => return Err(format!("content of type {:?}", other.chars().take(40).collect::<String>())),
    };
    if part["cache_control"].is_object() {
        block["cache_control"] = part["cache_control"].clone();
    }
    Ok(block)
}

/// A `data:` URL (RFC 2397) carries the bytes, any other address is passed on.
fn source(url: &str) -> Result<Value, String> {
    let Some(rest) = url.strip_prefix("data:") else { return Ok(json!({"type": "url", "url": url})) };
    match rest.split_once(";base64,") {
        Some((media_type, data)) => Ok(json!({"type": "base64", "media_type": media_type, "data": data})),
        None => Err("data: URLs that are not base64".to_owned()),
    }
}

fn assistant(message: &Value) -> Result<Vec<Value>, String> {
    let mut blocks = content(&message["content"])?;
    blocks.extend(content(&message["refusal"])?);
    for call in message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default() {
        if call.get("custom").is_some() {
            return Err("custom tools".to_owned());
        }
        let function = &call["function"];
        let arguments = function["arguments"].as_str().unwrap_or_default();
        let input = match serde_json::from_str(arguments) {
            Ok(Value::Object(object)) => object,
            _ if arguments.trim().is_empty() => Map::new(),
            // The API takes objects only. What a model once wrote wrongly stays visible to it.
            _ => Map::from_iter([("arguments".to_owned(), arguments.into())]),
        };
        blocks.push(json!({"type": "tool_use", "id": call["id"], "name": function["name"], "input": input}));
    }
    Ok(blocks)
}

fn tool(tool: &Value) -> Result<Value, String> {
    if tool["type"] != "function" {
        return Err("tools other than functions".to_owned());
    }
    let function = &tool["function"];
    let schema = match &function["parameters"] {
        Value::Object(schema) if !schema.is_empty() => function["parameters"].clone(),
        _ => json!({"type": "object", "properties": {}}),
    };
    let mut translated = json!({"name": function["name"], "input_schema": schema});
    if function["description"].is_string() {
        translated["description"] = function["description"].clone();
    }
    if tool["cache_control"].is_object() {
        translated["cache_control"] = tool["cache_control"].clone();
    }
    Ok(translated)
}

fn tool_choice(chat: &Value) -> Result<Option<Value>, String> {
    let mut choice = match &chat["tool_choice"] {
        Value::Null => None,
        Value::String(word) => match word.as_str() {
            "auto" => Some(json!({"type": "auto"})),
            "none" => Some(json!({"type": "none"})),
            "required" => Some(json!({"type": "any"})),
            _ => return Err("this tool_choice".to_owned()),
        },
        other => match other["function"]["name"].as_str() {
            Some(name) => Some(json!({"type": "tool", "name": name})),
            None => return Err("this tool_choice".to_owned()),
        },
    };
    if chat["parallel_tool_calls"] == false {
        let choice = choice.get_or_insert_with(|| json!({"type": "auto"}));
        if choice["type"] != "none" {
            choice["disable_parallel_tool_use"] = true.into();
        }
    }
    Ok(choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(chat: &Value) -> Value {
        translate(chat, "claude-x", false).expect("supported")
    }

    #[test]
    fn a_conversation_with_everything() {
        let chat = json!({"model": "anthropic/claude-x", "max_tokens": 50, "temperature": 1.5, "top_p": 0.9, "seed": 1,
            "stop": "END", "user": "u1", "parallel_tool_calls": false, "tool_choice": "required",
            "frequency_penalty": 0, "n": 1, "stream_options": {"include_usage": true}, "top_k": 5,
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                    {"id": "t2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "t1", "content": "one"},
                {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "two"}]},
                {"role": "user", "content": "and?"}],
            "tools": [{"type": "function", "function": {"name": "f", "description": "does f",
                "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}},
                {"type": "function", "function": {"name": "g"}}]});
        assert_eq!(
            ok(&chat),
            json!({"model": "claude-x", "max_tokens": 50, "messages": [
                    {"role": "user", "content": [
                        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]},
                    {"role": "assistant", "content": [
                        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                        {"type": "tool_use", "id": "t2", "name": "g", "input": {}}]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "one"}]},
                        {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "two"}]},
                        {"type": "text", "text": "and?"}]}],
                "system": [{"type": "text", "text": "be kind"}], "temperature": 1.0, "top_p": 0.9, "top_k": 5,
                "stop_sequences": ["END"], "metadata": {"user_id": "u1"},
                "tools": [
                    {"name": "f", "description": "does f",
                        "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
                    {"name": "g", "input_schema": {"type": "object", "properties": {}}}],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": true}})
        );
    }

    #[test]
    fn names_what_it_cannot_do() {
        let part = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
        for (chat, named) in [
            (json!({"n": 2}), "n above 1"),
            (json!({"logprobs": true}), "logprobs"),
            (json!({"audio": {"voice": "x"}}), "audio"),
            (json!({"modalities": ["text", "audio"]}), "modalities"),
            (json!({"response_format": {"type": "json_schema"}}), "response_format"),
            (json!({"frequency_penalty": 0.5}), "frequency_penalty"),
            (json!({"tools": [{"type": "custom"}]}), "tools"),
            (part(json!({"type": "input_audio"})), "audio"),
            (part(json!({"type": "file", "file": {"file_id": "x"}})), "files"),
            (part(json!({"type": "novel"})), "novel"),
        ] {
            let error = translate(&chat, "m", false).expect_err(named);
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn defaults_and_choices() {
        let mut chat = json!({"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", "function": {"name": "f"}}]});
        assert_eq!(ok(&chat)["max_tokens"], 4096);
        assert!(ok(&chat).get("tool_choice").is_none());
        for (given, expected) in [
            (json!("auto"), json!({"type": "auto"})),
            (json!("none"), json!({"type": "none"})),
            (json!({"type": "function", "function": {"name": "f"}}), json!({"type": "tool", "name": "f"})),
        ] {
            chat["tool_choice"] = given;
            assert_eq!(ok(&chat)["tool_choice"], expected);
        }
        assert_eq!(translate(&chat, "m", true).expect("good")["stream"], true);
    }
}
