//! Which starts of a text are worth a walk of which group.
//!
//! Groups with anchors are armed where one was found; groups without are tried where the first two bytes fit.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex_automata::util::pool::{Pool, PoolGuard};

use crate::{
    anchor::LITERAL,
    detector::View,
    group::{Group, Scratch},
    rule::is_word,
};

/// The groups of a scan and what leads to them. Immutable.
pub(crate) struct Gate {
    pub(crate) groups: Vec<Arc<Group>>,
    /// Matches start at any character, not only where a word starts.
    anywhere: bool,
    /// The literals of all anchors.
    search: Option<AhoCorasick>,
    /// What each literal arms.
    arms: Vec<Vec<Arm>>,
    /// Per group: how far behind a start its anchors may end; `None` without anchors.
    pub(crate) reach: Vec<Option<usize>>,
    /// The class of a first or second byte, how many classes there are, and which groups may start with two such bytes.
    classes: Vec<u8>,
    count: usize,
    table: Vec<u16>,
    lists: Vec<Fitting>,
    /// All groups.
    every: Fitting,
    scratch: Pool<Shared, fn() -> Shared>,
}

/// What one thread at a time scans with.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) groups: Vec<Scratch>,
    /// Per group, what is to be walked; empty between scans.
    pub(crate) work: Vec<Vec<Armed>>,
}

/// A literal that was found at `at` arms the starts from `at - reach` to `at`.
#[derive(Debug, Clone, Copy)]
struct Arm {
    group: u16,
    reach: usize,
}

/// Groups, by their index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fitting {
    /// Those without anchors.
    pub(crate) plain: Vec<u16>,
    /// Those with anchors; where they may still come, nothing else tells.
    pub(crate) anchored: Vec<u16>,
}

impl Fitting {
    const fn of(&mut self, reach: Option<usize>) -> &mut Vec<u16> {
        if reach.is_some() { &mut self.anchored } else { &mut self.plain }
    }
}

/// Starts from `from` to `to` (both included) are worth a walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Armed {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// It is one start, and known to be one: nobody has to look which starts lie within.
    pub(crate) is_start: bool,
}

impl Armed {
    pub(crate) const fn start(at: usize) -> Self {
        Self { from: at, to: at, is_start: true }
    }

    pub(crate) const fn range(from: usize, to: usize) -> Self {
        Self { from, to, is_start: false }
    }

    /// Both, and what lies between.
    pub(crate) fn join(&mut self, other: Self) {
        *self = Self::range(self.from.min(other.from), self.to.max(other.to));
    }
}

