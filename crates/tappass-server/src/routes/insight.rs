//! What the dashboard shows: the figures, what enforce would have refused, and what people say of it.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_audit::EventType;
use tappass_store::{Mark, MarkRow, Stopped};
use uuid::Uuid;

use super::agents::{find, text};
use crate::{
    body,
    error::ApiError,
    insight::{
        WindowView,
        overview::{Overview, overview},
        proposal::{Proposal, proposals},
        readiness::{EnforcePreview, MarkView, Readiness, preview, readiness},
        score,
        seen::Seen,
    },
    params::{Listed, Params},
    record::Change,
    scope::Scope,
    state::App,
};

/// Examples for each rule and agent, unless said otherwise.
const EXAMPLES: u32 = 3;

/// The query of `GET /insight/overview`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OverviewQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// Of this agent only.
    pub(crate) agent_id: Option<String>,
    /// The last hours or days: `24h`, `7d` (unless said otherwise), `30d`; 90d at most.
    pub(crate) window: Option<String>,
}

/// The query of `GET /insight/readiness`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReadinessQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// Of this agent only.
    agent_id: Option<String>,
    /// The last hours or days: `24h`, `7d` (unless said otherwise), `30d`; 90d at most.
    window: Option<String>,
    /// Examples for each rule and agent: 3 unless said otherwise, 50 at most.
    examples: Option<u32>,
}

/// The query of `GET /insight/readiness/{agent}/enforce`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PreviewQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// The last hours or days: `7d` unless said otherwise; 90d at most.
    window: Option<String>,
}

/// `PUT /insight/marks/{event}`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMark {
    /// The step that found it, or refused for it.
    step: String,
    /// What it found; may be left out where it found one kind.
    kind: Option<String>,
    /// `right` or `false_alarm`.
    #[schemars(with = "String")]
    mark: Mark,
    /// Why.
    note: Option<String>,
}

/// The query of `DELETE /insight/marks/{event}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnmarkQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// Of this step only.
    step: Option<String>,
    /// Of this kind only.
    kind: Option<String>,
}

/// What a step found of one kind in a call, what somebody said of it, and what that proposes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Marked {
    pub(crate) event_id: Uuid,
    pub(crate) agent_id: String,
    pub(crate) step: String,
    pub(crate) kind: String,
    pub(crate) score: Option<f64>,
    pub(crate) threshold: Option<f64>,
    /// The first finding, masked.
    pub(crate) sample: String,
    /// Null: nobody has said anything.
    pub(crate) mark: Option<MarkView>,
    /// For a false alarm: what would have let it pass.
    pub(crate) proposals: Vec<Proposal>,
}

/// `GET /insight/overview`
pub async fn show_overview(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<OverviewQuery>,
) -> Result<Json<Overview>, ApiError> {
    let window = WindowView::parse(query.window.as_deref(), app.clock.now())?;
    Ok(Json(overview(&app.store, scope.org_id, window, query.agent_id.as_deref()).await?))
}

/// `GET /insight/readiness`
pub async fn show_readiness(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ReadinessQuery>,
) -> Result<Json<Readiness>, ApiError> {
    let window = WindowView::parse(query.window.as_deref(), app.clock.now())?;
    let examples = query.examples.unwrap_or(EXAMPLES).min(50);
    Ok(Json(readiness(&app.store, scope.org_id, window, query.agent_id.as_deref(), examples).await?))
}

/// `GET /insight/readiness/{agent}/enforce`
pub async fn enforce(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
    Params(query): Params<PreviewQuery>,
) -> Result<Json<EnforcePreview>, ApiError> {
    let agent = find(&app, &scope, &agent).await?;
    let window = WindowView::parse(query.window.as_deref(), app.clock.now())?;
    Ok(Json(preview(&app.store, &agent, window).await?))
}

/// `GET /insight/marks/{event}`
pub async fn marks(
    State(app): State<App>,
    scope: Scope,
    Path(event): Path<String>,
) -> Result<Json<Listed<Marked>>, ApiError> {
    Ok(Json(Listed { items: marked_in(&app, &scope, &event).await?, next_cursor: None }))
}

