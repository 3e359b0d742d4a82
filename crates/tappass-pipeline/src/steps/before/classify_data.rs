//! Establishes how sensitive a request is.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_detect::{CustomPattern, classify};
use tappass_model::{Classification, Effect, Exchange, Family, Finding, Match, OnDetection, Outcome};

use super::shared::{findings, summary};
use crate::step::{Category, Define, Meta, Phase, Pure};

/// Findings that mean more together than each alone: a name beside a diagnosis.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Together {
    /// What they are together, in capitals: `PROTECTED_HEALTH_INFORMATION`.
    pub name: String,
    /// One of each group has to be in the request: kinds (`PERSON`, a custom pattern's name) or families (`pii`).
    pub groups: Vec<Vec<String>>,
    /// How sure the least sure of them must be, 0 to 1; 0.5 when left out.
    #[serde(default = "Together::least")]
    pub threshold: f32,
    /// The level that they ask for together.
    pub level: Classification,
}

impl Together {
    const fn least() -> f32 {
        0.5
    }

    /// How sure: each group's surest hit, and of those the least sure. Nothing when a group has none.
    fn score(&self, hits: &[Vec<Match>]) -> Option<f32> {
        let of = |group: &Vec<String>| {
            let fits =
                |hit: &&Match| group.iter().any(|name| *name == hit.kind || name == hit.family.as_str());
            hits.iter().flatten().filter(fits).map(|hit| hit.score).max_by(f32::total_cmp)
        };
        let weakest = self.groups.iter().try_fold(1.0_f32, |least, group| of(group).map(|s| least.min(s)))?;
        (weakest >= self.threshold).then_some(weakest)
    }
}

/// # What it does
/// Takes the highest level that anything in the request asks for: what the detectors found (a secret is
/// RESTRICTED), markings in the text (`Strictly confidential`), the organisation's own `custom_patterns`, and findings
/// that mean more `together`.
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
    /// Findings that together ask for a level of their own.
    pub together: Vec<Together>,
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

    fn prepare(&mut self) -> Result<(), String> {
        match self.together.iter().find(|t| t.groups.len() < 2 || t.groups.iter().any(Vec::is_empty)) {
            Some(t) => Err(format!("`{}` needs two groups or more, none of them empty", t.name)),
            None => Ok(()),
        }
    }
}

impl ClassifyData {
    /// What several findings are together.
    fn together(&self, x: &Exchange) -> impl Iterator<Item = (&Together, f32)> {
        self.together.iter().filter_map(|t| t.score(&x.matches).map(|score| (t, score)))
    }

    fn own_level(&self, hit: &Match) -> Option<Classification> {
        let own = self.custom_patterns.iter().find(|p| hit.family == Family::Custom && p.name == hit.kind);
        own.and_then(|p| p.level)
    }
}

impl Pure for ClassifyData {
    fn run(&self, x: &Exchange) -> Outcome {
        let single = classify(x.matches.iter().flatten(), |hit| self.own_level(hit)).level;
        let level = self.together(x).map(|(together, _)| together.level).fold(single, Classification::max);
        let mut found = findings(Self::META.id, &x.request.segments, &x.matches, |hit, _, _| {
            matches!(hit.family, Family::Marking | Family::Custom)
        });
        found.extend(self.together(x).map(|(together, score)| Finding {
            kind: Cow::Owned(together.name.clone()),
            score,
            ..Finding::about(Self::META.id, "", String::new())
        }));
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
        let step = ClassifyData {
            custom_patterns: vec![pattern],
            hit_at: Some(Classification::Restricted),
            together: Vec::new(),
        };
        let outcome = step.run(&x);
        assert_eq!(level(&outcome), Classification::Restricted);
        assert!(outcome.detected && outcome.message.contains("client_account_number"), "{outcome:?}");
        assert!(!step.run(&scanned("about nothing")).detected);
    }

    #[test]
    fn some_findings_mean_more_together() {
        let illness = CustomPattern { name: "ILLNESS".into(), pattern: "flu".into(), level: None };
        let together = Together {
            name: "HEALTH".into(),
            groups: vec![vec!["pii".into()], vec!["ILLNESS".into()]],
            threshold: 0.5,
            level: Classification::Restricted,
        };
        let step = ClassifyData {
            custom_patterns: vec![illness.clone()],
            together: vec![together.clone()],
            ..ClassifyData::default()
        };
        let on = |text: &str| step.run(&scanned_with(std::slice::from_ref(&illness), text));
        assert_eq!(level(&on("a@b.example has the flu")), Classification::Restricted);
        assert!(on("a@b.example has the flu").message.contains("HEALTH"));
        assert!(level(&on("the flu is about")) < Classification::Restricted);
        assert!(level(&on("a@b.example is about")) < Classification::Restricted);
        let alone = Together { groups: vec![vec!["pii".into()]], ..together };
        assert!(ClassifyData { together: vec![alone], ..ClassifyData::default() }.prepare().is_err());
    }
}
