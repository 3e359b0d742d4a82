//! What can go wrong with the database: what, where and what to do.

use sqlx::error::DatabaseError;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened or reached.
    #[error("cannot open {place}: {reason}")]
    Open {
        /// The file or the server, never with a password.
        place: String,
        /// What happened and what to do.
        reason: String,
    },
    /// Another process holds the database.
    #[error(
        "the database is locked by another process; is a second gateway running on the same data directory?"
    )]
    Locked,
    /// A newer version of the gateway has migrated it.
    #[error(
        "the database has schema version {found}, this program knows up to {known}: \
         start a newer version of tappass, or restore the backup made before the upgrade"
    )]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The last version this program knows.
        known: i64,
    },
    /// A migration that has been applied is not the one this program carries.
    #[error(
        "migration {version} ({name}) was applied from another text than this program carries: \
         the database belongs to another build of tappass"
    )]
    ChangedMigration {
        /// Which.
        version: i64,
        /// Its name.
        name: &'static str,
    },
    /// A migration fails.
    #[error("migration {version} ({name}) failed, nothing of it was kept: {reason}")]
    Migration {
        /// Which.
        version: i64,
        /// Its name.
        name: &'static str,
        /// What the database said.
        reason: String,
    },
    /// Something of that name is already there.
    #[error("{0} already exists")]
    Conflict(String),
    /// It has changed since it was read.
    #[error("{0} has been changed by someone else since it was read")]
    Stale(String),
    /// A cursor that this server did not give.
    #[error("the cursor is not one that this list gave")]
    Cursor,
    /// A stored value that cannot be read.
    #[error("the database holds an unreadable value in column {column}: {reason}")]
    Unreadable {
        /// Where.
        column: &'static str,
        /// Why.
        reason: String,
    },
    /// The database refused or was lost.
    #[error("the database failed: {0}")]
    Query(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(e: sqlx::Error) -> Self {
        // SQLITE_BUSY (5) and its extended codes keep 5 in the low byte.
        let busy = e
            .as_database_error()
            .and_then(DatabaseError::code)
            .and_then(|code| code.parse::<i64>().ok())
            .is_some_and(|code| code & 0xff == 5 && code < 1000);
        if busy { Self::Locked } else { Self::Query(e) }
    }
}

impl StoreError {
    /// Turns a breach of a unique index into [`StoreError::Conflict`] about `what`.
    #[must_use]
    pub fn conflict(self, what: impl FnOnce() -> String) -> Self {
        match self {
            Self::Query(e) if e.as_database_error().is_some_and(DatabaseError::is_unique_violation) => {
                Self::Conflict(what())
            }
            other => other,
        }
    }

    /// Whether SQLite's fsync of the file or its directory failed (`SQLITE_IOERR_FSYNC`, `SQLITE_IOERR_DIR_FSYNC`).
    #[must_use]
    pub fn is_sync_failure(&self) -> bool {
        let Self::Query(e) = self else { return false };
        let code = e.as_database_error().and_then(DatabaseError::code);
        code.is_some_and(|code| matches!(&*code, "1034" | "1290"))
    }

    /// Whether it is a row that points to one that does not exist.
    pub(crate) fn is_missing_parent(&self) -> bool {
        matches!(self, Self::Query(e) if e.as_database_error().is_some_and(DatabaseError::is_foreign_key_violation))
    }
}
