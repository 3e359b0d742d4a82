//! What stands in a query or in a condition header, read strictly.

use axum::extract::{FromRequestParts, Query, rejection::QueryRejection};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tappass_store::{Page, PageRequest};
use uuid::Uuid;

use crate::{error::ApiError, state::App};

/// A query as a typed value; what is wrong with it is said.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        Query::from_request_parts(parts, app).await.map(|Query(value)| Self(value)).map_err(
            |e: QueryRejection| {
                let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
                ApiError::bad_request("invalid_query", format!("The query is not understood: {cause}."))
            },
        )
    }
}

/// The query of a plain list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// The organisation, for callers with several (`Scope` reads it).
    #[serde(default)]
    pub org_id: Option<Uuid>,
    /// How many at most; 100 unless said otherwise, 500 at most.
    #[serde(default)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl ListQuery {
    /// The page it asks for.
    #[must_use]
    pub fn page(self) -> PageRequest {
        PageRequest { limit: self.limit.unwrap_or(100), cursor: self.cursor.filter(|c| !c.is_empty()) }
    }
}

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Listed<T> {
    /// The entries.
    pub items: Vec<T>,
    /// The `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> Listed<T> {
    /// A page of the store, each entry as the API shows it.
    pub fn of<S>(page: Page<S>, view: impl Fn(S) -> T) -> Self {
        Self { items: page.items.into_iter().map(view).collect(), next_cursor: page.next }
    }
}

/// The `ETag` header of a version.
#[must_use]
pub fn etag(version: i64) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"v{version}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

/// The version that `If-Match` asks for; `None` when anything goes.
///
/// # Errors
/// 412 for a tag that no version ever had.
pub fn if_match(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix("\"v").and_then(|t| t.strip_suffix('"')).and_then(|t| t.parse().ok());
    version.map(Some).ok_or_else(ApiError::precondition_failed)
}

/// Refuses a version that is not the one `If-Match` names.
///
/// # Errors
/// 412.
pub fn check_match(headers: &HeaderMap, version: i64) -> Result<(), ApiError> {
    match if_match(headers)? {
        Some(wanted) if wanted != version => Err(ApiError::precondition_failed()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_version_matches() {
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
            headers
        };
        assert!(check_match(&HeaderMap::new(), 3).is_ok());
        assert!(check_match(&headers("*"), 3).is_ok());
        assert!(check_match(&headers("\"v3\""), 3).is_ok());
        for other in ["\"v2\"", "v3", "W/\"v3\"", "\"x\""] {
            assert_eq!(check_match(&headers(other), 3).expect_err("another").status(), 412, "{other}");
        }
    }
}
