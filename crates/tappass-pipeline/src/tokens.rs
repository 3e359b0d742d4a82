//! Tokens that stand for values, and the way back: `EMAIL_1_k7q2xz`.
//!
//! A token is a word of capitals, a number and a tag of six letters that nobody can guess. Models copy such words
//! unchanged, and no writer of JSON, HTML or URLs escapes them. It tells nothing of the value. No token is a part of
//! another, and none can begin inside another, so what is put back does not depend on how the text is cut.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};

/// Letters of a tag: 30 bits.
const TAG: usize = 6;
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A token for the `n`-th value of its kind. `seed` is what nobody outside knows.
#[must_use]
pub fn token(kind: &str, n: usize, seed: &[u8]) -> String {
    let hash = digest(&SHA256, &[b"token", seed, kind.as_bytes(), &n.to_be_bytes()].concat());
    let letters = hash.as_ref().iter().take(TAG).map(|b| char::from(LETTERS[usize::from(b % 32)]));
    format!("{kind}_{n}_{}", letters.collect::<String>())
}

/// A token's tag.
#[must_use]
pub fn tag(token: &str) -> &str {
    &token[token.len().saturating_sub(TAG)..]
}

/// Whether a text is a token and nothing else, of whatever session. It tells nothing, so it is no leak.
#[must_use]
pub fn is_token(text: &str) -> bool {
    let mut parts = text.rsplitn(3, '_');
    let (tag, n, kind) = (parts.next(), parts.next(), parts.next());
    let all =
        |part: Option<&str>, fits: fn(u8) -> bool| part.is_some_and(|p| !p.is_empty() && p.bytes().all(fits));
    all(tag, |b| LETTERS.contains(&b))
        && tag.is_some_and(|t| t.len() == TAG)
        && all(n, |b| b.is_ascii_digit())
        && all(kind, |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Every place of a text where a token may end, with its tag and the byte after it. Linear.
pub fn tags(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.match_indices('_').filter_map(|(at, _)| {
        let end = at + 1 + TAG;
        let tag = text.get(at + 1..end)?;
        tag.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')).then_some((tag, end))
    })
}

/// Puts values back for their tokens.
#[derive(Debug, Clone)]
pub struct Restorer {
    /// Token and value, by token.
    pairs: Vec<(String, String)>,
    by_tag: HashMap<String, usize>,
    longest: usize,
}

impl Restorer {
    /// For these tokens and their values; `None` where there are none.
    #[must_use]
    pub fn new(mut pairs: Vec<(String, String)>) -> Option<Self> {
        pairs.sort_unstable();
        let longest = pairs.iter().map(|(token, _)| token.len()).max()?;
        let by_tag = pairs.iter().enumerate().map(|(i, (token, _))| (tag(token).to_owned(), i)).collect();
        Some(Self { pairs, by_tag, longest })
    }

    /// The text with the values in it; `None` where it holds no token. In `json`, the text is JSON, and its
    /// values are escaped as JSON strings.
    #[must_use]
    pub fn whole(&self, text: &str, json: bool) -> Option<String> {
        let mut out = String::new();
        let mut at = 0;
        for (start, end, value) in self.places(text) {
            out.push_str(&text[at..start]);
            if json {
                out.push_str(&escaped(value));
            } else {
                out.push_str(value);
            }
            at = end;
        }
        (at > 0).then(|| out + &text[at..])
    }

    /// How many tokens stand in a text.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.places(text).count()
    }

    fn places<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, usize, &'a str)> {
        tags(text).filter_map(|(tag, end)| {
            let (token, value) = &self.pairs[*self.by_tag.get(tag)?];
            text[..end].ends_with(token.as_str()).then(|| (end - token.len(), end, value.as_str()))
        })
    }

    /// Where the end of a text begins that may be the beginning of a token; the text's length where there is none.
    fn hold(&self, text: &str) -> usize {
        let from = text.len().saturating_sub(self.longest - 1);
        let begins = |at: &usize| {
            let end = &text.as_bytes()[*at..];
            let next = self.pairs.partition_point(|(token, _)| token.as_bytes() < end);
            self.pairs.get(next).is_some_and(|(token, _)| token.as_bytes().starts_with(end))
        };
        (from..text.len()).find(begins).unwrap_or(text.len())
    }
}

