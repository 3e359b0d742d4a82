//! Masking: what was found is replaced by a placeholder in the body, once, when a phase ends.

use std::{borrow::Cow, ops::Range};

use serde_json::Value;
use tappass_detect::placeholder;
use tappass_model::{Finding, Segment};
use tappass_provider::dialects::chat;

/// Replaces the findings' spans in `body` by placeholders. Findings without a span change nothing.
/// Says how many texts changed.
pub fn apply(body: &mut Value, segments: &[Segment], findings: &[Finding]) -> usize {
    let mut changed = 0;
    for (index, segment) in segments.iter().enumerate() {
        let mut spans: Vec<Mask> = findings
            .iter()
            .filter_map(|f| f.span.filter(|s| s.segment == index).map(|s| (s.start..s.end, f.kind.clone())))
            .collect();
        if spans.is_empty() {
            continue;
        }
        sort(&mut spans);
        if chat::set_text(body, &segment.pointer, masked(&segment.text, &spans)) {
            changed += 1;
        }
    }
    changed
}

/// A span of a text and the kind of what stands there.
pub type Mask = (Range<usize>, Cow<'static, str>);

/// By place; of those that begin together the longest first.
pub fn sort(masks: &mut [Mask]) {
    masks.sort_by(|(a, x), (b, y)| (a.start, b.end, x).cmp(&(b.start, a.end, y)));
}

/// The text with each span replaced. `spans` are sorted by start; what overlaps is replaced together, under the
/// name of the first.
#[must_use]
pub fn masked(text: &str, spans: &[Mask]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, kind) in spans {
        if range.start >= at {
            out.push_str(&text[at..range.start]);
            out.push_str(&placeholder(kind));
        }
        at = at.max(range.end);
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_replaced_once() {
        let spans = [(0..4, "A".into()), (2..6, "B".into()), (6..7, "C".into()), (8..9, "D".into())];
        assert_eq!(masked("abcdefghijk", &spans), "[A][C]h[D]jk");
        assert_eq!(masked("é", &[]), "é");
    }
}
