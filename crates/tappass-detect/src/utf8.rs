//! Bytes to text, when a character may be split between two pieces.

/// Bytes that can never become valid UTF-8, whatever follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid UTF-8 at byte {at} of the stream")]
pub struct Utf8Error {
    /// Offset of the first bad byte since the start of the stream.
    pub at: u64,
}

/// Turns pieces of bytes into pieces of text; keeps the up to three bytes of a character that is not complete yet.
#[derive(Debug, Clone, Default)]
pub struct Utf8Buffer {
    partial: Vec<u8>,
    /// Bytes handed out as text so far.
    done: u64,
}

impl Utf8Buffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The text that is complete with these bytes.
    ///
    /// # Errors
    /// The bytes cannot be UTF-8. The buffer is of no further use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<String, Utf8Error> {
        self.partial.extend_from_slice(bytes);
        let valid = match std::str::from_utf8(&self.partial) {
            Ok(text) => text.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(e) => return Err(Utf8Error { at: self.done + e.valid_up_to() as u64 }),
        };
        let rest = self.partial.split_off(valid);
        let whole = std::mem::replace(&mut self.partial, rest);
        let text = String::from_utf8(whole).map_err(|_| Utf8Error { at: self.done })?;
        self.done += text.len() as u64;
        Ok(text)
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// It ended within a character.
    pub const fn finish(&self) -> Result<(), Utf8Error> {
        if self.partial.is_empty() { Ok(()) } else { Err(Utf8Error { at: self.done }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_bytes_are_named() {
        let mut buffer = Utf8Buffer::new();
        assert_eq!(buffer.push(b"ab\xC3").unwrap(), "ab");
        assert_eq!(buffer.finish(), Err(Utf8Error { at: 2 }));
        assert_eq!(buffer.push(b"x"), Err(Utf8Error { at: 2 }));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_text(text in "\\PC{0,60}", cuts in proptest::collection::vec(0_usize..240, 0..8)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut buffer = Utf8Buffer::new();
            let mut out = String::new();
            for pair in cuts.windows(2) {
                out.push_str(&buffer.push(&bytes[pair[0]..pair[1]]).unwrap());
            }
            prop_assert_eq!(out, text);
            prop_assert_eq!(buffer.finish(), Ok(()));
        }
    }
}
