//! Start, run, end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use tappass_model::{SystemClock, SystemIds};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;

use crate::{
    config::{Config, Overrides, load},
    listen::{Connections, bind},
    router::Gateway,
    state::App,
};

/// How long streams have to send their error frame when the grace period is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Starts servers.
pub struct Server;

/// A server that answers.
pub struct Running {
    /// Where; with the port that the system chose if it was 0.
    pub addr: SocketAddr,
    /// Its parts.
    pub app: App,
    connections: Connections,
    accepting: TaskTracker,
}

impl Server {
    /// Starts with this configuration. When it returns, the port answers.
    ///
    /// # Errors
    /// The port, the database, the secrets: each with what to do.
    pub async fn start(config: Config) -> anyhow::Result<Running> {
        let listener = bind(config.host, config.port).await?;
        let addr = listener.local_addr().context("the listener has no address")?;
        let app = App::new(config, Arc::new(SystemClock), Arc::new(SystemIds));
        let connections = Connections::new(Gateway::new(app.clone()));
        let accepting = TaskTracker::new();
        accepting.spawn(connections.clone().accept(listener));
        tracing::info!(%addr, version = env!("CARGO_PKG_VERSION"), storage = app.config.storage.health_name(), "listening");
        Ok(Running { addr, app, connections, accepting })
    }
}

impl Running {
    /// Stops: no new connections → running calls finish within the grace period → streams get their error frame
    /// → the rest is cut → work behind the calls ends.
    pub async fn shutdown(self) {
        let life = &self.app.life;
        let grace = self.app.config.limits.drain();
        tracing::info!(grace_s = grace.as_secs(), "stopping");
        life.draining.cancel();
        self.accepting.close();
        self.accepting.wait().await;
        if !self.connections.drained(grace).await {
            life.ending.cancel();
            if !self.connections.drained(LAST_WORDS).await {
                self.connections.cut();
                self.connections.drained(LAST_WORDS).await;
            }
        }
        life.ending.cancel();
        life.tasks.close();
        if tokio::time::timeout(grace.max(LAST_WORDS), life.tasks.wait()).await.is_err() {
            tracing::error!(left = life.tasks.len(), "work was left behind");
        }
        tracing::info!("stopped");
    }
}

/// Runs a server until SIGTERM or SIGINT. `ready` is told the address once the port answers.
///
/// # Errors
/// As [`Server::start`], and a wrong configuration.
pub async fn serve(overrides: &Overrides, ready: impl FnOnce(&Running)) -> anyhow::Result<()> {
    let config = load(overrides, |name| std::env::var(name).ok())?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let running = Server::start(config).await?;
    ready(&running);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.shutdown().await;
    Ok(())
}
