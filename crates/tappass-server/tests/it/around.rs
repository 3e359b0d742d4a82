//! What surrounds every route: ids, limits, shapes of errors, panics, shedding.

use axum::body::Body;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tappass_server::{
    ApiError, Config, Gateway, Limits,
    body::Json,
    middleware::Peer,
    router::{Auth, Route},
};

use crate::client::{Answer, config, gateway, get, request, send, with_routes};

#[tokio::test]
async fn the_prefix_may_stand_there_twice() {
    let gateway = gateway().await;
    for path in ["/health", "/v1/health", "/v1/v1/health"] {
        let answer = get(&gateway, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.json()["status"], "healthy");
        assert_eq!(answer.json()["version"], "0.6.0");
        assert_eq!(answer.json()["storage"], "memory");
    }
    assert_eq!(get(&gateway, "/v1/v1/v1/health").await.status, 404);
}

#[tokio::test]
async fn unknown_routes_are_refused_in_the_shape_of_their_clients() {
    let gateway = gateway().await;
    let answer = get(&gateway, "/nothing?x=1").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (404, "application/problem+json"));
    assert_eq!(answer.json()["code"], "unknown_route");
    assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
    let answer = get(&gateway, "/v1/images/generations").await;
    assert_eq!(answer.status, 404);
    let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("does not govern") && message.contains("refused"), "{message}");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let answer =
        send(&gateway().await, request(Method::POST, "/health").body(Body::empty()).expect("a request"))
            .await;
    assert_eq!(answer.status, 405);
    assert!(answer.header("allow").contains("GET"), "{answer:?}");
    assert_eq!(answer.json()["code"], "method_not_allowed");
}

#[tokio::test]
async fn every_answer_has_its_headers() {
    let gateway = gateway().await;
    let with_id = request(Method::GET, "/health").header("x-request-id", "mine-1").body(Body::empty());
    let answer = send(&gateway, with_id.expect("a request")).await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    for path in ["/health", "/nothing", "/metrics"] {
        let answer = get(&gateway, path).await;
        assert_eq!(answer.header("x-request-id").len(), 36);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    }
}

async fn broken() -> &'static str {
    panic!("a bug");
}

#[tokio::test]
async fn a_panic_is_one_requests_500() {
    let routes = || {
        vec![
            Route::new(Method::GET, "/broken", Auth::Open, broken, "Panics")
                .speaks(tappass_model::Dialect::OpenAiChat),
            Route::new(Method::GET, "/fine", Auth::Open, || async { "fine" }, "Does not"),
        ]
    };
    let gateway = with_routes(config(), routes()).await;
    let answer = get(&gateway, "/broken").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["error"]["type"], "server_error");
    assert!(!answer.text.contains("a bug"));
    assert_eq!(get(&gateway, "/fine").await.text, "fine");
}

#[tokio::test]
async fn overload_is_shed_and_health_is_not() {
    let limits = Limits { in_flight: 1, ..Limits::default() };
    let wait =
        || async { Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>()) };
    let routes = vec![
        Route::new(Method::GET, "/wait", Auth::Open, wait, "Never ends"),
        Route::new(Method::GET, "/health/live", Auth::Open, || async { "alive" }, "Answers"),
    ];
    let gateway = with_routes(Config { limits, ..config() }, routes).await;
    // A stream keeps its place until it ends.
    let open = gateway.call(request(Method::GET, "/wait").body(Body::empty()).expect("a request")).await;
    let shed = get(&gateway, "/wait").await;
    assert_eq!((shed.status, shed.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert_eq!(shed.json()["code"], "overloaded");
    assert_eq!(get(&gateway, "/health/live").await.text, "alive");
    drop(open);
    let again = gateway.call(request(Method::GET, "/wait").body(Body::empty()).expect("a request")).await;
    assert_eq!(again.status(), 200);
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let many = |n: usize| {
        (0..n)
            .fold(request(Method::GET, "/health"), |b, i| b.header(format!("x-{i}"), "1"))
            .body(Body::empty())
            .expect("a request")
    };
    let gateway = gateway().await;
    assert_eq!(send(&gateway, many(100)).await.status, 200);
    let refused = send(&gateway, many(101)).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (431, &json!("too_many_headers")));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thing {
    name: String,
}

async fn make(Json(thing): Json<Thing>) -> Result<String, ApiError> {
    Ok(thing.name)
}

pub async fn post(gateway: &Gateway, kind: &str, body: impl Into<Body>) -> Answer {
    let built = request(Method::POST, "/things").header("content-type", kind).body(body.into());
    send(gateway, built.expect("a request")).await
}

#[tokio::test]
async fn bad_input_gets_its_status_and_a_sentence() {
    let gateway =
        with_routes(config(), vec![Route::new(Method::POST, "/things", Auth::Open, make, "Makes one")]).await;
    let kind = "application/json";
    assert_eq!(post(&gateway, kind, r#"{"name":"x"}"#).await.text, "x");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let cases: [(&str, Body, u16, &str, &str); 8] = [
        (kind, "{\"name\":".into(), 422, "invalid_json", "line 1"),
        (kind, r#"{"name":"x","name":"y"}"#.into(), 422, "invalid_json", "twice"),
        (kind, deep.into(), 422, "invalid_json", "64 levels"),
        (kind, "x".repeat(6 * 1024 * 1024).into(), 413, "body_too_large", "5242880"),
        (kind, vec![b'{', 0xff, b'}'].into(), 422, "invalid_json", "UTF-8"),
        ("text/plain", r#"{"name":"x"}"#.into(), 415, "unsupported_media_type", "application/json"),
        (kind, "".into(), 422, "empty_body", "empty"),
        (kind, r#"{"nmae":"x"}"#.into(), 422, "invalid_body", "nmae"),
    ];
    for (kind, body, status, code, hint) in cases {
        let answer = post(&gateway, kind, body).await;
        let problem: Value = answer.json();
        assert_eq!((answer.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains(hint)), "{problem}");
    }
}

#[tokio::test]
async fn an_address_without_credentials_asks_at_a_limited_rate() {
    let limits = Limits { anonymous_per_minute: 4, ..Limits::default() };
    let routes = vec![
        Route::new(Method::GET, "/public", Auth::Public, || async { "fine" }, "Answers"),
        Route::new(Method::GET, "/health/live", Auth::Open, || async { "alive" }, "Answers"),
    ];
    let gateway = with_routes(Config { limits, ..config() }, routes).await;
    let from = |last: u8, path: &'static str| {
        let mut built = request(Method::GET, path).body(Body::empty()).expect("a request");
        built.extensions_mut().insert(Peer(([192, 0, 2, last], 1).into()));
        send(&gateway, built)
    };
    assert_eq!(
        (from(1, "/public").await.status, from(1, "/public").await.status),
        (StatusCode::OK, StatusCode::OK)
    );
    let refused = from(1, "/public").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (429, &json!("rate_limited")));
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|s| (1..=60).contains(&s)));
    assert_eq!(from(2, "/public").await.status, 200, "another address is not concerned");
    assert_eq!(from(1, "/health/live").await.status, 200);
}
