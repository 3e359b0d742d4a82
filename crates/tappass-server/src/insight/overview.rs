//! What agents did in a window: totals, over time, by agent, step and model, beside the window before.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use tappass_model::clock::rfc3339;
use tappass_store::{
    Counts, Store, StoreError,
    insight::{ByModel, ByStep, DAY, HOUR, StepCounts, histogram::Part},
};
use uuid::Uuid;

use super::WindowView;

/// The figures of a window.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Overview {
    /// From when until when.
    pub window: WindowView,
    /// Of this agent only; null: of all.
    pub agent_id: Option<String>,
    /// All calls of the window.
    pub totals: Totals,
    /// All calls of the window before, as long.
    pub before: Totals,
    /// Whether the organisation was there all of the window before: else what it had is no measure.
    pub comparable: bool,
    /// How long a point of the series lasts, in seconds: an hour, or a day where the window is longer than a week.
    pub slot_seconds: i64,
    /// Over time, without gaps.
    pub series: Vec<Point>,
    /// By agent, the most calls first.
    pub agents: Vec<Named>,
    /// By model, the most calls first; an empty name stands for tool calls without one.
    pub models: Vec<Named>,
    /// By step, the most findings first.
    pub steps: Vec<Step>,
    /// What the window before did not have.
    pub new: News,
    /// How many of the log's events are not counted yet.
    pub uncounted: u64,
}

/// What happened to calls.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Totals {
    /// How many.
    pub calls: u64,
    /// Those with at least one finding.
    pub flagged: u64,
    /// All findings in them.
    pub findings: u64,
    /// Those that enforce would have refused and their mode let through.
    pub would_block: u64,
    /// Those that were refused.
    pub blocked: u64,
    /// Those whose text was masked.
    pub masked: u64,
    /// Those whose text enforce would have masked and their mode did not.
    pub would_mask: u64,
    /// Those whose provider gave no answer.
    pub errors: u64,
    /// Tokens read.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
    /// What they cost.
    pub cost_usd: f64,
    /// The gateway's own time.
    pub gateway_ms: Latency,
    /// The provider's time.
    pub upstream_ms: Latency,
}

/// Milliseconds, read from a histogram: within about a tenth of the truth. Null without calls.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Latency {
    /// Half of the calls took less.
    pub p50: Option<f64>,
    /// Nineteen of twenty took less.
    pub p95: Option<f64>,
}

/// Calls of an hour or a day.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "as in `Totals`")]
pub struct Point {
    /// When it begins.
    pub at: String,
    pub calls: u64,
    pub flagged: u64,
    pub findings: u64,
    pub would_block: u64,
    pub blocked: u64,
    pub masked: u64,
    pub errors: u64,
    pub tokens: u64,
    pub cost_usd: f64,
}

/// The figures of one agent or model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its figures.
    #[serde(flatten)]
    pub totals: Totals,
    /// How many calls the window before had.
    pub calls_before: u64,
}

/// What a step found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Step {
    /// The step's id, or the policy's package.
    pub step: String,
    /// Calls in which it found something.
    pub calls: u64,
    /// How often it did.
    pub findings: u64,
    /// Calls that enforce would have refused for it.
    pub would_block: u64,
    /// Calls that were refused for it.
    pub blocked: u64,
    /// What it found in the window before.
    pub findings_before: u64,
    /// Of which kinds, the most frequent first.
    pub kinds: Vec<String>,
}

/// What was not there in the window before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct News {
    /// Agents that called.
    pub agents: Vec<String>,
    /// Models that were called.
    pub models: Vec<String>,
    /// Kinds of things that steps found.
    pub kinds: Vec<Kind>,
}

/// A kind of finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Kind {
    /// The step that found it.
    pub step: String,
    /// `EMAIL`, `TOOL_NOT_ALLOWED` …; empty where a step has but one reason.
    pub kind: String,
}

/// Reads the figures of a window, of one agent or of all.
///
/// # Errors
/// [`StoreError`] when the database does not answer.
pub async fn overview(
    store: &Store,
    org_id: Uuid,
    window: WindowView,
    agent: Option<&str>,
) -> Result<Overview, StoreError> {
    let (insight, now) = (store.insight(), window.window);
    let before = now.before();
    let slot = if window.hours > 7 * 24 { DAY } else { HOUR };
    let (calls, calls_before) =
        tokio::try_join!(insight.calls(org_id, now, agent), insight.calls(org_id, before, agent))?;
    let (steps, steps_before) =
        tokio::try_join!(insight.steps(org_id, now, agent), insight.steps(org_id, before, agent))?;
    let points = insight.series(org_id, now, slot, agent).await?;
    let uncounted = uncounted(store, org_id).await?;
    let org = store.orgs().get(org_id).await?;

    let first = now.since.as_second() - now.since.as_second().rem_euclid(slot);
    let starts = (first..now.until.as_second()).step_by(usize::try_from(slot).unwrap_or(1));
    let series = starts.filter_map(|second| jiff::Timestamp::from_second(second).ok()).map(|at| {
        let nothing = Counts::default();
        let c = points.get(&at).unwrap_or(&nothing);
        Point {
            at: rfc3339(at),
            calls: c.calls,
            flagged: c.flagged,
            findings: c.findings,
            would_block: c.would_block,
            blocked: c.blocked,
            masked: c.masked,
            errors: c.errors,
            tokens: c.tokens_in + c.tokens_out,
            cost_usd: usd(c.cost_nano),
        }
    });
    Ok(Overview {
        agent_id: agent.map(str::to_owned),
        totals: Totals::of(&sum(calls.values())),
        before: Totals::of(&sum(calls_before.values())),
        comparable: org.is_some_and(|org| org.created_at <= before.since),
        slot_seconds: slot,
        series: series.collect(),
        agents: named(&calls, &calls_before, |(agent, _)| agent),
        models: named(&calls, &calls_before, |(_, model)| model),
        new: news(&calls, &calls_before, &steps, &steps_before),
        steps: by_step(&steps, &steps_before),
        uncounted,
        window,
    })
}

