//! What people must decide before agents go on, as people see it: list, look, decide.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tappass_audit::EventType;
use tappass_model::Classification;
use tappass_store::{Approval, ApprovalFilter, ApprovalState, ApprovalSubject, PageRequest, Ruling};
use uuid::Uuid;

use crate::{
    body,
    error::ApiError,
    params::{Listed, Params},
    record::Change,
    scope::Scope,
    state::App,
};

/// Longest reason for a decision, in characters.
const LONGEST_REASON: usize = 1000;

/// The query of a list of approvals.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// `pending`, `approved`, `denied`, `timed_out` or `cancelled`.
    state: Option<String>,
    /// How many at most; 100 unless said otherwise, 500 at most.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ApprovalQuery {
    pub(super) fn read(self, agent_uuid: Option<Uuid>) -> Result<(ApprovalFilter, PageRequest), ApiError> {
        let named = |name: &String| ApprovalState::ALL.into_iter().find(|s| s.as_str() == name);
        let state = match &self.state {
            None => None,
            Some(name) => Some(named(name).ok_or_else(|| {
                let valid = ApprovalState::ALL.map(ApprovalState::as_str).join(", ");
                ApiError::bad_request("invalid_query", format!("`state` is one of: {valid}."))
            })?),
        };
        let cursor = self.cursor.filter(|c| !c.is_empty());
        let page = PageRequest { limit: self.limit.unwrap_or(100), cursor };
        Ok((ApprovalFilter { agent_uuid, state }, page))
    }
}

/// An approval, as its agent sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ApprovalView {
    approval_id: Uuid,
    /// `pending`, `approved`, `denied`, `timed_out` or `cancelled`.
    pub(super) state: &'static str,
    /// `request` or `tool_call`: what is approved.
    subject: &'static str,
    /// The tool, where it is a tool call.
    tool: Option<String>,
    /// The rule that asks for it.
    rule: String,
    classification: Classification,
    /// The end user, as the agent said.
    requester: Option<String>,
    session_id: String,
    /// The call that asked (`task_id`).
    call: Uuid,
    /// The pipeline's name.
    pipeline: String,
    /// SHA-256 of what is approved, with the agent and the pipeline's version.
    fingerprint: String,
    created_at: String,
    /// Until when it can be decided and, once approved, used.
    expires_at: String,
    decided_at: Option<String>,
    /// Why, in the words of who decided.
    reason: Option<String>,
    /// When the call passed.
    used_at: Option<String>,
}

impl ApprovalView {
    pub(super) fn of(a: &Approval) -> Self {
        Self {
            approval_id: a.approval_id,
            state: a.state.as_str(),
            subject: match a.subject {
                ApprovalSubject::Request => "request",
                ApprovalSubject::ToolCall => "tool_call",
            },
            tool: a.tool.clone(),
            rule: a.rule.clone(),
            classification: a.classification,
            requester: a.requester.clone(),
            session_id: a.session_id.clone(),
            call: a.call_id,
            pipeline: a.pipeline.clone(),
            fingerprint: a.fingerprint.clone(),
            created_at: a.created_at.to_string(),
            expires_at: a.expires_at.to_string(),
            decided_at: a.decided_at.map(|t| t.to_string()),
            reason: a.reason.clone(),
            used_at: a.used_at.map(|t| t.to_string()),
        }
    }
}

/// An approval, as whoever decides sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Question {
    #[serde(flatten)]
    approval: ApprovalView,
    agent_id: String,
    /// Whether whoever asked may not decide.
    four_eyes: bool,
    /// Who decided.
    decided_by: Option<String>,
    /// The end of what was said, masked, or the tool and the names of its arguments; null once it is forgotten.
    summary: Value,
}

/// An approval with all that was asked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WholeQuestion {
    #[serde(flatten)]
    question: Question,
    /// The request's body as it came; null once it is forgotten.
    request: Value,
    /// The tool call with its arguments, where that is what is approved.
    tool_call: Value,
}

impl Question {
    fn of(app: &App, approval: &Approval) -> (Self, Value) {
        let mut asked = app.people.opened(approval).unwrap_or_default();
        let question = Self {
            approval: ApprovalView::of(approval),
            agent_id: approval.agent_id.clone(),
            four_eyes: approval.four_eyes,
            decided_by: approval.decided_by.clone(),
            summary: asked["summary"].take(),
        };
        (question, asked)
    }
}

/// `POST /admin/approvals/{approval}/decide`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// `approve` or `deny`.
    decision: Decision,
    /// Why; the agent is told.
    #[serde(default)]
    reason: String,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It may go on, once.
    Approve,
    /// It may not.
    Deny,
}

/// `GET /admin/approvals`: the newest first.
pub async fn list(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ApprovalQuery>,
) -> Result<Json<Listed<Question>>, ApiError> {
    let (filter, page) = query.read(None)?;
    let page = app.store.approvals().list(scope.org_id, &filter, app.clock.now(), &page).await?;
    Ok(Json(Listed::of(page, |approval| Question::of(&app, &approval).0)))
}

