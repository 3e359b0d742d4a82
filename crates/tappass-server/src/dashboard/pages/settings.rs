//! `/app/settings`: what an organisation sets for all its people and agents.

use askama::Template;
use axum::{extract::State, response::Response};
use tappass_detect::AllowEntry;
use tappass_model::Role;
use tappass_pipeline::allow::entry_id;
use tappass_store::OrgTerms;

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    kept::{MOST_DAYS, Payloads},
    routes::payloads::kept_now,
    state::App,
};

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    shell: Shell,
    governs: bool,
    terms: OrgTerms,
    payloads: Payloads,
    payloads_version: i64,
    kept: u64,
    most_days: u16,
    allowed: Vec<(String, AllowEntry)>,
    allowed_version: i64,
    /// How the licence stands; whoever runs the platform is told.
    license: Option<String>,
}

/// The settings; forms for who governs.
///
/// # Errors
/// 404 when the organisation is gone.
pub async fn show(State(app): State<App>, viewer: Viewer) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let terms = app.store.orgs().terms(org).await?.ok_or_else(ApiError::not_found)?;
    let payloads = app.kept.settings.read(org).await?;
    let allowed = app.allowlists.read(org).await?;
    let license = viewer.may(Role::PlatformAdmin);
    let license =
        if license { Some(app.license.told(app.agent_count().await, app.clock.now())) } else { None };
    page::show(&Settings {
        shell: viewer.shell("/app/settings"),
        governs: viewer.governs(),
        terms,
        payloads_version: payloads.version,
        payloads: payloads.value,
        kept: kept_now(&app, org).await?,
        most_days: MOST_DAYS,
        allowed_version: allowed.version,
        allowed: allowed.value.entries().iter().map(|entry| (entry_id(entry), entry.clone())).collect(),
        license,
    })
}
