//! What a value of a link carries, once it is opened.

use crate::rule::{Digits, entropy, luhn};

/// How sure it is that this value carries data out; 0 for an ordinary one.
pub(super) fn load(name: &str, value: &str, image: bool) -> f32 {
    const SEARCHED: &[&str] = &[
        "q",
        "query",
        "search",
        "text",
        "title",
        "body",
        "subject",
        "quote",
        "summary",
        "description",
        "message",
        "prompt",
        "keywords",
        "location",
        "address",
        "place",
    ];
    const DIRECTED: &[&str] = &[
        "url",
        "u",
        "next",
        "redirect",
        "redirect_uri",
        "return",
        "returnurl",
        "continue",
        "target",
        "dest",
        "to",
        "ref",
        "origin",
        "scope",
        "state",
        "sig",
        "signature",
        "x-amz-credential",
        "x-amz-signature",
        "code_challenge",
        "nonce",
        "integrity",
    ];
    if value.len() < 5 || value.len() > 3000 {
        return 0.0;
    }
    let pick = |fetched: f32, followed: f32| if image { fetched } else { followed };
    let plain = percent(value);
    if secret(&plain) {
        return pick(0.9, 0.8);
    }
    if placeholder(&plain) {
        return pick(0.85, if name == "/" { 0.3 } else { 0.55 });
    }
    // Encoded text that reads when it is opened.
    for opened in [hex(&plain), base64(&plain)].into_iter().flatten() {
        if secret(&opened) || placeholder(&opened) || record(&opened) {
            return pick(0.9, 0.8);
        }
        if opened.starts_with("http") || opened.starts_with('/') || DIRECTED.contains(&name) {
            return pick(0.4, 0.2);
        }
        if opened.len() >= 10 {
            return pick(0.85, if name == "/" { 0.55 } else { 0.7 });
        }
    }
    if DIRECTED.contains(&name) {
        return 0.0;
    }
    if record(&plain) {
        return pick(0.8, 0.6);
    }
    let words = plain.split_whitespace().filter(|w| w.len() > 1).count();
    if words >= 4 && name != "/" {
        return pick(0.75, if SEARCHED.contains(&name) { 0.2 } else { 0.55 });
    }
    // A long value without a shape: a picture has no use for it.
    if plain.len() >= 48 && entropy(&plain) > 4.2 && name != "/" && !plain.contains(['.', '/']) {
        return pick(0.55, 0.2);
    }
    0.0
}

/// A key by its form, an IBAN, or a card.
fn secret(text: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "sk-proj-",
        "sk-ant-",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "AKIA",
        "ASIA",
        "AIza",
        "-----BEGIN",
        "npm_",
        "hf_",
        "SG.",
        "password=",
        "passwd=",
        "api_key=",
        "apikey=",
    ];
    if PREFIXES.iter().any(|p| text.match_indices(p).any(|(at, _)| text.len() - at >= p.len() + 8)) {
        return true;
    }
    let joined: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let digits = joined.bytes().filter(u8::is_ascii_digit).count();
    let card = text.bytes().all(|b| b.is_ascii_digit() || b" -".contains(&b)) && (15..=16).contains(&digits);
    let iban = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|w| {
        w.len() >= 15
            && w.len() <= 34
            && w.as_bytes()[..2].iter().all(u8::is_ascii_uppercase)
            && w.as_bytes()[2..4].iter().all(u8::is_ascii_digit)
            && w.bytes().skip(4).filter(u8::is_ascii_digit).count() >= 8
    });
    card && luhn(Digits::of(&joined).as_slice()) || iban
}

/// `{api_key}`, `[SYSTEM_PROMPT]`, `${token}`: a place that the model is to fill with something it should keep.
fn placeholder(text: &str) -> bool {
    const KEPT: &[&str] = &[
        "system",
        "prompt",
        "api",
        "secret",
        "password",
        "token",
        "conversation",
        "history",
        "context",
        "chat",
        "credential",
        "user_data",
        "userdata",
        "email",
        "data",
        "content",
        "summary",
        "message",
        "env",
        "key",
        "cookie",
        "private",
        "ssn",
        "document",
        "answer",
        "name",
        "info",
    ];
    let inner = text.trim_matches(['{', '}', '[', ']', '<', '>', '$', '%', ' ']);
    let open = text.trim_start_matches('$').starts_with(['{', '[', '<']) && text.ends_with(['}', ']', '>']);
    let lower = inner.to_ascii_lowercase();
    open && inner.len() < 60 && !inner.contains([',', ':', '"']) && KEPT.iter().any(|w| lower.contains(w))
}

/// Several named values (`user=jan;mail=…`), an e-mail address with more, JSON.
fn record(text: &str) -> bool {
    let pairs = text
        .split([';', '&', ',', '|', '\n'])
        .filter(|p| {
            p.split_once(['=', ':'])
                .is_some_and(|(k, v)| k.trim().len() >= 2 && v.trim().len() >= 2 && !v.starts_with("//"))
        })
        .count();
    pairs >= 2 || text.starts_with("{\"") && text.len() > 12
}

/// Percent-decoded, as far as it is text.
fn percent(text: &str) -> String {
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let coded = match (first, tail) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)),
            _ => None,
        };
        rest = tail;
        match coded.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => out.push(*first),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Hex digits, two a byte, that open to text.
pub(super) fn hex(text: &str) -> Option<String> {
    if text.len() < 16 || !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes: Option<Vec<u8>> =
        text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? * 16 + digit(pair[1])?)).collect();
    reads(bytes?)
}

/// Base64 of either alphabet, padded or not, that opens to text.
pub(super) fn base64(text: &str) -> Option<String> {
    let body = text.trim_end_matches('=');
    if body.len() < 12 || body.len() % 4 == 1 || text.len() - body.len() > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(body.len());
    let (mut bits, mut held) = (0_u32, 0);
    for b in body.bytes() {
        let six = crate::layers::sextet(b)?;
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xFF).ok()?);
        }
    }
    reads(out)
}

/// Bytes that are text a person can read: by chance, a dozen bytes never are.
fn reads(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let plain = |c: char| c.is_ascii_graphic() || c == ' ' || c == '\n' || c.is_alphanumeric();
    let letters = text.chars().filter(|c| c.is_alphanumeric() || *c == ' ').count();
    (text.chars().all(plain)
        && text.is_ascii() | (letters * 10 >= text.chars().count() * 9)
        && letters * 10 >= text.chars().count() * 6)
        .then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_opened() {
        assert_eq!(base64("dXNlcj1qYW47cm9sZT1h").as_deref(), Some("user=jan;role=a"));
        assert_eq!(hex("7365637265742074657874").as_deref(), Some("secret text"));
        assert_eq!(percent("a%20b+c%2").as_str(), "a b+c%2");
        // Digests and words open to nothing.
        assert_eq!(hex("9f86d081884c7d659a2feaa0c55ad015"), None);
        assert_eq!(base64("internationalisation"), None);
        assert_eq!(base64("3f786850e387550fdab836ed7e6dc881de23001b"), None);
    }

    #[test]
    fn what_is_asked_for_weighs_less_in_a_link() {
        assert!(load("q", "how%20do%20i%20bake%20bread", false) < 0.5);
        assert!(load("d", "how%20do%20i%20bake%20bread", true) >= 0.5);
        assert!(load("redirect_uri", "https%3A%2F%2Fa.example", true) < 0.5);
    }
}
