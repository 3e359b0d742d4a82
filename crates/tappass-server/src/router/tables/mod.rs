//! The table's lines, a file a subject.

pub mod agents;
pub mod app;
pub mod approvals;
pub mod audit;
pub mod auth;
pub mod credentials;
pub mod docs;
pub mod govern;
pub mod health;
pub mod insight;
pub mod mcp;
pub mod models;
pub mod payloads;
pub mod people;
pub mod pipelines;
pub mod sessions;
pub mod sso;
pub mod tokens;
