//! Organisations' own keys: used for their calls, sent to their provider only, never told, rotated under load.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tappass_identity::ServerSecrets;
use tappass_server::{App, Gateway, Setup};
use tappass_testkit::{Reply, ScriptedProvider};
use uuid::Uuid;

use crate::client::{ADMIN_KEY, Answer, ask, config, setup};

const OWN: &str = "sk-own-Zk4WvT9rQx2LmB7cYd1HsN8pGf3J";

/// A gateway before two providers with keys of the environment's, and two organisations with an agent each.
struct Two {
    gateway: Gateway,
    openai: ScriptedProvider,
    anthropic: ScriptedProvider,
    ours: Org,
    theirs: Org,
}

struct Org {
    id: String,
    admin: String,
    key: String,
}

impl Two {
    async fn new() -> Self {
        let (openai, anthropic) = (ScriptedProvider::start().await, ScriptedProvider::start().await);
        let (at, other) = (openai.base_url(), anthropic.base_url());
        let plain = setup(config());
        let secrets = plain.env.clone();
        let env = move |name: &str| match name {
            "OPENAI_API_KEY" => Some("sk-environment".to_owned()),
            "OPENAI_BASE_URL" => Some(at.clone()),
            "ANTHROPIC_BASE_URL" => Some(other.clone()),
            "ANTHROPIC_API_KEY" => Some("ant-environment".to_owned()),
            "KEY_OF_OURS" => Some("sk-from-the-environment".to_owned()),
            name => secrets(name),
        };
        let app = Box::pin(App::open(Setup { env: Arc::new(env), ..plain })).await.expect("opens").0;
        let gateway = Gateway::new(app);
        let (ours, theirs) = (Org::new(&gateway, "ours").await, Org::new(&gateway, "theirs").await);
        Self { gateway, openai, anthropic, ours, theirs }
    }

    async fn set(&self, token: &str, name: &str, value: &str) -> Answer {
        let uri = format!("/credentials/{name}?org_id={}", self.ours.id);
        ask(&self.gateway, token, Method::PUT, &uri, json!({"value": value})).await
    }

    async fn call(&self, org: &Org, model: &str) -> Answer {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
        ask(&self.gateway, &org.key, Method::POST, "/chat/completions", body).await
    }

    /// What the last request to the provider of OpenAI's dialect carried.
    fn key(&self) -> String {
        let request = self.openai.last_request().expect("a request");
        request.header("authorization").expect("a key").trim_start_matches("Bearer ").to_owned()
    }
}

impl Org {
    async fn new(gateway: &Gateway, name: &str) -> Self {
        let body = json!({"email": format!("ciso@{name}.example"), "password": "correct horse battery", "org_name": name});
        let made = ask(gateway, "", Method::POST, "/auth/signup", body).await.json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (id, admin) = (text(&made["org"]["org_id"]), text(&made["session"]["token"]));
        let agent =
            ask(gateway, &admin, Method::POST, "/agents/register", json!({"agent_id": "agent"})).await.json();
        Self { id, admin, key: text(&agent["api_key"]) }
    }
}

#[tokio::test]
async fn an_organisations_own_key_is_used_for_its_calls_and_sent_to_its_provider_only() {
    let s = Two::new().await;
    assert_eq!(s.call(&s.ours, "gpt-x").await.status, 200);
    assert_eq!(s.key(), "sk-environment");
    let set = s.set(&s.ours.admin, "openai", OWN).await;
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!(set.json()["hint"], format!("…{}", &OWN[OWN.len() - 4..]));
    assert_eq!(s.call(&s.ours, "gpt-x").await.status, 200);
    assert_eq!(s.key(), OWN, "with the next call");
    assert_eq!(s.call(&s.theirs, "gpt-x").await.status, 200);
    assert_eq!(s.key(), "sk-environment", "not for anybody else");
    // Whatever the request says of another provider or address, the key stays with its own.
    s.anthropic.always(Reply::message_stream(&["Hello"]));
    let aside = json!({"model": "anthropic/claude-x", "base_url": s.anthropic.base_url(), "api_key": "x",
        "messages": [{"role": "user", "content": "Hello"}]});
    ask(&s.gateway, &s.ours.key, Method::POST, "/chat/completions", aside).await;
    s.openai.push(Reply::redirect(&format!("{}/chat/completions", s.anthropic.base_url())));
    let _ = s.call(&s.ours, "gpt-x").await;
    let seen = s.anthropic.requests();
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|request| !format!("{request:?}").contains(OWN)), "{seen:?}");
    let listed = ask(&s.gateway, &s.ours.key, Method::GET, "/models", Value::Null).await;
    assert_eq!(listed.status, 200);
    let removed = ask(&s.gateway, &s.ours.admin, Method::DELETE, "/credentials/openai", Value::Null).await;
    assert_eq!(removed.status, 204);
    assert_eq!(s.call(&s.ours, "gpt-x").await.status, 200);
    assert_eq!(s.key(), "sk-environment");
}

