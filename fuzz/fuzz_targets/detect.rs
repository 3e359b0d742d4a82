//! Detectors: nothing panics, every span stands on characters, and a stream finds what the whole text gives.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tappass_detect::Scanner;
use tappass_model::{Family, Match};

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(&Family::ALL, &[]).expect("compiles"));

fuzz_target!(|data: &[u8]| {
    let Some((&first, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut whole = SCANNER.scan(text);
    for found in &whole {
        assert!(text.get(found.start..found.end).is_some_and(|t| !t.is_empty()), "{found:?}");
    }
    let mut stream = SCANNER.stream();
    let mut streamed = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.char_indices().map(|(at, _)| at).nth(usize::from(first) + 1).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(at);
        streamed.extend(stream.push(piece).matches);
        rest = tail;
    }
    streamed.extend(stream.finish().matches);
    // A stream tells each as early as it is certain.
    let order = |m: &Match| (m.start, m.end, m.family.as_str(), m.kind.clone());
    whole.sort_by_key(order);
    streamed.sort_by_key(order);
    assert_eq!(streamed, whole);
});
