//! What an agent's capability tokens may cover.

use axum::{
    extract::{Path, State},
    response::IntoResponse,
};
use http::HeaderMap;
use serde_json::json;
use tappass_audit::EventType;
use tappass_model::TokenScope;

use super::agents::{AgentView, find};
use crate::{
    body,
    error::ApiError,
    params::{check_match, etag},
    record::Change,
    scope::Scope,
    state::App,
};

/// The most globs of a scope, and the longest.
const MOST: usize = 100;
const LONGEST: usize = 200;

/// `PUT /agents/{agent}/scope`
pub async fn set(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
    headers: HeaderMap,
    body::Json(new): body::Json<TokenScope>,
) -> Result<impl IntoResponse, ApiError> {
    let fits = |glob: &String| {
        !glob.is_empty() && glob.len() <= LONGEST && !glob.chars().any(|c| c.is_control() || c == ',')
    };
    if new.tools.len() > MOST || !new.tools.iter().all(fits) {
        let detail = format!(
            "`tools` are at most {MOST} names or globs of 1 to {LONGEST} bytes, without commas and control characters."
        );
        return Err(ApiError::unprocessable("invalid_scope", detail));
    }
    change(&app, &scope, &agent, &headers, Some(new)).await
}

/// `DELETE /agents/{agent}/scope`
pub async fn clear(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    change(&app, &scope, &agent, &headers, None).await
}

async fn change(
    app: &App,
    scope: &Scope,
    agent: &str,
    headers: &HeaderMap,
    new: Option<TokenScope>,
) -> Result<impl IntoResponse + use<>, ApiError> {
    let mut agent = find(app, scope, agent).await?;
    check_match(headers, agent.version)?;
    let before = std::mem::replace(&mut agent.settings.scope, new);
    let saved = app.authenticator.update_agent(&agent).await?.ok_or_else(ApiError::not_found)?;
    let changes = json!({"scope": [before, saved.settings.scope]});
    let details = json!({"agent_uuid": saved.agent_uuid, "changes": changes});
    app.changed(Change::new(EventType::ConfigChanged, scope).agent(&saved.agent_id).details(details)).await?;
    Ok((etag(saved.version), axum::Json(AgentView::from(saved))))
}
