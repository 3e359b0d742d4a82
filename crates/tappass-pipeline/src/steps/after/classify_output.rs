//! Establishes how sensitive an answer is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_detect::classify;
use tappass_model::{Classification, Effect, Exchange, Family, OnDetection, Outcome};

use super::shared::{findings, summary};
use crate::step::{Category, Define, Meta, Phase, Pure};

/// # What it does
/// Takes the highest level that anything in the answer asks for, and never less than the level of what went in:
/// an answer about a restricted text is restricted. Only a declassification that is written down here, with who
/// decided it and why, lets an answer's level be its own.
/// # Why
/// What is done with an answer (who sees it, where it is stored) is decided by its level.
/// # On a hit
/// A level at or above `hit_at` is a hit. Without `hit_at` the step only states the level.
/// # Limits
/// Levels of `custom_patterns` count by what went in: `classify_data` has them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifyOutput {
    /// From which level on the answer is a hit; none when absent.
    pub hit_at: Option<Classification>,
    /// Lets answers be less sensitive than what went in; none when absent.
    pub declassification: Option<Declassification>,
}

/// A record that answers of this pipeline may be less sensitive than what went in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declassification {
    /// The highest level of input that it is for.
    pub from: Classification,
    /// The least level that answers then have.
    pub to: Classification,
    /// Who decided it.
    pub approved_by: String,
    /// Why.
    pub reason: String,
}

impl Define for ClassifyOutput {
    const META: Meta = Meta {
        id: "classify_output",
        position: 790,
        phase: Phase::After,
        category: Category::ResponseSafety,
        summary: "The answer's classification, never below what went in without a declassification",
        threats: &["LLM02"],
        on_detection: OnDetection::Block,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Marking, Family::Pii, Family::Secret, Family::Infra, Family::Business]
    }

    fn prepare(&mut self) -> Result<(), String> {
        match &self.declassification {
            Some(d) if d.approved_by.trim().is_empty() || d.reason.trim().is_empty() => {
                Err("`declassification` must say `approved_by` whom and for what `reason`".into())
            }
            Some(d) if d.to >= d.from => Err("`declassification.to` must be below `from`".into()),
            _ => Ok(()),
        }
    }
}

impl Pure for ClassifyOutput {
    fn run(&self, x: &Exchange) -> Outcome {
        let Some(answer) = &x.answer else { return Outcome::pass() };
        let own = classify(answer.matches.iter().flatten(), |_| None).level;
        let record =
            self.declassification.as_ref().filter(|d| x.classification <= d.from && d.to < x.classification);
        let level = own.max(record.map_or(x.classification, |d| d.to));
        let found = findings(Self::META.id, &answer.segments, &answer.matches, |hit, _, _| {
            hit.family == Family::Marking
        });
        let mut message = format!("answer {level}, input {}", x.classification);
        if let Some(d) = record {
            message += &format!(", declassified by {} ({})", d.approved_by, d.reason);
        } else if !found.is_empty() {
            message += &format!(" ({})", summary(&found));
        }
        let detected = self.hit_at.is_some_and(|at| level >= at);
        let outcome = Outcome { detected, findings: found, ..Outcome::pass_with(message) };
        let outcome = if detected { outcome.remedy(format!("`hit_at` above {level}")) } else { outcome };
        outcome.with(Effect::Classify(level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answered;

    fn level(outcome: &Outcome) -> Classification {
        match outcome.effects[..] {
            [Effect::Classify(level)] => level,
            _ => panic!("one level: {outcome:?}"),
        }
    }

    #[test]
    fn a_plain_answer_is_public() {
        let outcome = ClassifyOutput::default().run(&answered("Brussels."));
        assert_eq!(level(&outcome), Classification::Public);
        assert!(!outcome.detected);
    }

    #[test]
    fn an_answer_is_what_it_says_and_at_least_what_went_in() {
        let step = ClassifyOutput { hit_at: Some(Classification::Restricted), ..ClassifyOutput::default() };
        let outcome = step.run(&answered("Payroll overview: A. Berg 71 200 EUR"));
        assert!(outcome.detected && level(&outcome) == Classification::Restricted, "{outcome:?}");
        let mut x = answered("Brussels.");
        x.classification = Classification::Restricted;
        assert_eq!(level(&step.run(&x)), Classification::Restricted);
    }

    #[test]
    fn a_record_lets_it_fall_and_says_who() {
        let record = Declassification {
            from: Classification::Restricted,
            to: Classification::Internal,
            approved_by: "data owner".into(),
            reason: "aggregates only".into(),
        };
        let mut step = ClassifyOutput { declassification: Some(record), ..ClassifyOutput::default() };
        assert_eq!(step.prepare(), Ok(()));
        let mut x = answered("Brussels.");
        x.classification = Classification::Restricted;
        let outcome = step.run(&x);
        assert_eq!(level(&outcome), Classification::Internal);
        assert!(outcome.message.contains("data owner"));
        x.classification = Classification::TopSecret;
        assert_eq!(level(&step.run(&x)), Classification::TopSecret);
    }
}
