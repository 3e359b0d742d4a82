//! The API's own description.

use std::{fmt::Write, sync::LazyLock};

use axum::response::{IntoResponse, Response};
use http::header;

use crate::{
    dashboard::format::escape,
    error::ErrorShape,
    router::{Auth, openapi::document, table::routes},
};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document(&routes()).to_string());
static PIPELINE: LazyLock<String> = LazyLock::new(|| tappass_pipeline::compile::schema().to_string());
static PAGE: LazyLock<String> = LazyLock::new(render);

/// `GET /openapi.json`
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "max-age=300")], DOCUMENT.as_str())
        .into_response()
}

/// `GET /schemas/pipeline.json`
pub async fn pipeline_schema() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/schema+json"), (header::CACHE_CONTROL, "max-age=300")];
    (headers, PIPELINE.as_str()).into_response()
}

/// `GET /api-docs`: the routes as a table, without a script or an outside asset.
pub async fn page() -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let kind = "text/html; charset=utf-8";
    ([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)], PAGE.as_str()).into_response()
}

fn render() -> String {
    let mut rows = String::new();
    for route in routes().into_iter().filter(|route| route.shape != ErrorShape::Page) {
        let who = match route.auth {
            Auth::Open | Auth::Public => "anyone".to_owned(),
            Auth::Agent => "agent".to_owned(),
            Auth::Own => "a person, by a session".to_owned(),
            Auth::Person(role) => serde_json::to_value(role)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
        };
        let cells = [route.method.as_str(), route.path, &who, route.summary].map(escape);
        let _ = writeln!(
            rows,
            "<tr><td>{}<td><code>{}</code><td>{}<td>{}",
            cells[0], cells[1], cells[2], cells[3]
        );
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>TapPass API</title><style>body{{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}}\
table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ccc}}</style>\
<h1>TapPass API {}</h1><p>Each path also answers with <code>/v1</code> before it. \
The whole description, with bodies: <a href=\"openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>\
<table><thead><tr><th scope=\"col\">Method<th scope=\"col\">Path<th scope=\"col\">For<th scope=\"col\">What</thead><tbody>{rows}</tbody></table></html>",
        env!("CARGO_PKG_VERSION")
    )
}
