//! The server as a client meets it.
#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

mod around;
mod client;
mod life;
mod management;
mod scenarios;
mod table;
mod walk;
mod world;
