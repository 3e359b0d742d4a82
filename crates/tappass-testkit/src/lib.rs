//! What the tests stand on: a scripted provider, temporary databases, a manual clock, an authenticator app, SPIRE.

pub mod authenticator;
pub mod clock;
pub mod postgres;
pub mod scripted;
pub mod spire;

pub use clock::ManualClock;
pub use postgres::TempPostgres;
pub use scripted::{Part, RecordedRequest, Reply, ScriptedProvider};
