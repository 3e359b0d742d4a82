//! Anchors: what a text must have for a rule to match at all.
//!
//! Most rules hold a few literals of which every match has one, at its beginning or not far behind. One search for the
//! literals of all rules tells where which rule is worth a walk; elsewhere it costs nothing. Anchors are read off the
//! rules' expressions, so they cannot contradict them: they never decide, they only spare walks.

use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, Hir, HirKind,
    literal::{Extractor, Literal, Seq},
};

/// Longest part of a literal that is searched for, bytes.
pub(crate) const LITERAL: usize = 6;
/// Literals beyond so many make no anchor.
const TOTAL: usize = 400;
/// An anchor further behind the start than this is none: too many starts would be walked for it.
const REACH: usize = 400;
/// Share of all starts of ordinary text that an anchor may leave to be walked; with more it is not worth its search.
const SHARE: f64 = 0.2;
/// A literal that is more frequent than this among the bytes of ordinary text is not searched for.
const RATE: f64 = 0.001;

/// Literals of which every match has one.
#[derive(Debug, Clone)]
pub(crate) struct Anchor {
    /// Lower case; to be found whatever the case.
    pub(crate) literals: Vec<Vec<u8>>,
    /// The first byte of the literal is at most so many bytes behind the start of the match.
    pub(crate) reach: usize,
}

/// The anchor of an expression that leaves the fewest starts, if one is worth it.
pub(crate) fn of(hir: &Hir) -> Option<Anchor> {
    let mut parts = Vec::new();
    flatten(hir, &mut parts);
    let mut extractor = Extractor::new();
    extractor.limit_class(6).limit_repeat(4).limit_literal_len(LITERAL).limit_total(TOTAL);
    let literals: Vec<Seq> = parts.iter().map(|part| extractor.extract(&lower(part))).collect();
    let mut best: Option<(f64, Option<Anchor>)> = None;
    let mut reach = 0;
    for (at, part) in parts.iter().enumerate() {
        let mut literals: Vec<Vec<u8>> = beginning(&literals[at..])
            .literals()
            .unwrap_or_default()
            .iter()
            .map(|literal| literal.as_bytes().to_vec())
            .collect();
        literals.sort();
        // One that begins with another adds nothing; sorted, it follows that one.
        literals.dedup_by(|longer, shorter| longer.starts_with(shorter));
        let least = literals.iter().map(Vec::len).min().unwrap_or_default();
        let rates = || literals.iter().map(|literal| literal.iter().map(|b| frequency(*b)).product::<f64>());
        if least > 0 && rates().all(|rate| rate < RATE) {
            #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
            let share = rates().sum::<f64>() * (5.0 + reach as f64);
            if share < SHARE && best.as_ref().is_none_or(|(least, _)| share < *least) {
                // A first literal of two bytes is told by the first two bytes of the text: no search needs to.
                let anchor = (reach > 0 || least > 2).then_some(Anchor { literals, reach });
                best = Some((share, anchor));
            }
        }
        reach += part.properties().maximum_len().unwrap_or(usize::MAX / 1024);
        if reach > REACH {
            break;
        }
    }
    best.and_then(|(_, anchor)| anchor)
}

/// The literals with which the concatenation of some parts begins, of the literals of each.
fn beginning(parts: &[Seq]) -> Seq {
    let mut all = Seq::singleton(Literal::exact(Vec::new()));
    for part in parts {
        // Literals that are cut, and those that every text has, go on no further.
        if all.is_inexact() {
            break;
        }
        let mut part = part.clone();
        if all.max_cross_len(&part).is_none_or(|len| len > TOTAL) {
            part.make_infinite();
        }
        all.cross_forward(&mut part);
        all.keep_first_bytes(LITERAL);
    }
    all
}

/// The parts that follow each other, groups opened.
fn flatten<'h>(hir: &'h Hir, parts: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Concat(all) => all.iter().for_each(|part| flatten(part, parts)),
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        _ => parts.push(hir),
    }
}

