//! Model providers and the dialects between them and the gateway.

pub mod anthropic;
pub mod azure;
pub mod bedrock;
pub mod builtin;
pub mod dialects;
pub mod gemini;
pub mod http;
pub mod jsonrpc;
pub mod kept;
pub mod openai;
pub mod own;
pub mod provider;
pub mod region;
pub mod router;
mod setup;
pub mod sse;
mod translate;

pub use kept::{Owner, Tagger};
pub use own::OwnKey;
pub use provider::{EventStream, Provider, ProviderCall, ProviderError, ProviderReply, Timeout};
pub use router::{ProviderConfigError, ProviderInfo, Providers};
pub use translate::send;
