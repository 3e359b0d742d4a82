//! EXIF: a TIFF block (TIFF 6.0 §2, Exif 2.32 §4.6), read for its texts and for a position.

use super::{Inspection, be16, be32, le16, le32};

/// Most entries of one directory.
const MOST_ENTRIES: usize = 256;
/// Longest text, bytes.
const LONGEST: usize = 8 * 1024;

const EXIF_DIRECTORY: usize = 0x8769;
const GPS_DIRECTORY: usize = 0x8825;
const USER_COMMENT: usize = 0x9286;

/// Reads a TIFF block.
pub(super) fn read(bytes: &[u8], found: &mut Inspection) {
    let big = match bytes.get(..4) {
        Some(b"II*\0") => false,
        Some(b"MM\0*") => true,
        _ => return,
    };
    let tiff = Tiff { bytes, big };
    let Some(first) = tiff.long(4) else { return };
    // Directories name others; three deep is all there is, and none is read twice.
    let (gps, exif) = tiff.directory(first, found);
    if let Some(at) = exif {
        tiff.directory(at, found);
    }
    if let Some(at) = gps {
        let count = tiff.short(at).unwrap_or(0).min(MOST_ENTRIES);
        // GPSLatitude and GPSLongitude.
        found.gps |= (0..count).any(|i| matches!(tiff.short(at + 2 + 12 * i), Some(2 | 4)));
    }
}

struct Tiff<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Tiff<'_> {
    fn short(&self, at: usize) -> Option<usize> {
        if self.big { be16(self.bytes, at) } else { le16(self.bytes, at) }
    }

    fn long(&self, at: usize) -> Option<usize> {
        if self.big { be32(self.bytes, at) } else { le32(self.bytes, at) }
    }

    /// Collects the texts of a directory; gives where those of the position and of EXIF are.
    fn directory(&self, at: usize, found: &mut Inspection) -> (Option<usize>, Option<usize>) {
        let (mut gps, mut exif) = (None, None);
        let count = self.short(at).unwrap_or(0).min(MOST_ENTRIES);
        for i in 0..count {
            let Some(entry) = at.checked_add(2 + 12 * i) else { break };
            let (Some(tag), Some(kind), Some(count)) =
                (self.short(entry), self.short(entry + 2), self.long(entry + 4))
            else {
                break;
            };
            match (tag, kind) {
                (GPS_DIRECTORY, 4) => gps = self.long(entry + 8),
                (EXIF_DIRECTORY, 4) => exif = self.long(entry + 8),
                // XPTitle to XPSubject: UTF-16.
                (0x9c9b..=0x9c9f, 1) => {
                    let raw = self.value(entry, count);
                    let units: Vec<u16> =
                        raw.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
                    found.text(String::from_utf16_lossy(&units).trim_end_matches('\0'));
                }
                // Eight bytes name its encoding.
                (USER_COMMENT, 7) => {
                    found.bytes_as_text(self.value(entry, count).get(8..).unwrap_or_default());
                }
                (_, 2) => found.bytes_as_text(self.value(entry, count)),
                _ => {}
            }
        }
        (gps, exif)
    }

    /// The bytes of a value: in the entry where four are enough, else where it points.
    fn value(&self, entry: usize, count: usize) -> &[u8] {
        let count = count.min(LONGEST);
        let at = if count <= 4 { Some(entry + 8) } else { self.long(entry + 8) };
        let range = at.and_then(|at| Some(at..at.checked_add(count)?));
        range.and_then(|r| self.bytes.get(r)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::samples::tiff;

    #[test]
    fn texts_and_position() {
        let mut found = Inspection::default();
        read(&tiff("my house", false), &mut found);
        assert_eq!((found.texts.as_slice(), found.gps), (&["my house ".to_owned()][..], false));
        read(&tiff("x", true), &mut found);
        assert!(found.gps);
    }

    #[test]
    fn a_directory_that_points_at_itself_ends() {
        let mut bytes = tiff("my house", true);
        let at = 8 + 2 + 12 + 8;
        bytes[at..at + 4].copy_from_slice(&8_u32.to_le_bytes());
        let mut found = Inspection::default();
        read(&bytes, &mut found);
        assert!(!found.gps, "a directory of descriptions is no position");
        read(b"II*\0\xff\xff\xff\xff", &mut found);
        read(b"MM\0*", &mut found);
    }
}
