//! The chat dialect: what is sent, what comes back, which connection and key are used.

use futures_util::StreamExt;
use serde_json::json;
use tappass_provider::{Provider, ProviderReply, azure::Azure};
use tappass_testkit::{Part, Reply, ScriptedProvider};

use crate::{ask, call, config, openai, text};

#[tokio::test]
async fn answers_whole_and_streamed() {
    let server = ScriptedProvider::start().await;
    let provider = openai(&server);
    for stream in [false, true] {
        let answer = ask(&provider, call(stream)).await.expect("an answer");
        assert_eq!(text(&answer), "Hello from the scripted provider.");
        assert_eq!((answer.usage.prompt_tokens, answer.usage.completion_tokens), (10, 5));
        assert_eq!(answer.model, "gpt-x");
    }
}

#[tokio::test]
async fn sends_the_body_with_the_bare_model_and_asks_for_usage() {
    let server = ScriptedProvider::start().await;
    let mut asked = call(true);
    asked.body["novel"] = json!({"kept": [1, 2.5, "x"]});
    asked.body["stream_options"] = json!({"include_obfuscation": false});
    asked.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    ask(&openai(&server), asked).await.expect("an answer");
    let request = server.last_request().expect("one request");
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(
        request.json(),
        json!({"model": "gpt-x", "stream": true, "messages": [{"role": "user", "content": "hi"}],
            "novel": {"kept": [1, 2.5, "x"]},
            "stream_options": {"include_obfuscation": false, "include_usage": true}})
    );
    assert_eq!(request.header("authorization"), Some("Bearer sk-secret-key-0001"));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    assert!(request.header("traceparent").is_some_and(|t| t.starts_with("00-0af7")));
}

#[tokio::test]
async fn one_connection_serves_call_after_call() {
    let server = ScriptedProvider::start().await;
    let provider = openai(&server);
    for stream in [false, true, true, false] {
        ask(&provider, call(stream)).await.expect("an answer");
    }
    assert_eq!((server.requests().len(), server.connections()), (4, 1));
}

#[tokio::test]
async fn dropping_the_stream_cancels_the_call() {
    let server = ScriptedProvider::start().await;
    server.push(Reply::chat_stream(&["one ", "two ", "three"]).stall_after(2));
    let reply = openai(&server).send(call(true)).await.expect("a stream");
    let ProviderReply::Stream(mut stream) = reply else { panic!("not a stream") };
    let first = stream.next().await.expect("a chunk").expect("a good one");
    assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(server.disconnects(), 0);
    drop(stream);
    assert!(server.disconnected().await);
}

#[tokio::test]
async fn dropping_the_call_before_an_answer_cancels_it() {
    let server = ScriptedProvider::start().await;
    server.push(Reply::says("late").delay(std::time::Duration::from_secs(600)));
    let provider = openai(&server);
    tokio::select! {
        _ = provider.send(call(false)) => panic!("no answer was to come"),
        arrived = server.received(1) => assert!(arrived),
    }
    assert!(server.disconnected().await);
}

#[tokio::test]
async fn a_stream_without_done_is_whole_once_a_choice_has_ended() {
    let server = ScriptedProvider::start().await;
    let chunk = json!({"model": "m", "choices": [{"index": 0, "delta": {"content": "all"}, "finish_reason": "stop"}]});
    let data = bytes::Bytes::from(format!("data: {chunk}\n\n"));
    server.push(Reply::parts("text/event-stream; charset=utf-8", vec![Part::Data(data)]));
    assert_eq!(text(&ask(&openai(&server), call(true)).await.expect("an answer")), "all");
}

#[tokio::test]
async fn azure_has_its_own_address_and_header() {
    let server = ScriptedProvider::start().await;
    let azure = Azure::new(&server.origin(), "azure-key", None, &config(|_| {})).expect("good settings");
    let mut asked = call(false);
    asked.model = "my-deployment".to_owned();
    ask(&azure, asked.clone()).await.expect("an answer");
    let request = server.last_request().expect("one request");
    assert_eq!(request.path, "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21");
    assert_eq!(request.header("api-key"), Some("azure-key"));
    assert_eq!(request.header("authorization"), None);
    for evil in ["../../other", "a/b", "a?x=1", "..", ""] {
        asked.model = evil.to_owned();
        assert!(ask(&azure, asked.clone()).await.is_err(), "{evil}");
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_connection_the_provider_closed_meanwhile_costs_no_call() {
    let server = ScriptedProvider::start().await;
    let body = json!({"model": "m", "choices": [{"message": {"content": "bye"}}]}).to_string();
    // A whole answer, and then the provider closes: its idle connections live shorter than ours.
    let parts = vec![Part::Data(body.into()), Part::Raw("0\r\n\r\n".into()), Part::Cut];
    server.always(Reply::parts("application/json", parts));
    let provider = openai(&server);
    for _ in 0..20 {
        assert_eq!(text(&ask(&provider, call(false)).await.expect("an answer")), "bye");
    }
    assert_eq!((server.requests().len(), server.connections()), (20, 20));
}
