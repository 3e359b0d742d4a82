//! What SPIRE does for a workload, without SPIRE: trust domains that sign SVIDs, and the Workload API.

mod messages;
mod server;
mod trust_domain;
mod workload_api;

pub use trust_domain::{Keys, Svid, TrustDomain, jws, jwt, now};
pub use workload_api::{Entry, WorkloadApi};
