//! Server-sent events: however the bytes are cut, the events are the same, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tappass_provider::sse::{SseError, SseEvent, SseParser};

const LIMIT: usize = 256;

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<SseEvent>, Option<SseError>) {
    let mut parser = SseParser::new(LIMIT);
    let mut events = Vec::new();
    for piece in pieces {
        let pushed = parser.push(piece);
        events.extend(std::iter::from_fn(|| parser.next_event()));
        if let Err(error) = pushed {
            return (events, Some(error));
        }
    }
    (events, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, text)) = data.split_first() else { return };
    let whole = parse(std::iter::once(text));
    assert_eq!(parse(text.chunks(usize::from(first % 16) + 1)), whole);
    assert_eq!(parse(text.chunks(1)), whole);
});
