//! Tells who a bearer token belongs to, and holds everything that changes the answer.

use std::{collections::HashMap, fmt, net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use moka::sync::Cache;
use parking_lot::Mutex;
use spiffe::SpiffeId;
use subtle::ConstantTimeEq as _;
use tappass_model::{AgentCaller, AgentCredential, Clock, Ids, Role};
use tappass_store::{Agent, AgentKey, AgentStatus, KeyKind, Proof, Store, StoreError};
use uuid::Uuid;

use crate::{
    ServerSecrets,
    keys::{ApiKey, kind_of},
    svid::Svids,
    tokens::{self, SESSION_PREFIX, TokenHasher},
};

/// How long another replica's revocation or suspension may go unnoticed here.
const CACHE_LIFE: Duration = Duration::from_secs(1);
const CACHE_KEYS: u64 = 10_000;

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Never given, revoked or expired: which of them is not told.
    #[error("the key or token is unknown, revoked or expired")]
    Unknown,
    /// Its agent may not call for now.
    #[error("the agent is suspended")]
    Suspended,
    /// It could not be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A person that has shown who they are, in one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPrincipal {
    /// Who.
    pub user_id: Uuid,
    /// Where they act.
    pub org_id: Uuid,
    /// As what.
    pub role: Role,
    /// Their address.
    pub email: String,
    /// The session they use, or the personal token.
    pub session_id: Uuid,
    /// Whether it is a personal token: it acts for its person, but does not manage their account.
    pub by_token: bool,
    /// Whether the organisation wants a second factor that they have not set up yet.
    pub factor_missing: bool,
    /// What it stands on.
    pub proof: Proof,
    /// From where they logged in, where it is known.
    pub address: Option<IpAddr>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Whoever a token belongs to.
#[derive(Debug, Clone)]
pub enum Principal {
    /// The platform's administrator, by the admin key.
    Admin,
    /// A person, by a session or a personal token.
    Person(UserPrincipal),
    /// An agent, by a key or an SVID.
    Agent(Arc<AgentCaller>),
}

/// Answers who calls. One per process; share it in an `Arc`.
pub struct Authenticator {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) keys: TokenHasher,
    sessions: TokenHasher,
    /// The hash of the admin key: equal lengths, so the comparison tells nothing.
    admin: [u8; 32],
    /// Agents by the hash of the key they use.
    cache: Cache<[u8; 32], Held>,
    svids: Option<Arc<Svids>>,
    /// Agents by the SVID they use.
    by_svid: Cache<AgentCredential, Arc<AgentCaller>>,
    /// Counts the changes made here: an answer read before one must not be cached after it.
    changes: Mutex<u64>,
    uses: Mutex<HashMap<Uuid, Timestamp>>,
    /// The same of personal tokens.
    pub(crate) token_uses: Mutex<HashMap<Uuid, Timestamp>>,
}

/// What is remembered of a key.
#[derive(Clone)]
struct Held {
    caller: Arc<AgentCaller>,
    /// When the key ends by itself: to the second, whatever is remembered.
    until: Option<Timestamp>,
}

impl Held {
    fn lasts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// What a new key is.
#[derive(Debug, Clone, Default)]
pub struct KeyTerms {
    /// The developer a developer's key is bound to, by their address; without, it is the agent's own.
    pub email: Option<String>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Who makes it, in words.
    pub created_by: Option<String>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator")
    }
}

impl Authenticator {
    /// Over a store, with the server's secrets.
    #[must_use]
    pub fn new(store: Store, secrets: &ServerSecrets, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let keys = TokenHasher::new(&secrets.key_pepper());
        Self {
            admin: keys.digest(secrets.admin_api_key()),
            keys,
            sessions: TokenHasher::new(&secrets.session_pepper()),
            cache: Cache::builder().max_capacity(CACHE_KEYS).time_to_live(CACHE_LIFE).build(),
            svids: None,
            by_svid: Cache::builder().max_capacity(CACHE_KEYS).time_to_live(CACHE_LIFE).build(),
            changes: Mutex::new(0),
            uses: Mutex::new(HashMap::new()),
            token_uses: Mutex::new(HashMap::new()),
            store,
            clock,
            ids,
        }
    }

    /// The same, and it accepts SVIDs.
    #[must_use]
    pub fn with_svids(mut self, svids: Arc<Svids>) -> Self {
        self.svids = Some(svids);
        self
    }

