//! mTLS without a Workload API: our certificate and key from files, clients' certificates verified by bundles from files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use spiffe::TrustDomain;
use x509_parser::prelude::X509Certificate;

use super::{SvidError, bundle::Bundle};

/// Our certificate with its chain, and its key: both PEM.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The leaf first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How connections are secured, as the files said it last.
pub struct Own {
    /// See [`super::Svids::tls`].
    pub tls: Arc<ServerConfig>,
    /// Our certificate.
    pub leaf: CertificateDer<'static>,
}

impl Own {
    /// Reads the files. Blocks: not for the runtime's threads.
    pub fn read(
        files: &CertificateFiles,
        bundles: &BTreeMap<TrustDomain, Arc<Bundle>>,
    ) -> Result<Self, SvidError> {
        let unusable = |path: &Path, reason: String| SvidError::Certificate { path: path.into(), reason };
        let text = fs::read(&files.certificate).map_err(|e| unusable(&files.certificate, e.to_string()))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|e| unusable(&files.certificate, e.to_string()))?;
        let leaf = chain.first().cloned();
        let leaf = leaf.ok_or_else(|| unusable(&files.certificate, "no certificate in it".to_owned()))?;
        let text = fs::read(&files.key).map_err(|e| unusable(&files.key, e.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|e| unusable(&files.key, e.to_string()))?;

        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = ByBundle::new(&provider, bundles).map_err(|e| unusable(&files.certificate, e))?;
        let built =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().and_then(
                |builder| builder.with_client_cert_verifier(Arc::new(verifier)).with_single_cert(chain, key),
            );
        let mut tls = built.map_err(|e| unusable(&files.certificate, e.to_string()))?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each handshake looks at the certificate anew.
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        Ok(Self { tls: Arc::new(tls), leaf })
    }
}

/// Verifies a client's X.509-SVID by the bundle of its own trust domain, and by no other's.
#[derive(Debug)]
struct ByBundle {
    of: BTreeMap<TrustDomain, Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ByBundle {
    fn new(
        provider: &Arc<CryptoProvider>,
        bundles: &BTreeMap<TrustDomain, Arc<Bundle>>,
    ) -> Result<Self, String> {
        let mut of: BTreeMap<TrustDomain, Arc<dyn ClientCertVerifier>> = BTreeMap::new();
        for (domain, bundle) in bundles.iter().filter(|(_, bundle)| !bundle.x509.is_empty()) {
            let mut roots = RootCertStore::empty();
            for authority in &bundle.x509 {
                roots.add(authority.clone()).map_err(|e| format!("an authority of {domain}: {e}"))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            of.insert(domain.clone(), verifier.map_err(|e| format!("the bundle of {domain}: {e}"))?);
        }
        Ok(Self { of, provider: Arc::clone(provider) })
    }
}

impl ClientCertVerifier for ByBundle {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let id = spiffe::cert::spiffe_id_from_der(leaf).map_err(|e| refused(&e.to_string()))?;
        if id.path().is_empty() {
            return Err(refused("the id names a trust domain, and no workload"));
        }
        of_a_workload(leaf).map_err(refused)?;
        if !intermediates.iter().all(may_sign) {
            return Err(refused("the chain has a certificate that may not sign others"));
        }
        let verifier = self.of.get(id.trust_domain()).ok_or_else(|| refused("an unknown trust domain"))?;
        verifier.verify_client_cert(leaf, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn refused(reason: &str) -> rustls::Error {
    rustls::Error::General(format!("no X.509-SVID that we accept: {reason}"))
}

/// What a leaf must be (X509-SVID, §4.3 and §5.2): no authority, made for signatures, not for certificates.
fn of_a_workload(leaf: &CertificateDer<'_>) -> Result<(), &'static str> {
    let certificate = parsed(leaf).ok_or("not readable")?;
    match certificate.basic_constraints() {
        Ok(Some(constraints)) if !constraints.value.ca => {}
        _ => return Err("an authority's certificate, or one that does not say"),
    }
    match certificate.key_usage() {
        Ok(Some(usage)) => {
            let usage = usage.value;
            let signs = usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign();
            signs.then_some(()).ok_or("its key is not for signatures alone")
        }
        _ => Err("it does not say what its key is for"),
    }
}

/// Whether a certificate may stand between an authority and a leaf.
fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    parsed(certificate).is_some_and(|certificate| match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    })
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    x509_parser::parse_x509_certificate(certificate).ok().map(|(_, certificate)| certificate)
}
