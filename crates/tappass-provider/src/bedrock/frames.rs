//! A body of `application/vnd.amazon.eventstream`: binary frames with headers, a payload and checksums
//! (<https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html>).

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::BytesMut;
use http::StatusCode;
use serde_json::Value;

use crate::{ProviderError, http::Incoming};

/// One frame.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// `:event-type`, `:exception-type`, or `error`.
    pub kind: String,
    /// The status that an exception has outside a stream; `None` for an event.
    pub exception: Option<StatusCode>,
    /// The payload.
    pub body: Value,
}

/// The frames of a body.
pub struct Frames {
    incoming: Incoming,
    decoder: MessageFrameDecoder,
    buffer: BytesMut,
}

impl Frames {
    /// At its start.
    pub fn new(incoming: Incoming) -> Self {
        Self { incoming, decoder: MessageFrameDecoder::new(), buffer: BytesMut::new() }
    }

    /// The next frame; `None` at the end of the body.
    ///
    /// # Errors
    /// As [`Incoming::chunk`], and where the bytes are no frames, or one is too large.
    pub async fn next(&mut self) -> Result<Option<Frame>, ProviderError> {
        loop {
            let decoded = self.decoder.decode_frame(&mut self.buffer);
            match decoded.map_err(|_| self.incoming.garbled("a frame that cannot be read"))? {
                DecodedFrame::Complete(message) => {
                    return match read(&message) {
                        Some(frame) => Ok(Some(frame)),
                        None => Err(self.incoming.garbled("a frame that is no event")),
                    };
                }
                DecodedFrame::Incomplete if self.buffer.len() > self.incoming.largest_event() => {
                    return Err(self.incoming.garbled("a frame without end"));
                }
                DecodedFrame::Incomplete => {}
            }
            let Some(bytes) = self.incoming.chunk().await? else {
                return if self.buffer.is_empty() { Ok(None) } else { Err(self.cut_off()) };
            };
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// The stream stopped before it had said that it was done.
    #[must_use]
    pub fn cut_off(&self) -> ProviderError {
        self.incoming.garbled("a stream that was cut off")
    }
}

fn read(message: &aws_smithy_types::event_stream::Message) -> Option<Frame> {
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
        found.value().as_string().ok().map(|text| text.as_str().to_owned())
    };
    let body: Value = serde_json::from_slice(message.payload()).unwrap_or_default();
    match header(":message-type")?.as_str() {
        "event" => {
            let kind = header(":event-type")?;
            body.is_object().then_some(Frame { kind, exception: None, body })
        }
        "exception" => {
            let kind = header(":exception-type")?;
            let exception = Some(status_of(&kind));
            Some(Frame { kind, exception, body })
        }
        _ => {
            let body = Value::from(header(":error-message").unwrap_or_default());
            Some(Frame { kind: "error".to_owned(), exception: Some(StatusCode::BAD_GATEWAY), body })
        }
    }
}

fn status_of(exception: &str) -> StatusCode {
    match exception {
        "validationException" => StatusCode::BAD_REQUEST,
        "throttlingException" => StatusCode::TOO_MANY_REQUESTS,
        "serviceUnavailableException" => StatusCode::SERVICE_UNAVAILABLE,
        "modelStreamErrorException" => StatusCode::FAILED_DEPENDENCY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
