//! A trust domain: it signs certificates and tokens, and changes its keys.

use std::{
    collections::BTreeSet,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};
use tappass_model::{Clock as _, SystemClock};

/// The time of the machine, in seconds since 1970: what TLS and tokens are checked against.
#[must_use]
pub fn now() -> i64 {
    SystemClock.now().as_second()
}

/// The keys that a trust domain signs with for a while.
pub struct Keys {
    ca: CertifiedIssuer<'static, KeyPair>,
    jwt: EcdsaKeyPair,
    kid: String,
}

/// An X.509-SVID with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Svid {
    /// Who.
    pub spiffe_id: String,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its key, PKCS#8.
    pub key: Vec<u8>,
}

/// A trust domain.
pub struct TrustDomain {
    /// `corp.example`
    pub name: String,
    /// The newest last; the last signs, all are in the bundle.
    keys: Vec<Keys>,
    made: usize,
}

impl TrustDomain {
    /// With its first keys.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut domain = Self { name: name.to_owned(), keys: Vec::new(), made: 0 };
        domain.add_keys();
        domain
    }

    /// `spiffe://corp.example`, then the path.
    #[must_use]
    pub fn id(&self, path: &str) -> String {
        format!("spiffe://{}{path}", self.name)
    }

    /// New keys, which sign from now on. The old ones are still trusted.
    pub fn add_keys(&mut self) {
        self.made += 1;
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![SanType::URI(self.id("").try_into().expect("ASCII"))];
        params.distinguished_name = named(&format!("{} {}", self.name, self.made));
        let ca = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let jwt = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        self.keys.push(Keys { ca, jwt, kid: format!("{}-{}", self.name, self.made) });
    }

    /// Trusts the newest keys only.
    pub fn drop_old_keys(&mut self) {
        self.keys.drain(..self.keys.len() - 1);
    }

    fn newest(&self) -> &Keys {
        self.keys.last().expect("there are always keys")
    }

    /// An SVID for a workload, from a minute ago until so many seconds from now.
    #[must_use]
    pub fn svid(&self, path: &str, expires_in: i64) -> Svid {
        self.signed(&self.id(path), expires_in, |_| {})
    }

    /// The same for any id, with whatever else is to be wrong with the certificate.
    #[must_use]
    pub fn signed(&self, id: &str, expires_in: i64, change: impl FnOnce(&mut CertificateParams)) -> Svid {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(id.try_into().expect("ASCII"))];
        params.distinguished_name = named("workload");
        let at = |second: i64| UNIX_EPOCH + Duration::from_secs(second.unsigned_abs());
        params.not_before = at(now() - 3600).into();
        params.not_after = at(now() + expires_in).into();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.newest().ca).expect("signed");
        Svid { spiffe_id: id.to_owned(), certificate: certificate.der().to_vec(), key: key.serialize_der() }
    }

    /// The authorities for certificates, DER one after the other.
    #[must_use]
    pub fn x509_bundle(&self) -> Vec<u8> {
        self.keys.iter().flat_map(|keys| keys.ca.der().to_vec()).collect()
    }

    /// The authorities for tokens, as a JWK set. `purpose`: as in a file, with what a key is for, and those for
    /// certificates after them.
    #[must_use]
    pub fn jwk_set(&self, purpose: bool) -> Value {
        let jwk = |keys: &Keys| {
            let point = keys.jwt.public_key().as_ref();
            let mut jwk = json!({"kty": "EC", "crv": "P-256", "kid": keys.kid,
                "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..])});
            if purpose {
                jwk["use"] = "jwt-svid".into();
            }
            jwk
        };
        let x509 =
            |keys: &Keys| json!({"use": "x509-svid", "kty": "EC", "x5c": [STANDARD.encode(keys.ca.der())]});
        let certificates = self.keys.iter().filter(|_| purpose).map(x509);
        json!({"keys": self.keys.iter().map(jwk).chain(certificates).collect::<Vec<_>>()})
    }

    /// The newest public key for tokens, as bytes: for attacks that take it for a secret.
    #[must_use]
    pub fn public_point(&self) -> Vec<u8> {
        self.newest().jwt.public_key().as_ref().to_vec()
    }

    /// The header of a token.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({"alg": "ES256", "kid": self.newest().kid, "typ": "JWT"})
    }

    /// A token for a workload.
    #[must_use]
    pub fn token(&self, path: &str, audience: &str, expires_in: i64) -> String {
        let claims =
            json!({"sub": self.id(path), "aud": [audience], "exp": now() + expires_in, "iat": now()});
        self.sign(&self.header(), &claims)
    }

    /// Any token, signed by the newest key whatever the header says.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let random = aws_lc_rs::rand::SystemRandom::new();
        jws(header, claims, |text| self.newest().jwt.sign(&random, text).expect("signed").as_ref().to_vec())
    }

    /// The subject of a token that one of our keys has signed, for this audience, and that has not expired.
    #[must_use]
    pub fn subject_of(&self, token: &str, audience: &str) -> Option<String> {
        let (text, signature) = token.rsplit_once('.')?;
        let (header, claims) = text.split_once('.')?;
        let read = |part: &str| serde_json::from_slice::<Value>(&BASE64.decode(part).ok()?).ok();
        let (header, claims) = (read(header)?, read(claims)?);
        let keys = self.keys.iter().find(|keys| header["kid"] == keys.kid.as_str())?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, keys.jwt.public_key().as_ref());
        key.verify(text.as_bytes(), &BASE64.decode(signature).ok()?).ok()?;
        let audiences: BTreeSet<&str> = claims["aud"].as_array()?.iter().filter_map(Value::as_str).collect();
        let holds = claims["exp"].as_i64()? > now() && audiences.contains(audience);
        holds.then(|| claims["sub"].as_str().unwrap_or_default().to_owned())
    }
}

/// A token whose signature is made by this function (RFC 7515 §7.1).
pub fn jws(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let text = jwt(header, claims);
    let signature = BASE64.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

/// Header and claims of a token: what is signed.
#[must_use]
pub fn jwt(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
