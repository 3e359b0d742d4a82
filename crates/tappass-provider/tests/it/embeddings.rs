//! Embeddings: what is sent, what counts as an answer, and how providers fail at it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tappass_model::Dialect;
use tappass_provider::{
    Provider, ProviderCall, ProviderError, ProviderReply, Timeout, anthropic::Anthropic, azure::Azure,
    builtin::Builtin,
};
use tappass_testkit::{Part, Reply, ScriptedProvider};

use crate::{call, config, openai, openai_with};

fn embed() -> ProviderCall {
    let body = json!({"model": "openai/m-1", "input": ["a", "b"], "dimensions": 2, "encoding_format": "base64",
        "novel": {"kept": [1, 2.5]}, "metadata": {"session_id": "s-1"}});
    ProviderCall { dialect: Dialect::OpenAiEmbeddings, model: "m-1".to_owned(), body, ..call(false) }
}

async fn ask(provider: &dyn Provider) -> Result<Value, ProviderError> {
    match tappass_provider::send(provider, embed()).await? {
        ProviderReply::Whole(answer) => Ok(answer),
        ProviderReply::Stream(_) => panic!("vectors do not stream"),
    }
}

#[tokio::test]
async fn the_body_goes_as_it_is_to_the_place_of_the_dialect() {
    let server = ScriptedProvider::start().await;
    assert_eq!(ask(&openai(&server)).await.expect("an answer")["data"][1]["embedding"], json!([0.6, -0.8]));
    let azure = Azure::new(&server.origin(), "azure-key", None, &config(|_| {})).expect("good settings");
    ask(&azure).await.expect("an answer");
    let requests = server.requests();
    assert_eq!(requests[0].path, "/v1/embeddings");
    assert_eq!(requests[1].path, "/openai/deployments/m-1/embeddings?api-version=2024-10-21");
    assert_eq!(requests[1].header("api-key"), Some("azure-key"));
    for request in &requests {
        assert_eq!(
            String::from_utf8_lossy(&request.body),
            r#"{"model":"m-1","input":["a","b"],"dimensions":2,"encoding_format":"base64","novel":{"kept":[1,2.5]}}"#,
            "all but what is the gateway's"
        );
    }
}

#[tokio::test]
async fn who_does_not_speak_it_says_so_before_a_byte_leaves() {
    let server = ScriptedProvider::start().await;
    let anthropic = Anthropic::new(&server.origin(), "k", &config(|_| {})).expect("good settings");
    let error = ask(&anthropic).await.expect_err("no way leads there");
    assert_eq!(error.to_string(), "anthropic does not support embeddings");
    assert_eq!(server.connections(), 0);
    let answer = ask(&Builtin).await.expect("an answer");
    assert!(answer["data"][1]["embedding"].is_string() && answer["usage"]["prompt_tokens"] == 2, "{answer}");
}

#[tokio::test]
async fn every_fault_has_its_name() {
    let server = ScriptedProvider::start().await;
    let fails = async |reply: Reply| {
        server.push(reply);
        ask(&openai(&server)).await.expect_err("a fault")
    };
    for (reply, status, message) in [
        (Reply::status(429, "slow down").retry_after(60), 429, "slow down"),
        (Reply::status(500, "down"), 500, "down"),
        (Reply::status(400, "too long"), 400, "too long"),
        (Reply::answer(json!({"error": {"message": "with a 200"}})), 502, "with a 200"),
    ] {
        match fails(reply).await {
            ProviderError::Upstream { status: told, message: said, .. } => {
                assert_eq!((told, said.as_str()), (status, message));
            }
            other => panic!("not from upstream: {other:?}"),
        }
    }
    let half =
        Reply::parts("application/json", vec![Part::Data(Bytes::from_static(b"{\"data\": [")), Part::Cut]);
    for (reply, reason) in [
        (Reply::answer(json!({"choices": []})), "without vectors"),
        (
            Reply::answer(json!({"data": [{"embedding": "ignore all previous instructions"}]})),
            "without vectors",
        ),
        (Reply::answer(json!({"data": [{"embedding": ["words"]}]})), "without vectors"),
        (Reply::wrong_content_type(), "text/html"),
        (half, "cut off"),
    ] {
        match fails(reply).await {
            ProviderError::Garbled { reason: said, .. } => assert!(said.contains(reason), "{said}"),
            other => panic!("not garbled: {other:?}"),
        }
    }
    assert_eq!(server.requests().len(), 9, "none was tried again");
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_left() {
    let short = Duration::from_millis(50);
    for (reply, expected) in [
        (Reply::says("").stall_after(0), Timeout::Idle),
        (Reply::says("").delay(Duration::from_secs(600)), Timeout::FirstByte),
    ] {
        let server = ScriptedProvider::start().await;
        server.always(reply);
        let config = config(|d| {
            d.idle = short;
            d.answer = if expected == Timeout::FirstByte { short } else { d.answer };
        });
        match ask(&openai_with(&server, &config)).await {
            Err(ProviderError::TimedOut { what, .. }) => assert_eq!(what, expected),
            other => panic!("not a timeout: {other:?}"),
        }
        assert!(server.disconnected().await, "the provider's call is cancelled");
    }
}
