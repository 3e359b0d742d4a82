//! A chat request as a `generateContent` request.

use serde_json::{Map, Value, json};

/// Fields of the chat dialect that change nothing an answer says, or are translated below.
const HANDLED: &[&str] = &[
    "frequency_penalty",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
    "user",
    "verbosity",
];

/// What stands for the signature of a tool call that another model made, or that a client has not kept. The newest models
/// want one with every call (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
const UNSIGNED: &str = "skip_thought_signature_validator";

/// Translates a request. The error names what the API cannot do.
pub fn translate(chat: &Value, model: &str) -> Result<Value, String> {
    let unknown = |(key, value): &(&String, &Value)| !HANDLED.contains(&key.as_str()) && !nothing(value);
    if let Some((key, _)) = chat.as_object().into_iter().flatten().find(unknown) {
        return Err(format!("`{}`", key.chars().take(40).collect::<String>()));
    }
    if chat["modalities"].as_array().is_some_and(|list| list.iter().any(|kind| kind != "text")) {
        return Err("modalities other than text".to_owned());
    }
    if chat["parallel_tool_calls"] == false {
        return Err("`parallel_tool_calls: false`".to_owned());
    }
    let (system, contents) = conversation(chat, model.starts_with("gemini-3"))?;
    let mut body = json!({"contents": contents});
    if !system.is_empty() {
        body["systemInstruction"] = json!({"parts": system});
    }
    let config = config(chat)?;
    if !config.is_empty() {
        body["generationConfig"] = Value::Object(config);
    }
    if let Some(tools) = chat["tools"].as_array().filter(|list| !list.is_empty()) {
        let declared = tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
        body["tools"] = json!([{"functionDeclarations": declared}]);
        if let Some(choice) = tool_choice(&chat["tool_choice"])? {
            body["toolConfig"] = json!({"functionCallingConfig": choice});
        }
    }
    Ok(body)
}

fn nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Object(object) => object.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(_) | Value::Bool(true) => false,
    }
}

fn config(chat: &Value) -> Result<Map<String, Value>, String> {
    let mut config = Map::new();
    for (ours, theirs) in [
        ("max_tokens", "maxOutputTokens"),
        ("max_completion_tokens", "maxOutputTokens"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("n", "candidateCount"),
        ("seed", "seed"),
        ("presence_penalty", "presencePenalty"),
        ("frequency_penalty", "frequencyPenalty"),
    ] {
        if chat[ours].is_number() {
            config.insert(theirs.to_owned(), chat[ours].clone());
        }
    }
    match &chat["stop"] {
        Value::String(one) => config.insert("stopSequences".to_owned(), json!([one])),
        Value::Array(list) if !list.is_empty() => {
            config.insert("stopSequences".to_owned(), list.clone().into())
        }
        _ => None,
    };
    let format = &chat["response_format"];
    match format["type"].as_str() {
        None | Some("text") => {}
        Some(kind @ ("json_object" | "json_schema")) => {
            config.insert("responseMimeType".to_owned(), "application/json".into());
            if kind == "json_schema" {
                config.insert("responseJsonSchema".to_owned(), format["json_schema"]["schema"].clone());
            }
        }
        Some(_) => return Err("this response_format".to_owned()),
    }
    // As Google's own API of the chat dialect has it (<https://ai.google.dev/gemini-api/docs/openai#thinking>).
    let budget = match chat["reasoning_effort"].as_str() {
        None => return Ok(config),
        Some("none") => 0,
        Some("minimal" | "low") => 1_024,
        Some("medium") => 8_192,
        Some("high" | "xhigh") => 24_576,
        Some(_) => return Err("this reasoning_effort".to_owned()),
    };
    config.insert(
        "thinkingConfig".to_owned(),
        json!({"thinkingBudget": budget, "includeThoughts": budget > 0}),
    );
    Ok(config)
}

/// The system prompt and the turns. Neighbours of one role become one turn: results of parallel calls belong together.
fn conversation(chat: &Value, signed: bool) -> Result<(Vec<Value>, Vec<Value>), String> {
    let mut system = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let messages = chat["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (at, message) in messages.iter().enumerate() {
        let (role, parts) = match message["role"].as_str().unwrap_or_default() {
            "system" | "developer" => {
                system.extend(content(&message["content"])?);
                continue;
            }
            "assistant" => ("model", said(message, signed)?),
            "tool" => ("user", vec![returned(message, &messages[..at])?]),
            "function" => return Err("the function role (use tool)".to_owned()),
            _ => ("user", content(&message["content"])?),
        };
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some((last, before)) if *last == role => before.extend(parts),
            _ => turns.push((role, parts)),
        }
    }
    let turns = turns.into_iter().map(|(role, parts)| json!({"role": role, "parts": parts})).collect();
    Ok((system, turns))
}

