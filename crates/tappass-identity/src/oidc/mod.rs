//! Signing in with another party's word: OpenID Connect Core 1.0, the code flow with PKCE (RFC 7636). Here is the
//! protocol without a network: what is sent, what is kept meanwhile, and what an ID token must be to be believed.

mod command_line;
mod flow;
mod id_token;
mod keys;

pub use command_line::{CODE_LIFE, CommandLine, collect, pkce};
pub use flow::{FLOW_LIFE, Flow, FlowError, Purpose};
pub use id_token::{Expected, IdTokenError, Identity, verify};
pub use keys::Keys;

use std::fmt;

use jsonwebtoken::Algorithm;
use zeroize::Zeroizing;

/// Google's issuer. Its tokens may leave the scheme away.
pub const GOOGLE: &str = "https://accounts.google.com";

/// Which of the two issuers that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Google.
    Google,
    /// Any other that speaks OpenID Connect.
    Oidc,
}

impl Provider {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Google, Self::Oidc];

    /// Its name in paths, `/auth/<id>`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Oidc => "oidc",
        }
    }

    /// What its tokens may be signed with. Fixed here: nothing in a token or a discovery document adds to it.
    #[must_use]
    pub const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Google => &[Algorithm::RS256],
            Self::Oidc => &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        }
    }
}

/// An issuer whose word is believed, as the operator set it.
#[derive(Clone)]
pub struct Issuer {
    /// Which.
    pub provider: Provider,
    /// What people know it by.
    pub name: String,
    /// Its identifier, exactly as its tokens say it.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// What shows it; none for a public client, which has PKCE only.
    pub client_secret: Option<Zeroizing<String>>,
    /// The domains whose people may sign in, in lower case; empty: any.
    pub domains: Vec<String>,
}

/// Without the secret.
impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Whether a token's `iss` is this issuer.
    fn is(&self, iss: &str) -> bool {
        iss == self.issuer
            || (self.provider == Provider::Google && GOOGLE.strip_prefix("https://") == Some(iss))
    }

    /// The domain that this issuer speaks for when it vouches for someone; `None` where it speaks for none.
    ///
    /// Google speaks for a Workspace's domain (`hd`) and for its own mail. Any other address it has verified once,
    /// and may since have changed hands. Another issuer speaks for the domains that the operator says it does: else
    /// whoever runs it could name anybody.
    #[must_use]
    pub fn domain(&self, identity: &Identity) -> Option<String> {
        let of_mail = identity.email.rsplit_once('@').map(|(_, domain)| domain.to_lowercase());
        let of_mail = of_mail.filter(|_| identity.email_verified);
        match self.provider {
            Provider::Google => match &identity.hosted_domain {
                Some(hd) => Some(hd.to_lowercase()).filter(|_| identity.email_verified),
                None => of_mail.filter(|domain| domain == "gmail.com"),
            },
            Provider::Oidc => of_mail.filter(|domain| self.domains.contains(domain)),
        }
    }

    /// Whether someone of this domain may sign in at all.
    #[must_use]
    pub fn admits(&self, domain: Option<&str>) -> bool {
        self.domains.is_empty() || domain.is_some_and(|domain| self.domains.iter().any(|d| d == domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(email: &str, verified: bool, hd: Option<&str>) -> Identity {
        Identity {
            issuer: GOOGLE.to_owned(),
            subject: "1".to_owned(),
            email: email.to_owned(),
            email_verified: verified,
            hosted_domain: hd.map(str::to_owned),
        }
    }

    #[test]
    fn an_issuer_speaks_for_its_own_domains_only() {
        let issuer = |provider| Issuer {
            provider,
            name: String::new(),
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            domains: vec!["example.com".to_owned()],
        };
        let (google, other) = (issuer(Provider::Google), issuer(Provider::Oidc));
        let workspace = identity("ada@sub.example.com", true, Some("Example.com"));
        assert_eq!(google.domain(&workspace).as_deref(), Some("example.com"));
        // An account that somebody made at Google with a company's address.
        assert_eq!(google.domain(&identity("ada@example.com", true, None)), None);
        assert_eq!(google.domain(&identity("a@gmail.com", true, None)).as_deref(), Some("gmail.com"));
        assert_eq!(google.domain(&identity("ada@example.com", false, Some("example.com"))), None);
        assert_eq!(other.domain(&identity("ada@EXAMPLE.com", true, None)).as_deref(), Some("example.com"));
        assert_eq!(other.domain(&identity("ada@example.com", false, None)), None);
        assert!(
            google.admits(Some("example.com")) && !google.admits(Some("gmail.com")) && !google.admits(None)
        );
        assert_eq!(other.domain(&identity("ada@other.example", true, None)), None);
        assert!(Issuer { domains: Vec::new(), ..google }.admits(None));
        let anyone = Issuer { domains: Vec::new(), ..other };
        assert_eq!(anyone.domain(&identity("ada@example.com", true, None)), None);
    }
}
