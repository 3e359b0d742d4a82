//! Approvals through the front door: asked, decided, resumed; bound, single use, safe against races.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use futures_util::future::join_all;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tappass_server::{App, Config, Gateway, Storage};
use tappass_testkit::{ManualClock, Reply, TempPostgres};

use crate::{
    client::{Answer, ask, config, request, send, setup},
    scripted::{Scripted, events},
};

const LEVEL: &str = "STRICTLY CONFIDENTIAL";

/// An enforced agent that needs a person's approval in these cases.
async fn needing(s: Scripted, when: Value) -> Scripted {
    let file = json!({"preset": "starter", "overrides": {"policy": {"require_human_approval": when},
        "rate_limit": {"max_calls": 1000}}});
    admin(&s, Method::PUT, "/pipelines/own", file).await;
    admin(&s, Method::PATCH, "/agents/agent", json!({"pipeline": "own"})).await;
    s.enforce().await;
    s
}

async fn by_level() -> Scripted {
    needing(Scripted::new(&[]).await, json!([{"classification": "CONFIDENTIAL"}])).await
}

async fn admin(s: &Scripted, method: Method, uri: &str, body: Value) -> Value {
    let answer = ask(&s.gateway, &s.admin, method, uri, body).await;
    assert!(answer.status.is_success(), "{uri}: {answer:?}");
    answer.json()
}

fn chat(key: &str, text: &str, more: &[(&str, &str)], stream: bool) -> Request<Body> {
    let body = json!({"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": format!("{LEVEL}: {text}")}]});
    let mut built = request(Method::POST, "/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json");
    for (name, value) in more {
        built = built.header(*name, *value);
    }
    built.body(Body::from(body.to_string())).expect("a request")
}

async fn call(s: &Scripted, text: &str) -> Answer {
    send(&s.gateway, chat(&s.key, text, &[], false)).await
}

/// A call that must wait: the id of its approval.
fn waits(answer: &Answer) -> String {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["decision"]), (403, &json!("approval_required")), "{body:#}");
    body["approval_id"].as_str().expect("an id").to_owned()
}

async fn decide(s: &Scripted, id: &str, decision: &str) -> Answer {
    let body = json!({"decision": decision, "reason": "because"});
    ask(&s.gateway, &s.admin, Method::POST, &format!("/admin/approvals/{id}/decide"), body).await
}

async fn approve(s: &Scripted, id: &str) {
    assert_eq!(decide(s, id, "approve").await.status, 200);
}

async fn mine(s: &Scripted, method: Method, rest: &str) -> Answer {
    ask(&s.gateway, &s.key, method, &format!("/v1/me/approvals{rest}"), Value::Null).await
}

async fn logged(s: &Scripted, kind: &str) -> Vec<Value> {
    let log = admin(s, Method::GET, "/audit?limit=100", Value::Null).await;
    let items = log["items"].as_array().expect("events").clone();
    items.into_iter().filter(|e| e["event_type"] == kind).collect()
}

