//! GIF (GIF89a): blocks, each a row of pieces with their lengths; `3B` is the last byte.

use super::{Inspection, MOST_TEXT};

/// Reads it; gives where it ends, `None` where it breaks off.
pub(super) fn read(bytes: &[u8], found: &mut Inspection) -> Option<usize> {
    let mut at = 13 + table(*bytes.get(10)?);
    loop {
        match *bytes.get(at)? {
            0x3b => return Some(at + 1),
            // A picture: its descriptor, its own table, the size of its codes, its data.
            0x2c => {
                let own = table(*bytes.get(at + 9)?);
                at = pieces(bytes, at + 10 + own + 1, &mut None)?;
            }
            0x21 => {
                let label = *bytes.get(at + 1)?;
                // Comments, plain text, and what applications add, such as XMP.
                let mut text = matches!(label, 0xfe | 0x01 | 0xff).then(Vec::new);
                at = pieces(bytes, at + 2, &mut text)?;
                if let Some(text) = text {
                    found.bytes_as_text(&text);
                }
            }
            _ => return None,
        }
    }
}

/// How many bytes a table of colours has.
const fn table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Walks over pieces, and collects them where asked; gives where the next block begins.
fn pieces(bytes: &[u8], mut at: usize, into: &mut Option<Vec<u8>>) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        if length == 0 {
            return Some(at + 1);
        }
        let piece = bytes.get(at + 1..at + 1 + length)?;
        if let Some(into) = into
            && into.len() < MOST_TEXT
        {
            into.extend_from_slice(piece);
        }
        at += 1 + length;
    }
}
