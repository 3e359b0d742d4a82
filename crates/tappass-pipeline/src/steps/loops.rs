//! What the two loop guards share: telling calls and errors apart by digest, finding cycles.

use aws_lc_rs::digest::{SHA256, digest};
use tappass_model::ToolCall;

/// The first 16 hexadecimal digits of a SHA-256: enough to tell things of one session apart.
pub fn short_digest(text: &str) -> String {
    hex::encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8])
}

/// A tool call by its name and what it asks for.
pub fn identity(call: &ToolCall) -> String {
    short_digest(&format!("{}\0{}", call.name, call.arguments.trim()))
}

/// Whether a tool's result says that it failed.
pub fn is_error(result: &str) -> bool {
    let end = result.floor_char_boundary(200);
    let start = result[..end].to_lowercase();
    ["error", "exception", "traceback", "failed", "failure", "not found", "denied", "invalid", "timed out"]
        .iter()
        .any(|word| start.contains(word))
}

/// The most often repeated thing of a list and how often it is there.
pub fn most_repeated<T: Ord>(items: impl Iterator<Item = T>) -> Option<(T, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for item in items {
        *counts.entry(item).or_insert(0) += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count)
}

/// How often the list ends with one and the same sequence of `period` items, over and over.
pub fn turns<T: PartialEq>(items: &[T], period: usize) -> usize {
    let mut chunks = items.rchunks_exact(period);
    let Some(last) = chunks.next() else { return 0 };
    1 + chunks.take_while(|chunk| *chunk == last).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_at_the_end() {
        assert_eq!(turns(&["x", "a", "b", "a", "b", "a", "b"], 2), 3);
        assert_eq!(turns(&["a", "b", "c"], 1), 1);
        assert_eq!(turns::<u8>(&[], 2), 0);
        assert_eq!(most_repeated(["a", "b", "a"].into_iter()), Some(("a", 2)));
    }

    #[test]
    fn errors_show_at_their_start() {
        assert!(is_error("Error: no such table") && is_error("Traceback (most recent call last)"));
        assert!(!is_error("42 rows") && !is_error(&format!("{}error", "é".repeat(200))));
    }
}
