//! The keys that sign capability tokens: made by the gateway, kept sealed, published, rotated.
//!
//! A key is published before it signs (`generate`, then `rotate`) where someone wants verifiers to know it beforehand, and
//! stays published after it has signed for the last time until what it signed is over.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use parking_lot::RwLock;
use serde_json::{Value, json};
use tappass_model::Clock;
use tappass_store::{Store, StoreError, TokenKey};
use zeroize::Zeroizing;

use super::claims::{Claims, Refusal, TTL, TYP};
use crate::{
    Sealer,
    jws::{self, JwsError, PublicKey, SigningKey},
};

/// How long a key that signs no more stays published, in seconds: its last token's time, and what replicas and clocks may
/// be behind.
pub const PUBLISHED_AFTER: i64 = TTL + 60;
/// How long the keys are believed where other replicas may change them.
const FRESH: Duration = Duration::from_secs(1);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key was sealed with another vault key, or is damaged.
    #[error("the token-signing key {0} cannot be opened with this TAPPASS_VAULT_KEY")]
    Sealed(String),
}

/// The keys as they were last read.
struct Ring {
    signing: SigningKey,
    published: Vec<PublicKey>,
    read: Instant,
}

/// The keys.
pub struct TokenKeys {
    store: Store,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    /// Other replicas write to the store too.
    shared: bool,
    ring: RwLock<Option<Arc<Ring>>>,
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKeys")
    }
}

impl TokenKeys {
    /// Over a database, with what seals them there.
    #[must_use]
    pub fn new(store: Store, sealer: Sealer, clock: Arc<dyn Clock>, shared: bool) -> Self {
        Self { store, sealer, clock, shared, ring: RwLock::new(None) }
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`TokenKeyError`].
    pub async fn sign(&self, claims: &Claims) -> Result<String, TokenKeyError> {
        Ok(self.ring().await?.signing.sign(TYP, claims))
    }

    /// What a token says, once its signature holds and as long as its time is.
    ///
    /// # Errors
    /// The outer: the keys cannot be had. The inner: why it is not believed.
    pub async fn read(&self, token: &str) -> Result<Result<Claims, Refusal>, TokenKeyError> {
        let ring = self.ring().await?;
        let find = |id: &str| ring.published.iter().find(|key| key.id == id);
        let claims = jws::verified(token, TYP, find).map_err(|error| match error {
            JwsError::UnknownKey => Refusal::UnknownKey,
            JwsError::Malformed | JwsError::Header | JwsError::Signature => Refusal::InvalidToken,
        });
        let read = |bytes: Vec<u8>| {
            let claims: Claims = serde_json::from_slice(&bytes).map_err(|_| Refusal::InvalidToken)?;
            if claims.v != 1 {
                return Err(Refusal::InvalidToken);
            }
            claims.holds(self.clock.now()).map(|()| claims)
        };
        Ok(claims.and_then(read))
    }

    /// The published keys as a JSON Web Key Set (RFC 7517).
    ///
    /// # Errors
    /// [`TokenKeyError`].
    pub async fn jwks(&self) -> Result<Value, TokenKeyError> {
        let ring = self.ring().await?;
        Ok(json!({"keys": ring.published.iter().map(PublicKey::jwk).collect::<Vec<_>>()}))
    }

    /// All keys that are published, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<TokenKey>, StoreError> {
        let now = self.clock.now().as_second();
        let mut keys = self.store.token_keys().list().await?;
        keys.retain(|key| key.retired_at.is_none_or(|at| at.as_second() + PUBLISHED_AFTER > now));
        Ok(keys)
    }

    /// Makes a key that is published at once and signs from the next rotation on.
    ///
    /// # Errors
    /// [`TokenKeyError`].
    pub async fn generate(&self) -> Result<TokenKey, TokenKeyError> {
        let key = self.make(false)?;
        self.store.token_keys().create(&key).await?;
        self.forget();
        Ok(key)
    }

    /// Lets the newest waiting key sign, or a new one where none waits. The one before signs no more and stays published
    /// for [`PUBLISHED_AFTER`]; those that are over are forgotten. Gives the key that signs now.
    ///
    /// # Errors
    /// [`TokenKeyError`].
    pub async fn rotate(&self) -> Result<TokenKey, TokenKeyError> {
        let spare = self.make(false)?;
        let now = self.clock.now();
        let over = jiff::Timestamp::from_second(now.as_second() - PUBLISHED_AFTER).unwrap_or(now);
        let key = self.store.token_keys().rotate(&spare, now, over).await?;
        self.forget();
        Ok(key)
    }

    fn forget(&self) {
        *self.ring.write() = None;
    }

    fn make(&self, signs: bool) -> Result<TokenKey, TokenKeyError> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        rand::fill(seed.as_mut()).expect("the operating system has randomness");
        let id = SigningKey::from_seed(&seed).public().id.clone();
        let sealed =
            self.sealer.seal(&place(&id), seed.as_ref()).map_err(|_| TokenKeyError::Sealed(id.clone()))?;
        let now = self.clock.now();
        Ok(TokenKey {
            key_id: id,
            sealed,
            created_at: now,
            signs_from: signs.then_some(now),
            retired_at: None,
        })
    }

    async fn ring(&self) -> Result<Arc<Ring>, TokenKeyError> {
        let known = self.ring.read().clone();
        if let Some(ring) = &known
            && (!self.shared || ring.read.elapsed() < FRESH)
        {
            return Ok(Arc::clone(ring));
        }
        match (self.load().await, known) {
            (Ok(ring), _) => {
                let ring = Arc::new(ring);
                *self.ring.write() = Some(Arc::clone(&ring));
                Ok(ring)
            }
            (Err(TokenKeyError::Store(error)), Some(stale)) => {
                tracing::warn!(%error, "the token-signing keys cannot be read; the last ones known hold");
                Ok(stale)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// As they stand in the store; the first key is made when it is first needed.
    async fn load(&self) -> Result<Ring, TokenKeyError> {
        let read = Instant::now();
        let mut keys = self.list().await?;
        let signs = |key: &&TokenKey| key.signs_from.is_some() && key.retired_at.is_none();
        if !keys.iter().any(|key| signs(&key)) {
            self.store.token_keys().create(&self.make(true)?).await?;
            keys = self.list().await?;
        }
        // Two replicas that begin at once make one each: both are published, and the same one signs.
        let newest = keys.iter().filter(signs).max_by_key(|key| (key.signs_from, key.key_id.clone()));
        let newest = newest.ok_or_else(|| TokenKeyError::Sealed("(none)".to_owned()))?;
        let signing = self.open(newest)?;
        let published = keys.iter().map(|key| self.open(key).map(|k| k.public().clone()));
        Ok(Ring { signing, published: published.collect::<Result<_, _>>()?, read })
    }

    fn open(&self, key: &TokenKey) -> Result<SigningKey, TokenKeyError> {
        let opened = self.sealer.open(&place(&key.key_id), &key.sealed);
        let seed =
            opened.ok().map(Zeroizing::new).and_then(|seed| <[u8; 32]>::try_from(seed.as_slice()).ok());
        let opened = seed.map(|seed| SigningKey::from_seed(&Zeroizing::new(seed)));
        opened
            .filter(|k| k.public().id == key.key_id)
            .ok_or_else(|| TokenKeyError::Sealed(key.key_id.clone()))
    }
}

fn place(key_id: &str) -> String {
    format!("token key:{key_id}")
}
