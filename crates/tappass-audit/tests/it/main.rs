//! The audit log on real databases: durable, one line, and no tampering unseen.

mod kill;
mod outage;
mod replicas;
mod support;
mod tamper;
mod writer;
