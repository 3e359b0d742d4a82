//! `/app/agents`: the agents, and what governs each.

use askama::Template;
use axum::{extract::State, response::Response};
use tappass_store::{Agent, PageRequest};

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    params::{ListQuery, Params},
    state::App,
};

#[derive(Template)]
#[template(path = "agents.html")]
struct Agents {
    shell: Shell,
    agents: Vec<Agent>,
    next: Option<String>,
    pipelines: Vec<String>,
    may_register: bool,
    base_url: String,
}

/// The list.
///
/// # Errors
/// 400 for a cursor that is none.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Params(query): Params<ListQuery>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let page = app.store.agents().list(org, &query.page()).await?;
    page::show(&Agents {
        shell: viewer.shell("/app/agents"),
        agents: page.items,
        next: page.next,
        pipelines: pipelines(&app, org).await?,
        may_register: viewer.develops(),
        base_url: app.base_url(),
    })
}

/// What an agent may be governed by: the presets, and the organisation's own.
pub(super) async fn pipelines(app: &App, org: uuid::Uuid) -> Result<Vec<String>, ApiError> {
    let own = app.store.pipelines().list(org, &PageRequest { limit: 500, cursor: None }).await?;
    let mut names: Vec<String> = tappass_pipeline::compile::builtin_names().map(str::to_owned).collect();
    names.extend(own.items.into_iter().map(|pipeline| pipeline.name));
    names.dedup();
    Ok(names)
}
