//! Accounts of people: signing up, logging in and out.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use tappass_model::{Clock, Ids, Role};
use tappass_store::{Credentials, Org, Proof, Store, StoreError, User, UserSession, users::email_key};
use uuid::Uuid;

use crate::{
    PasswordError, Passwords, SealError, Sealer, ServerSecrets, SessionToken, UserPrincipal, WeakPassword,
    passwords, tokens::TokenHasher,
};

/// How long a session lasts.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// How many wrong passwords lock, for an account and for an address of the network.
pub const MAX_FAILURES: u32 = 5;
/// For how long.
pub const LOCK: Duration = Duration::from_secs(15 * 60);
/// The longest name of an organisation, in characters.
pub const MAX_ORG_NAME: usize = 100;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not an address.
    #[error("`email` is not an e-mail address")]
    Email,
    /// No name for an organisation.
    #[error("`org_name` must have 1 to {MAX_ORG_NAME} characters, none of them a control character")]
    OrgName,
    /// The password may not be chosen.
    #[error(transparent)]
    Password(#[from] WeakPassword),
    /// The address has an account.
    #[error("an account with this e-mail address already exists; log in instead")]
    Taken,
    /// The address or the password is wrong; which is not told.
    #[error("the e-mail address or the password is wrong")]
    Wrong,
    /// Too many tries. The same whether there is such an account or not.
    #[error("too many failed logins; try again in {} minutes", .retry_after.as_secs().div_ceil(60))]
    Locked {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The password is right; the second factor's code is not there.
    #[error("a second factor is needed: send the app's code, or a recovery code, as `code`")]
    CodeNeeded,
    /// The code is none of now, or it has been used.
    #[error("the code is wrong, too old, or has been used; wait for the app's next one")]
    WrongCode,
    /// There is no second factor.
    #[error("there is no second factor to do that with")]
    NoFactor,
    /// There is a second factor.
    #[error("there is a second factor already; disable it first")]
    FactorExists,
    /// A role above that of whoever gives it, or acts on its holder.
    #[error("that is above your own role")]
    AboveMaker,
    /// Who is invited is in.
    #[error("they are a member already")]
    Member,
    /// They belong to other organisations too.
    #[error(
        "they belong to other organisations too, so one organisation's admin cannot open their account; \
         the platform's administrator can"
    )]
    Elsewhere,
    /// A link that does not let in.
    #[error("the link is unknown, has expired or has been used; ask for a new one")]
    Link,
    /// A personal token with this name or life cannot be.
    #[error("{0}")]
    Token(&'static str),
    /// The account belongs to no organisation any more.
    #[error("the account belongs to no organisation; ask an administrator for an invitation")]
    NoOrg,
    /// An issuer vouched for somebody whom it does not speak for.
    #[error(
        "nobody here is known by that sign-in, and its word does not count for that address: the address must be \
         verified, and of a domain that the issuer speaks for"
    )]
    NotVouched,
    /// An issuer vouched for somebody who has no account, and nothing makes one.
    #[error("there is no account for that address; ask an administrator for an invitation")]
    NoAccount,
    /// What an issuer gave was used before.
    #[error("that sign-in has been used; begin again")]
    Used,
    /// What is sealed cannot be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The hash failed.
    #[error(transparent)]
    Hash(#[from] PasswordError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A person who has just signed up or logged in.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// Where they act.
    pub org: Org,
    /// As what.
    pub role: Role,
    /// Their session.
    pub session: UserSession,
    /// Its token: shown once, works as a bearer.
    pub token: SessionToken,
}

/// The accounts. One per process; share it in an `Arc`.
pub struct Accounts {
    pub(crate) store: Store,
    pub(crate) passwords: Passwords,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    /// Of sessions and of links.
    pub(crate) sessions: TokenHasher,
    /// Of recovery codes.
    pub(crate) codes: TokenHasher,
    /// Of second factors' secrets.
    pub(crate) sealer: Sealer,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts")
    }
}

