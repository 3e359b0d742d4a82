//! The incremental scan: the same findings as a scan of the whole, as early as they are certain.

use std::sync::Arc;

use tappass_model::{Family, Match};

use crate::{
    detector::{Detector, Text},
    injection::{self, ModelScan},
    normalise::Folded,
    original::Original,
    resolve::Overlaps,
    rule::CONTEXT,
    scanner::Plan,
};

/// What a piece of text made certain.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ready {
    /// Everything before this byte of the stream is final: it can be released.
    pub upto: usize,
    /// The findings that became final, in order; offsets count from the start of the stream, each ends at or before
    /// `upto`. Those of the injection model come last, and may lie anywhere in what was pushed: they are never masked, so
    /// no text waits for them.
    pub matches: Vec<Match>,
}

/// One detector at work on a text.
pub(crate) struct Source {
    /// A bit for each family that it reports.
    families: u32,
    detector: Box<dyn Detector>,
    /// What it returned last: a position of the text it reads.
    next: usize,
}

impl Source {
    pub(crate) fn new(families: &[Family], detector: Box<dyn Detector>) -> Self {
        Self { families: families.iter().fold(0, |bits, family| bits | bit(*family)), detector, next: 0 }
    }
}

const fn bit(family: Family) -> u32 {
    1 << family as u32
}

/// A scan that is fed piece by piece. For any way to cut a text into pieces, the findings together are those of
/// [`crate::Scanner::scan`] on the whole.
pub struct StreamScan {
    sources: Vec<Source>,
    /// Overlaps, for each family that a source reports.
    families: Vec<(Family, Overlaps)>,
    folded: Folded,
    /// Kept for the sources that read it.
    original: Original,
    /// Findings of one family that another family, not so far yet, still holds back.
    waiting: Vec<Match>,
    found: Vec<Match>,
    model: Option<Box<ModelScan>>,
}

impl std::fmt::Debug for StreamScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamScan").field("pushed", &self.folded.original_len()).finish_non_exhaustive()
    }
}

impl StreamScan {
    pub(crate) fn new(plan: &Arc<Plan>, depth: usize) -> Self {
        let sources = plan.sources(depth);
        let all = sources.iter().fold(0, |bits, source| bits | source.families);
        let families = Family::ALL.into_iter().filter(|family| all & bit(*family) != 0);
        Self {
            families: families.map(|family| (family, Overlaps::default())).collect(),
            original: Original::new(sources.iter().any(|source| source.detector.reads() == Text::Original)),
            sources,
            folded: Folded::new(),
            waiting: Vec::new(),
            found: Vec::new(),
            // What a layer holds is the rules' affair: a verdict on it would hide their findings on the same run.
            model: (plan.model && depth == 0).then(Box::default),
        }
    }

    /// Takes the next piece of the text.
    pub fn push(&mut self, text: &str) -> Ready {
        self.folded.push(text);
        self.original.push(text);
        self.advance(false)
    }

    /// The text has ended: all the rest is final. What is pushed after that is not scanned with what came before.
    pub fn finish(&mut self) -> Ready {
        self.advance(true)
    }

    pub(crate) fn whole(mut self, text: &str) -> Vec<Match> {
        self.folded.push(text);
        self.original.push(text);
        let mut found = self.advance(true).matches;
        found.sort_by_key(|m| (m.start, injection::is_model_verdict(m)));
        found
    }

    fn advance(&mut self, last: bool) -> Ready {
        // How far each text is read, and for each family the position before which all findings are known.
        let (mut folded, mut original) = (self.folded.end(), self.folded.original_len());
        let mut known: Vec<usize> = vec![original; self.families.len()];
        for source in &mut self.sources {
            let (view, reads) = match source.detector.reads() {
                Text::Folded => (self.folded.view(last), Text::Folded),
                Text::Original => (self.original.view(last), Text::Original),
            };
            source.next = source.detector.advance(view, &mut self.found).max(source.next);
            let next = if reads == Text::Folded {
                folded = folded.min(source.next);
                self.folded.original_start(source.next)
            } else {
                original = original.min(source.next);
                source.next
            };
            for (known, (family, _)) in known.iter_mut().zip(&self.families) {
                if source.families & bit(*family) != 0 {
                    *known = next.min(*known);
                }
            }
            for mut m in self.found.drain(..) {
                if reads == Text::Folded {
                    (m.start, m.end) = (self.folded.original_start(m.start), self.folded.original_end(m.end));
                }
                if let Some((_, overlaps)) = self.families.iter_mut().find(|(family, _)| *family == m.family)
                {
                    overlaps.add(m);
                }
            }
        }
        let mut upto = self.folded.original_len();
        for ((_, overlaps), known) in self.families.iter_mut().zip(known) {
            upto = upto.min(overlaps.settle(known, &mut self.waiting));
        }
        if last {
            upto = self.folded.original_len();
        }
        let mut matches = self.release(&mut upto);
        if let Some(model) = &mut self.model {
            model.advance(&self.folded, last, &mut matches);
        }
        self.folded.forget(folded.saturating_sub(CONTEXT + 8));
        self.original.forget(original.saturating_sub(CONTEXT + 8));
        Ready { upto, matches }
    }

    /// Takes the findings before `upto` out of those that wait, in order; a finding across `upto` draws it back.
    fn release(&mut self, upto: &mut usize) -> Vec<Match> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.waiting.sort_by(|a, b| {
            (a.start, a.end, a.family).cmp(&(b.start, b.end, b.family)).then_with(|| a.kind.cmp(&b.kind))
        });
        for waiting in self.waiting.iter().rev() {
            if waiting.end > *upto {
                *upto = (*upto).min(waiting.start);
            }
        }
        let ready = self.waiting.partition_point(|m| m.start < *upto);
        self.waiting.drain(..ready).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::View;

    /// Finds every `é` of the original text with the byte after it, once that is there.
    #[derive(Default)]
    struct Accents {
        next: usize,
    }

    impl Detector for Accents {
        fn reads(&self) -> Text {
            Text::Original
        }

        fn advance(&mut self, view: View<'_>, out: &mut Vec<Match>) -> usize {
            let rest = &view.text[self.next - view.base..];
            for (at, _) in rest.match_indices('é') {
                let start = self.next + at;
                if start + 3 > view.end() {
                    self.next = start;
                    return start;
                }
                out.push(Match {
                    family: Family::Unicode,
                    kind: "ACCENT".into(),
                    start,
                    end: start + 3,
                    score: 0.5,
                });
            }
            self.next = view.end();
            self.next
        }
    }

    #[test]
    fn a_detector_of_the_original_text_finds_the_same_in_pieces() {
        let text = "\u{200b}é1 ４ é2éé3".repeat(300);
        let scan = || {
            let mut scan = StreamScan::new(&Arc::default(), 0);
            scan.sources.push(Source::new(&[Family::Unicode], Box::<Accents>::default()));
            scan.families.push((Family::Unicode, Overlaps::default()));
            scan.original = Original::new(true);
            scan
        };
        let whole = scan().whole(&text);
        assert_eq!(whole.len(), 900);
        assert_eq!(&text[whole[1].start..whole[1].end], "é2");
        let mut pieces = scan();
        let mut found = Vec::new();
        for c in text.chars() {
            let ready = pieces.push(c.encode_utf8(&mut [0; 4]));
            assert!(pieces.original.view(false).text.len() < 4096, "what is read is forgotten");
            found.extend(ready.matches);
        }
        found.extend(pieces.finish().matches);
        assert_eq!(found, whole);
    }
}
