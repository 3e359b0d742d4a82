//! The one place that decides whether a request may reach its route. It runs on the matched route, so that no
//! spelling of a path gets around it.

use std::panic::AssertUnwindSafe;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use futures_util::FutureExt;
use http::{HeaderValue, StatusCode, uri::PathAndQuery};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tappass_identity::AuthError;

use super::Auth;
use crate::{
    caller::{ByCookie, Caller, credential_given},
    cookies::Cookie,
    dashboard::page,
    error::{ApiError, ErrorShape},
    middleware::{Matched, Replays, client_address, too_many_headers},
    origin::CSRF_HEADER,
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
    let to_sign_in = (guard.shape == ErrorShape::Page).then(|| sign_in_for(&request)).flatten();
    let mut response = match admit(&guard, request).await {
        Ok(request) => match AssertUnwindSafe(run(&guard, request, next)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => ApiError::internal(format!("the handler of {} panicked", guard.path)).into_response(),
        },
        Err(error) => match to_sign_in.filter(|_| error.status() == StatusCode::UNAUTHORIZED) {
            Some(redirect) => redirect,
            // What is missing is set up there, and nothing else is open.
            None if guard.shape == ErrorShape::Page && error.code() == ApiError::factor_missing().code() => {
                Redirect::to("/app/account").into_response()
            }
            None => error.into_response(),
        },
    };
    response.extensions_mut().insert(Matched { path: guard.path, shape: guard.shape });
    response
}

/// Where a browser without a session is sent instead of being told 401: to sign in, and back here. A part of a page
/// is fetched by a script, which is told to take the whole page there.
fn sign_in_for(request: &Request) -> Option<Response> {
    if credential_given(request.headers()) {
        return None;
    }
    if request.headers().contains_key("hx-request") {
        return Some((StatusCode::UNAUTHORIZED, [("hx-redirect", "/app/sign-in")]).into_response());
    }
    let here = request.uri().path_and_query().map(PathAndQuery::as_str).unwrap_or_default();
    let there = format!("/app/sign-in?next={}", utf8_percent_encode(here, NON_ALPHANUMERIC));
    page::is_asked_for(request.headers()).then(|| Redirect::to(&there).into_response())
}

async fn run(guard: &Guard, request: Request, next: Next) -> Response {
    // Model routes and MCP answer streams and have their own dialects; the promise of a replay is the management's.
    let streams = guard.path.starts_with("/mcp/") || matches!(guard.shape, ErrorShape::Of(_));
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
        Auth::Agent | Auth::Own | Auth::Person(_) => {
            let mut caller = app.identify(request.extensions().get(), request.headers()).await?;
            if caller.is_none() && guard.auth != Auth::Agent {
                caller = by_cookie(app, &mut request).await?;
            }
            decide(guard.auth, caller.as_ref())?;
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
        }
    }
    Ok(request)
}

/// The person whose session a browser's cookie holds. A browser adds the cookie to what other sites have it send, so
/// a request that changes something must show that it comes from our own pages: by what the browser says of it, and by
/// the token that only they could read.
async fn by_cookie(app: &App, request: &mut Request) -> Result<Option<Caller>, ApiError> {
    if credential_given(request.headers()) {
        return Ok(None);
    }
    let Some(token) = Cookie::Session.read(app, request.headers())? else { return Ok(None) };
    let person = match app.authenticator.person(&token).await {
        Ok(person) => person,
        Err(AuthError::Store(e)) => return Err(e.into()),
        Err(_) => return Ok(None),
    };
    if !request.method().is_safe() {
        app.same_origin(request.headers())?;
        let shown = request.headers().get(CSRF_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
        if !app.authenticator.is_csrf_token(person.session_id, shown) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "csrf_token",
                format!("A browser's session needs the header {CSRF_HEADER}; GET /auth/me gives its value."),
            ));
        }
    }
    request.extensions_mut().insert(ByCookie);
    Ok(Some(Caller::Person(person)))
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
        (Auth::Own | Auth::Person(_), Some(Caller::Agent(_))) => {
            Err(ApiError::forbidden("An agent's key opens the model routes only; sign in with /auth/login."))
        }
        (Auth::Own, Some(Caller::Person(person))) if !person.by_token => Ok(()),
        (Auth::Own, Some(_)) => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "session_needed",
            "This is about a person's own account: sign in with /auth/login; neither a personal token nor the admin key will do.",
        )),
        (Auth::Person(_), Some(Caller::Person(person))) if person.factor_missing => {
            Err(ApiError::factor_missing())
        }
        (Auth::Person(least), Some(Caller::Person(person))) if person.role >= least => Ok(()),
        (Auth::Person(least), Some(Caller::Person(person))) => Err(ApiError::forbidden(format!(
            "This needs the role {}; yours is {}.",
            least.as_str(),
            person.role.as_str()
        ))),
    }
}
