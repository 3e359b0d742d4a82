//! Every way a provider can fail has its answer, and none of them hangs.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tappass_provider::{ProviderError, Timeout, openai::OpenAi};
use tappass_testkit::{Part, Reply, ScriptedProvider};

use crate::{ask, call, config, openai, openai_with, text};

const SHORT: Duration = Duration::from_millis(50);

async fn garbled(reply: Reply, stream: bool) -> String {
    let server = ScriptedProvider::start().await;
    server.always(reply);
    let error = ask(&openai(&server), call(stream)).await.expect_err("a fault");
    let ProviderError::Garbled { provider, reason } = error else { panic!("not garbled: {error:?}") };
    assert_eq!(provider, "openai");
    assert_eq!(server.requests().len(), 1, "never tried again");
    reason
}

#[tokio::test]
async fn garbage_is_named() {
    assert!(garbled(Reply::malformed_sse(), true).await.contains("no JSON"));
    assert!(garbled(Reply::wrong_content_type(), true).await.contains("text/html"));
    assert!(garbled(Reply::wrong_content_type(), false).await.contains("text/html"));
    assert!(garbled(Reply::invalid_utf8(), true).await.contains("UTF-8"));
    assert!(garbled(Reply::endless_line(), true).await.contains("an event of more than"));
    assert!(garbled(Reply::endless_stream(), true).await.contains("an answer of more than"));
    assert!(garbled(Reply::gzip_bomb(), false).await.contains("compressed"));
    assert!(garbled(Reply::redirect("http://127.0.0.1:1/"), false).await.contains("redirect"));
    assert!(garbled(Reply::answer(json!([1])), false).await.contains("no JSON object"));
    assert!(garbled(Reply::answer(json!({"x": 1})), false).await.contains("without choices"));
    let endless = vec![Part::Forever(Bytes::from(vec![b' '; 16_384]))];
    assert!(
        garbled(Reply::parts("application/json", endless), false).await.contains("an answer of more than")
    );
}

#[tokio::test]
async fn a_body_cut_off_is_no_answer() {
    for stream in [true, false] {
        let pieces = if stream { 2 } else { 0 };
        assert!(garbled(Reply::says("one two three").cut_after(pieces), stream).await.contains("cut off"));
        assert!(
            garbled(Reply::says("one two three").half_close_after(pieces), stream).await.contains("cut off")
        );
    }
    let ends_early = json!({"choices": [{"index": 0, "delta": {"content": "x"}}]});
    let data = Bytes::from(format!("data: {ends_early}\n\ndata: {{\"half"));
    assert!(
        garbled(Reply::parts("text/event-stream", vec![Part::Data(data)]), true).await.contains("cut off")
    );
    assert!(garbled(Reply::parts("x", vec![Part::Cut]).delay(SHORT), true).await.contains("x"));
}

#[tokio::test]
async fn utf8_split_between_chunks_is_whole_again() {
    let server = ScriptedProvider::start().await;
    let event = json!({"choices": [{"index": 0, "delta": {"content": "é€😀"}, "finish_reason": "stop"}]});
    let bytes = format!("data: {event}\n\n").into_bytes();
    let parts = bytes.iter().map(|b| Part::Data(Bytes::copy_from_slice(&[*b]))).collect();
    server.push(Reply::parts("text/event-stream", parts));
    assert_eq!(text(&ask(&openai(&server), call(true)).await.expect("an answer")), "é€😀");
}

async fn times_out(reply: Reply, config: &tappass_provider::http::HttpConfig, stream: bool) -> Timeout {
    let server = ScriptedProvider::start().await;
    server.always(reply);
    let error = ask(&openai_with(&server, config), call(stream)).await.expect_err("a fault");
    assert!(server.disconnected().await, "the provider's call is cancelled");
    assert_eq!(server.requests().len(), 1, "never tried again");
    match error {
        ProviderError::TimedOut { what, .. } => what,
        other => panic!("not a timeout: {other:?}"),
    }
}

#[tokio::test]
async fn each_deadline_is_kept() {
    let late = || Reply::says("late").delay(Duration::from_secs(600));
    assert_eq!(times_out(late(), &config(|d| d.first_byte = SHORT), true).await, Timeout::FirstByte);
    assert_eq!(times_out(late(), &config(|d| d.answer = SHORT), false).await, Timeout::FirstByte);
    for stream in [true, false] {
        assert_eq!(times_out(late(), &config(|d| d.total = SHORT), stream).await, Timeout::Total);
    }
    for stream in [true, false] {
        let stall = || Reply::says("one two three").stall_after(usize::from(stream));
        assert_eq!(times_out(stall(), &config(|d| d.idle = SHORT), stream).await, Timeout::Idle);
        assert_eq!(times_out(stall(), &config(|d| d.total = SHORT), stream).await, Timeout::Total);
    }
    // Never silent, and still never done.
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "x"}}]});
    let drip = Reply::stream(vec![chunk; 100_000], Duration::from_millis(5));
    assert_eq!(
        times_out(drip, &config(|d| d.total = Duration::from_millis(200)), true).await,
        Timeout::Total
    );
}