/// Puts values back in a text that arrives in pieces.
#[derive(Debug)]
pub struct Restoring {
    restorer: Arc<Restorer>,
    json: bool,
    held: String,
}

impl Restoring {
    /// At its beginning. `json` as for [`Restorer::whole`].
    #[must_use]
    pub fn new(restorer: Arc<Restorer>, json: bool) -> Self {
        Self { restorer, json, held: String::new() }
    }

    /// One piece in; what is certain by now comes out.
    pub fn push(&mut self, piece: String) -> String {
        let text = if self.held.is_empty() { piece } else { std::mem::take(&mut self.held) + &piece };
        let hold = self.restorer.hold(&text);
        self.held = text[hold..].to_owned();
        self.restore(text[..hold].to_owned())
    }

    /// The text has ended.
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.held);
        self.restore(rest)
    }

    fn restore(&self, text: String) -> String {
        self.restorer.whole(&text, self.json).unwrap_or(text)
    }
}

/// A value as it stands inside a JSON string.
#[must_use]
pub fn escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What stands inside a JSON string, read; the text itself where it is not a whole piece of one.
#[must_use]
pub fn unescaped(inner: &str) -> String {
    serde_json::from_str(&format!("\"{inner}\"")).unwrap_or_else(|_| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn restorer(values: &[&str]) -> Restorer {
        let pairs = values.iter().enumerate();
        let token = |i: usize| token(if i.is_multiple_of(2) { "EMAIL" } else { "PERSON" }, i + 1, b"seed");
        Restorer::new(pairs.map(|(i, v)| (token(i), (*v).to_owned())).collect()).expect("has some")
    }

    #[test]
    fn a_token_tells_nothing_and_differs_by_seed() {
        let one = token("EMAIL", 1, b"a");
        assert!(one.starts_with("EMAIL_1_") && one.len() == 14, "{one}");
        assert_ne!(one, token("EMAIL", 1, b"b"));
        assert!(is_token(&one) && is_token(&token("US_SSN", 12, b"a")));
        for other in
            ["EMAIL_1_abc", "email_1_abcdef", "EMAIL_x_abcdef", "_1_abcdef", "abcdef", "EMAIL_1_ABCDEF"]
        {
            assert!(!is_token(other), "{other}");
        }
        assert_eq!(tags(&format!("x{one}y_é")).collect::<Vec<_>>(), [(tag(&one), 15)]);
    }

    #[test]
    fn puts_back_what_it_knows_and_escapes_in_json() {
        let r = restorer(&["a@b.c", "O\"Neil\n"]);
        let (a, b) = (token("EMAIL", 1, b"seed"), token("PERSON", 2, b"seed"));
        assert_eq!(
            r.whole(&format!("{a}s and mailto:{a}"), false).as_deref(),
            Some("a@b.cs and mailto:a@b.c")
        );
        let json = r.whole(&format!("{{\"n\":\"{b}\"}}"), true).expect("has one");
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["n"], "O\"Neil\n");
        assert_eq!(unescaped(&escaped("O\"Neil\n")), "O\"Neil\n");
        assert_eq!(r.whole("EMAIL_1_zzzzzz PERSON_1_k7q2xz", false), None, "another's token stays");
        assert!(Restorer::new(Vec::new()).is_none());
    }

    fn text() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just(token("EMAIL", 1, b"seed")),
            Just(token("PERSON", 2, b"seed")),
            Just(token("EMAIL", 3, b"other")),
            (0usize..14).prop_map(|n| token("EMAIL", 1, b"seed")[..n].to_owned()),
            "[A-Za-z_0-9 é]{0,6}",
        ];
        proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_result_is_that_of_the_whole(text in text(), sizes in proptest::collection::vec(1usize..9, 1..6)) {
            let r = restorer(&["a@b.c", "EMAIL_1_", "x"]);
            let mut stream = Restoring::new(Arc::new(r.clone()), false);
            let (mut out, mut rest) = (String::new(), text.as_str());
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break }
                let at = rest.char_indices().nth(*size).map_or(rest.len(), |(at, _)| at);
                out += &stream.push(rest[..at].to_owned());
                rest = &rest[at..];
            }
            out += &stream.finish();
            prop_assert_eq!(out, r.whole(&text, false).unwrap_or(text));
        }
    }
}
