//! Links by which a person sets a new password, once. Only a link's token's keyed hash is stored.

use jiff::Timestamp;
use sqlx::query;
use uuid::Uuid;

use crate::{Db, Reach, StoreError, row::Columns as _, users::end_all};

/// A link that nobody has used. It may have expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordReset {
    /// Its identity.
    pub reset_id: Uuid,
    /// Whose password.
    pub user_id: Uuid,
    /// The organisation whose admin asked for it; `None`: the person did, by mail, or the platform's administrator.
    pub org_id: Option<Uuid>,
    /// Whether it removes the second factor too.
    pub second_factor: bool,
    /// Whether it was sent to the person's address and shown to nobody else.
    pub mailed: bool,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// The links.
#[derive(Debug, Clone, Copy)]
pub struct PasswordResets<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl PasswordResets<'_> {
    /// Adds one; earlier ones of the same person end. `false` when there is no such person.
    pub async fn create(&self, new: &PasswordReset, token_hash: String) -> Result<bool, StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        let end = query("UPDATE password_resets SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL");
        tx.execute(end.bind(new.user_id.to_string()).bind(new.created_at.as_microsecond())).await?;
        let insert = query(
            "INSERT INTO password_resets \
             (reset_id, user_id, org_id, token_hash, second_factor, mailed, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(new.reset_id.to_string())
        .bind(new.user_id.to_string())
        .bind(new.org_id.map(|id| id.to_string()))
        .bind(token_hash)
        .bind(i64::from(new.second_factor))
        .bind(i64::from(new.mailed))
        .bind(new.created_at.as_microsecond())
        .bind(new.expires_at.as_microsecond());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// One by its token's hash, unless it has been used. The caller checks whether it has expired.
    pub async fn find(&self, token_hash: &str) -> Result<Option<PasswordReset>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query("SELECT * FROM password_resets WHERE token_hash = $1 AND used_at IS NULL");
        let row = tx.fetch_optional(select.bind(token_hash.to_owned())).await?;
        tx.commit().await?;
        row.map(|row| {
            let org = row.opt_text("org_id")?;
            Ok(PasswordReset {
                reset_id: row.uuid("reset_id")?,
                user_id: row.uuid("user_id")?,
                org_id: org.map(|_| row.uuid("org_id")).transpose()?,
                second_factor: row.int("second_factor")? == 1,
                mailed: row.int("mailed")? == 1,
                created_at: row.time("created_at")?,
                expires_at: row.time("expires_at")?,
            })
        })
        .transpose()
    }

    /// Uses one: sets the password and ends all sessions and personal tokens; `false` when somebody else has used it,
    /// or when an admin asked for it who is not the admin of all the person's organisations.
    pub async fn take(
        &self,
        reset: &PasswordReset,
        hash: String,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (user, now_us) = (reset.user_id.to_string(), now.as_microsecond());
        let mut tx = self.0.write(Reach::All).await?;
        let end = query("UPDATE password_resets SET used_at = $2 WHERE reset_id = $1 AND used_at IS NULL");
        if tx.execute(end.bind(reset.reset_id.to_string()).bind(now_us)).await? == 0 {
            return Ok(false);
        }
        if let Some(org_id) = reset.org_id {
            let others = query("SELECT 1 FROM memberships WHERE user_id = $1 AND org_id <> $2");
            let others = others.bind(user.clone()).bind(org_id.to_string());
            if tx.fetch_optional(others).await?.is_some() {
                return Ok(false);
            }
        }
        let set = query("UPDATE users SET password_hash = $2 WHERE user_id = $1");
        tx.execute(set.bind(user.clone()).bind(hash)).await?;
        if reset.mailed {
            let verify = query(
                "UPDATE users SET email_verified_at = $2 WHERE user_id = $1 AND email_verified_at IS NULL",
            );
            tx.execute(verify.bind(user.clone()).bind(now_us)).await?;
        }
        if reset.second_factor {
            tx.execute(query("DELETE FROM second_factors WHERE user_id = $1").bind(user)).await?;
        }
        end_all(&mut tx, reset.user_id, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets links and invitations that ended before this time; how many.
    pub async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let before = before.as_microsecond();
        let mut tx = self.0.write(Reach::All).await?;
        let resets =
            tx.execute(query("DELETE FROM password_resets WHERE expires_at < $1").bind(before)).await?;
        let invitations =
            tx.execute(query("DELETE FROM invitations WHERE expires_at < $1").bind(before)).await?;
        tx.commit().await?;
        Ok(resets + invitations)
    }
}
