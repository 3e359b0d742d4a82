//! Every route of the table × everyone who might call it, and × the ids of a foreign organisation: by id, in lists, in
//! exports, in streams.

use axum::body::Body;
use futures_util::StreamExt;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tappass_identity::Inviter;
use tappass_model::Role;
use tappass_server::router::{Auth, Route, table};
use uuid::Uuid;

use crate::{
    client::{ADMIN_KEY, ask, request, send},
    world::{PASSWORD, ROLES, Things, World, login},
};

/// The path of a route with its names filled in.
pub fn fill(route: &Route, things: &Things) -> String {
    let decided = route.path.ends_with("/wait") || route.path.ends_with("/resume");
    let pipeline = if route.method == Method::GET { &things.pipeline } else { "walked" };
    route
        .path
        .replace("{agent}", &things.agent_uuid)
        .replace("{key}", &things.key_id)
        .replace("{name}", pipeline)
        .replace("{question}", "tools")
        .replace(
            "{event}",
            match route.path {
                "/audit/{event}/explain" => &things.call_id,
                "/insight/marks/{event}" => &things.flagged_id,
                _ => &things.event_id,
            },
        )
        .replace("{build}/{*file}", "0/app.css")
        .replace("{entry}", &things.entry_id)
        // A UUID, and no identity of anybody's.
        .replace("{identity}", &things.key_id)
        .replace("{org}", &things.org_id)
        .replace("{user}", &things.user_id)
        .replace("{login}", &things.login_id)
        .replace("{token}", &things.token_id)
        .replace("{invitation}", &things.invitation_id)
        .replace("{session}", &things.session_id)
        .replace("{server}", &things.mcp_server)
        .replace("{hash}", &things.definition)
        .replace("{provider}", &things.credential)
        .replace("{approval}", if decided { &things.approved_id } else { &things.approval_id })
}

