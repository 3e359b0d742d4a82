//! A call of the past, judged once more by another pipeline: without a provider, without anybody who is asked, without a
//! memory, and without leaving any.

use tappass_model::{Answer, Dialect, Mode, Scope};

use crate::{
    compile::{Pipeline, Placed},
    runner::{Call, Halt},
};

/// Steps that a rehearsal leaves out, for they are about what is not in the call, each with what that is.
const LEFT_OUT: [(&str, &str); 6] = [
    ("rate_limit", "it counts the calls around this one"),
    ("budget", "it counts what was spent around this call"),
    ("session_budget", "it counts what was spent in the session"),
    ("llm_judge", "it asks a model"),
    ("model_routing", "it asks which providers answer now"),
    ("call_llm", "no provider is called"),
];

/// What a rehearsal cannot know of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unrehearsed {
    /// The step's id.
    pub step: &'static str,
    /// Whether it runs nevertheless, on what stands in the call alone.
    pub partly: bool,
    /// Why, as the rest of a sentence.
    pub why: &'static str,
}

/// Why a step is left out of a rehearsal, if it is.
pub(crate) fn left_out(step: &str) -> Option<&'static str> {
    LEFT_OUT.iter().find(|(id, _)| *id == step).map(|(_, why)| *why)
}

/// The steps of a pipeline that a rehearsal leaves out or judges in part, in order.
#[must_use]
pub fn unrehearsed(pipeline: &Pipeline) -> Vec<Unrehearsed> {
    let about = |placed: &Placed| {
        let step = placed.meta.id;
        if let Some(why) = left_out(step) {
            return Some(Unrehearsed { step, partly: false, why });
        }
        if step == "require_approval" {
            let why = "it says when somebody would be asked, whatever was approved before";
            return Some(Unrehearsed { step, partly: true, why });
        }
        let why = match placed.remembers.first() {
            Some(Scope::Session) => "what it remembers of the session is left out",
            Some(Scope::Agent) => "what it remembers of the agent is left out",
            None => return None,
        };
        Some(Unrehearsed { step, partly: true, why })
    };
    pipeline.steps.iter().filter_map(about).collect()
}

impl Call {
    /// Judges a call of the past by this call's pipeline: all steps that can, on the request and, where it was kept, on the
    /// answer. Nothing is refused, so that every step has its say; the trace has what enforce would do.
    ///
    /// The services must be its own: what the steps would remember goes there and is lost.
    pub async fn rehearse(&mut self, answer: Option<Answer>) {
        self.rehearsal = true;
        self.exchange.mode = Mode::Observe;
        // Observe refuses nothing: what halts is a rule that holds in every mode, and stands in the trace.
        let dialect = self.exchange.request.dialect;
        let halted = match dialect {
            Dialect::ToolCall | Dialect::McpCall => self.judge_tool_call().await,
            Dialect::ToolResult | Dialect::McpMessage => self.judge_tool_result().await,
            Dialect::Prompt => self.judge_prompt().await,
            _ => self.rehearse_model(answer).await,
        };
        if halted.is_err() {
            tracing::debug!("a rehearsed call was halted");
        }
    }

    async fn rehearse_model(&mut self, answer: Option<Answer>) -> Result<(), Halt> {
        self.admit().await?;
        let forward = self.pipeline.forward();
        // The provider's call is the last of the range, and left out as others are.
        self.run(forward.start..forward.end - 1).await?;
        self.ask_routing().await?;
        self.run(forward.end - 1..forward.end).await?;
        match answer {
            Some(answer) => self.examine(answer).await,
            None => {
                self.skip_rest("the answer was not kept");
                Ok(())
            }
        }
    }

    /// Whether a step has had its say in this call.
    #[must_use]
    pub fn has_judged(&self, step: &str) -> bool {
        let ran = |row: &&crate::TraceRow| row.action != tappass_model::Action::Skip;
        self.trace.rows.iter().filter(ran).any(|row| row.step == step)
    }
}
