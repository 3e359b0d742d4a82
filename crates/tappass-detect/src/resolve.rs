//! Overlaps between the findings of one family, over a growing text.

use std::collections::BTreeMap;

use tappass_model::Match;

use crate::families::LONGEST;

/// The findings of one family. Positions are those of the original text.
#[derive(Debug, Default)]
pub(crate) struct Overlaps {
    /// Findings whose overlaps are not settled yet.
    pending: Vec<Match>,
    /// Where the last final finding ends.
    done: usize,
}

impl Overlaps {
    pub(crate) fn add(&mut self, found: Match) {
        self.pending.push(found);
    }

    /// Settles every group of overlapping findings that no later one can change: all that start before `settled` are
    /// known. Final ones go to `out`. Returns the position before which nothing of this family can change any more.
    ///
    /// A group takes in nothing that starts further than [`LONGEST`] from its first, so that a chain of overlaps cannot
    /// grow for ever.
    pub(crate) fn settle(&mut self, settled: usize, out: &mut Vec<Match>) -> usize {
        if self.pending.is_empty() {
            return settled;
        }
        self.pending.sort_by_key(|m| (m.start, m.end));
        let mut from = 0;
        while let Some(first) = self.pending.get(from) {
            if first.start < self.done {
                from += 1;
                continue;
            }
            let (mut end, cut) = (first.end, first.start + LONGEST);
            let mut to = from + 1;
            while to < self.pending.len() && self.pending[to].start < end.min(cut) {
                end = end.max(self.pending[to].end);
                to += 1;
            }
            if end.min(cut) > settled {
                break;
            }
            choose(&mut self.pending[from..to], out);
            self.done = out.last().map_or(self.done, |m| m.end);
            from = to;
        }
        self.pending.drain(..from);
        self.pending.first().map_or(settled, |first| first.start.min(settled))
    }
}

/// Of overlapping findings keeps the surest, then the longest, then the first; and of the rest what does not overlap it.
fn choose(group: &mut [Match], out: &mut Vec<Match>) {
    if let [only] = group {
        out.push(only.clone());
        return;
    }
    group.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then((b.end - b.start).cmp(&(a.end - a.start)))
            .then(a.start.cmp(&b.start))
            .then_with(|| a.kind.cmp(&b.kind))
    });
    // Kept ones, by start: few overlap at once, many may follow each other.
    let mut kept: BTreeMap<usize, &Match> = BTreeMap::new();
    for found in group.iter() {
        let before = kept.range(..found.end).next_back();
        if before.is_none_or(|(_, other)| other.end <= found.start) {
            kept.insert(found.start, found);
        }
    }
    out.extend(kept.into_values().cloned());
}
