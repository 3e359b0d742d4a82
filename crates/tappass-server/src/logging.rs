//! Logs: on stderr, pretty for a terminal and JSON for a collector. Never content, never keys.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging for the process. The filter is `TAPPASS_LOG`, else `RUST_LOG`, else `info`. A second call has
/// no effect.
pub fn init() {
    let spec = ["TAPPASS_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    // sqlx tells of every slow statement with its text; hyper of every connection.
    let filter = EnvFilter::try_new(spec.as_deref().unwrap_or("info,sqlx=warn,hyper=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let done = if io::stderr().is_terminal() {
        registry.with(fmt::layer().with_writer(io::stderr).with_target(false).compact()).try_init()
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init()
    };
    if done.is_err() {
        tracing::debug!("logging was started before");
    }
}