/// Content, a string or parts. The API takes no empty text.
fn content(content: &Value) -> Result<Vec<Value>, String> {
    match content {
        Value::String(text) if !text.is_empty() => Ok(vec![json!({"text": text})]),
        Value::Array(parts) => parts.iter().filter(|part| part["text"] != "").map(part).collect(),
        _ => Ok(Vec::new()),
    }
}

fn part(part: &Value) -> Result<Value, String> {
    let inline = |url: &Value, what: &str| {
        let data = url.as_str().and_then(|url| url.strip_prefix("data:")?.split_once(";base64,"));
        let (media, data) =
            data.ok_or_else(|| format!("{what} by an address or an id: send it as a data: URL in base64"))?;
        Ok(json!({"inlineData": {"mimeType": media, "data": data}}))
    };
    match part["type"].as_str().unwrap_or_default() {
        "text" => Ok(json!({"text": part["text"]})),
        "refusal" => Ok(json!({"text": part["refusal"]})),
        "image_url" => inline(&part["image_url"]["url"], "an image"),
        "file" => inline(&part["file"]["file_data"], "a file"),
        "input_audio" => {
            let audio = &part["input_audio"];
            let media = format!("audio/{}", audio["format"].as_str().unwrap_or("wav"));
            Ok(json!({"inlineData": {"mimeType": media, "data": audio["data"]}}))
        }
        other => Err(format!("content of type {:?}", other.chars().take(40).collect::<String>())),
    }
}

fn said(message: &Value, signed: bool) -> Result<Vec<Value>, String> {
    let mut parts = content(&message["content"])?;
    parts.extend(content(&message["refusal"])?);
    for call in message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default() {
        if call.get("custom").is_some() {
            return Err("custom tools".to_owned());
        }
        let function = &call["function"];
        let arguments = crate::dialects::place::input_of(function["arguments"].as_str().unwrap_or_default());
        let mut part = json!({"functionCall": {"name": function["name"], "args": arguments}});
        let signature = call["extra_content"]["google"]["thought_signature"].as_str();
        if let Some(signature) = signature.or(signed.then_some(UNSIGNED)) {
            part["thoughtSignature"] = signature.into();
        }
        parts.push(part);
    }
    Ok(parts)
}

/// What a tool has returned, under the name of the function that was called.
fn returned(message: &Value, before: &[Value]) -> Result<Value, String> {
    let id = &message["tool_call_id"];
    let calls =
        before.iter().rev().flat_map(|message| message["tool_calls"].as_array().into_iter().flatten());
    let name = calls.into_iter().find(|call| call["id"] == *id).map(|call| call["function"]["name"].clone());
    let name = name.ok_or("the result of a tool call that the conversation does not have")?;
    let text = match &message["content"] {
        Value::Array(parts) if parts.iter().any(|part| part["type"] != "text") => {
            return Err("results of tools that are not text".to_owned());
        }
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    };
    let response = match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => json!({"result": text}),
    };
    Ok(json!({"functionResponse": {"name": name, "response": response}}))
}

fn tool(tool: &Value) -> Result<Value, String> {
    if tool["type"] != "function" {
        return Err("tools other than functions".to_owned());
    }
    let function = &tool["function"];
    let mut declared = json!({"name": function["name"]});
    if function["description"].is_string() {
        declared["description"] = function["description"].clone();
    }
    if function["parameters"].as_object().is_some_and(|schema| !schema.is_empty()) {
        declared["parametersJsonSchema"] = function["parameters"].clone();
    }
    Ok(declared)
}

