//! The server with its port, from start to end.

use std::{net::SocketAddr, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::Method;
use tappass_server::{
    Config, Server, Setup, Storage,
    listen::{Connections, bind, holder_of},
    router::{Auth, Route},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tokio_util::task::TaskTracker;

use crate::client::{config, setup, with_routes};

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

#[tokio::test]
async fn a_stream_ends_in_peace_while_the_server_drains() {
    let (pieces, source) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    let source = std::sync::Arc::new(tokio::sync::Mutex::new(Some(source)));
    let handler = move || {
        let source = source.clone();
        async move {
            let source = source.lock().await.take().expect("asked once");
            Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(source))
        }
    };
    let gateway =
        with_routes(config(), vec![Route::new(Method::GET, "/stream", Auth::Open, handler, "Streams")]).await;
    let life = &gateway.app().clone().life;
    let listener = bind([127, 0, 0, 1].into(), 0).await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let connections = Connections::new(gateway.clone());
    let accepting = TaskTracker::new();
    accepting.spawn(connections.clone().accept(listener));

    let mut socket = open(addr, "/stream").await;
    pieces.send(Ok("one".into())).await.expect("open");
    read_until(&mut socket, "one").await;
    life.draining.cancel();
    accepting.close();
    accepting.wait().await;
    assert!(TcpStream::connect(addr).await.is_err(), "nothing new is accepted");
    assert!(!connections.drained(Duration::from_millis(20)).await, "the stream still runs");
    pieces.send(Ok("two".into())).await.expect("still open");
    drop(pieces);
    let rest = read_until(&mut socket, "\r\n0\r\n\r\n").await;
    assert!(rest.contains("two"), "{rest}");
    assert!(connections.drained(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_public_address_needs_secrets_and_strong_ones() {
    let public = |secrets: &'static [(&'static str, &'static str)]| async move {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = config();
        config.host = [0, 0, 0, 0].into();
        config.data_dir = dir.path().to_owned();
        let find = |name: &str| secrets.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let setup = Setup { env: std::sync::Arc::new(find), ..Setup::new(config) };
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
        let setup = Setup { env: std::sync::Arc::new(|_| None), ..Setup::new(config) };
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
