//! People's sessions: logins, each acting in one organisation.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, any::AnyRow, query};
use tappass_model::Role;
use uuid::Uuid;

use crate::{
    Db, Page, PageRequest, Reach, StoreError, Users,
    row::{Columns as _, to_word},
    users::touched,
};

/// What a session stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// A password, and the second factor where there is one.
    Password,
    /// An issuer (OpenID Connect), who answers for a second factor of its own.
    Issuer,
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
    /// What it stands on.
    pub proof: Proof,
    /// The network address from which they logged in, where it is known.
    pub address: Option<IpAddr>,
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
    /// Whether the organisation wants a second factor that the person has not set up yet.
    pub factor_missing: bool,
}

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Users<'_> {
    /// Begins a session; `false` when its person is no member of its organisation.
    pub async fn open_session(&self, session: &UserSession, token_hash: String) -> Result<bool, StoreError> {
        let mut tx = self.0.write(session.org_id).await?;
        let insert = query(
            "INSERT INTO user_sessions \
             (session_id, org_id, user_id, token_hash, created_at, expires_at, proof, address) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(session.session_id.to_string())
        .bind(session.org_id.to_string())
        .bind(session.user_id.to_string())
        .bind(token_hash)
        .bind(session.created_at.as_microsecond())
        .bind(session.expires_at.as_microsecond())
        .bind(to_word("proof", &session.proof)?)
        .bind(session.address.map(|address| address.to_string()));
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other.map_err(|e| e.conflict(|| format!("session {}", session.session_id)))?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// A session by its token's hash, unless it has been revoked. The caller checks whether it has expired.
    pub async fn session(&self, token_hash: &str) -> Result<Option<SessionUser>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query(
            "SELECT s.*, u.email, m.role, CASE WHEN o.require_second_factor = 1 AND s.proof = 'password' \
             AND f.confirmed_at IS NULL THEN 1 ELSE 0 END AS factor_missing \
             FROM user_sessions s JOIN users u ON u.user_id = s.user_id \
             JOIN memberships m ON m.org_id = s.org_id AND m.user_id = s.user_id \
             JOIN orgs o ON o.org_id = s.org_id LEFT JOIN second_factors f ON f.user_id = s.user_id \
             WHERE s.token_hash = $1 AND s.revoked_at IS NULL",
        );
        let row = tx.fetch_optional(select.bind(token_hash.to_owned())).await?;
        tx.commit().await?;
        row.map(|r| {
            Ok(SessionUser {
                session: session_of(&r)?,
                email: r.text("email")?,
                role: r.word("role")?,
                factor_missing: r.int("factor_missing")? == 1,
            })
        })
        .transpose()
    }

    /// A person's sessions that last, in all their organisations, oldest first.
    pub async fn own_sessions(
        &self,
        user_id: Uuid,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<UserSession>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query(
            "SELECT * FROM user_sessions WHERE user_id = $1 AND session_id > $2 \
             AND revoked_at IS NULL AND expires_at > $3 ORDER BY session_id LIMIT $4",
        )
        .bind(user_id.to_string())
        .bind(page.after()?)
        .bind(now.as_microsecond())
        .bind(page.fetch());
        let rows = tx.fetch_all(select).await?;
        tx.commit().await?;
        let items = rows.iter().map(session_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |s: &UserSession| s.session_id.to_string()))
    }

    /// A member's sessions that last in one organisation, oldest first.
    pub async fn sessions(
        &self,
        org_id: Uuid,
        user_id: Uuid,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<UserSession>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query(
            "SELECT * FROM user_sessions WHERE org_id = $1 AND user_id = $2 AND session_id > $3 \
             AND revoked_at IS NULL AND expires_at > $4 ORDER BY session_id LIMIT $5",
        )
        .bind(org_id.to_string())
        .bind(user_id.to_string())
        .bind(page.after()?)
        .bind(now.as_microsecond())
        .bind(page.fetch());
        let rows = tx.fetch_all(select).await?;
        tx.commit().await?;
        let items = rows.iter().map(session_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |s: &UserSession| s.session_id.to_string()))
    }

    /// Ends a member's session; `false` when there is none that lasts.
    pub async fn revoke_session(
        &self,
        org_id: Uuid,
        user_id: Uuid,
        session_id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(end(self.0, user_id, Some(org_id), Some(session_id), now).await? > 0)
    }

    /// Ends a session of a person's own, wherever it acts; `false` when there is none that lasts.
    pub async fn revoke_own_session(
        &self,
        user_id: Uuid,
        session_id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(end(self.0, user_id, None, Some(session_id), now).await? > 0)
    }

    /// Ends all sessions of a member in an organisation; how many.
    pub async fn revoke_sessions(
        &self,
        org_id: Uuid,
        user_id: Uuid,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        end(self.0, user_id, Some(org_id), None, now).await
    }

    /// Forgets the sessions that expired before this time; how many.
    pub async fn forget_sessions(&self, before: Timestamp) -> Result<u64, StoreError> {
        let delete = query("DELETE FROM user_sessions WHERE expires_at < $1").bind(before.as_microsecond());
        touched(self.0, Reach::All, delete).await
    }
}

/// Ends what lasts of a person's sessions: in one organisation or in all, one of them or every one. How many.
async fn end(
    db: &Db,
    user_id: Uuid,
    org_id: Option<Uuid>,
    session_id: Option<Uuid>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut sql =
        "UPDATE user_sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL".to_owned();
    let named = [("org_id", org_id), ("session_id", session_id)];
    let named: Vec<_> = named.into_iter().filter_map(|(column, id)| Some((column, id?))).collect();
    for (number, (column, _)) in (3..).zip(&named) {
        sql.push_str(&format!(" AND {column} = ${number}"));
    }
    let update = query(AssertSqlSafe(sql)).bind(user_id.to_string()).bind(now.as_microsecond());
    let update = named.into_iter().fold(update, |update, (_, id)| update.bind(id.to_string()));
    db.execute(org_id.map_or(Reach::All, Reach::Org), update).await
}

fn session_of(row: &AnyRow) -> Result<UserSession, StoreError> {
    Ok(UserSession {
        session_id: row.uuid("session_id")?,
        org_id: row.uuid("org_id")?,
        user_id: row.uuid("user_id")?,
        proof: row.word("proof")?,
        address: row.opt_text("address")?.and_then(|address| address.parse().ok()),
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}