#[tokio::test]
async fn a_call_waits_is_approved_and_passes_once() {
    let s = by_level().await;
    let refused = call(&s, "send it").await;
    let id = waits(&refused);
    let body = refused.json();
    assert_eq!(refused.header("x-should-retry"), "false");
    assert!(body["blocked_by"].is_null() && body["error"]["type"] == "approval_required", "{body:#}");
    assert_eq!(body["resume_token"], id.as_str());
    assert!(
        body["approval_url"].as_str().is_some_and(|url| url.ends_with(&format!("/admin/approvals/{id}")))
    );
    assert_eq!(s.provider.connections(), 0, "not a byte left");
    assert_eq!(waits(&call(&s, "send it").await), id, "the same call, the same question");

    let listed = admin(&s, Method::GET, "/admin/approvals?state=pending", Value::Null).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["items"][0]["summary"], "[MARKING_RESTRICTED]: send it");
    assert!(listed["items"][0]["request"].is_null(), "a list is no place for contents");
    let shown = admin(&s, Method::GET, &format!("/admin/approvals/{id}"), Value::Null).await;
    assert_eq!(shown["request"]["messages"][0]["content"], format!("{LEVEL}: send it"));
    assert_eq!((&shown["state"], &shown["agent_id"]), (&json!("pending"), &json!("agent")));
    let metrics = ask(&s.gateway, crate::client::ADMIN_KEY, Method::GET, "/metrics", Value::Null).await.text;
    assert!(metrics.contains("tappass_approvals_pending 1"), "{metrics}");

    approve(&s, &id).await;
    let again = decide(&s, &id, "deny").await;
    assert_eq!((again.status.as_u16(), &again.json()["code"]), (409, &json!("already_decided")));
    assert!(again.text.contains("approved by ciso@client.example"), "{}", again.text);
    assert_eq!(call(&s, "send it").await.status, 200);
    assert_ne!(waits(&call(&s, "send it").await), id, "single use");
    assert_eq!(s.provider.requests().len(), 1);

    let asked = logged(&s, "approval_requested").await;
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1]["details"]["approval"], id.as_str());
    let decided = logged(&s, "approval_decided").await;
    assert_eq!(decided.len(), 1);
    assert_eq!(
        (&decided[0]["user"], &decided[0]["details"]["decision"]),
        (&json!("ciso@client.example"), &json!("approve"))
    );
    let passed = logged(&s, "llm_call").await;
    assert_eq!(passed[0]["details"]["approvals"], json!([id]));
}

#[tokio::test]
async fn what_is_approved_is_bound() {
    let s = by_level().await;
    let id = waits(&call(&s, "pay 100").await);
    approve(&s, &id).await;
    waits(&call(&s, "pay 1000").await);
    waits(&send(&s.gateway, chat(&s.key, "pay 100", &[("x-tappass-user", "jo")], false)).await);
    waits(&send(&s.gateway, chat(&s.key, "pay 100", &[("x-tappass-flags", "pii=block")], false)).await);
    waits(&send(&s.gateway, chat(&s.key, "pay 100", &[], true)).await);

    let other = admin(&s, Method::POST, "/agents/register", json!({"agent_id": "other"})).await;
    let key = other["api_key"].as_str().expect("a key");
    let strict = json!({"pipeline": "own", "mode": "enforce", "floor": "enforce"});
    admin(&s, Method::PATCH, "/agents/other", strict).await;
    waits(&send(&s.gateway, chat(key, "pay 100", &[], false)).await);
    let stolen = send(&s.gateway, chat(key, "pay 100", &[("x-tappass-resume", &id)], false)).await;
    assert_eq!((stolen.status.as_u16(), &stolen.json()["decision"]), (403, &json!("policy_block")));
    for (method, end) in
        [(Method::GET, ""), (Method::GET, "/wait"), (Method::POST, "/cancel"), (Method::POST, "/resume")]
    {
        let foreign = ask(&s.gateway, key, method, &format!("/me/approvals/{id}{end}"), Value::Null).await;
        assert_eq!(foreign.status, 404, "another agent's is what does not exist");
    }

    let file = json!({"preset": "starter", "overrides": {"policy": {"require_human_approval": [{"classification": "CONFIDENTIAL"}]},
        "detect_injection": {"threshold": 0.7}}});
    admin(&s, Method::PUT, "/pipelines/own", file).await;
    let changed = send(&s.gateway, chat(&s.key, "pay 100", &[("x-tappass-resume", &id)], false)).await;
    assert!(changed.text.contains("pipeline differ"), "{}", changed.text);
    waits(&call(&s, "pay 100").await);
    assert_eq!(s.provider.connections(), 0);
}

