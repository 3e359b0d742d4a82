//! Governing an answer while it streams: what could be the beginning of a hit waits, the rest goes out at once.
//!
//! For any chunking, what goes out is the whole text with the same masks, and the same hits stop it (property test
//! in `tests/it/streaming.rs`). The chunk that ends a choice waits until the steps have seen the complete answer, while
//! other choices flow on; tool calls wait for that too, since an agent would run them.

use std::sync::Arc;

use serde_json::{Value, json};
use tappass_detect::{Ready, StreamScan};
use tappass_model::{Action, Answer, Denial, Match};
use tappass_provider::dialects::chat::{self, Accumulator, Channel, ChannelKind};

use crate::{
    compile::Placed,
    mask::{self, Mask, masked},
    runner::Call,
    step::{Pure, Runnable},
    steps::is_json,
    tokens::{Restorer, Restoring},
    trace::Blocked,
};

/// Takes the provider's chunks of one answer and gives back those that may go out.
pub struct StreamGuard {
    /// Whether a hit may change or stop the text while it streams. If not, text never waits.
    holds_text: bool,
    /// Whether tool calls wait for the steps.
    holds_tools: bool,
    /// Whether nothing goes out before the steps have seen all of it.
    holds_all: bool,
    /// Whether the client asked for the chunk with the usage.
    wants_usage: bool,
    /// What is put back into the answer, after the masks.
    restorer: Option<Arc<Restorer>>,
    lanes: Vec<(Channel, Lane)>,
    tools: Vec<(u64, Value)>,
    answer: Accumulator,
    /// A chunk without choices: what a chunk of our own is made from.
    envelope: Value,
    /// The chunks that wait for the end: those that ended a choice, and what came after them for it or for all.
    tail: Vec<Value>,
    /// The choices that a chunk of `tail` is about.
    waiting: Vec<u64>,
}

