//! The messages API behind the chat dialect, over the wire.

use std::time::Duration;

use serde_json::json;
use tappass_provider::{ProviderError, anthropic::Anthropic};
use tappass_testkit::{Reply, ScriptedProvider};

use crate::{ask, call, config, text};

fn anthropic(server: &ScriptedProvider) -> Anthropic {
    Anthropic::new(&server.base_url(), "ant-key", &config(|_| {})).expect("good settings")
}

#[tokio::test]
async fn answers_whole_and_streamed() {
    let server = ScriptedProvider::start().await;
    let provider = anthropic(&server);
    for stream in [false, true, true] {
        let answer = ask(&provider, call(stream)).await.expect("an answer");
        assert_eq!(text(&answer), "Hello from the scripted provider.");
        assert_eq!((answer.usage.prompt_tokens, answer.usage.completion_tokens), (10, 5));
        assert_eq!(answer.model, "gpt-x");
    }
    let request = server.last_request().expect("requests");
    assert_eq!(request.path, "/v1/messages");
    assert_eq!(request.header("x-api-key"), Some("ant-key"));
    assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(
        request.json(),
        json!({"model": "gpt-x", "max_tokens": 4096, "stream": true,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]})
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn errors_come_in_the_callers_dialect() {
    let server = ScriptedProvider::start().await;
    let provider = anthropic(&server);
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    server.push(Reply::answer(overloaded.clone()).status_code(400));
    server.push(Reply::stream(vec![overloaded], Duration::ZERO));
    for (stream, expected) in [(false, 400), (true, 529)] {
        let error = ask(&provider, call(stream)).await.expect_err("an error");
        let ProviderError::Upstream { status, body, .. } = error else { panic!("{error:?}") };
        assert_eq!(status, expected);
        assert_eq!(
            body,
            json!({"message": "Overloaded", "type": "overloaded_error", "param": null, "code": null})
        );
    }
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_before_a_byte_leaves() {
    let server = ScriptedProvider::start().await;
    let mut asked = call(false);
    asked.body["n"] = json!(3);
    let error = ask(&anthropic(&server), asked).await.expect_err("unsupported");
    assert!(error.to_string().starts_with("anthropic does not support n above 1"), "{error}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_stream_without_its_end_is_cut_off() {
    let server = ScriptedProvider::start().await;
    server
        .push(Reply::stream(vec![json!({"type": "message_start", "message": {"id": "m"}})], Duration::ZERO));
    let error = ask(&anthropic(&server), call(true)).await.expect_err("cut off");
    assert!(matches!(error, ProviderError::Garbled { .. }), "{error:?}");
}
