//! What a false alarm proposes: an entry in the allowlist, or a threshold just above its score. Proposals are requests to
//! the routes that people use for the same; nothing is changed here.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tappass_store::{Agent, PageRequest, Stopped, Window};
use uuid::Uuid;

use super::score;
use crate::{
    error::ApiError,
    pipeline_text::{difference, set},
    pipelines::{PipelineError, is_builtin},
    state::App,
};

/// A change that would have let a false alarm pass.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Proposal {
    /// `allowlist` or `threshold`.
    pub change: &'static str,
    /// In a sentence.
    pub summary: String,
    /// What it changes in a file's text: lines that begin with ` ` stay, with `-` go, with `+` come.
    pub difference: String,
    /// What a person must fill in first, as a JSON Pointer into the first request's body: the text of a finding is not
    /// kept, only its masked sample. Null: the requests are complete.
    pub complete: Option<&'static str>,
    /// Other agents that it changes too.
    pub also: Vec<String>,
    /// How many more of the window's calls it would have let pass for this rule and agent; null where that cannot be
    /// told.
    pub lets_pass: Option<u64>,
    /// How many of those somebody has marked right.
    pub lets_pass_right: Option<u64>,
    /// What does it, in this order.
    pub requests: Vec<Request>,
}

/// A request to this API.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Request {
    /// The method.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// The header `If-Match`, so that nobody's change in between is lost.
    pub if_match: Option<String>,
    /// The body: JSON; a text is sent as it is.
    pub body: Value,
}

/// What could be done so that this is no hit again. `window`: for what it would have let pass beside it.
///
/// # Errors
/// [`ApiError`] when the database does not answer.
pub async fn proposals(
    app: &App,
    org_id: Uuid,
    hit: &Stopped,
    window: Window,
) -> Result<Vec<Proposal>, ApiError> {
    let mut all = Vec::new();
    if hit.maskable && !hit.kind.is_empty() {
        all.push(allowlist(hit));
    }
    if let Some(agent) = app.store.agents().find(org_id, &hit.agent_id).await? {
        all.extend(threshold(app, &agent, hit, window).await?);
    }
    Ok(all)
}

fn allowlist(hit: &Stopped) -> Proposal {
    let entry = json!({"text": "", "kinds": [hit.kind], "note": format!("false alarm of {} in call {}", hit.step, hit.event_id)});
    let shown = json!({"text": "…", "kinds": [hit.kind]});
    Proposal {
        change: "allowlist",
        summary: format!(
            "Put the text behind {} on the organisation's allowlist, for {} only.",
            hit.sample, hit.kind
        ),
        difference: format!("+{shown}"),
        complete: Some("/text"),
        also: Vec::new(),
        lets_pass: None,
        lets_pass_right: None,
        requests: vec![Request {
            method: "POST",
            path: "/allowlist".to_owned(),
            if_match: None,
            body: entry,
        }],
    }
}

/// The next hundredth above a score in thousandths; `None` where no threshold is.
fn above(score: i64) -> Option<i64> {
    let next = (score / 10 + 1) * 10;
    (next <= 1000).then_some(next)
}

async fn threshold(
    app: &App,
    agent: &Agent,
    hit: &Stopped,
    window: Window,
) -> Result<Option<Proposal>, ApiError> {
    let (Some(scored), Some(_)) = (hit.score, hit.threshold) else { return Ok(None) };
    let Some(raised) = above(scored) else { return Ok(None) };
    let value = json!(score(Some(raised)));
    let name = &agent.settings.pipeline;
    let stored = match is_builtin(name) {
        true => None,
        false => app.store.pipelines().latest(agent.org_id, name).await?,
    };
    let (new_name, version, old) = match stored {
        Some(stored) => (name.clone(), Some(stored.version), stored.yaml),
        // What comes with the program stays as it is: the agent gets a pipeline of its own that builds on it.
        None => match free_name(app, agent).await? {
            Some(free) => (free, None, format!("preset: {}\n", preset_of(app, agent).await?)),
            None => return Ok(None),
        },
    };
    let Some(new) = set(&old, &hit.step, "threshold", &value) else { return Ok(None) };
    let compiled = match app.pipelines.compile(&new_name, 1, new.clone()).await {
        Ok(compiled) => compiled,
        Err(PipelineError::Compile(_)) => return Ok(None),
        Err(other) => return Err(ApiError::internal(other)),
    };
    // The text may set it elsewhere too, which then holds.
    let holds = compiled.step(&hit.step).and_then(|step| step.parameters["threshold"].as_f64());
    if !holds
        .is_some_and(|holds| Some(holds).zip(score(Some(raised))).is_some_and(|(a, b)| (a - b).abs() < 1e-4))
    {
        return Ok(None);
    }
    let rule = (hit.step.as_str(), hit.kind.as_str(), hit.agent_id.as_str());
    let (passes, right) = app.store.insight().below(agent.org_id, rule, window, raised).await?;
    let text = Request {
        method: "PUT",
        path: format!("/pipelines/{new_name}"),
        if_match: version.map(|version| format!("\"v{version}\"")),
        body: Value::String(new.clone()),
    };
    let assign = Request {
        method: "PUT",
        path: format!("/agents/{}/pipeline", agent.agent_id),
        if_match: Some(format!("\"v{}\"", agent.version)),
        body: json!({"pipeline": new_name}),
    };
    let (also, summary) = match version {
        Some(_) => (
            others(app, agent).await?,
            format!("Raise {}.threshold to {value} in the pipeline {name}.", hit.step),
        ),
        None => {
            let own = format!(
                "Raise {}.threshold to {value} in a pipeline of its own, {new_name}, that builds on {name}.",
                hit.step
            );
            (Vec::new(), own)
        }
    };
    Ok(Some(Proposal {
        change: "threshold",
        summary,
        difference: difference(if version.is_some() { &old } else { "" }, &new),
        complete: None,
        also,
        lets_pass: Some(passes),
        lets_pass_right: Some(right),
        requests: if version.is_some() { vec![text] } else { vec![text, assign] },
    }))
}

/// What an agent's pipeline that nobody has written is built on.
async fn preset_of(app: &App, agent: &Agent) -> Result<String, ApiError> {
    let name = &agent.settings.pipeline;
    if is_builtin(name) {
        return Ok(name.clone());
    }
    let pipeline = app.pipelines.get(agent.org_id, name).await.map_err(ApiError::internal)?;
    Ok(pipeline.preset.clone())
}

/// A name for a pipeline of the agent's own that no pipeline has.
async fn free_name(app: &App, agent: &Agent) -> Result<Option<String>, ApiError> {
    let name: String = agent.agent_id.chars().take(60).collect();
    for candidate in [name.clone(), format!("{name}-own"), format!("{name}-2"), format!("{name}-3")] {
        let taken =
            is_builtin(&candidate) || app.store.pipelines().latest(agent.org_id, &candidate).await?.is_some();
        if !taken {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

/// The other agents under the same pipeline: the first page of agents is enough to warn.
async fn others(app: &App, agent: &Agent) -> Result<Vec<String>, ApiError> {
    let page = app.store.agents().list(agent.org_id, &PageRequest { limit: 500, cursor: None }).await?;
    let same = page.items.into_iter().filter(|other| {
        other.settings.pipeline == agent.settings.pipeline && other.agent_uuid != agent.agent_uuid
    });
    Ok(same.map(|other| other.agent_id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_lies_just_above() {
        assert_eq!(
            [above(900), above(974), above(985), above(990)],
            [Some(910), Some(980), Some(990), Some(1000)]
        );
        assert_eq!(above(1000), None);
    }
}
