//! The rules of one family as one automaton.
//!
//! A walk starts at one position and follows the text through a lazily built DFA of all rules until no rule can go on
//! (the state is dead) or the text ends. The walk is the only definition of what a candidate is, for whole texts and for
//! streams: a start whose walk died is settled; one whose walk reached the end of the text so far is still open.

use std::sync::Arc;

use regex::Regex;
use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::dfa::{Cache, DFA},
    nfa::thompson,
    util::pool::Pool,
};
use regex_syntax::hir::Hir;
use tappass_model::{Family, Match};

use crate::{
    detector::{Detector, View},
    rule::{CONTEXT, Hit, Rule, is_word, mentions},
};

/// Ends remembered per rule and start: the longest ones. A check tries them from the longest down.
const ENDS: usize = 8;
/// Memory for one thread's automaton states, bytes.
const CACHE: usize = 4 << 20;

pub(crate) struct RuleSet {
    /// The families of the rules.
    pub(crate) families: Vec<Family>,
    rules: Vec<Rule>,
    /// For rules with a group `v` (or, in another branch, `w`): finds it in the whole match.
    values: Vec<Option<Regex>>,
    dfa: DFA,
    caches: Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync>>,
    /// Walks give up after so many bytes: no match is longer.
    longest: usize,
    /// Start at every character, not only where a word starts.
    anywhere: bool,
    pairs: Pairs,
}

/// Which two ASCII characters a match can begin with: for each first one, a bit for each second one. Most words of a
/// text begin no match of most families, and are told apart by one look here instead of a walk.
struct Pairs(Box<[u128; 128]>);

impl Pairs {
    fn of(dfa: &DFA) -> Result<Self, String> {
        let mut cache = dfa.create_cache();
        let mut pairs = Box::new([0_u128; 128]);
        let mut seen = Vec::new();
        // What stands before a start can matter to it: nothing, a line's end, a word, anything else.
        for before in ["", "\n", "\r", "a", " ", "é"] {
            let input = Input::new(before).range(before.len()..).anchored(Anchored::Yes);
            let start = dfa.start_state_forward(&mut cache, &input).map_err(|e| e.to_string())?;
            if seen.contains(&start) {
                continue;
            }
            seen.push(start);
            for first in 0..128_u8 {
                let next = dfa.next_state(&mut cache, start, first).map_err(|e| e.to_string())?;
                for second in (0..128_u8).filter(|_| !next.is_dead()) {
                    let state = dfa.next_state(&mut cache, next, second).map_err(|e| e.to_string())?;
                    pairs[usize::from(first)] |= u128::from(!state.is_dead()) << second;
                }
            }
        }
        Ok(Self(pairs))
    }

    /// Whether a match may begin with these bytes. One alone, or beyond ASCII, may always.
    fn may(&self, bytes: &[u8]) -> bool {
        match bytes {
            [first @ ..128, second @ ..128, ..] => self.0[usize::from(*first)] >> second & 1 == 1,
            _ => true,
        }
    }
}

/// What a walk needs beside the rules; reused from call to call.
struct Walker<'s> {
    set: &'s RuleSet,
    cache: regex_automata::util::pool::PoolGuard<'s, Cache, Box<dyn Fn() -> Cache + Send + Sync>>,
    /// (rule, ends) of the current walk, in the order they were first met.
    ends: Vec<(usize, usize)>,
}

/// The walks over one growing text.
pub(crate) struct Walks {
    set: Arc<RuleSet>,
    /// Every start before this one is settled. When the text so far has been read, this is its end, or the first start
    /// that may still become a match: nothing after it can be released, so nothing after it is looked at yet.
    next: usize,
}

impl Walks {
    pub(crate) const fn new(set: Arc<RuleSet>) -> Self {
        Self { set, next: 0 }
    }
}

impl Detector for Walks {
    fn advance(&mut self, view: View<'_>, out: &mut Vec<Match>) -> usize {
        let end = view.end();
        if self.next < end {
            let mut walker = self.set.walker();
            while self.next < end {
                let starts = self.set.may_start(view.text, self.next - view.base);
                if starts && !walker.walk(view, self.next, out) {
                    break;
                }
                self.next += 1;
            }
        }
        self.next
    }
}

