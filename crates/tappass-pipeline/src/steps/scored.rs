//! What steps do alike that judge each text by the figure of one family ([`family_score`]).

use tappass_detect::family_score;
use tappass_model::{Answer, Exchange, Family, Finding, Match, Origin, Outcome, Segment};

use super::shared::{finding, summary};

/// Hits that weigh less say what a text is about, not that it is a threat.
pub const WEIGHTLESS: f32 = 0.1;

/// A family held against a threshold.
pub struct Scored {
    /// The step.
    pub step: &'static str,
    /// What it looks for.
    pub family: Family,
    /// From which figure of a text on it is a hit, as it holds in this call.
    pub threshold: f32,
}

impl Scored {
    /// Judges the request's texts that `reads` lets through; each text by itself.
    pub fn request(&self, x: &Exchange, reads: impl Fn(&Segment) -> bool) -> Outcome {
        self.judge(&x.request.segments, &x.matches, reads)
    }

    /// Judges the answer's texts, each by itself.
    pub fn answer(&self, answer: &Answer, reads: impl Fn(&Segment) -> bool) -> Outcome {
        self.judge(&answer.segments, &answer.matches, reads)
    }

    fn judge(
        &self,
        segments: &[Segment],
        matches: &[Vec<Match>],
        reads: impl Fn(&Segment) -> bool,
    ) -> Outcome {
        let (mut highest, mut found): (f32, Vec<Finding>) = (0.0, Vec::new());
        for (index, (segment, hits)) in segments.iter().zip(matches).enumerate() {
            let weighty = |m: &&Match| m.family == self.family && m.score >= WEIGHTLESS;
            if !hits.iter().any(|m| weighty(&m)) || !reads(segment) {
                continue;
            }
            highest = highest.max(family_score(self.family, hits.iter().filter(weighty)));
            found.extend(hits.iter().filter(weighty).map(|hit| finding(self.step, index, segment, hit)));
        }
        if found.is_empty() {
            return Outcome::pass();
        }
        let message = format!("score {highest:.2} (threshold {:.2}): {}", self.threshold, summary(&found));
        Outcome { detected: highest >= self.threshold, findings: found, ..Outcome::pass_with(message) }
            .scored(highest, self.threshold)
    }

    /// Whether one more hit in a text brings its figure to the threshold, given those before it.
    pub fn reached(&self, hit: &Match, before: &[Match]) -> bool {
        hit.family == self.family
            && hit.score >= WEIGHTLESS
            && family_score(self.family, before.iter().chain([hit]).filter(|m| m.score >= WEIGHTLESS))
                >= self.threshold
    }
}

/// Refuses a threshold that is no share.
pub fn check(threshold: f32) -> Result<(), String> {
    if (0.0..=1.0).contains(&threshold) { Ok(()) } else { Err("`threshold` must be between 0 and 1".into()) }
}

/// Whether a text is the operator's own.
pub fn is_system(segment: &Segment) -> bool {
    segment.origin == Origin::System
}
