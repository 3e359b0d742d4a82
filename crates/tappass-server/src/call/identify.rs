//! Who calls, in which session, with which flags: from the request's head and body to a call at its start.

use std::{sync::Arc, time::Instant};

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};
use tappass_model::{
    AgentCaller, Classification, Dialect, Exchange, FlagError, Flags, ModelRequest, SessionRef, json,
};
use tappass_pipeline::{Call, Pipeline, SESSION_LIFE, plan};
use tappass_policy::Engine;
use tappass_provider::dialects::{self, RequestError};
use uuid::Uuid;

use super::{Governed, Open, conclude};
use crate::{error::ApiError, routes::models::Asked, state::App};

/// Longest id that a caller may give a session or an end user, in bytes.
const MAX_NAME: usize = 200;
/// Longest header that is passed on, in bytes.
const MAX_PASSED: usize = 500;

/// Reads the request and finds its session, flags, mode and pipeline. What is malformed never becomes a call.
///
/// # Errors
/// 4xx with what is wrong, where, and what to do.
pub async fn identify(dialect: Dialect, asked: &Asked) -> Result<Governed, ApiError> {
    let received = Instant::now();
    let Asked { app, caller, request_id, head, body: bytes } = asked;
    let shape = dialects::of(dialect);
    let body =
        json::parse_strict(bytes).map_err(|e| ApiError::unprocessable("invalid_json", e.to_string()))?;
    let flags =
        Flags::parse(header(head, "x-tappass-flags")?.unwrap_or_default()).map_err(|e| bad_flag(&e))?;
    let named = session_name(dialect, head, &body)?;
    let end_user = name("x-tappass-user", header(head, "x-tappass-user")?)?;
    let context = name("x-tappass-context", header(head, "x-tappass-context")?)?;
    let wants_usage = shape.wants_usage(&body);
    let passed = passed(head, shape.passes())?;
    let request = shape.read_request(body, bytes.len()).map_err(|e| bad_request(&e))?;
    let pipeline = pipeline_of(app, caller).await?;
    let providers = app.own_providers.of(caller.org_id).await?;
    let allowlist = app.allowlists.of(caller.org_id).await?;
    let org_flags = app.org_flags.of(caller.org_id).await?;
    let plan = plan(&flags, &caller.settings, &org_flags, &pipeline)
        .map_err(|e| ApiError::unprocessable("invalid_flags", e.to_string()))?;
    let scope = session_scope(caller.org_id, caller.agent_uuid);
    let turn = app.services.state.session(&scope, named.as_deref(), SESSION_LIFE).await;
    if turn.ended {
        let detail = "The session has been ended: make another, or name none.";
        return Err(ApiError::unprocessable("session_ended", detail));
    }
    let exchange = Exchange {
        task_id: app.ids.uuid(),
        request_id: request_id.as_str().to_owned(),
        caller: Arc::clone(caller),
        end_user,
        context,
        session: SessionRef { id: turn.id, turn_index: turn.turn },
        mode: plan.mode,
        flags: plan.flags.clone(),
        tools: plan.tools.clone(),
        request: ModelRequest { bytes: bytes.len(), ..request },
        matches: Vec::new(),
        answer: None,
        classification: Classification::Public,
        cost_usd: None,
        now: app.clock.now(),
        session_memory: Arc::default(),
        agent_memory: Arc::default(),
        strictness: 0.0,
    };
    let mut call = Call::new(exchange, pipeline, plan, app.services.clone());
    call.policies = policies_of(app, caller).await?;
    call.allowlist = allowlist;
    call.providers = providers;
    call.passed = passed;
    call.traceparent = header(head, "traceparent")?.map(str::to_owned);
    call.resume = name("x-tappass-resume", header(head, "x-tappass-resume")?)?;
    header(head, "x-tappass-flags")?.unwrap_or_default().clone_into(&mut call.flags_sent);
    let on = |key| header(head, key).map(|v| v.is_some_and(|v| v == "1" || v == "true"));
    let (asked, wants_capability) = (on("x-tappass-trace")?, on("x-tappass-capability")?);
    Ok(Governed::new(Open {
        app: app.clone(),
        received,
        came: bytes.clone(),
        request_hash: conclude::sha256(bytes),
        response_hash: None,
        wants_trace: asked || caller.settings.trace,
        wants_usage,
        failure: None,
        left: false,
        events: Vec::new(),
        about: Map::new(),
        guard: None,
        wants_capability: wants_capability || caller.settings.scope.is_some(),
        capability: None,
        call,
    }))
}

