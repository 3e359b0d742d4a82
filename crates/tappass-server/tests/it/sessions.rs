//! Sessions that agents make by name.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Answer, ask},
    scripted::Scripted,
};

async fn standard() -> Scripted {
    let s = Scripted::new(&[]).await;
    let body = json!({"pipeline": "standard"});
    assert!(ask(&s.gateway, &s.admin, Method::PATCH, "/agents/agent", body).await.status.is_success());
    s
}

async fn made(s: &Scripted, body: Value) -> Value {
    let answer = ask(&s.gateway, &s.key, Method::POST, "/v1/sessions", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

async fn call(s: &Scripted, session: &str, text: &str) -> Answer {
    let body = json!({"model": "builtin", "metadata": {"session_id": session},
        "messages": [{"role": "user", "content": text}]});
    ask(&s.gateway, &s.key, Method::POST, "/v1/chat/completions", body).await
}

async fn shown(s: &Scripted, id: &str) -> Value {
    let answer = ask(&s.gateway, &s.admin, Method::GET, &format!("/sessions/{id}"), Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_session_is_made_used_and_shown() {
    let s = standard().await;
    let session = made(&s, json!({"name": "nightly", "metadata": {"ticket": 7}})).await;
    let id = session["id"].as_str().expect("an id");
    assert_eq!(shown(&s, id).await["activity"], Value::Null, "no call yet");
    let first = call(&s, id, "mail jan.peeters@acme.eu").await.json();
    assert_eq!((&first["tappass"]["session_id"], &first["tappass"]["turn_index"]), (&json!(id), &json!(1)));
    for key in ["agent_uuid", "pipeline_uuid"] {
        assert_eq!(session[key], first["tappass"][key], "{key}");
    }
    call(&s, id, "and again").await;
    let found = shown(&s, id).await;
    assert_eq!((&found["name"], &found["metadata"]), (&json!("nightly"), &json!({"ticket": 7})));
    assert_eq!((&found["activity"]["turns"], &found["activity"]["taints"]), (&json!(2), &json!(["PII"])));
    assert!(found["activity"]["tokens"].as_u64().is_some_and(|n| n > 0), "{found:#}");
    assert!(found["activity"]["risk"].as_f64().is_some_and(|points| points > 0.0), "{found:#}");
    let listed = ask(&s.gateway, &s.admin, Method::GET, "/sessions", Value::Null).await.json();
    assert_eq!(listed["items"][0]["id"], session["id"]);
    call(&s, "another", "hello").await;
    let url = session["audit_url"].as_str().expect("a URL");
    let path = &url[url.find("/audit").expect("the route")..];
    let events = ask(&s.gateway, &s.admin, Method::GET, path, Value::Null).await.json();
    assert_eq!(events["items"].as_array().map(Vec::len), Some(2), "{events:#}");
}

#[tokio::test]
async fn an_ended_session_takes_no_more_calls() {
    let s = standard().await;
    let id = made(&s, json!({})).await["id"].as_str().expect("an id").to_owned();
    assert_eq!(call(&s, &id, "hello").await.status, 200);
    let path = format!("/v1/sessions/{id}");
    let ended = ask(&s.gateway, &s.key, Method::PATCH, &path, json!({"ended": true})).await.json();
    let at = ended["ended_at"].as_str().expect("a time").to_owned();
    let refused = call(&s, &id, "hello").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (422, &json!("session_ended")));
    let again = json!({"ended": true, "name": "over", "metadata": {"a": 1}});
    let again = ask(&s.gateway, &s.key, Method::PATCH, &path, again).await.json();
    assert_eq!((&again["ended_at"], &again["name"]), (&json!(at), &json!("over")), "an end stays");
    assert_eq!(shown(&s, &id).await["activity"]["turns"], 1);
    assert_eq!(call(&s, "another", "hello").await.status, 200);
}

#[tokio::test]
async fn a_session_is_its_agents_own() {
    let s = standard().await;
    let id = made(&s, json!({})).await["id"].as_str().expect("an id").to_owned();
    let body = json!({"agent_id": "other"});
    let other = ask(&s.gateway, &s.admin, Method::POST, "/agents/register", body).await.json();
    let key = other["api_key"].as_str().expect("a key");
    let path = format!("/v1/sessions/{id}");
    assert_eq!(ask(&s.gateway, key, Method::PATCH, &path, json!({"ended": true})).await.status, 404);
    let turn = call(&s, &id, "hello").await.json()["tappass"]["turn_index"].clone();
    assert_eq!(turn, 1);
    for (body, status) in [
        (json!({"metadata": {"x": "y".repeat(5000)}}), 422),
        (json!({"metadata": [1]}), 422),
        (json!({"ended": "yes"}), 422),
        (json!({"other": 1}), 422),
    ] {
        let answer = ask(&s.gateway, &s.key, Method::PATCH, &path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    }
}
