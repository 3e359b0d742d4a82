//! A chat answer as a message, whole and streamed.

use serde_json::{Value, json};

use crate::dialects::{FromChat, place::input_of};

/// The way back of one call.
#[derive(Debug, Default)]
pub struct Back {
    begun: bool,
    /// How many blocks have begun.
    blocks: u64,
    /// The kind of the block that is open: its last one.
    open: Option<&'static str>,
    /// Tool calls as they are written, each with its index: `(index, id, name, arguments)`.
    calls: Vec<(u64, Value, Value, String)>,
    reason: Value,
    usage: Value,
}

impl FromChat for Back {
    fn whole(&self, answer: &Value) -> Value {
        let choice = &answer["choices"][0];
        let message = &choice["message"];
        let mut content = Vec::new();
        let said = |key: &str| text_of(&message[key]);
        if let Some(reasoning) = said("reasoning_content").or_else(|| said("reasoning")) {
            // Signed by nobody.
            content.push(json!({"type": "thinking", "thinking": reasoning, "signature": ""}));
        }
        for text in [said("content"), said("refusal")].into_iter().flatten() {
            content.push(json!({"type": "text", "text": text}));
        }
        for call in array(&message["tool_calls"]) {
            let function = call.get("custom").unwrap_or(&call["function"]);
            let arguments = function["arguments"].as_str().or_else(|| function["input"].as_str());
            content.push(json!({"type": "tool_use", "id": call["id"], "name": function["name"],
                "input": input_of(arguments.unwrap_or_default())}));
        }
        json!({"id": answer["id"], "type": "message", "role": "assistant", "model": answer["model"],
            "content": content, "stop_reason": stop_reason(&choice["finish_reason"]), "stop_sequence": null,
            "usage": usage(&answer["usage"])})
    }

    fn chunk(&mut self, chunk: &Value) -> Vec<Value> {
        let mut out = Vec::new();
        if !self.begun {
            self.begun = true;
            // What the prompt came to is told with the end.
            out.push(json!({"type": "message_start", "message": {"id": chunk["id"], "type": "message",
                "role": "assistant", "model": chunk["model"], "content": [], "stop_reason": null,
                "stop_sequence": null, "usage": {"input_tokens": 0, "output_tokens": 0}}}));
        }
        if chunk["usage"].is_object() {
            self.usage = usage(&chunk["usage"]);
        }
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        for (key, kind) in [
            ("reasoning_content", "thinking"),
            ("reasoning", "thinking"),
            ("content", "text"),
            ("refusal", "text"),
        ] {
            if key == "reasoning" && delta["reasoning_content"].is_string() {
                continue;
            }
            if let Some(text) = text_of(&delta[key]) {
                self.say(kind, &text, &mut out);
            }
        }
        for (i, call) in array(&delta["tool_calls"]).iter().enumerate() {
            let index = call["index"].as_u64().unwrap_or(i as u64);
            let function = call.get("custom").unwrap_or(&call["function"]);
            let at = self.calls.iter().position(|(known, ..)| *known == index).unwrap_or_else(|| {
                self.calls.push((index, Value::Null, Value::Null, String::new()));
                self.calls.len() - 1
            });
            let (_, id, name, arguments) = &mut self.calls[at];
            for (known, said) in [(id, &call["id"]), (name, &function["name"])] {
                if known.is_null() && said.is_string() {
                    *known = said.clone();
                }
            }
            let piece = function["arguments"].as_str().or_else(|| function["input"].as_str());
            arguments.push_str(piece.unwrap_or_default());
        }
        if !choice["finish_reason"].is_null() {
            self.reason = choice["finish_reason"].clone();
        }
        out
    }

    fn end(&mut self) -> Vec<Value> {
        let mut out = Vec::new();
        if !self.begun {
            out.extend(self.chunk(&json!({"id": "msg_empty", "model": ""})));
        }
        self.close(&mut out);
        // The chat dialect may write several calls at once; here one block follows the other.
        for (_, id, name, arguments) in std::mem::take(&mut self.calls) {
            let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            self.begin("tool_use", &block, &mut out);
            let delta = json!({"type": "input_json_delta", "partial_json": input_of(&arguments).to_string()});
            out.push(json!({"type": "content_block_delta", "index": self.blocks - 1, "delta": delta}));
            self.close(&mut out);
        }
        let usage = if self.usage.is_null() { json!({"output_tokens": 0}) } else { self.usage.take() };
        out.push(json!({"type": "message_delta",
            "delta": {"stop_reason": stop_reason(&self.reason), "stop_sequence": null}, "usage": usage}));
        out.push(json!({"type": "message_stop"}));
        out
    }
}

