//! Anthropic's dialect at its edges: credentials, headers, counting, faults of the provider, clients that leave.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tappass_testkit::Reply;

use crate::{
    calls::eventually,
    client::{Answer, request, send},
    scripted::{Scripted, events},
};

fn ask(path: &str, key: &str, more: &Value) -> Request<Body> {
    let mut body =
        json!({"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request(Method::POST, path)
        .header("x-api-key", key)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .expect("a request")
}

async fn say(s: &Scripted, more: &Value) -> Answer {
    send(&s.gateway, ask("/v1/messages", &s.key, more)).await
}

#[tokio::test]
async fn what_the_client_sent_is_what_the_provider_gets() {
    let s = Scripted::new(&[]).await;
    let sent = r#"{"model":"claude-x","max_tokens":50,"system":[{"type":"text","text":"kind","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"é"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"tool_use","id":"t","name":"z","input":{"zulu":0.30000000000000004,"alpha":[null]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"}]},{"role":"system","content":"be brief"}],"tools":[{"name":"z","input_schema":{"type":"object","properties":{"zulu":{},"alpha":{}}}}],"thinking":{"type":"enabled","budget_tokens":1024},"top_k":3,"field_of_tomorrow":{"b":1,"a":[null,true]},"metadata":{"session_id":"matter-7"}}"#;
    let request = request(Method::POST, "/v1/messages?beta=true")
        .header("x-api-key", &s.key)
        .header("authorization", format!("Bearer {}", s.key))
        .header("content-type", "application/json")
        .header("anthropic-version", "2024-01-01")
        .header("anthropic-beta", "one-2025-01-01")
        .header("anthropic-beta", "two")
        .body(Body::from(sent))
        .expect("a request");
    let answer = send(&s.gateway, request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["tappass"]["session_id"], "matter-7");
    assert!(!answer.header("x-tappass-classification").is_empty());
    let got = s.provider.last_request().expect("a request");
    let mut value: Value = serde_json::from_str(sent).expect("JSON");
    value.as_object_mut().expect("an object").shift_remove("metadata");
    assert_eq!(String::from_utf8_lossy(&got.body), value.to_string(), "all but what is the gateway's");
    assert_eq!(got.path, "/v1/messages");
    assert_eq!(got.header("x-api-key"), Some("ant-scripted"), "the provider's key, not the agent's");
    assert_eq!(got.header("anthropic-version"), Some("2024-01-01"));
    assert_eq!(got.header("anthropic-beta"), Some("one-2025-01-01,two"));
    assert!(!got.headers.iter().any(|(_, value)| value.contains(&s.key)));
}

#[tokio::test]
async fn headers_of_the_dialect_go_to_its_providers_only_and_carry_words_only() {
    let s = Scripted::new(&[]).await;
    for (model, beta, status) in
        [("gpt-4o", "fine", 200), ("claude-x", "jan@acme.eu: his secret", 422), ("claude-x", "", 200)]
    {
        let mut asked = ask("/v1/messages", &s.key, &json!({"model": model}));
        asked.headers_mut().insert("anthropic-beta", beta.parse().expect("a value"));
        let answer = send(&s.gateway, asked).await;
        assert_eq!(answer.status.as_u16(), status, "{beta}: {}", answer.text);
    }
    let first = s.provider.requests().remove(0);
    assert_eq!((first.path.as_str(), first.header("anthropic-beta")), ("/v1/chat/completions", None));
}

#[tokio::test]
async fn who_calls_is_said_once() {
    let s = Scripted::new(&[]).await;
    let mut two = ask("/v1/messages", &s.key, &json!({}));
    two.headers_mut().insert("authorization", "Bearer tp_another".parse().expect("a value"));
    let nobody = ask("/v1/messages", "tp_nobody", &json!({}));
    for (asked, status, kind) in [(two, 400, "invalid_request_error"), (nobody, 401, "authentication_error")]
    {
        let answer = send(&s.gateway, asked).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        let body = answer.json();
        assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)));
    }
    let away = send(&s.gateway, ask("/v1/messages/batches", &s.key, &json!({}))).await;
    assert_eq!((away.status.as_u16(), &away.json()["error"]["type"]), (404, &json!("not_found_error")));
    assert_eq!(s.provider.connections(), 0);
}

