//! The audit log: read, followed, verified, exported, sealed.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::header;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tappass_audit::{EventType, Expect, Exporter, verify_store};
use tappass_store::{AuditFilter, AuditOrder, AuditRow, PageRequest};
use uuid::Uuid;

use super::audit_csv::CsvExporter;
use crate::{
    error::ApiError,
    params::{Listed, Params},
    record::Change,
    scope::Scope,
    state::App,
};

/// The query of `GET /audit` and `GET /audit/stream`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// Of this agent.
    pub(crate) agent_id: Option<String>,
    /// Of this session.
    pub(crate) session_id: Option<String>,
    /// Of this type: `llm_call_blocked`.
    pub(crate) event_type: Option<String>,
    /// Where this was done: `block`.
    pub(crate) action: Option<String>,
    /// At or after this time, RFC 3339.
    pub(crate) since: Option<String>,
    /// Before this time, RFC 3339.
    pub(crate) until: Option<String>,
    /// With these words somewhere in the record, whatever their case. A page of such a search looks through 20,000 events
    /// and may come back with less than `limit`, and a cursor.
    pub(crate) text: Option<String>,
    /// How many at most; 100 unless said otherwise, 500 at most.
    limit: Option<u32>,
    /// `next_cursor` of the page before, or the id of the last event of a stream.
    cursor: Option<String>,
}

impl AuditQuery {
    /// Whether it names no events in particular.
    fn is_empty(&self) -> bool {
        let named = [&self.agent_id, &self.event_type, &self.action, &self.since, &self.until];
        named.into_iter().all(Option::is_none)
    }

    /// What to look for and which page of it.
    pub(crate) fn read(self) -> Result<(AuditFilter, PageRequest), ApiError> {
        if let Some(name) =
            self.event_type.as_deref().filter(|n| !EventType::ALL.iter().any(|t| t.as_str() == *n))
        {
            let shown: String = name.chars().take(40).collect();
            let valid = EventType::ALL.map(EventType::as_str).join(", ");
            return Err(ApiError::bad_request(
                "invalid_query",
                format!("{shown:?} is no event type; valid: {valid}."),
            ));
        }
        let time = |name: &str, text: Option<String>| -> Result<Option<Timestamp>, ApiError> {
            text.map(|text| text.parse()).transpose().map_err(|_| {
                let detail = format!("`{name}` is not a time like 2026-11-22T09:30:00Z.");
                ApiError::bad_request("invalid_query", detail)
            })
        };
        let filter = AuditFilter {
            agent_id: self.agent_id,
            session_id: self.session_id,
            event_type: self.event_type,
            action: self.action,
            since: time("since", self.since)?,
            until: time("until", self.until)?,
            text: self.text.filter(|words| !words.trim().is_empty()),
        };
        let cursor = self.cursor.filter(|c| !c.is_empty());
        Ok((filter, PageRequest { limit: self.limit.unwrap_or(100), cursor }))
    }
}

/// The query of `GET /audit/verify`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// A state that you have seen before, `SIZE:ROOT`: shows whether an older one was restored.
    expect: Option<String>,
}

/// The verdict on a log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verdict {
    /// Whose log.
    org_id: Uuid,
    /// The key that signs its checkpoints, base64.
    public_key: String,
    /// Whether everything fits.
    ok: bool,
    /// How many events were read.
    events: u64,
    /// How many checkpoints were read.
    checkpoints: u64,
    /// The first thing that does not fit: `{seq, event_id, reason}`.
    first_bad: Value,
    /// How many events stand after the last checkpoint.
    unsealed_tail: u64,
    /// The last checkpoint, `{size, root}`: what to `expect` the next time.
    sealed: Value,
}

/// An event: the record as it stands in the log, and its hash.
pub(crate) fn view(row: &AuditRow) -> Value {
    let mut event: Value =
        serde_json::from_str(&row.body).unwrap_or_else(|_| json!({"unreadable": row.event_id}));
    event["hash"] = json!(row.hash);
    event
}

/// `GET /audit`: the newest first.
pub async fn list(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<AuditQuery>,
) -> Result<Json<Listed<Value>>, ApiError> {
    let (filter, page) = query.read()?;
    let page = app.store.audit().list(scope.org_id, &filter, AuditOrder::NewestFirst, &page).await?;
    Ok(Json(Listed::of(page, |row| view(&row))))
}