    /// Whoever the token belongs to: the administrator, a person or an agent. Its look says which kind of token it
    /// is; as another kind it is not tried.
    ///
    /// # Errors
    /// [`AuthError`]; nothing falls through to somebody else.
    pub async fn identify(&self, token: &str) -> Result<Principal, AuthError> {
        let digest = self.keys.digest(token);
        if digest.ct_eq(&self.admin).into() {
            Ok(Principal::Admin)
        } else if is_jwt(token) {
            let svid =
                self.svids.as_ref().and_then(|svids| svids.verify_token(token)).ok_or(AuthError::Unknown)?;
            let credential = AgentCredential::JwtSvid { spiffe_id: svid.to_string() };
            self.agent_of(&svid, credential).await.map(Principal::Agent)
        } else if token.starts_with(SESSION_PREFIX) {
            self.person(token).await.map(Principal::Person)
        } else if kind_of(token) == Some(KeyKind::Personal) {
            self.token_holder(&hex::encode(digest)).await.map(Principal::Person)
        } else {
            self.agent_by(token, digest).await.map(Principal::Agent)
        }
    }

    /// Whether the token is the admin key. Compared in constant time.
    #[must_use]
    pub fn is_admin(&self, token: &str) -> bool {
        self.keys.digest(token).ct_eq(&self.admin).into()
    }

    /// The agent that a key belongs to. What is changed through this object holds at once, what another replica
    /// changes within a second.
    ///
    /// # Errors
    /// [`AuthError`]
    pub async fn agent(&self, token: &str) -> Result<Arc<AgentCaller>, AuthError> {
        self.agent_by(token, self.keys.digest(token)).await
    }

    async fn agent_by(&self, token: &str, digest: [u8; 32]) -> Result<Arc<AgentCaller>, AuthError> {
        // Personal tokens act for people, not for agents.
        if !matches!(kind_of(token), Some(KeyKind::Agent | KeyKind::Developer)) {
            return Err(AuthError::Unknown);
        }
        let now = self.clock.now();
        if let Some(held) = self.cache.get(&digest) {
            return if held.lasts(now) { Ok(held.caller) } else { Err(AuthError::Unknown) };
        }
        let before = *self.changes.lock();
        let holder = self.store.keys().holder(&hex::encode(digest)).await?.ok_or(AuthError::Unknown)?;
        if holder.expires_at.is_some_and(|until| until <= now) {
            return Err(AuthError::Unknown);
        }
        let caller = caller(holder.agent, AgentCredential::ApiKey { key_id: holder.key_id })?;
        self.uses.lock().insert(holder.key_id, now);
        let changes = self.changes.lock();
        if *changes == before {
            let until = holder.expires_at;
            self.cache.insert(digest, Held { caller: Arc::clone(&caller), until });
        }
        Ok(caller)
    }

    /// The agent that a workload is, by the id in its certificate, which TLS has verified.
    ///
    /// # Errors
    /// [`AuthError`]
    pub async fn workload(&self, spiffe_id: &SpiffeId) -> Result<Arc<AgentCaller>, AuthError> {
        self.agent_of(spiffe_id, AgentCredential::X509Svid { spiffe_id: spiffe_id.to_string() }).await
    }

    /// The agent of a SPIFFE id that has been shown: the one for which it was set, else the one it names. What is
    /// remembered of it is forgotten as with keys.
    async fn agent_of(
        &self,
        id: &SpiffeId,
        credential: AgentCredential,
    ) -> Result<Arc<AgentCaller>, AuthError> {
        let svids = self.svids.as_ref().ok_or(AuthError::Unknown)?;
        if let Some(caller) = self.by_svid.get(&credential) {
            return Ok(caller);
        }
        let before = *self.changes.lock();
        let agents = self.store.agents();
        let agent = match (agents.by_spiffe_id(&id.to_string()).await?, names_of(id)) {
            (Some(agent), _) => Some(agent),
            // An agent with an id of its own is no longer found by its names.
            (None, Some((org_id, name))) => {
                agents.find(org_id, name).await?.filter(|a| a.spiffe_id.is_none())
            }
            (None, None) => None,
        };
        let agent = agent.filter(|a| svids.admits(id.trust_domain(), a.org_id)).ok_or(AuthError::Unknown)?;
        let caller = caller(agent, credential.clone())?;
        let changes = self.changes.lock();
        if *changes == before {
            self.by_svid.insert(credential, Arc::clone(&caller));
        }
        Ok(caller)
    }

