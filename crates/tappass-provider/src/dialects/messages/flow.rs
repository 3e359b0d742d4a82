//! Holding back a stream of message events.
//!
//! Blocks come one after the other, so what follows a block that waits waits too. A tool's input waits until it is
//! whole: it is judged as the JSON that the whole answer has, and goes out as one piece. Why the message ended, and its
//! end, wait until the steps have seen all of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tappass_model::Answer;

use super::{check::is_known, texts};
use crate::dialects::{
    Channel, ChannelKind, Flow, Lanes, Stopped, Wants, name, place::input_of, walk::is_phrase,
};

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
    unknown: Option<&'static str>,
}

impl MessageFlow {
    /// At its start.
    pub fn new(wants: Wants) -> Self {
        let (message, inputs, tail) = (Value::Null, BTreeMap::new(), Vec::new());
        Self { wants, message, inputs, tail, begun: false, open: None, unknown: None }
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
                // Only objects have members, whatever a provider sends.
                self.message = object_of(&event["message"]);
                let blocks = event["message"]["content"].as_array().map(Vec::as_slice).unwrap_or_default();
                self.message["content"] = blocks.iter().map(object_of).collect();
                self.message["usage"] = object_of(&event["message"]["usage"]);
            }
            "content_block_start" => {
                if let Some(content) = self.message.get_mut("content").and_then(Value::as_array_mut) {
                    content.push(object_of(&event["content_block"]));
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
                    if !matches!(key.as_str(), "content" | "usage") {
                        self.message[key.as_str()] = value.clone();
                    }
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
        let kind = event["type"].as_str().unwrap_or_default();
        // The text that goes on from event to event, where the event has one; all others are judged by themselves.
        let grows = match (kind, event[part(kind)]["type"].as_str().unwrap_or_default()) {
            ("content_block_start", "text") | ("content_block_delta", "text_delta") => {
                Some(("text", lane(ChannelKind::Content)))
            }
            ("content_block_start", "thinking") | ("content_block_delta", "thinking_delta") => {
                Some(("thinking", lane(ChannelKind::Reasoning)))
            }
            _ => None,
        };
        let kind = kind.to_owned();
        judge_all(&mut event, grows.as_ref().map(|(key, _)| *key), index, lanes)?;
        if let Some((key, lane)) = grows {
            let object = &mut event[part(&kind)];
            replace(object, key, &lane, lanes)?;
            let silent = kind == "content_block_delta" && object[key] == "";
            return Ok(if silent { Vec::new() } else { vec![event] });
        }
        let mut out = Vec::new();
        match kind.as_str() {
            // The signature comes after all that it is for.
            "content_block_delta" if event["delta"]["type"] == "signature_delta" => {
                out.extend(said(index, "thinking", &lanes.finish(&lane(ChannelKind::Reasoning))?));
            }
            "content_block_stop" => {
                for (key, kind) in [("thinking", ChannelKind::Reasoning), ("text", ChannelKind::Content)] {
                    out.extend(said(index, key, &lanes.finish(&lane(kind))?));
                }
            }
            _ => {}
        }
        out.push(event);
        Ok(out)
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
            // Keeps the connection alive, whatever waits, and says nothing.
            return Ok(if self.begun { vec![json!({"type": "ping"})] } else { Vec::new() });
        }
        if let Some(what) = unknown(&event) {
            self.unknown.get_or_insert(what);
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
        let answer = texts::answer(&message);
        let unknown = answer.unknown.or_else(|| self.unknown.map(str::to_owned));
        Answer { body: Value::Null, unknown, ..answer }
    }

    fn refused(&self) -> Vec<Value> {
        let mut out = Vec::new();
        if !self.begun {
            let mut message = json!({"id": "msg_refused", "type": "message", "role": "assistant", "model": "",
                "usage": {"input_tokens": 0, "output_tokens": 0}});
            for key in ["id", "model"] {
                if let Some(name) = name(&self.message[key]) {
                    message[key] = name.clone();
                }
            }
            for (key, count) in self.message["usage"].as_object().into_iter().flatten() {
                if count.is_u64() && !key.contains(char::is_whitespace) {
                    message["usage"][key.as_str()] = count.clone();
                }
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

/// The value, if it is an object; else an empty one.
fn object_of(value: &Value) -> Value {
    if value.is_object() { value.clone() } else { json!({}) }
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

/// Where an event holds its block or a piece of it.
fn part(kind: &str) -> &'static str {
    if kind == "content_block_start" { "content_block" } else { "delta" }
}

/// Members that name and count things: of these, only what is more than a word is a text.
const NAMES: [&str; 12] = [
    "id",
    "type",
    "role",
    "model",
    "name",
    "tool_use_id",
    "stop_reason",
    "signature",
    "usage",
    "service_tier",
    "container",
    "caller",
];

/// Judges the strings of an event as texts of their own: none is known to go on in the next event. All but the one
/// that `grows`.
fn judge_all(
    event: &mut Value,
    grows: Option<&str>,
    index: u64,
    lanes: &mut dyn Lanes,
) -> Result<(), Stopped> {
    for segment in texts::strings(event) {
        let mut way = segment.pointer.split('/').skip(1);
        let at = (way.next().unwrap_or_default(), way.next().unwrap_or_default(), way.next());
        if let ("content_block" | "delta", key, None) = at
            && Some(key) == grows
        {
            continue;
        }
        let named = |key: &str| NAMES.contains(&key);
        let of_message = |key: &str| matches!(key, "message" | "content_block" | "delta");
        if !is_phrase(&segment.text) && (named(at.0) || of_message(at.0) && named(at.1)) {
            continue;
        }
        let kind = ChannelKind::Other(segment.pointer.clone());
        let channel = Channel { choice: index, kind };
        let whole = lanes.push(&channel, &segment.text)? + &lanes.finish(&channel)?;
        if whole != segment.text {
            texts::set(event, &segment.pointer, whole);
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