/// `GET /audit/{event}`
pub async fn show(
    State(app): State<App>,
    scope: Scope,
    Path(event): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let event: Uuid = event.parse().map_err(|_| ApiError::not_found())?;
    let row = app.store.audit().get(scope.org_id, event).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(view(&row)))
}

/// `GET /audit/verify`
pub async fn verify(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<VerifyQuery>,
) -> Result<Json<Verdict>, ApiError> {
    let expect: Option<Expect> = query
        .expect
        .map(|text| text.parse())
        .transpose()
        .map_err(|e: String| ApiError::bad_request("invalid_query", format!("`expect`: {e}.")))?;
    let public_key = app.signer.public_key().to_owned();
    let keys = vec![public_key.clone()];
    let report = verify_store(&app.store, scope.org_id, keys, expect.into_iter().collect()).await?;
    Ok(Json(Verdict {
        org_id: scope.org_id,
        public_key,
        ok: report.ok,
        events: report.events,
        checkpoints: report.checkpoints,
        first_bad: json!(report.first_bad),
        unsealed_tail: report.unsealed_tail,
        sealed: json!(report.sealed),
    }))
}

/// The query of `GET /audit/export`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExportQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// `jsonl`, the whole log with what proves it, unless said otherwise; `csv`, a table.
    format: ExportFormat,
    /// Of a table: of this agent.
    agent_id: Option<String>,
    /// Of a table: of this type.
    event_type: Option<String>,
    /// Of a table: where this was done.
    action: Option<String>,
    /// Of a table: at or after this time, RFC 3339.
    since: Option<String>,
    /// Of a table: before this time, RFC 3339.
    until: Option<String>,
}

/// As what the log is exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// JSON lines that can be verified without this server.
    #[default]
    Jsonl,
    /// Comma-separated values (RFC 4180).
    Csv,
}

/// `GET /audit/export`: JSON lines that can be verified without this server, or a table.
pub async fn export(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ExportQuery>,
) -> Result<Response, ApiError> {
    let ExportQuery { agent_id, event_type, action, since, until, .. } = query;
    let filters = AuditQuery { agent_id, event_type, action, since, until, ..AuditQuery::default() };
    if query.format == ExportFormat::Jsonl && !filters.is_empty() {
        let detail = "Only a table (`format=csv`) can hold some of the log: what proves it needs all of it.";
        return Err(ApiError::bad_request("invalid_query", detail));
    }
    app.audit.checkpoint(scope.org_id).await?;
    // Each piece is read when the one before has been taken: memory does not grow with the log.
    let (body, kind, ending) = match query.format {
        ExportFormat::Jsonl => {
            let exporter =
                Exporter::new(app.store.clone(), scope.org_id, &app.signer, app.clock.now()).await?;
            let lines = stream::try_unfold(exporter, |mut exporter| async move {
                let chunk = exporter.next_chunk().await?;
                Ok::<_, tappass_audit::AuditError>(chunk.map(|text| (Bytes::from(text), exporter)))
            });
            (Body::from_stream(lines), "application/jsonl", "jsonl")
        }
        ExportFormat::Csv => {
            let table = CsvExporter::new(app.store.clone(), scope.org_id, filters.read()?.0);
            let rows = stream::try_unfold(table, |mut table| async move {
                let chunk = table.next_chunk().await?;
                Ok::<_, tappass_audit::AuditError>(chunk.map(|text| (Bytes::from(text), table)))
            });
            (Body::from_stream(rows), "text/csv; charset=utf-8", "csv")
        }
    };
    let file = format!("attachment; filename=\"tappass-audit-{}.{ending}\"", scope.org_id);
    let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, file)];
    Ok((headers, body).into_response())
}

/// `POST /audit/checkpoint`: signs the log as it is now.
pub async fn checkpoint(State(app): State<App>, scope: Scope) -> Result<Json<Value>, ApiError> {
    // That it was asked for is itself in the log, below the seal.
    app.changed(Change::new(EventType::Checkpoint, &scope)).await?;
    let checkpoint = app.audit.checkpoint(scope.org_id).await?;
    Ok(Json(json!(checkpoint)))
}
