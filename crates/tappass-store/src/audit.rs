//! The audit log's tables: rows in, rows out. What the texts and hashes mean is `tappass-audit`'s business.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, any::AnyRow, query};
use uuid::Uuid;

use crate::{Db, Reach, StoreError, Tx, db::Statement, row::Columns as _};

/// The audit log in the database.
#[derive(Debug)]
pub struct AuditTable<'a>(pub(crate) &'a Db);

/// Where an organisation's log ends. Its row is the lock under which the log grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// How many events; the number of the last.
    pub size: u64,
    /// The last event's hash, hex.
    pub hash: String,
    /// The state of the Merkle tree.
    pub tree: String,
    /// How many events the last checkpoint covers.
    pub sealed_size: u64,
    /// The last checkpoint's hash, hex.
    pub sealed_hash: String,
}

/// One event as it is stored: the canonical text, and beside it what lists are filtered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Whose.
    pub org_id: Uuid,
    /// Its number in the organisation's log, from 1.
    pub seq: u64,
    /// Its id.
    pub event_id: Uuid,
    /// When it happened.
    pub ts: Timestamp,
    /// The agent.
    pub agent_id: Option<String>,
    /// The session; also `None` for events that were recorded before sessions had a column.
    pub session_id: Option<String>,
    /// Its type.
    pub event_type: String,
    /// What was done.
    pub action: Option<String>,
    /// SHA-256 of `body`, hex.
    pub hash: String,
    /// The event: canonical JSON with `seq` and `prev_hash`.
    pub body: String,
}

/// One checkpoint as it is stored; hashes in hex, key and signature in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `tappass_audit::Checkpoint`")]
pub struct CheckpointRow {
    pub org_id: Uuid,
    pub size: u64,
    pub root: String,
    pub time: String,
    pub previous: String,
    pub key_id: String,
    pub hash: String,
    pub public_key: String,
    pub signature: String,
}

/// Which events; all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Of this agent.
    pub agent_id: Option<String>,
    /// Of this session.
    pub session_id: Option<String>,
    /// Of this type.
    pub event_type: Option<String>,
    /// Where this was done.
    pub action: Option<String>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// With these words somewhere in the record, whatever their case.
    pub text: Option<String>,
}

/// In which order a list comes, and so in which direction its cursor leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuditOrder {
    /// The last recorded first.
    #[default]
    NewestFirst,
    /// The first recorded first: to follow the log from a cursor on.
    OldestFirst,
}

/// The cursor of a list that goes on after the event numbered `seq`.
#[must_use]
pub fn cursor_after(seq: u64) -> String {
    hex::encode(seq.to_string())
}

pub(crate) const COLUMNS: &str =
    "org_id, seq, event_id, ts, agent_id, session_id, event_type, action, hash, body";

/// How many events [`AuditTable::append_at`] takes: each number of them is a statement that stays prepared.
pub const APPEND_AT_MOST: usize = 64;