/// What a call's steps found, how it is marked, and what false alarms propose.
///
/// # Errors
/// 404 for an event that is not there.
pub(crate) async fn marked_in(app: &App, scope: &Scope, event: &str) -> Result<Vec<Marked>, ApiError> {
    let mut items = Vec::new();
    for hit in markable(app, scope, event).await? {
        let known = app.store.insight().marks(scope.org_id, hit.event_id).await?;
        let mark = known.into_iter().find(|m| m.step == hit.step && m.kind == hit.kind);
        items.push(marked(app, scope, hit, mark).await?);
    }
    Ok(items)
}

/// `PUT /insight/marks/{event}`
pub async fn mark(
    State(app): State<App>,
    scope: Scope,
    Path(event): Path<String>,
    body::Json(new): body::Json<NewMark>,
) -> Result<Json<Marked>, ApiError> {
    let mut found = markable(&app, &scope, &event).await?;
    found.retain(|hit| hit.step == new.step && new.kind.as_ref().is_none_or(|kind| *kind == hit.kind));
    let hit = match (found.pop(), found.is_empty()) {
        (Some(hit), true) => hit,
        (None, _) => {
            let detail = "This call has no such finding; GET /insight/marks/{event} lists what it has.";
            return Err(ApiError::unprocessable("no_such_finding", detail));
        }
        _ => {
            let detail = "The step found several kinds of things in this call: name one with `kind`.";
            return Err(ApiError::unprocessable("kind_needed", detail));
        }
    };
    let mark = MarkRow {
        event_id: hit.event_id,
        step: hit.step.clone(),
        kind: hit.kind.clone(),
        ts: hit.ts,
        agent_id: hit.agent_id.clone(),
        score: hit.score,
        mark: new.mark,
        note: new.note.map(|note| text("note", note, 500)).transpose()?.filter(|note| !note.is_empty()),
        marked_by: scope.actor.clone(),
        marked_at: app.clock.now(),
    };
    app.store.insight().mark(scope.org_id, &mark).await?;
    let details = json!({"marked": {"call": mark.event_id, "step": mark.step, "kind": mark.kind, "mark": mark.mark, "note": mark.note}});
    let change = Change::new(EventType::ConfigChanged, &scope).agent(&mark.agent_id).details(details);
    app.changed(change).await?;
    Ok(Json(marked(&app, &scope, hit, Some(mark)).await?))
}

/// `DELETE /insight/marks/{event}`
pub async fn unmark(
    State(app): State<App>,
    scope: Scope,
    Path(event): Path<String>,
    Params(query): Params<UnmarkQuery>,
) -> Result<StatusCode, ApiError> {
    let event: Uuid = event.parse().map_err(|_| ApiError::not_found())?;
    let (step, kind) = (query.step.as_deref(), query.kind.as_deref());
    let taken = app.store.insight().unmark(scope.org_id, event, step, kind).await?;
    let Some(agent) = taken.first().map(|mark| mark.agent_id.clone()) else {
        return Err(ApiError::not_found());
    };
    let taken: Vec<_> =
        taken.iter().map(|m| json!({"step": m.step, "kind": m.kind, "mark": m.mark})).collect();
    let details = json!({"unmarked": {"call": event, "marks": taken}});
    app.changed(Change::new(EventType::ConfigChanged, &scope).agent(&agent).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What can be marked in a call. Read from its record, so that a call can be marked before it is counted.
async fn markable(app: &App, scope: &Scope, event: &str) -> Result<Vec<Stopped>, ApiError> {
    let event: Uuid = event.parse().map_err(|_| ApiError::not_found())?;
    let row = app.store.audit().get(scope.org_id, event).await?.ok_or_else(ApiError::not_found)?;
    Ok(Seen::of(&row).map(|seen| seen.markable()).unwrap_or_default())
}

async fn marked(app: &App, scope: &Scope, hit: Stopped, mark: Option<MarkRow>) -> Result<Marked, ApiError> {
    let window = WindowView::parse(None, app.clock.now())?;
    let wrong = mark.as_ref().is_some_and(|mark| mark.mark == Mark::FalseAlarm);
    let proposals = if wrong { proposals(app, scope.org_id, &hit, window.window).await? } else { Vec::new() };
    Ok(Marked {
        event_id: hit.event_id,
        agent_id: hit.agent_id,
        step: hit.step,
        kind: hit.kind,
        score: score(hit.score),
        threshold: score(hit.threshold),
        sample: hit.sample,
        mark: mark.as_ref().map(MarkView::of),
        proposals,
    })
}
