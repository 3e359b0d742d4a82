//! What describes the surface itself.

use http::Method;

use crate::{
    router::table::{Auth, Route},
    routes::docs,
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/openapi.json", Auth::Public, docs::openapi, "This document"),
        Route::new(
            Method::GET,
            "/schemas/pipeline.json",
            Auth::Public,
            docs::pipeline_schema,
            "The JSON Schema of pipelines' texts, for editors",
        ),
        Route::new(Method::GET, "/api-docs", Auth::Public, docs::page, "This document, for people"),
    ]
}
