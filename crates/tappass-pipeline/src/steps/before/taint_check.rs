//! Follows personal data, secrets and text from outside through a session, and stops them at the sinks.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{
    Change, Effect, Exchange, Family, Finding, Match, OnDetection, Origin, Outcome, Scope, Taint,
};
use tappass_provider::dialects;

use super::shared::glob;
use crate::step::{Category, Define, Meta, Phase, Pure};

/// Where data leaves an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sink {
    /// Runs commands or code.
    Shell,
    /// Sends to somewhere else.
    Network,
    /// Writes where others read.
    Output,
}

/// # What it does
/// Labels a session by what it has touched: `PII` and `SECRET` by the detectors, in requests and answers; `EXTERNAL`
/// when a tool of `external` returned something, or an MCP server behind the gateway said anything. Then holds every tool call against the labels, by the sink its name
/// belongs to: those the model wants, and those of the conversation's last turn. A label stays for the session.
/// # Why
/// Each step of an exfiltration looks harmless: read a page, read a file, send a mail. Together they are the attack.
/// # On a hit
/// Blocks: a call that a session with this label may not make. The session goes on; only the call is refused.
/// # Limits
/// Goes by a session's labels, not by values, so it also stops a call that carries nothing of what was touched; a new
/// session starts clean. A tool whose name no list knows is no sink. What was refused before it left labels nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaintCheck {
    /// Tools by sink (`shell`, `network`, `output`), by name or glob.
    pub sinks: BTreeMap<Sink, Vec<String>>,
    /// Tools that bring text from outside, by name or glob.
    pub external: Vec<String>,
    /// Which labels (`PII`, `SECRET`, `EXTERNAL`) are stopped at which sinks.
    #[schemars(with = "BTreeMap<String, Vec<Sink>>")]
    pub stop: BTreeMap<Taint, Vec<Sink>>,
    /// How sure a detector must be for a label, 0 to 1.
    pub threshold: f32,
}

impl Default for TaintCheck {
    fn default() -> Self {
        let list = |globs: &[&str]| globs.iter().map(ToString::to_string).collect::<Vec<_>>();
        let sinks = [
            (
                Sink::Shell,
                list(&[
                    "*shell*",
                    "*bash*",
                    "*terminal*",
                    "*exec*",
                    "run_*",
                    "*python*",
                    "*code_interpreter*",
                    "*eval*",
                ]),
            ),
            (
                Sink::Network,
                list(&[
                    "*http*",
                    "*curl*",
                    "*post_*",
                    "*send*",
                    "*upload*",
                    "*webhook*",
                    "*email*",
                    "*mail_to*",
                    "*request_url*",
                ]),
            ),
            (
                Sink::Output,
                list(&[
                    "*publish*",
                    "*comment*",
                    "*create_issue*",
                    "*create_pull*",
                    "*tweet*",
                    "*share*",
                    "*commit*",
                    "*push*",
                ]),
            ),
        ];
        let stop = [
            (Taint::Pii, vec![Sink::Network]),
            (Taint::Secret, vec![Sink::Shell, Sink::Network, Sink::Output]),
            (Taint::External, vec![Sink::Shell]),
        ];
        Self {
            sinks: sinks.into(),
            external: list(&[
                "*fetch*",
                "*browse*",
                "*web*",
                "*search*",
                "*scrape*",
                "*crawl*",
                "*url*",
                "*rss*",
                "*inbox*",
                "*read_email*",
            ]),
            stop: stop.into(),
            threshold: 0.5,
        }
    }
}

impl Define for TaintCheck {
    const META: Meta = Meta {
        id: "taint_check",
        position: 250,
        phase: Phase::Before,
        category: Category::DataProtection,
        summary: "Labels PII, SECRET and EXTERNAL per session and stops them at shell, network and output",
        threats: &["LLM02", "LLM06", "ASI01", "ASI02", "AML.T0057"],
        on_detection: OnDetection::Block,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Pii, Family::Secret]
    }

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }

    fn prepare(&mut self) -> Result<(), String> {
        super::scored::check(self.threshold)
    }
}

impl TaintCheck {
    fn labels(&self, hits: &[Vec<Match>]) -> BTreeSet<Taint> {
        let of = |hit: &Match| match hit.family {
            Family::Pii if hit.score >= self.threshold => Some(Taint::Pii),
            Family::Secret if hit.score >= self.threshold => Some(Taint::Secret),
            _ => None,
        };
        hits.iter().flatten().filter_map(of).collect()
    }

    fn any(globs: &[String], tool: &str) -> bool {
        let tool = tool.to_ascii_lowercase();
        globs.iter().any(|g| glob(g, &tool))
    }

    /// What happens to these tool calls in a session that carries `known` and touches `new` in this call.
    fn judge<'a>(
        &self,
        known: &BTreeSet<Taint>,
        new: &BTreeSet<Taint>,
        calls: impl Iterator<Item = &'a str>,
    ) -> Outcome {
        let mut stopped: Vec<(Taint, Sink, &str)> = Vec::new();
        for tool in calls {
            let reaches: Vec<Sink> = self
                .sinks
                .iter()
                .filter(|(_, globs)| Self::any(globs, tool))
                .map(|(sink, _)| *sink)
                .collect();
            for label in known.union(new) {
                let sinks = self.stop.get(label).map(Vec::as_slice).unwrap_or_default();
                let hit = reaches.iter().find(|sink| sinks.contains(sink));
                stopped.extend(hit.map(|sink| (*label, *sink, tool)));
            }
        }
        let outcome = if stopped.is_empty() {
            let all: Vec<&str> = known.union(new).map(|t| t.as_str()).collect();
            if all.is_empty() {
                Outcome::pass()
            } else {
                Outcome::pass_with(format!("carries {}", all.join(", ")))
            }
        } else {
            let what: Vec<String> = stopped
                .iter()
                .map(|(l, s, tool)| format!("{} at {} ({tool})", l.as_str(), s.as_str()))
                .collect();
            let finding = |(label, sink, tool): &(Taint, Sink, &str)| {
                let sample: String = format!("{}: {tool}", sink.as_str()).chars().take(80).collect();
                Finding::about(Self::META.id, kind(*label), sample)
            };
            let findings = stopped.iter().map(finding).collect();
            Outcome::hit(
                format!("the session carries what must not get there: {}", what.join(", ")),
                findings,
            )
        };
        let fresh = new.difference(known);
        fresh.fold(outcome, |o, label| o.with(Effect::Remember(Scope::Session, Change::Taint(*label))))
    }
}

