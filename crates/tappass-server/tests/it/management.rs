//! The management routes, as an admin, a script and an auditor use them.

use axum::body::Body;
use futures_util::StreamExt;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tappass_server::{
    Agent, Gateway,
    router::{Auth, Route},
};

use crate::{
    client::{ADMIN_KEY, Answer, ask, request, send},
    world::{self, PASSWORD, World},
};

const NONE: Value = Value::Null;

async fn signed_up() -> (Gateway, String, Value) {
    let gateway = Gateway::new(world::app().await);
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "org_name": "Analytical"});
    let made = ask(&gateway, "", Method::POST, "/auth/signup", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    (gateway, made["session"]["token"].as_str().expect("a token").to_owned(), made)
}

/// It says what is wrong, with a hint at what is right.
fn refused(answer: &Answer, status: u16, code: &str, hint: &str) {
    let problem = answer.json();
    assert_eq!((answer.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains(hint)), "{problem}");
}

fn types(events: &Value) -> Vec<&str> {
    let items = events["items"].as_array().expect("a list");
    items.iter().map(|e| e["event_type"].as_str().expect("a type")).collect()
}

#[tokio::test]
async fn from_signup_to_an_enforced_agent() {
    let (gateway, token, made) = signed_up().await;
    assert_eq!(
        (made["user"]["email"].as_str(), made["user"]["role"].as_str()),
        (Some("ada@example.com"), Some("org_admin"))
    );
    assert_eq!(made["org"]["name"], "Analytical");
    let me = ask(&gateway, &token, Method::GET, "/v1/auth/me", NONE).await.json();
    assert_eq!((&me["org"], &me["role"]), (&made["org"], &json!("org_admin")));

    let new = json!({"agent_id": "claims", "preset": "starter", "description": "Reads claims"});
    let agent = ask(&gateway, &token, Method::POST, "/agents/register", new).await;
    assert_eq!(agent.status, 201, "{agent:?}");
    let agent = agent.json();
    let names: Vec<_> = agent.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["agent_id", "agent_uuid", "org_id", "name", "pipeline", "mode", "floor", "api_key"]);
    assert_eq!(
        (&agent["mode"], &agent["floor"], &agent["pipeline"]),
        (&json!("observe"), &json!("observe"), &json!("starter"))
    );
    assert!(agent["api_key"].as_str().is_some_and(|key| key.starts_with("tp_")));

    let enforce = json!({"mode": "enforce", "floor": "enforce"});
    let changed = ask(&gateway, &token, Method::PATCH, "/agents/claims", enforce).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["floor"]), (200, &json!("enforce")));
    let suspended = ask(&gateway, &token, Method::POST, "/agents/claims/suspend", NONE).await;
    assert_eq!(suspended.json()["status"], "suspended");
    let key = ask(&gateway, &token, Method::POST, "/agents/claims/keys", NONE).await;
    assert_eq!(key.status, 201);
    let revoke = format!("/agents/claims/keys/{}", key.json()["key_id"].as_str().expect("an id"));
    assert_eq!(ask(&gateway, &token, Method::DELETE, &revoke, NONE).await.status, 204);
    assert_eq!(
        ask(&gateway, &token, Method::DELETE, &revoke, NONE).await.status,
        404,
        "a key is revoked once"
    );
    assert_eq!(ask(&gateway, &token, Method::DELETE, "/agents/claims", NONE).await.status, 204);

    let log = ask(&gateway, &token, Method::GET, "/audit", NONE).await;
    let events = log.json();
    let order = [
        "config_changed",
        "key_revoked",
        "key_created",
        "config_changed",
        "config_changed",
        "agent_registered",
        "signin",
    ];
    assert_eq!(types(&events), order);
    let change = &events["items"][4];
    assert_eq!(change["details"]["changes"]["floor"], json!(["observe", "enforce"]));
    assert_eq!((&change["user"], &change["agent_id"]), (&json!("ada@example.com"), &json!("claims")));
    for secret in [agent["api_key"].as_str(), Some(token.as_str()), key.json()["api_key"].as_str()] {
        assert!(!log.text.contains(secret.expect("a text")), "a secret is in the log");
    }
}

