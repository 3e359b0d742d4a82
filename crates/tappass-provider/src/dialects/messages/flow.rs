//! Holding back a stream of message events.
//!
//! Blocks come one after the other, so what follows a block that waits waits too. A tool's input waits until it is
//! whole: it is judged as the JSON that the whole answer has, and goes out as one piece. Why the message ended, and its
//! end, wait until the steps have seen all of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tappass_model::Answer;

use super::{check::is_known, texts};
use crate::dialects::{Channel, ChannelKind, Flow, Lanes, Stopped, Wants, place::input_of};

/// A stream of events in progress.
pub struct MessageFlow {
    wants: Wants,
    /// The `message` of the first event, with all that came since.
    message: Value,
    /// Inputs of tools as they are written, by the index of their block.
    inputs: BTreeMap<u64, String>,
    /// The events that wait for the end. Once there is one, all wait.
    tail: Vec<Value>,
    /// The first event has gone out.
    begun: bool,
    /// The block that has begun to go out and has not ended.
    open: Option<u64>,
}

impl MessageFlow {
    /// At its start.
    pub fn new(wants: Wants) -> Self {
        let (message, inputs, tail) = (Value::Null, BTreeMap::new(), Vec::new());
        Self { wants, message, inputs, tail, begun: false, open: None }
    }

    /// The block with this index in the message so far.
    fn block(&mut self, index: u64) -> Option<&mut Value> {
        self.message.get_mut("content")?.get_mut(usize::try_from(index).ok()?)
    }

