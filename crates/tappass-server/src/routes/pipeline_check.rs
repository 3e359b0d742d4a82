//! A pipeline's text before it is saved, and what was saved before it.

use axum::{
    Json,
    extract::{Path, State},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tappass_model::clock::rfc3339;
use tappass_pipeline::{
    difference::{Change, between},
    lint::{Finding, of_error, warnings},
    name_in,
};

use crate::{
    body,
    error::ApiError,
    params::Listed,
    pipelines::{DEFAULT, PipelineError},
    scope::Scope,
    state::App,
};

/// `POST /pipelines/check`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unsaved {
    /// The text, YAML or JSON.
    pipeline: String,
    /// What it is called; before the text's own `name`.
    name: Option<String>,
}

/// What there is to say about a text.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Checked {
    /// Whether it can be saved.
    valid: bool,
    /// What is wrong, or likely a mistake, each with its place.
    findings: Vec<Finding>,
    /// What it would change, step by step, against the pipeline of that name as it is; nothing where it is not valid.
    changes: Vec<Change>,
    /// What it would be, step by step, as `GET /pipelines/{name}` tells it; of the steps that run.
    steps: Vec<Value>,
    /// Whether there is a pipeline of that name.
    exists: bool,
    /// The hash it would have: two pipelines with one hash decide alike.
    hash: Option<String>,
}

/// One version of a pipeline.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionView {
    version: i64,
    hash: String,
    created_at: String,
}

/// `POST /pipelines/check`
pub async fn check(
    State(app): State<App>,
    scope: Scope,
    body::Json(unsaved): body::Json<Unsaved>,
) -> Result<Json<Checked>, ApiError> {
    let Unsaved { pipeline: text, name } = unsaved;
    let name = name.or_else(|| name_in(&text)).unwrap_or_else(|| DEFAULT.to_owned());
    let now = match app.pipelines.get(scope.org_id, &name).await {
        Ok(pipeline) => Some(pipeline.describe()),
        Err(PipelineError::Unknown(_)) => None,
        Err(other) => return Err(super::pipelines::failed(other)),
    };
    let exists = now.is_some();
    match app.pipelines.compile(&name, 1, text).await {
        Ok(compiled) => {
            let mut described = compiled.describe();
            Ok(Json(Checked {
                valid: true,
                findings: warnings(&compiled),
                changes: between(now.as_ref().unwrap_or(&Value::Null), &described),
                steps: described["steps"].as_array_mut().map(std::mem::take).unwrap_or_default(),
                exists,
                hash: Some(compiled.hash.clone()),
            }))
        }
        Err(PipelineError::Compile(error)) => {
            let findings = of_error(&error);
            Ok(Json(Checked {
                valid: false,
                findings,
                changes: Vec::new(),
                steps: Vec::new(),
                exists,
                hash: None,
            }))
        }
        Err(other) => Err(super::pipelines::failed(other)),
    }
}

/// `GET /pipelines/{name}/versions`
pub async fn versions(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
) -> Result<Json<Listed<VersionView>>, ApiError> {
    let versions = app.store.pipelines().versions(scope.org_id, &name).await?;
    if versions.is_empty() && app.pipelines.get(scope.org_id, &name).await.is_err() {
        return Err(ApiError::not_found());
    }
    let items = versions.into_iter().map(|version| VersionView {
        version: version.version,
        hash: version.hash,
        created_at: rfc3339(version.created_at),
    });
    Ok(Json(Listed { items: items.collect(), next_cursor: None }))
}
