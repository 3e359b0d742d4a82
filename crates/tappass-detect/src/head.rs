//! Heads: with which two bytes a match may begin, and how long a run of the same kind it must begin with.
//!
//! They are read off the expressions without their automata, so they may allow more than matches do (whatever is beyond
//! ASCII counts as any of it), and never less: a head spares walks, it never decides.

use regex_automata::{Anchored, Input, MatchKind, hybrid::dfa::DFA, nfa::thompson};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Repetition};

/// The pairs of bytes with which matches of some expressions may begin.
pub(crate) struct Head {
    /// A number for each byte: equal when the expressions do not tell two bytes apart.
    classes: Vec<u8>,
    count: usize,
    /// For each pair of classes, whether a match may begin so.
    fits: Vec<bool>,
    run: Option<Run>,
}

/// What the first bytes of every match have in common.
struct Run {
    /// The ASCII characters among them, a bit each; of others anything goes.
    ascii: u128,
    /// How many bytes.
    least: usize,
}

/// A run shorter than this is found out as soon by a walk.
const RUN: usize = 8;

impl Head {
    /// Of expressions of which every match has at least one byte.
    pub(crate) fn new<'h>(expressions: impl Iterator<Item = &'h Hir>) -> Result<Self, String> {
        let expressions: Vec<&Hir> = expressions.collect();
        let run = match expressions.as_slice() {
            [one] => run(one),
            _ => None,
        };
        let heads: Vec<Hir> = expressions.into_iter().map(head).collect();
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().utf8(false).shrink(false))
            .build_many_from_hir(&heads)
            .map_err(|e| e.to_string())?;
        let config = DFA::config().match_kind(MatchKind::All).skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).map_err(|e| e.to_string())?;
        let classes: Vec<u8> = (0..=255).map(|byte| dfa.byte_classes().get(byte)).collect();
        let count = classes.iter().map(|class| usize::from(*class) + 1).max().unwrap_or(0);
        let byte = |class: usize| (0..=255).find(|byte| usize::from(classes[usize::from(*byte)]) == class);
        let bytes: Vec<u8> = (0..count).filter_map(byte).collect();
        let mut fits = vec![false; count * count];
        let mut cache = dfa.create_cache();
        let mut seen = Vec::new();
        // What stands before a start can matter to it: nothing, a line's end, a word, anything else.
        for before in ["", "\n", "\r", "a", " ", "é"] {
            let input = Input::new(before).range(before.len()..).anchored(Anchored::Yes);
            let start = dfa.start_state_forward(&mut cache, &input).map_err(|e| e.to_string())?;
            if seen.contains(&start) {
                continue;
            }
            seen.push(start);
            for (first, byte) in bytes.iter().enumerate() {
                let next = dfa.next_state(&mut cache, start, *byte).map_err(|e| e.to_string())?;
                for (second, byte) in bytes.iter().enumerate().filter(|_| !next.is_dead()) {
                    let state = dfa.next_state(&mut cache, next, *byte).map_err(|e| e.to_string())?;
                    fits[first * count + second] |= !state.is_dead();
                }
            }
        }
        Ok(Self { classes, count, fits, run })
    }

    /// A number for each byte: equal when the head does not tell two bytes apart.
    pub(crate) fn class(&self, byte: u8) -> u8 {
        self.classes[usize::from(byte)]
    }

    /// Whether a match may begin with these two bytes.
    pub(crate) fn fits(&self, first: u8, second: u8) -> bool {
        self.fits[usize::from(self.class(first)) * self.count + usize::from(self.class(second))]
    }
}

impl Head {
    /// Whether a match may begin with these bytes, as far as they go.
    pub(crate) fn begins(&self, bytes: &[u8]) -> bool {
        let [first, second, ..] = bytes else { return true };
        let in_run = |run: &Run| match bytes.get(..run.least) {
            // From the end: a word that is too short is noticed there.
            Some(all) => all.iter().rev().all(|byte| !byte.is_ascii() || run.ascii >> byte & 1 == 1),
            None => true,
        };
        self.fits(*first, *second) && self.run.as_ref().is_none_or(in_run)
    }
}

