//! Holding back a stream of response events.
//!
//! The same text comes up to five times: in deltas, in the `done` of its text, of its part, of its item, and in the whole
//! response. What goes out is one text, the judged one ([`Judged`]). A call that the agent would run waits until it is
//! whole, and then for the steps; so does the last event, with the whole response.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use tappass_model::Answer;

use super::{
    is_last,
    items::{arguments_at, is_agents, is_known, is_known_part, kind},
    judged::{Judged, Late},
    piece::{Piece, index_of, keep_known, number, part_at},
    texts,
};
use crate::dialects::{ChannelKind, Flow, Lanes, Stopped, Wants, name, place};

/// Where what is no item's stands among the texts.
const BESIDE: u64 = u64::MAX - 1;

/// A stream of events in progress.
pub struct ResponseFlow {
    wants: Wants,
    /// The response as far as it was told, without its output.
    response: Value,
    /// Its items as they came.
    items: BTreeMap<u64, Value>,
    /// Texts in pieces as they came, by item and place.
    pieces: BTreeMap<(u64, String), String>,
    judged: Judged,
    /// Items that wait until they are whole.
    held: BTreeSet<u64>,
    /// The events that wait for the end. Once there is one, all wait.
    tail: Vec<Value>,
    /// The first event has gone out.
    begun: bool,
    /// Items that have begun to go out and have not ended.
    open: BTreeMap<u64, Value>,
    /// Items that have gone out.
    gone: BTreeMap<u64, Value>,
    /// The number of the next event.
    next: u64,
    unknown: Option<&'static str>,
}

impl ResponseFlow {
    /// At its start.
    pub fn new(wants: Wants) -> Self {
        Self {
            wants,
            response: Value::Null,
            items: BTreeMap::new(),
            pieces: BTreeMap::new(),
            judged: Judged::default(),
            held: BTreeSet::new(),
            tail: Vec::new(),
            begun: false,
            open: BTreeMap::new(),
            gone: BTreeMap::new(),
            next: 0,
            unknown: None,
        }
    }

    /// Adds an event to what came.
    fn fold(&mut self, event: &Value) {
        let index = index_of(event);
        match event["type"].as_str().unwrap_or_default() {
            "response.output_item.added" | "response.output_item.done" => {
                self.items.insert(index, event["item"].clone());
            }
            _ if event["response"].is_object() => {
                let mut response = event["response"].clone();
                let output = response["output"].take();
                for (item, index) in output.as_array().into_iter().flatten().zip(0..) {
                    self.items.entry(index).or_insert_with(|| item.clone());
                }
                self.response = response;
                self.response["output"] = json!([]);
            }
            _ => {
                if let Some((at, ..)) = Piece::of(event).filter(|(.., piece)| piece.delta)
                    && let Some(text) = event["delta"].as_str()
                {
                    self.pieces.entry((index, at)).or_default().push_str(text);
                }
            }
        }
    }

