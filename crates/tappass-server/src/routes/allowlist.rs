//! What an organisation never counts as a hit: product names that look like people, public test keys.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_audit::EventType;
use tappass_detect::{AllowEntry, Allowlist};
use tappass_pipeline::allow::entry_id;

use crate::{
    allowlists::SETTING,
    body,
    documents::Known,
    error::ApiError,
    params::{check_match, etag},
    record::Change,
    scope::Scope,
    state::App,
};

/// The list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListView {
    items: Vec<EntryView>,
    /// Counts changes; 0 when nothing was ever set.
    version: i64,
}

/// One entry.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EntryView {
    /// Follows from what it says.
    id: String,
    /// What is no hit, whatever its case and its blanks: the text of a hit, or words of which it is a part.
    text: Option<String>,
    /// A glob, or a regular expression between slashes.
    pattern: Option<String>,
    /// Kinds or families that it holds for; empty: all that could be masked.
    kinds: Vec<String>,
    /// Why.
    note: Option<String>,
}

impl EntryView {
    fn of(entry: &AllowEntry) -> Self {
        let AllowEntry { text, pattern, kinds, note } = entry.clone();
        Self { id: entry_id(entry), text, pattern, kinds, note }
    }
}

/// `PUT /allowlist`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewList {
    /// Texts, or mappings with `text` or `pattern`, `kinds`, `note`.
    items: Vec<AllowEntry>,
}

/// `GET /allowlist`
pub async fn show(State(app): State<App>, scope: Scope) -> Result<impl IntoResponse, ApiError> {
    let known = app.allowlists.read(scope.org_id).await?;
    Ok(view(known.version, known.value.entries()))
}

/// `PUT /allowlist`
pub async fn put(
    State(app): State<App>,
    scope: Scope,
    headers: HeaderMap,
    body::Json(new): body::Json<NewList>,
) -> Result<impl IntoResponse, ApiError> {
    let known = app.allowlists.read(scope.org_id).await?;
    check_match(&headers, known.version)?;
    let version = write(&app, &scope, &known, new.items.clone()).await?;
    Ok(view(version, &new.items))
}

/// `POST /allowlist`: 201, or 200 when it is there already.
pub async fn add(
    State(app): State<App>,
    scope: Scope,
    headers: HeaderMap,
    body::Json(entry): body::Json<AllowEntry>,
) -> Result<Response, ApiError> {
    let known = app.allowlists.read(scope.org_id).await?;
    check_match(&headers, known.version)?;
    let mut entries = known.value.entries().to_vec();
    if entries.contains(&entry) {
        return Ok((StatusCode::OK, etag(known.version), Json(EntryView::of(&entry))).into_response());
    }
    // The same entry with another note replaces the old one.
    entries.retain(|old| entry_id(old) != entry_id(&entry));
    entries.push(entry.clone());
    let version = write(&app, &scope, &known, entries).await?;
    Ok((StatusCode::CREATED, etag(version), Json(EntryView::of(&entry))).into_response())
}

/// `DELETE /allowlist/{entry}`
pub async fn remove(
    State(app): State<App>,
    scope: Scope,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let known = app.allowlists.read(scope.org_id).await?;
    check_match(&headers, known.version)?;
    let mut entries = known.value.entries().to_vec();
    entries.retain(|entry| entry_id(entry) != id);
    if entries.len() == known.value.entries().len() {
        return Err(ApiError::not_found());
    }
    write(&app, &scope, &known, entries).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks and writes a list over the one that was read, and records who changed what.
async fn write(
    app: &App,
    scope: &Scope,
    old: &Known<Allowlist>,
    entries: Vec<AllowEntry>,
) -> Result<i64, ApiError> {
    let check = entries.clone();
    let checked =
        tokio::task::spawn_blocking(move || Allowlist::new(check)).await.map_err(ApiError::internal)?;
    checked.map_err(|e| ApiError::unprocessable("invalid_allowlist", format!("{e}.")))?;
    let body = serde_json::to_string(&entries).map_err(ApiError::internal)?;
    let version = app.allowlists.write(scope.org_id, &body, old.version, app.clock.now()).await?;
    let missing = |from: &[AllowEntry], of: &[AllowEntry]| -> Vec<AllowEntry> {
        of.iter().filter(|entry| !from.contains(entry)).cloned().collect()
    };
    let details = json!({
        "setting": SETTING, "version": version,
        "added": missing(old.value.entries(), &entries), "removed": missing(&entries, old.value.entries()),
    });
    app.changed(Change::new(EventType::ConfigChanged, scope).details(details)).await?;
    Ok(version)
}

fn view(version: i64, entries: &[AllowEntry]) -> impl IntoResponse + use<> {
    let items = entries.iter().map(EntryView::of).collect();
    (etag(version), Json(ListView { items, version }))
}
