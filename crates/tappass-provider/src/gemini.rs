//! Google's Gemini API (`generateContent`), each chat request translated there, each answer back.
//!
//! What the API cannot do is refused by name, not left out. An earlier answer's `reasoning_content` is lost; the signature
//! that the API wants back with its tool calls stands in their `extra_content.google.thought_signature`, as in Google's own
//! API of the chat dialect.

mod answer;
mod request;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use http::{HeaderName, StatusCode};
use serde_json::Value;
use tappass_model::{Clock, SystemClock};

use crate::{
    EventStream, Provider, ProviderCall, ProviderError, ProviderReply,
    http::{Events, HttpConfig, Upstream},
    router::ProviderConfigError,
};

/// Where Google is.
pub const BASE_URL: &str = "https://generativelanguage.googleapis.com/v1beta";

/// Google's Gemini API.
pub struct Gemini {
    upstream: Arc<Upstream>,
}

impl Gemini {
    /// The API under `base_url`. The key goes in a header, never in an address.
    ///
    /// # Errors
    /// [`ProviderConfigError`].
    pub fn new(base_url: &str, key: &str, config: &HttpConfig) -> Result<Self, ProviderConfigError> {
        let auth = Some((HeaderName::from_static("x-goog-api-key"), key.to_owned()));
        Ok(Self { upstream: Arc::new(Upstream::new("gemini", base_url, auth, config)?) })
    }
}

#[async_trait]
impl Provider for Gemini {
    fn id(&self) -> &str {
        self.upstream.provider()
    }

    fn host(&self) -> Option<String> {
        Some(self.upstream.host())
    }

    async fn send(&self, call: ProviderCall) -> Result<ProviderReply, ProviderError> {
        let model = path_of(&call.model).ok_or_else(|| {
            ProviderError::NotConfigured(
                "Gemini's models are named with letters, digits and - _ . only: use gemini/<model>"
                    .to_owned(),
            )
        })?;
        let body = request::translate(&call.body, &call.model)
            .map_err(|feature| ProviderError::Unsupported { provider: "gemini".to_owned(), feature })?;
        let created = SystemClock.now().as_second();
        if call.stream {
            let path = format!("{model}:streamGenerateContent?alt=sse");
            let incoming = self.upstream.post(&path, &call.headers(), &body, true).await?;
            let reader = Reader {
                events: incoming.events(),
                upstream: Arc::clone(&self.upstream),
                state: answer::Translation::new(created),
            };
            return Ok(ProviderReply::Stream(chunks(reader)));
        }
        let path = format!("{model}:generateContent");
        let answer = self.upstream.post(&path, &call.headers(), &body, false).await?.json().await?;
        if !answer["candidates"].is_array() && !answer["promptFeedback"].is_object() {
            return Err(self.upstream.garbled("an answer without candidates"));
        }
        Ok(ProviderReply::Whole(answer::whole(&answer, created)))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        let list = self.upstream.get("models?pageSize=1000").await?;
        let models =
            list["models"].as_array().ok_or_else(|| self.upstream.garbled("a list without models"))?;
        let generates = |model: &&Value| {
            let methods = model["supportedGenerationMethods"].as_array();
            methods.is_some_and(|methods| methods.iter().any(|method| method == "generateContent"))
        };
        let name = |model: &Value| model["name"].as_str()?.strip_prefix("models/").map(str::to_owned);
        Ok(models.iter().filter(generates).filter_map(name).collect())
    }
}

/// A model's place in the address: `models/<name>`, or as it is named (`tunedModels/<name>`). `None` for what would lead
/// elsewhere.
fn path_of(model: &str) -> Option<String> {
    let part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if !model.split('/').all(part) {
        return None;
    }
    Some(if model.contains('/') { model.to_owned() } else { format!("models/{model}") })
}

/// A stream in progress.
struct Reader {
    events: Events,
    upstream: Arc<Upstream>,
    state: answer::Translation,
}

fn chunks(reader: Reader) -> EventStream {
    Box::pin(stream::try_unfold(Some(reader), |reader| async move {
        let Some(mut reader) = reader else { return Ok(None) };
        loop {
            let Some(event) = reader.events.next().await? else {
                // The API marks no end; a stream that has said why it ended has come to it.
                return match reader.state.last() {
                    Some(last) => Ok(Some((last, None))),
                    None => Err(reader.events.cut_off()),
                };
            };
            let body = reader.events.json(&event)?;
            if body["error"].is_object() {
                let status = body["error"]["code"].as_u64().and_then(|code| u16::try_from(code).ok());
                let status = status
                    .and_then(|code| StatusCode::from_u16(code).ok())
                    .unwrap_or(StatusCode::BAD_GATEWAY);
                return Err(reader.upstream.upstream_error(status, &body, None));
            }
            if let Some(chunk) = reader.state.chunk(&body) {
                return Ok(Some((chunk, Some(reader))));
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_stays_in_its_place() {
        assert_eq!(path_of("gemini-2.5-flash").as_deref(), Some("models/gemini-2.5-flash"));
        assert_eq!(path_of("tunedModels/mine-1").as_deref(), Some("tunedModels/mine-1"));
        for bad in ["", "..", "a/../b", "a:b", "a?b", "a/", "é"] {
            assert_eq!(path_of(bad), None, "{bad}");
        }
    }
}
