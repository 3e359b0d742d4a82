//! Bounds what one session may spend, in USD and in tokens.
//! Set aside before the call and settled after it, so that calls at the same time cannot outrun the bound.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Finding, OnDetection, Outcome, Scope};
use tappass_store::Hold;

use crate::{
    remember::SESSION_LIFE,
    runner::Call,
    spending::{Unit, nano_usd, usd},
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

/// # What it does
/// Sets aside what the call may cost and the tokens it may use in the session's accounts, and counts what was really
/// used when it has ended. A session ends with 30 minutes of silence. The flag `budget` sets the bound in USD.
/// # Why
/// A task that costs twenty dollars has gone wrong, long before the day's budget shows it.
/// # On a hit
/// Blocks with 403; a new session begins at zero.
/// # Limits
/// As `budget`: estimates know no images and no hidden reasoning, which count when the call is settled.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionBudget {
    /// USD that a session may spend; no bound when absent.
    pub usd: Option<f64>,
    /// Tokens that a session may use, read and written together; no bound when absent.
    pub tokens: Option<u64>,
}

impl Default for SessionBudget {
    fn default() -> Self {
        Self { usd: Some(20.0), tokens: Some(5_000_000) }
    }
}

impl Define for SessionBudget {
    const META: Meta = Meta {
        id: "session_budget",
        position: 130,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "Bounds USD and tokens per session",
        threats: &["LLM10", "ASI08"],
        on_detection: OnDetection::Block,
    };

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }

    fn prepare(&mut self) -> Result<(), String> {
        if self.usd.is_some_and(|usd| usd < 0.0) {
            return Err("`usd` must not be negative".into());
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Waiting for SessionBudget {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let (usage, cost) = call.estimate();
        let (caller, session) = (&call.exchange.caller, &call.exchange.session);
        let key = format!("budget:session:{}:{}:{}", caller.org_id, caller.agent_uuid, session.id);
        let bound = call.plan.spend.session_usd.or(self.usd);
        let money = bound.map(|bound| Hold {
            key: format!("{key}:usd"),
            amount: nano_usd(cost),
            limit: nano_usd(bound),
            life: SESSION_LIFE,
        });
        let tokens = self.tokens.map(|bound| Hold {
            key: format!("{key}:tokens"),
            amount: usage.total(),
            limit: bound,
            life: SESSION_LIFE,
        });
        // Both, whatever the first says: where nothing is blocked, both count what is used.
        let money = call.reserve(Unit::NanoUsd, money.into_iter().collect()).await;
        let tokens = call.reserve(Unit::Tokens, tokens.into_iter().collect()).await;
        if let Err(short) = money {
            let (bound, left) = (bound.unwrap_or_default(), usd(short.left));
            return Ok(hit(format!("the session may spend {bound} USD, and {left:.4} are left")));
        }
        if let Err(short) = tokens {
            let bound = self.tokens.unwrap_or_default();
            return Ok(hit(format!("the session may use {bound} tokens, and {} are left", short.left)));
        }
        Ok(Outcome::pass())
    }
}

fn hit(message: String) -> Outcome {
    Outcome::hit(message, vec![Finding::about(SessionBudget::META.id, "SESSION_BUDGET", String::new())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, services};

    async fn outcome(
        step: &SessionBudget,
        services: &std::sync::Arc<crate::Services>,
        session: &str,
    ) -> Outcome {
        let mut c = call("hi", services);
        c.exchange.session.id = session.into();
        c.exchange.request.model = "azure/gpt-4o".into();
        c.exchange.request.body["max_tokens"] = 1000.into();
        step.run(&mut c).await.expect("runs")
    }

    #[tokio::test]
    async fn each_session_has_its_own_money() {
        let (services, step) = (services(), SessionBudget { usd: Some(0.015), tokens: None });
        assert!(!outcome(&step, &services, "a").await.detected);
        assert!(outcome(&step, &services, "a").await.message.contains("0.015 USD"));
        assert!(!outcome(&step, &services, "b").await.detected);
    }

    #[tokio::test]
    async fn and_its_own_tokens() {
        let (services, step) = (services(), SessionBudget { usd: None, tokens: Some(1500) });
        assert!(!outcome(&step, &services, "a").await.detected);
        assert!(outcome(&step, &services, "a").await.message.contains("1500 tokens"));
    }

    #[tokio::test]
    async fn what_a_call_used_is_remembered_of_its_session() {
        let services = services();
        let mut c = call("say: good morning", &services);
        c.pipeline =
            crate::compile("p", 1, "preset: starter\noverrides: {session_budget: {}}").expect("compiles");
        c.admit().await.expect("clean");
        c.forward().await.map(|_| ()).expect("answers");
        c.settle().await;
        let mut next = call("hi", &services);
        next.pipeline = std::sync::Arc::clone(&c.pipeline);
        next.admit().await.expect("clean");
        assert!(next.exchange.session_memory.tokens > 0);
    }

    #[test]
    fn a_negative_bound_is_refused() {
        assert!(SessionBudget { usd: Some(-1.0), tokens: None }.prepare().is_err());
    }
}
