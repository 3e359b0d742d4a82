//! Who sent a request, once it is known.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use tappass_model::{AgentCaller, Role};
use uuid::Uuid;

use crate::{error::ApiError, state::App};

/// A person with a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The account.
    pub user_id: Uuid,
    /// The organisation the session is in.
    pub org_id: Uuid,
    /// The account's e-mail address.
    pub email: String,
    /// What they may do there.
    pub role: Role,
    /// The session.
    pub session_id: Uuid,
}

/// Who calls. No credentials at all is `None` elsewhere; there is no default identity.
#[derive(Debug, Clone)]
pub enum Caller {
    /// An agent with its key.
    Agent(Arc<AgentCaller>),
    /// A person with a session.
    Person(Person),
    /// The holder of the admin key: a platform admin without an organisation.
    Admin,
}

/// The agent that calls. For routes of the class `Auth::Agent`.
#[derive(Debug, Clone)]
pub struct Agent(pub Arc<AgentCaller>);

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ApiError::unauthorized("Say who you are."))
    }
}

impl FromRequestParts<App> for Agent {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Agent(agent) => Ok(Self(agent)),
            _ => Err(ApiError::forbidden("This route is for agents: use an agent's key.")),
        }
    }
}
