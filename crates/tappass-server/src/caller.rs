//! Who sent a request, once it is known.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, StatusCode, header, request::Parts};
use tappass_identity::{AuthError, PeerSvid, Principal, UserPrincipal};
use tappass_model::AgentCaller;

use crate::{error::ApiError, state::App};

/// Who calls. No credentials at all is `None` elsewhere; there is no default identity.
#[derive(Debug, Clone)]
pub enum Caller {
    /// An agent with its key or its SVID.
    Agent(Arc<AgentCaller>),
    /// A person with a session or a personal token.
    Person(UserPrincipal),
    /// The holder of the admin key: a platform admin without an organisation.
    Admin,
}

/// In a request's extensions: what shows who calls is a browser's cookie.
#[derive(Debug, Clone, Copy)]
pub struct ByCookie;

impl Caller {
    /// Who it is, for the audit log.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(agent) => &agent.agent_id,
            Self::Person(person) => &person.email,
            Self::Admin => "admin key",
        }
    }
}

/// The agent that calls. For routes of the class `Auth::Agent`.
#[derive(Debug, Clone)]
pub struct Agent(pub Arc<AgentCaller>);

/// The person whose own session it is. For routes of the class `Auth::Own`.
#[derive(Debug, Clone)]
pub struct Own(pub UserPrincipal);

impl FromRequestParts<App> for Own {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Person(person) if !person.by_token => Ok(Self(person)),
            _ => Err(ApiError::forbidden("This route is for people with a session of their own.")),
        }
    }
}

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

impl App {
    /// Who sent a request: the workload whose certificate its connection has shown, else `Authorization: Bearer` (a
    /// JWT-SVID, a session, a key), or `x-api-key` as Anthropic's clients send it. The first that is there decides.
    /// `None` for nobody known; whether the key is unknown, revoked or expired is not told.
    ///
    /// # Errors
    /// 400 for two credentials that differ, 401 for a certificate that is no agent's or has expired since, 403 for a
    /// suspended agent, 503 when it cannot be looked up.
    pub async fn identify(
        &self,
        svid: Option<&PeerSvid>,
        headers: &HeaderMap,
    ) -> Result<Option<Caller>, ApiError> {
        let found = match svid {
            Some(svid) if svid.expires_at <= self.clock.now() => {
                let detail = "The connection's certificate has expired: connect anew with the one of now.";
                return Err(ApiError::unauthorized(detail));
            }
            Some(svid) => self.authenticator.workload(&svid.spiffe_id).await.map(Principal::Agent),
            None => match token_of(headers)? {
                Some(token) => self.authenticator.identify(token).await,
                None => return Ok(None),
            },
        };
        match found {
            Ok(Principal::Agent(agent)) => Ok(Some(Caller::Agent(agent))),
            Ok(Principal::Person(person)) => Ok(Some(Caller::Person(person))),
            Ok(Principal::Admin) => Ok(Some(Caller::Admin)),
            Err(AuthError::Unknown) if let Some(svid) = svid => Err(ApiError::unauthorized(format!(
                "No agent has the SPIFFE id {}: register it, or set `spiffe_id` on the agent.",
                svid.spiffe_id
            ))),
            Err(AuthError::Unknown) => Ok(None),
            Err(AuthError::Suspended) => {
                let detail = "This agent is suspended; an admin can reactivate it.";
                Err(ApiError::new(StatusCode::FORBIDDEN, "agent_suspended", detail))
            }
            Err(AuthError::Store(e)) => Err(e.into()),
        }
    }
}

/// Whether a request brings a credential of its own, good or not: then no cookie counts.
pub(crate) fn credential_given(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key("x-api-key")
}

/// The one credential of a request. Two that differ would be two callers.
fn token_of(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let bearer = headers.get(header::AUTHORIZATION).map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let key = headers.get("x-api-key").map(|value| value.to_str().ok().map(str::trim));
    match (bearer, key) {
        (Some(one), Some(other)) if one != other => Err(ApiError::bad_request(
            "two_credentials",
            "`Authorization` and `x-api-key` name two different keys: send one of them.",
        )),
        (Some(one), _) | (None, Some(one)) => Ok(one),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn bearer_or_api_key() {
        let token = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            token_of(&headers).expect("one").map(str::to_owned)
        };
        assert_eq!(token("authorization", "Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("authorization", "bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(token("x-api-key", "abc").as_deref(), Some("abc"));
        assert_eq!(token("authorization", "Basic abc"), None);
        assert_eq!(token("authorization", "Bearer"), None);
        assert_eq!(token("cookie", "abc"), None);
        let mut both = HeaderMap::new();
        both.insert("authorization", HeaderValue::from_static("Bearer abc"));
        both.insert("x-api-key", HeaderValue::from_static("abc"));
        assert_eq!(token_of(&both).expect("the same"), Some("abc"));
        both.insert("x-api-key", HeaderValue::from_static("def"));
        assert_eq!(token_of(&both).expect_err("two").code(), "two_credentials");
    }
}
