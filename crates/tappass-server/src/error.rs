//! The one public error. What a caller sees is here; what really happened is logged, never shown.

use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tappass_model::Dialect;
use tappass_provider::dialects::{self, Failure};
use tappass_store::StoreError;

use crate::dashboard::page;

/// An answer that is an error: a status, a stable code for programs, a sentence for people.
///
/// As a response it has no body yet: the outermost middleware renders it in the shape of the route, with the
/// request's id (`render`).
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// The shape of a route's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorShape {
    /// RFC 9457 `application/problem+json`.
    #[default]
    Problem,
    /// What the clients of a dialect read.
    Of(Dialect),
    /// A page of the dashboard.
    Page,
    /// For a browser on its way to sign in, a page that leads back there; for programs a problem.
    SignIn,
}

impl ApiError {
    /// Any status, with its code and its sentence.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), headers: Vec::new(), cause: None }
    }

    /// 400.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401, with the scheme that would be accepted.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 403: known, and not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 403: their organisation wants a second factor that they have not set up.
    #[must_use]
    pub fn factor_missing() -> Self {
        let detail = "Your organisation wants a second factor: set one up with POST /auth/second-factor and confirm it; until then nothing else is open.";
        Self::new(StatusCode::FORBIDDEN, "second_factor_required", detail)
    }

    /// 404, the same words for what is not there and for what belongs to someone else.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here by that name.")
    }

    /// 409.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 412: `If-Match` names another version.
    #[must_use]
    pub fn precondition_failed() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "It has changed since you read it: read it again, then send its new ETag in If-Match.",
        )
    }

    /// 413.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("The body is larger than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media_type(wanted: &str) -> Self {
        let detail = format!("The body must be {wanted}: send it with `Content-Type: {wanted}`.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 422: understood, and wrong.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 429 with `Retry-After` in seconds.
    pub fn too_many(retry_after: u64, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .header(header::RETRY_AFTER, HeaderValue::from(retry_after))
    }

    /// 503 with `Retry-After` in seconds.
    pub fn unavailable(code: &'static str, retry_after: u64, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .header(header::RETRY_AFTER, HeaderValue::from(retry_after))
    }

    /// 500. The cause is for the log.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "Something went wrong on our side; the log has it under this request id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).because(cause)
    }

    /// With a cause for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// Its sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The body of RFC 9457.
    #[must_use]
    pub fn to_problem(&self, request_id: &str) -> Value {
        json!({
            "type": format!("urn:tappass:error:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        })
    }

    /// The body that clients of a dialect read.
    #[must_use]
    pub fn told(&self, dialect: Dialect) -> Value {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        let failure = Failure {
            status: self.status.as_u16(),
            code: self.code,
            kind,
            message: &self.detail,
            more: &[],
            theirs: None,
        };
        Value::Object(dialects::of(dialect).voice().error(&failure))
    }

    /// The finished answer.
    #[must_use]
    pub(crate) fn render(&self, shape: ErrorShape, request_id: &str) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(request_id, code = self.code, cause = %chain(cause.as_ref()), "request failed");
        }
        let json = |kind, body: Value| {
            let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
            (self.status, kind, body.to_string()).into_response()
        };
        let mut response = match shape {
            ErrorShape::Problem => json("application/problem+json", self.to_problem(request_id)),
            ErrorShape::Of(dialect) => json("application/json", self.told(dialect)),
            ErrorShape::Page => page::failure(self, request_id),
            ErrorShape::SignIn => page::not_signed_in(self, request_id),
        };
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        match &e {
            StoreError::Conflict(what) => Self::conflict("conflict", format!("{what} already exists.")),
            StoreError::Stale(_) => Self::precondition_failed(),
            StoreError::Cursor => Self::bad_request(
                "invalid_cursor",
                "The cursor is not one that this list gave: begin without one.",
            ),
            StoreError::Locked | StoreError::Open { .. } | StoreError::Query(_) => {
                Self::unavailable("database_unavailable", 1, "The database does not answer; try again.")
                    .because(e)
            }
            _ => Self::internal(e),
        }
    }
}

/// An [`ApiError`] on its way out, in the response's extensions.
#[derive(Clone)]
pub(crate) struct Unrendered(pub std::sync::Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(Unrendered(std::sync::Arc::new(self)));
        response
    }
}

/// An error and what caused it, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_not_shown() {
        let error = ApiError::internal("password of db is hunter2");
        assert!(!error.to_problem("r").to_string().contains("hunter2"));
        assert!(!error.told(Dialect::OpenAiChat).to_string().contains("hunter2"));
    }

    #[test]
    fn all_shapes_say_the_same() {
        let error = ApiError::too_many(7, "slow down");
        let problem = error.to_problem("req-1");
        assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(429), Some("rate_limited")));
        assert_eq!(problem["request_id"], "req-1");
        for dialect in [Dialect::OpenAiChat, Dialect::AnthropicMessages] {
            let told = error.told(dialect);
            assert_eq!(told["error"]["type"], "rate_limit_error");
            assert_eq!(told["error"]["message"], "slow down");
            assert_eq!(told["error"]["code"], "rate_limited");
        }
        assert_eq!(error.told(Dialect::AnthropicMessages)["type"], "error");
        let response = error.render(ErrorShape::Problem, "req-1");
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