async fn who(Agent(agent): Agent) -> String {
    agent.agent_id.clone()
}

#[tokio::test]
async fn a_key_opens_until_it_is_revoked_or_its_agent_suspended() {
    let (management, token, _) = signed_up().await;
    let agents = Gateway::with_routes(
        management.app().clone(),
        vec![
            Route::new(Method::POST, "/who", Auth::Agent, who, "Says who")
                .speaks(tappass_model::Dialect::OpenAiChat),
        ],
    );
    let made =
        ask(&management, &token, Method::POST, "/agents/register", json!({"agent_id": "one"})).await.json();
    let key = made["api_key"].as_str().expect("a key").to_owned();
    let call = || async { ask(&agents, &key, Method::POST, "/v1/who", NONE).await };
    assert_eq!(call().await.text, "one");
    let with_api_key =
        request(Method::POST, "/who").header("x-api-key", &key).body(Body::empty()).expect("a request");
    assert_eq!(send(&agents, with_api_key).await.text, "one");
    ask(&management, &token, Method::POST, "/agents/one/suspend", NONE).await;
    let refused = call().await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (403, &json!("agent_suspended")));
    ask(&management, &token, Method::POST, "/agents/one/reactivate", NONE).await;
    assert_eq!(call().await.status, 200);
    let detail = ask(&management, &token, Method::GET, "/agents/one", NONE).await.json();
    let revoke = format!("/agents/one/keys/{}", detail["keys"][0]["key_id"].as_str().expect("an id"));
    ask(&management, &token, Method::DELETE, &revoke, NONE).await;
    let refused = call().await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["type"]),
        (401, &json!("authentication_error"))
    );
}

#[tokio::test]
async fn what_cannot_be_governed_is_refused_with_a_sentence() {
    let (gateway, token, _) = signed_up().await;
    let register = |body: Value| ask(&gateway, &token, Method::POST, "/agents/register", body);
    for id in [
        "",
        "Claims",
        "a b",
        "-x",
        "../x",
        &"x".repeat(65),
        "register",
        "0198c5a0-0000-7000-8000-000000000000",
    ] {
        refused(&register(json!({"agent_id": id})).await, 422, "invalid_agent_id", "claims-processor");
    }
    refused(
        &register(json!({"agent_id": "a", "preset": "strict"})).await,
        422,
        "unknown_pipeline",
        "GET /pipelines",
    );
    refused(&register(json!({"agent_id": "a", "colour": "red"})).await, 422, "invalid_body", "colour");
    refused(&register(json!({"agent_id": "a", "mode": "loud"})).await, 422, "invalid_body", "`mode`");
    refused(&register(json!({"agent_id": "a", "name": "\u{1b}[2J"})).await, 422, "invalid_text", "control");
    assert_eq!(register(json!({"agent_id": "a"})).await.status, 201);
    refused(&register(json!({"agent_id": "a"})).await, 409, "conflict", "already exists");
    let patch = |body: Value| ask(&gateway, &token, Method::PATCH, "/agents/a", body);
    refused(&patch(json!({"floor": "enforce"})).await, 422, "mode_below_floor", "raise the mode");
    refused(&patch(json!({"flags": {"pii": "hide"}})).await, 422, "invalid_body", "mask, block, flag, off");
    refused(&patch(json!({"pipeline": "nothing"})).await, 422, "unknown_pipeline", "nothing");
    let list = |query: &'static str| ask(&gateway, &token, Method::GET, query, NONE);
    refused(&list("/agents?limt=3").await, 400, "invalid_query", "limt");
    refused(&list("/agents?cursor=zz").await, 400, "invalid_cursor", "begin without one");
    refused(&list("/audit?event_type=nonsense").await, 400, "invalid_query", "llm_call_blocked");
    refused(&list("/audit?since=yesterday").await, 400, "invalid_query", "2026-");
}

