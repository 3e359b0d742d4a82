//! How the gateway is, for load balancers and for people; and its figures.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{error::ApiError, metrics::Report, state::App};

/// `GET /health`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// `healthy`.
    status: &'static str,
    /// `major.minor.patch`.
    version: &'static str,
    /// Where data is kept: `memory`, `local`, `postgresql`, `supabase`.
    storage: &'static str,
    /// Registered agents, of all organisations; null while the database does not answer.
    agents: Option<u64>,
    /// Since the start.
    uptime_seconds: u64,
}

/// `GET /health/live`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Live {
    /// `alive`.
    status: &'static str,
}

/// `GET /health/ready`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ready {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// Each part: `ok`, `off`, or what is wrong.
    checks: BTreeMap<&'static str, String>,
}

/// `GET /health`
pub async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "healthy",
        version: env!("CARGO_PKG_VERSION"),
        storage: app.config.storage.health_name(),
        agents: app.agent_count().await,
        uptime_seconds: app.life.started.elapsed().as_secs(),
    })
}

/// `GET /health/live`
pub async fn live() -> Json<Live> {
    Json(Live { status: "alive" })
}

/// `GET /health/ready`
pub async fn ready(State(app): State<App>) -> Response {
    let checks = app.checks().await;
    let ready = is_ready(&checks);
    app.life.ready_once(ready);
    answer(ready, checks)
}

/// `GET /health/startup`: once ready, it stays so; what fails later is `ready`'s to say.
pub async fn startup(State(app): State<App>) -> Response {
    let checks = app.checks().await;
    answer(app.life.ready_once(is_ready(&checks)), checks)
}

/// Without SPIRE the gateway does its work for agents with keys: taking it out of service would end that too.
fn is_ready(checks: &BTreeMap<&'static str, String>) -> bool {
    checks.iter().all(|(name, check)| *name == "spire" || check == "ok" || check == "off")
}

fn answer(ready: bool, checks: BTreeMap<&'static str, String>) -> Response {
    let (code, status) =
        if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    (code, Json(Ready { status, checks })).into_response()
}

/// `GET /metrics`
pub async fn prometheus(State(app): State<App>) -> Result<Response, ApiError> {
    // Where the database does not answer, the other figures are wanted all the more.
    if let Ok(pending) = app.store.approvals().pending(app.clock.now()).await {
        app.metrics.approvals_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
    }
    let text = app.metrics.to_text().map_err(ApiError::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// `GET /admin/metrics`
pub async fn metrics(State(app): State<App>) -> Json<Report> {
    Json(app.metrics.report())
}
