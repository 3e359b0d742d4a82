//! What agents tell of themselves beside their calls: that a task began, a file was written, a person stepped in. Told once
//! or twice, it is recorded once. What an event says stays with the agent; the log has its hash.

use aws_lc_rs::digest::{Context, SHA256};
use axum::{Json, extract::State};
use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tappass_audit::{Event, EventType};
use tappass_model::{AgentCaller, clock::rfc3339};
use uuid::Uuid;

use crate::{
    body,
    call::{
        conclude::{sha256, written},
        identify::name,
    },
    caller::Agent,
    error::ApiError,
    state::App,
};

/// The most events of one batch.
const MOST_EVENTS: usize = 100;
/// The longest type, in bytes.
const LONGEST_TYPE: usize = 64;

/// Something that has happened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientEvent {
    /// What: a word of lower case letters, digits, `_` and `.`, as `task_started`.
    event_type: String,
    /// The sender's own id of it: sent again under the same, it is recorded once.
    #[serde(default)]
    event_id: Option<String>,
    /// The session that it belongs to.
    #[serde(default)]
    session_id: Option<String>,
    /// When it happened, RFC 3339; the log's own time is that of its arrival.
    #[serde(default)]
    occurred_at: Option<String>,
    /// What there is to say of it. The log has its SHA-256: no place where it could be read.
    #[serde(default)]
    details: Map<String, Value>,
}

/// Events that are in the log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Accepted {
    /// Their ids there, in their order.
    event_ids: Vec<Uuid>,
}

/// `POST /events` and `POST /audit`
pub async fn one(
    State(app): State<App>,
    Agent(caller): Agent,
    body::Json(event): body::Json<ClientEvent>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    recorded(&app, &caller, vec![event]).await
}

/// `POST /audit/batch`: none where one of them is malformed. Where the answer is an error of the log, some may be in it:
/// sent again with their ids, each is recorded once.
pub async fn batch(
    State(app): State<App>,
    Agent(caller): Agent,
    body::Json(events): body::Json<Vec<ClientEvent>>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    if events.len() > MOST_EVENTS {
        let detail = format!("A batch has at most {MOST_EVENTS} events.");
        return Err(ApiError::unprocessable("invalid_body", detail));
    }
    recorded(&app, &caller, events).await
}

async fn recorded(
    app: &App,
    caller: &AgentCaller,
    events: Vec<ClientEvent>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let events: Vec<Event> = events.into_iter().map(|e| read(app, caller, e)).collect::<Result<_, _>>()?;
    let event_ids = events.iter().map(|event| event.event_id).collect();
    written(app, &events, caller.settings.mode.acts()).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { event_ids })))
}

fn read(app: &App, caller: &AgentCaller, told: ClientEvent) -> Result<Event, ApiError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
    let kind = told.event_type;
    if kind.is_empty() || kind.len() > LONGEST_TYPE || !kind.chars().all(fits) {
        let detail = format!(
            "`event_type` is 1 to {LONGEST_TYPE} lower case letters, digits, `_` and `.`, as `task_started`."
        );
        return Err(ApiError::unprocessable("invalid_event_type", detail));
    }
    let occurred_at = told.occurred_at.map(|at| at.parse::<Timestamp>()).transpose().map_err(|_| {
        ApiError::unprocessable("invalid_time", "`occurred_at` is not a time like 2026-11-22T09:30:00Z.")
    })?;
    let mut event = Event::new(EventType::AgentEvent, caller.org_id, &*app.ids, &*app.clock);
    if let Some(id) = name("event_id", told.event_id.as_deref())? {
        event.event_id = id_of(caller, &id);
    }
    event.agent_id = Some(caller.agent_id.clone());
    event.session_id = name("session_id", told.session_id.as_deref())?;
    event.mode = Some(caller.settings.mode);
    event.details = json!({"client_event": kind});
    if let Some(at) = occurred_at {
        event.details["occurred_at"] = rfc3339(at).into();
    }
    if !told.details.is_empty() {
        event.details["details_sha256"] = sha256(Value::Object(told.details).to_string().as_bytes()).into();
    }
    Ok(event)
}

/// The log's id of an agent's event follows from the agent's own (UUIDv8), so no agent can name another's.
fn id_of(caller: &AgentCaller, id: &str) -> Uuid {
    let mut context = Context::new(&SHA256);
    for part in [&b"client event"[..], caller.org_id.as_bytes(), caller.agent_uuid.as_bytes(), id.as_bytes()]
    {
        context.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    Uuid::new_v8(bytes)
}
