//! What came of a replay, as it is told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tappass_model::{Action, clock::rfc3339};
use tappass_pipeline::{Call, Compared, Effect, explain, rehearse::unrehearsed};
use tappass_store::KeptCall;
use uuid::Uuid;

use super::{Past, Replay};

/// Examples told of one group.
const EXAMPLES: usize = 5;
/// Changed calls that are listed.
const LISTED: usize = 500;

/// `POST /pipelines/replay`: what would have been otherwise.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Replayed {
    /// Name, preset and hash of the pipeline that was tried.
    pipeline: Value,
    /// The agents whose calls were judged; null: all of them.
    agents: Option<Vec<String>>,
    /// From when on, RFC 3339.
    since: String,
    /// Until when.
    until: String,
    /// How many calls: recorded in the window, kept, judged.
    calls: Calls,
    /// Whether nothing changes for any call that was judged.
    same: bool,
    /// How many calls, by what becomes of them.
    counts: Counts,
    /// What changes, by effect and step, the most first, with examples.
    groups: Vec<Group>,
    /// Each call that changes: the newest 500.
    changed: Vec<Changed>,
    /// Steps of the pipeline that a replay leaves out or judges in part, and why.
    not_replayed: Vec<NotReplayed>,
    /// What to do for a fuller picture; null where nothing is missing.
    advice: Option<String>,
}

/// How many calls.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Calls {
    /// Calls of models that the audit log has in the window.
    recorded: u64,
    /// Of those, how many have no text that was kept.
    without_text: u64,
    /// Calls that were kept, tool calls without a model among them.
    kept: u64,
    /// Those that were judged: the newest.
    replayed: u32,
    /// Those of them whose answer was judged too.
    with_answer: u32,
    /// Kept calls that could not be judged: no record, no such agent any more, or unreadable by this version.
    skipped: u32,
    /// Whether time ran out before all were judged.
    ran_out_of_time: bool,
}

/// How many calls, by what becomes of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    same: u32,
    newly_blocked: u32,
    no_longer_blocked: u32,
    newly_masked: u32,
    no_longer_masked: u32,
}

/// Calls to which the same happens by the same step.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Group {
    /// What happens.
    effect: Effect,
    /// The step or policy that makes the difference.
    step: String,
    /// How many calls.
    count: u32,
    /// How many, by agent.
    agents: BTreeMap<String, u32>,
    /// The newest of them.
    examples: Vec<Example>,
}

/// One call of a group.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Example {
    /// The call: the id of its audit event.
    call: Uuid,
    ts: String,
    agent_id: String,
    /// What enforce does about it by the record.
    recorded: Action,
    /// What enforce would do about it.
    would: Action,
    /// The step's sentence.
    reason: String,
    /// What the step found, masked: `kind`, `family`, `at`, `span`, `score`, `sample`.
    findings: Value,
}

/// One call that changes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Changed {
    call: Uuid,
    ts: String,
    agent_id: String,
    recorded: Action,
    would: Action,
    effect: Effect,
    step: String,
}

/// A step that a replay cannot judge, or not wholly.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NotReplayed {
    step: String,
    /// Whether it was judged on what stands in the call alone.
    partly: bool,
    why: String,
}

/// What came of one call.
pub struct Judged {
    compared: Compared,
    reason: String,
    findings: Value,
}

impl Judged {
    /// With the words of whichever side has them.
    pub fn of(call: &Call, past: &Past, compared: Compared) -> Self {
        let (findings, reason) = match compared.effect {
            Effect::Same => (Value::Null, String::new()),
            Effect::NewlyBlocked | Effect::NewlyMasked => now(call, &compared.step),
            Effect::NoLongerBlocked | Effect::NoLongerMasked => past.of_step(&compared.step),
        };
        Self { compared, reason, findings }
    }

    /// A call that the pipeline would not take at all.
    pub fn refused(past: &Past, reason: String) -> Self {
        let recorded = past.steps.iter().map(|(_, action)| *action).filter(|a| *a != Action::Error).max();
        let recorded = recorded.unwrap_or_default();
        let effect = if recorded == Action::Block { Effect::Same } else { Effect::NewlyBlocked };
        let compared = Compared { recorded, would: Action::Block, effect, step: "flags".to_owned() };
        Self { compared, reason, findings: Value::Null }
    }
}

fn now(call: &Call, step: &str) -> (Value, String) {
    let told = explain(call).into_iter().find(|told| told.step == step);
    let row = call.trace.rows.iter().find(|row| row.step == step).map(|row| row.message.to_string());
    let found = told.as_ref().map(|told| json!(told.found)).unwrap_or_default();
    (found, row.or_else(|| told.and_then(|told| told.message)).unwrap_or_default())
}

