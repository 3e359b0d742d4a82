//! Second factors: enrolling, confirming, disabling, and the codes that show one has it.

use tappass_store::{SecondFactor, StoreError};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{AccountError, Accounts, UserPrincipal, tokens, totp::Secret};

/// How many recovery codes there are.
pub const RECOVERY_CODES: usize = 10;

/// A second factor that was begun: shown once, to be put into an authenticator app.
pub struct Enrolment {
    /// The secret in base32, to be typed.
    pub secret: Zeroizing<String>,
    /// The same as `otpauth://…`, to be shown as a QR code.
    pub uri: Zeroizing<String>,
}

impl Accounts {
    /// A person's second factor, if they have confirmed one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn second_factor(&self, user_id: Uuid) -> Result<Option<SecondFactor>, StoreError> {
        let found = self.store.second_factors().get(user_id).await?;
        Ok(found.filter(|factor| factor.confirmed_at.is_some()))
    }

    /// Begins a second factor. It protects nothing until [`Accounts::confirm_factor`]. Who has a password shows it: a
    /// session that was left open must not lock its person out.
    ///
    /// # Errors
    /// [`AccountError::Wrong`] for the password, [`AccountError::FactorExists`].
    pub async fn enrol_factor(
        &self,
        person: &UserPrincipal,
        password: Option<&str>,
    ) -> Result<Enrolment, AccountError> {
        self.show_password(person, password).await?;
        let secret = Secret::generate();
        let sealed = self.sealer.seal(&place(person.user_id), secret.bytes())?;
        if !self.store.second_factors().begin(person.user_id, sealed, self.clock.now()).await? {
            return Err(AccountError::FactorExists);
        }
        Ok(Enrolment { secret: secret.text(), uri: secret.uri(&person.email) })
    }

    /// Confirms a second factor with its first code; gives the recovery codes, once.
    ///
    /// # Errors
    /// [`AccountError::NoFactor`] when none waits, [`AccountError::WrongCode`], [`AccountError::Locked`].
    pub async fn confirm_factor(
        &self,
        person: &UserPrincipal,
        code: &str,
    ) -> Result<Vec<Zeroizing<String>>, AccountError> {
        let factor = self.store.second_factors().get(person.user_id).await?;
        let factor = factor.filter(|f| f.confirmed_at.is_none()).ok_or(AccountError::NoFactor)?;
        self.counted(&[Self::account_key(&person.email)], async {
            let step = self.secret(person.user_id, &factor)?.step_of(&digits(code), self.clock.now());
            let step = step.ok_or(AccountError::WrongCode)?;
            let (codes, hashes) = self.new_codes(person.user_id);
            let (factors, now) = (self.store.second_factors(), self.clock.now());
            let done = factors.confirm(person.user_id, &factor.sealed, step, &hashes, now).await?;
            if done { Ok(codes) } else { Err(AccountError::NoFactor) }
        })
        .await
    }

    /// Removes a second factor. Needs the password or a code.
    ///
    /// # Errors
    /// [`AccountError::NoFactor`], [`AccountError::Wrong`], [`AccountError::WrongCode`], [`AccountError::Locked`].
    pub async fn disable_factor(
        &self,
        person: &UserPrincipal,
        password: Option<&str>,
        code: Option<&str>,
    ) -> Result<(), AccountError> {
        if self.store.second_factors().get(person.user_id).await?.is_none() {
            return Err(AccountError::NoFactor);
        }
        self.show_either(person, password, code).await?;
        self.store.second_factors().remove(person.user_id).await?;
        Ok(())
    }

    /// Other recovery codes in the place of all there are, given once. Needs the password or a code.
    ///
    /// # Errors
    /// [`AccountError::NoFactor`], [`AccountError::Wrong`], [`AccountError::WrongCode`], [`AccountError::Locked`].
    pub async fn renew_codes(
        &self,
        person: &UserPrincipal,
        password: Option<&str>,
        code: Option<&str>,
    ) -> Result<Vec<Zeroizing<String>>, AccountError> {
        if self.second_factor(person.user_id).await?.is_none() {
            return Err(AccountError::NoFactor);
        }
        self.show_either(person, password, code).await?;
        let (codes, hashes) = self.new_codes(person.user_id);
        let done = self.store.second_factors().renew_codes(person.user_id, &hashes).await?;
        if done { Ok(codes) } else { Err(AccountError::NoFactor) }
    }

    /// New recovery codes, and how they are kept.
    fn new_codes(&self, user_id: Uuid) -> (Vec<Zeroizing<String>>, Vec<String>) {
        let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let hashes = codes.iter().map(|code| self.code_hash(user_id, code)).collect();
        (codes, hashes)
    }

    /// Has a person show a code of their second factor, or their password. What is wrong counts.
    async fn show_either(
        &self,
        person: &UserPrincipal,
        password: Option<&str>,
        code: Option<&str>,
    ) -> Result<(), AccountError> {
        self.counted(&[Self::account_key(&person.email)], async {
            match code {
                Some(code) => self.check_factor(person.user_id, Some(code)).await,
                None => self.check_password(person, password.ok_or(AccountError::Wrong)?).await,
            }
        })
        .await
    }

    /// Whether a person has shown their second factor, if they have one: by the app's code or by a recovery code, each
    /// of which is taken once. The caller counts what fails.
    pub(crate) async fn check_factor(&self, user_id: Uuid, code: Option<&str>) -> Result<(), AccountError> {
        let Some(factor) = self.second_factor(user_id).await? else { return Ok(()) };
        let code = code.ok_or(AccountError::CodeNeeded)?;
        let (factors, now) = (self.store.second_factors(), self.clock.now());
        let typed = digits(code);
        let taken = if typed.len() == 6 && typed.bytes().all(|b| b.is_ascii_digit()) {
            match self.secret(user_id, &factor)?.step_of(&typed, now) {
                Some(step) => factors.take_step(user_id, step).await?,
                None => false,
            }
        } else {
            factors.take_code(user_id, self.code_hash(user_id, code), now).await?
        };
        if taken { Ok(()) } else { Err(AccountError::WrongCode) }
    }

    fn secret(&self, user_id: Uuid, factor: &SecondFactor) -> Result<Secret, AccountError> {
        Ok(Secret::from_bytes(self.sealer.open(&place(user_id), &factor.sealed)?))
    }

    /// Under a key of the server and for this person: ten codes of fifty bits want no slow hash then.
    fn code_hash(&self, user_id: Uuid, code: &str) -> String {
        let code: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
        self.codes.hash(&format!("{user_id} {}", code.to_ascii_lowercase()))
    }
}

/// What a secret is sealed for.
fn place(user_id: Uuid) -> String {
    format!("second factor of {user_id}")
}

/// A code as it is computed with: apps show `123 456`.
fn digits(code: &str) -> String {
    code.chars().filter(|c| !c.is_whitespace()).collect()
}

/// `k7f3q-9x2mw`: fifty bits, without characters that look alike.
fn recovery_code() -> Zeroizing<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut bytes = Zeroizing::new([0; 10]);
    tokens::fill(bytes.as_mut());
    let mut code = Zeroizing::new(String::with_capacity(11));
    for (i, byte) in bytes.iter().enumerate() {
        if i == 5 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_codes_are_readable_and_never_the_same() {
        let codes: std::collections::BTreeSet<String> =
            (0..200).map(|_| recovery_code().to_string()).collect();
        assert_eq!(codes.len(), 200);
        assert!(codes.iter().all(|c| c.len() == 11 && &c[5..6] == "-" && !c.contains(['i', 'l', 'o', '1'])));
    }
}
