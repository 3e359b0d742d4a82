//! Every route of the table × everyone who might call it, and × the ids of a foreign organisation.

use axum::body::Body;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tappass_model::Role;
use tappass_server::router::{Auth, Route, table};
use uuid::Uuid;

use crate::{
    client::{ADMIN_KEY, Answer, ask, request},
    world::{PASSWORD, ROLES, Things, World, login},
};

/// The path of a route with its names filled in.
fn fill(route: &Route, things: &Things) -> String {
    let decided = route.path.ends_with("/wait") || route.path.ends_with("/resume");
    let pipeline = if route.method == Method::GET { &things.pipeline } else { "walked" };
    route
        .path
        .replace("{agent}", &things.agent_uuid)
        .replace("{key}", &things.key_id)
        .replace("{name}", pipeline)
        .replace("{question}", "tools")
        .replace("{event}", if route.path.ends_with("/explain") { &things.call_id } else { &things.event_id })
        .replace("{entry}", &things.entry_id)
        // A UUID, and no identity of anybody's.
        .replace("{identity}", &things.key_id)
        .replace("{session}", &things.session_id)
        .replace("{server}", &things.mcp_server)
        .replace("{hash}", &things.definition)
        .replace("{approval}", if decided { &things.approved_id } else { &things.approval_id })
}

