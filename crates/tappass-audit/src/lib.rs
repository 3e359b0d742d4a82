//! The audit log: event, canonical form, chain, checkpoints, durable writer, verification.
//!
//! The format is written down in `docs/decisions/0003-audit-format.md`; `tools/verify_audit.py` reads it independently.

mod append;
pub mod canonical;
pub mod chain;
pub mod checkpoint;
mod error;
pub mod event;
pub mod export;
pub mod hash;
pub mod merkle;
mod spool;
pub mod verify;
mod write;
mod writer;

pub use checkpoint::{Checkpoint, Signer};
pub use error::AuditError;
pub use event::{Detection, Event, EventType, Latency, PipelineRef, StepRow};
pub use export::{ExportError, ExportReport, Exporter, verify_export, verify_store};
pub use verify::{Expect, FirstBad, Verifier, VerifyReport};
pub use writer::{AuditConfig, AuditLog, Receipt, Recorded};
