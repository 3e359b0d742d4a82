//! Walls between tenants, matters, clients or engagements: a session belongs to one and never crosses to another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Change, Exchange, Finding, OnDetection, Outcome, Scope};

use crate::{
    runner::Call,
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

/// # What it does
/// Reads which context a call belongs to: the header `X-TapPass-Context`, else the first of `metadata_keys` in the
/// request's `metadata`. The first call that names one binds its session to it, for as long as the session lasts;
/// later calls may name the same or none.
/// # Why
/// What was said of one client must not colour the answer to another: professional secrecy, and a tenant's trust.
/// # On a hit
/// Blocks a call that names another context than its session's, or none where one is needed. Of several first calls
/// at once that name different contexts, one binds the session and the others are refused.
/// # Limits
/// Goes by what the agent states, and keeps apart what a session holds; it does not look for names in texts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IsolateContext {
    /// Keys of `metadata` that name the context, the first that is there counts.
    pub metadata_keys: Vec<String>,
    /// Whether a call without a context, in a session without one, is refused.
    pub required: bool,
}

impl Default for IsolateContext {
    fn default() -> Self {
        let keys = ["tenant", "tenant_id", "matter", "matter_id", "client", "client_id", "engagement"];
        Self { metadata_keys: keys.map(str::to_owned).into(), required: true }
    }
}

impl Define for IsolateContext {
    const META: Meta = Meta {
        id: "isolate_context",
        position: 410,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "Walls between tenants, matters, clients or engagements",
        threats: &["LLM02", "ASI06"],
        on_detection: OnDetection::Block,
    };

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }

    fn prepare(&mut self) -> Result<(), String> {
        if self.metadata_keys.iter().any(String::is_empty) {
            return Err("`metadata_keys` must not hold an empty key".into());
        }
        Ok(())
    }
}

impl IsolateContext {
    fn named(&self, x: &Exchange) -> Option<String> {
        let of_metadata = || {
            let metadata = &x.request.body["metadata"];
            let found = self
                .metadata_keys
                .iter()
                .map(|key| &metadata[key.as_str()])
                .find(|value| !value.is_null())?;
            Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
        };
        let name = x.context.clone().or_else(of_metadata)?;
        Some(name.trim().to_lowercase()).filter(|name| !name.is_empty())
    }
}

#[async_trait::async_trait]
impl Waiting for IsolateContext {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let refuse = |why: &'static str| {
            Ok(Outcome::hit(why, vec![Finding::about(Self::META.id, "CONTEXT_WALL", String::new())]))
        };
        let Some(name) = self.named(&call.exchange) else {
            if self.required && call.exchange.session_memory.wall.is_none() {
                return refuse("the call names no context, and its session belongs to none");
            }
            return Ok(Outcome::pass());
        };
        if call.exchange.session_memory.wall.is_none() {
            // Now, not at the end of the call: another call of the session may be on its way.
            call.remember_now(Scope::Session, Change::Wall(name.clone())).await;
        }
        if call.exchange.session_memory.wall.as_ref() == Some(&name) {
            return Ok(Outcome::pass());
        }
        refuse("the session belongs to another context than the call names")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, services};
    use serde_json::json;
    use std::sync::Arc;

    async fn refused(
        services: &Arc<crate::Services>,
        step: &IsolateContext,
        session: &str,
        name: Option<&str>,
    ) -> bool {
        let mut c = of(services, session, name);
        let outcome = step.run(&mut c).await.expect("runs");
        assert!(!format!("{outcome:?}").contains("acme"), "names are not told");
        outcome.detected
    }

    fn of(services: &Arc<crate::Services>, session: &str, name: Option<&str>) -> Call {
        let mut c = call("hi", services);
        c.exchange.session.id = session.into();
        if let Some(name) = name {
            c.exchange.request.body["metadata"] = json!({"matter": name});
        }
        c
    }

    #[tokio::test]
    async fn a_session_stays_where_it_began() {
        let (services, step) = (services(), IsolateContext::default());
        assert!(!refused(&services, &step, "a", Some("acme")).await);
        assert!(!refused(&services, &step, "a", Some(" Acme")).await, "the same, written otherwise");
        assert!(refused(&services, &step, "a", Some("globex")).await);
        assert!(!refused(&services, &step, "b", Some("globex")).await, "another session");
    }

    #[tokio::test]
    async fn a_call_without_a_name_needs_a_session_with_one() {
        let (services, step) = (services(), IsolateContext::default());
        assert!(refused(&services, &step, "a", None).await);
        let mut c = of(&services, "a", None);
        c.exchange.context = Some("acme".into());
        assert!(!step.run(&mut c).await.expect("runs").detected, "the header counts");
        let mut next = of(&services, "a", None);
        next.remember_now(Scope::Session, Change::Wall("ignored".into())).await;
        assert!(!step.run(&mut next).await.expect("runs").detected);
        let lenient = IsolateContext { required: false, ..IsolateContext::default() };
        assert!(!refused(&services, &lenient, "c", None).await);
    }

    #[tokio::test]
    async fn of_first_calls_at_once_one_wins() {
        let (services, step) = (services(), IsolateContext::default());
        // Both began before either was bound.
        let (mut one, mut two) = (of(&services, "s", Some("acme")), of(&services, "s", Some("globex")));
        let one = step.run(&mut one).await.expect("runs").detected;
        let two = step.run(&mut two).await.expect("runs").detected;
        assert_eq!((one, two), (false, true));
    }
}
