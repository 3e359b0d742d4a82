//! Capability tokens: made when a call passes, narrowed, checked by anyone, used once, with keys that change.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};
use tappass_identity::{
    capability::{Claims, PUBLISHED_AFTER, TYP},
    jws::{PublicKey, SigningKey, verified},
};
use tappass_server::{App, Config, Gateway, Setup, Storage};
use tappass_testkit::{ManualClock, Reply, TempPostgres};

use crate::{
    client::{ADMIN_KEY, Answer, ask, config, request, send, setup},
    scripted::{Scripted, events},
    world::World,
};

async fn done(s: &Scripted, method: Method, uri: &str, body: Value) -> Value {
    let answer = ask(&s.gateway, &s.admin, method, uri, body).await;
    assert!(answer.status.is_success(), "{uri}: {answer:?}");
    answer.json()
}

async fn scope(s: &Scripted, scope: Value) {
    done(s, Method::PUT, "/agents/agent/scope", scope).await;
}

/// A call that asks for a token.
async fn asking(s: &Scripted, uri: &str, body: &Value) -> Answer {
    let built = request(Method::POST, uri)
        .header("authorization", format!("Bearer {}", s.key))
        .header("content-type", "application/json")
        .header("x-tappass-capability", "1");
    send(&s.gateway, built.body(body.to_string().into()).expect("a request")).await
}

fn offering(tools: &[&str]) -> Value {
    let tool = |name: &&str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    json!({"model": "gpt-x", "messages": [{"role": "user", "content": "Hello"}],
        "tools": tools.iter().map(tool).collect::<Vec<_>>()})
}