/// A body that a route accepts. A route that takes one and is not here fails the walk.
pub fn example(route: &Route, email: &str, things: &Things) -> Value {
    let fresh = Uuid::from_u128(rand()).simple().to_string();
    match route.path {
        "/auth/signup" => {
            json!({"email": format!("{fresh}@new.example"), "password": PASSWORD, "org_name": "new"})
        }
        "/auth/login" => json!({"email": email, "password": PASSWORD}),
        "/auth/google-token" | "/auth/oidc-token" => json!({"id_token": "none"}),
        "/auth/cli" => json!({"code": "none", "verifier": "none"}),
        "/auth/password" => json!({"current_password": PASSWORD, "new_password": PASSWORD}),
        "/auth/password/reset" => json!({"token": things.reset_token, "new_password": PASSWORD}),
        "/auth/password/forgotten" => json!({"email": email}),
        "/auth/second-factor" if route.method == Method::GET => Value::Null,
        "/auth/second-factor" | "/auth/second-factor/disable" | "/auth/second-factor/recovery-codes" => {
            json!({"password": PASSWORD})
        }
        "/auth/second-factor/confirm" => json!({"code": "000000"}),
        "/auth/tokens" if route.method == Method::POST => json!({"name": "walked"}),
        "/auth/orgs" if route.method == Method::POST => json!({"name": "walked"}),
        "/auth/orgs/{org}" if route.method == Method::PATCH => json!({"name": "walked"}),
        "/auth/switch-org" => json!({"org_id": things.org_id}),
        "/auth/invitations/accept" => json!({"token": things.invitation_token, "password": PASSWORD}),
        "/auth/invitations/join" => json!({"token": things.invitation_token}),
        "/people/{user}" if route.method == Method::PATCH => json!({"role": "auditor"}),
        "/people/{user}/reset" => json!({"second_factor": true}),
        "/invitations" if route.method == Method::POST => json!({"email": format!("{fresh}@new.example")}),
        "/agents/{agent}/developer-keys" => json!({"email": email}),
        "/agents/{agent}/keys/{key}/rotate" => json!({"overlap_seconds": 60}),
        "/agents/register" | "/admin/agents" => json!({"agent_id": format!("walked-{fresh}")}),
        "/agents/{agent}" if route.method == Method::PATCH => json!({"description": "changed"}),
        "/agents/{agent}/scope" if route.method == Method::PUT => json!({"tools": ["read_*"]}),
        "/credentials/{provider}" if route.method == Method::PUT => json!({"value": "sk-walked"}),
        "/tokens/attenuate" | "/tokens/verify" => json!({"token": things.capability}),
        "/agents/{agent}/pipeline" => json!({"pipeline": "starter"}),
        "/policies/{question}" if route.method == Method::PUT => {
            json!({"rego": "package tappass.tools\nimport rego.v1\ndefault decision := {\"action\": \"allow\"}\n"})
        }
        "/pipelines/{name}" if route.method == Method::PUT => json!({"preset": "starter"}),
        "/settings/payloads" if route.method == Method::PUT => json!({"keep_days": 1}),
        "/settings/flags" if route.method == Method::PUT => json!({"locks": {"secrets": "redact"}}),
        "/pipelines/edit" => json!({"pipeline": "preset: starter", "step": "detect_pii"}),
        "/pipelines/check" => json!({"pipeline": "preset: starter"}),
        "/pipelines/replay" => json!({"pipeline": "preset: starter"}),
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
        "/insight/marks/{event}" if route.method == Method::PUT => {
            json!({"step": "detect_pii", "mark": "right"})
        }
        "/sessions" if route.method == Method::POST => json!({"name": "walked"}),
        "/sessions/{session}" => json!({"metadata": {"walked": true}}),
        "/govern" => json!({"type": "TOOL_CALL", "payload": {"tool": "search", "args": {"q": "weather"}}}),
        "/govern/execution" => json!({"tool": "search", "result": "sunny"}),
        "/hooks" => json!({"hook_event_name": "UserPromptSubmit", "prompt": "Hello"}),
        "/hooks/batch" => json!([{"hook_event_name": "Stop"}]),
        "/events" => json!({"event_type": "walked"}),
        "/audit" if route.method == Method::POST => json!({"event_type": "walked"}),
        "/audit/batch" => json!([{"event_type": "walked"}]),
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

/// Nobody is configured here to vouch for people, or to mail to: `sso.rs`, `tests/node/sso.test.mjs` and
/// `sdk/python/tests/test_mail.py` walk these.
pub fn needs_issuer(route: &Route) -> bool {
    ["/auth/google", "/auth/oidc", "/auth/cli", "/auth/password/forgotten"]
        .iter()
        .any(|path| route.path.starts_with(path))
}

/// What must be so before somebody can use a route for their own account, and the body that fits then.
async fn prepared(world: &World, route: &Route, email: &str, session: &str) -> Option<Value> {
    let app = world.gateway.app();
    match route.path {
        "/auth/second-factor/confirm"
        | "/auth/second-factor/disable"
        | "/auth/second-factor/recovery-codes" => {
            let begun = json!({"password": PASSWORD});
            let begun = ask(&world.gateway, session, Method::POST, "/auth/second-factor", begun).await.json();
            let secret = begun["secret"].as_str().expect("a secret");
            let code = tappass_testkit::authenticator::code(secret, app.clock.now());
            let code = json!({"code": code});
            if route.path.ends_with("codes") {
                let confirm = "/auth/second-factor/confirm";
                ask(&world.gateway, session, Method::POST, confirm, code.clone()).await;
            }
            route.path.ends_with("confirm").then_some(code)
        }
        "/auth/invitations/join" => {
            let by = Inviter { name: "a test", user_id: None, role: Role::PlatformAdmin };
            let org = world.theirs.org_id.parse().expect("a UUID");
            let made = app.accounts.invite(org, by, email, Role::Member, false).await;
            let (_, token) = made.expect("an answer").expect("an invitation");
            Some(json!({"token": token.as_str()}))
        }
        _ => None,
    }
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
    let mut world = World::new().await;
    let mut sessions = world.ours.sessions(&world.gateway).await;
    let admin_email = world.ours.emails[3].clone();
    let mut tokens = Vec::new();
    for role in ROLES {
        let new = json!({"name": "walks", "role": role});
        let made = ask(&world.gateway, &sessions[3], Method::POST, "/auth/tokens", new).await.json();
        tokens.push(made["token"].as_str().expect("a token").to_owned());
    }
    for route in table::routes() {
        let name = format!("{} {}", route.method, route.path);
        // Fresh for each call that may remove what it is given.
        let reads = route.method == Method::GET;
        let things = world.ours.things(&world.gateway).await;
        let (uri, body) = (fill(&route, &things), || example(&route, &admin_email, &things));
        let anonymous = status(&world, None, &route, &uri, &body()).await;
        if needs_issuer(&route) {
            assert_eq!(anonymous, if route.auth == Auth::Public { 404 } else { 401 }, "{name}");
            continue;
        }
        if matches!(route.auth, Auth::Open | Auth::Public) {
            let leads_on = route.path == "/" && anonymous == StatusCode::SEE_OTHER;
            assert!(anonymous.is_success() || leads_on, "{name}: anonymous {anonymous}");
            continue;
        }
        assert_eq!(anonymous, 401, "{name}: anonymous");
        for wrong in ["", "tp_wrong", "tps_wrong", "tp_pat_x", &"x".repeat(5000), &things.api_key[..20]] {
            assert_eq!(status(&world, Some(wrong), &route, &uri, &body()).await, 401, "{name}: {wrong:.20}");
        }
        let agent = status(&world, Some(&things.api_key), &route, &uri, &body()).await;
        let least = match route.auth {
            Auth::Person(least) => least,
            Auth::Own => Role::Member,
            _ => {
                // Without a session there is none to end.
                let ends_nothing =
                    route.path == "/mcp/{server}" && route.method == Method::DELETE && agent == 400;
                assert!(agent.is_success() || ends_nothing, "{name}: agent {agent}");
                for other in [ADMIN_KEY, &sessions[3], &tokens[3]] {
                    assert_eq!(status(&world, Some(other), &route, &uri, &body()).await, 403, "{name}");
                }
                continue;
            }
        };
        assert_eq!(agent, 403, "{name}: agent");
        if route.auth == Auth::Own {
            for other in [ADMIN_KEY, &tokens[3]] {
                assert_eq!(status(&world, Some(other), &route, &uri, &body()).await, 403, "{name}");
            }
        }
        for (i, role) in ROLES.into_iter().enumerate() {
            let mut things = if reads { things.clone() } else { world.ours.things(&world.gateway).await };
            let email = world.ours.emails[i].clone();
            if route.auth == Auth::Own {
                (things.login_id, things.token_id) = world.ours.ways_in(&world.gateway, &email).await;
            }
            let body = match prepared(&world, &route, &email, &sessions[i]).await {
                Some(body) => body,
                None => example(&route, &email, &things),
            };
            let uri = fill(&route, &things);
            let found = status(&world, Some(&sessions[i]), &route, &uri, &body).await;
            if route.path == "/auth/identities/{identity}" {
                assert_eq!(found, 404, "{name}: {role:?}");
            } else if role >= least {
                assert!(found.is_success(), "{name}: {role:?} {found}");
            } else {
                assert_eq!(found, 403, "{name}: {role:?}");
            }
            // A personal token of that role, which an admin made, does the same; it is nobody's session.
            if reads && route.auth != Auth::Own {
                let by_token = status(&world, Some(&tokens[i]), &route, &uri, &body).await;
                assert_eq!(by_token, found, "{name}: a token for {role:?}");
            }
            if route.path.starts_with("/auth/") {
                let app = world.gateway.app();
                let known = app.store.users().credentials(&email).await.expect("an answer").expect("them");
                app.store.second_factors().remove(known.user.user_id).await.expect("removed");
                sessions[i] = login(&world.gateway, &email).await;
                if i == 3 {
                    world.ours.admin.clone_from(&sessions[3]);
                }
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
const UNSCOPED: [&str; 8] = [
    "/admin/license",
    "/admin/token-keys",
    "/admin/token-keys/rotate",
    "/metrics",
    "/admin/metrics",
    "/admin/status",
    "/auth/me",
    "/api/providers",
];

/// A status and a body, byte for byte: the request's id, which every error says, is given.
async fn raw(world: &World, token: &str, route: &Route, uri: &str, body: &Value) -> (u16, String) {
    let mut built = request(route.method.clone(), uri)
        .header("authorization", format!("Bearer {token}"))
        .header("x-request-id", "walk");
    let body = if body.is_null() {
        Body::empty()
    } else {
        built = built.header("content-type", "application/json");
        Body::from(body.to_string())
    };
    let answer = send(&world.gateway, built.body(body).expect("a request")).await;
    (answer.status.as_u16(), answer.text)
}

#[tokio::test]
async fn a_foreign_id_is_as_good_as_none() {
    let world = World::new().await;
    let foreign = world.ours.things(&world.gateway).await;
    let own = world.theirs.things(&world.gateway).await;
    let id = world.gateway.app().ids.uuid().to_string();
    let none = Things {
        agent_id: "nobody".to_owned(),
        agent_uuid: id.clone(),
        key_id: id.clone(),
        pipeline: "nothing".to_owned(),
        event_id: id.clone(),
        call_id: id.clone(),
        flagged_id: id.clone(),
        approval_id: id.clone(),
        approved_id: id.clone(),
        session_id: id.clone(),
        credential: id.clone(),
        mcp_server: id.clone(),
        definition: id.clone(),
        entry_id: id.clone(),
        org_id: id.clone(),
        user_id: id.clone(),
        login_id: id.clone(),
        token_id: id.clone(),
        invitation_id: id.clone(),
        ..foreign.clone()
    };
    // Beside the whole path of a foreign thing: their own agent or person, and somebody else's key, session or token.
    let mixed = Things {
        key_id: foreign.key_id.clone(),
        login_id: foreign.login_id.clone(),
        token_id: foreign.token_id.clone(),
        ..own.clone()
    };
    let sessions = world.theirs.sessions(&world.gateway).await;
    let mut walked = 0;
    for route in table::routes() {
        let name = format!("{} {}", route.method, route.path);
        let body = example(&route, "", &foreign);
        if let Auth::Person(least) = route.auth
            && !UNSCOPED.contains(&route.path)
        {
            let uri = format!("{}?org_id={}", fill(&route, &foreign), world.ours.org_id);
            for (i, role) in ROLES.into_iter().enumerate() {
                let found = status(&world, Some(&sessions[i]), &route, &uri, &body).await;
                assert_eq!(
                    found,
                    if role >= least { 404 } else { 403 },
                    "{name}: {role:?}, another organisation"
                );
            }
        }
        // What `PUT /pipelines/{name}` writes is one's own, whatever others have by that name.
        let written = route.method == Method::PUT
            && matches!(route.path, "/pipelines/{name}" | "/credentials/{provider}");
        // A question is no id: everyone has the same four. Nor is a style: everyone has the same.
        let common = route.path == "/policies/{question}" || route.path.starts_with("/app/static/");
        if !route.path.contains('{') || written || common {
            continue;
        }
        let callers: Vec<(&str, u16)> = match route.auth {
            Auth::Open | Auth::Public => panic!("{name} takes an id from anyone"),
            Auth::Agent => vec![(&own.api_key, 404)],
            Auth::Own => sessions.iter().map(|session| (session.as_str(), 404)).collect(),
            Auth::Person(least) => (sessions.iter().zip(ROLES))
                .map(|(session, role)| (session.as_str(), if role >= least { 404 } else { 403 }))
                .collect(),
        };
        for (caller, wanted) in callers {
            let theirs = raw(&world, caller, &route, &fill(&route, &foreign), &body).await;
            let nobodys = raw(&world, caller, &route, &fill(&route, &none), &body).await;
            // An answer may say the name it was asked for.
            let named = |text: &str, things: &Things| text.replace(things.mcp_server.as_str(), "NAME");
            assert_eq!(theirs.0, wanted, "{name}: {}", theirs.1);
            assert_eq!(named(&theirs.1, &foreign), named(&nobodys.1, &none), "{name}");
            let parts = route.path.matches('{').count();
            if parts > 1 && wanted == 404 && !route.path.contains("{hash}") {
                let beside = raw(&world, caller, &route, &fill(&route, &mixed), &body).await;
                assert_eq!((beside.0, &beside.1), (404, &nobodys.1), "{name}: beside one's own");
            }
        }
        walked += 1;
    }
    assert!(walked >= 30, "{walked} routes have ids");
    let gone = ["/agents/{agent}", "/people/{user}/sessions", "/admin/mcp/servers/{server}"];
    for route in table::routes().iter().filter(|r| r.method == Method::GET && gone.contains(&r.path)) {
        let uri = fill(route, &foreign);
        let again = ask(&world.gateway, &world.ours.admin, Method::GET, &uri, Value::Null).await;
        assert_eq!(again.status, 200, "{uri} is still there for its own people");
    }
}

/// What must not be seen of another organisation.
fn traces(things: &Things) -> [&String; 15] {
    [
        &things.org_id,
        &things.agent_id,
        &things.agent_uuid,
        &things.key_id,
        &things.pipeline,
        &things.mcp_server,
        &things.credential,
        &things.user_id,
        &things.email,
        &things.login_id,
        &things.token_id,
        &things.invitation_id,
        &things.session_id,
        &things.approval_id,
        &things.event_id,
    ]
}

#[tokio::test]
async fn lists_exports_and_streams_hold_ones_own_only() {
    let world = World::new().await;
    let foreign = world.ours.things(&world.gateway).await;
    let own = world.theirs.things(&world.gateway).await;
    let mut walked = 0;
    for route in table::routes() {
        // Those with ids are in the other test; these say nothing of anybody.
        if route.method != Method::GET || route.path.contains('{') || route.path == "/audit/stream" {
            continue;
        }
        let caller = match route.auth {
            Auth::Open | Auth::Public | Auth::Person(Role::PlatformAdmin) => continue,
            Auth::Agent => &own.api_key,
            Auth::Own | Auth::Person(_) => &world.theirs.admin,
        };
        let (found, text) = raw(&world, caller, &route, route.path, &Value::Null).await;
        assert_eq!(found, 200, "{}", route.path);
        for trace in traces(&foreign) {
            assert!(!text.contains(trace.as_str()), "{} shows {trace}", route.path);
        }
        walked += 1;
    }
    assert!(walked >= 15, "{walked} lists");
    for (uri, trace) in [
        ("/agents", &own.agent_id),
        ("/audit", &own.agent_id),
        ("/audit/export", &own.agent_id),
        ("/people", &own.email),
        ("/invitations", &own.invitation_id),
    ] {
        let answer = ask(&world.gateway, &world.theirs.admin, Method::GET, uri, Value::Null).await;
        assert!(answer.text.contains(trace.as_str()), "{uri} lacks {trace}");
    }
}

#[tokio::test]
async fn a_stream_tells_of_ones_own_only() {
    let world = World::new().await;
    let before = world.ours.things(&world.gateway).await;
    let stream = request(Method::GET, "/audit/stream")
        .header("authorization", format!("Bearer {}", world.theirs.admin))
        .header("last-event-id", "30");
    let answer = world.gateway.call(stream.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status(), 200);
    let during = world.ours.things(&world.gateway).await;
    world.theirs.things(&world.gateway).await;
    let last = json!({"text": "the last of all"});
    ask(&world.gateway, &world.theirs.admin, Method::POST, "/allowlist", last).await;
    let (mut pieces, mut text) = (answer.into_body().into_data_stream(), String::new());
    let reading = async {
        while !text.contains("the last of all") {
            text.push_str(&String::from_utf8_lossy(&pieces.next().await.expect("goes on").expect("reads")));
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), reading).await.expect("in time");
    for trace in traces(&before).into_iter().chain(traces(&during)) {
        assert!(!text.contains(trace.as_str()), "the stream shows {trace}");
    }
}
