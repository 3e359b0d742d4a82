//! Connections to one host, kept for the next call. HTTP/1.1: one call at a time on each.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

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
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::connect::{Connector, Socket};

/// How long a connection may wait for its next call: most servers close one after a minute.
const IDLE: Duration = Duration::from_secs(60);
/// So many may wait that long. The others are what a crowd has left behind, with 20 kB of buffers each.
const FEW: usize = 32;
/// How long a connection beyond those may wait.
const SURPLUS: Duration = Duration::from_secs(3);
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
    idle: Arc<Idle<Sender>>,
    /// What moves bytes on each connection and ends with it; what closes those that wait.
    tasks: TaskTracker,
}

/// The connections without a call.
type Idle<T> = Mutex<Waiting<T>>;

struct Waiting<T> {
    /// The longest waiting first, each with since when.
    connections: VecDeque<(T, Instant)>,
    /// Whether a task closes them when their time is over.
    swept: bool,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { connections: VecDeque::new(), swept: false }
    }
}

/// A connection with a call. Dropped, it closes; given back, it serves the next one.
pub(super) struct Lease {
    sender: Sender,
    idle: Arc<Idle<Sender>>,
    tasks: TaskTracker,
}

impl Pool {
    pub(super) fn new(connector: Connector, connect_within: Duration) -> Self {
        Self { connector, connect_within, idle: Arc::default(), tasks: TaskTracker::new() }
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
                Ok(response) => {
                    let (idle, tasks) = (Arc::clone(&self.idle), self.tasks.clone());
                    return Ok((response, Lease { sender, idle, tasks }));
                }
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
            let (mut sender, since) = self.idle.lock().connections.pop_back()?;
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
        self.tasks.spawn(async move { connection.await.ok() });
        Ok(sender)
    }
}

impl Lease {
    /// Keeps the connection for the next call. Only after the end of the answer.
    pub(super) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut waiting = self.idle.lock();
        waiting.connections.push_back((self.sender, Instant::now()));
        if !std::mem::replace(&mut waiting.swept, true) {
            self.tasks.spawn(sweep(Arc::downgrade(&self.idle)));
        }
    }
}

/// Closes what has waited for too long, until nothing waits or the pool is gone.
async fn sweep<T>(idle: Weak<Idle<T>>) {
    while idle.upgrade().is_some_and(|idle| idle.lock().close_old(Instant::now())) {
        sleep(SURPLUS).await;
    }
}

impl<T> Waiting<T> {
    /// Closes those whose time is over; whether any goes on waiting. Where none does, nothing sweeps any more.
    fn close_old(&mut self, now: Instant) -> bool {
        while let Some((_, since)) = self.connections.front() {
            let may_wait = if self.connections.len() > FEW { SURPLUS } else { IDLE };
            if now.duration_since(*since) < may_wait {
                return true;
            }
            self.connections.pop_front();
        }
        self.swept = false;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crowd_leaves_behind_is_closed_and_a_few_wait_longer() {
        let start = Instant::now();
        let connections = (0..2000).map(|i| (i, start)).collect();
        let mut waiting = Waiting { connections, swept: true };
        assert!(waiting.close_old(start + SURPLUS / 2));
        assert_eq!(waiting.connections.len(), 2000);
        assert!(waiting.close_old(start + SURPLUS));
        let left: Vec<usize> = waiting.connections.iter().map(|(i, _)| *i).collect();
        assert_eq!(left, (2000 - FEW..2000).collect::<Vec<_>>());
        assert!(waiting.close_old(start + IDLE - SURPLUS) && waiting.connections.len() == FEW);
        assert!(waiting.swept);
        assert!(!waiting.close_old(start + IDLE));
        assert!(waiting.connections.is_empty() && !waiting.swept, "the next one starts a sweeper");
    }

    #[tokio::test]
    async fn a_sweeper_ends_with_its_pool() {
        let idle: Arc<Idle<()>> = Arc::default();
        idle.lock().connections.push_back(((), Instant::now()));
        let weak = Arc::downgrade(&idle);
        drop(idle);
        sweep(weak).await;
    }
}
