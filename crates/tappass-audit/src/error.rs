//! What can go wrong with the audit log.

use tappass_store::StoreError;

/// Why an event could not be recorded or a log not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The store did not take it, or not within the deadline. It may come back.
    #[error("the audit store is not available: {0}")]
    Unavailable(String),
    /// The event itself cannot be recorded.
    #[error("the event cannot be recorded: {0}")]
    Unrecordable(String),
    /// Writing to disk failed in a way that leaves unknown what is on it. The process must end: see `AuditLog::failed`.
    #[error("the audit log cannot be trusted to reach the disk: {0}")]
    Fatal(String),
    /// The log is shutting down.
    #[error("the audit log is closed")]
    Closed,
    /// A query failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading or writing an export or the spool failed.
    #[error("reading or writing failed: {0}")]
    Io(#[from] std::io::Error),
}
