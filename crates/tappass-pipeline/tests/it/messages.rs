//! The messages dialect through a pipeline: a streamed answer is governed as the whole one is, however it is cut.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use serde_json::{Value, json};
use tappass_model::{Answer, Mode};
use tappass_pipeline::{Blocked, Call, Halt, Pipeline, StreamGuard};
use tappass_provider::dialects::{Shape, messages::Messages};

use crate::{
    common::{call, governed, pipeline},
    streaming::{cut, runtime, text},
};

const SECRET: &str = concat!("gh", "p_k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");

fn asking(p: &Arc<Pipeline>, mode: Mode, messages: &Value) -> Call {
    let mut call = call(p, mode, "", "hi");
    let body = json!({"model": "builtin", "max_tokens": 10, "messages": messages,
        "tools": [{"name": "save", "input_schema": {"type": "object"}}]});
    call.exchange.request = Messages.read_request(body, 0).expect("a valid request");
    call
}

fn hi(p: &Arc<Pipeline>, mode: Mode) -> Call {
    asking(p, mode, &json!([{"role": "user", "content": "hi"}]))
}

/// The blocks that a client reads: texts, and inputs of tools as JSON.
type Read = BTreeMap<u64, String>;

fn events(blocks: &[Value], sizes: &[usize]) -> Vec<Value> {
    let mut events = vec![json!({"type": "message_start", "message": {"id": "m1", "type": "message",
        "role": "assistant", "model": "m", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}})];
    for (index, block) in blocks.iter().enumerate() {
        let (mut start, deltas): (Value, Vec<Value>) = match block["type"].as_str().expect("a type") {
            "text" => (
                json!({"type": "text", "text": ""}),
                cut(block["text"].as_str().expect("a text"), sizes)
                    .iter()
                    .map(|piece| json!({"type": "text_delta", "text": piece}))
                    .collect(),
            ),
            "thinking" => (
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                cut(block["thinking"].as_str().expect("a text"), sizes)
                    .iter()
                    .map(|piece| json!({"type": "thinking_delta", "thinking": piece}))
                    .chain([json!({"type": "signature_delta", "signature": "c2ln"})])
                    .collect(),
            ),
            "tool_use" => (
                json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}),
                cut(&serde_json::to_string_pretty(&block["input"]).expect("JSON"), sizes)
                    .iter()
                    .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                    .collect(),
            ),
            _ => (block.clone(), Vec::new()),
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start.take()}));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
    );
    events.push(json!({"type": "message_stop"}));
    events
}

/// What a client would read of a streamed answer, what stopped it, and the events it got.
async fn streamed(call: &mut Call, events: Vec<Value>) -> (Read, Option<Blocked>, Vec<Value>) {
    let (out, blocked) = governed(call, events, true).await;
    (read(&out), blocked, out)
}

fn read(events: &[Value]) -> Read {
    let mut read = Read::new();
    let mut json = Vec::new();
    for event in events {
        let delta = &event["delta"];
        let index = event["index"].as_u64().unwrap_or(0);
        for key in ["text", "thinking", "partial_json"] {
            if let Some(piece) = delta[key].as_str() {
                read.entry(index).or_default().push_str(piece);
                if key == "partial_json" {
                    json.push(index);
                }
            }
        }
    }
    for index in json {
        let input: Value = serde_json::from_str(&read[&index]).expect("an input is JSON");
        read.insert(index, input.to_string());
    }
    read.retain(|_, text| !text.is_empty());
    read
}