#[tokio::test]
async fn tokens_are_counted_where_the_provider_can_and_the_text_is_governed() {
    let s = Scripted::new(&[]).await;
    s.enforce().await;
    let path = "/v1/messages/count_tokens";
    s.provider.push(Reply::answer(json!({"input_tokens": 12})));
    let answer = send(&s.gateway, ask(path, &s.key, &json!({}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["input_tokens"], 12);
    assert_eq!(s.provider.last_request().expect("a request").path, path);
    let event = s.last_call().await.expect("recorded");
    assert_eq!((&event["event_type"], &event["provider"]), (&json!("llm_call"), &json!("anthropic")));
    let secret = concat!("gh", "p_k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");
    let leak = json!({"messages": [{"role": "user", "content": secret}]});
    assert_eq!(send(&s.gateway, ask(path, &s.key, &leak)).await.status, 403);
    let builtin = send(&s.gateway, ask(path, &s.key, &json!({"model": "builtin"}))).await;
    assert!(builtin.json()["input_tokens"].as_u64() > Some(0), "{}", builtin.text);
    let other = send(&s.gateway, ask(path, &s.key, &json!({"model": "gpt-4o"}))).await;
    assert_eq!(other.status, 422);
    assert!(other.json()["error"]["message"].as_str().is_some_and(|m| m.contains("counting tokens")));
    assert_eq!(s.provider.requests().len(), 1);
}

#[tokio::test]
async fn a_providers_error_is_told_in_the_dialect() {
    let s = Scripted::new(&[]).await;
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    for (reply, model, status, kind) in [
        (Reply::answer(overloaded.clone()).status_code(529), "claude-x", 529, "overloaded_error"),
        (Reply::status(429, "slow down").retry_after(7), "claude-x", 429, "rate_limit_error"),
        (Reply::status(400, "too old"), "gpt-4o", 400, "invalid_request_error"),
        (Reply::status(401, "the gateway's key"), "claude-x", 502, "api_error"),
        (Reply::wrong_content_type(), "claude-x", 502, "api_error"),
        (Reply::answer(json!({"no": "content"})), "claude-x", 502, "api_error"),
    ] {
        s.provider.always(reply);
        let answer = say(&s, &json!({"model": model})).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        let body = answer.json();
        assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)), "{body}");
        assert!(body["error"]["message"].is_string() && body["tappass"].is_object(), "{body}");
        assert_eq!(answer.header("x-should-retry"), "", "no policy decision");
        if status == 429 {
            assert_eq!(answer.header("retry-after"), "7");
        }
        assert!(s.last_call().await.expect("recorded")["details"]["provider_error"].is_string());
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_the_client_can_read() {
    let s = Scripted::new(&[("TAPPASS_PROVIDER_IDLE_TIMEOUT", "1")]).await;
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let start = json!({"type": "message_start", "message": {"id": "m", "content": []}});
    let pieces = ["one ", "two ", "three"];
    for (reply, model, kind) in [
        (Reply::message_stream(&pieces).cut_after(4), "claude-x", "api_error"),
        (Reply::chat_stream(&pieces).cut_after(2), "gpt-4o", "api_error"),
        (Reply::stream(vec![start.clone(), overloaded], Duration::ZERO), "claude-x", "overloaded_error"),
        (Reply::stream(vec![start], Duration::ZERO), "claude-x", "api_error"),
        (Reply::malformed_sse(), "claude-x", "api_error"),
        (Reply::message_stream(&pieces).stall_after(4), "claude-x", "timeout_error"),
    ] {
        s.provider.always(reply);
        let answer = say(&s, &json!({"stream": true, "model": model})).await;
        let events = events(&answer.text);
        let last = events.last().expect("an event");
        assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!(kind)), "{last}");
        assert!(last["tappass"].is_object());
        assert!(answer.text.contains("event: error\ndata: "), "{}", answer.text);
        assert!(!events.iter().any(|e| e["type"] == "message_stop"));
        assert!(s.last_call().await.expect("recorded")["details"]["provider_error"].is_string());
    }
}

