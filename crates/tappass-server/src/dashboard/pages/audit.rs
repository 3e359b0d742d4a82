//! `/app/audit`: the audit trail, as it grows.

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};
use jiff::Timestamp;
use tappass_audit::EventType;
use tappass_store::AuditOrder;
use uuid::Uuid;

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
        told::Told,
    },
    error::ApiError,
    params::Params,
    routes::audit::AuditQuery,
    state::App,
};

/// Rows in one piece of the list.
const PIECE: u32 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    shell: Shell,
    query: AuditQuery,
    /// What the filters say, as it stands in addresses: empty, or beginning with `&`.
    filters: String,
    /// Those of them that a table understands.
    export_filters: String,
    agents: Vec<String>,
    types: [EventType; EventType::ALL.len()],
    rows: Vec<Told>,
    next: Option<String>,
    from: String,
    log: Log,
}

/// The state of the log.
struct Log {
    size: u64,
    sealed: u64,
    sealed_at: Option<Timestamp>,
}

/// The trail: whole, or the piece that a cursor names.
///
/// # Errors
/// 400 for a filter that is none.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    uri: Uri,
    Params(query): Params<AuditQuery>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let shown = query.clone();
    let (filter, mut page) = query.read()?;
    page.limit = page.limit.min(PIECE);
    let from = super::log_end(&app, org).await?;
    let found = app.store.audit().list(org, &filter, AuditOrder::NewestFirst, &page).await?;
    let head = app.store.audit().head(org).await?;
    let checkpoint = app.store.audit().last_checkpoint(org).await?;
    page::show(&Audit {
        shell: viewer.shell("/app/audit"),
        query: shown,
        filters: filters(&uri, &["cursor"]),
        export_filters: filters(&uri, &["cursor", "text", "session_id", "limit"]),
        agents: super::agent_ids(&app, org).await?,
        types: EventType::ALL,
        rows: found.items.iter().map(Told::of).collect(),
        next: found.next,
        from,
        log: Log {
            size: head.map_or(0, |head| head.size),
            sealed: checkpoint.as_ref().map_or(0, |sealed| sealed.size),
            sealed_at: checkpoint.and_then(|sealed| sealed.time.parse().ok()),
        },
    })
}

/// The query as it came, without these members and those that are blank.
fn filters(uri: &Uri, but: &[&str]) -> String {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let kept = pairs.filter(|(name, value)| !value.is_empty() && !but.contains(name));
    kept.map(|(name, value)| format!("&{name}={value}")).collect()
}

/// An event's id in a path.
pub(super) fn event_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}
