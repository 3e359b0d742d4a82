//! People through the routes: invited, given roles, signed in with a second factor, ended.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};
use tappass_identity::UserPrincipal;
use tappass_model::Role;
use tappass_server::{
    Caller, Gateway,
    router::{Auth, decide, openapi, table},
};
use tappass_store::Proof;
use tappass_testkit::authenticator::code;

use crate::{
    client::{Answer, ask, request, send},
    world::{self, PASSWORD, ROLES, World},
};

const NONE: Value = Value::Null;
const NEW: &str = "another horse battery staple";

async fn signed_up(gateway: &Gateway, email: &str) -> String {
    let body = json!({"email": email, "password": PASSWORD, "org_name": email});
    let made = ask(gateway, "", Method::POST, "/auth/signup", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    text(&made.json()["session"]["token"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

async fn get(gateway: &Gateway, token: &str, uri: &str) -> Answer {
    ask(gateway, token, Method::GET, uri, NONE).await
}

async fn post(gateway: &Gateway, token: &str, uri: &str, body: Value) -> Answer {
    ask(gateway, token, Method::POST, uri, body).await
}

/// Invites somebody and has them come in: their session and their id.
async fn joined(gateway: &Gateway, admin: &str, email: &str, role: &str) -> (String, String) {
    let invited = post(gateway, admin, "/invitations", json!({"email": email, "role": role})).await;
    assert_eq!(invited.status, 201, "{invited:?}");
    let body = json!({"token": invited.json()["token"], "password": PASSWORD});
    let accepted = post(gateway, "", "/auth/invitations/accept", body).await;
    assert_eq!(accepted.status, 201, "{accepted:?}");
    let accepted = accepted.json();
    assert_eq!(accepted["user"]["role"], role);
    (text(&accepted["session"]["token"]), text(&accepted["user"]["user_id"]))
}

/// The `details` of the newest events.
async fn details(gateway: &Gateway, token: &str) -> Vec<Value> {
    let log = get(gateway, token, "/audit?limit=50").await.json();
    log["items"].as_array().expect("a list").iter().map(|e| e["details"].clone()).collect()
}

#[tokio::test]
async fn an_admin_invites_changes_and_removes() {
    let gateway = Gateway::new(world::app().await);
    let ann = signed_up(&gateway, "ann@ours.example").await;
    let (bob, id) = joined(&gateway, &ann, "bob@ours.example", "auditor").await;
    let people = get(&gateway, &bob, "/people").await.json();
    let roles: Vec<_> =
        people["items"].as_array().expect("a list").iter().map(|p| p["role"].clone()).collect();
    assert_eq!(roles, [json!("org_admin"), json!("auditor")]);

    let change = async |token: &str, user: &str, role: &str| {
        let uri = format!("/people/{user}");
        let done = ask(&gateway, token, Method::PATCH, &uri, json!({"role": role})).await;
        (done.status.as_u16(), done.json()["code"].clone())
    };
    assert_eq!(change(&ann, &id, "developer").await.0, 200);
    assert_eq!(get(&gateway, &bob, "/auth/me").await.json()["role"], "developer", "at once");
    assert_eq!(change(&ann, &id, "platform_admin").await, (403, json!("above_your_role")));
    let me = text(&get(&gateway, &ann, "/auth/me").await.json()["user"]["user_id"]);
    assert_eq!(change(&ann, &me, "member").await, (409, json!("last_admin")));
    let gone = ask(&gateway, &ann, Method::DELETE, &format!("/people/{me}"), NONE).await;
    assert_eq!((gone.status.as_u16(), &gone.json()["code"]), (409, &json!("last_admin")));

    let gone = ask(&gateway, &ann, Method::DELETE, &format!("/people/{id}"), NONE).await;
    assert_eq!(gone.status, 204);
    assert_eq!(get(&gateway, &bob, "/auth/me").await.status, 401, "their session ends with it");
    let events = details(&gateway, &ann).await;
    for wanted in [
        json!({"member": id, "email": "bob@ours.example", "role": "developer", "removed": true}),
        json!({"member": id, "email": "bob@ours.example", "changes": {"role": ["auditor", "developer"]}}),
        json!({"member": id, "email": "bob@ours.example", "role": "auditor", "joined": "by invitation"}),
    ] {
        assert!(events.contains(&wanted), "{wanted} is not in {events:?}");
    }
    assert!(events.iter().any(|e| e["invited"] == "bob@ours.example"));
}

#[tokio::test]
async fn one_person_in_two_organisations_switches_between_them() {
    let gateway = Gateway::new(world::app().await);
    let (ann, bob) =
        (signed_up(&gateway, "ann@ours.example").await, signed_up(&gateway, "bob@theirs.example").await);
    let invited = post(&gateway, &ann, "/invitations", json!({"email": "bob@theirs.example"})).await.json();
    let joined = post(&gateway, &bob, "/auth/invitations/join", json!({"token": invited["token"]})).await;
    assert_eq!(joined.status, 201, "{joined:?}");
    assert_eq!(get(&gateway, &bob, "/auth/me").await.status, 401, "the session has moved");
    let here = text(&joined.json()["session"]["token"]);
    let orgs = get(&gateway, &here, "/auth/orgs").await.json();
    let of = |name: &str| {
        orgs["items"].as_array().expect("a list").iter().find(|o| o["name"] == name).expect("it").clone()
    };
    assert_eq!(
        (of("ann@ours.example")["role"].clone(), of("ann@ours.example")["current"].clone()),
        (json!("member"), json!(true))
    );
    assert_eq!(get(&gateway, &here, "/people").await.status, 403, "a member here");
    let there =
        post(&gateway, &here, "/auth/switch-org", json!({"org_id": of("bob@theirs.example")["org_id"]}))
            .await;
    let there = text(&there.json()["session"]["token"]);
    assert_eq!(get(&gateway, &there, "/people").await.status, 200, "an admin there");
    let foreign = gateway.app().ids.uuid();
    assert_eq!(post(&gateway, &there, "/auth/switch-org", json!({"org_id": foreign})).await.status, 404);
    let third = post(&gateway, &there, "/auth/orgs", json!({"name": "Third"})).await;
    assert_eq!(third.status, 201);
    assert_eq!(get(&gateway, &there, "/auth/orgs").await.json()["items"].as_array().map(Vec::len), Some(3));
}

/// Sets a second factor up; gives its secret and the recovery codes.
async fn enrolled(gateway: &Gateway, token: &str) -> (String, Vec<String>) {
    let begun = post(gateway, token, "/auth/second-factor", json!({"password": PASSWORD})).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let secret = text(&begun.json()["secret"]);
    let first = code(&secret, gateway.app().clock.now());
    let done = post(gateway, token, "/auth/second-factor/confirm", json!({"code": first})).await;
    assert_eq!(done.status, 200, "{done:?}");
    let codes = done.json()["recovery_codes"].as_array().expect("codes").iter().map(text).collect();
    (secret, codes)
}

#[tokio::test]
async fn the_second_factor_is_asked_for_and_required() {
    let gateway = Gateway::new(world::app().await);
    let ann = signed_up(&gateway, "ann@ours.example").await;
    let (bob, _) = joined(&gateway, &ann, "bob@ours.example", "developer").await;
    let script = post(&gateway, &bob, "/auth/tokens", json!({"name": "script"})).await.json();
    let script = text(&script["token"]);
    let (_, codes) = enrolled(&gateway, &ann).await;
    let login = async |code: Option<&str>| {
        let body = json!({"email": "ann@ours.example", "password": PASSWORD, "code": code});
        post(&gateway, "", "/auth/login", body).await
    };
    let asked = login(None).await;
    assert_eq!((asked.status.as_u16(), &asked.json()["code"]), (401, &json!("second_factor_needed")));
    assert!(!asked.text.contains("tps_"), "no session before the code");
    let wrong = login(Some("000000")).await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["code"]), (401, &json!("wrong_code")));
    assert_eq!(login(Some(&codes[0])).await.status, 200);
    assert_eq!(login(Some(&codes[0])).await.status, 401, "once");
    let state = get(&gateway, &ann, "/auth/second-factor").await.json();
    assert_eq!((&state["enabled"], &state["recovery_codes_left"]), (&json!(true), &json!(9)));

    let org = text(&get(&gateway, &ann, "/auth/me").await.json()["org"]["org_id"]);
    let terms = format!("/auth/orgs/{org}");
    let require = json!({"require_second_factor": true});
    assert_eq!(ask(&gateway, &bob, Method::PATCH, &terms, require.clone()).await.status, 403);
    let set = ask(&gateway, &ann, Method::PATCH, &terms, require).await;
    assert_eq!((set.status.as_u16(), set.header("etag")), (200, "\"v2\""));
    // Bob has none: his session and his token reach nothing but what sets one up.
    for token in [&bob, &script] {
        let refused = get(&gateway, token, "/agents").await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (403, &json!("second_factor_required"))
        );
    }
    for uri in ["/auth/tokens", "/auth/orgs"] {
        let refused = post(&gateway, &bob, uri, json!({"name": "x"})).await;
        assert_eq!(refused.status, 403, "{uri}");
    }
    enrolled(&gateway, &bob).await;
    for token in [&bob, &script] {
        assert_eq!(get(&gateway, token, "/agents").await.status, 200);
    }
    let renew = "/auth/second-factor/recovery-codes";
    let renewed = post(&gateway, &ann, renew, json!({"code": codes[1]})).await;
    let new = renewed.json()["recovery_codes"].as_array().map(|codes| text(&codes[0])).expect("new ones");
    assert_eq!(login(Some(&codes[2])).await.status, 401, "one of before");
    assert_eq!(login(Some(&new)).await.status, 200);
    let off =
        post(&gateway, &bob, "/auth/second-factor/disable", json!({"password": "wrong password"})).await;
    assert_eq!((off.status.as_u16(), &off.json()["code"]), (403, &json!("wrong_password")));
    let off = post(&gateway, &bob, "/auth/second-factor/disable", json!({"password": PASSWORD})).await;
    assert_eq!(off.status, 204);
    let events = details(&gateway, &ann).await;
    let changes = json!({"require_second_factor": [false, true]});
    for wanted in [
        json!({"second_factor": "enabled"}),
        json!({"second_factor": "disabled"}),
        json!({"second_factor": "recovery codes renewed"}),
        json!({"organisation": "changed", "changes": changes}),
    ] {
        assert!(events.contains(&wanted), "{wanted} is not in {events:?}");
    }
    let failed = get(&gateway, &ann, "/audit?event_type=signin_failed").await.json();
    assert_eq!(failed["items"].as_array().map(Vec::len), Some(4), "three codes and a password: {failed}");
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let gateway = Gateway::new(world::app().await);
    let ann = signed_up(&gateway, "ann@ours.example").await;
    let (bob, id) = joined(&gateway, &ann, "bob@ours.example", "developer").await;
    let second = world::login(&gateway, "bob@ours.example").await;
    let rows = get(&gateway, &bob, "/auth/sessions").await.json()["items"].clone();
    let rows = rows.as_array().expect("a list");
    assert_eq!(rows.iter().map(|r| r["current"].clone()).collect::<Vec<_>>(), [json!(true), json!(false)]);
    let own = format!("/auth/sessions/{}", text(&rows[1]["session_id"]));
    assert_eq!(ask(&gateway, &ann, Method::DELETE, &own, NONE).await.status, 404, "not ann's");
    assert_eq!(ask(&gateway, &bob, Method::DELETE, &own, NONE).await.status, 204);
    assert_eq!(get(&gateway, &second, "/auth/me").await.status, 401);

    let third = world::login(&gateway, "bob@ours.example").await;
    let change = json!({"current_password": PASSWORD, "new_password": NEW});
    assert_eq!(post(&gateway, &bob, "/auth/password", change).await.status, 204);
    assert_eq!(get(&gateway, &third, "/auth/me").await.status, 401, "the others end");
    assert_eq!(get(&gateway, &bob, "/auth/me").await.status, 200);

    let token =
        post(&gateway, &bob, "/auth/tokens", json!({"name": "script", "role": "member"})).await.json();
    let token = text(&token["token"]);
    assert_eq!(get(&gateway, &token, "/auth/me").await.json()["role"], "member");
    let listed = get(&gateway, &ann, &format!("/people/{id}/sessions")).await.json();
    let one = text(&listed["items"][0]["session_id"]);
    let end = format!("/people/{id}/sessions/{one}");
    assert_eq!(ask(&gateway, &ann, Method::DELETE, &end, NONE).await.status, 204);
    assert_eq!(get(&gateway, &bob, "/auth/me").await.status, 401);
    assert_eq!(get(&gateway, &token, "/auth/me").await.status, 200, "that was the session");
    let all = format!("/people/{id}/sessions");
    assert_eq!(ask(&gateway, &ann, Method::DELETE, &all, NONE).await.status, 204);
    assert_eq!(get(&gateway, &token, "/auth/me").await.status, 401);
}

#[tokio::test]
async fn a_link_of_an_admin_sets_a_password() {
    let gateway = Gateway::new(world::app().await);
    let ann = signed_up(&gateway, "ann@ours.example").await;
    let (bob, id) = joined(&gateway, &ann, "bob@ours.example", "developer").await;
    let (_, codes) = enrolled(&gateway, &bob).await;
    let made = post(&gateway, &ann, &format!("/people/{id}/reset"), json!({"second_factor": true})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let body = json!({"token": made.json()["token"], "new_password": NEW});
    assert_eq!(post(&gateway, "", "/auth/password/reset", body.clone()).await.status, 204);
    let again = post(&gateway, "", "/auth/password/reset", body).await;
    assert_eq!((again.status.as_u16(), &again.json()["code"]), (422, &json!("invalid_link")));
    assert_eq!(get(&gateway, &bob, "/auth/me").await.status, 401);
    let body = json!({"email": "bob@ours.example", "password": NEW});
    assert_eq!(post(&gateway, "", "/auth/login", body).await.status, 200, "the second factor is gone");
    let log = get(&gateway, &ann, "/audit?limit=50").await.text;
    for secret in [made.json()["token"].as_str(), Some(codes[0].as_str()), Some(bob.as_str()), Some(NEW)] {
        assert!(!log.contains(secret.expect("a text")), "a secret is in the log");
    }
}

#[tokio::test]
async fn keys_rotate_and_developers_have_their_own() {
    let gateway = Gateway::new(world::app().await);
    let ann = signed_up(&gateway, "ann@ours.example").await;
    let (dev, id) = joined(&gateway, &ann, "dev@ours.example", "developer").await;
    let (other, _) = joined(&gateway, &ann, "other@ours.example", "developer").await;
    joined(&gateway, &ann, "reads@ours.example", "auditor").await;
    let agent = post(&gateway, &ann, "/agents/register", json!({"agent_id": "claims"})).await.json();
    let works = async |key: &str| get(&gateway, key, "/models").await.status == 200;
    let first = text(&agent["api_key"]);
    let keys = get(&gateway, &ann, "/agents/claims").await.json()["keys"].clone();
    assert_eq!(keys[0]["created_by"], "ann@ours.example");
    let rotate = |key: &Value| format!("/agents/claims/keys/{}/rotate", text(key));
    let rotated = post(&gateway, &dev, &rotate(&keys[0]["key_id"]), json!({"overlap_seconds": 600})).await;
    assert_eq!(rotated.status, 201, "{rotated:?}");
    let rotated = rotated.json();
    let second = text(&rotated["api_key"]);
    assert!(works(&first).await && works(&second).await, "both, for ten minutes");
    assert!(rotated["old_key_ends_at"].as_str() > rotated["created_at"].as_str());
    let at_once = post(&gateway, &dev, &rotate(&rotated["key_id"]), json!({"overlap_seconds": 0})).await;
    assert_eq!(at_once.status, 201);
    assert!(!works(&second).await && works(&text(&at_once.json()["api_key"])).await);
    let long = post(&gateway, &dev, &rotate(&keys[0]["key_id"]), json!({"overlap_seconds": 9_999_999})).await;
    assert_eq!(long.status, 422);

    let make =
        async |token: &str, body: Value| post(&gateway, token, "/agents/claims/developer-keys", body).await;
    let own = make(&dev, json!({"expires_in_days": 1})).await;
    assert_eq!(own.status, 201, "{own:?}");
    let own = own.json();
    let key = text(&own["api_key"]);
    assert!(key.starts_with("tp_dev_") && works(&key).await && own["expires_at"].is_string());
    for (token, body, status, code) in [
        (&other, json!({"email": "dev@ours.example"}), 403, "above_your_role"),
        (&ann, json!({"email": "reads@ours.example"}), 422, "no_developer"),
        (&ann, json!({"email": "nobody@ours.example"}), 422, "no_developer"),
        (&dev, json!({"expires_in_days": 0}), 422, "invalid_life"),
    ] {
        let refused = make(token, body).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (status, &json!(code)));
    }
    let taken = post(&gateway, &other, &rotate(&own["key_id"]), json!({})).await;
    assert_eq!(taken.status, 403, "a rotation would give it to another");
    assert_eq!(make(&ann, json!({"email": "dev@ours.example"})).await.status, 201, "an admin may");
    let gone = ask(&gateway, &ann, Method::DELETE, &format!("/people/{id}"), NONE).await;
    assert_eq!(gone.status, 204);
    assert!(!works(&key).await, "it ends with its developer's membership");
    gateway.app().authenticator.flush_uses().await.expect("written");
    let keys = get(&gateway, &ann, "/agents/claims").await.json()["keys"].clone();
    assert!(keys[0]["last_used_at"].is_string(), "{keys}");
}

fn principal(role: Role, by_token: bool, factor_missing: bool) -> Caller {
    let (nobody, now) = (uuid::Uuid::nil(), "2026-11-23T00:00:00Z".parse().expect("a time"));
    Caller::Person(UserPrincipal {
        user_id: nobody,
        org_id: nobody,
        role,
        email: String::new(),
        session_id: nobody,
        by_token,
        factor_missing,
        proof: Proof::Password,
        address: None,
        expires_at: now,
    })
}

#[test]
fn a_token_opens_no_route_that_its_maker_cannot_open() {
    let all = [ROLES.as_slice(), &[Role::PlatformAdmin]].concat();
    for route in table::routes() {
        let name = format!("{} {}", route.method, route.path);
        let opens = |caller: &Caller| decide(route.auth, Some(caller)).is_ok();
        for maker in &all {
            // Made with a role at most its maker's, it acts as the less of that and of the maker's now.
            for role in all.iter().filter(|role| *role <= maker) {
                for now in &all {
                    let token = opens(&principal(*role.min(now), true, false));
                    assert!(
                        !token || opens(&principal(*maker, false, false)),
                        "{name}: {maker:?} made {role:?}"
                    );
                    assert!(!token || opens(&principal(*now, false, false)), "{name}: now {now:?}");
                }
            }
            let free = matches!(route.auth, Auth::Own | Auth::Open | Auth::Public);
            assert_eq!(opens(&principal(*maker, false, true)), free, "{name}: without the second factor");
        }
    }
}

/// Routes whose body may hold what its schema does not name, and why.
const FREE_BODIES: [(&str, &str); 12] = [
    ("/chat/completions", "a provider's body"),
    ("/responses", "a provider's body"),
    ("/embeddings", "a provider's body"),
    ("/messages", "a provider's body"),
    ("/messages/count_tokens", "a provider's body"),
    ("/mcp/{server}", "JSON-RPC, read strictly by its own reader"),
    ("/hooks", "a coding agent's event, in its own words"),
    ("/hooks/batch", "coding agents' events, in their own words"),
    ("/govern", "unknown fields are accepted: older and newer clients"),
    ("/govern/execution", "unknown fields are accepted: older and newer clients"),
    ("/pipelines/{name}", "a pipeline's text, checked by its compiler"),
    ("/pipelines/import", "a pipeline's text, checked by its compiler"),
];

/// Places in a body that are free by nature: a tool's arguments, and the value of whatever parameter a step has, which the
/// pipeline's compiler checks.
const FREE_PLACES: [&str; 3] =
    ["/tokens/attenuate.arguments", "/tokens/verify.arguments", "/pipelines/edit.value"];

/// Objects of a schema that take fields they do not name, by their place.
fn open_objects(document: &Value, schema: &Value, at: &str, seen: &mut Vec<String>, found: &mut Vec<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        if seen.iter().any(|known| known == target) {
            return;
        }
        seen.push(target.to_owned());
        let target = document.pointer(target.trim_start_matches('#')).expect("a definition");
        return open_objects(document, target, at, seen, found);
    }
    if schema == &json!(true) || schema.get("type").is_none() && schema.get("properties").is_none() {
        let parts = ["anyOf", "oneOf", "allOf"].iter().filter_map(|k| schema[*k].as_array()).flatten();
        let parts: Vec<_> = parts.collect();
        if parts.is_empty() && schema.get("enum").is_none() && schema.get("const").is_none() {
            found.push(at.to_owned());
        }
        parts.iter().for_each(|part| open_objects(document, part, at, seen, found));
        return;
    }
    if let Some(properties) = schema["properties"].as_object() {
        // The second is how a schema says it whose properties come from two types.
        let closed = ["additionalProperties", "unevaluatedProperties"];
        if closed.iter().all(|word| schema[*word] != json!(false)) {
            found.push(at.to_owned());
        }
        for (name, property) in properties {
            open_objects(document, property, &format!("{at}.{name}"), seen, found);
        }
    }
    if schema["items"].is_object() {
        open_objects(document, &schema["items"], &format!("{at}[]"), seen, found);
    }
}

