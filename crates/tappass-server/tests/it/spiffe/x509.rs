//! X.509-SVIDs on the mTLS port: who gets in, who does not, and what a rotation leaves in peace.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use rcgen::{BasicConstraints, IsCa, KeyUsagePurpose, SanType};
use serde_json::{Value, json};
use tappass_identity::PeerSvid;
use tappass_testkit::spire::{Svid, TrustDomain};

use super::{HOUR, World, hello, soon};
use crate::client::{ask, send};

#[tokio::test]
async fn a_workload_is_its_agent() {
    let w = World::new().await;
    let mut connection = w.connect(&w.client.path("claims")).await;
    let (status, text) = connection.call().await.expect("an answer");
    assert_eq!(status, StatusCode::OK, "{text}");
    let (agent, authentication) = w.last_authentication(&w.client).await;
    assert_eq!(agent, "claims");
    let id = w.spire.domain(|domain| domain.id(&w.client.path("claims")));
    assert_eq!(authentication, json!({"method": "x509_svid", "spiffe_id": id}));
    // With a key it is the key that is named.
    assert_eq!(w.call(&w.client.key).await.status, 200);
    let (_, authentication) = w.last_authentication(&w.client).await;
    assert_eq!(authentication["method"], "api_key");
    assert!(authentication["key_id"].is_string());
    // The other organisation's agent of the same name is another.
    let (status, _) = w.connect(&w.other.path("claims")).await.call().await.expect("an answer");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        w.last_authentication(&w.other).await.1["spiffe_id"],
        w.spire.domain(|d| d.id(&w.other.path("claims")))
    );
}

