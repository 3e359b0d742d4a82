//! The way to a provider: one client per provider, with deadlines, size limits and budgeted retries.
//!
//! A client is made for one base URL and follows no redirect, so a provider's key goes to that host only.

mod connect;
mod incoming;
mod pool;
mod retry;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header, uri::PathAndQuery,
};
use hyper::body;
use hyper_util::client::proxy::matcher::Matcher;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{ProviderError, Timeout, router::ProviderConfigError};
use connect::Connector;
use pool::{Lease, Outgoing, Pool, SendError};

pub use incoming::{Events, Incoming};
pub use retry::RetryBudget;

const USER_AGENT: &str = concat!("tappass/", env!("CARGO_PKG_VERSION"));

/// How long a provider may take. Each can be set: `TAPPASS_PROVIDER_CONNECT_TIMEOUT` and so on, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the request to the head of a streamed answer, connecting included.
    pub first_byte: Duration,
    /// The same for an answer that is not streamed: its head comes only when the model has done all its work.
    pub answer: Duration,
    /// For the next bytes of an answer.
    pub idle: Duration,
    /// For everything, retries included.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(5),
            first_byte: seconds(60),
            answer: seconds(300),
            idle: seconds(60),
            total: seconds(600),
        }
    }
}

/// How much a provider may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an answer, streamed or not.
    pub answer: usize,
    /// Bytes of one event of a stream.
    pub event: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { answer: 64 << 20, event: 4 << 20 }
    }
}

/// What all clients have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// How long.
    pub deadlines: Deadlines,
    /// How much.
    pub limits: Limits,
    /// Certificates (PEM) trusted beside the operating system's.
    pub ca_file: Option<PathBuf>,
}

/// What is to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// A JSON body.
    Json,
    /// Server-sent events.
    Events,
    /// AWS's event stream, in binary frames.
    Frames,
}

impl Accept {
    const fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Events => "text/event-stream",
            Self::Frames => "application/vnd.amazon.eventstream",
        }
    }
}

/// Headers that sign a request.
pub type Signature = Vec<(HeaderName, HeaderValue)>;

/// A provider's HTTP side.
pub struct Upstream {
    provider: Arc<str>,
    /// The scheme, the host and where the API begins, without a slash at the end.
    base: Uri,
    /// Goes with every request: the key, versions.
    headers: HeaderMap,
    /// To be struck from texts that come back.
    key: String,
    pool: Pool,
    config: HttpConfig,
    budget: RetryBudget,
}

impl Upstream {
    /// Prepares calls to `base_url`. `auth` is the header that carries the key, and its value.
    ///
    /// # Errors
    /// A base URL that is none, a key that no header can carry, no certificate authorities to trust.
    pub fn new(
        provider: &str,
        base_url: &str,
        auth: Option<(HeaderName, String)>,
        config: &HttpConfig,
    ) -> Result<Self, ProviderConfigError> {
        let bad_base = || ProviderConfigError::BaseUrl { provider: provider.to_owned() };
        let base = read_base(base_url).ok_or_else(bad_base)?;
        let authority = base.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(authority).map_err(|_| bad_base())?;
        let mut headers = HeaderMap::new();
        let mut key = String::new();
        if let Some((name, secret)) = auth {
            let mut value = HeaderValue::from_str(&secret)
                .map_err(|_| ProviderConfigError::Key { provider: provider.to_owned() })?;
            value.set_sensitive(true);
            headers.insert(name, value);
            secret.strip_prefix("Bearer ").unwrap_or(&secret).clone_into(&mut key);
        }
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let connector = Connector::new(provider, &base, config.ca_file.as_deref(), &Matcher::from_env())?;
        let pool = Pool::new(connector, config.deadlines.connect);
        Ok(Self {
            provider: provider.into(),
            base,
            headers,
            key,
            pool,
            config: config.clone(),
            budget: RetryBudget::default(),
        })
    }

