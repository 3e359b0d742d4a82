//! The methods that the gateway knows, and how each is governed. What is not here is refused in enforce, and forwarded
//! in observe.

/// The protocol's revisions, oldest first.
pub const REVISIONS: [&str; 4] = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];
/// The newest that begins with `initialize`.
pub const NEWEST_WITH_SESSIONS: &str = "2025-11-25";
/// From this one on the transport's headers repeat what a message says, and there are no sessions.
pub const STATELESS: &str = "2026-07-28";
/// What a client speaks that does not say: the transport's rule.
pub const UNSAID: &str = "2025-03-26";

/// How a message is governed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `tools/call`: a tool call, with all that holds for tool calls.
    Tool,
    /// Something is asked of the server: judged as a call of a tool with the method's name.
    Call,
    /// Its texts are looked at.
    Message,
    /// Nobody knows what it does.
    Unknown,
}

/// What an agent may ask of a server, or tell it.
const TO_SERVER: [(&str, Kind); 29] = [
    ("completion/complete", Kind::Call),
    ("initialize", Kind::Message),
    ("logging/setLevel", Kind::Message),
    ("notifications/cancelled", Kind::Message),
    ("notifications/elicitation/response", Kind::Call),
    ("notifications/initialized", Kind::Message),
    ("notifications/progress", Kind::Message),
    ("notifications/roots/list_changed", Kind::Message),
    ("notifications/tasks/status", Kind::Message),
    ("ping", Kind::Message),
    ("prompts/get", Kind::Call),
    ("prompts/list", Kind::Message),
    ("resources/directory/read", Kind::Call),
    ("resources/list", Kind::Message),
    ("resources/read", Kind::Call),
    ("resources/subscribe", Kind::Call),
    ("resources/templates/list", Kind::Message),
    ("resources/unsubscribe", Kind::Message),
    ("server/discover", Kind::Message),
    ("skills/get", Kind::Call),
    ("skills/list", Kind::Message),
    ("subscriptions/listen", Kind::Message),
    ("tasks/cancel", Kind::Message),
    ("tasks/get", Kind::Message),
    ("tasks/list", Kind::Message),
    ("tasks/result", Kind::Message),
    ("tasks/update", Kind::Call),
    ("tools/call", Kind::Tool),
    ("tools/list", Kind::Message),
];

/// What a server may ask of an agent's client, or tell it.
const FROM_SERVER: [&str; 15] = [
    "elicitation/create",
    "notifications/cancelled",
    "notifications/elicitation/complete",
    "notifications/message",
    "notifications/progress",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/subscriptions/acknowledged",
    "notifications/tasks",
    "notifications/tasks/status",
    "notifications/tools/list_changed",
    "ping",
    "roots/list",
    "sampling/createMessage",
];

/// How a message to a server is governed.
#[must_use]
pub fn to_server(method: &str) -> Kind {
    TO_SERVER.iter().find(|(name, _)| *name == method).map_or(Kind::Unknown, |(_, kind)| *kind)
}

/// How a message from a server is governed.
#[must_use]
pub fn from_server(method: &str) -> Kind {
    if FROM_SERVER.contains(&method) { Kind::Message } else { Kind::Unknown }
}