#[tokio::test]
async fn a_value_never_comes_out_again() {
    let s = Two::new().await;
    assert_eq!(s.set(&s.ours.admin, "openai", OWN).await.status, 200);
    let rotated = ask(&s.gateway, &s.ours.admin, Method::POST, "/admin/vault/rotate", Value::Null).await;
    assert_eq!((rotated.status.as_u16(), &rotated.json()["resealed"]), (200, &json!(1)), "{rotated:?}");
    s.openai.push(Reply::status(401, &format!("Incorrect API key provided: {OWN}")));
    let refused = s.call(&s.ours, "gpt-x").await;
    let mut told = vec![refused.text];
    for uri in ["/credentials", "/audit?limit=100", "/audit/export", "/admin/status", "/api/providers"] {
        let answer = ask(&s.gateway, &s.ours.admin, Method::GET, uri, Value::Null).await;
        assert_eq!(answer.status, 200, "{uri}");
        told.push(answer.text);
    }
    assert!(told.iter().all(|text| !text.contains(OWN)), "{told:#?}");
    assert!(told[1].contains("\"name\":\"openai\""));
    let log = ask(&s.gateway, &s.ours.admin, Method::GET, "/audit?event_type=config_changed", Value::Null)
        .await
        .json();
    let of =
        |key: &str| log["items"].as_array().expect("events").iter().any(|e| !e["details"][key].is_null());
    assert!(of("credential") && of("vault"), "{log:#}");
    let org: Uuid = s.ours.id.parse().expect("an id");
    let kept = s.gateway.app().store.vault().credentials(org).await.expect("credentials");
    assert!(kept.iter().all(|c| c.sealed.starts_with("v2.") && !c.sealed.contains(OWN)));
}

#[tokio::test]
async fn the_servers_own_is_its_operators() {
    let s = Two::new().await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("key");
    std::fs::write(&file, "sk-from-a-file\n").expect("written");
    let file = format!("file:{}", file.display());
    for reference in ["env:KEY_OF_OURS", &file] {
        let answer = s.set(&s.ours.admin, "openai", reference).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (403, Some("forbidden")),
            "{reference}"
        );
    }
    for (reference, used) in [("env:KEY_OF_OURS", "sk-from-the-environment"), (&file, "sk-from-a-file")] {
        let set = s.set(ADMIN_KEY, "openai", reference).await;
        assert_eq!((set.status.as_u16(), set.json()["hint"].as_str()), (200, Some(reference)), "{set:?}");
        assert_eq!(s.call(&s.ours, "gpt-x").await.status, 200);
        assert_eq!(s.key(), used);
    }
    for wrong in [
        "env:TAPPASS_VAULT_KEY",
        "env:DATABASE_URL",
        "env:NOT_SET",
        "file:key",
        "file:/nonexistent/key",
        "file:/",
        "vault:openai",
        "vault:nothing",
    ] {
        let answer = s.set(ADMIN_KEY, "openai", wrong).await;
        assert_eq!(answer.status, 422, "{wrong}: {answer:?}");
    }
    for (name, value) in
        [("builtin", OWN), ("bedrock", OWN), ("Open AI", OWN), ("openai", "two words"), ("azure", OWN)]
    {
        let answer = s.set(&s.ours.admin, &name.replace(' ', "%20"), value).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (422, Some("invalid_credential")),
            "{name}"
        );
        assert!(!answer.text.contains(OWN));
    }
}

#[tokio::test]
async fn a_key_that_is_gone_is_not_replaced_by_the_environments() {
    let s = Two::new().await;
    assert_eq!(s.set(&s.ours.admin, "shared", OWN).await.status, 200);
    assert_eq!(s.set(&s.ours.admin, "openai", "vault:shared").await.status, 200);
    assert_eq!(s.call(&s.ours, "gpt-x").await.status, 200);
    assert_eq!(s.key(), OWN);
    let asked = s.openai.requests().len();
    let removed = ask(&s.gateway, &s.ours.admin, Method::DELETE, "/credentials/shared", Value::Null).await;
    assert_eq!(removed.status, 204);
    let refused = s.call(&s.ours, "gpt-x").await;
    assert!(!refused.status.is_success() && refused.text.contains("own key"), "{refused:?}");
    assert_eq!(s.openai.requests().len(), asked, "nobody was asked");
}

