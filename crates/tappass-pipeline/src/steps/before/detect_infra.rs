//! Finds names and addresses of the organisation's own machines.

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
/// Reads the hits of the infrastructure detectors in every text of the request: internal host names, private
/// addresses, cloud resource names, Kubernetes objects, shares and paths.
/// # Why
/// A map of the inside is what an attacker draws first, and prompts are full of it.
/// # On a hit
/// As configured; `redact` puts placeholders in. By default it is recorded, since operations work cannot do without.
/// # Limits
/// Knows forms, not your inventory: a public name of an internal machine is only a name. Names that may leave go
/// into `allowlist`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectInfra {
    /// How sure a detector must be, 0 to 1.
    pub threshold: f32,
    /// Texts that may leave, such as the name of a demo machine.
    pub allowlist: Allowlist,
}

impl Default for DetectInfra {
    fn default() -> Self {
        Self { threshold: 0.6, allowlist: Allowlist::default() }
    }
}

impl Define for DetectInfra {
    const META: Meta = Meta {
        id: "detect_infra",
        position: 230,
        phase: Phase::Before,
        category: Category::DataProtection,
        summary: "Finds internal hosts, private IPs, cloud resource names, paths and Kubernetes objects",
        threats: &["LLM02", "AML.T0057"],
        on_detection: OnDetection::Log,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Infra]
    }

    fn prepare(&mut self) -> Result<(), String> {
        check(self.threshold)
    }
}

impl Pure for DetectInfra {
    fn run(&self, x: &Exchange) -> Outcome {
        let threshold = x.threshold(self.threshold);
        let found = findings(Self::META.id, &x.request.segments, &x.matches, |hit, text, _| {
            hit.family == Family::Infra && hit.score >= threshold && !self.allowlist.allows(hit, text)
        });
        if found.is_empty() {
            return Outcome::pass();
        }
        Outcome::hit(format!("infrastructure in the request: {}", summary(&found)), found)
            .each_above(threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scanned;

    #[test]
    fn lets_public_names_pass() {
        let outcome = DetectInfra::default().run(&scanned("Is www.example.com at 8.8.8.8?"));
        assert!(!outcome.detected, "{outcome:?}");
    }

    #[test]
    fn catches_a_host_and_its_address() {
        let outcome =
            DetectInfra::default().run(&scanned("The database is db-prod-7.corp.acme.local (10.1.4.12)."));
        assert!(outcome.detected && outcome.findings.len() == 2, "{outcome:?}");
        assert!(!format!("{outcome:?}").contains("db-prod-7.corp"));
    }

    #[test]
    fn the_allowlist_lets_a_name_leave() {
        let step = DetectInfra {
            allowlist: Allowlist::of_texts(["demo-1.corp.acme.local"]),
            ..DetectInfra::default()
        };
        assert!(!step.run(&scanned("Try demo-1.corp.acme.local first.")).detected);
    }
}
