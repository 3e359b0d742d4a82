//! Start, run, end.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use tappass_identity::Created;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::task::TaskTracker;

use crate::{
    config::{Config, Overrides, load},
    listen::{Connections, bind},
    logging,
    router::{Gateway, Route, table},
    state::{App, Setup},
};

/// How long streams have to send their error frame when the grace period is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Starts servers.
pub struct Server;

/// A server that answers.
pub struct Running {
    /// Where; with the port that the system chose if it was 0.
    pub addr: SocketAddr,
    /// Where agents show X.509-SVIDs, if anywhere.
    pub mtls_addr: Option<SocketAddr>,
    /// Its parts.
    pub app: App,
    /// Secrets that were missing and have been made.
    pub created: Vec<Created>,
    connections: Connections,
    accepting: TaskTracker,
}

impl Server {
    /// Starts with this configuration. When it returns, the port answers.
    ///
    /// # Errors
    /// The port, the database, the secrets: each with what to do.
    pub async fn start(config: Config) -> anyhow::Result<Running> {
        Self::start_with(Setup::new(config)).await
    }

    /// Starts with another environment, clock or ids than the process's.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_with(setup: Setup) -> anyhow::Result<Running> {
        Self::start_routes(setup, table::routes()).await
    }

    /// Starts with other routes than the table's: for tests of what surrounds them.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_routes(mut setup: Setup, routes: Vec<Route>) -> anyhow::Result<Running> {
        // The port first: of two that start at once, the second must not touch the data.
        let listener = bind(setup.config.host, setup.config.port).await?;
        let addr = listener.local_addr().context("the listener has no address")?;
        let secured = match setup.config.spiffe.mtls_port {
            Some(port) => Some(bind(setup.config.host, port).await?),
            None => None,
        };
        let mtls_addr = secured.as_ref().map(TcpListener::local_addr).transpose();
        let mtls_addr = mtls_addr.context("the listener for mTLS has no address")?;
        // Asked for any port, it tells people the one it got.
        setup.config.port = addr.port();
        let (app, created) = Box::pin(App::open(setup)).await?;
        app.life.tasks.spawn(app.clone().housekeeping());
        app.life.tasks.spawn(app.svids.clone().keep(app.life.ending.clone()));
        app.life.tasks.spawn(app.clone().note_license());
        app.life.tasks.spawn(app.clone().fold());
        let connections = Connections::new(Gateway::with_routes(app.clone(), routes));
        let accepting = TaskTracker::new();
        accepting.spawn(connections.clone().accept(listener, false));
        if let Some(listener) = secured {
            accepting.spawn(connections.clone().accept(listener, true));
        }
        tracing::info!(%addr, version = env!("CARGO_PKG_VERSION"), storage = app.config.storage.health_name(), "listening");
        if let Some(addr) = mtls_addr {
            tracing::info!(%addr, "listening for agents with X.509-SVIDs");
        }
        Ok(Running { addr, mtls_addr, app, created, connections, accepting })
    }
}

impl Running {
    /// Stops: no new connections → running calls finish within the grace period → streams get their error frame
    /// → the rest is cut → work behind the calls ends → audit log and database close.
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
        if let Err(error) = self.app.authenticator.flush_uses().await {
            tracing::warn!(%error, "cannot note when keys were used");
        }
        if let Err(error) = self.app.audit.shutdown().await {
            tracing::error!(%error, "the audit log did not close in order");
        }
        self.app.store.close().await;
        tracing::info!("stopped");
    }
}

/// Runs a server until SIGTERM or SIGINT. `ready` is told the address once the port answers.
///
/// # Errors
/// As [`Server::start`], and a wrong configuration.
pub async fn serve(overrides: &Overrides, ready: impl FnOnce(&Running)) -> anyhow::Result<()> {
    logging::init();
    let config = load(overrides, |name| std::env::var(name).ok())?;
    let told = Told::new()?;
    let running = Server::start(config).await?;
    ready(&running);
    ends(running, told).await
}

/// Lets a server run until SIGTERM or SIGINT, then ends it.
///
/// # Errors
/// When the signals cannot be heard, or the audit log cannot be trusted any more.
pub async fn until_told(running: Running) -> anyhow::Result<()> {
    ends(running, Told::new()?).await
}

/// The signals that say that it is over.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }
}

async fn ends(running: Running, mut told: Told) -> anyhow::Result<()> {
    let failed = tokio::select! {
        _ = told.terminate.recv() => None,
        _ = told.interrupt.recv() => None,
        reason = running.app.audit.failed() => Some(reason),
    };
    if let Some(reason) = failed {
        // What is on the disk is not known: going on could acknowledge calls that no record has.
        tracing::error!(%reason, "the audit log cannot be trusted to reach the disk; ending at once");
        logging::flush();
        anyhow::bail!("the audit log cannot be trusted to reach the disk: {reason}");
    }
    running.shutdown().await;
    logging::flush();
    Ok(())
}
