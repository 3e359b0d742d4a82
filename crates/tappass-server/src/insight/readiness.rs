//! What enforce would have refused, for the meeting that decides whether an agent is ready for it: by rule, then by
//! agent, then examples; and what people said of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tappass_model::{Mode, clock::rfc3339};
use tappass_store::{
    Agent, Counts, Mark, MarkRow, Stopped, Store, StoreError, Window,
    insight::{ByModel, StepCounts},
};
use uuid::Uuid;

use super::{WindowView, overview::sum, proposal::Request, score};

/// For so many pairs of rule and agent examples are read; the rest have their counts.
const MOST_EXAMPLED: usize = 80;

/// What enforce would have refused in a window.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Readiness {
    /// From when until when.
    pub window: WindowView,
    /// Of this agent only; null: of all.
    pub agent_id: Option<String>,
    /// All calls.
    pub calls: u64,
    /// Those that enforce would have refused and their mode let through.
    pub would_block: u64,
    /// Those that were refused.
    pub blocked: u64,
    /// Those whose text enforce would have masked and their mode did not.
    pub would_mask: u64,
    /// Over all rules.
    pub precision: Precision,
    /// By agent, those with the most to refuse first.
    pub agents: Vec<AgentReadiness>,
    /// By rule, the weightiest first.
    pub rules: Vec<Rule>,
}

/// What enforce would have meant for one agent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AgentReadiness {
    /// The agent.
    pub agent_id: String,
    /// All its calls.
    pub calls: u64,
    /// Those that enforce would have refused and their mode let through.
    pub would_block: u64,
    /// Those that were refused.
    pub blocked: u64,
    /// Those whose text enforce would have masked and their mode did not.
    pub would_mask: u64,
    /// What the marks say, over all rules.
    pub precision: Precision,
}

/// What one step found of one kind.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Rule {
    /// The step's id, or the policy's package.
    pub step: String,
    /// What it found; empty where a step found nothing of a kind.
    pub kind: String,
    /// Calls that enforce would have refused for it.
    pub would_block: u64,
    /// Calls that were refused for it.
    pub blocked: u64,
    /// What the marks say of it.
    pub precision: Precision,
    /// By agent, the weightiest first.
    pub agents: Vec<RuleAgent>,
}

/// What a rule meant for one agent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RuleAgent {
    /// The agent.
    pub agent_id: String,
    /// Its calls that enforce would have refused.
    pub would_block: u64,
    /// Its calls that were refused.
    pub blocked: u64,
    /// What the marks say.
    pub precision: Precision,
    /// The latest.
    pub examples: Vec<Example>,
}

/// How often a rule was right, of what people have marked in the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Precision {
    /// How many were marked right.
    pub right: u64,
    /// How many were marked as false alarms.
    pub false_alarms: u64,
    /// Right ones of all marked; null where none is.
    pub precision: Option<f64>,
    /// Where it lies with 95 % confidence (Wilson's interval), if what is marked is a fair sample: from here …
    pub low: Option<f64>,
    /// … to here.
    pub high: Option<f64>,
}

/// One call that a rule refused or would have. Holds a masked sample, never the text.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Example {
    /// The call: `GET /audit/{event_id}/explain`.
    pub event_id: Uuid,
    /// When.
    pub ts: String,
    /// The model that was asked for.
    pub model: String,
    /// Whether it was refused; else it would have been.
    pub blocked: bool,
    /// How often the kind was found in it.
    pub findings: u64,
    /// The score that decided.
    pub score: Option<f64>,
    /// What it was held against.
    pub threshold: Option<f64>,
    /// The first finding, masked.
    pub sample: String,
    /// The step's sentence.
    pub reason: String,
    /// What somebody said of it.
    pub mark: Option<MarkView>,
}

/// What somebody said of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MarkView {
    /// `right` or `false_alarm`.
    pub mark: &'static str,
    /// And why.
    pub note: Option<String>,
    /// Who.
    pub marked_by: String,
    /// When.
    pub marked_at: String,
}

