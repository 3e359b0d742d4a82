//! `/app/calls/{event}`: one call step by step, as it was recorded; any other event as it stands in the log.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::Value;
use tappass_audit::Event;
use tappass_model::Action;
use tappass_pipeline::{
    registry::{PROVIDER_CALL, STEPS},
    step::Phase,
};
use tappass_store::AuditRow;

use super::audit::event_id;
use crate::{
    dashboard::{
        Viewer, assets, chart,
        format::{self, Html},
        page::{self, Shell},
        told::{self, Mark, Told},
    },
    error::ApiError,
    state::App,
};

#[derive(Template)]
#[template(path = "call.html")]
struct CallPage {
    shell: Shell,
    event: Event,
    mark: Option<Mark>,
    kind: String,
    /// The words of the path that have steps, with those steps.
    words: Vec<Word>,
    policies: Vec<Step>,
    skipped: usize,
    place: Place,
    raw: String,
    gateway_us: u64,
    upstream_us: u64,
    allowlisted: Vec<String>,
    would_block: Vec<(String, String)>,
    found_any: bool,
    governs: bool,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    shell: Shell,
    told: Told,
    event: Event,
    place: Place,
    raw: String,
}

/// Where an event stands in the chain.
struct Place {
    seq: u64,
    hash: String,
    prev_hash: String,
    /// The size of the checkpoint that covers it.
    sealed_by: Option<u64>,
}

/// One of the six words, with the steps that ran under it.
struct Word {
    name: &'static str,
    steps: Vec<Step>,
    us: u64,
}

impl Word {
    fn hits(&self) -> usize {
        self.steps.iter().filter(|step| step.detected).count()
    }

    fn run(&self) -> usize {
        self.steps.iter().filter(|step| !step.skipped).count()
    }
}

/// What one step did, and why.
struct Step {
    id: String,
    summary: &'static str,
    action: String,
    would: Option<String>,
    skipped: bool,
    detected: bool,
    message: String,
    us: u64,
    /// Its place on the line of time.
    bar: Html,
    score: Option<f64>,
    threshold: Option<f64>,
    found: Vec<Found>,
    more: u64,
    remedies: Vec<String>,
}

/// One thing that was found.
struct Found {
    kind: String,
    sample: String,
    at: String,
    span: Option<(u64, u64)>,
    score: f64,
}

/// The event's page.
///
/// # Errors
/// 404 for an event that is not there, or not theirs.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(event): Path<String>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let row = app.store.audit().get(org, event_id(&event)?).await?.ok_or_else(ApiError::not_found)?;
    let sealed = app.store.audit().sealed_by(org, row.seq).await?;
    let value: Value = serde_json::from_str(&row.body).map_err(ApiError::internal)?;
    let event: Event = serde_json::from_str(&row.body).map_err(ApiError::internal)?;
    let raw = serde_json::to_string_pretty(&value).map_err(ApiError::internal)?;
    let place = Place {
        seq: row.seq,
        hash: row.hash.clone(),
        prev_hash: text(&value["prev_hash"]),
        sealed_by: sealed,
    };
    let shell = viewer.shell("/app/audit");
    if event.steps.is_empty() {
        return page::show(&EventPage { shell, told: Told::of(&row), event, place, raw });
    }
    page::show(&call(shell, &viewer, event, place, raw, &row))
}

fn call(shell: Shell, viewer: &Viewer, event: Event, place: Place, raw: String, row: &AuditRow) -> CallPage {
    let reasons = event.details["explain"].as_array().cloned().unwrap_or_default();
    let ours: u64 = event.steps.iter().filter(|s| s.step != PROVIDER_CALL).map(|s| s.duration_us).sum();
    let mut before = 0;
    let mut words = [("admit", vec![]), ("forward", vec![]), ("examine", vec![])];
    let mut asked = false;
    for recorded in &event.steps {
        let entry = STEPS.iter().find(|entry| entry.meta.id == recorded.step);
        let calls = recorded.step == PROVIDER_CALL;
        let at = match entry.map(|entry| entry.meta.phase) {
            Some(Phase::Before) => 0,
            Some(Phase::Call) if !asked => 1,
            _ => 2,
        };
        asked |= calls;
        let reason = reasons.iter().find(|reason| reason["step"] == *recorded.step);
        let mut step = step_of(reason);
        step.id = recorded.step.to_string();
        step.summary = entry.map(|entry| entry.meta.summary).unwrap_or_default();
        step.action = recorded.action.as_str().to_owned();
        step.would = step.would.filter(|would| *would != step.action);
        step.skipped = recorded.action == Action::Skip;
        step.detected = recorded.detected;
        step.message = recorded.message.to_string();
        step.us = recorded.duration_us;
        if !step.skipped {
            step.bar = if calls {
                chart::span(&before, &0, &ours, "calls")
            } else {
                let fill = if step.detected { "warn" } else { "accent" };
                chart::span(&before, &step.us, &ours, fill)
            };
        }
        if !calls {
            before += step.us;
        }
        words[at].1.push(step);
    }
    let steps_named = |reason: &&Value| !event.steps.iter().any(|s| reason["step"] == *s.step);
    let policies = reasons.iter().filter(steps_named).map(|reason| step_of(Some(reason))).collect();
    let words = words.map(|(name, steps)| word(name, steps));
    let told = Told::of(row);
    let latency = event.latency.unwrap_or_default();
    CallPage {
        shell,
        mark: told::outcome(&event),
        kind: told.kind,
        skipped: event.steps.iter().filter(|s| s.action == Action::Skip).count(),
        found_any: words.iter().any(|word| word.steps.iter().any(|step| !step.found.is_empty())),
        words: words.into(),
        governs: viewer.governs(),
        policies,
        place,
        raw,
        gateway_us: latency.gateway_us,
        upstream_us: latency.upstream_us,
        allowlisted: list(&event.details["allowlisted"])
            .map(|hit| format!("{} {}", text(&hit["kind"]), text(&hit["sample"])))
            .collect(),
        would_block: list(&event.details["would_block"])
            .map(|would| (text(&would["step"]), text(&would["reason"])))
            .collect(),
        event,
    }
}

fn word(name: &'static str, steps: Vec<Step>) -> Word {
    let us = steps.iter().filter(|step| step.id != PROVIDER_CALL).map(|step| step.us).sum();
    Word { name, steps, us }
}

/// What was recorded of why a step, or a policy, decided so.
fn step_of(reason: Option<&Value>) -> Step {
    let none = Value::Null;
    let reason = reason.unwrap_or(&none);
    let found = list(&reason["found"]).map(|found| Found {
        kind: text(&found["kind"]),
        sample: text(&found["sample"]),
        at: text(&found["at"]),
        span: found["span"][0].as_u64().zip(found["span"][1].as_u64()),
        score: found["score"].as_f64().unwrap_or_default(),
    });
    Step {
        id: text(&reason["step"]),
        summary: "",
        action: text(&reason["did"]),
        would: reason["would"].as_str().map(str::to_owned),
        skipped: false,
        detected: reason["detected"] == true,
        message: text(&reason["message"]),
        us: 0,
        bar: Html::default(),
        score: reason["score"].as_f64(),
        threshold: reason["threshold"].as_f64(),
        found: found.collect(),
        more: reason["more"].as_u64().unwrap_or_default(),
        remedies: list(&reason["remedies"]).map(text).collect(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}