fn tool_choice(choice: &Value) -> Result<Option<Value>, String> {
    Ok(match choice {
        Value::Null => None,
        Value::String(word) => Some(json!({"mode": match word.as_str() {
            "auto" => "AUTO",
            "none" => "NONE",
            "required" => "ANY",
            _ => return Err("this tool_choice".to_owned()),
        }})),
        other => match other["function"]["name"].as_str() {
            Some(name) => Some(json!({"mode": "ANY", "allowedFunctionNames": [name]})),
            None => return Err("this tool_choice".to_owned()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_with_everything() {
        let chat = json!({"model": "gemini/g", "max_tokens": 50, "temperature": 1.5, "top_p": 0.9, "seed": 1, "n": 2,
            "stop": "END", "user": "u1", "tool_choice": "required", "stream_options": {"include_usage": true},
            "reasoning_effort": "low", "frequency_penalty": 0,
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "mp3"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC"}}]},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"},
                        "extra_content": {"google": {"thought_signature": "c2ln"}}},
                    {"id": "t2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "t1", "content": "{\"one\": 1}"},
                {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "two"}]},
                {"role": "user", "content": "and?"}],
            "tools": [{"type": "function", "function": {"name": "f", "description": "does f",
                "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}},
                {"type": "function", "function": {"name": "g"}}]});
        assert_eq!(
            translate(&chat, "gemini-2.5-flash").expect("supported"),
            json!({"contents": [
                    {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                        {"inlineData": {"mimeType": "audio/mp3", "data": "BBBB"}},
                        {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}}]},
                    {"role": "model", "parts": [
                        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
                        {"functionCall": {"name": "g", "args": {}}}]},
                    {"role": "user", "parts": [
                        {"functionResponse": {"name": "f", "response": {"one": 1}}},
                        {"functionResponse": {"name": "g", "response": {"result": "two"}}},
                        {"text": "and?"}]}],
                "systemInstruction": {"parts": [{"text": "be kind"}]},
                "generationConfig": {"maxOutputTokens": 50, "temperature": 1.5, "topP": 0.9, "candidateCount": 2, "seed": 1,
                    "frequencyPenalty": 0, "stopSequences": ["END"], "responseMimeType": "application/json",
                    "responseJsonSchema": {"type": "object"},
                    "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": true}},
                "tools": [{"functionDeclarations": [
                    {"name": "f", "description": "does f",
                        "parametersJsonSchema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
                    {"name": "g"}]}],
                "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}})
        );
        let again = translate(&chat, "gemini-3-pro").expect("supported");
        assert_eq!(again["contents"][1]["parts"][1]["thoughtSignature"], UNSIGNED);
    }

    #[test]
    fn names_what_it_cannot_do() {
        let part = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
        for (chat, named) in [
            (json!({"logprobs": true}), "logprobs"),
            (json!({"logit_bias": {"1": 1}}), "logit_bias"),
            (json!({"of_tomorrow": 1}), "of_tomorrow"),
            (json!({"parallel_tool_calls": false}), "parallel_tool_calls"),
            (json!({"modalities": ["text", "audio"]}), "modalities"),
            (json!({"reasoning_effort": "ludicrous"}), "reasoning_effort"),
            (json!({"response_format": {"type": "grammar"}}), "response_format"),
            (json!({"tools": [{"type": "custom"}]}), "tools"),
            (part(json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}})), "data: URL"),
            (part(json!({"type": "file", "file": {"file_id": "x"}})), "a file"),
            (part(json!({"type": "novel"})), "novel"),
            (json!({"messages": [{"role": "tool", "tool_call_id": "t", "content": "x"}]}), "does not have"),
        ] {
            let error = translate(&chat, "g").expect_err(named);
            assert!(error.contains(named), "{error}");
        }
        for (given, expected) in [
            (json!("auto"), json!({"mode": "AUTO"})),
            (json!("none"), json!({"mode": "NONE"})),
            (
                json!({"type": "function", "function": {"name": "f"}}),
                json!({"mode": "ANY", "allowedFunctionNames": ["f"]}),
            ),
        ] {
            assert_eq!(tool_choice(&given), Ok(Some(expected)));
        }
    }
}
