//! Anthropic's messages API: for callers of its own dialect as they wrote it, for callers of the chat dialect each
//! request translated there, each answer back.
//!
//! What the API cannot do is refused by name, not left out. Two things are lost: an earlier answer's
//! `reasoning_content` (the API takes its own reasoning back only with a signature that the chat dialect has no
//! place for), and `seed`.

pub(crate) mod answer;
pub(crate) mod request;
pub(crate) mod stream;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream as futures;
use http::{HeaderName, StatusCode};
use serde_json::Value;
use tappass_model::{Clock, Dialect, SystemClock};

use crate::{
    EventStream, Provider, ProviderCall, ProviderError, ProviderReply,
    dialects::messages::status_of,
    http::{Events, HttpConfig, Incoming, Upstream},
    provider::take_session,
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

    /// Makes a call in the API's own dialect: the caller's body, as it is.
    async fn native(&self, call: ProviderCall) -> Result<ProviderReply, ProviderError> {
        let headers = call.headers();
        let mut body = call.body;
        body["model"] = call.model.into();
        take_session(&mut body);
        if call.dialect == Dialect::AnthropicTokens {
            let incoming = self.upstream.post("v1/messages/count_tokens", &headers, &body, false).await?;
            let count = incoming.json().await?;
            if !count["input_tokens"].is_u64() {
                return Err(self.upstream.garbled("a count without tokens"));
            }
            return Ok(ProviderReply::Whole(count));
        }
        let incoming = self.upstream.post("v1/messages", &headers, &body, call.stream).await?;
        if call.stream {
            let reader = Own { events: incoming.events(), upstream: Arc::clone(&self.upstream) };
            return Ok(ProviderReply::Stream(events(reader)));
        }
        Ok(ProviderReply::Whole(self.message(incoming).await?))
    }

    async fn message(&self, incoming: Incoming) -> Result<Value, ProviderError> {
        let message = incoming.json().await?;
        if message["content"].is_array() {
            Ok(message)
        } else {
            Err(self.upstream.garbled("an answer without content"))
        }
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn id(&self) -> &str {
        self.upstream.provider()
    }

    fn host(&self) -> Option<String> {
        Some(self.upstream.host())
    }

    fn speaks(&self, dialect: Dialect) -> bool {
        matches!(dialect, Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::AnthropicTokens)
    }

    async fn send(&self, call: ProviderCall) -> Result<ProviderReply, ProviderError> {
        if call.dialect != Dialect::OpenAiChat {
            return self.native(call).await;
        }
        let body = request::translate(&call.body, &call.model, call.stream)
            .map_err(|feature| ProviderError::Unsupported { provider: "anthropic".to_owned(), feature })?;
        let incoming = self.upstream.post("v1/messages", &call.headers(), &body, call.stream).await?;
        let created = SystemClock.now().as_second();
        if call.stream {
            let state = stream::Translation::new(created);
            let reader = Reader { events: incoming.events(), upstream: Arc::clone(&self.upstream), state };
            return Ok(ProviderReply::Stream(chunks(reader)));
        }
        let message = self.message(incoming).await?;
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
                Some("error") => return Err(told(&reader.upstream, &body)),
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

/// A stream in the API's own dialect in progress.
struct Own {
    events: Events,
    upstream: Arc<Upstream>,
}

fn events(reader: Own) -> EventStream {
    Box::pin(futures::try_unfold(Some(reader), |reader| async move {
        let Some(mut reader) = reader else { return Ok(None) };
        let Some(event) = reader.events.next().await? else { return Err(reader.events.cut_off()) };
        let body = reader.events.json(&event)?;
        match body["type"].as_str() {
            Some("error") => Err(told(&reader.upstream, &body)),
            Some("message_stop") => {
                reader.events.finish().await;
                Ok(Some((body, None)))
            }
            Some(_) => Ok(Some((body, Some(reader)))),
            None => Err(reader.upstream.garbled("an event without a type")),
        }
    }))
}

/// The error that an event tells.
fn told(upstream: &Upstream, body: &Value) -> ProviderError {
    let status = status_of(body["error"]["type"].as_str().unwrap_or_default());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    upstream.upstream_error(status, body, None)
}
