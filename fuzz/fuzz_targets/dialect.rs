//! The boundary of every dialect, requests and answers: nothing panics, every text that was collected stands where it
//! is said to stand and can be put back, and no text of more than a word is left out.
//!
//! The first byte, a digit, chooses the dialect; the rest is the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tappass_model::{Dialect, Segment, json::parse_strict};
use tappass_provider::{
    ProviderCall,
    dialects::{self, place},
};

/// No identifier: wherever it stands in a body that is forwarded, a detector must have seen it.
const PLANTED: &str = "planted words";

fuzz_target!(|data: &[u8]| {
    let Some((&first, body)) = data.split_first() else { return };
    let Ok(body) = parse_strict(body) else { return };
    let dialect = Dialect::ALL[usize::from(first.wrapping_sub(b'0')) % Dialect::ALL.len()];
    let shape = dialects::of(dialect);

    let answer = shape.read_answer(&body);
    // What comes from a provider. A tool call without a model has no answer to read: its question is judged as one.
    let asks_a_model = !dialect.is_tool_call() && !dialect.is_report();
    if asks_a_model && shape.answers_in_words() {
        check(dialect, "answer", &body, &answer.segments);
    }

    let Ok(request) = shape.read_request(body, data.len()) else { return };
    // The body of an MCP message is made by the gateway, of the parts that have texts.
    if !dialect.is_tool_call() && dialect != Dialect::McpMessage {
        check(dialect, "request", &request.body, &request.segments);
    }
    shape.history(&request.body);
    shape.ceiling(&request.body, 1000);
    let mut fewer = request.body.clone();
    shape.remove_tools(&mut fewer, &|name| name.len().is_multiple_of(2));
    let call = ProviderCall {
        dialect,
        model: request.model,
        stream: request.stream,
        body: request.body,
        traceparent: None,
        passed: Vec::new(),
        owner: None,
    };
    if let Ok((call, mut back)) = shape.to_chat(call) {
        dialects::of(Dialect::OpenAiChat).history(&call.body);
        back.whole(&call.body);
        back.chunk(&call.body);
        back.end();
    }
});

fn check(dialect: Dialect, what: &str, body: &Value, segments: &[Segment]) {
    for segment in segments {
        match place::get_text(body, &segment.pointer) {
            // Of a medium's URL only what stands before its payload is a text.
            Some(there) => assert!(there.starts_with(&segment.text), "{dialect:?} {what}: {segment:?}"),
            None => assert!(segment.text.parse::<f64>().is_ok(), "{dialect:?} {what}: {segment:?}"),
        }
    }
    let mut emptied = body.clone();
    // Keys go last, and the later of them first: a key that changes moves what stands below it.
    for segment in segments.iter().rev() {
        if segment.text.contains(PLANTED) {
            place::set_text(&mut emptied, &segment.pointer, "-".to_owned());
        }
    }
    assert!(!emptied.to_string().contains(PLANTED), "{dialect:?} {what} leaves a text out: {emptied}");
}
