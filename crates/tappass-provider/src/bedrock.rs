//! Amazon Bedrock (`Converse`, `ConverseStream`), signed with AWS Signature Version 4.
//!
//! Its messages are Anthropic's in other words, so a chat request goes by way of those, and an answer comes back so.

mod converse;
mod frames;
mod sign;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use serde_json::{Value, json};
use tappass_model::{Clock, Ids, SystemClock, SystemIds};

use crate::{
    EventStream, Provider, ProviderCall, ProviderError, ProviderReply,
    anthropic::{answer, request, stream::Translation},
    http::{Accept, HttpConfig, Upstream},
    router::ProviderConfigError,
};
use frames::Frames;
pub use sign::Credentials;

/// Amazon Bedrock in one region.
pub struct Bedrock {
    upstream: Arc<Upstream>,
    credentials: Credentials,
}

impl Bedrock {
    /// The API of the credentials' region, or under `base_url`.
    ///
    /// # Errors
    /// [`ProviderConfigError`].
    pub fn new(
        base_url: Option<&str>,
        credentials: Credentials,
        config: &HttpConfig,
    ) -> Result<Self, ProviderConfigError> {
        let usual = format!("https://bedrock-runtime.{}.amazonaws.com", credentials.region);
        let upstream = Upstream::new("bedrock", base_url.unwrap_or(&usual), None, config)?;
        Ok(Self { upstream: Arc::new(upstream.hiding(&credentials.access_key_id)), credentials })
    }
}

#[async_trait]
impl Provider for Bedrock {
    fn id(&self) -> &str {
        self.upstream.provider()
    }

    fn host(&self) -> Option<String> {
        Some(self.upstream.host())
    }

    async fn send(&self, call: ProviderCall) -> Result<ProviderReply, ProviderError> {
        let unsupported = |feature| ProviderError::Unsupported { provider: "bedrock".to_owned(), feature };
        let message = request::translate(&call.body, &call.model, call.stream).map_err(unsupported)?;
        let body = converse::request(&message).map_err(unsupported)?;
        let verb = if call.stream { "converse-stream" } else { "converse" };
        let path = format!("model/{}/{verb}", encoded(&call.model));
        let accept = if call.stream { Accept::Frames } else { Accept::Json };
        let sign =
            |request: &http::Request<&[u8]>| sign::headers(&self.credentials, request, SystemClock.now());
        let incoming = self.upstream.post_signed(&path, &call.headers(), &body, accept, &sign).await?;
        let created = SystemClock.now().as_second();
        // The API names no answer.
        let begin = json!({"id": format!("chatcmpl-{}", SystemIds.uuid().simple()), "model": call.model});
        if call.stream {
            let mut state = Translation::new(created);
            let first = state.chunk(&json!({"type": "message_start", "message": begin}));
            let reader =
                Reader { frames: Frames::new(incoming), upstream: Arc::clone(&self.upstream), state, first };
            return Ok(ProviderReply::Stream(chunks(reader)));
        }
        let answer = incoming.json().await?;
        if !answer["output"]["message"]["content"].is_array() {
            return Err(self.upstream.garbled("an answer without a message"));
        }
        Ok(ProviderReply::Whole(answer::translate(&converse::message(&answer, &begin), created)))
    }
}

/// A model's name, which may be an ARN, as one part of an address (RFC 3986 §2.1).
fn encoded(model: &str) -> String {
    let mut out = String::new();
    for byte in model.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A stream in progress.
struct Reader {
    frames: Frames,
    upstream: Arc<Upstream>,
    state: Translation,
    first: Option<Value>,
}

fn chunks(reader: Reader) -> EventStream {
    Box::pin(stream::try_unfold(Some(reader), |reader| async move {
        let Some(mut reader) = reader else { return Ok(None) };
        if let Some(first) = reader.first.take() {
            return Ok(Some((first, Some(reader))));
        }
        loop {
            let Some(frame) = reader.frames.next().await? else { return Err(reader.frames.cut_off()) };
            if let Some(status) = frame.exception {
                return Err(reader.upstream.upstream_error(status, &frame.body, None));
            }
            let event = converse::event(&frame.kind, &frame.body);
            let chunk = event.as_ref().and_then(|event| reader.state.chunk(event));
            if frame.kind == "metadata" {
                // The last one: what it all cost.
                reader.state.chunk(&json!({"type": "count", "usage": converse::usage(&frame.body["usage"])}));
                return Ok(Some((reader.state.usage_chunk(), None)));
            }
            if let Some(chunk) = chunk {
                return Ok(Some((chunk, Some(reader))));
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_one_part_of_the_address() {
        assert_eq!(encoded("anthropic.claude-x-v1:0"), "anthropic.claude-x-v1%3A0");
        assert_eq!(encoded("arn:aws:bedrock:eu/../x"), "arn%3Aaws%3Abedrock%3Aeu%2F..%2Fx");
    }
}
