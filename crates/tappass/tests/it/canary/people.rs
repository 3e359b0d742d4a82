//! What people, issuers and admins put in: cookies, ID tokens, what an issuer sends back, credentials of MCP servers.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Canaries, Gateway};

/// Sign-ins at other issuers, which are away: begun, ended by answers that are none, and by tokens.
pub(super) async fn sign_ins(gateway: &Gateway, canaries: &mut Canaries) {
    for issuer in ["oidc", "google"] {
        let mut plant = |place| canaries.plant(place);
        let told = [
            "an issuer's code",
            "an issuer's state",
            "an issuer's name",
            "an issuer's error",
            "what an issuer says",
        ];
        let [code, state, iss, error, description] = told.map(&mut plant);
        let query =
            format!("code={code}&state={state}&iss={iss}&error={error}&error_description={description}");
        let cookies = [plant("a sign-in's cookie"), plant("a session's cookie")];
        let cookies = format!("tappass_sign_in={}; tappass_session=tps_{}", cookies[0], cookies[1]);
        let back = gateway.request(Method::GET, &format!("/auth/{issuer}/callback?{query}"));
        assert_eq!(canaries.send(back.header("cookie", &cookies)).await, 400);
        let me = gateway.request(Method::GET, "/auth/me").header("cookie", &cookies);
        assert_eq!(canaries.send(me).await, 401);
        let next = format!("https://{}.example", canaries.plant("where to go"));
        let begun = gateway.request(Method::GET, &format!("/auth/{issuer}?next={next}"));
        assert_eq!(canaries.send(begun).await, 400);
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(&json!({"alg": "RS256", "kid": canaries.plant("a token's key")}));
    let claims = part(&json!({
        "sub": canaries.plant("a token's subject"), "email": canaries.plant("a token's address"),
        "nonce": canaries.plant("a token's nonce"),
    }));
    canaries.plant_as("a token's claims as they are sent", &claims);
    let signature = URL_SAFE_NO_PAD.encode(canaries.plant("a token's signature"));
    let name = canaries.plant("an organisation that is not made");
    for token in [format!("{header}.{claims}.{signature}"), canaries.plant("a token that is none")] {
        let body = json!({"id_token": token, "org_name": name});
        let brought = gateway.request(Method::POST, "/auth/oidc-token").json(&body);
        assert_eq!(canaries.send(brought).await, 502);
    }
}

/// MCP servers: their credentials, and messages to one that is away.
pub(super) async fn mcp(gateway: &Gateway, canaries: &mut Canaries, key: &str, name: &str) {
    let admin = |method, path: &str| gateway.request(method, path).bearer_auth(&gateway.admin);
    let credential = json!({"bearer": canaries.plant("an MCP server's credential")});
    let new = json!({"name": name, "url": "http://127.0.0.1:1/mcp", "credential": credential});
    assert_eq!(canaries.send(admin(Method::POST, "/admin/mcp/servers").json(&new)).await, 201);
    let path = format!("/admin/mcp/servers/{name}");
    let header = json!({"name": "x-key", "value": canaries.plant("an MCP server's next credential")});
    let changed = json!({"credential": {"header": header}});
    assert_eq!(canaries.send(admin(Method::PATCH, &path).json(&changed)).await, 200);
    let wrong = json!({"credential": {"bearer": [canaries.plant("a credential of a wrong type")]}});
    assert!(canaries.send(admin(Method::PATCH, &path).json(&wrong)).await.is_client_error());
    for (method, params) in [
        ("tools/call", json!({"name": "read", "arguments": {"q": canaries.plant("arguments of MCP")}})),
        ("prompts/get", json!({"name": "p", "arguments": {"q": canaries.plant("a prompt's arguments")}})),
        ("ping", json!({"note": canaries.plant("an MCP message's note")})),
    ] {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let said = gateway
            .request(Method::POST, &format!("/mcp/{name}"))
            .bearer_auth(key)
            .header("accept", "application/json, text/event-stream")
            .json(&message);
        canaries.send(said).await;
    }
}
