//! Links that let people in: invitations into an organisation, and resets of a password. Each works once.

use std::{net::IpAddr, time::Duration};

use tappass_model::Role;
use tappass_store::{Credentials, Invitation, Joined, Member, PasswordReset, Proof, User, users::email_key};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    AccountError, Accounts, SignedIn, UserPrincipal,
    accounts::{is_email, name_of_account},
    passwords, tokens,
};

/// How long an invitation can be accepted.
pub const INVITATION_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a link to a new password works.
pub const RESET_LIFE: Duration = Duration::from_secs(60 * 60);
/// How many links to a new password a person may ask for in that time.
const RESETS: u32 = 3;
/// What an invitation's token begins with.
pub const INVITATION_PREFIX: &str = "tpi_";
/// What the token of a reset begins with.
pub const RESET_PREFIX: &str = "tpr_";

/// The token of a link. Shown or sent once, never printed by accident.
pub type LinkToken = Zeroizing<String>;

/// Who asks for something that concerns other people.
#[derive(Debug, Clone, Copy)]
pub struct Inviter<'a> {
    /// In words, for the list of invitations.
    pub name: &'a str,
    /// The person; `None` for the admin key.
    pub user_id: Option<Uuid>,
    /// What they may do: nobody gives more.
    pub role: Role,
}

impl Accounts {
    /// Invites an address into an organisation; an earlier invitation of it ends. `mailed`: the link will be sent to
    /// the address and shown to nobody else. `None` when there is no such organisation.
    ///
    /// # Errors
    /// [`AccountError::Email`], [`AccountError::AboveMaker`], [`AccountError::Member`].
    pub async fn invite(
        &self,
        org_id: Uuid,
        by: Inviter<'_>,
        email: &str,
        role: Role,
        mailed: bool,
    ) -> Result<Option<(Invitation, LinkToken)>, AccountError> {
        let email = email.trim();
        if !is_email(email) {
            return Err(AccountError::Email);
        }
        if role > by.role {
            return Err(AccountError::AboveMaker);
        }
        if let Some(known) = self.store.users().credentials(email).await?
            && self.store.users().get(org_id, known.user.user_id).await?.is_some()
        {
            return Err(AccountError::Member);
        }
        let now = self.clock.now();
        let new = Invitation {
            invitation_id: self.ids.uuid(),
            org_id,
            email: email.to_owned(),
            role,
            invited_by: by.name.to_owned(),
            inviter_id: by.user_id,
            mailed,
            created_at: now,
            expires_at: now.checked_add(INVITATION_LIFE).unwrap_or(now),
        };
        let token = tokens::generate(INVITATION_PREFIX);
        let made = self.store.invitations().create(&new, self.sessions.hash(&token)).await?;
        Ok(made.then_some((new, token)))
    }

    /// Accepts an invitation by its link and signs in. Without an account at its address, one is made with this
    /// password; with one, password and code are those of the login.
    ///
    /// # Errors
    /// [`AccountError::Link`] when the link does not (any more) let in; else those of signing up and of logging in.
    pub async fn accept(
        &self,
        token: &str,
        password: &str,
        code: Option<&str>,
        from: IpAddr,
    ) -> Result<SignedIn, AccountError> {
        let invitation = self.invitation(token).await?;
        if self.store.users().credentials(&invitation.email).await?.is_some() {
            let user = self.prove(&invitation.email, password, code, from).await?;
            return self.join(&invitation, user, Proof::Password, Some(from)).await;
        }
        passwords::check(password, &invitation.email)?;
        let password_hash = Some(self.passwords.hash(password).await?);
        let now = self.clock.now();
        let user = User { user_id: self.ids.uuid(), email: invitation.email.clone(), created_at: now };
        let new = Credentials { user, password_hash, email_verified: invitation.mailed };
        match self.store.invitations().accept_new(&invitation, &new, now).await.map_err(name_of_account)? {
            Joined::Gone => Err(AccountError::Link),
            Joined::Member | Joined::Already => {
                self.enter(new.user, invitation.org_id, Proof::Password, Some(from)).await
            }
        }
    }

