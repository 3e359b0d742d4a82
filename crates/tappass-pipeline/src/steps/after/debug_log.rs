//! Keeps the trace of some calls for support.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Effect, Exchange, OnDetection, Outcome};

use crate::step::{Category, Define, Meta, Phase, Pure};

/// Longest that a trace is kept, days.
const LONGEST: u16 = 90;

/// # What it does
/// Keeps a trace of a share of the calls: which steps ran, what they decided and how long they took, where findings
/// stand and how sure they were, sizes and origins of texts, tokens and time. An admin reads them with
/// `GET /admin/debug`; when their days are over they are forgotten.
/// # Why
/// Support needs to see what happened, and must not need to see what was said.
/// # On a hit
/// Has none.
/// # Limits
/// Holds no text of a call and no sample of a finding. Which calls are kept follows from their ids. A call that was
/// refused before it left has its record in the audit log and no trace here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DebugLog {
    /// The share of calls that are kept, 0 to 1.
    pub sample_rate: f64,
    /// How long they are kept, in days, at most 90.
    pub retention_days: u16,
}

impl Default for DebugLog {
    fn default() -> Self {
        Self { sample_rate: 0.01, retention_days: 7 }
    }
}

impl Define for DebugLog {
    const META: Meta = Meta {
        id: "debug_log",
        position: 910,
        phase: Phase::After,
        category: Category::Tracking,
        summary: "Sampled, redacted traces for support, kept for some days",
        threats: &[],
        on_detection: OnDetection::Log,
    };

    fn prepare(&mut self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.sample_rate) {
            return Err("`sample_rate` must be between 0 and 1".into());
        }
        if !(1..=LONGEST).contains(&self.retention_days) {
            return Err(format!("`retention_days` must be between 1 and {LONGEST}"));
        }
        Ok(())
    }
}

impl Pure for DebugLog {
    fn run(&self, x: &Exchange) -> Outcome {
        // The last 32 bits of a call's id are random.
        let [.., a, b, c, d] = *x.task_id.as_bytes();
        let drawn = f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0);
        if drawn >= self.sample_rate {
            return Outcome::pass();
        }
        Outcome::pass_with("kept for support").with(Effect::Keep { days: self.retention_days })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answered;
    use uuid::Uuid;

    fn kept(rate: f64, last: u32) -> bool {
        let step = DebugLog { sample_rate: rate, retention_days: 3 };
        let mut x = answered("fine");
        x.task_id = Uuid::from_u128(u128::from(last));
        let outcome = step.run(&x);
        assert!(!outcome.detected);
        outcome.effects == [Effect::Keep { days: 3 }]
    }

    #[test]
    fn lets_most_calls_pass_unkept() {
        assert!(!kept(0.01, u32::MAX / 2));
        assert!(!kept(0.0, 0), "none means none");
    }

    #[test]
    fn keeps_its_share() {
        assert!(kept(0.5, u32::MAX / 4));
        assert!(kept(1.0, u32::MAX), "all means all");
    }

    #[test]
    fn bounds_are_said() {
        assert!(DebugLog { sample_rate: 1.5, ..DebugLog::default() }.prepare().is_err());
        assert!(
            DebugLog { retention_days: 0, ..DebugLog::default() }.prepare().is_err_and(|e| e.contains("90"))
        );
    }
}
