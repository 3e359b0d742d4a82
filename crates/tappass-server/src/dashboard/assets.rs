//! Styles, scripts, fonts and icons: in the program itself, so that an air gap is no obstacle.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::header;

use crate::{call::conclude::sha256, error::ApiError};

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $kind:literal) => {
        Asset { name: $name, kind: $kind, bytes: include_bytes!(concat!("static/", $name)) }
    };
}

/// All of them. What is below `vendor/` is others' work, with its licence beside it.
const ASSETS: [Asset; 12] = [
    asset!("app.css", "text/css; charset=utf-8"),
    asset!("pages.css", "text/css; charset=utf-8"),
    asset!("app.js", "text/javascript; charset=utf-8"),
    asset!("pipeline.js", "text/javascript; charset=utf-8"),
    asset!("pipeline_form.js", "text/javascript; charset=utf-8"),
    asset!("theme.js", "text/javascript; charset=utf-8"),
    asset!("logo.svg", "image/svg+xml"),
    asset!("vendor/htmx.min.js", "text/javascript; charset=utf-8"),
    asset!("vendor/icons.svg", "image/svg+xml"),
    asset!("vendor/inter-latin.woff2", "font/woff2"),
    asset!("vendor/inter-latin-ext.woff2", "font/woff2"),
    asset!("vendor/jetbrains-mono-latin.woff2", "font/woff2"),
];

/// One for all of them: styles name fonts beside them, without knowing what these hold.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let all: Vec<u8> = ASSETS.iter().flat_map(|asset| asset.bytes).copied().collect();
    sha256(&all)[..12].to_owned()
});

/// Where an asset is, under an address that changes with what it holds.
#[must_use]
pub fn url(name: &str) -> String {
    format!("/app/static/{}/{name}", BUILD.as_str())
}

/// `GET /app/static/{build}/{*file}`
///
/// # Errors
/// 404.
pub async fn serve(Path((build, file)): Path<(String, String)>) -> Result<Response, ApiError> {
    let asset = ASSETS.iter().find(|asset| asset.name == file).ok_or_else(ApiError::not_found)?;
    // A page of another build, seen while replicas are replaced, must not keep this one for a year.
    let keep = if build == *BUILD { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(([(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, keep)], asset.bytes).into_response())
}
