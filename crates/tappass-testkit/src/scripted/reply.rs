//! What the scripted provider can be told to do, as plain data.

use std::{iter::repeat_n, time::Duration};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::{Value, json};

use super::RecordedRequest;

/// One act while a body is sent.
#[derive(Debug, Clone)]
pub enum Part {
    /// Sends bytes as one HTTP chunk.
    Data(Bytes),
    /// Sends bytes outside the chunk framing.
    Raw(Bytes),
    /// Waits.
    Pause(Duration),
    /// Sends the bytes as chunks again and again until the client leaves.
    Forever(Bytes),
    /// Sends nothing more until the client leaves.
    Stall,
    /// Closes the connection at once.
    Cut,
    /// Ends its own direction of the connection and listens on.
    HalfClose,
}

#[derive(Debug, Clone)]
enum Content {
    /// A text, in the dialect and manner that the request asks for.
    Says(String),
    /// A JSON body.
    Whole(Value),
    /// Server-sent events.
    Events(Vec<Value>),
    /// Frames of AWS's event stream.
    Frames(Vec<Bytes>),
    /// Anything.
    Parts(Vec<Part>),
}

/// A scripted reply.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) delay: Duration,
    content: Content,
    pause: Duration,
    fault: Option<(usize, Part)>,
}

impl Reply {
    fn new(content: Content) -> Self {
        let (status, headers) = (200, Vec::new());
        Self { status, headers, delay: Duration::ZERO, content, pause: Duration::ZERO, fault: None }
    }

    /// An answer with this text, in the dialect of the request's path, streamed word by word where it asks for that.
    /// Where embeddings are asked for: a vector for each input, and no text.
    #[must_use]
    pub fn says(text: &str) -> Self {
        Self::new(Content::Says(text.to_owned()))
    }

    /// This JSON body.
    #[must_use]
    pub fn answer(body: Value) -> Self {
        Self::new(Content::Whole(body))
    }

    /// These events, with a pause after each: on a path of a dialect with typed events (messages, responses) each is named
    /// by its `type`, else `[DONE]` follows the last.
    #[must_use]
    pub fn stream(events: Vec<Value>, pause: Duration) -> Self {
        Self::new(Content::Events(events)).pause(pause)
    }

    /// A body of AWS's event stream: an event of this type with this payload in each frame. A type that ends in `Exception`
    /// makes it an exception.
    #[must_use]
    pub fn frames(events: &[(&str, Value)]) -> Self {
        let frames = events.iter().map(|(kind, body)| frame(kind, body)).collect();
        Self::new(Content::Frames(frames))
    }

    /// A stream of chat chunks that say these pieces, each in its own chunk.
    #[must_use]
    pub fn chat_stream(pieces: &[&str]) -> Self {
        Self::new(Content::Events(chat_chunks(pieces.iter().copied(), &json!("scripted"), true)))
    }

    /// A stream of message events that say these pieces in one block, each in its own event.
    #[must_use]
    pub fn message_stream(pieces: &[&str]) -> Self {
        Self::new(Content::Events(message_events(pieces, &json!("scripted"))))
    }

    /// A stream of response events that say these pieces in one message, each in its own event.
    #[must_use]
    pub fn response_stream(pieces: &[&str]) -> Self {
        Self::new(Content::Events(response_events(pieces, &json!("scripted"))))
    }

    /// A whole response of these items.
    #[must_use]
    pub fn response_of(output: Value) -> Self {
        Self::answer(response(&json!("scripted"), output, "completed", 5))
    }

    /// A whole message of these content blocks.
    #[must_use]
    pub fn message_of(content: Value) -> Self {
        let called = content.as_array().is_some_and(|blocks| blocks.iter().any(|b| b["type"] == "tool_use"));
        let reason = if called { "tool_use" } else { "end_turn" };
        Self::answer(message(&json!("scripted"), content, reason, 5))
    }

