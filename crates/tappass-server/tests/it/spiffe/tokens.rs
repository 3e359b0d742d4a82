//! JWT-SVIDs as bearer tokens, and everything that only looks like one.

use aws_lc_rs::hmac;
use http::Method;
use serde_json::{Value, json};
use tappass_testkit::spire::{TrustDomain, jws, jwt, now};

use super::{AUDIENCE, HOUR, World, soon};
use crate::client::ask;

#[tokio::test]
async fn a_token_is_its_agent() {
    let w = World::new().await;
    let token = w.spire.domain(|domain| domain.token(&w.client.path("claims"), AUDIENCE, HOUR));
    for _ in 0..2 {
        let answer = w.call(&token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let id = w.spire.domain(|domain| domain.id(&w.client.path("claims")));
    let (agent, authentication) = w.last_authentication(&w.client).await;
    assert_eq!((agent.as_str(), authentication), ("claims", json!({"method": "jwt_svid", "spiffe_id": id})));
    let answer = ask(&w.gateway, &token, Method::GET, "/agents", Value::Null).await;
    assert_eq!(answer.status, 403, "an agent is no person");
    w.suspend(&w.client).await;
    let answer = w.call(&token).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text.contains("agent_suspended"), "{answer:?}");
}

#[tokio::test]
async fn a_token_that_is_remembered_expires_all_the_same() {
    let w = World::new().await;
    let token = w.spire.domain(|domain| domain.token(&w.client.path("claims"), AUDIENCE, 3));
    assert!(soon(async || w.call(&token).await.status == 401).await, "it never expires");
}

#[tokio::test]
async fn what_only_looks_like_a_token_of_ours_is_nobody() {
    let w = World::federated(&["partner.example", "elsewhere.example"]).await;
    let id = w.spire.domain(|domain| domain.id(&w.client.path("claims")));
    let header = w.spire.domain(TrustDomain::header);
    let claims = json!({"sub": id, "aud": [AUDIENCE], "exp": now() + HOUR, "iat": now()});
    let sign = |header: &Value, claims: &Value| w.spire.domain(|domain| domain.sign(header, claims));
    let with = |base: &Value, key: &str, value: Value| {
        let mut changed = base.clone();
        changed[key] = value;
        changed
    };
    let without = |base: &Value, key: &str| {
        let mut changed = base.clone();
        changed.as_object_mut().expect("an object").remove(key);
        changed
    };
    let good = sign(&header, &claims);
    assert_eq!(w.call(&good).await.status, 200);
    let (signed, signature) = good.rsplit_once('.').expect("a token");
    let by_secret = |header: &Value, secret: &[u8]| {
        jws(header, &claims, |text| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text).as_ref().to_vec()
        })
    };
    let hs256 = with(&header, "alg", json!("HS256"));
    let set = w.spire.bundle_file();
    let point = w.spire.domain(TrustDomain::public_point);
    // A key of the attacker's, which the token brings along.
    let evil = TrustDomain::new("corp.example");
    let jwk = evil.jwk_set(false)["keys"][0].clone();
    let wrong: Vec<(&str, String)> = vec![
        ("no signature", format!("{signed}.")),
        ("alg none", format!("{}.", jwt(&with(&header, "alg", json!("none")), &claims))),
        ("alg None, signed", sign(&with(&header, "alg", json!("None")), &claims)),
        ("HS256 by the public key", by_secret(&hs256, &point)),
        ("HS256 by the key's text", by_secret(&hs256, set["keys"][0]["x"].as_str().expect("x").as_bytes())),
        ("HS256 by the bundle", by_secret(&hs256, set["keys"][0].to_string().as_bytes())),
        ("HS256 by nothing", by_secret(&hs256, b"")),
        ("alg RS256 for a key that is none", sign(&with(&header, "alg", json!("RS256")), &claims)),
        ("alg ES384 for another curve", sign(&with(&header, "alg", json!("ES384")), &claims)),
        ("no alg", sign(&without(&header, "alg"), &claims)),
        ("no kid", sign(&without(&header, "kid"), &claims)),
        ("an unknown kid", sign(&with(&header, "kid", json!("other")), &claims)),
        ("a kid that is a path", sign(&with(&header, "kid", json!("../../etc/passwd")), &claims)),
        ("its own key in the header", evil.sign(&with(&header, "jwk", jwk), &claims)),
        ("a header jwk, signed well", sign(&with(&header, "jwk", json!({})), &claims)),
        (
            "a key's address in the header",
            evil.sign(&with(&header, "jku", json!("https://evil.example/k")), &claims),
        ),
        ("a certificate in the header", evil.sign(&with(&header, "x5c", json!(["AA"])), &claims)),
        ("something critical", sign(&with(&header, "crit", json!(["exp"])), &claims)),
        ("another typ", sign(&with(&header, "typ", json!("at+jwt")), &claims)),
        ("signed by another of the same name", evil.sign(&header, &claims)),
        ("another audience", sign(&header, &with(&claims, "aud", json!(["https://other.example"])))),
        ("no audience", sign(&header, &without(&claims, "aud"))),
        ("an empty audience", sign(&header, &with(&claims, "aud", json!([])))),
        (
            "an audience that begins as ours",
            sign(&header, &with(&claims, "aud", json!([format!("{AUDIENCE}.evil.example")]))),
        ),
        ("expired", sign(&header, &with(&claims, "exp", json!(now() - 1)))),
        ("no expiry", sign(&header, &without(&claims, "exp"))),
        ("an expiry in words", sign(&header, &with(&claims, "exp", json!("never")))),
        ("not yet valid", sign(&header, &with(&claims, "nbf", json!(now() + HOUR)))),
        ("no subject", sign(&header, &without(&claims, "sub"))),
        ("a subject that is no id", sign(&header, &with(&claims, "sub", json!("claims")))),
        (
            "a subject of a trust domain that is not accepted",
            sign(&header, &with(&claims, "sub", json!(id.replace("corp.", "elsewhere.")))),
        ),
        (
            "a subject of a federated trust domain",
            sign(&header, &with(&claims, "sub", json!(id.replace("corp.", "partner.")))),
        ),
        ("a subject nobody has", sign(&header, &with(&claims, "sub", json!("spiffe://corp.example/other")))),
        ("a trust domain's id", sign(&header, &with(&claims, "sub", json!("spiffe://corp.example")))),
        (
            "a token of a trust domain that SPIRE federates with and we do not accept",
            w.spire.foreign("elsewhere.example", |d| d.token(&w.client.path("claims"), AUDIENCE, HOUR)),
        ),
        (
            "a subject of ours, signed by a federated trust domain",
            w.spire.foreign("partner.example", |d| d.sign(&d.header(), &claims)),
        ),
        ("the signature of another token", {
            let other = sign(&header, &with(&claims, "iat", json!(0)));
            format!("{}.{signature}", other.rsplit_once('.').expect("a token").0)
        }),
        ("one part more", format!("{good}.{signature}")),
        ("padding", format!("{good}=")),
        ("very long", format!("{signed}{}.{signature}", "A".repeat(20_000))),
        ("dots", "..".to_owned()),
    ];
    for (what, token) in &wrong {
        let answer = w.call(token).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
    }
    assert_eq!(w.call(&good).await.status, 200);
}

