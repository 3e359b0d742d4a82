//! Embeddings at their edges: rows of the trace, faults of the provider, what was asked again.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use tappass_testkit::Reply;

use crate::{
    client::{Answer, request, send},
    scripted::Scripted,
};

fn ask(key: &str, body: &Value) -> Request<Body> {
    request(Method::POST, "/v1/embeddings")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("x-tappass-trace", "1")
        .body(Body::from(body.to_string()))
        .expect("a request")
}

async fn embed(s: &Scripted) -> Answer {
    let body = json!({"model": "text-embedding-3-small", "input": ["one", "two"]});
    send(&s.gateway, ask(&s.key, &body)).await
}

#[tokio::test]
async fn the_answer_comes_as_it_was_and_the_trace_says_what_does_not_apply() {
    let s = Scripted::new(&[]).await;
    let sent = json!({"object": "list", "data": [
        {"object": "embedding", "index": 0, "embedding": [0.30000000000000004, -1e-9, 5]},
        {"object": "embedding", "index": 1, "embedding": "AACAPw=="}],
        "model": "text-embedding-3-small", "usage": {"prompt_tokens": 3, "total_tokens": 3}});
    s.provider.push(Reply::answer(sent.clone()));
    let answer = embed(&s).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.header("x-tappass-classification").is_empty());
    let mut body = answer.json();
    let tappass = body.as_object_mut().expect("an object").shift_remove("tappass").expect("ours");
    assert_eq!(body.to_string(), sent.to_string());
    let rows = tappass["steps"].as_array().expect("rows");
    let row = |step: &str| rows.iter().find(|row| row["step"] == step).expect("a row");
    for step in ["scan_output", "call_tool"] {
        assert_eq!(row(step)["action"], "skip");
        assert_eq!(row(step)["message"], "does not apply: the answer has no text");
    }
    assert!(row("cost_tracking")["message"].as_str().is_some_and(|m| m.starts_with("3 tokens read")));
    assert_eq!(row("detect_pii")["action"], "allow");
    let event = s.last_call().await.expect("recorded");
    assert_eq!(event["tokens"], json!({"prompt_tokens": 3, "completion_tokens": 0}));
}

#[tokio::test]
async fn a_providers_error_is_passed_on_and_recorded() {
    let s = Scripted::new(&[("TAPPASS_PROVIDER_IDLE_TIMEOUT", "1")]).await;
    for (reply, status, code) in [
        (Reply::status(429, "slow down").retry_after(7), 429, Value::Null),
        (Reply::status(500, "down"), 500, Value::Null),
        (Reply::answer(json!({"data": [{"embedding": "no vector"}]})), 502, json!("provider_garbled")),
        (Reply::wrong_content_type(), 502, json!("provider_garbled")),
        (Reply::says("").stall_after(0), 504, json!("provider_timeout")),
    ] {
        s.provider.always(reply);
        let answer = embed(&s).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        let body = answer.json();
        assert_eq!(body["error"]["code"], code, "{body}");
        assert!(body["error"]["message"].is_string() && body["tappass"].is_object(), "{body}");
        assert_eq!(answer.header("x-should-retry"), "", "no policy decision");
        if status == 429 {
            assert_eq!(answer.header("retry-after"), "7");
        }
        let event = s.last_call().await.expect("recorded");
        assert!(event["details"]["provider_error"].is_string() && event["cost_usd"].is_null(), "{event}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_the_dialect() {
    let s = Scripted::new(&[]).await;
    for (body, place) in [
        (json!({"model": "m"}), "`input`"),
        (json!({"model": "m", "input": []}), "`input`"),
        (json!({"model": "m", "input": [null]}), "`input[0]`"),
        (json!({"model": "m", "input": "x", "dimensions": -1}), "`dimensions`"),
    ] {
        let answer = send(&s.gateway, ask(&s.key, &body)).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        let error = answer.json()["error"].take();
        assert!(error["message"].as_str().is_some_and(|m| m.starts_with(place)), "{error}");
        assert_eq!(error["code"], "invalid_request");
    }
    assert_eq!(send(&s.gateway, ask("tp_nobody", &json!({}))).await.status, 401);
    assert_eq!(s.provider.connections(), 0);
}