#[test]
fn no_body_has_room_for_a_field_that_it_does_not_name() {
    let routes = table::routes();
    let document = openapi::document(&routes);
    let mut strict = 0;
    for route in routes.iter().filter(|route| route.body.is_some()) {
        let method = route.method.as_str().to_lowercase();
        let pointer = "/requestBody/content/application~1json/schema";
        let operation = &document["paths"][route.path][method];
        let schema = operation.pointer(pointer).expect("a schema");
        let mut found = Vec::new();
        open_objects(&document, schema, route.path, &mut Vec::new(), &mut found);
        if FREE_BODIES.iter().any(|(path, _)| *path == route.path) {
            continue;
        }
        found.retain(|place| !FREE_PLACES.contains(&place.as_str()));
        assert!(found.is_empty(), "{} {}: {found:?}", route.method, route.path);
        strict += 1;
    }
    assert!(strict >= 30, "{strict} bodies");
}

#[tokio::test]
async fn a_field_that_is_not_named_is_refused() {
    let world = World::new().await;
    let things = world.ours.things(&world.gateway).await;
    let mut walked = 0;
    for route in table::routes() {
        let free = FREE_BODIES.iter().any(|(path, _)| *path == route.path);
        if route.body.is_none() || free || crate::walk::needs_issuer(&route) {
            continue;
        }
        let caller = match route.auth {
            Auth::Agent => &things.api_key,
            _ => &world.ours.admin,
        };
        let mut body = crate::walk::example(&route, &world.ours.emails[3], &things);
        let named = if body.is_array() { &mut body[0] } else { &mut body };
        named["is_platform_admin"] = json!(true);
        let built = request(route.method.clone(), &crate::walk::fill(&route, &things))
            .header("authorization", format!("Bearer {caller}"))
            .header("content-type", "application/json");
        let answer = send(&world.gateway, built.body(Body::from(body.to_string())).expect("a request")).await;
        assert_eq!(answer.status, 422, "{} {}: {}", route.method, route.path, answer.text);
        assert!(
            answer.text.contains("is_platform_admin"),
            "{} {}: {}",
            route.method,
            route.path,
            answer.text
        );
        walked += 1;
    }
    assert!(walked >= 30, "{walked} bodies");
}
