//! What agents do and hear beside their models' answers: tool calls of their own, results, prompts. Judged by the steps that
//! judge a model's call, without one.

use std::{ops::Range, sync::Arc, time::Duration};

use serde_json::Value;
use tappass_model::{Action, Answer, Denial};

use crate::{
    runner::{Call, Halt},
    trace::{Blocked, PolicyRow},
};

impl Call {
    /// Judges the tool call that the request asks about: the `before` steps see a request that offers the tool, the steps
    /// after the provider's call an answer that wants it called. Masked arguments stand in the answer's body.
    ///
    /// # Errors
    /// [`Halt::Blocked`] when the agent may not make it.
    pub async fn judge_tool_call(&mut self) -> Result<(), Halt> {
        self.admit().await?;
        self.run_without_model(self.pipeline.forward()).await?;
        let asked = self.exchange.request.body.clone();
        let answer = self.shape().read_answer(&asked);
        self.examine(Answer { body: asked, ..answer }).await?;
        self.refuse_broken()?;
        self.handed = true;
        Ok(())
    }

    /// Judges what a tool returned. It is there whatever is said of it, so the session carries it even where the agent is
    /// told not to use it. Masks stand in the request's body.
    ///
    /// # Errors
    /// [`Halt::Blocked`] when nothing of it may be used.
    pub async fn judge_tool_result(&mut self) -> Result<(), Halt> {
        self.handed = true;
        self.admit().await?;
        self.run_without_model(self.pipeline.forward().start..self.pipeline.steps.len()).await
    }

    /// Judges what a person says to an agent. It cannot be changed on its way: a mask stands in the request's body, and
    /// whoever asked must not let the prompt through then.
    ///
    /// # Errors
    /// [`Halt::Blocked`] when the agent may not hear it.
    pub async fn judge_prompt(&mut self) -> Result<(), Halt> {
        self.admit().await?;
        self.run_without_model(self.pipeline.forward().start..self.pipeline.steps.len()).await?;
        self.handed = true;
        Ok(())
    }

    /// Judges a message that passes between an agent and a server: all of its texts stand in the request, and masks there
    /// too.
    ///
    /// # Errors
    /// [`Halt::Blocked`] when it may not go on.
    pub async fn judge_message(&mut self) -> Result<(), Halt> {
        self.judge_tool_result().await
    }

    /// A rule of the gateway itself refuses the call: as a hit of a step would, and where `always` in every mode.
    ///
    /// # Errors
    /// [`Halt::Blocked`] where that acts.
    pub fn refuse_by(
        &mut self,
        rule: &'static str,
        reason: String,
        denial: Denial,
        always: bool,
    ) -> Result<(), Halt> {
        let action = if always { Action::Block } else { self.effective(Action::Block) };
        self.trace.policies.push(PolicyRow {
            policy: rule,
            action,
            verdict: Action::Block,
            failed: false,
            reason: reason.clone(),
            took: Duration::ZERO,
        });
        if action != Action::Block {
            return Ok(());
        }
        let blocked = Blocked { step: rule, reason, denial };
        Err(Halt::Blocked(self.trace.blocked.get_or_insert(blocked).clone()))
    }

    /// Whether what was asked for has left, or may: nothing takes it back.
    pub(crate) fn went_out(&self) -> bool {
        self.handed || !self.provider.is_empty()
    }

    /// The steps of a range that need no model; the others say why they did not run.
    async fn run_without_model(&mut self, range: Range<usize>) -> Result<(), Halt> {
        let (pipeline, dialect) = (Arc::clone(&self.pipeline), self.exchange.request.dialect);
        let mut halt = Ok(());
        for index in range {
            let step = &pipeline.steps[index];
            if step.run.without_model(dialect) {
                let ran = self.run(index..index + 1).await;
                halt = halt.and(ran);
            } else {
                self.skip(step, "not run: no model is called");
            }
        }
        halt
    }

