//! Traces of calls that were sampled for support, until their time is over.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{any::AnyRow, query};
use uuid::Uuid;

use crate::{Db, Page, PageRequest, Reach, StoreError, row::Columns as _};

/// The trace of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct DebugTrace {
    /// Whose call it was.
    pub org_id: Uuid,
    /// The call (`task_id`, the id of its audit event).
    pub call_id: Uuid,
    /// The agent's name.
    pub agent_id: String,
    /// When the call came.
    pub ts: Timestamp,
    /// When the trace is forgotten.
    pub expires_at: Timestamp,
    /// What happened, without any text of the call.
    pub body: Value,
}

/// Which traces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DebugFilter {
    /// Of this agent.
    pub agent_id: Option<String>,
    /// Of this call.
    pub call_id: Option<Uuid>,
}

/// The traces.
#[derive(Debug, Clone, Copy)]
pub struct DebugTraces<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl DebugTraces<'_> {
    /// Keeps a trace; the first of a call stays. False when there is no such organisation.
    pub async fn put(&self, trace: &DebugTrace) -> Result<bool, StoreError> {
        let mut tx = self.0.write(trace.org_id).await?;
        let insert = query(
            "INSERT INTO debug_traces (org_id, call_id, agent_id, ts, expires_at, body) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, call_id) DO NOTHING",
        )
        .bind(trace.org_id.to_string())
        .bind(trace.call_id.to_string())
        .bind(trace.agent_id.clone())
        .bind(trace.ts.as_microsecond())
        .bind(trace.expires_at.as_microsecond())
        .bind(trace.body.to_string());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// An organisation's traces that are not over, the newest call first (ids of calls ascend with time).
    pub async fn list(
        &self,
        org_id: Uuid,
        filter: &DebugFilter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<DebugTrace>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        // An id begins with a digit or a letter up to `f`: every one is before `~`.
        let after = Some(page.after()?).filter(|a| !a.is_empty()).unwrap_or_else(|| "~".to_owned());
        let select = query(
            "SELECT * FROM debug_traces WHERE org_id = $1 AND call_id < $2 AND expires_at > $3 \
             AND ($4 = '' OR agent_id = $4) AND ($5 = '' OR call_id = $5) ORDER BY call_id DESC LIMIT $6",
        )
        .bind(org_id.to_string())
        .bind(after)
        .bind(now.as_microsecond())
        .bind(filter.agent_id.clone().unwrap_or_default())
        .bind(filter.call_id.map(|id| id.to_string()).unwrap_or_default())
        .bind(page.fetch());
        let rows = tx.fetch_all(select).await?;
        tx.commit().await?;
        let items = rows.iter().map(trace_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |t: &DebugTrace| t.call_id.to_string()))
    }

    /// Forgets what is over.
    pub async fn forget(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        tx.execute(query("DELETE FROM debug_traces WHERE expires_at <= $1").bind(now.as_microsecond()))
            .await?;
        tx.commit().await
    }
}

fn trace_of(row: &AnyRow) -> Result<DebugTrace, StoreError> {
    Ok(DebugTrace {
        org_id: row.uuid("org_id")?,
        call_id: row.uuid("call_id")?,
        agent_id: row.text("agent_id")?,
        ts: row.time("ts")?,
        expires_at: row.time("expires_at")?,
        body: row.json("body")?,
    })
}
