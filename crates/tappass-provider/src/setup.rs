//! Setting the providers up from the environment.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    Provider,
    anthropic::{self, Anthropic},
    azure::Azure,
    bedrock::{Bedrock, Credentials},
    gemini::{self, Gemini},
    http::{Deadlines, HttpConfig},
    openai::{KINDS, Kind, OpenAi},
    router::{PROVIDERS, ProviderConfigError},
};

/// Looks a variable up; an empty one counts as unset.
pub type Get<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One that is set up.
pub type SetUp = (&'static str, Arc<dyn Provider>);

/// All that the environment has what they need for.
pub fn all(get: Get<'_>) -> Result<Vec<SetUp>, ProviderConfigError> {
    let config = http_config(get)?;
    let mut all: Vec<SetUp> = Vec::new();
    for id in PROVIDERS {
        all.extend(one(id, get, &config)?);
    }
    Ok(all)
}

/// One provider, where the environment has what it needs.
pub fn one(id: &str, get: Get<'_>, config: &HttpConfig) -> Result<Option<SetUp>, ProviderConfigError> {
    if let Some(kind) = KINDS.into_iter().find(|kind| kind.id == id) {
        return compatible(kind, get, config);
    }
    let half = |given, missing| Err(ProviderConfigError::Half { given, missing });
    match id {
        "azure" => match (get("AZURE_OPENAI_ENDPOINT"), get("AZURE_OPENAI_API_KEY")) {
            (Some(endpoint), Some(key)) => {
                let azure = Azure::new(&endpoint, &key, get("AZURE_OPENAI_API_VERSION").as_deref(), config)?;
                Ok(Some(("azure", Arc::new(azure))))
            }
            (Some(_), None) => half("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"),
            (None, Some(_)) => half("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
            (None, None) => Ok(None),
        },
        "anthropic" => {
            let Some(key) = get("ANTHROPIC_API_KEY") else { return Ok(None) };
            let base = get("ANTHROPIC_BASE_URL").unwrap_or_else(|| anthropic::BASE_URL.to_owned());
            Ok(Some(("anthropic", Arc::new(Anthropic::new(&base, &key, config)?))))
        }
        "gemini" => {
            let Some(key) = get("GOOGLE_API_KEY") else { return Ok(None) };
            let base = get("GEMINI_BASE_URL").unwrap_or_else(|| gemini::BASE_URL.to_owned());
            Ok(Some(("gemini", Arc::new(Gemini::new(&base, &key, config)?))))
        }
        "bedrock" => {
            let Some(credentials) = aws(get) else { return Ok(None) };
            let base = get("BEDROCK_BASE_URL");
            Ok(Some(("bedrock", Arc::new(Bedrock::new(base.as_deref(), credentials, config)?))))
        }
        _ => Ok(None),
    }
}

/// The variable that a provider's key stands in; none where a key alone is not enough, or none is wanted.
#[must_use]
pub fn key_variable(id: &str) -> Option<&'static str> {
    match id {
        "azure" => Some("AZURE_OPENAI_API_KEY"),
        "anthropic" => Some("ANTHROPIC_API_KEY"),
        "gemini" => Some("GOOGLE_API_KEY"),
        _ => KINDS.into_iter().find(|kind| kind.id == id).map(|kind| kind.key),
    }
}

fn compatible(kind: Kind, get: Get<'_>, config: &HttpConfig) -> Result<Option<SetUp>, ProviderConfigError> {
    let key = get(kind.key);
    let said = kind.address.iter().find_map(|name| Some(Kind::base_of(name, &get(name)?)));
    if key.is_none()
        && (said.is_none() || !kind.keyless || said.as_deref().is_some_and(|url| is_usual(kind, url)))
    {
        return Ok(None);
    }
    let Some(base) = said.as_deref().or(kind.base_url) else { return Ok(None) };
    let responds = match get(&format!("{}_RESPONSES", kind.id.to_uppercase())).as_deref() {
        None => kind.responds,
        Some("native") => true,
        Some("chat") => false,
        Some(_) => return Err(ProviderConfigError::Responses { provider: kind.id }),
    };
    let provider = OpenAi::of(kind, base, key.as_deref(), config)?.responding(responds);
    Ok(Some((kind.id, Arc::new(provider))))
}

/// Whether an address is the kind's own.
pub fn is_usual(kind: Kind, url: &str) -> bool {
    kind.base_url.is_some_and(|usual| url.trim_end_matches('/') == usual)
}

/// What the machine has for AWS may be there for another purpose, so that a part of it is no mistake.
fn aws(get: Get<'_>) -> Option<Credentials> {
    Some(Credentials {
        access_key_id: get("AWS_ACCESS_KEY_ID")?,
        secret_access_key: get("AWS_SECRET_ACCESS_KEY")?,
        session_token: get("AWS_SESSION_TOKEN"),
        region: get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION")).filter(|region| is_region(region))?,
    })
}

/// It becomes a part of a host's name.
fn is_region(region: &str) -> bool {
    !region.is_empty() && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

pub fn http_config(get: Get<'_>) -> Result<HttpConfig, ProviderConfigError> {
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
