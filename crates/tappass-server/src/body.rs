//! Bodies, read within bounds and understood strictly.

use std::time::Duration;

use axum::{body::Body, extract::FromRequest, extract::Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tappass_model::json;

use crate::{error::ApiError, state::App};

/// The whole body, no larger than the configuration allows and sent within its time. Any content type.
#[derive(Debug)]
pub struct Raw(pub Bytes);

/// The whole body of a request that says it is JSON. Not parsed.
#[derive(Debug)]
pub struct RawJson(pub Bytes);

/// A JSON body as a typed value. Duplicate keys, unknown fields and the like are refused with their path.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl FromRequest<App> for Raw {
    type Rejection = ApiError;
    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let limits = &app.config.limits;
        read(request.into_body(), limits.body_bytes, limits.body_read()).await.map(Self)
    }
}

impl FromRequest<App> for RawJson {
    type Rejection = ApiError;
    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::unsupported_media_type("application/json"));
        }
        Raw::from_request(request, app).await.map(|Raw(bytes)| Self(bytes))
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let RawJson(bytes) = RawJson::from_request(request, app).await?;
        typed(&bytes).map(Self)
    }
}

/// Reads JSON text into a type.
///
/// # Errors
/// 422: for what is not JSON with the place, for JSON that is not a `T` with the field's path.
pub fn typed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::unprocessable("empty_body", "The body is empty; a JSON object is needed."));
    }
    let value = json::parse_strict(bytes)
        .map_err(|e| ApiError::unprocessable("invalid_json", sentence(&e.to_string())))?;
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let at = if path == "." { String::new() } else { format!("`{path}`: ") };
        ApiError::unprocessable("invalid_body", format!("{at}{}.", e.inner()))
    })
}

/// Reads a body to its end.
///
/// # Errors
/// 413 beyond `limit` bytes, 408 after `within`, 400 when the client breaks off.
pub async fn read(body: Body, limit: usize, within: Duration) -> Result<Bytes, ApiError> {
    tokio::time::timeout(within, collect(body, limit)).await.unwrap_or_else(|_| {
        let detail = format!("The body did not arrive within {} s.", within.as_secs());
        Err(ApiError::new(http::StatusCode::REQUEST_TIMEOUT, "body_timeout", detail))
    })
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| ApiError::bad_request("body_cut_off", "The body broke off before its end."))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            drop((first, all));
            discard(body, limit.saturating_mul(4)).await;
            return Err(ApiError::too_large(limit));
        }
        // Most bodies come in one piece, which then needs no copy.
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Reads on, up to a bound, without keeping anything: a connection closed while the client still sends is reset,
/// and the client never sees the answer that says why.
async fn discard(mut body: Body, at_most: usize) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > at_most {
            return;
        }
    }
}

/// Whether the content type is JSON: `application/json` or `application/*+json`, whatever the parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A parser's message as a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read")]
        inner: Inner,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read")]
        count: u8,
    }

    #[test]
    fn an_error_names_the_path() {
        let error = typed::<Outer>(br#"{"inner":{"count":300}}"#).expect_err("too large");
        assert_eq!(error.status(), 422);
        assert!(error.detail().contains("`inner.count`"), "{}", error.detail());
        let error = typed::<Outer>(br#"{"inner":{"cuont":3}}"#).expect_err("unknown");
        assert!(error.detail().contains("cuont") && error.detail().contains("`count`"), "{}", error.detail());
        let error = typed::<Outer>(b"  ").expect_err("empty");
        assert_eq!(error.code(), "empty_body");
        let error = typed::<Outer>(br#"{"inner":1,"inner":2}"#).expect_err("twice");
        assert_eq!((error.status().as_u16(), error.code()), (422, "invalid_json"));
    }

    #[test]
    fn json_content_types() {
        let is = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(value));
            is_json(&headers)
        };
        assert!(
            is("application/json")
                && is("Application/JSON; charset=utf-8")
                && is("application/merge-patch+json")
        );
        assert!(!is("text/plain") && !is("application/jsonp") && !is("application/x-www-form-urlencoded"));
        assert!(!is_json(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn the_limit_holds_however_the_body_is_cut() {
        let long = Duration::from_secs(5);
        for pieces in [vec![10], vec![5, 5], vec![3, 3, 3, 1]] {
            let stream = || {
                let parts: Vec<_> =
                    pieces.iter().map(|n| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; *n]))).collect();
                Body::from_stream(futures_util::stream::iter(parts))
            };
            assert_eq!(read(stream(), 10, long).await.expect("fits").len(), 10);
            assert_eq!(read(stream(), 9, long).await.expect_err("too large").status(), 413);
        }
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(body, 10, Duration::from_millis(1)).await.expect_err("late").status(), 408);
    }
}
