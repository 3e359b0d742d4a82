//! The servers of OpenAI's dialects that have a prefix of their own: where each is, what it speaks, and in what it differs,
//! as data.

use super::quirks::Quirks;

/// A kind of server.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its id, which is also its routing prefix.
    pub id: &'static str,
    /// Where it is; `None` where everybody runs their own.
    pub base_url: Option<&'static str>,
    /// The variable with its key.
    pub key: &'static str,
    /// The variables with another address; the first that is set.
    pub address: &'static [&'static str],
    /// Whether an address is enough: a server of one's own may want no key.
    pub keyless: bool,
    /// Whether it speaks Responses, where `<ID>_RESPONSES` does not say otherwise.
    pub responds: bool,
    /// In what it differs.
    pub quirks: Quirks,
}

/// OpenAI, and what speaks like it under another address.
pub const OPENAI: Kind = Kind {
    id: "openai",
    base_url: Some("https://api.openai.com/v1"),
    key: "OPENAI_API_KEY",
    address: &["OPENAI_BASE_URL"],
    keyless: true,
    responds: true,
    quirks: Quirks::NONE,
};

const OWN: Kind = Kind { base_url: None, responds: false, quirks: Quirks::LOCAL, ..OPENAI };

/// All of them.
pub const KINDS: [Kind; 5] = [
    OPENAI,
    Kind {
        id: "mistral",
        base_url: Some("https://api.mistral.ai/v1"),
        key: "MISTRAL_API_KEY",
        address: &["MISTRAL_BASE_URL"],
        keyless: false,
        responds: false,
        quirks: Quirks::MISTRAL,
    },
    Kind { id: "ollama", key: "OLLAMA_API_KEY", address: &["OLLAMA_BASE_URL", "OLLAMA_HOST"], ..OWN },
    Kind { id: "vllm", key: "VLLM_API_KEY", address: &["VLLM_BASE_URL"], ..OWN },
    Kind { id: "lmstudio", key: "LMSTUDIO_API_KEY", address: &["LMSTUDIO_BASE_URL"], ..OWN },
];

impl Kind {
    /// The address under which it is called, from what `variable` says: Ollama's own variable names a host.
    #[must_use]
    pub fn base_of(variable: &str, said: &str) -> String {
        if variable != "OLLAMA_HOST" {
            return said.to_owned();
        }
        let (scheme, host) = said.split_once("://").unwrap_or(("http", said));
        let host = host.trim_end_matches('/');
        // As a server it listens everywhere; as a client nobody can call everywhere.
        let host = host.replacen("0.0.0.0", "127.0.0.1", 1);
        let port = if host.contains(':') || scheme == "https" { "" } else { ":11434" };
        format!("{scheme}://{host}{port}/v1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_becomes_an_address() {
        for (said, base) in [
            ("localhost", "http://localhost:11434/v1"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080/v1"),
            ("http://10.0.0.5:11434/", "http://10.0.0.5:11434/v1"),
            ("https://ollama.example.com", "https://ollama.example.com/v1"),
        ] {
            assert_eq!(Kind::base_of("OLLAMA_HOST", said), base);
        }
        assert_eq!(Kind::base_of("VLLM_BASE_URL", "http://x/v1"), "http://x/v1");
    }
}
