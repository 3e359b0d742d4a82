//! One call of a tool without a client that speaks MCP: the gateway begins a session with the server, calls, and ends it.
//! For `POST /v1/tools/execute`, and for stored calls that a person has approved.

use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};
use tappass_provider::sse::SseParser;

use super::{
    inward::{Expected, Inward, inward},
    link::{Link, REVISION},
    methods::{NEWEST_WITH_SESSIONS, STATELESS},
    outward::{Outward, outward},
    transport::headers_of,
    upstream::{self, Fault, Reply},
};
use crate::error::ApiError;
use tappass_provider::jsonrpc::{Body, Message};

/// The id of every request: one is under way at a time.
const ID: i64 = 1;
/// The largest event, in bytes.
const LARGEST: usize = 4 << 20;

/// Calls a tool, governed as a call through `/mcp/{server}`; `beside` is what else its parameters hold. The result is the
/// tool's, or that of a tool that was not let run (`isError`, with the decision in `_meta.tappass`).
///
/// # Errors
/// 422 for parameters that no tool can be called with, 502 for a server that gives no answer, and what keeps the call from
/// being judged or recorded.
pub async fn execute(mut link: Link, tool: &str, arguments: Value, beside: Value) -> Result<Value, ApiError> {
    let mut params = Map::from_iter([("name".to_owned(), tool.into()), ("arguments".to_owned(), arguments)]);
    params.extend(beside.as_object().cloned().unwrap_or_default());
    let call =
        Message::Request { id: ID.into(), method: "tools/call".to_owned(), params: Value::Object(params) };
    let mut expected = Expected::default();
    // Judged before anything is begun: what may not run costs the server nothing.
    let call = match outward(&link, call, &mut expected).await? {
        Outward::Go(call) => call,
        Outward::Answer(answer) => return told(answer),
        Outward::Drop => return Err(failed(&Fault::Silent)),
    };
    link.session = None;
    let call = begin(&mut link, call).await?;
    let answered = ask(&link, call, &mut expected).await;
    if link.session.is_some()
        && let Err(fault) = upstream::send(&link, Method::DELETE, None, HeaderMap::new()).await
    {
        tracing::debug!(server = link.server.name, %fault, "an MCP session could not be ended");
    }
    told(answered?)
}

/// The result of an answer; an error of the server is one of ours.
fn told(answer: Message) -> Result<Value, ApiError> {
    match answer {
        Message::Answer { outcome: Ok(result), .. } => Ok(result),
        Message::Answer { outcome: Err(error), .. } => {
            let said: String =
                error["message"].as_str().unwrap_or("no reason given").chars().take(500).collect();
            // JSON-RPC's own codes are about what was asked.
            let asked = error["code"].as_i64().is_some_and(|code| (-32602..=-32600).contains(&code));
            let status = if asked { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_GATEWAY };
            Err(ApiError::new(status, "tool_failed", format!("The tool could not be called: {said}.")))
        }
        _ => Err(failed(&Fault::Silent)),
    }
}

fn failed(fault: &Fault) -> ApiError {
    ApiError::new(StatusCode::BAD_GATEWAY, "upstream_failed", fault.to_string())
}

