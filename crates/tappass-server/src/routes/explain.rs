//! Why a call was decided as it was, from what was recorded with it.

use axum::{
    Json,
    extract::{Path, State},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::audit::view;
use crate::{error::ApiError, scope::Scope, state::App};

/// A call, explained.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explanation {
    /// The call's id: `task_id` in its answer.
    call: Uuid,
    /// When it ended.
    ts: Value,
    agent_id: Value,
    session_id: Value,
    model: Value,
    /// The mode that held.
    mode: Value,
    /// What was done.
    action: Value,
    /// What enforce would have done.
    verdict: Value,
    /// The step that refused; null when none did.
    blocked_by: Value,
    classification: Value,
    /// Name, version and hash of the pipeline that decided.
    pipeline: Value,
    /// Every step in order: `step`, `action`, `detected`, `message`, `duration_us`; where it found something or
    /// failed also `did`, `would`, `score`, `threshold`, `found`, `more`, `remedies`.
    steps: Vec<Map<String, Value>>,
    /// Hits that an allowlist took away before any step saw them.
    allowlisted: Value,
}

/// `GET /audit/{event}/explain`
pub async fn explain(
    State(app): State<App>,
    scope: Scope,
    Path(event): Path<String>,
) -> Result<Json<Explanation>, ApiError> {
    let call: Uuid = event.parse().map_err(|_| ApiError::not_found())?;
    let row = app.store.audit().get(scope.org_id, call).await?.ok_or_else(ApiError::not_found)?;
    explanation(call, view(&row)).map(Json).ok_or_else(|| {
        ApiError::unprocessable(
            "not_a_call",
            "This event is not a governed call; GET /audit/{event} shows it.",
        )
    })
}

fn explanation(call: Uuid, mut event: Value) -> Option<Explanation> {
    let Value::Array(steps) = event["steps"].take() else { return None };
    let mut reasons = match event["details"]["explain"].take() {
        Value::Array(reasons) => reasons,
        _ => Vec::new(),
    };
    let steps = steps.into_iter().filter_map(|step| match step {
        Value::Object(mut step) => {
            let at = reasons.iter().position(|reason| reason["step"] == step["step"]);
            if let Some(Value::Object(reason)) = at.map(|at| reasons.remove(at)) {
                step.extend(reason);
            }
            Some(step)
        }
        _ => None,
    });
    let mut steps: Vec<Map<String, Value>> = steps.collect();
    // Policies are no steps of the pipeline: what they said comes after.
    steps.extend(reasons.into_iter().filter_map(|reason| match reason {
        Value::Object(mut policy) => {
            policy.insert("action".into(), policy["did"].clone());
            Some(policy)
        }
        _ => None,
    }));
    let allowlisted = match event["details"]["allowlisted"].take() {
        Value::Null => Value::Array(Vec::new()),
        found => found,
    };
    let mut take = |key: &str| event[key].take();
    Some(Explanation {
        call,
        ts: take("ts"),
        agent_id: take("agent_id"),
        session_id: take("session_id"),
        model: take("model"),
        mode: take("mode"),
        action: take("action"),
        verdict: take("verdict"),
        blocked_by: take("blocked_by"),
        classification: take("classification"),
        pipeline: take("pipeline"),
        steps,
        allowlisted,
    })
}