    /// Adds an event to the message.
    fn fold(&mut self, event: &Value) {
        let index = index_of(event);
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => {
                self.message = event["message"].clone();
                if !self.message["content"].is_array() {
                    self.message["content"] = json!([]);
                }
            }
            "content_block_start" => {
                if let Some(content) = self.message.get_mut("content").and_then(Value::as_array_mut) {
                    content.push(event["content_block"].clone());
                }
            }
            "content_block_delta" => {
                let delta = &event["delta"];
                match delta["type"].as_str().unwrap_or_default() {
                    "input_json_delta" => {
                        let piece = delta["partial_json"].as_str().unwrap_or_default();
                        self.inputs.entry(index).or_default().push_str(piece);
                    }
                    "citations_delta" => {
                        if let Some(block) = self.block(index) {
                            match block.get_mut("citations").and_then(Value::as_array_mut) {
                                Some(list) => list.push(delta["citation"].clone()),
                                None => block["citations"] = json!([delta["citation"]]),
                            }
                        }
                    }
                    _ => {
                        for key in ["text", "thinking", "signature"] {
                            if let (Some(piece), Some(block)) = (delta[key].as_str(), self.block(index)) {
                                let whole = block[key].as_str().unwrap_or_default().to_owned() + piece;
                                block[key] = whole.into();
                            }
                        }
                    }
                }
            }
            "message_delta" if self.message.is_object() => {
                for (key, value) in event["delta"].as_object().into_iter().flatten() {
                    self.message[key.as_str()] = value.clone();
                }
                for (key, value) in event["usage"].as_object().into_iter().flatten() {
                    // Counts are totals so far; an event tells only some of them.
                    if value.is_u64() {
                        self.message["usage"][key.as_str()] = value.clone();
                    }
                }
            }
            _ => {}
        }
    }

    /// The events that this one becomes when its texts are judged.
    fn judge(&self, mut event: Value, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        let index = index_of(&event);
        let lane = |kind| Channel { choice: index, kind };
        match event["type"].as_str().unwrap_or_default() {
            "content_block_start" => {
                let block = &mut event["content_block"];
                match block["type"].as_str().unwrap_or_default() {
                    "text" => replace(block, "text", &lane(ChannelKind::Content), lanes)?,
                    "thinking" => replace(block, "thinking", &lane(ChannelKind::Reasoning), lanes)?,
                    kind if kind.ends_with("tool_use") => {}
                    _ => judge_all(block, index, lanes)?,
                }
                Ok(vec![event])
            }
            "content_block_delta" => {
                let delta = &mut event["delta"];
                let (key, kind) = match delta["type"].as_str().unwrap_or_default() {
                    "text_delta" => ("text", ChannelKind::Content),
                    "thinking_delta" => ("thinking", ChannelKind::Reasoning),
                    // The signature comes after all that it is for.
                    "signature_delta" => {
                        let rest = lanes.finish(&lane(ChannelKind::Reasoning))?;
                        return Ok(said(index, "thinking", &rest).into_iter().chain([event]).collect());
                    }
                    _ => {
                        judge_all(delta, index, lanes)?;
                        return Ok(vec![event]);
                    }
                };
                replace(delta, key, &lane(kind), lanes)?;
                let silent = delta[key] == "";
                Ok(if silent { Vec::new() } else { vec![event] })
            }
            "content_block_stop" => {
                let mut out = Vec::new();
                for (key, kind) in [("thinking", ChannelKind::Reasoning), ("text", ChannelKind::Content)] {
                    out.extend(said(index, key, &lanes.finish(&lane(kind))?));
                }
                out.push(event);
                Ok(out)
            }
            "message_start" => {
                judge_all(&mut event["message"]["content"], index, lanes)?;
                Ok(vec![event])
            }
            "message_stop" => Ok(vec![event]),
            "message_delta" => {
                judge_all(&mut event["delta"]["stop_sequence"], index, lanes)?;
                Ok(vec![event])
            }
            _ => {
                judge_all(&mut event, index, lanes)?;
                Ok(vec![event])
            }
        }
    }

    /// What goes out in place of the pieces of a tool's input, when it is whole.
    fn input(&self, index: u64, lanes: &mut dyn Lanes) -> Result<Option<Value>, Stopped> {
        let Some(written) = self.inputs.get(&index) else { return Ok(None) };
        let channel = Channel { choice: index, kind: ChannelKind::ToolArguments(0) };
        let mut whole = input_of(written).to_string();
        if self.wants.holds_text {
            lanes.push(&channel, &whole)?;
            lanes.finish(&channel)?;
            whole = input_of(&lanes.whole(&channel, true)).to_string();
        }
        Ok(Some(json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "input_json_delta", "partial_json": whole}})))
    }

    /// Lets events go, or wait behind those that wait.
    fn emit(&mut self, events: Vec<Value>) -> Vec<Value> {
        if !self.tail.is_empty() {
            self.tail.extend(events);
            return Vec::new();
        }
        for event in &events {
            match event["type"].as_str().unwrap_or_default() {
                "message_start" => self.begun = true,
                "content_block_start" => self.open = Some(index_of(event)),
                "content_block_stop" => self.open = None,
                _ => {}
            }
        }
        events
    }
}

impl Flow for MessageFlow {
    fn push(&mut self, event: Value, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "ping" {
            // Keeps the connection alive, whatever waits.
            return Ok(if self.begun { vec![event] } else { Vec::new() });
        }
        if let Some(what) = unknown(&event) {
            lanes.unknown(what)?;
        }
        self.fold(&event);
        let input = match kind {
            "content_block_delta" => event["delta"]["type"] == "input_json_delta",
            _ => false,
        };
        let begins_tool = kind == "content_block_start"
            && event["content_block"]["type"].as_str().is_some_and(|kind| kind.ends_with("tool_use"));
        let waits = self.wants.holds_all
            || matches!(kind, "message_delta" | "message_stop")
            || begins_tool && self.wants.holds_tools;
        if input && self.wants.holds_tools {
            return Ok(Vec::new());
        }
        let mut events = Vec::new();
        if kind == "content_block_stop" && self.wants.holds_tools {
            events.extend(self.input(index_of(&event), lanes)?);
        }
        if self.wants.holds_text {
            events.extend(self.judge(event, lanes)?);
        } else {
            events.push(event);
        }
        if waits && self.tail.is_empty() {
            self.tail = events;
            return Ok(Vec::new());
        }
        Ok(self.emit(events))
    }