    /// The events that this one becomes when its texts are judged.
    fn judge(&mut self, mut event: Value, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        let index = index_of(&event);
        if unknown(&event) == Some("an event") {
            let segments = texts::strings(&event);
            self.judged.settle(BESIDE, "", &mut event, segments, lanes)?;
            return Ok(vec![event]);
        }
        keep_known(&mut event);
        if let Some((at, kind, piece)) = Piece::of(&event) {
            return self.judge_piece(event, &at, kind, piece, lanes);
        }
        match event["type"].as_str().unwrap_or_default() {
            "response.output_item.added" => event["item"] = bare(&event["item"]),
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                event["part"] = silent(&event["part"]);
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                let segments = texts::of_part(&event["part"]);
                let late =
                    self.judged.settle(index, &part_at(&event), &mut event["part"], segments, lanes)?;
                return Ok(self.after(index, late, event));
            }
            "response.output_text.annotation.added" => {
                let at = format!("{}/annotations/{}", part_at(&event), number(&event, "annotation_index"));
                let segments = texts::strings(&event["annotation"]);
                self.judged.settle(index, &at, &mut event["annotation"], segments, lanes)?;
            }
            "response.output_item.done" => {
                let segments = texts::of_item(&event["item"]);
                let late = self.judged.settle(index, "", &mut event["item"], segments, lanes)?;
                return Ok(self.after(index, late, event));
            }
            _ if event["response"].is_object() => return self.judge_response(event, lanes),
            kind if is_news(kind) => {
                let known =
                    |key: &str| matches!(key, "type" | "item_id" | "output_index" | "sequence_number");
                if let Some(event) = event.as_object_mut() {
                    event.retain(|key, _| known(key));
                }
            }
            // Pieces of what the item has whole.
            kind if is_passing(kind) => return Ok(Vec::new()),
            _ => {
                let segments = texts::strings(&event);
                self.judged.settle(BESIDE, "", &mut event, segments, lanes)?;
            }
        }
        Ok(vec![event])
    }

    fn judge_piece(
        &mut self,
        mut event: Value,
        at: &str,
        kind: ChannelKind,
        piece: Piece,
        lanes: &mut dyn Lanes,
    ) -> Result<Vec<Value>, Stopped> {
        let index = index_of(&event);
        if let Some(logprobs) = event.get_mut("logprobs") {
            *logprobs = json!([]);
        }
        let said = event[piece.member].as_str().unwrap_or_default();
        if piece.delta {
            let ready = self.judged.push(index, at, kind, said, lanes)?;
            let goes = !ready.is_empty();
            event[piece.member] = ready.into();
            return Ok(if goes { vec![event] } else { Vec::new() });
        }
        if self.judged.out(index, at).is_none() && !said.is_empty() {
            // Told at the end only.
            let ready = self.judged.push(index, at, kind.clone(), said, lanes)?;
            let rest = self.judged.end(index, at, lanes)?.unwrap_or_default();
            event[piece.member] = (ready.clone() + &rest).into();
            return Ok(self.after(index, vec![(at.to_owned(), kind, ready + &rest)], event));
        }
        let rest = self.judged.end(index, at, lanes)?.unwrap_or_default();
        event[piece.member] = self.judged.out(index, at).unwrap_or_default().into();
        Ok(self.after(index, vec![(at.to_owned(), kind, rest)], event))
    }

    /// An event with the response: until its end without output, then with the items as they have gone out.
    fn judge_response(&mut self, mut event: Value, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        event["response"]["output"] = json!([]);
        let segments = texts::answer(&event["response"]).segments;
        self.judged.settle(BESIDE, "/response", &mut event["response"], segments, lanes)?;
        if !is_last(&event) {
            return Ok(vec![event]);
        }
        let (mut out, mut output) = (Vec::new(), Vec::new());
        for (index, mut item) in self.items.clone() {
            let segments = texts::of_item(&item);
            let late = self.judged.settle(index, "", &mut item, segments, lanes)?;
            out.extend(self.deltas(index, late));
            output.push(item);
        }
        event["response"]["output"] = output.into();
        out.push(event);
        Ok(out)
    }

    /// An event after what was left of the texts that it ends.
    fn after(&self, index: u64, late: Vec<Late>, event: Value) -> Vec<Value> {
        self.deltas(index, late).into_iter().chain([event]).collect()
    }

    /// Deltas of our own.
    fn deltas(&self, index: u64, late: Vec<Late>) -> Vec<Value> {
        let id = self.items.get(&index).and_then(|item| name(&item["id"]).cloned()).unwrap_or_default();
        let event = |(at, kind, rest): Late| {
            let mut event = Piece::event(&at, &kind)?;
            event["item_id"] = id.clone();
            event["output_index"] = index.into();
            event["delta"] = rest.into();
            Some(event)
        };
        late.into_iter().filter(|(.., rest)| !rest.is_empty()).filter_map(event).collect()
    }

    /// A call that has waited until it was whole.
    fn whole_call(&mut self, mut done: Value, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        let index = index_of(&done);
        if self.wants.holds_text {
            keep_known(&mut done);
            let segments = texts::of_item(&done["item"]);
            self.judged.settle(index, "", &mut done["item"], segments, lanes)?;
        }
        let item = &done["item"];
        let added = json!({"type": "response.output_item.added", "output_index": index, "item": bare(item)});
        let mut out = vec![added];
        let told = match kind(item) {
            "function_call" => Some("response.function_call_arguments"),
            "custom_tool_call" => Some("response.custom_tool_call_input"),
            _ => None,
        };
        if let Some((told, member)) = told.zip(arguments_at(item)) {
            let about = |kind: &str| json!({"type": format!("{told}.{kind}"), "item_id": name(&item["id"]), "output_index": index});
            let (mut delta, mut all) = (about("delta"), about("done"));
            delta["delta"] = item[member].clone();
            all["name"] = name(&item["name"]).cloned().unwrap_or_default();
            all[member] = item[member].clone();
            out.extend([delta, all]);
        }
        out.push(done);
        Ok(out)
    }

    /// Lets events go, or wait behind those that wait.
    fn emit(&mut self, mut events: Vec<Value>, wait: bool) -> Vec<Value> {
        if wait || !self.tail.is_empty() {
            self.tail.extend(events);
            return Vec::new();
        }
        for event in &events {
            let index = index_of(event);
            match event["type"].as_str().unwrap_or_default() {
                "response.output_item.added" => {
                    self.open.insert(index, event["item"].clone());
                }
                "response.output_item.done" => {
                    self.open.remove(&index);
                    self.gone.insert(index, event["item"].clone());
                }
                _ => self.begun |= event["response"].is_object(),
            }
        }
        self.number(&mut events);
        events
    }

    /// Events have numbers in the order in which they go out. Where all go as they came, they keep theirs.
    fn number(&mut self, events: &mut [Value]) {
        let Wants { holds_text, holds_tools, holds_all, .. } = self.wants;
        for event in events {
            match event["sequence_number"].as_u64().filter(|_| !(holds_text || holds_tools || holds_all)) {
                Some(theirs) => self.next = theirs,
                None => event["sequence_number"] = self.next.into(),
            }
            self.next += 1;
        }
    }

    /// The response without a text: what names and counts.
    fn named(&self) -> Value {
        let mut response = json!({"id": "resp_refused", "object": "response", "created_at": 0, "model": "", "error": null,
            "output": [], "parallel_tool_calls": true, "tool_choice": "auto", "tools": []});
        for key in ["id", "object", "created_at", "model", "service_tier", "previous_response_id"] {
            if let Some(value) = name(&self.response[key]) {
                response[key] = value.clone();
            }
        }
        let count = |key: &str| self.response["usage"][key].as_u64();
        if let (Some(read), Some(written)) = (count("input_tokens"), count("output_tokens")) {
            response["usage"] = json!({"input_tokens": read, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": written, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": read + written});
        }
        response
    }

    /// An item that was broken off, as far as it has gone out.
    fn broken(&self, index: u64, bare: &Value) -> Value {
        let mut item = bare.clone();
        if self.wants.holds_text {
            self.judged.of_item(index).for_each(|(at, text)| put(&mut item, at, text));
        } else {
            let of = self.pieces.range((index, String::new())..(index + 1, String::new()));
            of.for_each(|((_, at), text)| put(&mut item, at, text));
        }
        item["status"] = "incomplete".into();
        item
    }
}