async fn unreachable(base_url: &str) -> String {
    let provider = OpenAi::new(base_url, Some("k"), &config(|_| {})).expect("good settings");
    match ask(&provider, call(false)).await {
        Err(ProviderError::Unreachable { reason, .. }) => reason,
        other => panic!("not unreachable: {other:?}"),
    }
}

#[tokio::test]
async fn no_connection_says_why() {
    let closed =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let refused = unreachable(&format!("http://{closed}/v1")).await;
    assert!(refused.contains("refused") && !refused.contains("127.0.0.1"), "{refused}");
    assert!(unreachable("http://no-such-host.invalid/v1").await.contains("resolved"));
}

fn upstream(error: ProviderError) -> (u16, String, Value, Option<Duration>) {
    match error {
        ProviderError::Upstream { status, message, body, retry_after, .. } => {
            (status, message, body, retry_after)
        }
        other => panic!("not from upstream: {other:?}"),
    }
}

#[tokio::test]
async fn errors_pass_on_with_status_and_message() {
    for stream in [true, false] {
        let server = ScriptedProvider::start().await;
        server.always(Reply::status(400, "too many tokens").retry_after(7));
        let (status, message, body, wait) =
            upstream(ask(&openai(&server), call(stream)).await.expect_err("an error"));
        assert_eq!((status, message.as_str(), wait), (400, "too many tokens", Some(Duration::from_secs(7))));
        assert_eq!(
            body,
            json!({"message": "too many tokens", "type": "scripted_error", "param": null, "code": null})
        );
    }
}

#[tokio::test]
async fn odd_errors_pass_on_too() {
    let server = ScriptedProvider::start().await;
    let mut page = Reply::wrong_content_type();
    for (reply, expected) in [
        (
            Reply::status(401, "Incorrect key sk-secret-key-0001 or sk-s******0001, sorry"),
            "Incorrect key [key] or [key] sorry",
        ),
        (Reply::answer(json!({"error": {"message": "with a 200"}})), "with a 200"),
        (std::mem::replace(&mut page, Reply::says("")).status_code(500), "Internal Server Error"),
        (Reply::answer(json!({"error": "plain text"})).status_code(404), "plain text"),
        (Reply::answer(json!({"detail": "as FastAPI does"})).status_code(422), "as FastAPI does"),
    ] {
        server.push(reply);
        assert_eq!(upstream(ask(&openai(&server), call(false)).await.expect_err("an error")).1, expected);
    }
    server.push(Reply::stream(
        vec![json!({"error": {"message": "mid-stream", "type": "server_error"}})],
        Duration::ZERO,
    ));
    assert_eq!(upstream(ask(&openai(&server), call(true)).await.expect_err("an error")).1, "mid-stream");
}

#[tokio::test]
async fn tries_again_where_it_is_safe_and_helps() {
    for (first, tries) in [
        (Reply::status(503, "x"), 2),
        (Reply::status(502, "x"), 2),
        (Reply::status(429, "x").header("retry-after-ms", "10"), 2),
        (Reply::status(429, "x").retry_after(60), 1),
        (Reply::status(429, "x"), 1),
        (Reply::status(500, "x"), 1),
        (Reply::status(504, "x"), 1),
        (Reply::status(400, "x"), 1),
        (Reply::says("one two").cut_after(0), 1),
    ] {
        let server = ScriptedProvider::start().await;
        server.push(first);
        let answer = ask(&openai(&server), call(false)).await;
        assert_eq!((server.requests().len(), answer.is_ok()), (tries, tries == 2), "{answer:?}");
    }
}

#[tokio::test]
async fn retries_stay_within_a_fifth_of_the_calls() {
    let server = ScriptedProvider::start().await;
    server.always(Reply::status(503, "down").header("retry-after-ms", "1"));
    let provider = openai(&server);
    for _ in 0..50 {
        assert_eq!(upstream(ask(&provider, call(false)).await.expect_err("an error")).0, 503);
    }
    assert_eq!(server.requests().len(), 60);
}

#[tokio::test]
async fn a_redirect_does_not_take_the_key_elsewhere() {
    let thief = ScriptedProvider::start().await;
    let server = ScriptedProvider::start().await;
    server.always(Reply::redirect(&thief.base_url()));
    for stream in [true, false] {
        ask(&openai(&server), call(stream)).await.expect_err("a redirect is no answer");
    }
    assert_eq!((server.requests().len(), thief.connections()), (2, 0));
}
