//! `/app/sessions`: conversations of agents, and what each has left behind.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use serde::Deserialize;
use tappass_audit::Event;
use tappass_store::{AgentSession, AuditFilter, AuditOrder, PageRequest, RecentSession};
use uuid::Uuid;

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
        told::Told,
    },
    error::ApiError,
    params::Params,
    routes::sessions::{Activity, activity_of},
    state::App,
};

/// How many sessions, and how many events of one, a page shows.
const SESSIONS: u32 = 100;
const EVENTS: u32 = 200;

/// The query of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsQuery {
    /// Of this agent.
    agent_id: Option<String>,
    /// Of events numbered up to this.
    before: Option<u64>,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct Sessions {
    shell: Shell,
    agents: Vec<String>,
    agent_id: String,
    sessions: Vec<RecentSession>,
    /// Where the older ones begin.
    older: Option<u64>,
}

#[derive(Template)]
#[template(path = "session.html")]
struct SessionPage {
    shell: Shell,
    session: String,
    agent_id: String,
    made: Option<AgentSession>,
    activity: Option<Activity>,
    rows: Vec<Told>,
    turns: u32,
    tokens: u64,
    cost: f64,
    began: Option<Timestamp>,
    more: Option<String>,
}

impl SessionPage {
    /// What its agent calls it.
    fn name(&self) -> Option<&str> {
        self.made.as_ref().and_then(|made| made.name.as_deref())
    }
}

/// The list: sessions with events lately.
///
/// # Errors
/// 400 for a query that is none.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Params(query): Params<SessionsQuery>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let agent_id = query.agent_id.filter(|id| !id.is_empty());
    let (sessions, older) =
        app.store.audit().recent_sessions(org, agent_id.as_deref(), query.before, SESSIONS).await?;
    page::show(&Sessions {
        shell: viewer.shell("/app/sessions"),
        agents: super::agent_ids(&app, org).await?,
        agent_id: agent_id.unwrap_or_default(),
        sessions,
        older,
    })
}

/// One session with its events.
///
/// # Errors
/// 404 for a session without events that no agent has made.
pub async fn session(
    State(app): State<App>,
    viewer: Viewer,
    Path(session): Path<String>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let filter = AuditFilter { session_id: Some(session.clone()), ..AuditFilter::default() };
    let page = PageRequest { limit: EVENTS, cursor: None };
    let found = app.store.audit().list(org, &filter, AuditOrder::NewestFirst, &page).await?;
    let made = match session.parse::<Uuid>() {
        Ok(id) => app.store.agent_sessions().get(org, id).await?,
        Err(_) => None,
    };
    let first = found.items.iter().find_map(|row| row.agent_id.clone());
    let agent_id =
        made.as_ref().map(|made| made.agent_id.clone()).or(first).ok_or_else(ApiError::not_found)?;
    let activity = match app.store.agents().find(org, &agent_id).await? {
        Some(agent) => activity_of(&app, org, agent.agent_uuid, &session).await,
        None => None,
    };
    let events: Vec<Event> =
        found.items.iter().filter_map(|row| serde_json::from_str(&row.body).ok()).collect();
    page::show(&SessionPage {
        shell: viewer.shell("/app/sessions"),
        turns: events.iter().filter_map(|event| event.turn_index).max().unwrap_or_default(),
        tokens: events.iter().filter_map(|event| event.tokens).map(|tokens| tokens.total()).sum(),
        cost: events.iter().filter_map(|event| event.cost_usd).sum(),
        began: found.items.last().map(|row| row.ts),
        rows: found.items.iter().map(Told::of).collect(),
        more: found.next,
        session,
        agent_id,
        made,
        activity,
    })
}
