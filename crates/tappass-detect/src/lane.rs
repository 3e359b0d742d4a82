//! The scan of one family over a growing text.

use crate::{
    rule::Rule,
    ruleset::{Candidate, RuleSet, View},
};

/// What is known so far. Positions are absolute, in folded text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane {
    /// Every start before this one is settled. When the text so far has been read, this is its end, or the first start
    /// that may still become a match: nothing after it can be released, so nothing after it is looked at yet.
    next: usize,
    /// Candidates whose overlaps are not settled yet.
    pending: Vec<Candidate>,
    /// Where the last final finding ends.
    done: usize,
}

impl Lane {
    /// Reads on as far as `view` allows; final candidates go to `out`. Returns the position before which nothing can
    /// change any more.
    pub(crate) fn advance(&mut self, set: &RuleSet, view: View<'_>, out: &mut Vec<Candidate>) -> usize {
        let end = view.base + view.text.len();
        if self.next < end {
            let mut walker = set.walker();
            while self.next < end {
                let starts = set.may_start(view.text, self.next - view.base);
                if starts && !walker.walk(view, self.next, &mut self.pending) {
                    break;
                }
                self.next += 1;
            }
        }
        self.resolve(set, self.next, out);
        self.pending.first().map_or(self.next, |first| first.start.min(self.next))
    }

    /// Settles every group of overlapping candidates that no later start can change. A group takes in no candidate that
    /// starts further from its first one than the longest match, so that a chain of overlaps cannot grow for ever.
    fn resolve(&mut self, set: &RuleSet, settled: usize, out: &mut Vec<Candidate>) {
        if self.pending.is_empty() {
            return;
        }
        self.pending.sort_by_key(|c| (c.start, c.end));
        let mut from = 0;
        while let Some(first) = self.pending.get(from) {
            if first.start < self.done {
                from += 1;
                continue;
            }
            let (mut end, cut) = (first.end, first.start + set.longest);
            let mut to = from + 1;
            while to < self.pending.len() && self.pending[to].start < end.min(cut) {
                end = end.max(self.pending[to].end);
                to += 1;
            }
            if end.min(cut) > settled {
                break;
            }
            choose(&set.rules, &mut self.pending[from..to], out);
            self.done = out.last().map_or(self.done, |c| c.end);
            from = to;
        }
        self.pending.drain(..from);
    }
}

/// Of overlapping candidates keeps the surest, then the longest, then the first; and of the rest what does not overlap it.
fn choose(rules: &[Rule], group: &mut [Candidate], out: &mut Vec<Candidate>) {
    if let [only] = group {
        out.push(*only);
        return;
    }
    group.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then((b.end - b.start).cmp(&(a.end - a.start)))
            .then(a.start.cmp(&b.start))
            .then_with(|| rules[a.rule].kind.cmp(&rules[b.rule].kind))
            .then(a.rule.cmp(&b.rule))
    });
    // Kept ones, by start: few overlap at once, many may follow each other.
    let mut kept: std::collections::BTreeMap<usize, Candidate> = std::collections::BTreeMap::new();
    for candidate in group.iter() {
        let before = kept.range(..candidate.end).next_back();
        if before.is_none_or(|(_, other)| other.end <= candidate.start) {
            kept.insert(candidate.start, *candidate);
        }
    }
    out.extend(kept.into_values());
}