/// How many of the log's events are not counted yet.
///
/// # Errors
/// [`StoreError`] when the database does not answer.
pub async fn uncounted(store: &Store, org_id: Uuid) -> Result<u64, StoreError> {
    let behind = store.insight().behind().await?;
    Ok(behind.iter().find(|log| log.org_id == org_id).map_or(0, |log| log.size - log.folded))
}

impl Totals {
    /// As it is shown.
    #[must_use]
    pub fn of(c: &Counts) -> Self {
        let latency = |part| {
            let ms = |share| c.quantile(part, share).map(|micros| (micros / 10.0).round() / 100.0);
            Latency { p50: ms(0.5), p95: ms(0.95) }
        };
        Self {
            calls: c.calls,
            flagged: c.flagged,
            findings: c.findings,
            would_block: c.would_block,
            blocked: c.blocked,
            masked: c.masked,
            would_mask: c.would_mask,
            errors: c.errors,
            tokens_in: c.tokens_in,
            tokens_out: c.tokens_out,
            cost_usd: usd(c.cost_nano),
            gateway_ms: latency(Part::Gateway),
            upstream_ms: latency(Part::Upstream),
        }
    }
}

/// All of them together.
pub(super) fn sum<'a>(counts: impl Iterator<Item = &'a Counts>) -> Counts {
    let mut all = Counts::default();
    counts.for_each(|one| all.add(one));
    all
}

#[expect(clippy::cast_precision_loss, reason = "a float holds a billionth of a dollar up to nine million")]
fn usd(nano: u64) -> f64 {
    nano as f64 / 1e9
}

fn named(now: &ByModel, before: &ByModel, name: impl Fn(&(String, String)) -> &String) -> Vec<Named> {
    let mut sums = BTreeMap::<&str, Counts>::new();
    for (key, counts) in now {
        sums.entry(name(key)).or_default().add(counts);
    }
    let earlier = |wanted: &str| {
        let of_it = before.iter().filter(|(key, _)| name(key) == wanted);
        of_it.map(|(_, counts)| counts.calls).sum()
    };
    let of = |(key, counts): (&&str, &Counts)| Named {
        name: (*key).to_owned(),
        totals: Totals::of(counts),
        calls_before: earlier(key),
    };
    let mut all: Vec<Named> = sums.iter().map(of).collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.totals.calls));
    all
}

fn by_step(now: &ByStep, before: &ByStep) -> Vec<Step> {
    let mut steps = BTreeMap::<&str, (StepCounts, BTreeMap<&str, u64>)>::new();
    for ((step, kind, _), counts) in now {
        let (sum, kinds) = steps.entry(step).or_default();
        sum.add(counts);
        if !kind.is_empty() {
            *kinds.entry(kind).or_default() += counts.findings;
        }
    }
    let mut all: Vec<Step> = steps
        .into_iter()
        .map(|(step, (sum, kinds))| {
            let mut kinds: Vec<(&str, u64)> = kinds.into_iter().collect();
            kinds.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
            let of_it = before.iter().filter(|((name, ..), _)| name == step);
            Step {
                step: step.to_owned(),
                calls: sum.calls,
                findings: sum.findings,
                would_block: sum.would_block,
                blocked: sum.blocked,
                findings_before: of_it.map(|(_, counts)| counts.findings).sum(),
                kinds: kinds.into_iter().map(|(kind, _)| kind.to_owned()).collect(),
            }
        })
        .collect();
    all.sort_by_key(|one| std::cmp::Reverse((one.findings, one.would_block)));
    all
}

fn news(now: &ByModel, before: &ByModel, steps: &ByStep, steps_before: &ByStep) -> News {
    fn fresh<T: Ord + Clone>(now: impl Iterator<Item = T>, before: impl Iterator<Item = T>) -> Vec<T> {
        let before: BTreeSet<T> = before.collect();
        let now: BTreeSet<T> = now.collect();
        now.difference(&before).cloned().collect()
    }
    let kinds = |steps: &ByStep| -> Vec<Kind> {
        steps.keys().map(|(step, kind, _)| Kind { step: step.clone(), kind: kind.clone() }).collect()
    };
    let models = |calls: &ByModel| -> Vec<String> {
        calls.keys().map(|(_, model)| model.clone()).filter(|model| !model.is_empty()).collect()
    };
    News {
        agents: fresh(now.keys().map(|(a, _)| a.clone()), before.keys().map(|(a, _)| a.clone())),
        models: fresh(models(now).into_iter(), models(before).into_iter()),
        kinds: fresh(kinds(steps).into_iter(), kinds(steps_before).into_iter()),
    }
}