impl AuditTable<'_> {
    /// Begins a transaction that appends, to the log of one organisation or to several.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn begin(&self, reach: impl Into<Reach>) -> Result<AuditTx, StoreError> {
        Ok(AuditTx { tx: self.0.write(reach).await?, postgres: self.0.is_postgres() })
    }

    /// Adds up to [`APPEND_AT_MOST`] events to a log that ends at `before`, which makes it end at `after`. `false`,
    /// and nothing is kept, where it does not end there any more. What [`AuditTx`] does in many round trips takes
    /// three here on SQLite and, being a single statement, one on PostgreSQL.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when an id is there already, or what the database says. Where the connection broke,
    /// it may have been kept all the same.
    pub async fn append_at(
        &self,
        org_id: Uuid,
        before: &AuditHead,
        after: &AuditHead,
        rows: Vec<AuditRow>,
    ) -> Result<bool, StoreError> {
        let mut statement = query(AssertSqlSafe(append_sql(self.0.is_postgres(), rows.len())))
            .bind(int(after.size))
            .bind(after.hash.clone())
            .bind(after.tree.clone())
            .bind(org_id.to_string())
            .bind(int(before.size))
            .bind(before.hash.clone())
            .bind(int(before.sealed_size));
        for row in rows {
            statement = bind_row(statement, row);
        }
        let known = |e: StoreError| e.conflict(|| "an event of that id".to_owned());
        if self.0.is_postgres() {
            return Ok(self.0.execute(org_id, statement).await.map_err(known)? > 0);
        }
        let mut tx = self.0.write(org_id).await?;
        if tx.fetch_all(statement).await.map_err(known)?.is_empty() {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Where the organisation's log ends; `None` before its first event.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn head(&self, org_id: Uuid) -> Result<Option<AuditHead>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let sql = "SELECT size, hash, tree, sealed_size, sealed_hash FROM audit_heads WHERE org_id = $1";
        tx.fetch_optional(query(sql).bind(org_id.to_string())).await?.map(|r| head(&r)).transpose()
    }

    /// The organisations whose log has events after its last checkpoint.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn unsealed(&self) -> Result<Vec<Uuid>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let rows = tx.fetch_all(query("SELECT org_id FROM audit_heads WHERE size > sealed_size")).await?;
        rows.iter().map(|r| r.uuid("org_id")).collect()
    }

    /// One event of the organisation; `None` for a foreign id as for one that does not exist.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn get(&self, org_id: Uuid, event_id: Uuid) -> Result<Option<AuditRow>, StoreError> {
        let sql = "SELECT org_id, seq, event_id, ts, agent_id, session_id, event_type, action, hash, body \
                   FROM audit_events WHERE org_id = $1 AND event_id = $2";
        let mut tx = self.0.read(org_id).await?;
        let row = tx.fetch_optional(query(sql).bind(org_id.to_string()).bind(event_id.to_string())).await?;
        row.map(|r| event(&r)).transpose()
    }

    /// How many calls of models the organisation's log has since a time, of these agents (`None`: of all).
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn count_calls(
        &self,
        org_id: Uuid,
        agents: Option<&[String]>,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        let marks: Vec<String> = (3..agents.unwrap_or_default().len() + 3).map(|n| format!("${n}")).collect();
        let of = match (agents, marks.as_slice()) {
            (None, _) => String::new(),
            (Some(_), []) => " AND 1 = 0".to_owned(),
            (Some(_), marks) => format!(" AND agent_id IN ({})", marks.join(", ")),
        };
        let sql = format!(
            "SELECT COUNT(*) AS n FROM audit_events WHERE org_id = $1 AND ts >= $2 \
             AND event_type IN ('llm_call', 'llm_call_blocked'){of}"
        );
        let mut statement = query(AssertSqlSafe(sql)).bind(org_id.to_string()).bind(since.as_microsecond());
        for agent in agents.unwrap_or_default() {
            statement = statement.bind(agent.clone());
        }
        let row = self.0.read(org_id).await?.fetch_optional(statement).await?;
        row.map_or(Ok(0), |row| number(&row, "n"))
    }

    /// Up to `limit` events numbered above `after`, in order.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn range(&self, org_id: Uuid, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT org_id, seq, event_id, ts, agent_id, session_id, event_type, action, hash, body \
                   FROM audit_events WHERE org_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let statement = query(sql).bind(org_id.to_string()).bind(int(after)).bind(i64::from(limit));
        self.0.read(org_id).await?.fetch_all(statement).await?.iter().map(event).collect()
    }

    /// The checkpoints of sizes above `after` up to `last`, in order.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn checkpoints(
        &self,
        org_id: Uuid,
        after: u64,
        last: u64,
    ) -> Result<Vec<CheckpointRow>, StoreError> {
        let sql = "SELECT org_id, size, root, sealed_at, previous, key_id, hash, public_key, signature \
                   FROM audit_checkpoints WHERE org_id = $1 AND size > $2 AND size <= $3 ORDER BY size";
        let statement = query(sql).bind(org_id.to_string()).bind(int(after)).bind(int(last));
        self.0.read(org_id).await?.fetch_all(statement).await?.iter().map(checkpoint).collect()
    }

    /// The size of the first checkpoint that covers the event numbered `seq`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn sealed_by(&self, org_id: Uuid, seq: u64) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT size FROM audit_checkpoints WHERE org_id = $1 AND size >= $2 ORDER BY size LIMIT 1";
        let statement = query(sql).bind(org_id.to_string()).bind(int(seq));
        let row = self.0.read(org_id).await?.fetch_optional(statement).await?;
        row.map(|r| r.int("size").map(i64::unsigned_abs)).transpose()
    }

    /// The last checkpoint.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn last_checkpoint(&self, org_id: Uuid) -> Result<Option<CheckpointRow>, StoreError> {
        let sql = "SELECT org_id, size, root, sealed_at, previous, key_id, hash, public_key, signature \
                   FROM audit_checkpoints WHERE org_id = $1 ORDER BY size DESC LIMIT 1";
        let row = self.0.read(org_id).await?.fetch_optional(query(sql).bind(org_id.to_string())).await?;
        row.map(|r| checkpoint(&r)).transpose()
    }
}

