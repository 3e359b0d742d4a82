//! Names of persons: runs of capitalised words, judged by a logistic model over what the words are known as and what
//! stands around them. The weights (`data/person.txt`, one readable line each) are trained by `tools/pii`.

mod signs;

use std::{borrow::Cow, cell::OnceCell, sync::LazyLock};

use tappass_model::Family;

use super::lexicon::{CLASSES, Key, class, entry, is_common, shape};
use crate::rule::{Hit, Rule};
use signs::{SIGNS, ahead, back, class_of};

/// What a single word of a candidate is, by [`Kind`].
const KINDS: [&str; 17] = [
    "given",
    "given?",
    "given-word",
    "given-surname",
    "surname",
    "surname?",
    "surname-word",
    "name-place",
    "place",
    "word",
    "name-like",
    "neutral",
    "unlike",
    "initial",
    "street",
    "context",
    "acronym",
];
/// The places of [`KINDS`]. A question mark there is a rare name here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Given,
    RareGiven,
    GivenWord,
    GivenSurname,
    Surname,
    RareSurname,
    SurnameWord,
    NamePlace,
    Place,
    Word,
    NameLike,
    Neutral,
    Unlike,
    Initial,
    Street,
    Context,
    Acronym,
}
const K: usize = KINDS.len();
const S: usize = CLASSES.len() + SIGNS.len();
const SHAPES: [&str; 5] = ["capitals", "particle", "hyphen", "initials", "apostrophe"];

/// The blocks of features: name, and how many values its two parts have.
const BLOCKS: [(&str, usize, usize); 13] = [
    ("words", 6, 1),
    ("shape", SHAPES.len(), 1),
    ("single", K, 1),
    ("pair", K, K),
    ("middle", K, 1),
    ("before", S, 1),
    ("before2", S, 1),
    ("after", S, 1),
    ("after2", S, 1),
    ("before+first", S, K),
    ("after+last", S, K),
    ("before+words", S, 6),
    ("before+after", S, S),
];

/// Where a block begins in the list of all features.
const fn base(block: usize) -> usize {
    let (mut at, mut i) = (0, 0);
    while i < block {
        at += BLOCKS[i].1 * BLOCKS[i].2;
        i += 1;
    }
    at
}

const FEATURES: usize = base(BLOCKS.len());

/// What the model says of a whole feature set, before the logistic function.
static WEIGHTS: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let mut lines =
        include_str!("../../data/person.txt").lines().filter(|line| !line.starts_with('#')).peekable();
    // The file has the features in their order, without those that weigh nothing.
    let weights = (0..FEATURES).map(|feature| {
        let name = name(feature);
        let weight = lines.next_if(|line| line.split(' ').next() == Some(&name));
        weight.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0.0)
    });
    weights.collect()
});

/// A feature's name, such as `before+first.greet.given`.
fn name(feature: usize) -> String {
    let block = (0..BLOCKS.len()).rev().find(|b| base(*b) <= feature).unwrap_or(0);
    let (title, _, seconds) = BLOCKS[block];
    let (first, second) = ((feature - base(block)) / seconds, (feature - base(block)) % seconds);
    let sign = |i: usize| CLASSES.iter().chain(&SIGNS).nth(i).copied().unwrap_or_default().to_owned();
    let kind = |i: usize| KINDS[i].to_owned();
    let parts = match title {
        "words" => vec![first.to_string()],
        "shape" => vec![SHAPES[first].to_owned()],
        "single" | "middle" => vec![kind(first)],
        "pair" => vec![kind(first), kind(second)],
        "before+first" | "after+last" => vec![sign(first), kind(second)],
        "before+words" => vec![sign(first), second.to_string()],
        "before+after" => vec![sign(first), sign(second)],
        _ => vec![sign(first)],
    };
    format!("{title}.{}", parts.join("."))
}

/// Bytes after a candidate that the model sees: a word or two. More would hold a stream back longer.
const AFTER: usize = 14;

/// One word of a name: `Anna`, `O'Neil`, `Jean-Luc`, `MCDONALD`, `J.`, `J.R.R.`, `d'Arc`.
const WORD: &str = r"(?:[A-Z\u{C0}-\u{17F}][A-Za-z\u{C0}-\u{17F}]*(?:['-][A-Za-z\u{C0}-\u{17F}]+){0,2}|(?:[A-Z]\.-?){1,3}|[dl]'[A-Z][A-Za-z\u{C0}-\u{17F}]+)";
/// What stands between the words of a name; the second list only after `van`, `von`, `de`.
const PARTICLES: &str =
    "van|von|de|ten|ter|te|du|des|la|le|del|della|di|da|dos|das|do|zu|zum|zur|el|al|bin|ibn|af|av";
