//! Reading the roll-ups: sums over a window.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, any::AnyRow, query};
use uuid::Uuid;

use super::{Counts, HOUR, Insight, PLAIN, StepCounts, Stopped, Window, at, floor, fold::histograms};
use crate::{StoreError, Tx, row::Columns as _};

/// Sums by `(agent_id, model)`.
pub type ByModel = BTreeMap<(String, String), Counts>;
/// Sums by `(step, kind, agent_id)`.
pub type ByStep = BTreeMap<(String, String, String), StepCounts>;

impl Insight<'_> {
    /// Calls of the window by agent and model.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn calls(
        &self,
        org_id: Uuid,
        window: Window,
        agent: Option<&str>,
    ) -> Result<ByModel, StoreError> {
        let columns: Vec<String> = PLAIN.map(str::to_owned).into_iter().chain(histograms()).collect();
        let sql = summing("insight_calls", &columns, "agent_id, model", agent.is_some());
        let mut sums = ByModel::new();
        let mut tx = self.0.read(org_id).await?;
        for row in pieces(&mut tx, &sql, org_id, window, agent).await? {
            let mut counts = plain(&row)?;
            let mut buckets = counts.gateway.iter_mut().chain(&mut counts.upstream);
            for index in PLAIN.len()..columns.len() {
                if let Some(bucket) = buckets.next() {
                    *bucket = number(&row, index)?;
                }
            }
            sums.entry((row.text("agent_id")?, row.text("model")?)).or_default().add(&counts);
        }
        Ok(sums)
    }

    /// Calls of the window by time, in steps of `slot` seconds (hours or days), without their latencies. Slots without
    /// calls are left out.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn series(
        &self,
        org_id: Uuid,
        window: Window,
        slot: i64,
        agent: Option<&str>,
    ) -> Result<BTreeMap<Timestamp, Counts>, StoreError> {
        let sql = summing("insight_calls", &PLAIN.map(str::to_owned), "starts", agent.is_some());
        let mut tx = self.0.read(org_id).await?;
        let rows = if slot == HOUR {
            piece(&mut tx, &sql, org_id, (HOUR, window.since.as_second(), window.until.as_second()), agent)
                .await?
        } else {
            pieces(&mut tx, &sql, org_id, window, agent).await?
        };
        let mut sums = BTreeMap::<Timestamp, Counts>::new();
        for row in rows {
            let starts = at(floor(row.time("starts")?.as_second(), slot.max(HOUR)));
            sums.entry(starts).or_default().add(&plain(&row)?);
        }
        Ok(sums)
    }

    /// What steps found in the window, by step, kind and agent.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn steps(
        &self,
        org_id: Uuid,
        window: Window,
        agent: Option<&str>,
    ) -> Result<ByStep, StoreError> {
        let columns = ["calls", "findings", "would_block", "blocked"].map(str::to_owned);
        let sql = summing("insight_steps", &columns, "step, kind, agent_id", agent.is_some());
        let mut sums = ByStep::new();
        let mut tx = self.0.read(org_id).await?;
        for row in pieces(&mut tx, &sql, org_id, window, agent).await? {
            let counts = StepCounts {
                calls: number(&row, 0)?,
                findings: number(&row, 1)?,
                would_block: number(&row, 2)?,
                blocked: number(&row, 3)?,
            };
            sums.entry((row.text("step")?, row.text("kind")?, row.text("agent_id")?))
                .or_default()
                .add(&counts);
        }
        Ok(sums)
    }

    /// The latest things that one rule stopped for one agent, or would have, in the window.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn stopped(
        &self,
        org_id: Uuid,
        (step, kind, agent): (&str, &str, &str),
        window: Window,
        limit: u32,
    ) -> Result<Vec<Stopped>, StoreError> {
        let sql = "SELECT * FROM insight_stopped WHERE org_id = $1 AND step = $2 AND kind = $3 AND agent_id = $4 \
                   AND ts >= $5 AND ts < $6 ORDER BY ts DESC, seq DESC LIMIT $7";
        let statement = query(sql)
            .bind(org_id.to_string())
            .bind(step.to_owned())
            .bind(kind.to_owned())
            .bind(agent.to_owned())
            .bind(window.since.as_microsecond())
            .bind(window.until.as_microsecond())
            .bind(i64::from(limit));
        self.0.read(org_id).await?.fetch_all(statement).await?.iter().map(stopped).collect()
    }

    /// Of what a rule stopped for an agent in the window, or would have: how many scored below, and how many of those a
    /// person called right. What a threshold would let through.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn below(
        &self,
        org_id: Uuid,
        (step, kind, agent): (&str, &str, &str),
        window: Window,
        score: i64,
    ) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS n, CAST(COUNT(m.mark) AS BIGINT) AS right_ones \
                   FROM insight_stopped s LEFT JOIN insight_marks m ON m.org_id = s.org_id AND m.event_id = s.event_id \
                   AND m.step = s.step AND m.kind = s.kind AND m.mark = 'right' \
                   WHERE s.org_id = $1 AND s.step = $2 AND s.kind = $3 AND s.agent_id = $4 AND s.ts >= $5 AND s.ts < $6 \
                   AND s.score < $7";
        let statement = query(sql)
            .bind(org_id.to_string())
            .bind(step.to_owned())
            .bind(kind.to_owned())
            .bind(agent.to_owned())
            .bind(window.since.as_microsecond())
            .bind(window.until.as_microsecond())
            .bind(score);
        let row = self.0.read(org_id).await?.fetch_optional(statement).await?;
        row.map_or(Ok((0, 0)), |row| Ok((number(&row, 0)?, number(&row, 1)?)))
    }
}

