//! Between Anthropic's messages and Converse's.

use serde_json::{Map, Value, json};

/// A messages request as a Converse request. The error names what the API cannot do.
pub fn request(message: &Value) -> Result<Value, String> {
    let turns = message["messages"].as_array().into_iter().flatten();
    let turn = |turn: &Value| Ok(json!({"role": turn["role"], "content": blocks(&turn["content"])?}));
    let mut body = json!({"messages": turns.map(turn).collect::<Result<Vec<_>, String>>()?});
    let mut inference = Map::new();
    let mut more = Map::new();
    for (key, value) in message.as_object().into_iter().flatten() {
        match key.as_str() {
            "model" | "messages" | "stream" | "metadata" => {}
            "system" => body["system"] = blocks(value)?.into(),
            "max_tokens" => _ = inference.insert("maxTokens".to_owned(), value.clone()),
            "temperature" => _ = inference.insert("temperature".to_owned(), value.clone()),
            "top_p" => _ = inference.insert("topP".to_owned(), value.clone()),
            "stop_sequences" => _ = inference.insert("stopSequences".to_owned(), value.clone()),
            "tools" => {
                let tools: Vec<Value> = value.as_array().into_iter().flatten().map(tool).collect();
                body["toolConfig"]["tools"] = tools.into();
            }
            "tool_choice" => body["toolConfig"]["toolChoice"] = choice(value)?,
            // What one model knows and the API has no word for: `thinking`, `top_k` …
            other => _ = more.insert(other.to_owned(), value.clone()),
        }
    }
    if !inference.is_empty() {
        body["inferenceConfig"] = Value::Object(inference);
    }
    if !more.is_empty() {
        body["additionalModelRequestFields"] = Value::Object(more);
    }
    Ok(body)
}

fn blocks(content: &Value) -> Result<Vec<Value>, String> {
    content.as_array().into_iter().flatten().map(block).collect()
}

