//! A few rules as one automaton, and the walk.
//!
//! A walk starts at one position and follows the text through a lazily built DFA until no pattern can go on (the state is
//! dead) or the text ends. The walk is the only definition of what a candidate is, for whole texts and for streams: a start
//! whose walk died is settled; one whose walk reached the end of the text so far is still open. Which starts are walked at
//! all is [`crate::gate`]'s business, and makes no difference to what is found.

use std::{
    cell::OnceCell,
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, OnceLock},
};

use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::dfa::{Cache, DFA},
    meta,
    nfa::thompson,
};
use regex_syntax::hir::{Hir, HirKind, Look};
use tappass_model::Match;

use crate::{
    anchor::Anchor,
    detector::View,
    effort,
    head::Head,
    pattern::{self, Pattern, Tail},
    rule::{CONTEXT, Hit, Rule, Words, is_word},
};

/// Ends that are judged per rule and start: the longest ones, from the longest down.
const ENDS: usize = 8;
/// The same of ends within a tail.
const TAIL_ENDS: usize = 3;
/// Memory for one thread's automaton states of one group, bytes.
const CACHE: usize = 4 << 20;

/// Patterns that are walked together.
pub(crate) struct Group {
    rules: Arc<Vec<Rule>>,
    patterns: Vec<Walked>,
    /// Built for the first walk: most groups hold for kinds of text that a deployment never sees.
    dfa: OnceLock<DFA>,
    /// With which two bytes a match may begin.
    pub(crate) head: Head,
    /// Walks give up after so many bytes: no match is longer.
    longest: usize,
    /// Of each pattern; or none, when one has none.
    pub(crate) anchors: Vec<Anchor>,
}

/// A pattern that comes into a group.
pub(crate) struct Member {
    /// The rule it belongs to.
    pub(crate) rule: usize,
    /// Which one of the rule's.
    pub(crate) nth: usize,
    pub(crate) pattern: Pattern,
    pub(crate) anchor: Option<Anchor>,
}

/// One pattern of a group.
struct Walked {
    /// The rule it belongs to.
    rule: usize,
    /// Which one of the rule's.
    nth: usize,
    tail: Option<Tail>,
    /// Finds what is reported (group `v` or `w`) in what was walked; built for the first match. `None`: all of it is.
    value: Option<OnceLock<meta::Regex>>,
}

impl Group {
    /// Puts patterns together.
    pub(crate) fn new(rules: &Arc<Vec<Rule>>, members: Vec<Member>, longest: usize) -> Result<Self, String> {
        let head = Head::new(members.iter().map(|member| &member.pattern.hir))?;
        let anchors: Option<Vec<Anchor>> = members.iter().map(|member| member.anchor.clone()).collect();
        // Expressions are large and rarely needed again: they are read anew when they are.
        let patterns = members
            .into_iter()
            .map(|Member { rule, nth, pattern, .. }| {
                let value = names_value(&pattern.hir).then(OnceLock::new);
                Walked { rule, nth, tail: pattern.tail, value }
            })
            .collect();
        let (rules, anchors) = (Arc::clone(rules), anchors.unwrap_or_default());
        Ok(Self { rules, patterns, dfa: OnceLock::new(), head, longest, anchors })
    }

    /// The expressions of the patterns.
    fn expressions(&self) -> Result<Vec<Hir>, String> {
        let mut read: HashMap<usize, Vec<Pattern>> = HashMap::new();
        let mut all = Vec::with_capacity(self.patterns.len());
        for walked in &self.patterns {
            let patterns = match read.entry(walked.rule) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(pattern::split(&self.rules[walked.rule].hir()?)),
            };
            all.push(patterns[walked.nth].hir.clone());
        }
        Ok(all)
    }

    /// Builds the automaton now rather than for the first walk.
    pub(crate) fn build(&self) -> Result<&DFA, String> {
        if let Some(dfa) = self.dfa.get() {
            return Ok(dfa);
        }
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().nfa_size_limit(Some(64 << 20)).shrink(false))
            .build_many_from_hir(&self.expressions()?)
            .map_err(|e| e.to_string())?;
        let config =
            DFA::config().match_kind(MatchKind::All).cache_capacity(CACHE).skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).map_err(|e| e.to_string())?;
        Ok(self.dfa.get_or_init(|| dfa))
    }

    pub(crate) fn automaton(&self) -> &DFA {
        self.build().expect("built-in rules compile: tested; custom ones were built when they came")
    }

    /// A walker over one text, with the states that earlier walks of this thread have built.
    pub(crate) fn walker<'g>(&'g self, scratch: &'g mut Scratch, fuel: &'g mut Fuel) -> Walker<'g> {
        scratch.runs.clear();
        scratch.runs.resize(self.patterns.len(), (0, 0));
        let dfa =
            self.build().expect("built-in rules compile: tested; custom ones were built when they came");
        let cache = scratch.cache.get_or_insert_with(|| dfa.create_cache());
        Walker {
            group: self,
            dfa,
            fuel,
            cache,
            ends: &mut scratch.ends,
            tries: &mut scratch.tries,
            runs: &mut scratch.runs,
        }
    }
}

