//! Holding back a stream of chat chunks.
//!
//! The chunk that ends a choice waits until the steps have seen the complete answer, while other choices flow on;
//! tool calls wait for that too.

use serde_json::{Value, json};
use tappass_model::Answer;

use super::{Accumulator, check::unknown_call, deltas, is_usage_only, set_delta, stream::index_of};
use crate::dialects::{Channel, ChannelKind, Flow, Lanes, Stopped, Wants, name, walk::is_phrase};

/// A stream of chunks in progress.
pub struct ChatFlow {
    wants: Wants,
    /// The texts that have begun, in that order.
    channels: Vec<Channel>,
    /// Tool calls that wait, each with its choice.
    tools: Vec<(u64, Value)>,
    answer: Accumulator,
    /// A chunk without choices: what a chunk of our own is made from.
    envelope: Value,
    /// The chunks that wait for the end: those that ended a choice, and what came after them for it or for all.
    tail: Vec<Value>,
    /// The choices that a chunk of `tail` is about.
    waiting: Vec<u64>,
    unknown: Option<&'static str>,
}

impl ChatFlow {
    /// At its start.
    pub fn new(wants: Wants) -> Self {
        Self {
            wants,
            channels: Vec::new(),
            tools: Vec::new(),
            answer: Accumulator::default(),
            envelope: Value::Null,
            tail: Vec::new(),
            waiting: Vec::new(),
            unknown: None,
        }
    }

    /// Lets the texts of a chunk through the lanes.
    fn judge(&mut self, chunk: &mut Value, lanes: &mut dyn Lanes) -> Result<(), Stopped> {
        drop_phrases(chunk);
        let pieces: Vec<(Channel, String)> =
            deltas(chunk).map(|(channel, text)| (channel, text.to_owned())).collect();
        for (channel, text) in pieces {
            if let ChannelKind::Other(_) = channel.kind {
                // Not known to go on in the next chunk, so it is judged as a text of its own.
                let whole = lanes.push(&channel, &text)? + &lanes.finish(&channel)?;
                set_delta(chunk, &channel, whole);
                continue;
            }
            if !self.channels.contains(&channel) {
                self.channels.push(channel.clone());
            }
            let ready = lanes.push(&channel, &text)?;
            if !matches!(channel.kind, ChannelKind::ToolArguments(_)) {
                set_delta(chunk, &channel, ready);
            }
        }
        Ok(())
    }

    /// Whether a chunk comes after one that waits, for the same choice or, without a choice, for all.
    fn must_wait(&self, chunk: &Value) -> bool {
        let mut indexes = choices(chunk).map(|(index, _)| index).peekable();
        !self.tail.is_empty() && (indexes.peek().is_none() || indexes.any(|i| self.waiting.contains(&i)))
    }

    /// Takes the pieces of tool calls out of a chunk and keeps them, joined by choice and index.
    fn hold_tools(&mut self, chunk: &mut Value) {
        let Some(choices) = chunk.get_mut("choices").and_then(Value::as_array_mut) else { return };
        for (position, choice) in choices.iter_mut().enumerate() {
            let index = choice["index"].as_u64().unwrap_or(position as u64);
            let Some(delta) = choice.get_mut("delta").and_then(Value::as_object_mut) else { continue };
            let Some(Value::Array(pieces)) = delta.shift_remove("tool_calls") else { continue };
            for (place, mut piece) in pieces.into_iter().enumerate() {
                if !piece.is_object() {
                    continue;
                }
                // Some providers leave it out; what was judged is found again by it.
                piece["index"] = index_of(&piece, place).into();
                let same = |(c, tool): &&mut (u64, Value)| *c == index && tool["index"] == piece["index"];
                match self.tools.iter_mut().find(same) {
                    Some((_, tool)) if !self.wants.holds_text => join_arguments(tool, &piece),
                    Some(_) => {}
                    None => self.tools.push((index, piece)),
                }
            }
        }
    }
}

impl Flow for ChatFlow {
    fn push(&mut self, mut chunk: Value, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        if let Some(what) = unknown(&chunk) {
            self.unknown.get_or_insert(what);
            lanes.unknown(what)?;
        }
        if !chunk.is_object() {
            return Ok(Vec::new());
        }
        self.answer.push(&chunk);
        if self.envelope.is_null() {
            let of = |key| name(&chunk[key]);
            self.envelope = json!({"id": of("id"), "object": of("object"), "created": of("created"),
                "model": of("model"), "choices": []});
        }
        if is_usage_only(&chunk) && !self.wants.usage {
            return Ok(Vec::new());
        }
        if self.wants.holds_text {
            self.judge(&mut chunk, lanes)?;
        }
        if self.wants.holds_tools {
            self.hold_tools(&mut chunk);
        }
        let ended: Vec<u64> = ended_choices(&chunk).collect();
        for choice in &ended {
            for channel in self.channels.iter().filter(|channel| channel.choice == *choice) {
                if matches!(
                    channel.kind,
                    ChannelKind::Content | ChannelKind::Reasoning | ChannelKind::Refusal
                ) {
                    let rest = lanes.finish(channel)?;
                    if !rest.is_empty() {
                        append_delta(&mut chunk, channel, &rest);
                    }
                }
            }
        }
        // A call in the older form comes as the end of its choice does: all that follows waits with it.
        let calls = self.wants.holds_tools
            && choices(&chunk).any(|(_, choice)| choice["delta"]["function_call"].is_object());
        if !ended.is_empty() || calls || self.wants.holds_all || self.must_wait(&chunk) {
            // All of its choices wait from here on: a later piece must not overtake this one.
            self.waiting.extend(choices(&chunk).map(|(index, _)| index));
            self.tail.push(chunk);
            return Ok(Vec::new());
        }
        let goes = !self.wants.holds_tools || says_something(&chunk);
        Ok(if goes { vec![chunk] } else { Vec::new() })
    }

