//! Hands the tool calls that the model wants to the agent, if the agent may use those tools.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, OnDetection, Outcome};

use super::tool_permissions::{allowing, finding, may_use};
use crate::step::{About, Category, Define, Meta, Phase, Pure};

/// # What it does
/// Looks at each tool call in the answer. Calls of tools that the agent may use go to the agent, which runs them.
/// # Why
/// A model can ask for a tool that was never on offer; the agent would run it.
/// # On a hit
/// Blocks the answer when it calls a tool that the agent may not use or that the request did not offer.
/// # Limits
/// Looks at names; arguments are scanned as text by `scan_output`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallTool {
    /// Whether a call of a tool that the request did not offer is a hit.
    pub only_offered: bool,
}

impl Default for CallTool {
    fn default() -> Self {
        Self { only_offered: true }
    }
}

impl Define for CallTool {
    const META: Meta = Meta {
        id: "call_tool",
        position: 620,
        phase: Phase::Call,
        category: Category::RouteAndExecute,
        summary: "Hands the model's tool calls to the agent, if it may use those tools",
        threats: &["LLM06", "ASI02"],
        on_detection: OnDetection::Block,
    };
    const ABOUT: About = About::Answer;
}

impl Pure for CallTool {
    fn run(&self, x: &Exchange) -> Outcome {
        let Some(answer) = x.answer.as_ref().filter(|a| !a.tool_calls.is_empty()) else {
            return Outcome::pass();
        };
        let offered = |name: &String| !self.only_offered || x.request.tools.contains(name);
        let refused: Vec<&str> = answer
            .tool_calls
            .iter()
            .filter(|call| !may_use(x, &call.name) || !offered(&call.name))
            .map(|call| call.name.as_str())
            .collect();
        if refused.is_empty() {
            let names: Vec<&str> = answer.tool_calls.iter().map(|c| c.name.as_str()).collect();
            return Outcome::pass_with(format!("handed to the agent: {}", names.join(", ")));
        }
        let message = format!("the model called a tool this agent may not use: {}", refused.join(", "));
        let mut remedy = allowing(&refused);
        if self.only_offered {
            remedy.push_str("; for a tool that was not on offer: `only_offered: false`, or offering it");
        }
        let findings = refused.iter().map(|name| finding(Self::META.id, name)).collect();
        Outcome::hit(message, findings).remedy(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange;
    use std::sync::Arc;
    use tappass_model::{Answer, ToolCall};

    fn calling(tool: &str, offered: &[&str]) -> Exchange {
        let mut x = exchange("hi");
        x.request.tools = offered.iter().map(ToString::to_string).collect();
        let call = ToolCall { id: "1".into(), name: tool.into(), arguments: "{}".into() };
        x.answer = Some(Answer { tool_calls: vec![call], ..Answer::default() });
        x
    }

    #[test]
    fn lets_an_offered_tool_pass() {
        let outcome = CallTool::default().run(&calling("search", &["search"]));
        assert!(!outcome.detected && outcome.message.contains("search"));
    }

    #[test]
    fn catches_what_was_denied_or_never_offered() {
        assert!(CallTool::default().run(&calling("shell", &["search"])).detected);
        assert!(!CallTool { only_offered: false }.run(&calling("shell", &["search"])).detected);
        let mut x = calling("shell", &["shell"]);
        Arc::make_mut(&mut x.caller).settings.tools.deny = vec!["sh*".into()];
        assert!(CallTool::default().run(&x).detected);
    }

    #[test]
    fn an_answer_without_tool_calls_is_nothing() {
        assert_eq!(CallTool::default().run(&exchange("hi")), Outcome::pass());
    }
}