#[tokio::test]
async fn a_resume_token_serves_once_and_only_when_approved() {
    let s = by_level().await;
    let id = waits(&call(&s, "send it").await);
    let with = async |token: &str| {
        send(&s.gateway, chat(&s.key, "send it", &[("x-tappass-resume", token)], false)).await
    };
    assert_eq!(waits(&with(&id).await), id, "nobody has decided");
    for wrong in ["nonsense", "00000000-0000-0000-0000-000000000000"] {
        assert!(with(wrong).await.text.contains("of no approval of this agent"));
    }
    approve(&s, &id).await;
    assert_eq!(with(&id).await.status, 200);
    let used = with(&id).await;
    assert_eq!(used.status, 403);
    assert!(used.text.contains("has been used"), "{}", used.text);
    assert_eq!(s.provider.requests().len(), 1);
}

#[tokio::test]
async fn the_stored_call_runs_once() {
    let s = by_level().await;
    let stored = chat(
        &s.key,
        "send it",
        &[("x-tappass-user", "jo"), ("x-tappass-flags", "pii=mask"), ("x-tappass-session", "s1")],
        false,
    );
    let id = waits(&send(&s.gateway, stored).await);
    let early = mine(&s, Method::POST, &format!("/{id}/resume")).await;
    assert_eq!((early.status.as_u16(), early.json()["error"]["code"].clone()), (409, json!("not_approved")));
    approve(&s, &id).await;
    s.provider.push(Reply::says("sent"));
    let done = mine(&s, Method::POST, &format!("/{id}/resume")).await;
    assert_eq!(done.status, 200, "{done:?}");
    let body = done.json();
    assert_eq!(body["choices"][0]["message"]["content"], "sent");
    assert_eq!(body["tappass"]["session_id"], "s1");
    assert!(String::from_utf8_lossy(&s.provider.requests()[0].body).contains("send it"));
    assert_eq!(mine(&s, Method::POST, &format!("/{id}/resume")).await.status, 409);
    assert_eq!(s.provider.requests().len(), 1);
}

