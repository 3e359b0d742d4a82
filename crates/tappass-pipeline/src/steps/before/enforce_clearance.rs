//! No read up, no write down: what an agent may see, and where a session that saw it may write.
//! The session's high-water mark is raised as soon as a level is known.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{
    Change, Classification, Effect, Exchange, Finding, OnDetection, Outcome, Scope, ToolCall,
};

use super::shared::glob;
use crate::{
    arguments::{Objection, shown},
    runner::Call,
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

/// # What it does
/// Compares the level of the request with what the agent is cleared for (no read up), and the highest level that its
/// session has seen with the level of each tool on offer that writes somewhere (no write down): after a RESTRICTED
/// document a session has no tool any more that posts to a PUBLIC place.
/// # Why
/// It is the rule by which classified material is handled (Bell and LaPadula), and the only one that also stops what
/// was read an hour ago.
/// # On a hit
/// Blocks. With `redact` the tools that would write down are taken out and the call goes on; reading up is then only
/// recorded.
/// # Limits
/// Knows the levels that `classify_data` found and the sinks that are stated here. An answer's level counts from the
/// next call on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnforceClearance {
    /// What agents are cleared for, unless `agents` says otherwise.
    pub clearance: Classification,
    /// What agents are cleared for, by id or glob; the longest that fits counts.
    pub agents: BTreeMap<String, Classification>,
    /// The highest level that may be written by a tool, by name or glob; the longest that fits counts. Tools that are
    /// not named write nowhere.
    pub sinks: BTreeMap<String, Classification>,
}

impl Default for EnforceClearance {
    fn default() -> Self {
        Self { clearance: Classification::Confidential, agents: BTreeMap::new(), sinks: BTreeMap::new() }
    }
}

impl Define for EnforceClearance {
    const META: Meta = Meta {
        id: "enforce_clearance",
        position: 420,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "No read up, no write down, by the session's high-water mark",
        threats: &["LLM02", "ASI03"],
        on_detection: OnDetection::Block,
    };

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }
}

fn longest(table: &BTreeMap<String, Classification>, name: &str) -> Option<Classification> {
    let fits = table.iter().filter(|(pattern, _)| glob(pattern, name));
    fits.max_by_key(|(pattern, _)| pattern.len()).map(|(_, level)| *level)
}

/// The highest level that the session has seen, this call included.
fn mark(x: &Exchange) -> Classification {
    x.session_memory.high_water.max(x.classification)
}

impl EnforceClearance {
    fn writes_down(&self, x: &Exchange, tool: &str) -> bool {
        longest(&self.sinks, tool).is_some_and(|most| mark(x) > most)
    }
}

#[async_trait::async_trait]
impl Waiting for EnforceClearance {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let level = call.exchange.classification;
        if level > call.exchange.session_memory.high_water {
            // Now, not at the end of the call: another call of the session may be on its way.
            call.remember_now(Scope::Session, Change::Raise(level)).await;
        }
        let x = &call.exchange;
        let cleared = longest(&self.agents, &x.caller.agent_id).unwrap_or(self.clearance);
        let down: Vec<String> =
            x.request.tools.iter().filter(|tool| self.writes_down(x, tool)).cloned().collect();
        let mut findings: Vec<Finding> =
            down.iter().map(|tool| Finding::about(Self::META.id, "WRITE_DOWN", shown(tool))).collect();
        let mut outcome =
            Outcome::pass_with(format!("cleared for {cleared}, the session has seen {}", mark(x)));
        if !down.is_empty() {
            outcome = Outcome::hit(
                format!("the session has seen {}, and may not write with: {}", mark(x), down.join(", ")),
                Vec::new(),
            )
            .with(Effect::RemoveTools(down));
        }
        if level > cleared {
            findings.push(Finding::about(Self::META.id, "READ_UP", String::new()));
            outcome.detected = true;
            outcome.message = format!("the request is {level}, the agent is cleared for {cleared}").into();
        }
        Ok(Outcome { findings, ..outcome })
    }

    fn objects(&self, x: &Exchange, call: &ToolCall) -> Option<Objection> {
        self.writes_down(x, &call.name)
            .then(|| Objection::new("WRITE_DOWN", "it writes to a lower level than the session has seen"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, offering, services};
    use std::sync::Arc;

    fn step() -> EnforceClearance {
        EnforceClearance {
            agents: [("officer-*".to_owned(), Classification::TopSecret)].into(),
            sinks: [
                ("post_*".to_owned(), Classification::Public),
                ("file_*".to_owned(), Classification::TopSecret),
            ]
            .into(),
            ..EnforceClearance::default()
        }
    }

    async fn kinds(services: &Arc<crate::Services>, level: Classification, agent: &str) -> Vec<String> {
        let mut c = call("hi", services);
        c.exchange = Exchange { classification: level, ..offering(&["post_tweet", "file_report", "search"]) };
        Arc::make_mut(&mut c.exchange.caller).agent_id = agent.into();
        // As the runner does at the start of a call.
        c.remember_now(Scope::Session, Change::Spend { usd: 0.0, tokens: 0 }).await;
        let outcome = step().run(&mut c).await.expect("runs");
        assert_eq!(outcome.detected, !outcome.findings.is_empty());
        outcome.findings.iter().map(|f| f.kind.to_string()).collect()
    }

    #[tokio::test]
    async fn lets_pass_what_stays_at_its_level() {
        assert!(kinds(&services(), Classification::Public, "a").await.is_empty());
    }

    #[tokio::test]
    async fn catches_reading_up_and_writing_down() {
        assert_eq!(kinds(&services(), Classification::Restricted, "a").await, ["WRITE_DOWN", "READ_UP"]);
        assert_eq!(kinds(&services(), Classification::Restricted, "officer-1").await, ["WRITE_DOWN"]);
    }

    #[tokio::test]
    async fn the_mark_stays_when_the_level_falls_and_holds_for_calls_too() {
        let services = services();
        assert_eq!(kinds(&services, Classification::Confidential, "a").await, ["WRITE_DOWN"]);
        assert_eq!(kinds(&services, Classification::Public, "a").await, ["WRITE_DOWN"]);
        let mut x = offering(&[]);
        x.classification = Classification::Internal;
        let call = |name: &str| ToolCall { id: String::new(), name: name.into(), arguments: String::new() };
        assert!(step().objects(&x, &call("post_tweet")).is_some());
        assert!(step().objects(&x, &call("file_report")).is_none());
    }
}
