//! What governs agents: the presets, and the organisation's own pipelines in all their versions.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tappass_audit::EventType;
use tappass_pipeline::{Pipeline, name_in};
use tappass_store::{PageRequest, PipelineVersion};
use uuid::Uuid;

use crate::{
    body::Raw,
    error::ApiError,
    params::{ListQuery, Listed, Params, etag, if_match},
    pipelines::{DEFAULT, PipelineError, is_builtin},
    record::Change,
    scope::Scope,
    state::App,
};

/// A pipeline in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PipelineSummary {
    name: String,
    preset: String,
    /// Two pipelines with one hash decide alike.
    hash: String,
    /// 0 for a preset as shipped.
    version: u32,
    /// How many steps run.
    steps: usize,
    /// Whether it comes with the program and cannot be changed.
    builtin: bool,
}

impl PipelineSummary {
    fn of(pipeline: &Pipeline) -> Self {
        Self {
            name: pipeline.name.clone(),
            preset: pipeline.preset.clone(),
            hash: pipeline.hash.clone(),
            version: pipeline.version,
            steps: pipeline.steps.len(),
            builtin: pipeline.version == 0,
        }
    }
}

/// `GET /pipelines`: the presets on the first page, then the organisation's own.
pub async fn list(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<PipelineSummary>>, ApiError> {
    let request = query.page();
    let mut items = Vec::new();
    if request.cursor.is_none() {
        let presets = app.pipelines.presets().await.map_err(failed)?;
        items.extend(presets.iter().map(|preset| PipelineSummary::of(preset)));
    }
    let page = app.store.pipelines().list(scope.org_id, &request).await?;
    for stored in page.items {
        items.push(PipelineSummary::of(&*compiled(&app, scope.org_id, &stored.name).await?));
    }
    Ok(Json(Listed { items, next_cursor: page.next }))
}

/// `GET /pipelines/{name}`
pub async fn show(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let pipeline = app.pipelines.get(scope.org_id, &name).await.map_err(|e| match e {
        PipelineError::Unknown(_) => ApiError::not_found(),
        other => failed(other),
    })?;
    Ok((etag(i64::from(pipeline.version)), Json(pipeline.describe())))
}

/// `PUT /pipelines/{name}`: a preset or a pack with overrides, as YAML or as JSON (which is YAML too).
pub async fn put(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
    headers: HeaderMap,
    Raw(text): Raw,
) -> Result<Response, ApiError> {
    let yaml = read(&headers, &text)?;
    if let Some(own) = name_in(&yaml).filter(|own| *own != name) {
        let shown: String = own.chars().take(64).collect();
        let detail = format!("The text says `name: {shown}`, the path says `{name}`: make them agree.");
        return Err(ApiError::unprocessable("two_names", detail));
    }
    write(&app, &scope, name, &headers, yaml).await
}

/// `POST /pipelines/import`: the same, with the name in the query or in the text; else it is the organisation's
/// default pipeline.
pub async fn import(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ImportQuery>,
    headers: HeaderMap,
    Raw(text): Raw,
) -> Result<Response, ApiError> {
    let yaml = read(&headers, &text)?;
    let name = query.name.or_else(|| name_in(&yaml)).unwrap_or_else(|| DEFAULT.to_owned());
    write(&app, &scope, name, &headers, yaml).await
}

/// `GET /pipelines/{name}/export`: the text as it was written; of a preset or a pack, a text that builds on it.
pub async fn export(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let stored = app.store.pipelines().latest(scope.org_id, &name).await?;
    let (version, text) = match stored {
        Some(stored) => (stored.version, stored.yaml),
        None => {
            let builtin = app.pipelines.get(scope.org_id, &name).await.map_err(|_| ApiError::not_found())?;
            (0, format!("preset: {}\n", builtin.name))
        }
    };
    // A text that is JSON stays JSON.
    let completes = text.contains("yaml-language-server") || text.trim_start().starts_with('{');
    let schema = format!("# yaml-language-server: $schema={}/schemas/pipeline.json\n", app.base_url());
    let text = if completes { text } else { schema + &text };
    let headers = [(header::CONTENT_TYPE, "application/yaml; charset=utf-8")];
    Ok((headers, etag(version), text).into_response())
}

/// The query of `POST /pipelines/import`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImportQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// What the pipeline is to be called; before the text's own `name`.
    name: Option<String>,
}

