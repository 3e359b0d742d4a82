//! Anthropic's messages API for callers of the chat dialect: each request translated there, each answer back.
//!
//! What the API cannot do is refused by name, not left out. Two things are lost: an earlier answer's
//! `reasoning_content` (the API takes its own reasoning back only with a signature that the chat dialect has no
//! place for), and `seed`.

mod answer;
mod request;
mod stream;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream as futures;
use http::{HeaderName, StatusCode};
use tappass_model::{Clock, SystemClock};

use crate::{
    EventStream, Provider, ProviderCall, ProviderError, ProviderReply,
    http::{Events, HttpConfig, Upstream},
    router::ProviderConfigError,
};

/// Where Anthropic is.
pub const BASE_URL: &str = "https://api.anthropic.com";
/// The version of the API that the translation is written for.
const API_VERSION: &str = "2023-06-01";

/// Anthropic's messages API.
pub struct Anthropic {
    upstream: Arc<Upstream>,
}

impl Anthropic {
    /// The API under `base_url`, with or without `/v1`.
    ///
    /// # Errors
    /// [`ProviderConfigError`].
    pub fn new(base_url: &str, key: &str, config: &HttpConfig) -> Result<Self, ProviderConfigError> {
        let base = base_url.trim_end_matches('/').trim_end_matches("/v1");
        let auth = Some((HeaderName::from_static("x-api-key"), key.to_owned()));
        let upstream = Upstream::new("anthropic", base, auth, config)?;
        Ok(Self { upstream: Arc::new(upstream.with_header("anthropic-version", API_VERSION)) })
    }

    /// The host it calls.
    #[must_use]
    pub fn host(&self) -> String {
        self.upstream.host()
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn id(&self) -> &str {
        self.upstream.provider()
    }

    async fn send(&self, call: ProviderCall) -> Result<ProviderReply, ProviderError> {
        let body = request::translate(&call.body, &call.model, call.stream)
            .map_err(|feature| ProviderError::Unsupported { provider: "anthropic".to_owned(), feature })?;
        let incoming =
            self.upstream.post("v1/messages", call.traceparent.as_deref(), &body, call.stream).await?;
        let created = SystemClock.now().as_second();
        if call.stream {
            let state = stream::Translation::new(created);
            let reader = Reader { events: incoming.events(), upstream: Arc::clone(&self.upstream), state };
            return Ok(ProviderReply::Stream(chunks(reader)));
        }
        let message = incoming.json().await?;
        if !message["content"].is_array() {
            return Err(self.upstream.garbled("an answer without content"));
        }
        Ok(ProviderReply::Whole(answer::translate(&message, created)))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.upstream.model_ids("v1/models?limit=1000").await
    }
}

/// A stream in progress.
struct Reader {
    events: Events,
    upstream: Arc<Upstream>,
    state: stream::Translation,
}

fn chunks(reader: Reader) -> EventStream {
    Box::pin(futures::try_unfold(Some(reader), |reader| async move {
        let Some(mut reader) = reader else { return Ok(None) };
        loop {
            let Some(event) = reader.events.next().await? else { return Err(reader.events.cut_off()) };
            let body = reader.events.json(&event)?;
            match body["type"].as_str() {
                Some("error") => {
                    let status = status_of(body["error"]["type"].as_str().unwrap_or_default());
                    return Err(reader.upstream.upstream_error(status, &body, None));
                }
                Some("message_stop") => {
                    let last = reader.state.usage_chunk();
                    reader.events.finish().await;
                    return Ok(Some((last, None)));
                }
                _ => {}
            }
            if let Some(chunk) = reader.state.chunk(&body) {
                return Ok(Some((chunk, Some(reader))));
            }
        }
    }))
}

/// The status that an error of this type would have had outside a stream.
fn status_of(kind: &str) -> StatusCode {
    let code = match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "overloaded_error" => 529,
        _ => 500,
    };
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
