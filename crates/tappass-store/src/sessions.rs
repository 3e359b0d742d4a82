//! Sessions that agents have made by name.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{any::AnyRow, query};
use uuid::Uuid;

use crate::{Db, Page, PageRequest, Reach, StoreError, row::Columns as _};

/// A session that an agent has made.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSession {
    /// The agent's organisation.
    pub org_id: Uuid,
    /// Its id: what calls name it by.
    pub session_id: Uuid,
    /// The agent that made it, and that alone can use and change it.
    pub agent_uuid: Uuid,
    /// That agent's name.
    pub agent_id: String,
    /// What people call it.
    pub name: Option<String>,
    /// What the agent says of it: an object.
    pub metadata: Value,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the agent ended it.
    pub ended_at: Option<Timestamp>,
}

/// The sessions.
#[derive(Debug, Clone, Copy)]
pub struct AgentSessions<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl AgentSessions<'_> {
    /// Adds one. False when there is no such organisation.
    pub async fn create(&self, session: &AgentSession) -> Result<bool, StoreError> {
        let mut tx = self.0.write(session.org_id).await?;
        let insert = query(
            "INSERT INTO agent_sessions (org_id, session_id, agent_uuid, agent_id, name, metadata, created_at, ended_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(session.org_id.to_string())
        .bind(session.session_id.to_string())
        .bind(session.agent_uuid.to_string())
        .bind(session.agent_id.clone())
        .bind(session.name.clone())
        .bind(session.metadata.to_string())
        .bind(session.created_at.as_microsecond())
        .bind(session.ended_at.map(Timestamp::as_microsecond));
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// One of an organisation's.
    pub async fn get(&self, org_id: Uuid, session_id: Uuid) -> Result<Option<AgentSession>, StoreError> {
        let select = query("SELECT * FROM agent_sessions WHERE org_id = $1 AND session_id = $2")
            .bind(org_id.to_string())
            .bind(session_id.to_string());
        self.0.read(org_id).await?.fetch_optional(select).await?.map(|row| session(&row)).transpose()
    }

    /// An organisation's, the newest first (ids ascend with time).
    pub async fn list(&self, org_id: Uuid, page: &PageRequest) -> Result<Page<AgentSession>, StoreError> {
        // An id begins with a digit or a letter up to `f`: every one is before `~`.
        let after = Some(page.after()?).filter(|a| !a.is_empty()).unwrap_or_else(|| "~".to_owned());
        let select = query(
            "SELECT * FROM agent_sessions WHERE org_id = $1 AND session_id < $2 ORDER BY session_id DESC LIMIT $3",
        )
        .bind(org_id.to_string())
        .bind(after)
        .bind(page.fetch());
        let rows = self.0.read(org_id).await?.fetch_all(select).await?;
        let items = rows.iter().map(session).collect::<Result<_, _>>()?;
        Ok(page.page(items, |s: &AgentSession| s.session_id.to_string()))
    }

    /// Writes its name, its metadata and its end; the first end stays. False when it is not there.
    pub async fn update(&self, session: &AgentSession) -> Result<bool, StoreError> {
        let mut tx = self.0.write(session.org_id).await?;
        let update = query(
            "UPDATE agent_sessions SET name = $3, metadata = $4, ended_at = COALESCE(ended_at, $5) \
             WHERE org_id = $1 AND session_id = $2",
        )
        .bind(session.org_id.to_string())
        .bind(session.session_id.to_string())
        .bind(session.name.clone())
        .bind(session.metadata.to_string())
        .bind(session.ended_at.map(Timestamp::as_microsecond));
        let changed = tx.execute(update).await? > 0;
        tx.commit().await?;
        Ok(changed)
    }

    /// Forgets what was made before a time.
    pub async fn forget(&self, before: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        tx.execute(query("DELETE FROM agent_sessions WHERE created_at < $1").bind(before.as_microsecond()))
            .await?;
        tx.commit().await
    }
}

fn session(row: &AnyRow) -> Result<AgentSession, StoreError> {
    Ok(AgentSession {
        org_id: row.uuid("org_id")?,
        session_id: row.uuid("session_id")?,
        agent_uuid: row.uuid("agent_uuid")?,
        agent_id: row.text("agent_id")?,
        name: row.opt_text("name")?,
        metadata: row.json("metadata")?,
        created_at: row.time("created_at")?,
        ended_at: row.opt_time("ended_at")?,
    })
}
