//! TLS that fails, and certificates that are none.

use std::io::Write as _;

use tappass_provider::{ProviderConfigError, ProviderError, openai::OpenAi};
use tappass_testkit::ScriptedProvider;

use crate::{ask, call, config};

/// A certificate of nobody's, valid in form: enough for a client that needs some root to start.
const ROOT: &str = include_str!("root.pem");

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_unreachable() {
    let server = ScriptedProvider::start().await;
    let mut ca = tempfile::NamedTempFile::new().expect("a file");
    ca.write_all(ROOT.as_bytes()).expect("written");
    let mut config = config(|_| {});
    config.ca_file = Some(ca.path().to_owned());
    let url = server.base_url().replace("http://", "https://");
    let provider = OpenAi::new(&url, Some("sk-secret-key-0001"), &config).expect("good settings");
    let error = ask(&provider, call(false)).await.expect_err("no TLS there");
    let ProviderError::Unreachable { reason, .. } = error else { panic!("{error:?}") };
    assert!(reason.starts_with("TLS failed"), "{reason}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_certificate_file_that_is_none_is_said() {
    let refused = |path: std::path::PathBuf| {
        let mut config = config(|_| {});
        config.ca_file = Some(path);
        match OpenAi::new("https://x.invalid/v1", None, &config) {
            Err(ProviderConfigError::CaFile { reason, .. }) => reason,
            _ => panic!("must be refused"),
        }
    };
    assert!(!refused("/no/such/file.pem".into()).is_empty());
    let empty = tempfile::NamedTempFile::new().expect("a file");
    assert_eq!(refused(empty.path().to_owned()), "it holds no certificate");
}
