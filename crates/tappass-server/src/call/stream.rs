//! A streamed answer on its way out: server-sent events in the dialect of the route. The record is durable before
//! the last event; dropping the stream cancels the provider and records what was used.

use std::{collections::VecDeque, convert::Infallible, time::Instant};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Map, Value, json};
use tappass_pipeline::{Blocked, Halt};
use tappass_provider::{EventStream, ProviderError};

use super::{Governed, governance, refusal};

const DONE: &[u8] = b"data: [DONE]\n\n";

struct Streaming {
    governed: Governed,
    /// `None` once the provider's stream has ended.
    events: Option<EventStream>,
    /// Events ready to go out.
    ready: VecDeque<Bytes>,
    /// What every chunk carries beside the model's.
    ids: Ids,
    /// Over all that went out.
    hash: Context,
    over: bool,
}

/// How the provider's stream ended.
enum End {
    Whole,
    Blocked(Blocked),
    Failed(ProviderError),
    /// The server is shutting down and its grace is over.
    Shutdown,
}

/// The body of a streamed answer.
pub fn run(
    mut governed: Governed,
    events: EventStream,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let ids = Ids::new(governance::ids(governed.open()));
    let state = Streaming {
        governed,
        events: Some(events),
        ready: VecDeque::new(),
        ids,
        hash: Context::new(&SHA256),
        over: false,
    };
    stream::unfold(state, |mut state| async move {
        loop {
            if let Some(bytes) = state.ready.pop_front() {
                return Some((Ok(bytes), state));
            }
            if state.over {
                return None;
            }
            if let Some(end) = state.advance().await {
                // Cancels the provider's call where it has not ended by itself.
                state.events = None;
                state.conclude(end).await;
                state.over = true;
            }
        }
    })
}

impl Streaming {
    /// Takes one event of the provider's. `Some` when there are no more.
    async fn advance(&mut self) -> Option<End> {
        let open = self.governed.open();
        let events = self.events.as_mut()?;
        let start = Instant::now();
        let next = tokio::select! {
            next = events.next() => next,
            () = open.app.life.ending.cancelled() => return Some(End::Shutdown),
        };
        open.call.upstream += start.elapsed();
        let chunk = match next {
            None => return Some(End::Whole),
            Some(Err(error)) => return Some(End::Failed(error)),
            Some(Ok(chunk)) => chunk,
        };
        let guard = open.guard.as_mut()?;
        match guard.push(&open.call, chunk) {
            Ok(Some(chunk)) => self.send(chunk),
            Ok(None) => {}
            Err(blocked) => return Some(End::Blocked(blocked)),
        }
        None
    }

    fn send(&mut self, chunk: Value) {
        let bytes = frame(chunk, &self.ids);
        self.hash.update(&bytes);
        self.ready.push_back(bytes);
    }

    /// The steps that see the complete answer, the record, and the last events.
    async fn conclude(&mut self, end: End) {
        let open = self.governed.open();
        let Some(mut guard) = open.guard.take() else { return };
        let envelope = guard.envelope();
        let (mut tail, mut end) = match end {
            End::Whole => match guard.finish(&open.call) {
                Ok(tail) => (tail, End::Whole),
                Err(blocked) => (Vec::new(), End::Blocked(blocked)),
            },
            other => (Vec::new(), other),
        };
        if let Err(Halt::Blocked(blocked)) = open.call.examine(guard.take_answer()).await
            && !matches!(end, End::Blocked(_))
        {
            end = End::Blocked(blocked);
        }
        match &end {
            End::Whole => {}
            End::Blocked(blocked) => {
                open.call.trace.blocked.get_or_insert_with(|| blocked.clone());
            }
            End::Failed(error) => open.failure = Some(error.clone()),
            End::Shutdown => {
                let reason = "the gateway is shutting down".to_owned();
                open.failure =
                    Some(ProviderError::Unreachable { provider: open.call.provider.clone(), reason });
            }
        }
        if !matches!(end, End::Whole) {
            tail.clear();
        }
        let last_of_model = tail.pop();
        for chunk in tail {
            self.send(chunk);
        }
        let open = self.governed.open();
        open.response_hash = Some(hex::encode(self.hash.clone().finish()));
        let recorded = self.governed.record().await;
        let open = self.governed.open();
        let last = match (end, recorded) {
            (_, Err(error)) => error.into_openai(),
            (End::Whole, Ok(())) => {
                let mut last = last_of_model.unwrap_or(envelope);
                last["finished"] = true.into();
                last["tappass"] = governance::object(open);
                last
            }
            (End::Blocked(blocked), Ok(())) => {
                let mut last = envelope;
                last["choices"] = json!([{"index": 0, "delta": {}, "finish_reason": "content_filter"}]);
                last["finished"] = true.into();
                last["tappass"] = governance::object(open);
                last["tappass"]["message"] = refusal::block_body(open, &blocked)["message"].take();
                last
            }
            (End::Failed(_) | End::Shutdown, Ok(())) => {
                let mut last = open
                    .failure
                    .as_ref()
                    .map(|e| refusal::error_body(e, "provider_error"))
                    .unwrap_or_default();
                last["tappass"] = governance::object(open);
                last
            }
        };
        self.send(last);
        self.ready.push_back(Bytes::from_static(DONE));
        self.governed.close();
    }
}

/// One event: the chunk, its text at the top level, and the ids, which are written once and copied.
fn frame(mut chunk: Value, ids: &Ids) -> Bytes {
    let mut out = Vec::with_capacity(768);
    out.extend_from_slice(b"data: ");
    let text = chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
    let text = Value::from(text).to_string();
    match chunk.as_object_mut() {
        Some(object) if !object.contains_key("error") => {
            // A provider that is a gateway like this one has them too; ours are the ones that count here.
            for name in ids.names.iter().map(String::as_str).chain(["content"]) {
                object.shift_remove(name);
            }
            // Writing a value into a Vec cannot fail.
            let _ = serde_json::to_writer(&mut out, object);
            out.pop();
            out.extend_from_slice(if object.is_empty() { b"\"content\":" } else { b",\"content\":" });
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(ids.json.as_bytes());
        }
        _ => {
            let _ = serde_json::to_writer(&mut out, &chunk);
        }
    }
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

/// What every chunk carries beside the model's, as the end of an object.
struct Ids {
    names: Vec<String>,
    json: String,
}

impl Ids {
    fn new(ids: Map<String, Value>) -> Self {
        let names = ids.keys().cloned().collect();
        Self { names, json: format!(",{}", &Value::Object(ids).to_string()[1..]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_each_key_once_and_the_ids_are_ours() {
        let Value::Object(map) = json!({"session_id": "s", "task_id": "t\""}) else {
            unreachable!("an object")
        };
        let ids = Ids::new(map);
        let chunk = json!({"id": "c", "content": "theirs", "session_id": "theirs",
            "choices": [{"delta": {"content": "a \"b\"\n"}}]});
        let bytes = frame(chunk, &ids);
        let text =
            std::str::from_utf8(&bytes).expect("UTF-8").strip_prefix("data: ").expect("data").trim_end();
        let read = tappass_model::json::parse_strict(text.as_bytes()).expect("no key stands twice");
        assert_eq!(
            read,
            json!({"id": "c", "choices": [{"delta": {"content": "a \"b\"\n"}}],
            "content": "a \"b\"\n", "session_id": "s", "task_id": "t\""})
        );
        let bare = frame(json!({}), &ids);
        assert!(tappass_model::json::parse_strict(&bare[6..]).is_ok());
        assert_eq!(frame(json!({"error": {}}), &ids), "data: {\"error\":{}}\n\n");
    }
}