/// `GET /admin/approvals/{approval}`: with all that was asked.
pub async fn show(
    State(app): State<App>,
    scope: Scope,
    Path(id): Path<String>,
) -> Result<Json<WholeQuestion>, ApiError> {
    whole(&app, &find(&app, scope.org_id, &id).await?)
}

/// `POST /admin/approvals/{approval}/decide`: once, for good.
pub async fn decide(
    State(app): State<App>,
    scope: Scope,
    Path(id): Path<String>,
    body::Json(decide): body::Json<Decide>,
) -> Result<Json<WholeQuestion>, ApiError> {
    let reason = decide.reason.trim();
    if reason.chars().count() > LONGEST_REASON || reason.chars().any(|c| c.is_control() && c != '\n') {
        let detail = format!("`reason` is at most {LONGEST_REASON} characters, without control characters.");
        return Err(ApiError::unprocessable("invalid_reason", detail));
    }
    let approval = find(&app, scope.org_id, &id).await?;
    if approval.four_eyes {
        four_eyes(&app, &scope, &approval).await?;
    }
    let approve = decide.decision == Decision::Approve;
    let ruling = Ruling { approve, by: &scope.actor, reason };
    let (org_id, now) = (scope.org_id, app.clock.now());
    let decided = app.store.approvals().decide(org_id, approval.approval_id, ruling, now).await?;
    let approval = find(&app, org_id, &id).await?;
    if !decided {
        return Err(ApiError::conflict("already_decided", what_was_decided(&approval)));
    }
    app.people.decided.notify_waiters();
    let change = Change::new(EventType::ApprovalDecided, &scope).agent(&approval.agent_id);
    let mut details = details(&approval);
    details["decision"] = if approve { "approve" } else { "deny" }.into();
    details["reason"] = reason.into();
    app.changed(change.details(details)).await?;
    whole(&app, &approval)
}

fn whole(app: &App, approval: &Approval) -> Result<Json<WholeQuestion>, ApiError> {
    let (question, mut asked) = Question::of(app, approval);
    Ok(Json(WholeQuestion {
        question,
        request: asked["request"].take(),
        tool_call: asked["tool_call"].take(),
    }))
}

/// Who asked does not decide, and who decides has a name.
async fn four_eyes(app: &App, scope: &Scope, approval: &Approval) -> Result<(), ApiError> {
    let refuse = |detail: &str| Err(ApiError::new(StatusCode::FORBIDDEN, "four_eyes", detail));
    let Some(person) = &scope.person else {
        return refuse(
            "This needs four eyes: sign in as a person to decide it; the admin key does not say who holds it.",
        );
    };
    let owner = app.store.agents().get(scope.org_id, approval.agent_uuid).await?.and_then(|a| a.owner_email);
    let is_me = |name: &Option<String>| {
        name.as_ref().is_some_and(|name| name.trim().eq_ignore_ascii_case(person.email.trim()))
    };
    if is_me(&approval.requester) {
        return refuse(
            "This needs four eyes: the call was made on your behalf, so somebody else must decide it.",
        );
    }
    if is_me(&owner) {
        return refuse("This needs four eyes: the agent is yours, so somebody else must decide it.");
    }
    Ok(())
}

/// One of an organisation's approvals.
pub(super) async fn find(app: &App, org_id: Uuid, id: &str) -> Result<Approval, ApiError> {
    let id: Uuid = id.parse().map_err(|_| ApiError::not_found())?;
    app.store.approvals().get(org_id, id, app.clock.now()).await?.ok_or_else(ApiError::not_found)
}

/// What became of it, in a sentence.
pub(super) fn what_was_decided(approval: &Approval) -> String {
    let by = approval.decided_by.as_deref().unwrap_or("somebody");
    let at = approval.decided_at.map(|at| format!(" at {at}")).unwrap_or_default();
    match approval.state {
        ApprovalState::Pending => "Nobody has decided it yet.".to_owned(),
        ApprovalState::Approved if approval.used_at.is_some() => {
            format!("It was approved by {by}{at}, and has been used.")
        }
        ApprovalState::Approved => format!("It was approved by {by}{at}."),
        ApprovalState::Denied => format!("It was denied by {by}{at}."),
        ApprovalState::TimedOut => {
            format!("Its time was over at {}, which means no; the agent can ask again.", approval.expires_at)
        }
        ApprovalState::Cancelled => "The agent has taken it back.".to_owned(),
    }
}

/// What the audit log keeps of it. No content.
pub(crate) fn details(approval: &Approval) -> Value {
    json!({
        "approval": approval.approval_id, "call": approval.call_id, "subject": ApprovalView::of(approval).subject,
        "tool": approval.tool, "rule": approval.rule, "fingerprint": approval.fingerprint,
        "expires_at": approval.expires_at.to_string(), "requester": approval.requester,
    })
}
