//! The record of a call: what the steps decided and did, durable before the answer ends.

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tappass_audit::{AuditError, Detection, Event, EventType, Latency, PipelineRef, StepRow};
use tappass_model::Action;
use tappass_pipeline::{PolicyRow, explain};

use super::Open;
use crate::{
    error::ApiError,
    metrics::CallObservation,
    routes::{approvals, debug},
    state::App,
};

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// Records the call and what belongs to it. Where decisions act, a call that cannot be recorded is not answered;
/// elsewhere it is spooled and replayed. The events are made once: recording them again, because the client left
/// while they were being written, adds nothing (an event's id is recorded once).
///
/// # Errors
/// 503 `audit_unavailable`.
pub async fn record(open: &mut Open) -> Result<(), ApiError> {
    let first = open.events.is_empty();
    if first {
        open.call.settle().await;
        open.call.skip_rest(&why_the_rest_did_not_run(open));
        observe(open);
        debug::keep(open);
        let mut events = vec![call_event(open)];
        events.extend(tool_events(open));
        events.extend(refused_flags(open));
        events.extend(questions(open));
        open.events = events;
    }
    let written = written(&open.app, &open.events, open.call.exchange.mode.acts()).await;
    if first && written.is_ok() {
        open.app.kept.keep(open);
    }
    written.map_err(|error| {
        let detail = "The audit log cannot record this call, so it is not answered; see GET /health/ready.";
        ApiError::unavailable("audit_unavailable", 2, detail).because(error)
    })
}

/// Writes events all at once: one commit takes them together, in this order. Where decisions act they are durable then;
/// elsewhere they are spooled where the store does not take them.
///
/// # Errors
/// [`AuditError`] where one of them is not recorded.
pub async fn written(app: &App, events: &[Event], acts: bool) -> Result<(), AuditError> {
    if acts {
        try_join_all(events.iter().map(|event| app.audit.record(event))).await?;
    } else {
        try_join_all(events.iter().map(|event| app.audit.record_or_spool(event.clone()))).await?;
    }
    Ok(())
}

fn why_the_rest_did_not_run(open: &Open) -> String {
    match (&open.call.trace.blocked, &open.failure, open.left) {
        (Some(blocked), _, _) => format!("not run: {} blocked the call", blocked.step),
        (None, Some(_), _) => "not run: the provider gave no answer".to_owned(),
        (None, None, true) => "not run: the client left".to_owned(),
        (None, None, false) => "not run".to_owned(),
    }
}

/// Counts the call and its steps.
fn observe(open: &Open) {
    let (metrics, call) = (&open.app.metrics, &open.call);
    for row in call.trace.rows.iter().filter(|row| row.action != Action::Skip) {
        metrics.observe_step(row.step, micros(row.took), row.detected);
    }
    for finding in &call.trace.findings {
        metrics.observe_detections(finding.step, &finding.kind, 1);
    }
    let total = open.received.elapsed();
    metrics.observe_call(&CallObservation {
        route: call.shape().path(),
        verdict: call.trace.verdict().as_str(),
        mode: call.exchange.mode.as_str(),
        total,
        overhead: total.saturating_sub(call.upstream),
        upstream: (!call.provider.is_empty()).then(|| (call.provider.clone(), call.upstream)),
    });
}

fn call_event(open: &Open) -> Event {
    let (x, trace, pipeline) = (&open.call.exchange, &open.call.trace, &open.call.pipeline);
    let kind = match (x.request.dialect, &trace.blocked) {
        (dialect, None) if dialect.is_tool_call() || dialect.is_report() => EventType::ToolCall,
        (dialect, Some(_)) if dialect.is_tool_call() || dialect.is_report() => EventType::ToolCallBlocked,
        (_, None) => EventType::LlmCall,
        (_, Some(_)) => EventType::LlmCallBlocked,
    };
    let total = open.received.elapsed();
    let mut event = base(open, kind);
    event.event_id = x.task_id;
    event.provider = Some(open.call.provider.clone()).filter(|p| !p.is_empty());
    // A refusal that no step made (the hooks' canary) has no row.
    let refused = if trace.blocked.is_some() { Action::Block } else { Action::Allow };
    event.verdict = Some(trace.verdict().max(refused));
    event.action = Some(trace.action().max(refused));
    event.blocked_by = trace.blocked.as_ref().map(|b| b.step.to_owned());
    event.detections = Detection::summarise(&trace.findings);
    event.steps = trace
        .rows
        .iter()
        .map(|row| StepRow {
            step: row.step.into(),
            action: row.action,
            detected: row.detected,
            message: row.message.clone(),
            duration_us: micros(row.took),
        })
        .collect();
    event.tokens = x.answer.as_ref().map(|a| a.usage);
    event.cost_usd = x.cost_usd;
    event.latency = Some(Latency {
        gateway_us: micros(total.saturating_sub(open.call.upstream)),
        upstream_us: micros(open.call.upstream),
    });
    event.pipeline = Some(PipelineRef {
        name: pipeline.name.clone(),
        version: pipeline.version.into(),
        hash: pipeline.hash.clone(),
    });
    event.request_hash = Some(open.request_hash.clone());
    event.response_hash.clone_from(&open.response_hash);
    event.trace_id = open.call.traceparent.as_deref().and_then(trace_id);
    event.details = details(open);
    event
}

