//! The Responses dialect through a pipeline: a streamed answer is governed as the whole one is, however it is cut, and what
//! its later events repeat is what its deltas have said.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tappass_model::{Answer, Mode};
use tappass_pipeline::{Blocked, Call, Halt, Pipeline, StreamGuard};
use tappass_provider::dialects::{Shape, responses::Responses};

use crate::{
    common::{call, governed, pipeline},
    streaming::{cut, runtime, text},
};

const SECRET: &str = concat!("gh", "p_k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");

fn asking(p: &Arc<Pipeline>, mode: Mode, input: &Value) -> Call {
    let mut call = call(p, mode, "", "hi");
    let tools = json!([{"type": "function", "name": "save"}, {"type": "custom", "name": "note"}]);
    let body = json!({"model": "builtin", "input": input, "tools": tools});
    call.exchange.request = Responses.read_request(body, 0).expect("a valid request");
    call
}

fn hi(p: &Arc<Pipeline>, mode: Mode) -> Call {
    asking(p, mode, &json!("hi"))
}

fn message(text: &str) -> Value {
    json!({"type": "message", "id": "msg", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]})
}

fn reasoning(summary: &str, thought: &str) -> Value {
    json!({"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": summary}],
        "content": [{"type": "reasoning_text", "text": thought}]})
}

fn function(arguments: &Value) -> Value {
    json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "save", "status": "completed",
        "arguments": arguments.to_string()})
}

/// The texts of an item that are told in pieces: the event that tells each, its index there, its text.
fn told(item: &Value) -> Vec<(&'static str, Option<&'static str>, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    match item["type"].as_str().expect("a type") {
        "message" => vec![("output_text", Some("content_index"), text(&item["content"][0]["text"]))],
        "reasoning" => vec![
            ("reasoning_summary_text", Some("summary_index"), text(&item["summary"][0]["text"])),
            ("reasoning_text", Some("content_index"), text(&item["content"][0]["text"])),
        ],
        "function_call" => vec![("function_call_arguments", None, text(&item["arguments"]))],
        "custom_tool_call" => vec![("custom_tool_call_input", None, text(&item["input"]))],
        _ => Vec::new(),
    }
}

fn response(output: &[Value], status: &str) -> Value {
    json!({"id": "resp", "object": "response", "model": "m", "status": status, "output": output,
        "usage": {"input_tokens": 1, "output_tokens": 5}})
}

fn events(items: &[Value], sizes: &[usize]) -> Vec<Value> {
    let mut events = vec![
        json!({"type": "response.created", "response": response(&[], "in_progress")}),
        json!({"type": "response.in_progress", "response": response(&[], "in_progress")}),
    ];
    for (index, item) in items.iter().enumerate() {
        let mut event = |kind: &str, more: Value| {
            let mut event =
                json!({"type": format!("response.{kind}"), "output_index": index, "item_id": item["id"]});
            event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            events.push(event);
        };
        let mut added = item.clone();
        for key in ["content", "summary"] {
            if added[key].is_array() {
                added[key] = json!([]);
            }
        }
        for key in ["arguments", "input"] {
            if added[key].is_string() {
                added[key] = "".into();
            }
        }
        event("output_item.added", json!({"item": added}));
        for (kind, counted, text) in told(item) {
            let about = |mut more: Value| {
                if let Some(key) = counted {
                    more[key] = 0.into();
                }
                more
            };
            let part = match kind {
                "reasoning_summary_text" => Some(("reasoning_summary_part", "summary_text")),
                "reasoning_text" => Some(("content_part", "reasoning_text")),
                "output_text" => Some(("content_part", "output_text")),
                _ => None,
            };
            if let Some((name, part)) = part {
                event(&format!("{name}.added"), about(json!({"part": {"type": part, "text": ""}})));
            }
            for piece in cut(&text, sizes) {
                event(&format!("{kind}.delta"), about(json!({"delta": piece, "obfuscation": "xyz"})));
            }
            let member = match kind {
                "function_call_arguments" => "arguments",
                "custom_tool_call_input" => "input",
                _ => "text",
            };
            event(&format!("{kind}.done"), about(json!({member: text})));
            if let Some((name, part)) = part {
                event(&format!("{name}.done"), about(json!({"part": {"type": part, "text": text}})));
            }
        }
        event("output_item.done", json!({"item": item}));
    }
    events.push(json!({"type": "response.completed", "response": response(items, "completed")}));
    for (event, number) in events.iter_mut().zip(0..) {
        event["sequence_number"] = number.into();
    }
    events
}