    fn finish(&mut self, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        // A block that no event ended: what is left of its text goes out before the rest.
        let mut out = Vec::new();
        if let (Some(index), true) = (self.open, self.wants.holds_text) {
            for (key, kind) in [("thinking", ChannelKind::Reasoning), ("text", ChannelKind::Content)] {
                out.extend(said(index, key, &lanes.finish(&Channel { choice: index, kind })?));
            }
        }
        out.append(&mut self.tail);
        Ok(out)
    }

    fn take_answer(&mut self) -> Answer {
        let mut message = std::mem::take(&mut self.message);
        for (index, written) in std::mem::take(&mut self.inputs) {
            let block = usize::try_from(index).ok().and_then(|i| message.get_mut("content")?.get_mut(i));
            if let Some(block) = block {
                block["input"] = input_of(&written);
            }
        }
        Answer { body: Value::Null, ..texts::answer(&message) }
    }

    fn refused(&self) -> Vec<Value> {
        let mut out = Vec::new();
        if !self.begun {
            let mut message = json!({"id": "msg_refused", "type": "message", "role": "assistant", "model": "",
                "usage": {"input_tokens": 0, "output_tokens": 0}});
            for (key, value) in self.message.as_object().into_iter().flatten() {
                message[key.as_str()] = value.clone();
            }
            message["content"] = json!([]);
            message["stop_reason"] = Value::Null;
            message["stop_sequence"] = Value::Null;
            out.push(json!({"type": "message_start", "message": message}));
        }
        out.extend(self.open.map(|index| json!({"type": "content_block_stop", "index": index})));
        let written = self.message["usage"]["output_tokens"].as_u64().unwrap_or(0);
        out.push(json!({"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_sequence": null},
            "usage": {"output_tokens": written}}));
        out.push(self.envelope());
        out
    }

    fn envelope(&self) -> Value {
        json!({"type": "message_stop"})
    }
}

fn index_of(event: &Value) -> u64 {
    event["index"].as_u64().unwrap_or(0)
}

/// What of an event this version cannot read.
fn unknown(event: &Value) -> Option<&'static str> {
    match event["type"].as_str().unwrap_or_default() {
        "message_start" | "content_block_stop" | "message_delta" | "message_stop" => None,
        "content_block_start" => (!is_known(&event["content_block"])).then_some("a content block"),
        "content_block_delta" => {
            let known =
                ["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta"];
            let kind = event["delta"]["type"].as_str().unwrap_or_default();
            (!known.contains(&kind)).then_some("a part of a content block")
        }
        _ => Some("an event"),
    }
}

/// Lets the string under `key` through its lane.
fn replace(object: &mut Value, key: &str, channel: &Channel, lanes: &mut dyn Lanes) -> Result<(), Stopped> {
    if let Some(text) = object[key].as_str().filter(|text| !text.is_empty()) {
        let ready = lanes.push(channel, text)?;
        object[key] = ready.into();
    }
    Ok(())
}

/// Judges each string of a value as a text of its own: none is known to go on in the next event.
fn judge_all(value: &mut Value, index: u64, lanes: &mut dyn Lanes) -> Result<(), Stopped> {
    for segment in texts::strings(value) {
        let kind = ChannelKind::Other(segment.pointer.clone());
        let channel = Channel { choice: index, kind };
        let whole = lanes.push(&channel, &segment.text)? + &lanes.finish(&channel)?;
        if whole != segment.text {
            texts::set(value, &segment.pointer, whole);
        }
    }
    Ok(())
}

/// A delta of our own with the rest of a text, where there is any.
fn said(index: u64, key: &str, rest: &str) -> Option<Value> {
    (!rest.is_empty()).then(|| {
        json!({"type": "content_block_delta", "index": index,
            "delta": {"type": format!("{key}_delta"), key: rest}})
    })
}
