//! Streams: when the first chunk is there, when the first text is, and when all of it is.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::timeout;

use crate::client::Connection;
use crate::upstream;

const WITHIN: Duration = Duration::from_secs(90);

/// One stream, timed from the sending of the call; milliseconds.
#[derive(Clone, Copy)]
pub struct Timing {
    /// To the first event.
    pub first_chunk: f64,
    /// To the first event that has text; a gateway that scans may hold text back.
    pub first_text: f64,
    /// To the end.
    pub total: f64,
}

/// One stream over `connection`. An answer whose text is not the upstream's is an error.
pub async fn run(connection: &mut Connection, body: Bytes) -> Result<Timing> {
    timeout(WITHIN, timed(connection, body)).await.context("a stream hangs")?
}

async fn timed(connection: &mut Connection, body: Bytes) -> Result<Timing> {
    let begun = Instant::now();
    let mut answer = connection.chat(body).await?.into_body();
    let mut arrived: Vec<(Bytes, f64)> = Vec::with_capacity(upstream::CHUNKS + 1);
    while let Some(frame) = answer.frame().await {
        if let Ok(data) = frame?.into_data() {
            arrived.push((data, milliseconds(begun.elapsed())));
        }
    }
    let total = milliseconds(begun.elapsed());
    // Read only now: what is measured is the server, not this.
    let (mut text, mut pending, mut done) = (String::new(), Vec::new(), false);
    let mut first_text = None;
    for (data, at) in &arrived {
        pending.extend_from_slice(data);
        while let Some(end) = pending.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = pending.drain(..end + 2).collect();
            let Some(data) = event.strip_prefix(b"data: ") else { continue };
            done = data.starts_with(b"[DONE]");
            let chunk: Value = serde_json::from_slice(data).unwrap_or_default();
            text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or(""));
            if !text.is_empty() {
                first_text.get_or_insert(*at);
            }
        }
    }
    ensure!(done, "the stream did not end with [DONE]");
    ensure!(text == upstream::streamed_text(), "the streamed text is not the upstream's: {text}");
    let first_chunk = arrived.first().map(|(_, at)| *at).context("an empty stream")?;
    Ok(Timing { first_chunk, first_text: first_text.unwrap_or(total), total })
}

/// A duration in milliseconds, with its fraction.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
