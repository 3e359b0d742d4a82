//! Masking: what was found is replaced by a placeholder in the body, once, when a phase ends.

use std::ops::Range;

use serde_json::Value;
use tappass_detect::placeholder;
use tappass_model::{Finding, Segment};
use tappass_provider::dialects::place;

use crate::{steps::is_json, tokens::Restorer};

/// Replaces the findings' spans in `body` by placeholders. Findings without a span change nothing.
/// Says how many texts changed.
pub fn apply(body: &mut Value, segments: &[Segment], findings: &[Finding]) -> usize {
    let mut changed = 0;
    for (index, segment) in segments.iter().enumerate() {
        let mut spans: Vec<Mask> = findings
            .iter()
            .filter_map(|f| {
                let span = f.span.filter(|s| s.segment == index)?;
                Some(Mask::new(span.start..span.end, &f.kind, f.replacement.clone()))
            })
            .collect();
        if spans.is_empty() {
            continue;
        }
        sort(&mut spans);
        if place::set_text(body, &segment.pointer, masked(&segment.text, &spans)) {
            changed += 1;
        }
    }
    changed
}

/// Puts values back for their tokens, in every text of an answer that `may` be changed.
pub fn restore(body: &mut Value, segments: &[Segment], restorer: &Restorer, may: impl Fn(&Segment) -> bool) {
    for Segment { pointer, .. } in segments.iter().filter(|segment| may(segment)) {
        let text = place::get_text(body, pointer).and_then(|t| restorer.whole(&t, is_json(pointer)));
        if let Some(text) = text {
            place::set_text(body, pointer, text);
        }
    }
}

/// A span of a text and what goes in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    range: Range<usize>,
    /// Whether `text` stands for this one value, and leads back to it.
    own: bool,
    text: String,
}

impl Mask {
    /// With the replacement where there is one, else with the placeholder of the kind.
    #[must_use]
    pub fn new(range: Range<usize>, kind: &str, replacement: Option<String>) -> Self {
        let own = replacement.is_some();
        Self { range, own, text: replacement.unwrap_or_else(|| placeholder(kind)) }
    }
}

/// By place; of those that begin together the longest first, then the one that leads back to its value.
pub fn sort(masks: &mut [Mask]) {
    masks.sort_by(|a, b| {
        let (a_key, b_key) = ((a.range.start, b.range.end, b.own), (b.range.start, a.range.end, a.own));
        a_key.cmp(&b_key).then_with(|| a.text.cmp(&b.text))
    });
}

/// The text with each span replaced. `spans` are sorted; what overlaps is replaced together, by the first's text.
#[must_use]
pub fn masked(text: &str, spans: &[Mask]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for Mask { range, text: instead, .. } in spans {
        if range.start >= at {
            out.push_str(&text[at..range.start]);
            out.push_str(instead);
        }
        at = at.max(range.end);
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(range: Range<usize>, kind: &str) -> Mask {
        Mask::new(range, kind, None)
    }

    #[test]
    fn overlaps_are_replaced_once() {
        let spans = [mask(0..4, "A"), mask(2..6, "B"), mask(6..7, "C"), mask(8..9, "D")];
        assert_eq!(masked("abcdefghijk", &spans), "[A][C]h[D]jk");
        assert_eq!(masked("é", &[]), "é");
    }

    #[test]
    fn a_replacement_of_its_own_goes_before_a_placeholder() {
        let mut spans = [mask(0..2, "A"), Mask::new(0..2, "B", Some("token".into())), mask(0..3, "C")];
        sort(&mut spans);
        assert_eq!(masked("abcd", &spans[1..]), "tokencd");
        assert_eq!(masked("abcd", &spans), "[C]d");
    }
}
