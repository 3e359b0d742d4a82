//! Files that are a picture and something else at the same time.

use super::{le16, le32};

/// What else these bytes are. `rest` is what follows the picture's end.
pub(super) fn of(bytes: &[u8], rest: &[u8]) -> Option<&'static str> {
    if is_zip(bytes) {
        return Some("zip");
    }
    // Readers of PDF look for its header in the first KiB.
    if contains(&bytes[..bytes.len().min(1024)], b"%PDF-") {
        return Some("pdf");
    }
    if contains(bytes, b"<?php") || contains(bytes, b"__HALT_COMPILER") {
        return Some("php");
    }
    let starts = |magic: &[u8]| rest.starts_with(magic);
    if starts(b"MZ") || starts(b"\x7fELF") || starts(b"#!/") {
        return Some("program");
    }
    let head = rest[..rest.len().min(4096)].to_ascii_lowercase();
    (contains(&head, b"<script") || contains(&head, b"<html")).then_some("html")
}

/// The end record of a zip archive (APPNOTE 4.3.16): readers find it from the end of the file, and what it says of
/// itself must fit.
fn is_zip(bytes: &[u8]) -> bool {
    const RECORD: usize = 22;
    let from = bytes.len().saturating_sub(RECORD + 0xffff);
    let tail = &bytes[from..];
    let ends_here = |at: usize| {
        let comment = le16(tail, at + 20)?;
        let (size, offset) = (le32(tail, at + 12)?, le32(tail, at + 16)?);
        Some(at + RECORD + comment == tail.len() && size.checked_add(offset)? <= from + at)
    };
    tail.windows(4).enumerate().any(|(at, w)| w == b"PK\x05\x06" && ends_here(at) == Some(true))
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    let first = pattern[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == first) {
        if rest[at..].starts_with(pattern) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::samples::{gif, zip};

    #[test]
    fn names_what_it_is_and_is_not_fooled_by_letters() {
        assert_eq!(of(b"GIF89a<?php system()", b""), Some("php"));
        assert_eq!(of(&gif("%PDF-1.4 hidden"), b""), Some("pdf"));
        assert_eq!(of(b"x", b"\x7fELF\x02"), Some("program"));
        assert_eq!(of(b"x", b"<HTML><SCRIPT>"), Some("html"));
        let mut archive = zip();
        assert_eq!(of(&archive, b""), Some("zip"));
        archive.push(b'x');
        assert_eq!(of(&archive, b""), None, "the record does not end the file");
        assert_eq!(of(b"PK\x05\x06", b""), None);
    }
}
