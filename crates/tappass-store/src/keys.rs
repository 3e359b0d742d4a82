//! The keys of agents. Only a keyed hash is stored; the key itself was shown once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{any::AnyRow, query};
use uuid::Uuid;

use crate::{
    Agent, Db, Reach, StoreError, Tx,
    agents::agent_of,
    row::{Columns as _, to_word},
    users::{changed, email_key},
};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// An agent's own: `tp_…`.
    Agent,
    /// A developer's, to run an agent on their machine: `tp_dev_…`.
    Developer,
    /// A person's access token: `tp_pat_…`.
    Personal,
}

/// A key of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentKey {
    /// Its identity.
    pub key_id: Uuid,
    /// The agent's organisation.
    pub org_id: Uuid,
    /// Whose it is.
    pub agent_uuid: Uuid,
    /// What it is for.
    pub kind: KeyKind,
    /// What may be shown of it, to tell keys apart: `tp_3fK9…x7Qa`.
    pub hint: String,
    /// The developer it is bound to, by their address: it ends when they leave the organisation.
    pub email: Option<String>,
    /// Who made it.
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, within a minute or so.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A key that has not been revoked, and its agent.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyHolder {
    /// The key.
    pub key_id: Uuid,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Whose it is.
    pub agent: Agent,
}

/// The keys.
#[derive(Debug, Clone, Copy)]
pub struct AgentKeys<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl AgentKeys<'_> {
    /// Adds a key; `false` when its organisation has no such agent.
    pub async fn create(&self, key: &AgentKey, key_hash: String) -> Result<bool, StoreError> {
        let mut tx = self.0.write(key.org_id).await?;
        if !insert(&mut tx, key, key_hash).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The keys of an agent, revoked ones too, oldest first. Empty when there is no such agent.
    pub async fn list(&self, org_id: Uuid, agent_uuid: Uuid) -> Result<Vec<AgentKey>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query(
            "SELECT key_id, org_id, agent_uuid, kind, hint, email, created_by, created_at, expires_at, \
             last_used_at, revoked_at FROM agent_keys WHERE org_id = $1 AND agent_uuid = $2 ORDER BY key_id",
        );
        let rows = tx.fetch_all(select.bind(org_id.to_string()).bind(agent_uuid.to_string())).await?;
        tx.commit().await?;
        rows.iter().map(key_of).collect()
    }

    /// Revokes a key; `false` when the agent has no such key that lasts.
    pub async fn revoke(
        &self,
        org_id: Uuid,
        agent_uuid: Uuid,
        key_id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE agent_keys SET revoked_at = $4 \
             WHERE org_id = $1 AND agent_uuid = $2 AND key_id = $3 AND revoked_at IS NULL",
        )
        .bind(org_id.to_string())
        .bind(agent_uuid.to_string())
        .bind(key_id.to_string())
        .bind(now.as_microsecond());
        changed(self.0, org_id, update).await
    }

    /// One key of an agent, unless it has been revoked.
    pub async fn get(
        &self,
        org_id: Uuid,
        agent_uuid: Uuid,
        key_id: Uuid,
    ) -> Result<Option<AgentKey>, StoreError> {
        let all = self.list(org_id, agent_uuid).await?;
        Ok(all.into_iter().find(|key| key.key_id == key_id && key.revoked_at.is_none()))
    }

    /// Adds a key in place of another, which ends at `ends`, or when it would have ended anyway, if that is sooner.
    /// `false`, and nothing is done, when the agent has no such key that lasts.
    pub async fn rotate(
        &self,
        old: Uuid,
        ends: Timestamp,
        key: &AgentKey,
        key_hash: String,
    ) -> Result<bool, StoreError> {
        let mut tx = self.0.write(key.org_id).await?;
        let update = query(
            "UPDATE agent_keys SET expires_at = \
             CASE WHEN expires_at IS NULL OR expires_at > $4 THEN $4 ELSE expires_at END \
             WHERE org_id = $1 AND agent_uuid = $2 AND key_id = $3 AND revoked_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $5)",
        )
        .bind(key.org_id.to_string())
        .bind(key.agent_uuid.to_string())
        .bind(old.to_string())
        .bind(ends.as_microsecond())
        .bind(key.created_at.as_microsecond());
        if tx.execute(update).await? == 0 || !insert(&mut tx, key, key_hash).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Who holds the key of this hash, unless it has been revoked. It may have expired, and the agent
    /// may be suspended.
    pub async fn holder(&self, key_hash: &str) -> Result<Option<KeyHolder>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query(
            "SELECT a.*, k.key_id, k.expires_at FROM agent_keys k \
             JOIN agents a ON a.org_id = k.org_id AND a.agent_uuid = k.agent_uuid \
             WHERE k.key_hash = $1 AND k.revoked_at IS NULL",
        );
        let row = tx.fetch_optional(select.bind(key_hash.to_owned())).await?;
        tx.commit().await?;
        row.map(|r| {
            Ok(KeyHolder {
                key_id: r.uuid("key_id")?,
                expires_at: r.opt_time("expires_at")?,
                agent: agent_of(&r)?,
            })
        })
        .transpose()
    }

    /// Notes when keys were last used, many at once. A time earlier than the one noted changes nothing.
    pub async fn used(&self, uses: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
        // In one order, so that two replicas don't wait for each other's rows.
        let mut uses = uses.to_vec();
        uses.sort_unstable();
        let mut tx = self.0.write(Reach::All).await?;
        for (key_id, at) in uses {
            let update = query(
                "UPDATE agent_keys SET last_used_at = $2 \
                 WHERE key_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
            );
            tx.execute(update.bind(key_id.to_string()).bind(at.as_microsecond())).await?;
        }
        tx.commit().await
    }
}

/// `false` when its organisation has no such agent.
async fn insert(tx: &mut Tx, key: &AgentKey, key_hash: String) -> Result<bool, StoreError> {
    let insert = query(
        "INSERT INTO agent_keys (key_id, org_id, agent_uuid, kind, key_hash, hint, email, email_key, created_by, \
         created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(key.key_id.to_string())
    .bind(key.org_id.to_string())
    .bind(key.agent_uuid.to_string())
    .bind(to_word("kind", &key.kind)?)
    .bind(key_hash)
    .bind(key.hint.clone())
    .bind(key.email.clone())
    .bind(key.email.as_deref().map(email_key))
    .bind(key.created_by.clone())
    .bind(key.created_at.as_microsecond())
    .bind(key.expires_at.map(Timestamp::as_microsecond));
    match tx.execute(insert).await {
        Err(e) if e.is_missing_parent() => Ok(false),
        Err(e) => Err(e.conflict(|| format!("key {}", key.hint))),
        Ok(_) => Ok(true),
    }
}

fn key_of(row: &AnyRow) -> Result<AgentKey, StoreError> {
    Ok(AgentKey {
        key_id: row.uuid("key_id")?,
        org_id: row.uuid("org_id")?,
        agent_uuid: row.uuid("agent_uuid")?,
        kind: row.word("kind")?,
        hint: row.text("hint")?,
        email: row.opt_text("email")?,
        created_by: row.opt_text("created_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
        last_used_at: row.opt_time("last_used_at")?,
        revoked_at: row.opt_time("revoked_at")?,
    })
}
