//! The connection to the Workload API: made, lost, made again.

use std::{sync::Arc, time::Duration};

use rustls::ServerConfig;
use spiffe::{JwtSource, TrustDomain, X509Source};
use spiffe_rustls::{AllowList, mtls_server};
use tokio_util::sync::CancellationToken;

use super::Svids;

/// How long one try may take, and how soon the next follows at the latest.
const TRY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often bundles in files are looked at.
const FILES_EVERY: Duration = Duration::from_secs(5);

/// What the Workload API gives, kept up to date: both connect again by themselves.
pub struct Sources {
    /// Sets this connection apart from those before it.
    pub number: u64,
    /// Our trust domain, as our SVID says it.
    pub trust_domain: TrustDomain,
    /// Our SVID, and bundles for others' certificates.
    pub x509: X509Source,
    /// Bundles for tokens.
    pub jwt: JwtSource,
    /// See [`Svids::tls`].
    pub tls: Arc<ServerConfig>,
}

impl Svids {
    /// Connects to the Workload API as soon as it is there, and reads files again, until told to stop.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            ((), ()) = async { tokio::join!(self.connect(), self.watch_files()) } => {}
        }
        // Their tasks end with them.
        self.sources.write().take();
    }

    async fn connect(&self) {
        let Some(endpoint) = &self.config.endpoint else { return };
        let mut pause = FIRST_PAUSE;
        for number in 1.. {
            match self.sources(endpoint, number).await {
                Ok(sources) => {
                    let id = sources.x509.svid().map(|svid| svid.spiffe_id().to_string()).unwrap_or_default();
                    tracing::info!(%id, endpoint, "the Workload API has given an SVID");
                    let mut updates = sources.x509.updated();
                    *self.sources.write() = Some(sources);
                    *self.refused.write() = None;
                    pause = FIRST_PAUSE;
                    // It ends only when its task does, which nothing but a fault of the library brings about.
                    while updates.changed().await.is_ok() {
                        tracing::debug!("the Workload API has rotated SVIDs or bundles");
                    }
                }
                Err(reason) => {
                    tracing::warn!(%reason, endpoint, "no SVID from the Workload API; trying again");
                    *self.refused.write() = Some(reason);
                }
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn sources(&self, endpoint: &str, number: u64) -> Result<Sources, String> {
        let backoff = (FIRST_PAUSE, LONGEST_PAUSE);
        let x509 = X509Source::builder().endpoint(endpoint).reconnect_backoff(backoff.0, backoff.1);
        let x509 = x509.initial_sync_timeout(TRY).build().await.map_err(|e| e.to_string())?;
        let jwt = spiffe::JwtSourceBuilder::new().endpoint(endpoint).reconnect_backoff(backoff.0, backoff.1);
        let jwt = jwt.initial_sync_timeout(TRY).build().await.map_err(|e| e.to_string())?;
        let svid = x509.svid().map_err(|e| e.to_string())?;
        let trust_domain = svid.spiffe_id().trust_domain().clone();
        if let Some(ours) = self.config.trust_domain.as_ref().filter(|ours| **ours != trust_domain) {
            return Err(format!(
                "our SVID is of the trust domain {trust_domain}, the configuration says {ours}"
            ));
        }
        let accepted = self.config.foreign.iter().map(|f| f.trust_domain.clone());
        let accepted = accepted.chain([trust_domain.clone()]).collect();
        let tls = mtls_server(x509.clone())
            .trust_domain_policy(AllowList(accepted))
            .with_alpn_protocols([b"http/1.1"])
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Sources { number, trust_domain, x509, jwt, tls: Arc::new(tls) })
    }

    async fn watch_files(self: &Arc<Self>) {
        if !self.files.any() {
            return;
        }
        loop {
            tokio::time::sleep(FILES_EVERY).await;
            let svids = Arc::clone(self);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || svids.read_again()).await {
                tracing::warn!(%error, "keeping certificate and trust bundles as they were");
            }
        }
    }
}