impl Accounts {
    /// Over a store, with the server's secrets.
    ///
    /// # Errors
    /// [`SealError`] when the vault key is not taken.
    pub fn new(
        store: Store,
        secrets: &ServerSecrets,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self, SealError> {
        Ok(Self {
            store,
            passwords: Passwords::default(),
            clock,
            ids,
            sessions: TokenHasher::new(&secrets.session_pepper()),
            codes: TokenHasher::new(&secrets.recovery_pepper()),
            sealer: secrets.second_factor_sealer()?,
        })
    }

    /// Makes an account, an organisation with it as administrator, and a session. `from` is the network address of
    /// whoever does it, as the list of sessions shows it.
    ///
    /// # Errors
    /// [`AccountError`] says what is wrong with what was given.
    pub async fn sign_up(
        &self,
        email: &str,
        password: &str,
        org_name: &str,
        from: Option<IpAddr>,
    ) -> Result<SignedIn, AccountError> {
        let email = email.trim();
        if !is_email(email) {
            return Err(AccountError::Email);
        }
        let org_name = org_name_of(org_name)?;
        passwords::check(password, email)?;
        let hash = self.passwords.hash(password).await?;
        self.begin(email, Some(hash), org_name, from).await
    }

    /// As [`Accounts::sign_up`], for an address that an issuer (OpenID Connect) has verified: without a password.
    ///
    /// # Errors
    /// [`AccountError`] says what is wrong with what was given.
    pub async fn sign_up_verified(
        &self,
        email: &str,
        org_name: &str,
        from: Option<IpAddr>,
    ) -> Result<SignedIn, AccountError> {
        let email = email.trim();
        if !is_email(email) {
            return Err(AccountError::Email);
        }
        self.begin(email, None, org_name_of(org_name)?, from).await
    }

    /// Adds the account and its organisation. Without a password the address has been verified.
    async fn begin(
        &self,
        email: &str,
        password_hash: Option<String>,
        org_name: &str,
        from: Option<IpAddr>,
    ) -> Result<SignedIn, AccountError> {
        let now = self.clock.now();
        let user = User { user_id: self.ids.uuid(), email: email.to_owned(), created_at: now };
        let org = Org { org_id: self.ids.uuid(), name: org_name.to_owned(), created_at: now };
        let email_verified = password_hash.is_none();
        let new = Credentials { user, password_hash, email_verified };
        self.store.users().sign_up(&org, &new, Role::OrgAdmin).await.map_err(name_of_account)?;
        let proof = if email_verified { Proof::Issuer } else { Proof::Password };
        self.open_session(new.user, org, Role::OrgAdmin, proof, from).await
    }

    /// The account of an address that an issuer has verified; `None` where there is none. If nobody had shown that the
    /// address is theirs, whoever made the account may be someone else: its password, second factor, sessions and
    /// personal tokens end.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn verified(&self, email: &str) -> Result<Option<User>, StoreError> {
        let users = self.store.users();
        let Some(found) = users.credentials(email).await? else { return Ok(None) };
        if !found.email_verified {
            users.verify_email(found.user.user_id, self.clock.now()).await?;
        }
        Ok(Some(found.user))
    }

    /// Begins a session for somebody whom an issuer has proven, in `org_id` or else their oldest organisation. Neither
    /// password nor second factor is asked for: the issuer answers for both.
    ///
    /// # Errors
    /// [`AccountError::Wrong`] where there is no such account, [`AccountError::NoOrg`] where it is no member.
    pub async fn sign_in_as(
        &self,
        user_id: Uuid,
        org_id: Option<Uuid>,
        from: Option<IpAddr>,
    ) -> Result<SignedIn, AccountError> {
        let user = self.account(user_id).await?.user;
        let mut orgs = self.store.users().orgs(user_id).await?.into_iter();
        let (org, role) = orgs
            .find(|(org, _)| org_id.is_none_or(|wanted| wanted == org.org_id))
            .ok_or(AccountError::NoOrg)?;
        self.open_session(user, org, role, Proof::Issuer, from).await
    }

    /// Begins a session in the person's oldest organisation. After [`MAX_FAILURES`] wrong passwords or codes for an
    /// account, or from a network address, both wait for [`LOCK`].
    ///
    /// # Errors
    /// [`AccountError::Wrong`] whichever of the two was wrong, [`AccountError::CodeNeeded`] when both are right and
    /// the person has a second factor, [`AccountError::Locked`] after too many tries.
    pub async fn log_in(
        &self,
        email: &str,
        password: &str,
        code: Option<&str>,
        ip: IpAddr,
    ) -> Result<SignedIn, AccountError> {
        let user = self.prove(email, password, code, ip).await?;
        let orgs = self.store.users().orgs(user.user_id).await?;
        let (org, role) = orgs.into_iter().next().ok_or(AccountError::NoOrg)?;
        self.open_session(user, org, role, Proof::Password, Some(ip)).await
    }

