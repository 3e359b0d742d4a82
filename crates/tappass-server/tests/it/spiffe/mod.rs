//! Agents known by the SVIDs of their workloads: a real listener, real TLS, a Workload API that rotates.

mod absent;
mod files;
mod ids;
mod tokens;
mod x509;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
};
use serde_json::{Value, json};
use tappass_identity::Passwords;
use tappass_model::{Ids as _, Role, SystemIds};
use tappass_server::{
    App, Config, Federated, Gateway, Limits, Running, Server, Spiffe,
    router::{Auth, Route, table},
};
use tappass_store::{Credentials, User};
use tappass_testkit::spire::{Entry, Svid, TrustDomain, WorkloadApi};
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use crate::{
    client::{Answer, ask, config, send, setup},
    world::{PASSWORD, login},
};

pub const AUDIENCE: &str = "https://tappass.corp.example";
pub const HOUR: i64 = 3_600;

pub fn ours() -> Entry {
    Entry { path: Some("/tappass".to_owned()), expires_in: HOUR }
}

/// A gateway with an mTLS port, beside a SPIRE of its own, and two organisations with an agent `claims` each.
pub struct World {
    pub spire: WorkloadApi,
    pub running: Running,
    pub gateway: Gateway,
    pub client: Org,
    pub other: Org,
    /// Sends pieces into the answer of `GET /stream`.
    pub pieces: mpsc::Sender<Bytes>,
    _dir: TempDir,
}

pub struct Org {
    pub id: String,
    pub admin: String,
    pub key: String,
}

impl Org {
    async fn new(gateway: &Gateway, org_id: Uuid, name: &str) -> Self {
        let (store, now) = (&gateway.app().store, gateway.app().clock.now());
        let org = tappass_store::Org { org_id, name: name.to_owned(), created_at: now };
        store.orgs().create(&org).await.expect("an organisation");
        let email = format!("ciso@{name}.example");
        let user = User { user_id: SystemIds.uuid(), email: email.clone(), created_at: now };
        let password_hash = Passwords::default().hash(PASSWORD).await.expect("hashes");
        let new = Credentials { user, password_hash: Some(password_hash), email_verified: true };
        assert!(store.users().create(org_id, &new, Role::OrgAdmin).await.expect("an admin"));
        let admin = login(gateway, &email).await;
        let made =
            ask(gateway, &admin, Method::POST, "/agents/register", json!({"agent_id": "claims"})).await;
        let key = made.json()["api_key"].as_str().expect("a key").to_owned();
        Self { id: org_id.to_string(), admin, key }
    }

    /// The path of the id that an agent has by its names.
    pub fn path(&self, agent: &str) -> String {
        format!("/agent/{}/{agent}", self.id)
    }
}

/// A configuration for a Workload API at this address.
pub fn with_spiffe(endpoint: String, federation: Vec<Federated>) -> Config {
    let spiffe = Spiffe {
        endpoint_socket: Some(endpoint),
        mtls_port: Some(0),
        audience: vec![AUDIENCE.to_owned()],
        federation,
        ..Spiffe::default()
    };
    let limits = Limits { anonymous_per_minute: 1_000_000, ..Limits::default() };
    Config { spiffe, limits, ..config() }
}

/// Streams what is sent, to an agent.
fn stream_route(source: mpsc::Receiver<Bytes>) -> Route {
    let source = Arc::new(tokio::sync::Mutex::new(Some(source)));
    let handler = move || async move {
        let source = source.lock().await.take().expect("asked once");
        let pieces = futures_util::stream::unfold(source, async |mut source| {
            let piece = source.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(piece), source))
        });
        Body::from_stream(pieces)
    };
    Route::new(Method::GET, "/stream", Auth::Agent, handler, "Streams")
}

impl World {
    pub async fn new() -> Self {
        Self::federated(&[]).await
    }

    /// With trust domains that SPIRE federates with; of them, the first is accepted for the organisation `client`.
    pub async fn federated(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("agent.sock");
        let foreign = names.iter().map(|name| TrustDomain::new(name)).collect();
        let spire =
            WorkloadApi::start(&socket, TrustDomain::new("corp.example"), foreign, ours()).expect("listens");
        let (pieces, source) = mpsc::channel(4);
        let mut routes = table::routes();
        routes.push(stream_route(source));
        // The configuration that names an organisation is there before it.
        let client = SystemIds.uuid();
        let federation = names.first().map(|name| Federated {
            trust_domain: (*name).to_owned(),
            organisations: vec![client],
            bundle_file: None,
        });
        let setup = setup(with_spiffe(spire.address(), federation.into_iter().collect()));
        let running = Box::pin(Server::start_routes(setup, routes)).await.expect("starts");
        let gateway = Gateway::new(running.app.clone());
        let client = Org::new(&gateway, client, "client").await;
        let other = Org::new(&gateway, SystemIds.uuid(), "other").await;
        let world = Self { spire, running, gateway, client, other, pieces, _dir: dir };
        assert!(soon(async || world.app().svids.tls().is_some()).await, "no SVID for the gateway");
        world
    }

    pub fn app(&self) -> &App {
        &self.running.app
    }

    pub fn mtls(&self) -> SocketAddr {
        self.running.mtls_addr.expect("an mTLS port")
    }

