//! What agents tell of themselves beside their calls.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Answer, ask},
    scripted::Scripted,
};

async fn tell(s: &Scripted, path: &str, body: Value) -> Answer {
    ask(&s.gateway, &s.key, Method::POST, path, body).await
}

async fn told(s: &Scripted) -> Vec<Value> {
    let page = ask(&s.gateway, &s.admin, Method::GET, "/audit?event_type=agent_event", Value::Null).await;
    page.json()["items"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn what_happened_stands_in_the_log_once_and_without_its_words() {
    let s = Scripted::new(&[]).await;
    let event = json!({"event_type": "task.started", "event_id": "run-7/1", "session_id": "nightly",
        "occurred_at": "2026-11-22T10:30:00+01:00", "details": {"customer": "Jan Peeters"}});
    let first = tell(&s, "/v1/events", event.clone()).await;
    assert_eq!(first.status, 202, "{first:?}");
    let id = first.json()["event_ids"][0].clone();
    assert_eq!(tell(&s, "/audit", event).await.json()["event_ids"], json!([id]), "told again");
    let events = told(&s).await;
    let [event] = &events[..] else { panic!("recorded once: {events:#?}") };
    assert_eq!(
        (&event["event_id"], &event["agent_id"], &event["session_id"]),
        (&id, &json!("agent"), &json!("nightly"))
    );
    let details = &event["details"];
    assert_eq!(details["client_event"], "task.started");
    assert_eq!(details["occurred_at"], "2026-11-22T09:30:00.000000Z");
    assert_eq!(details["details_sha256"].as_str().map(str::len), Some(64));
    assert!(!event.to_string().contains("Peeters"));
}

#[tokio::test]
async fn a_batch_is_recorded_whole_or_not_at_all() {
    let s = Scripted::new(&[]).await;
    s.enforce().await;
    let good = json!({"event_type": "step_done"});
    for (batch, code) in [
        (json!([good, {"event_type": "Step done"}]), "invalid_event_type"),
        (json!([good, {"event_type": "x", "occurred_at": "yesterday"}]), "invalid_time"),
        (json!([good, {"event_type": "x", "session_id": "a\nb"}]), "invalid_name"),
        (json!([good, {"event_type": "x", "other": 1}]), "invalid_body"),
        (Value::Array(vec![good.clone(); 101]), "invalid_body"),
    ] {
        let answer = tell(&s, "/v1/audit/batch", batch).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (422, &json!(code)), "{answer:?}");
    }
    assert!(told(&s).await.is_empty());
    let done = tell(&s, "/v1/audit/batch", json!([good, good])).await;
    assert_eq!((done.status.as_u16(), done.json()["event_ids"].as_array().map(Vec::len)), (202, Some(2)));
    assert_eq!(told(&s).await.len(), 2, "without ids of their own they are two");
}

#[tokio::test]
async fn an_id_is_its_agents_own() {
    let s = Scripted::new(&[]).await;
    let other =
        ask(&s.gateway, &s.admin, Method::POST, "/agents/register", json!({"agent_id": "other"})).await;
    let other = other.json()["api_key"].as_str().expect("a key").to_owned();
    let event = json!({"event_type": "done", "event_id": "1"});
    let ours = tell(&s, "/v1/events", event.clone()).await.json();
    let theirs = ask(&s.gateway, &other, Method::POST, "/v1/events", event).await.json();
    assert_ne!(ours["event_ids"], theirs["event_ids"]);
    assert_eq!(told(&s).await.len(), 2);
}
