//! SHA-256 values, hex where people and JSON see them.

use aws_lc_rs::digest;

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// What the first event's `prev_hash` and the first checkpoint's `previous` hold: 64 zeros in hex.
pub const GENESIS: Hash = [0; 32];

/// The SHA-256 of the parts, one after the other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|p| context.update(p));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Reads 64 hexadecimal digits in lower case, the one form that is written.
#[must_use]
pub fn parse_hex(text: &str) -> Option<Hash> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut out = [0; 32];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nothing_and_only_lower_case() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(parse_hex(empty), Some(sha256(&[])));
        assert_eq!(parse_hex(&empty.to_uppercase()), None);
        assert_eq!(parse_hex("00"), None);
    }
}