#[tokio::test]
async fn the_last_event_has_the_ids_and_every_event_its_name() {
    let s = Scripted::new(&[]).await;
    for model in ["claude-x", "gpt-4o", "builtin"] {
        let answer = say(&s, &json!({"stream": true, "model": model})).await;
        assert!(answer.header("content-type").starts_with("text/event-stream"));
        let events = events(&answer.text);
        let (last, before) = events.split_last().expect("events");
        for id in ["session_id", "task_id", "agent_uuid", "pipeline_uuid", "audit_url"] {
            assert!(last[id].is_string(), "{id}: {last}");
        }
        assert_eq!(last["type"], "message_stop");
        assert!(before.iter().all(|e| e.get("tappass").is_none()));
        for event in &events {
            let name = event["type"].as_str().expect("a type");
            assert!(answer.text.contains(&format!("event: {name}\ndata: ")), "{name}");
        }
        let event = s.last_call().await.expect("recorded");
        assert!(event["tokens"]["completion_tokens"].as_u64() > Some(0), "{event}");
        assert_eq!(event["details"]["stream"], true);
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_the_provider_and_is_recorded() {
    let s = Scripted::new(&[]).await;
    for (reply, model) in [
        (Reply::message_stream(&["one ", "two ", "three"]).stall_after(4), "claude-x"),
        (Reply::chat_stream(&["one ", "two ", "three"]).stall_after(2), "gpt-4o"),
    ] {
        let left = s.provider.disconnects();
        s.provider.always(reply);
        let asked = ask("/v1/messages", &s.key, &json!({"stream": true, "model": model}));
        let mut body = s.gateway.call(asked).await.into_body();
        let first = body.frame().await.expect("a frame").expect("data").into_data().expect("data");
        assert!(first.starts_with(b"event: message_start\n"));
        drop(body);
        let cancelled = || async { s.provider.disconnects() > left };
        assert!(eventually(cancelled).await, "the provider's call is cancelled");
        let recorded = || async {
            s.last_call().await.is_some_and(|e| e["details"]["client_left"] == true && e["model"] == model)
        };
        assert!(eventually(recorded).await, "{:?}", s.last_call().await);
    }
}

#[tokio::test]
async fn bad_input_is_told_what_is_wrong_and_nothing_is_forwarded() {
    let s = Scripted::new(&[]).await;
    for (more, says) in [
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "role"),
        (json!({"model": "a b"}), "model"),
    ] {
        let answer = say(&s, &more).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        let body = answer.json();
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert!(body["error"]["message"].as_str().is_some_and(|m| m.contains(says)), "{body}");
    }
    assert_eq!(s.provider.connections(), 0);
}

#[tokio::test]
async fn models_are_listed_in_the_shape_of_who_asks() {
    let s = Scripted::new(&[]).await;
    s.provider.always(Reply::answer(json!({"data": [{"id": "claude-x"}, {"id": "claude-y"}]})));
    let list = |version: Option<&'static str>| {
        let built = request(Method::GET, "/v1/models").header("x-api-key", &s.key);
        let built = version.into_iter().fold(built, |built, value| built.header("anthropic-version", value));
        send(&s.gateway, built.body(Body::empty()).expect("a request"))
    };
    let theirs = list(Some("2023-06-01")).await.json();
    let ids: Vec<&str> =
        theirs["data"].as_array().expect("a list").iter().filter_map(|m| m["id"].as_str()).collect();
    assert!(ids.contains(&"anthropic/claude-x") && ids.contains(&"builtin/echo"), "{ids:?}");
    assert_eq!((&theirs["first_id"], &theirs["last_id"]), (&json!(ids[0]), &json!(ids[ids.len() - 1])));
    assert_eq!((&theirs["has_more"], &theirs["data"][0]["type"]), (&json!(false), &json!("model")));
    let ours = list(None).await.json();
    assert_eq!((&ours["object"], &ours["data"][0]["object"]), (&json!("list"), &json!("model")));
}
