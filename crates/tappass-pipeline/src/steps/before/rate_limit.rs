//! Bounds how often an agent and its organisation may call.
//! The buckets are shared by all replicas when they share state.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Denial, Effect, Finding, OnDetection, Outcome, outcome::RateLimit};

use crate::{
    runner::Call,
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

/// # What it does
/// A token bucket per agent, and one per organisation where a limit is set: `max_calls` in `window_seconds`,
/// refilled evenly. Every answer carries what is left (`ratelimit`, `x-ratelimit-*`).
/// # Why
/// A runaway agent costs money and drowns the others.
/// # On a hit
/// Answers 429 with `Retry-After` (not a policy block: stock clients wait and try again).
/// # Limits
/// Counts calls, not tokens or money.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitStep {
    /// Calls an agent may make in a window.
    pub max_calls: u32,
    /// The window, in seconds.
    pub window_seconds: u32,
    /// Calls all agents of the organisation together may make in a window; no limit when absent.
    pub org_max_calls: Option<u32>,
}

impl Default for RateLimitStep {
    fn default() -> Self {
        Self { max_calls: 100, window_seconds: 3600, org_max_calls: None }
    }
}

impl Define for RateLimitStep {
    const META: Meta = Meta {
        id: "rate_limit",
        position: 110,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "Bounds calls per agent and per organisation in a time window",
        threats: &["LLM10", "ASI08"],
        on_detection: OnDetection::Block,
    };

    fn prepare(&mut self) -> Result<(), String> {
        if self.max_calls == 0 || self.window_seconds == 0 || self.org_max_calls == Some(0) {
            return Err("`max_calls`, `window_seconds` and `org_max_calls` must be at least 1".into());
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Waiting for RateLimitStep {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let caller = &call.exchange.caller;
        let window = Duration::from_secs(self.window_seconds.into());
        let mut buckets = vec![(format!("rate:agent:{}", caller.agent_uuid), self.max_calls, "agent")];
        if let Some(max) = self.org_max_calls {
            buckets.push((format!("rate:org:{}", caller.org_id), max, "organisation"));
        }
        let mut outcome = Outcome::pass();
        for (key, limit, whose) in buckets {
            let left = call.services.state.take(&key, limit, window).await;
            let rate = RateLimit { limit, remaining: left.remaining, window, reset: left.reset };
            if !left.allowed {
                let message = format!("the {whose} has made {limit} calls in {} s", self.window_seconds);
                let finding = Finding::about(Self::META.id, "RATE_LIMIT", String::new());
                let mut hit = Outcome::hit(message, vec![finding]).with(Effect::Rate(rate));
                let parameter = if whose == "agent" { "max_calls" } else { "org_max_calls" };
                let wait = left.retry_after.as_secs().max(1);
                hit = hit.remedy(format!("`{parameter}` above {limit}, or the same call {wait} s later"));
                hit.denial = Denial::RateLimited { retry_after: left.retry_after };
                return Ok(hit);
            }
            if whose == "agent" {
                outcome = outcome.with(Effect::Rate(rate));
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, services};

    fn limited(max_calls: u32, org_max_calls: Option<u32>) -> RateLimitStep {
        RateLimitStep { max_calls, window_seconds: 60, org_max_calls }
    }

    #[tokio::test]
    async fn lets_the_allowed_calls_pass_and_refuses_the_next() {
        let services = services();
        let step = limited(2, None);
        for left in [1, 0] {
            let outcome = step.run(&mut call("hi", &services)).await.expect("runs");
            assert!(!outcome.detected);
            assert!(matches!(outcome.effects[..], [Effect::Rate(r)] if r.remaining == left));
        }
        let outcome = step.run(&mut call("hi", &services)).await.expect("runs");
        assert!(outcome.detected);
        assert!(
            matches!(outcome.denial, Denial::RateLimited { retry_after } if retry_after > Duration::ZERO)
        );
    }

    #[tokio::test]
    async fn the_organisation_has_a_bucket_of_its_own() {
        let services = services();
        let step = limited(100, Some(1));
        assert!(!step.run(&mut call("hi", &services)).await.expect("runs").detected);
        let outcome = step.run(&mut call("hi", &services)).await.expect("runs");
        assert!(outcome.detected && outcome.message.contains("organisation"));
    }

    #[test]
    fn zero_is_refused() {
        assert!(limited(0, None).prepare().is_err_and(|e| e.contains("at least 1")));
    }
}