/// A transaction that appends to the log. Nothing of it is kept unless it commits.
#[derive(Debug)]
pub struct AuditTx {
    tx: Tx,
    postgres: bool,
}

impl AuditTx {
    /// Locks the organisation's log until the end of the transaction. Whoever locks several takes them in the order
    /// of their ids, or two replicas wait for each other.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn lock(&mut self, org_id: Uuid) -> Result<AuditHead, StoreError> {
        // SQLite's write transaction holds the whole database already.
        let select = if self.postgres {
            "SELECT size, hash, tree, sealed_size, sealed_hash FROM audit_heads WHERE org_id = $1 FOR UPDATE"
        } else {
            "SELECT size, hash, tree, sealed_size, sealed_hash FROM audit_heads WHERE org_id = $1"
        };
        if let Some(row) = self.tx.fetch_optional(query(select).bind(org_id.to_string())).await? {
            return head(&row);
        }
        let insert = "INSERT INTO audit_heads (org_id, size, hash, tree, sealed_size, sealed_hash) \
                      VALUES ($1, 0, $2, '', 0, $2) ON CONFLICT (org_id) DO NOTHING";
        self.tx.execute(query(insert).bind(org_id.to_string()).bind("0".repeat(64))).await?;
        match self.tx.fetch_optional(query(select).bind(org_id.to_string())).await? {
            Some(row) => head(&row),
            None => Err(StoreError::Unreadable {
                column: "org_id",
                reason: "the head just made is gone".to_owned(),
            }),
        }
    }

    /// Which of these ids the organisation's log has already, with their numbers.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn known(&mut self, org_id: Uuid, ids: &[Uuid]) -> Result<Vec<(Uuid, u64)>, StoreError> {
        let mut found = Vec::new();
        for chunk in ids.chunks(500) {
            let marks: Vec<String> = (2..chunk.len() + 2).map(|n| format!("${n}")).collect();
            let sql = format!(
                "SELECT event_id, seq FROM audit_events WHERE org_id = $1 AND event_id IN ({})",
                marks.join(", ")
            );
            let mut statement = query(AssertSqlSafe(sql)).bind(org_id.to_string());
            for id in chunk {
                statement = statement.bind(id.to_string());
            }
            for row in self.tx.fetch_all(statement).await? {
                found.push((row.uuid("event_id")?, number(&row, "seq")?));
            }
        }
        Ok(found)
    }

    /// Adds events.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when an id or a number is there already, or what the database says.
    pub async fn append(&mut self, rows: Vec<AuditRow>) -> Result<(), StoreError> {
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            // A few sizes only, so that the statements stay prepared where they may.
            let count = [64, 16, 4].into_iter().find(|n| rows.len() >= *n).unwrap_or(1);
            let sql = if self.postgres {
                format!("INSERT INTO audit_events ({COLUMNS}) VALUES {}", marks(1, count))
            } else {
                insert_sql(count)
            };
            let mut statement = query(AssertSqlSafe(sql));
            for row in rows.by_ref().take(count) {
                statement = bind_row(statement, row);
            }
            self.tx.execute(statement).await.map_err(|e| e.conflict(|| "an event of that id".to_owned()))?;
        }
        Ok(())
    }

    /// Stores where the organisation's log ends now.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn save(&mut self, org_id: Uuid, head: AuditHead) -> Result<(), StoreError> {
        let sql = "UPDATE audit_heads SET size = $2, hash = $3, tree = $4, sealed_size = $5, sealed_hash = $6 \
                   WHERE org_id = $1";
        let statement = query(sql)
            .bind(org_id.to_string())
            .bind(int(head.size))
            .bind(head.hash)
            .bind(head.tree)
            .bind(int(head.sealed_size))
            .bind(head.sealed_hash);
        self.tx.execute(statement).await.map(|_| ())
    }

    /// Adds a checkpoint.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn add_checkpoint(&mut self, c: CheckpointRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_checkpoints \
                   (org_id, size, root, sealed_at, previous, key_id, hash, public_key, signature) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let statement = query(sql)
            .bind(c.org_id.to_string())
            .bind(int(c.size))
            .bind(c.root)
            .bind(c.time)
            .bind(c.previous)
            .bind(c.key_id)
            .bind(c.hash)
            .bind(c.public_key)
            .bind(c.signature);
        self.tx.execute(statement).await.map(|_| ())
    }

    /// Makes it last: when this returns, it is on disk.
    ///
    /// # Errors
    /// What the database says. Where the connection broke, it may have been kept all the same.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await
    }
}

