//! Answers that are not the model's: a block, a rate limit, a provider's error, an audit log that cannot record.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tappass_model::Denial;
use tappass_pipeline::Blocked;
use tappass_provider::ProviderError;

use super::{Open, governance};
use crate::error::ApiError;

/// A policy decision: 403 and one body for every client. A rate limit: 429 with `Retry-After`, same frame.
pub fn blocked(open: &Open, blocked: &Blocked) -> Response {
    let body = block_body(open, blocked);
    let mut response = json_response(StatusCode::FORBIDDEN, &body);
    match blocked.denial {
        Denial::Policy | Denial::Approval { .. } => {
            response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
        }
        Denial::RateLimited { retry_after } => {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
    }
    response
}

/// The body of a block. Holds masked samples, never content.
pub fn block_body(open: &Open, blocked: &Blocked) -> Value {
    let (decision, kind) = match blocked.denial {
        Denial::Policy => ("policy_block", "policy_block"),
        Denial::RateLimited { .. } => ("rate_limited", "rate_limit_error"),
        Denial::Approval { .. } => ("approval_required", "approval_required"),
    };
    let waits = matches!(blocked.denial, Denial::Approval { .. });
    let message = match blocked.denial {
        Denial::Approval { .. } => format!("Waits for approval: {}.", blocked.reason),
        _ => format!("Blocked by {}: {}.", blocked.step, blocked.reason),
    };
    let findings: Vec<Value> = open
        .call
        .trace
        .findings
        .iter()
        .filter(|f| f.step == blocked.step)
        .map(|f| {
            let place = f.span.and_then(|s| open.call.exchange.request.segments.get(s.segment));
            json!({"kind": f.kind, "score": digits(f.score), "sample": f.sample, "at": place.map(|s| &s.pointer)})
        })
        .collect();
    let mut body = Map::new();
    body.insert("decision".into(), decision.into());
    if !waits {
        body.insert("blocked_by".into(), blocked.step.into());
    }
    body.insert("reason".into(), blocked.reason.as_str().into());
    body.insert("message".into(), message.as_str().into());
    body.insert("classification".into(), json!(open.call.exchange.classification));
    body.insert("details".into(), json!({"findings": findings}));
    body.extend(governance::ids(open));
    body.extend(governance::approval(open, blocked).into_iter().flatten());
    let mut error = json!({
        "message": message, "type": kind, "code": decision, "param": null, "reason": blocked.reason,
    });
    if !waits {
        error["blocked_by"] = blocked.step.into();
    }
    body.insert("error".into(), error);
    body.insert("tappass".into(), governance::object(open));
    Value::Object(body)
}

/// A score as people write it: a float of 32 bits has no short form as one of 64.
fn digits(score: f32) -> f64 {
    (f64::from(score) * 1000.0).round() / 1000.0
}

/// A provider's error, in the caller's dialect. Not a policy decision, and never looks like one.
pub fn provider(open: &Open, error: &ProviderError) -> Response {
    let (status, code) = match error {
        // The gateway's own credentials were refused: for the agent that is the gateway's trouble, not its key's.
        ProviderError::Upstream { status: 401 | 403 | 407, .. } => {
            (StatusCode::BAD_GATEWAY, "provider_refused_gateway")
        }
        ProviderError::Upstream { status, .. } => {
            (StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY), "provider_error")
        }
        ProviderError::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "provider_unreachable"),
        ProviderError::Garbled { .. } => (StatusCode::BAD_GATEWAY, "provider_garbled"),
        ProviderError::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, "provider_timeout"),
        ProviderError::NotConfigured(_) => (StatusCode::UNPROCESSABLE_ENTITY, "provider_not_configured"),
        ProviderError::Unsupported { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "unsupported_feature"),
    };
    let mut body = error_body(error, code);
    body["tappass"] = governance::object(open);
    let mut response = json_response(status, &body);
    if let ProviderError::Upstream { retry_after: Some(after), .. } = error
        && let Ok(value) = HeaderValue::from_str(&after.as_secs().max(1).to_string())
    {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// `{"error": {…}}` as OpenAI's clients read it; a provider's own error object where there is one.
pub fn error_body(error: &ProviderError, code: &str) -> Value {
    if let ProviderError::Upstream { body, .. } = error
        && body.is_object()
    {
        let inner = body.get("error").unwrap_or(body);
        return json!({"error": inner});
    }
    json!({"error": {"message": error.to_string(), "type": "provider_error", "code": code, "param": null}})
}

/// Enforce cannot record, so it does not answer.
pub fn audit_unavailable(error: ApiError) -> Response {
    error.into_response()
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
