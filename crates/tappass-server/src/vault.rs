//! Organisations' own keys of providers, ready for calls: effective with the next call here, within a second on other
//! replicas. Where an organisation has none, the environment's are used.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;
use tappass_identity::{
    Zeroizing,
    vault::{Vault, VaultError, credential_place},
};
use tappass_provider::{OwnKey, Providers, own};
use tappass_store::{Credential, Store, StoreError};
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use crate::state::Env;

/// How long keys are believed where other replicas may change them.
const FRESH: Duration = Duration::from_secs(1);
/// How long what a reference leads to is believed: the operator may replace a file.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// The longest key that is read from a file, in bytes.
const LONGEST: u64 = 8192;

/// Where a credential's value is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference<'a> {
    /// It is the value.
    Value(&'a str),
    /// A variable of the server's environment.
    Env(&'a str),
    /// A file on the server.
    File(&'a str),
    /// Another credential of the same organisation, which is no provider's.
    Vault(&'a str),
}

impl<'a> Reference<'a> {
    /// What a text means: `env:NAME`, `file:/path`, `vault:name`, else a value.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        match text.split_once(':') {
            Some(("env", name)) => Self::Env(name),
            Some(("file", path)) => Self::File(path),
            Some(("vault", name)) => Self::Vault(name),
            _ => Self::Value(text),
        }
    }

    /// Its name in records and lists.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Value(_) => "value",
            Self::Env(_) => "env",
            Self::File(_) => "file",
            Self::Vault(_) => "vault",
        }
    }
}

/// An organisation's providers as they were last made.
#[derive(Clone)]
struct Known {
    /// What they were made of: names and what is sealed.
    of: Arc<Vec<Credential>>,
    providers: Arc<Providers>,
    /// Whether some of the keys are references.
    refers: bool,
    checked: Instant,
    made: Instant,
}

/// The providers of every organisation.
pub struct OwnProviders {
    store: Store,
    /// What seals credentials.
    pub vault: Arc<Vault>,
    env: Env,
    plain: Arc<Providers>,
    shared: bool,
    known: Cache<Uuid, Known>,
    /// Counts changes, so that what was read before one is not kept after it.
    changes: AtomicU64,
}

impl OwnProviders {
    /// Over the environment's providers. `shared`: other replicas write to the store too.
    #[must_use]
    pub fn new(store: Store, vault: Arc<Vault>, env: Env, plain: Arc<Providers>, shared: bool) -> Self {
        Self { store, vault, env, plain, shared, known: Cache::new(10_000), changes: AtomicU64::new(0) }
    }

    /// For a call. When the database does not answer, the keys that were last read hold.
    ///
    /// # Errors
    /// [`StoreError`] when they were never read either: the environment's key is not taken for an organisation that may have
    /// its own.
    pub async fn of(&self, org_id: Uuid) -> Result<Arc<Providers>, StoreError> {
        let known = self.known.get(&org_id);
        let fresh = |known: &Known| {
            (!self.shared || known.checked.elapsed() < FRESH)
                && !(known.refers && known.made.elapsed() > READ_AGAIN)
        };
        match known {
            Some(known) if fresh(&known) => Ok(known.providers),
            Some(stale) => match self.read(org_id, Some(&stale)).await {
                Ok(providers) => Ok(providers),
                Err(error) => {
                    tracing::warn!(%org_id, %error, "credentials cannot be read; the last ones known hold");
                    Ok(stale.providers)
                }
            },
            None => self.read(org_id, None).await,
        }
    }

