//! WebP (RFC 9649 §2): a RIFF file; chunks of name, length and data, padded to even.

use super::{Inspection, exif, le32};

/// Reads it; gives where it ends, `None` where it breaks off.
pub(super) fn read(bytes: &[u8], found: &mut Inspection) -> Option<usize> {
    let end = le32(bytes, 4)?.checked_add(8).filter(|end| *end <= bytes.len())?;
    let mut at = 12;
    while at < end {
        let name = bytes.get(at..at + 4)?;
        let length = le32(bytes, at + 4)?;
        let start = at + 8;
        let next = start.checked_add(length)?;
        let data = bytes.get(start..next).filter(|_| next <= end)?;
        match name {
            b"EXIF" => exif::read(data.strip_prefix(b"Exif\0\0").unwrap_or(data), found),
            b"XMP " => found.bytes_as_text(data),
            _ => {}
        }
        at = next + length % 2;
    }
    Some(end)
}
