//! The server as a client meets it.
#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

mod access;
mod approvals;
mod around;
mod browser;
mod calls;
mod client;
mod coverage;
mod coverage_routes;
mod debug;
mod embeddings;
mod explain;
mod faults;
mod gov;
mod govern;
mod life;
mod management;
mod mcp;
mod mcp_execute;
mod mcp_sdk;
mod mcp_servers;
mod mcp_transport;
mod mcp_upstream;
mod messages;
mod policies;
mod providers;
mod responses;
mod scenarios;
mod scripted;
mod sessions;
mod smuggling;
mod spending;
mod sso;
mod table;
mod walk;
mod world;
