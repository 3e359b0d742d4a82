//! Holds the tools a request offers against what its agent may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, Finding, OnDetection, Outcome, ToolCall, ToolRules};

use super::shared::{names, permits};
use crate::{
    arguments::Objection,
    step::{About, Category, Define, Meta, Phase, Pure},
};

/// # What it does
/// Compares the name of every tool in the request with three sets of rules: this step's, the agent's and the
/// call's `tools` flag. Names may hold `*` and `?`. A tool has to pass all three; deny wins. A tool that the provider runs
/// by itself (`web_search`, `code_interpreter` …) passes only where one of the three allows it by name: an empty `allow`
/// is not enough.
/// # Why
/// An agent that answers questions has no use for a tool that moves money. And what the provider runs, it runs before
/// anybody can judge what it is called with.
/// # On a hit
/// Blocks, and names the tools.
/// # Limits
/// Looks at names. What a tool call carries is looked at when the model asks for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolPermissions {
    /// Tools that may be used, by name or glob; empty: all.
    pub allow: Vec<String>,
    /// Tools that may never be used, by name or glob.
    pub deny: Vec<String>,
}

impl Define for ToolPermissions {
    const META: Meta = Meta {
        id: "tool_permissions",
        position: 140,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "Allows and denies tools per agent, by name or glob",
        threats: &["LLM06", "ASI02"],
        on_detection: OnDetection::Block,
    };
    const ABOUT: About = About::Conversation;
}

impl Pure for ToolPermissions {
    fn run(&self, x: &Exchange) -> Outcome {
        let own = ToolRules { allow: self.allow.clone(), deny: self.deny.clone() };
        let named = |tool: &String| {
            [Some(&own), Some(&x.caller.settings.tools), x.tools.as_ref()]
                .into_iter()
                .flatten()
                .any(|r| names(r, tool))
        };
        let unnamed = |tool: &String| x.request.provider_tools.contains(tool) && !named(tool);
        let offered = x
            .request
            .tools
            .iter()
            .chain(x.request.provider_tools.iter().filter(|t| !x.request.tools.contains(t)));
        let refused: Vec<&String> =
            offered.filter(|t| !permits(&own, t) || !may_use(x, t) || unnamed(t)).collect();
        if refused.is_empty() {
            return Outcome::pass();
        }
        let names: Vec<&str> = refused.iter().map(|s| s.as_str()).collect();
        let message = format!("this agent may not use: {}", names.join(", "));
        let findings = refused.iter().map(|t| finding(Self::META.id, t)).collect();
        Outcome::hit(message, findings).remedy(allowing(&names))
    }

    fn objects(&self, _: &Exchange, call: &ToolCall) -> Option<Objection> {
        let own = ToolRules { allow: self.allow.clone(), deny: self.deny.clone() };
        (!permits(&own, &call.name))
            .then(|| Objection::new("TOOL_NOT_ALLOWED", "this pipeline does not allow the tool"))
    }
}

/// Whether the agent's rules and the call's flags let it use a tool.
pub fn may_use(x: &Exchange, tool: &str) -> bool {
    permits(&x.caller.settings.tools, tool) && x.tools.as_ref().is_none_or(|rules| permits(rules, tool))
}

/// What lets an agent use tools that it may not.
pub fn allowing(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|n| n.chars().take(80).collect()).collect();
    format!(
        "a tool rule that allows {} (of the agent, the step, and the call's `tools` flag)",
        names.join(", ")
    )
}

/// A tool that may not be used.
pub fn finding(step: &'static str, tool: &str) -> Finding {
    Finding::about(step, "TOOL_NOT_ALLOWED", tool.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange;
    use std::sync::Arc;

    #[test]
    fn what_the_provider_runs_must_be_allowed_by_name() {
        let mut x = offering(&["read", "web_search"]);
        x.request.provider_tools = vec!["web_search".into()];
        let outcome = ToolPermissions::default().run(&x);
        assert!(outcome.detected && outcome.message.ends_with(": web_search"), "{outcome:?}");
        let allowing = |names: &[&str]| ToolPermissions {
            allow: names.iter().map(ToString::to_string).collect(),
            ..ToolPermissions::default()
        };
        assert!(!allowing(&["read", "web_*"]).run(&x).detected);
        let mut caller = (*x.caller).clone();
        caller.settings.tools.allow = vec!["web_search".into(), "read".into()];
        x.caller = Arc::new(caller);
        assert!(!ToolPermissions::default().run(&x).detected);
        // Where it is no definition but a setting, it is a tool all the same.
        x.request.tools = vec!["read".into()];
        assert!(!ToolPermissions::default().run(&x).detected);
        assert!(allowing(&["read"]).run(&x).detected);
    }

    fn offering(tools: &[&str]) -> Exchange {
        let mut x = exchange("hi");
        x.request.tools = tools.iter().map(ToString::to_string).collect();
        x
    }

    #[test]
    fn lets_everything_pass_without_rules() {
        assert!(!ToolPermissions::default().run(&offering(&["shell"])).detected);
    }

    #[test]
    fn catches_what_each_of_the_three_denies() {
        let step = ToolPermissions { deny: vec!["shell*".into()], ..ToolPermissions::default() };
        let outcome = step.run(&offering(&["read", "shell_exec"]));
        assert!(
            outcome.detected && outcome.message.contains("shell_exec") && !outcome.message.contains("read")
        );
        let mut x = offering(&["read", "pay"]);
        Arc::make_mut(&mut x.caller).settings.tools.allow = vec!["read".into()];
        assert!(ToolPermissions::default().run(&x).detected);
        let mut x = offering(&["read"]);
        x.tools = Some(ToolRules { allow: vec![], deny: vec!["*".into()] });
        assert!(ToolPermissions::default().run(&x).detected);
    }

    #[test]
    fn its_own_rules_hold_for_calls_too() {
        let step = ToolPermissions { deny: vec!["shell*".into()], ..ToolPermissions::default() };
        let call = |name: &str| ToolCall { id: String::new(), name: name.into(), arguments: String::new() };
        assert!(step.objects(&offering(&[]), &call("shell_exec")).is_some());
        assert!(step.objects(&offering(&[]), &call("read")).is_none());
    }

    #[test]
    fn without_tools_there_is_nothing_to_refuse() {
        let step = ToolPermissions { deny: vec!["*".into()], ..ToolPermissions::default() };
        assert!(!step.run(&offering(&[])).detected);
    }
}