    /// Whose address and password these are, and the code where there is a second factor.
    pub(crate) async fn prove(
        &self,
        email: &str,
        password: &str,
        code: Option<&str>,
        ip: IpAddr,
    ) -> Result<User, AccountError> {
        // The network address last: a success starts the account afresh, but not the address. Else who has one
        // account could try passwords of others without end.
        let keys = [Self::account_key(email), format!("login:from:{}", network(ip))];
        self.counted(&keys, async {
            let user = self.check(email, password).await?;
            self.check_factor(user.user_id, code).await?;
            Ok(user)
        })
        .await
    }

    /// What an account's failures are counted under.
    pub(crate) fn account_key(email: &str) -> String {
        format!("login:account:{}", email_key(email))
    }

    /// Runs a check that somebody might try again and again; what is wrong counts against all keys, before it is known,
    /// so that many at once cannot outrun the count, on whichever replicas. A success clears the first key.
    pub(crate) async fn counted<T>(
        &self,
        keys: &[String],
        check: impl Future<Output = Result<T, AccountError>>,
    ) -> Result<T, AccountError> {
        let attempts = self.store.attempts();
        for key in keys.iter().rev() {
            let now = self.clock.now();
            let locked = attempts.attempt(&self.hash_of(key), MAX_FAILURES, LOCK, now).await?;
            if let Some(retry_after) = locked {
                return Err(AccountError::Locked { retry_after });
            }
        }
        let checked = check.await;
        if matches!(checked, Err(AccountError::Wrong | AccountError::WrongCode)) {
            return checked;
        }
        // Neither a success nor a failure of ours counts.
        for (i, key) in keys.iter().enumerate() {
            if i == 0 && checked.is_ok() {
                attempts.clear(&self.hash_of(key)).await?;
            } else {
                attempts.forgive(&self.hash_of(key)).await?;
            }
        }
        checked
    }

    async fn check(&self, email: &str, password: &str) -> Result<User, AccountError> {
        let found = self.store.users().credentials(email).await?;
        let hash = found.as_ref().and_then(|c| c.password_hash.clone());
        let right = self.passwords.verify(password, hash).await?;
        found.filter(|_| right).map(|c| c.user).ok_or(AccountError::Wrong)
    }

    /// Whether a password is this person's own. The caller counts what fails.
    pub(crate) async fn check_password(
        &self,
        person: &UserPrincipal,
        password: &str,
    ) -> Result<(), AccountError> {
        let hash = self.account(person.user_id).await?.password_hash;
        let right = self.passwords.verify(password, hash).await?;
        if right { Ok(()) } else { Err(AccountError::Wrong) }
    }

    /// Has a person show their password again, if they have one. What is wrong counts.
    pub(crate) async fn show_password(
        &self,
        person: &UserPrincipal,
        password: Option<&str>,
    ) -> Result<(), AccountError> {
        if self.account(person.user_id).await?.password_hash.is_none() {
            return Ok(());
        }
        self.counted(&[Self::account_key(&person.email)], async {
            self.check_password(person, password.ok_or(AccountError::Wrong)?).await
        })
        .await
    }

    /// An account by its identity.
    pub(crate) async fn account(&self, user_id: Uuid) -> Result<Credentials, AccountError> {
        self.store.users().account(user_id).await?.ok_or(AccountError::Wrong)
    }

    /// Sets a person's own password; their other sessions end, everywhere. Who has one shows it first.
    ///
    /// # Errors
    /// [`AccountError::Wrong`] for the current one, [`AccountError::Password`] for the new.
    pub async fn change_password(
        &self,
        person: &UserPrincipal,
        current: Option<&str>,
        new: &str,
    ) -> Result<(), AccountError> {
        passwords::check(new, &person.email)?;
        self.show_password(person, current).await?;
        let hash = self.passwords.hash(new).await?;
        let (now, keep) = (self.clock.now(), Some(person.session_id));
        self.store.users().set_password(person.user_id, hash, keep, now).await?;
        Ok(())
    }

    /// Makes another organisation for somebody who has an account; they govern it.
    ///
    /// # Errors
    /// [`AccountError::OrgName`]
    pub async fn found(&self, person: &UserPrincipal, name: &str) -> Result<Org, AccountError> {
        let org = Org {
            org_id: self.ids.uuid(),
            name: org_name_of(name)?.to_owned(),
            created_at: self.clock.now(),
        };
        let made = self.store.users().found(&org, person.user_id, Role::OrgAdmin).await?;
        if made { Ok(org) } else { Err(AccountError::Wrong) }
    }

