//! Capability tokens: what an agent was allowed, signed, for a minute. Whoever gets one, a tool's server for instance, can
//! check it without asking the gateway.

mod claims;
mod globs;
mod keys;

pub use claims::{Claims, LEEWAY, Narrowing, Refusal, TTL, TYP, Use, arguments_hash};
pub use globs::{covers, is_pattern};
pub use keys::{PUBLISHED_AFTER, TokenKeyError, TokenKeys};
