//! Passwords: which are accepted (NIST SP 800-63B) and how they are kept (Argon2id, OWASP's parameters).

use std::sync::{Arc, OnceLock};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _},
};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// The shortest password, in characters.
pub const MIN_CHARS: usize = 10;
/// The longest password, in characters.
pub const MAX_CHARS: usize = 256;
/// Each hash takes 19 MiB and some 30 ms of one core: more at once would only starve the calls.
const AT_ONCE: usize = 2;

/// The commonest passwords of at least [`MIN_CHARS`] characters, and the obvious ones here. In lower case.
const COMMON: &[&str] = &[
    "0123456789",
    "0987654321",
    "1111111111",
    "123123123123",
    "1234512345",
    "12345678910",
    "123456789a",
    "1234567890",
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "abc1234567",
    "abcdefghij",
    "administrator",
    "adminadmin",
    "asdfghjkl;",
    "asdfghjkl1",
    "basketball",
    "changeme123",
    "changemenow",
    "iloveyou12",
    "letmein123",
    "mypassword",
    "passw0rd123",
    "password01",
    "password10",
    "password11",
    "password12",
    "password123",
    "password1234",
    "passwordpassword",
    "q1w2e3r4t5",
    "qazwsxedcrfv",
    "qwerty12345",
    "qwerty123456",
    "qwertyuiop",
    "qwertyuiop123",
    "qwertzuiop",
    "superman123",
    "tappass123",
    "tappasstappass",
    "welcome123",
    "zxcvbnm123",
];

/// Why a password is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer than [`MIN_CHARS`].
    #[error("the password is too short: at least {MIN_CHARS} characters")]
    Short,
    /// More than [`MAX_CHARS`].
    #[error("the password is too long: at most {MAX_CHARS} characters")]
    Long,
    /// Everybody tries it.
    #[error("this password is among the commonest ones, which are tried first: choose another")]
    Common,
    /// It is the address.
    #[error("the password must not be the e-mail address")]
    Email,
}

/// The machinery failed; it says nothing about the password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The hash cannot be made or read.
    #[error("the password hash failed: {0}")]
    Hash(String),
}

/// Whether a password may be chosen.
///
/// # Errors
/// [`WeakPassword`] says why not.
pub fn check(password: &str, email: &str) -> Result<(), WeakPassword> {
    let chars = password.chars().count();
    let folded = password.trim().to_lowercase();
    let email = email.trim().to_lowercase();
    let one_char = folded.chars().next().is_some_and(|first| folded.chars().all(|c| c == first));
    if chars < MIN_CHARS {
        Err(WeakPassword::Short)
    } else if chars > MAX_CHARS {
        Err(WeakPassword::Long)
    } else if folded == email || email.split('@').next() == Some(folded.as_str()) {
        Err(WeakPassword::Email)
    } else if one_char || COMMON.contains(&folded.as_str()) {
        Err(WeakPassword::Common)
    } else {
        Ok(())
    }
}

/// Makes and checks hashes, a few at a time, off the runtime's threads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Passwords {
    /// The hash of a password, a PHC string.
    ///
    /// # Errors
    /// [`PasswordError`] when it cannot be made.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let password = normal(password);
        self.run(move || hash_now(&password)).await
    }

    /// Whether a password is the one hashed. Without a hash (no such account) it takes as long and says no.
    ///
    /// # Errors
    /// [`PasswordError`] when the hash cannot be read.
    pub async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, PasswordError> {
        let password = normal(password);
        self.run(move || {
            let Some(hash) = hash else {
                verify_now(&password, dummy()?)?;
                return Ok(false);
            };
            verify_now(&password, &hash)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|e| PasswordError::Hash(e.to_string()))?;
        // The permit goes along: a caller who leaves does not end the work, and must not make room for more.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|e| PasswordError::Hash(e.to_string()))?
    }
}

/// One form for the same characters however a keyboard composes them, cut where no accepted password reaches.
fn normal(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.chars().take(2 * MAX_CHARS).nfkc().collect())
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    // OWASP's password storage cheat sheet: 19 MiB, two passes, one lane.
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|e| PasswordError::Hash(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_now(password: &str) -> Result<String, PasswordError> {
    let hash =
        argon2()?.hash_password(password.as_bytes()).map_err(|e| PasswordError::Hash(e.to_string()))?;
    Ok(hash.to_string())
}

fn verify_now(password: &str, hash: &str) -> Result<bool, PasswordError> {
    match argon2()?.verify_password(password.as_bytes(), hash) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(e) => Err(PasswordError::Hash(e.to_string())),
    }
}

/// A hash to check against when there is no account.
fn dummy() -> Result<&'static str, PasswordError> {
    static DUMMY: OnceLock<String> = OnceLock::new();
    if let Some(hash) = DUMMY.get() {
        return Ok(hash);
    }
    let hash = hash_now("no account has this password")?;
    Ok(DUMMY.get_or_init(|| hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules() {
        for (password, want) in [
            ("short", Err(WeakPassword::Short)),
            ("ünïcödé12", Err(WeakPassword::Short)),
            ("ünïcödé123", Ok(())),
            ("Password123", Err(WeakPassword::Common)),
            ("zzzzzzzzzzzz", Err(WeakPassword::Common)),
            ("Ann.Example@Example.org", Err(WeakPassword::Email)),
            ("ann.example", Err(WeakPassword::Email)),
            ("correct horse battery", Ok(())),
        ] {
            assert_eq!(check(password, "ann.example@example.org"), want, "{password}");
        }
        assert_eq!(check(&"ab".repeat(129), ""), Err(WeakPassword::Long));
        assert!(COMMON.iter().all(|p| p.len() >= MIN_CHARS && *p == p.to_lowercase()));
    }

    #[tokio::test]
    async fn a_hash_verifies_its_password_only() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse é").await.expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        // Composed and decomposed accents are one password.
        assert!(passwords.verify("correct horse e\u{301}", Some(hash.clone())).await.expect("an answer"));
        assert!(!passwords.verify("correct horse e", Some(hash)).await.expect("an answer"));
        assert!(!passwords.verify("no account has this password", None).await.expect("an answer"));
        assert!(passwords.verify("x", Some("nonsense".to_owned())).await.is_err());
    }
}
