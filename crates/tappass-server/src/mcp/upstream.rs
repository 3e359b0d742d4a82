//! The way to a server: its address, its own credential, deadlines and limits. Nothing of the client's head goes along.

use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Response, Url};
use serde_json::{Value, json};

use super::link::{Link, REVISION, SESSION, text};
use tappass_provider::jsonrpc::Body;

/// The largest answer that is no stream, in bytes.
const LARGEST: usize = 16 << 20;
/// The most of an error's body that is read, in bytes.
const LARGEST_ERROR: usize = 256 << 10;

/// What a server answers.
pub enum Reply {
    /// It has taken what needs no answer.
    Accepted,
    /// Messages.
    Messages(Head, Body),
    /// Messages as they come.
    Events(Head, Response),
    /// An error that says something, or a status alone: told on as it is.
    Error(StatusCode, Option<Body>),
    /// The session is over.
    Gone,
}

/// What the head of an answer says.
pub struct Head {
    /// The session's id, where one begins.
    pub session: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be connected to.
    #[error("The MCP server cannot be reached.")]
    Unreachable,
    /// The operator does not allow its address.
    #[error("The MCP server's address is not allowed; TAPPASS_EGRESS_ALLOW can allow it.")]
    NotAllowed,
    /// It took too long.
    #[error("The MCP server did not answer within {0} s.")]
    TimedOut(u64),
    /// It sends us elsewhere.
    #[error("The MCP server redirects elsewhere, which is not followed; its address must be the right one.")]
    Redirected,
    /// It refuses the gateway's credential.
    #[error("The MCP server refuses the gateway's credential ({0}).")]
    Refused(u16),
    /// It has an error of its own.
    #[error("The MCP server answers with the status {0}.")]
    Status(u16),
    /// What it sends is neither JSON nor events.
    #[error("The MCP server answers with something that is neither JSON nor a stream of events.")]
    WrongType,
    /// What it sends is not what it says.
    #[error("The MCP server's answer cannot be read: {0}.")]
    Garbled(String),
    /// It sends more than anybody could read.
    #[error("The MCP server's answer is larger than {LARGEST} bytes.")]
    TooLarge,
    /// It stopped in the middle.
    #[error("The MCP server's answer broke off.")]
    CutOff,
    /// It ended without an answer.
    #[error("The MCP server ended its stream without an answer.")]
    Silent,
}

impl Fault {
    /// For programs.
    #[must_use]
    pub fn data(&self) -> Value {
        let code = match self {
            Self::Unreachable => "upstream_unreachable",
            Self::NotAllowed => "upstream_not_allowed",
            Self::TimedOut(_) => "upstream_timeout",
            Self::Redirected => "upstream_redirected",
            Self::Refused(_) => "upstream_refused_gateway",
            Self::Status(_) => "upstream_error",
            Self::WrongType | Self::Garbled(_) => "upstream_garbled",
            Self::TooLarge => "upstream_too_large",
            Self::CutOff | Self::Silent => "upstream_cut_off",
        };
        json!({"code": code})
    }
}

/// How long a server may take.
#[must_use]
pub fn patience(link: &Link) -> Duration {
    Duration::from_secs(link.server.settings.timeout_seconds.into())
}

/// Sends a request to the server; `more` are headers of the transport.
///
/// # Errors
/// [`Fault`]
pub async fn send(
    link: &Link,
    method: Method,
    body: Option<&Value>,
    more: HeaderMap,
) -> Result<Reply, Fault> {
    let patience = patience(link);
    let late = || Fault::TimedOut(patience.as_secs());
    let request = request(link, method, body, more).await?;
    let sent = tokio::time::timeout(patience, request.send()).await.map_err(|_| late())?;
    let response = sent.map_err(|error| fault(link, error))?;
    read(link, response).await
}

