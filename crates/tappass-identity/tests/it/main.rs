//! Accounts and the authenticator over a store in memory.
#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

mod accounts;
mod authenticate;
mod factors;
mod federated;
mod id_tokens;
mod links;
mod personal;
mod support;
mod vault;
