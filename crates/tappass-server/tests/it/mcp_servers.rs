//! MCP servers as admins configure them.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    client::{Answer, ask, request, send},
    world::World,
};

const SERVERS: &str = "/admin/mcp/servers";

async fn admin(world: &World, method: Method, uri: &str, body: Value) -> Answer {
    ask(&world.gateway, &world.ours.admin, method, uri, body).await
}

#[tokio::test]
async fn a_server_is_added_shown_changed_and_removed() {
    let world = World::new().await;
    let new = json!({"name": "tickets", "url": "https://mcp.example.com/mcp", "description": "Tickets",
        "credential": {"bearer": "s3cret-token"}, "agents": ["support-*"], "tools": {"deny": ["delete_*"]}});
    let made = admin(&world, Method::POST, SERVERS, new.clone()).await;
    assert_eq!((made.status, made.header("etag")), (StatusCode::CREATED, "\"v1\""), "{made:?}");
    let shown = admin(&world, Method::GET, "/admin/mcp/servers/tickets", Value::Null).await;
    let view = shown.json();
    assert_eq!(view, made.json());
    for (key, value) in [
        ("url", json!("https://mcp.example.com/mcp")),
        ("credential", json!("authorization")),
        ("agents", json!(["support-*"])),
        ("tools", json!({"allow": [], "deny": ["delete_*"]})),
        ("enabled", json!(true)),
        ("timeout_seconds", json!(120)),
    ] {
        assert_eq!(view[key], value, "{key}");
    }
    assert!(view["address"].as_str().is_some_and(|a| a.ends_with("/mcp/tickets")));
    assert_eq!(admin(&world, Method::POST, SERVERS, new).await.status, 409);

    let stale = request(Method::PATCH, "/admin/mcp/servers/tickets")
        .header("authorization", format!("Bearer {}", world.ours.admin))
        .header("content-type", "application/json")
        .header("if-match", "\"v7\"")
        .body(json!({"enabled": false}).to_string().into());
    assert_eq!(send(&world.gateway, stale.expect("a request")).await.status, 412);
    let change = json!({"enabled": false, "credential": {"header": {"name": "X-Key", "value": "k-77"}}});
    let changed = admin(&world, Method::PATCH, "/admin/mcp/servers/tickets", change).await;
    assert_eq!(changed.header("etag"), "\"v2\"", "{changed:?}");
    let changed = changed.json();
    assert_eq!(
        (&changed["enabled"], &changed["credential"], &changed["description"]),
        (&json!(false), &json!("x-key"), &json!("Tickets"))
    );
    // The credential is the one that was set, and opens in its place only.
    let app = world.gateway.app();
    let org: Uuid = world.ours.org_id.parse().expect("a UUID");
    let mut stored = app.store.mcp_servers().get(org, "tickets").await.expect("an answer").expect("it");
    assert_eq!(
        app.mcp.credential(&stored).await.expect("opens"),
        Some(("x-key".to_owned(), "k-77".to_owned().into()))
    );
    stored.name = "other".to_owned();
    assert!(app.mcp.credential(&stored).await.is_err());
    let bare = admin(&world, Method::PATCH, "/admin/mcp/servers/tickets", json!({"credential": null})).await;
    assert_eq!(bare.json()["credential"], Value::Null);

    let log = admin(&world, Method::GET, "/audit?event_type=config_changed", Value::Null).await;
    for kept in
        ["\"mcp_server\":\"tickets\"", "support-*", "\"credential\":\"set\"", "\"enabled\":[true,false]"]
    {
        assert!(log.text.contains(kept), "{kept}: {}", log.text);
    }
    for secret in ["s3cret-token", "k-77"] {
        assert!(!log.text.contains(secret) && !shown.text.contains(secret));
    }
    let gone = admin(&world, Method::DELETE, "/admin/mcp/servers/tickets", Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(admin(&world, Method::GET, "/admin/mcp/servers/tickets", Value::Null).await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let world = World::new().await;
    let url = "https://mcp.example.com/mcp";
    for (body, code, said) in [
        (
            json!({"name": "x", "command": "npx", "args": ["-y", "server"]}),
            "stdio_not_offered",
            "starts no programs",
        ),
        (json!({"name": "x", "url": url, "transport": "stdio"}), "stdio_not_offered", "starts no programs"),
        (json!({"name": "x"}), "invalid_mcp_server", "`url` is needed"),
        (json!({"name": "X y", "url": url}), "invalid_mcp_server", "`name`"),
        (json!({"name": "x", "url": "mcp.example.com"}), "invalid_mcp_server", "no address"),
        (
            json!({"name": "x", "url": "https://10.0.0.1/mcp"}),
            "invalid_mcp_server",
            "TAPPASS_EGRESS_ALLOW=10.0.0.1",
        ),
        (json!({"name": "x", "url": "https://[::1]/mcp"}), "invalid_mcp_server", "internal"),
        (json!({"name": "x", "url": "http://8.8.8.8/mcp"}), "invalid_mcp_server", "without TLS"),
        (
            json!({"name": "x", "url": "https://me:pw@mcp.example.com/"}),
            "invalid_mcp_server",
            "credential of its own",
        ),
        (json!({"name": "x", "url": url, "timeout_seconds": 0}), "invalid_mcp_server", "`timeout_seconds`"),
        (json!({"name": "x", "url": url, "agents": [""]}), "invalid_mcp_server", "`agents`"),
        (json!({"name": "x", "url": url, "agnets": []}), "invalid_mcp_server", "`agnets`"),
        (
            json!({"name": "x", "url": url, "credential": {"bearer": "a\nb"}}),
            "invalid_mcp_server",
            "`credential`",
        ),
        (
            json!({"name": "x", "url": url, "credential": {"header": {"name": "Mcp-Session-Id", "value": "x"}}}),
            "invalid_mcp_server",
            "no header",
        ),
        (
            json!({"name": "x", "url": url, "credential": "x"}),
            "invalid_body",
            "expected `bearer` or `header`",
        ),
    ] {
        let answer = admin(&world, Method::POST, SERVERS, body.clone()).await;
        let told = answer.json();
        assert_eq!((answer.status.as_u16(), &told["code"]), (422, &json!(code)), "{body}: {told}");
        assert!(told["detail"].as_str().is_some_and(|d| d.contains(said)), "{body}: {told}");
    }
    assert!(!admin(&world, Method::GET, SERVERS, Value::Null).await.text.contains("\"x\""));
}

#[tokio::test]
async fn a_changed_definition_is_shown_and_approved() {
    let world = World::new().await;
    let things = world.ours.things(&world.gateway).await;
    let tools = format!("{SERVERS}/{}/tools", things.mcp_server);
    let known = admin(&world, Method::GET, &tools, Value::Null).await.json();
    let tool = &known["items"][0];
    assert_eq!((&tool["tool"], &tool["state"]), (&json!("read"), &json!("quarantined")));
    assert_eq!(tool["definition"], json!({"name": "read"}));
    assert_eq!(tool["changed"]["hash"], json!(things.definition));
    let differences = json!([{"at": "/description", "was": null, "now": things.mcp_server}]);
    assert_eq!(tool["changed"]["differences"], differences);

    let approve = |hash: &str| format!("{SERVERS}/{}/definitions/{hash}/approve", things.mcp_server);
    let wrong = tool["hash"].as_str().expect("a hash");
    assert_eq!(admin(&world, Method::POST, &approve(wrong), json!({})).await.status, 404);
    let approved = admin(&world, Method::POST, &approve(&things.definition), json!({})).await.json();
    assert_eq!((&approved["state"], &approved["changed"]), (&json!("pinned"), &Value::Null));
    assert_eq!(
        (&approved["hash"], &approved["pinned_by"]),
        (&json!(things.definition), &json!("org_admin@ours.example"))
    );
    assert_eq!(admin(&world, Method::POST, &approve(&things.definition), json!({})).await.status, 404);
    let log = admin(&world, Method::GET, "/audit?event_type=config_changed", Value::Null).await;
    assert!(log.text.contains(&format!("\"approved\":\"{}\"", things.definition)), "{}", log.text);
}
