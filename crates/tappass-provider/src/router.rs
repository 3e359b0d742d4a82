//! Which providers there are, and which one answers for a model's name.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    Provider, ProviderError,
    anthropic::{self, Anthropic},
    azure::Azure,
    builtin::{self, Builtin},
    http::{Deadlines, HttpConfig},
    openai::{self, OpenAi},
    region,
};

/// The ids of the providers this gateway knows, which are the prefixes of models' names.
pub const PROVIDERS: [&str; 4] = ["openai", "azure", "anthropic", "builtin"];

/// Why the providers cannot be set up. Says what to change; holds no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderConfigError {
    /// The base URL is none.
    #[error(
        "the base URL of {provider} must be http:// or https:// with a host, without a user name or a query: correct it, or unset it for the default"
    )]
    BaseUrl {
        /// The provider's id.
        provider: String,
    },
    /// The key cannot be sent.
    #[error(
        "the key of {provider} has characters that no header can carry: set it again, without line breaks"
    )]
    Key {
        /// The provider's id.
        provider: String,
    },
    /// Azure's API version is none.
    #[error("AZURE_OPENAI_API_VERSION must look like {}", crate::azure::API_VERSION)]
    ApiVersion,
    /// One of a pair is missing.
    #[error("{given} is set but {missing} is not: set both, or neither")]
    Half {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// The default provider cannot be.
    #[error("TAPPASS_DEFAULT_PROVIDER is {name:?}: it must be one of {}, and configured", PROVIDERS.join(", "))]
    Default {
        /// What it is set to.
        name: String,
    },
    /// A time that is none.
    #[error("{variable} must be a number of seconds above 0")]
    Seconds {
        /// Which one.
        variable: &'static str,
    },
    /// The file of certificates cannot be used.
    #[error("the certificates in {path} cannot be used: {reason}")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The environment's proxy cannot be used.
    #[error(
        "the proxy that HTTPS_PROXY or ALL_PROXY names must be an http:// one: correct it, or except the provider's host in NO_PROXY"
    )]
    Proxy,
    /// No client can be built; mostly for want of certificate authorities.
    #[error(
        "no TLS client can be made ({reason}): install the system's certificate authorities (package ca-certificates) or name a PEM file in TAPPASS_CA_FILE"
    )]
    Client {
        /// What the TLS library says.
        reason: String,
    },
}

/// What is known of a provider, without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderInfo {
    /// Its id and prefix.
    pub id: &'static str,
    /// Whether it can be called.
    pub configured: bool,
    /// The host that is called; `None` where nothing is.
    pub host: Option<String>,
    /// Whether models without a prefix go there.
    pub default: bool,
    /// What to set where it is not configured.
    pub needs: &'static str,
}

/// The providers that are configured.
#[derive(Clone)]
pub struct Providers {
    openai: Option<Arc<OpenAi>>,
    /// The OpenAI dialect under another base URL: any prefix may be part of a model's name there.
    custom_base: bool,
    azure: Option<Arc<Azure>>,
    anthropic: Option<Arc<Anthropic>>,
    builtin: Arc<Builtin>,
    default: &'static str,
    /// What `<PROVIDER>_REGION` says, by id.
    regions: BTreeMap<&'static str, String>,
    /// `TAPPASS_EU_DATA_RESIDENCY`: what is not known to be in the EU is not called.
    eu_only: bool,
}

