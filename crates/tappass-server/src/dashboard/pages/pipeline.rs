//! `/app/pipelines/{name}`: its steps with their documentation, its text to be changed and tried, its versions.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use tappass_pipeline::{
    Phase as Place, Pipeline,
    difference::{Change, between, shown},
    docs::{meanings, sections},
    registry::STEPS,
};
use uuid::Uuid;

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    params::Params,
    state::App,
};

/// The query of the page.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineQuery {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// `steps`, `edit` or `versions`.
    tab: String,
    /// The version that is looked at, of `versions`.
    version: Option<i64>,
}

#[derive(Template)]
#[template(path = "pipeline.html")]
struct Page {
    shell: Shell,
    pipeline: Arc<Pipeline>,
    agents: Vec<String>,
    tab: &'static str,
    phases: Vec<Phase>,
    others: Vec<Step>,
    text: String,
    versions: Vec<Version>,
    looked_at: Option<Old>,
    may_write: bool,
    may_try: bool,
}

/// The steps of one phase, under the words of a call that fit.
struct Phase {
    name: &'static str,
    words: &'static str,
    steps: Vec<Step>,
}

struct Step {
    id: &'static str,
    summary: &'static str,
    category: &'static str,
    threats: &'static [&'static str],
    on_detection: String,
    parameters: Vec<Parameter>,
    sections: Vec<(String, Vec<String>)>,
}

struct Parameter {
    name: String,
    value: String,
    meaning: String,
}

struct Version {
    version: i64,
    hash: String,
    created_at: Timestamp,
}

/// An older version: its text, and what going back to it would change.
struct Old {
    version: i64,
    text: String,
    changes: Vec<Change>,
    problem: Option<String>,
    /// Whether it is the newest.
    governs: bool,
}

impl Page {
    fn own(&self) -> bool {
        self.pipeline.version > 0
    }
}

/// The page.
///
/// # Errors
/// 404 for a pipeline that is not there.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(name): Path<String>,
    Params(query): Params<PipelineQuery>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let pipeline = app.pipelines.get(org, &name).await.map_err(|_| ApiError::not_found())?;
    let stored = app.store.pipelines().versions(org, &name).await?;
    let looked_at = match query.version.filter(|_| query.tab == "versions") {
        None => None,
        Some(wanted) => {
            let found = stored.iter().find(|version| version.version == wanted);
            let found = found.ok_or_else(ApiError::not_found)?;
            let then = app.pipelines.compile(&name, wanted, found.yaml.clone()).await;
            let (changes, problem) = match then {
                Ok(then) => (between(&pipeline.describe(), &then.describe()), None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            let governs = wanted == i64::from(pipeline.version);
            Some(Old { version: wanted, text: found.yaml.clone(), changes, problem, governs })
        }
    };
    let text = stored.first().map_or_else(|| format!("preset: {name}\n"), |latest| latest.yaml.clone());
    let tab = match query.tab.as_str() {
        "edit" if pipeline.version > 0 => "edit",
        "versions" if pipeline.version > 0 => "versions",
        _ => "steps",
    };
    let mut users = crate::routes::pipelines::users(&app, org).await?;
    page::show(&Page {
        shell: viewer.shell("/app/pipelines"),
        agents: users.remove(&name).unwrap_or_default(),
        tab,
        phases: phases(&pipeline),
        others: others(&pipeline),
        text,
        versions: stored
            .into_iter()
            .map(|v| Version { version: v.version, hash: v.hash, created_at: v.created_at })
            .collect(),
        looked_at,
        may_write: viewer.governs(),
        may_try: viewer.develops(),
        pipeline,
    })
}

fn phases(pipeline: &Pipeline) -> Vec<Phase> {
    let of = |phase: Place, name, words| Phase {
        name,
        words,
        steps: (pipeline.steps.iter())
            .filter(|placed| placed.meta.phase == phase)
            .filter_map(|placed| step(placed.meta.id, pipeline))
            .collect(),
    };
    vec![
        of(Place::Before, "Before the call", "admit: may it leave?"),
        of(Place::Call, "The call", "forward: where it goes, and the tools it is for"),
        of(Place::After, "After the call", "examine: may the answer come back?"),
    ]
}

/// Steps that the pipeline does not run.
fn others(pipeline: &Pipeline) -> Vec<Step> {
    let ids = STEPS.iter().map(|entry| entry.meta.id).filter(|id| pipeline.step(id).is_none());
    ids.filter_map(|id| step(id, pipeline)).collect()
}

fn step(id: &str, pipeline: &Pipeline) -> Option<Step> {
    let entry = STEPS.iter().find(|entry| entry.meta.id == id)?;
    let placed = pipeline.step(id);
    let on_detection = placed.map_or(entry.meta.on_detection, |placed| placed.common.on_detection);
    let known = meanings(entry);
    let meaning = |name: &str| known.iter().find(|(n, _)| n == name).map(|(_, text)| text.clone());
    let parameters = placed.and_then(|placed| placed.parameters.as_object()).into_iter().flatten();
    let parameters = parameters.map(|(name, value)| Parameter {
        name: name.clone(),
        value: shown(value),
        meaning: meaning(name).unwrap_or_default(),
    });
    Some(Step {
        id: entry.meta.id,
        summary: entry.meta.summary,
        category: entry.meta.category.as_str(),
        threats: entry.meta.threats,
        on_detection: on_detection.as_str().to_owned(),
        parameters: parameters.collect(),
        sections: sections(entry),
    })
}

/// What differs, in a line.
fn told(change: &Change) -> String {
    match &change.parameter {
        None if change.to.is_null() => "no longer runs".to_owned(),
        None => "runs".to_owned(),
        Some(name) => format!("{name}: {} → {}", shown(&change.from), shown(&change.to)),
    }
}
