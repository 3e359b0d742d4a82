//! Events of coding agents' hooks: prompts, tool calls and results are judged as everywhere, all else is recorded.

use axum::{body::Bytes, response::Response};
use http::StatusCode;
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tappass_audit::{Event as Record, EventType};
use tappass_model::{Denial, Dialect, Mode, json};
use tappass_pipeline::{Blocked, Halt};

use super::{
    govern::{Named, about, judge},
    models::Asked,
};
use crate::{
    call::{
        Open,
        conclude::sha256,
        identify::{identify, name},
        verdict::{Decision, masking},
    },
    error::ApiError,
    hooks::{self, CANARY_SAYS, CodingAgent, Event, Ruling, ToolUse, What},
    params::Params,
};

/// The most events of one batch.
const MOST_EVENTS: usize = 100;

/// Whose events these are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HookQuery {
    /// The coding agent; where it is not named, the event's form tells.
    agent: Option<CodingAgent>,
}

/// What a batch is answered with.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Answers {
    /// One for each event, in their order.
    items: Vec<AnswerOfOne>,
}

/// What `POST /hooks` would have answered.
#[derive(Debug, Serialize, JsonSchema)]
struct AnswerOfOne {
    /// Its status.
    status: u16,
    /// The answer as the agent's hook prints it, or the error.
    body: Value,
}

/// `POST /hooks`
pub async fn one(Params(query): Params<HookQuery>, asked: Asked) -> Result<Response, ApiError> {
    let body = parsed(&asked.body)?;
    answered(query.agent, &asked, &body).await
}

/// `POST /hooks/batch`: one after the other, for they may be of one session. A bad one costs none of the others.
pub async fn batch(Params(query): Params<HookQuery>, asked: Asked) -> Result<axum::Json<Answers>, ApiError> {
    let events = match parsed(&asked.body)? {
        Value::Array(events) if events.len() <= MOST_EVENTS => events,
        _ => {
            let detail = format!("A batch is an array of at most {MOST_EVENTS} events.");
            return Err(ApiError::unprocessable("invalid_body", detail));
        }
    };
    let mut items = Vec::with_capacity(events.len());
    for event in events {
        let (status, body) = match answered(query.agent, &asked, &event).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let bytes = body.collect().await.map_err(ApiError::internal)?.to_bytes();
                (head.status, serde_json::from_slice(&bytes).unwrap_or_default())
            }
            Err(error) => (error.status(), error.to_problem(asked.request_id.as_str())),
        };
        items.push(AnswerOfOne { status: status.as_u16(), body });
    }
    Ok(axum::Json(Answers { items }))
}

fn parsed(bytes: &[u8]) -> Result<Value, ApiError> {
    json::parse_strict(bytes).map_err(|e| ApiError::unprocessable("invalid_json", e.to_string()))
}

async fn answered(agent: Option<CodingAgent>, asked: &Asked, body: &Value) -> Result<Response, ApiError> {
    let event = hooks::read(agent, body).map_err(|e| ApiError::unprocessable("invalid_event", e))?;
    let hash = sha256(body.to_string().as_bytes());
    match &event.what {
        What::Other => recorded(asked, &event).await,
        What::Prompt(prompt) => {
            Ok(judged(asked, &event, &hash, Dialect::Prompt, json!({"prompt": prompt})).await?.0)
        }
        What::Call(call) => Ok(judged(asked, &event, &hash, Dialect::ToolCall, calling(call)).await?.0),
        What::Read(call, content) => {
            // First whether it may be read, then what would be.
            let (response, denied) = judged(asked, &event, &hash, Dialect::ToolCall, calling(call)).await?;
            if denied || response.status() != StatusCode::OK || content.is_empty() {
                return Ok(response);
            }
            let result = json!({"tool": call.tool, "result": content});
            Ok(judged(asked, &event, &hash, Dialect::ToolResult, result).await?.0)
        }
        What::Result { tool, result, failed } => {
            let body = json!({"tool": tool, (if *failed { "error" } else { "result" }): result});
            Ok(judged(asked, &event, &hash, Dialect::ToolResult, body).await?.0)
        }
    }
}

fn calling(call: &ToolUse) -> Value {
    json!({"type": "TOOL_CALL", "payload": {"tool": call.tool, "args": call.args, "server": call.server}})
}