    fn finish(&mut self, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        let mut out = Vec::new();
        for channel in &self.channels {
            let rest = lanes.finish(channel)?;
            match channel.kind {
                ChannelKind::ToolArguments(index) => {
                    let held = self.tools.iter_mut().filter(|(choice, _)| *choice == channel.choice);
                    for (_, tool) in held.filter(|(_, tool)| tool["index"] == index) {
                        let json = !tool["custom"].is_object();
                        *arguments(tool) = Value::String(lanes.whole(channel, json));
                    }
                }
                // A choice that no chunk ended: what is left of its text goes out by itself.
                _ if !rest.is_empty() => {
                    let mut chunk = self.envelope.clone();
                    set_delta(&mut chunk, channel, rest);
                    out.push(chunk);
                }
                _ => {}
            }
        }
        for (choice, tool) in self.tools.drain(..) {
            let mut chunk = self.envelope.clone();
            chunk["choices"] =
                json!([{"index": choice, "delta": {"tool_calls": [tool]}, "finish_reason": null}]);
            out.push(chunk);
        }
        out.append(&mut self.tail);
        Ok(out)
    }

    fn take_answer(&mut self) -> Answer {
        let answer = std::mem::take(&mut self.answer).answer();
        Answer { unknown: self.unknown.map(str::to_owned), ..answer }
    }

    fn refused(&self) -> Vec<Value> {
        let mut last = self.envelope.clone();
        last["choices"] = json!([{"index": 0, "delta": {}, "finish_reason": "content_filter"}]);
        vec![last]
    }

    fn envelope(&self) -> Value {
        self.envelope.clone()
    }
}

/// What of a chunk this version cannot read. A chunk has choices, if only none; one without says something else.
fn unknown(chunk: &Value) -> Option<&'static str> {
    if !chunk["choices"].is_array() && !chunk["usage"].is_object() {
        return Some("an event");
    }
    let calls =
        |choice: &Value| choice["delta"]["tool_calls"].as_array().is_some_and(|c| c.iter().any(unknown_call));
    choices(chunk).any(|(_, choice)| calls(choice)).then_some("a tool call")
}

/// The choices that a chunk is about, each with its index.
fn choices(chunk: &Value) -> impl Iterator<Item = (u64, &Value)> {
    let choices = chunk["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    choices.iter().enumerate().map(|(i, choice)| (choice["index"].as_u64().unwrap_or(i as u64), choice))
}

fn ended_choices(chunk: &Value) -> impl Iterator<Item = u64> {
    choices(chunk).filter(|(_, choice)| !choice["finish_reason"].is_null()).map(|(index, _)| index)
}

/// Takes away members whose keys are no names: no chunk has such, and nobody would judge them.
fn drop_phrases(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !is_phrase(key));
            members.values_mut().for_each(drop_phrases);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_phrases),
        _ => {}
    }
}

/// Whether a chunk is worth sending after its text was held back.
fn says_something(chunk: &Value) -> bool {
    let has_role = |choice: &Value| choice["delta"]["role"].is_string();
    let choices = chunk["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    choices.is_empty() || choices.iter().any(has_role) || deltas(chunk).next().is_some()
}

fn append_delta(chunk: &mut Value, channel: &Channel, rest: &str) {
    let there = deltas(chunk).find(|(c, _)| c == channel).map(|(_, text)| text.to_owned());
    set_delta(chunk, channel, there.unwrap_or_default() + rest);
}

fn arguments(tool: &mut Value) -> &mut Value {
    if tool["custom"].is_object() { &mut tool["custom"]["input"] } else { &mut tool["function"]["arguments"] }
}

fn join_arguments(tool: &mut Value, piece: &Value) {
    let mut piece = piece.clone();
    let more = arguments(&mut piece).as_str().unwrap_or_default().to_owned();
    let whole = arguments(tool).as_str().unwrap_or_default().to_owned() + &more;
    *arguments(tool) = Value::String(whole);
}