    /// The person that a session's token belongs to. Looked up each time: a revocation holds at once everywhere.
    ///
    /// # Errors
    /// [`AuthError`]
    pub async fn person(&self, token: &str) -> Result<UserPrincipal, AuthError> {
        if !tokens::is_well_formed(SESSION_PREFIX, token) {
            return Err(AuthError::Unknown);
        }
        let found = self.store.users().session(&self.sessions.hash(token)).await?;
        let found = found.filter(|f| f.session.expires_at > self.clock.now()).ok_or(AuthError::Unknown)?;
        Ok(UserPrincipal {
            user_id: found.session.user_id,
            org_id: found.session.org_id,
            role: found.role,
            email: found.email,
            session_id: found.session.session_id,
            by_token: false,
            factor_missing: found.factor_missing,
            proof: found.session.proof,
            address: found.session.address,
            expires_at: found.session.expires_at,
        })
    }

    /// What the pages of a session show so that no other site's can act for them: see [`Self::is_csrf_token`].
    #[must_use]
    pub fn csrf_token(&self, session_id: Uuid) -> String {
        // No token begins like this: none can be made to pass for the other.
        self.sessions.hash(&format!("csrf:{session_id}"))
    }

    /// Whether this is what [`Self::csrf_token`] gave for the session. Compared in constant time.
    #[must_use]
    pub fn is_csrf_token(&self, session_id: Uuid, shown: &[u8]) -> bool {
        self.csrf_token(session_id).as_bytes().ct_eq(shown).into()
    }

    /// Makes a key for an agent. The key in clear is given here and never again.
    /// `None` when the organisation has no such agent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn issue_key(
        &self,
        org_id: Uuid,
        agent_uuid: Uuid,
        terms: KeyTerms,
    ) -> Result<Option<(AgentKey, ApiKey)>, StoreError> {
        let (record, key) = self.new_key(org_id, agent_uuid, terms);
        let made = self.store.keys().create(&record, self.keys.hash(key.expose())).await?;
        Ok(made.then_some((record, key)))
    }

    /// Makes a key in place of another, which goes on for `overlap`, or until it would have ended anyway. What it is
    /// bound to stays. `None` when the agent has no such key that lasts.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn rotate_key(
        &self,
        org_id: Uuid,
        agent_uuid: Uuid,
        key_id: Uuid,
        overlap: Duration,
        created_by: String,
    ) -> Result<Option<(AgentKey, ApiKey)>, StoreError> {
        let Some(old) = self.store.keys().get(org_id, agent_uuid, key_id).await? else { return Ok(None) };
        let terms = KeyTerms { email: old.email, expires_at: old.expires_at, created_by: Some(created_by) };
        let (record, key) = self.new_key(org_id, agent_uuid, terms);
        let ends = record.created_at.checked_add(overlap).unwrap_or(Timestamp::MAX);
        let hash = self.keys.hash(key.expose());
        let made = self.store.keys().rotate(key_id, ends, &record, hash).await;
        self.forget();
        Ok(made?.then_some((record, key)))
    }

    fn new_key(&self, org_id: Uuid, agent_uuid: Uuid, terms: KeyTerms) -> (AgentKey, ApiKey) {
        let kind = if terms.email.is_some() { KeyKind::Developer } else { KeyKind::Agent };
        let key = ApiKey::generate(kind);
        let record = AgentKey {
            key_id: self.ids.uuid(),
            org_id,
            agent_uuid,
            kind,
            hint: key.hint(),
            email: terms.email,
            created_by: terms.created_by,
            created_at: self.clock.now(),
            expires_at: terms.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        (record, key)
    }

    /// Revokes a key; `false` when the agent has no such key that lasts.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn revoke_key(&self, org_id: Uuid, agent_uuid: Uuid, key_id: Uuid) -> Result<bool, StoreError> {
        let done = self.store.keys().revoke(org_id, agent_uuid, key_id, self.clock.now()).await;
        self.forget();
        done
    }

    /// Suspends or reactivates an agent; `false` when the organisation has no such agent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn set_status(
        &self,
        org_id: Uuid,
        agent_uuid: Uuid,
        status: AgentStatus,
    ) -> Result<bool, StoreError> {
        let done = self.store.agents().set_status(org_id, agent_uuid, status, self.clock.now()).await;
        self.forget();
        done
    }

    /// Writes an agent's changed settings; see [`tappass_store::Agents::update`].
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn update_agent(&self, agent: &Agent) -> Result<Option<Agent>, StoreError> {
        let done = self.store.agents().update(agent, self.clock.now()).await;
        self.forget();
        done
    }

    /// Removes an agent with its keys; `false` when the organisation has no such agent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn delete_agent(&self, org_id: Uuid, agent_uuid: Uuid) -> Result<bool, StoreError> {
        let done = self.store.agents().delete(org_id, agent_uuid).await;
        self.forget();
        done
    }

    /// Drops what is remembered about agents: call it after a change that did not go through this object.
    /// Changes are rare and a look-up is one query, so everything goes.
    pub fn forget(&self) {
        let mut changes = self.changes.lock();
        *changes += 1;
        self.cache.invalidate_all();
        self.by_svid.invalidate_all();
    }

    /// Writes down when keys and personal tokens were last used. To be called every now and then, and before the end.
    ///
    /// # Errors
    /// [`StoreError`]; what could not be written is tried again next time.
    pub async fn flush_uses(&self) -> Result<(), StoreError> {
        let uses = taken(&self.uses);
        let keys = if uses.is_empty() { Ok(()) } else { self.store.keys().used(&uses).await };
        if keys.is_err() {
            put_back(&self.uses, uses);
        }
        let uses = taken(&self.token_uses);
        let tokens = if uses.is_empty() { Ok(()) } else { self.store.personal_tokens().used(&uses).await };
        if tokens.is_err() {
            put_back(&self.token_uses, uses);
        }
        keys.and(tokens)
    }
}

