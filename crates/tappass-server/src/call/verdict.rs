//! What was decided about a tool call, its result or a prompt, told as the answer to a question: 200, whatever it says.

use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tappass_model::{Action, Denial, Dialect, clock::rfc3339};
use tappass_pipeline::{Approvals, Blocked, Halt};
use uuid::Uuid;

use super::{Governed, Open, capability, governance, refusal};
use crate::state::App;

/// What was decided.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Decision {
    /// `allow`, `block`, `needs_approval` (to agents with `approvals: true`; to others `block`), or `modify`: go on, with
    /// what is modified.
    pub outcome: &'static str,
    /// Why, in a sentence.
    pub reason: String,
    /// As asked; the call's own id where none was given.
    behavior_id: String,
    /// The pipeline that decided.
    pipeline_id: String,
    /// When, RFC 3339.
    decided_at: String,
    /// `blocking_step`, its `findings` (masked), what enforce would have blocked (`would_block`), the ids of the call.
    details: Value,
    /// The capability token for this one call: `{token, classification, tools, ops, checks_passed, expires_at, ttl}`,
    /// where the agent has a scope or `X-TapPass-Capability: 1` asks for it, and the call is allowed; else null.
    #[serde(skip_serializing_if = "Option::is_none")]
    mandate: Option<Value>,
    /// What must be kept to: `use_modified_payload` where the outcome is `modify`; else empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    obligations: Option<Vec<&'static str>>,
    /// What to wait for, where a person decides; else null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Option<Waits>>,
    /// `{tool, args, server}` with masked arguments, where the outcome is `modify`; else null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_payload: Option<Value>,
    /// The masked result, where the outcome is `modify`; else null. Only of reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_result: Option<Value>,
    /// The masked error, where the outcome is `modify`; else null. Only of reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_error: Option<Value>,
}

/// A question that a person must answer first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Waits {
    /// The approval's id, for `GET /v1/me/approvals/{id}/wait` and, once it is approved, `X-TapPass-Resume`.
    pub request_id: Uuid,
    /// SHA-256 of what is to be approved: tool, arguments, agent, end user, and the pipeline's version.
    fingerprint: Option<String>,
    /// `single`, or `four_eyes` where whoever asked may not decide.
    tier: Option<&'static str>,
    /// Until when; then it means no.
    expires_at: String,
    /// The rule that asks for it.
    matched_rule: Option<String>,
}

impl Governed {
    /// The record, durable; then what was decided, as `tell` writes it. A rate limit is no decision about the call: 429.
    pub async fn verdict(
        mut self,
        judged: Result<(), Halt>,
        tell: impl FnOnce(&Open, &Decision) -> Value,
    ) -> Response {
        let blocked = match judged {
            Ok(()) => None,
            Err(Halt::Blocked(blocked)) if !matches!(blocked.denial, Denial::RateLimited { .. }) => {
                Some(blocked)
            }
            Err(halt) => return self.refuse(halt).await,
        };
        let (app, org_id) = (self.open().app.clone(), self.open().call.exchange.caller.org_id);
        let approval = match &blocked {
            Some(blocked) => waits(&app, org_id, blocked).await,
            None => None,
        };
        if blocked.is_none() {
            capability::mint(self.open()).await;
        }
        let decision = decision(self.open(), blocked.as_ref(), approval);
        let told = tell(self.open(), &decision);
        self.answer(told.to_string().into_bytes()).await
    }
}

