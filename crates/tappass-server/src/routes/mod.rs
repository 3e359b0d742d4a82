//! The handlers, one file a resource. `router::table` says which route is whose.

pub mod agents;
pub mod allowlist;
pub mod approvals;
pub mod audit;
pub mod auth;
pub mod debug;
pub mod docs;
pub mod explain;
pub mod follow;
pub mod govern;
pub mod health;
pub mod hooks;
pub mod mcp;
pub mod mcp_servers;
pub mod models;
pub mod my_approvals;
pub mod pipelines;
pub mod policies;
pub mod providers;
pub mod scopes;
pub mod sessions;
mod spiffe_ids;
pub mod sso;
pub mod status;
pub mod token_keys;
pub mod tokens;
