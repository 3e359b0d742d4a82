//! What is set aside for a call and what comes back, through the front door: providers that fail, clients that leave,
//! many calls at once.

use std::time::Duration;

use axum::body::Body;
use futures_util::future::join_all;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tappass_testkit::Reply;

use crate::{
    client::{Answer, ask, request, send},
    scripted::Scripted,
};

/// An agent in enforce whose day's budget holds one call of 1000 tokens of `gpt-4o` (a cent), and not two.
async fn poor() -> Scripted {
    let s = Scripted::new(&[]).await;
    let file = json!({"preset": "starter", "overrides": {"budget": {"day_usd": 0.015}}});
    assert!(ask(&s.gateway, &s.admin, Method::PUT, "/pipelines/own", file).await.status.is_success());
    let own = json!({"pipeline": "own"});
    assert!(ask(&s.gateway, &s.admin, Method::PUT, "/agents/agent/pipeline", own).await.status.is_success());
    s.enforce().await;
    s
}

fn chat(s: &Scripted, stream: bool) -> Request<Body> {
    let body = json!({"model": "gpt-4o", "max_tokens": 1000, "stream": stream,
        "messages": [{"role": "user", "content": "hello"}]});
    request(Method::POST, "/v1/chat/completions")
        .header("authorization", format!("Bearer {}", s.key))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .expect("a request")
}

async fn call(s: &Scripted) -> Answer {
    send(&s.gateway, chat(s, false)).await
}

async fn left(s: &Scripted) -> bool {
    for _ in 0..500 {
        if s.last_call().await.is_some_and(|e| e["details"]["client_left"] == true) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn what_a_failing_provider_was_reserved_comes_back() {
    let s = poor().await;
    for _ in 0..3 {
        s.provider.push(Reply::status(400, "no"));
        assert_eq!(call(&s).await.status, 400);
    }
    for _ in 0..3 {
        assert_eq!(call(&s).await.status, 200, "each costs next to nothing");
    }
}

#[tokio::test]
async fn of_many_at_once_only_those_pass_that_fit() {
    let s = poor().await;
    s.provider.always(Reply::says("late").delay(Duration::from_millis(300)));
    let answers = join_all((0..8).map(|_| call(&s))).await;
    let passed = answers.iter().filter(|a| a.status == 200).count();
    let refused = answers.iter().filter(|a| a.status == 403 && a.json()["blocked_by"] == "budget").count();
    assert_eq!((passed, refused), (1, 7));
    assert_eq!(s.provider.requests().len(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_pays_what_had_come() {
    let s = poor().await;
    s.provider.push(Reply::chat_stream(&["one ", "two ", "three"]).stall_after(2));
    let mut body = s.gateway.call(chat(&s, true)).await.into_body();
    body.frame().await.expect("a frame").expect("data");
    drop(body);
    assert!(left(&s).await);
    let event = s.last_call().await.expect("recorded");
    assert_ne!(event["verdict"], Value::from("block"));
    assert_eq!(call(&s).await.status, 200, "the rest came back");
}