/// The expression in lower case; what is beyond ASCII stands for any bytes, so that no literal goes through it.
fn lower(hir: &Hir) -> Hir {
    let any = || Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(0, 255)])));
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Hir::empty(),
        HirKind::Literal(literal) => Hir::concat(
            literal
                .0
                .iter()
                .map(|byte| if byte.is_ascii() { Hir::literal([byte.to_ascii_lowercase()]) } else { any() })
                .collect(),
        ),
        HirKind::Class(class) => {
            let Some(bytes) = ascii(class) else { return any() };
            let ranges = bytes.into_iter().map(|b| ClassBytesRange::new(b, b));
            Hir::class(Class::Bytes(ClassBytes::new(ranges)))
        }
        HirKind::Capture(capture) => lower(&capture.sub),
        HirKind::Repetition(repetition) => {
            let mut repetition = repetition.clone();
            repetition.sub = Box::new(lower(&repetition.sub));
            Hir::repetition(repetition)
        }
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(lower).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(lower).collect()),
    }
}

/// The members of a class in lower case; `None` when there are some beyond ASCII. `ſ` and the Kelvin sign, which case
/// folding adds to `s` and `k`, do not occur in folded text.
fn ascii(class: &Class) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    match class {
        Class::Unicode(class) => {
            for range in class.ranges() {
                if matches!((range.start(), range.end()), ('ſ', 'ſ') | ('\u{212A}', '\u{212A}')) {
                    continue;
                }
                let end = u8::try_from(range.end()).ok().filter(u8::is_ascii)?;
                all.extend((u8::try_from(range.start()).ok()?..=end).map(|b| b.to_ascii_lowercase()));
            }
        }
        Class::Bytes(class) => {
            for range in class.ranges() {
                if !range.end().is_ascii() {
                    return None;
                }
                all.extend((range.start()..=range.end()).map(|b| b.to_ascii_lowercase()));
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// How often a byte occurs in ordinary text, roughly.
const fn frequency(byte: u8) -> f64 {
    match byte {
        b' ' => 0.17,
        b'e' => 0.1,
        b't' | b'a' | b'o' => 0.066,
        b'i' | b'n' | b's' | b'h' | b'r' => 0.053,
        b'd' | b'l' => 0.034,
        b'u' | b'c' | b'm' | b'f' | b'w' | b'g' | b'y' | b'p' => 0.019,
        b'b' | b'v' | b'k' | b'\n' => 0.01,
        b'.' | b',' => 0.008,
        b'0'..=b'9' | b'-' | b'\'' | b'"' => 0.003,
        b'@' => 0.0002,
        _ => 0.0008,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(regex: &str) -> Option<(Vec<String>, usize)> {
        let anchor = of(&regex_syntax::parse(regex).unwrap())?;
        let text = |literal: &Vec<u8>| String::from_utf8(literal.clone()).unwrap();
        Some((anchor.literals.iter().map(text).collect(), anchor.reach))
    }

    #[test]
    fn anchors_are_what_every_match_has() {
        assert_eq!(anchor("AKIA[A-Z]{16}"), Some((vec!["akia".into()], 0)));
        assert_eq!(anchor("(?i:Kiosk)s?"), Some((vec!["kiosk".into()], 0)));
        assert_eq!(anchor("[a-z]{1,8}@[a-z]+"), Some((vec!["@".into()], 8)));
        assert_eq!(anchor("[a-z]{4} (?<v>pass[a-z]+)"), Some((vec![" pass".into()], 4)));
        assert_eq!(anchor("[0-9]{3}-[0-9]{4}"), None);
        assert_eq!(anchor("qx[0-9]{1,9}abcd"), None, "told by two bytes");
        assert_eq!(anchor("[a-z]+[0-9]{2}"), None);
        assert_eq!(anchor("(?i:é)t"), None);
    }
}
