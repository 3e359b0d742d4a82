//! Whether and how long an organisation keeps what its calls say.

use axum::{Json, extract::State, response::IntoResponse};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tappass_audit::EventType;
use tappass_store::KeptFilter;
use uuid::Uuid;

use crate::{
    body,
    error::ApiError,
    kept::{MOST_DAYS, Payloads, SETTING},
    params::{check_match, etag},
    record::Change,
    scope::Scope,
    state::App,
};

/// The setting, and what is there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PayloadsView {
    /// How many days; 0: nothing is kept.
    keep_days: u16,
    /// The share of calls that is kept, 0 to 1.
    sample: f64,
    /// How many calls are kept now.
    kept: u64,
    /// Counts changes; 0 when nothing was ever set.
    version: i64,
}

/// What was forgotten.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Forgotten {
    /// How many calls.
    forgotten: u64,
}

/// `GET /settings/payloads`
pub async fn show(State(app): State<App>, scope: Scope) -> Result<impl IntoResponse, ApiError> {
    let known = app.kept.settings.read(scope.org_id).await?;
    view(&app, &scope, known.version, known.value).await
}

/// `PUT /settings/payloads`: what is kept already is not kept longer than it says.
pub async fn put(
    State(app): State<App>,
    scope: Scope,
    headers: HeaderMap,
    body::Json(new): body::Json<Payloads>,
) -> Result<impl IntoResponse, ApiError> {
    if new.keep_days > MOST_DAYS || !(0.0..=1.0).contains(&new.sample) {
        let detail = format!("`keep_days` is at most {MOST_DAYS}, `sample` is between 0 and 1.");
        return Err(ApiError::unprocessable("invalid_payloads", detail));
    }
    let old = app.kept.settings.read(scope.org_id).await?;
    check_match(&headers, old.version)?;
    let body = json!(new).to_string();
    let version = app.kept.settings.write(scope.org_id, &body, old.version, app.clock.now()).await?;
    app.store.kept_calls().shorten(scope.org_id, new.life()).await?;
    let details = json!({"setting": SETTING, "version": version, "from": old.value, "to": new});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    view(&app, &scope, version, new).await
}

/// `DELETE /settings/payloads/kept`: forgets all that is kept, at once.
pub async fn forget(State(app): State<App>, scope: Scope) -> Result<Json<Forgotten>, ApiError> {
    let forgotten = app.store.kept_calls().forget_all(scope.org_id).await?;
    let details = json!({"setting": SETTING, "forgotten": forgotten});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(Json(Forgotten { forgotten }))
}

async fn view(
    app: &App,
    scope: &Scope,
    version: i64,
    payloads: Payloads,
) -> Result<impl IntoResponse + use<>, ApiError> {
    let kept = kept_now(app, scope.org_id).await?;
    let Payloads { keep_days, sample } = payloads;
    Ok((etag(version), Json(PayloadsView { keep_days, sample, kept, version })))
}

/// How many calls an organisation keeps now.
pub(crate) async fn kept_now(app: &App, org_id: Uuid) -> Result<u64, ApiError> {
    let (all, now) = (KeptFilter { since: jiff::Timestamp::MIN, ..KeptFilter::default() }, app.clock.now());
    let mut kept = 0;
    for kind in ["llm_call", "tool_call"] {
        kept += app.store.kept_calls().count(org_id, kind, &all, now).await?;
    }
    Ok(kept)
}