#[tokio::test]
async fn a_token_of_a_federated_trust_domain_is_for_its_organisations() {
    let w = World::federated(&["partner.example"]).await;
    let call = async |path: &str| {
        let token = w.spire.foreign("partner.example", |domain| domain.token(path, AUDIENCE, HOUR));
        w.call(&token).await.status.as_u16()
    };
    assert_eq!(call(&w.client.path("claims")).await, 200);
    assert_eq!(call(&w.other.path("claims")).await, 401);
    // SPIRE no longer federates with it.
    w.spire.federate(Vec::new());
    let token = TrustDomain::new("partner.example").token(&w.client.path("claims"), AUDIENCE, HOUR);
    assert_eq!(w.call(&token).await.status, 401);
}

#[tokio::test]
async fn a_token_ends_with_the_key_that_signed_it() {
    let w = World::new().await;
    let token = || w.spire.domain(|domain| domain.token(&w.client.path("claims"), AUDIENCE, HOUR));
    let old = token();
    assert_eq!(w.call(&old).await.status, 200);
    w.spire.rotate();
    let new = token();
    assert!(soon(async || w.call(&new).await.status == 200).await, "the new key is not noticed");
    assert_eq!(w.call(&old).await.status, 200, "the old key is still trusted");
    w.spire.drop_old_keys();
    assert!(soon(async || w.call(&old).await.status == 401).await, "remembered beyond its key");
    assert_eq!(w.call(&new).await.status, 200);
}
