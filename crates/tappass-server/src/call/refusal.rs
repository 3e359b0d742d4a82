//! Answers that are not the model's: a block, a rate limit, a provider's error, an audit log that cannot record.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tappass_model::Denial;
use tappass_pipeline::Blocked;
use tappass_provider::{ProviderError, dialects::Failure};

use super::{Open, governance};
use crate::error::ApiError;

/// A policy decision: 403 and one body for every client. A rate limit: 429 with `Retry-After`, same frame.
pub fn blocked(open: &Open, blocked: &Blocked) -> Response {
    let body = block_body(open, blocked);
    let mut response = json_response(status(blocked), &body);
    match &blocked.denial {
        Denial::Policy | Denial::Approval { .. } | Denial::Integrity { .. } => {
            response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
        }
        Denial::RateLimited { retry_after } => {
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
    }
    response
}

const fn status(blocked: &Blocked) -> StatusCode {
    match blocked.denial {
        Denial::Policy | Denial::Approval { .. } | Denial::Integrity { .. } => StatusCode::FORBIDDEN,
        Denial::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
    }
}

/// The body of a block: one frame for every client, with the error in the shape of the caller's dialect. Holds masked
/// samples, never content.
pub fn block_body(open: &Open, blocked: &Blocked) -> Value {
    // A step stands for a block; the other decisions say what they are about.
    let (decision, kind, by_step) = match blocked.denial {
        Denial::Policy => ("policy_block", "policy_block", true),
        Denial::RateLimited { .. } => ("rate_limited", "rate_limit_error", true),
        Denial::Approval { .. } => ("approval_required", "approval_required", false),
        Denial::Integrity { .. } => ("tool_integrity_violation", "tool_integrity_violation", false),
    };
    let message = match blocked.denial {
        Denial::Approval { .. } => format!("Waits for approval: {}.", blocked.reason),
        _ => format!("Blocked by {}: {}.", blocked.step, blocked.reason),
    };
    let mut body = Map::new();
    body.insert("decision".into(), decision.into());
    if by_step {
        body.insert("blocked_by".into(), blocked.step.into());
    }
    body.insert("reason".into(), blocked.reason.as_str().into());
    body.insert("message".into(), message.as_str().into());
    body.insert("classification".into(), json!(open.call.exchange.classification));
    body.insert("details".into(), json!({"findings": findings(open, blocked)}));
    body.extend(governance::ids(open));
    body.extend(governance::subject(open, blocked));
    let more = [("blocked_by", blocked.step), ("reason", blocked.reason.as_str())];
    let failure = Failure {
        status: status(blocked).as_u16(),
        code: decision,
        kind,
        message: &message,
        more: if by_step { &more } else { &more[1..] },
        theirs: None,
    };
    body.extend(open.call.shape().voice().error(&failure));
    body.insert("tappass".into(), governance::object(open));
    Value::Object(body)
}

/// What the step that blocked had found: masked samples, never content.
pub fn findings(open: &Open, blocked: &Blocked) -> Vec<Value> {
    let of_step = open.call.trace.findings.iter().filter(|f| f.step == blocked.step);
    of_step
        .map(|f| {
            let place = f.span.and_then(|s| open.call.exchange.request.segments.get(s.segment));
            json!({"kind": f.kind, "score": digits(f.score), "sample": f.sample, "at": place.map(|s| &s.pointer)})
        })
        .collect()
}

/// A score as people write it: a float of 32 bits has no short form as one of 64.
fn digits(score: f32) -> f64 {
    (f64::from(score) * 1000.0).round() / 1000.0
}

/// A provider's error, in the caller's dialect. Not a policy decision, and never looks like one.
pub fn provider(open: &Open, error: &ProviderError) -> Response {
    let (status, _) = status_of(error);
    let mut body = error_body(open, error);
    body["tappass"] = governance::object(open);
    let mut response = json_response(status, &body);
    if let ProviderError::Upstream { retry_after: Some(after), .. } = error
        && let Ok(value) = HeaderValue::from_str(&after.as_secs().max(1).to_string())
    {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// The status that tells a provider's error, and its code.
fn status_of(error: &ProviderError) -> (StatusCode, &'static str) {
    match error {
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
        ProviderError::NotKept => (StatusCode::NOT_FOUND, "previous_response_not_found"),
    }
}

/// A provider's error as the caller's dialect tells it; the provider's own error object where there is one.
pub fn error_body(open: &Open, error: &ProviderError) -> Value {
    let (status, code) = status_of(error);
    let (theirs, said) = match error {
        ProviderError::Upstream { body, message, .. } if body.is_object() => {
            (Some(body.get("error").unwrap_or(body)), message.clone())
        }
        _ => (None, error.to_string()),
    };
    let kind =
        if matches!(error, ProviderError::NotKept) { "invalid_request_error" } else { "provider_error" };
    let failure = Failure { status: status.as_u16(), code, kind, message: &said, more: &[], theirs };
    Value::Object(open.call.shape().voice().error(&failure))
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
