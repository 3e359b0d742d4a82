//! `/app/readiness`: the meeting that decides whether agents are ready for enforce; and the same on paper.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use tappass_model::Mode;
use tappass_store::Agent;
use uuid::Uuid;

use super::overview::{WINDOWS, as_float, said};
use crate::{
    dashboard::{
        Viewer, assets, chart,
        format::{self, Html},
        page::{self, Shell},
    },
    error::ApiError,
    insight::{
        WindowView,
        proposal::Proposal,
        readiness::{Example, Precision, Readiness, Rule, readiness},
    },
    params::Params,
    routes::insight::{Marked, marked_in},
    state::App,
};

/// The page's query.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Query {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// Of this agent only.
    agent_id: Option<String>,
    /// `24h`, `7d` (unless said otherwise), `30d`.
    window: Option<String>,
    /// Examples for each rule and agent.
    examples: Option<u32>,
    /// `1`: to be printed.
    print: Option<String>,
}

/// The query of the proposals for one finding.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OneFinding {
    /// The organisation, for callers with several.
    org_id: Option<Uuid>,
    /// The step; the first one's unless said.
    step: Option<String>,
    /// The kind.
    kind: Option<String>,
}

#[derive(Template)]
#[template(path = "readiness.html")]
struct ReadinessPage {
    shell: Shell,
    r: Readiness,
    span: String,
    windows: [(&'static str, &'static str); 3],
    agents: Vec<String>,
    filters: String,
    /// The agent that the page is about, if it is about one.
    agent: Option<Agent>,
    may_mark: bool,
    may_enforce: bool,
}

#[derive(Template)]
#[template(path = "readiness_print.html")]
struct Paper {
    r: Readiness,
    span: String,
    org_name: String,
    person: String,
    now: Timestamp,
    agent: Option<Agent>,
    checkpoint: Option<Sealed>,
}

/// The log's last checkpoint, so that a reader can tell later which log the figures came from.
struct Sealed {
    size: u64,
    root: String,
    at: Option<Timestamp>,
}

#[derive(Template)]
#[template(path = "proposals.html")]
struct Proposals {
    found: Vec<Marked>,
    may_accept: bool,
}

/// The review, or the paper to hand round.
///
/// # Errors
/// 400 for a window that is none, 404 for an agent that is not there.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Params(query): Params<Query>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let window = WindowView::parse(query.window.as_deref(), app.clock.now())?;
    let named = query.agent_id.as_deref().filter(|agent| !agent.is_empty());
    let agent = match named {
        Some(name) => Some(app.store.agents().find(org, name).await?.ok_or_else(ApiError::not_found)?),
        None => None,
    };
    let agent_id = agent.as_ref().map(|agent| agent.agent_id.as_str());
    // Many agents side by side, or one at length.
    let usual = if agent.is_some() { 8 } else { 2 };
    let examples = query.examples.unwrap_or(usual).min(50);
    let r = readiness(&app.store, org, window, agent_id, examples).await?;
    let span = said(&r.window.name);
    if query.print.is_some() {
        let checkpoint = app.store.audit().last_checkpoint(org).await?.map(|sealed| Sealed {
            size: sealed.size,
            at: sealed.time.parse().ok(),
            root: sealed.root,
        });
        let paper = Paper {
            r,
            span,
            org_name: viewer.org_name,
            person: viewer.scope.actor.clone(),
            now: app.clock.now(),
            agent,
            checkpoint,
        };
        return page::show(&paper);
    }
    let filters = match agent_id {
        Some(agent) => format!("window={}&agent_id={agent}", r.window.name),
        None => format!("window={}", r.window.name),
    };
    page::show(&ReadinessPage {
        shell: viewer.shell("/app/readiness"),
        span,
        windows: WINDOWS,
        agents: super::agent_ids(&app, org).await?,
        filters: if examples == usual { filters } else { format!("{filters}&examples={examples}") },
        agent,
        may_mark: viewer.develops(),
        may_enforce: viewer.develops(),
        r,
    })
}

/// What a false alarm proposes, as a piece of the page.
///
/// # Errors
/// 404 for a call that is not there.
pub async fn proposals(
    State(app): State<App>,
    viewer: Viewer,
    Path(event): Path<String>,
    Params(query): Params<OneFinding>,
) -> Result<Response, ApiError> {
    let mut found = marked_in(&app, &viewer.scope, &event).await?;
    found.retain(|one| {
        query.step.as_ref().is_none_or(|step| one.step == *step)
            && query.kind.as_ref().is_none_or(|kind| one.kind == *kind)
    });
    page::show(&Proposals { found, may_accept: viewer.governs() })
}

impl ReadinessPage {
    fn enforced(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.settings.floor >= Mode::Enforce)
    }
}

/// The precision as a bar with its interval, and in words.
fn precision(p: &Precision) -> Html {
    chart::interval(p.precision, p.low, p.high)
}

/// `80 % right, of 10`
fn precision_said(p: &Precision) -> String {
    match p.precision {
        None => "not marked yet".to_owned(),
        Some(share) => format!("{} right of {} marked", format::percent(&share), p.right + p.false_alarms),
    }
}

/// `49 – 94 %`
fn interval_said(p: &Precision) -> String {
    let percent = |share: Option<f64>| share.map(|s| format!("{:.0}", s * 100.0)).unwrap_or_default();
    format!("{} – {} %", percent(p.low), percent(p.high))
}

/// A share of calls.
fn share(part: &u64, whole: &u64) -> String {
    format::percent(&(as_float(*part) / as_float((*whole).max(1))))
}

/// What a rule is called: the step, and what it found.
fn name(rule: &Rule) -> String {
    if rule.kind.is_empty() { rule.step.clone() } else { format!("{} {}", rule.step, rule.kind) }
}

/// An id that htmx and the keyboard find the row by.
fn row_id(rule: &Rule, example: &Example) -> String {
    let safe = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("x-{}-{}-{}", example.event_id, safe(&rule.step), safe(&rule.kind))
}

/// How an example is marked, as a class.
fn marked(example: &Example) -> &'static str {
    match example.mark.as_ref().map(|mark| mark.mark) {
        Some("right") => "right",
        Some(_) => "wrong",
        None => "",
    }
}

fn when(ts: &str) -> Html {
    ts.parse().map(|ts: Timestamp| format::time(&ts)).unwrap_or_default()
}

/// `2026-11-22 09:30`, for paper, which knows no time zone of its reader's.
fn minute(ts: &str) -> String {
    ts.chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

/// The requests of a proposal, for `static/app.js`.
fn requests(proposal: &Proposal) -> String {
    serde_json::to_string(&proposal.requests).unwrap_or_default()
}

/// The lines of a difference: how each is coloured, and its text.
fn lines(difference: &str) -> Vec<(&'static str, &str)> {
    let class = |line: &str| match line.bytes().next() {
        Some(b'+') => "add",
        Some(b'-') => "del",
        _ => "",
    };
    difference.lines().map(|line| (class(line), line)).collect()
}
