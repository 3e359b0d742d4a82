//! Which providers there are, and which one answers for a model's name.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::{
    Provider, ProviderError,
    builtin::{self, Builtin},
    openai::OPENAI,
    region, setup,
};

/// The ids of the providers this gateway knows, which are the prefixes of models' names. The first that is set up is the
/// default; Bedrock never becomes it by itself, since a machine may have AWS's variables for another purpose.
pub const PROVIDERS: [&str; 10] =
    ["openai", "azure", "anthropic", "gemini", "mistral", "ollama", "vllm", "lmstudio", "builtin", "bedrock"];

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
    /// A switch that is none.
    #[error("{}_RESPONSES must be `native` (the server speaks Responses) or `chat` (they are translated)", provider.to_uppercase())]
    Responses {
        /// The provider's id.
        provider: &'static str,
    },
    /// One of a pair is missing.
    #[error("{given} is set but {missing} is not: set both, or neither")]
    Half {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// Nobody has said where it is.
    #[error("this gateway does not know where {provider} is: its operator sets the address")]
    NoAddress {
        /// The provider's id.
        provider: String,
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
    /// By id. `builtin` is always there.
    pub(crate) set_up: BTreeMap<&'static str, Arc<dyn Provider>>,
    /// The OpenAI dialect under another base URL: any prefix may be part of a model's name there.
    custom_base: bool,
    pub(crate) default: &'static str,
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
        let mut providers = Self::builtin_only();
        providers.set_up.extend(setup::all(&get)?);
        providers.custom_base = get("OPENAI_BASE_URL").is_some_and(|url| !setup::is_usual(OPENAI, &url));
        let configured = |id: &&str| providers.get(id).is_some();
        providers.default = match get("TAPPASS_DEFAULT_PROVIDER") {
            None => PROVIDERS.into_iter().find(configured).unwrap_or("builtin"),
            Some(name) => PROVIDERS
                .into_iter()
                .filter(configured)
                .find(|id| *id == name)
                .ok_or(ProviderConfigError::Default { name })?,
        };
        for id in PROVIDERS {
            providers.regions.extend(get(&region_of(id)).map(|region| (id, region.to_ascii_lowercase())));
        }
        providers.eu_only = get("TAPPASS_EU_DATA_RESIDENCY").is_some_and(|value| region::is_on(&value));
        Ok(providers)
    }

    /// Only the built-in model.
    #[must_use]
    pub fn builtin_only() -> Self {
        let builtin: Arc<dyn Provider> = Arc::new(Builtin);
        Self {
            set_up: BTreeMap::from([("builtin", builtin)]),
            custom_base: false,
            default: "builtin",
            regions: BTreeMap::new(),
            eu_only: false,
        }
    }

    /// These, beside the built-in model; the default is one of them, else the built-in model.
    #[must_use]
    pub fn of(
        set_up: impl IntoIterator<Item = (&'static str, Arc<dyn Provider>)>,
        default: &'static str,
    ) -> Self {
        let mut providers = Self::builtin_only();
        providers.set_up.extend(set_up);
        if providers.set_up.contains_key(default) {
            providers.default = default;
        }
        providers
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
            if self.custom_base {
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
        let of_its_maker = [("claude-", "anthropic"), ("gemini-", "gemini")].into_iter();
        let mut of_its_maker =
            of_its_maker.filter(|(start, id)| model.starts_with(start) && self.set_up.contains_key(id));
        if let Some((_, id)) = of_its_maker.next() {
            return self.take(id, model);
        }
        self.take(self.default, model)
    }

    fn take(&self, id: &'static str, bare: &str) -> Result<(Arc<dyn Provider>, String), ProviderError> {
        if bare.is_empty() {
            return Err(ProviderError::NotConfigured(format!("a model's name must follow \"{id}/\"")));
        }
        match self.get(id) {
            Some(_) if self.eu_only && id == "bedrock" && leaves_its_region(bare) => {
                Err(ProviderError::NotConfigured(format!(
                    "this gateway keeps data in the EU (TAPPASS_EU_DATA_RESIDENCY), and {bare:?} may be answered anywhere"
                )))
            }
            Some(provider) => Ok((provider, bare.to_owned())),
            None if self.barred(id) => Err(ProviderError::NotConfigured(format!(
                "this gateway keeps data in the EU (TAPPASS_EU_DATA_RESIDENCY), and {id} is not known to be there: set {}=eu if it is",
                region_of(id)
            ))),
            None => Err(ProviderError::NotConfigured(format!(
                "{id} is not set up here: set {} and restart{}",
                needs(id),
                if self.custom_base {
                    format!(", or ask for openai/{id}/{bare} where OPENAI_BASE_URL leads")
                } else {
                    String::new()
                }
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
        if id == "builtin" {
            return Some(region::LOCAL);
        }
        self.set_up.get(id).and_then(|provider| region::of_host(&provider.host()?))
    }

    /// Whether a provider is not called because data must stay in the EU.
    fn barred(&self, id: &str) -> bool {
        self.eu_only && !matches!(self.region(id), Some(region::EU | region::LOCAL))
    }

    /// A provider by its id; `None` where it is not configured, or not called because data must stay in the EU.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<dyn Provider>> {
        if self.barred(id) {
            return None;
        }
        self.set_up.get(id).cloned()
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
                host: self.set_up.get(id).and_then(|provider| provider.host()),
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
        "gemini" => "GOOGLE_API_KEY",
        "mistral" => "MISTRAL_API_KEY",
        "ollama" => "OLLAMA_HOST",
        "vllm" => "VLLM_BASE_URL",
        "lmstudio" => "LMSTUDIO_BASE_URL",
        "bedrock" => "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
        _ => "nothing",
    }
}

/// The variable that states where a provider is.
fn region_of(id: &str) -> String {
    if id == "azure" { "AZURE_OPENAI_REGION".to_owned() } else { format!("{}_REGION", id.to_uppercase()) }
}

/// Whether a model is a profile of Bedrock's that picks a region by itself, not within the EU.
fn leaves_its_region(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    ["global.", "us.", "us-gov.", "apac.", "jp.", "au.", "ca."].iter().any(|start| name.starts_with(start))
}
