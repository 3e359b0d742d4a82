//! ID tokens that must not be believed. Each differs in one thing from one that is. Signed without the library that
//! verifies.

use std::sync::LazyLock;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use tappass_identity::oidc::{Expected, GOOGLE, IdTokenError, Identity, Issuer, Keys, Provider, verify};

const NOW: i64 = 1_790_000_000;
const ISSUER: &str = "https://login.example.com/realms/main";
const CLIENT: &str = "gateway";

struct Pairs {
    rsa: RsaKeyPair,
    other_rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

/// Making RSA keys takes a while: once.
static PAIRS: LazyLock<Pairs> = LazyLock::new(|| Pairs {
    rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
    other_rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
    ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"),
    ed: Ed25519KeyPair::generate().expect("a key"),
});

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa_jwk(pair: &RsaKeyPair, kid: &str) -> Value {
    let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
    let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
    json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": text(n), "e": text(e)})
}

fn jwks() -> Value {
    let point = PAIRS.ec.public_key().as_ref();
    json!({"keys": [
        rsa_jwk(&PAIRS.rsa, "rsa"),
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": text(&point[1..33]), "y": text(&point[33..])},
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(PAIRS.ed.public_key())},
    ]})
}

fn issuer(provider: Provider) -> Issuer {
    let issuer = if provider == Provider::Google { GOOGLE } else { ISSUER }.to_owned();
    let name = "Example".to_owned();
    Issuer { provider, name, issuer, client_id: CLIENT.to_owned(), client_secret: None, domains: Vec::new() }
}

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "248289761001", "nonce": "n-0S6", "email": "ada@example.com",
        "email_verified": true, "iat": NOW - 5, "exp": NOW + 600,
    })
}

/// The good claims with some of them changed, or with `null` taken away.
fn but(changes: &Value) -> Value {
    let mut claims = good();
    let object = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    claims
}

fn rsa_with(pair: &RsaKeyPair, how: &'static dyn RsaEncoding, message: &str) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(how, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("signs");
    signature
}

fn rs256(message: &str) -> Vec<u8> {
    rsa_with(&PAIRS.rsa, &RSA_PKCS1_SHA256, message)
}

/// A token of these parts, as they are.
fn raw(header: &str, claims: &str, sign: impl FnOnce(&str) -> Vec<u8>) -> String {
    let message = format!("{}.{}", text(header), text(claims));
    let signature = text(sign(&message));
    format!("{message}.{signature}")
}

fn signed(header: &Value, claims: &Value) -> String {
    raw(&header.to_string(), &claims.to_string(), rs256)
}

fn rsa_header() -> Value {
    json!({"alg": "RS256", "kid": "rsa", "typ": "JWT"})
}

fn judge_for(provider: Provider, token: &str) -> Result<Identity, IdTokenError> {
    let (issuer, keys) = (issuer(provider), Keys::read(&jwks()));
    let now = Timestamp::from_second(NOW).expect("a time");
    verify(token, &keys, &Expected { issuer: &issuer, nonce: Some("n-0S6"), now })
}

fn judge(token: &str) -> Result<Identity, IdTokenError> {
    judge_for(Provider::Oidc, token)
}

#[test]
fn what_is_right_is_believed() {
    let ada = Identity {
        issuer: ISSUER.to_owned(),
        subject: "248289761001".to_owned(),
        email: "ada@example.com".to_owned(),
        email_verified: true,
        hosted_domain: None,
    };
    assert_eq!(judge(&signed(&rsa_header(), &good())), Ok(ada.clone()));
    // A key that is alone with its algorithm needs no name.
    assert_eq!(judge(&signed(&json!({"alg": "RS256"}), &good())), Ok(ada.clone()));
    let ec = raw(&json!({"alg": "ES256", "kid": "ec"}).to_string(), &good().to_string(), |m| {
        PAIRS.ec.sign(&SystemRandom::new(), m.as_bytes()).expect("signs").as_ref().to_vec()
    });
    assert_eq!(judge(&ec), Ok(ada.clone()));
    let ed = |m: &str| PAIRS.ed.sign(m.as_bytes()).as_ref().to_vec();
    let ed = raw(&json!({"alg": "EdDSA", "kid": "ed"}).to_string(), &good().to_string(), ed);
    assert_eq!(judge(&ed), Ok(ada.clone()));
    let array = but(&json!({"aud": [CLIENT], "azp": CLIENT, "nbf": NOW, "email_verified": "true"}));
    assert_eq!(judge(&signed(&rsa_header(), &array)), Ok(ada));
    // Google writes its name in two ways, and signs in one.
    for iss in [GOOGLE, "accounts.google.com"] {
        let token = signed(&rsa_header(), &but(&json!({"iss": iss, "hd": "example.com"})));
        let who = judge_for(Provider::Google, &token).expect("believed");
        assert_eq!((who.issuer.as_str(), who.hosted_domain.as_deref()), (GOOGLE, Some("example.com")));
        assert_eq!(judge(&token), Err(IdTokenError::Claim("iss")), "only Google is Google");
    }
    assert_eq!(judge_for(Provider::Google, &ec), Err(IdTokenError::Algorithm));
}

