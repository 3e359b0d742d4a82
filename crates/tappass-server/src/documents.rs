//! What organisations have set as one document, ready for calls: effective at once here, and within a second on other
//! replicas.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use moka::sync::Cache;
use tappass_store::{Store, StoreError};
use uuid::Uuid;

use crate::error::ApiError;

/// How long a document is believed where other replicas may change it.
const FRESH: Duration = Duration::from_secs(1);

/// An organisation's document, and which version of it.
#[derive(Debug, Clone)]
pub struct Known<T> {
    /// 0: never set.
    pub version: i64,
    /// What it says.
    pub value: T,
    read: Instant,
}

/// The documents of one name, of all organisations, as they are asked for.
pub struct Documents<T> {
    store: Store,
    /// The name in the store.
    name: &'static str,
    parse: fn(&str) -> Result<T, String>,
    shared: bool,
    known: Cache<Uuid, Known<T>>,
    /// Counts changes, so that what was read before one is not kept after it.
    changes: AtomicU64,
}

impl<T: Clone + Default + Send + Sync + 'static> Documents<T> {
    /// Of this name, read by `parse`. `shared`: other replicas write to the store too.
    #[must_use]
    pub fn new(store: Store, name: &'static str, parse: fn(&str) -> Result<T, String>, shared: bool) -> Self {
        Self { store, name, parse, shared, known: Cache::new(10_000), changes: AtomicU64::new(0) }
    }

    /// For a call. When the database does not answer, the document that was last read holds.
    ///
    /// # Errors
    /// [`StoreError`] when it was never read either.
    pub async fn of(&self, org_id: Uuid) -> Result<T, StoreError> {
        match self.known.get(&org_id) {
            Some(known) if self.is_fresh(&known) => Ok(known.value),
            Some(stale) => match self.read(org_id).await {
                Ok(known) => Ok(known.value),
                Err(error) => {
                    let name = self.name;
                    tracing::warn!(%org_id, name, %error, "a setting cannot be read; the last one known holds");
                    Ok(stale.value)
                }
            },
            None => self.read(org_id).await.map(|known| known.value),
        }
    }

    /// What is known without asking the database; `None` where that has to be asked.
    pub fn glance(&self, org_id: Uuid) -> Option<T> {
        self.known.get(&org_id).filter(|known| self.is_fresh(known)).map(|known| known.value)
    }

    fn is_fresh(&self, known: &Known<T>) -> bool {
        !self.shared || known.read.elapsed() < FRESH
    }

    /// As it stands in the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(&self, org_id: Uuid) -> Result<Known<T>, StoreError> {
        let before = self.changes.load(Ordering::SeqCst);
        let read = Instant::now();
        let known = match self.store.settings().get(org_id, self.name).await? {
            None => Known { version: 0, value: T::default(), read },
            Some(setting) => {
                let value = (self.parse)(&setting.body)
                    .map_err(|reason| StoreError::Unreadable { column: "body", reason })?;
                Known { version: setting.version, value, read }
            }
        };
        self.known.insert(org_id, known.clone());
        if self.changes.load(Ordering::SeqCst) != before {
            self.known.invalidate(&org_id);
        }
        Ok(known)
    }

    /// Writes the version after `over`; the next call reads it.
    ///
    /// # Errors
    /// 412 when another was written meanwhile, 404 when the organisation is gone, or what the database says.
    pub async fn write(
        &self,
        org_id: Uuid,
        body: &str,
        over: i64,
        now: jiff::Timestamp,
    ) -> Result<i64, ApiError> {
        let version = match self.store.settings().put(org_id, self.name, body, over, now).await {
            Ok(Some(version)) => version,
            Ok(None) => return Err(ApiError::not_found()),
            Err(StoreError::Stale(_)) => return Err(ApiError::precondition_failed()),
            Err(other) => return Err(other.into()),
        };
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate(&org_id);
        Ok(version)
    }
}
