//! Lowers the thresholds of later scored steps when the session has already been risky.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Effect, Exchange, OnDetection, Outcome, Scope};

use crate::{
    remember::SESSION_RISK,
    step::{Category, Define, Meta, Phase, Pure},
};

/// # What it does
/// Reads the session's risk: points for what its earlier calls were found to hold, which halve every 30 minutes. In
/// proportion to it the thresholds of scored steps (such as `detect_injection`) are lowered, by `most` at `full_at`
/// points and more.
/// # Why
/// The second attempt of someone who was caught once is worded more carefully.
/// # On a hit
/// Has none: it makes other steps stricter, in every mode, so that observe shows what enforce would do.
/// # Limits
/// Knows the session's own past only. Steps without a threshold are not touched.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveThresholds {
    /// The points at which thresholds are as low as they get.
    pub full_at: f64,
    /// By how much thresholds are lowered at most, as a share, 0 to 1.
    pub most: f32,
}

impl Default for AdaptiveThresholds {
    fn default() -> Self {
        Self { full_at: 12.0, most: 0.4 }
    }
}

impl Define for AdaptiveThresholds {
    const META: Meta = Meta {
        id: "adaptive_thresholds",
        position: 190,
        phase: Phase::Before,
        category: Category::ClassifyAndPrepare,
        summary: "Lowers the thresholds of later scored steps by the session's risk so far",
        threats: &["LLM01", "ASI01"],
        on_detection: OnDetection::Log,
    };

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }

    fn prepare(&mut self) -> Result<(), String> {
        if self.full_at <= 0.0 || self.full_at.is_nan() {
            return Err("`full_at` must be above 0".into());
        }
        if !(0.0..=1.0).contains(&self.most) {
            return Err("`most` must be between 0 and 1".into());
        }
        Ok(())
    }
}

impl Pure for AdaptiveThresholds {
    fn run(&self, x: &Exchange) -> Outcome {
        let points = x.session_memory.risk(SESSION_RISK, x.now);
        #[expect(clippy::cast_possible_truncation, reason = "a share")]
        let share = (points / self.full_at).clamp(0.0, 1.0) as f32 * self.most;
        if share < 0.01 {
            return Outcome::pass();
        }
        let message =
            format!("thresholds are {:.0} % lower: the session's risk is {points:.1}", share * 100.0);
        Outcome::pass_with(message).with(Effect::Tighten(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange;
    use std::sync::Arc;
    use tappass_model::Change;

    fn after(points: f64) -> Exchange {
        let mut x = exchange("hi");
        let change = Change::Risk { name: SESSION_RISK, points, half_life: 1800 };
        Arc::make_mut(&mut x.session_memory).apply(&change, x.now);
        x
    }

    #[test]
    fn a_quiet_session_changes_nothing() {
        assert_eq!(AdaptiveThresholds::default().run(&exchange("hi")), Outcome::pass());
    }

    #[test]
    fn a_risky_one_lowers_thresholds_up_to_the_most() {
        for (points, expected) in [(6.0, 0.2), (12.0, 0.4), (1000.0, 0.4)] {
            let outcome = AdaptiveThresholds::default().run(&after(points));
            assert!(!outcome.detected);
            assert!(
                matches!(outcome.effects[..], [Effect::Tighten(share)] if (share - expected).abs() < 1e-5)
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(AdaptiveThresholds { full_at: 0.0, most: 0.4 }.prepare().is_err());
        assert!(AdaptiveThresholds { full_at: 1.0, most: 1.5 }.prepare().is_err());
    }
}
