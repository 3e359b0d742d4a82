//! Capability tokens in the hands of agents: narrowed, checked, used up; and the keys that anyone checks them with.

use std::time::Duration;

use axum::{Json, extract::State, response::IntoResponse};
use http::header;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tappass_audit::{Event, EventType};
use tappass_identity::capability::{Claims, LEEWAY, Narrowing, Refusal, TokenKeyError, Use, arguments_hash};
use tappass_model::{AgentCaller, Classification};
use tappass_store::StoreError;

use crate::{body, call::capability::Capability, caller::Agent, error::ApiError, state::App};

/// `POST /v1/tokens/attenuate`. What is absent stays as the token has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attenuate {
    /// The token to narrow: one of this agent's.
    token: String,
    /// The tools, by name or glob, each within one of the token's.
    tools: Option<Vec<String>>,
    /// What may be done, some of the token's.
    ops: Option<Vec<String>>,
    /// The highest level of data, at most the token's.
    level: Option<Classification>,
    /// The only arguments.
    arguments: Option<Value>,
    /// How long it is to hold, in seconds; it ends with the token at the latest.
    ttl: Option<i64>,
}

/// A token and what it says.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CapabilityTokenView {
    token: String,
    classification: Classification,
    tools: Vec<String>,
    ops: Vec<String>,
    /// Of the call's steps; none for a token that was made of another.
    checks_passed: Vec<String>,
    expires_at: String,
    /// Seconds.
    ttl: i64,
}

/// `POST /v1/tokens/verify`: a use. What is absent is not looked at; where `tool` is there and the token is bound to
/// arguments, they must be there too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// The token.
    token: String,
    /// The agent that uses it, by its id or UUID.
    agent: Option<String>,
    /// The session.
    session: Option<String>,
    /// The tool.
    tool: Option<String>,
    /// The server whose tool it is.
    server: Option<String>,
    /// What is done: `tool_call` …
    op: Option<String>,
    /// The tool's arguments.
    arguments: Option<Value>,
    /// The level of the data.
    level: Option<Classification>,
    /// Whether it is used up by this, so that it is refused next time.
    #[serde(default = "yes")]
    consume: bool,
}

const fn yes() -> bool {
    true
}

/// Whether the use is within the token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verified {
    valid: bool,
    /// Why not, by name: `invalid_token`, `unknown_key`, `expired`, `not_yet_valid`, `wrong_organisation`, `wrong_agent`,
    /// `wrong_session`, `wrong_tool`, `wrong_server`, `wrong_operation`, `wrong_arguments`, `level_exceeded`,
    /// `already_used`; null where it is.
    reason: Option<String>,
    /// Why not, in a sentence.
    detail: Option<String>,
    /// What the token says, where it is valid.
    claims: Option<Value>,
}

/// `GET /.well-known/jwks.json`
pub async fn jwks(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    let keys = app.token_keys.jwks().await.map_err(no_keys)?;
    // Verifiers ask again for a key that they do not know.
    Ok(([(header::CACHE_CONTROL, "public, max-age=60")], Json(keys)))
}

/// `POST /v1/tokens/attenuate`
pub async fn attenuate(
    State(app): State<App>,
    Agent(caller): Agent,
    body::Json(asked): body::Json<Attenuate>,
) -> Result<Json<Value>, ApiError> {
    let parent = read(&app, &caller, &asked.token).await?.map_err(refused)?;
    if parent.sub != caller.agent_uuid {
        return Err(refused(Refusal::WrongAgent));
    }
    let args_sha256 = asked.arguments.as_ref().map(hash_of).transpose()?;
    let Attenuate { tools, ops, level, ttl, .. } = asked;
    if ttl.is_some_and(|ttl| ttl < 1) {
        return Err(ApiError::unprocessable("invalid_ttl", "`ttl` is a number of seconds from 1 on."));
    }
    let to = Narrowing { tools, ops, level, args_sha256, ttl };
    let child = parent.narrowed(&to, app.ids.uuid(), app.clock.now()).map_err(refused)?;
    let token = app.token_keys.sign(&child).await.map_err(no_keys)?;
    let parent = parent.jti;
    let made = Capability::of(token, child, Vec::new());
    let mut details = made.for_the_record();
    details["parent"] = json!(parent);
    record(&app, &caller, json!({"capability": details, "attenuated": true})).await?;
    Ok(Json(json!(made)))
}

