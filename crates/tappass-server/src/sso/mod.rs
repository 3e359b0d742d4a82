//! Signing in at another issuer: Google, and one that the operator names. `tappass-identity` knows the protocol, here it
//! meets the network.

mod issuer;

use std::sync::Arc;

use tappass_identity::{Sealer, oidc::Provider};
use tappass_model::Clock;

use crate::{
    config::sso::SsoConfig,
    egress::{Egress, Rules},
    error::ApiError,
};
pub use issuer::{Issuing, SsoError, word};

/// The issuers that are configured.
pub struct Sso {
    issuers: Vec<Issuing>,
    sealer: Sealer,
}

impl Sso {
    /// As configured. Nothing is asked of anyone yet.
    #[must_use]
    pub fn new(config: &SsoConfig, rules: &Rules, sealer: Sealer, clock: &Arc<dyn Clock>) -> Self {
        let egress = Arc::new(Egress::new(rules.clone()));
        let issuers =
            config.issuers().map(|issuer| Issuing::new(issuer, Arc::clone(&egress), Arc::clone(clock)));
        Self { issuers: issuers.collect(), sealer }
    }

    /// Those that are configured.
    pub fn configured(&self) -> impl Iterator<Item = &Issuing> {
        self.issuers.iter()
    }

    /// One of them.
    ///
    /// # Errors
    /// 404 when it is not configured, with what to set.
    pub fn issuer(&self, provider: Provider) -> Result<&Issuing, ApiError> {
        self.issuers.iter().find(|one| one.issuer().provider == provider).ok_or_else(|| {
            let set = match provider {
                Provider::Google => "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET",
                Provider::Oidc => "TAPPASS_OIDC_ISSUER and TAPPASS_OIDC_CLIENT_ID",
            };
            let detail = format!("This way to sign in is not configured: the operator sets {set}.");
            ApiError::new(http::StatusCode::NOT_FOUND, "sso_not_configured", detail)
        })
    }

    /// What seals a sign-in under way.
    #[must_use]
    pub const fn sealer(&self) -> &Sealer {
        &self.sealer
    }
}
