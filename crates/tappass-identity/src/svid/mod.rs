//! SPIFFE: which workload calls, by the SVIDs of its trust domain.
//!
//! An SVID says who a workload is: a certificate or a token with an id such as `spiffe://corp.example/agent/…`. What
//! vouches for it, the trust bundle, comes from the Workload API, which SPIRE's agent serves on a socket, or from a
//! file. Which agent an id stands for is the authenticator's to say.

mod bundle;
mod own;
mod source;
mod status;

use std::{fmt, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use moka::sync::Cache;
use parking_lot::RwLock;
pub use rustls::ServerConfig as TlsConfig;
use spiffe::{BundleSource, JwtBundle, JwtSvid, transport::Endpoint};
pub use spiffe::{SpiffeId, TrustDomain};
use tappass_model::Clock;
use uuid::Uuid;

use crate::tokens::{self, TokenHasher};
use bundle::Files;
pub use own::CertificateFiles;
use own::Own;
use source::Sources;
pub use status::{SpireState, Trouble};

/// How many tokens' checks are remembered.
const CACHE_TOKENS: u64 = 10_000;
/// The longest token that is looked at, in bytes. SPIRE's have about 600.
const MAX_TOKEN: usize = 8 * 1024;

/// What the operator has set.
#[derive(Debug, Clone, Default)]
pub struct SvidConfig {
    /// Where the Workload API listens: `unix:///run/spire/agent.sock`, `tcp://127.0.0.1:8081`.
    pub endpoint: Option<String>,
    /// Our trust domain; none: that of our own SVID.
    pub trust_domain: Option<TrustDomain>,
    /// What a JWT-SVID must be for; one of them is enough.
    pub audience: Vec<String>,
    /// Our trust domain's bundle, where no Workload API gives it.
    pub bundle_file: Option<PathBuf>,
    /// Our own certificate, where no Workload API gives it.
    pub certificate: Option<CertificateFiles>,
    /// Other trust domains whose SVIDs are accepted.
    pub foreign: Vec<ForeignDomain>,
}

/// A trust domain that is not ours.
#[derive(Debug, Clone)]
pub struct ForeignDomain {
    /// Which.
    pub trust_domain: TrustDomain,
    /// The organisations whose agents may come from there.
    pub organisations: Vec<Uuid>,
    /// Its bundle, where no Workload API gives it.
    pub bundle_file: Option<PathBuf>,
}

/// What cannot be used of a [`SvidConfig`].
#[derive(Debug, thiserror::Error)]
pub enum SvidError {
    /// The socket's address.
    #[error(
        "{address:?} is no address of a Workload API: {reason}; it looks like unix:///run/spire/agent.sock"
    )]
    Endpoint {
        /// As it was given.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// Our certificate's file, or its key's.
    #[error("our certificate, {path}: {reason}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A bundle's file.
    #[error("the trust bundle {path}: {reason}")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The certificate that a client has shown, after it was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSvid {
    /// Who.
    pub spiffe_id: SpiffeId,
    /// Until when the certificate holds.
    pub expires_at: Timestamp,
}

impl PeerSvid {
    /// Reads it out of a certificate (DER). `None` for what is no X.509-SVID. Verifies nothing: TLS has.
    #[must_use]
    pub fn of(leaf: &[u8]) -> Option<Self> {
        let spiffe_id = spiffe::cert::spiffe_id_from_der(leaf).ok()?;
        Some(Self { spiffe_id, expires_at: not_after(leaf)? })
    }
}

/// Until when a certificate (DER) holds.
fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// Checks SVIDs. One per process; share it in an `Arc`.
pub struct Svids {
    config: SvidConfig,
    clock: Arc<dyn Clock>,
    hasher: TokenHasher,
    files: Files,
    sources: RwLock<Option<Sources>>,
    /// mTLS by files.
    own: RwLock<Option<Own>>,
    /// Why the Workload API's answer is of no use, where it is not the API that fails.
    refused: RwLock<Option<String>>,
    /// Tokens that were verified, by their hash.
    verified: Cache<[u8; 32], Verified>,
}

/// A token that was verified: it holds until it expires or the bundles change.
#[derive(Clone)]
struct Verified {
    spiffe_id: SpiffeId,
    expires_at: Timestamp,
    revision: (u64, u64),
}