#[tokio::test]
async fn a_change_of_what_has_changed_is_refused() {
    let (gateway, token, _) = signed_up().await;
    ask(&gateway, &token, Method::POST, "/agents/register", json!({"agent_id": "a"})).await;
    let tag = ask(&gateway, &token, Method::GET, "/agents/a", NONE).await.header("etag").to_owned();
    let change = |uri: &'static str, method: Method, tag: String, body: Value| {
        let built =
            request(method, uri).header("authorization", format!("Bearer {token}")).header("if-match", tag);
        let built = built.header("content-type", "application/json").body(Body::from(body.to_string()));
        send(&gateway, built.expect("a request"))
    };
    let first = change("/agents/a", Method::PATCH, tag.clone(), json!({"trace": true})).await;
    assert_eq!(first.status, 200);
    assert_ne!(first.header("etag"), tag);
    let second = change("/agents/a", Method::PATCH, tag, json!({"trace": false})).await;
    assert_eq!((second.status.as_u16(), &second.json()["code"]), (412, &json!("precondition_failed")));

    let file = json!({"preset": "starter"});
    let made = change("/pipelines/own", Method::PUT, "\"v0\"".to_owned(), file.clone()).await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (201, "\"v1\""));
    assert_eq!(change("/pipelines/own", Method::PUT, "\"v0\"".to_owned(), file.clone()).await.status, 412);
    assert_eq!(change("/pipelines/own", Method::PUT, "\"v1\"".to_owned(), file).await.status, 200);
}

#[tokio::test]
async fn pipelines_are_checked_written_and_assigned() {
    let (gateway, token, _) = signed_up().await;
    let put = |name: &'static str, yaml: &'static str| {
        let built = request(Method::PUT, name).header("authorization", format!("Bearer {token}"));
        let built = built.header("content-type", "application/yaml").body(Body::from(yaml));
        send(&gateway, built.expect("a request"))
    };
    let made =
        put("/pipelines/own", "preset: starter\noverrides:\n  detect_pii:\n    on_detection: block\n").await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let pii = made["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .find(|s| s["id"] == "detect_pii")
        .expect("the step")
        .clone();
    assert_eq!(pii["parameters"]["on_detection"], "block");
    let starter = ask(&gateway, &token, Method::GET, "/pipelines/starter", NONE).await.json();
    assert_ne!(made["hash"], starter["hash"]);
    let wrong = put("/pipelines/own", "preset: starter\noverrides:\n  detect_pie: {}\n").await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["code"]), (422, &json!("invalid_pipeline")));
    assert!(wrong.json()["detail"].as_str().is_some_and(|d| d.contains("line 3")), "{wrong:?}");
    let preset = put("/pipelines/starter", "preset: starter\n").await;
    assert_eq!((preset.status.as_u16(), &preset.json()["code"]), (409, &json!("preset_name")));

    ask(&gateway, &token, Method::POST, "/agents/register", json!({"agent_id": "a"})).await;
    let assigned = ask(&gateway, &token, Method::PUT, "/agents/a/pipeline", json!({"pipeline": "own"})).await;
    assert_eq!((assigned.status.as_u16(), &assigned.json()["pipeline"]), (200, &json!("own")));
    let log = ask(&gateway, &token, Method::GET, "/audit?event_type=pipeline_changed", NONE).await.json();
    assert_eq!(types(&log), ["pipeline_changed", "pipeline_changed"]);
    let names: Vec<_> = ask(&gateway, &token, Method::GET, "/pipelines", NONE).await.json()["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| p["name"].clone())
        .collect();
    assert!(names.contains(&json!("starter")) && names.contains(&json!("own")), "{names:?}");
}

