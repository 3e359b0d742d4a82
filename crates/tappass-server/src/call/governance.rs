//! What the caller is told about its call: the `tappass` object, the ids, the headers.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use tappass_pipeline::TraceRow;
use uuid::Uuid;

use super::Open;

/// The `tappass` object of an answer. Never null.
pub fn object(open: &Open) -> Value {
    let (x, trace, pipeline) = (&open.call.exchange, &open.call.trace, &open.call.pipeline);
    let mut object = ids(open);
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("blocked", trace.blocked.is_some().into());
    put("mode", json!(x.mode));
    put("classification", json!(x.classification));
    put("turn_index", x.session.turn_index.into());
    put("pipeline_id", pipeline.name.as_str().into());
    put(
        "model",
        x.answer
            .as_ref()
            .filter(|a| !a.model.is_empty())
            .map_or(&x.request.model, |a| &a.model)
            .as_str()
            .into(),
    );
    put("steps_run", trace.steps_run().into());
    put("total_duration_ms", millis(open.received.elapsed().saturating_sub(open.call.upstream)));
    put("would_block", json!(trace.would_block()));
    put("flags", json!(x.flags));
    put("estimated_cost_usd", json!(x.cost_usd));
    put("total_tokens", x.answer.as_ref().map_or(0, |a| a.usage.total()).into());
    put("degraded", false.into());
    if !open.call.plan.refused.is_empty() {
        put("flags_refused", json!(open.call.plan.refused));
    }
    if let Some(blocked) = &trace.blocked {
        put("blocked_by", blocked.step.into());
        put("reason", blocked.reason.as_str().into());
    }
    if open.wants_trace {
        put("steps", trace.rows.iter().map(row).collect());
    }
    Value::Object(object)
}

/// The ids that every body of a governed call carries.
pub fn ids(open: &Open) -> Map<String, Value> {
    let x = &open.call.exchange;
    let base = open.app.base_url();
    let Value::Object(map) = json!({
        "session_id": x.session.id,
        "task_id": x.task_id,
        "agent_uuid": x.caller.agent_uuid,
        "pipeline_uuid": pipeline_uuid(&open.call.pipeline.hash),
        "audit_url": format!("{base}/audit/{}", x.task_id),
    }) else {
        return Map::new();
    };
    map
}

/// A pipeline's id is its content: the first half of its hash, as a UUIDv8 (RFC 9562 §5.8).
fn pipeline_uuid(hash: &str) -> Uuid {
    let mut bytes = [0; 16];
    // A hash is 64 hexadecimal digits; anything else would only give the nil id.
    let _ = hex::decode_to_slice(hash.get(..32).unwrap_or_default(), &mut bytes);
    Uuid::new_v8(bytes)
}

fn row(row: &TraceRow) -> Value {
    json!({
        "step": row.step, "action": row.action, "detected": row.detected, "message": row.message,
        "duration_ms": millis(row.took),
    })
}

/// Milliseconds with three digits: microseconds are what is measured.
fn millis(took: Duration) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "durations of calls are far below 2^52 µs")]
    let ms = took.as_micros() as f64 / 1000.0;
    json!(ms)
}

/// The headers of an answer, a refusal or a stream.
pub fn headers(open: &Open, headers: &mut HeaderMap) {
    let trace = &open.call.trace;
    let mut put = |key: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(key), value);
        }
    };
    put("x-tappass-classification", open.call.exchange.classification.to_string());
    put("x-tappass-pipeline-steps", trace.steps_run().to_string());
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
