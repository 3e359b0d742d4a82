//! Requests without a socket.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tappass_server::{App, Config, Gateway, Setup, Storage, router::Route};

pub const ADMIN_KEY: &str = "admin-Zk4WvT9rQx2LmB7cYd1HsN8pGf3J";

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
    /// The body of an error without what differs from request to request.
    pub fn problem(&self) -> Value {
        let mut body = self.json();
        body.as_object_mut().expect("an object").remove("request_id").expect("every problem has one");
        body
    }
}

/// In memory, with its secrets given, so that nothing is written; nobody is turned away for asking too often.
pub fn config() -> Config {
    let mut config = Config { port: 0, storage: Storage::Memory, ..Config::default() };
    config.license = Some(include_str!("../../../../tests/license/license.txt").to_owned());
    config.license_public_key = Some(include_str!("../../../../tests/license/public-key.txt").to_owned());
    config.data_dir = "/nonexistent/tappass".into();
    config
}

pub fn setup(config: Config) -> Setup {
    let secrets = [
        ("TAPPASS_ADMIN_API_KEY", ADMIN_KEY),
        ("TAPPASS_JWT_SECRET", "Vw8uK2xR5nQ1tJ7mE4yB9zL6cG3hD0sA"),
        ("TAPPASS_VAULT_KEY", "q83vEjRWeJq8N94SNFZ4mrze8BI0VniavN7wEjRWeJo="),
    ];
    let find = move |name: &str| secrets.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    Setup { env: Arc::new(find), ..Setup::new(config) }
}

pub async fn app(config: Config) -> App {
    Box::pin(App::open(setup(config))).await.expect("opens").0
}

pub async fn gateway() -> Gateway {
    Gateway::new(app(config()).await)
}

pub async fn with_routes(config: Config, routes: Vec<Route>) -> Gateway {
    Gateway::with_routes(app(config).await, routes)
}

pub fn request(method: Method, uri: &str) -> http::request::Builder {
    Request::builder().method(method).uri(uri)
}

pub async fn get(gateway: &Gateway, uri: &str) -> Answer {
    send(gateway, request(Method::GET, uri).body(Body::empty()).expect("a request")).await
}

pub async fn send(gateway: &Gateway, request: Request<Body>) -> Answer {
    let (parts, body) = gateway.call(request).await.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// A request with a token and, unless it is null, a JSON body.
pub async fn ask(gateway: &Gateway, token: &str, method: Method, uri: &str, body: Value) -> Answer {
    let mut built = request(method, uri).header("authorization", format!("Bearer {token}"));
    let body = if body.is_null() {
        Body::empty()
    } else {
        built = built.header("content-type", "application/json");
        Body::from(body.to_string())
    };
    send(gateway, built.body(body).expect("a request")).await
}
