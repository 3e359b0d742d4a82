//! Brings the schema up to date, in one transaction under a lock, so that replicas may start at once.
//!
//! Our own small runner, because sqlx's takes a session lock, which a pooler in transaction mode loses.

use std::collections::BTreeMap;

use sqlx::query;

use crate::{Db, Reach, StoreError, row::Columns as _};

/// A step of the schema, for one dialect.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its number, from 1 upwards.
    pub version: i64,
    /// Its name: what it brings.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// Adds the migration of one file, which both dialects have under the same number and name.
macro_rules! migrations {
    ($dialect:literal: $($version:literal $number:literal $name:literal),* $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../migrations/", $dialect, "/", $number, "_", $name, ".sql")),
        }),*]
    };
}

/// The schema of SQLite.
pub const SQLITE: &[Migration] = migrations!("sqlite": 1 "0001" "identity", 2 "0002" "audit", 3 "0003" "policies", 4 "0004" "debug_traces", 5 "0005" "settings", 6 "0006" "approvals", 7 "0007" "agent_sessions", 8 "0008" "mcp", 9 "0009" "people", 10 "0010" "token_keys", 11 "0011" "spiffe_ids", 12 "0012" "identities", 13 "0013" "vault", 14 "0014" "insight", 15 "0015" "kept_calls", 16 "0016" "audit_sessions", 18 "0018" "organisation_wall", 19 "0019" "attempts");
/// The schema of PostgreSQL.
pub const POSTGRES: &[Migration] = migrations!("postgres": 1 "0001" "identity", 2 "0002" "audit", 3 "0003" "policies", 4 "0004" "debug_traces", 5 "0005" "settings", 6 "0006" "approvals", 7 "0007" "agent_sessions", 8 "0008" "mcp", 9 "0009" "people", 10 "0010" "token_keys", 11 "0011" "spiffe_ids", 12 "0012" "identities", 13 "0013" "vault", 14 "0014" "insight", 15 "0015" "kept_calls", 16 "0016" "audit_sessions", 18 "0018" "organisation_wall", 19 "0019" "attempts");

/// The number of the advisory lock: "tappass" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(32758992187650931)";

/// The migrations for this database.
#[must_use]
pub fn of(db: &Db) -> &'static [Migration] {
    if db.is_postgres() { POSTGRES } else { SQLITE }
}

/// Applies what is missing, all or nothing.
///
/// # Errors
/// [`StoreError`] when the database is newer than these migrations, was made by others, or refuses one.
pub async fn run(db: &Db, migrations: &[Migration]) -> Result<(), StoreError> {
    let mut tx = db.write(Reach::All).await?;
    if db.is_postgres() {
        tx.batch(LOCK).await?;
    }
    tx.batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations \
         (version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)",
    )
    .await?;
    let mut applied = BTreeMap::new();
    for row in tx.fetch_all(query("SELECT version, checksum FROM schema_migrations")).await? {
        applied.insert(row.int("version")?, row.text("checksum")?);
    }
    let known = migrations.last().map_or(0, |m| m.version);
    if let Some((&found, _)) = applied.last_key_value().filter(|(v, _)| **v > known) {
        return Err(StoreError::NewerSchema { found, known });
    }
    for m in migrations {
        let sum = checksum(m.sql);
        match applied.get(&m.version) {
            Some(had) if *had == sum => continue,
            Some(_) => return Err(StoreError::ChangedMigration { version: m.version, name: m.name }),
            None => {}
        }
        tx.batch(m.sql).await.map_err(|e| StoreError::Migration {
            version: m.version,
            name: m.name,
            reason: e.to_string(),
        })?;
        let record = query("INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)");
        tx.execute(record.bind(m.version).bind(m.name).bind(sum)).await?;
        tracing::info!(version = m.version, name = m.name, "schema migrated");
    }
    tx.commit().await
}

/// FNV-1a, 64 bits, in hex: notices an edited file, guards against nobody.
fn checksum(text: &str) -> String {
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{sum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_have_the_same_numbers_and_names() {
        let names = |m: &[Migration]| m.iter().map(|m| (m.version, m.name)).collect::<Vec<_>>();
        assert_eq!(names(SQLITE), names(POSTGRES));
        let numbers: Vec<i64> = SQLITE.iter().map(|m| m.version).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b) && numbers[0] == 1, "{numbers:?}");
    }

    #[test]
    fn every_file_is_registered() {
        for (dialect, migrations) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let dir = format!("{}/migrations/{dialect}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<String> = std::fs::read_dir(dir)
                .expect("the folder")
                .map(|f| f.expect("a file").file_name().to_string_lossy().into_owned())
                .collect();
            files.sort();
            let registered: Vec<String> =
                migrations.iter().map(|m| format!("{:04}_{}.sql", m.version, m.name)).collect();
            assert_eq!(files, registered);
        }
    }

    #[test]
    fn fnv_1a_of_a_known_text() {
        assert_eq!(checksum("a"), "af63dc4c8601ec8c");
    }
}