    /// An error in the dialect of the path's inventor: `{"error": {"message", "type", …}}`.
    #[must_use]
    pub fn status(status: u16, message: &str) -> Self {
        let error = json!({"message": message, "type": "scripted_error", "param": null, "code": null});
        let mut reply = Self::answer(json!({"type": "error", "error": error}));
        reply.status = status;
        reply
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(to: &str) -> Self {
        let mut reply = Self::answer(json!({})).header("location", to);
        reply.status = 307;
        reply
    }

    /// A body of these acts; give it the content type it should have.
    #[must_use]
    pub fn parts(content_type: &str, parts: Vec<Part>) -> Self {
        Self::new(Content::Parts(parts)).header("content-type", content_type)
    }

    /// A stream of events that are no JSON.
    #[must_use]
    pub fn malformed_sse() -> Self {
        Self::sse(vec![Part::Data(Bytes::from_static(b"data: {\"choices\": [oops\n\n"))])
    }

    /// A web page where JSON or events belong.
    #[must_use]
    pub fn wrong_content_type() -> Self {
        Self::parts("text/html", vec![Part::Data(Bytes::from_static(b"<html>It works!</html>"))])
    }

    /// An event that is not UTF-8.
    #[must_use]
    pub fn invalid_utf8() -> Self {
        Self::sse(vec![Part::Data(Bytes::from_static(b"data: {\"x\": \"\xff\xfe\"}\n\n"))])
    }

    /// A line that does not end.
    #[must_use]
    pub fn endless_line() -> Self {
        Self::sse(vec![
            Part::Data(Bytes::from_static(b"data: ")),
            Part::Forever(Bytes::from(vec![b'a'; 16_384])),
        ])
    }

    /// Good events without end.
    #[must_use]
    pub fn endless_stream() -> Self {
        let chunk = json!({"model": "scripted", "choices": [{"index": 0, "delta": {"content": "more "}}]});
        Self::sse(vec![Part::Forever(event(&chunk, false))])
    }

    /// A small body that says it is compressed and unpacks to some 250 times its size (RFC 1951, 1952): 100 MB.
    #[must_use]
    pub fn gzip_bomb() -> Self {
        Self::parts("application/json", vec![Part::Data(zeros_in_gzip(400_000)), Part::Cut])
            .header("content-encoding", "gzip")
    }

    fn sse(parts: Vec<Part>) -> Self {
        Self::parts("text/event-stream", parts)
    }

    /// Sets the status.
    #[must_use]
    pub const fn status_code(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header("retry-after", &seconds.to_string())
    }

    /// Waits before the status line.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits after each event.
    #[must_use]
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// After this many pieces of the body, sends nothing more.
    #[must_use]
    pub fn stall_after(self, pieces: usize) -> Self {
        self.fault(pieces, Part::Stall)
    }

    /// After this many pieces of the body, closes the connection in the middle of the next.
    #[must_use]
    pub fn cut_after(self, pieces: usize) -> Self {
        self.fault(pieces, Part::Cut)
    }

    /// After this many pieces of the body, ends its direction of the connection without ending the body.
    #[must_use]
    pub fn half_close_after(self, pieces: usize) -> Self {
        self.fault(pieces, Part::HalfClose)
    }

    fn fault(mut self, pieces: usize, fault: Part) -> Self {
        self.fault = Some((pieces, fault));
        self
    }

    /// The reply to this request: its content type, where it has none of its own, and its acts.
    pub(super) fn acts(&self, request: &RecordedRequest) -> (&'static str, Vec<Part>) {
        let typed =
            ["/messages", "/responses", "GenerateContent"].iter().any(|path| request.path.contains(path));
        let (content_type, pieces) = match &self.content {
            Content::Says(text) => says(text, request),
            Content::Whole(body) => ("application/json", vec![Bytes::from(body.to_string())]),
            Content::Events(events) => ("text/event-stream", framed(events, typed)),
            Content::Frames(frames) => ("application/vnd.amazon.eventstream", frames.clone()),
            Content::Parts(parts) => return ("", parts.clone()),
        };
        let mut acts = Vec::with_capacity(pieces.len());
        for (i, piece) in pieces.into_iter().enumerate() {
            match &self.fault {
                Some((at, fault)) if *at == i => {
                    if matches!(fault, Part::Cut) {
                        // Half of a chunk whose header promises the whole.
                        let half = &piece[..piece.len() / 2];
                        acts.push(Part::Raw(
                            [format!("{:x}\r\n", piece.len()).as_bytes(), half].concat().into(),
                        ));
                    }
                    acts.push(fault.clone());
                    break;
                }
                _ => acts.push(Part::Data(piece)),
            }
            if !self.pause.is_zero() {
                acts.push(Part::Pause(self.pause));
            }
        }
        (content_type, acts)
    }
}

fn says(text: &str, request: &RecordedRequest) -> (&'static str, Vec<Bytes>) {
    let asked = request.json();
    let (model, path) = (&asked["model"], request.path.as_str());
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    let tokens = words.len();
    let whole = |body: Value| ("application/json", vec![Bytes::from(body.to_string())]);
    let events = |events: &[Value], typed| ("text/event-stream", framed(events, typed));
    match asked["stream"].as_bool().unwrap_or(false) {
        _ if path.contains("/embeddings") => whole(vectors(&asked["input"], model)),
        true if path.contains("/messages") => events(&message_events(&words, model), true),
        true if path.contains("/responses") => events(&response_events(&words, model), true),
        true => {
            let usage = asked["stream_options"]["include_usage"].as_bool().unwrap_or(false);
            events(&chat_chunks(words.into_iter(), model, usage), false)
        }
        false if path.contains("/messages") => {
            whole(message(model, json!([{"type": "text", "text": text}]), "end_turn", tokens))
        }
        false if path.contains("/responses") => {
            whole(response(model, json!([said(text)]), "completed", tokens))
        }
        false => whole(chat_answer(text, model)),
    }
}

/// The item of a response that says a text.
fn said(text: &str) -> Value {
    json!({"id": "msg_scripted", "type": "message", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]})
}

