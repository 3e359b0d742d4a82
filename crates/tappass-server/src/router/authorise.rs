//! The one place that decides whether a request may reach its route. It runs on the matched route, so that no
//! spelling of a path gets around it.

use std::panic::AssertUnwindSafe;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tappass_model::Role;

use super::Auth;
use crate::{
    caller::Caller,
    error::{ApiError, ErrorShape},
    middleware::{Matched, Replays, client_address, too_many_headers},
    state::App,
};

/// What stands before one route.
#[derive(Clone)]
pub struct Guard {
    pub app: App,
    pub path: &'static str,
    pub auth: Auth,
    pub shape: ErrorShape,
}

/// Limits → who calls → may they → the route. A panic in the route is its own 500, nobody else's.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match admit(&guard, request).await {
        Ok(request) => match AssertUnwindSafe(run(&guard, request, next)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => ApiError::internal(format!("the handler of {} panicked", guard.path)).into_response(),
        },
        Err(error) => error.into_response(),
    };
    response.extensions_mut().insert(Matched { path: guard.path, shape: guard.shape });
    response
}

async fn run(guard: &Guard, request: Request, next: Next) -> Response {
    // Model routes and MCP answer streams and have their own dialects; the promise of a replay is the management's.
    let streams = guard.path.starts_with("/mcp/") || guard.shape != ErrorShape::Problem;
    if !streams && Replays::concern(&request) {
        let app = &guard.app;
        return app
            .replays
            .answer(request, next, &app.config.limits)
            .await
            .unwrap_or_else(IntoResponse::into_response);
    }
    next.run(request).await
}

async fn admit(guard: &Guard, mut request: Request) -> Result<Request, ApiError> {
    let app = &guard.app;
    too_many_headers(&request, app.config.limits.headers)?;
    match guard.auth {
        Auth::Open => {}
        Auth::Public => app.anonymous.admit(client_address(&request, &app.config.trusted_proxies))?,
        Auth::Agent | Auth::Person(_) => {
            let caller = app.identify(request.headers()).await?;
            decide(guard.auth, caller.as_ref())?;
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
        }
    }
    Ok(request)
}

/// Whether a caller may use a route of this class.
///
/// # Errors
/// 401 for nobody, 403 for somebody else.
pub fn decide(auth: Auth, caller: Option<&Caller>) -> Result<(), ApiError> {
    match (auth, caller) {
        (Auth::Open | Auth::Public, _)
        | (Auth::Agent, Some(Caller::Agent(_)))
        | (Auth::Person(_), Some(Caller::Admin)) => Ok(()),
        (_, None) => Err(ApiError::unauthorized(match auth {
            Auth::Agent => {
                "No valid agent key: send `Authorization: Bearer tp_…` (the key shown when the agent was registered)."
            }
            _ => {
                "No valid session: send `Authorization: Bearer <token>` with the token of /auth/login, or the admin key."
            }
        })),
        (Auth::Agent, Some(_)) => Err(ApiError::forbidden(
            "This route is for agents: use an agent's key (`tp_…`), not a session or the admin key.",
        )),
        (Auth::Person(_), Some(Caller::Agent(_))) => {
            Err(ApiError::forbidden("An agent's key opens the model routes only; sign in with /auth/login."))
        }
        (Auth::Person(least), Some(Caller::Person(person))) if person.role >= least => Ok(()),
        (Auth::Person(least), Some(Caller::Person(person))) => Err(ApiError::forbidden(format!(
            "This needs the role {}; yours is {}.",
            role_name(least),
            role_name(person.role)
        ))),
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Auditor => "auditor",
        Role::Developer => "developer",
        Role::OrgAdmin => "org_admin",
        Role::PlatformAdmin => "platform_admin",
    }
}