/// Whose sessions a name is looked up among.
pub fn session_scope(org_id: Uuid, agent_uuid: Uuid) -> String {
    format!("{org_id}:{agent_uuid}")
}

/// A pipeline that cannot be had refuses the call: nothing passes ungoverned.
pub async fn pipeline_of(app: &App, caller: &AgentCaller) -> Result<Arc<Pipeline>, ApiError> {
    let name = &caller.settings.pipeline;
    app.pipelines.get(caller.org_id, name).await.map_err(|error| {
        let detail = format!("The agent's pipeline `{name}` cannot be used: {error}.");
        ApiError::unavailable("pipeline_unavailable", 5, detail)
    })
}

/// Nor does it pass without its organisation's policies.
async fn policies_of(app: &App, caller: &AgentCaller) -> Result<Arc<dyn Engine>, ApiError> {
    app.policies.get(caller.org_id).await.map_err(|error| {
        let detail = format!("The organisation's policies cannot be used: {error}.");
        ApiError::unavailable("policy_unavailable", 5, detail)
    })
}

/// `X-TapPass-Session`, `X-Session-Id`, or `metadata.session_id` (`session_id`, of tool calls): the first that is there.
fn session_name(dialect: Dialect, head: &HeaderMap, body: &Value) -> Result<Option<String>, ApiError> {
    for key in ["x-tappass-session", "x-session-id"] {
        if let Some(value) = header(head, key)? {
            return name(key, Some(value));
        }
    }
    if matches!(dialect, Dialect::ToolCall | Dialect::ToolResult | Dialect::Prompt) {
        return name("session_id", body["session_id"].as_str());
    }
    name("metadata.session_id", body["metadata"]["session_id"].as_str())
}

/// A name that a caller gave: short, and without control characters.
pub fn name(what: &str, value: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(value) = value.map(str::trim).filter(|v| !v.is_empty()) else { return Ok(None) };
    if value.len() > MAX_NAME || value.chars().any(char::is_control) {
        let detail = format!("`{what}` must be at most {MAX_NAME} bytes without control characters.");
        return Err(ApiError::unprocessable("invalid_name", detail));
    }
    Ok(Some(value.to_owned()))
}

/// The headers that go on to a provider of the caller's dialect: words and dates, in lists. What else they could
/// hold would leave unscanned.
fn passed(head: &HeaderMap, names: &[&'static str]) -> Result<Vec<(&'static str, String)>, ApiError> {
    let mut passed = Vec::new();
    for name in names {
        let values: Vec<&[u8]> = head.get_all(*name).iter().map(HeaderValue::as_bytes).collect();
        if values.is_empty() {
            continue;
        }
        let text = String::from_utf8_lossy(&values.join(b",".as_slice())).into_owned();
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_., ".contains(&b);
        if text.len() > MAX_PASSED || !text.bytes().all(fits) {
            let detail =
                format!("`{name}` must be words of letters, digits and - _ . in at most {MAX_PASSED} bytes.");
            return Err(ApiError::unprocessable("invalid_header", detail));
        }
        passed.push((*name, text));
    }
    Ok(passed)
}

/// A header's text. Given twice, it would mean two things.
fn header<'a>(head: &'a HeaderMap, key: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = head.get_all(key).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::bad_request("duplicate_header", format!("The header `{key}` is given twice.")));
    }
    let text = std::str::from_utf8(first.as_bytes());
    text.map(Some)
        .map_err(|_| ApiError::bad_request("invalid_header", format!("The header `{key}` is not UTF-8.")))
}

fn bad_flag(error: &FlagError) -> ApiError {
    ApiError::unprocessable("invalid_flags", error.to_string())
}

fn bad_request(error: &RequestError) -> ApiError {
    ApiError::unprocessable("invalid_request", error.to_string())
}