/// `POST /v1/tokens/verify`
pub async fn verify(
    State(app): State<App>,
    Agent(caller): Agent,
    body::Json(asked): body::Json<Verify>,
) -> Result<Json<Verified>, ApiError> {
    let args_sha256 = asked.arguments.as_ref().map(hash_of).transpose()?;
    let used = Use {
        agent: asked.agent.as_deref(),
        session: asked.session.as_deref(),
        tool: asked.tool.as_deref(),
        server: asked.server.as_deref(),
        op: asked.op.as_deref(),
        args_sha256: args_sha256.as_deref(),
        level: asked.level,
    };
    let read = read(&app, &caller, &asked.token).await?;
    let checked = read.and_then(|claims| claims.covers(&used).map(|()| claims));
    let checked = match checked {
        Ok(claims) if asked.consume => use_up(&app, claims).await?,
        other => other,
    };
    Ok(Json(match checked {
        Ok(claims) => {
            if asked.consume {
                let details = json!({"capability": {"jti": claims.jti, "agent": claims.agent_id, "tool": asked.tool}, "used": true});
                record(&app, &caller, details).await?;
            }
            Verified { valid: true, reason: None, detail: None, claims: Some(json!(claims)) }
        }
        Err(refusal) => Verified {
            valid: false,
            reason: json!(refusal).as_str().map(str::to_owned),
            detail: Some(refusal.to_string()),
            claims: None,
        },
    }))
}

async fn use_up(app: &App, claims: Claims) -> Result<Result<Claims, Refusal>, StoreError> {
    let left = claims.exp.saturating_sub(app.clock.now().as_second()).saturating_add(2 * LEEWAY);
    // What it was made of may live longer, and is used up with it.
    let life = Duration::from_secs(u64::try_from(left).unwrap_or(0)).max(Duration::from_secs(LONGEST));
    let what = format!("capability:{}:{}", claims.org_id, claims.once);
    let first = app.store.attempts().first_use(&what, life, app.clock.now()).await?;
    Ok(if first { Ok(claims) } else { Err(Refusal::AlreadyUsed) })
}

/// The longest that anything of the same origin lives, in seconds.
const LONGEST: u64 = (tappass_identity::capability::TTL + 2 * LEEWAY) as u64;

/// A token of the caller's organisation.
async fn read(app: &App, caller: &AgentCaller, token: &str) -> Result<Result<Claims, Refusal>, ApiError> {
    let claims = app.token_keys.read(token).await.map_err(no_keys)?;
    Ok(claims.and_then(|claims| {
        if claims.org_id == caller.org_id { Ok(claims) } else { Err(Refusal::WrongOrganisation) }
    }))
}

async fn record(app: &App, caller: &AgentCaller, details: Value) -> Result<(), ApiError> {
    let mut event = Event::new(EventType::AgentEvent, caller.org_id, &*app.ids, &*app.clock);
    event.agent_id = Some(caller.agent_id.clone());
    event.details = details;
    if caller.settings.mode.acts() {
        app.audit.record(&event).await?;
    } else {
        app.audit.record_or_spool(event).await?;
    }
    Ok(())
}

fn hash_of(arguments: &Value) -> Result<String, ApiError> {
    arguments_hash(arguments).ok_or_else(|| {
        ApiError::unprocessable(
            "inexact_arguments",
            "`arguments` hold an integer beyond 2^53, which no token can be bound to.",
        )
    })
}

fn refused(refusal: Refusal) -> ApiError {
    let code = match refusal {
        Refusal::NotNarrower => "not_narrower",
        Refusal::WrongAgent => "wrong_agent",
        Refusal::Expired => "token_expired",
        _ => "invalid_token",
    };
    ApiError::new(http::StatusCode::FORBIDDEN, code, format!("The token does not serve: {refusal}."))
}

/// The keys cannot be had.
pub(super) fn no_keys(error: TokenKeyError) -> ApiError {
    match error {
        TokenKeyError::Store(error) => error.into(),
        sealed @ TokenKeyError::Sealed(_) => ApiError::internal(sealed),
    }
}
