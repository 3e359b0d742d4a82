//! An issuer's public keys: a JWK Set (RFC 7517), read for what can verify a signature and nothing else.

use std::str::FromStr as _;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde_json::Value;

/// The keys of an issuer that we can use.
#[derive(Default)]
pub struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| (&key.id, key.algorithm))).finish()
    }
}

impl Keys {
    /// From a JWK Set. What is not for signatures, or of a kind that is not known here, is left away: issuers add
    /// kinds of keys without asking.
    #[must_use]
    pub fn read(set: &Value) -> Self {
        let keys = set.get("keys").and_then(Value::as_array);
        Self(keys.into_iter().flatten().filter_map(read).collect())
    }

    /// The keys that a token's header can mean. Each is for one algorithm, so that none is used as another: a public
    /// RSA key is no HMAC secret. Without a name in the header, only a key that is alone with its algorithm is meant.
    pub(super) fn find<'a>(
        &'a self,
        id: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a DecodingKey> {
        let fitting = self.0.iter().filter(move |key| key.algorithm == algorithm);
        let alone = fitting.clone().count() == 1;
        fitting
            .filter(move |key| match id {
                Some(_) => key.id.as_deref() == id,
                None => alone,
            })
            .map(|key| &key.key)
    }
}

fn read(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|to| *to != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(p) if p.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(p) if p.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    // A key that says what it is for is for nothing else.
    let said = value.get("alg").and_then(Value::as_str);
    if said.is_some_and(|said| Algorithm::from_str(said).ok() != Some(algorithm)) {
        return None;
    }
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(&jwk).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_verify_is_left_away() {
        let ed = |more: Value| {
            let mut key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
            key.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            key
        };
        let count = |keys: Vec<Value>| Keys::read(&json!({"keys": keys})).0.len();
        assert_eq!(count(vec![ed(json!({})), ed(json!({"kid": "b", "use": "sig", "alg": "EdDSA"}))]), 2);
        for wrong in [
            json!({"use": "enc"}),
            json!({"alg": "ES256"}),
            json!({"crv": "X25519"}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "new"}),
            json!({"x": "?"}),
        ] {
            assert_eq!(count(vec![ed(wrong.clone())]), 0, "{wrong}");
        }
        assert_eq!(Keys::read(&json!({"keys": "none"})).0.len(), 0);
        let two = Keys::read(&json!({"keys": [ed(json!({})), ed(json!({"kid": "b"}))]}));
        assert_eq!(two.find(Some("b"), Algorithm::EdDSA).count(), 1);
        assert_eq!(two.find(None, Algorithm::EdDSA).count(), 0);
        assert_eq!(two.find(Some("a"), Algorithm::RS256).count(), 0);
    }
}
