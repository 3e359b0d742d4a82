//! Several small findings in one session become one large one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Finding, OnDetection, Outcome, Scope};

use crate::{
    remember::SESSION_RISK,
    runner::Call,
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

/// # What it does
/// Adds up the session's risk: each step that has a hit gives its call 1 point where enforce would record it, 2 where
/// it would alert or mask, 4 where it would block; at most 8 a call. Points halve every 30 minutes. Calls that were
/// blocked count too. From `points` on, and not before `turns` calls, the session as a whole is a hit.
/// # Why
/// Attacks come in pieces that are each below a threshold; so do leaks.
/// # On a hit
/// As configured; `block` withholds the answer of this and the following calls, until the risk has faded or a new
/// session begins.
/// # Limits
/// Counts hits, not what they have to do with each other.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionEscalation {
    /// The points from which on a session is a hit.
    pub points: f64,
    /// How many calls a session must have had.
    pub turns: u32,
}

impl Default for SessionEscalation {
    fn default() -> Self {
        Self { points: 12.0, turns: 2 }
    }
}

impl Define for SessionEscalation {
    const META: Meta = Meta {
        id: "session_escalation",
        position: 780,
        phase: Phase::After,
        category: Category::ResponseSafety,
        summary: "Several small findings in one session become one large one",
        threats: &["LLM01", "ASI01", "AML.T0054"],
        on_detection: OnDetection::Notify,
    };

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }

    fn prepare(&mut self) -> Result<(), String> {
        if self.points > 0.0 { Ok(()) } else { Err("`points` must be above 0".into()) }
    }
}

#[async_trait::async_trait]
impl Waiting for SessionEscalation {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let x = &call.exchange;
        let (before, now) = (x.session_memory.risk(SESSION_RISK, x.now), call.trace.risk());
        let points = before + now;
        // A call without a hit of its own adds nothing, and is no escalation.
        if now <= 0.0 || points < self.points || x.session.turn_index < self.turns {
            let message =
                if points >= 0.1 { format!("the session's risk is {points:.1}") } else { String::new() };
            return Ok(Outcome::pass_with(message));
        }
        let message = format!("the session's risk is {points:.1} ({now:.1} of it by this call)");
        let finding = Finding::about(Self::META.id, "SESSION_ESCALATION", format!("{points:.1}"));
        Ok(Outcome::hit(message, vec![finding]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call_with, exchange, services};
    use std::sync::Arc;
    use tappass_model::Mode;

    /// One call of a session that says this: whether the session was a hit by then.
    async fn escalates(services: &Arc<crate::Services>, turn: u32, mode: Mode, text: &str) -> bool {
        let mut x = exchange(text);
        (x.session.turn_index, x.mode) = (turn, mode);
        let mut c = call_with("{session_escalation: {points: 4}}", x, services);
        let admitted = c.admit().await;
        if admitted.is_ok() {
            c.forward().await.map(|_| ()).expect("answers");
            let _ = c.examine(tappass_model::Answer::default()).await;
        }
        let hit = c.trace.rows.iter().any(|row| row.step == "session_escalation" && row.detected);
        c.settle().await;
        hit
    }

    const MAIL: &str = "Write to jan.peeters@acme.eu about it.";

    #[tokio::test]
    async fn a_quiet_session_never_becomes_one() {
        let services = services();
        for turn in 1..20 {
            assert!(!escalates(&services, turn, Mode::Observe, "What is the capital of Belgium?").await);
        }
    }

    #[tokio::test]
    async fn small_findings_add_up() {
        let services = services();
        let mut hits = Vec::new();
        for turn in 1..=5 {
            hits.push(escalates(&services, turn, Mode::Observe, MAIL).await);
        }
        assert_eq!(hits, [false, false, false, true, true]);
        assert!(!escalates(&services, 6, Mode::Observe, "And the weather?").await, "no hit of its own");
    }

    #[tokio::test]
    async fn blocked_calls_count_though_the_step_never_ran() {
        let services = services();
        // Built at run time, so that no scanner takes this file for a leak.
        let secret = format!("my key is gh{}_{}", "p", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");
        assert!(!escalates(&services, 1, Mode::Enforce, &secret).await, "it never ran");
        assert!(escalates(&services, 2, Mode::Enforce, MAIL).await);
        assert!(SessionEscalation { points: 0.0, turns: 1 }.prepare().is_err());
    }
}
