//! What is asked: prompts of one kilobyte, many different ones, so that no memory of the last one helps.

use bytes::Bytes;
use serde_json::json;

/// Bytes of text in every prompt.
pub const PROMPT_BYTES: usize = 1024;
/// How many different prompts go round.
const VARIETY: usize = 256;
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
pub fn bodies() -> Vec<Bytes> {
    (0..VARIETY).map(|i| body(&text(i), None)).collect()
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
    }
}
