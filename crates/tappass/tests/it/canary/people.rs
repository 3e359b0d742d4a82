//! What people, issuers and admins put in and are given: links, second factors, cookies, ID tokens, what an issuer sends back, credentials of MCP servers.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tappass_model::{Clock as _, SystemClock};
use tappass_testkit::authenticator::code;

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

/// Invitations, second factors and resets: what is shown once is told nowhere else. The mail server is away.
pub(super) async fn ways_in(gateway: &Gateway, canaries: &mut Canaries) {
    let post = |path: &str, body: &Value| gateway.request(Method::POST, path).json(body);
    let invite = json!({"email": "bob@client.example"});
    let invited = gateway.ask(Method::POST, "/invitations", invite).await;
    let token = canaries.plant_as("an invitation's token", text(&invited, "token"));
    canaries.assert_absent("why it was not mailed", text(&invited, "mail_error").as_bytes());
    let mut password = canaries.plant("an invited person's password");
    for wrong in [
        canaries.plant("an invitation's token that is none"),
        format!("tpi_{}", canaries.plant("a made-up one")),
    ] {
        let accept = json!({"token": wrong, "password": password});
        assert_eq!(canaries.send(post("/auth/invitations/accept", &accept)).await, 422);
    }
    let joined =
        answer(post("/auth/invitations/accept", &json!({"token": token, "password": password}))).await;
    let session = canaries.plant_as("an invited person's session", text(&joined["session"], "token"));

    let begun = post("/auth/second-factor", &json!({"password": password})).bearer_auth(&session);
    let secret = canaries.plant_as("a second factor's secret", text(&answer(begun).await, "secret"));
    let confirm =
        |code: &str| post("/auth/second-factor/confirm", &json!({"code": code})).bearer_auth(&session);
    let wrong = confirm(&canaries.plant("a first code that is wrong"));
    assert_eq!(canaries.send(wrong).await, 403);
    let confirmed = answer(confirm(&code(&secret, SystemClock.now()))).await;
    let recovery: Vec<String> = confirmed["recovery_codes"]
        .as_array()
        .expect("codes")
        .iter()
        .map(|code| canaries.plant_as("a recovery code", code.as_str().expect("a code")))
        .collect();
    let login = |password: &str, code: &str| {
        post("/auth/login", &json!({"email": "bob@client.example", "password": password, "code": code}))
    };
    let wrong = login(&password, &canaries.plant("a code that is wrong"));
    assert_eq!(canaries.send(wrong).await, 401);
    assert_eq!(canaries.send(login(&password, &recovery[0])).await, 200);
    assert_eq!(canaries.send(login(&password, &recovery[0])).await, 401, "it was used");

    let user = text(&joined["user"], "user_id");
    let made = gateway.ask(Method::POST, &format!("/people/{user}/reset"), json!({})).await;
    let token = canaries.plant_as("a reset's token", text(&made, "token"));
    password = canaries.plant("a password set by a link");
    let made_up = format!("tpr_{}", canaries.plant("a reset's token that is none"));
    for (token, expected) in [(&made_up, 422), (&token, 204), (&token, 422)] {
        let set = json!({"token": token, "new_password": password});
        assert_eq!(canaries.send(post("/auth/password/reset", &set)).await, expected);
    }
    assert_eq!(canaries.send(login(&password, &recovery[1])).await, 200);
    let forgotten = json!({"email": "bob@client.example"});
    assert_eq!(canaries.send(post("/auth/password/forgotten", &forgotten)).await, 202);
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect(name)
}

/// The body of a success.
async fn answer(request: RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json().await.expect("JSON")
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