/// The statement of [`AuditTable::append_at`] for so many rows, made once.
fn append_sql(postgres: bool, rows: usize) -> Arc<str> {
    static MADE: [[OnceLock<Arc<str>>; APPEND_AT_MOST + 1]; 2] =
        [const { [const { OnceLock::new() }; APPEND_AT_MOST + 1] }; 2];
    let make = || {
        let sql = if postgres {
            let marks = marks(8, rows);
            format!(
                "WITH moved AS (UPDATE audit_heads SET size = $1, hash = $2, tree = $3 \
                 WHERE org_id = $4 AND size = $5 AND hash = $6 AND sealed_size = $7 RETURNING size) \
                 INSERT INTO audit_events ({COLUMNS}) \
                 SELECT * FROM (VALUES {marks}) AS new ({COLUMNS}) WHERE EXISTS (SELECT * FROM moved)"
            )
        } else {
            // Where no row comes back, the transaction is not committed.
            format!(
                "UPDATE audit_heads SET size = ?, hash = ?, tree = ? \
                 WHERE org_id = ? AND size = ? AND hash = ? AND sealed_size = ? RETURNING size; {}",
                insert_sql(rows)
            )
        };
        sql.into()
    };
    match MADE[usize::from(postgres)].get(rows) {
        Some(slot) => Arc::clone(slot.get_or_init(make)),
        None => make(),
    }
}

/// What adds so many events on SQLite. Where one of them cannot be added, the whole transaction is given up; so SQLite
/// need not keep each page as it was before the statement, in order to undo the statement alone. Its parameters have no
/// numbers: SQLite keeps those as names in one list, and to bind each would go through it.
fn insert_sql(rows: usize) -> String {
    let marks = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; rows].join(", ");
    format!("INSERT OR FAIL INTO audit_events ({COLUMNS}) VALUES {marks}")
}

/// `($1, …, $10), ($11, …` for so many rows, counted from `first`.
fn marks(first: usize, rows: usize) -> String {
    let row = |row: usize| {
        let marks: Vec<String> = (0..10).map(|column| format!("${}", first + row * 10 + column)).collect();
        format!("({})", marks.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Binds the values of [`COLUMNS`].
fn bind_row(statement: Statement, r: AuditRow) -> Statement {
    statement
        .bind(r.org_id.to_string())
        .bind(int(r.seq))
        .bind(r.event_id.to_string())
        .bind(r.ts.as_microsecond())
        .bind(r.agent_id)
        .bind(r.session_id)
        .bind(r.event_type)
        .bind(r.action)
        .bind(r.hash)
        .bind(r.body)
}

fn head(row: &AnyRow) -> Result<AuditHead, StoreError> {
    Ok(AuditHead {
        size: number(row, "size")?,
        hash: row.text("hash")?,
        tree: row.text("tree")?,
        sealed_size: number(row, "sealed_size")?,
        sealed_hash: row.text("sealed_hash")?,
    })
}

pub(crate) fn event(row: &AnyRow) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        org_id: row.uuid("org_id")?,
        seq: number(row, "seq")?,
        event_id: row.uuid("event_id")?,
        ts: row.time("ts")?,
        agent_id: row.opt_text("agent_id")?,
        session_id: row.opt_text("session_id")?,
        event_type: row.text("event_type")?,
        action: row.opt_text("action")?,
        hash: row.text("hash")?,
        body: row.text("body")?,
    })
}

fn checkpoint(row: &AnyRow) -> Result<CheckpointRow, StoreError> {
    Ok(CheckpointRow {
        org_id: row.uuid("org_id")?,
        size: number(row, "size")?,
        root: row.text("root")?,
        time: row.text("sealed_at")?,
        previous: row.text("previous")?,
        key_id: row.text("key_id")?,
        hash: row.text("hash")?,
        public_key: row.text("public_key")?,
        signature: row.text("signature")?,
    })
}

/// A count of events: no log gets near 2^63.
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn number(row: &AnyRow, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(row.int(column)?).map_err(|e| StoreError::Unreadable { column, reason: e.to_string() })
}