/// The deltas that a client joins, by item and kind.
fn joined(events: &[Value]) -> Vec<String> {
    let mut texts: Vec<((u64, String), String)> = Vec::new();
    for event in events {
        let kind = event["type"].as_str().expect("a type");
        let Some(kind) = kind.strip_suffix(".delta") else { continue };
        let key = (event["output_index"].as_u64().expect("an index"), kind.to_owned());
        let piece = event["delta"].as_str().expect("a text");
        match texts.iter_mut().find(|(known, _)| *known == key) {
            Some((_, text)) => text.push_str(piece),
            None => texts.push((key, piece.to_owned())),
        }
    }
    texts.into_iter().map(|(_, text)| text).collect()
}

/// The texts of items as a client would read them whole.
fn read(items: &[Value]) -> Vec<String> {
    items.iter().flat_map(told).map(|(.., text)| text).filter(|text| !text.is_empty()).collect()
}

fn output(event: &Value) -> Vec<Value> {
    event["response"]["output"].as_array().expect("items").clone()
}

/// What a client would read of the same answer in one piece.
async fn whole(call: &mut Call, items: &[Value]) -> (Vec<String>, Option<Blocked>) {
    let body = response(items, "completed");
    let answer = Responses.read_answer(&body);
    let blocked = match call.examine(Answer { body, ..answer }).await {
        Err(Halt::Blocked(blocked)) => Some(blocked),
        _ => None,
    };
    let body = &call.exchange.answer.as_ref().expect("an answer").body;
    (read(body["output"].as_array().expect("items")), blocked)
}

