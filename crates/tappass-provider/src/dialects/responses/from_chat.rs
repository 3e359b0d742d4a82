//! A chat answer as a response, whole and streamed. Events are numbered on their way out, by the flow.

use serde_json::{Map, Value, json};

use crate::dialects::FromChat;

/// What a response repeats of its request: no texts, which would be judged again.
const REPEATED: &[&str] = &["max_output_tokens", "parallel_tool_calls", "temperature", "top_p", "truncation"];

/// The way back of one call.
#[derive(Debug, Default)]
pub struct Back {
    repeated: Map<String, Value>,
    /// The response without its output, once it has begun.
    response: Value,
    /// The items that are whole.
    output: Vec<Value>,
    /// What is being said: reasoning, text or refusal, and what of it has come.
    open: Option<(Saying, String)>,
    /// Tool calls as they are written, each with its index: `(index, the chunk's call, arguments)`.
    calls: Vec<(u64, Value, String)>,
    reason: Value,
    usage: Value,
}

/// What a model can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saying {
    Reasoning,
    Text,
    Refusal,
}

impl Saying {
    /// The item, with no part yet.
    fn item(self, id: &str) -> Value {
        match self {
            Self::Reasoning => {
                json!({"id": format!("rs_{id}"), "type": "reasoning", "summary": [], "content": []})
            }
            _ => {
                json!({"id": format!("msg_{id}"), "type": "message", "status": "in_progress", "role": "assistant",
                "content": []})
            }
        }
    }

    /// Its part.
    fn part(self, text: &str) -> Value {
        match self {
            Self::Reasoning => json!({"type": "reasoning_text", "text": text}),
            Self::Text => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
            Self::Refusal => json!({"type": "refusal", "refusal": text}),
        }
    }

    /// The events that tell it, without `.delta` and `.done`, and the member that has all of it at the end.
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Reasoning => ("response.reasoning_text", "text"),
            Self::Text => ("response.output_text", "text"),
            Self::Refusal => ("response.refusal", "refusal"),
        }
    }
}

const SAID: [(&str, Saying); 4] = [
    ("reasoning_content", Saying::Reasoning),
    ("reasoning", Saying::Reasoning),
    ("content", Saying::Text),
    ("refusal", Saying::Refusal),
];

impl Back {
    /// At its start.
    pub fn new(request: &Value) -> Self {
        let of = |key: &&str| Some(((*key).to_owned(), request.get(*key)?.clone()));
        let mut repeated: Map<String, Value> = REPEATED.iter().filter_map(of).collect();
        if let Some(kind) = request["text"]["format"]["type"].as_str() {
            repeated.insert("text".to_owned(), json!({"format": {"type": kind}}));
        }
        Self { repeated, ..Self::default() }
    }

    fn begin(&mut self, answer: &Value) {
        let id = answer["id"].as_str().unwrap_or_default();
        let id = id.strip_prefix("chatcmpl-").unwrap_or(id);
        let mut response = json!({"id": format!("resp_{id}"), "object": "response", "created_at": answer["created"],
            "status": "in_progress", "background": false, "error": null, "incomplete_details": null, "instructions": null,
            "max_output_tokens": null, "metadata": {}, "model": answer["model"], "output": [],
            "parallel_tool_calls": true, "previous_response_id": null, "reasoning": {"effort": null, "summary": null},
            "store": false, "temperature": null, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
            "top_p": null, "truncation": "disabled", "usage": null});
        for (key, value) in self.repeated.iter().filter(|(_, value)| !value.is_null()) {
            response[key.as_str()] = value.clone();
        }
        self.response = response;
    }

    /// The id of the item that comes next, without its prefix.
    fn next_id(&self) -> String {
        let id = self.response["id"].as_str().unwrap_or_default();
        format!("{}_{}", id.trim_start_matches("resp_"), self.output.len())
    }

