//! `/app/agents/{agent}`: one agent, its keys, and all that is set for it.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use tappass_model::{Classification, Mode};
use tappass_store::{Agent, AgentKey, AuditFilter, AuditOrder, KeyKind, PageRequest};

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
        told::Told,
    },
    error::ApiError,
    routes::agents::find,
    state::App,
};

/// How many of its events are shown.
const EVENTS: u32 = 12;

#[derive(Template)]
#[template(path = "agent.html")]
struct AgentPage {
    shell: Shell,
    agent: Agent,
    keys: Vec<AgentKey>,
    now: Timestamp,
    pipelines: Vec<String>,
    modes: [Mode; Mode::ALL.len()],
    levels: [Classification; Classification::ALL.len()],
    rows: Vec<Told>,
    base_url: String,
    /// What the organisation locks for every agent: `flag=value`.
    locks: Vec<String>,
    governs: bool,
    develops: bool,
}

impl AgentPage {
    /// Whether this is the highest level of its tokens.
    fn is_highest(&self, level: &Classification) -> bool {
        self.agent.settings.scope.as_ref().is_some_and(|scope| scope.max_level == Some(*level))
    }

    /// Whether a key works.
    fn works(&self, key: &AgentKey) -> bool {
        key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > self.now)
    }
}

/// The agent's page, by its id or its UUID.
///
/// # Errors
/// 404 for an agent that is not there, or not theirs.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(agent): Path<String>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let agent = find(&app, &viewer.scope, &agent).await?;
    let mut keys = app.store.keys().list(org, agent.agent_uuid).await?;
    // What works stands first, the newest of it on top.
    keys.sort_by_key(|key| (key.revoked_at.is_some(), std::cmp::Reverse(key.created_at)));
    let filter = AuditFilter { agent_id: Some(agent.agent_id.clone()), ..AuditFilter::default() };
    let page = PageRequest { limit: EVENTS, cursor: None };
    let events = app.store.audit().list(org, &filter, AuditOrder::NewestFirst, &page).await?;
    let locks = app.org_flags.read(org).await?.value.locks.to_map();
    page::show(&AgentPage {
        shell: viewer.shell("/app/agents"),
        keys,
        now: app.clock.now(),
        pipelines: super::agents::pipelines(&app, org).await?,
        modes: Mode::ALL,
        levels: Classification::ALL,
        rows: events.items.iter().map(Told::of).collect(),
        base_url: app.base_url(),
        locks: locks.into_iter().map(|(flag, value)| format!("{flag}={value}")).collect(),
        governs: viewer.governs(),
        develops: viewer.develops(),
        agent,
    })
}