impl RuleSet {
    /// Compiles the rules. The patterns come parsed: `hirs[i]` is that of `rules[i]`.
    pub(crate) fn new(
        rules: Vec<Rule>,
        hirs: &[Hir],
        longest: usize,
        anywhere: bool,
    ) -> Result<Self, String> {
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().nfa_size_limit(Some(64 << 20)).shrink(false))
            .build_many_from_hir(hirs)
            .map_err(|e| e.to_string())?;
        let config =
            DFA::config().match_kind(MatchKind::All).cache_capacity(CACHE).skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).map_err(|e| e.to_string())?;
        let values = rules
            .iter()
            .map(|rule| {
                let named = rule.regex.contains("(?<v>");
                named.then(|| Regex::new(&format!(r"\A(?:{})\z", rule.regex))).transpose()
            })
            .collect::<Result<_, _>>()
            .map_err(|e| e.to_string())?;
        let maker = dfa.clone();
        let make: Box<dyn Fn() -> Cache + Send + Sync> = Box::new(move || maker.create_cache());
        let pairs = Pairs::of(&dfa)?;
        let mut families: Vec<Family> = rules.iter().map(|rule| rule.family).collect();
        families.dedup();
        Ok(Self { families, rules, values, dfa, caches: Pool::new(make), longest, anywhere, pairs })
    }

    fn walker(&self) -> Walker<'_> {
        Walker { set: self, cache: self.caches.get(), ends: Vec::new() }
    }

    /// Whether a match may start at byte `at` of `text`.
    fn may_start(&self, text: &str, at: usize) -> bool {
        let bytes = text.as_bytes();
        let byte = bytes[at];
        // Most bytes of a text stand inside a word.
        let inside = at > 0 && byte.is_ascii_alphanumeric() && bytes[at - 1].is_ascii_alphanumeric();
        if inside && !self.anywhere {
            return false;
        }
        if byte.is_ascii_whitespace() || !text.is_char_boundary(at) || !self.pairs.may(&bytes[at..]) {
            return false;
        }
        if self.anywhere || at == 0 || (byte.is_ascii() && !byte.is_ascii_alphanumeric()) {
            return true;
        }
        let before = bytes[at - 1];
        if before.is_ascii() && !before.is_ascii_alphanumeric() {
            return true;
        }
        let within = byte.is_ascii() || text[at..].chars().next().is_some_and(is_word);
        !(within && (before.is_ascii() || text[..at].chars().next_back().is_some_and(is_word)))
    }
}

impl Walker<'_> {
    /// Walks from the absolute position `start`; puts what it found into `found`. False: the start is still open.
    fn walk(&mut self, view: View<'_>, start: usize, found: &mut Vec<Match>) -> bool {
        self.ends.clear();
        if !self.run(view, start) {
            return false;
        }
        if self.ends.is_empty() {
            return true;
        }
        let end_of_view = view.end();
        let waits = |(rule, end): &(usize, usize)| end + self.set.rules[*rule].after > end_of_view;
        if !view.last && self.ends.iter().any(waits) {
            return false;
        }
        self.ends.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        for group in self.ends.chunk_by(|a, b| a.0 == b.0) {
            let best =
                group.iter().take(ENDS).find_map(|(rule, end)| self.set.judge(view, *rule, start, *end));
            found.extend(best);
        }
        true
    }

    /// Follows the automaton; collects the ends. False: it was still alive where the text so far ends.
    fn run(&mut self, view: View<'_>, start: usize) -> bool {
        const SURE: &str = "no quit bytes and no give-up are configured";
        let (dfa, cache) = (&self.set.dfa, &mut *self.cache);
        let bytes = view.text.as_bytes();
        let from = start - view.base;
        let input = Input::new(bytes).range(from..).anchored(Anchored::Yes);
        let mut state = dfa.start_state_forward(cache, &input).expect(SURE);
        // One byte more than the longest match: the automaton reports a match when it has seen what follows.
        let limit = bytes.len().min(from + self.set.longest + 1);
        for (at, byte) in bytes.iter().enumerate().take(limit).skip(from) {
            state = dfa.next_state(cache, state, *byte).expect(SURE);
            if state.is_tagged() {
                if state.is_dead() {
                    return true;
                }
                if state.is_match() {
                    for i in 0..dfa.match_len(cache, state) {
                        let rule = dfa.match_pattern(cache, state, i).as_usize();
                        self.set.end(view, rule, at, &mut self.ends);
                    }
                }
            }
        }
        if limit < bytes.len() {
            return true;
        }
        if view.last {
            state = dfa.next_eoi_state(cache, state).expect(SURE);
            if state.is_match() {
                for i in 0..dfa.match_len(cache, state) {
                    let rule = dfa.match_pattern(cache, state, i).as_usize();
                    self.set.end(view, rule, limit, &mut self.ends);
                }
            }
        }
        view.last
    }
}

impl RuleSet {
    /// Notes that `rule` may end at byte `at` of the window, unless that cuts a word.
    fn end(&self, view: View<'_>, rule: usize, at: usize, ends: &mut Vec<(usize, usize)>) {
        if !self.rules[rule].open && view.text.is_char_boundary(at) {
            let before = view.text[..at].chars().next_back().is_some_and(is_word);
            if before && view.text[at..].chars().next().is_some_and(is_word) {
                return;
            }
        }
        ends.push((rule, view.base + at));
    }

    fn judge(&self, view: View<'_>, index: usize, start: usize, end: usize) -> Option<Match> {
        let rule = &self.rules[index];
        let (from, to) = (start - view.base, end - view.base);
        let whole = &view.text[from..to];
        let before = &view.text[ceil(view.text, from.saturating_sub(CONTEXT))..from];
        let after = &view.text[to..floor(view.text, (to + rule.after).min(view.text.len()))];
        if !rule.near.is_empty() && !mentions(before, rule.near) {
            return None;
        }
        let value = match &self.values[index] {
            Some(regex) => {
                let groups = regex.captures(whole)?;
                groups.name("v").or_else(|| groups.name("w"))?.range()
            }
            None => 0..whole.len(),
        };
        let hit = Hit { value: &whole[value.clone()], whole, before, after, score: rule.score };
        let score = (rule.check)(&hit)?;
        Some(Match {
            family: rule.family,
            kind: rule.kind.clone(),
            start: start + value.start,
            end: start + value.end,
            score,
        })
    }
}

/// The first character boundary at or after `at`.
fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// The last character boundary at or before `at`.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