/// Whether an expression says which part of a match is reported.
fn names_value(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => capture.name.is_some() || names_value(&capture.sub),
        HirKind::Repetition(repetition) => names_value(&repetition.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(names_value),
        _ => false,
    }
}

/// The expression of a rule's pattern, to be matched from end to end with its groups.
fn whole(rule: &Rule, nth: usize) -> meta::Regex {
    const SURE: &str = "what compiled as a part of an automaton compiles alone";
    let pattern = pattern::split(&rule.hir().expect(SURE)).swap_remove(nth);
    let whole = Hir::concat(vec![Hir::look(Look::Start), pattern.hir, Hir::look(Look::End)]);
    meta::Regex::builder().build_from_hir(&whole).expect(SURE)
}

/// What walks of one group need beside it; kept from text to text.
#[derive(Default)]
pub(crate) struct Scratch {
    cache: Option<Cache>,
    /// (pattern, end) of the current walk, in the order they were met.
    ends: Vec<(usize, usize)>,
    tries: Vec<Try>,
    /// The run of each pattern's tail that was read last: where it was entered, and where it ends.
    runs: Vec<(usize, usize)>,
}

/// What bounds the judging. The longest end of every rule and start is always judged; shorter ones, after it was turned
/// down, only as far as what the text has earned lasts. Ordinary text never comes near; a text that is made of endless
/// overlapping candidates costs one judgement each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fuel {
    left: usize,
    /// Up to here the text has earned.
    at: usize,
}

impl Default for Fuel {
    fn default() -> Self {
        Self { left: Self::MOST, at: 0 }
    }
}

impl Fuel {
    /// Bytes that may be judged once more, per byte of text.
    const RATE: usize = 32;
    /// At most so much is kept.
    const MOST: usize = 1 << 14;
    /// What a judgement costs beside its length.
    const EACH: usize = 16;

    fn earn(&mut self, at: usize) {
        self.left = Self::MOST.min(self.left + Self::RATE * (at - self.at));
        self.at = at;
    }

    /// Whether what is left is enough for a judgement of so many bytes.
    const fn burn(&mut self, bytes: usize) -> bool {
        let enough = self.left >= bytes + Self::EACH;
        if enough {
            self.left -= bytes + Self::EACH;
        }
        enough
    }
}

/// [`Scratch`] at work on a group.
pub(crate) struct Walker<'g> {
    group: &'g Group,
    dfa: &'g DFA,
    fuel: &'g mut Fuel,
    cache: &'g mut Cache,
    ends: &'g mut Vec<(usize, usize)>,
    tries: &'g mut Vec<Try>,
    runs: &'g mut Vec<(usize, usize)>,
}

/// A possible end of a match.
#[derive(Clone, Copy)]
struct Try {
    pattern: usize,
    /// Where the walked part ends.
    base: usize,
    end: usize,
}

