//! The events of a message as chat chunks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::{finish_reason, usage};

/// A tool call being written.
struct Call {
    /// Its place among the tool calls.
    index: usize,
    /// Some of its arguments have come.
    begun: bool,
}

/// A translation in progress.
pub struct Translation {
    created: i64,
    id: Value,
    model: Value,
    /// By the index of their content block.
    calls: BTreeMap<u64, Call>,
    usage: Value,
}

impl Translation {
    /// `created` is in Unix seconds.
    pub fn new(created: i64) -> Self {
        Self { created, id: Value::Null, model: Value::Null, calls: BTreeMap::new(), usage: json!({}) }
    }

    /// The chunk that an event makes; `None` where the chat dialect has nothing to say.
    pub fn chunk(&mut self, event: &Value) -> Option<Value> {
        let block = event["index"].as_u64().unwrap_or(0);
        match event["type"].as_str()? {
            "message_start" => {
                let message = &event["message"];
                self.id = message["id"].clone();
                self.model = message["model"].clone();
                self.count(&message["usage"]);
                Some(self.delta(&json!({"role": "assistant", "content": ""})))
            }
            "content_block_start" => self.start(block, &event["content_block"]),
            "content_block_delta" => self.grow(block, &event["delta"]),
            // A call without arguments has them empty, not missing.
            "content_block_stop" => match self.calls.get(&block) {
                Some(call) if !call.begun => Some(self.arguments(call.index, "{}")),
                _ => None,
            },
            // Of an API that tells the tokens after all else.
            "count" => {
                self.count(&event["usage"]);
                None
            }
            "message_delta" => {
                self.count(&event["usage"]);
                let reason = finish_reason(&event["delta"]["stop_reason"]);
                Some(self.frame(&json!([{"index": 0, "delta": {}, "finish_reason": reason}])))
            }
            _ => None,
        }
    }

    /// The last chunk: what it all cost.
    pub fn usage_chunk(&self) -> Value {
        let mut chunk = self.frame(&json!([]));
        chunk["usage"] = usage(&self.usage);
        chunk
    }

    fn start(&mut self, block: u64, content: &Value) -> Option<Value> {
        match content["type"].as_str()? {
            "tool_use" => {
                let index = self.calls.len();
                self.calls.insert(block, Call { index, begun: false });
                let function = json!({"name": content["name"], "arguments": ""});
                let call =
                    json!({"index": index, "id": content["id"], "type": "function", "function": function});
                Some(self.delta(&json!({"tool_calls": [call]})))
            }
            "text" => self.text("content", &content["text"]),
            "thinking" => self.text("reasoning_content", &content["thinking"]),
            _ => None,
        }
    }

    fn grow(&mut self, block: u64, delta: &Value) -> Option<Value> {
        match delta["type"].as_str()? {
            "text_delta" => self.text("content", &delta["text"]),
            "thinking_delta" => self.text("reasoning_content", &delta["thinking"]),
            "input_json_delta" => {
                let piece = delta["partial_json"].as_str().filter(|piece| !piece.is_empty())?;
                let call = self.calls.get_mut(&block)?;
                call.begun = true;
                let index = call.index;
                Some(self.arguments(index, piece))
            }
            // Signatures and citations have no place in the chat dialect.
            _ => None,
        }
    }

    fn text(&self, field: &str, text: &Value) -> Option<Value> {
        let text = text.as_str().filter(|text| !text.is_empty())?;
        Some(self.delta(&json!({field: text})))
    }

    fn arguments(&self, index: usize, piece: &str) -> Value {
        self.delta(&json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    }

    /// Counts are totals so far; an event tells only some of them.
    fn count(&mut self, told: &Value) {
        for (key, value) in told.as_object().into_iter().flatten() {
            if value.is_u64() {
                self.usage[key.as_str()] = value.clone();
            }
        }
    }

    fn delta(&self, delta: &Value) -> Value {
        self.frame(&json!([{"index": 0, "delta": delta, "finish_reason": null}]))
    }

    fn frame(&self, choices: &Value) -> Value {
        json!({"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        anthropic::answer::translate,
        dialects::chat::{Accumulator, read_answer},
    };

    #[test]
    fn a_stream_says_what_the_whole_says() {
        let events = [
            json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude-x", "content": [],
                "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "I "}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "look."}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "content_block_start", "index": 2,
                "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}}}),
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}}),
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"a\""}}),
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ":1}"}}),
            json!({"type": "content_block_stop", "index": 2}),
            json!({"type": "content_block_start", "index": 3,
                "content_block": {"type": "tool_use", "id": "t2", "name": "g", "input": {}}}),
            json!({"type": "content_block_stop", "index": 3}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 30}}),
        ];
        let mut state = Translation::new(0);
        let mut folded = Accumulator::default();
        for event in &events {
            if let Some(chunk) = state.chunk(event) {
                folded.push(&chunk);
            }
        }
        folded.push(&state.usage_chunk());
        let whole = read_answer(&translate(
            &json!({"id": "msg_1", "model": "claude-x", "stop_reason": "tool_use", "content": [
                {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "g", "input": {}}],
                "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 30}}),
            0,
        ));
        let answer = folded.answer();
        assert_eq!(answer.segments, whole.segments);
        assert_eq!(answer.tool_calls, whole.tool_calls);
        assert_eq!((answer.usage, answer.model), (whole.usage, whole.model));
        assert_eq!(folded.finish_reason(0), Some("tool_calls"));
    }
}
