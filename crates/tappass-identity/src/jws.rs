//! Signed statements: JSON Web Signatures in their compact form (RFC 7515), with Ed25519 and nothing else (RFC 8037).
//!
//! What a token says of itself decides nothing: the algorithm and the type are fixed, the key is looked up by its id among
//! the verifier's own, and a header with any other member (`jwk`, `jku`, `x5u`, `crit` …) is refused.

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest token that is read, in bytes.
const LONGEST: usize = 16 * 1024;
const ALGORITHM: &str = "EdDSA";

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not three parts of base64url, or its parts are not what they should be.
    #[error("this is no such token")]
    Malformed,
    /// Another algorithm, another type, or a header with more in it than a token of ours has.
    #[error("the token's header is not one of ours")]
    Header,
    /// No key of this id is known.
    #[error("the token is signed with a key that is not known, or no longer")]
    UnknownKey,
    /// It was not signed by this key, or has been changed.
    #[error("the token's signature does not hold")]
    Signature,
}

/// A key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id)
    }
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its thumbprint (RFC 7638), which is the `kid` of what it signed.
    pub id: String,
    /// 32 bytes.
    pub bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

impl PublicKey {
    /// From its 32 bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        // RFC 7638 §3: the required members in order, without blanks.
        let jwk = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{}\"}}", encoded(bytes));
        Self { id: encoded(digest(&SHA256, jwk.as_bytes()).as_ref()), bytes: bytes.to_vec() }
    }

    /// As a JSON Web Key (RFC 8037 §2).
    #[must_use]
    pub fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": ALGORITHM, "kid": self.id, "x": encoded(&self.bytes)})
    }
}

impl SigningKey {
    /// The key that a seed of 32 secret random bytes stands for (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed");
        Self::of(pair)
    }

    /// From a private key as `openssl genpkey -algorithm ed25519 -outform DER` writes it (PKCS#8, RFC 8410); `None` for
    /// what is none.
    #[must_use]
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Self::of)
    }

    fn of(pair: Ed25519KeyPair) -> Self {
        let public = PublicKey::new(pair.public_key().as_ref());
        Self { pair, public }
    }

    /// Its other half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs claims as a token of this type.
    #[must_use]
    pub fn sign<T: Serialize>(&self, typ: &str, claims: &T) -> String {
        let header = Header { alg: ALGORITHM.to_owned(), typ: typ.to_owned(), kid: self.public.id.clone() };
        let part = |json: serde_json::Result<Vec<u8>>| encoded(&json.expect("plain data has a form in JSON"));
        let mut token = part(serde_json::to_vec(&header));
        token.push('.');
        token.push_str(&part(serde_json::to_vec(claims)));
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        token.push_str(&encoded(signature.as_ref()));
        token
    }
}

