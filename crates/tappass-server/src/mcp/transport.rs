//! Streamable HTTP: POST brings messages, GET listens, DELETE ends a session.

use axum::{
    body::Body as HttpBody,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use http::Method;
use serde_json::Value;

use super::{
    inward::{Expected, Inward, inward},
    link::{Link, SESSION, text, unwrapped, wrapped},
    methods::STATELESS,
    outward::{Outward, outward},
    stream,
    upstream::{self, Fault, Head, Reply},
};
use crate::error::ApiError;
use tappass_provider::jsonrpc::{Body, INVALID_REQUEST, Message};

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const PARAM: &str = "mcp-param-";
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// A header does not say what the message says.
const HEADER_MISMATCH: i64 = -32020;
/// From this revision on a body holds one message.
const NO_BATCHES: &str = "2025-06-18";

/// A value of the transport's headers: its name, and the place of the argument it repeats.
type Param = (HeaderName, usize);

/// `POST /mcp/{server}`
///
/// # Errors
/// What keeps a message from being judged or recorded.
pub async fn post(mut link: Link, bytes: &[u8]) -> Result<Response, ApiError> {
    accepts(&link)?;
    let body = match Body::read(bytes) {
        Ok(body) => body,
        Err(error) => return Ok(bad(error.code, &error.what)),
    };
    if body.batch && link.since(NO_BATCHES) {
        return Ok(bad(
            INVALID_REQUEST,
            "this revision of the protocol has no lists of messages: send one at a time",
        ));
    }
    let params = match repeated(&link, &body) {
        Ok(params) => params,
        Err(what) => return Ok(bad(HEADER_MISMATCH, &what)),
    };
    let batch = body.batch;
    let begins =
        body.messages.iter().any(|m| matches!(m, Message::Request { method, .. } if method == "initialize"));
    let listens = body
        .messages
        .iter()
        .any(|m| matches!(m, Message::Request { method, .. } if method == "subscriptions/listen"));
    if begins {
        // A session that is begun is none that goes on.
        link.session = None;
    }
    let (mut go, mut answers, mut expected) = (Vec::new(), Vec::new(), Expected::default());
    for message in body.messages {
        match outward(&link, message, &mut expected).await? {
            Outward::Go(message) => go.push(message),
            Outward::Answer(message) => answers.push(message),
            Outward::Drop => {}
        }
    }
    if go.is_empty() {
        return Ok(messages(batch, answers));
    }
    let asks = !expected.is_empty();
    let body = Body::write(batch, go);
    let reply = upstream::send(&link, Method::POST, Some(&body), headers_of(&link, &body, &params)).await;
    let session = |head: &Head, response: Response| match &head.session {
        Some(id) if begins => with_session(&link, id, response),
        _ => response,
    };
    match reply {
        Ok(Reply::Accepted) if !asks => Ok(messages(batch, answers)),
        Ok(Reply::Accepted) => Ok(failed(batch, answers, &mut expected, &Fault::Silent)),
        Ok(Reply::Gone) => Err(gone()),
        Ok(Reply::Events(head, response)) => {
            Ok(session(&head, stream::answer(link.clone(), expected, answers, response, listens)))
        }
        Ok(Reply::Messages(head, body)) => {
            // What nobody has asked for is no answer.
            let asked_for = body.messages.into_iter().filter(|message| expected.expects(message)).collect();
            answers.extend(judged(&link, asked_for, &mut expected).await?);
            answers.extend(expected.fail(&Fault::Silent.to_string(), &Fault::Silent.data()));
            Ok(session(&head, messages(batch, answers)))
        }
        Ok(Reply::Error(status, body)) => {
            match body {
                Some(body) => answers.extend(judged(&link, body.messages, &mut expected).await?),
                None => {
                    let fault = Fault::Status(status.as_u16());
                    answers.extend(expected.fail(&fault.to_string(), &fault.data()));
                }
            }
            let mut response = messages(batch, answers);
            *response.status_mut() = status;
            Ok(response)
        }
        Err(fault) if asks => Ok(failed(batch, answers, &mut expected, &fault)),
        Err(fault) => Err(ApiError::new(StatusCode::BAD_GATEWAY, "upstream_failed", fault.to_string())),
    }
}

/// `GET /mcp/{server}`: what the server has to say by itself, from `Last-Event-ID` on.
///
/// # Errors
/// 405 where it does not, 404 for a session that is over, 502 for a server that gives no stream.
pub async fn get(link: Link) -> Result<Response, ApiError> {
    let mut more = HeaderMap::new();
    if let Some(id) = text(&link.head, &LAST_EVENT)?
        && let Ok(id) = HeaderValue::from_str(id)
    {
        more.insert(LAST_EVENT, id);
    }
    match upstream::send(&link, Method::GET, None, more).await {
        Ok(Reply::Events(_, response)) => {
            Ok(stream::answer(link, Expected::default(), Vec::new(), response, true))
        }
        Ok(Reply::Gone) => Err(gone()),
        Ok(Reply::Error(status, _)) => Err(no_stream(status)),
        Ok(Reply::Accepted | Reply::Messages(..)) => Err(no_stream(StatusCode::METHOD_NOT_ALLOWED)),
        Err(fault) => Err(ApiError::new(StatusCode::BAD_GATEWAY, "upstream_failed", fault.to_string())),
    }
}

fn no_stream(status: StatusCode) -> ApiError {
    let detail = "The MCP server has nothing to say by itself: it answers what is posted.";
    ApiError::new(status, "no_stream", detail).header(header::ALLOW, HeaderValue::from_static("POST"))
}

/// `DELETE /mcp/{server}`: ends the session.
///
/// # Errors
/// 400 without a session, 404 for one that is over, 405 where the server does not end sessions.
pub async fn delete(link: Link) -> Result<Response, ApiError> {
    if link.session.is_none() {
        return Err(ApiError::bad_request("no_session", "`Mcp-Session-Id` says which session ends."));
    }
    match upstream::send(&link, Method::DELETE, None, HeaderMap::new()).await {
        Ok(Reply::Accepted | Reply::Messages(..) | Reply::Events(..)) | Err(Fault::WrongType) => {
            Ok(empty(StatusCode::NO_CONTENT))
        }
        Ok(Reply::Gone) => Err(gone()),
        Ok(Reply::Error(status, _)) => {
            Err(ApiError::new(status, "session_not_ended", "The MCP server does not end sessions."))
        }
        Err(fault) => Err(ApiError::new(StatusCode::BAD_GATEWAY, "upstream_failed", fault.to_string())),
    }
}

async fn judged(
    link: &Link,
    messages: Vec<Message>,
    expected: &mut Expected,
) -> Result<Vec<Message>, ApiError> {
    let mut kept = Vec::new();
    for message in messages {
        // A server asks in streams only: there is nobody to bring it the answer of a refusal here.
        if let Inward::Go(message) = inward(link, message, expected).await? {
            kept.push(message);
        }
    }
    Ok(kept)
}

fn gone() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown_session", "The session is over: begin a new one.")
}

