//! Agents: the programs that call models, and what an admin has set for each.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{any::AnyRow, query};
use tappass_model::AgentSettings;
use uuid::Uuid;

use crate::{
    Db, Page, PageRequest, Reach, StoreError, Tx,
    row::{Columns as _, to_json, to_word},
    users::changed,
};

/// Whether an agent may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentStatus {
    /// It may.
    Active,
    /// It is refused at once.
    Suspended,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agent {
    /// Its identity, stable for life.
    pub agent_uuid: Uuid,
    /// Its organisation.
    pub org_id: Uuid,
    /// The name it is called by, unique in its organisation: `claims-processor`.
    pub agent_id: String,
    /// The name people read.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it is built with.
    pub framework: Option<String>,
    /// Who answers for it.
    pub owner_email: Option<String>,
    /// Whether it may call.
    pub status: AgentStatus,
    /// What an admin has set.
    pub settings: AgentSettings,
    /// The SPIFFE id that an admin has set for it; none: the one made of its names.
    pub spiffe_id: Option<String>,
    /// Counts its changes from 1; guards against lost updates.
    pub version: i64,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Agent {
    /// Whether it may call.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == AgentStatus::Active
    }
}

/// The agents.
#[derive(Debug, Clone, Copy)]
pub struct Agents<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Agents<'_> {
    /// Adds one. [`StoreError::Conflict`] when its organisation has one of that `agent_id`, or any has one of that
    /// SPIFFE id;
    /// `false` when there is no such organisation.
    pub async fn create(&self, agent: &Agent) -> Result<bool, StoreError> {
        let mut tx = self.0.write(agent.org_id).await?;
        let made = insert(&mut tx, agent).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The same unless there are `most` agents in all organisations already: then it gives how many, and adds none. Of
    /// many at once as many are added as there is room for.
    pub async fn create_within(&self, agent: &Agent, most: u64) -> Result<Result<bool, u64>, StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        if self.0.is_postgres() {
            // SQLite has one writer; here those who count must wait for each other.
            tx.batch("SELECT pg_advisory_xact_lock(32758992187650932)").await?;
        }
        let there = count(&mut tx).await?;
        if there >= most {
            return Ok(Err(there));
        }
        let made = insert(&mut tx, agent).await?;
        tx.commit().await?;
        Ok(Ok(made))
    }

    /// One by its identity.
    pub async fn get(&self, org_id: Uuid, agent_uuid: Uuid) -> Result<Option<Agent>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query("SELECT * FROM agents WHERE org_id = $1 AND agent_uuid = $2");
        let row = tx.fetch_optional(select.bind(org_id.to_string()).bind(agent_uuid.to_string())).await?;
        tx.commit().await?;
        row.as_ref().map(agent_of).transpose()
    }

    /// One by the name it is called by, or by its identity in text: `/agents/{id or uuid}`.
    pub async fn find(&self, org_id: Uuid, id_or_uuid: &str) -> Result<Option<Agent>, StoreError> {
        if let Ok(agent_uuid) = id_or_uuid.parse() {
            return self.get(org_id, agent_uuid).await;
        }
        let mut tx = self.0.read(org_id).await?;
        let select = query("SELECT * FROM agents WHERE org_id = $1 AND agent_id = $2");
        let row = tx.fetch_optional(select.bind(org_id.to_string()).bind(id_or_uuid.to_owned())).await?;
        tx.commit().await?;
        row.as_ref().map(agent_of).transpose()
    }

    /// The one for which this SPIFFE id has been set, in whichever organisation.
    pub async fn by_spiffe_id(&self, spiffe_id: &str) -> Result<Option<Agent>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query("SELECT * FROM agents WHERE spiffe_id = $1").bind(spiffe_id.to_owned());
        let row = tx.fetch_optional(select).await?;
        tx.commit().await?;
        row.as_ref().map(agent_of).transpose()
    }

    /// All of an organisation, oldest first.
    pub async fn list(&self, org_id: Uuid, page: &PageRequest) -> Result<Page<Agent>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select =
            query("SELECT * FROM agents WHERE org_id = $1 AND agent_uuid > $2 ORDER BY agent_uuid LIMIT $3");
        let rows =
            tx.fetch_all(select.bind(org_id.to_string()).bind(page.after()?).bind(page.fetch())).await?;
        tx.commit().await?;
        let items = rows.iter().map(agent_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |a: &Agent| a.agent_uuid.to_string()))
    }

    /// How many there are in all organisations.
    pub async fn count(&self) -> Result<u64, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let there = count(&mut tx).await?;
        tx.commit().await?;
        Ok(there)
    }

    /// Writes an agent that was read before and changed: everything but its identity, `agent_id` and birth.
    /// Gives it as it is now. `None` when there is no such agent;
    /// [`StoreError::Stale`] when someone else has changed it since, [`StoreError::Conflict`] when another agent has
    /// its SPIFFE id.
    pub async fn update(&self, agent: &Agent, now: Timestamp) -> Result<Option<Agent>, StoreError> {
        let mut tx = self.0.write(agent.org_id).await?;
        let update = query(
            "UPDATE agents SET name = $3, description = $4, framework = $5, owner_email = $6, status = $7, \
             settings = $8, version = version + 1, updated_at = $9, spiffe_id = $11 \
             WHERE org_id = $1 AND agent_uuid = $2 AND version = $10",
        )
        .bind(agent.org_id.to_string())
        .bind(agent.agent_uuid.to_string())
        .bind(agent.name.clone())
        .bind(agent.description.clone())
        .bind(agent.framework.clone())
        .bind(agent.owner_email.clone())
        .bind(to_word("status", &agent.status)?)
        .bind(to_json("settings", &agent.settings)?)
        .bind(now.as_microsecond())
        .bind(agent.version)
        .bind(agent.spiffe_id.clone());
        let taken =
            || format!("an agent with the SPIFFE id {}", agent.spiffe_id.as_deref().unwrap_or_default());
        let written = tx.execute(update).await.map_err(|e| e.conflict(taken))? > 0;
        let select = query("SELECT * FROM agents WHERE org_id = $1 AND agent_uuid = $2")
            .bind(agent.org_id.to_string())
            .bind(agent.agent_uuid.to_string());
        let row = tx.fetch_optional(select).await?;
        tx.commit().await?;
        match row {
            None => Ok(None),
            Some(_) if !written => Err(StoreError::Stale(format!("agent `{}`", agent.agent_id))),
            Some(row) => agent_of(&row).map(Some),
        }
    }

    /// Suspends or reactivates one, whoever else is changing it; `false` when there is no such agent.
    pub async fn set_status(
        &self,
        org_id: Uuid,
        agent_uuid: Uuid,
        status: AgentStatus,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE agents SET status = $3, version = version + 1, updated_at = $4 \
             WHERE org_id = $1 AND agent_uuid = $2",
        )
        .bind(org_id.to_string())
        .bind(agent_uuid.to_string())
        .bind(to_word("status", &status)?)
        .bind(now.as_microsecond());
        changed(self.0, org_id, update).await
    }

    /// Removes one with its keys; `false` when there is no such agent. Its audit events stay.
    pub async fn delete(&self, org_id: Uuid, agent_uuid: Uuid) -> Result<bool, StoreError> {
        let delete = query("DELETE FROM agents WHERE org_id = $1 AND agent_uuid = $2")
            .bind(org_id.to_string())
            .bind(agent_uuid.to_string());
        changed(self.0, org_id, delete).await
    }
}

