//! The simulated week of `tappass demo`: the scenario, what stands in for providers, time, and who drives the gateway
//! through it.

pub mod drive;
pub mod scenario;
pub mod stand_in;
pub mod time;
