//! What people said of what was stopped: right, or a false alarm.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{any::AnyRow, query};
use uuid::Uuid;

use super::{Insight, Window};
use crate::{
    StoreError,
    row::{Columns as _, to_word},
};

/// What somebody said of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It was what the rule is for.
    Right,
    /// It was not.
    FalseAlarm,
}

/// A mark on what one step found of one kind in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkRow {
    /// The call.
    pub event_id: Uuid,
    /// The step's id.
    pub step: String,
    /// What it found; may be empty.
    pub kind: String,
    /// When the call was.
    pub ts: Timestamp,
    /// Whose call.
    pub agent_id: String,
    /// The score that decided, in thousandths.
    pub score: Option<i64>,
    /// What was said.
    pub mark: Mark,
    /// And why.
    pub note: Option<String>,
    /// By whom.
    pub marked_by: String,
    /// When.
    pub marked_at: Timestamp,
}

const COLUMNS: &str = "event_id, step, kind, ts, agent_id, score, mark, note, marked_by, marked_at";

impl Insight<'_> {
    /// Sets a mark; an earlier one on the same is replaced.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn mark(&self, org_id: Uuid, m: &MarkRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO insight_marks \
                   (org_id, event_id, step, kind, ts, agent_id, score, mark, note, marked_by, marked_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                   ON CONFLICT (org_id, event_id, step, kind) DO UPDATE SET \
                   mark = excluded.mark, note = excluded.note, marked_by = excluded.marked_by, \
                   marked_at = excluded.marked_at";
        let statement = query(sql)
            .bind(org_id.to_string())
            .bind(m.event_id.to_string())
            .bind(m.step.clone())
            .bind(m.kind.clone())
            .bind(m.ts.as_microsecond())
            .bind(m.agent_id.clone())
            .bind(m.score)
            .bind(to_word("mark", &m.mark)?)
            .bind(m.note.clone())
            .bind(m.marked_by.clone())
            .bind(m.marked_at.as_microsecond());
        self.0.execute(org_id, statement).await.map(|_| ())
    }

    /// The marks on calls of the window.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn marks_in(&self, org_id: Uuid, window: Window) -> Result<Vec<MarkRow>, StoreError> {
        let sql =
            ["SELECT ", COLUMNS, " FROM insight_marks WHERE org_id = $1 AND ts >= $2 AND ts < $3"].concat();
        let statement = query(sqlx::AssertSqlSafe(sql))
            .bind(org_id.to_string())
            .bind(window.since.as_microsecond())
            .bind(window.until.as_microsecond());
        self.0.read(org_id).await?.fetch_all(statement).await?.iter().map(mark).collect()
    }

    /// The marks on a call.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn marks(&self, org_id: Uuid, event_id: Uuid) -> Result<Vec<MarkRow>, StoreError> {
        let sql = ["SELECT ", COLUMNS, " FROM insight_marks WHERE org_id = $1 AND event_id = $2"].concat();
        let statement = query(sqlx::AssertSqlSafe(sql)).bind(org_id.to_string()).bind(event_id.to_string());
        self.0.read(org_id).await?.fetch_all(statement).await?.iter().map(mark).collect()
    }

    /// Takes the marks on a call back: those of one step, of one kind, as far as they are named. Gives those it took.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn unmark(
        &self,
        org_id: Uuid,
        event_id: Uuid,
        step: Option<&str>,
        kind: Option<&str>,
    ) -> Result<Vec<MarkRow>, StoreError> {
        let sql = [
            "DELETE FROM insight_marks WHERE org_id = $1 AND event_id = $2 AND ($3 = '' OR step = $3) \
             AND ($4 = 0 OR kind = $5) RETURNING ",
            COLUMNS,
        ]
        .concat();
        let statement = query(sqlx::AssertSqlSafe(sql))
            .bind(org_id.to_string())
            .bind(event_id.to_string())
            .bind(step.unwrap_or_default().to_owned())
            .bind(i64::from(kind.is_some()))
            .bind(kind.unwrap_or_default().to_owned());
        let mut tx = self.0.write(org_id).await?;
        let taken = tx.fetch_all(statement).await?.iter().map(mark).collect();
        tx.commit().await?;
        taken
    }
}

fn mark(row: &AnyRow) -> Result<MarkRow, StoreError> {
    Ok(MarkRow {
        event_id: row.uuid("event_id")?,
        step: row.text("step")?,
        kind: row.text("kind")?,
        ts: row.time("ts")?,
        agent_id: row.text("agent_id")?,
        score: row.opt_int("score")?,
        mark: row.word("mark")?,
        note: row.opt_text("note")?,
        marked_by: row.text("marked_by")?,
        marked_at: row.time("marked_at")?,
    })
}
