//! The body of an answer as it comes: with its deadlines and limits, whole or as events.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming as Body};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{Deadlines, HttpConfig, Limits, pool::Lease};
use crate::{
    ProviderError, Timeout,
    sse::{SseEvent, SseParser},
};

/// How long the end of a body may take after its last event. Who waits for it can use the connection again.
const LINGER: Duration = Duration::from_millis(20);

/// A body. Dropping it before its end closes the connection, which cancels the provider's work.
pub struct Incoming {
    provider: Arc<str>,
    body: Body,
    /// The connection, until the body has ended.
    lease: Option<Lease>,
    deadlines: Deadlines,
    limits: Limits,
    until: Instant,
    received: usize,
}

impl Incoming {
    pub(super) fn new(
        provider: Arc<str>,
        (body, lease): (Body, Lease),
        config: &HttpConfig,
        until: Instant,
    ) -> Self {
        let (deadlines, limits) = (config.deadlines, config.limits);
        Self { provider, body, lease: Some(lease), deadlines, limits, until, received: 0 }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Idle or total deadline, size limit, a body cut off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ProviderError> {
        let Deadlines { idle, total, .. } = self.deadlines;
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out(Timeout::Total, total));
        }
        let chunk = match timeout(idle.min(left), self.next()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(_)) => return Err(self.garbled("an answer that was cut off")),
            Err(_) if left < idle => return Err(self.timed_out(Timeout::Total, total)),
            Err(_) => return Err(self.timed_out(Timeout::Idle, idle)),
        };
        self.received += chunk.as_ref().map_or(0, Bytes::len);
        if self.received > self.limits.answer {
            return Err(self.garbled(&format!("an answer of more than {} bytes", self.limits.answer)));
        }
        Ok(chunk)
    }

    /// The next bytes, without bounds. At the end the connection is free for another call.
    async fn next(&mut self) -> hyper::Result<Option<Bytes>> {
        let chunk = loop {
            match self.body.frame().await.transpose()?.map(Frame::into_data) {
                None => break None,
                Some(Ok(bytes)) => break Some(bytes),
                Some(Err(_trailers)) => {}
            }
        };
        if (chunk.is_none() || self.body.is_end_stream())
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
        Ok(chunk)
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub async fn bytes(mut self) -> Result<Bytes, ProviderError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        // Most answers come in one piece, which then needs no copy.
        if self.body.is_end_stream() {
            return Ok(first);
        }
        let mut body = Vec::from(first);
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }

    /// The whole body as a JSON object.
    ///
    /// # Errors
    /// As [`Self::chunk`], and where it is no JSON object.
    pub async fn json(self) -> Result<Value, ProviderError> {
        let provider = Arc::clone(&self.provider);
        let body = self.bytes().await?;
        match serde_json::from_slice(&body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(ProviderError::Garbled {
                provider: provider.to_string(),
                reason: "an answer that is no JSON object".to_owned(),
            }),
        }
    }

    /// The body as events.
    #[must_use]
    pub fn events(self) -> Events {
        let parser = SseParser::new(self.limits.event);
        Events { incoming: self, parser }
    }

    fn timed_out(&self, what: Timeout, after: Duration) -> ProviderError {
        ProviderError::TimedOut { provider: self.provider.to_string(), what, after }
    }

    /// What came cannot be understood.
    pub(crate) fn garbled(&self, reason: &str) -> ProviderError {
        ProviderError::Garbled { provider: self.provider.to_string(), reason: reason.to_owned() }
    }

    /// Bytes of the largest event that is taken.
    pub(crate) const fn largest_event(&self) -> usize {
        self.limits.event
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
        let _ = timeout(LINGER, self.incoming.next()).await;
    }
}
