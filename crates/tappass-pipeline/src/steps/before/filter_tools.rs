//! Takes tools that the agent may not see out of the request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Effect, Exchange, OnDetection, Outcome, ToolRules};

use super::{
    shared::permits,
    tool_permissions::{finding, may_use},
};
use crate::step::{About, Category, Define, Meta, Phase, Pure};

/// # What it does
/// Looks for tools in the request that `hide` names, that `only` does not name, or that the agent's rules and the
/// call's `tools` flag do not allow. A `tool_choice` that asks for such a tool is left to the model.
/// # Why
/// A model does not ask for what it does not know of. An agent built for many purposes can offer all its tools and
/// still show each pipeline its own.
/// # On a hit
/// `redact` takes the tools out and the call goes on; `block` refuses it. Where nothing is changed (observe, or `log`)
/// the tools stay, and the record names them.
/// # Limits
/// Where `tool_permissions` blocks, which is its default, a tool that is not allowed ends the call before this step can
/// take it out: set `tool_permissions: {on_detection: log}` to have it taken out instead.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterTools {
    /// Tools that are taken out, by name or glob.
    pub hide: Vec<String>,
    /// The only tools that stay, by name or glob; empty: all.
    pub only: Vec<String>,
}

impl Define for FilterTools {
    const META: Meta = Meta {
        id: "filter_tools",
        position: 150,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "Takes tools that the agent may not see out of the request",
        threats: &["LLM06", "ASI02"],
        on_detection: OnDetection::Redact,
    };
    const ABOUT: About = About::Conversation;
}

impl Pure for FilterTools {
    fn run(&self, x: &Exchange) -> Outcome {
        if x.request.tools.is_empty() {
            return Outcome::pass();
        }
        let own = ToolRules { allow: self.only.clone(), deny: self.hide.clone() };
        let hidden: Vec<String> =
            x.request.tools.iter().filter(|t| !permits(&own, t) || !may_use(x, t)).cloned().collect();
        if hidden.is_empty() {
            return Outcome::pass();
        }
        let message = format!("the agent may not see: {}", hidden.join(", "));
        let findings = hidden.iter().map(|tool| finding(Self::META.id, tool)).collect();
        Outcome::hit(message, findings).with(Effect::RemoveTools(hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{admitted, offering};
    use serde_json::json;
    use tappass_model::Mode;

    fn hiding(globs: &[&str]) -> FilterTools {
        FilterTools { hide: globs.iter().map(ToString::to_string).collect(), ..FilterTools::default() }
    }

    #[test]
    fn lets_pass_what_may_be_seen() {
        assert!(!FilterTools::default().run(&offering(&["read"])).detected);
        assert!(!hiding(&["*"]).run(&offering(&[])).detected);
    }

    #[test]
    fn catches_what_is_hidden_or_not_among_the_only_ones() {
        let outcome = hiding(&["pay*"]).run(&offering(&["read", "pay_all"]));
        assert!(outcome.detected && outcome.message.contains("pay_all"));
        assert_eq!(outcome.effects, [Effect::RemoveTools(vec!["pay_all".into()])]);
        let only = FilterTools { only: vec!["read".into()], ..FilterTools::default() };
        assert!(only.run(&offering(&["write"])).detected);
        let mut x = offering(&["read"]);
        x.tools = Some(ToolRules { allow: vec!["x".into()], deny: vec![] });
        assert!(FilterTools::default().run(&x).detected);
    }

    #[tokio::test]
    async fn what_is_taken_out_does_not_leave_and_in_observe_it_stays() {
        for (mode, expected) in [(Mode::Enforce, vec!["read"]), (Mode::Observe, vec!["read", "pay"])] {
            let mut x = offering(&["read", "pay"]);
            x.mode = mode;
            x.request.body["tool_choice"] = json!({"type": "function", "function": {"name": "pay"}});
            let c = admitted("{filter_tools: {hide: [pay]}}", x).await;
            assert_eq!(c.exchange.request.tools, expected, "{mode}");
            assert_eq!(c.exchange.request.body["tools"].as_array().map(Vec::len), Some(expected.len()));
            let choice = &c.exchange.request.body["tool_choice"];
            assert_eq!(choice == "auto", mode == Mode::Enforce, "{choice}");
        }
    }
}