impl Providers {
    /// Sets up the providers that the environment has keys for. `builtin` is always there. An empty variable counts
    /// as unset.
    ///
    /// # Errors
    /// [`ProviderConfigError`]: what is set but cannot be used.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ProviderConfigError> {
        let get = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let config = http_config(&get)?;
        let base = get("OPENAI_BASE_URL");
        let custom_base = base.as_deref().is_some_and(|url| url.trim_end_matches('/') != openai::BASE_URL);
        let key = get("OPENAI_API_KEY");
        let openai = (key.is_some() || custom_base)
            .then(|| OpenAi::new(base.as_deref().unwrap_or(openai::BASE_URL), key.as_deref(), &config))
            .transpose()?;
        let half = |given, missing| Err(ProviderConfigError::Half { given, missing });
        let azure = match (get("AZURE_OPENAI_ENDPOINT"), get("AZURE_OPENAI_API_KEY")) {
            (Some(endpoint), Some(key)) => {
                Some(Azure::new(&endpoint, &key, get("AZURE_OPENAI_API_VERSION").as_deref(), &config)?)
            }
            (Some(_), None) => return half("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"),
            (None, Some(_)) => return half("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
            (None, None) => None,
        };
        let base = get("ANTHROPIC_BASE_URL").unwrap_or_else(|| anthropic::BASE_URL.to_owned());
        let anthropic =
            get("ANTHROPIC_API_KEY").map(|key| Anthropic::new(&base, &key, &config)).transpose()?;
        let mut providers = Self {
            openai: openai.map(Arc::new),
            custom_base,
            azure: azure.map(Arc::new),
            anthropic: anthropic.map(Arc::new),
            builtin: Arc::new(Builtin),
            default: "builtin",
            regions: BTreeMap::new(),
            eu_only: false,
        };
        let configured = |id: &&str| providers.get(id).is_some();
        providers.default = match get("TAPPASS_DEFAULT_PROVIDER") {
            None => PROVIDERS.into_iter().find(configured).unwrap_or("builtin"),
            Some(name) => PROVIDERS
                .into_iter()
                .filter(configured)
                .find(|id| *id == name)
                .ok_or(ProviderConfigError::Default { name })?,
        };
        for (id, variable) in
            [("openai", "OPENAI_REGION"), ("azure", "AZURE_OPENAI_REGION"), ("anthropic", "ANTHROPIC_REGION")]
        {
            providers.regions.extend(get(variable).map(|region| (id, region.to_ascii_lowercase())));
        }
        providers.eu_only = get("TAPPASS_EU_DATA_RESIDENCY").is_some_and(|value| region::is_on(&value));
        Ok(providers)
    }

    /// Only the built-in model.
    #[must_use]
    pub fn builtin_only() -> Self {
        let builtin = Arc::new(Builtin);
        Self {
            openai: None,
            custom_base: false,
            azure: None,
            anthropic: None,
            builtin,
            default: "builtin",
            regions: BTreeMap::new(),
            eu_only: false,
        }
    }

    /// The provider for a model as the caller names it, and the model's name as that provider knows it.
    ///
    /// # Errors
    /// [`ProviderError::NotConfigured`], which says what to set.
    pub fn resolve(&self, model: &str) -> Result<(Arc<dyn Provider>, String), ProviderError> {
        if let Some((prefix, bare)) = model.split_once('/') {
            if let Some(id) = PROVIDERS.into_iter().find(|id| *id == prefix) {
                return self.take(id, bare);
            }
            if self.custom_base && self.openai.is_some() {
                return self.take("openai", model);
            }
            return Err(ProviderError::NotConfigured(format!(
                "no provider is called {prefix:?}: use one of {} before the slash, or set OPENAI_BASE_URL to a server that knows the model {model:?}",
                PROVIDERS.join(", ")
            )));
        }
        if model == builtin::MODEL {
            // Whatever the default is: a try-out must not go to a provider because a key is set.
            return self.take("builtin", model);
        }
        if model.starts_with("claude-") && self.anthropic.is_some() {
            return self.take("anthropic", model);
        }
        self.take(self.default, model)
    }

    fn take(&self, id: &'static str, bare: &str) -> Result<(Arc<dyn Provider>, String), ProviderError> {
        if bare.is_empty() {
            return Err(ProviderError::NotConfigured(format!("a model's name must follow \"{id}/\"")));
        }
        match self.get(id) {
            Some(provider) => Ok((provider, bare.to_owned())),
            None if self.barred(id) => Err(ProviderError::NotConfigured(format!(
                "this gateway keeps data in the EU (TAPPASS_EU_DATA_RESIDENCY), and {id} is not known to be there: set {}_REGION=eu if it is",
                if id == "azure" { "AZURE_OPENAI".to_owned() } else { id.to_uppercase() }
            ))),
            None => Err(ProviderError::NotConfigured(format!(
                "{id} has no key here: set {} and restart",
                needs(id)
            ))),
        }
    }

