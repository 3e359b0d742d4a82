//! People: who they are, which organisations they belong to, and their sessions.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{any::AnyRow, query};
use tappass_model::Role;
use uuid::Uuid;

use crate::{
    Db, Org, Page, PageRequest, StoreError, Tx,
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
    /// The password's hash as a PHC string.
    pub password_hash: String,
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

/// A person's login, which acts in one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserSession {
    /// Its identity.
    pub session_id: Uuid,
    /// Where it acts.
    pub org_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// When they logged in.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A session that has not been revoked, with whose it is. It may have expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUser {
    /// The session.
    pub session: UserSession,
    /// The person's address.
    pub email: String,
    /// Their role in the session's organisation, now.
    pub role: Role,
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
        let mut tx = self.0.write().await?;
        orgs::insert(&mut tx, org).await?;
        insert_user(&mut tx, new).await?;
        insert_membership(&mut tx, org.org_id, new.user.user_id, role, org.created_at).await?;
        tx.commit().await
    }

    /// Adds a person to an organisation, or nothing. [`StoreError::Conflict`] when the address is taken;
    /// `false` when there is no such organisation.
    pub async fn create(&self, org_id: Uuid, new: &Credentials, role: Role) -> Result<bool, StoreError> {
        let mut tx = self.0.write().await?;
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
        let mut tx = self.0.read().await?;
        let select =
            query("SELECT user_id, email, created_at, password_hash FROM users WHERE email_key = $1");
        let row = tx.fetch_optional(select.bind(email_key(email))).await?;
        tx.commit().await?;
        row.map(|r| Ok(Credentials { user: user_of(&r)?, password_hash: r.text("password_hash")? }))
            .transpose()
    }

    /// The organisations a person belongs to and as what, oldest membership first.
    pub async fn orgs(&self, user_id: Uuid) -> Result<Vec<(Org, Role)>, StoreError> {
        let mut tx = self.0.read().await?;
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
        let mut tx = self.0.read().await?;
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
        let mut tx = self.0.read().await?;
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

    /// Gives a member another role; `false` when there is no such member.
    pub async fn set_role(&self, org_id: Uuid, user_id: Uuid, role: Role) -> Result<bool, StoreError> {
        let update = query("UPDATE memberships SET role = $3 WHERE org_id = $1 AND user_id = $2")
            .bind(org_id.to_string())
            .bind(user_id.to_string())
            .bind(to_word("role", &role)?);
        changed(self.0, update).await
    }

    /// Ends a membership and its sessions; `false` when there is no such member.
    pub async fn remove(&self, org_id: Uuid, user_id: Uuid) -> Result<bool, StoreError> {
        let delete = query("DELETE FROM memberships WHERE org_id = $1 AND user_id = $2")
            .bind(org_id.to_string())
            .bind(user_id.to_string());
        changed(self.0, delete).await
    }

    /// Replaces the hash of a member's password; `false` when there is no such member.
    pub async fn set_password(&self, org_id: Uuid, user_id: Uuid, hash: String) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE users SET password_hash = $3 WHERE user_id = $2 \
             AND EXISTS (SELECT 1 FROM memberships m WHERE m.org_id = $1 AND m.user_id = users.user_id)",
        )
        .bind(org_id.to_string())
        .bind(user_id.to_string())
        .bind(hash);
        changed(self.0, update).await
    }

    /// Begins a session; `false` when its person is no member of its organisation.
    pub async fn open_session(&self, session: &UserSession, token_hash: String) -> Result<bool, StoreError> {
        let mut tx = self.0.write().await?;
        let insert = query(
            "INSERT INTO user_sessions (session_id, org_id, user_id, token_hash, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(session.session_id.to_string())
        .bind(session.org_id.to_string())
        .bind(session.user_id.to_string())
        .bind(token_hash)
        .bind(session.created_at.as_microsecond())
        .bind(session.expires_at.as_microsecond());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other.map_err(|e| e.conflict(|| format!("session {}", session.session_id)))?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// A session by its token's hash, unless it has been revoked. The caller checks whether it has expired.
    pub async fn session(&self, token_hash: &str) -> Result<Option<SessionUser>, StoreError> {
        let mut tx = self.0.read().await?;
        let select = query(
            "SELECT s.session_id, s.org_id, s.user_id, s.created_at, s.expires_at, u.email, m.role \
             FROM user_sessions s JOIN users u ON u.user_id = s.user_id \
             JOIN memberships m ON m.org_id = s.org_id AND m.user_id = s.user_id \
             WHERE s.token_hash = $1 AND s.revoked_at IS NULL",
        );
        let row = tx.fetch_optional(select.bind(token_hash.to_owned())).await?;
        tx.commit().await?;
        row.map(|r| {
            let session = UserSession {
                session_id: r.uuid("session_id")?,
                org_id: r.uuid("org_id")?,
                user_id: r.uuid("user_id")?,
                created_at: r.time("created_at")?,
                expires_at: r.time("expires_at")?,
            };
            Ok(SessionUser { session, email: r.text("email")?, role: r.word("role")? })
        })
        .transpose()
    }

    /// Ends a session; `false` when there is none that lasts.
    pub async fn revoke_session(
        &self,
        org_id: Uuid,
        session_id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE user_sessions SET revoked_at = $3 \
             WHERE org_id = $1 AND session_id = $2 AND revoked_at IS NULL",
        )
        .bind(org_id.to_string())
        .bind(session_id.to_string())
        .bind(now.as_microsecond());
        changed(self.0, update).await
    }

    /// Ends all sessions of a member in an organisation; how many.
    pub async fn revoke_sessions(
        &self,
        org_id: Uuid,
        user_id: Uuid,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let update = query(
            "UPDATE user_sessions SET revoked_at = $3 \
             WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL",
        )
        .bind(org_id.to_string())
        .bind(user_id.to_string())
        .bind(now.as_microsecond());
        touched(self.0, update).await
    }

    /// Forgets the sessions that expired before this time; how many.
    pub async fn forget_sessions(&self, before: Timestamp) -> Result<u64, StoreError> {
        let delete = query("DELETE FROM user_sessions WHERE expires_at < $1").bind(before.as_microsecond());
        touched(self.0, delete).await
    }
}

/// Runs one writing statement in its own transaction; how many rows it touched.
pub(crate) async fn touched(db: &Db, statement: crate::db::Statement) -> Result<u64, StoreError> {
    let mut tx = db.write().await?;
    let rows = tx.execute(statement).await?;
    tx.commit().await?;
    Ok(rows)
}

/// As [`touched`]; whether there was a row at all.
pub(crate) async fn changed(db: &Db, statement: crate::db::Statement) -> Result<bool, StoreError> {
    Ok(touched(db, statement).await? > 0)
}

async fn insert_user(tx: &mut Tx, new: &Credentials) -> Result<(), StoreError> {
    let insert = query(
        "INSERT INTO users (user_id, email, email_key, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(new.user.user_id.to_string())
    .bind(new.user.email.clone())
    .bind(email_key(&new.user.email))
    .bind(new.password_hash.clone())
    .bind(new.user.created_at.as_microsecond());
    tx.execute(insert).await.map_err(|e| e.conflict(|| "an account with this address".to_owned()))?;
    Ok(())
}

async fn insert_membership(
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

fn member_of(row: &AnyRow) -> Result<Member, StoreError> {
    Ok(Member { user: user_of(row)?, role: row.word("role")? })
}
