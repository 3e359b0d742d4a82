//! What people must decide before agents go on, as the agent sees it: its own, waited for, taken back, resumed.

use std::time::Duration;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use tappass_audit::EventType;
use tappass_model::{AgentCaller, Dialect};
use tappass_store::{Approval, ApprovalState};
use tokio::time::{Instant, sleep};

use super::{
    approvals::{ApprovalQuery, ApprovalView, details, find, what_was_decided},
    govern, mcp,
    models::{Asked, governed},
};
use crate::{
    caller::Agent,
    error::ApiError,
    middleware::RequestId,
    params::{Listed, Params},
    record::Change,
    state::App,
};

/// What other replicas decide is found by looking; what this one decides wakes whoever waits.
const LOOK: Duration = Duration::from_secs(1);
/// The longest wait of one request, in seconds.
const LONGEST_WAIT: u32 = 60;

/// The query of `GET /me/approvals/{approval}/wait`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WaitQuery {
    /// How long to wait at most; 30 unless said otherwise, 60 at most.
    timeout_seconds: Option<u32>,
}

/// `GET /me/approvals`: the newest first.
pub async fn list(
    State(app): State<App>,
    Agent(caller): Agent,
    Params(query): Params<ApprovalQuery>,
) -> Result<Json<Listed<ApprovalView>>, ApiError> {
    let (filter, page) = query.read(Some(caller.agent_uuid))?;
    let page = app.store.approvals().list(caller.org_id, &filter, app.clock.now(), &page).await?;
    Ok(Json(Listed::of(page, |approval| ApprovalView::of(&approval))))
}

/// `GET /me/approvals/{approval}`
pub async fn show(
    State(app): State<App>,
    Agent(caller): Agent,
    Path(id): Path<String>,
) -> Result<Json<ApprovalView>, ApiError> {
    Ok(Json(ApprovalView::of(&mine(&app, &caller, &id).await?)))
}

/// `GET /me/approvals/{approval}/wait`: 200 as soon as it is decided or over, 408 while it waits. Between two looks
/// nothing is held but the connection.
pub async fn wait(
    State(app): State<App>,
    Agent(caller): Agent,
    Path(id): Path<String>,
    Params(query): Params<WaitQuery>,
) -> Result<Json<ApprovalView>, ApiError> {
    let seconds = query.timeout_seconds.unwrap_or(30).min(LONGEST_WAIT);
    let end = Instant::now() + Duration::from_secs(seconds.into());
    loop {
        // Before the look, so that no decision falls between.
        let decided = app.people.decided.notified();
        tokio::pin!(decided);
        decided.as_mut().enable();
        let approval = mine(&app, &caller, &id).await?;
        if approval.state != ApprovalState::Pending {
            return Ok(Json(ApprovalView::of(&approval)));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || app.life.draining.is_cancelled() {
            let detail = "Nobody has decided it yet: wait again.";
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "approval_pending", detail));
        }
        tokio::select! {
            () = decided => {}
            () = sleep(left.min(LOOK)) => {}
            () = app.life.draining.cancelled() => {}
        }
    }
}

/// `POST /me/approvals/{approval}/cancel`: the agent does not want it any more.
pub async fn cancel(
    State(app): State<App>,
    Agent(caller): Agent,
    Path(id): Path<String>,
) -> Result<Json<ApprovalView>, ApiError> {
    let approval = mine(&app, &caller, &id).await?;
    let cancelled =
        app.store.approvals().cancel(caller.org_id, approval.approval_id, app.clock.now()).await?;
    let approval = mine(&app, &caller, &id).await?;
    if !cancelled {
        return Err(ApiError::conflict("already_decided", what_was_decided(&approval)));
    }
    app.people.decided.notify_waiters();
    let change = Change::by(EventType::ApprovalDecided, caller.org_id, &caller.agent_id);
    let mut details = details(&approval);
    details["decision"] = "cancel".into();
    app.changed(change.agent(&caller.agent_id).details(details)).await?;
    Ok(Json(ApprovalView::of(&approval)))
}

/// `POST /me/approvals/{approval}/resume`: sends the stored call, once, and answers as its route would.
pub async fn resume(
    State(app): State<App>,
    Agent(caller): Agent,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    head: HeaderMap,
) -> Result<Response, ApiError> {
    let approval = mine(&app, &caller, &id).await?;
    if approval.state != ApprovalState::Approved || approval.used_at.is_some() {
        return Err(ApiError::conflict("not_approved", what_was_decided(&approval)));
    }
    let Some(asked) = app.people.opened(&approval) else {
        let detail = "The stored call is no longer there: send it again yourself.";
        return Err(ApiError::conflict("call_forgotten", detail));
    };
    let mut stored = HeaderMap::new();
    for (name, value) in asked["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().filter(|v| !v.is_empty()).map(|v| HeaderValue::from_bytes(v.as_bytes()));
        if let (Ok(name), Some(Ok(value))) = (HeaderName::from_bytes(name.as_bytes()), value) {
            stored.insert(name, value);
        }
    }
    for name in ["traceparent", "x-tappass-trace"] {
        if let Some(value) = head.get(name) {
            stored.insert(name, value.clone());
        }
    }
    let token = HeaderValue::from_str(&approval.approval_id.to_string()).map_err(ApiError::internal)?;
    stored.insert("x-tappass-resume", token);
    // In the dialect in which it was asked.
    let dialect = Dialect::deserialize(&asked["dialect"]).unwrap_or(Dialect::OpenAiChat);
    if dialect == Dialect::McpCall {
        return mcp::again(app, caller, request_id, stored, &asked["request"])
            .await
            .map(IntoResponse::into_response);
    }
    let body = Bytes::from(asked["request"].to_string());
    let asked = Asked { app, caller, request_id, head: stored, body };
    match dialect {
        Dialect::ToolCall | Dialect::Prompt => govern::judged(dialect, asked).await,
        _ => governed(dialect, asked).await,
    }
}

/// One of the agent's own; another's is what does not exist.
async fn mine(app: &App, caller: &AgentCaller, id: &str) -> Result<Approval, ApiError> {
    let approval = find(app, caller.org_id, id).await?;
    if approval.agent_uuid == caller.agent_uuid { Ok(approval) } else { Err(ApiError::not_found()) }
}
