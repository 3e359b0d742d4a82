//! Risk of a session that gathers, probes and carries out: it accumulates over calls and decays.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Change, Classification, Finding, OnDetection, Outcome, Scope};

use super::shared::glob;
use crate::{
    runner::Call,
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

/// The name of its risks in a session's memory.
const GATHERS: &str = "insider_gathers";
const PROBES: &str = "insider_probes";
const CARRIES: &str = "insider_carries";

/// # What it does
/// Keeps three risks of a session, each halving in `half_life_minutes`: it **gathers** (personal data, business
/// secrets, infrastructure, high levels), it **probes** (attempts to gain rights, injections, refused tools), it
/// **carries** out (exfiltration, memory writes, secrets in answers). Calls that were blocked count too. The score is
/// their sum, and half as much again for each kind beyond the first: someone who does all three is not curious.
/// # Why
/// Who has the right to each single thing leaves only a pattern.
/// # On a hit
/// As configured: an alert by default, since a pattern is a question and not a proof.
/// # Limits
/// Knows sessions, not persons: whoever begins a new session begins at zero.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectInsiderThreat {
    /// The score from which on a session is a hit.
    pub score: f64,
    /// Minutes in which each risk halves.
    pub half_life_minutes: u32,
    /// Points that a hit of a step gives, by its id or glob, in the place of 1.
    pub weights: BTreeMap<String, f64>,
}

impl Default for DetectInsiderThreat {
    fn default() -> Self {
        Self { score: 10.0, half_life_minutes: 30, weights: BTreeMap::new() }
    }
}

impl Define for DetectInsiderThreat {
    const META: Meta = Meta {
        id: "detect_insider_threat",
        position: 765,
        phase: Phase::After,
        category: Category::ResponseSafety,
        summary: "Risk of a session that gathers, probes and carries out; accumulates and decays",
        threats: &["LLM02", "ASI09", "AML.T0024"],
        on_detection: OnDetection::Notify,
    };

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }

    fn prepare(&mut self) -> Result<(), String> {
        if self.half_life_minutes == 0 || self.score <= 0.0 || self.weights.values().any(|w| *w < 0.0) {
            return Err("`score` and `half_life_minutes` must be above 0, `weights` not negative".into());
        }
        Ok(())
    }
}

fn kind_of(step: &str) -> Option<&'static str> {
    match step {
        "detect_pii" | "detect_business" | "detect_infra" | "detect_secrets" => Some(GATHERS),
        "detect_escalation" | "detect_injection" | "tool_permissions" | "filter_tools"
        | "user_tool_scopes" | "tool_constraints" | "scan_tool_calls" | "enforce_clearance"
        | "isolate_context" | "detect_code_exec" | "shell_bleed" => Some(PROBES),
        "detect_exfiltration" | "detect_memory_poison" | "taint_check" | "scan_output" => Some(CARRIES),
        _ => None,
    }
}

impl DetectInsiderThreat {
    fn weight(&self, step: &str) -> f64 {
        let fits = self.weights.iter().filter(|(pattern, _)| glob(pattern, step));
        fits.max_by_key(|(pattern, _)| pattern.len()).map_or(1.0, |(_, weight)| *weight)
    }

    /// The points that this call adds to each risk, as far as it has come.
    fn points(&self, call: &Call) -> [(&'static str, f64); 3] {
        let of = |kind: &'static str| {
            let hits = call.trace.rows.iter().filter(|row| row.detected && kind_of(row.step) == Some(kind));
            hits.map(|row| self.weight(row.step)).sum::<f64>()
        };
        let high = if call.exchange.classification >= Classification::Restricted { 1.0 } else { 0.0 };
        [(GATHERS, of(GATHERS) + high), (PROBES, of(PROBES)), (CARRIES, of(CARRIES))]
    }
}

#[async_trait::async_trait]
impl Waiting for DetectInsiderThreat {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let x = &call.exchange;
        let now = self.points(call);
        let all = now.map(|(name, points)| x.session_memory.risk(name, x.now) + points);
        let kinds = all.iter().filter(|points| **points >= 0.5).count();
        let more = [1.0, 1.0, 1.5, 2.0][kinds.min(3)];
        let score = all.iter().sum::<f64>() * more;
        let adds = now.iter().any(|(_, points)| *points > 0.0);
        let [gathers, probes, carries] = all;
        if !adds || score < self.score {
            return Ok(Outcome::pass());
        }
        let message = format!(
            "the session's score is {score:.1}: gathering {gathers:.1}, probing {probes:.1}, carrying out {carries:.1}"
        );
        Ok(Outcome::hit(
            message,
            vec![Finding::about(Self::META.id, "INSIDER_PATTERN", format!("{score:.1}"))],
        ))
    }

    fn at_the_end(&self, call: &Call) -> Vec<(Scope, Change)> {
        let half_life = self.half_life_minutes.saturating_mul(60);
        let risen = self.points(call).into_iter().filter(|(_, points)| *points > 0.0);
        risen.map(|(name, points)| (Scope::Session, Change::Risk { name, points, half_life })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call_with, exchange, services};
    use std::sync::Arc;

    /// A call of a session after `minutes`, in which these steps had hits: the message of a hit.
    async fn after(services: &Arc<crate::Services>, minutes: u64, steps: &[&'static str]) -> Option<String> {
        let mut x = exchange("hi");
        x.now += std::time::Duration::from_secs(minutes * 60);
        let mut c = call_with("{detect_insider_threat: {}}", x, services);
        // As the runner does at the start of a call.
        c.remember_now(Scope::Session, Change::Spend { usd: 0.0, tokens: 0 }).await;
        for step in steps {
            c.trace.rows.push(crate::TraceRow {
                step,
                action: tappass_model::Action::Log,
                verdict: tappass_model::Action::Log,
                detected: true,
                message: Default::default(),
                took: std::time::Duration::ZERO,
            });
        }
        let outcome = DetectInsiderThreat::default().run(&mut c).await.expect("runs");
        c.settle().await;
        outcome.detected.then(|| outcome.message.into_owned())
    }

    #[tokio::test]
    async fn work_with_data_alone_takes_long_to_show() {
        let services = services();
        for _ in 0..8 {
            assert_eq!(after(&services, 0, &["detect_pii"]).await, None);
        }
        assert_eq!(after(&services, 0, &[]).await, None);
    }

    #[tokio::test]
    async fn all_three_kinds_together_show_soon() {
        let services = services();
        assert_eq!(after(&services, 0, &["detect_pii", "detect_business"]).await, None);
        assert_eq!(after(&services, 0, &["detect_escalation"]).await, None);
        let message = after(&services, 0, &["detect_exfiltration", "scan_output"]).await.expect("a hit");
        assert!(message.contains("carrying out 2.0"), "{message}");
    }

    #[tokio::test]
    async fn it_decays() {
        let services = services();
        after(
            &services,
            0,
            &["detect_pii", "detect_business", "detect_infra", "detect_secrets", "detect_escalation"],
        )
        .await;
        assert!(after(&services, 0, &["scan_output"]).await.is_some());
        assert!(after(&services, 120, &["scan_output"]).await.is_none(), "two hours later it has faded");
        assert!(DetectInsiderThreat { score: 0.0, ..DetectInsiderThreat::default() }.prepare().is_err());
    }
}
