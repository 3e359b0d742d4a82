//! A governed call: identify → admit → forward → examine → conclude. The words are this folder's vocabulary.
//!
//! Hyper drops a handler, or the body of its answer, when the client leaves. What must happen all the same (the
//! record, cancelling the provider) belongs to [`Governed`], which concludes exactly once: at its end, or when it
//! is dropped.

pub mod capability;
pub mod conclude;
pub mod governance;
pub mod identify;
pub mod refusal;
pub mod stream;
pub mod verdict;

use std::time::Instant;

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use serde_json::{Map, Value};
use tappass_audit::Event;
use tappass_pipeline::{Call, Halt, StreamGuard};
use tappass_provider::{EventStream, ProviderError, ProviderReply};

use self::capability::Capability;
use crate::{error::ApiError, state::App};

/// A call on its way, with what the server knows about it.
pub struct Open {
    /// The gateway.
    pub app: App,
    /// The call, as the pipeline sees it.
    pub call: Call,
    /// When the request was read.
    pub received: Instant,
    /// The body as it came.
    pub came: Bytes,
    /// SHA-256 of the body as it came, in hexadecimal.
    pub request_hash: String,
    /// SHA-256 of the answer as it went out.
    pub response_hash: Option<String>,
    /// Whether the answer carries the steps' trace.
    pub wants_trace: bool,
    /// Whether a stream's client asked for the usage.
    pub wants_usage: bool,
    /// The provider's error, where it ended the call.
    pub failure: Option<ProviderError>,
    /// Whether the client left before the end.
    pub left: bool,
    /// What is recorded of it; empty until it ends.
    pub events: Vec<Event>,
    /// Whether a capability token is made for it when it passes.
    pub wants_capability: bool,
    /// The capability token, or why there is none although one is wanted.
    pub capability: Option<Result<Capability, String>>,
    /// What is recorded of a tool call or a result beside what its steps did.
    pub about: Map<String, Value>,
    /// Governs the answer while it streams.
    pub guard: Option<StreamGuard>,
}

/// An [`Open`] call that is recorded once, whatever happens to it.
pub struct Governed(Option<Box<Open>>);

impl Governed {
    /// From here on the call will be recorded.
    pub fn new(open: Open) -> Self {
        Self(Some(Box::new(open)))
    }

    /// The call.
    pub fn open(&mut self) -> &mut Open {
        self.0.as_mut().expect("a governed call is taken only when it is concluded or dropped")
    }

    /// The `before` steps: may it leave?
    pub async fn admit(&mut self) -> Result<(), Halt> {
        self.open().call.admit().await
    }

    /// The `call` steps up to the provider's.
    pub async fn forward(&mut self) -> Result<ProviderReply, Halt> {
        self.open().call.forward().await
    }

    /// The steps that see the answer, when it is whole.
    pub async fn examine(&mut self, body: Value) -> Result<(), Halt> {
        let answer = self.open().call.shape().read_answer(&body);
        self.open().call.examine(tappass_model::Answer { body, ..answer }).await
    }

    /// The record, durable; then the answer.
    pub async fn conclude(mut self) -> Response {
        let open = self.open();
        capability::mint(open).await;
        let answer = open.call.exchange.answer.as_mut().map(|a| a.body.take()).unwrap_or_default();
        let bytes = governance::with_object(answer, open);
        self.answer(bytes).await
    }

    /// The record, durable; then these bytes of JSON as the answer.
    async fn answer(mut self, bytes: Vec<u8>) -> Response {
        self.open().response_hash = Some(conclude::sha256(&bytes));
        if let Err(error) = self.record().await {
            return refusal::audit_unavailable(error);
        }
        let mut response = Response::new(Body::from(bytes));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        governance::headers(self.open(), headers);
        self.close();
        response
    }

    /// The record, durable; then the call as it ended, for answers that are written elsewhere.
    ///
    /// # Errors
    /// 503 where it cannot be recorded.
    pub async fn settle(mut self) -> Result<Box<Open>, ApiError> {
        self.record().await?;
        self.0.take().ok_or_else(|| ApiError::internal("a call ended twice"))
    }

    /// The record, durable; then the refusal, or the provider's error.
    pub async fn refuse(mut self, halt: Halt) -> Response {
        let open = self.open();
        let mut response = match halt {
            Halt::Blocked(blocked) => refusal::blocked(open, &blocked),
            Halt::Provider(error) => {
                let response = refusal::provider(open, &error);
                open.failure = Some(error);
                response
            }
        };
        if let Err(error) = self.record().await {
            return refusal::audit_unavailable(error);
        }
        governance::headers(self.open(), response.headers_mut());
        self.close();
        response
    }

    /// The answer as it flows. The record comes before its last event.
    pub fn stream(mut self, events: EventStream) -> Response {
        let open = self.open();
        open.guard = Some(StreamGuard::new(&open.call, open.wants_usage));
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        governance::headers(open, headers);
        *response.body_mut() = Body::from_stream(stream::run(self, events));
        response
    }

    /// Writes the call's events; they are durable when this returns `Ok`.
    pub async fn record(&mut self) -> Result<(), ApiError> {
        conclude::record(self.open()).await
    }

    /// Nothing is left to do for this call.
    pub fn close(&mut self) {
        self.0 = None;
    }
}

impl Drop for Governed {
    /// The client left before the end: what was used is recorded all the same.
    fn drop(&mut self) {
        let Some(mut open) = self.0.take() else { return };
        let tasks = open.app.life.tasks.clone();
        tasks.spawn(async move {
            open.left = true;
            open.call.left = true;
            if open.events.is_empty()
                && let Some(mut guard) = open.guard.take()
                && let Err(Halt::Provider(error)) = open.call.examine(guard.take_answer()).await
            {
                tracing::debug!(error = error.for_the_record(), "while examining what came before the client left");
            }
            if let Err(error) = conclude::record(&mut open).await {
                tracing::error!(task_id = %open.call.exchange.task_id, ?error, "a call could not be recorded");
            }
        });
    }
}
