//! The body of an answer as it comes: with its deadlines and limits, whole or as events.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use serde_json::Value;
use tokio::time::Instant;

use super::HttpConfig;
use crate::{
    ProviderError, Timeout,
    sse::{SseEvent, SseParser},
};

/// How long the end of a body may take after its last event. Who waits for it can use the connection again.
const LINGER: Duration = Duration::from_millis(20);

/// A body. Dropping it before its end closes the connection, which cancels the provider's work.
pub struct Incoming {
    provider: String,
    response: Response,
    config: HttpConfig,
    until: Instant,
    received: usize,
}

impl Incoming {
    pub(super) fn new(provider: String, response: Response, config: &HttpConfig, until: Instant) -> Self {
        Self { provider, response, config: config.clone(), until, received: 0 }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Idle or total deadline, size limit, a body cut off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ProviderError> {
        let deadlines = self.config.deadlines;
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out(Timeout::Total, deadlines.total));
        }
        let chunk = match tokio::time::timeout(deadlines.idle.min(left), self.response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(_)) => return Err(self.garbled("an answer that was cut off")),
            Err(_) if left < deadlines.idle => return Err(self.timed_out(Timeout::Total, deadlines.total)),
            Err(_) => return Err(self.timed_out(Timeout::Idle, deadlines.idle)),
        };
        self.received += chunk.as_ref().map_or(0, Bytes::len);
        if self.received > self.config.limits.answer {
            return Err(self.garbled(&format!("an answer of more than {} bytes", self.config.limits.answer)));
        }
        Ok(chunk)
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub async fn bytes(mut self) -> Result<Vec<u8>, ProviderError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The whole body as a JSON object.
    ///
    /// # Errors
    /// As [`Self::chunk`], and where it is no JSON object.
    pub async fn json(self) -> Result<Value, ProviderError> {
        let provider = self.provider.clone();
        let body = self.bytes().await?;
        match serde_json::from_slice(&body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(ProviderError::Garbled {
                provider,
                reason: "an answer that is no JSON object".to_owned(),
            }),
        }
    }

    /// The body as events.
    #[must_use]
    pub fn events(self) -> Events {
        let parser = SseParser::new(self.config.limits.event);
        Events { incoming: self, parser }
    }

    fn timed_out(&self, what: Timeout, after: Duration) -> ProviderError {
        ProviderError::TimedOut { provider: self.provider.clone(), what, after }
    }

    fn garbled(&self, reason: &str) -> ProviderError {
        ProviderError::Garbled { provider: self.provider.clone(), reason: reason.to_owned() }
    }
}

/// A body read as server-sent events.
pub struct Events {
    incoming: Incoming,
    parser: SseParser,
}

impl Events {
    /// The next event; `None` at the end of the body.
    ///
    /// # Errors
    /// As [`Incoming::chunk`], and where the body is no stream of events.
    pub async fn next(&mut self) -> Result<Option<SseEvent>, ProviderError> {
        loop {
            if let Some(event) = self.parser.next_event() {
                return Ok(Some(event));
            }
            let Some(bytes) = self.incoming.chunk().await? else { return Ok(None) };
            self.parser.push(&bytes).map_err(|error| self.incoming.garbled(&error.to_string()))?;
        }
    }

    /// The data of an event as a JSON object.
    ///
    /// # Errors
    /// Garbled where it is none.
    pub fn json(&self, event: &SseEvent) -> Result<Value, ProviderError> {
        match serde_json::from_str(&event.data) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(self.incoming.garbled("an event that is no JSON object")),
        }
    }

    /// The stream stopped before it had said that it was done.
    #[must_use]
    pub fn cut_off(&self) -> ProviderError {
        self.incoming.garbled("a stream that was cut off")
    }

    /// Reads the end of the body after the last event, so that the connection can serve another call.
    pub async fn finish(mut self) {
        let _ = tokio::time::timeout(LINGER, self.incoming.response.chunk()).await;
    }
}
