//! Adding events to the roll-ups, each once.

use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, query};
use uuid::Uuid;

use super::{
    CallKey, Counts, DAY, HOUR, Insight, PLAIN, Rows, StepCounts, StepKey, Stopped, floor, histogram::BUCKETS,
};
use crate::{Reach, StoreError, Tx, row::Columns as _};

/// What a run of events adds.
#[derive(Debug, Default)]
pub struct Batch {
    calls: Rows<CallKey, Counts>,
    steps: Rows<StepKey, StepCounts>,
    stopped: Vec<Stopped>,
}

impl Batch {
    /// A call that ended then.
    pub fn call(&mut self, ts: Timestamp, agent_id: &str, model: &str, counts: &Counts) {
        for span in [HOUR, DAY] {
            let key = (span, floor(ts.as_second(), span), agent_id.to_owned(), model.to_owned());
            self.calls.entry(key).or_default().add(counts);
        }
    }

    /// What a step found in it.
    pub fn step(&mut self, ts: Timestamp, agent_id: &str, step: &str, kind: &str, counts: &StepCounts) {
        for span in [HOUR, DAY] {
            let starts = floor(ts.as_second(), span);
            let key = (span, starts, agent_id.to_owned(), step.to_owned(), kind.to_owned());
            self.steps.entry(key).or_default().add(counts);
        }
    }

    /// Something for which it was refused, or would have been.
    pub fn stopped(&mut self, stopped: Stopped) {
        self.stopped.push(stopped);
    }
}

/// A log with events that are not folded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Whose.
    pub org_id: Uuid,
    /// How many events are folded.
    pub folded: u64,
    /// How many there are.
    pub size: u64,
}