impl Walker<'_> {
    /// Walks from the absolute position `start`; puts what it found into `found`. False: the start is still open.
    pub(crate) fn walk(&mut self, view: View<'_>, start: usize, found: &mut Vec<Match>) -> bool {
        self.ends.clear();
        if !self.run(view, start) {
            return false;
        }
        if self.ends.is_empty() {
            return true;
        }
        self.tries.clear();
        for at in 0..self.ends.len() {
            if !self.extend(view, start, self.ends[at]) {
                return false;
            }
        }
        let group = self.group;
        let rule = |t: &Try| group.patterns[t.pattern].rule;
        let waits = |t: &Try| t.end + group.rules[rule(t)].after > view.end();
        if !view.last && self.tries.iter().any(waits) {
            return false;
        }
        self.tries.sort_unstable_by_key(|t| (rule(t), usize::MAX - t.end, t.base, t.pattern));
        let words = OnceCell::new();
        self.fuel.earn(start);
        for same in self.tries.chunk_by(|a, b| rule(a) == rule(b)) {
            for (nth, t) in same.iter().take(ENDS).enumerate() {
                if nth > 0 && !self.fuel.burn(t.end - start) {
                    break;
                }
                if let Some(match_) = group.judge(view, start, *t, &words) {
                    found.push(match_);
                    break;
                }
            }
        }
        true
    }

    /// Follows the automaton; collects the ends. False: it was still alive where the text so far ends.
    fn run(&mut self, view: View<'_>, start: usize) -> bool {
        const SURE: &str = "no quit bytes and no give-up are configured";
        let (dfa, cache) = (self.dfa, &mut *self.cache);
        let bytes = view.text.as_bytes();
        let from = start - view.base;
        let input = Input::new(bytes).range(from..).anchored(Anchored::Yes);
        let mut state = dfa.start_state_forward(cache, &input).expect(SURE);
        // One byte more than the longest match: the automaton reports a match when it has seen what follows.
        let limit = bytes.len().min(from + self.group.longest + 1);
        for (at, byte) in bytes.iter().enumerate().take(limit).skip(from) {
            state = dfa.next_state(cache, state, *byte).expect(SURE);
            if state.is_tagged() {
                if state.is_dead() {
                    effort::add(at - from);
                    return true;
                }
                if state.is_match() {
                    for i in 0..dfa.match_len(cache, state) {
                        self.ends.push((dfa.match_pattern(cache, state, i).as_usize(), view.base + at));
                    }
                }
            }
        }
        effort::add(limit - from);
        if limit < bytes.len() {
            return true;
        }
        if view.last {
            state = dfa.next_eoi_state(cache, state).expect(SURE);
            if state.is_match() {
                for i in 0..dfa.match_len(cache, state) {
                    self.ends.push((dfa.match_pattern(cache, state, i).as_usize(), view.base + limit));
                }
            }
        }
        view.last
    }

    /// Adds the ends that an end of the walked part stands for. False: its tail reaches the end of the text so far.
    fn extend(&mut self, view: View<'_>, start: usize, (pattern, base): (usize, usize)) -> bool {
        let walked = &self.group.patterns[pattern];
        let open = self.group.rules[walked.rule].open;
        let Some(tail) = &walked.tail else {
            if open || !cuts_word(view, base) {
                self.tries.push(Try { pattern, base, end: base });
            }
            return true;
        };
        let end = self.run_end(view, tail, pattern, base).min(start + self.group.longest);
        let end = floor(view.text, end - view.base) + view.base;
        let run = &view.text[base - view.base..end - view.base];
        let most = base + tail.most(run);
        if end == view.end() && !view.last && most == end && end < start + self.group.longest {
            return false;
        }
        let mut left = TAIL_ENDS;
        for end in (base..=most).rev().take(64) {
            if view.text.is_char_boundary(end - view.base) && (open || !cuts_word(view, end)) {
                self.tries.push(Try { pattern, base, end });
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        true
    }

    /// Where the run of the tail's characters that begins at `base` ends, as far as the text goes.
    fn run_end(&mut self, view: View<'_>, tail: &Tail, pattern: usize, base: usize) -> usize {
        let (from, to) = self.runs[pattern];
        if (from..to).contains(&base) {
            return to;
        }
        let to = base + tail.run(&view.text[base - view.base..]);
        self.runs[pattern] = (base, to);
        to
    }
}

/// Whether a word goes on over the absolute position `at`.
fn cuts_word(view: View<'_>, at: usize) -> bool {
    let at = at - view.base;
    view.text.is_char_boundary(at)
        && view.text[..at].chars().next_back().is_some_and(is_word)
        && view.text[at..].chars().next().is_some_and(is_word)
}

impl Group {
    /// The finding that a possible end makes, if it makes one. `words`: those before `start`.
    fn judge(&self, view: View<'_>, start: usize, t: Try, words: &OnceCell<Words>) -> Option<Match> {
        let Walked { rule, value, nth, .. } = &self.patterns[t.pattern];
        let rule = &self.rules[*rule];
        let (from, base, to) = (start - view.base, t.base - view.base, t.end - view.base);
        let all = &view.text[from..to];
        effort::add(all.len());
        let before = &view.text[ceil(view.text, from.saturating_sub(CONTEXT))..from];
        let after = &view.text[to..floor(view.text, (to + rule.after).min(view.text.len()))];
        let hit = Hit { value: all, whole: all, before, words, after, score: rule.score };
        if !rule.near.is_empty() && !hit.near(rule.near) {
            return None;
        }
        let value = match value {
            Some(regex) => {
                let regex = regex.get_or_init(|| whole(rule, *nth));
                let mut groups = regex.create_captures();
                regex.captures(&view.text[from..base], &mut groups);
                let span = groups.get_group_by_name("v").or_else(|| groups.get_group_by_name("w"))?;
                // The value goes on into the tail when it is the last thing.
                span.start..if span.end == base - from { all.len() } else { span.end }
            }
            None => 0..all.len(),
        };
        let score = (rule.check)(&Hit { value: &all[value.clone()], ..hit })?;
        let (family, kind) = (rule.family, rule.kind.clone());
        Some(Match { family, kind, start: start + value.start, end: start + value.end, score })
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
