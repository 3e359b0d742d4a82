//! What an organisation has set as one document, such as its allowlist: JSON with a version.

use jiff::Timestamp;
use sqlx::query;
use uuid::Uuid;

use crate::{Db, StoreError, row::Columns as _};

/// A document as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Counts from 1.
    pub version: i64,
    /// JSON.
    pub body: String,
    /// When this version was written.
    pub updated_at: Timestamp,
}

/// The documents.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Settings<'_> {
    /// One of an organisation's; `None` when it was never set.
    pub async fn get(&self, org_id: Uuid, name: &str) -> Result<Option<Setting>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query("SELECT version, body, updated_at FROM settings WHERE org_id = $1 AND name = $2");
        let row = tx.fetch_optional(select.bind(org_id.to_string()).bind(name.to_owned())).await?;
        tx.commit().await?;
        row.map(|row| {
            Ok(Setting {
                version: row.int("version")?,
                body: row.text("body")?,
                updated_at: row.time("updated_at")?,
            })
        })
        .transpose()
    }

    /// Writes the version after `expected` (0: there is none yet). [`StoreError::Stale`] when another was written
    /// meanwhile; `None` when there is no such organisation.
    pub async fn put(
        &self,
        org_id: Uuid,
        name: &str,
        body: &str,
        expected: i64,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let stale = || StoreError::Stale(format!("the setting `{name}`"));
        let mut tx = self.0.write(org_id).await?;
        let write = if expected == 0 {
            query(
                "INSERT INTO settings (org_id, name, body, updated_at, version) VALUES ($1, $2, $3, $4, $5 + 1)",
            )
        } else {
            query(
                "UPDATE settings SET body = $3, updated_at = $4, version = $5 + 1 \
                 WHERE org_id = $1 AND name = $2 AND version = $5",
            )
        };
        let write = write
            .bind(org_id.to_string())
            .bind(name.to_owned())
            .bind(body.to_owned())
            .bind(now.as_microsecond())
            .bind(expected);
        match tx.execute(write).await {
            Ok(1) => {}
            Ok(_) => return Err(stale()),
            Err(e) if e.is_missing_parent() => return Ok(None),
            Err(e) => {
                return Err(match e.conflict(|| name.to_owned()) {
                    StoreError::Conflict(_) => stale(),
                    other => other,
                });
            }
        }
        tx.commit().await?;
        Ok(Some(expected + 1))
    }
}
