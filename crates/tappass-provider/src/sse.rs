//! Server-sent events, read from bytes however they were cut (WHATWG HTML, §9.2 "Server-sent events").
//!
//! Stricter than a browser in two things: bytes that are not UTF-8 are an error, and an event has a size limit.

use std::collections::VecDeque;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The `event` field; empty where there was none (a browser would say `message`).
    pub event: String,
    /// The `data` lines, joined by line feeds.
    pub data: String,
    /// The last `id` field so far.
    pub id: String,
    /// The `retry` field that came with it: how long to wait before the stream is taken up again, in milliseconds.
    pub retry: Option<u32>,
}

/// Why a stream is no stream of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// Bytes that are not UTF-8.
    #[error("an event that is not UTF-8")]
    InvalidUtf8,
    /// A line or an event without end.
    #[error("an event of more than {0} bytes")]
    TooLong(usize),
}

/// Takes bytes, gives events. Each byte is looked at once.
#[derive(Debug)]
pub struct SseParser {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    at_start: bool,
    limit: usize,
    ready: VecDeque<SseEvent>,
}

impl SseParser {
    /// A parser that refuses events, and lines, of more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            line: Vec::new(),
            event: SseEvent::default(),
            has_data: false,
            after_cr: false,
            at_start: true,
            limit,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`SseError`]; nothing that follows can be trusted then.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), SseError> {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            if self.line.is_empty() {
                self.take_line(&bytes[..end])?;
            } else {
                self.grow(&bytes[..end])?;
                let line = std::mem::take(&mut self.line);
                self.take_line(&line)?;
                self.line = line;
                self.line.clear();
            }
            let after = &bytes[end + 1..];
            bytes = match (bytes[end], after.first()) {
                (b'\r', Some(b'\n')) => &after[1..],
                (b'\r', None) => {
                    self.after_cr = true;
                    after
                }
                _ => after,
            };
        }
        self.grow(bytes)
    }

    /// The next event that is complete. What is incomplete at the stream's end is no event.
    pub fn next_event(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        if self.line.len() + bytes.len() + self.event.data.len() > self.limit {
            return Err(SseError::TooLong(self.limit));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), SseError> {
        if line.len() + self.event.data.len() > self.limit {
            return Err(SseError::TooLong(self.limit));
        }
        let mut line = std::str::from_utf8(line).map_err(|_| SseError::InvalidUtf8)?;
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch();
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.event.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.event.id),
            "retry" if value.bytes().all(|b| b.is_ascii_digit()) => {
                self.event.retry = value.parse().ok().or(self.event.retry);
            }
            // Comments have an empty name; unknown fields are to be ignored.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self) {
        let id = self.event.id.clone();
        let event = std::mem::replace(&mut self.event, SseEvent { id, ..SseEvent::default() });
        if std::mem::take(&mut self.has_data) {
            self.ready.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        limit: usize,
    ) -> Result<Vec<SseEvent>, SseError> {
        let mut parser = SseParser::new(limit);
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece)?;
            events.extend(std::iter::from_fn(|| parser.next_event()));
        }
        Ok(events)
    }

    fn data(text: &str) -> Vec<String> {
        parse([text.as_bytes()], 1000).expect("good").into_iter().map(|e| e.data).collect()
    }

    #[test]
    fn follows_the_standard() {
        assert_eq!(data("data: a\n\ndata:b\r\n\r\ndata: c\r\r"), ["a", "b", "c"]);
        assert_eq!(data("\u{feff}data: bom\n\n"), ["bom"]);
        assert_eq!(data(": comment\ndata: x\ndata: y\nnovel: z\n\n"), ["x\ny"]);
        assert_eq!(data("data\n\ndata\ndata\n\n"), ["", "\n"]);
        assert_eq!(data("event: nothing\n\n\n\ndata:  two spaces\n\n"), [" two spaces"]);
        assert!(data("data: cut off\n").is_empty());
        let events = parse([b"id: 7\nevent: e\ndata: 1\n\ndata: 2\n\n".as_slice()], 100).expect("good");
        assert_eq!((events[0].event.as_str(), events[0].id.as_str()), ("e", "7"));
        assert_eq!((events[1].event.as_str(), events[1].id.as_str()), ("", "7"));
        let events =
            parse([b"retry: 20\nretry: soon\ndata\n\nretry: -1\ndata\n\n".as_slice()], 100).expect("good");
        assert_eq!([events[0].retry, events[1].retry], [Some(20), None]);
    }

    #[test]
    fn refuses_what_is_endless_or_not_text() {
        let long = vec![b'a'; 50];
        assert_eq!(parse([long.as_slice(), &long, &long], 100), Err(SseError::TooLong(100)));
        let lines = "data: aaaaaaaaaaaaaaaaaaaa\n".repeat(6);
        assert_eq!(parse([lines.as_bytes()], 100), Err(SseError::TooLong(100)));
        assert_eq!(parse([b"data: \xff\n".as_slice()], 100), Err(SseError::InvalidUtf8));
        assert!(parse(["data: x\n\n".repeat(100).as_bytes()], 100).is_ok_and(|e| e.len() == 100));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(
            lines in prop::collection::vec("(data|event|id|retry|)(:| |: )[a-zé€😀0-9]{0,5}", 0..12),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n"]), 12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let text: String = lines.iter().zip(&ends).flat_map(|(line, end)| [line.as_str(), end]).collect();
            let mut at: Vec<usize> = cuts.iter().map(|c| c.index(text.len() + 1)).chain([0, text.len()]).collect();
            at.sort_unstable();
            let pieces = at.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]);
            prop_assert_eq!(parse(pieces, 1000), parse([text.as_bytes()], 1000));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse([bytes.as_slice()], 64);
        }
    }
}
