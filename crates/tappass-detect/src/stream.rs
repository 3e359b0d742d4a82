//! The incremental scan: the same findings as a scan of the whole, as early as they are certain.

use std::sync::Arc;

use tappass_model::Match;

use crate::{
    lane::Lane,
    normalise::Folded,
    rule::CONTEXT,
    ruleset::{Candidate, View},
    scanner::Lanes,
};

/// What a piece of text made certain.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ready {
    /// Everything before this byte of the stream is final: it can be released.
    pub upto: usize,
    /// The findings that became final, in order; offsets count from the start of the stream, each ends at or before
    /// `upto`.
    pub matches: Vec<Match>,
}

/// A scan that is fed piece by piece. For any way to cut a text into pieces, the findings together are those of
/// [`crate::Scanner::scan`] on the whole.
pub struct StreamScan {
    sets: Arc<Lanes>,
    lanes: Vec<Lane>,
    folded: Folded,
    /// Findings of one lane that another lane, not so far yet, still holds back.
    waiting: Vec<Match>,
    found: Vec<Candidate>,
}

impl std::fmt::Debug for StreamScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamScan").field("pushed", &self.folded.original_len()).finish_non_exhaustive()
    }
}

impl StreamScan {
    pub(crate) fn new(sets: Arc<Lanes>) -> Self {
        let lanes = sets.iter().map(|_| Lane::default()).collect();
        Self { sets, lanes, folded: Folded::new(), waiting: Vec::new(), found: Vec::new() }
    }

    /// Takes the next piece of the text.
    pub fn push(&mut self, text: &str) -> Ready {
        self.folded.push(text);
        self.advance(false)
    }

    /// The text has ended: all the rest is final. What is pushed after that is not scanned with what came before.
    pub fn finish(&mut self) -> Ready {
        self.advance(true)
    }

    pub(crate) fn whole(mut self, text: &str) -> Vec<Match> {
        self.folded.push(text);
        self.advance(true).matches
    }

    fn advance(&mut self, last: bool) -> Ready {
        let view = View { text: self.folded.text(), base: self.folded.base(), last };
        let mut settled = self.folded.end();
        for (lane, set) in self.lanes.iter_mut().zip(self.sets.iter()) {
            settled = settled.min(lane.advance(set, view, &mut self.found));
            let sure = |c: Candidate| Match {
                family: set.rules[c.rule].family,
                kind: set.rules[c.rule].kind.clone(),
                start: self.folded.original_start(c.start),
                end: self.folded.original_end(c.end),
                score: c.score,
            };
            self.waiting.extend(self.found.drain(..).map(sure));
        }
        let mut upto = if last { self.folded.original_len() } else { self.folded.original_start(settled) };
        let matches = self.release(&mut upto);
        self.folded.forget(settled.saturating_sub(CONTEXT + 8));
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