impl Flow for ResponseFlow {
    fn push(&mut self, event: Value, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        if let Some(what) = unknown(&event) {
            self.unknown.get_or_insert(what);
            lanes.unknown(what)?;
        }
        if !event.is_object() {
            return Ok(Vec::new());
        }
        self.fold(&event);
        let (index, done) = (index_of(&event), event["type"] == "response.output_item.done");
        let is_item = done || event["type"] == "response.output_item.added";
        if self.wants.holds_tools && is_item && is_agents(&event["item"]) {
            self.held.insert(index);
        }
        if event["output_index"].is_u64() && self.held.contains(&index) {
            if !done {
                return Ok(Vec::new());
            }
            let events = self.whole_call(event, lanes)?;
            return Ok(self.emit(events, true));
        }
        let wait = self.wants.holds_all || is_last(&event);
        let events = if self.wants.holds_text { self.judge(event, lanes)? } else { vec![event] };
        Ok(self.emit(events, wait))
    }

    fn finish(&mut self, _: &mut dyn Lanes) -> Result<Vec<Value>, Stopped> {
        // The last event has settled every text.
        let mut tail = std::mem::take(&mut self.tail);
        self.number(&mut tail);
        Ok(tail)
    }

    fn take_answer(&mut self) -> Answer {
        let mut items = std::mem::take(&mut self.items);
        for ((index, at), text) in std::mem::take(&mut self.pieces) {
            let item = items.entry(index).or_insert_with(|| json!({"type": "message"}));
            if !place::get_text(item, &at).is_some_and(|told| told.starts_with(&text)) {
                put(item, &at, &text);
            }
        }
        let mut response = std::mem::take(&mut self.response);
        response["output"] = items.into_values().collect();
        let answer = texts::answer(&response);
        let unknown = answer.unknown.or_else(|| self.unknown.map(str::to_owned));
        Answer { body: Value::Null, unknown, ..answer }
    }

    fn refused(&self) -> Vec<Value> {
        let mut response = self.named();
        let mut out = Vec::new();
        if !self.begun {
            response["status"] = "in_progress".into();
            out.push(json!({"type": "response.created", "response": response}));
        }
        let mut items = self.gone.clone();
        for (index, bare) in &self.open {
            let item = self.broken(*index, bare);
            out.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
            items.insert(*index, item);
        }
        response["status"] = "incomplete".into();
        response["incomplete_details"] = json!({"reason": "content_filter"});
        response["output"] = items.into_values().collect();
        out.push(json!({"type": "response.incomplete", "response": response}));
        for (event, number) in out.iter_mut().zip(self.next..) {
            event["sequence_number"] = number.into();
        }
        out
    }

