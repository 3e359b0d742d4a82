//! The scripted upstream: a chat provider that answers at once, so that what is measured is what stands before it.
//!
//! A call with `"stream": true` gets [`CHUNKS`] events back to back, each in a write of its own, as a provider
//! writes them; with `"user": "paced"` there are [`PACE`] between two of them, with `"slow"` [`SLOW_PACE`].

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// Events of one stream: one that opens, 98 with text, one that closes. `[DONE]` follows.
pub const CHUNKS: usize = 100;
/// The pause after each event of a paced stream.
pub const PACE: Duration = Duration::from_millis(5);
/// The `user` of a call that wants the paced stream.
pub const PACED: &str = "paced";
/// The pause after each event of a slow stream: long enough for many to be open at once.
pub const SLOW_PACE: Duration = Duration::from_millis(250);
/// The `user` of a call that wants a slow stream.
pub const SLOW: &str = "slow";

const ID: &str = "chatcmpl-bench0000000000000000000";
const CREATED: u64 = 1_760_000_000;
const ANSWER: &str = "The quarterly review is ready. Revenue grew in three of the four regions, the fourth one \
    stayed level, and the open questions are about hiring plans and the date of the next release.";
const WORDS: [&str; 7] = ["the ", "quarterly ", "review ", "shows ", "a ", "steady ", "growth "];

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    user: Option<String>,
}

/// What the scripted answers are made of, rendered once.
struct Script {
    answer: Bytes,
    events: Vec<Bytes>,
}

/// Answers every call that `listener` takes, until the process ends.
pub async fn serve(listener: TcpListener) -> Result<()> {
    // Leaked on purpose: one script for the life of the process, shared by every connection.
    let script: &'static Script = Box::leak(Box::new(Script { answer: answer(), events: events() }));
    let tasks = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request| respond(script, request));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tasks.spawn(async move { connection.await.ok() });
    }
}

async fn respond(script: &'static Script, request: Request<Incoming>) -> Result<Answer> {
    let body = request.into_body().collect().await?.to_bytes();
    let ask: Ask = serde_json::from_slice(&body)?;
    if !ask.stream {
        let answer = Full::new(script.answer.clone()).boxed_unsync();
        return Ok(Response::builder().header(header::CONTENT_TYPE, "application/json").body(answer)?);
    }
    let pause = match ask.user.as_deref() {
        Some(PACED) => Some(PACE),
        Some(SLOW) => Some(SLOW_PACE),
        _ => None,
    };
    let events = stream::unfold(script.events.iter(), move |mut rest| async move {
        let event = rest.next()?;
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            // Gives the connection its turn to write, else it would gather all events into one write.
            None => tokio::task::yield_now().await,
        }
        Some((Ok(Frame::data(event.clone())), rest))
    });
    let body = StreamBody::new(events).boxed_unsync();
    Ok(Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body)?)
}

fn answer() -> Bytes {
    let answer = json!({
        "id": ID, "object": "chat.completion", "created": CREATED, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": ANSWER, "refusal": null, "annotations": []},
            "logprobs": null, "finish_reason": "stop"
        }],
        "usage": {"prompt_tokens": 230, "completion_tokens": 36, "total_tokens": 266},
        "service_tier": "default", "system_fingerprint": "fp_bench"
    });
    Bytes::from(answer.to_string())
}

/// The whole text of a stream, as a client must have it in the end.
pub fn streamed_text() -> String {
    (0..CHUNKS - 2).map(word).collect()
}

fn word(i: usize) -> &'static str {
    WORDS[i % WORDS.len()]
}

fn events() -> Vec<Bytes> {
    let event = |delta: serde_json::Value, finish: Option<&str>| {
        let chunk = json!({
            "id": ID, "object": "chat.completion.chunk", "created": CREATED, "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]
        });
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let mut events = vec![event(json!({"role": "assistant", "content": ""}), None)];
    events.extend((0..CHUNKS - 2).map(|i| event(json!({"content": word(i)}), None)));
    events.push(event(json!({}), Some("stop")));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_its_chunks_and_its_text() {
        let events = events();
        assert_eq!(events.len(), CHUNKS + 1);
        let text: String = events[..CHUNKS]
            .iter()
            .map(|event| {
                let json = event.strip_prefix(b"data: ").unwrap();
                let chunk: serde_json::Value = serde_json::from_slice(json).unwrap();
                chunk["choices"][0]["delta"]["content"].as_str().unwrap_or("").to_owned()
            })
            .collect();
        assert_eq!(text, streamed_text());
    }

    #[test]
    fn the_answer_is_about_six_hundred_bytes() {
        assert!((500..700).contains(&answer().len()), "{}", answer().len());
    }
}