    /// Where a provider keeps and processes data: as the operator states, else as its host tells; `None` where
    /// neither does. What runs on this machine or in a private network is `local`.
    #[must_use]
    pub fn region(&self, id: &str) -> Option<&str> {
        if let Some(region) = self.regions.get(id) {
            return Some(region);
        }
        match id {
            "openai" => self.openai.as_ref().and_then(|p| region::of_host(&p.host())),
            "azure" => self.azure.as_ref().and_then(|p| region::of_host(&p.host())),
            "anthropic" => self.anthropic.as_ref().and_then(|p| region::of_host(&p.host())),
            "builtin" => Some(region::LOCAL),
            _ => None,
        }
    }

    /// Whether a provider is not called because data must stay in the EU.
    fn barred(&self, id: &str) -> bool {
        self.eu_only && !matches!(self.region(id), Some(region::EU | region::LOCAL))
    }

    fn get(&self, id: &str) -> Option<Arc<dyn Provider>> {
        if self.barred(id) {
            return None;
        }
        match id {
            "openai" => self.openai.clone().map(|p| p as Arc<dyn Provider>),
            "azure" => self.azure.clone().map(|p| p as Arc<dyn Provider>),
            "anthropic" => self.anthropic.clone().map(|p| p as Arc<dyn Provider>),
            _ => Some(Arc::clone(&self.builtin) as Arc<dyn Provider>),
        }
    }

    /// Where models without a prefix go.
    #[must_use]
    pub const fn default_provider(&self) -> &'static str {
        self.default
    }

    /// The models of every configured provider, as `(provider, name to ask for it by)`. A provider that does not
    /// say is left out: the list is a help, not a limit.
    pub async fn models(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        for id in PROVIDERS {
            let Some(provider) = self.get(id) else { continue };
            match provider.models().await {
                Ok(names) if id == self.default => all.extend(names.into_iter().map(|name| (id, name))),
                Ok(names) => all.extend(names.into_iter().map(|name| (id, format!("{id}/{name}")))),
                Err(error) => tracing::warn!(provider = id, %error, "the provider does not list its models"),
            }
        }
        all
    }

    /// Every provider this gateway knows.
    #[must_use]
    pub fn list(&self) -> Vec<ProviderInfo> {
        PROVIDERS
            .into_iter()
            .map(|id| ProviderInfo {
                id,
                configured: self.get(id).is_some(),
                host: match id {
                    "openai" => self.openai.as_ref().map(|p| p.host()),
                    "azure" => self.azure.as_ref().map(|p| p.host()),
                    "anthropic" => self.anthropic.as_ref().map(|p| p.host()),
                    _ => None,
                },
                default: id == self.default,
                needs: needs(id),
            })
            .collect()
    }
}

fn needs(id: &str) -> &'static str {
    match id {
        "openai" => "OPENAI_API_KEY (or OPENAI_BASE_URL for a server that wants no key)",
        "azure" => "AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY",
        "anthropic" => "ANTHROPIC_API_KEY",
        _ => "nothing",
    }
}

fn http_config(get: &dyn Fn(&str) -> Option<String>) -> Result<HttpConfig, ProviderConfigError> {
    let seconds = |variable: &'static str, default: Duration| match get(variable) {
        None => Ok(default),
        Some(text) => text
            .parse::<f64>()
            .ok()
            .and_then(|s| Duration::try_from_secs_f64(s).ok())
            .filter(|time| !time.is_zero())
            .ok_or(ProviderConfigError::Seconds { variable }),
    };
    let default = Deadlines::default();
    let deadlines = Deadlines {
        connect: seconds("TAPPASS_PROVIDER_CONNECT_TIMEOUT", default.connect)?,
        first_byte: seconds("TAPPASS_PROVIDER_FIRST_BYTE_TIMEOUT", default.first_byte)?,
        answer: seconds("TAPPASS_PROVIDER_ANSWER_TIMEOUT", default.answer)?,
        idle: seconds("TAPPASS_PROVIDER_IDLE_TIMEOUT", default.idle)?,
        total: seconds("TAPPASS_PROVIDER_TOTAL_TIMEOUT", default.total)?,
    };
    Ok(HttpConfig { deadlines, ca_file: get("TAPPASS_CA_FILE").map(PathBuf::from), ..HttpConfig::default() })
}
