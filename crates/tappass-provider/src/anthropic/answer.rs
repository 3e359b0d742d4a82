//! A message as a chat completion.

use serde_json::{Value, json};

/// Translates a whole answer. `created` is in Unix seconds: the API tells no time.
pub fn translate(message: &Value, created: i64) -> Value {
    let (mut content, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    for block in message["content"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let text = |key: &str| block[key].as_str().unwrap_or_default();
        match text("type") {
            "text" => content.push_str(text("text")),
            "thinking" => reasoning.push_str(text("thinking")),
            "tool_use" => calls.push(json!({"id": block["id"], "type": "function",
                "function": {"name": block["name"], "arguments": block["input"].to_string()}})),
            // What the chat dialect has no place for: encrypted thinking, the API's own tools.
            _ => {}
        }
    }
    let content = if content.is_empty() && !calls.is_empty() { Value::Null } else { content.into() };
    let mut answer = json!({"role": "assistant", "content": content, "refusal": null});
    if !reasoning.is_empty() {
        answer["reasoning_content"] = reasoning.into();
    }
    if !calls.is_empty() {
        answer["tool_calls"] = calls.into();
    }
    let choice = json!({"index": 0, "message": answer, "logprobs": null, "finish_reason": finish_reason(&message["stop_reason"])});
    json!({"id": message["id"], "object": "chat.completion", "created": created, "model": message["model"],
        "choices": [choice], "usage": usage(&message["usage"])})
}

/// Why the answer ended, in the chat dialect's words.
pub fn finish_reason(stop_reason: &Value) -> &'static str {
    match stop_reason.as_str().unwrap_or_default() {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// Tokens in the chat dialect's words. There, what was read from and written to the cache is part of the prompt.
pub fn usage(usage: &Value) -> Value {
    let count = |key: &str| usage[key].as_u64().unwrap_or(0);
    let (read, written) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
    let prompt = count("input_tokens") + read + written;
    let completion = count("output_tokens");
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_creation_tokens": written}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_everything() {
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "I "}, {"type": "text", "text": "look."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 2, "output_tokens": 3}});
        assert_eq!(
            translate(&message, 12),
            json!({"id": "msg_1", "object": "chat.completion", "created": 12, "model": "claude-x", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "I look.", "refusal": null,
                    "reasoning_content": "hm", "tool_calls": [{"id": "t1", "type": "function",
                        "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
                    "logprobs": null, "finish_reason": "tool_calls"}],
                "usage": {"prompt_tokens": 14, "completion_tokens": 3, "total_tokens": 17,
                    "prompt_tokens_details": {"cached_tokens": 7, "cache_creation_tokens": 2}}})
        );
    }

    #[test]
    fn why_it_ended() {
        for (theirs, ours) in [
            ("end_turn", "stop"),
            ("stop_sequence", "stop"),
            ("max_tokens", "length"),
            ("tool_use", "tool_calls"),
            ("refusal", "content_filter"),
        ] {
            assert_eq!(finish_reason(&json!(theirs)), ours);
        }
    }
}
