//! From another issuer's word to a session of ours. The rules, in this order:
//!
//! 1. Whom the issuer means (issuer and subject) is bound to an account: that account, whatever its address is now.
//! 2. Else the issuer must speak for the address's domain, and have verified the address. Then the account of that
//!    address, if there is one. If nobody had shown that the address is theirs, its password and all that it opened end,
//!    because whoever made it may be somebody else.
//! 3. Else a new account: by the invitations for the address, in the organisation that people of the domain join, or
//!    with an organisation of its own if that was asked for. Otherwise none.
//!
//! What rules 2 and 3 find is bound, so that rule 1 finds it the next time.

use std::{net::IpAddr, time::Duration};

use tappass_model::Role;
use tappass_store::{Credentials, LinkedIdentity, User};
use uuid::Uuid;

use crate::{
    AccountError, Accounts, SignedIn, UserPrincipal,
    accounts::{is_email, name_of_account},
    oidc::Identity,
};

/// How long a token that came from a client, or the state of a flow, is remembered as used. Longer than either lives.
const REMEMBERED: Duration = Duration::from_secs(30 * 60);

/// How somebody got in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As the last time.
    Known,
    /// Into the account of their address.
    Linked,
    /// By an account made for them, into which they were invited.
    Invited,
    /// By an account made for them, in the organisation that people of their domain join.
    Joined,
    /// By an account made for them, with an organisation of its own.
    Founded,
}

/// Somebody an issuer vouches for, and what the operator and they themselves want.
#[derive(Debug, Clone, Copy)]
pub struct Vouched<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// Whether the issuer speaks for the domain of their address, and has verified the address.
    pub spoken_for: bool,
    /// The organisation that people of their domain join.
    pub join: Option<Uuid>,
    /// The organisation to make for them if they have no account.
    pub org_name: Option<&'a str>,
    /// The network address they come from.
    pub from: Option<IpAddr>,
}

impl Accounts {
    /// Signs in whom an issuer vouches for.
    ///
    /// # Errors
    /// [`AccountError::NotVouched`], [`AccountError::NoAccount`], [`AccountError::NoOrg`], or those of signing up.
    pub async fn enter_vouched(&self, who: Vouched<'_>) -> Result<(SignedIn, Way), AccountError> {
        let Identity { issuer, subject, email, .. } = who.identity;
        if let Some(known) = self.store.identities().used(issuer, subject, self.clock.now()).await? {
            return Ok((self.sign_in_as(known.user_id, None, who.from).await?, Way::Known));
        }
        if !who.spoken_for || !is_email(email) {
            return Err(AccountError::NotVouched);
        }
        if let Some(user) = self.verified(email).await? {
            self.bind(who.identity, user.user_id).await?;
            self.accept_verified(&user).await?;
            if let Some(org_id) = who.join {
                self.store.users().join(org_id, user.user_id, Role::Member, self.clock.now()).await?;
            }
            return Ok((self.sign_in_as(user.user_id, who.join, who.from).await?, Way::Linked));
        }
        if let Some(user) = self.sign_up_invited(email).await? {
            self.bind(who.identity, user.user_id).await?;
            self.accept_verified(&user).await?;
            return Ok((self.sign_in_as(user.user_id, None, who.from).await?, Way::Invited));
        }
        if let Some(org_id) = who.join {
            let user = User { user_id: self.ids.uuid(), email: email.clone(), created_at: self.clock.now() };
            let new = Credentials { user, password_hash: None, email_verified: true };
            if !self.store.users().create(org_id, &new, Role::Member).await.map_err(name_of_account)? {
                return Err(AccountError::NoOrg);
            }
            self.bind(who.identity, new.user.user_id).await?;
            return Ok((self.sign_in_as(new.user.user_id, Some(org_id), who.from).await?, Way::Joined));
        }
        let Some(org_name) = who.org_name else { return Err(AccountError::NoAccount) };
        let founded = self.sign_up_verified(email, org_name, who.from).await?;
        self.bind(who.identity, founded.user.user_id).await?;
        Ok((founded, Way::Founded))
    }

    /// Binds whom an issuer vouches for to somebody who is signed in: from now on either opens the account. `false`
    /// when they are bound already.
    ///
    /// # Errors
    /// [`tappass_store::StoreError::Conflict`] when the identity is another account's.
    pub async fn link_vouched(
        &self,
        identity: &Identity,
        person: &UserPrincipal,
    ) -> Result<bool, AccountError> {
        let now = self.clock.now();
        match self.store.identities().used(&identity.issuer, &identity.subject, now).await? {
            Some(bound) if bound.user_id == person.user_id => Ok(false),
            _ => self.bind(identity, person.user_id).await.map(|()| true),
        }
    }

    /// Takes what may be used once: a state, a token. A second time it is refused, on whichever replica.
    ///
    /// # Errors
    /// [`AccountError::Used`]
    pub async fn once(&self, what: &str) -> Result<(), AccountError> {
        let (attempts, now) = (self.store.attempts(), self.clock.now());
        let first = attempts.first_use(&self.used_key(what), REMEMBERED, now).await?;
        first.then_some(()).ok_or(AccountError::Used)
    }

    /// Takes [`Accounts::once`] back: nothing came of it.
    ///
    /// # Errors
    /// [`AccountError::Store`]
    pub async fn not_used(&self, what: &str) -> Result<(), AccountError> {
        Ok(self.store.attempts().clear(&self.used_key(what)).await?)
    }

    fn used_key(&self, what: &str) -> String {
        format!("sso:once:{}", self.hash_of(what))
    }

    async fn bind(&self, identity: &Identity, user_id: Uuid) -> Result<(), AccountError> {
        let now = self.clock.now();
        let new = LinkedIdentity {
            identity_id: self.ids.uuid(),
            user_id,
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            email: identity.email.clone(),
            created_at: now,
            last_used_at: now,
        };
        if self.store.identities().bind(&new).await? { Ok(()) } else { Err(AccountError::NoAccount) }
    }
}