impl Insight<'_> {
    /// The logs that have events to fold.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn behind(&self) -> Result<Vec<Behind>, StoreError> {
        let sql = "SELECT h.org_id, h.size, COALESCE(c.seq, 0) AS folded FROM audit_heads h \
                   LEFT JOIN insight_cursors c ON c.org_id = h.org_id WHERE h.size > COALESCE(c.seq, 0)";
        let rows = self.0.read(Reach::All).await?.fetch_all(query(sql)).await?;
        let read = |row: &sqlx::any::AnyRow| -> Result<Behind, StoreError> {
            Ok(Behind {
                org_id: row.uuid("org_id")?,
                folded: row.int("folded")?.unsigned_abs(),
                size: row.int("size")?.unsigned_abs(),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Adds what the events numbered above `from` up to `to` amount to. `false`, and nothing is kept, where another
    /// has folded them already: whoever moves the cursor adds the counts, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn fold(&self, org_id: Uuid, from: u64, to: u64, batch: Batch) -> Result<bool, StoreError> {
        let org = org_id.to_string();
        let mut tx = self.0.write(org_id).await?;
        if from == 0 {
            let insert =
                "INSERT INTO insight_cursors (org_id, seq) VALUES ($1, 0) ON CONFLICT (org_id) DO NOTHING";
            tx.execute(query(insert).bind(org.clone())).await?;
        }
        // On PostgreSQL a second folder waits here for the first, then finds the cursor moved.
        let update = "UPDATE insight_cursors SET seq = $3 WHERE org_id = $1 AND seq = $2";
        if tx.execute(query(update).bind(org.clone()).bind(int(from)).bind(int(to))).await? == 0 {
            return Ok(false);
        }
        let calls = batch.calls.into_iter().map(|((span, starts, agent, model), counts)| {
            let mut numbers = vec![span, starts * 1_000_000];
            numbers.extend(counts.plain().into_iter().chain(counts.gateway).chain(counts.upstream).map(int));
            (vec![agent, model], numbers)
        });
        add(&mut tx, &CALLS, &org, calls.collect()).await?;
        let steps = batch.steps.into_iter().map(|((span, starts, agent, step, kind), c)| {
            let mut numbers = vec![span, starts * 1_000_000];
            numbers.extend([c.calls, c.findings, c.would_block, c.blocked].map(int));
            (vec![agent, step, kind], numbers)
        });
        add(&mut tx, &STEPS, &org, steps.collect()).await?;
        for stopped in batch.stopped {
            insert(&mut tx, &org, stopped).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// A table of counts: what a row is known by, and what is added up in it.
struct Table {
    name: &'static str,
    /// Beside organisation, span and start; all text.
    keys: &'static [&'static str],
    counts: Vec<String>,
}

static CALLS: LazyLock<Table> = LazyLock::new(|| Table {
    name: "insight_calls",
    keys: &["agent_id", "model"],
    counts: PLAIN.map(str::to_owned).into_iter().chain(histograms()).collect(),
});
static STEPS: LazyLock<Table> = LazyLock::new(|| Table {
    name: "insight_steps",
    keys: &["agent_id", "step", "kind"],
    counts: ["calls", "findings", "would_block", "blocked"].map(str::to_owned).into(),
});

/// The names of the histograms' columns: the gateway's, then the provider's.
pub(super) fn histograms() -> impl Iterator<Item = String> {
    ["g", "u"].into_iter().flat_map(|part| (0..BUCKETS).map(move |bucket| format!("{part}{bucket:02}")))
}

/// Adds rows, several in a statement: texts of the key, then span, start and counts.
async fn add(
    tx: &mut Tx,
    table: &Table,
    org: &str,
    rows: Vec<(Vec<String>, Vec<i64>)>,
) -> Result<(), StoreError> {
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        // A few sizes only, so that the statements stay prepared where they may.
        let count = [16, 4].into_iter().find(|n| rows.len() >= *n).unwrap_or(1);
        let mut statement = query(AssertSqlSafe(upsert(table, count)));
        for (texts, numbers) in rows.by_ref().take(count) {
            statement = statement.bind(org.to_owned());
            for text in texts {
                statement = statement.bind(text);
            }
            for number in numbers {
                statement = statement.bind(number);
            }
        }
        tx.execute(statement).await?;
    }
    Ok(())
}

/// Made of constants only.
fn upsert(table: &Table, rows: usize) -> String {
    let keys = format!("org_id, {}, span, starts", table.keys.join(", "));
    let width = 3 + table.keys.len() + table.counts.len();
    let row = |row: usize| {
        let marks: Vec<String> = (1..=width).map(|column| format!("${}", row * width + column)).collect();
        format!("({})", marks.join(", "))
    };
    let values: Vec<String> = (0..rows).map(row).collect();
    let name = table.name;
    let sums: Vec<String> = table.counts.iter().map(|c| format!("{c} = {name}.{c} + excluded.{c}")).collect();
    format!(
        "INSERT INTO {name} ({keys}, {}) VALUES {} ON CONFLICT ({keys}) DO UPDATE SET {}",
        table.counts.join(", "),
        values.join(", "),
        sums.join(", ")
    )
}

async fn insert(tx: &mut Tx, org: &str, s: Stopped) -> Result<(), StoreError> {
    let sql = "INSERT INTO insight_stopped (org_id, seq, step, kind, event_id, ts, agent_id, model, blocked, maskable, \
               findings, score, threshold, sample, reason) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING";
    let statement = query(sql)
        .bind(org.to_owned())
        .bind(int(s.seq))
        .bind(s.step)
        .bind(s.kind)
        .bind(s.event_id.to_string())
        .bind(s.ts.as_microsecond())
        .bind(s.agent_id)
        .bind(s.model)
        .bind(i64::from(s.blocked))
        .bind(i64::from(s.maskable))
        .bind(int(s.findings))
        .bind(s.score)
        .bind(s.threshold)
        .bind(s.sample)
        .bind(s.reason);
    tx.execute(statement).await.map(|_| ())
}

/// No count gets near 2^63.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
