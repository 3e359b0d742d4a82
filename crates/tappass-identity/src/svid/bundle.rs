//! Trust bundles in files: the authorities of a trust domain, for tokens and for certificates, in the SPIFFE bundle format.
//!
//! The format is a JWK set whose keys say what they are for (SPIFFE Trust Domain and Bundle, §4). SPIRE writes it with
//! `spire-server bundle show -format spiffe`. A file is read again when it changes, so that keys can be rotated.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::RwLock;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::Value;
use spiffe::{JwtBundle, TrustDomain, bundle::jwt::JwtAuthority};

use super::{SvidConfig, SvidError};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// What vouches for the SVIDs of a trust domain.
#[derive(Debug, PartialEq)]
pub struct Bundle {
    /// For tokens.
    pub jwt: Arc<JwtBundle>,
    /// For certificates.
    pub x509: Vec<CertificateDer<'static>>,
}

/// Bundles as the files said them last.
pub struct Bundles {
    /// By trust domain.
    pub of: BTreeMap<TrustDomain, Arc<Bundle>>,
    /// Counts the changes.
    pub revision: u64,
}

/// The files.
pub struct Files {
    paths: Vec<(TrustDomain, PathBuf)>,
    now: RwLock<Arc<Bundles>>,
}

impl Files {
    /// Reads those of the configuration.
    pub fn open(config: &SvidConfig) -> Result<Self, SvidError> {
        let own = config.trust_domain.iter().cloned().zip(config.bundle_file.clone());
        let foreign =
            config.foreign.iter().filter_map(|f| Some((f.trust_domain.clone(), f.bundle_file.clone()?)));
        let paths: Vec<_> = own.chain(foreign).collect();
        let of = read_all(&paths)?;
        Ok(Self { paths, now: RwLock::new(Arc::new(Bundles { of, revision: 0 })) })
    }

    /// The bundles of the moment.
    pub fn now(&self) -> Arc<Bundles> {
        Arc::clone(&self.now.read())
    }

    /// Whether there is any.
    pub fn any(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Reads the files again; what cannot be read leaves all as it was. Blocks: not for the runtime's threads.
    pub fn read_again(&self) -> Result<(), SvidError> {
        let of = read_all(&self.paths)?;
        let mut now = self.now.write();
        if now.of != of {
            *now = Arc::new(Bundles { of, revision: now.revision + 1 });
        }
        Ok(())
    }
}

fn read_all(paths: &[(TrustDomain, PathBuf)]) -> Result<BTreeMap<TrustDomain, Arc<Bundle>>, SvidError> {
    let read = |(domain, path): &(TrustDomain, PathBuf)| {
        let bundle = read(domain, path).map_err(|reason| SvidError::Bundle { path: path.clone(), reason })?;
        Ok((domain.clone(), Arc::new(bundle)))
    };
    paths.iter().map(read).collect()
}

fn read(domain: &TrustDomain, path: &Path) -> Result<Bundle, String> {
    let size = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("{size} bytes are too many, at most {MAX_FILE} are read"));
    }
    parse(domain, &fs::read(path).map_err(|e| e.to_string())?)
}

fn parse(domain: &TrustDomain, text: &[u8]) -> Result<Bundle, String> {
    #[derive(Deserialize)]
    struct JwkSet {
        keys: Vec<Value>,
    }
    let set: JwkSet = serde_json::from_slice(text)
        .map_err(|e| format!("not a bundle in the SPIFFE format, {{\"keys\": […]}}: {e}"))?;
    let mut bundle = JwtBundle::new(domain.clone());
    for key in set.keys.iter().filter(|key| key["use"] == "jwt-svid") {
        let authority = JwtAuthority::from_jwk_json(key.to_string().as_bytes());
        bundle.add_jwt_authority(authority.map_err(|e| format!("a key for JWT-SVIDs: {e}"))?);
    }
    let x509 = set.keys.iter().filter(|key| key["use"] == "x509-svid").map(authority);
    let x509 = x509.collect::<Result<Vec<_>, _>>()?;
    if x509.is_empty() && bundle.jwt_authorities().next().is_none() {
        return Err("no key in it has \"use\": \"jwt-svid\" or \"x509-svid\"".to_owned());
    }
    Ok(Bundle { jwt: Arc::new(bundle), x509 })
}

/// The certificate of an authority: the one in its `x5c` (SPIFFE Trust Domain and Bundle, §4.2.2).
fn authority(key: &Value) -> Result<CertificateDer<'static>, String> {
    let wrong = |why: &str| format!("a key for X.509-SVIDs: {why}");
    let text = match key["x5c"].as_array().map(Vec::as_slice) {
        Some([Value::String(text)]) => text,
        _ => return Err(wrong("its `x5c` is not one certificate")),
    };
    let der = CertificateDer::from(STANDARD.decode(text).map_err(|e| wrong(&e.to_string()))?);
    rustls::RootCertStore::empty().add(der.clone()).map_err(|e| wrong(&e.to_string()))?;
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(text: &str) -> Result<Bundle, String> {
        parse(&TrustDomain::new("corp.example").expect("valid"), text.as_bytes())
    }

    #[test]
    fn only_keys_for_svids_count() {
        let good = bundle(
            r#"{"spiffe_sequence": 1, "spiffe_refresh_hint": 300, "keys": [
                {"use": "wit-svid", "kty": "RSA"},
                {"use": "jwt-svid", "kid": "one", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#,
        );
        let good = good.expect("valid");
        assert!(good.jwt.find_jwt_authority("one").is_some());
        assert_eq!((good.jwt.jwt_authorities().count(), good.x509.len()), (1, 0));
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_a_broken_one_is_not_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("bundle.json");
        let domain = TrustDomain::new("corp.example").expect("valid");
        let write = |kid: &str| {
            let key = format!(
                r#"{{"use": "jwt-svid", "kid": "{kid}", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}"#
            );
            fs::write(&path, format!(r#"{{"keys": [{key}]}}"#)).expect("written");
        };
        let config = SvidConfig {
            trust_domain: Some(domain.clone()),
            bundle_file: Some(path.clone()),
            ..SvidConfig::default()
        };
        assert!(matches!(Files::open(&config), Err(SvidError::Bundle { .. })));
        write("one");
        let files = Files::open(&config).expect("read");
        let has = |kid: &str| files.now().of[&domain].jwt.find_jwt_authority(kid).is_some();
        files.read_again().expect("read");
        assert!(has("one") && files.now().revision == 0, "nothing has changed");
        write("two");
        files.read_again().expect("read");
        assert!(!has("one") && has("two") && files.now().revision == 1);
        fs::write(&path, "{").expect("written");
        assert!(files.read_again().is_err());
        assert!(has("two") && files.now().revision == 1);
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        for (text, says) in [
            ("-----BEGIN CERTIFICATE-----", "SPIFFE format"),
            (r#"{"keys": []}"#, "no key"),
            (r#"{"keys": [{"use": "sig", "kid": "one", "kty": "EC"}]}"#, "no key"),
            (r#"{"keys": [{"use": "jwt-svid", "kty": "EC"}]}"#, "key ID"),
            (r#"{"keys": [{"use": "x509-svid", "kty": "EC"}]}"#, "`x5c`"),
            (r#"{"keys": [{"use": "x509-svid", "kty": "EC", "x5c": ["AA=="]}]}"#, "X.509-SVIDs"),
        ] {
            let error = bundle(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
