//! Sessions in a browser's cookie, other sites' pages, and names that a request gives itself.

use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};
use tappass_server::{App, Config, Gateway};

use crate::client::{Answer, app, ask, config, get, request, send};

const PASSWORD: &str = "correct horse battery";
const HOME: &str = "https://gateway.example.com";

/// A gateway at `HOME` with an account.
async fn home() -> Gateway {
    at(Some(HOME)).await
}

async fn at(base_url: Option<&str>) -> Gateway {
    let config = Config { base_url: base_url.map(str::to_owned), port: 9620, ..config() };
    let gateway = Gateway::new(app(config).await);
    let new = json!({"email": "ada@example.com", "password": PASSWORD, "org_name": "Example"});
    assert_eq!(ask(&gateway, "", Method::POST, "/auth/signup", new).await.status, 201);
    gateway
}

/// A request with these headers and, unless it is null, this body.
async fn with(gateway: &Gateway, method: Method, uri: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    let mut built = request(method, uri);
    for (name, value) in headers {
        built = built.header(*name, *value);
    }
    let body = if body.is_null() {
        Body::empty()
    } else {
        built = built.header("content-type", "application/json");
        Body::from(body.to_string())
    };
    send(gateway, built.body(body).expect("a request")).await
}

async fn sign_in(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "cookie": true});
    with(gateway, Method::POST, "/auth/login", headers, body).await
}

/// The `name=value` of the cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().expect("a cookie").to_owned()
}

/// A signed-in browser: its cookie, and the token of its pages.
async fn browser(gateway: &Gateway) -> (String, String) {
    let done = sign_in(gateway, &[("origin", HOME)]).await;
    assert_eq!(done.status, 200, "{done:?}");
    let token = done.json()["session"]["csrf_token"].as_str().expect("a token").to_owned();
    (cookie(&done), token)
}

#[tokio::test]
async fn a_cookie_holds_the_session_where_no_script_reads_it() {
    let gateway = home().await;
    let done = sign_in(&gateway, &[("sec-fetch-site", "same-origin")]).await;
    let set = done.header("set-cookie");
    for part in
        ["__Host-tappass_session=tps_", "; Path=/", "; HttpOnly", "; SameSite=Lax", "; Secure", "Max-Age=43"]
    {
        assert!(set.contains(part), "{part}: {set}");
    }
    assert!(!set.to_lowercase().contains("domain") && !done.text.contains("tps_"), "{done:?}");
    assert!(done.json()["session"].get("token").is_none());
    let ada = with(&gateway, Method::GET, "/auth/me", &[("cookie", &cookie(&done))], Value::Null).await;
    assert_eq!((ada.status.as_u16(), &ada.json()["user"]["email"]), (200, &json!("ada@example.com")));
    assert_eq!(ada.json()["csrf_token"], done.json()["session"]["csrf_token"]);
    // Without HTTPS there is no `Secure` and no prefix, or browsers would drop it.
    let plain = at(None).await;
    let done = sign_in(&plain, &[("origin", "http://localhost:9620")]).await;
    assert!(done.header("set-cookie").starts_with("tappass_session=tps_"), "{done:?}");
    assert!(!done.header("set-cookie").contains("Secure"));
    // Who asks for no cookie gets none.
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let bearer = with(&gateway, Method::POST, "/auth/login", &[], body).await;
    assert!(!bearer.headers.contains_key(header::SET_COOKIE) && bearer.text.contains("tps_"));
}

#[tokio::test]
async fn each_sign_in_has_a_session_of_its_own_and_ends_the_last() {
    let gateway = home().await;
    let (first, _) = browser(&gateway).await;
    let again = sign_in(&gateway, &[("origin", HOME), ("cookie", &first)]).await;
    let second = cookie(&again);
    assert_ne!(first, second);
    let me = async |cookie: &str| {
        with(&gateway, Method::GET, "/auth/me", &[("cookie", cookie)], Value::Null).await.status.as_u16()
    };
    assert_eq!((me(&first).await, me(&second).await), (401, 200));
    // A session that somebody else chose is none.
    let chosen = format!("__Host-tappass_session=tps_{}", "x".repeat(49));
    let done = sign_in(&gateway, &[("origin", HOME), ("cookie", &chosen)]).await;
    assert!(done.status == 200 && cookie(&done) != chosen);
    // Refreshing replaces it, signing out ends it on the server too.
    let token = again.json()["session"]["csrf_token"].as_str().expect("a token").to_owned();
    let ours = [("cookie", second.as_str()), ("origin", HOME), ("x-csrf-token", &token)];
    let refreshed = with(&gateway, Method::POST, "/auth/refresh", &ours, Value::Null).await;
    let third = cookie(&refreshed);
    assert_eq!((refreshed.status.as_u16(), me(&second).await, me(&third).await), (200, 401, 200));
    let token = refreshed.json()["session"]["csrf_token"].as_str().expect("a token").to_owned();
    let ours = [("cookie", third.as_str()), ("origin", HOME), ("x-csrf-token", &token)];
    let out = with(&gateway, Method::POST, "/auth/logout", &ours, Value::Null).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").starts_with("__Host-tappass_session=;"), "{out:?}");
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(me(&third).await, 401);
}