/// A body that a route accepts. A route that takes one and is not here fails the walk.
fn example(route: &Route, email: &str, things: &Things) -> Value {
    let fresh = Uuid::from_u128(rand()).simple().to_string();
    match route.path {
        "/auth/signup" => {
            json!({"email": format!("{fresh}@new.example"), "password": PASSWORD, "org_name": "new"})
        }
        "/auth/login" => json!({"email": email, "password": PASSWORD}),
        "/auth/google-token" | "/auth/oidc-token" => json!({"id_token": "none"}),
        "/agents/register" | "/admin/agents" => json!({"agent_id": format!("walked-{fresh}")}),
        "/agents/{agent}" if route.method == Method::PATCH => json!({"description": "changed"}),
        "/agents/{agent}/scope" if route.method == Method::PUT => json!({"tools": ["read_*"]}),
        "/tokens/attenuate" | "/tokens/verify" => json!({"token": things.capability}),
        "/agents/{agent}/pipeline" => json!({"pipeline": "starter"}),
        "/policies/{question}" if route.method == Method::PUT => {
            json!({"rego": "package tappass.tools\nimport rego.v1\ndefault decision := {\"action\": \"allow\"}\n"})
        }
        "/pipelines/{name}" if route.method == Method::PUT => json!({"preset": "starter"}),
        "/pipelines/import" => json!({"preset": "starter", "name": "imported"}),
        "/admin/approvals/{approval}/decide" => json!({"decision": "approve"}),
        "/allowlist" if route.method == Method::PUT => json!({"items": []}),
        "/allowlist" if route.method == Method::POST => json!({"text": fresh}),
        "/tools/execute" => json!({"server": things.mcp_server, "tool": "search"}),
        "/mcp/{server}" if route.method == Method::POST => {
            json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        }
        "/admin/mcp/servers" if route.method == Method::POST => {
            json!({"name": format!("walked-{fresh}"), "url": "https://mcp.example.com/mcp"})
        }
        "/admin/mcp/servers/{server}" if route.method == Method::PATCH => json!({"description": "changed"}),
        "/chat/completions" => {
            json!({"model": "builtin/echo", "messages": [{"role": "user", "content": "Hello"}]})
        }
        "/responses" => json!({"model": "builtin/echo", "input": "Hello"}),
        "/embeddings" => json!({"model": "builtin/embed", "input": "Hello"}),
        "/messages" | "/messages/count_tokens" => {
            json!({"model": "builtin/echo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]})
        }
        "/sessions" if route.method == Method::POST => json!({"name": "walked"}),
        "/sessions/{session}" => json!({"metadata": {"walked": true}}),
        "/govern" => json!({"type": "TOOL_CALL", "payload": {"tool": "search", "args": {"q": "weather"}}}),
        "/govern/execution" => json!({"tool": "search", "result": "sunny"}),
        "/hooks" => json!({"hook_event_name": "UserPromptSubmit", "prompt": "Hello"}),
        "/hooks/batch" => json!([{"hook_event_name": "Stop"}]),
        _ => {
            assert!(
                route.body.is_none(),
                "{} {} takes a body: give it an example here",
                route.method,
                route.path
            );
            Value::Null
        }
    }
}

/// Nobody is configured here to vouch for people: `sso.rs` and `tests/node/sso.test.mjs` walk these.
fn needs_issuer(route: &Route) -> bool {
    route.path.starts_with("/auth/google") || route.path.starts_with("/auth/oidc")
}

fn rand() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    u128::from(RandomState::new().hash_one(0)) << 64 | u128::from(RandomState::new().hash_one(1))
}

/// The status only: a stream has no end to read to.
async fn status(world: &World, token: Option<&str>, route: &Route, uri: &str, body: &Value) -> StatusCode {
    let mut built = request(route.method.clone(), uri);
    if let Some(token) = token {
        built = built.header("authorization", format!("Bearer {token}"));
    }
    let body = if body.is_null() {
        Body::empty()
    } else {
        built = built.header("content-type", "application/json");
        Body::from(body.to_string())
    };
    world.gateway.call(built.body(body).expect("a request")).await.status()
}

#[tokio::test]
async fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let world = World::new().await;
    let mut sessions = world.ours.sessions(&world.gateway).await;
    let admin_email = &world.ours.emails[3];
    for route in table::routes() {
        let name = format!("{} {}", route.method, route.path);
        // Fresh for each call: some of the routes remove what they are given.
        let things = world.ours.things(&world.gateway).await;
        let (uri, body) = (fill(&route, &things), || example(&route, admin_email, &things));
        let anonymous = status(&world, None, &route, &uri, &body()).await;
        if needs_issuer(&route) {
            assert_eq!(anonymous, if route.auth == Auth::Public { 404 } else { 401 }, "{name}");
            continue;
        }
        if matches!(route.auth, Auth::Open | Auth::Public) {
            assert!(anonymous.is_success(), "{name}: anonymous {anonymous}");
            continue;
        }
        assert_eq!(anonymous, 401, "{name}: anonymous");
        for wrong in ["", "tp_wrong", "tps_wrong", &"x".repeat(5000), &things.api_key[..20]] {
            assert_eq!(status(&world, Some(wrong), &route, &uri, &body()).await, 401, "{name}: {wrong:.20}");
        }
        let agent = status(&world, Some(&things.api_key), &route, &uri, &body()).await;
        let Auth::Person(least) = route.auth else {
            // Without a session there is none to end.
            let ends_nothing =
                route.path == "/mcp/{server}" && route.method == Method::DELETE && agent == 400;
            assert!(agent.is_success() || ends_nothing, "{name}: agent {agent}");
            assert_eq!(
                status(&world, Some(ADMIN_KEY), &route, &uri, &body()).await,
                403,
                "{name}: admin key"
            );
            continue;
        };
        assert_eq!(agent, 403, "{name}: agent");
        for (i, role) in ROLES.into_iter().enumerate() {
            let things = world.ours.things(&world.gateway).await;
            let uri = fill(&route, &things);
            let found = status(&world, Some(&sessions[i]), &route, &uri, &body()).await;
            if route.path == "/auth/identities/{identity}" {
                assert_eq!(found, 404, "{name}: {role:?}");
            } else if role >= least {
                assert!(found.is_success(), "{name}: {role:?} {found}");
            } else {
                assert_eq!(found, 403, "{name}: {role:?}");
            }
            if route.path.starts_with("/auth/") {
                sessions[i] = login(&world.gateway, &world.ours.emails[i]).await;
            }
        }
        if least == Role::PlatformAdmin {
            assert!(
                status(&world, Some(ADMIN_KEY), &route, &uri, &body()).await.is_success(),
                "{name}: admin key"
            );
        }
    }
}

