//! A phone with an authenticator app: the codes of RFC 6238, from the secret as people type it.

use aws_lc_rs::hmac;
use jiff::Timestamp;

/// The six digits that the app shows at a time, for a secret in base32.
///
/// # Panics
/// When the secret is not base32 (RFC 4648, without padding).
#[must_use]
#[expect(clippy::expect_used, reason = "a helper of tests")]
pub fn code(secret: &str, at: Timestamp) -> String {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for c in secret.chars() {
        let value = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).expect("base32");
        held = held << 5 | u32::try_from(value).expect("below 32");
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 255).expect("a byte"));
        }
    }
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = hmac::sign(&key, &(at.as_second() / 30).to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[19] & 15);
    let number = tag[offset..offset + 4].iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}
