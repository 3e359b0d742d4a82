//! What the tests stand on: a scripted provider, temporary databases, a manual clock.

pub mod scripted;

pub use scripted::{Part, RecordedRequest, Reply, ScriptedProvider};
