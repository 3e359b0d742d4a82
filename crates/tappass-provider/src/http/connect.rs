//! A connection to the one host of a provider: TCP without delay, TLS where the base URL says `https`, through the
//! proxy that the environment names for it.

use std::{error::Error, io, path::Path, sync::Arc, time::Duration};

use http::Uri;
use hyper_util::client::{
    legacy::connect::{HttpConnector, proxy::Tunnel},
    proxy::matcher::Matcher,
};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;

use crate::router::ProviderConfigError;

/// After how much silence TCP asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Makes connections to one host.
pub(super) struct Connector {
    base: Uri,
    tcp: HttpConnector,
    /// The way through a proxy, where there is one.
    tunnel: Option<Tunnel<HttpConnector>>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What a connection is.
pub(super) enum Socket {
    /// In the clear.
    Plain(TcpStream),
    /// Encrypted, the host's certificate checked.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connector {
    /// For the host of `base`. Certificates of `ca_file` are trusted beside the operating system's.
    pub(super) fn new(
        provider: &str,
        base: &Uri,
        ca_file: Option<&Path>,
        proxies: &Matcher,
    ) -> Result<Self, ProviderConfigError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.enforce_http(false);
        // In the clear no proxy may see the key; encrypted, it sees only where we go.
        if base.scheme_str() != Some("https") {
            return Ok(Self { base: base.clone(), tcp, tunnel: None, tls: None });
        }
        let bad_base = || ProviderConfigError::BaseUrl { provider: provider.to_owned() };
        let host = base.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| bad_base())?;
        let tunnel = match proxies.intercept(base) {
            None => None,
            Some(proxy) if proxy.uri().scheme_str() == Some("http") => {
                let tunnel = Tunnel::new(proxy.uri().clone(), tcp.clone());
                Some(match proxy.basic_auth() {
                    Some(auth) => tunnel.with_auth(auth.clone()),
                    None => tunnel,
                })
            }
            Some(_) => return Err(ProviderConfigError::Proxy),
        };
        let tls = Some((TlsConnector::from(Arc::new(tls_config(ca_file)?)), name));
        Ok(Self { base: base.clone(), tcp, tunnel, tls })
    }

    /// Connects.
    ///
    /// # Errors
    /// Why not, without naming an address.
    pub(super) async fn connect(&self) -> Result<Socket, String> {
        let tcp = match &self.tunnel {
            Some(tunnel) => tunnel
                .clone()
                .call(self.base.clone())
                .await
                .map_err(|e| format!("by way of the environment's proxy: {}", why(&e))),
            None => self.tcp.clone().call(self.base.clone()).await.map_err(|e| why(&e)),
        }?
        .into_inner();
        match &self.tls {
            None => Ok(Socket::Plain(tcp)),
            Some((connector, name)) => match connector.connect(name.clone(), tcp).await {
                Ok(stream) => Ok(Socket::Tls(Box::new(stream))),
                Err(error) => Err(format!(
                    "TLS failed: {}",
                    causes(&error).last().map_or_else(String::new, ToString::to_string)
                )),
            },
        }
    }
}

/// HTTP/1.1 over TLS 1.2 or 1.3, trusting the operating system's authorities and those of `ca_file`.
fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, ProviderConfigError> {
    let own = ca_file.map(authorities).transpose()?.unwrap_or_default();
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let no_client = |error: rustls::Error| ProviderConfigError::Client { reason: error.to_string() };
    let verifier = Verifier::new_with_extra_roots(own, Arc::clone(&crypto)).map_err(no_client)?;
    let mut config = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .map_err(no_client)?
        .dangerous() // what rustls calls every verifier that is not its own list of roots
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificates of a PEM file; at least one.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, ProviderConfigError> {
    let bad = |reason: String| ProviderConfigError::CaFile { path: path.display().to_string(), reason };
    let pem = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| bad("it is not PEM".to_owned()))?;
    if certificates.is_empty() {
        return Err(bad("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// Why there is no TCP connection, without naming an address.
fn why(error: &(dyn Error + 'static)) -> String {
    let refused = causes(error)
        .filter_map(|e| e.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    let unknown = causes(error).any(|e| e.to_string().contains("dns error"));
    match (unknown, refused) {
        (true, _) => "its name cannot be resolved".to_owned(),
        (_, true) => "the connection was refused".to_owned(),
        _ => "the connection failed".to_owned(),
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next.take()?;
        next = error.source();
        Some(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    fn refused(proxies: &Matcher) -> Option<ProviderConfigError> {
        Connector::new("openai", &Uri::from_static("https://api.invalid/v1"), None, proxies).err()
    }

    #[tokio::test]
    async fn https_goes_through_the_proxy_and_http_does_not() {
        let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = proxy.local_addr().expect("bound");
        let proxies = Matcher::builder().all(format!("http://user:pass@{address}")).build();
        let asked = std::thread::spawn(move || {
            let (mut socket, _) = proxy.accept().expect("a client");
            let mut head = [0; 1024];
            let length = socket.read(&mut head).expect("a request");
            socket.write_all(b"HTTP/1.1 502 No\r\n\r\n").expect("an answer");
            String::from_utf8_lossy(&head[..length]).into_owned()
        });
        let base = Uri::from_static("https://api.invalid/v1");
        let connector = Connector::new("openai", &base, None, &proxies).expect("good settings");
        let reason = connector.connect().await.err().expect("no tunnel");
        assert!(reason.contains("proxy") && !reason.contains("127.0.0.1"), "{reason}");
        let head = asked.join().expect("served").to_lowercase();
        assert!(
            head.starts_with("connect api.invalid:443 ") && head.contains("proxy-authorization"),
            "{head}"
        );

        let base = Uri::from_static("http://api.invalid/v1");
        let connector = Connector::new("openai", &base, None, &proxies).expect("good settings");
        assert_eq!(connector.connect().await.err().as_deref(), Some("its name cannot be resolved"));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_said() {
        assert_eq!(
            refused(&Matcher::builder().all("socks5://127.0.0.1:1").build()),
            Some(ProviderConfigError::Proxy)
        );
        let not_ours = Matcher::builder().all("socks5://127.0.0.1:1").no("api.invalid").build();
        assert_eq!(refused(&not_ours), None);
    }
}
