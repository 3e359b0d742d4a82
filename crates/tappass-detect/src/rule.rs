//! A rule: what a kind of finding looks like, and how a candidate is judged.

use std::{borrow::Cow, cell::OnceCell};

use regex_syntax::hir::Hir;
use tappass_model::Family;

use crate::custom;

/// Bytes of folded text before a candidate that its rule may read.
pub(crate) const CONTEXT: usize = 96;

/// In rules about phrases, `~` stands for this: what is between two words (spaces, a line break, quotes, punctuation).
pub(crate) const GAP: &str = r#"(?:[ \t\r\n"'*_.,:;-]{1,4})"#;

/// One rule. The regex finds candidates; `near` and `check` decide.
pub(crate) struct Rule {
    pub(crate) family: Family,
    pub(crate) kind: Cow<'static, str>,
    /// The candidate. Its group `v`, if it has one, is what is reported; the rest is context.
    pub(crate) regex: Cow<'static, str>,
    /// Words of which one must stand within [`CONTEXT`] bytes before the candidate. Empty: none needed.
    pub(crate) near: &'static [&'static str],
    /// Bytes after the candidate that `check` reads; a stream waits for them.
    pub(crate) after: usize,
    /// The candidate's last word may go on after it.
    pub(crate) open: bool,
    /// How sure a candidate is that `check` does not judge otherwise.
    pub(crate) score: f32,
    /// The verdict on a candidate: its score, or `None` when it is nothing.
    pub(crate) check: fn(&Hit<'_>) -> Option<f32>,
}

/// A candidate, as a check sees it (folded text).
pub(crate) struct Hit<'t> {
    /// What would be reported.
    pub(crate) value: &'t str,
    /// All that the regex matched.
    pub(crate) whole: &'t str,
    /// Up to [`CONTEXT`] bytes before the whole match.
    pub(crate) before: &'t str,
    /// The same in lower case, once someone asks for words in it.
    pub(crate) words: &'t OnceCell<Words>,
    /// Up to `Rule::after` bytes after it.
    pub(crate) after: &'t str,
    /// The rule's score.
    pub(crate) score: f32,
}

impl Rule {
    /// A rule whose every candidate counts, with the given score.
    pub(crate) const fn new(family: Family, kind: &'static str, score: f32, regex: &'static str) -> Self {
        Self {
            family,
            kind: Cow::Borrowed(kind),
            regex: Cow::Borrowed(regex),
            near: &[],
            after: 0,
            open: false,
            score,
            check: |hit| Some(hit.score),
        }
    }

    /// The expression, read anew.
    pub(crate) fn hir(&self) -> Result<Hir, String> {
        let parse = if self.family == Family::Custom { custom::parse } else { regex_syntax::parse };
        parse(&self.regex).map_err(|e| e.to_string())
    }

    pub(crate) const fn check(mut self, check: fn(&Hit<'_>) -> Option<f32>) -> Self {
        self.check = check;
        self
    }

    pub(crate) const fn near(mut self, words: &'static [&'static str]) -> Self {
        self.near = words;
        self
    }

    pub(crate) const fn after(mut self, bytes: usize) -> Self {
        self.after = bytes;
        self
    }

    pub(crate) const fn open(mut self) -> Self {
        self.open = true;
        self
    }
}

impl Hit<'_> {
    /// Whether one of the words stands before the candidate (or in its own lead-in).
    pub(crate) fn near(&self, words: &[&str]) -> bool {
        self.words.get_or_init(|| Words::of(self.before)).has(words, usize::MAX)
    }

    /// The same within the last 40 bytes: a label rather than a topic.
    pub(crate) fn close(&self, words: &[&str]) -> bool {
        self.words.get_or_init(|| Words::of(self.before)).has(words, 40)
    }

    /// The digits of the value.
    pub(crate) fn digits(&self) -> Digits {
        Digits::of(self.value)
    }

    /// `score` when `valid`.
    pub(crate) fn when(&self, valid: bool) -> Option<f32> {
        valid.then_some(self.score)
    }

    /// Whether the value stands within a longer row of digits in groups, such as a table or a serial number.
    pub(crate) fn in_digit_row(&self) -> bool {
        let mut back = self.before.chars().rev();
        let before = match back.next() {
            Some('.' | '-' | '/' | ',' | ':') => back.next().is_some_and(|c| c.is_ascii_digit()),
            _ => false,
        };
        let mut on = self.after.chars();
        let after = match on.next() {
            Some('-' | '/' | '.' | ',' | ':') => on.next().is_some_and(|c| c.is_ascii_digit()),
            _ => false,
        };
        before || after
    }
}

