//! Where a call meets the policies: what each question is told, and what follows from the answer.
//!
//! `authz` and `tools` are asked when the `before` steps have run, `routing` before the provider's call, `tools` again
//! about the calls that the model wants, and `guardrails` at the end of both outer phases. An answer that refuses is
//! told as a block by the policy's package.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;
use tappass_model::{Action, Denial, Finding, Mode, Origin};
use tappass_policy::{
    Authz, CallView, Decision, FindingView, Guardrails, Question, Routing, ToolCallView, Tools,
};

use crate::{
    runner::{Call, Halt},
    step::Phase,
    trace::{Blocked, PolicyRow},
};

impl Call {
    /// What the policies say when the `before` steps have run; `first` is the first finding of theirs.
    pub(crate) async fn ask_before(&mut self, first: usize) -> Result<(), Halt> {
        if self.policies.has_own(Question::Authz) {
            let tools = self.exchange.request.tools.clone();
            self.ask(Question::Authz, Authz { call: self.view(), tools }).await?;
        }
        if self.policies.has_own(Question::Tools) && !self.exchange.request.tools.is_empty() {
            self.ask_tools(Vec::new()).await?;
        }
        self.ask_guardrails(Phase::Before, first).await
    }

    /// What they say about where the call would go.
    pub(crate) async fn ask_routing(&mut self) -> Result<(), Halt> {
        if !self.policies.has_own(Question::Routing) {
            return Ok(());
        }
        // A model that leads nowhere is the provider call's to refuse, with what to set.
        let Ok((provider, _)) = self.providers.resolve(self.model()) else {
            return Ok(());
        };
        let provider = provider.id().to_owned();
        self.ask(Question::Routing, Routing { call: self.view(), provider }).await
    }

    /// What they say when the steps have seen the answer.
    pub(crate) async fn ask_after(&mut self, first: usize) -> Result<(), Halt> {
        let wanted = self.exchange.answer.as_ref().map(|a| a.tool_calls.as_slice()).unwrap_or_default();
        if self.policies.has_own(Question::Tools) && !wanted.is_empty() {
            let view = |call: &tappass_model::ToolCall| ToolCallView {
                tool: call.name.clone(),
                arguments: serde_json::from_str(&call.arguments).unwrap_or(Value::Null),
            };
            let calls = wanted.iter().map(view).collect();
            self.ask_tools(calls).await?;
        }
        self.ask_guardrails(Phase::After, first).await
    }

    /// Whether a policy of the organisation has yet to judge the answer when its last text has come.
    pub(crate) fn policy_judges_answers(&self) -> bool {
        self.exchange.mode.acts() && self.policies.has_own(Question::Guardrails)
    }

    /// Whether one has yet to judge the tool calls that the model wants.
    pub(crate) fn policy_judges_tools(&self) -> bool {
        self.exchange.mode.acts() && self.policies.has_own(Question::Tools)
    }

    async fn ask_tools(&mut self, calls: Vec<ToolCallView>) -> Result<(), Halt> {
        let tools = self.exchange.request.tools.clone();
        self.ask(Question::Tools, Tools { call: self.view(), tools, calls }).await
    }

    async fn ask_guardrails(&mut self, phase: Phase, first: usize) -> Result<(), Halt> {
        let found = &self.trace.findings[first..];
        // The shipped policy judges what several steps found together; what one step found, that step has judged.
        let several = found.windows(2).any(|two| two[0].step != two[1].step);
        if !several && !self.policies.has_own(Question::Guardrails) {
            return Ok(());
        }
        let findings = found.iter().map(|f| self.finding_view(phase, f)).collect();
        let action = self.trace.verdict();
        let input = Guardrails { call: self.view(), phase: phase.as_str(), action, findings };
        self.ask(Question::Guardrails, input).await
    }

