//! What a picture carries beside its pixels: metadata, text, and bytes that no viewer shows.
//!
//! Reads the structure of PNG, JPEG, WebP and GIF, never a pixel. Every length is checked against what is there, every
//! loop advances, and what is collected is bounded, so any bytes are safe to give.

mod exif;
mod gif;
mod jpeg;
mod png;
mod polyglot;
mod webp;

/// The picture formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// Portable Network Graphics.
    Png,
    /// JPEG, in any container that begins like one.
    Jpeg,
    /// WebP.
    Webp,
    /// Graphics Interchange Format.
    Gif,
}

impl ImageFormat {
    /// The format that these bytes begin as.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            _ => None,
        }
    }

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }
}

/// Most bytes of text that are collected of one picture.
const MOST_TEXT: usize = 64 * 1024;

/// What was found in one picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What it is; `None` where it is none of the formats that are read.
    pub format: Option<ImageFormat>,
    /// The texts of its metadata: comments, descriptions, EXIF, XMP.
    pub texts: Vec<String>,
    /// Whether it says where it was taken.
    pub gps: bool,
    /// How many bytes follow its end.
    pub trailing: usize,
    /// What else it is at the same time: `zip`, `pdf`, `php`, `html`, `program`.
    pub polyglot: Option<&'static str>,
    /// Whether its structure breaks off or contradicts itself.
    pub malformed: bool,
}

impl Inspection {
    fn text(&mut self, text: &str) {
        let had: usize = self.texts.iter().map(String::len).sum();
        if text.trim().is_empty() || had >= MOST_TEXT {
            return;
        }
        let mut end = text.len().min(MOST_TEXT - had);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.texts.push(text[..end].to_owned());
    }

    /// Text in an encoding that is not known: UTF-8, with what is none replaced.
    fn bytes_as_text(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(MOST_TEXT)];
        self.text(&String::from_utf8_lossy(bytes).replace('\0', " "));
    }
}

/// Looks through the bytes of a picture.
#[must_use]
pub fn inspect_image(bytes: &[u8]) -> Inspection {
    let mut found = Inspection { format: ImageFormat::of(bytes), ..Inspection::default() };
    let end = match found.format {
        Some(ImageFormat::Png) => png::read(bytes, &mut found),
        Some(ImageFormat::Jpeg) => jpeg::read(bytes, &mut found),
        Some(ImageFormat::Webp) => webp::read(bytes, &mut found),
        Some(ImageFormat::Gif) => gif::read(bytes, &mut found),
        None => Some(bytes.len()),
    };
    found.malformed = end.is_none();
    let rest = bytes.get(end.unwrap_or(bytes.len())..).unwrap_or_default();
    if rest.iter().any(|b| !matches!(b, 0 | b'\n' | b'\r' | b' ')) {
        found.trailing = rest.len();
        found.bytes_as_text(rest);
    }
    found.polyglot = polyglot::of(bytes, rest);
    found
}

/// Numbers at a place; `None` beyond the end.
fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?)))
}

fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?)).ok()
}

fn le16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?)))
}

fn le32(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?)).ok()
}

#[cfg(test)]
pub(crate) mod samples {
    //! Small pictures, built byte by byte.

    /// A TIFF block: a description, and a position where asked.
    pub fn tiff(description: &str, gps: bool) -> Vec<u8> {
        let mut out = b"II*\0\x08\0\0\0".to_vec();
        let entries: u16 = if gps { 2 } else { 1 };
        let text_at = 8 + 2 + 12 * u32::from(entries) + 4;
        let text_len = u32::try_from(description.len() + 1).expect("short");
        out.extend(entries.to_le_bytes());
        entry(&mut out, 0x010e, 2, text_len, text_at);
        if gps {
            entry(&mut out, 0x8825, 4, 1, text_at + text_len);
        }
        out.extend([0; 4]);
        out.extend(description.as_bytes());
        out.push(0);
        if gps {
            out.extend(1_u16.to_le_bytes());
            entry(&mut out, 2, 5, 3, 0);
            out.extend([0; 4]);
        }
        out
    }

