//! Finds harmful content in the answer, by category.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_detect::SAFETY_CATEGORIES;
use tappass_model::{Exchange, Family, Match, OnDetection, Outcome};

use super::{
    scored::check,
    shared::{finding, summary},
};
use crate::step::{About, Category, Define, Meta, Phase, Pure};

/// # What it does
/// Reads the hits of the safety detectors in every text of the answer: violence, self-harm, hate, sexual content,
/// sexual content about minors, weapons, drugs, fraud, malware and extremism. Each category has a threshold of its
/// own. A streamed answer is judged while it flows.
/// # Why
/// What a model says, an organisation says.
/// # On a hit
/// Blocks, or ends the stream.
/// # Limits
/// Looks for the form of harm in English; help, news, refusals and medicine pass, and so does harm in other words.
/// A classifier of the provider's or your own belongs beside it where that matters. `redact` only records.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContentSafety {
    /// From which score on a category that has no threshold of its own is a hit, 0 to 1.
    pub threshold: f32,
    /// Thresholds by category, 0 to 1; a threshold of 1 turns a category off. Categories: `violence`, `self_harm`, `hate`,
    /// `sexual`, `sexual_minors`, `weapons`, `drugs`, `fraud`, `malware`, `extremism`.
    pub thresholds: BTreeMap<String, f32>,
}

impl Default for ContentSafety {
    fn default() -> Self {
        let own = [("self_harm", 0.5), ("sexual_minors", 0.4)];
        Self { threshold: 0.6, thresholds: own.into_iter().map(|(name, t)| (name.to_owned(), t)).collect() }
    }
}

impl Define for ContentSafety {
    const META: Meta = Meta {
        id: "content_safety",
        position: 710,
        phase: Phase::After,
        category: Category::ResponseSafety,
        summary: "Finds harmful content by category, each with its threshold",
        threats: &["LLM05", "LLM09", "AML.T0048"],
        on_detection: OnDetection::Block,
    };
    const ABOUT: About = About::Answer;

    fn families(&self) -> &'static [Family] {
        &[Family::Safety]
    }

    fn prepare(&mut self) -> Result<(), String> {
        check(self.threshold)?;
        for (name, threshold) in &self.thresholds {
            if !SAFETY_CATEGORIES.iter().any(|c| c.eq_ignore_ascii_case(name)) {
                let known = SAFETY_CATEGORIES.join(", ").to_lowercase();
                return Err(format!("`thresholds` has no category `{name}`; there are {known}"));
            }
            check(*threshold).map_err(|_| format!("`thresholds.{name}` must be between 0 and 1"))?;
        }
        Ok(())
    }
}

impl ContentSafety {
    fn configured(&self, kind: &str) -> f32 {
        self.thresholds
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(kind))
            .map_or(self.threshold, |(_, t)| *t)
    }
}

impl Pure for ContentSafety {
    fn run(&self, x: &Exchange) -> Outcome {
        let Some(answer) = &x.answer else { return Outcome::pass() };
        let mut found = Vec::new();
        for (index, (segment, hits)) in answer.segments.iter().zip(&answer.matches).enumerate() {
            let counts = |hit: &&Match| {
                let threshold = self.configured(&hit.kind);
                hit.family == Family::Safety && threshold < 1.0 && hit.score >= x.threshold(threshold)
            };
            found.extend(hits.iter().filter(counts).map(|hit| finding(Self::META.id, index, segment, hit)));
        }
        if found.is_empty() {
            return Outcome::pass();
        }
        let score = found.iter().map(|f| f.score).fold(0.0, f32::max);
        let remedy = format!("a threshold above {score:.2} for the category");
        Outcome::hit(format!("harmful content: {}", summary(&found)), found).remedy(remedy)
    }

    fn streams(&self) -> bool {
        true
    }

    fn counts(&self, hit: &Match, _text: &str, _before: &[Match]) -> bool {
        let threshold = self.configured(&hit.kind);
        hit.family == Family::Safety && threshold < 1.0 && hit.score >= threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answered;

    const HARM: &str = "Heat the ephedrine with red phosphorus.";

    #[test]
    fn lets_help_and_news_pass() {
        for text in [
            "If you're thinking of ending your life, please call 988.",
            "Police said the suspects had built a pipe bomb.",
            "Mix the flour with the butter.",
        ] {
            assert!(!ContentSafety::default().run(&answered(text)).detected, "{text}");
        }
    }

    #[test]
    fn catches_an_instruction_and_names_the_category() {
        let outcome = ContentSafety::default().run(&answered(HARM));
        assert!(outcome.detected && outcome.message.contains("DRUGS"), "{outcome:?}");
    }

    #[test]
    fn categories_have_their_own_thresholds() {
        let mut step = ContentSafety::default();
        step.thresholds.insert("drugs".into(), 1.0);
        assert_eq!(step.prepare(), Ok(()));
        assert!(!step.run(&answered(HARM)).detected);
        step.thresholds.insert("rudeness".into(), 0.5);
        assert!(step.prepare().is_err_and(|e| e.contains("rudeness") && e.contains("self_harm")));
    }
}