    /// Whether an organisation may be called that; without the blanks around it.
    ///
    /// # Errors
    /// [`AccountError::OrgName`]
    pub fn org_name(name: &str) -> Result<&str, AccountError> {
        org_name_of(name)
    }

    /// Ends the session a person uses; `false` when it had ended.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn log_out(&self, person: &UserPrincipal) -> Result<bool, StoreError> {
        self.store.users().revoke_own_session(person.user_id, person.session_id, self.clock.now()).await
    }

    /// Replaces the session a person uses by one in the same or another of their organisations: refreshing and
    /// switching. The old one ends. `None` when they do not belong to that organisation.
    ///
    /// # Errors
    /// [`AccountError`] when the database fails.
    pub async fn renew(
        &self,
        person: &UserPrincipal,
        org_id: Uuid,
    ) -> Result<Option<SignedIn>, AccountError> {
        let users = self.store.users();
        let Some(member) = users.get(org_id, person.user_id).await? else { return Ok(None) };
        let Some(org) = self.store.orgs().get(org_id).await? else { return Ok(None) };
        let signed_in =
            self.open_session(member.user, org, member.role, person.proof, person.address).await?;
        self.log_out(person).await?;
        Ok(Some(signed_in))
    }

    /// Begins a session in one organisation, as whatever the person is there.
    pub(crate) async fn enter(
        &self,
        user: User,
        org_id: Uuid,
        proof: Proof,
        from: Option<IpAddr>,
    ) -> Result<SignedIn, AccountError> {
        let orgs = self.store.users().orgs(user.user_id).await?;
        let found = orgs.into_iter().find(|(org, _)| org.org_id == org_id);
        let (org, role) = found.ok_or(AccountError::NoOrg)?;
        self.open_session(user, org, role, proof, from).await
    }

    async fn open_session(
        &self,
        user: User,
        org: Org,
        role: Role,
        proof: Proof,
        address: Option<IpAddr>,
    ) -> Result<SignedIn, AccountError> {
        let now = self.clock.now();
        let session = UserSession {
            session_id: self.ids.uuid(),
            org_id: org.org_id,
            user_id: user.user_id,
            proof,
            address,
            created_at: now,
            expires_at: now.checked_add(SESSION_LIFE).unwrap_or(now),
        };
        let token = SessionToken::generate();
        if !self.store.users().open_session(&session, self.sessions.hash(token.expose())).await? {
            return Err(AccountError::NoOrg);
        }
        Ok(SignedIn { user, org, role, session, token })
    }

    /// The keyed hash of something that must not be kept as it is.
    pub(crate) fn hash_of(&self, text: &str) -> String {
        self.sessions.hash(text)
    }
}

/// An address that is taken is told in the words of an account.
pub(crate) fn name_of_account(e: StoreError) -> AccountError {
    match e {
        StoreError::Conflict(_) => AccountError::Taken,
        other => AccountError::Store(other),
    }
}

/// A name for an organisation, without blanks around it.
fn org_name_of(name: &str) -> Result<&str, AccountError> {
    let name = name.trim();
    let chars = name.chars().count();
    if chars == 0 || chars > MAX_ORG_NAME || name.chars().any(char::is_control) {
        return Err(AccountError::OrgName);
    }
    Ok(name)
}

/// The shape of an address: one `@`, something before, a dotted name or `localhost` after, no blanks. Whether it
/// exists only a letter to it can tell.
pub(crate) fn is_email(email: &str) -> bool {
    let Some((local, domain)) = email.split_once('@') else { return false };
    let clean = email.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let dotted = domain.split('.').all(|label| !label.is_empty()) && domain.contains('.');
    email.len() <= 254
        && clean
        && !local.is_empty()
        && !domain.contains('@')
        && (dotted || domain == "localhost")
}

/// What counts as one address of the network: an IPv4 address, or an IPv6 /64, which one customer has whole.
fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["a@b.example", "a.b+c@d.e.example", "ü@ünï.example", "root@localhost"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "@b.example", "a@", "a@b", "a@b..c", "a b@c.example", "a@b@c.example", "a@.c"] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let net = |s: &str| network(s.parse().expect("an address"));
        assert_eq!(net("2001:db8:1:2::1"), net("2001:db8:1:2:ffff::9"));
        assert_ne!(net("2001:db8:1:2::1"), net("2001:db8:1:3::1"));
        assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.1"));
    }
}
