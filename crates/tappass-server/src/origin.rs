//! Which site a browser's request comes from: whether a cookie counts (cross-site request forgery), and which other
//! sites' scripts may read an answer (CORS).

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::Url;

use crate::{error::ApiError, state::App};

/// Where the token against forgery stands, in requests that a cookie signs in.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// Said by browsers: how the site that asks stands to ours.
const FETCH_SITE: &str = "sec-fetch-site";
/// What a listed site's script may send.
const CORS_METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const CORS_HEADERS: &str = "authorization, content-type, idempotency-key, if-match, last-event-id, traceparent, \
                            x-api-key, x-request-id, x-session-id, x-tappass-flags, x-tappass-org, \
                            x-tappass-session, x-tappass-trace, x-tappass-user";
/// What it may read beside the body.
const CORS_EXPOSED: &str = "etag, location, ratelimit, ratelimit-policy, retry-after, x-request-id, \
                            x-tappass-classification, x-tappass-pipeline-steps, x-tappass-token";

impl App {
    /// Whether a request comes from our own pages. A browser says so in `Sec-Fetch-Site` or `Origin`; what says
    /// neither is no browser of today, and has no business with a cookie.
    ///
    /// # Errors
    /// 403 for any other site, and where nothing is said.
    pub(crate) fn same_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let site = headers.get(FETCH_SITE).map(|v| v.as_bytes() == b"same-origin");
        let origin = headers.get(header::ORIGIN).map(|v| v.to_str().is_ok_and(|o| self.is_ours(o)));
        match (site, origin) {
            (Some(false), _) | (_, Some(false)) | (None, None) => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "cross_site",
                "A browser's session may be used by the gateway's own pages only; programs send \
                 `Authorization: Bearer` instead.",
            )),
            _ => Ok(()),
        }
    }

    /// Whether an origin is the gateway's. Without a configured address and on this machine only, its other names do.
    fn is_ours(&self, origin: &str) -> bool {
        let Ok(base) = Url::parse(&self.base_url()) else { return false };
        let loopback = || {
            let here = ["127.0.0.1", "localhost", "[::1]"];
            let ours = |host| format!("http://{host}:{}", self.config.port) == origin;
            self.config.base_url.is_none() && self.config.is_loopback() && here.into_iter().any(ours)
        };
        base.origin().ascii_serialization() == origin || loopback()
    }

    /// Lets a listed site's scripts read an answer. Cookies are never meant: such scripts have a bearer.
    pub(crate) fn allow_origin(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let listed = &self.config.cors_origins;
        if listed.is_empty() {
            return;
        }
        answer.append(header::VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin else { return };
        if listed.iter().any(|one| one.as_bytes() == origin.as_bytes()) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(CORS_EXPOSED));
        }
    }

    /// The answer to a browser that asks beforehand (a preflight); `None` for any other request.
    pub(crate) fn preflight(&self, method: &Method, request: &HeaderMap) -> Option<HeaderMap> {
        let asks = method == Method::OPTIONS && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let mut answer = HeaderMap::new();
        self.allow_origin(request.get(header::ORIGIN), &mut answer);
        if !asks || !answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return None;
        }
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(CORS_METHODS));
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(CORS_HEADERS));
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(answer)
    }
}

/// Whether this is an origin, written as a browser writes it.
pub(crate) fn is_origin(text: &str) -> bool {
    let plain =
        |url: Url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text;
    !text.contains('*') && Url::parse(text).is_ok_and(plain)
}