const fn kind(label: Taint) -> &'static str {
    match label {
        Taint::Pii => "TAINT_PII",
        Taint::Secret => "TAINT_SECRET",
        Taint::External => "TAINT_EXTERNAL",
    }
}

impl Sink {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Network => "network",
            Self::Output => "output",
        }
    }
}

impl Pure for TaintCheck {
    fn run(&self, x: &Exchange) -> Outcome {
        let mut new = self.labels(&x.matches);
        let history = dialects::of(x.request.dialect).history(&x.request.body);
        let from_outside = history
            .calls
            .iter()
            .filter(|past| past.result.is_some())
            .map(|past| &past.call.name)
            .chain(&history.reported)
            .any(|tool| Self::any(&self.external, tool))
            || history.external;
        if from_outside && x.request.segments.iter().any(|s| s.origin == Origin::ToolResult) {
            new.insert(Taint::External);
        }
        // Earlier turns were judged when they were the last.
        let last = history.last_round().filter(|_| history.answered);
        // What the last turn's own results brought is no reason against the calls that brought it.
        let before = &x.session_memory.taints;
        let judged = self.judge(before, &BTreeSet::new(), last.map(|past| past.call.name.as_str()));
        let labels = new.difference(before);
        labels.fold(judged, |o, label| o.with(Effect::Remember(Scope::Session, Change::Taint(*label))))
    }

    fn judges_answers(&self) -> bool {
        true
    }

    fn judge_answer(&self, x: &Exchange) -> Outcome {
        let Some(answer) = &x.answer else { return Outcome::pass() };
        let names = answer.tool_calls.iter().map(|c| c.name.as_str());
        self.judge(&x.session_memory.taints, &self.labels(&answer.matches), names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answered, scanned};
    use serde_json::json;
    use std::sync::Arc;
    use tappass_model::{Memory, ToolCall};

    fn secret() -> String {
        format!("key gh{}_{}", "p", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq")
    }

    fn wants(mut x: Exchange, tool: &str, taints: &[Taint]) -> Outcome {
        let call = ToolCall { id: "1".into(), name: tool.into(), arguments: "{}".into() };
        x.answer.as_mut().expect("an answer").tool_calls = vec![call];
        x.session_memory = Arc::new(Memory { taints: taints.iter().copied().collect(), ..Memory::default() });
        TaintCheck::default().judge_answer(&x)
    }

    fn labels(outcome: &Outcome) -> Vec<Taint> {
        let label = |e: &Effect| match e {
            Effect::Remember(Scope::Session, Change::Taint(t)) => Some(*t),
            _ => None,
        };
        outcome.effects.iter().filter_map(label).collect()
    }

    #[test]
    fn a_clean_session_may_use_every_sink() {
        assert_eq!(TaintCheck::default().run(&scanned("hello")), Outcome::pass());
        for tool in ["bash", "http_post", "create_issue"] {
            assert!(!wants(answered("sure"), tool, &[]).detected, "{tool}");
        }
    }

    #[test]
    fn labels_come_from_requests_and_answers() {
        let outcome = TaintCheck::default().run(&scanned(&format!("{} jan.peeters@acme.eu", secret())));
        assert_eq!(labels(&outcome), [Taint::Pii, Taint::Secret]);
        assert!(!outcome.detected, "a label is no hit");
        let own = wants(answered(&secret()), "http_post", &[]);
        assert!(
            own.detected && labels(&own) == [Taint::Secret],
            "what it says and what it calls belong together"
        );
    }

    #[test]
    fn each_label_is_stopped_at_its_sinks() {
        for (label, stopped, free) in [
            (Taint::Pii, "http_post", "bash"),
            (Taint::Secret, "Create_Issue", "read_file"),
            (Taint::External, "run_command", "send_email"),
        ] {
            let hit = wants(answered("sure"), stopped, &[label]);
            assert!(hit.detected && hit.findings[0].kind == kind(label), "{label:?} {hit:?}");
            assert!(!wants(answered("sure"), free, &[label]).detected, "{label:?} {free}");
        }
    }

    #[test]
    fn what_a_tool_brings_from_outside_labels_the_session_and_the_last_turn_is_judged() {
        let turn = |tool: &str| {
            let mut x = scanned("look it up");
            let messages = json!([{"role": "user", "content": "x"},
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": tool, "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "a page"}]);
            x.request.body["messages"] = messages;
            x.request.segments[0].origin = Origin::ToolResult;
            x
        };
        let outcome = TaintCheck::default().run(&turn("fetch_page"));
        assert!(!outcome.detected && labels(&outcome) == [Taint::External], "{outcome:?}");
        assert!(labels(&TaintCheck::default().run(&turn("read_file"))).is_empty());
        let mut ran = turn("bash");
        ran.session_memory = Arc::new(Memory { taints: [Taint::External].into(), ..Memory::default() });
        assert!(TaintCheck::default().run(&ran).detected, "it ran all the same: the turn is refused");
    }
}