impl MarkView {
    /// As it is shown.
    #[must_use]
    pub fn of(mark: &MarkRow) -> Self {
        Self {
            mark: match mark.mark {
                Mark::Right => "right",
                Mark::FalseAlarm => "false_alarm",
            },
            note: mark.note.clone(),
            marked_by: mark.marked_by.clone(),
            marked_at: rfc3339(mark.marked_at),
        }
    }
}

/// What enforce would have meant for an agent, and the change that makes it so.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EnforcePreview {
    /// The agent.
    pub agent_id: String,
    /// Its mode now.
    pub mode: Mode,
    /// The least that its callers can ask for now.
    pub floor: Mode,
    /// From when until when.
    pub window: WindowView,
    /// All its calls.
    pub calls: u64,
    /// Those that enforce would have refused and their mode let through.
    pub would_stop: u64,
    /// Those that were refused already.
    pub stopped: u64,
    /// Those whose text enforce would have masked and their mode did not.
    pub would_mask: u64,
    /// Why, by rule, without examples.
    pub rules: Vec<Rule>,
    /// What does it.
    pub request: Request,
}

/// Reads what enforce would have refused, of one agent or of all, with so many examples for each rule and agent.
///
/// # Errors
/// [`StoreError`] when the database does not answer.
pub async fn readiness(
    store: &Store,
    org_id: Uuid,
    window: WindowView,
    agent: Option<&str>,
    examples: u32,
) -> Result<Readiness, StoreError> {
    let (insight, now) = (store.insight(), window.window);
    let (calls, steps, marks) = tokio::try_join!(
        insight.calls(org_id, now, agent),
        insight.steps(org_id, now, agent),
        insight.marks_in(org_id, now)
    )?;
    let all = sum(calls.values());
    let mut rules = BTreeMap::<(String, String), Rule>::new();
    for ((step, kind, agent_id), counts) in &steps {
        if counts.would_block + counts.blocked == 0 {
            continue;
        }
        let of_agent = |m: &&MarkRow| m.step == *step && m.kind == *kind && m.agent_id == *agent_id;
        let rule = rules.entry((step.clone(), kind.clone())).or_insert_with(|| Rule {
            step: step.clone(),
            kind: kind.clone(),
            would_block: 0,
            blocked: 0,
            precision: Precision::default(),
            agents: Vec::new(),
        });
        rule.count(agent_id, counts, Precision::of(marks.iter().filter(of_agent)));
    }
    let mut rules: Vec<Rule> = rules.into_values().collect();
    rules.sort_by_key(|rule| std::cmp::Reverse((rule.would_block, rule.blocked)));
    let mut left = if examples == 0 { 0 } else { MOST_EXAMPLED };
    for rule in &mut rules {
        rule.agents.sort_by_key(|agent| std::cmp::Reverse((agent.would_block, agent.blocked)));
        let of_rule = rule.agents.iter().map(|a| (a.precision.right, a.precision.false_alarms));
        let (right, wrong) = of_rule.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        rule.precision = Precision::new(right, wrong);
        for agent in rule.agents.iter_mut().take(left) {
            left -= 1;
            let key = (rule.step.as_str(), rule.kind.as_str(), agent.agent_id.as_str());
            agent.examples = latest(store, org_id, key, now, examples, &marks).await?;
        }
    }
    let marked = rules.iter().map(|r| (r.precision.right, r.precision.false_alarms));
    let (right, wrong) = marked.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    Ok(Readiness {
        agent_id: agent.map(str::to_owned),
        calls: all.calls,
        would_block: all.would_block,
        blocked: all.blocked,
        would_mask: all.would_mask,
        precision: Precision::new(right, wrong),
        agents: by_agent(&calls, &marks),
        rules,
        window,
    })
}

/// Reads what enforce would have meant for an agent.
///
/// # Errors
/// [`StoreError`] when the database does not answer.
pub async fn preview(store: &Store, agent: &Agent, window: WindowView) -> Result<EnforcePreview, StoreError> {
    let r = readiness(store, agent.org_id, window, Some(&agent.agent_id), 0).await?;
    Ok(EnforcePreview {
        agent_id: agent.agent_id.clone(),
        mode: agent.settings.mode,
        floor: agent.settings.floor,
        window: r.window,
        calls: r.calls,
        would_stop: r.would_block,
        stopped: r.blocked,
        would_mask: r.would_mask,
        rules: r.rules,
        request: Request {
            method: "PATCH",
            path: format!("/agents/{}", agent.agent_id),
            if_match: Some(format!("\"v{}\"", agent.version)),
            body: json!({"mode": Mode::Enforce, "floor": Mode::Enforce}),
        },
    })
}

