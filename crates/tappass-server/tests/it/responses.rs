//! The Responses dialect at its edges: answers that the provider keeps, routes that are not there, faults, clients that
//! leave.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tappass_testkit::Reply;

use crate::{
    calls::eventually,
    client::{Answer, ask as manage, request, send},
    scripted::{Scripted, events},
};

fn ask(key: &str, more: &Value) -> Request<Body> {
    let mut body = json!({"model": "gpt-4o", "input": "hello"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request(Method::POST, "/v1/responses")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .expect("a request")
}

async fn say(s: &Scripted, more: &Value) -> Answer {
    send(&s.gateway, ask(&s.key, more)).await
}

#[tokio::test]
async fn what_the_client_sent_is_what_the_provider_gets() {
    let s = Scripted::new(&[]).await;
    let sent = r#"{"model":"gpt-4o","instructions":"kind","input":[{"role":"user","content":[{"type":"input_text","text":"é"}]},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"c2ln"},{"type":"function_call","call_id":"c","name":"z","arguments":"{\"zulu\":0.30000000000000004}"},{"type":"function_call_output","call_id":"c","output":"x"}],"tools":[{"type":"function","name":"z","parameters":{"type":"object","properties":{"zulu":{},"alpha":{}}},"strict":null}],"store":false,"include":["reasoning.encrypted_content"],"temperature":0.30000000000000004,"field_of_tomorrow":{"b":1,"a":[null,true]},"metadata":{"session_id":"matter-7"}}"#;
    let built = request(Method::POST, "/v1/responses")
        .header("authorization", format!("Bearer {}", s.key))
        .header("content-type", "application/json")
        .body(Body::from(sent))
        .expect("a request");
    let answer = send(&s.gateway, built).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["tappass"]["session_id"], "matter-7");
    let got = s.provider.last_request().expect("a request");
    let mut value: Value = serde_json::from_str(sent).expect("JSON");
    value.as_object_mut().expect("an object").shift_remove("metadata");
    assert_eq!(String::from_utf8_lossy(&got.body), value.to_string(), "all but what is the gateway's");
    assert_eq!(
        (got.path.as_str(), got.header("authorization")),
        ("/v1/responses", Some("Bearer sk-scripted"))
    );
}

/// The id of a first answer, as the client got it.
async fn first(s: &Scripted, more: &Value) -> String {
    let answer = say(s, more).await;
    let id = match events(&answer.text).last() {
        Some(last) => last["response"]["id"].clone(),
        None => answer.json()["id"].clone(),
    };
    id.as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_answer_that_the_provider_keeps_is_its_agents_own() {
    let s = Scripted::new(&[]).await;
    let body = json!({"agent_id": "other"});
    let other = manage(&s.gateway, &s.admin, Method::POST, "/agents/register", body).await.json();
    let other = other["api_key"].as_str().expect("a key");
    for stream in [false, true] {
        let id = first(&s, &json!({"stream": stream})).await;
        assert!(id.starts_with("resp_scripted_tp"), "{id}");
        let next = json!({"previous_response_id": id, "stream": stream});
        let before = s.provider.requests().len();
        let answer = say(&s, &next).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            s.provider.last_request().expect("a request").json()["previous_response_id"],
            "resp_scripted"
        );
        let made_up = json!({"previous_response_id": "resp_scripted"});
        let moved = json!({"previous_response_id": id, "model": "azure/gpt-4o"});
        let item = json!({"input": [{"type": "item_reference", "id": "msg_scripted"}]});
        for (key, asked, status) in
            [(other, &next, 404), (&*s.key, &made_up, 404), (&*s.key, &item, 404), (&*s.key, &moved, 422)]
        {
            let refused = send(&s.gateway, ask(key, asked)).await;
            assert_eq!(refused.status.as_u16(), status, "{}", refused.text);
            let body = refused.json();
            assert!(body["error"]["message"].is_string() && body["tappass"].is_object(), "{body}");
            if status == 404 {
                assert_eq!(body["error"]["code"], "previous_response_not_found");
                assert_eq!(body["error"]["type"], "invalid_request_error");
            }
        }
        assert_eq!(s.provider.requests().len(), before + 1, "what is another's is never forwarded");
    }
    // Of one tenant or matter it is as much its own.
    let id = first(&s, &json!({})).await;
    let mut asked = ask(&s.key, &json!({"previous_response_id": id}));
    asked.headers_mut().insert("x-tappass-context", "another-matter".parse().expect("a value"));
    assert_eq!(send(&s.gateway, asked).await.status, 404);
}

#[tokio::test]
async fn an_item_is_named_by_who_got_it() {
    let s = Scripted::new(&[]).await;
    let answer = say(&s, &json!({})).await.json();
    let id = answer["output"][0]["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("msg_scripted_tp"), "{id}");
    let answer = say(
        &s,
        &json!({"input": [{"type": "item_reference", "id": id}, {"role": "user", "content": "and?"}]}),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(s.provider.last_request().expect("a request").json()["input"][0]["id"], "msg_scripted");
    let streamed = say(&s, &json!({"stream": true})).await;
    let ids: Vec<String> = events(&streamed.text)
        .iter()
        .flat_map(|e| {
            [e["item_id"].clone(), e["item"]["id"].clone(), e["response"]["output"][0]["id"].clone()]
        })
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
    assert!(ids.len() > 5 && ids.iter().all(|one| *one == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn what_the_provider_keeps_is_not_fetched_past_the_gateway() {
    let s = Scripted::new(&[]).await;
    let id = first(&s, &json!({})).await;
    for (method, path) in [
        (Method::GET, format!("/v1/responses/{id}")),
        (Method::DELETE, format!("/v1/responses/{id}")),
        (Method::POST, format!("/v1/responses/{id}/cancel")),
        (Method::GET, format!("/v1/responses/{id}/input_items")),
        (Method::POST, "/v1/responses/input_tokens".to_owned()),
        (Method::POST, "/v1/responses/compact".to_owned()),
        (Method::POST, "/v1/conversations".to_owned()),
    ] {
        let built = request(method, &path).header("authorization", format!("Bearer {}", s.key));
        let answer = send(&s.gateway, built.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"]["message"].is_string(), "{path}: {}", answer.text);
    }
    assert_eq!(s.provider.requests().len(), 1);
}

#[tokio::test]
async fn a_providers_error_is_told_in_the_dialect() {
    let s = Scripted::new(&[]).await;
    for (reply, model, status) in [
        (Reply::status(400, "too old"), "gpt-4o", 400),
        (Reply::status(429, "slow down").retry_after(7), "gpt-4o", 429),
        (Reply::status(500, "down"), "gpt-4o", 500),
        (Reply::status(401, "the gateway's key"), "gpt-4o", 502),
        (Reply::status(429, "slow down").retry_after(7), "claude-x", 429),
        (Reply::wrong_content_type(), "gpt-4o", 502),
        (Reply::answer(json!({"no": "output"})), "gpt-4o", 502),
    ] {
        s.provider.always(reply);
        let answer = say(&s, &json!({"model": model})).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        let body = answer.json();
        assert!(body["error"]["message"].is_string() && body["tappass"].is_object(), "{body}");
        assert_eq!(answer.header("x-should-retry"), "", "no policy decision");
        assert!(s.last_call().await.expect("recorded")["details"]["provider_error"].is_string());
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_the_client_can_read() {
    let s = Scripted::new(&[("TAPPASS_PROVIDER_IDLE_TIMEOUT", "1")]).await;
    let begin = json!({"type": "response.created", "response": {"id": "resp_1", "output": []}});
    let error = json!({"type": "error", "code": "server_error", "message": "Overloaded", "param": null});
    let pieces = ["one ", "two ", "three"];
    for (reply, model) in [
        (Reply::response_stream(&pieces).cut_after(5), "gpt-4o"),
        (Reply::message_stream(&pieces).cut_after(4), "claude-x"),
        (Reply::stream(vec![begin.clone(), error], Duration::ZERO), "gpt-4o"),
        (Reply::stream(vec![begin.clone()], Duration::ZERO), "gpt-4o"),
        (Reply::stream(vec![begin, json!({"no": "type"})], Duration::ZERO), "gpt-4o"),
        (Reply::malformed_sse(), "gpt-4o"),
        (Reply::response_stream(&pieces).stall_after(5), "gpt-4o"),
    ] {
        s.provider.always(reply);
        let answer = say(&s, &json!({"stream": true, "model": model})).await;
        let events = events(&answer.text);
        let last = events.last().expect("an event");
        assert_eq!(last["type"], "error", "{last}");
        assert!(last["message"].is_string() && last["error"]["message"] == last["message"], "{last}");
        assert!(last["tappass"].is_object());
        assert!(answer.text.contains("event: error\ndata: "), "{}", answer.text);
        assert!(!events.iter().any(|e| e["type"] == "response.completed"));
        assert!(s.last_call().await.expect("recorded")["details"]["provider_error"].is_string());
    }
}

#[tokio::test]
async fn the_last_event_has_the_ids_and_every_event_its_name() {
    let s = Scripted::new(&[]).await;
    for model in ["gpt-4o", "claude-x", "builtin"] {
        let answer = say(&s, &json!({"stream": true, "model": model})).await;
        assert!(answer.header("content-type").starts_with("text/event-stream"));
        assert!(!answer.text.contains("[DONE]"));
        let events = events(&answer.text);
        let (last, before) = events.split_last().expect("events");
        for id in ["session_id", "task_id", "agent_uuid", "pipeline_uuid", "audit_url"] {
            assert!(last[id].is_string(), "{id}: {last}");
        }
        assert_eq!(last["type"], "response.completed");
        assert_eq!(last["response"]["tappass"], last["tappass"]);
        assert!(before.iter().all(|e| e.get("tappass").is_none()));
        for (number, event) in events.iter().enumerate() {
            let name = event["type"].as_str().expect("a type");
            assert!(answer.text.contains(&format!("event: {name}\ndata: ")), "{name}");
            assert_eq!(event["sequence_number"], number, "{model}");
        }
        let event = s.last_call().await.expect("recorded");
        assert!(event["tokens"]["completion_tokens"].as_u64() > Some(0), "{event}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_the_provider_and_is_recorded() {
    let s = Scripted::new(&[]).await;
    let left = s.provider.disconnects();
    s.provider.always(Reply::response_stream(&["one ", "two ", "three"]).stall_after(6));
    let mut body = s.gateway.call(ask(&s.key, &json!({"stream": true}))).await.into_body();
    let first = body.frame().await.expect("a frame").expect("data").into_data().expect("data");
    assert!(first.starts_with(b"event: response.created\n"));
    drop(body);
    assert!(
        eventually(|| async { s.provider.disconnects() > left }).await,
        "the provider's call is cancelled"
    );
    let recorded = || async { s.last_call().await.is_some_and(|e| e["details"]["client_left"] == true) };
    assert!(eventually(recorded).await, "{:?}", s.last_call().await);
}
