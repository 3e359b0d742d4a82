//! Promise 11 through the front door: told to stop, the server lets streams finish within the grace period, gives
//! the rest their last words, and seals the log.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    sync::mpsc::{Sender, channel},
    time::Instant,
};

use reqwest::Response;
use serde_json::{Value, json};
use tappass_store::{Store, StoreConfig};
use tappass_testkit::{Reply, ScriptedProvider};

use crate::{
    gateway::{Gateway, pause},
    support::DEADLINE,
};

fn chunk(text: &str, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": finish});
    format!("data: {}\n\n", json!({"id": "c", "model": "m", "choices": [choice]}))
}

/// A provider that answers one call with half a stream, and the other half when told to.
fn in_two_halves() -> (String, Sender<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let base = format!("http://{}/v1", listener.local_addr().expect("bound"));
    let (go_on, told) = channel();
    drop(std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a call");
        let mut asked = Vec::new();
        while !asked.ends_with(b"}") {
            let mut piece = [0; 4096];
            let n = socket.read(&mut piece).expect("a request");
            asked.extend_from_slice(&piece[..n]);
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let first = head.to_owned() + &chunk("before. ", None);
        socket.write_all(first.as_bytes()).expect("it listens");
        told.recv().expect("told to go on");
        let second = chunk("after.", Some("stop")) + "data: [DONE]\n\n";
        socket.write_all(second.as_bytes()).expect("it listens");
    }));
    (base, go_on)
}

/// Reads on until the text has come.
async fn read_until(answer: &mut Response, text: &str, so_far: &mut String) {
    while !so_far.contains(text) {
        let piece = answer.chunk().await.expect("the stream goes on").expect("more");
        so_far.push_str(&String::from_utf8_lossy(&piece));
    }
}

/// The log as it stands on the disk, without a server: every event of it is signed for. `before` is a verdict of the
/// server's. Gives the last event.
async fn sealed(gateway: &Gateway, before: &Value) -> Value {
    let dir = gateway.home.path(".tappass/data");
    let store = Store::connect(&StoreConfig::Local { dir }).await.expect("a store");
    let org_id = before["org_id"].as_str().expect("an id").parse().expect("a UUID");
    let keys = vec![before["public_key"].as_str().expect("a key").to_owned()];
    let report = tappass_audit::verify_store(&store, org_id, keys, Vec::new()).await.expect("a report");
    assert!(report.ok && report.checkpoints > 0 && report.unsealed_tail == 0, "{report:?}");
    let last = store.audit().range(org_id, report.events - 1, 1).await.expect("rows");
    store.close().await;
    serde_json::from_str(&last[0].body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_finishes_while_nothing_new_is_accepted() {
    let (base, go_on) = in_two_halves();
    let mut gateway =
        Gateway::signed_up(&[], &[("OPENAI_BASE_URL", &base), ("OPENAI_API_KEY", "sk-none")]).await;
    let key = gateway.agent("claims-processor", "enforce").await;
    let before = gateway.verified().await;
    let call = gateway.chat(&key, "hi", &json!({"model": "openai/m", "stream": true}));
    let mut answer = call.header("x-request-id", "the-last-one").send().await.expect("an answer");
    let mut text = String::new();
    read_until(&mut answer, "before.", &mut text).await;

    gateway.terminate();
    let address = gateway.home.url.strip_prefix("http://").expect("plain").to_owned();
    let begun = Instant::now();
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(begun.elapsed() < DEADLINE, "new connections are accepted still");
        pause().await;
    }
    go_on.send(()).expect("the provider waits");
    read_until(&mut answer, "data: [DONE]\n\n", &mut text).await;
    assert!(text.contains("after.") && text.contains(r#""finished":true"#), "{text}");
    assert!(gateway.ended().await.success());

    let last = sealed(&gateway, &before).await;
    assert_eq!(
        (&last["event_type"], &last["details"]["request_id"]),
        (&"llm_call".into(), &"the-last-one".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_outlasts_the_grace_is_told_and_recorded() {
    let provider = ScriptedProvider::start().await;
    provider.always(Reply::says("This will not come to its end.").stall_after(3));
    let settings = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&settings, "[server.limits]\ndrain_ms = 200\n").expect("written");
    let file = settings.path().to_str().expect("UTF-8");
    let base = provider.base_url();
    let variables = [("OPENAI_BASE_URL", base.as_str()), ("OPENAI_API_KEY", "sk-none")];
    let mut gateway = Gateway::signed_up(&["--config", file], &variables).await;
    let key = gateway.agent("claims-processor", "enforce").await;
    let before = gateway.verified().await;
    let call = gateway.chat(&key, "hi", &json!({"model": "openai/m", "stream": true}));
    let mut answer = call.header("x-request-id", "cut-short").send().await.expect("an answer");
    let mut text = String::new();
    read_until(&mut answer, "This", &mut text).await;

    gateway.terminate();
    read_until(&mut answer, "data: [DONE]\n\n", &mut text).await;
    assert!(text.contains(r#""error":{"#) && text.contains("shutting down"), "{text}");
    assert!(gateway.ended().await.success() && provider.disconnected().await);

    let last = sealed(&gateway, &before).await;
    assert_eq!(
        (&last["event_type"], &last["details"]["request_id"]),
        (&"llm_call".into(), &"cut-short".into())
    );
    assert!(
        last["details"]["provider_error"].as_str().is_some_and(|e| e.contains("shutting down")),
        "{last}"
    );
}
