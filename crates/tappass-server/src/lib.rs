//! The HTTP server: route table, middleware, routes.
//!
//! A request's way: `listen` accepts it, `middleware` gives it an id and sheds it when there are too many,
//! `router` finds its route in the one `table` and asks who calls, `routes` answer it.

pub mod allowlists;
pub mod approvals;
pub mod body;
pub mod call;
pub mod caller;
pub mod config;
pub mod cookies;
pub mod dashboard;
pub mod documents;
pub mod egress;
pub mod error;
pub mod hooks;
pub mod insight;
pub mod kept;
pub mod listen;
pub mod logging;
pub mod mail;
pub mod mcp;
pub mod metrics;
pub mod middleware;
pub mod origin;
pub mod params;
mod pipeline_text;
pub mod pipelines;
pub mod policies;
pub mod record;
pub mod replay;
pub mod router;
pub mod routes;
pub mod scope;
pub mod serve;
pub mod sso;
pub mod state;
pub mod vault;

pub use caller::{Agent, Caller};
pub use config::{Config, ConfigError, Federated, Limits, Overrides, Spiffe, Storage};
pub use error::{ApiError, ErrorShape};
pub use middleware::RequestId;
pub use router::{Gateway, openapi};
pub use scope::Scope;
pub use serve::{Running, Server, serve};
pub use state::{App, Setup};
