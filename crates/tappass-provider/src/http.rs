//! The way to a provider: one client per provider, with deadlines, size limits and budgeted retries.
//!
//! A client is made for one base URL and follows no redirect, so a provider's key goes to that host only.

mod incoming;
mod retry;

use std::{path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{ProviderError, Timeout, router::ProviderConfigError};

pub use incoming::{Events, Incoming};
pub use retry::RetryBudget;

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

/// A provider's HTTP side.
pub struct Upstream {
    provider: String,
    base: Url,
    /// Goes with every request: the key, versions.
    headers: HeaderMap,
    /// To be struck from texts that come back.
    key: String,
    client: Client,
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
        let base = Url::parse(&format!("{}/", base_url.trim_end_matches('/')))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .ok_or_else(|| ProviderConfigError::BaseUrl { provider: provider.to_owned() })?;
        let mut headers = HeaderMap::new();
        let mut key = String::new();
        if let Some((name, secret)) = auth {
            let mut value = HeaderValue::from_str(&secret)
                .map_err(|_| ProviderConfigError::Key { provider: provider.to_owned() })?;
            value.set_sensitive(true);
            headers.insert(name, value);
            secret.strip_prefix("Bearer ").unwrap_or(&secret).clone_into(&mut key);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let client = client(&base, config)?;
        Ok(Self {
            provider: provider.to_owned(),
            base,
            headers,
            key,
            client,
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

    /// The provider's id.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The host it calls, with a port that is not the scheme's own.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Posts a body; the answer's head has come, with a success and the content type that fits.
    ///
    /// # Errors
    /// [`ProviderError`], after at most one retry.
    pub async fn post(
        &self,
        path: &str,
        traceparent: Option<&str>,
        body: &Value,
        stream: bool,
    ) -> Result<Incoming, ProviderError> {
        let body = serde_json::to_vec(body).map_err(|_| self.garbled("a request that cannot be written"))?;
        let accept = if stream { "text/event-stream" } else { "application/json" };
        let mut request = self.request(Method::POST, path)?.header(header::ACCEPT, accept).body(body);
        if let Some(trace) = traceparent.and_then(|trace| HeaderValue::from_str(trace).ok()) {
            request = request.header("traceparent", trace);
        }
        self.fetch(&request, stream).await
    }

    /// The ids of a list of models, whose shape all the providers share: `{"data": [{"id"}]}`.
    ///
    /// # Errors
    /// [`ProviderError`], after at most one retry.
    pub async fn model_ids(&self, path: &str) -> Result<Vec<String>, ProviderError> {
        let request = self.request(Method::GET, path)?.header(header::ACCEPT, "application/json");
        let list = self.fetch(&request, false).await?.json().await?;
        let models = list["data"].as_array().ok_or_else(|| self.garbled("a list of models without data"))?;
        Ok(models.iter().filter_map(|model| model["id"].as_str()).map(str::to_owned).collect())
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, ProviderError> {
        let url = self.base.join(path).map_err(|_| self.garbled("an address that cannot be formed"))?;
        Ok(self.client.request(method, url).headers(self.headers.clone()))
    }

    /// Sends a request, again where that is safe and the budget allows.
    async fn fetch(&self, request: &RequestBuilder, stream: bool) -> Result<Incoming, ProviderError> {
        self.budget.call();
        let until = Instant::now() + self.config.deadlines.total;
        let mut retried = false;
        loop {
            let request = request.try_clone().ok_or_else(|| self.garbled("a request that cannot be sent"))?;
            let (error, wait) = match self.head(request, until, stream).await {
                Ok(response) if response.status().is_success() => {
                    return self.checked(response, until, stream);
                }
                Ok(response) => {
                    let wait = retry::wait_for_status(response.status(), response.headers());
                    (self.read_error(response, until).await, wait)
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
        request: RequestBuilder,
        until: Instant,
        stream: bool,
    ) -> Result<Response, ProviderError> {
        let Deadlines { connect, first_byte, answer, total, .. } = self.config.deadlines;
        let first_byte = if stream { first_byte } else { answer };
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(first_byte.min(left), request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_timeout() => Err(self.timed_out(Timeout::Connect, connect)),
            Ok(Err(error)) if error.is_connect() => Err(ProviderError::Unreachable {
                provider: self.provider.clone(),
                reason: why_unreachable(&error),
            }),
            Ok(Err(_)) => Err(self.garbled("the connection ended before an answer")),
            Err(_) if left < first_byte => Err(self.timed_out(Timeout::Total, total)),
            Err(_) => Err(self.timed_out(Timeout::FirstByte, first_byte)),
        }
    }

    /// A success whose body can be read: not compressed, of the right type.
    fn checked(&self, response: Response, until: Instant, stream: bool) -> Result<Incoming, ProviderError> {
        let text =
            |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or("");
        if !matches!(text(header::CONTENT_ENCODING), "" | "identity") {
            return Err(self.garbled("a compressed answer, which was not asked for"));
        }
        let kind =
            text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let fits = match stream {
            true => kind == "text/event-stream",
            false => kind == "application/json" || kind.ends_with("+json"),
        };
        if !fits {
            let wanted = if stream { "text/event-stream" } else { "application/json" };
            let kind: String = kind.chars().filter(char::is_ascii_graphic).take(60).collect();
            return Err(self.garbled(&format!("content of type {kind:?} instead of {wanted}")));
        }
        Ok(Incoming::new(self.provider.clone(), response, &self.config, until))
    }

    /// An error answer, in the chat dialect.
    async fn read_error(&self, response: Response, until: Instant) -> ProviderError {
        let status = response.status();
        if status.is_redirection() {
            return self.garbled("a redirect, which is not followed; check the provider's base URL");
        }
        let retry_after = retry::retry_after(response.headers());
        let config = HttpConfig { limits: Limits { answer: 64 << 10, event: 0 }, ..self.config.clone() };
        let body =
            Incoming::new(self.provider.clone(), response, &config, until).bytes().await.unwrap_or_default();
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
        let said =
            [&error["message"], error, &body["message"], &body["detail"]].into_iter().find_map(Value::as_str);
        let message = match said {
            Some(said) => self.scrub(said),
            None => status.canonical_reason().unwrap_or("an error without a message").to_owned(),
        };
        let text = |key: &str| error[key].as_str().map(|text| self.scrub(text));
        let kind = text("type").unwrap_or_else(|| "upstream_error".to_owned());
        ProviderError::Upstream {
            provider: self.provider.clone(),
            status: status.as_u16(),
            body: json!({"message": message, "type": kind, "param": text("param"), "code": text("code")}),
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
        ProviderError::Garbled { provider: self.provider.clone(), reason: reason.to_owned() }
    }

    fn timed_out(&self, what: Timeout, after: Duration) -> ProviderError {
        ProviderError::TimedOut { provider: self.provider.clone(), what, after }
    }
}

/// Builds the client for one host.
#[expect(clippy::disallowed_methods, reason = "this is the factory")]
fn client(base: &Url, config: &HttpConfig) -> Result<Client, ProviderConfigError> {
    let plain = || {
        Client::builder()
            .connect_timeout(config.deadlines.connect)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(60))
            .pool_idle_timeout(Duration::from_secs(60))
            .referer(false)
            .user_agent(concat!("tappass/", env!("CARGO_PKG_VERSION")))
    };
    let built = if base.scheme() == "http" {
        // No TLS, so no roots are needed; and no proxy of the environment may see the key in the clear.
        plain().no_proxy().tls_certs_only([]).build()
    } else if let Some(path) = &config.ca_file {
        let bad = |reason: String| ProviderConfigError::CaFile { path: path.display().to_string(), reason };
        let pem = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
        let own = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| bad("it is not PEM".to_owned()))?;
        if own.is_empty() {
            return Err(bad("it holds no certificate".to_owned()));
        }
        plain().tls_certs_merge(own.clone()).build().or_else(|_| plain().tls_certs_only(own).build())
    } else {
        plain().build()
    };
    built.map_err(|error| ProviderConfigError::Client { reason: causes(&error).join(": ") })
}

fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect()
}

/// Why there is no connection, without naming an address.
fn why_unreachable(error: &reqwest::Error) -> String {
    let causes = causes(error);
    let says = |word: &str| causes.iter().any(|cause| cause.contains(word));
    let refused = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source())
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
    if says("dns error") {
        "its name cannot be resolved".to_owned()
    } else if refused {
        "the connection was refused".to_owned()
    } else if says("tcp connect error") {
        "the connection failed".to_owned()
    } else {
        format!("TLS failed: {}", causes.last().map_or("no reason given", String::as_str))
    }
}
