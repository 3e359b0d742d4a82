//! Finds personal data in what is about to leave.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_detect::Allowlist;
use tappass_model::{Exchange, Family, Match, OnDetection, Outcome};

use super::shared::{findings, summary};
use crate::step::{Category, Define, Meta, Phase, Pure};

/// # What it does
/// Reads the hits of the personal-data detectors in every text of the request: e-mail and phone, IBAN and cards,
/// national numbers with their checksums, dates of birth, documents, health and network identifiers, names and
/// addresses where their context shows what they are.
/// # Why
/// What reaches a provider has left the organisation; data protection law asks for a reason first.
/// # On a hit
/// As configured: `redact` puts a placeholder such as `[EMAIL]` in the place of each hit.
/// # Limits
/// A number without a checksum counts only with a word nearby that says what it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectPii {
    /// How sure a detector must be, 0 to 1.
    pub threshold: f32,
    /// Kinds to look for (`EMAIL`, `IBAN` …); empty: all.
    pub kinds: Vec<String>,
    /// Kinds to leave alone.
    pub ignore_kinds: Vec<String>,
    /// Texts that are never personal data, such as product names that look like people (`Anna Router`): in the whole
    /// pipeline, requests and answers.
    pub allowlist: Allowlist,
}

impl Default for DetectPii {
    fn default() -> Self {
        Self { threshold: 0.5, kinds: Vec::new(), ignore_kinds: Vec::new(), allowlist: Allowlist::default() }
    }
}

impl Define for DetectPii {
    const META: Meta = Meta {
        id: "detect_pii",
        position: 200,
        phase: Phase::Before,
        category: Category::DataProtection,
        summary: "Finds personal data: contacts, accounts, national numbers, documents, names in context",
        threats: &["LLM02", "AML.T0057"],
        on_detection: OnDetection::Log,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Pii]
    }

    fn prepare(&mut self) -> Result<(), String> {
        super::scored::check(self.threshold)
    }
}

impl DetectPii {
    fn wants(&self, hit: &Match, text: &str) -> bool {
        hit.family == Family::Pii
            && hit.score >= self.threshold
            && (self.kinds.is_empty() || self.kinds.iter().any(|k| *k == hit.kind))
            && !self.ignore_kinds.iter().any(|k| *k == hit.kind)
            && !self.allowlist.allows(hit, text)
    }
}

impl Pure for DetectPii {
    fn run(&self, x: &Exchange) -> Outcome {
        let found =
            findings(Self::META.id, &x.request.segments, &x.matches, |hit, text, _| self.wants(hit, text));
        if found.is_empty() {
            return Outcome::pass();
        }
        Outcome::hit(format!("personal data in the request: {}", summary(&found)), found)
            .each_above(self.threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scanned;

    const MAIL: &str = "Write to jan.peeters@acme.eu about it.";

    #[test]
    fn lets_a_clean_text_pass() {
        assert!(!DetectPii::default().run(&scanned("What is the capital of Belgium?")).detected);
    }

    #[test]
    fn catches_and_points_at_it() {
        let outcome = DetectPii::default().run(&scanned(MAIL));
        assert!(outcome.detected);
        let span = outcome.findings[0].span.expect("a place");
        assert_eq!(&MAIL[span.start..span.end], "jan.peeters@acme.eu");
        assert!(!outcome.findings[0].sample.contains("jan.peeters"), "samples are masked");
        assert!(outcome.message.contains("1 × EMAIL") && !outcome.message.contains("acme"));
    }

    #[test]
    fn kinds_and_the_allowlist_narrow_it() {
        let none =
            DetectPii { allowlist: Allowlist::of_texts(["Jan.Peeters@acme.eu"]), ..DetectPii::default() };
        assert!(!none.run(&scanned(MAIL)).detected);
        let cards = DetectPii { kinds: vec!["CREDIT_CARD".into()], ..DetectPii::default() };
        assert!(!cards.run(&scanned(MAIL)).detected);
        let ignoring = DetectPii { ignore_kinds: vec!["EMAIL".into()], ..DetectPii::default() };
        assert!(!ignoring.run(&scanned(MAIL)).detected);
        assert!(DetectPii { threshold: 1.5, ..DetectPii::default() }.prepare().is_err());
    }
}