impl fmt::Debug for Svids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svids").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Svids {
    /// Reads the files, and waits for nothing: [`Svids::keep`] connects.
    ///
    /// # Errors
    /// [`SvidError`]
    pub fn open(config: SvidConfig, clock: Arc<dyn Clock>) -> Result<Self, SvidError> {
        if let Some(address) = &config.endpoint {
            Endpoint::parse(address)
                .map_err(|e| SvidError::Endpoint { address: address.clone(), reason: e.to_string() })?;
        }
        let files = Files::open(&config)?;
        let own = config.certificate.as_ref().map(|paths| Own::read(paths, &files.now().of)).transpose()?;
        // Hashes are compared within this process only.
        let mut salt = [0; 32];
        tokens::fill(&mut salt);
        Ok(Self {
            hasher: TokenHasher::new(&salt),
            files,
            sources: RwLock::new(None),
            own: RwLock::new(own),
            refused: RwLock::new(None),
            verified: Cache::builder().max_capacity(CACHE_TOKENS).build(),
            config,
            clock,
        })
    }

    /// Whether SVIDs are in use at all.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.config.endpoint.is_some() || self.config.bundle_file.is_some()
    }

    /// Our trust domain, once it is known.
    #[must_use]
    pub fn trust_domain(&self) -> Option<TrustDomain> {
        let own = || self.sources.read().as_ref().map(|s| s.trust_domain.clone());
        self.config.trust_domain.clone().or_else(own)
    }

    /// Whether agents of an organisation may come from a trust domain.
    #[must_use]
    pub fn admits(&self, trust_domain: &TrustDomain, org_id: Uuid) -> bool {
        if self.trust_domain().as_ref() == Some(trust_domain) {
            return true;
        }
        let mut foreign = self.config.foreign.iter();
        foreign.any(|f| f.trust_domain == *trust_domain && f.organisations.contains(&org_id))
    }

    /// How connections on the mTLS port are secured: our SVID of the moment, clients' SVIDs verified by the bundles of
    /// the moment; those of files where there is no Workload API, or before it has given us an SVID. `None` without any.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<TlsConfig>> {
        let given = self.sources.read().as_ref().map(|s| Arc::clone(&s.tls));
        given.or_else(|| self.own.read().as_ref().map(|own| Arc::clone(&own.tls)))
    }

    /// Reads the files again; what cannot be read leaves all as it was. Blocks: not for the runtime's threads.
    fn read_again(&self) -> Result<(), SvidError> {
        self.files.read_again()?;
        if let Some(paths) = &self.config.certificate {
            let own = Own::read(paths, &self.files.now().of)?;
            *self.own.write() = Some(own);
        }
        Ok(())
    }

    /// The id in a JWT-SVID, if the token is one, is for us, holds now, and was signed by a trust domain that we
    /// accept. Why not is nobody's business but the log's.
    #[must_use]
    pub fn verify_token(&self, token: &str) -> Option<SpiffeId> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let view = View::of(self);
        let digest = self.hasher.digest(token);
        if let Some(known) = self.verified.get(&digest)
            && known.revision == view.revision
            && known.expires_at > self.clock.now()
        {
            return Some(known.spiffe_id);
        }
        match JwtSvid::parse_and_validate(token, &view, &self.config.audience) {
            Ok(svid) => {
                let spiffe_id = svid.spiffe_id().clone();
                let expires_at = Timestamp::from_second(svid.expiry().unix_timestamp()).ok()?;
                let verified = Verified { spiffe_id: spiffe_id.clone(), expires_at, revision: view.revision };
                self.verified.insert(digest, verified);
                Some(spiffe_id)
            }
            Err(error) => {
                tracing::debug!(%error, "a token is no JWT-SVID that we accept");
                None
            }
        }
    }
}

/// The bundles of the moment, of the trust domains that are accepted.
struct View<'a> {
    svids: &'a Svids,
    jwt: Option<spiffe::jwt_source::JwtSourceState>,
    files: Arc<bundle::Bundles>,
    revision: (u64, u64),
}

impl<'a> View<'a> {
    fn of(svids: &'a Svids) -> Self {
        let jwt = svids.sources.read().as_ref().map(|s| (s.number, s.jwt.state()));
        let files = svids.files.now();
        // A new connection counts from the start again: its number sets it apart.
        let of_socket = jwt.as_ref().map_or(0, |(number, state)| (number << 40) | state.revision());
        Self { svids, revision: (of_socket, files.revision), jwt: jwt.map(|(_, state)| state), files }
    }
}

impl BundleSource for View<'_> {
    type Item = JwtBundle;
    type Error = std::convert::Infallible;

    fn bundle_for_trust_domain(&self, of: &TrustDomain) -> Result<Option<Arc<JwtBundle>>, Self::Error> {
        let foreign = || self.svids.config.foreign.iter().any(|f| f.trust_domain == *of);
        if self.svids.trust_domain().as_ref() != Some(of) && !foreign() {
            return Ok(None);
        }
        let of_socket = self.jwt.as_ref().and_then(|state| state.bundle_set().ok()?.get(of));
        Ok(of_socket.or_else(|| self.files.of.get(of).map(|bundle| Arc::clone(&bundle.jwt))))
    }
}
