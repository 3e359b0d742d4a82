//! What is kept so that nobody reads it out of the database: AES-256-GCM with a key that follows from the vault key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Seals and opens. What is sealed for one place opens in no other.
#[derive(Debug)]
pub struct Sealer(RandomizedNonceKey);

/// What was sealed cannot be opened: it is not whole, belongs elsewhere, or was sealed under another vault key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is sealed cannot be opened with this vault key")]
pub struct SealError;

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, key).map(Self).map_err(|_| SealError)
    }

    /// Seals a text for `place`: a name that is said again when it is opened. Base64: nonce, ciphertext, tag.
    ///
    /// # Errors
    /// [`SealError`] when no randomness is to be had.
    pub fn seal(&self, place: &str, text: &[u8]) -> Result<String, SealError> {
        let mut sealed = text.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut sealed)
            .map_err(|_| SealError)?;
        let mut out = nonce.as_ref().to_vec();
        out.append(&mut sealed);
        Ok(STANDARD.encode(out))
    }

    /// The text that was sealed for `place`.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, place: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let mut bytes = STANDARD.decode(sealed).map_err(|_| SealError)?;
        if bytes.len() < NONCE_LEN {
            return Err(SealError);
        }
        let mut rest = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| SealError)?;
        let length =
            self.0.open_in_place(nonce, Aad::from(place.as_bytes()), &mut rest).map_err(|_| SealError)?.len();
        rest.truncate(length);
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_in_its_place_with_its_key_only() {
        let sealer = Sealer::new(&[7; 32]).expect("a key");
        let sealed = sealer.seal("here", b"Pay 5000 to Ghent").expect("seals");
        assert!(
            !sealed.contains("Ghent") && sealed != sealer.seal("here", b"Pay 5000 to Ghent").expect("seals")
        );
        assert_eq!(sealer.open("here", &sealed).expect("opens"), b"Pay 5000 to Ghent");
        assert_eq!(sealer.open("there", &sealed), Err(SealError));
        assert_eq!(Sealer::new(&[8; 32]).expect("a key").open("here", &sealed), Err(SealError));
        let mut bytes = STANDARD.decode(&sealed).expect("base64");
        bytes[20] ^= 1;
        let changed = STANDARD.encode(bytes);
        for broken in ["", "AAAA", "no base64!", &sealed[..20], &changed] {
            assert_eq!(sealer.open("here", broken), Err(SealError), "{broken}");
        }
    }
}
