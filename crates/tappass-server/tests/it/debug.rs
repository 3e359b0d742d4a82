//! Traces for support: kept when asked, read by an admin, and nothing of what was said in them.

use http::Method;
use serde_json::{Value, json};

use crate::{calls::eventually, client::ask, scripted::Scripted};

#[tokio::test]
async fn a_kept_trace_tells_what_happened_and_nothing_that_was_said() {
    const CANARY: &str = "canary-7f3a";
    let s = Scripted::new(&[]).await;
    s.provider.always(tappass_testkit::Reply::says(&format!("{CANARY} answers jan.peeters@acme.eu")));
    let file = json!({"preset": "starter", "overrides": {"debug_log": {"sample_rate": 1.0, "retention_days": 2},
        "output_constraints": {"forbidden": [CANARY], "on_detection": "log"}}});
    let put = ask(&s.gateway, &s.admin, Method::PUT, "/pipelines/own", file).await;
    assert!(put.status.is_success(), "{put:?}");
    let body = json!({"pipeline": "own"});
    assert!(ask(&s.gateway, &s.admin, Method::PUT, "/agents/agent/pipeline", body).await.status.is_success());
    let tool = json!({"type": "function", "function": {"name": CANARY, "description": CANARY}});
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "name": CANARY,
        "content": format!("{CANARY} an.maes@acme.eu")}], "tools": [tool], "metadata": {CANARY: CANARY}});
    let answer = ask(&s.gateway, &s.key, Method::POST, "/chat/completions", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let call = answer.json()["tappass"]["task_id"].as_str().expect("an id").to_owned();

    let uri = format!("/admin/debug?call={call}");
    let read = || ask(&s.gateway, &s.admin, Method::GET, &uri, Value::Null);
    // It is written beside the call.
    assert!(
        eventually(|| async { read().await.json()["items"].as_array().is_some_and(|i| i.len() == 1) }).await
    );
    let listed = read().await.text;
    assert!(!listed.contains(CANARY) && !listed.contains("acme"), "{listed}");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let trace = &listed["items"][0]["trace"];
    assert_eq!(trace["request"]["messages"], 1);
    assert!(
        trace["findings"].as_array().is_some_and(|f| f.iter().any(|f| f["kind"] == "EMAIL")),
        "{trace:#}"
    );
    assert!(trace["steps"].as_array().is_some_and(|s| s.len() == 13), "{trace:#}");
    let none = ask(&s.gateway, &s.admin, Method::GET, "/admin/debug?agent_id=other", Value::Null).await;
    assert_eq!(none.json()["items"], json!([]));
}