/// The path of `POST /v1/govern`, with the answer in the agent's words. Also whether the answer says no.
async fn judged(
    asked: &Asked,
    event: &Event,
    hash: &str,
    dialect: Dialect,
    mut body: Value,
) -> Result<(Response, bool), ApiError> {
    body["session_id"] = json!(event.session);
    let named = Named { result: body["result"].clone(), error: body["error"].clone(), ..Named::default() };
    let mut call = identify(dialect, &Asked { body: Bytes::from(body.to_string()), ..asked.clone() }).await?;
    let open = call.open();
    hash.clone_into(&mut open.request_hash);
    // Nobody of whom these answers are for reads one.
    open.wants_capability = false;
    open.about = about(dialect, &open.call.exchange.request.body, &named);
    open.about.extend(of_hook(event));
    let halt = if event.is_canary() {
        open.about.insert("canary".into(), true.into());
        Err(canary(open))
    } else {
        let judged = judge(open, dialect).await;
        judged.and_then(|()| unmasked(open, event))
    };
    let mut denied = false;
    let response = call.verdict(halt, |open, decision| {
        let answer = hooks::answer(event, &ruling(open, decision));
        denied = hooks::denial(&answer).is_some();
        answer
    });
    let response = response.await;
    Ok((response, denied))
}

/// What could only go on masked, and cannot be changed at this hook, is refused, and recorded as that.
fn unmasked(open: &mut Open, event: &Event) -> Result<(), Halt> {
    let step = masking(open).filter(|_| event.asks() && !event.replaceable());
    step.map_or(Ok(()), |step| Err(refused(open, step, hooks::answer::UNMASKED.to_owned())))
}

fn refused(open: &mut Open, step: &'static str, reason: String) -> Halt {
    let blocked = Blocked { step, reason, denial: Denial::Policy };
    open.call.trace.blocked = Some(blocked.clone());
    Halt::Blocked(blocked)
}

/// Refused whatever the agent's mode, so that a refusal proves that the hook is there and is heard.
fn canary(open: &mut Open) -> Halt {
    let reason = format!("{CANARY_SAYS}: this agent's hooks reach the gateway, and it refuses");
    refused(open, "hook_canary", reason)
}

fn ruling(open: &Open, decision: &Decision) -> Ruling {
    let modified = |value: &Option<Value>| value.clone().filter(|v| !v.is_null());
    match decision.outcome {
        "modify" => {
            let args = modified(&decision.modified_payload).map(|mut payload| payload["args"].take());
            let heard = modified(&decision.modified_result).or_else(|| modified(&decision.modified_error));
            Ruling::Replace(args.or(heard).unwrap_or_default())
        }
        "allow" => {
            let would = open.call.exchange.mode == Mode::Warn && !open.call.trace.would_block().is_empty();
            Ruling::Allow(would.then(|| format!("TapPass: {}", decision.reason)))
        }
        _ => match decision.approval.as_ref().and_then(Option::as_ref) {
            Some(waits) => Ruling::Deny(format!(
                "TapPass: a person must approve this first ({}): `tappass approvals approve {}`, then try the very same again",
                decision.reason, waits.request_id
            )),
            None => Ruling::Deny(format!("TapPass: {}", decision.reason)),
        },
    }
}

/// What is recorded of a hook: whose, and which.
fn of_hook(event: &Event) -> Map<String, Value> {
    let name: String = event.name.chars().filter(|c| !c.is_control()).take(100).collect();
    Map::from_iter([("hook".to_owned(), json!({"agent": event.agent, "event": name}))])
}

/// Anything else that the agent tells: that it happened, and in which session.
async fn recorded(asked: &Asked, event: &Event) -> Result<Response, ApiError> {
    let Asked { app, caller, request_id, .. } = asked;
    let mut record = Record::new(EventType::AgentEvent, caller.org_id, &*app.ids, &*app.clock);
    record.agent_id = Some(caller.agent_id.clone());
    record.session_id = name("session_id", event.session.as_deref())?;
    record.mode = Some(caller.settings.mode);
    let mut details = of_hook(event);
    details.insert("request_id".into(), request_id.as_str().into());
    record.details = Value::Object(details);
    if caller.settings.mode.acts() {
        app.audit.record(&record).await?;
    } else {
        app.audit.record_or_spool(record).await?;
    }
    let answer = hooks::answer(event, &Ruling::Allow(None));
    Ok(axum::response::IntoResponse::into_response(axum::Json(answer)))
}