    fn envelope(&self) -> Value {
        json!({"type": "response.completed", "response": self.named(), "sequence_number": self.next})
    }
}

/// An item before anything of it has been said.
fn bare(item: &Value) -> Value {
    let known = [
        "id",
        "type",
        "role",
        "status",
        "phase",
        "call_id",
        "name",
        "server_label",
        "approval_request_id",
        "container_id",
    ];
    let Some(object) = item.as_object() else { return json!({}) };
    let keep = |(key, value): &(&String, &Value)| known.contains(&key.as_str()) && name(value).is_some();
    let mut bare: Map<String, Value> =
        object.iter().filter(keep).map(|(k, v)| (k.clone(), v.clone())).collect();
    for key in ["content", "summary"] {
        if object.get(key).is_some_and(Value::is_array) {
            bare.insert(key.to_owned(), json!([]));
        }
    }
    if let Some(key @ ("arguments" | "input" | "code")) = arguments_at(item) {
        bare.insert(key.to_owned(), "".into());
    }
    if bare.get("status").is_some_and(|status| status == "completed") {
        bare.insert("status".to_owned(), "in_progress".into());
    }
    Value::Object(bare)
}

/// A part before anything of it has been said.
fn silent(part: &Value) -> Value {
    match part["type"].as_str() {
        Some("refusal") => json!({"type": "refusal", "refusal": ""}),
        Some("output_text") => json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []}),
        _ => json!({"type": name(&part["type"]), "text": ""}),
    }
}

/// Writes a text to its place in an item, which is made where it is missing.
fn put(item: &mut Value, at: &str, text: &str) {
    if !item.is_object() {
        *item = json!({"type": "message", "beside": item.take()});
    }
    let mut way = at.split('/').skip(1);
    match (way.next(), way.next().and_then(|index| index.parse::<usize>().ok()), way.next()) {
        (Some(list @ ("content" | "summary")), Some(index), Some(member)) if index < 10_000 => {
            let kind = match (list, member, item["type"].as_str()) {
                ("summary", ..) => "summary_text",
                (_, "refusal", _) => "refusal",
                (_, _, Some("reasoning")) => "reasoning_text",
                _ => "output_text",
            };
            if !item[list].is_array() {
                item[list] = json!([]);
            }
            if let Some(parts) = item[list].as_array_mut() {
                while parts.len() <= index {
                    parts.push(json!({"type": kind, "text": ""}));
                }
                parts[index] = silent(&json!({"type": kind}));
                parts[index][member] = text.into();
            }
        }
        (Some(member), None, None) => item[member] = text.into(),
        // Further than anybody counts: a text all the same.
        _ => item[at] = text.into(),
    }
}

/// Whether an event only tells how far an item is.
fn is_news(kind: &str) -> bool {
    let about = kind.strip_prefix("response.").and_then(|rest| rest.rsplit_once('.'));
    about.is_some_and(|(item, state)| {
        [
            "web_search_call",
            "file_search_call",
            "code_interpreter_call",
            "image_generation_call",
            "mcp_call",
            "mcp_list_tools",
        ]
        .contains(&item)
            && ["in_progress", "searching", "interpreting", "generating", "completed", "failed"]
                .contains(&state)
    })
}

/// Whether an event says in part what only its item says whole.
fn is_passing(kind: &str) -> bool {
    ["response.image_generation_call.partial_image", "response.shell_call_", "response.apply_patch_call_"]
        .iter()
        .any(|start| kind.starts_with(start))
}

/// What of an event this version cannot read.
fn unknown(event: &Value) -> Option<&'static str> {
    match event["type"].as_str().unwrap_or_default() {
        "response.created"
        | "response.in_progress"
        | "response.queued"
        | "response.completed"
        | "response.incomplete"
        | "response.failed" => None,
        "response.output_text.annotation.added" => None,
        "response.output_item.added" | "response.output_item.done" => {
            (!is_known(&event["item"])).then_some("an item")
        }
        "response.content_part.added"
        | "response.content_part.done"
        | "response.reasoning_summary_part.added"
        | "response.reasoning_summary_part.done" => {
            (!is_known_part(&event["part"])).then_some("a part of an item")
        }
        kind if is_news(kind) || is_passing(kind) || Piece::of(event).is_some() => None,
        _ => Some("an event"),
    }
}
