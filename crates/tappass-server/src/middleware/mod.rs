//! What surrounds every request, outermost first: its id → shedding → the router → errors rendered → security
//! headers → one access line.

mod access;
mod anonymous;
mod headers;
mod idempotency;
mod request_id;

use std::{future::Future, net::SocketAddr, time::Instant};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, StatusCode, header};

use crate::{
    dashboard::page,
    error::{ApiError, ErrorShape, Unrendered},
    router::error_shape_of,
    state::App,
};
use access::Line;

pub use anonymous::AnonymousLimit;
pub(crate) use anonymous::client_address;
pub(crate) use headers::too_many_headers;
pub(crate) use idempotency::Replays;
pub use request_id::RequestId;

/// The other end of the connection, in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The route that answered, in the response's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matched {
    pub path: &'static str,
    pub shape: ErrorShape,
}

/// Answers a request by `inner`, with all that surrounds it.
pub async fn around<F, Fut>(app: &App, mut request: Request<Body>, inner: F) -> Response
where
    F: FnOnce(Request<Body>) -> Fut,
    Fut: Future<Output = Response>,
{
    let began = Instant::now();
    let id = RequestId::of(&request, &*app.ids);
    let method = request.method().clone();
    let guess = error_shape_of(request.uri().path());
    let for_browser = page::is_asked_for(request.headers());
    request.extensions_mut().insert(id.clone());

    // Health is always answered: an overloaded server that is killed for silence makes it worse.
    let permit = app.in_flight.clone().try_acquire_owned().ok();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if let Some(headers) = app.preflight(&method, request.headers()) {
        (StatusCode::NO_CONTENT, headers).into_response()
    } else if permit.is_some() || is_health(request.uri().path()) {
        inner(request).await
    } else {
        app.metrics.shed();
        let busy =
            ApiError::unavailable("overloaded", 1, "Too many requests at once; try again in a second.");
        busy.render(guess, id.as_str())
    };

    let matched = response.extensions_mut().remove::<Matched>();
    if let Some(Unrendered(error)) = response.extensions_mut().remove::<Unrendered>() {
        let shape = match matched.map_or(guess, |m| m.shape) {
            ErrorShape::SignIn if !for_browser => ErrorShape::Problem,
            shape => shape,
        };
        let rendered = error.render(shape, id.as_str());
        let bare = std::mem::replace(&mut response, rendered);
        if let Some(allow) = bare.headers().get(header::ALLOW) {
            response.headers_mut().insert(header::ALLOW, allow.clone());
        }
    }
    headers::secure(response.headers_mut(), app.is_https());
    if !response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_METHODS) {
        app.allow_origin(origin.as_ref(), response.headers_mut());
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    let route = matched.map_or("-", |m| m.path);
    Line { id, method, route, status: response.status(), began, whole: true, _permit: permit }
        .follow(response)
}

fn is_health(path: &str) -> bool {
    path.trim_start_matches("/v1").starts_with("/health")
}