/// What a client would read of the same answer in one piece.
async fn whole(call: &mut Call, blocks: &[Value]) -> (Read, Option<Blocked>) {
    let body = json!({"model": "m", "role": "assistant", "content": blocks, "stop_reason": "end_turn"});
    let answer = Messages.read_answer(&body);
    let blocked = match call.examine(Answer { body, ..answer }).await {
        Err(Halt::Blocked(blocked)) => Some(blocked),
        _ => None,
    };
    let body = &call.exchange.answer.as_ref().expect("an answer").body;
    let texts = body["content"].as_array().expect("blocks").iter().zip(0..).map(|(block, index)| {
        let text = [&block["text"], &block["thinking"]].into_iter().find_map(Value::as_str);
        (index, text.map_or_else(|| block["input"].to_string(), str::to_owned))
    });
    (texts.filter(|(_, text)| !text.is_empty()).collect(), blocked)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_masked_stream_reads_as_the_masked_whole(
        said in text(), written in text(), number in any::<u32>(),
        sizes in proptest::collection::vec(1usize..9, 1..6),
    ) {
        let p = pipeline("{scan_output: {on_detection: redact}, scan_tool_calls: {on_detection: log}}");
        let blocks = [
            json!({"type": "text", "text": said}),
            json!({"type": "tool_use", "id": "t", "name": "save", "input": {"note": written, "n": number}}),
            json!({"type": "text", "text": written}),
        ];
        let (streamed, whole) = runtime().block_on(async {
            let streamed = streamed(&mut hi(&p, Mode::Enforce), events(&blocks, &sizes)).await;
            (streamed, whole(&mut hi(&p, Mode::Enforce), &blocks).await)
        });
        // On a busy machine a policy may not answer in time; then nothing is compared.
        prop_assume!(![&streamed.1, &whole.1].into_iter().flatten().any(|b| b.reason.contains("gave no answer")));
        prop_assert_eq!(&streamed.1, &whole.1);
        if whole.1.is_none() {
            prop_assert_eq!(streamed.0, whole.0);
        }
    }

    #[test]
    fn a_stream_is_blocked_when_the_whole_is(
        thought in text(), said in text(), sizes in proptest::collection::vec(1usize..9, 1..6),
        redact in any::<bool>(),
    ) {
        let act = if redact { "redact" } else { "block" };
        let p = pipeline(&format!("{{scan_output: {{on_detection: {act}}}}}"));
        let blocks =
            [json!({"type": "thinking", "thinking": thought, "signature": "c2ln"}), json!({"type": "text", "text": said})];
        let (streamed, whole) = runtime().block_on(async {
            let streamed = streamed(&mut hi(&p, Mode::Enforce), events(&blocks, &sizes)).await;
            (streamed, whole(&mut hi(&p, Mode::Enforce), &blocks).await)
        });
        prop_assume!(![&streamed.1, &whole.1].into_iter().flatten().any(|b| b.reason.contains("gave no answer")));
        prop_assert_eq!(streamed.1.is_some(), whole.1.is_some());
        let thinking = streamed.0.get(&0).cloned().unwrap_or_default();
        prop_assert!(thought.starts_with(&thinking), "reasoning is as it was written");
    }

    #[test]
    fn where_nothing_is_done_a_stream_is_as_it_came(said in text(), sizes in proptest::collection::vec(1usize..9, 1..6)) {
        let p = pipeline("{}");
        let blocks = [json!({"type": "text", "text": said}),
            json!({"type": "tool_use", "id": "t", "name": "save", "input": {"note": said}})];
        let sent = events(&blocks, &sizes);
        let (_, blocked, out) = runtime().block_on(streamed(&mut hi(&p, Mode::Observe), sent.clone()));
        prop_assert_eq!(blocked, None);
        prop_assert_eq!(out, sent);
    }
}

#[tokio::test]
async fn reasoning_is_signed_so_it_is_refused_and_not_masked() {
    let p = pipeline("{scan_output: {on_detection: redact}, detect_pii: {on_detection: redact}}");
    let leak = "I think of jan.peeters@acme.eu now.";
    let blocks = [json!({"type": "thinking", "thinking": leak, "signature": "c2ln"})];
    let (_, blocked) = whole(&mut hi(&p, Mode::Enforce), &blocks).await;
    assert!(blocked.is_some_and(|b| b.reason.contains("signed reasoning")));
    let (read, blocked, _) = streamed(&mut hi(&p, Mode::Enforce), events(&blocks, &[3])).await;
    assert!(blocked.is_some_and(|b| b.reason.contains("signed reasoning")));
    assert!(!read.get(&0).is_some_and(|text| text.contains("peeters")), "{read:?}");
    assert_eq!(whole(&mut hi(&p, Mode::Observe), &blocks).await.1, None);
    // The same in the history of a request.
    let history = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": blocks},
        {"role": "user", "content": "and?"}]);
    let refused = asking(&p, Mode::Enforce, &history).admit().await;
    assert!(matches!(refused, Err(Halt::Blocked(b)) if b.reason.contains("signed reasoning")));
    let mut plain = asking(&p, Mode::Enforce, &json!([{"role": "user", "content": leak}]));
    plain.admit().await.expect("masked");
    assert_eq!(plain.exchange.request.body["messages"][0]["content"], "I think of [EMAIL] now.");
}