    fn entry(out: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: u32) {
        out.extend(tag.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(value.to_le_bytes());
    }

    pub fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        let ends: [(&[u8; 4], Vec<u8>); 1] = [(b"IEND", Vec::new())];
        let begins: [(&[u8; 4], Vec<u8>); 1] = [(b"IHDR", vec![0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0])];
        for (name, data) in begins.iter().chain(chunks).chain(&ends) {
            out.extend(u32::try_from(data.len()).expect("short").to_be_bytes());
            out.extend(*name);
            out.extend(data);
            out.extend([0; 4]);
        }
        out
    }

    pub fn jpeg(segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        for (marker, data) in segments.iter().chain(&[(0xda, vec![1, 0, 0, 0, 0x3f, 0])]) {
            out.extend([0xff, *marker]);
            out.extend(u16::try_from(data.len() + 2).expect("short").to_be_bytes());
            out.extend(data);
        }
        out.extend([0x12, 0xff, 0x00, 0x34, 0xff, 0xd0, 0x56, 0xff, 0xd9]);
        out
    }

    pub fn webp(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (name, data) in chunks {
            body.extend(*name);
            body.extend(u32::try_from(data.len()).expect("short").to_le_bytes());
            body.extend(data);
            if data.len() % 2 == 1 {
                body.push(0);
            }
        }
        let mut out = b"RIFF".to_vec();
        out.extend(u32::try_from(body.len()).expect("short").to_le_bytes());
        out.extend(body);
        out
    }

    pub fn gif(comment: &str) -> Vec<u8> {
        let mut out = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
        out.extend([0x21, 0xfe]);
        for piece in comment.as_bytes().chunks(255) {
            out.push(u8::try_from(piece.len()).expect("short"));
            out.extend(piece);
        }
        out.push(0);
        out.extend(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0\x3b");
        out
    }

    /// A zip archive without a file in it.
    pub fn zip() -> Vec<u8> {
        let mut out = b"PK\x05\x06".to_vec();
        out.extend([0; 18]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{samples::*, *};
    use proptest::prelude::*;

    fn every() -> Vec<Vec<u8>> {
        let exif = [b"Exif\0\0".to_vec(), tiff("at home", true)].concat();
        vec![
            png(&[(b"tEXt", b"Comment\0hello".to_vec()), (b"eXIf", tiff("at home", true))]),
            jpeg(&[(0xe1, exif.clone()), (0xfe, b"hello".to_vec())]),
            webp(&[(b"VP8 ", vec![1, 2, 3]), (b"EXIF", tiff("at home", true)), (b"XMP ", b"hello".to_vec())]),
            gif("hello at home"),
        ]
    }

    #[test]
    fn reads_all_four_alike() {
        for bytes in every() {
            let found = inspect_image(&bytes);
            let text = found.texts.join("|");
            assert!(text.contains("hello") && text.contains("at home"), "{found:?}");
            assert_eq!(found.gps, found.format != Some(ImageFormat::Gif), "{found:?}");
            assert!(!found.malformed && found.trailing == 0 && found.polyglot.is_none(), "{found:?}");
        }
    }

    #[test]
    fn what_follows_the_end_and_what_is_two_things_at_once() {
        for bytes in every() {
            let found = inspect_image(&[bytes.clone(), b"<!-- payload -->".to_vec()].concat());
            assert_eq!(found.trailing, 16, "{found:?}");
            assert!(found.texts.iter().any(|t| t.contains("payload")));
            assert_eq!(inspect_image(&[bytes.clone(), vec![0; 9]].concat()).trailing, 0, "padding");
            let archive = [bytes.clone(), zip()].concat();
            assert_eq!(inspect_image(&archive).polyglot, Some("zip"));
            assert!(inspect_image(&bytes[..bytes.len() - 2]).malformed, "cut off");
        }
        assert_eq!(inspect_image(b"%PDF-1.7 and more").format, None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_bytes_do_harm(which in 0usize..4, flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            cut in any::<prop::sample::Index>(), extra in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = every().swap_remove(which);
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len()) + 1);
            bytes.extend(extra);
            let found = inspect_image(&bytes);
            prop_assert!(found.texts.iter().map(String::len).sum::<usize>() <= 3 * MOST_TEXT);
            prop_assert!(found.trailing <= bytes.len());
        }
    }
}
