//! An MCP server for tests: it keeps what it is sent, and answers as it is told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
    routing::any,
};
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

/// What it was sent.
#[derive(Debug, Clone)]
pub struct Heard {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Value,
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Say {
    /// The result of the one request.
    Result(Value),
    /// A whole message, or several, as JSON.
    Json(Value),
    /// Events; each is written as `data:`, with the ids `e0`, `e1` … unless they are switched off.
    Events(Vec<Value>, bool),
    /// The events, and then nothing for good.
    EventsThenSilence(Vec<Value>),
    /// This of a stream, and then the connection breaks off.
    BrokenOff(&'static str),
    /// A status, headers and a body.
    Raw(u16, Vec<(&'static str, &'static str)>, String),
    /// Nothing at all.
    Never,
}

#[derive(Default)]
struct Kept {
    heard: Vec<Heard>,
    says: VecDeque<Say>,
    /// How many answers that never end have been given up by whoever asked.
    left: usize,
}

pub struct Upstream {
    pub url: String,
    kept: Arc<Mutex<Kept>>,
    _tasks: TaskTracker,
}

impl Upstream {
    pub async fn start() -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let router = Router::new().route("/mcp", any(answer)).with_state(kept.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("bound"));
        let tasks = TaskTracker::new();
        tasks.spawn(async move { axum::serve(listener, router).await });
        Self { url, kept, _tasks: tasks }
    }

    /// What it answers next; where nothing is left, an empty result.
    pub fn say(&self, say: Say) {
        self.kept.lock().expect("kept").says.push_back(say);
    }

    /// What it was sent, and forgets it.
    pub fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.kept.lock().expect("kept").heard)
    }

    /// How many of its answers were given up before their end.
    pub fn left(&self) -> usize {
        self.kept.lock().expect("kept").left
    }
}

/// Counts when it is dropped.
struct Left(Arc<Mutex<Kept>>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.lock().expect("kept").left += 1;
    }
}

fn response(status: u16, kind: &str, body: Body) -> Response {
    let built = Response::builder()
        .status(status)
        .header("content-type", kind)
        .header("mcp-session-id", "upstream-7");
    built.body(body).expect("a response")
}

fn event(i: usize, data: &Value, ids: bool) -> String {
    let id = if ids { format!("id: e{i}\n") } else { String::new() };
    format!("{id}data: {data}\n\n")
}

async fn answer(State(kept): State<Arc<Mutex<Kept>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let say = {
        let mut kept = kept.lock().expect("kept");
        kept.heard.push(Heard { method: parts.method.clone(), headers: parts.headers, body: body.clone() });
        let wants = parts.method != Method::POST
            || body.is_array()
            || !body["id"].is_null() && !body["method"].is_null();
        if wants { kept.says.pop_front() } else { Some(Say::Raw(202, vec![], String::new())) }
    };
    let unsaid = match body["method"].as_str() {
        _ if parts.method == Method::GET => Say::Events(vec![], false),
        Some("initialize") => Say::Result(json!({"protocolVersion": "2025-06-18", "capabilities": {}})),
        _ => Say::Result(json!({})),
    };
    match say.unwrap_or(unsaid) {
        Say::Result(result) => {
            let message = json!({"jsonrpc": "2.0", "id": body["id"], "result": result});
            response(200, "application/json", Body::from(message.to_string()))
        }
        Say::Json(message) => response(200, "application/json", Body::from(message.to_string())),
        Say::Events(events, ids) => {
            let text: String = events.iter().enumerate().map(|(i, data)| event(i, data, ids)).collect();
            response(200, "text/event-stream", Body::from(text))
        }
        Say::EventsThenSilence(events) => {
            let text: String = events.iter().enumerate().map(|(i, data)| event(i, data, true)).collect();
            let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(text))]);
            let left = Left(kept);
            let rest = futures_util::stream::once(async move {
                let _left = left;
                std::future::pending().await
            });
            response(200, "text/event-stream", Body::from_stream(first.chain(rest)))
        }
        Say::BrokenOff(text) => {
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            let pieces = futures_util::stream::iter([Ok(Bytes::from(text)), Err(broken)]);
            // What was written goes out before the connection ends.
            let pieces = pieces.then(async |piece| {
                tokio::task::yield_now().await;
                piece
            });
            response(200, "text/event-stream", Body::from_stream(pieces))
        }
        Say::Raw(status, headers, body) => {
            let mut raw = Response::new(Body::from(body));
            *raw.status_mut() = StatusCode::from_u16(status).expect("a status");
            for (name, value) in headers {
                raw.headers_mut().insert(name, value.parse().expect("a header"));
            }
            raw
        }
        Say::Never => {
            let _left = Left(kept);
            tokio::time::sleep(Duration::from_secs(3600)).await;
            response(200, "application/json", Body::empty())
        }
    }
}
