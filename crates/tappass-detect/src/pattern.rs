//! Patterns: the parts of a rule's expression that are walked.
//!
//! Alternatives at the top are patterns of their own. A last repetition of a class (`[A-Za-z0-9]{36,255}`) is walked only
//! as far as it must be; the rest, its **tail**, is read off the text at once and shared by all matches that end in the
//! same run of characters. That keeps the automata small and walks short, however long a match may be.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// A tail shorter than this is walked like anything else.
const WORTH_IT: u32 = 8;
/// Most patterns of one rule; beyond them alternatives stay together.
const MOST: usize = 12;

/// One alternative of a rule.
pub(crate) struct Pattern {
    /// What is walked.
    pub(crate) hir: Hir,
    pub(crate) tail: Option<Tail>,
}

impl Pattern {
    /// About how many states its automaton has.
    pub(crate) fn size(&self) -> usize {
        size(&self.hir)
    }
}

fn size(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        // Ranges beyond ASCII are sequences of bytes, of which many are shared.
        HirKind::Class(Class::Unicode(class)) if !class.is_ascii() => 4 + class.ranges().len() * 3 / 4,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1) as usize;
            times.saturating_mul(size(&repetition.sub) + 1)
        }
        HirKind::Capture(capture) => size(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().map(size).sum(),
    }
}

/// What a match may go on with.
pub(crate) struct Tail {
    /// The ASCII characters it consists of, a bit each.
    ascii: u128,
    /// The others.
    beyond: Vec<(char, char)>,
    /// At most so many characters.
    most: usize,
}

impl Tail {
    /// Where the run of the tail's characters at the beginning of `text` ends.
    pub(crate) fn run(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if byte.is_ascii() {
                if self.ascii >> byte & 1 == 0 {
                    break;
                }
                at += 1;
            } else {
                let Some(c) = text[at..].chars().next() else { break };
                let after = self.beyond.partition_point(|(start, _)| *start <= c);
                if after == 0 || self.beyond[after - 1].1 < c {
                    break;
                }
                at += c.len_utf8();
            }
        }
        at
    }

    /// How many bytes of `run` the tail may have at most.
    pub(crate) fn most(&self, run: &str) -> usize {
        if run.len() <= self.most {
            return run.len();
        }
        run.char_indices().nth(self.most).map_or(run.len(), |(at, _)| at)
    }
}

/// The patterns of an expression.
pub(crate) fn split(hir: &Hir) -> Vec<Pattern> {
    let mut all = Vec::new();
    alternatives(hir, &mut all);
    if all.len() > MOST {
        all = vec![hir.clone()];
    }
    all.iter().map(pattern).collect()
}

/// The alternatives at the top, and those a concatenation ends in.
fn alternatives(hir: &Hir, out: &mut Vec<Hir>) {
    match hir.kind() {
        HirKind::Alternation(parts) => parts.iter().for_each(|part| alternatives(part, out)),
        HirKind::Concat(parts) => match parts.split_last() {
            Some((last, rest)) if matches!(last.kind(), HirKind::Alternation(_)) => {
                let mut ends = Vec::new();
                alternatives(last, &mut ends);
                let joined = |end: Hir| Hir::concat(rest.iter().cloned().chain([end]).collect());
                out.extend(ends.into_iter().map(joined));
            }
            _ => out.push(hir.clone()),
        },
        _ => out.push(hir.clone()),
    }
}

fn pattern(hir: &Hir) -> Pattern {
    if let Some((hir, tail)) = cut(hir) {
        // What is left must be something: a rule never matches the empty text.
        if hir.properties().minimum_len().is_some_and(|n| n > 0) {
            return Pattern { hir, tail: Some(tail) };
        }
    }
    Pattern { hir: hir.clone(), tail: None }
}

/// Cuts the tail off.
fn cut(hir: &Hir) -> Option<(Hir, Tail)> {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let HirKind::Class(class) = repetition.sub.kind() else { return None };
            let most = repetition.max.map_or(u32::MAX, |max| max - repetition.min);
            let walked = Repetition { max: Some(repetition.min), ..repetition.clone() };
            let tail = tail(class, most as usize);
            (most >= WORTH_IT && repetition.greedy).then(|| (Hir::repetition(walked), tail))
        }
        HirKind::Capture(capture) => {
            let (sub, tail) = cut(&capture.sub)?;
            let mut capture = capture.clone();
            capture.sub = Box::new(sub);
            Some((Hir::capture(capture), tail))
        }
        HirKind::Concat(parts) => {
            let (last, rest) = parts.split_last()?;
            let (last, tail) = cut(last)?;
            Some((Hir::concat(rest.iter().cloned().chain([last]).collect()), tail))
        }
        _ => None,
    }
}

fn tail(class: &Class, most: usize) -> Tail {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.ranges().iter().map(|r| (r.start(), r.end())).collect(),
        Class::Bytes(class) => {
            // Bytes that are no characters of their own do not occur in patterns of texts.
            let ascii = class.ranges().iter().filter(|r| r.end().is_ascii());
            ascii.map(|r| (char::from(r.start()), char::from(r.end()))).collect()
        }
    };
    let ascii = ascii(class);
    let beyond = ranges.into_iter().filter(|(_, end)| !end.is_ascii()).collect();
    Tail { ascii, beyond, most }
}

/// The ASCII members of a class, a bit each.
pub(crate) fn ascii(class: &Class) -> u128 {
    let has = |c: char| match class {
        Class::Unicode(class) => class.ranges().iter().any(|r| (r.start()..=r.end()).contains(&c)),
        Class::Bytes(class) => class.ranges().iter().any(|r| (r.start()..=r.end()).contains(&(c as u8))),
    };
    (0..128_u8).filter(|byte| has(char::from(*byte))).map(|byte| 1 << byte).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(regex: &str) -> Vec<(String, Option<usize>)> {
        let hir = regex_syntax::parse(regex).unwrap();
        split(&hir).iter().map(|p| (p.hir.to_string(), p.tail.as_ref().map(|t| t.most))).collect()
    }

    #[test]
    fn tails_are_cut_off() {
        let all = patterns("key-[0-9a-f]{20,60}|tok_[a-z]{4}");
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].1, Some(40));
        assert_eq!(all[1].1, None);
        assert_eq!(patterns("pass=(?<v>[a-z]{8,})")[0].1, Some(u32::MAX as usize));
        assert_eq!(patterns("[a-z]*").len(), 1);
        assert_eq!(patterns("[a-z]*")[0].1, None);
        assert_eq!(patterns("x=(?:[a-z]{2,40}|[0-9]{3})").len(), 2);
    }

    #[test]
    fn a_tail_runs_as_far_as_its_characters() {
        let hir = regex_syntax::parse("x=[^ ;]{2,14}").unwrap();
        let tail = split(&hir).remove(0).tail.unwrap();
        assert_eq!(tail.run("abcé€d e"), 9);
        assert_eq!(tail.run(";"), 0);
        assert_eq!(tail.most("ab"), 2);
        assert_eq!(tail.most("é23456789012éx"), 13);
    }
}
