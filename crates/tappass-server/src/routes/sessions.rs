//! Sessions that agents make by name, before their first call. A session's turns, labels and risk are what its calls
//! leave, as of every session; here stands only who made it and what it is called.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tappass_model::{Classification, Taint, clock::rfc3339};
use tappass_pipeline::{SESSION_RISK, session_key};
use tappass_store::AgentSession;
use uuid::Uuid;

use super::agents::text;
use crate::{
    body,
    call::{
        governance::pipeline_uuid,
        identify::{pipeline_of, session_scope},
    },
    caller::Agent,
    error::ApiError,
    params::{ListQuery, Listed, Params},
    scope::Scope,
    state::{App, KEPT_SESSIONS},
};

/// Most bytes of metadata, as JSON.
const MAX_METADATA: usize = 4096;

/// `POST /sessions`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewSession {
    /// What people call it.
    name: Option<String>,
    /// What the agent says of it; 4 KB at most. Kept as it is: no place for secrets.
    metadata: Map<String, Value>,
}

/// A new session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Created {
    /// What calls name it by: `X-TapPass-Session`.
    id: Uuid,
    /// The agent that made it; to others the id means nothing.
    agent_uuid: Uuid,
    /// Follows from the hash of the agent's pipeline (UUIDv8): another version of it has another.
    pipeline_uuid: Uuid,
    /// Its events.
    audit_url: String,
}

/// `PATCH /sessions/{session}`: what is not named stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionChange {
    /// What people call it.
    name: Option<String>,
    /// Replaces all metadata.
    metadata: Option<Map<String, Value>>,
    /// True ends it: it takes no more calls. An end stays.
    ended: bool,
}

/// A session that an agent made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionView {
    id: Uuid,
    agent_id: String,
    agent_uuid: Uuid,
    name: Option<String>,
    metadata: Value,
    created_at: String,
    ended_at: Option<String>,
}

/// A session with what is remembered of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionDetail {
    #[serde(flatten)]
    session: SessionView,
    /// Null before its first call, and once 30 minutes of silence (or a restart) have let it be forgotten.
    activity: Option<Activity>,
}

/// What a session's calls have left, as far as the steps of their pipelines remember it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Activity {
    /// How many calls it has had.
    pub(crate) turns: u32,
    /// When the last one came.
    pub(crate) last_seen: String,
    /// What it carries: `PII`, `SECRET`, `EXTERNAL`.
    pub(crate) taints: Vec<&'static str>,
    /// The most sensitive level seen.
    pub(crate) classification: Classification,
    /// Points of risk that are left.
    pub(crate) risk: f64,
    /// USD spent.
    pub(crate) spent_usd: f64,
    /// Tokens used, read and written together.
    pub(crate) tokens: u64,
}

impl From<AgentSession> for SessionView {
    fn from(s: AgentSession) -> Self {
        Self {
            id: s.session_id,
            agent_id: s.agent_id,
            agent_uuid: s.agent_uuid,
            name: s.name,
            metadata: s.metadata,
            created_at: rfc3339(s.created_at),
            ended_at: s.ended_at.map(rfc3339),
        }
    }
}

/// `POST /sessions`
pub async fn create(
    State(app): State<App>,
    Agent(caller): Agent,
    body::Json(new): body::Json<NewSession>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let pipeline = pipeline_of(&app, &caller).await?;
    let session = AgentSession {
        org_id: caller.org_id,
        session_id: app.ids.uuid(),
        agent_uuid: caller.agent_uuid,
        agent_id: caller.agent_id.clone(),
        name: new.name.map(|name| text("name", name, 200)).transpose()?,
        metadata: metadata(new.metadata)?,
        created_at: app.clock.now(),
        ended_at: None,
    };
    if !app.store.agent_sessions().create(&session).await? {
        return Err(ApiError::not_found());
    }
    let created = Created {
        id: session.session_id,
        agent_uuid: session.agent_uuid,
        pipeline_uuid: pipeline_uuid(&pipeline.hash),
        audit_url: format!(
            "{}/audit?agent_id={}&session_id={}",
            app.base_url(),
            session.agent_id,
            session.session_id
        ),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// `PATCH /sessions/{session}`: of the agent's own; another's is what does not exist.
pub async fn change(
    State(app): State<App>,
    Agent(caller): Agent,
    Path(id): Path<String>,
    body::Json(change): body::Json<SessionChange>,
) -> Result<Json<SessionView>, ApiError> {
    let mut session = find(&app, caller.org_id, &id).await?;
    if session.agent_uuid != caller.agent_uuid {
        return Err(ApiError::not_found());
    }
    if let Some(name) = change.name {
        session.name = Some(text("name", name, 200)?);
    }
    if let Some(new) = change.metadata {
        session.metadata = metadata(new)?;
    }
    if change.ended {
        session.ended_at = session.ended_at.or_else(|| Some(app.clock.now()));
        let scope = session_scope(caller.org_id, caller.agent_uuid);
        app.services.state.end_session(&scope, &session.session_id.to_string(), KEPT_SESSIONS).await;
    }
    if !app.store.agent_sessions().update(&session).await? {
        return Err(ApiError::not_found());
    }
    Ok(Json(session.into()))
}

/// `GET /sessions`
pub async fn list(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<SessionView>>, ApiError> {
    let page = app.store.agent_sessions().list(scope.org_id, &query.page()).await?;
    Ok(Json(Listed::of(page, SessionView::from)))
}

/// `GET /sessions/{session}`
pub async fn show(
    State(app): State<App>,
    scope: Scope,
    Path(id): Path<String>,
) -> Result<Json<SessionDetail>, ApiError> {
    let session = find(&app, scope.org_id, &id).await?;
    let activity = activity(&app, &session).await;
    Ok(Json(SessionDetail { session: session.into(), activity }))
}

async fn find(app: &App, org_id: Uuid, id: &str) -> Result<AgentSession, ApiError> {
    let id: Uuid = id.parse().map_err(|_| ApiError::not_found())?;
    app.store.agent_sessions().get(org_id, id).await?.ok_or_else(ApiError::not_found)
}

async fn activity(app: &App, session: &AgentSession) -> Option<Activity> {
    activity_of(app, session.org_id, session.agent_uuid, &session.session_id.to_string()).await
}

/// What is remembered of an agent's session, by whatever name.
pub(crate) async fn activity_of(app: &App, org_id: Uuid, agent_uuid: Uuid, id: &str) -> Option<Activity> {
    let state = &app.services.state;
    let last = state.last_turn(&session_scope(org_id, agent_uuid), id).await?;
    let memory = state.recall(&session_key(org_id, agent_uuid, id)).await;
    Some(Activity {
        turns: last.turns,
        last_seen: rfc3339(last.at),
        taints: memory.taints.iter().map(|taint: &Taint| taint.as_str()).collect(),
        classification: memory.high_water,
        risk: memory.risks.get(SESSION_RISK).map_or(0.0, |risk| risk.left(app.clock.now())),
        spent_usd: memory.spent_usd,
        tokens: memory.tokens,
    })
}

fn metadata(given: Map<String, Value>) -> Result<Value, ApiError> {
    let value = Value::Object(given);
    if value.to_string().len() > MAX_METADATA {
        let detail = format!("`metadata` is longer than {MAX_METADATA} bytes of JSON.");
        return Err(ApiError::unprocessable("invalid_metadata", detail));
    }
    Ok(value)
}