impl StreamGuard {
    /// A guard for the answer to `call`.
    #[must_use]
    pub fn new(call: &Call, wants_usage: bool) -> Self {
        let (mut holds_text, mut holds_tools) = (false, false);
        for step in &call.pipeline.steps[call.pipeline.examine()] {
            if call.action_on_hit(step).1 >= Action::Redact {
                holds_tools = true;
                holds_text |= matches!(&step.run, Runnable::Pure(pure) if pure.streams());
            }
        }
        let blocks = |step: &Placed, does: fn(&dyn Pure) -> bool| match &step.run {
            Runnable::Pure(pure) => does(&**pure) && call.action_on_hit(step).1 == Action::Block,
            Runnable::Waiting(_) => false,
        };
        let holds_all = call.policy_judges_answers()
            || call.pipeline.steps[call.pipeline.examine()].iter().any(|s| blocks(s, |pure| pure.holds()));
        holds_tools |= call.pipeline.steps[call.pipeline.admit()].iter().any(|s| match &s.run {
            Runnable::Pure(_) => blocks(s, |pure| pure.judges_answers()),
            Runnable::Waiting(step) => step.judges_answers() && call.action_on_hit(s).1 == Action::Block,
        });
        let restorer = call.restorer().map(Arc::new);
        Self {
            holds_text: holds_text || restorer.is_some(),
            holds_tools: holds_tools || restorer.is_some() || call.policy_judges_tools(),
            holds_all,
            wants_usage,
            restorer,
            lanes: Vec::new(),
            tools: Vec::new(),
            answer: Accumulator::default(),
            envelope: Value::Null,
            tail: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// One chunk in, at most one out: with the text that is ready by now.
    ///
    /// # Errors
    /// [`Blocked`] when a hit stops the answer; nothing of this chunk may go out.
    pub fn push(&mut self, call: &Call, mut chunk: Value) -> Result<Option<Value>, Blocked> {
        self.answer.push(&chunk);
        if self.envelope.is_null() {
            self.envelope = json!({"id": chunk["id"], "object": chunk["object"], "created": chunk["created"],
                "model": chunk["model"], "choices": []});
        }
        if chat::is_usage_only(&chunk) && !self.wants_usage {
            return Ok(None);
        }
        if self.holds_text {
            let pieces: Vec<(Channel, String)> =
                chat::deltas(&chunk).map(|(channel, text)| (channel, text.to_owned())).collect();
            for (channel, text) in pieces {
                if let ChannelKind::Other(_) = channel.kind {
                    // Not known to go on in the next chunk, so it is judged as a text of its own.
                    let mut lane = self.new_lane(&channel, call);
                    let whole = lane.push(call, &text)? + &lane.finish(call)?;
                    chat::set_delta(&mut chunk, &channel, whole);
                    continue;
                }
                let ready = self.lane(&channel, call).push(call, &text)?;
                if !matches!(channel.kind, ChannelKind::ToolArguments(_)) {
                    chat::set_delta(&mut chunk, &channel, ready);
                }
            }
        }
        if self.holds_tools {
            self.hold_tools(&mut chunk);
        }
        let ended: Vec<u64> = ended_choices(&chunk).collect();
        for choice in &ended {
            for (channel, lane) in self.lanes.iter_mut().filter(|(c, _)| c.choice == *choice) {
                if matches!(
                    channel.kind,
                    ChannelKind::Content | ChannelKind::Reasoning | ChannelKind::Refusal
                ) {
                    let rest = lane.finish(call)?;
                    if !rest.is_empty() {
                        append_delta(&mut chunk, channel, &rest);
                    }
                }
            }
        }
        // A call in the older form comes as the end of its choice does: all that follows waits with it.
        let calls = self.holds_tools
            && choices(&chunk).any(|(_, choice)| choice["delta"]["function_call"].is_object());
        if !ended.is_empty() || calls || self.holds_all || self.must_wait(&chunk) {
            // All of its choices wait from here on: a later piece must not overtake this one.
            self.waiting.extend(choices(&chunk).map(|(index, _)| index));
            self.tail.push(chunk);
            return Ok(None);
        }
        Ok((!self.holds_tools || says_something(&chunk)).then_some(chunk))
    }

    /// The end of the provider's stream: the complete answer for the steps, and the chunks that waited for them.
    ///
    /// # Errors
    /// [`Blocked`] when the last piece of text is a hit that stops the answer.
    pub fn finish(&mut self, call: &Call) -> Result<Vec<Value>, Blocked> {
        let mut out = Vec::new();
        for (channel, lane) in &mut self.lanes {
            let rest = lane.finish(call)?;
            match channel.kind {
                ChannelKind::ToolArguments(index) => {
                    let held = self.tools.iter_mut().filter(|(choice, _)| *choice == channel.choice);
                    for (_, tool) in held.filter(|(_, tool)| tool["index"] == index) {
                        let json = !tool["custom"].is_object();
                        let restored = self.restorer.as_ref().and_then(|r| r.whole(&lane.out, json));
                        set_arguments(tool, restored.unwrap_or_else(|| lane.out.clone()));
                    }
                }
                // A choice that no chunk ended: what is left of its text goes out by itself.
                _ if !rest.is_empty() => {
                    let mut chunk = self.envelope.clone();
                    chat::set_delta(&mut chunk, channel, rest);
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

    /// The answer as the provider sent it, as far as it came.
    pub fn take_answer(&mut self) -> Answer {
        std::mem::take(&mut self.answer).answer()
    }

    /// A chunk of the same stream without choices, for what the gateway has to say itself.
    #[must_use]
    pub fn envelope(&self) -> Value {
        self.envelope.clone()
    }

    /// Whether a chunk comes after one that waits, for the same choice or, without a choice, for all.
    fn must_wait(&self, chunk: &Value) -> bool {
        let mut indexes = choices(chunk).map(|(index, _)| index).peekable();
        !self.tail.is_empty() && (indexes.peek().is_none() || indexes.any(|i| self.waiting.contains(&i)))
    }

    fn lane(&mut self, channel: &Channel, call: &Call) -> &mut Lane {
        let at = self.lanes.iter().position(|(c, _)| c == channel).unwrap_or_else(|| {
            self.lanes.push((channel.clone(), self.new_lane(channel, call)));
            self.lanes.len() - 1
        });
        &mut self.lanes[at].1
    }

    fn new_lane(&self, channel: &Channel, call: &Call) -> Lane {
        let restorer = self.restorer.clone();
        let restoring = match &channel.kind {
            // They wait to be sent whole: the values are put back at the end.
            ChannelKind::ToolArguments(_) => None,
            ChannelKind::Other(pointer) => restorer.map(|r| Restoring::new(r, is_json(pointer))),
            _ => restorer.map(|r| Restoring::new(r, false)),
        };
        Lane::new(call, restoring)
    }

    /// Takes the pieces of tool calls out of a chunk and keeps them, joined by choice and index.
    fn hold_tools(&mut self, chunk: &mut Value) {
        let Some(choices) = chunk["choices"].as_array_mut() else { return };
        for (position, choice) in choices.iter_mut().enumerate() {
            let index = choice["index"].as_u64().unwrap_or(position as u64);
            let Some(delta) = choice["delta"].as_object_mut() else { continue };
            let Some(Value::Array(pieces)) = delta.shift_remove("tool_calls") else { continue };
            for piece in pieces {
                let same = |(c, tool): &&mut (u64, Value)| *c == index && tool["index"] == piece["index"];
                match self.tools.iter_mut().find(same) {
                    Some((_, tool)) if !self.holds_text => join_arguments(tool, &piece),
                    Some(_) => {}
                    None => self.tools.push((index, piece)),
                }
            }
        }
    }
}

/// One text on its way: what has gone out, what waits, what was found.
struct Lane {
    scan: StreamScan,
    text: String,
    /// How many bytes of `text` have been released.
    released: usize,
    hits: Vec<Match>,
    /// What has gone out, for texts that wait to be sent whole.
    out: String,
    /// Puts values back in what goes out piece by piece.
    restoring: Option<Restoring>,
}

impl Lane {
    fn new(call: &Call, restoring: Option<Restoring>) -> Self {
        let scan = call.pipeline.scanner.stream();
        Self { scan, text: String::new(), released: 0, hits: Vec::new(), out: String::new(), restoring }
    }

    fn push(&mut self, call: &Call, piece: &str) -> Result<String, Blocked> {
        self.text.push_str(piece);
        let ready = self.scan.push(piece);
        self.release(call, ready)
    }

    fn finish(&mut self, call: &Call) -> Result<String, Blocked> {
        let ready = self.scan.finish();
        let rest = self.release(call, ready)?;
        Ok(rest + &self.restoring.as_mut().map(Restoring::finish).unwrap_or_default())
    }

    fn release(&mut self, call: &Call, ready: Ready) -> Result<String, Blocked> {
        let mut masks: Vec<Mask> = Vec::new();
        for hit in ready.matches {
            if call.allowed(&hit, &self.text[hit.start..hit.end]).is_some() {
                continue;
            }
            match self.judge(call, &hit)? {
                Action::Redact if hit.family.maskable() => {
                    masks.push(Mask::new(
                        hit.start - self.released..hit.end - self.released,
                        &hit.kind,
                        None,
                    ));
                }
                _ => {}
            }
            self.hits.push(hit);
        }
        mask::sort(&mut masks);
        let out = masked(&self.text[self.released..ready.upto], &masks);
        self.released = ready.upto;
        self.out.push_str(&out);
        Ok(match &mut self.restoring {
            Some(restoring) => restoring.push(out),
            None => out,
        })
    }

    /// The weightiest of what the steps that judge streams do about a hit.
    fn judge(&self, call: &Call, hit: &Match) -> Result<Action, Blocked> {
        let mut heaviest = Action::Allow;
        for step in &call.pipeline.steps[call.pipeline.examine()] {
            let Runnable::Pure(pure) = &step.run else { continue };
            if pure.streams() && pure.counts(hit, &self.text[hit.start..hit.end], &self.hits) {
                heaviest = heaviest.max(call.action_on_hit(step).1);
                if heaviest == Action::Block {
                    let reason = format!("in the answer: 1 × {}", hit.kind);
                    return Err(Blocked { step: step.meta.id, reason, denial: Denial::Policy });
                }
            }
        }
        Ok(heaviest)
    }
}

/// The choices that a chunk is about, each with its index.
fn choices(chunk: &Value) -> impl Iterator<Item = (u64, &Value)> {
    let choices = chunk["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    choices.iter().enumerate().map(|(i, choice)| (choice["index"].as_u64().unwrap_or(i as u64), choice))
}

fn ended_choices(chunk: &Value) -> impl Iterator<Item = u64> {
    choices(chunk).filter(|(_, choice)| !choice["finish_reason"].is_null()).map(|(index, _)| index)
}

/// Whether a chunk is worth sending after its text was held back.
fn says_something(chunk: &Value) -> bool {
    let has_role = |choice: &Value| choice["delta"]["role"].is_string();
    let choices = chunk["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    choices.is_empty() || choices.iter().any(has_role) || chat::deltas(chunk).next().is_some()
}

fn append_delta(chunk: &mut Value, channel: &Channel, rest: &str) {
    let there = chat::deltas(chunk).find(|(c, _)| c == channel).map(|(_, text)| text.to_owned());
    chat::set_delta(chunk, channel, there.unwrap_or_default() + rest);
}

fn arguments(tool: &mut Value) -> &mut Value {
    if tool["custom"].is_object() { &mut tool["custom"]["input"] } else { &mut tool["function"]["arguments"] }
}

fn set_arguments(tool: &mut Value, text: String) {
    *arguments(tool) = Value::String(text);
}

fn join_arguments(tool: &mut Value, piece: &Value) {
    let mut piece = piece.clone();
    let more = arguments(&mut piece).as_str().unwrap_or_default().to_owned();
    let whole = arguments(tool).as_str().unwrap_or_default().to_owned() + &more;
    set_arguments(tool, whole);
}
