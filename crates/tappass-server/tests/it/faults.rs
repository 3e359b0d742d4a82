//! Every way a provider fails × every dialect, whole and streamed: what the caller is told, and how often the provider was
//! asked. `UPDATE=1 cargo test -p tappass-server` writes docs/reference/faults.md from it.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tappass_testkit::{Part, Reply, ScriptedProvider};

use crate::{
    client::{Answer, ask},
    scripted::{Scripted, events},
};

/// What a provider does.
enum Fault {
    /// It answers so: a stream where one is asked for.
    Replies(fn(&Asked) -> Reply),
    /// It answers so, too late for a gateway that waits this many seconds.
    Late(&'static str, fn(&Asked) -> Reply),
    /// It is not to be reached at this address.
    At(&'static str),
    /// Nobody listens any more.
    Gone,
}

/// A dialect, asked in one of its ways.
struct Asked {
    path: &'static str,
    model: &'static str,
    /// The provider speaks Anthropic's messages.
    messages: bool,
    stream: bool,
}

const PIECES: [&str; 3] = ["one ", "two ", "three"];

impl Asked {
    fn body(&self) -> Value {
        let user = json!([{"role": "user", "content": "hello"}]);
        match self.path {
            "/v1/embeddings" => json!({"model": self.model, "input": "hello"}),
            "/v1/responses" => json!({"model": self.model, "input": "hello", "stream": self.stream}),
            "/v1/messages/count_tokens" => json!({"model": self.model, "messages": user}),
            "/v1/messages" => {
                json!({"model": self.model, "messages": user, "max_tokens": 9, "stream": self.stream})
            }
            _ => json!({"model": self.model, "messages": user, "stream": self.stream}),
        }
    }

    /// A good answer, in as many pieces as a stream of its dialect has.
    fn good(&self) -> Reply {
        match self.path {
            _ if !self.stream => Reply::says("one two three"),
            _ if self.messages => Reply::message_stream(&PIECES),
            "/v1/responses" => Reply::response_stream(&PIECES),
            _ => Reply::chat_stream(&PIECES),
        }
    }

    /// Pieces of its stream after which text has gone out; of a whole answer nothing has.
    const fn half(&self) -> usize {
        if self.stream { 4 } else { 0 }
    }

    fn name(&self) -> String {
        let how = if self.stream { ", streamed" } else { "" };
        format!("`{}`{how}, to {}", self.path, if self.messages { "Anthropic" } else { "OpenAI" })
    }
}

const FAULTS: &[(&str, Fault)] = &[
    ("its name does not resolve", Fault::At("http://no-such-host.invalid/v1")),
    ("the connection is refused", Fault::Gone),
    ("it speaks no TLS where TLS is asked for", Fault::At("https://{authority}/v1")),
    ("it answers too late", Fault::Late("1", |asked| asked.good().delay(Duration::from_secs(600)))),
    ("it falls silent in the middle", Fault::Late("3", |asked| asked.good().stall_after(asked.half()))),
    ("it closes in the middle", Fault::Replies(|asked| asked.good().cut_after(asked.half()))),
    (
        "it ends its direction in the middle",
        Fault::Replies(|asked| asked.good().half_close_after(asked.half())),
    ),
    ("it sends one byte at a time, characters split", Fault::Replies(bytes_of_a_good_one)),
    ("its events are no JSON", Fault::Replies(|_| Reply::malformed_sse())),
    ("its events are no UTF-8", Fault::Replies(|_| Reply::invalid_utf8())),
    ("its line does not end", Fault::Replies(|_| Reply::endless_line())),
    ("its answer does not end", Fault::Replies(endless)),
    ("it sends a web page", Fault::Replies(|_| Reply::wrong_content_type())),
    ("its body unpacks to 250 times its size", Fault::Replies(|_| Reply::gzip_bomb())),
    ("it redirects", Fault::Replies(|_| Reply::redirect("http://127.0.0.1:1/"))),
    ("it says 400", Fault::Replies(|_| Reply::status(400, "too old"))),
    ("it refuses the gateway's key (401)", Fault::Replies(|_| Reply::status(401, "wrong key"))),
    ("it says 429 with `Retry-After: 7`", Fault::Replies(|_| Reply::status(429, "slow down").retry_after(7))),
    ("it says 500", Fault::Replies(|_| Reply::status(500, "down"))),
    (
        "it says 503, again and again",
        Fault::Replies(|_| Reply::status(503, "down").header("retry-after-ms", "1")),
    ),
];

fn bytes_of_a_good_one(asked: &Asked) -> Reply {
    let said = "é€😀";
    let (kind, text) = if asked.stream {
        let events = match asked.path {
            _ if asked.messages => vec![
                json!({"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": {}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": said}}),
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}),
                json!({"type": "message_stop"}),
            ],
            "/v1/responses" => {
                let item = json!({"id": "m", "type": "message", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": said, "annotations": []}]});
                let whole = |status: &str, output: Value| json!({"id": "resp_1", "object": "response", "model": "m", "status": status, "output": output});
                let at =
                    |kind: &str| json!({"type": kind, "item_id": "m", "output_index": 0, "content_index": 0});
                let mut delta = at("response.output_text.delta");
                delta["delta"] = said.into();
                vec![
                    json!({"type": "response.created", "response": whole("in_progress", json!([]))}),
                    delta,
                    json!({"type": "response.completed", "response": whole("completed", json!([item]))}),
                ]
            }
            _ => vec![json!({"id": "c", "object": "chat.completion.chunk", "model": "m",
                "choices": [{"index": 0, "delta": {"content": said}, "finish_reason": "stop"}]})],
        };
        let told = events.iter().map(|event| {
            let name = event["type"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
            format!("{name}data: {event}\n\n")
        });
        ("text/event-stream", told.collect::<String>())
    } else {
        let body = match asked.path {
            "/v1/embeddings" => json!({"object": "list", "model": "é€😀", "usage": {"total_tokens": 1},
                "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}),
            "/v1/messages/count_tokens" => json!({"input_tokens": 3, "note": said}),
            _ if asked.messages => json!({"id": "m", "type": "message", "role": "assistant", "model": "m",
                "content": [{"type": "text", "text": said}], "stop_reason": "end_turn", "usage": {"output_tokens": 1}}),
            "/v1/responses" => {
                json!({"id": "resp_1", "object": "response", "model": "m", "status": "completed",
                "output": [{"id": "m", "type": "message", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": said, "annotations": []}]}]})
            }
            _ => json!({"id": "c", "object": "chat.completion", "model": "m",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]}),
        };
        ("application/json", body.to_string())
    };
    Reply::parts(kind, text.bytes().map(|byte| Part::Data(Bytes::copy_from_slice(&[byte]))).collect())
}

/// Comments without end in a stream (an event would be judged, one after the other), blanks in a whole answer.
fn endless(asked: &Asked) -> Reply {
    let (kind, piece) = if asked.stream {
        ("text/event-stream", format!(": {}\n", "x".repeat(65_000)))
    } else {
        ("application/json", " ".repeat(65_000))
    };
    Reply::parts(kind, vec![Part::Forever(Bytes::from(piece))])
}

const DIALECTS: &[(&str, bool)] = &[
    ("/v1/chat/completions", true),
    ("/v1/responses", true),
    ("/v1/messages", true),
    ("/v1/messages/count_tokens", false),
    ("/v1/embeddings", false),
];

fn all_asked(path: &'static str, streams: bool) -> Vec<Asked> {
    let mut all = Vec::new();
    for stream in [false, true] {
        for (model, messages) in [("gpt-4o", false), ("claude-x", true)] {
            let spoken = match path {
                "/v1/messages/count_tokens" => messages,
                "/v1/embeddings" => !messages,
                _ => true,
            };
            if spoken && (streams || !stream) {
                all.push(Asked { path, model, messages, stream });
            }
        }
    }
    all
}

/// What the caller is told, for the page; that it is told so that it can be read, and recorded.
async fn told(usual: &Scripted, asked: &Asked, what: &str, fault: &Fault) -> String {
    let own;
    let s = match fault {
        Fault::Replies(reply) => {
            usual.provider.always(reply(asked));
            usual
        }
        Fault::Late(seconds, reply) => {
            own = Scripted::new(&[
                ("TAPPASS_PROVIDER_ANSWER_TIMEOUT", seconds),
                ("TAPPASS_PROVIDER_FIRST_BYTE_TIMEOUT", seconds),
                ("TAPPASS_PROVIDER_IDLE_TIMEOUT", seconds),
            ])
            .await;
            own.provider.always(reply(asked));
            &own
        }
        Fault::At(base) => {
            own = Scripted::new(&[("OPENAI_BASE_URL", base), ("ANTHROPIC_BASE_URL", base)]).await;
            &own
        }
        Fault::Gone => {
            let mut gone = Scripted::new(&[]).await;
            gone.provider = ScriptedProvider::start().await;
            own = gone;
            &own
        }
    };
    let before = s.provider.requests().len();
    let answer = ask(&s.gateway, &s.key, Method::POST, asked.path, asked.body()).await;
    let place = format!("{}, {what}", asked.name());
    let times = if s.provider.requests().len() - before == 2 { ", asked twice" } else { "" };
    let record = s.last_call().await.unwrap_or_else(|| panic!("{place}: no record"));
    let failed = record["details"]["provider_error"].is_string();
    if !failed {
        assert!(
            answer.status.is_success() && answer.text.contains('😀') || answer.text.contains("input_tokens"),
            "{place}: {} {}",
            answer.status,
            answer.text
        );
        return "its answer".to_owned();
    }
    let shown = error_of(asked, &answer, &place);
    assert!(!shown.contains("127.0.0.1"), "{place}: no internal address: {shown}");
    assert_eq!(answer.header("x-should-retry"), "", "{place}: no policy decision");
    let status = answer.status.as_u16();
    if status == 429 {
        assert_eq!(answer.header("retry-after"), "7", "{place}");
    }
    let told = if status == 200 { "an error event".to_owned() } else { status.to_string() };
    told + times
}

/// The error's message, found where a client of the dialect looks for it.
fn error_of(asked: &Asked, answer: &Answer, place: &str) -> String {
    let anthropic = asked.path.starts_with("/v1/messages");
    let body = if answer.status == 200 {
        let all = events(&answer.text);
        let ends = ["message_stop", "response.completed"];
        assert!(!all.iter().any(|e| ends.iter().any(|end| e["type"] == *end)), "{place}: {}", answer.text);
        all.last().cloned().unwrap_or_else(|| panic!("{place}: no event: {}", answer.text))
    } else {
        answer.json()
    };
    if anthropic {
        assert_eq!(body["type"], "error", "{place}: {body}");
    }
    assert!(body["tappass"].is_object(), "{place}: {body}");
    body["error"]["message"].as_str().unwrap_or_else(|| panic!("{place}: no message: {body}")).to_owned()
}

#[tokio::test]
async fn every_fault_has_its_answer_in_every_dialect() {
    let mut page = String::from(HEAD);
    for (path, streams) in DIALECTS {
        let columns = all_asked(path, *streams);
        let _ = write!(page, "\n## `{path}`\n\n| the provider |");
        for asked in &columns {
            let how = if asked.stream { "streamed" } else { "whole" };
            let _ = write!(page, " {how}, {} |", if asked.messages { "Anthropic" } else { "OpenAI" });
        }
        let _ = writeln!(page, "\n|---|{}", "---|".repeat(columns.len()));
        let gateways = join_all(columns.iter().map(|_| Scripted::new(&[]))).await;
        for (what, fault) in FAULTS {
            let cells = join_all(columns.iter().zip(&gateways).map(|(asked, s)| told(s, asked, what, fault)));
            let _ = writeln!(page, "| {what} | {} |", cells.await.join(" | "));
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/faults.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &page).expect("writes the page");
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == page,
        "docs/reference/faults.md is stale: run the test with UPDATE=1 and commit it:\n{page}"
    );
}

const HEAD: &str = "\
# When a provider fails

What the caller is told, by dialect, whole and streamed, for a provider of OpenAI's dialects and for Anthropic's (translated
where the caller's dialect is another). Written by a test that makes each fault happen on a real connection
(`crates/tappass-server/tests/it/faults.rs`). In each cell the error stands where a client of the dialect reads it, names no
internal address, and is in the audit record. *An error event* ends a stream that has begun; a status stands before anything
has gone out. Where nothing else is said, the provider was asked once: only a 502, a 503 and a 429 that says to come back
soon are asked again, once, and all together at most for a fifth of the calls.
";
