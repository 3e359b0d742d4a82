//! From a request to its route: the `/v1` prefix, the table, authorisation, the fallbacks.

mod authorise;
pub mod openapi;
mod prefix;
pub mod table;
mod tables;

use axum::{Router, body::Body, response::Response};
use http::{Method, Request, Uri};
use tappass_model::Dialect;
use tower::ServiceExt;

use crate::{
    error::{ApiError, ErrorShape},
    middleware,
    state::App,
};

pub use authorise::decide;
pub use table::{Auth, Route};

/// The whole HTTP surface as a function of a request; needs no socket.
#[derive(Clone)]
pub struct Gateway {
    app: App,
    router: Router,
}

impl Gateway {
    /// The routes of the table.
    #[must_use]
    pub fn new(app: App) -> Self {
        Self::with_routes(app, table::routes())
    }

    /// Other routes, for tests of what surrounds them.
    #[must_use]
    pub fn with_routes(app: App, routes: Vec<Route>) -> Self {
        let mut router = Router::new();
        for route in routes {
            let Route { path, handler, auth, shape, .. } = route;
            let guard = authorise::Guard { app: app.clone(), path, auth, shape };
            let guarded = axum::middleware::from_fn_with_state(guard, authorise::guard);
            router = router.route(path, handler.route_layer(guarded));
        }
        let router =
            router.fallback(unknown).method_not_allowed_fallback(wrong_method).with_state(app.clone());
        Self { app, router }
    }

    /// Answers one request.
    pub async fn call(&self, request: Request<Body>) -> Response {
        middleware::around(&self.app, request, |request| async {
            let request = prefix::strip_v1(request);
            match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
        .await
    }

    /// The parts behind it.
    #[must_use]
    pub const fn app(&self) -> &App {
        &self.app
    }
}

async fn unknown(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(100).collect();
    let detail = match error_shape_of(&path) {
        ErrorShape::Of(_) => {
            format!(
                "The gateway does not govern {method} {path}, therefore the call is refused, not passed on."
            )
        }
        ErrorShape::Page => "The dashboard has no such page.".to_owned(),
        ErrorShape::Problem | ErrorShape::SignIn => {
            format!("There is no route {method} {path}; GET /openapi.json lists them all.")
        }
    };
    ApiError::new(http::StatusCode::NOT_FOUND, "unknown_route", detail)
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(100).collect();
    let detail = format!("{path} does not answer {method}; the Allow header says what it answers.");
    ApiError::new(http::StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// First parts of the paths on which providers' clients speak: an error there has the shape those clients read.
const MODEL_PATHS: [&str; 19] = [
    "assistants",
    "audio",
    "batches",
    "chat",
    "completions",
    "containers",
    "conversations",
    "embeddings",
    "evals",
    "files",
    "fine_tuning",
    "images",
    "models",
    "moderations",
    "realtime",
    "responses",
    "threads",
    "uploads",
    "vector_stores",
];

/// The shape of errors on a path that no route has answered.
pub(crate) fn error_shape_of(path: &str) -> ErrorShape {
    let first = path.trim_start_matches("/v1").split('/').find(|part| !part.is_empty()).unwrap_or_default();
    match first {
        "app" => ErrorShape::Page,
        "messages" => ErrorShape::Of(Dialect::AnthropicMessages),
        first if MODEL_PATHS.contains(&first) => ErrorShape::Of(Dialect::OpenAiChat),
        _ => ErrorShape::Problem,
    }
}