/// `SELECT` of the sums of these columns, in their order, then of what they are grouped by. Made of constants only.
fn summing(table: &str, columns: &[String], by: &str, of_agent: bool) -> String {
    // PostgreSQL sums 64 bits into a decimal.
    let sums: Vec<String> = columns.iter().map(|c| format!("CAST(SUM({c}) AS BIGINT) AS {c}")).collect();
    let agent = if of_agent { " AND agent_id = $5" } else { "" };
    format!(
        "SELECT {}, {by} FROM {table} WHERE org_id = $1 AND span = $2 AND starts >= $3 AND starts < $4{agent} \
         GROUP BY {by}",
        sums.join(", ")
    )
}

async fn pieces(
    tx: &mut Tx,
    sql: &str,
    org_id: Uuid,
    window: Window,
    agent: Option<&str>,
) -> Result<Vec<AnyRow>, StoreError> {
    let mut rows = Vec::new();
    for one in window.pieces() {
        rows.extend(piece(tx, sql, org_id, one, agent).await?);
    }
    Ok(rows)
}

async fn piece(
    tx: &mut Tx,
    sql: &str,
    org_id: Uuid,
    (span, from, to): (i64, i64, i64),
    agent: Option<&str>,
) -> Result<Vec<AnyRow>, StoreError> {
    let mut statement = query(AssertSqlSafe(sql.to_owned()))
        .bind(org_id.to_string())
        .bind(span)
        .bind(from * 1_000_000)
        .bind(to * 1_000_000);
    if let Some(agent) = agent {
        statement = statement.bind(agent.to_owned());
    }
    tx.fetch_all(statement).await
}

/// The first columns of a sum over calls.
fn plain(row: &AnyRow) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    for (index, count) in counts.plain_mut().into_iter().enumerate() {
        *count = number(row, index)?;
    }
    Ok(counts)
}

/// By position: looking a name up in seventy columns costs more than reading it.
fn number(row: &AnyRow, index: usize) -> Result<u64, StoreError> {
    Ok(sqlx::Row::try_get::<i64, _>(row, index)?.unsigned_abs())
}

fn stopped(row: &AnyRow) -> Result<Stopped, StoreError> {
    Ok(Stopped {
        seq: row.int("seq")?.unsigned_abs(),
        step: row.text("step")?,
        kind: row.text("kind")?,
        event_id: row.uuid("event_id")?,
        ts: row.time("ts")?,
        agent_id: row.text("agent_id")?,
        model: row.text("model")?,
        blocked: row.int("blocked")? != 0,
        maskable: row.int("maskable")? != 0,
        findings: row.int("findings")?.unsigned_abs(),
        score: row.opt_int("score")?,
        threshold: row.opt_int("threshold")?,
        sample: row.text("sample")?,
        reason: row.text("reason")?,
    })
}