pub(crate) fn agent_of(row: &AnyRow) -> Result<Agent, StoreError> {
    Ok(Agent {
        agent_uuid: row.uuid("agent_uuid")?,
        org_id: row.uuid("org_id")?,
        agent_id: row.text("agent_id")?,
        name: row.text("name")?,
        description: row.text("description")?,
        framework: row.opt_text("framework")?,
        owner_email: row.opt_text("owner_email")?,
        status: row.word("status")?,
        settings: row.json("settings")?,
        spiffe_id: row.opt_text("spiffe_id")?,
        version: row.int("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// `false` when there is no such organisation.
async fn insert(tx: &mut Tx, agent: &Agent) -> Result<bool, StoreError> {
    let insert = query(
        "INSERT INTO agents (agent_uuid, org_id, agent_id, name, description, framework, owner_email, \
         status, settings, version, created_at, updated_at, spiffe_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(agent.agent_uuid.to_string())
    .bind(agent.org_id.to_string())
    .bind(agent.agent_id.clone())
    .bind(agent.name.clone())
    .bind(agent.description.clone())
    .bind(agent.framework.clone())
    .bind(agent.owner_email.clone())
    .bind(to_word("status", &agent.status)?)
    .bind(to_json("settings", &agent.settings)?)
    .bind(agent.version)
    .bind(agent.created_at.as_microsecond())
    .bind(agent.updated_at.as_microsecond())
    .bind(agent.spiffe_id.clone());
    match tx.execute(insert).await {
        Err(e) if e.is_missing_parent() => Ok(false),
        other => other.map(|_| true).map_err(|e| e.conflict(|| format!("an agent `{}`", agent.agent_id))),
    }
}

async fn count(tx: &mut Tx) -> Result<u64, StoreError> {
    let row = tx.fetch_optional(query("SELECT count(*) AS n FROM agents")).await?;
    Ok(row.map(|r| r.int("n")).transpose()?.unwrap_or(0).unsigned_abs())
}