/// Promise 28.
#[tokio::test]
async fn keys_rotate_while_calls_run_and_none_fails() {
    let s = Two::new().await;
    assert_eq!(s.set(&s.ours.admin, "openai", OWN).await.status, 200);
    let app = s.gateway.app().clone();
    let org: Uuid = s.ours.id.parse().expect("an id");
    // An MCP server whose credential was sealed before there was a vault.
    let new = json!({"name": "crm", "url": "https://mcp.example.com/mcp", "credential": {"bearer": "will-be-replaced"}});
    let made = ask(&s.gateway, &s.ours.admin, Method::POST, "/admin/mcp/servers", new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let env = setup(config()).env;
    let old = ServerSecrets::load_or_create(None, &*env).expect("secrets").0.mcp_sealer().expect("a key");
    let mut server = app.store.mcp_servers().get(org, "crm").await.expect("an answer").expect("it");
    server.credential =
        Some(old.seal(&format!("mcp credential:{org}:crm"), b"Bearer of-the-server").expect("sealed"));
    app.store.mcp_servers().update(&server).await.expect("written");
    let stop = std::cell::Cell::new(false);
    let caller = async || {
        let mut calls = 0;
        while !stop.get() {
            let answer = s.call(&s.ours, "gpt-x").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let server = app.store.mcp_servers().get(org, "crm").await.expect("an answer").expect("it");
            // Keys may change between reading what is sealed and opening it.
            tokio::task::yield_now().await;
            let credential = app.mcp.credential(&server).await.expect("opens").expect("one");
            assert_eq!(credential.1.as_str(), "Bearer of-the-server");
            calls += 1;
        }
        calls
    };
    let rotating = async {
        for version in 2..12 {
            let rotated =
                ask(&s.gateway, &s.ours.admin, Method::POST, "/admin/vault/rotate", Value::Null).await;
            assert_eq!(
                (rotated.status.as_u16(), &rotated.json()["version"]),
                (200, &json!(version)),
                "{rotated:?}"
            );
            // Somebody calls between two rotations.
            let before = s.openai.requests().len();
            assert!(s.openai.received(before + 1).await);
        }
        stop.set(true);
    };
    let (one, two, three, ()) =
        Box::pin(async { tokio::join!(caller(), caller(), caller(), rotating) }).await;
    assert!(one > 0 && two > 0 && three > 0);
    let sent = s.openai.requests();
    let own = format!("Bearer {OWN}");
    assert!(sent.iter().all(|request| request.header("authorization") == Some(own.as_str())));
    let server = app.store.mcp_servers().get(org, "crm").await.expect("an answer").expect("it");
    assert!(server.credential.is_some_and(|sealed| sealed.starts_with("v11.")));
}

#[tokio::test]
async fn a_key_is_tried_at_its_provider_and_nowhere_else() {
    let two = Two::new().await;
    let test = async |token: &str, name: &str| {
        let uri = format!("/credentials/{name}/test?org_id={}", two.ours.id);
        ask(&two.gateway, token, Method::POST, &uri, Value::Null).await
    };
    let admin = two.ours.admin.clone();
    assert_eq!(test(&admin, "openai").await.status, 404, "there is none yet");
    assert_eq!(two.set(&admin, "openai", OWN).await.status, 200);
    assert_eq!(two.set(&admin, "notes", "something-else").await.status, 200);
    assert_eq!(test(&admin, "notes").await.json()["state"], "unclear", "nobody can be asked about it");

    let models = json!({"object": "list", "data": [{"id": "gpt-x", "object": "model"}]});
    let refusal = format!("Incorrect API key provided: {OWN}");
    for (reply, state, detail) in [
        (Reply::answer(models), "ok", "it lists 1 models"),
        (Reply::status(401, &refusal), "refused", "openai answered 401"),
        (Reply::status(404, &refusal), "unclear", "openai answered 404"),
    ] {
        two.openai.always(reply);
        let answer = test(&admin, "openai").await;
        assert_eq!(answer.json(), json!({"provider": "openai", "state": state, "detail": detail}));
        assert!(!answer.text.contains(OWN), "{answer:?}");
        let asked = two.openai.last_request().expect("a request");
        assert_eq!((asked.path.as_str(), two.key().as_str()), ("/v1/models", OWN));
    }
    assert_eq!(two.anthropic.requests().len(), 0);
    let Two { gateway, openai, .. } = two;
    drop(openai);
    let answer = ask(&gateway, &admin, Method::POST, "/credentials/openai/test", Value::Null).await.json();
    assert_eq!(answer["state"], "unreachable", "{answer}");
}