    /// Asks, records what came of it, and refuses the call where the answer says so and the mode acts. No answer is
    /// a refusal too.
    async fn ask(&mut self, question: Question, input: impl Serialize) -> Result<(), Halt> {
        let start = Instant::now();
        let answer = match serde_json::to_value(input) {
            Ok(input) => self.policies.decide(question, input).await.map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        let package = question.package();
        let (verdict, reason, failed) = match answer {
            Ok(Decision { action, reason }) if reason.is_empty() => {
                (Action::from(action), format!("by the policy `{package}`"), false)
            }
            Ok(Decision { action, reason }) => (Action::from(action), reason, false),
            Err(what) => {
                tracing::error!(policy = package, error = what, "a policy gave no answer");
                (Action::Block, format!("the policy `{package}` gave no answer"), true)
            }
        };
        let verdict = match self.exchange.mode {
            Mode::Lockdown if verdict > Action::Allow => Action::Block,
            _ => verdict,
        };
        // The pieces of a stream are masked as they come, before the policy is asked about the whole.
        let streamed = question == Question::Guardrails
            && self.exchange.answer.is_some()
            && self.exchange.request.stream;
        let verdict = if streamed && verdict == Action::Redact { Action::Block } else { verdict };
        let action = self.effective(verdict);
        let took = start.elapsed();
        self.trace.policies.push(PolicyRow {
            policy: package,
            action,
            verdict,
            failed,
            reason: reason.clone(),
            took,
        });
        if action != Action::Block {
            return Ok(());
        }
        let blocked = Blocked { step: package, reason, denial: Denial::Policy };
        self.trace.blocked = Some(blocked.clone());
        Err(Halt::Blocked(blocked))
    }

    fn view(&self) -> CallView {
        let x = &self.exchange;
        CallView {
            org_id: x.caller.org_id,
            agent: x.caller.agent_id.clone(),
            user: x.end_user.clone(),
            session: x.session.id.clone(),
            turn: x.session.turn_index,
            mode: x.mode,
            model: x.request.model.clone(),
            stream: x.request.stream,
            classification: x.classification,
            time: x.now.to_string(),
        }
    }

    fn finding_view(&self, phase: Phase, finding: &Finding) -> FindingView {
        let segments = match (phase, &self.exchange.answer) {
            (Phase::After, Some(answer)) => &answer.segments,
            _ => &self.exchange.request.segments,
        };
        let origin: Option<Origin> = finding.span.and_then(|s| segments.get(s.segment)).map(|s| s.origin);
        FindingView { step: finding.step, kind: finding.kind.to_string(), score: finding.score, origin }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tappass_policy::Embedded;

    use super::*;
    use crate::testing::{call, services};

    fn governed(mode: Mode, question: Question, text: &str) -> Call {
        let mut c = call("Mail joan@example.org.", &services());
        c.exchange.mode = mode;
        c.policies = Arc::new(Embedded::with_own([(question, text)]).expect("compiles"));
        c
    }

    const NO_MAIL: &str = "package tappass.guardrails\nimport rego.v1\n\
        default decision := {\"action\": \"allow\"}\n\
        decision := {\"action\": \"block\", \"reason\": \"no addresses\"} if {\n\
        \tsome f in input.findings\n\tf.kind == \"EMAIL\"\n\tf.origin == \"user\"\n}\n";

    #[tokio::test]
    async fn a_policy_refuses_what_the_steps_let_pass() {
        let mut c = governed(Mode::Enforce, Question::Guardrails, NO_MAIL);
        let Err(Halt::Blocked(blocked)) = c.admit().await else { panic!("must block") };
        assert_eq!((blocked.step, blocked.reason.as_str()), ("tappass.guardrails", "no addresses"));
    }

    #[tokio::test]
    async fn the_shipped_guardrails_are_asked_about_what_several_steps_found() {
        // Built at run time, so that no scanner takes this file for a leak.
        let secret = format!("The key is gh{}_{}.", "p", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");
        let mail = "Mail joan@example.org.";
        for (text, asked) in [("Hello.", 0), (mail, 0), (&format!("{mail} {secret}"), 1)] {
            let mut c = call(text, &services());
            c.exchange.mode = Mode::Observe;
            c.admit().await.expect("observe blocks nothing");
            let rows = c.trace.policies.iter().filter(|row| row.policy == "tappass.guardrails").count();
            assert_eq!(rows, asked, "{text}");
        }
    }

    #[tokio::test]
    async fn in_observe_it_is_recorded_what_it_would_have_refused() {
        let mut c = governed(Mode::Observe, Question::Guardrails, NO_MAIL);
        c.admit().await.expect("observe blocks nothing");
        let would = c.trace.would_block();
        assert_eq!(would.iter().map(|w| w.step).collect::<Vec<_>>(), ["tappass.guardrails"]);
    }

    #[tokio::test]
    async fn a_policy_without_an_answer_refuses_in_enforce_only() {
        let silent =
            "package tappass.authz\nimport rego.v1\ndecision := {\"action\": \"allow\"} if input.missing\n";
        let mut c = governed(Mode::Enforce, Question::Authz, silent);
        let Err(Halt::Blocked(blocked)) = c.admit().await else { panic!("must block") };
        assert!(blocked.step == "tappass.authz" && blocked.reason.contains("no answer"), "{blocked:?}");
        let mut c = governed(Mode::Observe, Question::Authz, silent);
        c.admit().await.expect("observe blocks nothing");
        assert!(c.trace.policies[0].failed && c.trace.verdict() == Action::Block);
    }

    #[tokio::test]
    async fn routing_is_refused_before_anything_leaves() {
        let not_here = "package tappass.routing\nimport rego.v1\ndefault decision := {\"action\": \"allow\"}\n\
            decision := {\"action\": \"block\"} if input.provider == \"builtin\"\n";
        let mut c = governed(Mode::Enforce, Question::Routing, not_here);
        c.admit().await.expect("passes");
        assert!(matches!(c.forward().await, Err(Halt::Blocked(b)) if b.step == "tappass.routing"));
        assert_eq!(c.provider, "");
    }

    #[tokio::test]
    async fn a_stream_that_a_policy_would_mask_is_held_and_refused() {
        let masks = NO_MAIL.replace("\"block\"", "\"redact\"").replace("\tf.origin == \"user\"\n", "");
        let mut c = governed(Mode::Enforce, Question::Guardrails, &masks);
        c.exchange.request.stream = true;
        assert!(c.policy_judges_answers());
        let text = "Ask joan@example.org.".to_owned();
        let segment = tappass_model::Segment { origin: Origin::Answer, pointer: "/x".into(), text };
        let answer = tappass_model::Answer { segments: vec![segment], ..Default::default() };
        assert!(matches!(c.examine(answer).await, Err(Halt::Blocked(b)) if b.step == "tappass.guardrails"));
    }

    #[tokio::test]
    async fn a_policy_can_mask_what_a_step_only_records() {
        let masks = NO_MAIL.replace("\"block\"", "\"redact\"");
        let mut c = governed(Mode::Enforce, Question::Guardrails, &masks);
        c.admit().await.expect("passes");
        assert_eq!(c.exchange.request.body["messages"][0]["content"], "Mail [EMAIL].");
    }
}
