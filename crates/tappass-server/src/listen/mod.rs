//! From the port to requests: binding, the accept loop, connections and their end.

mod holder;
mod mtls;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tappass_identity::PeerSvid;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{config::Limits, middleware::Peer, router::Gateway};

pub use holder::{Holder, holder_of};

/// Why the port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has it.
    #[error("port {port} on {host} is in use{}; stop that process or choose another port with --port", by(.holder.as_ref()))]
    InUse {
        /// The address.
        host: IpAddr,
        /// The port.
        port: u16,
        /// Which process, where the system tells.
        holder: Option<Holder>,
    },
    /// Anything else: not an address of this machine, a privileged port.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |h| format!(" by `{}` (process {})", h.name, h.pid))
}

/// Takes the port.
///
/// # Errors
/// [`BindError`]; the process that holds the port is named where the system tells.
pub async fn bind(host: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(host, port);
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
            // Reading /proc takes milliseconds, and the server is not up yet.
            let holder = tokio::task::spawn_blocking(move || holder_of(port)).await.ok().flatten();
            Err(BindError::InUse { host, port, holder })
        }
        Err(source) => Err(BindError::Other { address, source }),
    }
}

/// Open connections, and how they end.
#[derive(Clone)]
pub struct Connections {
    gateway: Gateway,
    open: TaskTracker,
    /// One for each connection, of all ports together.
    places: Arc<Semaphore>,
    /// Cancelled to end what is open whatever its state.
    cut: CancellationToken,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(gateway: Gateway) -> Self {
        let connections = gateway.app().config.limits.connections;
        let places = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Self { gateway, open: TaskTracker::new(), places, cut: CancellationToken::new() }
    }

    /// Accepts until the server drains. On a port `with_tls` a client must show an X.509-SVID.
    pub async fn accept(self, listener: TcpListener, with_tls: bool) {
        let limits = self.gateway.app().config.limits.clone();
        let draining = self.gateway.app().life.draining.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = draining.cancelled() => return,
            };
            match accepted {
                Ok((socket, peer)) => match self.places.clone().try_acquire_owned() {
                    Ok(place) => {
                        // Without it, a stream's small pieces wait for each other's acknowledgement: 40 ms apiece.
                        let _ = socket.set_nodelay(true);
                        let (connections, limits) = (self.clone(), limits.clone());
                        if with_tls {
                            self.open.spawn(Box::pin(connections.secured(socket, peer, limits, place)));
                        } else {
                            self.open.spawn(Box::pin(connections.serve(socket, peer, None, limits, place)));
                        }
                    }
                    // On a TLS port these bytes would be no answer.
                    Err(_) if with_tls => drop(socket),
                    Err(_) => {
                        self.open.spawn(turn_away(socket));
                    }
                },
                // Out of file descriptors or memory: a moment's pause, or this loop takes the processor too.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    async fn serve(
        self,
        socket: impl AsyncRead + AsyncWrite + Unpin,
        peer: SocketAddr,
        svid: Option<PeerSvid>,
        limits: Limits,
        _place: OwnedSemaphorePermit,
    ) {
        let gateway = self.gateway.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (gateway, svid) = (gateway.clone(), svid.clone());
            async move {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(Peer(peer));
                if let Some(svid) = svid {
                    request.extensions_mut().insert(svid);
                }
                Ok::<_, std::convert::Infallible>(Box::pin(gateway.call(request)).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read())
            // More than a request may have: those between get a readable refusal, those beyond a bare 431.
            .max_headers(limits.headers.saturating_mul(2))
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = pin!(connection);
        let draining = self.gateway.app().life.draining.clone();
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.cut.cancelled() => return,
            () = draining.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.cut.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }

    /// Waits until all are closed, or the time is over.
    pub async fn drained(&self, within: Duration) -> bool {
        self.open.close();
        tokio::time::timeout(within, self.open.wait()).await.is_ok()
    }

    /// Ends all.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}

/// The answer to a connection beyond the bound.
async fn turn_away(mut socket: TcpStream) {
    let text = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.write_all(text.as_bytes())).await;
}