/// Begins a session. A server that knows no `initialize` speaks the newest revision, in which each request says for itself
/// what a session would have.
async fn begin(link: &mut Link, mut call: Message) -> Result<Message, ApiError> {
    let revision = |link: &mut Link, revision: &'static str| {
        revision.clone_into(&mut link.revision);
        link.head.insert(REVISION, HeaderValue::from_static(revision));
    };
    let about = json!({"name": "tappass", "version": env!("CARGO_PKG_VERSION")});
    link.head.remove(REVISION);
    let params = json!({"protocolVersion": NEWEST_WITH_SESSIONS, "capabilities": {}, "clientInfo": about});
    let hello = json!({"jsonrpc": "2.0", "id": ID, "method": "initialize", "params": params});
    let reply =
        upstream::send(link, Method::POST, Some(&hello), HeaderMap::new()).await.map_err(|f| failed(&f))?;
    let (head, said) = match reply {
        Reply::Messages(head, body) => (Some(head), body.messages.into_iter().next()),
        Reply::Events(head, response) => (Some(head), first(link, response).await.map_err(|f| failed(&f))?),
        _ => (None, None),
    };
    if let (Some(head), Some(Message::Answer { outcome: Ok(spoken), .. })) = (head, said) {
        let known = super::methods::REVISIONS.into_iter().find(|known| spoken["protocolVersion"] == *known);
        let known =
            known.ok_or_else(|| failed(&Fault::Garbled("it speaks another revision of MCP".to_owned())))?;
        revision(link, known);
        link.session = head.session;
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        upstream::send(link, Method::POST, Some(&ready), HeaderMap::new()).await.map_err(|f| failed(&f))?;
        return Ok(call);
    }
    revision(link, STATELESS);
    if let Message::Request { params, .. } = &mut call {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = STATELESS.into();
        params["_meta"]["io.modelcontextprotocol/clientInfo"] = about;
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    }
    Ok(call)
}

/// The first message of a stream.
async fn first(link: &Link, response: reqwest::Response) -> Result<Option<Message>, Fault> {
    let mut events = Events::of(link, response);
    while let Some(messages) = events.next().await? {
        if let Some(answer) = messages.into_iter().find(|m| matches!(m, Message::Answer { .. })) {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// Sends the call; its answer, judged.
async fn ask(link: &Link, call: Message, expected: &mut Expected) -> Result<Message, ApiError> {
    let body = call.write();
    let reply = upstream::send(link, Method::POST, Some(&body), headers_of(link, &body, &[])).await;
    match reply.map_err(|fault| failed(&fault))? {
        Reply::Messages(_, body) => {
            answer(link, body.messages, expected).await?.ok_or_else(|| failed(&Fault::Silent))
        }
        Reply::Events(_, response) => {
            let mut events = Events::of(link, response);
            while let Some(messages) = events.next().await.map_err(|fault| failed(&fault))? {
                if let Some(answer) = answer(link, messages, expected).await? {
                    return Ok(answer);
                }
            }
            Err(failed(&Fault::Silent))
        }
        Reply::Error(status, _) => Err(failed(&Fault::Status(status.as_u16()))),
        Reply::Accepted | Reply::Gone => Err(failed(&Fault::Silent)),
    }
}

/// The answer among messages. Nobody is there to hear the others.
async fn answer(
    link: &Link,
    messages: Vec<Message>,
    expected: &mut Expected,
) -> Result<Option<Message>, ApiError> {
    for message in messages {
        if expected.expects(&message)
            && let Inward::Go(answer) = inward(link, message, expected).await?
        {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// The messages of a stream, event by event.
struct Events<'a> {
    link: &'a Link,
    pieces: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    parser: SseParser,
}

impl<'a> Events<'a> {
    fn of(link: &'a Link, response: reqwest::Response) -> Self {
        Self { link, pieces: Box::pin(response.bytes_stream()), parser: SseParser::new(LARGEST) }
    }

    async fn next(&mut self) -> Result<Option<Vec<Message>>, Fault> {
        let patience = upstream::patience(self.link);
        loop {
            while let Some(event) = self.parser.next_event() {
                if !event.data.is_empty() {
                    let body = Body::read(event.data.as_bytes()).map_err(|e| Fault::Garbled(e.what))?;
                    return Ok(Some(body.messages));
                }
            }
            let next = tokio::time::timeout(patience, self.pieces.next()).await;
            match next.map_err(|_| Fault::TimedOut(patience.as_secs()))? {
                None => return Ok(None),
                Some(Err(_)) => return Err(Fault::CutOff),
                Some(Ok(piece)) => self.parser.push(&piece).map_err(|e| Fault::Garbled(e.to_string()))?,
            }
        }
    }
}
