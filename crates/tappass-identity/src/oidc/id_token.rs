//! Whether an ID token is to be believed: OpenID Connect Core 1.0 §3.1.3.7, and the pitfalls of RFC 8725.

use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, crypto};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use tappass_model::json::parse_strict;

use super::{GOOGLE, Issuer, Keys, Provider};

/// The longest token that is read, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;
/// How far the issuer's clock may be from ours, in seconds.
const LEEWAY: i64 = 60;
/// How old a token may be, in seconds: it is for signing in now.
const MAX_AGE: i64 = 600;
/// The longest `sub`, in characters (OpenID Connect Core §2).
const MAX_SUBJECT: usize = 255;

/// Somebody, as an issuer vouches for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who vouches, as configured.
    pub issuer: String,
    /// Whom the issuer means: never given to anybody else.
    pub subject: String,
    /// Their address; empty when the issuer did not tell.
    pub email: String,
    /// Whether the issuer has seen that it is theirs.
    pub email_verified: bool,
    /// The Workspace that a Google account belongs to.
    pub hosted_domain: Option<String>,
}

impl Identity {
    /// Takes over what the issuer tells of the same person at its UserInfo endpoint (Core §5.3).
    ///
    /// # Errors
    /// [`IdTokenError::Claim`] when it tells of somebody else.
    pub fn told(&mut self, claims: &Value) -> Result<(), IdTokenError> {
        if claims.get("sub").and_then(Value::as_str) != Some(&self.subject) {
            return Err(IdTokenError::Claim("sub"));
        }
        claims.get("email").and_then(Value::as_str).unwrap_or_default().clone_into(&mut self.email);
        self.email_verified = is_true(claims.get("email_verified"));
        Ok(())
    }
}

/// Some issuers write the truth as a text.
fn is_true(claim: Option<&Value>) -> bool {
    match claim {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(value)) => value == "true",
        _ => false,
    }
}

/// What a token must fit.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who must have signed it, and for whom.
    pub issuer: &'a Issuer,
    /// What we sent along when we asked for it; `None` for a token that we did not ask for.
    pub nonce: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// Why a token is not believed. Holds nothing of what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// Not a signed JWT in compact form that has one meaning.
    #[error("it is not a well-formed ID token")]
    Malformed,
    /// Signed in a way that is not on the issuer's list, or not at all.
    #[error("its signature algorithm is not accepted")]
    Algorithm,
    /// The issuer has no such key, as far as is known here. Its keys may have changed.
    #[error("it is signed with a key that the issuer does not have")]
    UnknownKey,
    /// The signature does not fit.
    #[error("its signature is wrong")]
    Signature,
    /// A claim that must be there, or does not fit.
    #[error("its `{0}` does not fit")]
    Claim(&'static str),
}

/// Believes a token, or does not. Keys come from `keys` only: what the header brings along (`jwk`, `jku`, `x5c`) is
/// not looked at.
///
/// # Errors
/// [`IdTokenError`]; after [`IdTokenError::UnknownKey`] newer keys may be worth a try.
pub fn verify(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Identity, IdTokenError> {
    let (message, signature) = token.rsplit_once('.').ok_or(IdTokenError::Malformed)?;
    let (head, body) = message.split_once('.').ok_or(IdTokenError::Malformed)?;
    if token.len() > MAX_TOKEN || body.contains('.') {
        return Err(IdTokenError::Malformed);
    }
    let header = object(head)?;
    let algorithm = algorithm(&header, expected.issuer.provider.algorithms())?;
    let id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(_) => return Err(IdTokenError::Malformed),
    };
    let mut known = keys.find(id, algorithm).peekable();
    if known.peek().is_none() {
        return Err(IdTokenError::UnknownKey);
    }
    let fits = |key| crypto::verify(signature, message.as_bytes(), key, algorithm).unwrap_or(false);
    if !known.any(fits) {
        return Err(IdTokenError::Signature);
    }
    claims(&object(body)?, expected)
}

fn object(part: &str) -> Result<Map<String, Value>, IdTokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| IdTokenError::Malformed)?;
    match parse_strict(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(IdTokenError::Malformed),
    }
}

fn algorithm(header: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Algorithm, IdTokenError> {
    // What must be understood, and is not (RFC 7515 §4.1.11).
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(IdTokenError::Malformed);
    }
    // Access tokens and logout tokens say what they are: none of them is an ID token (RFC 8725 §3.11).
    match header.get("typ") {
        None => {}
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("jwt") => {}
        Some(_) => return Err(IdTokenError::Malformed),
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or(IdTokenError::Algorithm)?;
    let algorithm = Algorithm::from_str(name).map_err(|_| IdTokenError::Algorithm)?;
    if allowed.contains(&algorithm) { Ok(algorithm) } else { Err(IdTokenError::Algorithm) }
}

fn claims(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<Identity, IdTokenError> {
    let Expected { issuer, nonce, now } = *expected;
    let wrong = |claim| Err(IdTokenError::Claim(claim));
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).filter(|t| t.is_finite());
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
    let (now, leeway, max_age) = (now.as_second() as f64, LEEWAY as f64, MAX_AGE as f64);

    if !text("iss").is_some_and(|iss| issuer.is(iss)) {
        return wrong("iss");
    }
    // For us and for nobody else: what is meant for several, one of them could have passed on.
    let ours = match claims.get("aud") {
        Some(Value::String(audience)) => *audience == issuer.client_id,
        Some(Value::Array(all)) => matches!(&all[..], [Value::String(one)] if *one == issuer.client_id),
        _ => false,
    };
    if !ours {
        return wrong("aud");
    }
    if claims.get("azp").is_some_and(|azp| azp.as_str() != Some(&issuer.client_id)) {
        return wrong("azp");
    }
    if !time("exp").is_some_and(|exp| exp > now - leeway) {
        return wrong("exp");
    }
    if !time("iat").is_some_and(|iat| iat <= now + leeway && iat >= now - max_age - leeway) {
        return wrong("iat");
    }
    if claims.contains_key("nbf") && !time("nbf").is_some_and(|nbf| nbf <= now + leeway) {
        return wrong("nbf");
    }
    if let Some(nonce) = nonce
        && !text("nonce").is_some_and(|said| said.as_bytes().ct_eq(nonce.as_bytes()).into())
    {
        return wrong("nonce");
    }
    let subject = text("sub").filter(|sub| (1..=MAX_SUBJECT).contains(&sub.chars().count()));
    let Some(subject) = subject else { return wrong("sub") };
    let issuer_name = if issuer.provider == Provider::Google { GOOGLE } else { &issuer.issuer };
    Ok(Identity {
        issuer: issuer_name.to_owned(),
        subject: subject.to_owned(),
        email: text("email").unwrap_or_default().to_owned(),
        email_verified: is_true(claims.get("email_verified")),
        hosted_domain: text("hd").map(str::to_owned),
    })
}