/// Whether `text` has one of `words` (lower case): long ones anywhere, short ones (up to four letters) as words.
pub(crate) fn mentions(text: &str, words: &[&str]) -> bool {
    Words::of(text).has(words, usize::MAX)
}

/// A text to look for words in, whatever their case.
#[derive(Debug)]
pub(crate) struct Words {
    lower: String,
    /// A bit for each two bytes that follow each other (five bits of each): most words are told apart by their first two.
    pairs: [u64; 16],
}

impl Words {
    pub(crate) fn of(text: &str) -> Self {
        let lower = if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() };
        let mut pairs = [0; 16];
        for pair in lower.as_bytes().windows(2) {
            let (slot, bit) = Self::pair(pair[0], pair[1]);
            pairs[slot] |= bit;
        }
        Self { lower, pairs }
    }

    const fn pair(first: u8, second: u8) -> (usize, u64) {
        let both = (first as usize & 31) << 5 | (second as usize & 31);
        (both >> 6, 1 << (both & 63))
    }

    /// Whether one of `words` stands within the last `most` bytes.
    fn has(&self, words: &[&str], most: usize) -> bool {
        let mut from = self.lower.len().saturating_sub(most);
        while !self.lower.is_char_boundary(from) {
            from += 1;
        }
        let lower = &self.lower[from..];
        let alphanumeric = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        words.iter().any(|word| {
            if let [first, second, ..] = word.as_bytes() {
                let (slot, bit) = Self::pair(*first, *second);
                if self.pairs[slot] & bit == 0 {
                    return false;
                }
            }
            lower.match_indices(word).any(|(at, _)| {
                word.len() > 4
                    || (!alphanumeric(lower[..at].chars().next_back())
                        && !alphanumeric(lower[at + word.len()..].chars().next()))
            })
        })
    }
}

/// The ASCII digits of a value, at most forty.
pub(crate) struct Digits {
    digits: [u8; 40],
    len: usize,
}

impl Digits {
    pub(crate) fn of(text: &str) -> Self {
        let mut all = Self { digits: [0; 40], len: 0 };
        for (slot, digit) in all.digits.iter_mut().zip(text.bytes().filter(u8::is_ascii_digit)) {
            *slot = digit - b'0';
            all.len += 1;
        }
        all
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    /// The digits from `from`, `len` of them, as a number; 0 when there are not so many.
    pub(crate) fn number(&self, from: usize, len: usize) -> u64 {
        let part = self.as_slice().get(from..from + len).unwrap_or(&[]);
        part.iter().fold(0, |n, d| n.wrapping_mul(10).wrapping_add(u64::from(*d)))
    }

    /// The sum of digit × weight.
    pub(crate) fn weighted(&self, weights: &[u32]) -> u32 {
        self.as_slice().iter().zip(weights).map(|(d, w)| u32::from(*d) * w).sum()
    }

    /// All digits are the same, or there are none.
    pub(crate) fn uniform(&self) -> bool {
        self.as_slice().windows(2).all(|pair| pair[0] == pair[1])
    }
}

/// The Luhn checksum (ISO/IEC 7812-1, annex B) over all digits.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            let d = u32::from(*d);
            if i % 2 == 1 { d * 2 - if d > 4 { 9 } else { 0 } } else { d }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether year (two or four digits), month and day can be a date; two-digit years match any century.
pub(crate) const fn is_date(year: u64, month: u64, day: u64) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400) || year == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    day >= 1 && day <= days
}

/// A character that makes words: letters and digits of alphabetic scripts. Ideographs stand on their own.
pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || (!c.is_ascii() && c < '\u{2E80}' && c.is_alphanumeric())
}

/// Shannon entropy in bits per character.
pub(crate) fn entropy(text: &str) -> f32 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "lengths far below 2^24")]
    let len = text.len().max(1) as f32;
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^24")]
    let bits = |count: u32| (count as f32 / len) * (count as f32 / len).log2();
    -counts.iter().filter(|c| **c > 0).map(|c| bits(*c)).sum::<f32>()
}
