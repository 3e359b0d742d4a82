//! TLS: whom the client trusts, and what it says where it cannot.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tappass_provider::{ProviderConfigError, ProviderError, Timeout, http::HttpConfig, openai::OpenAi};
use tappass_testkit::ScriptedProvider;

use crate::{ask, call, config, text};

fn certificate(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/certificates").join(name)
}

fn trusting(name: &str) -> HttpConfig {
    HttpConfig { ca_file: Some(certificate(name)), ..config(|_| {}) }
}

/// Answers one connection over TLS as `localhost`, from a thread of its own; the thread gives what it was asked.
fn tls_server() -> (SocketAddr, std::thread::JoinHandle<String>) {
    let chain = CertificateDer::pem_file_iter(certificate("localhost.pem")).expect("a file");
    let key = PrivateKeyDer::from_pem_file(certificate("localhost.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.map(|one| one.expect("a certificate")).collect(), key)
        .expect("a pair");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let settings = Arc::new(settings);
    let serve = move || {
        // A client that trusts nobody here comes twice: connecting is tried again.
        for socket in listener.incoming().take(2).flatten() {
            let server = ServerConnection::new(Arc::clone(&settings)).expect("settings fit");
            let mut stream = StreamOwned::new(server, socket);
            let mut asked = vec![0; 4096];
            let Ok(length) = stream.read(&mut asked) else { continue };
            let body = r#"{"model":"m","choices":[{"message":{"content":"over TLS"}}]}"#;
            let head =
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length:";
            let _ = write!(stream, "{head} {}\r\n\r\n{body}", body.len());
            return String::from_utf8_lossy(&asked[..length]).into_owned();
        }
        String::new()
    };
    (address, std::thread::spawn(serve))
}

fn provider(address: SocketAddr, config: &HttpConfig) -> OpenAi {
    let url = format!("https://localhost:{}/v1", address.port());
    OpenAi::new(&url, Some("sk-secret-key-0001"), config).expect("good settings")
}

#[tokio::test]
async fn a_certificate_file_adds_an_authority() {
    let (address, server) = tls_server();
    let answer = ask(&provider(address, &trusting("root.pem")), call(false)).await.expect("an answer");
    assert_eq!(text(&answer), "over TLS");
    assert!(server.join().expect("served").contains("Bearer sk-secret-key-0001"));
}

#[tokio::test]
async fn an_unknown_authority_gets_no_request() {
    let (address, server) = tls_server();
    let error =
        ask(&provider(address, &trusting("stranger.pem")), call(false)).await.expect_err("not trusted");
    let ProviderError::Unreachable { reason, .. } = error else { panic!("{error:?}") };
    assert!(reason.contains("TLS failed") && reason.contains("certificate"), "{reason}");
    assert_eq!(server.join().expect("served"), "");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_unreachable() {
    let server = ScriptedProvider::start().await;
    let error =
        ask(&provider(server.address(), &trusting("root.pem")), call(false)).await.expect_err("no TLS");
    let ProviderError::Unreachable { reason, .. } = error else { panic!("{error:?}") };
    assert!(reason.starts_with("TLS failed"), "{reason}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_shakes_no_hand_times_out() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut config = trusting("root.pem");
    config.deadlines.connect = Duration::from_millis(50);
    let error =
        ask(&provider(silent.local_addr().expect("bound"), &config), call(false)).await.expect_err("silence");
    assert!(matches!(error, ProviderError::TimedOut { what: Timeout::Connect, .. }), "{error:?}");
}

#[test]
fn a_certificate_file_that_is_none_is_said() {
    let refused = |path: PathBuf| {
        let config = HttpConfig { ca_file: Some(path), ..config(|_| {}) };
        match OpenAi::new("https://x.invalid/v1", None, &config) {
            Err(ProviderConfigError::CaFile { reason, .. }) => reason,
            _ => panic!("must be refused"),
        }
    };
    assert!(!refused("/no/such/file.pem".into()).is_empty());
    assert_eq!(refused(certificate("localhost.key")), "it holds no certificate");
}