    /// A mask over something that is no text (a number) leaves arguments that no tool can be called with.
    fn refuse_broken(&mut self) -> Result<(), Halt> {
        let arguments = |body: &Value| body["payload"]["arguments"].clone();
        let before = arguments(&self.exchange.request.body);
        let after = self.exchange.answer.as_ref().map(|answer| arguments(&answer.body)).unwrap_or_default();
        // So does `place::input_of` keep what is no object any more.
        let alone = after["arguments"].as_str().filter(|_| after.as_object().is_some_and(|a| a.len() == 1));
        let cut = |text: &str| text.starts_with('{') && serde_json::from_str::<Value>(text).is_err();
        if after == before || !alone.is_some_and(cut) {
            return Ok(());
        }
        let masking = self.trace.rows.iter().rev().find(|row| row.action == Action::Redact);
        let step = masking.map_or("scan_output", |row| row.step);
        let reason = "what must be masked in the arguments is no text, so they cannot be masked".to_owned();
        let blocked = Blocked { step, reason, denial: Denial::Policy };
        Err(Halt::Blocked(self.trace.blocked.get_or_insert(blocked).clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        step::{Pure, Runnable},
        testing::{call_with, exchange, services},
    };
    use serde_json::json;
    use tappass_model::{Dialect, Exchange, Mode, Outcome, Taint};
    use tappass_provider::dialects;

    fn asking(overrides: &str, dialect: Dialect, body: Value) -> Call {
        let mut x = exchange("");
        x.request = dialects::of(dialect).read_request(body, 0).expect("valid");
        call_with(overrides, x, &services())
    }

    fn about(overrides: &str, args: &Value) -> Call {
        asking(
            overrides,
            Dialect::ToolCall,
            json!({"type": "TOOL_CALL", "payload": {"tool": "t", "args": args}}),
        )
    }

    #[tokio::test]
    async fn every_step_has_one_row_and_no_model_is_called() {
        let mut c = about("{session_loop_guard: {}}", &json!({"q": 1}));
        c.judge_tool_call().await.expect("an ordinary call");
        let rows: Vec<&str> = c.trace.rows.iter().map(|row| row.step).collect();
        let steps: Vec<&str> = c.pipeline.steps.iter().map(|step| step.meta.id).collect();
        assert_eq!(rows, steps);
        let ran = |id: &str| c.trace.rows.iter().any(|row| row.step == id && row.action != Action::Skip);
        assert!(ran("session_loop_guard") && ran("scan_output") && !ran("call_llm"));
        assert_eq!((c.provider.as_str(), c.used().1), ("", 0.0));
    }

    #[tokio::test]
    async fn a_step_that_fails_blocks_in_enforce_only() {
        for id in ["detect_pii", "scan_output", "session_loop_guard"] {
            for (mode, passes) in [(Mode::Enforce, false), (Mode::Observe, true)] {
                let mut c = about("{session_loop_guard: {}}", &json!({}));
                let steps = &mut Arc::get_mut(&mut c.pipeline).expect("not shared yet").steps;
                let step = steps.iter_mut().find(|s| s.meta.id == id).expect("is there");
                step.run = Runnable::Pure(Box::new(Panics));
                c.exchange.mode = mode;
                assert_eq!(c.judge_tool_call().await.is_ok(), passes, "{id} in {mode}");
            }
        }
        // Nobody can be asked: that is a no.
        let mut c = about("{require_approval: {when: [{tool: t}]}}", &json!({}));
        c.exchange.mode = Mode::Enforce;
        assert!(c.judge_tool_call().await.is_err());
    }

    struct Panics;

    impl Pure for Panics {
        fn run(&self, _: &Exchange) -> Outcome {
            panic!("about the arguments")
        }
        fn without_model(&self, _: Dialect) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn a_result_is_carried_even_where_it_is_refused() {
        let key = format!("gh{}_{}", "p", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");
        let overrides = "{taint_check: {}, detect_secrets: {on_detection: block}}";
        let mut c = asking(overrides, Dialect::ToolResult, json!({"tool": "web_search", "result": key}));
        c.exchange.mode = Mode::Enforce;
        assert!(c.judge_tool_result().await.is_err());
        c.settle().await;
        let taints = &c.exchange.session_memory.taints;
        assert!(taints.contains(&Taint::Secret) && taints.contains(&Taint::External), "{taints:?}");
        let remembered = c
            .services
            .state
            .recall("session:00000000-0000-0000-0000-000000000000:00000000-0000-0000-0000-000000000000:s")
            .await;
        assert_eq!(&remembered.taints, taints);
    }
}