#[tokio::test]
async fn no_other_site_acts_with_a_browsers_session() {
    let gateway = home().await;
    let (cookie, token) = browser(&gateway).await;
    let (other, _) = browser(&gateway).await;
    let agent = |name: &str| json!({"agent_id": name});
    let register = async |name: &str, headers: &[(&str, &str)]| {
        with(&gateway, Method::POST, "/agents/register", headers, agent(name)).await
    };
    let (session, token, right) =
        (("cookie", cookie.as_str()), ("x-csrf-token", token.as_str()), ("origin", HOME));
    assert_eq!(register("right", &[session, token, right]).await.status, 201);
    assert_eq!(register("right-2", &[session, token, ("sec-fetch-site", "same-origin")]).await.status, 201);
    for (wrong, code) in [
        (vec![session, token], "cross_site"),
        (vec![session, token, ("origin", "https://evil.example")], "cross_site"),
        (vec![session, token, ("origin", "null")], "cross_site"),
        (vec![session, token, ("origin", "http://gateway.example.com")], "cross_site"),
        (vec![session, token, ("origin", "https://gateway.example.com:8443")], "cross_site"),
        (vec![session, token, ("origin", "https://gateway.example.com.evil.example")], "cross_site"),
        (vec![session, token, right, ("sec-fetch-site", "cross-site")], "cross_site"),
        (vec![session, token, right, ("sec-fetch-site", "same-site")], "cross_site"),
        (vec![session, token, right, ("sec-fetch-site", "none")], "cross_site"),
        (vec![session, right], "csrf_token"),
        (vec![session, right, ("x-csrf-token", "")], "csrf_token"),
        (vec![session, right, ("x-csrf-token", "0")], "csrf_token"),
        // Another session's token is not this one's.
        (vec![("cookie", other.as_str()), right, token], "csrf_token"),
    ] {
        let refused = register("wrong", &wrong).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!(code)), "{wrong:?}");
    }
    // Two cookies of one name: one of them was set by somebody else.
    let twice = format!("{cookie}; {other}");
    let refused = register("wrong", &[("cookie", &twice), token, right]).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("two_credentials")));
    // A cookie neither helps nor hurts a bearer, and opens nothing for agents.
    let both = [session, ("authorization", "Bearer tps_wrong")];
    assert_eq!(with(&gateway, Method::GET, "/auth/me", &both, Value::Null).await.status, 401);
    assert_eq!(with(&gateway, Method::GET, "/models", &[session], Value::Null).await.status, 401);
    let agents = with(&gateway, Method::GET, "/agents", &[session], Value::Null).await.json();
    assert_eq!(agents["items"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn no_other_site_signs_anybody_in() {
    let gateway = home().await;
    for wrong in [
        vec![],
        vec![("origin", "https://evil.example")],
        vec![("sec-fetch-site", "cross-site")],
        vec![("origin", "null")],
    ] {
        let refused = sign_in(&gateway, &wrong).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (403, &json!("cross_site")),
            "{wrong:?}"
        );
        assert!(!refused.headers.contains_key(header::SET_COOKIE));
    }
    let form = request(Method::POST, "/auth/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", "https://evil.example")
        .body(Body::from("email=ada%40example.com&cookie=true"));
    assert_eq!(send(&gateway, form.expect("a request")).await.status, 415);
}

#[tokio::test]
async fn other_sites_scripts_read_nothing_unless_listed() {
    let headers =
        ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-credentials"];
    let ask = async |gateway: &Gateway, origin: &str| {
        let preflight = [("origin", origin), ("access-control-request-method", "POST")];
        let before = with(gateway, Method::OPTIONS, "/v1/chat/completions", &preflight, Value::Null).await;
        let answer = with(gateway, Method::GET, "/agents", &[("origin", origin)], Value::Null).await;
        (before, answer)
    };
    let (before, answer) = ask(&home().await, "https://app.example.com").await;
    assert_eq!((before.status.as_u16(), answer.status.as_u16()), (405, 401));
    assert!(headers.iter().all(|name| before.header(name).is_empty() && answer.header(name).is_empty()));

    let listed = Config { cors_origins: vec!["https://app.example.com".to_owned()], ..config() };
    let listed = Gateway::new(app(listed).await);
    let (before, answer) = ask(&listed, "https://app.example.com").await;
    assert_eq!(before.status, 204);
    assert_eq!(before.header("access-control-allow-origin"), "https://app.example.com");
    assert!(before.header("access-control-allow-methods").contains("PATCH"));
    assert!(before.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!((before.header("vary"), answer.header("vary")), ("origin", "origin"));
    assert_eq!(before.header("x-content-type-options"), "nosniff");
    // Cookies are never meant.
    assert!(before.header("access-control-allow-credentials").is_empty());
    for other in [
        "https://evil.example",
        "http://app.example.com",
        "https://app.example.com.evil.example",
        "null",
        "*",
    ] {
        let (before, answer) = ask(&listed, other).await;
        assert!(
            headers.iter().all(|name| before.header(name).is_empty() && answer.header(name).is_empty()),
            "{other}"
        );
        assert_eq!(answer.header("vary"), "origin");
    }
}

#[test]
fn what_is_no_origin_is_not_listed() {
    for wrong in [
        "*",
        "null",
        "app.example.com",
        "https://app.example.com/",
        "https://*.example.com",
        "https://a.b:443",
    ] {
        let config = Config { cors_origins: vec![wrong.to_owned()], ..config() };
        assert_eq!(config.validate().map_err(|e| e.0), Err("cors_origins"), "{wrong}");
    }
}

#[tokio::test]
async fn a_request_does_not_say_what_the_gateway_is_called() {
    let evil = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-port", "6666"),
        ("x-original-url", "/evil.example"),
        ("x-rewrite-url", "/evil.example"),
        ("forwarded", "host=evil.example;proto=gopher"),
    ];
    let gateway = home().await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let token = with(&gateway, Method::POST, "/auth/login", &[], body).await.json()["session"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let bearer = format!("Bearer {token}");
    let mut headers = evil.to_vec();
    headers.push(("authorization", &bearer));
    let made = with(&gateway, Method::POST, "/agents/register", &headers, json!({"agent_id": "a"})).await;
    let key = format!("Bearer {}", made.json()["api_key"].as_str().expect("a key"));
    let mut as_agent = evil.to_vec();
    as_agent.push(("authorization", &key));
    let mut answers = vec![made];
    for path in [
        "/health",
        "/nothing",
        "/openapi.json",
        "/api-docs",
        "/auth/me",
        "/pipelines/starter/export",
        "/admin/status",
    ] {
        answers.push(with(&gateway, Method::GET, path, &headers, Value::Null).await);
    }
    let hello = json!({"model": "builtin", "messages": [{"role": "user", "content": "Hello"}]});
    let call = with(&gateway, Method::POST, "/v1/chat/completions", &as_agent, hello).await;
    assert!(
        call.json()["tappass"]["audit_url"].as_str().is_some_and(|url| url.starts_with(HOME)),
        "{call:?}"
    );
    answers.push(call);
    answers.push(with(&gateway, Method::POST, "/sessions", &as_agent, json!({})).await);
    for answer in &answers {
        let whole = format!("{:?} {}", answer.headers, answer.text);
        assert!(
            !whole.contains("evil.example") && !whole.contains("gopher") && !whole.contains("6666"),
            "{whole}"
        );
    }
    assert_eq!(answers[1].header("strict-transport-security"), "max-age=15552000");
    assert_eq!(get(&at(None).await, "/health").await.header("strict-transport-security"), "");
}

#[tokio::test]
async fn every_routes_answer_has_its_headers() {
    let gateway = home().await;
    let app: &App = gateway.app();
    assert!(app.is_https());
    for route in tappass_server::router::table::routes() {
        let built = request(route.method.clone(), &route.path.replace(['{', '}'], "")).body(Body::empty());
        let head = gateway.call(built.expect("a request")).await.into_parts().0;
        for name in [
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "content-security-policy",
            "cache-control",
            "cross-origin-resource-policy",
            "cross-origin-opener-policy",
            "permissions-policy",
            "strict-transport-security",
            "x-request-id",
        ] {
            assert!(head.headers.contains_key(name), "{} {}: {name}", route.method, route.path);
        }
    }
}
