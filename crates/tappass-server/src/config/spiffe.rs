//! `[server.spiffe]`: whose SVIDs are accepted, and where mTLS is spoken.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_identity::{SvidConfig, svid};
use uuid::Uuid;

/// SPIFFE. All of it is off until `endpoint_socket` or `bundle_file` is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spiffe {
    /// Where the Workload API listens: `unix:///run/spire/agent.sock`.
    pub endpoint_socket: Option<String>,
    /// Our trust domain; that of our own SVID unless said otherwise.
    pub trust_domain: Option<String>,
    /// What JWT-SVIDs must be for, one of these; `base_url` unless said otherwise.
    pub audience: Vec<String>,
    /// The port on which agents show an X.509-SVID; none unless said otherwise, 0 lets the system choose.
    pub mtls_port: Option<u16>,
    /// Our trust domain's bundle in the SPIFFE format, where there is no Workload API.
    pub bundle_file: Option<PathBuf>,
    /// Our own certificate for the mTLS port, with its chain (PEM), where there is no Workload API.
    pub certificate_file: Option<PathBuf>,
    /// Its key (PEM).
    pub key_file: Option<PathBuf>,
    /// Other trust domains whose SVIDs are accepted.
    pub federation: Vec<Federated>,
}

/// A trust domain that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Federated {
    /// Which.
    pub trust_domain: String,
    /// The ids of the organisations whose agents may come from there.
    pub organisations: Vec<Uuid>,
    /// Its bundle in the SPIFFE format, where the Workload API does not give it.
    pub bundle_file: Option<PathBuf>,
}

/// The field at fault and a sentence.
type Wrong = (&'static str, String);

impl Spiffe {
    /// What the checks of SVIDs are made with. `base_url` is where people reach this gateway.
    ///
    /// # Errors
    /// The field at fault and a sentence.
    pub fn to_svids(&self, base_url: &str) -> Result<SvidConfig, Wrong> {
        let domain = |field, name: &String| {
            svid::TrustDomain::new(name)
                .map_err(|e| (field, format!("{name:?} is no trust domain: {e}; it looks like corp.example")))
        };
        let own = self.trust_domain.as_ref().map(|name| domain("spiffe.trust_domain", name)).transpose()?;
        let mut foreign: Vec<svid::ForeignDomain> = Vec::new();
        for one in &self.federation {
            let trust_domain = domain("spiffe.federation", &one.trust_domain)?;
            let twice =
                own.as_ref() == Some(&trust_domain) || foreign.iter().any(|f| f.trust_domain == trust_domain);
            if twice {
                return Err(("spiffe.federation", format!("the trust domain {trust_domain} is named twice")));
            }
            if one.organisations.is_empty() {
                let why = format!("{trust_domain} is for no organisation: name theirs in `organisations`");
                return Err(("spiffe.federation", why));
            }
            let organisations = one.organisations.clone();
            foreign.push(svid::ForeignDomain {
                trust_domain,
                organisations,
                bundle_file: one.bundle_file.clone(),
            });
        }
        let audience =
            if self.audience.is_empty() { vec![base_url.to_owned()] } else { self.audience.clone() };
        Ok(SvidConfig {
            endpoint: self.endpoint_socket.clone(),
            trust_domain: own,
            audience,
            bundle_file: self.bundle_file.clone(),
            certificate: self
                .certificate_file
                .clone()
                .zip(self.key_file.clone())
                .map(|(certificate, key)| svid::CertificateFiles { certificate, key }),
            foreign,
        })
    }

    /// What does not fit together.
    ///
    /// # Errors
    /// The first such field and a sentence.
    pub fn validate(&self) -> Result<(), Wrong> {
        if self.certificate_file.is_some() != self.key_file.is_some() {
            let why = "a certificate and its key go together: set `certificate_file` and `key_file`";
            return Err(("spiffe.certificate_file", why.to_owned()));
        }
        if self.certificate_file.is_some() && self.bundle_file.is_none() {
            let why = "clients' certificates need a bundle to vouch for them: set `bundle_file` too";
            return Err(("spiffe.certificate_file", why.to_owned()));
        }
        if self.mtls_port.is_some() && self.endpoint_socket.is_none() && self.certificate_file.is_none() {
            let why = "our own certificate comes from the Workload API or from files: set SPIFFE_ENDPOINT_SOCKET, or \
                       TAPPASS_MTLS_CERT_FILE, TAPPASS_MTLS_KEY_FILE and TAPPASS_MTLS_BUNDLE_FILE too";
            return Err(("spiffe.mtls_port", why.to_owned()));
        }
        if self.bundle_file.is_some() && self.trust_domain.is_none() {
            let why = "whose bundle it is must be said: set `trust_domain` too";
            return Err(("spiffe.bundle_file", why.to_owned()));
        }
        if !self.federation.is_empty() && self.endpoint_socket.is_none() && self.bundle_file.is_none() {
            let why = "SPIFFE is off without SPIFFE_ENDPOINT_SOCKET or `bundle_file`: set one of them too";
            return Err(("spiffe.federation", why.to_owned()));
        }
        if self.audience.iter().any(String::is_empty) {
            return Err(("spiffe.audience", "an empty text stands for nobody".to_owned()));
        }
        self.to_svids("").map(|_| ())
    }
}