#[tokio::test]
async fn a_no_holds_and_a_cancelled_question_is_gone() {
    let s = by_level().await;
    let id = waits(&call(&s, "send it").await);
    assert_eq!(decide(&s, &id, "deny").await.status, 200);
    let refused = call(&s, "send it").await;
    let body = refused.json();
    assert_eq!((refused.status.as_u16(), &body["decision"]), (403, &json!("policy_block")));
    assert!(body["reason"].as_str().is_some_and(|why| why.contains("denied this call: because")), "{body:#}");
    let gone = waits(&call(&s, "something else").await);
    let cancelled = mine(&s, Method::POST, &format!("/{gone}/cancel")).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.json()["state"]), (200, &json!("cancelled")));
    assert_eq!(decide(&s, &gone, "approve").await.status, 409);
    assert_ne!(waits(&call(&s, "something else").await), gone);
    let listed = mine(&s, Method::GET, "?state=denied").await.json();
    assert_eq!(listed["items"][0]["approval_id"], id.as_str());
    assert_eq!(mine(&s, Method::GET, "?state=maybe").await.status, 400);
    assert_eq!(mine(&s, Method::GET, "?limit=2").await.json()["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn time_that_is_over_means_no() {
    let clock = Arc::new(ManualClock::default());
    let plain = tappass_server::Setup { clock: clock.clone(), ..setup(config()) };
    let when = json!([{"classification": "CONFIDENTIAL", "expires_seconds": 60}]);
    let s = needing(Scripted::of(plain, &[]).await, when).await;
    let late = waits(&call(&s, "send it").await);
    clock.advance(Duration::from_secs(61));
    let waited = mine(&s, Method::GET, &format!("/{late}/wait")).await;
    assert_eq!((waited.status.as_u16(), &waited.json()["state"]), (200, &json!("timed_out")));
    assert_eq!(decide(&s, &late, "approve").await.status, 409);
    let unused = waits(&call(&s, "send it").await);
    assert_ne!(unused, late);
    approve(&s, &unused).await;
    clock.advance(Duration::from_secs(61));
    let over = send(&s.gateway, chat(&s.key, "send it", &[("x-tappass-resume", &unused)], false)).await;
    assert!(over.status == 403 && over.text.contains("its time means no"), "{}", over.text);
    waits(&call(&s, "send it").await);
    assert_eq!(s.provider.connections(), 0);
}

#[tokio::test]
async fn whoever_waits_is_told_at_once() {
    let s = by_level().await;
    let id = waits(&call(&s, "send it").await);
    let none = mine(&s, Method::GET, &format!("/{id}/wait?timeout_seconds=0")).await;
    assert_eq!((none.status.as_u16(), &none.json()["code"]), (408, &json!("approval_pending")));
    let rest = format!("/{id}/wait?timeout_seconds=60");
    let waiting = mine(&s, Method::GET, &rest);
    let deciding = async {
        tokio::task::yield_now().await;
        approve(&s, &id).await;
    };
    let (told, ()) = tokio::join!(waiting, deciding);
    assert_eq!((told.status.as_u16(), &told.json()["state"]), (200, &json!("approved")));
}

#[tokio::test]
async fn four_eyes_means_somebody_else() {
    let when = json!([{"classification": "CONFIDENTIAL", "four_eyes": true}]);
    let s = needing(Scripted::new(&[]).await, when).await;
    let own =
        send(&s.gateway, chat(&s.key, "send it", &[("x-tappass-user", "CISO@client.example")], false)).await;
    let own = waits(&own);
    let refused = decide(&s, &own, "approve").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!("four_eyes")));
    let by_key = json!({"decision": "approve"});
    let uri = format!("/admin/approvals/{own}/decide");
    let nameless = ask(&s.gateway, crate::client::ADMIN_KEY, Method::POST, &uri, by_key).await;
    assert!(nameless.status == 403 && nameless.text.contains("sign in as a person"), "{nameless:?}");
    let others =
        send(&s.gateway, chat(&s.key, "send it", &[("x-tappass-user", "jo@client.example")], false)).await;
    approve(&s, &waits(&others)).await;
    admin(&s, Method::PATCH, "/agents/agent", json!({"owner_email": "ciso@client.example"})).await;
    let of_mine = waits(&call(&s, "send it").await);
    assert!(decide(&s, &of_mine, "approve").await.text.contains("the agent is yours"));
}

#[tokio::test]
async fn in_observe_nobody_is_asked() {
    let s = Scripted::new(&[]).await;
    let file = json!({"preset": "starter", "overrides": {"policy": {"require_human_approval": [{"classification": "PUBLIC"}]}}});
    admin(&s, Method::PUT, "/pipelines/own", file).await;
    admin(&s, Method::PATCH, "/agents/agent", json!({"pipeline": "own"})).await;
    let passed = call(&s, "send it").await;
    assert_eq!(passed.status, 200);
    assert_eq!(passed.json()["tappass"]["would_block"][0]["step"], "require_approval");
    assert_eq!(mine(&s, Method::GET, "").await.json()["items"], json!([]));
    assert_eq!(logged(&s, "approval_requested").await.len(), 0);
}

#[tokio::test]
async fn an_approved_call_streams_and_one_whose_provider_was_never_reached_stays_approved() {
    let s = by_level().await;
    let id = waits(&send(&s.gateway, chat(&s.key, "send it", &[], true)).await);
    approve(&s, &id).await;
    // A budget that holds nothing refuses the call after the approval has been looked at: a policy at the phase's end.
    let rego = "package tappass.guardrails\nimport rego.v1\ndefault decision := {\"action\": \"block\", \"reason\": \"not now\"}\n";
    admin(&s, Method::PUT, "/policies/guardrails", json!({"rego": rego})).await;
    let refused = send(&s.gateway, chat(&s.key, "send it", &[], true)).await;
    assert!(refused.status == 403 && refused.text.contains("not now"), "{refused:?}");
    let removed = ask(&s.gateway, &s.admin, Method::DELETE, "/policies/guardrails", Value::Null).await;
    assert!(removed.status.is_success());
    s.provider.push(Reply::chat_stream(&["it ", "is ", "sent"]));
    let streamed = send(&s.gateway, chat(&s.key, "send it", &[], true)).await;
    assert_eq!(streamed.status, 200, "{streamed:?}");
    let text: String =
        events(&streamed.text).iter().filter_map(|e| e["content"].as_str().map(str::to_owned)).collect();
    assert_eq!(text, "it is sent");
    waits(&send(&s.gateway, chat(&s.key, "send it", &[], true)).await);
    assert_eq!(s.provider.requests().len(), 1);
}

