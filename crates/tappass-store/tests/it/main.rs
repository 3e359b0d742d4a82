//! The repositories, each test on all three storages; and the shared state in memory.
#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

mod agents;
mod approvals;
mod attempts;
mod audit_lists;
mod connect;
mod debug;
mod identities;
mod insight;
mod kept;
mod mcp;
mod people;
mod pipelines;
mod policies;
mod sessions;
mod settings;
mod shared;
mod support;
mod token_keys;
mod vault;
mod wall;
mod ways_in;
