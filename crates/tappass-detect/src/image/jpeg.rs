//! JPEG (ITU-T T.81 annex B): marker segments, then data in which `FF 00` and restarts are no markers.

use super::{Inspection, be16, exif};

/// Pictures that one file may hold one after the other: cameras append previews and depth maps.
const MOST_PICTURES: usize = 8;

const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";

/// Reads it; gives where it ends, `None` where it breaks off.
pub(super) fn read(bytes: &[u8], found: &mut Inspection) -> Option<usize> {
    let mut at = 0;
    for _ in 0..MOST_PICTURES {
        at = picture(bytes, at, found)?;
        if bytes.get(at..at + 3) != Some(&[0xff, 0xd8, 0xff]) {
            break;
        }
    }
    Some(at)
}

fn picture(bytes: &[u8], start: usize, found: &mut Inspection) -> Option<usize> {
    let mut at = start + 2;
    loop {
        // A marker; any number of FF may stand before it.
        while *bytes.get(at)? == 0xff && *bytes.get(at + 1)? == 0xff {
            at += 1;
        }
        let [0xff, marker] = *bytes.get(at..at + 2)? else { return None };
        at += 2;
        match marker {
            0xd9 => return Some(at),
            // Markers without a length: restarts, TEM.
            0x01 | 0xd0..=0xd7 => continue,
            0x00 | 0xd8 => return None,
            _ => {}
        }
        let length = be16(bytes, at).filter(|l| *l >= 2)?;
        let data = bytes.get(at + 2..at + length)?;
        at += length;
        match marker {
            0xe1 if data.starts_with(b"Exif\0") => exif::read(data.get(6..).unwrap_or_default(), found),
            0xe1 if data.starts_with(XMP) => found.bytes_as_text(&data[XMP.len()..]),
            0xed if data.starts_with(PHOTOSHOP) => resources(&data[PHOTOSHOP.len()..], found),
            0xfe => found.bytes_as_text(data),
            0xda => at = skip_data(bytes, at)?,
            _ => {}
        }
    }
}

/// The next marker after compressed data.
fn skip_data(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == 0xff)?;
        match bytes.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

/// Captions and credits (IPTC-IIM) stand there as text between binary fields: what is long enough to be read, is.
fn resources(data: &[u8], found: &mut Inspection) {
    const SHORTEST: usize = 4;
    let is_text = |b: &u8| *b >= 0x20 && *b != 0x7f;
    for run in data.split(|b| !is_text(b)).filter(|run| run.len() >= SHORTEST) {
        found.bytes_as_text(run);
    }
}

#[cfg(test)]
mod tests {
    use crate::image::{inspect_image, samples::jpeg};

    #[test]
    fn comments_xmp_and_captions() {
        let xmp = [super::XMP.to_vec(), b"<x:xmpmeta>caption</x:xmpmeta>".to_vec()].concat();
        let iptc =
            [super::PHOTOSHOP.to_vec(), b"8BIM\x04\x04\0\0\0\x10\x1c\x02\x78\0\x09taken by\0".to_vec()]
                .concat();
        let found = inspect_image(&jpeg(&[(0xfe, b"note".to_vec()), (0xe1, xmp), (0xed, iptc)]));
        let all = found.texts.join("|");
        for text in ["note", "caption", "taken by"] {
            assert!(all.contains(text), "{text}: {all}");
        }
    }

    #[test]
    fn a_second_picture_is_no_trailing_data() {
        let two = [jpeg(&[]), jpeg(&[(0xfe, b"preview".to_vec())])].concat();
        let found = inspect_image(&two);
        assert_eq!((found.trailing, found.malformed), (0, false));
        assert_eq!(found.texts, ["preview"]);
    }
}