impl Gate {
    pub(crate) fn new(groups: Vec<Arc<Group>>, anywhere: bool) -> Result<Self, String> {
        let mut literals: Vec<(&[u8], Arm)> = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let group_index = u16::try_from(index).map_err(|e| e.to_string())?;
            for anchor in &group.anchors {
                let arm = Arm { group: group_index, reach: anchor.reach };
                literals.extend(anchor.literals.iter().map(|literal| (literal.as_slice(), arm)));
            }
        }
        literals.sort_by_key(|(literal, arm)| (*literal, arm.group, usize::MAX - arm.reach));
        literals.dedup_by(|a, b| a.0 == b.0 && a.1.group == b.1.group);
        let same: Vec<_> = literals.chunk_by(|a, b| a.0 == b.0).collect();
        let arms = same.iter().map(|all| all.iter().map(|(_, arm)| *arm).collect()).collect();
        let search = (!same.is_empty())
            .then(|| {
                AhoCorasick::builder()
                    .ascii_case_insensitive(true)
                    .kind(Some(AhoCorasickKind::DFA))
                    .build(same.iter().map(|all| all[0].0))
            })
            .transpose()
            .map_err(|e| e.to_string())?;
        let reach = groups
            .iter()
            .map(|group| group.anchors.iter().map(|anchor| anchor.reach + LITERAL).max())
            .collect();
        let mut gate = Self {
            groups: Vec::new(),
            anywhere,
            search,
            arms,
            reach,
            classes: Vec::new(),
            count: 0,
            table: Vec::new(),
            lists: Vec::new(),
            every: Fitting::default(),
            scratch: Pool::new(Shared::default),
        };
        gate.tabulate(&groups)?;
        gate.groups = groups;
        Ok(gate)
    }

    fn tabulate(&mut self, groups: &[Arc<Group>]) -> Result<(), String> {
        // One byte stands for all that no group tells apart from it.
        let mut members: Vec<(Vec<u8>, u8)> = Vec::new();
        for byte in 0..=255 {
            let told: Vec<u8> = groups.iter().map(|group| group.head.class(byte)).collect();
            let class = members.iter().position(|(other, _)| *other == told).unwrap_or_else(|| {
                members.push((told, byte));
                members.len() - 1
            });
            self.classes.push(u8::try_from(class).map_err(|e| e.to_string())?);
        }
        self.count = members.len();
        let bytes: Vec<u8> = members.into_iter().map(|(_, byte)| byte).collect();
        let mut fits: Vec<Fitting> = vec![Fitting::default(); self.count * self.count];
        for ((index, group), reach) in (0_u16..).zip(groups).zip(&self.reach) {
            self.every.of(*reach).push(index);
            for (first, fits) in bytes.iter().zip(fits.chunks_mut(self.count)) {
                for (_, fit) in bytes.iter().zip(fits).filter(|(second, _)| group.head.fits(*first, **second))
                {
                    fit.of(*reach).push(index);
                }
            }
        }
        let mut known = std::collections::HashMap::new();
        for fit in fits {
            let at = *known.entry(fit.clone()).or_insert_with(|| {
                self.lists.push(fit);
                self.lists.len() - 1
            });
            self.table.push(u16::try_from(at).map_err(|e| e.to_string())?);
        }
        Ok(())
    }

    /// Builds every group's automaton.
    pub(crate) fn prepare(&self) {
        for group in &self.groups {
            group.automaton();
        }
    }

    /// Scratch memory of one thread.
    pub(crate) fn scratch(&self) -> PoolGuard<'_, Shared, fn() -> Shared> {
        let mut shared = self.scratch.get();
        if shared.groups.is_empty() {
            shared.groups.resize_with(self.groups.len(), Scratch::default);
            shared.work.resize_with(self.groups.len(), Vec::new);
        }
        shared
    }

    /// Finds the literals that end behind `seen`, and says which starts of which group they arm.
    pub(crate) fn arm(&self, view: View<'_>, seen: usize, mut arms: impl FnMut(usize, Armed)) {
        let Some(search) = &self.search else { return };
        let from = (seen - view.base).saturating_sub(LITERAL - 1);
        for hit in search.find_overlapping_iter(&view.text.as_bytes()[from..]) {
            if view.base + from + hit.end() <= seen {
                continue;
            }
            let to = view.base + from + hit.start();
            for arm in &self.arms[hit.pattern().as_usize()] {
                arms(usize::from(arm.group), Armed::range(to.saturating_sub(arm.reach), to));
            }
        }
    }

    /// Where matches may start, from the absolute position `from` on: where a word starts, or what is no word stands.
    pub(crate) fn starts(&self, view: View<'_>, from: usize, out: &mut Vec<usize>) {
        let (text, bytes) = (view.text, view.text.as_bytes());
        for at in from - view.base..bytes.len() {
            let byte = bytes[at];
            let within = if byte.is_ascii_alphanumeric() {
                at > 0 && !self.anywhere && {
                    let before = bytes[at - 1];
                    before.is_ascii_alphanumeric() || (!before.is_ascii() && ends_in_word(&text[..at]))
                }
            } else if byte.is_ascii() {
                byte.is_ascii_whitespace()
            } else {
                let starts = text.is_char_boundary(at);
                !starts || !self.anywhere && text[at..].starts_with(is_word) && ends_in_word(&text[..at])
            };
            if !within {
                out.push(view.base + at);
            }
        }
    }

    /// The groups that may start with the first two of these bytes.
    pub(crate) fn fitting(&self, bytes: &[u8]) -> &Fitting {
        match bytes {
            [first, second, ..] => {
                let class = |byte: &u8| usize::from(self.classes[usize::from(*byte)]);
                &self.lists[usize::from(self.table[class(first) * self.count + class(second)])]
            }
            _ => &self.every,
        }
    }
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_word)
}