#[test]
fn no_claim_may_be_missing_or_other() {
    let cases = [
        ("iss", json!({"iss": null})),
        ("iss", json!({"iss": "https://login.example.com/realms/other"})),
        ("iss", json!({"iss": format!("{ISSUER}/")})),
        ("iss", json!({"iss": [ISSUER]})),
        ("aud", json!({"aud": null})),
        ("aud", json!({"aud": "another"})),
        ("aud", json!({"aud": []})),
        ("aud", json!({"aud": ["another"]})),
        ("aud", json!({"aud": [CLIENT, "another"], "azp": CLIENT})),
        ("aud", json!({"aud": [CLIENT, CLIENT]})),
        ("aud", json!({"aud": {"0": CLIENT}})),
        ("azp", json!({"azp": "another"})),
        ("azp", json!({"azp": [CLIENT]})),
        ("exp", json!({"exp": null})),
        ("exp", json!({"exp": NOW - 61})),
        ("exp", json!({"exp": "2099-01-01"})),
        ("exp", json!({"exp": (NOW + 600).to_string()})),
        ("iat", json!({"iat": null})),
        ("iat", json!({"iat": NOW + 120})),
        ("iat", json!({"iat": NOW - 3600})),
        ("nbf", json!({"nbf": NOW + 120})),
        ("nbf", json!({"nbf": "soon"})),
        ("nonce", json!({"nonce": null})),
        ("nonce", json!({"nonce": "n-0S7"})),
        ("nonce", json!({"nonce": ""})),
        ("nonce", json!({"nonce": ["n-0S6"]})),
        ("sub", json!({"sub": null})),
        ("sub", json!({"sub": ""})),
        ("sub", json!({"sub": 248_289_761_001_u64})),
        ("sub", json!({"sub": "x".repeat(256)})),
    ];
    for (claim, changes) in cases {
        let token = signed(&rsa_header(), &but(&changes));
        assert_eq!(judge(&token), Err(IdTokenError::Claim(claim)), "{changes}");
    }
    for unclear in [json!("yes"), json!("TRUE"), json!(1), json!(null), json!(false), json!([true])] {
        let token = signed(&rsa_header(), &but(&json!({"email_verified": unclear})));
        assert!(!judge(&token).expect("who they are is clear").email_verified, "{unclear}");
    }
}

#[test]
fn no_signature_but_the_issuers_counts() {
    let claims = good().to_string();
    let of = |header: Value, sign: &dyn Fn(&str) -> Vec<u8>| raw(&header.to_string(), &claims, sign);
    let nothing = |_: &str| Vec::new();
    for none in ["none", "None", "NONE", "nOnE", ""] {
        assert_eq!(judge(&of(json!({"alg": none}), &nothing)), Err(IdTokenError::Algorithm), "{none}");
        let fits = of(json!({"alg": none, "kid": "rsa"}), &rs256);
        assert_eq!(judge(&fits), Err(IdTokenError::Algorithm), "{none}");
    }
    assert_eq!(judge(&of(json!({"kid": "rsa"}), &rs256)), Err(IdTokenError::Algorithm));
    assert_eq!(judge(&of(json!({"alg": ["RS256"]}), &rs256)), Err(IdTokenError::Algorithm));

    // The public key as an HMAC secret, in whatever form a library might take it.
    let jwk = rsa_jwk(&PAIRS.rsa, "rsa");
    let secrets = [
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().expect("a text").as_bytes().to_vec(),
        PAIRS.rsa.public_key().modulus().big_endian_without_leading_zero().to_vec(),
        PAIRS.rsa.public_key().as_ref().to_vec(),
        Vec::new(),
    ];
    for (alg, how) in
        [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        for secret in &secrets {
            let key = hmac::Key::new(how, secret);
            let sign = |m: &str| hmac::sign(&key, m.as_bytes()).as_ref().to_vec();
            assert_eq!(judge(&of(json!({"alg": alg, "kid": "rsa"}), &sign)), Err(IdTokenError::Algorithm));
        }
    }
    // Right keys, but in ways that are not on the list, or that say one thing and do another.
    let rs512 = |m: &str| rsa_with(&PAIRS.rsa, &RSA_PKCS1_SHA512, m);
    let ps256 = |m: &str| rsa_with(&PAIRS.rsa, &RSA_PSS_SHA256, m);
    assert_eq!(judge(&of(json!({"alg": "RS512", "kid": "rsa"}), &rs512)), Err(IdTokenError::Algorithm));
    assert_eq!(judge(&of(json!({"alg": "PS256", "kid": "rsa"}), &ps256)), Err(IdTokenError::Algorithm));
    assert_eq!(judge(&of(rsa_header(), &rs512)), Err(IdTokenError::Signature));
    assert_eq!(judge(&of(rsa_header(), &ps256)), Err(IdTokenError::Signature));
    assert_eq!(judge(&of(json!({"alg": "ES256", "kid": "rsa"}), &rs256)), Err(IdTokenError::UnknownKey));
    assert_eq!(judge(&of(json!({"alg": "ES256", "kid": "ec"}), &rs256)), Err(IdTokenError::Signature));
    // The signature of nothing: r = s = 0 (CVE-2022-21449).
    let zeros = |_: &str| vec![0; 64];
    assert_eq!(judge(&of(json!({"alg": "ES256", "kid": "ec"}), &zeros)), Err(IdTokenError::Signature));
    assert_eq!(judge(&of(json!({"alg": "EdDSA", "kid": "ed"}), &zeros)), Err(IdTokenError::Signature));
    assert_eq!(judge(&of(rsa_header(), &nothing)), Err(IdTokenError::Signature));
}

