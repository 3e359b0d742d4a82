//! The Workload API as SPIRE's agent serves it: what it gives to one workload, and how it refuses.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::UnixListener, sync::watch};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, transport::Server};

use super::{
    messages::{
        JwtBundlesResponse, JwtSvid, JwtSvidRequest, JwtSvidResponse, ValidateRequest, ValidateResponse,
        X509BundlesResponse, X509Svid, X509SvidResponse,
    },
    server::Service,
    trust_domain::{Svid, TrustDomain},
};

/// What is registered for the workload that asks. All that ask here are one workload.
#[derive(Clone)]
pub struct Entry {
    /// Its id's path in the trust domain, `/tappass`; none: no entry, it is refused.
    pub path: Option<String>,
    /// For how long its SVIDs hold, in seconds.
    pub expires_in: i64,
}

/// What the API gives at a time.
pub(super) struct Given {
    domain: TrustDomain,
    foreign: Vec<TrustDomain>,
    entry: Entry,
    svid: Option<Svid>,
}

impl Given {
    /// A new SVID by the newest keys, or none.
    fn issue(&mut self) {
        let expires_in = self.entry.expires_in;
        self.svid = self.entry.path.as_deref().map(|path| self.domain.svid(path, expires_in));
    }

    fn svid(&self) -> Result<&Svid, Status> {
        self.svid.as_ref().ok_or_else(|| Status::permission_denied("no identity issued"))
    }

    pub(super) fn x509_svids(&self) -> Result<X509SvidResponse, Status> {
        let svid = self.svid()?.clone();
        let svid = X509Svid {
            spiffe_id: svid.spiffe_id,
            x509_svid: svid.certificate,
            x509_svid_key: svid.key,
            bundle: self.domain.x509_bundle(),
        };
        let federated_bundles = self.foreign.iter().map(|f| (f.id(""), f.x509_bundle())).collect();
        Ok(X509SvidResponse { svids: vec![svid], federated_bundles })
    }

    pub(super) fn x509_bundles(&self) -> Result<X509BundlesResponse, Status> {
        self.svid()?;
        Ok(X509BundlesResponse { bundles: self.bundles(TrustDomain::x509_bundle) })
    }

    pub(super) fn jwt_bundles(&self) -> Result<JwtBundlesResponse, Status> {
        self.svid()?;
        Ok(JwtBundlesResponse {
            bundles: self.bundles(|domain| domain.jwk_set(false).to_string().into_bytes()),
        })
    }

    fn bundles(&self, of: impl Fn(&TrustDomain) -> Vec<u8>) -> HashMap<String, Vec<u8>> {
        [&self.domain].into_iter().chain(&self.foreign).map(|domain| (domain.id(""), of(domain))).collect()
    }

    pub(super) fn jwt_svid(&self, request: &JwtSvidRequest) -> Result<JwtSvidResponse, Status> {
        if request.audience.is_empty() || request.audience.iter().any(String::is_empty) {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        let spiffe_id = self.svid()?.spiffe_id.clone();
        if !request.spiffe_id.is_empty() && request.spiffe_id != spiffe_id {
            return Err(Status::permission_denied("no identity issued"));
        }
        let claims = serde_json::json!({"sub": spiffe_id, "aud": request.audience,
            "exp": super::now() + self.entry.expires_in, "iat": super::now()});
        let svid = self.domain.sign(&self.domain.header(), &claims);
        Ok(JwtSvidResponse { svids: vec![JwtSvid { spiffe_id, svid }] })
    }

    pub(super) fn validate(&self, request: &ValidateRequest) -> Result<ValidateResponse, Status> {
        if request.audience.is_empty() {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        self.svid()?;
        let mut domains = [&self.domain].into_iter().chain(&self.foreign);
        let found = domains.find_map(|domain| domain.subject_of(&request.svid, &request.audience));
        let spiffe_id = found.ok_or_else(|| Status::invalid_argument("the token is not valid"))?;
        Ok(ValidateResponse { spiffe_id })
    }
}

/// A Workload API on a Unix socket. It ends when dropped, and its open streams with it.
pub struct WorkloadApi {
    socket: PathBuf,
    given: Arc<Mutex<Given>>,
    /// Counts what has changed; streams send again when it does.
    changes: watch::Sender<u64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl WorkloadApi {
    /// Listens on this socket for a workload of the trust domain.
    ///
    /// # Errors
    /// When the socket cannot be had.
    pub fn start(
        socket: &Path,
        domain: TrustDomain,
        foreign: Vec<TrustDomain>,
        entry: Entry,
    ) -> io::Result<Self> {
        let mut given = Given { domain, foreign, entry, svid: None };
        given.issue();
        let mut api = Self {
            socket: socket.to_owned(),
            given: Arc::new(Mutex::new(given)),
            changes: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        api.resume()?;
        Ok(api)
    }

    /// Its address: `unix:///…`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Ends it: the socket goes, streams break.
    pub async fn pause(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let _ = std::fs::remove_file(&self.socket);
    }

    /// Listens (again).
    ///
    /// # Errors
    /// When the socket cannot be had.
    pub fn resume(&mut self) -> io::Result<()> {
        let incoming = UnixListenerStream::new(UnixListener::bind(&self.socket)?);
        (self.tasks, self.stop) = (TaskTracker::new(), CancellationToken::new());
        let service = Service {
            given: Arc::clone(&self.given),
            changes: self.changes.subscribe(),
            stop: self.stop.clone(),
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let _ = Server::builder()
                .serve_with_incoming_shutdown(service, incoming, stop.cancelled_owned())
                .await;
        });
        Ok(())
    }

    /// New keys, and an SVID by them; the old keys are still trusted.
    pub fn rotate(&self) {
        self.change(|given| given.domain.add_keys());
    }

    /// Trusts the newest keys only.
    pub fn drop_old_keys(&self) {
        self.change(|given| given.domain.drop_old_keys());
    }

    /// Registers the workload otherwise.
    pub fn register(&self, entry: Entry) {
        self.change(|given| given.entry = entry);
    }

    /// Federates with other trust domains than before.
    pub fn federate(&self, foreign: Vec<TrustDomain>) {
        self.change(|given| given.foreign = foreign);
    }

    fn change(&self, change: impl FnOnce(&mut Given)) {
        let mut given = self.given.lock();
        change(&mut given);
        given.issue();
        drop(given);
        self.changes.send_modify(|n| *n += 1);
    }

    /// Asks the trust domain: to sign what a workload of it would have.
    pub fn domain<R>(&self, ask: impl FnOnce(&TrustDomain) -> R) -> R {
        ask(&self.given.lock().domain)
    }

    /// The same of one that is federated with.
    pub fn foreign<R>(&self, name: &str, ask: impl FnOnce(&TrustDomain) -> R) -> R {
        let given = self.given.lock();
        ask(given.foreign.iter().find(|domain| domain.name == name).expect("a federated trust domain"))
    }

    /// The bundle for tokens as SPIRE writes it into a file.
    #[must_use]
    pub fn bundle_file(&self) -> Value {
        self.domain(|domain| domain.jwk_set(true))
    }
}

impl Drop for WorkloadApi {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