fn paying(stream: bool, amount: u32) -> Reply {
    let call = json!([{"index": 0, "id": "c1", "type": "function",
        "function": {"name": "pay", "arguments": json!({"amount": amount, "to": "Ghent"}).to_string()}}]);
    if stream {
        let chunk = |delta: Value, reason: Value| {
            json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
        };
        let delta = json!({"role": "assistant", "content": "Paying.", "tool_calls": call});
        let events = vec![chunk(delta, Value::Null), chunk(json!({}), json!("tool_calls"))];
        return Reply::stream(events, Duration::ZERO);
    }
    Reply::answer(json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": call}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}))
}

fn tooled(s: &Scripted, messages: &Value, stream: bool) -> Request<Body> {
    let body = json!({"model": "gpt-4o", "stream": stream, "messages": messages,
        "tools": [{"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}]});
    request(Method::POST, "/v1/chat/completions")
        .header("authorization", format!("Bearer {}", s.key))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .expect("a request")
}

#[tokio::test]
async fn a_tool_call_that_the_model_wants_waits_and_then_reaches_the_agent_once() {
    let when = json!([{"tool": "pay", "amount": {"argument": "amount", "min": 1000}}]);
    let s = needing(Scripted::new(&[]).await, when).await;
    let please = json!([{"role": "user", "content": "Pay the bill"}]);
    for stream in [false, true] {
        s.provider.push(paying(stream, 999));
        let small = send(&s.gateway, tooled(&s, &please, stream)).await;
        assert!(small.status == 200 && small.text.contains("999"), "{small:?}");
        s.provider.push(paying(stream, 5000));
        let held = send(&s.gateway, tooled(&s, &please, stream)).await;
        assert!(!held.text.contains("5000"), "the agent must not see it: {}", held.text);
        let id = if stream {
            let last = events(&held.text).pop().expect("an event");
            assert_eq!(last["choices"][0]["finish_reason"], "content_filter");
            last["tappass"]["approval"]["approval_id"].as_str().expect("an id").to_owned()
        } else {
            waits(&held)
        };
        let shown = admin(&s, Method::GET, &format!("/admin/approvals/{id}"), Value::Null).await;
        assert_eq!(shown["tool_call"], json!({"tool": "pay", "arguments": {"amount": 5000, "to": "Ghent"}}));
        assert_eq!((&shown["subject"], &shown["summary"]), (&json!("tool_call"), &json!("pay(amount, to)")));
        approve(&s, &id).await;
        s.provider.push(paying(stream, 6000));
        let other = send(&s.gateway, tooled(&s, &please, stream)).await;
        assert!(!other.text.contains("6000"), "other arguments need another approval");
        s.provider.push(paying(stream, 5000));
        let done = send(&s.gateway, tooled(&s, &please, stream)).await;
        assert!(done.status == 200 && done.text.contains("5000"), "{done:?}");
        s.provider.push(paying(stream, 5000));
        assert!(!send(&s.gateway, tooled(&s, &please, stream)).await.text.contains("5000"), "once");
    }
    // The conversation goes on with what was approved, and not with what nobody knows of.
    let history = |amount: u32| {
        let arguments = json!({"to": "Ghent", "amount": amount}).to_string();
        json!([{"role": "user", "content": "Pay the bill"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "pay", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "paid"}])
    };
    assert_eq!(send(&s.gateway, tooled(&s, &history(5000), false)).await.status, 200);
    waits(&send(&s.gateway, tooled(&s, &history(7000), false)).await);
}

#[tokio::test]
async fn a_client_that_leaves_uses_no_approval_of_a_tool_call() {
    let s = needing(Scripted::new(&[]).await, json!([{"tool": "pay"}])).await;
    let please = json!([{"role": "user", "content": "Pay the bill"}]);
    s.provider.push(paying(true, 5000));
    let held = send(&s.gateway, tooled(&s, &please, true)).await;
    let last = events(&held.text).pop().expect("an event");
    let id = last["tappass"]["approval"]["approval_id"].as_str().expect("an id").to_owned();
    approve(&s, &id).await;
    s.provider.push(paying(true, 5000).stall_after(1));
    let mut body = s.gateway.call(tooled(&s, &please, true)).await.into_body();
    body.frame().await.expect("a frame").expect("data");
    drop(body);
    for _ in 0..500 {
        if s.last_call().await.is_some_and(|e| e["details"]["client_left"] == true) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(mine(&s, Method::GET, &format!("/{id}")).await.json()["used_at"], Value::Null);
    s.provider.push(paying(true, 5000));
    assert!(send(&s.gateway, tooled(&s, &please, true)).await.text.contains("5000"));
}

/// Many decide and many resume at once: one decision, one execution.
async fn race(s: Scripted) {
    let id = waits(&call(&s, "send it").await);
    let decisions = join_all((0..8).map(|n| {
        let (s, id) = (&s, &id);
        async move { decide(s, id, if n % 2 == 0 { "approve" } else { "deny" }).await.status.as_u16() }
    }))
    .await;
    assert_eq!(decisions.iter().filter(|status| **status == 200).count(), 1, "{decisions:?}");
    assert_eq!(decisions.iter().filter(|status| **status == 409).count(), 7, "{decisions:?}");
    assert_eq!(logged(&s, "approval_decided").await.len(), 1);

    let id = waits(&call(&s, "send that").await);
    approve(&s, &id).await;
    s.provider.always(Reply::says("done").delay(Duration::from_millis(50)));
    let resumes = join_all((0..8).map(|n| {
        let (s, id) = (&s, &id);
        async move {
            match n % 2 {
                0 => call(s, "send that").await,
                _ => mine(s, Method::POST, &format!("/{id}/resume")).await,
            }
        }
    }))
    .await;
    assert_eq!(resumes.iter().filter(|a| a.status == 200).count(), 1, "{resumes:#?}");
    assert_eq!(s.provider.requests().len(), 1, "one execution");
}

#[tokio::test]
async fn two_at_once_decide_once_and_run_once() {
    let when = json!([{"classification": "CONFIDENTIAL"}]);
    let dir = tempfile::tempdir().expect("a directory");
    let local = Config { storage: Storage::Local, data_dir: dir.path().into(), ..config() };
    race(needing(Scripted::of(setup(local), &[]).await, when.clone()).await).await;
    let server = TempPostgres::start().await.expect("PostgreSQL");
    let database_url = Some(server.database().await.expect("a database"));
    let postgres = Config { storage: Storage::Postgres, database_url, ..config() };
    race(needing(Scripted::of(setup(postgres), &[]).await, when).await).await;
}

#[tokio::test]
async fn what_one_replica_is_told_the_other_knows() {
    let server = TempPostgres::start().await.expect("PostgreSQL");
    let database_url = Some(server.database().await.expect("a database"));
    let postgres = Config { storage: Storage::Postgres, database_url, ..config() };
    let when = json!([{"classification": "CONFIDENTIAL"}]);
    let s = needing(Scripted::of(setup(postgres.clone()), &[]).await, when).await;
    let other = Gateway::new(Box::pin(App::open(setup(postgres))).await.expect("opens").0);
    let id = waits(&call(&s, "send it").await);
    let uri = format!("/admin/approvals/{id}");
    let shown = ask(&other, &s.admin, Method::GET, &uri, Value::Null).await.json();
    assert_eq!(shown["request"]["messages"][0]["content"], format!("{LEVEL}: send it"));
    let rest = format!("/{id}/wait?timeout_seconds=60");
    let (decide, yes) = (format!("{uri}/decide"), json!({"decision": "approve"}));
    let deciding = ask(&other, &s.admin, Method::POST, &decide, yes);
    let (told, decided) = tokio::join!(mine(&s, Method::GET, &rest), deciding);
    assert_eq!((decided.status.as_u16(), &told.json()["state"]), (200, &json!("approved")));
    assert_eq!(call(&s, "send it").await.status, 200);
}

#[tokio::test]
async fn a_call_in_the_older_form_waits_too() {
    let s = needing(Scripted::new(&[]).await, json!([{"tool": "pay"}])).await;
    let call = json!({"name": "pay", "arguments": "{\"eur\": 5000}"});
    let whole = Reply::answer(json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "function_call": call}, "finish_reason": "function_call"}]}));
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let pieces = vec![
        chunk(json!({"role": "assistant", "function_call": {"name": "pay", "arguments": ""}}), Value::Null),
        chunk(json!({"function_call": {"arguments": "{\"eur\": "}}), Value::Null),
        chunk(json!({"function_call": {"arguments": "5000}"}}), Value::Null),
        chunk(json!({}), json!("function_call")),
    ];
    for (stream, reply) in [(false, whole), (true, Reply::stream(pieces, Duration::ZERO))] {
        let body = json!({"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": "Pay the bill"}],
            "functions": [{"name": "pay", "parameters": {"type": "object"}}]});
        s.provider.push(reply.clone());
        let held = ask(&s.gateway, &s.key, Method::POST, "/v1/chat/completions", body.clone()).await;
        assert!(!held.text.contains("5000") && held.text.contains("approval_id"), "{}", held.text);
        let list = admin(&s, Method::GET, "/admin/approvals?state=pending", Value::Null).await;
        approve(&s, list["items"][0]["approval_id"].as_str().expect("an id")).await;
        s.provider.push(reply);
        let done = ask(&s.gateway, &s.key, Method::POST, "/v1/chat/completions", body).await;
        assert!(done.status == 200 && done.text.contains("5000"), "{}", done.text);
    }
}

