//! The audit log: event, canonical form, chain, checkpoints, durable writer, verification.
