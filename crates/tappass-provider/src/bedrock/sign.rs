//! AWS Signature Version 4 (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>).

use std::{fmt, time::SystemTime};

use aws_credential_types::Credentials as Keys;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::http::Signature;

/// Who signs, and for which region.
#[derive(Clone)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<String>,
    /// `AWS_REGION`.
    pub region: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("region", &self.region).finish_non_exhaustive()
    }
}

/// The headers that sign a request; `None` where it cannot be signed.
pub fn headers(
    credentials: &Credentials,
    request: &http::Request<&[u8]>,
    now: Timestamp,
) -> Option<Signature> {
    let Credentials { access_key_id, secret_access_key, session_token, region } = credentials;
    let keys = Keys::new(access_key_id, secret_access_key, session_token.clone(), None, "environment");
    let identity = keys.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("bedrock")
        .time(SystemTime::from(now))
        .settings(SigningSettings::default())
        .build()
        .ok()?;
    let texts =
        request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let uri = request.uri().to_string();
    let signable =
        SignableRequest::new(request.method().as_str(), uri, texts, SignableBody::Bytes(request.body()))
            .ok()?;
    let (instructions, _) = sign(signable, &params.into()).ok()?.into_parts();
    let header = |(name, value): (&str, &str)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    instructions.headers().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_the_address_the_host_the_time_and_the_body() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: concat!("wJalrXUtnFEMI/K7MDENG", "+bPxRfiCYEXAMPLEKEY").to_owned(),
            session_token: Some("token".to_owned()),
            region: "eu-central-1".to_owned(),
        };
        let now = "2026-01-02T03:04:05Z".parse().expect("a time");
        let signed = |path: &str, body: &'static [u8]| {
            let request =
                http::Request::post(format!("https://bedrock-runtime.eu-central-1.amazonaws.com{path}"))
                    .header("content-type", "application/json")
                    .body(body)
                    .expect("a request");
            let found = headers(&credentials, &request, now).expect("signed");
            found
                .iter()
                .map(|(n, v)| (n.to_string(), v.to_str().expect("text").to_owned()))
                .collect::<Vec<_>>()
        };
        let one = signed("/model/m%3A0/converse", b"{}");
        let of = |list: &[(String, String)], name: &str| {
            list.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default()
        };
        let authorization = of(&one, "authorization");
        assert!(
            authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-central-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="),
            "{authorization}"
        );
        assert_eq!(
            (of(&one, "x-amz-date"), of(&one, "x-amz-security-token")),
            ("20260102T030405Z".into(), "token".into())
        );
        assert_eq!(one, signed("/model/m%3A0/converse", b"{}"));
        for (path, body) in [("/model/m%3A1/converse", &b"{}"[..]), ("/model/m%3A0/converse", b"{ }")] {
            assert_ne!(of(&signed(path, body), "authorization"), authorization);
        }
        assert!(!format!("{credentials:?}").contains("AKID"));
    }
}
