//! The client's side: kept-alive HTTP/1.1 connections, one call at a time on each.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

const CHAT: &str = "/v1/chat/completions";
const ONCE_WITHIN: Duration = Duration::from_secs(60);

/// Who is called, and as whom.
#[derive(Clone)]
pub struct Target {
    /// Where it listens.
    pub addr: SocketAddr,
    headers: HeaderMap,
}

impl Target {
    /// `addr`, with a bearer key when it wants one.
    pub fn new(addr: SocketAddr, key: Option<&str>) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(&addr.to_string())?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = key {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}"))?);
        }
        Ok(Self { addr, headers })
    }

    fn request(&self, method: Method, path: Uri, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path;
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// One call that is not measured, on a connection of its own: the status and the JSON body, if it has one.
    pub async fn once(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Value)> {
        let exchange = async {
            let mut connection = Connection::open(self).await?;
            let answer = connection.sender.send_request(self.request(method, path.parse()?, body)).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            anyhow::Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        timeout(ONCE_WITHIN, exchange).await.with_context(|| format!("{path} hangs"))?
    }
}

/// A connection to a target.
pub struct Connection {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
    chat: Uri,
    /// Drives the connection; ends by itself when the sender is gone.
    _driver: TaskTracker,
}

impl Connection {
    /// Connects.
    pub async fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(target.addr).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        let tracker = TaskTracker::new();
        tracker.spawn(async move { driver.await.ok() });
        Ok(Self { target: target.clone(), sender, chat: Uri::from_static(CHAT), _driver: tracker })
    }

    /// Sends a chat call; comes back with the head of the answer. An answer other than 200 is an error: figures
    /// of a run with failures would mean nothing.
    pub async fn chat(&mut self, body: Bytes) -> Result<Response<Incoming>> {
        self.sender.ready().await.context("the connection was closed")?;
        let request = self.target.request(Method::POST, self.chat.clone(), body);
        let answer = self.sender.send_request(request).await?;
        if answer.status() != StatusCode::OK {
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            bail!("{} answered {status}: {}", self.target.addr, String::from_utf8_lossy(&body));
        }
        Ok(answer)
    }
}
