//! An organisation's own policies, through the front door.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Answer, ask},
    world::World,
};

const NO_PAYMENTS: &str = r#"package tappass.tools
import rego.v1
default decision := {"action": "allow"}
decision := {"action": "block", "reason": "no payments"} if "pay" in input.tools
"#;

async fn call(world: &World, key: &str) -> Answer {
    let tools = json!([{"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}]);
    let body =
        json!({"model": "builtin/echo", "messages": [{"role": "user", "content": "hi"}], "tools": tools});
    ask(&world.gateway, key, Method::POST, "/v1/chat/completions", body).await
}

#[tokio::test]
async fn a_policy_holds_from_the_next_call_on_until_it_is_taken_back() {
    let world = World::new().await;
    let things = world.ours.things(&world.gateway).await;
    let other = world.theirs.things(&world.gateway).await;
    let admin = &world.ours.admin;
    let enforce = json!({"mode": "enforce", "floor": "enforce"});
    for (admin, things) in [(admin, &things), (&world.theirs.admin, &other)] {
        let path = format!("/agents/{}", things.agent_uuid);
        assert_eq!(ask(&world.gateway, admin, Method::PATCH, &path, enforce.clone()).await.status, 200);
    }
    assert_eq!(call(&world, &things.api_key).await.status, 200);

    let put = ask(&world.gateway, admin, Method::PUT, "/policies/tools", json!({"rego": NO_PAYMENTS})).await;
    assert_eq!((put.status.as_u16(), &put.json()["version"]), (201, &json!(1)), "{put:?}");
    let refused = call(&world, &things.api_key).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let body = refused.json();
    assert_eq!((&body["blocked_by"], &body["reason"]), (&json!("tappass.tools"), &json!("no payments")));
    assert_eq!(call(&world, &other.api_key).await.status, 200, "another organisation's calls");

    let events = ask(&world.gateway, admin, Method::GET, "/audit?limit=1", Value::Null).await.json();
    assert_eq!(events["items"][0]["details"]["policies"][0]["policy"], "tappass.tools");
    let gone = ask(&world.gateway, admin, Method::DELETE, "/policies/tools", Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(call(&world, &things.api_key).await.status, 200);
}

#[tokio::test]
async fn a_text_that_is_no_policy_is_refused_with_its_place() {
    let world = World::new().await;
    let put = async |path: &str, rego: &str| {
        ask(&world.gateway, &world.ours.admin, Method::PUT, path, json!({"rego": rego})).await
    };
    let broken = put("/policies/tools", "package tappass.tools\nimport rego.v1\ndecision := {\n").await;
    assert_eq!(broken.status, 422);
    assert!(broken.text.contains("line 4, column"), "{broken:?}");
    assert_eq!(put("/policies/tools", " ").await.status, 422);
    assert_eq!(put("/policies/manners", NO_PAYMENTS).await.status, 404);
    let shown =
        ask(&world.gateway, &world.ours.admin, Method::GET, "/policies/tools", Value::Null).await.json();
    assert!(
        shown["rego"].is_null()
            && shown["shipped"].as_str().is_some_and(|s| s.contains("package tappass.tools"))
    );
}

#[tokio::test]
async fn tool_calls_of_a_stream_wait_for_the_policy() {
    let world = World::new().await;
    let things = world.ours.things(&world.gateway).await;
    let admin = &world.ours.admin;
    let path = format!("/agents/{}", things.agent_uuid);
    let enforce = json!({"mode": "enforce", "floor": "enforce"});
    assert_eq!(ask(&world.gateway, admin, Method::PATCH, &path, enforce).await.status, 200);
    let rego =
        NO_PAYMENTS.replace(r#""pay" in input.tools"#, "{ some call in input.calls; call.tool == \"pay\" }");
    assert_eq!(
        ask(&world.gateway, admin, Method::PUT, "/policies/tools", json!({"rego": rego})).await.status,
        201
    );
    let tools = json!([{"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}]);
    let body = json!({"model": "builtin", "stream": true, "tools": tools, "tool_choice": "required",
        "messages": [{"role": "user", "content": "call pay {\"amount\": 5}"}]});
    let answer = ask(&world.gateway, &things.api_key, Method::POST, "/v1/chat/completions", body).await;
    assert!(answer.text.contains("content_filter") && answer.text.contains("no payments"), "{answer:?}");
    assert!(!answer.text.contains("\"tool_calls\":"), "{answer:?}");
}
