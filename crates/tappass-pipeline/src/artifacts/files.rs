//! Files that stand in a text as data URLs.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Most files that are opened of one text.
const MOST: usize = 16;

/// The bytes of each data URL in a text.
#[must_use]
pub fn embedded(text: &str) -> Vec<Vec<u8>> {
    let starts = text.match_indices(";base64,").take(MOST);
    starts
        .filter_map(|(at, mark)| {
            let head = &text[at.saturating_sub(80).max(floor(text, at))..at];
            let scheme = head.to_ascii_lowercase().rfind("data:")?;
            if head[scheme..].contains(char::is_whitespace) {
                return None;
            }
            let rest = &text[at + mark.len()..];
            let is_payload = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
            let end = rest.find(|c| !is_payload(c)).unwrap_or(rest.len());
            STANDARD.decode(&rest[..end]).ok().filter(|bytes| !bytes.is_empty())
        })
        .collect()
}

/// The first character boundary of the eighty bytes before a place.
fn floor(text: &str, at: usize) -> usize {
    (at.saturating_sub(80)..=at).find(|i| text.is_char_boundary(*i)).unwrap_or(at)
}

/// What bytes are, by how they begin.
#[must_use]
pub fn type_of(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'M', b'Z', ..] => "windows-program",
        [0x7f, b'E', b'L', b'F', ..] => "linux-program",
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => "mac-program",
        [0xca, 0xfe, 0xba, 0xbe, ..] => "java-class",
        [0, b'a', b's', b'm', ..] => "wasm",
        [b'#', b'!', ..] => "script",
        [b'P', b'K', 3, 4, ..] => "zip",
        [b'%', b'P', b'D', b'F', ..] => "pdf",
        [0xd0, 0xcf, 0x11, 0xe0, ..] => "ms-office",
        _ => tappass_detect::ImageFormat::of(bytes).map_or("data", tappass_detect::ImageFormat::media_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_is_there_and_names_it() {
        let program = STANDARD.encode(b"MZ\x90\0 and so on");
        let text =
            format!("é [run](data:application/x-foo;base64,{program}) or ;base64,AAAA or data:x;base64,?");
        let files = embedded(&text);
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(type_of(&files[0]), "windows-program");
        assert_eq!((type_of(b"%PDF-1.7"), type_of(b"hello")), ("pdf", "data"));
    }
}