    /// Adds a header to every request.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// Strikes one more secret from texts that come back, where no header of every request holds one.
    #[must_use]
    pub fn hiding(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.key);
        self
    }

    /// The provider's id.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The host it calls, with a port that is not the scheme's own.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.base.host().unwrap_or_default();
        let own = if self.base.scheme_str() == Some("https") { 443 } else { 80 };
        let port = self.base.port_u16().filter(|port| *port != own);
        port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Posts a body; the answer's head has come, with a success and the content type that fits.
    ///
    /// # Errors
    /// [`ProviderError`], after at most one retry.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        body: &Value,
        stream: bool,
    ) -> Result<Incoming, ProviderError> {
        let accept = if stream { Accept::Events } else { Accept::Json };
        let request = self.posting(path, headers, self.written(body)?, accept)?;
        self.fetch(request, accept).await
    }

    /// As [`Self::post`], with headers that sign the request: its method, its address, its content type and its body.
    ///
    /// # Errors
    /// [`ProviderError`], after at most one retry.
    pub async fn post_signed(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        body: &Value,
        accept: Accept,
        sign: &(dyn Fn(&http::Request<&[u8]>) -> Option<Signature> + Sync),
    ) -> Result<Incoming, ProviderError> {
        let text = self.written(body)?;
        let mut request = self.posting(path, headers, text.clone(), accept)?;
        let (scheme, host) = (self.base.scheme_str().unwrap_or("https"), self.base.authority());
        let address = format!("{scheme}://{}{}", host.map_or("", |host| host.as_str()), request.uri());
        let signable = http::Request::post(address).header(header::CONTENT_TYPE, "application/json");
        let signature = signable.body(&*text).ok().and_then(|signable| sign(&signable));
        let signature = signature.ok_or_else(|| self.garbled("a request that cannot be signed"))?;
        request.headers_mut().extend(signature);
        self.fetch(request, accept).await
    }

    /// Most requests fit, so that writing one seldom moves it.
    fn written(&self, body: &Value) -> Result<Bytes, ProviderError> {
        let mut text = Vec::with_capacity(4096);
        serde_json::to_writer(&mut text, body)
            .map_err(|_| self.garbled("a request that cannot be written"))?;
        Ok(text.into())
    }

    fn posting(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        text: Bytes,
        accept: Accept,
    ) -> Result<Outgoing, ProviderError> {
        let mut request = self.request(Method::POST, path, accept, text)?;
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                request.headers_mut().insert(*name, value);
            }
        }
        Ok(request)
    }

    /// Gets a JSON object.
    ///
    /// # Errors
    /// [`ProviderError`], after at most one retry.
    pub async fn get(&self, path: &str) -> Result<Value, ProviderError> {
        let request = self.request(Method::GET, path, Accept::Json, Bytes::new())?;
        self.fetch(request, Accept::Json).await?.json().await
    }

    /// The ids of a list of models, whose shape all the providers share: `{"data": [{"id"}]}`.
    ///
    /// # Errors
    /// [`ProviderError`], after at most one retry.
    pub async fn model_ids(&self, path: &str) -> Result<Vec<String>, ProviderError> {
        let list = self.get(path).await?;
        let models = list["data"].as_array().ok_or_else(|| self.garbled("a list of models without data"))?;
        Ok(models.iter().filter_map(|model| model["id"].as_str()).map(str::to_owned).collect())
    }

    /// A request for `path` under the base, in the form a server is sent: the host is a header.
    fn request(
        &self,
        method: Method,
        path: &str,
        accept: Accept,
        body: Bytes,
    ) -> Result<Outgoing, ProviderError> {
        let base = self.base.path().trim_end_matches('/');
        let path = PathAndQuery::from_maybe_shared(format!("{base}/{path}"))
            .map_err(|_| self.garbled("an address that cannot be formed"))?;
        let mut request = Outgoing::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = path.into();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept.media()));
        Ok(request)
    }

    /// Sends a request, again where that is safe and the budget allows.
    async fn fetch(&self, request: Outgoing, accept: Accept) -> Result<Incoming, ProviderError> {
        self.budget.call();
        let until = Instant::now() + self.config.deadlines.total;
        let mut retried = false;
        loop {
            let (error, wait) = match self.head(request.clone(), until, accept != Accept::Json).await {
                Ok((response, lease)) if response.status().is_success() => {
                    return self.checked(response, lease, until, accept);
                }
                Ok((response, lease)) => {
                    let wait = retry::wait_for_status(response.status(), response.headers());
                    (self.read_error(response, lease, until).await, wait)
                }
                Err(error @ ProviderError::Unreachable { .. }) => (error, Some(retry::backoff())),
                Err(error) => return Err(error),
            };
            match wait {
                Some(wait) if !retried && Instant::now() + wait < until && self.budget.retry() => {
                    tracing::debug!(provider = %self.provider, ?wait, "trying again");
                    tokio::time::sleep(wait).await;
                    retried = true;
                }
                _ => return Err(error),
            }
        }
    }

    /// Sends a request and waits for the head of the answer.
    async fn head(
        &self,
        request: Outgoing,
        until: Instant,
        stream: bool,
    ) -> Result<(Response<body::Incoming>, Lease), ProviderError> {
        let Deadlines { connect, first_byte, answer, total, .. } = self.config.deadlines;
        let first_byte = if stream { first_byte } else { answer };
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(first_byte.min(left), self.pool.send(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(SendError::ConnectTimeout)) => Err(self.timed_out(Timeout::Connect, connect)),
            Ok(Err(SendError::Unreachable(reason))) => {
                Err(ProviderError::Unreachable { provider: self.provider.to_string(), reason })
            }
            Ok(Err(SendError::Broken)) => Err(self.garbled("the connection ended before an answer")),
            Err(_) if left < first_byte => Err(self.timed_out(Timeout::Total, total)),
            Err(_) => Err(self.timed_out(Timeout::FirstByte, first_byte)),
        }
    }

    /// A success whose body can be read: not compressed, of the right type.
    fn checked(
        &self,
        response: Response<body::Incoming>,
        lease: Lease,
        until: Instant,
        accept: Accept,
    ) -> Result<Incoming, ProviderError> {
        let text =
            |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or("");
        if !matches!(text(header::CONTENT_ENCODING), "" | "identity") {
            return Err(self.garbled("a compressed answer, which was not asked for"));
        }
        let kind =
            text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let wanted = accept.media();
        if kind != wanted && !(accept == Accept::Json && kind.ends_with("+json")) {
            let kind: String = kind.chars().filter(char::is_ascii_graphic).take(60).collect();
            return Err(self.garbled(&format!("content of type {kind:?} instead of {wanted}")));
        }
        Ok(Incoming::new(Arc::clone(&self.provider), (response.into_body(), lease), &self.config, until))
    }

    /// An error answer, in the chat dialect.
    async fn read_error(
        &self,
        response: Response<body::Incoming>,
        lease: Lease,
        until: Instant,
    ) -> ProviderError {
        let status = response.status();
        if status.is_redirection() {
            return self.garbled("a redirect, which is not followed; check the provider's base URL");
        }
        let retry_after = retry::retry_after(response.headers());
        let config = HttpConfig { limits: Limits { answer: 64 << 10, event: 0 }, ..self.config.clone() };
        let body = (response.into_body(), lease);
        let body = Incoming::new(Arc::clone(&self.provider), body, &config, until).bytes().await;
        let body = body.unwrap_or_default();
        self.upstream_error(status, &serde_json::from_slice(&body).unwrap_or_default(), retry_after)
    }

    /// The error that a provider's error body tells. Its key is struck from it.
    #[must_use]
    pub fn upstream_error(
        &self,
        status: StatusCode,
        body: &Value,
        retry_after: Option<Duration>,
    ) -> ProviderError {
        let error = body.get("error").unwrap_or(body);
        let said = [&error["message"], error, &body["message"], &body["detail"], &body["detail"][0]["msg"]];
        let said = said.into_iter().find_map(Value::as_str);
        // Google tells a key that it refuses as a bad request.
        let reasons = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let refused = reasons.iter().any(|detail| detail["reason"] == "API_KEY_INVALID");
        let status = if refused { StatusCode::UNAUTHORIZED } else { status };
        let message = match said {
            Some(said) => self.scrub(said),
            None => status.canonical_reason().unwrap_or("an error without a message").to_owned(),
        };
        let text = |key: &str| error[key].as_str().map(|text| self.scrub(text));
        let kind = text("type").unwrap_or_else(|| "upstream_error".to_owned());
        ProviderError::Upstream {
            provider: self.provider.to_string(),
            status: status.as_u16(),
            body: json!({"message": message, "type": kind, "param": text("param"),
                "code": text("code").or_else(|| text("status"))}),
            message,
            retry_after,
        }
    }

    /// A text of the provider's, fit for the caller: without the gateway's key, whole or half hidden by stars.
    fn scrub(&self, text: &str) -> String {
        if self.key.is_empty() {
            return text.to_owned();
        }
        let start: String = self.key.chars().take(3).collect();
        let hidden = |word: &str| word.contains("**") && word.contains(&start);
        let words = text.replace(&self.key, "[key]");
        words.split(' ').map(|word| if hidden(word) { "[key]" } else { word }).collect::<Vec<_>>().join(" ")
    }

    /// What this provider sent cannot be understood.
    #[must_use]
    pub fn garbled(&self, reason: &str) -> ProviderError {
        ProviderError::Garbled { provider: self.provider.to_string(), reason: reason.to_owned() }
    }

    fn timed_out(&self, what: Timeout, after: Duration) -> ProviderError {
        ProviderError::TimedOut { provider: self.provider.to_string(), what, after }
    }
}

/// Reads a base URL: `http` or `https`, a host, perhaps a port and a path, and nothing else.
fn read_base(text: &str) -> Option<Uri> {
    let base: Uri = text.trim_end_matches('/').parse().ok()?;
    let authority = base.authority()?;
    let good = matches!(base.scheme_str(), Some("http" | "https"))
        && base.query().is_none()
        && !authority.host().is_empty()
        && !authority.as_str().contains('@')
        && authority.port().is_none_or(|port| port.as_str().parse::<u16>().is_ok());
    good.then_some(base)
}
