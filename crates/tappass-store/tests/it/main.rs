//! The repositories, each test on all three storages; and the shared state in memory.

mod agents;
mod approvals;
mod connect;
mod debug;
mod people;
mod pipelines;
mod policies;
mod settings;
mod shared;
mod support;
