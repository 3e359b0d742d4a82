//! What organisations keep in the vault: their data keys, wrapped, and their credentials, sealed with them.

use jiff::Timestamp;
use sqlx::{any::AnyRow, query};
use uuid::Uuid;

use crate::{Db, StoreError, row::Columns as _};

/// A version of an organisation's data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultKey {
    /// Counts from 1.
    pub version: i64,
    /// The key, sealed with the one that follows from the vault key.
    pub wrapped: String,
}

/// A credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// A provider's id, or a name of its own.
    pub name: String,
    /// The value, or where it is to be found; sealed.
    pub sealed: String,
    /// `value`, `env`, `file` or `vault`: what is sealed.
    pub kind: String,
    /// What may be shown of it.
    pub hint: String,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When it was last set.
    pub updated_at: Timestamp,
}

/// The vault.
#[derive(Debug, Clone, Copy)]
pub struct VaultTable<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl VaultTable<'_> {
    /// The data key that seals now.
    pub async fn current_key(&self, org_id: Uuid) -> Result<Option<VaultKey>, StoreError> {
        let select =
            query("SELECT version, wrapped FROM vault_keys WHERE org_id = $1 ORDER BY version DESC LIMIT 1")
                .bind(org_id.to_string());
        self.0.read(org_id).await?.fetch_optional(select).await?.map(|row| key_of(&row)).transpose()
    }

    /// A version of the data key.
    pub async fn key(&self, org_id: Uuid, version: i64) -> Result<Option<VaultKey>, StoreError> {
        let select = query("SELECT version, wrapped FROM vault_keys WHERE org_id = $1 AND version = $2")
            .bind(org_id.to_string())
            .bind(version);
        self.0.read(org_id).await?.fetch_optional(select).await?.map(|row| key_of(&row)).transpose()
    }

    /// Adds a version, which seals from now on; the one before is retired. False where that version is there already, or no
    /// such organisation.
    pub async fn add_key(&self, org_id: Uuid, key: &VaultKey, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.0.write(org_id).await?;
        let insert =
            query("INSERT INTO vault_keys (org_id, version, wrapped, created_at) VALUES ($1, $2, $3, $4)")
                .bind(org_id.to_string())
                .bind(key.version)
                .bind(key.wrapped.clone())
                .bind(now.as_microsecond());
        match tx.execute(insert).await {
            Ok(_) => {}
            Err(e) if e.is_missing_parent() => return Ok(false),
            Err(e) => {
                return match e.conflict(String::new) {
                    StoreError::Conflict(_) => Ok(false),
                    other => Err(other),
                };
            }
        }
        let retire = query(
            "UPDATE vault_keys SET retired_at = $3 WHERE org_id = $1 AND version < $2 AND retired_at IS NULL",
        )
        .bind(org_id.to_string())
        .bind(key.version)
        .bind(now.as_microsecond());
        tx.execute(retire).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets a data key that was retired before `over`: what it sealed and is still there is lost.
    pub async fn forget_key(&self, org_id: Uuid, version: i64, over: Timestamp) -> Result<bool, StoreError> {
        let delete = query("DELETE FROM vault_keys WHERE org_id = $1 AND version = $2 AND retired_at < $3")
            .bind(org_id.to_string())
            .bind(version)
            .bind(over.as_microsecond());
        Ok(self.0.execute(org_id, delete).await? > 0)
    }

    /// The versions of an organisation's data key, the oldest first.
    pub async fn versions(&self, org_id: Uuid) -> Result<Vec<i64>, StoreError> {
        let select = query("SELECT version FROM vault_keys WHERE org_id = $1 ORDER BY version");
        let mut tx = self.0.read(org_id).await?;
        tx.fetch_all(select.bind(org_id.to_string())).await?.iter().map(|row| row.int("version")).collect()
    }

    /// An organisation's credentials, by name.
    pub async fn credentials(&self, org_id: Uuid) -> Result<Vec<Credential>, StoreError> {
        let select = query("SELECT * FROM credentials WHERE org_id = $1 ORDER BY name");
        let mut tx = self.0.read(org_id).await?;
        tx.fetch_all(select.bind(org_id.to_string())).await?.iter().map(credential_of).collect()
    }

    /// Sets a credential; gives it as it is now. `None` where there is no such organisation.
    pub async fn set(&self, org_id: Uuid, credential: &Credential) -> Result<Option<Credential>, StoreError> {
        let mut tx = self.0.write(org_id).await?;
        let write = query(
            "INSERT INTO credentials (org_id, name, sealed, kind, hint, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (org_id, name) DO UPDATE SET sealed = $3, kind = $4, hint = $5, updated_at = $7",
        )
        .bind(org_id.to_string())
        .bind(credential.name.clone())
        .bind(credential.sealed.clone())
        .bind(credential.kind.clone())
        .bind(credential.hint.clone())
        .bind(credential.created_at.as_microsecond())
        .bind(credential.updated_at.as_microsecond());
        match tx.execute(write).await {
            Err(e) if e.is_missing_parent() => return Ok(None),
            other => other?,
        };
        let select = query("SELECT * FROM credentials WHERE org_id = $1 AND name = $2")
            .bind(org_id.to_string())
            .bind(credential.name.clone());
        let row = tx.fetch_optional(select).await?;
        tx.commit().await?;
        row.as_ref().map(credential_of).transpose()
    }

    /// Seals a credential otherwise, if it still is as it was read; else it is left as somebody else has set it.
    pub async fn reseal(&self, org_id: Uuid, name: &str, was: &str, is: &str) -> Result<bool, StoreError> {
        let update =
            query("UPDATE credentials SET sealed = $4 WHERE org_id = $1 AND name = $2 AND sealed = $3")
                .bind(org_id.to_string())
                .bind(name.to_owned())
                .bind(was.to_owned())
                .bind(is.to_owned());
        Ok(self.0.execute(org_id, update).await? > 0)
    }

    /// The same for the credential of an MCP server.
    pub async fn reseal_mcp(
        &self,
        org_id: Uuid,
        name: &str,
        was: &str,
        is: &str,
    ) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE mcp_servers SET credential = $4 WHERE org_id = $1 AND name = $2 AND credential = $3",
        )
        .bind(org_id.to_string())
        .bind(name.to_owned())
        .bind(was.to_owned())
        .bind(is.to_owned());
        Ok(self.0.execute(org_id, update).await? > 0)
    }

    /// Removes a credential; false where there is none.
    pub async fn remove(&self, org_id: Uuid, name: &str) -> Result<bool, StoreError> {
        let delete = query("DELETE FROM credentials WHERE org_id = $1 AND name = $2")
            .bind(org_id.to_string())
            .bind(name.to_owned());
        Ok(self.0.execute(org_id, delete).await? > 0)
    }
}

fn key_of(row: &AnyRow) -> Result<VaultKey, StoreError> {
    Ok(VaultKey { version: row.int("version")?, wrapped: row.text("wrapped")? })
}

fn credential_of(row: &AnyRow) -> Result<Credential, StoreError> {
    Ok(Credential {
        name: row.text("name")?,
        sealed: row.text("sealed")?,
        kind: row.text("kind")?,
        hint: row.text("hint")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
