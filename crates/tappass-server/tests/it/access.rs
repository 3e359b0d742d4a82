//! Who may reach what, where scenarios cannot tell: streams, the provider's line, many calls at once in one session.

use axum::body::Body;
use futures_util::future::join_all;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::{
    client::{ask, request, send},
    scripted::{Scripted, events},
};

async fn governed(env: &[(&'static str, &'static str)], overrides: Value) -> Scripted {
    let s = Scripted::new(env).await;
    let file = json!({"preset": "starter", "overrides": overrides});
    let put = ask(&s.gateway, &s.admin, Method::PUT, "/pipelines/own", file).await;
    assert!(put.status.is_success(), "{put:?}");
    let own = json!({"pipeline": "own"});
    assert!(ask(&s.gateway, &s.admin, Method::PUT, "/agents/agent/pipeline", own).await.status.is_success());
    s.enforce().await;
    s
}

fn chat(s: &Scripted, session: &str, body: &Value) -> Request<Body> {
    request(Method::POST, "/v1/chat/completions")
        .header("authorization", format!("Bearer {}", s.key))
        .header("content-type", "application/json")
        .header("x-tappass-session", session)
        .body(Body::from(body.to_string()))
        .expect("a request")
}

#[tokio::test]
async fn a_streamed_tool_call_waits_and_is_withheld() {
    let s = governed(&[], json!({"scan_tool_calls": {}})).await;
    let tool =
        json!({"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}});
    for (path, passes) in [("src/a.rs", true), ("~/.ssh/id_rsa", false)] {
        let text = format!("call read_file {{\"path\": \"{path}\"}}");
        let body = json!({"model": "builtin", "stream": true, "tools": [tool],
            "messages": [{"role": "user", "content": text}]});
        let answer = send(&s.gateway, chat(&s, "s", &body)).await;
        assert_eq!(answer.text.contains("\"tool_calls\""), passes, "{}", answer.text);
        let last = events(&answer.text).pop().expect("an event");
        assert_eq!(last["tappass"]["blocked"], !passes, "{last}");
        if !passes {
            assert_eq!(last["tappass"]["blocked_by"], "scan_tool_calls");
        }
    }
}

#[tokio::test]
async fn where_data_stays_in_the_eu_nothing_else_is_called_whatever_the_pipeline() {
    let s = Scripted::new(&[("TAPPASS_EU_DATA_RESIDENCY", "1"), ("OPENAI_REGION", "us")]).await;
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]});
    let answer = send(&s.gateway, chat(&s, "s", &body)).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.json()["error"]["message"].as_str().is_some_and(|m| m.contains("OPENAI_REGION=eu")));
    let s = governed(
        &[("TAPPASS_EU_DATA_RESIDENCY", "1"), ("OPENAI_REGION", "us")],
        json!({"model_routing": {}}),
    )
    .await;
    let answer = send(&s.gateway, chat(&s, "s", &body)).await;
    assert_eq!((answer.status.as_u16(), answer.json()["blocked_by"].clone()), (403, json!("model_routing")));
    assert_eq!(s.provider.connections(), 0, "not a byte leaves");
}

#[tokio::test]
async fn of_many_first_calls_of_one_session_only_one_matter_passes() {
    let s = governed(&[], json!({"isolate_context": {}})).await;
    let calls = (0..10).map(|i| {
        let body = json!({"model": "gpt-4o", "metadata": {"matter": format!("m{}", i % 5)},
            "messages": [{"role": "user", "content": format!("about m{}", i % 5)}]});
        send(&s.gateway, chat(&s, "shared", &body))
    });
    let passed = join_all(calls).await.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(passed, 2, "the two of the matter that was first");
    let mut matters: Vec<Value> = s
        .provider
        .requests()
        .iter()
        .map(|r| serde_json::from_slice::<Value>(&r.body).expect("JSON")["metadata"]["matter"].clone())
        .collect();
    matters.dedup();
    assert_eq!(matters.len(), 1, "{matters:?}");
}