#[tokio::test]
async fn every_organisation_has_a_default_pipeline_and_may_write_its_own() {
    let (gateway, token, _) = signed_up().await;
    let hash = async |name: &str| {
        let shown = ask(&gateway, &token, Method::GET, &format!("/pipelines/{name}"), NONE).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        shown.json()["hash"].clone()
    };
    assert_eq!(hash("default").await, hash("starter").await);
    let own = json!({"preset": "starter", "overrides": {"detect_pii": {"on_detection": "block"}}});
    let put = ask(&gateway, &token, Method::PUT, "/pipelines/default", own).await;
    assert_eq!(put.status, 201, "{put:?}");
    assert_ne!(hash("default").await, hash("starter").await);
}

#[tokio::test]
async fn lists_page_without_a_hole_or_a_repeat() {
    let (gateway, token, _) = signed_up().await;
    for i in 0..5 {
        ask(&gateway, &token, Method::POST, "/agents/register", json!({"agent_id": format!("a{i}")})).await;
    }
    for (list, field, all) in [("/agents", "agent_id", 5), ("/audit", "event_id", 6)] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = ask(&gateway, &token, Method::GET, &format!("{list}?limit=2&cursor={cursor}"), NONE)
                .await
                .json();
            seen.extend(page["items"].as_array().expect("a list").iter().map(|i| i[field].to_string()));
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(seen.len(), all, "{list}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all, "{list}");
    }
}

#[tokio::test]
async fn the_same_post_sent_twice_is_done_once() {
    let (gateway, token, _) = signed_up().await;
    let post = |key: &'static str, body: Value| {
        let built =
            request(Method::POST, "/agents/register").header("authorization", format!("Bearer {token}"));
        let built = built.header("content-type", "application/json").header("idempotency-key", key);
        send(&gateway, built.body(Body::from(body.to_string())).expect("a request"))
    };
    let (first, second) =
        tokio::join!(post("k1", json!({"agent_id": "a"})), post("k1", json!({"agent_id": "a"})));
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
    assert_eq!(first.text, second.text, "the same key of the agent, too");
    assert_eq!((first.header("idempotent-replayed"), second.header("idempotent-replayed")), ("", "true"));
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    let other = post("k1", json!({"agent_id": "b"})).await;
    assert_eq!((other.status.as_u16(), &other.json()["code"]), (422, &json!("idempotency_key_reused")));
    assert_eq!(post("k2", json!({"agent_id": "a"})).await.status, 409, "another key is another request");
    // A failure is not kept: it may succeed the next time.
    assert_eq!(post("k3", json!({"agent_id": "A"})).await.status, 422);
    assert_eq!(post("k3", json!({"agent_id": "c"})).await.status, 201);
}

#[tokio::test]
async fn the_admin_key_acts_in_the_only_organisation_or_the_named_one() {
    let gateway = Gateway::new(world::app().await);
    let agents = |query: String| async move { format!("/agents{query}") };
    let none = ask(&gateway, ADMIN_KEY, Method::GET, &agents(String::new()).await, NONE).await;
    assert_eq!((none.status.as_u16(), &none.json()["code"]), (409, &json!("no_organisation")));
    let mut orgs = Vec::new();
    for name in ["one", "two"] {
        let body = json!({"email": format!("a@{name}.example"), "password": PASSWORD, "org_name": name});
        let made = ask(&gateway, "", Method::POST, "/auth/signup", body).await.json();
        orgs.push(made["org"]["org_id"].as_str().expect("an id").to_owned());
        let first = ask(&gateway, ADMIN_KEY, Method::GET, "/agents", NONE).await;
        assert_eq!(first.status, if name == "one" { StatusCode::OK } else { StatusCode::BAD_REQUEST });
    }
    let register = format!("/agents/register?org_id={}", orgs[1]);
    let made = ask(&gateway, ADMIN_KEY, Method::POST, &register, json!({"agent_id": "a"})).await;
    assert_eq!((made.status.as_u16(), &made.json()["org_id"]), (201, &json!(orgs[1])));
    let missing = format!("/agents?org_id={}", gateway.app().ids.uuid());
    assert_eq!(ask(&gateway, ADMIN_KEY, Method::GET, &missing, NONE).await.status, 404);
}