/// What a token of this type says, once its signature holds: the claims as JSON text. `find` gives the verifier's own
/// key of an id.
///
/// # Errors
/// [`JwsError`].
pub fn verified<'k>(
    token: &str,
    typ: &str,
    find: impl FnOnce(&str) -> Option<&'k PublicKey>,
) -> Result<Vec<u8>, JwsError> {
    if token.len() > LONGEST {
        return Err(JwsError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(JwsError::Malformed)?;
    // A fourth part would be in the claims, where base64url has no dot.
    let [header, claims, signature] =
        [header, claims, signature].map(|part| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Malformed));
    let (header, claims, signature) = (header?, claims?, signature?);
    let header: Header = serde_json::from_slice(&header).map_err(|_| JwsError::Header)?;
    if header.alg != ALGORITHM || header.typ != typ {
        return Err(JwsError::Header);
    }
    let key = find(&header.kid).ok_or(JwsError::UnknownKey)?;
    UnparsedPublicKey::new(&ED25519, &key.bytes)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| JwsError::Signature)?;
    Ok(claims)
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYP: &str = "tappass-test+jwt";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn read(token: &str, keys: &[&SigningKey]) -> Result<Vec<u8>, JwsError> {
        verified(token, TYP, |id| keys.iter().map(|k| k.public()).find(|k| k.id == id))
    }

    #[test]
    fn the_signature_of_rfc_8037() {
        // Appendix A.1 to A.4 of RFC 8037.
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64");
        let key = SigningKey::from_seed(&seed.try_into().expect("32 bytes"));
        assert_eq!(key.public().id, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(key.public().jwk()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        assert_eq!(
            encoded(key.pair.sign(signed.as_bytes()).as_ref()),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn what_was_signed_is_read_with_its_key_only() {
        let token = key(1).sign(TYP, &json!({"a": 1}));
        assert_eq!(read(&token, &[&key(2), &key(1)]).expect("holds"), br#"{"a":1}"#);
        assert_eq!(read(&token, &[&key(2)]), Err(JwsError::UnknownKey));
        assert_eq!(verified(&token, "JWT", |_| None), Err(JwsError::Header));
    }

    /// Every one of these has been a way past somebody's verifier.
    #[test]
    fn no_attack_passes() {
        let (ours, theirs) = (key(1), key(2));
        let (own, other) = (ours.public(), theirs.public());
        let good = ours.sign(TYP, &json!({"sub": "a"}));
        let parts: Vec<&str> = good.split('.').collect();
        let with = |header: Value, key: &SigningKey| {
            let signed = format!("{}.{}", encoded(header.to_string().as_bytes()), parts[1]);
            format!("{signed}.{}", encoded(key.pair.sign(signed.as_bytes()).as_ref()))
        };
        let header = |more: Value| {
            let mut header = json!({"alg": "EdDSA", "typ": TYP, "kid": own.id});
            header.as_object_mut().expect("one").extend(more.as_object().cloned().unwrap_or_default());
            header
        };
        let hmac = |secret: &[u8]| {
            // The public key as the secret of an HMAC: algorithm confusion.
            let signed =
                format!("{}.{}", encoded(header(json!({"alg": "HS256"})).to_string().as_bytes()), parts[1]);
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
            format!("{signed}.{}", encoded(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref()))
        };
        let raw_header = |text: &str| {
            let signed = format!("{}.{}", encoded(text.as_bytes()), parts[1]);
            format!("{signed}.{}", encoded(ours.pair.sign(signed.as_bytes()).as_ref()))
        };
        let twice = format!(r#"{{"alg":"none","alg":"EdDSA","typ":"{TYP}","kid":"{}"}}"#, own.id);
        let mut changed = URL_SAFE_NO_PAD.decode(parts[2]).expect("base64");
        changed[5] ^= 1;
        let padded = format!("{}.{}.{}==", parts[0], parts[1], parts[2]);
        let attacks = [
            ("none", with(header(json!({"alg": "none"})), &ours)),
            ("none, in other letters", with(header(json!({"alg": "nOnE"})), &ours)),
            (
                "none without a signature",
                format!("{}.{}.", encoded(header(json!({"alg": "none"})).to_string().as_bytes()), parts[1]),
            ),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("HMAC with the public key", hmac(&own.bytes)),
            ("HMAC with the public key's text", hmac(encoded(&own.bytes).as_bytes())),
            ("RS256", with(header(json!({"alg": "RS256"})), &ours)),
            ("ES256", with(header(json!({"alg": "ES256"})), &ours)),
            ("a list of algorithms", with(header(json!({"alg": ["EdDSA"]})), &ours)),
            ("a key in the header", with(header(json!({"jwk": other.jwk()})), &theirs)),
            (
                "a key in the header, by its id",
                with(header(json!({"jwk": other.jwk(), "kid": other.id})), &theirs),
            ),
            ("an address of keys", with(header(json!({"jku": "https://evil.example/jwks.json"})), &ours)),
            ("an address of certificates", with(header(json!({"x5u": "https://evil.example/c"})), &ours)),
            ("certificates", with(header(json!({"x5c": ["AAAA"]})), &ours)),
            ("what must be understood", with(header(json!({"crit": ["exp"], "exp": 1})), &ours)),
            ("a payload that is not encoded", with(header(json!({"b64": false, "crit": ["b64"]})), &ours)),
            ("another type", with(header(json!({"typ": "JWT"})), &ours)),
            ("no type", with(json!({"alg": "EdDSA", "kid": own.id}), &ours)),
            ("no key", with(json!({"alg": "EdDSA", "typ": TYP}), &ours)),
            ("a path as a key", with(header(json!({"kid": "../../etc/passwd"})), &ours)),
            ("a query as a key", with(header(json!({"kid": "' OR 1=1 --"})), &ours)),
            ("another's key under our id", with(header(json!({})), &theirs)),
            ("a member twice", raw_header(&twice)),
            ("a header that is no object", raw_header("\"EdDSA\"")),
            ("a header that is not JSON", raw_header("alg=EdDSA")),
            ("other claims", format!("{}.{}.{}", parts[0], encoded(br#"{"sub":"b"}"#), parts[2])),
            ("another signature", format!("{}.{}.{}", parts[0], parts[1], encoded(&changed))),
            ("a signature cut short", format!("{}.{}.{}", parts[0], parts[1], &parts[2][..80])),
            ("padding", padded),
            ("a blank", format!(" {good}")),
            ("a line's end", format!("{good}\n")),
            ("a fourth part", format!("{good}.{}", parts[2])),
            ("two parts", format!("{}.{}", parts[0], parts[1])),
            (
                "the JSON form",
                json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}).to_string(),
            ),
            ("nothing", String::new()),
            ("dots", "..".to_owned()),
            ("far too much", "A".repeat(LONGEST + 1)),
        ];
        for (what, token) in attacks {
            assert!(read(&token, &[&ours]).is_err(), "{what} passed: {token:.200}");
        }
        // A letter's spare bits must not spell the same signature in two ways.
        let last = parts[2].chars().last().expect("one");
        for c in
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars().filter(|c| *c != last)
        {
            assert!(read(&format!("{}{c}", &good[..good.len() - 1]), &[&ours]).is_err(), "{c}");
        }
    }
}
