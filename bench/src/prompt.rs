//! What is asked: prompts of one kilobyte, no two alike, so that no memory of an earlier one helps.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::json;

/// Bytes of text in every prompt.
pub const PROMPT_BYTES: usize = 1024;
/// How many different prompts go round, each with a name of its own every time.
const VARIETY: usize = 256;
/// Where the name stands: these letters are overwritten.
const NAME: &str = "qqqqqqqqqqqq";
/// One prompt in so many carries an e-mail address: a scan that finds something is part of the day's work.
const WITH_A_FINDING: usize = 4;

const WORDS: [&str; 24] = [
    "please",
    "summarise",
    "the",
    "report",
    "for",
    "our",
    "team",
    "and",
    "list",
    "open",
    "questions",
    "about",
    "delivery",
    "dates",
    "budget",
    "risks",
    "suppliers",
    "with",
    "a",
    "short",
    "table",
    "of",
    "next",
    "steps",
];

/// The bodies of the plain calls.
pub struct Prompts {
    /// Each with the place of its name.
    bodies: Vec<(Bytes, usize)>,
    asked: AtomicU64,
}

impl Prompts {
    pub fn new() -> Self {
        let named = |i| {
            let body = body(&text(i), None);
            let name = body.windows(NAME.len()).position(|w| w == NAME.as_bytes()).unwrap_or_default();
            (body, name)
        };
        Self { bodies: (0..VARIETY).map(named).collect(), asked: AtomicU64::new(0) }
    }

    /// A body that was never asked before.
    pub fn next(&self) -> Bytes {
        let nth = self.asked.fetch_add(1, Ordering::Relaxed);
        let (body, name) = &self.bodies[nth as usize % self.bodies.len()];
        let mut body = body.to_vec();
        let mut rest = nth;
        for letter in &mut body[*name..*name + NAME.len()] {
            *letter = b'a' + (rest % 26) as u8;
            rest /= 26;
        }
        Bytes::from(body)
    }
}

/// The body of a streamed call; `user` asks the upstream for a variant.
pub fn streamed(user: &str) -> Bytes {
    body(&text(1), Some(user))
}

fn body(text: &str, stream_user: Option<&str>) -> Bytes {
    let mut body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]});
    if let Some(user) = stream_user {
        body["stream"] = true.into();
        body["user"] = user.into();
    }
    Bytes::from(body.to_string())
}

/// Words in an order that differs from prompt to prompt but not from run to run.
fn text(nth: usize) -> String {
    let mut text = String::with_capacity(PROMPT_BYTES + 16);
    if nth.is_multiple_of(WITH_A_FINDING) {
        text.push_str("Write to jane.doe@example.com: ");
    }
    text.push_str("for ");
    text.push_str(NAME);
    text.push(' ');
    let mut state = nth as u64 + 1;
    while text.len() < PROMPT_BYTES {
        // Knuth's MMIX linear congruential generator; its high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS[(state >> 33) as usize % WORDS.len()]);
        text.push(' ');
    }
    text.truncate(PROMPT_BYTES);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn prompts_are_one_kilobyte_and_differ() {
        let texts: HashSet<String> = (0..VARIETY).map(text).collect();
        assert_eq!(texts.len(), VARIETY);
        assert!(texts.iter().all(|text| text.len() == PROMPT_BYTES));
        assert_eq!(texts.iter().filter(|text| text.contains('@')).count(), VARIETY / WITH_A_FINDING);
        let prompts = Prompts::new();
        let bodies: HashSet<Bytes> = (0..VARIETY * 3).map(|_| prompts.next()).collect();
        assert_eq!(bodies.len(), VARIETY * 3);
        assert!(bodies.iter().all(|body| serde_json::from_slice::<serde_json::Value>(body).is_ok()));
    }
}