#[tokio::test]
async fn five_wrong_passwords_lock_and_are_recorded() {
    let (gateway, token, _) = signed_up().await;
    let login = |password: &'static str| {
        ask(
            &gateway,
            "",
            Method::POST,
            "/auth/login",
            json!({"email": "ada@example.com", "password": password}),
        )
    };
    let unknown =
        ask(&gateway, "", Method::POST, "/auth/login", json!({"email": "eve@example.com", "password": "x"}))
            .await;
    for _ in 0..4 {
        let wrong = login("wrong").await;
        assert_eq!(
            (wrong.status.as_u16(), wrong.problem()),
            (401, unknown.problem()),
            "which of the two is not told"
        );
    }
    let locked = login(PASSWORD).await;
    assert_eq!((locked.status.as_u16(), &locked.json()["code"]), (429, &json!("rate_limited")));
    assert!(!locked.header("retry-after").is_empty());
    let log = ask(&gateway, &token, Method::GET, "/audit?event_type=signin_failed", NONE).await.json();
    assert_eq!(types(&log).len(), 5);
    assert_eq!(log["items"][0]["details"]["locked"], true);
    assert_eq!(ask(&gateway, &token, Method::POST, "/auth/logout", NONE).await.status, 204);
    assert_eq!(ask(&gateway, &token, Method::GET, "/auth/me", NONE).await.status, 401);
}

#[tokio::test]
async fn the_log_verifies_here_and_elsewhere() {
    let (gateway, token, made) = signed_up().await;
    ask(&gateway, &token, Method::POST, "/agents/register", json!({"agent_id": "a"})).await;
    let sealed = ask(&gateway, &token, Method::POST, "/audit/checkpoint", NONE).await.json();
    assert_eq!(sealed["size"], 3);
    let verdict = ask(&gateway, &token, Method::GET, "/audit/verify", NONE).await.json();
    assert_eq!(
        (&verdict["ok"], &verdict["events"], &verdict["unsealed_tail"]),
        (&json!(true), &json!(3), &json!(0))
    );
    let expect = |root: &str| format!("/audit/verify?expect=3:{root}");
    let root = sealed["root"].as_str().expect("a root");
    assert_eq!(ask(&gateway, &token, Method::GET, &expect(root), NONE).await.json()["ok"], true);
    let other = expect(&"0".repeat(64));
    assert_eq!(ask(&gateway, &token, Method::GET, &other, NONE).await.json()["ok"], false);

    let table =
        ask(&gateway, &token, Method::GET, "/audit/export?format=csv&event_type=agent_registered", NONE)
            .await;
    assert_eq!((table.status.as_u16(), table.header("content-type")), (200, "text/csv; charset=utf-8"));
    let lines: Vec<&str> = table.text.trim_end().split("\r\n").collect();
    assert!(lines[0].starts_with("seq,event_id,ts,") && lines[0].ends_with(",hash"), "{}", lines[0]);
    assert!(
        lines[1..].iter().all(|line| line.contains(",agent_registered,")) && lines.len() > 1,
        "{lines:?}"
    );
    let half = ask(&gateway, &token, Method::GET, "/audit/export?event_type=agent_registered", NONE).await;
    assert_eq!(half.status, 400, "half a log proves nothing");
    let export = ask(&gateway, &token, Method::GET, "/audit/export", NONE).await;
    assert!(export.header("content-disposition").contains(made["org"]["org_id"].as_str().expect("an id")));
    let report =
        tappass_audit::verify_export(export.text.as_bytes(), Vec::new(), Vec::new()).expect("an export");
    assert!(report.report.ok && report.report.events == 3, "{report:?}");
    let tampered = export.text.replace("agent_registered", "agent_regislered");
    assert!(
        tappass_audit::verify_export(tampered.as_bytes(), Vec::new(), Vec::new())
            .map_or(true, |r| !r.report.ok)
    );

    let events = ask(&gateway, &token, Method::GET, "/audit?event_type=agent_registered", NONE).await.json();
    let one = format!("/audit/{}", events["items"][0]["event_id"].as_str().expect("an id"));
    assert_eq!(ask(&gateway, &token, Method::GET, &one, NONE).await.json(), events["items"][0]);
}