    /// The address that an invitation is for; `None` where it does not let in.
    ///
    /// # Errors
    /// [`AccountError`] when the database fails.
    pub async fn invited(&self, token: &str) -> Result<Option<String>, AccountError> {
        match self.invitation(token).await {
            Ok(invitation) => Ok(Some(invitation.email)),
            Err(AccountError::Link) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Accepts an invitation for somebody who is signed in with its address.
    ///
    /// # Errors
    /// [`AccountError::Link`], also when the invitation is for another address.
    pub async fn accept_as(&self, person: &UserPrincipal, token: &str) -> Result<SignedIn, AccountError> {
        let invitation = self.invitation(token).await?;
        if email_key(&invitation.email) != email_key(&person.email) {
            return Err(AccountError::Link);
        }
        let user = self.account(person.user_id).await?.user;
        self.join(&invitation, user, person.proof, person.address).await
    }

    /// Accepts every invitation that is open for an address which an issuer (OpenID Connect) has verified as this
    /// person's; those accepted.
    ///
    /// # Errors
    /// [`AccountError`] when the database fails.
    pub async fn accept_verified(&self, user: &User) -> Result<Vec<Invitation>, AccountError> {
        let now = self.clock.now();
        let mut accepted = Vec::new();
        for invitation in self.store.invitations().of_address(&user.email, now).await? {
            if self.still_given(&invitation).await?
                && self.store.invitations().accept(&invitation, user.user_id, now).await? == Joined::Member
            {
                accepted.push(invitation);
            }
        }
        Ok(accepted)
    }

    /// Makes an account without a password for an address that an issuer has verified, by the open invitations for
    /// it; `None` where there is none, or where the address has an account already.
    ///
    /// # Errors
    /// [`AccountError`] when the database fails.
    pub async fn sign_up_invited(&self, email: &str) -> Result<Option<User>, AccountError> {
        let now = self.clock.now();
        for invitation in self.store.invitations().of_address(email, now).await? {
            if !self.still_given(&invitation).await? {
                continue;
            }
            let user = User { user_id: self.ids.uuid(), email: email.trim().to_owned(), created_at: now };
            let new = Credentials { user, password_hash: None, email_verified: true };
            match self.store.invitations().accept_new(&invitation, &new, now).await.map_err(name_of_account) {
                Ok(Joined::Member | Joined::Already) => return Ok(Some(new.user)),
                Ok(Joined::Gone) => {}
                Err(AccountError::Taken) => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// A link with which a member sets a new password; earlier ones end. `second_factor`: it removes that too.
    ///
    /// # Errors
    /// [`AccountError::AboveMaker`] for somebody of a higher role, [`AccountError::Elsewhere`] for somebody who
    /// belongs to other organisations too: their password is not one organisation's business. Mailed links are.
    pub async fn reset(
        &self,
        org_id: Uuid,
        by: Inviter<'_>,
        member: &Member,
        second_factor: bool,
        mailed: bool,
    ) -> Result<(PasswordReset, LinkToken), AccountError> {
        if member.role > by.role {
            return Err(AccountError::AboveMaker);
        }
        // Whoever runs the platform governs every organisation. By mail the link reaches the person only; but what
        // takes their second factor away is the decision of whoever asks.
        let bound = by.role < Role::PlatformAdmin && (!mailed || second_factor);
        if bound && self.store.users().orgs(member.user.user_id).await?.len() > 1 {
            return Err(AccountError::Elsewhere);
        }
        self.link(member.user.user_id, bound.then_some(org_id), second_factor, mailed).await
    }

    /// A link for whoever has forgotten the password of this address's account, to be mailed there and shown to
    /// nobody. `None` where there is no such account, where it has no password (its issuer opens it, and answers for a
    /// second factor that a password would go round), or where too many were asked for.
    ///
    /// # Errors
    /// [`AccountError`] when the database fails.
    pub async fn forgotten(
        &self,
        email: &str,
    ) -> Result<Option<(User, PasswordReset, LinkToken)>, AccountError> {
        let found = self.store.users().credentials(email.trim()).await?;
        let Some(user) = found.filter(|c| c.password_hash.is_some()).map(|c| c.user) else { return Ok(None) };
        let (attempts, what) = (self.store.attempts(), format!("forgotten:{}", user.user_id));
        let now = self.clock.now();
        if attempts.attempt(&self.hash_of(&what), RESETS, RESET_LIFE, now).await?.is_some() {
            return Ok(None);
        }
        let (reset, token) = self.link(user.user_id, None, false, true).await?;
        Ok(Some((user, reset, token)))
    }

    async fn link(
        &self,
        user_id: Uuid,
        org_id: Option<Uuid>,
        second_factor: bool,
        mailed: bool,
    ) -> Result<(PasswordReset, LinkToken), AccountError> {
        let now = self.clock.now();
        let new = PasswordReset {
            reset_id: self.ids.uuid(),
            user_id,
            org_id,
            second_factor,
            mailed,
            created_at: now,
            expires_at: now.checked_add(RESET_LIFE).unwrap_or(now),
        };
        let token = tokens::generate(RESET_PREFIX);
        if self.store.password_resets().create(&new, self.sessions.hash(&token)).await? {
            Ok((new, token))
        } else {
            Err(AccountError::Wrong)
        }
    }

    /// Sets a new password by a link: all sessions and personal tokens of the person end. Gives whose it is.
    ///
    /// # Errors
    /// [`AccountError::Link`], [`AccountError::Password`].
    pub async fn set_by_link(
        &self,
        token: &str,
        password: &str,
    ) -> Result<(User, PasswordReset), AccountError> {
        if !tokens::is_well_formed(RESET_PREFIX, token) {
            return Err(AccountError::Link);
        }
        let found = self.store.password_resets().find(&self.sessions.hash(token)).await?;
        let reset = found.filter(|r| r.expires_at > self.clock.now()).ok_or(AccountError::Link)?;
        let user = self.account(reset.user_id).await?.user;
        passwords::check(password, &user.email)?;
        let hash = self.passwords.hash(password).await?;
        if !self.store.password_resets().take(&reset, hash, self.clock.now()).await? {
            return Err(AccountError::Link);
        }
        Ok((user, reset))
    }

    /// An invitation that can be accepted now.
    async fn invitation(&self, token: &str) -> Result<Invitation, AccountError> {
        if !tokens::is_well_formed(INVITATION_PREFIX, token) {
            return Err(AccountError::Link);
        }
        let found = self.store.invitations().find(&self.sessions.hash(token)).await?;
        let found = found.filter(|i| i.expires_at > self.clock.now()).ok_or(AccountError::Link)?;
        if self.still_given(&found).await? { Ok(found) } else { Err(AccountError::Link) }
    }

    /// Whether whoever invited could still do so: an invitation does no more than its maker.
    async fn still_given(&self, invitation: &Invitation) -> Result<bool, AccountError> {
        let Some(inviter) = invitation.inviter_id else { return Ok(true) };
        let least = invitation.role.max(Role::OrgAdmin);
        if let Some(member) = self.store.users().get(invitation.org_id, inviter).await? {
            return Ok(member.role >= least);
        }
        // Who runs the platform need not be a member.
        let orgs = self.store.users().orgs(inviter).await?;
        Ok(orgs.iter().any(|(_, role)| *role == Role::PlatformAdmin))
    }

    async fn join(
        &self,
        invitation: &Invitation,
        user: User,
        proof: Proof,
        from: Option<IpAddr>,
    ) -> Result<SignedIn, AccountError> {
        match self.store.invitations().accept(invitation, user.user_id, self.clock.now()).await? {
            Joined::Gone => Err(AccountError::Link),
            Joined::Member | Joined::Already => self.enter(user, invitation.org_id, proof, from).await,
        }
    }
}
