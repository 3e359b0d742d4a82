//! The rules of all families over one growing text: one search for their anchors, then walks where they are worth it.

use std::sync::Arc;

use tappass_model::Match;

use crate::{
    detector::{Detector, View},
    gate::{Armed, Gate, Shared},
    group::Fuel,
};

/// The walks of all groups over one text.
pub(crate) struct Walks {
    gate: Arc<Gate>,
    groups: Vec<Progress>,
    /// Up to here literals and starts are known.
    seen: usize,
    /// Where matches may start, from the least `next` on.
    starts: Vec<usize>,
    /// What earlier pieces of the text left to be walked, with the index of its group.
    left: Vec<(usize, Armed)>,
}

/// How far a group is.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Every start before this one is settled. When the text so far has been read, this is its end, or the first start
    /// that may still become a match: nothing after it can be released, so nothing after it is looked at yet.
    next: usize,
    /// A start that is open is walked again when the text has grown to here: by an eighth of what it reached, so that a
    /// long match does not cost its length for every piece.
    again: usize,
    fuel: Fuel,
}

impl Walks {
    pub(crate) fn new(gate: &Arc<Gate>) -> Self {
        let groups = vec![Progress::default(); gate.groups.len()];
        Self { gate: Arc::clone(gate), groups, seen: 0, starts: Vec::new(), left: Vec::new() }
    }

    /// Reads the text behind `seen`: says what of it is to be walked.
    fn see(&mut self, view: View<'_>, work: &mut [Vec<Armed>]) {
        let gate = &self.gate;
        gate.arm(view, self.seen, |group, armed| match work[group].last_mut() {
            Some(last) if armed.from <= last.to => last.join(armed),
            _ => work[group].push(armed),
        });
        let known = self.starts.len();
        gate.starts(view, self.seen, &mut self.starts);
        for start in &self.starts[known..] {
            let here = Armed::start(*start);
            let fitting = gate.fitting(&view.text.as_bytes()[start - view.base..]);
            for group in &fitting.plain {
                work[usize::from(*group)].push(here);
            }
            // So close to the end, an anchor may still come.
            for group in fitting.anchored.iter().filter(|_| !view.last).map(|group| usize::from(*group)) {
                if gate.reach[group].is_some_and(|reach| start + reach > view.end()) {
                    work[group].push(here);
                }
            }
        }
        self.seen = view.end();
    }
}

impl Detector for Walks {
    fn advance(&mut self, view: View<'_>, out: &mut Vec<Match>) -> usize {
        let (gate, end) = (Arc::clone(&self.gate), view.end());
        let mut shared = gate.scratch();
        let Shared { groups: scratch, work } = &mut *shared;
        for (group, armed) in self.left.drain(..) {
            work[group].push(armed);
        }
        self.see(view, work);
        let mut least = end;
        for (index, work) in work.iter_mut().enumerate() {
            let progress = &mut self.groups[index];
            if !work.is_empty() && (progress.again <= end || view.last) {
                work.sort_unstable_by_key(|armed| armed.from);
                let mut next = progress.next;
                let (head, bytes) = (&gate.groups[index].head, view.text.as_bytes());
                let mut walker = gate.groups[index].walker(&mut scratch[index], &mut progress.fuel);
                let mut walk = |start: usize, next: &mut usize| {
                    let settled = start < *next
                        || !head.begins(&bytes[start - view.base..])
                        || walker.walk(view, start, out);
                    *next = (*next).max(start + usize::from(settled));
                    settled
                };
                let settled = work.iter().all(|armed| {
                    if armed.is_start {
                        return walk(armed.from, &mut next);
                    }
                    let from = armed.from.max(next);
                    let first = self.starts.partition_point(|start| *start < from);
                    let within = self.starts[first..].iter().take_while(|start| **start <= armed.to);
                    within.copied().all(|start| walk(start, &mut next))
                });
                progress.next = if settled { end } else { next };
                progress.again = if settled { 0 } else { end + (end - next) / 8 };
            } else if work.is_empty() {
                progress.next = end;
            }
            let next = progress.next;
            least = least.min(next);
            if !view.last {
                self.left.extend(work.iter().filter(|armed| armed.to >= next).map(|armed| (index, *armed)));
            }
            work.clear();
        }
        self.starts.drain(..self.starts.partition_point(|start| *start < least));
        least
    }
}
