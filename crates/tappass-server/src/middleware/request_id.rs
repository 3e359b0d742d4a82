//! `x-request-id`: the caller's if it is sane, else a new one. Errors, logs and audit events carry it.

use std::sync::Arc;

use http::Request;
use tappass_model::Ids;

/// The id of one request. In the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The caller's id (up to 128 visible ASCII characters), or a new UUIDv7.
    pub fn of<B>(request: &Request<B>, ids: &dyn Ids) -> Self {
        let given = request.headers().get("x-request-id").map(http::HeaderValue::as_bytes);
        match given.filter(|id| (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)) {
            Some(id) => Self(String::from_utf8_lossy(id).into()),
            None => Self(ids.uuid().to_string().into()),
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tappass_model::SystemIds;

    fn id(given: &[u8]) -> String {
        let request = Request::builder().header("x-request-id", given).body(()).expect("a request");
        RequestId::of(&request, &SystemIds).as_str().to_owned()
    }

    #[test]
    fn echoed_if_sane() {
        assert_eq!(id(b"abc-123"), "abc-123");
        assert_eq!(id(&[b'x'; 128]).len(), 128);
        for bad in [&b""[..], b"a b", b"caf\xc3\xa9", &[b'x'; 129]] {
            assert_eq!(id(bad).len(), 36, "{bad:?}");
        }
    }
}
