//! A server's events on their way to an agent: each is judged when it has come whole, and goes on or does not. Dropping
//! the stream ends the server's.

use std::{collections::VecDeque, convert::Infallible, pin::Pin, time::Duration};

use axum::{
    body::Body as HttpBody,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use tappass_provider::sse::{SseEvent, SseParser};
use tokio::time::Instant;

use super::{
    inward::{Expected, Inward, inward},
    link::Link,
    transport::headers_of,
    upstream::{self, Fault},
};
use crate::error::ApiError;
use tappass_provider::jsonrpc::{Body, Message};

/// The largest event, in bytes.
const LARGEST: usize = 4 << 20;
/// The longest id of an event, in bytes.
const LONGEST_ID: usize = 256;
/// After so much silence the client hears that the stream is still there.
const SILENCE: Duration = Duration::from_secs(15);

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>;

struct Flow {
    link: Link,
    expected: Expected,
    /// `None` once the server's stream has ended.
    pieces: Option<Pieces>,
    parser: SseParser,
    ready: VecDeque<Bytes>,
    /// Whether the client could take the stream up again where it broke off.
    resumable: bool,
    /// How long the server may be silent; `None` where it may be for good.
    patience: Option<Duration>,
    /// When it last said something.
    heard: Instant,
    over: bool,
}

/// What came next.
enum Next {
    Piece(Bytes),
    Silence,
    End(Option<Fault>),
}

/// The stream as an answer. `first` goes out before anything else; where nothing is `expected`, the stream is one that
/// listens, and may be silent.
pub fn answer(
    link: Link,
    expected: Expected,
    first: Vec<Message>,
    response: reqwest::Response,
    listens: bool,
) -> Response {
    let patience = (!listens).then(|| upstream::patience(&link));
    let flow = Flow {
        ready: first.into_iter().map(|message| event("", None, &message.write())).collect(),
        pieces: Some(Box::pin(response.bytes_stream())),
        parser: SseParser::new(LARGEST),
        resumable: false,
        heard: Instant::now(),
        over: false,
        link,
        expected,
        patience,
    };
    let mut response = Response::new(HttpBody::from_stream(run(flow)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn run(flow: Flow) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(flow, |mut flow| async move {
        loop {
            if let Some(bytes) = flow.ready.pop_front() {
                return Some((Ok(bytes), flow));
            }
            if flow.over {
                return None;
            }
            flow.advance().await;
        }
    })
}

impl Flow {
    async fn advance(&mut self) {
        match self.next().await {
            Next::Silence => self.ready.push_back(Bytes::from_static(b": still here\n\n")),
            Next::End(fault) => self.end(fault),
            Next::Piece(bytes) => {
                self.heard = Instant::now();
                if let Err(error) = self.parser.push(&bytes) {
                    return self.end(Some(Fault::Garbled(error.to_string())));
                }
                while let Some(event) = self.parser.next_event() {
                    if let Err(fault) = self.take(event).await {
                        return self.end(Some(fault));
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> Next {
        let life = &self.link.app.life;
        let Some(pieces) = &mut self.pieces else { return Next::End(None) };
        let late = self.patience.map(|patience| self.heard + patience);
        let never = std::future::pending::<()>();
        tokio::select! {
            next = pieces.next() => match next {
                Some(Ok(bytes)) => Next::Piece(bytes),
                Some(Err(_)) => Next::End(Some(Fault::CutOff)),
                None => Next::End(None),
            },
            () = async { match late { Some(at) => tokio::time::sleep_until(at).await, None => never.await } } => {
                Next::End(Some(Fault::TimedOut(self.patience.unwrap_or_default().as_secs())))
            }
            () = tokio::time::sleep(SILENCE) => Next::Silence,
            // Nobody waits for what a stream that listens may still hear.
            () = life.draining.cancelled(), if self.patience.is_none() => Next::End(None),
            () = life.ending.cancelled() => Next::End(Some(Fault::CutOff)),
        }
    }

    async fn take(&mut self, event: SseEvent) -> Result<(), Fault> {
        let id = if event.id.len() <= LONGEST_ID && event.id.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            event.id
        } else {
            String::new()
        };
        self.resumable |= !id.is_empty();
        if event.data.is_empty() {
            // Says from where the stream can be taken up again, and when.
            self.ready.push_back(Bytes::from(format!("{}data:\n\n", head(&id, event.retry))));
            return Ok(());
        }
        let body = Body::read(event.data.as_bytes()).map_err(|e| Fault::Garbled(e.what))?;
        let mut kept = Vec::new();
        for message in body.messages {
            match inward(&self.link, message, &mut self.expected).await {
                Ok(Inward::Go(message)) => kept.push(message),
                Ok(Inward::Back(message)) => back(&self.link, message).await,
                Ok(Inward::Drop) => {}
                Err(error) => {
                    self.fail(&error);
                    return Ok(());
                }
            }
        }
        if !kept.is_empty() {
            self.ready.push_back(self::event(&id, event.retry, &Body::write(body.batch, kept)));
        }
        Ok(())
    }

    /// What has come cannot be judged or recorded: nothing more goes on.
    fn fail(&mut self, error: &ApiError) {
        let failed = self.expected.fail(error.detail(), &json!({"code": error.code()}));
        self.close(failed);
    }

    fn end(&mut self, fault: Option<Fault>) {
        let fault = match fault {
            // It will come when the client takes the stream up again.
            None | Some(Fault::CutOff) if self.resumable => None,
            None => Some(Fault::Silent),
            some => some,
        };
        let failed =
            fault.map(|fault| self.expected.fail(&fault.to_string(), &fault.data())).unwrap_or_default();
        self.close(failed);
    }

    fn close(&mut self, failed: Vec<Message>) {
        self.pieces = None;
        self.over = true;
        self.ready.extend(failed.into_iter().map(|message| event("", None, &message.write())));
    }
}

/// Tells the server that what it asked did not reach the client.
async fn back(link: &Link, message: Message) {
    let body = message.write();
    let headers = headers_of(link, &body, &[]);
    if let Err(fault) = upstream::send(link, Method::POST, Some(&body), headers).await {
        tracing::warn!(server = link.server.name, %fault, "an MCP server could not be told of a refusal");
    }
}

/// One event as it is written. JSON has no line breaks of its own.
fn event(id: &str, retry: Option<u32>, data: &Value) -> Bytes {
    Bytes::from(format!("{}event: message\ndata: {data}\n\n", head(id, retry)))
}

/// The fields of an event that are for whoever takes the stream up again.
fn head(id: &str, retry: Option<u32>) -> String {
    let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
    retry.map_or(id.clone(), |retry| format!("{id}retry: {retry}\n"))
}