fn block(block: &Value) -> Result<Value, String> {
    let source = &block["source"];
    let bytes = |what: &str| match source["type"].as_str() {
        Some("base64") => Ok(json!({"bytes": source["data"]})),
        _ => Err(format!("{what} by an address: send it as a data: URL in base64")),
    };
    let format = || {
        source["media_type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
    };
    Ok(match block["type"].as_str().unwrap_or_default() {
        "text" => json!({"text": block["text"]}),
        "image" => match (bytes("an image")?, format().as_str()) {
            (bytes, format @ ("png" | "jpeg" | "gif" | "webp")) => {
                json!({"image": {"format": format, "source": bytes}})
            }
            _ => return Err("images other than PNG, JPEG, GIF and WebP".to_owned()),
        },
        "document" => {
            json!({"document": {"format": "pdf", "name": "document", "source": bytes("a document")?}})
        }
        "tool_use" => {
            json!({"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}})
        }
        "tool_result" => {
            json!({"toolResult": {"toolUseId": block["tool_use_id"], "content": blocks(&block["content"])?}})
        }
        other => return Err(format!("content of type {other:?}")),
    })
}

fn tool(tool: &Value) -> Value {
    let mut spec = json!({"name": tool["name"], "inputSchema": {"json": tool["input_schema"]}});
    if tool["description"].as_str().is_some_and(|text| !text.is_empty()) {
        spec["description"] = tool["description"].clone();
    }
    json!({"toolSpec": spec})
}

fn choice(choice: &Value) -> Result<Value, String> {
    if choice["disable_parallel_tool_use"] == true {
        return Err("`parallel_tool_calls: false`".to_owned());
    }
    match choice["type"].as_str().unwrap_or_default() {
        "auto" => Ok(json!({"auto": {}})),
        "any" => Ok(json!({"any": {}})),
        "tool" => Ok(json!({"tool": {"name": choice["name"]}})),
        _ => Err("`tool_choice: none` (leave the tools out)".to_owned()),
    }
}

/// A whole answer as a message; `begin` has its id and its model.
pub fn message(answer: &Value, begin: &Value) -> Value {
    let content = answer["output"]["message"]["content"].as_array().into_iter().flatten();
    let content = content.filter_map(|block| {
        let thought = &block["reasoningContent"]["reasoningText"]["text"];
        let call = &block["toolUse"];
        if block["text"].is_string() {
            Some(json!({"type": "text", "text": block["text"]}))
        } else if thought.is_string() {
            Some(json!({"type": "thinking", "thinking": thought}))
        } else if call.is_object() {
            Some(json!({"type": "tool_use", "id": call["toolUseId"], "name": call["name"], "input": call["input"]}))
        } else {
            None
        }
    });
    json!({"id": begin["id"], "model": begin["model"], "content": content.collect::<Vec<_>>(),
        "stop_reason": stop_reason(&answer["stopReason"]), "usage": usage(&answer["usage"])})
}

/// An event of a stream as one of a message; `None` for what only marks a beginning or the end.
pub fn event(kind: &str, body: &Value) -> Option<Value> {
    let index = &body["contentBlockIndex"];
    let delta = &body["delta"];
    Some(match kind {
        "contentBlockStart" => {
            let call = &body["start"]["toolUse"];
            call.is_object().then_some(())?;
            json!({"type": "content_block_start", "index": index, "content_block":
                {"type": "tool_use", "id": call["toolUseId"], "name": call["name"], "input": {}}})
        }
        "contentBlockDelta" => {
            let told = if delta["text"].is_string() {
                json!({"type": "text_delta", "text": delta["text"]})
            } else if delta["toolUse"]["input"].is_string() {
                json!({"type": "input_json_delta", "partial_json": delta["toolUse"]["input"]})
            } else if delta["reasoningContent"]["text"].is_string() {
                json!({"type": "thinking_delta", "thinking": delta["reasoningContent"]["text"]})
            } else {
                return None;
            };
            json!({"type": "content_block_delta", "index": index, "delta": told})
        }
        "contentBlockStop" => json!({"type": "content_block_stop", "index": index}),
        "messageStop" => {
            json!({"type": "message_delta", "delta": {"stop_reason": stop_reason(&body["stopReason"])}, "usage": {}})
        }
        _ => return None,
    })
}

/// Why an answer ended, in Anthropic's words.
fn stop_reason(reason: &Value) -> &str {
    match reason.as_str().unwrap_or_default() {
        "guardrail_intervened" | "content_filtered" => "refusal",
        other => other,
    }
}

/// Tokens in Anthropic's words.
pub fn usage(usage: &Value) -> Value {
    let count = |key: &str| usage[key].as_u64().unwrap_or(0);
    json!({"input_tokens": count("inputTokens"), "output_tokens": count("outputTokens"),
        "cache_read_input_tokens": count("cacheReadInputTokens"),
        "cache_creation_input_tokens": count("cacheWriteInputTokens")})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anthropic::request::translate;

    #[test]
    fn a_conversation_with_everything() {
        let chat = json!({"max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "stop": "END", "user": "u", "top_k": 5,
            "tool_choice": "required", "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,BBBB"}}]},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
                {"role": "tool", "tool_call_id": "t1", "content": "one"}],
            "tools": [{"type": "function", "function": {"name": "f", "description": "does f"}}]});
        let message = translate(&chat, "m", false).expect("supported");
        assert_eq!(
            request(&message).expect("supported"),
            json!({"messages": [
                    {"role": "user", "content": [{"text": "look"},
                        {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
                        {"document": {"format": "pdf", "name": "document", "source": {"bytes": "BBBB"}}}]},
                    {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}]},
                    {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}]}}]}],
                "system": [{"text": "be kind"}],
                "toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": "does f",
                    "inputSchema": {"json": {"type": "object", "properties": {}}}}}], "toolChoice": {"any": {}}},
                "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "stopSequences": ["END"], "topP": 0.9},
                "additionalModelRequestFields": {"top_k": 5}})
        );
    }

    #[test]
    fn names_what_it_cannot_do() {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let image = |url: &str| json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]});
        for (chat, named) in [
            (json!({"tools": tools, "tool_choice": "none"}), "tool_choice: none"),
            (json!({"tools": tools, "parallel_tool_calls": false}), "parallel_tool_calls"),
            (image("https://x/y.png"), "data: URL"),
            (image("data:image/tiff;base64,AAAA"), "images other than"),
        ] {
            let message = translate(&chat, "m", false).expect("Anthropic's API can");
            let error = request(&message).expect_err(named);
            assert!(error.contains(named), "{error}");
        }
    }
}