#[test]
fn a_token_brings_no_keys_along() {
    let theirs = |m: &str| rsa_with(&PAIRS.other_rsa, &RSA_PKCS1_SHA256, m);
    let own = rsa_jwk(&PAIRS.other_rsa, "theirs");
    let headers = [
        json!({"alg": "RS256", "jwk": own}),
        json!({"alg": "RS256", "kid": "rsa", "jwk": own}),
        json!({"alg": "RS256", "kid": "rsa", "jku": "https://evil.example/jwks.json"}),
        json!({"alg": "RS256", "kid": "rsa", "x5u": "https://evil.example/cert.pem"}),
        json!({"alg": "RS256", "kid": "rsa", "x5c": ["MIIB"]}),
    ];
    for header in headers {
        let token = raw(&header.to_string(), &good().to_string(), theirs);
        assert_eq!(judge(&token), Err(IdTokenError::Signature), "{header}");
    }
    for kid in ["theirs", "", "../../rsa", "rsa' OR '1'='1", "/dev/null"] {
        let token = raw(&json!({"alg": "RS256", "kid": kid}).to_string(), &good().to_string(), theirs);
        assert_eq!(judge(&token), Err(IdTokenError::UnknownKey), "{kid}");
    }
}

#[test]
fn what_has_two_meanings_or_none_is_refused() {
    let claims = good().to_string();
    let twice = claims.replacen('{', r#"{"sub":"root","#, 1);
    assert_eq!(judge(&raw(&rsa_header().to_string(), &twice, rs256)), Err(IdTokenError::Malformed));
    let two_algorithms = r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#;
    assert_eq!(judge(&raw(two_algorithms, &claims, rs256)), Err(IdTokenError::Malformed));
    for header in [
        json!({"alg": "RS256", "kid": "rsa", "crit": ["exp"]}),
        json!({"alg": "RS256", "kid": "rsa", "b64": false}),
        json!({"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}),
        json!({"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}),
        json!({"alg": "RS256", "kid": ["rsa"]}),
        json!(["RS256"]),
    ] {
        assert_eq!(judge(&signed(&header, &good())), Err(IdTokenError::Malformed), "{header}");
    }
    assert_eq!(judge(&raw(&rsa_header().to_string(), "[]", rs256)), Err(IdTokenError::Malformed));
    assert_eq!(
        judge(&raw(&rsa_header().to_string(), &"[".repeat(5000), rs256)),
        Err(IdTokenError::Malformed)
    );

    let fine = signed(&rsa_header(), &good());
    let (message, signature) = fine.rsplit_once('.').expect("three parts");
    for broken in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        message.to_owned(),
        format!("{message}."),
        format!("{fine}."),
        format!("{fine}.{signature}"),
        format!(" {fine}"),
        format!("{fine}\n"),
        format!("{fine}=="),
        format!("Bearer {fine}"),
        fine.replacen('.', "..", 1),
        json!({"payload": message, "signature": signature}).to_string(),
        signed(&rsa_header(), &but(&json!({"x": "y".repeat(16 * 1024)}))),
    ] {
        assert!(judge(&broken).is_err(), "{broken}");
    }
    // Not one character may change.
    for at in (0..fine.len()).step_by(7) {
        let mut bytes = fine.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(judge(std::str::from_utf8(&bytes).expect("text")).is_err(), "{at}");
    }
}
