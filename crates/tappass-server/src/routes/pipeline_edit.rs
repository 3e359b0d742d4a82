//! One change of a pipeline's text, as a form makes it: a parameter of a step, or all that is said of one.

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tappass_pipeline::{Pipeline, compile::subject_of, lint::of_error};

use crate::{
    body,
    error::ApiError,
    pipeline_text::{set, unset},
    pipelines::{DEFAULT, PipelineError},
    scope::Scope,
    state::App,
};

/// `POST /pipelines/edit`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The text, YAML or JSON.
    pipeline: String,
    /// A step of the registry.
    step: String,
    /// One of its parameters, or `enabled`, `on_detection`, `on_error`. Absent: all that the text says of the step is
    /// taken back.
    parameter: Option<String>,
    /// What it is to be.
    #[serde(default)]
    value: Value,
}

/// The text, changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Edited {
    /// As it was written, but for the change.
    pipeline: String,
}

/// `POST /pipelines/edit`: writes nothing. 422 where the text is laid out in a way that only its author can change.
pub async fn edit(
    State(app): State<App>,
    _: Scope,
    body::Json(asked): body::Json<Edit>,
) -> Result<Json<Edited>, ApiError> {
    let Some(parameter) = &asked.parameter else {
        let mut text = asked.pipeline;
        for key in [Some(asked.step.as_str()), subject_of(&asked.step)].into_iter().flatten() {
            text = unset(&text, key).ok_or_else(|| by_hand(&asked.step))?;
        }
        compiled(&app, &text).await?;
        return Ok(Json(Edited { pipeline: text }));
    };
    let mut refused = None;
    for key in keys(&asked.pipeline, &asked.step) {
        let Some(text) = set(&asked.pipeline, key, parameter, &asked.value) else { continue };
        match compiled(&app, &text).await {
            Ok(compiled) if holds(&compiled, &asked.step, parameter, &asked.value) => {
                return Ok(Json(Edited { pipeline: text }));
            }
            Ok(_) => {}
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| by_hand(&asked.step)))
}

/// The keys under which a text may speak of a step: the subject's, where it stands there already, then the step's own.
fn keys<'a>(text: &str, step: &'a str) -> impl Iterator<Item = &'a str> {
    let file: Value = serde_saphyr::from_str(text).unwrap_or_default();
    subject_of(step).filter(|subject| file["overrides"].get(*subject).is_some()).into_iter().chain([step])
}

async fn compiled(app: &App, text: &str) -> Result<std::sync::Arc<Pipeline>, ApiError> {
    app.pipelines.compile(DEFAULT, 1, text.to_owned()).await.map_err(|error| match error {
        PipelineError::Compile(error) => {
            let first = of_error(&error).into_iter().next().map(|finding| finding.message);
            ApiError::unprocessable("invalid_pipeline", first.unwrap_or_default())
        }
        other => super::pipelines::failed(other),
    })
}

/// Whether a pipeline does what was asked: another line of its text may say otherwise.
fn holds(pipeline: &Pipeline, step: &str, parameter: &str, wanted: &Value) -> bool {
    let described = pipeline.describe();
    let all = described["steps"].as_array();
    let found = all.into_iter().flatten().find(|s| s["id"] == step);
    if parameter == "enabled" {
        return found.is_some_and(|step| step["enabled"] == true) == (*wanted == true);
    }
    let Some(there) = found.map(|step| &step["parameters"][parameter]) else { return false };
    match (there.as_f64(), wanted.as_f64()) {
        // Thresholds have the digits of an f32.
        (Some(there), Some(wanted)) => (there - wanted).abs() <= wanted.abs() * 1e-6,
        // Lists may be joined with what the preset has.
        _ => there == wanted || wanted.is_array(),
    }
}

fn by_hand(step: &str) -> ApiError {
    let detail = format!(
        "What the text says of `{step}` is written in a way, or a place, that a form does not change: change the text."
    );
    ApiError::unprocessable("text_not_understood", detail)
}
