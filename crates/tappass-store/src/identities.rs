//! Whom other issuers mean: an issuer and its subject, bound to a person. They belong to people, not to organisations.

use jiff::Timestamp;
use sqlx::{any::AnyRow, query};
use uuid::Uuid;

use crate::{Db, Reach, StoreError, row::Columns as _, users::changed};

/// That an issuer's subject is one of our people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedIdentity {
    /// Its identity.
    pub identity_id: Uuid,
    /// The person.
    pub user_id: Uuid,
    /// Who vouches.
    pub issuer: String,
    /// For whom, in the issuer's words.
    pub subject: String,
    /// The address that the issuer told when they were bound.
    pub email: String,
    /// When that was.
    pub created_at: Timestamp,
    /// When it was last used to sign in.
    pub last_used_at: Timestamp,
}

/// The bindings.
#[derive(Debug, Clone, Copy)]
pub struct Identities<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Identities<'_> {
    /// Binds a subject to a person. [`StoreError::Conflict`] when it is bound already; `false` when there is no such
    /// person.
    pub async fn bind(&self, new: &LinkedIdentity) -> Result<bool, StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        let insert = query(
            "INSERT INTO identities (identity_id, user_id, issuer, subject, email, created_at, last_used_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new.identity_id.to_string())
        .bind(new.user_id.to_string())
        .bind(new.issuer.clone())
        .bind(new.subject.clone())
        .bind(new.email.clone())
        .bind(new.created_at.as_microsecond())
        .bind(new.last_used_at.as_microsecond());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other.map_err(|e| e.conflict(|| "an account with this identity".to_owned()))?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// Whom a subject is bound to; noted as used now.
    pub async fn used(
        &self,
        issuer: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<Option<LinkedIdentity>, StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        let update = query("UPDATE identities SET last_used_at = $3 WHERE issuer = $1 AND subject = $2")
            .bind(issuer.to_owned())
            .bind(subject.to_owned())
            .bind(now.as_microsecond());
        tx.execute(update).await?;
        let select = query("SELECT * FROM identities WHERE issuer = $1 AND subject = $2")
            .bind(issuer.to_owned())
            .bind(subject.to_owned());
        let row = tx.fetch_optional(select).await?;
        tx.commit().await?;
        row.as_ref().map(identity_of).transpose()
    }

    /// All that are bound to a person, oldest first.
    pub async fn of(&self, user_id: Uuid) -> Result<Vec<LinkedIdentity>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query("SELECT * FROM identities WHERE user_id = $1 ORDER BY identity_id");
        let rows = tx.fetch_all(select.bind(user_id.to_string())).await?;
        tx.commit().await?;
        rows.iter().map(identity_of).collect()
    }

    /// Unbinds one of a person's; `false` when they have no such.
    pub async fn remove(&self, user_id: Uuid, identity_id: Uuid) -> Result<bool, StoreError> {
        let delete = query("DELETE FROM identities WHERE user_id = $1 AND identity_id = $2")
            .bind(user_id.to_string())
            .bind(identity_id.to_string());
        changed(self.0, Reach::All, delete).await
    }
}

fn identity_of(row: &AnyRow) -> Result<LinkedIdentity, StoreError> {
    Ok(LinkedIdentity {
        identity_id: row.uuid("identity_id")?,
        user_id: row.uuid("user_id")?,
        issuer: row.text("issuer")?,
        subject: row.text("subject")?,
        email: row.text("email")?,
        created_at: row.time("created_at")?,
        last_used_at: row.time("last_used_at")?,
    })
}
