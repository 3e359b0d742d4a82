//! The organisations' allowlists, ready for calls: effective at once here, and within a second on other replicas.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use moka::sync::Cache;
use tappass_detect::{AllowEntry, Allowlist};
use tappass_store::{Store, StoreError};
use uuid::Uuid;

/// The name of the document in the store.
pub const SETTING: &str = "allowlist";

/// How long a list is believed where other replicas may change it.
const FRESH: Duration = Duration::from_secs(1);

/// An organisation's list, and which version of it.
#[derive(Debug, Clone)]
pub struct Known {
    /// 0: never set.
    pub version: i64,
    /// The list.
    pub list: Allowlist,
    read: Instant,
}

/// The lists, as they are asked for.
pub struct Allowlists {
    store: Store,
    shared: bool,
    known: Cache<Uuid, Known>,
    /// Counts changes, so that what was read before one is not kept after it.
    changes: AtomicU64,
}

impl Allowlists {
    /// `shared`: other replicas write to the store too.
    #[must_use]
    pub fn new(store: Store, shared: bool) -> Self {
        Self { store, shared, known: Cache::new(10_000), changes: AtomicU64::new(0) }
    }

    /// For a call. When the database does not answer, the list that was last read holds.
    ///
    /// # Errors
    /// [`StoreError`] when it was never read either.
    pub async fn of(&self, org_id: Uuid) -> Result<Allowlist, StoreError> {
        let known = self.known.get(&org_id);
        match known {
            Some(known) if !self.shared || known.read.elapsed() < FRESH => Ok(known.list),
            Some(stale) => match self.read(org_id).await {
                Ok(known) => Ok(known.list),
                Err(error) => {
                    tracing::warn!(%org_id, %error, "the allowlist cannot be read; the last one known holds");
                    Ok(stale.list)
                }
            },
            None => self.read(org_id).await.map(|known| known.list),
        }
    }

    /// As it stands in the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(&self, org_id: Uuid) -> Result<Known, StoreError> {
        let before = self.changes.load(Ordering::SeqCst);
        let read = Instant::now();
        let known = match self.store.settings().get(org_id, SETTING).await? {
            None => Known { version: 0, list: Allowlist::default(), read },
            Some(setting) => {
                let unreadable = |e: &dyn std::fmt::Display| StoreError::Unreadable {
                    column: "body",
                    reason: e.to_string(),
                };
                let entries: Vec<AllowEntry> =
                    serde_json::from_str(&setting.body).map_err(|e| unreadable(&e))?;
                let list = Allowlist::new(entries).map_err(|e| unreadable(&e))?;
                Known { version: setting.version, list, read }
            }
        };
        self.known.insert(org_id, known.clone());
        if self.changes.load(Ordering::SeqCst) != before {
            self.known.invalidate(&org_id);
        }
        Ok(known)
    }

    /// The next call reads the list again.
    pub fn changed(&self, org_id: Uuid) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate(&org_id);
    }
}
