//! Notices a model that repeats itself.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, Finding, OnDetection, Origin, Outcome};

use crate::step::{About, Category, Define, Meta, Phase, Pure};

/// Pieces in a row that count as a repetition when they stood there before.
const RUN: usize = 8;
/// A word longer than this is taken apart, so that a line of one letter is seen too.
const LONGEST_WORD: usize = 24;

/// # What it does
/// Counts which share of an answer has stood in it before: words that belong to a run of eight words that was said
/// already. Each text of an answer is judged by itself, its reasoning too.
/// # Why
/// A model that runs in a circle spends money until the token limit stops it, and what it says is worth nothing.
/// # On a hit
/// Notifies unless configured otherwise. `redact` only records: half a circle is no answer either.
/// # Limits
/// Sees words, not sense: a model that says the same in other words is not noticed. Long tables of equal rows
/// count as repetition.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutputDedup {
    /// From which share of repeated words on an answer is a hit, 0 to 1.
    pub threshold: f32,
    /// Texts with fewer words are left alone.
    pub min_words: usize,
}

impl Default for OutputDedup {
    fn default() -> Self {
        Self { threshold: 0.6, min_words: 80 }
    }
}

impl Define for OutputDedup {
    const META: Meta = Meta {
        id: "output_dedup",
        position: 730,
        phase: Phase::After,
        category: Category::ResponseSafety,
        summary: "The model repeating itself, by the share of words that were said before",
        threats: &["LLM10", "ASI08"],
        on_detection: OnDetection::Notify,
    };
    const ABOUT: About = About::Answer;

    fn prepare(&mut self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err("`threshold` must be between 0 and 1".into());
        }
        if self.min_words < RUN {
            return Err(format!("`min_words` must be at least {RUN}"));
        }
        Ok(())
    }
}

impl Pure for OutputDedup {
    fn run(&self, x: &Exchange) -> Outcome {
        let threshold = x.threshold(self.threshold);
        let segments = x.answer.iter().flat_map(|a| &a.segments);
        let texts = segments.filter(|s| matches!(s.origin, Origin::Answer | Origin::Reasoning));
        let worst = texts
            .map(|s| repeated(&s.text))
            .filter(|(_, words)| *words >= self.min_words)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        match worst {
            Some((share, words)) if share >= threshold => {
                let said = format!("{:.0} % of {words} words", share * 100.0);
                let finding =
                    Finding { score: share, ..Finding::about(Self::META.id, "REPETITION", said.clone()) };
                Outcome::hit(format!("the answer repeats itself: {said} were said before"), vec![finding])
            }
            _ => Outcome::pass(),
        }
    }
}

/// The share of words that belong to a run that was said before, and how many words there are. Linear: the hash of a
/// run follows from that of the run one word earlier.
fn repeated(text: &str) -> (f32, usize) {
    const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
    let out = (0..RUN - 1).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let words: Vec<u64> = text.split_whitespace().flat_map(pieces).map(hash).collect();
    let (mut seen, mut run) = (HashSet::new(), 0_u64);
    let (mut covered, mut upto) = (0, 0);
    for (i, word) in words.iter().enumerate() {
        if i >= RUN {
            run = run.wrapping_sub(words[i - RUN].wrapping_mul(out));
        }
        run = run.wrapping_mul(BASE).wrapping_add(*word);
        if i + 1 >= RUN && !seen.insert(run) {
            let start = (i + 1 - RUN).max(upto);
            covered += i + 1 - start;
            upto = i + 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a share of words needs no more than seven digits")]
    let share = covered as f32 / words.len().max(1) as f32;
    (share, words.len())
}

fn pieces(word: &str) -> impl Iterator<Item = &[u8]> {
    word.as_bytes().chunks(LONGEST_WORD)
}

/// FNV-1a.
fn hash(word: &[u8]) -> u64 {
    word.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answered;

    #[test]
    fn lets_prose_and_short_texts_pass() {
        let prose: String =
            (0..200).map(|n| format!("Sentence {n} says a thing about number {}. ", n * n)).collect();
        assert!(!OutputDedup::default().run(&answered(&prose)).detected);
        assert!(!OutputDedup::default().run(&answered(&"no ".repeat(40))).detected, "too short to judge");
    }

    #[test]
    fn catches_a_circle_of_any_length() {
        for circle in [
            "ha ",
            "I am sorry, let me try again. ",
            &"one two three four five six seven eight nine ".repeat(3),
        ] {
            let outcome = OutputDedup::default().run(&answered(&circle.repeat(120)));
            assert!(outcome.detected && outcome.findings[0].score > 0.8, "{circle:?} {outcome:?}");
        }
        assert!(OutputDedup::default().run(&answered(&"a".repeat(5000))).detected, "a line of one letter");
    }

    #[test]
    fn half_a_circle_counts_by_its_share() {
        let fresh: String = (0..100).map(|n| format!("w{n} ")).collect();
        let (share, words) = repeated(&(fresh.clone() + &fresh));
        assert!((share - 0.5).abs() < 0.01 && words == 200, "{share} of {words}");
        assert!(
            OutputDedup { threshold: 0.4, ..OutputDedup::default() }
                .run(&answered(&(fresh.clone() + &fresh)))
                .detected
        );
        assert!(OutputDedup { min_words: 3, ..OutputDedup::default() }.prepare().is_err());
    }
}