async fn request(
    link: &Link,
    method: Method,
    body: Option<&Value>,
    more: HeaderMap,
) -> Result<reqwest::RequestBuilder, Fault> {
    let url = Url::parse(&link.server.settings.url).map_err(|_| Fault::Unreachable)?;
    let client = link.app.mcp.egress.client(&url).map_err(|why| {
        tracing::warn!(server = link.server.name, why, "an MCP server is not connected to");
        Fault::NotAllowed
    })?;
    let get = method == Method::GET;
    let mut request = client.request(method, url).headers(more);
    let accept = if get { "text/event-stream" } else { "application/json, text/event-stream" };
    request = request.header(header::ACCEPT, accept);
    // What the client does not say, the server does not hear either.
    if let Ok(Some(revision)) = text(&link.head, &REVISION) {
        request = request.header(REVISION, revision);
    }
    if let Some(session) = &link.session {
        request = request.header(SESSION, session);
    }
    let credential = link.app.mcp.credential(&link.server).await.map_err(|error| {
        tracing::error!(server = link.server.name, %error, "an MCP server's credential cannot be opened");
        Fault::Unreachable
    })?;
    if let Some((name, value)) = credential {
        let mut value = HeaderValue::from_str(&value).map_err(|_| Fault::Unreachable)?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    if let Some(body) = body {
        request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
    }
    Ok(request)
}

/// What went wrong on the way, for the log; the agent hears less.
fn fault(link: &Link, error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let mut chain = error.to_string();
    let mut refused = false;
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        refused |= cause.is::<crate::egress::Refused>();
        chain = format!("{chain}: {cause}");
        next = cause.source();
    }
    tracing::warn!(server = link.server.name, error = chain, "an MCP server gives no answer");
    match error {
        _ if refused => Fault::NotAllowed,
        e if e.is_timeout() => Fault::TimedOut(patience(link).as_secs()),
        e if e.is_connect() => Fault::Unreachable,
        e if e.is_body() || e.is_decode() => Fault::CutOff,
        _ => Fault::Unreachable,
    }
}

async fn read(link: &Link, response: Response) -> Result<Reply, Fault> {
    let status = response.status();
    let encoded = response.headers().get(header::CONTENT_ENCODING).is_some_and(|v| v != "identity");
    let head =
        Head { session: response.headers().get(SESSION).and_then(|v| v.to_str().ok()).map(str::to_owned) };
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if encoded && !matches!(status.as_u16(), 202 | 204) {
        return Err(Fault::Garbled("it is compressed, which was not asked for".to_owned()));
    }
    match status.as_u16() {
        202 | 204 => Ok(Reply::Accepted),
        200..=299 if kind == "text/event-stream" => Ok(Reply::Events(head, response)),
        200..=299 if kind == "application/json" => {
            let bytes = collect(link, response, LARGEST).await?;
            let body = Body::read(&bytes).map_err(|e| Fault::Garbled(e.what))?;
            Ok(Reply::Messages(head, body))
        }
        // Some servers take a notification with an empty 200.
        200..=299 if response.content_length() == Some(0) => Ok(Reply::Accepted),
        200..=299 => Err(Fault::WrongType),
        300..=399 => Err(Fault::Redirected),
        401 | 403 | 407 => Err(Fault::Refused(status.as_u16())),
        404 if link.session.is_some() => Ok(Reply::Gone),
        code => {
            let said = if kind == "application/json" {
                collect(link, response, LARGEST_ERROR).await.ok().and_then(|bytes| Body::read(&bytes).ok())
            } else {
                None
            };
            match said {
                None if code >= 500 => Err(Fault::Status(code)),
                said => Ok(Reply::Error(status, said)),
            }
        }
    }
}

async fn collect(link: &Link, response: Response, limit: usize) -> Result<Vec<u8>, Fault> {
    let (mut all, mut pieces) = (Vec::new(), response.bytes_stream());
    loop {
        let next = tokio::time::timeout(patience(link), pieces.next()).await;
        match next.map_err(|_| Fault::TimedOut(patience(link).as_secs()))? {
            None => return Ok(all),
            Some(Err(error)) => {
                fault(link, error);
                return Err(Fault::CutOff);
            }
            Some(Ok(piece)) if all.len() + piece.len() > limit => {
                drop(piece);
                return Err(Fault::TooLarge);
            }
            Some(Ok(piece)) => all.extend_from_slice(&piece),
        }
    }
}