/// Whatever an event repeats is what went out before it.
fn agrees(out: &[Value]) {
    let texts = joined(out);
    let done: Vec<Value> =
        out.iter().filter(|e| e["type"] == "response.output_item.done").map(|e| e["item"].clone()).collect();
    assert_eq!(
        read(&done),
        texts.iter().filter(|t| !t.is_empty()).cloned().collect::<Vec<_>>(),
        "items: {out:#?}"
    );
    for event in out {
        let kind = event["type"].as_str().expect("a type");
        let Some(told) =
            kind.strip_suffix(".done").filter(|_| event["part"].is_null() && event["item"].is_null())
        else {
            continue;
        };
        let member =
            [&event["text"], &event["arguments"], &event["input"]].into_iter().find_map(Value::as_str);
        let same =
            |e: &&Value| e["type"] == format!("{told}.delta") && e["output_index"] == event["output_index"];
        let deltas: String = out.iter().filter(same).filter_map(|e| e["delta"].as_str()).collect();
        assert_eq!(member, Some(deltas.as_str()), "{kind}");
    }
    for event in out
        .iter()
        .filter(|e| e["part"].is_object() && e["type"].as_str().is_some_and(|t| t.ends_with("done")))
    {
        assert!(texts.iter().chain([&String::new()]).any(|t| event["part"]["text"] == t.as_str()), "{event}");
    }
    let last = out.last().expect("events");
    assert_eq!(output(last), done);
    let numbers: Vec<u64> = out.iter().map(|e| e["sequence_number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (0..out.len() as u64).collect::<Vec<_>>());
}

fn in_time(blocked: &[&Option<Blocked>]) -> bool {
    // On a busy machine a policy may not answer in time; then nothing is compared.
    !blocked.iter().copied().flatten().any(|b| b.reason.contains("gave no answer"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn a_masked_stream_reads_as_the_masked_whole(
        said in text(), thought in text(), written in text(), number in any::<u32>(),
        sizes in proptest::collection::vec(1usize..9, 1..6),
    ) {
        let p = pipeline("{scan_output: {on_detection: redact}, scan_tool_calls: {on_detection: log}}");
        let items = [
            reasoning(&thought, &said),
            message(&said),
            function(&json!({"note": written, "n": number})),
            json!({"type": "custom_tool_call", "id": "ctc", "call_id": "d", "name": "note", "input": written}),
            message(&written),
        ];
        let (streamed, whole) = runtime().block_on(async {
            let streamed = governed(&mut hi(&p, Mode::Enforce), events(&items, &sizes), true).await;
            (streamed, whole(&mut hi(&p, Mode::Enforce), &items).await)
        });
        prop_assume!(in_time(&[&streamed.1, &whole.1]));
        prop_assert_eq!(&streamed.1, &whole.1);
        if whole.1.is_none() {
            agrees(&streamed.0);
            prop_assert_eq!(joined(&streamed.0).into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>(), whole.0);
        }
    }

    #[test]
    fn a_stream_is_blocked_when_the_whole_is(
        thought in text(), said in text(), sizes in proptest::collection::vec(1usize..9, 1..6),
    ) {
        let p = pipeline("{scan_output: {on_detection: block}}");
        let items = [reasoning(&thought, ""), message(&said)];
        let (streamed, whole) = runtime().block_on(async {
            let streamed = governed(&mut hi(&p, Mode::Enforce), events(&items, &sizes), true).await;
            (streamed, whole(&mut hi(&p, Mode::Enforce), &items).await)
        });
        prop_assume!(in_time(&[&streamed.1, &whole.1]));
        prop_assert_eq!(streamed.1.is_some(), whole.1.is_some());
    }

    #[test]
    fn where_nothing_is_done_a_stream_is_as_it_came(said in text(), sizes in proptest::collection::vec(1usize..9, 1..6)) {
        let p = pipeline("{}");
        let items = [reasoning(&said, ""), message(&said), function(&json!({"note": said}))];
        let sent = events(&items, &sizes);
        let (out, blocked) = runtime().block_on(governed(&mut hi(&p, Mode::Observe), sent.clone(), true));
        prop_assert_eq!(blocked, None);
        prop_assert_eq!(out, sent);
    }
}

#[tokio::test]
async fn what_no_delta_has_said_is_judged_where_it_stands() {
    let p = pipeline(
        "{scan_output: {on_detection: redact}, scan_tool_calls: {on_detection: log}, call_tool: {on_detection: log}}",
    );
    let leak = "It is jan.peeters@acme.eu.";
    let mut item = message(leak);
    item["content"][0]["annotations"] =
        json!([{"type": "url_citation", "url": "https://acme.eu/jan.peeters@acme.eu"}]);
    item["content"][0]["logprobs"] = json!([{"token": leak}]);
    let search =
        json!({"type": "web_search_call", "id": "ws", "status": "completed", "action": {"query": leak}});
    let begin = json!({"type": "response.created", "response": response(&[], "in_progress")});
    let end =
        |items: &[Value]| json!({"type": "response.completed", "response": response(items, "completed")});
    let done =
        |i: u64, item: &Value| json!({"type": "response.output_item.done", "output_index": i, "item": item});
    let added =
        |i: u64, item: &Value| json!({"type": "response.output_item.added", "output_index": i, "item": item});
    let text_done =
        json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": leak});
    for sent in [
        vec![begin.clone(), end(&[item.clone(), search.clone()])],
        vec![begin.clone(), done(0, &item), done(1, &search), end(&[])],
        vec![
            begin.clone(),
            added(0, &item),
            text_done,
            done(0, &item),
            added(1, &search),
            done(1, &search),
            end(&[item.clone(), search.clone()]),
        ],
    ] {
        let (out, blocked) = governed(&mut hi(&p, Mode::Enforce), sent, true).await;
        assert_eq!(blocked, None);
        let seen = json!(out).to_string();
        assert!(!seen.contains("peeters"), "{seen}");
        assert_eq!(output(out.last().expect("events")).len(), 2, "{seen}");
        assert!(seen.contains("It is [EMAIL]."), "{seen}");
    }
}

#[tokio::test]
async fn what_a_later_event_says_otherwise_is_not_told() {
    let p = pipeline("{scan_output: {on_detection: redact}}");
    let mut sent = events(&[message("Nothing here.")], &[4]);
    for event in &mut sent {
        for place in ["/text", "/part/text", "/item/content/0/text", "/response/output/0/content/0/text"] {
            if let Some(text) = event.pointer_mut(place).filter(|text| *text == "Nothing here.") {
                *text = SECRET.into();
            }
        }
    }
    let (out, blocked) = governed(&mut hi(&p, Mode::Enforce), sent, true).await;
    assert_eq!(blocked, None);
    assert!(!json!(out).to_string().contains(SECRET));
    agrees(&out);
}

#[tokio::test]
async fn what_cannot_be_read_passes_when_observed_and_is_refused_when_enforced() {
    let p = pipeline("{}");
    let odd = json!({"type": "hologram", "beam": "x"});
    let novel = json!({"type": "response.novel", "x": "y", "sequence_number": 2});
    for (mode, refused) in [(Mode::Observe, false), (Mode::Enforce, true)] {
        for input in [json!([odd]), json!([{"role": "user", "content": [odd]}])] {
            let mut c = asking(&p, mode, &input);
            assert_eq!(c.admit().await.is_err(), refused, "{mode}");
            assert!(c.trace.rows.iter().any(|row| row.step == "validate_input" && row.detected));
        }
        let mut c = hi(&p, mode);
        assert_eq!(whole(&mut c, std::slice::from_ref(&odd)).await.1.is_some(), refused, "{mode}");
        assert_eq!(c.trace.would_block().is_empty(), refused, "{mode}");
        let mut sent = events(&[message("x")], &[3]);
        sent.insert(2, novel.clone());
        for sent in [events(std::slice::from_ref(&odd), &[3]), sent] {
            let (out, blocked) = governed(&mut hi(&p, mode), sent.clone(), true).await;
            assert_eq!(blocked.is_some(), refused, "{mode}");
            if refused {
                continue;
            }
            assert_eq!(out, sent);
            let mut c = hi(&p, mode);
            let mut guard = StreamGuard::new(&c, true);
            for event in sent {
                guard.push(&c, event).expect("nothing is blocked");
            }
            c.examine(guard.take_answer()).await.expect("nothing is blocked");
            assert!(!c.trace.would_block().is_empty(), "recorded all the same");
        }
    }
}

#[tokio::test]
async fn tool_calls_wait_for_the_steps_and_what_follows_waits_too() {
    let p = pipeline("{}");
    for (name, passes) in [("save", true), ("other", false)] {
        let mut c = hi(&p, Mode::Enforce);
        let mut call = function(&json!({"a": 1}));
        call["name"] = name.into();
        let mut guard = StreamGuard::new(&c, true);
        let mut out = Vec::new();
        for event in events(&[message("So."), call], &[2]) {
            out.extend(guard.push(&c, event).expect("clean"));
        }
        assert!(!json!(out).to_string().contains("function_call"), "an agent would run it: {out:?}");
        assert_eq!(out.last().expect("events")["type"], "response.output_item.done");
        let tail = guard.finish(&c).expect("clean");
        let kinds: Vec<&str> =
            tail.iter().filter_map(|e| e["type"].as_str()?.strip_prefix("response.")).collect();
        assert_eq!(
            kinds,
            [
                "output_item.added",
                "function_call_arguments.delta",
                "function_call_arguments.done",
                "output_item.done",
                "completed"
            ]
        );
        out.extend(tail);
        agrees(&out);
        let examined = c.examine(guard.take_answer()).await;
        assert_eq!(examined.is_ok(), passes, "{name}: {examined:?}");
    }
}

#[tokio::test]
async fn a_stopped_stream_ends_as_an_incomplete_response() {
    let p = pipeline("{scan_output: {on_detection: block}}");
    let c = hi(&p, Mode::Enforce);
    let mut guard = StreamGuard::new(&c, true);
    let items = [message("First."), message(&format!("The weather is mild today. Keep {SECRET} safe."))];
    let mut out = Vec::new();
    for event in events(&items, &[4]) {
        match guard.push(&c, event) {
            Ok(events) => out.extend(events),
            Err(_) => break,
        }
    }
    out.extend(guard.refused());
    let last = out.last().expect("events");
    assert_eq!(
        (&last["type"], &last["response"]["status"]),
        (&json!("response.incomplete"), &json!("incomplete"))
    );
    assert_eq!(last["response"]["incomplete_details"], json!({"reason": "content_filter"}));
    let said = joined(&out);
    let items = output(last);
    assert_eq!(read(&items), said, "what the last event repeats has gone out");
    assert!(said[1].starts_with("The weather") && !said[1].contains("ghp"), "{said:?}");
    assert_eq!((&items[0]["status"], &items[1]["status"]), (&json!("completed"), &json!("incomplete")));
    let numbers: Vec<u64> = out.iter().filter_map(|e| e["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..out.len() as u64).collect::<Vec<_>>());
    // Where nothing has gone out yet, it still begins.
    let kinds: Vec<Value> = StreamGuard::new(&c, true).refused().iter().map(|e| e["type"].clone()).collect();
    assert_eq!(kinds, ["response.created", "response.incomplete"]);
}
