//! Without SPIRE, with one that comes late, goes, or does not know us.

use http::StatusCode;
use serde_json::json;
use tappass_server::{Gateway, Server};
use tappass_testkit::spire::{Entry, TrustDomain, WorkloadApi};

use super::{AUDIENCE, Connection, HOUR, World, soon, with_spiffe};
use crate::client::{ADMIN_KEY, ask, get, setup};

#[tokio::test]
async fn agents_with_keys_go_on_while_spire_is_away() {
    let mut w = World::new().await;
    let (row, ready) = w.spire_status().await;
    assert_eq!(row["state"], "pass", "{row}");
    let detail = row["detail"].as_str().expect("a text");
    assert!(detail.contains("spiffe://corp.example/tappass until 20"), "{detail}");
    assert_eq!((ready.status.as_u16(), &ready.json()["checks"]["spire"]), (200, &json!("ok")));

    w.spire.pause().await;
    let (row, ready) = w.spire_status().await;
    assert_eq!(row["state"], "warn", "{row}");
    assert!(row["hint"].as_str().is_some_and(|hint| hint.contains("systemctl start spire-agent")), "{row}");
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(ready.json()["checks"]["spire"], "does not answer");
    // What was given holds until it expires.
    assert_eq!(w.call(&w.client.key).await.status, 200);
    let path = w.client.path("claims");
    assert_eq!(w.connect(&path).await.call().await.expect("an answer").0, StatusCode::OK);

    w.spire.resume().expect("listens");
    w.spire.rotate();
    let token = w.spire.domain(|domain| domain.token(&path, AUDIENCE, HOUR));
    assert!(soon(async || w.call(&token).await.status == 200).await, "it does not connect again");
    assert_eq!(w.spire_status().await.0["state"], "pass");
}

#[tokio::test]
async fn spire_may_come_later_than_the_gateway() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("agent.sock");
    let config = with_spiffe(format!("unix://{}", socket.display()), Vec::new());
    let running = Server::start_with(setup(config)).await.expect("starts without SPIRE");
    let gateway = Gateway::new(running.app.clone());
    let row = async || {
        let status =
            ask(&gateway, ADMIN_KEY, http::Method::GET, "/admin/status", serde_json::Value::Null).await;
        let checks = status.json()["checks"].as_array().expect("checks").clone();
        checks.into_iter().find(|check| check["name"] == "spire").expect("the row")
    };
    let before = row().await;
    assert_eq!(before["state"], "fail", "{before}");
    assert!(
        before["hint"].as_str().is_some_and(|hint| hint.contains(&*socket.to_string_lossy())),
        "{before}"
    );
    assert_eq!(get(&gateway, "/health/ready").await.status, 200);
    let mtls = running.mtls_addr.expect("an mTLS port");
    let domain = TrustDomain::new("corp.example");
    let (svid, bundle) = (domain.svid("/any", HOUR), domain.x509_bundle());
    assert!(Connection::open(mtls, Some(&svid), &bundle).await.is_err(), "no TLS without an SVID");
    let token = domain.token("/any", AUDIENCE, HOUR);
    let answer = ask(&gateway, &token, http::Method::POST, "/v1/chat/completions", super::hello()).await;
    assert_eq!(answer.status, 401);

    // There, and it knows no such workload.
    let nobody = Entry { path: None, expires_in: HOUR };
    let spire = WorkloadApi::start(&socket, domain, Vec::new(), nobody).expect("listens");
    let unknown = row().await;
    assert!(unknown["detail"].as_str().is_some_and(|text| text.contains("no identity")), "{unknown}");
    assert!(
        unknown["hint"].as_str().is_some_and(|hint| hint.contains("spire-server entry create")),
        "{unknown}"
    );

    spire.register(super::ours());
    assert!(soon(async || running.app.svids.tls().is_some()).await, "it never connects");
    let mut connection = Connection::open(mtls, Some(&svid), &bundle).await.expect("connects");
    assert_eq!(connection.call().await.expect("an answer").0, StatusCode::UNAUTHORIZED, "nobody's id");
    assert_eq!(row().await["state"], "pass");

    // The entry is deleted: what it gave is void.
    spire.register(Entry { path: None, expires_in: HOUR });
    let refused = async || match Connection::open(mtls, Some(&svid), &bundle).await {
        Ok(mut connection) => connection.call().await.is_err(),
        Err(_) => true,
    };
    assert!(soon(refused).await, "it goes on with what was taken back");
    assert_eq!(row().await["state"], "fail");
    running.shutdown().await;
}

#[tokio::test]
async fn without_a_socket_a_bundle_in_a_file_is_enough_for_tokens() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("bundle.json");
    let domain = TrustDomain::new("corp.example");
    std::fs::write(&file, domain.jwk_set(true).to_string()).expect("written");
    let mut config = with_spiffe(String::new(), Vec::new());
    config.spiffe.endpoint_socket = None;
    config.spiffe.mtls_port = None;
    config.spiffe.trust_domain = Some("corp.example".to_owned());
    config.spiffe.bundle_file = Some(file.clone());
    let app = crate::client::app(config.clone()).await;
    let gateway = Gateway::new(app);
    let (_, admin) = signed_up(&gateway).await;
    let made = ask(&gateway, &admin, http::Method::POST, "/agents/register", json!({"agent_id": "claims"}))
        .await
        .json();
    let path = format!("/agent/{}/claims", made["org_id"].as_str().expect("an id"));
    let call = async |token: String| {
        ask(&gateway, &token, http::Method::POST, "/v1/chat/completions", super::hello())
            .await
            .status
            .as_u16()
    };
    assert_eq!(call(domain.token(&path, AUDIENCE, HOUR)).await, 200);
    assert_eq!(call(TrustDomain::new("corp.example").token(&path, AUDIENCE, HOUR)).await, 401);
    assert_eq!(get(&gateway, "/health/ready").await.json()["checks"]["spire"], "ok");
    std::fs::write(&file, "{}").expect("written");
    let error = Box::pin(tappass_server::App::open(setup(config))).await.err().expect("refused").to_string();
    assert!(error.contains("bundle.json"), "{error}");
}

async fn signed_up(gateway: &Gateway) -> (String, String) {
    let body =
        json!({"email": "ciso@client.example", "password": "correct horse battery", "org_name": "Client"});
    let made = ask(gateway, "", http::Method::POST, "/auth/signup", body).await.json();
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    (text(&made["org"]["org_id"]), text(&made["session"]["token"]))
}