#[tokio::test]
async fn a_stored_call_is_sent_again_in_its_own_dialect() {
    let s = by_level().await;
    let body = json!({"model": "claude-x", "max_tokens": 9,
        "messages": [{"role": "user", "content": format!("{LEVEL}: hello")}]});
    let asked = request(Method::POST, "/v1/messages")
        .header("x-api-key", &s.key)
        .header("content-type", "application/json")
        .header("anthropic-beta", "one")
        .body(Body::from(body.to_string()))
        .expect("a request");
    let answer = send(&s.gateway, asked).await;
    let id = waits(&answer);
    let told = answer.json();
    assert_eq!((&told["type"], &told["error"]["type"]), (&json!("error"), &json!("permission_error")));
    assert_eq!(told["error"]["code"], "approval_required");
    admin(&s, Method::POST, &format!("/admin/approvals/{id}/decide"), json!({"decision": "approve"})).await;
    let uri = format!("/me/approvals/{id}/resume");
    let resumed = ask(&s.gateway, &s.key, Method::POST, &uri, Value::Null).await;
    assert_eq!(resumed.status, 200, "{}", resumed.text);
    assert_eq!(resumed.json()["content"][0]["text"], "Hello from the scripted provider.");
    let got = s.provider.last_request().expect("a request");
    assert_eq!((got.path.as_str(), got.header("anthropic-beta")), ("/v1/messages", Some("one")));
}
