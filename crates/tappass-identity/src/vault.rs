//! The vault: what organisations entrust to the gateway, in envelopes. Each organisation has data keys of its own, each
//! version wrapped under a key that follows from `TAPPASS_VAULT_KEY`; what is sealed names the version that sealed it.
//!
//! AES-256-GCM throughout. Organisation, version and place are in the associated data: what is moved to another
//! organisation's row, another version or another place opens nowhere.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::rand;
use moka::sync::Cache;
use tappass_model::Clock;
use tappass_store::{KeptCall, Resealed, Store, StoreError, VaultKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{SealError, Sealer};

/// How long a data key that seals no more is kept at least, for whoever has read just before what it sealed.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// How many kept calls are sealed anew in one transaction.
const AT_ONCE: u32 = 100;
/// How many data keys are kept open in memory.
const OPEN_KEYS: u64 = 10_000;

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is damaged, belongs elsewhere, or was sealed under another vault key.
    #[error("what the vault keeps cannot be opened with this TAPPASS_VAULT_KEY")]
    Sealed(#[from] SealError),
    /// Somebody else changed the keys meanwhile, or the organisation is gone.
    #[error("the vault's keys are being changed by somebody else: try again")]
    Busy,
}

/// The vault of all organisations.
pub struct Vault {
    store: Store,
    root: Sealer,
    clock: Arc<dyn Clock>,
    open: Cache<(Uuid, i64), Arc<Sealer>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// Over a database, with what wraps the data keys.
    #[must_use]
    pub fn new(store: Store, root: Sealer, clock: Arc<dyn Clock>) -> Self {
        Self { store, root, clock, open: Cache::new(OPEN_KEYS) }
    }

    /// Whether a text was sealed by the vault.
    #[must_use]
    pub fn is_sealed(text: &str) -> bool {
        version_of(text).is_some()
    }

    /// The version of the data key that sealed a text.
    #[must_use]
    pub fn key_version(sealed: &str) -> Option<i64> {
        version_of(sealed).map(|(version, _)| version)
    }

    /// Seals a text for a place of an organisation. The organisation's first data key is made when it is first needed.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn seal(&self, org_id: Uuid, place: &str, text: &str) -> Result<String, VaultError> {
        let table = self.store.vault();
        let current = match table.current_key(org_id).await? {
            Some(key) => key,
            None => {
                self.add(org_id, 1).await?;
                // Whoever was first.
                table.current_key(org_id).await?.ok_or(VaultError::Busy)?
            }
        };
        self.seal_with(org_id, &current, place, text)
    }

    /// What was sealed for a place of an organisation.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn open(
        &self,
        org_id: Uuid,
        place: &str,
        sealed: &str,
    ) -> Result<Zeroizing<String>, VaultError> {
        let (version, text) = version_of(sealed).ok_or(SealError)?;
        let sealer = match self.open.get(&(org_id, version)) {
            Some(sealer) => sealer,
            None => {
                let key = self.store.vault().key(org_id, version).await?.ok_or(SealError)?;
                self.unwrapped(org_id, &key)?
            }
        };
        let opened = Zeroizing::new(sealer.open(&associated(org_id, version, place), text)?);
        String::from_utf8(opened.to_vec()).map(Zeroizing::new).map_err(|_| SealError.into())
    }

    /// Makes a new data key for an organisation, which seals from now on, and seals its credentials and its kept calls with
    /// it anew. What is read meanwhile opens all the while, for the keys before are kept. Gives the new version, and how many
    /// credentials were sealed anew.
    ///
    /// # Errors
    /// [`VaultError`]; where the new key is there already, another rotation finishes what was left.
    pub async fn rotate(&self, org_id: Uuid) -> Result<(i64, usize), VaultError> {
        let table = self.store.vault();
        let version = table.versions(org_id).await?.last().map_or(1, |last| last + 1);
        if !self.add(org_id, version).await? {
            return Err(VaultError::Busy);
        }
        let key = table.key(org_id, version).await?.ok_or(VaultError::Busy)?;
        let mut resealed = 0;
        for credential in table.credentials(org_id).await? {
            let place = credential_place(&credential.name);
            let opened = self.open(org_id, &place, &credential.sealed).await?;
            let anew = self.seal_with(org_id, &key, &place, &opened)?;
            resealed += usize::from(table.reseal(org_id, &credential.name, &credential.sealed, &anew).await?);
        }
        self.reseal_kept(org_id, &key).await?;
        Ok((version, resealed))
    }

    async fn reseal_kept(&self, org_id: Uuid, key: &VaultKey) -> Result<(), VaultError> {
        let table = self.store.kept_calls();
        loop {
            let some = table.sealed_before(org_id, key.version, AT_ONCE).await?;
            if some.is_empty() {
                return Ok(());
            }
            let mut anew = Vec::with_capacity(some.len());
            for KeptCall { call_id, sealed: was, .. } in some {
                let place = kept_place(call_id);
                match self.open(org_id, &place, &was).await {
                    Ok(text) => {
                        let is = self.seal_with(org_id, key, &place, &text)?;
                        anew.push(Resealed { call_id, was, is });
                    }
                    Err(VaultError::Sealed(_)) => {
                        tracing::warn!(%org_id, call = %call_id, "a kept call cannot be opened; it is forgotten");
                        table.forget_one(org_id, call_id).await?;
                    }
                    Err(other) => return Err(other),
                }
            }
            table.reseal(org_id, key.version, &anew).await?;
        }
    }

    /// Forgets the data keys that nothing is sealed with and that have sealed nothing for an hour.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn forget(&self, org_id: Uuid) -> Result<(), VaultError> {
        let over = self.clock.now().checked_sub(KEPT).unwrap_or_default();
        let table = self.store.vault();
        let (own, mcp) =
            (table.credentials(org_id).await?, self.store.mcp_servers().credentials(org_id).await?);
        let sealed = own.iter().map(|c| &c.sealed).chain(mcp.iter().map(|(_, sealed)| sealed));
        let mut in_use: Vec<i64> = sealed.filter_map(|sealed| Self::key_version(sealed)).collect();
        in_use.extend(self.store.kept_calls().key_versions(org_id).await?);
        for version in table.versions(org_id).await? {
            if !in_use.contains(&version) {
                table.forget_key(org_id, version, over).await?;
            }
        }
        Ok(())
    }

    async fn add(&self, org_id: Uuid, version: i64) -> Result<bool, VaultError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        rand::fill(key.as_mut()).map_err(|_| SealError)?;
        let wrapped = self.root.seal(&wrapping(org_id, version), key.as_ref())?;
        Ok(self.store.vault().add_key(org_id, &VaultKey { version, wrapped }, self.clock.now()).await?)
    }

    fn seal_with(&self, org_id: Uuid, key: &VaultKey, place: &str, text: &str) -> Result<String, VaultError> {
        let sealer = match self.open.get(&(org_id, key.version)) {
            Some(sealer) => sealer,
            None => self.unwrapped(org_id, key)?,
        };
        let sealed = sealer.seal(&associated(org_id, key.version, place), text.as_bytes())?;
        Ok(format!("v{}.{sealed}", key.version))
    }

    fn unwrapped(&self, org_id: Uuid, key: &VaultKey) -> Result<Arc<Sealer>, VaultError> {
        let bytes = Zeroizing::new(self.root.open(&wrapping(org_id, key.version), &key.wrapped)?);
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(bytes.as_slice().try_into().map_err(|_| SealError)?);
        let sealer = Arc::new(Sealer::new(&bytes)?);
        self.open.insert((org_id, key.version), Arc::clone(&sealer));
        Ok(sealer)
    }
}

/// Where an organisation's credential of this name is sealed for.
#[must_use]
pub fn credential_place(name: &str) -> String {
    format!("credential:{name}")
}

/// Where what one call said is sealed for.
#[must_use]
pub fn kept_place(call_id: Uuid) -> String {
    format!("kept call:{call_id}")
}

fn wrapping(org_id: Uuid, version: i64) -> String {
    format!("data key:{org_id}:{version}")
}

fn associated(org_id: Uuid, version: i64, place: &str) -> String {
    format!("{org_id}:{version}:{place}")
}

/// `v<version>.<base64>`; base64 has no dot.
fn version_of(sealed: &str) -> Option<(i64, &str)> {
    let (version, text) = sealed.strip_prefix('v')?.split_once('.')?;
    Some((version.parse().ok()?, text))
}
