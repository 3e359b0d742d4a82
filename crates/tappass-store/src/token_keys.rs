//! The keys that sign capability tokens. They are the platform's, of no organisation.

use jiff::Timestamp;
use sqlx::{any::AnyRow, query};

use crate::{Db, Reach, StoreError, row::Columns as _};

/// A key, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// Its thumbprint.
    pub key_id: String,
    /// Its seed, sealed.
    pub sealed: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it signs; none while it waits for a rotation.
    pub signs_from: Option<Timestamp>,
    /// Since when it signs no more.
    pub retired_at: Option<Timestamp>,
}

/// The keys.
#[derive(Debug, Clone, Copy)]
pub struct TokenKeys<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl TokenKeys<'_> {
    /// All of them, the newest first.
    pub async fn list(&self) -> Result<Vec<TokenKey>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let rows = tx.fetch_all(query("SELECT * FROM token_keys ORDER BY created_at DESC, key_id")).await?;
        tx.commit().await?;
        rows.iter().map(key_of).collect()
    }

    /// Adds one.
    pub async fn create(&self, key: &TokenKey) -> Result<(), StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        tx.execute(insert(key)).await?;
        tx.commit().await
    }

    /// Lets the newest key that waits sign from now on, or `spare` where none waits, and no other; forgets those that have
    /// not signed since `over`. Gives the one that signs.
    pub async fn rotate(
        &self,
        spare: &TokenKey,
        now: Timestamp,
        over: Timestamp,
    ) -> Result<TokenKey, StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        let retire = query(
            "UPDATE token_keys SET retired_at = $1 WHERE signs_from IS NOT NULL AND retired_at IS NULL",
        );
        tx.execute(retire.bind(now.as_microsecond())).await?;
        let waits = query(
            "SELECT * FROM token_keys WHERE signs_from IS NULL ORDER BY created_at DESC, key_id LIMIT 1",
        );
        let mut next = match tx.fetch_optional(waits).await? {
            Some(row) => key_of(&row)?,
            None => {
                tx.execute(insert(spare)).await?;
                spare.clone()
            }
        };
        next.signs_from = Some(now);
        let sign = query("UPDATE token_keys SET signs_from = $2 WHERE key_id = $1");
        tx.execute(sign.bind(next.key_id.clone()).bind(now.as_microsecond())).await?;
        tx.execute(query("DELETE FROM token_keys WHERE retired_at <= $1").bind(over.as_microsecond()))
            .await?;
        tx.commit().await?;
        Ok(next)
    }
}

fn insert(key: &TokenKey) -> crate::db::Statement {
    query("INSERT INTO token_keys (key_id, sealed, created_at, signs_from, retired_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(key.key_id.clone())
        .bind(key.sealed.clone())
        .bind(key.created_at.as_microsecond())
        .bind(key.signs_from.map(Timestamp::as_microsecond))
        .bind(key.retired_at.map(Timestamp::as_microsecond))
}

fn key_of(row: &AnyRow) -> Result<TokenKey, StoreError> {
    Ok(TokenKey {
        key_id: row.text("key_id")?,
        sealed: row.text("sealed")?,
        created_at: row.time("created_at")?,
        signs_from: row.opt_time("signs_from")?,
        retired_at: row.opt_time("retired_at")?,
    })
}
