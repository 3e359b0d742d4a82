//! The access log: one line for each request, written when its answer has ended. Never content, never keys.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::RequestId;

/// What the line says. Dropping it writes it, and gives the request's place back.
pub struct Line {
    pub id: RequestId,
    pub method: Method,
    pub route: &'static str,
    pub status: StatusCode,
    pub began: Instant,
    /// Whether the answer was sent to its end.
    pub whole: bool,
    pub _permit: Option<OwnedSemaphorePermit>,
}

impl Line {
    /// The response, with the line written when it ends: at once if the body is at hand, else with the stream.
    pub fn follow(mut self, response: Response) -> Response {
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        self.whole = false;
        response.map(|inner| Body::new(Followed { inner, line: self }))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "tappass::access",
            request_id = self.id.as_str(),
            method = self.method.as_str(),
            route = self.route,
            status = self.status.as_u16(),
            us,
            whole = self.whole,
            "request"
        );
    }
}

struct Followed {
    inner: Body,
    line: Line,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) {
            this.line.whole = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
