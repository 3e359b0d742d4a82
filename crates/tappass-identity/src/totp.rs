//! Time-based one-time passwords (RFC 6238) as authenticator apps make them: SHA-1, six digits, thirty seconds.

use aws_lc_rs::hmac;
use jiff::Timestamp;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::tokens;

/// How long a code is valid, in seconds.
const STEP: i64 = 30;
const DIGITS: u32 = 6;
/// RFC 4226 recommends 160 bits.
const SECRET_BYTES: usize = 20;
/// How many steps a phone's clock may be off, either way.
const DRIFT: i64 = 1;
/// RFC 4648.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What the phone and the gateway share.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A new one.
    pub(crate) fn generate() -> Self {
        let mut bytes = Zeroizing::new(vec![0; SECRET_BYTES]);
        tokens::fill(&mut bytes);
        Self(bytes)
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As people type it into an app: base32 without padding.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 8 / 5 + 1));
        for five in self.0.chunks(5) {
            let mut word = [0; 8];
            word[3..3 + five.len()].copy_from_slice(five);
            let word = u64::from_be_bytes(word);
            let chars = (five.len() * 8).div_ceil(5);
            text.extend((0..chars).map(|i| char::from(BASE32[(word >> (35 - 5 * i) & 31) as usize])));
        }
        text
    }

    /// What a QR code of it says, as apps read it: <https://github.com/google/google-authenticator/wiki/Key-Uri-Format>.
    pub(crate) fn uri(&self, email: &str) -> Zeroizing<String> {
        let mut account = String::new();
        for byte in email.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                account.push(char::from(byte));
            } else {
                account.push_str(&format!("%{byte:02X}"));
            }
        }
        Zeroizing::new(format!(
            "otpauth://totp/TapPass:{account}?secret={}&issuer=TapPass&algorithm=SHA1&digits={DIGITS}&period={STEP}",
            self.text().as_str()
        ))
    }

    /// The time step whose code this is, among those around now; `None` when it is none of them. Compared in constant
    /// time.
    pub(crate) fn step_of(&self, code: &str, now: Timestamp) -> Option<i64> {
        let step = now.as_second().div_euclid(STEP);
        (step - DRIFT..=step + DRIFT).find(|step| self.code(*step).as_bytes().ct_eq(code.as_bytes()).into())
    }

    /// The code of a time step: RFC 4226, section 5.3.
    fn code(&self, step: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let at = usize::from(tag[tag.len() - 1] & 15);
        let mut four = [0; 4];
        four.copy_from_slice(&tag[at..at + 4]);
        let number = u32::from_be_bytes(four) & 0x7fff_ffff;
        format!("{:06}", number % 10_u32.pow(DIGITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn the_codes_of_the_rfc() {
        // RFC 6238, appendix B, for SHA-1: the last six of its eight digits.
        let secret = Secret::from_bytes(b"12345678901234567890".to_vec());
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret.code(second / STEP), code, "{second}");
            assert_eq!(secret.step_of(code, at(second)), Some(second / STEP));
        }
    }

    #[test]
    fn a_clock_may_be_one_step_off() {
        let secret = Secret::from_bytes(b"12345678901234567890".to_vec());
        let code = secret.code(100);
        for (second, found) in
            [(2969, false), (2970, true), (3000, true), (3059, true), (3060, false)].map(|(s, f)| (s, f))
        {
            let step = secret.step_of(&code, at(second));
            // Steps 99, 100 and 101 see the code of 100.
            assert_eq!(step, found.then_some(100), "{second}");
        }
        for wrong in ["", "00000", &code[..5], &format!("{code}0"), "ⅻⅻ"] {
            assert_eq!(secret.step_of(wrong, at(3000)), None, "{wrong}");
        }
    }

    #[test]
    fn base32_of_the_rfc() {
        for (bytes, text) in [
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(Secret::from_bytes(bytes.as_bytes().to_vec()).text().as_str(), text);
        }
    }

    #[test]
    fn an_app_reads_the_uri() {
        let secret = Secret::from_bytes(b"12345678901234567890".to_vec());
        assert_eq!(
            secret.uri("ann+x@ours.example").as_str(),
            "otpauth://totp/TapPass:ann%2Bx%40ours.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=TapPass\
             &algorithm=SHA1&digits=6&period=30"
        );
        assert_ne!(Secret::generate().bytes(), Secret::generate().bytes());
    }
}
