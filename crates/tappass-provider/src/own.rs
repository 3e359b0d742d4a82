//! Providers with an organisation's own keys in the place of the environment's.
//!
//! A key is all that is the organisation's: where each provider is stays what the operator has configured, so that a key
//! goes to its provider's host and nowhere else.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Provider, ProviderCall, ProviderConfigError, ProviderError, ProviderReply, Providers,
    router::PROVIDERS,
    setup::{self, Get, key_variable},
};

/// An organisation's key of a provider, or why it cannot be had, in a sentence for its callers.
pub type OwnKey = Result<String, String>;

impl Providers {
    /// These, with the keys of one organisation, by provider. A provider whose key cannot be had or used is not called with
    /// anybody else's: calls to it are refused.
    #[must_use]
    pub fn with_own(
        &self,
        env: &dyn Fn(&str) -> Option<String>,
        keys: &BTreeMap<&'static str, OwnKey>,
    ) -> Self {
        let mut all = self.clone();
        for (id, key) in keys {
            let provider: Arc<dyn Provider> = match key.as_ref().map(|key| set_up(id, key, env)) {
                Ok(Ok(provider)) => provider,
                Ok(Err(error)) => Arc::new(Unusable { id, reason: error.to_string() }),
                Err(reason) => Arc::new(Unusable { id, reason: reason.clone() }),
            };
            all.set_up.insert(id, provider);
        }
        let said = env("TAPPASS_DEFAULT_PROVIDER").is_some_and(|name| !name.trim().is_empty());
        if !said {
            let first = PROVIDERS.into_iter().find(|id| all.get(id).is_some());
            all.default = first.unwrap_or(all.default);
        }
        all
    }
}

/// The providers of which an organisation can have a key of its own.
pub fn providers() -> impl Iterator<Item = &'static str> {
    PROVIDERS.into_iter().filter(|id| key_variable(id).is_some())
}

/// Whether an organisation can have a key of its own of this provider.
#[must_use]
pub fn takes_key(id: &str) -> Option<&'static str> {
    PROVIDERS.into_iter().find(|known| *known == id && key_variable(known).is_some())
}

/// A provider with this key, and all else as the environment says.
///
/// # Errors
/// [`ProviderConfigError`]: what keeps it from being used.
pub fn set_up(
    id: &'static str,
    key: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Provider>, ProviderConfigError> {
    let variable = key_variable(id);
    let get: Get<'_> = &|name: &str| {
        let value = if Some(name) == variable { Some(key.to_owned()) } else { env(name) };
        value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    };
    let config = setup::http_config(get)?;
    let found = setup::one(id, get, &config)?;
    found
        .map(|(_, provider)| provider)
        .ok_or_else(|| ProviderConfigError::NoAddress { provider: id.to_owned() })
}

/// A provider whose key cannot be had.
struct Unusable {
    id: &'static str,
    reason: String,
}

#[async_trait::async_trait]
impl Provider for Unusable {
    fn id(&self) -> &str {
        self.id
    }

    fn host(&self) -> Option<String> {
        None
    }

    async fn send(&self, _: ProviderCall) -> Result<ProviderReply, ProviderError> {
        Err(self.told())
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Err(self.told())
    }
}

impl Unusable {
    fn told(&self) -> ProviderError {
        ProviderError::NotConfigured(format!(
            "the organisation's own key of {} cannot be used: {}",
            self.id, self.reason
        ))
    }
}