/// Routes that act on no organisation's things.
const UNSCOPED: [&str; 10] = [
    "/admin/token-keys",
    "/admin/token-keys/rotate",
    "/metrics",
    "/admin/metrics",
    "/admin/status",
    "/auth/logout",
    "/auth/refresh",
    "/auth/me",
    "/auth/identities",
    "/api/providers",
];

#[tokio::test]
async fn a_foreign_id_is_as_good_as_none() {
    let world = World::new().await;
    let foreign = world.ours.things(&world.gateway).await;
    world.theirs.things(&world.gateway).await;
    let id = world.gateway.app().ids.uuid().to_string();
    let none = Things {
        agent_id: "nobody".to_owned(),
        agent_uuid: id.clone(),
        key_id: id.clone(),
        pipeline: "nothing".to_owned(),
        event_id: id.clone(),
        call_id: id.clone(),
        approval_id: id.clone(),
        approved_id: id.clone(),
        session_id: id.clone(),
        mcp_server: id.clone(),
        definition: id.clone(),
        entry_id: id,
        ..foreign.clone()
    };
    let them = &world.theirs.admin;
    let mut walked = 0;
    for route in table::routes() {
        let name = format!("{} {}", route.method, route.path);
        let Auth::Person(_) = route.auth else { continue };
        if !UNSCOPED.contains(&route.path) {
            let uri = format!("{}?org_id={}", fill(&route, &foreign), world.ours.org_id);
            let body = example(&route, "", &foreign);
            assert_eq!(
                status(&world, Some(them), &route, &uri, &body).await,
                404,
                "{name}: another organisation"
            );
        }
        // What `PUT /pipelines/{name}` writes is one's own, whatever others have by that name.
        let own = route.method == Method::PUT && route.path == "/pipelines/{name}";
        // A question is no id: everyone has the same four.
        if !route.path.contains('{') || own || route.path == "/policies/{question}" {
            continue;
        }
        let body = example(&route, "", &foreign);
        let (theirs, nobodys) = (fill(&route, &foreign), fill(&route, &none));
        let theirs = ask(&world.gateway, them, route.method.clone(), &theirs, body.clone()).await;
        let nobodys = ask(&world.gateway, them, route.method.clone(), &nobodys, body).await;
        assert_eq!((theirs.status.as_u16(), theirs.problem()), (404, nobodys.problem()), "{name}");
        walked += 1;
    }
    assert!(walked >= 10, "{walked} routes have ids");
    let again = ask(
        &world.gateway,
        &world.ours.admin,
        Method::GET,
        &format!("/agents/{}", foreign.agent_id),
        Value::Null,
    )
    .await;
    assert_eq!(again.status, 200, "it is still there for its own people");
}

#[tokio::test]
async fn lists_and_exports_hold_ones_own_only() {
    let world = World::new().await;
    let foreign = world.ours.things(&world.gateway).await;
    let own = world.theirs.things(&world.gateway).await;
    let read = |uri: &'static str| {
        let world = &world;
        async move {
            let built =
                request(Method::GET, uri).header("authorization", format!("Bearer {}", world.theirs.admin));
            let response = world.gateway.call(built.body(Body::empty()).expect("a request")).await;
            let (parts, body) = response.into_parts();
            let text =
                String::from_utf8_lossy(&body.collect().await.expect("a body").to_bytes()).into_owned();
            Answer { status: parts.status, headers: parts.headers, text }
        }
    };
    for uri in [
        "/agents",
        "/pipelines",
        "/audit",
        "/audit/export",
        "/audit/verify",
        "/admin/status",
        "/admin/approvals",
        "/sessions",
        "/admin/mcp/servers",
    ] {
        let answer = read(uri).await;
        assert_eq!(answer.status, 200, "{uri}");
        for secret in [
            &foreign.agent_id,
            &foreign.agent_uuid,
            &foreign.pipeline,
            &foreign.mcp_server,
            &world.ours.org_id,
        ] {
            assert!(!answer.text.contains(secret.as_str()), "{uri} shows {secret}");
        }
    }
    assert!(read("/agents").await.text.contains(&own.agent_id));
    assert!(read("/audit").await.text.contains(&own.agent_id));
}
