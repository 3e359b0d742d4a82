//! Every call can be explained afterwards, from its record alone.

use http::Method;
use serde_json::{Value, json};

use crate::{client::ask, scripted::Scripted};

const TEXT: &str = "Write to jan.peeters@acme.eu with the key in mind.";

async fn explained(world: &Scripted, call: &str) -> Value {
    let answer =
        ask(&world.gateway, &world.admin, Method::GET, &format!("/audit/{call}/explain"), Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_call_is_explained_from_its_record() {
    let world = Scripted::new(&[]).await;
    world.provider.always(tappass_testkit::Reply::says("Mail her at a.b@acme.eu."));
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": TEXT}]});
    let answer = ask(&world.gateway, &world.key, Method::POST, "/v1/chat/completions", body).await.json();
    let call = answer["tappass"]["task_id"].as_str().expect("an id").to_owned();
    let told = explained(&world, &call).await;
    assert_eq!(told["steps"].as_array().map(Vec::len), Some(11), "{told:#}");
    let step = |id: &str| {
        let steps = told["steps"].as_array().expect("steps");
        steps.iter().find(|s| s["step"] == id).unwrap_or_else(|| panic!("{id} in {told:#}")).clone()
    };
    let pii = step("detect_pii");
    assert_eq!((&pii["did"], &pii["detected"]), (&json!("log"), &json!(true)));
    let found = &pii["found"][0];
    assert_eq!(found["at"], "/messages/0/content");
    let span =
        found["span"].as_array().expect("a place").iter().map(|n| n.as_u64().expect("a number") as usize);
    let span: Vec<usize> = span.collect();
    assert_eq!(&TEXT[span[0]..span[1]], "jan.peeters@acme.eu");
    assert_eq!((&found["family"], &found["kind"]), (&json!("pii"), &json!("EMAIL")));
    assert!(pii["remedies"].to_string().contains("`detect_pii.threshold` above 0."), "{pii}");
    let output = step("scan_output");
    assert_eq!(output["found"][0]["at"], "/choices/0/message/content", "a place in the answer: {output}");
    assert!(step("validate_input").get("found").is_none());
    assert!(!told.to_string().contains("jan.peeters"), "samples are masked");

    // The record says the same, and a pipeline that changes later changes nothing about it.
    let record = world.last_call().await.expect("recorded");
    assert_eq!(record["details"]["explain"][0]["step"], "detect_pii");
    let log = ask(&world.gateway, &world.admin, Method::GET, "/audit/verify", Value::Null).await.json();
    assert_eq!(log["ok"], true, "{log}");
}

#[tokio::test]
async fn what_is_no_call_of_ours_is_not_explained() {
    let world = Scripted::new(&[]).await;
    let get = async |path: String| ask(&world.gateway, &world.admin, Method::GET, &path, Value::Null).await;
    let log = get("/audit?event_type=agent_registered".to_owned()).await.json();
    let event = log["items"][0]["event_id"].as_str().expect("an id").to_owned();
    assert_eq!(get(format!("/audit/{event}/explain")).await.status, 422);
    assert_eq!(get("/audit/0192f000-0000-7000-8000-000000000000/explain".to_owned()).await.status, 404);
    assert_eq!(get("/audit/nonsense/explain".to_owned()).await.status, 404);
}
