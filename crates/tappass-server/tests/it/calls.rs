//! Governed calls at their edges: what is passed on, clients that leave, providers that fail, input that is bad.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tappass_testkit::Reply;

use crate::{
    client::{Answer, ask, request, send},
    scripted::{Scripted, events},
};

fn chat(key: &str, body: impl Into<Body>) -> Request<Body> {
    request(Method::POST, "/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(body.into())
        .expect("a request")
}

fn hello(more: &Value) -> String {
    let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body.to_string()
}

async fn say_hello(s: &Scripted) -> Answer {
    send(&s.gateway, chat(&s.key, hello(&json!({})))).await
}

/// Asks again until it is so, or five seconds have passed.
pub async fn eventually<F: Future<Output = bool>>(mut so: impl FnMut() -> F) -> bool {
    for _ in 0..500 {
        if so().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn what_the_client_sent_is_what_the_provider_gets() {
    let s = Scripted::new(&[]).await;
    // Keys out of alphabetical order, floats that do not survive sloppy parsers, fields of tomorrow, images, tools.
    let sent = r#"{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"text","text":"é😀\u0007 \"quoted\""},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}],"temperature":0.1,"top_p":0.30000000000000004,"n":2,"tools":[{"type":"function","function":{"name":"z","parameters":{"type":"object","properties":{"zulu":{"type":"string"},"alpha":{"type":"integer"}}}}}],"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object","properties":{"second":{},"first":{}}}}},"field_of_tomorrow":{"b":1,"a":[null,true]}}"#;
    let answer = send(&s.gateway, chat(&s.key, sent)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let got = s.provider.last_request().expect("a request");
    let value: Value = serde_json::from_str(sent).expect("JSON");
    assert_eq!(String::from_utf8_lossy(&got.body), value.to_string());
    assert_eq!(
        got.header("authorization"),
        Some("Bearer sk-scripted"),
        "the provider's key, not the agent's"
    );
    assert!(!got.headers.iter().any(|(_, value)| value.contains(&s.key)));
}

#[tokio::test]
async fn a_leading_v1_may_stand_there_or_not() {
    let s = Scripted::new(&[]).await;
    for path in ["/chat/completions", "/v1/chat/completions", "/v1/v1/chat/completions"] {
        let answer = ask(
            &s.gateway,
            &s.key,
            Method::POST,
            path,
            serde_json::from_str(&hello(&json!({}))).expect("JSON"),
        )
        .await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.json()["tappass"].is_object());
    }
}

#[tokio::test]
async fn the_models_of_the_builtin_provider_are_listed() {
    let s = Scripted::new(&[("TAPPASS_DEFAULT_PROVIDER", "builtin")]).await;
    let models = ask(&s.gateway, &s.key, Method::GET, "/v1/models", Value::Null).await.json();
    assert_eq!(models["object"], "list");
    assert!(
        models["data"].as_array().expect("a list").iter().any(|m| m["owned_by"] == "builtin"),
        "{models}"
    );
}

#[tokio::test]
async fn sessions_count_their_turns() {
    let s = Scripted::new(&[]).await;
    let turn = |answer: Answer| answer.json()["tappass"]["turn_index"].as_u64();
    for expected in [1, 2] {
        let body = hello(&json!({"metadata": {"session_id": "matter-7"}}));
        let answer = send(&s.gateway, chat(&s.key, body)).await;
        assert_eq!(answer.json()["tappass"]["session_id"], "matter-7");
        assert_eq!(turn(answer), Some(expected));
    }
    assert_eq!(turn(say_hello(&s).await), Some(1), "another session");
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_the_provider_and_is_recorded() {
    let s = Scripted::new(&[]).await;
    s.provider.always(Reply::chat_stream(&["one ", "two ", "three"]).stall_after(2));
    let mut body = s.gateway.call(chat(&s.key, hello(&json!({"stream": true})))).await.into_body();
    let first = body.frame().await.expect("a frame").expect("data").into_data().expect("data");
    assert!(first.starts_with(b"data: "));
    drop(body);
    assert!(s.provider.disconnected().await, "the provider's call is cancelled");
    let recorded = || async { s.last_call().await.is_some_and(|e| e["details"]["client_left"] == true) };
    assert!(eventually(recorded).await, "{:?}", s.last_call().await);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_recorded_too() {
    let s = Scripted::new(&[]).await;
    s.provider.always(Reply::says("late").delay(Duration::from_secs(60)));
    {
        let waiting = s.gateway.call(chat(&s.key, hello(&json!({}))));
        let arrived = s.provider.received(1);
        tokio::select! {
            _ = waiting => panic!("it cannot have been answered"),
            arrived = arrived => assert!(arrived),
        }
    }
    assert!(s.provider.disconnected().await);
    let recorded = || async { s.last_call().await.is_some_and(|e| e["details"]["client_left"] == true) };
    assert!(eventually(recorded).await);
}

#[tokio::test]
async fn a_providers_error_is_passed_on_as_what_it_is() {
    let s = Scripted::new(&[]).await;
    for (theirs, ours) in [(400, 400), (404, 404), (429, 429), (500, 500), (401, 502), (403, 502)] {
        s.provider.push(Reply::status(theirs, "as the provider put it").retry_after(7));
        let answer = say_hello(&s).await;
        assert_eq!(answer.status, ours, "{theirs}: {}", answer.text);
        let body = answer.json();
        assert!(body["error"]["message"].as_str().expect("a message").contains("as the provider put it"));
        assert_ne!(body["error"]["type"], "policy_block");
        assert!(body["tappass"].is_object());
        if theirs == 429 {
            assert_eq!(answer.header("retry-after"), "7");
        }
        let event = s.last_call().await.expect("recorded");
        // Its words can quote the prompt: they are for the caller, not for the log.
        assert_eq!(event["details"]["provider_error"], format!("openai answered {theirs}"));
    }
}

#[tokio::test]
async fn a_provider_that_garbles_stalls_or_is_away_is_a_502_or_504() {
    let s = Scripted::new(&[("TAPPASS_PROVIDER_ANSWER_TIMEOUT", "1")]).await;
    s.provider.push(Reply::wrong_content_type());
    assert_eq!(say_hello(&s).await.status, 502);
    s.provider.push(Reply::gzip_bomb());
    assert_eq!(say_hello(&s).await.status, 502);
    s.provider.push(Reply::says("late").delay(Duration::from_secs(60)));
    assert_eq!(say_hello(&s).await.status, 504);
    let away = Scripted::new(&[]).await;
    let (gateway, key) = (away.gateway, away.key);
    drop(away.provider);
    let answer = send(&gateway, chat(&key, hello(&json!({})))).await;
    assert_eq!(answer.status, 502);
    let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
    assert!(!message.contains("127.0.0.1"), "no internal address: {message}");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_the_client_can_read() {
    let s = Scripted::new(&[]).await;
    s.provider.always(Reply::chat_stream(&["one ", "two ", "three"]).cut_after(2));
    let answer = send(&s.gateway, chat(&s.key, hello(&json!({"stream": true})))).await;
    let events = events(&answer.text);
    let last = events.last().expect("an event");
    assert!(last["error"]["message"].is_string(), "{last}");
    assert!(answer.text.ends_with("data: [DONE]\n\n"));
    assert!(s.last_call().await.expect("recorded")["details"]["provider_error"].is_string());
}

#[tokio::test]
async fn every_chunk_carries_the_ids_and_only_the_last_is_finished() {
    let s = Scripted::new(&[]).await;
    s.provider.always(Reply::chat_stream(&["one ", "two"]));
    let answer = send(&s.gateway, chat(&s.key, hello(&json!({"stream": true})))).await;
    assert!(answer.header("content-type").starts_with("text/event-stream"));
    let events = events(&answer.text);
    for event in &events {
        for id in ["session_id", "task_id", "agent_uuid", "pipeline_uuid", "audit_url", "content"] {
            assert!(event[id].is_string(), "{id}: {event}");
        }
    }
    let finished: Vec<bool> = events.iter().map(|e| e["finished"] == true).collect();
    assert!(finished.iter().rev().skip(1).all(|f| !f) && finished.last() == Some(&true), "{finished:?}");
    assert!(!events.iter().any(|e| e["usage"].is_object()), "the client did not ask for usage");
    let event = s.last_call().await.expect("recorded");
    assert!(event["tokens"]["completion_tokens"].as_u64() > Some(0), "but the gateway knows it: {event}");
}

#[tokio::test]
async fn enforce_does_not_answer_what_it_cannot_record() {
    let s = Scripted::new(&[]).await;
    s.enforce().await;
    s.gateway.app().audit.shutdown().await.expect("stops");
    let answer = say_hello(&s).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["code"], "audit_unavailable");
    s.provider.always(Reply::chat_stream(&["one ", "two"]));
    let answer = send(&s.gateway, chat(&s.key, hello(&json!({"stream": true})))).await;
    let events = events(&answer.text);
    assert_eq!(events.last().expect("an event")["error"]["code"], "audit_unavailable", "{}", answer.text);
    assert!(!events.iter().any(|e| e["finished"] == true));
}

#[tokio::test]
async fn bad_input_is_told_what_is_wrong_and_nothing_is_forwarded() {
    let s = Scripted::new(&[]).await;
    let deep = format!("{{\"model\":\"m\",\"messages\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let large = format!("{{\"model\":\"m\",\"x\":\"{}\"}}", "x".repeat(6_000_000));
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("malformed", b"{\"model\":".to_vec(), 422, "line 1"),
        ("empty", b"".to_vec(), 422, ""),
        ("a list", b"[]".to_vec(), 422, "object"),
        ("duplicate keys", br#"{"model":"a","model":"b"}"#.to_vec(), 422, "twice"),
        ("deep", deep.into_bytes(), 422, "deeper than 64"),
        ("large", large.into_bytes(), 413, "bytes"),
        ("not UTF-8", b"{\"model\":\"\xff\"}".to_vec(), 422, "UTF-8"),
        ("no model", br#"{"messages":[{"role":"user","content":"x"}]}"#.to_vec(), 422, "model"),
        ("no messages", br#"{"model":"m"}"#.to_vec(), 422, "messages"),
        ("empty messages", br#"{"model":"m","messages":[]}"#.to_vec(), 422, "messages"),
        ("bad role", br#"{"model":"m","messages":[{"role":"wizard","content":"x"}]}"#.to_vec(), 422, "role"),
        (
            "big number",
            br#"{"model":"m","seed":123456789012345678901234,"messages":[]}"#.to_vec(),
            422,
            "64 bits",
        ),
    ];
    for (what, body, status, says) in cases {
        let answer = send(&s.gateway, chat(&s.key, body)).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.text);
        let message = answer.json()["error"]["message"].as_str().expect(what).to_owned();
        assert!(message.contains(says), "{what}: {message}");
    }
    let wrong_type = Request::builder()
        .method("POST")
        .uri("/v1/chat/completions")
        .header("authorization", format!("Bearer {}", s.key))
        .header("content-type", "text/plain")
        .body(Body::from(hello(&json!({}))))
        .expect("a request");
    assert_eq!(send(&s.gateway, wrong_type).await.status, 415);
    assert_eq!(s.provider.connections(), 0);
}

#[tokio::test]
async fn a_suspended_agent_is_refused_at_once() {
    let s = Scripted::new(&[]).await;
    assert_eq!(say_hello(&s).await.status, 200);
    let done = ask(&s.gateway, &s.admin, Method::POST, "/agents/agent/suspend", Value::Null).await;
    assert!(done.status.is_success(), "{done:?}");
    let answer = say_hello(&s).await;
    assert!(answer.status == 401 || answer.status == 403, "{}", answer.text);
    assert!(
        answer.json()["error"]["message"].as_str().is_some_and(|m| m.contains("suspended")),
        "{}",
        answer.text
    );
}
