//! Traces that `debug_log` kept: what happened in a call, without what was said in it.

use std::time::Duration;

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tappass_store::{DebugFilter, DebugTrace, PageRequest};
use uuid::Uuid;

use crate::{
    call::Open,
    error::ApiError,
    params::{Listed, Params},
    scope::Scope,
    state::App,
};

/// The query of `GET /admin/debug`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DebugQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// Of this agent.
    agent_id: Option<String>,
    /// Of this call (`task_id`).
    call: Option<Uuid>,
    /// How many at most; 100 unless said otherwise, 500 at most.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// `GET /admin/debug`: the newest first.
pub async fn list(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<DebugQuery>,
) -> Result<Json<Listed<Value>>, ApiError> {
    let filter = DebugFilter { agent_id: query.agent_id, call_id: query.call };
    let cursor = query.cursor.filter(|c| !c.is_empty());
    let page = PageRequest { limit: query.limit.unwrap_or(100), cursor };
    let page = app.store.debug_traces().list(scope.org_id, &filter, app.clock.now(), &page).await?;
    Ok(Json(Listed::of(page, |trace| {
        json!({"call": trace.call_id, "agent_id": trace.agent_id, "ts": trace.ts,
            "expires_at": trace.expires_at, "trace": trace.body})
    })))
}

/// Keeps the trace of a call whose pipeline asks for it. Beside the call: support is no reason to wait.
pub fn keep(open: &Open) {
    let Some(days) = open.call.trace.keep else { return };
    let x = &open.call.exchange;
    let life = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
    let trace = DebugTrace {
        org_id: x.caller.org_id,
        call_id: x.task_id,
        agent_id: x.caller.agent_id.clone(),
        ts: x.now,
        expires_at: x.now.checked_add(life).unwrap_or(jiff::Timestamp::MAX),
        body: redacted(open),
    };
    let store = open.app.store.clone();
    open.app.life.tasks.spawn(async move {
        if let Err(error) = store.debug_traces().put(&trace).await {
            tracing::warn!(%error, "cannot keep a trace for support");
        }
    });
}

/// Names, numbers and places. No text of the call, no sample of a finding.
fn redacted(open: &Open) -> Value {
    let (x, trace, pipeline) = (&open.call.exchange, &open.call.trace, &open.call.pipeline);
    let texts = |segments: &[tappass_model::Segment]| -> Value {
        segments.iter().map(|s| json!({"origin": s.origin, "at": s.pointer, "bytes": s.text.len()})).collect()
    };
    let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let steps: Value = trace
        .rows
        .iter()
        .map(|row| {
            json!({"step": row.step, "action": row.action, "verdict": row.verdict, "detected": row.detected,
                "us": micros(row.took)})
        })
        .collect();
    let findings: Value = trace
        .findings
        .iter()
        .map(|f| json!({"step": f.step, "kind": f.kind, "score": f.score, "span": f.span}))
        .collect();
    json!({
        "mode": x.mode, "classification": x.classification, "stream": x.request.stream,
        "pipeline": {"name": pipeline.name, "version": pipeline.version, "hash": pipeline.hash},
        "provider": open.call.provider, "blocked_by": trace.blocked.as_ref().map(|b| b.step),
        "upstream_us": micros(open.call.upstream), "total_us": micros(open.received.elapsed()),
        "request": {"bytes": x.request.bytes, "messages": x.request.messages, "tools": x.request.tools.len(),
            "texts": texts(&x.request.segments)},
        "answer": x.answer.as_ref().map(|a| json!({"texts": texts(&a.segments), "tool_calls": a.tool_calls.len(),
            "prompt_tokens": a.usage.prompt_tokens, "completion_tokens": a.usage.completion_tokens})),
        "steps": steps, "findings": findings,
    })
}