async fn called(s: &Scripted, body: Value) -> Answer {
    let answer = ask(&s.gateway, &s.key, Method::POST, "/v1/chat/completions", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn mandate(s: &Scripted, args: Value) -> Value {
    let body = json!({"type": "TOOL_CALL", "session_id": "s1", "payload": {"tool": "pay", "args": args}});
    let told = ask(&s.gateway, &s.key, Method::POST, "/v1/govern", body).await.json();
    assert!(told["mandate"]["token"].is_string(), "{told:#}");
    told["mandate"].clone()
}

async fn verify(s: &Scripted, body: Value) -> Value {
    let answer = ask(&s.gateway, &s.key, Method::POST, "/v1/tokens/verify", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn attenuate(s: &Scripted, body: Value) -> Answer {
    ask(&s.gateway, &s.key, Method::POST, "/v1/tokens/attenuate", body).await
}

/// As anyone reads it who has the published keys.
async fn read(s: &Scripted, token: &str) -> Claims {
    let keys = ask(&s.gateway, "", Method::GET, "/.well-known/jwks.json", Value::Null).await.json();
    let of =
        |jwk: &Value| PublicKey::new(&URL_SAFE_NO_PAD.decode(jwk["x"].as_str().expect("x")).expect("base64"));
    let keys: Vec<PublicKey> = keys["keys"].as_array().expect("keys").iter().map(of).collect();
    let claims = verified(token, TYP, |id| keys.iter().find(|key| key.id == id)).expect("holds");
    serde_json::from_slice(&claims).expect("claims")
}

async fn keys(s: &Scripted) -> BTreeSet<String> {
    let keys = ask(&s.gateway, "", Method::GET, "/.well-known/jwks.json", Value::Null).await.json();
    keys["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|k| k["kid"].as_str().expect("an id").to_owned())
        .collect()
}

fn token(object: &Value) -> &str {
    object["token"].as_str().expect("a token")
}

#[tokio::test]
async fn a_call_that_passes_gets_what_its_agents_scope_and_the_call_allow() {
    let s = Scripted::new(&[]).await;
    let none = called(&s, offering(&["read_file"])).await;
    assert!(
        none.json()["tappass"]["capability_token"].is_null() && none.header("x-tappass-token").is_empty()
    );
    scope(&s, json!({"tools": ["read_*", "search", "pay"], "max_level": "CONFIDENTIAL"})).await;
    done(&s, Method::PATCH, "/agents/agent", json!({"tools": {"deny": ["pay"]}})).await;
    let answer = called(&s, offering(&["read_file", "delete", "pay", "read_*"])).await;
    let told = answer.json()["tappass"]["capability_token"].clone();
    assert_eq!(
        (&told["tools"], &told["ops"], &told["ttl"], &told["classification"]),
        (&json!(["read_file"]), &json!(["llm_call", "tool_call"]), &json!(60), &json!("PUBLIC")),
        "{told:#}"
    );
    assert!(told["checks_passed"].as_array().is_some_and(|steps| steps.contains(&json!("detect_secrets"))));
    assert_eq!(answer.header("x-tappass-token"), token(&told));
    let claims = read(&s, token(&told)).await;
    let tappass = &answer.json()["tappass"];
    assert_eq!(
        (json!(claims.sub), json!(claims.sid), json!(claims.call), claims.exp - claims.iat),
        (tappass["agent_uuid"].clone(), tappass["session_id"].clone(), tappass["task_id"].clone(), 60)
    );
    assert_eq!(
        (claims.tools, claims.once, claims.args_sha256),
        (vec!["read_file".to_owned()], claims.jti, None)
    );
    let record = s.last_call().await.expect("recorded");
    assert_eq!(record["details"]["capability"]["jti"], json!(claims.jti));
    assert!(!record.to_string().contains(token(&told)), "the token itself is in no record");
    let shown = done(&s, Method::GET, "/agents/agent", Value::Null).await;
    assert_eq!(shown["scope"]["max_level"], "CONFIDENTIAL");
    done(&s, Method::DELETE, "/agents/agent/scope", Value::Null).await;
    assert!(called(&s, offering(&[])).await.json()["tappass"]["capability_token"].is_null());
    let log = done(&s, Method::GET, "/audit?event_type=config_changed", Value::Null).await;
    let scopes: Vec<&Value> = log["items"]
        .as_array()
        .expect("events")
        .iter()
        .map(|e| &e["details"]["changes"]["scope"])
        .filter(|c| !c.is_null())
        .collect();
    assert_eq!(scopes.len(), 2, "{scopes:?}");
}

#[tokio::test]
async fn without_a_scope_a_call_asks_and_above_its_level_there_is_none() {
    let s = Scripted::new(&[]).await;
    let answer = asking(&s, "/chat/completions", &offering(&["a", "b"])).await.json();
    assert_eq!(answer["tappass"]["capability_token"]["tools"], json!(["a", "b"]));
    scope(&s, json!({"tools": ["*"], "max_level": "PUBLIC"})).await;
    let mut body = offering(&["a"]);
    body["messages"][0]["content"] = "Pay anna.peeters@example.com to BE71 0961 2345 6769".into();
    let above = called(&s, body).await.json();
    assert!(above["tappass"]["capability_token"].is_null());
    assert!(
        above["tappass"]["capability_refused"].as_str().is_some_and(|r| r.contains("PUBLIC")),
        "{above:#}"
    );
    scope(&s, json!({"tools": []})).await;
    let none = called(&s, offering(&["a"])).await.json();
    assert_eq!(
        none["tappass"]["capability_token"]["tools"],
        json!([]),
        "an empty scope is not a missing one"
    );
    for (wrong, code) in [
        (json!({"tools": [""]}), "invalid_scope"),
        (json!({"tools": ["a,b"]}), "invalid_scope"),
        (json!({"max_level": "PUBLIC"}), "invalid_body"),
        (json!({"tools": ["a"], "max_level": "SECRET"}), "invalid_body"),
        (json!({"tools": ["a"], "more": 1}), "invalid_body"),
    ] {
        let answer = ask(&s.gateway, &s.admin, Method::PUT, "/agents/agent/scope", wrong).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (422, Some(code)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_stream_carries_its_token_at_its_end_and_a_refused_call_none() {
    let s = Scripted::new(&[]).await;
    scope(&s, json!({"tools": ["*"]})).await;
    s.provider.push(Reply::chat_stream(&["one ", "two"]));
    let mut body = offering(&["search"]);
    body["stream"] = true.into();
    let answer = called(&s, body).await;
    let last = events(&answer.text).pop().expect("events");
    let claims = read(&s, token(&last["tappass"]["capability_token"])).await;
    assert_eq!(claims.tools, ["search"]);
    assert!(answer.header("x-tappass-token").is_empty(), "not known before the answer");
    s.enforce().await;
    let secret = format!("gh{}_{}", "p", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");
    done(
        &s,
        Method::PUT,
        "/pipelines/own",
        json!({"preset": "standard", "overrides": {"detect_secrets": {"on_detection": "block"}}}),
    )
    .await;
    done(&s, Method::PATCH, "/agents/agent", json!({"pipeline": "own"})).await;
    let body = json!({"model": "gpt-x", "messages": [{"role": "user", "content": secret}]});
    let refused = ask(&s.gateway, &s.key, Method::POST, "/v1/chat/completions", body).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(
        refused.json()["tappass"]["capability_token"].is_null()
            && refused.header("x-tappass-token").is_empty()
    );
}

#[tokio::test]
async fn a_mandate_is_for_one_call_once_and_each_wrong_use_has_its_reason() {
    let s = Scripted::new(&[]).await;
    scope(&s, json!({"tools": ["pay"], "max_level": "TOP_SECRET"})).await;
    let outside = json!({"type": "TOOL_CALL", "payload": {"tool": "delete", "args": {}}});
    let outside = ask(&s.gateway, &s.key, Method::POST, "/v1/govern", outside).await.json();
    assert_eq!((&outside["outcome"], &outside["mandate"]), (&json!("allow"), &Value::Null));
    let args = json!({"amount": 5, "to": "Ghent"});
    let given = mandate(&s, args.clone()).await;
    assert_eq!((&given["ops"], &given["tools"]), (&json!(["tool_call"]), &json!(["pay"])));
    let right = json!({"token": token(&given), "agent": "agent", "session": "s1", "tool": "pay",
        "op": "tool_call", "arguments": {"to": "Ghent", "amount": 5.0}, "level": "PUBLIC"});
    for (key, value, reason) in [
        ("agent", json!("other"), "wrong_agent"),
        ("session", json!("s2"), "wrong_session"),
        ("tool", json!("delete"), "wrong_tool"),
        ("op", json!("code_exec"), "wrong_operation"),
        ("arguments", json!({"to": "Ghent", "amount": 6}), "wrong_arguments"),
        ("arguments", Value::Null, "wrong_arguments"),
        ("level", json!("TOP_SECRET"), "level_exceeded"),
        ("token", json!(format!("{}x", token(&given))), "invalid_token"),
        ("token", json!("tp_no_token"), "invalid_token"),
    ] {
        let mut wrong = right.clone();
        wrong[key] = value;
        let told = verify(&s, wrong).await;
        assert_eq!((&told["valid"], &told["reason"]), (&json!(false), &json!(reason)), "{key}: {told}");
    }
    // None of these has used it up.
    let mut looked = right.clone();
    looked["consume"] = false.into();
    assert_eq!(verify(&s, looked).await["valid"], true);
    let (one, other) = tokio::join!(verify(&s, right.clone()), verify(&s, right.clone()));
    let valid = [&one, &other].into_iter().filter(|told| told["valid"] == true).count();
    assert_eq!(valid, 1, "of two at once one is: {one} {other}");
    let again = verify(&s, right).await;
    assert_eq!(again["reason"], "already_used");
    // Nor does what is made of it serve another time.
    let child = attenuate(&s, json!({"token": token(&given), "level": "PUBLIC"})).await.json();
    let child = verify(&s, json!({"token": token(&child), "tool": "pay", "arguments": args})).await;
    assert_eq!(child["reason"], "already_used");
    let inexact = json!({"type": "TOOL_CALL", "payload": {"tool": "pay", "args": {"amount": 9_007_199_254_740_993_i64}}});
    let inexact = ask(&s.gateway, &s.key, Method::POST, "/v1/govern", inexact).await.json();
    assert!(inexact["mandate"].is_null(), "{inexact:#}");
}

#[tokio::test]
async fn what_is_used_on_one_replica_is_used_on_the_other() {
    let server = TempPostgres::start().await.expect("PostgreSQL");
    let database_url = Some(server.database().await.expect("a database"));
    let postgres = Config { storage: Storage::Postgres, database_url, ..config() };
    let s = Scripted::of(setup(postgres.clone()), &[]).await;
    let other = Gateway::new(Box::pin(App::open(setup(postgres))).await.expect("opens").0);
    scope(&s, json!({"tools": ["pay"], "max_level": "TOP_SECRET"})).await;
    let args = json!({"amount": 5});
    for first_here in [true, false] {
        let given = mandate(&s, args.clone()).await;
        let body = json!({"token": token(&given), "tool": "pay", "arguments": args});
        let there =
            async || ask(&other, &s.key, Method::POST, "/v1/tokens/verify", body.clone()).await.json();
        let (first, second) = if first_here {
            (verify(&s, body.clone()).await, there().await)
        } else {
            (there().await, verify(&s, body.clone()).await)
        };
        assert_eq!(first["valid"], true, "{first}");
        assert_eq!(second["reason"], "already_used", "{second}");
    }
}

#[tokio::test]
async fn what_is_masked_is_what_the_mandate_is_for() {
    let s = Scripted::new(&[]).await;
    s.enforce().await;
    let overrides = json!({"detect_pii": {"on_detection": "redact"}, "pii_tokenize": {"enabled": false}});
    done(&s, Method::PUT, "/pipelines/own", json!({"preset": "standard", "overrides": overrides})).await;
    done(&s, Method::PATCH, "/agents/agent", json!({"pipeline": "own"})).await;
    scope(&s, json!({"tools": ["*"], "max_level": "TOP_SECRET"})).await;
    let body = json!({"type": "TOOL_CALL", "payload": {"tool": "pay", "args": {"note": "mail anna.peeters@example.com"}}});
    let told = ask(&s.gateway, &s.key, Method::POST, "/v1/govern", body.clone()).await.json();
    assert_eq!(
        (&told["outcome"], &told["obligations"]),
        (&json!("modify"), &json!(["use_modified_payload"])),
        "{told:#}"
    );
    let used = |args: &Value| json!({"token": token(&told["mandate"]), "tool": "pay", "arguments": args});
    assert_eq!(verify(&s, used(&body["payload"]["args"])).await["reason"], "wrong_arguments");
    assert_eq!(verify(&s, used(&told["modified_payload"]["args"])).await["valid"], true);
}

#[tokio::test]
async fn a_child_is_narrower_and_its_own_agents() {
    let s = Scripted::new(&[]).await;
    scope(&s, json!({"tools": ["*"]})).await;
    let answer = called(&s, offering(&["read_file", "search"])).await.json();
    let parent = token(&answer["tappass"]["capability_token"]).to_owned();
    let child = attenuate(
        &s,
        json!({"token": parent, "tools": ["search"], "level": "PUBLIC", "arguments": {"q": 1}, "ttl": 5}),
    )
    .await;
    assert_eq!(child.status, 200, "{child:?}");
    let child = child.json();
    let (was, is) = (read(&s, &parent).await, read(&s, token(&child)).await);
    assert_eq!((is.parent, is.sub, &is.sid), (Some(was.jti), was.sub, &was.sid));
    assert!(is.exp <= was.exp && is.exp - is.iat <= 5 && is.args_sha256.is_some());
    let used = json!({"token": token(&child), "tool": "search", "arguments": {"q": 1}});
    assert_eq!(verify(&s, used).await["valid"], true);
    for wider in [
        json!({"tools": ["*"]}),
        json!({"tools": ["search", "delete"]}),
        json!({"level": "TOP_SECRET"}),
        json!({"ops": ["code_exec"]}),
    ] {
        let mut body = wider.clone();
        body["token"] = json!(parent);
        let answer = attenuate(&s, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (403, Some("not_narrower")),
            "{wider}"
        );
    }
    let other = done(&s, Method::POST, "/agents/register", json!({"agent_id": "other"})).await;
    let key = other["api_key"].as_str().expect("a key");
    let stolen = ask(&s.gateway, key, Method::POST, "/v1/tokens/attenuate", json!({"token": parent})).await;
    assert_eq!((stolen.status.as_u16(), stolen.json()["code"].as_str()), (403, Some("wrong_agent")));
    // A colleague's tool may check it all the same.
    let seen =
        ask(&s.gateway, key, Method::POST, "/v1/tokens/verify", json!({"token": parent, "tool": "search"}))
            .await;
    assert_eq!(seen.json()["valid"], true);
}

#[tokio::test]
async fn another_organisation_verifies_nothing_of_ours() {
    let world = World::new().await;
    let (ours, theirs) = (world.ours.things(&world.gateway).await, world.theirs.things(&world.gateway).await);
    let token = ours.capability;
    let ask = |key: String| {
        let body = json!({"token": token, "consume": false});
        let gateway = &world.gateway;
        async move { ask(gateway, &key, Method::POST, "/v1/tokens/verify", body).await.json() }
    };
    assert_eq!(ask(ours.api_key.clone()).await["valid"], true);
    let foreign = ask(theirs.api_key).await;
    assert_eq!((&foreign["reason"], &foreign["claims"]), (&json!("wrong_organisation"), &Value::Null));
}

#[tokio::test]
async fn keys_change_and_what_they_signed_holds_to_its_end() {
    let clock = Arc::new(ManualClock::default());
    let s = Scripted::of(Setup { clock: clock.clone(), ..setup(config()) }, &[]).await;
    let admin = async |method, uri: &str| {
        let answer = ask(&s.gateway, ADMIN_KEY, method, uri, Value::Null).await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer.json()
    };
    let minted = async || {
        let answer = asking(&s, "/chat/completions", &offering(&["a"])).await.json();
        token(&answer["tappass"]["capability_token"]).to_owned()
    };
    let old = minted().await;
    let before = keys(&s).await;
    clock.advance(Duration::from_secs(1));
    let waiting = admin(Method::POST, "/admin/token-keys").await;
    assert_eq!(waiting["state"], "waiting");
    assert_eq!(keys(&s).await.len(), 2, "published before it signs");
    clock.advance(Duration::from_secs(1));
    let signing = admin(Method::POST, "/admin/token-keys/rotate").await;
    assert_eq!((&signing["key_id"], &signing["state"]), (&waiting["key_id"], &json!("signing")));
    let new = minted().await;
    for token in [&old, &new] {
        assert_eq!(verify(&s, json!({"token": token, "consume": false})).await["valid"], true);
    }
    let kid = |token: &str| {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).expect("base64");
        serde_json::from_slice::<Value>(&header).expect("JSON")["kid"].clone()
    };
    assert_eq!(kid(&new), signing["key_id"]);
    assert_ne!(kid(&old), kid(&new));
    clock.advance(Duration::from_secs(70));
    assert_eq!(verify(&s, json!({"token": old})).await["reason"], "expired");
    assert!(keys(&s).await.is_superset(&before), "still published");
    clock.advance(Duration::from_secs(u64::try_from(PUBLISHED_AFTER).expect("seconds")));
    admin(Method::POST, "/admin/token-keys/rotate").await;
    assert!(keys(&s).await.is_disjoint(&before), "forgotten");
    assert_eq!(verify(&s, json!({"token": old})).await["reason"], "unknown_key");
    let log = done(&s, Method::GET, "/audit?event_type=key_created", Value::Null).await;
    assert!(
        log["items"].as_array().expect("events").iter().any(|e| e["details"]["purpose"] == "token"),
        "{log:#}"
    );
    let log = done(&s, Method::GET, "/audit?event_type=config_changed", Value::Null).await;
    assert!(
        log["items"]
            .as_array()
            .expect("events")
            .iter()
            .any(|e| e["details"]["rotated_to"] == signing["key_id"])
    );
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let s = Scripted::new(&[]).await;
    let answer = asking(&s, "/chat/completions", &offering(&["a"])).await.json();
    let real = token(&answer["tappass"]["capability_token"]).to_owned();
    let claims = read(&s, &real).await;
    let theirs = SigningKey::from_seed(&[9; 32]);
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let parts: Vec<&str> = real.split('.').collect();
    let kid = keys(&s).await.into_iter().next().expect("a key");
    let mut wider = claims.clone();
    wider.tools = vec!["*".into()];
    for (what, forged, reason) in [
        ("signed by another", theirs.sign(TYP, &claims), "unknown_key"),
        (
            "none",
            format!("{}.{}.", encoded(json!({"alg": "none", "typ": TYP, "kid": kid})), parts[1]),
            "invalid_token",
        ),
        (
            "its key in the header",
            format!(
                "{}.{}.{}",
                encoded(json!({"alg": "EdDSA", "typ": TYP, "kid": kid, "jwk": theirs.public().jwk()})),
                parts[1],
                parts[2]
            ),
            "invalid_token",
        ),
        ("wider claims", format!("{}.{}.{}", parts[0], encoded(json!(wider)), parts[2]), "invalid_token"),
        ("a session's token", s.admin.clone(), "invalid_token"),
    ] {
        let told = verify(&s, json!({"token": forged})).await;
        assert_eq!((&told["valid"], &told["reason"]), (&json!(false), &json!(reason)), "{what}");
    }
    // It opens nothing by itself: it is no credential of the gateway's.
    let used = ask(&s.gateway, &real, Method::POST, "/v1/chat/completions", offering(&[])).await;
    assert_eq!(used.status, 401);
}
