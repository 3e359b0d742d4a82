//! One exchange with a server: who speaks, with which server, in which session, in which revision of the protocol.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::Url;
use tappass_model::AgentCaller;
use tappass_pipeline::steps::shared::{glob, permits};
use tappass_store::McpServer;

use super::methods::{REVISIONS, UNSAID};
use crate::{error::ApiError, middleware::RequestId, state::App};

/// The header of a session's id.
pub const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The header of the protocol's revision.
pub const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The longest id of a session that a server may give, in bytes.
const LONGEST_SESSION: usize = 1024;

/// See the module.
#[derive(Clone)]
pub struct Link {
    /// The gateway.
    pub app: App,
    /// The agent.
    pub caller: Arc<AgentCaller>,
    /// The request's id.
    pub request_id: RequestId,
    /// The request's headers. None of them goes on.
    pub head: HeaderMap,
    /// The server.
    pub server: Arc<McpServer>,
    /// The protocol's revision, as the client says.
    pub revision: String,
    /// The session's id as the server gave it.
    pub session: Option<String>,
}

impl Link {
    /// Finds the server and reads the transport's headers.
    ///
    /// # Errors
    /// 404 for a server that is not there, is switched off, or is not for this agent, and for a session that is not this
    /// agent's with this server; 403 for a page of elsewhere; 400 for a revision that nobody knows.
    pub async fn open(
        app: App,
        caller: Arc<AgentCaller>,
        request_id: RequestId,
        head: HeaderMap,
        name: &str,
    ) -> Result<Self, ApiError> {
        check_origin(&app, &head)?;
        let found = app.store.mcp_servers().get(caller.org_id, name).await?;
        let reaches = |server: &McpServer| {
            server.settings.enabled
                && server.settings.agents.iter().any(|agent| glob(agent, &caller.agent_id))
        };
        let server = found.filter(reaches).ok_or_else(ApiError::not_found)?;
        let revision = text(&head, &REVISION)?.unwrap_or(UNSAID).to_owned();
        if !REVISIONS.contains(&revision.as_str()) {
            let known = REVISIONS.join(", ");
            let detail = format!("The `MCP-Protocol-Version` is none that the gateway knows: {known}.");
            return Err(ApiError::bad_request("unknown_protocol_version", detail));
        }
        let mut link =
            Self { app, caller, request_id, head, server: Arc::new(server), revision, session: None };
        if let Some(sealed) = text(&link.head, &SESSION)? {
            let opened = link.app.mcp.open_session(&link, sealed);
            link.session = Some(opened.ok_or_else(|| {
                ApiError::new(
                    StatusCode::NOT_FOUND,
                    "unknown_session",
                    "There is no such session: begin a new one.",
                )
            })?);
        }
        Ok(link)
    }

    /// Whether a tool of the server may be used at all.
    #[must_use]
    pub fn offers(&self, tool: &str) -> bool {
        permits(&self.server.settings.tools, tool)
    }

    /// Whether the client's revision is this one or newer.
    #[must_use]
    pub fn since(&self, revision: &str) -> bool {
        self.revision.as_str() >= revision
    }

    /// The session's id for the client: it opens for this agent with this server only.
    #[must_use]
    pub fn session_for_client(&self, id: &str) -> Option<HeaderValue> {
        let visible = id.bytes().all(|b| (0x21..0x7f).contains(&b));
        if id.is_empty() || id.len() > LONGEST_SESSION || !visible {
            return None;
        }
        HeaderValue::from_str(&self.app.mcp.seal_session(self, id)?).ok()
    }
}

impl super::Mcp {
    fn seal_session(&self, link: &Link, id: &str) -> Option<String> {
        self.sealer.seal(&place(link), id.as_bytes()).ok()
    }

    fn open_session(&self, link: &Link, sealed: &str) -> Option<String> {
        let id = self.sealer.open(&place(link), sealed).ok()?;
        String::from_utf8(id).ok()
    }
}

fn place(link: &Link) -> String {
    format!("mcp session:{}:{}:{}", link.caller.org_id, link.caller.agent_uuid, link.server.name)
}

/// A page in a browser must not speak to a gateway that only its machine can reach (DNS rebinding): its origin is the
/// gateway's own, or it is refused.
fn check_origin(app: &App, head: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = text(head, &header::ORIGIN)? else { return Ok(()) };
    let base = app.base_url();
    let of = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    let own = of(&base).is_some_and(|base| Some(base) == of(origin));
    let local = app.config.is_loopback()
        && Url::parse(origin).is_ok_and(|url| {
            let host = url.host_str().unwrap_or_default();
            matches!(host, "localhost" | "127.0.0.1" | "[::1]") && url.port() == Some(app.config.port)
        });
    if own || local {
        return Ok(());
    }
    let detail = "Pages of other origins do not speak MCP with this gateway.";
    Err(ApiError::new(StatusCode::FORBIDDEN, "foreign_origin", detail))
}

/// A header's text. Given twice, it would mean two things.
pub fn text<'a>(head: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = head.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    match first.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text.trim())),
        _ => Err(ApiError::bad_request("invalid_header", format!("`{name}` must be given once, in ASCII."))),
    }
}

/// A value of one of the transport's headers as it is written: as it is, or wrapped where a header could not hold it.
#[must_use]
pub fn wrapped(value: &str) -> String {
    let plain = value.bytes().all(|b| (0x20..0x7f).contains(&b)) && value.trim() == value;
    if plain && !value.starts_with("=?base64?") {
        return value.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(value))
}

/// The value of one of the transport's headers as it is meant.
#[must_use]
pub fn unwrapped(value: &str) -> Option<String> {
    match value.strip_prefix("=?base64?").and_then(|v| v.strip_suffix("?=")) {
        Some(inside) => String::from_utf8(STANDARD.decode(inside).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_cannot_hold_is_wrapped() {
        for text in ["plain text", "", "ünïcode", " blank ", "line\nbreak", "=?base64?eA==?="] {
            assert_eq!(unwrapped(&wrapped(text)).as_deref(), Some(text));
            assert!(HeaderValue::from_str(&wrapped(text)).is_ok(), "{text:?}");
        }
        assert_eq!(wrapped("read"), "read");
        assert_eq!(unwrapped("=?base64?%%?="), None);
    }
}