const SECOND: &str = "de|der|den|het|'t|la|le|los|las";

pub(super) fn rules() -> Vec<Rule> {
    let mut names = Rule::new(Family::Pii, "PERSON", 0.8, "").after(AFTER).check(person);
    names.regex = Cow::Owned(pattern());
    // In lower case only behind words that announce a name.
    let small = Rule::new(
        Family::Pii,
        "PERSON",
        0.7,
        r"(?i-u:name:|name is|naam:|naam is|nom :|nombre:|nome:|mr\.?|mrs\.?|ms\.?|user:) {1,4}(?<v>[a-z\u{DF}-\u{17F}]{2,20}(?: [a-z]\.?)? [a-z\u{DF}-\u{17F}'-]{2,24})",
    );
    vec![names, small.check(lower)]
}

/// A name in lower case: a given name that is no word, and a word that may be a surname.
fn lower(hit: &Hit<'_>) -> Option<f32> {
    let (first, last) = hit.value.split_once(' ')?;
    let last = Key::of(last.rsplit(' ').next()?)?;
    let first = Key::of(first)?;
    let given =
        entry(&first).given() >= 1 && !entry(&first).word() && class(&first).is_none() && !is_common(&first);
    let surname =
        class(&last).is_none() && (entry(&last).surname() > 0 || !is_common(&last)) && !entry(&last).word();
    hit.when(given && surname)
}

fn pattern() -> String {
    let second = format!("(?:van|von|de) (?:{SECOND})");
    format!(r"{WORD}(?: (?:(?:{second}|{PARTICLES}) )?{WORD}){{0,3}}")
}

fn person(hit: &Hit<'_>) -> Option<f32> {
    let mut sum = 0.0_f32;
    let unknown = features(hit, |feature| sum += WEIGHTS[feature])?;
    // A single word that no list has as a name needs more around it.
    if sum <= if unknown { UNKNOWN } else { 0.0 } {
        return None;
    }
    // Below the scores of findings that a checksum or a form proves.
    Some(0.5 + 0.34 * (1.0 - 2.0 / (1.0 + sum.exp())))
}

/// The log-odds that a single unknown word needs.
const UNKNOWN: f32 = 0.8;

/// Tells `each` the features of a candidate, and whether it is a single word that is known as no name. `None`: it cannot
/// be a name, whatever stands around it.
fn features(hit: &Hit<'_>, mut each: impl FnMut(usize)) -> Option<bool> {
    if cut(hit) {
        return None;
    }
    let mut kinds = [Kind::Acronym; 6];
    let (mut words, mut capitals, mut particle) = (0, true, false);
    for token in hit.value.split(' ') {
        if words > 0 && is_particle(token) {
            particle = true;
            continue;
        }
        kinds[words] = kind(token, words > 0);
        capitals &= !token.bytes().any(|b| b.is_ascii_lowercase());
        words += 1;
    }
    let kinds = &kinds[..words];
    let (first, last) = (kinds[0], kinds[words - 1]);
    let short = words == 1 && hit.value.len() < 3;
    if short
        || starts_otherwise(hit.value, first)
        || !kinds.iter().any(|k| !matches!(k, Kind::Initial | Kind::Context))
    {
        return None;
    }
    let (before, rest) = back(hit.before);
    let (before2, _) = back(rest);
    let (after, rest) = ahead(hit.after);
    let (after2, _) = ahead(rest);
    let mut put = |block: usize, a: usize, b: usize| each(base(block) + a * BLOCKS[block].2 + b);
    put(0, words, 0);
    let initials = kinds.contains(&Kind::Initial);
    let shapes = [capitals, particle, hit.value.contains('-'), initials, hit.value.contains('\'')];
    for (i, _) in shapes.iter().enumerate().filter(|(_, is)| **is) {
        put(1, i, 0);
    }
    if words == 1 {
        put(2, first as usize, 0);
    } else {
        put(3, first as usize, last as usize);
        for kind in &kinds[1..words - 1] {
            put(4, *kind as usize, 0);
        }
    }
    put(5, before, 0);
    put(6, before2, 0);
    put(7, after, 0);
    put(8, after2, 0);
    put(9, before, first as usize);
    put(10, after, last as usize);
    put(11, before, words);
    put(12, before, after);
    Some(words == 1 && first >= Kind::Place)
}