#[expect(clippy::needless_pass_by_value, reason = "reads better with json! at the call")]
fn response(model: &Value, output: Value, status: &str, tokens: usize) -> Value {
    json!({"id": "resp_scripted", "object": "response", "created_at": 1_700_000_000, "status": status, "error": null,
        "incomplete_details": null, "instructions": null, "metadata": {}, "model": model, "output": output,
        "parallel_tool_calls": true, "previous_response_id": null, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": tokens,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 10 + tokens}})
}

fn response_events(words: &[&str], model: &Value) -> Vec<Value> {
    let item = said(&words.concat());
    let begun = response(model, json!([]), "in_progress", 0);
    let mut open = said("");
    (open["status"], open["content"]) = ("in_progress".into(), json!([]));
    let about = |kind: &str, more: Value| {
        let mut event =
            json!({"type": kind, "item_id": "msg_scripted", "output_index": 0, "content_index": 0});
        for (key, value) in more.as_object().into_iter().flatten() {
            event[key.as_str()] = value.clone();
        }
        event
    };
    let part = |text: &str| said(text)["content"][0].clone();
    let mut events = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": open}),
        about("response.content_part.added", json!({"part": part("")})),
    ];
    let delta = |word: &&str| about("response.output_text.delta", json!({"delta": word, "logprobs": []}));
    events.extend(words.iter().map(delta));
    events.extend([
        about("response.output_text.done", json!({"text": words.concat(), "logprobs": []})),
        about("response.content_part.done", json!({"part": item["content"][0]})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": response(model, json!([item]), "completed", words.len())}),
    ]);
    for (event, number) in events.iter_mut().zip(0..) {
        event["sequence_number"] = number.into();
    }
    events
}

fn vectors(input: &Value, model: &Value) -> Value {
    let count = input.as_array().map_or(1, Vec::len);
    let data: Vec<Value> = (0..count)
        .map(|index| json!({"object": "embedding", "index": index, "embedding": [0.6, -0.8]}))
        .collect();
    json!({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 10, "total_tokens": 10}})
}

fn message_events(words: &[&str], model: &Value) -> Vec<Value> {
    let usage = json!({"input_tokens": 10, "output_tokens": 1});
    let start = json!({"id": "msg_scripted", "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage});
    let mut events = vec![
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
    ];
    events.extend(words.iter().map(|word| {
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
    }));
    events.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": words.len()}}),
        json!({"type": "message_stop"}),
    ]);
    events
}

fn chat_answer(text: &str, model: &Value) -> Value {
    json!({"id": "chatcmpl-scripted", "object": "chat.completion", "created": 1_700_000_000, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage(text.split_inclusive(' ').count())})
}

#[expect(clippy::needless_pass_by_value, reason = "reads better with json! at the call")]
fn message(model: &Value, content: Value, reason: &str, tokens: usize) -> Value {
    json!({"id": "msg_scripted", "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": reason, "stop_sequence": null, "usage": {"input_tokens": 10, "output_tokens": tokens}})
}

fn chat_chunks<'a>(words: impl Iterator<Item = &'a str>, model: &Value, with_usage: bool) -> Vec<Value> {
    let chunk = |choices: Value| {
        json!({"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model,
            "choices": choices})
    };
    let choice =
        |delta: Value, reason: Value| chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}]));
    let mut chunks = vec![choice(json!({"role": "assistant", "content": ""}), Value::Null)];
    chunks.extend(words.map(|word| choice(json!({"content": word}), Value::Null)));
    let tokens = chunks.len() - 1;
    chunks.push(choice(json!({}), json!("stop")));
    if with_usage {
        let mut last = chunk(json!([]));
        last["usage"] = usage(tokens);
        chunks.push(last);
    }
    chunks
}

