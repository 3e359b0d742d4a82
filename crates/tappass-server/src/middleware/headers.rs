//! Headers: how many a request may have, and which ones every answer has.

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};

use crate::error::ApiError;

/// Nothing of the gateway is a page to be framed, sniffed or cached unless its route says so.
const SECURITY: [(HeaderName, &str); 8] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];
/// Half a year: a browser that has seen the gateway over HTTPS does not try without.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=15552000");

/// Sets the security headers that the route has not set itself.
pub fn secure(headers: &mut HeaderMap, https: bool) {
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Refuses a request with more header lines than `limit`.
pub fn too_many_headers<B>(request: &Request<B>, limit: usize) -> Result<(), ApiError> {
    if request.headers().len() <= limit {
        return Ok(());
    }
    let detail = format!("The request has more than {limit} header lines.");
    Err(ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_many_headers", detail))
}