#[tokio::test]
async fn what_cannot_be_read_passes_when_observed_and_is_refused_when_enforced() {
    let p = pipeline("{}");
    let odd = json!({"type": "hologram", "beam": "jan.peeters@acme.eu"});
    for (mode, refused) in [(Mode::Observe, false), (Mode::Enforce, true)] {
        let request = json!([{"role": "user", "content": [odd]}]);
        let mut c = asking(&p, mode, &request);
        assert_eq!(c.admit().await.is_err(), refused, "{mode}");
        assert!(c.trace.rows.iter().any(|row| row.step == "validate_input" && row.detected));
        let mut c = hi(&p, mode);
        assert_eq!(whole(&mut c, std::slice::from_ref(&odd)).await.1.is_some(), refused, "{mode}");
        assert_eq!(c.trace.would_block().is_empty(), refused, "{mode}");
        let mut c = hi(&p, mode);
        let (_, blocked, _) = streamed(&mut c, events(std::slice::from_ref(&odd), &[3])).await;
        assert_eq!(blocked.is_some(), refused, "{mode}");
        let novel =
            vec![json!({"type": "message_start", "message": {"content": []}}), json!({"type": "novel"})];
        assert_eq!(streamed(&mut hi(&p, mode), novel).await.1.is_some(), refused, "{mode}");
    }
}

#[tokio::test]
async fn every_corner_of_a_request_is_scanned() {
    let p = pipeline("{detect_secrets: {on_detection: block}}");
    let block = |block: Value| json!([{"role": "user", "content": [block]}]);
    for messages in [
        block(json!({"type": "text", "text": SECRET})),
        block(json!({"type": "tool_use", "id": "t", "name": "save", "input": {"deep": [{"er": SECRET}]}})),
        block(
            json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": SECRET}]}),
        ),
        block(json!({"type": "thinking", "thinking": SECRET, "signature": "c2ln"})),
        block(
            json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": SECRET}}),
        ),
        block(
            json!({"type": "document", "title": SECRET, "source": {"type": "url", "url": "https://x.io/a"}}),
        ),
        block(json!({"type": "search_result", "source": "https://x.io", "title": "t",
            "content": [{"type": "text", "text": SECRET}]})),
    ] {
        let refused = asking(&p, Mode::Enforce, &messages).admit().await;
        assert!(matches!(refused, Err(Halt::Blocked(b)) if b.step == "detect_secrets"), "{messages}");
    }
}

#[tokio::test]
async fn tool_calls_wait_for_the_steps_and_what_follows_waits_too() {
    let p = pipeline("{}");
    for (name, passes) in [("save", true), ("other", false)] {
        let mut c = hi(&p, Mode::Enforce);
        let blocks = [
            json!({"type": "text", "text": "So."}),
            json!({"type": "tool_use", "id": "t", "name": name, "input": {"a": 1}}),
        ];
        let mut guard = StreamGuard::new(&c, true);
        let mut out = Vec::new();
        for event in events(&blocks, &[2]) {
            out.extend(guard.push(&c, event).expect("clean"));
        }
        assert!(
            !out.iter().any(|e| e["content_block"]["type"] == "tool_use"),
            "an agent would run it: {out:?}"
        );
        assert_eq!(out.last().expect("events")["type"], "content_block_stop");
        let tail = guard.finish(&c).expect("clean");
        let kinds: Vec<&str> = tail.iter().filter_map(|e| e["type"].as_str()).collect();
        assert_eq!(
            kinds,
            [
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop"
            ]
        );
        let examined = c.examine(guard.take_answer()).await;
        assert_eq!(examined.is_ok(), passes, "{name}: {examined:?}");
    }
}

#[tokio::test]
async fn a_stopped_stream_ends_as_a_message_ends() {
    let p = pipeline("{scan_output: {on_detection: block}}");
    let c = hi(&p, Mode::Enforce);
    let mut guard = StreamGuard::new(&c, true);
    let blocks = [json!({"type": "text", "text": format!("The weather is mild today. Keep {SECRET} safe.")})];
    let mut out = Vec::new();
    for event in events(&blocks, &[4]) {
        match guard.push(&c, event) {
            Ok(events) => out.extend(events),
            Err(_) => break,
        }
    }
    out.extend(guard.refused());
    let kinds: Vec<&str> = out.iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(kinds[0], "message_start");
    assert!(kinds.ends_with(&["content_block_stop", "message_delta", "message_stop"]), "{kinds:?}");
    assert_eq!(out[out.len() - 2]["delta"]["stop_reason"], "refusal");
    assert!(!read(&out)[&0].contains("ghp"));
    // Where nothing has gone out yet, it still begins.
    let kinds: Vec<Value> = StreamGuard::new(&c, true).refused().iter().map(|e| e["type"].clone()).collect();
    assert_eq!(kinds, ["message_start", "message_delta", "message_stop"]);
}
