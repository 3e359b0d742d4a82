//! One issuer: its addresses (OpenID Connect Discovery 1.0), its keys, and the exchange of a code for an ID token.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use reqwest::{RequestBuilder, Url, header};
use serde_json::Value;
use tappass_identity::oidc::{Expected, Flow, IdTokenError, Identity, Issuer, Keys, verify};
use tappass_model::Clock;
use tokio::sync::Mutex;

use crate::egress::Egress;

/// For a request to an issuer, as a whole.
const WAIT: Duration = Duration::from_secs(10);
/// The largest answer of an issuer that is read, in bytes.
const LARGEST: usize = 256 * 1024;
/// How long addresses and keys are good without asking again.
const LIFE: SignedDuration = SignedDuration::from_hours(1);
/// How long keys are used on while the issuer cannot be asked for newer ones.
const STALE: SignedDuration = SignedDuration::from_hours(24);
/// How long after asking for keys nobody makes us ask again: tokens with made-up keys cost an issuer nothing.
const FLOOR: SignedDuration = SignedDuration::from_secs(10);

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SsoError {
    /// The issuer does not answer as it should. Holds why, for the log.
    #[error("the issuer cannot be used: {0}")]
    Issuer(String),
    /// The issuer did not take the code.
    #[error("the issuer did not accept the sign-in: {0}")]
    Refused(String),
    /// What it gave is not to be believed.
    #[error("the ID token is not accepted: {0}")]
    Token(#[from] IdTokenError),
}

/// An issuer, and what is remembered of it.
pub struct Issuing {
    issuer: Issuer,
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
    // Both are held while one asks: the others wait for the answer instead of asking too.
    addresses: Mutex<Option<(Timestamp, Arc<Addresses>)>>,
    keys: Mutex<Kept>,
}

/// What the discovery document says, as far as it matters here.
#[derive(Debug)]
struct Addresses {
    authorization: Url,
    token: Url,
    jwks: Url,
    userinfo: Option<Url>,
    /// The client's secret goes into the body, because the issuer does not take it as a header.
    secret_in_body: bool,
    /// Answers name their issuer (RFC 9207).
    names_issuer: bool,
}

#[derive(Default)]
struct Kept {
    asked: Option<Timestamp>,
    keys: Option<(Timestamp, Arc<Keys>)>,
}

impl Issuing {
    pub(super) fn new(issuer: Issuer, egress: Arc<Egress>, clock: Arc<dyn Clock>) -> Self {
        Self { issuer, egress, clock, addresses: Mutex::default(), keys: Mutex::default() }
    }

    /// Who it is.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Where a browser goes to sign in.
    ///
    /// # Errors
    /// [`SsoError::Issuer`]
    pub async fn authorization(&self, flow: &Flow, redirect: &str) -> Result<Url, SsoError> {
        let mut url = self.addresses().await?.authorization.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.issuer.client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", "openid email")
            .append_pair("state", flow.state())
            .append_pair("nonce", flow.nonce())
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        // A help for who has several accounts at Google; what counts is checked in the token.
        if let [domain] = &self.issuer.domains[..] {
            query.append_pair("hd", domain);
        }
        drop(query);
        Ok(url)
    }

    /// Whether an answer may come from this issuer: `iss` is what its address says of that (RFC 9207).
    ///
    /// # Errors
    /// [`SsoError`]
    pub async fn answered_by(&self, iss: Option<&str>) -> Result<(), SsoError> {
        match iss {
            Some(iss) if iss == self.issuer.issuer => Ok(()),
            None if !self.addresses().await?.names_issuer => Ok(()),
            _ => Err(SsoError::Refused("another issuer answered".to_owned())),
        }
    }

    /// Who has signed in: the code for a token, and the token judged.
    ///
    /// # Errors
    /// [`SsoError`]
    pub async fn exchange(&self, code: &str, flow: &Flow, redirect: &str) -> Result<Identity, SsoError> {
        let addresses = self.addresses().await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", flow.verifier()),
        ];
        let mut request = self.client(&addresses.token)?.post(addresses.token.clone());
        match &self.issuer.client_secret {
            Some(secret) if !addresses.secret_in_body => {
                let pair = format!("{}:{}", encoded(&self.issuer.client_id), encoded(secret));
                request = request.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)));
            }
            Some(secret) => form.extend([("client_id", &*self.issuer.client_id), ("client_secret", secret)]),
            None => form.push(("client_id", &self.issuer.client_id)),
        }
        let kind = "application/x-www-form-urlencoded";
        let (status, answer) =
            self.asked(request.header(header::CONTENT_TYPE, kind).body(form_of(&form))).await?;
        if !status.is_success() {
            let error = answer.get("error").and_then(Value::as_str).unwrap_or_default();
            return Err(SsoError::Refused(format!("{} {}", status.as_u16(), word(error))));
        }
        let token = answer.get("id_token").and_then(Value::as_str);
        let token = token.ok_or_else(|| SsoError::Issuer("its answer has no id_token".to_owned()))?;
        let mut identity = self.believe(token, Some(flow.nonce())).await?;
        // An issuer that gives an access token may keep the address for those who ask with it (Core §5.4).
        if identity.email.is_empty()
            && let Some(url) = &addresses.userinfo
            && let Some(access) = answer.get("access_token").and_then(Value::as_str)
        {
            let asked = self.client(url)?.get(url.clone()).bearer_auth(access);
            let (status, told) = self.asked(asked).await?;
            if status.is_success() {
                identity.told(&told)?;
            }
        }
        Ok(identity)
    }

    /// Whom a token vouches for. Its key may be newer than the keys known here: then they are asked for once.
    ///
    /// # Errors
    /// [`SsoError`]
    pub async fn believe(&self, token: &str, nonce: Option<&str>) -> Result<Identity, SsoError> {
        let expected = Expected { issuer: &self.issuer, nonce, now: self.clock.now() };
        let keys = self.keys(None).await?;
        match verify(token, &keys, &expected) {
            Err(IdTokenError::UnknownKey) => {
                let newer = self.keys(Some(&keys)).await?;
                if Arc::ptr_eq(&keys, &newer) {
                    return Err(IdTokenError::UnknownKey.into());
                }
                Ok(verify(token, &newer, &expected)?)
            }
            other => Ok(other?),
        }
    }

    /// Its keys; with `older`, newer ones than those if there may be any.
    async fn keys(&self, older: Option<&Arc<Keys>>) -> Result<Arc<Keys>, SsoError> {
        let mut kept = self.keys.lock().await;
        let now = self.clock.now();
        let since = |at: Timestamp| now.duration_since(at);
        if let Some((at, keys)) = &kept.keys
            && since(*at) < LIFE
            && !older.is_some_and(|older| Arc::ptr_eq(older, keys))
        {
            return Ok(Arc::clone(keys));
        }
        let just_asked = kept.asked.is_some_and(|at| since(at) < FLOOR);
        let fetched = if just_asked {
            Err(SsoError::Issuer("its keys were asked for a moment ago".to_owned()))
        } else {
            kept.asked = Some(now);
            self.fetch_keys().await
        };
        match (fetched, &kept.keys) {
            (Ok(keys), _) => {
                let keys = Arc::new(keys);
                kept.keys = Some((now, Arc::clone(&keys)));
                Ok(keys)
            }
            (Err(error), Some((at, keys))) if since(*at) < STALE => {
                if !just_asked {
                    tracing::warn!(%error, issuer = self.issuer.issuer, "using its keys as they were");
                }
                Ok(Arc::clone(keys))
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn fetch_keys(&self) -> Result<Keys, SsoError> {
        let addresses = self.addresses().await?;
        Ok(Keys::read(&self.get(&addresses.jwks).await?))
    }

    async fn addresses(&self) -> Result<Arc<Addresses>, SsoError> {
        let mut kept = self.addresses.lock().await;
        let now = self.clock.now();
        if let Some((at, addresses)) = &*kept
            && now.duration_since(*at) < LIFE
        {
            return Ok(Arc::clone(addresses));
        }
        let base = self.issuer.issuer.trim_end_matches('/');
        let url = parse(&format!("{base}/.well-known/openid-configuration"))?;
        let document = self.get(&url).await?;
        let addresses = Arc::new(self.read(&document)?);
        *kept = Some((now, Arc::clone(&addresses)));
        Ok(addresses)
    }

    fn read(&self, document: &Value) -> Result<Addresses, SsoError> {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let address = |name: &str| {
            let url = parse(text(name).ok_or_else(|| SsoError::Issuer(format!("it gives no `{name}`")))?)?;
            self.egress.rules().check(&url).map_err(|e| SsoError::Issuer(format!("its `{name}`: {e}")))?;
            Ok::<Url, SsoError>(url)
        };
        // Else whoever answers at that address could speak for another issuer (Discovery §4.3).
        if text("issuer") != Some(&self.issuer.issuer) {
            let said = text("issuer").unwrap_or_default();
            let wanted = &self.issuer.issuer;
            return Err(SsoError::Issuer(format!(
                "it calls itself {said:?}, and is configured as {wanted:?}"
            )));
        }
        let ways = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        let takes = |way: &str| ways.is_some_and(|ways| ways.iter().any(|w| w == way));
        Ok(Addresses {
            authorization: address("authorization_endpoint")?,
            token: address("token_endpoint")?,
            jwks: address("jwks_uri")?,
            userinfo: text("userinfo_endpoint").map(|_| address("userinfo_endpoint")).transpose()?,
            secret_in_body: ways.is_some() && !takes("client_secret_basic") && takes("client_secret_post"),
            names_issuer: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
        })
    }

    fn client(&self, url: &Url) -> Result<reqwest::Client, SsoError> {
        self.egress.client(url).map_err(SsoError::Issuer)
    }

    async fn get(&self, url: &Url) -> Result<Value, SsoError> {
        let (status, answer) = self.asked(self.client(url)?.get(url.clone())).await?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(SsoError::Issuer(format!("{url} answers {status}")))
        }
    }

    async fn asked(&self, request: RequestBuilder) -> Result<(http::StatusCode, Value), SsoError> {
        let broken = |e: reqwest::Error| {
            let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            SsoError::Issuer(cause)
        };
        let request = request.header(header::ACCEPT, "application/json").timeout(WAIT);
        let mut answer = request.send().await.map_err(broken)?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            if body.len() + piece.len() > LARGEST {
                return Err(SsoError::Issuer(format!("its answer is larger than {LARGEST} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        let json = serde_json::from_slice(&body);
        let status = answer.status();
        // What is no JSON is no answer, unless it is an error anyway.
        let json = if status.is_success() {
            json.map_err(|_| SsoError::Issuer("its answer is no JSON".to_owned()))?
        } else {
            json.unwrap_or_default()
        };
        Ok((status, json))
    }
}

fn parse(text: &str) -> Result<Url, SsoError> {
    Url::parse(text).map_err(|e| SsoError::Issuer(format!("{text:?} is no address: {e}")))
}

/// The words that are error codes (RFC 6749 §5.2), and nothing else that an issuer may write.
#[must_use]
pub fn word(text: &str) -> &str {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    if (1..=64).contains(&text.len()) && text.chars().all(plain) { text } else { "unknown_error" }
}

/// `application/x-www-form-urlencoded`.
fn form_of(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("form:").unwrap_or_else(|_| unreachable!("a scheme is an address"));
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

/// One part of client credentials in a header, as RFC 6749 §2.3.1 wants it.
fn encoded(text: &str) -> String {
    form_of(&[("", text)]).trim_start_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded() {
        assert_eq!(form_of(&[("a", "b c&d"), ("é", "+")]), "a=b+c%26d&%C3%A9=%2B");
        assert_eq!(encoded("a:b=c %"), "a%3Ab%3Dc+%25");
        assert_eq!(
            (word("access_denied"), word("<script>"), word("")),
            ("access_denied", "unknown_error", "unknown_error")
        );
    }
}
