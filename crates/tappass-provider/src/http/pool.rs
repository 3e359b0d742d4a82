//! Connections to one host, kept for the next call. HTTP/1.1: one call at a time on each.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::connect::{Connector, Socket};

/// How long a connection may wait for its next call: most servers close one after a minute.
const IDLE: Duration = Duration::from_secs(60);
/// How long a connection may take to be ready again after an answer has been read; it is mostly ready at once.
const SETTLE: Duration = Duration::from_millis(5);

/// A request with its whole body.
pub(super) type Outgoing = Request<Full<Bytes>>;
type Sender = SendRequest<Full<Bytes>>;

/// Why no answer came.
pub(super) enum SendError {
    /// No connection in time.
    ConnectTimeout,
    /// No connection, for this reason.
    Unreachable(String),
    /// The connection ended before the answer began.
    Broken,
}

/// The connections to one host.
pub(super) struct Pool {
    connector: Connector,
    connect_within: Duration,
    idle: Arc<Mutex<VecDeque<Idle>>>,
    /// What moves bytes on each connection; ends with it.
    drivers: TaskTracker,
}

/// A connection without a call.
struct Idle {
    sender: Sender,
    since: Instant,
}

/// A connection with a call. Dropped, it closes; given back, it serves the next one.
pub(super) struct Lease {
    sender: Sender,
    idle: Arc<Mutex<VecDeque<Idle>>>,
}

impl Pool {
    pub(super) fn new(connector: Connector, connect_within: Duration) -> Self {
        Self { connector, connect_within, idle: Arc::default(), drivers: TaskTracker::new() }
    }

    /// Sends a request; the head of its answer has come. Dropping this, or the answer before its end, closes the
    /// connection: that is how HTTP/1.1 cancels.
    pub(super) async fn send(&self, mut request: Outgoing) -> Result<(Response<Incoming>, Lease), SendError> {
        loop {
            let kept = self.kept().await;
            let first = kept.is_none();
            let mut sender = match kept {
                Some(sender) => sender,
                None => timeout(self.connect_within, self.connect())
                    .await
                    .map_err(|_| SendError::ConnectTimeout)??,
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, Lease { sender, idle: Arc::clone(&self.idle) })),
                // Closed while it was kept, and no byte of the request has left: as if it had not been there.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !first => request = unsent,
                    _ => return Err(SendError::Broken),
                },
            }
        }
    }

    /// The connection used last that still works.
    async fn kept(&self) -> Option<Sender> {
        loop {
            let Idle { mut sender, since } = self.idle.lock().pop_back()?;
            if since.elapsed() < IDLE && matches!(timeout(SETTLE, sender.ready()).await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
    }

    async fn connect(&self) -> Result<Sender, SendError> {
        match self.connector.connect().await.map_err(SendError::Unreachable)? {
            Socket::Plain(socket) => self.drive(TokioIo::new(socket)).await,
            Socket::Tls(socket) => self.drive(TokioIo::new(socket)).await,
        }
    }

    async fn drive(&self, io: impl Read + Write + Unpin + Send + 'static) -> Result<Sender, SendError> {
        let (sender, connection) = http1::handshake(io).await.map_err(|_| SendError::Broken)?;
        // What goes wrong on it is told to its call.
        self.drivers.spawn(async move { connection.await.ok() });
        Ok(sender)
    }
}

impl Lease {
    /// Keeps the connection for the next call. Only after the end of the answer.
    pub(super) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock();
        while idle.front().is_some_and(|oldest| oldest.since.elapsed() >= IDLE) {
            idle.pop_front();
        }
        idle.push_back(Idle { sender: self.sender, since: Instant::now() });
    }
}
