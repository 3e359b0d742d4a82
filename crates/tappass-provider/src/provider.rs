//! The seam: what the gateway asks of a provider, and what a provider answers.

use std::{pin::Pin, time::Duration};

use futures_util::Stream;
use serde_json::Value;
use tappass_model::Dialect;

use crate::Owner;

/// One call, as the pipeline lets it leave.
#[derive(Debug, Clone)]
pub struct ProviderCall {
    /// The shape of `body`, and of what is to come back.
    pub dialect: Dialect,
    /// The model without the gateway's prefix: `claude-…` of `anthropic/claude-…`.
    pub model: String,
    /// Whether to stream.
    pub stream: bool,
    /// The body, in the caller's dialect; its `model` is still the caller's.
    pub body: Value,
    /// W3C trace context to pass on.
    pub traceparent: Option<String>,
    /// Headers of the caller that its dialect passes on, to a provider that speaks it.
    pub passed: Vec<(&'static str, String)>,
    /// Whose what the provider keeps of it is; nobody's where it keeps nothing.
    pub owner: Option<Owner>,
}

impl ProviderCall {
    /// The headers that go with it.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let trace = self.traceparent.iter().map(|trace| ("traceparent", trace.clone()));
        self.passed.iter().cloned().chain(trace).collect()
    }
}

/// `metadata.session_id` is for the gateway; an API that does not know it would refuse the call.
pub(crate) fn take_session(body: &mut Value) {
    let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if metadata.shift_remove("session_id").is_some()
        && metadata.is_empty()
        && let Some(body) = body.as_object_mut()
    {
        body.shift_remove("metadata");
    }
}

/// A stream of events in the caller's dialect, each a JSON body (a chat chunk, an event of a message). It ends by
/// ending; no `[DONE]`.
/// Dropping it cancels the provider's call.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Value, ProviderError>> + Send>>;

/// What came back.
pub enum ProviderReply {
    /// The whole answer, in the caller's dialect.
    Whole(Value),
    /// A stream whose first event has been asked for but not awaited.
    Stream(EventStream),
}

/// Which deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// No connection.
    Connect,
    /// No first byte of the answer.
    FirstByte,
    /// Silence between two pieces of a stream.
    Idle,
    /// The whole took too long.
    Total,
}

/// Why a provider gave no answer. Texts are fit for the caller: no key, no internal address.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProviderError {
    /// The provider answered with an error. Passed on with its status, in the caller's dialect.
    #[error("{provider} answered {status}: {message}")]
    Upstream {
        /// The provider's id.
        provider: String,
        /// Its HTTP status.
        status: u16,
        /// Its message.
        message: String,
        /// The `error` object in the caller's dialect.
        body: Value,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No connection: name resolution, refused, TLS.
    #[error("{provider} cannot be reached: {reason}")]
    Unreachable {
        /// The provider's id.
        provider: String,
        /// What failed.
        reason: String,
    },
    /// A deadline passed.
    #[error("{provider} did not answer in time ({what:?} after {after:?})")]
    TimedOut {
        /// The provider's id.
        provider: String,
        /// Which deadline.
        what: Timeout,
        /// How long it was.
        after: Duration,
    },
    /// What came back cannot be understood: not JSON, cut off, an endless line, a wrong content type.
    #[error("{provider} sent what cannot be understood: {reason}")]
    Garbled {
        /// The provider's id.
        provider: String,
        /// What was wrong.
        reason: String,
    },
    /// No such provider, or it has no key. Says what to set.
    #[error("{0}")]
    NotConfigured(String),
    /// The provider cannot do what the request asks. Names the feature.
    #[error("{provider} does not support {feature}")]
    Unsupported {
        /// The provider's id.
        provider: String,
        /// What it cannot do.
        feature: String,
    },
    /// What the request names is not there for this agent.
    #[error("the answer or item that the request names is not found: no such was given to this agent")]
    NotKept,
}

impl ProviderError {
    /// The error as a log may keep it: without the provider's words, which can quote the prompt.
    #[must_use]
    pub fn for_the_record(&self) -> String {
        match self {
            Self::Upstream { provider, status, .. } => format!("{provider} answered {status}"),
            other => other.to_string(),
        }
    }
}

/// A model provider.
#[async_trait::async_trait]
pub trait Provider: Send + Sync {
    /// Its id, which is also its routing prefix: one of [`crate::router::PROVIDERS`].
    fn id(&self) -> &str;

    /// The host it calls; `None` where nothing is called.
    fn host(&self) -> Option<String>;

    /// Whether it takes calls in this dialect. All take the chat dialect; [`crate::send`] goes by way of it.
    fn speaks(&self, dialect: Dialect) -> bool {
        dialect == Dialect::OpenAiChat
    }

    /// Makes the call.
    ///
    /// # Errors
    /// [`ProviderError`]; the provider has retried where that is safe.
    async fn send(&self, call: ProviderCall) -> Result<ProviderReply, ProviderError>;

    /// The models it offers, without its prefix; none where it cannot say (deployments have no public list).
    ///
    /// # Errors
    /// [`ProviderError`], as for a call.
    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}
