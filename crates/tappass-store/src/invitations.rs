//! Invitations into an organisation: a link by which somebody comes in, once. Only its token's keyed hash is stored.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{any::AnyRow, query};
use tappass_model::Role;
use uuid::Uuid;

use crate::{
    Credentials, Db, Page, PageRequest, Reach, StoreError, Tx,
    row::{Columns as _, to_word},
    users::{changed, email_key, insert_membership, insert_user},
};

/// An invitation that nobody has accepted or taken back. It may have expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invitation {
    /// Its identity.
    pub invitation_id: Uuid,
    /// Into which organisation.
    pub org_id: Uuid,
    /// Who is invited.
    pub email: String,
    /// As what.
    pub role: Role,
    /// Who invited, in words.
    pub invited_by: String,
    /// The person who invited; `None` for the admin key.
    pub inviter_id: Option<Uuid>,
    /// Whether the link was sent to the address and shown to nobody else: then whoever has it has shown that the
    /// address is theirs.
    pub mailed: bool,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// What became of an acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// They are a member now.
    Member,
    /// They had been before; the invitation is used up.
    Already,
    /// Somebody else accepted it or took it back.
    Gone,
}

/// The invitations.
#[derive(Debug, Clone, Copy)]
pub struct Invitations<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Invitations<'_> {
    /// Adds one; an earlier one for the same address into the same organisation ends. `false` when there is no such
    /// organisation.
    pub async fn create(&self, new: &Invitation, token_hash: String) -> Result<bool, StoreError> {
        let mut tx = self.0.write(new.org_id).await?;
        let end = query(
            "UPDATE invitations SET ended_at = $3 WHERE org_id = $1 AND email_key = $2 AND ended_at IS NULL",
        )
        .bind(new.org_id.to_string())
        .bind(email_key(&new.email))
        .bind(new.created_at.as_microsecond());
        tx.execute(end).await?;
        let insert = query(
            "INSERT INTO invitations (invitation_id, org_id, email, email_key, role, token_hash, invited_by, \
             inviter_id, mailed, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(new.invitation_id.to_string())
        .bind(new.org_id.to_string())
        .bind(new.email.clone())
        .bind(email_key(&new.email))
        .bind(to_word("role", &new.role)?)
        .bind(token_hash)
        .bind(new.invited_by.clone())
        .bind(new.inviter_id.map(|id| id.to_string()))
        .bind(i64::from(new.mailed))
        .bind(new.created_at.as_microsecond())
        .bind(new.expires_at.as_microsecond());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other.map_err(|e| e.conflict(|| format!("an invitation for {}", new.email)))?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// Those that are open in an organisation, oldest first.
    pub async fn list(
        &self,
        org_id: Uuid,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<Invitation>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query(
            "SELECT * FROM invitations WHERE org_id = $1 AND invitation_id > $2 AND ended_at IS NULL \
             AND expires_at > $3 ORDER BY invitation_id LIMIT $4",
        )
        .bind(org_id.to_string())
        .bind(page.after()?)
        .bind(now.as_microsecond())
        .bind(page.fetch());
        let rows = tx.fetch_all(select).await?;
        tx.commit().await?;
        let items = rows.iter().map(invitation_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |i: &Invitation| i.invitation_id.to_string()))
    }

    /// Takes one back; `false` when there is none that is open.
    pub async fn revoke(
        &self,
        org_id: Uuid,
        invitation_id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE invitations SET ended_at = $3 \
             WHERE org_id = $1 AND invitation_id = $2 AND ended_at IS NULL",
        )
        .bind(org_id.to_string())
        .bind(invitation_id.to_string())
        .bind(now.as_microsecond());
        changed(self.0, org_id, update).await
    }

    /// One by its token's hash, unless it has ended. The caller checks whether it has expired.
    pub async fn find(&self, token_hash: &str) -> Result<Option<Invitation>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query("SELECT * FROM invitations WHERE token_hash = $1 AND ended_at IS NULL");
        let row = tx.fetch_optional(select.bind(token_hash.to_owned())).await?;
        tx.commit().await?;
        row.as_ref().map(invitation_of).transpose()
    }

    /// Those that are open for an address, in all organisations: for an issuer who has verified it.
    pub async fn of_address(&self, email: &str, now: Timestamp) -> Result<Vec<Invitation>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query(
            "SELECT * FROM invitations WHERE email_key = $1 AND ended_at IS NULL AND expires_at > $2 \
             ORDER BY invitation_id",
        );
        let rows = tx.fetch_all(select.bind(email_key(email)).bind(now.as_microsecond())).await?;
        tx.commit().await?;
        rows.iter().map(invitation_of).collect()
    }

    /// Accepts one with a new account, or does nothing. [`StoreError::Conflict`] when the address has an account.
    pub async fn accept_new(
        &self,
        invitation: &Invitation,
        new: &Credentials,
        now: Timestamp,
    ) -> Result<Joined, StoreError> {
        let mut tx = self.0.write(invitation.org_id).await?;
        if !end(&mut tx, invitation, now).await? {
            return Ok(Joined::Gone);
        }
        insert_user(&mut tx, new).await?;
        insert_membership(&mut tx, invitation.org_id, new.user.user_id, invitation.role, now).await?;
        tx.commit().await?;
        Ok(Joined::Member)
    }

    /// Accepts one for somebody who has an account.
    pub async fn accept(
        &self,
        invitation: &Invitation,
        user_id: Uuid,
        now: Timestamp,
    ) -> Result<Joined, StoreError> {
        let mut tx = self.0.write(invitation.org_id).await?;
        if !end(&mut tx, invitation, now).await? {
            return Ok(Joined::Gone);
        }
        let select = query("SELECT 1 FROM memberships WHERE org_id = $1 AND user_id = $2");
        let select = select.bind(invitation.org_id.to_string()).bind(user_id.to_string());
        let already = tx.fetch_optional(select).await?.is_some();
        if !already {
            insert_membership(&mut tx, invitation.org_id, user_id, invitation.role, now).await?;
        }
        tx.commit().await?;
        Ok(if already { Joined::Already } else { Joined::Member })
    }
}

/// Uses an invitation up; `false` when somebody else has.
async fn end(tx: &mut Tx, invitation: &Invitation, now: Timestamp) -> Result<bool, StoreError> {
    let update = query("UPDATE invitations SET ended_at = $2 WHERE invitation_id = $1 AND ended_at IS NULL");
    let update = update.bind(invitation.invitation_id.to_string()).bind(now.as_microsecond());
    Ok(tx.execute(update).await? > 0)
}

fn invitation_of(row: &AnyRow) -> Result<Invitation, StoreError> {
    let inviter = row.opt_text("inviter_id")?;
    Ok(Invitation {
        invitation_id: row.uuid("invitation_id")?,
        org_id: row.uuid("org_id")?,
        email: row.text("email")?,
        role: row.word("role")?,
        invited_by: row.text("invited_by")?,
        inviter_id: inviter.map(|_| row.uuid("inviter_id")).transpose()?,
        mailed: row.int("mailed")? == 1,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}