/// What is counted around the calls.
pub struct Window {
    pub now: Timestamp,
    /// Model calls in the log.
    pub recorded: u64,
    /// Kept calls of models, and of tools.
    pub kept: [u64; 2],
    /// Whether the organisation keeps calls now.
    pub keeps: bool,
}

/// Counts while calls are judged.
#[derive(Default)]
pub struct Tally {
    pub looked_at: u32,
    pub replayed: u32,
    pub with_answer: u32,
    pub skipped: u32,
    pub ran_out: bool,
    counts: Counts,
    groups: BTreeMap<(Effect, String), Group>,
    changed: Vec<Changed>,
}

impl Tally {
    /// Adds what came of a call.
    pub fn add(&mut self, kept: &KeptCall, judged: Judged) {
        let Judged { compared: Compared { recorded, would, effect, step }, reason, findings } = judged;
        *match effect {
            Effect::Same => &mut self.counts.same,
            Effect::NewlyBlocked => &mut self.counts.newly_blocked,
            Effect::NoLongerBlocked => &mut self.counts.no_longer_blocked,
            Effect::NewlyMasked => &mut self.counts.newly_masked,
            Effect::NoLongerMasked => &mut self.counts.no_longer_masked,
        } += 1;
        if effect == Effect::Same {
            return;
        }
        let (call, ts, agent_id) = (kept.call_id, rfc3339(kept.ts), kept.agent_id.clone());
        let group = self.groups.entry((effect, step.clone())).or_insert_with(|| Group {
            effect,
            step: step.clone(),
            count: 0,
            agents: BTreeMap::new(),
            examples: Vec::new(),
        });
        group.count += 1;
        *group.agents.entry(agent_id.clone()).or_default() += 1;
        if group.examples.len() < EXAMPLES {
            let (ts, agent_id) = (ts.clone(), agent_id.clone());
            group.examples.push(Example { call, ts, agent_id, recorded, would, reason, findings });
        }
        if self.changed.len() < LISTED {
            self.changed.push(Changed { call, ts, agent_id, recorded, would, effect, step });
        }
    }

    /// All of it.
    pub fn told(self, asked: &Replay, window: &Window) -> Replayed {
        let (pipeline, kept) = (&asked.pipeline, window.kept[0] + window.kept[1]);
        let mut groups: Vec<Group> = self.groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        let left_out = unrehearsed(pipeline).into_iter().map(|left| NotReplayed {
            step: left.step.to_owned(),
            partly: left.partly,
            why: left.why.to_owned(),
        });
        let advice = advice(window, kept, u64::from(self.looked_at), self.ran_out);
        Replayed {
            pipeline: json!({"name": pipeline.name, "preset": pipeline.preset, "hash": pipeline.hash}),
            agents: asked.agents.clone(),
            since: rfc3339(asked.since),
            until: rfc3339(window.now),
            calls: Calls {
                recorded: window.recorded,
                without_text: window.recorded.saturating_sub(window.kept[0]),
                kept,
                replayed: self.replayed,
                with_answer: self.with_answer,
                skipped: self.skipped,
                ran_out_of_time: self.ran_out,
            },
            same: self.counts == Counts { same: self.counts.same, ..Counts::default() },
            counts: self.counts,
            groups,
            changed: self.changed,
            not_replayed: left_out.collect(),
            advice,
        }
    }
}

impl Replayed {
    /// Whether what calls said was read for it.
    #[must_use]
    pub const fn read_any(&self) -> bool {
        self.calls.replayed + self.calls.skipped > 0
    }

    /// What the audit log holds of it.
    #[must_use]
    pub fn for_the_record(&self) -> Value {
        json!({"for": "replay", "calls": self.calls.replayed, "agents": self.agents, "since": self.since,
            "pipeline": self.pipeline, "counts": self.counts})
    }
}

fn advice(window: &Window, kept: u64, looked_at: u64, ran_out: bool) -> Option<String> {
    if kept == 0 {
        return Some(if window.keeps {
            "No text of these calls is kept yet: what agents do from now on can be replayed.".to_owned()
        } else {
            "No text of calls is kept, so there is nothing to replay. An org_admin turns it on: \
             PUT /settings/payloads {\"keep_days\": 7}. What is kept is sealed, and forgotten after that time."
                .to_owned()
        });
    }
    if ran_out {
        return Some(
            "Time ran out before all kept calls were judged: name an agent, or a shorter time.".to_owned(),
        );
    }
    (looked_at < kept).then(|| format!("The newest {looked_at} of {kept} kept calls were judged."))
}