fn taken(uses: &Mutex<HashMap<Uuid, Timestamp>>) -> Vec<(Uuid, Timestamp)> {
    uses.lock().drain().collect()
}

fn put_back(uses: &Mutex<HashMap<Uuid, Timestamp>>, unwritten: Vec<(Uuid, Timestamp)>) {
    let mut waiting = uses.lock();
    for (id, at) in unwritten {
        waiting.entry(id).or_insert(at);
    }
}

/// The agent as a caller.
fn caller(agent: Agent, credential: AgentCredential) -> Result<Arc<AgentCaller>, AuthError> {
    if agent.status != AgentStatus::Active {
        return Err(AuthError::Suspended);
    }
    Ok(Arc::new(AgentCaller {
        org_id: agent.org_id,
        agent_uuid: agent.agent_uuid,
        agent_id: agent.agent_id,
        credential,
        settings: agent.settings,
    }))
}

/// Whether a token looks like a signed JWT (RFC 7515 §7.1): no key or session does, they have no full stop.
fn is_jwt(token: &str) -> bool {
    token.split('.').count() == 3
}

/// The organisation and agent that a SPIFFE id names: `spiffe://<trust domain>/agent/<org>/<agent>`.
#[must_use]
pub fn names_of(id: &SpiffeId) -> Option<(Uuid, &str)> {
    let (org, agent) = id.path().strip_prefix("/agent/")?.split_once('/')?;
    let org_id: Uuid = org.parse().ok()?;
    // One spelling, so that one agent has one id; and a UUID would be looked up as another agent's identity.
    (org_id.to_string() == org && !agent.contains('/') && agent.parse::<Uuid>().is_err())
        .then_some((org_id, agent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_spelling_names_an_agent() {
        let org = "019a8f6e-0000-7000-8000-00000000abcd";
        let named = |path: &str| {
            let id = SpiffeId::new(format!("spiffe://corp.example{path}")).expect("valid");
            names_of(&id).map(|(org, agent)| (org.to_string(), agent.to_owned()))
        };
        assert_eq!(named(&format!("/agent/{org}/claims")), Some((org.to_owned(), "claims".to_owned())));
        for other in [
            format!("/agent/{}/claims", org.to_uppercase()),
            format!("/agent/{}/claims", org.replace('-', "")),
            format!("/agent/{org}"),
            format!("/agent/{org}/claims/more"),
            format!("/agent/{org}/{org}"),
            format!("/Agent/{org}/claims"),
            format!("/x/agent/{org}/claims"),
            "/agent/ours/claims".to_owned(),
            String::new(),
        ] {
            assert_eq!(named(&other), None, "{other}");
        }
    }
}
