//! Finds credentials in what is about to leave.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_detect::Allowlist;
use tappass_model::{Exchange, Family, OnDetection, Outcome};

use super::shared::{findings, summary};
use crate::step::{Category, Define, Meta, Phase, Pure};

/// # What it does
/// Reads the hits of the secret detectors in every text of the request: keys of known providers by their form,
/// private keys, tokens, connection strings, and passwords that are assigned in text or code.
/// # Why
/// A key in a prompt is a key in a provider's log.
/// # On a hit
/// Blocks unless configured otherwise; `redact` puts a placeholder in its place.
/// # Limits
/// Placeholders (`changeme`, `<your-key>`) do not count. A secret without form or context is only text.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectSecrets {
    /// How sure a detector must be, 0 to 1.
    pub threshold: f32,
    /// Texts that are never secrets, such as a public test key: in the whole pipeline, requests and answers.
    pub allowlist: Allowlist,
}

impl Default for DetectSecrets {
    fn default() -> Self {
        Self { threshold: 0.5, allowlist: Allowlist::default() }
    }
}

impl Define for DetectSecrets {
    const META: Meta = Meta {
        id: "detect_secrets",
        position: 220,
        phase: Phase::Before,
        category: Category::DataProtection,
        summary: "Finds API keys, private keys, passwords and connection strings",
        threats: &["LLM02", "ASI03", "AML.T0055"],
        on_detection: OnDetection::Block,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Secret]
    }

    fn prepare(&mut self) -> Result<(), String> {
        super::scored::check(self.threshold)
    }
}

impl Pure for DetectSecrets {
    fn run(&self, x: &Exchange) -> Outcome {
        let found = findings(Self::META.id, &x.request.segments, &x.matches, |hit, text, _| {
            hit.family == Family::Secret && hit.score >= self.threshold && !self.allowlist.allows(hit, text)
        });
        if found.is_empty() {
            return Outcome::pass();
        }
        Outcome::hit(format!("secrets in the request: {}", summary(&found)), found).each_above(self.threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scanned;

    /// Built at run time, so that no scanner takes this file for a leak.
    fn github_key() -> String {
        format!("gh{}_{}", "p", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq")
    }

    #[test]
    fn lets_a_clean_text_pass() {
        assert!(
            !DetectSecrets::default().run(&scanned("Set the password to <your-password> first.")).detected
        );
    }

    #[test]
    fn catches_a_key_and_never_repeats_it() {
        let key = github_key();
        let outcome = DetectSecrets::default().run(&scanned(&format!("use {key} to push")));
        assert!(outcome.detected);
        assert!(!format!("{outcome:?}").contains(&key));
    }

    #[test]
    fn the_allowlist_knows_test_keys() {
        let step = DetectSecrets {
            allowlist: Allowlist::of_texts([github_key().as_str()]),
            ..DetectSecrets::default()
        };
        assert!(!step.run(&scanned(&format!("use {} to push", github_key()))).detected);
    }
}
