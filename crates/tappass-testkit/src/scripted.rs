//! A provider that does as it is told: a real HTTP/1.1 server on the loopback, speaking the chat, the
//! messages and the responses dialects, that also delays, stalls, cuts, half-closes, garbles and redirects on request.
//!
//! It writes its bytes to the socket itself, since no HTTP library lets one misbehave like this.

mod reply;
mod wire;

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use reply::{Part, Reply};

/// How long [`ScriptedProvider::disconnected`] and its like wait for what should happen at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// Which connection brought it, counted from 1: two requests with one number shared it.
    pub connection: usize,
}

impl RecordedRequest {
    /// A header's first value; the name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

type Rule = (Box<dyn Fn(&RecordedRequest) -> bool + Send + Sync>, Reply);

#[derive(Default)]
struct Script {
    rules: Vec<Rule>,
    queue: VecDeque<Reply>,
    fallback: Option<Reply>,
    requests: Vec<RecordedRequest>,
    connections: usize,
}

struct Shared {
    script: Mutex<Script>,
    /// Replies that the client did not wait for.
    left: watch::Sender<usize>,
    /// Requests that have arrived.
    arrived: watch::Sender<usize>,
}

/// The server. It ends when dropped.
pub struct ScriptedProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl ScriptedProvider {
    /// Starts on a free port of the loopback. Without a script it says `Hello from the scripted provider.`
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            left: watch::Sender::new(0),
            arrived: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        let (tracker, inner, cancelled) = (TaskTracker::new(), Arc::clone(&shared), stop.clone());
        let tasks = tracker.clone();
        tracker.spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let connection = {
                    let mut script = inner.script.lock();
                    script.connections += 1;
                    script.connections
                };
                let serve = wire::serve(socket, Arc::clone(&inner), connection);
                tasks.spawn(cancelled.clone().run_until_cancelled_owned(serve));
            }
        }));
        Self { address, shared, stop }
    }

    /// Where clients of the chat dialect point to: `http://127.0.0.1:<port>/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.origin())
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next request no rule takes gets this reply; several are given in their order, each once.
    pub fn push(&self, reply: Reply) {
        self.shared.script.lock().queue.push_back(reply);
    }

    /// What requests get when neither a rule nor the queue has a reply.
    pub fn always(&self, reply: Reply) {
        self.shared.script.lock().fallback = Some(reply);
    }

    /// Requests that `matches` get this reply, before the queue; the first rule given wins.
    pub fn when(&self, matches: impl Fn(&RecordedRequest) -> bool + Send + Sync + 'static, reply: Reply) {
        self.shared.script.lock().rules.push((Box::new(matches), reply));
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.script.lock().requests.clone()
    }

    /// The last request.
    #[must_use]
    pub fn last_request(&self) -> Option<RecordedRequest> {
        self.shared.script.lock().requests.last().cloned()
    }

    /// How many connections were opened. 0 proves that not a byte arrived.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.script.lock().connections
    }

    /// How many replies the client left before their end.
    #[must_use]
    pub fn disconnects(&self) -> usize {
        *self.shared.left.borrow()
    }

    /// Waits until a client has left a reply before its end; false when none does within five seconds.
    pub async fn disconnected(&self) -> bool {
        reaches(&self.shared.left, 1).await
    }

    /// Waits until `count` requests have arrived; false when they don't within five seconds.
    pub async fn received(&self, count: usize) -> bool {
        reaches(&self.shared.arrived, count).await
    }
}

impl Drop for ScriptedProvider {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn reaches(counter: &watch::Sender<usize>, count: usize) -> bool {
    let mut counter = counter.subscribe();
    tokio::time::timeout(PATIENCE, counter.wait_for(|n| *n >= count)).await.is_ok()
}

impl Shared {
    /// Records a request and says what to reply.
    fn take(&self, request: &RecordedRequest) -> Reply {
        let reply = {
            let mut script = self.script.lock();
            script.requests.push(request.clone());
            let ruled =
                script.rules.iter().find(|(matches, _)| matches(request)).map(|(_, reply)| reply.clone());
            ruled
                .or_else(|| script.queue.pop_front())
                .or_else(|| script.fallback.clone())
                .unwrap_or_else(|| Reply::says("Hello from the scripted provider."))
        };
        self.arrived.send_modify(|n| *n += 1);
        reply
    }
}
