//! What calls said, of organisations that keep it: sealed, apart from the audit log, until its time is over.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, any::AnyRow, query};
use uuid::Uuid;

use crate::{Db, Reach, StoreError, db::Statement, row::Columns as _};

/// What is kept of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCall {
    /// Whose call it was.
    pub org_id: Uuid,
    /// The call (`task_id`, the id of its audit event).
    pub call_id: Uuid,
    /// The agent's name.
    pub agent_id: String,
    /// `llm_call` or `tool_call`.
    pub kind: String,
    /// When the call came.
    pub ts: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
    /// The version of the data key that sealed it.
    pub key_version: i64,
    /// What was said, sealed for this call.
    pub sealed: String,
}

/// Which of an organisation's kept calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptFilter {
    /// Of these agents; `None`: of all.
    pub agents: Option<Vec<String>>,
    /// At or after.
    pub since: Timestamp,
    /// Before this call, in the order of the list.
    pub before: Option<(Timestamp, Uuid)>,
}

/// A kept call sealed otherwise: which, as it was, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    /// The call.
    pub call_id: Uuid,
    /// As it was read.
    pub was: String,
    /// With the key of another version.
    pub is: String,
}

/// The kept calls.
#[derive(Debug, Clone, Copy)]
pub struct KeptCalls<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl KeptCalls<'_> {
    /// Keeps some, in one transaction. Those of an organisation that is gone, and those that are there, are left out.
    pub async fn put(&self, calls: &[KeptCall]) -> Result<(), StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        for call in calls {
            // A missing organisation must not end the transaction of the others.
            let insert = query(
                "INSERT INTO kept_calls (org_id, call_id, agent_id, kind, ts, expires_at, key_version, sealed) \
                 SELECT o.org_id, $2, $3, $4, $5, $6, $7, $8 FROM orgs o WHERE o.org_id = $1 \
                 ON CONFLICT (org_id, call_id) DO NOTHING",
            )
            .bind(call.org_id.to_string())
            .bind(call.call_id.to_string())
            .bind(call.agent_id.clone())
            .bind(call.kind.clone())
            .bind(call.ts.as_microsecond())
            .bind(call.expires_at.as_microsecond())
            .bind(call.key_version)
            .bind(call.sealed.clone());
            tx.execute(insert).await?;
        }
        tx.commit().await
    }

    /// One that is not over.
    pub async fn get(
        &self,
        org_id: Uuid,
        call_id: Uuid,
        now: Timestamp,
    ) -> Result<Option<KeptCall>, StoreError> {
        let sql = "SELECT * FROM kept_calls WHERE org_id = $1 AND call_id = $2 AND expires_at > $3";
        let select = query(sql).bind(org_id.to_string()).bind(call_id.to_string()).bind(now.as_microsecond());
        let row = self.0.read(org_id).await?.fetch_optional(select).await?;
        row.map(|row| call_of(&row)).transpose()
    }

    /// Some of an organisation's that are not over, the newest first.
    pub async fn list(
        &self,
        org_id: Uuid,
        filter: &KeptFilter,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<KeptCall>, StoreError> {
        let (before, id) = filter.before.unwrap_or((Timestamp::MAX, Uuid::nil()));
        let (agents, named) = of_agents(filter, 6);
        // Safe, as below: assembled from numbers of parameters; every value is bound.
        let sql = format!(
            "SELECT * FROM kept_calls WHERE org_id = $1 AND ts >= $2 AND expires_at > $3 \
             AND (ts < $4 OR (ts = $4 AND call_id < $5)){agents} ORDER BY ts DESC, call_id DESC LIMIT {limit}"
        );
        let select = query(AssertSqlSafe(sql))
            .bind(org_id.to_string())
            .bind(filter.since.as_microsecond())
            .bind(now.as_microsecond())
            .bind(before.as_microsecond())
            .bind(id.to_string());
        let rows = self.0.read(org_id).await?.fetch_all(bound(select, named)).await?;
        rows.iter().map(call_of).collect()
    }

    /// How many of a kind an organisation has since a time, that are not over.
    pub async fn count(
        &self,
        org_id: Uuid,
        kind: &str,
        filter: &KeptFilter,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (agents, named) = of_agents(filter, 5);
        let sql = format!(
            "SELECT COUNT(*) AS n FROM kept_calls WHERE org_id = $1 AND ts >= $2 AND expires_at > $3 \
             AND kind = $4{agents}"
        );
        let select = query(AssertSqlSafe(sql))
            .bind(org_id.to_string())
            .bind(filter.since.as_microsecond())
            .bind(now.as_microsecond())
            .bind(kind.to_owned());
        let row = self.0.read(org_id).await?.fetch_optional(bound(select, named)).await?;
        row.map_or(Ok(0), |row| Ok(row.int("n")?.unsigned_abs()))
    }

    /// From now on none of an organisation's is kept longer than this from when the call came.
    pub async fn shorten(&self, org_id: Uuid, life: Duration) -> Result<(), StoreError> {
        let update =
            query("UPDATE kept_calls SET expires_at = ts + $2 WHERE org_id = $1 AND expires_at > ts + $2")
                .bind(org_id.to_string())
                .bind(i64::try_from(life.as_micros()).unwrap_or(i64::MAX));
        self.0.execute(org_id, update).await.map(|_| ())
    }

    /// Forgets what is over, of all organisations.
    pub async fn forget(&self, now: Timestamp) -> Result<u64, StoreError> {
        let delete = query("DELETE FROM kept_calls WHERE expires_at <= $1").bind(now.as_microsecond());
        self.0.execute(Reach::All, delete).await
    }

    /// Forgets everything of an organisation's; gives how many there were.
    pub async fn forget_all(&self, org_id: Uuid) -> Result<u64, StoreError> {
        self.0
            .execute(org_id, query("DELETE FROM kept_calls WHERE org_id = $1").bind(org_id.to_string()))
            .await
    }

    /// Forgets one.
    pub async fn forget_one(&self, org_id: Uuid, call_id: Uuid) -> Result<(), StoreError> {
        let delete = query("DELETE FROM kept_calls WHERE org_id = $1 AND call_id = $2");
        self.0.execute(org_id, delete.bind(org_id.to_string()).bind(call_id.to_string())).await.map(|_| ())
    }

    /// The versions of the data key that some are sealed with.
    pub async fn key_versions(&self, org_id: Uuid) -> Result<Vec<i64>, StoreError> {
        let select = query("SELECT DISTINCT key_version FROM kept_calls WHERE org_id = $1");
        let rows = self.0.read(org_id).await?.fetch_all(select.bind(org_id.to_string())).await?;
        rows.iter().map(|row| row.int("key_version")).collect()
    }

    /// Some that are sealed with an older key than this.
    pub async fn sealed_before(
        &self,
        org_id: Uuid,
        version: i64,
        limit: u32,
    ) -> Result<Vec<KeptCall>, StoreError> {
        let select = query("SELECT * FROM kept_calls WHERE org_id = $1 AND key_version < $2 LIMIT $3")
            .bind(org_id.to_string())
            .bind(version)
            .bind(i64::from(limit));
        self.0.read(org_id).await?.fetch_all(select).await?.iter().map(call_of).collect()
    }

    /// Seals some otherwise, those that still are as they were read.
    pub async fn reseal(&self, org_id: Uuid, version: i64, calls: &[Resealed]) -> Result<(), StoreError> {
        let mut tx = self.0.write(org_id).await?;
        for call in calls {
            let update = query(
                "UPDATE kept_calls SET sealed = $4, key_version = $5 \
                 WHERE org_id = $1 AND call_id = $2 AND sealed = $3",
            )
            .bind(org_id.to_string())
            .bind(call.call_id.to_string())
            .bind(call.was.clone())
            .bind(call.is.clone())
            .bind(version);
            tx.execute(update).await?;
        }
        tx.commit().await
    }
}

/// The condition on agents, whose parameters begin at `first`, and what is bound to them.
fn of_agents(filter: &KeptFilter, first: usize) -> (String, Vec<String>) {
    let Some(agents) = &filter.agents else { return (String::new(), Vec::new()) };
    let marks: Vec<String> = (first..first + agents.len()).map(|n| format!("${n}")).collect();
    let list = if marks.is_empty() { "NULL".to_owned() } else { marks.join(", ") };
    (format!(" AND agent_id IN ({list})"), agents.clone())
}

fn bound(statement: Statement, texts: Vec<String>) -> Statement {
    texts.into_iter().fold(statement, Statement::bind)
}

fn call_of(row: &AnyRow) -> Result<KeptCall, StoreError> {
    Ok(KeptCall {
        org_id: row.uuid("org_id")?,
        call_id: row.uuid("call_id")?,
        agent_id: row.text("agent_id")?,
        kind: row.text("kind")?,
        ts: row.time("ts")?,
        expires_at: row.time("expires_at")?,
        key_version: row.int("key_version")?,
        sealed: row.text("sealed")?,
    })
}