/// Whether a client with this SVID gets any answer at all.
async fn gets_in(w: &World, svid: Option<&Svid>) -> bool {
    match w.connect_with(svid).await {
        Ok(mut connection) => connection.call().await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn who_shows_no_good_certificate_gets_no_answer() {
    let w = World::federated(&["partner.example", "elsewhere.example"]).await;
    let path = w.client.path("claims");
    let id = w.spire.domain(|domain| domain.id(&path));
    let ours = |expires_in, change: &dyn Fn(&mut rcgen::CertificateParams)| {
        w.spire.domain(|domain| domain.signed(&id, expires_in, |params| change(params)))
    };
    assert!(gets_in(&w, Some(&ours(HOUR, &|_| {}))).await, "a good one");
    assert!(!gets_in(&w, None).await, "none");
    let wrong: Vec<(&str, Svid)> = vec![
        ("expired", ours(-60, &|_| {})),
        (
            "not yet valid",
            ours(3 * HOUR, &|p| p.not_before = p.not_after - std::time::Duration::from_secs(60)),
        ),
        (
            "an authority's",
            ours(HOUR, &|p| {
                p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                p.key_usages.push(KeyUsagePurpose::KeyCertSign);
            }),
        ),
        (
            "two ids",
            ours(HOUR, &|p| {
                let other = SanType::URI("spiffe://corp.example/another".try_into().expect("ASCII"));
                p.subject_alt_names.push(other);
            }),
        ),
        (
            "no id",
            ours(HOUR, &|p| {
                p.subject_alt_names =
                    vec![SanType::DnsName("claims.corp.example".try_into().expect("ASCII"))];
            }),
        ),
        ("a trust domain and no workload", w.spire.domain(|d| d.signed(&d.id(""), HOUR, |_| {}))),
        ("made by a trust domain of the same name", TrustDomain::new("corp.example").svid(&path, HOUR)),
        ("of an unknown trust domain", TrustDomain::new("evil.example").svid(&path, HOUR)),
        (
            "of a trust domain that SPIRE federates with and we do not accept",
            w.spire.foreign("elsewhere.example", |d| d.svid(&path, HOUR)),
        ),
        (
            "an id of ours by a federated trust domain",
            w.spire.foreign("partner.example", |d| d.signed(&id, HOUR, |_| {})),
        ),
    ];
    for (what, svid) in &wrong {
        assert!(!gets_in(&w, Some(svid)).await, "{what}");
    }
    // Its key belongs to another certificate.
    let (one, other) = (ours(HOUR, &|_| {}), ours(HOUR, &|_| {}));
    let stolen = Svid { certificate: one.certificate, ..other };
    assert!(!gets_in(&w, Some(&stolen)).await, "somebody else's certificate");
    assert!(gets_in(&w, Some(&ours(HOUR, &|_| {}))).await, "a good one still");
}

#[tokio::test]
async fn an_unknown_workload_is_nobody_whatever_else_it_shows() {
    let w = World::new().await;
    let key = format!("Bearer {}", w.client.key);
    let admin = format!("Bearer {}", w.client.admin);
    for path in ["/agent/nobody/claims", "/ns/prod/sa/claims", &w.client.path("unknown"), "/tappass"] {
        let mut connection = w.connect(path).await;
        for headers in [&[][..], &[("authorization", key.as_str())], &[("x-api-key", w.client.key.as_str())]]
        {
            let (status, text) = connection.call_with(headers).await.expect("an answer");
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {headers:?}: {text}");
        }
        let (_, text) = connection.call().await.expect("an answer");
        assert!(text.contains(path), "{text}");
    }
    // A known one stays what it is beside an admin's session.
    let mut connection = w.connect(&w.client.path("claims")).await;
    let request = Request::get("/agents").header("host", "x").header("authorization", admin);
    let answer =
        connection.request(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_suspended_agent_is_refused_on_the_open_connection() {
    let w = World::new().await;
    let mut connection = w.connect(&w.client.path("claims")).await;
    assert_eq!(connection.call().await.expect("an answer").0, StatusCode::OK);
    w.suspend(&w.client).await;
    let (status, text) = connection.call().await.expect("an answer");
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(text.contains("agent_suspended"), "{text}");
    let removed = ask(&w.gateway, &w.client.admin, Method::DELETE, "/agents/claims", Value::Null).await;
    assert_eq!(removed.status, 204);
    assert_eq!(connection.call().await.expect("an answer").0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_connection_outlives_its_certificate_for_nobody() {
    let w = World::new().await;
    let svid = w.spire.domain(|domain| domain.svid(&w.client.path("claims"), HOUR));
    let peer = PeerSvid::of(&svid.certificate).expect("an SVID");
    let call = async |peer: PeerSvid| {
        let request =
            Request::post("/v1/chat/completions").header("content-type", "application/json").extension(peer);
        send(&w.gateway, request.body(Body::from(hello().to_string())).expect("a request")).await
    };
    assert_eq!(call(peer.clone()).await.status, 200);
    let past = PeerSvid { expires_at: w.app().clock.now(), ..peer };
    let answer = call(past).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(answer.text.contains("expired"), "{answer:?}");
}

#[tokio::test]
async fn a_rotation_breaks_nothing() {
    let mut w = World::new().await;
    let path = w.client.path("claims");
    let mut before = w.connect(&path).await;
    let (first, old) = (before.server.clone(), w.spire.domain(|domain| domain.svid(&path, HOUR)));
    assert_eq!(before.call().await.expect("an answer").0, StatusCode::OK);
    // A stream that is open while SPIRE rotates.
    let mut streaming = w.connect(&path).await;
    let request = Request::get("/stream").header("host", "x").body(Body::empty()).expect("a request");
    let mut stream = streaming.request(request).await.expect("an answer").into_body();
    w.pieces.send("before ".into()).await.expect("open");
    let piece = stream.frame().await.expect("a piece").expect("a piece");
    assert_eq!(piece.into_data().expect("data"), "before ");

    w.spire.rotate();
    let shows_another = async || w.connect(&path).await.server != first;
    assert!(soon(shows_another).await, "the gateway goes on showing its old certificate");
    assert_eq!(before.call().await.expect("an answer").0, StatusCode::OK, "the connection from before");
    let mut with_old = w.connect_with(Some(&old)).await.expect("connects");
    assert_eq!(with_old.call().await.expect("an answer").0, StatusCode::OK, "its authority is still trusted");

    w.spire.drop_old_keys();
    assert!(soon(async || !gets_in(&w, Some(&old)).await).await, "an authority that is trusted no more");
    assert_eq!(w.connect(&path).await.call().await.expect("an answer").0, StatusCode::OK);

    w.pieces.send("after".into()).await.expect("still open");
    w.pieces = tokio::sync::mpsc::channel(1).0;
    let rest = stream.collect().await.expect("the stream goes on").to_bytes();
    assert_eq!(rest, "after");
}

#[tokio::test]
async fn a_federated_trust_domain_is_for_its_organisations() {
    let w = World::federated(&["partner.example"]).await;
    let call = async |path: &str| {
        let svid = w.spire.foreign("partner.example", |domain| domain.svid(path, HOUR));
        w.connect_with(Some(&svid)).await.expect("connects").call().await.expect("an answer").0
    };
    assert_eq!(call(&w.client.path("claims")).await, StatusCode::OK);
    assert_eq!(call(&w.other.path("claims")).await, StatusCode::UNAUTHORIZED, "not theirs");
    let set = w.change(&w.client, json!({"spiffe_id": "spiffe://partner.example/ns/claims"})).await;
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!(call("/ns/claims").await, StatusCode::OK);
    assert_eq!(call(&w.client.path("claims")).await, StatusCode::UNAUTHORIZED, "it has an id of its own");
}