fn failed(batch: bool, mut answers: Vec<Message>, expected: &mut Expected, fault: &Fault) -> Response {
    answers.extend(expected.fail(&fault.to_string(), &fault.data()));
    messages(batch, answers)
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(HttpBody::empty());
    *response.status_mut() = status;
    response
}

/// Messages as an answer; where there are none, that they have been taken.
fn messages(batch: bool, messages: Vec<Message>) -> Response {
    if messages.is_empty() {
        return empty(StatusCode::ACCEPTED);
    }
    json_response(StatusCode::OK, &Body::write(batch || messages.len() > 1, messages))
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(HttpBody::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body that holds no message that can be answered.
fn bad(code: i64, what: &str) -> Response {
    json_response(StatusCode::BAD_REQUEST, &Message::error(Value::Null, code, what, Value::Null).write())
}

fn with_session(link: &Link, id: &str, mut response: Response) -> Response {
    match link.session_for_client(id) {
        Some(value) => {
            response.headers_mut().insert(SESSION, value);
        }
        None => tracing::warn!(
            server = link.server.name,
            "an MCP server gives a session an id that no header can carry"
        ),
    }
    response
}

/// Answers come as JSON or as a stream, as the server likes: a client must take both (the transport's rule).
fn accepts(link: &Link) -> Result<(), ApiError> {
    let said: Vec<&str> = link
        .head
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .collect();
    let kind = |part: &&str| part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let takes = |wanted: &str| {
        said.iter().any(|part| {
            let kind = kind(part);
            kind == wanted
                || kind == "*/*"
                || (kind.ends_with("/*") && wanted.starts_with(&kind[..kind.len() - 1]))
        })
    };
    if said.is_empty() || (takes("application/json") && takes("text/event-stream")) {
        return Ok(());
    }
    let detail = "Send `Accept: application/json, text/event-stream`: answers come as one or the other.";
    Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail))
}

/// Holds the headers that repeat what a message says against it. What goes on is made of what goes on.
fn repeated(link: &Link, body: &Body) -> Result<Vec<Param>, String> {
    let said = |name: &HeaderName| match text(&link.head, name) {
        Ok(value) => {
            value.map(|v| unwrapped(v).ok_or_else(|| format!("`{name}` cannot be read"))).transpose()
        }
        Err(error) => Err(error.detail().to_owned()),
    };
    let [Message::Request { method, params, .. } | Message::Notification { method, params }] =
        body.messages.as_slice()
    else {
        return Ok(Vec::new());
    };
    let differs = |name: &HeaderName| format!("`{name}` does not say what the message says");
    if said(&METHOD)?.is_some_and(|said| said != *method) {
        return Err(differs(&METHOD));
    }
    if said(&NAME)?.is_some_and(|said| name_of(method, params) != Some(said.as_str())) {
        return Err(differs(&NAME));
    }
    let mut found = Vec::new();
    for name in link.head.keys().filter(|name| name.as_str().starts_with(PARAM)) {
        let said = said(name)?.unwrap_or_default();
        let at = leaves(&params["arguments"]).iter().position(|leaf| *leaf == said);
        found.push((name.clone(), at.ok_or_else(|| differs(name))?));
    }
    Ok(found)
}

/// The transport's headers of a message as it goes on.
pub(super) fn headers_of(link: &Link, body: &Value, params: &[Param]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(method) = body["method"].as_str().filter(|_| link.since(STATELESS)) else { return headers };
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(&wrapped(value)) {
            headers.insert(name, value);
        }
    };
    put(METHOD, method);
    if let Some(name) = name_of(method, &body["params"]) {
        put(NAME, name);
    }
    let leaves = leaves(&body["params"]["arguments"]);
    for (name, at) in params {
        if let Some(leaf) = leaves.get(*at) {
            put(name.clone(), leaf);
        }
    }
    headers
}

/// What `Mcp-Name` says of a method.
fn name_of<'a>(method: &str, params: &'a Value) -> Option<&'a str> {
    let member = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    params[member].as_str()
}

/// The values that are no containers, in order, as headers say them. A mask changes values and keys, not how many there
/// are.
fn leaves(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(leaves).collect(),
        Value::Object(object) => object.values().flat_map(leaves).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}