/// A pipeline's text.
fn read(headers: &HeaderMap, text: &[u8]) -> Result<String, ApiError> {
    let yaml = String::from_utf8(text.to_vec())
        .map_err(|_| ApiError::unprocessable("invalid_yaml", "The body is not valid UTF-8."))?;
    if says_json(headers) {
        tappass_model::json::parse_strict(yaml.as_bytes())
            .map_err(|e| ApiError::unprocessable("invalid_json", e.to_string()))?;
    }
    Ok(yaml)
}

/// Checks a pipeline's text, makes it the next version, and lets the next call take it.
async fn write(
    app: &App,
    scope: &Scope,
    name: String,
    headers: &HeaderMap,
    yaml: String,
) -> Result<Response, ApiError> {
    check_name(&name)?;
    let expected = if_match(headers)?;
    let checked = app.pipelines.compile(&name, 1, yaml.clone()).await.map_err(failed)?;
    let new = PipelineVersion {
        org_id: scope.org_id,
        name,
        version: 0,
        yaml,
        hash: checked.hash.clone(),
        created_at: app.clock.now(),
    };
    let put = app.store.pipelines().put(&new, expected).await?.ok_or_else(ApiError::not_found)?;
    app.pipelines.changed(&put);
    let details =
        json!({"pipeline": put.name, "version": put.version, "hash": put.hash, "preset": checked.preset});
    app.changed(Change::new(EventType::PipelineChanged, scope).details(details)).await?;
    let pipeline = compiled(app, scope.org_id, &put.name).await?;
    let status = if put.version == 1 { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, etag(put.version), Json(pipeline.describe())).into_response())
}

/// The pipeline of that name, for those who would use it: 422 when there is none.
pub(crate) async fn compiled(app: &App, org_id: Uuid, name: &str) -> Result<Arc<Pipeline>, ApiError> {
    app.pipelines.get(org_id, name).await.map_err(failed)
}

pub(super) fn failed(e: PipelineError) -> ApiError {
    match e {
        PipelineError::Unknown(name) => {
            let shown: String = name.chars().take(64).collect();
            ApiError::unprocessable(
                "unknown_pipeline",
                format!("There is no pipeline {shown:?}; GET /pipelines lists them."),
            )
        }
        PipelineError::Compile(e) => ApiError::unprocessable("invalid_pipeline", e.to_string()),
        PipelineError::Store(e) => e.into(),
        PipelineError::Broken(_) => ApiError::internal(e),
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("json"))
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if is_builtin(name) {
        let detail = format!(
            "`{name}` comes with the program and stays as it is: choose another name, with `preset: {name}` in it."
        );
        return Err(ApiError::conflict("preset_name", detail));
    }
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if fits {
        return Ok(());
    }
    let detail = "A pipeline's name is 1 to 64 lower-case letters, digits, `.`, `_`, `-`.";
    Err(ApiError::unprocessable("invalid_name", detail))
}

/// The schema of what `PUT /pipelines/{name}` takes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PipelineFile {
    /// The preset it is built on.
    preset: String,
    /// For readers.
    description: Option<String>,
    /// By subject, step id or category; see the documentation of pipelines.
    overrides: Option<serde_json::Map<String, Value>>,
}

/// The schema of a pipeline's description.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PipelineView {
    name: String,
    preset: String,
    hash: String,
    version: u32,
    steps: Vec<StepView>,
}

/// The schema of a step in it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepView {
    id: String,
    position: u32,
    /// `before`, `call`, `after`.
    phase: String,
    category: String,
    enabled: bool,
    summary: String,
    parameters: Value,
}

/// The agents under each pipeline.
///
/// # Errors
/// What the database says.
pub(crate) async fn users(app: &App, org: Uuid) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut page = PageRequest { limit: 500, cursor: None };
    loop {
        let agents = app.store.agents().list(org, &page).await?;
        for agent in agents.items {
            users.entry(agent.settings.pipeline).or_default().push(agent.agent_id);
        }
        match agents.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(users),
        }
    }
}
