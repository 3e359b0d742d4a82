//! Finds characters that hide or disguise text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, Family, OnDetection, Outcome};

use super::scored::{Scored, check};
use crate::step::{Category, Define, Meta, Phase, Pure};

/// # What it does
/// Reads every text of the request as it came and judges characters by their neighbours: tag characters, rows of
/// variation selectors, bidi overrides, zero widths inside words, invisible letters, letters of two scripts in one
/// word, and letters in costume (mathematical, circled).
/// # Why
/// A person sees one text and the model reads another. Other detectors read through the disguise; this one says
/// that there is one.
/// # On a hit
/// Blocks when the score of any one text reaches the threshold. `redact` takes the characters out.
/// # Limits
/// Honest uses pass: emoji, right-to-left text, joiners of Indic scripts, soft hyphens between syllables. A word
/// written wholly in another script's letters, and an icon font's private characters, are not judged.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectUnicode {
    /// From which score on a text is a hit, 0 to 1.
    pub threshold: f32,
}

impl Default for DetectUnicode {
    fn default() -> Self {
        Self { threshold: 0.5 }
    }
}

impl Define for DetectUnicode {
    const META: Meta = Meta {
        id: "detect_unicode",
        position: 300,
        phase: Phase::Before,
        category: Category::ThreatDetection,
        summary: "Finds zero-width, bidi and tag characters, homoglyphs, and smuggled variation selectors",
        threats: &["LLM01", "ASI01", "AML.T0051", "AML.T0068"],
        on_detection: OnDetection::Block,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Unicode]
    }

    fn prepare(&mut self) -> Result<(), String> {
        check(self.threshold)
    }
}

impl Pure for DetectUnicode {
    fn run(&self, x: &Exchange) -> Outcome {
        let threshold = x.threshold(self.threshold);
        Scored { step: Self::META.id, family: Family::Unicode, threshold }.request(x, |_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scanned;

    #[test]
    fn lets_honest_characters_pass() {
        for text in ["Grüße 👨‍👩‍👧", "שלום עולם", "Привет", "naïve café"] {
            assert!(!DetectUnicode::default().run(&scanned(text)).detected, "{text}");
        }
    }

    #[test]
    fn catches_hidden_tags_and_shows_code_points() {
        let outcome = DetectUnicode::default().run(&scanned("Summarise.\u{E0068}\u{E0069}"));
        assert!(outcome.detected, "{outcome:?}");
        assert_eq!(outcome.findings[0].sample, "U+E0068 U+E0069");
    }

    #[test]
    fn what_is_found_can_be_taken_out() {
        let outcome = DetectUnicode::default().run(&scanned("p\u{430}ssword"));
        assert!(outcome.detected && outcome.findings.iter().all(|f| f.maskable), "{outcome:?}");
    }
}
