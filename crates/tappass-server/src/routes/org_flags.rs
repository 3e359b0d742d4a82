//! What an organisation locks of flags for all its agents, and what it sets as defaults.

use axum::{Json, extract::State, response::IntoResponse};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tappass_audit::EventType;
use tappass_model::{AgentSettings, Flags, OrgFlags};
use tappass_pipeline::plan;
use uuid::Uuid;

use crate::{
    body,
    error::ApiError,
    params::{check_match, etag},
    record::Change,
    routes::pipelines::users,
    scope::Scope,
    state::App,
};

/// The name of the document in the store.
pub const SETTING: &str = "flags";

/// The locks and defaults, and which version of them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OrgFlagsView {
    #[serde(flatten)]
    flags: OrgFlags,
    /// Counts changes; 0 when nothing was ever set.
    version: i64,
}

/// As it stands in the store.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(body: &str) -> Result<OrgFlags, String> {
    serde_json::from_str(body).map_err(|e| e.to_string())
}

/// `GET /settings/flags`
pub async fn show(State(app): State<App>, scope: Scope) -> Result<impl IntoResponse, ApiError> {
    let known = app.org_flags.read(scope.org_id).await?;
    Ok(view(known.version, known.value))
}

/// `PUT /settings/flags`: the next call of every agent honours it.
pub async fn put(
    State(app): State<App>,
    scope: Scope,
    headers: HeaderMap,
    body::Json(new): body::Json<OrgFlags>,
) -> Result<impl IntoResponse, ApiError> {
    if new.defaults.mode.is_some() {
        let detail = "`mode` cannot be a default: each agent has its own. It can be a lock.";
        return Err(ApiError::unprocessable("invalid_flags", detail));
    }
    let old = app.org_flags.read(scope.org_id).await?;
    check_match(&headers, old.version)?;
    kept_by_all(&app, scope.org_id, &new).await?;
    let body = json!(new).to_string();
    let version = app.org_flags.write(scope.org_id, &body, old.version, app.clock.now()).await?;
    let details = json!({"setting": SETTING, "version": version, "from": old.value, "to": new});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(view(version, new))
}

fn view(version: i64, flags: OrgFlags) -> impl IntoResponse + use<> {
    (etag(version), Json(OrgFlagsView { flags, version }))
}

/// Refuses a flag that the pipeline of some agent has no step for: its calls would all be refused with 422.
async fn kept_by_all(app: &App, org_id: Uuid, new: &OrgFlags) -> Result<(), ApiError> {
    for (pipeline, agents) in users(app, org_id).await? {
        // A pipeline that cannot be read refuses its calls already, and says so.
        let Ok(compiled) = app.pipelines.get(org_id, &pipeline).await else { continue };
        if let Err(error) = plan(&Flags::default(), &AgentSettings::default(), new, &compiled) {
            let under: Vec<String> = agents.into_iter().take(5).collect();
            let detail = format!("{error}; it governs {}.", under.join(", "));
            return Err(ApiError::unprocessable("invalid_flags", detail));
        }
    }
    Ok(())
}
