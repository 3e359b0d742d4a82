//! Bounds an agent's tools by the end user on whose behalf it acts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Effect, Exchange, OnDetection, Outcome, ToolCall, ToolRules};

use super::{
    shared::{glob, permits},
    tool_permissions::finding,
};
use crate::{
    arguments::Objection,
    step::{About, Category, Define, Meta, Phase, Pure},
};

/// What one user, or several, may have done for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserScope {
    /// The users, by id or glob (`*@finance.example`).
    pub user: String,
    /// The tools for them, by name or glob; empty: all.
    pub allow: Vec<String>,
    /// The tools that are not for them, by name or glob.
    pub deny: Vec<String>,
}

/// # What it does
/// Takes the first of `scopes` that fits the end user (`X-TapPass-User`) and holds the request's tools against it;
/// without a user, or where none fits, against `others`. `scan_tool_calls` holds the model's tool calls against it too.
/// # Why
/// An agent that serves everyone has everyone's rights. What it does for one person must not go beyond what that
/// person may do (the confused deputy).
/// # On a hit
/// `redact` takes the tools out and the call goes on with the rest; `block` refuses it.
/// # Limits
/// Believes the agent: whoever holds the agent's key names the user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserToolScopes {
    /// What users may have done for them; the first that fits counts.
    pub scopes: Vec<UserScope>,
    /// What holds for a user that no scope fits.
    pub others: ToolRules,
    /// Whether a call without a user may use no tool at all.
    pub require_user: bool,
}

impl Define for UserToolScopes {
    const META: Meta = Meta {
        id: "user_tool_scopes",
        position: 170,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "Bounds the tools by the end user on whose behalf the agent acts",
        threats: &["LLM06", "ASI03"],
        on_detection: OnDetection::Redact,
    };
    const ABOUT: About = About::Conversation;

    fn prepare(&mut self) -> Result<(), String> {
        match self.scopes.iter().position(|scope| scope.user.is_empty()) {
            Some(i) => Err(format!("`scopes[{i}].user` must be stated (`*` for anyone)")),
            None => Ok(()),
        }
    }
}

impl UserToolScopes {
    fn allows(&self, user: Option<&str>, tool: &str) -> bool {
        match user {
            None if self.require_user => false,
            None => permits(&self.others, tool),
            Some(user) => match self.scopes.iter().find(|scope| glob(&scope.user, user)) {
                Some(scope) => {
                    permits(&ToolRules { allow: scope.allow.clone(), deny: scope.deny.clone() }, tool)
                }
                None => permits(&self.others, tool),
            },
        }
    }
}

impl Pure for UserToolScopes {
    fn run(&self, x: &Exchange) -> Outcome {
        let user = x.end_user.as_deref();
        let refused: Vec<String> =
            x.request.tools.iter().filter(|tool| !self.allows(user, tool)).cloned().collect();
        if refused.is_empty() {
            return Outcome::pass();
        }
        let whose = if user.is_some() { "not for this user" } else { "not without an end user" };
        let message = format!("{whose}: {}", refused.join(", "));
        let findings = refused.iter().map(|tool| finding(Self::META.id, tool)).collect();
        Outcome::hit(message, findings).with(Effect::RemoveTools(refused))
    }

    fn objects(&self, x: &Exchange, call: &ToolCall) -> Option<Objection> {
        let allowed = self.allows(x.end_user.as_deref(), &call.name);
        (!allowed).then(|| Objection::new("TOOL_NOT_FOR_USER", "the end user may not have it used for them"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{admitted, offering};

    fn step() -> UserToolScopes {
        let scope = |user: &str, allow: &[&str]| UserScope {
            user: user.into(),
            allow: allow.iter().map(ToString::to_string).collect(),
            deny: Vec::new(),
        };
        UserToolScopes {
            scopes: vec![scope("anna@finance.example", &["*"]), scope("*@finance.example", &["read_*"])],
            others: ToolRules { allow: vec!["search".into()], deny: vec![] },
            require_user: false,
        }
    }

    fn acting_for(user: Option<&str>, tools: &[&str]) -> Exchange {
        let mut x = offering(tools);
        x.end_user = user.map(str::to_owned);
        x
    }

    #[test]
    fn lets_pass_what_is_in_the_users_scope() {
        assert!(!step().run(&acting_for(Some("anna@finance.example"), &["pay"])).detected);
        assert!(!step().run(&acting_for(Some("bert@finance.example"), &["read_ledger"])).detected);
        assert!(!UserToolScopes::default().run(&acting_for(None, &["pay"])).detected);
    }

    #[test]
    fn catches_what_is_not_and_tells_it_of_calls_too() {
        let x = acting_for(Some("bert@finance.example"), &["read_ledger", "pay"]);
        let outcome = step().run(&x);
        assert_eq!(outcome.effects, [Effect::RemoveTools(vec!["pay".into()])]);
        let call = ToolCall { id: String::new(), name: "pay".into(), arguments: String::new() };
        assert!(step().objects(&x, &call).is_some());
        assert!(step().run(&acting_for(Some("x@other"), &["pay"])).detected);
    }

    #[test]
    fn without_a_user_others_holds_or_nothing() {
        assert!(!step().run(&acting_for(None, &["search"])).detected);
        let strict = UserToolScopes { require_user: true, ..step() };
        assert!(strict.run(&acting_for(None, &["search"])).message.contains("without an end user"));
        assert!(UserToolScopes { scopes: vec![UserScope::default()], ..step() }.prepare().is_err());
    }

    #[tokio::test]
    async fn the_others_stay_on_offer() {
        let x = acting_for(None, &["search", "pay"]);
        let c = admitted("{user_tool_scopes: {others: {deny: [pay]}}}", x).await;
        assert_eq!(c.exchange.request.tools, ["search"]);
    }
}