/// The run that every match of an expression begins with, if it is long.
fn run(hir: &Hir) -> Option<Run> {
    match hir.kind() {
        HirKind::Capture(capture) => run(&capture.sub),
        HirKind::Concat(parts) => run(parts.first()?),
        HirKind::Repetition(repetition) if repetition.min as usize >= RUN => {
            let HirKind::Class(class) = repetition.sub.kind() else { return None };
            Some(Run { ascii: crate::pattern::ascii(class), least: repetition.min as usize })
        }
        _ => None,
    }
}

/// An expression of which every match of `hir` has a beginning, of two bytes at least where the match has two. Beyond
/// ASCII it knows only bytes, so it stays small.
fn head(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Look(look) => Hir::look(*look),
        HirKind::Literal(literal) => Hir::literal(&literal.0[..literal.0.len().min(2)]),
        HirKind::Class(class) => bytes(class),
        HirKind::Capture(capture) => head(&capture.sub),
        HirKind::Repetition(repetition) => {
            let min = repetition.min.min(2);
            let max = Some(repetition.max.map_or(2, |max| max.min(2)));
            let sub = Box::new(head(&repetition.sub));
            Hir::repetition(Repetition { min, max, greedy: true, sub })
        }
        HirKind::Concat(parts) => {
            let mut least = 0;
            let needed = parts.iter().take_while(|part| {
                let enough = least >= 2;
                least += part.properties().minimum_len().unwrap_or_default();
                !enough
            });
            Hir::concat(needed.map(head).collect())
        }
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(head).collect()),
    }
}

/// The class in bytes: its ASCII members, and one to two bytes of anything beyond if it has such members.
fn bytes(class: &Class) -> Hir {
    let mut ascii = Vec::new();
    let mut beyond = false;
    let mut add = |start: u32, end: u32| {
        if let Ok(start) = u8::try_from(start)
            && start.is_ascii()
        {
            ascii.push(ClassBytesRange::new(start, u8::try_from(end.min(127)).unwrap_or(127)));
        }
        beyond |= end > 127;
    };
    match class {
        Class::Unicode(class) => class.iter().for_each(|r| add(u32::from(r.start()), u32::from(r.end()))),
        Class::Bytes(class) => class.iter().for_each(|r| add(u32::from(r.start()), u32::from(r.end()))),
    }
    let ascii = Hir::class(Class::Bytes(ClassBytes::new(ascii)));
    if !beyond {
        return ascii;
    }
    let byte = Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(128, 255)])));
    let some = Hir::repetition(Repetition { min: 1, max: Some(2), greedy: true, sub: Box::new(byte) });
    Hir::alternation(vec![ascii, some])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(regex: &str, text: &str) -> bool {
        let hir = regex_syntax::parse(regex).unwrap();
        let head = Head::new([&hir].into_iter()).unwrap();
        head.fits(text.as_bytes()[0], text.as_bytes()[1])
    }

    #[test]
    fn a_run_is_as_long_as_every_match_has_it() {
        let hir = regex_syntax::parse("(?:[a-f0-9]{12,40})(?:x|y)").unwrap();
        let head = Head::new([&hir].into_iter()).unwrap();
        assert!(head.begins(b"abcdef012345x") && head.begins(b"abcdef0"), "what is short may go on");
        assert!(!head.begins(b"abcdef 012345x") && !head.begins(b"zbcdef012345x"));
        assert!(head.begins("abcdefé12345x".as_bytes()), "beyond ASCII a walk tells");
    }

    #[test]
    fn a_head_has_the_first_two_bytes_of_every_match() {
        assert!(begins("abc", "ab") && !begins("abc", "ac"));
        assert!(
            begins("[^;]{0,200}x", "x.") && begins("[^;]{0,200}x", "ab") && !begins("[^;]{0,200}x", ";x")
        );
        assert!(begins("(?:a|bc)d", "ad") && begins("(?:a|bc)d", "bc") && !begins("(?:a|bc)d", "ac"));
        assert!(begins("(?i)k[0-9]", "K1") && begins("(?i)k[0-9]", "\u{212A}"));
        assert!(begins("é[a-z]", "é") && begins(r"\p{Lu}[a-z]", "Éa") && begins(r"\p{Lu}\p{Ll}", "Aé"));
        assert!(begins("(?:a?b?){3,90}c", "aa") && begins("(?:a?b?){3,90}c", "c."));
        assert!(begins("(?m)^ab", "ab") && begins(r"x(?-u:\b).", "x."));
        assert!(
            !begins("[0-9]{2}", "1a") && begins("[0-9]", "1a"),
            "a match of one byte says nothing of the next"
        );
    }
}
