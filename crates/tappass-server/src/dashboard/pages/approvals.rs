//! `/app/approvals`: what waits for a person, with all that was asked; and what was decided.

use askama::Template;
use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use tappass_store::{Approval, ApprovalFilter, ApprovalState, PageRequest};

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    mcp::pins::differences,
    state::App,
};

/// How many of those that wait, and of those that were decided, are shown.
const WAITING: u32 = 50;
const DECIDED: u32 = 30;

#[derive(Template)]
#[template(path = "approvals.html")]
struct Inbox {
    shell: Shell,
    from: String,
    waiting: Vec<Question>,
    more: bool,
    decided: Vec<Approval>,
}

/// One question, opened.
struct Question {
    approval: Approval,
    /// What is asked for, whole: the tool call's arguments, or the request.
    asked: String,
    /// What is said at the end of the conversation, masked.
    summary: String,
    /// What differs from the last one that was approved; `None` where there is none to compare with.
    changes: Option<Changes>,
}

/// How a question differs from the last of its kind that was approved.
struct Changes {
    approved_at: Option<Timestamp>,
    by: String,
    /// Place, before, now.
    rows: Vec<(String, String, String)>,
}

/// The inbox.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(State(app): State<App>, viewer: Viewer) -> Result<Response, ApiError> {
    let (org, now) = (viewer.scope.org_id, app.clock.now());
    let from = super::log_end(&app, org).await?;
    let approvals = app.store.approvals();
    let filter = ApprovalFilter { agent_uuid: None, state: Some(ApprovalState::Pending) };
    let page = PageRequest { limit: WAITING, cursor: None };
    let pending = approvals.list(org, &filter, now, &page).await?;
    let more = pending.next.is_some();
    let mut waiting = Vec::new();
    // The one that ends first stands first.
    let mut items = pending.items;
    items.sort_by_key(|approval| approval.expires_at);
    for approval in items {
        waiting.push(question(&app, approval).await?);
    }
    let all = PageRequest { limit: DECIDED + WAITING, cursor: None };
    let recent = approvals.list(org, &ApprovalFilter::default(), now, &all).await?;
    let mut decided: Vec<_> =
        recent.items.into_iter().filter(|approval| approval.state != ApprovalState::Pending).collect();
    decided.truncate(DECIDED as usize);
    page::show(&Inbox { shell: viewer.shell("/app/approvals"), from, waiting, more, decided })
}

async fn question(app: &App, approval: Approval) -> Result<Question, ApiError> {
    let opened = app.people.opened(&approval).unwrap_or_default();
    let asked = subject(&opened);
    let before = app.store.approvals().approved_before(&approval).await?;
    let changes = before.and_then(|before| {
        let was = subject(&app.people.opened(&before)?);
        let rows = differences(&was, &asked).into_iter().take(40);
        Some(Changes {
            approved_at: before.decided_at,
            by: before.decided_by.unwrap_or_default(),
            rows: rows.map(|d| (d.at, shown(&d.was), shown(&d.now))).collect(),
        })
    });
    let summary = match &opened["summary"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    Ok(Question { asked: pretty(&asked), summary, changes, approval })
}

/// What is approved: the tool call with its arguments read, else the request.
fn subject(opened: &Value) -> Value {
    let call = &opened["tool_call"];
    if call.is_null() {
        return opened["request"].clone();
    }
    // Arguments travel as a text that is JSON.
    let arguments = call["arguments"].as_str().and_then(|text| serde_json::from_str(text).ok());
    json!({"tool": call["name"].as_str().or(call["tool"].as_str()), "arguments": arguments.unwrap_or(call["arguments"].clone())})
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