    /// The next call reads the organisation's credentials again.
    pub fn changed(&self, org_id: Uuid) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate(&org_id);
    }

    async fn read(&self, org_id: Uuid, had: Option<&Known>) -> Result<Arc<Providers>, StoreError> {
        let before = self.changes.load(Ordering::SeqCst);
        let checked = Instant::now();
        let of = self.store.vault().credentials(org_id).await?;
        let same = had.filter(|had| *had.of == of && !(had.refers && had.made.elapsed() > READ_AGAIN));
        let known = match same {
            Some(had) => Known { checked, ..had.clone() },
            None => self.make(org_id, of).await?,
        };
        self.known.insert(org_id, known.clone());
        if self.changes.load(Ordering::SeqCst) != before {
            self.known.invalidate(&org_id);
        }
        Ok(known.providers)
    }

    async fn make(&self, org_id: Uuid, of: Vec<Credential>) -> Result<Known, StoreError> {
        let checked = Instant::now();
        let mut keys: BTreeMap<&'static str, OwnKey> = BTreeMap::new();
        let mut refers = false;
        for credential in &of {
            let Some(id) = own::takes_key(&credential.name) else { continue };
            refers |= credential.kind != "value";
            let key = match self.value_of(org_id, credential, &of).await {
                Ok(value) => Ok(value.to_string()),
                Err(Unfound::Store(error)) => return Err(error),
                Err(Unfound::Told(reason)) => {
                    tracing::error!(%org_id, provider = id, reason, "a credential cannot be used");
                    Err(reason)
                }
            };
            keys.insert(id, key);
        }
        let providers = if keys.is_empty() {
            Arc::clone(&self.plain)
        } else {
            let (plain, env) = (Arc::clone(&self.plain), Arc::clone(&self.env));
            // A TLS client reads the system's authorities.
            let made = tokio::task::spawn_blocking(move || plain.with_own(&*env, &keys)).await;
            Arc::new(
                made.map_err(|e| StoreError::Unreadable { column: "credentials", reason: e.to_string() })?,
            )
        };
        Ok(Known { of: Arc::new(of), providers, refers, checked, made: checked })
    }

    async fn value_of(
        &self,
        org_id: Uuid,
        credential: &Credential,
        all: &[Credential],
    ) -> Result<Zeroizing<String>, Unfound> {
        let text = self.opened(org_id, credential).await?;
        match Reference::of(&text) {
            Reference::Vault(name) => {
                let other = all.iter().find(|c| c.name == name && own::takes_key(&c.name).is_none());
                let other = other.ok_or_else(|| Unfound::Told(format!("there is no credential {name:?}")))?;
                let text = self.opened(org_id, other).await?;
                match Reference::of(&text) {
                    Reference::Vault(_) => {
                        Err(Unfound::Told(format!("{name:?} leads on to another credential")))
                    }
                    place => self.found(&place).await.map_err(Unfound::Told),
                }
            }
            place => self.found(&place).await.map_err(Unfound::Told),
        }
    }

    async fn opened(&self, org_id: Uuid, credential: &Credential) -> Result<Zeroizing<String>, Unfound> {
        let place = credential_place(&credential.name);
        self.vault.open(org_id, &place, &credential.sealed).await.map_err(|error| match error {
            VaultError::Store(error) => Unfound::Store(error),
            other => Unfound::Told(other.to_string()),
        })
    }

    /// The value that a reference leads to, other than into the vault.
    ///
    /// # Errors
    /// A sentence, without the value.
    pub async fn found(&self, place: &Reference<'_>) -> Result<Zeroizing<String>, String> {
        let value = match place {
            Reference::Value(value) => Zeroizing::new((*value).to_owned()),
            Reference::Env(name) => {
                Zeroizing::new((self.env)(name).ok_or("the variable is not set on the server")?)
            }
            Reference::File(path) => read_file(Path::new(path)).await?,
            Reference::Vault(_) => return Err("it leads on to another credential".to_owned()),
        };
        let value = Zeroizing::new(value.trim().to_owned());
        if is_value(&value) {
            Ok(value)
        } else {
            Err("what it leads to is no key: visible ASCII, at most 8192 bytes".to_owned())
        }
    }
}

/// Whether a text can be a credential: it stands in a header.
#[must_use]
pub fn is_value(text: &str) -> bool {
    (1..=8192).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

async fn read_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let unread = |error: std::io::Error| format!("the file cannot be read on the server: {}", error.kind());
    let file = tokio::fs::File::open(path).await.map_err(unread)?;
    if !file.metadata().await.map_err(unread)?.is_file() {
        return Err("it is no file on the server".to_owned());
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST + 2).read_to_string(&mut text).await.map_err(unread)?;
    Ok(text)
}

/// Why a value is not to be had.
enum Unfound {
    /// The database does not answer: nothing is known.
    Store(StoreError),
    /// It is known that it is not there.
    Told(String),
}
