//! Random tokens with a prefix and a checksum, and the keyed hash under which they are stored.
//!
//! `<prefix><43 characters of base62: 256 bits><6 characters of base62: CRC-32 of all before>`. The checksum lets
//! secret scanners, and us before any look-up, tell a real token from a look-alike; it protects nothing.
//!
//! Sessions are opaque tokens too, not JWTs: what is looked up can be revoked at once.

use std::fmt;

use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// What the token of a person's session begins with.
pub const SESSION_PREFIX: &str = "tps_";

/// The token of a person's session. Shown once, never printed by accident.
pub struct SessionToken(Zeroizing<String>);

impl SessionToken {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(generate(SESSION_PREFIX))
    }

    /// The token itself, to be given to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

/// A fresh token.
pub(crate) fn generate(prefix: &str) -> Zeroizing<String> {
    let mut token = Zeroizing::new(String::with_capacity(prefix.len() + RANDOM_CHARS + CHECKSUM_CHARS));
    token.push_str(prefix);
    while token.len() < prefix.len() + RANDOM_CHARS {
        let mut bytes = Zeroizing::new([0_u8; 64]);
        fill(bytes.as_mut());
        let free = prefix.len() + RANDOM_CHARS - token.len();
        // 248 = 4 * 62: what is above would make some characters likelier.
        for byte in bytes.iter().filter(|b| **b < 248).take(free) {
            token.push(char::from(BASE62[usize::from(byte % 62)]));
        }
    }
    let sum = checksum(&token);
    token.push_str(&sum);
    token
}

/// Whether a token has this prefix, the right length, and the checksum of its text.
pub(crate) fn is_well_formed(prefix: &str, token: &str) -> bool {
    let Some(body) = token.strip_prefix(prefix) else { return false };
    if body.len() != RANDOM_CHARS + CHECKSUM_CHARS || !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let (text, sum) = token.split_at(token.len() - CHECKSUM_CHARS);
    checksum(text) == sum
}

/// Random bytes from the operating system's generator.
pub(crate) fn fill(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the operating system has randomness");
}

fn checksum(text: &str) -> String {
    let mut rest = crc32(text.as_bytes());
    let mut chars = [b'0'; CHECKSUM_CHARS];
    for c in chars.iter_mut().rev() {
        *c = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    chars.map(char::from).iter().collect()
}

/// CRC-32 of IEEE 802.3, as in gzip (RFC 1952).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    })
}

/// Hashes tokens under a key of the server, so that a stolen database tells nothing about them.
pub(crate) struct TokenHasher(hmac::Key);

impl TokenHasher {
    pub(crate) fn new(pepper: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, pepper))
    }

    /// HMAC-SHA-256 of the token.
    pub(crate) fn digest(&self, token: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.0, token.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        digest
    }

    /// The same in hex: how it is stored. Looking it up by equality leaks nothing of use, because nobody without
    /// the key can choose hashes that come near a stored one.
    pub(crate) fn hash(&self, token: &str) -> String {
        hex::encode(self.digest(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_token_is_well_formed_and_a_changed_one_is_not() {
        let token = generate("tp_");
        assert_eq!(token.len(), 3 + 43 + 6);
        assert!(is_well_formed("tp_", &token));
        for i in 3..token.len() {
            let mut other = token.as_bytes().to_vec();
            other[i] = if other[i] == b'x' { b'y' } else { b'x' };
            assert!(!is_well_formed("tp_", std::str::from_utf8(&other).expect("text")), "{i}");
        }
        for wrong in ["", "tp_", "tp_é", &token[1..], &format!("{}é", &token[..token.len() - 2])] {
            assert!(!is_well_formed("tp_", wrong), "{wrong}");
        }
    }

    #[test]
    fn tokens_use_the_whole_alphabet_and_never_repeat() {
        let tokens: Vec<_> = (0..200).map(|_| generate("")).collect();
        let chars: std::collections::BTreeSet<char> = tokens.iter().flat_map(|t| t[..43].chars()).collect();
        assert_eq!(chars.len(), 62);
        let all: std::collections::BTreeSet<&str> = tokens.iter().map(|t| t.as_str()).collect();
        assert_eq!(all.len(), tokens.len());
    }

    #[test]
    fn the_hash_depends_on_the_pepper() {
        let (a, b) = (TokenHasher::new(&[1; 32]), TokenHasher::new(&[2; 32]));
        assert_eq!(a.hash("t"), a.hash("t"));
        assert_ne!(a.hash("t"), b.hash("t"));
        assert_ne!(a.hash("t"), a.hash("u"));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SessionToken::generate()), "SessionToken(…)");
    }
}
