//! OpenAI, and everything that speaks its dialects under another base URL.

mod kinds;
mod quirks;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use http::{StatusCode, header};
use serde_json::{Value, json};
use tappass_model::Dialect;

use crate::{
    EventStream, Provider, ProviderCall, ProviderError, ProviderReply,
    dialects::{self, embeddings, responses},
    http::{Events, HttpConfig, Incoming, Upstream},
    provider::take_session,
    router::ProviderConfigError,
};

pub use kinds::{KINDS, Kind, OPENAI};
pub use quirks::Quirks;

/// A server of OpenAI's dialects.
pub struct OpenAi {
    upstream: Arc<Upstream>,
    kind: Kind,
    /// Whether it takes Responses; if not, they go by way of chat.
    responds: bool,
}

impl OpenAi {
    /// OpenAI's API under `base_url`, with a key where it wants one (a model server of one's own may not).
    ///
    /// # Errors
    /// [`ProviderConfigError`].
    pub fn new(base_url: &str, key: Option<&str>, config: &HttpConfig) -> Result<Self, ProviderConfigError> {
        Self::of(OPENAI, base_url, key, config)
    }

    /// A server of another kind.
    ///
    /// # Errors
    /// [`ProviderConfigError`].
    pub fn of(
        kind: Kind,
        base_url: &str,
        key: Option<&str>,
        config: &HttpConfig,
    ) -> Result<Self, ProviderConfigError> {
        let auth = key.map(|key| (header::AUTHORIZATION, format!("Bearer {key}")));
        let upstream = Arc::new(Upstream::new(kind.id, base_url, auth, config)?);
        Ok(Self { upstream, kind, responds: kind.responds })
    }

    /// Whether it takes Responses, where that is not as with others of its kind.
    #[must_use]
    pub const fn responding(mut self, responds: bool) -> Self {
        self.responds = responds;
        self
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn id(&self) -> &str {
        self.upstream.provider()
    }

    fn host(&self) -> Option<String> {
        Some(self.upstream.host())
    }

    fn speaks(&self, dialect: Dialect) -> bool {
        speaks(dialect) && (self.responds || dialect != Dialect::OpenAiResponses)
    }

    async fn send(&self, mut call: ProviderCall) -> Result<ProviderReply, ProviderError> {
        let route = route(call.dialect);
        if call.dialect != Dialect::OpenAiChat {
            return send(&self.upstream, route, call, true).await;
        }
        let quirks = self.kind.quirks;
        let unsupported =
            |feature| ProviderError::Unsupported { provider: self.upstream.provider().to_owned(), feature };
        quirks.ask(&mut call.body).map_err(unsupported)?;
        let reply = send(&self.upstream, route, call, !quirks.tells_usage).await?;
        Ok(if quirks == Quirks::NONE { reply } else { quirks::plain(reply) })
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.upstream.model_ids("models").await
    }
}

/// What is spoken here. Shared with Azure, as are the next two.
pub(crate) const fn speaks(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiEmbeddings | Dialect::OpenAiResponses)
}

/// The end of the address at which a dialect is spoken.
pub(crate) fn route(dialect: Dialect) -> &'static str {
    dialects::of(dialect).path().trim_start_matches('/')
}

/// A whole answer, if it is one.
async fn whole(
    upstream: &Upstream,
    incoming: Incoming,
    dialect: Dialect,
    is_answer: fn(&Value) -> bool,
    else_it_is: &str,
) -> Result<ProviderReply, ProviderError> {
    let mut answer = incoming.json().await?;
    if is_answer(&answer) {
        if dialect == Dialect::OpenAiResponses {
            responses::forget_request(&mut answer);
        }
        return Ok(ProviderReply::Whole(answer));
    }
    // Some servers of these dialects tell errors with a 200.
    if answer["error"].is_object() {
        return Err(upstream.upstream_error(StatusCode::BAD_GATEWAY, &answer, None));
    }
    Err(upstream.garbled(else_it_is))
}

/// Makes a call in a dialect that is spoken here. `asks_usage`: a stream's usage is told when it is asked for.
pub(crate) async fn send(
    upstream: &Arc<Upstream>,
    path: &str,
    call: ProviderCall,
    asks_usage: bool,
) -> Result<ProviderReply, ProviderError> {
    let headers = call.headers();
    let mut body = call.body;
    body["model"] = call.model.into();
    if call.dialect != Dialect::OpenAiChat {
        take_session(&mut body);
    }
    if call.stream {
        body["stream"] = true.into();
    }
    if call.stream && call.dialect == Dialect::OpenAiChat && asks_usage {
        // Without it no one would know what a stream cost.
        if !body["stream_options"].is_object() {
            body["stream_options"] = json!({});
        }
        body["stream_options"]["include_usage"] = true.into();
    }
    let incoming = upstream.post(path, &headers, &body, call.stream).await?;
    let of = |answer: &Value| answer["choices"].is_array();
    let (is_answer, else_it_is): (fn(&Value) -> bool, _) = match call.dialect {
        Dialect::OpenAiEmbeddings => (embeddings::is_answer, "an answer without vectors"),
        Dialect::OpenAiResponses => (responses::is_answer, "an answer without output"),
        _ => (of, "an answer without choices"),
    };
    if !call.stream {
        return whole(upstream, incoming, call.dialect, is_answer, else_it_is).await;
    }
    let reader = Reader { events: incoming.events(), upstream: Arc::clone(upstream), finished: false };
    Ok(ProviderReply::Stream(match call.dialect {
        Dialect::OpenAiResponses => events(reader),
        _ => chunks(reader),
    }))
}

/// A stream in progress.
struct Reader {
    events: Events,
    upstream: Arc<Upstream>,
    /// A choice has said why it ended.
    finished: bool,
}

fn chunks(reader: Reader) -> EventStream {
    Box::pin(stream::try_unfold(Some(reader), |reader| async move {
        let Some(mut reader) = reader else { return Ok(None) };
        let event = match reader.events.next().await? {
            Some(event) if event.data == "[DONE]" => {
                reader.events.finish().await;
                return Ok(None);
            }
            Some(event) => event,
            // Some servers of this dialect end without `[DONE]`.
            None if reader.finished => return Ok(None),
            None => return Err(reader.events.cut_off()),
        };
        let chunk = reader.events.json(&event)?;
        if chunk["error"].is_object() {
            return Err(reader.upstream.upstream_error(StatusCode::BAD_GATEWAY, &chunk, None));
        }
        let choices = chunk["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
        reader.finished |= choices.iter().any(|choice| choice["finish_reason"].is_string());
        Ok(Some((chunk, Some(reader))))
    }))
}

/// The events of a response, which say by themselves which is the last.
fn events(reader: Reader) -> EventStream {
    Box::pin(stream::try_unfold(Some(reader), |reader| async move {
        let Some(mut reader) = reader else { return Ok(None) };
        let Some(event) = reader.events.next().await? else { return Err(reader.events.cut_off()) };
        let mut body = reader.events.json(&event)?;
        if let Some(response) = body.get_mut("response") {
            responses::forget_request(response);
        }
        if body["type"] == "error" || body["error"].is_object() {
            return Err(reader.upstream.upstream_error(StatusCode::BAD_GATEWAY, &body, None));
        }
        if !body["type"].is_string() {
            return Err(reader.upstream.garbled("an event without a type"));
        }
        if responses::is_last(&body) {
            reader.events.finish().await;
            return Ok(Some((body, None)));
        }
        Ok(Some((body, Some(reader))))
    }))
}
