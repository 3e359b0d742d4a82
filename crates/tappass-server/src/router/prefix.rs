//! Clients append `/v1` of their own to a base URL that may or may not end in it. All of them are meant.

use http::{Request, Uri, uri::PathAndQuery};

/// The request with up to two leading `/v1` taken from its path.
pub fn strip_v1<B>(mut request: Request<B>) -> Request<B> {
    let path = request.uri().path();
    let short = strip(strip(path));
    if short.len() == path.len() {
        return request;
    }
    let mut text = if short.is_empty() { "/".to_owned() } else { short.to_owned() };
    if let Some(query) = request.uri().query() {
        text.push('?');
        text.push_str(query);
    }
    // A suffix of a valid path, from a slash on, is a valid path.
    if let Ok(path_and_query) = PathAndQuery::try_from(text) {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Without one leading `/v1`, if it is a whole segment.
fn strip(path: &str) -> &str {
    match path.strip_prefix("/v1") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_one_or_two() {
        let after =
            |uri: &str| strip_v1(Request::builder().uri(uri).body(()).expect("a request")).uri().to_string();
        assert_eq!(after("/health"), "/health");
        assert_eq!(after("/v1/health?x=/v1"), "/health?x=/v1");
        assert_eq!(after("/v1/v1/chat/completions"), "/chat/completions");
        assert_eq!(after("/v1/v1/v1/health"), "/v1/health");
        assert_eq!(after("/v1"), "/");
        assert_eq!(after("/v1beta/models"), "/v1beta/models");
        assert_eq!(after("/v1//health"), "//health");
        assert_eq!(after("http://host:1/v1/health"), "http://host:1/health");
    }
}