/// Reads a stream until so many events have come; gives their ids and types.
async fn follow(
    gateway: &Gateway,
    token: &str,
    last: Option<&str>,
    query: &str,
    count: usize,
) -> Vec<(String, String)> {
    let mut built = request(Method::GET, &format!("/audit/stream{query}"))
        .header("authorization", format!("Bearer {token}"));
    if let Some(last) = last {
        built = built.header("last-event-id", last);
    }
    let response = gateway.call(built.body(Body::empty()).expect("a request")).await;
    assert_eq!(
        (response.status(), response.headers()["content-type"].as_bytes()),
        (StatusCode::OK, &b"text/event-stream"[..])
    );
    let mut pieces = response.into_body().into_data_stream();
    let (mut events, mut text) = (Vec::new(), String::new());
    let reading = async {
        while events.len() < count {
            let piece = pieces.next().await.expect("goes on").expect("reads");
            text.push_str(&String::from_utf8_lossy(&piece));
            while let Some(end) = text.find("\n\n") {
                let block: String = text.drain(..end + 2).collect();
                let field = |name: &str| block.lines().find_map(|l| l.strip_prefix(name)).map(str::to_owned);
                if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                    let data: Value = serde_json::from_str(&data).expect("JSON");
                    events.push((id, data["event_type"].as_str().expect("a type").to_owned()));
                }
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.expect("in time");
    events
}

#[tokio::test]
async fn the_stream_goes_on_where_it_was() {
    let (gateway, token, _) = signed_up().await;
    let acting = async {
        // The stream begins with what comes after it: it must be open first.
        tokio::task::yield_now().await;
        for i in 0..2 {
            ask(&gateway, &token, Method::POST, "/agents/register", json!({"agent_id": format!("a{i}")}))
                .await;
        }
    };
    let (seen, ()) = tokio::join!(follow(&gateway, &token, Some("30"), "", 3), acting);
    let types: Vec<_> = seen.iter().map(|(_, t)| t.as_str()).collect();
    assert_eq!(types, ["signin", "agent_registered", "agent_registered"]);
    ask(&gateway, &token, Method::POST, "/agents/a0/keys", NONE).await;
    let again = follow(&gateway, &token, Some(&seen[1].0), "", 2).await;
    assert_eq!(again[0], seen[2], "no hole, no repeat");
    assert_eq!(again[1].1, "key_created");
    let filtered =
        follow(&gateway, &token, None, &format!("?cursor={}&event_type=key_created", seen[0].0), 1).await;
    assert_eq!(filtered[0], again[1]);
    let made_up = ask(&gateway, &token, Method::GET, "/audit/stream?cursor=zz", NONE).await;
    assert_eq!((made_up.status.as_u16(), &made_up.json()["code"]), (400, &json!("invalid_cursor")));
}

#[tokio::test]
async fn status_says_what_to_do() {
    let world = World::new().await;
    let status = |token: String| {
        let gateway = &world.gateway;
        async move { ask(gateway, &token, Method::GET, "/admin/status", NONE).await.json() }
    };
    let found = |status: &Value, name: &str| {
        status["checks"]
            .as_array()
            .expect("checks")
            .iter()
            .find(|c| c["name"] == name)
            .expect("the check")
            .clone()
    };
    let before = status(world.ours.admin.clone()).await;
    assert_eq!(found(&before, "agents")["state"], "warn");
    assert!(found(&before, "agents")["hint"].as_str().is_some_and(|h| h.contains("tappass agents add")));
    world.ours.things(&world.gateway).await;
    let after = status(world.ours.admin.clone()).await;
    for name in ["server", "auth", "agents", "pipeline", "database", "audit"] {
        assert_eq!(found(&after, name)["state"], "pass", "{name}");
    }
    assert_eq!(found(&after, "spire")["state"], "off");
}

#[tokio::test]
async fn ready_as_long_as_its_parts_are() {
    let gateway = Gateway::new(world::app().await);
    let ready = crate::client::get(&gateway, "/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["status"]), (200, &json!("ready")));
    assert_eq!(
        (&ready.json()["checks"]["database"], &ready.json()["checks"]["redis"]),
        (&json!("ok"), &json!("off"))
    );
    gateway.app().store.close().await;
    let not = crate::client::get(&gateway, "/health/ready").await;
    assert_eq!((not.status.as_u16(), &not.json()["status"]), (503, &json!("not_ready")));
    assert_ne!(not.json()["checks"]["database"], "ok");
    assert_eq!(crate::client::get(&gateway, "/health/live").await.status, 200);
    assert_eq!(crate::client::get(&gateway, "/health").await.json()["agents"], NONE);
    assert_eq!(crate::client::get(&gateway, "/health/startup").await.status, 200, "it has been ready once");
    let lost = ask(&gateway, "tps_x", Method::GET, "/metrics", NONE).await;
    assert_eq!(lost.status, 401);
    let metrics = ask(&gateway, ADMIN_KEY, Method::GET, "/metrics", NONE).await;
    assert!(metrics.text.contains("tappass_build_info"), "{}", metrics.text);
}

#[tokio::test]
async fn an_organisation_locks_flags_for_all_its_agents_and_no_other() {
    let world = World::new().await;
    let (gateway, admin) = (&world.gateway, world.ours.admin.as_str());
    let put = |body: Value| ask(gateway, admin, Method::PUT, "/settings/flags", body);
    ask(gateway, admin, Method::POST, "/agents/register", json!({"agent_id": "locked", "preset": "starter"}))
        .await;
    refused(&put(json!({"locks": {"pii": "hide"}})).await, 422, "invalid_body", "mask, block, flag, off");
    refused(&put(json!({"lock": {}})).await, 422, "invalid_body", "lock");
    refused(
        &put(json!({"defaults": {"mode": "enforce"}})).await,
        422,
        "invalid_flags",
        "each agent has its own",
    );
    // What the pipeline of an agent has no step for would refuse all its calls.
    refused(&put(json!({"locks": {"budget": "dev"}})).await, 422, "invalid_flags", "locked");

    let said = json!({"locks": {"pii": "block"}, "defaults": {"secrets": "redact"}});
    let done = put(said.clone()).await;
    assert_eq!(
        (done.status.as_u16(), &done.json()["locks"], &done.json()["version"]),
        (200, &said["locks"], &json!(1))
    );
    let view = |admin: &str| {
        let token = admin.to_owned();
        async move { ask(gateway, &token, Method::GET, "/settings/flags", NONE).await.json() }
    };
    assert_eq!(view(admin).await["defaults"], said["defaults"]);
    assert_eq!(view(&world.theirs.admin).await, json!({"locks": {}, "defaults": {}, "version": 0}));
    let events =
        ask(gateway, admin, Method::GET, "/audit?event_type=config_changed&limit=1", NONE).await.json();
    let details = &events["items"][0]["details"];
    assert_eq!((&details["setting"], &details["to"]), (&json!("flags"), &said), "{events:#}");

    // Another change in between is not overwritten.
    let stale = request(Method::PUT, "/settings/flags")
        .header("authorization", format!("Bearer {admin}"))
        .header("content-type", "application/json")
        .header("if-match", "\"v0\"");
    let stale = send(gateway, stale.body(Body::from("{}")).expect("a request")).await;
    assert_eq!(stale.status, 412);
    let done = put(json!({})).await.json();
    assert_eq!((&done["locks"], &done["version"]), (&json!({}), &json!(2)), "everything is free again");
}