impl Back {
    fn say(&mut self, kind: &'static str, text: &str, out: &mut Vec<Value>) {
        if self.open != Some(kind) {
            self.close(out);
            let mut block = json!({"type": kind, kind: ""});
            if kind == "thinking" {
                block["signature"] = "".into();
            }
            self.begin(kind, &block, out);
        }
        let delta = json!({"type": format!("{kind}_delta"), kind: text});
        out.push(json!({"type": "content_block_delta", "index": self.blocks - 1, "delta": delta}));
    }

    fn begin(&mut self, kind: &'static str, block: &Value, out: &mut Vec<Value>) {
        out.push(json!({"type": "content_block_start", "index": self.blocks, "content_block": block}));
        self.blocks += 1;
        self.open = Some(kind);
    }

    fn close(&mut self, out: &mut Vec<Value>) {
        if self.open.take().is_some() {
            out.push(json!({"type": "content_block_stop", "index": self.blocks - 1}));
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text, or the texts of parts; `None` where it is empty.
fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Why the answer ended, in this dialect's words. (Which stop sequence it was, the chat dialect does not tell.)
fn stop_reason(finish_reason: &Value) -> &'static str {
    match finish_reason.as_str().unwrap_or_default() {
        "length" => "max_tokens",
        "tool_calls" | "function_call" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    }
}

/// Tokens in this dialect's words: what was read from the cache is not part of the input.
fn usage(usage: &Value) -> Value {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let cached = count(&usage["prompt_tokens_details"]["cached_tokens"]);
    json!({"input_tokens": count(&usage["prompt_tokens"]).saturating_sub(cached),
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": cached,
        "output_tokens": count(&usage["completion_tokens"])})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::{
        Flow, Lanes, Stopped, Wants,
        messages::{flow::MessageFlow, texts},
    };

    struct Nobody;

    impl Lanes for Nobody {
        fn push(&mut self, _: &crate::dialects::Channel, piece: &str) -> Result<String, Stopped> {
            Ok(piece.to_owned())
        }
        fn finish(&mut self, _: &crate::dialects::Channel) -> Result<String, Stopped> {
            Ok(String::new())
        }
        fn whole(&mut self, _: &crate::dialects::Channel, _: bool) -> String {
            String::new()
        }
        fn unknown(&mut self, what: &str) -> Result<(), Stopped> {
            panic!("{what}")
        }
    }

    #[test]
    fn a_stream_says_what_the_whole_says() {
        let chunk = |delta: Value, reason: Value| json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
        let call = |index: u64, id: Value, name: Value, arguments: &str| {
            json!({"tool_calls": [{"index": index, "id": id, "type": "function",
                "function": {"name": name, "arguments": arguments}}]})
        };
        let mut last = json!({"id": "c", "model": "m", "choices": []});
        let counted = json!({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}});
        last["usage"] = counted.clone();
        let chunks = [
            chunk(json!({"role": "assistant", "content": ""}), Value::Null),
            chunk(json!({"reasoning_content": "h"}), Value::Null),
            chunk(json!({"reasoning_content": "m"}), Value::Null),
            chunk(json!({"content": "I "}), Value::Null),
            chunk(json!({"content": "look."}), Value::Null),
            chunk(call(0, json!("t1"), json!("f"), "{\"a\""), Value::Null),
            chunk(call(1, json!("t2"), json!("g"), ""), Value::Null),
            chunk(call(0, Value::Null, Value::Null, ": 1}"), Value::Null),
            chunk(json!({}), json!("tool_calls")),
            last,
        ];
        let mut back = Back::default();
        let mut events: Vec<Value> = chunks.iter().flat_map(|chunk| back.chunk(chunk)).collect();
        events.extend(back.end());
        let mut flow = MessageFlow::new(Wants::default());
        for event in events {
            flow.push(event, &mut Nobody).expect("nobody stops it");
        }
        let streamed = flow.take_answer();
        let whole = Back::default().whole(&json!({"id": "c", "model": "m", "usage": counted, "choices": [
            {"finish_reason": "tool_calls", "message": {"content": "I look.", "reasoning_content": "hm", "tool_calls": [
                {"id": "t1", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                {"id": "t2", "function": {"name": "g", "arguments": ""}}]}}]}));
        assert_eq!(
            whole,
            json!({"id": "c", "type": "message", "role": "assistant", "model": "m", "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "g", "input": {}}],
                "stop_reason": "tool_use", "stop_sequence": null,
                "usage": {"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2,
                    "output_tokens": 4}})
        );
        let whole = texts::answer(&whole);
        assert_eq!(streamed.segments, whole.segments);
        assert_eq!((streamed.tool_calls, streamed.usage), (whole.tool_calls, whole.usage));
    }

    #[test]
    fn why_it_ended() {
        for (theirs, ours) in [
            ("stop", "end_turn"),
            ("length", "max_tokens"),
            ("tool_calls", "tool_use"),
            ("content_filter", "refusal"),
        ] {
            assert_eq!(stop_reason(&json!(theirs)), ours);
        }
    }
}