    fn say(&mut self, saying: Saying, piece: &str, out: &mut Vec<Value>) {
        if self.open.as_ref().is_none_or(|(open, _)| *open != saying) {
            self.close(out);
            self.open = Some((saying, String::new()));
            let (item, index) = (saying.item(&self.next_id()), self.output.len());
            out.push(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
            out.push(
                json!({"type": "response.content_part.added", "item_id": item["id"], "output_index": index,
                "content_index": 0, "part": saying.part("")}),
            );
        }
        let item = saying.item(&self.next_id());
        if let Some((_, text)) = &mut self.open {
            text.push_str(piece);
        }
        let mut delta = json!({"type": format!("{}.delta", saying.told().0), "item_id": item["id"],
            "output_index": self.output.len(), "content_index": 0, "delta": piece});
        if saying == Saying::Text {
            delta["logprobs"] = json!([]);
        }
        out.push(delta);
    }

    /// Ends what is being said.
    fn close(&mut self, out: &mut Vec<Value>) {
        let Some((saying, text)) = self.open.take() else { return };
        let (mut item, index) = (saying.item(&self.next_id()), self.output.len());
        let (told, member) = saying.told();
        let id = item["id"].clone();
        let mut done = json!({"type": format!("{told}.done"), "item_id": id, "output_index": index, "content_index": 0,
            member: text});
        if saying == Saying::Text {
            done["logprobs"] = json!([]);
        }
        out.push(done);
        out.push(json!({"type": "response.content_part.done", "item_id": id, "output_index": index,
            "content_index": 0, "part": saying.part(&text)}));
        item["content"] = json!([saying.part(&text)]);
        if saying != Saying::Reasoning {
            item["status"] = "completed".into();
        }
        out.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
        self.output.push(item);
    }

    /// One call, all of it.
    fn call(&mut self, call: &Value, arguments: &str, out: &mut Vec<Value>) {
        let (custom, index) = (call.get("custom").is_some(), self.output.len());
        let (kind, prefix, member, told) = if custom {
            ("custom_tool_call", "ctc", "input", "response.custom_tool_call_input")
        } else {
            ("function_call", "fc", "arguments", "response.function_call_arguments")
        };
        let body = call.get("custom").unwrap_or(&call["function"]);
        let mut item = json!({"id": format!("{prefix}_{}", self.next_id()), "type": kind, "status": "in_progress",
            "call_id": call["id"], "name": body["name"], member: ""});
        let id = item["id"].clone();
        out.push(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
        out.push(json!({"type": format!("{told}.delta"), "item_id": id, "output_index": index, "delta": arguments}));
        out.push(
            json!({"type": format!("{told}.done"), "item_id": id, "output_index": index, "name": body["name"],
            member: arguments}),
        );
        item[member] = arguments.into();
        item["status"] = "completed".into();
        out.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
        self.output.push(item);
    }

    /// The response as it stands at the end.
    fn ended(&mut self) -> Value {
        let incomplete = match self.reason.as_str() {
            Some("length") => Some("max_output_tokens"),
            Some("content_filter") => Some("content_filter"),
            _ => None,
        };
        let mut response = self.response.clone();
        response["status"] = if incomplete.is_some() { "incomplete" } else { "completed" }.into();
        if let Some(reason) = incomplete {
            response["incomplete_details"] = json!({"reason": reason});
        }
        response["output"] = std::mem::take(&mut self.output).into();
        response["usage"] = usage(&self.usage);
        response
    }
}

impl FromChat for Back {
    fn whole(&self, answer: &Value) -> Value {
        let mut back = Self { repeated: self.repeated.clone(), ..Self::default() };
        back.begin(answer);
        let choice = &answer["choices"][0];
        let message = &choice["message"];
        let mut ignored = Vec::new();
        for (key, saying) in SAID {
            if key == "reasoning" && message["reasoning_content"].is_string() {
                continue;
            }
            if let Some(text) = text_of(&message[key]) {
                back.say(saying, &text, &mut ignored);
            }
        }
        back.close(&mut ignored);
        for call in array(&message["tool_calls"]) {
            back.call(call, piece_of(call), &mut ignored);
        }
        back.reason = choice["finish_reason"].clone();
        back.usage = answer["usage"].clone();
        back.ended()
    }

    fn chunk(&mut self, chunk: &Value) -> Vec<Value> {
        let mut out = Vec::new();
        if self.response.is_null() {
            self.begin(chunk);
            for kind in ["response.created", "response.in_progress"] {
                out.push(json!({"type": kind, "response": self.response}));
            }
        }
        if chunk["usage"].is_object() {
            self.usage = chunk["usage"].clone();
        }
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        for (key, saying) in SAID {
            if key == "reasoning" && delta["reasoning_content"].is_string() {
                continue;
            }
            if let Some(text) = text_of(&delta[key]) {
                self.say(saying, &text, &mut out);
            }
        }
        for (i, call) in array(&delta["tool_calls"]).iter().enumerate() {
            let index = call["index"].as_u64().unwrap_or(i as u64);
            match self.calls.iter_mut().find(|(known, ..)| *known == index) {
                Some((.., arguments)) => arguments.push_str(piece_of(call)),
                None => self.calls.push((index, call.clone(), piece_of(call).to_owned())),
            }
        }
        if !choice["finish_reason"].is_null() {
            self.reason = choice["finish_reason"].clone();
        }
        out
    }

    fn end(&mut self) -> Vec<Value> {
        let mut out = Vec::new();
        if self.response.is_null() {
            out.extend(self.chunk(&json!({"id": "empty", "model": "", "created": 0})));
        }
        self.close(&mut out);
        // The chat dialect may write several calls at once; here one item follows the other.
        for (_, call, arguments) in std::mem::take(&mut self.calls) {
            self.call(&call, &arguments, &mut out);
        }
        let response = self.ended();
        let kind =
            if response["status"] == "completed" { "response.completed" } else { "response.incomplete" };
        out.push(json!({"type": kind, "response": response}));
        out
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn piece_of(call: &Value) -> &str {
    let piece = call["function"]["arguments"].as_str().or_else(|| call["custom"]["input"].as_str());
    piece.unwrap_or_default()
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

/// Tokens in this dialect's words.
fn usage(usage: &Value) -> Value {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let (read, written) = (count(&usage["prompt_tokens"]), count(&usage["completion_tokens"]));
    json!({"input_tokens": read,
        "input_tokens_details": {"cached_tokens": count(&usage["prompt_tokens_details"]["cached_tokens"])},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": count(&usage["completion_tokens_details"]["reasoning_tokens"])},
        "total_tokens": read + written})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::responses::texts;

    #[expect(clippy::needless_pass_by_value, reason = "reads better with json! at the call")]
    fn chunk(delta: Value, reason: Value) -> Value {
        json!({"id": "chatcmpl-7", "created": 3, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    }

    #[test]
    fn a_stream_says_what_the_whole_says() {
        let call = |index: u64, id: Value, name: Value, arguments: &str| {
            json!({"tool_calls": [{"index": index, "id": id, "type": "function",
                "function": {"name": name, "arguments": arguments}}]})
        };
        let counted = json!({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}});
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
            json!({"id": "chatcmpl-7", "model": "m", "choices": [], "usage": counted}),
        ];
        let request = json!({"temperature": 0.5, "tools": [{"type": "function", "name": "f"}]});
        let mut back = Back::new(&request);
        let mut events: Vec<Value> = chunks.iter().flat_map(|chunk| back.chunk(chunk)).collect();
        events.extend(back.end());
        let whole = Back::new(&request).whole(&json!({"id": "chatcmpl-7", "created": 3, "model": "m", "usage": counted,
            "choices": [{"finish_reason": "tool_calls", "message": {"content": "I look.", "reasoning_content": "hm",
                "tool_calls": [{"id": "t1", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                    {"id": "t2", "function": {"name": "g", "arguments": ""}}]}}]}));
        let last = events.last().expect("events");
        assert_eq!((&last["type"], &last["response"]), (&json!("response.completed"), &whole));
        assert_eq!(
            (&whole["id"], &whole["temperature"], &whole["status"]),
            (&json!("resp_7"), &json!(0.5), &json!("completed"))
        );
        assert_eq!(
            whole["output"],
            json!([
                {"id": "rs_7_0", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
                {"id": "msg_7_1", "type": "message", "status": "completed", "role": "assistant", "content": [
                    {"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]},
                {"id": "fc_7_2", "type": "function_call", "status": "completed", "call_id": "t1", "name": "f", "arguments": "{\"a\": 1}"},
                {"id": "fc_7_3", "type": "function_call", "status": "completed", "call_id": "t2", "name": "g", "arguments": ""}])
        );
        assert_eq!(
            whole["usage"],
            json!({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2},
            "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 13})
        );
        let items: Vec<&Value> =
            events.iter().filter(|e| e["type"] == "response.output_item.done").map(|e| &e["item"]).collect();
        assert_eq!(json!(items), whole["output"]);
        let said: String = events
            .iter()
            .filter(|e| e["type"] == "response.output_text.delta")
            .filter_map(|e| e["delta"].as_str())
            .collect();
        assert_eq!(said, "I look.");
        assert_eq!(texts::answer(&whole).unknown, None);
    }

    #[test]
    fn why_it_ended() {
        for (reason, status, details) in [
            ("stop", "completed", Value::Null),
            ("tool_calls", "completed", Value::Null),
            ("length", "incomplete", json!({"reason": "max_output_tokens"})),
            ("content_filter", "incomplete", json!({"reason": "content_filter"})),
        ] {
            let answer =
                json!({"id": "c", "choices": [{"finish_reason": reason, "message": {"content": "x"}}]});
            let whole = Back::default().whole(&answer);
            assert_eq!(
                (&whole["status"], &whole["incomplete_details"]),
                (&json!(status), &details),
                "{reason}"
            );
            let mut back = Back::default();
            back.chunk(&chunk(json!({"content": "x"}), json!(reason)));
            let last = back.end().pop().expect("an event");
            assert_eq!(last["type"], format!("response.{status}"), "{reason}");
        }
        let nothing = Back::default().end();
        assert_eq!(nothing.last().map(|e| e["type"].clone()), Some(json!("response.completed")));
    }
}