/// Whether the first word begins a sentence rather than a name: `Your`, `When`, `She`.
fn starts_otherwise(value: &str, first: Kind) -> bool {
    const STARTS: [&str; 5] = ["poss", "wh", "pron", "be", "greet"];
    let word = value.split(' ').next().unwrap_or_default();
    first == Kind::Context && class_of(word).is_some_and(|class| STARTS.contains(&CLASSES[class]))
}

fn is_particle(token: &str) -> bool {
    token == "'t" || token.starts_with(|c: char| c.is_ascii_lowercase()) && !token.contains('\'')
}

/// Whether the candidate is a part of something longer: an identifier, a path, an address, a hyphenated word.
fn cut(hit: &Hit<'_>) -> bool {
    let glued = match hit.before.as_bytes() {
        [.., b'@' | b'_' | b'\\' | b'=' | b'$' | b'/' | b'#' | b'%' | b'&'] => true,
        [.., a, b'.' | b'-' | b'\'' | b':' | b'+'] => a.is_ascii_alphanumeric() || *a == b':',
        _ => false,
    };
    let goes_on = match hit.after.as_bytes() {
        [b'@' | b'_' | b'\\' | b'=' | b'$' | b'/' | b'(' | b'[' | b'{' | b'+', ..] => true,
        [b'.' | b'-' | b':', b, ..] => b.is_ascii_alphanumeric() || *b == b':',
        [b'\'', b, ..] => b.is_ascii_alphabetic() && *b != b's',
        _ => false,
    };
    // `Anna's` is `Anna` and what belongs to her; `Don't` and `We'll` are no names.
    const TAILS: [&str; 6] = ["'s", "'S", "'t", "'T", "'ll", "'re"];
    let tailed = |word: &str| word.len() > 2 && TAILS.iter().any(|tail| word.ends_with(tail));
    glued || goes_on || hit.value.split(' ').any(tailed)
}

/// What a word of a candidate is; `later`: it is not the first one.
fn kind(word: &str, later: bool) -> Kind {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    if letters > 20 {
        return Kind::Unlike;
    }
    if letters == 1 && !later && !word.ends_with('.') {
        // `A` and `I` at the start are words.
        return Kind::Context;
    }
    if letters == 1 || word.ends_with('.') {
        return Kind::Initial;
    }
    if let Some((head, tail)) = word.split_once('-') {
        // A double name is no surer than its worse half.
        return kind(head, later).max(kind(tail, true));
    }
    if is_camel(word) {
        return Kind::Acronym;
    }
    let Some(key) = Key::of(word) else { return Kind::Neutral };
    let known = entry(&key);
    let (given, surname) = (known.given(), known.surname());
    let frequent = given == 3 && !known.word();
    match () {
        () if !frequent && class(&key).is_some() && given < 3 => Kind::Context,
        () if known.place() && given + surname > 0 => Kind::NamePlace,
        () if known.word() && given > 0 => Kind::GivenWord,
        () if given >= 2 && surname >= 2 => Kind::GivenSurname,
        () if given >= 2 => Kind::Given,
        () if known.word() && surname > 0 => Kind::SurnameWord,
        () if surname >= 2 => Kind::Surname,
        () if given == 1 => Kind::RareGiven,
        () if surname == 1 => Kind::RareSurname,
        () if known.place() => Kind::Place,
        () if known.street() => Kind::Street,
        () if letters <= 5 && !word.bytes().any(|b| b.is_ascii_lowercase()) => Kind::Acronym,
        () if is_common(&key) => Kind::Word,
        () => match shape(&key) {
            33.. => Kind::NameLike,
            -16.. => Kind::Neutral,
            _ => Kind::Unlike,
        },
    }
}

/// Capitals within the word, as brands and identifiers have them (`GitHub`), names only after some beginnings
/// (`McDonald`, `O'Neil`).
fn is_camel(word: &str) -> bool {
    const BEGINNINGS: [&str; 9] = ["Mc", "Mac", "De", "Di", "La", "Le", "Van", "Von", "Fitz"];
    let inner =
        word.as_bytes().windows(2).position(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase());
    inner.is_some_and(|at| !BEGINNINGS.contains(&&word[..=at]))
}

/// A candidate for a name, and why it is taken for one or not: for training, and to explain a finding.
#[derive(Debug, Clone)]
pub struct NameEvidence {
    /// First byte in the text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// The log-odds that it is a name: the sum of the weights.
    pub log_odds: f32,
    /// The features and what each weighs.
    pub features: Vec<(String, f32)>,
}

/// The names of all features of the model, in their order.
#[must_use]
pub fn name_features() -> Vec<String> {
    (0..FEATURES).map(name).collect()
}