fn by_agent(calls: &ByModel, marks: &[MarkRow]) -> Vec<AgentReadiness> {
    let mut sums = BTreeMap::<&str, Counts>::new();
    for ((agent, _), counts) in calls {
        sums.entry(agent).or_default().add(counts);
    }
    let of = |(agent, counts): (&str, Counts)| AgentReadiness {
        precision: Precision::of(marks.iter().filter(|mark| mark.agent_id == agent)),
        agent_id: agent.to_owned(),
        calls: counts.calls,
        would_block: counts.would_block,
        blocked: counts.blocked,
        would_mask: counts.would_mask,
    };
    let mut all: Vec<AgentReadiness> = sums.into_iter().map(of).collect();
    all.sort_by_key(|agent| std::cmp::Reverse((agent.would_block, agent.blocked, agent.calls)));
    all
}

async fn latest(
    store: &Store,
    org_id: Uuid,
    rule: (&str, &str, &str),
    window: Window,
    limit: u32,
    marks: &[MarkRow],
) -> Result<Vec<Example>, StoreError> {
    let rows = store.insight().stopped(org_id, rule, window, limit).await?;
    let mark_of = |row: &Stopped| {
        let of_it = |m: &&MarkRow| m.event_id == row.event_id && m.step == row.step && m.kind == row.kind;
        marks.iter().find(of_it).map(MarkView::of)
    };
    let example = |row: &Stopped| Example {
        event_id: row.event_id,
        ts: rfc3339(row.ts),
        model: row.model.clone(),
        blocked: row.blocked,
        findings: row.findings,
        score: score(row.score),
        threshold: score(row.threshold),
        sample: row.sample.clone(),
        reason: row.reason.clone(),
        mark: mark_of(row),
    };
    Ok(rows.iter().map(example).collect())
}

impl Rule {
    fn count(&mut self, agent_id: &str, counts: &StepCounts, precision: Precision) {
        self.would_block += counts.would_block;
        self.blocked += counts.blocked;
        self.agents.push(RuleAgent {
            agent_id: agent_id.to_owned(),
            would_block: counts.would_block,
            blocked: counts.blocked,
            precision,
            examples: Vec::new(),
        });
    }
}

impl Precision {
    fn of<'a>(marks: impl Iterator<Item = &'a MarkRow>) -> Self {
        let (mut right, mut wrong) = (0, 0);
        for mark in marks {
            match mark.mark {
                Mark::Right => right += 1,
                Mark::FalseAlarm => wrong += 1,
            }
        }
        Self::new(right, wrong)
    }

    /// From counts. The interval is Wilson's ("Probable inference", 1927), which holds for few marks too.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of what people clicked")]
    pub fn new(right: u64, false_alarms: u64) -> Self {
        const Z: f64 = 1.959_964;
        let n = (right + false_alarms) as f64;
        if n == 0.0 {
            return Self::default();
        }
        let p = right as f64 / n;
        let centre = p + Z * Z / (2.0 * n);
        let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let all = 1.0 + Z * Z / n;
        let digits = |x: f64| Some((x.clamp(0.0, 1.0) * 1000.0).round() / 1000.0);
        Self {
            right,
            false_alarms,
            precision: digits(p),
            low: digits((centre - spread) / all),
            high: digits((centre + spread) / all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        assert_eq!(Precision::new(0, 0), Precision::default());
        // 8 of 10: the textbook's 0.490 to 0.943.
        let p = Precision::new(8, 2);
        assert_eq!((p.precision, p.low, p.high), (Some(0.8), Some(0.49), Some(0.943)));
        let all = Precision::new(3, 0);
        assert_eq!((all.precision, all.low, all.high), (Some(1.0), Some(0.439), Some(1.0)));
    }
}