fn details(open: &Open) -> Value {
    let x = &open.call.exchange;
    let mut details = json!({"request_id": x.request_id, "stream": x.request.stream, "authentication": x.caller.credential});
    for (key, value) in &open.about {
        details[key] = value.clone();
    }
    let explained = explain(&open.call);
    if !explained.is_empty() {
        details["explain"] = json!(explained);
    }
    if !open.call.trace.allowed.is_empty() {
        details["allowlisted"] = json!(open.call.trace.allowed);
    }
    let would = open.call.trace.would_block();
    if !would.is_empty() {
        details["would_block"] = json!(would);
    }
    let policies: Vec<Value> =
        open.call.trace.policies.iter().filter(|p| p.verdict > Action::Allow).map(policy).collect();
    if !policies.is_empty() {
        details["policies"] = Value::Array(policies);
    }
    if let Some(error) = &open.failure {
        details["provider_error"] = error.for_the_record().into();
    }
    if !open.call.approved.is_empty() {
        details["approvals"] = json!(open.call.approved);
    }
    if let Some(Ok(capability)) = &open.capability {
        details["capability"] = capability.for_the_record();
    }
    if open.left {
        details["client_left"] = true.into();
    }
    details
}

fn policy(row: &PolicyRow) -> Value {
    json!({"policy": row.policy, "action": row.action, "verdict": row.verdict, "failed": row.failed,
        "reason": row.reason, "duration_us": micros(row.took)})
}

/// One event for each tool call the model asked for.
fn tool_events(open: &Open) -> Vec<Event> {
    let x = &open.call.exchange;
    if x.request.dialect.is_tool_call() {
        // It is the call's own event.
        return Vec::new();
    }
    let blocked = open.call.trace.blocked.is_some();
    let calls = x.answer.as_ref().map(|a| a.tool_calls.as_slice()).unwrap_or_default();
    let event = |call: &tappass_model::ToolCall| {
        let mut event = base(open, if blocked { EventType::ToolCallBlocked } else { EventType::ToolCall });
        event.action = Some(if blocked { Action::Block } else { Action::Allow });
        let arguments = sha256(call.arguments.as_bytes());
        event.details = json!({"tool": call.name, "tool_call_id": call.id, "arguments_sha256": arguments, "call": x.task_id});
        event
    };
    calls.iter().map(event).collect()
}

/// One event for each question that the call has put to people.
fn questions(open: &Open) -> impl Iterator<Item = Event> {
    open.call.asked.iter().map(|approval| {
        let mut event = base(open, EventType::ApprovalRequested);
        event.details = approvals::details(approval);
        event
    })
}

fn refused_flags(open: &Open) -> Option<Event> {
    let refused = &open.call.plan.refused;
    if refused.is_empty() {
        return None;
    }
    let mut event = base(open, EventType::FlagLooseningRefused);
    event.details = json!({"flags": refused, "floor": open.call.exchange.caller.settings.floor, "call": open.call.exchange.task_id});
    Some(event)
}

fn base(open: &Open, kind: EventType) -> Event {
    let x = &open.call.exchange;
    let mut event = Event::new(kind, x.caller.org_id, &*open.app.ids, &*open.app.clock);
    event.agent_id = Some(x.caller.agent_id.clone());
    event.session_id = Some(x.session.id.clone());
    event.turn_index = Some(x.session.turn_index);
    event.user.clone_from(&x.end_user);
    event.model = Some(x.request.model.clone()).filter(|model| !model.is_empty());
    event.mode = Some(x.mode);
    event.classification = Some(x.classification);
    event
}

/// The trace id of a `traceparent` (W3C Trace Context §3.2): `00-<32 hex>-<16 hex>-<2 hex>`.
fn trace_id(traceparent: &str) -> Option<String> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_owned())
}

fn micros(took: std::time::Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
