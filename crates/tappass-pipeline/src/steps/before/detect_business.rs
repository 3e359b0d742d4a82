//! Finds what an organisation keeps to itself until it says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_detect::Allowlist;
use tappass_model::{Exchange, Family, OnDetection, Outcome};

use super::{
    scored::check,
    shared::{findings, summary},
};
use crate::step::{Category, Define, Meta, Phase, Pure};

/// # What it does
/// Reads the hits of the business detectors in every text of the request: figures before they are published, pay,
/// customer lists, terms of agreements that are not signed, code names of deals, privilege, and health records.
/// # Why
/// What would move a price, lose a client or waive a privilege leaves in a prompt as easily as in a letter.
/// # On a hit
/// As configured; `redact` puts placeholders in. By default it is recorded.
/// # Limits
/// Judges by the words around an amount or a name; an unmarked plan in plain words is not seen. Use
/// `custom_patterns` of `classify_data` for names of your own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectBusiness {
    /// How sure a detector must be, 0 to 1.
    pub threshold: f32,
    /// Texts that may leave, such as the name of a project that is public.
    pub allowlist: Allowlist,
}

impl Default for DetectBusiness {
    fn default() -> Self {
        Self { threshold: 0.55, allowlist: Allowlist::default() }
    }
}

impl Define for DetectBusiness {
    const META: Meta = Meta {
        id: "detect_business",
        position: 240,
        phase: Phase::Before,
        category: Category::DataProtection,
        summary: "Finds unpublished figures, customer lists, contract terms, deal names and privilege",
        threats: &["LLM02", "AML.T0057"],
        on_detection: OnDetection::Log,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Business]
    }

    fn prepare(&mut self) -> Result<(), String> {
        check(self.threshold)
    }
}

impl Pure for DetectBusiness {
    fn run(&self, x: &Exchange) -> Outcome {
        let threshold = x.threshold(self.threshold);
        let found = findings(Self::META.id, &x.request.segments, &x.matches, |hit, text, _| {
            hit.family == Family::Business && hit.score >= threshold && !self.allowlist.allows(hit, text)
        });
        if found.is_empty() {
            return Outcome::pass();
        }
        Outcome::hit(format!("business data in the request: {}", summary(&found)), found)
            .each_above(threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scanned;

    #[test]
    fn lets_questions_and_news_pass() {
        for text in ["What is a term sheet?", "Press release: revenue grew to EUR 41m."] {
            assert!(!DetectBusiness::default().run(&scanned(text)).detected, "{text}");
        }
    }

    #[test]
    fn catches_figures_that_are_not_out_yet() {
        let outcome = DetectBusiness::default().run(&scanned("Unaudited: Q2 turnover EUR 41m."));
        assert!(outcome.detected && outcome.message.contains("FINANCIALS"), "{outcome:?}");
    }

    #[test]
    fn the_allowlist_knows_public_projects() {
        let text = "Project Falcon: due diligence starts Monday";
        assert!(DetectBusiness::default().run(&scanned(text)).detected);
        let step = DetectBusiness {
            allowlist: Allowlist::of_texts(["project falcon"]),
            ..DetectBusiness::default()
        };
        assert!(!step.run(&scanned(text)).detected);
    }
}
