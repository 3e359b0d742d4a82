//! People: who they are and which organisations they belong to.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{any::AnyRow, query};
use tappass_model::Role;
use uuid::Uuid;

use crate::{
    Db, Org, Page, PageRequest, Reach, StoreError, Tx,
    orgs::{self, org_of},
    row::{Columns as _, to_word},
};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Their identity.
    pub user_id: Uuid,
    /// Their address as they write it; unique without regard to case.
    pub email: String,
    /// When they were added.
    pub created_at: Timestamp,
}

/// A person and what their password is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub user: User,
    /// The password's hash as a PHC string; `None` for somebody whom only an issuer (OpenID Connect) signs in.
    pub password_hash: Option<String>,
    /// Whether somebody has shown that the address is theirs: a link sent there, or an issuer.
    pub email_verified: bool,
}

/// Without the hash.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A person in an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Who.
    #[serde(flatten)]
    pub user: User,
    /// As what.
    pub role: Role,
}

/// What became of a change to a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// It was made.
    Changed,
    /// There is no such member.
    Missing,
    /// It would have left the organisation without an administrator.
    LastAdmin,
}

/// The form under which an address is unique.
#[must_use]
pub fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The people.
#[derive(Debug, Clone, Copy)]
pub struct Users<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Users<'_> {
    /// Adds an organisation with its first person, or nothing. [`StoreError::Conflict`] when the address is taken.
    pub async fn sign_up(&self, org: &Org, new: &Credentials, role: Role) -> Result<(), StoreError> {
        let mut tx = self.0.write(org.org_id).await?;
        orgs::insert(&mut tx, org).await?;
        insert_user(&mut tx, new).await?;
        insert_membership(&mut tx, org.org_id, new.user.user_id, role, org.created_at).await?;
        tx.commit().await
    }

    /// Adds a person to an organisation, or nothing. [`StoreError::Conflict`] when the address is taken;
    /// `false` when there is no such organisation.
    pub async fn create(&self, org_id: Uuid, new: &Credentials, role: Role) -> Result<bool, StoreError> {
        let mut tx = self.0.write(org_id).await?;
        insert_user(&mut tx, new).await?;
        match insert_membership(&mut tx, org_id, new.user.user_id, role, new.user.created_at).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other?,
        }
        tx.commit().await?;
        Ok(true)
    }

    /// A person by their address, for the login: the one search that is not scoped by organisation.
    pub async fn credentials(&self, email: &str) -> Result<Option<Credentials>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query(
            "SELECT user_id, email, created_at, password_hash, email_verified_at FROM users WHERE email_key = $1",
        );
        let row = tx.fetch_optional(select.bind(email_key(email))).await?;
        tx.commit().await?;
        row.as_ref().map(credentials_of).transpose()
    }

    /// A person by their identity, whatever organisations they belong to: for what is their account's own.
    pub async fn account(&self, user_id: Uuid) -> Result<Option<Credentials>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query(
            "SELECT user_id, email, created_at, password_hash, email_verified_at FROM users WHERE user_id = $1",
        );
        let row = tx.fetch_optional(select.bind(user_id.to_string())).await?;
        tx.commit().await?;
        row.as_ref().map(credentials_of).transpose()
    }

    /// Adds an organisation with somebody who has an account as its first person; `false` when there is no such person.
    pub async fn found(&self, org: &Org, user_id: Uuid, role: Role) -> Result<bool, StoreError> {
        let mut tx = self.0.write(org.org_id).await?;
        orgs::insert(&mut tx, org).await?;
        match insert_membership(&mut tx, org.org_id, user_id, role, org.created_at).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other?,
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Adds somebody who has an account to an organisation; `false` when they belong to it already, or there is no such
    /// person or organisation.
    pub async fn join(
        &self,
        org_id: Uuid,
        user_id: Uuid,
        role: Role,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.0.write(org_id).await?;
        let added = insert_membership(&mut tx, org_id, user_id, role, now).await;
        match added.map_err(|e| e.conflict(|| "a member".to_owned())) {
            Err(StoreError::Conflict(_)) => return Ok(false),
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other?,
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Notes that an address is its person's. If nobody had shown that before, the account may be somebody else's who
    /// merely named the address: then its password, second factor, sessions and personal tokens end.
    pub async fn verify_email(&self, user_id: Uuid, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        let id = user_id.to_string();
        let first = query(
            "UPDATE users SET email_verified_at = $2, password_hash = '' \
             WHERE user_id = $1 AND email_verified_at IS NULL",
        );
        if tx.execute(first.bind(id.clone()).bind(now.as_microsecond())).await? > 0 {
            tx.execute(query("DELETE FROM second_factors WHERE user_id = $1").bind(id)).await?;
            end_all(&mut tx, user_id, now).await?;
        }
        tx.commit().await
    }

    /// The organisations a person belongs to and as what, oldest membership first.
    pub async fn orgs(&self, user_id: Uuid) -> Result<Vec<(Org, Role)>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query(
            "SELECT o.org_id, o.name, o.created_at, m.role FROM memberships m JOIN orgs o ON o.org_id = m.org_id \
             WHERE m.user_id = $1 ORDER BY m.created_at, o.org_id",
        );
        let rows = tx.fetch_all(select.bind(user_id.to_string())).await?;
        tx.commit().await?;
        rows.iter().map(|r| Ok((org_of(r)?, r.word("role")?))).collect()
    }

    /// One member of an organisation.
    pub async fn get(&self, org_id: Uuid, user_id: Uuid) -> Result<Option<Member>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query(
            "SELECT u.user_id, u.email, u.created_at, m.role FROM memberships m \
             JOIN users u ON u.user_id = m.user_id WHERE m.org_id = $1 AND m.user_id = $2",
        );
        let row = tx.fetch_optional(select.bind(org_id.to_string()).bind(user_id.to_string())).await?;
        tx.commit().await?;
        row.as_ref().map(member_of).transpose()
    }

    /// The members of an organisation, oldest first.
    pub async fn list(&self, org_id: Uuid, page: &PageRequest) -> Result<Page<Member>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query(
            "SELECT u.user_id, u.email, u.created_at, m.role FROM memberships m \
             JOIN users u ON u.user_id = m.user_id WHERE m.org_id = $1 AND m.user_id > $2 \
             ORDER BY m.user_id LIMIT $3",
        );
        let rows =
            tx.fetch_all(select.bind(org_id.to_string()).bind(page.after()?).bind(page.fetch())).await?;
        tx.commit().await?;
        let items = rows.iter().map(member_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |m: &Member| m.user.user_id.to_string()))
    }

    /// Gives a member another role. What they made as a developer ends with it: [`Users::remove`].
    pub async fn set_role(
        &self,
        org_id: Uuid,
        user_id: Uuid,
        role: Role,
        now: Timestamp,
    ) -> Result<Membership, StoreError> {
        let mut tx = self.0.write(org_id).await?;
        let update = query("UPDATE memberships SET role = $3 WHERE org_id = $1 AND user_id = $2")
            .bind(org_id.to_string())
            .bind(user_id.to_string())
            .bind(to_word("role", &role)?);
        let done = leave(&mut tx, org_id, user_id, role >= Role::OrgAdmin, update).await?;
        if done == Membership::Changed {
            if role < Role::Developer {
                end_developer_keys(&mut tx, org_id, user_id, now).await?;
            }
            tx.commit().await?;
        }
        Ok(done)
    }

    /// Ends a membership with its sessions and personal tokens, and the developer keys that are bound to the member's
    /// address.
    pub async fn remove(
        &self,
        org_id: Uuid,
        user_id: Uuid,
        now: Timestamp,
    ) -> Result<Membership, StoreError> {
        let mut tx = self.0.write(org_id).await?;
        let delete = query("DELETE FROM memberships WHERE org_id = $1 AND user_id = $2")
            .bind(org_id.to_string())
            .bind(user_id.to_string());
        let done = leave(&mut tx, org_id, user_id, false, delete).await?;
        if done == Membership::Changed {
            end_developer_keys(&mut tx, org_id, user_id, now).await?;
            tx.commit().await?;
        }
        Ok(done)
    }

    /// Replaces the hash of a person's password and ends their sessions but `keep`; `false` when there is no such
    /// person.
    pub async fn set_password(
        &self,
        user_id: Uuid,
        hash: String,
        keep: Option<Uuid>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        let update = query("UPDATE users SET password_hash = $2 WHERE user_id = $1");
        if tx.execute(update.bind(user_id.to_string()).bind(hash)).await? == 0 {
            return Ok(false);
        }
        end_sessions(&mut tx, user_id, keep, now).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// Runs one writing statement in its own transaction; how many rows it touched.
pub(crate) async fn touched(
    db: &Db,
    reach: impl Into<Reach>,
    statement: crate::db::Statement,
) -> Result<u64, StoreError> {
    let mut tx = db.write(reach).await?;
    let rows = tx.execute(statement).await?;
    tx.commit().await?;
    Ok(rows)
}

/// As [`touched`]; whether there was a row at all.
pub(crate) async fn changed(
    db: &Db,
    reach: impl Into<Reach>,
    statement: crate::db::Statement,
) -> Result<bool, StoreError> {
    Ok(touched(db, reach, statement).await? > 0)
}

/// Runs a statement that takes a member away, or their role, unless nobody would govern the organisation then.
/// The first statement takes the organisation's row, so that of two who take each other's role one waits and is refused.
async fn leave(
    tx: &mut Tx,
    org_id: Uuid,
    user_id: Uuid,
    still_governs: bool,
    statement: crate::db::Statement,
) -> Result<Membership, StoreError> {
    let org = org_id.to_string();
    tx.execute(query("UPDATE orgs SET version = version WHERE org_id = $1").bind(org.clone())).await?;
    let select = query("SELECT role FROM memberships WHERE org_id = $1 AND user_id = $2");
    let Some(row) = tx.fetch_optional(select.bind(org.clone()).bind(user_id.to_string())).await? else {
        return Ok(Membership::Missing);
    };
    let role: Role = row.word("role")?;
    if role >= Role::OrgAdmin && !still_governs {
        let others = query(
            "SELECT 1 FROM memberships WHERE org_id = $1 AND user_id <> $2 \
             AND role IN ('org_admin', 'platform_admin')",
        );
        if tx.fetch_optional(others.bind(org).bind(user_id.to_string())).await?.is_none() {
            return Ok(Membership::LastAdmin);
        }
    }
    tx.execute(statement).await?;
    Ok(Membership::Changed)
}

/// Revokes the developer keys in an organisation that are bound to a person's address.
async fn end_developer_keys(
    tx: &mut Tx,
    org_id: Uuid,
    user_id: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    let update = query(
        "UPDATE agent_keys SET revoked_at = $3 WHERE org_id = $1 AND revoked_at IS NULL \
         AND email_key = (SELECT email_key FROM users WHERE user_id = $2)",
    );
    let update = update.bind(org_id.to_string()).bind(user_id.to_string()).bind(now.as_microsecond());
    tx.execute(update).await.map(|_| ())
}

/// Ends a person's sessions everywhere, but the one to keep.
pub(crate) async fn end_sessions(
    tx: &mut Tx,
    user_id: Uuid,
    keep: Option<Uuid>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let update = query(
        "UPDATE user_sessions SET revoked_at = $3 \
         WHERE user_id = $1 AND session_id <> $2 AND revoked_at IS NULL",
    );
    let keep = keep.map(|id| id.to_string()).unwrap_or_default();
    tx.execute(update.bind(user_id.to_string()).bind(keep).bind(now.as_microsecond())).await.map(|_| ())
}

/// Ends everything by which a person is signed in: sessions and personal tokens.
pub(crate) async fn end_all(tx: &mut Tx, user_id: Uuid, now: Timestamp) -> Result<(), StoreError> {
    end_sessions(tx, user_id, None, now).await?;
    let update =
        query("UPDATE personal_tokens SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL");
    tx.execute(update.bind(user_id.to_string()).bind(now.as_microsecond())).await.map(|_| ())
}

pub(crate) async fn insert_user(tx: &mut Tx, new: &Credentials) -> Result<(), StoreError> {
    let insert = query(
        "INSERT INTO users (user_id, email, email_key, password_hash, email_verified_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.user.user_id.to_string())
    .bind(new.user.email.clone())
    .bind(email_key(&new.user.email))
    .bind(new.password_hash.clone().unwrap_or_default())
    .bind(new.email_verified.then(|| new.user.created_at.as_microsecond()))
    .bind(new.user.created_at.as_microsecond());
    tx.execute(insert).await.map_err(|e| e.conflict(|| "an account with this address".to_owned()))?;
    Ok(())
}

pub(crate) async fn insert_membership(
    tx: &mut Tx,
    org_id: Uuid,
    user_id: Uuid,
    role: Role,
    now: Timestamp,
) -> Result<(), StoreError> {
    let insert = query("INSERT INTO memberships (org_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)")
        .bind(org_id.to_string())
        .bind(user_id.to_string())
        .bind(to_word("role", &role)?)
        .bind(now.as_microsecond());
    tx.execute(insert).await?;
    Ok(())
}

fn user_of(row: &AnyRow) -> Result<User, StoreError> {
    Ok(User { user_id: row.uuid("user_id")?, email: row.text("email")?, created_at: row.time("created_at")? })
}

fn credentials_of(row: &AnyRow) -> Result<Credentials, StoreError> {
    Ok(Credentials {
        user: user_of(row)?,
        password_hash: Some(row.text("password_hash")?).filter(|hash| !hash.is_empty()),
        email_verified: row.opt_time("email_verified_at")?.is_some(),
    })
}

fn member_of(row: &AnyRow) -> Result<Member, StoreError> {
    Ok(Member { user: user_of(row)?, role: row.word("role")? })
}
