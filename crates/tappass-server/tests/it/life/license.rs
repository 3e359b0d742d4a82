//! A licence decides who may register another agent, and about nothing else.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tappass_identity::{
    jws::SigningKey,
    license::{License, public_key_text},
};
use tappass_model::{Clock, Ids as _, SystemIds};
use tappass_server::{Config, Setup};
use tappass_testkit::ManualClock;

use crate::{
    client::{ADMIN_KEY, Answer, ask, config, setup},
    scripted::Scripted,
};

const DAY: i64 = 24 * 60 * 60;

/// A gateway with a licence that ends so many days from now, for so many agents; without one where there are no days.
async fn with(days: Option<i64>, agents: Option<u64>) -> Scripted {
    let clock = Arc::new(ManualClock::default());
    let now = clock.now().as_second();
    let key = SigningKey::from_seed(&[3; 32]);
    let license = days.map(|days| License {
        jti: SystemIds.uuid(),
        customer: "Client NV".to_owned(),
        plan: "Team".to_owned(),
        agents,
        features: Vec::new(),
        iat: now - 400 * DAY,
        exp: now + days * DAY,
    });
    let config = Config {
        license: license.map(|license| license.issue(&key)),
        license_public_key: Some(public_key_text(&key)),
        ..config()
    };
    Scripted::of(Setup { clock, ..setup(config) }, &[]).await
}

async fn register(s: &Scripted, n: u32) -> Answer {
    ask(&s.gateway, &s.admin, Method::POST, "/agents/register", json!({"agent_id": format!("more-{n}")}))
        .await
}

async fn governed(s: &Scripted) {
    let body = |text: &str| json!({"model": "gpt-x", "messages": [{"role": "user", "content": text}]});
    let call = |text: &'static str| ask(&s.gateway, &s.key, Method::POST, "/chat/completions", body(text));
    assert_eq!(call("Hello").await.status, 200);
    s.enforce().await;
    let asked = s.provider.requests().len();
    let refused = ask(&s.gateway, &s.key, Method::POST, "/chat/completions", {
        body(&format!("keep gh{}_{}", "p", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq"))
    });
    let refused = refused.await;
    let masked = refused.status == 200
        && !s.provider.last_request().is_some_and(|r| format!("{r:?}").contains("k7Qw2ZxT9"));
    assert!(refused.status == 403 || masked, "{refused:?}");
    assert!(s.provider.requests().len() >= asked);
}

async fn row(s: &Scripted) -> Value {
    let status = ask(&s.gateway, &s.admin, Method::GET, "/admin/status", Value::Null).await.json();
    status["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .find(|c| c["name"] == "license")
        .expect("a row")
        .clone()
}

async fn shown(s: &Scripted) -> Value {
    ask(&s.gateway, ADMIN_KEY, Method::GET, "/admin/license", Value::Null).await.json()
}

#[tokio::test]
async fn without_a_licence_a_few_agents_are_registered_and_all_go_on() {
    let s = with(None, None).await;
    for n in 0..4 {
        assert_eq!(register(&s, n).await.status, 201);
    }
    let refused = register(&s, 9).await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (403, Some("agent_limit")));
    assert!(
        refused.json()["detail"]
            .as_str()
            .is_some_and(|d| d.contains("5 agents") && d.contains("TAPPASS_LICENSE"))
    );
    governed(&s).await;
    let removed = ask(&s.gateway, &s.admin, Method::DELETE, "/agents/more-0", Value::Null).await;
    assert_eq!(removed.status, 204);
    assert_eq!(register(&s, 9).await.status, 201, "there is room again");
    let shown = shown(&s).await;
    assert_eq!(
        (&shown["standing"], &shown["agents"], &shown["registered"]),
        (&json!("development"), &json!(5), &json!(5))
    );
    assert_eq!(row(&s).await["state"], "pass");
}

#[tokio::test]
async fn a_licence_says_how_many() {
    let s = with(Some(90), Some(2)).await;
    assert_eq!(register(&s, 1).await.status, 201);
    assert_eq!(register(&s, 2).await.json()["code"], "agent_limit");
    let shown = shown(&s).await;
    assert_eq!((&shown["standing"], &shown["customer"]), (&json!("valid"), &json!("Client NV")));
    let row = row(&s).await;
    assert!(
        row["state"] == "pass" && !row.to_string().contains("Client"),
        "whose it is, is the operator's: {row}"
    );
    let any = with(Some(90), None).await;
    for n in 0..7 {
        assert_eq!(register(&any, n).await.status, 201);
    }
}

#[tokio::test]
async fn an_expired_one_holds_on_with_a_warning() {
    let s = with(Some(-29), None).await;
    assert_eq!(register(&s, 1).await.status, 201);
    let row = row(&s).await;
    assert!(row["state"] == "warn" && row["hint"].is_string(), "{row}");
    assert_eq!(shown(&s).await["standing"], "grace");
    governed(&s).await;
}

#[tokio::test]
async fn whatever_the_licence_calls_are_governed() {
    for days in [-31, -3000] {
        let s = expired(days).await;
        let refused = register(&s, 1).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["code"].as_str()),
            (403, Some("license_expired")),
            "{refused:?}"
        );
        governed(&s).await;
        let key = ask(&s.gateway, &s.admin, Method::POST, "/agents/agent/keys", Value::Null).await;
        assert_eq!(key.status, 201, "keys of those that are there are made as ever");
        assert_eq!(
            (&shown(&s).await["standing"], &row(&s).await["state"]),
            (&json!("expired"), &json!("warn"))
        );
    }
}

/// A gateway whose licence held when its agent was registered, and has expired since.
async fn expired(days: i64) -> Scripted {
    let clock = Arc::new(ManualClock::default());
    let key = SigningKey::from_seed(&[3; 32]);
    let now = clock.now().as_second();
    let license = License {
        jti: SystemIds.uuid(),
        customer: "Client NV".to_owned(),
        plan: "Team".to_owned(),
        agents: None,
        features: Vec::new(),
        iat: now,
        exp: now + DAY,
    };
    let config = Config {
        license: Some(license.issue(&key)),
        license_public_key: Some(public_key_text(&key)),
        ..config()
    };
    let s = Scripted::of(Setup { clock: clock.clone(), ..setup(config) }, &[]).await;
    clock.advance(std::time::Duration::from_secs(((1 - days) * DAY).unsigned_abs()));
    // Its admin's session has ended meanwhile.
    let body = json!({"email": "ciso@client.example", "password": "correct horse battery"});
    let again = ask(&s.gateway, "", Method::POST, "/auth/login", body).await.json();
    let admin = again["session"]["token"].as_str().expect("a token").to_owned();
    Scripted { admin, ..s }
}

#[tokio::test]
async fn what_is_no_licence_is_as_none() {
    let config = Config { license: Some("enterprise".to_owned()), license_public_key: None, ..config() };
    let s = Scripted::of(setup(config), &[]).await;
    assert_eq!(shown(&s).await["standing"], "invalid");
    assert_eq!(row(&s).await["state"], "warn");
    for n in 0..4 {
        assert_eq!(register(&s, n).await.status, 201);
    }
    assert_eq!(register(&s, 4).await.json()["code"], "agent_limit");
    governed(&s).await;
}
