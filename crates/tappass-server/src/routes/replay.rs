//! Past traffic through a changed pipeline.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Deserialize;
use tappass_audit::EventType;
use tappass_pipeline::{Pipeline, name_in};
use tappass_store::PageRequest;
use uuid::Uuid;

use super::pipelines::{compiled, failed};
use crate::{
    body,
    error::ApiError,
    pipelines::DEFAULT,
    record::Change,
    replay::{MOST_CALLS, Replay, Replayed, replay},
    scope::Scope,
    state::App,
};

/// How far back unless said otherwise: seven days.
const WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// `POST /pipelines/replay`. Either `pipeline` or `name`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// The changed pipeline: its text, YAML or JSON.
    pipeline: Option<String>,
    /// A pipeline that is there, by its name; with `pipeline` what the text is called.
    name: Option<String>,
    /// An older version of it.
    version: Option<i64>,
    /// Calls of this agent only. Else of the agents that use the pipeline of this name, or of all where none does.
    agent_id: Option<String>,
    /// Calls from this time on, RFC 3339; else of the last seven days.
    since: Option<String>,
    /// The newest so many; 1,000 unless said otherwise, and at most.
    limit: Option<u32>,
}

/// `POST /pipelines/replay`
pub async fn run(
    State(app): State<App>,
    scope: Scope,
    body::Json(asked): body::Json<ReplayRequest>,
) -> Result<Json<Replayed>, ApiError> {
    let now = app.clock.now();
    let since = match &asked.since {
        Some(text) => text.parse().map_err(|_| {
            let detail = "`since` is not a time like 2026-11-22T09:30:00Z.";
            ApiError::unprocessable("invalid_body", detail)
        })?,
        None => now.checked_sub(WINDOW).unwrap_or_default(),
    };
    let limit = asked.limit.unwrap_or(MOST_CALLS);
    if !(1..=MOST_CALLS).contains(&limit) {
        let detail = format!("`limit` is between 1 and {MOST_CALLS}.");
        return Err(ApiError::unprocessable("invalid_body", detail));
    }
    let pipeline = pipeline(&app, scope.org_id, &asked).await?;
    let agents = match &asked.agent_id {
        Some(agent) => {
            let found = app.store.agents().find(scope.org_id, agent).await?;
            Some(vec![found.ok_or_else(ApiError::not_found)?.agent_id])
        }
        None => users(&app, scope.org_id, &pipeline.name).await?,
    };
    let replayed = replay(&app, scope.org_id, &Replay { pipeline, agents, since, limit }).await?;
    if replayed.read_any() {
        let read = Change::new(EventType::PayloadsRead, &scope).details(replayed.for_the_record());
        app.changed(read).await?;
    }
    Ok(Json(replayed))
}

async fn pipeline(app: &App, org_id: Uuid, asked: &ReplayRequest) -> Result<Arc<Pipeline>, ApiError> {
    let invalid = |detail: &str| ApiError::unprocessable("invalid_body", detail);
    match (&asked.pipeline, &asked.name, asked.version) {
        (Some(_), _, Some(_)) => Err(invalid("`version` is of a pipeline that is there: give `name` alone.")),
        (None, None, _) => Err(invalid("Give `pipeline` (its text) or `name`.")),
        (Some(text), name, None) => {
            let name = name.clone().or_else(|| name_in(text)).unwrap_or_else(|| DEFAULT.to_owned());
            app.pipelines.compile(&name, 1, text.clone()).await.map_err(failed)
        }
        (None, Some(name), None) => compiled(app, org_id, name).await,
        (None, Some(name), Some(version)) => {
            let stored = app.store.pipelines().version(org_id, name, version).await?;
            let stored = stored.ok_or_else(ApiError::not_found)?;
            app.pipelines.compile(name, version, stored.yaml).await.map_err(failed)
        }
    }
}

/// The agents under a pipeline; `None` where there are none, and nobody to prefer.
async fn users(app: &App, org_id: Uuid, pipeline: &str) -> Result<Option<Vec<String>>, ApiError> {
    let (mut page, mut users) = (PageRequest { limit: 500, cursor: None }, Vec::new());
    loop {
        let agents = app.store.agents().list(org_id, &page).await?;
        users
            .extend(agents.items.into_iter().filter(|a| a.settings.pipeline == pipeline).map(|a| a.agent_id));
        match agents.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(Some(users).filter(|users| !users.is_empty())),
        }
    }
}