fn decision(open: &Open, blocked: Option<&Blocked>, approval: Option<Waits>) -> Decision {
    let x = &open.call.exchange;
    let is_call = x.request.dialect == Dialect::ToolCall;
    let payload = if is_call && blocked.is_none() { modified_payload(open) } else { Value::Null };
    let told = |key| if is_call || blocked.is_some() { Value::Null } else { modified(open, key) };
    let (result, error, prompt) = (told("result"), told("error"), told("prompt"));
    let modified = [&payload, &result, &error, &prompt].into_iter().any(|value| !value.is_null());
    let outcome = match (blocked, &approval) {
        (Some(_), Some(_)) if x.caller.settings.approvals => "needs_approval",
        (Some(_), _) => "block",
        (None, _) if modified => "modify",
        (None, _) => "allow",
    };
    let would = open.call.trace.would_block();
    let reason = match (blocked, would.first()) {
        (Some(blocked), _) => blocked.reason.clone(),
        (None, Some(first)) => {
            format!("allowed in {}; enforce would have blocked it: {}", x.mode, first.step)
        }
        (None, None) if modified => "allowed with what is masked".to_owned(),
        (None, None) => "allowed".to_owned(),
    };
    let mut details = governance::object(open);
    details["blocking_step"] = json!(blocked.map(|b| b.step));
    details["findings"] = blocked.map(|b| refusal::findings(open, b)).unwrap_or_default().into();
    let given = open.about.get("behavior_id").and_then(Value::as_str);
    Decision {
        outcome,
        reason,
        behavior_id: given.map_or_else(|| x.task_id.to_string(), str::to_owned),
        pipeline_id: open.call.pipeline.name.clone(),
        decided_at: rfc3339(open.app.clock.now()),
        details,
        mandate: is_call.then(|| open.capability.as_ref().map_or(Value::Null, |c| json!(c.as_ref().ok()))),
        obligations: is_call
            .then(|| if outcome == "modify" { vec!["use_modified_payload"] } else { Vec::new() }),
        approval: is_call.then_some(approval),
        modified_payload: is_call.then_some(payload),
        modified_result: (!is_call).then_some(result),
        modified_error: (!is_call).then_some(error),
    }
}

/// The question that stands open, with its rule where it can be looked up.
async fn waits(app: &App, org_id: Uuid, blocked: &Blocked) -> Option<Waits> {
    let Denial::Approval { approval_id, expires_at } = blocked.denial else { return None };
    let found = app.people.find(org_id, approval_id).await.unwrap_or_else(|error| {
        tracing::warn!(approval = %approval_id, error, "cannot look an approval up");
        None
    });
    let tier = |four_eyes| if four_eyes { "four_eyes" } else { "single" };
    Some(Waits {
        request_id: approval_id,
        expires_at: rfc3339(expires_at),
        tier: found.as_ref().map(|a| tier(a.four_eyes)),
        fingerprint: found.as_ref().map(|a| a.fingerprint.clone()),
        matched_rule: found.map(|a| a.rule),
    })
}

/// The step whose masks have changed what was asked about, where some have.
pub fn masking(open: &Open) -> Option<&'static str> {
    let call = open.call.exchange.request.dialect == Dialect::ToolCall && !modified_payload(open).is_null();
    let text = || ["result", "error", "prompt"].iter().any(|key| !modified(open, key).is_null());
    let row = || open.call.trace.rows.iter().rev().find(|row| row.action == Action::Redact);
    (call || text()).then(|| row().map_or("scan_output", |row| row.step))
}

/// The payload as it was asked about, with other arguments, where masks have changed them.
fn modified_payload(open: &Open) -> Value {
    let x = &open.call.exchange;
    let after = x.answer.as_ref().map(|answer| &answer.body["payload"]).unwrap_or(&Value::Null);
    if after.is_null() || *after == x.request.body["payload"] {
        return Value::Null;
    }
    let mut payload = Map::new();
    for (key, of) in [("tool", "tool"), ("args", "arguments"), ("server", "server")] {
        if !after[of].is_null() {
            payload.insert(key.into(), after[of].clone());
        }
    }
    Value::Object(payload)
}

/// A text of a report, where masks have changed it; JSON again where it came as JSON.
fn modified(open: &Open, key: &str) -> Value {
    let x = &open.call.exchange;
    let pointer = format!("/{key}");
    let before = x.request.segments.iter().find(|segment| segment.pointer == pointer);
    let after = x.request.body[key].as_str();
    let (Some(before), Some(after)) = (before, after) else { return Value::Null };
    if before.text == after {
        return Value::Null;
    }
    let structured = open.about.get("structured").and_then(Value::as_array);
    let was_json = structured.is_some_and(|keys| keys.iter().any(|k| k == key));
    was_json.then(|| serde_json::from_str(after).ok()).flatten().unwrap_or_else(|| after.into())
}
