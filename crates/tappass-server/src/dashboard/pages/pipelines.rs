//! `/app/pipelines`: what can govern agents, and whom it governs.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use tappass_pipeline::Pipeline;
use tappass_store::PageRequest;

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    routes::pipelines::{compiled, users},
    state::App,
};

#[derive(Template)]
#[template(path = "pipelines.html")]
struct Pipelines {
    shell: Shell,
    own: Vec<Line>,
    builtin: Vec<Line>,
    names: Vec<String>,
    may_write: bool,
}

struct Line {
    pipeline: Arc<Pipeline>,
    agents: Vec<String>,
}

/// The list: the organisation's own first.
///
/// # Errors
/// What keeps the database from answering.
pub async fn show(State(app): State<App>, viewer: Viewer) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let mut agents = users(&app, org).await?;
    let stored = app.store.pipelines().list(org, &PageRequest { limit: 500, cursor: None }).await?;
    let mut own = Vec::with_capacity(stored.items.len());
    for version in stored.items {
        let pipeline = compiled(&app, org, &version.name).await?;
        own.push(Line { agents: agents.remove(&version.name).unwrap_or_default(), pipeline });
    }
    let presets = app.pipelines.presets().await.map_err(ApiError::internal)?;
    let names = presets.iter().map(|preset| preset.name.clone()).collect();
    let line = |pipeline: Arc<Pipeline>| Line {
        agents: agents.remove(&pipeline.name).unwrap_or_default(),
        pipeline,
    };
    let builtin = presets.into_iter().map(line).collect();
    let (shell, may_write) = (viewer.shell("/app/pipelines"), viewer.governs());
    page::show(&Pipelines { shell, own, builtin, names, may_write })
}
