//! PNG (ISO/IEC 15948): chunks of length, name, data and checksum; `IEND` is the last.

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::{Inspection, MOST_TEXT, be32, exif};

/// Reads it; gives where it ends, `None` where it breaks off.
pub(super) fn read(bytes: &[u8], found: &mut Inspection) -> Option<usize> {
    let mut at = 8;
    loop {
        let length = be32(bytes, at)?;
        let name = bytes.get(at + 4..at + 8)?;
        let start = at + 8;
        let end = start.checked_add(length)?;
        let data = bytes.get(start..end)?;
        // The checksum: a file without it has broken off.
        bytes.get(end..end + 4)?;
        match name {
            b"tEXt" => found.bytes_as_text(data),
            b"zTXt" => {
                if let Some((keyword, [0, packed @ ..])) = cut(data) {
                    found.bytes_as_text(keyword);
                    unpack(packed, found);
                }
            }
            b"iTXt" => international(data, found),
            b"eXIf" => exif::read(data, found),
            b"IEND" => return Some(end + 4),
            _ => {}
        }
        at = end + 4;
    }
}

/// `keyword 0 flag method language 0 keyword 0 text`
fn international(data: &[u8], found: &mut Inspection) {
    let Some((keyword, [flag, _, rest @ ..])) = cut(data) else { return };
    found.bytes_as_text(keyword);
    let Some((_, rest)) = cut(rest) else { return };
    let Some((translated, text)) = cut(rest) else { return };
    found.bytes_as_text(translated);
    if *flag == 1 { unpack(text, found) } else { found.bytes_as_text(text) }
}

/// What is packed is read as far as the bound for texts goes; what cannot be unpacked is no text.
fn unpack(packed: &[u8], found: &mut Inspection) {
    let unpacked = decompress_to_vec_zlib_with_limit(packed, MOST_TEXT).unwrap_or_else(|error| error.output);
    found.bytes_as_text(&unpacked);
}

fn cut(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.iter().position(|b| *b == 0)?;
    Some((&data[..at], &data[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{inspect_image, samples::png};

    #[test]
    fn every_kind_of_text() {
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(b"packed words", 6);
        let plain = [b"Author\0\0\0nl\0Auteur\0".to_vec(), b"plain words".to_vec()].concat();
        let squeezed = [b"k\0\x01\0\0\0".to_vec(), packed.clone()].concat();
        let bytes = png(&[
            (b"zTXt", [b"Title\0\0".to_vec(), packed].concat()),
            (b"iTXt", plain),
            (b"iTXt", squeezed),
        ]);
        let found = inspect_image(&bytes);
        assert_eq!(
            found.texts,
            ["Title", "packed words", "Author", "Auteur", "plain words", "k", "packed words"]
        );
    }

    #[test]
    fn a_bomb_is_bounded() {
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b'a'; 50 * MOST_TEXT], 6);
        let found = inspect_image(&png(&[(b"zTXt", [b"k\0\0".to_vec(), packed].concat())]));
        assert!(found.texts.iter().map(String::len).sum::<usize>() <= MOST_TEXT);
    }
}
