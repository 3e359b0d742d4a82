//! Requests without a socket.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tappass_model::{SystemClock, SystemIds};
use tappass_server::{App, Config, Gateway, Storage, router::Route};

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
}

pub fn config() -> Config {
    Config { port: 0, storage: Storage::Memory, ..Config::default() }
}

pub fn app(config: Config) -> App {
    App::new(config, Arc::new(SystemClock), Arc::new(SystemIds))
}

pub fn gateway() -> Gateway {
    Gateway::new(app(config()))
}

pub fn with_routes(config: Config, routes: Vec<Route>) -> Gateway {
    Gateway::with_routes(app(config), routes)
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
