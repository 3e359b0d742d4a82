//! What the caller is told about its call: the `tappass` object, the ids, the headers.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};
use tappass_model::{Action, Classification, Denial, Flags, Mode};
use tappass_pipeline::{Blocked, TraceRow, WouldBlock};
use uuid::Uuid;

use super::{Open, capability::Capability};

/// The `tappass` object of an answer. Never null.
#[derive(Serialize)]
struct Governance<'a> {
    #[serde(flatten)]
    ids: Ids<'a>,
    blocked: bool,
    mode: Mode,
    classification: Classification,
    turn_index: u32,
    pipeline_id: &'a str,
    model: &'a str,
    steps_run: usize,
    total_duration_ms: f64,
    would_block: Vec<WouldBlock>,
    flags: &'a Flags,
    estimated_cost_usd: Option<f64>,
    total_tokens: u64,
    degraded: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    flags_refused: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capability_token: Option<&'a Capability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capability_refused: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<Row<'a>>>,
}

/// The ids that every body of a governed call carries.
#[derive(Serialize)]
struct Ids<'a> {
    session_id: &'a str,
    task_id: Uuid,
    agent_uuid: Uuid,
    pipeline_uuid: Uuid,
    audit_url: String,
}

/// A step of the trace.
#[derive(Serialize)]
struct Row<'a> {
    step: &'static str,
    action: Action,
    detected: bool,
    message: &'a str,
    duration_ms: f64,
}

impl<'a> Governance<'a> {
    fn of(open: &'a Open) -> Self {
        let (x, trace, pipeline) = (&open.call.exchange, &open.call.trace, &open.call.pipeline);
        let answered = x.answer.as_ref().filter(|a| !a.model.is_empty());
        Self {
            ids: Ids::of(open),
            blocked: trace.blocked.is_some(),
            mode: x.mode,
            classification: x.classification,
            turn_index: x.session.turn_index,
            pipeline_id: &pipeline.name,
            model: answered.map_or(&x.request.model, |a| &a.model),
            steps_run: trace.steps_run(),
            total_duration_ms: millis(open.received.elapsed().saturating_sub(open.call.upstream)),
            would_block: trace.would_block(),
            flags: &x.flags,
            estimated_cost_usd: x.cost_usd,
            total_tokens: x.answer.as_ref().map_or(0, |a| a.usage.total()),
            degraded: false,
            flags_refused: &open.call.plan.refused,
            blocked_by: trace.blocked.as_ref().map(|b| b.step),
            reason: trace.blocked.as_ref().map(|b| b.reason.as_str()),
            approval: trace.blocked.as_ref().filter(|b| b.waits()).map(|b| subject(open, b)),
            capability_token: open.capability.as_ref().and_then(|c| c.as_ref().ok()),
            capability_refused: open.capability.as_ref().and_then(|c| c.as_ref().err()).map(String::as_str),
            steps: open.wants_trace.then(|| trace.rows.iter().map(Row::of).collect()),
        }
    }
}

impl<'a> Ids<'a> {
    fn of(open: &'a Open) -> Self {
        let x = &open.call.exchange;
        Self {
            session_id: &x.session.id,
            task_id: x.task_id,
            agent_uuid: x.caller.agent_uuid,
            pipeline_uuid: pipeline_uuid(&open.call.pipeline.hash),
            audit_url: format!("{}/audit/{}", open.app.base_url(), x.task_id),
        }
    }
}

impl<'a> Row<'a> {
    fn of(row: &'a TraceRow) -> Self {
        let TraceRow { step, action, detected, ref message, took, .. } = *row;
        Self { step, action, detected, message, duration_ms: millis(took) }
    }
}

/// The `tappass` object as a value, for bodies that are made here.
pub fn object(open: &Open) -> Value {
    // Plain data with text keys has a form in JSON.
    serde_json::to_value(Governance::of(open)).unwrap_or_default()
}

/// The ids as members of an object.
pub fn ids(open: &Open) -> Map<String, Value> {
    match serde_json::to_value(Ids::of(open)) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// What a decision is about, where that is more than a step: what to wait for and what to send then, where a person
/// decides first; the tool that is not what it was.
pub fn subject(open: &Open, blocked: &Blocked) -> Map<String, Value> {
    let members = match &blocked.denial {
        Denial::Approval { approval_id, expires_at } => vec![
            ("approval_id", approval_id.to_string()),
            ("approval_url", format!("{}/admin/approvals/{approval_id}", open.app.base_url())),
            // Useless to anyone but this agent, for this call, once.
            ("resume_token", approval_id.to_string()),
            ("expires_at", expires_at.to_string()),
        ],
        Denial::Integrity { tool, violation } => {
            vec![("tool_name", tool.clone()), ("violation", (*violation).to_owned())]
        }
        Denial::Policy | Denial::RateLimited { .. } => Vec::new(),
    };
    members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// The text of an answer with the `tappass` object as its last member, in place of one that it has already.
pub fn with_object(mut answer: Value, open: &Open) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    // Writing to a Vec cannot fail.
    match answer.as_object_mut() {
        Some(answer) => {
            answer.shift_remove("tappass");
            let _ = serde_json::to_writer(&mut out, answer);
            out.pop();
            out.extend_from_slice(if answer.is_empty() { b"\"tappass\":" } else { b",\"tappass\":" });
            let _ = serde_json::to_writer(&mut out, &Governance::of(open));
            out.push(b'}');
        }
        None => {
            let _ = serde_json::to_writer(&mut out, &answer);
        }
    }
    out
}

/// A pipeline's id is its content: the first half of its hash, as a UUIDv8 (RFC 9562 §5.8).
pub fn pipeline_uuid(hash: &str) -> Uuid {
    let mut bytes = [0; 16];
    // A hash is 64 hexadecimal digits; anything else would only give the nil id.
    let _ = hex::decode_to_slice(hash.get(..32).unwrap_or_default(), &mut bytes);
    Uuid::new_v8(bytes)
}

/// Milliseconds with three digits: microseconds are what is measured.
fn millis(took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "durations of calls are far below 2^52 µs")]
    let micros = took.as_micros() as f64;
    micros / 1000.0
}

/// The longest capability token that stands in a header, in bytes.
const MAX_HEADER: usize = 4096;

/// The headers of an answer, a refusal or a stream.
pub fn headers(open: &Open, headers: &mut HeaderMap) {
    let trace = &open.call.trace;
    // What is set here and around every answer, without growing on the way.
    headers.reserve(20);
    let mut put = |key: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(key), value);
        }
    };
    put("x-tappass-classification", open.call.exchange.classification.to_string());
    put("x-tappass-pipeline-steps", trace.steps_run().to_string());
    // What is longer stands in the body only: clients and proxies bound their headers.
    if let Some(Ok(capability)) =
        open.capability.as_ref().filter(|c| c.as_ref().is_ok_and(|c| c.token.len() <= MAX_HEADER))
    {
        put("x-tappass-token", capability.token.clone());
    }
    if let Some(rate) = trace.rate {
        let (limit, left, window) = (rate.limit, rate.remaining, rate.window.as_secs());
        let reset = rate.reset.as_secs_f64().ceil();
        // draft-ietf-httpapi-ratelimit-headers-10, and what OpenAI's clients read.
        put("ratelimit-policy", format!("\"agent\";q={limit};w={window}"));
        put("ratelimit", format!("\"agent\";r={left};t={reset}"));
        put("x-ratelimit-limit-requests", limit.to_string());
        put("x-ratelimit-remaining-requests", left.to_string());
        put("x-ratelimit-reset-requests", format!("{reset}s"));
    }
}
