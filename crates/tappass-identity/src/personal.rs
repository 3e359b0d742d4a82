//! Personal tokens: a person's right hand in scripts, for a time, with a role of its own that never exceeds theirs.

use std::time::Duration;

use tappass_model::Role;
use tappass_store::{KeyKind, PersonalToken};

use crate::{AccountError, ApiKey, AuthError, Authenticator, UserPrincipal};

/// The longest life of a personal token.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The longest name of one, in characters.
pub const MAX_TOKEN_NAME: usize = 100;

impl Authenticator {
    /// Makes a personal token in the organisation its person acts in. The token in clear is given here and never again.
    ///
    /// # Errors
    /// [`AccountError::AboveMaker`] for a role above the person's, [`AccountError::Token`] for a name or a life that
    /// cannot be, [`AccountError::NoOrg`] when they are no member of that organisation.
    pub async fn issue_token(
        &self,
        person: &UserPrincipal,
        name: &str,
        role: Role,
        life: Duration,
    ) -> Result<(PersonalToken, ApiKey), AccountError> {
        let name = name.trim();
        let chars = name.chars().count();
        if chars == 0 || chars > MAX_TOKEN_NAME || name.chars().any(char::is_control) {
            return Err(AccountError::Token(
                "`name` must have 1 to 100 characters, none of them a control character",
            ));
        }
        if life.is_zero() || life > MAX_TOKEN_LIFE {
            return Err(AccountError::Token("a personal token lasts 1 to 366 days"));
        }
        if role > person.role {
            return Err(AccountError::AboveMaker);
        }
        let (key, now) = (ApiKey::generate(KeyKind::Personal), self.clock.now());
        let token = PersonalToken {
            token_id: self.ids.uuid(),
            org_id: person.org_id,
            user_id: person.user_id,
            name: name.to_owned(),
            role,
            proof: person.proof,
            hint: key.hint(),
            created_at: now,
            expires_at: now.checked_add(life).unwrap_or(now),
            last_used_at: None,
            revoked_at: None,
        };
        let made = self.store.personal_tokens().create(&token, self.keys.hash(key.expose())).await?;
        if made { Ok((token, key)) } else { Err(AccountError::NoOrg) }
    }

    /// The person that a personal token acts for: as what the token says, or what the person is now, whichever is
    /// less. Looked up each time: a revocation and a change of role hold at once everywhere.
    pub(crate) async fn token_holder(&self, hash: &str) -> Result<UserPrincipal, AuthError> {
        let found = self.store.personal_tokens().find(hash).await?;
        let now = self.clock.now();
        let found = found.filter(|f| f.token.expires_at > now).ok_or(AuthError::Unknown)?;
        self.token_uses.lock().insert(found.token.token_id, now);
        Ok(UserPrincipal {
            user_id: found.token.user_id,
            org_id: found.token.org_id,
            role: found.token.role.min(found.role),
            email: found.email,
            session_id: found.token.token_id,
            by_token: true,
            factor_missing: found.factor_missing,
            proof: found.token.proof,
            address: None,
            expires_at: found.token.expires_at,
        })
    }
}
