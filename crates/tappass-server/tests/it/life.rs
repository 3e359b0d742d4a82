//! The server with its ports, from start to end.

mod license;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::State};
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use tappass_server::{
    App, Config, Running, Server, Setup, Storage,
    listen::{bind, holder_of},
    router::{Auth, Route},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::client::{config, setup};

async fn open(addr: SocketAddr, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(addr).await.expect("connects");
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("written");
    socket
}

/// What comes until the other side closes or `until` has come.
async fn read_until(socket: &mut TcpStream, until: &str) -> String {
    let mut text = String::new();
    let mut piece = [0; 1024];
    let reading = async {
        loop {
            let n = socket.read(&mut piece).await.expect("reads");
            text.push_str(&String::from_utf8_lossy(&piece[..n]));
            if n == 0 || text.contains(until) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("in time");
    text
}

#[tokio::test]
async fn answers_as_soon_as_it_has_started_and_ends_when_told() {
    let running = Server::start_with(setup(config())).await.expect("starts");
    let mut socket = open(running.addr, "/v1/health").await;
    let text = read_until(&mut socket, "}").await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("healthy"), "{text}");
    let addr = running.addr;
    tokio::time::timeout(Duration::from_secs(10), running.shutdown())
        .await
        .expect("an idle connection does not hold it up");
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_names_the_process() {
    let first = bind([127, 0, 0, 1].into(), 0).await.expect("a free port");
    let port = first.local_addr().expect("an address").port();
    let error = bind([127, 0, 0, 1].into(), port).await.expect_err("in use").to_string();
    let me = std::process::id();
    assert!(error.contains(&format!("port {port}")) && error.contains(&format!("process {me}")), "{error}");
    drop(first);
    assert_eq!(holder_of(port), None);
}

/// A stream of what `pieces` sends, that says so when the server ends it.
fn streaming(drain_ms: u64) -> (mpsc::Sender<Bytes>, impl Future<Output = Running>) {
    let (pieces, source) = mpsc::channel::<Bytes>(4);
    let source = Arc::new(tokio::sync::Mutex::new(Some(source)));
    let handler = move |State(app): State<App>| {
        let source = source.clone();
        async move {
            let source = source.lock().await.take().expect("asked once");
            let ending = app.life.ending.clone();
            let stream = stream::unfold(Some(source), move |source| {
                let ending = ending.clone();
                async move {
                    let mut source = source?;
                    tokio::select! {
                        piece = source.recv() => Some((Ok::<_, std::io::Error>(piece?), Some(source))),
                        () = ending.cancelled() => Some((Ok("cut short".into()), None)),
                    }
                }
            });
            Body::from_stream(stream)
        }
    };
    let route = Route::new(Method::GET, "/stream", Auth::Open, handler, "Streams");
    let mut config = config();
    config.limits.drain_ms = drain_ms;
    let running = async move { Server::start_routes(setup(config), vec![route]).await.expect("starts") };
    (pieces, running)
}

async fn refused(addr: SocketAddr) {
    let trying = async { while TcpStream::connect(addr).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), trying).await.expect("nothing new is accepted");
}

#[tokio::test]
async fn a_stream_ends_in_peace_while_the_server_drains() {
    let (pieces, running) = streaming(60_000);
    let running = running.await;
    let addr = running.addr;
    let mut socket = open(addr, "/stream").await;
    pieces.send("one".into()).await.expect("open");
    read_until(&mut socket, "one").await;
    let client = async {
        refused(addr).await;
        pieces.send("two".into()).await.expect("still open");
        drop(pieces);
        read_until(&mut socket, "\r\n0\r\n\r\n").await
    };
    let (rest, ()) = tokio::join!(client, running.shutdown());
    assert!(rest.contains("two") && !rest.contains("cut short"), "{rest}");
}

#[tokio::test]
async fn a_stream_that_outlasts_the_grace_gets_its_last_words() {
    let (pieces, running) = streaming(50);
    let running = running.await;
    let mut socket = open(running.addr, "/stream").await;
    pieces.send("one".into()).await.expect("open");
    read_until(&mut socket, "one").await;
    let (rest, ()) = tokio::join!(read_until(&mut socket, "\r\n0\r\n\r\n"), running.shutdown());
    assert!(rest.contains("cut short"), "{rest}");
}

#[tokio::test]
async fn a_public_address_needs_secrets_and_strong_ones() {
    let public = |secrets: &'static [(&'static str, &'static str)]| async move {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = config();
        config.host = [0, 0, 0, 0].into();
        config.data_dir = dir.path().to_owned();
        let find = |name: &str| secrets.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let setup = Setup { env: Arc::new(find), ..Setup::new(config) };
        let error = Server::start_with(setup).await.err().map(|e| format!("{e:#}"));
        assert!(std::fs::read_dir(dir.path()).expect("readable").next().is_none(), "nothing was made");
        error.expect("refused")
    };
    let missing = public(&[]).await;
    for name in ["0.0.0.0", "TAPPASS_ADMIN_API_KEY", "TAPPASS_JWT_SECRET", "TAPPASS_VAULT_KEY"] {
        assert!(missing.contains(name), "{missing}");
    }
    let weak = public(&[
        ("TAPPASS_ADMIN_API_KEY", "changeme"),
        ("TAPPASS_JWT_SECRET", "Vw8uK2xR5nQ1tJ7mE4yB9zL6cG3hD0sA"),
        ("TAPPASS_VAULT_KEY", "q83vEjRWeJq8N94SNFZ4mrze8BI0VniavN7wEjRWeJo="),
    ])
    .await;
    assert!(weak.contains("TAPPASS_ADMIN_API_KEY") && !weak.contains("changeme"), "{weak}");
}

#[tokio::test]
async fn missing_secrets_are_made_on_loopback_and_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = || async {
        let config = Config { storage: Storage::Local, data_dir: dir.path().join("data"), ..config() };
        let setup = Setup { env: Arc::new(|_| None), ..Setup::new(config) };
        Server::start_with(setup).await.expect("starts")
    };
    let first = start().await;
    assert_eq!(first.created.len(), 3);
    first.shutdown().await;
    let second = start().await;
    assert!(second.created.is_empty());
    second.shutdown().await;
}

#[tokio::test]
async fn a_body_too_large_is_answered_and_not_reset() {
    let running = Server::start_with(setup(config())).await.expect("starts");
    let mut socket = TcpStream::connect(running.addr).await.expect("connects");
    let size = 6 * 1024 * 1024;
    let head = format!(
        "POST /auth/signup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.expect("written");
    socket.write_all(&vec![b'x'; size]).await.expect("taken to its end");
    let text = read_until(&mut socket, "request_id").await;
    assert!(text.starts_with("HTTP/1.1 413") && text.contains("body_too_large"), "{text}");
    drop(socket);
    running.shutdown().await;
}
