//! Who else may vouch for people: the `[server.sso]` table.

use std::{collections::BTreeMap, fmt};

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_identity::oidc::{GOOGLE, Issuer, Provider};
use uuid::Uuid;

/// Signing in at other issuers (OpenID Connect).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SsoConfig {
    /// Google.
    pub google: Option<Client>,
    /// Any other issuer that speaks OpenID Connect.
    pub oidc: Option<Client>,
    /// Organisations that whoever an issuer vouches for with an address of the domain joins, as a member: domain →
    /// the organisation's UUID.
    pub join: BTreeMap<String, Uuid>,
}

/// What the gateway is to an issuer.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Client {
    /// The issuer's address, exactly as it says it itself. Google's is known.
    pub issuer: String,
    /// The client's id there.
    pub client_id: String,
    /// Its secret; none for a public client.
    #[serde(skip_serializing)]
    pub client_secret: Option<String>,
    /// The domains whose people may sign in; none: any. Only for these does an issuer other than Google speak: its
    /// word about others opens no account that is there already.
    pub domains: Vec<String>,
    /// What people know it by.
    pub name: Option<String>,
}

/// Without the secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl SsoConfig {
    /// The issuers that are configured.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = Issuer> {
        let google = self.google.as_ref().map(|client| client.issuer(Provider::Google, GOOGLE, "Google"));
        let other = |client: &Client| client.issuer(Provider::Oidc, &client.issuer, "single sign-on");
        google.into_iter().chain(self.oidc.as_ref().map(other))
    }

    /// What does not fit: the field at fault and a sentence.
    ///
    /// # Errors
    /// The first such pair.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        let domain =
            |text: &String| text.contains('.') && !text.contains(['@', '*', '/']) && !text.is_empty();
        if let Some(google) = &self.google {
            if google.client_id.is_empty() {
                return Err(("sso.google.client_id", "is missing: set GOOGLE_CLIENT_ID".to_owned()));
            }
            if google.client_secret.as_deref().unwrap_or_default().is_empty() {
                return Err(("sso.google.client_secret", "is missing: set GOOGLE_CLIENT_SECRET".to_owned()));
            }
            if !google.issuer.is_empty() {
                return Err(("sso.google.issuer", "is known: leave it away".to_owned()));
            }
            if let Some(wrong) = google.domains.iter().find(|d| !domain(d)) {
                return Err(("sso.google.domains", format!("{wrong:?} is no domain (example.com)")));
            }
        }
        if let Some(oidc) = &self.oidc {
            if oidc.client_id.is_empty() {
                return Err(("sso.oidc.client_id", "is missing: set TAPPASS_OIDC_CLIENT_ID".to_owned()));
            }
            let plain = Url::parse(&oidc.issuer).is_ok_and(|url| {
                matches!(url.scheme(), "https" | "http") && url.query().is_none() && url.fragment().is_none()
            });
            if !plain {
                let message =
                    "is not an issuer's address (https://login.example.com): set TAPPASS_OIDC_ISSUER";
                return Err(("sso.oidc.issuer", message.to_owned()));
            }
            if let Some(wrong) = oidc.domains.iter().find(|d| !domain(d)) {
                return Err(("sso.oidc.domains", format!("{wrong:?} is no domain (example.com)")));
            }
        }
        match self.join.keys().find(|d| !domain(d)) {
            Some(wrong) => Err(("sso.join", format!("{wrong:?} is no domain (example.com)"))),
            None => Ok(()),
        }
    }

    /// The organisation that people of a domain join.
    pub(crate) fn joins(&self, domain: &str) -> Option<Uuid> {
        self.join.iter().find(|(name, _)| name.eq_ignore_ascii_case(domain)).map(|(_, org)| *org)
    }
}

impl Client {
    fn issuer(&self, provider: Provider, issuer: &str, name: &str) -> Issuer {
        Issuer {
            provider,
            name: self.name.clone().unwrap_or_else(|| name.to_owned()),
            issuer: issuer.to_owned(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone().filter(|s| !s.is_empty()).map(Into::into),
            domains: self.domains.iter().map(|d| d.to_lowercase()).collect(),
        }
    }
}
