//! Azure OpenAI: OpenAI's dialects, at a deployment's own address, with the key in `api-key`.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderName;
use tappass_model::Dialect;

use crate::{
    Provider, ProviderCall, ProviderError, ProviderReply,
    http::{HttpConfig, Upstream},
    openai,
    router::ProviderConfigError,
};

/// The API version asked for where `AZURE_OPENAI_API_VERSION` says none: the newest that is generally available
/// for these addresses.
pub const API_VERSION: &str = "2024-10-21";

/// Azure OpenAI's API for chat, responses and embeddings. The model of a call is the name of a deployment.
pub struct Azure {
    upstream: Arc<Upstream>,
    api_version: String,
}

impl Azure {
    /// The resource at `endpoint` (`https://<resource>.openai.azure.com`).
    ///
    /// # Errors
    /// [`ProviderConfigError`].
    pub fn new(
        endpoint: &str,
        key: &str,
        api_version: Option<&str>,
        config: &HttpConfig,
    ) -> Result<Self, ProviderConfigError> {
        let api_version = api_version.unwrap_or(API_VERSION);
        if !is_name(api_version) {
            return Err(ProviderConfigError::ApiVersion);
        }
        let auth = Some((HeaderName::from_static("api-key"), key.to_owned()));
        let upstream = Arc::new(Upstream::new("azure", endpoint, auth, config)?);
        Ok(Self { upstream, api_version: api_version.to_owned() })
    }
}

#[async_trait]
impl Provider for Azure {
    fn id(&self) -> &str {
        self.upstream.provider()
    }

    fn host(&self) -> Option<String> {
        Some(self.upstream.host())
    }

    fn speaks(&self, dialect: Dialect) -> bool {
        openai::speaks(dialect)
    }

    async fn send(&self, call: ProviderCall) -> Result<ProviderReply, ProviderError> {
        if !is_name(&call.model) {
            return Err(ProviderError::NotConfigured(
                "Azure deployments are named with letters, digits and - _ . only: use azure/<deployment>"
                    .to_owned(),
            ));
        }
        let (deployment, route) = (&call.model, openai::route(call.dialect));
        if call.dialect == Dialect::OpenAiResponses {
            // Spoken at the resource, where the deployment is the model, and without a version.
            return openai::send(&self.upstream, "openai/v1/responses", call, true).await;
        }
        let path = format!("openai/deployments/{deployment}/{route}?api-version={}", self.api_version);
        openai::send(&self.upstream, &path, call, true).await
    }
}

/// Whether a text can stand in the address as it is, and leads nowhere else.
fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