/// Every candidate for a person's name in a text, including those that are turned down.
///
/// # Panics
/// Never: the pattern is tested.
#[must_use]
pub fn name_evidence(text: &str) -> Vec<NameEvidence> {
    let mut folded = crate::normalise::Folded::new();
    folded.push(text);
    let view = folded.view(true).text;
    let whole = regex::Regex::new(&format!(r"\A(?:{})\z", pattern())).expect("the pattern is tested");
    let longest = regex::Regex::new(&format!(r"\A(?:{})", pattern())).expect("the pattern is tested");
    let word = |c: Option<char>| c.is_some_and(crate::rule::is_word);
    let mut out = Vec::new();
    for (start, c) in view.char_indices() {
        if word(view[..start].chars().next_back()) && word(Some(c)) {
            continue;
        }
        let Some(most) = longest.find(&view[start..]) else { continue };
        for (at, last) in view[start..start + most.end()].char_indices().skip(1) {
            let end = start + at + last.len_utf8();
            let inside = word(Some(last)) && word(view[end..].chars().next());
            if inside || !whole.is_match(&view[start..end]) {
                continue;
            }
            let from = (0..=start)
                .rev()
                .take_while(|f| start - f <= crate::rule::CONTEXT)
                .filter(|f| view.is_char_boundary(*f))
                .last();
            let to = (end..=view.len())
                .take_while(|t| t - end <= AFTER)
                .filter(|t| view.is_char_boundary(*t))
                .last();
            let (from, to) = (from.unwrap_or(start), to.unwrap_or(end));
            let value = &view[start..end];
            let (before, after, words) = (&view[from..start], &view[end..to], &OnceCell::new());
            let hit = Hit { value, whole: value, before, words, after, score: 0.8 };
            let mut features_ = Vec::new();
            if features(&hit, |feature| features_.push((name(feature), WEIGHTS[feature]))).is_some() {
                let log_odds = features_.iter().map(|(_, weight)| weight).sum();
                let (start, end) = (folded.original_start(start), folded.original_end(end));
                out.push(NameEvidence { start, end, log_odds, features: features_ });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pii::{finds, passes};

    #[test]
    fn names_in_sentences() {
        finds(&[
            ("The report was written by Katarzyna Nowak last week.", "PERSON", "Katarzyna Nowak"),
            ("Please ask Jean-Luc van der Berghe about it", "PERSON", "Jean-Luc van der Berghe"),
            ("Mevrouw Van Acker belde gisteren", "PERSON", "Van Acker"),
            ("my name is monika novak and", "PERSON", "monika novak"),
            ("Sarah's contract ends in June", "PERSON", "Sarah"),
            ("Best regards,\nGiulia Ferrari\nHead of Sales", "PERSON", "Giulia Ferrari"),
            ("Jan Peeters", "PERSON", "Jan Peeters"),
            (r#"{"customer_name": "Jan Peeters", "city": "Ghent"}"#, "PERSON", "Jan Peeters"),
        ]);
    }

    #[test]
    fn what_looks_like_a_name_and_is_none() {
        passes(&[
            "The Anna Router and the Iris Scanner are out of stock.",
            "See you on Monday, or in April or May.",
            "Getting Started\n\nTerms and Conditions",
            "We moved from Paris to New York.",
            "Use HashMap::new or MyClass.get(Foo_Bar) here",
            "Der Vertrag und die Rechnung liegen bei.",
            "Anna_Smith=1",
            "my name is not important, dear customer service",
            "Log in with GitHub Actions",
            r#"{"city":"Ghent"}"#,
            r#"{"product": "Jasmine", "month": "Jan"}"#,
            "In Jan and Feb 2026",
            "WHAT? I DON'T KNOW",
        ]);
    }

    #[test]
    fn every_weight_is_that_of_a_feature() {
        let lines = include_str!("../../data/person.txt").lines().filter(|line| !line.starts_with('#'));
        let used = WEIGHTS.iter().filter(|weight| **weight != 0.0).count();
        assert_eq!(used, lines.count());
        assert!(used > 500);
    }

    #[test]
    fn evidence_adds_up_and_agrees_with_the_scan() {
        let text = "Dear Sarah Connor, the Anna Router is here.";
        let all = name_evidence(text);
        for one in &all {
            let sum: f32 = one.features.iter().map(|(_, weight)| weight).sum();
            assert!((sum - one.log_odds).abs() < 1e-3);
        }
        let found = |name: &str| all.iter().any(|e| &text[e.start..e.end] == name && e.log_odds > 0.0);
        assert!(found("Sarah Connor") && !found("Anna Router"));
    }
}