fn usage(tokens: usize) -> Value {
    json!({"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens})
}

fn frame(kind: &str, body: &Value) -> Bytes {
    let exception = kind.ends_with("Exception");
    let (of, name) = if exception { ("exception", ":exception-type") } else { ("event", ":event-type") };
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let message = Message::new(body.to_string())
        .add_header(Header::new(":message-type", text(of)))
        .add_header(Header::new(name, text(kind)));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("headers are short");
    bytes.into()
}

fn framed(events: &[Value], named: bool) -> Vec<Bytes> {
    let done = (!named).then(|| Bytes::from_static(b"data: [DONE]\n\n"));
    events.iter().map(|one| event(one, named)).chain(done).collect()
}

fn event(body: &Value, named: bool) -> Bytes {
    match body["type"].as_str().filter(|_| named) {
        Some(name) => format!("event: {name}\ndata: {body}\n\n").into(),
        None => format!("data: {body}\n\n").into(),
    }
}

/// A gzip member (RFC 1952) whose deflate stream (RFC 1951, fixed codes) is one zero and `runs` copies of 258 zeros.
/// It has no end, so that whoever unpacks it must stop by himself.
fn zeros_in_gzip(runs: usize) -> Bytes {
    // Final block, fixed codes; then the literal 0. Bits in the order they are sent.
    let start = "110".chars().chain("00110000".chars());
    // Length 258 is the code 11000101, distance 1 the code 00000.
    let bits: Vec<char> = start.chain(repeat_n("1100010100000", runs).flat_map(str::chars)).collect();
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bytes.extend(bits.chunks(8).map(|byte| {
        byte.iter().enumerate().fold(0_u8, |value, (i, bit)| value | (u8::from(*bit == '1') << i))
    }));
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    #[test]
    fn the_bomb_unpacks_to_zeros() {
        // gzip complains about the missing end, and still writes what it unpacked.
        let Ok(mut gzip) = Command::new("gzip")
            .arg("-dc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
        else {
            return; // no gzip on this machine
        };
        gzip.stdin.take().expect("piped").write_all(&zeros_in_gzip(4_000)).expect("gzip reads");
        let out = gzip.wait_with_output().expect("gzip ends").stdout;
        assert!(out.len() > 900_000 && out.iter().all(|b| *b == 0), "{} bytes", out.len());
    }
}
