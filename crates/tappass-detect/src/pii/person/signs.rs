//! What stands beside a candidate for a name, as the model knows it: a class of words, or a sign.

use crate::pii::lexicon::{CLASSES, Key, class, entry, is_common};

/// What stands beside a candidate: the classes of words, then these, by [`Sign`].
pub(super) const SIGNS: [&str; 23] = [
    "start",
    "line",
    "blank",
    "sentence",
    "abbreviation",
    "comma",
    "colon",
    "labelled",
    "open",
    "close",
    "quote",
    "dash",
    "code",
    "digit",
    "possessive",
    "near-name",
    "near-place",
    "near-word",
    "near-capital",
    "near-acronym",
    "lower",
    "end",
    "other",
];
/// The places of [`SIGNS`].
#[derive(Clone, Copy)]
pub(super) enum Sign {
    Start,
    Line,
    Blank,
    Sentence,
    Abbreviation,
    Comma,
    Colon,
    Labelled,
    Open,
    Close,
    Quote,
    Dash,
    Code,
    Digit,
    Possessive,
    Name,
    Place,
    Word,
    Capital,
    Acronym,
    Lower,
    End,
    Other,
}

pub(super) const fn sign(sign: Sign) -> usize {
    CLASSES.len() + sign as usize
}

/// The sign at the end of a text, and the text before it.
pub(super) fn back(text: &str) -> (usize, &str) {
    let trimmed = text.trim_end_matches([' ', '\t']);
    let Some(last) = trimmed.chars().next_back() else { return (sign(Sign::Start), "") };
    let rest = &trimmed[..trimmed.len() - last.len_utf8()];
    let found = match last {
        '\n' | '\r' => {
            let above = rest.trim_end_matches(['\r', ' ', '\t']);
            let blank = above.is_empty() || above.ends_with('\n');
            return (sign(if blank { Sign::Blank } else { Sign::Line }), above);
        }
        '.' => match word_before(rest) {
            (word, rest) if class_of(word) == Some(TITLE) => return (TITLE, rest),
            (word, _) if word.chars().count() == 1 => Sign::Abbreviation,
            _ => Sign::Sentence,
        },
        '!' | '?' | '\u{2026}' => Sign::Sentence,
        ',' | ';' => Sign::Comma,
        ':' => return (colon_after(rest), rest),
        '(' | '[' | '{' | '<' => Sign::Open,
        ')' | ']' | '}' => Sign::Close,
        '"' | '\'' if let Some(key) = key_before(rest) => return (colon_after(key), key),
        '"' | '`' | '\'' => Sign::Quote,
        '-' | '*' | '>' | '#' | '|' | '\u{2022}' => Sign::Dash,
        '&' => return (AND, rest),
        '/' | '_' | '\\' | '=' | '$' | '@' | '%' | '+' | '~' => Sign::Code,
        c if c.is_numeric() => Sign::Digit,
        c if c.is_alphabetic() => {
            let (word, rest) = word_before(trimmed);
            let owner = word.ends_with("'s");
            return (if owner { sign(Sign::Possessive) } else { beside(word) }, rest);
        }
        _ => Sign::Other,
    };
    (sign(found), rest)
}

/// The sign at the start of a text, and the text after it.
pub(super) fn ahead(text: &str) -> (usize, &str) {
    let trimmed = text.trim_start_matches([' ', '\t']);
    let mut chars = trimmed.chars();
    let Some(first) = chars.next() else { return (sign(Sign::End), "") };
    let rest = chars.as_str();
    let found = match first {
        '\n' | '\r' => {
            let below = rest.trim_start_matches(['\r', ' ', '\t']);
            let blank = below.strip_prefix('\n');
            return (sign(if blank.is_some() { Sign::Blank } else { Sign::Line }), blank.unwrap_or(below));
        }
        '\'' if rest.starts_with('s') => return (sign(Sign::Possessive), &rest[1..]),
        '.' | '!' | '?' | '\u{2026}' => Sign::Sentence,
        ',' | ';' => Sign::Comma,
        ':' => Sign::Colon,
        '(' | '[' | '{' | '<' => Sign::Open,
        ')' | ']' | '}' | '>' => Sign::Close,
        '"' if ends_value(rest) => Sign::End,
        '"' | '`' | '\'' => Sign::Quote,
        '-' | '*' | '#' | '|' => Sign::Dash,
        '&' => return (AND, rest),
        '/' | '_' | '\\' | '=' | '$' | '@' | '%' | '+' | '~' => Sign::Code,
        c if c.is_numeric() => Sign::Digit,
        c if c.is_alphabetic() => {
            let end = trimmed.find(|c: char| !(c.is_alphabetic() || c == '\'')).unwrap_or(trimmed.len());
            return (beside(&trimmed[..end]), &trimmed[end..]);
        }
        _ => Sign::Other,
    };
    (sign(found), rest)
}

const TITLE: usize = 1;
const AND: usize = 15;
/// Classes that make a label with a colon behind them: title, role, kin, label, named.
const LABELS: [usize; 5] = [1, 2, 3, 4, 5];

/// The sign of a colon behind a text.
fn colon_after(text: &str) -> usize {
    match class_of(word_before(text).0) {
        Some(class) if LABELS.contains(&class) => sign(Sign::Labelled),
        _ => sign(Sign::Colon),
    }
}

/// What stands before the quote of a value, up to the end of its key: of `{"city": ` and of `city=` it is `city`. A key
/// says as much of its value as a label with a colon says in prose.
fn key_before(text: &str) -> Option<&str> {
    let key = text.trim_end().strip_suffix([':', '='])?.trim_end();
    let key = key.strip_suffix(['"', '\'']).unwrap_or(key);
    key.ends_with(|c: char| c.is_alphanumeric()).then_some(key)
}

/// Whether a quote ends the value of a key, by what follows it in JSON.
fn ends_value(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.starts_with(['}', ']'])
        || rest.strip_prefix(',').is_some_and(|next| next.trim_start().starts_with(['"', '{', '[']))
}

/// The word at the end of a text, and what is before it.
pub(super) fn word_before(text: &str) -> (&str, &str) {
    let from = text.char_indices().rev().take_while(|(_, c)| c.is_alphabetic() || *c == '\'').last();
    let from = from.map_or(text.len(), |(at, _)| at);
    (&text[from..], &text[..from])
}

pub(super) fn class_of(word: &str) -> Option<usize> {
    class(&Key::of(word)?)
}

/// The sign that a neighbouring word is.
pub(super) fn beside(word: &str) -> usize {
    let Some(key) = Key::of(word) else { return sign(Sign::Other) };
    let capital = word.starts_with(char::is_uppercase);
    if let Some(class) = class(&key) {
        return class;
    }
    if !capital {
        return sign(Sign::Lower);
    }
    let known = entry(&key);
    let found = match () {
        () if known.given() + known.surname() >= 2 => Sign::Name,
        () if known.place() => Sign::Place,
        () if word.len() > 1 && word.len() <= 5 && !word.bytes().any(|b| b.is_ascii_lowercase()) => {
            Sign::Acronym
        }
        () if is_common(&key) => Sign::Word,
        () => Sign::Capital,
    };
    sign(found)
}