    /// Connects as the workload of this path.
    pub async fn connect(&self, path: &str) -> Connection {
        let svid = self.spire.domain(|domain| domain.svid(path, HOUR));
        self.connect_with(Some(&svid)).await.expect("connects")
    }

    pub async fn connect_with(&self, svid: Option<&Svid>) -> Result<Connection, String> {
        Connection::open(self.mtls(), svid, &self.spire.domain(TrustDomain::x509_bundle)).await
    }

    /// A call with a bearer token.
    pub async fn call(&self, token: &str) -> Answer {
        ask(&self.gateway, token, Method::POST, "/v1/chat/completions", hello()).await
    }

    pub async fn change(&self, org: &Org, change: Value) -> Answer {
        ask(&self.gateway, &org.admin, Method::PATCH, "/agents/claims", change).await
    }

    pub async fn suspend(&self, org: &Org) {
        let done = ask(&self.gateway, &org.admin, Method::POST, "/agents/claims/suspend", Value::Null).await;
        assert_eq!(done.status, 200, "{done:?}");
    }

    /// How the newest call was authenticated, as the audit log says.
    pub async fn last_authentication(&self, org: &Org) -> (String, Value) {
        let log = ask(&self.gateway, &org.admin, Method::GET, "/audit?limit=20", Value::Null).await.json();
        let calls = log["items"].as_array().expect("events");
        let call = calls.iter().find(|e| e["event_type"] == "llm_call").expect("a call").clone();
        (call["agent_id"].as_str().expect("an agent").to_owned(), call["details"]["authentication"].clone())
    }

    /// The row of a check in `tappass status`, and what readiness says of it.
    pub async fn spire_status(&self) -> (Value, Answer) {
        let status =
            ask(&self.gateway, &self.client.admin, Method::GET, "/admin/status", Value::Null).await.json();
        let checks = status["checks"].as_array().expect("checks");
        let row = checks.iter().find(|check| check["name"] == "spire").expect("the row").clone();
        let ready = Request::builder().uri("/health/ready").body(Body::empty()).expect("a request");
        (row, send(&self.gateway, ready).await)
    }
}

/// Asks again until it is so, or a minute has passed: the Workload API's client pauses between its tries.
pub async fn soon<F: Future<Output = bool>>(mut so: impl FnMut() -> F) -> bool {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while std::time::Instant::now() < deadline {
        if so().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

pub fn hello() -> Value {
    json!({"model": "builtin", "messages": [{"role": "user", "content": "hello"}]})
}

/// A connection to the mTLS port.
pub struct Connection {
    sender: SendRequest<Body>,
    /// The certificate that the gateway showed.
    pub server: Vec<u8>,
    _task: JoinSet<hyper::Result<()>>,
}

impl Connection {
    /// With an SVID, or with none. The gateway must show a certificate that the bundle vouches for.
    pub async fn open(at: SocketAddr, svid: Option<&Svid>, bundle: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(bundle) {
            roots.add(certificate).expect("an authority");
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(ByBundle { roots, algorithms: provider.signature_verification_algorithms });
        let builder = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match svid {
            None => builder.with_no_client_auth(),
            Some(svid) => {
                let chain = vec![CertificateDer::from(svid.certificate.clone())];
                let key = PrivatePkcs8KeyDer::from(svid.key.clone());
                let key = provider.key_provider.load_private_key(key.into()).expect("a key");
                // Shown as it is, also with a key that is not the certificate's.
                let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        let socket = TcpStream::connect(at).await.map_err(|e| e.to_string())?;
        let name = ServerName::try_from("any.name.example").expect("a name");
        let tls = TlsConnector::from(Arc::new(config)).connect(name, socket);
        let tls = tls.await.map_err(|e| e.to_string())?;
        let server = tls.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec();
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(|e| e.to_string())?;
        let mut task = JoinSet::new();
        task.spawn(connection);
        Ok(Self { sender, server, _task: task })
    }

    /// The answer's body stays to be read.
    pub async fn request(
        &mut self,
        request: Request<Body>,
    ) -> Result<http::Response<hyper::body::Incoming>, String> {
        let answer = tokio::time::timeout(Duration::from_secs(20), self.sender.send_request(request));
        answer.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
    }

    /// A model call, with more headers.
    pub async fn call_with(&mut self, headers: &[(&str, &str)]) -> Result<(StatusCode, String), String> {
        let mut request = Request::post("/v1/chat/completions")
            .header("host", "x")
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.request(request.body(Body::from(hello().to_string())).expect("a request")).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    pub async fn call(&mut self) -> Result<(StatusCode, String), String> {
        self.call_with(&[]).await
    }
}

/// Splits certificates that stand one after the other (DER).
fn certificates(mut der: &[u8]) -> Vec<CertificateDer<'static>> {
    let mut all = Vec::new();
    // Each begins 30 82 and its length in two bytes.
    while let [0x30, 0x82, high, low, ..] = der {
        let (one, rest) = der.split_at(4 + usize::from(u16::from_be_bytes([*high, *low])));
        all.push(CertificateDer::from(one.to_vec()));
        der = rest;
    }
    assert!(der.is_empty(), "no certificate");
    all
}

/// A chain to the bundle, whatever the name: SVIDs have none that TLS knows.
#[derive(Debug)]
struct ByBundle {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ByBundle {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
