//! Establishes how sensitive a request is.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_detect::{CustomPattern, min_classification};
use tappass_model::{Classification, Effect, Exchange, Family, Match, OnDetection, Outcome};

use super::shared::{findings, summary};
use crate::step::{Category, Define, Meta, Phase, Pure};

/// # What it does
/// Takes the highest level that anything in the request asks for: what the detectors found (a secret is
/// RESTRICTED), markings in the text (`Strictly confidential`), and the organisation's own `custom_patterns`.
/// # Why
/// Routing, approvals and clearance are decided by level, and the level is what a reviewer asks first.
/// # On a hit
/// A level at or above `hit_at` is a hit. Without `hit_at` the step only states the level.
/// # Limits
/// Knows what is written, not what it means: an unmarked plan without personal data is PUBLIC.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifyData {
    /// Patterns of the organisation, each with the level it asks for.
    pub custom_patterns: Vec<CustomPattern>,
    /// From which level on the request is a hit; none when absent.
    pub hit_at: Option<Classification>,
}

impl Define for ClassifyData {
    const META: Meta = Meta {
        id: "classify_data",
        position: 400,
        phase: Phase::Before,
        category: Category::ClassifyAndPrepare,
        summary: "PUBLIC to TOP_SECRET, from findings, markings and the organisation's own patterns",
        threats: &["LLM02"],
        on_detection: OnDetection::Block,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Marking, Family::Custom]
    }
}

impl ClassifyData {
    fn level(&self, hit: &Match) -> Classification {
        let own = self.custom_patterns.iter().find(|p| hit.family == Family::Custom && p.name == hit.kind);
        own.and_then(|p| p.level).unwrap_or_else(|| min_classification(hit))
    }
}

impl Pure for ClassifyData {
    fn run(&self, x: &Exchange) -> Outcome {
        let level = x.matches.iter().flatten().map(|hit| self.level(hit)).max().unwrap_or_default();
        let found = findings(Self::META.id, &x.request.segments, &x.matches, |hit, _, _| {
            matches!(hit.family, Family::Marking | Family::Custom)
        });
        let why = if found.is_empty() { String::new() } else { format!(" ({})", summary(&found)) };
        let outcome = Outcome { findings: found, ..Outcome::pass_with(format!("{level}{why}")) };
        let detected = self.hit_at.is_some_and(|at| level >= at);
        let remedy = if detected { format!("`hit_at` above {level}").into() } else { Cow::default() };
        Outcome { detected, ..outcome }.with(Effect::Classify(level)).remedy(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{scanned, scanned_with};

    fn level(outcome: &Outcome) -> Classification {
        match outcome.effects[..] {
            [Effect::Classify(level)] => level,
            _ => panic!("one level: {outcome:?}"),
        }
    }

    #[test]
    fn plain_text_is_public() {
        let outcome = ClassifyData::default().run(&scanned("What is the capital of Belgium?"));
        assert_eq!(level(&outcome), Classification::Public);
        assert!(!outcome.detected);
    }

    #[test]
    fn findings_raise_the_level() {
        let outcome = ClassifyData::default().run(&scanned("card 4111 1111 1111 1111, exp 12/29"));
        assert!(level(&outcome) >= Classification::Confidential);
    }

    #[test]
    fn own_patterns_have_own_levels_and_a_level_can_be_a_hit() {
        let pattern = CustomPattern {
            name: "client_account_number".into(),
            pattern: "ACC-[0-9]{8}".into(),
            level: Some(Classification::Restricted),
        };
        let x = scanned_with(std::slice::from_ref(&pattern), "about ACC-12345678");
        let step = ClassifyData { custom_patterns: vec![pattern], hit_at: Some(Classification::Restricted) };
        let outcome = step.run(&x);
        assert_eq!(level(&outcome), Classification::Restricted);
        assert!(outcome.detected && outcome.message.contains("client_account_number"), "{outcome:?}");
        assert!(!step.run(&scanned("about nothing")).detected);
    }
}
