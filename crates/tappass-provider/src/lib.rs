//! Model providers and the dialects between them and the gateway.

pub mod dialects;
pub mod provider;

pub use provider::{EventStream, Provider, ProviderCall, ProviderError, ProviderReply, Timeout};
